//! Which addresses have given wrong secrets lately, and how long they have to pause for that.
//! Time comes in.

use super::attempt::Origin;
use std::collections::HashMap;
use std::time::{Duration, Instant};

/// How many wrong secrets of one address are free of a pause.
const FREE: u32 = 10;

/// How many wrong tokens of one address are remembered.
const TOKENS: usize = 4;

/// How many addresses are remembered. Above, the one is forgotten that would be the soonest.
const ORIGINS_MAX: usize = 4096;

/// Wrong secrets by where they came from.
///
/// Each is forgiven after a pause, one after the other. While more than [`FREE`] are not forgiven
/// the address has to wait.
#[derive(Debug)]
pub(super) struct Wrongs {
    pause: Duration,
    by_origin: HashMap<Origin, Wrong>,
}

#[derive(Debug)]
struct Wrong {
    /// When the last one is forgiven.
    until: Instant,
    /// Fingerprints of the latest wrong tokens. A program that tries the same one again and again
    /// does not guess, and must not keep others of its address out.
    tokens: [u64; TOKENS],
    next: usize,
}

impl Wrongs {
    /// No address has to pause if `pause` is zero.
    pub(super) fn new(pause: Duration) -> Self {
        Self { pause, by_origin: HashMap::new() }
    }

    /// Until when an address has to pause, if it has to.
    pub(super) fn pause(&self, now: Instant, origin: Origin) -> Option<Instant> {
        let wrong = self.by_origin.get(&origin)?;
        let until = wrong.until.checked_sub(self.pause.saturating_mul(FREE))?;
        (until > now).then_some(until)
    }

    /// Whether anything of this address was wrong and is not forgiven.
    pub(super) fn has(&self, now: Instant, origin: Origin) -> bool {
        self.by_origin.get(&origin).is_some_and(|wrong| wrong.until > now)
    }

    /// Whether a token of this address was wrong and is not forgiven.
    pub(super) fn knows(&self, now: Instant, origin: Origin, token: u64) -> bool {
        let wrong = self.by_origin.get(&origin).filter(|wrong| wrong.until > now);
        wrong.is_some_and(|wrong| wrong.tokens.contains(&token))
    }

    /// Remembers a wrong token.
    pub(super) fn add(&mut self, now: Instant, origin: Origin, token: u64) {
        if self.pause.is_zero() {
            return;
        }
        let pause = self.pause;
        let wrong = self.of(now, origin, token);
        let from = wrong.until.max(now);
        wrong.until = from.checked_add(pause).unwrap_or(from);
        wrong.tokens[wrong.next] = token;
        wrong.next = (wrong.next + 1) % TOKENS;
    }

    /// Remembers one pause long that something of this address was wrong, however often.
    pub(super) fn mark(&mut self, now: Instant, origin: Origin) {
        let until = now.checked_add(self.pause).unwrap_or(now);
        self.of(now, origin, 0).until = until;
    }

    /// What is remembered of an address.
    fn of(&mut self, now: Instant, origin: Origin, token: u64) -> &mut Wrong {
        if !self.by_origin.contains_key(&origin) && self.by_origin.len() >= ORIGINS_MAX {
            self.by_origin.retain(|_, wrong| wrong.until > now);
            self.forget_soonest();
        }
        let fresh = Wrong { until: now, tokens: [token; TOKENS], next: 0 };
        self.by_origin.entry(origin).or_insert(fresh)
    }

    /// Keeps room for one more.
    fn forget_soonest(&mut self) {
        if self.by_origin.len() < ORIGINS_MAX {
            return;
        }
        let soonest = self.by_origin.iter().min_by_key(|(_, wrong)| wrong.until);
        if let Some(origin) = soonest.map(|(origin, _)| *origin) {
            self.by_origin.remove(&origin);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::net::{IpAddr, Ipv4Addr};

    #[test]
    fn a_bounded_number_of_addresses_is_remembered_the_worst_of_them() {
        let now = Instant::now();
        let from = |number: usize| {
            let bits = u32::try_from(number).expect("a small number");
            Origin::new(Some(IpAddr::V4(Ipv4Addr::from_bits(0x0a00_0000 + bits))))
        };
        let mut wrongs = Wrongs::new(Duration::from_secs(1));
        (0..20).for_each(|token| wrongs.add(now, from(0), token));
        for number in 1..ORIGINS_MAX + 100 {
            wrongs.add(now, from(number), 0);
            assert!(wrongs.by_origin.len() <= ORIGINS_MAX);
        }
        assert_eq!(wrongs.pause(now, from(0)), Some(now + Duration::from_secs(10)));
        let later = now + Duration::from_secs(60);
        wrongs.add(later, from(1_000_000), 0);
        assert_eq!(wrongs.by_origin.len(), 1, "all others are forgiven");
    }

    #[test]
    fn without_a_pause_nothing_is_remembered() {
        let (now, origin) = (Instant::now(), Origin::new(None));
        let mut wrongs = Wrongs::new(Duration::ZERO);
        (0..100).for_each(|token| wrongs.add(now, origin, token));
        assert!(wrongs.pause(now, origin).is_none() && !wrongs.knows(now, origin, 1));
    }
}
