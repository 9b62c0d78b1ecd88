//! Rules for channels by their names, in the file.

use super::error::{Fault, suggest};
use super::file::Toml;
use super::kind::{Form, Given, Kind, Wrong, bytes, count, quote, text};
use super::lists::{List, name_patterns, networks};
use super::rooms::{CHUNK_BYTES, Reader};
use std::ops::RangeInclusive;

/// Members that a rule may allow.
const MEMBERS: RangeInclusive<u64> = 1..=1_000_000;
/// Messages or bytes in a second that a rule may allow.
const RATE: RangeInclusive<u64> = 1..=1 << 40;

const FIELDS: [&str; 10] = [
    "name",
    "members_max",
    "message_bytes_max",
    "messages_per_second_max",
    "bytes_per_second_max",
    "create_by",
    "create_from",
    "enter_by",
    "enter_from",
    "blocked",
];

/// A rule as it is written.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct ChannelRule {
    /// Which names it is for.
    pub(crate) name: String,
    pub(crate) members_max: Option<u32>,
    pub(crate) message_bytes_max: Option<u32>,
    pub(crate) messages_per_second_max: Option<u64>,
    pub(crate) bytes_per_second_max: Option<u64>,
    pub(crate) create_by: Vec<String>,
    pub(crate) create_from: Vec<String>,
    pub(crate) enter_by: Vec<String>,
    pub(crate) enter_from: Vec<String>,
    pub(crate) blocked: Vec<String>,
}

/// The list of rules.
pub(super) struct ChannelRules;

impl Kind for ChannelRules {
    type Value = Vec<ChannelRule>;

    fn form(&self) -> Form {
        Form::Tables
    }

    fn allowed(&self) -> String {
        "tables [[channels]]".to_owned()
    }

    fn read(&self, given: Given<'_>) -> Result<Vec<ChannelRule>, Wrong> {
        let list = match given {
            Given::Text("") => return Ok(Vec::new()),
            Given::Text(_) => return Err(Wrong::Value),
            Given::Toml(toml) => toml,
        };
        let items = list.value.as_array().ok_or(Wrong::Value)?;
        let mut reader = Reader::default();
        let rules = items.iter().enumerate();
        let rules = rules
            .map(|(index, item)| rule(&mut reader, &format!("channels[{index}]"), list.inner(item)))
            .collect();
        if reader.faults.is_empty() { Ok(rules) } else { Err(Wrong::Parts(reader.faults)) }
    }

    fn show(&self, rules: &Vec<ChannelRule>) -> String {
        if rules.is_empty() {
            return "[]".to_owned();
        }
        let rules = rules.iter().map(|rule| {
            let mut fields = vec![("name", quote(&rule.name))];
            let size = |size: Option<u32>| size.map(|max| bytes(CHUNK_BYTES).show(&max));
            let rate = |rate: Option<u64>| rate.map(|max| count(RATE).show(&max));
            let list =
                |names: &Vec<String>, kind: List| (!names.is_empty()).then(|| kind.show(names));
            let optional = [
                ("members_max", rule.members_max.map(|max| count(MEMBERS).show(&max))),
                ("message_bytes_max", size(rule.message_bytes_max)),
                ("messages_per_second_max", rate(rule.messages_per_second_max)),
                ("bytes_per_second_max", rate(rule.bytes_per_second_max)),
                ("create_by", list(&rule.create_by, name_patterns())),
                ("create_from", list(&rule.create_from, networks())),
                ("enter_by", list(&rule.enter_by, name_patterns())),
                ("enter_from", list(&rule.enter_from, networks())),
                ("blocked", list(&rule.blocked, networks())),
            ];
            fields.extend(optional.into_iter().filter_map(|(key, value)| Some((key, value?))));
            let fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            format!("  {{ {} }},\n", fields.join(", "))
        });
        format!("[\n{}]", rules.collect::<String>())
    }
}

/// Reads one rule, and notes what is wrong with it.
fn rule(reader: &mut Reader, path: &str, given: Toml<'_>) -> ChannelRule {
    let mut rule = ChannelRule::default();
    let Some(table) = given.value.as_table() else {
        reader.refuse(path, given, "a table [[channels]]".to_owned());
        return rule;
    };
    let mut named = false;
    for (key, value) in table {
        let value = given.inner(value);
        let path = format!("{path}.{}", key.get_ref());
        match key.get_ref().as_ref() {
            "name" => {
                named = true;
                rule.name = reader.field(&text(255), &path, value).unwrap_or_default();
            }
            "members_max" => rule.members_max = reader.field(&count(MEMBERS), &path, value),
            "message_bytes_max" => {
                rule.message_bytes_max = reader.field(&bytes(CHUNK_BYTES), &path, value);
            }
            "messages_per_second_max" => {
                rule.messages_per_second_max = reader.field(&count(RATE), &path, value);
            }
            "bytes_per_second_max" => {
                rule.bytes_per_second_max = reader.field(&bytes(RATE), &path, value);
            }
            "create_by" => rule.create_by = reader.list(&name_patterns(), &path, value),
            "create_from" => rule.create_from = reader.list(&networks(), &path, value),
            "enter_by" => rule.enter_by = reader.list(&name_patterns(), &path, value),
            "enter_from" => rule.enter_from = reader.list(&networks(), &path, value),
            "blocked" => rule.blocked = reader.list(&networks(), &path, value),
            unknown => {
                let suggestion = suggest(unknown, FIELDS);
                let line = given.line_at(key.span().start);
                reader.faults.push((line, Fault::Unknown { name: path, suggestion }));
            }
        }
    }
    if !named {
        reader.faults.push((given.line(), Fault::Missing { key: format!("{path}.name") }));
    }
    rule
}
