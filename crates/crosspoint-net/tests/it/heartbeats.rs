//! Heartbeats as clients ask for them, and the probe that a session has to answer when another one has
//! come with its name or id.

use crate::common::peer::Peer;
use crate::common::{Served, serve, serve_with};
use crosspoint_hub::command::Hello;
use crosspoint_hub::{Pace, PeerId, Reason};
use crosspoint_net::memory::Shape;
use crosspoint_proto::client::Options;
use crosspoint_proto::heartbeat::Config;
use crosspoint_proto::identity::Identity;
use std::num::NonZeroU64;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{Instant, sleep, timeout};

const SECOND: Duration = Duration::from_secs(1);

/// A client that wishes the hub to ask like this.
fn wishing(hub: Pace) -> Options {
    let heartbeat = Config { hub, ..Config::default() };
    Options { heartbeat, ..Options::default() }
}

fn ping(token: u8) -> [u8; 10] {
    [9, 4, 0, 0, 0, 0, 0, 0, 0, token]
}

#[tokio::test(start_paused = true)]
async fn a_client_is_asked_as_often_as_it_wishes_within_the_bounds_of_the_hub() {
    let limits = ["heartbeat_ms_min", "heartbeat_ms_max", "heartbeat_off"];
    for (wish, seconds, limit) in [
        (Pace::Usual, 15, None),
        (Pace::Every(5 * SECOND), 5, None),
        (Pace::Every(SECOND / 100), 1, Some(limits[0])),
        (Pace::Every(3600 * SECOND), 40, Some(limits[1])),
        (Pace::Never, 40, Some(limits[2])),
    ] {
        let served = serve_with(|hub| hub.limits.heartbeat_max = 40 * SECOND);
        let mut native = Peer::native_as(served.memory(), wishing(wish)).await;
        let begun = Instant::now();
        for token in 1..=2 {
            native.link.expect(&ping(token)).await;
            assert_eq!(begun.elapsed().as_secs(), seconds * u64::from(token), "{wish:?}");
        }
        assert_eq!(native.closed().await, Reason::HeartbeatLost);
        assert_eq!(begun.elapsed().as_secs(), 3 * seconds);
        let hits = limits.map(|name| served.hits(name));
        assert_eq!(hits, limits.map(|name| u64::from(limit == Some(name))), "{wish:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_client_that_wishes_for_silence_gets_it_where_that_is_allowed() {
    let served = serve_with(|hub| hub.limits.heartbeat_off = true);
    let mut native = Peer::native_as(served.memory(), wishing(Pace::Never)).await;
    sleep(24 * 3600 * SECOND).await;
    timeout(SECOND, native.link.fill()).await.expect_err("not a word");
    assert!(native.settle().await.is_empty(), "it is still there");
}

#[tokio::test(start_paused = true)]
async fn no_wish_gets_a_living_client_closed_for_its_silence() {
    let served = serve_with(|hub| {
        hub.limits.heartbeat_off = true;
        hub.limits.idle_max = Some(10 * SECOND);
    });
    for wish in [Pace::Never, Pace::Every(300 * SECOND)] {
        let mut native = Peer::native_as(served.memory(), wishing(wish)).await;
        let silent = timeout(3600 * SECOND, native.event()).await;
        silent.expect_err("nothing happens for an hour");
        assert_eq!(served.hub.sessions(), 1, "{wish:?}");
        drop(native);
        served.empty().await;
    }
    assert_eq!(served.hits("idle_s_max"), 0);
}

/// Clients of which there can be one at a time, and what a second one is told.
fn unique() -> [(Options, Reason); 3] {
    let known = |hello| Options { hello, ..Options::default() };
    let id = Hello { peer: Some(PeerId::new([5; 16])), ..Hello::default() };
    let name = Hello { name: Some("Ann".into()), ..Hello::default() };
    let identity = Some(Arc::new(Identity::from_bytes(&[1; 32])));
    [
        (known(id), Reason::IdTaken),
        (known(name), Reason::NameTaken),
        (Options { identity, ..Options::default() }, Reason::IdTaken),
    ]
}

/// Comes again and again until it is let in. Gives how long that took.
async fn insist(served: &Served, options: &Options, pause: Duration, refused: Reason) -> Duration {
    let begun = Instant::now();
    loop {
        let mut newcomer = Peer::unwelcome_as(served.memory(), false, options.clone());
        match newcomer.greet().await {
            Ok(()) => return begun.elapsed(),
            Err(reason) => assert_eq!(reason, refused),
        }
        sleep(pause).await;
    }
}

#[tokio::test(start_paused = true)]
async fn who_comes_back_before_the_hub_has_noticed_its_loss_is_let_in_after_seconds() {
    let served = serve();
    for (round, (options, refused)) in (1..).zip(unique()) {
        // A cable was pulled: nothing comes from it, and nobody reads.
        let mut dead = Peer::native_as(served.memory(), options.clone()).await;
        let took = insist(&served, &options, SECOND / 2, refused).await;
        assert!((3 * SECOND..4 * SECOND).contains(&took), "{took:?}");
        assert_eq!(served.closed(Reason::HeartbeatLost), round);
        assert_eq!(served.hits("probe_ms_max"), round);
        let said = dead.link.rest().await;
        let (question, close) = said.split_at(10);
        assert_eq!((question, close[1]), (&ping(1)[..], 3), "one question, and CLOSE");
        served.empty().await;
    }
}

#[tokio::test(start_paused = true)]
async fn the_dead_are_noticed_also_behind_what_they_do_not_take() {
    let served = serve();
    let (options, refused) = unique()[1].clone();
    let mut dead = Peer::native_as(served.cramped(100), options.clone()).await;
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    dead.enter("room").await;
    let member = owner.joined().await;
    owner.send_to(own, member, &[7; 10_000]).await;
    owner.settle().await;
    let took = insist(&served, &options, SECOND / 2, refused).await;
    assert!((3 * SECOND..4 * SECOND).contains(&took), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn nobody_is_let_in_where_no_probes_are_sent_out_of_turn() {
    let served = serve_with(|hub| hub.limits.probe_max = None);
    let (options, refused) = unique()[0].clone();
    let _dead = Peer::native_as(served.memory(), options.clone()).await;
    let took = insist(&served, &options, SECOND, refused).await;
    assert_eq!(took.as_secs(), 45, "unanswered heartbeats");
}

#[tokio::test(start_paused = true)]
async fn the_living_are_not_harmed_and_asked_no_more_than_once_in_the_time() {
    let served = serve();
    let (options, refused) = unique()[0].clone();
    let lag = Shape { lag: SECOND / 20, ..Shape::default() };
    let mut lives = Peer::native_as(served.shaped(lag), options.clone()).await;
    let stays = async {
        let nothing = timeout(10 * SECOND, lives.event()).await;
        nothing.expect_err("nothing happens to it");
    };
    let presses = timeout(10 * SECOND, insist(&served, &options, SECOND / 10, refused));
    let ((), pressed) = tokio::join!(stays, presses);
    pressed.expect_err("it is refused again and again");
    assert_eq!(served.closed(Reason::HeartbeatLost), 0);
    let metric = |name| served.metric(&format!("crosspoint_round_trip_seconds_{name}"));
    assert_eq!(metric("count{protocol=\"native\"}"), Some(4.0), "after 0, 3, 6 and 9 seconds");
    let sum = metric("sum{protocol=\"native\"}").expect("it was measured");
    assert!((sum - 0.4).abs() < 1e-6, "4 round trips of 100 ms are not {sum} s");
}

#[tokio::test(start_paused = true)]
async fn whoever_takes_long_for_what_lies_before_the_question_is_not_taken_for_dead() {
    const BYTES: usize = 200_000;
    let served = serve();
    let (options, refused) = unique()[1].clone();
    let bytes_per_second = NonZeroU64::new(BYTES as u64 / 20);
    let back = Shape { bytes_per_second, buffer_bytes_max: 1000, ..Shape::default() };
    let mut slow = Peer::native_as(served.slow(back), options.clone()).await;
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    slow.enter("room").await;
    let member = owner.joined().await;
    let begun = Instant::now();
    owner.send_to(own, member, &[7; BYTES]).await;
    let reads = async {
        slow.gather(BYTES).await;
        let took = begun.elapsed();
        let nothing = timeout(10 * SECOND, slow.event()).await;
        nothing.expect_err("nothing happens to it");
        took
    };
    let presses = timeout(30 * SECOND, insist(&served, &options, SECOND / 2, refused));
    let (took, pressed) = tokio::join!(reads, presses);
    assert!(took >= 19 * SECOND, "{took:?}");
    pressed.expect_err("it is refused again and again");
    assert_eq!(served.closed(Reason::HeartbeatLost), 0);
}
