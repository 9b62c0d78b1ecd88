//! The switch to encryption with an original, which tells a call from an answer by nothing: the side that calls
//! when, nothing is lost and nothing is said that the original cannot read. The original is a model of
//! what npm's package 0.4.29 does in the same places.

use bytes::Bytes;
use crosspoint_gateways::anysocket::cipher::{
    Body, CipherError, Initiator, KeyPair, Sealer, SystemRandom,
};
use crosspoint_gateways::anysocket::link::LinkError;
use crosspoint_gateways::anysocket::{Config, Id, Json, Kind, Link, Packet, Received};
use crosspoint_hub::PeerId;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

const OURS: PeerId = PeerId::new([0x11; 16]);
const THEIRS: PeerId = PeerId::new([0xee; 16]);

enum State {
    Plain,
    Switching(Box<KeyPair>),
    Sealed(Box<Sealer>),
}

/// Packets that have left or come, and what was in them.
struct Original {
    state: State,
    seq: i32,
    /// What the application has said while it switches.
    later: Vec<(i32, String)>,
    /// What was in work when it switched: it comes in clear behind its SWITCH.
    late: Vec<(i32, String)>,
    /// What the application says in the moment in which it answers a call, or later.
    hasty: Vec<String>,
    /// What has come while it switches, and whether that is to be decrypted.
    paused: Vec<(Packet, bool)>,
    way: VecDeque<Packet>,
    said: Vec<String>,
    heard: Vec<String>,
}

impl Original {
    fn new() -> Self {
        Self {
            state: State::Plain,
            seq: 0,
            later: Vec::new(),
            late: Vec::new(),
            hasty: Vec::new(),
            paused: Vec::new(),
            way: VecDeque::new(),
            said: Vec::new(),
            heard: Vec::new(),
        }
    }

    fn number(&mut self) -> i32 {
        self.seq += 1;
        self.seq
    }

    fn send(&mut self, text: &str) {
        let seq = self.number();
        self.said.push(text.to_owned());
        match self.state {
            State::Switching(_) => self.later.push((seq, text.to_owned())),
            _ => self.put(Kind::Link, seq, text),
        }
    }

    /// Says something large that is still being cut when it switches.
    fn send_slowly(&mut self, text: &str) {
        if matches!(self.state, State::Plain) {
            let seq = self.number();
            self.late.push((seq, text.to_owned()));
        } else {
            self.send(text);
        }
    }

    fn put(&mut self, kind: Kind, seq: i32, text: &str) {
        let body = match &self.state {
            State::Sealed(sealer) => sealer.seal(&mut SystemRandom, seq, text.as_bytes()).unwrap(),
            _ => Bytes::copy_from_slice(text.as_bytes()),
        };
        self.way.push_back(Packet { last: true, kind, seq, body });
    }

    fn put_switch(&mut self, pair: &KeyPair) {
        let seq = self.number();
        let body = Body { offer: pair.offer(), step: None }.to_json().into_bytes();
        self.way.push_back(Packet { last: true, kind: Kind::Switch, seq, body });
        for (seq, text) in std::mem::take(&mut self.late) {
            // The other side has it in this order.
            self.said.push(text.clone());
            let (first, rest) = text.split_at(text.len() / 2);
            for (part, last) in [(first, false), (rest, true)] {
                let body = Bytes::copy_from_slice(part.as_bytes());
                self.way.push_back(Packet { last, kind: Kind::Link, seq, body });
            }
        }
    }

    fn call(&mut self) {
        if matches!(self.state, State::Plain) {
            let pair = KeyPair::generate(&mut SystemRandom).unwrap();
            self.put_switch(&pair);
            self.state = State::Switching(Box::new(pair));
        }
    }

    fn receive(&mut self, packet: Packet) {
        let sealed = matches!(self.state, State::Sealed(_));
        match packet.kind {
            Kind::Switch => self.switch(&packet),
            Kind::Link | Kind::Internal if matches!(self.state, State::Switching(_)) => {
                self.paused.push((packet, sealed));
            }
            _ => self.take(packet, sealed),
        }
    }

    fn switch(&mut self, packet: &Packet) {
        let offer = Body::parse(&packet.body).unwrap().offer;
        match std::mem::replace(&mut self.state, State::Plain) {
            State::Plain => {
                let pair = KeyPair::generate(&mut SystemRandom).unwrap();
                let sealer = pair.agree(&offer, Initiator::They, &OURS.to_string()).unwrap();
                self.put_switch(&pair);
                std::mem::take(&mut self.hasty).iter().for_each(|text| self.send(text));
                self.state = State::Sealed(Box::new(sealer));
            }
            State::Switching(pair) => {
                // What has come is the answer, whatever it was meant as.
                let sealer = pair.agree(&offer, Initiator::We, &THEIRS.to_string()).unwrap();
                self.state = State::Sealed(Box::new(sealer));
                std::mem::take(&mut self.hasty).iter().for_each(|text| self.send(text));
                for (seq, text) in std::mem::take(&mut self.later) {
                    self.put(Kind::Link, seq, &text);
                }
                for (packet, sealed) in std::mem::take(&mut self.paused) {
                    self.take(packet, sealed);
                }
            }
            State::Sealed(_) => panic!("a second switch kills the link"),
        }
    }

    fn take(&mut self, packet: Packet, sealed: bool) {
        let body = match &self.state {
            State::Sealed(sealer) if sealed => {
                sealer.open(packet.seq, &packet.body).expect("what cannot be read kills the link")
            }
            _ => packet.body,
        };
        match packet.kind {
            Kind::Internal => self.put(Kind::Internal, -packet.seq, r#"{"o":0,"t":1}"#),
            Kind::Link => self.heard.push(String::from_utf8(body.to_vec()).unwrap()),
            _ => {}
        }
    }
}

fn link() -> Link<u32> {
    let mut link = Link::new(Arc::new(Config::default()), OURS);
    link.set_peer(Id::Peer(THEIRS));
    link
}

struct Pair {
    now: Instant,
    link: Link<u32>,
    way: VecDeque<Packet>,
    said: Vec<String>,
    heard: Vec<String>,
    original: Original,
}

impl Pair {
    fn new() -> Self {
        Self {
            now: Instant::now(),
            link: link(),
            way: VecDeque::new(),
            said: Vec::new(),
            heard: Vec::new(),
            original: Original::new(),
        }
    }

    fn send(&mut self, text: &str) {
        self.said.push(text.to_owned());
        self.link.send(Json::parse(text.to_owned().into()).unwrap()).unwrap();
    }

    fn transmit(&mut self) -> bool {
        let packet = self.link.transmit(&mut SystemRandom).unwrap();
        let some = packet.is_some();
        let question = packet.as_ref().is_some_and(|packet| packet.kind == Kind::Internal);
        self.way.extend(packet);
        // The question and the call behind it are written together, and arrive so.
        if question {
            self.way.extend(self.link.transmit(&mut SystemRandom).unwrap());
        }
        some
    }

    /// We take a packet.
    fn receive(&mut self) -> bool {
        let Some(packet) = self.original.way.pop_front() else { return false };
        match self.link.receive(self.now, &mut SystemRandom, packet).unwrap() {
            Some(Received::Message { body, .. }) => self.heard.push(body.text().to_owned()),
            Some(Received::Encrypted { .. }) | None => {}
            other => panic!("{other:?}"),
        }
        true
    }

    /// The original takes a packet.
    fn deliver(&mut self) -> bool {
        let Some(packet) = self.way.pop_front() else { return false };
        let question = packet.kind == Kind::Internal;
        self.original.receive(packet);
        if question && let Some(call) = self.way.pop_front() {
            self.original.receive(call);
        }
        true
    }

    fn settle(&mut self) {
        while self.transmit() || self.receive() || self.deliver() {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn whoever_calls_when_nothing_is_lost_between_us_and_an_original(
        steps in proptest::collection::vec(0..12u8, 0..60),
    ) {
        let mut pair = Pair::new();
        let mut called = false;
        for (number, step) in steps.into_iter().enumerate() {
            let text = format!("\"{step} at {number}\"");
            match step {
                0 | 1 => pair.send(&text),
                2 | 3 => pair.original.send(&text),
                4 if !called => pair.original.send_slowly(&text),
                5 => {
                    pair.original.call();
                    called = true;
                }
                // Refused if there was one.
                6 => called |= pair.link.encrypt(pair.now, &mut SystemRandom).is_ok(),
                7 => _ = pair.transmit(),
                8 => _ = pair.receive(),
                9 | 10 => _ = pair.deliver(),
                11 if !called => pair.original.hasty.push(text),
                _ => {}
            }
        }
        // What is in work leaves in the end, switch or not.
        if !called {
            pair.original.call();
        }
        pair.settle();
        prop_assert!(pair.link.is_encrypted());
        prop_assert_eq!(&pair.said, &pair.original.heard);
        let (mut said, mut heard) = (pair.original.said.clone(), pair.heard.clone());
        said.sort();
        heard.sort();
        prop_assert_eq!(said, heard);
        // And it goes on so.
        pair.send("1");
        pair.original.send("2");
        pair.settle();
        prop_assert_eq!(pair.original.heard.last().unwrap(), "1");
        prop_assert_eq!(pair.heard.last().unwrap(), "2");
        prop_assert_eq!(pair.link.deadline(), None);
    }
}

#[test]
fn an_answer_is_known_by_that_to_the_question_before_the_call() {
    let mut pair = Pair::new();
    pair.link.encrypt(pair.now, &mut SystemRandom).unwrap();
    pair.send("\"secret\"");
    while pair.transmit() {}
    while pair.deliver() {}
    let kinds: Vec<Kind> = pair.original.way.iter().map(|packet| packet.kind).collect();
    assert_eq!(kinds, [Kind::Internal, Kind::Switch]);
    assert!(pair.receive() && pair.receive());
    assert!(pair.transmit(), "nothing more has to be waited for");
    pair.settle();
    assert_eq!(pair.original.heard, ["\"secret\""]);
}

#[test]
fn where_both_may_have_called_nothing_is_said_until_a_packet_tells_whose_keys_hold() {
    let mut pair = Pair::new();
    pair.original.call();
    pair.link.encrypt(pair.now, &mut SystemRandom).unwrap();
    while pair.transmit() {}
    pair.send("\"secret\"");
    assert!(pair.receive());
    assert!(pair.link.is_encrypted() && !pair.transmit());
    // The answer to the question comes behind the other side's switch, with its keys.
    while pair.deliver() {}
    assert!(pair.receive() && pair.transmit());
    pair.settle();
    assert_eq!(pair.original.heard, ["\"secret\""]);
    assert_eq!(pair.link.deadline(), None);
}

#[test]
fn who_leaves_the_question_unanswered_is_taken_for_the_one_who_was_called() {
    let mut pair = Pair::new();
    pair.link.encrypt(pair.now, &mut SystemRandom).unwrap();
    pair.send("\"secret\"");
    while pair.transmit() {}
    pair.way.pop_front();
    assert!(pair.deliver() && pair.receive() && !pair.transmit());
    let due = pair.now + Duration::from_secs(5);
    assert_eq!(pair.link.deadline(), Some(due));
    pair.link.tick(due - Duration::from_millis(1)).unwrap();
    assert!(!pair.transmit());
    pair.link.tick(due).unwrap();
    pair.settle();
    assert_eq!(pair.original.heard, ["\"secret\""]);
    assert_eq!(pair.link.deadline(), None);
}

#[test]
fn a_call_for_later_holds_everything_back_and_yields_to_the_other_side_s() {
    for they_call in [false, true] {
        let mut pair = Pair::new();
        let from = pair.now + Duration::from_millis(100);
        pair.link.encrypt_from(pair.now, from, &mut SystemRandom).unwrap();
        pair.send("\"secret\"");
        assert!(!pair.transmit());
        assert_eq!(pair.link.deadline(), Some(from));
        if they_call {
            pair.original.call();
            assert!(pair.receive());
        } else {
            pair.original.send("0");
            assert!(pair.receive());
            pair.link.probe();
            assert!(pair.transmit() && !pair.transmit(), "heartbeats go on");
            pair.link.tick(from).unwrap();
            // From then on the other side has its time.
            let until = from + Duration::from_secs(5);
            assert_eq!(pair.link.deadline(), Some(until));
            assert!(pair.link.tick(until - Duration::from_millis(1)).is_ok());
        }
        while pair.transmit() {}
        assert!(pair.way.iter().all(|packet| !packet.body.starts_with(b"\"sec")));
        pair.settle();
        assert_eq!(pair.original.heard, ["\"secret\""]);
        assert_eq!(pair.link.deadline(), None);
    }
}

#[test]
fn only_what_is_older_than_the_other_side_s_switch_may_come_in_clear_behind_it() {
    let clear = |seq| Packet { last: true, kind: Kind::Link, seq, body: "1".into() };
    for they_call in [false, true] {
        let mut pair = Pair::new();
        pair.original.seq = 5;
        // Numbers 1 and 2.
        pair.link.request(Json::EMPTY, pair.now, 7).unwrap();
        pair.link.request(Json::EMPTY, pair.now, 8).unwrap();
        while pair.transmit() {}
        pair.way.clear();
        let ours = match they_call {
            true => {
                pair.original.call();
                assert!(pair.receive());
                3
            }
            false => {
                pair.link.encrypt(pair.now, &mut SystemRandom).unwrap();
                4
            }
        };
        pair.settle();
        let mut receive =
            |seq| pair.link.receive(pair.now, &mut SystemRandom, clear(seq)).map_err(drop);
        assert!(matches!(receive(5), Ok(Some(Received::Message { .. }))));
        assert!(matches!(receive(-2), Ok(Some(Received::Reply { token: 8, .. }))));
        assert!(matches!(receive(1 - ours), Ok(None)));
        // Its SWITCH was number 6. In the moment in which it has answered it goes on for a little.
        let last = if they_call { 5 } else { 6 + 64 };
        assert!(matches!(receive(last), Ok(Some(Received::Message { .. }))));
        for seq in [last + 1, -ours, 0, i32::MIN] {
            assert_eq!(receive(seq), Err(()), "{seq}");
        }
    }
    // One of us does not do that.
    let (mut one, mut other) = (link(), Link::<u32>::new(Arc::default(), THEIRS));
    other.set_peer(Id::Peer(OURS));
    let now = Instant::now();
    other.send(Json::EMPTY).unwrap();
    other.encrypt(now, &mut SystemRandom).unwrap();
    while let Some(packet) = other.transmit(&mut SystemRandom).unwrap() {
        one.receive(now, &mut SystemRandom, packet).unwrap();
    }
    assert!(one.is_encrypted());
    let refused = one.receive(now, &mut SystemRandom, clear(1));
    assert!(matches!(refused, Err(LinkError::Cipher(CipherError::Undecryptable))));
}
