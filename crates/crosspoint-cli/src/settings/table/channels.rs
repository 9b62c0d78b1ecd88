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
        /// What holds for channels and rooms whose names match.
        ///
        /// Each is a table `[[channels]]` in the file. The first whose name matches holds, and no
        /// other; what a rule does not say is as for all. Each refusal and each bound is counted in
        /// `limit_hits` under `channels.` and the name of the field (`create` and `enter` without
        /// `_by` and `_from`).
        ///
        /// - `name`: a name, or a beginning of names with a `*` at its end; required
        ///
        /// - `members_max`: members, if fewer than `limits.members_max` or `rooms.members_max`.
        ///   Above: refused with the reason `Full`
        ///
        /// - `message_bytes_max`: the largest message; of a peote program the largest frame. A larger
        ///   one ends its sender's session with the reason `TooLarge`
        ///
        /// - `waiting_bytes_max`: bytes that may wait for its members, each counted once, if fewer than
        ///   `limits.channel_bytes_max`. Above: the member that lags most is disconnected with
        ///   `SlowReceiver`
        ///
        /// - `messages_per_second_max`, `bytes_per_second_max`: what one member may send there.
        ///   Above, its session is read more slowly; nothing is lost. Messages of peote programs are
        ///   frames. Leaving and entering again gives nothing back; a new session begins anew
        ///
        /// - `create_by`, `create_from`: who may create such a channel, make such a room by entering it,
        ///   or have the channel as a successor, by the name of the session (patterns, as in `name`; only
        ///   credentials make names certain) or by address (addresses and networks). If one is given,
        ///   others are refused with `NotAllowed`; if both are, it is enough to fit one. An empty list
        ///   fits nobody
        ///
        /// - `enter_by`, `enter_from`: the same for entering
        ///
        /// - `blocked`: addresses and networks that may do neither; refused with `Banned`
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
