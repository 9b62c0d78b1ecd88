//! Bounds of AnySocket's clients that need the time, or that the protocol alone sees and the server counts.

use crate::common::peer::{Peer, server_frame, upgrade};
use crate::common::{Link, Served, serve_with};
use bytes::BytesMut;
use crosspoint_gateways::anysocket::{Forward, Kind, Packet, id};
use crosspoint_hub::command::{Addressee, LinkCommand, LinkEvent, LinkOptions};
use crosspoint_hub::{Event, PeerId, Reason};
use crosspoint_net::ws::{Opcode, frame};
use std::time::Duration;
use tokio::time::{Instant, sleep};

const ANN: PeerId = PeerId::new([0xa1; 16]);

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

fn packet(kind: Kind, seq: i32, last: bool, body: &'static str) -> Vec<u8> {
    let mut out = BytesMut::new();
    Packet { last, kind, seq, body: body.into() }.encode(&mut out);
    out.to_vec()
}

async fn say(link: &Link, message: &[u8]) {
    let mut out = BytesMut::new();
    frame::client_frame(Opcode::Text, true, message, [1, 2, 3, 4], &mut out);
    link.send(&out).await;
}

/// A client that is let in.
async fn client(served: &Served) -> Link {
    let mut link = served.memory();
    upgrade(&mut link).await;
    let auth = packet(Kind::Auth, 1, true, r#"{"id":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"}"#);
    say(&link, &auth).await;
    let (first, text) = server_frame(&mut link).await;
    assert_eq!((first, &text[..6]), (0x81, &b"11\0\0\0\x01"[..]));
    link
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_never_whole_is_not_kept_alive_by_pieces() {
    let served = serve_with(|hub| hub.limits.message_time_max = seconds(95));
    let mut link = client(&served).await;
    let begun = Instant::now();
    for _ in 0..9 {
        say(&link, &packet(Kind::Link, 2, false, "")).await;
        sleep(seconds(10)).await;
    }
    // Probes, and the end.
    while server_frame(&mut link).await.0 != 0x88 {}
    assert_eq!(begun.elapsed(), seconds(95));
    assert_eq!(served.hits("message_s_max"), 1);
    assert_eq!(served.closed(Reason::IdleTimeout), 1);
    drop(link);
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn to_a_proxied_peer_it_ends_the_link_alone() {
    let served = serve_with(|hub| hub.limits.message_time_max = seconds(25));
    let mut link = client(&served).await;
    let mut bert = Peer::native(served.memory()).await;
    let (to, options) = (Addressee::Peer(ANN), LinkOptions::default());
    bert.tell(LinkCommand::Open { request: 7, to, options }).await;
    let linked = |event: &Event| match event {
        Event::Link(LinkEvent::Opened { link, .. }) => Some(*link),
        _ => None,
    };
    let number = bert.find(linked).await;
    let (_, announced) = server_frame(&mut link).await;
    let me = id::parse(&announced[announced.len() - 34..announced.len() - 2]).expect("its id");
    for _ in 0..3 {
        let inner = packet(Kind::Link, 1, false, "");
        let mut out = BytesMut::new();
        Forward { to: me, from: ANN, inner: inner.into() }.encode(&mut out);
        say(&link, &out).await;
        sleep(seconds(8)).await;
    }
    let unlinked = |event: &Event| match event {
        Event::Link(LinkEvent::Closed { link, reason }) => Some((*link, *reason)),
        _ => None,
    };
    assert_eq!(bert.find(unlinked).await, (number, Reason::IdleTimeout));
    assert_eq!(served.hits("message_s_max"), 1);
    assert_eq!(served.closed(Reason::IdleTimeout), 0);
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_the_hub_s_call_for_encryption_is_closed_and_the_program_told() {
    let served = serve_with(|_| {});
    let mut link = client(&served).await;
    let (sender, settled) = tokio::sync::oneshot::channel();
    let begun = Instant::now();
    let done = Box::new(|outcome| sender.send(outcome).expect("the test waits"));
    assert_eq!(served.hub.secure(ANN, done), Ok(()));
    // It is not told of this any more, and not kept for it.
    let mut bert = Peer::native(served.memory()).await;
    let (to, options) = (Addressee::Peer(ANN), LinkOptions::default());
    bert.tell(LinkCommand::Open { request: 7, to, options }).await;
    assert_eq!(settled.await, Ok(Err(Reason::HandshakeTimeout)));
    assert_eq!(begun.elapsed(), seconds(5));
    let kinds = [server_frame(&mut link).await, server_frame(&mut link).await];
    assert_eq!(kinds.map(|(_, text)| text[1]), *b"24", "the question for the clock, and SWITCH");
    assert_eq!(server_frame(&mut link).await.0, 0x88);
    assert_eq!(begun.elapsed(), seconds(5));
}
