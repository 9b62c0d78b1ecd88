//! How many sessions may be without a connection, in all and of one address.

use crosspoint_hub::Limits;
use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::net::IpAddr;

/// By which address a session is counted, if limits per address hold there.
pub(crate) fn known_by(limits: &Limits, address: Option<IpAddr>) -> Option<IpAddr> {
    limits.known_by(address).filter(|_| limits.connections_per_address_max > 0)
}

/// Places for sessions whose connections are away.
#[derive(Debug)]
pub(crate) struct Absences {
    total_max: usize,
    per_address_max: u32,
    total: usize,
    from: HashMap<IpAddr, u32>,
}

impl Absences {
    /// Places for so many, and of one address for as many as it may have connections.
    pub(crate) fn new(total_max: usize, limits: &Limits) -> Self {
        let per_address_max = limits.connections_per_address_max;
        Self { total_max, per_address_max, total: 0, from: HashMap::new() }
    }

    /// Asks for a place. `address` is `None` where no limit per address holds. Gives whether there is one; it is given back
    /// with [`Absences::back`].
    pub(crate) fn away(&mut self, address: Option<IpAddr>) -> bool {
        if self.total >= self.total_max {
            return false;
        }
        if let Some(address) = address {
            let count = self.from.entry(address).or_default();
            if *count >= self.per_address_max {
                return false;
            }
            *count += 1;
        }
        self.total += 1;
        true
    }

    pub(crate) fn back(&mut self, address: Option<IpAddr>) {
        self.total -= 1;
        if let Some(address) = address
            && let Entry::Occupied(mut entry) = self.from.entry(address)
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_are_bounded_in_all_and_for_each_address() {
        let limits = Limits { connections_per_address_max: 2, ..Limits::default() };
        let mut absences = Absences::new(3, &limits);
        let [one, two] = [1, 2].map(|last| Some(IpAddr::from([10, 0, 0, last])));
        assert!(absences.away(one) && absences.away(one));
        assert!(!absences.away(one), "two from one address");
        assert!(absences.away(two));
        assert!(!absences.away(two) && !absences.away(None), "three in all");
        absences.back(one);
        assert!(absences.away(None) && !absences.away(None));
        absences.back(None);
        assert!(absences.away(two), "the second from there");
        assert_eq!(absences.from.len(), 2);
    }
}
