//! What a node holds because of others, bounded in all and for each of them.

use crate::lock::lock;
use crosspoint_hub::{JoinedChannelId, MemberNumber, PeerId};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

/// Who makes the node hold something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Source {
    /// A session at the hub. It answers for those whose links it passes on.
    Peer(PeerId),
    /// The owner of an entered channel, whose id is not told.
    Owner(JoinedChannelId),
    /// Another member of a room, whose id is not always told.
    Other(JoinedChannelId, MemberNumber),
}

/// What all connections of a node hold together.
///
/// Each source may hold as much as is free then. So the first may have half of all, and whoever comes later
/// finds some, however much the others hold.
#[derive(Debug)]
pub(crate) struct Budget {
    most: usize,
    held: Mutex<Held>,
}

#[derive(Debug, Default)]
struct Held {
    all: usize,
    each: HashMap<Source, usize>,
}

impl Budget {
    pub(crate) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, held: Mutex::default() })
    }

    fn take(&self, source: Source, more: usize) -> bool {
        let mut held = lock(&self.held);
        let own = held.each.get(&source).copied().unwrap_or(0).saturating_add(more);
        let free = self.most.checked_sub(held.all.saturating_add(more));
        if free.is_none_or(|free| own > free) {
            return false;
        }
        held.all += more;
        held.each.insert(source, own);
        true
    }

    fn give_back(&self, source: Source, less: usize) {
        let mut held = lock(&self.held);
        held.all -= less;
        if let Some(own) = held.each.get_mut(&source) {
            *own -= less;
            if *own == 0 {
                held.each.remove(&source);
            }
        }
    }
}

/// What all connections of a node hold because of others, and what they have dropped.
#[derive(Debug)]
pub(crate) struct Pool {
    /// Bytes of what others have sent.
    pub(crate) held: Arc<Budget>,
    /// Links that others have opened.
    pub(super) incoming: Arc<Budget>,
    dropped: AtomicU64,
}

impl Pool {
    pub(crate) fn new(held_bytes: usize, incoming_max: usize) -> Arc<Self> {
        let (held, incoming) = (Budget::new(held_bytes), Budget::new(incoming_max));
        Arc::new(Self { held, incoming, dropped: AtomicU64::new(0) })
    }

    /// A message has arrived for nobody.
    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

/// What one source holds of a budget in one place. Dropping it gives all of it back.
#[derive(Debug)]
pub(crate) struct Charge {
    budget: Arc<Budget>,
    source: Source,
    amount: usize,
}

impl Charge {
    /// What a link or a channel's member may hold without a charge, so that small messages of those who are
    /// read cost nothing, and get through whatever others hold.
    const FREE_BYTES: usize = 2048;

    /// Charges of bytes are multiples of this.
    const STEP_BYTES: usize = 16 * 1024;

    pub(crate) fn new(budget: &Arc<Budget>, source: Source) -> Self {
        Self { budget: budget.clone(), source, amount: 0 }
    }

    /// Holds so much from now on. Gives whether there is room for it; less always has.
    pub(crate) fn set(&mut self, amount: usize) -> bool {
        let there_is = match amount.checked_sub(self.amount) {
            None => {
                self.budget.give_back(self.source, self.amount - amount);
                true
            }
            Some(0) => true,
            Some(more) => self.budget.take(self.source, more),
        };
        if there_is {
            self.amount = amount;
        }
        there_is
    }

    /// Holds so many bytes from now on, as [`set`](Self::set), rounded.
    pub(crate) fn set_bytes(&mut self, bytes: usize) -> bool {
        self.set(match bytes <= Self::FREE_BYTES {
            true => 0,
            false => bytes.next_multiple_of(Self::STEP_BYTES),
        })
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn peer(number: u8) -> Source {
        Source::Peer(PeerId::new([number; 16]))
    }

    #[test]
    fn each_may_hold_what_is_free_so_that_all_who_come_later_find_some() {
        let budget = Budget::new(1000);
        let mut one = Charge::new(&budget, peer(1));
        assert!(one.set(500) && !one.set(501));
        let mut same = Charge::new(&budget, peer(1));
        assert!(!same.set(1), "what one holds counts together");
        let mut two = Charge::new(&budget, peer(2));
        assert!(two.set(250) && !two.set(251));
        let mut three = Charge::new(&budget, peer(3));
        assert!(three.set(125) && !three.set(126));
        drop(one);
        assert!(three.set(375) && same.set(187));
        drop((same, two, three));
        let held = lock(&budget.held);
        assert_eq!((held.all, held.each.len()), (0, 0));
    }

    #[test]
    fn bytes_are_charged_in_steps_and_a_few_are_free() {
        let budget = Budget::new(4 * Charge::STEP_BYTES);
        let mut one = Charge::new(&budget, peer(1));
        let all = || lock(&budget.held).all;
        assert!(one.set_bytes(Charge::FREE_BYTES) && all() == 0);
        assert!(one.set_bytes(Charge::FREE_BYTES + 1) && all() == Charge::STEP_BYTES);
        assert!(!one.set_bytes(2 * Charge::STEP_BYTES + 1) && all() == Charge::STEP_BYTES);
        assert!(one.set_bytes(0) && all() == 0);
    }
}
