//! A client of AnySocket and peers that speak something else: who gets what, in whose words, and within
//! which bounds. The other side of the client's connection is the test, and so are the peers.

use crate::anysocket_common::hostile;
use crate::common::speaker::{FOR_REQUESTS, Speaker};
use crate::common::{Cut, Dice, World};
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::anysocket::cipher::SystemRandom;
use crosspoint_gateways::anysocket::packet::{Message, parse, parse_inner};
use crosspoint_gateways::anysocket::server::{MESSAGE_BYTES_MAX, Options};
use crosspoint_gateways::anysocket::{Forward, Kind, Packet};
use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::{Event, LinkCommand, LinkEvent, Peer};
use crosspoint_hub::payload::{Ask, Format, Payload};
use crosspoint_hub::{HubOptions, PeerId, Reason};
use std::time::Duration;

pub(crate) const HUB: PeerId = PeerId::new([0x5e; 16]);
pub(crate) const ANN: PeerId = PeerId::new([0xa1; 16]);
pub(crate) const BERT: PeerId = PeerId::new([0xb2; 16]);

pub(crate) fn world() -> World {
    World::new(HubOptions::default())
}

fn connect(world: &mut World) -> usize {
    // What the guards say is between the lines here; `anysocket_server_holds` is about them.
    connect_with(world, false)
}

pub(crate) fn connect_with(world: &mut World, guard_races: bool) -> usize {
    let limits = world.hub.limits.clone();
    let clock = || 1_700_000_000_123;
    let options = Options { id: HUB, auth: None, limits, clock, guard_races, encrypt: false };
    world.anysocket(options, Box::new(SystemRandom))
}

/// A client that is let in.
pub(crate) fn client(world: &mut World, id: PeerId) -> usize {
    let end = connect(world);
    introduce(world, end, id)
}

pub(crate) fn introduce(world: &mut World, end: usize, id: PeerId) -> usize {
    say(world, end, Kind::Auth, 1, &format!(r#"{{"id":"{id}","auth":{{"name":"{id:?}"}}}}"#));
    assert_eq!(heard(world, end), [format!(r#"Auth 1 {{"id":"{HUB}"}}"#)]);
    end
}

fn packet(kind: Kind, seq: i32, body: &str) -> Vec<u8> {
    let mut out = BytesMut::new();
    let body = Bytes::copy_from_slice(body.as_bytes());
    Packet { last: true, kind, seq, body }.encode(&mut out);
    out.to_vec()
}

pub(crate) fn say(world: &mut World, end: usize, kind: Kind, seq: i32, body: &str) {
    world.say(end, &packet(kind, seq, body));
}

/// To a peer through the hub.
pub(crate) fn say_to(
    world: &mut World,
    end: usize,
    ends: (PeerId, PeerId),
    kind: Kind,
    seq: i32,
    body: &str,
) {
    let (from, to) = ends;
    let mut out = BytesMut::new();
    Forward { to, from, inner: packet(kind, seq, body).into() }.encode(&mut out);
    world.say(end, &out);
}

/// What the client hears, in words: who is forwarded, type, number, body.
pub(crate) fn heard(world: &mut World, end: usize) -> Vec<String> {
    let text = |packet: Packet| {
        let Packet { last, kind, seq, body } = packet;
        assert!(last);
        format!("{kind:?} {seq} {}", std::str::from_utf8(&body).unwrap())
    };
    let said = world.said(end).into_iter();
    said.map(|message| match parse(message.into()).unwrap() {
        Message::Packet(packet) => text(packet),
        Message::Forward(forward) => {
            let id = forward.from.to_string();
            format!("{}: {}", &id[..2], text(parse_inner(forward.inner).unwrap()))
        }
    })
    .collect()
}

pub(crate) fn network(action: &str, id: PeerId) -> String {
    format!(r#"{{"type":1,"action":"{action}","id":"{id}"}}"#)
}

#[test]
fn a_native_peer_is_a_proxied_peer_and_each_hears_its_own_words() {
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, Some("bert"));
    say(
        &mut world,
        ann,
        Kind::Internal,
        2,
        &format!(r#"{{"type":2,"action":"proxy","id":"{BERT}"}}"#),
    );
    assert_eq!(heard(&mut world, ann), [r#"Internal -2 {"ok":true}"#]);
    let [Event::Link(LinkEvent::Opened { request: None, link, peer, .. })] = &bert.heard()[..]
    else {
        panic!()
    };
    assert_eq!((peer.id, peer.protocol), (ANN, "anysocket"));
    let link = *link;

    // A message may be answered, so it is a request that may wait for ever.
    let ends = (ANN, BERT);
    say_to(&mut world, ann, ends, Kind::Link, 1, r#"{"hi":1}"#);
    assert_eq!(bert.data(link), [(0x11, b"\x00\x00\x00\x02{\"hi\":1}".to_vec())]);
    bert.say(link, 0x12, b"\x00\x02[\"well\"]");
    bert.say(link, 0x12, b"\x00\x02\"again\"");
    world.idle();
    assert_eq!(heard(&mut world, ann), [r#"b2: Link -1 ["well"]"#]);
    // A failure cannot be said.
    say_to(&mut world, ann, ends, Kind::Link, 2, "{}");
    bert.say(link, 0x13, b"\x01\x94\x03\x00\x00");
    world.idle();
    assert_eq!(heard(&mut world, ann).len(), 0);
    bert.data(link);

    // Calls.
    let call = r#"{"type":3,"method":["a","b"],"params":[1,"x"],"bin":[]}"#;
    say_to(&mut world, ann, ends, Kind::Internal, 3, call);
    assert_eq!(bert.data(link), [(0x11, b"\x02\x00\x03a.b\x02[1,\"x\"]".to_vec())]);
    bert.say(link, 0x12, b"\x02\x03\x92\x05\xc3");
    let call = r#"{"type":3,"method":["c"],"params":["/wA="],"bin":["0"]}"#;
    say_to(&mut world, ann, ends, Kind::Internal, 4, call);
    let packed = b"\x03\x00\x01c\x03\xdd\x00\x00\x00\x01\xc6\x00\x00\x00\x02\xff\x00";
    assert_eq!(bert.data(link), [(0x11, packed.to_vec())]);
    bert.say(link, 0x12, b"\x03\x00\xff\x00");
    say_to(
        &mut world,
        ann,
        ends,
        Kind::Internal,
        5,
        r#"{"type":3,"method":["d"],"params":[],"bin":[]}"#,
    );
    bert.data(link);
    bert.say(link, 0x13, b"\x04\xe8\x07\x04stop\x00");
    world.idle();
    let answers = [
        r#"b2: Internal -3 {"result":[5,true],"bin":false}"#,
        r#"b2: Internal -4 {"result":"/wA=","bin":true}"#,
        r#"b2: Internal -5 {"error":"stop","details":"method: 'd'","code":1000}"#,
    ];
    assert_eq!(heard(&mut world, ann), answers);

    // The other way round: message, request with time, call, failure, notice, cancelled, streams.
    bert.say(link, 0x10, b"\x01news");
    bert.say(link, 0x11, b"\x07\x88\x27\x00\x02{\"q\":1}");
    bert.say(link, 0x11, b"\x08\x00\x05x.y.z\x03\x92\x01\xc4\x01\xff");
    bert.say(link, 0x11, b"\x09\x00\x01f\x02[]");
    bert.say(link, 0x15, b"\x01n\x02[true]");
    bert.say(link, 0x18, b"\x01\x10\x00");
    bert.say(link, 0x1a, b"\x01late");
    world.idle();
    let asked = [
        r#"b2: Link 1 "news""#,
        r#"b2: Link 2 {"q":1}"#,
        r#"b2: Internal 3 {"type":3,"method":["x","y","z"],"params":[1,"/w=="],"bin":["1"]}"#,
        r#"b2: Internal 4 {"type":3,"method":["f"],"params":[],"bin":[]}"#,
        r#"b2: Internal 5 {"type":3,"method":["n"],"params":[true],"bin":[]}"#,
    ];
    assert_eq!(heard(&mut world, ann), asked);
    assert_eq!(bert.data(link), [(0x1d, b"\x01\x94\x03".to_vec())]);
    bert.say(link, 0x14, b"\x07");
    world.idle();
    say_to(&mut world, ann, ends, Kind::Link, -2, "0");
    say_to(&mut world, ann, ends, Kind::Internal, -3, r#"{"result":"AP8=","bin":true}"#);
    let failed = r#"{"error":"no","details":"method: 'f'","code":500}"#;
    say_to(&mut world, ann, ends, Kind::Internal, -4, failed);
    say_to(&mut world, ann, ends, Kind::Internal, -5, r#"{"result":1,"bin":false}"#);
    let answers =
        [(0x12, b"\x08\x00\x00\xff".to_vec()), (0x13, b"\x09\xf4\x03\x02no\x00".to_vec())];
    assert_eq!(bert.data(link), answers);

    // Clocks.
    bert.say(link, 0x1e, b"12345678");
    world.idle();
    assert_eq!(heard(&mut world, ann), [r#"b2: Internal 6 {"type":5,"time":1700000000123}"#]);
    say_to(&mut world, ann, ends, Kind::Internal, -6, r#"{"o":1700000000123,"t":1700000000999.5}"#);
    let time = 1_700_000_000_999_500_u64.to_be_bytes();
    assert_eq!(bert.data(link), [(0x1f, [&b"12345678"[..], &time].concat())]);
    say_to(&mut world, ann, ends, Kind::Internal, 6, r#"{"type":5,"time":1}"#);
    let (kind, token) = bert.data(link).remove(0);
    assert_eq!(kind, 0x1e);
    bert.say(link, 0x1f, &[&token[..], &time].concat());
    world.idle();
    assert_eq!(heard(&mut world, ann), [r#"b2: Internal -6 {"o":1,"t":1700000000999}"#]);

    // Encryption of the peer layer has no form; the client is told a little later.
    bert.say(link, 0x20, b"");
    world.idle();
    let [Event::Link(LinkEvent::Closed { reason, .. })] = bert.heard()[..] else { panic!() };
    assert_eq!(reason, Reason::Unsupported);
    assert_eq!(heard(&mut world, ann).len(), 0);
    world.pass(Duration::from_millis(200));
    assert_eq!(heard(&mut world, ann), [format!("Internal 2 {}", network("disconnected", BERT))]);
}

#[test]
fn links_for_requests_are_heard_of_from_the_hub_and_not_announced() {
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    let link = bert.link(ANN, FOR_REQUESTS);
    bert.say(link, 0x11, b"\x05\x00\x03a.b\x02[1]");
    bert.say(link, 0x11, b"\x06\x00\x00\x02{\"m\":1}");
    bert.say(link, 0x15, b"\x00\x00\xff");
    world.idle();
    let asked = [
        r#"Internal 2 {"type":3,"method":["a","b"],"params":[1],"bin":[]}"#,
        r#"Link 3 {"m":1}"#,
        r#"Link 4 {"base64":"/w=="}"#,
    ];
    assert_eq!(heard(&mut world, ann), asked);
    say(&mut world, ann, Kind::Link, -3, r#"{"a":2}"#);
    say(&mut world, ann, Kind::Internal, -2, r#"{"result":7,"bin":false}"#);
    let answers = [(0x12, b"\x06\x02{\"a\":2}".to_vec()), (0x12, b"\x05\x027".to_vec())];
    assert_eq!(bert.data(link), answers);
    // The same id twice at once breaks the link, as it does between all others.
    bert.say(link, 0x11, b"\x05\x00\x01a\x02[]");
    bert.say(link, 0x11, b"\x05\x00\x01a\x02[]");
    world.idle();
    assert!(matches!(
        bert.heard()[..],
        [Event::Link(LinkEvent::Closed { reason: Reason::Malformed, .. })]
    ));
}

#[test]
fn several_links_of_one_peer_are_one_peer_until_the_last_has_gone() {
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    let (one, two) = (bert.link(ANN, b""), bert.link(ANN, b""));
    world.idle();
    assert_eq!(heard(&mut world, ann), [format!("Internal 2 {}", network("connected", BERT))]);
    bert.say(two, 0x11, b"\x00\x00\x01m\x02[]");
    world.idle();
    assert_eq!(heard(&mut world, ann).len(), 1);
    say_to(&mut world, ann, (ANN, BERT), Kind::Internal, -1, r#"{"result":1,"bin":false}"#);
    assert_eq!(bert.data(two), [(0x12, b"\x00\x021".to_vec())]);
    bert.give(LinkCommand::Close { link: one, reason: Reason::Left });
    world.pass(Duration::from_millis(300));
    assert_eq!(heard(&mut world, ann).len(), 0);
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1, "1");
    assert_eq!(bert.data(two).len(), 1);
    // Who comes back before the client was told of the end is told of as well.
    bert.give(LinkCommand::Close { link: two, reason: Reason::Left });
    world.idle();
    bert.link(ANN, b"");
    world.idle();
    let told = [network("disconnected", BERT), network("connected", BERT)];
    let told: Vec<String> =
        told.iter().zip(3..).map(|(told, seq)| format!("Internal {seq} {told}")).collect();
    assert_eq!(heard(&mut world, ann), told);
}

/// Answers messages with themselves.
struct Echo;

impl Application for Echo {
    fn ask(&self, _from: &Peer, ask: Ask, reply: Reply) {
        reply.send(Ok(ask.payload));
    }
}

#[test]
fn the_program_s_answers_of_all_formats_become_json() {
    struct Formats;
    impl Application for Formats {
        fn ask(&self, _from: &Peer, ask: Ask, reply: Reply) {
            let format: u8 = std::str::from_utf8(&ask.payload.data).unwrap().parse().unwrap();
            reply.send(Ok(Payload::new(Format(format), vec![0xa1, b'x'])));
        }
    }
    let mut world = world();
    assert!(world.hub.set_application(Box::new(Formats)).is_ok());
    let ann = client(&mut world, ANN);
    for format in 0..5 {
        say(&mut world, ann, Kind::Link, 2 + format, &format.to_string());
    }
    let text =
        "the payload is not what its format says, has no form in JSON, or is too large in it";
    let error = format!(r#"{{"error":"{text}","code":500}}"#);
    let bytes = r#"{"base64":"oXg="}"#;
    let wanted = [
        format!("Link -2 {bytes}"),
        format!("Link -3 {error}"),
        format!("Link -4 {error}"),
        r#"Link -5 "x""#.to_owned(),
        format!("Link -6 {bytes}"),
    ];
    assert_eq!(heard(&mut world, ann), wanted);
}

#[test]
fn hostile_input_closes_where_it_must_and_harms_nobody() {
    for (name, messages) in hostile() {
        let mut world = world();
        assert!(world.hub.set_application(Box::new(Echo)).is_ok());
        let bystander = client(&mut world, BERT);
        let end = connect(&mut world);
        messages.iter().for_each(|message| world.say(end, message));
        let closed = world.closed(end);
        let stays = [
            "LINK body not JSON (after auth)",
            "LINK empty body",
            "HEARTBEAT body 3",
            "empty text",
            "reply nobody asked",
            "seq 0",
            "NETWORK connected fake",
            "NETWORK disconnected unknown",
            "NETWORK disconnected self",
            "RPC bin ''",
            "RPC Object.assign(peer) leak",
            "RPC constructor freeze",
            "auth id object",
            "auth id __proto__",
            "auth id number",
            "auth id constructor",
        ];
        let binary = name.starts_with("binary frame");
        assert_eq!(
            closed.is_none(),
            stays.contains(&name.as_str()) || binary,
            "{name}: {closed:?}"
        );
        say(&mut world, bystander, Kind::Link, 2, "5");
        assert_eq!(heard(&mut world, bystander), ["Link -2 5"], "{name}");
    }
}

#[test]
fn who_pretends_or_has_no_link_is_not_heard() {
    let mut world = world();
    let (ann, bert) = (client(&mut world, ANN), client(&mut world, BERT));
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1, "1");
    say_to(&mut world, ann, (BERT, HUB), Kind::Link, 1, "1");
    say_to(&mut world, ann, (ANN, HUB), Kind::Link, 1, "1");
    let proxy = |id: PeerId| format!(r#"{{"type":2,"action":"proxy","id":"{id}"}}"#);
    for (seq, id) in [(2, ANN), (3, HUB), (4, PeerId::new([9; 16]))] {
        say(&mut world, ann, Kind::Internal, seq, &proxy(id));
        assert_eq!(heard(&mut world, ann), [format!(r#"Internal -{seq} {{"ok":false}}"#)]);
    }
    say(&mut world, ann, Kind::Internal, 5, &proxy(BERT));
    assert_eq!(heard(&mut world, ann), [r#"Internal -5 {"ok":true}"#]);
    heard(&mut world, bert);
    // Under another's id, and what would crash or confuse the client.
    say_to(&mut world, ann, (PeerId::new([9; 16]), BERT), Kind::Link, 1, "1");
    say_to(&mut world, ann, (ANN, BERT), Kind::Auth, 1, "{}");
    let mut broken = BytesMut::new();
    Forward { to: BERT, from: ANN, inner: Bytes::from_static(b"13\0\0\0\x01\xff") }
        .encode(&mut broken);
    world.say(ann, &broken);
    assert_eq!(heard(&mut world, bert).len(), 0);
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1, "1");
    assert_eq!(heard(&mut world, bert), ["a1: Link 1 1"]);
    assert_eq!((world.closed(ann), world.closed(bert)), (None, None));
}

#[test]
fn what_waits_for_peers_is_counted_until_it_is_answered_or_they_have_gone() {
    const BYTES: usize = 100_000;
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, Some("bert"));
    let wish = |action: &str| format!(r#"{{"type":2,"action":"{action}","id":"{BERT}"}}"#);
    say(&mut world, ann, Kind::Internal, 2, &wish("proxy"));
    heard(&mut world, ann);
    let Some(Event::Link(LinkEvent::Opened { link, .. })) = bert.heard().pop() else {
        panic!("no link")
    };
    let before = world.buffered(ann);
    // Whatever the client calls the time is given back to it with the answer.
    let clock = format!(r#"{{"type":5,"time":"{}"}}"#, "9".repeat(BYTES));
    for seq in 1..=3 {
        say_to(&mut world, ann, (ANN, BERT), Kind::Internal, seq, &clock);
    }
    let asked = world.buffered(ann) - before;
    assert!((3 * BYTES..4 * BYTES).contains(&asked), "{asked}");
    let call = r#"{"type":3,"method":["a","b"],"params":[1],"bin":[]}"#;
    say_to(&mut world, ann, (ANN, BERT), Kind::Internal, 4, call);
    let called = world.buffered(ann) - before - asked;
    assert!((1..1000).contains(&called), "{called}");
    // The first of the questions, and the call: the other questions wait for the answer.
    assert_eq!(bert.data(link).len(), 2);
    say(&mut world, ann, Kind::Internal, 3, &wish("unproxy"));
    assert_eq!(world.buffered(ann), before);
}

#[test]
fn a_peer_that_is_wanted_again_before_it_is_there_is_one_link_and_all_wishes_are_answered() {
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, Some("bert"));
    let wish = |action: &str, id| format!(r#"{{"type":2,"action":"{action}","id":"{id}"}}"#);
    let nobody = PeerId::new([9; 16]);
    let wishes = [(2, BERT), (3, nobody), (4, BERT), (5, BERT), (6, nobody)]
        .map(|(seq, id)| packet(Kind::Internal, seq, &wish("proxy", id)));
    world.say_all(ann, &wishes);
    let answers = heard(&mut world, ann);
    let expected = [(-2, true), (-4, true), (-5, true), (-3, false), (-6, false)];
    let expected: Vec<_> =
        expected.iter().map(|(seq, ok)| format!(r#"Internal {seq} {{"ok":{ok}}}"#)).collect();
    let sorted = |mut list: Vec<String>| {
        list.sort();
        list
    };
    assert_eq!(sorted(answers), sorted(expected));
    assert!(matches!(bert.heard()[..], [Event::Link(LinkEvent::Opened { .. })]));
    say(&mut world, ann, Kind::Internal, 7, &wish("proxy", BERT));
    assert_eq!(heard(&mut world, ann), [r#"Internal -7 {"ok":true}"#]);
    assert!(bert.heard().is_empty(), "one link is enough");
    say(&mut world, ann, Kind::Internal, 8, &wish("unproxy", BERT));
    assert!(matches!(bert.heard()[..], [Event::Link(LinkEvent::Closed { .. })]));
}

fn wish(seq: i32, action: &str, id: PeerId) -> Vec<u8> {
    packet(Kind::Internal, seq, &format!(r#"{{"type":2,"action":"{action}","id":"{id}"}}"#))
}

#[test]
fn two_clients_that_want_each_other_at_the_same_time_have_one_link_and_both_are_answered() {
    for ids in [[ANN, BERT], [BERT, ANN]] {
        let mut world = world();
        let ends = ids.map(|id| client(&mut world, id));
        let [one, other] = ids;
        world.say_together(&[(ends[0], wish(2, "proxy", other)), (ends[1], wish(2, "proxy", one))]);
        for end in ends {
            assert_eq!(heard(&mut world, end), [r#"Internal -2 {"ok":true}"#]);
        }
        assert_eq!(world.hub.metrics.links.get(), 2, "one, with two ends");
        say_to(&mut world, ends[0], (one, other), Kind::Link, 1, "1");
        say_to(&mut world, ends[1], (other, one), Kind::Link, 1, "2");
        assert_eq!([1, 0].map(|end| heard(&mut world, ends[end]).len()), [1, 1]);
        // And at the end as well.
        world.say_together(&[
            (ends[0], wish(3, "unproxy", other)),
            (ends[1], wish(3, "unproxy", one)),
            (ends[0], wish(4, "proxy", other)),
        ]);
        assert_eq!(heard(&mut world, ends[0]), [r#"Internal -4 {"ok":true}"#]);
        assert_eq!(world.hub.metrics.links.get(), 2);
    }
}

#[test]
fn who_wants_a_peer_and_gives_it_up_in_one_breath_leaves_no_link() {
    let mut world = world();
    let (ann, bert) = (client(&mut world, ANN), client(&mut world, BERT));
    let breath = [wish(2, "proxy", BERT), wish(3, "unproxy", BERT)];
    world.say_all(ann, &breath);
    assert_eq!(heard(&mut world, ann), [r#"Internal -2 {"ok":false}"#]);
    world.pass(Duration::from_millis(300));
    let told = [network("connected", ANN), network("disconnected", ANN)];
    let told = [2, 3].map(|seq| format!("Internal {seq} {}", told[seq - 2]));
    assert_eq!(heard(&mut world, bert), told);
    assert_eq!(world.hub.metrics.links.get(), 0);
    // Each wish is answered, and the last one counts.
    let wishes: Vec<_> = (0..30)
        .map(|index| wish(10 + index, if index % 2 == 0 { "proxy" } else { "unproxy" }, BERT))
        .chain([wish(50, "proxy", BERT)])
        .collect();
    world.say_all(ann, &wishes);
    let answers = heard(&mut world, ann);
    assert_eq!((answers.len(), &*answers[15]), (16, r#"Internal -50 {"ok":true}"#));
    assert!(answers[..15].iter().all(|answer| answer.ends_with(r#"{"ok":false}"#)));
    assert_eq!(world.hub.metrics.links.get(), 2);
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1, "1");
    assert_eq!(heard(&mut world, bert).last().map(String::as_str), Some("a1: Link 1 1"));
    // Who has it already, as the other one has wanted it too.
    let unproxy = wish(60, "unproxy", BERT);
    world.say_all(ann, std::slice::from_ref(&unproxy));
    world.say_together(&[
        (bert, wish(4, "proxy", ANN)),
        (ann, wish(61, "proxy", BERT)),
        (ann, unproxy),
    ]);
    world.pass(Duration::from_millis(300));
    assert_eq!(heard(&mut world, ann)[0], r#"Internal -61 {"ok":false}"#);
}

#[test]
fn ids_that_are_none_are_known_by_a_derived_one_and_only_once() {
    let mut world = world();
    let ends = [0; 3].map(|_| connect(&mut world));
    say(&mut world, ends[0], Kind::Auth, 1, r#"{"id":"my own id"}"#);
    say(&mut world, ends[1], Kind::Auth, 1, r#"{"id":"my own id"}"#);
    say(&mut world, ends[2], Kind::Auth, 1, &format!(r#"{{"id":"{HUB}"}}"#));
    let closed = ends.map(|end| world.closed(end));
    assert_eq!(closed, [None, Some(Reason::IdTaken), Some(Reason::IdTaken)]);
    heard(&mut world, ends[0]);
    let me = r#"{"type":3,"method":["hub","me"],"params":[],"bin":[]}"#;
    say(&mut world, ends[0], Kind::Internal, 2, me);
    let told = heard(&mut world, ends[0]).remove(0);
    assert!(told.contains(r#","name":null},"bin":false}"#), "{told}");
    let proxy = format!(r#"{{"type":2,"action":"proxy","id":"{BERT}"}}"#);
    say(&mut world, ends[0], Kind::Internal, 3, &proxy);
    assert_eq!(heard(&mut world, ends[0]), [r#"Internal -3 {"ok":false}"#]);
}

#[test]
fn every_bound_is_kept() {
    // Before AUTH.
    let mut world = world();
    let end = connect(&mut world);
    for seq in 0..64 {
        say(&mut world, end, Kind::Link, seq, "1");
    }
    assert_eq!(world.closed(end), None);
    say(&mut world, end, Kind::Link, 64, "1");
    assert_eq!(world.closed(end), Some(Reason::TooManyPending));
    let end = connect(&mut world);
    say(&mut world, end, Kind::Link, 2, &format!("\"{}\"", "x".repeat(65_535)));
    assert_eq!(world.closed(end), Some(Reason::TooManyPending));
    // Messages of the WebSocket.
    let ann = client(&mut world, ANN);
    let most = MESSAGE_BYTES_MAX - 6;
    let text = format!("\"{}\"", "x".repeat(most - 2));
    say(&mut world, ann, Kind::Link, 2, &text);
    assert_eq!(world.closed(ann), None);
    say(&mut world, ann, Kind::Link, 3, &format!("{text} "));
    assert_eq!(world.closed(ann), Some(Reason::TooLarge));
    // Pieces without end.
    let ann = client(&mut world, ANN);
    let piece = [b"23\0\0\0\x02", &vec![b'x'; 5 << 20][..]].concat();
    for _ in 0..3 {
        world.say(ann, &piece);
        assert_eq!(world.closed(ann), None);
    }
    world.say(ann, &piece);
    assert_eq!(world.closed(ann), Some(Reason::TooLarge));
    // Key agreements.
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    let mut switched = 0;
    let key = r#"{"type":2,"key":"AAAA","nonce":"00"}"#;
    for _ in 0..20 {
        let link = bert.link(ANN, b"");
        world.idle();
        say_to(&mut world, ann, (ANN, BERT), Kind::Switch, 1, key);
        let heard = bert.heard();
        let [Event::Link(LinkEvent::Closed { link: ended, reason })] = &heard[..] else {
            panic!("{heard:?}")
        };
        assert_eq!(*ended, link);
        switched += usize::from(*reason == Reason::Malformed);
    }
    assert_eq!(switched, 8);
}

#[test]
fn requests_that_nobody_answers_are_given_up_within_bounds() {
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, Some("bert"));
    let link = bert.link(ANN, b"");
    world.idle();
    heard(&mut world, ann);
    // Of the client: messages push out the oldest, calls are refused.
    for seq in 1..=1024 {
        say_to(&mut world, ann, (ANN, BERT), Kind::Link, seq, "1");
    }
    assert_eq!(bert.data(link).len(), 1024);
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1025, "1");
    let kinds: Vec<u8> = bert.data(link).into_iter().map(|(kind, _)| kind).collect();
    assert_eq!(kinds, [0x14, 0x11]);
    let call = r#"{"type":3,"method":["m"],"params":[],"bin":[]}"#;
    say_to(&mut world, ann, (ANN, BERT), Kind::Internal, 1026, call);
    assert!(heard(&mut world, ann)[0].contains(r#""code":429"#));
    // Of the peer: 1024 at once.
    let id = |id: u16| [0x80 | id as u8, (id >> 7) as u8];
    for number in 0..1025 {
        bert.say(link, 0x11, &[&id(number)[..], b"\x00\x01m\x02[]"].concat());
    }
    world.idle();
    assert_eq!(heard(&mut world, ann).len(), 1024);
    let refused = bert.data(link);
    assert_eq!((refused.len(), refused[0].0), (1, 0x13));
    // Cancelled ones make room.
    bert.say(link, 0x14, &id(3));
    bert.say(link, 0x11, &[&id(2000)[..], b"\x00\x01m\x02[]"].concat());
    world.idle();
    assert_eq!((heard(&mut world, ann).len(), bert.data(link).len()), (1, 0));
}

#[test]
fn a_request_to_a_name_is_answered_refused_or_late_and_its_link_is_closed_when_idle() {
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, Some("bert"));
    let request = |wait: &str| {
        let params = format!(r#"["bert","do.it",[1]{wait}]"#);
        format!(r#"{{"type":3,"method":["hub","request"],"params":{params},"bin":[]}}"#)
    };
    say(&mut world, ann, Kind::Internal, 2, &request(""));
    say(&mut world, ann, Kind::Internal, 3, &request(",500"));
    let events = bert.heard();
    let [
        Event::Link(LinkEvent::Opened { link, purpose, .. }),
        Event::Data { .. },
        Event::Data { part, .. },
    ] = &events[..]
    else {
        panic!("{events:?}")
    };
    assert_eq!(purpose, FOR_REQUESTS);
    assert_eq!(part.data, b"\x01\xf4\x03\x05do.it\x02[1]"[..]);
    bert.say(*link, 0x12, b"\x00\x01yes");
    world.idle();
    assert_eq!(heard(&mut world, ann), [r#"Internal -2 {"result":"yes","bin":false}"#]);
    world.pass(Duration::from_secs(1));
    let late = heard(&mut world, ann);
    assert!(late[0].contains("the peer did not answer in time") && late[0].contains("408"));
    assert_eq!(bert.data(*link), [(0x14, b"\x01".to_vec())]);
    say(&mut world, ann, Kind::Heartbeat, 4, "1");
    world.pass(Duration::from_secs(14));
    say(&mut world, ann, Kind::Heartbeat, 5, "1");
    world.pass(Duration::from_secs(14));
    assert_eq!(bert.heard().len(), 0);
    say(&mut world, ann, Kind::Heartbeat, 6, "1");
    world.pass(Duration::from_secs(5));
    assert!(matches!(
        bert.heard()[..],
        [Event::Link(LinkEvent::Closed { reason: Reason::Left, .. })]
    ));
}

#[test]
fn a_silent_client_is_probed_and_given_up_and_a_living_one_is_not() {
    let mut world = world();
    let (ann, bert) = (client(&mut world, ANN), client(&mut world, BERT));
    let limits = world.hub.limits.clone();
    world.pass(limits.heartbeat + Duration::from_secs(1));
    assert_eq!(heard(&mut world, ann), ["Heartbeat 2 1"]);
    say(&mut world, ann, Kind::Heartbeat, 2, "2");
    say(&mut world, bert, Kind::Heartbeat, 2, "1");
    assert_eq!(heard(&mut world, bert), ["Heartbeat 2 1", "Heartbeat 3 2"]);
    world.pass(limits.heartbeat * (limits.heartbeat_missed_max + 1) - Duration::from_secs(1));
    assert_eq!(world.closed(ann), None);
    world.pass(Duration::from_secs(2));
    assert_eq!(world.closed(ann), Some(Reason::HeartbeatLost));
}

#[test]
fn the_round_trip_of_probes_is_measured_whether_or_not_they_were_due() {
    let mut world = world();
    let ann = client(&mut world, ANN);
    assert!(world.probe(ann));
    assert_eq!(heard(&mut world, ann), ["Heartbeat 2 1"]);
    world.pass(Duration::from_secs(1));
    say(&mut world, ann, Kind::Heartbeat, 2, "2");
    // Nobody has asked for this one.
    say(&mut world, ann, Kind::Heartbeat, 3, "2");
    world.pass(world.hub.limits.heartbeat + Duration::from_secs(1));
    assert_eq!(heard(&mut world, ann), ["Heartbeat 3 1"]);
    say(&mut world, ann, Kind::Heartbeat, 4, "2");
    let metrics = world.hub.metrics.render().expect("text can be written");
    let line = |name: &str, value: &str| {
        let line =
            format!("crosspoint_round_trip_seconds_{name}{{protocol=\"anysocket\"}} {value}");
        assert!(metrics.lines().any(|found| found == line), "no {line} in {metrics}");
    };
    line("count", "2");
    line("sum", "2.0");
    let peote = world.joint();
    assert!(!world.probe(peote), "its protocol has no questions");
}

#[test]
fn messages_are_the_same_however_they_are_cut() {
    let talk = |cut: Cut| {
        let mut world = world();
        world.cut = cut;
        assert!(world.hub.set_application(Box::new(Echo)).is_ok());
        let ann = client(&mut world, ANN);
        for seq in 2..40 {
            say(
                &mut world,
                ann,
                Kind::Link,
                seq,
                &format!("\"{}\"", "\u{e9}".repeat(seq as usize)),
            );
        }
        world.said(ann)
    };
    let whole = talk(Cut::AsTheyCome);
    assert_eq!(whole.len(), 38);
    assert!(talk(Cut::Bytewise) == whole && talk(Cut::Anywhere(Dice(1))) == whole);
}
