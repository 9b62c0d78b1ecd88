//! One piece of what waits in an outbox, and what it costs.

use super::Tag;
use crate::command::{ApplicationEvent, ChannelEvent, DirectoryEvent, Event, LinkEvent, Peer};
use crate::ledger::{Common, SharedCharge};
use crate::segment::Logged;
use crate::wire::{Part, Place};
use bytes::{Bytes, BytesMut};
use std::sync::Arc;

/// Messages for many receivers whose own tasks write data, kept once for all of them.
pub(crate) struct SharedParts {
    parts: Vec<Part>,
    /// For the list and for small data.
    _charge: SharedCharge,
}

impl SharedParts {
    /// Messages of one channel, which is charged for them.
    pub(crate) fn new(common: &Common, parts: &[Part]) -> Arc<Self> {
        let small = |part: &&Part| !Common::is_charged(&part.data);
        let bytes: usize = parts.iter().filter(small).map(|part| part.data.len()).sum();
        let charged = |part: &Part| Part { data: common.charge(part.data.clone()), ..part.clone() };
        let _charge = common.hold(bytes + size_of_val(parts));
        Arc::new(Self { parts: parts.iter().map(charged).collect(), _charge })
    }
}

/// What is left of such messages for one receiver.
pub(super) struct Run {
    place: Place,
    messages: Arc<SharedParts>,
    next: usize,
    /// The bytes of their data.
    bytes: usize,
}

impl Run {
    pub(super) fn new(place: Place, messages: Arc<SharedParts>) -> Self {
        let bytes = messages.parts.iter().map(|part| part.data.len()).sum();
        Self { place, messages, next: 0, bytes }
    }

    /// The next message. Gives the bytes of its data too.
    pub(super) fn pop(&mut self) -> Option<(Box<Event>, usize)> {
        let part = self.messages.parts.get(self.next)?.clone();
        let bytes = part.data.len();
        self.next += 1;
        self.bytes -= bytes;
        Some((Box::new(Event::Data { place: self.place, part }), bytes))
    }

    pub(super) fn is_over(&self) -> bool {
        self.next >= self.messages.parts.len()
    }
}

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
    /// As [`Event::Data`], of messages that are charged to their channel.
    Run(Box<Run>),
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
            Self::Run(_) => size_of::<Run>(),
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
            Self::Run(run) => run.bytes,
            Self::Bytes(_) | Self::Gathered(_) | Self::Event(..) => 0,
        }
    }

    /// Whether the session's task has to write it.
    pub(super) fn is_event(&self) -> bool {
        matches!(self, Self::Event(..) | Self::Run(_))
    }
}

/// The bytes that an event holds elsewhere.
pub(super) fn behind(event: &Event) -> usize {
    match event {
        Event::Data { part, .. } => part.data.len(),
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
