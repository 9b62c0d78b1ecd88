//! What handles, handlers and the driver of one socket share.
//!
//! The machine of a connection is locked for a moment by a thread that has something to say, never while waiting. The
//! driver is woken to write it. Each connection has a machine of its own.

use super::notice::Notice;
use super::registry::{self, Inbox};
use super::{Ended, SendError, SocketError};
use crate::handling::{Held, Holding};
use crosspoint_gateways::socketio::client::{Args, AskId, Client as Machine, StreamId, Ticket};
use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;
use std::time::Instant;
use tokio::sync::{Notify, oneshot, watch};

/// What became of a question.
#[derive(Debug)]
pub(super) enum Answer {
    /// It was acknowledged.
    Args(Args),
    /// The stream is open.
    Stream(StreamId),
    /// It is not.
    Refused(String),
}

/// Where an answer goes. Nothing comes when the connection ends.
pub(super) type Token = oneshot::Sender<Answer>;

/// Whether a socket has a connection.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Status {
    /// It has none, and is about to connect.
    Connecting,
    /// It has one.
    Connected {
        /// The id that the server has given to it.
        sid: Arc<str>,
    },
    /// It will not have one any more.
    Closed(Ended),
}

/// One connection.
#[derive(Debug)]
pub(super) struct Connection {
    live: Mutex<Live>,
    /// There is something to write, or room to read.
    pub(super) wake: Arc<Notify>,
}

#[derive(Debug)]
pub(super) struct Live {
    pub(super) machine: Machine<Token>,
    /// Who waits for what of a stream.
    pub(super) wakers: HashMap<StreamId, Wakers>,
}

/// The tasks that wait for a stream.
#[derive(Debug, Default)]
pub(super) struct Wakers {
    pub(super) reader: Option<Waker>,
    pub(super) writer: Option<Waker>,
}

impl Wakers {
    pub(super) fn wake(&mut self) {
        for waker in [self.reader.take(), self.writer.take()].into_iter().flatten() {
            waker.wake();
        }
    }
}

impl Connection {
    pub(super) fn new(machine: Machine<Token>, wake: Arc<Notify>) -> Arc<Self> {
        let live = Mutex::new(Live { machine, wakers: HashMap::new() });
        Arc::new(Self { live, wake })
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, Live> {
        // No handler runs under the lock, and the machine does not panic.
        self.live.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Does something with the machine, which may have something to write then.
    pub(super) fn with<R>(&self, act: impl FnOnce(&mut Live) -> R) -> R {
        let result = act(&mut self.lock());
        self.wake.notify_one();
        result
    }
}

/// An event for its handler.
#[derive(Debug)]
pub(super) struct Said {
    pub(super) handle: Arc<Handle>,
    pub(super) connection: Arc<Connection>,
    pub(super) name: Box<str>,
    pub(super) args: Args,
    pub(super) ticket: Option<Ticket>,
}

/// A stream that is open, until it is dropped. Not to be dropped under the lock of its connection.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) handle: Arc<Handle>,
    pub(super) connection: Arc<Connection>,
    pub(super) id: StreamId,
    pub(super) peer: String,
    pub(super) channel: Option<String>,
    pub(super) args: Args,
}

impl Drop for Opened {
    fn drop(&mut self) {
        self.connection.with(|live| {
            live.machine.leave_stream(self.id);
            live.wakers.remove(&self.id);
        });
    }
}

/// What is handled in the order in which it happened.
#[derive(Debug)]
pub(super) enum Happened {
    Said(Said),
    Notice(Notice),
}

pub(super) type Handlers = registry::Handlers<Said, Notice, Opened>;

#[derive(Debug)]
pub(super) struct Shared {
    /// The connection, while the client is in its namespace.
    current: Mutex<Option<Arc<Connection>>>,
    pub(super) wake: Arc<Notify>,
    /// There may be room to say something, or a connection, or the end.
    pub(super) room: Notify,
    pub(super) status: watch::Sender<Status>,
    pub(super) handlers: Handlers,
    pub(super) inbox: Mutex<Inbox<(Happened, Held)>>,
    /// Events whose handlers are not done.
    pub(super) holding: Arc<Holding>,
    closing: watch::Sender<bool>,
}

impl Shared {
    pub(super) fn new(handlers: Handlers) -> Arc<Self> {
        let wake = Arc::new(Notify::new());
        Arc::new(Self {
            current: Mutex::new(None),
            room: Notify::new(),
            status: watch::Sender::new(Status::Connecting),
            handlers,
            inbox: Mutex::default(),
            holding: Holding::new(wake.clone()),
            wake,
            closing: watch::Sender::new(false),
        })
    }

    fn current(&self) -> MutexGuard<'_, Option<Arc<Connection>>> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The connection, if there is one now.
    pub(super) fn connection(&self) -> Option<Arc<Connection>> {
        self.current().clone()
    }

    /// There is a connection.
    pub(super) fn connected(&self, connection: Arc<Connection>, sid: &str) {
        *self.current() = Some(connection);
        self.status.send_replace(Status::Connected { sid: sid.into() });
        self.room.notify_waiters();
    }

    /// There is none any more.
    pub(super) fn disconnected(&self, status: Status) {
        *self.current() = None;
        self.status.send_replace(status);
        self.room.notify_waiters();
    }

    /// The socket is to be closed.
    pub(super) fn close(&self) {
        self.closing.send_replace(true);
        if let Some(connection) = self.connection() {
            connection.lock().machine.close();
        }
        self.wake.notify_one();
    }

    pub(super) fn is_closing(&self) -> bool {
        *self.closing.borrow()
    }

    /// Waits until the socket is to be closed.
    pub(super) async fn closing(&self) {
        let mut closing = self.closing.subscribe();
        // The sender is in this.
        let _ = closing.wait_for(|closing| *closing).await;
    }

    /// How it has ended, or is about to.
    pub(super) fn end_or_here(&self) -> Ended {
        match &*self.status.borrow() {
            Status::Closed(ended) => ended.clone(),
            Status::Connecting | Status::Connected { .. } => Ended::Here,
        }
    }

    /// Hands something to the machine of the connection. Waits as long as it is full, or there is no connection.
    pub(super) async fn submit<R>(
        &self,
        mut attempt: impl FnMut(&mut Machine<Token>) -> Result<R, SendError>,
    ) -> Result<(Arc<Connection>, R), SocketError> {
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            if let Some(connection) = self.connection() {
                let result = attempt(&mut connection.lock().machine);
                match result {
                    Ok(done) => {
                        connection.wake.notify_one();
                        return Ok((connection, done));
                    }
                    Err(SendError::Full | SendError::NotConnected) => {}
                    Err(error) => return Err(error.into()),
                }
            }
            let is_closed = matches!(&*self.status.borrow(), Status::Closed(_));
            if is_closed || self.is_closing() {
                return Err(SocketError::Closed(self.end_or_here()));
            }
            room.await;
        }
    }

    /// Asks something, and waits for the answer. Who gives up the wait forgets the question.
    pub(super) async fn ask(
        &self,
        mut ask: impl FnMut(&mut Machine<Token>, Token) -> Result<Option<AskId>, SendError>,
    ) -> Result<(Arc<Connection>, Answer), SocketError> {
        let (connection, (id, answered)) = self
            .submit(|machine| {
                let (token, answered) = oneshot::channel();
                ask(machine, token).map(|id| (id, answered))
            })
            .await?;
        let waiting = Waiting { connection: &connection, id };
        let answer = answered.await;
        std::mem::forget(waiting);
        let answer = answer.map_err(|_ended| SocketError::Abandoned)?;
        Ok((connection, answer))
    }
}

/// A question without an answer, which is forgotten when it is dropped.
struct Waiting<'a> {
    connection: &'a Connection,
    id: Option<AskId>,
}

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        if let Some(id) = self.id {
            self.connection.with(|live| live.machine.forget(id));
        }
    }
}

/// Owned by all handles of a socket, which is closed with the last of them.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.close();
    }
}

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
