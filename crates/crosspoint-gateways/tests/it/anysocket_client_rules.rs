//! The client role against neighbours that do not keep to the rules, and at its bounds.

use crate::anysocket_common::{Text, hostile, names, read};
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::anysocket::auth::Auth;
use crosspoint_gateways::anysocket::cipher::SystemRandom;
use crosspoint_gateways::anysocket::client::{
    Config, Ended, Event, Fault, LinkId, Moment, Peer, ProxyError, SendError,
};
use crosspoint_gateways::anysocket::internal::{Internal, proxy_reply};
use crosspoint_gateways::anysocket::packet::{parse, parse_inner};
use crosspoint_gateways::anysocket::{Forward, Json, Kind, Link, Message, Packet, Received};
use crosspoint_hub::PeerId;
use proptest::prelude::*;
use std::time::{Duration, Instant};

const OURS: PeerId = PeerId::new([0xc1; 16]);
const HUB: PeerId = PeerId::new([0x5e; 16]);
const OTHER: PeerId = PeerId::new([0xc2; 16]);

fn json(text: impl Into<String>) -> Json {
    Json::parse(text.into().into()).unwrap()
}

fn packet(kind: Kind, seq: i32, body: &str) -> Packet {
    Packet { last: true, kind, seq, body: Bytes::copy_from_slice(body.as_bytes()) }
}

/// A client and a script for its neighbour.
struct Pair {
    client: Peer<u32>,
    now: Instant,
}

impl Pair {
    fn new(config: Config) -> Self {
        Self { client: Peer::new(config, OURS, None), now: Instant::now() }
    }

    /// A client that has been let in.
    fn connected(config: Config) -> Self {
        let mut pair = Self::new(config);
        assert_eq!(pair.said().len(), 1);
        pair.say(Kind::Auth, 1, Auth { id: HUB.into(), auth: None }.to_json().text());
        let events = pair.events();
        assert!(matches!(&events[..], [Event::Connected { .. }]), "{events:?}");
        pair
    }

    /// And that has a link to another peer.
    fn linked(config: Config) -> (Self, LinkId) {
        let mut pair = Self::connected(config);
        let far = pair.now + Duration::from_secs(60);
        assert_eq!(pair.client.proxy(OTHER, far).unwrap(), None);
        let asked = pair.said();
        pair.say(Kind::Internal, -asked[0].1.seq, proxy_reply(true).text());
        let events = pair.events();
        let [Event::Linked { link, asked: true, .. }, Event::Proxied { link: Ok(same), .. }] =
            &events[..]
        else {
            panic!("{events:?}")
        };
        assert_eq!(link, same);
        (pair, *link)
    }

    fn hear(&mut self, message: impl Into<Bytes>) {
        let moment = Moment { now: self.now, clock_ms: 7 };
        self.client.receive(moment, &mut SystemRandom, message.into());
    }

    fn say(&mut self, kind: Kind, seq: i32, body: &str) {
        let mut out = BytesMut::new();
        packet(kind, seq, body).encode(&mut out);
        self.hear(out);
    }

    fn say_through(&mut self, to: PeerId, from: PeerId, packet: &Packet) {
        let mut inner = BytesMut::new();
        packet.encode(&mut inner);
        let mut out = BytesMut::new();
        Forward { to, from, inner: inner.freeze() }.encode(&mut out);
        self.hear(out);
    }

    fn network(&mut self, seq: i32, id: PeerId, connected: bool) {
        let body = Internal::Network { id: id.into(), connected }.to_json();
        self.say(Kind::Internal, seq, body.text());
    }

    fn events(&mut self) -> Vec<Event<u32>> {
        std::iter::from_fn(|| self.client.poll()).collect()
    }

    /// What the client writes, and to whom if it is not the neighbour.
    fn said(&mut self) -> Vec<(Option<PeerId>, Packet)> {
        let mut said = Vec::new();
        let mut out = BytesMut::new();
        while self.client.transmit(&mut SystemRandom, &mut out) {
            said.push(match parse(out.split().freeze()).unwrap() {
                Message::Packet(packet) => (None, packet),
                Message::Forward(forward) => {
                    assert_eq!(forward.from, OURS);
                    (Some(forward.to), parse_inner(forward.inner).unwrap())
                }
            });
        }
        said
    }

    /// How the connection has ended, if it has.
    fn ended(&mut self) -> Option<Ended> {
        let mut ended = None;
        for event in self.events() {
            assert!(ended.is_none(), "the end comes last");
            if let Event::Gone { link: LinkId::NEIGHBOUR, ended: how } = event {
                ended = Some(how);
            }
        }
        ended
    }
}

#[test]
fn whatever_breaks_the_protocol_ends_the_connection() {
    let ended = |kind, body: &str| {
        let mut pair = Pair::connected(Config::default());
        pair.say(kind, 2, body);
        let ended = pair.ended();
        assert!(matches!(ended, Some(Ended::Fault(_))), "{kind:?} {body}: {ended:?}");
        assert!(pair.said().is_empty() && pair.client.deadline().is_none());
        // What comes afterwards is not looked at.
        pair.say(kind, 3, body);
        assert!(pair.events().is_empty());
    };
    ended(Kind::Auth, r#"{"id":"again"}"#);
    ended(Kind::Internal, r#"{"type":9}"#);
    ended(Kind::Internal, "{");
    ended(Kind::Internal, &format!(r#"{{"type":5,"time":"{}"}}"#, "7".repeat(100)));
    ended(Kind::Switch, r#"{"type":2,"key":"AA","nonce":""}"#);
    for (kind, body) in [(Kind::Link, "1"), (Kind::Internal, "{}"), (Kind::Heartbeat, "1")] {
        let mut pair = Pair::new(Config::default());
        pair.say(kind, 1, body);
        assert!(matches!(pair.ended(), Some(Ended::Fault(_))), "{kind:?} before AUTH");
    }
    let mut pair = Pair::new(Config::default());
    pair.say(Kind::Auth, 1, r#"{"id":""}"#);
    assert!(matches!(pair.ended(), Some(Ended::Fault(_))));
}

#[test]
fn a_hub_that_errs_about_others_harms_nobody() {
    let (mut pair, link) = Pair::linked(Config::default());
    // Unknown peers, those that cannot be, ourselves, and what only a hub can be asked.
    pair.network(2, PeerId::new([9; 16]), false);
    pair.network(3, OURS, true);
    pair.network(4, OTHER, true);
    pair.say(Kind::Internal, 5, r#"{"type":1,"action":"connected","id":"short"}"#);
    pair.say(Kind::Internal, 6, r#"{"type":2,"action":"unproxy","id":"x"}"#);
    pair.say(Kind::Internal, 7, r#"{"type":4}"#);
    let message = packet(Kind::Link, 1, "1");
    pair.say_through(OURS, PeerId::new([9; 16]), &message);
    pair.say_through(PeerId::new([9; 16]), OTHER, &message);
    assert_eq!(pair.client.dropped(), 2);
    assert!(pair.events().is_empty());
    pair.say(Kind::Internal, 8, r#"{"type":2,"action":"proxy","id":"x"}"#);
    assert_eq!(pair.said(), [(None, packet(Kind::Internal, -8, r#"{"ok":false}"#))]);
    // A proxied peer is nobody to speak of others.
    let body = Internal::Network { id: OTHER.into(), connected: false }.to_json();
    pair.say_through(OURS, OTHER, &packet(Kind::Internal, 1, body.text()));
    assert!(pair.events().is_empty());
    pair.say_through(OURS, OTHER, &packet(Kind::Link, 2, "1"));
    let events = pair.events();
    assert!(matches!(&events[..], [Event::Message { link: at, .. }] if *at == link), "{events:?}");
}

#[test]
fn a_proxied_peer_that_breaks_the_protocol_loses_only_its_link() {
    let (mut pair, link) = Pair::linked(Config::default());
    let far = pair.now + Duration::from_secs(60);
    pair.client.request(link, json("1"), far, 7).unwrap();
    pair.say_through(OURS, OTHER, &packet(Kind::Auth, 1, r#"{"id":"x"}"#));
    let events = pair.events();
    let [Event::Abandoned { token: 7, .. }, Event::Gone { link: gone, ended: Ended::Fault(_) }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(*gone, link);
    let unproxy = Internal::Unproxy { id: OTHER.into() }.to_json();
    assert_eq!(pair.said(), [(None, packet(Kind::Internal, 3, unproxy.text()))]);
    assert!(matches!(pair.client.send(link, json("1")), Err(SendError::Ended)));
    // The next link to the same peer is another.
    pair.network(2, OTHER, true);
    let events = pair.events();
    assert!(
        matches!(&events[..], [Event::Linked { link: next, asked: false, .. }] if *next != link)
    );
}

#[test]
fn what_a_peer_says_may_overtake_the_hub_s_yes() {
    let mut pair = Pair::connected(Config::default());
    let far = pair.now + Duration::from_secs(60);
    pair.client.proxy(OTHER, far).unwrap();
    let seq = pair.said()[0].1.seq;
    pair.say_through(OURS, OTHER, &packet(Kind::Link, 1, "1"));
    pair.say(Kind::Internal, -seq, proxy_reply(true).text());
    let events = pair.events();
    let [Event::Linked { link, .. }, Event::Message { .. }, Event::Proxied { link: Ok(same), .. }] =
        &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(link, same);
}

#[test]
fn a_link_ends_when_everything_on_it_is_written_and_so_does_the_connection() {
    for connection in [false, true] {
        let (mut pair, link) = Pair::linked(Config::default());
        pair.client.encrypt(link, pair.now, &mut SystemRandom).unwrap();
        for number in 1..=10 {
            pair.client.send(link, json(number.to_string())).unwrap();
        }
        match connection {
            true => pair.client.close(),
            false => pair.client.unproxy(link),
        }
        assert!(matches!(pair.client.send(link, json("1")), Err(SendError::Ended)));
        // Everything waits for the other side's keys.
        let said = pair.said();
        let kinds: Vec<Kind> = said.iter().map(|(_, packet)| packet.kind).collect();
        assert_eq!(kinds, [Kind::Internal, Kind::Switch]);
        assert!(pair.events().is_empty());
        assert!(connection || matches!(pair.client.proxy(OTHER, pair.now), Err(ProxyError::Full)));
        let mut other = Link::<()>::new(Default::default(), OTHER);
        other.set_peer(OURS.into());
        other.receive(pair.now, &mut SystemRandom, said[1].1.clone()).unwrap();
        let answer = other.transmit(&mut SystemRandom).unwrap().unwrap();
        pair.say_through(OURS, OTHER, &answer);
        let said = pair.said();
        let mut through = said.iter().filter(|(to, _)| to.is_some());
        for number in 1..=10 {
            let (_, packet) = through.next().unwrap();
            assert_ne!(packet.body, number.to_string());
            let heard = other.receive(pair.now, &mut SystemRandom, packet.clone()).unwrap();
            let Some(Received::Message { body, .. }) = heard else { panic!("{heard:?}") };
            assert_eq!(body, json(number.to_string()));
        }
        assert_eq!(said.len(), if connection { 10 } else { 11 });
        let here = pair.events().into_iter().any(|event| {
            matches!(event, Event::Gone { link: gone, ended: Ended::Here }
                if gone == if connection { LinkId::NEIGHBOUR } else { link })
        });
        assert!(here);
    }
}

#[test]
fn both_ends_may_end_a_link_at_once() {
    let (mut pair, link) = Pair::linked(Config::default());
    pair.client.unproxy(link);
    assert_eq!(pair.said().len(), 1);
    pair.network(2, OTHER, false);
    let events = pair.events();
    assert!(matches!(&events[..], [Event::Gone { ended: Ended::Here, .. }]), "{events:?}");
    // Its last words were on their way.
    pair.say_through(OURS, OTHER, &packet(Kind::Link, 9, "1"));
    assert!(pair.events().is_empty() && pair.client.is_connected());
}

#[test]
fn sending_is_bounded_and_goes_on_when_something_has_been_written() {
    let mut config = Config::default();
    config.link.queue_max = 3;
    config.link.requests_max = 1;
    let mut pair = Pair::connected(config);
    let link = LinkId::NEIGHBOUR;
    let far = pair.now + Duration::from_secs(60);
    for _ in 0..3 {
        pair.client.send(link, json("1")).unwrap();
    }
    assert!(pair.client.send(link, json("1")).unwrap_err().is_full());
    assert!(matches!(pair.client.proxy(OTHER, far), Err(ProxyError::Full)));
    // The protocol's own answers have room besides.
    pair.say(Kind::Internal, 2, r#"{"type":5,"time":1}"#);
    assert_eq!(pair.said().last().unwrap().1.body, r#"{"o":1,"t":7}"#);
    pair.client.request(link, json("1"), far, 1).unwrap();
    assert!(pair.client.request(link, json("1"), far, 2).unwrap_err().is_full());
    // A request that is late fails alone, and makes room.
    pair.client.tick(far, false);
    assert!(matches!(pair.events()[..], [Event::TimedOut { token: 1 }]));
    pair.client.request(link, json("1"), far + Duration::from_secs(1), 3).unwrap();
}

#[test]
fn who_asks_without_reading_the_answers_is_left() {
    let mut pair = Pair::connected(Config::default());
    let mut asked = 0;
    let ended = loop {
        pair.say(Kind::Internal, asked + 2, r#"{"type":5,"time":1}"#);
        asked += 1;
        if let Some(ended) = pair.ended() {
            break ended;
        }
    };
    assert!(matches!(ended, Ended::Fault(fault) if matches!(*fault, Fault::Answers)));
    assert!((1024..10_000).contains(&asked), "{asked}");
}

#[test]
fn unfinished_packets_of_all_proxied_peers_are_bounded_together() {
    let config = Config { proxied_bytes_max: 1000, ..Config::default() };
    let mut pair = Pair::connected(config);
    let ids = [1, 2, 3].map(|id| PeerId::new([id; 16]));
    for (seq, id) in ids.into_iter().enumerate() {
        pair.network(seq as i32 + 2, id, true);
    }
    let piece = Packet { last: false, ..packet(Kind::Link, 1, &"x".repeat(400)) };
    for id in ids {
        pair.say_through(OURS, id, &piece);
    }
    let events = pair.events();
    let gone = events.iter().filter(|event| {
        matches!(event, Event::Gone { ended: Ended::Fault(fault), .. }
            if matches!(**fault, Fault::Pieces(1000)))
    });
    assert_eq!(gone.count(), 1);
    // What a finished or ended one held is free again.
    let last = packet(Kind::Link, 1, "");
    pair.say_through(OURS, ids[0], &last);
    pair.say_through(OURS, ids[1], &piece);
    assert!(matches!(pair.events()[..], [Event::Message { .. }]));
}

#[test]
fn too_many_proxied_peers_are_sent_away() {
    let config = Config { proxied_max: 1, ..Config::default() };
    let (mut pair, _) = Pair::linked(config);
    let third = PeerId::new([3; 16]);
    let far = pair.now + Duration::from_secs(60);
    assert!(matches!(pair.client.proxy(third, far), Err(ProxyError::TooMany(1))));
    assert!(matches!(pair.client.proxy(OURS, far), Err(ProxyError::Oneself)));
    assert!(matches!(pair.client.proxy(HUB, far), Err(ProxyError::Oneself)));
    pair.network(2, third, true);
    let unproxy = Internal::Unproxy { id: third.into() }.to_json();
    assert_eq!(pair.said(), [(None, packet(Kind::Internal, 3, unproxy.text()))]);
    assert!(pair.events().is_empty());
}

#[test]
fn a_silent_neighbour_is_probed_and_given_up_unless_nobody_listens() {
    let mut pair = Pair::connected(Config::default());
    let mut tick = |listening| {
        pair.now = pair.client.deadline().unwrap();
        pair.client.tick(pair.now, listening);
        let said = pair.said();
        assert!(said.iter().all(|(_, packet)| packet.kind == Kind::Heartbeat));
        (said.len(), pair.ended())
    };
    for _ in 0..10 {
        assert!(matches!(tick(false), (0, None)));
    }
    assert!(matches!(tick(true), (1, None)));
    assert!(matches!(tick(true), (1, None)));
    assert!(matches!(tick(true), (0, Some(Ended::Silent))));
}

/// What servers said in the recordings, one list for each connection.
fn recorded() -> Vec<Vec<Vec<u8>>> {
    let mut all: Vec<Vec<Vec<u8>>> = Vec::new();
    for name in names() {
        let lines = read(&name);
        let conns = lines.iter().map(|line| line.conn).max().unwrap_or(0);
        for conn in 1..=conns {
            let by_server = lines.iter().filter(|line| !line.by_client && line.conn == conn);
            all.push(
                by_server
                    .map(|line| match &line.text {
                        Text::Whole(message) => message.clone(),
                        Text::Digest { head, .. } => head.clone(),
                    })
                    .collect(),
            );
        }
    }
    all.extend(hostile().into_iter().map(|(_, messages)| messages));
    all
}

#[test]
fn changed_conversations_do_no_harm() {
    let recorded = recorded();
    let connected = Auth { id: HUB.into(), auth: None }.to_json();
    proptest!(|(
        choice in any::<prop::sample::Index>(),
        auth: bool,
        changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<prop::sample::Index>(), any::<u8>()), 0..8),
        acts in proptest::collection::vec(0..8u8, 0..32),
    )| {
        let mut messages = choice.get(&recorded).clone();
        for (message, place, byte) in changes {
            if !messages.is_empty() {
                let message = message.index(messages.len());
                let message = &mut messages[message];
                if !message.is_empty() {
                    let place = place.index(message.len());
                    message[place] = byte;
                }
            }
        }
        let mut pair = Pair::new(Config::default());
        if auth {
            pair.say(Kind::Auth, 1, connected.text());
        }
        let mut over = false;
        let mut acts = acts.into_iter();
        for message in messages {
            pair.hear(message);
            let far = pair.now + Duration::from_secs(9);
            // Whether it may be done does not matter.
            let _ = match acts.next() {
                Some(0) => pair.client.send(LinkId::NEIGHBOUR, json("1")).is_ok(),
                Some(1) => pair.client.request(LinkId::NEIGHBOUR, json("1"), far, 1).is_ok(),
                Some(2) => pair.client.proxy(OTHER, far).is_ok(),
                Some(3) => pair.client.encrypt(LinkId::NEIGHBOUR, pair.now, &mut SystemRandom).is_ok(),
                Some(4) => {
                    pair.now += Duration::from_secs(4);
                    pair.client.tick(pair.now, true);
                    true
                }
                Some(5) => {
                    pair.client.close();
                    true
                }
                _ => false,
            };
            pair.said();
            for event in pair.events() {
                prop_assert!(!over, "nothing comes behind the end");
                over = matches!(event, Event::Gone { link: LinkId::NEIGHBOUR, .. });
            }
        }
        pair.client.end(Ended::There);
        let more = pair.events();
        prop_assert_eq!(over, more.is_empty());
    });
}
