//! Sessions without a connection, and what they ask and read.

use crosspoint_hub::command::{
    Addressee, Command, DirectoryCommand, Event, Hello, LinkCommand, LinkEvent, LinkOptions, Target,
};
use crosspoint_hub::endpoint::{Endpoint, Outlet};
use crosspoint_hub::metrics::ByLimit;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{LINES, events};
use crosspoint_hub::wire::Wire;
use crosspoint_hub::{
    Hub, HubOptions, Limit, Limits, LinkNumber, Part, PeerId, PeerName, Reason, Session,
};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

pub(crate) fn hub(limits: Limits) -> Arc<Hub> {
    Hub::new(HubOptions { limits, ..HubOptions::default() })
}

/// A hub whose outboxes are full soon.
pub(crate) fn narrow() -> Arc<Hub> {
    hub(Limits { outbox_bytes_max: 20_000, ..Limits::default() })
}

/// Counts how often its session's task is woken, and lets a test wait for it.
#[derive(Clone, Default)]
pub(crate) struct Woken(Arc<(AtomicUsize, Mutex<bool>, Condvar)>);

impl Woken {
    pub(crate) fn times(&self) -> usize {
        self.0.0.load(Ordering::Relaxed)
    }

    /// Waits until it was woken, if it was not since the last time.
    pub(crate) fn wait(&self) {
        let (_, woken, changed) = &*self.0;
        let woken = woken.lock().expect("nobody panics with it");
        let mut woken = changed.wait_while(woken, |woken| !*woken).expect("nobody panics with it");
        *woken = false;
    }
}

impl Outlet for Woken {
    fn flush(&self, _outbox: &Endpoint) {
        self.wake();
    }

    fn wake(&self) {
        let (times, woken, changed) = &*self.0;
        times.fetch_add(1, Ordering::Relaxed);
        *woken.lock().expect("nobody panics with it") = true;
        changed.notify_one();
    }
}

pub(crate) fn hello(id: u8, name: &str, proven: bool) -> Hello {
    let name = Some(name.to_owned()).filter(|name| !name.is_empty());
    Hello { peer: Some(peer_id(id)), proven, name, ..Hello::default() }
}

/// Opens a session and lets it say hello. What it reads is left in its outbox.
pub(crate) fn try_open(
    hub: &Arc<Hub>,
    wire: &'static dyn Wire,
    hello: Hello,
) -> (Session, Woken, Step) {
    let (now, woken) = (Instant::now(), Woken::default());
    let mut session = hub.open(now, None, wire, Box::new(woken.clone()));
    let step = session.execute(now, Command::Hello(hello));
    assert_eq!(session.flush(now), Step::Go);
    (session, woken, step)
}

/// As [`try_open`], and it has read its welcome.
pub(crate) fn open_woken(hub: &Arc<Hub>, id: u8, name: &str) -> (Session, Woken) {
    let (mut session, woken, step) = try_open(hub, &LINES, hello(id, name, false));
    assert_eq!(step, Step::Go);
    assert!(matches!(events(&mut session)[..], [Event::Welcome { .. }]));
    (session, woken)
}

pub(crate) fn open(hub: &Arc<Hub>, id: u8, name: &str) -> Session {
    open_woken(hub, id, name).0
}

pub(crate) fn peer_id(id: u8) -> PeerId {
    PeerId::new([id; 16])
}

pub(crate) fn name(name: &str) -> PeerName {
    PeerName::new(name).expect("a short name")
}

pub(crate) fn to(id: u8) -> Addressee {
    Addressee::Peer(peer_id(id))
}

pub(crate) fn execute(session: &mut Session, command: Command) -> Step {
    let now = Instant::now();
    match session.execute(now, command) {
        Step::Go => session.flush(now),
        step => step,
    }
}

pub(crate) fn ask(session: &mut Session, command: impl Into<Command>) {
    let command = command.into();
    assert_eq!(execute(session, command), Step::Go);
}

pub(crate) fn link(to: Addressee) -> Command {
    Command::Link(LinkCommand::Open { request: 1, to, options: LinkOptions::default() })
}

pub(crate) fn provide(service: &str, on: bool) -> Command {
    Command::Directory(DirectoryCommand::Provide { request: 1, service: name(service), on })
}

pub(crate) fn unlink(link: u32) -> Command {
    Command::Link(LinkCommand::Close { link: LinkNumber(link), reason: Reason::Left })
}

pub(crate) fn send(session: &mut Session, link: u32, text: &str) -> Step {
    let (to, part) = (Target::Link(LinkNumber(link)), Part::whole(text.to_owned()));
    execute(session, Command::Send { to, part })
}

/// Asks, and gives the reason why not.
pub(crate) fn refused(session: &mut Session, command: impl Into<Command>) -> Option<Reason> {
    let command = command.into();
    ask(session, command);
    let reason = |event| match event {
        Event::Refused { create: false, reason, .. } => Some(reason),
        _ => None,
    };
    events(session).into_iter().find_map(reason)
}

/// Links two sessions that have no unread events; gives the link's number at both sides.
pub(crate) fn join(one: &mut Session, other: &mut Session, id: u8) -> (u32, u32) {
    ask(one, link(to(id)));
    let number = |session: &mut Session| match events(session)[..] {
        [Event::Link(LinkEvent::Opened { link, .. })] => link.0,
        ref other => panic!("no link: {other:?}"),
    };
    (number(one), number(other))
}

/// How often a limit was reached, by its label in the metrics.
pub(crate) fn hits(hub: &Hub, label: &str) -> u64 {
    let limit = Limit::ALL.iter().copied().find(|limit| limit.label() == label);
    let limit = limit.unwrap_or_else(|| panic!("there is no limit {label}"));
    hub.metrics.limit_hits.get_or_create(&ByLimit { limit }).get()
}

/// A line of a thousand bytes with its number.
pub(crate) fn line(number: usize) -> String {
    format!("{number:01000}")
}
