//! Helpers for tests of this crate and of those above it: endpoints without a connection.

use crate::Command;
use crate::command::{Event, Hello};
use crate::hub::Hub;
use crate::outbox::{Outbox, Outlet, Turn};
use crate::session::Session;
use crate::wire::{Capacity, FrameWriter, Framing, Part, Place, Profile, Wire};
use bytes::Bytes;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

/// A wire for tests: one line of text for each part.
#[derive(Debug)]
pub struct Lines {
    framing: Framing,
}

/// Keeps message borders.
pub static LINES: Lines = Lines { framing: Framing::Messages };
/// Has no message borders.
pub static PIECES: Lines = Lines { framing: Framing::Pieces };

impl Wire for Lines {
    fn profile(&self) -> Profile {
        Profile {
            name: "lines",
            id: 200 + u8::from(self.framing == Framing::Pieces),
            framing: self.framing,
            capacity: Capacity {
                owned_max: u32::MAX,
                entered_max: u32::MAX,
                members_max: u32::MAX,
            },
            stateful: false,
            whole: false,
            links: self.framing == Framing::Messages,
            successors: self.framing == Framing::Messages,
            home: false,
            secures: false,
            settle: std::time::Duration::ZERO,
            prefix: None,
        }
    }

    fn encode(&self, place: Place, chunk: Option<u32>, part: &Part, out: &mut FrameWriter) {
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

struct Nobody;

impl Outlet for Nobody {
    fn attend(&self, _outbox: &Outbox) {}
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
        match session.outbox().next(true, &mut pieces) {
            Turn::Write => {
                let written = pieces.iter().map(Bytes::len).sum();
                arrived.extend(pieces.iter().cloned().map(Arrived::Data));
                session.outbox().clone().wrote(Instant::now(), &mut pieces, written, false);
            }
            Turn::Event(tag, event) => {
                session.outbox().clone().converted(&Default::default());
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
