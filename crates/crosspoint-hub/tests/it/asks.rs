//! Questions to the hub application: answered later, elsewhere, never, or faster than they are read.

use crate::common::*;
use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::{ApplicationCommand, ApplicationEvent, Command, Event, Peer};
use crosspoint_hub::payload::{Ask, Failure, Payload};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::events;
use crosspoint_hub::{Hub, Limits, Reason, Session};
use std::sync::mpsc::{Receiver, Sender, channel};
use std::sync::{Arc, Mutex};
use std::time::Instant;

/// Hands all questions to a test.
struct Elsewhere(Mutex<Sender<(Peer, Ask, Reply)>>);

impl Application for Elsewhere {
    fn ask(&self, from: &Peer, ask: Ask, reply: Reply) {
        let sender = self.0.lock().expect("nobody panics with it");
        sender.send((from.clone(), ask, reply)).expect("the test lives as long");
    }
}

fn elsewhere(limits: Limits) -> (Arc<Hub>, Receiver<(Peer, Ask, Reply)>) {
    let (sender, asked) = channel();
    let hub = hub(limits);
    assert!(hub.set_application(Box::new(Elsewhere(Mutex::new(sender)))).is_ok());
    (hub, asked)
}

fn question(ticket: u32) -> Command {
    let (method, payload) = ("a.b".to_owned(), Payload::text("?"));
    Command::Application(ApplicationCommand::Ask { ticket, ask: Ask { method, payload } })
}

fn answer(ticket: u32, text: &str) -> Event {
    Event::Application(ApplicationEvent::Answer { ticket, outcome: Ok(Payload::text(text)) })
}

#[test]
fn an_answer_may_come_later_from_another_thread_and_in_another_order() {
    let (hub, asked) = elsewhere(Limits::default());
    let (mut one, woken) = open_woken(&hub, 1, "ann");
    ask(&mut one, question(1));
    ask(&mut one, question(2));
    assert_eq!(events(&mut one), []);
    let asked: Vec<_> = asked.try_iter().collect();
    assert!(asked.iter().all(|(from, ask, _)| from.name.as_deref() == Some("ann")
        && ask.method == "a.b"
        && ask.payload == Payload::text("?")));
    let before = woken.times();
    let elsewhere = std::thread::spawn(move || {
        for (index, (_, _, reply)) in asked.into_iter().enumerate().rev() {
            reply.send(Ok(Payload::text(format!("answer {index}"))));
        }
    });
    elsewhere.join().expect("it answers");
    assert!(woken.times() > before);
    assert_eq!(events(&mut one), [answer(2, "answer 1"), answer(1, "answer 0")]);
}

#[test]
fn what_the_program_has_not_answered_is_charged_to_who_asks() {
    const BYTES: usize = 100_000;
    let (hub, asked) = elsewhere(Limits::default());
    let mut one = open(&hub, 1, "");
    let before = one.endpoint().account().used();
    let used = |session: &mut Session| {
        session.holds(0);
        session.endpoint().account().used() - before
    };
    let payload = Payload::text("x".repeat(BYTES));
    let large = Ask { method: String::new(), payload };
    ask(&mut one, ApplicationCommand::Ask { ticket: 1, ask: large.clone() });
    ask(&mut one, ApplicationCommand::Ask { ticket: 2, ask: large });
    assert!((2 * BYTES..3 * BYTES).contains(&used(&mut one)));
    let mut replies = asked.try_iter().map(|(_, _, reply)| reply);
    replies.next().expect("two were asked").send(Ok(Payload::default()));
    assert!((BYTES..2 * BYTES).contains(&used(&mut one)));
    drop(replies.next());
    assert_eq!(used(&mut one), 0);
}

#[test]
fn an_answer_to_who_has_gone_is_lost_and_a_reply_that_is_dropped_answers_nothing() {
    let (hub, asked) = elsewhere(Limits::default());
    let mut one = open(&hub, 1, "");
    ask(&mut one, question(1));
    ask(&mut one, question(2));
    let mut replies = asked.try_iter().map(|(_, _, reply)| reply);
    drop(replies.next());
    assert_eq!(events(&mut one), []);
    let late = replies.next().expect("two were asked");
    drop(one);
    late.send(Ok(Payload::default()));
}

#[test]
fn where_nobody_is_a_question_fails_and_a_message_is_dropped() {
    let hub = hub(Limits::default());
    let mut one = open(&hub, 1, "");
    ask(&mut one, question(1));
    let ask_nobody = Ask { method: String::new(), payload: Payload::default() };
    ask(&mut one, ApplicationCommand::Ask { ticket: 2, ask: ask_nobody });
    let outcome = Err(Failure::no_method("a.b"));
    assert_eq!(
        events(&mut one),
        [Event::Application(ApplicationEvent::Answer { ticket: 1, outcome })]
    );
}

#[test]
fn who_asks_faster_than_the_answers_come_waits_and_goes_on() {
    let (hub, asked) = elsewhere(Limits { asks_pending_max: 2, ..Limits::default() });
    // Answered, or given up: both make room.
    for answered in [true, false] {
        let (mut one, woken) = open_woken(&hub, 1, "");
        ask(&mut one, question(1));
        ask(&mut one, question(2));
        let before = hits(&hub, "asks_pending_max");
        assert_eq!(execute(&mut one, question(3)), Step::Wait);
        assert_eq!(one.flush(Instant::now()), Step::Wait);
        assert!(hits(&hub, "asks_pending_max") > before);
        let replies: Vec<_> = asked.try_iter().map(|(_, _, reply)| reply).collect();
        assert_eq!(replies.len(), 2);
        let times = woken.times();
        for reply in replies {
            match answered {
                true => reply.send(Ok(Payload::text("!"))),
                false => drop(reply),
            }
        }
        assert!(woken.times() > times);
        assert_eq!(one.flush(Instant::now()), Step::Go);
        assert_eq!(asked.try_iter().count(), 1);
    }
}

#[test]
fn who_does_not_read_its_answers_is_not_asked_further_and_not_ended() {
    let (hub, asked) = elsewhere(Limits { outbox_bytes_max: 20_000, ..Limits::default() });
    let (mut one, woken) = open_woken(&hub, 1, "");
    let mut count = 0;
    while execute(&mut one, question(count)) == Step::Go {
        let (_, _, reply) = asked.try_recv().expect("it was asked");
        reply.send(Ok(Payload::text(line(0))));
        count += 1;
        assert!(count < 100, "half an outbox is not that large");
    }
    assert!((10_000..12_000).contains(&one.endpoint().cost()));
    assert!(hits(&hub, "outbox_bytes_max") > 0);
    let before = woken.times();
    assert_eq!(events(&mut one).len(), count as usize);
    assert!(woken.times() > before);
    assert_eq!(one.flush(Instant::now()), Step::Go);
    // One that is larger than the whole outbox comes as well.
    let (_, _, reply) = asked.try_recv().expect("it was asked");
    reply.send(Ok(Payload::bytes(vec![0; 100_000])));
    assert!(
        matches!(&events(&mut one)[..], [Event::Application(ApplicationEvent::Answer { outcome: Ok(payload), .. })] if payload.data.len() == 100_000)
    );
}

#[test]
fn nobody_asks_before_its_hello() {
    let (hub, asked) = elsewhere(Limits::default());
    let woken = Box::new(Woken::default());
    let mut one = hub.open(Instant::now(), None, &crosspoint_hub::testing::LINES, woken);
    let step = one.execute(Instant::now(), question(1));
    assert_eq!(step, Step::Close(Reason::Malformed));
    assert_eq!(asked.try_iter().count(), 0);
}
