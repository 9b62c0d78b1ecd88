use std::time::Duration;

use hdrhistogram::Histogram;
use serde::Serialize;

/// Percentiles of a latency, in microseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct Latency {
    /// Half of the samples were at most this.
    pub p50: f64,
    /// Nine of ten.
    pub p90: f64,
    /// 99 of 100.
    pub p99: f64,
    /// 999 of 1000.
    pub p999: f64,
    /// The largest sample.
    pub max: f64,
    /// How many samples there are.
    pub samples: u64,
}

/// Collects latencies, three significant digits, 1 ns to 100 s (longer ones count as 100 s).
pub(crate) struct Recorder(Histogram<u64>);

const LONGEST: Duration = Duration::from_secs(100);

impl Recorder {
    pub(crate) fn new() -> Recorder {
        let longest = LONGEST.as_nanos() as u64;
        Recorder(
            Histogram::new_with_bounds(1, longest, 3)
                .expect("the bounds are constants that satisfy 1 <= low, 2 * low <= high"),
        )
    }

    /// Adds `count` samples of the same latency.
    pub(crate) fn record(&mut self, latency: Duration, count: u64) {
        let nanoseconds = latency.min(LONGEST).as_nanos() as u64;
        self.0.saturating_record_n(nanoseconds.max(1), count);
    }

    /// Adds all samples of another one.
    pub(crate) fn add(&mut self, other: &Recorder) {
        self.0.add(&other.0).expect("all have the same bounds");
    }

    pub(crate) fn latency(&self) -> Latency {
        let at = |quantile| self.0.value_at_quantile(quantile) as f64 / 1000.0;
        Latency {
            p50: at(0.5),
            p90: at(0.9),
            p99: at(0.99),
            p999: at(0.999),
            max: self.0.max() as f64 / 1000.0,
            samples: self.0.len(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_microseconds_of_all_samples() {
        let mut recorder = Recorder::new();
        recorder.record(Duration::from_micros(10), 989);
        recorder.record(Duration::from_millis(5), 10);
        recorder.record(Duration::from_secs(1000), 1);
        let latency = recorder.latency();
        assert_eq!(latency.samples, 1000);
        assert!((latency.p50 - 10.0).abs() < 0.1, "{latency:?}");
        assert!((latency.p90 - 10.0).abs() < 0.1, "{latency:?}");
        assert!((latency.p99 - 5000.0).abs() < 10.0, "{latency:?}");
        assert!(latency.max >= 99.9e6, "{latency:?}");
    }
}
