//! When requests are over.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::time::Instant;

/// Deadlines by time. Those of requests that have ended may stay behind until their time comes or
/// they outnumber the others: that is cheaper than to look for each.
#[derive(Debug, Default)]
pub(super) struct Deadlines {
    heap: BinaryHeap<Reverse<(Instant, u32)>>,
}

impl Deadlines {
    /// How many may be behind before it is worth looking for them.
    const BEHIND_MIN: usize = 64;

    /// The earliest, or that of a request that has ended before.
    pub(super) fn first(&self) -> Option<Instant> {
        self.heap.peek().map(|Reverse((at, _))| *at)
    }

    pub(super) fn add(&mut self, at: Instant, id: u32) {
        self.heap.push(Reverse((at, id)));
    }

    /// A request has ended. `waiting` others have not, `live` says of each deadline whether it is
    /// one of theirs.
    pub(super) fn ended(
        &mut self,
        (at, id): (Option<Instant>, u32),
        waiting: usize,
        live: impl Fn(Instant, u32) -> bool,
    ) {
        if waiting == 0 {
            self.heap.clear();
        } else if at.is_some_and(|at| self.heap.peek() == Some(&Reverse((at, id)))) {
            self.heap.pop();
        } else if self.heap.len() > 2 * waiting + Self::BEHIND_MIN {
            self.heap.retain(|Reverse((at, id))| live(*at, *id));
        }
    }

    /// Takes out the next one that is over.
    pub(super) fn take(&mut self, now: Instant) -> Option<(Instant, u32)> {
        let Reverse(first) = *self.heap.peek()?;
        if first.0 > now {
            return None;
        }
        self.heap.pop();
        Some(first)
    }

    /// The memory that they need, in deadlines.
    #[cfg(test)]
    pub(super) fn len(&self) -> usize {
        self.heap.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn deadlines_of_ended_requests_do_not_pile_up_behind_one_that_waits() {
        let start = Instant::now();
        let mut deadlines = Deadlines::default();
        deadlines.add(start, 0);
        for id in 1..100_000 {
            let at = start + Duration::from_millis(id.into());
            deadlines.add(at, id);
            deadlines.ended((Some(at), id), 1, |_, live| live == 0);
            assert!(deadlines.len() < 100);
        }
        assert_eq!(deadlines.first(), Some(start));
        assert_eq!(deadlines.take(start), Some((start, 0)));

        let later = start + Duration::from_millis(1);
        deadlines.add(start, 0);
        deadlines.add(later, 1);
        deadlines.ended((Some(later), 1), 1, |_, live| live == 0);
        deadlines.ended((Some(start), 0), 0, |_, _| false);
        assert_eq!(deadlines.first(), None, "none waits");
    }
}
