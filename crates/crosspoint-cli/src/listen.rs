//! Where the hub listens: from HOST:PORT to sockets.

use crate::settings::split_tls;
use crosspoint_net::server::{bind, bind_v6_only};
use std::io;
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr};
use tokio::net::{TcpListener, lookup_host};

/// How often a port that the system has chosen for one address is tried for the others of its host.
const PORT_TRIES: u32 = 20;

/// A socket, and whether it serves TLS alone.
pub(crate) struct Listening {
    pub(crate) socket: TcpListener,
    pub(crate) tls: bool,
}

/// Opens a socket at each address of each HOST:PORT or tls://HOST:PORT, of which the value of this flag is a list.
pub(crate) async fn listen(flag: &str, wanted: &[String]) -> Result<Vec<Listening>, String> {
    let wrong = |wanted: &str, error: &io::Error| {
        format!("cannot listen on {wanted}: {error}; choose another with {flag} HOST:PORT")
    };
    let mut hosts = Vec::new();
    for wanted in wanted {
        let found = resolve(split_tls(wanted).unwrap_or(wanted))
            .await
            .map_err(|error| wrong(wanted, &error))?;
        hosts.push((wanted, found));
    }
    // The ports that somebody wants for IPv4 are not taken for it by a socket at `[::]`.
    let ipv4 = hosts.iter().flat_map(|(_, host)| &host.addresses).filter(|at| at.is_ipv4());
    let ipv4 = ipv4.map(SocketAddr::port).filter(|port| *port != 0).collect::<Vec<_>>();
    let mut listeners = Vec::new();
    for (wanted, host) in hosts {
        let sockets = host.open(&ipv4).map_err(|error| wrong(wanted, &error))?;
        let tls = split_tls(wanted).is_some();
        listeners.extend(sockets.into_iter().map(|socket| Listening { socket, tls }));
    }
    Ok(listeners)
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
