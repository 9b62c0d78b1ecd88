//! Where the hub listens, as it is written.

use std::fmt;
use std::net::Ipv6Addr;
use std::path::Path;

/// The scheme before an address that serves TLS alone.
const TLS: &str = "tls://";
/// What stands before the path of a Unix socket.
const UNIX: &str = "unix:";
/// The sockets that systemd passes. A colon and a name may follow.
const SYSTEMD: &str = "systemd";

/// An address to listen on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ListenAddress<'a> {
    /// Whether it serves TLS alone.
    pub(crate) tls: bool,
    /// The place without its scheme.
    pub(crate) at: ListenAt<'a>,
}

/// A place to listen at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ListenAt<'a> {
    /// HOST:PORT.
    Host(&'a str),
    /// A Unix socket with this path.
    Unix(&'a Path),
    /// The sockets with this name that systemd passes, or all that no other address takes.
    Systemd(Option<&'a str>),
}

impl<'a> ListenAddress<'a> {
    /// HOST:PORT, which serves all.
    pub(crate) fn host(host: &'a str) -> Self {
        Self { tls: false, at: ListenAt::Host(host) }
    }

    /// Reads an address.
    pub(crate) fn parse(text: &'a str) -> Option<Self> {
        let (tls, rest) = match text.strip_prefix(TLS) {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        let name = rest.strip_prefix(SYSTEMD).and_then(|name| name.strip_prefix(':'));
        let at = if let Some(path) = rest.strip_prefix(UNIX) {
            let is_path = !path.is_empty() && !path.contains('\0');
            is_path.then_some(ListenAt::Unix(Path::new(path)))
        } else if rest == SYSTEMD {
            Some(ListenAt::Systemd(None))
        } else if let Some(name) = name {
            is_socket_name(name).then_some(ListenAt::Systemd(Some(name)))
        } else {
            is_address(rest).then_some(ListenAt::Host(rest))
        };
        at.map(|at| Self { tls, at })
    }
}

impl fmt::Display for ListenAddress<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { TLS } else { "" })?;
        match self.at {
            ListenAt::Host(host) => f.write_str(host),
            ListenAt::Unix(path) => write!(f, "{UNIX}{}", path.display()),
            ListenAt::Systemd(None) => f.write_str(SYSTEMD),
            ListenAt::Systemd(Some(name)) => write!(f, "{SYSTEMD}:{name}"),
        }
    }
}

/// Whether systemd takes it as the name of a socket (`FileDescriptorName=`).
fn is_socket_name(name: &str) -> bool {
    (1..=255).contains(&name.len())
        && name.bytes().all(|byte| matches!(byte, b' '..=b'~' if byte != b':'))
}

/// Whether it is HOST:PORT.
pub(super) fn is_address(text: &str) -> bool {
    let Some((host, port)) = text.rsplit_once(':') else {
        return false;
    };
    let port_is_right =
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok();
    let host_is_right = match host.strip_prefix('[').and_then(|host| host.strip_suffix(']')) {
        Some(host) => host.parse::<Ipv6Addr>().is_ok(),
        None => {
            let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-._".contains(&byte);
            (1..=253).contains(&host.len()) && host.bytes().all(plain)
        }
    };
    port_is_right && host_is_right
}
