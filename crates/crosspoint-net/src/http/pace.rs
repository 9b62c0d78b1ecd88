//! How fast a connection is served: its requests and bytes count as those of a session do.

use super::io::IoState;
use crate::outlet::now;
use crate::remote::Remote;
use crosspoint_hub::rate_limiter::RateLimiter;
use crosspoint_hub::{Hub, Limit};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;
use tokio::time::sleep_until;

/// Counts the requests of one connection, and its bytes in both directions.
#[derive(Debug)]
pub(super) struct Pace {
    hub: Arc<Hub>,
    /// Unless it comes from where no limits hold.
    limited: Option<Mutex<Limited>>,
}

#[derive(Debug)]
struct Limited {
    limiter: RateLimiter,
    /// Bytes that are counted.
    moved: u64,
}

impl Pace {
    pub(super) fn new(hub: &Arc<Hub>, from: Remote) -> Self {
        let limits = &hub.limits;
        let (messages, bytes) = (limits.messages_per_second_max, limits.bytes_per_second_max);
        let limited = (!limits.exempt(from.ip())).then(|| {
            Mutex::new(Limited { limiter: RateLimiter::new(now(), messages, bytes), moved: 0 })
        });
        Self { hub: hub.clone(), limited }
    }

    /// Counts a request, and waits for as long as the connection has been too fast. Meanwhile nothing more is
    /// read.
    pub(super) async fn request(&self, state: &IoState) {
        if let Some(until) = self.count(state.moved()) {
            sleep_until(until.into()).await;
        }
    }

    fn count(&self, moved: u64) -> Option<Instant> {
        // What it guards is consistent between any two statements that could panic.
        let mut limited = self.limited.as_ref()?.lock().unwrap_or_else(PoisonError::into_inner);
        let bytes = moved - std::mem::replace(&mut limited.moved, moved);
        let (by_messages, by_bytes) = limited.limiter.count(now(), 1, bytes);
        let limits = [(by_messages, Limit::MessagesPerSecond), (by_bytes, Limit::BytesPerSecond)];
        for (_, limit) in limits.into_iter().filter(|(until, _)| until.is_some()) {
            self.hub.metrics.hit(limit);
        }
        by_messages.max(by_bytes)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::HubOptions;
    use std::time::Duration;

    #[tokio::test(start_paused = true)]
    async fn more_requests_or_bytes_than_in_a_second_wait_and_those_of_the_exempt_do_not() {
        let mut options = HubOptions::default();
        options.limits.messages_per_second_max = 100;
        options.limits.bytes_per_second_max = 10_000;
        let hub = Hub::new(options);
        let from = |address: &str| Remote::new(Some(address.parse().unwrap()));
        for (address, requests, bytes, seconds) in [
            ("192.0.2.1:1", 300, 1, 2),
            ("192.0.2.1:1", 30, 1000, 2),
            ("192.0.2.1:1", 100, 100, 0),
            ("127.0.0.1:1", 1000, 1000, 0),
        ] {
            let (pace, begun) = (Pace::new(&hub, from(address)), now());
            for number in 1..=requests {
                let until = pace.count(number * bytes);
                sleep_until(until.unwrap_or_else(now).into()).await;
            }
            let taken = now() - begun;
            let expected = Duration::from_secs(seconds);
            assert!(taken >= expected, "{address}: {taken:?}");
            assert!(taken < expected + Duration::from_millis(500), "{address}: {taken:?}");
        }
    }
}
