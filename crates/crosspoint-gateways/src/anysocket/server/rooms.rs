//! Rooms and channels that the client has entered, and what it is told of them.

use super::payload::push_content;
use crate::value::Json;
use crosspoint_hub::command::{Entered, Mode, OwnerNews, Peer};
use crosspoint_hub::wire::Part;
use crosspoint_hub::{ChannelName, JoinedChannelId, MemberNumber, Reason};
use std::collections::HashMap;

/// All that the client has entered.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    /// By number.
    rooms: Vec<Room>,
    /// Their numbers, by name. Most clients are in one room, and a table would begin with room for three.
    numbers: Vec<JoinedChannelId>,
    /// What is kept of others.
    bytes: usize,
}

#[derive(Debug)]
struct Room {
    number: JoinedChannelId,
    name: ChannelName,
    mode: Mode,
    /// The others, if the client wanted to know of them: what is said of each, without braces.
    others: HashMap<MemberNumber, Box<str>>,
}

/// What is kept of another, with its entry in a map that has just grown.
fn cost(other: &str) -> usize {
    other.len() + 3 * size_of::<(MemberNumber, Box<str>)>()
}

/// Why something cannot be sent into a room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum CannotSend {
    /// The client has not entered it.
    NotEntered,
    /// Messages there have 1 to so many bytes.
    Size(u32),
}

impl Rooms {
    /// What is kept of others, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Where the room with this number is, or would be.
    fn place(&self, number: JoinedChannelId) -> Result<usize, usize> {
        self.rooms.binary_search_by_key(&number, |room| room.number)
    }

    /// Where the number of the room with this name is, or would be.
    fn place_of_name(&self, name: &ChannelName) -> Result<usize, usize> {
        self.numbers
            .binary_search_by(|number| self.get(*number).map(|room| &room.name).cmp(&Some(name)))
    }

    fn get(&self, number: JoinedChannelId) -> Option<&Room> {
        self.place(number).ok().map(|index| &self.rooms[index])
    }

    fn number(&self, name: &ChannelName) -> Option<JoinedChannelId> {
        self.place_of_name(name).ok().map(|index| self.numbers[index])
    }

    fn forget(&mut self, number: JoinedChannelId) -> Option<Room> {
        let index = self.place(number).ok()?;
        if let Ok(index) = self.place_of_name(&self.rooms[index].name) {
            self.numbers.remove(index);
        }
        let room = self.rooms.remove(index);
        self.bytes -= room.others.values().map(|other| cost(other)).sum::<usize>();
        Some(room)
    }

    fn add(&mut self, room: Room) {
        // The hub gives a number again at once, and says first that the former holding has ended.
        self.forget(room.number);
        if let Some(former) = self.number(&room.name) {
            self.forget(former);
        }
        if self.rooms.is_empty() {
            (self.rooms, self.numbers) = (Vec::with_capacity(1), Vec::with_capacity(1));
        }
        let (Ok(at) | Err(at)) = self.place_of_name(&room.name);
        self.numbers.insert(at, room.number);
        let (Ok(at) | Err(at)) = self.place(room.number);
        self.rooms.insert(at, room);
    }

    /// The client is a member now. Gives what it is told.
    pub(super) fn enter(&mut self, name: ChannelName, entered: &Entered) -> Json {
        let told = format!(r#"{{"room":{},"member":{}}}"#, text(&name.to_string()), entered.member);
        let (number, mode) = (entered.channel, entered.mode);
        self.add(Room { number, name, mode, others: HashMap::new() });
        Json::made(told)
    }

    /// The client leaves.
    pub(super) fn leave(&mut self, name: &ChannelName) -> Option<JoinedChannelId> {
        let number = self.number(name)?;
        self.forget(number);
        Some(number)
    }

    /// Where to send a message of so many bytes.
    pub(super) fn to(
        &self,
        name: &ChannelName,
        bytes: usize,
    ) -> Result<JoinedChannelId, CannotSend> {
        let number = self.number(name).ok_or(CannotSend::NotEntered)?;
        match self.get(number).map(|room| room.mode) {
            Some(Mode::Chunk { bytes_max }) if bytes == 0 || bytes > bytes_max as usize => {
                Err(CannotSend::Size(bytes_max))
            }
            _ => Ok(number),
        }
    }

    /// The membership has ended. Gives what the client is told.
    pub(super) fn end(&mut self, number: JoinedChannelId, reason: Reason) -> Option<Json> {
        let name = self.forget(number)?.name;
        let (name, word) = (text(&name.to_string()), text(&reason.word()));
        Some(Json::made(format!(
            r#"{{"hub":"room","event":"ended","room":{name},"reason":{word}}}"#
        )))
    }

    /// Another is there.
    pub(super) fn come(
        &mut self,
        number: JoinedChannelId,
        member: MemberNumber,
        peer: &Peer,
    ) -> Option<Json> {
        let index = self.place(number).ok()?;
        let room = &mut self.rooms[index];
        let other = format!(r#""member":{member},{}"#, peer_fields(peer));
        let told = room.event("entered", &other, None);
        self.bytes += cost(&other);
        if let Some(former) = room.others.insert(member, other.into()) {
            self.bytes -= cost(&former);
        }
        Some(told)
    }

    /// Another has gone.
    pub(super) fn go(
        &mut self,
        number: JoinedChannelId,
        member: MemberNumber,
        reason: Reason,
    ) -> Option<Json> {
        let index = self.place(number).ok()?;
        let room = &mut self.rooms[index];
        let other = match room.others.remove(&member) {
            Some(other) => {
                self.bytes -= cost(&other);
                other
            }
            None => unknown(member),
        };
        Some(room.event("left", &other, Some(reason)))
    }

    /// Something has become of a channel's owner.
    pub(super) fn owner(&self, number: JoinedChannelId, news: &OwnerNews) -> Option<Json> {
        const OWNER: &str = r#""owner":true"#;
        let room = self.get(number)?;
        match news {
            OwnerNews::Away => Some(room.event("away", OWNER, None)),
            OwnerNews::Back => Some(room.event("back", OWNER, None)),
            OwnerNews::Changed(peer) => {
                Some(room.event("changed", &format!("{OWNER},{}", peer_fields(peer)), None))
            }
            // This protocol has no owners.
            OwnerNews::You(_) => None,
        }
    }

    /// What a message begins with that has come: from a member of a room, or from the owner of a channel. Its
    /// body follows ([`put_body`]).
    pub(super) fn intro(
        &self,
        number: JoinedChannelId,
        from: Option<MemberNumber>,
    ) -> Option<String> {
        let room = self.get(number)?;
        let unknown = from.map(unknown);
        let from = from.and_then(|member| room.others.get(&member)).or(unknown.as_ref());
        let from = from.map_or(r#""owner":true"#, |from| from);
        let name = text(&room.name.to_string());
        Some(format!(r#"{{"hub":"room","room":{name},"from":{{{from}}},"#))
    }

    /// A message has come.
    pub(super) fn message(
        &self,
        number: JoinedChannelId,
        from: Option<MemberNumber>,
        part: &Part,
    ) -> Option<Json> {
        let mut out = self.intro(number, from)?.into_bytes();
        put_body(part, &mut out);
        Some(Json::made(String::from_utf8(out).expect("all of it is text")))
    }
}

/// What all who get a message are told alike. Calls have no form here.
pub(super) fn put_body(part: &Part, out: &mut Vec<u8>) {
    if part.kind == Part::DATA {
        push_content(&part.data, out);
        out.push(b'}');
    }
}

impl Room {
    fn event(&self, event: &str, other: &str, reason: Option<Reason>) -> Json {
        let name = text(&self.name.to_string());
        let reason = reason.map(|reason| format!(r#","reason":{}"#, text(&reason.word())));
        let reason = reason.unwrap_or_default();
        Json::made(format!(
            r#"{{"hub":"room","event":"{event}","room":{name},"from":{{{other}}}{reason}}}"#
        ))
    }
}

fn unknown(member: MemberNumber) -> Box<str> {
    format!(r#""member":{member}"#).into()
}

fn text(text: &str) -> Json {
    Json::new(text).expect("a text has a JSON form")
}

fn peer_fields(peer: &Peer) -> String {
    let name = peer.name.as_deref().map_or(Json::NULL, text);
    format!(r#""id":"{}","name":{name},"protocol":"{}""#, peer.id, peer.protocol)
}

/// What is said of a peer.
pub(super) fn peer(peer: &Peer) -> String {
    format!("{{{}}}", peer_fields(peer))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::PeerId;

    #[test]
    fn a_member_is_told_of_by_what_is_known_of_it() {
        let name = ChannelName::new("lo\"bby").unwrap();
        let entered = Entered {
            request: 0,
            channel: JoinedChannelId(4),
            member: MemberNumber(1),
            mode: Mode::Chunk { bytes_max: 5 },
            chunk: None,
            replies: true,
            room: true,
        };
        let mut rooms = Rooms::default();
        assert_eq!(rooms.enter(name.clone(), &entered).text(), r#"{"room":"lo\"bby","member":1}"#);
        let at = JoinedChannelId(4);
        let said = |rooms: &Rooms, member, data: &'static [u8]| {
            rooms.message(at, member, &Part::whole(data)).unwrap().text().to_owned()
        };
        let two = MemberNumber(2);
        assert_eq!(
            said(&rooms, Some(two), b"hi"),
            r#"{"hub":"room","room":"lo\"bby","from":{"member":2},"text":"hi"}"#
        );
        let ann = Peer { id: PeerId::new([7; 16]), name: Some("ann".into()), protocol: "native" };
        let id = "07".repeat(16);
        let from = format!(r#""from":{{"member":2,"id":"{id}","name":"ann","protocol":"native"}}"#);
        assert_eq!(
            rooms.come(at, two, &ann).unwrap().text(),
            format!(r#"{{"hub":"room","event":"entered","room":"lo\"bby",{from}}}"#)
        );
        assert_eq!(
            said(&rooms, Some(two), b"\xff"),
            format!(r#"{{"hub":"room","room":"lo\"bby",{from},"base64":"/w=="}}"#)
        );
        assert_eq!(
            said(&rooms, None, b""),
            r#"{"hub":"room","room":"lo\"bby","from":{"owner":true},"text":""}"#
        );
        assert_eq!(
            rooms.go(at, two, Reason::Left).unwrap().text(),
            format!(r#"{{"hub":"room","event":"left","room":"lo\"bby",{from},"reason":"left"}}"#)
        );
        let sizes = [0, 1, 5, 6].map(|bytes| rooms.to(&name, bytes));
        let wrong = Err(CannotSend::Size(5));
        assert_eq!(sizes, [wrong, Ok(at), Ok(at), wrong]);
        assert!(rooms.end(at, Reason::Kicked).unwrap().text().ends_with(r#""reason":"kicked"}"#));
        assert_eq!(rooms.to(&name, 1), Err(CannotSend::NotEntered));
        assert_eq!((rooms.leave(&name), rooms.end(at, Reason::Left)), (None, None));

        rooms.enter(name.clone(), &entered);
        assert_eq!(rooms.bytes(), 0);
        for member in [two, two, MemberNumber(3)] {
            rooms.come(at, member, &ann);
        }
        let both = rooms.bytes();
        rooms.go(at, two, Reason::Left);
        assert!((both / 2..both).contains(&rooms.bytes()));
        rooms.leave(&name);
        assert_eq!(rooms.bytes(), 0, "what is kept of others is forgotten with the room");
    }
}
