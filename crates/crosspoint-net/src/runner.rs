//! What all connections of a server share. How it runs sessions is in `driving`.

use crate::log_limit::Logs;
use crate::outlet::now;
use crate::parting::Parting;
use crosspoint_auth::Authenticator;
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::Wire;
use crosspoint_hub::{Hub, PeerId};
use std::fmt;
use std::sync::Arc;
use tokio_util::task::TaskTracker;

/// Runs the sessions of one server.
#[derive(Debug)]
pub struct Runner {
    pub(crate) hub: Arc<Hub>,
    /// The hub's name, for clients to be told.
    pub(crate) hub_name: String,
    /// The id by which answers to HTTP and protocols know the hub, if its own program has none.
    pub(crate) node_id: Option<PeerId>,
    /// Checks the credentials of sessions. Without one the hub's own access token and permissions hold.
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    /// The stop of the server, and how long ends may take. Each session has it.
    pub(crate) parting: Arc<Parting>,
    pub(crate) tasks: TaskTracker,
    /// For what any stranger can cause.
    pub(crate) logs: Arc<Logs>,
}

/// Both sides of a protocol, new for each session.
pub struct NewSession {
    /// How data is written. Inside a WebSocket it writes that around its frames
    /// ([`WebSocket`](crate::ws::wire::WebSocket)).
    pub wire: &'static dyn Wire,
    /// What is said, and understood.
    pub protocol: Box<dyn Protocol>,
    /// The largest frame of a WebSocket, in bytes, if the protocol has larger ones than
    /// [`Limits::frame_bytes_max`](crosspoint_hub::Limits::frame_bytes_max).
    pub websocket_frame_bytes_max: Option<usize>,
}

impl fmt::Debug for NewSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSession").field("profile", &self.wire.profile()).finish_non_exhaustive()
    }
}

impl Runner {
    /// For a hub without a name, and without an authenticator.
    pub(crate) fn new(hub: Arc<Hub>) -> Self {
        Self {
            hub,
            hub_name: String::new(),
            node_id: None,
            authenticator: None,
            parting: Arc::default(),
            tasks: TaskTracker::new(),
            logs: Arc::new(Logs::new(now())),
        }
    }

    /// The hub that is served.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }
}
