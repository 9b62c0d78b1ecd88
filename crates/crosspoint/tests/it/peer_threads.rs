//! Everything at once, on several threads and over TCP: nothing is lost, mixed up or stuck.

use crosspoint::{
    Failure, HubOptions, Identity, Node, Peer, PeerEvent, RequestError, Server, Stream,
};
use std::future::IntoFuture;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::task::JoinSet;

const PEERS: u8 = 4;
const LINKS: usize = 6;

async fn echo(stream: Stream) {
    let (mut reader, mut writer) = tokio::io::split(stream);
    // Some are dropped in the middle.
    if tokio::io::copy(&mut reader, &mut writer).await.is_ok() {
        writer.shutdown().await.unwrap();
    }
}

/// Answers whatever comes over a link, until it ends.
async fn answer(peer: Peer, messages: Arc<AtomicUsize>) {
    while let Some(event) = peer.next().await {
        match event {
            PeerEvent::Message(_) => {
                messages.fetch_add(1, Ordering::Relaxed);
            }
            PeerEvent::Request(request, responder) => {
                responder.send(Ok(request.into_payload())).await.unwrap();
            }
            PeerEvent::Stream(offer) => drop(tokio::spawn(echo(offer.accept()))),
            other => panic!("{other:?}"),
        }
    }
}

async fn node(address: &str, number: u8, messages: &Arc<AtomicUsize>) -> Node {
    let builder = Node::builder().name(format!("peer {number}"));
    let builder = builder.identity(Identity::from_bytes(&[number; 32]));
    let node = builder
        .serve("add", |(a, b): (u64, u64)| async move { Ok(a + b) })
        .serve("fail", |(): ()| async { Err::<(), _>(Failure::new(1000, "as asked")) })
        .connect(address)
        .await
        .unwrap();
    let (mut incoming, messages) = (node.incoming(), messages.clone());
    tokio::spawn(async move {
        while let Some(peer) = incoming.next().await {
            tokio::spawn(answer(peer, messages.clone()));
        }
    });
    node
}

async fn use_link(from: Node, to: u8, round: usize) {
    let peer = from.peer(format!("peer {to}")).await.unwrap();
    if round.is_multiple_of(2) {
        peer.secure().await.unwrap();
    }
    let mut all = JoinSet::new();
    for number in 0..50_u64 {
        let call = peer.call::<u64>("add", &(number, 1000)).into_future();
        all.spawn(async move { assert_eq!(call.await, Ok(number + 1000)) });
        let echoed = peer.request(number.to_string()).into_future();
        all.spawn(async move { assert_eq!(echoed.await.unwrap().data, number.to_string()) });
        let cancelled = peer.request("given up").into_future();
        all.spawn(async move {
            let _ = tokio::time::timeout(Duration::from_micros(300), cancelled).await;
        });
        let failed = peer.call::<()>("fail", &()).into_future();
        all.spawn(async move { assert!(matches!(failed.await, Err(RequestError::Failed(_)))) });
    }
    for number in 0..5_u8 {
        let peer = peer.clone();
        all.spawn(async move {
            let stream = peer.open("echo", "").await.unwrap();
            let (mut reader, mut writer) = tokio::io::split(stream);
            let bytes = vec![number; 400_000];
            let writing = async {
                writer.write_all(&bytes).await.unwrap();
                writer.shutdown().await.unwrap();
            };
            let mut echoed = Vec::new();
            let (_, read) = tokio::join!(writing, reader.read_to_end(&mut echoed));
            read.unwrap();
            assert!(echoed == bytes);
            // One that is dropped in the middle.
            let mut dropped = peer.open("echo", "").await.unwrap();
            dropped.write_all(&bytes).await.unwrap();
        });
    }
    for _ in 0..100 {
        peer.send(vec![1; 3000]).await.unwrap();
    }
    while let Some(done) = all.join_next().await {
        done.unwrap();
    }
    peer.close().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 4)]
async fn many_links_do_everything_at_once() {
    let hub = Server::new(HubOptions::default());
    let address = format!("tcp://{}", hub.listen("127.0.0.1:0".parse().unwrap()).unwrap());
    let messages = Arc::new(AtomicUsize::new(0));
    let mut nodes = Vec::new();
    for number in 0..PEERS {
        nodes.push(node(&address, number, &messages).await);
    }
    let mut all = JoinSet::new();
    for (from, node) in (0..).zip(&nodes) {
        for round in 0..LINKS {
            let to = (from + 1 + (round as u8) % (PEERS - 1)) % PEERS;
            all.spawn(use_link(node.clone(), to, round));
        }
    }
    let done = async {
        while let Some(done) = all.join_next().await {
            done.unwrap();
        }
        let sent = usize::from(PEERS) * LINKS * 100;
        while messages.load(Ordering::Relaxed) < sent {
            tokio::task::yield_now().await;
        }
        // All links are gone, at all nodes and at the hub.
        while hub.hub().metrics.links.get() > 0 {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(60), done).await.unwrap();
    hub.stop().await;
}

#[test]
fn a_runtime_that_stops_in_the_middle_of_everything_stops() {
    for _ in 0..20 {
        let runtime = tokio::runtime::Builder::new_multi_thread();
        let runtime = { runtime }.worker_threads(4).enable_all().build().unwrap();
        runtime.block_on(async {
            let hub = Server::new(HubOptions::default());
            let address = format!("tcp://{}", hub.listen("127.0.0.1:0".parse().unwrap()).unwrap());
            let messages = Arc::new(AtomicUsize::new(0));
            let one = node(&address, 0, &messages).await;
            let other = node(&address, 1, &messages).await;
            for round in 0..4 {
                tokio::spawn(use_link(one.clone(), 1, round));
                tokio::spawn(use_link(other.clone(), 0, round));
            }
            while messages.load(Ordering::Relaxed) < 10 {
                tokio::task::yield_now().await;
            }
        });
    }
}
