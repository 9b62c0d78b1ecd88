//! Listeners, and the life of a connection from its first byte.

use crate::budgets;
use crate::detect::{Spoken, detect, detect_in_websocket};
use crate::held::Held;
use crate::http::{self, HttpOptions};
use crate::log_limit::{LogLimit, Logs};
use crate::memory;
use crate::outlet::{Outlet, now};
use crate::panics::counted;
use crate::parting::{LINGER, Parting};
use crate::presence::teller;
use crate::proxy::preface;
use crate::refusal::{self, Refusal};
use crate::remote::Remote;
use crate::resume;
use crate::resume::hub::{Patience, Sessions};
use crate::resume::link::Link;
use crate::session::{Driver, Ended, FAR, SessionEnds, discard, read};
use crate::stream::{Reader, Stream, Writer};
use crate::ws::handshake::{self, RequestError};
use crate::ws::wire::WebSocket;
use crate::ws::{self, Incoming};
use bytes::{BufMut, BytesMut};
use crosspoint_auth::Authenticator;
use crosspoint_gateways::anysocket::{self, wire::AnySocketWire};
use crosspoint_gateways::peote;
use crosspoint_hub::hub::Admission;
use crosspoint_hub::metrics::ByReason;
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::Wire;
use crosspoint_hub::{Hub, Limit, PeerId, Reason};
use crosspoint_proto as native;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio::sync::{Semaphore, oneshot};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A JSON value as its text.
pub use crosspoint_gateways::anysocket::Json;

/// How a server treats connections.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The hub's name, told to native clients.
    pub name: String,
    /// Whether peote programs are served. They cannot present credentials, so unless it is said they
    /// are served only where nobody has to: without [an authenticator](Self::authenticator) and an
    /// access token. Served with an authenticator, they are checked by it like all others.
    pub peote: Option<bool>,
    /// How programs with AnySocket are served, if they are. The hub's id is that of its own program
    /// ([`Hub::home_peer`]), or else [`HttpOptions::node_id`], which is made up if there is none.
    pub anysocket: Option<AnySocketOptions>,
    /// What is answered to HTTP.
    pub http: HttpOptions,
    /// Checks the credentials of sessions. Without one the hub's own access token and permissions
    /// hold.
    pub authenticator: Option<Arc<dyn Authenticator>>,
    /// How sessions survive their connections (docs/resume.md). `None`: they do not.
    pub resume: Option<resume::Settings>,
    /// How long a stop may take: until then sessions receive what waits for them, and close their sides. A
    /// session that ends by itself may take as long, and two seconds in any case.
    pub flush_max: Duration,
}

/// What the hub is to programs with AnySocket.
#[derive(Clone, Default)]
pub struct AnySocketOptions {
    /// What the hub gives to the check of its clients (`onAuth`), if anything.
    pub auth: Option<Json>,
    /// Whether the hub begins to encrypt each connection by itself (docs/anysocket.md, section 8).
    /// Otherwise clients do, or the hub's program ([`Hub::secure`]).
    pub encrypt: bool,
}

impl fmt::Debug for AnySocketOptions {
    /// Without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { auth, encrypt } = self;
        f.debug_struct("AnySocketOptions")
            .field("auth", &auth.as_ref().map(|_| "***"))
            .field("encrypt", encrypt)
            .finish()
    }
}

impl Default for ServerOptions {
    fn default() -> Self {
        let http = HttpOptions::default();
        let flush_max = Duration::from_secs(5);
        let resume = Some(resume::Settings::default());
        Self {
            name: String::new(),
            peote: None,
            anysocket: Some(AnySocketOptions::default()),
            http,
            authenticator: None,
            resume,
            flush_max,
        }
    }
}

/// Serves a hub's connections, of any transport, until it is stopped.
#[derive(Debug, Clone)]
pub struct Server {
    pub(crate) hub: Arc<Hub>,
    pub(crate) options: Arc<ServerOptions>,
    sites: Arc<Sites>,
    /// Sessions that can be resumed, if that is served.
    pub(crate) resume: Option<Sessions>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// For what any stranger can cause.
    pub(crate) logs: Arc<Logs>,
    /// How many of those may still be told for whom there is no room.
    courtesies: Arc<Semaphore>,
}

/// What is answered to HTTP.
#[derive(Debug)]
struct Sites {
    public: http::Site,
    /// To those who come for the metrics.
    metrics: http::Site,
}

/// The protocols that sessions speak, as metrics name them.
const PROTOCOLS: [&str; 3] = ["native", "peote", "anysocket"];

/// Connections for which there is no room and that are told so at the same time; others are closed at once.
const COURTESIES_MAX: usize = 64;

/// How long such a connection may take to say what it is and to hear that.
const COURTESY: Duration = Duration::from_secs(1);

/// Connections that the system keeps ready to be accepted.
const BACKLOG: i32 = 4096;

/// When a connection over which nothing is said is probed, so that one whose other side has
/// vanished without a word is noticed in two minutes.
const KEEPALIVE: TcpKeepalive = TcpKeepalive::new()
    .with_time(Duration::from_secs(60))
    .with_interval(Duration::from_secs(15))
    .with_retries(4);

/// Pause after the system could give no connection, most often for lack of file descriptors.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// Opens a listening socket. One at `[::]` takes IPv4 too.
///
/// # Errors
/// The system's, most often that the address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    listener(address, false)
}

/// As [`bind`], but at `[::]` for IPv6 alone, so that another socket can have IPv4 at the same port.
///
/// # Errors
/// As [`bind`].
pub fn bind_v6_only(address: SocketAddr) -> io::Result<TcpListener> {
    listener(address, true)
}

fn listener(address: SocketAddr, v6_only: bool) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    if address.is_ipv6() {
        socket.set_only_v6(v6_only)?;
    }
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Server {
    /// A server for a hub. It needs a tokio runtime with I/O and time.
    pub fn new(hub: Arc<Hub>, mut options: ServerOptions) -> Self {
        if options.anysocket.is_some() && options.http.node_id.is_none() {
            // Without randomness there is no id, and programs with AnySocket are not served.
            options.http.node_id = PeerId::random().ok();
        }
        if let Some(id) = options.http.node_id.filter(|_| hub.home_peer().is_none()) {
            hub.reserve_id(id);
        }
        let resume = options.resume.as_ref().map(|resume| Sessions::new(resume, &hub.limits));
        let options = Arc::new(options);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let logs = Arc::new(Logs::new(now()));
        let sites = Arc::new(Sites {
            public: http::Site::new(&hub, &options.http, &stop, &logs),
            metrics: http::Site::for_metrics(&hub, &options.http, &stop, &logs),
        });
        hub.metrics.know_protocols(&PROTOCOLS);
        let courtesies = Arc::new(Semaphore::new(COURTESIES_MAX));
        Self { hub, options, sites, resume, stop, tasks, logs, courtesies }
    }

    /// The hub that is served.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Sees that large groups hear who comes and goes, and that budgets are kept.
    fn look_after_hub(&self) {
        let (Some(tell), Some(keep)) = (teller(&self.hub), budgets::keeper(&self.hub)) else {
            return;
        };
        let server = self.clone();
        self.tasks.spawn(async move {
            tokio::select! {
                // A hub that stops says so to each, and no more.
                () = server.stop.cancelled() => {}
                _panicked = counted(&server.hub.metrics, tell) => {}
                _panicked = counted(&server.hub.metrics, keep) => {}
            }
        });
    }

    /// Accepts connections of a listener, in a task of its own.
    pub fn listen(&self, listener: TcpListener) {
        self.listen_with(listener, Self::accept);
    }

    /// Accepts connections of a listener to which `/metrics`, `/health` and `/ready` are answered and nothing else
    /// is served, in a task of its own.
    pub fn listen_for_metrics(&self, listener: TcpListener) {
        self.listen_with(listener, Self::accept_for_metrics);
    }

    fn listen_with(&self, listener: TcpListener, accept: fn(&Self, Stream)) {
        self.look_after_hub();
        let server = self.clone();
        self.tasks.spawn(async move {
            // A panic ends one turn of the loop, and not the listener.
            while counted(&server.hub.metrics, server.accept_all(&listener, accept)).await.is_none()
            {
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        });
    }

    /// Accepts connections until the server stops.
    async fn accept_all(&self, listener: &TcpListener, accept: fn(&Self, Stream)) {
        loop {
            let accepted = tokio::select! {
                () = self.stop.cancelled() => return,
                accepted = listener.accept() => accepted,
            };
            match accepted {
                Ok((stream, _)) => {
                    let socket = SockRef::from(&stream);
                    // A connection that is gone already cannot be set up, and ends at its first read.
                    let _ = socket.set_tcp_nodelay(true);
                    let _ = socket.set_tcp_keepalive(&KEEPALIVE);
                    accept(self, stream.into());
                }
                Err(error) if is_of_the_connection(&error) => {}
                Err(error) => {
                    self.hub.metrics.accepts_failed.inc();
                    if let Some(unsaid) = self.logs.accepts.line(now()) {
                        tracing::warn!(%error, unsaid, "no connection could be accepted; raise the limit of open files");
                    }
                    tokio::time::sleep(ACCEPT_PAUSE).await;
                }
            }
        }
    }

    /// Accepts connections from inside the program, in a task of its own.
    pub fn listen_memory(&self, mut acceptor: memory::Acceptor) {
        self.look_after_hub();
        let server = self.clone();
        self.tasks.spawn(async move {
            let server = &server;
            let mut accept_all = async || {
                loop {
                    tokio::select! {
                        () = server.stop.cancelled() => return,
                        accepted = acceptor.accept() => match accepted {
                            Some(end) => server.accept(end.into()),
                            None => return,
                        },
                    }
                }
            };
            while counted(&server.hub.metrics, accept_all()).await.is_none() {}
        });
    }

    /// Serves one connection, in a task of its own.
    pub fn accept(&self, stream: Stream) {
        let address = Remote::new(stream.peer_address());
        let admission = match self.hub.admit(address.ip()) {
            Ok(admission) => admission,
            Err(reason) => return self.turn_away(stream, address, reason),
        };
        self.tasks.spawn(self.clone().keep(stream, address, admission));
    }

    /// Serves one connection that comes for the metrics, in a task of its own.
    fn accept_for_metrics(&self, stream: Stream) {
        let remote = Remote::new(stream.peer_address());
        let admission = match self.hub.admit(remote.ip()) {
            Ok(admission) => admission,
            Err(reason) => return self.turn_away(stream, remote, reason),
        };
        let server = self.clone();
        self.tasks.spawn(async move {
            // A panic is counted, and ends this connection alone.
            let _ =
                counted(&server.hub.metrics, server.serve_metrics(stream, remote, admission)).await;
        });
    }

    async fn serve_metrics(&self, stream: Stream, remote: Remote, mut admission: Admission) {
        let (mut reader, writer) = stream.into_split();
        let first = tokio::select! {
            first = tokio::time::timeout(self.hub.limits.handshake_max, read(&mut reader)) => first,
            () = self.stop.cancelled() => return,
        };
        let Ok(first) = first else { return self.hub.metrics.hit(Limit::Handshake) };
        let first = first.unwrap_or_default();
        if !first.is_empty() {
            let from = (remote, &mut admission);
            let halves = (reader, writer);
            http::serve(&self.sites.metrics, halves, first, from, self.parting()).await;
        }
    }

    /// Serves one connection to its end, also if that is a panic. A quiet connection costs the bytes of
    /// this future more than anything else.
    async fn keep(self, stream: Stream, address: Remote, admission: Admission) {
        let reason = counted(&self.hub.metrics, self.serve(stream, address, admission)).await;
        let reason = reason.unwrap_or(Reason::Internal);
        tracing::debug!(%address, %reason, "connection ended");
    }

    /// Stops: listeners close, every session is told and flushed. Returns when all have ended,
    /// which takes no longer than [`ServerOptions::flush_max`] and a little.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// How long those may take who have to go.
    pub(crate) fn parting(&self) -> Parting {
        Parting { stop: self.stop.clone(), flush_max: self.options.flush_max }
    }

    /// Serves one connection. Its right to be there is kept until that ends.
    async fn serve(&self, stream: Stream, mut remote: Remote, mut admission: Admission) -> Reason {
        let (mut reader, mut writer) = stream.into_split();
        // Boxed, as its state is larger than that of any session.
        let handshake = Box::pin(async {
            let first = preface(&self.hub, &mut reader, &mut remote, &mut admission).await?;
            let whence = (&mut remote, Some(&mut admission));
            self.handshake(&mut reader, &writer, first, whence).await
        });
        let limit = self.hub.limits.handshake_max;
        let shaken = tokio::select! {
            shaken = tokio::time::timeout(limit, handshake) => shaken,
            () = self.stop.cancelled() => return Reason::HubStopping,
        };
        let shaken = shaken.unwrap_or_else(|_elapsed| {
            self.hub.metrics.hit(Limit::Handshake);
            Err(Refusal::silent(Reason::HandshakeTimeout))
        });
        let first = match shaken {
            Ok(Shaken::Spoken(spoken, words)) => {
                Ok(FirstWords { spoken, decoder: None, words, message_ended: false })
            }
            Ok(Shaken::Upgraded(bytes)) => {
                Box::pin(self.first_words(&mut reader, &writer, bytes, remote)).await
            }
            Ok(Shaken::Request(request)) => {
                let halves = (reader, writer);
                let from = (remote, &mut admission);
                let served = http::serve(&self.sites.public, halves, request, from, self.parting());
                // Boxed, as its state is larger than that of any session.
                match Box::pin(served).await {
                    http::Outcome::Ended(reason) => return reason,
                    http::Outcome::Upgraded(read_half, write_half, bytes, from) => {
                        (reader, writer, remote) = (read_half, write_half, from);
                        Box::pin(self.first_words(&mut reader, &writer, bytes, remote)).await
                    }
                }
            }
            Err(refusal) => Err(refusal),
        };
        let FirstWords { spoken, decoder, words: first, message_ended } = match first {
            Ok(first) => first,
            Err(refusal) => {
                return Box::pin(self.refuse((&mut reader, &writer), remote, refusal)).await;
            }
        };
        if spoken == Spoken::Resumable && self.resume.is_some() {
            let link = Link::accepted((reader, writer), decoder, first.freeze(), admission);
            // Boxed, as its state is larger than that of any session.
            return Box::pin(self.resumable(link, remote)).await;
        }
        let Some(protocol) = self.protocol(spoken, decoder.is_some()) else {
            let refusal = Refusal::unknown(spoken, &first, decoder.is_some());
            drop((first, decoder));
            return Box::pin(self.refuse((&mut reader, &writer), remote, refusal)).await;
        };
        let driver = self.driver(remote, protocol, (reader, writer), decoder);
        Self::drive(driver, first, message_ended).await
    }

    /// Opens a session on a connection.
    fn driver(
        &self,
        remote: Remote,
        (wire, protocol): (&'static dyn Wire, Box<dyn Protocol>),
        (reader, writer): (Reader, Writer),
        decoder: Option<Box<ws::Decoder>>,
    ) -> Box<Driver> {
        let outlet = Outlet::new(self.hub.clone(), writer);
        let session = self.hub.open(now(), remote.ip(), wire, Box::new(outlet.clone()));
        let id = session.outbox().id;
        tracing::debug!(session = id, address = %remote, protocol = wire.profile().name, "session opened");
        let parting = self.parting();
        let (authenticator, logs) = (self.options.authenticator.clone(), self.logs.clone());
        let stall_max = self.hub.limits.outbox_stall_max;
        Box::new(Driver {
            session,
            remote,
            protocol,
            outlet,
            reader,
            decoder,
            parting,
            stall_max,
            authenticator,
            logs,
            tell_end: None,
        })
    }

    /// Opens a native session on a way inside the program, for an endpoint that is at an address and
    /// may be away for a while.
    pub(crate) fn resumable_driver(
        &self,
        remote: Remote,
        way: Stream,
        Patience { away_max, stall_min }: Patience,
        tell_end: oneshot::Sender<SessionEnds>,
    ) -> Box<Driver> {
        let protocol = self.native(away_max);
        let protocol = (&native::WIRE as &'static dyn Wire, Box::new(protocol) as Box<_>);
        let mut driver = self.driver(remote, protocol, way.into_split(), None);
        driver.stall_max = driver.stall_max.max(stall_min);
        driver.tell_end = Some(tell_end);
        driver
    }

    /// Runs a session to its end. Boxed, as an asynchronous function that passes it on would hold it twice.
    pub(crate) async fn drive(driver: Box<Driver>, first: BytesMut, message_ended: bool) -> Reason {
        let (id, address, logs) = (driver.session.outbox().id, driver.remote, driver.logs.clone());
        let hub = driver.session.hub().clone();
        let outbox = driver.session.outbox().clone();
        let run = counted(&hub.metrics, driver.run(first, message_ended)).await;
        let panicked = Ended { reason: Reason::Internal, fault: None, exceeded: None };
        let Ended { reason, fault, exceeded } = run.unwrap_or(panicked);
        let peer = outbox.peer().map(|peer| peer.id).map(tracing::field::display);
        let name = outbox.peer().and_then(|peer| peer.name.as_deref());
        match reason {
            _ if fault.is_some() => {
                if let Some(unsaid) = logs.faults.line(now()) {
                    tracing::info!(session = id, %address, peer, name, %reason, fault, unsaid, "session closed");
                }
            }
            Reason::ConnectionLost | Reason::Bye | Reason::HubStopping => {
                tracing::debug!(session = id, peer, name, %reason, "session closed");
            }
            _ => {
                if let Some(unsaid) = logs.closed.line(now()) {
                    let limit = exceeded.map(|exceeded| exceeded.limit.label());
                    let waited_bytes = exceeded.map(|exceeded| exceeded.waited);
                    tracing::warn!(session = id, %address, peer, name, %reason, limit, waited_bytes, unsaid, "session closed");
                }
            }
        }
        reason
    }

    /// Whether peote programs are served now.
    fn serves_peote(&self) -> bool {
        let asks = || self.options.authenticator.is_some() || self.hub.asks_for_token();
        self.options.peote.unwrap_or_else(|| !asks())
    }

    fn native(&self, away_max: Duration) -> native::server::Native {
        // Without randomness no key can be proven; clients that show none are served.
        let mut random = [0; 32];
        let random = getrandom::fill(&mut random).is_ok().then_some(random);
        let (hub, home) = (self.options.name.clone(), self.hub.home_peer());
        let limits = self.hub.limits.clone();
        let options = native::server::Options { limits, hub, home, away_max, random };
        native::server::Native::new(now(), options)
    }

    fn protocol(
        &self,
        spoken: Spoken,
        websocket: bool,
    ) -> Option<(&'static dyn Wire, Box<dyn Protocol>)> {
        match spoken {
            Spoken::Native => {
                let protocol = self.native(Duration::ZERO);
                let wire: &'static dyn Wire =
                    if websocket { &NATIVE_WEBSOCKET } else { &native::WIRE };
                Some((wire, Box::new(protocol)))
            }
            Spoken::Joint if self.serves_peote() => {
                let wire: &'static dyn Wire =
                    if websocket { &JOINT_WEBSOCKET } else { &peote::WIRE };
                Some((wire, Box::new(peote::server::Joint::new())))
            }
            Spoken::AnySocket => {
                let protocol = self.anysocket()?;
                Some((&ANYSOCKET_WEBSOCKET, Box::new(protocol)))
            }
            Spoken::Joint
            | Spoken::Panda3d
            | Spoken::Http
            | Spoken::Tls
            | Spoken::Resumable
            | Spoken::Unknown => None,
        }
    }

    fn anysocket(&self) -> Option<anysocket::server::AnySocket> {
        let AnySocketOptions { auth, encrypt } = self.options.anysocket.clone()?;
        let id = self.hub.home_peer().or(self.options.http.node_id)?;
        let options = anysocket::server::Options {
            id,
            auth,
            limits: self.hub.limits.clone(),
            clock: clock_ms,
            guard_races: true,
            encrypt,
        };
        Some(anysocket::server::AnySocket::new(now(), options))
    }

    /// Reads until it is known what the connection speaks, and answers upgrades. `first` was read before.
    /// Where the connection comes from, and where it is counted if it is, may change with an upgrade.
    ///
    /// # Errors
    /// Why it ends, and what is to be said before.
    async fn handshake(
        &self,
        reader: &mut Reader,
        writer: &Writer,
        mut first: BytesMut,
        (remote, mut admission): (&mut Remote, Option<&mut Admission>),
    ) -> Result<Shaken, Refusal> {
        let mut bytes = BytesMut::new();
        let mut spoken = None;
        let mut begun = None;
        let mut until = now() + FAR;
        let mut held = Held::new(&self.hub, *remote);
        loop {
            let more = match first.is_empty() {
                true => tokio::time::timeout_at(until.into(), read(reader)).await,
                false => Ok(Ok(std::mem::take(&mut first))),
            };
            let Ok(more) = more else {
                self.hub.metrics.hit(self.sites.public.head_max().1);
                return Err(Refusal::silent(Reason::HandshakeTimeout));
            };
            let more = more.unwrap_or_default();
            if more.is_empty() {
                return Err(Refusal::LOST);
            }
            let begun = *begun.get_or_insert_with(now);
            let line_ended = more.contains(&b'\n');
            bytes.unsplit(more);
            held.settle(bytes.capacity())
                .map_err(|reason| Refusal::answered(reason, refusal::later(reason)))?;
            spoken = spoken.or_else(|| detect(&bytes));
            match spoken {
                None => {}
                Some(Spoken::Http) => {
                    until = begun + self.sites.public.head_max().0;
                    // Looking at a head again for each of its bytes would be slow.
                    if (line_ended || bytes.len() > handshake::HEAD_BYTES_MAX)
                        && let Some(shaken) = self
                            .request(&mut bytes, writer, (&mut *remote, admission.as_deref_mut()))
                            .await?
                    {
                        return Ok(shaken);
                    }
                }
                Some(spoken) => {
                    return Ok(Shaken::Spoken(spoken, bytes));
                }
            }
        }
    }

    /// Looks at the first request, if its head is there whole. An upgrade is answered.
    async fn request(
        &self,
        bytes: &mut BytesMut,
        writer: &Writer,
        (remote, admission): (&mut Remote, Option<&mut Admission>),
    ) -> Result<Option<Shaken>, Refusal> {
        let wrong = |error: RequestError| {
            Refusal::answered(Reason::Malformed, error.answer()).because(error)
        };
        let Some((request, length)) = handshake::parse_request(bytes).map_err(wrong)? else {
            return Ok(None);
        };
        let Some(upgrade) = &request.upgrade else {
            return Ok(Some(Shaken::Request(bytes.split())));
        };
        let has_origin = request.origin.is_some();
        // Where it has found this machine matters for web pages alone.
        let here = has_origin.then(|| writer.local_address()).flatten();
        let (head, from) = (&bytes[..length], (*remote, here));
        let verdict = self.sites.public.first_upgrade(upgrade, has_origin, head, from);
        let verdict = match admission {
            Some(admission) => http::counted(verdict, admission),
            None => verdict,
        };
        let (answer, from) =
            verdict.map_err(|(reason, answer)| Refusal::answered(reason, answer))?;
        *remote = from;
        match writer.write_all(&answer).await {
            Ok(()) => Ok(Some(Shaken::Upgraded(bytes.split_off(length)))),
            Err(_lost) => Err(Refusal::LOST),
        }
    }

    /// How long a client may be silent inside a WebSocket. Those of peote may take their time (docs/peote.md,
    /// section 3.5); those of all others speak at once.
    fn silence_max(&self) -> (Duration, Limit) {
        let limits = &self.hub.limits;
        match self.serves_peote() {
            true => (limits.first_words_max, Limit::FirstWords),
            false => (limits.handshake_max, Limit::Handshake),
        }
    }

    /// Waits for the first bytes inside a WebSocket.
    ///
    /// # Errors
    /// Why it ends, and what is to be said before.
    async fn first_words(
        &self,
        reader: &mut Reader,
        writer: &Writer,
        first: BytesMut,
        remote: Remote,
    ) -> Result<FirstWords, Refusal> {
        tokio::select! {
            first = self.words(reader, writer, first, remote) => first,
            () = self.stop.cancelled() => {
                Err(Refusal::in_websocket(Reason::HubStopping, ws::CloseCode::GOING_AWAY, None))
            }
            () = sleep_for(self.hub.limits.idle_max) => {
                self.hub.metrics.hit(Limit::Idle);
                Err(Refusal::in_websocket(Reason::IdleTimeout, ws::CloseCode::POLICY, None))
            }
        }
    }

    async fn words(
        &self,
        reader: &mut Reader,
        writer: &Writer,
        first: BytesMut,
        remote: Remote,
    ) -> Result<FirstWords, Refusal> {
        let frame_bytes_max = self.hub.limits.frame_bytes_max as u64;
        // Peote's html5 client, and others of that age, do not keep to the letter of the standard.
        let settings = ws::Settings {
            frame_bytes_max: frame_bytes_max.max(WEBSOCKET_FRAME_BYTES),
            lenient: true,
        };
        let mut decoder = Box::new(ws::Decoder::new(ws::Role::Server, settings));
        let mut words = BytesMut::new();
        let mut held = Held::new(&self.hub, remote);
        let (silence_max, mut limit) = self.silence_max();
        let mut until = now() + silence_max;
        decoder.receive(first);
        loop {
            let answer = match decoder.decode() {
                Ok(Some(Incoming::Data { kind, bytes, message_fin: message_ended, .. })) => {
                    if words.is_empty() && !bytes.is_empty() {
                        // A client that has begun to speak goes on at once.
                        (until, limit) = (now() + self.hub.limits.handshake_max, Limit::Handshake);
                    }
                    words.put(bytes);
                    let text = kind == ws::MessageKind::Text;
                    match detect_in_websocket(&words, text) {
                        Some(spoken) => {
                            if spoken == Spoken::AnySocket {
                                // Its largest pieces are larger than other protocols' frames.
                                decoder.set_frame_bytes_max(
                                    anysocket::server::MESSAGE_BYTES_MAX as u64,
                                );
                            }
                            let decoder = Some(decoder);
                            return Ok(FirstWords { spoken, decoder, words, message_ended });
                        }
                        None => continue,
                    }
                }
                Ok(Some(Incoming::Ping(payload))) => Some(ws::frame::pong_frame(&payload, None)),
                Ok(Some(Incoming::Pong(_))) => continue,
                Ok(Some(Incoming::Close(_))) => {
                    let code = ws::CloseCode::NORMAL;
                    return Err(Refusal::in_websocket(Reason::Bye, code, None));
                }
                Ok(None) => {
                    held.settle(words.capacity() + decoder.buffered()).map_err(|reason| {
                        Refusal::in_websocket(reason, ws::CloseCode::TRY_AGAIN, None)
                    })?;
                    None
                }
                Err(error) => {
                    let (code, fault) = (error.close_code(), Some(error.to_string()));
                    return Err(Refusal::in_websocket(Reason::Malformed, code, fault));
                }
            };
            let moved = async {
                match answer {
                    Some(answer) => writer.write_all(&answer).await.is_ok(),
                    None => {
                        let more = read(reader).await.unwrap_or_default();
                        let any = !more.is_empty();
                        decoder.receive(more);
                        any
                    }
                }
            };
            // A client that sends pings without end is always ready to be read.
            match tokio::time::timeout_at(until.into(), moved).await {
                Ok(true) if now() < until => {}
                Ok(false) => return Err(Refusal::LOST),
                Ok(true) | Err(_) => {
                    self.hub.metrics.hit(limit);
                    let (reason, code) = (Reason::HandshakeTimeout, ws::CloseCode::POLICY);
                    return Err(Refusal::in_websocket(reason, code, None));
                }
            }
        }
    }

    /// Ends a connection that does not become a session, with a word if there is one. It is counted, and
    /// what was wrong with it is logged.
    async fn refuse(
        &self,
        (reader, writer): (&mut Reader, &Writer),
        remote: Remote,
        refusal: Refusal,
    ) -> Reason {
        let Refusal { reason, fault, answer, tls } = refusal;
        let limit = if tls { &self.logs.tls } else { &self.logs.refused };
        self.count_refused(remote, reason, fault.as_deref(), limit);
        if let Some(answer) = answer {
            self.parting().wait(LINGER, part(reader, writer, &answer)).await;
        }
        reason
    }

    fn count_refused(&self, remote: Remote, reason: Reason, fault: Option<&str>, log: &LogLimit) {
        let label = ByReason { reason: reason.word() };
        self.hub.metrics.connections_refused.get_or_create(&label).inc();
        // That somebody says nothing, or goes, is nothing special on a port that strangers reach.
        if (fault.is_some() || reason == Reason::TooManyConnections)
            && let Some(unsaid) = log.line(now())
        {
            tracing::info!(address = %remote, %reason, fault, unsaid, "connection refused");
        }
    }

    /// Says to a connection for which there is no room that it should come back later. That costs as well,
    /// so it is for few and short.
    fn turn_away(&self, stream: Stream, remote: Remote, reason: Reason) {
        self.count_refused(remote, reason, None, &self.logs.refused);
        let Ok(place) = self.courtesies.clone().try_acquire_owned() else {
            return;
        };
        let server = self.clone();
        self.tasks.spawn(async move {
            let (mut reader, writer) = stream.into_split();
            let say = async {
                let (first, mut remote) = (BytesMut::new(), remote);
                let whence = (&mut remote, None);
                let shaken = server.handshake(&mut reader, &writer, first, whence).await;
                let answer = match shaken {
                    Ok(Shaken::Spoken(spoken, _)) => refusal::words(spoken, reason),
                    Ok(Shaken::Upgraded(_)) => {
                        Some(refusal::close(ws::CloseCode::TRY_AGAIN, reason, None))
                    }
                    Ok(Shaken::Request(_)) => Some(refusal::later(reason)),
                    Err(refusal) => refusal.answer,
                };
                if let Some(answer) = answer {
                    part(&mut reader, &writer, &answer).await;
                }
            };
            let said = async {
                tokio::select! {
                    () = say => {}
                    () = tokio::time::sleep(COURTESY) => {}
                    () = server.stop.cancelled() => {}
                }
            };
            // Nobody hears more than nothing if it panics, which is counted.
            let _said = counted(&server.hub.metrics, said).await;
            drop(place);
        });
    }
}

/// What the first bytes of a protocol have told.
struct FirstWords {
    spoken: Spoken,
    /// Unwraps WebSocket frames, if the connection has them.
    decoder: Option<Box<ws::Decoder>>,
    words: BytesMut,
    /// Whether the words are the end of a message.
    message_ended: bool,
}

/// Whether it is about a connection that went before it was accepted, and says nothing of the next.
fn is_of_the_connection(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(
        error.kind(),
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::ConnectionRefused
    )
}

/// Writes a last answer and waits until the other side has read it: closing with bytes unread would take it
/// away again.
async fn part(reader: &mut Reader, writer: &Writer, answer: &[u8]) {
    if writer.write_all(answer).await.is_ok() {
        writer.shutdown();
        discard(reader).await;
    }
}

/// The time in milliseconds since 1970.
fn clock_ms() -> u64 {
    let since = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}

/// Waits for this long, or for ever.
async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// The least that a WebSocket frame may hold: the html5 client sends up to this (docs/peote.md, section 4).
const WEBSOCKET_FRAME_BYTES: u64 = 65_536;

/// What a handshake found, and the bytes that follow.
enum Shaken {
    /// A protocol. The bytes are its first.
    Spoken(Spoken, BytesMut),
    /// An upgrade to WebSocket, in which a protocol will be spoken.
    Upgraded(BytesMut),
    /// HTTP. The bytes begin with its first request.
    Request(BytesMut),
}

static NATIVE_WEBSOCKET: WebSocket<native::wire::NativeWire> =
    WebSocket::binary(native::wire::NativeWire);
static ANYSOCKET_WEBSOCKET: WebSocket<AnySocketWire> = WebSocket::text(AnySocketWire);
static JOINT_WEBSOCKET: WebSocket<peote::wire::JointWire> =
    WebSocket::binary(peote::wire::JointWire);

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::HubOptions;

    #[tokio::test]
    async fn the_task_of_a_connection_is_small() {
        let server = Server::new(Hub::new(HubOptions::default()), ServerOptions::default());
        let (end, _far) = memory::pair(memory::Shape::default(), memory::Shape::default());
        let admission = server.hub.admit(None).expect("there is room");
        let task = server.keep(end.into(), Remote::default(), admission);
        let bytes = size_of_val(&task);
        assert!(bytes <= 3 * 1024, "{bytes} bytes");
    }
}
