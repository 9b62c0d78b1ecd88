//! Which outboxes somebody has filled.

use super::Outbox;
use super::queue::Queue;
use std::sync::Arc;

/// Outboxes that were filled and not yet attended to.
#[derive(Debug, Default)]
pub struct Touched(Vec<Arc<Outbox>>);

impl Touched {
    /// Lets everything that was put into the outboxes be written.
    pub fn attend(&mut self) {
        for outbox in self.0.drain(..) {
            outbox.lock().touched = false;
            outbox.outlet.attend(&outbox);
        }
        // A single large broadcast must not make its sender keep memory for ever.
        self.0.shrink_to(64);
    }

    pub(super) fn add(&mut self, queue: &mut Queue, outbox: &Arc<Outbox>) {
        if !queue.touched {
            queue.touched = true;
            self.0.push(outbox.clone());
        }
    }
}

impl Drop for Touched {
    fn drop(&mut self) {
        self.attend();
    }
}
