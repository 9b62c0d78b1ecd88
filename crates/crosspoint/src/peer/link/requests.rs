//! Requests of this side.

use super::{Core, SubmitError};
use crate::peer::codec::CodecError;
use crate::peer::error::{PeerError, RequestError};
use crosspoint_hub::Reason;
use crosspoint_hub::payload::Payload;
use std::sync::Arc;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::Instant;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: String,
    pub(crate) payload: Result<Payload, CodecError>,
    pub(crate) repeatable: bool,
}

/// A request that was sent and waits for its answer; dropped before, it is cancelled.
pub(crate) struct Pending {
    core: Arc<Core>,
    id: u32,
    answered: oneshot::Receiver<Result<Payload, RequestError>>,
    _place: OwnedSemaphorePermit,
}

impl Pending {
    /// The answer.
    pub(crate) async fn answer(mut self) -> Result<Payload, RequestError> {
        (&mut self.answered).await.unwrap_or_else(|_dropped| Err(self.core.gone()))
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.core.with(|state, _| {
            // Answered, there is nothing to cancel.
            if state.answers.remove(&self.id).is_some() {
                state.machine.cancel(self.id);
            }
        });
    }
}

impl Core {
    /// Asks and waits for the answer. The time is kept by the caller, too, as nothing else here
    /// watches the clock.
    pub(crate) async fn ask(
        self: &Arc<Self>,
        question: &Question,
        until: Option<Instant>,
    ) -> Result<Payload, RequestError> {
        self.begin_to_ask(question, until).await?.answer().await
    }

    /// Asks. What was asked before over this link goes before.
    pub(crate) async fn begin_to_ask(
        self: &Arc<Self>,
        question: &Question,
        until: Option<Instant>,
    ) -> Result<Pending, RequestError> {
        let Payload { format, data } = match &question.payload {
            Ok(payload) => payload,
            Err(error) => return Err(RequestError::Unsent(PeerError::Value(error.clone()))),
        };
        let place = self.requests.clone().acquire_owned().await.map_err(|_closed| self.gone())?;
        let submitted = self.submit(|state| {
            let now = super::now();
            let time = until.map(|until| until.into_std().saturating_duration_since(now));
            let id = state.machine.request(now, time, &question.method, *format, data)?;
            let (answer, answered) = oneshot::channel();
            state.answers.insert(id, answer);
            Ok((id, answered))
        });
        let (id, answered) = submitted.await.map_err(|error: SubmitError| error)?;
        Ok(Pending { core: self.clone(), id, answered, _place: place })
    }

    /// The link has ended.
    fn gone(&self) -> RequestError {
        let reason = self.state().ended;
        RequestError::PeerGone(reason.unwrap_or(Reason::ConnectionLost))
    }
}
