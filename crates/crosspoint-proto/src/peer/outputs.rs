//! What leaves the machine: events to the application, and short messages to the other side.

use super::content::Text;
use super::error::Broken;
use super::stream_id::StreamId;
use bytes::Bytes;
use crosspoint_hub::payload::{Failure, Payload};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// What the application hears.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A message of typed calls, as in channels.
    Typed {
        /// From 0 to 2, see [`Part`](crosspoint_hub::wire::Part).
        kind: u8,
        /// All of it.
        body: Bytes,
    },
    /// A message.
    Message(Payload),
    /// A message to a method, which wants no answer.
    Notify {
        /// Who it is for.
        method: Text,
        /// What it says.
        payload: Payload,
    },
    /// A request: [`answer`](super::Machine::answer) it or let it [`fail`](super::Machine::fail).
    Request {
        /// The other side's name for it.
        id: u32,
        /// Who it is for.
        method: Text,
        /// What it says.
        payload: Payload,
        /// When the other side stops waiting; `None`: never.
        until: Option<Instant>,
    },
    /// The other side waits no more for the answer to this request: the work on it may stop.
    Cancelled {
        /// The request.
        id: u32,
    },
    /// How a request of this side went. The last that is heard of it.
    Result {
        /// The request.
        id: u32,
        /// How it went.
        outcome: Outcome,
    },
    /// The other side offers a stream: [`accept`](super::Machine::accept) or
    /// [`reset`](super::Machine::reset) it.
    Opened {
        /// The stream.
        stream: StreamId,
        /// What it is for.
        name: Text,
        /// What else the other side says about it.
        metadata: Bytes,
    },
    /// The other side accepted this stream.
    Accepted {
        /// The stream.
        stream: StreamId,
    },
    /// There are bytes where there were none: read until [`Read::Pending`](super::Read::Pending).
    Readable {
        /// The stream.
        stream: StreamId,
    },
    /// There is room again after a write that was not taken whole.
    Writable {
        /// The stream.
        stream: StreamId,
    },
    /// The other side sends no more; what came before may still be read.
    Ended {
        /// The stream.
        stream: StreamId,
    },
    /// The other side ended the stream, or refused it. Nothing more can be read or written.
    Reset {
        /// The stream.
        stream: StreamId,
        /// One of [`code`](super::code), or the application's own.
        code: u32,
        /// For people.
        text: Text,
    },
    /// The answer to [`measure_clock`](super::Machine::measure_clock).
    Time(Time),
    /// The other side asks for a clock, and [`Config::own_clock`](super::Config::own_clock) is off: answer with
    /// [`tell_clock`](super::Machine::tell_clock), or not at all.
    Clock {
        /// Tells this question from others.
        token: [u8; 8],
    },
    /// After [`SendError::Full`](super::SendError::Full): there is room again.
    Room,
}

/// How a request went.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It was answered.
    Result(Payload),
    /// It failed.
    Failure(Failure),
    /// The time was over first.
    TimedOut,
}

/// The other side's clock (docs/peers.md, section 5).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Time {
    /// From the question to the answer.
    pub round_trip: Duration,
    /// What the other side's clock showed when it answered, in microseconds since 1970.
    pub clock_us: u64,
}

impl Time {
    /// How far the other side's clock is ahead of this one, in microseconds. `arrived_us` is what
    /// this side's clock showed when the answer arrived. Off by at most half of the round trip.
    pub fn offset_us(&self, arrived_us: u64) -> i64 {
        let middle = i128::from(arrived_us) - (self.round_trip.as_micros() / 2) as i128;
        let offset = i128::from(self.clock_us) - middle;
        let nearest = if offset < 0 { i64::MIN } else { i64::MAX };
        i64::try_from(offset).unwrap_or(nearest)
    }
}

/// A short message to the other side. They go first.
#[derive(Debug)]
pub(super) enum Control {
    /// OPEN, the only one that makes an id valid on the other side.
    Open(Bytes),
    Accept(Bytes),
    Reset(Bytes),
    /// What has gathered up until it leaves.
    Credit(StreamId),
    Cancel(u32),
    /// FAILURE of a request that is one too many.
    Refuse(u32),
    /// CLOCK with the latest token.
    Clock,
    /// TIME, with the clock if it is not that of this side.
    Time([u8; 8], Option<u64>),
}

#[derive(Debug, Default)]
pub(super) struct Outputs {
    pub(super) events: VecDeque<Event>,
    pub(super) control: VecDeque<Control>,
}

impl Outputs {
    /// What a short message takes, with its body.
    const CONTROL_BYTES: usize = 96;

    /// Memory of the short messages.
    pub(super) fn control_bytes(&self) -> usize {
        self.control.len() * Self::CONTROL_BYTES
    }

    /// To be asked before the other side makes this one add an answer, so that one who asks
    /// without end and takes no answers cannot fill the memory. Everything else in the queue is
    /// bounded by the number of streams and requests.
    pub(super) fn check_flood(&self, answers_max: usize) -> Result<(), Broken> {
        let waiting = self.control.len();
        if waiting < answers_max { Ok(()) } else { Err(Broken::Flood(waiting)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_offset_is_measured_from_the_middle_of_the_round_trip() {
        let time = Time { round_trip: Duration::from_micros(100), clock_us: 1_000 };
        assert_eq!(time.offset_us(1_050), 0);
        assert_eq!(time.offset_us(50), 1_000);
        assert_eq!(time.offset_us(2_050), -1_000);
        let far = Time { round_trip: Duration::MAX, clock_us: u64::MAX };
        assert_eq!(far.offset_us(0), i64::MAX);
        let behind = Time { round_trip: Duration::ZERO, clock_us: 0 };
        assert_eq!(behind.offset_us(u64::MAX), i64::MIN);
    }
}
