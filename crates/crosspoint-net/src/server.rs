//! Listeners, and the life of a connection from its first byte.

use crate::detect::{Spoken, detect};
use crate::http::{self, HttpOptions};
use crate::memory;
use crate::outlet::{Outlet, now};
use crate::session::{Driver, LINGER, discard, read};
use crate::stream::{Reader, Stream, Writer};
use crate::ws::{self, Incoming, handshake};
use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_gateways::peote;
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::{Capacity, FrameWriter, Framing, Part, Place, Prefix, Wire};
use crosspoint_hub::{Hub, Reason};
use crosspoint_proto as native;
use socket2::{Domain, SockRef, Socket, TcpKeepalive, Type};
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// How a server treats connections.
#[derive(Debug, Clone)]
pub struct ServerOptions {
    /// The hub's name, told to native clients.
    pub name: String,
    /// Whether peote programs are served.
    pub peote: bool,
    /// What is answered to plain HTTP.
    pub http: HttpOptions,
    /// How long a session that ends may take to receive what waits for it.
    pub flush_max: Duration,
}

impl Default for ServerOptions {
    fn default() -> Self {
        let http = HttpOptions::default();
        Self { name: String::new(), peote: true, http, flush_max: Duration::from_secs(5) }
    }
}

/// Serves a hub's connections, of any transport, until it is stopped.
#[derive(Debug, Clone)]
pub struct Server {
    hub: Arc<Hub>,
    options: Arc<ServerOptions>,
    stop: CancellationToken,
    tasks: TaskTracker,
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

/// Opens a listening socket.
///
/// # Errors
/// The system's, most often that the address is in use or not ours.
pub fn bind(address: SocketAddr) -> io::Result<TcpListener> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_reuse_address(true)?;
    socket.set_nonblocking(true)?;
    socket.bind(&address.into())?;
    socket.listen(BACKLOG)?;
    TcpListener::from_std(socket.into())
}

impl Server {
    /// A server for a hub. It needs a tokio runtime with I/O and time.
    pub fn new(hub: Arc<Hub>, options: ServerOptions) -> Self {
        let options = Arc::new(options);
        Self { hub, options, stop: CancellationToken::new(), tasks: TaskTracker::new() }
    }

    /// The hub that is served.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// Accepts connections of a listener, in a task of its own.
    pub fn listen(&self, listener: TcpListener) {
        let server = self.clone();
        self.tasks.spawn(async move {
            loop {
                let accepted = tokio::select! {
                    () = server.stop.cancelled() => return,
                    accepted = listener.accept() => accepted,
                };
                match accepted {
                    Ok((stream, _)) => {
                        let socket = SockRef::from(&stream);
                        // A connection that is gone already cannot be set up, and ends at its first read.
                        let _ = socket.set_tcp_nodelay(true);
                        let _ = socket.set_tcp_keepalive(&KEEPALIVE);
                        server.accept(stream.into());
                    }
                    Err(error) => {
                        tracing::warn!(%error, "no connection could be accepted; raise the limit of open files");
                        tokio::time::sleep(ACCEPT_PAUSE).await;
                    }
                }
            }
        });
    }

    /// Accepts connections from inside the program, in a task of its own.
    pub fn listen_memory(&self, mut acceptor: memory::Acceptor) {
        let server = self.clone();
        self.tasks.spawn(async move {
            loop {
                tokio::select! {
                    () = server.stop.cancelled() => return,
                    accepted = acceptor.accept() => match accepted {
                        Some(end) => server.accept(end.into()),
                        None => return,
                    },
                }
            }
        });
    }

    /// Serves one connection, in a task of its own.
    pub fn accept(&self, stream: Stream) {
        let address = stream.peer_address();
        let ip = address.map(|address| address.ip().to_canonical());
        let admission = match self.hub.admit(ip) {
            Ok(admission) => admission,
            Err(reason) => {
                tracing::debug!(?address, %reason, "connection refused");
                return;
            }
        };
        let server = self.clone();
        self.tasks.spawn(async move {
            let reason = server.serve(stream, ip).await;
            tracing::debug!(?address, %reason, "connection ended");
            drop(admission);
        });
    }

    /// Stops: listeners close, every session is told and flushed. Returns when all have ended,
    /// which takes no longer than [`ServerOptions::flush_max`] and a little.
    pub async fn stop(&self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }

    async fn serve(&self, stream: Stream, address: Option<IpAddr>) -> Reason {
        let (mut reader, writer) = stream.into_split();
        let handshake = self.handshake(&mut reader, &writer);
        let stopped = self.stop.cancelled();
        let limit = self.hub.limits.handshake_max;
        let linger = LINGER.min(self.options.flush_max);
        let result = tokio::select! {
            result = tokio::time::timeout(limit, handshake) => result,
            () = stopped => return Reason::HubStopping,
        };
        let (spoken, decoder, first) = match result {
            Ok(Ok(Shaken { spoken: Some(spoken), first })) => (spoken, None, first),
            Ok(Ok(Shaken { spoken: None, first })) => {
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
                    Ok((spoken, decoder, first)) => (spoken, Some(decoder), first),
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
        let Some((wire, protocol)) = self.protocol(spoken, decoder.is_some()) else {
            tracing::debug!(?address, ?spoken, "nothing here speaks this protocol");
            return Reason::UnknownProtocol;
        };
        let outlet = Outlet::new(self.hub.clone(), writer);
        let session = self.hub.open(now(), address, wire, Box::new(outlet.clone()));
        let id = session.outbox().id;
        tracing::debug!(session = id, ?address, protocol = wire.name(), "session opened");
        let (stop, flush_max) = (self.stop.clone(), self.options.flush_max);
        let driver = Driver { session, protocol, outlet, reader, decoder, stop, flush_max };
        let reason = driver.run(first).await;
        match reason {
            Reason::ConnectionLost | Reason::Bye | Reason::HubStopping => {
                tracing::debug!(session = id, %reason, "session closed");
            }
            _ => tracing::warn!(session = id, ?address, %reason, "session closed"),
        }
        reason
    }

    fn protocol(
        &self,
        spoken: Spoken,
        websocket: bool,
    ) -> Option<(&'static dyn Wire, Box<dyn Protocol>)> {
        match spoken {
            Spoken::Native => {
                let (limits, hub) = (self.hub.limits.clone(), self.options.name.clone());
                let options = native::server::Options { limits, hub };
                let protocol = native::server::Native::new(now(), options);
                let wire: &'static dyn Wire =
                    if websocket { &NATIVE_WEBSOCKET } else { &native::WIRE };
                Some((wire, Box::new(protocol)))
            }
            Spoken::Joint if self.options.peote => {
                let wire: &'static dyn Wire =
                    if websocket { &JOINT_WEBSOCKET } else { &peote::WIRE };
                Some((wire, Box::new(peote::server::Joint::new())))
            }
            Spoken::Joint | Spoken::Panda3d | Spoken::Http | Spoken::Tls => None,
        }
    }

    /// Reads until it is known what the connection speaks, and answers HTTP.
    ///
    /// # Errors
    /// Why it ends, and what is to be said before.
    async fn handshake(
        &self,
        reader: &mut Reader,
        writer: &Writer,
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
                        && let Some(first) = self.request(&mut bytes, writer).await?
                    {
                        return Ok(Shaken { spoken: None, first });
                    }
                }
                Some(spoken) => {
                    return Ok(Shaken { spoken: Some(spoken), first: bytes });
                }
            }
        }
    }

    /// Looks at a request, if it is there whole. Gives what follows an upgrade, or an answer to
    /// anything else.
    async fn request(
        &self,
        bytes: &mut BytesMut,
        writer: &Writer,
    ) -> Result<Option<BytesMut>, (Reason, Option<Bytes>)> {
        let (request, length) = match handshake::parse_request(bytes) {
            Ok(None) => return Ok(None),
            Ok(Some(whole)) => whole,
            Err(error) => return Err((Reason::Malformed, Some(error.answer()))),
        };
        let Some(upgrade) = &request.upgrade else {
            let answer = http::answer(&request, &self.hub, self.options.http);
            return Err((Reason::Bye, Some(answer)));
        };
        // Browsers refuse an answer without one of the protocols that they offered.
        let protocol = upgrade.protocols.first().map(String::as_str);
        let answer = handshake::response(&upgrade.key, protocol);
        match writer.write_all(&answer).await {
            Ok(()) => Ok(Some(bytes.split_off(length))),
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
    ) -> Result<(Spoken, Box<ws::Decoder>, BytesMut), (Reason, Option<ws::CloseCode>)> {
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
                Ok(Some(Incoming::Data { bytes, .. })) => {
                    words.put(bytes);
                    match detect(&words) {
                        Some(spoken) => return Ok((spoken, decoder, words)),
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

/// Waits for this long, or for ever.
async fn sleep_for(time: Option<Duration>) {
    match time {
        Some(time) => tokio::time::sleep(time).await,
        None => std::future::pending().await,
    }
}

/// The least that a WebSocket frame may hold: the html5 client sends up to this (docs/peote.md, section 4).
const WEBSOCKET_FRAME_BYTES: u64 = 65_536;

/// What a handshake found: a protocol, or an upgrade to WebSocket in which one will be spoken.
struct Shaken {
    spoken: Option<Spoken>,
    first: BytesMut,
}

/// A wire whose frames travel in WebSocket messages, one frame in each.
struct WebSocket<W>(W);

static NATIVE_WEBSOCKET: WebSocket<native::wire::NativeWire> = WebSocket(native::wire::NativeWire);
static JOINT_WEBSOCKET: WebSocket<peote::wire::JointWire> = WebSocket(peote::wire::JointWire);

impl<W: Wire> Wire for WebSocket<W> {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn id(&self) -> u8 {
        0x80 | self.0.id()
    }

    fn framing(&self) -> Framing {
        self.0.framing()
    }

    fn capacity(&self) -> Capacity {
        self.0.capacity()
    }

    fn prefix(&self) -> Option<Prefix> {
        Some(|length, out| {
            out.put_slice(ws::frame::server_header(ws::Opcode::Binary, true, length).as_slice())
        })
    }

    fn encode(&self, place: Place, chunk: Option<u32>, part: &Part, out: &mut FrameWriter) {
        self.0.encode(place, chunk, part, out);
    }
}
