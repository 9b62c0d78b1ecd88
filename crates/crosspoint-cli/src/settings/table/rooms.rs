//! The section `[rooms]`.

use crate::settings::kind::{bytes, channel_name, count, switch, words};
use crate::settings::row::section;
use crate::settings::tables::{array_of_tables, tables};
use std::ops::RangeInclusive;

/// Members that a room may have.
const ROOM_MEMBERS: RangeInclusive<u64> = 1..=1_000_000;
/// Sizes that a chunk may have; the largest is what the chunk layer can express (`docs/peote.md`,
/// section 6).
pub(super) const CHUNK_BYTES: RangeInclusive<u64> = 1..=1 << 29;

section! {
    /// Rooms: channels that the hub owns, in which each member sends to all others.
    rooms: Rooms {
        /// Whether entering a name that does not exist makes a room.
        ///
        /// Such a room ends with its last member. If false, only declared rooms exist, and other
        /// names are refused with the reason `NotAllowed`.
        create_on_entry: bool = "true", switch();

        /// Rooms that entries may make and that exist at the same time.
        ///
        /// Above it, an entry that would make a room is refused with the reason `TooManyChannels`.
        /// Existing rooms can still be entered. Declared rooms do not count.
        count_max: usize = "10000", count(0..=10_000_000), flag "room-count-max";

        /// Rooms that the sessions of one address have made by entering them.
        ///
        /// Like `limits.channels_per_address_max`, for rooms that still exist.
        per_address_max: usize = "0",
            count(0..=10_000_000).zero("one part in 8 of rooms.count_max"), flag "rooms-per-address-max";

        /// Members of one room.
        ///
        /// Above it, an entry is refused with the reason `Full`. A declared room may set its own
        /// value.
        members_max: u32 = "10000", count(ROOM_MEMBERS), flag "room-members-max";

        /// Largest message in a room, in bytes.
        ///
        /// A larger message ends the session of its sender with the reason `TooLarge`. Peote programs
        /// in the room must use the same chunk size (their default is 32KiB). It determines how the
        /// length of a chunk is written, and two ends with different sizes misread each other. A
        /// declared room may set its own value.
        chunk_bytes_max: u32 = "32KiB", bytes(CHUNK_BYTES), flag "room-chunk-bytes-max";

        /// Rooms that exist from the start, even while they are empty.
        ///
        /// Each is a table `[[rooms.declared]]` in the file:
        ///
        /// - `name`: 1 to 255 bytes, different from the others; required
        ///
        /// - `mode`: `"chunk"` (default) keeps message boundaries, `"raw"` forwards bytes as they
        ///   come
        ///
        /// - `members_max`: as `rooms.members_max`, which is the default
        ///
        /// - `chunk_bytes_max`: as `rooms.chunk_bytes_max`, which is the default; without effect in
        ///   raw mode
        declared: Vec<Room> = "", tables();
    }
}

array_of_tables! {
    /// A room that exists from the start.
    Room in "rooms.declared", unique Some("a name that no other room has"), {
        /// Its name, different from the others.
        name: String = channel_name();
        /// Whether the borders of messages are kept.
        mode: RoomMode = words(&[("chunk", RoomMode::Chunk), ("raw", RoomMode::Raw)]);
    } optional {
        /// Members; `None`: as `rooms.members_max` says.
        members_max: u32 = count(ROOM_MEMBERS);
        /// Largest message in bytes; `None`: as `rooms.chunk_bytes_max` says.
        chunk_bytes_max: u32 = bytes(CHUNK_BYTES);
    }
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
