//! The last ten minutes, second by second.

use crate::model::Point;
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// The time between two points.
pub(crate) const INTERVAL: Duration = Duration::from_secs(1);

/// Points that are kept.
pub(crate) const POINTS_MAX: usize = 600;

/// What a hub has counted since its start, and what there is now.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Counted {
    pub(crate) connections: u64,
    pub(crate) sessions: u64,
    pub(crate) messages_in: u64,
    pub(crate) messages_out: u64,
    pub(crate) bytes_in: u64,
    pub(crate) bytes_out: u64,
}

/// What was counted so far, in points.
#[derive(Debug)]
pub(crate) struct Past {
    points: VecDeque<Point>,
    last: (Instant, Counted),
}

impl Past {
    /// Nothing yet.
    pub(crate) fn new(now: Instant, counted: Counted) -> Self {
        Self { points: VecDeque::new(), last: (now, counted) }
    }

    /// Adds what was counted since the last time, at a time that is told as `at_ms`. Gives the new point.
    pub(crate) fn add(&mut self, now: Instant, at_ms: u64, counted: Counted) -> Point {
        let (since, before) = std::mem::replace(&mut self.last, (now, counted));
        let elapsed = now.saturating_duration_since(since);
        let per_second =
            |field: fn(&Counted) -> u64| rate(field(&before), field(&counted), elapsed);
        let point = Point {
            at_ms,
            connections: counted.connections,
            sessions: counted.sessions,
            messages_in: per_second(|counted| counted.messages_in),
            messages_out: per_second(|counted| counted.messages_out),
            bytes_in: per_second(|counted| counted.bytes_in),
            bytes_out: per_second(|counted| counted.bytes_out),
        };
        if self.points.len() >= POINTS_MAX {
            self.points.pop_front();
        }
        self.points.push_back(point);
        point
    }

    /// The points, the oldest first, and when the last was added.
    pub(crate) fn points(&self) -> (Vec<Point>, Instant) {
        (self.points.iter().copied().collect(), self.last.0)
    }
}

/// How much a counter has grown in a second, to a tenth.
pub(crate) fn rate(before: u64, after: u64, elapsed: Duration) -> f64 {
    let seconds = elapsed.as_secs_f64();
    if seconds <= 0.0 {
        return 0.0;
    }
    (after.saturating_sub(before) as f64 / seconds * 10.0).round() / 10.0
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn points_are_rates_over_the_time_that_has_passed() {
        let now = Instant::now();
        let counted = |messages_in| Counted { messages_in, ..Counted::default() };
        let mut past = Past::new(now, counted(100));
        assert_eq!(past.add(now + INTERVAL, 1000, counted(150)).messages_in, 50.0);
        // A machine that was busy came later.
        assert_eq!(past.add(now + 3 * INTERVAL, 3000, counted(250)).messages_in, 50.0);
        assert_eq!(past.add(now + 3 * INTERVAL, 3000, counted(260)).messages_in, 0.0);
        let times: Vec<_> = past.points().0.iter().map(|point| point.at_ms).collect();
        assert_eq!(times, [1000, 3000, 3000]);
    }

    #[test]
    fn ten_minutes_are_kept() {
        let now = Instant::now();
        let mut past = Past::new(now, Counted::default());
        for second in 1..=601 {
            past.add(
                now + second * INTERVAL,
                0,
                Counted { sessions: second.into(), ..Counted::default() },
            );
        }
        let (points, at) = past.points();
        assert_eq!((points.len(), at), (600, now + 601 * INTERVAL));
        assert_eq!((points[0].sessions, points[599].sessions), (2, 601));
    }

    #[test]
    fn a_rate_has_one_digit_behind_the_point() {
        let second = Duration::from_secs(1);
        assert_eq!(rate(0, 1, 3 * second), 0.3);
        assert_eq!(rate(5, 4, second), 0.0);
        assert_eq!(rate(0, u64::MAX, second), u64::MAX as f64);
        assert_eq!(rate(0, 1, Duration::ZERO), 0.0);
    }
}
