//! The original reads what a peer says at once, and the news of that peer a moment later. So what a peer says
//! waits until the client has answered a question that it reads behind the news.

use crate::anysocket_server_peers::{
    ANN, BERT, connect_with, heard, introduce, network, say, say_to, world,
};
use crate::common::World;
use crate::common::speaker::Speaker;
use crosspoint_gateways::anysocket::Kind;
use crosspoint_hub::command::{Event, LinkCommand, LinkEvent};
use crosspoint_hub::{LinkNumber, PeerId, Reason};
use std::time::Duration;

const CLOCK: &str = r#"{"type":5,"time":1700000000123}"#;

fn guarded(world: &mut World, id: PeerId) -> usize {
    let end = connect_with(world, true);
    introduce(world, end, id)
}

fn proxy(world: &mut World, end: usize, seq: i32, action: &str, id: PeerId) {
    let body = format!(r#"{{"type":2,"action":"{action}","id":"{id}"}}"#);
    say(world, end, Kind::Internal, seq, &body);
}

/// Says what time it is, which shows that all before was read.
fn answer(world: &mut World, end: usize, number: i32) {
    say(world, end, Kind::Internal, -number, r#"{"o":1700000000123,"t":1}"#);
}

#[test]
fn what_a_peer_says_waits_until_the_client_knows_the_peer_and_keeps_its_order() {
    let mut world = world();
    let (ann, bert) = (guarded(&mut world, ANN), guarded(&mut world, BERT));
    proxy(&mut world, ann, 2, "proxy", BERT);
    assert_eq!(heard(&mut world, ann)[0], r#"Internal -2 {"ok":true}"#);
    for seq in 1..=3 {
        say_to(&mut world, ann, (ANN, BERT), Kind::Link, seq, r#""hi""#);
    }
    // Both sides may be too fast for each other.
    say_to(&mut world, bert, (BERT, ANN), Kind::Link, 1, r#""ho""#);
    let news = [format!("Internal 2 {}", network("connected", ANN)), format!("Internal 3 {CLOCK}")];
    assert_eq!(heard(&mut world, bert), news, "what Ann says waits, however long");
    world.pass(Duration::from_secs(9));
    say(&mut world, bert, Kind::Heartbeat, 9, "1");
    assert_eq!(heard(&mut world, bert).last().unwrap(), "Heartbeat 4 2");
    answer(&mut world, bert, 3);
    let said = [1, 2, 3].map(|seq| format!(r#"a1: Link {seq} "hi""#));
    assert_eq!(heard(&mut world, bert), said);
    assert!(!heard(&mut world, ann).iter().any(|said| said.starts_with("b2")));
    answer(&mut world, ann, 2);
    assert_eq!(heard(&mut world, ann), [r#"b2: Link 1 "ho""#]);
    // From then on nothing waits.
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 4, r#""hi""#);
    assert_eq!(heard(&mut world, bert), [r#"a1: Link 4 "hi""#]);
}

#[test]
fn a_client_that_answers_no_such_question_gets_all_after_ten_seconds() {
    let mut world = world();
    let (ann, bert) = (guarded(&mut world, ANN), guarded(&mut world, BERT));
    proxy(&mut world, ann, 2, "proxy", BERT);
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1, r#""hi""#);
    heard(&mut world, bert);
    for _ in 0..4 {
        world.pass(Duration::from_millis(2_600));
        say(&mut world, bert, Kind::Link, 0, "null");
        say(&mut world, ann, Kind::Link, 0, "null");
    }
    assert!(heard(&mut world, bert).contains(&r#"a1: Link 1 "hi""#.to_owned()));
}

#[test]
fn the_end_of_a_peer_comes_behind_what_it_said() {
    let mut world = world();
    let (ann, bert) = (guarded(&mut world, ANN), guarded(&mut world, BERT));
    proxy(&mut world, ann, 2, "proxy", BERT);
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1, r#""hi""#);
    proxy(&mut world, ann, 3, "unproxy", BERT);
    world.pass(Duration::from_millis(200));
    let news = [format!("Internal 2 {}", network("connected", ANN)), format!("Internal 3 {CLOCK}")];
    assert_eq!(heard(&mut world, bert), news);
    answer(&mut world, bert, 3);
    assert_eq!(heard(&mut world, bert), [r#"a1: Link 1 "hi""#]);
    world.pass(Duration::from_millis(200));
    assert_eq!(heard(&mut world, bert), [format!("Internal 4 {}", network("disconnected", ANN))]);

    // One that has begun again before the client knew it has not gone.
    proxy(&mut world, ann, 4, "proxy", BERT);
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1, r#""first""#);
    proxy(&mut world, ann, 5, "unproxy", BERT);
    proxy(&mut world, ann, 6, "proxy", BERT);
    say_to(&mut world, ann, (ANN, BERT), Kind::Link, 1, r#""second""#);
    let news = [format!("Internal 5 {}", network("connected", ANN)), format!("Internal 6 {CLOCK}")];
    assert_eq!(heard(&mut world, bert), news);
    answer(&mut world, bert, 6);
    let said = ["first", "second"].map(|text| format!(r#"a1: Link 1 "{text}""#));
    assert_eq!(heard(&mut world, bert), said);
}

#[test]
fn what_waits_is_bounded_and_who_fills_it_loses_its_link_alone() {
    let mut world = world();
    let ann = guarded(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    let other = PeerId::new([0xc3; 16]);
    let mut carl = Speaker::new(&world.hub, world.now, other, None);
    let links: Vec<LinkNumber> = [&mut bert, &mut carl].map(|peer| peer.link(ANN, b"")).into();
    carl.say(links[1], 0x10, b"\x01hi");
    let message = [&b"\x01"[..], &[b'x'; 1 << 20]].concat();
    let bound = world.hub.limits.outbox_bytes_max + 2 * world.hub.limits.message_bytes_max as usize;
    for _ in 0..bound / 2 / message.len() {
        bert.say(links[0], 0x10, &message);
        world.idle();
    }
    assert!(world.buffered(ann) > bound / 2 - 2 * message.len(), "it is known what waits");
    // One that is alone may have half of it.
    for _ in 0..2 {
        bert.say(links[0], 0x10, &message);
        world.idle();
    }
    let ends = |heard: Vec<Event>| {
        heard.into_iter().filter_map(|event| match event {
            Event::Link(LinkEvent::Closed { reason, .. }) => Some(reason),
            _ => None,
        })
    };
    assert_eq!(ends(bert.heard()).collect::<Vec<_>>(), [Reason::TooManyPending]);
    assert!(world.buffered(ann) < message.len(), "nothing of it is kept");
    let questions: Vec<String> = heard(&mut world, ann);
    let questions: Vec<&String> = questions.iter().filter(|said| said.contains(CLOCK)).collect();
    let [_, question] = questions[..] else { panic!("{questions:?}") };
    let number: i32 = question.split(' ').nth(1).unwrap().parse().unwrap();
    answer(&mut world, ann, number);
    assert!(heard(&mut world, ann).contains(&r#"c3: Link 1 "hi""#.to_owned()));
    assert_eq!(ends(carl.heard()).count(), 0);
    world.pass(Duration::from_secs(1));
    assert!(world.buffered(ann) < message.len(), "nothing waits any more");
}

#[test]
fn what_a_peer_has_said_over_links_that_have_ended_is_told_before_its_end_and_step_by_step() {
    let mut world = world();
    let ann = guarded(&mut world, ANN);
    let mut bert = Speaker::new(&world.hub, world.now, BERT, None);
    for link in 0..3 {
        let at = bert.link(ANN, b"");
        for turn in 0..400 {
            bert.say(at, 0x10, format!("\x01{link} {turn}").as_bytes());
        }
        bert.say(at, 0x11, b"\x00\x00\x01m\x02[]");
        bert.give(LinkCommand::Close { link: at, reason: Reason::Left });
        world.idle();
    }
    let news =
        [format!("Internal 2 {}", network("connected", BERT)), format!("Internal 3 {CLOCK}")];
    assert_eq!(heard(&mut world, ann), news);
    world.set_reading(ann, false);
    answer(&mut world, ann, 3);
    let left = world.buffered(ann);
    assert!(left > 800 * 64, "most of it waits until the client reads: {left}");
    world.set_reading(ann, true);
    let said: Vec<String> = heard(&mut world, ann);
    let all = (0..3).flat_map(|link| (0..400).map(move |turn| format!("\"{link} {turn}\"")));
    assert!(said.iter().zip(all).all(|(said, wanted)| said.ends_with(&wanted)));
    assert_eq!(said.len(), 1200);
    world.pass(Duration::from_millis(200));
    assert_eq!(heard(&mut world, ann), [format!("Internal 4 {}", network("disconnected", BERT))]);
}
