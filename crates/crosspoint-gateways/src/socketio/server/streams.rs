//! The streams of a link to a peer that speaks something else than Socket.IO.

use bytes::Bytes;
use crosspoint_proto::peer::StreamId;
use std::collections::{BTreeMap, VecDeque};
use std::time::Instant;

/// Before the sender's own id of a stream, in the event of its chunks.
pub(super) const CHUNK: &str = "P2P_EMIT_STREAM-from-stream-";
/// The event that a stream is over. Its argument is the sender's own id.
pub(super) const DESTROYED: &str = "PEER_STREAM_DESTROYED";

/// Whether an event is one of a stream.
pub(super) fn is_of_stream(event: &str) -> bool {
    event.starts_with(CHUNK) || event == DESTROYED
}

/// The streams of one link.
#[derive(Debug, Default)]
pub(super) struct Streams(pub(super) BTreeMap<StreamId, Stream>);

/// One stream.
#[derive(Debug)]
pub(super) struct Stream {
    /// The id of the client's own end.
    pub(super) near: Box<str>,
    /// That of the other end.
    pub(super) far: Box<str>,
    /// What the client has sent and the machine has not taken.
    pub(super) chunks: VecDeque<Chunk>,
    /// The acknowledgement of the stream that the client waits for.
    pub(super) opening: Option<u64>,
    /// When it is given up if it is not there by then, as the schedule of all streams knows it.
    pub(super) until: Option<Instant>,
    /// The stream is there.
    pub(super) is_open: bool,
    /// The client has a chunk that it has not acknowledged.
    pub(super) is_sending: bool,
    /// The client has sent all, and the machine has it.
    pub(super) is_finished: bool,
    /// It was told that all has come.
    pub(super) is_read: bool,
}

impl Streams {
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// What the client has sent and the machine has not taken, in bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.0.values().map(Stream::waiting_bytes).sum()
    }

    /// The client's own ids.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        self.0.values().map(|stream| &*stream.near)
    }
}

/// What the client has sent at once: bytes, or that there are no more.
#[derive(Debug)]
pub(super) struct Chunk {
    pub(super) bytes: Option<Bytes>,
    /// The acknowledgement that the client waits for.
    pub(super) ack: Option<u64>,
}

impl Chunk {
    fn len(&self) -> usize {
        self.bytes.as_ref().map_or(0, Bytes::len)
    }
}

impl Stream {
    /// The most chunks that wait. Clients send one, and what ends the stream at once behind it.
    pub(super) const CHUNKS_MAX: usize = 16;

    /// What the client has sent and the machine has not taken, in bytes.
    pub(super) fn waiting_bytes(&self) -> usize {
        self.chunks.iter().map(Chunk::len).sum()
    }

    pub(super) fn new(near: &str, far: &str, opening: Option<u64>) -> Self {
        Self {
            near: near.into(),
            far: far.into(),
            chunks: VecDeque::new(),
            opening,
            until: None,
            is_open: false,
            is_sending: false,
            is_finished: false,
            is_read: false,
        }
    }
}
