//! Endpoints of a hub inside the test, without sockets: what a driver does, step by step.

pub(crate) mod frames;
pub(crate) mod relay;
pub(crate) mod speaker;
pub(crate) mod transcript;

use bytes::{BufMut, Bytes};
use crosspoint_gateways::anysocket;
use crosspoint_gateways::anysocket::cipher::Random;
use crosspoint_gateways::anysocket::server::{AnySocket, Options};
use crosspoint_gateways::engineio::Revision;
use crosspoint_gateways::socketio::wire::SocketIoWire;
use crosspoint_hub::command::{Command, Event};
use crosspoint_hub::endpoint::{Endpoint, Outlet};
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::protocol::{Activity, Client, Output, Protocol};
use crosspoint_hub::session::Step;
pub(crate) use crosspoint_hub::testing::Dice;
use crosspoint_hub::wire::{Content, Encoded, Envelope, FrameWriter, Profile, Wire};
use crosspoint_hub::{Hub, HubOptions, PeerId, Reason, Session};
use crosspoint_proto::client::Options as NativeOptions;
use std::collections::VecDeque;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How bytes are cut before a protocol gets them.
#[derive(Debug, Clone)]
pub(crate) enum Cut {
    AsTheyCome,
    Bytewise,
    Anywhere(Dice),
}

impl Cut {
    pub(crate) fn pieces(&mut self, bytes: &[u8]) -> Vec<Bytes> {
        let mut rest = Bytes::copy_from_slice(bytes);
        let mut pieces = Vec::new();
        while !rest.is_empty() {
            let most = rest.len();
            let length = match self {
                Self::AsTheyCome => most,
                Self::Bytewise => 1,
                // Mostly short pieces, where the headers are; sometimes long ones.
                Self::Anywhere(dice) => match dice.below(3) {
                    0 => 1 + dice.below(4),
                    1 => 1 + dice.below(40),
                    _ => 1 + dice.below(most),
                },
            };
            pieces.push(rest.split_to(length.min(most)));
        }
        pieces
    }
}

/// The wire of AnySocket with lengths in front of its messages, in place of the WebSocket.
struct Framed;

static FRAMED: Framed = Framed;

static LENGTHS: Envelope = Envelope {
    prefix: |length, out| out.put_u32(length as u32),
    binary_prefix: None,
    compression: None,
};

impl Wire for Framed {
    fn profile(&self) -> Profile {
        Profile { envelope: Some(&LENGTHS), ..anysocket::WIRE.profile() }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        anysocket::WIRE.encode(content, out);
    }
}

/// The wires of Socket.IO with lengths in front of their messages, in place of the WebSocket.
struct Kinds(SocketIoWire);

static KINDS_THREE: Kinds = Kinds(SocketIoWire::THREE);
static KINDS_FOUR: Kinds = Kinds(SocketIoWire::FOUR);

static KINDS: Envelope = Envelope {
    prefix: |length, out| out.put_u32(length as u32),
    binary_prefix: Some(|length, out| out.put_u32(BINARY | length as u32)),
    compression: None,
};

/// Set in the length of a binary message.
const BINARY: u32 = 1 << 31;

impl Wire for Kinds {
    fn profile(&self) -> Profile {
        Profile { envelope: Some(&KINDS), ..self.0.profile() }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        self.0.encode(content, out);
    }
}

/// The outboxes are emptied by [`World::settle`].
struct Nobody;

impl Outlet for Nobody {
    fn flush(&self, _endpoint: &Endpoint) {}
    fn wake(&self) {}
}

/// The hub's side of one connection, and what it has written.
struct End {
    /// Until the connection ends.
    session: Option<Session>,
    endpoint: Arc<Endpoint>,
    protocol: Box<dyn Protocol>,
    activity: Activity,
    /// What comes while the session waits for a receiver.
    input: VecDeque<Bytes>,
    waiting: bool,
    /// Whether the other side takes what is written.
    reading: bool,
    closed: Option<Reason>,
    written: Vec<u8>,
    /// The other side, where the test has one.
    client: Option<Box<dyn Client>>,
    events: Vec<Event>,
}

/// A hub and its connections.
pub(crate) struct World {
    pub(crate) hub: Arc<Hub>,
    pub(crate) now: Instant,
    pub(crate) cut: Cut,
    ends: Vec<End>,
}

impl World {
    pub(crate) fn new(options: HubOptions) -> Self {
        Self { hub: Hub::new(options), now: Instant::now(), cut: Cut::AsTheyCome, ends: Vec::new() }
    }

    fn open(&mut self, wire: &'static dyn Wire, protocol: Box<dyn Protocol>) -> usize {
        // Each at an address of its own, so that nobody is taken for the former connection of another.
        let number = u32::try_from(self.ends.len()).unwrap();
        let address = Some(IpAddr::from(Ipv4Addr::from_bits(0x7f00_0001 + number)));
        let session = self.hub.open(self.now, address, wire, Box::new(Nobody));
        self.ends.push(End {
            endpoint: session.endpoint().clone(),
            session: Some(session),
            protocol,
            activity: Activity { read: self.now, written: None },
            input: VecDeque::new(),
            waiting: false,
            reading: true,
            closed: None,
            written: Vec::new(),
            client: None,
            events: Vec::new(),
        });
        self.ends.len() - 1
    }

    /// A joint connection whose other side is the test itself.
    pub(crate) fn joint(&mut self) -> usize {
        let protocol = crosspoint_gateways::peote::server::Joint::new();
        self.open(&crosspoint_gateways::peote::WIRE, Box::new(protocol))
    }

    /// A joint connection with the client role on the other side.
    pub(crate) fn joint_client(&mut self) -> usize {
        let end = self.joint();
        let client = crosspoint_gateways::peote::client::Joint::new(PeerId::new([0; 16]));
        self.ends[end].client = Some(Box::new(client));
        self.settle();
        end
    }

    /// A native connection with the client role on the other side.
    pub(crate) fn native_client(&mut self) -> usize {
        let options = crosspoint_proto::server::Options {
            limits: self.hub.limits.clone(),
            hub: "test".to_owned(),
            home: self.hub.application_peer(),
            ..Default::default()
        };
        let protocol = crosspoint_proto::server::Native::new(self.now, options);
        let end = self.open(&crosspoint_proto::WIRE, Box::new(protocol));
        let mut out = FrameWriter::default();
        let options = NativeOptions::default();
        let client = crosspoint_proto::client::Native::new(self.now, options, &mut out);
        self.ends[end].client = Some(Box::new(client));
        self.feed(end, &flat(&out.take()));
        self.settle();
        end
    }

    /// An AnySocket connection whose other side is the test itself.
    pub(crate) fn anysocket(&mut self, options: Options, random: Box<dyn Random + Send>) -> usize {
        let protocol = AnySocket::with_random(self.now, options, random);
        self.open(&FRAMED, Box::new(protocol))
    }

    /// A connection in whose messages text and bytes are told apart, whose other side is the test itself.
    pub(crate) fn open_websocket(
        &mut self,
        revision: Revision,
        protocol: Box<dyn Protocol>,
    ) -> usize {
        let wire = match revision {
            Revision::Three => &KINDS_THREE,
            Revision::Four => &KINDS_FOUR,
        };
        let end = self.open(wire, protocol);
        self.ends[end].run(self.now);
        self.settle();
        end
    }

    /// Hands a whole message of text or bytes to the hub's side.
    pub(crate) fn say_message(&mut self, end: usize, is_text: bool, message: &[u8]) {
        let pieces = self.cut.pieces(message);
        self.ends[end].protocol.message_begins(self.now, is_text);
        self.ends[end].hear(self.now, pieces);
        self.settle();
    }

    /// Hands a whole message to the hub's side, which does not look at it before [`World::run`].
    pub(crate) fn queue(&mut self, end: usize, is_text: bool, message: &[u8]) {
        let end = &mut self.ends[end];
        end.protocol.message_begins(self.now, is_text);
        end.protocol.receive(self.now, Bytes::copy_from_slice(message));
        end.protocol.message_ended(self.now);
    }

    /// Has the hub's side look at what was queued.
    pub(crate) fn run(&mut self, end: usize) {
        self.ends[end].run(self.now);
        self.settle();
    }

    /// Lets come what sessions outside of this have sent.
    pub(crate) fn settled(&mut self) {
        self.settle();
    }

    /// What the other side has done wrong.
    pub(crate) fn complaint(&self, end: usize) -> Option<String> {
        self.ends[end].protocol.complaint()
    }

    /// Whether the hub's side waits for an answer of the hub.
    pub(crate) fn asks(&self, end: usize) -> bool {
        self.ends[end].protocol.waits()
    }

    /// The messages that were written to the other side since the last call, and whether they are text.
    pub(crate) fn messages(&mut self, end: usize) -> Vec<(bool, Vec<u8>)> {
        let written = self.written(end);
        let (mut rest, mut messages) = (&written[..], Vec::new());
        while let Some((length, more)) = rest.split_first_chunk() {
            let length = u32::from_be_bytes(*length);
            let (message, more) = more.split_at((length & !BINARY) as usize);
            messages.push((length & BINARY == 0, message.to_vec()));
            rest = more;
        }
        messages
    }

    /// Hands a whole message to the hub's side, cut as [`World::cut`] says.
    pub(crate) fn say(&mut self, end: usize, message: &[u8]) {
        self.say_all(end, &[message.to_vec()]);
    }

    /// The other side says several things, and hears nothing before all of them have come.
    pub(crate) fn say_all(&mut self, end: usize, messages: &[Vec<u8>]) {
        let said: Vec<_> = messages.iter().map(|message| (end, message.clone())).collect();
        self.say_together(&said);
    }

    /// Other sides say something, and nobody hears anything before all of it has come.
    pub(crate) fn say_together(&mut self, said: &[(usize, Vec<u8>)]) {
        for (end, message) in said {
            let pieces = self.cut.pieces(message);
            self.ends[*end].hear(self.now, pieces);
        }
        self.settle();
    }

    /// The messages that were written to the other side since the last call.
    pub(crate) fn said(&mut self, end: usize) -> Vec<Vec<u8>> {
        let written = self.written(end);
        let (mut rest, mut messages) = (&written[..], Vec::new());
        while let Some((length, behind)) = rest.split_first_chunk::<4>() {
            let (message, behind) = behind.split_at(u32::from_be_bytes(*length) as usize);
            messages.push(message.to_vec());
            rest = behind;
        }
        messages
    }

    /// Lets everything happen that is about to.
    pub(crate) fn idle(&mut self) {
        self.settle();
    }

    /// Hands bytes to the hub's side, cut as [`World::cut`] says, and lets everything settle after
    /// each piece.
    pub(crate) fn feed(&mut self, end: usize, bytes: &[u8]) {
        for piece in self.cut.pieces(bytes) {
            self.ends[end].receive(self.now, piece);
            self.settle();
        }
    }

    /// The other side is gone.
    pub(crate) fn lose(&mut self, end: usize) {
        self.ends[end].finish(Reason::ConnectionLost);
        self.settle();
    }

    /// Whether the other side takes what is written for it.
    pub(crate) fn set_reading(&mut self, end: usize, reading: bool) {
        self.ends[end].reading = reading;
        self.settle();
    }

    /// Lets time pass, in steps short enough that no deadline is missed by much.
    pub(crate) fn pass(&mut self, time: Duration) {
        let until = self.now + time;
        while self.now < until {
            self.now = until.min(self.now + Duration::from_millis(100));
            for end in &mut self.ends {
                end.tick(self.now);
            }
            self.settle();
        }
    }

    /// Sends the other side a probe, if its protocol has them.
    pub(crate) fn probe(&mut self, end: usize) -> bool {
        let now = self.now;
        let mut out = self.ends[end].writer();
        let asks = self.ends[end].protocol.probe(now, &mut out);
        self.ends[end].endpoint.push_own(&out.take());
        self.settle();
        asks
    }

    /// The memory that the hub's side of a connection holds, besides the hub itself.
    pub(crate) fn buffered(&self, end: usize) -> usize {
        self.ends[end].protocol.buffered()
    }

    /// Why the hub ended the connection, if it did.
    pub(crate) fn closed(&self, end: usize) -> Option<Reason> {
        self.ends[end].closed
    }

    /// Whether the connection's messages wait for a receiver.
    pub(crate) fn waits(&self, end: usize) -> bool {
        self.ends[end].waiting
    }

    /// What was written to the other side since the last call.
    pub(crate) fn written(&mut self, end: usize) -> Vec<u8> {
        std::mem::take(&mut self.ends[end].written)
    }

    /// Lets a client role give a command.
    pub(crate) fn ask(&mut self, end: usize, command: impl Into<Command>) {
        let command = command.into();
        let mut out = FrameWriter::default();
        let client = self.ends[end].client.as_mut().expect("has a client role");
        client.command(self.now, command, &mut out).expect("the protocol has words for it");
        self.feed(end, &flat(&out.take()));
    }

    /// What a client role has heard since the last call.
    pub(crate) fn heard(&mut self, end: usize) -> Vec<Event> {
        std::mem::take(&mut self.ends[end].events)
    }

    /// Empties all outboxes, and hands to the client roles what is for them, until nothing moves.
    pub(crate) fn settle(&mut self) {
        let now = self.now;
        loop {
            let mut moved = false;
            for end in &mut self.ends {
                moved |= end.drain(now);
                moved |= end.resume(now);
                moved |= end.talk(now, &mut self.cut);
            }
            if !moved {
                return;
            }
        }
    }
}

impl End {
    fn receive(&mut self, now: Instant, bytes: Bytes) {
        if self.closed.is_some() {
            return;
        }
        self.activity.read = now;
        if self.waiting {
            self.input.push_back(bytes);
            return;
        }
        self.protocol.receive(now, bytes);
        self.run(now);
    }

    fn hear(&mut self, now: Instant, pieces: Vec<Bytes>) {
        if self.closed.is_some() {
            return;
        }
        self.activity.read = now;
        pieces.into_iter().for_each(|piece| self.protocol.receive(now, piece));
        self.protocol.message_ended(now);
        if !self.waiting {
            self.run(now);
        }
    }

    fn writer(&self) -> FrameWriter {
        self.endpoint.frame_writer()
    }

    /// Carries out what the protocol wants, as far as the receivers have room.
    fn run(&mut self, now: Instant) {
        let mut out = self.writer();
        let Some(session) = &mut self.session else {
            return;
        };
        let mut step = Step::Go;
        while step == Step::Go {
            step = match self.protocol.poll(now, &mut out) {
                Some(Output::Command(command)) => {
                    self.endpoint.hold_events(!self.protocol.takes_events());
                    if matches!(command, Command::Application(_)) && !out.is_empty() {
                        self.endpoint.push_own(&out.take());
                    }
                    session.execute(now, command)
                }
                Some(Output::Leave(reason)) => {
                    assert_eq!(session.flush(now), Step::Go, "no test leaves while it waits");
                    session.leave(reason);
                    Step::Go
                }
                Some(Output::Close(reason)) => Step::Close(reason),
                Some(Output::Measurement(measurement)) => {
                    session.hub().metrics.measured(self.endpoint.profile.name, measurement);
                    Step::Go
                }
                None => match self.input.pop_front() {
                    Some(bytes) => {
                        self.protocol.receive(now, bytes);
                        Step::Go
                    }
                    None => break,
                },
            };
        }
        self.endpoint.push_own(&out.take());
        // What came before an end is sent before the end.
        step = match (step, session.flush(now)) {
            (Step::Close(_), Step::Wait) => panic!("no test ends while it waits"),
            (close @ Step::Close(_), _) | (_, close @ Step::Close(_)) => close,
            (Step::Wait, _) => Step::Wait,
            (Step::Go, flushed) => flushed,
        };
        self.take(now, step);
    }

    fn take(&mut self, now: Instant, step: Step) {
        self.waiting = step == Step::Wait;
        if let Step::Close(reason) = step {
            self.drain(now);
            let mut out = self.writer();
            self.protocol.farewell(reason, &mut out);
            self.written.extend(flat(&out.take()));
            self.finish(reason);
        }
    }

    fn finish(&mut self, reason: Reason) {
        if let Some(mut session) = self.session.take() {
            self.closed = Some(reason);
            session.close(reason);
        }
    }

    fn resume(&mut self, now: Instant) -> bool {
        let Some(session) = self.session.as_mut().filter(|_| self.waiting) else {
            return false;
        };
        match session.flush(now) {
            Step::Go => {
                self.waiting = false;
                self.run(now);
                true
            }
            Step::Wait => false,
            close => {
                self.take(now, close);
                true
            }
        }
    }

    fn drain(&mut self, now: Instant) -> bool {
        let mut moved = false;
        // Everybody here lives.
        if let Some(session) = &mut self.session
            && self.endpoint.take_probe_request()
        {
            session.shows_life();
            moved = true;
        }
        let mut pieces = Vec::new();
        while let Some(session) = &mut self.session {
            if !self.reading && self.endpoint.stalled().is_some() {
                break;
            }
            let takes_events = self.protocol.takes_events();
            self.endpoint.hold_events(!takes_events);
            let step = match takes_events {
                true => self.endpoint.next(true, &mut pieces),
                false => {
                    let ahead = |event: &Event| self.protocol.takes_ahead(event);
                    self.endpoint.next_ahead(&ahead, &mut pieces)
                }
            };
            match step {
                WriteStep::Write if self.reading => {
                    let length = pieces.iter().map(Bytes::len).sum();
                    self.written.extend(pieces.iter().flatten());
                    self.activity.written = Some(now);
                    self.endpoint.wrote(now, &mut pieces, length, false);
                }
                WriteStep::Write => self.endpoint.wrote(now, &mut pieces, 0, true),
                WriteStep::Event(tag, event) => {
                    let mut out = self.endpoint.frame_writer();
                    if session.observe(tag, &event) {
                        self.protocol.deliver(now, &event, &mut out);
                    }
                    self.endpoint.converted(&out.take());
                }
                WriteStep::Dead(reason) => self.finish(reason),
                WriteStep::Nothing | WriteStep::ForTask | WriteStep::Blocked => {
                    let mut out = self.endpoint.frame_writer();
                    self.protocol.write_more(&mut out);
                    if !out.is_empty() {
                        self.endpoint.push_held(&out.take());
                    } else if takes_events || !self.protocol.takes_events() {
                        break;
                    }
                }
            }
            moved = true;
        }
        if self.protocol.has_output() && !self.waiting && self.session.is_some() {
            self.run(now);
            moved = true;
        }
        moved
    }

    fn tick(&mut self, now: Instant) {
        let due = self.protocol.deadline(self.activity);
        if self.closed.is_some() || due.is_none_or(|due| due > now) {
            return;
        }
        let mut out = self.writer();
        let reason = self.protocol.tick(now, self.activity, &mut out);
        self.endpoint.push_own(&out.take());
        if let Some(reason) = reason {
            self.take(now, Step::Close(reason));
        }
    }

    /// Hands to the client role what was written for it, and to the hub's side what it answers.
    fn talk(&mut self, now: Instant, cut: &mut Cut) -> bool {
        let Some(client) = &mut self.client else {
            return false;
        };
        let mut out = FrameWriter::default();
        for piece in cut.pieces(&std::mem::take(&mut self.written)) {
            client.receive(now, piece);
            while let Some(event) = client.poll(now, &mut out) {
                self.events.push(event);
            }
        }
        // Also what it has to say before anything came.
        while let Some(event) = client.poll(now, &mut out) {
            self.events.push(event);
        }
        let answer = flat(&out.take());
        if answer.is_empty() {
            return false;
        }
        self.receive(now, answer.into());
        true
    }
}

pub(crate) fn flat(encoded: &Encoded) -> Vec<u8> {
    encoded.pieces().flatten().copied().collect()
}
