//! Channels and rooms: who hears what, and why something ends or is refused.

use crate::common::{
    Cable, ENDS_OF_A_HUB, channel, ended, from_other, from_owner, heard, left, link, message,
    newcomer, refused, said, silence, told,
};
use crosspoint::testing::{node, two_nodes};
use crosspoint::{
    Ban, Bytes, ChannelError, ChannelName, ChannelOptions, EnterOptions, HubOptions, Limits,
    Member, MemberEvent, MemberNumber, Mode, Node, OwnerEvent, Reason, RoomOptions, Server, Shape,
};
use std::time::Duration;

const A: MemberNumber = MemberNumber(0);
const B: MemberNumber = MemberNumber(1);

async fn third(hub: &Server) -> Node {
    node(hub, "Cid", Shape::default()).await
}

async fn enter(node: &Node) -> Result<Member, ChannelError> {
    node.enter("channel", EnterOptions::new()).await
}

#[tokio::test(start_paused = true)]
async fn owner_and_members_talk_and_one_can_be_left_out() {
    let (hub, ann, bob) = two_nodes().await;
    let cid = third(&hub).await;
    let (mut owner, mut b) = channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let mut c = enter(&cid).await.unwrap();
    match heard(&mut owner).await {
        OwnerEvent::Entered { member, peer } => {
            assert_eq!((member, peer.id), (B, cid.peer_id()));
            assert_eq!((peer.name.as_deref(), peer.protocol), (Some("Cid"), "native"));
        }
        other => panic!("{other:?}"),
    }
    assert_eq!((b.number(), c.number()), (Some(A), Some(B)));
    assert!(!b.is_room());

    owner.broadcast("all", None).await.unwrap();
    owner.broadcast("all but b", Some(A)).await.unwrap();
    owner.broadcast("all but c", Some(B)).await.unwrap();
    owner.send(A, "only b").await.unwrap();
    owner.send(MemberNumber(7), "nobody").await.unwrap();
    for data in ["all", "all but c", "only b"] {
        assert_eq!(told(&mut b).await, from_owner(data));
    }
    for data in ["all", "all but b"] {
        assert_eq!(told(&mut c).await, from_owner(data));
    }
    b.send("from b").await.unwrap();
    assert_eq!(heard(&mut owner).await, message(0, "from b"));
    c.send("from c").await.unwrap();
    assert_eq!(heard(&mut owner).await, message(1, "from c"));
    silence(b.next()).await;
}

#[tokio::test(start_paused = true)]
async fn a_channel_that_the_hub_s_operator_closes_ends_for_all_and_nothing_else_does() {
    let (hub, ann, bob) = two_nodes().await;
    let (mut owner, mut member) =
        channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let mut other = ann.create("other", ChannelOptions::new()).await.unwrap();
    let sender = owner.sender();
    let name = ChannelName::new("channel").unwrap();
    assert_eq!(hub.hub().close_channel(&name, Reason::Kicked), Some(1));
    assert_eq!(told(&mut member).await, ended(Reason::Kicked));
    assert_eq!(heard(&mut owner).await, OwnerEvent::Closed { reason: Reason::Kicked });
    assert_eq!(owner.next().await, None);
    let late = sender.broadcast("late", None).await;
    assert_eq!(late, Err(ChannelError::Closed(Reason::Kicked)));
    // The number may be used again before the handle is dropped.
    let mut again = ann.create("channel", ChannelOptions::new()).await.unwrap();
    drop(owner);
    let _member = bob.enter("channel", EnterOptions::new()).await.unwrap();
    newcomer(&mut again).await;
    let _member = bob.enter("other", EnterOptions::new()).await.unwrap();
    newcomer(&mut other).await;
}

#[tokio::test(start_paused = true)]
async fn the_lowest_free_number_is_given_again() {
    let (hub, ann, bob) = two_nodes().await;
    let cid = third(&hub).await;
    let (mut owner, b) = channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let c = enter(&cid).await.unwrap();
    assert_eq!(newcomer(&mut owner).await, B);
    b.leave().await.unwrap();
    assert_eq!(heard(&mut owner).await, left(0, Reason::Left));
    let b = enter(&bob).await.unwrap();
    assert_eq!((newcomer(&mut owner).await, b.number()), (A, Some(A)));
    drop(c);
    assert_eq!(heard(&mut owner).await, left(1, Reason::Left));
}

#[tokio::test(start_paused = true)]
async fn each_refusal_of_a_create_has_its_reason() {
    let limits = Limits { channels_owned_max: 1, channel_name_bytes_max: 10, ..Limits::default() };
    let options = HubOptions { limits, ..HubOptions::default() };
    let hub = Server::new(options);
    let ann = node(&hub, "Ann", Shape::default()).await;
    let bob = node(&hub, "Bob", Shape::default()).await;
    let create = |node: &Node, name: &'static str, options| {
        let node = node.clone();
        async move { node.create(name, options).await }
    };
    let _owner = create(&ann, "channel", ChannelOptions::new()).await.unwrap();
    let taken = create(&bob, "channel", ChannelOptions::new()).await;
    assert_eq!(refused(taken), Reason::NameTaken);
    let second = create(&ann, "other", ChannelOptions::new()).await;
    assert_eq!(refused(second), Reason::TooManyChannels);
    let long = create(&bob, "a long name", ChannelOptions::new()).await;
    assert_eq!(refused(long), Reason::TooLarge);

    let longer = bob.create([b'x'; 256], ChannelOptions::new()).await;
    assert!(matches!(longer, Err(ChannelError::Name(_))));
    for size in [0, (1 << 29) + 1] {
        let wrong = create(&bob, "x", ChannelOptions::new().chunk_max(size)).await;
        assert_eq!(wrong.unwrap_err(), ChannelError::ChunkSize(size));
    }
}

#[tokio::test(start_paused = true)]
async fn each_refusal_of_an_entry_has_its_reason() {
    let limits = Limits { channels_entered_max: 1, commands_pending_max: 1, ..Limits::default() };
    let options = HubOptions { limits, rooms_on_entry: false, ..HubOptions::default() };
    let hub = Server::new(options);
    let ann = node(&hub, "Ann", Shape::default()).await;
    let bob = node(&hub, "Bob", Shape::default()).await;
    let cid = third(&hub).await;
    assert_eq!(refused(enter(&bob).await), Reason::NoSuchName);
    let room = bob.enter("room", EnterOptions::new().room()).await;
    assert_eq!(refused(room), Reason::NotAllowed);

    let options = ChannelOptions::new().members_max(1).password("secret");
    let _owner = ann.create("channel", options).await.unwrap();
    assert_eq!(refused(enter(&ann).await), Reason::OwnChannel);
    assert_eq!(refused(enter(&bob).await), Reason::WrongPassword);
    let wrong = EnterOptions::new().password("secrex");
    assert_eq!(refused(bob.enter("channel", wrong).await), Reason::WrongPassword);
    let right = EnterOptions::new().password("secret");
    let _member = bob.enter("channel", right.clone()).await.unwrap();
    assert_eq!(refused(bob.enter("channel", right.clone()).await), Reason::AlreadyEntered);
    assert_eq!(refused(cid.enter("channel", right).await), Reason::Full);

    let _second = ann.create("second", ChannelOptions::new()).await.unwrap();
    let many = bob.enter("second", EnterOptions::new()).await;
    assert_eq!(refused(many), Reason::TooManyChannels);

    let _third = ann.create("third", ChannelOptions::new().approve()).await.unwrap();
    let dan = node(&hub, "Dan", Shape::default()).await;
    let waiting = tokio::spawn(async move { cid.enter("third", EnterOptions::new()).await });
    tokio::time::sleep(Duration::from_millis(1)).await;
    let pending = dan.enter("third", EnterOptions::new()).await;
    assert_eq!(refused(pending), Reason::TooManyPending);
    waiting.abort();
}

#[tokio::test(start_paused = true)]
async fn each_end_has_its_reason_at_both_sides() {
    let (hub, ann, bob) = two_nodes().await;
    let plain = || channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new());

    let (owner, mut member) = plain().await;
    owner.delete().await.unwrap();
    assert_eq!(told(&mut member).await, ended(Reason::ClosedByOwner));
    assert_eq!(member.next().await, None);
    let late = member.send("late").await;
    assert_eq!(late, Err(ChannelError::Closed(Reason::ClosedByOwner)));

    let (owner, mut member) = plain().await;
    let sender = owner.sender();
    drop(owner);
    assert_eq!(told(&mut member).await, ended(Reason::ClosedByOwner));
    let late = sender.broadcast("late", None).await;
    assert_eq!(late, Err(ChannelError::Closed(Reason::ClosedByOwner)));

    let (mut owner, member) = plain().await;
    let sender = member.sender();
    member.leave().await.unwrap();
    assert_eq!(heard(&mut owner).await, left(0, Reason::Left));
    let late = sender.send("late").await;
    assert_eq!(late, Err(ChannelError::Closed(Reason::Left)));
    drop(owner);

    let (mut owner, mut member) = plain().await;
    owner.kick(A).await.unwrap();
    assert_eq!(told(&mut member).await, ended(Reason::Kicked));
    assert_eq!(heard(&mut owner).await, left(0, Reason::Kicked));
    let mut member = enter(&bob).await.unwrap();
    newcomer(&mut owner).await;
    let ban = Ban { time: None, address: false };
    owner.ban(A, ban).await.unwrap();
    assert_eq!(told(&mut member).await, ended(Reason::Banned));
    assert_eq!(heard(&mut owner).await, left(0, Reason::Banned));
    drop(owner);

    let (mut owner, mut member) = plain().await;
    bob.close().await;
    assert_eq!(heard(&mut owner).await, left(0, Reason::Left));
    assert_eq!(told(&mut member).await, ended(Reason::Bye));
    assert_eq!(bob.closed().await, Reason::Bye);
    let closed = enter(&bob).await.unwrap_err();
    assert_eq!(closed, ChannelError::Closed(Reason::Bye));

    let cid = third(&hub).await;
    let mut member = enter(&cid).await.unwrap();
    ann.close().await;
    assert_eq!(told(&mut member).await, ended(Reason::ClosedByOwner));
    assert_eq!(newcomer(&mut owner).await, A);
    let reason = Reason::Bye;
    assert_eq!(heard(&mut owner).await, OwnerEvent::Closed { reason });
    assert_eq!(owner.next().await, None);
}

#[tokio::test(start_paused = true)]
async fn a_side_that_vanishes_without_a_word_is_told_from_one_that_leaves() {
    let (hub, ann, bob) = two_nodes().await;
    let (cable, address) = Cable::new(&hub);
    let lost = Node::connect(address).await.unwrap();
    let (mut owner, mut member) =
        channel(&ann, &lost, ChannelOptions::new(), EnterOptions::new()).await;
    cable.cut();
    assert_eq!(heard(&mut owner).await, left(0, Reason::ConnectionLost));
    assert_eq!(told(&mut member).await, ended(Reason::ConnectionLost));
    assert_eq!(lost.closed().await, Reason::ConnectionLost);
    drop(owner);

    let (cable, address) = Cable::new(&hub);
    let lost = Node::connect(address).await.unwrap();
    let (mut owner, mut member) =
        channel(&lost, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    cable.cut();
    assert_eq!(told(&mut member).await, ended(Reason::OwnerLost));
    let reason = Reason::ConnectionLost;
    assert_eq!(heard(&mut owner).await, OwnerEvent::Closed { reason });
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_stops_says_so_and_cuts_no_message_in_two() {
    let (hub, ann, _) = two_nodes().await;
    let slow = Shape { bytes_per_second: Some(100_000.try_into().unwrap()), ..Shape::default() };
    let bob = node(&hub, "Bob", slow).await;
    let options = ChannelOptions::new().chunk_max(1 << 20);
    let (mut owner, mut member) = channel(&ann, &bob, options, EnterOptions::new()).await;
    let start = tokio::time::Instant::now();
    member.send(vec![1; 1 << 20]).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    hub.stop().await;
    assert!(start.elapsed() < Duration::from_secs(10), "the message takes longer");
    let reason = Reason::HubStopping;
    let mut events = Vec::new();
    while let Some(event) = owner.next().await {
        events.push(event);
    }
    assert_eq!(events.last(), Some(&OwnerEvent::Closed { reason }));
    assert!(!events.iter().any(|event| matches!(event, OwnerEvent::Message { .. })));
    let end = told(&mut member).await;
    assert!(ENDS_OF_A_HUB.map(ended).contains(&end), "{end:?}");
    assert_eq!((ann.closed().await, bob.closed().await), (reason, reason));
}

#[tokio::test(start_paused = true)]
async fn a_ban_holds_for_its_time_or_until_it_is_lifted() {
    let (_hub, ann, bob) = two_nodes().await;
    let (mut owner, _member) =
        channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let start = tokio::time::Instant::now();
    let ban = |millis| Ban { time: Some(Duration::from_millis(millis)), address: false };
    owner.ban(A, ban(29_500)).await.unwrap();
    tokio::time::sleep_until(start + Duration::from_millis(29_999)).await;
    assert_eq!(refused(enter(&bob).await), Reason::Banned);
    tokio::time::sleep_until(start + Duration::from_millis(30_001)).await;
    let member = enter(&bob).await.unwrap();
    assert_eq!(heard(&mut owner).await, left(0, Reason::Banned));
    newcomer(&mut owner).await;

    owner.ban(A, ban(u64::MAX)).await.unwrap();
    assert_eq!(heard(&mut owner).await, left(0, Reason::Banned));
    assert_eq!(refused(enter(&bob).await), Reason::Banned);
    owner.unban(bob.peer_id()).await.unwrap();
    // The hub answers commands of one node in their order.
    ann.create("other", ChannelOptions::new()).await.unwrap();
    enter(&bob).await.unwrap();
    drop(member);
}

#[tokio::test(start_paused = true)]
async fn an_owner_decides_about_each_who_knocks() {
    let (hub, ann, bob) = two_nodes().await;
    let mut owner = ann.create("channel", ChannelOptions::new().approve()).await.unwrap();
    let knock = |node: &Node| {
        let node = node.clone();
        let options = EnterOptions::new().credentials("ticket 7");
        tokio::spawn(async move { node.enter("channel", options).await })
    };
    let waiting = knock(&bob);
    let OwnerEvent::Knock(applicant) = heard(&mut owner).await else {
        panic!("no knock");
    };
    assert_eq!(applicant.peer.id, bob.peer_id());
    assert_eq!(applicant.credentials, "ticket 7");
    owner.refuse(&applicant).await.unwrap();
    assert_eq!(refused(waiting.await.unwrap()), Reason::NotAdmitted);

    let waiting = knock(&bob);
    let OwnerEvent::Knock(second) = heard(&mut owner).await else {
        panic!("no knock");
    };
    // An answer to a knock that was answered lets nobody else in.
    owner.admit(&applicant).await.unwrap();
    silence(owner.next()).await;
    owner.admit(&second).await.unwrap();
    let member = waiting.await.unwrap().unwrap();
    assert_eq!(member.number(), Some(newcomer(&mut owner).await));

    // A caller that gives up the wait is no member, even if it was let in.
    let cid = third(&hub).await;
    let waiting = knock(&cid);
    let OwnerEvent::Knock(applicant) = heard(&mut owner).await else {
        panic!("no knock");
    };
    waiting.abort();
    owner.admit(&applicant).await.unwrap();
    assert_eq!(newcomer(&mut owner).await, B);
    assert_eq!(heard(&mut owner).await, left(1, Reason::Left));

    let waiting = knock(&cid);
    assert!(matches!(heard(&mut owner).await, OwnerEvent::Knock(_)));
    owner.delete().await.unwrap();
    assert_eq!(refused(waiting.await.unwrap()), Reason::NoSuchName);
}

#[tokio::test(start_paused = true)]
async fn a_predicate_decides_while_the_owner_reads() {
    let (hub, ann, bob) = two_nodes().await;
    let options = ChannelOptions::new().admit_if(|applicant| {
        applicant.peer.name.as_deref() == Some("Bob") && applicant.credentials == "please"
    });
    let mut owner = ann.create("channel", options).await.unwrap();
    let reading = tokio::spawn(async move { (newcomer(&mut owner).await, owner) });
    let please = EnterOptions::new().credentials("please");
    let cid = third(&hub).await;
    assert_eq!(refused(cid.enter("channel", please.clone()).await), Reason::NotAdmitted);
    assert_eq!(refused(enter(&bob).await), Reason::NotAdmitted);
    bob.enter("channel", please).await.unwrap();
    let (number, _owner) = reading.await.unwrap();
    assert_eq!(number, A);
}

#[tokio::test(start_paused = true)]
async fn in_a_room_all_others_hear_each_and_may_see_who_is_there() {
    let (hub, ann, bob) = two_nodes().await;
    let cid = third(&hub).await;
    let seeing = EnterOptions::new().room().presence();
    let mut a = ann.enter("room", seeing.clone()).await.unwrap();
    assert!(a.is_room());
    let mut b = bob.enter("room", EnterOptions::new()).await.unwrap();
    let mut c = cid.enter("room", seeing).await.unwrap();

    let there = |number, node: &Node, name: &str| {
        let (member, id) = (MemberNumber(number), node.peer_id());
        let peer = crosspoint::PeerInfo { id, name: Some(name.into()), protocol: "native" };
        MemberEvent::OtherEntered { member, peer }
    };
    assert_eq!(told(&mut a).await, there(1, &bob, "Bob"));
    assert_eq!(told(&mut a).await, there(2, &cid, "Cid"));
    assert_eq!(told(&mut c).await, there(0, &ann, "Ann"));
    assert_eq!(told(&mut c).await, there(1, &bob, "Bob"));

    b.send("hi").await.unwrap();
    assert_eq!(told(&mut a).await, from_other(1, "hi"));
    assert_eq!(told(&mut c).await, from_other(1, "hi"));
    c.leave().await.unwrap();
    let (member, reason) = (MemberNumber(2), Reason::Left);
    assert_eq!(told(&mut a).await, MemberEvent::OtherLeft { member, reason });
    bob.close().await;
    let (member, reason) = (MemberNumber(1), Reason::Left);
    assert_eq!(told(&mut a).await, MemberEvent::OtherLeft { member, reason });
    assert_eq!(told(&mut b).await, ended(Reason::Bye));

    assert_eq!(hub.hub().channels(), 1);
    drop(a);
    ann.create("fence", ChannelOptions::new()).await.unwrap();
    let gone = cid.enter("room", EnterOptions::new()).await;
    assert_eq!(refused(gone), Reason::NoSuchName);
}

#[tokio::test(start_paused = true)]
async fn a_declared_room_is_there_without_members() {
    let options = HubOptions {
        rooms: vec![RoomOptions {
            name: ChannelName::new("lobby").unwrap(),
            mode: Mode::default(),
            members_max: Some(1),
        }],
        ..HubOptions::default()
    };
    let hub = Server::new(options);
    let ann = node(&hub, "Ann", Shape::default()).await;
    let bob = node(&hub, "Bob", Shape::default()).await;
    let enter = |node: &Node| {
        let node = node.clone();
        async move { node.enter("lobby", EnterOptions::new()).await }
    };
    let member = enter(&ann).await.unwrap();
    assert_eq!(refused(enter(&bob).await), Reason::Full);
    member.leave().await.unwrap();
    ann.create("fence", ChannelOptions::new()).await.unwrap();
    enter(&bob).await.unwrap();
    let taken = ann.create("lobby", ChannelOptions::new()).await;
    assert_eq!(refused(taken), Reason::NameTaken);
}

#[tokio::test(start_paused = true)]
async fn messages_are_whole_in_chunk_mode_and_no_larger_than_the_channel_allows() {
    let (_hub, ann, bob) = two_nodes().await;
    let options = ChannelOptions::new().chunk_max(5 << 20);
    let (mut owner, mut member) = channel(&ann, &bob, options, EnterOptions::new().raw()).await;
    let bytes_max = 5 << 20;
    assert_eq!(member.mode(), Mode::Chunk { bytes_max });
    let large: Vec<u8> = (0..5usize << 20).map(|i| (i % 251) as u8).collect();
    member.send(large.clone()).await.unwrap();
    match heard(&mut owner).await {
        OwnerEvent::Message { data, .. } => assert!(data == large),
        other => panic!("{other:?}"),
    }
    owner.broadcast(large.clone(), None).await.unwrap();
    match told(&mut member).await {
        MemberEvent::Message { data, .. } => assert!(data == large),
        other => panic!("{other:?}"),
    }
    let (length, max) = (large.len() + 1, bytes_max);
    let result = owner.send(A, vec![0; length]).await;
    assert_eq!(result, Err(ChannelError::TooLarge { length, max }));
    assert_eq!(member.send(Bytes::new()).await, Err(ChannelError::Empty));
}

#[tokio::test(start_paused = true)]
async fn raw_mode_keeps_the_bytes_and_their_order_but_no_borders() {
    let (_hub, ann, bob) = two_nodes().await;
    let (mut owner, member) =
        channel(&ann, &bob, ChannelOptions::new().raw(), EnterOptions::new()).await;
    assert_eq!(member.mode(), Mode::Raw);
    let large: Vec<u8> = (0..1usize << 20).map(|i| (i % 251) as u8).collect();
    member.send(large.clone()).await.unwrap();
    let mut got = Vec::new();
    while got.len() < large.len() {
        match heard(&mut owner).await {
            OwnerEvent::Message { member: A, data } => got.extend_from_slice(&data),
            other => panic!("{other:?}"),
        }
    }
    assert!(got == large);
    let (max, length) = (ann.message_bytes_max(), ann.message_bytes_max() as usize + 1);
    let result = owner.broadcast(vec![0; length], None).await;
    assert_eq!(result, Err(ChannelError::TooLarge { length, max }));
}

#[tokio::test(start_paused = true)]
async fn a_create_that_is_given_up_leaves_no_channel() {
    let (hub, ann, bob) = two_nodes().await;
    let far = Shape { lag: Duration::from_millis(50), ..Shape::default() };
    let cid = node(&hub, "Cid", far).await;
    let short = Duration::from_millis(60);
    let options = ChannelOptions::new();
    let given_up = tokio::time::timeout(short, cid.create("channel", options)).await;
    assert!(given_up.is_err());
    assert_eq!(refused(bob.create("channel", ChannelOptions::new()).await), Reason::NameTaken);
    tokio::time::sleep(Duration::from_millis(150)).await;
    ann.create("channel", ChannelOptions::new()).await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn a_reader_that_does_not_read_slows_the_writer_and_loses_nothing() {
    const COUNT: u32 = 4000;
    let limits = Limits {
        // Nothing is heard of a node that reads nothing.
        outbox_stall_max: Duration::from_secs(3600),
        heartbeat: Duration::from_secs(3600),
        ..Limits::default()
    };
    let options = HubOptions { limits, ..HubOptions::default() };
    let hub = Server::new(options);
    let slow = Node::builder().queue_bytes(64 * 1024);
    let ann = slow.connect(hub.inside(Shape::default())).await.unwrap();
    let bob = node(&hub, "Bob", Shape::default()).await;
    let (mut owner, member) = channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let (progress, sent) = tokio::sync::watch::channel(0);
    let writing = tokio::spawn(async move {
        for number in 0..COUNT {
            let mut data = vec![0; 16 * 1024];
            data[..4].copy_from_slice(&number.to_be_bytes());
            member.send(data).await.unwrap();
            progress.send_replace(number + 1);
        }
        member
    });
    tokio::time::sleep(Duration::from_secs(60)).await;
    let before = *sent.borrow();
    assert!(before < COUNT, "the writer waits for the reader");
    for number in 0..COUNT {
        match heard(&mut owner).await {
            OwnerEvent::Message { data, .. } => assert_eq!(data[..4], number.to_be_bytes()),
            other => panic!("{other:?}"),
        }
    }
    writing.await.unwrap();
}

/// A node behind a slow line, and one that is not.
#[tokio::test(start_paused = true)]
async fn what_waits_for_one_member_or_peer_holds_up_nothing_for_another() {
    let limits = Limits {
        // Probes wait behind all else on such a line.
        heartbeat: Duration::from_secs(3600),
        ..Limits::default()
    };
    let hub = Server::new(HubOptions { limits, ..HubOptions::default() });
    let line = Shape { bytes_per_second: std::num::NonZeroU64::new(50_000), ..Shape::default() };
    let (ann, bob) =
        (node(&hub, "Ann", Shape::default()).await, node(&hub, "Bob", Shape::default()).await);
    let slow = node(&hub, "Slow", line).await;
    let (mut owner, mut behind) =
        channel(&ann, &slow, ChannelOptions::new(), EnterOptions::new()).await;
    let mut member = bob.enter("channel", EnterOptions::new()).await.unwrap();
    let number = newcomer(&mut owner).await;
    let (to_slow, _at_slow) = link(&ann, &slow).await;
    let (to_bob, at_bob) = link(&ann, &bob).await;

    let sender = owner.sender();
    let flood = tokio::spawn(async move {
        for count in 0..1000u32 {
            let mut data = vec![0; 16 * 1024];
            data[..4].copy_from_slice(&count.to_be_bytes());
            sender.send(MemberNumber(0), data).await.unwrap();
        }
    });
    let stream = tokio::spawn(async move {
        for _ in 0..1000 {
            to_slow.send(vec![0; 16 * 1024]).await.unwrap();
        }
    });
    tokio::time::sleep(Duration::from_secs(20)).await;
    for _ in 0..20 {
        let start = tokio::time::Instant::now();
        owner.send(number, "to Bob").await.unwrap();
        assert_eq!(told(&mut member).await, from_owner("to Bob"));
        to_bob.send("also").await.unwrap();
        said(&at_bob).await;
        assert!(start.elapsed() < Duration::from_millis(10), "{:?}", start.elapsed());
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    assert!(!flood.is_finished() && !stream.is_finished());
    // Who gives up the wait has not sent the message, and all before it arrive.
    flood.abort();
    stream.abort();
    let _ = flood.await;
    owner.send(MemberNumber(0), "last").await.unwrap();
    let mut next = 0u32;
    loop {
        match told(&mut behind).await {
            MemberEvent::Message { data, .. } if data == "last" => break,
            MemberEvent::Message { data, .. } => assert_eq!(data[..4], next.to_be_bytes()),
            other => panic!("{other:?}"),
        }
        next += 1;
    }
    assert!((10..1000).contains(&next), "{next}");
}

#[tokio::test(start_paused = true)]
async fn a_node_can_be_closed_and_its_channels_dropped_while_nobody_reads() {
    let (hub, _, bob) = two_nodes().await;
    let slow = Node::builder().queue_bytes(1);
    let ann = slow.connect(hub.inside(Shape::default())).await.unwrap();
    let (owner, member) = channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let other = ann.create("other", ChannelOptions::new()).await.unwrap();
    for _ in 0..100 {
        member.send("unread").await.unwrap();
    }
    tokio::time::sleep(Duration::from_millis(1)).await;
    // What waits for this one does not hold up the others any more.
    drop(owner);
    ann.create("channel", ChannelOptions::new()).await.unwrap();
    let mut member = bob.enter("other", EnterOptions::new()).await.unwrap();
    for _ in 0..100 {
        member.send("unread").await.unwrap();
    }
    ann.close().await;
    assert_eq!(told(&mut member).await, ended(Reason::ClosedByOwner));
    drop(other);
}

#[tokio::test(start_paused = true)]
async fn one_task_reads_while_others_write() {
    let (_hub, ann, bob) = two_nodes().await;
    let (mut owner, mut member) =
        channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let (down, up) = (owner.sender(), member.sender());
    let writing = tokio::spawn(async move {
        for _ in 0..3000 {
            up.send("up").await.unwrap();
            down.broadcast("down", None).await.unwrap();
        }
    });
    for _ in 0..3000 {
        assert_eq!(heard(&mut owner).await, message(0, "up"));
        assert_eq!(told(&mut member).await, from_owner("down"));
    }
    writing.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn the_connection_lasts_as_long_as_a_handle_of_it() {
    let (hub, ann, bob) = two_nodes().await;
    let (mut owner, mut member) =
        channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    drop((ann, bob));
    member.send("still here").await.unwrap();
    assert_eq!(heard(&mut owner).await, message(0, "still here"));
    drop(owner);
    assert_eq!(told(&mut member).await, ended(Reason::ClosedByOwner));
    drop(member);
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(hub.hub().sessions(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_hub_with_an_access_token_refuses_others() {
    let options = HubOptions { access_token: Some("open sesame".into()), ..HubOptions::default() };
    let hub = Server::new(options);
    let address = hub.inside(Shape::default());
    match Node::connect(&address).await {
        Err(crosspoint::ConnectError::Refused { reason, .. }) => {
            assert_eq!(reason, Reason::NotAllowed);
        }
        other => panic!("{other:?}"),
    }
    let peer = crosspoint::PeerId::new([7; 16]);
    let builder = Node::builder().token("open sesame").peer_id(peer);
    let node = builder.connect(&address).await.unwrap();
    assert_eq!(node.peer_id(), peer);
}
