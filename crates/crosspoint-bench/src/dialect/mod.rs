//! The protocols a workload can be run over.

pub mod bare;
pub mod joint;
pub mod native;
pub mod nats;
pub mod redis;

use std::any::Any;
use std::net::TcpStream;
use std::sync::atomic::{AtomicU32, Ordering};

use crate::BenchError;
use crate::net::Options;
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
    ) -> Result<Vec<TcpStream>, BenchError>;
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
    pub sources: Vec<TcpStream>,
    /// Where the deliveries arrive.
    pub receivers: Vec<TcpStream>,
    /// What is written for one message.
    pub message: Message,
    /// How the data is found in what a receiver gets.
    pub framing: Framing,
    /// Bytes that arrive at a receiver for one message.
    pub delivery_bytes: usize,
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
    pub write: TcpStream,
    /// Where messages from the other end arrive: the same connection, or one of its own where
    /// the protocol wants that.
    pub read: TcpStream,
    /// The bytes of one message to the other end.
    pub message: Vec<u8>,
    /// How the data is found in what arrives.
    pub framing: Framing,
}

/// The bytes of one message with a blank payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// The frame, or the frames where one message needs several.
    pub bytes: Vec<u8>,
    /// Where the payload is to be written in `bytes`.
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

/// Another handle for the same connection.
pub(crate) fn duplicate(stream: &TcpStream) -> Result<TcpStream, BenchError> {
    stream.try_clone().map_err(BenchError::system("duplicating a socket"))
}
