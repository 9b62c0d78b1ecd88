//! How fast a session may be read: two token buckets over the time that is passed in.

use std::time::{Duration, Instant};

/// Counts what a session sends against its messages and bytes per second.
///
/// Each bucket holds one second's worth. A session in debt is not read until the debt is paid.
#[derive(Debug, Clone)]
pub struct RateLimiter {
    messages: Bucket,
    bytes: Bucket,
}

#[derive(Debug, Clone)]
struct Bucket {
    /// Tokens a second; 0 is without limit.
    rate: u64,
    /// May go below zero: what has arrived is counted even when it exceeds the rest.
    tokens: i64,
    refilled: Instant,
}

impl RateLimiter {
    /// A limiter with full buckets. A rate of 0 is without limit.
    pub fn new(now: Instant, messages_per_second_max: u64, bytes_per_second_max: u64) -> Self {
        let bucket = |rate: u64| Bucket { rate, tokens: clamp(rate), refilled: now };
        Self { messages: bucket(messages_per_second_max), bytes: bucket(bytes_per_second_max) }
    }

    /// Counts what arrived. Gives the times before which nothing more may be read, if any: for
    /// the messages, and for the bytes.
    pub fn count(
        &mut self,
        now: Instant,
        messages: u64,
        bytes: u64,
    ) -> (Option<Instant>, Option<Instant>) {
        let messages = self.messages.count(now, messages);
        let bytes = self.bytes.count(now, bytes);
        (messages, bytes)
    }
}

impl RateLimiter {
    /// Takes over what another limiter of the same rates has counted, where that leaves less.
    pub(crate) fn take_over(&mut self, now: Instant, other: &Self) {
        self.messages.take_over(now, &other.messages);
        self.bytes.take_over(now, &other.bytes);
    }

    /// Whether it is as good as new.
    pub(crate) fn is_full(&mut self, now: Instant) -> bool {
        self.messages.is_full(now) && self.bytes.is_full(now)
    }
}

impl Bucket {
    fn take_over(&mut self, now: Instant, other: &Self) {
        let mut other = other.clone();
        other.refill(now);
        self.refill(now);
        self.tokens = self.tokens.min(other.tokens);
    }

    fn is_full(&mut self, now: Instant) -> bool {
        self.refill(now);
        self.tokens >= clamp(self.rate)
    }

    fn refill(&mut self, now: Instant) {
        let elapsed = now.saturating_duration_since(self.refilled);
        let gained = elapsed.as_micros().saturating_mul(u128::from(self.rate)) / 1_000_000;
        if gained > 0 {
            let gained = i64::try_from(gained).unwrap_or(i64::MAX);
            self.tokens = self.tokens.saturating_add(gained).min(clamp(self.rate));
            self.refilled = now;
        }
    }

    fn count(&mut self, now: Instant, amount: u64) -> Option<Instant> {
        if self.rate == 0 {
            return None;
        }
        self.refill(now);
        self.tokens = self.tokens.saturating_sub(clamp(amount));
        if self.tokens >= 0 {
            return None;
        }
        let debt = self.tokens.unsigned_abs();
        let micros = u128::from(debt) * 1_000_000 / u128::from(self.rate);
        // At most an hour, so that a wrong setting cannot park a session for ever.
        let micros = u64::try_from(micros).unwrap_or(u64::MAX).clamp(1, 3_600_000_000);
        Some(now + Duration::from_micros(micros))
    }
}

fn clamp(value: u64) -> i64 {
    i64::try_from(value).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_burst_of_one_second_is_free_and_more_has_to_wait() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(now, 100, 0);
        assert_eq!(limiter.count(now, 100, 1 << 40), (None, None));
        let half = now + Duration::from_millis(500);
        assert_eq!(limiter.count(now, 50, 0), (Some(half), None));
        let later = now + Duration::from_millis(600);
        assert_eq!(limiter.count(later, 10, 0), (None, None));
    }

    #[test]
    fn messages_and_bytes_are_counted_apart() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(now, 1, 10);
        let after = |seconds| Some(now + Duration::from_secs(seconds));
        assert_eq!(limiter.count(now, 2, 40), (after(1), after(3)));
    }

    #[test]
    fn a_rate_of_zero_is_without_limit() {
        let now = Instant::now();
        let mut limiter = RateLimiter::new(now, 0, 0);
        assert_eq!(limiter.count(now, u64::MAX, u64::MAX), (None, None));
    }
}
