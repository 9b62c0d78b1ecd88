//! Whether a receiver has room for what comes to it alone, and what becomes of those who send it.
//!
//! What waits for one receiver must hold up nothing that goes to others:
//!
//! * A sender whose protocol can be told pauses the target from three eighths of the bound on, and
//!   sends to others meanwhile. What is on its way until it has heard of that is still taken. A sender
//!   that goes on instead is read no further from seven eighths on.
//! * A sender that sends to nobody else is read no further from the half on, until there is room.
//! * From there on any other is slowed to a rate that the receiver has to keep up with. A receiver that does not
//!   is waited for no longer after a second, and ends at its bound.
//! * News of a command, such as that somebody enters, is taken from the half on as well, once from each
//!   session until there is room again. For a second such command the session waits. From seven eighths on
//!   such a command is refused.

use super::{Outbox, Tag};
use crate::command::{Event, Target};
use crate::outbox::entry::Entry;
use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

/// The longest time for which one receiver makes a sender wait that sends to others too.
pub(crate) const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Targets that an endpoint was told to pause, and the outboxes that were meant.
pub(crate) type Paused = HashMap<Target, u64>;

/// Who wants to send something to a single receiver.
pub(crate) struct Sending<'a> {
    pub(crate) outbox: &'a Arc<Outbox>,
    pub(crate) now: Instant,
    pub(crate) to: Target,
    /// Whether the session sends to others too, which must not wait for this receiver.
    pub(crate) mixed: bool,
    /// What a receiver has to take in a second to slow such a session.
    pub(crate) rate: u64,
    pub(crate) paused: &'a mut Paused,
}

/// Whether something for a single receiver is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Room {
    /// It is.
    Free,
    /// It is, and the receiver ends if it exceeds the bound.
    UpToBound,
    /// The sender has to wait until it is woken, or until this time.
    None(Option<Instant>),
}

/// Whether news of a command is taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Reception {
    /// It is.
    Taken,
    /// The one who gives the command has to wait until it is woken.
    Wait,
    /// There is no room, and nobody waits for it.
    Busy,
}

/// Who is told when an outbox has room again.
#[derive(Default)]
pub(super) struct Senders {
    /// The sessions whose news was taken without room.
    guests: BTreeSet<u64>,
    /// Those that are not read meanwhile, in the order in which they came. Weak, so that the connection of
    /// one who goes is closed at once.
    waiting: Vec<Weak<Outbox>>,
    /// The sessions that these are.
    known: BTreeSet<u64>,
    /// Those that were told to pause.
    paused: Vec<(Weak<Outbox>, Target)>,
}

impl Senders {
    pub(super) fn wait(&mut self, sender: &Arc<Outbox>) {
        if self.known.insert(sender.id) {
            self.waiting.push(Arc::downgrade(sender));
        }
    }

    /// Whether the session has no news here yet for which there was no room. It has from now on.
    fn is_first(&mut self, sender: u64) -> bool {
        self.guests.insert(sender)
    }

    /// They may go on. `of` is the outbox that they have sent to, which must not be locked.
    pub(super) fn go_on(self, of: u64) {
        for sender in self.waiting.iter().filter_map(Weak::upgrade) {
            sender.outlet.wake();
        }
        for (sender, to) in self.paused {
            if let Some(sender) = sender.upgrade() {
                sender.notify(Event::Resumed { to, of });
            }
        }
    }
}

impl Outbox {
    /// Whether news of a session's command is taken: there is room, or it is the first without.
    pub(crate) fn reception(&self, sender: &Arc<Self>) -> Reception {
        let mut queue = self.lock();
        let eighth = self.bytes_max / 8;
        if queue.dead.is_some() || queue.cost < 4 * eighth {
            return Reception::Taken;
        }
        if queue.cost >= 7 * eighth {
            return Reception::Busy;
        }
        if queue.senders.is_first(sender.id) {
            return Reception::Taken;
        }
        queue.senders.wait(sender);
        Reception::Wait
    }

    /// Whether this receiver, who alone is to have so many bytes, has room for them.
    pub(crate) fn room_for(self: &Arc<Self>, sending: &mut Sending<'_>, bytes: usize) -> Room {
        let mut queue = self.lock();
        let eighth = self.bytes_max / 8;
        if queue.dead.is_some() || queue.cost < 3 * eighth {
            return Room::Free;
        }
        if sending.outbox.pauses() {
            // The rest is for what goes to many.
            if queue.cost >= 7 * eighth {
                queue.senders.wait(sending.outbox);
                return Room::None(None);
            }
            if sending.paused.get(&sending.to) != Some(&self.id) {
                let to = sending.to;
                queue.senders.paused.push((Arc::downgrade(sending.outbox), to));
                drop(queue);
                sending.paused.insert(to, self.id);
                sending.outbox.notify(Event::Paused { to });
            }
            return Room::Free;
        }
        if queue.cost < 4 * eighth {
            return Room::Free;
        }
        let now = sending.now;
        // A session that fills its own outbox holds up nobody else.
        if !sending.mixed || sending.rate == 0 || sending.outbox.id == self.id {
            queue.senders.wait(sending.outbox);
            return Room::None(None);
        }
        if !queue.keeps_pace(now, sending.rate) {
            return Room::UpToBound;
        }
        let time = |bytes: usize| {
            Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / sending.rate)
        };
        let paid = queue.paid.map_or(now, |paid| paid.max(now));
        // So much may come at once, far less than there is room for.
        let ahead = PAUSE_MAX.min(time(eighth));
        if paid > now + ahead {
            queue.senders.wait(sending.outbox);
            return Room::None(Some(paid - ahead));
        }
        queue.paid = Some(paid + time(bytes + Entry::OVERHEAD));
        Room::UpToBound
    }

    /// Ends a receiver above its bound.
    pub(crate) fn end_above_bound(&self) {
        let mut queue = self.lock();
        if queue.dead.is_none() {
            self.check(&mut queue);
        }
    }

    /// Adds an event from a thread that cannot let it be written at once.
    fn notify(&self, event: Event) {
        let mut queue = self.lock();
        if queue.dead.is_none() {
            queue.add(Entry::Event(Tag::default(), Box::new(event)));
            self.check(&mut queue);
            queue.pay();
        }
        drop(queue);
        self.outlet.wake();
    }
}
