//! Handlers of a program: their panics harm nobody else, and what waits for them is counted.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::Poll;
use tokio::sync::Notify;

/// A handler at work.
pub(crate) type Handling<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// Runs a handler to its end. `None` if it panicked.
pub(crate) async fn caught<T>(start: impl FnOnce() -> Handling<T>) -> Option<T> {
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

/// How much one connection has given to handlers that are not done.
#[derive(Debug)]
pub(crate) struct Holding {
    count: AtomicUsize,
    bytes: AtomicUsize,
    /// Wakes who reads from the connection.
    wake: Arc<Notify>,
}

impl Holding {
    pub(crate) fn new(wake: Arc<Notify>) -> Arc<Self> {
        Arc::new(Self { count: AtomicUsize::new(0), bytes: AtomicUsize::new(0), wake })
    }

    /// Whether there is room for more.
    pub(crate) fn has_room(&self, count_max: usize, bytes_max: usize) -> bool {
        self.count.load(Ordering::Relaxed) < count_max
            && self.bytes.load(Ordering::Relaxed) < bytes_max
    }
}

/// Something that was given to a handler, until that is done.
#[derive(Debug)]
pub(crate) struct Held {
    holding: Arc<Holding>,
    bytes: usize,
}

impl Held {
    pub(crate) fn new(holding: &Arc<Holding>, bytes: usize) -> Self {
        // The numbers alone decide; the thread that lowers them wakes the reader afterwards.
        holding.count.fetch_add(1, Ordering::Relaxed);
        holding.bytes.fetch_add(bytes, Ordering::Relaxed);
        Self { holding: holding.clone(), bytes }
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.holding.count.fetch_sub(1, Ordering::Relaxed);
        self.holding.bytes.fetch_sub(self.bytes, Ordering::Relaxed);
        self.holding.wake.notify_one();
    }
}
