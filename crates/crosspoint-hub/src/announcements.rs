//! Who comes faster than its address or identity may have it told to a large group.
//!
//! That somebody comes or goes costs something for each who watches, and next to nothing for the one who does
//! it. So each address and identity has an allowance, which outlives its sessions. Who comes above that is
//! told of later, and is not found by those who look who is there before; one that goes before that was never
//! there for them. So what is told and what is found always fit each other.

use crate::endpoint::Endpoint;
use crate::ledger::Holder;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much of an allowance may be used at once.
const SAVED: Duration = Duration::from_secs(16);

/// How long nobody looks again whether somebody may be told of, after somebody has.
const PAUSE: Duration = Duration::from_millis(50);

/// Below so many it is not looked which allowances are full again.
const KNOWN_MIN: usize = 64;

#[derive(Debug)]
pub(crate) struct Announcements {
    /// What one takes of an allowance; `None` where there is no bound.
    step: Option<Duration>,
    /// When each allowance is full again.
    full_at: HashMap<Holder, Instant>,
    /// From how many on those are forgotten that are full.
    known_max: usize,
    /// Those who are told of later, by whose allowance they wait for and in the order in which they came.
    waiting: HashMap<Holder, BTreeMap<u64, Arc<Endpoint>>>,
    /// The same, by session.
    waits_for: HashMap<u64, Holder>,
    /// When it is looked again whether somebody may be told of.
    again_at: Option<Instant>,
}

impl Announcements {
    /// With so many in a second for each address and identity; 0 is without limit.
    pub(crate) fn new(per_second_max: u32) -> Self {
        Self {
            step: Duration::from_secs(1).checked_div(per_second_max),
            full_at: HashMap::new(),
            known_max: KNOWN_MIN,
            waiting: HashMap::new(),
            waits_for: HashMap::new(),
            again_at: None,
        }
    }

    /// Whether a session that comes may be told of now. Otherwise it waits.
    pub(crate) fn comes(&mut self, now: Instant, endpoint: &Arc<Endpoint>) -> bool {
        let queue = endpoint.account().holders().find(|holder| self.waiting.contains_key(holder));
        let blocked = queue.cloned().map_or_else(|| self.take(now, endpoint), Err);
        match blocked {
            Ok(()) => true,
            Err(holder) => {
                self.wait(holder, endpoint.clone());
                false
            }
        }
    }

    /// A session goes. Gives whether nobody was told of it.
    pub(crate) fn goes(&mut self, session: u64) -> bool {
        let Some(holder) = self.waits_for.remove(&session) else {
            return false;
        };
        if let Entry::Occupied(mut queue) = self.waiting.entry(holder) {
            queue.get_mut().remove(&session);
            if queue.get().is_empty() {
                queue.remove();
            }
        }
        true
    }

    /// Whether nobody was told of a session yet.
    pub(crate) fn hides(&self, session: u64) -> bool {
        !self.waits_for.is_empty() && self.waits_for.contains_key(&session)
    }

    /// Whether somebody waits.
    pub(crate) fn is_due(&self) -> bool {
        !self.waits_for.is_empty()
    }

    /// Those who may be told of now; `None` for the time gives all.
    pub(crate) fn release(&mut self, now: Option<Instant>) -> Vec<Arc<Endpoint>> {
        let mut released = Vec::new();
        if let Some(now) = now {
            if self.again_at.is_some_and(|at| now < at) {
                return released;
            }
            self.again_at = Some(now + PAUSE);
        }
        let holders: Vec<Holder> = self.waiting.keys().cloned().collect();
        for holder in holders {
            while let Some((session, endpoint)) =
                self.waiting.get_mut(&holder).and_then(BTreeMap::pop_first)
            {
                match now.map_or(Ok(()), |now| self.take(now, &endpoint)) {
                    Ok(()) => {
                        self.waits_for.remove(&session);
                        released.push(endpoint);
                    }
                    // It has two, and may wait for the other one from now on.
                    Err(by) => {
                        let stays = by == holder;
                        self.wait(by, endpoint);
                        if stays {
                            break;
                        }
                    }
                }
            }
            if self.waiting.get(&holder).is_some_and(BTreeMap::is_empty) {
                self.waiting.remove(&holder);
            }
        }
        released.sort_by_key(|endpoint| endpoint.id);
        released
    }

    fn wait(&mut self, holder: Holder, endpoint: Arc<Endpoint>) {
        self.waits_for.insert(endpoint.id, holder.clone());
        self.waiting.entry(holder).or_default().insert(endpoint.id, endpoint);
    }

    /// Uses what one takes of the allowances of a session.
    ///
    /// # Errors
    /// Whose allowance is used up.
    fn take(&mut self, now: Instant, endpoint: &Endpoint) -> Result<(), Holder> {
        let Some(step) = self.step else { return Ok(()) };
        let full_at = |known: Option<&Instant>| known.copied().unwrap_or(now).max(now) + step;
        let used_up = |holder: &&Holder| full_at(self.full_at.get(*holder)) > now + SAVED;
        if let Some(holder) = endpoint.account().holders().find(used_up) {
            return Err(holder.clone());
        }
        if self.full_at.len() >= self.known_max {
            self.full_at.retain(|_, full_at| *full_at > now);
            self.known_max = KNOWN_MIN.max(2 * self.full_at.len());
        }
        for holder in endpoint.account().holders() {
            let full_at = full_at(self.full_at.get(holder));
            self.full_at.insert(holder.clone(), full_at);
        }
        Ok(())
    }
}
