//! Where a server is.

use super::ConnectError;
use crosspoint_net::client::Endpoint;
use crosspoint_net::tls::client::ClientTls;
use std::fmt;
use std::str::FromStr;

/// Where a server is. It is read from `http://HOST:PORT`, `https://HOST:PORT`, and the same with `ws` and `wss`. Without a
/// port it is 80, or 443 with TLS. A path is the namespace, as in the original. A hub inside the program is at
/// [`Server::inside`](crate::Server::inside).
///
/// ```
/// use crosspoint::socketio::client::Address;
/// let address: Address = "https://example.org/admin".parse()?;
/// assert_eq!(address.to_string(), "https://example.org:443/admin");
/// # Ok::<(), crosspoint::socketio::client::ConnectError>(())
/// ```
#[derive(Debug, Clone)]
pub struct Address {
    pub(super) endpoint: Endpoint,
    /// Name or address, and port.
    pub(super) authority: String,
    /// The namespace, if one is named.
    pub(super) namespace: Option<String>,
}

impl Address {
    /// The same, with TLS spoken like this where it is spoken.
    pub(super) fn with_tls(self, tls: ClientTls) -> Self {
        Self { endpoint: self.endpoint.with_tls(tls), ..self }
    }
}

impl FromStr for Address {
    type Err = ConnectError;

    fn from_str(text: &str) -> Result<Self, ConnectError> {
        let wrong = || ConnectError::Address(text.to_owned());
        let (scheme, rest) = text.split_once("://").ok_or_else(wrong)?;
        let (is_tls, port) = match scheme {
            "http" | "ws" => (false, 80),
            "https" | "wss" => (true, 443),
            _ => return Err(wrong()),
        };
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        let is_graphic = |text: &str| text.bytes().all(|byte| byte.is_ascii_graphic());
        if authority.is_empty()
            || !is_graphic(authority)
            || authority.contains(['@', '?', '#', '\\'])
            || path.contains(['?', '#'])
        {
            return Err(wrong());
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        let is_bare = !authority.contains(':') || authority.ends_with(']');
        let authority = match (has_port, is_bare) {
            (true, _) => authority.to_owned(),
            (false, true) => format!("{authority}:{port}"),
            (false, false) => return Err(wrong()),
        };
        let tls = is_tls.then(ClientTls::default);
        let namespace = (path.len() > 1).then(|| path.to_owned());
        let endpoint = Endpoint::Tcp { authority: authority.clone(), tls };
        Ok(Self { endpoint, authority, namespace })
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = match &self.endpoint {
            Endpoint::Memory { .. } => return f.write_str("memory"),
            endpoint if endpoint.has_tls() => "https",
            _ => "http",
        };
        let namespace = self.namespace.as_deref().unwrap_or_default();
        write!(f, "{scheme}://{}{namespace}", self.authority)
    }
}

impl TryFrom<&str> for Address {
    type Error = ConnectError;

    fn try_from(text: &str) -> Result<Self, ConnectError> {
        text.parse()
    }
}

impl TryFrom<&String> for Address {
    type Error = ConnectError;

    fn try_from(text: &String) -> Result<Self, ConnectError> {
        text.parse()
    }
}

impl TryFrom<String> for Address {
    type Error = ConnectError;

    fn try_from(text: String) -> Result<Self, ConnectError> {
        text.parse()
    }
}

impl TryFrom<crate::Address> for Address {
    type Error = ConnectError;

    /// The way to a hub, over which Socket.IO is spoken.
    fn try_from(address: crate::Address) -> Result<Self, ConnectError> {
        let authority = match &address.endpoint {
            Endpoint::Tcp { authority, .. } | Endpoint::WebSocket { authority, .. } => {
                authority.clone()
            }
            Endpoint::Memory { .. } => "memory".to_owned(),
            Endpoint::Unix { .. } => return Err(ConnectError::Address(address.to_string())),
        };
        let endpoint = match address.endpoint {
            Endpoint::WebSocket { authority, tls, .. } => Endpoint::Tcp { authority, tls },
            other => other,
        };
        Ok(Self { endpoint, authority, namespace: None })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_names_the_server_and_perhaps_a_namespace() {
        for (text, shown) in [
            ("http://localhost", "http://localhost:80"),
            ("ws://[::1]:9/", "http://[::1]:9"),
            ("wss://h/a/b", "https://h:443/a/b"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().to_string(), shown);
        }
        for wrong in [
            "",
            "localhost",
            "tcp://h",
            "http://",
            "http://a b",
            "http://h:port",
            "http://u@h",
            "http://h/?x",
            "http:///x",
            "http://h\r\n",
        ] {
            let error = wrong.parse::<Address>().unwrap_err();
            assert!(error.to_string().contains(wrong), "{error}");
        }
    }
}
