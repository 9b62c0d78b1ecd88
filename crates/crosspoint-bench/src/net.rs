//! Connecting, and the blocking conversation that precedes a workload.

use std::io::{self, Read, Write};
use std::net::{IpAddr, Ipv4Addr, SocketAddr, TcpStream};

use socket2::{Domain, Protocol, Socket, Type};

use crate::BenchError;
use crate::schedule::PATIENCE;

/// No greeting line of any protocol is longer than this.
const LONGEST_LINE: usize = 64 * 1024;

/// Connections to one server address that share a loopback source address. Linux has about 28,000
/// ports to give to each.
const PER_SOURCE_ADDRESS: usize = 20_000;

/// Raises the limit of open files of this process (and of those it starts later) as far as the
/// system allows without privileges. Returns the limit.
///
/// # Errors
///
/// [`BenchError::System`] if the system refuses.
pub fn raise_file_limit() -> Result<u64, BenchError> {
    rlimit::increase_nofile_limit(u64::MAX).map_err(BenchError::system("raising the file limit"))
}

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

/// A connection during its handshake: blocking, with a time limit.
pub(crate) struct Link {
    stream: TcpStream,
    dialect: &'static str,
}

impl Link {
    pub(crate) fn connect(
        dialect: &'static str,
        address: SocketAddr,
        options: Options,
    ) -> Result<Link, BenchError> {
        let stream =
            open(address, options).map_err(|source| BenchError::Connect { address, source })?;
        Ok(Link { stream, dialect })
    }

    pub(crate) fn send(&mut self, doing: &'static str, bytes: &[u8]) -> Result<(), BenchError> {
        self.stream.write_all(bytes).map_err(|source| self.failed(doing, source))
    }

    pub(crate) fn receive<const N: usize>(
        &mut self,
        doing: &'static str,
    ) -> Result<[u8; N], BenchError> {
        let mut bytes = [0; N];
        self.receive_into(doing, &mut bytes)?;
        Ok(bytes)
    }

    pub(crate) fn receive_into(
        &mut self,
        doing: &'static str,
        bytes: &mut [u8],
    ) -> Result<(), BenchError> {
        self.stream.read_exact(bytes).map_err(|source| self.failed(doing, source))
    }

    /// Reads exactly the expected answer, or fails with what came instead.
    pub(crate) fn expect(&mut self, doing: &'static str, answer: &[u8]) -> Result<(), BenchError> {
        let mut seen = vec![0; answer.len()];
        let mut filled = 0;
        while filled < answer.len() {
            match self.stream.read(&mut seen[filled..]) {
                Ok(0) => return Err(self.failed(doing, io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => filled += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed(doing, source)),
            }
            if seen[..filled] != answer[..filled] {
                return Err(self.refused(doing, &seen[..filled]));
            }
        }
        Ok(())
    }

    /// Reads up to and including the next line feed; nothing after it is consumed.
    pub(crate) fn line(&mut self, doing: &'static str) -> Result<Vec<u8>, BenchError> {
        let mut line = Vec::new();
        let mut seen = [0; 1024];
        while line.len() < LONGEST_LINE {
            let count = self.stream.peek(&mut seen).map_err(|source| self.failed(doing, source))?;
            let end = seen[..count].iter().position(|&byte| byte == b'\n');
            let taken = end.map_or(count, |end| end + 1);
            if taken == 0 {
                return Err(self.failed(doing, io::ErrorKind::UnexpectedEof.into()));
            }
            self.stream
                .read_exact(&mut seen[..taken])
                .map_err(|source| self.failed(doing, source))?;
            line.extend_from_slice(&seen[..taken]);
            if end.is_some() {
                return Ok(line);
            }
        }
        Err(self.refused(doing, &line))
    }

    pub(crate) fn refused(&self, doing: &'static str, answer: &[u8]) -> BenchError {
        let shown = &answer[..answer.len().min(100)];
        BenchError::Refused {
            dialect: self.dialect,
            doing,
            answer: shown.escape_ascii().to_string(),
        }
    }

    /// The connection for the workload: blocking, without a time limit.
    pub(crate) fn ready(self) -> Result<TcpStream, BenchError> {
        let plain = |stream: &TcpStream| {
            stream.set_read_timeout(None)?;
            stream.set_write_timeout(None)
        };
        plain(&self.stream).map_err(|source| self.failed("ending the handshake", source))?;
        Ok(self.stream)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> BenchError {
        BenchError::Io { dialect: self.dialect, doing, source }
    }
}

fn open(address: SocketAddr, options: Options) -> io::Result<TcpStream> {
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
