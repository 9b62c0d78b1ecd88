//! The fuzz targets on all transcripts, and on random changes of them; and the hub under the same
//! changes, which must never send what a real client does not survive.

use crate::anysocket_common;

use crate::common::frames::{Act, Unit, acts, units};
use crate::common::transcript::{Side, connections, names, read};
use crate::common::{Dice, World};
use crosspoint_gateways::anysocket::fuzz::{fuzz_anysocket, fuzz_anysocket_server};
use crosspoint_gateways::engineio::fuzz::fuzz_engineio;
use crosspoint_gateways::peote::fuzz::{
    fuzz_chunk, fuzz_joint_client, fuzz_joint_server, fuzz_value,
};
use crosspoint_gateways::socketio::client::fuzz::fuzz_socketio_client;
use crosspoint_gateways::socketio::fuzz::fuzz_socketio_packet;
use crosspoint_hub::HubOptions;
use crosspoint_proto::fuzz::fuzz_native;
use std::collections::{BTreeMap, BTreeSet};

/// An entered channel of the client role gets a chunk that is too long, and is left.
const TOO_LONG_CHUNK: &[u8] = b"\0\x4c\0\x03\x04\0\0\0\x04\0\0\0\0\x04\x80\0hj\x03\x80\0k\x03\x80\0l\
    \x03\x80\"\"\"\"\"\"\"\"\"\x80cd\x04\x80\0\x01\0\x04\x80\0kl\x04\x81\0mn\0\x05\0\x01\x01\0\x01\0\x05mn\0\
    \x05\0\x01\x01\0\x01k\x03\x80\0l\x03\x80\"\"\"\"\"\"\"\"\"\x80cd\x04\x80\0\x01\0\x04\x80\0kl\x04\x81\0mn\0\
    \x05\0\x01\x01\0\x01\0\x05\0\x01\0\0\x01\0\x05\0\x01\0\0\x01\x80\0d\x03\x80\0e\x03\x80\0f\x03\"\"\"\"\"\"\"\
    \x80cd\x04\x80\0\x04\x80\0kl\x04\x81\0mn\0\x05\0\x01\x01\0\x01\0\x05\0\x01\0\0\x01";

#[test]
fn the_client_role_leaves_what_it_cannot_understand_any_more() {
    fuzz_joint_client(TOO_LONG_CHUNK);
}

/// What each connection of each transcript sent, and what it got.
fn corpus() -> Vec<Vec<u8>> {
    let mut corpus = Vec::new();
    for name in names() {
        let lines = read(name);
        for conn in 0..connections(&lines) {
            for side in [Side::Client, Side::Server] {
                let lines = lines.iter().filter(|l| (l.conn, l.side) == (conn, side));
                corpus.push(lines.filter_map(|l| l.bytes.as_deref()).flatten().copied().collect());
            }
        }
    }
    corpus
}

fn fuzz(dice: &mut Dice, bytes: &[u8]) {
    let mut data = dice.roll().to_be_bytes()[..2].to_vec();
    data.extend_from_slice(bytes);
    fuzz_joint_server(&data);
    fuzz_joint_client(&data);
    fuzz_native(&data);
    fuzz_chunk(&data);
    fuzz_value(bytes);
}

/// Flips, sets, cuts, doubles and mixes.
fn change(dice: &mut Dice, bytes: &mut Vec<u8>, corpus: &[Vec<u8>]) {
    for _ in 0..=dice.below(4) {
        if bytes.is_empty() {
            return;
        }
        // The beginning is where most of the headers are.
        let most = [bytes.len(), bytes.len().min(64)][dice.below(2)];
        let at = dice.below(most);
        match dice.below(6) {
            0 => bytes[at] ^= 1 << dice.below(8),
            1 => bytes[at] = [0, 1, 2, 0x7f, 0x80, 0x81, 0xff][dice.below(7)],
            2 => bytes.truncate(at),
            3 => {
                let end = bytes.len().min(at + 1 + dice.below(8));
                bytes.drain(at..end);
            }
            4 => {
                let end = bytes.len().min(at + 1 + dice.below(40));
                let copy = bytes[at..end].to_vec();
                let to = dice.below(bytes.len());
                bytes.splice(to..to, copy);
            }
            _ => {
                let other = &corpus[dice.below(corpus.len())];
                let from = dice.below(other.len() + 1);
                let end = other.len().min(from + 1 + dice.below(400));
                bytes.splice(at..at, other[from..end].iter().copied());
            }
        }
    }
}

#[test]
fn the_transcripts_do_no_harm_however_they_are_cut() {
    let mut dice = Dice(1);
    for bytes in corpus() {
        for _ in 0..4 {
            fuzz(&mut dice, &bytes);
        }
    }
}

#[test]
fn changed_transcripts_do_no_harm() {
    let corpus = corpus();
    for seed in 0..4000 {
        let mut dice = Dice(seed);
        let whole = &corpus[dice.below(corpus.len())];
        // A piece that begins somewhere, so that the long ones do not take all the time.
        let from = [0, dice.below(whole.len() + 1)][dice.below(2)];
        let mut bytes = whole[from..whole.len().min(from + 12_000)].to_vec();
        change(&mut dice, &mut bytes, &corpus);
        fuzz(&mut dice, &bytes);
    }
}

#[test]
fn random_bytes_do_no_harm() {
    for seed in 0..2000 {
        let mut dice = Dice(seed);
        // Small numbers are commands, prefixes, short frames and channels that exist.
        let small = dice.below(2) == 0;
        let byte = |dice: &mut Dice| match small && dice.below(4) != 0 {
            true => [0, 1, 2, 3, 4, 0x80, 0x81, 0x82][dice.below(8)],
            false => dice.roll() as u8,
        };
        let length = dice.below(400);
        let bytes: Vec<u8> = (0..length).map(|_| byte(&mut dice)).collect();
        fuzz(&mut dice, &bytes);
    }
}

/// The contents of a channel, which the targets above meet only inside of frames.
#[test]
fn changed_chunks_and_parameters_do_no_harm() {
    let corpus: Vec<Vec<u8>> = corpus()
        .iter()
        .flat_map(|bytes| acts(bytes).0)
        .filter_map(|act| match act {
            Act::Data(.., data) => Some(data),
            Act::Command(..) => None,
        })
        .collect();
    for seed in 0..20_000 {
        let mut dice = Dice(seed);
        let mut bytes = corpus[dice.below(corpus.len())].clone();
        bytes.truncate(2000);
        if seed % 4 != 0 {
            change(&mut dice, &mut bytes, &corpus);
        }
        let choice = &dice.roll().to_be_bytes()[..3];
        fuzz_chunk(&[choice, &bytes].concat());
        // A call's parameters follow the length, the object and the procedure.
        let skipped = dice.below(6).min(bytes.len());
        fuzz_value(&bytes[skipped..]);
    }
}

/// A real client, which does not survive what section 7 of the specification lists.
#[derive(Default)]
struct Frail {
    bytes: Vec<u8>,
    /// Values of successful replies, as these do not tell what they answer.
    given: BTreeSet<u8>,
    users: BTreeSet<(u8, u8)>,
    entered: BTreeSet<u8>,
}

impl Frail {
    fn hear(&mut self, unit: Unit) {
        match unit {
            Unit::Data(joint, user, data) if joint >= 0x80 => {
                let user = (joint - 0x80, user);
                assert!(self.users.contains(&user), "data of {user:?}, who is not there");
                assert!(!data.is_empty());
            }
            Unit::Data(number, _, data) => {
                assert!(self.entered.contains(&number), "data in {number}, not entered");
                assert!(!data.is_empty());
            }
            Unit::Control(bytes) => match bytes[..] {
                // Number 0 is what only scripts ask under: it looks like a push of three bytes.
                [_, 0, number] => {
                    assert!(number < 128);
                    self.given.insert(number);
                    self.entered.insert(number);
                }
                [_, 1, _] => {}
                [0, 0, own, user] => {
                    assert!(self.given.contains(&own), "no such own joint: {own}");
                    self.users.insert((own, user));
                }
                [0, 1, own, user, 0..=2] => {
                    assert!(self.given.contains(&own), "no such own joint: {own}");
                    self.users.remove(&(own, user));
                }
                [0, 2, number, 0..=2] => {
                    assert!(self.entered.contains(&number), "{number} was not entered");
                }
                _ => panic!("no client knows {bytes:?}"),
            },
        }
    }
}

#[test]
fn under_changed_transcripts_the_hub_says_nothing_that_a_real_client_does_not_survive() {
    let corpus = corpus();
    let short = |name: &&str| !["big", "sizes", "limits", "raw-full"].contains(name);
    for (seed, name) in (0..24).flat_map(|seed| names().filter(short).map(move |n| (seed, n))) {
        let mut dice = Dice(seed);
        let mut world = World::new(HubOptions::default());
        let lines = read(name);
        let mut clients: Vec<Frail> = Vec::new();
        for _ in 0..connections(&lines) {
            world.joint();
            clients.push(Frail::default());
        }
        for line in lines.into_iter().filter(|line| line.side == Side::Client) {
            match line.bytes {
                Some(mut bytes) => {
                    if dice.below(6) == 0 {
                        change(&mut dice, &mut bytes, &corpus);
                    }
                    world.feed(line.conn, &bytes);
                }
                None => world.lose(line.conn),
            }
        }
        for (conn, mut client) in clients.into_iter().enumerate() {
            client.bytes.extend(world.written(conn));
            units(&client.bytes).into_iter().for_each(|unit| client.hear(unit));
            world.lose(conn);
        }
        assert_eq!((world.hub.sessions(), world.hub.channels()), (0, 0), "{name}");
        assert_eq!(world.hub.metrics.members.get(), 0, "{name}");
    }
}

/// Each side's messages in each connection, with their lengths in front, as the target wants them.
fn anysocket_corpus() -> Vec<Vec<Vec<u8>>> {
    let mut corpus: Vec<Vec<Vec<u8>>> =
        anysocket_common::hostile().into_iter().map(|(_, messages)| messages).collect();
    for name in anysocket_common::names() {
        let mut sides: BTreeMap<_, Vec<Vec<u8>>> = BTreeMap::new();
        for line in anysocket_common::read(&name) {
            let message = line.text.head();
            let message = message[..message.len().min(3000)].to_vec();
            sides.entry((line.conn, line.by_client)).or_default().push(message);
        }
        corpus.extend(sides.into_values());
    }
    corpus
}

fn anysocket_input(choice: u8, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut data = vec![choice];
    for message in messages {
        data.extend((message.len() as u16).to_be_bytes());
        data.extend(message);
    }
    data
}

#[test]
fn changed_anysocket_conversations_do_no_harm() {
    let corpus = anysocket_corpus();
    for messages in &corpus {
        (0..16).for_each(|choice| fuzz_anysocket(&anysocket_input(choice, messages)));
    }
    let all: Vec<Vec<u8>> = corpus.iter().flatten().cloned().collect();
    for seed in 0..2500 {
        let mut dice = Dice(seed);
        let mut messages = corpus[dice.below(corpus.len())].clone();
        for _ in 0..=dice.below(4) {
            let at = dice.below(messages.len() + 1);
            match (dice.below(4), messages.get_mut(at)) {
                // A bit of a type or number, or anything.
                (0, Some(message)) if message.len() > 5 => message[dice.below(6)] ^= 1,
                (0 | 1, Some(message)) => change(&mut dice, message, &all),
                (2, Some(_)) => _ = messages.remove(at),
                _ => messages.insert(at, all[dice.below(all.len())].clone()),
            }
        }
        let choice = dice.roll() as u8;
        let mut data = anysocket_input(choice, &messages);
        if dice.below(4) == 0 {
            change(&mut dice, &mut data, &all);
        }
        fuzz_anysocket(&data);
    }
}

/// Entries for the server role: a client's messages, and things that a hub may say in between.
fn server_input(dice: &mut Dice, messages: &[Vec<u8>]) -> Vec<u8> {
    let mut data = Vec::new();
    let mut entry = |what: u8, bytes: &[u8]| {
        data.push(what);
        data.extend((bytes.len() as u16).to_be_bytes());
        data.extend(bytes);
    };
    let said: [&[u8]; 8] = [
        b"\x10\x01hi",
        b"\x11\x01\x00\x00\x02{}",
        b"\x11\x02\x64\x01m\x03\x91\xc4\x01x",
        b"\x12\x00\x02[1]",
        b"\x13\x00\x94\x03\x01x\x00",
        b"\x14\x01",
        b"\x1e12345678",
        b"\x4013\0\0\0\x01{}",
    ];
    let begins = 0x40 * u8::from(dice.below(3) == 0);
    for message in messages {
        entry(begins, message);
        match dice.below(6) {
            0 => entry(
                4 | (dice.roll() as u8 & 0x78),
                [&b"\x81\xa8requests\xc3"[..], b""][dice.below(2)],
            ),
            1 => entry(5, &vec![0; dice.below(1000)]),
            2 | 3 => entry(6 | (dice.roll() as u8 & 0x30), said[dice.below(said.len())]),
            4 => entry(3 | (dice.roll() as u8 & 8), &vec![0; dice.below(40_000)]),
            _ => {}
        }
    }
    data
}

#[test]
fn changed_anysocket_conversations_do_no_harm_to_the_hub() {
    let mut corpus = anysocket_corpus();
    let auth = b"11\0\0\0\x01{\"id\":\"c1c1c1c112344abc8def0011223300e9\"}".to_vec();
    let call = |path: &str, params: &str| {
        let path: Vec<String> = path.split('.').map(|name| format!("\"{name}\"")).collect();
        let path = path.join(",");
        let body = format!(r#"{{"type":3,"method":[{path}],"params":{params},"bin":[]}}"#);
        [b"12\0\0\0\x05", body.as_bytes()].concat()
    };
    let wishes = [
        ("hub.me", "[]"),
        ("hub.peers.list", r#"["a"]"#),
        ("hub.peers.watch", "[]"),
        ("hub.rooms.enter", r#"["lobby",{"presence":true}]"#),
        ("hub.rooms.send", r#"["lobby","hi"]"#),
        ("hub.rooms.leave", r#"["lobby"]"#),
        ("hub.request", r#"["bert","m",[1],5]"#),
        ("hub.notify", r#"["bert","m",[1]]"#),
        ("hub.services.provide", r#"["math"]"#),
        ("hub.secure", "[]"),
    ];
    let wishes = wishes.map(|(path, params)| call(path, params));
    corpus.push([vec![auth.clone()], wishes.to_vec()].concat());
    let all: Vec<Vec<u8>> = corpus.iter().flatten().cloned().collect();
    for seed in 0..2500 {
        let mut dice = Dice(seed);
        let mut messages = corpus[dice.below(corpus.len())].clone();
        if seed > 200 {
            messages.insert(0, auth.clone());
            for _ in 0..dice.below(8) {
                let at = 1 + dice.below(messages.len());
                messages.insert(at, all[dice.below(all.len())].clone());
            }
            let at = dice.below(messages.len());
            change(&mut dice, &mut messages[at], &all);
        }
        let mut data = server_input(&mut dice, &messages);
        fuzz_anysocket_server(&data);
        change(&mut dice, &mut data, &all);
        fuzz_anysocket_server(&data);
    }
}

/// Requests of clients of Engine.IO, and what their bodies are.
const ENGINEIO: [&[u8]; 8] = [
    b"EIO=4&transport=polling&t=abc%20+&sid=AAAAAAAAAAAAAAAAAAAAAA",
    b"4hello\x1e2probe\x1e4\xe2\x82\xac\x1ebAQIDBA==\x1e1",
    b"6:4hello2:4\xe2\x82\xac10:b4AQIDBA==1:1",
    b"\x00\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04",
    b"\x02\x00\x04\x054a\x1e4b",
    b"\x06\x00\x04\x07\x054a\x1e1",
    b"\x06\x07\x02\x04\x054a\x1e4b\x08\x00\x04",
    b"\x00\x00\x02\x04\x04\x05",
];

#[test]
fn changed_requests_of_engineio_do_no_harm() {
    let mut dice = Dice(0x0e10);
    let corpus: Vec<_> = ENGINEIO.iter().map(|input| input.to_vec()).collect();
    corpus.iter().for_each(|input| fuzz_engineio(input));
    for _ in 0..4_000 {
        let mut bytes = corpus[dice.below(corpus.len())].clone();
        change(&mut dice, &mut bytes, &corpus);
        fuzz_engineio(&bytes);
    }
}

/// Packets, and messages of links and rooms.
const SOCKETIO: [&[u8]; 17] = [
    br#"0{"token":"abc"}"#,
    b"1/admin,",
    br#"2["P2P_EMIT","B","ev",[1,"two",{"three":[null,-1.5e3]}],null]"#,
    br#"2/admin,12["\u0065v",{"a":1,"b":[]}]"#,
    b"313[\"an answer\", {}]",
    br#"4{"message":"no"}"#,
    br#"52-0["P2P_EMIT","B","b",[{"p":{"_placeholder":true,"num":0}},{"num":1,"_placeholder":true}]]"#,
    br#"61-/x,7[{"_placeholder":true,"num":0}]"#,
    br#"["message","hi"]"#,
    b"\x00\x00\x0a[\"ev\",1,2]",
    b"\x04\x01\x23[\"b\",{\"_placeholder\":true,\"num\":0}]\x02\x01\xff",
    b"\x01\x04\x00\x05[\"A\"]",
    b"\x92\xd9\x23[\"b\",{\"_placeholder\":true,\"num\":0}]\xc4\x02\x01\xff",
    b"\xff\x00 bytes",
    // Payloads of peers.
    b"\x92\xc4\x01\xff\x81\xa1a\xc4\x00",
    b"\x93\xa1a\xcb\x3f\xf8\0\0\0\0\0\0\x82\xac_placeholder\xc3\xa3num\0",
    b"{\"a\":[\"\\ud800\",1e999]}",
];

#[test]
fn changed_packets_of_socketio_do_no_harm() {
    let corpus: Vec<_> = SOCKETIO.iter().map(|input| input.to_vec()).collect();
    corpus.iter().for_each(|input| fuzz_socketio_packet(input));
    for seed in 0..10_000 {
        let mut dice = Dice(seed);
        let mut bytes = corpus[dice.below(corpus.len())].clone();
        change(&mut dice, &mut bytes, &corpus);
        fuzz_socketio_packet(&bytes);
    }
}

/// What servers say to a client, which does something besides.
const SOCKETIO_CLIENT: [&[u8]; 6] = [
    b"\x00\x1042[\"a\",1]\n\x10430[1]\n\x20431[]\n\x50420[\"CREATE_STREAM\",{\"sourceStreamId\":\"x\",\"targetStreamId\":\"y\",\"sourceClientId\":\"B\"}]\n\x50421[\"P2P_EMIT_STREAM-from-stream-x\",\"chunk\"]\n\x60422[\"P2P_EMIT_STREAM-from-stream-x\",null]\n\x0042[\"PEER_STREAM_DESTROYED\",\"x\"]",
    b"\x03\x00421[\"P2P_REGISTER\",\"B\"]\n\x00422[\"P2P_REGISTER_STREAM\"]\n\x50451-3[\"P2P_EMIT_STREAM\",{\"_placeholder\":true,\"num\":0}]\n\x01\x04chunk\n\x60423[\"P2P_UNREGISTER\"]\n\x0042[\"P2P_DISCONNECT\"]",
    b"\x00\x00452-7[\"b\",{\"_placeholder\":true,\"num\":0},{\"num\":1,\"_placeholder\":true}]\n\x01one\n\x41two\n\x4042[\"SERVER_ERROR\",\"x\"]\n\x00425[\"SERVER_PING\"]",
    b"\x04\x1042[\"ADD_TARGET\",\"B\"]\n\x70461-0[{\"_placeholder\":true,\"num\":0}]\n\x01x\n\x3041",
    b"\x02\x303\n\x306\n\x3044{\"message\":\"no\"}\n\x301",
    b"\x00\x20430[]\n\x5042[\"TARGET_DISCONNECT\",\"B\"]\n\x002x\n\x3042[]\n\x30",
];

#[test]
fn changed_messages_to_clients_of_socketio_do_no_harm() {
    let corpus: Vec<_> = SOCKETIO_CLIENT.iter().map(|input| input.to_vec()).collect();
    corpus.iter().for_each(|input| fuzz_socketio_client(input));
    for seed in 0..10_000 {
        let mut dice = Dice(seed);
        let mut bytes = corpus[dice.below(corpus.len())].clone();
        change(&mut dice, &mut bytes, &corpus);
        fuzz_socketio_client(&bytes);
    }
}
