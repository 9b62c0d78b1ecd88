//! Rooms declared in the file.

use super::kind::{Words, bytes, channel_name, count, words};
use super::tables::{Field, Table, field, optional};
use std::ops::RangeInclusive;

/// Members that a room may have.
pub(super) const ROOM_MEMBERS: RangeInclusive<u64> = 1..=1_000_000;
/// Sizes that a chunk may have; the largest is what the chunk layer can express (`docs/peote.md`,
/// section 6).
pub(super) const CHUNK_BYTES: RangeInclusive<u64> = 1..=1 << 29;

/// A room that exists from the start.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Room {
    /// Its name, different from the others.
    pub(crate) name: String,
    /// Whether the borders of messages are kept.
    pub(crate) mode: RoomMode,
    /// Members; `None`: as `rooms.members_max` says.
    pub(crate) members_max: Option<u32>,
    /// Largest message in bytes; `None`: as `rooms.chunk_bytes_max` says.
    pub(crate) chunk_bytes_max: Option<u32>,
}

/// Whether the borders of messages are kept.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) enum RoomMode {
    /// They are.
    #[default]
    Chunk,
    /// Bytes are passed on as they come.
    Raw,
}

fn mode() -> Words<RoomMode> {
    words(&[("chunk", RoomMode::Chunk), ("raw", RoomMode::Raw)])
}

impl Table for Room {
    const LIST: &'static str = "rooms.declared";
    const UNIQUE: Option<&'static str> = Some("a name that no other room has");

    fn fields() -> Vec<Field<Self>> {
        vec![
            field("name", channel_name, |room| &mut room.name, |_| false),
            field("mode", mode, |room| &mut room.mode, |_| false),
            optional("members_max", || count(ROOM_MEMBERS), |room| &mut room.members_max),
            optional("chunk_bytes_max", || bytes(CHUNK_BYTES), |room| &mut room.chunk_bytes_max),
        ]
    }

    fn name(&self) -> &str {
        &self.name
    }
}
