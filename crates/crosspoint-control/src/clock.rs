//! Points in time as the API tells them.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

/// Translates the hub's time into the time of day. A point in time is told as the same number each time, unless the
/// clock of the machine was set.
#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// What time it was at the start, in milliseconds since 1970.
    start_ms: AtomicU64,
}

/// What the clock of the machine may differ before it counts as set.
const SET_MS: u64 = 500;

impl Clock {
    /// A clock that starts now.
    pub(crate) fn new(now: Instant, time: SystemTime) -> Self {
        Self { start: now, start_ms: AtomicU64::new(millis_since_1970(time)) }
    }

    /// Looks whether the clock of the machine was set.
    pub(crate) fn settle(&self, now: Instant, time: SystemTime) {
        let right = millis_since_1970(time);
        let start_ms = self.start_ms.load(Ordering::Relaxed);
        if self.ms(now).abs_diff(right) > SET_MS {
            let start_ms = start_ms.saturating_add(right).saturating_sub(self.ms(now));
            self.start_ms.store(start_ms, Ordering::Relaxed);
        }
    }

    /// A point in time in milliseconds since 1970.
    pub(crate) fn ms(&self, at: Instant) -> u64 {
        let start_ms = self.start_ms.load(Ordering::Relaxed);
        match at.checked_duration_since(self.start) {
            Some(since) => start_ms.saturating_add(millis(since)),
            None => start_ms.saturating_sub(millis(self.start.saturating_duration_since(at))),
        }
    }

    /// When the clock was started.
    pub(crate) fn start(&self) -> Instant {
        self.start
    }
}

/// A duration in whole milliseconds.
pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}

fn millis_since_1970(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).map_or(0, millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_point_in_time_is_the_same_number_until_the_clock_is_set() {
        let (now, ms) = (Instant::now(), Duration::from_millis);
        let time = UNIX_EPOCH + ms(1_000_000);
        let clock = Clock::new(now, time);
        assert_eq!(clock.ms(now), 1_000_000);
        assert_eq!(clock.ms(now + ms(70)), 1_000_070);
        let before = now.checked_sub(ms(30)).unwrap();
        assert_eq!(clock.ms(before), 999_970);
        // It goes a little wrong, and is set an hour ahead, and back to before 1970.
        clock.settle(now + ms(1000), time + ms(1300));
        assert_eq!(clock.ms(now), 1_000_000);
        clock.settle(now + ms(1000), time + ms(3_601_000));
        assert_eq!(clock.ms(now), 4_600_000);
        clock.settle(now + ms(1000), UNIX_EPOCH - ms(1));
        assert_eq!(clock.ms(now), 0);
    }
}
