//! The streams of a link.

use super::State;
use super::later::Later;
use crate::peer::error::{PeerError, StreamReset};
use crosspoint_proto::peer::{Read, StreamError, StreamId, code};
use std::io;
use std::task::{Context, Poll, Waker};
use tokio::io::ReadBuf;
use tokio::sync::oneshot;

/// What the handle of a stream has to know beside what the machine knows.
#[derive(Debug, Default)]
pub(crate) struct StreamState {
    /// The task that waits for the other side to accept it.
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
    /// It waits for the other side to accept it.
    pub(crate) fn opening(opening: oneshot::Sender<Result<(), StreamReset>>) -> Self {
        Self { opening: Some(opening), ..Self::default() }
    }

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
    pub(crate) fn leave_stream(&mut self, id: StreamId) {
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

    pub(crate) fn read(
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

    pub(crate) fn write(
        &mut self,
        id: StreamId,
        bytes: &[u8],
        cx: &Context<'_>,
    ) -> Poll<io::Result<usize>> {
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

    pub(crate) fn shut_down(&mut self, id: StreamId) -> io::Result<()> {
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
