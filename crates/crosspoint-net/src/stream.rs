//! A connection of any transport, in two halves: the reader belongs to one task, the writer can
//! be used from any thread.

pub(crate) mod handover;
#[cfg(feature = "tls")]
pub(crate) mod tls;
#[cfg(not(feature = "tls"))]
#[path = "stream/no_tls.rs"]
pub(crate) mod tls;

use crate::memory;
use bytes::{Buf, Bytes};
use crosspoint_auth::{ClientCertificate, Process};
use crosspoint_hub::ledger::{Account, Purpose};
use crosspoint_hub::transport::{Carrier, Transport};
use crosspoint_proto::identity::ChannelBinding;
use handover::{Handover, MovingWriter};
use std::collections::VecDeque;
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::net::SocketAddr;
#[cfg(any(target_os = "linux", target_os = "android"))]
use std::os::fd::AsRawFd;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tls::{TlsReader, TlsWriter};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::net::TcpStream;
#[cfg(unix)]
use tokio::net::UnixStream;
use tokio::net::tcp::{OwnedReadHalf, OwnedWriteHalf};
#[cfg(unix)]
use tokio::net::unix;

/// Pieces in one system call.
const PIECES_MAX: usize = 64;

/// A connection that has just been made.
#[derive(Debug)]
pub enum Stream {
    /// Over TCP.
    Tcp(TcpStream),
    /// Over a socket of the file system.
    #[cfg(unix)]
    Unix(UnixStream),
    /// Inside the program.
    Memory(memory::End),
}

/// The half that reads.
#[derive(Debug)]
pub enum Reader {
    /// Over TCP.
    Tcp(OwnedReadHalf),
    /// Over a socket of the file system.
    #[cfg(unix)]
    Unix(unix::OwnedReadHalf),
    /// Inside the program.
    Memory(memory::ReadEnd),
    /// TLS over another one.
    Tls(TlsReader),
}

/// The half that writes.
#[derive(Debug)]
pub enum Writer {
    /// Over TCP.
    Tcp(OwnedWriteHalf),
    /// Over a socket of the file system.
    #[cfg(unix)]
    Unix(unix::OwnedWriteHalf),
    /// Inside the program.
    Memory(memory::WriteEnd),
    /// Inside the program, until the session changes its connection. Boxed, as that is rare.
    Moving(Box<MovingWriter>),
    /// TLS over another one.
    Tls(TlsWriter),
}

impl Stream {
    /// The other side's address; `None` inside the program and over a socket of the file system.
    pub fn peer_address(&self) -> Option<SocketAddr> {
        match self {
            Self::Tcp(stream) => stream.peer_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
            Self::Memory(_) => None,
        }
    }

    /// The process at the other end of a socket of the file system, if the system tells it.
    pub(crate) fn process(&self) -> Option<Process> {
        match self {
            #[cfg(unix)]
            Self::Unix(stream) => {
                let peer = stream.peer_cred().ok()?;
                Some(Process { user: peer.uid(), group: peer.gid(), id: peer.pid() })
            }
            Self::Tcp(_) | Self::Memory(_) => None,
        }
    }

    /// The two halves.
    pub fn into_split(self) -> (Reader, Writer) {
        match self {
            Self::Tcp(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Tcp(reader), Writer::Tcp(writer))
            }
            #[cfg(unix)]
            Self::Unix(stream) => {
                let (reader, writer) = stream.into_split();
                (Reader::Unix(reader), Writer::Unix(writer))
            }
            Self::Memory(end) => {
                let (reader, writer) = end.into_split();
                (Reader::Memory(reader), Writer::Memory(writer))
            }
        }
    }
}

#[cfg(unix)]
impl From<UnixStream> for Stream {
    fn from(stream: UnixStream) -> Self {
        Self::Unix(stream)
    }
}

impl From<TcpStream> for Stream {
    fn from(stream: TcpStream) -> Self {
        Self::Tcp(stream)
    }
}

impl From<memory::End> for Stream {
    fn from(end: memory::End) -> Self {
        Self::Memory(end)
    }
}

impl Reader {
    /// Reads what is there; nothing is read into the buffer at the end of the stream.
    ///
    /// # Errors
    /// The transport's.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self {
            Self::Tcp(reader) => Pin::new(reader).poll_read(cx, buffer),
            #[cfg(unix)]
            Self::Unix(reader) => Pin::new(reader).poll_read(cx, buffer),
            Self::Memory(reader) => Pin::new(reader).poll_read(cx, buffer),
            Self::Tls(reader) => reader.poll_read(cx, buffer),
        }
    }

    /// Waits until the other side will send nothing more, whatever has arrived and was not read. Over
    /// TCP the system has to tell that; where it cannot (elsewhere than on Linux), this waits for ever.
    pub(crate) async fn gone(&mut self) {
        match self {
            Self::Tcp(reader) => tcp_gone(reader.as_ref()).await,
            #[cfg(unix)]
            Self::Unix(reader) => unix_gone(reader.as_ref()).await,
            Self::Memory(reader) => reader.gone().await,
            Self::Tls(reader) => reader.gone().await,
        }
    }
}

/// The system tells of the end of the stream here even while there is more to read. Data out of turn,
/// of which it would tell as well, was not asked for.
#[cfg(any(target_os = "linux", target_os = "android"))]
async fn tcp_gone(stream: &TcpStream) {
    use tokio::io::Interest;
    if stream.ready(Interest::PRIORITY).await.is_ok_and(|ready| !ready.is_read_closed()) {
        std::future::pending().await
    }
}

#[cfg(all(feature = "http", any(target_os = "linux", target_os = "android")))]
async fn tcp_lost(stream: &TcpStream) {
    if stream.ready(tokio::io::Interest::ERROR).await.is_ok_and(|ready| !ready.is_error()) {
        std::future::pending().await
    }
}

#[cfg(all(feature = "http", not(any(target_os = "linux", target_os = "android"))))]
async fn tcp_lost(_: &TcpStream) {
    std::future::pending().await
}

#[cfg(all(unix, any(target_os = "linux", target_os = "android")))]
async fn unix_gone(stream: &UnixStream) {
    use tokio::io::Interest;
    if stream.ready(Interest::PRIORITY).await.is_ok_and(|ready| !ready.is_read_closed()) {
        std::future::pending().await
    }
}

#[cfg(all(unix, not(any(target_os = "linux", target_os = "android"))))]
async fn unix_gone(_: &UnixStream) {
    std::future::pending().await
}

/// Whether something can be read from a socket, or its end.
fn has_unread(socket: socket2::SockRef<'_>) -> bool {
    let mut byte = [std::mem::MaybeUninit::uninit()];
    let peeked = socket.peek(&mut byte);
    !peeked.is_err_and(|error| error.kind() == io::ErrorKind::WouldBlock)
}

/// The bytes that the other side's system has not acknowledged.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[allow(unsafe_code, reason = "no library that is kept has a safe call for it")]
fn undelivered_bytes(stream: &TcpStream) -> usize {
    let mut bytes: libc::c_int = 0;
    // SAFETY: the descriptor is open as long as the stream is borrowed, and the system writes one integer.
    let result = unsafe { libc::ioctl(stream.as_raw_fd(), libc::TIOCOUTQ, &raw mut bytes) };
    // A connection that is lost has nothing to deliver.
    if result == 0 { usize::try_from(bytes).unwrap_or(0) } else { 0 }
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
fn undelivered_bytes(_: &TcpStream) -> usize {
    0
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
async fn tcp_gone(_: &TcpStream) {
    std::future::pending().await
}

impl Writer {
    /// The connection at the bottom, which has no TLS.
    fn below(&self) -> &Self {
        let mut writer = self;
        while let Self::Tls(tls) = writer {
            writer = tls.below();
        }
        writer
    }

    /// Where the session changes its connection, if it may.
    pub(crate) fn handover(&self) -> Option<&Handover> {
        match self {
            Self::Moving(moving) => Some(moving.handover()),
            #[cfg(unix)]
            Self::Unix(_) => None,
            Self::Tcp(_) | Self::Memory(_) | Self::Tls(_) => None,
        }
    }

    /// What carries what is written here, and whether that is inside WebSocket frames.
    pub(crate) fn transport(&self, in_websocket: bool) -> Transport {
        if let Self::Moving(moving) = self
            && let Err(writer) = moving.present()
        {
            return writer.transport(in_websocket);
        }
        let carrier = match self.below() {
            // Its frames do not leave the program.
            Self::Moving(_) => Carrier::Polling,
            _ if in_websocket => Carrier::WebSocket,
            #[cfg(unix)]
            Self::Unix(_) => Carrier::Unix,
            Self::Tcp(_) => Carrier::Tcp,
            Self::Memory(_) | Self::Tls(_) => Carrier::Memory,
        };
        Transport { carrier, tls: matches!(self, Self::Tls(_)) }
    }

    /// What a proof over this connection is bound to.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        match self {
            Self::Tls(tls) => tls.channel_binding(),
            #[cfg(unix)]
            Self::Unix(_) => ChannelBinding::None,
            Self::Moving(_) => ChannelBinding::None,
            Self::Tcp(_) | Self::Memory(_) => ChannelBinding::None,
        }
    }

    /// The certificate of the client, if it has shown one over TLS.
    pub(crate) fn client_certificate(&self) -> Option<Arc<ClientCertificate>> {
        match self {
            Self::Tls(tls) => tls.client_certificate().map(Arc::new),
            #[cfg(unix)]
            Self::Unix(_) => None,
            Self::Moving(_) => None,
            Self::Tcp(_) | Self::Memory(_) => None,
        }
    }

    /// Has the memory of what is under way inside the program charged, in both directions. What the system has
    /// of a connection is not.
    pub(crate) fn charge(&self, account: &Arc<Account>, purpose: Purpose) {
        match self.below() {
            Self::Memory(writer) => writer.charge(account, purpose),
            #[cfg(unix)]
            Self::Unix(_) => {}
            // Charged by its far end.
            Self::Moving(_) => {}
            Self::Tcp(_) | Self::Tls(_) => {}
        }
    }

    /// Whether the system has taken something that the other side has not. Where it does not tell that
    /// (elsewhere than on Linux), and inside the program, it has not.
    pub(crate) fn has_undelivered(&self) -> bool {
        match self.below() {
            Self::Tcp(writer) => undelivered_bytes(writer.as_ref()) > 0,
            // What the system has taken is with the other process.
            #[cfg(unix)]
            Self::Unix(_) => false,
            Self::Moving(moving) => moving.present().is_err_and(Self::has_undelivered),
            Self::Memory(_) | Self::Tls(_) => false,
        }
    }

    /// Writes what can be written without waiting.
    ///
    /// # Errors
    /// [`io::ErrorKind::WouldBlock`] if that is nothing, and the transport's.
    pub fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        match self {
            Self::Tcp(writer) => writer.try_write_vectored(slices),
            #[cfg(unix)]
            Self::Unix(writer) => writer.try_write_vectored(slices),
            Self::Memory(writer) => writer.try_write_vectored(slices),
            Self::Moving(moving) => moving.try_write_vectored(slices),
            Self::Tls(writer) => writer.try_write_vectored(slices),
        }
    }

    /// Writes from the front of a queue of pieces, none of them empty, what can be written without
    /// waiting and in one call. Gives how much; 0 if that is nothing.
    ///
    /// # Errors
    /// The transport's.
    pub(crate) fn try_write_queue(&self, queue: &mut VecDeque<Bytes>) -> io::Result<usize> {
        let mut slices = [IoSlice::new(&[]); PIECES_MAX];
        let mut count = 0;
        for (slice, piece) in slices.iter_mut().zip(queue.iter()) {
            *slice = IoSlice::new(piece);
            count += 1;
        }
        let written = loop {
            match self.try_write_vectored(&slices[..count]) {
                Ok(0) if count > 0 => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => break written,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(0),
                Err(error) => return Err(error),
            }
        };
        let mut left = written;
        while let Some(piece) = queue.front_mut() {
            if left < piece.len() {
                piece.advance(left);
                break;
            }
            left -= piece.len();
            queue.pop_front();
        }
        Ok(written)
    }

    /// Waits until something can be written. In one task at a time: of several the latest alone is woken.
    ///
    /// # Errors
    /// The transport's.
    pub async fn writable(&self) -> io::Result<()> {
        // Each session has room for this future all its life, so it is small: a socket has a place for the
        // waker, and what waits inside the program is boxed.
        match self.below() {
            Self::Tcp(writer) => poll_fn(|cx| writer.as_ref().poll_write_ready(cx)).await,
            #[cfg(unix)]
            Self::Unix(writer) => poll_fn(|cx| writer.as_ref().poll_write_ready(cx)).await,
            Self::Memory(writer) => Box::pin(writer.writable()).await,
            Self::Moving(moving) => Box::pin(moving.writable()).await,
            Self::Tls(_) => Ok(()),
        }
    }

    /// Writes all of it.
    ///
    /// # Errors
    /// The transport's.
    pub async fn write_all(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.writable().await?;
            match self.try_write_vectored(&[IoSlice::new(bytes)]) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// The address at which the other side has found this one; `None` inside the program.
    pub(crate) fn local_address(&self) -> Option<SocketAddr> {
        match self.below() {
            Self::Tcp(writer) => writer.local_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
            Self::Moving(moving) => moving.present().err()?.local_address(),
            Self::Memory(_) | Self::Tls(_) => None,
        }
    }

    /// The other side's address; `None` inside the program and over a socket of the file system.
    #[cfg(feature = "http")]
    pub(crate) fn peer_address(&self) -> Option<SocketAddr> {
        match self.below() {
            Self::Tcp(writer) => writer.peer_addr().ok(),
            #[cfg(unix)]
            Self::Unix(_) => None,
            Self::Moving(moving) => moving.present().err()?.peer_address(),
            Self::Memory(_) | Self::Tls(_) => None,
        }
    }

    /// Whether something has come that was not read, or the end of the connection.
    pub(crate) fn unread(&self) -> bool {
        match self {
            Self::Tcp(writer) => {
                let stream: &TcpStream = writer.as_ref();
                has_unread(socket2::SockRef::from(stream))
            }
            #[cfg(unix)]
            Self::Unix(writer) => {
                let stream: &UnixStream = writer.as_ref();
                has_unread(socket2::SockRef::from(stream))
            }
            Self::Memory(writer) => writer.unread(),
            Self::Moving(moving) => {
                moving.present().map_or_else(Self::unread, memory::WriteEnd::unread)
            }
            Self::Tls(writer) => writer.unread(),
        }
    }

    /// As [`Reader::gone`]. It has to be awaited in the task that reads: inside the program one task alone is
    /// woken.
    #[cfg(feature = "http")]
    pub(crate) async fn gone(&self) {
        match self.below() {
            Self::Tcp(writer) => tcp_gone(writer.as_ref()).await,
            #[cfg(unix)]
            Self::Unix(writer) => unix_gone(writer.as_ref()).await,
            Self::Memory(writer) => writer.gone().await,
            // HTTP is not spoken there.
            Self::Moving(_) => {}
            Self::Tls(_) => {}
        }
    }

    /// Waits until the other side has refused what was written, as far as the system tells that before more is written.
    #[cfg(feature = "http")]
    pub(crate) async fn lost(&self) {
        match self.below() {
            Self::Tcp(writer) => tcp_lost(writer.as_ref()).await,
            _ => std::future::pending().await,
        }
    }

    /// Says that nothing more will be written. The other side may be gone already.
    pub fn shutdown(&self) {
        match self {
            Self::Tcp(writer) => {
                let stream: &TcpStream = writer.as_ref();
                // The only error is that there is no connection any more.
                let _ = socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write);
            }
            #[cfg(unix)]
            Self::Unix(writer) => {
                let stream: &UnixStream = writer.as_ref();
                let _ = socket2::SockRef::from(stream).shutdown(std::net::Shutdown::Write);
            }
            Self::Memory(writer) => writer.shutdown(),
            Self::Moving(moving) => moving.shutdown(),
            Self::Tls(writer) => writer.shutdown(),
        }
    }
}
