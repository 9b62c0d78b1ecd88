//! The client role against what the original's server said: it says what the original's client said, byte for
//! byte, with the recorded keys where it is encrypted.

use crate::anysocket_common::{Line, Text, keys, read, unhex};
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::anysocket::auth::Auth;
use crosspoint_gateways::anysocket::cipher::{CipherError, Random};
use crosspoint_gateways::anysocket::client::{Config, Event, LinkId, Moment, Peer};
use crosspoint_gateways::anysocket::internal::{Internal, Time};
use crosspoint_gateways::anysocket::packet::{parse, parse_inner};
use crosspoint_gateways::anysocket::{Json, Kind, Message, Packet, Ticket};
use crosspoint_hub::PeerId;
use serde_json::Value;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Random bytes that were recorded; nothing else may be asked for.
#[derive(Default)]
struct Recorded(VecDeque<Vec<u8>>);

impl Random for Recorded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CipherError> {
        bytes.copy_from_slice(&self.0.pop_front().expect("random bytes were used here"));
        Ok(())
    }
}

/// The packet of a line, and whose it is on the way through the server.
fn packet(line: &Line) -> (Packet, Option<(PeerId, PeerId)>) {
    match parse(Bytes::copy_from_slice(line.text.head())).unwrap() {
        Message::Packet(packet) => (packet, None),
        Message::Forward(forward) => {
            (parse_inner(forward.inner).unwrap(), Some((forward.from, forward.to)))
        }
    }
}

fn json(bytes: &[u8]) -> Json {
    Json::parse(Bytes::copy_from_slice(bytes)).unwrap()
}

/// One client of a conversation.
struct Client {
    peer: Peer<()>,
    now: Instant,
    random: Recorded,
    /// Private key and nonce, until they are used.
    secrets: Vec<Vec<u8>>,
    links: HashMap<PeerId, LinkId>,
    tickets: HashMap<(LinkId, Kind, i32), Ticket>,
    encrypted: BTreeSet<LinkId>,
    answers: usize,
}

impl Client {
    fn new(auth: &Packet, keys: &Value) -> Self {
        let Auth { id, auth } = Auth::parse(&json(&auth.body)).unwrap();
        let id = id.peer().unwrap();
        let mut config = Config::default();
        config.link.mark_switch = false;
        let side = ["initiator", "responder"].map(|side| &keys[side]);
        let side = side.into_iter().find(|side| side["id"] == id.to_string());
        let secret = |name| side.and_then(|side| side[name].as_str()).map(unhex);
        let secrets = [secret("private_key_hex"), secret("nonce")].into_iter().flatten().collect();
        Self {
            peer: Peer::new(config, id, auth),
            now: Instant::now(),
            random: Recorded::default(),
            secrets,
            links: HashMap::new(),
            tickets: HashMap::new(),
            encrypted: BTreeSet::new(),
            answers: 0,
        }
    }

    fn link(&self, peer: Option<PeerId>) -> LinkId {
        peer.map_or(LinkId::NEIGHBOUR, |peer| self.links[&peer])
    }

    fn hear(&mut self, message: &[u8], packet: &Packet, clock_ms: u64) {
        if packet.kind == Kind::Switch {
            self.random.0.extend(std::mem::take(&mut self.secrets));
        }
        let moment = Moment { now: self.now, clock_ms };
        self.peer.receive(moment, &mut self.random, Bytes::copy_from_slice(message));
        while let Some(event) = self.peer.poll() {
            match event {
                Event::Linked { link, id, .. } => drop(self.links.insert(id, link)),
                Event::Message { link, ticket, .. } => {
                    self.tickets.insert((link, Kind::Link, packet.seq), ticket.unwrap());
                }
                Event::Call { link, ticket, .. } => {
                    self.tickets.insert((link, Kind::Internal, packet.seq), ticket.unwrap());
                }
                Event::Encrypted { link, .. } => drop(self.encrypted.insert(link)),
                Event::Answered { .. } => self.answers += 1,
                Event::Proxied { link, .. } => assert!(link.is_ok()),
                Event::Connected { .. } | Event::Gone { .. } | Event::Abandoned { .. } => {}
                Event::TimedOut { .. } => panic!("nothing is late"),
            }
        }
    }

    /// Does what made the recorded program send a packet. Gives whether this client can do that.
    fn act(&mut self, packet: &Packet, to: Option<PeerId>, plain: &[u8]) -> bool {
        let link = self.link(to);
        let far = self.now + Duration::from_secs(3600);
        let (peer, now) = (&mut self.peer, self.now);
        match packet.kind {
            Kind::Link if packet.seq > 0 => peer.request(link, json(plain), far, ()).unwrap(),
            Kind::Internal if packet.seq > 0 => match Internal::parse(&json(plain)) {
                Ok(Internal::Rpc(call)) => peer.call(link, &call, far, ()).unwrap(),
                Ok(Internal::SyncedTime { time }) => {
                    let moment = Moment { now, clock_ms: time.text().parse().unwrap() };
                    peer.clock(link, moment, far, ()).unwrap();
                }
                Ok(Internal::Proxy { id }) => {
                    // Asked for twice, it is the same link.
                    return peer.proxy(id.peer().unwrap(), far).unwrap().is_none();
                }
                Ok(Internal::Unproxy { id }) => peer.unproxy(self.links[&id.peer().unwrap()]),
                _ => return false,
            },
            Kind::Link | Kind::Internal => {
                if let Some(ticket) = self.tickets.remove(&(link, packet.kind, -packet.seq)) {
                    peer.reply(link, ticket, json(plain)).unwrap();
                }
            }
            Kind::Heartbeat if plain == b"1" => {
                self.now = peer.deadline().unwrap();
                peer.tick(self.now, true);
            }
            Kind::Switch if !self.encrypted.contains(&link) => {
                self.random.0.extend(std::mem::take(&mut self.secrets));
                peer.encrypt(link, now, &mut self.random).unwrap();
            }
            // Answers come of themselves.
            Kind::Auth | Kind::Heartbeat | Kind::Switch => {}
        }
        true
    }

    fn transmit(&mut self) -> Option<BytesMut> {
        let mut out = BytesMut::new();
        self.peer.transmit(&mut self.random, &mut out).then_some(out)
    }
}

/// The initialization vector and plain text of an encrypted packet.
fn secret(keys: &mut Value, packet: &Packet) -> Option<(Vec<u8>, Vec<u8>)> {
    let packets = keys.get_mut("packets")?.as_array_mut()?;
    let begins = |iv: &str| packet.body.starts_with(iv.as_bytes());
    let found = packets.iter().position(|entry| begins(entry["iv_hex"].as_str().unwrap()))?;
    let entry = packets.remove(found);
    let plain = entry["plaintext"].as_str().unwrap().as_bytes().to_vec();
    Some((unhex(entry["iv_hex"].as_str().unwrap()), plain))
}

/// Speaks the part of each client of a conversation. Gives how many messages were said and answered.
fn speak(name: &str) -> (usize, usize) {
    let mut keys = if name.contains("e2e") { keys(name) } else { Value::Null };
    let lines = read(name);
    let conns: BTreeSet<usize> = lines.iter().map(|line| line.conn).collect();
    let (mut said, mut answers) = (0, 0);
    for conn in conns {
        let lines: Vec<&Line> = lines.iter().filter(|line| line.conn == conn).collect();
        let mut client = Client::new(&packet(lines[0]).0, &keys);
        for (index, line) in lines.iter().enumerate() {
            let Text::Whole(message) = &line.text else { panic!("{name}: a large message") };
            let (packet, forwarded) = packet(line);
            if !line.by_client {
                // What the client will answer to the question for its clock.
                let answers = |later: &&&Line| {
                    later.by_client && self::packet(later).0.seq == packet.seq.wrapping_neg()
                };
                let answer = lines[index..].iter().find(answers).map(|later| self::packet(later).0);
                let time = answer.and_then(|answer| Json::parse(answer.body).ok());
                let time = time.and_then(|time| Time::parse(&time).ok());
                client.hear(message, &packet, time.map_or(0, |time| time.clock_ms as u64));
                continue;
            }
            let (iv, plain) = match secret(&mut keys, &packet) {
                Some((iv, plain)) => (Some(iv), plain),
                None => (None, packet.body.to_vec()),
            };
            if !client.act(&packet, forwarded.map(|(_, to)| to), &plain) {
                // What only the original does, and all behind it.
                break;
            }
            client.random.0.extend(iv);
            match client.transmit() {
                Some(out) => assert_eq!(&out[..], message, "{name}: {packet:?}"),
                // The original answers twice.
                None => assert!(packet.seq < 0, "{name}: {packet:?}"),
            }
            said += 1;
        }
        assert_eq!(client.transmit(), None, "{name}: nothing else is said");
        assert!(client.random.0.is_empty(), "{name}: all random bytes were used");
        answers += client.answers;
    }
    (said, answers)
}

#[test]
fn plain_conversations_are_spoken_as_recorded() {
    let mut total = (0, 0);
    for name in [
        "auth_async",
        "auth_custom_ok",
        "auth_rejected_by_client",
        "auth_rejected_by_server",
        "broadcast",
        "connect",
        "disconnect_client_peer",
        "disconnect_client_stop",
        "disconnect_pending",
        "disconnect_send_then",
        "disconnect_server_peer",
        "disconnect_server_stop",
        "duplicate_id",
        "heartbeat",
        "heartbeat_default",
        "proxy",
        "proxy_denied",
        "proxy_duplicate",
        "reply_timeout",
        "request_reply",
        "rpc",
        "rpc_error",
        "send",
        "synced_time",
        "unproxy_both",
    ] {
        let (said, answers) = speak(name);
        total = (total.0 + said, total.1 + answers);
    }
    // Messages that were said, and requests that were answered.
    assert_eq!(total, (123, 36));
}

#[test]
fn encrypted_conversations_are_spoken_as_recorded() {
    for name in ["e2e_client_initiates", "e2e_server_initiates", "proxy_e2e"] {
        let (said, answers) = speak(name);
        assert!(said > 8 && answers > 1, "{name}: {said} {answers}");
    }
}
