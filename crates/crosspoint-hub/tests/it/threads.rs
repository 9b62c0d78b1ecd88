//! Sessions of several threads that find each other, link, give channels to each other and end at the
//! same time: nobody waits for ever, and everybody hears what it has to, in the right order.

use crate::common::*;
use crosspoint_hub::command::{
    Addressee, ChannelCommand, ChannelEvent, Command, Event, LinkEvent, OwnerNews,
};
use crosspoint_hub::peers::Duplicates;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{LINES, data, events};
use crosspoint_hub::{
    Hub, HubOptions, JoinedChannelId, Limits, LinkNumber, MemberNumber, OwnedChannelId, Reason,
    Session,
};
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::Instant;

/// What one session has heard of its links. Checks that each begins once and ends once.
#[derive(Default)]
struct Heard {
    open: BTreeSet<u32>,
    answers: usize,
    welcomed: bool,
}

impl Heard {
    fn read(&mut self, session: &mut Session) {
        for event in events(session) {
            assert!(self.welcomed != matches!(event, Event::Welcome { .. }), "{event:?}");
            match event {
                Event::Welcome { .. } => self.welcomed = true,
                Event::Link(LinkEvent::Opened { request, link, .. }) => {
                    assert!(self.open.insert(link.0), "a number comes once");
                    self.answers += usize::from(request.is_some());
                }
                Event::Link(LinkEvent::Closed { link: LinkNumber(link), .. }) => {
                    assert!(self.open.remove(&link), "an end of what has begun");
                }
                Event::Refused { reason: Reason::NoSuchPeer, .. } => self.answers += 1,
                other => panic!("something else: {other:?}"),
            }
        }
    }
}

/// Carries a command out, however often it has to wait, and reads meanwhile.
fn insist(session: &mut Session, woken: &Woken, heard: &mut Heard, command: Command) {
    let mut step = execute(session, command);
    while step == Step::Wait {
        woken.wait();
        heard.read(session);
        step = session.flush(Instant::now());
    }
    assert_eq!(step, Step::Go);
}

#[test]
fn two_who_link_to_each_other_at_the_same_time_while_one_ends_both_hear_of_all() {
    let hub = hub(Limits { outbox_bytes_max: 50_000, ..Limits::default() });
    let barrier = Arc::new(Barrier::new(2));
    for round in 0..500u32 {
        let one = |me: u8, other: u8, turns: u32| {
            let (hub, barrier) = (hub.clone(), barrier.clone());
            let (mut session, woken, step) = try_open(&hub, &LINES, hello(me, "", false));
            assert_eq!(step, Step::Go);
            thread::spawn(move || {
                let mut heard = Heard::default();
                barrier.wait();
                for turn in 0..turns {
                    insist(&mut session, &woken, &mut heard, link(to(other)));
                    heard.read(&mut session);
                    let last = heard.open.last().copied();
                    if let Some(number) = last.filter(|_| (turn + round) % 3 == 0) {
                        insist(&mut session, &woken, &mut heard, unlink(number));
                        // It may have heard of the end while it waited.
                        heard.open.remove(&number);
                    }
                }
                heard.read(&mut session);
                assert_eq!(heard.answers, turns as usize, "each is answered once");
                (session, heard)
            })
        };
        let (early, late) = (one(1, 2, round % 20), one(2, 1, 40));
        // The first one ends while the other is still at it.
        drop(early.join().expect("it hears what it has to"));
        let (mut session, mut heard) = late.join().expect("it hears what it has to");
        heard.read(&mut session);
        assert!(heard.open.is_empty(), "all have ended with the first one: {:?}", heard.open);
        assert_eq!(hub.metrics.links.get(), 0);
    }
    assert_eq!(hub.sessions(), 0);
}

#[test]
fn nothing_comes_to_a_session_before_its_welcome_however_early_it_is_found() {
    let hub = hub(Limits::default());
    let finder = {
        let hub = hub.clone();
        thread::spawn(move || {
            let mut one = open(&hub, 1, "");
            let to = Addressee::Name(name("late"));
            let mut found = 0;
            while found < 20_000 {
                ask(&mut one, link(to.clone()));
                let linked = |event: &Event| matches!(event, Event::Link(LinkEvent::Opened { .. }));
                found += events(&mut one).iter().filter(|event| linked(event)).count();
            }
        })
    };
    while !finder.is_finished() {
        let (mut late, woken, step) = try_open(&hub, &LINES, hello(2, "late", false));
        assert_eq!(step, Step::Go);
        let mut heard = Heard::default();
        // The first to wake it is its own welcome.
        woken.wait();
        heard.read(&mut late);
        assert!(heard.welcomed);
    }
    finder.join().expect("it finds the other one");
    assert_eq!(hub.metrics.links.get(), 0);
}

#[test]
fn nothing_of_a_channel_comes_to_its_owner_before_it_knows_that_it_has_it() {
    let hub = hub(Limits::default());
    let guest = {
        let hub = hub.clone();
        thread::spawn(move || {
            let mut guest = open(&hub, 1, "");
            let mut entered = 0;
            while entered < 2_000 {
                ask(&mut guest, Command::enter(1, "a"));
                if let [Event::Channel(ChannelEvent::Entered(_))] = events(&mut guest)[..] {
                    entered += 1;
                    ask(&mut guest, ChannelCommand::Leave(JoinedChannelId(0)));
                }
            }
        })
    };
    let mut owner = open(&hub, 2, "");
    while !guest.is_finished() {
        ask(&mut owner, Command::create(1, "a"));
        let first = events(&mut owner).into_iter().next();
        assert!(matches!(first, Some(Event::Channel(ChannelEvent::Created { .. }))), "{first:?}");
        ask(&mut owner, ChannelCommand::Delete(OwnedChannelId(0)));
    }
    guest.join().expect("it enters now and then");
}

#[test]
fn who_takes_over_and_who_is_taken_over_at_the_same_time_leave_one_and_no_traces() {
    let options = HubOptions { duplicates: Duplicates::Replace, ..HubOptions::default() };
    let hub = Hub::new(options);
    let threads: Vec<_> = (0..4u8)
        .map(|id| {
            let hub = hub.clone();
            thread::spawn(move || {
                for _ in 0..500 {
                    let (mut session, _, step) =
                        try_open(&hub, &LINES, hello(id / 2, "same", false));
                    assert_eq!(step, Step::Go);
                    ask(&mut session, provide("s", true));
                    ask(&mut session, link(Addressee::Service(name("s"))));
                    ask(&mut session, link(Addressee::Name(name("same"))));
                    assert_eq!(send(&mut session, 0, "x"), Step::Go);
                    let closed = events(&mut session);
                    let reason = Reason::Replaced;
                    let count = closed.iter().filter(|e| **e == Event::Closed { reason }).count();
                    assert!(count <= 1);
                    session.close(reason);
                    data(&mut session);
                }
            })
        })
        .collect();
    for thread in threads {
        thread.join().expect("it comes and goes");
    }
    assert_eq!((hub.sessions(), hub.metrics.links.get()), (0, 0));
    let mut last = open(&hub, 9, "same");
    assert_eq!(refused(&mut last, link(Addressee::Service(name("s")))), Some(Reason::NoSuchPeer));
}

/// What one session has in hand. Checks that nothing comes to it twice, or is about what it has not.
#[derive(Default)]
struct Hands {
    owned: BTreeSet<u32>,
    entered: BTreeSet<u32>,
    asked: BTreeSet<u32>,
    inherited: usize,
}

impl Hands {
    fn read(&mut self, session: &mut Session) {
        for event in events(session) {
            let fits = match &event {
                Event::Channel(ChannelEvent::Created { request, channel }) => {
                    self.asked.remove(request) && self.owned.insert(channel.0)
                }
                Event::Channel(ChannelEvent::Entered(told)) => {
                    self.asked.remove(&told.request) && self.entered.insert(told.channel.0)
                }
                Event::Done { request } | Event::Refused { request, .. } => {
                    self.asked.remove(request)
                }
                Event::Channel(
                    ChannelEvent::MemberEntered { channel, .. }
                    | ChannelEvent::MemberLeft { channel, .. },
                ) => self.owned.contains(&channel.0),
                Event::Channel(ChannelEvent::Owner { channel, news: OwnerNews::You(own) }) => {
                    self.inherited += 1;
                    self.entered.remove(&channel.0) && self.owned.insert(own.0)
                }
                Event::Channel(ChannelEvent::Owner { channel, .. }) => {
                    self.entered.contains(&channel.0)
                }
                Event::Channel(ChannelEvent::Ended { channel, .. }) => {
                    self.entered.remove(&channel.0)
                }
                Event::Welcome { .. } => true,
                _ => false,
            };
            assert!(fits, "{event:?}");
        }
    }

    /// Does one of many things.
    fn act(&mut self, session: &mut Session, request: u32, dice: u32) -> Option<Command> {
        let (kind, number) = (dice % 16, dice / 16 % 4);
        let name = ["a", "b"][number as usize % 2];
        let first = self.owned.first().copied().unwrap_or(number);
        let command = match kind {
            0 => Command::create(request, name),
            1..6 => Command::enter(request, name),
            6..12 => {
                let (channel, member) = (OwnedChannelId(first), Some(MemberNumber(number)));
                Command::Channel(ChannelCommand::Succeed { request, channel, member })
            }
            12 => {
                self.owned.remove(&first);
                return Some(Command::Channel(ChannelCommand::Resign(OwnedChannelId(first))));
            }
            13 => {
                self.entered.remove(&number);
                return Some(Command::Channel(ChannelCommand::Leave(JoinedChannelId(number))));
            }
            _ => {
                session.hub().set_away(Instant::now(), session.endpoint().id, number < 2);
                session.heed_absence();
                return None;
            }
        };
        self.asked.insert(request);
        Some(command)
    }
}

/// Lives some lives. Gives how often it has inherited a channel.
fn live(hub: &Arc<Hub>, id: u8) -> usize {
    let mut dice = u32::from(id);
    let (mut inherited, mut request) = (0, 0);
    for reason in [Reason::Bye, Reason::ConnectionLost, Reason::HubStopping].repeat(50) {
        let (mut session, woken, step) = try_open(hub, &LINES, hello(id, "", false));
        assert_eq!(step, Step::Go);
        let mut hands = Hands::default();
        for _ in 0..100 {
            thread::yield_now();
            dice = dice.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
            request += 1;
            if let Some(command) = hands.act(&mut session, request, dice >> 16) {
                let mut step = execute(&mut session, command);
                while step == Step::Wait {
                    woken.wait();
                    hands.read(&mut session);
                    step = session.flush(Instant::now());
                }
                assert_eq!(step, Step::Go);
            }
            hands.read(&mut session);
            // The one that is named has its turn to read it.
            while hands.asked.contains(&request) {
                woken.wait();
                hands.read(&mut session);
            }
        }
        session.close(reason);
        hands.read(&mut session);
        inherited += hands.inherited;
    }
    inherited
}

#[test]
fn channels_that_change_hands_among_threads_are_always_in_one() {
    let limits = Limits { channels_owned_max: 2, outbox_bytes_max: 20_000, ..Limits::default() };
    let hub = hub(limits);
    let live = |id| {
        let hub = hub.clone();
        thread::spawn(move || live(&hub, id))
    };
    let threads: Vec<_> = (1..5).map(live).collect();
    let inherited =
        |thread: thread::JoinHandle<usize>| thread.join().expect("it hears what it has to");
    let inherited: usize = threads.into_iter().map(inherited).sum();
    assert!(inherited > 0);
    assert_eq!((hub.sessions(), hub.channels(), hub.metrics.members.get()), (0, 0, 0));
}

#[test]
fn no_channel_stays_when_owner_and_heir_go_at_the_same_time() {
    for round in 0..300 {
        let hub = hub(Limits::default());
        let (mut owner, mut successor) = (open(&hub, 1, ""), open(&hub, 2, ""));
        ask(&mut owner, Command::create(1, "a"));
        ask(&mut successor, Command::enter(1, "a"));
        let (channel, member) = (OwnedChannelId(0), Some(MemberNumber(0)));
        ask(&mut owner, ChannelCommand::Succeed { request: 2, channel, member });
        events(&mut successor);
        assert_eq!(events(&mut owner).last(), Some(&Event::Done { request: 2 }));
        // So that its end takes a while.
        for channel in 0..100 {
            ask(&mut successor, Command::create(1, &format!("{channel}")));
        }
        let barrier = Arc::new(Barrier::new(2));
        let other = {
            let barrier = barrier.clone();
            thread::spawn(move || {
                barrier.wait();
                (0..round * 20).for_each(|_| std::hint::spin_loop());
                drop(owner);
            })
        };
        barrier.wait();
        drop(successor);
        other.join().expect("it ends");
        assert_eq!((hub.channels(), hub.metrics.members.get()), (0, 0), "round {round}");
    }
}
