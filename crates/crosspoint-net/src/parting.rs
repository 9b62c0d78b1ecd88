//! How long those may take who have to go.

use std::pin::Pin;
use std::sync::OnceLock;
use std::time::Duration;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// How long the other side of a connection that ends may take to hear why, and to close its part.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Bounds how long ends take: by what is usual, and once the server stops by what its stop may take.
#[derive(Debug, Default)]
pub(crate) struct Parting {
    pub(crate) stop: CancellationToken,
    pub(crate) flush_max: Duration,
    /// When a stop is over for all, however late each of them has noticed it.
    over: OnceLock<Instant>,
}

impl Parting {
    pub(crate) fn new(flush_max: Duration) -> Self {
        Self { flush_max, ..Self::default() }
    }

    /// The server stops.
    pub(crate) fn begin(&self) {
        self.over.get_or_init(|| Instant::now() + self.flush_max);
        self.stop.cancel();
    }

    /// How long it takes until everything is cut off, if the server stops.
    pub(crate) fn left(&self) -> Option<Duration> {
        self.over.get().map(|over| over.saturating_duration_since(Instant::now()))
    }

    /// Waits until everything is cut off, as the server stops.
    pub(crate) async fn over(&self) {
        self.stop.cancelled().await;
        if let Some(over) = self.over.get() {
            sleep_until(*over).await;
        }
    }

    /// How long a session that ends may take to receive what waits for it, and to close its part, unless the
    /// server stops. That a stop may take less says nothing of other ends.
    pub(crate) fn longest(&self) -> Duration {
        self.flush_max.max(LINGER)
    }

    /// Waits for what is done at an end. What takes longer than it may is dropped.
    ///
    /// Boxed, as each connection would have room for it all its life.
    pub(crate) fn wait<'a>(
        &'a self,
        longest: Duration,
        what: impl Future<Output = ()> + Send + 'a,
    ) -> Pin<Box<dyn Future<Output = ()> + Send + 'a>> {
        Box::pin(async move {
            tokio::select! {
                biased;
                () = what => {}
                () = sleep(longest) => {}
                () = self.over() => {}
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::future::pending;

    #[tokio::test(start_paused = true)]
    async fn a_stop_is_over_for_all_at_one_moment_however_late_they_notice_it() {
        let parting = Parting::new(Duration::from_secs(5));
        let begun = Instant::now();
        parting.wait(LINGER, pending()).await;
        assert_eq!(begun.elapsed(), LINGER);
        let begun = Instant::now();
        parting.begin();
        sleep(Duration::from_secs(4)).await;
        parting.wait(parting.longest(), pending()).await;
        assert_eq!(begun.elapsed().as_secs(), 5);
        // A second stop changes nothing, and whoever comes later still says what it can say at once.
        parting.begin();
        let mut said = false;
        parting.wait(LINGER, async { said = true }).await;
        parting.over().await;
        assert!(said && begun.elapsed().as_secs() == 5);
    }
}
