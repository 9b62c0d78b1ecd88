//! How an endpoint is written to: who fills its outbox, and who empties it.

use super::{Endpoint, PendingWrites, Queue};
use crate::command::Event;
use crate::limit::Limit;
use crate::messages::Run;
use crate::outbox::{Ahead, Exceeded, Outbox, Tag, WriteStep};
use crate::segment::Logged;
use crate::wire::{Encoded, Part, Place, Stateful};
use bytes::Bytes;
use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::time::Instant;

/// What became of data that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Pushed {
    /// It waits to be written.
    Accepted,
    /// The session has ended or ends now; the data is gone.
    Dead,
}

/// Filling.
impl Endpoint {
    fn push(
        self: &Arc<Self>,
        messages: usize,
        writes: &mut PendingWrites,
        push: impl FnOnce(&mut Outbox),
    ) -> Pushed {
        let mut queue = self.lock();
        if queue.outbox.refuses() {
            return Pushed::Dead;
        }
        queue.outbox.count(messages);
        push(&mut queue.outbox);
        writes.add(&queue, self);
        if queue.outbox.is_dead() { Pushed::Dead } else { Pushed::Accepted }
    }

    /// Adds an event. A receiver whose outbox is full is ended with `SlowReceiver`.
    pub(crate) fn push_event(self: &Arc<Self>, tag: Tag, event: Event, writes: &mut PendingWrites) {
        self.push(0, writes, |outbox| outbox.push_event(tag, event));
    }

    /// Adds an event that goes to this receiver alone and may be large. That never ends it: the one who
    /// causes it asked [`Endpoint::congested`] before.
    pub(crate) fn push_event_alone(
        self: &Arc<Self>,
        tag: Tag,
        event: Event,
        writes: &mut PendingWrites,
    ) {
        self.push(0, writes, |outbox| outbox.push_event_alone(tag, event));
    }

    /// Adds events that are many because of others. Together they never end the receiver.
    pub(crate) fn push_events_alone(
        self: &Arc<Self>,
        tag: Tag,
        events: impl IntoIterator<Item = Event>,
        writes: &mut PendingWrites,
    ) {
        self.push(0, writes, |outbox| outbox.push_events_alone(tag, events));
    }

    /// Adds so many messages as data that goes to many receivers: a full one is ended with `SlowReceiver`. `logged`
    /// gives small data as many who lag share it.
    pub(crate) fn push_shared(
        self: &Arc<Self>,
        (messages, data): (usize, &Encoded),
        logged: impl FnOnce() -> Option<Logged>,
        writes: &mut PendingWrites,
    ) -> Pushed {
        self.push(messages, writes, |outbox| outbox.push_shared(data, logged))
    }

    /// Adds so many messages as data that goes to this receiver alone. That never ends it: its senders asked
    /// [`Endpoint::room_for`] before, so what comes above the bound is one batch.
    pub(crate) fn push_alone(
        self: &Arc<Self>,
        (messages, data): (usize, &Encoded),
        writes: &mut PendingWrites,
    ) -> Pushed {
        self.push(messages, writes, |outbox| outbox.push_alone(data))
    }

    /// As [`Endpoint::push_alone`], for a session whose own task writes data.
    pub(crate) fn push_data(
        self: &Arc<Self>,
        place: Place,
        parts: Vec<Part>,
        writes: &mut PendingWrites,
    ) -> Pushed {
        self.push(parts.len(), writes, |outbox| outbox.push_data(place, parts))
    }

    /// As [`Endpoint::push_shared`], for a session whose own task writes data.
    pub(crate) fn push_run(
        self: &Arc<Self>,
        place: Place,
        run: &Run,
        writes: &mut PendingWrites,
    ) -> Pushed {
        self.push(run.parts().len(), writes, |outbox| outbox.push_run(place, run))
    }

    /// Adds what the session's own protocol has to write. It is bounded by what the endpoint sent.
    ///
    /// A protocol that writes data itself has not been told yet of the events that wait, so what it has
    /// written comes before what it will write for them: it may be that it encrypts from now on.
    pub fn push_own(&self, data: &Encoded) {
        let mut queue = self.lock();
        if !queue.outbox.is_dead() {
            queue.outbox.push_own(data, self.writes_before_events());
        }
    }

    /// Adds what the session's own protocol had to [hold back](crate::Protocol::write_more). That never
    /// ends the session, as it comes in small amounts when there is room.
    pub fn push_held(&self, data: &Encoded) {
        let mut queue = self.lock();
        if !queue.outbox.is_dead() {
            queue.outbox.push_held(data, self.writes_before_events());
        }
    }

    fn writes_before_events(&self) -> bool {
        self.profile.stateful == Stateful::Yes
    }

    /// Adds an event from a thread that cannot let it be written at once.
    pub(super) fn notify(&self, event: Event) {
        let mut queue = self.lock();
        if !queue.outbox.refuses() {
            queue.outbox.push_event(Tag::default(), event);
        }
        drop(queue);
        self.outlet.wake();
    }

    /// The endpoint takes too little for too long a time, by this limit.
    pub fn exceed(&self, limit: Limit) {
        self.lock().outbox.exceed(limit);
    }
}

/// Emptying.
impl Endpoint {
    /// Pieces that are taken out for one write.
    pub const PIECES_MAX: usize = Outbox::PIECES_MAX;

    /// Which part of a full outbox is the least that an endpoint has to take not to count as stalled.
    pub const TAKEN_SHARE: usize = Outbox::TAKEN_SHARE;

    /// Takes out what comes next. `task` says whether the session's own task asks, which gets events as well.
    pub fn next(&self, task: bool, pieces: &mut Vec<Bytes>) -> WriteStep {
        self.lock().outbox.next(task, pieces)
    }

    /// As [`Self::next`] for the session's own task, of events only those that its protocol
    /// [takes ahead](crate::Protocol::takes_ahead).
    pub fn next_ahead(&self, takes: &dyn Fn(&Event) -> bool, pieces: &mut Vec<Bytes>) -> WriteStep {
        let mut passed = usize::from(self.held.load(Ordering::Relaxed)).saturating_sub(1);
        let ahead = Ahead { takes, passed: &mut passed };
        let step = self.lock().outbox.next_ahead(ahead, pieces);
        // Where there are more, some are looked at again.
        let held = u16::try_from(passed + 1).unwrap_or(u16::MAX);
        self.held.store(held, Ordering::Relaxed);
        step
    }

    /// Says whether events wait, because the session's protocol
    /// [takes none](crate::Protocol::takes_events) at present.
    pub fn hold_events(&self, hold: bool) {
        if self.holds_events() != hold {
            self.held.store(u16::from(hold), Ordering::Relaxed);
        }
    }

    /// Whether events wait until the endpoint has said something. The session has to be read for that, so it must not
    /// wait for room that there is only afterwards.
    pub(crate) fn holds_events(&self) -> bool {
        self.held.load(Ordering::Relaxed) > 0
    }

    /// Ends a [`WriteStep::Write`]: `written` bytes of the pieces were taken by the endpoint, and
    /// `blocked` says that it took no more. Senders that waited for room are woken.
    pub fn wrote(&self, now: Instant, pieces: &mut Vec<Bytes>, written: usize, blocked: bool) {
        let mut queue = self.lock();
        if queue.outbox.wrote(now, pieces, written, blocked) {
            queue.congestion.took(written);
            self.end_turn(queue);
        }
    }

    /// The next event, if one follows right behind that of a [`WriteStep::Event`]. What the protocol writes
    /// for both then leaves in one piece.
    pub fn next_event(&self) -> Option<(Tag, Event)> {
        self.lock().outbox.next_event()
    }

    /// Ends a [`WriteStep::Event`] with what the protocol wrote for it, and for those that followed.
    pub fn converted(&self, data: &Encoded) {
        let mut queue = self.lock();
        queue.outbox.converted(data);
        self.end_turn(queue);
    }

    /// Wakes who waits for room, when there is.
    fn end_turn(&self, mut queue: MutexGuard<'_, Queue>) {
        let asked = queue.outbox.end_turn();
        let senders = match queue.outbox.has_room_again() {
            true => queue.congestion.end(),
            false => None,
        };
        drop(queue);
        if let Some(senders) = senders {
            senders.go_on(self.id);
        }
        if asked {
            self.outlet.wake();
        }
    }

    /// For which bound the session ends as one that reads too slowly, if it does.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.lock().outbox.exceeded()
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        self.lock().outbox.is_empty()
    }

    /// When bytes were last taken by the endpoint.
    pub fn written(&self) -> Option<Instant> {
        self.lock().outbox.written()
    }

    /// Since when the endpoint has taken nothing, or next to nothing, although something waits: less
    /// than that, and less than one in [`Endpoint::TAKEN_SHARE`] parts of what may wait. `None` while it
    /// is away.
    pub fn stalled(&self) -> Option<Instant> {
        if self.is_away() { None } else { self.lock().outbox.stalled() }
    }

    /// What waits costs this many bytes of memory, without what is charged to its channel.
    pub fn cost(&self) -> usize {
        self.lock().outbox.cost()
    }

    /// The bytes that wait for it and others.
    pub(crate) fn lag(&self) -> usize {
        // Nothing waits for a session that was ended.
        self.lock().outbox.shared()
    }
}
