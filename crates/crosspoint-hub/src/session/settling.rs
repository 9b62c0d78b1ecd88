//! A program that leaves on one connection and comes back on another at once. What it said on the former may
//! arrive together with what it says on the new one, and holds first (docs/peote.md, section 3.4).

use super::Session;
use crate::channel::Nearby;
use crate::ids::ChannelName;
use std::time::{Duration, Instant};

/// The interval of the checks whether the former session has gone.
const AGAIN: Duration = Duration::from_millis(1);

/// The state of a new session that settles.
#[derive(Debug, Default)]
pub(super) struct Settling {
    /// It is no new session any more.
    settled: bool,
    /// It has let others have a turn.
    yielded: bool,
    /// When to look again.
    again: Option<Instant>,
}

impl Session {
    /// When to call [`Session::flush`], if the session waits for one that may be leaving.
    pub fn settles_at(&self) -> Option<Instant> {
        self.settling.again
    }

    /// Whether to wait with creating or entering a channel.
    pub(super) fn unsettled(&mut self, now: Instant, name: &ChannelName, create: bool) -> bool {
        self.settling.again = None;
        if self.settling.settled {
            return false;
        }
        let settle = self.endpoint.profile.settle;
        if settle.is_zero() || self.begun + settle <= now {
            self.settling.settled = true;
            return false;
        }
        match self.hub.nearby(name, &self.endpoint, create) {
            Nearby::Nobody => false,
            // What it said may be read already, and is carried out at this moment by another thread.
            Nearby::Quiet => {
                let yielded = std::mem::replace(&mut self.settling.yielded, true);
                if !yielded {
                    self.endpoint.wake();
                }
                !yielded
            }
            Nearby::Leaving => {
                self.settling.again = Some(now + AGAIN);
                true
            }
        }
    }
}
