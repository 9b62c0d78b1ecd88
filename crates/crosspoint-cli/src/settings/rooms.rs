//! Rooms declared in the file.

use super::error::{Fault, suggest};
use super::file::Toml;
use super::kind::{Form, Given, Kind, Words, Wrong, bytes, channel_name, count, quote, words};
use super::lists::List;
use std::collections::BTreeSet;
use std::ops::RangeInclusive;

/// Members that a room may have.
pub(super) const ROOM_MEMBERS: RangeInclusive<u64> = 1..=1_000_000;
/// Sizes that a chunk may have; the largest is what the chunk layer can express (`docs/peote.md`,
/// section 6).
pub(super) const CHUNK_BYTES: RangeInclusive<u64> = 1..=1 << 29;

const FIELDS: [&str; 4] = ["name", "mode", "members_max", "chunk_bytes_max"];
const MODE: Words<RoomMode> = words(&[("chunk", RoomMode::Chunk), ("raw", RoomMode::Raw)]);

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

/// The list of declared rooms.
pub(super) struct DeclaredRooms;

impl Kind for DeclaredRooms {
    type Value = Vec<Room>;

    fn form(&self) -> Form {
        Form::Tables
    }

    fn allowed(&self) -> String {
        "tables [[rooms.declared]]".to_owned()
    }

    fn read(&self, given: Given<'_>) -> Result<Vec<Room>, Wrong> {
        let list = match given {
            Given::Text("") => return Ok(Vec::new()),
            Given::Text(_) => return Err(Wrong::Value),
            Given::Toml(toml) => toml,
        };
        let items = list.value.as_array().ok_or(Wrong::Value)?;
        let mut reader = Reader::default();
        let rooms = items
            .iter()
            .enumerate()
            .map(|(index, item)| reader.room(&format!("rooms.declared[{index}]"), list.inner(item)))
            .collect();
        if reader.faults.is_empty() { Ok(rooms) } else { Err(Wrong::Parts(reader.faults)) }
    }

    fn show(&self, rooms: &Vec<Room>) -> String {
        if rooms.is_empty() {
            return "[]".to_owned();
        }
        let rooms = rooms.iter().map(|room| {
            let mut fields = vec![("name", quote(&room.name)), ("mode", MODE.show(&room.mode))];
            let members = room.members_max.map(|max| count(ROOM_MEMBERS).show(&max));
            fields.extend(members.map(|max| ("members_max", max)));
            let chunk = room.chunk_bytes_max.map(|max| bytes(CHUNK_BYTES).show(&max));
            fields.extend(chunk.map(|max| ("chunk_bytes_max", max)));
            let fields: Vec<_> =
                fields.iter().map(|(key, value)| format!("{key} = {value}")).collect();
            format!("  {{ {} }},\n", fields.join(", "))
        });
        format!("[\n{}]", rooms.collect::<String>())
    }
}

/// Reads tables, and keeps what is wrong with them.
#[derive(Default)]
pub(super) struct Reader {
    names: BTreeSet<String>,
    pub(super) faults: Vec<(usize, Fault)>,
}

impl Reader {
    /// Reads one room, and notes what is wrong with it.
    fn room(&mut self, path: &str, given: Toml<'_>) -> Room {
        let mut room = Room::default();
        let Some(table) = given.value.as_table() else {
            self.refuse(path, given, "a table [[rooms.declared]]".to_owned());
            return room;
        };
        let mut named = false;
        for (key, value) in table {
            let value = given.inner(value);
            let path = format!("{path}.{}", key.get_ref());
            match key.get_ref().as_ref() {
                "name" => {
                    named = true;
                    if let Some(name) = self.field(&channel_name(), &path, value) {
                        if !self.names.insert(name.clone()) {
                            self.refuse(&path, value, "a name that no other room has".to_owned());
                        }
                        room.name = name;
                    }
                }
                "mode" => room.mode = self.field(&MODE, &path, value).unwrap_or_default(),
                "members_max" => room.members_max = self.field(&count(ROOM_MEMBERS), &path, value),
                "chunk_bytes_max" => {
                    room.chunk_bytes_max = self.field(&bytes(CHUNK_BYTES), &path, value);
                }
                unknown => {
                    let suggestion = suggest(unknown, FIELDS);
                    let line = given.line_at(key.span().start);
                    self.faults.push((line, Fault::Unknown { name: path, suggestion }));
                }
            }
        }
        if !named {
            let missing = Fault::Missing { key: format!("{path}.name") };
            self.faults.push((given.line(), missing));
        }
        room
    }

    pub(super) fn list(&mut self, kind: &List, path: &str, given: Toml<'_>) -> Vec<String> {
        self.field(kind, path, given).unwrap_or_default()
    }

    pub(super) fn field<K: Kind>(
        &mut self,
        kind: &K,
        path: &str,
        given: Toml<'_>,
    ) -> Option<K::Value> {
        let value = kind.read(Given::Toml(given)).ok();
        if value.is_none() {
            self.refuse(path, given, kind.allowed());
        }
        value
    }

    pub(super) fn refuse(&mut self, path: &str, given: Toml<'_>, allowed: String) {
        let fault = Fault::Value { key: path.to_owned(), given: given.text(), allowed };
        self.faults.push((given.line(), fault));
    }
}
