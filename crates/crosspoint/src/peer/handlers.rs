//! The answers to requests: by handlers of methods, and by programs that read requests themselves.

use super::Peer;
use super::codec::{decode, encode};
use super::error::RequestError;
use super::link::{Call, Core, Handler};
use crate::PeerInfo;
use crosspoint_hub::payload::{Failure, Payload};
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::fmt;
use std::sync::Arc;
use std::time::Instant;

/// Makes a handler of a function from requests to payloads.
pub(crate) fn raw<F, T, P>(function: F) -> Handler
where
    F: Fn(Request) -> T + Send + Sync + 'static,
    T: Future<Output = Result<P, Failure>> + Send + 'static,
    P: Into<Payload>,
{
    Arc::new(move |call| {
        let answering = function(Request { call });
        Box::pin(async move { answering.await.map(Into::into) })
    })
}

/// Makes a handler of a function from values to values.
pub(crate) fn typed<A, F, T, R>(function: F) -> Handler
where
    A: DeserializeOwned,
    F: Fn(A) -> T + Send + Sync + 'static,
    T: Future<Output = Result<R, Failure>> + Send + 'static,
    R: Serialize,
{
    Arc::new(move |call| match (Request { call }).decode() {
        Ok(argument) => {
            let answering = function(argument);
            Box::pin(async move {
                let result = answering.await?;
                encode(&result).map_err(|error| Failure::new(Failure::FAILED, error.to_string()))
            })
        }
        Err(failure) => Box::pin(std::future::ready(Err(failure))),
    })
}

/// A request, or a notification, of the other side.
#[derive(Clone)]
pub struct Request {
    call: Call,
}

impl Request {
    pub(super) fn new(core: &Arc<Core>, method: String, payload: Payload) -> Self {
        Self { call: Call { core: core.clone(), method, payload } }
    }

    /// What it is for: names joined with dots, or nothing.
    pub fn method(&self) -> &str {
        &self.call.method
    }

    /// What it says.
    pub fn payload(&self) -> &Payload {
        &self.call.payload
    }

    /// What it says, to keep.
    pub fn into_payload(self) -> Payload {
        self.call.payload
    }

    /// What it says, as a value.
    ///
    /// # Errors
    /// A [`Failure`] with [`Failure::UNREADABLE`], fit to be the answer.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        decode(&self.call.payload)
            .map_err(|error| Failure::new(Failure::UNREADABLE, error.to_string()))
    }

    /// The sender, as the hub states it.
    pub fn from(&self) -> &PeerInfo {
        &self.call.core.info
    }

    /// The peer that has sent it, to ask and tell it something as well. It does not keep a link
    /// that nobody has taken from [`Node::incoming`](crate::Node::incoming).
    pub fn peer(&self) -> Peer {
        Peer::of(&self.call.core)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("from", &self.call.core.info.id)
            .field("method", &self.call.method)
            .field("payload", &self.call.payload)
            .finish()
    }
}

/// The right to answer a request. Dropping it answers that nothing answers to the method.
#[must_use = "dropping it refuses the request"]
pub struct Responder {
    peer: Peer,
    id: u32,
    until: Option<Instant>,
    done: bool,
}

impl Responder {
    pub(super) fn new(peer: Peer, id: u32, until: Option<Instant>) -> Self {
        Self { peer, id, until, done: false }
    }

    /// When the requester stops to wait, if ever. An answer that is later is dropped.
    pub fn until(&self) -> Option<tokio::time::Instant> {
        self.until.map(tokio::time::Instant::from_std)
    }

    /// Answers, as in `responder.send(Ok("pong"))`. It waits while too much waits to be sent.
    ///
    /// # Errors
    /// [`RequestError::PeerGone`] if the link has ended.
    pub async fn send(
        mut self,
        outcome: Result<impl Into<Payload>, Failure>,
    ) -> Result<(), RequestError> {
        self.done = true;
        self.peer.handle.core.answer(self.id, outcome.map(Into::into)).await
    }
}

impl Drop for Responder {
    fn drop(&mut self) {
        if !self.done {
            let core = &self.peer.handle.core;
            core.answer_later(self.id, Failure::new(Failure::NO_METHOD, "nobody answers to this"));
        }
    }
}

impl fmt::Debug for Responder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Responder({})", self.id)
    }
}
