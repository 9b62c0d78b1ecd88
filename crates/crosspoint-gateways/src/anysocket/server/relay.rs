//! What the peer layer brings over links of the hub, and how the client says it.
//!
//! A link belongs to a peer that the client has, or is for requests alone; then the client hears of it from
//! the hub itself. The machine of the link keeps ids, deadlines and bounds (docs/peers.md). This module
//! translates its events into packets, and packets into its commands.

use super::peer_link::{
    Asked, Asker, CLOCKS_MAX, Due, INCOMING_TIME_MAX, Incoming, PeerLink, Token, Wanted, failure,
    outcome,
};
use super::{AnySocket, Question, Reply, With, payload};
use crate::anysocket::internal::rpc::{Call, Outcome};
use crate::anysocket::internal::{Internal, Time};
use crate::anysocket::link::{Link, Ticket};
use crate::anysocket::wire::KIND_PACKET;
use crate::link::{Backlog, COMMANDS_MAX, FOR_REQUESTS, IDLE_TIME, Speaking, Spoken};
use crate::value::{Json, Unreadable};
use bytes::Bytes;
use crosspoint_hub::command::{Command, LinkCommand, Peer};
use crosspoint_hub::payload::{self as hub_payload, Failure, Payload};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{LinkNumber, PeerId, Reason};
use crosspoint_proto::peer::secure::{HANDSHAKE, SEALED};
use crosspoint_proto::peer::{self, Event, Machine, SendError, Side, code};
use std::time::Instant;

impl Speaking for AnySocket {
    fn spoken(&mut self, link: LinkNumber) -> Option<&mut Spoken> {
        self.peers.spoken(link)
    }

    fn backlog(&mut self) -> &mut Backlog {
        &mut self.peers.totals().backlog
    }

    fn unsent(&self) -> usize {
        self.peers.unsent()
    }

    fn is_behind(&self) -> bool {
        self.peers.is_behind()
    }

    fn hold_back(&mut self, link: LinkNumber, is_loaded: bool) -> Option<Option<Instant>> {
        self.peers.hold_back(link, is_loaded)
    }

    fn is_loaded(&self) -> bool {
        self.ready.len() >= COMMANDS_MAX
    }

    fn unsent_max(&self) -> usize {
        self.setup.config.queue_bytes_max
    }

    fn schedule_link(&mut self, link: LinkNumber, at: Option<Instant>) {
        self.schedule(Due::Link(link), at);
    }

    fn command(&mut self, command: Command) {
        self.give(command);
    }

    fn break_link(&mut self, link: LinkNumber, reason: Reason, out: &mut FrameWriter) {
        if self.peers.links.contains_key(&link) {
            self.give(LinkCommand::Close { link, reason });
            self.end_link(link, reason, out);
        }
    }
}

impl AnySocket {
    /// There is a link, because the client wanted it or another session.
    pub(super) fn linked(
        &mut self,
        request: Option<u32>,
        link: LinkNumber,
        peer: &Peer,
        purpose: &Bytes,
        out: &mut FrameWriter,
    ) {
        match request.map(|request| self.questions.take(request)) {
            Some(Some(Question::Way(to))) => self.way(link, to, peer.id, out),
            Some(Some(Question::Proxy(id))) if self.is_wanted(id) => {
                self.attach(link, peer, true, out);
            }
            // It is not wanted any more.
            Some(_) => self.give(LinkCommand::Close { link, reason: Reason::Left }),
            // The hub application is the peer that the client has already.
            None if purpose == FOR_REQUESTS || peer.id == self.setup.options.id => {
                let (side, limits) = (Side::Accepter, &self.setup.options.limits);
                let new = PeerLink::new(self.now, With::Hub, peer.id, side, limits);
                self.peers.links.insert(link, Box::new(new));
            }
            None => self.attach(link, peer, false, out),
        }
    }

    /// The largest message that the hub takes.
    pub(super) fn sent_bytes_max(&self) -> usize {
        self.setup.options.limits.message_bytes_max as usize
    }

    /// Forgets all that waits at a link. What the client is still asked is given up.
    pub(super) fn forget_link(&mut self, link: LinkNumber) -> Option<Box<PeerLink>> {
        let mut gone = self.peers.links.remove(&link)?;
        let unsent = gone.spoken.as_deref().map_or(0, Spoken::unsent);
        if unsent > 0 {
            self.peers.totals().backlog.sent(unsent);
        }
        self.peers.unschedule(Due::Link(link), gone.due);
        let asked = gone.incoming.len() + gone.clocks_in.len();
        if asked > 0 {
            self.unask(gone.with, gone.peer, asked);
        }
        if let Some(end) = self.end_of(gone.with) {
            let clocks = std::mem::take(&mut gone.clocks_in).into_values();
            for incoming in gone.incoming.drain().map(|(_, incoming)| incoming).chain(clocks) {
                end.forget(incoming.number);
            }
        }
        if let Some(to) = &gone.to {
            self.peers.ways.remove(to);
        }
        Some(gone)
    }

    fn end_of(&mut self, with: With) -> Option<&mut Link<Token>> {
        match with {
            With::Hub => Some(&mut self.main),
            With::Peer(id) => self.peers.proxied.get_mut(&id)?.end(),
        }
    }

    fn machine(&mut self, link: LinkNumber) -> Option<&mut Machine> {
        self.peers.links.get_mut(&link)?.machine()
    }

    /// A link has ended.
    pub(super) fn end_link(&mut self, link: LinkNumber, reason: Reason, out: &mut FrameWriter) {
        let Some(gone) = self.forget_link(link) else { return };
        if let With::Peer(id) = gone.with {
            self.detach(id, link);
        }
        for asker in gone.outgoing.into_values() {
            let error = format!("the peer has gone: {reason}");
            self.refuse(gone.with, asker, Failure::GOING_AWAY, &error, out);
        }
    }

    /// A message has come over a link.
    pub(super) fn heard(
        &mut self,
        link: LinkNumber,
        kind: u8,
        body: &Bytes,
        out: &mut FrameWriter,
    ) {
        if !self.hold_message(link, kind, body) {
            self.heard_now(link, kind, body, out);
        }
    }

    /// A message that has come over a link is for the client, which knows the peer.
    pub(super) fn heard_now(
        &mut self,
        link: LinkNumber,
        kind: u8,
        body: &Bytes,
        out: &mut FrameWriter,
    ) {
        let now = self.now;
        let Some(known) = self.peers.links.get_mut(&link) else { return };
        known.used = now;
        let with = known.with;
        if known.spoken.is_none() {
            match (kind, with) {
                (KIND_PACKET, With::Peer(id)) => self.passed_on(id, body, out),
                _ => self.dropped += 1,
            }
            return;
        }
        // There are no keys here.
        if matches!(kind, HANDSHAKE | SEALED) {
            return self.break_link(link, Reason::Unsupported, out);
        }
        let Some(machine) = self.machine(link) else { return };
        let late = machine.counters().late_answers;
        let received = machine.receive(now, kind, body.clone());
        let late = machine.counters().late_answers - late;
        self.dropped += late;
        match received {
            Ok(()) => self.work(link, out),
            Err(_broken) => self.break_link(link, Reason::Malformed, out),
        }
    }

    /// Hands on what the machine of a link has for the client and for the other side.
    fn work(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        while let Some(event) = self.machine(link).and_then(Machine::poll) {
            self.happened(link, event, out);
        }
        self.transmit(link, out);
    }

    fn happened(&mut self, link: LinkNumber, event: Event, out: &mut FrameWriter) {
        let Some(known) = self.peers.links.get(&link) else { return };
        let (with, peer) = (known.with, known.peer);
        // The client hears it from the hub, so others than the hub application may not say what the hub says.
        let foreign = with == With::Hub && !self.is_home(peer);
        match event {
            Event::Message(_) if foreign => self.break_link(link, Reason::Malformed, out),
            Event::Notify { method, payload }
                if foreign && method.is_empty() && self.is_event(&payload) =>
            {
                self.dropped += 1;
            }
            Event::Request { id, method, payload, .. }
                if foreign && method.is_empty() && self.is_event(&payload) =>
            {
                let message = "only the hub sends objects with the field `hub` over such a link";
                let refused = Failure::new(Failure::FORBIDDEN, message);
                self.answer_request(link, id, &Err(refused), out);
            }
            Event::Message(payload) => self.hear_message(with, &payload, out),
            Event::Notify { method, payload } => self.hear_notice(with, &method, &payload, out),
            Event::Request { id, method, payload, until } => {
                self.hear_request(link, id, until, &method, &payload, out);
            }
            Event::Cancelled { id } => {
                let known = self.peers.links.get_mut(&link);
                if let Some(incoming) = known.and_then(|known| known.incoming.remove(&id)) {
                    self.unask(with, peer, 1);
                    if let Some(end) = self.end_of(with) {
                        end.forget(incoming.number);
                    }
                }
            }
            Event::Result { id, outcome } => self.hear_answer(link, id, outcome, out),
            Event::Opened { stream, .. } => {
                let machine = self.machine(link);
                let refused = machine.map(|machine| machine.reset(stream, code::NOT_FOUND, ""));
                debug_assert!(matches!(refused, Some(Ok(()))), "it was offered just now");
            }
            Event::Clock { token } => self.hear_clock(link, token, out),
            Event::Time(time) => self.hear_time(link, with, time, out),
            // Typed calls have no form here.
            Event::Typed { .. } => self.dropped += 1,
            // Streams were all refused, and nothing waits for room.
            Event::Accepted { .. }
            | Event::Readable { .. }
            | Event::Writable { .. }
            | Event::Ended { .. }
            | Event::Reset { .. }
            | Event::Room => {}
        }
    }

    /// A notice has come, or a message if it has no method.
    pub(super) fn hear_notice(
        &mut self,
        with: With,
        method: &str,
        payload: &Payload,
        out: &mut FrameWriter,
    ) {
        if method.is_empty() {
            return self.hear_message(with, payload, out);
        }
        match self.call(method, payload) {
            Some(call) => self.tell_as(with, out, |end| end.send_internal(call)),
            None => self.dropped += 1,
        }
    }

    pub(super) fn hear_message(&mut self, with: With, payload: &Payload, out: &mut FrameWriter) {
        match payload::json(payload, self.json_bytes_max()) {
            Ok(body) => self.tell_as(with, out, |end| end.send(body)),
            Err(Unreadable) => self.dropped += 1,
        }
    }

    /// The body of a call, if its payload can be read.
    fn call(&self, method: &str, payload: &Payload) -> Option<Json> {
        let params = payload::params(payload, self.json_bytes_max()).ok()?;
        let method = method.split('.').map(str::to_owned).collect();
        Some(Call { method, params }.to_json())
    }

    fn hear_request(
        &mut self,
        link: LinkNumber,
        id: u32,
        until: Option<Instant>,
        method: &str,
        payload: &Payload,
        out: &mut FrameWriter,
    ) {
        let longest = self.now + INCOMING_TIME_MAX;
        let until = until.map_or(longest, |until| until.min(longest));
        let Some(known) = self.peers.links.get(&link) else { return };
        let (with, peer) = (known.with, known.peer);
        let refused = if !self.may_ask(with, peer) {
            Failure::new(Failure::TOO_MANY, "too many requests wait for the peer")
        } else {
            let (body, what) = match method.is_empty() {
                true => {
                    let body = payload::json(payload, self.json_bytes_max()).ok();
                    (body, Wanted::Message(id))
                }
                false => (self.call(method, payload), Wanted::Call(id)),
            };
            match body {
                Some(body) => return self.ask_client((link, with, peer), until, body, what, out),
                None => Failure::new(Failure::UNREADABLE, Unreadable::TEXT),
            }
        };
        self.answer_request(link, id, &Err(refused), out);
    }

    /// Whether the client would take it for an event of the hub.
    fn is_event(&self, payload: &Payload) -> bool {
        payload::json(payload, self.json_bytes_max()).is_ok_and(|body| body.may_have("hub"))
    }

    /// Whether this is the hub application.
    fn is_home(&self, peer: PeerId) -> bool {
        peer == self.setup.options.id
    }

    /// Whether the client may be asked for one thing more. What it is asked as by the hub is shared among peers, and
    /// leaves room for what the hub asks itself.
    fn may_ask(&mut self, with: With, peer: PeerId) -> bool {
        let most = self.setup.config.requests_max / 2;
        match with {
            With::Hub if self.is_home(peer) => self.main.waiting() < self.setup.config.requests_max,
            With::Hub => self.peers.totals().asking.may_ask(peer, most),
            With::Peer(_) => {
                // One peer may have no more than is left for others, so that all together do not end the client.
                let kept_max = self.setup.options.limits.outbox_bytes_max;
                let free = kept_max.saturating_sub(self.kept.bytes()) / Incoming::BYTES;
                self.end_of(with).is_some_and(|end| end.waiting() < most.min(free))
            }
        }
    }

    /// So much that a peer wanted to know waits no more.
    fn unask(&mut self, with: With, peer: PeerId, count: usize) {
        if with == With::Hub && !self.is_home(peer) {
            self.peers.totals().asking.asked(peer, count);
        }
    }

    fn ask_client(
        &mut self,
        (link, with, peer): (LinkNumber, With, PeerId),
        until: Instant,
        body: Json,
        what: Wanted,
        out: &mut FrameWriter,
    ) {
        let token = Token { link, what };
        let mut number = 0;
        self.tell_as(with, out, |end| {
            let asked = match what {
                Wanted::Message(_) => end.request(body, until, token),
                Wanted::Call(_) | Wanted::Clock(_) | Wanted::Known { .. } => {
                    end.request_internal(body, until, token)
                }
            };
            number = end.last_number();
            asked
        });
        // The link is gone if the client has no room.
        let Some(known) = self.peers.links.get_mut(&link) else { return };
        let incoming = Incoming::new(number, &self.kept);
        match what {
            Wanted::Message(id) | Wanted::Call(id) => known.incoming.insert(id, incoming),
            Wanted::Clock(token) => known.clocks_in.insert(token, incoming),
            Wanted::Known { .. } => return,
        };
        if with == With::Hub && !self.is_home(peer) {
            self.peers.totals().asking.asks(peer);
        }
    }

    /// Takes the request that the client has answered, unless it was cancelled.
    fn finish(&mut self, link: LinkNumber, what: Wanted) -> bool {
        let Some(known) = self.peers.links.get_mut(&link) else { return false };
        let taken = match what {
            Wanted::Message(id) | Wanted::Call(id) => known.incoming.remove(&id),
            Wanted::Clock(token) => known.clocks_in.remove(&token),
            Wanted::Known { .. } => None,
        };
        let (with, peer) = (known.with, known.peer);
        if taken.is_some() {
            self.unask(with, peer, 1);
        }
        taken.is_some()
    }

    /// The client has answered.
    pub(super) fn replied(&mut self, token: Token, body: &Json, out: &mut FrameWriter) {
        let Token { link, what } = token;
        match what {
            Wanted::Known { peer, serial } => self.known(peer, serial, out),
            Wanted::Message(id) if self.finish(link, what) => {
                let answer = Ok(payload::from_json(body.clone()));
                self.answer_request(link, id, &answer, out);
                self.transmit(link, out);
            }
            Wanted::Call(id) if self.finish(link, what) => {
                let answer = match Outcome::parse(body) {
                    Ok(Outcome::Returned(value)) => Ok(payload::from_value(value)),
                    Ok(Outcome::Failed(failed)) => Err(failure(failed)),
                    Err(error) => Err(Failure::new(Failure::FAILED, error.to_string())),
                };
                self.answer_request(link, id, &answer, out);
                self.transmit(link, out);
            }
            Wanted::Clock(token) if self.finish(link, what) => {
                match (Time::parse(body), self.machine(link)) {
                    (Ok(time), Some(machine)) => {
                        // Too large and negative ones end at the nearest that there is.
                        machine.tell_clock(token, (time.clock_ms * 1000.0) as u64);
                        self.transmit(link, out);
                    }
                    _ => self.dropped += 1,
                }
            }
            Wanted::Message(_) | Wanted::Call(_) | Wanted::Clock(_) => self.dropped += 1,
        }
    }

    /// Answers a request of the other side, once the machine is asked to transmit.
    fn answer_request(
        &mut self,
        link: LinkNumber,
        id: u32,
        answer: &hub_payload::Outcome,
        out: &mut FrameWriter,
    ) {
        let Some(spoken) = self.peers.spoken(link) else { return };
        match spoken.answer(id, answer) {
            Ok(()) => {}
            Err(SendError::Full) => self.break_link(link, Reason::TooManyPending, out),
            // A hub that takes no messages at all.
            Err(_) => self.dropped += 1,
        }
    }

    /// The other side has answered, or has not in time.
    fn hear_answer(
        &mut self,
        link: LinkNumber,
        id: u32,
        result: peer::Outcome,
        out: &mut FrameWriter,
    ) {
        let Some(known) = self.peers.links.get_mut(&link) else { return };
        let with = known.with;
        let Some(asker) = known.outgoing.remove(&id) else { return };
        let answer = match result {
            peer::Outcome::Result(payload) => Ok(payload),
            peer::Outcome::Failure(failure) => Err(failure),
            peer::Outcome::TimedOut => {
                Err(Failure::new(Failure::TIMED_OUT, "the peer did not answer in time"))
            }
        };
        let bytes_max = self.json_bytes_max();
        match asker.what {
            Asked::Call(reply) => {
                let outcome = outcome(&answer, &reply.method, bytes_max);
                self.answer(with, reply, &outcome, out);
            }
            // A failure has no form here: the client waits until its time is over.
            Asked::Message(ticket) => {
                match answer.ok().and_then(|payload| payload::json(&payload, bytes_max).ok()) {
                    Some(body) => self.tell_as(with, out, |end| end.reply(ticket, body)),
                    None => self.dropped += 1,
                }
            }
        }
    }

    /// Asks the client for its clock. The same question twice at once has one answer.
    fn hear_clock(&mut self, link: LinkNumber, token: [u8; 8], out: &mut FrameWriter) {
        let Some(known) = self.peers.links.get(&link) else { return };
        if known.clocks_in.contains_key(&token) {
            return;
        }
        let (with, peer) = (known.with, known.peer);
        if known.clocks_in.len() >= CLOCKS_MAX || !self.may_ask(with, peer) {
            return self.break_link(link, Reason::TooManyPending, out);
        }
        let time = Json::new(&(self.setup.options.clock)()).expect("a number has a JSON form");
        let body = Internal::SyncedTime { time }.to_json();
        let until = self.now + IDLE_TIME;
        self.ask_client((link, with, peer), until, body, Wanted::Clock(token), out);
    }

    fn hear_time(&mut self, link: LinkNumber, with: With, time: peer::Time, out: &mut FrameWriter) {
        let now = self.now;
        let told = self.peers.links.get_mut(&link).and_then(|known| known.clock_told(now));
        if let Some(clock) = told {
            let time = Time::reply(&clock.asked, time.clock_us / 1000);
            self.tell_as(with, out, |end| end.reply(clock.ticket, time));
        }
    }

    /// The client asks for the clock of the other side.
    pub(super) fn ask_clock(&mut self, link: LinkNumber, ticket: Option<Ticket>, asked: Json) {
        let (Some(known), Some(ticket)) = (self.peers.links.get_mut(&link), ticket) else { return };
        match known.ask_clock(self.now, ticket, asked, &self.kept) {
            true => self.speak(link),
            false => self.dropped += 1,
        }
    }

    /// Sends a message of the client. Gives whether it was not too large.
    pub(super) fn send_message(&mut self, link: LinkNumber, payload: &Payload) -> bool {
        let Some(machine) = self.machine(link) else { return false };
        let sent = machine.message(payload.format, &payload.data).is_ok();
        self.speak(link);
        sent
    }

    /// Sends a message of the client that may be answered. Gives whether it was not too large.
    pub(super) fn request_message(
        &mut self,
        link: LinkNumber,
        ticket: Ticket,
        payload: &Payload,
        out: &mut FrameWriter,
    ) -> bool {
        let now = self.now;
        let Some(known) = self.peers.links.get_mut(&link) else { return false };
        let (with, Some(spoken)) = (known.with, known.spoken.as_deref_mut()) else {
            return false;
        };
        let machine = &mut spoken.machine;
        // Most messages are never answered, so the oldest one that waits makes room.
        let full = machine.requests_out() >= machine.config().requests_out_max as usize;
        let given_up = if full { known.outgoing.pop_first() } else { None };
        if let Some((id, _)) = &given_up {
            machine.cancel(*id);
        }
        let sent = machine.request(now, None, "", payload.format, &payload.data);
        if let Ok(id) = sent {
            known.outgoing.insert(id, Asker::new(Asked::Message(ticket), &self.kept));
        }
        self.speak(link);
        if let Some((_, asker)) = given_up {
            let error = "the peer did not answer, and too many requests wait for it";
            self.refuse(with, asker, Failure::TOO_MANY, error, out);
        }
        sent.is_ok()
    }

    /// Tells the client that a call has failed. Messages have no form for that.
    fn refuse(&mut self, with: With, asker: Asker, code: u32, error: &str, out: &mut FrameWriter) {
        if let Asked::Call(reply) = asker.what {
            let outcome = reply.failure(code, error);
            self.answer(with, reply, &outcome, out);
        }
    }

    /// Sends a request of the client, which is answered or fails.
    ///
    /// # Errors
    /// The reply, and why there is no request.
    pub(super) fn request(
        &mut self,
        link: LinkNumber,
        reply: Reply,
        until: Option<Instant>,
        method: &str,
        payload: &Payload,
    ) -> Result<(), (Reply, Failure)> {
        let now = self.now;
        let Some(known) = self.peers.links.get_mut(&link) else {
            return Err((reply, Failure::new(Failure::GOING_AWAY, "the peer has gone")));
        };
        known.used = now;
        let Some(machine) = known.machine() else { return Ok(()) };
        let Payload { format, data } = payload;
        let asked = match reply.ticket {
            // There is no way to tell the client the answer.
            None => machine.notify(method, *format, data).map(|()| None),
            Some(_) => {
                let time = until.map(|until| until.saturating_duration_since(now));
                machine.request(now, time, method, *format, data).map(Some)
            }
        };
        match asked {
            Ok(None) => {}
            Ok(Some(id)) => {
                known.outgoing.insert(id, Asker::new(Asked::Call(reply), &self.kept));
            }
            // A notice that is too large is lost, as there is no way to say so.
            Err(_) if reply.ticket.is_none() => self.dropped += 1,
            Err(SendError::TooLarge { .. }) => {
                return Err((
                    reply,
                    Failure::new(413, "the request is larger than the hub allows"),
                ));
            }
            Err(_) => {
                let message = "too many requests wait for the peer";
                return Err((reply, Failure::new(Failure::TOO_MANY, message)));
            }
        }
        self.speak(link);
        Ok(())
    }

    /// Sends what needs no answer. Gives whether it was not too large.
    pub(super) fn notify(&mut self, link: LinkNumber, method: &str, payload: &Payload) -> bool {
        let Some(known) = self.peers.links.get_mut(&link) else { return false };
        known.used = self.now;
        let Some(machine) = known.machine() else { return false };
        let sent = machine.notify(method, payload.format, &payload.data).is_ok();
        self.speak(link);
        sent
    }

    /// Looks what is late on the links. `has_come`: what they wait for may be here already, where nobody listens.
    pub(super) fn tick_links(&mut self, has_come: bool, out: &mut FrameWriter) {
        let now = self.now;
        let (links, peers) = self.peers.take_due(now);
        // First those that know by themselves that their time is over.
        for link in links {
            self.tick_link(link, out);
        }
        while let Some(token) = self.main.expired(now) {
            match token.what {
                Wanted::Known { peer, serial } => self.known(peer, serial, out),
                _ => self.give_up(token, out),
            }
        }
        for id in peers {
            self.tick_peer(id, has_come, out);
        }
    }

    /// The client took too long for a request that would wait for ever.
    pub(super) fn give_up(&mut self, token: Token, out: &mut FrameWriter) {
        if self.finish(token.link, token.what)
            && let Wanted::Message(id) | Wanted::Call(id) = token.what
        {
            let late = Failure::new(Failure::TIMED_OUT, "the peer did not answer in time");
            self.answer_request(token.link, id, &Err(late), out);
            self.transmit(token.link, out);
        }
    }

    fn tick_link(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        let now = self.now;
        if let Some(machine) = self.machine(link) {
            machine.tick(now);
            self.work(link, out);
        }
        let Some(known) = self.peers.links.get(&link).filter(|known| known.to.is_some()) else {
            return;
        };
        let until = known.used + IDLE_TIME;
        if until > now {
            self.schedule(Due::Link(link), Some(until));
        } else if !known.is_idle() {
            self.schedule(Due::Link(link), Some(now + IDLE_TIME));
        } else {
            self.give(LinkCommand::Close { link, reason: Reason::Left });
            self.forget_link(link);
        }
    }
}
