//! Sees that memory which is not needed any more goes back to the system.
//!
//! The allocator gives pages back a second after they were freed, but looks for them only when it
//! takes or frees a large piece. After a peak a hub that has nothing to do would keep all of it.

use crosspoint_hub::Hub;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{MissedTickBehavior, interval};

/// How often the allocator is made to look.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often that is done after the memory in use has become less.
const ROUNDS: u32 = 10;
/// Less than that may stay.
const STEP_BYTES: usize = 4 << 20;

/// Runs for as long as the hub.
pub(crate) async fn run(hub: Arc<Hub>) -> Infallible {
    let mut timer = interval(INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut peak, mut rounds) = (0, 0);
    loop {
        timer.tick().await;
        let used = hub.ledger.used();
        peak = peak.max(used);
        if peak - used >= STEP_BYTES {
            (peak, rounds) = (used, ROUNDS);
        }
        if rounds > 0 {
            rounds -= 1;
            // Large enough to be no part of anything else.
            drop(black_box(Vec::<u8>::with_capacity(STEP_BYTES)));
        }
    }
}
