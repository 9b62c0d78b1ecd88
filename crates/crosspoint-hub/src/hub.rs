//! The hub: the directory of channels and rooms, and all sessions.

use crate::application::{Application, Nobody};
use crate::channel::{Channel, Nearby, NewChannel, Transfer, count_members};
use crate::command::{
    Addressee, ApplicationEvent, ChannelEvent, ChannelOptions, DirectoryEvent, Event, Mode, Peer,
    Query, Watched,
};
use crate::directory::{ClaimId, Claimed, Directory};
use crate::endpoint::{Endpoint, Outlet, PendingWrites, Reception};
use crate::ends::Ends;
use crate::envelope::Compressor;
use crate::ids::{ChannelName, OwnedChannelId, PeerId, PeerName};
use crate::ledger::{
    Account, CONNECTION_BYTES, Charge, Exhausted, Ledger, Pot, Purpose, SESSION_BYTES,
};
use crate::limit::Limit;
use crate::limits::Limits;
use crate::metrics::{ByProtocol, ByReason, Metrics};
use crate::outbox::Tag;
use crate::payload::Payload;
use crate::peers::{Duplicates, Newcomer, Peers};
use crate::permissions::{Permissions, Rule};
use crate::presence;
use crate::reason::Reason;
use crate::rules::ChannelRule;
use crate::secrecy::{Done, Fingerprint};
use crate::wire::{Profile, Wire, WireIds};
use bytes::Bytes;
use std::cmp::Reverse;
use std::collections::hash_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, RwLock, Weak};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;

/// How a hub is set up.
#[derive(Clone)]
pub struct HubOptions {
    /// Its bounds.
    pub limits: Limits,
    /// What endpoints have to present in their hello, if anything. Those whose protocol has no
    /// credentials, such as peote, need not.
    pub access_token: Option<Bytes>,
    /// Rooms that always exist.
    pub rooms: Vec<RoomOptions>,
    /// Whether an endpoint may make a room by entering it.
    pub rooms_on_entry: bool,
    /// The mode of such rooms.
    pub room_mode: Mode,
    /// What a session may do whose credentials nobody else checks.
    pub permissions: Permissions,
    /// What happens when two sessions have the same name or id.
    pub duplicates: Duplicates,
    /// Rules for channels by their names. The first that matches holds.
    pub channel_rules: Vec<ChannelRule>,
    /// Who decides, besides the hub itself, who may have which name. `None`: nobody.
    pub directory: Option<Arc<dyn Directory>>,
}

impl fmt::Debug for HubOptions {
    /// Without the access token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HubOptions")
            .field("limits", &self.limits)
            .field("access_token", &self.access_token.as_ref().map(|_| "***"))
            .field("rooms", &self.rooms)
            .field("rooms_on_entry", &self.rooms_on_entry)
            .field("room_mode", &self.room_mode)
            .field("permissions", &self.permissions)
            .field("duplicates", &self.duplicates)
            .field("channel_rules", &self.channel_rules)
            .field("directory", &self.directory.as_ref().map(|_| "…"))
            .finish()
    }
}

impl Default for HubOptions {
    fn default() -> Self {
        Self {
            limits: Limits::default(),
            access_token: None,
            rooms: Vec::new(),
            rooms_on_entry: true,
            room_mode: Mode::default(),
            permissions: Permissions::default(),
            duplicates: Duplicates::default(),
            channel_rules: Vec::new(),
            directory: None,
        }
    }
}

/// A room that always exists.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RoomOptions {
    /// Its name.
    pub name: ChannelName,
    /// How its messages are framed.
    pub mode: Mode,
    /// The most members, if fewer than [`Limits::room_members_max`].
    pub members_max: Option<u32>,
}

/// One hub. Cheap to share; everything in it is reached through `&self`.
pub struct Hub {
    /// Its bounds. Shared, as protocols hold on to them for each session.
    pub limits: Arc<Limits>,
    /// What it counts.
    pub metrics: Metrics,
    /// The memory that it holds for others.
    pub ledger: Arc<Ledger>,
    access_token: RwLock<Option<Bytes>>,
    rooms_on_entry: bool,
    room_mode: Mode,
    pub(crate) permissions: Arc<Permissions>,
    duplicates: Duplicates,
    channel_rules: Vec<Arc<ChannelRule>>,
    pub(crate) directory: Option<Arc<dyn Directory>>,
    application: OnceLock<Box<dyn Application>>,
    application_peer: OnceLock<PeerId>,
    reserved_id: OnceLock<PeerId>,
    peers: Mutex<Peers>,
    /// Held while somebody opens a link of which there can be only one. No other lock is held before.
    single_links: Mutex<()>,
    channels: Mutex<Channels>,
    /// A tree grows bit by bit, where a large table is moved as a whole, for which others would wait.
    sessions: Mutex<BTreeMap<u64, Arc<Endpoint>>>,
    wires: WireIds,
    /// The sessions that have ended lately.
    pub(crate) ends: Ends,
    /// Compresses what is written, if that is wanted.
    compressor: Option<Arc<Compressor>>,
    connections: Mutex<Connections>,
    /// When memory was last given back because a budget was exceeded.
    relief: Mutex<Option<Instant>>,
    next_session: AtomicU64,
    /// Is told that there is something new for a large group.
    wake: OnceLock<Box<dyn Fn(Duration) -> bool + Send + Sync>>,
    /// Rooms in which something is to be told.
    rooms_due: Mutex<Vec<Weak<Channel>>>,
}

#[derive(Debug, Default)]
struct Channels {
    by_name: HashMap<ChannelName, Arc<Channel>>,
    /// Those whose names a directory has granted.
    claims: HashMap<ChannelName, Claimed>,
    /// How many of them are rooms made on entry.
    rooms_made: usize,
    /// How many are rooms that always exist.
    rooms_declared: usize,
}

#[derive(Debug, Default)]
struct Connections {
    count: usize,
    by_address: HashMap<IpAddr, u32>,
}

/// A channel that a session creates.
pub(crate) struct Create {
    pub(crate) request: u32,
    pub(crate) name: ChannelName,
    pub(crate) options: ChannelOptions,
    /// What a directory has granted for it.
    pub(crate) claimed: Option<Claimed>,
}

/// The right to a connection; dropping it gives the place back, and the memory of the connection.
///
/// A pointer, as it lies in what each connection waits in.
#[derive(Debug)]
pub struct Admission(Box<Admitted>);

#[derive(Debug)]
struct Admitted {
    hub: Arc<Hub>,
    /// By which it is counted, if by any.
    address: Option<IpAddr>,
    /// Which pays for it, if any does.
    known_by: Option<IpAddr>,
    charge: Charge,
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent between any two statements that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Why a session has not come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum NotCome {
    Refused(Reason),
    /// It may come yet, if `holder` does not show that it lives.
    Waits {
        reason: Reason,
        holder: u64,
    },
}

impl Hub {
    /// A hub with its declared rooms.
    pub fn new(options: HubOptions) -> Arc<Self> {
        let HubOptions {
            limits,
            access_token,
            rooms,
            rooms_on_entry,
            room_mode,
            permissions,
            duplicates,
            channel_rules,
            directory,
        } = options;
        let metrics = Metrics::default();
        let ledger = Arc::new(Ledger::new(&limits, metrics.memory.clone()));
        let peers =
            Mutex::new(Peers::new(ledger.account(None, "hub"), limits.announced_per_second_max));
        let hub = Self {
            compressor: limits
                .compressed_bytes_min
                .map(|bytes_min| Arc::new(Compressor::new(bytes_min, &metrics))),
            limits: Arc::new(limits),
            metrics,
            ledger,
            relief: Mutex::default(),
            ends: Ends::default(),
            access_token: RwLock::new(access_token),
            rooms_on_entry,
            room_mode,
            permissions: Arc::new(permissions),
            duplicates,
            channel_rules: channel_rules.into_iter().map(Arc::new).collect(),
            directory,
            application: OnceLock::new(),
            application_peer: OnceLock::new(),
            reserved_id: OnceLock::new(),
            peers,
            single_links: Mutex::default(),
            channels: Mutex::default(),
            sessions: Mutex::default(),
            wires: WireIds::default(),
            connections: Mutex::default(),
            next_session: AtomicU64::new(1),
            wake: OnceLock::new(),
            rooms_due: Mutex::default(),
        };
        for room in rooms {
            let most = hub.limits.room_members_max;
            let members_max = room.members_max.map_or(most, |max| max.min(most));
            let payer = hub.ledger.account(None, "hub");
            let new = hub.new_channel(room.name.clone(), None);
            // A hub that has no memory for what its operator has declared goes without.
            let Ok(channel) = new.room(true, room.mode, members_max, &payer) else {
                continue;
            };
            let mut channels = lock(&hub.channels);
            if channels.by_name.insert(room.name, Arc::new(channel)).is_none() {
                channels.rooms_declared += 1;
                hub.metrics.channels.inc();
            }
        }
        Arc::new(hub)
    }

    /// Asks for a place for a new connection.
    ///
    /// # Errors
    /// [`Reason::TooManyConnections`] in all or from this address, or no memory is left for it.
    pub fn admit(self: &Arc<Self>, address: Option<IpAddr>) -> Result<Admission, Reason> {
        let mut connections = lock(&self.connections);
        if connections.count >= self.limits.connections_max {
            self.metrics.hit(Limit::Connections);
            return Err(Reason::TooManyConnections);
        }
        let charge = self.charge_connection(address)?;
        let known_by = self.limits.known_by(address);
        let address = self.counted(address);
        self.count_address(&mut connections, address)?;
        connections.count += 1;
        self.metrics.connections.inc();
        self.metrics.connections_total.inc();
        let admitted = Admitted { hub: self.clone(), address, known_by, charge };
        Ok(Admission(Box::new(admitted)))
    }

    /// Charges a connection from an address, if there is room for it and a session.
    fn charge_connection(&self, address: Option<IpAddr>) -> Result<Charge, Reason> {
        let known_by = self.limits.known_by(address);
        if let Some(limit) = self.ledger.is_full(known_by) {
            self.metrics.hit(limit);
            return Err(Reason::TooManyConnections);
        }
        let account = self.ledger.account(known_by, "hub");
        Ok(account.charge(Purpose::Connection, CONNECTION_BYTES))
    }

    /// Whether there is room for another connection.
    pub fn has_room(&self) -> bool {
        lock(&self.connections).count < self.limits.connections_max
    }

    /// By which address a connection is counted, if by any.
    fn counted(&self, address: Option<IpAddr>) -> Option<IpAddr> {
        let limited = self.limits.connections_per_address_max > 0;
        self.limits.known_by(address).filter(|_| limited)
    }

    fn count_address(
        &self,
        connections: &mut Connections,
        address: Option<IpAddr>,
    ) -> Result<(), Reason> {
        let Some(address) = address else {
            return Ok(());
        };
        let count = connections.by_address.entry(address).or_default();
        if *count >= self.limits.connections_per_address_max {
            self.metrics.hit(Limit::ConnectionsPerAddress);
            return Err(Reason::TooManyConnections);
        }
        *count += 1;
        Ok(())
    }

    /// Ends sessions if a budget was exceeded. To be called by those who charge what cannot be refused, and
    /// by the one who [watches](Self::watch_budgets), as memory may be given back too late for those.
    pub fn keep_to_budgets(&self, now: Instant) {
        if self.ledger.take_exceeded() {
            self.relieve(now);
        }
    }

    /// Lets `wake` be called when a budget was exceeded: [`Hub::keep_to_budgets`] should be called soon, and some
    /// time should pass before that is done again. Once; gives whether this was the first time.
    pub fn watch_budgets(&self, wake: Box<dyn Fn() + Send + Sync>) -> bool {
        self.ledger.watch(wake)
    }

    /// Gives memory back after a budget was exceeded, until one part in 16 of it is free: the
    /// sessions that hold most are ended. First come those that have taken nothing for
    /// [`Hub::IDLE_TIME`] and hold [`Hub::HOLDS_MIN`] or more, then all others.
    fn relieve(&self, now: Instant) {
        let mut relief = lock(&self.relief);
        // Memory of sessions that were ended is given back a little later.
        if relief.is_some_and(|at| now < at + Self::RELIEF_INTERVAL) {
            return self.ledger.note_exceeded();
        }
        *relief = Some(now);
        let endpoints: Vec<_> = lock(&self.sessions).values().cloned().collect();
        let crowded = self.ledger.crowded();
        // Once through all sessions, however many holders there are.
        let mut of_each: HashMap<_, Vec<_>> =
            crowded.iter().map(|pot| (Arc::as_ptr(pot), Vec::new())).collect();
        for endpoint in &endpoints {
            for pot in endpoint.account().budgets() {
                if let Some(of_it) = of_each.get_mut(&Arc::as_ptr(pot)) {
                    of_it.push(endpoint);
                }
            }
        }
        for pot in &crowded {
            let of_it = of_each.remove(&Arc::as_ptr(pot)).unwrap_or_default();
            Self::relieve_from(now, pot, of_it.into_iter());
        }
        if self.ledger.hub().exceeds(0) {
            Self::relieve_from(now, self.ledger.hub(), endpoints.iter());
        }
    }

    /// How long a session may take nothing and still counts as one that reads.
    const IDLE_TIME: Duration = Duration::from_secs(1);
    /// What a session may hold before it is among the first to be ended.
    const HOLDS_MIN: usize = 64 * 1024;
    /// The shortest time between two looks for those that hold most.
    const RELIEF_INTERVAL: Duration = Duration::from_millis(20);

    fn relieve_from<'a>(
        now: Instant,
        pot: &Pot,
        endpoints: impl Iterator<Item = &'a Arc<Endpoint>>,
    ) {
        let holder = |endpoint: &'a Arc<Endpoint>| {
            let holds = endpoint.holds();
            let idle = endpoint.written().is_none_or(|at| now >= at + Self::IDLE_TIME);
            (Reverse((idle && holds >= Self::HOLDS_MIN, holds)), endpoint.id, endpoint)
        };
        // What their own tasks hold is given back when those end.
        let (dead, alive): (Vec<_>, Vec<_>) = endpoints.partition(|endpoint| endpoint.is_dead());
        let mut coming: usize = dead.iter().map(|endpoint| endpoint.account().used()).sum();
        let mut holders: Vec<_> = alive
            .into_iter()
            .map(holder)
            .filter(|(Reverse((_, holds)), ..)| *holds > SESSION_BYTES)
            .collect();
        holders.sort_unstable_by_key(|(rank, id, _)| (*rank, *id));
        for (.., endpoint) in holders {
            if pot.used() <= pot.relieved() + coming {
                return;
            }
            endpoint.give_up(pot.limit());
            coming += endpoint.account().used();
        }
    }

    /// What compresses frames, if that is wanted ([`Limits::compressed_bytes_min`]).
    pub fn compressor(&self) -> Option<Arc<Compressor>> {
        self.compressor.clone()
    }

    /// Makes the endpoint of a new session.
    pub(crate) fn add_endpoint(
        &self,
        now: Instant,
        address: Option<IpAddr>,
        wire: &'static dyn Wire,
        outlet: Box<dyn Outlet>,
    ) -> Arc<Endpoint> {
        self.wires.note(&wire.profile());
        let id = self.next_session.fetch_add(1, Ordering::Relaxed);
        let known_by = self.limits.known_by(address);
        let account = self.ledger.account(known_by, wire.profile().name);
        let bytes_max = self.limits.outbox_bytes_max;
        let from = (address, known_by);
        let endpoint = Arc::new(Endpoint::new((id, now), from, wire, bytes_max, account, outlet));
        lock(&self.sessions).insert(id, endpoint.clone());
        endpoint
    }

    /// The account of what is held for an address outside of any session.
    pub fn account(&self, address: Option<IpAddr>, protocol: &'static str) -> Arc<Account> {
        self.ledger.account(self.limits.known_by(address), protocol)
    }

    /// Whether endpoints have to present something ([`HubOptions::access_token`]).
    pub fn asks_for_token(&self) -> bool {
        self.access_token.read().unwrap_or_else(PoisonError::into_inner).is_some()
    }

    /// Exchanges what endpoints have to present ([`HubOptions::access_token`]). Sessions that are there
    /// stay.
    pub fn set_access_token(&self, token: Option<Bytes>) {
        *self.access_token.write().unwrap_or_else(PoisonError::into_inner) = token;
    }

    /// Wakes the tasks of all sessions, which look again what there is to do.
    pub fn wake_sessions(&self) {
        let endpoints: Vec<_> = lock(&self.sessions).values().cloned().collect();
        endpoints.iter().for_each(|endpoint| endpoint.wake());
    }

    /// How many sessions are open.
    pub fn sessions(&self) -> usize {
        lock(&self.sessions).len()
    }

    /// How many channels and rooms there are.
    pub fn channels(&self) -> usize {
        lock(&self.channels).by_name.len()
    }

    /// Says who answers for the hub application. Once; a second time gives the newcomer back.
    ///
    /// # Errors
    /// The application, if there is one already.
    pub fn set_application(
        &self,
        application: Box<dyn Application>,
    ) -> Result<(), Box<dyn Application>> {
        self.application.set(application)
    }

    /// Says which session is the hub application, so that it can be reached whatever the
    /// permissions. Once; later calls do nothing.
    pub fn set_application_peer(&self, peer: PeerId) {
        // It is the program itself that says so twice.
        let _ = self.application_peer.set(peer);
    }

    /// Which session is the hub application, if one is.
    pub fn application_peer(&self) -> Option<PeerId> {
        self.application_peer.get().copied()
    }

    /// Says that the hub itself uses this id, so that no session has it without proving that it is its
    /// own. Once; later calls do nothing.
    pub fn reserve_id(&self, id: PeerId) {
        // A hub is served once.
        let _ = self.reserved_id.set(id);
    }

    pub(crate) fn application(&self) -> &dyn Application {
        self.application.get().map_or(&Nobody, |application| &**application)
    }

    /// A session comes, and is told so. Its peer is known from now on, to itself and to others.
    pub(crate) fn peer_comes(
        &self,
        now: Instant,
        newcomer: Newcomer<'_>,
        peer: &Peer,
        waits: impl Fn(Reason) -> bool,
        writes: &mut PendingWrites,
    ) -> Result<(), NotCome> {
        let Newcomer { endpoint, id, proven, granted, abilities, .. } = newcomer;
        // The program itself connects from inside.
        let is_reserved = match self.application_peer() {
            Some(application) if application == id => endpoint.address.is_some(),
            _ => self.reserved_id.get() == Some(&id),
        };
        if is_reserved && !proven {
            return Err(NotCome::Refused(Reason::IdTaken));
        }
        let mut peers = lock(&self.peers);
        let (duplicates, application) = (self.duplicates, self.application_peer());
        let shares = match peers.come(newcomer, duplicates, application, writes) {
            Ok(shares) => shares,
            Err(taken) => {
                let by = taken.by.as_ref().filter(|_| self.limits.probe_max.is_some());
                return Err(match by.filter(|_| waits(taken.reason)) {
                    Some(holder) => {
                        peers.wait(&taken, holder, endpoint);
                        NotCome::Waits { reason: taken.reason, holder: holder.id }
                    }
                    None => NotCome::Refused(taken.reason),
                });
            }
        };
        let known = endpoint.set_peer(peer.clone(), proven, granted, abilities);
        debug_assert!(known, "hello is accepted once");
        // Before anybody can find the session, so that nothing comes to it before its welcome.
        endpoint.push_event(Tag::default(), Event::Welcome { peer: peer.id }, writes);
        for one in shares.iter().flat_map(|old| [endpoint, old]) {
            one.push_event(Tag::default(), DirectoryEvent::NameShared.into(), writes);
        }
        if !endpoint.profile.links {
            return Ok(());
        }
        let large = presence::delay(peers.watchers()).filter(|_| self.wake.get().is_some());
        let bounded = large.filter(|_| !self.limits.exempt(endpoint.address));
        if !peers.announce(bounded.map(|_| now), endpoint, peer) {
            self.metrics.hit(Limit::AnnouncedPerSecond);
            self.release_later(&mut peers);
        }
        self.settle_peers(&mut peers, writes);
        Ok(())
    }

    /// A session has shown that it lives, or cannot be asked.
    pub(crate) fn peer_lives(&self, endpoint: &Endpoint, writes: &mut PendingWrites) {
        lock(&self.peers).judge(endpoint, true, writes);
    }

    /// A newcomer does not wait any longer for the one that has what it wants.
    pub(crate) fn wait_no_longer(&self, holder: u64, newcomer: &Endpoint) {
        lock(&self.peers).wait_no_longer(holder, newcomer);
    }

    pub(crate) fn peer_goes(
        &self,
        endpoint: &Arc<Endpoint>,
        services: impl Iterator<Item = (PeerName, u64)>,
        quiet: bool,
        writes: &mut PendingWrites,
    ) {
        let mut peers = lock(&self.peers);
        for (service, place) in services {
            peers.withdraw(&service, place);
        }
        peers.go(endpoint, quiet, writes);
        self.settle_peers(&mut peers, writes);
    }

    /// Lets `wake` be called when there is something new for a large group, and some time should pass
    /// before [`Hub::tell_presence`]. It says whether somebody will call that. Otherwise such news are
    /// told at once, which is dear. Once; gives whether this was the first time.
    pub fn gather_presence(&self, wake: Box<dyn Fn(Duration) -> bool + Send + Sync>) -> bool {
        self.wake.set(wake).is_ok()
    }

    /// Tells who has come and gone.
    pub fn tell_presence(&self, now: Instant) {
        let mut writes = PendingWrites::default();
        let mut peers = lock(&self.peers);
        peers.release(Some(now));
        self.release_later(&mut peers);
        peers.tell_news(&mut writes);
        drop(peers);
        writes.flush();
        for room in std::mem::take(&mut *lock(&self.rooms_due)) {
            if let Some(room) = room.upgrade() {
                room.tell_news(&mut writes);
                writes.flush();
            }
        }
    }

    /// Sees that those are told of who have to wait for that, now if they need not wait any longer.
    fn release_later(&self, peers: &mut Peers) {
        let delay = presence::delay(peers.watchers());
        if peers.hides_some() && !delay.is_some_and(|delay| self.wake_later(delay)) {
            peers.release(None);
        }
    }

    fn settle_peers(&self, peers: &mut Peers, writes: &mut PendingWrites) {
        let Some(group) = peers.to_tell() else {
            return;
        };
        if !presence::delay(group).is_some_and(|delay| self.wake_later(delay)) {
            peers.tell_news(writes);
        }
    }

    /// Somebody has entered or left a room.
    pub(crate) fn settle_room(&self, room: &Arc<Channel>, writes: &mut PendingWrites) {
        let Some(delay) = room.settle_news(self.wake.get().is_some(), writes) else {
            return;
        };
        lock(&self.rooms_due).push(Arc::downgrade(room));
        if !self.wake_later(delay) {
            room.tell_news(writes);
        }
    }

    /// Whether somebody will tell what is new.
    fn wake_later(&self, delay: Duration) -> bool {
        self.wake.get().is_some_and(|wake| wake(delay))
    }

    /// Whether a session may look for the one whom a link is for. Who may not reach a name is not told whether
    /// somebody has it.
    pub(crate) fn may_look_for(&self, to: &Addressee, rule: &Rule) -> Result<(), Reason> {
        match to {
            Addressee::Name(name) | Addressee::Service(name)
                if !rule.allows(name.as_str().as_bytes()) =>
            {
                Err(Reason::NotAllowed)
            }
            _ => Ok(()),
        }
    }

    /// Whom a link is for, if that is allowed. [`Self::may_look_for`] comes first.
    pub(crate) fn reach(
        &self,
        to: &Addressee,
        except: &[PeerId],
        rule: &Rule,
    ) -> Result<Arc<Endpoint>, Reason> {
        let found = lock(&self.peers).find(to, except);
        let peer = found.as_ref().and_then(|endpoint| endpoint.peer());
        let name = peer.and_then(|peer| peer.name.as_deref());
        if self.is_hidden(to, rule) && !name.is_some_and(|name| rule.allows(name.as_bytes())) {
            return Err(Reason::NotAllowed);
        }
        found.ok_or(Reason::NoSuchPeer)
    }

    /// Whether the name of the one whom a link is for decides whether it may be reached.
    fn is_hidden(&self, to: &Addressee, rule: &Rule) -> bool {
        matches!(to, Addressee::Peer(id) if *rule != Rule::All && self.application_peer() != Some(*id))
    }

    /// Why nobody is reached, for one whose links follow a rule.
    pub(crate) fn unreachable(&self, to: &Addressee, rule: &Rule, reason: Reason) -> Reason {
        match self.is_hidden(to, rule) {
            true => Reason::NotAllowed,
            false => reason,
        }
    }

    /// Answers a claim that a [`Directory`] has said is pending. Nothing happens if nobody waits for it any more.
    pub fn claim_answered(&self, id: ClaimId, answer: Result<(), Reason>) {
        let endpoint = lock(&self.sessions).get(&id.session).cloned();
        if let Some(endpoint) = endpoint {
            let answered = DirectoryEvent::ClaimAnswered { claim: id.number, answer };
            let mut writes = PendingWrites::default();
            endpoint.push_event(Tag::default(), answered.into(), &mut writes);
        }
    }

    pub(crate) fn provide(&self, endpoint: &Arc<Endpoint>, service: &PeerName) -> u64 {
        lock(&self.peers).provide(endpoint, service)
    }

    pub(crate) fn withdraw(&self, service: &PeerName, place: u64) {
        lock(&self.peers).withdraw(service, place);
    }

    /// Lets the hub application say something to one session. Gives whether it is there, and its
    /// protocol has a form for that ([`Profile::application`](crate::wire::Profile::application)). As everywhere, who does not read ends with
    /// [`Reason::SlowReceiver`].
    pub fn tell(&self, peer: PeerId, payload: Payload) -> bool {
        let endpoint = lock(&self.peers).session(peer);
        let endpoint = endpoint.filter(|endpoint| endpoint.profile.application);
        endpoint.is_some_and(|endpoint| {
            endpoint.push_event(
                Tag::default(),
                Event::Application(ApplicationEvent::Told { payload }),
                &mut PendingWrites::default(),
            );
            true
        })
    }

    /// Ends a session of any protocol, with a goodbye if its protocol has one. What waits for it is still
    /// written. Gives whether it was there. [`Hub::session_list`] has the ids of those that are.
    pub fn disconnect(&self, peer: PeerId, reason: Reason) -> bool {
        let endpoint = lock(&self.peers).session(peer);
        endpoint.is_some_and(|endpoint| {
            endpoint.end_soon(reason);
            true
        })
    }

    /// Ends the sessions that call themselves by names which `is_reserved` says are for others, with
    /// [`Reason::NotAllowed`], as when names have become reserved for credentials that grant them. From now
    /// on nobody finds them. Those whose credentials have granted them their names stay. Gives how many end.
    pub fn end_claims(&self, is_reserved: impl Fn(&str) -> bool) -> usize {
        let mut claims = lock(&self.peers).claims();
        // Somebody else's code, which is not called with a lock held.
        claims.retain(|endpoint| {
            let name = endpoint.peer().and_then(|peer| peer.name.as_deref());
            name.is_some_and(&is_reserved)
                && endpoint.peer().map(|peer| peer.id) != self.application_peer()
        });
        let mut writes = PendingWrites::default();
        let mut peers = lock(&self.peers);
        for endpoint in &claims {
            peers.go(endpoint, false, &mut writes);
            endpoint.end_soon(Reason::NotAllowed);
        }
        self.settle_peers(&mut peers, &mut writes);
        drop(peers);
        writes.flush();
        claims.len()
    }

    /// Asks that one session's connection be encrypted from now on. `done` is called when it is, with
    /// the fingerprint of the keys, or when it is known that it will not be, with the reason; at the
    /// latest when the session ends. A protocol gives up, and ends the session, where the other side
    /// does not answer. What was told before may still leave in clear, nothing behind does.
    ///
    /// # Errors
    /// [`Reason::NoSuchPeer`], or [`Reason::Unsupported`] if the session's protocol cannot do that
    /// ([`Profile::secures`](crate::wire::Profile::secures)). `done` is not called then.
    pub fn secure(&self, peer: PeerId, done: Done) -> Result<(), Reason> {
        let endpoint = lock(&self.peers).session(peer).ok_or(Reason::NoSuchPeer)?;
        if !endpoint.profile.secures {
            return Err(Reason::Unsupported);
        }
        if endpoint.secrecy.ask(done) {
            endpoint.push_event(Tag::default(), Event::Secure, &mut PendingWrites::default());
        }
        Ok(())
    }

    /// The fingerprint of the keys with which a session's connection is encrypted, if it is, by what
    /// its protocol does ([`Hub::secure`]).
    pub fn secured(&self, peer: PeerId) -> Option<Fingerprint> {
        lock(&self.peers).session(peer).and_then(|endpoint| endpoint.secrecy.fingerprint())
    }

    /// As [`Hub::tell`], to all sessions that can be told, or to all but one. Gives how many.
    pub fn tell_all(&self, payload: &Payload, except: Option<PeerId>) -> usize {
        let mut writes = PendingWrites::default();
        lock(&self.peers).tell_all(payload, except, &mut writes)
    }

    /// All sessions that have said who they are, those that were replaced left out.
    pub(crate) fn all_sessions(&self) -> Vec<Arc<Endpoint>> {
        lock(&self.peers).sessions()
    }

    /// The session of a number, if it has said who it is and was not replaced.
    pub(crate) fn present(&self, session: u64) -> Option<Arc<Endpoint>> {
        let endpoint = lock(&self.sessions).get(&session).cloned()?;
        lock(&self.peers).is_present(&endpoint).then_some(endpoint)
    }

    /// How many sessions have said who they are, and how many services there are.
    pub(crate) fn count_peers(&self) -> (usize, usize) {
        lock(&self.peers).counts()
    }

    /// How many channels and rooms there are, and how many of them are rooms.
    pub(crate) fn count_channels(&self) -> (usize, usize) {
        let channels = lock(&self.channels);
        (channels.by_name.len(), channels.rooms_declared + channels.rooms_made)
    }

    /// All services, with some of those that provide them, and how many do.
    pub(crate) fn all_services(
        &self,
        providers_max: usize,
    ) -> Vec<(PeerName, Vec<Arc<Endpoint>>, usize)> {
        lock(&self.peers).services(providers_max)
    }

    /// The services that a session provides, in order.
    pub(crate) fn services_of(&self, endpoint: &Endpoint) -> Vec<PeerName> {
        let mut services = lock(&self.peers).services_of(endpoint);
        services.sort_unstable();
        services
    }

    pub(crate) fn look(&self, query: &Query) -> (Vec<Peer>, bool) {
        lock(&self.peers).look(query)
    }

    pub(crate) fn watch(
        &self,
        endpoint: &Arc<Endpoint>,
        whom: Watched,
        writes: &mut PendingWrites,
    ) {
        lock(&self.peers).watch(endpoint, whom, writes);
    }

    /// A session has ended. `refused` is who it said it is, if it was not let in for that.
    pub(crate) fn count_closed(
        &self,
        now: Instant,
        endpoint: &Arc<Endpoint>,
        refused: Option<&Peer>,
        reason: Reason,
    ) {
        self.ends.note(now, endpoint, refused, reason);
        self.metrics.closed.get_or_create(&ByReason { reason: reason.word() }).inc();
        if endpoint.peer().is_some() {
            let protocol = endpoint.profile.name;
            self.metrics.sessions.get_or_create(&ByProtocol { protocol }).dec();
        }
        if let Some(exceeded) = endpoint.exceeded() {
            self.metrics.hit(exceeded.limit);
        }
    }

    pub(crate) fn forget(&self, endpoint: &Arc<Endpoint>) {
        lock(&self.sessions).remove(&endpoint.id);
        // Nobody waits any longer for room in the outbox of somebody who is gone.
        endpoint.kill(Reason::ConnectionLost);
    }

    pub(crate) fn allows(&self, token: Option<&[u8]>, profile: &Profile) -> bool {
        match &*self.access_token.read().unwrap_or_else(PoisonError::into_inner) {
            Some(wanted) => {
                !profile.credentials || bool::from(token.unwrap_or_default().ct_eq(wanted))
            }
            None => true,
        }
    }

    /// Whether a channel can be made, as far as that does not depend on who makes it.
    pub(crate) fn check_channel(
        &self,
        name: &ChannelName,
        options: &ChannelOptions,
    ) -> Result<(), Reason> {
        if name.as_bytes().len() > self.limits.channel_name_bytes_max {
            self.metrics.hit(Limit::ChannelNameBytes);
            return Err(Reason::TooLarge);
        }
        if options.password.as_ref().is_some_and(|it| it.len() > ChannelOptions::PASSWORD_BYTES_MAX)
        {
            return Err(Reason::TooLarge);
        }
        // Nobody else is asked about a name that is not free here.
        match self.directory.is_some() && self.channel(name).is_some() {
            true => Err(Reason::NameTaken),
            false => Ok(()),
        }
    }

    /// Makes a channel, and tells its owner. The order of the checks is the one of docs/peote.md,
    /// section 3.2; [`Self::check_channel`] comes first.
    pub(crate) fn create(
        &self,
        now: Instant,
        endpoint: &Arc<Endpoint>,
        new: Create,
        seat: Option<(OwnedChannelId, Tag)>,
        writes: &mut PendingWrites,
    ) -> Result<Arc<Channel>, Reason> {
        let Create { request, name, options, claimed } = new;
        let mut channels = lock(&self.channels);
        let full = channels.by_name.len() >= self.limits.channels_total_max;
        let Channels { by_name, claims, .. } = &mut *channels;
        match by_name.entry(name) {
            Entry::Occupied(_) => Err(Reason::NameTaken),
            Entry::Vacant(vacant) => {
                let Some((number, tag)) = seat else {
                    self.metrics.hit(Limit::ChannelsOwned);
                    return Err(Reason::TooManyChannels);
                };
                if full {
                    self.metrics.hit(Limit::ChannelsTotal);
                    return Err(Reason::TooManyChannels);
                }
                let new = self.new_channel(vacant.key().clone(), Some(now));
                let channel = new.owned(endpoint.clone(), number, tag, options)?;
                if let Some(claimed) = claimed {
                    claims.insert(vacant.key().clone(), claimed);
                }
                self.metrics.channels.inc();
                // Before anybody can find the channel, so that nothing of it comes before.
                let created = Event::Channel(ChannelEvent::Created { request, channel: number });
                endpoint.push_event(Tag::default(), created, writes);
                Ok(vacant.insert(Arc::new(channel)).clone())
            }
        }
    }

    /// Finds a channel or room, or makes a room if that is asked for. Then `make` says whether the session may
    /// create something of this name.
    pub(crate) fn find(
        &self,
        now: Instant,
        name: &ChannelName,
        make: Option<impl FnOnce() -> Result<(), Reason>>,
        payer: &Arc<Account>,
    ) -> Result<Arc<Channel>, Reason> {
        let mut channels = lock(&self.channels);
        if let Some(channel) = channels.by_name.get(name) {
            return Ok(channel.clone());
        }
        let may_create = make.ok_or(Reason::NoSuchName)?;
        if !self.rooms_on_entry {
            return Err(Reason::NotAllowed);
        }
        may_create()?;
        if name.as_bytes().len() > self.limits.channel_name_bytes_max {
            self.metrics.hit(Limit::ChannelNameBytes);
            return Err(Reason::TooLarge);
        }
        let limit = if channels.rooms_made >= self.limits.rooms_max {
            Some(Limit::Rooms)
        } else if channels.by_name.len() >= self.limits.channels_total_max {
            Some(Limit::ChannelsTotal)
        } else {
            None
        };
        if let Some(limit) = limit {
            self.metrics.hit(limit);
            return Err(Reason::TooManyChannels);
        }
        let (mode, members_max) = (self.room_mode, self.limits.room_members_max);
        let new = self.new_channel(name.clone(), Some(now));
        let room = Arc::new(new.room(false, mode, members_max, payer)?);
        channels.rooms_made += 1;
        channels.by_name.insert(name.clone(), room.clone());
        self.metrics.channels.inc();
        Ok(room)
    }

    /// Held by the one who opens a link of which there can be only one.
    pub(crate) fn turn_for_single_link(&self) -> MutexGuard<'_, ()> {
        lock(&self.single_links)
    }

    /// Whether the owner of a channel takes the news that a session enters.
    pub(crate) fn reception(&self, name: &ChannelName, entering: &Arc<Endpoint>) -> Reception {
        self.channel(name).map_or(Reception::Taken, |channel| channel.reception(entering))
    }

    fn new_channel(&self, name: ChannelName, since: Option<Instant>) -> NewChannel<'_> {
        let Self { limits, metrics, ledger, .. } = self;
        NewChannel { rule: self.rule_of(&name), name, since, limits, metrics, ledger }
    }

    /// The rule for channels of a name.
    pub(crate) fn rule_of(&self, name: &ChannelName) -> Option<Arc<ChannelRule>> {
        self.channel_rules.iter().find(|rule| rule.name.matches(name.as_bytes())).cloned()
    }

    pub(crate) fn channel(&self, name: &ChannelName) -> Option<Arc<Channel>> {
        lock(&self.channels).by_name.get(name).cloned()
    }

    pub(crate) fn all_channels(&self) -> Vec<Arc<Channel>> {
        lock(&self.channels).by_name.values().cloned().collect()
    }

    /// Whether somebody of the address of a new session has what that one wants.
    pub(crate) fn nearby(&self, name: &ChannelName, new: &Arc<Endpoint>, create: bool) -> Nearby {
        let channel = lock(&self.channels).by_name.get(name).cloned();
        channel.map_or(Nearby::Nobody, |channel| channel.nearby(new, create))
    }

    pub(crate) fn end_channel(
        &self,
        channel: &Arc<Channel>,
        reason: Reason,
        writes: &mut PendingWrites,
    ) {
        let removed = self.remove(&mut lock(&self.channels), channel);
        drop(removed);
        let members = channel.end(reason, false, writes);
        count_members(&self.metrics, 0, members);
    }

    /// Ends a channel or room of whatever kind, or empties it if it always exists. Gives how many members there were.
    pub(crate) fn dissolve(
        &self,
        channel: &Arc<Channel>,
        reason: Reason,
        writes: &mut PendingWrites,
    ) -> usize {
        if channel.declared {
            let members = channel.empty(reason, writes);
            count_members(&self.metrics, 0, members);
            return members;
        }
        let mut channels = lock(&self.channels);
        let removed = self.remove(&mut channels, channel);
        if removed.is_some() && channel.room {
            channels.rooms_made -= 1;
        }
        drop(channels);
        drop(removed);
        let members = channel.end(reason, true, writes);
        count_members(&self.metrics, 0, members);
        members
    }

    /// The owner of a channel goes: the channel passes to the successor, or ends.
    pub(crate) fn owner_goes(
        &self,
        channel: &Arc<Channel>,
        owner: &Arc<Endpoint>,
        reason: Reason,
        writes: &mut PendingWrites,
    ) {
        let may_transfer = reason != Reason::HubStopping;
        match channel.transfer(owner, may_transfer, writes) {
            Transfer::Done { gone } => count_members(&self.metrics, 0, gone),
            Transfer::NoSuccessor => self.end_channel(channel, reason, writes),
            Transfer::NotOwned => {}
        }
    }

    /// Says whether the connection of a session is away and may come back, so that those whom it
    /// concerns hear of it. Nothing happens if there is no such session (any more).
    pub fn set_away(&self, now: Instant, session: u64, away: bool) {
        let endpoint = lock(&self.sessions).get(&session).cloned();
        if let Some(endpoint) = endpoint {
            endpoint.set_away(now, away);
        }
    }

    /// Ends a room that was made on entry and has no members (any more), but for those that only speak.
    pub(crate) fn end_if_unused(&self, channel: &Arc<Channel>, writes: &mut PendingWrites) {
        if !channel.room || channel.declared {
            return;
        }
        // Under the lock of all channels, so that nobody finds the room between check and end.
        let mut channels = lock(&self.channels);
        if !channel.end_if_unused() || self.remove(&mut channels, channel).is_none() {
            return;
        }
        channels.rooms_made -= 1;
        drop(channels);
        let silent = channel.end(Reason::ClosedByOwner, false, writes);
        count_members(&self.metrics, 0, silent);
    }

    /// Takes a channel out, if it is there. Gives the claim to its name, if there is one. It is released with no lock
    /// held.
    fn remove(&self, channels: &mut Channels, channel: &Arc<Channel>) -> Option<Option<Claimed>> {
        let known = channels.by_name.get(&channel.name)?;
        if !Arc::ptr_eq(known, channel) {
            return None;
        }
        channels.by_name.remove(&channel.name);
        self.metrics.channels.dec();
        Some(channels.claims.remove(&channel.name))
    }
}

impl fmt::Debug for Hub {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Hub").field("limits", &self.limits).finish_non_exhaustive()
    }
}

impl Connections {
    fn give_back(&mut self, address: Option<IpAddr>) {
        if let Some(address) = address
            && let Entry::Occupied(mut entry) = self.by_address.entry(address)
        {
            *entry.get_mut() -= 1;
            if *entry.get() == 0 {
                entry.remove();
            }
        }
    }
}

impl Admission {
    /// A proxy has told where the connection comes from: it is counted there from now on.
    ///
    /// # Errors
    /// [`Reason::TooManyConnections`] from that address, or it has no memory left. The connection is counted as
    /// before then.
    pub fn come_from(&mut self, address: Option<IpAddr>) -> Result<(), Reason> {
        let admitted = &mut *self.0;
        let hub = &admitted.hub;
        let known_by = hub.limits.known_by(address);
        let charge = match known_by == admitted.known_by {
            true => None,
            false => Some(hub.charge_connection(address)?),
        };
        let address = hub.counted(address);
        if address != admitted.address {
            let mut connections = lock(&hub.connections);
            hub.count_address(&mut connections, address)?;
            connections.give_back(admitted.address);
            admitted.address = address;
        }
        if let Some(charge) = charge {
            (admitted.known_by, admitted.charge) = (known_by, charge);
        }
        Ok(())
    }

    /// Charges what the connection holds besides itself, to who pays for that.
    ///
    /// # Errors
    /// [`Exhausted`] if there is no memory for it.
    pub fn hold(&self, purpose: Purpose, bytes: usize) -> Result<Charge, Exhausted> {
        self.0.charge.account().try_charge(purpose, bytes)
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut connections = lock(&self.hub.connections);
        connections.count -= 1;
        self.hub.metrics.connections.dec();
        connections.give_back(self.address);
    }
}
