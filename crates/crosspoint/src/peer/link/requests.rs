//! Requests of this side.

use super::{Core, SubmitError};
use crate::peer::codec::CodecError;
use crate::peer::error::{PeerError, RequestError};
use crosspoint_hub::Reason;
use crosspoint_hub::payload::Payload;
use std::sync::Arc;
use tokio::sync::oneshot;
use tokio::time::Instant;

/// What is asked.
#[derive(Debug, Clone)]
pub(crate) struct Question {
    pub(crate) method: String,
    pub(crate) payload: Result<Payload, CodecError>,
    pub(crate) repeatable: bool,
}

/// A request that waits for its answer; dropped before, it is cancelled.
struct Waiting<'a> {
    core: &'a Arc<Core>,
    id: u32,
}

impl Drop for Waiting<'_> {
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
        let Payload { format, data } = match &question.payload {
            Ok(payload) => payload,
            Err(error) => return Err(RequestError::Unsent(PeerError::Value(error.clone()))),
        };
        let ended = || {
            let reason = self.state().ended;
            RequestError::PeerGone(reason.unwrap_or(Reason::ConnectionLost))
        };
        let _place = self.requests.acquire().await.map_err(|_closed| ended())?;
        let submitted = self.submit(|state| {
            let now = super::now();
            let time = until.map(|until| until.into_std().saturating_duration_since(now));
            let id = state.machine.request(now, time, &question.method, *format, data)?;
            let (answer, answered) = oneshot::channel();
            state.answers.insert(id, answer);
            Ok((id, answered))
        });
        let (id, answered) = submitted.await.map_err(|error: SubmitError| error)?;
        let _waiting = Waiting { core: self, id };
        answered.await.unwrap_or_else(|_dropped| Err(ended()))
    }
}
