//! The links that others open, and their receiver.

use super::Peer;
use super::link::{Core, NewLink, Terms, now};
use super::route::Route;
use crate::connection::Connection;
use crate::lock::lock;
use crate::{PeerInfo, Reason};
use crosspoint_hub::LinkNumber;
use crosspoint_proto::peer::Side;
use std::fmt;
use std::sync::{Arc, Mutex, Weak};
use tokio::sync::mpsc;

/// Links that may wait in [`Incoming`]. Above: ended with [`Reason::TooManyPending`].
const INCOMING_MAX: usize = 256;

/// Takes the links that others open to a node, over all its connections.
#[derive(Debug)]
pub(crate) struct Reception {
    terms: Arc<Terms>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// Leads to the receiver of links, if there is one.
    taker: Option<mpsc::Sender<Peer>>,
    connections: Vec<Weak<Connection>>,
    /// Links that were not given to anybody, and some that were, or have ended.
    unclaimed: Vec<Weak<Core>>,
    /// So many of them are looked through.
    tidy_at: usize,
}

impl Reception {
    pub(crate) fn new(terms: Arc<Terms>) -> Arc<Self> {
        Arc::new(Self { terms, state: Mutex::default() })
    }

    /// What holds for all links.
    pub(crate) fn terms(&self) -> &Arc<Terms> {
        &self.terms
    }

    /// A connection begins.
    pub(crate) fn connected(&self, connection: &Arc<Connection>) {
        let mut state = lock(&self.state);
        state.connections.retain(|known| known.strong_count() > 0);
        state.connections.push(Arc::downgrade(connection));
    }

    /// A connection has ended. After the last of them nothing comes in any more.
    pub(crate) fn disconnected(&self) {
        let mut state = lock(&self.state);
        let open = |connection: Arc<Connection>| !connection.has_ended();
        state.connections.retain(|known| known.upgrade().is_some_and(open));
        if state.connections.is_empty() {
            state.taker = None;
        }
    }

    /// Somebody takes links from now on, those that nobody has taken so far included.
    fn take(&self, taker: mpsc::Sender<Peer>) {
        let mut state = lock(&self.state);
        state.connections.retain(|known| known.strong_count() > 0);
        if !state.connections.is_empty() {
            state.taker = Some(taker);
        }
        for core in state.tidy() {
            let secure = {
                let mut link = core.state();
                link.attended = true;
                !core.encryption_required || link.security.remote().is_some()
            };
            if secure {
                state.deliver(&core);
            }
        }
    }

    /// Handles a link that a peer has opened over this route.
    pub(crate) fn arrived(
        self: &Arc<Self>,
        connection: &Arc<Connection>,
        link: LinkNumber,
        info: PeerInfo,
        route: Route,
    ) {
        let terms = &self.terms;
        let far = route.from.first().copied().unwrap_or(info.id);
        let encryption_required = match terms.encryption_required(&info, far, &route) {
            Ok(required) => required,
            Err(error) => {
                if let Some(unsaid) = terms.log.line(now()) {
                    tracing::warn!(%error, unsaid, "a link was refused");
                }
                return connection.refuse(link, Reason::Declined);
            }
        };
        let mut state = lock(&self.state);
        let attended = state.taker.is_some();
        let side = Side::Accepter;
        let new = NewLink { link, side, info, far, route, encryption_required, attended };
        let core = Core::new(connection, terms, new);
        connection.links.insert(link, core.clone());
        state.remember(&core);
        if !encryption_required {
            return state.deliver(&core);
        }
        drop(state);
        if let Err(error) = core.require_encryption() {
            if let Some(unsaid) = terms.log.line(now()) {
                tracing::warn!(peer = %core.far, %error, unsaid, "a link was refused");
            }
            return core.break_off(Reason::Unsupported);
        }
        let reception = self.clone();
        connection.commands.runtime().spawn(async move {
            // If it is not secure, it has ended.
            if core.secured().await.is_ok() {
                lock(&reception.state).deliver(&core);
            }
        });
    }
}

impl State {
    /// As many links are remembered before those are forgotten that need not be.
    const TIDY_LEAST: usize = 64;

    /// Keeps a link for a later receiver of links.
    fn remember(&mut self, core: &Arc<Core>) {
        if self.unclaimed.len() >= self.tidy_at.max(Self::TIDY_LEAST) {
            self.tidy_at = 2 * self.tidy().len();
        }
        self.unclaimed.push(Arc::downgrade(core));
    }

    /// Forgets links that were given to somebody, or have ended. Gives the others.
    fn tidy(&mut self) -> Vec<Arc<Core>> {
        let mut unclaimed: Vec<_> = self.unclaimed.iter().filter_map(Weak::upgrade).collect();
        unclaimed.retain(|core| {
            let link = core.state();
            !link.delivered && link.ended.is_none()
        });
        self.unclaimed = unclaimed.iter().map(Arc::downgrade).collect();
        unclaimed
    }

    /// Gives a link to the receiver of links. Without one, the link lives for the handlers.
    fn deliver(&self, core: &Arc<Core>) {
        let Some(taker) = &self.taker else {
            return;
        };
        let place = taker.try_reserve();
        let mut link = core.state();
        if std::mem::replace(&mut link.delivered, true) {
            return;
        }
        link.attended = place.is_ok();
        drop(link);
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
    _connection: Arc<Connection>,
}

impl Incoming {
    pub(crate) fn new(connection: &Arc<Connection>, reception: &Reception) -> Self {
        let (taker, links) = mpsc::channel(INCOMING_MAX);
        reception.take(taker);
        Self { links, _connection: connection.clone() }
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
