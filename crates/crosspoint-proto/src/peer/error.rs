//! What can go wrong, on the other side and on this one.

use super::sizes::{METADATA_BYTES_MAX, NAME_BYTES_MAX, WINDOW_MAX};
use super::stream_id::StreamId;
use crosspoint_hub::Reason;

/// The other side broke a rule (docs/peers.md, section 2): end the link with
/// [`Reason::Malformed`], and use the machine no more. `kind` is that of the message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Broken {
    /// A kind that is not known and may not be skipped, or one that has no place here.
    #[error("a message of the kind {0:#04x}, which is unknown or has no place here")]
    Kind(u8),
    /// A body ends too early, or holds a number above 32 bits.
    #[error("the body of a message of the kind {0:#04x} cannot be read")]
    Body(u8),
    /// A text that is not UTF-8.
    #[error("a text in a message of the kind {0:#04x} is not UTF-8")]
    Text(u8),
    /// A message, or a field of bounded length, is too long.
    #[error("{bytes} bytes in a message of the kind {kind:#04x}, where at most {most} may be")]
    TooLarge {
        /// The kind of the message.
        kind: u8,
        /// How many there are.
        bytes: usize,
        /// How many there may be.
        most: usize,
    },
    /// A request with the id of one that waits.
    #[error("two requests wait with the id {0}")]
    RequestTwice(u32),
    /// A stream was opened with another id than the next of its side.
    #[error("stream {0} was opened out of turn")]
    StreamId(StreamId),
    /// A message for a stream that was never opened.
    #[error("a message of the kind {kind:#04x} for stream {stream}, which was never opened")]
    NeverOpened {
        /// The kind of the message.
        kind: u8,
        /// The stream.
        stream: StreamId,
    },
    /// A message for a stream that needs its ACCEPT first.
    #[error("a message of the kind {kind:#04x} for stream {stream} before it was accepted")]
    NotAccepted {
        /// The kind of the message.
        kind: u8,
        /// The stream.
        stream: StreamId,
    },
    /// ACCEPT for a stream that was accepted before, or that was not offered to the other side.
    #[error("stream {0} was accepted, but is not on offer")]
    NotOffered(StreamId),
    /// More bytes than the window allows.
    #[error("{bytes} bytes for stream {stream}, whose window has room for {window}")]
    WindowExceeded {
        /// The stream.
        stream: StreamId,
        /// How many came in one message.
        bytes: usize,
        /// How many were allowed.
        window: u32,
    },
    /// A window above the largest.
    #[error("the window of stream {0} was made larger than {WINDOW_MAX} bytes")]
    WindowTooLarge(StreamId),
    /// BYTES or END after END.
    #[error("a message of the kind {kind:#04x} for stream {stream} after its end")]
    AfterEnd {
        /// The kind of the message.
        kind: u8,
        /// The stream.
        stream: StreamId,
    },
    /// The other side asks on and on, and does not take the answers.
    #[error("{0} refusals and other answers wait, and the other side goes on asking for more")]
    Flood(usize),
}

impl From<Broken> for Reason {
    fn from(_: Broken) -> Self {
        Self::Malformed
    }
}

/// Why a message was not taken from the application.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The message is larger than allowed.
    #[error("a message of {bytes} bytes, where at most {most} may be; send less, or use a stream")]
    TooLarge {
        /// With its header.
        bytes: usize,
        /// The setting `message_bytes_max`.
        most: usize,
    },
    /// Not a kind of typed calls.
    #[error("typed calls have the kinds 0 to 2, not {0}")]
    Kind(u8),
    /// A method or a stream's name is too long.
    #[error("a name of {0} bytes, where at most {NAME_BYTES_MAX} may be")]
    NameTooLong(usize),
    /// A stream's metadata are too long.
    #[error("metadata of {0} bytes, where at most {METADATA_BYTES_MAX} may be")]
    MetadataTooLong(usize),
    /// Too much waits to be sent. [`Event::Room`](super::Event::Room) says when to try again.
    #[error("too much waits to be sent; try again when there is room")]
    Full,
    /// As many requests or streams as this side may have, by `requests_out_max` or
    /// `streams_out_max`. Try again when one of them has ended.
    #[error("{0} wait or are open, which is the most; try again when one has ended")]
    TooMany(u32),
    /// All stream ids of this side are used up: only a new link helps.
    #[error("all stream ids of this link are used up; begin a new link")]
    Exhausted,
}

/// Why a command about a stream was not carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamError {
    /// The stream is over: reset by either side, or read and written to its end. Or it never was.
    #[error("stream {0} is over")]
    Over(StreamId),
    /// The stream was finished by this side before.
    #[error("stream {0} was finished, so nothing more can be written to it")]
    Finished(StreamId),
    /// Offered by the other side, and not accepted yet.
    #[error("stream {0} was not accepted yet")]
    NotAccepted(StreamId),
    /// Not offered by the other side, or accepted before.
    #[error("stream {0} is not on offer")]
    NotOffered(StreamId),
}
