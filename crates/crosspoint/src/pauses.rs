//! Targets that the hub has asked to pause. What is for them waits; what is for others goes on.

use crate::shared::lock;
use crosspoint_hub::command::{Event, OwnerNews, Target};
use std::collections::HashSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::sync::Notify;

/// Kept up to date by the connection's task, so that a reader that lags behind pauses nobody late.
#[derive(Debug, Default)]
pub(crate) struct Pauses {
    targets: Mutex<HashSet<Target>>,
    /// How many there are, so that usually nobody locks.
    count: AtomicUsize,
    /// Some target has gone on, or ended.
    changed: Notify,
}

impl Pauses {
    /// Takes note of what the hub says. A pause ends with its target.
    pub(crate) fn observe(&self, event: &Event) {
        match event {
            Event::Paused { to } => self.change(|targets| {
                targets.insert(*to);
            }),
            Event::Resumed { to, .. } => self.end(|target| target == to),
            Event::MemberEntered { channel, member, .. }
            | Event::MemberLeft { channel, member, .. } => {
                self.end(|target| *target == Target::Member(*channel, *member));
            }
            Event::Created { channel, .. } => {
                self.end(|target| matches!(target, Target::Member(own, _) if own == channel));
            }
            Event::Ended { channel, .. }
            | Event::Owner { channel, news: OwnerNews::Changed(_) | OwnerNews::You(_) } => {
                self.end(|target| *target == Target::Up(*channel));
            }
            Event::Entered(entered) => self.end(|target| *target == Target::Up(entered.channel)),
            Event::Unlinked { link, .. } => self.end(|target| *target == Target::Link(*link)),
            _ => {}
        }
    }

    fn end(&self, ended: impl Fn(&Target) -> bool) {
        if self.count.load(Ordering::Acquire) > 0 {
            self.change(|targets| targets.retain(|target| !ended(target)));
            self.changed.notify_waiters();
        }
    }

    fn change(&self, change: impl FnOnce(&mut HashSet<Target>)) {
        let mut targets = lock(&self.targets);
        change(&mut targets);
        self.count.store(targets.len(), Ordering::Release);
    }

    /// The connection has ended: a sender that waits looks why.
    pub(crate) fn end_all(&self) {
        self.change(HashSet::clear);
        self.changed.notify_waiters();
    }

    pub(crate) fn is_paused(&self, to: Target) -> bool {
        self.count.load(Ordering::Acquire) > 0 && lock(&self.targets).contains(&to)
    }

    /// Waits until nothing keeps this target. Whether it still exists is for the caller to see.
    pub(crate) async fn passed(&self, to: Target) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if !self.is_paused(to) {
                return;
            }
            changed.await;
        }
    }

    /// Waits until some target goes on or ends, if by then all still have to wait.
    pub(crate) async fn changed(&self, all_wait: impl Fn() -> bool) {
        let mut changed = std::pin::pin!(self.changed.notified());
        changed.as_mut().enable();
        if all_wait() {
            changed.await;
        }
    }
}
