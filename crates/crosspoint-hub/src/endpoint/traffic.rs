//! What goes in and out of an endpoint, for operators.
//!
//! Counted where the hub's metrics are, once for a batch. What comes in is counted by the session's own task alone, and
//! what goes out under the lock of the outbox, which whoever counts holds anyway.

use crate::outbox::Passed;
use std::sync::atomic::{AtomicU64, Ordering};

/// What went in and out of a session since its beginning. What its carrier adds is not counted: TLS, the records of
/// resume, the headers of HTTP requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Messages and parts that it has sent.
    pub messages_in: u64,
    /// Messages and parts that were put into its outbox.
    pub messages_out: u64,
    /// Bytes that were read from it.
    pub bytes_in: u64,
    /// Bytes that were written to it.
    pub bytes_out: u64,
}

/// What has come in.
#[derive(Debug, Default)]
pub(super) struct Incoming {
    messages: AtomicU64,
    bytes: AtomicU64,
}

impl Incoming {
    /// Adds messages. One task alone does that, so nobody adds in between.
    pub(super) fn add_messages(&self, messages: u64) {
        add(&self.messages, messages);
    }

    /// Adds bytes, as [`Incoming::add_messages`].
    pub(super) fn add_bytes(&self, bytes: u64) {
        add(&self.bytes, bytes);
    }

    /// With what has gone out.
    pub(super) fn with(&self, out: Passed) -> Traffic {
        Traffic {
            messages_in: self.messages.load(Ordering::Relaxed),
            messages_out: out.messages,
            bytes_in: self.bytes.load(Ordering::Relaxed),
            bytes_out: out.bytes,
        }
    }
}

/// As an addition in one step would have to lock the memory for what nobody contends for.
fn add(counter: &AtomicU64, more: u64) {
    counter.store(counter.load(Ordering::Relaxed).wrapping_add(more), Ordering::Relaxed);
}
