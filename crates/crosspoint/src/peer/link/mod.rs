//! One link as its handles, its handlers and its connection know it. The handles themselves are above it.
//!
//! All of them lock its state for a moment, never while they wait. A thread that has changed it sends
//! what there is to send, as far as there are places in the connection's queue; it is sealed at
//! that moment, under the lock, so that the order of sealing is the order of sending. Without a
//! place the link waits in the connection's backlog.

mod calls;
mod handlers;
mod inbox;
mod later;
mod requests;
mod security;
mod streams;
mod terms;

pub(crate) use calls::Served;
pub(crate) use handlers::{Call, Handler, Handlers};
pub(crate) use inbox::Item;
pub(crate) use later::Later;
#[cfg(feature = "socketio")]
pub(crate) use requests::Pending;
pub(crate) use requests::Question;
pub(crate) use security::Security;
pub(crate) use streams::StreamState;
pub(crate) use terms::Terms;

use super::error::{PeerError, RequestError};
use super::route::Route;
use crate::PeerInfo;
use crate::connection::{
    Charge, Commands, Connection, Facts, Flow, LinkEnd, Links, Slot, Source, Waiter,
};
use crate::lock::lock;
use crate::remote::{Calls, Objects};
use bytes::Bytes;
use crosspoint_hub::command::{Command, Target};
use crosspoint_hub::payload::Payload;
use crosspoint_hub::reassembly::Reassembly;
use crosspoint_hub::wire::{Part, Place};
use crosspoint_hub::{LinkNumber, PeerId, Reason};
use crosspoint_proto::peer::secure::{HANDSHAKE, SEALED};
use crosspoint_proto::peer::{Config, Machine, SendError, Side, StreamId, Time};
use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, Weak};
use std::time::{Instant, SystemTime, UNIX_EPOCH};
use tokio::sync::{Notify, Semaphore, oneshot};

/// What came of a request.
pub(crate) type Answer = Result<Payload, RequestError>;

pub(crate) struct Core {
    pub(crate) link: LinkNumber,
    pub(crate) side: Side,
    /// The peer at the other side of the link, as the hub states it.
    pub(crate) info: PeerInfo,
    /// The peer at its far end, after all peers that forward it.
    pub(crate) far: PeerId,
    pub(crate) route: Route,
    /// Nothing plain is sent or taken.
    pub(crate) encryption_required: bool,
    pub(crate) commands: Commands,
    facts: Arc<Facts>,
    pub(crate) terms: Arc<Terms>,
    connection: Weak<Connection>,
    links: Weak<Links>,
    /// The largest message that the hub takes.
    hub_bytes_max: u32,
    /// Requests of this side that may wait at a time.
    pub(crate) requests: Arc<Semaphore>,
    /// There is something to read, or the end.
    pub(crate) inbox: Notify,
    /// There is room to send again, or the end.
    pub(crate) room: Notify,
    /// The handshake is done, or the end.
    pub(crate) secured: Notify,
    pub(crate) over: Notify,
    pub(crate) calls: OnceLock<Calls>,
    pub(crate) objects: Mutex<Objects>,
    state: Mutex<State>,
}

/// What changes.
pub(crate) struct State {
    pub(super) machine: Machine,
    pub(super) security: Security,
    pub(super) inbox: VecDeque<Item>,
    /// How many of them, which are the first, have come in plain before the link was encrypted.
    pub(super) plain: usize,
    /// What the inbox and running handlers hold, in bytes.
    pub(super) held: usize,
    pub(super) answers: HashMap<u32, oneshot::Sender<Answer>>,
    pub(super) working: HashMap<u32, oneshot::Sender<()>>,
    pub(super) streams: HashMap<StreamId, StreamState>,
    pub(super) clocks: Vec<oneshot::Sender<Time>>,
    pub(super) handle: Weak<Handle>,
    /// The program has or had a handle. Otherwise only handlers answer.
    pub(super) attended: bool,
    /// It was given to the receiver of links.
    pub(super) delivered: bool,
    reassembly: Reassembly,
    /// What of the node's budget the other side has because of this link.
    charge: Charge,
    /// It waits in the connection's backlog.
    backlogged: bool,
    /// The hub has asked it to pause.
    paused: bool,
    /// It ends as soon as all is sent.
    pub(super) closing: bool,
    pub(super) ended: Option<Reason>,
}

/// What becomes of a connection's next link.
pub(crate) struct NewLink {
    pub(crate) link: LinkNumber,
    pub(crate) side: Side,
    pub(crate) info: PeerInfo,
    pub(crate) far: PeerId,
    pub(crate) route: Route,
    pub(crate) encryption_required: bool,
    pub(crate) attended: bool,
}

impl Core {
    /// A link of this connection. It is not among its links yet.
    pub(crate) fn new(connection: &Arc<Connection>, terms: &Arc<Terms>, new: NewLink) -> Arc<Self> {
        let NewLink { link, side, info, far, route, encryption_required, attended } = new;
        let hub_bytes_max = connection.facts.message_bytes_max();
        let defaults = Config::default();
        let config = Config {
            window_bytes: terms.options.stream_window,
            // What is sealed has to fit as well.
            message_bytes_max: defaults.message_bytes_max.min(plain_bytes_max(hub_bytes_max)),
            ..defaults
        };
        let machine = Machine::new(side, config);
        let largest = machine.config().message_bytes_max;
        let requests = Arc::new(Semaphore::new(machine.config().requests_out_max as usize));
        let state = State {
            machine,
            security: Security::default(),
            inbox: VecDeque::new(),
            plain: 0,
            held: 0,
            answers: HashMap::new(),
            working: HashMap::new(),
            streams: HashMap::new(),
            clocks: Vec::new(),
            handle: Weak::new(),
            attended,
            delivered: false,
            reassembly: Reassembly::default(),
            charge: Charge::new(&connection.pool.held, Source::Peer(info.id)),
            backlogged: false,
            paused: false,
            closing: false,
            ended: None,
        };
        Arc::new(Self {
            link,
            side,
            info,
            far,
            route,
            encryption_required,
            commands: connection.commands.clone(),
            facts: connection.facts.clone(),
            terms: terms.clone(),
            connection: Arc::downgrade(connection),
            links: Arc::downgrade(&connection.links),
            hub_bytes_max,
            requests,
            inbox: Notify::new(),
            room: Notify::new(),
            secured: Notify::new(),
            over: Notify::new(),
            calls: OnceLock::new(),
            objects: Mutex::new(Objects::with_max_payload(largest)),
            state: Mutex::new(state),
        })
    }

    /// The state, to look at or to change what sends nothing.
    pub(crate) fn state(&self) -> MutexGuard<'_, State> {
        lock(&self.state)
    }

    /// Changes the state, takes what the machine says to that, and sends what it wants to send.
    /// What would call others happens after the lock.
    pub(crate) fn with<T>(self: &Arc<Self>, act: impl FnOnce(&mut State, &mut Later) -> T) -> T {
        let mut later = Later::default();
        let result = {
            let mut state = self.state();
            let result = act(&mut state, &mut later);
            state.settle(self, &mut later);
            if !state.pay() {
                state.break_off(Reason::Exhausted, &mut later);
                state.pay();
            }
            result
        };
        later.run(self);
        result
    }

    /// Whether the hub wants nothing for the other side at present.
    fn is_paused(&self) -> bool {
        self.facts.pauses.is_paused(Target::Link(self.link))
    }

    /// Ends the link once everything is sent.
    pub(crate) fn close(self: &Arc<Self>) {
        self.with(|state, _| state.closing = true);
    }

    /// Ends the link at once.
    pub(crate) fn break_off(self: &Arc<Self>, reason: Reason) {
        self.with(|state, later| state.break_off(reason, later));
    }

    /// Takes the link out of its connection's list.
    fn forget(&self) {
        if let Some(links) = self.links.upgrade() {
            links.remove(self.link);
        }
    }

    /// Gives the machine something to send, as soon as it has room.
    pub(crate) async fn submit<T>(
        self: &Arc<Self>,
        mut act: impl FnMut(&mut State) -> Result<T, SendError>,
    ) -> Result<T, SubmitError> {
        loop {
            let mut room = std::pin::pin!(self.room.notified());
            room.as_mut().enable();
            let done = self.with(|state, _| match state.ended {
                Some(reason) => Err(SubmitError::Ended(reason)),
                None => Ok(act(state)),
            })?;
            match done {
                Ok(done) => return Ok(done),
                Err(SendError::Full) => room.await,
                Err(error) => return Err(SubmitError::Send(error)),
            }
        }
    }
}

impl LinkEnd for Core {
    fn receive(self: Arc<Self>, part: Part) -> Flow {
        self.with(|state, later| {
            if state.ended.is_none()
                && let Err(reason) = state.receive(&self, part, later)
            {
                state.break_off(reason, later);
            }
        });
        match self.state().is_crowded(&self) {
            true => Flow::Yield,
            false => Flow::Go,
        }
    }

    fn resumed(self: Arc<Self>) {
        self.with(|_, _| ());
    }

    fn ended(self: Arc<Self>, reason: Reason) {
        self.with(|state, later| state.end(reason, later));
    }
}

impl Waiter for Core {
    fn take_turn(self: Arc<Self>, slot: Slot<'_>) {
        self.with(|state, later| {
            state.backlogged = false;
            if state.ended.is_none() {
                state.send_next(&self, slot, later);
            }
        });
    }
}

/// Holds a link open, and its connection. All handles of the link share one.
pub(crate) struct Handle {
    pub(crate) core: Arc<Core>,
    /// The connection lasts as long as the link. None if it has ended.
    _connection: Option<Arc<Connection>>,
}

impl Handle {
    /// That of others, or a new one.
    pub(crate) fn of(core: &Arc<Core>) -> Arc<Self> {
        let mut state = core.state();
        if let Some(handle) = state.handle.upgrade() {
            return handle;
        }
        let handle = Arc::new(Self { core: core.clone(), _connection: core.connection.upgrade() });
        state.handle = Arc::downgrade(&handle);
        handle
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        let attended = self.core.state().attended;
        // Without somebody who takes links, they live for the handlers.
        if attended {
            self.core.close();
        }
    }
}

/// Why something was not sent.
#[derive(Debug)]
pub(crate) enum SubmitError {
    Ended(Reason),
    Send(SendError),
}

impl From<SubmitError> for RequestError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Ended(reason) => Self::PeerGone(reason),
            SubmitError::Send(error) => Self::Unsent(error.into()),
        }
    }
}

impl From<SubmitError> for PeerError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::Ended(reason) => Self::Closed(reason),
            SubmitError::Send(error) => error.into(),
        }
    }
}

/// No message of a handshake is larger.
const HANDSHAKE_BYTES_MAX: u32 = 65_535;

/// The largest message that fits sealed into what the hub takes.
fn plain_bytes_max(hub_bytes_max: u32) -> usize {
    // Each record of 65535 bytes has 17 that are not the message's; one more is the kind.
    let most = hub_bytes_max as usize;
    most.saturating_sub((most / 65_535 + 1) * 17 + 1)
}

/// This computer's clock, in microseconds since 1970. Here it comes in from outside.
pub(crate) fn clock_us() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_micros()).unwrap_or(u64::MAX)
}

/// The present time. Here it comes in from outside.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

impl State {
    /// Charges the other side with what is held because of it. Gives whether there is room for that.
    pub(super) fn pay(&mut self) -> bool {
        let held = self.reassembly.bytes() + self.held + self.machine.held_bytes();
        self.charge.set_bytes(held)
    }

    /// A message begins that is not whole. One that could not be taken is not gathered.
    fn begin(&mut self, core: &Core, part: &Part, later: &mut Later) -> Result<(), Reason> {
        match part.kind {
            HANDSHAKE if part.total > HANDSHAKE_BYTES_MAX => Err(Reason::Malformed),
            HANDSHAKE => Ok(()),
            SEALED if self.security.remote().is_some() => Ok(()),
            // Nothing comes of an empty one but the error, if there is any.
            kind => self.security.receive(core, kind, Bytes::new(), later).map(drop),
        }
    }

    fn receive(&mut self, core: &Arc<Core>, part: Part, later: &mut Later) -> Result<(), Reason> {
        if part.is_first() && !part.is_last() {
            self.begin(core, &part, later)?;
        }
        let place = Place::Link(core.link);
        let whole = self.reassembly.receive(place, part, core.hub_bytes_max)?;
        let Some((kind, body)) = whole else {
            return Ok(());
        };
        let was_plain = self.security.remote().is_none();
        let received = self.security.receive(core, kind, body, later)?;
        if was_plain && self.security.remote().is_some() {
            self.plain = self.inbox.len();
            self.streams.values_mut().for_each(StreamState::note_plain);
        }
        let Some((kind, body)) = received else {
            return Ok(());
        };
        let now = now();
        if self.machine.deadline().is_some_and(|deadline| deadline <= now) {
            self.machine.tick(now);
        }
        self.machine.receive(now, kind, body).map_err(|broken| {
            tracing::debug!(link = %core.link, %broken, "a peer broke the protocol");
            broken.into()
        })
    }

    /// Takes all events and sends all messages, until there are none.
    fn settle(&mut self, core: &Arc<Core>, later: &mut Later) {
        let mut sent = true;
        while sent && self.ended.is_none() {
            while let Some(event) = self.machine.poll() {
                self.take(core, event, later);
                if self.ended.is_some() {
                    return;
                }
            }
            sent = self.flush(core, later);
        }
        if self.closing && !self.backlogged && !self.paused && self.ended.is_none() {
            later.unlink(Reason::Left);
            self.end(Reason::Bye, later);
        }
    }

    /// Sends as far as there are places. Gives whether anything was sent.
    fn flush(&mut self, core: &Arc<Core>, later: &mut Later) -> bool {
        if self.backlogged {
            return false;
        }
        self.paused = core.is_paused();
        if self.paused {
            return false;
        }
        let Some(sender) = core.commands.hold() else {
            return false;
        };
        let mut sent = false;
        loop {
            let Some(slot) = core.commands.try_slot(&sender) else {
                self.backlogged = true;
                break;
            };
            if !self.send_next(core, slot, later) {
                return sent;
            }
            sent = true;
            self.paused = core.is_paused();
            if self.paused {
                return sent;
            }
        }
        core.commands.wait(core.clone(), sender);
        sent
    }

    /// Sends the next message, if there is one. Gives whether there was.
    fn send_next(&mut self, core: &Arc<Core>, slot: Slot<'_>, later: &mut Later) -> bool {
        let next = self.security.transmit(&mut self.machine, clock_us());
        let next = next.and_then(|next| match next {
            Some((_, body)) if body.len() > core.hub_bytes_max as usize => Err(Reason::TooLarge),
            next => Ok(next),
        });
        match next {
            Ok(Some((kind, body))) => {
                let bytes = body.len();
                let part = Part { kind, ..Part::whole(body) };
                slot.send(Command::Send { to: Target::Link(core.link), part }, bytes);
                true
            }
            Ok(None) => false,
            Err(reason) => {
                self.break_off(reason, later);
                false
            }
        }
    }

    /// Ends the link and tells the other side why.
    pub(super) fn break_off(&mut self, reason: Reason, later: &mut Later) {
        if self.ended.is_none() {
            later.unlink(reason);
            self.end(reason, later);
        }
    }

    /// The link has ended. What has arrived can still be read.
    pub(super) fn end(&mut self, reason: Reason, later: &mut Later) {
        if self.ended.is_some() {
            return;
        }
        self.ended = Some(reason);
        self.reassembly = Reassembly::default();
        self.security.end();
        for (_, answer) in self.answers.drain() {
            later.answer(answer, Err(RequestError::PeerGone(reason)));
        }
        for (_, cancel) in self.working.drain() {
            later.cancel(cancel);
        }
        for stream in self.streams.values_mut() {
            stream.wake_all(later);
        }
        later.drop_times(std::mem::take(&mut self.clocks));
        later.ended();
    }

    /// # Errors
    /// [`PeerError::Closed`] after the end.
    pub(super) fn check_open(&self) -> Result<(), PeerError> {
        self.ended.map_or(Ok(()), |reason| Err(PeerError::Closed(reason)))
    }

    /// Puts a message of typed calls into the queue.
    pub(super) fn typed(&mut self, kind: u8, body: Bytes) -> Result<(), SendError> {
        self.machine.typed(kind, body)
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Core")
            .field("link", &self.link)
            .field("side", &self.side)
            .field("peer", &self.info)
            .finish_non_exhaustive()
    }
}
