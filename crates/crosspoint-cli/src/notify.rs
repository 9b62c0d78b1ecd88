//! What the service manager is told (sd_notify(3)), if it has started the program and wants to know.

use sd_notify::NotifyState;
use std::time::Duration;

/// What a stop may take beyond its own bound.
const STOP_SLACK: Duration = Duration::from_secs(10);

/// The hub serves, for the first time or after it has read its files again.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The hub reads its files again. [`ready`] has to follow.
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(error) => tracing::warn!(%error, "the service manager hears of no reload"),
    }
}

/// The hub stops, for which it takes no longer than this and a little.
pub(crate) fn stopping(longest: Duration) {
    let micros = u32::try_from((longest + STOP_SLACK).as_micros()).unwrap_or(u32::MAX);
    tell(&[NotifyState::Stopping, NotifyState::ExtendTimeoutUsec(micros)]);
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager cannot be told (NOTIFY_SOCKET)");
    }
}
