//! How a server is reached: by TCP, with or without TLS inside.

use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};
use std::sync::Arc;

use crosspoint_net::tls::client::{ClientTls, HandshakeError};
use rustls::client::Resumption;
use rustls::pki_types::ServerName;
use rustls::{ClientConfig, ClientConnection};
use socket2::{Domain, Protocol, Socket, Type};

use crate::BenchError;
use crate::connection::Connection;
use crate::schedule::PATIENCE;

/// Connections to one server address that share a loopback source address. Linux has about 28,000
/// ports to give to each.
const PER_SOURCE_ADDRESS: usize = 20_000;

/// The segment size every host takes, in bytes (RFC 9293).
#[cfg(target_os = "linux")]
const SMALL_SEGMENT: u32 = 536;

/// How a connection is opened.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Options {
    /// Position among many connections: decides the source address.
    pub(crate) index: usize,
    /// The smallest buffers the system grants: when this end stops reading, the other end cannot
    /// write any more after a few dozen kilobytes.
    pub(crate) tiny_buffer: bool,
}

/// The way to a server. An address alone is one without TLS.
#[derive(Debug, Clone)]
pub struct Transport {
    address: SocketAddr,
    tls: Option<Tls>,
}

#[derive(Clone)]
struct Tls {
    config: Arc<ClientConfig>,
    name: ServerName<'static>,
}

impl From<SocketAddr> for Transport {
    fn from(address: SocketAddr) -> Transport {
        Transport { address, tls: None }
    }
}

impl Transport {
    /// TLS to the server at `address`, which has to have a certificate for `host`, a name or an
    /// address. Each connection goes through a whole handshake, as those of different programs do:
    /// none resumes the TLS session of another.
    ///
    /// # Errors
    ///
    /// [`BenchError::Plan`] if `host` is no name for TLS, or the certificates in `how` cannot be
    /// used.
    pub fn with_tls(
        address: SocketAddr,
        host: &str,
        how: &ClientTls,
    ) -> Result<Transport, BenchError> {
        let wrong = |why: String| BenchError::Plan(format!("TLS with {host}: {why}"));
        let name =
            ServerName::try_from(host.to_owned()).map_err(|error| wrong(error.to_string()))?;
        let mut config = how.config().map_err(|error| wrong(error.to_string()))?;
        config.resumption = Resumption::disabled();
        Ok(Transport { address, tls: Some(Tls { config: Arc::new(config), name }) })
    }

    pub(crate) fn address(&self) -> SocketAddr {
        self.address
    }

    /// A connection with time limits for what precedes a workload, after the handshake of TLS.
    pub(crate) fn connect(&self, options: Options) -> Result<Connection, BenchError> {
        let address = self.address;
        let socket =
            self.open(options).map_err(|source| BenchError::Connect { address, source })?;
        let Some(Tls { config, name }) = &self.tls else {
            return Ok(socket.into());
        };
        let tls = ClientConnection::new(config.clone(), name.clone()).map_err(HandshakeError::from);
        let shaken = tls.map_err(io::Error::from).and_then(|tls| Connection::shake(socket, tls));
        shaken.map_err(|error| BenchError::Tls {
            address,
            source: HandshakeError::in_handshake(error),
        })
    }

    fn open(&self, options: Options) -> io::Result<TcpStream> {
        let address = self.address;
        let socket = Socket::new(Domain::for_address(address), Type::STREAM, Some(Protocol::TCP))?;
        let group = options.index / PER_SOURCE_ADDRESS;
        if group > 0 && matches!(address.ip(), IpAddr::V4(ip) if ip.is_loopback()) {
            let host = group + 1;
            let source = Ipv4Addr::new(127, 0, (host >> 8) as u8, (host & 0xff) as u8);
            socket.bind(&SocketAddr::from((source, 0)).into())?;
        }
        if options.tiny_buffer {
            socket.set_recv_buffer_size(1)?;
            // The other side's send buffer grows with the size of a segment: on the loopback
            // interface to megabytes, which a short run would never fill.
            #[cfg(target_os = "linux")]
            socket.set_tcp_mss(SMALL_SEGMENT)?;
        }
        socket.connect_timeout(&address.into(), PATIENCE)?;
        socket.set_tcp_nodelay(true)?;
        let stream = TcpStream::from(socket);
        stream.set_read_timeout(Some(PATIENCE))?;
        stream.set_write_timeout(Some(PATIENCE))?;
        Ok(stream)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Tls").field(&self.name).finish()
    }
}
