//! A connection as hyper wants it: with what was read already in front, and a bound on how long
//! nothing may be taken.
//!
//! Hyper gets one head at a time and no large reads, so that it holds little and it is known how much. What was
//! read ahead waits here.

use crate::reading;
use crate::stream::{Reader, Writer};
use bytes::{Buf, BytesMut};
use std::future::poll_fn;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

type Writable = Pin<Box<dyn Future<Output = io::Result<()>> + Send>>;

/// What hyper gets at once. It enlarges what it reads into, up to its bound, when a read fills 8 KiB.
const READ_BYTES_MAX: usize = 8 * 1024 - 1;

/// The two halves of a connection, joined again.
pub(super) struct Io {
    /// What was read and hyper did not get yet.
    ahead: BytesMut,
    blank: BlankLine,
    reader: Reader,
    writer: Arc<Writer>,
    /// Waits for room, if there was none.
    writable: Option<Writable>,
    /// Runs while nothing is taken.
    stall: Option<Pin<Box<Sleep>>>,
    stall_max: Duration,
    state: Arc<IoState>,
}

/// Finds the empty line that ends a head.
#[derive(Debug, Default)]
struct BlankLine {
    /// A line has ended, and nothing but a carriage return has come since.
    line_ended: bool,
}

impl BlankLine {
    /// How many bytes there are up to the end of a head, if it ends among them.
    fn end(&mut self, bytes: &[u8]) -> Option<usize> {
        for (at, byte) in bytes.iter().enumerate() {
            match byte {
                b'\n' if std::mem::replace(&mut self.line_ended, true) => {
                    self.line_ended = false;
                    return Some(at + 1);
                }
                b'\n' | b'\r' => {}
                _ => self.line_ended = false,
            }
        }
        None
    }
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
    /// Bytes that hyper got so far.
    read: AtomicU64,
    written: AtomicU64,
    requests: AtomicU64,
    /// An answer waits until all before it is written.
    waiting: AtomicBool,
    /// Bytes that hyper got and has not made a request of, at the most.
    head: AtomicUsize,
    /// The last bytes that hyper got end a head.
    whole: AtomicBool,
    /// Bytes of the head of the request that is being answered, at the most.
    request: AtomicUsize,
    /// The memory of what was read and hyper did not get yet.
    ahead: AtomicUsize,
    /// A request has no answer yet, and its client takes an interim one.
    unanswered: AtomicBool,
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
    /// `interim` says whether the client takes interim answers.
    pub(super) fn new(state: &Arc<IoState>, interim: bool) -> Self {
        state.unanswered.store(interim, Ordering::Relaxed);
        state.busy.store(true, Ordering::Relaxed);
        state.begun.store(false, Ordering::Relaxed);
        state.requests.fetch_add(1, Ordering::Relaxed);
        let head = match state.whole.load(Ordering::Relaxed) {
            true => state.head.swap(0, Ordering::Relaxed),
            // It came behind a body, and more may have.
            false => state.head.load(Ordering::Relaxed),
        };
        state.request.store(head, Ordering::Relaxed);
        Self(state.clone())
    }
}

impl Busy {
    /// The answer begins.
    pub(super) fn answer(&self) {
        self.0.unanswered.store(false, Ordering::Relaxed);
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.answer();
        self.0.busy.store(false, Ordering::Relaxed);
        self.0.request.store(0, Ordering::Relaxed);
    }
}

/// A connection as hyper wants it on the client's side.
#[cfg(feature = "socketio")]
pub(crate) fn client_io(
    reader: Reader,
    writer: Writer,
    stall_max: Duration,
) -> impl AsyncRead + AsyncWrite + Send + Unpin {
    // Answers are not cut as requests are.
    let state = IoState { busy: AtomicBool::new(true), ..IoState::default() };
    Io::new(reader, writer, BytesMut::new(), stall_max, Arc::new(state))
}

impl IoState {
    /// Whether an interim answer may be written now.
    pub(super) fn is_unanswered(&self) -> bool {
        self.unanswered.load(Ordering::Relaxed) && self.is_all_written()
    }

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

    /// The memory of what has come and is not answered, at the most.
    pub(super) fn held(&self) -> usize {
        let read = self.head.load(Ordering::Relaxed) + self.request.load(Ordering::Relaxed);
        // A buffer that grows is twice as large as what is in it, at the most.
        2 * read + self.ahead.load(Ordering::Relaxed)
    }

    /// Whether everything is written that hyper had to write.
    pub(super) fn is_all_written(&self) -> bool {
        self.written() == 0 || self.is_flushed()
    }

    /// Waits until everything is written that hyper had to write.
    pub(super) async fn all_written(&self) {
        poll_fn(|_| match self.is_all_written() {
            true => Poll::Ready(()),
            false => {
                // A flush wakes the task, which is the same.
                self.waiting.store(true, Ordering::Relaxed);
                Poll::Pending
            }
        })
        .await;
    }

    /// Bytes that were written so far.
    pub(super) fn written(&self) -> u64 {
        self.written.load(Ordering::Relaxed)
    }

    /// Bytes that were read and written so far.
    pub(super) fn moved(&self) -> u64 {
        self.read.load(Ordering::Relaxed) + self.written()
    }

    /// Whether it ended as the other side took nothing.
    pub(super) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }
}

/// The other side of a connection.
pub(super) struct Far(Arc<Writer>);

impl Far {
    /// An interim answer (RFC 9110, section 15.2), which clients pass over.
    const INTERIM: &[u8] = b"HTTP/1.1 102 Processing\r\n\r\n";

    /// Waits until it will send nothing more. It may wait for an answer, or be gone altogether.
    pub(super) async fn gone(&self) {
        self.0.gone().await;
    }

    /// Waits until it has refused what was written. Not each transport tells that.
    pub(super) async fn lost(&self) {
        self.0.lost().await;
    }

    /// Tells it that the answer is still to come, which it refuses if it is gone.
    ///
    /// # Errors
    /// It is gone, or takes nothing.
    pub(super) fn tell_to_come(&self) -> io::Result<()> {
        let written = self.0.try_write_vectored(&[IoSlice::new(Self::INTERIM)])?;
        // Nobody could write the rest before what hyper writes.
        (written == Self::INTERIM.len())
            .then_some(())
            .ok_or_else(|| io::ErrorKind::WriteZero.into())
    }

    /// Whether something that was written has not reached it yet.
    pub(super) fn is_behind(&self) -> bool {
        self.0.has_undelivered()
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
        state.ahead.store(first.capacity(), Ordering::Relaxed);
        let (ahead, blank) = (first, BlankLine::default());
        let writer = Arc::new(writer);
        Self { ahead, blank, reader, writer, writable: None, stall: None, stall_max, state }
    }

    /// The other side, to see whether it is there. It has to be dropped before [`Io::into_parts`] is called.
    pub(super) fn far(&self) -> Far {
        Far(self.writer.clone())
    }

    /// The halves, and what was put in front and is not read yet.
    pub(super) fn into_parts(self) -> (Reader, Writer, BytesMut) {
        let Self { ahead, reader, writer, writable, .. } = self;
        drop(writable);
        let writer = Arc::into_inner(writer).expect("only the wait for room shared the writer");
        (reader, writer, ahead)
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

impl Io {
    /// Hyper gets so many of these bytes now: all of a body, and no more than one head.
    fn portion(&mut self, bytes: &[u8], busy: bool) -> usize {
        if busy {
            self.blank = BlankLine::default();
            self.state.head.store(bytes.len(), Ordering::Relaxed);
            self.state.whole.store(false, Ordering::Relaxed);
            return bytes.len();
        }
        let end = self.blank.end(bytes);
        let count = end.unwrap_or(bytes.len());
        self.state.head.fetch_add(count, Ordering::Relaxed);
        self.state.whole.store(end.is_some(), Ordering::Relaxed);
        if count > 0 {
            self.state.begun.store(true, Ordering::Relaxed);
        }
        count
    }
}

impl AsyncRead for Io {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        let busy = this.state.busy.load(Ordering::Relaxed);
        let most = buffer.remaining().min(READ_BYTES_MAX);
        if this.ahead.is_empty() {
            let read = reading::poll_read(&mut this.reader, cx, most);
            this.ahead = ready!(read)?;
            this.state.ahead.store(this.ahead.capacity(), Ordering::Relaxed);
        }
        let bytes = std::mem::take(&mut this.ahead);
        let count = this.portion(&bytes[..most.min(bytes.len())], busy);
        buffer.put_slice(&bytes[..count]);
        this.ahead = bytes;
        this.ahead.advance(count);
        if this.ahead.is_empty() {
            // Lets go of the memory.
            this.ahead = BytesMut::new();
            this.state.ahead.store(0, Ordering::Relaxed);
        }
        this.state.read.fetch_add(count as u64, Ordering::Relaxed);
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
    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.state.flushed.store(true, Ordering::Relaxed);
        if self.state.waiting.swap(false, Ordering::Relaxed) {
            cx.waker().wake_by_ref();
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.writer.shutdown();
        Poll::Ready(Ok(()))
    }
}
