//! The hub, as a program with AnySocket sees it: a peer that answers, forwards, and has an object `hub`.
//!
//! * what belongs to the connection, such as AUTH and whom a message is for, is here; `protocol` is how the
//!   driver calls it
//! * `options`: what an embedder sets, and what the sessions of a server share; `secure`: encryption that this side begins
//! * `proxy`: peers behind the hub (sections 9 and 10); `hold`: what comes before the client knows them, kept as `held`
//! * `peer_link`: a link of the hub, with the machine of the peer layer; `relay`: how the client says what comes
//!   over it, and how `payload` translates it
//! * `object`: the object `hub`; `acts`: what becomes of its calls; `rooms`: rooms that were entered
//! * `deferred`: what the client says before it has answered the hub's call for encryption
//! * `kept`: what it takes that something waits for answers which may never come
//!
//! Two peers of AnySocket get each other's packets as they are, so that their encryption passes through. To
//! all others this session is the AnySocket end of a proxied link, and translates.

mod acts;
mod deferred;
mod held;
mod hold;
mod object;
mod options;
mod payload;
mod peer_link;
mod protocol;
mod proxy;
mod relay;
mod rooms;
mod secure;
#[cfg(test)]
mod testing;

use super::auth::Auth;
use super::cipher::{Random, SystemRandom};
use super::heartbeat::Heartbeat;
use super::id::Id;
use super::internal::rpc::{Call, Failure, Outcome};
use super::internal::{Internal, InternalError, Time};
use super::link::{Link, LinkError, Received, SendError, Ticket};
use super::packet::{self, Kind, Message, Packet};
use super::reassembly::PieceError;
use super::split::PIECE_UNITS_MAX;
use super::wire;
use crate::inbox::Inbox;
use crate::link::{Kept, Recent, Weight};
use crate::value::{Json, Unreadable};
use acts::Question;
use aws_lc_rs::digest::{SHA256, digest};
use bytes::Bytes;
use crosspoint_hub::command::{ApplicationCommand, Command, Hello};
use crosspoint_hub::messages::Run;
use crosspoint_hub::payload::{self as hub_payload, Ask};
use crosspoint_hub::protocol::{Measurement, Output, Protocol as _};
use crosspoint_hub::wire::{FrameWriter, Part, Place};
use crosspoint_hub::{Limit, Limits, PeerId, Reason};
use deferred::{Deferred, Said};
use peer_link::Token;
use proxy::Peers;
use rooms::Rooms;
use serde::Deserialize;
use std::borrow::Cow;
use std::collections::VecDeque;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

pub use options::{Options, Setup};

/// The largest message of the WebSocket in bytes: a piece of the largest size with characters of three
/// bytes, encrypted, in hexadecimal digits, with all headers.
pub const MESSAGE_BYTES_MAX: usize = 6 * PIECE_UNITS_MAX + 256;

/// What may wait for AUTH, in packets and bytes.
const EARLY_MAX: usize = 64;
const EARLY_BYTES_MAX: usize = 64 * 1024;

/// How many commands are for what others have said, and not for what the client has.
#[derive(Debug, Default)]
struct Unasked {
    /// Those that the driver has not taken.
    waiting: u32,
    /// Those that it has, until they are counted.
    given: u32,
}

/// The server's side of one connection.
pub struct AnySocket {
    setup: Arc<Setup>,
    random: Box<dyn Random + Send>,
    /// The time of the call.
    now: Instant,
    inbox: Inbox,
    state: State,
    /// What came before AUTH.
    early: Vec<Packet>,
    /// What came before the client has answered the hub's call for encryption.
    deferred: Deferred,
    /// The client's id, if it can be written into forwarded packets.
    peer: Option<PeerId>,
    /// The id by which the hub knows the client.
    known_as: Option<PeerId>,
    /// As the client says it.
    name: Option<String>,
    main: Link<Token>,
    heartbeat: Option<Heartbeat>,
    /// When something was read, as far as the heartbeat knows.
    read: Instant,
    peers: Peers,
    rooms: Rooms,
    /// What the hub was asked.
    questions: Recent<Question>,
    /// Calls that the hub application was asked to answer.
    calls: Recent<Reply>,
    /// What waits at links, and for answers.
    kept: Kept,
    switches: Budget,
    ready: VecDeque<Output>,
    /// Messages that gave nothing to carry out, until they are counted.
    idle_frames: u64,
    /// Commands for what others have said.
    unasked: Unasked,
    /// When something is late, at the earliest.
    due: Option<Instant>,
    dropped: u64,
    /// What had to wait for encryption waits for [`Protocol::write_more`].
    ///
    /// [`Protocol::write_more`]: crosspoint_hub::Protocol::write_more
    backlog: bool,
    /// Bounds that were reached and are not counted yet.
    hits: Vec<Limit>,
    /// What the client has done wrong, for people.
    complaint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// The hub was asked to let the client in.
    Greeting,
    Open,
    Closed,
}

/// Whom the client hears or talks to: the hub, or a peer behind it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum With {
    Hub,
    Peer(PeerId),
}

/// The right to answer a call.
#[derive(Debug)]
struct Reply {
    /// A call without a number cannot be answered.
    ticket: Option<Ticket>,
    method: Vec<String>,
    _weight: Weight,
}

impl Reply {
    fn new(kept: &Kept, ticket: Option<Ticket>, method: Vec<String>) -> Self {
        let names: usize = method.iter().map(|name| name.len() + size_of::<String>()).sum();
        Self { ticket, method, _weight: kept.weigh(names + size_of::<Self>()) }
    }

    /// That the method failed.
    fn failure(&self, code: u32, error: &str) -> Outcome {
        let failure = Failure::failed(error, &self.method);
        Outcome::Failed(Failure { code: code.into(), ..failure })
    }
}

/// Key agreements cost the hub some milliseconds, so a client gets a few at once and one a second.
#[derive(Debug)]
struct Budget {
    left: u32,
    since: Instant,
}

impl Budget {
    const MOST: u32 = 8;

    fn take(&mut self, now: Instant) -> bool {
        let seconds = now.saturating_duration_since(self.since).as_secs();
        if seconds > 0 {
            self.left =
                u32::try_from(seconds).map_or(Self::MOST, |more| self.left.saturating_add(more));
            self.left = self.left.min(Self::MOST);
            self.since = now;
        }
        let enough = self.left > 0;
        self.left -= u32::from(enough);
        enough
    }
}

impl AnySocket {
    /// A connection that has just begun. What is set may be shared with others.
    pub fn new(now: Instant, setup: impl Into<Arc<Setup>>) -> Self {
        Self::with_random(now, setup, Box::new(SystemRandom))
    }

    /// As [`AnySocket::new`], with random bytes from elsewhere.
    pub fn with_random(
        now: Instant,
        setup: impl Into<Arc<Setup>>,
        random: Box<dyn Random + Send>,
    ) -> Self {
        let setup = setup.into();
        Self {
            main: Link::new(setup.config.clone(), setup.options.id),
            setup,
            random,
            now,
            inbox: Inbox::default(),
            state: State::New,
            early: Vec::new(),
            deferred: Deferred::default(),
            peer: None,
            known_as: None,
            name: None,
            heartbeat: None,
            read: now,
            peers: Peers::default(),
            rooms: Rooms::default(),
            questions: Recent::default(),
            calls: Recent::default(),
            kept: Kept::default(),
            switches: Budget { left: Budget::MOST, since: now },
            // It would begin with room for four, which few clients need.
            ready: VecDeque::with_capacity(1),
            idle_frames: 0,
            unasked: Unasked::default(),
            due: None,
            dropped: 0,
            backlog: false,
            hits: Vec::new(),
            complaint: None,
        }
    }

    /// What came and was for nobody: forwarded packets without a link, unasked replies, and the like.
    pub fn dropped(&self) -> u64 {
        self.dropped + self.main.dropped().replies
    }

    /// The largest that JSON may become out of something smaller.
    fn json_bytes_max(&self) -> usize {
        2 * self.setup.options.limits.message_bytes_max as usize
    }

    fn give(&mut self, command: impl Into<Command>) {
        let command = command.into();
        self.ready.push_back(Output::Command(command));
    }

    /// The session is over.
    fn fail(&mut self, reason: Reason) {
        if self.state != State::Closed {
            self.state = State::Closed;
            if reason == Reason::SlowReceiver {
                self.hits.push(Limit::OutboxBytes);
            }
            self.ready.push_back(Output::Close(reason));
        }
    }

    /// The session is over, as the client has broken a rule of the protocol.
    fn blame(&mut self, rule: &dyn fmt::Display) {
        self.fail_for(Reason::Malformed, rule);
    }

    fn fail_for(&mut self, reason: Reason, rule: &dyn fmt::Display) {
        if self.state != State::Closed {
            self.complaint = Some(rule.to_string());
        }
        self.fail(reason);
    }

    /// A link has failed. Gives the reason, and counts what bound it was.
    fn fault(&mut self, error: &LinkError) -> Reason {
        if matches!(error, LinkError::Piece(PieceError::Slow(_))) {
            self.hits.push(Limit::MessageTime);
        }
        error.reason()
    }

    fn note(&mut self, deadline: Option<Instant>) {
        self.due = match (self.due, deadline) {
            (Some(due), Some(deadline)) => Some(due.min(deadline)),
            (due, deadline) => due.or(deadline),
        };
    }

    /// Says something to the client, and writes all that may be written.
    fn tell(
        &mut self,
        out: &mut FrameWriter,
        say: impl FnOnce(&mut Link<Token>) -> Result<(), SendError>,
    ) {
        let said = say(&mut self.main).map_err(|_full| Reason::SlowReceiver);
        let result = said.and_then(|()| match self.backlog {
            true => Ok(true),
            false => write(&mut self.main, &mut *self.random, None, out, usize::MAX),
        });
        let deadline = self.main.deadline();
        self.note(deadline);
        if let Err(reason) = result {
            self.fail(reason);
        }
    }

    /// Says something to the client as the hub or as a peer behind it.
    fn tell_as(
        &mut self,
        with: With,
        out: &mut FrameWriter,
        say: impl FnOnce(&mut Link<Token>) -> Result<(), SendError>,
    ) {
        match with {
            With::Hub => self.tell(out, say),
            With::Peer(id) => self.tell_as_peer(id, out, say),
        }
    }

    /// Answers a call, if it can be answered.
    fn answer(&mut self, with: With, reply: Reply, outcome: &Outcome, out: &mut FrameWriter) {
        if let Some(ticket) = reply.ticket {
            self.tell_as(with, out, |link| link.reply(ticket, outcome.to_json()));
        }
    }

    fn message(&mut self, message: Bytes, out: &mut FrameWriter) {
        if message.is_empty() {
            self.dropped += 1;
            return;
        }
        match packet::parse(message) {
            Ok(Message::Packet(packet)) => self.packet(packet, out),
            Ok(Message::Forward(forward)) if self.state == State::Open => {
                self.heed(Said::Forward(forward), out);
            }
            Ok(Message::Forward(_)) => self.blame(&"a FORWARD before AUTH"),
            Err(error) => self.blame(&error),
        }
    }

    fn packet(&mut self, packet: Packet, out: &mut FrameWriter) {
        let now = self.now;
        match (self.state, packet.kind) {
            (State::Open, Kind::Auth) => return self.blame(&"a second AUTH"),
            (State::Open, Kind::Switch) if !self.switches.take(now) => {
                return self.fail(Reason::TooManyPending);
            }
            (State::Open, _) | (State::New, Kind::Auth) => {}
            (_, Kind::Link | Kind::Internal) => return self.keep(packet),
            (_, kind) => return self.blame(&LinkError::TooEarly(kind)),
        }
        let held = self.main.is_held();
        let received = self.main.receive(now, &mut *self.random, packet);
        self.backlog |= held && !self.main.is_held();
        match received {
            Ok(None) => {
                self.measure();
                self.tell(out, |_| Ok(()));
            }
            Ok(Some(received)) => self.heed(Said::Received(received), out),
            Err(error) => self.fail_for(error.reason(), &error),
        }
    }

    /// Carries out what the client has said, or defers it until encryption has begun.
    fn heed(&mut self, said: Said, out: &mut FrameWriter) {
        let is_switch = matches!(said, Said::Received(Received::Encrypted { .. }));
        match !is_switch && (!self.takes_events() || !self.deferred.is_empty()) {
            true => self.deferred.push(said),
            false => self.carry_out(said, out),
        }
    }

    fn carry_out(&mut self, said: Said, out: &mut FrameWriter) {
        match said {
            Said::Received(received) => self.received(received, out),
            Said::Forward(forward) => self.forward(forward, out),
        }
    }

    /// What was deferred and waits no more: encryption has begun, and it has its turn, or there is too much of it.
    fn next_deferred(&mut self) -> Option<Said> {
        let is_due = self.takes_events() && self.deferred.has_turn();
        let is_too_much = self.deferred.bytes() > self.setup.config.queue_bytes_max;
        if is_due || is_too_much { self.deferred.pop() } else { None }
    }

    /// Tells the round trip, if a probe was answered.
    fn measure(&mut self) {
        if self.main.take_answered()
            && let Some(heartbeat) = &mut self.heartbeat
            && let Some(round_trip) = heartbeat.answered(self.now)
        {
            self.ready.push_back(Output::Measurement(Measurement::RoundTrip(round_trip)));
        }
    }

    /// Keeps what has come before AUTH.
    fn keep(&mut self, packet: Packet) {
        let bytes: usize = self.early.iter().map(|packet| packet.body.len()).sum();
        if self.early.len() >= EARLY_MAX || bytes + packet.body.len() > EARLY_BYTES_MAX {
            return self.fail(Reason::TooManyPending);
        }
        // A copy, as a small body could keep a large read in memory.
        let body = Bytes::copy_from_slice(&packet.body);
        self.early.push(Packet { body, ..packet });
    }

    fn received(&mut self, received: Received<Token>, out: &mut FrameWriter) {
        match received {
            Received::Auth(body) => self.introduce(&body),
            Received::Message { body, ticket } => {
                let ticket = ticket.and_then(Ticket::into_number).unwrap_or_default();
                let ask = Ask { method: String::new(), payload: payload::from_json(body) };
                self.give(ApplicationCommand::Ask { ticket, ask });
            }
            Received::Internal { body, ticket } => self.internal(&body, ticket, out),
            Received::Reply { token, body } => self.replied(token, &body, out),
            Received::Encrypted { fingerprint } => {
                self.give(Command::Secured { outcome: Ok(fingerprint) });
                self.tell(out, |_| Ok(()));
            }
        }
    }

    /// The client says who it is.
    fn introduce(&mut self, body: &Json) {
        let Auth { id, auth } = match Auth::parse(body) {
            Ok(said) => said,
            Err(error) => return self.blame(&error),
        };
        self.peer = id.peer();
        if self.peer == Some(self.setup.options.id) {
            return self.fail(Reason::IdTaken);
        }
        if self.setup.options.encrypt && id.text().is_none() {
            return self.fail(Reason::Unsupported);
        }
        self.name = auth.as_ref().and_then(name);
        let peer = id.peer().unwrap_or_else(|| derived(&id));
        self.known_as = Some(peer);
        self.main.set_peer(id);
        self.state = State::Greeting;
        let token = auth.map(Json::into_bytes);
        let name = self.name.clone();
        let hello = Hello { peer: Some(peer), name, token, ..Hello::default() };
        self.give(Command::Hello(hello));
    }

    /// The hub has let the client in.
    fn greet(&mut self, out: &mut FrameWriter) {
        let now = self.now;
        self.state = State::Open;
        let Limits { heartbeat, heartbeat_missed_max, .. } = *self.setup.options.limits;
        self.heartbeat = Some(Heartbeat::new(now, heartbeat, heartbeat_missed_max));
        let auth =
            Auth { id: Id::Peer(self.setup.options.id), auth: self.setup.options.auth.clone() };
        self.tell(out, |link| link.authenticate(auth.to_json()));
        if self.setup.options.encrypt {
            self.encrypt(now + secure::PAUSE, out);
        }
        for packet in std::mem::take(&mut self.early) {
            self.packet(packet, out);
        }
    }

    fn internal(&mut self, body: &Json, ticket: Option<Ticket>, out: &mut FrameWriter) {
        match Internal::parse(body) {
            Ok(Internal::Rpc(call)) => self.called(call, ticket, out),
            Ok(Internal::SyncedTime { time }) => {
                if let Some(ticket) = ticket {
                    let time = Time::reply(&time, (self.setup.options.clock)());
                    self.tell(out, |link| link.reply(ticket, time));
                }
            }
            Ok(Internal::Proxy { id }) => self.proxy(id.peer(), ticket, out),
            Ok(Internal::Unproxy { id }) => self.unproxy(id.peer(), out),
            // Peers come from this side. The other one is reserved.
            Ok(Internal::Network { .. } | Internal::RpcNotify) => self.dropped += 1,
            Err(InternalError::Call(failure)) => {
                let reply = Reply::new(&self.kept, ticket, Vec::new());
                self.answer(With::Hub, reply, &Outcome::Failed(failure), out);
            }
            Err(error) => self.blame(&error),
        }
    }

    /// A call is for the object `hub`, or for the hub application.
    fn called(&mut self, call: Call, ticket: Option<Ticket>, out: &mut FrameWriter) {
        if call.method.first().is_some_and(|name| name == object::NAME) {
            return self.wish(call, ticket, out);
        }
        let reply = Reply::new(&self.kept, ticket, call.method);
        let outcome = match peer_link::asked(&reply.method, &call.params) {
            Ok((method, payload)) => {
                let (number, given_up) = self.calls.add(reply);
                self.give(ApplicationCommand::Ask {
                    ticket: CALL | number,
                    ask: Ask { method, payload },
                });
                let Some((_, reply)) = given_up else { return };
                let error = "the hub application did not answer, and too many calls wait for it";
                let outcome = reply.failure(hub_payload::Failure::TOO_MANY, error);
                return self.answer(With::Hub, reply, &outcome, out);
            }
            Err(failure) => Outcome::Failed(failure),
        };
        self.answer(With::Hub, reply, &outcome, out);
    }

    /// The hub application has answered.
    fn answered(&mut self, number: u32, outcome: &hub_payload::Outcome, out: &mut FrameWriter) {
        if number & CALL != 0 {
            let Some(reply) = self.calls.take(number & !CALL) else { return };
            let outcome = peer_link::outcome(outcome, &reply.method, self.json_bytes_max());
            return self.answer(With::Hub, reply, &outcome, out);
        }
        let Some(ticket) = Ticket::from_number(number) else { return };
        let body = match outcome {
            Ok(answer) => payload::json(answer, self.json_bytes_max())
                .unwrap_or_else(|_| failure_body(500, Unreadable::TEXT)),
            Err(failure) => failure_body(failure.code, &failure.message),
        };
        self.tell(out, |link| link.reply(ticket, body));
    }

    /// The hub application says something.
    fn told_by_home(&mut self, payload: &hub_payload::Payload, out: &mut FrameWriter) {
        // What has no form in JSON is its fault, and nobody can be told.
        if let Ok(body) = payload::json(payload, self.json_bytes_max()) {
            self.tell(out, |link| link.send(body));
        }
    }

    /// A message has come from the hub, which puts parts together.
    fn data(&mut self, place: Place, part: &Part, out: &mut FrameWriter) {
        match place {
            Place::Link(link) => self.heard(link, part.kind, &part.data, out),
            Place::Room(room, member) => self.room_data(room, Some(member), part, out),
            Place::In(room) => self.room_data(room, None, part, out),
            // Such a session owns no channels.
            Place::Own(..) => {}
        }
    }

    /// Messages have come that others get as well. What is the same for all of them was written once, and gets a
    /// header here, unless the client has it encrypted.
    fn messages(&mut self, place: Place, run: &Run, out: &mut FrameWriter) {
        let (room, from) = match place {
            Place::Room(room, member) => (room, Some(member)),
            Place::In(room) => (room, None),
            Place::Link(_) | Place::Own(..) => {
                return run.parts().iter().for_each(|part| self.data(place, part, out));
            }
        };
        if self.backlog || !self.main.is_clear() {
            return run.parts().iter().for_each(|part| self.data(place, part, out));
        }
        let Some(intro) = self.rooms.intro(room, from) else { return };
        let Some(bodies) = run.bodies(wire::ID, intro.as_bytes(), rooms::put_body) else {
            return run.parts().iter().for_each(|part| self.data(place, part, out));
        };
        out.reserve(bodies.bytes() + run.parts().len() * HEADERS_BYTES);
        for (part, body) in bodies.iter() {
            let is_data = part.kind == Part::DATA;
            match is_data.then(|| self.main.begin(body.len())).flatten() {
                Some(header) => body.frame(header.as_ref(), out),
                None => self.data(place, part, out),
            }
        }
    }

    /// Bytes of messages of the client of which not all pieces have come, and of what waits for
    /// encryption.
    fn unfinished(&self) -> usize {
        self.main.buffered() + self.peers.kept
    }
}

/// What comes before the body of a short packet, with the envelope.
const HEADERS_BYTES: usize = packet::HEADER_BYTES_MAX + 4;

/// Set in the tickets of calls; others are numbers of messages.
const CALL: u32 = 1 << 31;

/// What a message whose request failed is answered.
fn failure_body(code: u32, error: &str) -> Json {
    let error = Json::new(error).expect("a text has a JSON form");
    Json::made(format!(r#"{{"error":{error},"code":{code}}}"#))
}

/// The name in what the client gives to be let in.
fn name(auth: &Json) -> Option<String> {
    #[derive(Deserialize)]
    struct Fields<'a> {
        #[serde(borrow)]
        name: Option<Cow<'a, str>>,
    }
    let fields: Fields = auth.fields().ok()?;
    fields.name.filter(|name| !name.is_empty()).map(Cow::into_owned)
}

/// What a client whose id is not one of 128 bits is known by: always the same, so that there is only one
/// of it.
fn derived(id: &Id) -> PeerId {
    let hash = digest(&SHA256, format!("anysocket id {id}").as_bytes());
    let (bytes, _) = hash.as_ref().split_first_chunk().expect("SHA-256 has 32 bytes");
    PeerId::new(*bytes)
}

/// Writes what a link has to say, behind `before` if it goes through the hub, until it is `bytes_max` or more.
/// Gives whether that was all.
fn write(
    link: &mut Link<Token>,
    random: &mut dyn Random,
    before: Option<&[u8]>,
    out: &mut FrameWriter,
    bytes_max: usize,
) -> Result<bool, Reason> {
    let mut bytes = 0;
    while bytes < bytes_max {
        let Some(packet) = link.transmit(random).map_err(|_| Reason::Internal)? else {
            return Ok(true);
        };
        bytes = bytes.saturating_add(packet.body.len());
        let header = packet.header();
        let header = header.as_ref();
        let mut both = [0; packet::FORWARD_BYTES_MAX + packet::HEADER_BYTES_MAX];
        let header = match before {
            None => header,
            Some(before) => {
                let length = before.len() + header.len();
                both[..before.len()].copy_from_slice(before);
                both[before.len()..length].copy_from_slice(header);
                &both[..length]
            }
        };
        match link.is_sealed() {
            true => out.frame_as_it_is(header, &packet.body),
            false => out.frame(header, &packet.body),
        }
    }
    Ok(false)
}

impl fmt::Debug for AnySocket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("AnySocket")
            .field("state", &self.state)
            .field("peer", &self.peer)
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        // What few sessions need is boxed. The size is that of a system with 64 bits.
        assert!(size_of::<AnySocket>() <= 1024, "{} bytes", size_of::<AnySocket>());
    }
}
