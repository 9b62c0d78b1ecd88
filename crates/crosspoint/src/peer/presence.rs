//! Who is there, who comes and who goes.

use crate::connection::{PresenceEvent, Watcher};
use std::fmt;

/// Who comes and goes, see [`Node::watch`](crate::Node::watch).
pub struct Presence {
    watcher: Watcher,
}

impl Presence {
    pub(crate) fn new(watcher: Watcher) -> Self {
        Self { watcher }
    }

    /// Who comes or goes next. `None` when the connection has ended. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<PresenceEvent> {
        self.watcher.next().await
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
}
