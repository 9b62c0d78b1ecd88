//! The hub in the place of the recorded servers: it gets what the recorded clients said, its program
//! answers as the recorded application did, and it says what the recorded server said, byte for byte.

use crate::anysocket_common::{Line, SERVER, closes, keys, names, read, unhex};
use crate::common::World;
use crate::common::speaker::{FOR_REQUESTS, Speaker};
use bytes::Bytes;
use crosspoint_gateways::anysocket::auth::Auth;
use crosspoint_gateways::anysocket::cipher::{CipherError, Random, SystemRandom};
use crosspoint_gateways::anysocket::internal::Internal;
use crosspoint_gateways::anysocket::internal::rpc::{Outcome, Value};
use crosspoint_gateways::anysocket::packet::{Message, parse};
use crosspoint_gateways::anysocket::server::Options;
use crosspoint_gateways::anysocket::{Json, Kind, Packet, id};
use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::Peer;
use crosspoint_hub::payload::{Ask, Failure, Format, Payload};
use crosspoint_hub::{HubOptions, LinkNumber, PeerId, Reason};
use std::cell::Cell;
use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex};
use std::time::Duration;

thread_local! {
    static CLOCK: Cell<u64> = const { Cell::new(0) };
}

/// The recorded bytes, or any where no keys were recorded.
#[derive(Default, Clone)]
struct Recorded(Option<Arc<Mutex<VecDeque<Vec<u8>>>>>);

impl Random for Recorded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CipherError> {
        let Some(recorded) = &self.0 else { return SystemRandom.fill(bytes) };
        let next = recorded.lock().unwrap().pop_front();
        bytes.copy_from_slice(&next.expect("random bytes were used here"));
        Ok(())
    }
}

/// Keeps what was asked, until the transcript says what is answered.
#[derive(Default, Clone)]
struct Asked(Arc<Mutex<Vec<(Ask, Reply)>>>);

impl Application for Asked {
    fn ask(&self, _from: &Peer, ask: Ask, reply: Reply) {
        self.0.lock().unwrap().push((ask, reply));
    }
}

struct Replay {
    world: World,
    server: PeerId,
    asked: Asked,
    random: Recorded,
    program: Speaker,
    ends: HashMap<usize, usize>,
    ids: HashMap<usize, PeerId>,
    /// Who waits for the program, by connection and packet.
    replies: HashMap<(usize, Kind, i32), Reply>,
    links: HashMap<usize, LinkNumber>,
    /// Texts of encrypted packets, by who sent them, type and number.
    plain: HashMap<(bool, u8, i64), Vec<u8>>,
    requests: u8,
    auth: Option<Json>,
}

fn packet(line: &Line) -> Option<Packet> {
    match parse(Bytes::copy_from_slice(line.text.head())) {
        Ok(Message::Packet(packet)) => Some(packet),
        _ => None,
    }
}

fn json(text: &[u8]) -> Json {
    Json::parse(Bytes::copy_from_slice(text)).unwrap()
}

impl Replay {
    fn new(name: &str) -> Self {
        let world = World::new(HubOptions::default());
        let asked = Asked::default();
        assert!(world.hub.set_application(Box::new(asked.clone())).is_ok());
        let server = id::parse(SERVER.as_bytes()).unwrap();
        let program = Speaker::new(&world.hub, world.now, server, None);
        world.hub.set_application_peer(server);
        let mut replay = Self {
            world,
            server,
            asked,
            random: Recorded::default(),
            program,
            ends: HashMap::new(),
            ids: HashMap::new(),
            replies: HashMap::new(),
            links: HashMap::new(),
            plain: HashMap::new(),
            requests: 0,
            auth: None,
        };
        if name.starts_with("e2e_") && name.ends_with("_initiates") {
            replay.remember(&keys(name));
        }
        replay
    }

    /// Takes keys and initialization vectors of the server, in the order in which they are used.
    fn remember(&mut self, keys: &serde_json::Value) {
        let side = ["initiator", "responder"].map(|side| &keys[side]);
        let side = side.into_iter().find(|side| side["id"] == SERVER).unwrap();
        let recorded = self.random.0.get_or_insert_default().clone();
        let mut random = recorded.lock().unwrap();
        random.push_back(unhex(side["private_key_hex"].as_str().unwrap()));
        random.push_back(unhex(side["nonce"].as_str().unwrap()));
        for packet in keys["packets"].as_array().unwrap() {
            let by_client = packet["from"] == "client";
            let text = packet["plaintext"].as_str().unwrap().as_bytes().to_vec();
            let kind = packet["type"].as_u64().unwrap() as u8;
            self.plain.insert((by_client, kind, packet["seq"].as_i64().unwrap()), text);
            if !by_client {
                random.push_back(unhex(packet["iv_hex"].as_str().unwrap()));
            }
        }
    }

    fn text(&self, by_client: bool, packet: &Packet) -> Vec<u8> {
        let key = (by_client, packet.kind as u8 - b'0', packet.seq.into());
        self.plain.get(&key).cloned().unwrap_or_else(|| packet.body.to_vec())
    }

    fn client_says(&mut self, line: &Line) {
        let options = Options {
            id: self.server,
            auth: self.auth.clone(),
            limits: self.world.hub.limits.clone(),
            clock: || CLOCK.get(),
            guard_races: false,
            encrypt: false,
        };
        let random = self.random.clone();
        let end = match self.ends.get(&line.conn) {
            Some(end) => *end,
            None => {
                let end = self.world.anysocket(options, Box::new(random));
                self.ends.insert(line.conn, end);
                end
            }
        };
        let packet = packet(line);
        if let Some(packet) = packet.as_ref().filter(|packet| packet.kind == Kind::Auth)
            && let Ok(auth) = Auth::parse(&json(&packet.body))
            && let Some(id) = auth.id.peer()
        {
            self.ids.insert(line.conn, id);
        }
        self.world.say(end, line.text.head());
        self.take_asks(line.conn, packet);
    }

    /// What the program was asked because of a packet. Packets before AUTH come with it.
    fn take_asks(&mut self, conn: usize, packet: Option<Packet>) {
        let mut asks = self.asked.0.lock().unwrap();
        for (ask, reply) in asks.drain(..) {
            let Some(packet) = &packet else { continue };
            let number = if packet.kind == Kind::Auth { 2 } else { packet.seq };
            let kind = if ask.method.is_empty() { Kind::Link } else { Kind::Internal };
            self.replies.insert((conn, kind, number), reply);
        }
    }

    /// Does what made the recorded server say something, if it does not by itself.
    fn server_says(&mut self, line: &Line, lines: &[Line]) {
        let Some(packet) = packet(line) else { return };
        let text = self.text(false, &packet);
        if packet.seq < 0 {
            let Some(reply) = self.replies.remove(&(line.conn, packet.kind, -packet.seq)) else {
                return;
            };
            let answer = Payload::new(Format::JSON, text.clone());
            reply.send(match packet.kind {
                Kind::Link => Ok(answer),
                _ => match Outcome::parse(&json(&text)).unwrap() {
                    Outcome::Returned(Some(Value::Json(json))) => {
                        Ok(Payload::new(Format::JSON, json.into_bytes()))
                    }
                    Outcome::Returned(Some(Value::Binary(bytes))) => Ok(Payload::bytes(bytes)),
                    Outcome::Returned(None) => Ok(Payload::new(Format::JSON, "")),
                    Outcome::Failed(failure) => {
                        let error = failure.error.map(|error| error.text().to_owned());
                        let error = error.unwrap_or_default();
                        Err(Failure::new(failure.code as u32, error.trim_matches('"')))
                    }
                },
            });
            return self.world.idle();
        }
        match packet.kind {
            Kind::Link => {
                let waits = lines.iter().any(|other| {
                    let reply = self::packet(other).filter(|_| other.by_client);
                    other.conn == line.conn
                        && reply.is_some_and(|r| r.kind == Kind::Link && r.seq == -packet.seq)
                });
                let payload = [&[2], &text[..]].concat();
                match waits {
                    true => self.request(line.conn, "", &payload),
                    false => self.program_says(line.conn, 0x10, &payload),
                }
            }
            Kind::Internal => match Internal::parse(&json(&text)) {
                Ok(Internal::Rpc(call)) => {
                    let binary = call.params.iter().any(|param| matches!(param, Value::Binary(_)));
                    let mut payload = vec![if binary { 3 } else { 2 }];
                    if binary {
                        payload.push(0x90 | call.params.len() as u8);
                    }
                    let params = call.params.iter().map(|param| match param {
                        Value::Json(json) => json.text().to_owned(),
                        Value::Binary(_) => String::new(),
                    });
                    match binary {
                        false => {
                            let params: Vec<String> = params.collect();
                            payload.extend(format!("[{}]", params.join(",")).bytes());
                        }
                        true => call.params.iter().for_each(|param| match param {
                            Value::Binary(bytes) => {
                                payload.extend([0xc4, bytes.len() as u8]);
                                payload.extend_from_slice(bytes);
                            }
                            Value::Json(json) => payload.push(json.text().parse().unwrap()),
                        }),
                    }
                    self.request(line.conn, &call.method.join("."), &payload);
                }
                Ok(Internal::SyncedTime { time }) => {
                    CLOCK.set(time.text().parse().unwrap());
                    self.program_says(line.conn, 0x1e, &[0; 8]);
                }
                _ => {}
            },
            // It begins to encrypt when the client asks for that, with a packet that is not recorded.
            Kind::Switch => {
                let end = self.ends[&line.conn];
                let asked = lines.iter().take_while(|other| !std::ptr::eq(*other, line));
                let by_client = |line: &&Line| {
                    line.by_client && self::packet(line).is_some_and(|p| p.kind == Kind::Switch)
                };
                if !asked.into_iter().any(|line| by_client(&line)) {
                    let call = r#"{"type":3,"method":["hub","secure"],"params":[],"bin":[]}"#;
                    self.world.say(end, format!("12\0\0\u{70}\0{call}").as_bytes());
                }
            }
            Kind::Auth | Kind::Heartbeat => {}
        }
    }

    fn request(&mut self, conn: usize, method: &str, payload: &[u8]) {
        self.requests += 1;
        assert!(self.requests < 0x80 && method.len() < 0x80);
        let head = [self.requests, 0, method.len() as u8];
        self.program_says(conn, 0x11, &[&head[..], method.as_bytes(), payload].concat());
    }

    fn program_says(&mut self, conn: usize, kind: u8, body: &[u8]) {
        let link = match self.links.get(&conn) {
            Some(link) => *link,
            None => {
                let link = self.program.link(self.ids[&conn], FOR_REQUESTS);
                self.links.insert(conn, link);
                link
            }
        };
        self.program.say(link, kind, body);
        self.world.idle();
    }
}

/// What became of a connection: what the hub said, what the server had said, and why the hub closed it.
type Replayed = (Vec<Vec<u8>>, Vec<Vec<u8>>, Option<Reason>);

/// Replays a conversation.
fn replay(name: &str) -> Vec<Replayed> {
    let lines = read(name);
    let mut replay = Replay::new(name);
    let auth = lines.iter().filter(|line| !line.by_client).filter_map(packet);
    let mut auth = auth.filter(|packet| packet.kind == Kind::Auth).map(|packet| json(&packet.body));
    replay.auth = auth.next_back().and_then(|body| Auth::parse(&body).unwrap().auth);
    for line in &lines {
        // The time in the answer to what comes next.
        let time = lines.iter().skip_while(|other| !std::ptr::eq(*other, line));
        let time = time.filter(|line| !line.by_client).find_map(|line| {
            let text = replay.text(false, &packet(line)?);
            let value: serde_json::Value = serde_json::from_slice(&text).ok()?;
            value["t"].as_u64()
        });
        CLOCK.set(time.unwrap_or_default());
        match line.by_client {
            true => replay.client_says(line),
            false => replay.server_says(line, &lines),
        }
    }
    let reasons: HashMap<usize, Option<Reason>> =
        replay.ends.iter().map(|(conn, end)| (*conn, replay.world.closed(*end))).collect();
    for conn in closes(name) {
        if let Some(end) = replay.ends.get(&conn).filter(|end| replay.world.closed(**end).is_none())
        {
            replay.world.lose(*end);
        }
        // In all others the recording ends when all leave at once.
        if name == "proxy" {
            replay.world.pass(Duration::from_millis(300));
        }
    }
    let mut ends: Vec<(usize, usize)> = replay.ends.into_iter().collect();
    ends.sort_unstable();
    ends.into_iter()
        .map(|(conn, end)| {
            let mut said = replay.world.said(end);
            // The answer to the packet that is not recorded.
            said.retain(|message| !message.starts_with("12\u{ff}\u{ff}\u{90}\0".as_bytes()));
            let wanted = lines.iter().filter(|line| line.conn == conn && !line.by_client);
            let mut wanted: Vec<Vec<u8>> = wanted.map(|line| line.text.head().to_vec()).collect();
            // The hub application cannot answer twice.
            wanted.retain(|message| !message.ends_with(b"{\"n\":2}"));
            (said, wanted, reasons[&conn])
        })
        .collect()
}

fn show(message: &[u8]) -> String {
    String::from_utf8_lossy(message).escape_debug().to_string()
}

#[test]
fn the_hub_says_what_the_recorded_servers_said() {
    // Those below need other tests: they differ on purpose, need time, or are too large to be recorded.
    let others = [
        "auth_async",
        "auth_missing_id",
        "auth_rejected_by_server",
        "auth_timeout",
        "browser",
        "duplicate_id",
        "e2e_plain_after_switch",
        "e2e_simultaneous",
        "e2e_timeout",
        "e2e_twice",
        "forward_errors",
        "heartbeat",
        "heartbeat_default",
        "heartbeat_missed",
        "heartbeat_silent_peer",
        "large",
        "large_e2e",
        "large_interleaved",
        "proxy_denied",
        "proxy_duplicate",
        "rpc_error",
        "split_surrogate",
        "unproxy_both",
    ];
    let mut replayed = 0;
    for name in names().iter().filter(|name| !others.contains(&name.as_str())) {
        for (conn, (said, wanted, _)) in replay(name).into_iter().enumerate() {
            let shown = |messages: &[Vec<u8>]| messages.iter().map(|m| show(m)).collect::<Vec<_>>();
            assert_eq!(shown(&said), shown(&wanted), "{name}, connection {conn}");
            replayed += wanted.len();
        }
    }
    assert!(replayed > 120, "{replayed}");
}

#[test]
fn the_hub_does_better_where_the_original_does_not_well() {
    let closed =
        |name: &str| replay(name).into_iter().map(|(_, _, closed)| closed).collect::<Vec<_>>();
    // No answer before the duplicate is noticed, and the first one stays.
    let duplicate = replay("duplicate_id");
    assert_eq!((duplicate[1].0.len(), duplicate[1].2), (0, Some(Reason::IdTaken)));
    assert_eq!(duplicate[0].2, None);
    assert_eq!(closed("auth_missing_id"), [Some(Reason::Malformed)]);
    assert_eq!(closed("e2e_twice"), [Some(Reason::Malformed)]);
    assert_eq!(closed("unproxy_both"), [None, None]);
    // Who says that it is somebody else, or has no link, is not heard.
    let forwarded = replay("forward_errors");
    assert!(forwarded.iter().all(|(said, _, closed)| said.len() == 1 && closed.is_none()));
    // Nobody is disconnected for asking for a peer. The recorded policy said no to the first.
    let denied = replay("proxy_denied");
    assert!(denied.iter().all(|(_, _, closed)| closed.is_none()));
    assert_eq!(show(&denied[2].0[1]), show("12\u{ff}\u{ff}\u{ff}\u{fe}{\"ok\":false}".as_bytes()));
    // Repeated wishes are answered with yes; the ends know each other, and are not told again.
    let again = replay("proxy_duplicate");
    let texts = |messages: &[Vec<u8>]| messages.iter().map(|m| show(m)).collect::<Vec<_>>();
    assert!(texts(&again[1].0).iter().filter(|text| text.contains(r#"\"ok\":true"#)).count() == 2);
    assert_eq!(texts(&again[0].0).len(), 3);
    // Failures are always failures.
    for (said, wanted, closed) in replay("rpc_error") {
        assert_eq!(closed, Some(Reason::Malformed), "an unknown type");
        let errors = said.iter().filter(|said| show(said).contains("error")).count();
        // One call succeeded in the original, by a method that every JavaScript object has.
        assert_eq!(errors, wanted.len() - 2);
    }
}
