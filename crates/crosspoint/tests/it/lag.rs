//! Lag and speed of connections inside the program, exact on virtual time.

use crate::common;
use crate::common::{channel, heard, message};
use crosspoint::testing::node;
use crosspoint::{ChannelOptions, EnterOptions, HubOptions, Member, Node, Owner, Server, Shape};
use std::num::NonZeroU64;
use std::time::Duration;
use tokio::time::Instant;

/// Bytes before the payload of a short message of a member: length, type and in number.
const HEAD_BYTES: usize = 3;

fn ms(millis: u64) -> Duration {
    Duration::from_millis(millis)
}

/// An owner without delay and a member over a link.
async fn over(shape: Shape) -> (Server, Owner, Member, Node) {
    let hub = Server::new(HubOptions::default());
    let ann = node(&hub, "Ann", Shape::default()).await;
    let bob = node(&hub, "Bob", shape).await;
    let (owner, member) = channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    (hub, owner, member, bob)
}

#[tokio::test(start_paused = true)]
async fn a_message_takes_the_lag_of_each_link_on_its_way() {
    let hub = Server::new(HubOptions::default());
    let lag = |millis| Shape { lag: ms(millis), ..Shape::default() };
    let start = Instant::now();
    let ann = node(&hub, "Ann", lag(30)).await;
    assert_eq!(start.elapsed(), ms(60), "hello and welcome");
    let bob = node(&hub, "Bob", lag(50)).await;
    let (mut owner, mut member) =
        channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let start = Instant::now();
    member.send("up").await.unwrap();
    assert_eq!(heard(&mut owner).await, message(0, "up"));
    assert_eq!(start.elapsed(), ms(80));
    owner.broadcast("down", None).await.unwrap();
    common::told(&mut member).await;
    assert_eq!(start.elapsed(), ms(160));
}

#[tokio::test(start_paused = true)]
async fn messages_follow_each_other_at_the_speed_of_the_link() {
    let speed = Shape { bytes_per_second: NonZeroU64::new(1000), ..Shape::default() };
    let (_hub, mut owner, member, _node) = over(speed).await;
    let start = Instant::now();
    let data = "x".repeat(100 - HEAD_BYTES);
    for _ in 0..3 {
        member.send(data.clone()).await.unwrap();
    }
    for _ in 0..3 {
        assert_eq!(heard(&mut owner).await, message(0, &data));
    }
    assert_eq!(start.elapsed(), ms(300));
}

#[tokio::test(start_paused = true)]
async fn jitter_delays_and_never_reorders() {
    let jitter = Shape { lag: ms(10), jitter: ms(40), seed: 7, ..Shape::default() };
    let (_hub, mut owner, member, _node) = over(jitter).await;
    for number in 0..50 {
        let start = Instant::now();
        let data = number.to_string();
        member.send(data.clone()).await.unwrap();
        assert_eq!(heard(&mut owner).await, message(0, &data));
        let took = start.elapsed();
        assert!(ms(10) <= took && took <= ms(51), "{took:?}");
    }
}

#[tokio::test(start_paused = true)]
async fn the_shape_of_peote_adds_lags_up() {
    // netLag 20, netSpeed 1000: `max(0, before − since) + floor(20 + 1000·bytes/1000)` ms.
    let peote = Shape::peote(20, NonZeroU64::new(1000).unwrap());
    let (_hub, mut owner, member, _node) = over(peote).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let start = Instant::now();
    let data = "x".repeat(100 - HEAD_BYTES);
    member.send(data.clone()).await.unwrap();
    tokio::time::sleep(ms(50)).await;
    member.send(data.clone()).await.unwrap();
    assert_eq!(heard(&mut owner).await, message(0, &data));
    assert_eq!(start.elapsed(), ms(120));
    assert_eq!(heard(&mut owner).await, message(0, &data));
    assert_eq!(start.elapsed(), ms(240));
}
