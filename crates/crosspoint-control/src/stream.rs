//! Event streams: the answer that goes on.

use crate::access::Hold;
use crate::charged;
use crate::snapshot::Snapshot;
use crate::watch::Watch;
use axum::body::Body;
use bytes::Bytes;
use crosspoint_hub::ledger::Account;
use crosspoint_net::http::Arrival;
use futures_util::stream::unfold;
use std::convert::Infallible;
use std::future::pending;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::{OwnedSemaphorePermit, watch};
use tokio::time::{sleep, sleep_until};

/// After so long without an event, a comment says that the connection lives.
const SILENCE_MAX: Duration = Duration::from_secs(15);

/// An event stream.
pub(crate) struct Viewer {
    pub(crate) watch: Watch,
    pub(crate) snapshots: watch::Receiver<Arc<Snapshot>>,
    /// How it has come, which says when the server stops.
    pub(crate) arrival: Option<Arrival>,
    /// The login because of which it may see all this.
    pub(crate) hold: Option<Hold>,
    /// Who pays for what waits to be written.
    pub(crate) account: Arc<Account>,
    /// Its place among those that there may be.
    #[expect(dead_code, reason = "held")]
    pub(crate) place: OwnedSemaphorePermit,
}

impl Viewer {
    /// The body of the answer. It ends when the server stops, when the login ends, and when there is no memory. Events are
    /// made when those before are written, of the latest snapshot.
    pub(crate) fn into_body(mut self) -> Body {
        self.snapshots.mark_changed();
        Body::from_stream(unfold(self, |mut viewer| async move {
            let events = viewer.next().await?;
            Some((Ok::<_, Infallible>(events), viewer))
        }))
    }

    async fn next(&mut self) -> Option<Bytes> {
        let Self { watch, snapshots, arrival, hold, account, .. } = self;
        let stopped = async {
            match arrival {
                Some(arrival) => arrival.stopped().await,
                None => pending().await,
            }
        };
        let ended = async {
            match hold {
                Some(hold) => tokio::select! {
                    () = hold.ended.cancelled() => {}
                    () = sleep_until(hold.until.into()) => {}
                },
                None => pending().await,
            }
        };
        tokio::select! {
            biased;
            () = stopped => None,
            () = ended => None,
            changed = snapshots.changed() => {
                changed.ok()?;
                let snapshot = snapshots.borrow_and_update().clone();
                let events = watch.events(&snapshot);
                charged::charge(account, events).ok()
            }
            () = sleep(SILENCE_MAX) => Some(Bytes::from_static(b": \n\n")),
        }
    }
}
