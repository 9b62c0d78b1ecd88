//! Where a connection comes from.

use crate::stream::Stream;
use crosspoint_auth::Process;
use std::fmt;
use std::net::{IpAddr, SocketAddr};

/// Where a connection comes from, as far as limits, bans and logs go.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Remote {
    /// `None` on this machine. Port 0 is one that nobody has told.
    pub(crate) address: Option<SocketAddr>,
    /// The process at the other end of a socket of the file system.
    pub(crate) process: Option<Process>,
}

impl Remote {
    /// An address as the system tells it.
    pub(crate) fn new(address: Option<SocketAddr>) -> Self {
        let address = address.map(|at| SocketAddr::new(at.ip().to_canonical(), at.port()));
        Self { address, process: None }
    }

    /// Where a connection comes from.
    pub(crate) fn of(stream: &Stream) -> Self {
        Self { process: stream.process(), ..Self::new(stream.peer_address()) }
    }

    /// Whether it is an address of the network in which this machine was found `here`.
    #[cfg(feature = "http")]
    pub(crate) fn is_neighbour(self, here: Option<SocketAddr>) -> bool {
        use crosspoint_hub::networks::Prefixes;
        /// What is taken for one network: as much as a site or a customer usually has.
        const SITE: Prefixes = Prefixes { ipv4: 24, ipv6: 48 };
        let site = |at: SocketAddr| SITE.holder(at.ip());
        self.address.is_some() && self.address.map(site) == here.map(site)
    }

    /// The address without the port.
    pub(crate) fn ip(self) -> Option<IpAddr> {
        self.address.map(|address| address.ip())
    }
}

impl fmt::Display for Remote {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.address {
            None if let Some(process) = self.process => process.fmt(f),
            None => f.write_str("inside"),
            Some(address) if address.port() == 0 => address.ip().fmt(f),
            Some(address) => address.fmt(f),
        }
    }
}
