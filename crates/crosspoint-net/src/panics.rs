//! Panics: each is a fault of the hub or of its embedder, and ends what it happened in, nothing else.

use crosspoint_hub::metrics::Metrics;
use pin_project_lite::pin_project;
use std::future::Future;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

/// Runs to the end, or to a panic, which gives `None`. What the future owned is dropped then.
///
/// Whatever it shares with others has to be consistent between any two statements that could panic.
pub fn caught<F: Future>(future: F) -> Caught<F> {
    Caught { future: Some(future) }
}

/// As [`caught`], and counts the panic.
pub(crate) fn counted<F: Future>(metrics: &Metrics, future: F) -> Counted<'_, F> {
    Counted { caught: caught(future), metrics }
}

// No async functions: these would hold the future twice, as an argument and where it is polled, and a
// connection costs what its future has in bytes.
pin_project! {
    /// The future of [`caught`].
    #[derive(Debug)]
    pub struct Caught<F> {
        #[pin]
        future: Option<F>,
    }
}

pin_project! {
    /// The future of [`counted`].
    pub(crate) struct Counted<'a, F> {
        #[pin]
        caught: Caught<F>,
        metrics: &'a Metrics,
    }
}

impl<F: Future> Future for Caught<F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let mut slot = self.project().future;
        let Some(future) = slot.as_mut().as_pin_mut() else {
            return Poll::Ready(None);
        };
        let result = match catch_unwind(AssertUnwindSafe(|| future.poll(cx))) {
            Ok(poll) => Some(ready!(poll)),
            // The panic hook has told of it.
            Err(_payload) => None,
        };
        slot.set(None);
        Poll::Ready(result)
    }
}

impl<F: Future> Future for Counted<'_, F> {
    type Output = Option<F::Output>;

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<Self::Output> {
        let this = self.project();
        let result = ready!(this.caught.poll(cx));
        if result.is_none() {
            this.metrics.panics.inc();
        }
        Poll::Ready(result)
    }
}
