//! A connection inside one process: two ends, each with the non-blocking face of a TCP socket.

use std::future::{Future, poll_fn};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker, ready};
use std::time::Instant;

use bytes::{Bytes, BytesMut};
use crosspoint_hub::ledger::{Account, Purpose, Tab};
use tokio::io::{AsyncRead, ReadBuf};
use tokio::sync::Notify;
use tokio::task::coop;
use tokio::time::{Sleep, sleep_until};

use super::shaper::{Shape, Shaper};

/// Longest piece of a write on a link with a speed, in bytes: what a TCP segment carries on
/// Ethernet. It makes a long write arrive bit by bit rather than all at its end.
const SEGMENT_BYTES: usize = 1460;

/// Connects two ends: what the first one writes goes by `a_to_b`, what the second one writes by
/// `b_to_a`.
pub fn pair(a_to_b: Shape, b_to_a: Shape) -> (End, End) {
    let there = Arc::new(Lane::new(a_to_b));
    let back = Arc::new(Lane::new(b_to_a));
    let a = End::new(Arc::clone(&there), Arc::clone(&back));
    let b = End::new(back, there);
    (a, b)
}

/// One direction of a connection, shared by its writer and its reader.
#[derive(Debug)]
struct Lane {
    state: Mutex<State>,
    /// Tells waiting writers that there is room again, or never will be.
    writable: Notify,
}

#[derive(Debug)]
struct State {
    shaper: Shaper,
    reader: Option<Waker>,
    closed: Closed,
    /// Pays for what is under way, if anybody does.
    tab: Option<Tab>,
    /// A writer was told that there is no room, and nobody has been told of any since.
    refused: bool,
    /// Writers have to wait, whatever room there is.
    held: bool,
}

/// So much under way is not charged: a message that is handed over and taken at once should cost nothing more.
const FREE_BYTES: usize = 8 * 1024;

/// What keeps bytes from entering a direction.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Closed {
    /// Nothing.
    Open,
    /// The writer has said all; what is under way still arrives.
    Ended,
    /// Writers have to write elsewhere.
    Moved,
    /// Nobody reads any more.
    Deserted,
    /// The connection was lost.
    Aborted,
}

/// What an attempt to read came to.
enum Read {
    /// Bytes were read, or the stream has ended.
    Done,
    /// The connection was lost.
    Aborted,
    /// The next bytes, or the end, arrive then.
    Arrives(Instant),
    /// Nothing was written.
    NothingUnderWay,
}

impl State {
    /// Moves what has arrived into `buf`, or leaves the waker behind.
    fn read(&mut self, now: Instant, cx: &Context<'_>, buf: &mut ReadBuf<'_>) -> Read {
        self.reader = None;
        if self.closed == Closed::Aborted {
            return Read::Aborted;
        }
        let before = buf.filled().len();
        while let Some(piece) = self.shaper.poll_up_to(now, buf.remaining()) {
            buf.put_slice(&piece);
        }
        if buf.filled().len() > before || self.shaper.is_finished(now) {
            return Read::Done;
        }
        self.reader = Some(cx.waker().clone());
        self.shaper.deadline().map_or(Read::NothingUnderWay, Read::Arrives)
    }

    /// Looks whether the end has arrived, behind whatever else, or leaves the waker behind.
    fn look_for_end(&mut self, now: Instant, cx: &Context<'_>) -> Read {
        self.reader = None;
        let end = self.shaper.end();
        if self.closed == Closed::Aborted {
            return Read::Aborted;
        }
        if end.is_some_and(|end| end <= now) {
            return Read::Done;
        }
        self.reader = Some(cx.waker().clone());
        end.map_or(Read::NothingUnderWay, Read::Arrives)
    }

    /// Has the memory charged that is held for what is under way.
    fn settle(&mut self) {
        if let Some(tab) = &mut self.tab {
            let cost = self.shaper.cost();
            tab.settle(if cost > FREE_BYTES { cost } else { 0 });
        }
    }

    /// Room in bytes before the writer has to wait. Above a budget of memory little is taken, and nothing before
    /// all that is under way has been read.
    fn room(&self) -> usize {
        let free = if self.held { 0 } else { self.shaper.free() };
        match self.tab.as_ref().is_some_and(Tab::is_above_budget) {
            true if self.shaper.cost() > 0 => 0,
            true => free.min(FREE_BYTES),
            false => free,
        }
    }

    /// Whether a writer has not to wait. One that has is told later.
    fn is_writable(&mut self) -> bool {
        let is_writable = self.closed != Closed::Open || self.room() > 0;
        self.refused |= !is_writable;
        is_writable
    }
}

impl Lane {
    fn new(shape: Shape) -> Self {
        let state = State {
            shaper: Shaper::new(shape),
            reader: None,
            closed: Closed::Open,
            tab: None,
            refused: false,
            held: false,
        };
        Self { state: Mutex::new(state), writable: Notify::new() }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        // No step leaves the state half changed, so a panic elsewhere does not spoil it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Changes the state, then wakes those that it concerns. The time is read under the lock, so
    /// it never runs backwards from one change to the next.
    fn change<T>(&self, change: impl FnOnce(&mut State, Instant) -> T) -> T {
        let mut state = self.lock();
        let was_due = (state.shaper.deadline(), state.closed);
        let result = change(&mut state, now());
        state.settle();
        let becomes_writable = state.refused && state.is_writable();
        state.refused &= !becomes_writable;
        let reader = if was_due == (state.shaper.deadline(), state.closed) {
            None
        } else {
            state.reader.take()
        };
        drop(state);
        if becomes_writable {
            self.writable.notify_waiters();
        }
        if let Some(reader) = reader {
            reader.wake();
        }
        result
    }

    fn close(&self, why: Closed) {
        self.change(|state, now| match (state.closed, why) {
            (Closed::Open, Closed::Ended) => {
                state.shaper.finish(now);
                state.closed = why;
            }
            (Closed::Open | Closed::Ended, Closed::Deserted | Closed::Aborted) => {
                state.shaper.clear();
                state.closed = why;
            }
            _ => {}
        });
    }

    fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        let wanted = bufs.iter().fold(0usize, |sum, buf| sum.saturating_add(buf.len()));
        self.change(|state, now| {
            match state.closed {
                Closed::Open => {}
                Closed::Ended => return Err(broken("this end was shut down for writing")),
                Closed::Moved => return Err(broken("what is written goes elsewhere")),
                Closed::Deserted => return Err(broken("the other end reads no more")),
                Closed::Aborted => return Err(broken("the connection was aborted")),
            }
            if wanted == 0 {
                return Ok(0);
            }
            let taken = wanted.min(state.room());
            let mut rest = gather(bufs, taken);
            let shape = state.shaper.shape();
            let segment_bytes = if shape.bytes_per_second.is_some() && !shape.accumulate {
                SEGMENT_BYTES
            } else {
                taken
            };
            let mut written = 0;
            while !rest.is_empty() {
                let segment = rest.split_to(rest.len().min(segment_bytes));
                let length = segment.len();
                // It is refused only when the number of pieces is at its bound.
                if state.shaper.push(now, segment).is_err() {
                    break;
                }
                written += length;
            }
            if written == 0 {
                state.refused = true;
                return Err(io::ErrorKind::WouldBlock.into());
            }
            Ok(written)
        })
    }

    async fn writable(&self) -> io::Result<()> {
        coop::consume_budget().await;
        loop {
            // It counts from its making, so a change between the look and the wait is not missed.
            let notified = self.writable.notified();
            if self.lock().is_writable() {
                return Ok(());
            }
            notified.await;
        }
    }
}

/// The first `length` bytes of `bufs` as one.
fn gather(bufs: &[IoSlice<'_>], length: usize) -> Bytes {
    let mut gathered = BytesMut::with_capacity(length);
    for buf in bufs {
        let room = length - gathered.len();
        gathered.extend_from_slice(&buf[..buf.len().min(room)]);
    }
    gathered.freeze()
}

fn broken(why: &'static str) -> io::Error {
    io::Error::new(io::ErrorKind::BrokenPipe, why)
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// One end of an in-memory connection. Dropping it closes the connection: the other end still
/// gets what is under way, then the end of the stream.
///
/// On a paused clock all its calls belong inside the runtime that paused it; elsewhere time runs
/// on.
#[derive(Debug)]
pub struct End {
    reader: ReadEnd,
    writer: WriteEnd,
}

impl End {
    fn new(out: Arc<Lane>, back: Arc<Lane>) -> Self {
        let reader = ReadEnd { lane: Arc::clone(&back), other: Arc::clone(&out), sleep: None };
        Self { reader, writer: WriteEnd { lane: out, other: back } }
    }

    /// Splits the end into halves that can live in different tasks. The writing half takes `&self`
    /// everywhere, so an `Arc` shares it among several writers.
    pub fn into_split(self) -> (ReadEnd, WriteEnd) {
        (self.reader, self.writer)
    }

    /// See [`WriteEnd::try_write_vectored`].
    ///
    /// # Errors
    /// Those of [`WriteEnd::try_write_vectored`].
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.writer.try_write_vectored(bufs)
    }

    /// See [`WriteEnd::writable`].
    ///
    /// # Errors
    /// None.
    pub async fn writable(&self) -> io::Result<()> {
        self.writer.writable().await
    }

    /// See [`ReadEnd::poll_read`].
    ///
    /// # Errors
    /// Those of [`ReadEnd::poll_read`].
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.reader.poll_read(cx, buf)
    }

    /// See [`WriteEnd::shutdown`].
    pub fn shutdown(&self) {
        self.writer.shutdown();
    }

    /// See [`WriteEnd::abort`].
    pub fn abort(&self) {
        self.writer.abort();
    }

    /// See [`WriteEnd::set_shape`].
    pub fn set_shape(&self, shape: Shape) {
        self.writer.set_shape(shape);
    }
}

impl AsyncRead for End {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        self.get_mut().reader.poll_read(cx, buf)
    }
}

/// The writing half of an [`End`]. Dropping it is a [`shutdown`](Self::shutdown).
#[derive(Debug)]
pub struct WriteEnd {
    lane: Arc<Lane>,
    other: Arc<Lane>,
}

impl WriteEnd {
    /// Writes as much as there is room for, as one write, and says how many bytes that was. It
    /// never waits, and may be called from any thread.
    ///
    /// # Errors
    /// `WouldBlock` if there is no room: wait for [`writable`](Self::writable). `BrokenPipe` if
    /// this end was shut down, the other end or its reading half was dropped, or the connection was
    /// aborted.
    pub fn try_write_vectored(&self, bufs: &[IoSlice<'_>]) -> io::Result<usize> {
        self.lane.try_write_vectored(bufs)
    }

    /// Waits until a write would not answer `WouldBlock`. Another writer may be faster, so expect
    /// that answer all the same. Any number may wait.
    ///
    /// # Errors
    /// None; a connection that is gone counts as writable, and the write says what happened.
    pub async fn writable(&self) -> io::Result<()> {
        self.lane.writable().await
    }

    /// Has the memory of what is under way charged, in both directions.
    pub(crate) fn charge(&self, account: &Arc<Account>, purpose: Purpose) {
        for lane in [&self.lane, &self.other] {
            lane.change(|state, _| state.tab = Some(Tab::new(account, purpose)));
        }
    }

    /// Whether something that was written was not read.
    #[cfg(feature = "socketio")]
    pub(crate) fn is_under_way(&self) -> bool {
        self.lane.lock().shaper.deadline().is_some()
    }

    /// Whether something has come the other way that was not read, or its end.
    pub(crate) fn unread(&self) -> bool {
        self.other.change(|state, now| {
            let next = state.shaper.deadline();
            state.closed == Closed::Aborted || next.is_some_and(|next| next <= now)
        })
    }

    /// Closes this direction: what was written still arrives, then the other end reads the end of
    /// the stream. The other direction stays open.
    pub fn shutdown(&self) {
        self.lane.close(Closed::Ended);
    }

    /// Loses the connection at once, in both directions and with all that was under way: both
    /// readers get `ConnectionReset`, both writers `BrokenPipe`.
    pub fn abort(&self) {
        self.lane.close(Closed::Aborted);
        self.other.close(Closed::Aborted);
    }

    /// Changes how this direction behaves from now on, as [`Shaper::set_shape`] says.
    pub fn set_shape(&self, shape: Shape) {
        self.lane.change(|state, now| state.shaper.set_shape(now, shape));
    }

    /// As [`ReadEnd::gone`], for the task that reads.
    #[cfg(feature = "http")]
    pub(crate) async fn gone(&self) {
        gone(&self.other, &mut None).await;
    }
}

/// Waits until the end of what comes over a lane has arrived, or the connection was lost.
async fn gone(lane: &Lane, sleep: &mut Option<Pin<Box<Sleep>>>) {
    poll_fn(|cx| {
        loop {
            match lane.change(|state, now| state.look_for_end(now, cx)) {
                Read::Done | Read::Aborted => return Poll::Ready(()),
                Read::NothingUnderWay => return Poll::Pending,
                Read::Arrives(end) => ready!(poll_until(sleep, end, cx)),
            }
        }
    })
    .await;
}

impl Drop for WriteEnd {
    fn drop(&mut self) {
        self.shutdown();
    }
}

/// The reading half of an [`End`]. Once it is dropped, writes of the other end fail with
/// `BrokenPipe`.
#[derive(Debug)]
pub struct ReadEnd {
    lane: Arc<Lane>,
    other: Arc<Lane>,
    sleep: Option<Pin<Box<Sleep>>>,
}

impl ReadEnd {
    /// Reads what has arrived, as much as fits. No byte read means the end of the stream, unless
    /// `buf` was full to begin with. Only the waker of the latest call is woken.
    ///
    /// # Errors
    /// `ConnectionReset` once either end called `abort`.
    ///
    /// # Panics
    /// Outside a tokio runtime with its time enabled, if it has to wait for bytes under way.
    pub fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if buf.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        let progress = ready!(coop::poll_proceed(cx));
        loop {
            let deadline = match self.lane.change(|state, now| state.read(now, cx, buf)) {
                Read::Done => {
                    progress.made_progress();
                    return Poll::Ready(Ok(()));
                }
                Read::Aborted => {
                    self.sleep = None;
                    let why = "the in-memory connection was aborted";
                    return Poll::Ready(Err(io::Error::new(io::ErrorKind::ConnectionReset, why)));
                }
                Read::NothingUnderWay => return Poll::Pending,
                Read::Arrives(deadline) => deadline,
            };
            ready!(poll_until(&mut self.sleep, deadline, cx));
        }
    }

    /// Waits until the end of the stream has arrived, whatever came before it and was not read, or the
    /// connection was lost.
    pub(crate) async fn gone(&mut self) {
        gone(&self.lane, &mut self.sleep).await;
    }

    /// Has those wait who write what is read here.
    #[cfg_attr(
        not(feature = "socketio"),
        allow(dead_code, reason = "no other gateway moves sessions")
    )]
    pub(crate) fn hold(&self) {
        self.lane.change(|state, _| state.held = true);
    }

    /// Whether nothing is under way.
    #[cfg_attr(
        not(feature = "socketio"),
        allow(dead_code, reason = "no other gateway moves sessions")
    )]
    pub(crate) fn is_empty(&self) -> bool {
        self.lane.lock().shaper.deadline().is_none()
    }

    /// Closes this direction for those who write, who find something else to write to: it is there when they are told.
    pub(crate) fn close_moved(&self, prepare: impl FnOnce()) {
        self.lane.change(|state, _| {
            prepare();
            if state.closed == Closed::Open {
                state.closed = Closed::Moved;
            }
        });
    }

    /// See [`WriteEnd::abort`].
    pub fn abort(&self) {
        self.lane.close(Closed::Aborted);
        self.other.close(Closed::Aborted);
    }
}

/// Waits for a time with a timer that is made at the first need.
fn poll_until(
    sleep: &mut Option<Pin<Box<Sleep>>>,
    until: Instant,
    cx: &mut Context<'_>,
) -> Poll<()> {
    let until = tokio::time::Instant::from_std(until);
    let sleep = sleep.get_or_insert_with(|| Box::pin(sleep_until(until)));
    if sleep.deadline() != until {
        sleep.as_mut().reset(until);
    }
    sleep.as_mut().poll(cx)
}

impl AsyncRead for ReadEnd {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buf: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        ReadEnd::poll_read(self.get_mut(), cx, buf)
    }
}

impl Drop for ReadEnd {
    fn drop(&mut self) {
        self.lane.close(Closed::Deserted);
    }
}

#[cfg(test)]
mod tests;
