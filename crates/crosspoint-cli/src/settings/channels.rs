//! Rules for channels by their names, in the file.

use super::kind::{bytes, count, text};
use super::lists::{name_patterns, network_list};
use super::rooms::CHUNK_BYTES;
use super::tables::{Field, Table, field, optional};
use std::ops::RangeInclusive;

/// Members that a rule may allow.
const MEMBERS: RangeInclusive<u64> = 1..=1_000_000;
/// Messages or bytes in a second that a rule may allow.
const RATE: RangeInclusive<u64> = 1..=1 << 40;
/// Bytes that may wait for the members of a channel.
pub(super) const WAITING_BYTES: RangeInclusive<u64> = 256 * 1024..=1 << 40;
/// Bytes of a pattern for names.
const PATTERN_BYTES_MAX: usize = 255;

/// A rule as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ChannelRule {
    /// Which names it is for.
    pub(crate) name: String,
    pub(crate) members_max: Option<u32>,
    pub(crate) message_bytes_max: Option<u32>,
    pub(crate) waiting_bytes_max: Option<usize>,
    pub(crate) messages_per_second_max: Option<u64>,
    pub(crate) bytes_per_second_max: Option<u64>,
    pub(crate) create_by: Option<Vec<String>>,
    pub(crate) create_from: Option<Vec<String>>,
    pub(crate) enter_by: Option<Vec<String>>,
    pub(crate) enter_from: Option<Vec<String>>,
    pub(crate) blocked: Option<Vec<String>>,
}

impl Table for ChannelRule {
    const LIST: &'static str = "channels";
    /// The first rule that matches holds, so a second one with the same name does no harm.
    const UNIQUE: Option<&'static str> = None;

    fn fields() -> Vec<Field<Self>> {
        vec![
            field("name", || text(PATTERN_BYTES_MAX), |rule| &mut rule.name, |_| false),
            optional("members_max", || count(MEMBERS), |rule| &mut rule.members_max),
            optional(
                "message_bytes_max",
                || bytes(CHUNK_BYTES),
                |rule| &mut rule.message_bytes_max,
            ),
            optional(
                "waiting_bytes_max",
                || bytes(WAITING_BYTES),
                |rule| &mut rule.waiting_bytes_max,
            ),
            optional(
                "messages_per_second_max",
                || count(RATE),
                |rule| &mut rule.messages_per_second_max,
            ),
            optional("bytes_per_second_max", || bytes(RATE), |rule| &mut rule.bytes_per_second_max),
            optional("create_by", name_patterns, |rule| &mut rule.create_by),
            optional("create_from", network_list, |rule| &mut rule.create_from),
            optional("enter_by", name_patterns, |rule| &mut rule.enter_by),
            optional("enter_from", network_list, |rule| &mut rule.enter_from),
            optional("blocked", network_list, |rule| &mut rule.blocked),
        ]
    }

    fn name(&self) -> &str {
        &self.name
    }
}
