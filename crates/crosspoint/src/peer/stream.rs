//! Streams: ordered bytes in both directions, with credit.

use super::Peer;
use super::error::{PeerError, StreamReset};
use super::link::{Core, StreamState, SubmitError};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_proto::peer::{StreamId, code};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// Ordered bytes in both directions between two peers. It reads and writes as a TCP connection
/// does, with the traits of tokio; [`tokio::io::split`] makes two halves of it.
///
/// * What is written is on its way at once; there is nothing to flush.
/// * Shutting it down ends what this side writes; the other direction goes on.
/// * A reader who is slow slows the writer, and nothing else of the connection: what was sent and
///   not read is at most the reader's [window](crate::NodeBuilder::stream_window).
/// * Dropping it before the shutdown resets it, so that what is on its way may be lost. Dropped
///   after it, what was written still arrives, and what the other side writes is thrown away.
///
/// It holds the link to the peer.
pub struct Stream {
    peer: Peer,
    id: StreamId,
    name: Arc<str>,
    metadata: Bytes,
}

impl Stream {
    /// The name under which it was opened.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What its opener says about it.
    pub fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    /// The peer at the other end.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// Ends both directions at once. The code, from 1000 on, is the application's own, and the
    /// text, of at most 1 KiB, is for people. The other side finds both in [`StreamReset`].
    pub fn reset(self, code: u32, text: &str) {
        self.core().with(|state, _| {
            // If it is over there is nothing to end.
            let _ = state.machine.reset(self.id, code, text);
            state.streams.remove(&self.id);
        });
    }

    fn core(&self) -> &Arc<Core> {
        &self.peer.handle.core
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.core().with(|state, _| state.read(self.id, into, cx))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.core().with(|state, _| state.write(self.id, bytes, cx))
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(self.core().with(|state, _| state.shut_down(self.id)))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.core().with(|state, _| state.leave_stream(self.id));
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("id", &self.id.0)
            .field("name", &self.name)
            .field("peer", &self.peer.id())
            .finish_non_exhaustive()
    }
}

/// A stream that the other side offers. Dropping it refuses it.
#[must_use = "dropping it refuses the stream"]
pub struct StreamOffer {
    peer: Peer,
    id: StreamId,
    name: Arc<str>,
    metadata: Bytes,
    decided: bool,
}

impl StreamOffer {
    pub(super) fn new(peer: Peer, id: StreamId, name: String, metadata: Bytes) -> Self {
        Self { peer, id, name: name.into(), metadata, decided: false }
    }

    /// What it is for.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// What else the other side says about it.
    pub fn metadata(&self) -> &Bytes {
        &self.metadata
    }

    /// Takes it. If the other side has gone or taken the offer back, reading and writing say so.
    pub fn accept(mut self) -> Stream {
        self.decided = true;
        self.core().with(|state, _| {
            if state.machine.accept(self.id).is_ok() {
                state.streams.insert(self.id, StreamState::default());
            }
        });
        let (name, metadata) = (self.name.clone(), self.metadata.clone());
        Stream { peer: self.peer.clone(), id: self.id, name, metadata }
    }

    /// Refuses it. The code, from 1000 on, is the application's own, and the text, of at most 1
    /// KiB, is for people; the other side finds both in [`PeerError::StreamRefused`].
    pub fn refuse(mut self, code: u32, text: &str) {
        self.decided = true;
        self.refuse_with(code, text);
    }

    fn refuse_with(&self, code: u32, text: &str) {
        // If this fails the offer was taken back.
        let _ = self.core().with(|state, _| state.machine.reset(self.id, code, text));
    }

    fn core(&self) -> &Arc<Core> {
        &self.peer.handle.core
    }
}

impl Drop for StreamOffer {
    fn drop(&mut self) {
        if !self.decided {
            self.refuse_with(code::NOT_FOUND, "nobody accepts streams of this name");
        }
    }
}

impl fmt::Debug for StreamOffer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamOffer")
            .field("name", &self.name)
            .field("metadata", &self.metadata)
            .finish_non_exhaustive()
    }
}

impl Peer {
    /// Opens a stream, and waits until the other side has accepted it. The name, of at most 255
    /// bytes, says what it is for, the metadata, of at most 16 KiB, what else there is to know.
    ///
    /// The wait has no timeout. A task that opens a stream and accepts it itself at the other end, one after the
    /// other, waits forever: do both at the same time, as with `tokio::join!`. Giving up the wait takes the offer
    /// back.
    ///
    /// # Errors
    /// [`PeerError::StreamRefused`], [`PeerError::TooManyStreams`], [`PeerError::TooLong`],
    /// [`PeerError::Closed`].
    pub async fn open(
        &self,
        name: impl Into<String>,
        metadata: impl Into<Bytes>,
    ) -> Result<Stream, PeerError> {
        let (name, metadata) = (name.into(), metadata.into());
        let core = &self.handle.core;
        let (id, opened) = core
            .submit(|state| {
                let id = state.machine.open(&name, &metadata)?;
                let (opening, opened) = oneshot::channel();
                state.streams.insert(id, StreamState::opening(opening));
                Ok((id, opened))
            })
            .await?;
        // From here on dropping it resets it.
        let stream = Stream { peer: self.clone(), id, name: name.into(), metadata };
        match opened.await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(StreamReset { code, text })) => Err(PeerError::StreamRefused { code, text }),
            Err(_ended) => {
                let ended = core.state().ended.unwrap_or(Reason::ConnectionLost);
                Err(SubmitError::Ended(ended).into())
            }
        }
    }
}
