//! What is known of an attempt to get in before it is checked.

use crosspoint_hub::networks::Prefixes;
use std::net::IpAddr;

/// Where a client comes from, as far as it shares its turns with others; `None` is the program
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(Option<IpAddr>);

impl Origin {
    pub(super) fn of(address: Option<IpAddr>, prefixes: Prefixes) -> Self {
        Self(address.map(|address| prefixes.holder(address)))
    }

    /// The first address of those that share turns with it.
    pub(super) fn address(self) -> Option<IpAddr> {
        self.0
    }

    /// The network that it belongs to.
    pub(super) fn widened(self, prefixes: Prefixes) -> Self {
        Self::of(self.0, prefixes)
    }

    #[cfg(test)]
    pub(super) fn new(address: Option<IpAddr>) -> Self {
        Self::of(address, Prefixes::default())
    }
}

/// A token that is to be checked, as far as it is told from others.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Attempt {
    pub(super) origin: Origin,
    /// A fingerprint of the name that is given, whether there is such a name or not.
    pub(super) name: u64,
    /// A fingerprint of the token.
    pub(super) token: u64,
}
