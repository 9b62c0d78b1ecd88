//! Bounds and counters.

use super::sizes::WINDOW_MAX;

/// Which side of the link this is. Both are alike but for the ids of their streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Side {
    /// The one that asked for the link.
    Opener,
    /// The one that heard of it.
    Accepter,
}

/// The bounds of one side. All of them are this side's own: the other may have others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// Requests of the other side at once, whose answers are not sent yet. Those above are
    /// answered with 429. 1024 by default.
    pub requests_in_max: u32,
    /// Requests of this side at once. 1024 by default, as many as the other side takes by default.
    pub requests_out_max: u32,
    /// Streams at once that the other side opened. Those above are refused with 429. 256 by
    /// default.
    pub streams_in_max: u32,
    /// Streams at once that this side opened. 256 by default.
    pub streams_out_max: u32,
    /// The window that this side gives for each stream, in bytes, from 1 to 2^31 - 1: what may
    /// arrive and wait to be read. 256 KiB by default.
    pub window_bytes: u32,
    /// Bytes of one stream that were written and not sent, at least 1. 64 KiB by default.
    pub send_buffer_bytes: usize,
    /// The largest message to send or to receive, in bytes. At least 32 KiB are received. 16 MiB by default.
    pub message_bytes_max: usize,
    /// Messages, requests and answers of the application that were not sent, in bytes with 64 for
    /// each, at least 1. One that goes beyond is still taken, the next is not. 4 MiB by default.
    pub queue_bytes_max: usize,
    /// Refusals and other short answers that wait to be sent, at least 1. When the other side asks
    /// for more, it breaks the link. 4096 by default.
    pub answers_max: usize,
    /// Whether the other side gets the time of this side, as [`Machine::transmit`](super::Machine::transmit) is
    /// given it, when it asks for a clock. Otherwise the application is asked
    /// ([`Event::Clock`](super::Event::Clock)): a gateway answers with the clock of its client. True by default.
    pub own_clock: bool,
}

impl Config {
    /// A piece of a stream and a stream's metadata, each with its header, are always received.
    const MESSAGE_BYTES_MIN: usize = 32 * 1024;

    pub(super) fn in_range(self) -> Self {
        Self {
            window_bytes: self.window_bytes.clamp(1, WINDOW_MAX),
            send_buffer_bytes: self.send_buffer_bytes.max(1),
            message_bytes_max: self.message_bytes_max.max(Self::MESSAGE_BYTES_MIN),
            queue_bytes_max: self.queue_bytes_max.max(1),
            answers_max: self.answers_max.max(1),
            ..self
        }
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            requests_in_max: 1024,
            requests_out_max: 1024,
            streams_in_max: 256,
            streams_out_max: 256,
            window_bytes: 256 * 1024,
            send_buffer_bytes: 64 * 1024,
            message_bytes_max: 16 * 1024 * 1024,
            queue_bytes_max: 4 * 1024 * 1024,
            answers_max: 4096,
            own_clock: true,
        }
    }
}

/// What happened that is not worth an event. They only grow.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counters {
    /// Answers of the other side to nothing that waits: late, second ones, or to no request.
    pub late_answers: u64,
    /// Answers of this side's application to nothing that waits.
    pub unwanted_answers: u64,
    /// Requests of the other side above the bound.
    pub refused_requests: u64,
    /// Streams of the other side above the bound.
    pub refused_streams: u64,
    /// Messages of a kind that is not known and may be skipped.
    pub skipped: u64,
}
