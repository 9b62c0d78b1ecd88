//! A client that goes, in whatever way, is gone for all who have to do with it, and leaves nothing.

use crate::common::peer::{Peer, UPGRADE, head, server_frame, to, up};
use crate::common::{Link, Served, cram, serve, serve_as, until, within};
use crosspoint_hub::command::ChannelCommand;
use crosspoint_hub::{Command, Event, HubOptions, JoinedChannelId, Reason};
use crosspoint_net::server::ServerOptions;
use std::pin::pin;
use std::time::Duration;
use tokio::time::{Instant, sleep};

/// How a connection can end without a word.
#[derive(Debug, Clone, Copy)]
enum Exit {
    /// Both directions at once.
    Close,
    /// It says no more, but would still listen.
    HalfClose,
    /// The connection is lost with all that is under way.
    Abort,
}

/// Lets a connection end; gives it back if it is still half open.
fn exit(link: Link, how: Exit) -> Option<Link> {
    match how {
        Exit::Close => drop(link),
        Exit::Abort => link.abort(),
        Exit::HalfClose => {
            link.finish();
            return Some(link);
        }
    }
    None
}

/// Everybody's clients, over every transport.
async fn peers(served: &Served) -> Vec<Peer> {
    vec![
        Peer::joint(served.tcp().await),
        Peer::native(served.tcp().await).await,
        Peer::joint_ws(served.tcp().await).await,
        Peer::native(served.memory()).await,
        Peer::native_ws(served.memory()).await,
    ]
}

#[tokio::test]
async fn an_owner_that_vanishes_takes_its_channel_with_it() {
    let served = serve();
    for how in [Exit::Close, Exit::HalfClose, Exit::Abort] {
        for mut owner in peers(&served).await {
            owner.create("room").await;
            owner.create("other").await;
            let mut members = peers(&served).await;
            for member in &mut members {
                member.enter("room").await;
                member.enter("other").await;
            }
            let half = exit(owner.link, how);
            for member in &mut members {
                let mut ended = [member.ended().await, member.ended().await];
                ended.sort_by_key(|(number, _)| number.0);
                let lost = Reason::OwnerLost;
                assert_eq!(
                    ended,
                    [(JoinedChannelId(0), lost), (JoinedChannelId(1), lost)],
                    "{how:?}"
                );
            }
            // The name is free at once.
            members[0].create("room").await;
            drop((members, half));
            until("the names are free", || served.hub.channels() == 0).await;
        }
    }
    served.empty().await;
}

#[tokio::test]
async fn a_member_that_vanishes_is_missed_by_its_owners() {
    let served = serve();
    let mut owner = Peer::native(served.tcp().await).await;
    owner.create("room").await;
    let mut stays = Peer::joint(served.tcp().await);
    stays.enter("room").await;
    owner.joined().await;
    for how in [Exit::Close, Exit::HalfClose, Exit::Abort] {
        for mut member in peers(&served).await {
            member.enter("room").await;
            assert_eq!(owner.joined().await.0, 1, "the lowest number that is free");
            let half = exit(member.link, how);
            assert_eq!(
                owner.left().await,
                (crosspoint_hub::MemberNumber(1), Reason::ConnectionLost)
            );
            if let Some(mut link) = half {
                link.rest().await;
            }
        }
    }
    assert_eq!(served.hub.metrics.members.get(), 1);
}

#[tokio::test]
async fn what_was_said_right_before_the_connection_ended_still_holds() {
    let served = serve();
    let mut owner = Peer::native(served.tcp().await).await;
    let own = owner.create("room").await;
    for round in 0..60 {
        let mut member = match round % 3 {
            0 => Peer::joint(served.tcp().await),
            1 => Peer::joint_ws(served.tcp().await).await,
            _ => Peer::joint(served.memory()),
        };
        let number = member.enter("room").await;
        let told = owner.joined().await;
        // The member goes while it is sent to: its system answers that with a reset.
        for _ in 0..20 {
            owner.broadcast(own, &[7; 3000]).await;
        }
        if round % 2 == 0 {
            member.link.fill().await;
        }
        let mut bytes = member.bytes_of(up(number, b"bye"));
        bytes.extend(member.bytes_of(Command::Channel(ChannelCommand::Leave(number))));
        member.link.send(&bytes).await;
        drop(member);
        for _ in 0..20 {
            owner.broadcast(own, &[7; 3000]).await;
        }
        assert_eq!(owner.data().await.1, "bye");
        assert_eq!(owner.left().await, (told, Reason::Left), "round {round}");
    }
    // The same for an owner that deletes its channel.
    for round in 0..30 {
        let mut leaver = Peer::joint(served.tcp().await);
        let own = leaver.create("brief").await;
        let number = owner.enter("brief").await;
        leaver.joined().await;
        owner.send_up(number, &[7; 3000]).await;
        let bytes = leaver.bytes_of(Command::Channel(ChannelCommand::Delete(own)));
        leaver.link.send(&bytes).await;
        drop(leaver);
        owner.send_up(number, &[7; 3000]).await;
        assert_eq!(owner.ended().await, (number, Reason::ClosedByOwner), "round {round}");
    }
}

/// The library closes its connection with its last joint, and opens another for the next. What it
/// says on both can arrive at once, and nothing makes the hub look at the former first.
#[tokio::test(start_paused = true)]
async fn what_a_peote_program_says_on_a_new_connection_comes_after_its_farewell_on_the_former() {
    const CREATE: &[u8] = b"\x00\x00\x01\x04room";
    const ENTER: &[u8] = b"\x00\x01\x01\x04room";
    const DONE: &[u8] = &[0, 3, 1, 0, 0];
    let served = serve();
    let begin = async |first: &[u8]| {
        let link = served.memory();
        link.send(first).await;
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        link
    };
    // An owner that deletes its joint and makes it again.
    let mut former = begin(CREATE).await;
    former.expect(DONE).await;
    let mut owner = begin(CREATE).await;
    former.send(&[0, 3, 0, 1, 0]).await;
    owner.expect(DONE).await;
    drop(former);
    // One whose connection was lost.
    let former = std::mem::replace(&mut owner, begin(CREATE).await);
    drop(former);
    owner.expect(DONE).await;
    // A member that leaves and enters again is user 0 again.
    let mut former = begin(ENTER).await;
    former.expect(DONE).await;
    owner.expect(&[0, 4, 0, 0, 0, 0]).await;
    let mut member = served.memory();
    for _ in 0..100 {
        tokio::task::yield_now().await;
    }
    // The hub looks at the new one first.
    member.send(ENTER).await;
    former.send(&[0, 2, 0, 1, 0]).await;
    member.expect(DONE).await;
    owner.expect(&[0, 5, 0, 1, 0, 0, 0]).await;
    owner.expect(&[0, 4, 0, 0, 0, 0]).await;
    // What is not given up is not to be had.
    begin(CREATE).await.expect(&[0, 3, 1, 1, 2]).await;
    drop((owner, former, member));
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_peote_program_waits_for_nobody_where_nobody_is_about_to_leave() {
    const ENTER: &[u8] = b"\x00\x01\x01\x04room";
    let served = serve();
    let begun = Instant::now();
    let mut owner = Peer::joint(served.memory());
    owner.create("room").await;
    let mut members = Vec::new();
    // One after another, from the same address, into the same channel.
    for number in 0..50 {
        let mut member = served.memory();
        member.send(ENTER).await;
        member.expect(&[0, 3, 1, 0, 0]).await;
        assert_eq!(owner.joined().await.0, number);
        members.push(member);
    }
    assert_eq!(begun.elapsed(), Duration::ZERO);
}

#[tokio::test(start_paused = true)]
async fn words_that_can_no_longer_be_answered_are_heard_all_the_same() {
    let served = serve();
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut member = Peer::joint(served.cramped(10));
    let number = member.enter("room").await;
    let told = owner.joined().await;
    owner.send_to(own, told, &[7; 100]).await;
    owner.settle().await;
    // The hub learns at one and the same time that it cannot write, and that the member left.
    let leave = member.bytes_of(Command::Channel(ChannelCommand::Leave(number)));
    member.link.send(&leave).await;
    drop(member);
    assert_eq!(owner.left().await, (told, Reason::Left));
    until("its session ends", || served.hub.sessions() == 1).await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_stops_tells_everybody_in_their_own_words() {
    let served = serve();
    let mut owner = Peer::joint(served.memory());
    owner.create("room").await;
    let mut native = Peer::native(served.memory()).await;
    native.enter("room").await;
    let mut native_ws = Peer::native_ws(served.memory()).await;
    native_ws.enter("room").await;
    let mut joint = Peer::joint(served.memory());
    joint.enter("room").await;
    let mut joint_ws = Peer::joint_ws(served.memory()).await;
    joint_ws.enter("room").await;
    let mut silent = served.memory();
    let mut first_words = served.memory();
    first_words.send(UPGRADE.as_bytes()).await;
    head(&mut first_words).await;

    let begun = Instant::now();
    let stop = tokio::spawn({
        let server = served.server.clone();
        async move { server.stop().await }
    });
    for peer in [&mut joint, &mut joint_ws] {
        assert_eq!(peer.ended().await.1, Reason::OwnerLost);
        assert_eq!(peer.closed().await, Reason::ConnectionLost);
    }
    assert_eq!(joint_ws.code, Some(1001));
    for peer in [&mut native, &mut native_ws] {
        assert_eq!(peer.closed().await, Reason::HubStopping);
    }
    assert!(silent.rest().await.is_empty());
    let (first, payload) = server_frame(&mut first_words).await;
    assert_eq!((first, &payload[..2]), (0x88, &1001u16.to_be_bytes()[..]));
    assert_eq!(begun.elapsed(), Duration::ZERO);

    // All that is left is to hang up.
    drop((owner, native, native_ws, joint, joint_ws, silent, first_words));
    within("the stop", stop).await.unwrap();
    assert_eq!(begun.elapsed(), Duration::ZERO);
    served.empty().await;
    assert!(tokio::net::TcpStream::connect(served.address).await.is_err(), "nobody listens");
}

#[tokio::test(start_paused = true)]
async fn messages_that_are_half_sent_when_the_hub_stops_still_arrive() {
    let served = serve();
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut members = [Peer::joint(served.cramped(1000)), Peer::native(served.cramped(1000)).await];
    for member in &mut members {
        member.enter("room").await;
    }
    owner.settle().await;
    let data: Vec<u8> = (0..200_000u32).map(|index| index as u8).collect();
    owner.broadcast(own, &data).await;
    owner.settle().await;
    let stop = served.server.stop();
    let read = async {
        for member in &mut members {
            assert!(member.gather(200_000).await == data);
            let last = member.event().await;
            assert!(!matches!(last, Event::Data { .. }), "{last:?}");
        }
    };
    tokio::join!(stop, read);
}

#[tokio::test(start_paused = true)]
async fn a_hub_stops_in_time_even_if_somebody_never_reads() {
    let options = ServerOptions { flush_max: Duration::from_secs(3), ..ServerOptions::default() };
    let served = serve_as(HubOptions::default(), options);
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut stalled = Peer::joint(served.cramped(10));
    stalled.enter("room").await;
    let told = owner.joined().await;
    // More than half of its outbox, so that the owner waits for it.
    let flood: Vec<u8> =
        (0..300).flat_map(|_| owner.bytes_of(to(own, told, &[7; 10_000]))).collect();
    assert!(cram(&owner.link, &flood).await < flood.len());
    let begun = Instant::now();
    served.server.stop().await;
    let took = begun.elapsed();
    assert!(took >= Duration::from_secs(3) && took <= Duration::from_secs(5), "{took:?}");
    served.empty().await;
    drop(stalled);
}

/// It fits into what the system keeps for the connection, so that the hub has written everything.
#[cfg(target_os = "linux")]
#[tokio::test]
async fn a_stop_waits_for_what_the_system_has_not_delivered_yet() {
    let options = ServerOptions { flush_max: Duration::from_secs(60), ..ServerOptions::default() };
    let served = serve_as(HubOptions::default(), options);
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut member = Peer::native(served.narrow().await).await;
    member.enter("room").await;
    owner.joined().await;
    let data = vec![7; 400_000];
    owner.broadcast(own, &data).await;
    owner.settle().await;
    let mut stop = pin!(served.server.stop());
    let early = tokio::time::timeout(Duration::from_secs(3), &mut stop).await;
    assert!(early.is_err(), "the member has not read");
    let read = async {
        assert!(member.gather(data.len()).await == data);
        member.event().await;
        drop((member, owner));
    };
    within("the stop", async { tokio::join!(stop, read) }).await;
}

#[tokio::test(start_paused = true)]
async fn a_connection_whose_other_side_is_silently_gone_is_noticed() {
    let served = serve();
    let mut owner = Peer::joint(served.memory());
    let own = owner.create("room").await;
    // Nothing comes from either of them, and nothing is taken: a cable was pulled.
    let mut native = Peer::native(served.memory()).await;
    native.enter("room").await;
    owner.joined().await;
    let begun = Instant::now();
    assert_eq!(owner.left().await.1, Reason::ConnectionLost);
    assert_eq!(begun.elapsed().as_secs(), 45, "unanswered heartbeats");
    let mut joint = Peer::joint(served.cramped(5));
    joint.enter("room").await;
    let told = owner.joined().await;
    let begun = Instant::now();
    owner.send_to(own, told, b"hello").await;
    assert_eq!(owner.left().await.1, Reason::ConnectionLost);
    assert_eq!(begun.elapsed().as_secs(), 30, "an outbox that nobody empties");
    sleep(Duration::from_secs(10)).await;
    assert_eq!(served.hub.sessions(), 1);
}
