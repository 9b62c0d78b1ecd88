//! The hub application: the program that embeds a hub, as a peer of clients.
//!
//! To AnySocket programs the hub is a peer like others, which answers messages and calls. A program that
//! embeds a hub implements [`Application`] for that.

use crate::command::{ApplicationEvent, Event, Peer};
use crate::endpoint::{Endpoint, PendingWrites};
use crate::outbox::Tag;
use crate::payload::{Ask, Failure, Outcome};
use std::fmt;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Weak};

/// Handles requests of clients to the hub application. The task of the session that asks calls it, so it has
/// to return at once: move the [`Reply`] to another task for work that takes time.
pub trait Application: Send + Sync {
    /// Handles one request. A reply that is dropped sends no answer.
    fn ask(&self, from: &Peer, ask: Ask, reply: Reply);
}

/// No application: calls are answered with an error.
#[derive(Debug, Clone, Copy)]
pub struct Nobody;

impl Application for Nobody {
    fn ask(&self, _from: &Peer, ask: Ask, reply: Reply) {
        // A message wants no answer.
        if !ask.method.is_empty() {
            reply.send(Err(Failure::no_method(&ask.method)));
        }
    }
}

/// The right to answer one request.
pub struct Reply {
    to: Weak<Endpoint>,
    ticket: u32,
    /// What the program holds of the request, in bytes.
    bytes: usize,
    pending: Arc<Asks>,
}

/// Requests of one session that wait for their answers.
#[derive(Debug, Default)]
pub(crate) struct Asks {
    count: AtomicUsize,
    bytes: AtomicUsize,
}

impl Asks {
    pub(crate) fn count(&self) -> usize {
        self.count.load(Ordering::Relaxed)
    }

    /// What the program holds of them.
    pub(crate) fn bytes(&self) -> usize {
        self.bytes.load(Ordering::Relaxed)
    }
}

impl Reply {
    pub(crate) fn new(to: &Arc<Endpoint>, ticket: u32, ask: &Ask, pending: Arc<Asks>) -> Self {
        let bytes = size_of::<(Ask, Self)>() + ask.method.len() + ask.payload.data.len();
        pending.count.fetch_add(1, Ordering::Relaxed);
        pending.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { to: Arc::downgrade(to), ticket, bytes, pending }
    }

    /// Answers. Who asked may have gone.
    pub fn send(self, outcome: Outcome) {
        if let Some(endpoint) = self.to.upgrade() {
            let event =
                Event::Application(ApplicationEvent::Answer { ticket: self.ticket, outcome });
            let mut writes = PendingWrites::default();
            endpoint.push_event_alone(Tag::default(), event, &mut writes);
        }
    }
}

impl Drop for Reply {
    fn drop(&mut self) {
        self.pending.count.fetch_sub(1, Ordering::Relaxed);
        self.pending.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        // The one who asked may wait until there are fewer questions.
        if let Some(endpoint) = self.to.upgrade() {
            endpoint.wake();
        }
    }
}

impl fmt::Debug for Reply {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Reply({})", self.ticket)
    }
}
