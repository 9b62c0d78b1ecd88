//! What comes from a peer of whom the client may not know yet.
//!
//! The original reads FORWARD at once, but NETWORK and the answer to PROXY a moment later. If both reach it in
//! one read, it takes the peer for a stranger's invention and leaves the hub. So nothing of a peer follows
//! before the client has answered a question for its clock, which the original reads and answers in order
//! behind the news of the peer.

use super::held::{Held, Message};
use super::peer_link::{Token, Wanted};
use super::proxy::{Peers, Proxied};
use super::{AnySocket, With};
use crate::anysocket::internal::Internal;
use crate::anysocket::link::Link;
use crate::anysocket::wire::KIND_PACKET;
use crate::value::Json;
use bytes::Bytes;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Limit, LinkNumber, PeerId, Reason};
use crosspoint_proto::peer::body::{self, Incoming};
use std::time::Duration;

/// How long a client may take to answer before it is taken for one that does not answer such questions. Longer
/// than encryption may take to begin, before which the question does not leave.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// How much of what was held back is handed on at once, or a single message.
const STEP_MAX: usize = 256;
const STEP_BYTES_MAX: usize = 256 * 1024;

impl AnySocket {
    /// Whether another peer can be told of, which takes a question to the client.
    pub(super) fn may_hold(&self) -> bool {
        !self.setup.options.guard_races || self.main.waiting() < self.setup.config.requests_max
    }

    /// The client has just been told of a peer. Gives what comes from it until the client knows it.
    pub(super) fn hold(
        &mut self,
        peer: PeerId,
        link: LinkNumber,
        out: &mut FrameWriter,
    ) -> Option<Held> {
        if !self.setup.options.guard_races {
            return None;
        }
        let held = &mut self.peers.totals().held;
        *held += 1;
        let serial = *held;
        let until = self.now + ANSWER_TIME_MAX;
        let time = Json::new(&(self.setup.options.clock)()).expect("a number has a JSON form");
        let body = Internal::SyncedTime { time }.to_json();
        let token = Token { link, what: Wanted::Known { peer, serial } };
        self.tell(out, |main| main.request_internal(body, until, token));
        Some(Held::new(serial, self.kept.weigh(size_of::<(Proxied, Link<Token>)>())))
    }

    /// Holds a message of a link back, if the client may not know the peer yet. Gives whether it did.
    pub(super) fn hold_message(&mut self, link: LinkNumber, kind: u8, body: &Bytes) -> bool {
        let Some(id) = self.peer_at(link).filter(|id| self.peers.held_mut(*id).is_some()) else {
            return false;
        };
        let message = Message { link, kind, body: body.clone() };
        let bytes = message.cost();
        let free = self.setup.config.queue_bytes_max.saturating_sub(self.peers.held_bytes);
        // One peer may have no more than is left for others.
        if let Some(held) = self.peers.held_mut(id).filter(|held| held.bytes() + bytes <= free) {
            held.push(message);
            self.peers.held_bytes += bytes;
        } else {
            self.hits.push(Limit::OutboxBytes);
            self.end_peer(id, Reason::TooManyPending);
        }
        true
    }

    /// The peer at the other end of a link.
    fn peer_at(&self, link: LinkNumber) -> Option<PeerId> {
        match self.peers.links.get(&link)?.with {
            With::Peer(id) => Some(id),
            With::Hub => None,
        }
    }

    /// The client has answered, or does not answer such questions.
    pub(super) fn known(&mut self, id: PeerId, serial: u64, out: &mut FrameWriter) {
        if let Some(held) = self.peers.held_mut(id)
            && held.serial == serial
        {
            held.is_known = true;
            self.peers.totals().releasing.push_back(id);
            self.release_some(out);
        }
    }

    /// Hands on some of what was held back. The rest follows when that was written.
    pub(super) fn release_some(&mut self, out: &mut FrameWriter) {
        let (mut count, mut bytes) = (0, 0);
        while count < STEP_MAX && bytes < STEP_BYTES_MAX {
            let Some(id) = self.peers.releasing() else { return };
            let message = self.peers.next_held(id);
            let Some(message) = message else {
                self.released(id);
                continue;
            };
            count += 1;
            bytes += message.cost();
            let Message { link, kind, body } = message;
            match self.peers.links.contains_key(&link) {
                true => self.heard_now(link, kind, &body, out),
                false => self.hear_last_words(id, kind, body, out),
            }
        }
    }

    /// All that was held back of a peer was handed on.
    fn released(&mut self, id: PeerId) {
        self.peers.totals().releasing.pop_front();
        if let Some(proxied) = self.peers.proxied.get_mut(&id)
            && proxied.held.as_ref().is_some_and(|held| held.is_known)
        {
            proxied.held = None;
            self.look_for_links(id);
        }
    }

    /// Hands on what came over a link that has ended. Nobody waits for an answer.
    fn hear_last_words(&mut self, id: PeerId, kind: u8, body: Bytes, out: &mut FrameWriter) {
        let Some(proxied) = self.peers.proxied.get_mut(&id) else { return };
        if proxied.end().is_none() {
            return match kind {
                KIND_PACKET => self.passed_on(id, &body, out),
                _ => self.dropped += 1,
            };
        }
        match body::parse(kind, body) {
            Ok(Some(Incoming::Message(payload))) => {
                self.hear_message(With::Peer(id), &payload, out);
            }
            Ok(Some(Incoming::Notify { method, payload })) => {
                self.hear_notice(With::Peer(id), &method, &payload, out);
            }
            _ => self.dropped += 1,
        }
    }
}

impl Peers {
    fn held_mut(&mut self, id: PeerId) -> Option<&mut Held> {
        self.proxied.get_mut(&id)?.held.as_mut()
    }

    /// The next of what is held back of a peer, if the client may be told of it.
    fn next_held(&mut self, id: PeerId) -> Option<Message> {
        let message = self.held_mut(id)?.next()?;
        self.held_bytes -= message.cost();
        Some(message)
    }

    /// What is held back of a peer is not told any more.
    pub(super) fn forget_held(&mut self, held: Option<Held>) {
        self.held_bytes -= held.map_or(0, |held| held.bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anysocket::server::testing::session;
    use crosspoint_hub::command::{Event, LinkEvent, Peer};
    use crosspoint_hub::protocol::Protocol;
    use std::time::Instant;

    #[test]
    fn links_that_end_before_the_client_knows_the_peer_leave_nothing() {
        let now = Instant::now();
        let (mut session, mut out) = session(now, true);
        while session.poll(now, &mut out).is_some() {}
        let id = PeerId::new([0xb2; 16]);
        for number in 0..100 {
            let link = LinkNumber(number);
            let peer = Peer { id, name: None, protocol: "native" };
            let opened = LinkEvent::Opened { request: None, link, peer, purpose: Bytes::new() };
            session.deliver(now, &Event::Link(opened), &mut out);
            let closed = LinkEvent::Closed { link, reason: Reason::Left };
            session.deliver(now, &Event::Link(closed), &mut out);
        }
        assert_eq!((session.peers.links.len(), session.peers.proxied.len()), (0, 1));
        let note = session.buffered();
        assert!((1..4000).contains(&note), "{note}");
    }
}
