//! The body of a request, which has to arrive in time.

use axum::body::Body;
use bytes::Bytes;
use crosspoint_hub::{Hub, Limit};
use hyper::body::{Frame, Incoming, SizeHint};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;
use thiserror::Error;
use tokio::time::{Instant, Sleep, sleep};

/// Why a body could not be read.
#[derive(Debug, Error)]
pub(super) enum BodyError {
    /// The client is too slow.
    #[error("the body of the request did not arrive within {0:?}; send less, or faster")]
    TooSlow(Duration),
    /// The connection was lost, or what came is no body.
    #[error("the body of the request could not be read: {0}")]
    Lost(#[from] hyper::Error),
}

/// A body with a limit on the time in which it is waited for. A handler that takes its time between
/// two reads has that for itself.
struct Timed {
    incoming: Incoming,
    limit: Duration,
    /// How long it was waited for before the present wait.
    waited: Duration,
    /// Since when a read waits, and until when it may.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
    hub: Arc<Hub>,
}

/// Gives a request's body a time limit.
pub(super) fn timed(incoming: Incoming, limit: Duration, hub: &Arc<Hub>) -> Body {
    if hyper::body::Body::is_end_stream(&incoming) {
        return Body::empty();
    }
    let hub = hub.clone();
    Body::new(Timed { incoming, limit, waited: Duration::ZERO, wait: None, hub })
}

impl hyper::body::Body for Timed {
    type Data = Bytes;
    type Error = BodyError;

    fn poll_frame(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BodyError>>> {
        let this = self.get_mut();
        if let Poll::Ready(frame) = Pin::new(&mut this.incoming).poll_frame(cx) {
            if let Some((since, _)) = this.wait.take() {
                this.waited += since.elapsed();
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(BodyError::from)));
        }
        let left = this.limit.saturating_sub(this.waited);
        let begin = || (Instant::now(), Box::pin(sleep(left)));
        let (_, timer) = this.wait.get_or_insert_with(begin);
        ready!(timer.as_mut().poll(cx));
        this.hub.metrics.hit(Limit::HttpBodyTime);
        Poll::Ready(Some(Err(BodyError::TooSlow(this.limit))))
    }

    fn is_end_stream(&self) -> bool {
        self.incoming.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.incoming.size_hint()
    }
}
