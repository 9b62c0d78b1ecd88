//! What a session is reached by: who it is, how it is written to, its links, whether it is there.
//!
//! All who send to a session share its endpoint. They know it by its [`id`](Endpoint::id), and its bytes leave by its
//! [`Outlet`], so nothing here asks where the session is.
//!
//! Lock order: the lock of a channel, of a link, or of the directory of peers may be held while the outbox of an
//! endpoint is locked, never the other way round. The links of an endpoint are locked alone.

mod pending;
mod room;
mod traffic;
mod writing;

use crate::envelope::{Compressor, FrameCompressor};
use crate::ids::PeerId;
use crate::ledger::{Account, Purpose, Tab};
use crate::limit::Limit;
use crate::link::Links;
use crate::outbox::Outbox;
use crate::peer::Peer;
use crate::reason::Reason;
use crate::secrecy::Secrecy;
use crate::transport::Transport;
use crate::wire::{FrameWriter, Profile, Wire};
pub(crate) use pending::PendingWrites;
use room::Congestion;
pub(crate) use room::{Paused, Reception, Room, Sending};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU16, AtomicU32, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::{Duration, Instant};
use traffic::Incoming;
pub use traffic::Traffic;
pub(crate) use writing::Pushed;

/// Who moves the bytes that wait for an endpoint; implemented by the owner of the connection.
pub trait Outlet: Send + Sync {
    /// Something waits for the endpoint: write it now if that is possible without waiting, or see that the
    /// session's task does.
    fn flush(&self, endpoint: &Endpoint);
    /// Wakes the session's task, because a receiver that it had to wait for has room again.
    fn wake(&self);
    /// Whether something has come that the session's task has not read yet, or the end of the connection.
    fn unread(&self) -> bool {
        false
    }
    /// What compresses the frames of the endpoint, if that was agreed with it
    /// ([`Hub::compressor`](crate::Hub::compressor)). Frames are compressed if its wire can do that
    /// ([`Envelope::compression`](crate::wire::Envelope::compression)). The answer does not change.
    fn compressor(&self) -> Option<Arc<Compressor>> {
        None
    }
}

/// What a session is reached by. Shared among all who send to it.
pub struct Endpoint {
    /// A number that is not used twice in a hub's life.
    pub id: u64,
    /// When its session was opened.
    pub since: Instant,
    /// Where the endpoint connects from; `None` inside the program.
    pub address: Option<IpAddr>,
    /// By what a ban of its address keeps it out ([`Limits::known_by`](crate::Limits::known_by)).
    pub(crate) known_by: Option<IpAddr>,
    /// How its protocol writes data.
    pub wire: &'static dyn Wire,
    /// What is to be known of its protocol.
    pub profile: Profile,
    /// Whether its frames are compressed.
    compresses: bool,
    /// Whether what it writes is encrypted.
    pub(crate) secrecy: Secrecy,
    known: OnceLock<Known>,
    links: Mutex<Links<Self>>,
    /// Another session has come with its name or id, and its task has not sent a probe yet.
    probe_requested: AtomicBool,
    /// [`AWAY`] if it is away, [`TOLD_AWAY`] if it is as far as others were told.
    absence: AtomicU8,
    /// Whether it is in somebody's [`PendingWrites`]. Set under the lock of the queue.
    pending: AtomicBool,
    /// 0, or events wait until its protocol takes them, and so many less one were looked at whether they are taken
    /// ahead. Its own task alone asks and says so.
    held: AtomicU16,
    queue: Mutex<Queue>,
    incoming: Incoming,
    /// How long the client took to answer the last probe, in microseconds and not 0; 0 if it has answered none.
    round_trip: AtomicU32,
    /// See [`Transport::packed`].
    transport: AtomicU8,
    /// What is held for it.
    account: Arc<Account>,
    outlet: Box<dyn Outlet>,
}

const AWAY: u8 = 1;
const TOLD_AWAY: u8 = 2;

/// What waits for the endpoint, and who waits for room there.
struct Queue {
    outbox: Outbox,
    congestion: Congestion,
}

/// Who the endpoint is.
struct Known {
    peer: Peer,
    /// Whether it has proven that the id is its own.
    proven: bool,
    /// Whether its credentials have granted it its name.
    granted: bool,
    abilities: Abilities,
}

/// What an endpoint can be told, as far as that is up to its client.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Abilities {
    /// Whether it pauses a target when it is told to.
    pub(crate) pauses: bool,
    /// Whether it can be told that a channel of its own has ended.
    pub(crate) deletes: bool,
}

impl Endpoint {
    pub(crate) fn new(
        (id, since): (u64, Instant),
        (address, known_by): (Option<IpAddr>, Option<IpAddr>),
        wire: &'static dyn Wire,
        bytes_max: usize,
        account: Arc<Account>,
        outlet: Box<dyn Outlet>,
    ) -> Self {
        let outbox = Outbox::new(Tab::new(&account, Purpose::Outbox), bytes_max);
        let queue = Mutex::new(Queue { outbox, congestion: Congestion::default() });
        let [probe_requested, pending] = [false; 2].map(AtomicBool::new);
        Self {
            id,
            since,
            address,
            known_by,
            wire,
            profile: wire.profile(),
            compresses: outlet.compressor().is_some(),
            secrecy: Secrecy::default(),
            known: OnceLock::new(),
            links: Mutex::default(),
            probe_requested,
            absence: AtomicU8::new(0),
            pending,
            held: AtomicU16::new(0),
            queue,
            incoming: Incoming::default(),
            round_trip: AtomicU32::new(0),
            transport: AtomicU8::new(Transport::default().packed()),
            account,
            outlet,
        }
    }

    /// Writes frames as they are to be for the endpoint: in the envelope of its wire, and compressed if that was
    /// agreed.
    pub fn frame_writer(&self) -> FrameWriter {
        let envelope = self.profile.envelope;
        let writer = FrameWriter::new(envelope);
        if !self.compresses {
            return writer;
        }
        let compression = envelope.and_then(|envelope| envelope.compression.as_ref());
        match self.outlet.compressor().zip(compression) {
            Some((compressor, compression)) => {
                writer.compressing(FrameCompressor::new(compressor, compression))
            }
            None => writer,
        }
    }

    /// Whether its frames are compressed.
    pub(crate) fn compresses(&self) -> bool {
        self.compresses
    }

    /// What is held for the session.
    pub fn account(&self) -> &Arc<Account> {
        &self.account
    }

    /// The memory that is held for the session, and the bytes that wait for it and others.
    pub(crate) fn holds(&self) -> usize {
        self.account.used() + self.lock().outbox.shared()
    }

    /// What waits for it, in bytes, with what waits for others too.
    pub(crate) fn waits(&self) -> usize {
        self.lock().outbox.waits()
    }

    /// What carries its bytes at present.
    pub fn transport(&self) -> Transport {
        Transport::unpacked(self.transport.load(Ordering::Relaxed))
    }

    /// This carries its bytes from now on. Until the owner of the connection says so, it counts as one inside the
    /// program.
    pub fn set_transport(&self, transport: Transport) {
        self.transport.store(transport.packed(), Ordering::Relaxed);
    }

    /// How long its client took to answer the last probe, if it has answered one.
    pub fn round_trip(&self) -> Option<Duration> {
        let micros = self.round_trip.load(Ordering::Relaxed);
        (micros > 0).then(|| Duration::from_micros(micros.into()))
    }

    /// Its client has answered a probe after this time.
    pub fn measured(&self, round_trip: Duration) {
        let micros = u32::try_from(round_trip.as_micros()).unwrap_or(u32::MAX);
        self.round_trip.store(micros.max(1), Ordering::Relaxed);
    }

    /// What went in and out.
    pub fn traffic(&self) -> Traffic {
        let passed = self.lock().outbox.passed();
        self.incoming.with(passed)
    }

    /// So many bytes were read from it. For its session's own task alone.
    pub fn heard(&self, bytes: usize) {
        self.incoming.add_bytes(bytes as u64);
    }

    /// It has sent so many messages. For its session's own task alone.
    pub(crate) fn spoke(&self, messages: u64) {
        self.incoming.add_messages(messages);
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
        self.known.get().is_some_and(|known| known.abilities.pauses)
    }

    /// Whether the endpoint can be told that a channel of its own has ended.
    pub(crate) fn deletes(&self) -> bool {
        self.known.get().is_some_and(|known| known.abilities.deletes)
    }

    /// Says who the endpoint is. Gives whether that was not known before.
    pub(crate) fn set_peer(
        &self,
        peer: Peer,
        proven: bool,
        granted: bool,
        abilities: Abilities,
    ) -> bool {
        self.known.set(Known { peer, proven, granted, abilities }).is_ok()
    }

    pub(crate) fn links(&self) -> MutexGuard<'_, Links<Self>> {
        self.links.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Another session has come with the name or id of this one. Wakes its task, which sends a
    /// probe (see [`crate::probe`]).
    pub(crate) fn request_probe(&self) {
        if !self.probe_requested.swap(true, Ordering::AcqRel) {
            self.outlet.wake();
        }
    }

    /// Whether a probe is requested. Taking it clears the request.
    pub fn take_probe_request(&self) -> bool {
        self.probe_requested.swap(false, Ordering::AcqRel)
    }

    /// Whether the endpoint's connection is lost and it may come back (docs/resume.md).
    pub fn is_away(&self) -> bool {
        self.absence.load(Ordering::Acquire) & AWAY != 0
    }

    /// Whether the endpoint is away as far as others were told. Its session tells them
    /// ([`Session::heed_absence`](crate::Session::heed_absence)).
    pub(crate) fn is_told_away(&self) -> bool {
        self.absence.load(Ordering::Acquire) & TOLD_AWAY != 0
    }

    /// Others are told now. Gives whether they do not know it yet.
    pub(crate) fn tell_away(&self, away: bool) -> bool {
        (self.set_absence(TOLD_AWAY, away) & TOLD_AWAY != 0) != away
    }

    /// Says whether the endpoint is away. Its session's task is woken, to tell whom it concerns.
    pub(crate) fn set_away(&self, now: Instant, away: bool) {
        self.lock().outbox.set_away(now, away);
        self.set_absence(AWAY, away);
        self.outlet.wake();
    }

    /// Sets one of the flags of its absence. Gives what they were.
    fn set_absence(&self, flag: u8, set: bool) -> u8 {
        match set {
            true => self.absence.fetch_or(flag, Ordering::AcqRel),
            false => self.absence.fetch_and(!flag, Ordering::AcqRel),
        }
    }

    /// Wakes the session's task.
    pub(crate) fn wake(&self) {
        self.outlet.wake();
    }

    /// Whether something has come that the session's task has not read yet.
    pub(crate) fn unread(&self) -> bool {
        self.outlet.unread()
    }

    /// Ends the session with `SlowReceiver`, because of what it holds above a bound that is not its
    /// own.
    pub fn give_up(&self, limit: Limit) {
        self.end_now(Reason::SlowReceiver, Some(limit));
    }

    /// The session has to end, and its task is told by [`Event::Closed`](crate::Event::Closed). What waits can
    /// still be written.
    pub(crate) fn end_soon(&self, reason: Reason) {
        self.lock().outbox.end_soon(reason);
        self.outlet.wake();
    }

    /// Ends the session: what waits is thrown away, and its task is told.
    pub fn kill(&self, reason: Reason) {
        self.end_now(reason, None);
    }

    fn end_now(&self, reason: Reason, limit: Option<Limit>) {
        let mut queue = self.lock();
        queue.outbox.end(reason, limit);
        let senders = queue.congestion.take_senders();
        drop(queue);
        self.outlet.wake();
        senders.go_on(self.id);
    }

    /// The session has left everything. Its task alone writes what is left, and is woken when
    /// another thread that is at it is done. Nobody waits for room here any longer.
    pub(crate) fn seal(&self) {
        self.shut(Outbox::seal);
    }

    /// The session has left everything and stays connected. What it was to be told is dropped.
    pub(crate) fn leave(&self) {
        self.shut(Outbox::leave);
    }

    fn shut(&self, shut: impl FnOnce(&mut Outbox)) {
        let mut queue = self.lock();
        shut(&mut queue.outbox);
        let senders = queue.congestion.take_senders();
        drop(queue);
        senders.go_on(self.id);
    }

    /// Whether the session was ended from here, most often because there was no room.
    pub(crate) fn is_dead(&self) -> bool {
        self.lock().outbox.is_dead()
    }

    fn lock(&self) -> MutexGuard<'_, Queue> {
        // A panic while the lock is held would be a bug here; the queue is consistent at any
        // point where one could come from (allocation), so the others go on.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Endpoint")
            .field("id", &self.id)
            .field("address", &self.address)
            .field("protocol", &self.profile.name)
            .field("peer", &self.peer())
            .finish_non_exhaustive()
    }
}
