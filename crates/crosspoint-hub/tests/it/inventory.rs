//! What operators see and do.

use crate::common::*;
use crosspoint_hub::command::{
    Addressee, ChannelCommand, ChannelEvent, Command, Event, Hello, Target,
};
use crosspoint_hub::hub::RoomOptions;
use crosspoint_hub::inventory::{ChannelOf, LinkOf, NotEnded, Participant, Totals};
use crosspoint_hub::peers::Duplicates;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{EVENTS, LINES, PIECES, data, events, take};
use crosspoint_hub::{
    ChannelName, Hub, HubOptions, JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId, Part,
    Reason, Session,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn channel(name: &str) -> ChannelName {
    ChannelName::new(name.to_owned()).expect("a short name")
}

fn room(name: &str) -> RoomOptions {
    RoomOptions { name: channel(name), mode: Default::default(), members_max: Some(7) }
}

fn with_room() -> Arc<Hub> {
    Hub::new(HubOptions { rooms: vec![room("lobby")], ..HubOptions::default() })
}

/// Enters a room, which is made if there is none. Gives its numbers at the session.
fn enter(session: &mut Session, name: &str) -> (JoinedChannelId, MemberNumber) {
    let Command::Channel(ChannelCommand::Enter { request, name, mut options }) =
        Command::enter(1, name)
    else {
        panic!("another command")
    };
    options.make_room = true;
    ask(session, ChannelCommand::Enter { request, name, options });
    let told = events(session);
    let entered = told.iter().find_map(|event| match event {
        Event::Channel(ChannelEvent::Entered(entered)) => Some((entered.channel, entered.member)),
        _ => None,
    });
    entered.unwrap_or_else(|| panic!("not let in: {told:?}"))
}

fn number(session: &Session) -> u64 {
    session.endpoint().id
}

fn ended(number: u32, reason: Reason) -> Event {
    Event::Channel(ChannelEvent::Ended { channel: JoinedChannelId(number), reason })
}

#[test]
fn sessions_are_listed_with_what_they_are_and_those_that_were_replaced_are_not() {
    let options = HubOptions { duplicates: Duplicates::Newest, ..HubOptions::default() };
    let hub = Hub::new(options);
    let begun = Instant::now();
    let first = open(&hub, 1, "ann");
    let (second, ..) = try_open(&hub, &LINES, hello(2, "ann", false));
    let stranger = hub.open(begun, None, &LINES, Box::new(Woken::default()));
    let (pieces, _, _) = try_open(&hub, &PIECES, hello(3, "", true));
    let listed = hub.session_infos();
    let seen: Vec<_> = listed.iter().map(|one| (one.who.session, one.who.peer.id)).collect();
    let expected = [(&first, 1), (&second, 2), (&pieces, 3)];
    assert_eq!(seen, expected.map(|(session, id)| (number(session), peer_id(id))));
    let names: Vec<_> = listed.iter().map(|one| one.who.peer.name.as_deref()).collect();
    assert_eq!(names, [Some("ann"), Some("ann"), None], "both who share a name");
    assert_eq!(listed.iter().map(|one| one.proven).collect::<Vec<_>>(), [false, false, true]);
    assert!(listed.iter().all(|one| one.since >= begun && !one.away && !one.application));
    assert!(listed.iter().all(|one| one.memory_bytes > 0 && one.round_trip.is_none()));
    assert_eq!(hub.totals(), Totals { sessions: 3, ..Totals::default() });
    assert_eq!(hub.sessions(), 4, "one has not said who it is");
    assert_eq!(hub.session_detail(number(&stranger), 1), None);
    assert_eq!(hub.disconnect_session(number(&stranger), Reason::Kicked), Err(NotEnded::Gone));

    // One with a proof takes the id over.
    let (proven, ..) = try_open(&hub, &LINES, hello(1, "", true));
    let seen: Vec<_> = hub.session_infos().iter().map(|one| one.who.session).collect();
    assert_eq!(seen, [&proven, &second, &pieces].map(number));
    assert_eq!(hub.disconnect_session(number(&first), Reason::Kicked), Err(NotEnded::Gone));
}

#[test]
fn what_waits_and_what_went_in_and_out_is_known_of_each_session() {
    let hub = hub(Default::default());
    let (mut one, mut other) = (open(&hub, 1, ""), open(&hub, 2, ""));
    let (mut third, ..) = try_open(&hub, &EVENTS, hello(3, "", false));
    for session in [&mut one, &mut other, &mut third] {
        enter(session, "room");
    }
    let traffic = |session: &Session| session.endpoint().traffic();
    let [before, _, _] = [&one, &other, &third].map(traffic);
    assert_eq!((before.messages_in, before.messages_out), (0, 0), "events are no messages");
    let to = Target::Up(JoinedChannelId(0));
    for text in ["a", "bc"] {
        let part = Part::whole(text.to_owned());
        assert_eq!(one.execute(Instant::now(), Command::Send { to, part }), Step::Go);
    }
    one.endpoint().heard(17);
    assert_eq!(one.flush(Instant::now()), Step::Go);
    assert_eq!(hub.metrics.messages_in.get(), 2);
    assert_eq!(hub.metrics.messages_out.get(), 4);
    let after = traffic(&one);
    assert_eq!((after.messages_in, after.messages_out, after.bytes_in), (2, 0, 17));
    assert_eq!([&other, &third].map(|one| traffic(one).messages_out), [2, 2]);
    let waits = |session: &Session| {
        let info = hub.session_detail(number(session), 0).expect("it is there").info;
        info.outbox_bytes
    };
    assert!(waits(&other) > 0 && waits(&third) > 0 && waits(&one) == 0);
    let before = traffic(&other).bytes_out;
    let told = data(&mut other);
    assert_eq!(traffic(&other).bytes_out - before, told.len() as u64);
    assert_eq!(waits(&other), 0);
}

#[test]
fn a_session_is_shown_with_its_channels_links_and_services() {
    let hub = with_room();
    let (mut one, mut other) = (open(&hub, 1, "one"), open(&hub, 2, ""));
    ask(&mut one, Command::create(1, "own"));
    ask(&mut other, Command::enter(1, "own"));
    take(&mut one);
    take(&mut other);
    enter(&mut other, "lobby");
    let (_, member) = enter(&mut one, "lobby");
    enter(&mut one, "made");
    for service in ["two", "one"] {
        ask(&mut one, provide(service, true));
    }
    take(&mut one);
    join(&mut one, &mut other, 2);
    join(&mut other, &mut one, 1);
    ask(&mut one, link(to(1)));
    take(&mut one);
    let detail = hub.session_detail(number(&one), 3).expect("it is there");
    let of = |name: &str, room, member| ChannelOf { name: channel(name), room, member };
    assert_eq!(
        detail.channels,
        [
            of("lobby", true, Some(member)),
            of("made", true, Some(MemberNumber(0))),
            of("own", false, None)
        ]
    );
    let participants = |name: Option<&str>, session: &Session, id| Participant {
        session: number(session),
        peer: crosspoint_hub::command::Peer {
            id: peer_id(id),
            name: name.map(Into::into),
            protocol: "lines",
        },
        address: None,
    };
    let to_other = participants(None, &other, 2);
    let to_itself = participants(Some("one"), &one, 1);
    let links: Vec<_> = detail.links.iter().map(|link| (link.number.0, &link.to)).collect();
    assert_eq!(links, [(0, &to_other), (1, &to_other), (2, &to_itself)]);
    assert_eq!(detail.link_count, 4, "both ends of the one to itself");
    assert_eq!(detail.services, [name("one"), name("two")]);
    let [service, _] = &hub.service_infos(1)[..] else { panic!("two services") };
    assert_eq!((&service.name, service.provider_count), (&name("one"), 1));
    assert_eq!(service.providers, [to_itself]);
    assert_eq!(hub.totals(), Totals { sessions: 2, channels: 3, rooms: 2, services: 2 });
    let LinkOf { number: last, .. } = detail.links[2].clone();
    assert_eq!(last, LinkNumber(2));
}

#[test]
fn members_are_given_by_pages_in_the_order_of_their_numbers() {
    let hub = with_room();
    let mut sessions: Vec<_> = (1..=5).map(|id| open(&hub, id, "")).collect();
    for session in &mut sessions {
        enter(session, "lobby");
    }
    ask(&mut sessions[1], ChannelCommand::Leave(JoinedChannelId(0)));
    let page = |places| {
        let page = hub.members_at(&channel("lobby"), places).expect("it is there");
        assert_eq!((page.channel.members, page.channel.members_max), (4, 7));
        assert!(page.channel.declared && page.channel.since.is_none());
        page.members.iter().map(|(number, one)| (number.0, one.peer.id)).collect::<Vec<_>>()
    };
    assert_eq!(page(0..2), [(0, peer_id(1)), (2, peer_id(3))]);
    assert_eq!(page(2..4), [(3, peer_id(4)), (4, peer_id(5))]);
    assert_eq!(page(4..9), []);
    assert_eq!(hub.members_at(&channel("none"), 0..1), None);
    let begun = Instant::now();
    enter(&mut sessions[0], "made");
    let made = hub.channel_list().into_iter().find(|one| one.name == channel("made"));
    let made = made.expect("it is there");
    assert!(made.room && !made.declared && made.since.is_some_and(|since| since >= begun));
}

#[test]
fn a_session_is_ended_by_its_number_and_remembered() {
    let hub = hub(Default::default());
    let mut one = open(&hub, 1, "ann");
    let number = number(&one);
    assert_eq!(hub.disconnect_session(number, Reason::Kicked), Ok(()));
    assert_eq!(events(&mut one), [Event::Closed { reason: Reason::Kicked }]);
    assert_eq!(hub.ends(), []);
    let ended_at = one.endpoint().since + Duration::from_secs(3);
    one.close_at(ended_at, Reason::Kicked);
    drop(one);
    let [ended] = &hub.ends()[..] else { panic!("one has ended") };
    assert_eq!((ended.who.session, ended.who.peer.id), (number, peer_id(1)));
    assert_eq!((ended.reason, ended.limit), (Reason::Kicked, None));
    assert_eq!((ended.at, ended.lasted), (ended_at, Duration::from_secs(3)));
    assert_eq!(hub.disconnect_session(number, Reason::Kicked), Err(NotEnded::Gone));
    assert_eq!(hub.session_infos(), []);
}

#[test]
fn the_last_256_that_have_ended_are_remembered_and_64_strangers_beside_them() {
    let hub = hub(Default::default());
    let (mut known, mut strangers) = (Vec::new(), Vec::new());
    for _ in 0..300 {
        let stranger = hub.open(Instant::now(), None, &LINES, Box::new(Woken::default()));
        strangers.push(number(&stranger));
        drop(stranger);
        let (session, ..) = try_open(&hub, &LINES, Hello::default());
        known.push(number(&session));
    }
    let ends = hub.ends();
    assert!(ends.is_sorted_by(|one, other| one.at >= other.at), "the newest first");
    let numbers = |let_in: bool| {
        let some = ends.iter().filter(|ended| ended.let_in == let_in);
        some.map(|ended| ended.who.session).collect::<Vec<_>>()
    };
    let last = |all: Vec<u64>, count| all.into_iter().rev().take(count).collect::<Vec<_>>();
    assert_eq!(numbers(true), last(known, 256));
    assert_eq!(numbers(false), last(strangers, 64));
}

#[test]
fn who_is_refused_for_a_name_is_remembered_with_it() {
    let hub = hub(Default::default());
    let _ann = open(&hub, 1, "ann");
    let hello = Hello { name: Some("ann".into()), peer: Some(peer_id(2)), ..Hello::default() };
    let (other, _, step) = try_open(&hub, &LINES, hello);
    assert_eq!(step, Step::Close(Reason::NameTaken));
    let number = number(&other);
    assert_eq!(other.said_to_be().map(|peer| peer.id), Some(peer_id(2)));
    drop(other);
    let [ended] = &hub.ends()[..] else { panic!("one has ended") };
    assert_eq!((ended.who.session, ended.let_in), (number, false));
    assert_eq!(ended.who.peer.id, peer_id(2));
    assert_eq!(ended.who.peer.name.as_deref(), Some("ann"));
}

#[test]
fn the_hub_s_own_program_is_shown_and_cannot_be_ended() {
    let hub = hub(Default::default());
    hub.set_application_peer(peer_id(9));
    let mut program = open(&hub, 9, "program");
    let [info] = &hub.session_infos()[..] else { panic!("one session") };
    assert!(info.application);
    let refused = hub.disconnect_session(number(&program), Reason::Kicked);
    assert_eq!(refused, Err(NotEnded::Application));
    assert_eq!(events(&mut program), []);
}

#[test]
fn a_room_is_closed_for_all_and_one_that_always_exists_stays() {
    let hub = with_room();
    let mut sessions = [open(&hub, 1, ""), open(&hub, 2, "")];
    for session in &mut sessions {
        assert_eq!(enter(session, "lobby").0, JoinedChannelId(0));
        assert_eq!(enter(session, "made").0, JoinedChannelId(1));
    }
    assert_eq!(hub.metrics.members.get(), 4);
    assert_eq!(hub.close_channel(&channel("lobby"), Reason::Kicked), Some(2));
    assert_eq!(hub.close_channel(&channel("made"), Reason::Kicked), Some(2));
    assert_eq!(hub.close_channel(&channel("made"), Reason::Kicked), None);
    assert_eq!(hub.totals(), Totals { sessions: 2, channels: 1, rooms: 1, services: 0 });
    assert_eq!((hub.metrics.members.get(), hub.metrics.channels.get()), (0, 1));
    for session in &mut sessions {
        let told = events(session);
        assert!(told.ends_with(&[ended(0, Reason::Kicked), ended(1, Reason::Kicked)]), "{told:?}");
        // Both can be entered again.
        assert_eq!(enter(session, "made").0, JoinedChannelId(0));
        assert_eq!(enter(session, "lobby").0, JoinedChannelId(1));
    }
    let [one, two] = sessions;
    let to = Target::Up(JoinedChannelId(1));
    let mut one = one;
    ask(&mut one, Command::Send { to, part: Part::whole("again") });
    let mut two = two;
    assert_eq!(data(&mut two), "in 1 from 0: again\n");
    drop((one, two));
    assert_eq!(hub.totals(), Totals { channels: 1, rooms: 1, ..Totals::default() });
}

#[test]
fn an_owner_that_can_be_told_keeps_its_session_when_its_channel_is_closed() {
    let hub = hub(Default::default());
    let can = Hello { deletes: true, ..hello(1, "", false) };
    let (mut owner, ..) = try_open(&hub, &LINES, can);
    let mut member = open(&hub, 2, "");
    for name in ["own", "other"] {
        ask(&mut owner, Command::create(1, name));
        ask(&mut member, Command::enter(1, name));
    }
    take(&mut owner);
    take(&mut member);
    ask(
        &mut owner,
        ChannelCommand::Succeed {
            request: 7,
            channel: OwnedChannelId(0),
            member: Some(MemberNumber(0)),
        },
    );
    // It has answered, and is the successor.
    assert_eq!(events(&mut member), []);
    assert_eq!(events(&mut owner), [Event::Done { request: 7 }]);
    assert_eq!(hub.close_channel(&channel("own"), Reason::Kicked), Some(1));
    // What it sends before it knows goes nowhere, and harms nobody.
    let (own, all) = (OwnedChannelId(0), Target::Everyone(OwnedChannelId(0), None));
    ask(&mut owner, Command::Send { to: all, part: Part::whole("lost") });
    assert_eq!(events(&mut member), [ended(0, Reason::Kicked)]);
    let deleted = ChannelEvent::Deleted { channel: own, reason: Reason::Kicked };
    assert_eq!(events(&mut owner), [Event::Channel(deleted)]);
    ask(&mut owner, Command::create(2, "own"));
    let created = ChannelEvent::Created { request: 2, channel: own };
    assert_eq!(events(&mut owner), [Event::Channel(created)], "the number is free again");
    let all = Target::Everyone(OwnedChannelId(1), None);
    ask(&mut owner, Command::Send { to: all, part: Part::whole("still") });
    assert_eq!(data(&mut member), "in 1: still\n");
}

#[test]
fn a_channel_is_closed_for_its_owner_too_and_its_name_is_free() {
    let hub = hub(Default::default());
    let (mut owner, mut member) = (open(&hub, 1, ""), open(&hub, 2, ""));
    ask(&mut owner, Command::create(1, "own"));
    ask(&mut member, Command::enter(1, "own"));
    take(&mut owner);
    take(&mut member);
    assert_eq!(hub.close_channel(&channel("own"), Reason::Kicked), Some(1));
    assert_eq!(events(&mut member), [ended(0, Reason::Kicked)]);
    assert_eq!(events(&mut owner), [Event::Closed { reason: Reason::Kicked }]);
    ask(&mut member, Command::create(2, "own"));
    let created = ChannelEvent::Created { request: 2, channel: OwnedChannelId(0) };
    assert_eq!(events(&mut member), [Event::Channel(created)]);
    owner.close(Reason::Kicked);
    assert_eq!(hub.channels(), 1, "the new one has another owner");
    assert_eq!(refused(&mut member, link(Addressee::Peer(peer_id(1)))), Some(Reason::NoSuchPeer));
}
