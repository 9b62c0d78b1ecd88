//! The doubt whether an outbox's session still lives, see [`crate::doubt`].

use super::Outbox;
use std::sync::atomic::Ordering;

impl Outbox {
    /// Another session has come with the name or id of this one. Its task is woken, to ask for a sign of
    /// life.
    pub(crate) fn doubt(&self) {
        if !self.doubted.swap(true, Ordering::AcqRel) {
            self.outlet.wake();
        }
    }

    /// Whether a sign of life is wanted. Taken by asking.
    pub fn take_doubt(&self) -> bool {
        self.doubted.swap(false, Ordering::AcqRel)
    }
}
