//! How often an address may present a wrong token.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::{Duration, Instant};

/// Wrong tokens that an address may present in [`WINDOW`].
pub(crate) const WRONG_MAX: u32 = 10;

/// How long wrong tokens count, from the first one.
pub(crate) const WINDOW: Duration = Duration::from_secs(60);

/// Addresses that are remembered. Above, the one whose time is over first is forgotten.
const ADDRESSES_MAX: usize = 1024;

/// Wrong tokens by address. `None` is everybody who has none.
#[derive(Debug, Default)]
pub(crate) struct Tries {
    of: HashMap<Option<IpAddr>, Wrong>,
}

#[derive(Debug, Clone, Copy)]
struct Wrong {
    count: u32,
    since: Instant,
}

impl Tries {
    /// How long an address has to wait before a token of it is looked at, if it has to.
    pub(crate) fn wait(&self, now: Instant, address: Option<IpAddr>) -> Option<Duration> {
        let wrong = self.of.get(&address).filter(|wrong| wrong.count >= WRONG_MAX)?;
        let left = (wrong.since + WINDOW).saturating_duration_since(now);
        (!left.is_zero()).then_some(left)
    }

    /// Counts a wrong token.
    pub(crate) fn count(&mut self, now: Instant, address: Option<IpAddr>) {
        if !self.of.contains_key(&address) && self.of.len() >= ADDRESSES_MAX {
            self.of.retain(|_, wrong| now < wrong.since + WINDOW);
            let oldest = self.of.iter().min_by_key(|(_, wrong)| wrong.since);
            if let Some(oldest) = oldest.map(|(address, _)| *address)
                && self.of.len() >= ADDRESSES_MAX
            {
                self.of.remove(&oldest);
            }
        }
        let wrong = self.of.entry(address).or_insert(Wrong { count: 0, since: now });
        if now >= wrong.since + WINDOW {
            *wrong = Wrong { count: 0, since: now };
        }
        wrong.count += 1;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::Ipv4Addr;

    fn address(number: u32) -> Option<IpAddr> {
        Some(Ipv4Addr::from_bits(number).into())
    }

    #[test]
    fn after_ten_wrong_tokens_an_address_waits_for_the_rest_of_the_minute_and_others_do_not() {
        let (start, mut tries) = (Instant::now(), Tries::default());
        let second = Duration::from_secs(1);
        for number in 0..10 {
            assert_eq!(tries.wait(start + number * second, address(1)), None);
            tries.count(start + number * second, address(1));
        }
        assert_eq!(tries.wait(start + 10 * second, address(1)), Some(50 * second));
        assert_eq!(tries.wait(start + 10 * second, address(2)), None);
        assert_eq!(tries.wait(start + 10 * second, None), None);
        assert_eq!(tries.wait(start + 60 * second, address(1)), None);
        tries.count(start + 60 * second, address(1));
        assert_eq!(tries.wait(start + 61 * second, address(1)), None);
    }

    #[test]
    fn however_many_addresses_come_few_are_remembered() {
        let (start, mut tries) = (Instant::now(), Tries::default());
        for number in 0..10_000 {
            tries.count(start + Duration::from_millis(number.into()), address(number));
            assert!(tries.of.len() <= ADDRESSES_MAX);
        }
        assert!(tries.of.contains_key(&address(9_999)));
        assert!(!tries.of.contains_key(&address(0)));
    }
}
