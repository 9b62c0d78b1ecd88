//! Messages that have begun and are not whole in time.

use crate::common::{ask, hits, hub, join, line, narrow, open, try_open};
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, Command, EnterOptions, Event, Hello, LinkEvent, Target,
};
use crosspoint_hub::ledger::Purpose;
use crosspoint_hub::metrics::ByPurpose;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Events, LINES, PIECES, data, events};
use crosspoint_hub::wire::Profile;
use crosspoint_hub::{
    ChannelName, Hub, JoinedChannelId, Limits, LinkNumber, MemberNumber, OwnedChannelId, Part,
    Reason, Session,
};
use std::time::{Duration, Instant};

const MOST: Duration = Duration::from_secs(600);
const UP: Target = Target::Up(JoinedChannelId(0));

/// Its messages have no parts.
static WHOLE: Events = Events(Profile { name: "whole", id: 93, whole: true, ..Events::PROFILE });

fn begin(session: &mut Session, now: Instant, to: Target) {
    part(session, now, to, 0, 20_000);
}

fn part(session: &mut Session, now: Instant, to: Target, offset: u32, bytes: usize) {
    let part = Part { kind: Part::DATA, total: 30_000, offset, data: vec![b'x'; bytes].into() };
    assert_eq!(session.execute(now, Command::Send { to, part }), Step::Go);
    assert_eq!(session.flush(now), Step::Go);
}

fn unfinished(hub: &Hub) -> i64 {
    let charged = ByPurpose { purpose: Purpose::Unfinished.word(), protocol: "lines" };
    hub.metrics.memory.get_or_create(&charged).get()
}

fn room(session: &mut Session) {
    let name = ChannelName::new(b"room".to_vec()).unwrap();
    let options = EnterOptions { make_room: true, ..EnterOptions::default() };
    ask(session, ChannelCommand::Enter { request: 1, name, options });
    events(session);
}

#[test]
fn what_is_never_whole_ends_its_sender_and_its_memory_is_given_back() {
    let hub = hub(Limits::default());
    let [mut sender, mut friend, mut other] = [1, 2, 3].map(|id| open(&hub, id, ""));
    for session in [&mut sender, &mut friend, &mut other] {
        room(session);
    }
    let begun = Instant::now();
    begin(&mut sender, begun, UP);
    let due = sender.overdue_at().expect("the message is not whole");
    assert!(due >= begun + MOST && due <= Instant::now() + MOST);
    // Neither a part more nor a message to somebody else puts it off.
    part(&mut sender, begun + MOST / 2, UP, 20_000, 5_000);
    assert_eq!(sender.overdue_at(), Some(due));
    assert!(unfinished(&hub) > 20_000);
    assert_eq!(sender.overdue(due - Duration::from_nanos(1)), Step::Go);
    assert_eq!((sender.complaint(), hits(&hub, "message_s_max")), (None, 0));
    assert_eq!(sender.overdue(due), Step::Close(Reason::IdleTimeout));
    assert_eq!(sender.complaint(), Some("a message in channel 0 was not whole after 600 s"));
    assert_eq!(hits(&hub, "message_s_max"), 1);
    sender.close(Reason::IdleTimeout);
    assert_eq!(unfinished(&hub), 0);
    begin(&mut friend, due, UP);
    part(&mut friend, due, UP, 20_000, 10_000);
    assert_eq!(data(&mut other).len(), "in 0 from 1: \n".len() + 30_000, "the room goes on");
    assert_eq!(friend.overdue_at(), None);
}

#[test]
fn over_a_link_it_ends_the_link_alone_and_both_hear_why() {
    let hub = hub(Limits::default());
    let mut sender = open(&hub, 1, "");
    let (mut receiver, _, _) = try_open(&hub, &WHOLE, crate::common::hello(2, "", false));
    events(&mut receiver);
    let links = [join(&mut sender, &mut receiver, 2), join(&mut sender, &mut receiver, 2)];
    let now = Instant::now();
    let [first, second] = links.map(|(mine, _)| Target::Link(LinkNumber(mine)));
    begin(&mut sender, now, first);
    begin(&mut sender, now + MOST / 2, second);
    let late = sender.overdue_at().unwrap();
    assert_eq!(sender.overdue(late), Step::Go);
    for (session, link) in [(&mut sender, links[0].0), (&mut receiver, links[0].1)] {
        let unlinked =
            Event::Link(LinkEvent::Closed { link: LinkNumber(link), reason: Reason::IdleTimeout });
        assert_eq!(events(session), [unlinked]);
    }
    assert!((20_000..22_000).contains(&unfinished(&hub)), "of the other one");
    part(&mut sender, late, second, 20_000, 10_000);
    assert!(matches!(events(&mut receiver)[..], [Event::Data { .. }]));
    assert_eq!((unfinished(&hub), sender.overdue_at()), (0, None));
}

/// It does not know what its members take for the length of a message.
#[test]
fn an_owner_without_borders_loses_the_member_that_takes_it_for_unfinished() {
    let hub = hub(Limits::default());
    let (mut owner, _, _) = try_open(&hub, &PIECES, Hello::default());
    ask(&mut owner, Command::create(1, "a"));
    let mut member = open(&hub, 2, "");
    ask(&mut member, Command::enter(1, "a"));
    events(&mut owner);
    events(&mut member);
    begin(&mut owner, Instant::now(), Target::Member(OwnedChannelId(0), MemberNumber(0)));
    let late = owner.overdue_at().unwrap();
    assert_eq!(owner.overdue(late), Step::Go);
    assert!(matches!(
        events(&mut owner)[..],
        [Event::Channel(ChannelEvent::MemberLeft { reason: Reason::Kicked, .. })]
    ));
    let ended =
        Event::Channel(ChannelEvent::Ended { channel: JoinedChannelId(0), reason: Reason::Kicked });
    assert_eq!(events(&mut member).last(), Some(&ended));
    assert_eq!(owner.overdue_at(), None);
}

#[test]
fn the_time_in_which_nobody_listened_does_not_count() {
    let hub = hub(Limits::default());
    let mut sender = open(&hub, 1, "");
    room(&mut sender);
    begin(&mut sender, Instant::now(), UP);
    let due = sender.overdue_at().unwrap();
    sender.unheard(MOST * 3);
    assert_eq!(sender.overdue_at(), Some(due + MOST * 3));
    assert_eq!(sender.overdue(due + MOST), Step::Go);
    assert_eq!(sender.overdue(due + MOST * 3), Step::Close(Reason::IdleTimeout));
}

#[test]
fn the_time_of_a_message_begins_anew_when_its_target_is_paused_no_more() {
    let hub = narrow();
    let (mut sender, _, _) = try_open(&hub, &LINES, Hello { pauses: true, ..Hello::default() });
    let mut receiver = open(&hub, 2, "");
    events(&mut sender);
    let (mine, _) = join(&mut sender, &mut receiver, 2);
    let (link, now) = (Target::Link(LinkNumber(mine)), Instant::now());
    let (to, part) = (link, Part { total: 30_000, ..Part::whole(line(0)) });
    let mut offset = 0;
    while !events(&mut sender).contains(&Event::Paused { to }) {
        let part = Part { offset, ..part.clone() };
        offset += part.data.len() as u32;
        assert_eq!(sender.execute(now, Command::Send { to, part }), Step::Go);
        assert_eq!(sender.flush(now), Step::Go);
    }
    let due = sender.overdue_at().unwrap();
    assert_eq!(sender.overdue(due), Step::Go, "it does what it was told");
    assert_eq!(sender.overdue_at(), Some(due + MOST));
    data(&mut receiver);
    assert!(matches!(events(&mut sender)[..], [Event::Resumed { .. }]));
    let resumed = due + MOST;
    assert_eq!(sender.overdue(resumed), Step::Go);
    assert_eq!(sender.overdue_at(), Some(resumed + MOST));
    assert_eq!(sender.overdue(resumed + MOST), Step::Go);
    let unlinked =
        Event::Link(LinkEvent::Closed { link: LinkNumber(mine), reason: Reason::IdleTimeout });
    assert_eq!(events(&mut sender), [unlinked]);
}
