//! How long to wait before a hub is called again.

use std::time::Duration;

/// Pauses that double up to a maximum, each cut to a random part of itself. So many clients that
/// lost their hub at the same moment do not come back at the same moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Backoff {
    /// The longest first pause.
    pub first: Duration,
    /// The longest pause of all.
    pub most: Duration,
}

impl Default for Backoff {
    fn default() -> Self {
        Self { first: Duration::from_millis(100), most: Duration::from_secs(5) }
    }
}

impl Backoff {
    /// The pause before the attempt that comes after `failed` others. `random` is any number,
    /// a new one each time.
    pub fn pause(&self, failed: u32, random: u64) -> Duration {
        let factor = 2u32.checked_pow(failed).unwrap_or(u32::MAX);
        let longest = self.first.saturating_mul(factor).min(self.most);
        // The top 32 bits as a fraction of 1, so that neither end is preferred.
        let part = random >> 32;
        let nanos = longest.as_nanos().saturating_mul(part.into()) >> 32;
        Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_to_the_maximum_and_are_cut_at_random() {
        let backoff = Backoff::default();
        let longest = |failed| backoff.pause(failed, u64::MAX).as_millis();
        assert_eq!([longest(0), longest(1), longest(5)], [99, 199, 3199]);
        assert_eq!([longest(6), longest(40), longest(u32::MAX)], [4999; 3]);
        assert_eq!(backoff.pause(3, 0), Duration::ZERO);
        assert_eq!(backoff.pause(1, 1 << 63), Duration::from_millis(100));
    }
}
