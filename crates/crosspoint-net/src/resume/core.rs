//! The numbering of a resumable session, without connections, clocks and tasks.
//!
//! Both sides have the same: what is [`Sending`] keeps bytes until they are acknowledged, what is
//! [`Receiving`] acknowledges them when they were handed on. A connection more or less changes
//! nothing in that; [`Flow::attach`] begins at the border between what the other side has and
//! what it has not.

use super::frames::FrameCounter;
use super::pieces::Pieces;
use super::receipt::Totals;
use super::record::{DATA_BYTES_MAX, Record, put_data};
use bytes::Bytes;
use crosspoint_hub::Endpoint;
use crosspoint_hub::protocol::Activity;
use crosspoint_hub::stall::Stall;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_proto::heartbeat::Heartbeat;
use std::time::{Duration, Instant};

/// Bytes after which an acknowledgement is sent, unless a smaller window wants it earlier.
const ACK_BYTES: u64 = 32 * 1024;

/// The longest time that an acknowledgement is put off.
const ACK_MAX: Duration = Duration::from_millis(200);

/// Unanswered probes after which a connection is lost.
pub(crate) const MISSED_MAX: u32 = 2;

/// The longest time until a connection on which nothing moves is known to be lost.
pub(crate) fn silence_max(heartbeat: Duration) -> Duration {
    heartbeat * (MISSED_MAX + 1)
}

/// What the other side did that cannot be.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(crate) enum Violation {
    /// Bytes are missing in front of what arrived.
    #[error("bytes are missing before a DATA or CLOSED record")]
    Gap,
    /// More is under way than was agreed.
    #[error("more is under way without an acknowledgement than was agreed")]
    Overrun,
    /// An offset that was never sent, or was given up before.
    #[error("an offset lies outside of what was sent and not acknowledged")]
    Offset,
    /// Something after the end.
    #[error("data after the end")]
    AfterEnd,
    /// A record that the other side must not send here.
    #[error("a record in the wrong place")]
    Unexpected,
}

/// What is sent, until the other side has it.
#[derive(Debug)]
pub(crate) struct Sending {
    /// From `acknowledged` on.
    kept: Pieces,
    acknowledged: u64,
    /// What goes next on this connection.
    next: u64,
    /// The highest `next` there ever was.
    furthest: u64,
    /// Bytes that may be under way.
    window: u64,
    frames: FrameCounter,
    /// Bytes that were sent when it was too late, and are not kept.
    late: u64,
    end: End,
    /// The other side acknowledges nothing.
    stall: Stall,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum End {
    Open,
    Finished,
    /// Finished, and said so on this connection.
    Told,
}

impl Sending {
    fn new(window: u32, magic_bytes: usize) -> Self {
        Self {
            kept: Pieces::default(),
            acknowledged: 0,
            next: 0,
            furthest: 0,
            window: window.into(),
            frames: FrameCounter::new(magic_bytes),
            late: 0,
            end: End::Open,
            stall: Stall::default(),
        }
    }

    /// So many bytes were acknowledged just now. What the other side has to have of the rest is measured as
    /// for an outbox.
    fn took(&mut self, now: Instant, bytes: usize) {
        let kept = self.kept.len();
        let enough = usize::try_from(self.window).unwrap_or(usize::MAX) / Endpoint::TAKEN_SHARE;
        match kept {
            0 => self.stall.end(),
            _ => self.stall.took(now, bytes, || kept.min(enough)),
        }
    }

    fn sent(&self) -> u64 {
        self.acknowledged + self.kept.len() as u64
    }

    fn acknowledge(&mut self, now: Instant, offset: u64) -> Result<(), Violation> {
        if offset < self.acknowledged || offset > self.furthest {
            return Err(Violation::Offset);
        }
        // What is kept is in memory, so its length is a usize.
        let count = usize::try_from(offset - self.acknowledged).map_err(|_| Violation::Offset)?;
        self.kept.advance(count);
        self.took(now, count);
        self.acknowledged = offset;
        self.next = self.next.max(offset);
        Ok(())
    }

    /// Writes what may go, about `limit` bytes of it. Gives whether anything was written.
    fn transmit(&mut self, limit: usize, out: &mut FrameWriter) -> bool {
        let until = self.sent().min(self.acknowledged + self.window);
        let mut room = until.saturating_sub(self.next).min(limit as u64);
        let wrote = room > 0;
        let skip = usize::try_from(self.next - self.acknowledged).unwrap_or(usize::MAX);
        if wrote {
            'pieces: for mut piece in self.kept.behind(skip) {
                while !piece.is_empty() {
                    let most = usize::try_from(room).unwrap_or(usize::MAX).min(DATA_BYTES_MAX);
                    if most == 0 {
                        break 'pieces;
                    }
                    let bytes = piece.split_to(most.min(piece.len()));
                    put_data(self.next as u32, &bytes, out);
                    self.next += bytes.len() as u64;
                    room -= bytes.len() as u64;
                }
            }
            self.furthest = self.furthest.max(self.next);
        }
        if self.end == End::Finished && self.next == self.sent() {
            Record::Closed(self.next).put(out);
            self.end = End::Told;
            return true;
        }
        wrote
    }
}

/// What is received, until it was handed on.
#[derive(Debug)]
pub(crate) struct Receiving {
    waiting: Pieces,
    handed_on: u64,
    /// The last acknowledgement.
    told: u64,
    window: u64,
    frames: FrameCounter,
    ended: bool,
}

impl Receiving {
    fn new(window: u32, magic_bytes: usize) -> Self {
        Self {
            waiting: Pieces::default(),
            handed_on: 0,
            told: 0,
            window: window.into(),
            frames: FrameCounter::new(magic_bytes),
            ended: false,
        }
    }

    fn received(&self) -> u64 {
        self.handed_on + self.waiting.len() as u64
    }

    fn data(&mut self, offset: u32, mut bytes: Bytes) -> Result<(), Violation> {
        let received = self.received();
        // The window is far below 2^31, so the low bits tell which of two numbers is larger.
        let known = (received as u32).wrapping_sub(offset);
        if known > u32::MAX / 2 {
            return Err(Violation::Gap);
        }
        let known = usize::try_from(known).unwrap_or(usize::MAX).min(bytes.len());
        let _ = bytes.split_to(known);
        if bytes.is_empty() {
            return Ok(());
        }
        if self.ended {
            return Err(Violation::AfterEnd);
        }
        if self.waiting.len() as u64 + bytes.len() as u64 > self.window {
            return Err(Violation::Overrun);
        }
        self.waiting.push(bytes);
        Ok(())
    }
}

/// Both directions of a session at one side.
#[derive(Debug)]
pub(crate) struct Flow {
    sending: Sending,
    receiving: Receiving,
    heartbeat: Heartbeat,
    interval: Duration,
    read_at: Instant,
    ack_at: Option<Instant>,
    /// A probe to be sent, and an answer to one. The latest of each is enough.
    ping: Option<u64>,
    pong: Option<u64>,
    /// A round trip that nobody has asked for yet.
    measured: Option<Duration>,
}

/// What both sides have agreed on, or one of them wants.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Agreed {
    /// Bytes that may be under way in either direction.
    pub(crate) window: u32,
    /// After how much silence a probe is sent.
    pub(crate) heartbeat: Duration,
}

/// Which side this is. The client's direction begins with the magic bytes of the native protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Client,
    Hub,
}

impl Flow {
    pub(crate) fn new(now: Instant, side: Side, agreed: Agreed) -> Self {
        let magic = crosspoint_proto::frame::MAGIC.len();
        let (out, back) = if side == Side::Client { (magic, 0) } else { (0, magic) };
        Self {
            sending: Sending::new(agreed.window, out),
            receiving: Receiving::new(agreed.window, back),
            heartbeat: Heartbeat::new(agreed.heartbeat, MISSED_MAX),
            interval: agreed.heartbeat,
            read_at: now,
            ack_at: None,
            ping: None,
            pong: None,
            measured: None,
        }
    }

    /// What was sent, and what was received and handed on.
    pub(crate) fn totals(&self) -> (Totals, Totals) {
        let Self { sending, receiving, .. } = self;
        let sent = sending.sent() + sending.late;
        let sent = Totals { bytes: sent, frames: sending.frames.begun() };
        (sent, Totals { bytes: receiving.handed_on, frames: receiving.frames.whole() })
    }

    /// Up to where the other side has everything, as far as it has told.
    pub(crate) fn acknowledged(&self) -> u64 {
        self.sending.acknowledged
    }

    /// The memory of what is kept until it has arrived or was handed on.
    pub(crate) fn held(&self) -> usize {
        self.sending.kept.cost() + self.receiving.waiting.cost()
    }

    /// Whether as much is kept as may be, so that no more can be taken.
    pub(crate) fn is_full(&self) -> bool {
        self.sending.kept.len() as u64 >= self.sending.window
    }

    /// Takes bytes to be sent.
    pub(crate) fn send(&mut self, now: Instant, bytes: Bytes) {
        self.sending.frames.pass(&bytes);
        let waited = !self.sending.kept.is_empty();
        self.sending.kept.push(bytes);
        if !waited {
            self.sending.took(now, 0);
        }
    }

    /// The other side will get nothing more. What is kept is dropped, and counts as sent.
    pub(crate) fn give_up(&mut self) {
        let Self { sending, receiving, .. } = self;
        sending.late += sending.kept.len() as u64;
        sending.kept.clear();
        receiving.waiting.clear();
    }

    /// Whether the other side says something, and has acknowledged nothing, or next to nothing, for that long.
    pub(crate) fn has_stalled(&self, most: Duration) -> bool {
        self.sending.stall.since().is_some_and(|since| self.read_at >= since + most)
    }

    /// Counts bytes that will not be sent any more.
    pub(crate) fn count(&mut self, bytes: &[u8]) {
        self.sending.frames.pass(bytes);
        self.sending.late += bytes.len() as u64;
    }

    /// There is nothing more to be sent.
    pub(crate) fn finish(&mut self) {
        if self.sending.end == End::Open {
            self.sending.end = End::Finished;
        }
    }

    /// Whether this side has finished, and the other has all of it.
    pub(crate) fn is_settled(&self) -> bool {
        self.sending.end != End::Open && self.sending.kept.is_empty()
    }

    /// As [`Flow::is_settled`], and the other side was told the end on this connection.
    pub(crate) fn is_told(&self) -> bool {
        self.sending.end == End::Told && self.sending.kept.is_empty()
    }

    /// Whether the other side has finished, all of it was handed on, and it knows that.
    pub(crate) fn is_over(&self) -> bool {
        self.is_drained() && self.receiving.told == self.receiving.handed_on
    }

    /// Whether the other side has finished, and all of it was handed on.
    pub(crate) fn is_drained(&self) -> bool {
        self.receiving.ended && self.receiving.waiting.is_empty()
    }

    /// Received bytes to be handed on, from the front.
    pub(crate) fn arrived(&self) -> impl Iterator<Item = &Bytes> {
        self.receiving.waiting.iter()
    }

    /// Whether there are received bytes to be handed on.
    pub(crate) fn has_arrived(&self) -> bool {
        !self.receiving.waiting.is_empty()
    }

    /// So many of the received bytes were handed on.
    pub(crate) fn handed_on(&mut self, now: Instant, count: usize) {
        let receiving = &mut self.receiving;
        let mut left = count;
        for piece in receiving.waiting.iter() {
            let passed = left.min(piece.len());
            receiving.frames.pass(&piece[..passed]);
            left -= passed;
            if left == 0 {
                break;
            }
        }
        let count = count - left;
        receiving.waiting.advance(count);
        receiving.handed_on += count as u64;
        if count > 0 {
            self.ack_at.get_or_insert(now + ACK_MAX);
        }
    }

    /// Whether a connection can be attached whose other side has received so much and sent so
    /// much.
    pub(crate) fn fits(&self, received: u64, sent: u64) -> bool {
        let Self { sending, receiving, .. } = self;
        (sending.acknowledged..=sending.furthest).contains(&received) && sent >= receiving.handed_on
    }

    /// Goes on over a new connection. The other side has received so much, and was told that this
    /// side has `told`.
    ///
    /// # Errors
    /// [`Violation::Offset`] if [`Flow::fits`] does not hold; nothing has changed.
    pub(crate) fn attach(
        &mut self,
        now: Instant,
        received: u64,
        told: u64,
    ) -> Result<(), Violation> {
        self.sending.acknowledge(now, received)?;
        // It cannot acknowledge what a dead connection does not bring.
        self.sending.stall.excuse(self.read_at, now);
        self.sending.next = received;
        if self.sending.end == End::Told {
            self.sending.end = End::Finished;
        }
        // What was not handed on comes again.
        self.receiving.waiting.clear();
        self.receiving.told = told;
        self.receiving.ended = false;
        self.heartbeat = Heartbeat::new(self.interval, MISSED_MAX);
        self.read_at = now;
        self.ack_at = (told < self.receiving.handed_on).then_some(now);
        (self.ping, self.pong) = (None, None);
        Ok(())
    }

    /// After how much silence of a connection it sends a probe.
    pub(crate) fn interval(&self) -> Duration {
        self.interval
    }

    /// The round trip, if one was measured since this was called last.
    pub(crate) fn measured(&mut self) -> Option<Duration> {
        self.measured.take()
    }

    /// Something has arrived on the connection.
    pub(crate) fn heard(&mut self, now: Instant) {
        self.read_at = now;
    }

    /// Takes a record.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn receive(&mut self, now: Instant, record: Record) -> Result<(), Violation> {
        match record {
            Record::Data { offset, bytes } => self.receiving.data(offset, bytes),
            Record::Ack(offset) => self.sending.acknowledge(now, offset),
            Record::Ping(token) => {
                self.pong = Some(token);
                Ok(())
            }
            Record::Pong(token) => {
                self.measured = self.heartbeat.answered(now, token).or(self.measured);
                Ok(())
            }
            Record::Closed(offset) if offset == self.receiving.received() => {
                self.receiving.ended = true;
                Ok(())
            }
            Record::Closed(_) => Err(Violation::Gap),
            Record::Open(_) | Record::Accepted(_) | Record::Gone(_) | Record::Refused(_) => {
                Err(Violation::Unexpected)
            }
        }
    }

    /// Writes what is to be said, data of about `limit` bytes at most. Gives whether anything was.
    pub(crate) fn fill(&mut self, now: Instant, limit: usize, out: &mut FrameWriter) -> bool {
        let mut wrote = false;
        let mut put = |record: Record| {
            record.put(out);
            wrote = true;
        };
        if let Some(token) = self.pong.take() {
            put(Record::Pong(token));
        }
        if let Some(token) = self.ping.take() {
            put(Record::Ping(token));
        }
        let receiving = &mut self.receiving;
        let untold = receiving.handed_on - receiving.told;
        let enough = ACK_BYTES.min(receiving.window / 4).max(1);
        let due = self.ack_at.is_some_and(|at| at <= now);
        let last = receiving.ended && receiving.waiting.is_empty();
        if untold >= enough || untold > 0 && (due || last) {
            put(Record::Ack(receiving.handed_on));
            receiving.told = receiving.handed_on;
            self.ack_at = None;
        }
        self.sending.transmit(limit, out) || wrote
    }

    /// When to call [`Flow::tick`], and then [`Flow::fill`] if there is room for it.
    pub(crate) fn deadline(&self, room: bool) -> Option<Instant> {
        let heartbeat = self.heartbeat.deadline(self.activity());
        [self.ack_at.filter(|_| room), heartbeat].into_iter().flatten().min()
    }

    /// Time has passed. Gives whether the connection is still believed in.
    pub(crate) fn tick(&mut self, now: Instant) -> bool {
        match self.heartbeat.tick(now, self.activity()) {
            Ok(token) => {
                self.ping = token.or(self.ping);
                true
            }
            Err(_lost) => false,
        }
    }

    fn activity(&self) -> Activity {
        Activity { read: self.read_at, written: None }
    }
}

#[cfg(test)]
mod tests;
