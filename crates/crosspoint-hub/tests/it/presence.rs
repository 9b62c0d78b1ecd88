//! Who hears who comes and goes, in large groups.

use crate::common::{ask, hello, hits, hub, link, open, open_woken, peer_id};
use crosspoint_hub::command::{
    Addressee, After, ChannelCommand, ChannelEvent, Command, DirectoryCommand, DirectoryEvent,
    EnterOptions, Event, Hello, LinkEvent, Query, Target, Watched,
};
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Arrived, LINES, data, events, open_as, take};
use crosspoint_hub::{ChannelName, Hub, JoinedChannelId, Limits, Part, PeerId, Reason, Session};
use proptest::prelude::*;
use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MANY: u8 = 100;

/// A hub for which somebody tells large groups what is new, and how often that was asked for.
fn gathering() -> (Arc<Hub>, Arc<AtomicUsize>) {
    let hub = hub(Limits { outbox_bytes_max: 300_000, ..Limits::default() });
    let asked = Arc::new(AtomicUsize::new(0));
    let counts = asked.clone();
    let wake = move |_delay| counts.fetch_add(1, Ordering::Relaxed) < usize::MAX;
    assert!(hub.gather_presence(Box::new(wake)));
    (hub, asked)
}

fn enter(session: &mut Session, room: &str) -> Step {
    enter_as(session, room, false)
}

fn enter_as(session: &mut Session, room: &str, silent: bool) -> Step {
    let (make_room, presence) = (true, true);
    let options = EnterOptions { make_room, presence, silent, ..EnterOptions::default() };
    let name = ChannelName::new(room.as_bytes().to_vec()).expect("a short name");
    session.execute(
        Instant::now(),
        Command::Channel(ChannelCommand::Enter { request: 1, name, options }),
    )
}

fn group(hub: &Arc<Hub>, rooms: &[String]) -> Vec<Session> {
    let member = |id| {
        let mut member = open(hub, id, "");
        rooms.iter().for_each(|room| assert_eq!(enter(&mut member, room), Step::Go));
        assert_eq!(member.flush(Instant::now()), Step::Go);
        member
    };
    (0..MANY).map(member).collect()
}

/// What a member hears of others: numbers, and who it is if they have come.
fn heard(arrived: &[Arrived]) -> Vec<(u32, Option<PeerId>)> {
    let other = |arrived: &Arrived| match arrived {
        Arrived::Event(Event::Channel(ChannelEvent::OtherEntered { member, peer, .. })) => {
            Some((member.0, Some(peer.id)))
        }
        Arrived::Event(Event::Channel(ChannelEvent::OtherLeft { member, .. })) => {
            Some((member.0, None))
        }
        _ => None,
    };
    arrived.iter().filter_map(other).collect()
}

fn others(of: u8, all: std::ops::Range<u8>) -> Vec<(u32, Option<PeerId>)> {
    all.filter(|id| *id != of).map(|id| (id.into(), Some(peer_id(id)))).collect()
}

#[test]
fn a_large_room_hears_of_changes_together() {
    let (hub, asked) = gathering();
    let mut members = group(&hub, &["lobby".into()]);
    assert!(asked.load(Ordering::Relaxed) <= 1, "once until it is told");
    hub.tell_presence(Instant::now());
    for (id, member) in members.iter_mut().enumerate() {
        let mut known = heard(&take(member));
        known.sort_unstable();
        assert_eq!(known, others(id as u8, 0..MANY));
    }
    // One goes, another takes its number, and one more comes: one event for each.
    drop(members.remove(3));
    let mut next = open(&hub, 200, "");
    assert_eq!(enter(&mut next, "lobby"), Step::Go);
    let mut last = open(&hub, 201, "");
    assert_eq!(enter(&mut last, "lobby"), Step::Go);
    let before = members[0].endpoint().cost();
    hub.tell_presence(Instant::now());
    assert!(members[0].endpoint().cost() - before < 1000);
    let since = [(3, None), (3, Some(peer_id(200))), (u32::from(MANY), Some(peer_id(201)))];
    assert_eq!(heard(&take(&mut members[0])), since);
    assert_eq!(heard(&take(&mut next)).len(), usize::from(MANY));
    assert_eq!(heard(&take(&mut last)).len(), usize::from(MANY));
}

fn leave(session: &mut Session, room: u32) {
    ask(session, ChannelCommand::Leave(JoinedChannelId(room)));
}

#[test]
fn who_leaves_and_comes_back_before_it_was_told_is_no_news_and_hears_who_is_there() {
    let (hub, _) = gathering();
    let mut members = group(&hub, &["lobby".into()]);
    hub.tell_presence(Instant::now());
    members.iter_mut().for_each(|member| drop(take(member)));
    for _ in 0..1000 {
        leave(&mut members[7], 0);
        ask_to_enter(&mut members[7]);
        assert_eq!(heard(&take(&mut members[7])), []);
    }
    let mut passer_by = open(&hub, 200, "");
    ask_to_enter(&mut passer_by);
    leave(&mut passer_by, 0);
    let costs: Vec<_> = members.iter().map(|member| member.endpoint().cost()).collect();
    hub.tell_presence(Instant::now());
    for (id, member) in members.iter_mut().enumerate().filter(|(id, _)| *id != 7) {
        assert_eq!(member.endpoint().cost(), costs[id]);
        assert_eq!(take(member), []);
    }
    let mut known = heard(&take(&mut members[7]));
    known.sort_unstable();
    assert_eq!(known, others(7, 0..MANY));
}

fn ask_to_enter(session: &mut Session) {
    assert_eq!(enter(session, "lobby"), Step::Go);
    assert_eq!(session.flush(Instant::now()), Step::Go);
}

#[test]
fn who_enters_and_leaves_a_large_room_pays_for_those_who_hear_of_it() {
    let limits = Limits { messages_per_second_max: 100, ..Limits::default() };
    let hub = hub(limits);
    assert!(hub.gather_presence(Box::new(|_delay| true)));
    let _members = group(&hub, &["lobby".into()]);
    let address = Some("192.0.2.1".parse().unwrap());
    let mut session = open_as(&hub, Instant::now(), &LINES, address, hello(200, "", false));
    // Each counts as three messages more.
    let mut changes = 0;
    while session.ruled().is_none() {
        ask_to_enter(&mut session);
        leave(&mut session, 0);
        changes += 2;
        assert!(changes < 100, "it is never slowed");
    }
    assert!((32..40).contains(&changes), "{changes}");
}

/// What one of a crowd does. The crowd is large enough for news to be gathered.
#[derive(Debug, Clone)]
enum Act {
    /// Of the one at this place: it enters, or leaves.
    WriteStep(usize),
    /// It is there from now on, and only speaks.
    Silence(usize),
    Send(usize),
    /// It goes for good, and another session takes its place.
    Replace(usize),
    /// The news are told.
    Tell,
    /// Until then, what comes waits.
    Read(usize),
}

fn act() -> impl Strategy<Value = Act> {
    const ACTIVE: usize = 8;
    prop_oneof![
        6 => (0..ACTIVE).prop_map(Act::WriteStep),
        2 => (0..ACTIVE).prop_map(Act::Silence),
        1 => (0..ACTIVE).prop_map(Act::Send),
        1 => (0..ACTIVE).prop_map(Act::Replace),
        2 => Just(Act::Tell),
        2 => (0..ACTIVE + 2).prop_map(Act::Read),
    ]
}

/// Whether one of a crowd is in the room.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Inside {
    No,
    Silent,
    Seen,
}

/// What somebody knows of a room, by what it has read.
#[derive(Default)]
struct View(BTreeMap<u32, PeerId>);

impl View {
    fn read(&mut self, session: &mut Session) {
        for arrived in take(session) {
            match arrived {
                Arrived::Event(Event::Channel(ChannelEvent::Entered(_))) => self.0.clear(),
                Arrived::Event(Event::Channel(ChannelEvent::OtherEntered {
                    member, peer, ..
                })) => {
                    assert_eq!(self.0.insert(member.0, peer.id), None, "the number was free");
                }
                Arrived::Event(Event::Channel(ChannelEvent::OtherLeft { member, .. })) => {
                    assert!(self.0.remove(&member.0).is_some(), "somebody had the number");
                }
                Arrived::Data(lines) => {
                    for line in String::from_utf8(lines.to_vec()).unwrap().lines() {
                        let (place, text) = line.split_once(": ").unwrap();
                        let from = place.rsplit(' ').next().unwrap().parse().unwrap();
                        // Each says the first byte of its id, and whether others know it.
                        let known = match text.strip_prefix("silent ") {
                            Some(_) => None,
                            None => Some(peer_id(text.parse().unwrap())),
                        };
                        assert_eq!(self.0.get(&from).copied(), known, "it was told before");
                    }
                }
                Arrived::Event(_) => {}
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn whatever_happens_between_two_tellings_everybody_knows_in_the_end_who_is_there(
        acts in prop::collection::vec(act(), 0..80),
    ) {
        let (hub, _) = gathering();
        let mut crowd = group(&hub, &["lobby".into()]);
        let mut ids: Vec<u8> = (0..MANY).collect();
        let mut inside = vec![Inside::Seen; crowd.len()];
        let mut views: Vec<View> = crowd.iter().map(|_| View::default()).collect();
        let mut next = MANY;
        for act in acts {
            match act {
                Act::WriteStep(who) => {
                    inside[who] = match inside[who] {
                        Inside::Seen | Inside::Silent => {
                            // What is on its way to it may come when it has entered again.
                            views[who].read(&mut crowd[who]);
                            leave(&mut crowd[who], 0);
                            Inside::No
                        }
                        Inside::No => {
                            ask_to_enter(&mut crowd[who]);
                            Inside::Seen
                        }
                    };
                }
                Act::Silence(who) => {
                    views[who].read(&mut crowd[who]);
                    if inside[who] != Inside::No {
                        leave(&mut crowd[who], 0);
                    }
                    assert_eq!(enter_as(&mut crowd[who], "lobby", true), Step::Go);
                    assert_eq!(crowd[who].flush(Instant::now()), Step::Go);
                    inside[who] = Inside::Silent;
                }
                Act::Send(who) => {
                    let silent = if inside[who] == Inside::Silent { "silent " } else { "" };
                    let part = Part::whole(format!("{silent}{}", ids[who]));
                    let to = Target::Up(JoinedChannelId(0));
                    ask(&mut crowd[who], Command::Send { to, part });
                }
                Act::Replace(who) => {
                    crowd[who].close(Reason::ConnectionLost);
                    crowd[who] = open(&hub, next, "");
                    (ids[who], views[who]) = (next, View::default());
                    next += 1;
                    ask_to_enter(&mut crowd[who]);
                    inside[who] = Inside::Seen;
                }
                Act::Tell => hub.tell_presence(Instant::now()),
                Act::Read(who) => views[who].read(&mut crowd[who]),
            }
        }
        hub.tell_presence(Instant::now());
        let mut seen = Vec::new();
        for (who, view) in views.iter_mut().enumerate() {
            view.read(&mut crowd[who]);
            match inside[who] {
                Inside::No => continue,
                Inside::Silent => {
                    prop_assert!(view.0.is_empty(), "it hears of nobody");
                    continue;
                }
                Inside::Seen => {}
            }
            let mut known: Vec<_> = view.0.values().copied().chain([peer_id(ids[who])]).collect();
            known.sort_unstable();
            seen.push(known);
        }
        let seen_by_all = ids.iter().zip(&inside).filter(|(_, inside)| **inside == Inside::Seen);
        let there = seen_by_all.map(|(id, _)| *id);
        let mut there: Vec<_> = there.map(peer_id).collect();
        there.sort_unstable();
        prop_assert!(seen.iter().all(|known| *known == there));
    }
}

#[test]
fn they_hear_of_each_other_before_the_first_message() {
    let (hub, _) = gathering();
    let mut members = group(&hub, &["lobby".into()]);
    let (to, part) = (Target::Up(JoinedChannelId(0)), Part::whole("hello"));
    ask(&mut members[50], Command::Send { to, part });
    for (id, member) in members.iter_mut().enumerate().filter(|(id, _)| *id != 50) {
        let arrived = take(member);
        let (last, before) = arrived.split_last().expect("a message");
        assert!(matches!(last, Arrived::Data(_)), "{last:?}");
        let mut known = heard(before);
        known.sort_unstable();
        assert_eq!(known, others(id as u8, 0..MANY));
    }
}

#[test]
fn who_enters_many_large_rooms_at_once_is_not_ended() {
    let (hub, _) = gathering();
    let rooms: Vec<String> = (0..40).map(|number| format!("room {number}")).collect();
    let _members = group(&hub, &rooms);
    let mut newcomer = open(&hub, 200, "");
    rooms.iter().for_each(|room| assert_eq!(enter(&mut newcomer, room), Step::Go));
    hub.tell_presence(Instant::now());
    let arrived = take(&mut newcomer);
    assert_eq!(heard(&arrived).len(), rooms.len() * usize::from(MANY));
    assert_eq!(newcomer.endpoint().next(true, &mut Vec::new()), WriteStep::Nothing);
}

#[test]
fn many_who_watch_hear_of_those_who_come_from_then_on() {
    let (hub, _) = gathering();
    let mut watchers: Vec<Session> = (0..MANY)
        .map(|id| {
            let mut session = open(&hub, id, &format!("name {id}"));
            ask(&mut session, DirectoryCommand::Watch { request: 1, whom: Watched::Named });
            session
        })
        .collect();
    drop(watchers.remove(10));
    hub.tell_presence(Instant::now());
    for (id, watcher) in (0..MANY).filter(|id| *id != 10).zip(&mut watchers) {
        let news = events(watcher).into_iter().filter_map(|event| match event {
            Event::Directory(DirectoryEvent::PeerCame { peer }) => Some((peer.id, true)),
            Event::Directory(DirectoryEvent::PeerWent { peer }) => Some((peer.id, false)),
            _ => None,
        });
        let later = (id + 1..MANY).map(|id| (peer_id(id), true));
        let expected: Vec<_> = later.chain([(peer_id(10), false)]).collect();
        // Those who were few were told at once.
        assert_eq!(news.collect::<Vec<_>>(), expected, "{id}");
    }
}

#[test]
fn who_reconnects_before_those_who_watch_were_told_is_no_news_but_for_who_begins_to_watch_meanwhile()
 {
    let (hub, _) = gathering();
    let watch = |id: u8| {
        let (mut session, _) = open_woken(&hub, id, &format!("name {id}"));
        ask(&mut session, DirectoryCommand::Watch { request: 1, whom: Watched::Everybody });
        session
    };
    let heard = |session: &mut Session| -> Vec<(PeerId, bool)> {
        let news = events(session).into_iter().filter_map(|event| match event {
            Event::Directory(DirectoryEvent::PeerCame { peer }) => Some((peer.id, true)),
            Event::Directory(DirectoryEvent::PeerWent { peer }) => Some((peer.id, false)),
            _ => None,
        });
        news.collect()
    };
    let mut watchers: Vec<Session> = (0..MANY).map(watch).collect();
    hub.tell_presence(Instant::now());
    watchers.iter_mut().for_each(|watcher| drop(events(watcher)));
    let come = || open(&hub, 200, "comes back");
    let known = come();
    hub.tell_presence(Instant::now());
    watchers.iter_mut().for_each(|one| assert_eq!(heard(one), [(peer_id(200), true)]));
    drop(known);
    for _ in 0..1000 {
        drop(come());
    }
    let known = come();
    hub.tell_presence(Instant::now());
    watchers.iter_mut().for_each(|one| assert_eq!(heard(one), []));
    // Who is told that somebody is not there hears that it comes.
    drop(known);
    let mut late = watch(201);
    for _ in 0..1000 {
        drop(come());
    }
    let _known = come();
    hub.tell_presence(Instant::now());
    assert_eq!(heard(&mut late), [(peer_id(200), true)]);
    // For all others it was there all the time.
    watchers.iter_mut().for_each(|one| assert_eq!(heard(one), [(peer_id(201), true)]));
}

#[test]
fn who_changes_whom_it_watches_is_told_alone_and_makes_nobody_hear_of_those_who_come_and_go() {
    let (hub, _) = gathering();
    let watch =
        |session: &mut Session, whom| ask(session, DirectoryCommand::Watch { request: 1, whom });
    let heard = |session: &mut Session| -> Vec<(PeerId, bool)> {
        let news = events(session).into_iter().filter_map(|event| match event {
            Event::Directory(DirectoryEvent::PeerCame { peer }) => Some((peer.id, true)),
            Event::Directory(DirectoryEvent::PeerWent { peer }) => Some((peer.id, false)),
            _ => None,
        });
        news.collect()
    };
    let mut watchers: Vec<Session> = (0..MANY)
        .map(|id| {
            let mut session = open(&hub, id, "");
            watch(&mut session, Watched::Everybody);
            session
        })
        .collect();
    hub.tell_presence(Instant::now());
    watchers.iter_mut().for_each(|watcher| drop(events(watcher)));
    let mut fickle = watchers.pop().expect("many");
    let stays = open(&hub, 200, "stays");
    let mut told = Vec::new();
    for round in 0..50 {
        let comes = open(&hub, 201, "comes and goes");
        watch(&mut fickle, Watched::Named);
        told.extend(heard(&mut fickle));
        drop(comes);
        watch(&mut fickle, if round % 2 == 0 { Watched::Nobody } else { Watched::Everybody });
        watch(&mut fickle, Watched::Everybody);
        told.extend(heard(&mut fickle));
    }
    let flips = (0..50).flat_map(|_| [(peer_id(201), true), (peer_id(201), false)]);
    assert_eq!(told, [(peer_id(200), true)].into_iter().chain(flips).collect::<Vec<_>>());
    watchers.iter_mut().for_each(|one| assert_eq!(heard(one), []));
    hub.tell_presence(Instant::now());
    watchers.iter_mut().for_each(|one| assert_eq!(heard(one), [(peer_id(200), true)]));
    assert_eq!(heard(&mut fickle), []);
    drop(stays);
    hub.tell_presence(Instant::now());
    assert_eq!(heard(&mut fickle), [(peer_id(200), false)]);
}

#[test]
fn who_comes_too_often_under_changing_ids_is_told_of_and_found_later_and_nobody_else_is() {
    const RATE: u32 = 4;
    let limits = Limits { announced_per_second_max: RATE, ..Limits::default() };
    let hub = hub(limits);
    assert!(hub.gather_presence(Box::new(|_delay| true)));
    let mut watchers: Vec<Session> = (0..MANY)
        .map(|id| {
            let mut session = open(&hub, id, "");
            ask(&mut session, DirectoryCommand::Watch { request: 1, whom: Watched::Everybody });
            session
        })
        .collect();
    let mut now = Instant::now();
    hub.tell_presence(now);
    watchers.iter_mut().for_each(|watcher| drop(events(watcher)));
    let come = |now, index: u32, address: [u8; 4]| {
        let id: [u8; 16] = std::array::from_fn(|at| index.to_be_bytes()[at % 4] ^ 0xa0);
        let hello = Hello { peer: Some(PeerId::new(id)), ..Hello::default() };
        open_as(&hub, now, &LINES, Some(address.into()), hello)
    };
    let heard = |watcher: &mut Session| {
        let news = events(watcher).into_iter().map(|event| match event {
            Event::Directory(DirectoryEvent::PeerCame { peer }) => (peer.id, true),
            Event::Directory(DirectoryEvent::PeerWent { peer }) => (peer.id, false),
            other => panic!("{other:?}"),
        });
        news.collect::<Vec<_>>()
    };
    let mut told = 0;
    for index in 0..500 {
        let fickle = come(now, index, [192, 0, 2, 1]);
        hub.tell_presence(now);
        drop(fickle);
        hub.tell_presence(now);
        told += heard(&mut watchers[7]).len();
    }
    assert_eq!(told, 2 * 16 * RATE as usize);
    assert_eq!(hits(&hub, "announced_per_second_max"), 500 - u64::from(16 * RATE));
    // Those who stay wait for their turn, in their order.
    let stay: Vec<Session> = (1000..1006).map(|index| come(now, index, [192, 0, 2, 1])).collect();
    let ids: Vec<PeerId> = stay.iter().map(|one| one.endpoint().peer().unwrap().id).collect();
    let other = come(now, 2000, [192, 0, 2, 2]);
    let other_id = other.endpoint().peer().unwrap().id;
    hub.tell_presence(now);
    assert_eq!(heard(&mut watchers[7]), [(other_id, true)]);
    let mut one_who_looks = open(&hub, 250, "looks");
    let mut found = || -> Vec<PeerId> {
        let query = Query::Everybody { after: Some(After::Peer(peer_id(0x9f))) };
        ask(&mut one_who_looks, DirectoryCommand::Look { request: 1, query });
        match &events(&mut one_who_looks)[..] {
            [Event::Directory(DirectoryEvent::Found { peers, .. })] => {
                peers.iter().map(|peer| peer.id).collect()
            }
            other => panic!("{other:?}"),
        }
    };
    assert!(found().contains(&other_id) && !ids.iter().any(|id| found().contains(id)));
    ask(&mut watchers[0], link(Addressee::Peer(ids[5])));
    assert!(matches!(events(&mut watchers[0]).last(), Some(Event::Link(LinkEvent::Opened { .. }))));
    hub.tell_presence(now);
    assert_eq!(heard(&mut watchers[7]).len(), 1, "the one who looks");
    // One second later there is room for four; who has gone meanwhile was never there.
    let mut stay = stay;
    drop(stay.remove(1));
    now += Duration::from_secs(1);
    hub.tell_presence(now);
    let four = [0, 2, 3, 4].map(|index| (ids[index], true));
    assert_eq!(heard(&mut watchers[7]), four);
    assert!(found().contains(&ids[4]) && !found().contains(&ids[5]));
    now += Duration::from_secs(1);
    hub.tell_presence(now);
    assert_eq!(heard(&mut watchers[7]), [(ids[5], true)]);
    // Where few watch, all are told at once.
    watchers.truncate(40);
    now += Duration::from_secs(60);
    let all: Vec<Session> = (3000..3100).map(|index| come(now, index, [192, 0, 2, 1])).collect();
    hub.tell_presence(now);
    let count = |watcher: &mut Session| heard(watcher).iter().filter(|(_, came)| *came).count();
    assert_eq!(count(&mut watchers[7]), 100);
    drop((all, stay, other));
}

#[test]
fn a_hub_that_stops_tells_nobody_of_the_others() {
    let (hub, _) = gathering();
    let mut members = group(&hub, &["lobby".into()]);
    let (mut watcher, _) = open_woken(&hub, 200, "watcher");
    ask(&mut watcher, DirectoryCommand::Watch { request: 1, whom: Watched::Named });
    let (mut named, _) = open_woken(&hub, 201, "named");
    hub.tell_presence(Instant::now());
    events(&mut watcher);
    members.iter_mut().for_each(|member| drop(take(member)));
    members[0].close(Reason::HubStopping);
    named.close(Reason::HubStopping);
    hub.tell_presence(Instant::now());
    assert_eq!(events(&mut watcher), []);
    assert_eq!(take(&mut members[1]), []);
    assert_eq!(data(&mut members[2]), "");
}
