//! The calling end: sending calls, and joining replies to those who wait for them.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use bytes::{Buf, BufMut, Bytes, BytesMut};
use tokio::sync::oneshot;

use super::wire::{MAX_CALL_ID_BYTES, Status, put_call_id, take_call_id};
use super::{CALL, DecodeError, EncodeError, MESSAGE, Reader, Value};

/// How long a [`Caller`] waits for a reply unless told otherwise.
pub const DEFAULT_TIMEOUT: Duration = Duration::from_secs(10);

/// How many calls of a transport may wait for their replies unless told otherwise.
pub const MAX_CALLS: usize = 1024;

/// Why a transport did not take a message. Nothing was sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum TransportError {
    /// The transport has ended.
    #[error("the connection to the far end is closed")]
    Closed,
    /// As much waits to be sent as may wait.
    #[error("too much waits to be sent to the hub; call again a little later")]
    Congested,
    /// The channel is for messages.
    #[error("the channel was not opened for calls; create and enter it with calls()")]
    NoCalls,
}

/// The way to the far end of a channel.
pub trait CallTransport: Send + Sync {
    /// Puts a message of a [kind](super#on-the-wire) into the outbox, without waiting.
    ///
    /// # Errors
    ///
    /// See [`TransportError`].
    fn send(&self, kind: u8, payload: Bytes) -> Result<(), TransportError>;

    /// Whether the far end can answer calls. Haxe programs cannot.
    fn replies(&self) -> bool;

    /// The largest payload of a message, in bytes.
    fn max_payload(&self) -> usize {
        usize::MAX
    }
}

/// Why a call was not made, or has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CallError {
    /// The far end cannot send replies. Nothing was sent.
    #[error("the far end cannot send replies; call only methods without a result")]
    NoReplies,
    /// The call was not sent, or the transport was closed while the call waited.
    #[error(transparent)]
    Transport(#[from] TransportError),
    /// As many calls wait for replies as are allowed. Nothing was sent.
    #[error("{limit} calls wait for their replies already; wait for some of them first")]
    TooManyCalls {
        /// The limit.
        limit: usize,
    },
    /// No reply came in time. The far end may still have done what was asked.
    #[error("no reply of procedure {procedure} of object {object} within {after:?}")]
    TimedOut {
        /// The object id.
        object: u8,
        /// The procedure number.
        procedure: u8,
        /// How long the call waited.
        after: Duration,
    },
    /// An argument is too large to be encoded. Nothing was sent.
    #[error("an argument is too large: {0}")]
    Argument(#[from] EncodeError),
    /// The call as a whole is too large for the transport. Nothing was sent.
    #[error("the call has {length} bytes, the transport takes {max} at most; send less at once")]
    TooLarge {
        /// The length of the message, in bytes.
        length: usize,
        /// The largest possible length, in bytes.
        max: usize,
    },
    /// The far end has no such object.
    #[error("the far end has no object {object}; wait until it is announced")]
    UnknownObject {
        /// The object id.
        object: u8,
    },
    /// The far end's object has no such procedure.
    #[error(
        "object {object} of the far end has no procedure {procedure}; are the traits at the two \
         ends the same?"
    )]
    UnknownProcedure {
        /// The object id.
        object: u8,
        /// The procedure number.
        procedure: u8,
    },
    /// The far end could not decode the arguments.
    #[error(
        "the far end found the arguments of procedure {procedure} of object {object} malformed; \
         are the traits at the two ends the same?"
    )]
    MalformedArguments {
        /// The object id.
        object: u8,
        /// The procedure number.
        procedure: u8,
    },
    /// The far end has run the procedure, but its result was too large to be sent.
    #[error("the result of procedure {procedure} of object {object} was too large to be sent")]
    ResultTooLarge {
        /// The object id.
        object: u8,
        /// The procedure number.
        procedure: u8,
    },
    /// The reply has a status unknown here.
    #[error("the reply has the unknown status {status}; the far end is of another version")]
    UnknownStatus {
        /// The status.
        status: u8,
    },
    /// The reply does not hold the expected result.
    #[error("the reply does not hold the expected result: {0}")]
    MalformedResult(#[from] DecodeError),
}

/// What became of a reply.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answered {
    /// It was given to the call that waits for it.
    Delivered,
    /// Nobody waits for it: the call was given up in the meantime, or there was none.
    NobodyWaits,
}

/// A reply without its call id.
struct Reply {
    status: u8,
    rest: Reader,
}

#[derive(Default)]
struct Waiting {
    next_id: u32,
    /// Dropping a sender tells its call that the transport is closed.
    calls: HashMap<u32, oneshot::Sender<Reply>>,
    closed: bool,
}

struct Shared {
    transport: Box<dyn CallTransport>,
    limit: usize,
    waiting: Mutex<Waiting>,
}

/// The calls over one transport: sends them and keeps account of those that wait for a reply.
///
/// A handle; clones share the same account. The reader of the transport gives each message of kind
/// [`REPLY`](super::REPLY) to [`reply`](Self::reply), and says [`close`](Self::close) at the end.
#[derive(Clone)]
pub struct Calls {
    shared: Arc<Shared>,
}

impl Calls {
    /// Calls over `transport`, of which [`MAX_CALLS`] may wait for replies at a time.
    pub fn new(transport: impl CallTransport + 'static) -> Self {
        Self::with_limit(transport, MAX_CALLS)
    }

    /// Calls over `transport`, of which `limit` may wait for replies at a time.
    pub fn with_limit(transport: impl CallTransport + 'static, limit: usize) -> Self {
        let waiting = Mutex::default();
        Self { shared: Arc::new(Shared { transport: Box::new(transport), limit, waiting }) }
    }

    /// Takes the payload of a message of kind [`REPLY`](super::REPLY). `None` if it is malformed.
    /// A call that was given up may get its reply still, so one that nobody waits for is no fault.
    pub fn reply(&self, payload: Bytes) -> Option<Answered> {
        let mut rest = Reader::new(payload);
        let id = take_call_id(&mut rest)?;
        let [status] = rest.array().ok()?;
        let call = self.waiting().calls.remove(&id);
        let taken = call.is_some_and(|call| call.send(Reply { status, rest }).is_ok());
        Some(if taken { Answered::Delivered } else { Answered::NobodyWaits })
    }

    /// Ends all calls that wait, and all later ones of any form, with [`TransportError::Closed`].
    pub fn close(&self) {
        let mut waiting = self.waiting();
        waiting.closed = true;
        let calls = std::mem::take(&mut waiting.calls);
        // Dropping wakes tasks, which may want the lock at once.
        drop(waiting);
        drop(calls);
    }

    /// Ends all calls that wait with [`TransportError::Closed`]: who was to answer them has gone. Later
    /// ones are for its successor.
    pub(crate) fn cut(&self) {
        let calls = std::mem::take(&mut self.waiting().calls);
        drop(calls);
    }

    /// How many calls wait for a reply.
    pub fn in_flight(&self) -> usize {
        self.waiting().calls.len()
    }

    fn waiting(&self) -> MutexGuard<'_, Waiting> {
        // No code that can panic runs while the lock is held, and a count of calls would still be
        // right if it did.
        self.shared.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn send(&self, kind: u8, payload: Bytes) -> Result<(), CallError> {
        let (length, max) = (payload.len(), self.shared.transport.max_payload());
        if length > max {
            return Err(CallError::TooLarge { length, max });
        }
        if self.waiting().closed {
            return Err(TransportError::Closed.into());
        }
        Ok(self.shared.transport.send(kind, payload)?)
    }

    /// Makes room for a call that waits for its reply.
    fn wait(&self) -> Result<(Entry, oneshot::Receiver<Reply>), CallError> {
        let mut waiting = self.waiting();
        if waiting.closed {
            return Err(TransportError::Closed.into());
        }
        let limit = self.shared.limit;
        if waiting.calls.len() >= limit {
            return Err(CallError::TooManyCalls { limit });
        }
        // Ids come round again after 2^32 calls; a free one is found since fewer than `limit` wait.
        let mut id = waiting.next_id;
        while waiting.calls.contains_key(&id) {
            id = id.wrapping_add(1);
        }
        waiting.next_id = id.wrapping_add(1);
        let (sender, receiver) = oneshot::channel();
        waiting.calls.insert(id, sender);
        Ok((Entry { calls: self.clone(), id }, receiver))
    }
}

impl fmt::Debug for Calls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Calls")
            .field("replies", &self.shared.transport.replies())
            .field("in_flight", &self.in_flight())
            .finish()
    }
}

/// The place of a waiting call. It is given up when the call's future ends or is dropped.
struct Entry {
    calls: Calls,
    id: u32,
}

impl Drop for Entry {
    fn drop(&mut self) {
        let _sender = self.calls.waiting().calls.remove(&self.id);
    }
}

/// Calls the procedures of one object of the far end by number; `#[remote]` wraps it into typed
/// methods.
#[derive(Debug, Clone)]
pub struct Caller {
    calls: Calls,
    object: u8,
    timeout: Duration,
}

impl Caller {
    /// A caller of object `object`, which waits [`DEFAULT_TIMEOUT`] for replies.
    pub fn new(calls: &Calls, object: u8) -> Self {
        Self { calls: calls.clone(), object, timeout: DEFAULT_TIMEOUT }
    }

    /// The same caller with another time to wait for replies.
    #[must_use]
    pub fn with_timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }

    /// Begins a call of a procedure; arguments are added next.
    pub fn procedure(&self, procedure: u8) -> Call<'_> {
        let mut message = BytesMut::with_capacity(64);
        message.put_bytes(0, MAX_CALL_ID_BYTES);
        message.put_slice(&[self.object, procedure]);
        Call { caller: self, procedure, message }
    }
}

/// A call that is being written.
#[derive(Debug)]
pub struct Call<'a> {
    caller: &'a Caller,
    procedure: u8,
    /// Begins with room for the longest call id, so that the arguments are written only once.
    message: BytesMut,
}

impl Call<'_> {
    /// Adds the next argument.
    ///
    /// # Errors
    ///
    /// [`CallError::Argument`] if it is too large.
    pub fn arg(mut self, value: &impl Value) -> Result<Self, CallError> {
        value.encode(&mut self.message)?;
        Ok(self)
    }

    /// Sends the call of a procedure without result.
    ///
    /// # Errors
    ///
    /// [`CallError::TooLarge`] or [`CallError::Transport`].
    pub fn send(mut self) -> Result<(), CallError> {
        self.message.advance(MAX_CALL_ID_BYTES);
        self.caller.calls.send(MESSAGE, self.message.freeze())
    }

    /// Sends the call of a procedure with a result and waits for that, at most as long as the
    /// [`Caller`] says. Dropping the future gives the call up; the far end is not told.
    ///
    /// # Errors
    ///
    /// Any [`CallError`] but [`CallError::Argument`].
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime with its timer enabled.
    pub async fn ask<T: Value>(mut self) -> Result<T, CallError> {
        let Caller { calls, object, timeout } = self.caller;
        let (object, procedure, after) = (*object, self.procedure, *timeout);
        if !calls.shared.transport.replies() {
            return Err(CallError::NoReplies);
        }
        let (entry, reply) = calls.wait()?;
        let mut id = BytesMut::with_capacity(MAX_CALL_ID_BYTES);
        put_call_id(entry.id, &mut id);
        self.message.advance(MAX_CALL_ID_BYTES - id.len());
        self.message[..id.len()].copy_from_slice(&id);
        calls.send(CALL, self.message.freeze())?;

        let Ok(reply) = tokio::time::timeout(after, reply).await else {
            return Err(CallError::TimedOut { object, procedure, after });
        };
        let Reply { status, mut rest } = reply.map_err(|_| TransportError::Closed)?;
        match Status::from_byte(status) {
            Some(Status::Ok) => {
                let result = T::decode(&mut rest)?;
                rest.finish()?;
                Ok(result)
            }
            Some(Status::UnknownObject) => Err(CallError::UnknownObject { object }),
            Some(Status::UnknownProcedure) => {
                Err(CallError::UnknownProcedure { object, procedure })
            }
            Some(Status::Malformed) => Err(CallError::MalformedArguments { object, procedure }),
            Some(Status::ResultTooLarge) => Err(CallError::ResultTooLarge { object, procedure }),
            None => Err(CallError::UnknownStatus { status }),
        }
    }
}
