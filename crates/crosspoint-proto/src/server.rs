//! The hub's side of the native protocol.

use crate::frame::{Frame, MAGIC, next_frame};
use crate::heartbeat::Heartbeat;
use crate::message::{self, HelloMap, VERSION, WelcomeMap, kind, put_close, put_frame, put_map};
use bytes::{Buf, Bytes, BytesMut};
use crosspoint_hub::command::{Command, Event, Hello};
use crosspoint_hub::input::Input;
use crosspoint_hub::protocol::{Activity, Output, Protocol};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Limits, Reason};
use serde_bytes::ByteBuf;
use std::time::Instant;

/// What the hub's side is set up with.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// The hub's bounds.
    pub limits: Limits,
    /// The hub's name, told in the WELCOME frame.
    pub hub: String,
}

/// The hub's side of one native connection. It begins with the client's magic bytes.
#[derive(Debug)]
pub struct Native {
    input: Input,
    state: State,
    options: Options,
    heartbeat: Heartbeat,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Magic,
    Hello,
    Open,
    Closed,
}

impl Native {
    /// A connection that has just begun.
    pub fn new(_now: Instant, options: Options) -> Self {
        let heartbeat =
            Heartbeat::new(options.limits.heartbeat, options.limits.heartbeat_missed_max);
        Self { input: Input::default(), state: State::Magic, options, heartbeat }
    }

    fn step(&mut self, now: Instant, out: &mut FrameWriter) -> Result<Option<Command>, Reason> {
        if self.state == State::Magic {
            if self.input.len() < MAGIC.len() {
                return Ok(None);
            }
            if self.input.take(MAGIC.len()) != MAGIC[..] {
                return Err(Reason::Malformed);
            }
            self.state = State::Hello;
        }
        while let Some(frame) = next_frame(&mut self.input, self.options.limits.frame_bytes_max)? {
            if let Some(command) = self.frame(now, frame, out)? {
                return Ok(Some(command));
            }
        }
        if self.input.len() < 1024 && !self.input.is_empty() {
            self.input.compact();
        }
        Ok(None)
    }

    fn frame(
        &mut self,
        now: Instant,
        frame: Frame,
        out: &mut FrameWriter,
    ) -> Result<Option<Command>, Reason> {
        let Frame { kind: number, mut body } = frame;
        match (self.state, number) {
            (State::Hello, kind::HELLO) => {
                let hello: HelloMap = message::map(&body)?;
                if hello.v_min.unwrap_or(hello.v) > VERSION || hello.v < VERSION {
                    return Err(Reason::VersionUnsupported);
                }
                self.state = State::Open;
                let peer = hello.id.map(|id| message::peer_id(&id)).transpose()?;
                let token = hello.token.map(|token| token.into_vec().into());
                Ok(Some(Command::Hello(Hello { peer, name: hello.name, token })))
            }
            (_, kind::CLOSE) => Err(Reason::Bye),
            (State::Hello, _) | (State::Open, kind::HELLO) => Err(Reason::Malformed),
            (_, kind::PING) => {
                put_frame(kind::PONG, &body.bytes(8)?, out);
                Ok(None)
            }
            (_, kind::PONG) => {
                let token = body.bytes(8)?.get_u64();
                self.heartbeat.answered(now, token);
                Ok(None)
            }
            _ => message::command(Frame { kind: number, body }),
        }
    }

    fn welcome(&self, peer: &[u8; 16], out: &mut FrameWriter) {
        let limits = &self.options.limits;
        let map = WelcomeMap {
            v: VERSION,
            id: ByteBuf::from(peer.to_vec()),
            hub: self.options.hub.clone(),
            frame_max: u32::try_from(limits.frame_bytes_max).unwrap_or(u32::MAX),
            message_max: limits.message_bytes_max,
            heartbeat_ms: u32::try_from(limits.heartbeat.as_millis()).unwrap_or(u32::MAX),
            features: Vec::new(),
        };
        let mut body = BytesMut::new();
        put_map(&map, &mut body);
        put_frame(kind::WELCOME, &body, out);
    }
}

impl Protocol for Native {
    fn receive(&mut self, _now: Instant, bytes: Bytes) {
        self.input.push(bytes);
    }

    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Output> {
        if self.state == State::Closed {
            return None;
        }
        match self.step(now, out) {
            Ok(command) => command.map(Output::Command),
            Err(reason) => {
                self.state = State::Closed;
                Some(Output::Close(reason))
            }
        }
    }

    fn deliver(&mut self, _now: Instant, event: &Event, out: &mut FrameWriter) {
        match event {
            Event::Welcome { peer } => self.welcome(peer.as_bytes(), out),
            other => message::put_event(other, out),
        }
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        (self.state == State::Open).then(|| self.heartbeat.deadline(activity))
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        if self.state != State::Open {
            return None;
        }
        self.heartbeat.ask(now, activity, out).err()
    }

    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter) {
        self.state = State::Closed;
        put_close(reason, out);
    }
}
