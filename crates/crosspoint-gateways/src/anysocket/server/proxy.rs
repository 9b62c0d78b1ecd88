//! Peers behind the hub, as the client sees them (sections 9 and 10).
//!
//! A proxied peer is a link of the hub, or several to the same peer: both ends may have asked at once, each
//! for one, and a native peer may open as many as it likes. The client sees one peer as long as there is one.

use super::held::Held;
use super::peer_link::{Due, PeerLink, Token, Waiting, asked};
use super::{AnySocket, Question, Reply, With, payload, write};
use crate::anysocket::id::Id;
use crate::anysocket::internal::rpc::{Call, Outcome};
use crate::anysocket::internal::{Internal, InternalError, proxy_reply};
use crate::anysocket::link::{Link, Received, SendError, Ticket};
use crate::anysocket::packet::{self, Forward, Kind};
use crate::anysocket::wire::{KIND_PACKET, WIRE};
use crate::link::{Backlog, Recent, Schedule, Shares, Speaking as _, Spoken};
use crate::value::Json;
use bytes::Bytes;
use crosspoint_hub::command::{Addressee, LinkCommand, LinkOptions, Peer};
use crosspoint_hub::payload::Failure;
use crosspoint_hub::wire::{FrameWriter, Wire};
use crosspoint_hub::{Limit, LinkNumber, PeerId, Reason};
use crosspoint_proto::peer::Side;
use std::collections::{BTreeMap, VecDeque};
use std::time::{Duration, Instant};

/// The links of a session, and what is at their other ends. The maps are ordered ones, as most of them are empty or
/// small, and each message looks into some.
#[derive(Debug, Default)]
pub(super) struct Peers {
    /// Peers that the client has.
    pub(super) proxied: BTreeMap<PeerId, Box<Proxied>>,
    /// All links of the hub.
    pub(super) links: BTreeMap<LinkNumber, Box<PeerLink>>,
    /// Peers that the client wants and may get, and what it asked with.
    wanted: Vec<(PeerId, Option<Ticket>)>,
    /// The links that the hub was asked for, in this order.
    asked: Vec<Asked>,
    /// Links for requests that this session has opened.
    pub(super) ways: BTreeMap<Addressee, LinkNumber>,
    /// Requests that wait until there is a link.
    pub(super) opening: BTreeMap<Addressee, Vec<Waiting>>,
    /// What is held back of all peers, in bytes.
    pub(super) held_bytes: usize,
    /// Of all links together. Boxed, as most clients have none.
    totals: Option<Box<Totals>>,
    /// What the ends of all peers hold, in bytes.
    pub(super) kept: usize,
}

/// What is counted of all links of a client.
#[derive(Debug, Default)]
pub(super) struct Totals {
    /// What the links hold back.
    pub(super) backlog: Backlog,
    /// What is looked at when, so that nothing else is.
    due: Schedule<Due>,
    /// Peers of which the client is told what was held back.
    pub(super) releasing: VecDeque<PeerId>,
    /// How often what comes from a peer was held back.
    pub(super) held: u64,
    /// How much the client has yet to answer of what peers ask it over links for requests alone.
    pub(super) asking: Shares,
}

impl Peers {
    /// Looks at something at this time, if it is not looked at earlier.
    fn schedule(&mut self, what: Due, at: Instant) {
        let due = match what {
            Due::Link(link) => self.links.get_mut(&link).map(|known| &mut known.due),
            Due::Peer(id) => self.proxied.get_mut(&id).map(|proxied| &mut proxied.due),
        };
        if let Some(due) = due {
            self.totals.get_or_insert_default().due.add(what, due, at);
        }
    }

    /// Something has gone that was to be looked at.
    pub(super) fn unschedule(&mut self, what: Due, due: Option<Instant>) {
        if due.is_some() {
            self.totals().due.remove(what, due);
        }
    }

    /// When something is looked at next.
    pub(super) fn next_due(&self) -> Option<Instant> {
        self.totals.as_ref()?.due.next_due()
    }

    /// All that is late: links, and peers.
    pub(super) fn take_due(&mut self, now: Instant) -> (Vec<LinkNumber>, Vec<PeerId>) {
        let (mut links, mut peers) = (Vec::new(), Vec::new());
        while let Some(what) = self.totals.as_mut().and_then(|totals| totals.due.take_due(now)) {
            match what {
                Due::Link(link) => {
                    links.push(link);
                    self.links.get_mut(&link).into_iter().for_each(|known| known.due = None);
                }
                Due::Peer(id) => {
                    peers.push(id);
                    self.proxied.get_mut(&id).into_iter().for_each(|proxied| proxied.due = None);
                }
            }
        }
        (links, peers)
    }

    /// What speaks the peer layer on a link.
    pub(super) fn spoken(&mut self, link: LinkNumber) -> Option<&mut Spoken> {
        self.links.get_mut(&link)?.spoken.as_deref_mut()
    }

    /// Counts what waits on a link over which nothing is sent for now, and gives when it is looked at. Nothing if
    /// something may be sent.
    pub(super) fn hold_back(
        &mut self,
        link: LinkNumber,
        is_loaded: bool,
    ) -> Option<Option<Instant>> {
        let spoken = self.links.get_mut(&link)?.spoken.as_deref_mut()?;
        spoken.is_held(is_loaded).then(|| {
            let backlog = &mut self.totals.get_or_insert_default().backlog;
            spoken.hold_back(link, is_loaded, backlog)
        })
    }

    pub(super) fn totals(&mut self) -> &mut Totals {
        self.totals.get_or_insert_default()
    }

    /// What the machines of all links hold back, in bytes.
    pub(super) fn unsent(&self) -> usize {
        self.totals.as_ref().map_or(0, |totals| totals.backlog.unsent())
    }

    /// The first peer of which the client is told what was held back.
    pub(super) fn releasing(&self) -> Option<PeerId> {
        self.totals.as_ref()?.releasing.front().copied()
    }

    /// Whether links have something to send as soon as fewer commands wait.
    pub(super) fn is_behind(&self) -> bool {
        self.totals.as_ref().is_some_and(|totals| totals.backlog.is_behind())
    }

    /// Counts what the end of a peer holds.
    fn count_kept(&mut self, id: PeerId) {
        let Some(proxied) = self.proxied.get_mut(&id) else { return };
        let kept = proxied.end.as_ref().map_or(0, |end| end.buffered());
        self.kept = self.kept - std::mem::replace(&mut proxied.kept, kept) + kept;
    }
}

/// A link that the hub was asked for.
#[derive(Debug)]
struct Asked {
    to: PeerId,
    /// The client does not want it any more.
    given_up: bool,
}

/// How long the client is not told that a peer has gone. Both ends often let go at the same time, and a
/// client that hears of a peer that it has not any more leaves the hub (section 9).
const GRACE: Duration = Duration::from_millis(100);

/// A peer that the client has.
#[derive(Debug)]
pub(super) struct Proxied {
    /// In the order of their numbers. The first is spoken over. Without any the peer has gone, and the client is about
    /// to be told, or hears what is held back before.
    links: VecDeque<LinkNumber>,
    /// When the client is told.
    gone: Option<Instant>,
    /// When it is looked at, as [`Totals`] know it.
    due: Option<Instant>,
    /// What its end holds, in bytes, as it was counted last.
    kept: usize,
    /// The AnySocket end, if the other side speaks something else.
    end: Option<Box<Link<Token>>>,
    /// What has come before the client knows the peer, until it does.
    pub(super) held: Option<Held>,
}

impl Proxied {
    pub(super) fn end(&mut self) -> Option<&mut Link<Token>> {
        self.end.as_deref_mut()
    }
}

impl AnySocket {
    pub(super) fn tell_as_peer(
        &mut self,
        id: PeerId,
        out: &mut FrameWriter,
        say: impl FnOnce(&mut Link<Token>) -> Result<(), SendError>,
    ) {
        let (Some(us), Some(proxied)) = (self.peer, self.peers.proxied.get_mut(&id)) else {
            return;
        };
        let Some(end) = proxied.end() else { return };
        let header = Forward::header(us, id);
        let said = say(end).map_err(|_full| Reason::SlowReceiver);
        let before = Some(header.as_ref());
        let result = said.and_then(|()| write(end, &mut *self.random, before, out, usize::MAX));
        let deadline = end.deadline();
        self.peers.count_kept(id);
        self.schedule(Due::Peer(id), deadline);
        if let Err(reason) = result {
            self.end_peer(id, reason);
        }
    }

    /// The client wants a peer.
    pub(super) fn proxy(
        &mut self,
        id: Option<PeerId>,
        ticket: Option<Ticket>,
        out: &mut FrameWriter,
    ) {
        // A client without a proper id cannot be forwarded to, and nobody is behind itself or the hub.
        let wanted =
            id.filter(|id| self.peer.is_some_and(|us| us != *id) && *id != self.setup.options.id);
        let proxied = wanted.and_then(|id| self.peers.proxied.get(&id));
        let known = proxied.is_some_and(|proxied| proxied.gone.is_none());
        let full = self.questions.is_full() || self.peers.wanted.len() >= Recent::<Question>::MOST;
        let Some(id) = wanted.filter(|_| !known && !full) else {
            return self.answer_proxy(ticket, known, out);
        };
        self.peers.wanted.push((id, ticket));
        // Who asks again, before there is an answer, gets the same one.
        if !self.peers.asked.iter().any(|asked| asked.to == id && !asked.given_up) {
            self.ask_for(id);
        }
    }

    /// Asks the hub for a link, of which there is one between two such clients, whichever of them wants it.
    fn ask_for(&mut self, id: PeerId) {
        let (request, _) = self.questions.add(Question::Proxy(id));
        self.peers.asked.push(Asked { to: id, given_up: false });
        let options = LinkOptions { single: true, ..LinkOptions::default() };
        self.give(LinkCommand::Open { request, to: Addressee::Peer(id), options });
    }

    /// The hub has answered the first question for a link to this peer. Gives whether the client wants it still.
    pub(super) fn is_wanted(&mut self, id: PeerId) -> bool {
        let first = self.peers.asked.iter().position(|asked| asked.to == id);
        let first = first.map(|first| self.peers.asked.remove(first));
        if self.peers.asked.is_empty() {
            self.peers.asked = Vec::new();
        }
        first.is_some_and(|asked| !asked.given_up)
    }

    /// The hub opens no link to this peer.
    pub(super) fn no_link(&mut self, id: PeerId, reason: Reason, out: &mut FrameWriter) {
        if !self.is_wanted(id) || !self.waits_for(id) {
            return;
        }
        let there = self.peers.proxied.get(&id).is_some_and(|proxied| proxied.gone.is_none());
        match reason {
            // The one that there was, of which this session has been told before, has ended since.
            Reason::AlreadyEntered if !there => self.ask_for(id),
            _ => self.proxy_answered(id, there, out),
        }
    }

    /// Whether the client waits for an answer to a wish for this peer.
    fn waits_for(&self, id: PeerId) -> bool {
        self.peers.wanted.iter().any(|(wanted, _)| *wanted == id)
    }

    /// Answers all wishes for a peer.
    pub(super) fn proxy_answered(&mut self, id: PeerId, ok: bool, out: &mut FrameWriter) {
        let answered = self.peers.wanted.extract_if(.., |(wanted, _)| *wanted == id);
        let tickets: Vec<_> = answered.map(|(_, ticket)| ticket).collect();
        if self.peers.wanted.is_empty() {
            self.peers.wanted = Vec::new();
        }
        tickets.into_iter().for_each(|ticket| self.answer_proxy(ticket, ok, out));
    }

    /// Answers a wish for a peer. Unlike the original a refusal leaves the client connected.
    fn answer_proxy(&mut self, ticket: Option<Ticket>, ok: bool, out: &mut FrameWriter) {
        if let Some(ticket) = ticket {
            self.tell(out, |link| link.reply(ticket, proxy_reply(ok)));
        }
    }

    /// The client wants a peer no more, whether or not it has it already. One that it has not and does not wait
    /// for went at the same time.
    pub(super) fn unproxy(&mut self, id: Option<PeerId>, out: &mut FrameWriter) {
        let Some(id) = id else { return };
        for asked in self.peers.asked.iter_mut().filter(|asked| asked.to == id) {
            asked.given_up = true;
        }
        self.proxy_answered(id, false, out);
        self.let_go(id);
    }

    fn let_go(&mut self, id: PeerId) {
        if let Some(proxied) = self.peers.proxied.remove(&id) {
            self.peers.kept -= proxied.kept;
            self.peers.unschedule(Due::Peer(id), proxied.due);
            self.peers.forget_held(proxied.held);
            self.unlink_all(proxied.links, Reason::Left);
        }
    }

    fn unlink_all(&mut self, links: VecDeque<LinkNumber>, reason: Reason) {
        for link in links {
            self.forget_link(link);
            self.give(LinkCommand::Close { link, reason });
        }
    }

    /// A peer that the client has is given up.
    pub(super) fn end_peer(&mut self, id: PeerId, reason: Reason) {
        if let Some(proxied) = self.peers.proxied.get_mut(&id) {
            let links = std::mem::take(&mut proxied.links);
            self.unlink_all(links, reason);
            self.lose(id);
        }
    }

    /// A peer has gone, of which the client is told a little later.
    fn lose(&mut self, id: PeerId) {
        let now = self.now;
        if let Some(proxied) = self.peers.proxied.get_mut(&id) {
            proxied.end = None;
            proxied.gone = Some(now + GRACE);
            let held = proxied.held.take();
            self.peers.forget_held(held);
            self.peers.count_kept(id);
            self.schedule(Due::Peer(id), Some(now + GRACE));
        }
    }

    /// Looks what of a peer is late. `has_come`: what it waits for may be here already, where nobody listens.
    pub(super) fn tick_peer(&mut self, id: PeerId, has_come: bool, out: &mut FrameWriter) {
        let now = self.now;
        let Some(proxied) = self.peers.proxied.get_mut(&id) else { return };
        if let Some(at) = proxied.gone {
            if at > now {
                return self.schedule(Due::Peer(id), Some(at));
            }
            self.peers.proxied.remove(&id);
            return self.network(id, false, out);
        }
        let Some(end) = proxied.end() else { return };
        if has_come {
            end.wait_longer(now);
        }
        if let Err(error) = end.tick(now) {
            let reason = self.fault(&error);
            return self.end_peer(id, reason);
        }
        let late: Vec<Token> = std::iter::from_fn(|| end.expired(now)).collect();
        let deadline = end.deadline();
        self.schedule(Due::Peer(id), deadline);
        late.into_iter().for_each(|token| self.give_up(token, out));
    }

    /// Has something looked at when it may be late.
    pub(super) fn schedule(&mut self, what: Due, at: Option<Instant>) {
        if let Some(at) = at {
            self.peers.schedule(what, at);
            self.note(Some(at));
        }
    }

    fn network(&mut self, id: PeerId, connected: bool, out: &mut FrameWriter) {
        let told = Internal::Network { id: Id::Peer(id), connected };
        self.tell(out, |link| link.send_internal(told.to_json()));
    }

    /// There is a link to a peer that the client has or gets. `wanted` says that this session has opened it.
    pub(super) fn attach(
        &mut self,
        link: LinkNumber,
        peer: &Peer,
        wanted: bool,
        out: &mut FrameWriter,
    ) {
        let now = self.now;
        let refused = match self.peer {
            None => Some(Reason::Unsupported),
            Some(_) if !self.may_hold() => Some(Reason::TooManyPending),
            Some(_) => None,
        };
        let (Some(us), None) = (self.peer, refused) else {
            let reason = refused.unwrap_or(Reason::Unsupported);
            self.give(LinkCommand::Close { link, reason });
            if wanted {
                self.proxy_answered(peer.id, false, out);
            }
            return;
        };
        let side = if wanted { Side::Opener } else { Side::Accepter };
        // The other side may have opened it at the time when the client asked for one.
        let wanted = wanted || self.waits_for(peer.id);
        let translated = peer.protocol != WIRE.profile().name;
        let former = self.peers.proxied.get(&peer.id).filter(|former| {
            // One of another kind has gone too, but that is held back.
            former.gone.is_some() || former.end.is_some() != translated
        });
        if former.is_some() {
            self.let_go(peer.id);
            // Who has asked for the peer knows that the former one has gone.
            if !wanted {
                self.network(peer.id, false, out);
            }
        }
        let with = With::Peer(peer.id);
        let new = match translated {
            true => PeerLink::new(now, with, peer.id, side, &self.setup.options.limits),
            false => PeerLink::of_packets(now, with, peer.id),
        };
        self.peers.links.insert(link, Box::new(new));
        let known = self.peers.proxied.contains_key(&peer.id);
        let (config, id) = (&self.setup.config, peer.id);
        let proxied = self.peers.proxied.entry(id).or_insert_with(|| {
            let end = translated.then(|| {
                let mut end = Link::new(config.clone(), id);
                end.set_peer(Id::Peer(us));
                Box::new(end)
            });
            let links = VecDeque::new();
            Box::new(Proxied { links, gone: None, due: None, kept: 0, end, held: None })
        });
        // Most often behind all others.
        let place = proxied.links.partition_point(|known| *known < link);
        proxied.links.insert(place, link);
        match wanted {
            true => self.proxy_answered(peer.id, true, out),
            false if !known => self.network(peer.id, true, out),
            false => {}
        }
        if !known {
            let held = self.hold(id, link, out);
            if let Some(proxied) = self.peers.proxied.get_mut(&id) {
                proxied.held = held;
            }
        }
    }

    /// One of a peer's links has ended.
    pub(super) fn detach(&mut self, id: PeerId, link: LinkNumber) {
        let Some(proxied) = self.peers.proxied.get_mut(&id) else { return };
        if let Ok(place) = proxied.links.binary_search(&link) {
            proxied.links.remove(place);
        }
        self.look_for_links(id);
    }

    /// A peer without links has gone, as soon as nothing of it is held back.
    pub(super) fn look_for_links(&mut self, id: PeerId) {
        let proxied = self.peers.proxied.get(&id);
        if proxied.is_some_and(|proxied| {
            proxied.links.is_empty() && proxied.gone.is_none() && proxied.held.is_none()
        }) {
            self.lose(id);
        }
    }

    /// The client sends something to a peer. Only what is from itself, and to a peer that it has, is passed
    /// on (section 14).
    pub(super) fn forward(&mut self, forward: Forward, out: &mut FrameWriter) {
        let now = self.now;
        let Forward { to, from, inner } = forward;
        let proxied = self
            .peers
            .proxied
            .get_mut(&to)
            .filter(|proxied| Some(from) == self.peer && proxied.gone.is_none());
        let Some(Proxied { links, end, .. }) = proxied.map(|proxied| &mut **proxied) else {
            self.dropped += 1;
            return;
        };
        let Some(end) = end else {
            let Some(link) = links.front().copied() else { return };
            return self.pass_on(to, link, inner);
        };
        let packet = match packet::parse_inner(inner) {
            Ok(packet) if packet.kind != Kind::Auth => packet,
            _ => return self.end_peer(to, Reason::Malformed),
        };
        if packet.kind == Kind::Switch && !self.switches.take(now) {
            return self.end_peer(to, Reason::TooManyPending);
        }
        let last = packet.last;
        let received = end.receive(now, &mut *self.random, packet);
        self.peers.count_kept(to);
        // Each link may gather one large message, but not all of them at once.
        if !last && self.unfinished() > self.setup.options.limits.unfinished_bytes_max {
            self.hits.push(Limit::UnfinishedBytes);
            return self.end_peer(to, Reason::TooLarge);
        }
        match received {
            Ok(None) => {}
            Ok(Some(received)) => self.said(to, received, out),
            Err(error) => return self.end_peer(to, error.reason()),
        }
        self.tell_as_peer(to, out, |_| Ok(()));
    }

    /// Passes a packet to another client as it is. What no client survives is dropped.
    fn pass_on(&mut self, to: PeerId, link: LinkNumber, inner: Bytes) {
        let text = std::str::from_utf8(&inner).is_ok();
        match packet::inner_kind(&inner) {
            Ok(kind) if text && kind != Kind::Auth => {}
            _ => {
                self.dropped += 1;
                return;
            }
        }
        if inner.len() <= self.sent_bytes_max() {
            self.post(link, KIND_PACKET, inner);
        } else {
            self.end_peer(to, Reason::TooLarge);
        }
    }

    /// A packet of another client has come.
    pub(super) fn passed_on(&self, from: PeerId, inner: &Bytes, out: &mut FrameWriter) {
        if let Some(us) = self.peer {
            out.frame(Forward::header(us, from).as_ref(), inner);
        }
    }

    /// Whether a message of a link goes to the client as it came, which knows the peer. Nothing of the hub's own is
    /// in it.
    pub(super) fn passes_on(&self, link: LinkNumber, kind: u8) -> bool {
        let Some(known) = self.peers.links.get(&link) else { return false };
        let With::Peer(id) = known.with else { return false };
        let is_held = self.peers.proxied.get(&id).is_none_or(|proxied| proxied.held.is_some());
        kind == KIND_PACKET && known.spoken.is_none() && !is_held
    }

    /// The client says something to a peer that speaks something else.
    fn said(&mut self, to: PeerId, received: Received<Token>, out: &mut FrameWriter) {
        let links = self.peers.proxied.get(&to).map(|proxied| &proxied.links);
        let Some(link) = links.and_then(|links| links.front().copied()) else {
            return;
        };
        match received {
            Received::Message { body, ticket } => {
                let payload = payload::from_json(body);
                let posted = match ticket {
                    None => self.send_message(link, &payload),
                    Some(ticket) => self.request_message(link, ticket, &payload, out),
                };
                self.dropped += u64::from(!posted);
            }
            Received::Internal { body, ticket } => self.said_internal(to, link, &body, ticket, out),
            Received::Reply { token, body } => self.replied(token, &body, out),
            Received::Encrypted { .. } => {}
            // Refused before.
            Received::Auth(_) => {}
        }
    }

    fn said_internal(
        &mut self,
        to: PeerId,
        link: LinkNumber,
        body: &Json,
        ticket: Option<Ticket>,
        out: &mut FrameWriter,
    ) {
        match Internal::parse(body) {
            Ok(Internal::Rpc(call)) => self.call_peer(to, link, call, ticket, out),
            Ok(Internal::SyncedTime { time }) => self.ask_clock(link, ticket, time),
            // There is nobody behind those who are behind the hub.
            Ok(Internal::Proxy { .. }) => {
                if let Some(ticket) = ticket {
                    self.tell_as_peer(to, out, |end| end.reply(ticket, proxy_reply(false)));
                }
            }
            Ok(Internal::Unproxy { .. } | Internal::Network { .. } | Internal::RpcNotify) => {
                self.dropped += 1;
            }
            Err(InternalError::Call(failure)) => {
                let reply = Reply::new(&self.kept, ticket, Vec::new());
                self.answer(With::Peer(to), reply, &Outcome::Failed(failure), out);
            }
            Err(_) => self.end_peer(to, Reason::Malformed),
        }
    }

    fn call_peer(
        &mut self,
        to: PeerId,
        link: LinkNumber,
        call: Call,
        ticket: Option<Ticket>,
        out: &mut FrameWriter,
    ) {
        let reply = Reply::new(&self.kept, ticket, call.method);
        let refused = match asked(&reply.method, &call.params) {
            Ok((method, payload)) => match self.request(link, reply, None, &method, &payload) {
                Ok(()) => return,
                Err(refused) => refused,
            },
            Err(failure) => {
                return self.answer(With::Peer(to), reply, &Outcome::Failed(failure), out);
            }
        };
        let (reply, Failure { code, message, .. }) = refused;
        let outcome = reply.failure(code, &message);
        self.answer(With::Peer(to), reply, &outcome, out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anysocket::wire::LINK_BYTES;

    #[test]
    fn only_what_is_late_is_looked_at() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut peers = Peers::default();
        let id = PeerId::new([7; 16]);
        for number in 0..100 {
            let link = LinkNumber(number);
            let new = PeerLink::of_packets(now, With::Peer(id), id);
            peers.links.insert(link, Box::new(new));
            peers.schedule(Due::Link(link), at(u64::from(number) + 10));
            // A later time changes nothing, an earlier one does.
            peers.schedule(Due::Link(link), at(1000));
            peers.schedule(Due::Link(link), at(u64::from(number) + 5));
        }
        peers.schedule(Due::Peer(id), at(1));
        assert_eq!(peers.next_due(), Some(at(5)), "nothing is kept of who is not there");
        assert_eq!(peers.take_due(at(6)).0, [LinkNumber(0), LinkNumber(1)]);
        let gone = peers.links.remove(&LinkNumber(2)).expect("it is there");
        peers.unschedule(Due::Link(LinkNumber(2)), gone.due);
        assert_eq!(peers.next_due(), Some(at(8)));
        assert_eq!(peers.take_due(at(1000)).0.len(), 97);
        assert_eq!(peers.next_due(), None);
    }

    /// Its entry and that of its peer, in maps whose nodes are half full, and the end of a peer that speaks something
    /// else.
    #[test]
    fn a_link_keeps_what_is_charged_for_it() {
        let keys = size_of::<LinkNumber>() + size_of::<PeerId>() + 4 * size_of::<usize>();
        let entries = size_of::<PeerLink>() + size_of::<Proxied>() + 2 * keys;
        let kept = entries + size_of::<Link<Token>>() + size_of::<Spoken>();
        assert!((kept * 3 / 4..=kept).contains(&LINK_BYTES), "{kept}");
    }
}
