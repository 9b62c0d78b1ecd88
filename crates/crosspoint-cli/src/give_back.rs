//! Sees that memory which is not needed any more goes back to the system.
//!
//! The allocator gives back what is free when a thread takes or frees a large piece, and not by itself. After
//! a peak a hub that has little to do would keep all of it.

use crosspoint_hub::Hub;
use std::convert::Infallible;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::sleep;

/// How often the memory in use is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// The same as long as the budget is nearly used up.
const SHORT_INTERVAL: Duration = Duration::from_millis(100);
/// How often the allocator is made to look after that has become less. A session that ends gives its memory
/// back bit by bit.
const ROUNDS: u32 = 10;
/// Less than that may stay.
const STEP_BYTES: usize = 4 << 20;
/// Less than this part of a peak may stay as well, so that a hub whose load goes up and down is left alone.
const STEP_SHARE: usize = 8;

/// Runs for as long as the hub. No session should be served by the thread that polls this: it takes a moment
/// to give much back.
pub(crate) async fn run(hub: Arc<Hub>) -> Infallible {
    let (mut peak, mut rounds) = (0, 0);
    loop {
        let nearly_full = hub.ledger.is_nearly_full();
        sleep(if nearly_full { SHORT_INTERVAL } else { INTERVAL }).await;
        if nearly_full {
            // What some give back others take at once, and it does not fit: holes would add up.
            collect();
        }
        let used = hub.ledger.used();
        peak = peak.max(hub.ledger.take_peak()).max(used);
        if peak - used >= STEP_BYTES.max(peak / STEP_SHARE) {
            (peak, rounds) = (used, ROUNDS);
        }
        if rounds > 0 {
            rounds -= 1;
            collect();
        }
    }
}

/// Below this budget the program takes no huge pages.
const HUGE_BUDGET_BYTES: usize = 1 << 30;

/// Has the system give the program no huge pages if its budget is small. To be called before much is taken.
///
/// They can make broadcasts faster, which is why others keep them. But each byte in use keeps two MiB around it: room
/// messages of 1 MB for which 78 MiB were charged took 130 MiB with them, and 89 without.
pub(crate) fn set_pages(budget: usize) {
    #[cfg(target_os = "linux")]
    if budget < HUGE_BUDGET_BYTES
        && let Err(error) = rustix::thread::disable_transparent_huge_pages(true)
    {
        tracing::debug!(%error, "huge pages stay");
    }
}

/// The allocator's option `page_reclaim_on_free`.
const RECLAIM_ON_FREE: libmimalloc_sys::mi_option_t = 35;

/// Has the allocator leave to all threads what one of them has filled. To be called before there are others.
///
/// Else a page goes back to the thread that has filled it as soon as a part of it is free, and stays with that
/// thread, which may have nothing to do: after 80 MiB were kept for connections that acknowledge nothing, 62
/// stayed. With this 14 do. Broadcasts and requests are as fast with it.
#[allow(unsafe_code, reason = "the options have no safe interface")]
pub(crate) fn set_up() {
    // SAFETY: no other thread reads the options meanwhile. Their numbers do not change.
    unsafe { libmimalloc_sys::mi_option_set(RECLAIM_ON_FREE, -1) }
}

/// Makes the allocator give back what is free.
///
/// After 1,400 connections with half a head 35 MiB of 36 stay without this, and 15 with it. A delay of 0 for
/// what the allocator gives back by itself leaves 8, but costs a system call for each page that becomes free
/// while the hub is busy.
#[allow(
    unsafe_code,
    reason = "the allocator has no safe interface for it, and gives back nothing when idle"
)]
fn collect() {
    // SAFETY: any thread may call it at any time. It touches only what is free.
    unsafe { libmimalloc_sys::mi_collect(true) }
}
