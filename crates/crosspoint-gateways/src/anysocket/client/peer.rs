//! The client as a state machine.

use super::side::{ANSWERS_BYTES_MAX, ANSWERS_MAX, Asked, Side};
use super::{Config, Ended, Event, Fault, LinkId, Moment, SendError};
use crate::anysocket::auth::Auth;
use crate::anysocket::cipher::Random;
use crate::anysocket::heartbeat::{Beat, Heartbeat};
use crate::anysocket::internal::rpc::{Call, Outcome};
use crate::anysocket::internal::{Internal, InternalError, Time, proxy_reply};
use crate::anysocket::link::{self, LinkError, Received, Ticket};
use crate::anysocket::packet::{self, Forward, Kind, Message, Packet};
use crate::value::Json;
use bytes::{Bytes, BytesMut};
use crosspoint_hub::PeerId;
use std::collections::{HashMap, HashSet, VecDeque};
use std::sync::Arc;
use std::time::Instant;

/// The longest form of a clock's time that is sent back.
const TIME_BYTES_MAX: usize = 64;

/// See the module's documentation.
///
/// Its user hands in messages with [`receive`](Self::receive), takes events with
/// [`poll`](Self::poll) and messages to write with [`transmit`](Self::transmit) until there are none, and
/// calls [`tick`](Self::tick) at the [`deadline`](Self::deadline).
#[derive(Debug)]
pub struct Peer<T> {
    pub(super) config: Config,
    /// Those of the links: with room for the protocol's own answers.
    link_settings: Arc<link::Config>,
    pub(super) ours: PeerId,
    pub(super) neighbour: Side<T>,
    pub(super) proxied: HashMap<LinkId, Side<T>>,
    pub(super) by_id: HashMap<PeerId, LinkId>,
    /// Peers that were asked for.
    pub(super) asked: HashSet<PeerId>,
    last_link: u64,
    /// Unfinished packets of proxied peers.
    joining: usize,
    /// Runs from the neighbour's AUTH on.
    heartbeat: Option<Heartbeat>,
    /// Links that may have something to write, each once.
    ready: VecDeque<LinkId>,
    /// No link has a deadline before this.
    alarm: Option<Instant>,
    events: VecDeque<Event<T>>,
    over: bool,
    pub(super) dropped: u64,
}

impl<T> Peer<T> {
    /// A client that introduces itself at once, as `ours`. `auth` is for the server's application.
    pub fn new(config: Config, ours: PeerId, auth: Option<Json>) -> Self {
        let link_settings = Arc::new(link::Config {
            queue_max: config.link.queue_max.saturating_add(ANSWERS_MAX),
            queue_bytes_max: config.link.queue_bytes_max.saturating_add(ANSWERS_BYTES_MAX),
            ..config.link.clone()
        });
        let mut neighbour = Side::new(link_settings.clone(), ours, None);
        let body = Auth { id: ours.into(), auth }.to_json();
        neighbour.link.authenticate(body).expect("an empty queue takes a packet of any size");
        neighbour.put();
        neighbour.ready = true;
        Self {
            config,
            link_settings,
            ours,
            neighbour,
            proxied: HashMap::new(),
            by_id: HashMap::new(),
            asked: HashSet::new(),
            last_link: 0,
            joining: 0,
            heartbeat: None,
            ready: VecDeque::from([LinkId::NEIGHBOUR]),
            alarm: None,
            events: VecDeque::new(),
            over: false,
            dropped: 0,
        }
    }

    /// The own id.
    pub fn id(&self) -> PeerId {
        self.ours
    }

    /// Whether the neighbour has let us in, and the connection has not ended.
    pub fn is_connected(&self) -> bool {
        self.heartbeat.is_some() && !self.over
    }

    /// Messages that were dropped: for other peers, or from peers without a link.
    pub fn dropped(&self) -> u64 {
        self.dropped
    }

    /// What has happened. Ask until there is nothing.
    pub fn poll(&mut self) -> Option<Event<T>> {
        self.events.pop_front()
    }

    pub(super) fn side(&mut self, link: LinkId) -> Option<&mut Side<T>> {
        match link {
            LinkId::NEIGHBOUR => Some(&mut self.neighbour),
            link => self.proxied.get_mut(&link),
        }
    }

    pub(super) fn event(&mut self, event: Event<T>) {
        self.events.push_back(event);
    }

    /// The side that may send so much, if it may.
    fn sender(&mut self, link: LinkId, body: &Json) -> Result<&mut Side<T>, SendError> {
        if !self.is_connected() || self.neighbour.closing {
            return Err(SendError::Ended);
        }
        let side = match link {
            LinkId::NEIGHBOUR => &mut self.neighbour,
            link => self.proxied.get_mut(&link).ok_or(SendError::Ended)?,
        };
        side.room(&self.config.link, body)?;
        Ok(side)
    }

    /// A link has something new to write, or to wait for.
    pub(super) fn touch(&mut self, link: LinkId) {
        let Some(side) = self.side(link) else {
            return;
        };
        let first = !std::mem::replace(&mut side.ready, true);
        let deadline = side.link.deadline();
        if first {
            self.ready.push_back(link);
        }
        self.alarm = [self.alarm, deadline].into_iter().flatten().min();
    }

    /// Sends the application's message.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn send(&mut self, link: LinkId, body: Json) -> Result<(), SendError> {
        let side = self.sender(link, &body)?;
        side.link.send(body)?;
        side.put();
        self.touch(link);
        Ok(())
    }

    /// Sends the application's message, which is to be answered until `deadline`.
    ///
    /// # Errors
    /// [`SendError`]; the token is lost.
    pub fn request(
        &mut self,
        link: LinkId,
        body: Json,
        deadline: Instant,
        token: T,
    ) -> Result<(), SendError> {
        let side = self.sender(link, &body)?;
        side.link.request(body, deadline, Asked::Request(token))?;
        side.put();
        self.touch(link);
        Ok(())
    }

    /// Calls a method. The answer is an [`Outcome`].
    ///
    /// # Errors
    /// [`SendError`]; the token is lost.
    pub fn call(
        &mut self,
        link: LinkId,
        call: &Call,
        deadline: Instant,
        token: T,
    ) -> Result<(), SendError> {
        self.ask(link, call.to_json(), deadline, Asked::Request(token))
    }

    /// Asks for the other side's clock. The answer is a [`Time`].
    ///
    /// # Errors
    /// [`SendError`]; the token is lost.
    pub fn clock(
        &mut self,
        link: LinkId,
        moment: Moment,
        deadline: Instant,
        token: T,
    ) -> Result<(), SendError> {
        let time = Json::made(moment.clock_ms.to_string());
        let body = Internal::SyncedTime { time }.to_json();
        self.ask(link, body, deadline, Asked::Request(token))
    }

    pub(super) fn ask(
        &mut self,
        link: LinkId,
        body: Json,
        deadline: Instant,
        asked: Asked<T>,
    ) -> Result<(), SendError> {
        let side = self.sender(link, &body)?;
        side.link.request_internal(body, deadline, asked)?;
        side.put();
        self.touch(link);
        Ok(())
    }

    /// Whether a reply of so many bytes can be sent now; then [`reply`](Self::reply) takes it.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn check(&mut self, link: LinkId, body: &Json) -> Result<(), SendError> {
        self.sender(link, body).map(drop)
    }

    /// Answers the application's message.
    ///
    /// # Errors
    /// [`SendError`]; the ticket is lost, see [`check`](Self::check).
    pub fn reply(&mut self, link: LinkId, ticket: Ticket, body: Json) -> Result<(), SendError> {
        let side = self.sender(link, &body)?;
        side.link.reply(ticket, body)?;
        side.put();
        self.touch(link);
        Ok(())
    }

    /// Answers a call.
    ///
    /// # Errors
    /// As [`reply`](Self::reply).
    pub fn answer(
        &mut self,
        link: LinkId,
        ticket: Ticket,
        outcome: &Outcome,
    ) -> Result<(), SendError> {
        self.reply(link, ticket, outcome.to_json())
    }

    /// Calls for encryption. What is sent from now on waits until the other side has answered.
    ///
    /// # Errors
    /// [`SendError`]; with [`link::SendError::Switch`] the link is encrypted already, or about to be.
    pub fn encrypt(
        &mut self,
        link: LinkId,
        now: Instant,
        random: &mut dyn Random,
    ) -> Result<(), SendError> {
        let side = self.sender(link, &Json::EMPTY)?;
        let packets = side.link.encrypt(now, random)?;
        (0..packets).for_each(|_| side.put());
        side.switching = true;
        self.touch(link);
        Ok(())
    }

    /// Ends the connection when everything has been written. Nothing more is taken or told.
    pub fn close(&mut self) {
        self.neighbour.closing = true;
        self.touch(LinkId::NEIGHBOUR);
    }

    /// Ends everything at once: the transport has ended, or the owner does not want this neighbour.
    pub fn end(&mut self, ended: Ended) {
        if self.over {
            return;
        }
        self.over = true;
        let links: Vec<LinkId> = self.proxied.keys().copied().collect();
        for link in links {
            self.remove(link, ended.clone());
        }
        let waiting: Vec<_> = self.neighbour.link.abandon().collect();
        waiting.into_iter().for_each(|asked| self.abandoned(asked, &ended));
        self.ready.clear();
        self.event(Event::Gone { link: LinkId::NEIGHBOUR, ended });
    }

    /// A link ends for what the other side has done.
    pub(super) fn fail(&mut self, link: LinkId, fault: impl Into<Fault>) {
        let ended = Ended::from(fault.into());
        if link.is_neighbour() {
            self.end(ended);
        } else {
            self.unlink(link, ended);
        }
    }

    /// Forgets the link to a proxied peer.
    pub(super) fn remove(&mut self, link: LinkId, ended: Ended) {
        let Some(mut side) = self.proxied.remove(&link) else {
            return;
        };
        self.joining -= side.joining;
        if let Some(id) = side.to {
            self.by_id.remove(&id);
        }
        side.link.abandon().for_each(|asked| self.abandoned(asked, &ended));
        self.event(Event::Gone { link, ended });
    }

    fn abandoned(&mut self, asked: Asked<T>, ended: &Ended) {
        let ended = ended.clone();
        match asked {
            Asked::Request(token) => self.event(Event::Abandoned { token, ended }),
            Asked::Proxy(id) => self.asked_failed(id, super::ProxyError::Ended(ended)),
        }
    }

    pub(super) fn add(&mut self, id: PeerId, asked: bool) -> LinkId {
        self.last_link += 1;
        let link = LinkId(self.last_link);
        let side = Side::new(self.link_settings.clone(), self.ours, Some(id));
        self.proxied.insert(link, side);
        self.by_id.insert(id, link);
        self.event(Event::Linked { link, id, asked });
        link
    }

    /// Takes a text message that has come. Then there may be events, and messages to write.
    pub fn receive(&mut self, moment: Moment, random: &mut dyn Random, message: Bytes) {
        if self.over {
            return;
        }
        if let Some(heartbeat) = &mut self.heartbeat {
            heartbeat.heard(moment.now);
        }
        match packet::parse(message) {
            Ok(Message::Packet(packet)) => self.take(moment, random, LinkId::NEIGHBOUR, packet),
            Ok(Message::Forward(forward)) => self.forwarded(moment, random, forward),
            Err(error) => self.fail(LinkId::NEIGHBOUR, error),
        }
    }

    pub(super) fn take(
        &mut self,
        moment: Moment,
        random: &mut dyn Random,
        link: LinkId,
        packet: Packet,
    ) {
        let connected = self.is_connected();
        let Some(side) = self.side(link) else {
            return;
        };
        let kind = packet.kind;
        match kind {
            Kind::Auth if connected => return self.fail(link, Fault::SecondAuth),
            Kind::Link | Kind::Internal if !connected => {
                return self.fail(link, LinkError::TooEarly(kind));
            }
            // Unless our own call becomes the answer.
            Kind::Switch if !side.switching => side.put(),
            _ => {}
        }
        let before = side.link.buffered();
        let received = side.link.receive(moment.now, random, packet);
        if matches!(kind, Kind::Link | Kind::Internal) {
            let after = side.link.buffered();
            side.joining = side.joining + after - before;
            if !link.is_neighbour() {
                self.joining = self.joining + after - before;
            }
        }
        match received {
            Ok(received) => {
                self.touch(link);
                if let Some(received) = received {
                    self.received(moment, link, received);
                }
            }
            Err(error) => self.fail(link, error),
        }
        if !link.is_neighbour() && self.joining > self.config.proxied_bytes_max {
            self.fail(link, Fault::Pieces(self.config.proxied_bytes_max));
        }
    }

    fn received(&mut self, moment: Moment, link: LinkId, received: Received<Asked<T>>) {
        let closing = self.neighbour.closing || self.side(link).is_some_and(|side| side.closing);
        match received {
            Received::Auth(body) => match Auth::parse(&body) {
                Ok(Auth { id, auth }) => {
                    self.neighbour.link.set_peer(id.clone());
                    let Config { heartbeat_interval, unanswered_max, .. } = self.config;
                    self.heartbeat =
                        Some(Heartbeat::new(moment.now, heartbeat_interval, unanswered_max));
                    self.event(Event::Connected { id, auth });
                }
                Err(error) => self.fail(link, error),
            },
            Received::Encrypted { fingerprint } => {
                if let Some(side) = self.side(link) {
                    side.switching = false;
                }
                self.event(Event::Encrypted { link, fingerprint });
            }
            Received::Reply { token: Asked::Request(token), body } => {
                self.event(Event::Answered { token, body, at: moment.now });
            }
            Received::Reply { token: Asked::Proxy(id), body } => self.proxy_answered(id, &body),
            Received::Message { .. } | Received::Internal { .. } if closing => {}
            Received::Message { body, ticket } => {
                self.event(Event::Message { link, body, ticket });
            }
            Received::Internal { body, ticket } => self.internal(moment, link, &body, ticket),
        }
    }

    fn internal(&mut self, moment: Moment, link: LinkId, body: &Json, ticket: Option<Ticket>) {
        let answer = match Internal::parse(body) {
            Ok(Internal::Rpc(call)) => return self.event(Event::Call { link, call, ticket }),
            Ok(Internal::Network { id, connected }) if link.is_neighbour() => {
                return self.network(&id, connected);
            }
            // Only a neighbour can speak of others, and this is no hub.
            Ok(Internal::Network { .. } | Internal::Unproxy { .. } | Internal::RpcNotify) => return,
            Ok(Internal::Proxy { .. }) => proxy_reply(false),
            Ok(Internal::SyncedTime { time }) if time.as_bytes().len() > TIME_BYTES_MAX => {
                return self.fail(link, Fault::Time(time.as_bytes().len()));
            }
            Ok(Internal::SyncedTime { time }) => Time::reply(&time, moment.clock_ms),
            Err(InternalError::Call(failure)) => Outcome::Failed(failure).to_json(),
            Err(error) => return self.fail(link, error),
        };
        // Without a number nobody waits for it.
        if let Some(ticket) = ticket
            && let Some(side) = self.side(link)
        {
            match side.link.reply(ticket, answer) {
                Ok(()) => {
                    side.put();
                    self.touch(link);
                }
                Err(_full) => self.fail(link, Fault::Answers),
            }
        }
    }

    /// Appends the next message to write to `out`. Gives `false` if there is none.
    pub fn transmit(&mut self, random: &mut dyn Random, out: &mut BytesMut) -> bool {
        let ours = self.ours;
        while let Some(link) = self.ready.pop_front() {
            let Some(side) = self.side(link) else {
                continue;
            };
            match side.link.transmit(random) {
                Ok(Some(packet)) => {
                    side.taken(&packet);
                    if let Some(to) = side.to {
                        out.extend_from_slice(Forward::header(to, ours).as_ref());
                    }
                    packet.encode(out);
                    self.ready.push_back(link);
                    return true;
                }
                Ok(None) => {
                    side.ready = false;
                    if !link.is_neighbour() && side.closing && !side.waits() {
                        self.unlink(link, Ended::Here);
                    }
                }
                Err(error) => self.fail(link, error),
            }
        }
        let waits = |side: &Side<T>| side.waits();
        if self.neighbour.closing && !self.neighbour.waits() && !self.proxied.values().any(waits) {
            self.end(Ended::Here);
        }
        false
    }

    /// When to call [`Self::tick`].
    pub fn deadline(&self) -> Option<Instant> {
        let heartbeat = self.heartbeat.as_ref().map(Heartbeat::deadline);
        [self.alarm, heartbeat].into_iter().flatten().filter(|_| !self.over).min()
    }

    /// Sees what is late. `listening` says whether messages are read: a neighbour to whom nobody listens is not
    /// silent.
    pub fn tick(&mut self, now: Instant, listening: bool) {
        if self.over {
            return;
        }
        if let Some(heartbeat) = &mut self.heartbeat {
            if !listening {
                heartbeat.heard(now);
            }
            match heartbeat.tick(now) {
                Beat::Wait => {}
                Beat::Probe => {
                    self.neighbour.link.probe();
                    self.touch(LinkId::NEIGHBOUR);
                }
                Beat::Lost => return self.end(Ended::Silent),
            }
        }
        if self.alarm.is_none_or(|alarm| alarm > now) {
            return;
        }
        self.alarm = None;
        let proxied: Vec<LinkId> = self.proxied.keys().copied().collect();
        for link in proxied.into_iter().chain([LinkId::NEIGHBOUR]) {
            self.late(now, link);
        }
    }

    fn late(&mut self, now: Instant, link: LinkId) {
        let Some(side) = self.side(link) else {
            return;
        };
        if let Err(error) = side.link.tick(now) {
            return self.fail(link, error);
        }
        while let Some(asked) = self.side(link).and_then(|side| side.link.expired(now)) {
            match asked {
                Asked::Request(token) => self.event(Event::TimedOut { token }),
                Asked::Proxy(id) => self.asked_failed(id, super::ProxyError::TimedOut),
            }
        }
        if let Some(deadline) = self.side(link).and_then(|side| side.link.deadline()) {
            self.alarm = Some(self.alarm.map_or(deadline, |alarm| alarm.min(deadline)));
        }
    }
}
