//! The protocols a workload can be run over.

pub mod anysocket;
mod awake;
pub mod bare;
pub mod encrypted;
pub mod joint;
pub mod native;
mod native_link;
mod native_pair;
mod native_session;
pub mod nats;
mod nats_request;
pub mod proxied;
pub mod redis;
mod rejoin;
pub mod socketio;
mod windowed;

use std::any::Any;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use crate::BenchError;
use crate::connection::Connection;
use crate::transport::Options;
use crate::unframe::Framing;

/// How a protocol is spoken: opens the connections of each workload, up to the point where only
/// data flows. Everything after that is the same code for all.
pub trait Dialect: Send + Sync {
    /// Short name for reports.
    fn name(&self) -> &'static str;

    /// Whether there is a server: what only a server can do is not run without one.
    fn has_server(&self) -> bool {
        true
    }

    /// Whether a payload may be any bytes; if not, it is text.
    fn carries_any_bytes(&self) -> bool {
        true
    }

    /// The most that a connection can do before it goes quiet, for [`Dialect::open_idle`].
    fn idle_state(&self) -> IdleState {
        IdleState::Member
    }

    /// What a connection writes every [`KEEPALIVE_EVERY`] while it has nothing else to say, if the
    /// server would otherwise take it for dead after a few seconds.
    fn keepalive(&self) -> Option<Vec<u8>> {
        None
    }

    /// Opens one sender and the receivers of what it broadcasts.
    ///
    /// # Errors
    ///
    /// Any [`BenchError`] of connecting and shaking hands.
    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError>;

    /// Opens the two ends of a conversation through the hub, for messages of `payload` bytes.
    ///
    /// # Errors
    ///
    /// Any [`BenchError`] of connecting and shaking hands.
    fn open_relay(&self, payload: usize) -> Result<Relay, BenchError>;

    /// Opens a connection whose requests are answered, each with its own `payload` bytes: by the
    /// server, or over the server by another connection.
    ///
    /// # Errors
    ///
    /// Any [`BenchError`] of connecting and shaking hands; [`BenchError::Unsupported`] if the
    /// protocol has no such requests.
    fn open_requests(&self, payload: usize) -> Result<Requests, BenchError> {
        let _ = payload;
        Err(BenchError::Unsupported { dialect: self.name(), workload: "requests" })
    }

    /// Opens the two ends of a stream of bytes in one direction.
    ///
    /// # Errors
    ///
    /// Any [`BenchError`] of connecting and shaking hands; [`BenchError::Unsupported`] if the
    /// protocol has no streams.
    fn open_stream(&self, shape: &StreamShape) -> Result<StreamEnds, BenchError> {
        let _ = shape;
        Err(BenchError::Unsupported { dialect: self.name(), workload: "stream" })
    }

    /// Opens `count` connections that then stay quiet (and what they need besides, such as the
    /// owner of a channel). Calls `opened` with the number of connections so far.
    ///
    /// # Errors
    ///
    /// Any [`BenchError`] of connecting and shaking hands; [`BenchError::Unsupported`] if the
    /// dialect has no server.
    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError>;
}

/// What a broadcast needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FanoutShape {
    /// Number of receivers, at least 1.
    pub receivers: usize,
    /// How many of them, counted from the last, get a receive buffer as small as possible.
    pub tiny: usize,
    /// Data bytes of a message, at least 1.
    pub payload: usize,
}

impl FanoutShape {
    /// How the receiver with this index is connected.
    pub(crate) fn options(&self, index: usize) -> Options {
        Options { index, tiny_buffer: index + self.tiny >= self.receivers }
    }
}

/// A sender and its receivers, ready for data.
#[derive(Debug)]
pub struct Fanout {
    /// Each message is written to all of these: one connection to a hub, or without a hub the
    /// other ends of all receivers.
    pub sources: Vec<Connection>,
    /// Whether the server answers each message to its source, who has to take the answers.
    pub answered: bool,
    /// Where the deliveries arrive.
    pub receivers: Vec<Connection>,
    /// What is written for one message.
    pub message: Message,
    /// How the data is found in what a receiver gets.
    pub framing: Framing,
    /// Bytes that arrive at a receiver for one message, if they are always as many.
    pub delivery_bytes: Option<usize>,
}

/// The two ends of a conversation, ready for data.
pub struct Relay {
    /// Sends requests and waits for replies.
    pub requester: End,
    /// Answers each request with one reply.
    pub responder: End,
    /// What must live as long as the conversation; dropped after both ends are.
    pub keep: Option<Box<dyn Any + Send>>,
}

/// One end of a conversation.
#[derive(Debug)]
pub struct End {
    /// Where messages to the other end are written.
    pub write: Connection,
    /// Where messages from the other end arrive, if the protocol wants a connection of its own for
    /// that.
    pub read: Option<Connection>,
    /// The bytes of one message to the other end.
    pub message: Vec<u8>,
    /// How the data is found in what arrives.
    pub framing: Framing,
}

impl End {
    /// Where messages from the other end arrive.
    pub(crate) fn reader(&self) -> &Connection {
        self.read.as_ref().unwrap_or(&self.write)
    }
}

/// A connection for requests.
pub struct Requests {
    /// The connection.
    pub stream: Connection,
    /// How it is spoken.
    pub asker: Box<dyn Asker>,
    /// Who answers, if it is not the server itself.
    pub responder: Option<Responder>,
}

/// A connection over which requests are answered.
pub struct Responder {
    /// The connection.
    pub stream: Connection,
    /// How it is spoken.
    pub answerer: Box<dyn Answerer>,
}

/// Writes requests and reads answers, for one connection.
pub trait Asker: Send {
    /// Appends a request with this number, 1 to [`LARGEST_NUMBER`], to what will be written. No
    /// two requests under way have the same number.
    ///
    /// # Errors
    ///
    /// A reason if no more can be asked over this connection.
    fn ask(&mut self, number: u32, out: &mut Vec<u8>) -> Result<(), &'static str>;

    /// Takes the next bytes that arrived; calls `answered` with the number of each request whose
    /// whole answer is there. Appends to `out` what the server wants to hear.
    ///
    /// # Errors
    ///
    /// A reason if the bytes are not what this protocol's server sends, or not the right answers.
    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(u32),
    ) -> Result<(), &'static str>;
}

/// Reads requests and writes answers, for one connection.
pub trait Answerer: Send {
    /// Takes the next bytes that arrived; appends to `out` the answer to each request that is all
    /// there, and what the server wants to hear.
    ///
    /// # Errors
    ///
    /// A reason if the bytes are not what this protocol's server sends, or not requests.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str>;
}

/// What a stream is to be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct StreamShape {
    /// Bytes that the sender may be ahead of what the receiver has consumed, at least 2 times
    /// [`STREAM_CHUNK`] and at most 1 GiB.
    pub window: u32,
    /// Whether the receiver gets a receive buffer as small as possible.
    pub tiny: bool,
}

/// Data bytes that go into one message of a stream, where the protocol does not say how many.
pub const STREAM_CHUNK: usize = 16 << 10;

/// The two ends of a stream, ready for data.
pub struct StreamEnds {
    /// Where chunks are written.
    pub sender: Connection,
    /// What is written for one chunk.
    pub chunk: Vec<u8>,
    /// Data bytes of one chunk.
    pub chunk_bytes: usize,
    /// Data bytes that the sender may be ahead of what the receiver has consumed, as far as the
    /// protocol has such a window: at least one chunk.
    pub window: usize,
    /// Finds out how many more bytes the sender may send. `None` if only the connection slows it.
    pub credits: Option<Box<dyn Credits>>,
    /// Where the data arrives.
    pub receiver: Connection,
    /// Finds the data in what arrives, and gives credit for it.
    pub intake: Box<dyn Intake>,
    /// What must live as long as the stream; dropped after both ends are.
    pub keep: Option<Box<dyn Any + Send>>,
}

/// Reads what the hub says to the sender of a stream.
pub trait Credits: Send {
    /// Takes the next bytes that arrived; gives how many more bytes of data may be sent. Appends
    /// to `out` what the server wants to hear.
    ///
    /// # Errors
    ///
    /// A reason if the bytes are not what this protocol's server sends.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str>;
}

/// Reads what arrives at the receiver of a stream.
pub trait Intake: Send {
    /// Takes the next bytes that arrived; gives how many bytes of data have come with them. Appends
    /// to `out` what the receiver says to that, such as credit for more.
    ///
    /// # Errors
    ///
    /// A reason if the bytes are not what this protocol's server sends.
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str>;
}

/// The largest number of a request. After it comes 1.
pub const LARGEST_NUMBER: u32 = i32::MAX as u32;

/// Time between two keepalives.
pub const KEEPALIVE_EVERY: Duration = Duration::from_secs(2);

/// The bytes of one message with a blank payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The frame, or the frames where one message needs several.
    pub bytes: Vec<u8>,
    /// Where the payload is to be written in `bytes`; none if it cannot be changed.
    pub payloads: Vec<usize>,
}

/// What an idle connection has done before it went quiet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
#[serde(rename_all = "lowercase")]
pub enum IdleState {
    /// Exchanged the first bytes of the protocol.
    Connected,
    /// Joined a channel (NATS, Redis: subscribed).
    Member,
}

/// A channel name that no other run on the same hub uses, always of the same length.
pub(crate) fn fresh_name() -> String {
    static NEXT: AtomicU32 = AtomicU32::new(0);
    let number = NEXT.fetch_add(1, Ordering::Relaxed);
    format!("bench-{:08x}-{number:08x}", std::process::id())
}

/// The byte payloads are filled with.
pub(crate) const FILL: u8 = b'.';

/// The JSON text of a string of so many characters.
pub(crate) fn json_text(payload: usize) -> Vec<u8> {
    let mut text = vec![FILL; payload + 2];
    (text[0], text[payload + 1]) = (b'"', b'"');
    text
}
