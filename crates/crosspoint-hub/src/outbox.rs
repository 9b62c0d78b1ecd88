//! What waits to be written to one endpoint: a bounded queue and nothing else.
//!
//! Encoded data may be written by anybody, so that a message reaches an idle receiver's socket
//! straight from the sender's thread. Events are turned into bytes by the session's own task, as
//! only it has the protocol's state; data behind an event waits for it. Order is kept throughout.
//!
//! An outbox has many who fill it and one at a time who empties it. It knows none of them, and is locked by the
//! [`Endpoint`](crate::Endpoint) that owns it.

mod entry;

use crate::command::Event;
use crate::ledger::{Common, Tab};
use crate::limit::Limit;
use crate::messages::Run;
use crate::reason::Reason;
use crate::segment::Logged;
use crate::stall::Stall;
use crate::wire::{Encoded, Part, Place};
use bytes::{Buf, Bytes, BytesMut};
use entry::{Entry, behind};
use std::collections::VecDeque;
use std::time::Instant;

/// Which holding of a number an event is about. Numbers are used again at once, while events about
/// their former holders may still be on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tag(pub u32);

/// A bound that a session has exceeded by not reading.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exceeded {
    /// The limit.
    pub limit: Limit,
    /// The bytes that waited for the session, with those that wait for others too.
    pub waited: usize,
}

/// What there is to do for a thread that wants to write.
#[derive(Debug, PartialEq)]
pub enum WriteStep {
    /// Pieces to write were taken out; [`Endpoint::wrote`](crate::Endpoint::wrote) must follow.
    Write,
    /// An event was taken out; [`Endpoint::converted`](crate::Endpoint::converted) must follow. Only the
    /// session's task gets it.
    Event(Tag, Box<Event>),
    /// There is an event, which the session's task has to take.
    ForTask,
    /// Nothing to do, or somebody else is doing it.
    Nothing,
    /// The endpoint takes no more at present.
    Blocked,
    /// The session has to end without writing anything more.
    Dead(Reason),
}

/// Events that are taken although those before them are not.
pub(crate) struct Ahead<'a> {
    pub(crate) takes: &'a dyn Fn(&Event) -> bool,
    /// How many events need not be looked at again.
    pub(crate) passed: &'a mut usize,
}

/// What has passed through an outbox.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Passed {
    /// Messages and parts that were added.
    pub(crate) messages: u64,
    /// Bytes that were written.
    pub(crate) bytes: u64,
}

/// See the [module](self).
pub(crate) struct Outbox {
    /// What the entries may cost together.
    bytes_max: usize,
    entries: VecDeque<Entry>,
    /// What the entries cost together, see [`Entry::cost`].
    cost: usize,
    /// The bytes of them that are charged to their channels.
    shared: usize,
    /// Which of the pieces that were taken out are such bytes, a bit for each.
    shared_pieces: u64,
    /// What has passed. Here, as what is next to it changes with each push and write too.
    passed: Passed,
    /// What of the cost is charged.
    tab: Tab,
    /// What a large message to this receiver alone, which was taken when there was room, may cost above the
    /// bound until it is written.
    allowance: usize,
    /// Somebody has taken entries out and will come back. Nobody else may meanwhile.
    busy: bool,
    /// The endpoint took no more at the last try; only the session's task tries again.
    blocked: bool,
    dead: Option<Reason>,
    /// For which bound it was ended.
    exceeded: Option<Exceeded>,
    /// When bytes were last taken by the endpoint.
    written: Option<Instant>,
    stall: Stall,
    phase: Phase,
    /// Why the session has to end. Its task is told before anything else, so that nobody puts the
    /// end off by not reading.
    ending: Option<Reason>,
    /// Its task came for one of the two while another thread was at it, and waits until that is
    /// done.
    asked: bool,
}

/// Who may do what.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// Everybody adds and writes.
    Open,
    /// The session has left the hub. Nothing is added but by itself.
    Left,
    /// The session ends. Nothing is added but by itself, and its task alone writes what is left.
    Sealed,
}

/// How much of what waits is not charged as long as the endpoint takes what it gets.
const UNPAID_BYTES_MAX: usize = 32 * 1024;

/// What waits for an endpoint from which on copies of small data that goes to many are worth their
/// while no more.
const LAG_BYTES: usize = 64 * 1024;

impl Outbox {
    /// Pieces that are taken out for one write.
    pub(crate) const PIECES_MAX: usize = 64;

    /// Which part of a full outbox is the least that an endpoint has to take not to count as stalled.
    pub(crate) const TAKEN_SHARE: usize = 64;

    /// What an entry costs besides its bytes.
    pub(crate) const ENTRY_BYTES: usize = Entry::OVERHEAD;

    /// Nothing waits. Together the entries may cost `bytes_max`.
    pub(crate) fn new(tab: Tab, bytes_max: usize) -> Self {
        Self {
            bytes_max,
            // It would begin with room for four, and in most outboxes one waits at a time.
            entries: VecDeque::with_capacity(1),
            cost: 0,
            shared: 0,
            shared_pieces: 0,
            passed: Passed::default(),
            tab,
            allowance: 0,
            busy: false,
            blocked: false,
            dead: None,
            exceeded: None,
            written: None,
            stall: Stall::default(),
            phase: Phase::Open,
            ending: None,
            asked: false,
        }
    }

    /// Counts messages that are added.
    pub(crate) fn count(&mut self, messages: usize) {
        self.passed.messages += messages as u64;
    }

    /// What has passed.
    pub(crate) fn passed(&self) -> Passed {
        self.passed
    }

    /// Adds an event. Above the bound, the session is ended with `SlowReceiver`.
    pub(crate) fn push_event(&mut self, tag: Tag, event: Event) {
        self.add(Entry::Event(tag, Box::new(event)));
        self.check();
        self.pay();
    }

    /// Adds an event that never ends the session.
    pub(crate) fn push_event_alone(&mut self, tag: Tag, event: Event) {
        self.allow(behind(&event));
        self.add(Entry::Event(tag, Box::new(event)));
        self.pay();
    }

    /// Adds events that never end the session, however many they are.
    pub(crate) fn push_events_alone(&mut self, tag: Tag, events: impl IntoIterator<Item = Event>) {
        let before = self.cost;
        events.into_iter().for_each(|event| self.add(Entry::Event(tag, Box::new(event))));
        self.allowance = self.allowance.saturating_add(self.cost - before);
        self.pay();
    }

    /// Adds data that goes to many receivers. Above the bound, the session is ended with `SlowReceiver`.
    /// `logged` gives small data as many who lag share it.
    pub(crate) fn push_shared(&mut self, data: &Encoded, logged: impl FnOnce() -> Option<Logged>) {
        self.add_shared(data, logged);
        self.check();
        self.pay();
    }

    /// Adds data that never ends the session.
    pub(crate) fn push_alone(&mut self, data: &Encoded) {
        self.add_all(data);
        self.pay();
    }

    /// As [`Outbox::push_alone`], for a session whose own task writes data.
    pub(crate) fn push_data(&mut self, place: Place, parts: Vec<Part>) {
        self.allow(parts.iter().map(|part| part.data.len()).sum());
        for part in parts {
            let event = Box::new(Event::Data { place, part });
            self.add(Entry::Event(Tag::default(), event));
        }
        self.pay();
    }

    /// As [`Outbox::push_shared`], for a session whose own task writes data.
    pub(crate) fn push_run(&mut self, place: Place, run: &Run) {
        let event = Event::Messages { place, run: run.for_receiver(self.lags()) };
        self.add(Entry::Event(Tag::default(), Box::new(event)));
        self.check();
        self.pay();
    }

    /// Adds what the session's own protocol has written, before all events that wait if `before_events`.
    /// Above the bound, the session is ended with `SlowReceiver`.
    pub(crate) fn push_own(&mut self, data: &Encoded, before_events: bool) {
        self.push_held(data, before_events);
        self.check();
    }

    /// As [`Outbox::push_own`], and never ends the session.
    pub(crate) fn push_held(&mut self, data: &Encoded, before_events: bool) {
        let first_event = match before_events && !data.is_empty() {
            true => self.entries.iter().position(|entry| entry.is_event()),
            false => None,
        };
        match first_event {
            Some(index) => {
                for (at, piece) in (index..).zip(data.pieces()) {
                    let entry = Entry::Bytes(piece.clone());
                    self.cost += entry.cost();
                    self.entries.insert(at, entry);
                }
            }
            None => self.add_all(data),
        }
        self.pay();
    }

    /// Ends the session if it is above its bound.
    pub(crate) fn check(&mut self) {
        if self.cost > self.bytes_max.saturating_add(self.allowance) {
            self.end(Reason::SlowReceiver, Some(Limit::OutboxBytes));
        }
    }

    /// The endpoint takes too little for too long a time, by this limit.
    pub(crate) fn exceed(&mut self, limit: Limit) {
        let waited = self.waits();
        self.exceeded.get_or_insert(Exceeded { limit, waited });
    }

    /// Ends the session, if it has not ended: what waits is thrown away. `limit` is what it ends for, if
    /// it ends for one.
    pub(crate) fn end(&mut self, reason: Reason, limit: Option<Limit>) {
        if self.dead.is_some() {
            return;
        }
        self.dead = Some(reason);
        let waited = self.waits();
        self.exceeded = limit.map(|limit| Exceeded { limit, waited });
        self.entries = VecDeque::new();
        (self.cost, self.shared) = (0, 0);
        self.tab.settle(0);
    }

    /// The session has to end, and its task is told by [`Event::Closed`]. What waits can still be written.
    pub(crate) fn end_soon(&mut self, reason: Reason) {
        self.ending.get_or_insert(reason);
    }

    /// The session has left everything. Its task alone writes what is left.
    pub(crate) fn seal(&mut self) {
        self.phase = Phase::Sealed;
    }

    fn is_sealed(&self) -> bool {
        self.phase == Phase::Sealed
    }

    /// The session has left the hub, and stays connected. Only what is encoded already is still written.
    pub(crate) fn leave(&mut self) {
        self.phase = Phase::Left;
        let (mut cost, mut shared) = (0, 0);
        self.entries.retain(|entry| {
            let is_event = entry.is_event();
            if is_event {
                cost += entry.cost();
                shared += entry.shared();
            }
            !is_event
        });
        self.cost -= cost;
        self.shared -= shared;
        self.settle();
    }

    /// Whether nobody else adds anything any more.
    pub(crate) fn refuses(&self) -> bool {
        self.dead.is_some() || self.phase != Phase::Open
    }

    /// Takes out what comes next. `task` says whether the session's own task asks.
    #[inline]
    pub(crate) fn next(&mut self, task: bool, pieces: &mut Vec<Bytes>) -> WriteStep {
        self.step(task, pieces, Self::pop_event)
    }

    /// As [`Outbox::next`] for the session's own task, which takes some events only.
    pub(crate) fn next_ahead(&mut self, ahead: Ahead<'_>, pieces: &mut Vec<Bytes>) -> WriteStep {
        self.step(true, pieces, |outbox| outbox.pop_event_ahead(ahead))
    }

    #[inline]
    fn step(
        &mut self,
        task: bool,
        pieces: &mut Vec<Bytes>,
        pop_event: impl FnOnce(&mut Self) -> Option<(Tag, Box<Event>)>,
    ) -> WriteStep {
        if let Some(reason) = self.dead {
            return WriteStep::Dead(reason);
        }
        if self.busy {
            self.asked = task && (self.is_sealed() || self.ending.is_some());
            return WriteStep::Nothing;
        }
        if task
            && !self.is_sealed()
            && let Some(reason) = self.ending.take()
        {
            self.busy = true;
            return WriteStep::Event(Tag::default(), Box::new(Event::Closed { reason }));
        }
        if (self.blocked || self.is_sealed()) && !task {
            return WriteStep::Blocked;
        }
        if task
            && pieces.is_empty()
            && let Some((tag, event)) = pop_event(self)
        {
            self.busy = true;
            // All before it was taken by the endpoint. It may make nothing to write.
            self.stall.end();
            return WriteStep::Event(tag, event);
        }
        self.shared_pieces = 0;
        while pieces.len() < Self::PIECES_MAX {
            match self.entries.pop_front() {
                Some(Entry::Bytes(bytes)) => pieces.push(bytes),
                Some(Entry::Shared(bytes)) => {
                    self.shared_pieces |= 1 << pieces.len();
                    pieces.push(bytes);
                }
                Some(Entry::Logged(logged)) => {
                    self.shared_pieces |= 1 << pieces.len();
                    pieces.push(logged.bytes());
                }
                Some(Entry::Gathered(bytes)) => {
                    // From now on it counts as what is left of it.
                    self.cost -= bytes.capacity() - bytes.len();
                    pieces.push(bytes.freeze());
                }
                Some(entry) => {
                    self.entries.push_front(entry);
                    break;
                }
                None => break,
            }
        }
        if !pieces.is_empty() {
            self.busy = true;
            WriteStep::Write
        } else if self.entries.is_empty() {
            WriteStep::Nothing
        } else {
            WriteStep::ForTask
        }
    }

    /// Ends a [`WriteStep::Write`]: `written` bytes of the pieces were taken by the endpoint, and `blocked` says that
    /// it took no more. Gives whether the session lives.
    pub(crate) fn wrote(
        &mut self,
        now: Instant,
        pieces: &mut Vec<Bytes>,
        written: usize,
        blocked: bool,
    ) -> bool {
        self.busy = false;
        self.blocked = blocked;
        self.passed.bytes += written as u64;
        if self.dead.is_some() {
            pieces.clear();
            return false;
        }
        if written > 0 {
            self.written = Some(now);
        }
        let mut left = written;
        let mut kept = pieces.len();
        let shared_pieces = std::mem::take(&mut self.shared_pieces);
        let is_shared = |index: usize| shared_pieces & 1 << index != 0;
        for (index, piece) in pieces.iter_mut().enumerate() {
            let gone = left.min(piece.len());
            match is_shared(index) {
                true => self.shared -= gone,
                false => self.cost -= gone,
            }
            left -= gone;
            if gone < piece.len() {
                piece.advance(gone);
                kept = index;
                break;
            }
            self.cost -= Entry::OVERHEAD;
        }
        for (index, piece) in pieces.drain(..).enumerate().skip(kept).rev() {
            self.entries.push_front(match is_shared(index) {
                true => Entry::Shared(piece),
                false => Entry::Bytes(piece),
            });
        }
        self.took(now, written);
        true
    }

    /// The next event, if one follows right behind that of a [`WriteStep::Event`].
    pub(crate) fn next_event(&mut self) -> Option<(Tag, Event)> {
        debug_assert!(self.busy, "only the task asks, and only behind an event");
        self.pop_event().map(|(tag, event)| (tag, *event))
    }

    /// Ends a [`WriteStep::Event`] with what the protocol wrote for it, and for those that followed.
    pub(crate) fn converted(&mut self, data: &Encoded) {
        self.busy = false;
        if self.dead.is_none() {
            for piece in data.pieces().rev() {
                let entry = Entry::Bytes(piece.clone());
                self.cost += entry.cost();
                self.entries.push_front(entry);
            }
        }
    }

    /// A turn has ended. Gives whether the session's task waits for that.
    pub(crate) fn end_turn(&mut self) -> bool {
        self.settle();
        if self.cost <= self.bytes_max / 2 {
            self.allowance = 0;
        }
        std::mem::take(&mut self.asked)
    }

    /// Whether the session was ended, most often because there was no room.
    pub(crate) fn is_dead(&self) -> bool {
        self.dead.is_some()
    }

    /// For which bound the session ends as one that reads too slowly, if it does.
    pub(crate) fn exceeded(&self) -> Option<Exceeded> {
        self.exceeded
    }

    /// Whether everything was written.
    pub(crate) fn is_empty(&self) -> bool {
        self.entries.is_empty() && !self.busy
    }

    /// Whether those who cause news have to wait.
    pub(crate) fn is_half_full(&self) -> bool {
        self.cost >= self.bytes_max / 2
    }

    /// Whether at least so many eighths of the bound are used.
    pub(crate) fn has_filled(&self, eighths: usize) -> bool {
        self.cost >= eighths * self.eighth()
    }

    /// An eighth of the bound, in bytes.
    pub(crate) fn eighth(&self) -> usize {
        self.bytes_max / 8
    }

    /// Whether those who wait for room may go on.
    pub(crate) fn has_room_again(&self) -> bool {
        self.cost <= self.bytes_max / 4
    }

    /// When bytes were last taken by the endpoint.
    pub(crate) fn written(&self) -> Option<Instant> {
        self.written
    }

    /// Since when the endpoint has taken nothing, or next to nothing, although something waits: less
    /// than that, and less than one in [`Outbox::TAKEN_SHARE`] parts of what may wait.
    pub(crate) fn stalled(&self) -> Option<Instant> {
        self.stall.since()
    }

    /// The endpoint cannot take anything from now on, or can again.
    pub(crate) fn set_away(&mut self, now: Instant, away: bool) {
        self.stall.set_away(now, away);
    }

    /// What waits costs this many bytes of memory, without what is charged to channels.
    pub(crate) fn cost(&self) -> usize {
        self.cost
    }

    /// The bytes that wait and are charged to channels.
    pub(crate) fn shared(&self) -> usize {
        self.shared
    }

    /// Something was added. It is charged when it seems to stay.
    fn pay(&mut self) {
        let unpaid = if self.blocked { Tab::FREE_BYTES } else { UNPAID_BYTES_MAX };
        if self.cost > self.tab.paid() + unpaid {
            self.tab.settle(self.cost);
        }
    }

    /// Something has left, or was put in its place.
    fn settle(&mut self) {
        match self.blocked || self.tab.paid() > 0 {
            true => self.tab.settle(self.cost),
            false => self.pay(),
        }
        self.shrink();
    }

    /// Gives the memory of a peak back.
    fn shrink(&mut self) {
        let capacity = self.entries.capacity();
        if capacity > 64 && self.entries.len() < capacity / 8 {
            self.entries.shrink_to(capacity / 4);
        }
    }

    /// All that waits, in bytes.
    pub(crate) fn waits(&self) -> usize {
        self.cost + self.shared
    }

    /// Takes out the first event that is taken, if no bytes wait.
    fn pop_event_ahead(&mut self, ahead: Ahead<'_>) -> Option<(Tag, Box<Event>)> {
        if !self.entries.front().is_some_and(Entry::is_event) {
            return None;
        }
        let Ahead { takes, passed } = ahead;
        let is_taken = |entry: &Entry| matches!(entry, Entry::Event(_, event) if takes(event));
        while *passed < self.entries.len() && !is_taken(&self.entries[*passed]) {
            *passed += 1;
        }
        match self.entries.remove(*passed)? {
            Entry::Event(tag, event) => {
                self.cost -= Entry::event_cost(&event);
                self.shared -= entry::shared(&event);
                Some((tag, event))
            }
            _ => None,
        }
    }

    /// Takes out the event that is first, if one is.
    fn pop_event(&mut self) -> Option<(Tag, Box<Event>)> {
        match self.entries.pop_front() {
            Some(Entry::Event(tag, mut event)) => {
                if let Event::Messages { place, run } = &mut *event {
                    if let Some(first) = run.split() {
                        self.shared -= first.shared();
                        self.cost -= first.own();
                        let first = Event::Messages { place: *place, run: first };
                        self.entries.push_front(Entry::Event(tag, event));
                        return Some((tag, Box::new(first)));
                    }
                    self.shared -= run.shared();
                }
                self.cost -= Entry::event_cost(&event);
                Some((tag, event))
            }
            Some(data) => {
                self.entries.push_front(data);
                None
            }
            None => None,
        }
    }

    fn add_all(&mut self, data: &Encoded) {
        data.pieces().for_each(|piece| self.add_bytes(piece));
    }

    /// Adds data that goes to many, the large pieces of which are charged to their channel. `logged` gives
    /// small data as it is charged there too, for an endpoint that lags.
    fn add_shared(&mut self, data: &Encoded, logged: impl FnOnce() -> Option<Logged>) {
        if self.lags()
            && let Some(logged) = logged()
        {
            return self.add_logged(logged);
        }
        for piece in data.pieces() {
            match Common::is_charged(piece) {
                true => self.add(Entry::Shared(piece.clone())),
                false => self.add_bytes(piece),
            }
        }
    }

    /// Whether the endpoint lags so much that even small data for many is shared.
    fn lags(&self) -> bool {
        self.waits() >= LAG_BYTES
    }

    fn add_logged(&mut self, logged: Logged) {
        if let Some(Entry::Logged(last)) = self.entries.back_mut()
            && last.grow(&logged)
        {
            self.shared += logged.len();
            return;
        }
        self.add(Entry::Logged(logged));
    }

    /// Adds data. Small pieces are copied behind each other: for them that costs less than an
    /// entry of their own here and in the system call.
    fn add_bytes(&mut self, piece: &Bytes) {
        const SMALL_BYTES_MAX: usize = 1024;
        // Its capacity is what it costs, and grows in leaps.
        const GATHERED_BYTES_MAX: usize = 4 * 1024;
        if piece.len() <= SMALL_BYTES_MAX {
            match self.entries.back_mut() {
                Some(Entry::Gathered(gathered))
                    if gathered.len() + piece.len() <= GATHERED_BYTES_MAX =>
                {
                    let held = gathered.capacity();
                    gathered.extend_from_slice(piece);
                    self.cost += gathered.capacity() - held;
                    return;
                }
                Some(last @ Entry::Bytes(_)) => {
                    if let Entry::Bytes(first) = last
                        && first.len() <= SMALL_BYTES_MAX
                    {
                        let held = first.len();
                        let mut gathered = BytesMut::with_capacity(
                            (2 * (held + piece.len())).min(GATHERED_BYTES_MAX),
                        );
                        gathered.extend_from_slice(first);
                        gathered.extend_from_slice(piece);
                        self.cost += gathered.capacity() - held;
                        *last = Entry::Gathered(gathered);
                        return;
                    }
                }
                _ => {}
            }
        }
        self.add(Entry::Bytes(piece.clone()));
    }

    /// A message of so many bytes, to this receiver alone, is not to end it. The protocol may write it with
    /// two digits for each byte, and a little more.
    fn allow(&mut self, bytes: usize) {
        self.allowance = self.allowance.max(3 * bytes);
    }

    fn add(&mut self, entry: Entry) {
        self.cost += entry.cost();
        self.shared += entry.shared();
        // It would grow to room for four at once, and in most outboxes no more than two ever wait.
        if self.entries.len() == self.entries.capacity() && self.entries.len() < 2 {
            self.entries.reserve_exact(1);
        }
        self.entries.push_back(entry);
    }

    /// So many bytes were taken just now. To count as one that reads, the endpoint has to take what
    /// waits, or one in [`Outbox::TAKEN_SHARE`] parts of what may wait.
    fn took(&mut self, now: Instant, bytes: usize) {
        let enough = self.bytes_max / Self::TAKEN_SHARE;
        let mut stall = std::mem::take(&mut self.stall);
        match self.entries.is_empty() {
            true => stall.end(),
            false => stall.took(now, bytes, || self.waits().min(enough)),
        }
        self.stall = stall;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Account, Ledger, Purpose};
    use crate::limits::Limits;
    use prometheus_client::metrics::family::Family;
    use proptest::collection::vec;
    use proptest::prelude::*;
    use std::sync::Arc;

    fn account() -> Arc<Account> {
        Arc::new(Ledger::new(&Limits::default(), Family::default())).account(None, "lines")
    }

    fn encoded(bytes: Vec<u8>) -> Encoded {
        Encoded { first: bytes.into(), rest: Vec::new() }
    }

    /// What a protocol would write for an event.
    fn written(request: u32) -> Vec<u8> {
        format!("<{request}>").into_bytes()
    }

    proptest! {
        /// Some bytes at a time, of data to one and to many and of events.
        #[test]
        fn all_leaves_in_order_and_then_nothing_is_counted_or_charged(
            pushed in vec((0..3_u8, 1..5000_usize), 1..60),
            taken in vec(0..6000_usize, 1..40),
        ) {
            let account = account();
            let mut outbox = Outbox::new(Tab::new(&account, Purpose::Outbox), usize::MAX);
            let (mut expected, mut arrived) = (Vec::new(), Vec::<u8>::new());
            for (number, (kind, length)) in (0_u32..).zip(&pushed) {
                let bytes = vec![number as u8; *length];
                match kind {
                    0 => outbox.push_alone(&encoded(bytes.clone())),
                    1 => outbox.push_shared(&encoded(bytes.clone()), || None),
                    _ => outbox.push_event(Tag::default(), Event::Done { request: number }),
                }
                expected.extend(if *kind < 2 { bytes } else { written(number) });
            }
            let (now, mut pieces) = (Instant::now(), Vec::new());
            let mut taken = taken.iter().copied().chain(std::iter::repeat(usize::MAX));
            loop {
                match outbox.next(true, &mut pieces) {
                    WriteStep::Write => {
                        let bytes: Vec<u8> = pieces.iter().flatten().copied().collect();
                        let count = taken.next().unwrap_or(usize::MAX).min(bytes.len());
                        arrived.extend(&bytes[..count]);
                        let blocked = count < bytes.len();
                        prop_assert!(outbox.wrote(now, &mut pieces, count, blocked));
                    }
                    WriteStep::Event(_, event) => {
                        let Event::Done { request } = *event else { unreachable!("no other") };
                        outbox.converted(&encoded(written(request)));
                    }
                    turn => {
                        prop_assert_eq!(turn, WriteStep::Nothing);
                        break;
                    }
                }
                prop_assert!(!outbox.end_turn(), "nobody waits for the turn");
            }
            prop_assert_eq!(arrived, expected);
            prop_assert_eq!((outbox.cost(), outbox.shared(), outbox.is_empty()), (0, 0, true));
            prop_assert_eq!(account.used(), 0);
        }
    }

    #[test]
    fn what_goes_above_the_bound_ends_it_and_nothing_waits_any_more() {
        let account = account();
        let mut outbox = Outbox::new(Tab::new(&account, Purpose::Outbox), 1000);
        outbox.push_shared(&encoded(vec![7; 1000 - Entry::OVERHEAD]), || None);
        assert!(!outbox.is_dead());
        outbox.push_event(Tag::default(), Event::Done { request: 1 });
        let (limit, waited) =
            (Limit::OutboxBytes, 1000 + Entry::event_cost(&Event::Done { request: 1 }));
        assert_eq!(outbox.exceeded(), Some(Exceeded { limit, waited }));
        assert_eq!(outbox.next(true, &mut Vec::new()), WriteStep::Dead(Reason::SlowReceiver));
        assert_eq!((outbox.cost(), account.used()), (0, 0));
    }
}
