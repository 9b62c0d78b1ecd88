//! The peers that are present, come and go.

use crate::connection::{PresenceEvent, Watcher};
use std::fmt;

/// The peers that come and go, see [`Node::watch`](crate::Node::watch).
pub struct Presence {
    watcher: Watcher,
}

impl Presence {
    pub(crate) fn new(watcher: Watcher) -> Self {
        Self { watcher }
    }

    /// Returns the next peer that comes or goes. `None` when the connection has ended. It is cancel safe.
    pub async fn next(&mut self) -> Option<PresenceEvent> {
        self.watcher.next().await
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
}
