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
