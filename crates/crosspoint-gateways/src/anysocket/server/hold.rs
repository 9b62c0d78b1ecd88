//! What comes from a peer of whom the client may not know yet.
//!
//! The original reads FORWARD at once, but NETWORK and the answer to PROXY a moment later. If both reach it in
//! one read, it takes the peer for a stranger's invention and leaves the hub. So nothing of a peer follows
//! before the client has answered a question for its clock, which the original reads and answers in order
//! behind the news of the peer.

use super::peer_link::{Token, Wanted};
use super::proxy::Peers;
use super::{AnySocket, With};
use crate::anysocket::internal::Internal;
use crate::anysocket::json::Json;
use bytes::Bytes;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Limit, LinkNumber, PeerId, Reason};
use std::collections::VecDeque;
use std::time::Duration;

/// How long a client may take to answer before it is taken for one that does not answer such questions. Longer
/// than encryption may take to begin, before which the question does not leave.
const ANSWER_TIME_MAX: Duration = Duration::from_secs(10);

/// What each held message counts besides its length.
const ENTRY_BYTES: usize = 64;

/// What came from a peer while the client may not know it.
#[derive(Debug)]
pub(super) struct Held {
    /// Tells the answer to this question from those to earlier ones.
    serial: u64,
    messages: VecDeque<(LinkNumber, News)>,
    bytes: usize,
}

#[derive(Debug)]
enum News {
    Message { kind: u8, body: Bytes },
    Unlinked(Reason),
}

impl AnySocket {
    /// Whether another peer can be told of, which takes a question to the client.
    pub(super) fn may_hold(&self) -> bool {
        !self.options.guard_races || self.main.waiting() < self.config.requests_max
    }

    /// The client has just been told of a peer. Gives what comes from it until the client knows it.
    pub(super) fn hold(&mut self, link: LinkNumber, out: &mut FrameWriter) -> Option<Held> {
        if !self.options.guard_races {
            return None;
        }
        let held = &mut self.peers.totals().held;
        *held += 1;
        let serial = *held;
        let until = self.now + ANSWER_TIME_MAX;
        let time = Json::new(&(self.options.clock)()).expect("a number has a JSON form");
        let body = Internal::SyncedTime { time }.to_json();
        let token = Token { link, what: Wanted::Known { serial } };
        self.tell(out, |main| main.request_internal(body, until, token));
        Some(Held { serial, messages: VecDeque::new(), bytes: 0 })
    }

    /// Holds a message of a link back, if the client may not know the peer yet. Gives whether it did.
    pub(super) fn hold_message(&mut self, link: LinkNumber, kind: u8, body: &Bytes) -> bool {
        let Some(id) = self.peer_at(link).filter(|id| self.peers.held_mut(*id).is_some()) else {
            return false;
        };
        let bytes = body.len() + ENTRY_BYTES;
        if self.peers.held_bytes.saturating_add(bytes) > self.config.queue_bytes_max {
            self.hits.push(Limit::OutboxBytes);
            self.end_peer(id, Reason::TooManyPending);
        } else if let Some(held) = self.peers.held_mut(id) {
            held.bytes += bytes;
            held.messages.push_back((link, News::Message { kind, body: body.clone() }));
            self.peers.held_bytes += bytes;
        }
        true
    }

    /// A link has ended, which the client hears behind what came before.
    pub(super) fn unlinked(&mut self, link: LinkNumber, reason: Reason, out: &mut FrameWriter) {
        match self.peer_at(link).and_then(|id| self.peers.held_mut(id)) {
            Some(held) => held.messages.push_back((link, News::Unlinked(reason))),
            None => self.end_link(link, reason, out),
        }
    }

    /// The peer at the other end of a link.
    fn peer_at(&self, link: LinkNumber) -> Option<PeerId> {
        match self.peers.links.get(&link)?.with {
            With::Peer(id) => Some(id),
            With::Hub => None,
        }
    }

    /// The client has answered, or does not answer such questions.
    pub(super) fn known(&mut self, link: LinkNumber, serial: u64, out: &mut FrameWriter) {
        let held = self.peer_at(link).and_then(|id| Some((id, self.peers.held_mut(id)?)));
        if let Some((id, held)) = held
            && held.serial == serial
        {
            self.release(id, out);
        }
    }

    /// Hands on what was held back.
    fn release(&mut self, id: PeerId, out: &mut FrameWriter) {
        let Some(held) = self.peers.release(id) else { return };
        self.peers.count_held();
        for (link, news) in held.messages {
            match news {
                News::Message { kind, body } => self.heard(link, kind, body, out),
                News::Unlinked(reason) => self.end_link(link, reason, out),
            }
        }
    }
}

impl Peers {
    fn held_mut(&mut self, id: PeerId) -> Option<&mut Held> {
        self.proxied.get_mut(&id)?.held.as_mut()
    }

    fn release(&mut self, id: PeerId) -> Option<Held> {
        self.proxied.get_mut(&id)?.held.take()
    }

    /// Looks how much is held back of all peers, if anything is.
    pub(super) fn count_held(&mut self) {
        if self.held_bytes > 0 {
            let held = self.proxied.values().filter_map(|proxied| proxied.held.as_ref());
            self.held_bytes = held.map(|held| held.bytes).sum();
        }
    }
}
