//! Sees that memory which is not needed any more goes back to the system.
//!
//! The allocator keeps what was freed for each thread that took it, and looks for it only when that thread
//! takes more. After a peak a hub that has little to do would keep all of it.

use crosspoint_hub::Hub;
use std::convert::Infallible;
use std::hint::black_box;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};
use tokio::runtime::Handle;
use tokio::time::{MissedTickBehavior, interval};

/// How often the memory in use is looked at.
const INTERVAL: Duration = Duration::from_secs(1);
/// How often the allocator is made to look after that has become less. A session that ends gives its memory
/// back bit by bit.
const ROUNDS: u32 = 4;
/// How often it is tried, as threads that are busy may not come in time.
const ATTEMPTS_MAX: u32 = 60;
/// Less than that may stay.
const STEP_BYTES: usize = 4 << 20;
/// Less than this part of a peak may stay as well, so that a hub whose load goes up and down is left alone.
const STEP_SHARE: usize = 8;
/// How long a thread waits for the others, which may have other things to do.
const HELD_MAX: Duration = Duration::from_millis(5);
/// More than any system has.
const IMPOSSIBLE_BYTES: usize = isize::MAX as usize / 2;

/// Runs for as long as the hub.
pub(crate) async fn run(hub: Arc<Hub>) -> Infallible {
    let mut timer = interval(INTERVAL);
    timer.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let workers = Handle::current().metrics().num_workers();
    let (mut peak, mut rounds, mut attempts) = (0, 0, 0);
    let mut last = Arc::new(Meeting::default());
    loop {
        timer.tick().await;
        let used = hub.ledger.used();
        peak = peak.max(hub.ledger.take_peak()).max(used);
        if peak - used >= STEP_BYTES.max(peak / STEP_SHARE) {
            (peak, rounds, attempts) = (used, ROUNDS, ATTEMPTS_MAX);
        } else if last.met(workers) {
            rounds -= rounds.min(1);
        }
        if rounds > 0 && attempts > 0 {
            attempts -= 1;
            last = Arc::default();
            for _ in 0..workers {
                let meeting = last.clone();
                tokio::spawn(async move { meeting.collect(workers) });
            }
            collect();
        }
    }
}

/// All threads of the runtime do something once.
#[derive(Debug, Default)]
struct Meeting {
    came: AtomicUsize,
    missed: AtomicBool,
}

impl Meeting {
    /// Collects, and holds this thread until all others have come as well, so that none comes twice.
    fn collect(&self, workers: usize) {
        collect();
        self.came.fetch_add(1, Ordering::Relaxed);
        let begun = Instant::now();
        while self.came.load(Ordering::Relaxed) < workers {
            if begun.elapsed() > HELD_MAX {
                return self.missed.store(true, Ordering::Relaxed);
            }
            std::thread::yield_now();
        }
    }

    /// Whether each thread has come.
    fn met(&self, workers: usize) -> bool {
        self.came.load(Ordering::Relaxed) >= workers && !self.missed.load(Ordering::Relaxed)
    }
}

/// Makes the allocator give back what this thread has freed, and what others have freed for it: it does so
/// before it refuses anything.
fn collect() {
    let refused = black_box(Vec::<u8>::new()).try_reserve_exact(IMPOSSIBLE_BYTES);
    debug_assert!(refused.is_err(), "nobody has so much memory");
}
