//! The memory of a connection that is no session (yet).

use crate::outlet::now;
use crate::remote::Remote;
use crate::turn::{self, Turn};
use crate::ws;
use crosspoint_hub::ledger::{Charge, Exhausted, Purpose, Tab};
use crosspoint_hub::reading_rate::ReadingRate;
use crosspoint_hub::{Hub, Reason};
use std::sync::Arc;
use std::time::Instant;

/// What a connection that is no session holds. Its address and the hub pay for it.
#[derive(Debug)]
pub(crate) struct Held {
    hub: Arc<Hub>,
    from: Remote,
    /// Once there is something to pay for.
    tab: Option<Tab>,
    /// Once something of a WebSocket has come. Boxed, as it is for a moment.
    rate: Option<Box<ReadingRate>>,
}

impl Held {
    /// Nothing is held yet.
    pub(crate) fn new(hub: &Arc<Hub>, from: Remote) -> Self {
        Self { hub: hub.clone(), from, tab: None, rate: None }
    }

    /// So many bytes are held now.
    ///
    /// # Errors
    /// [`Reason::Exhausted`] if there is no memory for them; nothing has changed.
    pub(crate) fn settle(&mut self, bytes: usize) -> Result<(), Reason> {
        if self.tab.is_none() && bytes <= Tab::FREE_BYTES {
            return Ok(());
        }
        let (hub, from) = (&self.hub, self.from);
        let tab = self.tab.get_or_insert_with(|| {
            let account = hub.account(from.ip(), PROTOCOL);
            Tab::new(&account, Purpose::Input)
        });
        tab.try_settle(bytes).map_err(|exhausted| refused(hub, exhausted))
    }

    /// Counts the work that a WebSocket has made. Gives the time before which nothing more may be read, if any.
    pub(crate) fn count(&mut self, websocket: &mut ws::Connection) -> Option<Instant> {
        let Hub { metrics, limits, .. } = &*self.hub;
        let growth = Turn::default().inflated(websocket, metrics);
        let messages = turn::messages(0, Some(websocket));
        let new = || Box::new(ReadingRate::new(now(), limits, self.from.ip()));
        self.rate.get_or_insert_with(new).count(now(), metrics, messages, growth)
    }

    /// Charges what hyper keeps for a connection, whatever it is asked.
    ///
    /// # Errors
    /// As [`Held::settle`].
    #[cfg(feature = "http")]
    pub(crate) fn hyper(hub: &Hub, from: Remote, bytes: usize) -> Result<Charge, Reason> {
        charge(hub, from, (Purpose::Connection, PROTOCOL), bytes)
    }

    /// Charges what is to be sent.
    ///
    /// # Errors
    /// As [`Held::settle`].
    #[cfg(feature = "http")]
    pub(crate) fn answer(hub: &Hub, from: Remote, bytes: usize) -> Result<Charge, Reason> {
        charge(hub, from, (Purpose::Outbox, PROTOCOL), bytes)
    }
}

/// Charges what TLS keeps for a connection.
///
/// # Errors
/// As [`Held::settle`].
pub(crate) fn tls(hub: &Hub, from: Remote, bytes: usize) -> Result<Charge, Reason> {
    charge(hub, from, (Purpose::Connection, "tls"), bytes)
}

/// Charges what a session takes besides itself whose connections come and go.
///
/// # Errors
/// As [`Held::settle`].
pub(crate) fn beside_session(
    hub: &Hub,
    from: Remote,
    protocol: &'static str,
    bytes: usize,
) -> Result<Charge, Reason> {
    charge(hub, from, (Purpose::Session, protocol), bytes)
}

fn charge(
    hub: &Hub,
    from: Remote,
    (purpose, protocol): (Purpose, &'static str),
    bytes: usize,
) -> Result<Charge, Reason> {
    let account = hub.account(from.ip(), protocol);
    let charge = account.try_charge(purpose, bytes);
    charge.map_err(|exhausted| refused(hub, exhausted))
}

/// As which protocol the metrics show it.
const PROTOCOL: &str = "http";

fn refused(hub: &Hub, Exhausted { limit }: Exhausted) -> Reason {
    hub.metrics.hit(limit);
    Reason::Exhausted
}
