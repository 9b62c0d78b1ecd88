//! Listeners, and the life of a connection from its first byte.

use crate::detect::{Spoken, detect, detect_in_websocket};
use crate::http::{self, HttpOptions};
use crate::log_limit::Logs;
use crate::memory;
use crate::outlet::{Outlet, now};
use crate::panics::counted;
use crate::remote::Remote;
use crate::resume::link::Link;
use crate::resume::{self, hub::Sessions};
use crate::session::{Driver, LINGER, discard, read};
use crate::stream::{Reader, Stream, Writer};
use crate::ws::wire::WebSocket;
use crate::ws::{self, Incoming, handshake};
use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_auth::Authenticator;
use crosspoint_gateways::anysocket::{self, wire::AnySocketWire};
use crosspoint_gateways::peote;
use crosspoint_hub::hub::Admission;
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::Wire;
use crosspoint_hub::{Hub, PeerId, Reason};
use crosspoint_proto as native;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// A JSON value as its text.
pub use crosspoint_gateways::anysocket::Json;

/// How a server treats connections.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The hub's name, told to native clients.
    pub name: String,
    /// Whether peote programs are served.
    pub peote: bool,
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
    /// How long a session that ends may take to receive what waits for it.
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
            peote: true,
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
    site: Arc<http::Site>,
    /// Sessions that can be resumed, if that is served.
    pub(crate) resume: Option<Sessions>,
    pub(crate) stop: CancellationToken,
    pub(crate) tasks: TaskTracker,
    /// For what any stranger can cause.
    pub(crate) logs: Arc<Logs>,
}

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
        let site = Arc::new(http::Site::new(&hub, &options.http));
        let resume = options.resume.as_ref().map(|resume| Sessions::new(resume, &hub.limits));
        let options = Arc::new(options);
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let logs = Arc::new(Logs::new(now()));
        Self { hub, options, site, resume, stop, tasks, logs }
    }

    /// The hub that is served.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Accepts connections of a listener, in a task of its own.
    pub fn listen(&self, listener: TcpListener) {
        let server = self.clone();
        self.tasks.spawn(async move {
            // A panic ends one turn of the loop, and not the listener.
            while counted(&server.hub.metrics, server.accept_all(&listener)).await.is_none() {
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        });
    }

    /// Accepts connections until the server stops.
    async fn accept_all(&self, listener: &TcpListener) {
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
                    self.accept(stream.into());
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
            Err(reason) => {
                tracing::debug!(%address, %reason, "connection refused");
                return;
            }
        };
        let server = self.clone();
        self.tasks.spawn(async move {
            let served = server.serve(stream, address, admission);
            let reason = counted(&server.hub.metrics, served).await.unwrap_or(Reason::Internal);
            tracing::debug!(%address, %reason, "connection ended");
        });
    }

    /// Stops: listeners close, every session is told and flushed. Returns when all have ended,
    /// which takes no longer than [`ServerOptions::flush_max`] and a little.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    /// Serves one connection. Its right to be there is kept until that ends.
    async fn serve(&self, stream: Stream, remote: Remote, admission: Admission) -> Reason {
        let from = remote.address;
        let (mut reader, mut writer) = stream.into_split();
        let handshake = self.handshake(&mut reader, &writer, from);
        let stopped = self.stop.cancelled();
        let limit = self.hub.limits.handshake_max;
        let linger = LINGER.min(self.options.flush_max);
        let result = tokio::select! {
            result = tokio::time::timeout(limit, handshake) => result,
            () = stopped => return Reason::HubStopping,
        };
        let (spoken, first) = match result {
            Ok(Ok(Shaken::Spoken(spoken, first))) => (Some(spoken), first),
            Ok(Ok(Shaken::Upgraded(first))) => (None, first),
            Ok(Ok(Shaken::Request(first))) => {
                let (stop, flush_max) = (&self.stop, self.options.flush_max);
                let halves = (reader, writer);
                let served = http::serve(&self.site, halves, first, from, stop, flush_max);
                // Boxed, as its state is larger than that of any session.
                match Box::pin(served).await {
                    http::Outcome::Ended(reason) => return reason,
                    http::Outcome::Upgraded(read_half, write_half, first) => {
                        (reader, writer) = (read_half, write_half);
                        (None, first)
                    }
                }
            }
            Ok(Err((reason, answer))) => {
                if let Some(answer) = answer {
                    part(&mut reader, &writer, &answer, linger).await;
                }
                return reason;
            }
            Err(_elapsed) => {
                self.hub.metrics.hit("handshake_ms_max");
                return Reason::HandshakeTimeout;
            }
        };
        let (spoken, decoder, first, message_ended) = match spoken {
            Some(spoken) => (spoken, None, first, false),
            None => {
                let waited = self.first_words(&mut reader, &writer, first);
                let waited = tokio::select! {
                    waited = waited => waited,
                    () = self.stop.cancelled() => {
                        Err((Reason::HubStopping, Some(ws::CloseCode::GOING_AWAY)))
                    }
                    () = sleep_for(self.hub.limits.idle_max) => {
                        self.hub.metrics.hit("idle_s_max");
                        Err((Reason::IdleTimeout, Some(ws::CloseCode::POLICY)))
                    }
                };
                match waited {
                    Ok(first) => {
                        let FirstWords { spoken, decoder, words, message_ended } = first;
                        (spoken, Some(decoder), words, message_ended)
                    }
                    Err((reason, code)) => {
                        if let Some(code) = code {
                            let reason = reason.to_string();
                            let frame = ws::CloseFrame { code, reason };
                            let frame = ws::frame::close_frame(Some(&frame), None);
                            part(&mut reader, &writer, &frame, linger).await;
                        }
                        return reason;
                    }
                }
            }
        };
        if spoken == Spoken::Resumable {
            let link = Link::accepted((reader, writer), decoder, first.freeze(), admission);
            // Boxed, as its state is larger than that of any session.
            return Box::pin(self.resumable(link, remote)).await;
        }
        let Some(protocol) = self.protocol(spoken, decoder.is_some()) else {
            tracing::debug!(address = %remote, ?spoken, "nothing here speaks this protocol");
            return Reason::UnknownProtocol;
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
    ) -> Driver {
        let outlet = Outlet::new(self.hub.clone(), writer);
        let session = self.hub.open(now(), remote.ip(), wire, Box::new(outlet.clone()));
        let id = session.outbox().id;
        tracing::debug!(session = id, address = %remote, protocol = wire.profile().name, "session opened");
        let (stop, flush_max) = (self.stop.clone(), self.options.flush_max);
        let (authenticator, logs) = (self.options.authenticator.clone(), self.logs.clone());
        Driver {
            session,
            remote,
            protocol,
            outlet,
            reader,
            decoder,
            stop,
            flush_max,
            authenticator,
            logs,
        }
    }

    /// Opens a native session on a way inside the program, for an endpoint that is at an address and
    /// may be away for a while.
    pub(crate) fn resumable_driver(
        &self,
        remote: Remote,
        way: Stream,
        away_max: Duration,
    ) -> Driver {
        let protocol = self.native(away_max);
        self.driver(remote, (&native::WIRE, Box::new(protocol)), way.into_split(), None)
    }

    /// Runs a session to its end.
    pub(crate) async fn drive(driver: Driver, first: BytesMut, message_ended: bool) -> Reason {
        let (id, address, logs) = (driver.session.outbox().id, driver.remote, driver.logs.clone());
        let hub = driver.session.hub().clone();
        let run = counted(&hub.metrics, driver.run(first, message_ended)).await;
        let reason = run.unwrap_or(Reason::Internal);
        match reason {
            Reason::ConnectionLost | Reason::Bye | Reason::HubStopping => {
                tracing::debug!(session = id, %reason, "session closed");
            }
            _ => {
                if let Some(unsaid) = logs.closed.line(now()) {
                    tracing::warn!(session = id, %address, %reason, unsaid, "session closed");
                }
            }
        }
        reason
    }

    fn native(&self, away_max: Duration) -> native::server::Native {
        // Without randomness no key can be proven; whoever shows none is served.
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
            Spoken::Joint if self.options.peote => {
                let wire: &'static dyn Wire =
                    if websocket { &JOINT_WEBSOCKET } else { &peote::WIRE };
                Some((wire, Box::new(peote::server::Joint::new())))
            }
            Spoken::AnySocket => {
                let protocol = self.anysocket()?;
                Some((&ANYSOCKET_WEBSOCKET, Box::new(protocol)))
            }
            Spoken::Joint | Spoken::Panda3d | Spoken::Http | Spoken::Tls | Spoken::Resumable => {
                None
            }
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

    /// Reads until it is known what the connection speaks, and answers upgrades.
    ///
    /// # Errors
    /// Why it ends, and what is to be said before.
    async fn handshake(
        &self,
        reader: &mut Reader,
        writer: &Writer,
        from: Option<SocketAddr>,
    ) -> Result<Shaken, (Reason, Option<Bytes>)> {
        let mut bytes = BytesMut::new();
        loop {
            let more = read(reader).await.unwrap_or_default();
            if more.is_empty() {
                return Err((Reason::ConnectionLost, None));
            }
            let line_ended = more.contains(&b'\n');
            bytes.unsplit(more);
            match detect(&bytes) {
                None => {}
                Some(Spoken::Http) => {
                    // Looking at a head again for each of its bytes would be slow.
                    if (line_ended || bytes.len() > handshake::HEAD_BYTES_MAX)
                        && let Some(shaken) = self.request(&mut bytes, writer, from).await?
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
        from: Option<SocketAddr>,
    ) -> Result<Option<Shaken>, (Reason, Option<Bytes>)> {
        let (request, length) = match handshake::parse_request(bytes) {
            Ok(None) => return Ok(None),
            Ok(Some(whole)) => whole,
            Err(error) => return Err((Reason::Malformed, Some(error.answer()))),
        };
        let Some(upgrade) = &request.upgrade else {
            return Ok(Some(Shaken::Request(bytes.split())));
        };
        let verdict = self.site.first_upgrade(upgrade, &bytes[..length], from);
        let answer = verdict.map_err(|(reason, answer)| (reason, Some(answer)))?;
        match writer.write_all(&answer).await {
            Ok(()) => Ok(Some(Shaken::Upgraded(bytes.split_off(length)))),
            Err(_lost) => Err((Reason::ConnectionLost, None)),
        }
    }

    /// Waits for the first bytes inside a WebSocket. Peote clients may take their time for that
    /// (docs/peote.md, section 3.5), so there is no limit but the one on connections.
    async fn first_words(
        &self,
        reader: &mut Reader,
        writer: &Writer,
        first: BytesMut,
    ) -> Result<FirstWords, (Reason, Option<ws::CloseCode>)> {
        const LOST: (Reason, Option<ws::CloseCode>) = (Reason::ConnectionLost, None);
        let frame_bytes_max = self.hub.limits.frame_bytes_max as u64;
        // Peote's html5 client, and others of that age, do not keep to the letter of the standard.
        let settings = ws::Settings {
            frame_bytes_max: frame_bytes_max.max(WEBSOCKET_FRAME_BYTES),
            lenient: true,
        };
        let mut decoder = Box::new(ws::Decoder::new(ws::Role::Server, settings));
        let mut words = BytesMut::new();
        decoder.receive(first);
        loop {
            let answer = match decoder.decode() {
                Ok(Some(Incoming::Data { kind, bytes, message_fin: message_ended, .. })) => {
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
                            return Ok(FirstWords { spoken, decoder, words, message_ended });
                        }
                        None => continue,
                    }
                }
                Ok(Some(Incoming::Ping(payload))) => ws::frame::pong_frame(&payload, None),
                Ok(Some(Incoming::Pong(_))) => continue,
                Ok(Some(Incoming::Close(_))) => {
                    return Err((Reason::Bye, Some(ws::CloseCode::NORMAL)));
                }
                Ok(None) => {
                    let more = read(reader).await.unwrap_or_default();
                    if more.is_empty() {
                        return Err(LOST);
                    }
                    decoder.receive(more);
                    continue;
                }
                Err(error) => {
                    tracing::debug!(%error, "WebSocket broken");
                    return Err((Reason::Malformed, Some(error.close_code())));
                }
            };
            writer.write_all(&answer).await.map_err(|_| LOST)?;
        }
    }
}

/// What the first bytes inside a WebSocket have told.
struct FirstWords {
    spoken: Spoken,
    decoder: Box<ws::Decoder>,
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

/// Writes a last answer and waits a little until the other side has read it: closing with bytes
/// unread would take it away again.
async fn part(reader: &mut Reader, writer: &Writer, answer: &[u8], linger: Duration) {
    let part = async {
        if writer.write_all(answer).await.is_ok() {
            writer.shutdown();
            discard(reader).await;
        }
    };
    // Whoever does not take it in time is cut off.
    let _ = tokio::time::timeout(linger, part).await;
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
