//! Bounds how often something is logged that any stranger can cause.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines in each period. Above, they are counted only.
const LINES_MAX: u32 = 100;

/// The period.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets a bounded number of lines into the log.
#[derive(Debug)]
pub(crate) struct LogLimit(Mutex<State>);

#[derive(Debug)]
struct State {
    begun: Instant,
    lines: u32,
    unsaid: u64,
}

impl LogLimit {
    pub(crate) fn new(now: Instant) -> Self {
        Self(Mutex::new(State { begun: now, lines: 0, unsaid: 0 }))
    }

    /// Whether a line may be written now. Then it should say how many were not written since the last
    /// one, if any.
    pub(crate) fn line(&self, now: Instant) -> Option<Option<NonZeroU64>> {
        // What it guards is consistent between any two statements that could panic.
        let mut state = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.begun) >= PERIOD {
            (state.begun, state.lines) = (now, 0);
        }
        if state.lines >= LINES_MAX {
            state.unsaid += 1;
            return None;
        }
        state.lines += 1;
        Some(NonZeroU64::new(std::mem::take(&mut state.unsaid)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_leaves_a_hundred_lines_in_ten_seconds_and_the_next_says_how_many_are_missing() {
        let begun = Instant::now();
        let log = LogLimit::new(begun);
        let at = |ms| begun + Duration::from_millis(ms);
        let said = (0..1000).filter_map(|_| log.line(at(9_999))).collect::<Vec<_>>();
        assert_eq!(said, [None; 100]);
        assert_eq!(log.line(at(10_000)), Some(NonZeroU64::new(900)));
        assert_eq!(log.line(at(10_000)), Some(None));
        let rest = (0..1000).filter_map(|_| log.line(at(19_999))).count();
        assert_eq!(rest, 98, "the period began with its first line");
    }
}
