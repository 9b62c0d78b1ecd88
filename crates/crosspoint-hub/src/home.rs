//! The hub's program as somebody to talk to.
//!
//! To a peer of AnySocket the hub is a peer like others, with an application of its own. Whoever
//! embeds a hub answers for it.

use crate::command::{Event, Peer};
use crate::outbox::{Outbox, Tag, Touched};
use crate::payload::{Ask, Failure, Outcome};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Answers for the hub's program. It is called by the task of the session that asks, and has to
/// return at once: what takes time is to be done elsewhere, with the [`Reply`] taken along.
pub trait Home: Send + Sync {
    /// Somebody asks. Dropping the reply answers nothing.
    fn ask(&self, from: &Peer, ask: Ask, reply: Reply);
}

/// A home where nobody is.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Home for Nobody {
    fn ask(&self, _from: &Peer, ask: Ask, reply: Reply) {
        // A message wants no answer.
        if !ask.method.is_empty() {
            reply.send(Err(Failure::no_method(&ask.method)));
        }
    }
}

/// The right to answer one question.
pub struct Reply {
    to: Weak<Outbox>,
    ticket: u32,
    pending: Arc<AtomicUsize>,
}

impl Reply {
    pub(crate) fn new(to: &Arc<Outbox>, ticket: u32, pending: Arc<AtomicUsize>) -> Self {
        pending.fetch_add(1, Ordering::Relaxed);
        Self { to: Arc::downgrade(to), ticket, pending }
    }

    /// Answers. Who asked may have gone.
    pub fn send(self, outcome: Outcome) {
        if let Some(outbox) = self.to.upgrade() {
            let event = Event::Answer { ticket: self.ticket, outcome };
            let mut touched = Touched::default();
            outbox.push_event_alone(Tag::default(), event, &mut touched);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.pending.fetch_sub(1, Ordering::Relaxed);
        // The one who asked may wait until there are fewer questions.
        if let Some(outbox) = self.to.upgrade() {
            outbox.wake();
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({})", self.ticket)
    }
}
