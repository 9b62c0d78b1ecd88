//! Connections to servers, plain or inside TLS: blocking, or read without waiting.

use std::cell::RefCell;
use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::{Shutdown, TcpStream};
use std::sync::{Mutex, MutexGuard, PoisonError, TryLockError};
use std::time::Duration;

use crosspoint_proto::identity::ChannelBinding;
use rustls::ClientConnection;
use socket2::SockRef;

use crate::schedule::READ_BYTES;
use crate::tls::Session;

/// A connection to a server. Reading and writing waits. Two threads may share it, if one of them
/// reads and the other writes.
#[derive(Debug)]
pub struct Connection {
    socket: TcpStream,
    tls: Option<Box<Tls>>,
}

#[derive(Debug)]
struct Tls {
    /// Held while something is computed, never while a thread waits for the socket.
    session: Mutex<Session>,
    /// What is being written. Held until the socket has taken it, so that records keep their order.
    outgoing: Mutex<Vec<u8>>,
}

thread_local! {
    /// What is read from a socket before it is decrypted.
    static SEALED: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES].into());
}

impl From<TcpStream> for Connection {
    /// Without TLS.
    fn from(socket: TcpStream) -> Connection {
        Connection { socket, tls: None }
    }
}

impl Connection {
    /// Goes through the handshake of TLS.
    pub(crate) fn shake(socket: TcpStream, tls: ClientConnection) -> io::Result<Connection> {
        let session = Mutex::new(Session::new(tls.into()));
        let tls = Tls { session, outgoing: Mutex::default() };
        loop {
            tls.flush(&socket)?;
            if !tls.session().is_handshaking() {
                return Ok(Connection { socket, tls: Some(Box::new(tls)) });
            }
            if tls.receive(&socket)? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// The longest that a read may wait; `None` for ever.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_read_timeout(&self, most: Option<Duration>) -> io::Result<()> {
        self.socket.set_read_timeout(most)
    }

    /// The longest that a write may wait; `None` for ever.
    ///
    /// # Errors
    ///
    /// The system's.
    pub fn set_write_timeout(&self, most: Option<Duration>) -> io::Result<()> {
        self.socket.set_write_timeout(most)
    }

    /// Ends it in both directions, and wakes who waits for it. TLS says nothing before.
    ///
    /// # Errors
    ///
    /// The system's, also if the other side has ended it.
    pub fn shutdown(&self) -> io::Result<()> {
        self.socket.shutdown(Shutdown::Both)
    }

    /// What a proof of a key is bound to.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        let tls = self.tls.as_ref();
        tls.map_or(ChannelBinding::None, |tls| tls.session().channel_binding())
    }

    /// Copies what will be read next, at least a byte unless it is the end. Nothing is taken.
    pub(crate) fn peek(&self, buffer: &mut [u8]) -> io::Result<usize> {
        match &self.tls {
            None => self.socket.peek(buffer),
            Some(tls) => tls.copy(&self.socket, buffer).map(|(count, _)| count),
        }
    }

    /// The socket, for one who does not want to read any more what is inside TLS.
    pub(crate) fn into_socket(self) -> TcpStream {
        self.socket
    }
}

impl Read for &Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let Some(tls) = &self.tls else {
            return (&self.socket).read(buffer);
        };
        let (count, mut session) = tls.copy(&self.socket, buffer)?;
        session.consume(count);
        Ok(count)
    }
}

impl Write for &Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match &self.tls {
            None => (&self.socket).write(bytes),
            Some(tls) => tls.write(&self.socket, bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Read for Connection {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        (&*self).read(buffer)
    }
}

impl Write for Connection {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        (&*self).write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Tls {
    fn session(&self) -> MutexGuard<'_, Session> {
        // A panic inside rustls leaves a connection that is broken for itself alone.
        self.session.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Copies the beginning of what can be read, and waits for it.
    fn copy(
        &self,
        socket: &TcpStream,
        buffer: &mut [u8],
    ) -> io::Result<(usize, MutexGuard<'_, Session>)> {
        loop {
            let session = self.session();
            let kept = session.kept();
            if !kept.is_empty() {
                let count = kept.len().min(buffer.len());
                buffer[..count].copy_from_slice(&kept[..count]);
                return Ok((count, session));
            }
            drop(session);
            if self.receive(socket)? == 0 {
                return Ok((0, self.session()));
            }
        }
    }

    /// Reads once from the socket, and keeps what that brings. Gives how many bytes it read.
    fn receive(&self, mut socket: &TcpStream) -> io::Result<usize> {
        SEALED.with_borrow_mut(|sealed| {
            let count = socket.read(sealed)?;
            let kept = self.session().keep(&sealed[..count]);
            let flushed = self.flush(socket);
            // What was wrong with TLS says more than that the other side was not told of it.
            kept.and(flushed).map(|()| count)
        })
    }

    fn write(&self, mut socket: &TcpStream, bytes: &[u8]) -> io::Result<usize> {
        let mut outgoing = self.outgoing.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = self.session().seal(bytes, &mut outgoing)?;
        let written = socket.write_all(&outgoing);
        outgoing.clear();
        written.map(|()| taken)
    }

    /// Writes what TLS has to say. While another thread writes, it goes with its next bytes.
    fn flush(&self, mut socket: &TcpStream) -> io::Result<()> {
        let mut outgoing = match self.outgoing.try_lock() {
            Ok(outgoing) => outgoing,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return Ok(()),
        };
        self.session().seal(&[], &mut outgoing)?;
        let written = socket.write_all(&outgoing);
        outgoing.clear();
        written
    }
}

/// A connection that is read without waiting, behind a poll.
#[derive(Debug)]
pub(crate) struct Receiver {
    socket: mio::net::TcpStream,
    tls: Option<Box<Opener>>,
}

#[derive(Debug)]
struct Opener {
    session: Session,
    /// What the socket has not taken yet.
    outgoing: Vec<u8>,
}

/// What a read has found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Found {
    /// All that there was.
    All,
    /// As much as fits; there may be more.
    More,
    /// The end of the connection.
    End,
}

impl Found {
    fn of(count: usize, most: usize) -> Found {
        match count {
            0 => Found::End,
            count if count < most => Found::All,
            _ => Found::More,
        }
    }
}

impl Receiver {
    pub(crate) fn new(connection: Connection) -> io::Result<Receiver> {
        let Connection { socket, tls } = connection;
        socket.set_nonblocking(true)?;
        let socket = mio::net::TcpStream::from_std(socket);
        let tls = tls.map(|tls| {
            let session = tls.session.into_inner().unwrap_or_else(PoisonError::into_inner);
            Box::new(Opener { session, outgoing: Vec::new() })
        });
        Ok(Receiver { socket, tls })
    }

    /// What is polled.
    pub(crate) fn source(&mut self) -> &mut mio::net::TcpStream {
        &mut self.socket
    }

    /// Reads once, and calls `data` with what that brings: the bytes of the protocol.
    pub(crate) fn read(
        &mut self,
        buffer: &mut [u8],
        mut data: impl FnMut(&[u8]),
    ) -> io::Result<Found> {
        let Receiver { socket, tls } = self;
        let Some(Opener { session, .. }) = tls.as_deref_mut() else {
            let count = socket.read(buffer)?;
            data(&buffer[..count]);
            return Ok(Found::of(count, buffer.len()));
        };
        let kept = session.kept();
        if !kept.is_empty() {
            data(kept);
            session.consume(session.kept().len());
        }
        let count = socket.read(buffer)?;
        session.open(&buffer[..count], data)?;
        Ok(Found::of(count, buffer.len()))
    }

    /// As [`Receiver::read`] without TLS, with flags for the system. `None` inside TLS, where
    /// nothing is read.
    pub(crate) fn receive(
        &self,
        buffer: &mut [MaybeUninit<u8>],
        flags: i32,
    ) -> Option<io::Result<(usize, Found)>> {
        if self.tls.is_some() {
            return None;
        }
        let received = SockRef::from(&self.socket).recv_with_flags(buffer, flags);
        Some(received.map(|count| (count, Found::of(count, buffer.len()))))
    }

    /// Writes these bytes, unless the ones before are still on their way. Gives whether they were
    /// written to the end, if they were begun.
    pub(crate) fn write_if_free(&mut self, bytes: &[u8]) -> io::Result<bool> {
        let Receiver { socket, tls } = self;
        let written = match tls.as_deref_mut() {
            None => socket.write(bytes).map(|count| count == bytes.len()),
            Some(Opener { session, outgoing }) => {
                if outgoing.is_empty() {
                    session.seal(bytes, outgoing)?;
                }
                socket.write(outgoing).map(|count| {
                    outgoing.drain(..count);
                    true
                })
            }
        };
        match written {
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => Ok(true),
            other => other,
        }
    }
}
