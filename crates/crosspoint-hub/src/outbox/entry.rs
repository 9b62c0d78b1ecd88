//! One piece of what waits in an outbox, and what it costs.

use super::Tag;
use crate::command::{ApplicationEvent, ChannelEvent, DirectoryEvent, Event, LinkEvent, Peer};
use crate::segment::Logged;
use bytes::{Bytes, BytesMut};

/// A piece of what waits.
pub(super) enum Entry {
    /// Encoded data.
    Bytes(Bytes),
    /// Encoded data that other receivers get as well, and that is charged to its channel.
    Shared(Bytes),
    /// The same, of small pieces.
    Logged(Logged),
    /// Small data of this receiver alone, to which more is added.
    Gathered(BytesMut),
    Event(Tag, Box<Event>),
}

impl Entry {
    /// The memory that an entry needs besides its bytes, so that many small ones count as well.
    pub(super) const OVERHEAD: usize = 64;

    /// The memory that it takes, without what is charged to a channel.
    pub(super) fn cost(&self) -> usize {
        let bytes = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Shared(_) | Self::Logged(_) => 0,
            // All of it is held, used or not.
            Self::Gathered(bytes) => bytes.capacity(),
            Self::Event(_, event) => return Self::event_cost(event),
        };
        bytes + Self::OVERHEAD
    }

    /// The same of an event.
    pub(super) fn event_cost(event: &Event) -> usize {
        size_of::<Event>() + behind(event) + Self::OVERHEAD
    }

    /// Its bytes that are charged to a channel.
    pub(super) fn shared(&self) -> usize {
        match self {
            Self::Shared(bytes) => bytes.len(),
            Self::Logged(logged) => logged.len(),
            Self::Event(_, event) => shared(event),
            Self::Bytes(_) | Self::Gathered(_) => 0,
        }
    }

    /// Whether the session's task has to write it.
    pub(super) fn is_event(&self) -> bool {
        matches!(self, Self::Event(..))
    }
}

/// The bytes that an event holds elsewhere.
pub(super) fn behind(event: &Event) -> usize {
    match event {
        Event::Data { part, .. } => part.data.len(),
        Event::Messages { run, .. } => run.own(),
        Event::Link(LinkEvent::Opened { purpose, .. }) => purpose.len(),
        Event::Channel(ChannelEvent::Knock { credentials, .. }) => credentials.len(),
        Event::Directory(DirectoryEvent::Found { peers, .. }) => peers.len() * size_of::<Peer>(),
        Event::Application(
            ApplicationEvent::Told { payload }
            | ApplicationEvent::Answer { outcome: Ok(payload), .. },
        ) => payload.data.len(),
        Event::Application(ApplicationEvent::Answer { outcome: Err(failure), .. }) => {
            failure.message.len() + failure.details.data.len()
        }
        _ => 0,
    }
}

/// The bytes of an event that are charged to a channel.
pub(super) fn shared(event: &Event) -> usize {
    match event {
        Event::Messages { run, .. } => run.shared(),
        _ => 0,
    }
}
