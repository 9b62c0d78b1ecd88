//! What answers requests: handlers by method, and those who read requests themselves.

use super::codec::{decode, encode};
use super::core::{Core, State};
use super::{Peer, RequestError};
use crate::PeerInfo;
use crosspoint_hub::payload::{Failure, Format, Outcome, Payload};
use crosspoint_proto::peer::SendError;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::oneshot;

type Answering = Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(crate) type Handler = Arc<dyn Fn(Request) -> Answering + Send + Sync>;

/// Handlers by their method.
#[derive(Default)]
pub(crate) struct Handlers(RwLock<HashMap<Box<str>, Handler>>);

impl Handlers {
    pub(crate) fn get(&self, method: &str) -> Option<Handler> {
        let handlers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        handlers.get(method).cloned()
    }

    pub(crate) fn insert(&self, method: String, handler: Handler) {
        let mut handlers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let _former = handlers.insert(method.into(), handler);
    }
}

impl Clone for Handlers {
    fn clone(&self) -> Self {
        let handlers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        Self(RwLock::new(handlers.clone()))
    }
}

impl fmt::Debug for Handlers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let handlers = self.0.read().unwrap_or_else(PoisonError::into_inner);
        f.debug_set().entries(handlers.keys()).finish()
    }
}

/// Makes a handler of a function from requests to payloads.
pub(crate) fn raw<F, T, P>(function: F) -> Handler
where
    F: Fn(Request) -> T + Send + Sync + 'static,
    T: Future<Output = Result<P, Failure>> + Send + 'static,
    P: Into<Payload>,
{
    Arc::new(move |request| {
        let answering = function(request);
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
    Arc::new(move |request| match request.decode() {
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
    core: Arc<Core>,
    method: String,
    payload: Payload,
}

impl Request {
    pub(super) fn new(core: &Arc<Core>, method: String, payload: Payload) -> Self {
        Self { core: core.clone(), method, payload }
    }

    /// What it is for: names joined with dots, or nothing.
    pub fn method(&self) -> &str {
        &self.method
    }

    /// What it says.
    pub fn payload(&self) -> &Payload {
        &self.payload
    }

    /// What it says, to keep.
    pub fn into_payload(self) -> Payload {
        self.payload
    }

    /// What it says, as a value.
    ///
    /// # Errors
    /// A [`Failure`] with [`Failure::UNREADABLE`], fit to be the answer.
    pub fn decode<T: DeserializeOwned>(&self) -> Result<T, Failure> {
        decode(&self.payload).map_err(|error| Failure::new(Failure::UNREADABLE, error.to_string()))
    }

    /// Who the hub says has sent it.
    pub fn from(&self) -> &PeerInfo {
        &self.core.info
    }

    /// The peer that has sent it, to ask and tell it something as well. It does not keep a link
    /// that nobody has taken from [`Node::incoming`](crate::Node::incoming).
    pub fn peer(&self) -> Peer {
        Peer::of(&self.core)
    }
}

impl fmt::Debug for Request {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Request")
            .field("from", &self.core.info.id)
            .field("method", &self.method)
            .field("payload", &self.payload)
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

    /// Answers. It waits while too much waits to be sent.
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

impl State {
    /// Answers a request. An answer that does not fit becomes a failure.
    pub(super) fn answer(&mut self, id: u32, outcome: &Outcome) -> Result<(), SendError> {
        let answered = match outcome {
            Ok(Payload { format, data }) => self.machine.answer(id, *format, data),
            Err(Failure { code, message, details }) => {
                self.machine.fail(id, *code, message, details.format, &details.data)
            }
        };
        match answered {
            Err(SendError::TooLarge { bytes, most }) => {
                let text = format!("the answer has {bytes} bytes, {most} is the most");
                self.machine.fail(id, Failure::FAILED, &text, Format::BYTES, b"")
            }
            answered => answered,
        }
    }
}

impl Core {
    async fn answer(self: &Arc<Self>, id: u32, outcome: Outcome) -> Result<(), RequestError> {
        Ok(self.submit(|state| state.answer(id, &outcome)).await?)
    }

    /// Answers at once, or in a task of its own if there is no room now.
    fn answer_later(self: &Arc<Self>, id: u32, failure: Failure) {
        let outcome = Err(failure);
        let answered = self.with(|state, _| match state.ended {
            Some(_) => Ok(()),
            None => state.answer(id, &outcome),
        });
        if answered == Err(SendError::Full) {
            let core = self.clone();
            self.commands.runtime().spawn(async move {
                // If the link ends meanwhile, nobody waits for it any more.
                let _ = core.answer(id, outcome).await;
            });
        }
    }
}

/// A handler at work. Dropping it gives back what it holds, however it ends.
pub(super) struct Work {
    core: Arc<Core>,
    handler: Handler,
    request: Option<Request>,
    /// `None` for a notification.
    answer: Option<Expected>,
    bytes: usize,
}

/// The answer that a handler is to give.
struct Expected {
    id: u32,
    until: Option<Instant>,
    /// Ends when the other side waits no more.
    cancelled: oneshot::Receiver<()>,
    given: bool,
}

impl Work {
    /// Work on a notification. It counts as held by the inbox.
    pub(super) fn on_notification(handler: Handler, request: Request, bytes: usize) -> Self {
        Self { core: request.core.clone(), handler, request: Some(request), answer: None, bytes }
    }

    /// Work on a request, and what stops it when it is dropped.
    pub(super) fn on_request(
        handler: Handler,
        request: Request,
        bytes: usize,
        (id, until): (u32, Option<Instant>),
    ) -> (Self, oneshot::Sender<()>) {
        let (cancel, cancelled) = oneshot::channel();
        let answer = Some(Expected { id, until, cancelled, given: false });
        let core = request.core.clone();
        (Self { core, handler, request: Some(request), answer, bytes }, cancel)
    }

    /// Runs the handler, and answers if it is a request.
    pub(super) async fn run(mut self) {
        let Some(request) = self.request.take() else {
            return;
        };
        let Some(expected) = &mut self.answer else {
            // A notification has no answer.
            let _ = (self.handler)(request).await;
            return;
        };
        let outcome = tokio::select! {
            outcome = (self.handler)(request) => outcome,
            // In both cases nobody waits for the answer any more.
            _ = &mut expected.cancelled => return,
            () = sleep_until(expected.until) => return,
        };
        expected.given = true;
        // If the link has ended, nobody waits for it any more.
        let _ = self.core.answer(expected.id, outcome).await;
    }
}

impl Drop for Work {
    fn drop(&mut self) {
        self.core.with(|state, _| {
            state.held -= self.bytes;
            if let Some(expected) = &self.answer {
                state.working.remove(&expected.id);
            }
        });
        if let Some(Expected { id, given: false, .. }) = self.answer
            && std::thread::panicking()
        {
            self.core.answer_later(id, Failure::new(Failure::FAILED, "the method has panicked"));
        }
    }
}

async fn sleep_until(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until.into()).await,
        None => std::future::pending().await,
    }
}
