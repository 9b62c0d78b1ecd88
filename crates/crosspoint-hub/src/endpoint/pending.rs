//! Endpoints that somebody has filled.

use super::{Endpoint, Queue};
use std::sync::Arc;
use std::sync::atomic::Ordering;

/// Endpoints for which something was put into their outboxes that nobody has seen to yet.
#[derive(Debug, Default)]
pub(crate) struct PendingWrites(Vec<Arc<Endpoint>>);

impl PendingWrites {
    /// Lets everything that was put into the outboxes be written.
    pub(crate) fn flush(&mut self) {
        for endpoint in self.0.drain(..) {
            // The outlet locks the outbox, and so sees what was put into it before this.
            endpoint.pending.store(false, Ordering::Relaxed);
            endpoint.outlet.flush(&endpoint);
        }
        // A single large broadcast must not make its sender keep memory for ever.
        self.0.shrink_to(64);
    }

    /// Something was put into the outbox of an endpoint, which is locked.
    pub(super) fn add(&mut self, _locked: &Queue, endpoint: &Arc<Endpoint>) {
        if !endpoint.pending.load(Ordering::Relaxed) {
            endpoint.pending.store(true, Ordering::Relaxed);
            self.0.push(endpoint.clone());
        }
    }
}

impl Drop for PendingWrites {
    fn drop(&mut self) {
        self.flush();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::Event;
    use crate::endpoint::Outlet;
    use crate::ledger::Ledger;
    use crate::limits::Limits;
    use crate::outbox::Tag;
    use crate::testing::LINES;
    use prometheus_client::metrics::family::Family;
    use std::sync::atomic::AtomicUsize;
    use std::time::Instant;

    struct Counts(Arc<AtomicUsize>);

    impl Outlet for Counts {
        fn flush(&self, _endpoint: &Endpoint) {
            self.0.fetch_add(1, Ordering::Relaxed);
        }
        fn wake(&self) {}
    }

    #[test]
    fn an_endpoint_is_flushed_once_for_what_was_put_in_before_and_again_for_what_comes_after() {
        let flushed = Arc::new(AtomicUsize::new(0));
        let ledger = Arc::new(Ledger::new(&Limits::default(), Family::default()));
        let (account, outlet) = (ledger.account(None, "lines"), Counts(flushed.clone()));
        let id = (1, Instant::now());
        let endpoint = Endpoint::new(id, (None, None), &LINES, 10_000, account, Box::new(outlet));
        let endpoint = Arc::new(endpoint);
        let push = |writes: &mut PendingWrites| {
            endpoint.push_event(Tag::default(), Event::Done { request: 1 }, writes);
        };
        let [mut one, mut other] = [(); 2].map(|()| PendingWrites::default());
        let count = || flushed.load(Ordering::Relaxed);
        push(&mut one);
        push(&mut one);
        push(&mut other);
        other.flush();
        assert_eq!(count(), 0, "the first one sees to it");
        one.flush();
        assert_eq!(count(), 1);
        push(&mut other);
        drop(other);
        one.flush();
        assert_eq!(count(), 2);
    }
}
