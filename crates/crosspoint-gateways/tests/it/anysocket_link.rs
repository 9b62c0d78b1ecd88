//! Two links that talk to each other: nothing is lost, doubled, reordered or readable, whatever is sent and
//! the side that calls for encryption; and each bound and deadline of one link.

use bytes::Bytes;
use crosspoint_gateways::anysocket::cipher::{CipherError, Random, SwitchError, SystemRandom};
use crosspoint_gateways::anysocket::link::{Dropped, LinkError, SendError};
use crosspoint_gateways::anysocket::reassembly::{Bounds, PieceError};
use crosspoint_gateways::anysocket::{Config, Id, Json, Kind, Link, Packet, Received, Ticket};
use crosspoint_hub::PeerId;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const IDS: [PeerId; 2] = [PeerId::new([0x11; 16]), PeerId::new([0xee; 16])];

fn json(text: &str) -> Json {
    Json::new(text).unwrap()
}

fn link(config: Config, side: usize) -> Link<u32> {
    let mut link = Link::new(Arc::new(config), IDS[side]);
    link.set_peer(Id::Peer(IDS[1 - side]));
    link
}

/// Takes keys and vectors from a seed, so that a failing case can be run again.
struct Seeded(u64);

impl Random for Seeded {
    fn fill(&mut self, bytes: &mut [u8]) -> Result<(), CipherError> {
        for byte in bytes {
            self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            *byte = (self.0 >> 56) as u8;
        }
        Ok(())
    }
}

/// One side, what is on the way to it, and what it has been told.
struct Side {
    link: Link<u32>,
    way: VecDeque<Packet>,
    asked: Vec<(Ticket, Json)>,
    said: Vec<Json>,
    heard: Vec<Json>,
    requests: u32,
    replies: u32,
    fingerprint: Option<[u8; 32]>,
    /// Whether everything that leaves has to be encrypted or is the call for it.
    secret: bool,
}

struct Pair {
    sides: [Side; 2],
    now: Instant,
    random: Seeded,
}

impl Pair {
    fn new(config: [Config; 2], seed: u64) -> Self {
        let mut side = 0;
        let sides = config.map(|config| {
            side += 1;
            Side {
                link: link(config, side - 1),
                way: VecDeque::new(),
                asked: Vec::new(),
                said: Vec::new(),
                heard: Vec::new(),
                requests: 0,
                replies: 0,
                fingerprint: None,
                secret: false,
            }
        });
        Self { sides, now: Instant::now(), random: Seeded(seed) }
    }

    fn send(&mut self, side: usize, body: Json) {
        self.sides[side].link.send(body.clone()).unwrap();
        self.sides[side].said.push(body);
    }

    fn request(&mut self, side: usize, body: Json) {
        let Side { link, said, requests, .. } = &mut self.sides[side];
        link.request(body.clone(), self.now + Duration::from_secs(30), *requests).unwrap();
        *requests += 1;
        said.push(body);
    }

    fn encrypt(&mut self, side: usize) {
        let Side { link, secret, .. } = &mut self.sides[side];
        match link.encrypt(self.now, &mut self.random) {
            Ok(packets) => {
                assert_eq!(packets, 2, "the question for the clock, and the call");
                *secret = true;
            }
            Err(SendError::Switch(SwitchError::Already)) => {}
            Err(error) => panic!("{error}"),
        }
    }

    /// Writes one packet. Gives whether there was one.
    fn transmit(&mut self, side: usize) -> bool {
        let Some(packet) = self.sides[side].link.transmit(&mut self.random).unwrap() else {
            return false;
        };
        self.sides[1 - side].way.push_back(packet);
        true
    }

    /// Takes one packet. Gives whether there was one.
    fn receive(&mut self, side: usize) -> bool {
        let this = &mut self.sides[side];
        let Some(packet) = this.way.pop_front() else {
            return false;
        };
        match this.link.receive(self.now, &mut self.random, packet).unwrap() {
            Some(Received::Message { body, ticket }) => {
                this.heard.push(body.clone());
                this.asked.extend(ticket.map(|ticket| (ticket, body)));
            }
            Some(Received::Reply { token, body }) => {
                assert!(token < this.requests);
                assert!(body.text().starts_with("[\""), "{body}");
                this.replies += 1;
            }
            // The question before a call, which the owner of a link answers at once.
            Some(Received::Internal { body, ticket }) => {
                assert_eq!(body.text(), r#"{"type":5,"time":0}"#);
                this.link.reply(ticket.unwrap(), json("now")).unwrap();
            }
            Some(Received::Encrypted { fingerprint }) => {
                let before = this.fingerprint.replace(fingerprint);
                assert_eq!(before, None);
            }
            None => {}
            other => panic!("{other:?}"),
        }
        true
    }

    /// Answers the latest question first.
    fn reply(&mut self, side: usize) {
        let this = &mut self.sides[side];
        if let Some((ticket, body)) = this.asked.pop() {
            let body = format!("[\"to\",{body}]");
            this.link.reply(ticket, Json::parse(body.into()).unwrap()).unwrap();
        }
    }

    fn settle(&mut self) {
        while (0..2).any(|side| self.transmit(side) || self.receive(side)) {}
    }
}

fn small_pieces() -> Config {
    let pieces = Bounds { packets_max: 2, ..Bounds::default() };
    Config { piece_units_max: 7, pieces, ..Config::default() }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// The packets of a side arrive in order, at any time.
    #[test]
    fn whatever_is_sent_arrives_once_and_in_order_whoever_encrypts_when(
        steps in proptest::collection::vec((0..9u8, 0..2usize, any::<String>()), 0..120),
        seed: u64,
    ) {
        let mut pair = Pair::new([small_pieces(), small_pieces()], seed);
        let mut switched = false;
        for (step, side, text) in steps {
            match step {
                0 => pair.send(side, json(&format!("x{text}"))),
                1 => pair.request(side, json(&format!("?{text}"))),
                2 => pair.reply(side),
                3 => pair.sides[side].link.probe(),
                4 => {
                    pair.encrypt(side);
                    switched = true;
                }
                5 | 6 => _ = pair.transmit(side),
                _ => _ = pair.receive(side),
            }
        }
        pair.settle();
        while pair.sides.iter().any(|side| !side.asked.is_empty()) {
            pair.reply(0);
            pair.reply(1);
        }
        pair.settle();
        let [one, other] = &pair.sides;
        for (side, other) in [(one, other), (other, one)] {
            prop_assert_eq!(&side.said, &other.heard);
            prop_assert_eq!(side.replies, side.requests);
            prop_assert_eq!(side.link.is_encrypted(), switched);
            prop_assert_eq!(side.link.buffered(), 0);
            // Messages were answered too, which nobody waited for.
            let unasked = side.said.len() as u64 - u64::from(side.requests);
            prop_assert_eq!(side.link.dropped(), Dropped { replies: unasked, texts: 0 });
        }
        prop_assert_eq!(one.fingerprint, other.fingerprint);
        prop_assert_eq!(one.fingerprint.is_some(), switched);
    }

    #[test]
    fn any_text_is_cut_and_joined(
        text in "(\\PC|[\u{e9}\u{20ac}\u{1f600}]|\u{0}){0,400}", units in 2..40usize, sealed: bool,
    ) {
        let config = Config { piece_units_max: units, ..Config::default() };
        let mut pair = Pair::new([config, Config::default()], 1);
        if sealed {
            pair.encrypt(0);
            pair.settle();
        }
        pair.send(0, json(&format!("x{text}")));
        while pair.transmit(0) {}
        let pieces = pair.sides[1].way.len();
        let all = json(&format!("x{text}")).text().encode_utf16().count();
        prop_assert!(pieces >= all.div_ceil(units) && pieces <= all.div_ceil(units - 1));
        pair.settle();
        prop_assert_eq!(&pair.sides[0].said, &pair.sides[1].heard);
    }
}

#[test]
fn nothing_leaves_in_clear_from_the_call_for_encryption_on() {
    let mut pair = Pair::new([small_pieces(), small_pieces()], 3);
    pair.send(0, json("said before, in several pieces"));
    assert!(pair.transmit(0));
    pair.encrypt(0);
    pair.request(0, json("secret"));
    pair.sides[0].link.probe();
    while pair.transmit(0) {}
    let way = &pair.sides[1].way;
    assert_eq!(way.back().unwrap().kind, Kind::Switch);
    let clear = |packet: &Packet| !packet.body.windows(3).any(|part| part == b"ecr");
    assert!(way.iter().all(clear));
    while pair.receive(1) {}
    pair.send(1, json("answered after"));
    while pair.transmit(1) {}
    let kinds: Vec<Kind> = pair.sides[0].way.iter().map(|packet| packet.kind).collect();
    // The answer to the question before the call is in clear.
    assert_eq!(kinds[..3], [Kind::Heartbeat, Kind::Internal, Kind::Switch]);
    assert!(pair.sides[0].way.iter().skip(3).all(|packet| packet.body.len() >= 64));
    pair.settle();
    assert_eq!(pair.sides[1].heard.len(), 2);
    assert_eq!(pair.sides[0].heard.len(), 1);
}

/// Both call at once: each has sent its call before the other's arrives.
#[test]
fn a_call_by_both_at_once_is_resolved_between_two_of_us() {
    let mut pair = Pair::new([Config::default(), Config::default()], 5);
    for side in 0..2 {
        pair.encrypt(side);
        while pair.transmit(side) {}
        pair.send(side, json("secret"));
    }
    pair.settle();
    assert_eq!(pair.sides[0].heard, pair.sides[1].heard);
    assert_eq!(pair.sides[0].heard.len(), 1);
    assert_eq!(pair.sides[0].fingerprint, pair.sides[1].fingerprint);
}

#[test]
fn a_call_that_has_not_left_becomes_the_answer_to_the_other_side_s() {
    let mut pair = Pair::new([Config::default(), Config::default()], 6);
    pair.send(0, json("plain"));
    pair.encrypt(0);
    pair.encrypt(1);
    pair.send(0, json("secret"));
    while pair.transmit(1) {}
    while pair.receive(0) {}
    while pair.transmit(0) {}
    let kinds: Vec<Kind> = pair.sides[1].way.iter().map(|packet| packet.kind).collect();
    let question = Kind::Internal;
    assert_eq!(kinds, [Kind::Link, question, Kind::Switch, Kind::Link, question]);
    let sealed = pair.sides[1].way.iter().skip(3).all(|packet| packet.body.len() >= 64);
    assert!(sealed, "what comes behind, and the answer to the other side's question");
    pair.settle();
    assert_eq!(pair.sides[1].heard, [json("plain"), json("secret")]);
}

#[test]
fn a_probe_is_answered_at_once_between_the_pieces_of_a_large_packet() {
    let mut pair = Pair::new([small_pieces(), small_pieces()], 7);
    pair.send(1, json("a text of many pieces"));
    pair.send(1, json("small"));
    assert!(pair.transmit(1));
    pair.sides[0].link.probe();
    assert!(pair.transmit(0) && pair.receive(1));
    while pair.transmit(1) {}
    let way = &pair.sides[0].way;
    assert_eq!((way[1].kind, &way[1].body[..]), (Kind::Heartbeat, &b"2"[..]));
    pair.settle();
    assert_eq!(pair.sides[0].heard, [json("a text of many pieces"), json("small")]);
}

/// A flood of probes while nothing can be written is answered once.
#[test]
fn unwritten_answers_do_not_grow() {
    let now = Instant::now();
    let mut link = link(Config::default(), 0);
    for seq in 1..10_000 {
        let packet = Packet { last: true, kind: Kind::Heartbeat, seq, body: "1".into() };
        assert_eq!(link.receive(now, &mut SystemRandom, packet).unwrap(), None);
    }
    assert!(link.transmit(&mut SystemRandom).unwrap().is_some());
    assert_eq!(link.transmit(&mut SystemRandom).unwrap(), None);
}

fn packet(kind: Kind, seq: i32, last: bool, body: &str) -> Packet {
    Packet { last, kind, seq, body: Bytes::from(body.to_owned()) }
}

#[test]
fn what_breaks_the_protocol_ends_the_link_with_a_reason() {
    let now = Instant::now();
    let refuse = |link: &mut Link<u32>, packet| {
        link.receive(now, &mut SystemRandom, packet).expect_err("it is refused")
    };
    let mut early = Link::new(Arc::default(), IDS[0]);
    for kind in [Kind::Switch, Kind::Heartbeat] {
        let error = refuse(&mut early, packet(kind, 1, true, "1"));
        assert!(matches!(error, LinkError::TooEarly(_)), "{error}");
    }
    for kind in [Kind::Auth, Kind::Internal] {
        let error = refuse(&mut early, packet(kind, 1, true, "x"));
        assert!(matches!(error, LinkError::NotJson(..)), "{error}");
    }
    for kind in [Kind::Auth, Kind::Switch, Kind::Heartbeat] {
        let error = refuse(&mut link(Config::default(), 0), packet(kind, 1, false, "1"));
        assert!(matches!(error, LinkError::Piece(PieceError::NotInPieces)), "{error}");
    }
    let long = format!("{{\"key\":\"{}\",\"nonce\":\"\"}}", "A".repeat(9000));
    for body in ["x", "{}", "1", r#"{"type":2,"key":"AAA","nonce":"00"}"#, &long] {
        let mut link = link(Config::default(), 0);
        let error = refuse(&mut link, packet(Kind::Switch, 1, true, body));
        assert!(matches!(error, LinkError::Switch(_)), "{error}");
        assert!(!link.is_encrypted());
        assert_eq!(link.transmit(&mut SystemRandom).unwrap(), None);
    }
    // Our own call, reflected.
    let mut link = link(Config::default(), 0);
    link.encrypt(now, &mut SystemRandom).unwrap();
    let question = link.transmit(&mut SystemRandom).unwrap().unwrap();
    assert_eq!(question.kind, Kind::Internal);
    let call = link.transmit(&mut SystemRandom).unwrap().unwrap();
    let error = refuse(&mut link, call);
    assert!(matches!(error, LinkError::Switch(SwitchError::Cipher(CipherError::BadKey))));
}

#[test]
fn a_packet_changed_on_the_way_is_refused_or_is_no_longer_the_same() {
    let mut pair = Pair::new([Config::default(), Config::default()], 8);
    pair.encrypt(0);
    pair.settle();
    pair.send(0, json("a secret text that has several blocks"));
    assert!(pair.transmit(0));
    let sealed = pair.sides[1].way.pop_front().unwrap();
    for at in 0..sealed.body.len() {
        let mut body = sealed.body.to_vec();
        body[at] = if body[at] == b'0' { b'1' } else { b'0' };
        let changed = Packet { body: body.into(), ..sealed.clone() };
        match pair.sides[1].link.receive(pair.now, &mut SystemRandom, changed) {
            Ok(Some(Received::Message { body, .. })) => assert_ne!(body, pair.sides[0].said[0]),
            Err(LinkError::Cipher(CipherError::Undecryptable)) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn a_call_for_encryption_that_nobody_answers_ends_the_link() {
    let now = Instant::now();
    let mut link = link(Config::default(), 0);
    link.encrypt(now, &mut SystemRandom).unwrap();
    assert!(matches!(
        link.encrypt(now, &mut SystemRandom),
        Err(SendError::Switch(SwitchError::Already))
    ));
    let due = now + Duration::from_secs(5);
    assert_eq!(link.deadline(), Some(due));
    link.tick(due - Duration::from_millis(1)).unwrap();
    assert!(matches!(link.tick(due), Err(LinkError::SwitchTimeout)));
}

#[test]
fn a_request_whose_time_is_over_fails_alone_and_its_late_reply_is_counted() {
    let mut pair = Pair::new([Config::default(), Config::default()], 9);
    pair.request(0, json("slow"));
    pair.settle();
    let over = pair.now + Duration::from_secs(30);
    let asker = &mut pair.sides[0].link;
    assert_eq!(asker.deadline(), Some(over));
    assert_eq!(asker.expired(over - Duration::from_millis(1)), None);
    assert_eq!((asker.expired(over), asker.expired(over)), (Some(0), None));
    asker.tick(over).unwrap();
    pair.reply(1);
    pair.settle();
    assert_eq!(pair.sides[0].link.dropped().replies, 1);
    pair.request(0, json("next"));
    pair.settle();
    pair.reply(1);
    pair.settle();
    assert_eq!(pair.sides[0].replies, 1);
    pair.request(0, json("pending"));
    assert_eq!(pair.sides[0].link.abandon().collect::<Vec<_>>(), [2]);
}

#[test]
fn each_bound_is_kept_to_its_edge() {
    let now = Instant::now();
    let config = Config { queue_max: 3, queue_bytes_max: 10, requests_max: 2, ..Config::default() };
    let mut link = link(config, 0);
    let ten = json("12345678");
    let full = |result| assert!(matches!(result, Err(SendError::Full)), "{result:?}");
    link.send(ten.clone()).unwrap();
    full(link.send(json("x")));
    link.transmit(&mut SystemRandom).unwrap();
    // A single packet is always taken.
    link.send(json("123456789")).unwrap();
    full(link.encrypt(now, &mut SystemRandom).map(drop));
    link.transmit(&mut SystemRandom).unwrap();
    for token in 0..2 {
        link.request(json("1"), now, token).unwrap();
    }
    let many = link.request(json("1"), now, 2);
    assert!(matches!(many, Err(SendError::TooManyRequests(2))));
    link.send(json("1")).unwrap();
    full(link.send(json("")));
}

#[test]
fn falsy_values_are_sent_as_the_original_does_unless_they_are_to_be_kept() {
    for (keep_falsy, wanted) in [(false, "{}"), (true, "null")] {
        let config = Config { keep_falsy, ..Config::default() };
        let mut link = link(config, 0);
        link.send(Json::NULL).unwrap();
        let packet = link.transmit(&mut SystemRandom).unwrap().unwrap();
        assert_eq!(packet.body, wanted);
    }
}

#[test]
fn a_message_that_is_no_json_is_null_and_one_without_number_has_no_answer() {
    let now = Instant::now();
    let mut link = link(Config::default(), 0);
    let none = link.receive(now, &mut SystemRandom, packet(Kind::Link, 0, true, "x")).unwrap();
    assert_eq!(none, Some(Received::Message { body: Json::NULL, ticket: None }));
    assert_eq!(link.dropped().texts, 1);
}
