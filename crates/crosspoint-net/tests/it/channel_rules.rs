//! Rules for channels by their names, what the hub application does in any channel, and how a peote owner throws
//! somebody out.

use crate::common::peer::{Peer, name};
use crate::common::{Served, serve_with, within};
use crosspoint_hub::command::{Ban, ChannelEvent, Event, Hello};
use crosspoint_hub::networks::Networks;
use crosspoint_hub::operators::Whom;
use crosspoint_hub::permissions::Pattern;
use crosspoint_hub::rules::{ChannelRule, Who};
use crosspoint_hub::{MemberNumber, Reason};
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;
use tokio::time::Instant;

fn networks(text: &str) -> Networks {
    Networks::from_iter([text.parse().unwrap()])
}

/// A hub with a rule for `game-*`, behind one for a single name that says nothing.
fn ruled(set: impl FnOnce(&mut ChannelRule)) -> Served {
    let mut rule = ChannelRule::new(Pattern::new("game-*"));
    set(&mut rule);
    let free = ChannelRule::new(Pattern::new("game-free"));
    serve_with(|options| options.channel_rules = vec![free, rule])
}

#[tokio::test(start_paused = true)]
async fn the_first_rule_whose_name_matches_bounds_the_members() {
    let served = ruled(|rule| rule.members_max = Some(2));
    let mut owner = Peer::joint(served.memory());
    for name in ["game-1", "game-free", "gam"] {
        owner.create(name).await;
    }
    let mut members = [(); 3].map(|()| Peer::joint(served.memory()));
    for member in &mut members[..2] {
        member.enter("game-1").await;
    }
    assert_eq!(members[2].try_enter("game-1").await, Err(Reason::Full));
    assert_eq!((served.hits("channels.members_max"), served.hits("members_max")), (1, 0));
    for member in &mut members {
        member.enter("game-free").await;
        member.enter("gam").await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_larger_message_than_the_rule_allows_ends_its_sender_alone() {
    let served = ruled(|rule| rule.message_bytes_max = Some(100));
    let mut owner = Peer::joint(served.memory());
    owner.create("game-1").await;
    let (mut good, mut bad) = (Peer::joint(served.memory()), Peer::joint(served.memory()));
    let number = good.enter("game-1").await;
    good.send_up(number, &[1; 100]).await;
    assert_eq!(owner.gather(100).await, [1; 100]);
    let number = bad.enter("game-1").await;
    bad.send_up(number, &[2; 101]).await;
    assert_eq!(owner.left().await, (MemberNumber(1), Reason::ConnectionLost));
    assert_eq!(served.hits("channels.message_bytes_max"), 1);
    assert!(good.settle().await.is_empty());
}

#[tokio::test(start_paused = true)]
async fn a_member_that_lags_further_than_the_rule_allows_goes() {
    const ROOM: usize = 300_000;
    let served = ruled(|rule| rule.waiting_bytes_max = Some(ROOM));
    let mut owner = Peer::native(served.memory()).await;
    let [ruled, free] = [owner.create("game-1").await, owner.create("game-free").await];
    for (channel, gone) in [(free, 0), (ruled, 1)] {
        let name = if channel == ruled { "game-1" } else { "game-free" };
        let mut stalled = Peer::joint(served.cramped(1));
        stalled.enter(name).await;
        for _ in 0..=ROOM / 30_000 {
            owner.broadcast(channel, &[7; 30_000]).await;
        }
        owner.settle().await;
        assert_eq!(served.closed(Reason::SlowReceiver), gone, "{name}");
    }
    assert_eq!(served.hits("channels.waiting_bytes_max"), 1);
}

#[tokio::test(start_paused = true)]
async fn a_member_that_sends_more_than_the_rule_allows_is_read_more_slowly_and_loses_nothing() {
    let served = ruled(|rule| {
        rule.messages_per_second_max = 10;
        rule.bytes_per_second_max = 10_000;
    });
    let mut owner = Peer::joint(served.memory());
    owner.create("game-1").await;
    for (count, bytes, limit) in
        [(40, 1, "channels.messages_per_second_max"), (4, 10_000, "channels.bytes_per_second_max")]
    {
        let mut member = Peer::joint(served.memory());
        let number = member.enter("game-1").await;
        let begun = Instant::now();
        // What comes in one read is taken whole, and what follows waits for it.
        for _ in 0..count {
            member.send_up(number, &vec![7; bytes]).await;
        }
        assert_eq!(owner.gather(count * bytes).await.len(), count * bytes);
        member.send_up(number, &vec![7; bytes]).await;
        assert_eq!(owner.gather(bytes).await.len(), bytes);
        // A second's worth is free.
        let took = begun.elapsed().as_millis();
        assert!((2_500..4_500).contains(&took), "{limit}: {took} ms");
        assert!(served.hits(limit) > 0, "{limit}");
    }
}

#[tokio::test]
async fn a_rule_says_who_may_create_and_enter_by_name_or_address_and_who_is_blocked() {
    let served = ruled(|rule| {
        let (names, near) = (vec![Pattern::new("host-*")], networks("127.0.1.0/24"));
        rule.create = Some(Who { names, networks: near });
        rule.enter = Some(Who { networks: networks("127.0.0.0/16"), ..Who::default() });
        rule.blocked = networks("::ffff:127.0.2.7");
    });
    let from = |third, last| served.tcp_from(Ipv4Addr::new(127, 0, third, last));
    // By address, as peote programs have nothing else.
    let mut stranger = Peer::joint(from(0, 1).await);
    assert!(stranger.try_create("game-1").await.is_err());
    assert_eq!(served.hits("channels.create"), 1);
    let mut owner = Peer::joint(from(1, 1).await);
    owner.create("game-1").await;
    stranger.enter("game-1").await;
    // By name.
    let hello = Hello { name: Some("host-2".into()), ..Hello::default() };
    let mut host = Peer::introduced(served.tcp().await, hello);
    host.welcomed().await;
    host.create("game-2").await;
    let mut blocked = Peer::native(from(2, 7).await).await;
    assert_eq!(blocked.try_enter("game-1").await, Err(Reason::Banned));
    assert_eq!(blocked.try_create("game-3").await, Err(Reason::Banned));
    assert_eq!(served.hits("channels.blocked"), 2);
    let mut far = Peer::native(served.memory()).await;
    assert_eq!(far.try_enter("game-1").await, Err(Reason::NotAllowed));
    assert_eq!(served.hits("channels.enter"), 1);
    blocked.create("other").await;
}

#[tokio::test]
async fn a_peote_owner_throws_users_out_and_keeps_them_out_with_the_command_of_this_hub() {
    // Otherwise a ban by address holds for nobody on this machine.
    let served = serve_with(|options| options.limits.loopback_exempt = false);
    let at = |last| Ipv4Addr::new(127, 0, 0, last);
    let mut owner = served.tcp().await;
    owner.send(b"\x00\x00\x01\x04room").await;
    owner.expect(&[0, 3, 1, 0, 0]).await;
    let enter = async |address| {
        let member = served.tcp_from(address).await;
        member.send(b"\x00\x01\x01\x04room").await;
        member
    };
    let mut member = enter(at(2)).await;
    member.expect(&[0, 3, 1, 0, 0]).await;
    owner.expect(&[0, 4, 0, 0, 0, 0]).await;
    // Nothing happens without both numbers, or for somebody who is not there.
    owner.send(&[0, 4, 9, 0, 0, 4, 9, 1, 0, 0, 4, 9, 2, 0, 7, 0, 4, 9, 2, 200, 0]).await;
    owner.send(&[0, 4, 9, 2, 0, 0]).await;
    owner.expect(&[0, 5, 0, 1, 0, 0, 2]).await;
    member.expect(&[0, 4, 0, 2, 0, 2]).await;
    // It may come back at once, unless it is banned.
    member.send(b"\x00\x01\x02\x04room").await;
    member.expect(&[0, 3, 2, 0, 0]).await;
    owner.expect(&[0, 4, 0, 0, 0, 0]).await;
    owner.send(&[0, 4, 9, 3, 0, 0, 5]).await;
    member.expect(&[0, 4, 0, 2, 0, 2]).await;
    enter(at(2)).await.expect(&[0, 3, 1, 1, 9]).await;
    enter(at(3)).await.expect(&[0, 3, 1, 0, 0]).await;
}

#[tokio::test]
async fn the_hub_s_program_finds_and_ends_sessions_of_every_protocol() {
    let served = serve_with(|_| ());
    let hub = &served.hub;
    let mut joint = Peer::joint(served.tcp().await);
    // A peote session begins with its first command.
    joint.create("one").await;
    let mut in_websocket = Peer::joint_ws(served.memory()).await;
    in_websocket.create("two").await;
    let mut peers = [joint, in_websocket, Peer::native(served.memory()).await];
    let listed = hub.session_list();
    let protocols: Vec<_> = listed.iter().map(|one| one.peer.protocol).collect();
    assert_eq!(protocols, ["peote", "peote", "native"]);
    assert!(listed[0].address.is_some() && listed[1].address.is_none());
    for (peer, one) in peers.iter_mut().zip(&listed) {
        assert!(hub.disconnect(one.peer.id, Reason::Kicked));
        within("the end", peer.closed()).await;
    }
    served.empty().await;
    assert_eq!(served.closed(Reason::Kicked), 3);
    assert!(hub.session_list().is_empty());
}

#[tokio::test]
async fn the_hub_s_program_sees_kicks_and_bans_in_any_channel() {
    let served = serve_with(|options| options.limits.loopback_exempt = false);
    let (hub, room) = (&served.hub, name("room"));
    let mut owner = Peer::joint(served.tcp().await);
    owner.create("room").await;
    let mut members = Vec::new();
    for last in [2, 2, 3] {
        let link = served.tcp_from(Ipv4Addr::new(127, 0, 0, last)).await;
        let mut member = Peer::native(link).await;
        member.enter("room").await;
        owner.joined().await;
        members.push(member);
    }
    let listed = hub.channel_list();
    assert_eq!((listed.len(), &listed[0].name, listed[0].members), (1, &room, 3));
    assert_eq!(listed[0].owner.as_ref().unwrap().peer.protocol, "peote");
    let seen = hub.channel_members(&room).unwrap();
    let address = |last| IpAddr::from([127, 0, 0, last]);
    let addresses: Vec<_> = seen.iter().map(|(_, member)| member.address.unwrap()).collect();
    assert_eq!(addresses, [address(2), address(2), address(3)]);

    let now = std::time::Instant::now();
    let kick = |whom, ban| hub.kick(now, &room, whom, ban);
    let ban = |time| Some(Ban { address: false, time });
    let third = seen[2].1.peer.id;
    assert_eq!(kick(Whom::Peer(third), ban(Some(Duration::from_secs(60)))), Some(1));
    assert_eq!(members[2].ended().await.1, Reason::Banned);
    assert_eq!(members[2].try_enter("room").await, Err(Reason::Banned));
    assert_eq!(kick(Whom::Member(MemberNumber(0)), None), Some(1));
    assert_eq!(members[0].ended().await.1, Reason::Kicked);
    members[0].enter("room").await;
    assert_eq!(kick(Whom::Address(address(2)), ban(None)), Some(2));
    assert_eq!(kick(Whom::Address(address(9)), ban(None)), Some(0));
    for last in [2, 9] {
        let mut peote = Peer::joint(served.tcp_from(Ipv4Addr::new(127, 0, 0, last)).await);
        assert!(peote.try_enter("room").await.is_err());
    }
    assert_eq!(hub.unban(&room, Whom::Address(address(9))), Some(1));
    let mut peote = Peer::joint(served.tcp_from(Ipv4Addr::new(127, 0, 0, 9)).await);
    peote.enter("room").await;
    let told = owner.find(|event| match event {
        Event::Channel(ChannelEvent::MemberLeft { reason, .. }) => Some(*reason),
        _ => None,
    });
    assert_eq!(within("the owner", told).await, Reason::Kicked, "peote has one word for both");
    assert_eq!(hub.kick(now, &name("none"), Whom::Peer(third), None), None);
    assert_eq!(hub.channel_members(&name("none")), None);
}
