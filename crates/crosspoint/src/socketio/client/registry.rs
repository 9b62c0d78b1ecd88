//! The handlers of a socket, and what waits for them.
//!
//! It does not know what is handled: `E` are events, `S` streams, `N` notices.

use crate::handling::{Handling, caught};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// Handles something, and gives what went wrong, if anything.
pub(super) type Handler<T> = Arc<dyn Fn(T) -> Handling<Option<String>> + Send + Sync>;

/// The handlers of a socket.
pub(super) struct Handlers<E, N, S> {
    events: RwLock<HashMap<Box<str>, Handler<E>>>,
    any: RwLock<Option<Handler<E>>>,
    notices: RwLock<Option<Handler<N>>>,
    /// By channel.
    streams: RwLock<HashMap<Option<Box<str>>, Handler<S>>>,
}

impl<E, N, S> Default for Handlers<E, N, S> {
    fn default() -> Self {
        Self {
            events: RwLock::default(),
            any: RwLock::default(),
            notices: RwLock::default(),
            streams: RwLock::default(),
        }
    }
}

impl<E, N, S> Handlers<E, N, S> {
    pub(super) fn set_event(&self, event: &str, handler: Handler<E>) {
        let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
        let _former = events.insert(event.into(), handler);
    }

    pub(super) fn remove_event(&self, event: &str) {
        let mut events = self.events.write().unwrap_or_else(PoisonError::into_inner);
        let _former = events.remove(event);
    }

    pub(super) fn set_any(&self, handler: Handler<E>) {
        *self.any.write().unwrap_or_else(PoisonError::into_inner) = Some(handler);
    }

    pub(super) fn set_notice(&self, handler: Handler<N>) {
        *self.notices.write().unwrap_or_else(PoisonError::into_inner) = Some(handler);
    }

    pub(super) fn set_stream(&self, channel: Option<&str>, handler: Handler<S>) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let _former = streams.insert(channel.map(Into::into), handler);
    }

    pub(super) fn remove_stream(&self, channel: Option<&str>) {
        let mut streams = self.streams.write().unwrap_or_else(PoisonError::into_inner);
        let _former = streams.remove(&channel.map(Into::into));
    }

    /// Who handles events of this name.
    pub(super) fn event(&self, name: &str) -> Option<Handler<E>> {
        let one = self.events.read().unwrap_or_else(PoisonError::into_inner).get(name).cloned();
        one.or_else(|| self.any.read().unwrap_or_else(PoisonError::into_inner).clone())
    }

    /// Who hears what happens besides events.
    pub(super) fn notice(&self) -> Option<Handler<N>> {
        self.notices.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Who takes streams in a channel, or in none.
    pub(super) fn stream(&self, channel: Option<&str>) -> Option<Handler<S>> {
        let streams = self.streams.read().unwrap_or_else(PoisonError::into_inner);
        streams.get(&channel.map(Into::into)).cloned()
    }
}

impl<E, N, S> fmt::Debug for Handlers<E, N, S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let events = self.events.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(events.keys()).finish()
    }
}

/// What waits to be handled, one after the other.
#[derive(Debug)]
pub(super) struct Inbox<T> {
    waiting: VecDeque<T>,
    running: bool,
}

impl<T> Default for Inbox<T> {
    fn default() -> Self {
        Self { waiting: VecDeque::new(), running: false }
    }
}

impl<T> Inbox<T> {
    /// Adds something behind all else. Gives whether somebody has to begin to handle it.
    pub(super) fn push(&mut self, happened: T) -> bool {
        self.waiting.push_back(happened);
        !std::mem::replace(&mut self.running, true)
    }

    /// The next one. After the last, somebody has to begin again.
    pub(super) fn next(&mut self) -> Option<T> {
        let next = self.waiting.pop_front();
        self.running = next.is_some();
        next
    }
}

/// Runs a handler to its end.
pub(super) async fn run<T>(what: &str, handler: Handler<T>, event: T) {
    match caught(move || handler(event)).await {
        Some(None) => {}
        Some(Some(error)) => tracing::warn!(event = what, %error, "a handler has failed"),
        None => tracing::error!(event = what, "a handler has panicked"),
    }
}
