//! Every bound of the hub at its edge: up to it all goes well, above it happens what is said, and
//! it is counted. What waits in outboxes has a file of its own.

use crate::common;
use crate::common::peer::{Peer, create, enter, up};
use crate::common::{serve, serve_with, until, within};
use crosspoint_hub::command::{Ban, ChannelCommand, ChannelEvent, EnterOptions, Mode, Target};
use crosspoint_hub::{Command, Event, JoinedChannelId, Limits, Part, Reason};
use std::time::Duration;
use tokio::time::{Instant, sleep};

fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

#[tokio::test(start_paused = true)]
async fn a_native_frame_has_at_most_so_many_bytes() {
    let served = serve_with(|hub| hub.limits.frame_bytes_max = 2048);
    let mut owner = Peer::native(served.memory()).await;
    owner.create("room").await;
    let mut member = Peer::native(served.memory()).await;
    member.enter("room").await;
    let exact = [&[0x80, 0x10, 0x30, 0][..], &[7; 2046]].concat();
    member.link.send(&exact).await;
    assert_eq!(owner.data().await.1, vec![7; 2046]);
    assert_eq!(served.hits("frame_bytes_max"), 0);
    member.link.send(&[0x81, 0x10]).await;
    assert_eq!(member.closed().await, Reason::TooLarge, "without waiting for the rest");
    assert_eq!(owner.left().await.1, Reason::ConnectionLost);
    assert_eq!(served.hits("frame_bytes_max"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_message_has_at_most_so_many_bytes_over_all_its_parts() {
    let served = serve_with(|hub| hub.limits.message_bytes_max = 100_000);
    let mut owner = Peer::native(served.memory()).await;
    owner.create("room").await;
    let mut member = Peer::native(served.memory()).await;
    let number = member.enter("room").await;
    member.send_up(number, &[7; 100_000]).await;
    assert_eq!(owner.gather(100_000).await, [7; 100_000]);
    // The first part of 100 001 bytes: extended SEND, in 0, kind 0, total, offset 0, one byte.
    member.link.send(&[8, 0x70, 0, 0, 0xa1, 0x8d, 0x06, 0, b'x']).await;
    assert_eq!(member.closed().await, Reason::TooLarge);
    assert_eq!(served.hits("message_bytes_max"), 1);
}

#[tokio::test(start_paused = true)]
async fn channels_are_counted_for_each_session_and_in_all() {
    let served = serve_with(|hub| {
        hub.limits.channels_owned_max = 2;
        hub.limits.channels_entered_max = 3;
        hub.limits.channels_total_max = 4;
    });
    let mut one = Peer::native(served.memory()).await;
    let mut two = Peer::joint(served.memory());
    for (peer, names) in [(&mut one, ["a", "b", "c"]), (&mut two, ["d", "e", "f"])] {
        peer.create(names[0]).await;
        peer.create(names[1]).await;
        assert_eq!(peer.try_create(names[2]).await, Err(Reason::TooManyChannels));
    }
    assert_eq!(served.hits("channels_owned_max"), 2);
    let mut three = Peer::joint(served.memory());
    assert_eq!(three.try_create("a").await, Err(Reason::NameTaken), "docs/peote.md, section 3.2");
    assert_eq!(three.try_create("g").await, Err(Reason::TooManyChannels));
    assert_eq!(served.hits("channels_total_max"), 1);
    for name in ["a", "b", "d"] {
        three.enter(name).await;
    }
    assert_eq!(three.try_enter("e").await, Err(Reason::TooManyChannels));
    assert_eq!(served.hits("channels_entered_max"), 1);
    three.tell(ChannelCommand::Leave(JoinedChannelId(1))).await;
    assert_eq!(three.enter("e").await, JoinedChannelId(1));
}

#[tokio::test(start_paused = true)]
async fn a_peote_program_has_128_channels_of_256_members_whatever_the_limits_say() {
    let served = serve_with(|hub| hub.limits.channels_owned_max = 1000);
    let mut owner = Peer::joint(served.memory());
    let mut member = Peer::joint(served.memory());
    for index in 0..128 {
        let name = format!("room {index}");
        assert_eq!(owner.create(&name).await.0, index);
        assert_eq!(member.enter(&name).await.0, index);
    }
    assert_eq!(owner.try_create("more").await, Err(Reason::TooManyChannels));
    let mut other = Peer::joint(served.memory());
    other.create("more").await;
    assert_eq!(member.try_enter("more").await, Err(Reason::TooManyChannels));

    let mut members = Vec::new();
    for _ in 1..256 {
        let mut member = Peer::native(served.memory()).await;
        member.enter("room 0").await;
        members.push(member);
    }
    assert_eq!(other.try_enter("room 0").await, Err(Reason::Full));
    assert_eq!(served.hits("members_max"), 1);
    members[77].tell(ChannelCommand::Leave(JoinedChannelId(0))).await;
    assert_eq!(owner.left().await.0.0, 78);
    other.enter("room 0").await;
    drop((owner, member, other, members));
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn members_of_a_channel_are_counted() {
    let served = serve_with(|hub| hub.limits.members_max = 2);
    let mut owner = Peer::native(served.memory()).await;
    owner.create("room").await;
    let mut first = Peer::joint(served.memory());
    let mut second = Peer::native(served.memory()).await;
    let mut third = Peer::native(served.memory()).await;
    first.enter("room").await;
    second.enter("room").await;
    assert_eq!(third.try_enter("room").await, Err(Reason::Full));
    assert_eq!(served.hits("members_max"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_name_has_at_most_so_many_bytes() {
    let served = serve_with(|hub| hub.limits.channel_name_bytes_max = 10);
    let mut peer = Peer::native(served.memory()).await;
    peer.create("0123456789").await;
    assert_eq!(peer.try_create("0123456789a").await, Err(Reason::TooLarge));
    let room = |options: &mut EnterOptions| options.make_room = true;
    assert_eq!(peer.try_enter_with("0123456789b", room).await, Err(Reason::TooLarge));
    assert_eq!(served.hits("channel_name_bytes_max"), 2);
    let mut joint = Peer::joint(served.memory());
    assert_eq!(joint.try_create("0123456789a").await, Err(Reason::NotAllowed));
}

fn knocked(request: u32, name: &str) -> Command {
    let mut command = create(request, name);
    if let Command::Channel(ChannelCommand::Create { options, .. }) = &mut command {
        options.approve = true;
    }
    command
}

#[tokio::test(start_paused = true)]
async fn entries_that_wait_for_an_owner_are_counted_for_each_session_and_channel() {
    let served = serve_with(|hub| hub.limits.commands_pending_max = 2);
    let mut owner = Peer::native(served.memory()).await;
    for (request, name) in [(100, "a"), (101, "b"), (102, "c")] {
        owner.tell(knocked(request, name)).await;
    }
    let mut one = Peer::native(served.memory()).await;
    for (request, name) in [(100, "a"), (101, "b"), (102, "c")] {
        one.tell(enter(request, name)).await;
    }
    assert_eq!(one.answered(102).await, Err(Reason::TooManyPending), "of one session");
    let mut two = Peer::native(served.memory()).await;
    two.tell(enter(100, "a")).await;
    two.settle().await;
    let mut three = Peer::joint(served.memory());
    assert_eq!(three.try_enter("a").await, Err(Reason::TooManyChannels), "of one channel");
    assert_eq!(served.hits("commands_pending_max"), 2);

    // An answer makes room again.
    let ticket = owner
        .find(|event| match event {
            Event::Channel(ChannelEvent::Knock { channel, ticket, .. }) if channel.0 == 0 => {
                Some(*ticket)
            }
            _ => None,
        })
        .await;
    let channel = crosspoint_hub::OwnedChannelId(0);
    owner.tell(ChannelCommand::Admit { channel, ticket, admit: true }).await;
    assert!(one.answered(100).await.is_ok());
    one.tell(enter(103, "c")).await;
    let asked = |event: &Event| matches!(event, Event::Channel(ChannelEvent::Knock { channel, .. }) if channel.0 == 2);
    owner.find(|event| asked(event).then_some(())).await;
}

#[tokio::test(start_paused = true)]
async fn above_the_bound_of_bans_the_oldest_is_forgotten() {
    let served = serve_with(|hub| hub.limits.bans_max = 2);
    let mut owner = Peer::native(served.memory()).await;
    let channel = owner.create("room").await;
    let mut banned = Vec::new();
    for _ in 0..3 {
        let mut peer = Peer::native(served.memory()).await;
        peer.enter("room").await;
        let member = owner.joined().await;
        let ban = Some(Ban { time: None, address: false });
        owner.tell(ChannelCommand::Kick { channel, member, ban }).await;
        assert_eq!(peer.ended().await.1, Reason::Banned);
        banned.push(peer);
    }
    assert_eq!(served.hits("bans_max"), 1);
    assert_eq!(banned[2].try_enter("room").await, Err(Reason::Banned));
    assert_eq!(banned[1].try_enter("room").await, Err(Reason::Banned));
    banned[0].enter("room").await;
}

#[tokio::test]
async fn connections_are_counted_and_their_places_given_back() {
    let served = serve_with(|hub| hub.limits.connections_max = 3);
    let mut one = Peer::joint(served.tcp().await);
    let two = Peer::native_ws(served.tcp().await).await;
    let silent = served.memory();
    until("three connections", || served.hub.metrics.connections.get() == 3).await;
    one.create("room").await;
    let mut above = served.tcp().await;
    assert!(above.rest().await.is_empty(), "closed at once and without a byte");
    assert_eq!(served.hits("connections_max"), 1);
    drop((two, silent));
    until("the places are given back", || served.hub.metrics.connections.get() == 1).await;
    let mut again = Peer::native(served.tcp().await).await;
    again.enter("room").await;
    drop((one, again));
    served.empty().await;
}

#[tokio::test]
async fn connections_from_one_address_are_counted_unless_it_is_this_machine() {
    let strict = |limits: &mut Limits| {
        limits.connections_per_address_max = 2;
        limits.loopback_exempt = false;
    };
    let served = serve_with(|hub| strict(&mut hub.limits));
    let one = Peer::native(served.tcp().await).await;
    let mut two = served.tcp().await;
    // Inside the program there is no address.
    let inside = Peer::native(served.memory()).await;
    until("three connections", || served.hub.metrics.connections.get() == 3).await;
    let mut above = Peer::unwelcome(served.tcp().await, false);
    let hello = above.written();
    above.link.send(&hello).await;
    assert_eq!(above.closed().await, Reason::TooManyConnections);
    assert_eq!(served.hits("connections_per_address_max"), 1);
    // The handshake of the second failed: its place is free as well.
    two.send(b"\x16\x03\x01\x00\x05\x01").await;
    assert!(!two.rest().await.is_empty(), "an alert of TLS");
    until("two connections", || served.hub.metrics.connections.get() == 2).await;
    let again = Peer::native(served.tcp().await).await;
    drop((one, inside, again));
    served.empty().await;

    let served = serve_with(|hub| hub.limits.connections_per_address_max = 2);
    let mut peers = Vec::new();
    for _ in 0..5 {
        peers.push(Peer::native(served.tcp().await).await);
    }
    assert_eq!(served.hits("connections_per_address_max"), 0);
}

#[tokio::test(start_paused = true)]
async fn whoever_is_silent_for_too_long_is_closed() {
    let served = serve_with(|hub| hub.limits.idle_max = Some(seconds(10)));
    let mut joint = Peer::joint(served.memory());
    joint.create("room").await;
    let mut native = Peer::native(served.memory()).await;
    native.enter("room").await;
    sleep(seconds(9)).await;
    native.settle().await;
    let begun = Instant::now();
    assert_eq!(joint.closed().await, Reason::ConnectionLost);
    assert_eq!(begun.elapsed().as_secs(), 1);
    assert_eq!(native.closed().await, Reason::IdleTimeout);
    assert_eq!(begun.elapsed().as_secs(), 10);
    assert_eq!(served.hits("idle_s_max"), 2);
}

#[tokio::test(start_paused = true)]
async fn a_native_client_that_answers_no_heartbeat_is_lost() {
    let served = serve();
    let mut native = Peer::native(served.memory()).await;
    let begun = Instant::now();
    for token in 1..=2 {
        native.link.expect(&[9, 4, 0, 0, 0, 0, 0, 0, 0, token]).await;
        assert_eq!(begun.elapsed().as_secs(), 15 * u64::from(token));
    }
    assert_eq!(native.closed().await, Reason::HeartbeatLost);
    assert_eq!(begun.elapsed().as_secs(), 45);
    assert_eq!(served.hits("heartbeat_missed_max"), 1);

    // One that answers, which Peer does by itself, stays for ever. Others never hear of it.
    let mut native = Peer::native(served.memory()).await;
    let mut owner = Peer::native(served.memory()).await;
    owner.create("room").await;
    let both = async { tokio::join!(native.event(), owner.event()) };
    tokio::time::timeout(seconds(3600), both).await.expect_err("nothing happens for an hour");
    assert_eq!(served.hub.sessions(), 2);
}

#[tokio::test(start_paused = true)]
async fn a_peote_client_may_be_silent_for_hours_and_is_told_that_the_hub_lives() {
    const KEEPALIVE: &[u8] = &[0, 4, 0, 255, 0, 0];
    let served = serve();
    // A command that is not answered: a session without a word from the hub.
    let mut quiet = served.memory();
    quiet.send(b"\x00\x02\x00\x01\x05").await;
    sleep(seconds(4 * 3600)).await;
    quiet.send(b"\x00\x00\x01\x04room").await;
    quiet.expect(&[0, 3, 1, 0, 0]).await;
    let mut begun = Instant::now();
    for _ in 0..2000 {
        quiet.expect(KEEPALIVE).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        begun = Instant::now();
    }
    // Anything sent puts it off.
    sleep(seconds(3)).await;
    quiet.send(b"\x00\x00\x02\x00").await;
    quiet.expect(&[0, 3, 2, 0, 1]).await;
    begun = Instant::now();
    quiet.expect(KEEPALIVE).await;
    assert_eq!(begun.elapsed().as_secs(), 5);
    assert_eq!(served.hub.metrics.sessions.get_or_create(&peote()).get(), 1);
}

fn peote() -> crosspoint_hub::metrics::ByProtocol {
    crosspoint_hub::metrics::ByProtocol { protocol: "peote" }
}

/// An owner inside the program, and a member from an address that no limit exempts.
async fn limited(set: impl FnOnce(&mut Limits)) -> (common::Served, Peer, Peer, JoinedChannelId) {
    let served = serve_with(|hub| {
        hub.limits.loopback_exempt = false;
        set(&mut hub.limits);
    });
    let mut owner = Peer::native(served.memory()).await;
    owner.create("room").await;
    let mut member = Peer::native(served.tcp().await).await;
    let number = member.enter("room").await;
    (served, owner, member, number)
}

// Both in real time, as only real addresses are limited; nothing but a lower bound is asserted.

#[tokio::test]
async fn whoever_sends_too_many_messages_a_second_is_read_more_slowly() {
    let (served, mut owner, mut member, number) =
        limited(|limits| limits.messages_per_second_max = 1000).await;
    let burst: Vec<u8> = (0..2000).flat_map(|_| member.bytes_of(up(number, b"!"))).collect();
    let begun = Instant::now();
    member.link.send(&burst).await;
    owner.gather(2000).await;
    member.send_up(number, b"?").await;
    assert_eq!(owner.data().await.1, "?");
    assert!(begun.elapsed() > Duration::from_millis(950), "{:?}", begun.elapsed());
    assert!(served.hits("messages_per_second_max") > 0);
    assert_eq!(served.hits("bytes_per_second_max"), 0);

    // A client that comes and goes without end is no better.
    let burst: Vec<u8> = (0..1500)
        .flat_map(|_| {
            let leave = member.bytes_of(Command::Channel(ChannelCommand::Leave(number)));
            [leave, member.bytes_of(enter(1, "room"))].concat()
        })
        .collect();
    let begun = Instant::now();
    member.link.send(&burst).await;
    member.settle().await;
    // It may have been read in one piece; what follows waits until that is paid for.
    member.settle().await;
    assert!(begun.elapsed() > Duration::from_millis(1900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn whoever_sends_too_many_bytes_a_second_is_read_more_slowly() {
    let (served, mut owner, mut member, number) =
        limited(|limits| limits.bytes_per_second_max = 200_000).await;
    let begun = Instant::now();
    let message = vec![7; 1000];
    let burst: Vec<u8> = (0..500).flat_map(|_| member.bytes_of(up(number, &message))).collect();
    let (_, gathered) = tokio::join!(member.link.send(&burst), owner.gather(500_000));
    assert_eq!(gathered.len(), 500_000, "nothing is lost");
    // 200 000 are free, and one read may go too far.
    assert!(begun.elapsed() > Duration::from_millis(1100), "{:?}", begun.elapsed());
    assert!(served.hits("bytes_per_second_max") > 0);
    assert_eq!(served.hits("messages_per_second_max"), 0);
}

#[tokio::test(start_paused = true)]
async fn rooms_and_their_members_are_counted_and_can_be_forbidden() {
    let served = serve_with(|hub| {
        hub.limits.rooms_max = 1;
        hub.limits.room_members_max = 2;
        hub.room_mode = Mode::Raw;
    });
    let room = |options: &mut EnterOptions| options.make_room = true;
    let mut peers = Vec::new();
    for _ in 0..3 {
        peers.push(Peer::native(served.memory()).await);
    }
    let number = peers[0].try_enter_with("lobby", room).await.unwrap();
    peers[1].try_enter_with("lobby", room).await.unwrap();
    assert_eq!(peers[2].try_enter_with("lobby", room).await, Err(Reason::Full));
    assert_eq!(served.hits("rooms.members_max"), 1);
    assert_eq!(peers[2].try_enter_with("other", room).await, Err(Reason::TooManyChannels));
    assert_eq!(served.hits("rooms.count_max"), 1);
    // When the last has left, the room is gone and another can be made.
    peers[0].tell(ChannelCommand::Leave(number)).await;
    peers[0].settle().await;
    drop(peers.remove(1));
    until("the room ends", || served.hub.channels() == 0).await;
    peers[1].try_enter_with("other", room).await.unwrap();
    drop(peers);
    served.empty().await;

    let served = serve_with(|hub| hub.rooms_on_entry = false);
    let mut peer = Peer::native(served.memory()).await;
    assert_eq!(peer.try_enter_with("lobby", room).await, Err(Reason::NotAllowed));
    within("its end", async { drop(peer) }).await;
    served.empty().await;
}

/// A part of a message of so many bytes in all.
fn beginning(to: Target, total: u32, data: &[u8]) -> Command {
    let part = Part { kind: Part::DATA, total, offset: 0, data: data.to_vec().into() };
    Command::Send { to, part }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_is_never_whole_ends_its_sender_who_hears_which_it_was() {
    let served = serve_with(|hub| hub.limits.message_time_max = seconds(20));
    let room = |options: &mut EnterOptions| options.make_room = true;
    let mut sender = Peer::native_ws(served.memory()).await;
    let mut friend = Peer::native(served.memory()).await;
    let mut other = Peer::native(served.memory()).await;
    for peer in [&mut sender, &mut friend, &mut other] {
        peer.try_enter_with("lobby", room).await.expect("a room");
    }
    let begun = Instant::now();
    sender.tell(beginning(Target::Up(JoinedChannelId(0)), 10_000, b"x")).await;
    // Others answer probes meanwhile.
    let (code, reason) = tokio::select! {
        said = sender.close_frame() => said,
        event = friend.event() => panic!("{event:?}"),
        event = other.event() => panic!("{event:?}"),
    };
    assert_eq!(begun.elapsed(), seconds(20));
    assert_eq!((code, served.hits("message_s_max")), (1008, 1));
    assert!(reason.contains("a message in channel 0 was not whole after 20 s"), "{reason}");
    assert_eq!(served.closed(Reason::IdleTimeout), 1);
    friend.send_up(JoinedChannelId(0), b"the room goes on").await;
    assert_eq!(other.data().await.1, "the room goes on");
}

#[tokio::test(start_paused = true)]
async fn a_frame_that_is_never_whole_ends_its_sender_however_often_a_byte_of_it_comes() {
    let served = serve_with(|hub| hub.limits.message_time_max = seconds(95));
    let mut native = Peer::native(served.memory()).await;
    let joint = Peer::joint(served.memory());
    // A command that is not answered.
    joint.link.send(b"\x00\x02\x00\x01\x05").await;
    let begun = Instant::now();
    // Half a frame, and half a name.
    native.link.send(&[0x80, 0x10, 0x30, 0]).await;
    joint.link.send(b"\x00\x00\x01\x7f").await;
    for _ in 0..9 {
        sleep(seconds(10)).await;
        native.link.send(b"x").await;
        joint.link.send(b"x").await;
        assert_eq!(served.hub.sessions(), 2);
    }
    assert_eq!(native.closed().await, Reason::IdleTimeout);
    assert_eq!(begun.elapsed(), seconds(95));
    until("both have ended", || served.hub.sessions() == 0).await;
    assert_eq!(served.hits("message_s_max"), 2);
}

/// The owner sends to nobody else, so it is not read as long as its member takes nothing.
#[tokio::test(start_paused = true)]
async fn a_sender_that_has_to_wait_for_its_receiver_may_take_longer() {
    let served = serve_with(|hub| {
        hub.limits.message_time_max = seconds(3);
        hub.limits.outbox_stall_max = seconds(300);
        hub.limits.outbox_bytes_max = 256 * 1024;
    });
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut member = Peer::native(served.cramped(1024)).await;
    member.enter("room").await;
    let number = owner.joined().await;
    let to = Target::Member(own, number);
    let large = owner.bytes_of(beginning(to, 1_000_000, &vec![7; 1_000_000]));
    let received = async {
        sleep(seconds(30)).await;
        member.gather(1_000_000).await.len()
    };
    let both = async { tokio::join!(owner.link.send(&large), received).1 };
    assert_eq!(tokio::time::timeout(seconds(60), both).await, Ok(1_000_000));
    assert_eq!(served.hits("message_s_max"), 0);
    owner.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_hub_that_has_nothing_to_do_sleeps() {
    let served = serve();
    let metrics = tokio::runtime::Handle::current().metrics();
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = metrics.worker_park_count(0);
    tokio::time::sleep(Duration::from_secs(3600)).await;
    let parked = metrics.worker_park_count(0) - before;
    assert!(parked < 10, "{parked} times");
    drop(served);
}
