//! Links that nodes pass on from hub to hub.

use crate::common::{end, event, raw, said};
use crosspoint::testing::node;
use crosspoint::{
    HubOptions, Identity, Node, Payload, Peer, PeerError, PeerEvent, PeerInfo, Reason, Route,
    Server, Shape, Who,
};
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::time::timeout;

fn identity(number: u8) -> Identity {
    Identity::from_bytes(&[number; 32])
}

fn hub() -> Server {
    Server::new(HubOptions::default())
}

async fn at(hub: &Server, name: &str, number: u8) -> Node {
    let builder = Node::builder().name(name).identity(identity(number));
    let builder = builder.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) });
    builder.connect(hub.inside(Shape::default())).await.unwrap()
}

/// A node at two hubs, that passes on what is to go from the first to the second.
async fn bridge(from: &Server, to: &Server, name: &str, number: u8) -> (Node, Node) {
    let one = at(from, name, number).await;
    let other = one.join(to.inside(Shape::default())).await.unwrap();
    one.forward(&other, |_, _| true);
    (one, other)
}

/// So many hubs in a row with bridges between, Ann at the first and Bob at the last.
struct Row {
    hubs: Vec<Server>,
    bridges: Vec<(Node, Node)>,
    ann: Node,
    bob: Node,
}

async fn row(count: usize) -> Row {
    let hubs = (0..count).map(|_| hub()).collect::<Vec<_>>();
    let mut bridges = Vec::new();
    for (index, pair) in hubs.windows(2).enumerate() {
        let name = format!("bridge {index}");
        bridges.push(bridge(&pair[0], &pair[1], &name, 100 + index as u8).await);
    }
    let ann = at(&hubs[0], "Ann", 1).await;
    let bob = at(&hubs[count - 1], "Bob", 2).await;
    Row { hubs, bridges, ann, bob }
}

impl Row {
    fn hops(&self) -> Vec<Who> {
        (0..self.bridges.len()).map(|index| Who::from(format!("bridge {index}"))).collect()
    }

    async fn link(&self) -> (Peer, Peer) {
        let mut incoming = self.bob.incoming();
        let there = self.ann.peer_via(&self.hops(), self.bob.peer_id()).await.unwrap();
        (there, incoming.next().await.unwrap())
    }
}

async fn works(one: &Peer, other: &Peer) {
    one.send("message").await.unwrap();
    assert_eq!(said(other).await.data, "message");
    other.send(vec![7; 3 << 20]).await.unwrap();
    assert_eq!(said(one).await, Payload::bytes(vec![7; 3 << 20]));
    assert_eq!(one.call::<i32>("add", &(1, 2)).await, Ok(3));
    let accepting = async {
        let PeerEvent::Stream(offer) = event(other).await else { panic!("a stream") };
        let mut bytes = Vec::new();
        offer.accept().read_to_end(&mut bytes).await.unwrap();
        bytes.len()
    };
    let writing = async {
        let mut stream = one.open("file", "").await.unwrap();
        stream.write_all(&[5; 2_000_000]).await.unwrap();
        stream.shutdown().await.unwrap();
    };
    assert_eq!(tokio::join!(writing, accepting).1, 2_000_000);
}

#[tokio::test(start_paused = true)]
async fn a_link_over_one_to_three_nodes_does_all_that_a_plain_one_does() {
    for count in [2, 3, 4] {
        let row = row(count).await;
        let (to_bob, to_ann) = row.link().await;
        assert_eq!((to_bob.id(), to_ann.id()), (row.bob.peer_id(), row.ann.peer_id()));
        let mut passed = vec![row.ann.peer_id()];
        passed.extend(row.bridges.iter().map(|(one, _)| one.peer_id()));
        // The last to pass it on is the one whom Bob sees.
        assert_eq!(Some(to_ann.info().id), passed.pop());
        assert_eq!(to_ann.route(), &Route { via: Vec::new(), from: passed });
        works(&to_bob, &to_ann).await;
        works(&to_ann, &to_bob).await;
        to_ann.close().await;
        assert_eq!(end(&to_bob).await, Reason::Left);
    }
}

#[tokio::test(start_paused = true)]
async fn encryption_is_between_the_far_ends() {
    let row = row(3).await;
    let (to_bob, to_ann) = row.link().await;
    let secured = to_bob.secure().await;
    assert_eq!(secured, Ok(identity(2).public_key().fingerprint()));
    assert_eq!(to_ann.secure().await, Ok(identity(1).public_key().fingerprint()));
    works(&to_bob, &to_ann).await;
    works(&to_ann, &to_bob).await;

    // A node that leads to somebody else cannot pass for Bob.
    let mut incoming = row.bob.incoming();
    let target = identity(3).peer_id();
    let _eve = at(&row.hubs[2], "Eve", 4).await;
    let gone = row.ann.peer_via(&row.hops(), target).await.unwrap();
    assert!(matches!(gone.secure().await, Err(PeerError::Closed(Reason::NoSuchPeer))));
    assert!(timeout(Duration::from_secs(1), incoming.next()).await.is_err());
}

#[tokio::test(start_paused = true)]
async fn when_the_middle_goes_both_ends_hear_of_it() {
    let mut row = row(4).await;
    let (to_bob, to_ann) = row.link().await;
    let (one, other) = row.bridges.remove(1);
    tokio::join!(one.close(), other.close());
    assert_eq!(end(&to_bob).await, Reason::Left);
    assert_eq!(end(&to_ann).await, Reason::Left);

    let row = self::row(3).await;
    let (to_bob, to_ann) = row.link().await;
    row.hubs[1].stop().await;
    for peer in [&to_bob, &to_ann] {
        let reason = end(peer).await;
        assert!(matches!(reason, Reason::HubStopping | Reason::ConnectionLost), "{reason}");
    }
    assert!(
        !row.ann
            .peer_via(&row.hops(), row.bob.peer_id())
            .await
            .unwrap()
            .closed()
            .await
            .to_string()
            .is_empty()
    );
}

#[tokio::test(start_paused = true)]
async fn the_policy_sees_from_whom_and_where_to_and_decides() {
    let (one, other) = (hub(), hub());
    let left = at(&one, "bridge", 100).await;
    let right = left.join(other.inside(Shape::default())).await.unwrap();
    let asked = Arc::new(Mutex::new(Vec::new()));
    let log = asked.clone();
    left.forward(&right, move |from: &PeerInfo, route: &Route| {
        log.lock().unwrap().push((from.name.clone(), route.clone()));
        from.name.as_deref() == Some("Ann")
    });
    let (ann, eve) = (at(&one, "Ann", 1).await, at(&one, "Eve", 3).await);
    let bob = at(&other, "Bob", 2).await;
    let hops = [Who::from("bridge")];
    let target = bob.peer_id();
    let to_bob = ann.peer_via(&hops, target).await.unwrap();
    assert_eq!(to_bob.call::<i32>("add", &(1, 2)).await, Ok(3));
    let refused = eve.peer_via(&hops, target).await.unwrap();
    assert_eq!(refused.closed().await, Reason::Declined);
    // Nothing is passed on in the other direction.
    let refused = bob.peer_via(&hops, ann.peer_id()).await.unwrap();
    assert_eq!(refused.closed().await, Reason::Declined);
    let route = Route { via: vec![Who::Id(target)], from: Vec::new() };
    let expected = ["Ann", "Eve"].map(|name| (Some(name.into()), route.clone()));
    assert_eq!(*asked.lock().unwrap(), expected);
}

#[tokio::test(start_paused = true)]
async fn a_policy_that_panics_allows_nothing_and_harms_nothing() {
    let (one, other) = (hub(), hub());
    let left = at(&one, "bridge", 100).await;
    let right = left.join(other.inside(Shape::default())).await.unwrap();
    left.forward(&right, |from: &PeerInfo, _: &Route| from.name.as_deref().unwrap() == "Ann");
    let ann = at(&one, "Ann", 1).await;
    let nameless = Node::connect(one.inside(Shape::default())).await.unwrap();
    let bob = at(&other, "Bob", 2).await;
    let hops = [Who::from("bridge")];
    let refused = nameless.peer_via(&hops, bob.peer_id()).await.unwrap();
    assert_eq!(refused.closed().await, Reason::Declined);
    let to_bob = ann.peer_via(&hops, bob.peer_id()).await.unwrap();
    assert_eq!(to_bob.call::<i32>("add", &(1, 2)).await, Ok(3));
}

#[tokio::test(start_paused = true)]
async fn a_way_has_at_most_eight_nodes_and_no_circles() {
    let row = row(2).await;
    let hops = vec![Who::from("bridge 0"); 9];
    let far = row.ann.peer_via(&hops, row.bob.peer_id()).await;
    assert_eq!(far, Err(PeerError::TooFar(9)));
    let (one, other) = &row.bridges[0];
    other.forward(one, |_, _| true);
    let circle = ["bridge 0", "bridge 0", "bridge 0"].map(Who::from);
    let circle = row.ann.peer_via(&circle, row.bob.peer_id()).await.unwrap();
    assert_eq!(circle.closed().await, Reason::Declined);
    let nobody = [Who::from("nobody")];
    let nobody = row.ann.peer_via(&nobody, row.bob.peer_id()).await;
    assert_eq!(nobody, Err(PeerError::Refused(Reason::NoSuchPeer)));
    // Without hops it is a plain link.
    let bridge = row.ann.peer_via(&[], one.peer_id()).await.unwrap();
    assert_eq!(bridge.id(), bridge.info().id);
}

#[tokio::test(start_paused = true)]
async fn a_slow_way_slows_the_sender_and_nothing_is_lost() {
    let (one, other) = (hub(), hub());
    let left = at(&one, "bridge", 100).await;
    let slow = Shape { bytes_per_second: std::num::NonZero::new(1_000_000), ..Shape::default() };
    let right = left.join(other.inside(slow)).await.unwrap();
    left.forward(&right, |_, _| true);
    let ann = at(&one, "Ann", 1).await;
    let bob = node(&other, "Bob", Shape::default()).await;
    let mut incoming = bob.incoming();
    let to_bob = ann.peer_via(&[Who::from("bridge")], bob.peer_id()).await.unwrap();
    let to_ann = incoming.next().await.unwrap();
    let sending = async {
        let start = tokio::time::Instant::now();
        for number in 0..400_u32 {
            let mut bytes = vec![0; 100_000];
            bytes[..4].copy_from_slice(&number.to_be_bytes());
            to_bob.send(bytes).await.unwrap();
        }
        start.elapsed()
    };
    let reading = async {
        for number in 0..400_u32 {
            assert_eq!(said(&to_ann).await.data[..4], number.to_be_bytes());
        }
    };
    let (took, ()) = tokio::join!(sending, reading);
    // Of the 40 MB, only what fits into the queues on the way has not to be waited for.
    assert!(took > Duration::from_secs(10), "{took:?}");
}

#[tokio::test(start_paused = true)]
async fn a_far_end_that_takes_nothing_ends_its_link_and_nothing_else() {
    let (one, other) = (hub(), hub());
    let (_left, _right) = bridge(&one, &other, "bridge", 100).await;
    let ann = at(&one, "Ann", 1).await;
    // It reads nothing at all.
    let _bob = raw(&other, identity(2).peer_id()).await;
    let hops = [Who::from("bridge")];
    let to_bob = ann.peer_via(&hops, identity(2).peer_id()).await.unwrap();
    let plain = ann.peer("bridge").await.unwrap();
    while to_bob.send(vec![0; 100_000]).await.is_ok() {}
    assert_eq!(to_bob.closed().await, Reason::SlowReceiver);
    assert_eq!(plain.call::<i32>("add", &(1, 2)).await, Ok(3));
}
