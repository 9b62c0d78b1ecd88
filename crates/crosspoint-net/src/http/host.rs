//! Under which name a client has found this server.

use axum::http::header::HOST;
use axum::http::uri::Authority;
use axum::http::{HeaderMap, HeaderValue};
use std::net::{IpAddr, Ipv6Addr};

/// The host of an authority, such as the value of `Host` or an origin behind its scheme. The port is checked, and of no
/// matter.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Host<'a>(&'a str);

impl<'a> Host<'a> {
    /// `None`: nobody is called so. There are names and addresses, no users, and a port is a number of digits.
    pub fn parse(authority: &'a str) -> Option<Self> {
        let end = match authority.strip_prefix('[') {
            Some(rest) => rest.find(']')? + 2,
            None => authority.find(':').unwrap_or(authority.len()),
        };
        let (host, port) = authority.split_at(end);
        if let Some(digits) = port.strip_prefix(':') {
            let is_port = digits.bytes().all(|byte| byte.is_ascii_digit());
            // RFC 3986 has ports without digits.
            if !is_port || !digits.is_empty() && digits.parse::<u16>().is_err() {
                return None;
            }
        } else if !port.is_empty() {
            return None;
        }
        match literal(host) {
            Some(literal) => literal.parse::<Ipv6Addr>().ok().map(|_| Self(host)),
            None => {
                let host = host.strip_suffix('.').unwrap_or(host);
                host.split('.').all(is_label).then_some(Self(host))
            }
        }
    }

    /// The name, or the address as authorities have it, without a dot at its end.
    pub fn name(self) -> &'a str {
        self.0
    }

    /// Its address, if it is one.
    pub fn address(self) -> Option<IpAddr> {
        literal(self.0).unwrap_or(self.0).parse().ok()
    }

    /// Whether it is always the machine that asks, whatever a name server says: an address of the loopback, or a name
    /// that is never asked for (RFC 6761, section 6.3).
    pub fn is_loopback(self) -> bool {
        let ends_in_localhost = || {
            let last = self.0.rsplit('.').next();
            last.is_some_and(|last| last.eq_ignore_ascii_case("localhost"))
        };
        self.address().map_or_else(ends_in_localhost, |address| address.is_loopback())
    }
}

/// What is between brackets.
fn literal(host: &str) -> Option<&str> {
    host.strip_prefix('[')?.strip_suffix(']')
}

fn is_label(label: &str) -> bool {
    let fits = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
    !label.is_empty() && label.bytes().all(fits)
}

/// Has `Host` say for which host a request is: a target with an authority says so, whatever `Host` says (RFC 9112,
/// section 3.2.2). Everybody who decides by the host looks at `Host` alone.
pub(super) fn settle_host(headers: &mut HeaderMap, of_target: Option<&Authority>) {
    if let Some(authority) = of_target {
        // A target has no other bytes than such a value may have.
        let host = HeaderValue::from_str(authority.as_str());
        headers.insert(HOST, host.unwrap_or(const { HeaderValue::from_static("") }));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use axum::http::Uri;

    #[test]
    fn a_host_is_a_name_or_an_address_with_or_without_a_port() {
        for (authority, name, is_loopback) in [
            ("game.example", "game.example", false),
            ("game.example.:80", "game.example", false),
            ("my_hub:", "my_hub", false),
            ("192.0.2.1:65535", "192.0.2.1", false),
            ("[2001:db8::1]:80", "[2001:db8::1]", false),
            ("127.0.0.1", "127.0.0.1", true),
            ("127.1.2.3:1", "127.1.2.3", true),
            ("[::1]:7680", "[::1]", true),
            ("LocalHost.:80", "LocalHost", true),
            ("a.b.localhost", "a.b.localhost", true),
            ("localhost.evil.example", "localhost.evil.example", false),
            ("127.1", "127.1", false),
            ("0.0.0.0", "0.0.0.0", false),
            ("[::2]", "[::2]", false),
        ] {
            let host = Host::parse(authority).unwrap();
            assert_eq!((host.name(), host.is_loopback()), (name, is_loopback), "{authority}");
        }
    }

    #[test]
    fn what_is_no_host_is_none() {
        for authority in [
            "",
            ".",
            ":80",
            "localhost:+80",
            "localhost:-1",
            "localhost: 80",
            "localhost:65536",
            "localhost:port",
            "127.0.0.1:7680:80",
            "evil.example:7680@127.0.0.1",
            "evil@localhost",
            "localhost/",
            "local host",
            ".localhost",
            "a..localhost",
            "localhost..",
            "::1",
            "[::1",
            "[::1]x",
            "[::1]:+80",
            "[127.0.0.1]",
            "[::1%25eth0]",
            "[]",
        ] {
            assert_eq!(Host::parse(authority), None, "{authority}");
        }
    }

    #[test]
    fn a_target_with_an_authority_is_for_that() {
        for (target, host) in [
            ("/page?http://evil.example/", "localhost"),
            ("*", "localhost"),
            ("http://evil.example:80/page", "evil.example:80"),
            ("http://a@evil.example/", "a@evil.example"),
            ("evil.example:443", "evil.example:443"),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(HOST, HeaderValue::from_static("localhost"));
            settle_host(&mut headers, target.parse::<Uri>().unwrap().authority());
            assert_eq!(headers[HOST], host, "{target}");
            assert_eq!(headers.len(), 1);
        }
    }
}
