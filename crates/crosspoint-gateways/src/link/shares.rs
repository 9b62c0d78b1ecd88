//! How much of a client each peer may have.

use crosspoint_hub::{Limits, PeerId};
use std::collections::BTreeMap;

/// How much the client has yet to answer of what peers ask it.
#[derive(Debug, Default)]
pub struct Shares {
    asking: BTreeMap<PeerId, usize>,
    total: usize,
}

impl Shares {
    /// Whether a peer may ask the client for more, where all together may ask `most`: one may have its share, and no
    /// more than is left for others.
    pub fn may_ask(&self, peer: PeerId, most: usize) -> bool {
        let asked = self.asking.get(&peer).copied().unwrap_or_default();
        asked < (most / Limits::ADDRESS_SHARE).min(most.saturating_sub(self.total))
    }

    /// A peer has asked the client for something.
    pub fn asks(&mut self, peer: PeerId) {
        *self.asking.entry(peer).or_default() += 1;
        self.total += 1;
    }

    /// So much of what a peer has asked for waits no more.
    pub fn asked(&mut self, peer: PeerId, count: usize) {
        if let Some(asking) = self.asking.get_mut(&peer) {
            *asking -= count;
            self.total -= count;
            if *asking == 0 {
                self.asking.remove(&peer);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peer_has_its_share_and_no_more_than_is_left() {
        let [one, two] = [1, 2].map(|id| PeerId::new([id; 16]));
        let share = 10;
        let most = share * Limits::ADDRESS_SHARE;
        let mut shares = Shares::default();
        for _ in 0..share {
            assert!(shares.may_ask(one, most));
            shares.asks(one);
        }
        assert!(!shares.may_ask(one, most) && shares.may_ask(two, most));
        // All together have asked for as much as may be.
        assert!(!shares.may_ask(two, share));
        shares.asked(one, share);
        assert!(shares.may_ask(one, most) && shares.may_ask(two, share * 2));
        shares.asked(two, 1);
        assert!(shares.asking.is_empty() && shares.total == 0);
    }
}
