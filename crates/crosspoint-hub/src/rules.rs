//! Rules for channels by their names: bounds of their own, and who may create and enter them.
//!
//! They are for owners whose protocol cannot say such things, and for operators. The first rule whose pattern
//! matches a name holds for it, and no other.

use crate::meter::Meter;
use crate::outbox::Outbox;
pub use crate::permissions::Pattern;
use crate::permissions::Rule;
use crate::reason::Reason;
use std::fmt;
use std::net::IpAddr;
use std::str::FromStr;
use std::time::Instant;

/// A rule for all channels and rooms whose names match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelRule {
    /// Which names it is for.
    pub name: Pattern,
    /// The most members, if fewer than otherwise. Above: refused with [`Reason::Full`].
    pub members_max: Option<u32>,
    /// The largest message in bytes, if smaller than otherwise; of a protocol without borders, the largest
    /// frame. A larger one ends its sender's session with [`Reason::TooLarge`].
    pub message_bytes_max: Option<u32>,
    /// Bytes that may wait for the members, each counted once, if fewer than otherwise. Above: as for
    /// [`Limits::channel_bytes_max`](crate::Limits::channel_bytes_max).
    pub waiting_bytes_max: Option<usize>,
    /// Messages that one member may send in a second; 0 is without limit. Above, its session is read more
    /// slowly.
    pub messages_per_second_max: u64,
    /// Bytes that one member may send in a second; 0 is without limit. Above, its session is read more slowly.
    pub bytes_per_second_max: u64,
    /// Who may create such a channel. Others are refused with [`Reason::NotAllowed`].
    pub create: Who,
    /// Who may enter it. Others are refused with [`Reason::NotAllowed`].
    pub enter: Who,
    /// Who may do neither: refused with [`Reason::Banned`].
    pub blocked: Vec<Network>,
}

impl ChannelRule {
    /// A rule that forbids nothing.
    pub fn new(name: Pattern) -> Self {
        Self {
            name,
            members_max: None,
            message_bytes_max: None,
            waiting_bytes_max: None,
            messages_per_second_max: 0,
            bytes_per_second_max: 0,
            create: Who::default(),
            enter: Who::default(),
            blocked: Vec::new(),
        }
    }

    /// Whether a session may create a channel.
    ///
    /// # Errors
    /// The reason for the session, and the metric.
    pub(crate) fn may_create(&self, who: &Outbox) -> Result<(), (Reason, &'static str)> {
        self.check(who, &self.create, "channels.create")
    }

    /// Whether a session may enter a channel or room.
    ///
    /// # Errors
    /// The reason for the session, and the metric.
    pub(crate) fn may_enter(&self, who: &Outbox) -> Result<(), (Reason, &'static str)> {
        self.check(who, &self.enter, "channels.enter")
    }

    /// Counts what one member sends, if that is bounded.
    pub(crate) fn meter(&self, now: Instant) -> Option<Meter> {
        let Self { messages_per_second_max: messages, bytes_per_second_max: bytes, .. } = *self;
        (messages > 0 || bytes > 0).then(|| Meter::new(now, messages, bytes))
    }

    fn check(
        &self,
        who: &Outbox,
        allowed: &Who,
        metric: &'static str,
    ) -> Result<(), (Reason, &'static str)> {
        if who.address.is_some_and(|address| self.blocked.iter().any(|net| net.contains(address))) {
            return Err((Reason::Banned, "channels.blocked"));
        }
        let name = who.peer().and_then(|peer| peer.name.as_deref());
        if allowed.includes(name, who.address) { Ok(()) } else { Err((Reason::NotAllowed, metric)) }
    }
}

/// Some sessions: those with one of the names, and those that come from one of the networks. By default all.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Who {
    /// Names of sessions. Only where credentials decide about names they say who somebody is.
    pub names: Vec<Pattern>,
    /// Where sessions come from. Those from inside the program come from nowhere.
    pub networks: Vec<Network>,
}

impl Who {
    fn includes(&self, name: Option<&str>, address: Option<IpAddr>) -> bool {
        if self.names.is_empty() && self.networks.is_empty() {
            return true;
        }
        let names = Rule::Names(self.names.clone());
        name.is_some_and(|name| names.allows(name.as_bytes()))
            || address.is_some_and(|address| self.networks.iter().any(|net| net.contains(address)))
    }
}

/// Addresses that begin with the same bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Network {
    address: IpAddr,
    bits: u8,
}

impl Network {
    /// The network of an address. Bits behind those that count may be anything.
    ///
    /// # Errors
    /// [`NotNetwork`] if the address has fewer bits.
    pub fn new(address: IpAddr, bits: u8) -> Result<Self, NotNetwork> {
        if bits > whole(address) {
            return Err(NotNetwork);
        }
        Ok(Self { address, bits })
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

/// A text is no address, and no network such as `10.0.0.0/8`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("this is no address, and no network such as 10.0.0.0/8 or 2001:db8::/32")]
pub struct NotNetwork;

#[cfg(test)]
mod tests {
    use super::*;

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
        for wrong in ["", "10.0.0.0/33", "::/129", "10.0.0/8", "host", "10.0.0.0/", "10.0.0.0/-1"] {
            assert_eq!(wrong.parse::<Network>(), Err(NotNetwork), "{wrong}");
        }
    }

    #[test]
    fn who_fits_one_of_the_names_or_networks_is_included() {
        let who = Who {
            names: vec![Pattern::new("score-*")],
            networks: vec!["10.0.0.0/8".parse().unwrap()],
        };
        let (near, far) = (Some("10.1.1.1".parse().unwrap()), Some("11.1.1.1".parse().unwrap()));
        assert!(who.includes(Some("score-1"), far) && who.includes(None, near));
        assert!(!who.includes(Some("other"), far) && !who.includes(None, None));
        assert!(Who::default().includes(None, None));
    }
}
