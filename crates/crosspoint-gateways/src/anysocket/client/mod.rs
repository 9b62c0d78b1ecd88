//! The client role: a peer that has connected to another one, and its links through it to further ones
//! (sections 4 to 11).
//!
//! [`Peer`] takes the text messages of one WebSocket and gives those to write. It introduces itself, knows
//! when it is connected, probes a silent neighbour, answers what the protocol itself asks, and keeps the
//! links to proxied peers. What is left to its owner are the messages and calls of the application.
//!
//! Where the original harms itself, this one does not: a late reply fails a request and not the connection,
//! what has been handed over is written before a link ends, and what comes for a link that has ended is
//! dropped.

mod ended;
mod peer;
mod proxy;
mod side;

pub use ended::{Ended, Fault, ProxyError, SendError};
pub use peer::Peer;

use super::id::Id;
use super::internal::rpc::Call;
use super::link::{self, Ticket};
use crate::value::Json;
use crosspoint_hub::PeerId;
use std::time::{Duration, Instant};

/// How a client behaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How each link behaves. The bounds of its queue are for what the application sends; the protocol's own
    /// answers have some room besides.
    pub link: link::Config,
    /// Links to proxied peers at once.
    pub proxied_max: usize,
    /// Bytes of unfinished packets on all links to proxied peers together.
    pub proxied_bytes_max: usize,
    /// After which silence the neighbour is probed.
    pub heartbeat_interval: Duration,
    /// After how many unanswered probes, and one more interval, it is given up.
    pub unanswered_max: u32,
}

impl Default for Config {
    /// 256 proxied peers, 64 MiB, probes each 5 s as in the original, given up after the second.
    fn default() -> Self {
        Self {
            link: link::Config::default(),
            proxied_max: 256,
            proxied_bytes_max: 64 << 20,
            heartbeat_interval: Duration::from_secs(5),
            unanswered_max: 2,
        }
    }
}

/// The present time, on both clocks.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// For time-outs.
    pub now: Instant,
    /// For the other side: milliseconds since 1970.
    pub clock_ms: u64,
}

/// One link of a client. Never given twice, so that a link which has ended is not taken for the next one to
/// the same peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct LinkId(u64);

impl LinkId {
    /// The connection itself.
    pub const NEIGHBOUR: Self = Self(0);

    /// Whether it is the connection itself, and not a link through it.
    pub fn is_neighbour(self) -> bool {
        self == Self::NEIGHBOUR
    }
}

/// What a client tells its owner. `T` is what the owner of a request wants back.
#[derive(Debug)]
pub enum Event<T> {
    /// The neighbour has let us in. Comes first, and once.
    Connected {
        /// What it calls itself.
        id: Id,
        /// What its application gives to be trusted.
        auth: Option<Json>,
    },
    /// There is a link to a peer behind the neighbour.
    Linked {
        /// The new link.
        link: LinkId,
        /// Whom to.
        id: PeerId,
        /// Whether it was asked for here; otherwise the peer has asked.
        asked: bool,
    },
    /// What became of [`Peer::proxy`].
    Proxied {
        /// The peer that was asked for.
        id: PeerId,
        /// The link, which has been told before.
        link: Result<LinkId, ProxyError>,
    },
    /// The application's message.
    Message {
        /// Where it came.
        link: LinkId,
        /// What was said.
        body: Json,
        /// For [`Peer::reply`]. Whether an answer is wanted cannot be seen.
        ticket: Option<Ticket>,
    },
    /// A call of a method, to be answered with [`Peer::answer`].
    Call {
        /// Where it came.
        link: LinkId,
        /// What is called.
        call: Call,
        /// For the answer.
        ticket: Option<Ticket>,
    },
    /// A request was answered.
    Answered {
        /// As it was given.
        token: T,
        /// The answer.
        body: Json,
        /// When it came.
        at: Instant,
    },
    /// A request was not answered in time. Its link goes on.
    TimedOut {
        /// As it was given.
        token: T,
    },
    /// A request will not be answered, as its link has ended.
    Abandoned {
        /// As it was given.
        token: T,
        /// How the link ended.
        ended: Ended,
    },
    /// Everything on the link is encrypted from now on.
    Encrypted {
        /// Which link.
        link: LinkId,
        /// The same on both sides, unless somebody sits in the middle.
        fingerprint: [u8; 32],
    },
    /// A link has ended. That of the neighbour is the last event.
    Gone {
        /// Which link.
        link: LinkId,
        /// How.
        ended: Ended,
    },
}
