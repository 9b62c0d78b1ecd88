//! Reading many connections from one thread.

use std::io::{self, Read, Write};
use std::mem::MaybeUninit;
use std::time::Duration;

use mio::{Events, Interest, Poll, Token};

use crate::BenchError;
use crate::connection::{Connection, Found, Receiver};
use crate::dialect::{FILL, Fanout};
use crate::schedule::PATIENCE;
use crate::unframe::Unframer;

/// Reading ends of a fan-out behind one poll.
pub(crate) struct Receivers {
    poll: Poll,
    events: Events,
    receivers: Vec<Receiver>,
    /// Whether each was read once.
    begun: bool,
}

/// Connections looked after in one round of the poll.
const EVENTS: usize = 1024;

impl Receivers {
    pub(crate) fn new(connections: Vec<Connection>) -> Result<Receivers, BenchError> {
        let open = || {
            let poll = Poll::new()?;
            let mut receivers = Vec::with_capacity(connections.len());
            for (index, connection) in connections.into_iter().enumerate() {
                let mut receiver = Receiver::new(connection)?;
                let source = receiver.source();
                poll.registry().register(source, Token(index), Interest::READABLE)?;
                receivers.push(receiver);
            }
            Ok(Receivers { poll, events: Events::with_capacity(EVENTS), receivers, begun: false })
        };
        open().map_err(BenchError::system("polling the receivers"))
    }

    /// Writes a few bytes to each receiver whose last ones the server has taken: others would tell
    /// it nothing new.
    pub(crate) fn write_to_each(&mut self, bytes: &[u8]) -> Result<(), BenchError> {
        for (receiver, connection) in self.receivers.iter_mut().enumerate() {
            // Part of them would be the beginning of a frame without an end.
            if !matches!(connection.write_if_free(bytes), Ok(true)) {
                return Err(BenchError::Dropped { receiver });
            }
        }
        Ok(())
    }

    /// Waits for data, then lets `read` take it from each receiver that has some. `read` gets the
    /// receiver's index, and is called again as long as there may be more.
    pub(crate) fn sweep(
        &mut self,
        timeout: Duration,
        mut read: impl FnMut(usize, &mut Receiver) -> io::Result<Found>,
    ) -> Result<(), BenchError> {
        let mut empty = |receiver: usize, connection: &mut Receiver| loop {
            match read(receiver, connection) {
                Ok(Found::End) => return Err(BenchError::Dropped { receiver }),
                Ok(Found::All) => return Ok(()),
                Ok(Found::More) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(()),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => return Err(BenchError::Dropped { receiver }),
            }
        };
        if !self.begun {
            // No event tells of what was decrypted before.
            self.begun = true;
            let mut all = self.receivers.iter_mut().enumerate();
            all.try_for_each(|(index, receiver)| empty(index, receiver))?;
        }
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => return Ok(()),
            other => other.map_err(BenchError::system("polling the receivers"))?,
        }
        for event in &self.events {
            let Token(index) = event.token();
            empty(index, &mut self.receivers[index])?;
        }
        Ok(())
    }
}

/// Takes what has arrived without looking at it.
pub(crate) struct Discard {
    /// For what the system drops, or copies into it.
    unread: Vec<MaybeUninit<u8>>,
    flags: i32,
    /// For what has to be decrypted.
    sealed: Vec<u8>,
}

/// Copies into such a buffer stay in the processor's cache.
const COPIED_BYTES: usize = 256 << 10;

impl Discard {
    /// With `copy`, bytes go through memory. Without, they do so only where the system has no
    /// other way, and inside TLS.
    pub(crate) fn new(copy: bool) -> Discard {
        let (flags, capacity) = if copy || DROP == 0 { (0, COPIED_BYTES) } else { (DROP, 1 << 20) };
        let unread = vec![MaybeUninit::uninit(); capacity];
        Discard { unread, flags, sealed: vec![0; COPIED_BYTES] }
    }

    /// Reads once, and calls `took` with the number of bytes.
    pub(crate) fn read(
        &mut self,
        receiver: &mut Receiver,
        mut took: impl FnMut(usize),
    ) -> io::Result<Found> {
        match receiver.receive(&mut self.unread, self.flags) {
            Some(received) => {
                let (count, found) = received?;
                took(count);
                Ok(found)
            }
            None => receiver.read(&mut self.sealed, |data| took(data.len())),
        }
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
        source.write_all(&fanout.message.bytes).map_err(failed)?;
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
    mut stream: &Connection,
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
