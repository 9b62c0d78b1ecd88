//! What is said over links of the hub in the messages of the peer layer, and how the client says it.
//!
//! A link belongs to a peer that the client has, or is for requests alone; then the client hears of it from
//! the hub itself.

use super::peer_layer::{self, Heard, Said};
use super::road::{
    Asked, Asker, CLOCKS_MAX, Clock, IDLE_TIME, INCOMING_MAX, INCOMING_TIME_MAX, Incoming, Road,
    Token, Wanted, failure, outcome,
};
use super::{AnySocket, Question, Reply, With, payload};
use crate::anysocket::internal::rpc::{Call, Outcome};
use crate::anysocket::internal::{Internal, Time};
use crate::anysocket::json::Json;
use crate::anysocket::link::{Link, Ticket};
use crate::anysocket::wire::KIND_PACKET;
use bytes::Bytes;
use crosspoint_hub::command::{LinkCommand, Peer};
use crosspoint_hub::payload::{self as hub_payload, Failure, Payload};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{LinkNumber, Reason};
use std::time::{Duration, Instant};

impl AnySocket {
    /// There is a link, because the client wanted it or somebody else.
    pub(super) fn linked(
        &mut self,
        request: Option<u32>,
        link: LinkNumber,
        peer: &Peer,
        purpose: &Bytes,
        out: &mut FrameWriter,
    ) {
        let now = self.now;
        match request.map(|request| self.questions.take(request)) {
            Some(Some(Question::Way(to))) => self.way(link, to, out),
            Some(Some(Question::Proxy(id))) if self.is_wanted(id) => {
                self.attach(link, peer, true, out);
            }
            // Nobody asked for it any more.
            Some(_) => self.give(LinkCommand::Close { link, reason: Reason::Left }),
            // The hub application is the peer that the client has already.
            None if purpose == peer_layer::FOR_REQUESTS || peer.id == self.options.id => {
                self.peers.roads.insert(link, Road::new(now, With::Hub, None));
            }
            None => self.attach(link, peer, false, out),
        }
    }

    /// Forgets all that waits at a link. What the client is still asked is given up.
    pub(super) fn forget_road(&mut self, link: LinkNumber) -> Option<Road> {
        let mut road = self.peers.roads.remove(&link)?;
        if let Some(end) = self.end_of(road.with) {
            for incoming in road.incoming.drain().map(|(_, incoming)| incoming) {
                end.forget(incoming.number);
            }
        }
        if let Some(to) = &road.to {
            self.peers.ways.remove(to);
        }
        Some(road)
    }

    fn end_of(&mut self, with: With) -> Option<&mut Link<Token>> {
        match with {
            With::Hub => Some(&mut self.main),
            With::Peer(id) => self.peers.proxied.get_mut(&id)?.end(),
        }
    }

    /// A link has ended.
    pub(super) fn end_road(&mut self, link: LinkNumber, reason: Reason, out: &mut FrameWriter) {
        let Some(mut road) = self.forget_road(link) else { return };
        if let With::Peer(id) = road.with {
            self.detach(id, link);
        }
        for asker in road.outgoing.drain() {
            if let Asked::Call(reply) = asker.what {
                let error = format!("the peer has gone: {reason}");
                let outcome = reply.failure(Failure::GOING_AWAY, &error);
                self.answer(road.with, reply, &outcome, out);
            }
        }
    }

    /// The other side broke the rules of the link, or a bound.
    pub(super) fn break_road(&mut self, link: LinkNumber, reason: Reason, out: &mut FrameWriter) {
        if self.peers.roads.contains_key(&link) {
            self.give(LinkCommand::Close { link, reason });
            self.end_road(link, reason, out);
        }
    }

    /// A message has come over a link.
    pub(super) fn heard(&mut self, link: LinkNumber, kind: u8, body: Bytes, out: &mut FrameWriter) {
        let now = self.now;
        if self.hold_message(link, kind, &body) {
            return;
        }
        let Some(road) = self.peers.roads.get_mut(&link) else { return };
        road.used = now;
        let with = road.with;
        if let With::Peer(id) = with
            && self.peers.proxied.get_mut(&id).is_some_and(|proxied| proxied.end().is_none())
        {
            match kind {
                KIND_PACKET => self.passed_on(id, &body, out),
                _ => self.dropped += 1,
            }
            return;
        }
        if self.is_loaded() {
            return self.break_road(link, Reason::TooManyPending, out);
        }
        match peer_layer::read(kind, body) {
            Ok(Heard::Message(payload)) => self.hear_message(with, &payload, out),
            Ok(Heard::Notify { method, payload }) if method.is_empty() => {
                self.hear_message(with, &payload, out);
            }
            Ok(Heard::Notify { method, payload }) => match self.call(&method, &payload) {
                Some(call) => self.tell_as(with, out, |end| end.send_internal(call)),
                None => self.dropped += 1,
            },
            Ok(Heard::Request { id, time_ms, method, payload }) => {
                let until = match time_ms {
                    0 => INCOMING_TIME_MAX,
                    ms => Duration::from_millis(ms.into()).min(INCOMING_TIME_MAX),
                };
                self.hear_request(link, id, now + until, &method, &payload, out);
            }
            Ok(Heard::Cancel { id }) => {
                let road = self.peers.roads.get_mut(&link);
                let cancelled = road.and_then(|road| road.incoming.remove(&id));
                if let (Some(incoming), Some(end)) = (cancelled, self.end_of(with)) {
                    end.forget(incoming.number);
                }
            }
            Ok(Heard::Result { id, payload }) => self.hear_answer(link, id, Ok(payload), out),
            Ok(Heard::Failure { id, failure }) => self.hear_answer(link, id, Err(failure), out),
            Ok(Heard::Open { stream }) => _ = self.post(link, peer_layer::no_stream(stream)),
            Ok(Heard::Clock { token }) => self.hear_clock(link, with, token, now, out),
            Ok(Heard::Time { token, clock_us }) => self.hear_time(link, token, clock_us, out),
            Ok(Heard::Handshake) => self.break_road(link, Reason::Unsupported, out),
            Ok(Heard::Nothing) => {}
            Err(peer_layer::Broken) => self.break_road(link, Reason::Malformed, out),
        }
    }

    fn hear_message(&mut self, with: With, payload: &Payload, out: &mut FrameWriter) {
        match payload::json(payload, self.json_bytes_max()) {
            Ok(body) => self.tell_as(with, out, |end| end.send(body)),
            Err(payload::Unreadable) => self.dropped += 1,
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
        until: Instant,
        method: &str,
        payload: &Payload,
        out: &mut FrameWriter,
    ) {
        let requests_max = self.config.requests_max;
        let Some(road) = self.peers.roads.get(&link) else { return };
        let with = road.with;
        if road.incoming.contains_key(&id) {
            return self.break_road(link, Reason::Malformed, out);
        }
        let (full, serial) = (road.incoming.len() >= INCOMING_MAX, road.serial);
        let Some(end) = self.end_of(with) else { return };
        let refused = if full || end.waiting() >= requests_max {
            Failure::new(Failure::TOO_MANY, "too many requests wait for the peer")
        } else {
            let (body, what) = match method.is_empty() {
                true => {
                    let body = payload::json(payload, self.json_bytes_max()).ok();
                    (body, Wanted::Message { id, serial })
                }
                false => (self.call(method, payload), Wanted::Call { id, serial }),
            };
            match body {
                Some(body) => return self.ask_client(link, with, until, body, what, out),
                None => Failure::new(Failure::UNREADABLE, payload::Unreadable::TEXT),
            }
        };
        self.post(link, peer_layer::failure(id, &refused));
    }

    fn ask_client(
        &mut self,
        link: LinkNumber,
        with: With,
        until: Instant,
        body: Json,
        what: Wanted,
        out: &mut FrameWriter,
    ) {
        let token = Token { road: link, what };
        let mut number = 0;
        self.tell_as(with, out, |end| {
            let asked = match what {
                Wanted::Message { .. } => end.request(body, until, token),
                Wanted::Call { .. } | Wanted::Clock(_) | Wanted::Known { .. } => {
                    end.request_internal(body, until, token)
                }
            };
            number = end.last_number();
            asked
        });
        let (Wanted::Message { id, serial } | Wanted::Call { id, serial }) = what else { return };
        // The link is gone if the client has no room.
        if let Some(road) = self.peers.roads.get_mut(&link) {
            road.serial += 1;
            let _weight = self.kept.weigh(Incoming::BYTES);
            road.incoming.insert(id, Incoming { number, serial, _weight });
        }
    }

    /// The client has answered.
    pub(super) fn replied(&mut self, token: Token, body: &Json, out: &mut FrameWriter) {
        let Token { road: link, what } = token;
        if let Wanted::Known { serial } = what {
            return self.known(link, serial, out);
        }
        let Some(road) = self.peers.roads.get_mut(&link) else { return };
        match what {
            Wanted::Message { id, serial } if road.finish(id, serial) => {
                self.post_answer(link, id, Ok(payload::from_json(body.clone())));
            }
            Wanted::Call { id, serial } if road.finish(id, serial) => {
                let answer = match Outcome::parse(body) {
                    Ok(Outcome::Returned(value)) => Ok(payload::from_value(value)),
                    Ok(Outcome::Failed(failed)) => Err(failure(failed)),
                    Err(error) => Err(Failure::new(Failure::FAILED, error.to_string())),
                };
                self.post_answer(link, id, answer);
            }
            Wanted::Clock(token) => match Time::parse(body) {
                Ok(time) => {
                    // Too large and negative ones end at the nearest that there is.
                    let clock_us = (time.clock_ms * 1000.0) as u64;
                    self.post(link, peer_layer::time(token, clock_us));
                }
                Err(_) => self.dropped += 1,
            },
            _ => self.dropped += 1,
        }
    }

    fn post_answer(&mut self, link: LinkNumber, id: u32, answer: hub_payload::Outcome) {
        let said = match &answer {
            Ok(payload) => peer_layer::result(id, payload),
            Err(failure) => peer_layer::failure(id, failure),
        };
        if !self.post(link, said) {
            let failed = Failure::new(Failure::FAILED, "the answer is larger than the hub allows");
            self.post(link, peer_layer::failure(id, &failed));
        }
    }

    /// The other side has answered.
    fn hear_answer(
        &mut self,
        link: LinkNumber,
        id: u32,
        answer: hub_payload::Outcome,
        out: &mut FrameWriter,
    ) {
        let Some(road) = self.peers.roads.get_mut(&link) else { return };
        let with = road.with;
        match road.outgoing.take(id).map(|asker| asker.what) {
            None => self.dropped += 1,
            Some(Asked::Call(reply)) => {
                let outcome = outcome(&answer, &reply.method, self.json_bytes_max());
                self.answer(with, reply, &outcome, out);
            }
            Some(Asked::Message(ticket)) => {
                let bytes_max = self.json_bytes_max();
                // A failure has no form here: the one who asked waits until its time is over.
                match answer.ok().and_then(|payload| payload::json(&payload, bytes_max).ok()) {
                    Some(body) => self.tell_as(with, out, |end| end.reply(ticket, body)),
                    None => self.dropped += 1,
                }
            }
        }
    }

    /// Asks the client for its clock. The answer to too many is not waited for.
    fn hear_clock(
        &mut self,
        link: LinkNumber,
        with: With,
        token: [u8; 8],
        now: Instant,
        out: &mut FrameWriter,
    ) {
        let requests_max = self.config.requests_max;
        let time = Json::new(&(self.options.clock)()).expect("a number has a JSON form");
        let body = Internal::SyncedTime { time }.to_json();
        let Some(end) = self.end_of(with) else { return };
        if end.waiting() >= requests_max {
            return self.break_road(link, Reason::TooManyPending, out);
        }
        self.ask_client(link, with, now + IDLE_TIME, body, Wanted::Clock(token), out);
    }

    fn hear_time(
        &mut self,
        link: LinkNumber,
        token: [u8; 8],
        clock_us: u64,
        out: &mut FrameWriter,
    ) {
        let Some(road) = self.peers.roads.get_mut(&link) else { return };
        let (with, token) = (road.with, u64::from_be_bytes(token));
        let Some(place) = road.clocks.iter().position(|clock| clock.token == token) else {
            self.dropped += 1;
            return;
        };
        if let Some(Clock { ticket, asked, .. }) = road.clocks.remove(place) {
            let time = Time::reply(&asked, clock_us / 1000);
            self.tell_as(with, out, |end| end.reply(ticket, time));
        }
    }

    /// The client asks for the other side's clock.
    pub(super) fn ask_clock(&mut self, link: LinkNumber, ticket: Option<Ticket>, asked: Json) {
        let (Some(road), Some(ticket)) = (self.peers.roads.get_mut(&link), ticket) else { return };
        if road.clocks.len() >= CLOCKS_MAX {
            road.clocks.pop_front();
        }
        road.clock += 1;
        let token = road.clock;
        let _weight = self.kept.weigh(size_of::<Clock>() + asked.as_bytes().len());
        road.clocks.push_back(Clock { token, ticket, asked, _weight });
        self.post(link, peer_layer::clock(token));
    }

    /// Sends the client's message, which may be answered. Gives whether it was not too large.
    pub(super) fn request_message(
        &mut self,
        link: LinkNumber,
        ticket: Ticket,
        payload: &Payload,
    ) -> bool {
        let Some(road) = self.peers.roads.get_mut(&link) else { return false };
        let (what, _weight) = (Asked::Message(ticket), self.kept.weigh(size_of::<Asker>()));
        let (id, given_up) = road.outgoing.add(Asker { what, until: None, _weight });
        if let Some((given_up, _)) = given_up {
            self.post(link, peer_layer::cancel(given_up));
        }
        let posted = self.post(link, peer_layer::request(id, 0, "", payload));
        if let (false, Some(road)) = (posted, self.peers.roads.get_mut(&link)) {
            road.outgoing.take(id);
        }
        posted
    }

    /// Sends the client's request, which is answered or fails.
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
        let refused = |code, message: &str| Failure::new(code, message);
        let Some(road) = self.peers.roads.get_mut(&link) else {
            return Err((reply, refused(Failure::GOING_AWAY, "the peer has gone")));
        };
        road.used = now;
        if reply.ticket.is_none() {
            // Nobody can be told the answer.
            self.post(link, peer_layer::notify(method, payload));
            return Ok(());
        }
        if road.outgoing.is_full() {
            return Err((reply, refused(Failure::TOO_MANY, "too many requests wait for the peer")));
        }
        let time_ms = until.map_or(0, |until| {
            let ms = until.saturating_duration_since(now).as_millis();
            u32::try_from(ms).unwrap_or(u32::MAX).max(1)
        });
        let (what, _weight) = (Asked::Call(reply), self.kept.weigh(size_of::<Asker>()));
        let (id, _) = road.outgoing.add(Asker { what, until, _weight });
        self.note(until);
        if self.post(link, peer_layer::request(id, time_ms, method, payload)) {
            return Ok(());
        }
        let road = self.peers.roads.get_mut(&link);
        match road.and_then(|road| road.outgoing.take(id)).map(|asker| asker.what) {
            Some(Asked::Call(reply)) => {
                Err((reply, refused(413, "the request is larger than the hub allows")))
            }
            _ => Ok(()),
        }
    }

    /// Looks what is late on the links.
    pub(super) fn tick_roads(&mut self, out: &mut FrameWriter) {
        let now = self.now;
        while let Some(token) = self.main.expired(now) {
            match token.what {
                Wanted::Known { serial } => self.known(token.road, serial, out),
                _ => self.give_up(token),
            }
        }
        let ids: Vec<_> = self.peers.proxied.keys().copied().collect();
        for id in ids {
            let Some(end) = self.end_of(With::Peer(id)) else { continue };
            if let Err(error) = end.tick(now) {
                let reason = self.fault(&error);
                self.end_peer(id, reason);
                continue;
            }
            let late: Vec<Token> = std::iter::from_fn(|| end.expired(now)).collect();
            let deadline = end.deadline();
            self.note(deadline);
            late.into_iter().for_each(|token| self.give_up(token));
        }
        let links: Vec<_> = self.peers.roads.keys().copied().collect();
        for link in links {
            self.tick_road(link, out);
        }
    }

    /// The client took too long. Who asked knows by itself.
    fn give_up(&mut self, token: Token) {
        if let Wanted::Message { id, serial } | Wanted::Call { id, serial } = token.what
            && let Some(road) = self.peers.roads.get_mut(&token.road)
        {
            road.finish(id, serial);
        }
    }

    fn tick_road(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        let now = self.now;
        let Some(road) = self.peers.roads.get_mut(&link) else { return };
        if road.to.is_some() && road.is_idle() {
            let until = road.used + IDLE_TIME;
            if until <= now {
                self.give(LinkCommand::Close { link, reason: Reason::Left });
                self.forget_road(link);
            } else {
                self.note(Some(until));
            }
            return;
        }
        let is_late = |asker: &Asker| asker.until.is_some_and(|until| until <= now);
        let waiting = road.outgoing.iter();
        let late: Vec<u32> =
            waiting.filter(|(_, asker)| is_late(asker)).map(|(id, _)| id).collect();
        let with = road.with;
        let askers: Vec<(u32, Asker)> =
            late.into_iter().filter_map(|id| Some((id, road.outgoing.take(id)?))).collect();
        let next = road.outgoing.iter().filter_map(|(_, asker)| asker.until).min();
        let idle = road.to.is_some().then(|| road.used + IDLE_TIME).filter(|at| *at > now);
        self.note(next);
        self.note(idle);
        for (id, asker) in askers {
            self.post(link, peer_layer::cancel(id));
            if let Asked::Call(reply) = asker.what {
                let outcome = reply.failure(Failure::TIMED_OUT, "the peer did not answer in time");
                self.answer(with, reply, &outcome, out);
            }
        }
    }

    /// Sends what needs no answer.
    pub(super) fn notify(&mut self, link: LinkNumber, said: Said) -> bool {
        let now = self.now;
        if let Some(road) = self.peers.roads.get_mut(&link) {
            road.used = now;
        }
        self.post(link, said)
    }
}
