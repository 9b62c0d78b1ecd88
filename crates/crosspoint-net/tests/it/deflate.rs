//! A hub that compresses, and clients that offer it: what is shared, and what hostile ones can do.

use crate::common::peer::{Peer, UPGRADE, closed_with, create, head, message, server_frame};
use crate::common::{Link, Served, serve_with, within};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::OwnedChannelId;
use crosspoint_net::ws::deflate::{deflate, inflate};
use crosspoint_net::ws::{Opcode, frame};
use std::time::Duration;
use tokio::time::Instant;

/// A hub that compresses messages from 1 KiB on.
fn compressing() -> Served {
    serve_with(|options| options.limits.compressed_bytes_min = Some(1024))
}

/// Offers extensions, and gives what was accepted.
async fn offer(link: &mut Link, offer: &str) -> Option<String> {
    let request = UPGRADE.trim_end_matches("\r\n");
    link.send(format!("{request}\r\nSec-WebSocket-Extensions: {offer}\r\n\r\n").as_bytes()).await;
    let head = head(link).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    let mut lines = head.lines().filter_map(|line| line.strip_prefix("Sec-WebSocket-Extensions: "));
    lines.next().map(str::to_owned)
}

pub(crate) async fn agreed(link: &mut Link) {
    let accepted = offer(link, "permessage-deflate; client_max_window_bits").await;
    let expected = "permessage-deflate; server_no_context_takeover; client_no_context_takeover";
    assert_eq!(accepted.as_deref(), Some(expected));
}

/// A compressed message of a client.
pub(crate) fn compressed(payload: &[u8]) -> Bytes {
    deflated(&deflate(payload).expect("it becomes smaller"))
}

/// A message of a client that is compressed already.
pub(crate) fn deflated(payload: &[u8]) -> Bytes {
    let mut framed = BytesMut::new();
    frame::client_frame(Opcode::Binary, true, payload, [1, 2, 3, 4], &mut framed);
    framed[0] |= 0x40;
    framed.freeze()
}

/// Has a program of peote enter the room inside a WebSocket.
async fn enters(link: &mut Link) {
    link.send(&message(b"\0\x01\x01\x04room")).await;
    assert_eq!(server_frame(link).await, (0x82, Bytes::from_static(&[0, 3, 1, 0, 0])));
}

#[tokio::test(start_paused = true)]
async fn compression_is_accepted_where_it_is_on_and_can_be_done() {
    let (on, off) = (compressing(), serve_with(|_| {}));
    assert_eq!(offer(&mut off.memory(), "permessage-deflate").await, None);
    assert_eq!(
        offer(&mut on.memory(), "permessage-deflate; server_max_window_bits=10").await,
        None
    );
    let two = "permessage-deflate; server_max_window_bits=10, permessage-deflate";
    assert!(offer(&mut on.memory(), two).await.is_some());
    // Without the offer, or the answer, there are no compressed messages.
    let mut link = off.memory();
    offer(&mut link, "permessage-deflate").await;
    link.send(&compressed(&[0; 2000])).await;
    closed_with(&mut link, 1002).await;
}

/// As joined channels have different numbers, frames differ among receivers; what is compressed does not.
#[tokio::test(start_paused = true)]
async fn a_broadcast_is_compressed_once_for_all_who_have_agreed_to_it() {
    let served = compressing();
    let mut owner = Peer::native(served.memory()).await;
    owner.tell(create(1, "room")).await;
    owner.settle().await;
    let mut members = Vec::new();
    for index in 0..103 {
        let mut link = served.memory();
        match index {
            0..100 => agreed(&mut link).await,
            _ => assert_eq!(offer(&mut link, "other").await, None),
        }
        if index % 2 == 0 {
            // Its number for the room is another one.
            let mut other = Peer::native(served.memory()).await;
            other.tell(create(1, &format!("other{index}"))).await;
            other.settle().await;
            let name = format!("other{index}");
            let enter = [b"\0\x01\x02", &[name.len() as u8][..], name.as_bytes()].concat();
            link.send(&message(&enter)).await;
            assert_eq!(server_frame(&mut link).await.0, 0x82);
            link.send(&message(b"\0\x01\x01\x04room")).await;
            assert_eq!(server_frame(&mut link).await.1, [0, 3, 1, 0, 1][..]);
            members.push((link, Some(other)));
        } else {
            enters(&mut link).await;
            members.push((link, None));
        }
    }
    let large = b"all the same ".repeat(500);
    owner.broadcast(OwnedChannelId(0), &large).await;
    owner.broadcast(OwnedChannelId(0), b"small").await;
    for (index, (link, _)) in members.iter_mut().enumerate() {
        let (first, payload) = server_frame(link).await;
        let frame = match index {
            0..100 => {
                assert!(payload.len() < 200, "{} bytes", payload.len());
                inflate(&payload, 10_000).unwrap().bytes
            }
            _ => payload,
        };
        assert_eq!(first, if index < 100 { 0xc2 } else { 0x82 });
        assert!(frame.ends_with(&large));
        let (first, payload) = server_frame(link).await;
        assert_eq!(first, 0x82, "what is small is sent as it is");
        assert!(payload.ends_with(b"small"));
    }
    let metrics = &served.hub.metrics;
    assert_eq!(metrics.compressed_messages.get(), 1);
    assert_eq!(metrics.compressed_bytes_before.get(), large.len() as u64);
    assert!(metrics.compressed_bytes_after.get() < 200);
}

#[tokio::test(start_paused = true)]
async fn a_bomb_ends_its_sender_at_the_bound_of_frames_and_nobody_else() {
    let served = compressing();
    let mut owner = Peer::native(served.memory()).await;
    owner.tell(create(1, "room")).await;
    owner.settle().await;
    let [mut bomber, mut member] = [served.memory(), served.memory()];
    for link in [&mut bomber, &mut member] {
        agreed(link).await;
        enters(link).await;
    }
    let bomb = compressed(&vec![0; 10 << 20]);
    assert!(bomb.len() < 64 * 1024, "{} bytes", bomb.len());
    bomber.send(&bomb).await;
    // Its protocol has a word for the end, too.
    assert_eq!(server_frame(&mut bomber).await.0, 0x82);
    closed_with(&mut bomber, 1009).await;
    assert_eq!(served.hits("frame_bytes_max"), 1);
    owner.broadcast(OwnedChannelId(0), b"still here").await;
    assert!(server_frame(&mut member).await.1.ends_with(b"still here"));
}

#[tokio::test]
async fn what_is_inflated_counts_against_the_rate_and_all_of_it_arrives() {
    let served = serve_with(|options| {
        options.limits.compressed_bytes_min = Some(1024);
        options.limits.loopback_exempt = false;
        options.limits.bytes_per_second_max = 200_000;
        options.limits.messages_per_second_max = 0;
    });
    let mut owner = served.memory();
    owner.send(b"\0\0\x01\x04room").await;
    owner.expect(&[0, 3, 1, 0, 0]).await;
    let mut member = served.tcp().await;
    agreed(&mut member).await;
    enters(&mut member).await;
    owner.expect(&[0, 4, 0, 0, 0, 0]).await;
    // 60 kB in less than 1 kB, six times.
    let burst = compressed(&b"\x04\0abc".repeat(12_000));
    assert!(burst.len() < 1000, "{} bytes", burst.len());
    member.send(&burst.repeat(6)).await;
    let all = within("all of it", owner.take(6 * 12_000 * 6)).await;
    assert!(all == b"\x05\x80\0abc".repeat(6 * 12_000));
    assert!(served.hits("bytes_per_second_max") > 0);
    assert_eq!(served.hub.metrics.decompressed_bytes_after.get(), 6 * 60_000);
}

/// What is compressed waits outside of the protocol, which does not see that it has begun.
#[tokio::test(start_paused = true)]
async fn a_compressed_message_that_is_never_whole_ends_its_sender() {
    let most = Duration::from_secs(3);
    let served = serve_with(|options| {
        options.limits.compressed_bytes_min = Some(1024);
        options.limits.message_time_max = most;
    });
    let mut owner = Peer::native(served.memory()).await;
    owner.tell(create(1, "room")).await;
    owner.settle().await;
    let mut member = served.memory();
    agreed(&mut member).await;
    enters(&mut member).await;
    // One that is whole begins no time for the next.
    member.send(&compressed(&b"\x04\0abc".repeat(1000))).await;
    let begun = Instant::now();
    for opcode in [Opcode::Binary, Opcode::Continuation, Opcode::Continuation] {
        let mut framed = BytesMut::new();
        frame::client_frame(opcode, false, &[7], [1, 2, 3, 4], &mut framed);
        framed[0] |= if opcode == Opcode::Binary { 0x40 } else { 0 };
        member.send(&framed).await;
        tokio::time::sleep(most / 4).await;
    }
    // The program of peote is told first that its joint has ended.
    let (0x82, _) = server_frame(&mut member).await else { panic!("its joint goes on") };
    closed_with(&mut member, 1008).await;
    assert_eq!(begun.elapsed(), most);
    assert_eq!(served.hits("message_s_max"), 1);
}
