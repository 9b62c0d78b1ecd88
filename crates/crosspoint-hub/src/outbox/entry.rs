//! One piece of what waits in an outbox, and what it costs.

use super::Tag;
use crate::command::{Event, Peer};
use bytes::{Bytes, BytesMut};

/// A piece of what waits.
pub(super) enum Entry {
    /// Encoded data, most often shared with other receivers.
    Bytes(Bytes),
    /// Small data of this receiver alone, to which more is added.
    Gathered(BytesMut),
    Event(Tag, Event),
}

impl Entry {
    /// The memory that an entry needs besides its bytes, so that many small ones count as well.
    pub(super) const OVERHEAD: usize = 64;

    /// The memory that it takes.
    pub(super) fn cost(&self) -> usize {
        let bytes = match self {
            Self::Bytes(bytes) => bytes.len(),
            Self::Gathered(bytes) => bytes.len(),
            Self::Event(_, event) => size_of::<Event>() + behind(event),
        };
        bytes + Self::OVERHEAD
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
