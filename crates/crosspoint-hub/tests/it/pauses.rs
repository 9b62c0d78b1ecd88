//! What waits for one receiver holds up only what goes to that receiver.

use crate::common::{ask, hits, join, line, link, narrow, open, to, try_open};
use bytes::Bytes;
use crosspoint_hub::command::{ChannelEvent, Command, Event, Hello, Target};
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Events, LINES, data, events};
use crosspoint_hub::wire::{Pauses, Profile};
use crosspoint_hub::{
    Hub, HubOptions, JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId, Part, Reason,
    Session,
};
use std::sync::Arc;
use std::time::{Duration, Instant};

const UP: Target = Target::Up(JoinedChannelId(0));
const ALL: Target = Target::Everyone(OwnedChannelId(0), None);

fn member(number: u32) -> Target {
    Target::Member(OwnedChannelId(0), MemberNumber(number))
}

/// A session that pauses a target when it is told to.
fn pausing(hub: &Arc<Hub>) -> Session {
    let hello = Hello { pauses: true, ..Hello::default() };
    let (mut session, _, step) = try_open(hub, &LINES, hello);
    assert_eq!(step, Step::Go);
    events(&mut session);
    session
}

/// A channel of an owner with some members. Nobody has unread events.
fn channel<const N: usize>(hub: &Arc<Hub>, owner: &mut Session) -> [Session; N] {
    ask(owner, Command::create(1, "a"));
    let members = std::array::from_fn(|index| {
        let mut member = open(hub, 100 + index as u8, "");
        ask(&mut member, Command::enter(1, "a"));
        events(&mut member);
        member
    });
    events(owner);
    members
}

fn say_at(session: &mut Session, now: Instant, to: Target, text: &str) -> Step {
    let part = Part::whole(Bytes::copy_from_slice(text.as_bytes()));
    match session.execute(now, Command::Send { to, part }) {
        Step::Go => session.flush(now),
        step => step,
    }
}

fn say(session: &mut Session, to: Target, text: &str) -> Step {
    say_at(session, Instant::now(), to, text)
}

fn death(session: &Session) -> Option<Reason> {
    match session.endpoint().next(true, &mut Vec::new()) {
        WriteStep::Dead(reason) => Some(reason),
        _ => None,
    }
}

#[test]
fn who_can_pause_is_told_and_sends_to_others_meanwhile() {
    let hub = narrow();
    let mut owner = pausing(&hub);
    let [mut stopped, mut other] = channel(&hub, &mut owner);
    let mut sent = 0;
    while stopped.endpoint().cost() < 7_500 {
        assert_eq!(say(&mut owner, member(0), &line(sent)), Step::Go);
        assert_eq!(events(&mut owner), []);
        sent += 1;
    }
    // What was on its way is taken, and the pause is told once.
    for _ in 0..5 {
        assert_eq!(say(&mut owner, member(0), &line(sent)), Step::Go);
        sent += 1;
    }
    assert_eq!(events(&mut owner), [Event::Paused { to: member(0) }]);
    for number in 0..50 {
        assert_eq!(say(&mut owner, member(1), &line(number)), Step::Go);
        assert_eq!(data(&mut other).lines().count(), 1);
    }
    let got = data(&mut stopped);
    assert_eq!(got.lines().count(), sent, "nothing of it is lost");
    let resumed = Event::Resumed { to: member(0), of: stopped.endpoint().id };
    assert_eq!(events(&mut owner), [resumed]);
    assert_eq!(death(&stopped), None);
}

#[test]
fn who_speaks_a_protocol_without_pauses_is_not_told_whatever_its_hello_says() {
    static WITHOUT_PAUSES: Events = Events(Profile { pauses: Pauses::Nothing, ..Events::PROFILE });
    let hub = narrow();
    let hello = Hello { pauses: true, ..Hello::default() };
    let (mut owner, _, step) = try_open(&hub, &WITHOUT_PAUSES, hello);
    assert_eq!(step, Step::Go);
    events(&mut owner);
    let [stopped] = channel(&hub, &mut owner);
    let mut sent = 0;
    while say(&mut owner, member(0), &line(sent)) == Step::Go {
        sent += 1;
    }
    assert!(stopped.endpoint().cost() > 7_500, "one that pauses is told at that");
    assert_eq!(events(&mut owner), []);
}

#[test]
fn who_ignores_a_pause_waits_itself_and_ends_nobody() {
    let hub = narrow();
    let (mut owner, mut heedless) = (pausing(&hub), pausing(&hub));
    let [] = channel(&hub, &mut owner);
    ask(&mut heedless, Command::enter(1, "a"));
    let mut other = open(&hub, 3, "");
    ask(&mut other, Command::enter(1, "a"));
    events(&mut owner);
    events(&mut heedless);
    let mut sent = 0;
    let step = loop {
        let step = say(&mut heedless, UP, &line(sent));
        sent += 1;
        if step != Step::Go {
            break step;
        }
    };
    assert_eq!(step, Step::Wait);
    assert!((17_000..19_000).contains(&owner.endpoint().cost()), "there is room for news");
    assert_eq!(say(&mut heedless, UP, ""), Step::Wait);
    let got = data(&mut owner);
    assert_eq!(got.lines().count(), sent - 1);
    assert_eq!(heedless.flush(Instant::now()), Step::Go);
    assert!(data(&mut owner).contains(&line(sent - 1)));
    assert_eq!(death(&owner), None);
}

#[test]
fn a_pause_ends_with_the_receiver_and_is_not_that_of_the_next_one() {
    let hub = narrow();
    let mut owner = pausing(&hub);
    let [stopped] = channel(&hub, &mut owner);
    for number in 0..11 {
        assert_eq!(say(&mut owner, member(0), &line(number)), Step::Go);
    }
    let of = stopped.endpoint().id;
    drop(stopped);
    let [paused, left, resumed] = &events(&mut owner)[..] else { panic!("three") };
    assert_eq!(*paused, Event::Paused { to: member(0) });
    assert!(matches!(left, Event::Channel(ChannelEvent::MemberLeft { .. })));
    assert_eq!(*resumed, Event::Resumed { to: member(0), of });
    let mut next = open(&hub, 7, "");
    ask(&mut next, Command::enter(1, "a"));
    events(&mut owner);
    for number in 0..11 {
        assert_eq!(say(&mut owner, member(0), &line(number)), Step::Go);
    }
    assert_eq!(events(&mut owner), [Event::Paused { to: member(0) }]);
}

/// However full the receiver is already: nobody else can make the session wait for it.
#[test]
fn a_protocol_that_holds_back_what_others_make_it_send_is_told_before_it_has_to_wait() {
    static HOLDS_BACK: Events = Events(Profile { pauses: Pauses::Links, ..Events::PROFILE });
    let hub = narrow();
    let road = Target::Link(LinkNumber(0));
    let (mut heedless, mut other) = (pausing(&hub), open(&hub, 2, ""));
    let (mut one, _, step) = try_open(&hub, &HOLDS_BACK, Hello::default());
    assert_eq!(step, Step::Go);
    for session in [&mut heedless, &mut one] {
        ask(session, link(to(2)));
        events(session);
    }
    while say(&mut heedless, road, &line(0)) == Step::Go {}
    assert!(other.endpoint().cost() > 17_000);
    assert_eq!(say(&mut one, road, "what was on its way"), Step::Go);
    assert_eq!(events(&mut one), [Event::Paused { to: road }]);
    // What it sends behind that is its client's own.
    assert_eq!(say(&mut one, road, "its own"), Step::Wait);
    data(&mut other);
    assert_eq!(one.flush(Instant::now()), Step::Go);
    assert_eq!(events(&mut one), [Event::Resumed { to: road, of: other.endpoint().id }]);
    assert_eq!(death(&other), None);
}

#[test]
fn links_and_owners_are_paused_as_well() {
    let hub = narrow();
    let (mut one, mut other) = (pausing(&hub), open(&hub, 2, ""));
    join(&mut one, &mut other, 2);
    ask(&mut other, Command::create(1, "b"));
    ask(&mut one, Command::enter(1, "b"));
    events(&mut one);
    data(&mut other);
    let road = Target::Link(LinkNumber(0));
    for number in 0..11 {
        assert_eq!(say(&mut one, road, &line(number)), Step::Go);
    }
    assert_eq!(say(&mut one, UP, "also for it"), Step::Go);
    let told = events(&mut one);
    assert_eq!(told, [Event::Paused { to: road }, Event::Paused { to: UP }]);
    data(&mut other);
    let of = other.endpoint().id;
    let resumed = |to| Event::Resumed { to, of };
    assert_eq!(events(&mut one), [resumed(road), resumed(UP)]);
    // What it has ended itself it is told no more of.
    for number in 0..11 {
        assert_eq!(say(&mut one, road, &line(number)), Step::Go);
    }
    ask(&mut one, crate::common::unlink(0));
    data(&mut other);
    assert_eq!(events(&mut one), [Event::Paused { to: road }]);
}

#[test]
fn who_cannot_pause_is_held_up_shortly_and_the_receiver_ends_at_its_bound() {
    let hub = narrow();
    let mut owner = open(&hub, 1, "");
    let [stopped, mut other] = channel(&hub, &mut owner);
    let mut now = Instant::now();
    let mut longest = Duration::ZERO;
    for number in 0..200 {
        for receiver in [0, 1] {
            let begun = now;
            let mut step = say_at(&mut owner, now, member(receiver), &line(number));
            while step == Step::Wait {
                now = owner.retry_at().expect("it goes on even if nobody reads");
                step = owner.flush(now);
            }
            assert_eq!(step, Step::Go);
            longest = longest.max(now - begun);
        }
        assert_eq!(data(&mut other).lines().count(), 1);
        now += Duration::from_millis(1);
    }
    assert!(longest <= Duration::from_millis(250), "{longest:?}");
    assert_eq!(death(&stopped), Some(Reason::SlowReceiver));
    assert_eq!(death(&other), None);
}

#[test]
fn who_cannot_pause_is_held_up_for_a_second_in_all_by_a_receiver_that_is_too_slow() {
    const MESSAGE: usize = 30_000;
    const EVERY: Duration = Duration::from_millis(50);
    let hub = Hub::new(HubOptions::default());
    let mut owner = open(&hub, 1, "");
    let [stopped, mut other] = channel(&hub, &mut owner);
    let text = "x".repeat(MESSAGE);
    let begun = Instant::now();
    let (mut now, mut late) = (begun, Duration::ZERO);
    for number in 0..400 {
        now = now.max(begun + EVERY * number);
        for receiver in [0, 1] {
            let mut step = say_at(&mut owner, now, member(receiver), &text);
            while step == Step::Wait {
                now = owner.retry_at().expect("it goes on even if nobody reads");
                step = owner.flush(now);
            }
            assert_eq!(step, Step::Go);
        }
        assert_eq!(data(&mut other).lines().count(), 1);
        late = late.max(now - (begun + EVERY * number));
    }
    assert!(late > EVERY && late <= Duration::from_secs(1), "{late:?}");
    assert_eq!(death(&stopped), Some(Reason::SlowReceiver));
    assert_eq!(death(&other), None);
}

#[test]
fn a_receiver_that_is_fast_enough_is_waited_for_by_who_cannot_pause() {
    let hub = narrow();
    let mut owner = open(&hub, 1, "");
    let [mut slow, mut other] = channel(&hub, &mut owner);
    let (mut now, mut read, mut sent) = (Instant::now(), 0, 0);
    // A flood of a second to the one, with a word for the other now and then.
    let until = now + Duration::from_secs(1);
    while now < until {
        let to = if sent % 10 == 9 { member(1) } else { member(0) };
        let mut step = say_at(&mut owner, now, to, &line(sent));
        sent += 1;
        while step == Step::Wait {
            // It takes more than it has to.
            now = owner.retry_at().expect("it sends to others too");
            read += data(&mut slow).lines().count();
            step = owner.flush(now);
        }
        data(&mut other);
        now += Duration::from_micros(10);
    }
    read += data(&mut slow).lines().count();
    assert_eq!(death(&slow), None);
    assert_eq!(read, sent - sent / 10);
    assert!(hits(&hub, "outbox_bytes_max") > 0);
}

/// What it waits for may be what its client says next.
#[test]
fn who_is_told_nothing_until_it_has_said_something_is_held_up_shortly_by_the_only_one_it_sends_to()
{
    let hub = narrow();
    let mut one = open(&hub, 1, "");
    let [stopped] = channel(&hub, &mut one);
    one.endpoint().hold_events(true);
    let begun = Instant::now();
    let mut now = begun;
    while death(&stopped).is_none() {
        let mut step = say_at(&mut one, now, member(0), &line(0));
        while step == Step::Wait {
            now = one.retry_at().expect("it goes on even if nobody reads");
            step = one.flush(now);
        }
        assert_eq!(step, Step::Go);
    }
    assert_eq!(death(&stopped), Some(Reason::SlowReceiver));
    assert!(now <= begun + Duration::from_millis(1250), "{:?}", now - begun);
}

#[test]
fn who_is_told_nothing_yet_does_not_wait_for_itself_and_ends_at_its_own_bound() {
    let hub = narrow();
    let mut one = open(&hub, 1, "");
    ask(&mut one, link(to(1)));
    events(&mut one);
    one.endpoint().hold_events(true);
    let to_itself = Target::Link(LinkNumber(0));
    let mut sent = 0;
    while death(&one).is_none() {
        assert_eq!(say(&mut one, to_itself, &line(sent)), Step::Go);
        sent += 1;
        assert!(sent < 100, "it is bounded");
    }
    assert_eq!(death(&one), Some(Reason::SlowReceiver));
}

#[test]
fn who_sends_to_one_only_waits_for_it() {
    let hub = narrow();
    let mut one = open(&hub, 1, "");
    let [mut stopped] = channel(&hub, &mut one);
    let mut sent = 0;
    while say(&mut one, member(0), &line(sent)) == Step::Go {
        sent += 1;
    }
    assert_eq!(one.retry_at(), None);
    assert_eq!(data(&mut stopped).lines().count(), sent);
    assert_eq!(one.flush(Instant::now()), Step::Go);
    ask(&mut one, link(to(100)));
    assert_eq!(say(&mut one, ALL, "all"), Step::Go);
}
