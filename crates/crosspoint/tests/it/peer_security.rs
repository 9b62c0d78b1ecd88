//! Encryption between peers, whatever the hub does.

use crate::common::{Pair, end, event, link, pair, raw, said};
use crosspoint::{
    ConnectError, HubOptions, Identity, Incoming, Node, NodeBuilder, Peer, PeerError, PeerEvent,
    Pin, Reason, RequestError, SecureError, Server, Shape,
};
use crosspoint_hub::command::{
    Addressee, Command, Event, LinkCommand, LinkEvent, LinkOptions, Target,
};
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{LinkNumber, PeerId};
use crosspoint_proto::server;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::Instant;

fn identity(number: u8) -> Identity {
    Identity::from_bytes(&[number; 32])
}

async fn at(hub: &Server, name: &str, builder: NodeBuilder) -> Node {
    let builder = builder.name(name).serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
    builder.connect(hub.inside(Shape::default())).await.unwrap()
}

async fn secured_pair() -> (Server, Node, Node) {
    let hub = Server::new(HubOptions::default());
    let ann = at(&hub, "Ann", Node::builder().identity(identity(1))).await;
    let bob = at(&hub, "Bob", Node::builder().identity(identity(2))).await;
    (hub, ann, bob)
}

/// Everything that a link can do.
async fn works(one: &Peer, other: &Peer) {
    one.send("message").await.unwrap();
    assert_eq!(said(other).await.data, "message");
    other.send(vec![7; 1 << 20]).await.unwrap();
    assert_eq!(said(one).await.data, vec![7; 1 << 20]);
    assert_eq!(one.call::<i32>("add", &(1, 2)).await, Ok(3));
    let accepting = async {
        let PeerEvent::Stream(offer) = event(other).await else { panic!("a stream") };
        let mut stream = offer.accept();
        let mut bytes = Vec::new();
        stream.read_to_end(&mut bytes).await.unwrap();
        bytes
    };
    let writing = async {
        let mut stream = one.open("file", "").await.unwrap();
        stream.write_all(&[5; 600_000]).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    assert_eq!(tokio::join!(writing, accepting).1, [5; 600_000]);
}

/// A hub that welcomes everybody and knows nothing of keys.
async fn careless_hub() -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((mut connection, _)) = listener.accept().await {
            let mut out = FrameWriter::default();
            let mut hub =
                server::Native::new(std::time::Instant::now(), server::Options::default());
            let welcome = Event::Welcome { peer: PeerId::new([7; 16]) };
            hub.deliver(std::time::Instant::now(), &welcome, &mut out);
            let bytes: Vec<u8> = out.take().pieces().flatten().copied().collect();
            connection.write_all(&bytes).await.unwrap();
            // It ends when the client does.
            let _ = connection.read_to_end(&mut Vec::new()).await;
        }
    });
    address
}

#[tokio::test]
async fn a_hub_that_asks_for_no_proof_is_trusted_only_if_that_was_accepted() {
    let hub = format!("tcp://{}", careless_hub().await);
    let builder = Node::builder().identity(identity(1));
    let refused = builder.clone().connect(hub.as_str()).await.unwrap_err();
    assert!(matches!(refused, ConnectError::Unproven { .. }), "{refused}");
    let ann = builder.accept_unproven().connect(hub.as_str()).await.unwrap();
    assert_eq!(ann.peer_id(), PeerId::new([7; 16]));
    ann.close().await;
    // Who has nothing to prove does not mind.
    let bob = Node::connect(hub.as_str()).await.unwrap();
    assert_eq!(bob.peer_id(), PeerId::new([7; 16]));
}

#[tokio::test(start_paused = true)]
async fn an_identity_is_the_peer_id_and_is_proven_to_the_hub() {
    let (hub, ann, _bob) = secured_pair().await;
    assert_eq!(ann.peer_id(), identity(1).peer_id());
    // Who only claims the id is refused.
    let thief = Node::builder().peer_id(ann.peer_id()).connect(hub.inside(Shape::default())).await;
    match thief {
        Err(ConnectError::Refused { reason: Reason::IdTaken, .. }) => {}
        other => panic!("{other:?}"),
    }
}

#[tokio::test(start_paused = true)]
async fn either_side_or_both_can_begin_and_all_goes_on_encrypted() {
    let (_hub, ann, bob) = secured_pair().await;
    let fingerprints = [1, 2].map(|number| identity(number).public_key().fingerprint());
    for (ann_begins, bob_begins) in [(true, false), (false, true), (true, true)] {
        let (to_bob, to_ann) = link(&ann, &bob).await;
        assert_eq!(to_bob.fingerprint(), None);
        to_bob.send("plain").await.unwrap();
        let begin = |begins, peer: &Peer| {
            let peer = peer.clone();
            async move { if begins { Some(peer.secure().await.unwrap()) } else { None } }
        };
        let (bobs, anns) = tokio::join!(begin(ann_begins, &to_bob), begin(bob_begins, &to_ann));
        assert!(bobs.is_none_or(|print| print == fingerprints[1]));
        assert!(anns.is_none_or(|print| print == fingerprints[0]));
        // A side that asks for encryption drops what it has not read by then.
        if !bob_begins {
            assert_eq!(said(&to_ann).await.data, "plain");
        }
        works(&to_bob, &to_ann).await;
        works(&to_ann, &to_bob).await;
        // Once more does nothing.
        assert_eq!(to_bob.secure().await, Ok(fingerprints[1]));
        assert_eq!(to_ann.secure().await, Ok(fingerprints[0]));
        assert_eq!(to_ann.fingerprint(), Some(fingerprints[0]));
    }
}

#[tokio::test(start_paused = true)]
async fn what_is_sent_during_the_handshake_waits_for_it() {
    let (_hub, ann, bob) = secured_pair().await;
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let (secured, sum) = tokio::join!(to_bob.secure(), to_bob.call::<i32>("add", &(20, 22)));
    assert_eq!((secured.is_ok(), sum), (true, Ok(42)));
    for number in 0..1000_u32 {
        to_bob.send(number.to_string()).await.unwrap();
    }
    for number in 0..1000_u32 {
        assert_eq!(said(&to_ann).await.data, number.to_string());
    }
}

#[tokio::test(start_paused = true)]
async fn a_pin_admits_one_key_alone() {
    let (_hub, ann, bob) = secured_pair().await;
    let key = identity(2).public_key();
    for right in [Pin::Key(key), Pin::Fingerprint(key.fingerprint())] {
        let (to_bob, _to_ann) = link(&ann, &bob).await;
        assert_eq!(to_bob.secure_with(right).await, Ok(key.fingerprint()));
        assert_eq!(to_bob.secure_with(right).await, Ok(key.fingerprint()));
    }
    let wrong = Pin::Key(identity(3).public_key());
    for already in [false, true] {
        let (to_bob, to_ann) = link(&ann, &bob).await;
        if already {
            to_bob.secure().await.unwrap();
        }
        let refused = to_bob.secure_with(wrong).await;
        assert_eq!(refused, Err(PeerError::Insecure(SecureError::WrongPin(key.fingerprint()))));
        assert_eq!(end(&to_ann).await, Reason::Malformed);
    }
}

#[tokio::test(start_paused = true)]
async fn without_an_identity_there_is_no_encryption() {
    let Pair { hub, ann, to_bob, .. } = pair().await;
    assert_eq!(to_bob.secure().await, Err(PeerError::NoIdentity));
    assert!(to_bob.is_open());
    let cid = at(&hub, "Cid", Node::builder().identity(identity(3))).await;
    let (to_ann, from_cid) = link(&cid, &ann).await;
    assert_eq!(to_ann.secure().await, Err(PeerError::Closed(Reason::Unsupported)));
    assert_eq!(from_cid.closed().await, Reason::Unsupported);
    // Neither with oneself.
    let own = cid.peer("Cid").await.unwrap();
    let same = own.secure().await;
    assert_eq!(same, Err(PeerError::Insecure(SecureError::SameIdentity(cid.peer_id()))));
}

/// A node that takes encrypted links alone.
async fn strict(hub: &Server) -> (Node, Incoming) {
    let builder = Node::builder().identity(identity(9)).require_encryption();
    let node = at(hub, "Strict", builder).await;
    let incoming = node.incoming();
    (node, incoming)
}

#[tokio::test(start_paused = true)]
async fn a_node_that_requires_encryption_takes_and_sends_nothing_plain() {
    let hub = Server::new(HubOptions::default());
    let (strict, mut incoming) = strict(&hub).await;
    let ann = at(&hub, "Ann", Node::builder().identity(identity(1))).await;

    // It is encrypted though Ann has not asked for it.
    let to_strict = ann.peer("Strict").await.unwrap();
    let from_ann = incoming.next().await.unwrap();
    assert!(from_ann.fingerprint() == Some(identity(1).public_key().fingerprint()));
    works(&to_strict, &from_ann).await;
    // Also the links that it opens itself.
    let mut to_ann = ann.incoming();
    let from_strict = strict.peer("Ann").await.unwrap();
    assert!(from_strict.fingerprint().is_some());
    works(&from_strict, &to_ann.next().await.unwrap()).await;

    // What comes plain before the handshake ends the link.
    let mut plain = raw(&hub, identity(5).peer_id()).await;
    let to = Addressee::Peer(strict.peer_id());
    let command =
        Command::Link(LinkCommand::Open { request: 0, to, options: LinkOptions::default() });
    plain.commands.send(command.into()).await.unwrap();
    let part = Part { kind: 0x10, ..Part::whole(&b"\x01too early"[..]) };
    let command = Command::Send { to: Target::Link(LinkNumber(0)), part };
    plain.commands.send(command.into()).await.unwrap();
    let ended = loop {
        if let Event::Link(LinkEvent::Closed { reason, .. }) = plain.events.recv().await.unwrap() {
            break reason;
        }
    };
    assert_eq!(ended, Reason::Malformed);
    // As it does for somebody without identity.
    let bob = at(&hub, "Bob", Node::builder()).await;
    let to_strict = bob.peer("Strict").await.unwrap();
    assert_eq!(to_strict.closed().await, Reason::Unsupported);
    let plain = strict.peer("Bob").await;
    assert_eq!(plain, Err(PeerError::Closed(Reason::Unsupported)));
    assert!(tokio::time::timeout(Duration::from_secs(20), incoming.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn handlers_of_a_strict_node_answer_nobody_before_the_handshake() {
    let hub = Server::new(HubOptions::default());
    let builder = Node::builder().identity(identity(9)).require_encryption();
    let _strict = at(&hub, "Strict", builder).await;
    let bob = at(&hub, "Bob", Node::builder()).await;
    let to_strict = bob.peer("Strict").await.unwrap();
    let answer = to_strict.call::<i32>("add", &(1, 2)).await;
    assert!(matches!(answer, Err(RequestError::PeerGone(_))), "{answer:?}");
    let ann = at(&hub, "Ann", Node::builder().identity(identity(1))).await;
    let to_strict = ann.peer("Strict").await.unwrap();
    to_strict.secure().await.unwrap();
    assert_eq!(to_strict.call::<i32>("add", &(1, 2)).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_leads_to_somebody_else_is_found_out() {
    // Mallory claims Bob's id at a hub where Bob is not.
    let hub = Server::new(HubOptions::default());
    let ann = at(&hub, "Ann", Node::builder().identity(identity(1))).await;
    let bob = identity(2).peer_id();
    let mallory = at(&hub, "Bob", Node::builder().peer_id(bob)).await;
    let (to_bob, _to_ann) = link(&ann, &mallory).await;
    assert_eq!(to_bob.id(), bob);
    assert_eq!(to_bob.secure().await, Err(PeerError::Closed(Reason::Unsupported)));
}

#[tokio::test(start_paused = true)]
async fn a_handshake_that_is_not_answered_ends_in_time() {
    let hub = Server::new(HubOptions::default());
    let ann = at(&hub, "Ann", Node::builder().identity(identity(1))).await;
    let mute = raw(&hub, identity(2).peer_id()).await;
    let to_mute = ann.peer(identity(2).peer_id()).await.unwrap();
    let start = Instant::now();
    assert_eq!(to_mute.secure().await, Err(PeerError::TimedOut));
    assert_eq!(start.elapsed(), Duration::from_secs(10));
    assert_eq!(to_mute.closed().await, Reason::HandshakeTimeout);
    drop(mute);
}
