//! The sessions that have ended lately.

use crate::channel::Participant;
use crate::endpoint::{Endpoint, Traffic};
use crate::limit::Limit;
use crate::reason::Reason;
use crate::transport::Transport;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A session that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Who it was.
    pub who: Participant,
    /// What carried its bytes at last.
    pub transport: Transport,
    /// Why it has ended.
    pub reason: Reason,
    /// The limit that it has exceeded by not reading, if it ended for one.
    pub limit: Option<Limit>,
    /// When.
    pub at: Instant,
    /// How long it was there, with the time before its hello.
    pub lasted: Duration,
    /// What went in and out.
    pub traffic: Traffic,
}

/// The last of them. Those that never said who they are, are not among them: any stranger could push the others out.
#[derive(Debug, Default)]
pub(crate) struct Ends(Mutex<VecDeque<Ended>>);

impl Ends {
    /// How many are remembered.
    pub(crate) const MAX: usize = 256;

    fn lock(&self) -> MutexGuard<'_, VecDeque<Ended>> {
        // Each change leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a session has ended, if it has said who it is.
    pub(crate) fn note(&self, now: Instant, endpoint: &Endpoint, reason: Reason) {
        if endpoint.peer().is_none() {
            return;
        }
        let ended = Ended {
            who: Participant::of(endpoint),
            transport: endpoint.transport(),
            reason,
            limit: endpoint.exceeded().map(|exceeded| exceeded.limit),
            at: now,
            lasted: now.saturating_duration_since(endpoint.since),
            traffic: endpoint.traffic(),
        };
        let mut ends = self.lock();
        // What is dropped gives memory back, and so outside of the lock.
        let oldest = if ends.len() >= Self::MAX { ends.pop_front() } else { None };
        ends.push_back(ended);
        drop(ends);
        drop(oldest);
    }

    /// The newest first.
    pub(crate) fn newest(&self) -> Vec<Ended> {
        self.lock().iter().rev().cloned().collect()
    }
}
