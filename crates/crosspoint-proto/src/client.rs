//! The client's side of the native protocol.

use crate::frame::{FRAME_BYTES_MAX, Frame, MAGIC, next_frame};
use crate::heartbeat::{self, Heartbeat};
use crate::identity::{ChannelBinding, EXPORTER_BYTES, Identity, KEY_BYTES};
use crate::message::{
    self, HelloMap, VERSION, WelcomeMap, kind, proof_context, put_close, put_frame, put_map,
};
use bytes::{Buf, Bytes, BytesMut};
use crosspoint_hub::command::{
    ApplicationCommand, ChannelCommand, ChannelOptions, Command, DirectoryCommand, EnterOptions,
    Event, Hello, LinkCommand, LinkOptions, Query, Target,
};
use crosspoint_hub::input::Input;
use crosspoint_hub::protocol::{Activity, Client};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Limits, MemberNumber, Pace, PeerId, PeerName, Reason};
use serde_bytes::ByteBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// The least that a hub has to take in one frame (section 2). With less, a large message would become
/// many times its size.
const FRAME_BYTES_MIN: u32 = 1024;

/// What the client says of itself.
#[derive(Debug, Clone, Default)]
pub struct Options {
    /// Id, name and token.
    pub hello: Hello,
    /// The program's name, for the hub's logs.
    pub agent: Option<String>,
    /// The key that the client's id comes from, if it has one. An id in the hello is ignored then,
    /// and no command may come before [`Event::Welcome`].
    pub identity: Option<Arc<Identity>>,
    /// Goes on at a hub that does not ask for the proof of the identity. Otherwise the connection ends
    /// there with [`Reason::Unproven`].
    pub accept_unproven: bool,
    /// What the proof is bound to. If it cannot be, the connection ends at once with [`Reason::Unbound`].
    pub channel_binding: ChannelBinding,
    /// Proves the identity without binding that to the TLS connection. Whoever holds the other end of that
    /// connection can use the proof at a hub without TLS.
    pub unbound_proof: bool,
    /// How client and hub find out whether the other still lives.
    pub heartbeat: heartbeat::Config,
}

/// The client's side of one connection.
#[derive(Debug)]
pub struct Native {
    input: Input,
    state: State,
    heartbeat: Heartbeat,
    /// The highest number of a question that the hub has answered, until it is taken.
    answered: Option<u64>,
    /// Whether this side asks as often as the hub.
    as_the_hub: bool,
    /// What the hub takes.
    frame_bytes_max: usize,
    message_bytes_max: u32,
    /// What is to be proven, until it was.
    proving: Option<Proving>,
    /// The id that was proven.
    proven: Option<PeerId>,
    accept_unproven: bool,
    home: Option<PeerId>,
}

/// What is to be proven, and for which connection.
#[derive(Debug)]
struct Proving {
    identity: Arc<Identity>,
    /// What to bind the proof to, if it is to be bound.
    exporter: Option<[u8; EXPORTER_BYTES]>,
    /// Whether it would have to be bound and cannot.
    unbindable: bool,
}

impl Proving {
    fn new(identity: Arc<Identity>, binding: ChannelBinding, unbound: bool) -> Self {
        let exporter = match binding {
            ChannelBinding::Exporter(exporter) if !unbound => Some(exporter),
            _ => None,
        };
        let unbindable = binding == ChannelBinding::Unavailable && !unbound;
        Self { identity, exporter, unbindable }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Hello,
    Open,
    Closed,
}

impl Native {
    /// Begins a connection: the magic bytes and HELLO are written at once.
    pub fn new(_now: Instant, options: Options, out: &mut FrameWriter) -> Self {
        let Options {
            hello,
            agent,
            identity,
            accept_unproven,
            channel_binding,
            unbound_proof,
            heartbeat,
        } = options;
        let proving =
            identity.map(|identity| Proving::new(identity, channel_binding, unbound_proof));
        let identity = proving.as_ref().map(|proving| &proving.identity);
        let heartbeat::Config { own, missed_max, hub, patience } = heartbeat;
        let bytes = |bytes: &[u8]| ByteBuf::from(bytes.to_vec());
        let map = HelloMap {
            v: VERSION,
            v_min: None,
            agent,
            id: hello.peer.filter(|_| identity.is_none()).map(|id| bytes(id.as_bytes())),
            name: hello.name,
            token: hello.token.as_deref().map(bytes),
            key: identity.map(|identity| bytes(identity.public_key().as_bytes())),
            bound: proving.as_ref().and_then(|proving| proving.exporter.map(|_| true)),
            heartbeat_ms: message::split_pace(hub),
            pause: hello.pauses.then_some(true),
            delete: hello.deletes.then_some(true),
        };
        let mut body = BytesMut::new();
        put_map(&map, &mut body);
        out.small(&MAGIC);
        put_frame(kind::HELLO, &body, out);
        let limits = Limits::default();
        let mut heartbeat = Heartbeat::new(limits.heartbeat, missed_max).with_patience(patience);
        match own {
            Pace::Usual => {}
            Pace::Every(interval) => {
                heartbeat.set_interval(Some(interval.max(Duration::from_millis(1))));
            }
            Pace::Never => heartbeat.set_interval(None),
        }
        Self {
            input: Input::default(),
            state: State::Hello,
            heartbeat,
            answered: None,
            as_the_hub: own == Pace::Usual,
            frame_bytes_max: limits.frame_bytes_max,
            message_bytes_max: limits.message_bytes_max,
            proving,
            proven: None,
            accept_unproven,
            home: None,
        }
    }

    /// The last measured round trip.
    pub fn round_trip(&self) -> Option<Duration> {
        self.heartbeat.round_trip()
    }

    /// The largest message that the hub takes, in bytes.
    pub fn message_bytes_max(&self) -> u32 {
        self.message_bytes_max
    }

    /// The peer id of the hub application, if it is one to talk to.
    pub fn home(&self) -> Option<PeerId> {
        self.home
    }

    fn frame(
        &mut self,
        now: Instant,
        frame: Frame,
        out: &mut FrameWriter,
    ) -> Result<Option<Event>, Reason> {
        let Frame { kind: number, mut body } = frame;
        match (self.state, number) {
            (_, kind::CLOSE) => Err(message::reason(&mut body)?),
            (State::Hello, kind::WELCOME) => {
                let map: WelcomeMap = message::map(&body)?;
                if map.v != VERSION {
                    return Err(Reason::VersionUnsupported);
                }
                if map.frame_max < FRAME_BYTES_MIN {
                    return Err(Reason::Malformed);
                }
                let peer = message::peer_id(&map.id)?;
                if self.proving.take().is_some() && !self.accept_unproven {
                    return Err(Reason::Unproven);
                }
                if self.proven.is_some_and(|proven| proven != peer) {
                    return Err(Reason::Malformed);
                }
                self.state = State::Open;
                self.frame_bytes_max = map.frame_max as usize;
                self.message_bytes_max = map.message_max;
                self.home = map.home.map(|id| message::peer_id(&id)).transpose()?;
                if self.as_the_hub && map.heartbeat_ms > 0 {
                    let interval = Duration::from_millis(map.heartbeat_ms.into());
                    self.heartbeat.set_interval(Some(interval));
                }
                Ok(Some(Event::Welcome { peer }))
            }
            (State::Hello, kind::CHALLENGE) => {
                let challenge = body.bytes(KEY_BYTES)?;
                let challenge = challenge[..].try_into().map_err(|_| Reason::Malformed)?;
                // Once, and only if a key was shown.
                let Proving { identity, exporter, .. } =
                    self.proving.take().ok_or(Reason::Malformed)?;
                let proof = identity.prove(challenge, &proof_context(exporter.as_ref()));
                put_frame(kind::PROOF, &proof.map_err(|_| Reason::Malformed)?, out);
                self.proven = Some(identity.peer_id());
                Ok(None)
            }
            (State::Hello, _) | (State::Open, kind::WELCOME | kind::CHALLENGE) => {
                Err(Reason::Malformed)
            }
            (_, kind::PING) => {
                put_frame(kind::PONG, &body.bytes(8)?, out);
                Ok(None)
            }
            (_, kind::PONG) => {
                let token = body.bytes(8)?.get_u64();
                self.heartbeat.answered(now, token);
                if token <= self.heartbeat.last_probe() {
                    self.answered = self.answered.max(Some(token));
                }
                Ok(None)
            }
            _ => Ok(message::event(Frame { kind: number, body })?),
        }
    }

    fn step(&mut self, now: Instant, out: &mut FrameWriter) -> Result<Option<Event>, Reason> {
        if self.proving.as_ref().is_some_and(|proving| proving.unbindable) {
            return Err(Reason::Unbound);
        }
        while let Some(frame) = next_frame(&mut self.input, FRAME_BYTES_MAX)? {
            if let Some(event) = self.frame(now, frame, out)? {
                return Ok(Some(event));
            }
        }
        Ok(None)
    }
}

impl Client for Native {
    fn command(
        &mut self,
        _now: Instant,
        command: Command,
        out: &mut FrameWriter,
    ) -> Result<(), Reason> {
        if self.state == State::Hello && self.proving.is_some() {
            // Before the proof the hub takes nothing else (section 4.5).
            return Err(Reason::NotAllowed);
        }
        match &command {
            Command::Send { part, .. } if part.total > self.message_bytes_max => {
                return Err(Reason::TooLarge);
            }
            Command::Application(ApplicationCommand::Ask { .. }) | Command::Secured { .. } => {
                return Err(Reason::Unsupported);
            }
            Command::Link(LinkCommand::Open {
                options: LinkOptions { single: true, .. }, ..
            }) => {
                return Err(Reason::Unsupported);
            }
            Command::Link(LinkCommand::Open {
                options: LinkOptions { purpose, except, .. },
                ..
            }) if purpose.len() > LinkOptions::PURPOSE_BYTES_MAX
                || except.len() > LinkOptions::EXCEPT_MAX =>
            {
                return Err(Reason::TooLarge);
            }
            Command::Directory(DirectoryCommand::Look {
                query: Query::Names { prefix, .. },
                ..
            }) if prefix.len() > PeerName::BYTES_MAX => {
                return Err(Reason::TooLarge);
            }
            Command::Send { to: Target::Everyone(_, Some(MemberNumber(u32::MAX))), .. }
            | Command::Channel(ChannelCommand::Succeed {
                member: Some(MemberNumber(u32::MAX)),
                ..
            }) => {
                return Err(Reason::Malformed);
            }
            Command::Channel(
                ChannelCommand::Create { options: ChannelOptions { mode, .. }, .. }
                | ChannelCommand::Enter { options: EnterOptions { mode, .. }, .. },
            ) if !message::is_possible(*mode) => {
                return Err(Reason::Malformed);
            }
            _ => {}
        }
        message::put_command(&command, self.frame_bytes_max, out);
        Ok(())
    }

    fn receive(&mut self, _now: Instant, bytes: Bytes) {
        self.input.push(bytes);
    }

    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Event> {
        if self.state == State::Closed {
            return None;
        }
        match self.step(now, out) {
            Ok(event) => event,
            Err(reason) => {
                self.state = State::Closed;
                Some(Event::Closed { reason })
            }
        }
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        (self.state == State::Open).then(|| self.heartbeat.deadline(activity)).flatten()
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        if self.state != State::Open {
            return None;
        }
        self.heartbeat.ask(now, activity, out).err()
    }

    fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> Option<u64> {
        (self.state == State::Open).then(|| self.heartbeat.probe(now, out))
    }

    fn answered(&mut self) -> Option<u64> {
        self.answered.take()
    }

    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter) {
        self.state = State::Closed;
        put_close(reason, None, out);
    }
}
