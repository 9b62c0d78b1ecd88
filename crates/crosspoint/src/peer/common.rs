//! What all connections of one node have in common: its identity, its handlers, and who takes the
//! links that others open.

use super::core::{Core, NewLink, now};
use super::links::Entry;
use super::route::Route;
use super::{Peer, PeerError, forward};
use crate::budget::Budget;
use crate::node::NodeBuilder;
use crate::shared::{Shared, lock};
use crate::{PeerId, PeerInfo, Reason};
use crosspoint_hub::LinkNumber;
use crosspoint_hub::command::LinkCommand;
use crosspoint_net::log_limit::LogLimit;
use crosspoint_proto::peer::Side;
use std::fmt;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::mpsc;

/// Links that may wait in [`Incoming`]. Above: ended with [`Reason::TooManyPending`].
const INCOMING_MAX: usize = 256;

#[derive(Debug)]
pub(crate) struct Common {
    pub(crate) settings: NodeBuilder,
    /// Bytes of what others have sent.
    pub(crate) held: Arc<Budget>,
    /// Links that others have opened.
    pub(crate) incoming: Arc<Budget>,
    reception: Mutex<Reception>,
    dropped: AtomicU64,
    /// For what any peer can cause.
    pub(super) log: LogLimit,
}

#[derive(Debug, Default)]
struct Reception {
    /// Leads to the one who takes links, if there is one.
    taker: Option<mpsc::Sender<Peer>>,
    connections: Vec<Weak<Shared>>,
}

impl Common {
    pub(crate) fn new(settings: NodeBuilder) -> Arc<Self> {
        let (reception, dropped) = (Mutex::default(), AtomicU64::new(0));
        let held = Budget::new(settings.held_bytes);
        let incoming = Budget::new(settings.incoming_max);
        Arc::new(Self { settings, held, incoming, reception, dropped, log: LogLimit::new(now()) })
    }

    pub(crate) fn count_dropped(&self) {
        self.dropped.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }

    /// A connection begins.
    pub(crate) fn connected(&self, shared: &Arc<Shared>) {
        let mut reception = lock(&self.reception);
        reception.connections.retain(|known| known.strong_count() > 0);
        reception.connections.push(Arc::downgrade(shared));
    }

    /// A connection has ended. After the last of them nothing comes in any more.
    pub(crate) fn disconnected(&self) {
        let mut reception = lock(&self.reception);
        let open = |shared: Arc<Shared>| shared.closed.borrow().is_none();
        reception.connections.retain(|known| known.upgrade().is_some_and(open));
        if reception.connections.is_empty() {
            reception.taker = None;
        }
    }

    /// Somebody takes links from now on, those that nobody has taken so far included.
    fn take(&self, taker: mpsc::Sender<Peer>) {
        let mut reception = lock(&self.reception);
        reception.connections.retain(|known| known.strong_count() > 0);
        if !reception.connections.is_empty() {
            reception.taker = Some(taker);
        }
        let connections = reception.connections.iter().filter_map(Weak::upgrade);
        let cores = connections.flat_map(|shared| shared.links.cores()).collect::<Vec<_>>();
        for core in cores.iter().filter(|core| core.side == Side::Accepter) {
            let wanted = {
                let mut state = core.state();
                let secure = !core.encryption_required || state.security.remote().is_some();
                let wanted = !state.delivered && state.ended.is_none();
                state.attended |= wanted;
                wanted && secure
            };
            if wanted {
                reception.deliver(core);
            }
        }
    }

    /// Whether a link to or from the peer `far` has to be encrypted. `info` is what a hub says of the node next
    /// on the way, which is the peer itself if the route is empty.
    ///
    /// # Errors
    /// [`PeerError::NotPinned`]
    pub(crate) fn encryption_required(
        &self,
        info: &PeerInfo,
        far: PeerId,
        route: &Route,
    ) -> Result<bool, PeerError> {
        let pins = &self.settings.pins;
        let pinned = pins.check(info)?;
        let passed_on = !(route.via.is_empty() && route.from.is_empty());
        if pinned && !route.from.is_empty() {
            // The far end encrypts, so that this one's name would stand for somebody else's key.
            return Err(PeerError::PassedOnByPinned(info.clone()));
        }
        Ok(self.settings.require_encryption || pins.has(far) || (pinned && !passed_on))
    }

    /// Somebody has opened a link.
    pub(crate) fn arrived(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        link: LinkNumber,
        info: PeerInfo,
        purpose: &[u8],
    ) {
        let Ok(route) = Route::parse(purpose) else {
            let reason = Reason::Malformed;
            return shared.commands.post(LinkCommand::Close { link, reason });
        };
        if !route.via.is_empty() {
            return forward::begin(shared, link, info, route);
        }
        let far = route.from.first().copied().unwrap_or(info.id);
        let encryption_required = match self.encryption_required(&info, far, &route) {
            Ok(required) => required,
            Err(error) => {
                if let Some(unsaid) = self.log.line(now()) {
                    tracing::warn!(%error, unsaid, "a link was refused");
                }
                let reason = Reason::Declined;
                return shared.commands.post(LinkCommand::Close { link, reason });
            }
        };
        let reception = lock(&self.reception);
        let attended = reception.taker.is_some();
        let side = Side::Accepter;
        let new = NewLink { link, side, info, far, route, encryption_required, attended };
        let core = Core::new(shared, new);
        shared.links.insert(link, Entry::Peer(core.clone()));
        if !encryption_required {
            return reception.deliver(&core);
        }
        drop(reception);
        if let Err(error) = core.require_encryption() {
            if let Some(unsaid) = self.log.line(now()) {
                tracing::warn!(peer = %core.far, %error, unsaid, "a link was refused");
            }
            return core.break_off(Reason::Unsupported);
        }
        let common = self.clone();
        shared.commands.runtime().spawn(async move {
            // If it is not secure, it has ended.
            if core.secured().await.is_ok() {
                lock(&common.reception).deliver(&core);
            }
        });
    }
}

impl Reception {
    /// Gives a link to the one who takes links. Without one it lives for the handlers.
    fn deliver(&self, core: &Arc<Core>) {
        let Some(taker) = &self.taker else {
            return;
        };
        let place = taker.try_reserve();
        let mut state = core.state();
        if std::mem::replace(&mut state.delivered, true) {
            return;
        }
        state.attended = place.is_ok();
        drop(state);
        match place {
            Ok(place) => place.send(Peer::of(core)),
            Err(mpsc::error::TrySendError::Full(())) => core.break_off(Reason::TooManyPending),
            // Nobody takes links any more.
            Err(mpsc::error::TrySendError::Closed(())) => core.state().delivered = false,
        }
    }
}

/// The links that others open to this node, see [`Node::incoming`](crate::Node::incoming).
///
/// It keeps the connection open. 256 links may wait here; those above are ended with
/// [`TooManyPending`](Reason::TooManyPending).
pub struct Incoming {
    links: mpsc::Receiver<Peer>,
    _shared: Arc<Shared>,
}

impl Incoming {
    pub(crate) fn new(shared: &Arc<Shared>) -> Self {
        let (taker, links) = mpsc::channel(INCOMING_MAX);
        shared.common.take(taker);
        Self { links, _shared: shared.clone() }
    }

    /// The next peer that has opened a link. `None` when all connections of the node have ended,
    /// or when [`Node::incoming`](crate::Node::incoming) was called again. Cancelling it loses
    /// nothing.
    pub async fn next(&mut self) -> Option<Peer> {
        self.links.recv().await
    }
}

impl fmt::Debug for Incoming {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Incoming").finish_non_exhaustive()
    }
}
