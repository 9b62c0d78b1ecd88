//! The codec against what the real programs said: every message comes back as it was, and both roles
//! speak the recorded conversations anew, byte for byte, with the recorded keys where they are encrypted.

use crate::anysocket_common;
use crate::anysocket_common::{Line, Text, hostile, keys, large, names, read, unhex};
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::anysocket::auth::Auth;
use crosspoint_gateways::anysocket::cipher::{CipherError, Random};
use crosspoint_gateways::anysocket::internal::rpc::Outcome;
use crosspoint_gateways::anysocket::internal::{Internal, InternalError, Time};
use crosspoint_gateways::anysocket::link::LinkError;
use crosspoint_gateways::anysocket::packet::{PacketError, parse, parse_inner};
use crosspoint_gateways::anysocket::{
    Config, Id, Json, Kind, Link, Message, Packet, Received, Ticket, id,
};
use crosspoint_hub::PeerId;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// Random bytes that were recorded; nothing else may be asked for.
#[derive(Default)]
struct Recorded(VecDeque<Vec<u8>>);

impl Random for Recorded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CipherError> {
        let next = self.0.pop_front().expect("random bytes were used here");
        bytes.copy_from_slice(&next);
        Ok(())
    }
}

fn encode(packet: &Packet) -> Bytes {
    let mut out = BytesMut::new();
    packet.encode(&mut out);
    out.freeze()
}

/// The packet of a line, and from whom to whom it was forwarded.
fn packet(line: &Line) -> (Packet, Option<(PeerId, PeerId)>) {
    match parse(Bytes::copy_from_slice(line.text.head())).unwrap() {
        Message::Packet(packet) => (packet, None),
        Message::Forward(forward) => {
            let ends = (forward.from, forward.to);
            (parse_inner(forward.inner).unwrap(), Some(ends))
        }
    }
}

#[test]
fn every_recorded_message_is_written_as_it_came() {
    let mut messages = 0;
    for name in names() {
        for line in read(&name) {
            let message = Bytes::copy_from_slice(line.text.head());
            let mut out = BytesMut::new();
            match parse(message.clone()) {
                Ok(Message::Packet(packet)) => packet.encode(&mut out),
                Ok(Message::Forward(forward)) => forward.encode(&mut out),
                Err(PacketError::UnknownKind(b'7')) if name == "unknown_type" => continue,
                Err(error) => panic!("{name}: {error}"),
            }
            assert_eq!(out, message, "{name}");
            messages += 1;
        }
    }
    assert!(messages > 300, "{messages}");
}

#[test]
fn every_recorded_auth_call_and_reply_is_written_as_it_came() {
    let mut bodies = 0;
    for name in names() {
        for line in read(&name) {
            // Forwarded garbage, and bodies that are encrypted.
            let Ok(Message::Packet(packet)) = parse(Bytes::copy_from_slice(line.text.head()))
            else {
                continue;
            };
            let Ok(body) = Json::parse(packet.body.clone()) else {
                continue;
            };
            let again = match (packet.kind, packet.seq < 0) {
                (Kind::Auth, _) => match Auth::parse(&body) {
                    Ok(auth) => auth.to_json(),
                    Err(_) if name == "auth_missing_id" => continue,
                    Err(error) => panic!("{name}: {error}"),
                },
                (Kind::Internal, false) => match Internal::parse(&body) {
                    // This one is reserved; what is in it is not kept.
                    Ok(Internal::RpcNotify) => continue,
                    Ok(internal) => internal.to_json(),
                    Err(InternalError::Call(_) | InternalError::UnknownType(9.0))
                        if name == "rpc_error" =>
                    {
                        continue;
                    }
                    Err(error) => panic!("{name}: {error}"),
                },
                (Kind::Internal, true) if body.text().starts_with(r#"{"o""#) => {
                    let time = Time::parse(&body).unwrap();
                    Time::reply(&time.asked, time.clock_ms as u64)
                }
                (Kind::Internal, true) if body.text().starts_with(r#"{"ok""#) => continue,
                (Kind::Internal, true) => Outcome::parse(&body).unwrap().to_json(),
                _ => continue,
            };
            assert_eq!(again, body, "{name}");
            bodies += 1;
        }
    }
    assert!(bodies > 150, "{bodies}");
}

/// One end of a link that speaks its part of a conversation.
struct End {
    link: Link<()>,
    /// What was said to it, and not looked at yet.
    inbox: VecDeque<(Packet, Option<Vec<u8>>)>,
    tickets: HashMap<(Kind, i32), Ticket>,
    random: Recorded,
    /// Its private key and nonce.
    secrets: Vec<Vec<u8>>,
    /// The number of the large packet that it is about to send.
    sending: Option<i32>,
}

impl End {
    fn new(name: &str, ours: PeerId, theirs: PeerId, keys: &Value, forwarded: bool) -> Self {
        let config = Config { mark_switch: false, ..Config::default() };
        let mut link = Link::new(Arc::new(config), ours);
        if forwarded {
            link.set_peer(Id::Peer(theirs));
        }
        assert!(name != "proxy_e2e" || keys.is_object());
        let side = ["initiator", "responder"].map(|side| &keys[side]);
        let side = side.into_iter().find(|side| side["id"] == ours.to_string());
        let secret = |name| side.and_then(|side| side[name].as_str()).map(unhex);
        let secrets = [secret("private_key_hex"), secret("nonce")].into_iter().flatten().collect();
        Self {
            link,
            inbox: VecDeque::new(),
            tickets: HashMap::new(),
            random: Recorded::default(),
            secrets,
            sending: None,
        }
    }

    /// Takes what has been said to it.
    fn hear(&mut self, name: &str, now: Instant) {
        while let Some((packet, plain)) = self.inbox.pop_front() {
            let Packet { kind, seq, last, ref body } = packet;
            let plain = plain.unwrap_or_else(|| body.to_vec());
            if kind == Kind::Switch {
                // Those of the one who called are used up already.
                self.random.0.extend(std::mem::take(&mut self.secrets));
            }
            let received = self.link.receive(now, &mut self.random, packet);
            let body = match received.unwrap_or_else(|error| panic!("{name}: {seq}: {error}")) {
                Some(Received::Auth(body)) => {
                    self.link.set_peer(Auth::parse(&body).unwrap().id);
                    body
                }
                Some(Received::Message { body, ticket } | Received::Internal { body, ticket }) => {
                    self.tickets.insert((kind, seq), ticket.unwrap());
                    body
                }
                Some(Received::Reply { body, .. }) => body,
                Some(Received::Encrypted { .. }) | None => continue,
            };
            assert!(last);
            assert_eq!(body.as_bytes(), plain, "{name}: {kind:?} {seq}");
        }
    }

    /// Does what made the recorded program send a packet. Gives what it sends, if it is to send it.
    fn say(
        &mut self,
        now: Instant,
        recorded: &Packet,
        plain: Vec<u8>,
        iv: Option<Vec<u8>>,
    ) -> Packet {
        let Packet { last, kind, seq, .. } = *recorded;
        if self.sending.take() != Some(seq) {
            let body = || Json::parse(plain.clone().into()).unwrap();
            let far = now + Duration::from_secs(30);
            match kind {
                Kind::Auth => self.link.authenticate(body()).unwrap(),
                Kind::Link if seq > 0 => self.link.request(body(), far, ()).unwrap(),
                Kind::Internal if seq > 0 => self.link.request_internal(body(), far, ()).unwrap(),
                Kind::Link | Kind::Internal => {
                    let ticket = self.tickets.remove(&(kind, -seq)).expect("it was asked");
                    self.link.reply(ticket, body()).unwrap();
                }
                Kind::Heartbeat if plain == b"1" => self.link.probe(),
                Kind::Switch if !self.link.is_encrypted() => {
                    self.random.0.extend(std::mem::take(&mut self.secrets));
                    self.link.encrypt(now, &mut self.random).unwrap();
                }
                // Answers come of themselves.
                Kind::Heartbeat | Kind::Switch => {}
            }
        }
        if !last {
            self.sending = Some(seq);
        }
        self.random.0.extend(iv);
        let sent = self.link.transmit(&mut self.random).unwrap();
        sent.unwrap_or_else(|| panic!("nothing is sent for {recorded:?}"))
    }
}

/// The plain text and initialization vector of an encrypted packet.
fn secret(keys: &mut Value, packet: &Packet) -> Option<(Option<Vec<u8>>, Vec<u8>)> {
    let packets = keys.get_mut("packets")?.as_array_mut()?;
    let begins = |iv: &str| packet.body.starts_with(iv.as_bytes());
    let found = packets.iter().position(|entry| begins(entry["iv_hex"].as_str().unwrap()))?;
    let entry = packets.remove(found);
    let plain = entry["plaintext"].as_str().map(|text| text.as_bytes().to_vec());
    Some((plain, unhex(entry["iv_hex"].as_str().unwrap())))
}

/// Both ends of every link speak a conversation.
fn speak(name: &str) {
    let now = Instant::now();
    let mut keys = if name.contains("e2e") { keys(name) } else { Value::Null };
    let lines = read(name);
    let peer = |line: &Line| {
        let body = Json::parse(packet(line).0.body).unwrap();
        Auth::parse(&body).unwrap().id.peer().unwrap()
    };
    let clients: HashMap<usize, PeerId> = lines
        .iter()
        .filter(|line| line.text.head()[1] == b'1' && line.by_client)
        .map(|line| (line.conn, peer(line)))
        .collect();
    let server = id::parse(anysocket_common::SERVER.as_bytes()).unwrap();
    // By connection (0 for those through the server), who speaks, and to whom.
    let mut ends: HashMap<(usize, PeerId, PeerId), End> = HashMap::new();
    for line in &lines {
        let (recorded, forwarded) = packet(line);
        // A forwarded packet is spoken where it leaves.
        if forwarded.is_some() && !line.by_client {
            continue;
        }
        let client = clients[&line.conn];
        let (from, to) = match forwarded {
            Some(ends) => ends,
            None if line.by_client => (client, server),
            None => (server, client),
        };
        let conn = if forwarded.is_some() { 0 } else { line.conn };
        let mut end = |from, to| {
            let new = || End::new(name, from, to, &keys, forwarded.is_some());
            ends.remove(&(conn, from, to)).unwrap_or_else(new)
        };
        let (mut speaker, mut hearer) = (end(from, to), end(to, from));
        let (plain, iv) = match secret(&mut keys, &recorded) {
            Some((plain, iv)) => (plain, Some(iv)),
            None => (Some(recorded.body.to_vec()), None),
        };
        let large = large(name, line.by_client, recorded.seq).map(String::into_bytes);
        let plain = large.clone().or(plain).expect("the text is known");
        // Between the directions the order of the recording is rough: what answers something comes behind it.
        let answers = match recorded.kind {
            Kind::Heartbeat => plain == b"2",
            Kind::Switch => true,
            _ => recorded.seq < 0,
        };
        if answers || iv.is_some() {
            speaker.hear(name, now);
        }
        if name == "request_reply" && speaker.answered_already(&recorded) {
            hearer.hear(name, now);
            hearer.inbox.push_back((recorded.clone(), Some(plain)));
            hearer.hear(name, now);
            assert_eq!(hearer.link.dropped().replies, 1);
        } else {
            let sent = speaker.say(now, &recorded, plain.clone(), iv);
            let written = encode(&sent);
            let header = forwarded.map(|_| line.text.head().len() - encode(&recorded).len());
            let written = [&line.text.head()[..header.unwrap_or(0)], &written].concat();
            // The original cuts through the emoji.
            if (name, recorded.seq, line.by_client) != ("large", 5, true) {
                assert!(line.text.is(&written), "{name}: {sent:.200?} is not {recorded:.200?}");
            }
            hearer.inbox.push_back((sent, Some(plain)));
        }
        let unproxied =
            forwarded.is_none() && recorded.body.windows(9).any(|w| w == b"\"unproxy\"");
        ends.insert((conn, from, to), speaker);
        ends.insert((conn, to, from), hearer);
        if unproxied {
            // The next link between the two begins anew.
            ends.retain(|(conn, ..), end| {
                end.hear(name, now);
                *conn != 0
            });
        }
    }
    for (_, mut end) in ends {
        end.hear(name, now);
        assert!(end.random.0.is_empty(), "{name}: all random bytes were used");
        assert_eq!(end.link.buffered(), 0);
    }
    assert!(keys.is_null() || keys["packets"].as_array().unwrap().is_empty());
}

impl End {
    fn answered_already(&self, packet: &Packet) -> bool {
        packet.seq < 0 && !self.tickets.contains_key(&(packet.kind, -packet.seq))
    }
}

#[test]
fn plain_conversations_are_spoken_as_recorded() {
    for name in [
        "auth_custom_ok",
        "broadcast",
        "connect",
        "disconnect_pending",
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
        speak(name);
    }
}

#[test]
fn large_packets_are_cut_and_joined_as_recorded() {
    speak("large");
}

#[test]
fn encrypted_conversations_are_spoken_as_recorded() {
    for name in ["e2e_client_initiates", "e2e_server_initiates", "large_e2e", "proxy_e2e"] {
        speak(name);
    }
}

/// A link whose other side is client 1 of the recordings.
fn authenticated() -> Link<()> {
    let mut link = Link::new(Arc::default(), PeerId::new([0x5e; 16]));
    link.set_peer(Id::Peer(PeerId::new([0xc1; 16])));
    link
}

#[test]
fn overtaking_packets_of_the_original_are_joined() {
    let name = "large_interleaved";
    let now = Instant::now();
    let mut link = authenticated();
    let mut pieces: HashMap<i32, usize> = HashMap::new();
    let mut heard = Vec::new();
    for line in read(name).into_iter().filter(|line| line.by_client) {
        let (mut packet, _) = packet(&line);
        let Some(whole) = large(name, true, packet.seq) else {
            if let Some(Received::Message { body, .. } | Received::Internal { body, .. }) =
                link.receive(now, &mut Recorded::default(), packet).unwrap()
            {
                heard.push(body.as_bytes().len());
            }
            continue;
        };
        let start = *pieces.entry(packet.seq).or_default();
        let end = whole.len().min(start + 1_048_576);
        pieces.insert(packet.seq, end);
        packet.body = Bytes::from(whole[start..end].to_owned());
        assert!(line.text.is(&encode(&packet)));
        let received = link.receive(now, &mut Recorded::default(), packet).unwrap();
        if let Some(Received::Message { body, .. }) = received {
            assert_eq!(body.text(), whole);
            heard.push(whole.len());
        }
    }
    assert_eq!(heard, [11, 31, 1_100_002, 2_200_002]);
}

#[test]
fn hostile_messages_are_refused_or_harmless() {
    let now = Instant::now();
    for (name, messages) in hostile() {
        let mut link = authenticated();
        let mut ends = None;
        for message in messages {
            let packet = match parse(message.into()) {
                Ok(Message::Packet(packet)) => packet,
                Ok(Message::Forward(_)) => continue,
                Err(error) => {
                    ends = Some(error.to_string());
                    break;
                }
            };
            let received = link.receive(now, &mut NoRandom, packet);
            let refused = match received {
                Ok(Some(Received::Auth(body))) => Auth::parse(&body).err().map(|e| e.to_string()),
                Ok(Some(Received::Internal { body, .. })) => {
                    Internal::parse(&body).err().map(|error| error.to_string())
                }
                Ok(_) => None,
                Err(error) => Some(LinkError::to_string(&error)),
            };
            ends = ends.or(refused);
        }
        let harmless = match name.as_str() {
            "LINK body not JSON (after auth)" | "LINK empty body" => true,
            "HEARTBEAT body 3" | "reply nobody asked" | "seq 0" => true,
            // What these do is not for the codec to say; binary messages are none of its own.
            name => {
                name.starts_with("auth id")
                    || name.starts_with("NETWORK")
                    || name.starts_with("RPC")
                    || name.starts_with("binary")
                    || name.starts_with("forward") && name != "forward short"
            }
        };
        assert_eq!(ends.is_none(), harmless, "{name}: {ends:?}");
    }
}

/// Nothing that is refused has used random bytes for keys before it was looked at.
struct NoRandom;

impl Random for NoRandom {
    fn fill(&mut self, _bytes: &mut [u8]) -> Result<(), CipherError> {
        panic!("no random bytes are needed")
    }
}

#[test]
fn what_breaks_an_encrypted_link_of_the_original_is_refused_here_too() {
    let now = Instant::now();
    for name in ["e2e_plain_after_switch", "e2e_twice"] {
        let lines = read(name);
        let Text::Whole(switch) = &lines[2].text else { panic!("{name}: no switch") };
        let mut link = authenticated();
        let mut random = crosspoint_gateways::anysocket::cipher::SystemRandom;
        let receive = |link: &mut Link<()>, message: &[u8], random: &mut dyn Random| match parse(
            Bytes::copy_from_slice(message),
        )
        .unwrap()
        {
            Message::Packet(packet) => link.receive(now, random, packet),
            Message::Forward(_) => panic!("{name}: nothing is forwarded"),
        };
        let taken = receive(&mut link, switch, &mut random).unwrap();
        assert!(matches!(taken, Some(Received::Encrypted { .. })));
        let error = receive(&mut link, lines.last().unwrap().text.head(), &mut random);
        let error = error.expect_err("the link has to end");
        match name {
            "e2e_twice" => assert!(matches!(error, LinkError::Switch(_)), "{error}"),
            _ => assert!(matches!(error, LinkError::Cipher(CipherError::Undecryptable))),
        }
    }
}
