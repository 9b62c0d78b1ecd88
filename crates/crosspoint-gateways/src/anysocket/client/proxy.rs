//! Links through the neighbour to further peers (sections 9 and 10).

use super::side::Asked;
use super::{Ended, Event, Fault, LinkId, Moment, Peer, ProxyError};
use crate::anysocket::cipher::Random;
use crate::anysocket::id::Id;
use crate::anysocket::internal::{Internal, is_proxied};
use crate::anysocket::packet::{Forward, parse_inner};
use crate::value::Json;
use crosspoint_hub::PeerId;
use std::time::Instant;

impl<T> Peer<T> {
    /// Asks the neighbour for a peer behind it, until `deadline`. Gives the link if there is one already;
    /// otherwise [`Event::Proxied`] says what became of it.
    ///
    /// # Errors
    /// [`ProxyError`]
    pub fn proxy(&mut self, id: PeerId, deadline: Instant) -> Result<Option<LinkId>, ProxyError> {
        if id == self.ours || self.neighbour.link.peer() == Some(&Id::Peer(id)) {
            return Err(ProxyError::Oneself);
        }
        if let Some(link) = self.by_id.get(&id) {
            return match self.proxied.get(link) {
                Some(side) if side.closing => Err(ProxyError::Full),
                _ => Ok(Some(*link)),
            };
        }
        if self.asked.contains(&id) {
            return Ok(None);
        }
        if self.proxied.len() + self.asked.len() >= self.config.proxied_max {
            return Err(ProxyError::TooMany(self.config.proxied_max));
        }
        let body = Internal::Proxy { id: id.into() }.to_json();
        match self.ask(LinkId::NEIGHBOUR, body, deadline, Asked::Proxy(id)) {
            Ok(()) => {
                self.asked.insert(id);
                Ok(None)
            }
            Err(error) if error.is_full() => Err(ProxyError::Full),
            Err(_) => Err(ProxyError::Ended(Ended::Here)),
        }
    }

    /// Ends the link to a proxied peer when everything on it has been written.
    pub fn unproxy(&mut self, link: LinkId) {
        if let Some(side) = self.proxied.get_mut(&link) {
            side.closing = true;
            self.touch(link);
        }
    }

    pub(super) fn asked_failed(&mut self, id: PeerId, error: ProxyError) {
        self.asked.remove(&id);
        self.event(Event::Proxied { id, link: Err(error) });
    }

    pub(super) fn proxy_answered(&mut self, id: PeerId, reply: &Json) {
        // The peer may have asked for us meanwhile.
        let link = match self.by_id.get(&id) {
            Some(link) => *link,
            None if is_proxied(reply) => self.add(id, true),
            None => return self.asked_failed(id, ProxyError::Refused),
        };
        self.asked.remove(&id);
        self.event(Event::Proxied { id, link: Ok(link) });
    }

    /// The neighbour tells of a peer behind it.
    pub(super) fn network(&mut self, id: &Id, connected: bool) {
        // Others cannot be proxied.
        let Some(id) = id.peer().filter(|id| *id != self.ours) else {
            return;
        };
        match (self.by_id.get(&id), connected) {
            (Some(link), false) => self.remove(*link, Ended::There),
            // Told twice, or when both ends have ended the link at once.
            (Some(_), true) | (None, false) => {}
            (None, true) if self.proxied.len() < self.config.proxied_max => {
                self.add(id, false);
            }
            (None, true) => self.send_unproxy(id),
        }
    }

    pub(super) fn forwarded(&mut self, moment: Moment, random: &mut dyn Random, forward: Forward) {
        let Forward { to, from, inner } = forward;
        let link = match self.by_id.get(&from) {
            _ if to != self.ours => None,
            Some(link) => Some(*link),
            // An encrypting hub's yes can be overtaken by what the peer says.
            None => self.asked.contains(&from).then(|| self.add(from, true)),
        };
        let Some(link) = link else {
            // Most likely the link has just been ended here.
            self.dropped += 1;
            return;
        };
        match parse_inner(inner) {
            Ok(packet) => self.take(moment, random, link, packet),
            Err(error) => self.fail(link, error),
        }
    }

    /// Ends a link and tells the neighbour.
    pub(super) fn unlink(&mut self, link: LinkId, ended: Ended) {
        let id = self.proxied.get(&link).and_then(|side| side.to);
        self.remove(link, ended);
        if let Some(id) = id {
            self.send_unproxy(id);
        }
    }

    fn send_unproxy(&mut self, id: PeerId) {
        let body = Internal::Unproxy { id: id.into() }.to_json();
        match self.neighbour.link.send_internal(body) {
            Ok(()) => {
                self.neighbour.put();
                self.touch(LinkId::NEIGHBOUR);
            }
            Err(_full) => self.fail(LinkId::NEIGHBOUR, Fault::Answers),
        }
    }
}
