//! Thousands who do the same: what each of them costs does not grow with their number.

use crate::common::*;
use crosspoint_hub::command::{
    After, ChannelCommand, Command, DirectoryCommand, DirectoryEvent, EnterOptions, Event, Hello,
    Query,
};
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Events, LINES, events, open_as};
use crosspoint_hub::wire::Profile;
use crosspoint_hub::{ChannelName, Hub, Limits, PeerId, Session};
use std::sync::Arc;
use std::time::{Duration, Instant};

fn crowd(hub: &Arc<Hub>, count: u32) -> Vec<Session> {
    let one = |number: u32| {
        let mut id = [0x77; 16];
        id[..4].copy_from_slice(&number.to_be_bytes());
        let hello = Hello {
            peer: Some(PeerId::new(id)),
            name: Some(format!("n{number}")),
            ..Hello::default()
        };
        let (mut session, _, step) = try_open(hub, &LINES, hello);
        assert_eq!(step, Step::Go);
        events(&mut session);
        session
    };
    (0..count).map(one).collect()
}

/// For how long this thread ran on a processor. What else the machine does does not count.
fn worked() -> Duration {
    let time = rustix::time::clock_gettime(rustix::time::ClockId::ThreadCPUTime);
    Duration::try_from(time).expect("a time above 0")
}

/// How many times longer it takes for four times as many than for a few, at best: other tests use the caches.
fn growth(few: u32, time: impl Fn(u32) -> Duration) -> f64 {
    let ratio = || time(4 * few).as_secs_f64() / time(few).as_secs_f64();
    let ratios = std::iter::repeat_with(ratio).take(8);
    let mut best = f64::INFINITY;
    for ratio in ratios {
        best = best.min(ratio);
        if best < GROWTH_MAX {
            break;
        }
    }
    best
}

/// The best of some tries.
fn best(time: impl FnMut() -> Duration) -> Duration {
    std::iter::repeat_with(time).take(4).min().expect("there were tries")
}

/// Linear is 4 times, quadratic 16.
const GROWTH_MAX: f64 = 9.0;

#[test]
fn many_provide_the_same_service_and_go_without_going_through_all_others() {
    let grown = growth(3000, |count| {
        let hub = hub(Limits::default());
        let mut sessions = crowd(&hub, count);
        best(|| {
            let begin = worked();
            for session in &mut sessions {
                ask(session, provide("same", true));
            }
            // The last ones first, behind all others.
            for session in sessions.iter_mut().rev() {
                ask(session, provide("same", false));
            }
            let taken = worked() - begin;
            sessions.iter_mut().for_each(|session| drop(events(session)));
            taken
        })
    });
    assert!(grown < GROWTH_MAX, "{grown} times the time for four times as many");
}

#[test]
fn many_wait_for_one_receiver_without_going_through_all_others() {
    let time = |count| {
        let hub = narrow();
        let mut full = open(&hub, 1, "full");
        let mut sessions = crowd(&hub, count);
        for session in &mut sessions {
            join(session, &mut full, 1);
        }
        let mut sent = 0;
        while send(&mut sessions[0], 0, &line(sent)) == Step::Go {
            sent += 1;
            assert!(sent < 20, "the outbox is full soon");
        }
        let begin = worked();
        for session in &mut sessions[1..] {
            assert_eq!(send(session, 0, "more"), Step::Wait);
        }
        worked() - begin
    };
    let grown = growth(1000, |count| best(|| time(count)));
    assert!(grown < GROWTH_MAX, "{grown} times the time for four times as many");
}

#[test]
fn who_looks_behind_an_id_does_not_go_through_all_names() {
    let grown = growth(1000, |count| {
        let hub = hub(Limits::default());
        let mut sessions = crowd(&hub, count);
        let query = Query::Everybody { after: Some(After::Peer(PeerId::new([0; 16]))) };
        best(|| {
            let begin = worked();
            for session in &mut sessions {
                ask(session, DirectoryCommand::Look { request: 1, query: query.clone() });
            }
            let taken = worked() - begin;
            for session in &mut sessions {
                let found = events(session);
                assert!(
                    matches!(&found[..], [Event::Directory(DirectoryEvent::Found { peers, .. })] if peers.is_empty())
                );
            }
            taken
        })
    });
    assert!(grown < GROWTH_MAX, "{grown} times the time for four times as many");
}

/// A protocol whose sessions may follow each other.
static SETTLES: Events = Events(Profile {
    name: "settles",
    id: 94,
    settle: Duration::from_millis(5),
    ..Events::PROFILE
});

#[test]
fn many_want_into_a_full_room_without_going_through_all_its_members() {
    let time = |count: u32| {
        let hub = hub(Limits { room_members_max: count, ..Limits::default() });
        let now = Instant::now();
        let come = |host: u32| {
            let address = Some(std::net::Ipv4Addr::from(0xc612_0000 + host).into());
            let mut session = open_as(&hub, now, &SETTLES, address, Hello::default());
            let options = EnterOptions { make_room: true, ..EnterOptions::default() };
            let name = ChannelName::new(b"lobby".to_vec()).unwrap();
            let enter = Command::Channel(ChannelCommand::Enter { request: 1, name, options });
            assert_eq!(session.execute(now, enter), Step::Go);
            session
        };
        let _members: Vec<Session> = (0..count).map(come).collect();
        best(|| {
            let begin = worked();
            (count..2 * count).for_each(|host| drop(come(host)));
            worked() - begin
        })
    };
    let grown = growth(2000, time);
    assert!(grown < GROWTH_MAX, "{grown} times the time for four times as many");
}
