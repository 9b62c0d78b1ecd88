//! One direction of an emulated link: pieces go in, and come out in order when they have arrived.

use std::collections::VecDeque;
use std::num::NonZeroU64;
use std::time::{Duration, Instant};

use bytes::Bytes;
use thiserror::Error;

/// Bytes a direction holds unless its [`Shape`] says otherwise.
pub const BUFFER_BYTES_DEFAULT: usize = 256 * 1024;

/// Pieces a direction holds, however small they are: bookkeeping is bounded as well as bytes.
pub const PIECES_MAX: usize = 8192;

/// Longest lag, jitter and transmission time of one piece; more is taken as this much (one year).
pub const DELAY_MAX: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// Lag of the peote emulation unless told otherwise, in milliseconds.
pub const PEOTE_NET_LAG_MS: u32 = 20;

/// Speed of the peote emulation unless told otherwise, in bytes per second.
pub const PEOTE_NET_SPEED: NonZeroU64 =
    NonZeroU64::new(1_048_576).expect("the constant is not zero");

const NANOS_PER_SECOND: u128 = 1_000_000_000;
const NANOS_PER_MILLI: u64 = 1_000_000;

/// How a direction of a link behaves. The default has no delay and holds
/// [`BUFFER_BYTES_DEFAULT`] bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shape {
    /// Time from the end of a piece's transmission to its arrival, at most [`DELAY_MAX`].
    pub lag: Duration,
    /// Each piece takes a further 0 up to and including this long, uniformly. A piece that drew
    /// little still waits for those before it. At most [`DELAY_MAX`].
    pub jitter: Duration,
    /// Speed at which pieces are transmitted, one after the other; `None` is infinitely fast.
    pub bytes_per_second: Option<NonZeroU64>,
    /// Where the jitter starts from: the same seed and pushes give the same arrivals.
    pub seed: u64,
    /// Lags add up instead of overlapping: a piece sets out when the one before has *arrived*, and
    /// lag plus transmission is rounded down to whole milliseconds. This is how peote emulates a
    /// network (peote joint protocol, section 10).
    pub accumulate: bool,
    /// Bytes held before the writer has to wait, in flight and arrived but unread. 0 counts as 1.
    pub buffer_bytes_max: usize,
    /// Pieces held before the writer has to wait, however small they are. 0 counts as 1, and more than
    /// [`PIECES_MAX`] as that.
    pub pieces_max: usize,
}

impl Default for Shape {
    fn default() -> Self {
        Self {
            lag: Duration::ZERO,
            jitter: Duration::ZERO,
            bytes_per_second: None,
            seed: 0,
            accumulate: false,
            buffer_bytes_max: BUFFER_BYTES_DEFAULT,
            pieces_max: PIECES_MAX,
        }
    }
}

impl Shape {
    /// The emulation of the peote library (peote joint protocol, section 10):
    /// `max(0, previous delay − ms since previous send) + floor(lag + 1000·bytes/speed)`.
    ///
    /// `net_lag_ms` is in milliseconds, `net_speed` in bytes per second; the library's own values
    /// are [`PEOTE_NET_LAG_MS`] and [`PEOTE_NET_SPEED`].
    pub fn peote(net_lag_ms: u32, net_speed: NonZeroU64) -> Self {
        Self {
            lag: Duration::from_millis(u64::from(net_lag_ms)),
            bytes_per_second: Some(net_speed),
            accumulate: true,
            ..Self::default()
        }
    }
}

/// Why a piece was not taken.
#[derive(Clone, Debug, PartialEq, Eq, Error)]
pub enum PushError {
    /// There is no room for the whole piece.
    #[error(
        "a piece of {length} bytes does not fit in the {free} bytes the link has free: \
         push less, or wait until some have been taken out"
    )]
    Full {
        /// Length of the refused piece.
        length: usize,
        /// What [`Shaper::free`] says.
        free: usize,
    },
    /// [`Shaper::finish`] came before.
    #[error("the link has been finished and takes no more bytes: open another one")]
    Finished,
}

/// One direction of a link as a pure state machine. It keeps order and loses nothing.
///
/// A piece is transmitted once those before it have been, at the rate of the [`Shape`]; it arrives
/// the lag and the jitter later, and never before the one pushed before it.
#[derive(Debug)]
pub struct Shaper {
    shape: Shape,
    random: Random,
    pieces: VecDeque<Piece>,
    held_bytes: usize,
    /// End of the latest transmission.
    sent_until: Option<Instant>,
    /// What rounding to nanoseconds cut off `sent_until`, in nanoseconds times the rate: carried
    /// on, so that a long run has exactly the rate.
    carry: u64,
    last_arrival: Option<Instant>,
    finished: bool,
}

#[derive(Debug)]
struct Piece {
    begins: Instant,
    arrives: Instant,
    /// Empty only for the mark that ends the stream.
    bytes: Bytes,
}

impl Shaper {
    /// An idle direction.
    pub fn new(shape: Shape) -> Self {
        Self {
            random: Random(shape.seed),
            shape,
            pieces: VecDeque::new(),
            held_bytes: 0,
            sent_until: None,
            carry: 0,
            last_arrival: None,
            finished: false,
        }
    }

    /// The present settings.
    pub fn shape(&self) -> &Shape {
        &self.shape
    }

    /// Changes the settings at `now`. What has begun its transmission arrives as it would have;
    /// what still waits for that goes by the new settings. A smaller buffer drops nothing.
    /// The jitter starts afresh only if the seed differs.
    pub fn set_shape(&mut self, now: Instant, shape: Shape) {
        let accumulated = self.shape.accumulate;
        if shape.seed != self.shape.seed {
            self.random = Random(shape.seed);
        }
        self.carry = 0; // it was counted in units of the old rate
        self.shape = shape;
        // `begins` never falls along the queue.
        let first = self.pieces.partition_point(|piece| piece.begins <= now);
        let Some(waiting) = self.pieces.get(first) else {
            return;
        };
        // A piece that waits begins just when the one before is through, so this is the state the
        // link was in before the first of them was pushed.
        let begins = waiting.begins;
        self.sent_until = if accumulated { None } else { Some(begins) };
        let before = first.checked_sub(1).and_then(|before| self.pieces.get(before));
        self.last_arrival = before.map(|piece| piece.arrives);
        for at in first..self.pieces.len() {
            let length = self.pieces[at].bytes.len();
            let (begins, arrives) = self.schedule(now, length);
            self.pieces[at].begins = begins;
            self.pieces[at].arrives = arrives;
        }
    }

    /// The memory of what is held.
    pub(crate) fn cost(&self) -> usize {
        /// What a piece takes besides its bytes: its place, and what the allocator keeps for it.
        const PIECE_BYTES: usize = 128;
        self.held_bytes + self.pieces.len() * PIECE_BYTES
    }

    /// Room in bytes before the writer has to wait.
    pub fn free(&self) -> usize {
        if self.finished || self.pieces.len() >= self.shape.pieces_max.clamp(1, PIECES_MAX) {
            return 0;
        }
        self.shape.buffer_bytes_max.max(1).saturating_sub(self.held_bytes)
    }

    /// Sends a piece at `now`. An empty piece is no piece: it takes no time and never comes out.
    ///
    /// # Errors
    /// [`PushError::Full`] if the piece is longer than [`free`](Self::free), and
    /// [`PushError::Finished`] after [`finish`](Self::finish); the link is as before.
    pub fn push(&mut self, now: Instant, bytes: Bytes) -> Result<(), PushError> {
        if self.finished {
            return Err(PushError::Finished);
        }
        let (length, free) = (bytes.len(), self.free());
        if length > free {
            return Err(PushError::Full { length, free });
        }
        if length > 0 {
            self.held_bytes += length;
            self.enqueue(now, bytes);
        }
        Ok(())
    }

    /// Ends the stream at `now`. The end travels behind the last piece like a piece of no bytes,
    /// with the lag; if lags add up it has none of its own (section 10: a leave is seen at once).
    /// Further calls do nothing.
    pub fn finish(&mut self, now: Instant) {
        if !self.finished {
            self.finished = true;
            self.enqueue(now, Bytes::new());
        }
    }

    /// Takes out the next piece, if it has arrived by `now`.
    pub fn poll(&mut self, now: Instant) -> Option<Bytes> {
        self.poll_up_to(now, usize::MAX)
    }

    /// Like [`poll`](Self::poll), but no more than `bytes_max` bytes; the rest of the piece is the
    /// next one.
    pub fn poll_up_to(&mut self, now: Instant, bytes_max: usize) -> Option<Bytes> {
        let front = self.pieces.front_mut()?;
        let length = front.bytes.len().min(bytes_max);
        if front.arrives > now || length == 0 {
            return None;
        }
        let taken = front.bytes.split_to(length);
        if front.bytes.is_empty() {
            self.pieces.pop_front();
            self.shrink();
        }
        self.held_bytes -= length;
        Some(taken)
    }

    /// Keeps no places of a peak.
    fn shrink(&mut self) {
        /// So many cost less than new ones each time.
        const SPARE: usize = 32;
        if self.pieces.is_empty() && self.pieces.capacity() > SPARE {
            self.pieces = VecDeque::new();
        }
    }

    /// When the next piece or the end arrives or has arrived; `None` if nothing is under way.
    pub fn deadline(&self) -> Option<Instant> {
        self.pieces.front().map(|piece| piece.arrives)
    }

    /// When the end arrives or has arrived, whatever comes before it; `None` if it is not under way.
    pub fn end(&self) -> Option<Instant> {
        self.pieces.back().filter(|piece| piece.bytes.is_empty()).map(|piece| piece.arrives)
    }

    /// Whether by `now` everything was taken out and the end has arrived.
    pub fn is_finished(&self, now: Instant) -> bool {
        self.pieces.front().is_some_and(|piece| piece.bytes.is_empty() && piece.arrives <= now)
    }

    /// Forgets all that is under way and frees its memory.
    pub fn clear(&mut self) {
        *self = Self::new(self.shape.clone());
    }

    fn enqueue(&mut self, now: Instant, bytes: Bytes) {
        let (begins, arrives) = self.schedule(now, bytes.len());
        self.pieces.push_back(Piece { begins, arrives, bytes });
    }

    /// When a piece pushed at `now` begins its transmission, and when it arrives.
    fn schedule(&mut self, now: Instant, length: usize) -> (Instant, Instant) {
        let lag = self.shape.lag.min(DELAY_MAX);
        let (begins, arrives) = if self.shape.accumulate {
            let begins = self.last_arrival.map_or(now, |previous| previous.max(now));
            self.carry = 0;
            if length == 0 {
                (begins, begins)
            } else {
                let own = whole_millis(lag + self.transmission(length));
                (begins, later(later(begins, own), self.draw_jitter()))
            }
        } else {
            let begins = self.sent_until.map_or(now, |busy| busy.max(now));
            let sent = later(begins, self.transmission(length));
            self.sent_until = Some(sent);
            (begins, later(later(sent, lag), self.draw_jitter()))
        };
        let arrives = self.last_arrival.map_or(arrives, |previous| previous.max(arrives));
        self.last_arrival = Some(arrives);
        (begins, arrives)
    }

    fn transmission(&mut self, length: usize) -> Duration {
        let Some(rate) = self.shape.bytes_per_second else {
            return Duration::ZERO;
        };
        let work = (length as u128) * NANOS_PER_SECOND + u128::from(self.carry);
        let rate = u128::from(rate.get());
        // Both fit: the remainder is below a rate of 64 bits, and what does not fit is cut anyway.
        self.carry = u64::try_from(work % rate).unwrap_or(0);
        u64::try_from(work / rate).map_or(DELAY_MAX, Duration::from_nanos).min(DELAY_MAX)
    }

    fn draw_jitter(&mut self) -> Duration {
        let span = self.shape.jitter.min(DELAY_MAX).as_nanos();
        if span == 0 {
            return Duration::ZERO;
        }
        // The high half of the product is uniform over 0..=span, as near as 64 bits can be.
        let drawn = (u128::from(self.random.next()) * (span + 1)) >> 64;
        u64::try_from(drawn).map_or(DELAY_MAX, Duration::from_nanos)
    }
}

fn whole_millis(time: Duration) -> Duration {
    let odd = u64::from(time.subsec_nanos()) % NANOS_PER_MILLI;
    time.saturating_sub(Duration::from_nanos(odd))
}

/// `by` is bounded by [`DELAY_MAX`], so only a clock at its own end could fail to add it.
fn later(at: Instant, by: Duration) -> Instant {
    at.checked_add(by).unwrap_or(at)
}

/// A small generator (splitmix64): a counter by the golden ratio, well mixed.
#[derive(Debug)]
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }
}

#[cfg(test)]
mod tests;
