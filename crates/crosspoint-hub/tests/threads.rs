//! Sessions of several threads that find each other, link and end at the same time: nobody waits for
//! ever, and everybody hears what it has to, in the right order.

mod common;

use common::*;
use crosspoint_hub::command::{Addressee, Command, Event};
use crosspoint_hub::peers::Duplicates;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{LINES, data, events};
use crosspoint_hub::{Hub, HubOptions, Limits, LinkNumber, Reason, Session};
use std::collections::BTreeSet;
use std::sync::{Arc, Barrier};
use std::thread;

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
                Event::Linked { request, link, .. } => {
                    assert!(self.open.insert(link.0), "a number comes once");
                    self.answers += usize::from(request.is_some());
                }
                Event::Unlinked { link: LinkNumber(link), .. } => {
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
        step = session.flush(std::time::Instant::now());
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
                let linked = |event: &Event| matches!(event, Event::Linked { .. });
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
