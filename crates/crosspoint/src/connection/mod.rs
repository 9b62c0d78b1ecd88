//! What runs a connection to a hub: it sends commands, routes what arrives, and hands out plain events and
//! payloads.
//!
//! It knows none of the handles that are made of these. What it hands out, [`Owned`], [`Membership`] and
//! [`Watcher`], keeps the connection and ends by itself when it is dropped. What is at the near end of a link
//! implements [`LinkEnd`], and what is above all connections of a node implements [`Upper`].

mod ask;
mod budget;
mod channel;
mod commands;
mod dial;
mod events;
mod facts;
mod gathering;
mod links;
mod pauses;
mod router;
mod watching;

pub(crate) use ask::{AskError, Linked, Question};
pub(crate) use budget::{Charge, Pool, Source};
pub(crate) use channel::{Calling, ChannelLink, Core, Membership, Owned};
pub(crate) use commands::{Commands, Slot, Unsent, Waiter};
pub(crate) use dial::connect;
pub(crate) use events::Item;
pub(crate) use facts::Facts;
pub(crate) use links::{Flow, LinkEnd, Links};
pub(crate) use watching::Watcher;

pub use events::{MemberEvent, OwnerEvent};
pub use watching::PresenceEvent;

use crate::address::Protocol;
use crate::error::PingError;
use crate::lock::lock;
use ask::Pending;
use crosspoint_hub::command::{LinkCommand, Peer as PeerInfo};
use crosspoint_hub::{LinkNumber, PeerId, Reason};
use crosspoint_net::client::{Ping, Queued};
use std::fmt;
use std::sync::{Arc, Mutex};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;
use watching::Watching;

/// What is above the connections of a node, and takes the links that others open.
pub(crate) trait Upper: Send + Sync + fmt::Debug {
    /// A connection begins.
    fn connected(&self, connection: &Arc<Connection>);

    /// Somebody has opened a link. It is put among the connection's [links](Connection::links), or
    /// [refused](Connection::refuse).
    fn arrived(
        &self,
        connection: &Arc<Connection>,
        link: LinkNumber,
        info: PeerInfo,
        purpose: &[u8],
    );

    /// A connection has ended, as it says itself.
    fn disconnected(&self);
}

/// One connection. It lasts as long as anybody holds this.
#[derive(Debug)]
pub(crate) struct Connection {
    pub(crate) peer: PeerId,
    pub(crate) protocol: Protocol,
    pub(crate) facts: Arc<Facts>,
    pub(crate) commands: Commands,
    /// Sends probes to the hub.
    pings: mpsc::Sender<Ping>,
    /// Holds the connection open.
    keep: Mutex<Option<mpsc::Sender<Queued>>>,
    asked: Pending,
    pub(crate) links: Arc<Links>,
    watching: Watching,
    pub(crate) pool: Arc<Pool>,
    upper: Arc<dyn Upper>,
    /// Nobody reads what arrives any more.
    pub(crate) closing: CancellationToken,
    closed: watch::Receiver<Option<Reason>>,
}

/// The ways of a connection to its task: for commands and for pings.
type Ways = (mpsc::Sender<Queued>, mpsc::Sender<Ping>);

impl Connection {
    fn new(
        (peer, protocol): (PeerId, Protocol),
        facts: Arc<Facts>,
        (commands, pings): Ways,
        closed: watch::Receiver<Option<Reason>>,
        pool: Arc<Pool>,
        upper: Arc<dyn Upper>,
    ) -> Arc<Self> {
        let connection = Arc::new(Self {
            peer,
            protocol,
            facts,
            commands: Commands::new(&commands),
            pings,
            keep: Mutex::new(Some(commands)),
            asked: Pending::default(),
            links: Arc::default(),
            watching: Watching::default(),
            pool,
            upper,
            closing: CancellationToken::new(),
            closed,
        });
        connection.upper.connected(&connection);
        connection
    }

    /// Whether everything of this hub's own protocol is there.
    pub(crate) fn is_native(&self) -> bool {
        self.protocol == Protocol::Native
    }

    pub(crate) fn has_ended(&self) -> bool {
        self.closed.borrow().is_some()
    }

    /// Waits for the end, and gives the reason.
    pub(crate) async fn closed(&self) -> Reason {
        let mut closed = self.closed.clone();
        let reason = closed.wait_for(Option::is_some).await;
        let reason = reason.ok().and_then(|reason| *reason);
        reason.unwrap_or(Reason::ConnectionLost)
    }

    /// Why it has ended, or is about to.
    pub(crate) fn end_reason(&self) -> Reason {
        let reason = *self.closed.borrow();
        reason.unwrap_or(Reason::ConnectionLost)
    }

    /// Ends it after everything that was sent. What arrives meanwhile is dropped.
    pub(crate) async fn close(&self) {
        self.closing.cancel();
        self.release();
        self.closed().await;
    }

    /// A link is not wanted.
    pub(crate) fn refuse(&self, link: LinkNumber, reason: Reason) {
        self.commands.post(LinkCommand::Close { link, reason });
    }

    /// Measures the round trip to the hub.
    ///
    /// # Errors
    /// [`PingError`]
    pub(crate) async fn ping(&self) -> Result<Duration, PingError> {
        if !self.is_native() {
            return Err(PingError::Unsupported);
        }
        let (ping, answer) = oneshot::channel();
        let ended = |_| PingError::Closed(self.end_reason());
        self.pings.send(ping).await.map_err(|_gone| ended(()))?;
        let round_trip = answer.await.map_err(|_gone| ended(()))?;
        let round_trip = round_trip.map_err(|reason| match reason {
            Reason::Unsupported => PingError::Unsupported,
            reason => PingError::Closed(reason),
        })?;
        self.facts.measured(round_trip);
        Ok(round_trip)
    }

    /// It has ended: nothing is answered any more.
    fn end(&self, reason: Reason) {
        self.asked.end(reason);
        self.watching.end();
        self.upper.disconnected();
        self.release();
    }

    /// Lets it end as soon as all commands are written.
    fn release(&self) {
        lock(&self.keep).take();
    }
}
