//! A session that changes its connection once: from a way in memory, whose far end is carried over requests, to a
//! connection of its own.
//!
//! Whoever has the far end moves the session. It [holds](crate::memory::ReadEnd::hold) the way, so that writers wait,
//! gives the new connection all that is left in it, and then [moves](Handover::move_writers) the writers. No byte can
//! overtake another one: writers see the new connection in the moment in which the way is empty and closed to them. The
//! task of the session reads the way to its end, and finds what it reads [next](Handover::next).

#![cfg_attr(
    not(feature = "socketio"),
    allow(dead_code, reason = "no other gateway moves its sessions")
)]

use super::{Reader, Writer};
use crate::memory::{ReadEnd, WriteEnd};
use crate::ws;
use crosspoint_hub::Reason;
use crosspoint_hub::hub::Admission;
use std::io::{self, IoSlice};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};

/// What a session goes on with.
#[derive(Debug)]
pub(crate) struct Next {
    /// What its client says.
    pub(crate) reader: Reader,
    /// Unwraps the frames, and has some of them already.
    pub(crate) websocket: Box<ws::Connection>,
}

/// Where a session changes its connection.
#[derive(Debug)]
pub(crate) struct Handover {
    /// Where writers write once they have moved.
    then: OnceLock<Writer>,
    next: Mutex<Option<Next>>,
    /// The right of the session's client to be there.
    admission: Mutex<Option<Admission>>,
    /// Why the way was lost.
    lost: OnceLock<Reason>,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is set in one step.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Handover {
    /// A session that has not changed its connection.
    pub(crate) fn new(admission: Admission) -> Arc<Self> {
        let (then, next) = (OnceLock::new(), Mutex::new(None));
        let (admission, lost) = (Mutex::new(Some(admission)), OnceLock::new());
        Arc::new(Self { then, next, admission, lost })
    }

    /// The way is lost for this reason, unless it was lost before.
    pub(crate) fn lose(&self, reason: Reason) {
        // The first is the one that counts.
        let _ = self.lost.set(reason);
    }

    /// Why the way was lost, if it was.
    pub(crate) fn lost(&self) -> Option<Reason> {
        self.lost.get().copied()
    }

    /// Has all writers write to a connection from now on. The way has to be held and empty.
    pub(crate) fn move_writers(&self, way: &ReadEnd, writer: Writer) {
        way.close_moved(|| {
            // There is one far end, which moves once.
            let _ = self.then.set(writer);
        });
    }

    /// Has the session read this behind the end of the way. Its client is there by this right.
    pub(crate) fn go_on_with(&self, next: Next, admission: Admission) {
        *lock(&self.next) = Some(next);
        *lock(&self.admission) = Some(admission);
    }

    /// Whether writers have not moved.
    pub(crate) fn is_to_come(&self) -> bool {
        self.then.get().is_none()
    }

    /// Whether there is something to go on with.
    pub(crate) fn has_next(&self) -> bool {
        lock(&self.next).is_some()
    }

    /// What the session reads behind the end of the way, once.
    pub(crate) fn next(&self) -> Option<Next> {
        lock(&self.next).take()
    }

    /// The session is over: its client has no right to be there any more.
    pub(crate) fn give_back(&self) {
        *lock(&self.next) = None;
        *lock(&self.admission) = None;
    }
}

/// The writing half of a session that may change its connection.
#[derive(Debug)]
pub struct MovingWriter {
    way: WriteEnd,
    handover: Arc<Handover>,
}

impl MovingWriter {
    pub(crate) fn new(way: WriteEnd, handover: Arc<Handover>) -> Self {
        Self { way, handover }
    }

    pub(super) fn handover(&self) -> &Handover {
        &self.handover
    }

    /// The way, as long as the session has not changed its connection, or else that.
    pub(super) fn present(&self) -> Result<&WriteEnd, &Writer> {
        self.handover.then.get().map_or(Ok(&self.way), Err)
    }

    pub(super) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        let way = match self.present() {
            Ok(way) => way,
            Err(writer) => return writer.try_write_vectored(slices),
        };
        match way.try_write_vectored(slices) {
            // It may have been closed in this moment.
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => match self.present() {
                Ok(_) => Err(error),
                Err(writer) => writer.try_write_vectored(slices),
            },
            result => result,
        }
    }

    pub(super) async fn writable(&self) -> io::Result<()> {
        if let Ok(way) = self.present() {
            way.writable().await?;
        }
        match self.present() {
            Ok(_) => Ok(()),
            // Boxed, as it would contain itself.
            Err(writer) => Box::pin(writer.writable()).await,
        }
    }

    pub(super) fn shutdown(&self) {
        self.way.shutdown();
        // It may have changed in this moment.
        if let Err(writer) = self.present() {
            writer.shutdown();
        }
    }
}

#[cfg(test)]
mod tests;
