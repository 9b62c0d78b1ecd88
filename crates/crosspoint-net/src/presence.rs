//! Tells large groups who has come and gone: a moment later, and all at once.

use crate::outlet::now;
use crosspoint_hub::Hub;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// There is something to tell.
#[derive(Default)]
struct Due {
    /// How long that should wait, in microseconds: as the largest group wants.
    micros: AtomicU64,
    changed: Notify,
}

/// A task that tells, if nobody does that for the hub yet. It ends when it is dropped; from then on
/// news are told at once.
pub(crate) fn teller(hub: &Arc<Hub>) -> Option<impl Future<Output = ()> + Send + use<>> {
    let due = Arc::new(Due::default());
    let weak: Weak<Due> = Arc::downgrade(&due);
    let wake = move |delay: Duration| {
        let due = weak.upgrade();
        if let Some(due) = &due {
            let micros = u64::try_from(delay.as_micros()).unwrap_or(u64::MAX);
            due.micros.fetch_max(micros, Ordering::AcqRel);
            due.changed.notify_one();
        }
        due.is_some()
    };
    let hub = hub.gather_presence(Box::new(wake)).then(|| hub.clone())?;
    Some(async move {
        loop {
            due.changed.notified().await;
            sleep(Duration::from_micros(due.micros.swap(0, Ordering::AcqRel))).await;
            hub.tell_presence(now());
        }
    })
}
