//! Owners that are away, and channels that outlive theirs: who hears of it, who inherits what, and
//! who must not.

use crate::common::*;
use bytes::Bytes;
use crosspoint_hub::command::{
    Ban, ChannelCommand, ChannelEvent, ChannelOptions, Command, EnterOptions, Event, OwnerNews,
    Target,
};
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::permissions::{Grant, Pattern, Permissions, Rule};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{LINES, PIECES, data, events, take};
use crosspoint_hub::{
    ChannelName, Hub, JoinedChannelId, Limits, MemberNumber, OwnedChannelId, Part, PeerId, Reason,
    Session,
};
use std::sync::Arc;
use std::time::Instant;

const OWN: OwnedChannelId = OwnedChannelId(0);
const IN: JoinedChannelId = JoinedChannelId(0);
const UP: Target = Target::Up(IN);
const ALL: Target = Target::Everyone(OWN, None);
/// The request of every command that names a successor, where it does not matter.
const REQUEST: u32 = 70;

fn create(owner: &mut Session, channel: &str, options: ChannelOptions) {
    let name = ChannelName::new(channel.as_bytes().to_vec()).expect("a short name");
    ask(owner, ChannelCommand::Create { request: 1, name, options });
    assert!(matches!(events(owner)[..], [Event::Channel(ChannelEvent::Created { .. })]));
}

fn try_enter(session: &mut Session, options: EnterOptions) -> Vec<Event> {
    let name = ChannelName::new("a").expect("a short name");
    ask(session, ChannelCommand::Enter { request: 1, name, options });
    events(session)
}

fn enter(session: &mut Session) {
    let heard = try_enter(session, EnterOptions::default());
    assert!(matches!(heard[..], [Event::Channel(ChannelEvent::Entered(_))]), "{heard:?}");
}

fn pieces(hub: &Arc<Hub>, id: u8) -> Session {
    let (mut session, _, step) = try_open(hub, &PIECES, hello(id, "", false));
    assert_eq!(step, Step::Go);
    events(&mut session);
    session
}

/// A channel whose owner is number 1, and whose members are numbers 2 and so on. All have read.
fn channel<const N: usize>(hub: &Arc<Hub>) -> (Session, [Session; N]) {
    let mut owner = open(hub, 1, "");
    create(&mut owner, "a", ChannelOptions::default());
    let mut id = 1;
    let members = [(); N].map(|()| {
        id += 1;
        let mut member = open(hub, id, "");
        enter(&mut member);
        member
    });
    events(&mut owner);
    (owner, members)
}

fn succeed(request: u32, member: impl Into<Option<u32>>) -> Command {
    Command::Channel(ChannelCommand::Succeed {
        request,
        channel: OWN,
        member: member.into().map(MemberNumber),
    })
}

/// Names a member, which reads it and has a number free.
fn nominate(owner: &mut Session, successor: &mut Session, member: u32) {
    ask(owner, succeed(REQUEST, member));
    assert_eq!(events(successor), [], "its endpoint is told nothing");
    assert_eq!(events(owner), [Event::Done { request: REQUEST }]);
}

fn refusal(request: u32, reason: Reason) -> Event {
    Event::Refused { request, create: false, reason }
}

fn news(news: OwnerNews) -> Event {
    Event::Channel(ChannelEvent::Owner { channel: IN, news })
}

fn changed(owner: &Session) -> Event {
    news(OwnerNews::Changed(owner.endpoint().peer().expect("it has said hello").clone()))
}

fn ended(reason: Reason) -> Event {
    Event::Channel(ChannelEvent::Ended { channel: IN, reason })
}

fn left(member: u32, reason: Reason) -> Event {
    Event::Channel(ChannelEvent::MemberLeft { channel: OWN, member: MemberNumber(member), reason })
}

fn came(channel: OwnedChannelId, member: u32, who: &Session) -> Event {
    Event::Channel(ChannelEvent::MemberEntered {
        channel,
        member: MemberNumber(member),
        peer: who.endpoint().peer().expect("it has said hello").clone(),
        chunk: None,
        replies: true,
    })
}

fn say(session: &mut Session, to: Target, text: &str) {
    ask(session, Command::Send { to, part: Part::whole(text.to_owned()) });
}

/// The first or second half of "halves".
fn half(to: Target, offset: usize) -> Command {
    let data = Bytes::from_static(&b"halves"[offset..][..3]);
    Command::Send { to, part: Part { kind: Part::DATA, total: 6, offset: offset as u32, data } }
}

/// A session's connection is lost or back, and its task is woken.
fn absent(hub: &Hub, session: &mut Session, away: bool) {
    hub.set_away(Instant::now(), session.endpoint().id, away);
    session.heed_absence();
}

#[test]
fn members_hear_that_their_owner_is_away_and_back_and_newcomers_that_it_is_away() {
    let hub = hub(Limits::default());
    let (mut owner, []) = channel(&hub);
    let (mut member, woken) = open_woken(&hub, 2, "");
    enter(&mut member);
    let before = woken.times();
    absent(&hub, &mut owner, true);
    assert!(woken.times() > before);
    assert_eq!(events(&mut member), [news(OwnerNews::Away)]);
    absent(&hub, &mut owner, true);
    assert_eq!(events(&mut member), [], "that is known");
    let mut late = open(&hub, 9, "");
    let heard = try_enter(&mut late, EnterOptions::default());
    assert!(
        matches!(&heard[..], [Event::Channel(ChannelEvent::Entered(_)), away] if *away == news(OwnerNews::Away))
    );
    events(&mut owner);
    say(&mut late, UP, "for later");
    absent(&hub, &mut owner, false);
    for member in [&mut member, &mut late] {
        assert_eq!(events(member), [news(OwnerNews::Back)]);
    }
    assert_eq!(data(&mut owner), "own 0 from 1: for later\n");
    enter(&mut open(&hub, 10, ""));
}

#[test]
fn nobody_goes_on_to_believe_in_an_absence_that_was_over_before_the_session_noticed_it() {
    let hub = hub(Limits::default());
    let (mut owner, [mut successor, mut member]) = channel(&hub);
    nominate(&mut owner, &mut successor, 0);
    let flicker = |session: &Session, away| {
        hub.set_away(Instant::now(), session.endpoint().id, away);
    };
    // What is made meanwhile, and what is inherited meanwhile.
    flicker(&successor, true);
    ask(&mut successor, Command::create(1, "b"));
    ask(&mut owner, ChannelCommand::Resign(OWN));
    flicker(&successor, false);
    successor.heed_absence();
    ask(&mut owner, Command::enter(1, "b"));
    for session in [&mut owner, &mut member] {
        let told = |event| match event {
            Event::Channel(ChannelEvent::Owner { news: OwnerNews::Away, .. }) => Some(true),
            Event::Channel(ChannelEvent::Owner { .. }) => Some(false),
            _ => None,
        };
        let away = events(session).into_iter().filter_map(told).next_back();
        assert_ne!(away, Some(true));
    }
}

#[test]
fn a_channel_passes_on_with_its_numbers_bans_and_password() {
    let hub = hub(Limits::default());
    let password = Some(Bytes::from_static(b"secret"));
    let knowing = EnterOptions { password: password.clone(), ..EnterOptions::default() };
    let mut owner = open(&hub, 1, "");
    create(&mut owner, "a", ChannelOptions { password, ..ChannelOptions::default() });
    let [mut successor, mut banned, mut member] = [2, 3, 4].map(|id| open(&hub, id, ""));
    create(&mut successor, "its own", ChannelOptions::default());
    for session in [&mut successor, &mut banned, &mut member] {
        assert_eq!(try_enter(session, knowing.clone()).len(), 1);
    }
    let ban = Some(Ban { time: None, address: false });
    ask(&mut owner, ChannelCommand::Kick { channel: OWN, member: MemberNumber(1), ban });
    events(&mut banned);
    events(&mut owner);
    nominate(&mut owner, &mut successor, 0);
    ask(&mut owner, ChannelCommand::Resign(OWN));

    let mine = OwnedChannelId(1);
    let you = news(OwnerNews::You(mine));
    assert_eq!(events(&mut successor), [you, came(mine, 2, &member)]);
    assert_eq!(events(&mut member), [changed(&successor)]);
    assert_eq!(hub.metrics.members.get(), 1);
    say(&mut member, UP, "up");
    say(&mut successor, Target::Everyone(mine, None), "down");
    say(&mut owner, ALL, "too late");
    assert_eq!(data(&mut successor), "own 1 from 2: up\n");
    assert_eq!(data(&mut member), "in 0: down\n");
    assert_eq!(try_enter(&mut banned, knowing.clone()), [refusal(1, Reason::Banned)]);
    // The one who has gone is like everybody else, and what it had is free.
    let wrong = [refusal(1, Reason::WrongPassword)];
    assert_eq!(try_enter(&mut owner, EnterOptions::default()), wrong);
    let heard = try_enter(&mut owner, knowing);
    assert!(
        matches!(heard[..], [Event::Channel(ChannelEvent::Entered(told))] if told.member == MemberNumber(0))
    );
    assert_eq!(events(&mut successor), [came(mine, 0, &owner)]);
    create(&mut owner, "another", ChannelOptions::default());
    // Its new owner can do with it what owners can.
    let peer = PeerId::new([3; 16]);
    ask(&mut successor, ChannelCommand::Unban { channel: mine, peer });
    ask(&mut successor, ChannelCommand::Kick { channel: mine, member: MemberNumber(2), ban: None });
    assert_eq!(events(&mut member), [ended(Reason::Kicked)]);
    ask(&mut successor, ChannelCommand::Delete(mine));
    assert_eq!(events(&mut owner), [ended(Reason::ClosedByOwner)]);
    assert_eq!(hub.channels(), 2);
}

#[test]
fn who_waits_to_be_let_in_is_let_in_by_the_new_owner() {
    let hub = hub(Limits::default());
    let mut owner = open(&hub, 1, "");
    create(&mut owner, "a", ChannelOptions { approve: true, ..ChannelOptions::default() });
    let [mut successor, mut refused, mut waiting] = [2, 3, 4].map(|id| open(&hub, id, ""));
    let admit =
        |channel, ticket, admit| Command::Channel(ChannelCommand::Admit { channel, ticket, admit });
    for session in [&mut successor, &mut refused, &mut waiting] {
        let credentials = Bytes::from_static(b"please");
        let options = EnterOptions { credentials, ..EnterOptions::default() };
        assert_eq!(try_enter(session, options), []);
    }
    ask(&mut owner, admit(OWN, 0, true));
    events(&mut successor);
    events(&mut owner);
    nominate(&mut owner, &mut successor, 0);
    drop(owner);
    let knock = |ticket, who: &Session| {
        Event::Channel(ChannelEvent::Knock {
            channel: OWN,
            ticket,
            peer: who.endpoint().peer().expect("it has said hello").clone(),
            credentials: Box::from(*b"please"),
        })
    };
    let you = news(OwnerNews::You(OWN));
    assert_eq!(events(&mut successor), [you, knock(1, &refused), knock(2, &waiting)]);
    ask(&mut successor, admit(OWN, 1, false));
    ask(&mut successor, admit(OWN, 2, true));
    assert_eq!(events(&mut refused), [refusal(1, Reason::NotAdmitted)]);
    assert!(matches!(events(&mut waiting)[..], [Event::Channel(ChannelEvent::Entered(_))]));
    assert_eq!(events(&mut successor), [came(OWN, 0, &waiting)]);
}

#[test]
fn who_has_a_beginning_and_no_border_to_see_that_it_was_all_has_to_go() {
    let [successor, first, second, lines, late] = [0, 1, 2, 3, 4].map(MemberNumber);
    let sent: [(Target, &[MemberNumber]); 6] = [
        (ALL, &[first, second]),
        (Target::Everyone(OWN, Some(first)), &[second]),
        (Target::Everyone(OWN, Some(successor)), &[first, second]),
        (Target::Member(OWN, first), &[first]),
        (Target::Member(OWN, lines), &[]),
        (Target::Member(OWN, late), &[]),
    ];
    for (to, gone) in sent {
        for whole in [false, true] {
            let hub = hub(Limits::default());
            let (mut owner, [mut successor]) = channel(&hub);
            let mut others = vec![pieces(&hub, 3), pieces(&hub, 4), open(&hub, 5, "")];
            others.iter_mut().for_each(enter);
            ask(&mut owner, half(to, 0));
            if whole {
                ask(&mut owner, half(to, 3));
            }
            let mut late = pieces(&hub, 6);
            enter(&mut late);
            others.push(late);
            take(&mut owner);
            take(&mut successor);
            nominate(&mut owner, &mut successor, 0);
            drop(owner);
            let gone = if whole { &[] } else { gone };
            for (number, member) in (1..).map(MemberNumber).zip(&mut others) {
                let news = match gone.contains(&number) {
                    true => ended(Reason::OwnerLost),
                    false => changed(&successor),
                };
                assert_eq!(events(member), [news], "{to:?} {number:?}");
            }
            assert_eq!(hub.metrics.members.get(), (4 - gone.len()) as i64);
            take(&mut successor);
            // They may come again. Nobody goes because of what an earlier owner began.
            for (number, member) in (1..).map(MemberNumber).zip(&mut others) {
                if gone.contains(&number) {
                    enter(member);
                }
            }
            take(&mut successor);
            let mut next = others.remove(2);
            nominate(&mut successor, &mut next, lines.0);
            drop(successor);
            take(&mut next);
            say(&mut next, ALL, "next");
            for member in &mut others {
                let heard = data(member);
                assert!(heard.ends_with(": next\n") && heard.lines().count() == 1, "{heard}");
            }
        }
    }
}

#[test]
fn the_rest_of_what_a_former_owner_was_sent_does_not_reach_the_new_one() {
    let hub = narrow();
    let (mut owner, [mut successor, mut member, mut other]) = channel(&hub);
    nominate(&mut owner, &mut successor, 0);
    ask(&mut member, half(UP, 0));
    assert_eq!(data(&mut owner), "own 0 from 1: hal\n");
    ask(&mut owner, ChannelCommand::Resign(OWN));
    take(&mut successor);
    // Not even if it has to wait, together with what comes behind it.
    let mut filled = 0;
    while execute(&mut other, Command::Send { to: UP, part: Part::whole(line(filled)) }) == Step::Go
    {
        filled += 1;
    }
    let now = Instant::now();
    assert_eq!(member.execute(now, half(UP, 3)), Step::Go);
    let whole = Command::Send { to: UP, part: Part::whole("whole") };
    assert_eq!(member.execute(now, whole), Step::Go);
    assert_eq!(member.flush(now), Step::Wait);
    assert_eq!(data(&mut successor).lines().count(), filled);
    assert_eq!(member.flush(now), Step::Go);
    assert_eq!(data(&mut successor), "own 0 from 1: whole\n");
}

#[test]
fn only_protocols_that_have_a_form_for_it_name_successors_and_are_some() {
    let hub = hub(Limits::default());
    let (mut owner, [mut member]) = channel(&hub);
    let mut foreign = pieces(&hub, 3);
    enter(&mut foreign);
    events(&mut owner);
    assert_eq!(refused(&mut owner, succeed(REQUEST, 1)), Some(Reason::Unsupported));
    drop(owner);
    for session in [&mut member, &mut foreign] {
        assert_eq!(events(session), [ended(Reason::OwnerLost)]);
    }
    // Its members frame what they send as its protocol needs it.
    create(&mut foreign, "a", ChannelOptions::default());
    enter(&mut member);
    events(&mut foreign);
    assert_eq!(refused(&mut foreign, succeed(REQUEST, 0)), Some(Reason::Unsupported));
}

#[test]
fn nobody_inherits_more_than_it_may_own() {
    let hub = hub(Limits { channels_owned_max: 1, ..Limits::default() });
    let (mut owner, [mut full, mut successor]) = channel(&hub);
    create(&mut full, "its own", ChannelOptions::default());
    let permissions =
        Permissions { create: Rule::Names(vec![Pattern::new("b*")]), ..Permissions::default() };
    let now = Instant::now();
    let mut bound = hub.open(now, None, &LINES, Box::new(Woken::default()));
    let grant = Grant { permissions, ..Grant::default() };
    assert_eq!(bound.welcome(Instant::now(), hello(9, "", false), grant), Step::Go);
    events(&mut bound);
    enter(&mut bound);
    events(&mut owner);
    let refusals = [(0, &mut full, Reason::TooManyChannels), (2, &mut bound, Reason::NotAllowed)];
    for (number, session, reason) in refusals {
        nominate(&mut owner, &mut successor, 1);
        ask(&mut owner, succeed(8, number));
        assert_eq!(events(session), []);
        assert_eq!(events(&mut owner), [refusal(8, reason)]);
    }
    assert_eq!(hits(&hub, "channels_owned_max"), 1);
    // What is kept for the channel counts, for as long as it is kept.
    let create = |session: &mut Session| {
        ask(session, Command::create(2, "b"));
        events(session)
    };
    let reason = Reason::TooManyChannels;
    let refused = Event::Refused { request: 2, create: true, reason };
    nominate(&mut owner, &mut successor, 1);
    assert_eq!(create(&mut successor), [refused]);
    ask(&mut owner, succeed(8, None));
    assert_eq!(events(&mut owner), [Event::Done { request: 8 }]);
    assert_eq!(events(&mut successor), []);
    assert_eq!(
        create(&mut successor),
        [Event::Channel(ChannelEvent::Created { request: 2, channel: OWN })]
    );
    // It is the successor no more.
    drop(owner);
    assert_eq!(events(&mut successor), [ended(Reason::OwnerLost)]);
}

/// What an owner does at last.
type Last = fn(&mut Session);

#[test]
fn a_channel_passes_on_unless_its_owner_or_the_hub_ends_it() {
    let ways: [(Last, Reason, bool); 7] = [
        (|owner| owner.close(Reason::ConnectionLost), Reason::OwnerLost, true),
        (|owner| owner.close(Reason::SlowReceiver), Reason::OwnerLost, true),
        (|owner| owner.close(Reason::Replaced), Reason::OwnerLost, true),
        (|owner| owner.close(Reason::Bye), Reason::ClosedByOwner, true),
        (|owner| ask(owner, ChannelCommand::Resign(OWN)), Reason::ClosedByOwner, true),
        (|owner| ask(owner, ChannelCommand::Delete(OWN)), Reason::ClosedByOwner, false),
        (|owner| owner.close(Reason::HubStopping), Reason::HubStopping, false),
    ];
    for (last, reason, passes) in ways {
        for settled in [true, false] {
            let hub = hub(Limits::default());
            let (mut owner, [mut successor, mut member]) = channel(&hub);
            ask(&mut owner, succeed(REQUEST, 0));
            if settled {
                events(&mut successor);
            }
            last(&mut owner);
            let answer = match settled {
                true => Event::Done { request: REQUEST },
                // Who has not heard of it, and has no number free, is no successor yet.
                false => refusal(REQUEST, Reason::NoSuchName),
            };
            assert_eq!(events(&mut owner), [answer]);
            let (successor_hears, member_hears) = match passes && settled {
                true => {
                    (vec![news(OwnerNews::You(OWN)), came(OWN, 1, &member)], changed(&successor))
                }
                false => (vec![ended(reason)], ended(reason)),
            };
            assert_eq!(events(&mut successor), successor_hears);
            assert_eq!(events(&mut member), [member_hears]);
            assert_eq!(hub.channels(), usize::from(passes && settled));
        }
    }
}

#[test]
fn an_heir_that_goes_before_it_knows_that_it_inherited_leaves_the_channel_to_nobody() {
    let ways: [(Last, Reason); 3] = [
        (|successor| ask(successor, ChannelCommand::Leave(IN)), Reason::OwnerLost),
        (|successor| successor.close(Reason::Bye), Reason::ClosedByOwner),
        (|successor| successor.close(Reason::HubStopping), Reason::HubStopping),
    ];
    for (number, (way, reason)) in ways.into_iter().enumerate() {
        let hub = hub(Limits { channels_owned_max: 1, ..Limits::default() });
        let (mut owner, [mut successor, mut member]) = channel(&hub);
        nominate(&mut owner, &mut successor, 0);
        drop(owner);
        way(&mut successor);
        assert_eq!(events(&mut member), [changed(&successor), ended(reason)]);
        assert_eq!((hub.channels(), hub.metrics.members.get()), (0, 0));
        if number == 0 {
            assert_eq!(events(&mut successor), []);
            create(&mut successor, "a", ChannelOptions::default());
        }
        // What waits for one that has ended can still be read.
        events(&mut successor);
    }
}

#[test]
fn an_owner_hears_what_became_of_every_naming() {
    let hub = hub(Limits::default());
    let (mut owner, [mut first, mut second]) = channel(&hub);
    // One that is overtaken by another, whichever reads first.
    ask(&mut owner, succeed(11, 0));
    ask(&mut owner, succeed(12, 1));
    assert_eq!(events(&mut owner), [refusal(11, Reason::Declined)]);
    assert_eq!([events(&mut first), events(&mut second)], [[], []]);
    assert_eq!(events(&mut owner), [Event::Done { request: 12 }]);
    ask(&mut owner, succeed(13, 0));
    ask(&mut owner, succeed(14, None));
    let answers = [refusal(13, Reason::Declined), Event::Done { request: 14 }];
    assert_eq!(events(&mut owner), answers);
    ask(&mut owner, succeed(15, 0));
    ask(&mut owner, succeed(16, 0));
    assert_eq!(events(&mut first), []);
    let answers = [refusal(15, Reason::Declined), Event::Done { request: 16 }];
    assert_eq!(events(&mut owner), answers);
    // One that is settled stays so.
    ask(&mut owner, succeed(21, 0));
    assert_eq!(events(&mut owner), [Event::Done { request: 21 }]);
    ask(&mut owner, succeed(22, 7));
    assert_eq!(events(&mut owner), [refusal(22, Reason::NoSuchPeer)]);
    ask(&mut owner, succeed(23, None));
    assert_eq!(events(&mut owner), [Event::Done { request: 23 }]);
    // One that goes, before and after it has answered.
    ask(&mut owner, succeed(17, 0));
    ask(&mut first, ChannelCommand::Leave(IN));
    let answers = [refusal(17, Reason::NoSuchPeer), left(0, Reason::Left)];
    assert_eq!(events(&mut owner), answers);
    enter(&mut first);
    events(&mut owner);
    ask(&mut owner, succeed(18, 0));
    ask(&mut owner, ChannelCommand::Kick { channel: OWN, member: MemberNumber(0), ban: None });
    let answers = [refusal(18, Reason::NoSuchPeer), left(0, Reason::Kicked)];
    assert_eq!(events(&mut owner), answers);
    assert_eq!(events(&mut first), [ended(Reason::Kicked)]);
    nominate(&mut owner, &mut second, 1);
    ask(&mut second, ChannelCommand::Leave(IN));
    assert_eq!(events(&mut owner), [left(1, Reason::Left)]);
    // The endpoint that has its number next is not the successor.
    enter(&mut first);
    enter(&mut second);
    events(&mut owner);
    ask(&mut owner, succeed(19, 7));
    ask(
        &mut owner,
        ChannelCommand::Succeed { request: 20, channel: OwnedChannelId(5), member: None },
    );
    let answers = [refusal(19, Reason::NoSuchPeer), refusal(20, Reason::NoSuchName)];
    assert_eq!(events(&mut owner), answers);
    drop(owner);
    for session in [&mut first, &mut second] {
        assert_eq!(events(session), [ended(Reason::OwnerLost)]);
    }
}

#[test]
fn an_owner_that_names_without_end_waits_until_those_concerned_have_read() {
    let hub = narrow();
    let (mut owner, woken) = open_woken(&hub, 1, "");
    create(&mut owner, "a", ChannelOptions::default());
    let mut successors = [open(&hub, 2, ""), open(&hub, 3, "")];
    successors.iter_mut().for_each(enter);
    events(&mut owner);
    let (mut asked, mut answers) = (0, 0);
    for _ in 0..3 {
        let step = loop {
            assert!(asked < 1000, "it has to wait some time");
            let step = execute(&mut owner, succeed(asked, asked % 2));
            asked += 1;
            answers += events(&mut owner).len();
            if step != Step::Go {
                break step;
            }
        };
        assert_eq!(step, Step::Wait);
        let before = woken.times();
        for successor in &mut successors {
            assert!(successor.endpoint().cost() < 11_000);
            assert_eq!(events(successor), []);
        }
        assert!(woken.times() > before);
        assert_eq!(owner.flush(Instant::now()), Step::Go);
        answers += events(&mut owner).len();
    }
    for successor in &mut successors {
        assert_eq!(events(successor), []);
    }
    answers += events(&mut owner).len();
    assert_eq!(answers, asked as usize, "each is answered once");
    assert!(hits(&hub, "outbox_bytes_max") >= 3);
    // One that is named no more need not have read anything.
    let [away, successor] = &mut successors;
    nominate(&mut owner, away, 0);
    for number in 0..12 {
        say(&mut owner, ALL, &line(number));
        take(successor);
    }
    let before = woken.times();
    nominate(&mut owner, successor, 1);
    assert!(woken.times() > before, "as soon as it is settled");
}

#[test]
fn who_inherits_much_at_once_is_not_ended_by_it() {
    let hub = narrow();
    let (mut owner, mut successor) = (open(&hub, 1, ""), open(&hub, 2, ""));
    let mut members: Vec<Session> = (3..33).map(|id| open(&hub, id, "")).collect();
    const CHANNELS: u32 = 20;
    for channel in 0..CHANNELS {
        create(&mut owner, &format!("{channel}"), ChannelOptions::default());
        ask(&mut successor, Command::enter(1, &format!("{channel}")));
        for member in &mut members {
            ask(member, Command::enter(1, &format!("{channel}")));
            take(member);
            take(&mut owner);
        }
        let (request, member) = (REQUEST, Some(MemberNumber(0)));
        ask(
            &mut owner,
            ChannelCommand::Succeed { request, channel: OwnedChannelId(channel), member },
        );
        take(&mut successor);
        assert_eq!(events(&mut owner), [Event::Done { request }]);
    }
    drop(owner);
    // What comes behind that is added to it.
    ask(&mut members[0], ChannelCommand::Leave(IN));
    let heard = events(&mut successor);
    assert_eq!(hub.channels(), CHANNELS as usize);
    let you = |event: &&Event| {
        matches!(event, Event::Channel(ChannelEvent::Owner { news: OwnerNews::You(_), .. }))
    };
    let came = |event: &&Event| matches!(event, Event::Channel(ChannelEvent::MemberEntered { .. }));
    assert_eq!(heard.iter().filter(you).count(), CHANNELS as usize);
    assert_eq!(heard.iter().filter(came).count(), CHANNELS as usize * members.len());
    // When it has read, the bound is what it was.
    drop(members);
    let next = successor.endpoint().next(true, &mut Vec::new());
    assert_eq!(next, WriteStep::Dead(Reason::SlowReceiver));
}
