//! The section `[channels]`.

use super::rooms::CHUNK_BYTES;
use crate::settings::kind::{bytes, count, text};
use crate::settings::lists::{name_patterns, network_list};
use crate::settings::row::section;
use crate::settings::tables::{array_of_tables, tables};
use std::ops::RangeInclusive;

/// Members that a rule may allow.
const MEMBERS: RangeInclusive<u64> = 1..=1_000_000;
/// Messages or bytes in a second that a rule may allow.
const RATE: RangeInclusive<u64> = 1..=1 << 40;
/// Bytes that may wait for the members of a channel.
const WAITING_BYTES: RangeInclusive<u64> = 256 * 1024..=1 << 40;
/// Bytes of a pattern for names.
const PATTERN_BYTES_MAX: usize = 255;

section! {
    /// Rules for channels and rooms by their names.
    channels: Channels {
        /// Rules for channels and rooms whose names match.
        ///
        /// Each rule is a table `[[channels]]` in the file. Only the first rule whose name matches
        /// applies. Where a rule sets nothing, the general settings apply. Each refusal and each
        /// bound is counted in `limit_hits` under `channels.` and the name of the field (`create` and
        /// `enter` without `_by` and `_from`).
        ///
        /// - `name`: a name, or a prefix of names followed by `*`; required
        ///
        /// - `members_max`: members, if fewer than `limits.members_max` or `rooms.members_max`. Above
        ///   it, an entry is refused with the reason `Full`
        ///
        /// - `message_bytes_max`: the largest message; for a peote program the largest frame. A
        ///   larger one ends the session of its sender with the reason `TooLarge`
        ///
        /// - `waiting_bytes_max`: bytes that may wait for the members, each counted once, if fewer
        ///   than `limits.channel_bytes_max`. Above it, the member that lags most is disconnected
        ///   with the reason `SlowReceiver`
        ///
        /// - `messages_per_second_max`, `bytes_per_second_max`: what one member may send to the
        ///   channel. Above it, the session is read more slowly, and nothing is lost. Each frame of a
        ///   peote program is a message. A member that leaves and enters again keeps its rate; a new
        ///   session starts anew
        ///
        /// - `create_by`, `create_from`: who may create the channel, create the room by entering it,
        ///   or become the owner as its successor. The first lists names of sessions (patterns as in
        ///   `name`; names are reliable only with credentials), the second lists addresses and
        ///   networks. If one list is set, all others are refused with the reason `NotAllowed`. If
        ///   both are set, one match is sufficient. An empty list matches nobody
        ///
        /// - `enter_by`, `enter_from`: the same for entering
        ///
        /// - `blocked`: addresses and networks that may neither create nor enter; they are refused
        ///   with the reason `Banned`
        rules: Vec<ChannelRule> = "", tables();
    }
}

array_of_tables! {
    /// A rule as it is written. The first that matches holds, so two may have the same name.
    ChannelRule in "channels", unique None, {
        /// Which names it is for.
        name: String = text(PATTERN_BYTES_MAX);
    } optional {
        members_max: u32 = count(MEMBERS);
        message_bytes_max: u32 = bytes(CHUNK_BYTES);
        waiting_bytes_max: usize = bytes(WAITING_BYTES);
        messages_per_second_max: u64 = count(RATE);
        bytes_per_second_max: u64 = bytes(RATE);
        create_by: Vec<String> = name_patterns();
        create_from: Vec<String> = network_list();
        enter_by: Vec<String> = name_patterns();
        enter_from: Vec<String> = network_list();
        blocked: Vec<String> = network_list();
    }
}
