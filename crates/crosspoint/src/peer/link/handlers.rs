//! What answers requests by their method.

use super::{Core, State};
use crate::peer::error::RequestError;
use crosspoint_hub::payload::{Failure, Format, Outcome, Payload};
use crosspoint_proto::peer::SendError;
use std::collections::HashMap;
use std::fmt;
use std::pin::Pin;
use std::sync::{Arc, PoisonError, RwLock};
use std::time::Instant;
use tokio::sync::oneshot;

/// A request, or a notification, for a handler.
#[derive(Debug, Clone)]
pub(crate) struct Call {
    /// The link over which it has come.
    pub(crate) core: Arc<Core>,
    /// What it is for.
    pub(crate) method: String,
    pub(crate) payload: Payload,
}

/// A handler at work.
pub(crate) type Answering = Pin<Box<dyn Future<Output = Outcome> + Send>>;

pub(crate) type Handler = Arc<dyn Fn(Call) -> Answering + Send + Sync>;

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

    #[cfg(feature = "socketio")]
    pub(crate) fn remove(&self, method: &str) {
        let mut handlers = self.0.write().unwrap_or_else(PoisonError::into_inner);
        let _former = handlers.remove(method);
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
    pub(crate) async fn answer(
        self: &Arc<Self>,
        id: u32,
        outcome: Outcome,
    ) -> Result<(), RequestError> {
        Ok(self.submit(|state| state.answer(id, &outcome)).await?)
    }

    /// Answers at once, or in a task of its own if there is no room now.
    pub(crate) fn answer_later(self: &Arc<Self>, id: u32, failure: Failure) {
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
    call: Option<Call>,
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
    pub(super) fn on_notification(handler: Handler, call: Call, bytes: usize) -> Self {
        Self { core: call.core.clone(), handler, call: Some(call), answer: None, bytes }
    }

    /// Work on a request, and what stops it when it is dropped.
    pub(super) fn on_request(
        handler: Handler,
        call: Call,
        bytes: usize,
        (id, until): (u32, Option<Instant>),
    ) -> (Self, oneshot::Sender<()>) {
        let (cancel, cancelled) = oneshot::channel();
        let answer = Some(Expected { id, until, cancelled, given: false });
        let core = call.core.clone();
        (Self { core, handler, call: Some(call), answer, bytes }, cancel)
    }

    /// Runs the handler, and answers if it is a request.
    pub(super) async fn run(mut self) {
        let Some(call) = self.call.take() else {
            return;
        };
        let Some(expected) = &mut self.answer else {
            // A notification has no answer.
            let _ = (self.handler)(call).await;
            return;
        };
        let outcome = tokio::select! {
            outcome = (self.handler)(call) => outcome,
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
