//! Peers: what any two programs say to each other over a link, from either side.

mod asked;
mod calls;
mod check;
pub(crate) mod codec;
mod error;
mod events;
mod forward;
mod handlers;
mod incoming;
mod link;
mod opener;
mod presence;
mod request;
mod route;
mod secure;
mod service;
mod stream;

pub(crate) use self::forward::{Forward, pass_on};
pub(crate) use self::handlers::{raw, typed};
pub(crate) use self::incoming::Reception;
pub(crate) use self::link::{Handlers, Terms};
pub(crate) use self::opener::Opener;
pub(crate) use self::route::HOPS_MAX;

pub use crosspoint_proto::peer::Counters;

pub use self::asked::Asked;
pub use self::codec::CodecError;
pub use self::error::{PeerError, RequestError, StreamReset};
pub use self::events::PeerEvent;
pub use self::handlers::{Request, Responder};
pub use self::incoming::Incoming;
pub use self::presence::Presence;
pub use self::request::{BoxFuture, CallBuilder, RequestBuilder};
pub use self::route::{Route, Who};
pub use self::service::Service;
pub use self::stream::{Stream, StreamOffer};

use self::link::{Core, Handle};
use crate::{PeerId, PeerInfo, Reason};
use crosspoint_hub::payload::Payload;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::sync::oneshot;

/// How long the other side may take to tell its clock.
const CLOCK_MAX: Duration = Duration::from_secs(10);

/// Another program, and the link to it. Both sides of a link can do the same, whichever opened it:
/// send messages, ask, open streams, and encrypt all of it. It comes from
/// [`Node::peer`](crate::Node::peer), or from [`Incoming`] at the other side.
///
/// Clones are the same link. It ends when all of them, and all [`Stream`]s, have been dropped,
/// after everything that was sent.
///
/// Messages, and requests without a handler, wait to be read with [`next`](Self::next). Messages
/// have no credit: if more than [`inbox_bytes`](crate::NodeBuilder::inbox_bytes) of them wait here,
/// the link ends with [`SlowReceiver`](Reason::SlowReceiver), so that nothing else of the
/// connection is slowed by somebody who does not read. Large amounts of data go over a
/// [`Stream`], whose writer is slowed instead.
#[derive(Clone)]
pub struct Peer {
    handle: Arc<Handle>,
}

/// The other side's clock, see [`Peer::clock`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Clock {
    /// How many microseconds the other clock is ahead of this one; negative if it is behind. The error is at
    /// most half of the round trip.
    pub offset_us: i64,
    /// How long the request and the answer took together.
    pub round_trip: Duration,
}

impl Clock {
    /// What the other clock shows when this one shows `here`. `None` if that is out of range.
    pub fn there(&self, here: SystemTime) -> Option<SystemTime> {
        let offset = Duration::from_micros(self.offset_us.unsigned_abs());
        match self.offset_us < 0 {
            true => here.checked_sub(offset),
            false => here.checked_add(offset),
        }
    }
}

impl Peer {
    /// The handle of a link: that of others, or a new one.
    fn of(core: &Arc<Core>) -> Self {
        Self { handle: Handle::of(core) }
    }

    /// The id of the peer: the requested one, or else the one that the hub announces. For a link through
    /// several nodes ([`Node::peer_via`](crate::Node::peer_via)) these announce it. The peer is proven to hold
    /// the key of this id only after [`secure`](Self::secure), or if encryption is
    /// [required](crate::NodeBuilder::require_encryption).
    pub fn id(&self) -> PeerId {
        self.handle.core.far
    }

    /// What the hub announces about the other end of the link: the peer itself, or the first node that
    /// [forwards](crate::Node::forward) to it.
    pub fn info(&self) -> &PeerInfo {
        &self.handle.core.info
    }

    /// The route of the link. Empty if both ends are at one hub.
    pub fn route(&self) -> &Route {
        &self.handle.core.route
    }

    /// Whether the link has not ended.
    pub fn is_open(&self) -> bool {
        self.handle.core.state().ended.is_none()
    }

    /// Counters of what happened on the link without an event, such as answers that came too late.
    pub fn counters(&self) -> Counters {
        self.handle.core.state().machine.counters()
    }

    /// Sends a message. It waits while the queue is full, and returns when the message is queued.
    /// [`Node::close`](crate::Node::close) sends all queued messages; a program that exits without it may lose them.
    ///
    /// # Errors
    /// [`PeerError::Closed`], [`PeerError::TooLarge`].
    pub async fn send(&self, message: impl Into<Payload>) -> Result<(), PeerError> {
        let Payload { format, data } = message.into();
        let sent = self.handle.core.submit(|state| state.machine.message(format, &data));
        Ok(sent.await?)
    }

    /// Waits for the next event from the other end, in order. Returns `None` when the link has ended and
    /// everything was read. This method is cancel safe. If several tasks wait, one of them gets each event.
    ///
    /// It runs calls of [registered](Self::register) objects.
    pub async fn next(&self) -> Option<PeerEvent> {
        let core = &self.handle.core;
        loop {
            let mut changed = std::pin::pin!(core.inbox.notified());
            changed.as_mut().enable();
            let (item, ended) = {
                let mut state = core.state();
                (state.pull(), state.ended.is_some())
            };
            match item {
                Some(item) => {
                    if let Some(event) = self.event(item) {
                        return Some(event);
                    }
                }
                None if ended => return None,
                None => changed.await,
            }
        }
    }

    /// Compares the clocks of both sides.
    ///
    /// # Errors
    /// [`PeerError::Closed`], and [`PeerError::TimedOut`] after 10 s.
    pub async fn clock(&self) -> Result<Clock, PeerError> {
        let core = &self.handle.core;
        let (told, time) = oneshot::channel();
        core.with(|state, _| {
            state.check_open()?;
            state.clocks.push(told);
            // One answer is for all who ask meanwhile.
            if state.clocks.len() == 1 {
                state.machine.measure_clock(link::now());
            }
            Ok::<_, PeerError>(())
        })?;
        let time = match tokio::time::timeout(CLOCK_MAX, time).await {
            Ok(Ok(time)) => time,
            Ok(Err(_ended)) => return Err(PeerError::Closed(self.closed().await)),
            Err(_elapsed) => {
                // The next one asks anew.
                core.state().clocks.clear();
                return Err(PeerError::TimedOut);
            }
        };
        let offset_us = time.offset_us(link::clock_us());
        Ok(Clock { offset_us, round_trip: time.round_trip })
    }

    /// Waits for the end of the link, and returns the reason: [`Bye`](Reason::Bye) if it was closed here,
    /// [`Left`](Reason::Left) if it was closed at the other end, or another one.
    pub async fn closed(&self) -> Reason {
        let core = &self.handle.core;
        loop {
            let mut over = std::pin::pin!(core.over.notified());
            over.as_mut().enable();
            let ended = core.state().ended;
            if let Some(reason) = ended {
                return reason;
            }
            over.await;
        }
    }

    /// Ends the link after everything that was sent, and waits for that. The other end is told
    /// [`Left`](Reason::Left).
    pub async fn close(&self) {
        self.handle.core.close();
        self.closed().await;
    }
}

impl PartialEq for Peer {
    /// Whether both are the same link.
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.handle.core, &other.handle.core)
    }
}

impl Eq for Peer {}

impl fmt::Debug for Peer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Peer")
            .field("id", &self.id())
            .field("link", &self.handle.core.link)
            .finish_non_exhaustive()
    }
}
