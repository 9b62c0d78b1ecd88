//! Bounds how often something is logged that any stranger can cause.

use std::num::NonZeroU64;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// Lines of one kind in each period, usually. Above, they are counted only.
const LINES_MAX: u32 = 100;

/// The period, usually.
const PERIOD: Duration = Duration::from_secs(10);

/// Lets a bounded number of lines of one kind into the log.
#[derive(Debug)]
pub struct LogLimit {
    lines_max: u32,
    period: Duration,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    begun: Instant,
    lines: u32,
    unsaid: u64,
}

impl LogLimit {
    /// At most 100 lines in 10 seconds. The first period begins now.
    pub fn new(now: Instant) -> Self {
        Self::of(LINES_MAX, PERIOD, now)
    }

    /// At most so many lines in each period. The first one begins now.
    pub fn of(lines_max: u32, period: Duration, now: Instant) -> Self {
        let state = Mutex::new(State { begun: now, lines: 0, unsaid: 0 });
        Self { lines_max, period, state }
    }

    /// Whether a line may be written now. Then it should say how many were not written since the last
    /// one, if any.
    pub fn line(&self, now: Instant) -> Option<Option<NonZeroU64>> {
        // What it guards is consistent between any two statements that could panic.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if now.saturating_duration_since(state.begun) >= self.period {
            (state.begun, state.lines) = (now, 0);
        }
        if state.lines >= self.lines_max {
            state.unsaid += 1;
            return None;
        }
        state.lines += 1;
        Some(NonZeroU64::new(std::mem::take(&mut state.unsaid)))
    }
}

/// The bounds of a server's log. Each kind of line has its own, so that a flood of one does not hide
/// the others.
#[derive(Debug)]
pub(crate) struct Logs {
    /// Sessions that ended for a reason of which the operator should know.
    pub(crate) closed: LogLimit,
    /// Sessions whose clients have broken a protocol.
    pub(crate) faults: LogLimit,
    /// Connections that did not become sessions.
    pub(crate) refused: LogLimit,
    /// Connections on which TLS failed.
    pub(crate) tls: LogLimit,
    /// Credentials that were refused.
    pub(crate) denied: LogLimit,
    /// Sessions that were refused what they may not do.
    pub(crate) not_allowed: LogLimit,
    /// Connections that came back to their sessions.
    pub(crate) resumed: LogLimit,
    /// Connections that came back to nothing, or with what does not fit.
    pub(crate) not_resumed: LogLimit,
    /// Bans by address that hold for the peer id alone.
    pub(crate) bans: LogLimit,
    /// Files that could not be read for HTTP.
    #[cfg(feature = "http")]
    pub(crate) files: LogLimit,
    /// The system gave no connection.
    pub(crate) accepts: LogLimit,
}

impl Logs {
    pub(crate) fn new(now: Instant) -> Self {
        Self {
            closed: LogLimit::new(now),
            faults: LogLimit::new(now),
            refused: LogLimit::new(now),
            tls: LogLimit::of(1, Duration::from_secs(60), now),
            denied: LogLimit::new(now),
            not_allowed: LogLimit::new(now),
            resumed: LogLimit::new(now),
            not_resumed: LogLimit::new(now),
            bans: LogLimit::new(now),
            #[cfg(feature = "http")]
            files: LogLimit::new(now),
            accepts: LogLimit::of(1, Duration::from_secs(60), now),
        }
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
