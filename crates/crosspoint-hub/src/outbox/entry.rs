//! One piece of what waits in an outbox, and what it costs.

use super::Tag;
use crate::command::{Event, Peer};
use crate::segment::Logged;
use crate::wire::{Part, Place};
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
    /// As [`Event::Data`], where the bytes are charged to their channel.
    SharedData(Box<(Place, Part)>),
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
            Self::Event(_, event) => size_of::<Event>() + behind(event),
            Self::SharedData(_) => size_of::<(Place, Part)>(),
        };
        bytes + Self::OVERHEAD
    }

    /// Its bytes that are charged to a channel.
    pub(super) fn shared(&self) -> usize {
        match self {
            Self::Shared(bytes) => bytes.len(),
            Self::Logged(logged) => logged.len(),
            Self::SharedData(data) => data.1.data.len(),
            Self::Bytes(_) | Self::Gathered(_) | Self::Event(..) => 0,
        }
    }

    /// Whether the session's task has to write it.
    pub(super) fn is_event(&self) -> bool {
        matches!(self, Self::Event(..) | Self::SharedData(_))
    }

    /// The event that it is.
    ///
    /// # Errors
    /// The entry itself, if it is encoded data.
    pub(super) fn into_event(self) -> Result<(Tag, Box<Event>), Self> {
        match self {
            Self::Event(tag, event) => Ok((tag, event)),
            Self::SharedData(data) => {
                let (place, part) = *data;
                Ok((Tag::default(), Box::new(Event::Data { place, part })))
            }
            data => Err(data),
        }
    }
}

/// The bytes that an event holds elsewhere.
pub(super) fn behind(event: &Event) -> usize {
    match event {
        Event::Data { part, .. } => part.data.len(),
        Event::Linked { purpose, .. } => purpose.len(),
        Event::Knock { credentials, .. } => credentials.len(),
        Event::Found { peers, .. } => peers.len() * size_of::<Peer>(),
        Event::Told { payload } | Event::Answer { outcome: Ok(payload), .. } => payload.data.len(),
        Event::Answer { outcome: Err(failure), .. } => {
            failure.message.len() + failure.details.data.len()
        }
        _ => 0,
    }
}
