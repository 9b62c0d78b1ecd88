//! The streams of a client: what came and was not read, and what is to be written.
//!
//! The acknowledgement of a chunk is the credit for the next one. So a writer has one chunk on the way, and a reader who
//! does not read withholds it.

use bytes::{Buf, BufMut, Bytes, BytesMut};
use std::collections::{HashMap, VecDeque};

/// The most bytes of a chunk that is written.
pub const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// The most chunks of one stream that are not acknowledged. The original has one on the way, and what ends it besides.
const CHUNKS_MAX: usize = 16;

/// One stream of a client. It is never given twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct StreamId(u64);

/// How a stream has ended, if not by the end of both directions.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StreamEnd {
    /// The other side has destroyed it.
    #[error("the other side has destroyed the stream")]
    Destroyed,
    /// The other client has left the server.
    #[error("the client at the other end of the stream has gone")]
    PeerGone,
    /// This client has no connection any more.
    #[error("the connection has ended")]
    Disconnected,
    /// The other side writes without waiting, more than is held for it.
    #[error("the other side of the stream writes without waiting until it is read")]
    Overrun,
}

/// What there is to read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Read {
    /// Some bytes were read.
    Some,
    /// Nothing now.
    Pending,
    /// Nothing comes any more: the other side has ended what it writes.
    End,
    /// Nothing comes any more.
    Over(StreamEnd),
}

/// What became of something to be written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Written {
    /// So many bytes were taken.
    Some(usize),
    /// There is no room now, or it is not done yet.
    Pending,
    /// It has been done.
    Done,
    /// This side has ended what it writes.
    Ended,
    /// The stream is over.
    Over(StreamEnd),
}

/// How far the end of what this side writes has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum End {
    Open,
    Asked,
    Sent,
    Done,
}

/// What is said next of a stream.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Next {
    Chunk(Bytes),
    End,
}

#[derive(Debug)]
pub(super) struct Stream {
    /// The client at the other end.
    pub(super) peer: String,
    /// The id under which this side writes. Empty in a pair.
    pub(super) own: Box<str>,
    /// The id under which the other side writes.
    theirs: Box<str>,
    unread: VecDeque<Bytes>,
    unread_bytes: usize,
    /// Acknowledgements that are withheld.
    owed: VecDeque<u64>,
    /// The other side has ended what it writes.
    ended: bool,
    gathered: BytesMut,
    on_the_way: bool,
    end: End,
    over: Option<StreamEnd>,
    /// Nobody holds it any more; what was written has yet to arrive.
    left: bool,
}

impl Stream {
    pub(super) fn is_paired(&self) -> bool {
        self.own.is_empty()
    }

    /// Whether there is nothing more to be said of it.
    fn is_done(&self) -> bool {
        // The other side of a pair does not say that it has ended.
        self.over.is_some() || (self.end == End::Done && (self.ended || self.is_paired()))
    }
}

#[derive(Debug, Default)]
pub(super) struct Streams {
    streams: HashMap<StreamId, Stream>,
    /// By the id under which the other side writes.
    by_theirs: HashMap<Box<str>, StreamId>,
    next: u64,
    unread_bytes: usize,
}

/// What a chunk that came leads to.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Came {
    /// Acknowledgements to be given.
    pub(super) acks: Vec<u64>,
    /// The stream is destroyed on this side.
    pub(super) destroyed: bool,
}

impl Streams {
    pub(super) fn len(&self) -> usize {
        self.streams.len()
    }

    pub(super) fn get(&self, id: StreamId) -> Option<&Stream> {
        self.streams.get(&id)
    }

    /// The stream that the other side writes under an id.
    pub(super) fn find(&self, theirs: &str) -> Option<StreamId> {
        self.by_theirs.get(theirs).copied()
    }

    /// A stream that is open. `None` if the other side writes another one under the same id.
    pub(super) fn add(
        &mut self,
        peer: String,
        own: Box<str>,
        theirs: Box<str>,
    ) -> Option<StreamId> {
        if self.by_theirs.contains_key(&theirs) {
            return None;
        }
        let id = StreamId(self.next);
        self.next += 1;
        self.by_theirs.insert(theirs.clone(), id);
        let stream = Stream {
            peer,
            own,
            theirs,
            unread: VecDeque::new(),
            unread_bytes: 0,
            owed: VecDeque::new(),
            ended: false,
            gathered: BytesMut::new(),
            on_the_way: false,
            end: End::Open,
            over: None,
            left: false,
        };
        self.streams.insert(id, stream);
        Some(id)
    }

    /// A chunk has come, or the end (`None`), with the id of its acknowledgement.
    pub(super) fn came(
        &mut self,
        id: StreamId,
        chunk: Option<Bytes>,
        ack: Option<u64>,
        (window, bytes_max): (usize, usize),
    ) -> Came {
        let mut came = Came::default();
        let Some(stream) = self.streams.get_mut(&id) else {
            return came;
        };
        if stream.over.is_some() || stream.ended {
            return came;
        }
        if let Some(chunk) = chunk {
            if stream.left {
                // Nobody reads it, and what this side wrote has yet to arrive.
                came.acks.extend(ack);
                return came;
            }
            stream.unread_bytes += chunk.len();
            self.unread_bytes += chunk.len();
            if !chunk.is_empty() {
                stream.unread.push_back(chunk);
            }
        } else {
            stream.ended = true;
        }
        stream.owed.extend(ack);
        if stream.ended || stream.unread_bytes < window {
            came.acks.extend(stream.owed.drain(..));
        } else if stream.owed.len() > CHUNKS_MAX
            || stream.unread.len() > CHUNKS_MAX
            || self.unread_bytes > bytes_max
        {
            self.finish(id, StreamEnd::Overrun);
            came.destroyed = true;
        }
        self.remove_if_done(id);
        came
    }

    /// Reads into a buffer, at most so many bytes. Gives the acknowledgements that are given by that as well.
    pub(super) fn read(
        &mut self,
        id: StreamId,
        into: &mut impl BufMut,
        most: usize,
        window: usize,
    ) -> (Read, Vec<u64>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return (Read::Over(StreamEnd::Disconnected), Vec::new());
        };
        let mut left = most;
        while left > 0
            && let Some(first) = stream.unread.front_mut()
        {
            let count = first.len().min(left);
            into.put(first.copy_to_bytes(count));
            left -= count;
            if first.is_empty() {
                stream.unread.pop_front();
            }
        }
        let count = most - left;
        stream.unread_bytes -= count;
        self.unread_bytes -= count;
        let acks = match stream.unread_bytes < window && stream.over.is_none() {
            true => stream.owed.drain(..).collect(),
            false => Vec::new(),
        };
        let read = match (count, stream.ended, stream.over) {
            (1.., ..) => Read::Some,
            (0, true, _) => Read::End,
            (0, false, Some(end)) => Read::Over(end),
            (0, false, None) => Read::Pending,
        };
        (read, acks)
    }

    /// Takes what this side writes, in chunks of so many bytes at the most.
    pub(super) fn write(&mut self, id: StreamId, bytes: &[u8], chunk_max: usize) -> Written {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Written::Over(StreamEnd::Disconnected);
        };
        if let Some(end) = stream.over {
            return Written::Over(end);
        }
        if stream.end > End::Open {
            return Written::Ended;
        }
        let room = chunk_max.saturating_sub(stream.gathered.len());
        if room == 0 {
            return Written::Pending;
        }
        let count = room.min(bytes.len());
        stream.gathered.extend_from_slice(&bytes[..count]);
        Written::Some(count)
    }

    /// Ends what this side writes. [`Written::Done`] when the other side has all of it.
    pub(super) fn shut_down(&mut self, id: StreamId) -> Written {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Written::Over(StreamEnd::Disconnected);
        };
        match (stream.end, stream.over) {
            (End::Done, _) => Written::Done,
            (_, Some(end)) => Written::Over(end),
            (end, None) => {
                stream.end = end.max(End::Asked);
                Written::Pending
            }
        }
    }

    /// Whether all that was written has been acknowledged.
    pub(super) fn flushed(&self, id: StreamId) -> Written {
        match self.streams.get(&id) {
            None => Written::Over(StreamEnd::Disconnected),
            Some(stream) if stream.gathered.is_empty() && !stream.on_the_way => Written::Done,
            Some(Stream { over: Some(end), .. }) => Written::Over(*end),
            Some(_) => Written::Pending,
        }
    }

    /// What is to be said now of a stream, if anything.
    pub(super) fn next(&mut self, id: StreamId) -> Option<Next> {
        let stream = self.streams.get_mut(&id)?;
        if stream.on_the_way || stream.over.is_some() {
            return None;
        }
        if !stream.gathered.is_empty() {
            stream.on_the_way = true;
            return Some(Next::Chunk(std::mem::take(&mut stream.gathered).freeze()));
        }
        if stream.end != End::Asked {
            return None;
        }
        // Streams of pairs have no end.
        let is_said = !stream.is_paired();
        if is_said {
            (stream.end, stream.on_the_way) = (End::Sent, true);
            return Some(Next::End);
        }
        stream.end = End::Done;
        self.remove_if_done(id);
        None
    }

    /// What was said last of a stream has been acknowledged.
    pub(super) fn acknowledged(&mut self, id: StreamId) {
        if let Some(stream) = self.streams.get_mut(&id) {
            stream.on_the_way = false;
            if stream.end == End::Sent {
                stream.end = End::Done;
            }
        }
        self.remove_if_done(id);
    }

    /// A stream is over. What came can still be read. Gives whether it was not before.
    pub(super) fn finish(&mut self, id: StreamId, end: StreamEnd) -> bool {
        let Some(stream) = self.streams.get_mut(&id) else {
            return false;
        };
        if stream.over.is_some() {
            return false;
        }
        stream.over = Some(end);
        stream.owed.clear();
        stream.gathered = BytesMut::new();
        if self.by_theirs.get(&stream.theirs) == Some(&id) {
            self.by_theirs.remove(&stream.theirs);
        }
        self.remove_if_done(id);
        true
    }

    /// All streams with a client, or all.
    pub(super) fn with(&self, peer: Option<&str>) -> Vec<StreamId> {
        let with = self.streams.iter().filter(|(_, stream)| {
            stream.over.is_none() && peer.is_none_or(|peer| stream.peer == peer)
        });
        let mut with: Vec<_> = with.map(|(id, _)| *id).collect();
        with.sort_unstable();
        with
    }

    /// The streams of pairs.
    pub(super) fn paired(&self) -> Vec<StreamId> {
        let with = self.streams.iter();
        with.filter(|(_, it)| it.over.is_none() && it.is_paired()).map(|(id, _)| *id).collect()
    }

    /// Nobody holds a stream any more. Gives whether it is destroyed, of which the other side has to be told, and
    /// acknowledgements that are to be given: one whose end was asked for goes on until what was written has arrived.
    pub(super) fn leave(&mut self, id: StreamId) -> (bool, Vec<u64>) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return (false, Vec::new());
        };
        self.unread_bytes -= std::mem::take(&mut stream.unread_bytes);
        stream.unread.clear();
        if stream.over.is_none() && stream.end == End::Open {
            return (true, Vec::new());
        }
        stream.left = true;
        let owed = stream.owed.drain(..).collect();
        self.remove_if_done(id);
        (false, owed)
    }

    /// Nothing is known of a stream any more.
    pub(super) fn remove(&mut self, id: StreamId) {
        self.finish(id, StreamEnd::Destroyed);
        self.streams.remove(&id);
    }

    fn remove_if_done(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(&id) else { return };
        if stream.left && stream.is_done() {
            if self.by_theirs.get(&stream.theirs) == Some(&id) {
                self.by_theirs.remove(&stream.theirs);
            }
            self.streams.remove(&id);
        }
    }
}
