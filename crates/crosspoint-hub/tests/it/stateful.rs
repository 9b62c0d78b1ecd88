//! Sessions whose own task writes data: in which order things are written, and what is too much.

use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, ChannelCommand, ChannelEvent, Command, EnterOptions, Event, Hello, LinkCommand,
    LinkEvent, LinkOptions, Target,
};
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{
    Arrived, EVENTS, LINKS_BUT, Lines, data, events, open, open_as, take,
};
use crosspoint_hub::wire::{Encoded, Part, Place, Wire};
use crosspoint_hub::{
    ChannelName, Hub, HubOptions, JoinedChannelId, Limits, LinkNumber, OwnedChannelId, PeerId,
    Session,
};
use std::cell::Cell;
use std::sync::Arc;
use std::time::{Duration, Instant};

const ID: PeerId = PeerId::new([7; 16]);

/// A session that writes data itself, and one that is linked to it.
fn linked(outbox_bytes_max: usize) -> (Session, Session, LinkNumber) {
    linked_as(&EVENTS, outbox_bytes_max)
}

fn linked_as(wire: &'static dyn Wire, outbox_bytes_max: usize) -> (Session, Session, LinkNumber) {
    let limits = Limits { outbox_bytes_max, ..Limits::default() };
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    let hello = Hello { peer: Some(ID), ..Hello::default() };
    let mut receiver = open_as(&hub, Instant::now(), wire, None, hello);
    let mut sender = open(&hub, Instant::now());
    let (to, options) = (Addressee::Peer(ID), LinkOptions::default());
    give(&mut sender, LinkCommand::Open { request: 1, to, options });
    let Event::Link(LinkEvent::Opened { link, .. }) = events(&mut sender)[0] else {
        panic!("linked")
    };
    events(&mut receiver);
    (receiver, sender, link)
}

fn give(session: &mut Session, command: impl Into<Command>) {
    let command = command.into();
    assert_eq!(session.execute(Instant::now(), command), Step::Go);
    assert_eq!(session.flush(Instant::now()), Step::Go);
}

fn send(session: &mut Session, link: LinkNumber, bytes: usize) {
    give(session, Command::Send { to: Target::Link(link), part: Part::whole(vec![7; bytes]) });
}

fn encoded(bytes: Vec<u8>) -> Encoded {
    Encoded { first: bytes.into(), rest: Vec::new() }
}

#[test]
fn what_a_protocol_has_written_comes_before_what_it_was_not_told_yet() {
    let (receiver, mut sender, link) = linked(1 << 20);
    let endpoint: Arc<_> = receiver.endpoint().clone();
    let mut pieces: Vec<Bytes> = Vec::new();
    endpoint.push_own(&encoded(b"one ".to_vec()));
    send(&mut sender, link, 5);
    send(&mut sender, link, 6);
    endpoint.push_own(&encoded(b"two".to_vec()));
    assert_eq!(endpoint.next(true, &mut pieces), WriteStep::Write);
    assert_eq!(pieces.concat(), b"one two");
    endpoint.wrote(Instant::now(), &mut pieces, 7, false);
    for length in [5, 6] {
        let WriteStep::Event(_, event) = endpoint.next(true, &mut pieces) else {
            panic!("an event")
        };
        assert!(matches!(&*event, Event::Data { part, .. } if part.data.len() == length));
        // What is written for it takes its place, and the next comes behind that too.
        endpoint.converted(&encoded(vec![b'a'; length]));
        endpoint.push_own(&encoded(b"own".to_vec()));
        assert_eq!(endpoint.next(true, &mut pieces), WriteStep::Write);
        assert_eq!(pieces.concat(), [&vec![b'a'; length][..], b"own"].concat());
        endpoint.wrote(Instant::now(), &mut pieces, length + 3, false);
    }
    assert_eq!(endpoint.next(true, &mut pieces), WriteStep::Nothing);
}

/// Which messages are encoded by who sends them depends on their kind, and they come in one batch.
#[test]
fn messages_of_both_sorts_over_one_link_come_in_their_order() {
    let (mut receiver, mut sender, link) = linked_as(&LINKS_BUT, 1 << 20);
    let now = Instant::now();
    let kinds = |count: usize| {
        let kind = |number| match number % 7 {
            0 | 1 | 4 => Lines::KIND,
            _ => Part::DATA,
        };
        (0..count).map(kind)
    };
    for (number, kind) in kinds(500).enumerate() {
        let part = Part { kind, ..Part::whole(format!("{number}")) };
        let send = Command::Send { to: Target::Link(link), part };
        assert_eq!(sender.execute(now, send), Step::Go);
        if number % 100 == 99 {
            assert_eq!(sender.flush(now), Step::Go);
        }
    }
    let arrived = take(&mut receiver).into_iter().flat_map(|arrived| match arrived {
        Arrived::Data(lines) => {
            let text = String::from_utf8(lines.to_vec()).unwrap();
            text.lines().map(|line| (Lines::KIND, line.replace("link 0: ", ""))).collect()
        }
        Arrived::Event(Event::Data { place, part }) => {
            assert_eq!(place, Place::Link(LinkNumber(0)));
            vec![(part.kind, String::from_utf8(part.data.to_vec()).unwrap())]
        }
        Arrived::Event(other) => panic!("{other:?}"),
    });
    let sent = kinds(500).enumerate().map(|(number, kind)| (kind, number.to_string()));
    assert_eq!(arrived.collect::<Vec<_>>(), sent.collect::<Vec<_>>());
}

/// What is written by others waits for nobody: it comes to a socket straight from the thread of the sender.
#[test]
fn only_messages_of_other_kinds_over_links_are_for_the_task_of_the_receiver() {
    let (mut receiver, mut sender, link) = linked_as(&LINKS_BUT, 1 << 20);
    let endpoint: Arc<_> = receiver.endpoint().clone();
    let mut pieces: Vec<Bytes> = Vec::new();
    let mut say = |kind| {
        let part = Part { kind, ..Part::whole("said") };
        give(&mut sender, Command::Send { to: Target::Link(link), part });
    };
    say(Lines::KIND);
    assert_eq!(endpoint.next(false, &mut pieces), WriteStep::Write);
    assert_eq!(pieces.concat(), b"link 0: said\n");
    endpoint.wrote(Instant::now(), &mut pieces, 13, false);
    say(Part::DATA);
    assert_eq!(endpoint.next(false, &mut pieces), WriteStep::ForTask);
    // What the protocol itself has written keeps its place behind that.
    endpoint.push_own(&encoded(b"own".to_vec()));
    assert!(matches!(take(&mut receiver)[..], [Arrived::Event(_), Arrived::Data(_)]));
    // In a room no kind makes a difference.
    let name = ChannelName::new(&b"room"[..]).unwrap();
    for session in [&mut receiver, &mut sender] {
        let options = EnterOptions { make_room: true, ..EnterOptions::default() };
        let enter = ChannelCommand::Enter { request: 1, name: name.clone(), options };
        give(session, enter);
    }
    events(&mut receiver);
    for kind in [Part::DATA, Lines::KIND] {
        let part = Part { kind, ..Part::whole("there") };
        give(&mut sender, Command::Send { to: Target::Up(JoinedChannelId(0)), part });
    }
    assert_eq!(data(&mut receiver), "in 0 from 1: there\n".repeat(2));
}

/// It waits for something that its client says next, so the client has to be read.
#[test]
fn what_a_protocol_does_not_take_yet_waits_and_only_those_who_send_it_are_held_up() {
    let (mut receiver, mut sender, link) = linked(1 << 16);
    let endpoint: Arc<_> = receiver.endpoint().clone();
    let (mut pieces, now): (Vec<Bytes>, _) = (Vec::new(), Instant::now());
    let say = || Command::Send { to: Target::Link(link), part: Part::whole(vec![7; 1000]) };
    endpoint.hold_events(true);
    let mut sent = 0;
    while (sender.execute(now, say()), sender.flush(now)) == (Step::Go, Step::Go) {
        sent += 1;
    }
    assert!((20..65).contains(&sent), "{sent} are more than half of what may wait");
    endpoint.push_own(&encoded(b"own".to_vec()));
    endpoint.push_held(&encoded(b" held".to_vec()));
    let none = |_: &Event| false;
    assert_eq!(endpoint.next_ahead(&none, &mut pieces), WriteStep::Write);
    assert_eq!(pieces.concat(), b"own held");
    endpoint.wrote(now, &mut pieces, 8, false);
    assert_eq!(endpoint.next_ahead(&none, &mut pieces), WriteStep::ForTask);
    give(&mut receiver, Command::create(1, "its own"));
    // What is taken ahead keeps its order, and is not looked for among what was passed over.
    let answers = |event: &Event| !matches!(event, Event::Data { .. });
    give(&mut receiver, Command::create(2, "another"));
    for request in [1, 2] {
        let looked_at = Cell::new(0);
        let counted = |event: &Event| {
            looked_at.set(looked_at.get() + 1);
            answers(event)
        };
        let step = endpoint.next_ahead(&counted, &mut pieces);
        let WriteStep::Event(_, event) = step else { panic!("{step:?}") };
        let created = ChannelEvent::Created { request, channel: OwnedChannelId(request - 1) };
        assert_eq!((*event, looked_at.get()), (Event::Channel(created), 1));
        endpoint.converted(&encoded(b"answer".to_vec()));
        assert_eq!(endpoint.next_ahead(&none, &mut pieces), WriteStep::Write);
        endpoint.wrote(now, &mut pieces, 6, false);
    }
    endpoint.hold_events(false);
    let told = events(&mut receiver);
    assert!(told.iter().all(|event| matches!(event, Event::Data { .. })));
    assert_eq!(told.len(), sent);
    assert_eq!(sender.flush(now), Step::Go);
}

/// Who is only spoken to by events that are nothing in its protocol takes all there is.
#[test]
fn an_event_that_makes_nothing_to_write_is_no_sign_of_a_slow_receiver() {
    let (receiver, mut sender, link) = linked(1 << 20);
    let endpoint: Arc<_> = receiver.endpoint().clone();
    let mut pieces: Vec<Bytes> = Vec::new();
    let now = Instant::now();
    endpoint.push_own(&encoded(b"welcome".to_vec()));
    send(&mut sender, link, 5);
    assert_eq!(endpoint.next(true, &mut pieces), WriteStep::Write);
    endpoint.wrote(now, &mut pieces, 3, true);
    assert_eq!(endpoint.stalled(), Some(now), "it has not taken all");
    assert_eq!(endpoint.next(true, &mut pieces), WriteStep::Write);
    endpoint.wrote(now, &mut pieces, 4, false);
    let WriteStep::Event(..) = endpoint.next(true, &mut pieces) else { panic!("an event") };
    endpoint.converted(&Encoded::default());
    assert_eq!(endpoint.stalled(), None);
    assert!(endpoint.is_empty());
}

#[test]
fn a_large_message_that_was_taken_ends_nobody_and_leaves_no_room_behind() {
    let (receiver, mut sender, link) = linked(1 << 20);
    let endpoint: Arc<_> = receiver.endpoint().clone();
    let mut pieces: Vec<Bytes> = Vec::new();
    let large = 3 << 20;
    send(&mut sender, link, large);
    // Others wait.
    let more = Command::Send { to: Target::Link(link), part: Part::whole(vec![1]) };
    let now = Instant::now();
    assert_eq!((sender.execute(now, more), sender.flush(now)), (Step::Go, Step::Wait));
    let WriteStep::Event(..) = endpoint.next(true, &mut pieces) else { panic!("an event") };
    endpoint.converted(&encoded(vec![7; 2 * large]));
    endpoint.push_own(&encoded(b"own".to_vec()));
    assert_eq!(endpoint.next(true, &mut pieces), WriteStep::Write);
    endpoint.wrote(now, &mut pieces, 2 * large + 3, false);
    // When it is written, the bound is what it was.
    assert_eq!(sender.flush(now), Step::Go);
    endpoint.push_own(&encoded(vec![7; (1 << 20) + 1]));
    assert!(matches!(endpoint.next(true, &mut pieces), WriteStep::Dead(_)));
}

/// Their copies would be far more than an outbox may hold.
#[test]
fn small_messages_to_many_that_lag_are_kept_once_and_come_in_order() {
    const OUTBOX_BYTES_MAX: usize = 256 * 1024;
    let limits = Limits { outbox_bytes_max: OUTBOX_BYTES_MAX, ..Limits::default() };
    let hub = Hub::new(HubOptions { limits, ..HubOptions::default() });
    let name = ChannelName::new(&b"room"[..]).unwrap();
    let enter = || {
        let options = EnterOptions { make_room: true, ..EnterOptions::default() };
        Command::Channel(ChannelCommand::Enter { request: 1, name: name.clone(), options })
    };
    let mut members = [(); 2].map(|()| {
        let mut member = open_as(&hub, Instant::now(), &EVENTS, None, Hello::default());
        give(&mut member, enter());
        events(&mut member);
        member
    });
    let mut sender = open(&hub, Instant::now());
    give(&mut sender, enter());
    let Some(Event::Channel(ChannelEvent::Entered(entered))) = events(&mut sender).pop() else {
        panic!("entered")
    };
    let before = hub.ledger.used();
    let text = |number: u32| format!("{number:0100}");
    // Batches of several sizes: 1 to 200 messages.
    let (mut sent, mut batch) = (0, 1);
    while sent < 20_000 {
        for number in sent..sent + batch {
            let part = Part::whole(text(number));
            let send = Command::Send { to: Target::Up(entered.channel), part };
            assert_eq!(sender.execute(Instant::now(), send), Step::Go);
        }
        assert_eq!(sender.flush(Instant::now()), Step::Go);
        sent += batch;
        batch = batch % 200 + 1;
    }
    let held = hub.ledger.used() - before;
    assert!(held < 160 * sent as usize, "{held} bytes for {sent} messages of 100");
    for member in &mut members {
        let heard = events(member).into_iter().map(|event| match event {
            Event::Data { part, .. } => part.data,
            other => panic!("{other:?}"),
        });
        assert!(heard.eq((0..sent).map(text)), "all, in order");
    }
    assert_eq!(hub.ledger.used(), before);
}

#[test]
fn who_comes_back_has_not_read_for_that() {
    let hub = Hub::new(HubOptions::default());
    let receiver = open(&hub, Instant::now());
    let endpoint: Arc<_> = receiver.endpoint().clone();
    let (start, second) = (Instant::now(), Duration::from_secs(1));
    endpoint.push_own(&encoded(vec![7; 100_000]));
    let mut pieces = Vec::new();
    assert_eq!(endpoint.next(true, &mut pieces), WriteStep::Write);
    endpoint.wrote(start, &mut pieces, 10, true);
    assert_eq!(endpoint.stalled(), Some(start));
    for turn in 1..4 {
        // It is there for ten seconds each time, and away for five.
        let gone = start + (15 * turn - 5) * second;
        hub.set_away(gone, endpoint.id, true);
        hub.set_away(gone + second, endpoint.id, true);
        assert_eq!(endpoint.stalled(), None, "it cannot read");
        hub.set_away(gone + 5 * second, endpoint.id, false);
        let stalled = (gone + 5 * second) - endpoint.stalled().expect("something waits");
        // That it was away is not its fault once.
        assert_eq!(stalled, (15 * turn - 5) * second);
    }
    assert_eq!(endpoint.next(true, &mut pieces), WriteStep::Write);
    endpoint.wrote(start + 50 * second, &mut pieces, 99_000, true);
    assert_eq!(endpoint.stalled(), Some(start + 50 * second), "it has read");
}
