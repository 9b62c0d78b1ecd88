//! Streams between peers: bytes in both directions, credit, and how streams end.

use crate::common::{Pair, end, event, link, pair, said, silence};
use crosspoint::testing::{node, two_nodes};
use crosspoint::{
    HubOptions, Node, Peer, PeerError, PeerEvent, Reason, Server, Shape, Stream, StreamOffer,
    StreamReset,
};
use std::io;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

const WINDOW: usize = 256 * 1024;
const SHORT: Duration = Duration::from_millis(200);

async fn offered(peer: &Peer) -> StreamOffer {
    match event(peer).await {
        PeerEvent::Stream(offer) => offer,
        other => panic!("{other:?}"),
    }
}

/// A stream that one peer has opened, as both see it.
async fn stream(from: &Peer, to: &Peer) -> (Stream, Stream) {
    let opening = from.open("file", "about it");
    let accepting = async { offered(to).await.accept() };
    let (opened, accepted) = tokio::join!(opening, accepting);
    (opened.unwrap(), accepted)
}

async fn read_all(stream: &mut Stream) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.read_to_end(&mut bytes).await.map(|_| bytes)
}

/// What a stream that was reset says.
fn reset(result: io::Result<impl std::fmt::Debug>) -> StreamReset {
    let error = result.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::ConnectionReset);
    error.downcast().unwrap()
}

fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|at| (at * 7 + at / 251) as u8).collect()
}

#[tokio::test(start_paused = true)]
async fn megabytes_go_in_both_directions_at_once_and_each_direction_ends_by_itself() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let (here, there) = stream(&to_bob, &to_ann).await;
    assert_eq!((here.name(), &here.metadata()[..]), ("file", &b"about it"[..]));
    assert_eq!((there.name(), &there.metadata()[..]), ("file", &b"about it"[..]));
    assert_eq!(there.peer(), &to_ann);
    let (one, other) = (pattern(5_000_001), pattern(3_000_003));
    let side = |stream: Stream, write: Vec<u8>, read: Vec<u8>| async move {
        let (mut reader, mut writer) = tokio::io::split(stream);
        let writing = async {
            writer.write_all(&write).await.unwrap();
            writer.shutdown().await.unwrap();
            writer.shutdown().await.unwrap();
            let late = writer.write(b"x").await.unwrap_err();
            assert_eq!(late.kind(), io::ErrorKind::BrokenPipe);
        };
        let reading = async {
            let mut bytes = Vec::new();
            reader.read_to_end(&mut bytes).await.unwrap();
            assert!(bytes == read);
            // The end stays the end.
            assert_eq!(reader.read(&mut [0; 8]).await.unwrap(), 0);
        };
        tokio::join!(writing, reading);
    };
    tokio::join!(side(here, one.clone(), other.clone()), side(there, other, one));
}

#[tokio::test(start_paused = true)]
async fn an_answer_can_follow_the_end_of_the_question() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let (mut here, mut there) = stream(&to_bob, &to_ann).await;
    here.write_all(b"question").await.unwrap();
    here.shutdown().await.unwrap();
    assert_eq!(read_all(&mut there).await.unwrap(), b"question");
    there.write_all(b"answer").await.unwrap();
    // Who has read all there is may just let go.
    drop(there);
    assert_eq!(read_all(&mut here).await.unwrap(), b"answer");
}

#[tokio::test(start_paused = true)]
async fn both_sides_open_streams_and_many_live_side_by_side() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let mut streams = Vec::new();
    for number in 0..40_u8 {
        let (from, to) = if number % 2 == 0 { (&to_bob, &to_ann) } else { (&to_ann, &to_bob) };
        let (mut here, there) = stream(from, to).await;
        here.write_all(&vec![number; 1000 * usize::from(number)]).await.unwrap();
        streams.push((here, there, number));
    }
    for (mut here, mut there, number) in streams.into_iter().rev() {
        here.shutdown().await.unwrap();
        let expected = vec![number; 1000 * usize::from(number)];
        assert_eq!(read_all(&mut there).await.unwrap(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_stalled_reader_stops_its_writer_and_nothing_else_and_memory_stays_bounded() {
    let Pair { to_bob, to_ann, ann, bob, .. } = pair().await;
    let (other_to_bob, other_to_ann) = link(&ann, &bob).await;
    let (mut stalled, unread) = stream(&to_bob, &to_ann).await;
    let mut written = 0;
    while let Ok(count) = timeout(SHORT, stalled.write(&[7; 10_000])).await {
        written += count.unwrap();
    }
    assert_eq!(written, WINDOW);

    // The same link, and another one, go on.
    let (mut here, mut there) = stream(&to_bob, &to_ann).await;
    let large = pattern(1 << 20);
    let (_, read) = tokio::join!(
        async {
            here.write_all(&large).await.unwrap();
            here.shutdown().await.unwrap();
        },
        read_all(&mut there)
    );
    assert!(read.unwrap() == large);
    to_bob.send("message").await.unwrap();
    assert_eq!(said(&to_ann).await.data, "message");
    other_to_bob.send("message").await.unwrap();
    assert_eq!(said(&other_to_ann).await.data, "message");

    // And so does the stream when it is read.
    let mut unread = unread;
    let mut bytes = vec![0; WINDOW];
    unread.read_exact(&mut bytes).await.unwrap();
    stalled.write_all(b"more").await.unwrap();
    let mut more = [0; 4];
    unread.read_exact(&mut more).await.unwrap();
    assert_eq!(&more, b"more");
}

#[tokio::test(start_paused = true)]
async fn the_window_is_the_readers_own() {
    let hub = Server::new(HubOptions::default());
    let ann = node(&hub, "Ann", Shape::default()).await;
    let bob = Node::builder().name("Bob").stream_window(1000);
    let bob = bob.connect(hub.inside(Shape::default())).await.unwrap();
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let (mut here, mut there) = stream(&to_bob, &to_ann).await;
    assert_eq!(here.write(&[1; 5000]).await.unwrap(), 1000);
    assert!(timeout(SHORT, here.write(&[1; 5000])).await.is_err());
    assert_eq!(there.write(&[1; 5000]).await.unwrap(), 5000);
}

#[tokio::test(start_paused = true)]
async fn a_stream_may_be_refused_or_dropped_or_taken_back() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let refusing = async {
        offered(&to_ann).await.refuse(1000, "not today");
        drop(offered(&to_ann).await);
    };
    let opening = async {
        for (code, text) in [(1000, "not today"), (404, "nobody accepts streams of this name")] {
            let text = text.to_owned();
            let refused = to_bob.open("file", "").await.unwrap_err();
            assert_eq!(refused, PeerError::StreamRefused { code, text });
        }
    };
    tokio::join!(refusing, opening);

    assert!(timeout(SHORT, to_bob.open("given up", "")).await.is_err());
    let mut over = offered(&to_ann).await.accept();
    assert!(over.read(&mut [0; 8]).await.is_err());
    assert!(over.write(b"x").await.is_err());
}

#[tokio::test(start_paused = true)]
async fn a_reset_ends_both_directions_and_says_why() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let (mut here, there) = stream(&to_bob, &to_ann).await;
    there.reset(1234, "the disk is full");
    let why = StreamReset { code: 1234, text: "the disk is full".to_owned() };
    assert_eq!(reset(here.read(&mut [0; 8]).await), why);
    assert_eq!(reset(here.write(b"x").await), why);
    assert_eq!(reset(here.shutdown().await), why);

    // Dropped in the middle it is no longer wanted, also by those who wait for it.
    let (mut here, there) = stream(&to_bob, &to_ann).await;
    let waiting = tokio::spawn(async move { here.read(&mut [0; 8]).await });
    drop(there);
    assert_eq!(reset(waiting.await.unwrap()).code, 0);
    let (here, mut there) = stream(&to_bob, &to_ann).await;
    let waiting = tokio::spawn(async move { there.write_all(&[0; 10 * WINDOW]).await });
    drop(here);
    assert_eq!(reset(waiting.await.unwrap()).code, 0);
    assert!(to_bob.is_open());
}

#[tokio::test(start_paused = true)]
async fn what_was_written_before_the_shutdown_arrives_though_the_writer_has_gone() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let (mut here, mut there) = stream(&to_bob, &to_ann).await;
    let bytes = pattern(WINDOW);
    here.write_all(&bytes).await.unwrap();
    here.shutdown().await.unwrap();
    drop(here);
    drop(to_bob);
    // What is written back is thrown away, until the link is closed.
    let _ = there.write(&[0; 100_000]).await;
    assert!(read_all(&mut there).await.unwrap() == bytes);
    assert_eq!(end(&to_ann).await, Reason::Left);
    let late = there.write(b"x").await.unwrap_err();
    assert_eq!(late.kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test(start_paused = true)]
async fn a_finished_stream_takes_what_still_comes_and_throws_it_away() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let (mut here, mut there) = stream(&to_bob, &to_ann).await;
    here.write_all(b"all").await.unwrap();
    here.shutdown().await.unwrap();
    drop(here);
    there.write_all(&vec![0; 10 * WINDOW]).await.unwrap();
    there.shutdown().await.unwrap();
    assert_eq!(read_all(&mut there).await.unwrap(), b"all");
}

#[tokio::test(start_paused = true)]
async fn a_link_that_ends_ends_its_streams_but_what_has_arrived_can_be_read() {
    let (_hub, ann, bob) = two_nodes().await;
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let (mut here, mut there) = stream(&to_bob, &to_ann).await;
    here.write_all(b"arrived").await.unwrap();
    let opening = tokio::spawn({
        let to_bob = to_bob.clone();
        async move { to_bob.open("never accepted", "").await.map(drop) }
    });
    let _offer = offered(&to_ann).await;
    ann.close().await;
    assert_eq!(to_ann.closed().await, Reason::Left);
    assert_eq!(opening.await.unwrap(), Err(PeerError::Closed(Reason::Bye)));
    let mut bytes = [0; 7];
    there.read_exact(&mut bytes).await.unwrap();
    assert_eq!(&bytes, b"arrived");
    for error in [there.read(&mut bytes).await.unwrap_err(), here.write(b"x").await.unwrap_err()] {
        assert_eq!(error.kind(), io::ErrorKind::ConnectionAborted);
    }
}

#[tokio::test(start_paused = true)]
async fn streams_are_bounded_in_number() {
    let Pair { to_bob, to_ann, .. } = pair().await;
    let mut streams = Vec::new();
    for _ in 0..256 {
        streams.push(stream(&to_bob, &to_ann).await);
    }
    let many = to_bob.open("one more", "").await.unwrap_err();
    assert_eq!(many, PeerError::TooManyStreams(256));
    streams.pop();
    stream(&to_bob, &to_ann).await;
    silence(to_ann.next()).await;
}

#[tokio::test(start_paused = true)]
async fn a_stream_holds_the_link_and_the_connection() {
    let Pair { ann, to_bob, to_ann, .. } = pair().await;
    let (mut here, mut there) = stream(&to_bob, &to_ann).await;
    drop((ann, to_bob));
    here.write_all(b"still").await.unwrap();
    let mut bytes = [0; 5];
    there.read_exact(&mut bytes).await.unwrap();
    drop(here);
    assert!(there.read(&mut bytes).await.is_err());
    assert_eq!(end(&to_ann).await, Reason::Left);
}
