//! What all requests share, and the task that looks at the hub once a second.

use crate::access::{Access, Gate, Token};
use crate::clock::{Clock, millis};
use crate::history::{INTERVAL, Past};
use crate::model::History;
use crate::snapshot::{Snapshot, Source, now};
use crosspoint_hub::Hub;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError, Weak};
use std::time::SystemTime;
use tokio::sync::{Semaphore, watch};
use tokio::time::{MissedTickBehavior, interval_at};

/// What all requests share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) source: Arc<Source>,
    pub(crate) gate: Gate,
    past: Mutex<Past>,
    pub(crate) snapshots: watch::Sender<Arc<Snapshot>>,
    pub(crate) places: Arc<Semaphore>,
}

impl Shared {
    /// For a hub, which nobody has looked at yet.
    pub(crate) fn new(
        (hub, name): (Arc<Hub>, String),
        (access, token): (Access, Option<Token>),
        viewers_max: usize,
    ) -> Self {
        let now = now();
        let prefixes = hub.limits.prefixes;
        let source = Arc::new(Source::new(hub, name, Clock::new(now, SystemTime::now())));
        let past = Past::new(now, source.counted());
        let snapshot = Arc::new(Snapshot::new(&source, None));
        Self {
            source,
            gate: Gate::new(access, token, prefixes, now),
            past: Mutex::new(past),
            snapshots: watch::Sender::new(snapshot),
            places: Arc::new(Semaphore::new(viewers_max.min(Semaphore::MAX_PERMITS))),
        }
    }

    /// What there is, at most a second old.
    pub(crate) fn snapshot(&self) -> Arc<Snapshot> {
        self.snapshots.borrow().clone()
    }

    /// What there is now. Nothing that is dear is to be taken of it.
    pub(crate) fn fresh(&self) -> Snapshot {
        Snapshot::new(&self.source, None)
    }

    /// The last ten minutes.
    pub(crate) fn history(&self) -> History {
        // What it guards is whole between any two statements that could panic.
        let (points, at) = self.past.lock().unwrap_or_else(PoisonError::into_inner).points();
        History { interval_ms: millis(INTERVAL), at_ms: self.source.clock.ms(at), points }
    }

    /// Looks at the hub. What is dear is taken when somebody asks for it.
    fn tick(&self) {
        let now = now();
        self.source.clock.settle(now, SystemTime::now());
        self.source.forget_old(now);
        let counted = self.source.counted();
        let at_ms = self.source.clock.ms(now);
        let mut past = self.past.lock().unwrap_or_else(PoisonError::into_inner);
        let point = past.add(now, at_ms, counted);
        drop(past);
        self.snapshots.send_replace(Arc::new(Snapshot::new(&self.source, Some(point))));
    }
}

/// Looks at the hub once a second, for as long as somebody may ask for it.
pub(crate) async fn look(shared: Weak<Shared>) {
    let mut ticks = interval_at(tokio::time::Instant::now() + INTERVAL, INTERVAL);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        ticks.tick().await;
        let Some(shared) = shared.upgrade() else { return };
        // A fault is counted, as those of requests are, and the next second may be better.
        if catch_unwind(AssertUnwindSafe(|| shared.tick())).is_err() {
            shared.source.hub.metrics.panics.inc();
        }
    }
}
