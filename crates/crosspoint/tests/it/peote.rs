//! Nodes that speak the joint protocol of peote, as towards a peote-server.

use crate::common;
use crate::common::{
    channel, ended, from_owner, heard, left, message, newcomer, refused, silence, told,
};
use crosspoint::remote::{CallError, Origin};
use crosspoint::testing::{node, two_nodes};
use crosspoint::{
    Ban, ChannelError, ChannelOptions, EnterOptions, Member, MemberEvent, MemberNumber, Mode, Node,
    Owner, OwnerEvent, PeerId, Protocol, Reason, Server, Shape,
};
use std::sync::{Arc, Mutex};

const A: MemberNumber = MemberNumber(0);
const B: MemberNumber = MemberNumber(1);

async fn joint(hub: &Server) -> Node {
    let node = Node::connect(hub.inside(Shape::default()).peote()).await;
    node.unwrap()
}

/// Makes room for another channel of the same name.
async fn deleted(owner: Owner, mut member: Member) {
    owner.delete().await.unwrap();
    assert_eq!(told(&mut member).await, ended(Reason::ClosedByOwner));
}

#[tokio::test(start_paused = true)]
async fn both_protocols_are_members_of_one_channel() {
    let (hub, ann, bob) = two_nodes().await;
    let (joint_owner, joint_member) = (joint(&hub).await, joint(&hub).await);
    assert_eq!(joint_owner.protocol(), Protocol::Peote);
    for ann in [&ann, &joint_owner] {
        let (mut owner, mut native) =
            channel(ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
        let mut peote = joint_member.enter("channel", EnterOptions::new()).await.unwrap();
        assert_eq!(newcomer(&mut owner).await, B);
        assert_eq!((native.number(), peote.number()), (Some(A), None));
        let long = "x".repeat(20_000);
        owner.broadcast(long.clone(), None).await.unwrap();
        owner.broadcast("not A", Some(A)).await.unwrap();
        owner.broadcast("not B", Some(B)).await.unwrap();
        owner.send(A, "A").await.unwrap();
        owner.send(B, "B").await.unwrap();
        for data in [&*long, "not B", "A"] {
            assert_eq!(told(&mut native).await, from_owner(data));
        }
        for data in [&*long, "not A", "B"] {
            assert_eq!(told(&mut peote).await, from_owner(data));
        }
        native.send(long.clone()).await.unwrap();
        assert_eq!(heard(&mut owner).await, message(0, &long));
        peote.send(long.clone()).await.unwrap();
        assert_eq!(heard(&mut owner).await, message(1, &long));

        native.leave().await.unwrap();
        assert_eq!(heard(&mut owner).await, left(0, Reason::Left));
        owner.delete().await.unwrap();
        assert_eq!(told(&mut peote).await, ended(Reason::ClosedByOwner));
    }
}

#[tokio::test(start_paused = true)]
async fn the_size_of_chunks_is_what_both_sides_say() {
    let (hub, ann, _) = two_nodes().await;
    let peote = joint(&hub).await;
    let large = "large ".repeat(50_000);
    let bytes_max = 4 << 20;
    for (one, other) in [(&ann, &peote), (&peote, &ann)] {
        let create = ChannelOptions::new().chunk_max(bytes_max);
        let enter = EnterOptions::new().chunk_max(bytes_max);
        let (mut owner, mut member) = channel(one, other, create, enter).await;
        assert_eq!(member.mode(), Mode::Chunk { bytes_max });
        owner.send(A, large.clone()).await.unwrap();
        assert_eq!(told(&mut member).await, from_owner(&large));
        member.send(large.clone()).await.unwrap();
        assert_eq!(heard(&mut owner).await, message(0, &large));
        deleted(owner, member).await;
    }
}

#[tokio::test(start_paused = true)]
async fn raw_bytes_go_through_as_they_are() {
    let (hub, ann, _) = two_nodes().await;
    let peote = joint(&hub).await;
    for (one, other) in [(&ann, &peote), (&peote, &ann)] {
        let (create, enter) = (ChannelOptions::new().raw(), EnterOptions::new().raw());
        let (mut owner, mut member) = channel(one, other, create, enter).await;
        owner.send(A, "down").await.unwrap();
        assert_eq!(told(&mut member).await, from_owner("down"));
        member.send("up").await.unwrap();
        assert_eq!(heard(&mut owner).await, message(0, "up"));
        deleted(owner, member).await;
    }
}

#[tokio::test(start_paused = true)]
async fn refusals_and_ends_have_the_reasons_that_the_protocol_knows() {
    let (hub, ann, _) = two_nodes().await;
    let (owning, peote) = (joint(&hub).await, joint(&hub).await);
    let enter = || peote.enter("channel", EnterOptions::new());
    assert_eq!(refused(enter().await), Reason::NoSuchName);
    let mut owner = owning.create("channel", ChannelOptions::new()).await.unwrap();
    let taken = peote.create("channel", ChannelOptions::new()).await;
    assert_eq!(refused(taken), Reason::NameTaken);
    let own = owning.enter("channel", EnterOptions::new()).await;
    assert_eq!(refused(own), Reason::OwnChannel);
    let member = enter().await.unwrap();
    assert_eq!(refused(enter().await), Reason::AlreadyEntered);
    match heard(&mut owner).await {
        OwnerEvent::Entered { member: A, peer } => {
            assert_eq!((peer.id, peer.protocol), (PeerId::new([0; 16]), "peote"));
        }
        other => panic!("{other:?}"),
    }
    drop(member);
    assert_eq!(heard(&mut owner).await, left(0, Reason::Left));
    let mut member = enter().await.unwrap();
    newcomer(&mut owner).await;
    owning.close().await;
    assert_eq!(told(&mut member).await, ended(Reason::OwnerLost));

    // What only the native owner can do still reaches a peote member.
    let owner = ann.create("channel", ChannelOptions::new()).await.unwrap();
    let mut member = enter().await.unwrap();
    owner.kick(A).await.unwrap();
    assert_eq!(told(&mut member).await, ended(Reason::Kicked));
}

#[tokio::test(start_paused = true)]
async fn what_the_protocol_lacks_is_refused_here() {
    let hub = two_nodes().await.0;
    let peote = joint(&hub).await;
    let unsupported = |result: Result<(), ChannelError>| {
        assert!(matches!(result, Err(ChannelError::Unsupported(_))), "{result:?}");
    };
    for options in [
        ChannelOptions::new().password("p"),
        ChannelOptions::new().members_max(3),
        ChannelOptions::new().approve(),
        ChannelOptions::new().admit_if(|_| true),
    ] {
        unsupported(peote.create("x", options).await.map(drop));
    }
    for options in [
        EnterOptions::new().password("p"),
        EnterOptions::new().credentials("c"),
        EnterOptions::new().room(),
        EnterOptions::new().presence(),
    ] {
        unsupported(peote.enter("x", options).await.map(drop));
    }
    let owner = peote.create("x", ChannelOptions::new()).await.unwrap();
    let ban = Ban { time: None, address: false };
    unsupported(owner.kick(A).await);
    unsupported(owner.ban(A, ban).await);
    unsupported(owner.unban(peote.peer_id()).await);
}

#[tokio::test(start_paused = true)]
async fn a_room_is_a_channel_to_a_peote_member() {
    let (hub, ann, _) = two_nodes().await;
    let peote = joint(&hub).await;
    let options = EnterOptions::new().room().presence();
    let mut native = ann.enter("room", options).await.unwrap();
    let mut member = peote.enter("room", EnterOptions::new()).await.unwrap();
    match told(&mut native).await {
        MemberEvent::OtherEntered { member, peer } => {
            assert_eq!((member, peer.protocol), (B, "peote"));
        }
        other => panic!("{other:?}"),
    }
    native.send("hi").await.unwrap();
    assert_eq!(told(&mut member).await, from_owner("hi"));
    member.send("ho").await.unwrap();
    assert_eq!(told(&mut native).await, common::from_other(1, "ho"));
}

#[tokio::test]
async fn a_peote_node_connects_over_tcp_and_websocket() {
    let hub = Server::new(crosspoint::HubOptions::default());
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let ann = Node::connect(format!("peote://{address}")).await.unwrap();
    let bob = Node::connect(format!("peote+ws://{address}")).await.unwrap();
    let (mut owner, mut member) =
        channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    member.send("up").await.unwrap();
    assert_eq!(heard(&mut owner).await, message(0, "up"));
    owner.broadcast("down", None).await.unwrap();
    assert_eq!(told(&mut member).await, from_owner("down"));
    hub.stop().await;
    assert_eq!(told(&mut member).await, ended(Reason::OwnerLost));
    assert_eq!(bob.closed().await, Reason::ConnectionLost);
}

/// What either end offers.
#[crosspoint::remote]
trait Board {
    fn put(&mut self, #[remote(caller)] from: Origin, x: u8, text: String);
    fn count(&mut self) -> i32;
}

#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<String>>>);

impl Board for Log {
    fn put(&mut self, from: Origin, x: u8, text: String) {
        self.0.lock().unwrap().push(format!("{from}: {x} {text}"));
    }
    fn count(&mut self) -> i32 {
        0
    }
}

#[tokio::test(start_paused = true)]
async fn calls_without_results_go_both_ways_between_the_protocols() {
    let (hub, ann, _) = two_nodes().await;
    let peote = joint(&hub).await;
    for (one, other) in [(&ann, &peote), (&peote, &ann), (&peote, &joint(&hub).await)] {
        let (create, enter) = (ChannelOptions::new().calls(), EnterOptions::new().calls());
        let mut owner = one.create("channel", create).await.unwrap();
        let (above, below) = (Log::default(), Log::default());
        owner.register(3, BoardDispatch::new(above.clone())).unwrap();
        let mut member = other.enter("channel", enter).await.unwrap();
        member.register(9, BoardDispatch::new(below.clone())).unwrap();
        newcomer(&mut owner).await;
        let announced = OwnerEvent::Announced { member: A, object: 9 };
        assert_eq!(heard(&mut owner).await, announced);
        let announced = MemberEvent::Announced { from: None, object: 3 };
        assert_eq!(told(&mut member).await, announced);

        let calls = BoardCaller::new(&owner.calls(A), 9);
        calls.put(1, "down".into()).unwrap();
        let all = BoardCaller::new(&owner.calls_to_all(None), 9);
        all.put(2, "all".into()).unwrap();
        let back = BoardCaller::new(member.calls(), 3);
        back.put(3, "up".into()).unwrap();
        silence(member.next()).await;
        silence(owner.next()).await;
        assert_eq!(*below.0.lock().unwrap(), ["owner: 1 down", "owner: 2 all"]);
        assert_eq!(*above.0.lock().unwrap(), ["member 0: 3 up"]);
        // Such a program cannot answer, and it is known without asking.
        assert_eq!(calls.count().await, Err(CallError::NoReplies));
        assert_eq!(back.count().await, Err(CallError::NoReplies));
        deleted(owner, member).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_peote_program_that_is_not_well_behaved_is_named() {
    let (hub, ann, bob) = two_nodes().await;
    let cid = node(&hub, "Cid", Shape::default()).await;
    let peote = joint(&hub).await;
    let mut owner = ann.create("channel", ChannelOptions::new().calls()).await.unwrap();
    owner.register(0, BoardDispatch::new(Log::default())).unwrap();
    for node in [&bob, &cid, &peote] {
        let member = node.enter("channel", EnterOptions::new()).await.unwrap();
        let number = newcomer(&mut owner).await;
        member.send(&b"\0\0\x01\x09Ann"[..]).await.unwrap();
        match heard(&mut owner).await {
            OwnerEvent::Malicious { member, error } => {
                assert_eq!(member, number);
                assert!(error.to_string().contains("procedure 0 of object 0"), "{error}");
            }
            other => panic!("{other:?}"),
        }
        drop(member);
        assert_eq!(heard(&mut owner).await, left(number.0, Reason::Left));
    }
}
