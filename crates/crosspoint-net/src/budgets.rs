//! Keeps to the budgets of memory where nobody else looks after them.

use crate::outlet::now;
use crosspoint_hub::Hub;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::time::sleep;

/// How long after a look at budgets that were exceeded there may be another one. Those who charge memory look as
/// well, but may be the last for a while.
const PAUSE: Duration = Duration::from_millis(100);

/// A task that looks when a budget was exceeded, and sleeps otherwise; if nobody does that for the hub yet.
pub(crate) fn keeper(hub: &Arc<Hub>) -> Option<impl Future<Output = ()> + Send + use<>> {
    let exceeded = Arc::new(Notify::new());
    let told = exceeded.clone();
    let hub = hub.watch_budgets(Box::new(move || told.notify_one())).then(|| hub.clone())?;
    Some(async move {
        loop {
            exceeded.notified().await;
            hub.keep_to_budgets(now());
            sleep(PAUSE).await;
        }
    })
}
