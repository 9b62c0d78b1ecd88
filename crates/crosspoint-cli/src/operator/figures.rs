//! Numbers for people.

use std::time::Duration;

/// Bytes, or bytes a second.
pub(crate) fn bytes(bytes: f64) -> String {
    scaled(bytes, 0, &[" B", " kB", " MB", " GB", " TB"])
}

/// How many in a second: one digit behind the point where there are few.
pub(crate) fn rate(count: f64) -> String {
    let digits = usize::from(count < 10.0 && count.fract() != 0.0);
    scaled(count, digits, &["", "k", "M", "G"])
}

/// A number with three digits or more before a unit of thousands.
fn scaled(value: f64, digits: usize, units: &[&str]) -> String {
    let (mut value, mut unit) = (value, 0);
    while value >= 999.5 && unit + 1 < units.len() {
        value /= 1000.0;
        unit += 1;
    }
    let digits = match (unit, value) {
        (0, _) => digits,
        (_, value) if value < 9.95 => 2,
        (_, value) if value < 99.5 => 1,
        _ => 0,
    };
    format!("{value:.digits$}{}", units[unit])
}

/// A duration with its two largest units.
pub(crate) fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    let (minutes, hours, days) = (seconds / 60, seconds / 3600, seconds / 86_400);
    match (days, hours, minutes) {
        (0, 0, 0) => format!("{seconds} s"),
        (0, 0, _) => format!("{minutes} min {} s", seconds % 60),
        (0, _, _) => format!("{hours} h {} min", minutes % 60),
        _ => format!("{days} d {} h", hours % 24),
    }
}

/// The time from one point to another, in milliseconds since 1970. The first is not before the second where clocks were set.
pub(crate) fn since(then_ms: u64, now_ms: u64) -> String {
    span(Duration::from_millis(now_ms.saturating_sub(then_ms)))
}

/// A round trip, in microseconds.
pub(crate) fn round_trip(micros: u64) -> String {
    match micros {
        0..1000 => format!("{micros} µs"),
        1000..10_000 => format!("{:.1} ms", micros as f64 / 1e3),
        _ => format!("{:.0} ms", micros as f64 / 1e3),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let many = [0.0, 999.4, 999.6, 9_944.0, 12_345.0, 999_600.0, 1.5e9, 3e18];
        assert_eq!(
            many.map(bytes),
            ["0 B", "999 B", "1.00 kB", "9.94 kB", "12.3 kB", "1.00 MB", "1.50 GB", "3000000 TB"]
        );
        assert_eq!([0.0, 0.25, 3.0, 12.5, 1234.0].map(rate), ["0", "0.2", "3", "12", "1.23k"]);
        let spans = [0, 59, 61, 3_599, 3_660, 90_000];
        assert_eq!(
            spans.map(|seconds| span(Duration::from_secs(seconds))),
            ["0 s", "59 s", "1 min 1 s", "59 min 59 s", "1 h 1 min", "1 d 1 h"]
        );
        assert_eq!(since(5_000, 2_000), "0 s");
        assert_eq!([1, 999, 1_234, 12_345].map(round_trip), ["1 µs", "999 µs", "1.2 ms", "12 ms"]);
    }
}
