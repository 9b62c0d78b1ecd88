//! The sessions that have ended lately.

use crate::channel::Participant;
use crate::endpoint::{Endpoint, Traffic};
use crate::limit::Limit;
use crate::peer::Peer;
use crate::reason::Reason;
use crate::transport::Transport;
use std::cmp::Reverse;
use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// A session that has ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Who it was. Of one that was not let in: who it said it is, or an id of zeros and no name.
    pub who: Participant,
    /// Whether it was let in.
    pub let_in: bool,
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

/// The last of them. Those that were not let in have places of their own: any stranger could push the others out.
#[derive(Debug, Default)]
pub(crate) struct Ends(Mutex<Remembered>);

#[derive(Debug, Default)]
struct Remembered {
    known: VecDeque<Ended>,
    strangers: VecDeque<Ended>,
}

impl Ends {
    /// How many are remembered of those that were let in.
    const KNOWN_MAX: usize = 256;

    /// How many are remembered of the others.
    const STRANGERS_MAX: usize = 64;

    fn lock(&self) -> MutexGuard<'_, Remembered> {
        // Each change leaves it whole.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Remembers that a session has ended. `refused` is who it said it is, if it was not let in for that.
    pub(crate) fn note(
        &self,
        now: Instant,
        endpoint: &Endpoint,
        refused: Option<&Peer>,
        reason: Reason,
    ) {
        let mut who = Participant::of(endpoint);
        if let Some(refused) = refused {
            who.peer = refused.clone();
        }
        let let_in = endpoint.peer().is_some();
        let ended = Ended {
            who,
            let_in,
            transport: endpoint.transport(),
            reason,
            limit: endpoint.exceeded().map(|exceeded| exceeded.limit),
            at: now,
            lasted: now.saturating_duration_since(endpoint.since),
            traffic: endpoint.traffic(),
        };
        let mut remembered = self.lock();
        let (ends, most) = match let_in {
            true => (&mut remembered.known, Self::KNOWN_MAX),
            false => (&mut remembered.strangers, Self::STRANGERS_MAX),
        };
        // What is dropped gives memory back, and so outside of the lock.
        let oldest = if ends.len() >= most { ends.pop_front() } else { None };
        ends.push_back(ended);
        drop(remembered);
        drop(oldest);
    }

    /// The newest first.
    pub(crate) fn newest(&self) -> Vec<Ended> {
        let remembered = self.lock();
        let all = remembered.known.iter().chain(&remembered.strangers);
        let mut ends: Vec<_> = all.rev().cloned().collect();
        drop(remembered);
        // Those that have ended at the same time stay as they are.
        ends.sort_by_key(|ended| Reverse(ended.at));
        ends
    }
}
