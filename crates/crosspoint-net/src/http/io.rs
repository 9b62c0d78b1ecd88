//! A connection as hyper wants it: with what was read already in front, and a bound on how long
//! nothing may be taken.

use crate::stream::{Reader, Writer};
use bytes::BytesMut;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// The two halves of a connection, joined again.
pub(super) struct Io {
    first: BytesMut,
    reader: Reader,
    writer: Arc<Writer>,
    /// Waits for room, if there was none.
    writable: Option<Writable>,
    /// Runs while nothing is taken.
    stall: Option<Pin<Box<Sleep>>>,
    stall_max: Duration,
    state: Arc<IoState>,
}

/// What the owner of the connection sees of it while hyper has it.
#[derive(Debug, Default)]
pub(super) struct IoState {
    flushed: AtomicBool,
    stalled: AtomicBool,
    /// A request is being answered.
    busy: AtomicBool,
    /// While none is, some of a head has come.
    begun: AtomicBool,
    written: AtomicU64,
    requests: AtomicU64,
    /// Bytes that have come since the last head was whole.
    head: AtomicUsize,
}

/// What a connection does.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Phase {
    /// Nothing, between two requests.
    Idle,
    /// A head is coming.
    Head,
    /// A request is being answered.
    Busy,
}

/// A request is being answered for as long as this lives.
#[derive(Debug)]
pub(super) struct Busy(Arc<IoState>);

impl Busy {
    pub(super) fn new(state: &Arc<IoState>) -> Self {
        state.busy.store(true, Ordering::Relaxed);
        state.begun.store(false, Ordering::Relaxed);
        state.requests.fetch_add(1, Ordering::Relaxed);
        state.head.store(0, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.store(false, Ordering::Relaxed);
    }
}

impl IoState {
    /// Whether hyper has nothing left to write.
    pub(super) fn is_flushed(&self) -> bool {
        self.flushed.load(Ordering::Relaxed)
    }

    /// What the connection does, and the number of the request that it does it for or after.
    pub(super) fn phase(&self) -> (Phase, u64) {
        let unwritten = !self.is_flushed() && self.written() > 0;
        let phase = if self.busy.load(Ordering::Relaxed) || unwritten {
            Phase::Busy
        } else if self.begun.load(Ordering::Relaxed) {
            Phase::Head
        } else {
            Phase::Idle
        };
        (phase, self.requests.load(Ordering::Relaxed))
    }

    /// Bytes of a head that are there, as far as it is not whole.
    pub(super) fn head(&self) -> usize {
        self.head.load(Ordering::Relaxed)
    }

    /// Bytes that were written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Whether it ended as the other side took nothing.
    pub(super) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}

impl Io {
    /// Joins the halves. Reading begins with `first`.
    pub(super) fn new(
        reader: Reader,
        writer: Writer,
        first: BytesMut,
        stall_max: Duration,
        state: Arc<IoState>,
    ) -> Self {
        let writer = Arc::new(writer);
        Self { first, reader, writer, writable: None, stall: None, stall_max, state }
    }

    /// Waits until the other side will send nothing more. It has to be dropped before
    /// [`Io::into_parts`] is called.
    pub(super) fn gone(&self) -> impl Future<Output = ()> + use<> {
        let writer = self.writer.clone();
        async move { writer.gone().await }
    }

    /// The halves, and what was put in front and is not read yet.
    pub(super) fn into_parts(self) -> (Reader, Writer, BytesMut) {
        let Self { first, reader, writer, writable, .. } = self;
        drop(writable);
        let writer = Arc::into_inner(writer).expect("only the wait for room shared the writer");
        (reader, writer, first)
    }

    fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let writer = &self.writer;
        let writable = self.writable.get_or_insert_with(|| {
            let writer = writer.clone();
            Box::pin(async move { writer.writable().await })
        });
        if let Poll::Ready(result) = writable.as_mut().poll(cx) {
            self.writable = None;
            return Poll::Ready(result);
        }
        let stall = self.stall.get_or_insert_with(|| Box::pin(sleep(self.stall_max)));
        ready!(stall.as_mut().poll(cx));
        self.state.stalled.store(true, Ordering::Relaxed);
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if this.first.is_empty() {
            let before = buffer.filled().len();
            let polled = this.reader.poll_read(cx, buffer);
            let count = buffer.filled().len() - before;
            if count > 0 && !this.state.busy.load(Ordering::Relaxed) {
                this.state.begun.store(true, Ordering::Relaxed);
                this.state.head.fetch_add(count, Ordering::Relaxed);
            }
            return polled;
        }
        let count = buffer.remaining().min(this.first.len());
        buffer.put_slice(&this.first.split_to(count));
        if this.first.is_empty() {
            // Lets go of the memory.
            this.first = BytesMut::new();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Io {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        self.poll_write_vectored(cx, &[IoSlice::new(bytes)])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        this.state.flushed.store(false, Ordering::Relaxed);
        loop {
            if this.writable.is_some() {
                ready!(this.poll_room(cx))?;
            }
            match this.writer.try_write_vectored(slices) {
                Ok(written) => {
                    this.stall = None;
                    this.state.written.fetch_add(written as u64, Ordering::Relaxed);
                    return Poll::Ready(Ok(written));
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    ready!(this.poll_room(cx))?;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Poll::Ready(Err(error)),
            }
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    /// Comes when all was written.
    fn poll_flush(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.flushed.store(true, Ordering::Relaxed);
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.shutdown();
        Poll::Ready(Ok(()))
    }
}
