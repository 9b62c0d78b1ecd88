//! What a connection has learned of its hub.

use super::pauses::Pauses;
use crosspoint_hub::PeerId;
use crosspoint_net::resume::Connectivity;
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::time::Duration;
use tokio::sync::watch;

/// No round trip takes that long.
const UNMEASURED: u64 = u64::MAX;

/// What the protocol has learned of the hub.
#[derive(Debug)]
pub(crate) struct Facts {
    message_bytes_max: AtomicU32,
    home: OnceLock<PeerId>,
    /// In nanoseconds; [`UNMEASURED`] before the first.
    round_trip: AtomicU64,
    /// Of a connection that comes back by itself.
    connectivity: Option<watch::Receiver<Connectivity>>,
    /// Targets that the hub wants nothing for at present.
    pub(crate) pauses: Pauses,
}

impl Default for Facts {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Facts {
    pub(crate) fn new(connectivity: Option<watch::Receiver<Connectivity>>) -> Self {
        let message_bytes_max = AtomicU32::new(u32::MAX);
        let round_trip = AtomicU64::new(UNMEASURED);
        let (home, pauses) = (OnceLock::new(), Pauses::default());
        Self { message_bytes_max, home, round_trip, connectivity, pauses }
    }

    /// A round trip was measured.
    pub(crate) fn measured(&self, round_trip: Duration) {
        let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(UNMEASURED - 1);
        self.round_trip.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let nanos = self.round_trip.load(Ordering::Relaxed);
        (nanos != UNMEASURED).then(|| Duration::from_nanos(nanos))
    }

    pub(crate) fn connectivity(&self) -> Option<watch::Receiver<Connectivity>> {
        self.connectivity.clone()
    }

    pub(crate) fn learn(&self, message_bytes_max: u32, home: Option<PeerId>) {
        self.message_bytes_max.store(message_bytes_max, Ordering::Relaxed);
        if let Some(home) = home {
            // There is one welcome.
            let _ = self.home.set(home);
        }
    }

    /// The id of the hub application, if it is a peer.
    pub(crate) fn home(&self) -> Option<PeerId> {
        self.home.get().copied()
    }

    pub(crate) fn message_bytes_max(&self) -> u32 {
        self.message_bytes_max.load(Ordering::Relaxed)
    }
}
