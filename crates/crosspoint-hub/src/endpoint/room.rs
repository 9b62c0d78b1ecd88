//! Whether a receiver has room for what comes to it alone, and what becomes of those who send it.
//!
//! What waits for one receiver must hold up nothing that goes to others:
//!
//! * A sender whose protocol can be told pauses the target from three eighths of the bound on, and
//!   sends to others meanwhile. What is on its way until it has heard of that is still taken. A sender
//!   that goes on instead is read no further from seven eighths on.
//! * A sender whose protocol holds back what others make it send over links is told of that at the same time.
//!   What is on its way is taken. One that is above its bound already has to keep up with a rate for that, or
//!   ends. What comes later is the client's own, and counts as that of one of the next two.
//! * A sender that sends to nobody else is read no further from the half on, until there is room.
//! * From there on any other is slowed to a rate that the receiver has to keep up with. A receiver that does not
//!   is waited for no longer after a second, and ends at its bound.
//! * News of a command, such as that somebody enters, is taken from the half on as well, once from each
//!   session until there is room again. For a second such command the session waits. From seven eighths on
//!   such a command is refused.

use super::{Endpoint, Queue};
use crate::command::{Event, Target};
use crate::outbox::Outbox;
use crate::rare_map::RareMap;
use crate::wire::Pauses;
use std::collections::BTreeSet;
use std::sync::{Arc, MutexGuard, Weak};
use std::time::{Duration, Instant};

/// The longest time for which one receiver makes a sender wait that sends to others too.
pub(crate) const PAUSE_MAX: Duration = Duration::from_millis(250);

/// Targets that an endpoint was told to pause, and the endpoints that were meant.
pub(crate) type Paused = RareMap<Target, u64>;

/// Who wants to send something to a single receiver.
pub(crate) struct Sending<'a> {
    pub(crate) from: &'a Arc<Endpoint>,
    pub(crate) now: Instant,
    pub(crate) to: Target,
    /// Whether the session sends to others too, which must not wait for this receiver.
    pub(crate) mixed: bool,
    /// What a receiver has to take in a second to slow such a session.
    pub(crate) rate: u64,
    pub(crate) paused: &'a mut Paused,
}

impl Sending<'_> {
    /// Whether the sender's protocol holds back what others make the sender send to this target.
    fn holds_back(&self) -> bool {
        self.from.profile.pauses == Pauses::Links && matches!(self.to, Target::Link(_))
    }
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

/// How it stands with those who send to an endpoint that does not read what they send. Nothing is kept for one
/// that has always read.
#[derive(Default)]
pub(super) struct Congestion(Option<Box<Congested>>);

#[derive(Default)]
struct Congested {
    /// Who waits for room here.
    senders: Senders,
    /// Up to when has come what senders may send that do not wait for room.
    paid: Option<Instant>,
    /// How much the endpoint takes, as long as senders wait for it.
    pace: Option<Pace>,
}

/// How much an endpoint has taken since some time, and whether it was enough before.
struct Pace {
    since: Instant,
    taken: usize,
    kept: bool,
}

impl Pace {
    /// How often it is judged.
    const TIME: Duration = Duration::from_secs(1);
}

impl Congestion {
    /// So many bytes were taken.
    pub(super) fn took(&mut self, bytes: usize) {
        if let Some(Congested { pace: Some(pace), .. }) = self.0.as_deref_mut() {
            pace.taken += bytes;
        }
    }

    fn begin(&mut self) -> &mut Congested {
        self.0.get_or_insert_default()
    }

    /// Gives those who wait, and forgets them.
    pub(super) fn take_senders(&mut self) -> Senders {
        self.0.as_mut().map(|congested| std::mem::take(&mut congested.senders)).unwrap_or_default()
    }

    /// There is room. Gives those who wait, and forgets them; `None` if there always was.
    pub(super) fn end(&mut self) -> Option<Senders> {
        let congested = self.0.as_mut()?;
        congested.pace = None;
        Some(std::mem::take(&mut congested.senders))
    }
}

impl Congested {
    /// Whether the endpoint takes as many bytes in a second as senders wait for. It is judged each second, and
    /// counts as one that does until then.
    fn keeps_pace(&mut self, now: Instant, rate: u64) -> bool {
        let pace = self.pace.get_or_insert(Pace { since: now, taken: 0, kept: true });
        let time = now.saturating_duration_since(pace.since);
        if time >= Pace::TIME {
            let wanted = u128::from(rate) * time.as_micros() / 1_000_000;
            *pace = Pace { since: now, taken: 0, kept: pace.taken as u128 >= wanted };
        }
        pace.kept
    }
}

/// Who is told when an endpoint has room again.
#[derive(Default)]
pub(super) struct Senders {
    /// The sessions whose news was taken without room.
    guests: BTreeSet<u64>,
    /// Those that are not read meanwhile, in the order in which they came. Weak, so that the connection of
    /// one who goes is closed at once.
    waiting: Vec<Weak<Endpoint>>,
    /// The sessions that these are.
    known: BTreeSet<u64>,
    /// Those that were told to pause.
    paused: Vec<(Weak<Endpoint>, Target)>,
}

impl Senders {
    fn wait(&mut self, sender: &Arc<Endpoint>) {
        if self.known.insert(sender.id) {
            self.waiting.push(Arc::downgrade(sender));
        }
    }

    /// Whether the session has no news here yet for which there was no room. It has from now on.
    fn is_first(&mut self, sender: u64) -> bool {
        self.guests.insert(sender)
    }

    /// They may go on. `of` is the endpoint that they have sent to, which must not be locked.
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

impl Endpoint {
    /// Whether somebody who causes news to this receiver has to wait. If so it is woken when there
    /// is room.
    pub(crate) fn congested(&self, sender: &Arc<Self>) -> bool {
        let mut queue = self.lock();
        if queue.outbox.refuses() || !queue.outbox.is_half_full() {
            return false;
        }
        queue.congestion.begin().senders.wait(sender);
        true
    }

    /// Whether it lives, and a sender whose data goes to this receiver alone need not wait.
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.lock();
        !queue.outbox.refuses() && !queue.outbox.is_half_full()
    }

    /// Whether news of a session's command is taken: there is room, or it is the first without.
    pub(crate) fn reception(&self, sender: &Arc<Self>) -> Reception {
        let mut queue = self.lock();
        let Queue { outbox, congestion } = &mut *queue;
        if outbox.refuses() || !outbox.has_filled(4) {
            return Reception::Taken;
        }
        if outbox.has_filled(7) {
            return Reception::Busy;
        }
        let Congested { senders, .. } = congestion.begin();
        if senders.is_first(sender.id) {
            return Reception::Taken;
        }
        senders.wait(sender);
        Reception::Wait
    }

    /// Whether this receiver, who alone is to have so many bytes, has room for them.
    pub(crate) fn room_for(&self, sending: &mut Sending<'_>, bytes: usize) -> Room {
        let mut queue = self.lock();
        let Queue { outbox, congestion } = &mut *queue;
        if outbox.refuses() || !outbox.has_filled(3) {
            return Room::Free;
        }
        let congestion = congestion.begin();
        let is_new = sending.paused.get(&sending.to) != Some(&self.id);
        if sending.from.pauses() {
            // The rest is for what goes to many.
            if outbox.has_filled(7) {
                congestion.senders.wait(sending.from);
                return Room::None(None);
            }
            if is_new {
                self.tell_to_pause(queue, sending);
            }
            return Room::Free;
        }
        // Nobody can make such a session wait for others: only what its client sends on its own comes later.
        if is_new && sending.holds_back() {
            let over = outbox.has_filled(8);
            if over && congestion.keeps_pace(sending.now, sending.rate) {
                congestion.senders.wait(sending.from);
                return Room::None(Some(sending.now + PAUSE_MAX));
            }
            self.tell_to_pause(queue, sending);
            return if over { Room::UpToBound } else { Room::Free };
        }
        if !outbox.has_filled(4) {
            return Room::Free;
        }
        let now = sending.now;
        // A session that fills its own outbox holds up nobody else.
        let is_own = sending.from.id == self.id;
        if is_own && self.holds_events() {
            return Room::UpToBound;
        }
        if !sending.mixed || sending.rate == 0 || is_own {
            congestion.senders.wait(sending.from);
            return Room::None(None);
        }
        if !congestion.keeps_pace(now, sending.rate) {
            return Room::UpToBound;
        }
        let time = |bytes: usize| {
            Duration::from_micros((bytes as u64).saturating_mul(1_000_000) / sending.rate)
        };
        let paid = congestion.paid.map_or(now, |paid| paid.max(now));
        // So much may come at once, far less than there is room for.
        let ahead = PAUSE_MAX.min(time(outbox.eighth()));
        if paid > now + ahead {
            congestion.senders.wait(sending.from);
            return Room::None(Some(paid - ahead));
        }
        congestion.paid = Some(paid + time(bytes + Outbox::ENTRY_BYTES));
        Room::UpToBound
    }

    /// Tells a sender to pause the target that this endpoint is, once until there is room.
    fn tell_to_pause(&self, mut queue: MutexGuard<'_, Queue>, sending: &mut Sending<'_>) {
        let to = sending.to;
        let senders = &mut queue.congestion.begin().senders;
        senders.paused.push((Arc::downgrade(sending.from), to));
        drop(queue);
        sending.paused.insert(to, self.id);
        sending.from.notify(Event::Paused { to });
    }

    /// Those who wait for room here may go on: what they have is for somebody else now.
    pub(crate) fn release_senders(&self) {
        let senders = self.lock().congestion.take_senders();
        senders.go_on(self.id);
    }

    /// Ends a receiver above its bound.
    pub(crate) fn end_above_bound(&self) {
        let mut queue = self.lock();
        if !queue.outbox.is_dead() {
            queue.outbox.check();
        }
    }
}
