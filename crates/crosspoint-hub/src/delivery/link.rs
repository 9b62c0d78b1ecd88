//! What is sent over links, and what their ends are told.

use super::{Sent, send_one};
use crate::command::{Event, LinkEvent};
use crate::endpoint::{Endpoint, PendingWrites, Sending};
use crate::link::{End, Link, Side};
use crate::outbox::Tag;
use crate::reason::Reason;
use crate::wire::{Edge, Part, Place};
use bytes::Bytes;

impl Link<Endpoint> {
    /// Joins the two ends and tells both. Gives whether the other one has not ended it already.
    pub(crate) fn connect(
        &self,
        ends: [End<Endpoint>; 2],
        request: u32,
        purpose: &Bytes,
        writes: &mut PendingWrites,
    ) -> bool {
        self.join(ends, |[opener, accepter]| {
            let [from, to] = [opener, accepter].map(|end| end.endpoint.known_peer());
            for (end, request, peer) in [(opener, Some(request), to), (accepter, None, from)] {
                let purpose = purpose.clone();
                let opened = LinkEvent::Opened { request, link: end.number, peer, purpose };
                end.endpoint.push_event(Tag::default(), Event::Link(opened), writes);
            }
        })
    }

    /// From one side to the other.
    pub(crate) fn deliver(
        &self,
        from: Side,
        mut sending: Sending<'_>,
        parts: &[Part],
        writes: &mut PendingWrites,
    ) -> Sent {
        let sent = self.send(from, |to, gathering| {
            let (place, gathering) = (Place::Link(to.number), Some(gathering));
            send_one(&to.endpoint, &mut sending, place, Edge::Direct, parts, gathering, writes)
        });
        sent.unwrap_or(Sent::To(0))
    }

    /// One side ends it, and the other is told.
    pub(crate) fn disconnect(&self, by: Side, reason: Reason, writes: &mut PendingWrites) {
        self.end(by, |other| {
            let closed = LinkEvent::Closed { link: other.number, reason };
            other.endpoint.push_event(Tag::default(), Event::Link(closed), writes);
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Target;
    use crate::endpoint::{Outlet, Paused};
    use crate::ids::LinkNumber;
    use crate::ledger::{Account, Ledger, Purpose};
    use crate::limits::Limits;
    use crate::testing::LINES;
    use prometheus_client::metrics::family::Family;
    use std::sync::Arc;
    use std::time::Instant;

    fn account() -> Arc<Account> {
        Arc::new(Ledger::new(&Limits::default(), Family::default())).account(None, "lines")
    }

    /// What the system takes for an allocation, the worst of a map that has just grown, and no more than
    /// as much again for what is there sometimes.
    #[test]
    fn a_link_costs_what_is_charged_for_it() {
        let counters = 2 * size_of::<usize>();
        let itself = counters + size_of::<Link<Endpoint>>();
        let entry = size_of::<(LinkNumber, (Arc<Link<Endpoint>>, Side))>()
            + size_of::<(u64, LinkNumber)>()
            + 2;
        let entries = 2 * entry * 16 / 7;
        let told = 2 * size_of::<Event>();
        let cost = itself + entries + told;
        assert!((cost..=2 * cost).contains(&Link::<Endpoint>::BYTES), "{cost}");
    }

    /// The accepter has the link already when it ends, but was not told of it.
    #[test]
    fn a_link_that_ended_before_it_was_joined_is_none_and_nobody_hears_of_it() {
        struct Quiet;
        impl Outlet for Quiet {
            fn flush(&self, _endpoint: &Endpoint) {}
            fn wake(&self) {}
        }
        let ends = [1, 2].map(|id| {
            let endpoint = Endpoint::new(
                (id, Instant::now()),
                (None, None),
                &LINES,
                1000,
                account(),
                Box::new(Quiet),
            );
            End { endpoint: Arc::new(endpoint), number: LinkNumber(0) }
        });
        let endpoints = ends.each_ref().map(|end| end.endpoint.clone());
        let link = Link::new(account().charge(Purpose::Stored, Link::<Endpoint>::BYTES), None);
        let mut writes = PendingWrites::default();
        link.disconnect(Side::Accepter, Reason::ConnectionLost, &mut writes);
        assert!(!link.connect(ends, 1, &Bytes::new(), &mut writes));
        let (to, mut paused) = (Target::Link(LinkNumber(0)), Paused::default());
        let sending = Sending {
            from: &endpoints[0],
            now: Instant::now(),
            to,
            mixed: false,
            rate: 0,
            paused: &mut paused,
        };
        let sent = link.deliver(Side::Opener, sending, &[Part::whole("x")], &mut writes);
        assert_eq!(sent, Sent::To(0));
        assert!(
            endpoints
                .iter()
                .all(|endpoint| endpoint.is_empty() && Arc::strong_count(endpoint) == 1)
        );
    }
}
