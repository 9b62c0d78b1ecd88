//! What happens at each bound: who waits, who is refused, and who is disconnected.

use crate::common::hits;
use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, ChannelCommand, ChannelEvent, ChannelOptions, Command, Event, Hello, LinkCommand,
    LinkEvent, LinkOptions, Target,
};
use crosspoint_hub::endpoint::{Endpoint, Outlet};
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Arrived, LINES, data, events, open, take};
use crosspoint_hub::{
    ChannelName, Hub, HubOptions, JoinedChannelId, Limits, MemberNumber, OwnedChannelId, Part,
    Reason, Session,
};
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const UP: Target = Target::Up(JoinedChannelId(0));
const FIRST: Target = Target::Member(OwnedChannelId(0), MemberNumber(0));
const ALL: Target = Target::Everyone(OwnedChannelId(0), None);

fn hub(limits: Limits) -> Arc<Hub> {
    Hub::new(HubOptions { limits, ..HubOptions::default() })
}

fn narrow() -> Arc<Hub> {
    hub(Limits { outbox_bytes_max: 20_000, ..Limits::default() })
}

fn ask(session: &mut Session, command: impl Into<Command>) {
    let command = command.into();
    let now = Instant::now();
    assert_eq!(session.execute(now, command), Step::Go);
    assert_eq!(session.flush(now), Step::Go);
}

fn send(session: &mut Session, to: Target, text: &str) -> Step {
    let now = Instant::now();
    let part = Part::whole(Bytes::copy_from_slice(text.as_bytes()));
    match session.execute(now, Command::Send { to, part }) {
        Step::Go => session.flush(now),
        step => step,
    }
}

/// The memory that an endpoint's unread messages cost.
fn unread(session: &Session) -> usize {
    session.endpoint().cost()
}

/// Why the hub ends a session, if it does. Whatever is next in its outbox is taken out.
fn death(session: &Session) -> Option<Reason> {
    match session.endpoint().next(true, &mut Vec::new()) {
        WriteStep::Dead(reason) => Some(reason),
        _ => None,
    }
}

/// A line of a thousand bytes with its number.
fn line(number: usize) -> String {
    format!("{number:01000}")
}

/// Counts how often it is woken.
#[derive(Clone, Default)]
struct Woken(Arc<AtomicUsize>);

impl Woken {
    fn times(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }
}

impl Outlet for Woken {
    fn flush(&self, _endpoint: &Endpoint) {}
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }
}

fn open_woken(hub: &Arc<Hub>) -> (Session, Woken) {
    let (now, woken) = (Instant::now(), Woken::default());
    let mut session = hub.open(now, None, &LINES, Box::new(woken.clone()));
    ask(&mut session, Command::Hello(Hello::default()));
    (session, woken)
}

/// Sends numbered lines until it has to wait; gives how many were accepted, the held one included.
fn fill(session: &mut Session, to: Target) -> usize {
    let mut sent = 0;
    loop {
        let step = send(session, to, &line(sent));
        sent += 1;
        match step {
            Step::Go => assert!(sent < 100, "nobody has room for this"),
            Step::Wait => return sent,
            Step::Close(reason) => panic!("{reason}"),
        }
    }
}

#[test]
fn a_sender_to_one_waits_at_half_is_woken_when_there_is_room_and_loses_nothing() {
    for up in [false, true] {
        let hub = narrow();
        let (mut one, woken_one) = open_woken(&hub);
        let (mut other, woken_other) = open_woken(&hub);
        ask(&mut one, Command::create(1, "a"));
        ask(&mut other, Command::enter(1, "a"));
        let (sender, receiver, woken, to) = match up {
            false => (&mut one, &mut other, &woken_one, FIRST),
            true => (&mut other, &mut one, &woken_other, UP),
        };
        take(receiver);
        let before = woken.times();
        let sent = fill(sender, to);
        assert!((10_000..13_000).contains(&unread(receiver)));
        assert_eq!(sender.flush(Instant::now()), Step::Wait);
        assert_eq!(woken.times(), before, "nothing has changed for it");
        let first = data(receiver);
        assert_eq!(woken.times(), before + 1, "now there is room");
        assert_eq!(sender.flush(Instant::now()), Step::Go);
        let all = first + &data(receiver);
        let lines: Vec<&str> = all.lines().map(|line| &line[line.len() - 1000..]).collect();
        let wanted: Vec<String> = (0..sent).map(line).collect();
        assert_eq!(lines, wanted);
        assert_eq!(send(sender, to, "more"), Step::Go);
    }
}

#[test]
fn a_command_behind_a_message_that_waits_is_carried_out_after_it() {
    let hub = narrow();
    let (mut owner, mut member) = (open(&hub, Instant::now()), open(&hub, Instant::now()));
    ask(&mut owner, Command::create(1, "a"));
    ask(&mut member, Command::enter(1, "a"));
    take(&mut member);
    let sent = fill(&mut owner, FIRST) - 1;
    // The one that waits is there already; a driver gives no more. Here comes the end of it.
    let first = data(&mut member);
    assert_eq!(
        owner.execute(Instant::now(), Command::Channel(ChannelCommand::Delete(OwnedChannelId(0)))),
        Step::Go
    );
    assert_eq!(owner.flush(Instant::now()), Step::Go);
    let rest = take(&mut member);
    assert!(matches!(rest[..], [.., Arrived::Event(Event::Channel(ChannelEvent::Ended { .. }))]));
    let last = match &rest[0] {
        Arrived::Data(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("no data: {other:?}"),
    };
    assert_eq!(first.lines().count(), sent);
    assert!(last.contains(&line(sent)));
}

#[test]
fn who_waits_for_somebody_that_goes_goes_on() {
    let hub = narrow();
    let (mut owner, woken) = open_woken(&hub);
    let mut member = open(&hub, Instant::now());
    ask(&mut owner, Command::create(1, "a"));
    ask(&mut member, Command::enter(1, "a"));
    fill(&mut owner, FIRST);
    let before = woken.times();
    drop(member);
    assert_eq!(woken.times(), before + 1);
    assert_eq!(owner.flush(Instant::now()), Step::Go);
    let left = |event: &Event| matches!(event, Event::Channel(ChannelEvent::MemberLeft { .. }));
    assert_eq!(events(&mut owner).into_iter().filter(left).count(), 1);
}

#[test]
fn who_waits_for_an_owner_that_gives_its_channel_away_or_deletes_it_goes_on() {
    for passes in [true, false] {
        let hub = narrow();
        let now = Instant::now();
        let (mut owner, mut successor, mut member) =
            (open(&hub, now), open(&hub, now), open(&hub, now));
        let (mut entering, woken) = open_woken(&hub);
        ask(&mut owner, Command::create(1, "a"));
        ask(&mut successor, Command::enter(1, "a"));
        ask(&mut member, Command::enter(1, "a"));
        let (channel, first) = (OwnedChannelId(0), Some(MemberNumber(0)));
        ask(&mut owner, ChannelCommand::Succeed { request: 1, channel, member: first });
        take(&mut successor);
        let sent = fill(&mut member, UP);
        // The first time it need not wait.
        ask(&mut entering, Command::enter(1, "a"));
        ask(&mut entering, ChannelCommand::Leave(JoinedChannelId(0)));
        take(&mut entering);
        assert_eq!(entering.execute(now, Command::enter(1, "a")), Step::Wait);
        let before = woken.times();
        let last = if passes {
            Command::Channel(ChannelCommand::Resign(channel))
        } else {
            Command::Channel(ChannelCommand::Delete(channel))
        };
        ask(&mut owner, last);
        assert_eq!(woken.times(), before + 1, "the owner has read nothing");
        assert_eq!((entering.flush(now), member.flush(now)), (Step::Go, Step::Go));
        let entered =
            matches!(events(&mut entering)[..], [Event::Channel(ChannelEvent::Entered(_))]);
        let held = data(&mut successor).contains(&line(sent - 1));
        assert_eq!((entered, held), (passes, passes));
    }
}

#[test]
fn a_broadcast_waits_for_nobody_and_ends_who_does_not_read() {
    let hub = narrow();
    let now = Instant::now();
    let (mut owner, mut quick, mut slow) = (open(&hub, now), open(&hub, now), open(&hub, now));
    ask(&mut owner, Command::create(1, "a"));
    for member in [&mut quick, &mut slow] {
        ask(member, Command::enter(1, "a"));
        take(member);
    }
    let mut heard = String::new();
    for number in 0..30 {
        assert_eq!(send(&mut owner, ALL, &line(number)), Step::Go);
        heard += &data(&mut quick);
    }
    assert_eq!(heard.lines().count(), 30);
    assert_eq!(death(&slow), Some(Reason::SlowReceiver));
    assert_eq!(unread(&slow), 0, "its memory is free at once");
    take(&mut owner);
    slow.close(Reason::SlowReceiver);
    let gone = Event::Channel(ChannelEvent::MemberLeft {
        channel: OwnedChannelId(0),
        member: MemberNumber(1),
        reason: Reason::ConnectionLost,
    });
    assert_eq!(events(&mut owner), [gone]);
    assert_eq!(send(&mut owner, ALL, "more"), Step::Go);
    assert_eq!(data(&mut quick), "in 0: more\n");
}

#[test]
fn who_enters_and_leaves_without_end_does_not_end_an_owner_that_does_not_read() {
    let hub = narrow();
    let now = Instant::now();
    let (mut owner, mut restless) = (open(&hub, now), open(&hub, now));
    ask(&mut owner, Command::create(1, "a"));
    let mut waited = false;
    for _ in 0..200 {
        let step = restless.execute(now, Command::enter(1, "a"));
        waited |= step == Step::Wait;
        if waited {
            break;
        }
        assert_eq!(
            restless.execute(now, Command::Channel(ChannelCommand::Leave(JoinedChannelId(0)))),
            Step::Go
        );
        assert_eq!(restless.flush(now), Step::Go);
        take(&mut restless);
    }
    assert!(waited, "until the owner reads");
    let heard = events(&mut owner);
    assert_eq!(restless.flush(now), Step::Go);
    let came = |event: &&Event| matches!(event, Event::Channel(ChannelEvent::MemberEntered { .. }));
    let gone = |event: &&Event| matches!(event, Event::Channel(ChannelEvent::MemberLeft { .. }));
    assert_eq!(heard.iter().filter(came).count(), heard.iter().filter(gone).count());
    assert!(matches!(events(&mut owner)[..], [Event::Channel(ChannelEvent::MemberEntered { .. })]));
}

#[test]
fn who_enters_or_links_or_names_once_waits_for_nobody_and_is_refused_where_there_is_no_room() {
    let hub = narrow();
    let now = Instant::now();
    let (mut slow, mut noisy, mut filler) = (open(&hub, now), open(&hub, now), open(&hub, now));
    ask(&mut slow, Command::create(1, "slow"));
    for name in ["noisy", "other"] {
        ask(&mut noisy, Command::create(1, name));
        ask(&mut slow, Command::enter(1, name));
    }
    ask(&mut filler, Command::enter(1, "slow"));
    let slow_id = slow.endpoint().peer().unwrap().id;
    fill(&mut filler, UP);
    let link = || {
        Command::Link(LinkCommand::Open {
            request: 2,
            to: Addressee::Peer(slow_id),
            options: LinkOptions::default(),
        })
    };
    let name = Command::Channel(ChannelCommand::Succeed {
        request: 3,
        channel: OwnedChannelId(1),
        member: Some(MemberNumber(0)),
    });
    let mut guests = [open(&hub, now), open(&hub, now)];
    let commands = [Command::enter(1, "slow"), link()];
    for (guest, command) in guests.iter_mut().zip(commands) {
        assert_eq!(guest.execute(now, command), Step::Go);
        assert!(matches!(
            events(guest)[..],
            [Event::Channel(ChannelEvent::Entered(_)) | Event::Link(LinkEvent::Opened { .. })]
        ));
        assert_eq!(guest.execute(now, link()), Step::Wait, "the second time");
    }
    assert_eq!(noisy.execute(now, name.clone()), Step::Go);
    while slow.endpoint().cost() < 17_500 {
        assert_eq!(send(&mut noisy, ALL, &line(0)), Step::Go);
    }
    take(&mut noisy);
    let mut late = open(&hub, now);
    for command in [Command::enter(1, "slow"), link()] {
        assert_eq!(late.execute(now, command), Step::Go);
        let told = events(&mut late);
        assert!(matches!(told[..], [Event::Refused { reason: Reason::Busy, .. }]), "{told:?}");
    }
    assert_eq!(noisy.execute(now, name), Step::Go);
    assert!(matches!(events(&mut noisy)[..], [Event::Refused { reason: Reason::Busy, .. }]));
    take(&mut slow);
    for guest in &mut guests {
        assert_eq!(guest.flush(now), Step::Go);
        let told = events(guest);
        assert!(matches!(told[..], [Event::Link(LinkEvent::Opened { .. })]), "{told:?}");
    }
}

#[test]
fn messages_above_the_maximum_and_parts_out_of_order_end_their_sender() {
    let hub = hub(Limits { message_bytes_max: 100, ..Limits::default() });
    let part = |total, offset, data: &'static str| Part {
        kind: Part::DATA,
        total,
        offset,
        data: Bytes::from_static(data.as_bytes()),
    };
    let sequences: [(&[Part], Option<Reason>); 8] = [
        (&[part(101, 0, "ab")], Some(Reason::TooLarge)),
        (&[part(4, 0, "ab"), part(4, 2, "cd")], None),
        // The rest of what began before the channel was entered.
        (&[part(4, 2, "cd")], None),
        (&[part(4, 0, "ab"), part(4, 3, "d")], Some(Reason::Malformed)),
        (&[part(4, 0, "ab"), part(5, 2, "cd")], Some(Reason::Malformed)),
        (&[part(4, 0, "ab"), part(2, 0, "ef")], Some(Reason::Malformed)),
        (&[part(4, 0, "ab"), part(4, 2, "cde")], Some(Reason::Malformed)),
        (&[part(4, 0, "")], Some(Reason::Malformed)),
    ];
    for (parts, ending) in sequences {
        let now = Instant::now();
        let (mut owner, mut member) = (open(&hub, now), open(&hub, now));
        ask(&mut owner, Command::create(1, "a"));
        ask(&mut member, Command::enter(1, "a"));
        let mut step = Step::Go;
        for part in parts.iter().cloned() {
            assert_eq!(step, Step::Go);
            step = member.execute(now, Command::Send { to: UP, part });
        }
        assert_eq!(step, ending.map_or(Step::Go, Step::Close), "{parts:?}");
    }
}

fn refusals(session: &mut Session) -> Vec<Reason> {
    let reason = |event| match event {
        Event::Refused { reason, .. } => Some(reason),
        _ => None,
    };
    events(session).into_iter().filter_map(reason).collect()
}

#[test]
fn channels_are_bounded_for_each_session_and_for_all() {
    let limits = Limits {
        channels_owned_max: 2,
        channels_entered_max: 1,
        channels_total_max: 3,
        ..Limits::default()
    };
    let hub = hub(limits);
    let now = Instant::now();
    let (mut one, mut other, mut third) = (open(&hub, now), open(&hub, now), open(&hub, now));
    for name in ["a", "b", "c"] {
        ask(&mut one, Command::create(1, name));
    }
    assert_eq!(refusals(&mut one), [Reason::TooManyChannels]);
    ask(&mut other, Command::create(1, "c"));
    assert_eq!(refusals(&mut other), []);
    // A taken name is said before anything else (docs/peote.md, section 3.2).
    ask(&mut other, Command::create(1, "a"));
    ask(&mut other, Command::create(1, "d"));
    assert_eq!(refusals(&mut other), [Reason::NameTaken, Reason::TooManyChannels]);
    ask(&mut third, Command::enter(1, "a"));
    ask(&mut third, Command::enter(1, "b"));
    assert_eq!(refusals(&mut third), [Reason::TooManyChannels]);
    ask(&mut one, ChannelCommand::Delete(OwnedChannelId(0)));
    ask(&mut other, Command::create(1, "d"));
    assert_eq!(refusals(&mut other), [], "what is deleted is free at once");
    events(&mut third);
    ask(&mut third, Command::enter(1, "d"));
    assert_eq!(refusals(&mut third), []);
    let limits = ["channels_owned_max", "channels_entered_max", "channels_total_max"];
    assert_eq!(limits.map(|limit| hits(&hub, limit)), [1; 3], "each refusal is counted once");
}

#[test]
fn a_channel_has_as_many_members_as_hub_and_owner_allow() {
    let hub = hub(Limits { members_max: 2, ..Limits::default() });
    for (asked, allowed) in [(None, 2), (Some(1), 1), (Some(50), 2), (Some(0), 0)] {
        let now = Instant::now();
        let mut owner = open(&hub, now);
        let options = ChannelOptions { members_max: asked, ..ChannelOptions::default() };
        let name = ChannelName::new("a").expect("a short name");
        let request = 1;
        ask(&mut owner, ChannelCommand::Create { request, name, options });
        let mut members: Vec<Session> = (0..=allowed).map(|_| open(&hub, now)).collect();
        for member in &mut members {
            ask(member, Command::enter(1, "a"));
        }
        let (last, others) = members.split_last_mut().expect("one more than allowed");
        assert_eq!(refusals(last), [Reason::Full]);
        for member in others {
            assert_eq!(refusals(member), []);
            ask(member, ChannelCommand::Leave(JoinedChannelId(0)));
            ask(last, Command::enter(1, "a"));
            assert_eq!(refusals(last), [], "who leaves makes room at once");
            ask(last, ChannelCommand::Leave(JoinedChannelId(0)));
        }
    }
}

#[test]
fn names_are_bounded_by_the_hub() {
    let hub = hub(Limits { channel_name_bytes_max: 3, ..Limits::default() });
    let mut owner = open(&hub, Instant::now());
    ask(&mut owner, Command::create(1, "abc"));
    ask(&mut owner, Command::create(1, "abcd"));
    assert_eq!(refusals(&mut owner), [Reason::TooLarge]);
    assert_eq!(hub.channels(), 1);
}

#[test]
fn connections_are_bounded_in_all_and_from_each_address_but_loopback() {
    let limits = Limits { connections_max: 6, connections_per_address_max: 2, ..Limits::default() };
    let address = |last| Some(IpAddr::V4(Ipv4Addr::new(192, 0, 2, last)));
    let hub = hub(limits.clone());
    let (one, other) = (address(1), address(2));
    let first = hub.admit(one).expect("there is room");
    let _second = hub.admit(one).expect("there is room");
    let full = Err(Reason::TooManyConnections);
    assert_eq!(hub.admit(one).map(drop), full);
    let _third = hub.admit(other).expect("another address");
    drop(first);
    let _fourth = hub.admit(one).expect("a place was given back");
    // Loopback, in each of its forms, and endpoints of the program itself count only in all.
    let mapped = Ipv4Addr::LOCALHOST.to_ipv6_mapped();
    let local = [
        Some(IpAddr::V6(Ipv6Addr::LOCALHOST)),
        Some(IpAddr::V6(mapped)),
        Some(IpAddr::V4(Ipv4Addr::new(127, 0, 0, 9))),
        None,
    ];
    for address in local {
        let three: Vec<_> = (0..3).map(|_| hub.admit(address)).collect();
        assert!(three.iter().all(Result::is_ok));
        assert_eq!(hub.admit(address).map(drop), full, "in all");
    }
    assert_eq!(hub.metrics.connections.get(), 3);

    let strict = Limits { loopback_exempt: false, ..limits.clone() };
    let strict = Hub::new(HubOptions { limits: strict, ..HubOptions::default() });
    let local = Some(IpAddr::V4(Ipv4Addr::LOCALHOST));
    let two = [strict.admit(local), strict.admit(local)];
    assert!(two.iter().all(Result::is_ok));
    assert_eq!(strict.admit(local).map(drop), full);

    // From a proxy as many as there are clients, which are counted when it has told who they are.
    let proxies = ["10.0.0.1".parse().unwrap()].into_iter().collect();
    let behind = Limits { trusted_proxies: proxies, ..limits.clone() };
    let behind = Hub::new(HubOptions { limits: behind, ..HubOptions::default() });
    let proxy = Some(IpAddr::V4(Ipv4Addr::new(10, 0, 0, 1)));
    let mut three = [proxy; 3].map(|proxy| behind.admit(proxy).expect("a proxy"));
    assert_eq!(three[0].come_from(one), Ok(()));
    assert_eq!(three[1].come_from(one), Ok(()));
    assert_eq!(three[1].come_from(one), Ok(()), "it is the same one");
    assert_eq!(three[2].come_from(one), full.map(drop));
    assert_eq!(three[2].come_from(other), Ok(()));
    assert_eq!(behind.admit(one).map(drop), full);
    drop(three);
    assert!(behind.admit(one).is_ok() && behind.admit(other).is_ok());

    // Half an IPv6 address is one who has it all.
    let half = |last| Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 2, last, 0, 0, last)));
    let neighbour = Some(IpAddr::V6(Ipv6Addr::new(0x2001, 0xdb8, 1, 3, 0, 0, 0, 1)));
    let hub = Hub::new(HubOptions { limits: limits.clone(), ..HubOptions::default() });
    let three = [half(1), half(2), neighbour].map(|address| hub.admit(address));
    assert!(three.iter().all(Result::is_ok));
    assert_eq!(hub.admit(half(3)).map(drop), full);

    let unlimited = Limits { connections_per_address_max: 0, ..limits };
    let unlimited = Hub::new(HubOptions { limits: unlimited, ..HubOptions::default() });
    let all: Vec<_> = (0..6).map(|_| unlimited.admit(one)).collect();
    assert!(all.iter().all(Result::is_ok));
}

#[test]
fn long_names_of_endpoints_end_the_session() {
    let hub = narrow();
    for (length, step) in [(255, Step::Go), (256, Step::Close(Reason::TooLarge))] {
        let now = Instant::now();
        let mut session = hub.open(now, None, &LINES, Box::new(Woken::default()));
        let hello = Hello { name: Some("n".repeat(length)), ..Hello::default() };
        assert_eq!(session.execute(now, Command::Hello(hello)), step);
    }
}

#[test]
fn who_is_away_does_not_stall_and_has_all_its_time_when_it_is_back() {
    let hub = narrow();
    let (mut owner, mut member) = (open(&hub, Instant::now()), open(&hub, Instant::now()));
    ask(&mut owner, Command::create(1, "a"));
    ask(&mut member, Command::enter(1, "a"));
    take(&mut owner);
    assert_eq!(send(&mut member, UP, "for later"), Step::Go);
    let (mut pieces, lost) = (Vec::new(), Instant::now());
    assert_eq!(owner.endpoint().next(true, &mut pieces), WriteStep::Write);
    owner.endpoint().wrote(lost, &mut pieces, 0, true);
    assert_eq!(owner.endpoint().stalled(), Some(lost));
    hub.set_away(lost, owner.endpoint().id, true);
    assert_eq!(owner.endpoint().stalled(), None);
    let back = lost + Duration::from_secs(60);
    hub.set_away(back, owner.endpoint().id, false);
    assert_eq!(owner.endpoint().stalled(), Some(back));
    assert_eq!(data(&mut owner), "own 0 from 0: for later\n");
}

#[test]
fn what_is_for_those_who_came_late_is_encoded_once_for_all_of_them() {
    let hub = hub(Limits::default());
    let now = Instant::now();
    let mut owner = open(&hub, now);
    let mut early = open(&hub, now);
    ask(&mut owner, Command::create(1, "a"));
    ask(&mut early, Command::enter(1, "a"));
    let part = |total, offset, data: &'static str| Part {
        kind: Part::DATA,
        total,
        offset,
        data: Bytes::from_static(data.as_bytes()),
    };
    ask(&mut owner, Command::Send { to: ALL, part: part(4, 0, "ab") });
    let mut late = [(); 3].map(|()| {
        let mut member = open(&hub, now);
        ask(&mut member, Command::enter(1, "a"));
        take(&mut member);
        member
    });
    data(&mut early);
    for part in [part(4, 2, "cd"), part(3, 0, "new")] {
        assert_eq!(owner.execute(now, Command::Send { to: ALL, part }), Step::Go);
    }
    assert_eq!(owner.flush(now), Step::Go);
    assert_eq!(data(&mut early), "in 0: cd\nin 0: new\n");
    let got = late.each_mut().map(|member| match take(member).as_slice() {
        [Arrived::Data(bytes)] => bytes.clone(),
        other => panic!("{other:?}"),
    });
    assert_eq!(got[0], "in 0: new\n");
    assert!(got.iter().all(|bytes| bytes.as_ptr() == got[0].as_ptr()));
    // From now on they are as all others.
    assert_eq!(send(&mut owner, ALL, "next"), Step::Go);
    assert_eq!([&mut early, &mut late[0]].map(data), ["in 0: next\n"; 2]);
}
