//! How fast what comes over a connection is read: one rule for whatever reads it.

use crate::limit::Limit;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::rate_limiter::RateLimiter;
use std::net::IpAddr;
use std::time::Instant;

/// Counts what is read against [`Limits::messages_per_second_max`] and [`Limits::bytes_per_second_max`].
#[derive(Debug)]
pub struct ReadingRate(RateLimiter);

impl ReadingRate {
    /// The rate of an endpoint at this address, which has read nothing.
    pub fn new(now: Instant, limits: &Limits, address: Option<IpAddr>) -> Self {
        let (messages, bytes) = match limits.exempt(address) {
            true => (0, 0),
            false => (limits.messages_per_second_max, limits.bytes_per_second_max),
        };
        Self(RateLimiter::new(now, messages, bytes))
    }

    /// Counts what arrived. Gives the time before which nothing more may be read, if any.
    pub fn count(
        &mut self,
        now: Instant,
        metrics: &Metrics,
        messages: u64,
        bytes: u64,
    ) -> Option<Instant> {
        metrics.bytes_in.inc_by(bytes);
        let (by_messages, by_bytes) = self.0.count(now, messages, bytes);
        if messages > 0 && by_messages.is_some() {
            metrics.hit(Limit::MessagesPerSecond);
        }
        if bytes > 0 && by_bytes.is_some() {
            metrics.hit(Limit::BytesPerSecond);
        }
        by_messages.max(by_bytes)
    }
}
