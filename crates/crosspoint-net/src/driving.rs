//! The life of a session from its opening to its last line in the log.

use crate::outlet::{Outlet, now};
use crate::panics::counted;
use crate::remote::Remote;
use crate::runner::{NewSession, Runner};
use crate::session::{Driver, Ended, SessionEnds};
use crate::stream::{Reader, Stream, Writer};
use crate::ws;
use crosspoint_auth::ClientCertificate;
use crosspoint_hub::Reason;
use crosspoint_hub::hub::Admission;
use crosspoint_hub::ledger::Account;
use crosspoint_hub::transport::Transport;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

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
    /// Who wants to hear at once that the session ends, where others carry it over connections of their own: they count
    /// the bytes that those bring.
    pub(crate) tell_end: Option<oneshot::Sender<SessionEnds>>,
    /// What carries the session's bytes to its client, if that is not the connection itself.
    pub(crate) transport: Option<Transport>,
}

impl Runner {
    /// Runs a session whose client is at the other end of a stream, in a task of its own. `address` is where
    /// that client is, and `admission` its right to be there ([`Hub::admit`](crosspoint_hub::Hub::admit)).
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
            transport: None,
        };
        self.run_carried(session, carrying, admission);
    }

    /// As [`run`](Self::run), with everything to choose. What is kept is dropped when the session has ended. Gives the
    /// account of the session.
    pub(crate) fn run_carried(
        self: &Arc<Self>,
        session: NewSession,
        carrying: Carrying,
        kept: impl Send + 'static,
    ) -> Arc<Account> {
        let (driver, runner) = (self.driver(session, carrying), self.clone());
        let account = driver.session.endpoint().account().clone();
        self.tasks.spawn(async move {
            runner.drive(driver).await;
            drop(kept);
        });
        account
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
            transport,
        } = carrying;
        if let (Some(websocket), Some(bytes)) = (&mut websocket, websocket_frame_bytes_max) {
            websocket.set_frame_bytes_max(bytes as u64);
        }
        let transport = transport.unwrap_or_else(|| writer.transport(websocket.is_some()));
        let outlet = Outlet::new(self.hub.clone(), writer);
        let compresses = websocket.as_ref().is_some_and(|websocket| websocket.deflates());
        let session = self.hub.open(now(), remote.ip(), wire, outlet.of_endpoint(compresses));
        session.endpoint().set_transport(transport);
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
        let Ended { reason, fault, exceeded, denied } = run.unwrap_or_else(|| {
            driver.session.close(Reason::Internal);
            Ended { reason: Reason::Internal, fault: None, exceeded: None, denied: false }
        });
        // Looked up here, as what is looked up before has a place in each session.
        let (id, address) = (driver.session.endpoint().id, driver.remote);
        let said_to_be = driver.session.said_to_be().cloned();
        drop(driver);
        let logs = &self.logs;
        let peer = said_to_be.as_ref().map(|peer| peer.id).map(tracing::field::display);
        let name = said_to_be.as_ref().and_then(|peer| peer.name.as_deref());
        let reason = reason.of_session();
        let debug = || {
            tracing::debug!(session = id, %address, peer, name, %reason, "session closed");
        };
        match reason.0 {
            _ if fault.is_some() => {
                if let Some(unsaid) = logs.faults.line(now()) {
                    tracing::info!(session = id, %address, peer, name, %reason, fault, unsaid, "session closed");
                }
            }
            _ if denied => debug(),
            Reason::ConnectionLost | Reason::Bye | Reason::HubStopping => debug(),
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
