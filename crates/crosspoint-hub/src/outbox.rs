//! What waits to be written to one endpoint.
//!
//! An outbox has many who fill it (every sender's thread) and one at a time who empties it.
//! Encoded data may be written by anybody, so that a message reaches an idle receiver's socket
//! straight from the sender's thread. Events are turned into bytes by the session's own task, as
//! only it has the protocol's state; data behind an event waits for it. Order is kept throughout.
//!
//! Lock order: the lock of a channel, of a link, or of the directory of peers may be held while an
//! outbox is locked, never the other way round. A session's links are locked alone.

mod doubt;
mod entry;
mod queue;
mod room;
mod touched;

use crate::command::{Event, Peer};
use crate::ids::PeerId;
use crate::ledger::{Account, Common, Purpose, Tab};
use crate::limit::Limit;
use crate::link::Links;
use crate::reason::Reason;
use crate::secrecy::Secrecy;
use crate::segment::Logged;
use crate::wire::{Encoded, Part, Place, Profile, Wire};
use bytes::{Buf, Bytes};
pub(crate) use entry::SharedParts;
use entry::{Entry, Run, behind};
use queue::Queue;
use room::Senders;
pub(crate) use room::{Paused, Reception, Room, Sending};
use std::collections::VecDeque;
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock};
use std::time::Instant;

pub use touched::Touched;

/// Who moves an outbox's bytes to the endpoint; implemented by the owner of the connection.
pub trait Outlet: Send + Sync {
    /// Something was put into the outbox: write it now if that is possible without waiting,
    /// or see that the session's task does.
    fn attend(&self, outbox: &Outbox);
    /// Wakes the session's task, because a receiver that it had to wait for has room again.
    fn wake(&self);
    /// Whether something has come that the session's task has not read yet, or the end of the connection.
    fn unread(&self) -> bool {
        false
    }
}

/// What a session is reached by. Shared among all who send to it.
pub struct Outbox {
    /// A number that is not used twice in a hub's life.
    pub id: u64,
    /// Where the endpoint connects from; `None` inside the program.
    pub address: Option<IpAddr>,
    /// By what a ban of its address keeps it out ([`Limits::known_by`](crate::Limits::known_by)).
    pub(crate) known_by: Option<IpAddr>,
    /// How its protocol writes data.
    pub wire: &'static dyn Wire,
    /// What is to be known of its protocol.
    pub profile: Profile,
    /// Whether what it writes is encrypted.
    pub(crate) secrecy: Secrecy,
    known: OnceLock<Known>,
    links: Mutex<Links>,
    /// Somebody has come with its name or id.
    doubted: AtomicBool,
    bytes_max: usize,
    away: AtomicBool,
    /// Whether it is away as far as others were told.
    told_away: AtomicBool,
    queue: Mutex<Queue>,
    /// What is held for it.
    account: Arc<Account>,
    outlet: Box<dyn Outlet>,
}

/// Who the endpoint is.
struct Known {
    peer: Peer,
    /// Whether it has proven that the id is its own.
    proven: bool,
    /// Whether its credentials have granted it its name.
    granted: bool,
    /// Whether it pauses a target when it is told to.
    pauses: bool,
}

/// Which holding of a number an event is about. Numbers are used again at once, while events about
/// their former holders may still be on their way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tag(pub u32);

/// What became of data that was pushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pushed {
    /// It waits to be written.
    Accepted,
    /// The session has ended or ends now; the data is gone.
    Dead,
}

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
pub enum Turn {
    /// Pieces to write were taken out; [`Outbox::wrote`] must follow.
    Write,
    /// An event was taken out; [`Outbox::converted`] must follow. Only the session's task gets it.
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

impl Outbox {
    /// Pieces that are taken out for one write.
    pub const PIECES_MAX: usize = 64;

    /// Which part of a full outbox is the least that an endpoint has to take not to count as stalled.
    pub const TAKEN_SHARE: usize = 64;

    pub(crate) fn new(
        id: u64,
        (address, known_by): (Option<IpAddr>, Option<IpAddr>),
        wire: &'static dyn Wire,
        bytes_max: usize,
        account: Arc<Account>,
        outlet: Box<dyn Outlet>,
    ) -> Self {
        let (known, links) = (OnceLock::new(), Mutex::default());
        let queue = Mutex::new(Queue::new(Tab::new(&account, Purpose::Outbox)));
        let [doubted, away, told_away] = [false; 3].map(AtomicBool::new);
        Self {
            id,
            address,
            known_by,
            wire,
            profile: wire.profile(),
            secrecy: Secrecy::default(),
            known,
            links,
            doubted,
            bytes_max,
            away,
            told_away,
            queue,
            account,
            outlet,
        }
    }

    /// What is held for the session.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The memory that is held for the session, and the bytes that wait for it and others.
    pub(crate) fn holds(&self) -> usize {
        self.account.used() + self.lock().shared
    }

    /// The bytes that wait for it and others.
    pub(crate) fn lag(&self) -> usize {
        let queue = self.lock();
        if queue.dead.is_some() { 0 } else { queue.shared }
    }

    /// Who the endpoint is, once it has said hello.
    pub fn peer(&self) -> Option<&Peer> {
        self.known.get().map(|known| &known.peer)
    }

    /// Who the endpoint is. A session can do nothing that others see before its hello.
    pub(crate) fn known_peer(&self) -> Peer {
        self.peer().cloned().unwrap_or_else(|| Peer {
            id: PeerId::new([0; 16]),
            name: None,
            protocol: self.profile.name,
        })
    }

    /// Whether the endpoint has proven that its id is its own.
    pub fn is_proven(&self) -> bool {
        self.known.get().is_some_and(|known| known.proven)
    }

    /// Whether the endpoint's credentials have granted it its name.
    pub(crate) fn has_granted_name(&self) -> bool {
        self.known.get().is_some_and(|known| known.granted)
    }

    /// Whether the endpoint pauses a target when it is told to.
    fn pauses(&self) -> bool {
        self.known.get().is_some_and(|known| known.pauses)
    }

    /// Says who the endpoint is. Gives whether that was not known before.
    pub(crate) fn set_peer(&self, peer: Peer, proven: bool, granted: bool, pauses: bool) -> bool {
        self.known.set(Known { peer, proven, granted, pauses }).is_ok()
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, Links> {
        self.links.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether the endpoint's connection is lost and it may come back (docs/resume.md).
    pub fn is_away(&self) -> bool {
        self.away.load(Ordering::Acquire)
    }

    /// Whether the endpoint is away as far as others were told. Its session tells them
    /// ([`Session::heed_absence`](crate::Session::heed_absence)).
    pub(crate) fn is_told_away(&self) -> bool {
        self.told_away.load(Ordering::Acquire)
    }

    /// Others are told now. Gives whether they do not know it yet.
    pub(crate) fn tell_away(&self, away: bool) -> bool {
        self.told_away.swap(away, Ordering::AcqRel) != away
    }

    /// Says whether the endpoint is away. Its session's task is woken, to tell whom it concerns.
    pub(crate) fn set_away(&self, now: Instant, away: bool) {
        self.lock().stall.set_away(now, away);
        self.away.store(away, Ordering::Release);
        self.outlet.wake();
    }

    /// Wakes the session's task.
    pub(crate) fn wake(&self) {
        self.outlet.wake();
    }

    /// Whether something has come that the session's task has not read yet.
    pub(crate) fn unread(&self) -> bool {
        self.outlet.unread()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while the lock is held would be a bug here; the queue is consistent at any
        // point where one could come from (allocation), so the others go on.
        self.queue.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Adds an event. A receiver whose outbox is full is ended with `SlowReceiver`.
    pub(crate) fn push_event(self: &Arc<Self>, tag: Tag, event: Event, touched: &mut Touched) {
        let mut queue = self.lock();
        if queue.dead.is_none() {
            queue.add(Entry::Event(tag, Box::new(event)));
            self.check(&mut queue);
            queue.pay();
            touched.add(&mut queue, self);
        }
    }

    /// Adds an event that goes to this receiver alone and may be large. That never ends it: the one who
    /// causes it asked [`Outbox::congested`] before.
    pub(crate) fn push_event_alone(
        self: &Arc<Self>,
        tag: Tag,
        event: Event,
        touched: &mut Touched,
    ) {
        let mut queue = self.lock();
        if queue.dead.is_none() {
            queue.allow(behind(&event));
            queue.add(Entry::Event(tag, Box::new(event)));
            queue.pay();
            touched.add(&mut queue, self);
        }
    }

    /// Adds events that are many because of others. Together they never end the receiver.
    pub(crate) fn push_events_alone(
        self: &Arc<Self>,
        tag: Tag,
        events: impl IntoIterator<Item = Event>,
        touched: &mut Touched,
    ) {
        let mut queue = self.lock();
        if queue.dead.is_some() {
            return;
        }
        let before = queue.cost;
        events.into_iter().for_each(|event| queue.add(Entry::Event(tag, Box::new(event))));
        queue.allowance = queue.allowance.saturating_add(queue.cost - before);
        queue.pay();
        touched.add(&mut queue, self);
    }

    /// Adds data that goes to many receivers: a full one is ended with `SlowReceiver`. `logged` gives small
    /// data as many who lag share it.
    pub(crate) fn push_shared(
        self: &Arc<Self>,
        data: &Encoded,
        logged: impl FnOnce() -> Option<Logged>,
        touched: &mut Touched,
    ) -> Pushed {
        let mut queue = self.lock();
        if queue.dead.is_some() {
            return Pushed::Dead;
        }
        queue.add_shared(data, logged);
        self.check(&mut queue);
        queue.pay();
        touched.add(&mut queue, self);
        if queue.dead.is_some() { Pushed::Dead } else { Pushed::Accepted }
    }

    /// Adds data that goes to this receiver alone. That never ends it: its senders asked
    /// [`Outbox::room_for`] before, so what comes above the bound is one batch.
    pub(crate) fn push_alone(self: &Arc<Self>, data: &Encoded, touched: &mut Touched) -> Pushed {
        let mut queue = self.lock();
        if queue.dead.is_some() {
            return Pushed::Dead;
        }
        queue.add_all(data);
        queue.pay();
        touched.add(&mut queue, self);
        Pushed::Accepted
    }

    /// As [`Outbox::push_alone`], for a session whose own task writes data.
    pub(crate) fn push_data(
        self: &Arc<Self>,
        place: Place,
        parts: Vec<Part>,
        touched: &mut Touched,
    ) -> Pushed {
        let mut queue = self.lock();
        if queue.dead.is_some() {
            return Pushed::Dead;
        }
        queue.allow(parts.iter().map(|part| part.data.len()).sum());
        for part in parts {
            let event = Box::new(Event::Data { place, part });
            queue.add(Entry::Event(Tag::default(), event));
        }
        queue.pay();
        touched.add(&mut queue, self);
        Pushed::Accepted
    }

    /// As [`Outbox::push_shared`], for a session whose own task writes data. `shared` gives the parts as many
    /// share them, which large ones are in any case.
    pub(crate) fn push_shared_data(
        self: &Arc<Self>,
        place: Place,
        parts: &[Part],
        shared: impl FnOnce() -> Arc<SharedParts>,
        touched: &mut Touched,
    ) -> Pushed {
        let mut queue = self.lock();
        if queue.dead.is_some() {
            return Pushed::Dead;
        }
        // An entry for each costs less than to count what is shared.
        const FEW: usize = 4;
        let is_large = |part: &Part| Common::is_charged(&part.data);
        if queue.lags() || parts.len() > FEW || parts.iter().any(is_large) {
            queue.add(Entry::Run(Box::new(Run::new(place, shared()))));
        } else {
            for part in parts {
                let event = Event::Data { place, part: part.clone() };
                queue.add(Entry::Event(Tag::default(), Box::new(event)));
            }
        }
        self.check(&mut queue);
        queue.pay();
        touched.add(&mut queue, self);
        if queue.dead.is_some() { Pushed::Dead } else { Pushed::Accepted }
    }

    /// Whether somebody who causes news to this receiver has to wait. If so it is woken when there
    /// is room.
    pub(crate) fn congested(&self, sender: &Arc<Self>) -> bool {
        let mut queue = self.lock();
        if queue.dead.is_some() || queue.cost < self.bytes_max / 2 {
            return false;
        }
        queue.senders.wait(sender);
        true
    }

    /// Whether it lives, and a sender whose data goes to this receiver alone need not wait.
    pub(crate) fn has_room(&self) -> bool {
        let queue = self.lock();
        queue.dead.is_none() && queue.cost < self.bytes_max / 2
    }

    /// Adds what the session's own protocol has to write. It is bounded by what the endpoint sent.
    ///
    /// A protocol that writes data itself has not been told yet of the events that wait, so what it has
    /// written comes before what it will write for them: it may be that it encrypts from now on.
    pub fn push_own(self: &Arc<Self>, data: &Encoded) {
        let mut queue = self.lock();
        if queue.dead.is_some() {
            return;
        }
        let first_event = match self.profile.stateful && !data.is_empty() {
            true => queue.entries.iter().position(|entry| entry.is_event()),
            false => None,
        };
        match first_event {
            Some(index) => {
                let events = queue.entries.split_off(index);
                queue.add_all(data);
                queue.entries.extend(events);
            }
            None => queue.add_all(data),
        }
        self.check(&mut queue);
        queue.pay();
    }

    /// Adds what the session's own protocol had to [hold back](crate::Protocol::write_more). That never
    /// ends the session, as it comes in small amounts when there is room.
    pub fn push_held(&self, data: &Encoded) {
        let mut queue = self.lock();
        if queue.dead.is_none() {
            queue.add_all(data);
            queue.pay();
        }
    }

    fn check(&self, queue: &mut Queue) {
        if queue.cost > self.bytes_max.saturating_add(queue.allowance) {
            Self::end(queue, Reason::SlowReceiver, Some(Limit::OutboxBytes));
        }
    }

    /// The endpoint takes too little for too long a time, by this limit.
    pub fn exceed(&self, limit: Limit) {
        let mut queue = self.lock();
        let waited = queue.waits();
        queue.exceeded.get_or_insert(Exceeded { limit, waited });
    }

    fn end(queue: &mut Queue, reason: Reason, limit: Option<Limit>) {
        queue.dead = Some(reason);
        let waited = queue.waits();
        queue.exceeded = limit.map(|limit| Exceeded { limit, waited });
        queue.entries = VecDeque::new();
        (queue.cost, queue.shared) = (0, 0);
        queue.tab.settle(0);
    }

    /// Ends the session with `SlowReceiver`, because of what it holds above a bound that is not its
    /// own.
    pub fn give_up(self: &Arc<Self>, limit: Limit) {
        self.end_now(Reason::SlowReceiver, Some(limit));
    }

    /// The session has to end, and its task is told by [`Event::Closed`]. What waits can still be
    /// written.
    pub(crate) fn end_soon(&self, reason: Reason) {
        self.lock().ending.get_or_insert(reason);
        self.outlet.wake();
    }

    /// Ends the session: what waits is thrown away, and its task is told.
    pub fn kill(self: &Arc<Self>, reason: Reason) {
        self.end_now(reason, None);
    }

    fn end_now(self: &Arc<Self>, reason: Reason, limit: Option<Limit>) {
        let mut queue = self.lock();
        if queue.dead.is_none() {
            Self::end(&mut queue, reason, limit);
        }
        let senders = std::mem::take(&mut queue.senders);
        drop(queue);
        self.outlet.wake();
        senders.go_on(self.id);
    }

    /// Those who wait for room here may go on: what they have is for somebody else now.
    pub(crate) fn release_senders(&self) {
        let senders = std::mem::take(&mut self.lock().senders);
        senders.go_on(self.id);
    }

    /// The session has left everything. Its task alone writes what is left, and is woken when
    /// another thread that is at it is done. Nobody waits for room here any longer.
    pub(crate) fn seal(&self) {
        let mut queue = self.lock();
        queue.sealed = true;
        let senders = std::mem::take(&mut queue.senders);
        drop(queue);
        senders.go_on(self.id);
    }

    /// Takes out what comes next. `task` says whether the session's own task asks.
    pub fn next(&self, task: bool, pieces: &mut Vec<Bytes>) -> Turn {
        let mut queue = self.lock();
        if let Some(reason) = queue.dead {
            return Turn::Dead(reason);
        }
        if queue.busy {
            queue.asked = task && (queue.sealed || queue.ending.is_some());
            return Turn::Nothing;
        }
        if task
            && !queue.sealed
            && let Some(reason) = queue.ending.take()
        {
            queue.busy = true;
            return Turn::Event(Tag::default(), Box::new(Event::Closed { reason }));
        }
        if (queue.blocked || queue.sealed) && !task {
            return Turn::Blocked;
        }
        if task
            && pieces.is_empty()
            && let Some((tag, event)) = queue.pop_event()
        {
            queue.busy = true;
            // All before it was taken by the endpoint. It may make nothing to write.
            queue.stall.end();
            return Turn::Event(tag, event);
        }
        queue.shared_pieces = 0;
        while pieces.len() < Self::PIECES_MAX {
            match queue.entries.pop_front() {
                Some(Entry::Bytes(bytes)) => pieces.push(bytes),
                Some(Entry::Shared(bytes)) => {
                    queue.shared_pieces |= 1 << pieces.len();
                    pieces.push(bytes);
                }
                Some(Entry::Logged(logged)) => {
                    queue.shared_pieces |= 1 << pieces.len();
                    pieces.push(logged.bytes());
                }
                Some(Entry::Gathered(bytes)) => {
                    // From now on it counts as what is left of it.
                    queue.cost -= bytes.capacity() - bytes.len();
                    pieces.push(bytes.freeze());
                }
                Some(entry) => {
                    queue.entries.push_front(entry);
                    break;
                }
                None => break,
            }
        }
        if !pieces.is_empty() {
            queue.busy = true;
            Turn::Write
        } else if queue.entries.is_empty() {
            Turn::Nothing
        } else {
            Turn::ForTask
        }
    }

    /// Ends a [`Turn::Write`]: `written` bytes of the pieces were taken by the endpoint, and
    /// `blocked` says that it took no more. Senders that waited for room are woken.
    pub fn wrote(&self, now: Instant, pieces: &mut Vec<Bytes>, written: usize, blocked: bool) {
        let mut queue = self.lock();
        queue.busy = false;
        queue.blocked = blocked;
        if queue.dead.is_some() {
            pieces.clear();
            return;
        }
        if written > 0 {
            queue.written = Some(now);
        }
        if let Some(pace) = &mut queue.pace {
            pace.took(written);
        }
        let mut left = written;
        let mut kept = pieces.len();
        let shared_pieces = std::mem::take(&mut queue.shared_pieces);
        let is_shared = |index: usize| shared_pieces & 1 << index != 0;
        for (index, piece) in pieces.iter_mut().enumerate() {
            let gone = left.min(piece.len());
            match is_shared(index) {
                true => queue.shared -= gone,
                false => queue.cost -= gone,
            }
            left -= gone;
            if gone < piece.len() {
                piece.advance(gone);
                kept = index;
                break;
            }
            queue.cost -= Entry::OVERHEAD;
        }
        for (index, piece) in pieces.drain(..).enumerate().skip(kept).rev() {
            queue.entries.push_front(match is_shared(index) {
                true => Entry::Shared(piece),
                false => Entry::Bytes(piece),
            });
        }
        queue.took(now, written, self.bytes_max / Self::TAKEN_SHARE);
        self.release(queue);
    }

    /// The next event, if one follows right behind that of a [`Turn::Event`]. What the protocol writes
    /// for both then leaves in one piece.
    pub fn next_event(&self) -> Option<(Tag, Event)> {
        let mut queue = self.lock();
        debug_assert!(queue.busy, "only the task asks, and only behind an event");
        queue.pop_event().map(|(tag, event)| (tag, *event))
    }

    /// Ends a [`Turn::Event`] with what the protocol wrote for it, and for those that followed.
    pub fn converted(&self, data: &Encoded) {
        let mut queue = self.lock();
        queue.busy = false;
        if queue.dead.is_none() {
            for piece in data.pieces().rev() {
                let entry = Entry::Bytes(piece.clone());
                queue.cost += entry.cost();
                queue.entries.push_front(entry);
            }
        }
        self.release(queue);
    }

    /// Wakes who waits for room, when there is.
    fn release(&self, mut queue: MutexGuard<'_, Queue>) {
        let asked = std::mem::take(&mut queue.asked);
        queue.settle();
        if queue.cost <= self.bytes_max / 2 {
            queue.allowance = 0;
        }
        let senders = match queue.cost <= self.bytes_max / 4 {
            true => {
                queue.pace = None;
                std::mem::take(&mut queue.senders)
            }
            false => Senders::default(),
        };
        drop(queue);
        senders.go_on(self.id);
        if asked {
            self.outlet.wake();
        }
    }

    /// Whether the session was ended from here, most often because there was no room.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().dead.is_some()
    }

    /// For which bound the session ends as one that reads too slowly, if it does.
    pub fn exceeded(&self) -> Option<Exceeded> {
        self.lock().exceeded
    }

    /// Whether everything was written.
    pub fn is_empty(&self) -> bool {
        let queue = self.lock();
        queue.entries.is_empty() && !queue.busy
    }

    /// When bytes were last taken by the endpoint.
    pub fn written(&self) -> Option<Instant> {
        self.lock().written
    }

    /// Since when the endpoint has taken nothing, or next to nothing, although something waits: less
    /// than that, and less than one in [`Outbox::TAKEN_SHARE`] parts of what may wait. `None` while it
    /// is away.
    pub fn stalled(&self) -> Option<Instant> {
        if self.is_away() { None } else { self.lock().stall.since() }
    }

    /// What waits costs this many bytes of memory, without what is charged to its channel.
    pub fn cost(&self) -> usize {
        self.lock().cost
    }
}

impl fmt::Debug for Outbox {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Outbox")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("protocol", &self.profile.name)
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
