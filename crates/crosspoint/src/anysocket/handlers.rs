//! What answers messages and calls.

use super::arg::Arg;
use super::{Json, Peer, PeerError};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::collections::HashMap;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::task::Poll;

type Future<T> = Pin<Box<dyn std::future::Future<Output = T> + Send>>;
pub(super) type MessageHandler = Arc<dyn Fn(Message) -> Future<Reply> + Send + Sync>;
pub(super) type CallHandler = Arc<dyn Fn(Call) -> Future<Result<Arg, String>> + Send + Sync>;

/// A message of a peer's application.
#[derive(Debug)]
pub struct Message {
    pub(super) peer: Peer,
    pub(super) body: Json,
}

impl Message {
    /// Who said it.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What was said, as JSON text. Texts that were no JSON are null.
    pub fn json(&self) -> &Json {
        &self.body
    }

    /// What was said.
    ///
    /// # Errors
    /// [`PeerError::Unreadable`] if it is of another type. A [`Value`] holds all but texts with lone
    /// surrogates, and values nested more than 127 deep.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, PeerError> {
        serde_json::from_slice(self.body.as_bytes()).map_err(PeerError::unreadable)
    }
}

/// What a handler says to a message: nothing, or a value. Whether the other side waits for an
/// answer cannot be seen; it skips those that it does not wait for.
#[derive(Debug, Clone, PartialEq)]
pub struct Reply(pub(super) Option<Value>);

impl From<()> for Reply {
    fn from((): ()) -> Self {
        Self(None)
    }
}

impl From<Value> for Reply {
    fn from(value: Value) -> Self {
        Self(Some(value))
    }
}

impl From<Option<Value>> for Reply {
    fn from(value: Option<Value>) -> Self {
        Self(value)
    }
}

/// A call of a method that is served here.
#[derive(Debug)]
pub struct Call {
    pub(super) peer: Peer,
    pub(super) params: Vec<Arg>,
}

impl Call {
    /// Who calls.
    pub fn peer(&self) -> &Peer {
        &self.peer
    }

    /// What it is called with.
    pub fn params(&self) -> &[Arg] {
        &self.params
    }

    /// A parameter; one that was left out is null.
    ///
    /// # Errors
    /// [`PeerError::Unreadable`] if it is of another type.
    pub fn read<T: DeserializeOwned>(&self, index: usize) -> Result<T, PeerError> {
        self.params.get(index).unwrap_or(&Arg::Json(Value::Null)).read()
    }
}

/// The handlers of a connection, for all its peers.
#[derive(Default)]
pub(super) struct Handlers {
    calls: RwLock<HashMap<Vec<String>, CallHandler>>,
    message: RwLock<Option<MessageHandler>>,
}

impl Handlers {
    pub(super) fn serve<F, R, T, E>(&self, method: &str, handler: F)
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: std::future::Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Arg>,
        E: fmt::Display,
    {
        let handler: CallHandler = Arc::new(move |call| {
            let result = handler(call);
            Box::pin(async { result.await.map(Into::into).map_err(|error| error.to_string()) })
        });
        let mut calls = self.calls.write().unwrap_or_else(PoisonError::into_inner);
        let _former = calls.insert(path(method), handler);
    }

    pub(super) fn on_message<F, R, T>(&self, handler: F)
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: std::future::Future<Output = T> + Send + 'static,
        T: Into<Reply>,
    {
        let handler: MessageHandler = Arc::new(move |message| {
            let reply = handler(message);
            Box::pin(async { reply.await.into() })
        });
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

/// The path of a method that is written with dots.
pub(super) fn path(method: &str) -> Vec<String> {
    method.split('.').map(str::to_owned).collect()
}

/// What a method's parameters are here.
pub(super) fn params(
    values: &[crosspoint_gateways::anysocket::internal::rpc::Value],
) -> Result<Vec<Arg>, PeerError> {
    values.iter().map(Arg::from_wire).collect()
}

/// Runs a handler to its end. `None` if it panicked, which harms nobody else.
pub(super) async fn caught<T>(start: impl FnOnce() -> Future<T>) -> Option<T> {
    let mut running = catch_unwind(AssertUnwindSafe(start)).ok()?;
    std::future::poll_fn(move |cx| {
        match catch_unwind(AssertUnwindSafe(|| running.as_mut().poll(cx))) {
            Ok(Poll::Pending) => Poll::Pending,
            Ok(Poll::Ready(done)) => Poll::Ready(Some(done)),
            Err(_panic) => Poll::Ready(None),
        }
    })
    .await
}
