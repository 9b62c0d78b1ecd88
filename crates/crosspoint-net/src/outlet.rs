//! Moves an outbox's bytes to its connection, from whichever thread has just filled it.

use crate::stream::Writer;
use bytes::Bytes;
use crosspoint_hub::Hub;
use crosspoint_hub::command::Event;
use crosspoint_hub::endpoint::{self, Endpoint};
use crosspoint_hub::envelope::Compressor;
use crosspoint_hub::metrics::Metrics;
use crosspoint_hub::outbox::WriteStep;
use std::cell::RefCell;
use std::io::{self, IoSlice};
use std::sync::Arc;
use std::time::Instant;
use tokio::sync::Notify;

/// How often one thread writes for a receiver that others keep filling, before it leaves the rest
/// to the receiver's own task.
const ROUNDS_MAX: usize = 8;

/// The writing half of a session's connection. Cheap to clone.
#[derive(Clone)]
pub struct Outlet(Arc<Inner>);

struct Inner {
    hub: Arc<Hub>,
    writer: Writer,
    task: Notify,
}

thread_local! {
    /// Pieces on their way. Kept, so that a write allocates nothing.
    static PIECES: RefCell<Vec<Bytes>> = const { RefCell::new(Vec::new()) };
}

/// How a round of writing ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wrote {
    /// All that was taken out.
    All,
    /// The connection takes no more at present.
    Blocked,
    /// The connection is lost.
    Lost,
}

impl Outlet {
    /// The outlet of a connection.
    pub fn new(hub: Arc<Hub>, writer: Writer) -> Self {
        Self(Arc::new(Inner { hub, writer, task: Notify::new() }))
    }

    /// The same for the endpoint of the connection, which may have agreed to compressed frames.
    pub(crate) fn of_endpoint(&self, compresses: bool) -> Box<dyn endpoint::Outlet> {
        match compresses {
            true => Box::new(CompressedOutlet(self.clone())),
            false => Box::new(self.clone()),
        }
    }

    /// The connection's writing half.
    pub fn writer(&self) -> &Writer {
        &self.0.writer
    }

    /// Waits until the session's task has something to do.
    pub async fn notified(&self) {
        self.0.task.notified().await;
    }

    /// Takes the next step of the outbox, and writes if there are bytes first in it. `task` says whether
    /// the session's own task does it.
    pub fn step(&self, endpoint: &Endpoint, task: bool) -> Result<Wrote, WriteStep> {
        self.step_with(endpoint, |pieces| endpoint.next(task, pieces))
    }

    /// As [`Self::step`] for the session's own task, of events only those that its protocol takes ahead.
    #[cold]
    pub fn step_ahead(
        &self,
        endpoint: &Endpoint,
        takes: &dyn Fn(&Event) -> bool,
    ) -> Result<Wrote, WriteStep> {
        self.step_with(endpoint, |pieces| endpoint.next_ahead(takes, pieces))
    }

    #[inline]
    fn step_with(
        &self,
        endpoint: &Endpoint,
        next: impl FnOnce(&mut Vec<Bytes>) -> WriteStep,
    ) -> Result<Wrote, WriteStep> {
        PIECES.with_borrow_mut(|pieces| match next(pieces) {
            WriteStep::Write => Ok(self.write(endpoint, pieces)),
            other => Err(other),
        })
    }

    #[inline]
    fn write(&self, endpoint: &Endpoint, pieces: &mut Vec<Bytes>) -> Wrote {
        let mut slices = [IoSlice::new(&[]); Endpoint::PIECES_MAX];
        let mut total = 0;
        for (slice, piece) in slices.iter_mut().zip(pieces.iter()) {
            *slice = IoSlice::new(piece);
            total += piece.len();
        }
        let result = self.0.writer.try_write_vectored(&slices[..pieces.len()]);
        let (written, wrote) = match result {
            Ok(written) if written == total => (written, Wrote::All),
            Ok(written) => (written, Wrote::Blocked),
            Err(error) if error.kind() == io::ErrorKind::WouldBlock => (0, Wrote::Blocked),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => (0, Wrote::All),
            Err(_lost) => (0, Wrote::Lost),
        };
        endpoint.wrote(now(), pieces, written, wrote != Wrote::All);
        let metrics: &Metrics = &self.0.hub.metrics;
        metrics.bytes_out.inc_by(written as u64);
        wrote
    }
}

impl endpoint::Outlet for Outlet {
    fn flush(&self, endpoint: &Endpoint) {
        for _ in 0..ROUNDS_MAX {
            match self.step(endpoint, false) {
                Ok(Wrote::All) => {}
                Err(WriteStep::Nothing | WriteStep::Blocked) => return,
                // Its own task waits until more can be written, or notices the loss.
                Ok(Wrote::Blocked | Wrote::Lost) | Err(_) => break,
            }
        }
        self.wake();
    }

    fn wake(&self) {
        self.0.task.notify_one();
    }

    fn unread(&self) -> bool {
        self.0.writer.unread()
    }
}

/// The outlet of an endpoint that has agreed to compressed frames.
struct CompressedOutlet(Outlet);

impl endpoint::Outlet for CompressedOutlet {
    fn flush(&self, endpoint: &Endpoint) {
        self.0.flush(endpoint);
    }

    fn wake(&self) {
        self.0.wake();
    }

    fn unread(&self) -> bool {
        self.0.unread()
    }

    fn compressor(&self) -> Option<Arc<Compressor>> {
        self.0.0.hub.compressor()
    }
}

/// The time as the runtime sees it, which tests may pause.
pub fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
