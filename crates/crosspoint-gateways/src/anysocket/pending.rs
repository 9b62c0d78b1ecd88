//! Requests that wait for their replies (sections 3 and 14).
//!
//! Unlike in the original only the call fails when its time is over, not the connection.

use super::packet::Kind;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BinaryHeap, HashMap};
use std::time::Instant;

/// Requests by number; `T` is whatever their owner wants back with the reply. Boxed, as most links never ask.
#[derive(Debug)]
pub struct Pending<T>(Option<Box<Requests<T>>>);

#[derive(Debug)]
struct Requests<T> {
    waiting: HashMap<u32, Waiting<T>>,
    /// Of all that wait, and of some that do not any more.
    deadlines: BinaryHeap<Reverse<(Instant, u32)>>,
}

#[derive(Debug)]
struct Waiting<T> {
    kind: Kind,
    deadline: Instant,
    token: T,
}

/// Out of date entries in the queue of deadlines before it is cleaned.
const STALE_MAX: usize = 64;

impl<T> Default for Pending<T> {
    fn default() -> Self {
        Self(None)
    }
}

impl<T> Default for Requests<T> {
    fn default() -> Self {
        Self { waiting: HashMap::new(), deadlines: BinaryHeap::new() }
    }
}

impl<T> Pending<T> {
    /// How many wait.
    pub fn len(&self) -> usize {
        self.0.as_ref().map_or(0, |requests| requests.waiting.len())
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Whether a request with this number waits.
    pub fn contains(&self, seq: u32) -> bool {
        self.0.as_ref().is_some_and(|requests| requests.waiting.contains_key(&seq))
    }

    /// Adds a request, whose number must be free.
    pub fn insert(&mut self, seq: u32, kind: Kind, deadline: Instant, token: T) {
        self.0.get_or_insert_default().insert(seq, Waiting { kind, deadline, token });
    }

    /// The request that a reply answers; `None` if none of this kind waits under the number.
    pub fn take(&mut self, seq: u32, kind: Kind) -> Option<T> {
        let Entry::Occupied(request) = self.0.as_mut()?.waiting.entry(seq) else {
            return None;
        };
        (request.get().kind == kind).then(|| request.remove().token)
    }

    /// Gives a request up.
    pub fn forget(&mut self, seq: u32) -> Option<T> {
        self.0.as_mut()?.waiting.remove(&seq).map(|request| request.token)
    }

    /// The next deadline of a request that waits.
    pub fn deadline(&mut self) -> Option<Instant> {
        self.0.as_mut()?.deadline()
    }

    /// The next request whose time is over. Ask until there is none.
    pub fn expired(&mut self, now: Instant) -> Option<T> {
        let requests = self.0.as_mut()?;
        if requests.deadline()? > now {
            return None;
        }
        let Reverse((_, seq)) = requests.deadlines.pop()?;
        requests.waiting.remove(&seq).map(|request| request.token)
    }

    /// Everything that waits, when the link has ended.
    pub fn drain(&mut self) -> impl Iterator<Item = T> + use<T> {
        let requests = self.0.take();
        let waiting = requests.map(|requests| requests.waiting).into_iter().flatten();
        waiting.map(|(_, request)| request.token)
    }

    /// Gives memory back, if nothing waits.
    pub fn release_buffers(&mut self) {
        if self.is_empty() {
            self.0 = None;
        }
    }
}

impl<T> Requests<T> {
    fn insert(&mut self, seq: u32, request: Waiting<T>) {
        if self.deadlines.len() > 2 * self.waiting.len() + STALE_MAX {
            let waiting = &self.waiting;
            let waits = |&Reverse((deadline, seq)): &Reverse<(Instant, u32)>| {
                waiting.get(&seq).is_some_and(|request| request.deadline == deadline)
            };
            self.deadlines.retain(waits);
        }
        self.deadlines.push(Reverse((request.deadline, seq)));
        let before = self.waiting.insert(seq, request);
        debug_assert!(before.is_none(), "number {seq} is free");
    }

    fn deadline(&mut self) -> Option<Instant> {
        loop {
            let next = self.deadlines.peek_mut()?;
            let Reverse((deadline, seq)) = *next;
            if self.waiting.get(&seq).is_some_and(|request| request.deadline == deadline) {
                return Some(deadline);
            }
            std::collections::binary_heap::PeekMut::pop(next);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;
    use std::time::Duration;

    proptest! {
        #[test]
        fn every_request_is_given_back_once_by_its_reply_or_its_time(
            steps in proptest::collection::vec((0..3u8, 0..12u32, 0..40u64), 0..600),
        ) {
            let start = Instant::now();
            let at = |ms| start + Duration::from_millis(ms);
            let mut now = 0;
            let mut pending = Pending::default();
            let mut model: BTreeMap<u32, u64> = BTreeMap::new();
            for (step, seq, ms) in steps {
                match step {
                    0 if !model.contains_key(&seq) => {
                        pending.insert(seq, Kind::Link, at(now + ms), seq);
                        model.insert(seq, now + ms);
                    }
                    0 | 1 => {
                        prop_assert_eq!(pending.take(seq, Kind::Internal), None);
                        let wanted = model.remove(&seq).map(|_| seq);
                        prop_assert_eq!(pending.take(seq, Kind::Link), wanted);
                    }
                    _ => {
                        now += ms / 8;
                        let next = model.values().min().map(|ms| at(*ms));
                        prop_assert_eq!(pending.deadline(), next);
                        while let Some(seq) = pending.expired(at(now)) {
                            let deadline = model.remove(&seq);
                            prop_assert!(deadline.is_some_and(|deadline| deadline <= now));
                        }
                        prop_assert!(model.values().all(|deadline| *deadline > now));
                    }
                }
                prop_assert_eq!(pending.len(), model.len());
                let deadlines = pending.0.as_ref().map_or(0, |requests| requests.deadlines.len());
                prop_assert!(deadlines <= 2 * 12 + STALE_MAX + 1);
            }
            let rest: BTreeMap<u32, ()> = pending.drain().map(|seq| (seq, ())).collect();
            prop_assert!(rest.keys().eq(model.keys()));
        }
    }
}
