//! Streams: ordered bytes in both directions, with credit.

use super::core::{Core, State, SubmitError};
use super::later::Later;
use super::{Peer, PeerError, StreamReset};
use bytes::Bytes;
use crosspoint_proto::peer::{Read, StreamError, StreamId, code};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::sync::oneshot;

/// What the handle of a stream has to know beside what the machine knows.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// Who waits for the other side to accept it.
    opening: Option<oneshot::Sender<Result<(), StreamReset>>>,
    reader: Option<Waker>,
    writer: Option<Waker>,
    reset: Option<StreamReset>,
    /// Nothing more is written here.
    finished: bool,
    /// The end was read.
    end_read: bool,
    /// Its handle is gone, and what still comes is of no use.
    abandoned: bool,
    /// It was there before the link was encrypted.
    plain: bool,
}

impl StreamState {
    /// The link is encrypted from now on.
    pub(super) fn note_plain(&mut self) {
        self.plain = true;
    }

    pub(super) fn wake_all(&mut self, later: &mut Later) {
        later.wake(self.reader.take());
        later.wake(self.writer.take());
        // The one who waits finds out why.
        later.drop_opening(self.opening.take());
    }

    /// # Errors
    /// If the other side has reset it.
    fn check(&self) -> io::Result<()> {
        self.reset.clone().map_or(Ok(()), |reset| Err(reset.into()))
    }
}

/// A stream that is no longer there.
fn over(state: &State) -> io::Error {
    match state.ended {
        Some(reason) => io::Error::new(io::ErrorKind::ConnectionAborted, PeerError::Closed(reason)),
        None => io::ErrorKind::BrokenPipe.into(),
    }
}

fn finished() -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, "the stream was shut down on this side")
}

/// Events of the machine.
impl State {
    pub(super) fn stream_accepted(&mut self, id: StreamId, later: &mut Later) {
        if let Some(stream) = self.streams.get_mut(&id)
            && let Some(opening) = stream.opening.take()
        {
            later.opened(opening, Ok(()));
        }
    }

    pub(super) fn stream_readable(&mut self, id: StreamId, later: &mut Later) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        match stream.abandoned {
            true => self.discard(id),
            false => later.wake(stream.reader.take()),
        }
    }

    pub(super) fn stream_writable(&mut self, id: StreamId, later: &mut Later) {
        if let Some(stream) = self.streams.get_mut(&id) {
            later.wake(stream.writer.take());
        }
    }

    pub(super) fn stream_reset(&mut self, id: StreamId, code: u32, text: &str, later: &mut Later) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        let reset = StreamReset { code, text: text.to_owned() };
        if let Some(opening) = stream.opening.take() {
            later.opened(opening, Err(reset.clone()));
        }
        stream.reset = Some(reset);
        later.wake(stream.reader.take());
        later.wake(stream.writer.take());
        if stream.abandoned {
            self.streams.remove(&id);
        }
    }

    /// Ends the streams that were there before the link was encrypted.
    pub(super) fn forget_plain_streams(&mut self, why: &str, later: &mut Later) {
        let plain = self.streams.iter().filter(|(_, stream)| stream.plain);
        let plain: Vec<StreamId> = plain.map(|(id, _)| *id).collect();
        for id in plain {
            // If this fails it is over already.
            let _ = self.machine.reset(id, code::NOT_WANTED, why);
            self.stream_reset(id, code::NOT_WANTED, why, later);
        }
    }

    /// Throws away what has arrived, so that more can come until the end.
    fn discard(&mut self, id: StreamId) {
        loop {
            match self.machine.read(id, usize::MAX) {
                Ok(Read::Bytes(_)) => {}
                Ok(Read::Pending) => return,
                Ok(Read::End) | Err(_) => {
                    self.streams.remove(&id);
                    return;
                }
            }
        }
    }

    /// The handle of a stream is gone.
    fn leave_stream(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get_mut(&id) else {
            return;
        };
        if self.ended.is_some() || stream.reset.is_some() {
            self.streams.remove(&id);
        } else if stream.end_read {
            // The other side needs no more, but may wait for the end. If this fails it has it.
            let _ = self.machine.finish(id);
            self.streams.remove(&id);
        } else if stream.finished {
            // What was written is still to arrive.
            stream.abandoned = true;
            self.discard(id);
        } else {
            // If this fails it is over already.
            let _ = self.machine.reset(id, code::NOT_WANTED, "");
            self.streams.remove(&id);
        }
    }

    fn read(
        &mut self,
        id: StreamId,
        into: &mut ReadBuf<'_>,
        cx: &Context<'_>,
    ) -> Poll<io::Result<()>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(over(self)));
        };
        stream.check()?;
        if stream.end_read || into.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        match self.machine.read(id, into.remaining()) {
            Ok(Read::Bytes(bytes)) => {
                into.put_slice(&bytes);
                Poll::Ready(Ok(()))
            }
            Ok(Read::End) => {
                stream.end_read = true;
                Poll::Ready(Ok(()))
            }
            Ok(Read::Pending) if self.ended.is_none() => {
                stream.reader = Some(cx.waker().clone());
                Poll::Pending
            }
            Ok(Read::Pending) | Err(_) => Poll::Ready(Err(over(self))),
        }
    }

    fn write(&mut self, id: StreamId, bytes: &[u8], cx: &Context<'_>) -> Poll<io::Result<usize>> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Poll::Ready(Err(over(self)));
        };
        stream.check()?;
        if stream.finished {
            return Poll::Ready(Err(finished()));
        }
        if self.ended.is_some() {
            return Poll::Ready(Err(over(self)));
        }
        match self.machine.write(id, bytes) {
            Ok(0) if !bytes.is_empty() => {
                stream.writer = Some(cx.waker().clone());
                Poll::Pending
            }
            Ok(written) => Poll::Ready(Ok(written)),
            Err(_) => Poll::Ready(Err(over(self))),
        }
    }

    fn shut_down(&mut self, id: StreamId) -> io::Result<()> {
        let Some(stream) = self.streams.get_mut(&id) else {
            return Err(over(self));
        };
        stream.check()?;
        if std::mem::replace(&mut stream.finished, true) {
            return Ok(());
        }
        if self.ended.is_some() {
            return Err(over(self));
        }
        match self.machine.finish(id) {
            Ok(()) | Err(StreamError::Finished(_)) => Ok(()),
            Err(_) => Err(over(self)),
        }
    }
}

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

    /// Who is at the other end.
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
    /// Giving up the wait takes the offer back.
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
                let stream = StreamState { opening: Some(opening), ..StreamState::default() };
                state.streams.insert(id, stream);
                Ok((id, opened))
            })
            .await?;
        // From here on dropping it resets it.
        let stream = Stream { peer: self.clone(), id, name: name.into(), metadata };
        match opened.await {
            Ok(Ok(())) => Ok(stream),
            Ok(Err(StreamReset { code, text })) => Err(PeerError::StreamRefused { code, text }),
            Err(_ended) => {
                let ended = core.state().ended.unwrap_or(crate::Reason::ConnectionLost);
                Err(SubmitError::Ended(ended).into())
            }
        }
    }
}
