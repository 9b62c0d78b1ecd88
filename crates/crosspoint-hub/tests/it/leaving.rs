//! Sessions that leave the hub while their connections stay.

use crate::common::*;
use crosspoint_hub::command::{
    Addressee, ChannelCommand, ChannelEvent, Command, EnterOptions, Event, LinkEvent, Target,
};
use crosspoint_hub::ledger::Purpose;
use crosspoint_hub::metrics::{ByProtocol, ByPurpose, ByReason};
use crosspoint_hub::payload::{Format, Payload};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{EVENTS, LINES, PIECES, data, events, take};
use crosspoint_hub::wire::Encoded;
use crosspoint_hub::{
    ChannelName, JoinedChannelId, Limits, LinkNumber, OwnedChannelId, Part, Reason,
};
use std::time::Instant;

fn enter_room(request: u32) -> Command {
    let name = ChannelName::new(b"room".to_vec()).unwrap();
    let options = EnterOptions { make_room: true, ..EnterOptions::default() };
    Command::Channel(ChannelCommand::Enter { request, name, options })
}

/// All that it has is free, as at its end, and those whom it concerns hear the same.
#[test]
fn a_session_that_leaves_frees_all_it_had_and_others_hear_what_they_hear_of_an_end() {
    let hear_of = |leaves: bool| {
        let hub = hub(Limits::default());
        let (mut one, mut other) = (open(&hub, 1, "ann"), open(&hub, 2, "bob"));
        for session in [&mut one, &mut other] {
            ask(session, enter_room(1));
        }
        ask(&mut one, Command::create(2, "own"));
        ask(&mut other, Command::enter(2, "own"));
        ask(&mut one, provide("sums", true));
        let _before = (events(&mut one), events(&mut other));
        join(&mut one, &mut other, 2);
        match leaves {
            true => one.leave(Reason::Bye),
            false => one.close(Reason::Bye),
        }
        let heard = events(&mut other);
        assert_eq!(hub.channels(), 1, "the room, in which the other one is");
        assert_eq!((hub.metrics.members.get(), hub.metrics.links.get()), (1, 0));
        let lines = ByProtocol { protocol: "lines" };
        assert_eq!(hub.metrics.sessions.get_or_create(&lines).get(), 1);
        // A second end is none.
        one.leave(Reason::Internal);
        drop(one);
        let bye = ByReason { reason: Reason::Bye.word() };
        assert_eq!(hub.metrics.closed.get_or_create(&bye).get(), 1);
        assert_eq!(events(&mut other), []);
        let service = Addressee::Service(name("sums"));
        assert_eq!(refused(&mut other, link(service)), Some(Reason::NoSuchPeer));
        heard
    };
    let (left, ended) = (hear_of(true), hear_of(false));
    assert_eq!(left, ended);
    let channel = JoinedChannelId(1);
    let own = Event::Channel(ChannelEvent::Ended { channel, reason: Reason::ClosedByOwner });
    let link = Event::Link(LinkEvent::Closed { link: LinkNumber(0), reason: Reason::Left });
    assert!(left.contains(&own) && left.contains(&link), "{left:?}");
}

#[test]
fn the_id_and_name_of_one_who_has_left_are_free_while_it_is_connected() {
    let hub = hub(Limits::default());
    let mut one = open(&hub, 1, "ann");
    let (_, _, step) = try_open(&hub, &LINES, hello(1, "ann", false));
    assert_eq!(step, Step::Close(Reason::IdTaken));
    one.leave(Reason::Bye);
    let again = open(&hub, 1, "ann");
    // The end of the former concerns nobody.
    drop(one);
    assert_eq!(again.hub().sessions(), 1);
    let (_, _, step) = try_open(&hub, &LINES, hello(1, "ann", false));
    assert_eq!(step, Step::Close(Reason::IdTaken));
}

#[test]
fn one_who_has_left_is_told_nothing_more_and_holds_nothing_and_what_its_protocol_writes_is_sent() {
    let hub = hub(Limits::default());
    let (mut one, _, _) = try_open(&hub, &EVENTS, hello(1, "ann", false));
    let mut other = open(&hub, 2, "");
    let _before = take(&mut one);
    ask(&mut other, Command::create(1, "own"));
    ask(&mut one, Command::enter(1, "own"));
    let _before = (take(&mut one), take(&mut other));
    let (number, _) = join(&mut other, &mut one, 1);
    let own = |bytes: &'static [u8]| Encoded { first: bytes.into(), rest: vec![] };
    one.endpoint().push_own(&own(b"first "));
    assert_eq!(send(&mut other, number, &line(1)), Step::Go);
    assert!(one.endpoint().cost() > 1000);
    one.leave(Reason::Bye);
    assert!(one.endpoint().cost() < 1000, "what it was to be told is dropped");
    one.endpoint().push_own(&own(b"second"));
    assert_eq!(data(&mut one), "first second");
    // Nobody else reaches it any more.
    assert!(!hub.tell(peer_id(1), Payload::new(Format::JSON, "1")));
    let to = Target::Everyone(OwnedChannelId(0), None);
    ask(&mut other, Command::Send { to, part: Part::whole("to all") });
    assert_eq!((take(&mut one), one.endpoint().is_empty()), (vec![], true));
    let stored = ByPurpose { purpose: Purpose::Stored.word(), protocol: "events" };
    assert_eq!(hub.metrics.memory.get_or_create(&stored).get(), 0);
    // It still can be ended from outside, as when memory is short.
    one.endpoint().kill(Reason::SlowReceiver);
    one.close(Reason::SlowReceiver);
}

/// As it waited for room there, nobody would wake it.
#[test]
fn those_who_wait_for_room_at_one_who_leaves_go_on() {
    let hub = narrow();
    let (mut one, mut sender) = (open(&hub, 1, ""), open(&hub, 2, ""));
    let (mut waiting, woken, _) = try_open(&hub, &PIECES, hello(3, "", false));
    let _before = take(&mut waiting);
    ask(&mut one, Command::create(1, "own"));
    ask(&mut waiting, Command::enter(1, "own"));
    let _before = (events(&mut one), events(&mut sender), events(&mut waiting));
    let up = || Command::Send { to: Target::Up(JoinedChannelId(0)), part: Part::whole(line(0)) };
    while execute(&mut waiting, up()) == Step::Go {}
    let before = woken.times();
    one.leave(Reason::Bye);
    assert!(woken.times() > before);
    assert_eq!(waiting.flush(Instant::now()), Step::Go);
}
