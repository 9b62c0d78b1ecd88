//! Reading many connections from one thread.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::net::TcpStream;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};
use socket2::SockRef;

use crate::BenchError;
use crate::dialect::{FILL, Fanout};
use crate::schedule::PATIENCE;
use crate::unframe::Unframer;

/// Reading ends of a fan-out behind one poll.
pub(crate) struct Receivers {
    poll: Poll,
    events: Events,
    streams: Vec<mio::net::TcpStream>,
}

/// Connections looked after in one round of the poll.
const EVENTS: usize = 1024;

impl Receivers {
    pub(crate) fn new(streams: Vec<TcpStream>) -> Result<Receivers, BenchError> {
        let open = || {
            let poll = Poll::new()?;
            let mut registered = Vec::with_capacity(streams.len());
            for (index, stream) in streams.into_iter().enumerate() {
                stream.set_nonblocking(true)?;
                let mut stream = mio::net::TcpStream::from_std(stream);
                poll.registry().register(&mut stream, Token(index), Interest::READABLE)?;
                registered.push(stream);
            }
            Ok(Receivers { poll, events: Events::with_capacity(EVENTS), streams: registered })
        };
        open().map_err(BenchError::system("polling the receivers"))
    }

    /// Writes a few bytes to each receiver.
    pub(crate) fn write_to_each(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        for (receiver, stream) in self.streams.iter_mut().enumerate() {
            match stream.write(bytes) {
                Ok(count) if count == bytes.len() => {}
                // The server has not taken the last ones yet: these would tell it nothing new.
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // Part of them would be the beginning of a frame without an end.
                Ok(_) | Err(_) => return Err(BenchError::Dropped { receiver }),
            }
        }
        Ok(())
    }

    /// Waits for data, then lets `read` take it from each receiver that has some. `read` gets the
    /// receiver's index; it returns the number of bytes, and is called again until it returns
    /// fewer than `capacity`.
    pub(crate) fn sweep(
        &mut self,
        timeout: Duration,
        capacity: usize,
        mut read: impl FnMut(usize, &mut mio::net::TcpStream) -> io::Result<usize>,
    ) -> Result<(), BenchError> {
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other.map_err(BenchError::system("polling the receivers"))?,
        }
        for event in &self.events {
            let Token(receiver) = event.token();
            loop {
                match read(receiver, &mut self.streams[receiver]) {
                    Ok(0) => return Err(BenchError::Dropped { receiver }),
                    Ok(count) if count < capacity => break,
                    Ok(_) => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(_) => return Err(BenchError::Dropped { receiver }),
                }
            }
        }
        Ok(())
    }
}

/// Takes what has arrived without looking at it.
pub(crate) struct Discard {
    buffer: Vec<MaybeUninit<u8>>,
    flags: i32,
}

impl Discard {
    /// With `copy`, bytes go through memory. Without, they do so only where the system has no
    /// other way.
    pub(crate) fn new(copy: bool) -> Discard {
        // Copies into a smaller buffer stay in the processor's cache.
        let (flags, capacity) = if copy || DROP == 0 { (0, 256 << 10) } else { (DROP, 1 << 20) };
        Discard { buffer: vec![MaybeUninit::uninit(); capacity], flags }
    }

    /// At most this much is taken at once.
    pub(crate) fn capacity(&self) -> usize {
        self.buffer.len()
    }

    /// Number of bytes taken; 0 at the end of the stream.
    pub(crate) fn read(&mut self, stream: &mio::net::TcpStream) -> io::Result<usize> {
        SockRef::from(stream).recv_with_flags(&mut self.buffer, self.flags)
    }
}

/// Makes TCP drop the bytes instead of copying them.
#[cfg(target_os = "linux")]
const DROP: i32 = libc::MSG_TRUNC;
#[cfg(not(target_os = "linux"))]
const DROP: i32 = 0;

/// Sends one message and reads it at every receiver that is to read, before anything is measured:
/// proves that the connections are set up and that the frames are what they are taken for.
pub(crate) fn prove(
    dialect: &'static str,
    fanout: &Fanout,
    payload: usize,
    readers: usize,
) -> Result<(), BenchError> {
    let failed = |source| BenchError::Io { dialect, doing: "the first broadcast", source };
    for mut source in &fanout.sources {
        io::Write::write_all(&mut source, &fanout.message.bytes).map_err(failed)?;
    }
    for stream in &fanout.receivers[..readers] {
        stream.set_read_timeout(Some(PATIENCE)).map_err(failed)?;
        let mut unframer = Unframer::new(fanout.framing.clone());
        read_one(dialect, stream, &mut unframer, payload, "the first broadcast")?;
    }
    Ok(())
}

/// Reads one message made of fill bytes, to the end of its frame.
pub(crate) fn read_one(
    dialect: &'static str,
    mut stream: &TcpStream,
    unframer: &mut Unframer,
    payload: usize,
    doing: &'static str,
) -> Result<(), BenchError> {
    let mut buffer = [0; 4096];
    let mut missing = payload;
    let mut foreign = 0;
    while missing > 0 || !unframer.between_frames() {
        let count = match stream.read(&mut buffer) {
            Ok(0) => Err(io::ErrorKind::UnexpectedEof.into()),
            other => other,
        };
        let count = count.map_err(|source| BenchError::Io { dialect, doing, source })?;
        unframer
            .feed(&buffer[..count], |data| {
                missing = missing.saturating_sub(data.len());
                foreign += data.iter().filter(|&&byte| byte != FILL).count();
            })
            .map_err(|reason| BenchError::OutOfStep { dialect, reason })?;
    }
    if foreign > 0 {
        return Err(BenchError::OutOfStep { dialect, reason: "not the data that was sent" });
    }
    Ok(())
}
