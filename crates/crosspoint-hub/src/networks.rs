//! Addresses and the networks that they belong to.

use crate::rules::Network;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::Arc;

/// How much of an address tells who has it, in bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefixes {
    /// Of an IPv4 address, at most 32.
    pub ipv4: u8,
    /// Of an IPv6 address, at most 128.
    pub ipv6: u8,
}

impl Default for Prefixes {
    /// A whole IPv4 address. Of an IPv6 address the first half: whoever has one address has all that
    /// begin so, and could come from another one each time.
    fn default() -> Self {
        Self { ipv4: 32, ipv6: 64 }
    }
}

impl Prefixes {
    /// Who has an address, as far as limits and bans go: the first address of its network.
    ///
    /// Addresses of this machine, and of neighbours in a network without a router, which all begin the
    /// same, stay whole.
    pub fn holder(self, address: IpAddr) -> IpAddr {
        match address.to_canonical() {
            IpAddr::V4(v4) if !v4.is_loopback() && !v4.is_link_local() => {
                let mask = u32::MAX.checked_shl(32 - u32::from(self.ipv4.min(32))).unwrap_or(0);
                Ipv4Addr::from_bits(v4.to_bits() & mask).into()
            }
            IpAddr::V6(v6) if !v6.is_loopback() && !v6.is_unicast_link_local() => {
                let mask = u128::MAX.checked_shl(128 - u32::from(self.ipv6.min(128))).unwrap_or(0);
                Ipv6Addr::from_bits(v6.to_bits() & mask).into()
            }
            whole => whole,
        }
    }
}

/// Networks. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Arc<[Network]>);

impl Networks {
    /// Whether an address belongs to one of them.
    pub fn contain(&self, address: IpAddr) -> bool {
        self.0.iter().any(|network| network.contains(address))
    }
}

impl FromIterator<Network> for Networks {
    fn from_iter<T: IntoIterator<Item = Network>>(networks: T) -> Self {
        Self(networks.into_iter().collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(text: &str) -> IpAddr {
        text.parse().unwrap()
    }

    #[test]
    fn the_beginning_of_an_address_tells_who_it_is_but_not_among_neighbours() {
        let usual = |text| Prefixes::default().holder(address(text));
        assert_eq!(usual("2001:db8:1:2::1"), usual("2001:db8:1:2:ffff::9"));
        assert_ne!(usual("2001:db8:1:2::1"), usual("2001:db8:1:3::1"));
        assert_ne!(usual("fe80::1"), usual("fe80::2"));
        assert_eq!(usual("::ffff:192.0.2.1"), usual("192.0.2.1"));
        assert_ne!(usual("192.0.2.1"), usual("192.0.2.2"));
        assert!(usual("::1").is_loopback() && usual("::ffff:127.0.0.9").is_loopback());
        let wide = |text| Prefixes { ipv4: 24, ipv6: 48 }.holder(address(text));
        assert_eq!(wide("192.0.2.1"), wide("192.0.2.200"));
        assert_ne!(wide("192.0.2.1"), wide("192.0.3.1"));
        assert_eq!(wide("2001:db8:1:2::1"), wide("2001:db8:1:3::1"));
        assert_ne!(wide("127.0.0.1"), wide("127.0.0.2"));
        let whole = |text| Prefixes { ipv4: 0, ipv6: 128 }.holder(address(text));
        assert_eq!(whole("192.0.2.1"), whole("10.0.0.1"));
        assert_ne!(whole("2001:db8::1"), whole("2001:db8::2"));
    }
}
