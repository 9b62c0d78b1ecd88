//! What clients wish for and hubs allow, and the round trips that both sides measure (section 4.4 of
//! docs/protocol.md).

use crate::common::{Pair, flat, frame, heartbeat};
use bytes::Bytes;
use crosspoint_hub::command::{Command, Event, Hello};
use crosspoint_hub::protocol::{Activity, Client, Measurement, Output, Protocol};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Limit, Limits, Pace, PeerId};
use crosspoint_proto::message::kind;
use crosspoint_proto::server::Options;
use crosspoint_proto::{client, heartbeat};
use proptest::prelude::*;
use std::time::Duration;

/// A client that has these wishes, at a hub with these bounds, after hello and welcome. Gives also
/// which limits were reached.
fn wishing(heartbeat: heartbeat::Config, limits: Limits, away_max: Duration) -> (Pair, Vec<Limit>) {
    let options = Options { limits: limits.into(), away_max, ..Options::default() };
    let client = client::Options { heartbeat, ..client::Options::default() };
    let (mut pair, hello) = Pair::with(options, client);
    let mut outputs = pair.serve([hello.into()]);
    assert_eq!(outputs.remove(0), Output::Command(Command::Hello(Hello::default())));
    let reached = outputs.into_iter().map(|output| match output {
        Output::Measurement(Measurement::Bounded(limit)) => limit,
        other => panic!("something else: {other:?}"),
    });
    let reached = reached.collect();
    let peer = PeerId::new([9; 16]);
    let welcome = pair.deliver(&Event::Welcome { peer });
    assert_eq!(pair.listen([welcome.into()]), [Event::Welcome { peer }]);
    (pair, reached)
}

proptest! {
    /// Whatever a client wishes for, it is asked within the hub's bounds and asks as it likes.
    #[test]
    fn a_client_chooses_its_heartbeats_and_the_hub_keeps_its_bounds(
        wish in heartbeat(),
        off: bool,
        idle in prop::option::of(1..1000u64),
        away in 0..100u64,
    ) {
        let idle_max = idle.map(Duration::from_secs);
        let limits = Limits { heartbeat_off: off, idle_max, ..Limits::default() };
        let away_max = Duration::from_secs(away);
        let (pair, reached) = wishing(wish.clone(), limits.clone(), away_max);
        // Milliseconds are all that can be said.
        let longest = Duration::from_millis(u32::MAX.into());
        let least = Duration::from_millis(1);
        let said = match wish.hub {
            Pace::Every(interval) => Pace::Every(interval.clamp(least, longest)),
            other => other,
        };
        let given = limits.heartbeat_for(said);
        prop_assert_eq!(reached, given.limit.into_iter().collect::<Vec<_>>());
        let put_off = idle_max.map_or(away_max, |idle| away_max.min(idle / 2));
        let interval = given.value.map(|interval| interval.max(put_off));
        let activity = Activity { read: pair.now, written: None };
        let due = |interval: Option<Duration>| interval.map(|interval| pair.now + interval);
        prop_assert_eq!(pair.server.deadline(activity), due(interval));
        let own = match wish.own {
            Pace::Usual => Some(interval.unwrap_or(limits.heartbeat)),
            Pace::Every(own) => Some(own.max(least)),
            Pace::Never => None,
        };
        let patient = own.map(|own| match wish.missed_max {
            0 => own.max(wish.patience),
            _ => own,
        });
        prop_assert_eq!(pair.client.deadline(activity), due(patient));
    }
}

#[test]
fn a_hub_measures_the_round_trip_of_each_question_once_and_of_nothing_else() {
    let (mut pair, _) = wishing(Default::default(), Limits::default(), Duration::ZERO);
    let mut out = FrameWriter::default();
    let asked = pair.now;
    assert!(pair.server.probe(asked, &mut out));
    let pong = pair.listen_and_answer([flat(&out.take()).into()]).1;
    let wrong = frame(kind::PONG, &9u64.to_be_bytes());
    pair.now += Duration::from_millis(40);
    let answers = [wrong.clone(), pong.clone(), pong, wrong].concat();
    let measured = Output::Measurement(Measurement::RoundTrip(Duration::from_millis(40)));
    assert_eq!(pair.serve([answers.into()]), [measured]);
    // One whose connection may be away is not asked out of turn: it may rightly be silent.
    let (mut pair, _) = wishing(Default::default(), Limits::default(), Duration::from_secs(35));
    assert!(!pair.server.probe(pair.now, &mut out) && out.is_empty());
}

#[test]
fn a_client_that_asks_out_of_turn_hears_which_of_its_questions_are_answered() {
    let mut out = FrameWriter::default();
    let (mut early, _) = Pair::new(Options::default(), Hello::default());
    assert_eq!(early.client.probe(early.now, &mut out), None, "before the welcome");
    assert!(out.is_empty());
    let mut pair = Pair::open();
    let asked = [0, 1, 2].map(|_| pair.client.probe(pair.now, &mut out));
    assert_eq!(asked, [Some(1), Some(2), Some(3)]);
    let pongs = pair.serve_and_answer([flat(&out.take()).into()]).1;
    let (first, rest) = pongs.split_at(pongs.len() / 3);
    assert_eq!(pair.client.answered(), None);
    pair.listen([Bytes::copy_from_slice(first)]);
    assert_eq!((pair.client.answered(), pair.client.answered()), (Some(1), None));
    pair.now += Duration::from_millis(7);
    let unasked = frame(kind::PONG, &4u64.to_be_bytes());
    pair.listen([[rest.to_vec(), unasked].concat().into()]);
    assert_eq!(pair.client.answered(), Some(3));
    assert_eq!(pair.client.round_trip(), Some(Duration::from_millis(7)));
}
