//! The times of a workload: a warm-up, then the time that is measured.

use std::thread::{self, ScopedJoinHandle};
use std::time::{Duration, Instant};

use crate::{BenchError, Progress};

/// How often progress is told and the clock decides.
pub(crate) const TICK: Duration = Duration::from_millis(50);

/// What is expected and does not come within this is lost.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Read at once.
pub(crate) const READ_BYTES: usize = 64 << 10;

/// What a moment belongs to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Phase {
    /// The warm-up: what has happened up to now does not count.
    WarmUp,
    /// The time that is measured.
    Measured,
    /// The end of that time: what has happened up to now still counts.
    Over {
        /// What was measured in all, in seconds.
        seconds: f64,
    },
}

/// Says what counts, and tells how far a run has come.
pub(crate) struct Schedule<'a, 'b> {
    warm_up: Duration,
    duration: Duration,
    start: Instant,
    told: Instant,
    begin: Option<Instant>,
    progress: &'a mut Progress<'b>,
}

impl<'a, 'b> Schedule<'a, 'b> {
    /// The warm-up begins.
    pub(crate) fn start(
        warm_up: Duration,
        duration: Duration,
        progress: &'a mut Progress<'b>,
    ) -> Self {
        let start = Instant::now();
        Self { warm_up, duration, start, told: start, begin: None, progress }
    }

    /// Whether the warm-up is over.
    pub(crate) fn is_measuring(&self) -> bool {
        self.begin.is_some()
    }

    /// What has happened since the last call belongs to this.
    pub(crate) fn step(&mut self, now: Instant) -> Phase {
        let phase = match self.begin {
            None => {
                self.begin = (now - self.start >= self.warm_up).then_some(now);
                Phase::WarmUp
            }
            Some(begin) if now - begin >= self.duration => {
                (self.progress)(1.0, "done");
                return Phase::Over { seconds: (now - begin).as_secs_f64() };
            }
            Some(_) => Phase::Measured,
        };
        if now - self.told >= TICK {
            self.told = now;
            let whole = (self.warm_up + self.duration).as_secs_f64();
            let text = if self.is_measuring() { "measuring" } else { "warming up" };
            (self.progress)(((now - self.start).as_secs_f64() / whole).min(1.0), text);
        }
        phase
    }
}

/// The result of a measurement that a second thread has helped with. What stopped that one explains why
/// nothing came here.
pub(crate) fn with_helper<T>(
    measured: Result<T, BenchError>,
    helper: ScopedJoinHandle<'_, Result<(), BenchError>>,
) -> Result<T, BenchError> {
    match helper.join() {
        Ok(Err(error)) if measured.is_err() => Err(error),
        Ok(_) => measured,
        Err(panic) => std::panic::resume_unwind(panic),
    }
}

/// Runs the same for each of these at the same time, the first of them in this thread, which tells the
/// progress.
pub(crate) fn side_by_side<T: Send, R: Send>(
    each: Vec<T>,
    progress: &mut Progress<'_>,
    run: impl Fn(T, &mut Progress<'_>) -> Result<R, BenchError> + Sync,
) -> Result<Vec<R>, BenchError> {
    let run = &run;
    thread::scope(|scope| {
        let mut each = each.into_iter();
        let first = each.next();
        let others: Vec<_> =
            each.map(|one| scope.spawn(move || run(one, &mut |_, _| {}))).collect();
        let first = first.map(|one| run(one, progress));
        let others = others.into_iter().map(|other| match other.join() {
            Ok(result) => result,
            Err(panic) => std::panic::resume_unwind(panic),
        });
        first.into_iter().chain(others).collect()
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_happens_after_the_warm_up_counts_up_to_the_end() {
        let second = Duration::from_secs(1);
        let mut told = Vec::new();
        let mut progress = |done: f64, doing: &str| told.push((done, doing.to_owned()));
        let mut schedule = Schedule::start(second, 2 * second, &mut progress);
        let start = schedule.start;
        assert_eq!(schedule.step(start + second / 2), Phase::WarmUp);
        assert!(!schedule.is_measuring());
        assert_eq!(schedule.step(start + second), Phase::WarmUp);
        assert!(schedule.is_measuring());
        assert_eq!(schedule.step(start + second + TICK / 2), Phase::Measured);
        assert_eq!(schedule.step(start + 3 * second), Phase::Over { seconds: 2.0 });
        let told: Vec<_> = told.iter().map(|(done, doing)| (*done, doing.as_str())).collect();
        let third = 1.0 / 3.0;
        assert_eq!(told, [(third / 2.0, "warming up"), (third, "measuring"), (1.0, "done")]);
    }
}
