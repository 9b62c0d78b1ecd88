//! Runs sessions: what all connections of a server share, and the life of a session from its opening to its
//! last line in the log.

use crate::log_limit::Logs;
use crate::outlet::{Outlet, now};
use crate::panics::counted;
use crate::parting::Parting;
use crate::remote::Remote;
use crate::session::{Driver, Ended, SessionEnds};
use crate::stream::{Reader, Stream, Writer};
use crate::ws;
use crosspoint_auth::{Authenticator, ClientCertificate};
use crosspoint_hub::hub::Admission;
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::Wire;
use crosspoint_hub::{Hub, PeerId, Reason};
use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;
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

/// A connection that carries a session, and what is known of it.
pub(crate) struct Carrying {
    pub(crate) remote: Remote,
    /// What the client has shown over TLS.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    pub(crate) halves: (Reader, Writer),
    /// Unwraps WebSocket frames, if the connection has them.
    pub(crate) websocket: Option<Box<ws::Connection>>,
    /// The least time for which the endpoint may take nothing, if that is more than
    /// [`Limits::outbox_stall_max`](crosspoint_hub::Limits::outbox_stall_max).
    pub(crate) stall_min: Duration,
    /// Who wants to hear at once that the session ends.
    pub(crate) tell_end: Option<oneshot::Sender<SessionEnds>>,
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

    /// Runs a session whose client is at the other end of a stream, in a task of its own. `address` is where
    /// that client is, and `admission` its right to be there ([`Hub::admit`]).
    ///
    /// For gateways that move bytes between a session and connections that come and go.
    pub fn run(
        self: &Arc<Self>,
        session: NewSession,
        stream: Stream,
        address: Option<SocketAddr>,
        admission: Admission,
    ) {
        let carrying = Carrying {
            remote: Remote::new(address),
            certificate: None,
            halves: stream.into_split(),
            websocket: None,
            stall_min: Duration::ZERO,
            tell_end: None,
        };
        let (driver, runner) = (self.driver(session, carrying), self.clone());
        self.tasks.spawn(async move {
            runner.drive(driver).await;
            drop(admission);
        });
    }

    /// Opens a session on a connection.
    pub(crate) fn driver(self: &Arc<Self>, session: NewSession, carrying: Carrying) -> Box<Driver> {
        let NewSession { wire, protocol, websocket_frame_bytes_max } = session;
        let Carrying {
            remote,
            certificate,
            halves: (reader, writer),
            mut websocket,
            stall_min,
            tell_end,
        } = carrying;
        if let (Some(websocket), Some(bytes)) = (&mut websocket, websocket_frame_bytes_max) {
            websocket.set_frame_bytes_max(bytes as u64);
        }
        let outlet = Outlet::new(self.hub.clone(), writer);
        let compresses = websocket.as_ref().is_some_and(|websocket| websocket.deflates());
        let session = self.hub.open(now(), remote.ip(), wire, outlet.of_endpoint(compresses));
        let id = session.endpoint().id;
        tracing::debug!(session = id, address = %remote, protocol = wire.profile().name, "session opened");
        Box::new(Driver {
            session,
            remote,
            protocol,
            outlet,
            reader,
            websocket,
            runner: self.clone(),
            stall_max: self.hub.limits.outbox_stall_max.max(stall_min),
            certificate,
            tell_end,
        })
    }

    /// Runs a session to its end. Boxed, as an asynchronous function that passes it on would hold it twice.
    pub(crate) async fn drive(&self, mut driver: Box<Driver>) {
        let run = counted(&self.hub.metrics, driver.run()).await;
        let Ended { reason, fault, exceeded } = run.unwrap_or_else(|| {
            driver.session.close(Reason::Internal);
            Ended { reason: Reason::Internal, fault: None, exceeded: None }
        });
        // Looked up here, as what is looked up before has a place in each session.
        let (endpoint, address) = (driver.session.endpoint().clone(), driver.remote);
        drop(driver);
        let (id, logs) = (endpoint.id, &self.logs);
        let peer = endpoint.peer().map(|peer| peer.id).map(tracing::field::display);
        let name = endpoint.peer().and_then(|peer| peer.name.as_deref());
        match reason {
            _ if fault.is_some() => {
                if let Some(unsaid) = logs.faults.line(now()) {
                    tracing::info!(session = id, %address, peer, name, %reason, fault, unsaid, "session closed");
                }
            }
            Reason::ConnectionLost | Reason::Bye | Reason::HubStopping => {
                tracing::debug!(session = id, %address, peer, name, %reason, "session closed");
            }
            _ => {
                if let Some(unsaid) = logs.closed.line(now()) {
                    let limit = exceeded.map(|exceeded| exceeded.limit.label());
                    let waited_bytes = exceeded.map(|exceeded| exceeded.waited);
                    tracing::warn!(session = id, %address, peer, name, %reason, limit, waited_bytes, unsaid, "session closed");
                }
            }
        }
    }
}
