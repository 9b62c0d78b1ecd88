//! Sleeping until a deadline that moves.

use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::time::Sleep;

/// How far away a deadline may be that is none.
pub(crate) const FAR: Duration = Duration::from_secs(24 * 60 * 60);

/// Sees that a timer fires at a deadline or before it. Setting a timer costs a lock, and deadlines
/// move away with each byte, so one that fires early is set again only then.
pub(crate) fn reach(timer: Pin<&mut Sleep>, deadline: Instant) {
    let deadline = deadline.into();
    if timer.deadline() > deadline || timer.is_elapsed() {
        timer.reset(deadline);
    }
}
