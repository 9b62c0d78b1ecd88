//! Targets that the hub has asked to pause. What is for them waits; what is for others goes on.

use crate::lock::lock;
use crosspoint_hub::command::{ChannelEvent, Event, LinkEvent, OwnerNews, Target};
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
    /// So many pauses are heeded at a time: a dishonest hub could pause targets without an end. What is sent
    /// in spite of a pause waits at the hub, or is read later.
    const TARGETS_MAX: usize = 65_536;

    /// Takes note of what the hub says. A pause ends with its target.
    pub(crate) fn observe(&self, event: &Event) {
        match event {
            Event::Paused { to } => self.change(|targets| {
                if targets.len() < Self::TARGETS_MAX {
                    targets.insert(*to);
                }
            }),
            Event::Resumed { to, .. } => self.end(|target| target == to),
            Event::Channel(
                ChannelEvent::MemberEntered { channel, member, .. }
                | ChannelEvent::MemberLeft { channel, member, .. },
            ) => {
                self.end(|target| *target == Target::Member(*channel, *member));
            }
            Event::Channel(
                ChannelEvent::Created { channel, .. } | ChannelEvent::Deleted { channel, .. },
            ) => {
                self.end(|target| matches!(target, Target::Member(own, _) if own == channel));
            }
            Event::Channel(
                ChannelEvent::Ended { channel, .. }
                | ChannelEvent::Owner { channel, news: OwnerNews::Changed(_) | OwnerNews::You(_) },
            ) => {
                self.end(|target| *target == Target::Up(*channel));
            }
            Event::Channel(ChannelEvent::Entered(entered)) => {
                self.end(|target| *target == Target::Up(entered.channel))
            }
            Event::Link(LinkEvent::Closed { link, .. }) => {
                self.end(|target| *target == Target::Link(*link))
            }
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

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::LinkNumber;

    #[test]
    fn a_hub_that_pauses_targets_without_an_end_does_not_fill_the_memory() {
        let pauses = Pauses::default();
        let link = |number| Target::Link(LinkNumber(number));
        for number in 0..=Pauses::TARGETS_MAX as u32 {
            pauses.observe(&Event::Paused { to: link(number) });
        }
        assert_eq!(lock(&pauses.targets).len(), Pauses::TARGETS_MAX);
        assert!(pauses.is_paused(link(0)) && !pauses.is_paused(link(Pauses::TARGETS_MAX as u32)));
    }
}
