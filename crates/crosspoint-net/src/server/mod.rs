//! Serves a hub: connections of any transport, and their lives.
//!
//! * `listen`: sockets, and the tasks that accept connections
//! * `opening`: from a connection's first byte until it is known which protocol it speaks

mod listen;
mod opening;

use crate::budgets;
use crate::gateway::Gateways;
use crate::gateways::standard;
use crate::http::{self, HttpOptions};
use crate::log_limit::LogLimit;
use crate::outlet::now;
use crate::panics::counted;
use crate::parting::{LINGER, Parting};
use crate::presence::teller;
use crate::reading::discard;
#[cfg(feature = "http")]
use crate::reading::read;
use crate::refusal::{Refusal, RefusedTls};
use crate::remote::Remote;
use crate::runner::Runner;
use crate::stream::{Reader, Stream, Writer};
use crate::tls::server::Tls;
use crosspoint_auth::Authenticator;
#[cfg(feature = "http")]
use crosspoint_hub::Limit;
use crosspoint_hub::hub::Admission;
use crosspoint_hub::metrics::ByReason;
use crosspoint_hub::{Hub, PeerId, Reason};
#[cfg(unix)]
pub use listen::{FileId, bind_unix};
pub use listen::{Listener, bind, bind_v6_only};
use opening::Led;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Semaphore;

/// How a server treats connections.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The hub's name, for clients to be told.
    pub name: String,
    /// The protocols that are served. [`standard`] are all that there are.
    pub gateways: Gateways,
    /// What is answered to HTTP.
    pub http: HttpOptions,
    /// Checks the credentials of sessions. Without one the hub's own access token and permissions
    /// hold.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// How TLS is served, on the same listeners, if it is.
    pub tls: Option<Tls>,
    /// How long a stop may take: until then sessions receive what waits for them, and close their sides. A
    /// session that ends by itself may take as long, and two seconds in any case.
    pub flush_max: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            gateways: standard(),
            http: HttpOptions::default(),
            authenticator: None,
            tls: None,
            flush_max: Duration::from_secs(5),
        }
    }
}

/// Serves a hub's connections, of any transport, until it is stopped. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Server(Arc<Shared>);

/// What is served to the connections of a listener.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Serves {
    /// Everything, with TLS and without, unless TLS is required.
    All,
    /// What comes inside TLS.
    Tls,
}

/// What all connections of a server share.
#[derive(Debug)]
struct Shared {
    runner: Arc<Runner>,
    gateways: Gateways,
    tls: Option<Tls>,
    sites: Sites,
    /// How many of those may still be told for whom there is no room.
    courtesies: Arc<Semaphore>,
}

/// What is answered to HTTP.
#[derive(Debug)]
struct Sites {
    public: http::Site,
    /// To those who come for the metrics.
    #[cfg(feature = "http")]
    metrics: http::Site,
}

/// Connections for which there is no room and that are told so at the same time; others are closed at once.
const COURTESIES_MAX: usize = 64;

/// How long such a connection may take to say what it is and to hear that.
const COURTESY: Duration = Duration::from_secs(1);

impl Server {
    /// A server for a hub. It needs a tokio runtime with I/O and time.
    pub fn new(hub: Arc<Hub>, options: ServerOptions) -> Self {
        let ServerOptions { name, gateways, mut http, authenticator, tls, flush_max } = options;
        if http.node_id.is_none() && gateways.iter().any(|gateway| gateway.needs_hub_id()) {
            // Without randomness there is no id, and protocols that need one are not served.
            http.node_id = PeerId::random().ok();
        }
        let node_id = http.node_id;
        if let Some(id) = node_id.filter(|_| hub.application_peer().is_none()) {
            hub.reserve_id(id);
        }
        let runner = Arc::new(Runner {
            hub_name: name,
            node_id,
            authenticator,
            parting: Arc::new(Parting::new(flush_max)),
            ..Runner::new(hub.clone())
        });
        let gateways = gateways.for_server(&runner);
        let sites = Sites {
            public: http::Site::new(&runner, &http, &gateways),
            #[cfg(feature = "http")]
            metrics: http::Site::for_metrics(&runner, &http),
        };
        let named = gateways.iter().filter(|gateway| gateway.has_sessions());
        let names: Vec<_> = named.map(|gateway| gateway.name()).collect();
        hub.metrics.know_protocols(&names);
        let courtesies = Arc::new(Semaphore::new(COURTESIES_MAX));
        Self(Arc::new(Shared { runner, gateways, tls, sites, courtesies }))
    }

    /// The hub that is served.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.0.runner.hub
    }

    /// Sees that large groups hear who comes and goes, and that budgets are kept.
    fn look_after_hub(&self) {
        let runner = self.0.runner.clone();
        let (Some(tell), Some(keep)) = (teller(&runner.hub), budgets::keeper(&runner.hub)) else {
            return;
        };
        self.spawn(async move {
            tokio::select! {
                // A hub that stops says so to each, and no more.
                () = runner.parting.stop.cancelled() => {}
                _panicked = counted(&runner.hub.metrics, tell) => {}
                _panicked = counted(&runner.hub.metrics, keep) => {}
            }
        });
    }

    fn spawn(&self, task: impl Future<Output = ()> + Send + 'static) {
        self.0.runner.tasks.spawn(task);
    }

    /// Serves one connection, in a task of its own.
    pub fn accept(&self, stream: Stream) {
        self.accept_as(stream, Serves::All);
    }

    /// Serves one connection if it speaks TLS, in a task of its own.
    fn accept_tls(&self, stream: Stream) {
        self.accept_as(stream, Serves::Tls);
    }

    fn accept_as(&self, stream: Stream, serves: Serves) {
        self.admit(stream, serves, |server, stream, remote, admission| {
            server.spawn(server.clone().keep(stream, serves, remote, admission));
        });
    }

    /// Serves one connection that comes for the metrics, in a task of its own.
    #[cfg(feature = "http")]
    fn accept_for_metrics(&self, stream: Stream) {
        self.admit(stream, Serves::All, |server, stream, remote, admission| {
            let owned = server.clone();
            server.spawn(async move {
                let serve = owned.serve_metrics(stream, remote, admission);
                // A panic is counted, and ends this connection alone.
                let _ = counted(&owned.hub().metrics, serve).await;
            });
        });
    }

    /// Lets a connection in if there is room for it, and tells it otherwise.
    fn admit(
        &self,
        stream: Stream,
        serves: Serves,
        serve: impl FnOnce(&Self, Stream, Remote, Admission),
    ) {
        let remote = Remote::of(&stream);
        match self.hub().admit(remote.ip()) {
            Ok(admission) => serve(self, stream, remote, admission),
            Err(reason) => self.turn_away(stream, serves, remote, reason),
        }
    }

    #[cfg(feature = "http")]
    async fn serve_metrics(&self, stream: Stream, remote: Remote, mut admission: Admission) {
        let Runner { hub, parting, .. } = &*self.0.runner;
        let (mut reader, writer) = stream.into_split();
        let first = tokio::select! {
            first = tokio::time::timeout(hub.limits.handshake_max, read(&mut reader)) => first,
            () = parting.stop.cancelled() => return,
        };
        let Ok(first) = first else { return hub.metrics.hit(Limit::Handshake) };
        let first = first.unwrap_or_default();
        if !first.is_empty() {
            let from = (remote, &mut admission);
            let (halves, parting) = ((reader, writer), self.0.runner.parting.clone());
            http::serve(&self.0.sites.metrics, halves, first, from, parting).await;
        }
    }

    /// Serves one connection to its end, also if that is a panic. A quiet connection costs the bytes of
    /// this future more than anything else.
    fn keep(
        self,
        stream: Stream,
        serves: Serves,
        address: Remote,
        admission: Admission,
    ) -> impl Future<Output = ()> + Send + 'static {
        let server = self.clone();
        // Boxed, as its state is larger than that of any session; and here, as an asynchronous function
        // keeps the place of its arguments to its end.
        let opening = Box::pin(async move {
            let led = server.open(stream, serves, address, admission).await;
            if let Led::Ended(reason) = &led {
                tracing::debug!(%address, %reason, "connection ended");
            }
            led
        });
        async move {
            // A panic is counted, and the panic hook has told of it.
            let _panicked = counted(&self.hub().metrics, self.serve(opening)).await;
        }
    }

    async fn serve(&self, opening: Pin<Box<impl Future<Output = Led>>>) {
        match opening.await {
            Led::Session(driver, admission) => {
                self.0.runner.drive(driver).await;
                drop(admission);
            }
            Led::Carried(carrier, connection) => {
                let address = Remote::new(connection.address);
                let reason = carrier.carry(*connection, self.0.runner.clone()).await;
                tracing::debug!(%address, %reason, "connection ended");
            }
            Led::Ended(_) => {}
        }
    }

    /// Stops: listeners close, every session is told and flushed. Returns when all have ended,
    /// which takes no longer than [`ServerOptions::flush_max`] and a little.
    pub async fn stop(&self) {
        let Runner { hub, parting, tasks, .. } = &*self.0.runner;
        parting.begin();
        // Sessions look for the stop when they are woken.
        hub.wake_sessions();
        tasks.close();
        tasks.wait().await;
    }

    /// Ends a connection that does not become a session, with a word if there is one. It is counted, and
    /// what was wrong with it is logged.
    async fn refuse(
        &self,
        (reader, writer): (&mut Reader, &Writer),
        remote: Remote,
        refusal: Refusal,
    ) -> Reason {
        let reason = self.note_refusal(remote, &refusal);
        if let Some(answer) = refusal.answer {
            self.0.runner.parting.wait(LINGER, part(reader, writer, &answer)).await;
        }
        reason
    }

    /// Counts a connection that does not become a session, and logs what was wrong with it.
    fn note_refusal(&self, remote: Remote, refusal: &Refusal) -> Reason {
        let Refusal { reason, fault, tls, .. } = refusal;
        let (reason, fault, logs) = (*reason, fault.as_deref(), &self.0.runner.logs);
        match tls {
            None => self.count_refused(remote, reason, fault, &logs.refused),
            Some(RefusedTls::Broken) => self.count_refused(remote, reason, fault, &logs.tls),
            Some(RefusedTls::NotServed) => {
                let refused = &self.hub().metrics.connections_refused;
                refused.get_or_create(&ByReason::tls_not_served()).inc();
                tracing::debug!(address = %remote, fault, "connection refused");
            }
        }
        reason
    }

    fn count_refused(&self, remote: Remote, reason: Reason, fault: Option<&str>, log: &LogLimit) {
        let label = ByReason { reason: reason.word() };
        self.hub().metrics.connections_refused.get_or_create(&label).inc();
        // That somebody says nothing, or goes, is nothing special on a port that strangers reach.
        if (fault.is_some() || reason == Reason::TooManyConnections)
            && let Some(unsaid) = log.line(now())
        {
            tracing::info!(address = %remote, %reason, fault, unsaid, "connection refused");
        }
    }

    /// Says to a connection for which there is no room that it should come back later. That costs as well,
    /// so it is for few and short.
    fn turn_away(&self, stream: Stream, serves: Serves, remote: Remote, reason: Reason) {
        let logs = &self.0.runner.logs;
        self.count_refused(remote, reason, None, &logs.refused);
        let Ok(place) = self.0.courtesies.clone().try_acquire_owned() else {
            return;
        };
        let server = self.clone();
        self.spawn(async move {
            let runner = &server.0.runner;
            let said = async {
                tokio::select! {
                    () = server.say_refused(stream, serves, remote, reason) => {}
                    () = tokio::time::sleep(COURTESY) => {}
                    () = runner.parting.stop.cancelled() => {}
                }
            };
            // Nobody hears more than nothing if it panics, which is counted.
            let _said = counted(&runner.hub.metrics, said).await;
            drop(place);
        });
    }
}

/// Writes a last answer and waits until the other side has read it: closing with bytes unread would take it
/// away again.
async fn part(reader: &mut Reader, writer: &Writer, answer: &[u8]) {
    if writer.write_all(answer).await.is_ok() {
        writer.shutdown();
        discard(reader).await;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory;
    use crosspoint_hub::HubOptions;

    #[tokio::test]
    async fn the_task_of_a_connection_is_small() {
        let server = Server::new(Hub::new(HubOptions::default()), ServerOptions::default());
        let (end, _far) = memory::pair(memory::Shape::default(), memory::Shape::default());
        let admission = server.hub().admit(None).expect("there is room");
        let task = server.keep(end.into(), Serves::All, Remote::default(), admission);
        let bytes = size_of_val(&task);
        assert!(bytes <= 912, "{bytes} bytes");
    }

    #[test]
    fn a_driver_is_small() {
        let bytes = size_of::<crate::session::Driver>();
        assert!(bytes <= 768, "{bytes} bytes");
    }
}
