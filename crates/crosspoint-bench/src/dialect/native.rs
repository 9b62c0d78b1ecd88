//! The native protocol. The conversation before data flows is held by the protocol's own client;
//! the data frames are prepared here (section 6 of its specification).

use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use crosspoint_hub::command::{ChannelEvent, Command, Event, Hello};
use crosspoint_hub::protocol::Client;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_proto::client;
use crosspoint_proto::frame::{FRAME_BYTES_MAX, PART_BYTES_MAX, peek_varint, put_varint};
use crosspoint_proto::identity::Identity;
use crosspoint_proto::message::kind;
use crosspoint_proto::peer;

use super::native_link::{
    Echo, MESSAGE_BYTES_MAX, REQUEST_HEAD_BYTES_MAX, Reply, Sender, Speaker, put_message,
};
use super::native_pair::{Pair, STREAM};
use super::{
    Dialect, End, FILL, Fanout, FanoutShape, IdleState, Message, Relay, Requests, Responder,
    STREAM_CHUNK, StreamEnds, StreamShape, fresh_name,
};
use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;
use crate::transport::{Options, Transport};
use crate::unframe::Framing;

/// A hub that speaks the native protocol.
#[derive(Debug, Clone)]
pub struct Native {
    transport: Transport,
    token: Option<Bytes>,
}

const NAME: &str = "native";

/// Members put into one channel of the idle workload.
const IDLE_MEMBERS: usize = 250;

/// Larger messages go in parts, which the prepared frames do not.
const LARGEST: usize = 2 * PART_BYTES_MAX;

impl Native {
    /// Speaks to the hub at this address.
    pub fn new(hub: impl Into<Transport>) -> Native {
        Native { transport: hub.into(), token: None }
    }

    /// The same with what the hub asks for before it lets anybody in.
    #[must_use]
    pub fn with_token(self, token: Option<Bytes>) -> Native {
        Native { token, ..self }
    }

    fn connect(&self, options: Options) -> Result<Session, BenchError> {
        self.connect_as(None, None, options)
    }

    /// A session with this name and this key, if it is to have one.
    pub(super) fn connect_as(
        &self,
        name: Option<String>,
        identity: Option<Arc<Identity>>,
        options: Options,
    ) -> Result<Session, BenchError> {
        const DOING: &str = "waiting for the hub's welcome";
        let mut out = FrameWriter::default();
        let link = Link::connect(NAME, &self.transport, options)?;
        let hello = Hello { name, token: self.token.clone(), ..Hello::default() };
        let channel_binding = link.channel_binding();
        let own =
            client::Options { hello, identity, channel_binding, ..client::Options::default() };
        let client = client::Native::new(Instant::now(), own, &mut out);
        let mut session = Session { link, client, out };
        session.wait(DOING, |event| match event {
            Event::Welcome { .. } => Some(()),
            _ => None,
        })?;
        Ok(session)
    }

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

/// A connection and its client until data flows.
pub(super) struct Session {
    link: Link,
    client: client::Native,
    out: FrameWriter,
}

impl Session {
    pub(super) fn command(
        &mut self,
        doing: &'static str,
        command: Command,
    ) -> Result<(), BenchError> {
        self.client
            .command(Instant::now(), command, &mut self.out)
            .map_err(|reason| self.link.refused(doing, reason.to_string().as_bytes()))
    }

    /// Reads frames until one brings what is waited for. Never reads beyond a frame's end.
    pub(super) fn wait<T>(
        &mut self,
        doing: &'static str,
        wanted: impl Fn(&Event) -> Option<T>,
    ) -> Result<T, BenchError> {
        loop {
            self.flush(doing)?;
            match self.client.poll(Instant::now(), &mut self.out) {
                Some(Event::Refused { reason, .. } | Event::Closed { reason }) => {
                    return Err(self.link.refused(doing, reason.to_string().as_bytes()));
                }
                Some(event) => {
                    if let Some(found) = wanted(&event) {
                        return Ok(found);
                    }
                }
                None if self.out.is_empty() => {
                    let frame = self.read_frame(doing)?;
                    self.client.receive(Instant::now(), frame);
                }
                None => {}
            }
        }
    }

    /// Writes what commands have left to write.
    pub(super) fn flush(&mut self, doing: &'static str) -> Result<(), BenchError> {
        for piece in self.out.take().pieces() {
            self.link.send(doing, piece)?;
        }
        Ok(())
    }

    /// The connection, for data that is written and read elsewhere.
    pub(super) fn ready(self) -> Result<Connection, BenchError> {
        self.link.ready()
    }

    pub(super) fn refused(&self, doing: &'static str, why: &str) -> BenchError {
        self.link.refused(doing, why.as_bytes())
    }

    fn read_frame(&mut self, doing: &'static str) -> Result<Bytes, BenchError> {
        let mut frame = Vec::new();
        let length = loop {
            let [byte] = self.link.receive(doing)?;
            frame.push(byte);
            match peek_varint(&frame) {
                Ok(Some((length, _))) if length as usize <= FRAME_BYTES_MAX => {
                    break length as usize;
                }
                Ok(None) => {}
                _ => return Err(self.link.refused(doing, &frame)),
            }
        };
        let head = frame.len();
        frame.resize(head + length, 0);
        self.link.receive_into(doing, &mut frame[head..])?;
        Ok(frame.into())
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
            receivers.push(member.link.ready()?);
        }
        let nobody = 0;
        let bytes = frame(kind::BROADCAST, &[own, nobody], shape.payload);
        Ok(Fanout {
            sources: vec![owner.link.ready()?],
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
            let write = session.link.ready()?;
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
            credits: Some(Box::new(Sender(Speaker::new(opener.link.0, None)))),
            sender: opener.session.ready()?,
            receiver: accepter.session.ready()?,
            framing: Framing::NativeStream,
            credit,
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
                streams.push(session.link.ready()?);
                index += 1;
                opened(index);
            }
            if let Some(owner) = owner {
                streams.push(owner.link.ready()?);
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
