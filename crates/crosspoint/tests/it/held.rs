//! What a node holds of what others have sent is bounded in all and for each of them.

use crate::common::{ended, heard, left, link, newcomer, raw, said, told};
use crosspoint::{
    Bytes, ChannelOptions, EnterOptions, HubOptions, Identity, Node, NodeBuilder, OwnerEvent,
    Payload, PeerEvent, PeerId, Reason, Server, Shape,
};
use crosspoint_hub::command::{
    self, Addressee, ChannelCommand, Command, Event, LinkCommand, LinkEvent, LinkOptions, Target,
};
use crosspoint_hub::wire::Part;
use crosspoint_hub::{ChannelName, JoinedChannelId, LinkNumber};
use crosspoint_net::client::Connection;
use std::collections::HashMap;
use std::time::Duration;
use tokio::io::AsyncWriteExt;

const MESSAGE: u8 = 0x10;

const KIB: usize = 1024;

async fn at(hub: &Server, name: &str, builder: NodeBuilder) -> Node {
    builder.name(name).connect(hub.inside(Shape::default())).await.unwrap()
}

/// A session that says over its links what it likes.
struct Mallory(Connection);

impl Mallory {
    async fn at(hub: &Server) -> Self {
        Self(raw(hub, PeerId::new([13; 16])).await)
    }

    async fn say(&self, command: impl Into<Command>) {
        let command = command.into();
        self.0.commands.send(command.into()).await.unwrap();
    }

    async fn link(&self, number: u32, to: &Node) {
        let (to, options) = (Addressee::Peer(to.peer_id()), LinkOptions::default());
        self.say(LinkCommand::Open { request: number, to, options }).await;
    }

    /// A part of a message that is never whole.
    async fn begin(&self, link: u32, offset: u32, bytes: usize) {
        let data = Bytes::from(vec![7; bytes]);
        let part = Part { kind: MESSAGE, total: 8 << 20, offset, data };
        self.say(Command::Send { to: Target::Link(LinkNumber(link)), part }).await;
    }

    /// The links that have ended within a while, and why.
    async fn ended(&mut self) -> HashMap<u32, Reason> {
        let mut ended = HashMap::new();
        let while_ = Duration::from_secs(1);
        while let Ok(Some(event)) = tokio::time::timeout(while_, self.0.events.recv()).await {
            if let Event::Link(LinkEvent::Closed { link, reason }) = event {
                ended.insert(link.0, reason);
            }
        }
        ended
    }
}

#[tokio::test(start_paused = true)]
async fn a_stranger_that_begins_messages_over_many_links_has_its_share_and_no_more() {
    let hub = Server::new(HubOptions::default());
    let bob = at(&hub, "Bob", Node::builder().held_bytes(1024 * KIB)).await;
    let ann = at(&hub, "Ann", Node::builder()).await;
    let (to_bob, to_ann) = link(&ann, &bob).await;
    let mut mallory = Mallory::at(&hub).await;
    for number in 0..40 {
        mallory.link(number, &bob).await;
        mallory.begin(number, 0, 30 * KIB).await;
    }
    let ended = mallory.ended().await;
    // Half of the budget is 16 times 32 KiB.
    assert_eq!(ended.len(), 24, "{ended:?}");
    assert!(ended.values().all(|reason| *reason == Reason::Exhausted), "{ended:?}");
    // Who comes later has half of the rest.
    to_bob.send(vec![1; 200 * KIB]).await.unwrap();
    assert_eq!(said(&to_ann).await.data.len(), 200 * KIB);
    // One link that goes on to begin has no more than many.
    let open = (0..40).find(|number| !ended.contains_key(number)).unwrap();
    mallory.begin(open, 30 * KIB as u32, 30 * KIB).await;
    assert_eq!(mallory.ended().await, HashMap::from([(open, Reason::Exhausted)]));
    // What its links held is free with them.
    drop(mallory);
    tokio::time::sleep(Duration::from_secs(1)).await;
    to_bob.send(vec![1; 500 * KIB]).await.unwrap();
    assert_eq!(said(&to_ann).await.data.len(), 500 * KIB);
}

#[tokio::test(start_paused = true)]
async fn a_total_that_is_only_announced_takes_nothing() {
    let hub = Server::new(HubOptions::default());
    let bob = at(&hub, "Bob", Node::builder().held_bytes(64 * KIB)).await;
    let mut mallory = Mallory::at(&hub).await;
    for number in 0..100 {
        mallory.link(number, &bob).await;
        mallory.begin(number, 0, KIB).await;
    }
    assert_eq!(mallory.ended().await, HashMap::new());
}

#[tokio::test(start_paused = true)]
async fn where_encryption_is_required_nothing_plain_is_gathered() {
    let hub = Server::new(HubOptions::default());
    let identity = Identity::from_bytes(&[9; 32]);
    let strict = Node::builder().identity(identity).require_encryption();
    let strict = at(&hub, "Strict", strict).await;
    let mut mallory = Mallory::at(&hub).await;
    mallory.link(0, &strict).await;
    mallory.begin(0, 0, KIB).await;
    assert_eq!(mallory.ended().await, HashMap::from([(0, Reason::Malformed)]));
}

#[tokio::test(start_paused = true)]
async fn links_that_nobody_takes_are_bounded_for_each_who_opens_them() {
    let hub = Server::new(HubOptions::default());
    let builder = Node::builder().incoming_max(20);
    let bob = at(&hub, "Bob", builder.serve("add", |(a, b): (i32, i32)| async move { Ok(a + b) }));
    let bob = bob.await;
    let mut mallory = Mallory::at(&hub).await;
    for number in 0..50 {
        mallory.link(number, &bob).await;
    }
    let ended = mallory.ended().await;
    assert_eq!(ended.len(), 40);
    assert!(ended.values().all(|reason| *reason == Reason::TooManyLinks), "{ended:?}");
    let ann = at(&hub, "Ann", Node::builder()).await;
    assert_eq!(ann.peer("Bob").await.unwrap().call::<i32>("add", &(1, 2)).await, Ok(3));
    // A place is free again when its link has ended.
    let open = (0..50).find(|number| !ended.contains_key(number)).unwrap();
    let (link, reason) = (LinkNumber(open), Reason::Left);
    mallory.say(LinkCommand::Close { link, reason }).await;
    mallory.ended().await;
    mallory.link(50, &bob).await;
    mallory.link(51, &bob).await;
    assert_eq!(mallory.ended().await, HashMap::from([(51, Reason::TooManyLinks)]));
}

#[tokio::test(start_paused = true)]
async fn what_is_not_read_counts_until_it_is() {
    let hub = Server::new(HubOptions::default());
    let bob = at(&hub, "Bob", Node::builder().held_bytes(400 * KIB)).await;
    let ann = at(&hub, "Ann", Node::builder()).await;
    let (to_bob, to_ann) = link(&ann, &bob).await;
    for _ in 0..3 {
        to_bob.send(vec![1; 60 * KIB]).await.unwrap();
    }
    to_bob.send(vec![1; 30 * KIB]).await.unwrap();
    assert_eq!(to_bob.closed().await, Reason::Exhausted);
    // What has arrived before is there.
    for _ in 0..3 {
        assert_eq!(said(&to_ann).await, Payload::bytes(vec![1; 60 * KIB]));
    }
    while to_ann.next().await.is_some() {}
    let (to_bob, to_ann) = link(&ann, &bob).await;
    for _ in 0..20 {
        to_bob.send(vec![1; 60 * KIB]).await.unwrap();
        said(&to_ann).await;
    }
    // Streams count as well.
    let accepting = async {
        match to_ann.next().await {
            Some(PeerEvent::Stream(offer)) => offer.accept(),
            other => panic!("{other:?}"),
        }
    };
    let (opened, unread) = tokio::join!(to_bob.open("x", ""), accepting);
    let mut stream = opened.unwrap();
    while stream.write_all(&[1; 10 * KIB]).await.is_ok() {}
    assert_eq!(to_bob.closed().await, Reason::Exhausted);
    drop(unread);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_begins_too_much_is_kicked_and_nobody_else_is() {
    let hub = Server::new(HubOptions::default());
    let bob = at(&hub, "Bob", Node::builder().held_bytes(256 * KIB)).await;
    let options = ChannelOptions::new().chunk_max(1 << 20);
    let mut owner = bob.create("channel", options).await.unwrap();
    let ann = at(&hub, "Ann", Node::builder()).await;
    let member = ann.enter("channel", EnterOptions::new()).await.unwrap();
    let mut mallory = Mallory::at(&hub).await;
    let (name, options) = (ChannelName::new("channel").unwrap(), command::EnterOptions::default());
    mallory.say(ChannelCommand::Enter { request: 0, name, options }).await;
    assert_eq!([newcomer(&mut owner).await, newcomer(&mut owner).await].map(|n| n.0), [0, 1]);
    for number in 0..3 {
        let data = Bytes::from(vec![7; 50 * KIB]);
        let part = Part { kind: Part::DATA, total: 1 << 20, offset: number * 50 * 1024, data };
        mallory.say(Command::Send { to: Target::Up(JoinedChannelId(0)), part }).await;
    }
    assert_eq!(heard(&mut owner).await, left(1, Reason::Kicked));
    member.send(vec![1; 100 * KIB]).await.unwrap();
    assert!(matches!(heard(&mut owner).await, OwnerEvent::Message { .. }));
    drop(mallory.ended().await);

    // An owner that begins too much loses the member, which hears why.
    let careful = at(&hub, "Cid", Node::builder().held_bytes(256 * KIB)).await;
    let mut member = careful.enter("channel", EnterOptions::new()).await.unwrap();
    let other = newcomer(&mut owner).await;
    owner.send(other, vec![1; 200 * KIB]).await.unwrap();
    assert_eq!(told(&mut member).await, ended(Reason::Exhausted));
    assert_eq!(heard(&mut owner).await, left(other.0, Reason::Left));
}
