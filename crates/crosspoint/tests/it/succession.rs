//! Owners who are away and come back, and channels that pass to a successor.

use crate::common::{ended, from_owner, heard, message, newcomer, told};
use crosspoint::remote::{CallError, TransportError};
use crosspoint::{
    Address, ChannelError, ChannelOptions, EnterOptions, HubOptions, Member, MemberEvent,
    MemberNumber, Node, Owner, OwnerEvent, Reason, Server, Shape,
};

#[crosspoint::remote]
trait Game {
    fn next_move(&mut self, last: i32) -> i32;
}

/// Says whose move it is.
struct Moves(i32);

impl Game for Moves {
    fn next_move(&mut self, last: i32) -> i32 {
        last + self.0
    }
}

fn hub() -> (Server, Address) {
    let hub = Server::new(HubOptions::default());
    let inside = hub.inside(Shape::default());
    (hub, inside)
}

/// A channel with an owner and two members, of which the second is told of too.
async fn game(hub: &Address, options: ChannelOptions, enter: EnterOptions) -> (Owner, [Member; 2]) {
    let ann = Node::connect(hub.clone()).await.unwrap();
    let mut owner = ann.create("game", options).await.unwrap();
    let mut members = Vec::new();
    for name in ["bob", "cid"] {
        let node = Node::builder().name(name).connect(hub.clone()).await.unwrap();
        members.push(node.enter("game", enter.clone()).await.unwrap());
        newcomer(&mut owner).await;
    }
    (owner, members.try_into().unwrap())
}

/// The successor has heard that it is the owner, and who is there.
async fn inherit(mut member: Member, others: &[u32]) -> Owner {
    assert_eq!(told(&mut member).await, MemberEvent::Inherited);
    assert_eq!(member.next().await, None);
    assert_eq!(member.send("too late").await, Err(ChannelError::Closed(Reason::Left)));
    let mut owner = member.into_owner().expect("it has inherited the channel");
    for other in others {
        assert_eq!(newcomer(&mut owner).await, MemberNumber(*other));
    }
    owner
}

#[tokio::test]
async fn an_owner_that_resigns_gives_its_channel_to_the_successor_and_numbers_stay() {
    let (hub, inside) = hub();
    let (owner, [bob, mut cid]) = game(&inside, ChannelOptions::new(), EnterOptions::new()).await;
    owner.set_successor(Some(MemberNumber(0))).await.unwrap();
    owner.resign().await.unwrap();

    let mut bob = inherit(bob, &[1]).await;
    match told(&mut cid).await {
        MemberEvent::OwnerChanged { peer } => assert_eq!(peer.name.as_deref(), Some("bob")),
        other => panic!("{other:?}"),
    }
    cid.send("who are you?").await.unwrap();
    assert_eq!(heard(&mut bob).await, message(1, "who are you?"));
    bob.broadcast("your host", None).await.unwrap();
    assert_eq!(told(&mut cid).await, from_owner("your host"));

    // The number of the former member is free again.
    let dee = Node::connect(inside).await.unwrap();
    let dee = dee.enter("game", EnterOptions::new()).await.unwrap();
    assert_eq!(dee.number(), Some(MemberNumber(0)));
    assert_eq!(newcomer(&mut bob).await, MemberNumber(0));
    bob.delete().await.unwrap();
    assert_eq!(told(&mut cid).await, ended(Reason::ClosedByOwner));
    hub.stop().await;
}

#[tokio::test]
async fn calls_go_to_the_new_owner_and_those_that_waited_for_the_former_one_fail() {
    let (hub, inside) = hub();
    let (options, enter) = (ChannelOptions::new().calls(), EnterOptions::new().calls());
    let (owner, [bob, mut cid]) = game(&inside, options, enter).await;
    owner.set_successor(Some(MemberNumber(0))).await.unwrap();
    cid.register(3, GameDispatch::new(Moves(5))).unwrap();

    // The owner does not read, so the call waits.
    let caller = GameCaller::new(cid.calls(), 0);
    let waiting = tokio::spawn(async move { caller.next_move(1).await });
    while cid.calls().in_flight() == 0 {
        tokio::task::yield_now().await;
    }
    owner.resign().await.unwrap();
    let mut bob = inherit(bob, &[1]).await;
    assert!(matches!(told(&mut cid).await, MemberEvent::OwnerChanged { .. }));
    let failed = waiting.await.unwrap();
    assert_eq!(failed, Err(CallError::Transport(TransportError::Closed)));

    // Each knows of the other's objects.
    bob.register(0, GameDispatch::new(Moves(10))).unwrap();
    let announced = MemberEvent::Announced { from: None, object: 0 };
    let cids_object = OwnerEvent::Announced { member: MemberNumber(1), object: 3 };
    assert_eq!(heard(&mut bob).await, cids_object);
    assert_eq!(told(&mut cid).await, announced);
    let caller = GameCaller::new(cid.calls(), 0);
    let (moved, _) = tokio::join!(caller.next_move(1), async {
        tokio::select! { _ = bob.next() => {}, () = async { while cid.calls().in_flight() > 0 {
            tokio::task::yield_now().await;
        }} => {} }
    });
    assert_eq!(moved, Ok(11));
    hub.stop().await;
}

#[tokio::test]
async fn a_closed_node_passes_its_channels_on_and_a_deleted_channel_ends() {
    let (hub, inside) = hub();
    let ann = Node::connect(inside.clone()).await.unwrap();
    let bob = Node::connect(inside.clone()).await.unwrap();
    let mut kept = ann.create("kept", ChannelOptions::new()).await.unwrap();
    let mut gone = ann.create("gone", ChannelOptions::new()).await.unwrap();
    let in_kept = bob.enter("kept", EnterOptions::new()).await.unwrap();
    let mut in_gone = bob.enter("gone", EnterOptions::new()).await.unwrap();
    for owner in [&mut kept, &mut gone] {
        let member = newcomer(owner).await;
        owner.set_successor(Some(member)).await.unwrap();
    }
    gone.delete().await.unwrap();
    assert_eq!(told(&mut in_gone).await, ended(Reason::ClosedByOwner));
    ann.close().await;
    inherit(in_kept, &[]).await;
    hub.stop().await;
}

#[tokio::test]
async fn an_owner_hears_who_cannot_be_its_successor() {
    let (hub, inside) = hub();
    let (owner, [bob, cid]) = game(&inside, ChannelOptions::new(), EnterOptions::new()).await;
    let nobody = owner.set_successor(Some(MemberNumber(7))).await;
    assert_eq!(nobody, Err(ChannelError::Refused(Reason::NoSuchPeer)));
    // The hub is not even asked, as the protocol has no form for this number.
    let nobody = owner.set_successor(Some(MemberNumber(u32::MAX))).await;
    assert_eq!(nobody, Err(ChannelError::Refused(Reason::Malformed)));
    owner.set_successor(Some(MemberNumber(1))).await.unwrap();
    owner.set_successor(None).await.unwrap();
    assert!(bob.into_owner().is_none(), "it has inherited nothing");
    owner.resign().await.unwrap();
    let mut cid = cid;
    assert_eq!(told(&mut cid).await, ended(Reason::ClosedByOwner));
    hub.stop().await;
}
