//! Where the hub listens: from addresses to sockets.

use crate::activation::Passed;
use crate::settings::{ListenAddress, ListenAt};
use crate::sockets::{Access, SocketFiles};
use crosspoint_net::server::{Listener, bind, bind_v6_only};
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpListener, UnixListener, lookup_host};

/// How often a port that the system has chosen for one address is tried for the others of its host.
const PORT_TRIES: u32 = 20;

/// A socket that listens.
pub(crate) struct Listening {
    pub(crate) listener: Listener,
    /// Whether it serves TLS alone.
    pub(crate) tls: bool,
    /// Whether systemd has opened it.
    passed: bool,
    /// Where it listens.
    at: At,
}

enum At {
    Tcp(SocketAddr),
    /// The path, or `@` and the name of an abstract socket.
    Unix(String),
}

impl Listening {
    fn new(listener: impl Into<Listener>, tls: bool, passed: bool) -> io::Result<Self> {
        let listener = listener.into();
        let at = match &listener {
            Listener::Tcp(socket) => At::Tcp(socket.local_addr()?),
            Listener::Unix(socket) => At::Unix(name(socket)?),
        };
        Ok(Self { listener, tls, passed, at })
    }

    /// Where it listens, if that is an address of TCP.
    pub(crate) fn address(&self) -> Option<SocketAddr> {
        match &self.at {
            At::Tcp(address) => Some(*address),
            At::Unix(_) => None,
        }
    }
}

/// The same port at an address at which this machine reaches itself.
pub(crate) fn local(address: SocketAddr) -> SocketAddr {
    SocketAddr::new(near(address.ip()), address.port())
}

/// An address at which this machine reaches itself.
fn near(address: IpAddr) -> IpAddr {
    match address {
        IpAddr::V4(v4) if v4.is_unspecified() => Ipv4Addr::LOCALHOST.into(),
        IpAddr::V6(v6) if v6.is_unspecified() => Ipv6Addr::LOCALHOST.into(),
        other => other,
    }
}

impl fmt::Display for Listening {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.tls { "tls://" } else { "" })?;
        match &self.at {
            At::Tcp(address) => write!(f, "{address}")?,
            At::Unix(name) => write!(f, "unix:{name}")?,
        }
        f.write_str(if self.passed { " (systemd)" } else { "" })
    }
}

fn name(socket: &UnixListener) -> io::Result<String> {
    let address = socket.local_addr()?;
    let path = address.as_pathname().map(|path| path.display().to_string());
    let abstract_name = || {
        let name = address.as_abstract_name()?;
        Some(format!("@{}", String::from_utf8_lossy(name)))
    };
    Ok(path.or_else(abstract_name).unwrap_or_default())
}

/// Opens a socket at each address, beside those that systemd has passed. The files of Unix sockets are there as long
/// as the second value.
pub(crate) async fn listen(
    addresses: &[ListenAddress<'_>],
    access: Access,
    passed: Vec<Passed>,
) -> Result<(Vec<Listening>, SocketFiles), String> {
    let mut listening = listen_on_hosts("--listen", addresses).await?;
    let mut files = SocketFiles::default();
    for address in addresses {
        let ListenAt::Unix(path) = address.at else { continue };
        let socket = files.open(path, access);
        let opened = socket.and_then(|socket| Listening::new(socket, address.tls, false));
        listening.push(opened.map_err(|error| {
            format!("cannot listen on {address}: {error}; choose another with --listen unix:PATH")
        })?);
    }
    for passed in passed {
        let tls = passed.tls;
        let opened = passed.into_listener().and_then(|socket| Listening::new(socket, tls, true));
        listening.push(opened.map_err(|error| {
            format!("cannot listen on a socket that systemd has passed: {error}")
        })?);
    }
    Ok((listening, files))
}

/// Opens a socket at each address of each of these that is a host. They are the value of this flag.
pub(crate) async fn listen_on_hosts(
    flag: &str,
    addresses: &[ListenAddress<'_>],
) -> Result<Vec<Listening>, String> {
    let wrong = |address: &ListenAddress<'_>, error: &io::Error| {
        format!("cannot listen on {address}: {error}; choose another with {flag} HOST:PORT")
    };
    let mut hosts = Vec::new();
    for address in addresses {
        let ListenAt::Host(host) = address.at else { continue };
        hosts.push((address, resolve(host).await.map_err(|error| wrong(address, &error))?));
    }
    // The ports that somebody wants for IPv4 are not taken for it by a socket at `[::]`.
    let ipv4 = hosts.iter().flat_map(|(_, host)| &host.addresses).filter(|at| at.is_ipv4());
    let ipv4 = ipv4.map(SocketAddr::port).filter(|port| *port != 0).collect::<Vec<_>>();
    let mut listening = Vec::new();
    for (address, host) in hosts {
        let open = |socket| Listening::new(socket, address.tls, false);
        let opened = host
            .open(&ipv4)
            .and_then(|sockets| sockets.into_iter().map(open).collect::<io::Result<Vec<_>>>());
        listening.extend(opened.map_err(|error| wrong(address, &error))?);
    }
    Ok(listening)
}

/// The addresses of one HOST:PORT.
struct Host {
    addresses: Vec<SocketAddr>,
    /// Whether one of them is enough: a machine may have only one family of addresses.
    any: bool,
}

async fn resolve(wanted: &str) -> io::Result<Host> {
    if let Some(port) = wanted.strip_prefix("localhost:").and_then(|port| port.parse().ok()) {
        let addresses =
            vec![(Ipv4Addr::LOCALHOST, port).into(), (Ipv6Addr::LOCALHOST, port).into()];
        return Ok(Host { addresses, any: true });
    }
    let mut addresses = Vec::new();
    for address in lookup_host(wanted).await? {
        if !addresses.contains(&address) {
            addresses.push(address);
        }
    }
    Ok(Host { addresses, any: false })
}

impl Host {
    /// Opens a socket at each address, all at the same port.
    fn open(&self, ipv4: &[u16]) -> io::Result<Vec<TcpListener>> {
        let mut tries = 0;
        loop {
            match self.try_open(ipv4) {
                // The port that was free for the first is taken for another.
                Err(error) if error.kind() == io::ErrorKind::AddrInUse && self.is_free() => {
                    tries += 1;
                    if tries == PORT_TRIES {
                        return Err(error);
                    }
                }
                result => return result,
            }
        }
    }

    /// Whether the system chooses the port.
    fn is_free(&self) -> bool {
        self.addresses.iter().all(|address| address.port() == 0)
    }

    fn try_open(&self, ipv4: &[u16]) -> io::Result<Vec<TcpListener>> {
        let mut listeners = Vec::<TcpListener>::new();
        let mut failed = None;
        for address in &self.addresses {
            let mut address = *address;
            if let (0, Some(first)) = (address.port(), listeners.first()) {
                address.set_port(first.local_addr()?.port());
            }
            let opened = match ipv4.contains(&address.port()) {
                true => bind_v6_only(address),
                false => bind(address),
            };
            match opened {
                Ok(listener) => listeners.push(listener),
                Err(error) if self.any && is_missing(&error) => failed = Some(error),
                Err(error) => return Err(error),
            }
        }
        match (listeners.is_empty(), failed) {
            (true, Some(error)) => Err(error),
            (true, None) => Err(io::Error::other("the name has no address")),
            (false, _) => Ok(listeners),
        }
    }
}

/// Whether the machine has no such address, or none of its family.
fn is_missing(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::AddrNotAvailable | io::ErrorKind::Unsupported)
}
