//! What answers messages and calls.

use super::arg::Arg;
use super::shared::{CallHandler, Handlers, MessageHandler};
use super::{Json, Peer, PeerError};
use serde::de::DeserializeOwned;
use serde_json::Value;
use std::fmt;
use std::sync::Arc;

/// A message of a peer's application.
#[derive(Debug)]
pub struct Message {
    peer: Peer,
    body: Json,
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
pub struct Reply(Option<Value>);

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
    peer: Peer,
    params: Vec<Arg>,
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

impl Handlers {
    pub(super) fn serve<F, R, T, E>(&self, method: &str, handler: F)
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Arg>,
        E: fmt::Display,
    {
        let handler: CallHandler = Arc::new(move |handle, link, params| {
            let result = handler(Call { peer: Peer { handle, link }, params });
            Box::pin(async { result.await.map(Into::into).map_err(|error| error.to_string()) })
        });
        self.set_method(path(method), handler);
    }

    pub(super) fn on_message<F, R, T>(&self, handler: F)
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = T> + Send + 'static,
        T: Into<Reply>,
    {
        let handler: MessageHandler = Arc::new(move |handle, link, body| {
            let reply = handler(Message { peer: Peer { handle, link }, body });
            Box::pin(async { reply.await.into().0 })
        });
        self.set_message(handler);
    }
}

impl Peer {
    /// Answers calls of a method, of all peers of this connection; a former handler is replaced.
    /// Those that may call at once are better served from
    /// [the start](super::ClientBuilder::serve).
    pub fn serve<F, R, T, E>(&self, method: &str, handler: F)
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Arg>,
        E: fmt::Display,
    {
        self.handle.shared.handlers.serve(method, handler);
    }

    /// Handles the messages of all peers of this connection; a former handler is replaced. Messages
    /// that have come before are lost, if there was none from
    /// [the start](super::ClientBuilder::on_message).
    pub fn on_message<F, R, T>(&self, handler: F)
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = T> + Send + 'static,
        T: Into<Reply>,
    {
        self.handle.shared.handlers.on_message(handler);
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
