//! Panics: each is a fault of the hub or of its embedder, and ends what it happened in, nothing else.

use crosspoint_hub::metrics::Metrics;
use std::future::{Future, poll_fn};
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::pin;
use std::task::Poll;

/// Runs to the end, or to a panic, which gives `None`. What the future owned is dropped then.
///
/// Whatever it shares with others has to be consistent between any two statements that could panic.
pub async fn caught<T>(future: impl Future<Output = T>) -> Option<T> {
    let mut future = pin!(future);
    poll_fn(|cx| match catch_unwind(AssertUnwindSafe(|| future.as_mut().poll(cx))) {
        Ok(poll) => poll.map(Some),
        // The panic hook has told of it.
        Err(_payload) => Poll::Ready(None),
    })
    .await
}

/// As [`caught`], and counts the panic.
pub(crate) async fn counted<T>(metrics: &Metrics, future: impl Future<Output = T>) -> Option<T> {
    let result = caught(future).await;
    if result.is_none() {
        metrics.panics.inc();
    }
    result
}
