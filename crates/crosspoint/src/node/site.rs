//! What a node has for each of its connections.

use super::host::Host;
use crate::PeerInfo;
use crate::connection::{Connection, Upper};
use crate::lock::lock;
use crate::peer::{self, Forward, Reception, Route};
use crosspoint_hub::{LinkNumber, Reason};
use std::sync::{Arc, Mutex, OnceLock};

/// What is above one connection of a node. It lasts as long as the connection.
#[derive(Debug)]
pub(super) struct Site {
    reception: Arc<Reception>,
    forwards: Mutex<Vec<Forward>>,
    /// The server whose only purpose is this node, if it listens.
    host: OnceLock<Host>,
}

impl Site {
    pub(super) fn new(reception: &Arc<Reception>) -> Arc<Self> {
        let (reception, forwards, host) = (reception.clone(), Mutex::default(), OnceLock::new());
        Arc::new(Self { reception, forwards, host })
    }

    /// Who takes links, over all connections of the node.
    pub(super) fn reception(&self) -> &Arc<Reception> {
        &self.reception
    }

    pub(super) fn host(&self) -> Option<&Host> {
        self.host.get()
    }

    /// Keeps a server for as long as the connection lasts. There is one.
    pub(super) fn set_host(&self, host: Host) {
        let known = self.host.set(host);
        debug_assert!(known.is_ok(), "the node was made a moment ago");
    }

    /// Passes links on from now on.
    pub(super) fn forward(&self, forward: Forward) {
        lock(&self.forwards).push(forward);
    }
}

impl Upper for Site {
    fn connected(&self, connection: &Arc<Connection>) {
        self.reception.connected(connection);
    }

    fn arrived(
        &self,
        connection: &Arc<Connection>,
        link: LinkNumber,
        info: PeerInfo,
        purpose: &[u8],
    ) {
        let Ok(route) = Route::parse(purpose) else {
            return connection.refuse(link, Reason::Malformed);
        };
        if route.via.is_empty() {
            return self.reception.arrived(connection, link, info, route);
        }
        let forwards = lock(&self.forwards).clone();
        let here = (connection, self.reception.terms());
        peer::pass_on(here, &forwards, link, info, route);
    }

    fn disconnected(&self) {
        self.reception.disconnected();
    }
}
