//! A protocol inside Engine.IO that says everything again, or to the others in a room (`room` in the query). A client
//! may have a `name`.

use bytes::{Bytes, BytesMut};
use crosspoint_hub::command::{ChannelCommand, ChannelEvent, EnterOptions, Event, Hello, Target};
use crosspoint_hub::protocol::{Activity, Output, Protocol};
use crosspoint_hub::wire::{
    Capacity, Content, FrameWriter, Framing, Pauses, Profile, Stateful, Wire,
};
use crosspoint_hub::{ChannelName, Command, JoinedChannelId, Part, Reason};
use crosspoint_net::engineio::{Handshake, Incoming, Inner, Socket};
use crosspoint_net::gateway::{Context, NewSession, Refused, WebSocket};
use std::borrow::Cow;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The largest message, in bytes.
const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// Sessions that say everything again.
#[derive(Debug)]
pub(super) struct Echoes;

impl Inner for Echoes {
    fn name(&self) -> &'static str {
        EchoWire.profile().name
    }

    fn open(
        &self,
        context: &Context<'_>,
        handshake: &Handshake<'_>,
    ) -> Result<NewSession, Refused> {
        static WIRE: WebSocket<EchoWire> = WebSocket::text(EchoWire);
        let protocol = Echo {
            socket: handshake.socket(context.now),
            opened: false,
            name: handshake.query.get("name").map(Cow::into_owned),
            room: handshake
                .query
                .get("room")
                .and_then(|room| ChannelName::new(room.as_bytes().to_vec()).ok()),
            entered: None,
            entering: false,
            is_text: true,
            message: BytesMut::new(),
            inbox: VecDeque::new(),
            messages: 0,
            idle_frames: 0,
            closed: false,
        };
        Ok(NewSession {
            wire: &WIRE,
            protocol: Box::new(protocol),
            websocket_frame_bytes_max: Some(MESSAGE_BYTES_MAX),
        })
    }
}

/// What others in a room say is a message of text.
struct EchoWire;

impl Wire for EchoWire {
    fn profile(&self) -> Profile {
        Profile {
            name: "echo",
            id: 66,
            framing: Framing::Messages,
            capacity: Capacity { owned_max: 0, entered_max: 1, members_max: 0 },
            stateful: Stateful::No,
            whole: true,
            links: false,
            credentials: false,
            pauses: Pauses::Nothing,
            link_bytes: 0,
            successors: false,
            application: false,
            secures: false,
            settle: Duration::ZERO,
            envelope: None,
        }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        if let Content::Part { part, .. } = content
            && part.kind == Part::DATA
        {
            out.frame(b"4", &part.data);
        }
    }
}

/// One session.
struct Echo {
    socket: Socket,
    opened: bool,
    name: Option<String>,
    /// The room that it wants to enter, and the one that it is in.
    room: Option<ChannelName>,
    entered: Option<JoinedChannelId>,
    entering: bool,
    /// Whether the message that comes is text.
    is_text: bool,
    /// What has come of it.
    message: BytesMut,
    /// Those that are whole.
    inbox: VecDeque<(bool, Bytes)>,
    /// How many there were.
    messages: u64,
    idle_frames: u64,
    closed: bool,
}

impl Echo {
    fn close(&mut self, reason: Reason) -> Option<Output> {
        self.closed = true;
        Some(Output::Close(reason))
    }
}

impl Protocol for Echo {
    fn message_begins(&mut self, _: Instant, is_text: bool) {
        self.is_text = is_text;
    }

    fn receive(&mut self, _: Instant, bytes: Bytes) {
        if self.message.len() <= MESSAGE_BYTES_MAX {
            self.message.extend_from_slice(&bytes);
        }
    }

    fn message_ended(&mut self, _: Instant) {
        self.inbox.push_back((self.is_text, self.message.split().freeze()));
        self.messages += 1;
    }

    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Output> {
        if !self.opened {
            self.opened = true;
            self.socket.open(out);
            let hello = Hello { name: self.name.take(), ..Hello::default() };
            return Some(Output::Command(Command::Hello(hello)));
        }
        if let Some(name) = self.room.take() {
            let options = EnterOptions { make_room: true, ..EnterOptions::default() };
            let enter = ChannelCommand::Enter { request: 0, name, options };
            self.entering = true;
            return Some(Output::Command(enter.into()));
        }
        while !self.closed && !self.entering {
            if self.message.len() > MESSAGE_BYTES_MAX {
                return self.close(Reason::TooLarge);
            }
            let (is_text, message) = self.inbox.pop_front()?;
            self.idle_frames += 1;
            match self.socket.receive(now, is_text, message, out) {
                Ok(None) => {}
                Ok(Some(Incoming::Text(text))) => match self.entered {
                    Some(room) => {
                        let (to, part) = (Target::Up(room), Part::whole(text));
                        return Some(Output::Command(Command::Send { to, part }));
                    }
                    None => out.frame(b"4", &text),
                },
                Ok(Some(Incoming::Binary(bytes))) => {
                    out.binary_frame(self.socket.binary_header(), &bytes);
                }
                Ok(Some(Incoming::Closed | Incoming::Away)) => return self.close(Reason::Bye),
                Err(_) => return self.close(Reason::Malformed),
            }
        }
        None
    }

    fn deliver(&mut self, _: Instant, event: &Event, _: &mut FrameWriter) {
        match event {
            Event::Channel(ChannelEvent::Entered(entered)) => {
                (self.entered, self.entering) = (Some(entered.channel), false);
            }
            Event::Refused { .. } => self.entering = false,
            _ => {}
        }
    }

    fn has_output(&self) -> bool {
        !self.closed && !self.entering && !self.inbox.is_empty()
    }

    fn idle_frames(&mut self) -> u64 {
        std::mem::take(&mut self.idle_frames)
    }

    fn buffered(&self) -> usize {
        self.message.len() + self.inbox.iter().map(|(_, message)| message.len()).sum::<usize>()
    }

    fn midway(&self) -> Option<u64> {
        (!self.message.is_empty()).then_some(self.messages)
    }

    fn unheard(&mut self, time: Duration) {
        self.socket.unheard(time);
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        Some(self.socket.deadline(activity))
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        self.socket.tick(now, activity, out)
    }

    fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> bool {
        self.socket.probe(now, out)
    }

    fn farewell(&mut self, _: Reason, _: &mut FrameWriter) {
        self.closed = true;
    }
}
