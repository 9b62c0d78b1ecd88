//! Who gets in: bans, passwords, owners that are asked, and rooms.

use crate::common::hits;
use bytes::Bytes;
use crosspoint_hub::command::{
    Ban, ChannelCommand, ChannelEvent, ChannelOptions, Command, EnterOptions, Event, Hello, Mode,
    Target,
};
use crosspoint_hub::endpoint::{Endpoint, Outlet};
use crosspoint_hub::hub::RoomOptions;
use crosspoint_hub::networks::Prefixes;
use crosspoint_hub::operators::Whom;
use crosspoint_hub::permissions::{Pattern, Rule};
use crosspoint_hub::rules::{ChannelRule, Who};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Events, LINES, PIECES, data, events, open, open_as, take};
use crosspoint_hub::wire::{Profile, Wire};
use crosspoint_hub::{
    ChannelName, Grant, Hub, HubOptions, JoinedChannelId, Limits, MemberNumber, OwnedChannelId,
    Part, PeerId, Permissions, Reason, Session,
};
use std::net::{IpAddr, Ipv4Addr};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn name(name: &str) -> ChannelName {
    ChannelName::new(name.as_bytes().to_vec()).expect("a short name")
}

fn ask_at(now: Instant, session: &mut Session, command: impl Into<Command>) {
    let command = command.into();
    assert_eq!(session.execute(now, command), Step::Go);
    assert_eq!(session.flush(now), Step::Go);
}

fn ask(session: &mut Session, command: impl Into<Command>) {
    let command = command.into();
    ask_at(Instant::now(), session, command);
}

fn create(session: &mut Session, options: ChannelOptions) {
    let (request, name) = (1, name("a"));
    ask(session, ChannelCommand::Create { request, name, options });
    assert!(matches!(events(session)[..], [Event::Channel(ChannelEvent::Created { .. })]));
}

fn enter(room: &str, options: EnterOptions) -> Command {
    Command::Channel(ChannelCommand::Enter { request: 5, name: name(room), options })
}

/// Tries to enter, and gives the reason why not.
fn try_at(now: Instant, session: &mut Session) -> Option<Reason> {
    ask_at(now, session, Command::enter(5, "a"));
    answer(session)
}

fn answer(session: &mut Session) -> Option<Reason> {
    match events(session)[..] {
        [Event::Channel(ChannelEvent::Entered(entered))] if entered.request == 5 => None,
        [Event::Refused { request: 5, create: false, reason }] => Some(reason),
        ref other => panic!("no answer: {other:?}"),
    }
}

fn endpoint(hub: &Arc<Hub>, id: u8, last: u8) -> Session {
    let hello = Hello { peer: Some(PeerId::new([id; 16])), ..Hello::default() };
    let address = IpAddr::V4(Ipv4Addr::new(192, 0, 2, last));
    open_as(hub, Instant::now(), &LINES, Some(address), hello)
}

fn kick(member: u32, ban: Option<Ban>) -> Command {
    Command::Channel(ChannelCommand::Kick {
        channel: OwnedChannelId(0),
        member: MemberNumber(member),
        ban,
    })
}

#[test]
fn a_ban_keeps_the_peer_out_on_every_connection_and_from_its_address_if_wanted() {
    for address in [false, true] {
        let hub = Hub::new(HubOptions::default());
        let now = Instant::now();
        let mut owner = open(&hub, now);
        create(&mut owner, ChannelOptions::default());
        let mut member = endpoint(&hub, 1, 1);
        assert_eq!(try_at(now, &mut member), None);
        let time = None;
        ask(&mut owner, kick(0, Some(Ban { time, address })));
        let (channel, reason) = (JoinedChannelId(0), Reason::Banned);
        assert_eq!(events(&mut member), [Event::Channel(ChannelEvent::Ended { channel, reason })]);
        let left = Event::Channel(ChannelEvent::MemberLeft {
            channel: OwnedChannelId(0),
            member: MemberNumber(0),
            reason,
        });
        assert_eq!(events(&mut owner)[1..], [left]);
        let banned = Some(Reason::Banned);
        assert_eq!(try_at(now, &mut member), banned);
        drop(member);
        let mut member = endpoint(&hub, 1, 2);
        assert_eq!(try_at(now, &mut member), banned, "the same peer from elsewhere");
        let neighbour = try_at(now, &mut endpoint(&hub, 2, 1));
        assert_eq!(neighbour, banned.filter(|_| address));
        assert_eq!(try_at(now, &mut endpoint(&hub, 3, 3)), None);
        let peer = PeerId::new([1; 16]);
        let channel = OwnedChannelId(0);
        ask(&mut owner, ChannelCommand::Unban { channel, peer });
        assert_eq!(try_at(now, &mut member), None);
        assert_eq!(try_at(now, &mut endpoint(&hub, 4, 1)), None);
    }
}

/// Whether a ban by address of somebody at one address keeps out somebody else at another.
fn reaches(limits: &Limits, banned: &str, other: &str) -> bool {
    let limits = limits.clone();
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    let now = Instant::now();
    let mut owner = open(&hub, now);
    create(&mut owner, ChannelOptions::default());
    let [mut one, mut other] = [(1, banned), (2, other)].map(|(id, address)| {
        let hello = Hello { peer: Some(PeerId::new([id; 16])), ..Hello::default() };
        open_as(&hub, now, &LINES, Some(address.parse().unwrap()), hello)
    });
    assert_eq!(try_at(now, &mut one), None);
    ask(&mut owner, kick(0, Some(Ban { time: None, address: true })));
    assert!(matches!(events(&mut one)[..], [Event::Channel(ChannelEvent::Ended { .. })]));
    assert_eq!(try_at(now, &mut one), Some(Reason::Banned), "its peer id in any case");
    let reaches = try_at(now, &mut other) == Some(Reason::Banned);
    let for_the_id_alone = hub.metrics.bans_without_address.get() == 1;
    assert!(!(reaches && for_the_id_alone));
    reaches
}

#[test]
fn a_ban_by_address_is_by_the_same_prefix_as_limits() {
    let usual = Limits::default();
    assert!(reaches(&usual, "2001:db8:1:2::1", "2001:db8:1:2:ffff::9"));
    assert!(!reaches(&usual, "2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert!(reaches(&usual, "::ffff:192.0.2.1", "192.0.2.1"));
    assert!(!reaches(&usual, "192.0.2.1", "192.0.2.2"));
    let wide = Limits { prefixes: Prefixes { ipv4: 24, ipv6: 48 }, ..usual };
    assert!(reaches(&wide, "2001:db8:1:2::1", "2001:db8:1:3::1"));
    assert!(reaches(&wide, "192.0.2.1", "192.0.2.2"));
}

#[test]
fn a_ban_by_an_address_that_many_share_holds_for_the_peer_id_alone() {
    let usual = Limits::default();
    assert!(!reaches(&usual, "127.0.0.1", "127.0.0.1"));
    assert!(!reaches(&usual, "::1", "::1"));
    let strict = Limits { loopback_exempt: false, ..usual.clone() };
    assert!(reaches(&strict, "127.0.0.1", "127.0.0.1"));
    let proxies = ["10.0.0.0/8".parse().unwrap()].into_iter().collect();
    let behind = Limits { trusted_proxies: proxies, ..usual };
    assert!(!reaches(&behind, "10.0.0.1", "10.0.0.1"));
    assert!(reaches(&behind, "192.0.2.1", "192.0.2.1"), "behind the proxy");
}

#[test]
fn a_ban_ends_after_its_time_and_a_kick_is_none() {
    let hub = Hub::new(HubOptions::default());
    let now = Instant::now();
    let mut owner = open(&hub, now);
    create(&mut owner, ChannelOptions::default());
    let mut member = endpoint(&hub, 1, 1);
    assert_eq!(try_at(now, &mut member), None);
    let ban = Ban { time: Some(Duration::from_secs(10)), address: false };
    ask_at(now, &mut owner, kick(0, Some(ban)));
    events(&mut member);
    let almost = now + Duration::from_millis(9_999);
    assert_eq!(try_at(almost, &mut member), Some(Reason::Banned));
    let over = now + Duration::from_secs(10);
    assert_eq!(try_at(over, &mut member), None);
    ask_at(over, &mut owner, kick(0, None));
    let (channel, reason) = (JoinedChannelId(0), Reason::Kicked);
    assert_eq!(events(&mut member), [Event::Channel(ChannelEvent::Ended { channel, reason })]);
    assert_eq!(try_at(over, &mut member), None);
}

#[test]
fn the_oldest_ban_is_forgotten_when_there_are_too_many() {
    let limits = Limits { bans_max: 2, ..Limits::default() };
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    let now = Instant::now();
    let mut owner = open(&hub, now);
    create(&mut owner, ChannelOptions::default());
    let mut members: Vec<Session> = (1..4).map(|id| endpoint(&hub, id, id)).collect();
    for member in &mut members {
        assert_eq!(try_at(now, member), None);
        let (time, address) = (None, false);
        ask(&mut owner, kick(0, Some(Ban { time, address })));
        events(member);
    }
    let banned = Some(Reason::Banned);
    let tries: Vec<_> = members.iter_mut().map(|m| try_at(now, m)).collect();
    assert_eq!(tries, [None, banned, banned]);
}

#[test]
fn a_password_has_to_be_given_as_it_was_set() {
    let hub = Hub::new(HubOptions::default());
    let mut owner = open(&hub, Instant::now());
    let password = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    create(
        &mut owner,
        ChannelOptions { password: password("secret"), ..ChannelOptions::default() },
    );
    let mut member = open(&hub, Instant::now());
    for wrong in [None, password(""), password("secre"), password("secret!")] {
        let options = EnterOptions { password: wrong, ..EnterOptions::default() };
        ask(&mut member, enter("a", options));
        assert_eq!(answer(&mut member), Some(Reason::WrongPassword));
    }
    let options = EnterOptions { password: password("secret"), ..EnterOptions::default() };
    ask(&mut member, enter("a", options));
    assert_eq!(answer(&mut member), None);
}

/// A hub with a channel whose owner decides.
fn asked(pending: usize) -> (Arc<Hub>, Session) {
    let limits = Limits { commands_pending_max: pending, ..Limits::default() };
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    let mut owner = open(&hub, Instant::now());
    let options =
        ChannelOptions { approve: true, members_max: Some(2), ..ChannelOptions::default() };
    create(&mut owner, options);
    (hub, owner)
}

fn knocks(owner: &mut Session) -> Vec<u32> {
    let ticket = |event| match event {
        Event::Channel(ChannelEvent::Knock { ticket, .. }) => Some(ticket),
        _ => None,
    };
    events(owner).into_iter().filter_map(ticket).collect()
}

fn decide(owner: &mut Session, ticket: u32, admit: bool) {
    let channel = OwnedChannelId(0);
    ask(owner, ChannelCommand::Admit { channel, ticket, admit });
}

fn apply(hub: &Arc<Hub>) -> Session {
    let mut applicant = open(hub, Instant::now());
    ask(&mut applicant, Command::enter(5, "a"));
    assert_eq!(events(&mut applicant), [], "the owner is asked first");
    applicant
}

#[test]
fn an_owner_that_is_asked_lets_in_or_not() {
    let (hub, mut owner) = asked(64);
    let mut applicant = open(&hub, Instant::now());
    let credentials = Bytes::from_static(b"a ticket");
    let options = EnterOptions { credentials: credentials.clone(), ..EnterOptions::default() };
    ask(&mut applicant, enter("a", options));
    let peer = applicant.endpoint().peer().cloned().expect("has said hello");
    let knock = Event::Channel(ChannelEvent::Knock {
        channel: OwnedChannelId(0),
        ticket: 0,
        peer: peer.clone(),
        credentials: Box::from(&*credentials),
    });
    assert_eq!(events(&mut owner), [knock]);
    let mut other = apply(&hub);
    assert_eq!(knocks(&mut owner), [1]);
    assert_eq!(hub.metrics.members.get(), 0);
    decide(&mut owner, 1, false);
    decide(&mut owner, 0, true);
    assert_eq!(answer(&mut other), Some(Reason::NotAdmitted));
    assert_eq!(answer(&mut applicant), None);
    let entered = Event::Channel(ChannelEvent::MemberEntered {
        channel: OwnedChannelId(0),
        member: MemberNumber(0),
        peer,
        chunk: None,
        replies: true,
    });
    assert_eq!(events(&mut owner), [entered]);
    assert_eq!(hub.metrics.members.get(), 1);
    // Answered is answered.
    decide(&mut owner, 0, true);
    decide(&mut owner, 1, true);
    decide(&mut owner, 99, true);
    assert_eq!(events(&mut other), []);
    assert_eq!(events(&mut owner), []);
    assert_eq!(hub.metrics.members.get(), 1);
}

#[test]
fn an_applicant_whose_owner_goes_is_told_and_one_that_goes_is_forgotten() {
    let (hub, mut owner) = asked(64);
    let gone = apply(&hub);
    drop(gone);
    let mut waiting = apply(&hub);
    let tickets = knocks(&mut owner);
    // The late answer lets nobody else in.
    decide(&mut owner, tickets[0], true);
    assert_eq!(events(&mut waiting), []);
    assert_eq!(hub.metrics.members.get(), 0);
    drop(owner);
    assert_eq!(answer(&mut waiting), Some(Reason::NoSuchName));
    // Its number is free again, and it waits for nothing.
    let mut next = open(&hub, Instant::now());
    create(&mut next, ChannelOptions::default());
    ask(&mut waiting, Command::enter(5, "a"));
    let events = events(&mut waiting);
    assert!(
        matches!(events[..], [Event::Channel(ChannelEvent::Entered(entered))] if entered.channel == JoinedChannelId(0))
    );
}

#[test]
fn one_that_was_let_in_and_goes_before_it_knows_is_told_to_the_owner_once() {
    let (hub, mut owner) = asked(64);
    let applicant = apply(&hub);
    let tickets = knocks(&mut owner);
    decide(&mut owner, tickets[0], true);
    assert_eq!(hub.metrics.members.get(), 1);
    drop(applicant);
    let heard = events(&mut owner);
    assert!(matches!(
        heard[..],
        [
            Event::Channel(ChannelEvent::MemberEntered { .. }),
            Event::Channel(ChannelEvent::MemberLeft { reason: Reason::ConnectionLost, .. })
        ]
    ));
    assert_eq!(hub.metrics.members.get(), 0);
}

#[test]
fn nobody_is_let_into_a_channel_that_became_full_meanwhile() {
    let (hub, mut owner) = asked(64);
    let mut applicants: Vec<Session> = (0..3).map(|_| apply(&hub)).collect();
    for ticket in knocks(&mut owner) {
        decide(&mut owner, ticket, true);
    }
    let answers: Vec<_> = applicants.iter_mut().map(answer).collect();
    assert_eq!(answers, [None, None, Some(Reason::Full)]);
}

#[test]
fn those_that_wait_are_bounded_for_each_channel_and_each_session() {
    let (hub, mut owner) = asked(2);
    let _waiting = [apply(&hub), apply(&hub)];
    let mut third = open(&hub, Instant::now());
    assert_eq!(try_at(Instant::now(), &mut third), Some(Reason::TooManyPending));
    let ticket = knocks(&mut owner)[0];
    decide(&mut owner, ticket, false);
    let mut third = apply(&hub);
    for other in ["b", "c"] {
        let (request, name) = (1, name(other));
        let options = ChannelOptions { approve: true, ..ChannelOptions::default() };
        ask(&mut owner, ChannelCommand::Create { request, name, options });
    }
    ask(&mut third, Command::enter(5, "b"));
    assert_eq!(events(&mut third), []);
    ask(&mut third, Command::enter(5, "c"));
    assert_eq!(answer(&mut third), Some(Reason::TooManyPending));
}

#[test]
fn who_waits_for_the_owner_can_take_the_wish_back_and_wish_again() {
    let (hub, mut owner) = asked(64);
    let mut applicant = apply(&hub);
    let withdraw = |applicant: &mut Session| ask(applicant, ChannelCommand::Withdraw(name("a")));
    withdraw(&mut applicant);
    for ticket in knocks(&mut owner) {
        decide(&mut owner, ticket, true);
    }
    assert_eq!((events(&mut applicant), events(&mut owner)), (vec![], vec![]));
    ask(&mut applicant, Command::enter(6, "a"));
    let tickets = knocks(&mut owner);
    // The owner decides before the wish is taken back, and the applicant has not heard of that yet.
    decide(&mut owner, tickets[0], true);
    withdraw(&mut applicant);
    assert_eq!(events(&mut applicant), []);
    assert_eq!(hub.metrics.members.get(), 0);
    ask(&mut applicant, Command::enter(7, "a"));
    let tickets = knocks(&mut owner);
    decide(&mut owner, tickets[0], true);
    assert!(matches!(events(&mut applicant)[..], [Event::Channel(ChannelEvent::Entered(_))]));
    // A member is none that waits.
    withdraw(&mut applicant);
    assert_eq!((events(&mut applicant), hub.metrics.members.get()), (vec![], 1));
}

#[test]
fn credentials_are_bounded() {
    let (hub, mut owner) = asked(64);
    let mut applicant = open(&hub, Instant::now());
    let options = EnterOptions {
        credentials: vec![0; EnterOptions::CREDENTIALS_BYTES_MAX + 1].into(),
        ..EnterOptions::default()
    };
    ask(&mut applicant, enter("a", options));
    assert_eq!(answer(&mut applicant), Some(Reason::TooLarge));
    assert_eq!(knocks(&mut owner), []);
}

fn into_room(presence: bool) -> Command {
    let options = EnterOptions { make_room: true, presence, ..EnterOptions::default() };
    enter("room", options)
}

#[test]
fn a_room_is_made_by_who_enters_and_ends_with_the_last() {
    let hub = Hub::new(HubOptions::default());
    let now = Instant::now();
    let (mut one, mut other) = (open(&hub, now), open(&hub, now));
    ask(&mut one, enter("room", EnterOptions::default()));
    assert_eq!(answer(&mut one), Some(Reason::NoSuchName), "only if wanted");
    ask(&mut one, into_room(false));
    assert!(
        matches!(events(&mut one)[..], [Event::Channel(ChannelEvent::Entered(told))] if told.room && !told.replies)
    );
    // Who knows the name needs not know that it is a room.
    ask(&mut other, enter("room", EnterOptions::default()));
    assert_eq!(answer(&mut other), None);
    let to = Target::Up(JoinedChannelId(0));
    let part = Part::whole("hello");
    ask(&mut other, Command::Send { to, part });
    assert_eq!(data(&mut one), "in 0 from 1: hello\n");
    assert_eq!(data(&mut other), "", "not to oneself");
    ask(&mut one, Command::create(1, "room"));
    let reason = Reason::NameTaken;
    let (request, create) = (1, true);
    let refused = Event::Refused { request, create, reason };
    assert_eq!(events(&mut one), [refused]);
    ask(&mut one, ChannelCommand::Leave(JoinedChannelId(0)));
    assert_eq!(hub.channels(), 1);
    drop(other);
    assert_eq!(hub.channels(), 0);
}

#[test]
fn a_room_that_was_made_on_entry_can_end_for_all_and_any_other_channel_is_left() {
    let declared = RoomOptions { name: name("lobby"), mode: Mode::default(), members_max: None };
    let hub = Hub::new(HubOptions { rooms: vec![declared], ..HubOptions::default() });
    let now = Instant::now();
    let (mut one, mut other) = (open(&hub, now), open(&hub, now));
    let channel = JoinedChannelId(0);
    let reason = Reason::ClosedByOwner;
    for (room, stays) in [("room", None), ("lobby", Some(1))] {
        let options = EnterOptions { make_room: true, ..EnterOptions::default() };
        for session in [&mut one, &mut other] {
            ask(session, enter(room, options.clone()));
            assert_eq!(answer(session), None);
        }
        ask(&mut one, ChannelCommand::Dissolve(channel));
        let members = hub.channel_members(&name(room)).map(|members| members.len());
        assert_eq!(members, stays, "{room}");
        let ended = [Event::Channel(ChannelEvent::Ended { channel, reason })];
        let told = if stays.is_none() { &ended[..] } else { &[] };
        assert_eq!((&events(&mut one)[..], &events(&mut other)[..]), (told, told), "{room}");
    }
    // Of nothing, nothing comes.
    ask(&mut one, ChannelCommand::Dissolve(channel));
    assert_eq!(events(&mut one), []);
}

#[test]
fn who_asks_for_presence_hears_who_is_there_comes_and_goes() {
    let hub = Hub::new(HubOptions::default());
    let now = Instant::now();
    let mut sessions: Vec<Session> = (0..3).map(|_| open(&hub, now)).collect();
    let [first, second, third] = &mut sessions[..] else { panic!("three") };
    for (session, presence) in [(&mut *first, true), (second, false), (third, true)] {
        ask(session, into_room(presence));
    }
    let numbers = |session: &mut Session| -> Vec<(bool, u32, Option<Reason>)> {
        let other = |event| match event {
            Event::Channel(ChannelEvent::OtherEntered { member, .. }) => {
                Some((true, member.0, None))
            }
            Event::Channel(ChannelEvent::OtherLeft { member, reason, .. }) => {
                Some((false, member.0, Some(reason)))
            }
            _ => None,
        };
        events(session).into_iter().filter_map(other).collect()
    };
    assert_eq!(numbers(first), [(true, 1, None), (true, 2, None)]);
    assert_eq!(numbers(second), [], "did not ask");
    assert_eq!(numbers(third), [(true, 0, None), (true, 1, None)]);
    ask(second, ChannelCommand::Leave(JoinedChannelId(0)));
    assert_eq!(numbers(first), [(false, 1, Some(Reason::Left))]);
    assert_eq!(numbers(third), [(false, 1, Some(Reason::Left))]);
    drop(sessions.pop());
    let lost = Some(Reason::ConnectionLost);
    assert_eq!(numbers(&mut sessions[0]), [(false, 2, lost)]);
}

fn silent(name: &str) -> Command {
    let options =
        EnterOptions { silent: true, presence: true, make_room: true, ..EnterOptions::default() };
    enter(name, options)
}

#[test]
fn who_only_speaks_in_a_room_is_heard_and_hears_nothing_and_does_not_keep_it() {
    let hub = Hub::new(HubOptions::default());
    let now = Instant::now();
    let [mut one, mut other, mut speaker, mut second] = [(); 4].map(|()| open(&hub, now));
    ask(&mut speaker, silent("room"));
    assert_eq!(answer(&mut speaker), Some(Reason::NoSuchName), "it makes no room");
    for session in [&mut one, &mut other] {
        ask(session, into_room(true));
    }
    let _each_other = (events(&mut one), events(&mut other));
    for session in [&mut speaker, &mut second] {
        ask(session, silent("room"));
        assert!(matches!(events(session)[..], [Event::Channel(ChannelEvent::Entered(_))]));
    }
    let say = |session: &mut Session, text: &'static str| {
        let to = Target::Up(JoinedChannelId(0));
        ask(session, Command::Send { to, part: Part::whole(text) });
    };
    say(&mut one, "to all");
    say(&mut speaker, "unseen");
    assert_eq!(data(&mut other), "in 0 from 0: to all\nin 0 from 2: unseen\n");
    assert_eq!(data(&mut one), "in 0 from 2: unseen\n");
    assert_eq!((take(&mut speaker), take(&mut second)), (vec![], vec![]));
    drop(second);
    assert_eq!(hub.metrics.members.get(), 3);
    ask(&mut other, ChannelCommand::Leave(JoinedChannelId(0)));
    assert!(matches!(events(&mut one)[..], [Event::Channel(ChannelEvent::OtherLeft { .. })]));
    assert_eq!(hub.channels(), 1);
    // The last one that hears something goes.
    one.close(Reason::ConnectionLost);
    let (channel, reason) = (JoinedChannelId(0), Reason::ClosedByOwner);
    assert_eq!(events(&mut speaker), [Event::Channel(ChannelEvent::Ended { channel, reason })]);
    assert_eq!((hub.channels(), hub.metrics.members.get()), (0, 0));
    // Its number is free, and the room can be made again.
    ask(&mut speaker, into_room(false));
    assert!(matches!(
        events(&mut speaker)[..],
        [Event::Channel(ChannelEvent::Entered(told))] if told.channel == channel
    ));
}

#[test]
fn who_only_speaks_in_a_channel_reaches_its_owner_and_gets_none_of_its_messages() {
    let hub = Hub::new(HubOptions::default());
    let now = Instant::now();
    let (mut owner, mut member, mut speaker) = (open(&hub, now), open(&hub, now), open(&hub, now));
    ask(&mut owner, Command::create(1, "own"));
    ask(&mut member, Command::enter(1, "own"));
    ask(&mut speaker, silent("own"));
    let _news = (events(&mut owner), events(&mut member), events(&mut speaker));
    let to = Target::Up(JoinedChannelId(0));
    ask(&mut speaker, Command::Send { to, part: Part::whole("up") });
    assert_eq!(data(&mut owner), "own 0 from 1: up\n");
    for to in [
        Target::Everyone(OwnedChannelId(0), None),
        Target::Member(OwnedChannelId(0), MemberNumber(0)),
        Target::Member(OwnedChannelId(0), MemberNumber(1)),
    ] {
        ask(&mut owner, Command::Send { to, part: Part::whole("down") });
    }
    assert_eq!(data(&mut member), "in 0: down\n".repeat(2));
    assert_eq!(take(&mut speaker), []);
}

#[test]
fn declared_rooms_stay_and_others_can_be_forbidden() {
    let room = RoomOptions { name: name("lobby"), mode: Mode::Raw, members_max: Some(1) };
    let hub =
        Hub::new(HubOptions { rooms: vec![room], rooms_on_entry: false, ..HubOptions::default() });
    let now = Instant::now();
    let (mut one, mut other) = (open(&hub, now), open(&hub, now));
    ask(&mut one, into_room(false));
    assert_eq!(answer(&mut one), Some(Reason::NotAllowed));
    ask(&mut one, Command::enter(5, "lobby"));
    let told = events(&mut one);
    assert!(
        matches!(told[..], [Event::Channel(ChannelEvent::Entered(told))] if told.room && told.mode == Mode::Raw)
    );
    ask(&mut other, Command::enter(5, "lobby"));
    assert_eq!(answer(&mut other), Some(Reason::Full));
    drop(one);
    assert_eq!(hub.channels(), 1, "declared rooms stay");
    ask(&mut other, Command::enter(5, "lobby"));
    assert_eq!(answer(&mut other), None);
}

#[test]
fn rooms_and_their_members_are_bounded() {
    let limits = Limits {
        rooms_max: 1,
        room_members_max: 1,
        channel_name_bytes_max: 4,
        ..Limits::default()
    };
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    let now = Instant::now();
    let (mut one, mut other) = (open(&hub, now), open(&hub, now));
    let make = |name: &str| {
        let options = EnterOptions { make_room: true, ..EnterOptions::default() };
        enter(name, options)
    };
    ask(&mut one, make("rooms"));
    assert_eq!(answer(&mut one), Some(Reason::TooLarge));
    ask(&mut one, make("room"));
    assert_eq!(answer(&mut one), None);
    ask(&mut other, make("room"));
    assert_eq!(answer(&mut other), Some(Reason::Full));
    ask(&mut other, make("two"));
    assert_eq!(answer(&mut other), Some(Reason::TooManyChannels));
    ask(&mut one, ChannelCommand::Leave(JoinedChannelId(0)));
    ask(&mut other, make("two"));
    assert_eq!(answer(&mut other), None, "the first has made room");
    let limits = ["channel_name_bytes_max", "rooms.members_max", "rooms.count_max"];
    assert_eq!(limits.map(|limit| hits(&hub, limit)), [1; 3]);
    assert_eq!(hits(&hub, "channels_entered_max"), 0, "each refusal is counted once");
}

#[test]
fn a_message_above_the_chunks_of_a_room_ends_its_sender_and_is_counted() {
    let room_mode = Mode::Chunk { bytes_max: 4 };
    let hub = Hub::new(HubOptions { room_mode, ..HubOptions::default() });
    let now = Instant::now();
    let mut member = open(&hub, now);
    ask_at(now, &mut member, into_room(false));
    assert_eq!(answer(&mut member), None);
    for (text, step) in [("four", Step::Go), ("fives", Step::Close(Reason::TooLarge))] {
        let (to, part) = (Target::Up(JoinedChannelId(0)), Part::whole(text));
        let ran = member.execute(now, Command::Send { to, part });
        let ran = if ran == Step::Go { member.flush(now) } else { ran };
        assert_eq!(ran, step);
    }
    assert_eq!(hits(&hub, "rooms.chunk_bytes_max"), 1);
}

#[test]
fn a_room_that_its_maker_may_not_enter_does_not_stay() {
    let limits = Limits { channels_entered_max: 0, ..Limits::default() };
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    let mut one = open(&hub, Instant::now());
    ask(&mut one, into_room(false));
    assert_eq!(answer(&mut one), Some(Reason::TooManyChannels));
    assert_eq!(hub.channels(), 0);
    assert_eq!(hub.metrics.channels.get(), 0);
}

struct Nobody;

impl Outlet for Nobody {
    fn flush(&self, _outbox: &Endpoint) {}
    fn wake(&self) {}
}

#[test]
fn who_can_present_credentials_has_to_know_the_hub_s_token_whether_it_has_links_or_not() {
    static WITHOUT_LINKS: Events = Events(Profile { links: false, ..Events::PROFILE });
    static WITHOUT_CREDENTIALS: Events = Events(Profile { credentials: false, ..Events::PROFILE });
    let token = |text: &'static str| Some(Bytes::from_static(text.as_bytes()));
    let hub = Hub::new(HubOptions { access_token: token("secret"), ..HubOptions::default() });
    let now = Instant::now();
    let hello = |wire: &'static dyn Wire, token| {
        let mut session = hub.open(now, None, wire, Box::new(Nobody));
        let hello = Hello { token, ..Hello::default() };
        session.execute(now, Command::Hello(hello))
    };
    let refused = Step::Close(Reason::NotAllowed);
    for wire in [&LINES as &'static dyn Wire, &WITHOUT_LINKS] {
        assert_eq!(hello(wire, None), refused);
        assert_eq!(hello(wire, token("wrong")), refused);
        assert_eq!(hello(wire, token("secret")), Step::Go);
    }
    for wire in [&PIECES as &'static dyn Wire, &WITHOUT_CREDENTIALS] {
        assert_eq!(hello(wire, None), Step::Go);
    }
}

#[test]
fn nothing_comes_before_the_hello_and_no_second_one_after_it() {
    let hub = Hub::new(HubOptions::default());
    let now = Instant::now();
    let malformed = Step::Close(Reason::Malformed);
    let mut session = hub.open(now, None, &LINES, Box::new(Nobody));
    assert_eq!(session.execute(now, Command::create(1, "a")), malformed);
    let to = Target::Up(JoinedChannelId(0));
    let part = Part::whole("x");
    assert_eq!(session.execute(now, Command::Send { to, part }), malformed);
    let hello = || Command::Hello(Hello::default());
    assert_eq!(session.execute(now, hello()), Step::Go);
    assert_eq!(session.execute(now, hello()), malformed);
    assert_eq!(hub.channels(), 0);
}

#[test]
fn passwords_and_tokens_are_never_shown() {
    let password = Some(Bytes::from_static(b"swordfish"));
    let create = ChannelOptions { password: password.clone(), ..ChannelOptions::default() };
    let enter = EnterOptions {
        password: password.clone(),
        credentials: Bytes::from_static(b"swordfish"),
        ..EnterOptions::default()
    };
    let hub = HubOptions { access_token: password, ..HubOptions::default() };
    let shown = format!("{create:?} {enter:?} {hub:?}");
    assert!(!shown.contains("swordfish"), "{shown}");
    assert_eq!(shown.matches("***").count(), 4);
}

#[test]
fn who_may_not_create_makes_no_room_by_entering_it() {
    let hub = Hub::new(HubOptions::default());
    let permissions = Permissions { create: Rule::Nothing, ..Permissions::ALL };
    let mut guest = hub.open(Instant::now(), None, &LINES, Box::new(Nobody));
    let grant = Grant { permissions, ..Grant::default() };
    assert_eq!(guest.welcome(Instant::now(), Hello::default(), grant), Step::Go);
    events(&mut guest);
    let room = || enter("lobby", EnterOptions { make_room: true, ..EnterOptions::default() });
    ask(&mut guest, room());
    assert_eq!(answer(&mut guest), Some(Reason::NotAllowed));
    assert_eq!(hub.channels(), 0);
    // One that is there it may enter.
    let mut host = endpoint(&hub, 1, 1);
    events(&mut host);
    ask(&mut host, room());
    assert_eq!(answer(&mut host), None);
    ask(&mut guest, room());
    assert_eq!(answer(&mut guest), None);
}

/// A hub with a rule for all names that begin with `a`.
fn ruled(set: impl FnOnce(&mut ChannelRule)) -> Arc<Hub> {
    let mut rule = ChannelRule::new(Pattern::new("a*"));
    set(&mut rule);
    Hub::new(HubOptions { channel_rules: vec![rule], ..HubOptions::default() })
}

#[test]
fn whom_a_rule_keeps_from_creating_makes_no_room_and_inherits_no_channel() {
    let host = Who { names: vec![Pattern::new("host-*")], ..Who::default() };
    let hub = ruled(|rule| rule.create = Some(host));
    let now = Instant::now();
    let named = |name: &str| {
        let hello = Hello { name: Some(name.to_owned()), ..Hello::default() };
        open_as(&hub, now, &LINES, None, hello)
    };
    let (mut host, mut bob) = (named("host-1"), named("bob"));
    let room = || enter("az", EnterOptions { make_room: true, ..EnterOptions::default() });
    ask(&mut bob, room());
    assert_eq!(answer(&mut bob), Some(Reason::NotAllowed));
    assert_eq!(hub.channels(), 0);
    ask(&mut host, room());
    assert_eq!(answer(&mut host), None);
    ask(&mut bob, room());
    assert_eq!(answer(&mut bob), None, "one that is there it may enter");

    create(&mut host, ChannelOptions::default());
    assert_eq!(try_at(now, &mut bob), None);
    let mut successor = named("host-2");
    assert_eq!(try_at(now, &mut successor), None);
    events(&mut host);
    let succeed = |member| {
        let (channel, member) = (OwnedChannelId(0), Some(MemberNumber(member)));
        Command::Channel(ChannelCommand::Succeed { request: 7, channel, member })
    };
    ask(&mut host, succeed(0));
    assert_eq!(events(&mut bob), []);
    let (request, create, reason) = (7, false, Reason::NotAllowed);
    assert_eq!(events(&mut host), [Event::Refused { request, create, reason }]);
    ask(&mut host, succeed(1));
    assert_eq!(events(&mut successor), []);
    assert_eq!(events(&mut host), [Event::Done { request }]);
    assert_eq!(hits(&hub, "channels.create"), 2);
}

#[test]
fn where_a_rule_names_nobody_nobody_creates_or_enters() {
    let nobody = Some(Who::default());
    let hub = ruled(|rule| (rule.create, rule.enter) = (nobody.clone(), None));
    let mut session = open(&hub, Instant::now());
    ask(&mut session, Command::create(5, "a"));
    let reason = Reason::NotAllowed;
    assert_eq!(events(&mut session), [Event::Refused { request: 5, create: true, reason }]);
    let hub = ruled(|rule| rule.enter = nobody);
    let mut owner = open(&hub, Instant::now());
    create(&mut owner, ChannelOptions::default());
    let mut session = open(&hub, Instant::now());
    assert_eq!(try_at(Instant::now(), &mut session), Some(Reason::NotAllowed));
}

#[test]
fn who_leaves_and_enters_again_gains_nothing_against_the_rate_of_a_rule() {
    let hub = ruled(|rule| rule.messages_per_second_max = 5);
    let now = Instant::now();
    let mut owners = [open(&hub, now), open(&hub, now)];
    for (owner, room) in owners.iter_mut().zip(["a", "a2"]) {
        ask(owner, Command::create(1, room));
    }
    let mut member = open(&hub, now);
    let send = |member: &mut Session| {
        let (to, part) = (Target::Up(JoinedChannelId(0)), Part::whole("hello"));
        ask_at(now, member, Command::Send { to, part });
        member.ruled()
    };
    let enter_at = |now, member: &mut Session, room| {
        ask_at(now, member, Command::enter(5, room));
        assert_eq!(answer(member), None);
    };
    // A second's worth is free, under one rule, however often it leaves or is thrown out.
    let after = |millis| Some(now + Duration::from_millis(millis));
    for (sent, room) in ["a", "a2", "a", "a", "a", "a", "a"].into_iter().enumerate() {
        enter_at(now, &mut member, room);
        let slowed = [None, None, None, None, None, after(200), after(400)][sent];
        assert_eq!(send(&mut member), slowed, "message {sent}");
        if sent == 3 {
            ask_at(now, &mut owners[0], kick(0, None));
            events(&mut member);
        } else {
            ask_at(now, &mut member, ChannelCommand::Leave(JoinedChannelId(0)));
        }
    }
    // It is as any other again when a second's worth and the debt have come back.
    let later = now + Duration::from_millis(1400);
    enter_at(later, &mut member, "a");
    for sent in 0..6 {
        let (to, part) = (Target::Up(JoinedChannelId(0)), Part::whole("hello"));
        ask_at(later, &mut member, Command::Send { to, part });
        assert_eq!(member.ruled().is_some(), sent == 5, "message {sent}");
    }
}

#[test]
fn a_ban_refuses_those_who_wait_for_the_owner_s_decision() {
    let (hub, mut owner) = asked(64);
    let [mut member, mut waiting, mut far] = [(1, 1), (2, 1), (3, 3)].map(|(id, last)| {
        let mut session = endpoint(&hub, id, last);
        ask(&mut session, Command::enter(5, "a"));
        session
    });
    let tickets = knocks(&mut owner);
    decide(&mut owner, tickets[0], true);
    assert_eq!(answer(&mut member), None);
    ask(&mut owner, kick(0, Some(Ban { time: None, address: true })));
    assert_eq!(answer(&mut waiting), Some(Reason::Banned));
    for ticket in &tickets[1..] {
        decide(&mut owner, *ticket, true);
    }
    assert_eq!(events(&mut waiting), []);
    assert_eq!(answer(&mut far), None, "nobody else");
    assert_eq!(hub.metrics.members.get(), 1);
    // The hub application bans by id those who are not there.
    ask(
        &mut owner,
        ChannelCommand::Unban { channel: OwnedChannelId(0), peer: PeerId::new([1; 16]) },
    );
    ask(&mut waiting, Command::enter(5, "a"));
    let (now, ban) = (Instant::now(), Some(Ban { time: None, address: false }));
    hub.kick(now, &name("a"), Whom::Peer(PeerId::new([2; 16])), ban);
    assert_eq!(answer(&mut waiting), Some(Reason::Banned));
}
