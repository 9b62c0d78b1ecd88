//! Addresses and the networks that they belong to.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::str::FromStr;
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
    /// A whole IPv4 address. Of an IPv6 address the first half: a client that has one address has all that
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

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of an address. Bits behind those that count may be anything. An IPv4 address that is written
    /// as an IPv6 one, such as `::ffff:10.0.0.0` with 104 bits, gives the IPv4 network.
    ///
    /// # Errors
    /// [`NotNetwork`] if the address has fewer bits, or if fewer than 96 bits of an IPv4 address count that is
    /// written as an IPv6 one.
    pub fn new(address: IpAddr, bits: u8) -> Result<Self, NotNetwork> {
        if bits > whole(address) {
            return Err(NotNetwork);
        }
        let canonical = address.to_canonical();
        let before = whole(address) - whole(canonical);
        let bits = bits.checked_sub(before).ok_or(NotNetwork)?;
        Ok(Self { address: canonical, bits })
    }

    /// Whether an address is one of them. An IPv4 address that is written as an IPv6 one counts as IPv4.
    pub fn contains(&self, address: IpAddr) -> bool {
        let same = |one: u128, other: u128, width: u32| {
            (one ^ other).checked_shr(width - u32::from(self.bits)).unwrap_or(0) == 0
        };
        match (self.address, address.to_canonical()) {
            (IpAddr::V4(one), IpAddr::V4(other)) => {
                same(one.to_bits().into(), other.to_bits().into(), 32)
            }
            (IpAddr::V6(one), IpAddr::V6(other)) => same(one.to_bits(), other.to_bits(), 128),
            _ => false,
        }
    }
}

fn whole(address: IpAddr) -> u8 {
    if address.is_ipv4() { 32 } else { 128 }
}

impl FromStr for Network {
    type Err = NotNetwork;

    fn from_str(text: &str) -> Result<Self, NotNetwork> {
        let (address, bits) = match text.split_once('/') {
            Some((address, bits)) => (address, Some(bits.parse().map_err(|_| NotNetwork)?)),
            None => (text, None),
        };
        let address = address.parse::<IpAddr>().map_err(|_| NotNetwork)?;
        Self::new(address, bits.unwrap_or_else(|| whole(address)))
    }
}

impl fmt::Display for Network {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.bits == whole(self.address) {
            true => write!(f, "{}", self.address),
            false => write!(f, "{}/{}", self.address, self.bits),
        }
    }
}

/// A text is no address, and no network such as `10.0.0.0/8` or `::ffff:10.0.0.0/104`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error(
    "this is no address, and no network such as 10.0.0.0/8, 2001:db8::/32 or ::ffff:10.0.0.0/104, of which 96 bits or \
     more have to count"
)]
pub struct NotNetwork;

/// Networks. Cheap to clone.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Networks(Arc<[Network]>);

impl Networks {
    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

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

    #[test]
    fn a_network_holds_the_addresses_that_begin_like_it() {
        for (network, inside, outside) in [
            (
                "10.1.0.0/16",
                &["10.1.0.0", "10.1.255.255", "::ffff:10.1.2.3"][..],
                &["10.2.0.0"][..],
            ),
            ("10.1.2.3", &["10.1.2.3"], &["10.1.2.2", "::1"]),
            ("0.0.0.0/0", &["255.1.2.3"], &["::1"]),
            ("::/0", &["2001:db8::1"], &["1.2.3.4"]),
            ("2001:db8::/33", &["2001:db8:7fff::"], &["2001:db8:8000::"]),
        ] {
            let parsed: Network = network.parse().unwrap();
            assert_eq!(parsed.to_string(), network);
            for address in inside {
                assert!(parsed.contains(address.parse().unwrap()), "{address} in {network}");
            }
            for address in outside {
                assert!(!parsed.contains(address.parse().unwrap()), "{address} in {network}");
            }
        }
        for (mapped, plain) in [
            ("::ffff:198.51.100.7", "198.51.100.7"),
            ("::ffff:198.51.100.0/120", "198.51.100.0/24"),
            ("::ffff:0:0/96", "0.0.0.0/0"),
        ] {
            assert_eq!(mapped.parse::<Network>(), plain.parse(), "{mapped}");
        }
        for wrong in ["::ffff:10.0.0.0/95", "::ffff:0:0/0", "::ffff:10.0.0.0/129"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotNetwork), "{wrong}");
        }
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotNetwork), "{wrong}");
        }
    }
}
