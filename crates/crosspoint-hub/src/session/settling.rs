//! A program that leaves on one connection and comes back on another at once. What it said on the former may
//! arrive together with what it says on the new one, and holds first (docs/peote.md, section 3.4).

use super::Session;
use crate::channel::Nearby;
use crate::ids::ChannelName;
use crate::wire::Wire;
use std::time::{Duration, Instant};

/// The interval of the checks whether the former session has gone.
const AGAIN: Duration = Duration::from_millis(1);

/// The state of a new session that settles.
#[derive(Debug)]
pub(super) struct Settling {
    /// From then on it is no new session any more.
    until: Option<Instant>,
    /// When to look again.
    again: Option<Instant>,
    /// It has let others have a turn.
    yielded: bool,
}

impl Settling {
    pub(super) fn new(now: Instant, wire: &dyn Wire) -> Self {
        let settle = wire.profile().settle;
        let until = (!settle.is_zero()).then(|| now + settle);
        Self { until, again: None, yielded: false }
    }
}

impl Session {
    /// When to call [`Session::flush`], if the session waits for one that may be leaving.
    pub fn settles_at(&self) -> Option<Instant> {
        self.settling.again
    }

    /// Whether to wait with creating or entering a channel.
    pub(super) fn unsettled(&mut self, now: Instant, name: &ChannelName, create: bool) -> bool {
        self.settling.again = None;
        match self.settling.until {
            None => return false,
            Some(until) if until <= now => {
                self.settling.until = None;
                return false;
            }
            Some(_) => {}
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
