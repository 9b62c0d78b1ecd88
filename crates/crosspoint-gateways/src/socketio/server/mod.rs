//! The hub, as a server of Socket.IO with the plugin `socket.io-p2p-plugin`.
//!
//! * how a client comes and goes, and what its packets are, is here; `protocol` is how the driver calls it
//! * `options`: what an embedder sets; `gathering`: packets with their attachments; `say`: what is written
//! * `events`: which event is carried out where: `emits` (from client to client, and what comes over links),
//!   `targets` (targets and streams), `pairs`, `rooms`, `lists`, `services`; all others by the hub `application`
//! * `topics`: rooms into which a client is put by others
//! * `relay` and `stream_relay`: the same with peers that speak something else, by the machine of each link, which
//!   `foreign` and `streams` keep
//! * `links`: links, and what waits on them; `asking`: packets that wait for an answer of the hub
//!
//! Two clients of Socket.IO say events to each other as the text that came ([`carry`](super::carry)). The wire writes
//! them for the receiver, whose session does not hear of them.

mod application;
mod asking;
mod emits;
mod events;
mod foreign;
mod gathering;
mod links;
mod lists;
mod namespaces;
mod options;
mod pairs;
mod protocol;
mod relay;
mod rooms;
mod say;
mod services;
mod stream_relay;
mod streams;
mod targets;
mod topics;

use super::packet::{Kind, PacketError, ROOT};
use super::{Elements, Name};
use crate::engineio::{Incoming, Revision, Socket};
use crate::inbox::Inbox;
use crate::link::Recent;
use application::Asker;
use asking::{Answer, Question};
use bytes::Bytes;
use crosspoint_hub::command::{ChannelCommand, Command, Hello, LinkCommand};
use crosspoint_hub::protocol::Output;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Limit, LinkNumber, PeerName, Reason};
use crosspoint_proto::peer::StreamId;
use gathering::{GatherError, Gathering, Packet};
use links::Links;
use namespaces::Namespaces;
use pairs::Own;
use rooms::Rooms;
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::fmt;
use std::sync::Arc;
use std::time::Instant;
use topics::Entering;

pub use options::{Generation, Options, Start};

/// The server's side of one session.
pub struct SocketIo {
    options: Arc<Options>,
    start: Start,
    /// The time of the call.
    now: Instant,
    socket: Socket,
    inbox: Inbox,
    gathering: Gathering,
    state: State,
    namespaces: Namespaces,
    links: Links,
    rooms: Rooms,
    entering: Entering,
    services: BTreeSet<PeerName>,
    /// Streams to peers that speak something else, by the client's own ids.
    streams: BTreeMap<Box<str>, (LinkNumber, StreamId)>,
    /// What the hub itself has asked the client.
    own: Own,
    /// The client is to be told that another one has its name.
    shares_name: bool,
    /// What the hub application was asked.
    asks: Recent<Asker>,
    /// What the hub was asked for the packet that waits.
    question: Option<Box<Question>>,
    answer: Option<Answer>,
    /// A packet that is carried out when the hub has answered.
    held: Option<Box<Packet>>,
    next_request: u32,
    ready: VecDeque<Output>,
    /// Packets that gave nothing to carry out, until they are counted.
    idle_frames: u64,
    /// Whole packets.
    packets: u64,
    dropped: u64,
    /// Bounds that were reached and are not counted yet.
    hits: Vec<Limit>,
    /// What the client has done wrong, for people.
    complaint: Option<String>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Nothing was said.
    New,
    /// The session is open, and the client has entered no namespace.
    Begun,
    /// The hub was asked to let the client in.
    Greeting,
    Open,
    /// The client has left its last namespace.
    Left,
    Closed,
}

impl SocketIo {
    /// A session that a client has asked for now. `socket` is its transport, and what is set may be shared with others.
    pub fn new(
        now: Instant,
        options: impl Into<Arc<Options>>,
        socket: Socket,
        start: Start,
    ) -> Self {
        let options = options.into();
        Self {
            socket,
            options,
            start,
            now,
            inbox: Inbox::default(),
            gathering: Gathering::default(),
            state: State::New,
            namespaces: Namespaces::default(),
            links: Links::default(),
            rooms: Rooms::default(),
            entering: Entering::default(),
            services: BTreeSet::new(),
            streams: BTreeMap::new(),
            own: Own::default(),
            shares_name: false,
            asks: Recent::default(),
            question: None,
            answer: None,
            held: None,
            next_request: 0,
            ready: VecDeque::new(),
            idle_frames: 0,
            packets: 0,
            dropped: 0,
            hits: Vec::new(),
            complaint: None,
        }
    }

    /// What came and was for nobody, such as acknowledgements of nothing.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    fn revision(&self) -> Revision {
        self.socket.revision()
    }

    /// Whether events of the plugin are carried out.
    fn serves_plugin(&self) -> bool {
        self.start.client_id.is_some()
            || match self.options.generation {
                Generation::Any => self.revision() == Revision::Three,
                Generation::First => true,
                Generation::Second => false,
            }
    }

    fn give(&mut self, command: impl Into<Command>) {
        let command = command.into();
        self.ready.push_back(Output::Command(command));
    }

    /// The session is over.
    fn fail(&mut self, reason: Reason) {
        if self.state != State::Closed {
            self.state = State::Closed;
            self.ready.push_back(Output::Close(reason));
        }
    }

    /// The session is over, as the client has broken a rule of the protocol.
    fn blame(&mut self, rule: &dyn fmt::Display) {
        if self.state != State::Closed {
            self.complaint = Some(rule.to_string());
        }
        self.fail(Reason::Malformed);
    }

    /// Opens the session. A client of revision 3 is in the root namespace at once.
    fn begin(&mut self, out: &mut FrameWriter) {
        self.socket.open(out);
        self.state = State::Begun;
        if self.revision() == Revision::Three {
            self.namespaces.want(ROOT, Bytes::new());
            // As clients of revision 4 give theirs.
            let token = self.start.token.take().map(|token| say::quoted(&token));
            self.introduce(token.map(Bytes::from));
        }
    }

    /// Asks the hub to let the client in.
    fn introduce(&mut self, token: Option<Bytes>) {
        self.state = State::Greeting;
        let name = self.start.client_id.as_deref().map(str::to_owned);
        // Clients that are refused because of their name do not try again.
        let waits = name.is_some();
        self.give(Command::Hello(Hello { name, token, waits, ..Hello::default() }));
    }

    /// The hub has let the client in.
    fn greet(&mut self, out: &mut FrameWriter) {
        self.state = State::Open;
        self.enter_wanted(out);
    }

    fn message(&mut self, is_text: bool, message: Bytes, out: &mut FrameWriter) {
        let incoming = self.socket.receive(self.now, is_text, message, out);
        let packet = match incoming {
            Ok(Some(Incoming::Closed)) => return self.fail(Reason::Bye),
            Ok(Some(Incoming::Away)) => return self.lose_client(),
            Ok(Some(incoming)) => self.gathering.take(incoming, &self.options),
            Ok(None) => return,
            Err(error) => return self.blame(&error),
        };
        match packet {
            Ok(Some(packet)) => {
                self.packets += 1;
                self.carry_out(packet, out);
            }
            Ok(None) => {}
            Err(GatherError::TooLarge(most)) => {
                self.complaint = Some(format!("a packet has more than {most} bytes"));
                self.fail(Reason::TooLarge);
            }
            Err(error) => {
                if let GatherError::Packet(PacketError::TooManyAttachments(_)) = error {
                    self.hits.push(Limit::SocketIoAttachments);
                }
                self.blame(&error);
            }
        }
    }

    /// Carries out a packet, or keeps it until the hub has answered.
    fn carry_out(&mut self, packet: Packet, out: &mut FrameWriter) {
        if self.state == State::Closed {
            return;
        }
        match self.packet(&packet, out) {
            Some(()) => self.answer = None,
            None => self.held = Some(Box::new(packet)),
        }
    }

    fn packet(&mut self, packet: &Packet, out: &mut FrameWriter) -> Option<()> {
        let namespace = packet.namespace();
        match packet.kind {
            Kind::Connect => self.connect(packet, out),
            Kind::ConnectError => self.blame(&"a CONNECT_ERROR, which the server says"),
            _ if !self.namespaces.has(namespace) => match self.state {
                State::Left => {}
                _ => self.blame(&"a packet in a namespace that was not entered"),
            },
            Kind::Disconnect => self.disconnect(namespace),
            Kind::Event | Kind::BinaryEvent => return self.event_packet(packet, out),
            Kind::Ack | Kind::BinaryAck => self.acknowledged(packet, out),
        }
        Some(())
    }

    fn event_packet(&mut self, packet: &Packet, out: &mut FrameWriter) -> Option<()> {
        let args = match Elements::parse(packet.text()) {
            Ok(args) => args,
            Err(error) => {
                self.blame(&error);
                return Some(());
            }
        };
        match Name::parse(args.get(0)) {
            Ok(name) if namespace_is_root(packet) => self.event(packet, name.as_str(), &args, out),
            Ok(name) => {
                self.ask_application(packet, name.as_str(), &args, out);
                Some(())
            }
            Err(error) => {
                self.blame(&error);
                Some(())
            }
        }
    }

    /// The client leaves a namespace.
    fn disconnect(&mut self, namespace: &str) {
        self.namespaces.leave(namespace);
        if self.namespaces.is_empty() {
            self.state = State::Left;
            self.ready.push_back(Output::Leave(Reason::Bye));
        } else if namespace == ROOT {
            self.leave_all();
        }
    }

    /// The client has left the root, where events of the plugin are, and keeps its name.
    fn leave_all(&mut self) {
        self.leave_peers();
        for number in self.rooms.take_all() {
            self.give(ChannelCommand::Leave(number));
        }
    }

    /// The connection is lost, and the client may come back. It keeps its name and its rooms, and has forgotten all that it
    /// has waited for.
    fn lose_client(&mut self) {
        self.namespaces.leave_others();
        self.leave_peers();
    }

    /// What there was between the client and other sessions has ended for both.
    fn leave_peers(&mut self) {
        self.streams.clear();
        self.own.forget_all();
        for link in self.links.take_all() {
            self.give(LinkCommand::Close { link, reason: Reason::Left });
        }
        self.withdraw_all();
    }
}

fn namespace_is_root(packet: &Packet) -> bool {
    packet.namespace() == ROOT
}

impl fmt::Debug for SocketIo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SocketIo")
            .field("state", &self.state)
            .field("client_id", &self.start.client_id)
            .finish_non_exhaustive()
    }
}
