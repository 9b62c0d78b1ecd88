//! The hub's side of the native protocol.

use crate::frame::{Broken, FRAME_BYTES_MAX, Frame, MAGIC, next_frame};
use crate::heartbeat::Heartbeat;
use crate::identity::{Challenge, ChannelBinding, EXPORTER_BYTES, KEY_BYTES, PublicKey};
use crate::message::{
    self, HelloMap, VERSION, WelcomeMap, kind, proof_context, put_close, put_frame, put_map,
};
use bytes::{Buf, Bytes, BytesMut};
use crosspoint_hub::command::{Command, Event, Hello};
use crosspoint_hub::input::Input;
use crosspoint_hub::limits::Bounded;
use crosspoint_hub::protocol::{Activity, Measurement, Output, Protocol};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Limits, Pace, PeerId, Reason};
use serde_bytes::ByteBuf;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Why a proof is not taken. Clients are told.
const TLS_ENDS_BEFORE: &str = "the proof would be bound to TLS, which ends before this hub; a client that trusts what is in between has to choose a proof that is not bound";
const NOT_BOUND: &str = "over TLS the proof of a key has to be bound to the connection";
const UNBINDABLE: &str = "the proof of a key has to be bound to the connection: that needs TLS 1.3 from the client to the hub, and a \
     session that can be resumed has to be bound as well";

/// What the hub's side is set up with.
#[derive(Clone, Default)]
pub struct Options {
    /// The hub's bounds.
    pub limits: Arc<Limits>,
    /// The hub's name, told in the WELCOME frame.
    pub hub: String,
    /// Which peer is the hub application, told in the WELCOME frame.
    pub home: Option<PeerId>,
    /// How long the connection may be away and come back; zero if it cannot. Until then silence means
    /// nothing, so the heartbeats are put off.
    pub away_max: Duration,
    /// Random bytes, new for each connection. Without them no key can be proven, and a HELLO with
    /// a key ends the connection.
    pub random: Option<[u8; KEY_BYTES]>,
    /// What the proof of a key has to be bound to. A HELLO that announces another form of the proof ends the
    /// connection.
    pub channel_binding: ChannelBinding,
}

impl fmt::Debug for Options {
    /// Without the random bytes: anyone who knows them can prove any key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { limits, hub, home, away_max, random: _, channel_binding } = self;
        f.debug_struct("Options")
            .field("limits", limits)
            .field("hub", hub)
            .field("home", home)
            .field("away_max", away_max)
            .field("channel_binding", channel_binding)
            .finish_non_exhaustive()
    }
}

/// The hub's side of one native connection. It begins with the client's magic bytes.
#[derive(Debug)]
pub struct Native {
    input: Input,
    state: State,
    limits: Arc<Limits>,
    hub: Box<str>,
    home: Option<PeerId>,
    away_max: Duration,
    /// What a client that shows a key is asked with. Gone with HELLO.
    asking: Option<Box<Asking>>,
    heartbeat: Heartbeat,
    /// What there is to tell besides a command, behind it.
    measurement: Option<Measurement>,
    /// Frames read.
    frames: u64,
    /// Which of them broke which rule.
    complaint: Option<String>,
    /// Frames that gave no command, until they are counted.
    idle_frames: u64,
}

#[derive(Debug)]
enum State {
    Magic,
    Hello,
    /// The client has to prove that it owns the key.
    Proof(Box<Waiting>),
    Open,
    Closed,
}

/// What a key is asked with.
struct Asking {
    random: [u8; KEY_BYTES],
    channel_binding: ChannelBinding,
}

impl fmt::Debug for Asking {
    /// Without the random bytes, as [`Options`].
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Asking").finish_non_exhaustive()
    }
}

/// A client that has been asked.
#[derive(Debug)]
struct Waiting {
    said: Hello,
    key: PublicKey,
    challenge: Challenge,
    exporter: Option<[u8; EXPORTER_BYTES]>,
}

impl Native {
    /// A connection that has just begun.
    pub fn new(_now: Instant, options: Options) -> Self {
        let Options { limits, hub, home, away_max, random, channel_binding } = options;
        let heartbeat = Heartbeat::new(limits.heartbeat, limits.heartbeat_missed_max);
        let heartbeat = heartbeat.with_patience(away_max);
        Self {
            input: Input::default(),
            state: State::Magic,
            limits,
            hub: hub.into(),
            home,
            away_max,
            asking: random.map(|random| Box::new(Asking { random, channel_binding })),
            heartbeat,
            measurement: None,
            frames: 0,
            complaint: None,
            idle_frames: 0,
        }
    }

    fn step(&mut self, now: Instant, out: &mut FrameWriter) -> Result<Option<Output>, Broken> {
        if matches!(self.state, State::Magic) {
            if self.input.len() < MAGIC.len() {
                return Ok(None);
            }
            if self.input.take(MAGIC.len()) != MAGIC[..] {
                return Err(Broken::malformed("the connection does not begin with XPT1"));
            }
            self.state = State::Hello;
        }
        loop {
            let most = self.frame_bytes_max();
            let frame = next_frame(&mut self.input, most);
            let Some(frame) = frame.map_err(|broken| self.blame(None, broken))? else { break };
            self.frames += 1;
            let number = frame.kind;
            let command = self.frame(now, frame, out);
            if let Some(command) = command.map_err(|broken| self.blame(Some(number), broken))? {
                return Ok(Some(Output::Command(command)));
            }
            self.idle_frames += 1;
            if let Some(measurement) = self.measurement.take() {
                return Ok(Some(Output::Measurement(measurement)));
            }
        }
        if self.input.len() < 16 * 1024 && !self.input.is_empty() {
            self.input.compact();
        }
        Ok(None)
    }

    /// Remembers which frame has broken a rule: the last one that was read, or the one behind it, whose
    /// type is not known.
    fn blame(&mut self, number: Option<u8>, broken: Broken) -> Broken {
        if let Some(rule) = broken.rule {
            self.complaint = Some(match number {
                Some(number) => {
                    let name = kind::name(number).unwrap_or("unknown");
                    format!("frame {} ({name}, type {number:#04x}): {rule}", self.frames)
                }
                None => format!("frame {}: {rule}", self.frames + 1),
            });
        }
        broken
    }

    /// The largest frame that is taken now. Strangers are not given more memory than usual.
    fn frame_bytes_max(&self) -> usize {
        let most = self.limits.frame_bytes_max;
        if matches!(self.state, State::Open) { most } else { most.min(FRAME_BYTES_MAX) }
    }

    fn frame(
        &mut self,
        now: Instant,
        frame: Frame,
        out: &mut FrameWriter,
    ) -> Result<Option<Command>, Broken> {
        let Frame { kind: number, mut body } = frame;
        match (&mut self.state, number) {
            (State::Hello, kind::HELLO) => {
                let hello: HelloMap = message::map(&body)?;
                if hello.v_min.unwrap_or(hello.v) > VERSION || hello.v < VERSION {
                    return Err(Reason::VersionUnsupported.into());
                }
                let peer = hello.id.map(|id| message::peer_id(&id)).transpose()?;
                let token = hello.token.map(|token| token.into_vec().into());
                let pauses = hello.pause.unwrap_or_default();
                let deletes = hello.delete.unwrap_or_default();
                let (proven, waits) = (false, false);
                let said = Hello { peer, proven, name: hello.name, token, pauses, deletes, waits };
                self.pace(message::join_pace(hello.heartbeat_ms));
                match hello.key {
                    Some(key) => {
                        let bound = hello.bound.unwrap_or_default();
                        self.challenge(said, &key, bound, out).map(|()| None)
                    }
                    None => {
                        self.asking = None;
                        self.state = State::Open;
                        Ok(Some(Command::Hello(said)))
                    }
                }
            }
            (State::Proof(_), kind::PROOF) => self.proven(&body.bytes(KEY_BYTES)?).map(Some),
            (_, kind::CLOSE) => Err(Reason::Bye.into()),
            (State::Hello, _) => Err(Broken::malformed("the first frame has to be HELLO")),
            (State::Proof(_), _) => Err(Broken::malformed("a CHALLENGE is answered with PROOF")),
            (State::Open, kind::HELLO | kind::PROOF) => {
                Err(Broken::malformed("the session is welcome already"))
            }
            (_, kind::PING) => {
                put_frame(kind::PONG, &body.bytes(8)?, out);
                Ok(None)
            }
            (_, kind::PONG) => {
                let token = body.bytes(8)?.get_u64();
                // If the connection may be away, this may be the time for which it was.
                let measured = self.heartbeat.answered(now, token);
                let measured = measured.filter(|_| self.away_max.is_zero());
                self.measurement = measured.map(Measurement::RoundTrip);
                Ok(None)
            }
            _ => message::command(Frame { kind: number, body }),
        }
    }

    /// The client asks to be probed like this.
    fn pace(&mut self, wish: Pace) {
        let Self { limits, away_max, .. } = &*self;
        let Bounded { value, limit } = limits.heartbeat_for(wish);
        // A session that is silent must not end by that because it is asked too late.
        let put_off = limits.idle_max.map_or(*away_max, |idle| (idle / 2).min(*away_max));
        self.heartbeat.set_interval(value.map(|interval| interval.max(put_off)));
        self.measurement = limit.map(Measurement::Bounded);
    }

    /// Asks for a proof that the client owns the key which its id comes from (section 4.5).
    fn challenge(
        &mut self,
        said: Hello,
        key: &[u8],
        bound: bool,
        out: &mut FrameWriter,
    ) -> Result<(), Broken> {
        let wrong = |_| Broken::malformed("key has to have 32 bytes");
        let key: [u8; KEY_BYTES] = key.try_into().map_err(wrong)?;
        let key = PublicKey::new(key).map_err(|_not_one| Reason::BadProof)?;
        if said.peer.is_some_and(|peer| peer != key.peer_id()) {
            return Err(Reason::BadProof.into());
        }
        let Asking { random, channel_binding } = *self.asking.take().ok_or(Reason::Internal)?;
        let exporter = match (channel_binding, bound) {
            (ChannelBinding::None, false) => None,
            (ChannelBinding::Exporter(exporter), true) => Some(exporter),
            (ChannelBinding::None, true) => return Err(self.unbound(TLS_ENDS_BEFORE)),
            (ChannelBinding::Exporter(_), false) => return Err(self.unbound(NOT_BOUND)),
            (ChannelBinding::Unavailable, _) => return Err(self.unbound(UNBINDABLE)),
        };
        let challenge = Challenge::new(random);
        put_frame(kind::CHALLENGE, &challenge.bytes(), out);
        let said = Hello { peer: Some(key.peer_id()), proven: true, ..said };
        self.state = State::Proof(Box::new(Waiting { said, key, challenge, exporter }));
        Ok(())
    }

    /// The proof and the connection do not belong together, and why.
    fn unbound(&mut self, why: &str) -> Broken {
        self.complain(why);
        Reason::Unbound.into()
    }

    fn proven(&mut self, proof: &[u8]) -> Result<Command, Broken> {
        let State::Proof(waiting) = std::mem::replace(&mut self.state, State::Open) else {
            return Err(Broken::malformed("nothing is to be proven"));
        };
        let Waiting { said, key, challenge, exporter } = *waiting;
        let wrong = |_| Broken::malformed("a proof has to have 32 bytes");
        let proof = proof.try_into().map_err(wrong)?;
        match challenge.verify(&key, &proof_context(exporter.as_ref()), proof) {
            true => Ok(Command::Hello(said)),
            false => Err(Reason::BadProof.into()),
        }
    }

    fn welcome(&self, peer: &[u8; 16], out: &mut FrameWriter) {
        let limits = &self.limits;
        let map = WelcomeMap {
            v: VERSION,
            id: ByteBuf::from(peer.to_vec()),
            hub: self.hub.clone().into(),
            frame_max: u32::try_from(limits.frame_bytes_max).unwrap_or(u32::MAX),
            message_max: limits.message_bytes_max,
            heartbeat_ms: self.heartbeat.interval().map_or(0, |time| message::millis(time).max(1)),
            features: vec!["peers".into(), "pause".into()],
            home: self.home.map(|id| ByteBuf::from(id.as_bytes().to_vec())),
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
        if matches!(self.state, State::Closed) {
            return None;
        }
        if let Some(measurement) = self.measurement.take() {
            return Some(Output::Measurement(measurement));
        }
        match self.step(now, out) {
            Ok(output) => output,
            Err(Broken { reason, .. }) => {
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

    fn idle_frames(&mut self) -> u64 {
        std::mem::take(&mut self.idle_frames)
    }

    fn buffered(&self) -> usize {
        self.input.len()
    }

    fn midway(&self) -> Option<u64> {
        (!self.input.is_empty()).then_some(self.frames)
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        matches!(self.state, State::Open).then(|| self.heartbeat.deadline(activity)).flatten()
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        if !matches!(self.state, State::Open) {
            return None;
        }
        self.heartbeat.ask(now, activity, out).err()
    }

    fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> bool {
        // A connection that is away cannot answer, and may come back.
        let asks = matches!(self.state, State::Open) && self.away_max.is_zero();
        if asks {
            self.heartbeat.probe(now, out);
        }
        asks
    }

    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter) {
        self.state = State::Closed;
        put_close(reason, self.complaint.as_deref(), out);
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.clone()
    }

    fn complain(&mut self, rule: &str) {
        self.complaint.get_or_insert_with(|| rule.to_owned());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_connection_is_small() {
        assert!(size_of::<Native>() <= 352, "{} bytes", size_of::<Native>());
    }
}
