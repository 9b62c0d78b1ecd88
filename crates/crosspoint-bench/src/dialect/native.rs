//! The native protocol. The data frames are prepared here (section 6 of its specification).

use crosspoint_hub::command::{ChannelEvent, Command, Event};
use crosspoint_proto::frame::{PART_BYTES_MAX, put_varint};
use crosspoint_proto::message::kind;
use crosspoint_proto::peer;

use super::native_link::{
    Echo, MESSAGE_BYTES_MAX, REQUEST_HEAD_BYTES_MAX, Reply, Sender, Speaker, put_message,
};
use super::native_pair::{Pair, STREAM};
pub use super::native_session::Native;
use super::native_session::{NAME, Session};
use super::windowed::Windowed;
use super::{
    Dialect, End, FILL, Fanout, FanoutShape, IdleState, Message, Relay, Requests, Responder,
    STREAM_CHUNK, StreamEnds, StreamShape, fresh_name,
};
use crate::BenchError;
use crate::connection::Connection;
use crate::transport::Options;
use crate::unframe::Framing;

/// Members put into one channel of the idle workload.
const IDLE_MEMBERS: usize = 250;

/// Larger messages go in parts, which the prepared frames do not.
const LARGEST: usize = 2 * PART_BYTES_MAX;

impl Native {
    /// A new channel's owner and its own number.
    fn create(&self, channel: &str) -> Result<(Session, u32), BenchError> {
        let mut owner = self.connect(Options::default())?;
        owner.command("creating a channel", Command::create(0, channel))?;
        let own = owner.wait("creating a channel", |event| match event {
            Event::Channel(ChannelEvent::Created { channel, .. }) => Some(channel.0),
            _ => None,
        })?;
        Ok((owner, own))
    }

    /// A new member, the number the owner knows it by, and its in number.
    fn enter(
        &self,
        owner: &mut Session,
        channel: &str,
        options: Options,
    ) -> Result<(Session, u32, u32), BenchError> {
        let mut member = self.connect(options)?;
        member.command("entering a channel", Command::enter(0, channel))?;
        let inside = member.wait("entering a channel", |event| match event {
            Event::Channel(ChannelEvent::Entered(entered)) => Some(entered.channel.0),
            _ => None,
        })?;
        let number = owner.wait("waiting to hear of a member", |event| match event {
            Event::Channel(ChannelEvent::MemberEntered { member, .. }) => Some(member.0),
            _ => None,
        })?;
        Ok((member, number, inside))
    }
}

fn check_payload(payload: usize) -> Result<(), BenchError> {
    if (1..=LARGEST).contains(&payload) {
        return Ok(());
    }
    Err(BenchError::Plan(format!(
        "native messages of 1 to {LARGEST} bytes are whole, not {payload}"
    )))
}

/// Whether such requests are whole in one frame.
pub(super) fn check_request(payload: usize) -> Result<(), BenchError> {
    let most = MESSAGE_BYTES_MAX - REQUEST_HEAD_BYTES_MAX;
    if (1..=most).contains(&payload) {
        return Ok(());
    }
    Err(BenchError::Plan(format!("native requests of 1 to {most} bytes are whole, not {payload}")))
}

impl Dialect for Native {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        check_payload(shape.payload)?;
        let channel = fresh_name();
        let (mut owner, own) = self.create(&channel)?;
        let mut receivers = Vec::with_capacity(shape.receivers);
        let mut delivery_bytes = 0;
        for index in 0..shape.receivers {
            let (member, _, inside) = self.enter(&mut owner, &channel, shape.options(index))?;
            delivery_bytes = frame(kind::FROM_OWNER, &[inside], shape.payload).len();
            receivers.push(member.ready()?);
        }
        let nobody = 0;
        let bytes = frame(kind::BROADCAST, &[own, nobody], shape.payload);
        Ok(Fanout {
            sources: vec![owner.ready()?],
            answered: false,
            receivers,
            message: Message { payloads: vec![bytes.len() - shape.payload], bytes },
            framing: Framing::Native,
            delivery_bytes: Some(delivery_bytes),
        })
    }

    fn open_relay(&self, payload: usize) -> Result<Relay, BenchError> {
        check_payload(payload)?;
        let channel = fresh_name();
        let (mut owner, own) = self.create(&channel)?;
        let (member, number, inside) = self.enter(&mut owner, &channel, Options::default())?;
        let end = |session: Session, message| {
            let write = session.ready()?;
            Ok(End { write, read: None, message, framing: Framing::Native })
        };
        Ok(Relay {
            requester: end(member, frame(kind::SEND, &[inside], payload))?,
            responder: end(owner, frame(kind::SEND_TO, &[own, number], payload))?,
            keep: None,
        })
    }

    fn open_requests(&self, payload: usize) -> Result<Requests, BenchError> {
        check_request(payload)?;
        let Pair { opener, accepter } = Pair::open(self, Options::default(), None)?;
        let speaker = Speaker::new(opener.link.0, None);
        let answering = Speaker::new(accepter.link.0, None);
        Ok(Requests {
            stream: opener.session.ready()?,
            asker: Box::new(Echo::new(speaker, payload)),
            responder: Some(Responder {
                stream: accepter.session.ready()?,
                answerer: Box::new(Reply(answering)),
            }),
        })
    }

    fn open_stream(&self, shape: &StreamShape) -> Result<StreamEnds, BenchError> {
        let receiver = Options { tiny_buffer: shape.tiny, ..Options::default() };
        let mut pair = Pair::open(self, receiver, None)?;
        pair.stream(shape.window)?;
        let Pair { opener, accepter } = pair;
        let mut stream = Vec::new();
        put_varint(STREAM, &mut stream);
        let mut chunk = Vec::new();
        let data = [FILL; STREAM_CHUNK];
        put_message(opener.link.0, peer::kind::BYTES, &[&stream, &data], &mut chunk);
        put_varint(shape.window / 2, &mut stream);
        let mut credit = Vec::new();
        put_message(accepter.link.0, peer::kind::CREDIT, &[&stream], &mut credit);
        Ok(StreamEnds {
            chunk,
            chunk_bytes: STREAM_CHUNK,
            window: shape.window as usize,
            credits: Some(Box::new(Sender(Speaker::new(opener.link.0, None)))),
            sender: opener.session.ready()?,
            receiver: accepter.session.ready()?,
            intake: Box::new(Windowed::new(Framing::NativeStream, credit, shape.window)),
            keep: None,
        })
    }

    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError> {
        let mut streams = Vec::with_capacity(count);
        let mut index = 0;
        while index < count {
            let channel = fresh_name();
            let group = IDLE_MEMBERS.min(count - index);
            let mut owner = match state {
                IdleState::Connected => None,
                IdleState::Member => Some(self.create(&channel)?.0),
            };
            for _ in 0..group {
                let options = Options { index, tiny_buffer: false };
                let session = match &mut owner {
                    None => self.connect(options)?,
                    Some(owner) => self.enter(owner, &channel, options)?.0,
                };
                streams.push(session.ready()?);
                index += 1;
                opened(index);
            }
            if let Some(owner) = owner {
                streams.push(owner.ready()?);
            }
        }
        Ok(streams)
    }
}

fn frame(kind: u8, numbers: &[u32], payload: usize) -> Vec<u8> {
    let mut body = vec![kind];
    for &number in numbers {
        put_varint(number, &mut body);
    }
    let mut bytes = Vec::new();
    put_varint((body.len() + payload) as u32, &mut bytes);
    bytes.append(&mut body);
    bytes.resize(bytes.len() + payload, FILL);
    bytes
}
