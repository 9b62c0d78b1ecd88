//! How long those may take who have to go.

use std::pin::Pin;
use std::time::Duration;
use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

/// How long the other side of a connection that ends may take to hear why, and to close its part.
pub(crate) const LINGER: Duration = Duration::from_secs(2);

/// Bounds how long ends take: by what is usual, and once the server stops by what its stop may take.
#[derive(Debug, Default)]
pub(crate) struct Parting {
    pub(crate) stop: CancellationToken,
    pub(crate) flush_max: Duration,
}

impl Parting {
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
            let stopped = async {
                self.stop.cancelled().await;
                sleep(self.flush_max).await;
            };
            tokio::select! {
                biased;
                () = what => {}
                () = sleep(longest) => {}
                () = stopped => {}
            }
        })
    }
}
