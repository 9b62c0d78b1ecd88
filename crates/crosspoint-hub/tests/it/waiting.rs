//! Newcomers that wait until the session that has their name or id has shown that it lives.

use crate::common::*;
use crosspoint_hub::command::{Command, Event, Hello};
use crosspoint_hub::endpoint::Outlet;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{LINES, LateDirectory, events};
use crosspoint_hub::{Grant, Hub, HubOptions, Limits, PeerId, Permissions, Reason, Session};
use std::sync::Arc;
use std::time::{Duration, Instant};

const MOST: Duration = Duration::from_secs(3);

/// Another session of that id and name, which waits.
fn suitor(hub: &Arc<Hub>, id: u8, name: &str) -> (Session, Woken, Step) {
    let (now, woken) = (Instant::now(), Woken::default());
    let mut session = hub.open(now, None, &LINES, Box::new(woken.clone()) as Box<dyn Outlet>);
    let hello = Hello { waits: true, ..hello(id, name, false) };
    let step = session.execute(now, Command::Hello(hello));
    (session, woken, step)
}

/// Lets it hear what it waits for, as its task would.
fn goes_on(session: &mut Session) -> (Vec<Event>, Step) {
    let told = events(session);
    (told, session.flush(Instant::now()))
}

fn welcome(id: u8) -> Vec<Event> {
    vec![Event::Welcome { peer: peer_id(id) }]
}

#[test]
fn it_is_let_in_when_the_other_one_has_gone() {
    let hub = hub(Limits::default());
    for wanted in [(1, "bob"), (2, "ann"), (1, "ann")] {
        let holder = open(&hub, 1, "ann");
        let (mut newcomer, woken, step) = suitor(&hub, wanted.0, wanted.1);
        assert_eq!(step, Step::Wait);
        assert!(newcomer.is_greeting() && holder.endpoint().take_probe_request());
        assert_eq!(goes_on(&mut newcomer), (vec![], Step::Wait));
        let before = woken.times();
        drop(holder);
        assert!(woken.times() > before);
        assert_eq!(events(&mut newcomer), welcome(wanted.0));
        assert_eq!(newcomer.flush(Instant::now()), Step::Go);
        assert!(!newcomer.is_greeting() && newcomer.claims_until().is_none());
    }
    assert_eq!(hub.sessions(), 0);
}

#[test]
fn it_is_refused_when_the_other_one_lives() {
    let hub = hub(Limits::default());
    let mut holder = open(&hub, 1, "ann");
    for (id, name, reason) in [(1, "", Reason::IdTaken), (2, "ann", Reason::NameTaken)] {
        let (mut newcomer, _, step) = suitor(&hub, id, name);
        assert_eq!(step, Step::Wait);
        holder.shows_life();
        assert_eq!(goes_on(&mut newcomer), (vec![], Step::Close(reason)));
    }
    assert_eq!(events(&mut holder), []);
}

#[test]
fn it_waits_no_longer_than_an_answer_may_take() {
    let hub = hub(Limits { probe_max: Some(MOST), ..Limits::default() });
    let _holder = open(&hub, 1, "ann");
    let before = Instant::now();
    let (mut newcomer, _, step) = suitor(&hub, 2, "ann");
    assert_eq!(step, Step::Wait);
    let until = newcomer.claims_until().expect("it waits");
    assert!((before + MOST..Instant::now() + 2 * MOST).contains(&until));
    assert_eq!(newcomer.drop_claims(until - Duration::from_nanos(1)), Step::Go);
    assert_eq!(newcomer.drop_claims(until), Step::Close(Reason::NameTaken));
    assert_eq!(hits(&hub, "claim_ms_max"), 0);
}

#[test]
fn of_those_that_wait_one_is_let_in_and_who_goes_is_forgotten() {
    let hub = hub(Limits::default());
    let holder = open(&hub, 1, "ann");
    let [mut second, third, mut fourth] = [2, 3, 4].map(|id| suitor(&hub, id, "ann").0);
    drop(third);
    drop(holder);
    let (told, step) = goes_on(&mut fourth);
    assert_eq!((told, step), (welcome(4), Step::Go));
    // It does not wait again.
    assert_eq!(goes_on(&mut second), (vec![], Step::Close(Reason::NameTaken)));
    drop((second, fourth));
    assert_eq!(hub.sessions(), 0);
    assert_eq!(hub.ledger.used(), hub_alone());
}

/// What a hub holds in which nobody is.
fn hub_alone() -> usize {
    hub(Limits::default()).ledger.used()
}

#[test]
fn where_nobody_is_asked_nobody_waits() {
    let unprobed = hub(Limits { probe_max: None, ..Limits::default() });
    let _holder = open(&unprobed, 1, "ann");
    assert_eq!(suitor(&unprobed, 2, "ann").2, Step::Close(Reason::NameTaken));
    // The application of the hub is there.
    let hub = hub(Limits::default());
    hub.set_application_peer(peer_id(1));
    let _holder = open(&hub, 1, "ann");
    assert_eq!(suitor(&hub, 2, "ann").2, Step::Close(Reason::NameTaken));
}

/// It would find out that there is one.
#[test]
fn who_may_not_see_who_is_there_does_not_wait() {
    let permissions = Permissions { presence: false, ..Permissions::default() };
    let hub = Hub::new(HubOptions { permissions, ..HubOptions::default() });
    let _holder = open(&hub, 1, "ann");
    assert_eq!(suitor(&hub, 2, "ann").2, Step::Close(Reason::NotAllowed));
    let now = Instant::now();
    let mut owner = hub.open(now, None, &LINES, Box::new(Woken::default()));
    let hello = Hello { peer: Some(PeerId::new([9; 16])), waits: true, ..Hello::default() };
    let granted = Permissions { presence: false, ..Permissions::default() };
    let grant = Grant { name: Some("ann".into()), permissions: granted, ..Grant::default() };
    // The name is its own, and the other one has only claimed it.
    assert_eq!(owner.welcome(now, hello, grant), Step::Go);
}

/// A directory has granted the name to it, and takes that back when it is refused.
#[test]
fn what_it_has_claimed_elsewhere_is_released_if_it_is_refused() {
    let directory = Arc::new(LateDirectory::default());
    directory.says(crosspoint_hub::directory::Answer::Granted);
    let options = HubOptions { directory: Some(directory.clone()), ..HubOptions::default() };
    let hub = Hub::new(options);
    let mut holder = open(&hub, 1, "ann");
    let (mut newcomer, _, step) = suitor(&hub, 2, "ann");
    assert_eq!((step, directory.held().len()), (Step::Wait, 2));
    holder.shows_life();
    assert_eq!(goes_on(&mut newcomer), (vec![], Step::Close(Reason::NameTaken)));
    assert_eq!(directory.held().len(), 1);
    let (mut newcomer, _, _) = suitor(&hub, 2, "ann");
    drop(holder);
    assert_eq!(goes_on(&mut newcomer), (welcome(2), Step::Go));
    assert_eq!(directory.held().len(), 1);
    drop(newcomer);
    assert!(directory.held().is_empty() && directory.pending().is_empty());
}
