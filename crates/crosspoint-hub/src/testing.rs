//! Helpers for tests of this crate and of those above it: endpoints without a connection.

use crate::Command;
use crate::command::{Addressee, Event, Hello};
use crate::directory::{Answer, Claim, ClaimId, Directory};
use crate::endpoint::{Endpoint, Outlet};
use crate::hub::Hub;
use crate::outbox::WriteStep;
use crate::reason::Reason;
use crate::session::Session;
use crate::wire::{
    Capacity, Content, FrameWriter, Framing, Pauses, Place, Profile, Stateful, Wire,
};
use bytes::Bytes;
use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// No bounds of the protocol's own.
const UNBOUNDED: Capacity =
    Capacity { owned_max: u32::MAX, entered_max: u32::MAX, members_max: u32::MAX };

/// A wire for tests: one line of text for each part.
#[derive(Debug)]
pub struct Lines {
    id: u8,
    framing: Framing,
    stateful: Stateful,
}

/// Keeps message borders.
pub static LINES: Lines = Lines { id: 200, framing: Framing::Messages, stateful: Stateful::No };
/// Has no message borders.
pub static PIECES: Lines = Lines { id: 201, framing: Framing::Pieces, stateful: Stateful::No };
/// As [`LINES`], but what comes over links is written by the session's own task, except messages of the kind
/// [`Lines::KIND`].
pub static LINKS_BUT: Lines =
    Lines { id: 202, framing: Framing::Messages, stateful: Stateful::LinksBut(Lines::KIND) };

impl Lines {
    /// A kind of messages over links.
    pub const KIND: u8 = 0x41;
}

impl Wire for Lines {
    fn profile(&self) -> Profile {
        Profile {
            name: "lines",
            id: self.id,
            framing: self.framing,
            capacity: UNBOUNDED,
            stateful: self.stateful,
            whole: false,
            links: self.framing == Framing::Messages,
            credentials: self.framing == Framing::Messages,
            pauses: match self.framing {
                Framing::Messages => Pauses::Targets,
                Framing::Pieces => Pauses::Nothing,
            },
            link_bytes: 0,
            successors: self.framing == Framing::Messages,
            application: false,
            secures: false,
            settle: Duration::ZERO,
            envelope: None,
        }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        let Content::Part { place, chunk, part } = content;
        let place = match place {
            Place::Own(own, member) => format!("own {own} from {member}"),
            Place::In(number) => format!("in {number}"),
            Place::Room(number, member) => format!("in {number} from {member}"),
            Place::Link(number) => format!("link {number}"),
        };
        let chunk = chunk.map(|chunk| format!(" chunk {chunk}")).unwrap_or_default();
        let data = String::from_utf8_lossy(&part.data);
        out.small(format!("{place}{chunk}: {data}\n").as_bytes());
    }
}

/// A wire whose data comes as events: the session's own task writes it.
#[derive(Debug)]
pub struct Events(pub Profile);

/// Can do what a native endpoint can, but for successors.
pub static EVENTS: Events = Events(Events::PROFILE);

impl Events {
    /// The profile of [`EVENTS`], to make others from.
    pub const PROFILE: Profile = Profile {
        name: "events",
        id: 210,
        framing: Framing::Messages,
        capacity: UNBOUNDED,
        stateful: Stateful::Yes,
        whole: false,
        links: true,
        credentials: true,
        pauses: Pauses::Targets,
        link_bytes: 0,
        successors: false,
        application: false,
        secures: false,
        settle: Duration::ZERO,
        envelope: None,
    };
}

impl Wire for Events {
    fn profile(&self) -> Profile {
        self.0
    }

    fn encode(&self, _: &Content<'_>, _: &mut FrameWriter) {
        unreachable!("the session's own task writes data");
    }
}

/// A directory that answers claims when a test says so.
#[derive(Debug)]
pub struct LateDirectory(Mutex<Book>);

#[derive(Debug)]
struct Book {
    says: Answer,
    pending: BTreeMap<ClaimId, String>,
    held: BTreeMap<ClaimId, String>,
    /// Those that were refused late. The hub may not know it when it releases them.
    refused: BTreeMap<ClaimId, String>,
}

impl Default for LateDirectory {
    /// All claims are pending.
    fn default() -> Self {
        Self(Mutex::new(Book {
            says: Answer::Pending,
            pending: BTreeMap::new(),
            held: BTreeMap::new(),
            refused: BTreeMap::new(),
        }))
    }
}

impl LateDirectory {
    fn lock(&self) -> MutexGuard<'_, Book> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What it says to a claim from now on.
    pub fn says(&self, answer: Answer) {
        self.lock().says = answer;
    }

    /// The claims that wait, with their text: `channel NAME`, `session ID`, `session ID NAME`, `peer ID`, `name NAME`
    /// or `service NAME`.
    pub fn pending(&self) -> BTreeMap<ClaimId, String> {
        self.lock().pending.clone()
    }

    /// The claims that are granted and not released, with their text.
    pub fn held(&self) -> BTreeMap<ClaimId, String> {
        self.lock().held.clone()
    }

    /// Answers a claim. Gives whether it was still pending.
    pub fn answer(&self, hub: &Hub, id: ClaimId, answer: Result<(), Reason>) -> bool {
        let mut book = self.lock();
        let Some(claim) = book.pending.remove(&id) else {
            return false;
        };
        let answered = match answer {
            Ok(()) => &mut book.held,
            Err(_) => &mut book.refused,
        };
        answered.insert(id, claim);
        drop(book);
        hub.claim_answered(id, answer);
        true
    }
}

impl Directory for LateDirectory {
    fn claim(&self, id: ClaimId, claim: &Claim<'_>) -> Answer {
        let claim = match claim {
            Claim::Channel(name) => {
                format!("channel {}", String::from_utf8_lossy(name.as_bytes()))
            }
            Claim::Session { id, name: None, .. } => format!("session {id}"),
            Claim::Session { id, name: Some(name), .. } => {
                format!("session {id} {}", name.as_str())
            }
            Claim::Peer { to: Addressee::Peer(id), .. } => format!("peer {id}"),
            Claim::Peer { to: Addressee::Name(name), .. } => format!("name {}", name.as_str()),
            Claim::Peer { to: Addressee::Service(name), .. } => {
                format!("service {}", name.as_str())
            }
        };
        let mut book = self.lock();
        let known = match book.says {
            Answer::Granted => book.held.insert(id, claim),
            Answer::Refused(_) => None,
            Answer::Pending => book.pending.insert(id, claim),
        };
        assert_eq!(known, None, "{id:?} is used twice");
        book.says
    }

    fn release(&self, id: ClaimId) {
        let mut book = self.lock();
        let Book { pending, held, refused, .. } = &mut *book;
        let known = [pending, held, refused].into_iter().find_map(|book| book.remove(&id));
        drop(book);
        assert!(known.is_some(), "{id:?} is released twice, or was refused at once");
    }
}

/// Random numbers that are the same in every run (splitmix64).
#[derive(Debug, Clone)]
pub struct Dice(pub u64);

impl Dice {
    /// The next number.
    pub fn roll(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// A number below `end`, which is not 0.
    pub fn below(&mut self, end: usize) -> usize {
        (self.roll() % end as u64) as usize
    }

    /// So many bytes.
    pub fn bytes(&mut self, count: usize) -> Vec<u8> {
        (0..count).map(|_| self.roll() as u8).collect()
    }
}

struct Nobody;

impl Outlet for Nobody {
    fn flush(&self, _endpoint: &Endpoint) {}
    fn wake(&self) {}
}

/// Opens a session that has said hello, and whose outbox nobody empties but the test.
pub fn open(hub: &Arc<Hub>, now: Instant) -> Session {
    open_as(hub, now, &LINES, None, Hello::default())
}

/// As [`open`], with everything to choose.
pub fn open_as(
    hub: &Arc<Hub>,
    now: Instant,
    wire: &'static dyn Wire,
    address: Option<IpAddr>,
    hello: Hello,
) -> Session {
    let mut session = hub.open(now, address, wire, Box::new(Nobody));
    let _step = session.execute(now, Command::Hello(hello));
    let _events = take(&mut session);
    session
}

/// What has arrived at a test endpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum Arrived {
    /// An event.
    Event(Event),
    /// Encoded data.
    Data(Bytes),
}

/// Takes everything out of a session's outbox, as its driver would.
pub fn take(session: &mut Session) -> Vec<Arrived> {
    let mut arrived = Vec::new();
    let mut pieces = Vec::new();
    loop {
        match session.endpoint().next(true, &mut pieces) {
            WriteStep::Write => {
                let written = pieces.iter().map(Bytes::len).sum();
                arrived.extend(pieces.iter().cloned().map(Arrived::Data));
                session.endpoint().clone().wrote(Instant::now(), &mut pieces, written, false);
            }
            WriteStep::Event(tag, event) => {
                session.endpoint().clone().converted(&Default::default());
                if session.observe(tag, &event) {
                    event.each(|event| arrived.push(Arrived::Event(event.clone())));
                }
            }
            _ => return arrived,
        }
    }
}

/// As [`take`], the events alone.
pub fn events(session: &mut Session) -> Vec<Event> {
    let event = |arrived| match arrived {
        Arrived::Event(event) => Some(event),
        Arrived::Data(_) => None,
    };
    take(session).into_iter().filter_map(event).collect()
}

/// As [`take`], the data alone, as text.
pub fn data(session: &mut Session) -> String {
    let data = |arrived| match arrived {
        Arrived::Event(_) => None,
        Arrived::Data(bytes) => Some(String::from_utf8_lossy(&bytes).into_owned()),
    };
    take(session).into_iter().filter_map(data).collect()
}
