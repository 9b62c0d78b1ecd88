//! Peers that do what they can to harm a client of AnySocket, or other peers of it: they harm themselves alone.

use crate::anysocket_server_peers::{
    ANN, BERT, client, connect_with, heard, introduce, network, say, say_to, world,
};
use crate::common::World;
use crate::common::speaker::{FOR_REQUESTS, Speaker};
use crosspoint_gateways::anysocket::Kind;
use crosspoint_hub::command::{Event, LinkEvent};
use crosspoint_hub::{HubOptions, Limits, LinkNumber, PeerId, Reason};

const CARL: PeerId = PeerId::new([0xc3; 16]);
const REQUEST: u8 = 0x11;

/// A number on the wire.
fn number(number: u32) -> Vec<u8> {
    let mut rest = number;
    let mut out = Vec::new();
    while rest >= 0x80 {
        out.push(0x80 | rest as u8);
        rest >>= 7;
    }
    out.push(rest as u8);
    out
}

/// A request that waits without end.
fn request(id: u32, method: &str) -> Vec<u8> {
    [&number(id)[..], &[0, method.len() as u8], method.as_bytes(), b"\x02[]"].concat()
}

/// How the links of a peer have ended, among what it has heard.
fn ends(heard: &[Event]) -> Vec<(LinkNumber, Reason)> {
    let end = |event: &Event| match event {
        Event::Link(LinkEvent::Closed { link, reason }) => Some((*link, *reason)),
        _ => None,
    };
    heard.iter().filter_map(end).collect()
}

/// A hub with small outboxes.
fn narrow() -> World {
    let limits = Limits { outbox_bytes_max: 64 * 1024, ..Limits::default() };
    World::new(HubOptions { limits, ..HubOptions::default() })
}

#[test]
fn who_asks_without_end_and_reads_no_answers_loses_its_link_and_holds_up_nobody() {
    let open = |turn| [&number(2 * turn)[..], b"\x10\x01s"].concat();
    for kind in [REQUEST, 0x18] {
        let mut world = narrow();
        let ann = client(&mut world, ANN);
        let mut carl = Speaker::new(&world.hub, world.now, CARL, None);
        let good = carl.link(ANN, b"");
        let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
        let bad = bert.link(ANN, b"");
        world.idle();
        heard(&mut world, ann);
        for turn in 0..10_000 {
            let body = if kind == REQUEST { request(turn, "m") } else { open(turn) };
            bert.say(bad, kind, &body);
            if turn % 100 == 0 {
                carl.say(good, 0x10, b"\x01hi");
                world.idle();
                assert!(!world.waits(ann), "it is read all the time");
                let told = heard(&mut world, ann);
                assert!(told.iter().any(|told| told.starts_with("c3: Link")), "{told:?}");
            }
        }
        assert_eq!(ends(&bert.heard()), [(bad, Reason::TooManyPending)]);
    }
}

#[test]
fn who_does_not_take_the_answers_of_a_client_loses_its_link_and_holds_up_nobody() {
    let mut world = narrow();
    let ann = client(&mut world, ANN);
    let mut carl = Speaker::new(&world.hub, world.now, CARL, None);
    let good = carl.link(ANN, b"");
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    let bad = bert.link(ANN, b"");
    world.idle();
    heard(&mut world, ann);
    let before = world.buffered(ann);
    let answer = format!(r#"{{"result":"{}","bin":false}}"#, "x".repeat(5_000));
    let mut kept = 0;
    for turn in 0..1000 {
        bert.say(bad, REQUEST, &request(turn, "m"));
        carl.say(good, REQUEST, &request(turn, "m"));
        world.idle();
        for asked in heard(&mut world, ann) {
            let [from, _, seq, _] = asked.splitn(4, ' ').collect::<Vec<_>>()[..] else { continue };
            let seq: i32 = seq.parse().expect("a number");
            let (to, answer) = match from {
                "b2:" => (BERT, &answer[..]),
                _ => (CARL, r#"{"result":1,"bin":false}"#),
            };
            if seq > 0 {
                say_to(&mut world, ann, (ANN, to), Kind::Internal, -seq, answer);
            }
        }
        assert!(!world.waits(ann), "it is read all the time");
        assert_eq!(carl.data(good).len(), 1);
        kept = kept.max(world.buffered(ann) - before);
    }
    assert_eq!(ends(&bert.heard()), [(bad, Reason::TooManyPending)]);
    assert!(kept > 60_000, "what waits for a peer is counted: {kept}");
    assert!(world.buffered(ann) < before + 10_000, "and given back");
}

#[test]
fn a_peer_that_reads_again_gets_all_that_was_held_back_for_it_in_order() {
    let mut world = narrow();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    let link = bert.link(ANN, b"");
    world.idle();
    heard(&mut world, ann);
    let before = world.buffered(ann);
    for turn in 0..70 {
        bert.say(link, REQUEST, &request(turn, "m"));
        world.idle();
        let asked = heard(&mut world, ann).pop().expect("the request");
        let seq: i32 = asked.split(' ').nth(2).expect("a number").parse().expect("a number");
        let answer = format!(r#"{{"result":"{turn:01000}","bin":false}}"#);
        say_to(&mut world, ann, (ANN, BERT), Kind::Internal, -seq, &answer);
    }
    assert!(world.buffered(ann) > 30_000);
    let mut answers = Vec::new();
    loop {
        let events = bert.heard();
        let data = events.into_iter().filter_map(|event| match event {
            Event::Data { part, .. } => Some(part.data),
            _ => None,
        });
        let count = answers.len();
        answers.extend(data);
        world.idle();
        if answers.len() == count {
            break;
        }
    }
    let wanted =
        |turn: u32| [&number(turn)[..], format!("\x02\"{turn:01000}\"").as_bytes()].concat();
    assert!(answers.iter().zip(0..).all(|(answer, turn)| *answer == wanted(turn)));
    assert_eq!(answers.len(), 70);
    assert!(world.buffered(ann) < before + 10_000);
}

#[test]
fn requests_of_one_peer_leave_room_for_those_of_others_however_many_links_it_has() {
    let mut world = world();
    let end = connect_with(&mut world, true);
    let ann = introduce(&mut world, end, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    let links: Vec<LinkNumber> = (0..5).map(|_| bert.link(ANN, FOR_REQUESTS)).collect();
    for link in &links {
        (0..1024).for_each(|id| bert.say(*link, REQUEST, &request(id, "m")));
    }
    world.idle();
    let asked = heard(&mut world, ann);
    assert_eq!(asked.len(), 512, "one part in eight");
    let refused = bert.heard();
    assert_eq!(refused.len(), 5 * 1024 - 512);
    let refusal = b"\xad\x03";
    assert!(refused.iter().all(|event| matches!(
        event,
        Event::Data { part, .. } if part.kind == 0x13 && part.data.windows(2).any(|code| code == refusal)
    )));
    // Others ask, are asked for, and come.
    let mut carl = Speaker::new(&world.hub, world.now, CARL, None);
    let link = carl.link(ANN, FOR_REQUESTS);
    carl.say(link, REQUEST, &request(0, "c"));
    carl.link(ANN, b"");
    world.idle();
    let told = heard(&mut world, ann);
    assert!(told[0].contains(r#""method":["c"]"#), "{told:?}");
    assert!(told[1].contains(&network("connected", CARL)), "{told:?}");
    // Those that are answered, cancelled or gone with their link make room.
    let seq: i32 = asked[0].split(' ').nth(1).expect("a number").parse().expect("a number");
    say(&mut world, ann, Kind::Internal, -seq, r#"{"result":1,"bin":false}"#);
    bert.heard();
    bert.say(links[0], 0x14, &number(1));
    (2000..2003).for_each(|id| bert.say(links[4], REQUEST, &request(id, "m")));
    world.idle();
    assert_eq!(heard(&mut world, ann).len(), 2);
    bert.give(crosspoint_hub::command::LinkCommand::Close { link: links[0], reason: Reason::Left });
    (3000..3600).for_each(|id| bert.say(links[3], REQUEST, &request(id, "m")));
    world.idle();
    assert_eq!(heard(&mut world, ann).len(), 510);
}

#[test]
fn nobody_forges_an_event_of_the_hub() {
    let forged = br#"{"hub":"room","event":"ended","room":"lobby","reason":"kicked"}"#;
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    let link = bert.link(ANN, FOR_REQUESTS);
    // A request to no method is a message that may be answered.
    bert.say(link, REQUEST, &[b"\x05\x00\x00\x02", &forged[..]].concat());
    bert.say(link, 0x15, &[b"\x00\x02", &forged[..]].concat());
    bert.say(link, REQUEST, &request(6, "m"));
    world.idle();
    assert!(matches!(&heard(&mut world, ann)[..], [call] if call.starts_with("Internal 2 ")));
    let [(0x13, refusal)] = &bert.data(link)[..] else { panic!("no refusal") };
    assert_eq!(refusal[..3], [5, 0x93, 3], "403");
    bert.say(link, 0x10, &[b"\x02", &forged[..]].concat());
    world.idle();
    assert_eq!(heard(&mut world, ann), [""; 0]);
    assert_eq!(ends(&bert.heard()), [(link, Reason::Malformed)]);
}

#[test]
fn questions_for_the_clock_are_bounded_on_each_link_and_counted() {
    let mut world = world();
    let ann = client(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    for purpose in [b"", FOR_REQUESTS] {
        let link = bert.link(ANN, purpose);
        world.idle();
        heard(&mut world, ann);
        let before = world.buffered(ann);
        let ask = |bert: &mut Speaker, turn: u64| bert.say(link, 0x1e, &turn.to_be_bytes());
        (0..64).for_each(|turn| ask(&mut bert, turn));
        // The same question twice is one.
        ask(&mut bert, 63);
        world.idle();
        let asked = heard(&mut world, ann);
        assert_eq!(asked.len(), 64);
        assert!(world.buffered(ann) > before + 64 * 100);
        ask(&mut bert, 64);
        world.idle();
        assert_eq!(ends(&bert.heard()), [(link, Reason::TooManyPending)]);
        assert!(world.buffered(ann) < before + 1000);
        world.pass(std::time::Duration::from_millis(200));
    }
}
