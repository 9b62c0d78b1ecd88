//! What handles, handlers and the driver of one connection share.
//!
//! The protocol is locked for a moment by a thread that has something to send, never while waiting. The
//! driver is woken to write it.

use super::{Arg, Ended, Id, Json, PeerError, ProxyError};
use crate::handling::{Handling, Held, Holding};
use crosspoint_gateways::anysocket::Ticket;
use crosspoint_gateways::anysocket::client::{LinkId, Moment, Peer as Machine, SendError};
use crosspoint_hub::PeerId;
use serde_json::Value;
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, oneshot, watch};

/// No time-out is further away than this.
const FAR: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// An answer, and when it came.
pub(super) type Answer = Result<(Json, Instant), PeerError>;
pub(super) type Asker = oneshot::Sender<Result<Arc<Link>, ProxyError>>;

#[derive(Debug)]
pub(super) struct Shared {
    state: Mutex<State>,
    /// There is something to write, or room to read.
    pub(super) wake: Arc<Notify>,
    /// There may be room to send again, or the end.
    pub(super) room: Notify,
    /// A peer has come, or the end.
    pub(super) arrived: Notify,
    pub(super) handlers: Handlers,
    /// Messages and calls whose handlers are not done.
    pub(super) holding: Arc<Holding>,
    /// How long replies may take where nothing else is said.
    pub(super) reply_timeout: Duration,
    pub(super) id: PeerId,
}

#[derive(Debug)]
pub(super) struct State {
    pub(super) machine: Machine<oneshot::Sender<Answer>>,
    pub(super) links: HashMap<LinkId, Arc<Link>>,
    /// Peers that have come and were not accepted yet.
    pub(super) incoming: VecDeque<Arc<Link>>,
    pub(super) askers: HashMap<PeerId, Vec<Asker>>,
}

/// One link as its handles know it.
#[derive(Debug)]
pub(super) struct Link {
    pub(super) link: LinkId,
    pub(super) id: Id,
    pub(super) auth: Option<Json>,
    pub(super) inbox: Mutex<Inbox>,
    pub(super) secured: watch::Sender<Option<[u8; 32]>>,
    pub(super) ended: watch::Sender<Option<Ended>>,
}

/// Messages that wait for the handler, of which one is handled at a time.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    pub(super) waiting: VecDeque<(Json, Option<Ticket>, Held)>,
    pub(super) running: bool,
}

impl Link {
    pub(super) fn new(link: LinkId, id: Id, auth: Option<Json>) -> Arc<Self> {
        let inbox = Mutex::default();
        let (secured, ended) = (watch::Sender::new(None), watch::Sender::new(None));
        Arc::new(Self { link, id, auth, inbox, secured, ended })
    }

    /// How it has ended, or is about to.
    pub(super) fn end_or_here(&self) -> Ended {
        self.ended.borrow().clone().unwrap_or(Ended::Here)
    }

    /// Waits for its end.
    pub(super) async fn over(&self) -> Ended {
        let mut ended = self.ended.subscribe();
        let over = ended.wait_for(Option::is_some).await;
        over.ok().and_then(|ended| ended.clone()).unwrap_or(Ended::Here)
    }
}

impl Shared {
    pub(super) fn new(
        machine: Machine<oneshot::Sender<Answer>>,
        handlers: Handlers,
        reply_timeout: Duration,
    ) -> Self {
        let id = machine.id();
        let wake = Arc::new(Notify::new());
        let state = State {
            machine,
            links: HashMap::new(),
            incoming: VecDeque::new(),
            askers: HashMap::new(),
        };
        Self {
            state: Mutex::new(state),
            holding: Holding::new(wake.clone()),
            wake,
            room: Notify::new(),
            arrived: Notify::new(),
            handlers,
            reply_timeout,
            id,
        }
    }

    pub(super) fn lock(&self) -> MutexGuard<'_, State> {
        // No handler runs under the lock, and the protocol does not panic.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Hands something to the protocol; waits as long as it is full.
    pub(super) async fn submit<R>(
        &self,
        link: &Link,
        mut attempt: impl FnMut(&mut State) -> Result<R, SendError>,
    ) -> Result<R, PeerError> {
        loop {
            let mut room = pin!(self.room.notified());
            room.as_mut().enable();
            let result = attempt(&mut self.lock());
            match result {
                Ok(done) => {
                    self.wake.notify_one();
                    return Ok(done);
                }
                Err(error) if error.is_full() => room.await,
                Err(SendError::Ended) => return Err(PeerError::Ended(link.end_or_here())),
                Err(SendError::Link(error)) => return Err(error.into()),
            }
        }
    }
}

/// Handles what a peer says, and gives what it says to that, if anything. It gets the link, and what keeps
/// the connection open.
pub(super) type MessageHandler =
    Arc<dyn Fn(Arc<Handle>, Arc<Link>, Json) -> Handling<Option<Value>> + Send + Sync>;

/// Handles a call with its parameters. The error is a text for the caller.
pub(super) type CallHandler =
    Arc<dyn Fn(Arc<Handle>, Arc<Link>, Vec<Arg>) -> Handling<Result<Arg, String>> + Send + Sync>;

/// The handlers of a connection, for all its peers.
#[derive(Default)]
pub(super) struct Handlers {
    calls: RwLock<HashMap<Vec<String>, CallHandler>>,
    message: RwLock<Option<MessageHandler>>,
}

impl Handlers {
    pub(super) fn set_method(&self, path: Vec<String>, handler: CallHandler) {
        let mut calls = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        let _former = calls.insert(path, handler);
    }

    pub(super) fn set_message(&self, handler: MessageHandler) {
        *self.message.write().unwrap_or_else(PoisonError::into_inner) = Some(handler);
    }

    pub(super) fn method(&self, path: &[String]) -> Option<CallHandler> {
        self.calls.read().unwrap_or_else(PoisonError::into_inner).get(path).cloned()
    }

    pub(super) fn message(&self) -> Option<MessageHandler> {
        self.message.read().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let calls = self.calls.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(calls.keys().map(|path| path.join("."))).finish()
    }
}

/// Owned by all handles of a connection, which ends with the last of them. Not to be dropped under the
/// lock.
#[derive(Debug)]
pub(super) struct Handle {
    pub(super) shared: Arc<Shared>,
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.lock().machine.close();
        self.shared.wake.notify_one();
    }
}

/// The present time.
pub(super) fn moment() -> Moment {
    let since = SystemTime::now().duration_since(UNIX_EPOCH);
    // A clock before 1970 is as wrong as one at 1970.
    let clock_ms = since.map_or(0, |since| u64::try_from(since.as_millis()).unwrap_or(u64::MAX));
    Moment { now: now(), clock_ms }
}

pub(super) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

/// When a time-out is over.
pub(super) fn after(timeout: Duration) -> Instant {
    now() + timeout.min(FAR)
}
