//! The memory that a hub holds for others, and on whose account.
//!
//! Whatever waits, is unfinished, or is kept is charged to the session that it is for or comes from,
//! to that session's address and identity ([`Holder`]), and to the hub. Bytes that many receivers share
//! are charged once, to their channel. A holder and the hub have budgets. What can be refused at a budget is refused
//! ([`Account::try_charge`]). What cannot is charged above it, and `Hub::relieve` ends the largest
//! holders.
//!
//! A queue that is short most of the time does not pay for each change: a [`Tab`] pays in steps,
//! and for nothing at all as long as little waits. That little is part of what each session costs
//! from its beginning ([`SESSION_BYTES`]).

use crate::ids::PeerId;
use crate::limit::Limit;
use crate::limits::Limits;
use crate::metrics::ByPurpose;
use bytes::Bytes;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use std::collections::HashMap;
use std::fmt;
use std::iter;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// What a session costs from its beginning to its end besides its connection, whatever it does: its state, and
/// what its [`Tab`]s do not pay for.
pub const SESSION_BYTES: usize = 8 * 1024;

/// What a connection costs from its beginning to its end, whether or not anything is said over it: its task and
/// what the system tells it through, and the first bytes that nobody understands yet.
pub const CONNECTION_BYTES: usize = 4 * 1024;

/// What a channel or room costs from its beginning to its end, besides its name and password.
pub(crate) const CHANNEL_BYTES: usize = 1024;

/// What charged memory is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// The connection itself, whatever is spoken over it.
    Connection,
    /// The session itself.
    Session,
    /// What waits to be written to one endpoint.
    Outbox,
    /// What waits to be written to many, charged once.
    Shared,
    /// Messages of which not all parts have come.
    Unfinished,
    /// What has come and is not parsed or carried out.
    Input,
    /// What a connection that can be resumed keeps until it has arrived.
    Retained,
    /// What is entered somewhere: channels with their names, passwords and bans, memberships, links,
    /// services, watches.
    Stored,
}

impl Purpose {
    /// All of them, in their order.
    pub const ALL: [Self; 8] = [
        Self::Connection,
        Self::Session,
        Self::Outbox,
        Self::Shared,
        Self::Unfinished,
        Self::Input,
        Self::Retained,
        Self::Stored,
    ];

    /// As the metrics name it.
    pub fn word(self) -> &'static str {
        match self {
            Self::Connection => "connection",
            Self::Session => "session",
            Self::Outbox => "outbox",
            Self::Shared => "shared",
            Self::Unfinished => "unfinished",
            Self::Input => "input",
            Self::Retained => "retained",
            Self::Stored => "stored",
        }
    }
}

/// A budget that is used up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the memory budget {limit} is used up")]
pub struct Exhausted {
    /// The limit that is the budget.
    pub limit: Limit,
}

/// What many sessions can have in common. All that have it share one part of each bound of the hub.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Holder {
    /// An address, as [`Limits::known_by`] sees it.
    Address(IpAddr),
    /// Whom the credentials are of ([`Grant::identity`](crate::Grant::identity)).
    Identity(Arc<str>),
    /// A name that credentials grant which say nothing else about whom they are of.
    Name(Arc<str>),
    /// A peer id that was proven.
    Peer(PeerId),
}

/// Something with a budget.
#[derive(Debug)]
pub(crate) struct Pot {
    limit: Limit,
    budget: usize,
    used: AtomicUsize,
    /// The most that was used since somebody asked.
    peak: AtomicUsize,
    /// Of a holder: the channels and the rooms that it has made and that are still there.
    made: [AtomicUsize; 2],
}

impl Pot {
    pub(crate) fn new(limit: Limit, budget: usize) -> Self {
        Self {
            limit,
            budget,
            used: AtomicUsize::new(0),
            peak: AtomicUsize::new(0),
            made: Default::default(),
        }
    }

    pub(crate) fn limit(&self) -> Limit {
        self.limit
    }

    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether so much more goes above the budget.
    pub(crate) fn exceeds(&self, more: usize) -> bool {
        self.used().saturating_add(more) > self.budget
    }

    /// Up to what is given back when the budget was exceeded, so that this is not done all the time.
    pub(crate) fn relieved(&self) -> usize {
        self.budget - self.budget / 16
    }

    /// Gives whether the budget holds.
    fn add(&self, bytes: usize) -> bool {
        let used = self.used.fetch_add(bytes, Ordering::Relaxed).saturating_add(bytes);
        if used > self.peak.load(Ordering::Relaxed) {
            self.peak.fetch_max(used, Ordering::Relaxed);
        }
        used <= self.budget
    }

    fn sub(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// The gauges of one protocol, by purpose.
type Tally = [Gauge; Purpose::ALL.len()];

/// What a hub holds for all.
#[derive(Debug)]
pub struct Ledger {
    hub: Pot,
    holder_bytes_max: usize,
    unfinished_bytes_max: usize,
    /// Channels and rooms of one holder.
    made_max: [usize; 2],
    holders: Mutex<HashMap<Holder, Weak<Pot>>>,
    tallies: Mutex<HashMap<&'static str, Arc<Tally>>>,
    memory: Family<ByPurpose, Gauge>,
    /// Some budget was exceeded.
    exceeded: AtomicBool,
    /// Is told so.
    watch: OnceLock<Watch>,
}

/// Somebody who is told that a budget was exceeded.
struct Watch(Box<dyn Fn() + Send + Sync>);

impl fmt::Debug for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watch")
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent between any two statements that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Ledger {
    pub(crate) fn new(limits: &Limits, memory: Family<ByPurpose, Gauge>) -> Self {
        let budget = limits.memory_bytes_max;
        Self {
            hub: Pot::new(Limit::MemoryBytes, budget),
            holder_bytes_max: Limits::share(limits.memory_per_address_bytes_max, budget),
            unfinished_bytes_max: limits.unfinished_bytes_max,
            made_max: [
                Limits::share(limits.channels_per_address_max, limits.channels_total_max),
                Limits::share(limits.rooms_per_address_max, limits.rooms_max),
            ],
            holders: Mutex::default(),
            tallies: Mutex::default(),
            memory,
            exceeded: AtomicBool::new(false),
            watch: OnceLock::new(),
        }
    }

    /// The account of a session or channel. `address` is the one that pays as well, if any does
    /// ([`Limits::known_by`]).
    pub(crate) fn account(
        self: &Arc<Self>,
        address: Option<IpAddr>,
        protocol: &'static str,
    ) -> Arc<Account> {
        Arc::new(Account {
            ledger: self.clone(),
            address: address.map(|address| self.share_of(Holder::Address(address))),
            identity: OnceLock::new(),
            tally: self.tally(protocol),
            used: AtomicUsize::new(0),
            unfinished: AtomicUsize::new(0),
        })
    }

    fn share_of(&self, holder: Holder) -> Share {
        let mut holders = lock(&self.holders);
        let known = holders.get(&holder).and_then(Weak::upgrade);
        let pot = known.unwrap_or_else(|| {
            Arc::new(Pot::new(Limit::MemoryPerAddressBytes, self.holder_bytes_max))
        });
        holders.insert(holder.clone(), Arc::downgrade(&pot));
        Share { holder, pot }
    }

    fn tally(&self, protocol: &'static str) -> Arc<Tally> {
        let gauge = |purpose: Purpose| {
            let labels = ByPurpose { purpose: purpose.word(), protocol };
            self.memory.get_or_create(&labels).clone()
        };
        let mut tallies = lock(&self.tallies);
        tallies.entry(protocol).or_insert_with(|| Arc::new(Purpose::ALL.map(gauge))).clone()
    }

    /// Bytes that are charged in all.
    pub fn used(&self) -> usize {
        self.hub.used()
    }

    /// The most bytes that were charged in all since this was called last.
    pub fn take_peak(&self) -> usize {
        self.hub.peak.swap(self.hub.used(), Ordering::Relaxed)
    }

    /// Whether the hub's budget is used up to the last part in 16, which is what sessions end for.
    pub fn is_nearly_full(&self) -> bool {
        self.hub.used() >= self.hub.relieved()
    }

    /// Whether the hub's budget, or that of an address ([`Limits::known_by`]), is used up.
    pub(crate) fn is_full(&self, address: Option<IpAddr>) -> Option<Limit> {
        if self.hub.exceeds(SESSION_BYTES) {
            return Some(self.hub.limit);
        }
        self.is_crowded(&Holder::Address(address?))
    }

    /// Whether the budget of a holder is used up.
    pub(crate) fn is_crowded(&self, holder: &Holder) -> Option<Limit> {
        let pot = lock(&self.holders).get(holder).and_then(Weak::upgrade)?;
        pot.exceeds(SESSION_BYTES).then_some(pot.limit)
    }

    /// Whether some budget was exceeded since this was called last.
    pub(crate) fn take_exceeded(&self) -> bool {
        self.exceeded.load(Ordering::Relaxed) && self.exceeded.swap(false, Ordering::Relaxed)
    }

    /// A budget was exceeded, or is so still.
    pub(crate) fn note_exceeded(&self) {
        if !self.exceeded.swap(true, Ordering::Relaxed)
            && let Some(Watch(wake)) = self.watch.get()
        {
            wake();
        }
    }

    /// Lets `wake` be called each time when a budget was exceeded and nobody has taken that yet. Once; gives whether
    /// this was the first time.
    pub(crate) fn watch(&self, wake: Box<dyn Fn() + Send + Sync>) -> bool {
        let first = self.watch.set(Watch(wake)).is_ok();
        if first && self.take_exceeded() {
            self.note_exceeded();
        }
        first
    }

    pub(crate) fn hub(&self) -> &Pot {
        &self.hub
    }

    /// The holders whose budgets are exceeded.
    pub(crate) fn crowded(&self) -> Vec<Arc<Pot>> {
        let holders = lock(&self.holders);
        let pots = holders.values().filter_map(Weak::upgrade);
        pots.filter(|pot| pot.exceeds(0)).collect()
    }
}

/// The part of a holder.
#[derive(Debug)]
struct Share {
    holder: Holder,
    pot: Arc<Pot>,
}

/// What is held for one session or channel.
#[derive(Debug)]
pub struct Account {
    ledger: Arc<Ledger>,
    address: Option<Share>,
    /// Not known before the hello. Each charge notes whether it was made before that.
    identity: OnceLock<Share>,
    tally: Arc<Tally>,
    used: AtomicUsize,
    /// Of that: [`Purpose::Unfinished`].
    unfinished: AtomicUsize,
}

impl Account {
    /// Bytes that are charged to it.
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// Whether so much more is more than one session may leave unfinished.
    pub(crate) fn unfinished_above(&self, more: usize) -> bool {
        self.unfinished.load(Ordering::Relaxed) + more > self.ledger.unfinished_bytes_max
    }

    fn shares(&self) -> impl Iterator<Item = &Share> {
        self.address.iter().chain(self.identity.get())
    }

    /// Whom it is known by.
    pub(crate) fn holders(&self) -> impl Iterator<Item = &Holder> {
        self.shares().map(|share| &share.holder)
    }

    /// Whether so much is held for all that nothing large should keep the read alive in which it came: as
    /// long as it is less, that costs less than copies.
    pub(crate) fn is_tight(&self) -> bool {
        const PART: usize = 32;
        self.ledger.hub.used() > self.ledger.hub.budget / PART
    }

    /// The budgets of its holders.
    pub(crate) fn budgets(&self) -> impl Iterator<Item = &Arc<Pot>> {
        self.shares().map(|share| &share.pot)
    }

    /// Says who pays besides the session and its address. Once; later calls do nothing.
    pub(crate) fn identify(&self, identity: Holder) {
        let _ = self.identity.set(self.ledger.share_of(identity));
    }

    /// Charges what can be refused.
    ///
    /// # Errors
    /// [`Exhausted`]; nothing was charged.
    pub fn try_charge(
        self: &Arc<Self>,
        purpose: Purpose,
        bytes: usize,
    ) -> Result<Charge, Exhausted> {
        self.room(bytes)?;
        Ok(self.charge(purpose, bytes))
    }

    /// Counts a channel or room among those that its holders have made.
    ///
    /// # Errors
    /// [`Exhausted`] if one of them has as many as it may.
    pub(crate) fn make(&self, room: bool) -> Result<Made, Exhausted> {
        let kind = usize::from(room);
        // All are made under the lock of the directory.
        let most = self.ledger.made_max[kind];
        if self.shares().any(|share| share.pot.made[kind].load(Ordering::Relaxed) >= most) {
            let limit = if room { Limit::RoomsPerAddress } else { Limit::ChannelsPerAddress };
            return Err(Exhausted { limit });
        }
        let pots: Vec<_> = self.shares().map(|share| share.pot.clone()).collect();
        for pot in &pots {
            pot.made[kind].fetch_add(1, Ordering::Relaxed);
        }
        Ok(Made { pots, kind })
    }

    /// Charges what cannot be refused.
    pub fn charge(self: &Arc<Self>, purpose: Purpose, bytes: usize) -> Charge {
        let identified = self.identity.get().is_some();
        self.add(purpose, bytes, identified);
        Charge { account: self.clone(), purpose, identified, bytes }
    }

    /// Two who ask at the same time may both be told that there is room. They exceed the budget by
    /// what one of them wants.
    fn room(&self, bytes: usize) -> Result<(), Exhausted> {
        match self.pots(true).find(|pot| pot.exceeds(bytes)) {
            Some(Pot { limit, .. }) => Err(Exhausted { limit: *limit }),
            None => Ok(()),
        }
    }

    /// Who pays. `identified` says whether the identity was known to the charge.
    fn pots(&self, identified: bool) -> impl Iterator<Item = &Pot> {
        let identity = self.identity.get().filter(|_| identified);
        let shares = self.address.iter().chain(identity);
        iter::once(&self.ledger.hub).chain(shares.map(|share| &*share.pot))
    }

    fn add(&self, purpose: Purpose, bytes: usize, identified: bool) {
        self.used.fetch_add(bytes, Ordering::Relaxed);
        if purpose == Purpose::Unfinished {
            self.unfinished.fetch_add(bytes, Ordering::Relaxed);
        }
        self.tally[purpose as usize].inc_by(as_i64(bytes));
        for pot in self.pots(identified) {
            if !pot.add(bytes) {
                self.ledger.note_exceeded();
            }
        }
    }

    fn sub(&self, purpose: Purpose, bytes: usize, identified: bool) {
        self.used.fetch_sub(bytes, Ordering::Relaxed);
        if purpose == Purpose::Unfinished {
            self.unfinished.fetch_sub(bytes, Ordering::Relaxed);
        }
        self.tally[purpose as usize].dec_by(as_i64(bytes));
        self.pots(identified).for_each(|pot| pot.sub(bytes));
    }
}

impl Drop for Account {
    fn drop(&mut self) {
        let shares = self.address.take().into_iter().chain(self.identity.take());
        for Share { holder, pot } in shares {
            let mut holders = lock(&self.ledger.holders);
            // New ones are made under the same lock.
            if Arc::strong_count(&pot) == 1 {
                holders.remove(&holder);
            }
        }
    }
}

/// A channel or room that counts for its holders until this is dropped.
#[derive(Debug)]
pub(crate) struct Made {
    pots: Vec<Arc<Pot>>,
    kind: usize,
}

impl Drop for Made {
    fn drop(&mut self) {
        for pot in &self.pots {
            pot.made[self.kind].fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// Bytes that are charged until this is dropped.
#[derive(Debug)]
pub struct Charge {
    account: Arc<Account>,
    purpose: Purpose,
    /// Whether the identity pays too.
    identified: bool,
    bytes: usize,
}

impl Charge {
    /// Bytes that are charged.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges so much in all.
    ///
    /// # Errors
    /// [`Exhausted`] if it is more than before and there is no room; nothing has changed.
    pub fn try_resize(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.account.room(bytes.saturating_sub(self.bytes))?;
        self.resize(bytes);
        Ok(())
    }

    /// Charges so much in all, room or not.
    pub fn resize(&mut self, bytes: usize) {
        let identified = self.account.identity.get().is_some();
        if identified != self.identified {
            self.account.sub(self.purpose, self.bytes, self.identified);
            self.account.add(self.purpose, bytes, identified);
            self.identified = identified;
        } else {
            match bytes.checked_sub(self.bytes) {
                Some(0) => {}
                Some(more) => self.account.add(self.purpose, more, identified),
                None => self.account.sub(self.purpose, self.bytes - bytes, identified),
            }
        }
        self.bytes = bytes;
    }

    /// Who pays.
    pub(crate) fn account(&self) -> &Arc<Account> {
        &self.account
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.account.sub(self.purpose, self.bytes, self.identified);
    }
}

/// A charge for something that grows and shrinks all the time. It changes in steps of
/// [`Tab::STEP_BYTES`], and what is below [`Tab::FREE_BYTES`] is not charged.
#[derive(Debug)]
pub struct Tab(Charge);

impl Tab {
    /// What is not charged.
    pub const FREE_BYTES: usize = 2 * 1024;
    /// The step in which it is charged.
    pub const STEP_BYTES: usize = 16 * 1024;

    /// A tab on which nothing is.
    pub fn new(account: &Arc<Account>, purpose: Purpose) -> Self {
        Self(account.charge(purpose, 0))
    }

    /// What is paid for, without what is free.
    pub fn paid(&self) -> usize {
        self.0.bytes
    }

    /// Whether a budget of those who pay is exceeded.
    pub fn is_above_budget(&self) -> bool {
        self.0.account.pots(true).any(|pot| pot.exceeds(0))
    }

    /// So much is there now. Costs nothing where nothing has to be paid or given back.
    pub fn settle(&mut self, bytes: usize) {
        if let Some(due) = self.due(bytes) {
            self.0.resize(due);
        }
    }

    /// As [`Tab::settle`], for what can be refused.
    ///
    /// # Errors
    /// As [`Charge::try_resize`].
    pub fn try_settle(&mut self, bytes: usize) -> Result<(), Exhausted> {
        self.due(bytes).map_or(Ok(()), |due| self.0.try_resize(due))
    }

    /// What is to be paid, if that is to change.
    fn due(&self, bytes: usize) -> Option<usize> {
        let paid = self.0.bytes;
        let due = match bytes {
            0..=Self::FREE_BYTES => 0,
            more => more.next_multiple_of(Self::STEP_BYTES),
        };
        let changes = due > paid || due == 0 && paid > 0 || due + Self::STEP_BYTES < paid;
        changes.then_some(due)
    }
}

/// Bytes that hold a charge for as long as a clone of them lives.
pub(crate) struct Charged {
    bytes: Bytes,
    _charge: SharedCharge,
}

/// A charge to a channel, and to its budget.
#[derive(Debug)]
pub(crate) struct SharedCharge {
    pot: Arc<Pot>,
    charge: Charge,
}

impl SharedCharge {
    /// Bytes that hold it for as long as a clone of them lives.
    pub(crate) fn with(self, bytes: Bytes) -> Bytes {
        Bytes::from_owner(Charged { bytes, _charge: self })
    }
}

impl Drop for SharedCharge {
    fn drop(&mut self) {
        self.pot.sub(self.charge.bytes);
    }
}

impl AsRef<[u8]> for Charged {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

/// What waits for the receivers of one channel, each byte once. A clone is for the same channel.
#[derive(Debug, Clone)]
pub(crate) struct Common {
    account: Arc<Account>,
    pot: Arc<Pot>,
}

impl Common {
    /// For a channel with so much room, by this limit.
    pub(crate) fn new(account: Arc<Account>, limit: Limit, bytes_max: usize) -> Self {
        Self { account, pot: Arc::new(Pot::new(limit, bytes_max)) }
    }

    /// The limit that is the channel's budget.
    pub(crate) fn limit(&self) -> Limit {
        self.pot.limit()
    }

    /// Pieces from this size on are charged here. Smaller ones are charged to each receiver: that
    /// costs less than counting them.
    const BYTES_MIN: usize = 1024 + 1;

    /// Whether a piece for many is charged here.
    pub(crate) fn is_charged(piece: &Bytes) -> bool {
        piece.len() >= Self::BYTES_MIN
    }

    /// Whether so much more goes above the channel's budget.
    pub(crate) fn exceeds(&self, more: usize) -> bool {
        self.pot.exceeds(more)
    }

    /// Who pays for it.
    pub(crate) fn payer(&self) -> &Arc<Account> {
        &self.account
    }

    /// Charges a piece until the last clone of it is gone, if it is charged here.
    pub(crate) fn charge(&self, bytes: Bytes) -> Bytes {
        if !Self::is_charged(&bytes) {
            return bytes;
        }
        self.hold(bytes.len()).with(bytes)
    }

    /// Charges so many bytes.
    pub(crate) fn hold(&self, bytes: usize) -> SharedCharge {
        self.pot.add(bytes);
        let charge = self.account.charge(Purpose::Shared, bytes);
        SharedCharge { pot: self.pot.clone(), charge }
    }
}

fn as_i64(bytes: usize) -> i64 {
    i64::try_from(bytes).unwrap_or(i64::MAX)
}
