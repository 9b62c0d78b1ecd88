//! The hub in the place of the recorded servers: it gets what the recorded clients said, and says what the recorded
//! servers said.

use crate::common::World;
use crate::socketio_common::Message;
use crate::socketio_recorded::{Act, Line, lines, names};
use crosspoint_gateways::engineio::{Query, Revision};
use crosspoint_gateways::socketio::packet::{ATTACHMENTS_MAX, Header, Kind};
use crosspoint_gateways::socketio::server::{Generation, Options, Start};
use crosspoint_hub::HubOptions;
use crosspoint_hub::peers::Duplicates;
use serde_json::Value;
use std::collections::{BTreeMap, HashMap, VecDeque};
use std::time::Duration;

/// What the recorded server does that this one does not: its program takes part, or it loses a name that two have.
const OTHERS: [&str; 4] = ["duplicate-client-id", "server-emit", "server-stream", "service-server"];

struct Replay {
    world: World,
    generation: Generation,
    ends: HashMap<u64, usize>,
    heard: HashMap<u64, VecDeque<Message>>,
    /// The ids under which this hub wants acknowledgements, by connection and recorded id.
    ids: HashMap<(u64, u64), u64>,
    /// Ids of sessions, by recorded ones.
    sids: BTreeMap<String, String>,
}

impl Replay {
    fn open(&mut self, conn: u64, request: &str) {
        let query = Query::new(request.split_once('?').unwrap().1);
        let client_id = query.get("clientId").map(|id| id.into());
        let revision = Revision::from_query(&query.get("EIO").unwrap()).unwrap();
        let options =
            Options { generation: self.generation, ..Options::new(self.world.hub.limits.clone()) };
        let start = Start { client_id, ..Start::default() };
        let end = self.world.socketio_with(revision, options, start);
        self.ends.insert(conn, end);
    }

    fn say(&mut self, conn: u64, message: Message) {
        let message = match message {
            Message::Text(text) if text.starts_with('4') => {
                Message::Text(self.with_our_id(conn, text))
            }
            other => other,
        };
        self.world.tell(self.ends[&conn], message);
        self.collect();
    }

    /// An acknowledgement under the id that this hub has given.
    fn with_our_id(&self, conn: u64, text: String) -> String {
        let (header, data) = Header::parse(&text[1..], ATTACHMENTS_MAX).unwrap();
        match (header.kind, header.id) {
            (Kind::Ack | Kind::BinaryAck, Some(id)) => {
                let id = Some(self.ids[&(conn, id)]);
                written(Header { id, ..header }, data)
            }
            _ => text,
        }
    }

    fn collect(&mut self) {
        for (conn, end) in &self.ends {
            self.heard.entry(*conn).or_default().extend(self.world.hears(*end));
        }
    }

    /// The recorded server said this.
    fn hear(&mut self, name: &str, conn: u64, recorded: &Message) {
        self.collect();
        let heard = self.heard.entry(conn).or_default().pop_front();
        let Some(heard) = heard else {
            panic!("{name}: {conn} should hear {recorded:?}, and hears nothing")
        };
        let (Message::Text(ours), Message::Text(theirs)) = (&heard, recorded) else {
            assert_eq!(&heard, recorded, "{name}: {conn}");
            return;
        };
        if let Some(theirs) = theirs.strip_prefix('0') {
            let ours = ours.strip_prefix('0').unwrap_or_default();
            assert_eq!(fields(ours), fields(theirs), "{name}: {conn}");
            // In revision 3 this is the only id.
            let [ours, theirs] = [ours, theirs].map(|open| sid(open).unwrap());
            self.sids.insert(theirs, ours);
            return;
        }
        if !theirs.starts_with('4') {
            assert_eq!(ours, theirs, "{name}: {conn}");
            return;
        }
        let [(our, data), (their, recorded)] =
            [ours, theirs].map(|packet| Header::parse(&packet[1..], ATTACHMENTS_MAX).unwrap());
        let mut expected = their;
        match their.kind {
            Kind::Connect if !recorded.is_empty() => {
                let [data, recorded] = [data, recorded].map(|it| sid(it).unwrap());
                self.sids.insert(recorded, data);
                assert_eq!(our, their, "{name}: {conn}");
                return;
            }
            Kind::Event | Kind::BinaryEvent => {
                if let (Some(their), Some(our)) = (their.id, our.id) {
                    let bound = *self.ids.entry((conn, their)).or_insert(our);
                    expected.id = Some(bound);
                }
            }
            _ => {}
        }
        let mut recorded = recorded.to_owned();
        for (theirs, ours) in &self.sids {
            recorded = recorded.replace(theirs, ours);
        }
        assert_eq!((our, data), (expected, &*recorded), "{name}: {conn}");
    }
}

/// What tells one open packet from another.
fn fields(open: &str) -> Vec<String> {
    let open: serde_json::Map<String, Value> = serde_json::from_str(open).unwrap();
    open.keys().cloned().collect()
}

fn sid(data: &str) -> Option<String> {
    let data: Value = serde_json::from_str(data).unwrap();
    data["sid"].as_str().map(str::to_owned)
}

fn written(header: Header<'_>, data: &str) -> String {
    let mut packet = Vec::new();
    header.put(&mut packet);
    packet.extend_from_slice(data.as_bytes());
    String::from_utf8(packet).unwrap()
}

fn replay(generation: &str, name: &str) {
    let duplicates = match name {
        "duplicate-client-id-overwrite" => Duplicates::Newest,
        _ => Duplicates::Refuse,
    };
    let mut replay = Replay {
        world: World::new(HubOptions { duplicates, ..HubOptions::default() }),
        generation: if generation == "gen1" { Generation::First } else { Generation::Second },
        ends: HashMap::new(),
        heard: HashMap::new(),
        ids: HashMap::new(),
        sids: BTreeMap::new(),
    };
    let title = format!("{generation}/{name}");
    let mut lines = lines(generation, name);
    match name {
        // The recorded server loses count of the one that it has refused.
        "duplicate-client-id-rejected" => {
            let is_end = |line: &Line| matches!((&line.act, line.conn), (Act::Say(said), 2) if *said == "41".into());
            let end = lines.iter().position(is_end).unwrap();
            lines.truncate(end);
        }
        // It tells the one that leaves.
        "source-disconnects" if generation == "gen1" => {
            lines.pop();
        }
        _ => {}
    }
    for Line { conn, act } in lines {
        match act {
            Act::Open(request) => replay.open(conn, &request),
            Act::Say(message) => replay.say(conn, message),
            Act::Hear(Message::Text(beat)) if beat == "2" => {
                replay.world.pass(Duration::from_secs(25));
                replay.hear(&title, conn, &"2".into());
            }
            Act::Hear(message) => replay.hear(&title, conn, &message),
            Act::Close => replay.world.lose(replay.ends[&conn]),
        }
    }
    replay.collect();
    for (conn, mut heard) in replay.heard {
        if name == "room-join-with-ack" && generation == "gen2" {
            // Newer recorded servers do not answer, older ones do.
            assert_eq!(heard, [Message::from("430[null]"), "431[null]".into()]);
            heard.clear();
        }
        assert!(heard.is_empty(), "{title}: {conn} also hears {heard:?}");
    }
}

fn all(generation: &str) {
    let mut names = names(generation);
    names.retain(|name| !OTHERS.contains(&&**name));
    for name in names {
        replay(generation, &name);
    }
}

#[test]
fn the_first_generation_is_served_as_recorded() {
    all("gen1");
}

#[test]
fn the_second_generation_is_served_as_recorded() {
    all("gen2");
}

#[test]
fn the_second_generation_over_the_older_transport_is_served_as_recorded() {
    all("gen2-eio3");
}
