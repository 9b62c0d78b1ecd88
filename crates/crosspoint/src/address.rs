//! Where a hub is, and what is spoken to it.

use crosspoint_net::client::{Endpoint, NoEndpoint};
use std::fmt;
use std::str::FromStr;

/// What a node speaks to its hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Protocol {
    /// The protocol of this hub, with everything it offers.
    Native,
    /// The joint protocol of peote, for a peote-server. It has no kick, ban, password, rooms or
    /// replies to calls, and tells nobody's peer id.
    Peote,
}

/// Where a hub is, and what is spoken to it. It is read from
///
/// * `tcp://HOST:PORT`, or only `HOST`: the native protocol over TCP
/// * `ws://HOST:PORT/PATH`: the native protocol over WebSocket
/// * `tls://HOST:PORT` and `wss://HOST:PORT/PATH`: the same inside TLS. Whom that trusts is said by
///   [`NodeBuilder::trust`](crate::NodeBuilder::trust)
/// * `unix:PATH`: the native protocol over a socket of the file system
/// * `peote://HOST:PORT` and `peote+ws://HOST:PORT/PATH`: the joint protocol, as a Haxe program
///   speaks it
///
/// Without a port it is 7680. A hub inside the program is at [`Server::inside`](crate::Server::inside).
///
/// ```
/// use crosspoint::{Address, Protocol};
/// let address: Address = "peote://localhost".parse()?;
/// assert_eq!(address.protocol, Protocol::Peote);
/// assert_eq!(address.to_string(), "peote://localhost:7680");
/// # Ok::<(), crosspoint::NoAddress>(())
/// ```
#[derive(Debug, Clone)]
pub struct Address {
    /// What is spoken.
    pub protocol: Protocol,
    /// The way there.
    pub endpoint: Endpoint,
}

/// A text that is no address of a hub. `Debug` shows the same text as `Display`.
#[derive(Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no address of a hub; write tcp://HOST:PORT, ws://HOST:PORT/PATH, peote://HOST:PORT or peote+ws://HOST:PORT/PATH; inside TLS, tls:// and wss:// in the place of tcp:// and ws://; for a socket of the file system, unix:PATH"
)]
pub struct NoAddress(String);

impl fmt::Debug for NoAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl Address {
    /// The same place, spoken to as a peote program does.
    #[must_use]
    pub fn peote(self) -> Self {
        Self { protocol: Protocol::Peote, ..self }
    }
}

impl FromStr for Address {
    type Err = NoAddress;

    fn from_str(text: &str) -> Result<Self, NoAddress> {
        let (protocol, way) = if let Some(rest) = text.strip_prefix("peote://") {
            (Protocol::Peote, format!("tcp://{rest}"))
        } else if let Some(rest) = text.strip_prefix("peote+") {
            (Protocol::Peote, rest.to_owned())
        } else {
            (Protocol::Native, text.to_owned())
        };
        let endpoint = way.parse().map_err(|NoEndpoint { .. }| NoAddress(text.to_owned()))?;
        Ok(Self { protocol, endpoint })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.protocol, &self.endpoint) {
            (Protocol::Native, endpoint) => endpoint.fmt(f),
            (Protocol::Peote, Endpoint::Tcp { authority, tls: None }) => {
                write!(f, "peote://{authority}")
            }
            (Protocol::Peote, endpoint) => write!(f, "peote+{endpoint}"),
        }
    }
}

impl TryFrom<&str> for Address {
    type Error = NoAddress;

    fn try_from(text: &str) -> Result<Self, NoAddress> {
        text.parse()
    }
}

impl TryFrom<&String> for Address {
    type Error = NoAddress;

    fn try_from(text: &String) -> Result<Self, NoAddress> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = NoAddress;

    fn try_from(text: String) -> Result<Self, NoAddress> {
        text.parse()
    }
}

impl From<&Address> for Address {
    fn from(address: &Address) -> Self {
        address.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_scheme_tells_transport_and_protocol() {
        for (text, protocol, shown) in [
            ("example.org", Protocol::Native, "tcp://example.org:7680"),
            ("tcp://[::1]:9", Protocol::Native, "tcp://[::1]:9"),
            ("ws://h/x", Protocol::Native, "ws://h:7680/x"),
            ("peote://h", Protocol::Peote, "peote://h:7680"),
            ("peote+ws://h:1", Protocol::Peote, "peote+ws://h:1/"),
            ("peote+tcp://h:1", Protocol::Peote, "peote://h:1"),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.protocol, &*address.to_string()), (protocol, shown));
        }
        for wrong in ["", "peote://", "peote+http://h", "http://h", "a b", "h:port"] {
            let error = wrong.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains(&format!("`{wrong}`")), "{error}");
        }
    }
}
