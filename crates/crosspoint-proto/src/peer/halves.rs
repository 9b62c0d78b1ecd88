//! The two directions of one stream.

use super::body::varint_bytes;
use super::sizes::{BYTES_MAX, WINDOW_MAX};
use super::stream_id::StreamId;
use crate::frame::put_varint;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;

/// Received pieces below this size are copied together, up to this size. A piece that is kept as it came
/// pins the whole buffer that it was read into, and the other side can fill the rest of that with what
/// nobody keeps. A sender that has much to send fills its messages, which are not copied.
const KEPT_BYTES_MIN: usize = BYTES_MAX;

/// What goes out. Bytes are put into bodies of BYTES when they are written, and only as far as
/// the window allows, so that whatever is here may be sent.
#[derive(Debug)]
pub(super) struct Sender {
    stream: StreamId,
    bodies: VecDeque<Vec<u8>>,
    /// Bytes in the bodies, without headers.
    unsent: usize,
    /// How many more the other side takes.
    window: u32,
    end: End,
    /// The application wanted to write more than it could.
    blocked: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    /// The application writes no more.
    Finished,
    /// END was sent.
    Sent,
}

/// What a stream sends next.
#[derive(Debug)]
pub(super) enum Piece {
    /// The body of a BYTES.
    Bytes(Bytes),
    End,
}

impl Sender {
    pub(super) fn new(stream: StreamId, window: u32) -> Self {
        let bodies = VecDeque::new();
        Self { stream, bodies, unsent: 0, window, end: End::Open, blocked: false }
    }

    /// Takes as much as window and buffer have room for.
    pub(super) fn write(&mut self, mut bytes: &[u8], buffer_bytes_max: usize) -> usize {
        let room = buffer_bytes_max.saturating_sub(self.unsent).min(self.window as usize);
        self.blocked = bytes.len() > room;
        bytes = &bytes[..bytes.len().min(room)];
        let written = bytes.len();
        let header = varint_bytes(self.stream.0);
        if let Some(last) = self.bodies.back_mut() {
            let more = bytes.len().min(header + BYTES_MAX - last.len());
            last.extend_from_slice(&bytes[..more]);
            bytes = &bytes[more..];
        }
        for piece in bytes.chunks(BYTES_MAX) {
            let mut body = Vec::with_capacity(header + piece.len());
            put_varint(self.stream.0, &mut body);
            body.extend_from_slice(piece);
            self.bodies.push_back(body);
        }
        self.unsent += written;
        self.window -= u32::try_from(written).expect("not above the window");
        written
    }

    pub(super) fn finish(&mut self) {
        self.end = End::Finished;
        self.blocked = false;
    }

    pub(super) fn is_finished(&self) -> bool {
        self.end != End::Open
    }

    /// END was sent.
    pub(super) fn is_over(&self) -> bool {
        self.end == End::Sent
    }

    pub(super) fn has_something(&self) -> bool {
        !self.bodies.is_empty() || self.end == End::Finished
    }

    pub(super) fn unsent(&self) -> usize {
        self.unsent
    }

    pub(super) fn next(&mut self) -> Option<Piece> {
        if let Some(body) = self.bodies.pop_front() {
            self.unsent -= body.len() - varint_bytes(self.stream.0);
            return Some(Piece::Bytes(body.into()));
        }
        if self.end != End::Finished {
            return None;
        }
        self.end = End::Sent;
        Some(Piece::End)
    }

    /// Enlarges the window. Whether it stays below the largest.
    #[must_use]
    pub(super) fn enlarge(&mut self, more: u32) -> bool {
        // What is not sent yet is a part of the window to the other side.
        let window = u64::from(self.window) + u64::from(more);
        let fits = window + self.unsent as u64 <= u64::from(WINDOW_MAX);
        if fits {
            self.window += more;
        }
        fits
    }

    /// Whether an application that was blocked can go on; says so once. There is room for half of
    /// the buffer then, so that a writer does not wake for each message that leaves.
    pub(super) fn unblocks(&mut self, buffer_bytes_max: usize) -> bool {
        let unblocks = self.blocked && self.window > 0 && self.unsent <= buffer_bytes_max / 2;
        self.blocked &= !unblocks;
        unblocks
    }
}

/// What comes in. Memory: bytes that are not read are at most the window; they need at most a few
/// times that, for pieces from [`KEPT_BYTES_MIN`] on keep what they were cut from.
#[derive(Debug)]
pub(super) struct Receiver {
    pieces: VecDeque<Unread>,
    /// Bytes in the pieces.
    unread: u32,
    /// How many more the other side may send. With `unread` and `read` it is the window that this
    /// side gives.
    allowed: u32,
    /// How many were read since credit was last given.
    read: u32,
    window: u32,
    ended: bool,
}

#[derive(Debug)]
enum Unread {
    Kept(Bytes),
    Gathered(BytesMut),
}

impl Unread {
    fn freeze(self) -> Bytes {
        match self {
            Self::Kept(bytes) => bytes,
            Self::Gathered(bytes) => bytes.freeze(),
        }
    }
}

/// What [`Machine::read`](super::Machine::read) finds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Read {
    /// The next bytes, at least one.
    Bytes(Bytes),
    /// Nothing yet: [`Event::Readable`](super::Event::Readable) or
    /// [`Event::Ended`](super::Event::Ended) says when to read again.
    Pending,
    /// Everything was read, and the other side sends no more.
    End,
}

impl Receiver {
    pub(super) fn new(window: u32) -> Self {
        let pieces = VecDeque::new();
        Self { pieces, unread: 0, allowed: window, read: 0, window, ended: false }
    }

    /// How many bytes may come.
    pub(super) fn allowed(&self) -> u32 {
        self.allowed
    }

    pub(super) fn unread(&self) -> u32 {
        self.unread
    }

    pub(super) fn is_ended(&self) -> bool {
        self.ended
    }

    /// The other side sends no more.
    pub(super) fn end(&mut self) {
        self.ended = true;
    }

    /// Takes bytes, not more than are allowed. Whether these are the first to be read.
    pub(super) fn receive(&mut self, bytes: Bytes) -> bool {
        let first = self.unread == 0 && !bytes.is_empty();
        let count = u32::try_from(bytes.len()).expect("not above what is allowed");
        self.allowed -= count;
        self.unread += count;
        if bytes.len() >= KEPT_BYTES_MIN {
            self.pieces.push_back(Unread::Kept(bytes));
        } else if !bytes.is_empty() {
            match self.pieces.back_mut() {
                Some(Unread::Gathered(last)) if last.len() + bytes.len() <= KEPT_BYTES_MIN => {
                    last.extend_from_slice(&bytes);
                }
                _ => self.pieces.push_back(Unread::Gathered(BytesMut::from(&bytes[..]))),
            }
        }
        first
    }

    /// Reads at most `most` bytes, at least one, and says how much credit to give for that.
    pub(super) fn read(&mut self, most: usize) -> (Read, Option<u32>) {
        let Some(first) = self.pieces.pop_front() else {
            return (if self.ended { Read::End } else { Read::Pending }, None);
        };
        let mut bytes = first.freeze();
        if bytes.len() > most.max(1) {
            let rest = bytes.split_off(most.max(1));
            self.pieces.push_front(Unread::Kept(rest));
        }
        let count = u32::try_from(bytes.len()).expect("not above the window");
        self.unread -= count;
        self.read += count;
        let gives = !self.ended && self.read >= self.window.div_ceil(2);
        let credit = gives.then(|| std::mem::take(&mut self.read));
        self.allowed += credit.unwrap_or(0);
        (Read::Bytes(bytes), credit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_slow_drip_pins_no_buffers_and_large_pieces_are_not_copied() {
        let mut receiver = Receiver::new(40_000);
        let buffer = Bytes::from(vec![7; 64 * 1024]);
        for at in 0..20_000 {
            let first = receiver.receive(buffer.slice(at..at + 1));
            assert_eq!(first, at == 0);
        }
        assert!(buffer.is_unique(), "small pieces are copied");
        assert_eq!(receiver.pieces.len(), 2, "and together");
        assert_eq!((receiver.unread(), receiver.allowed()), (20_000, 20_000));
        receiver.receive(buffer.slice(5..5 + KEPT_BYTES_MIN));
        let (read, credit) = receiver.read(usize::MAX);
        assert_eq!((read, credit), (Read::Bytes(vec![7; KEPT_BYTES_MIN].into()), None));
        let (_, credit) = receiver.read(usize::MAX);
        assert_eq!(credit, Some(20_000), "half of the window was read");
        let (Read::Bytes(large), _) = receiver.read(usize::MAX) else {
            panic!("the large piece is there");
        };
        assert_eq!(large.as_ptr(), buffer[5..].as_ptr());
        assert_eq!(receiver.allowed(), 40_000 - KEPT_BYTES_MIN as u32);
        assert_eq!(receiver.read(1), (Read::Pending, None));
    }

    #[test]
    fn a_full_window_of_pieces_pins_no_more_than_a_few_times_its_size() {
        const READ_BYTES: usize = 64 * 1024;
        let window = 256 * 1024;
        for piece in [500, 1024, 1025, 5000, KEPT_BYTES_MIN - 1, KEPT_BYTES_MIN, READ_BYTES] {
            let mut receiver = Receiver::new(window as u32);
            let mut pinned = 0;
            // Each piece comes in a read of its own, which is filled up with what may be skipped.
            for _ in 0..window / piece {
                let read = Bytes::from(vec![7; READ_BYTES]);
                receiver.receive(read.slice(..piece));
                pinned += if read.is_unique() { 0 } else { READ_BYTES };
            }
            assert!(pinned <= 4 * window, "{pinned} bytes by pieces of {piece}");
        }
    }

    #[test]
    fn small_writes_share_messages_and_large_ones_fill_them() {
        let mut sender = Sender::new(StreamId(300), 100_000);
        assert_eq!(sender.write(b"ab", 50_000), 2);
        assert_eq!(sender.write(b"c", 50_000), 1);
        assert_eq!(sender.write(&[9; 60_000], 50_000), 49_997);
        let Some(Piece::Bytes(body)) = sender.next() else {
            panic!("bytes are there");
        };
        assert_eq!(body.len(), 2 + BYTES_MAX);
        assert_eq!(body[..6], [0xac, 0x02, b'a', b'b', b'c', 9]);
        assert_eq!(sender.unsent(), 50_000 - BYTES_MAX);
        assert!(!sender.unblocks(50_000), "more than half of the buffer is full");
        assert!(sender.next().is_some());
        assert!(sender.unblocks(50_000));
        assert!(!sender.unblocks(50_000), "said once");
        sender.finish();
        let rest = std::iter::from_fn(|| sender.next()).collect::<Vec<_>>();
        assert!(matches!(rest[..], [Piece::Bytes(_), Piece::Bytes(_), Piece::End]));
    }

    #[test]
    fn a_window_never_grows_above_the_largest() {
        let mut sender = Sender::new(StreamId(0), WINDOW_MAX - 1);
        sender.write(b"abc", 100);
        assert!(!sender.enlarge(2), "what is not sent counts");
        assert!(sender.enlarge(1));
        assert!(!sender.enlarge(u32::MAX));
        assert!(sender.next().is_some());
        assert!(sender.enlarge(3));
        assert!(!sender.enlarge(1));
    }
}
