//! What a protocol has to say of itself to be served: a [`Gateway`].
//!
//! A server has a list of gateways ([`Gateways`]). It shows each of them how a connection begins (its
//! [`Opening`]), and the one that recognises it opens a session, or takes the connection over. Nothing else
//! in this crate names a protocol of sessions.

use crate::outlet::now;
use crate::stream::{Reader, Writer};
#[cfg(feature = "http")]
use crate::upgraded::Refusal;
use crate::ws;
use crate::ws::MessageKind;
use ::http::request::Parts;
#[cfg(feature = "http")]
use axum::Router;
use bytes::Bytes;
use crosspoint_auth::Process;
use crosspoint_hub::hub::Admission;
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::Wire;
use crosspoint_hub::{Hub, Limit, PeerId, Reason};
use crosspoint_proto::identity::ChannelBinding;
use std::fmt;
use std::net::SocketAddr;
use std::pin::Pin;
use std::sync::Arc;
use std::time::{Duration, Instant};

pub use crate::runner::{NewSession, Runner};
pub use crate::ws::wire::WebSocket;

/// A protocol that a server speaks. Cheap to ask: it is asked for each connection, by many threads.
pub trait Gateway: fmt::Debug + Send + Sync {
    /// The protocol's name, as metrics, logs and [`Profile::name`](crosspoint_hub::wire::Profile) have it.
    fn name(&self) -> &'static str;

    /// Whether its sessions bear its name in the metrics, which show it from the start then. Not so for a
    /// protocol that lies below another one.
    fn has_sessions(&self) -> bool {
        true
    }

    /// Whether a connection that begins so speaks this protocol. A protocol is recognised by a mark of its
    /// own, never because nothing else fits. The answer depends on the opening alone; a protocol that is
    /// switched off is recognised as well, so that [`open`](Self::open) can say so.
    ///
    /// The first gateway of the list that says [`Match::Yes`] has the connection. As long as none does and
    /// one says [`Match::Partial`], more bytes are read.
    fn recognise(&self, opening: &Opening<'_>) -> Match;

    /// Opens a session for a connection that was recognised.
    ///
    /// # Errors
    /// Why connections of this protocol are not served.
    fn open(&self, context: &Context<'_>) -> Result<Opened, Refused>;

    /// Whether it needs an id for the hub ([`Context::hub_id`]). One is made up if there is none.
    fn needs_hub_id(&self) -> bool {
        false
    }

    /// How long a client of this protocol may say nothing at the beginning, before an upgrade to WebSocket
    /// or behind it. `None`: no longer than others, for as long as a handshake may take.
    fn silence_max(&self, context: &Context<'_>) -> Option<Silence> {
        let _ = context;
        None
    }

    /// What a client is told outside a WebSocket that is not wanted, if the protocol has words for it.
    fn refusal(&self, reason: Reason) -> Option<Bytes> {
        let _ = reason;
        None
    }

    /// Whether a request may become a WebSocket that this gateway has recognised ([`Opening::Upgrade`]). Asked before
    /// that is answered, and behind all others.
    ///
    /// # Errors
    /// What is answered instead.
    #[cfg(feature = "http")]
    fn upgrade(&self, head: &Parts) -> Result<(), Refusal> {
        let _ = head;
        Ok(())
    }

    /// Paths that this protocol answers to HTTP requests, and how: a prefix such as `/chat`, and the routes
    /// below it. A protocol over several requests keeps a [`Stream`](crate::stream::Stream) to its session between them
    /// ([`Runner::run`], [`memory::pair`](crate::memory::pair)).
    ///
    /// Which page asks is an extension of each request ([`http::Origin`](crate::http::Origin)): `GET` and `OPTIONS` of
    /// foreign pages come here as well.
    #[cfg(feature = "http")]
    fn routes(&self, runner: &Arc<Runner>) -> Option<(String, Router)> {
        let _ = runner;
        None
    }

    /// Whether its routes bound the bodies of requests by themselves. Otherwise
    /// [`HttpOptions::body_bytes_max`](crate::http::HttpOptions::body_bytes_max) holds.
    #[cfg(feature = "http")]
    fn bounds_bodies(&self) -> bool {
        false
    }

    /// The gateway as one server has it, if it keeps something for each server. `None`: this one serves all.
    fn for_server(&self, runner: &Arc<Runner>) -> Option<Arc<dyn Gateway>> {
        let _ = runner;
        None
    }
}

/// How a connection begins.
#[derive(Debug, Clone, Copy)]
pub enum Opening<'a> {
    /// Its first bytes. There is at least one.
    Stream(&'a [u8]),
    /// A request to become a WebSocket, in which nothing was said yet. There is no [`Match::Partial`].
    Upgrade(&'a Parts),
    /// The first bytes inside a WebSocket that no gateway has recognised by its request.
    WebSocket {
        /// The bytes of the first messages so far, at least one.
        bytes: &'a [u8],
        /// Whether they are text.
        text: bool,
    },
}

/// Whether an opening is one of a protocol.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Match {
    /// It is.
    Yes,
    /// It may be: more bytes are needed to tell.
    Partial,
    /// It is not.
    No,
}

impl Match {
    /// Whether bytes begin with a mark, so far.
    pub fn mark(bytes: &[u8], mark: &[u8]) -> Self {
        if bytes.starts_with(mark) {
            Self::Yes
        } else if mark.starts_with(bytes) {
            Self::Partial
        } else {
            Self::No
        }
    }
}

/// Over what a session is spoken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Transport {
    /// A stream of bytes.
    Stream,
    /// Messages of a WebSocket.
    WebSocket,
}

/// What a gateway may know of a connection and its server.
#[derive(Debug, Clone, Copy)]
pub struct Context<'a> {
    /// The hub that is served.
    pub hub: &'a Arc<Hub>,
    /// The hub's name, for clients to be told.
    pub hub_name: &'a str,
    /// The hub's id, that of its own program or else of its server. `None` without randomness.
    pub hub_id: Option<PeerId>,
    /// Whether sessions have to present credentials.
    pub asks_for_credentials: bool,
    /// Over what the session is spoken.
    pub transport: Transport,
    /// The request of the upgrade, inside a WebSocket.
    pub request: Option<&'a Parts>,
    /// Where the connection comes from; `None` inside the program.
    pub address: Option<SocketAddr>,
    /// What a proof over the connection is bound to.
    pub channel_binding: ChannelBinding,
    /// How long the connection may be away and come back; zero if it does not. Until then its silence means
    /// nothing.
    pub away_max: Duration,
    /// The present.
    pub now: Instant,
}

impl<'a> Context<'a> {
    /// For a connection without TLS that is there for good, or ends.
    pub fn new(runner: &'a Runner, transport: Transport, address: Option<SocketAddr>) -> Self {
        let hub = &runner.hub;
        Self {
            hub,
            hub_name: &runner.hub_name,
            hub_id: hub.application_peer().or(runner.node_id),
            asks_for_credentials: runner.authenticator.is_some() || hub.asks_for_token(),
            transport,
            request: None,
            address,
            channel_binding: ChannelBinding::None,
            away_max: Duration::ZERO,
            now: now(),
        }
    }
}

/// How long a client may be silent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Silence {
    /// So long. Above, the connection ends with [`Reason::HandshakeTimeout`].
    pub most: Duration,
    /// The setting that says so.
    pub limit: Limit,
}

/// Why connections of a protocol are not served.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// The reason to close.
    pub reason: Reason,
    /// What the operator or the client can do, for the log and for a WebSocket's close frame.
    pub fault: String,
}

impl Refused {
    /// Nobody speaks it here, for the reason in `fault`.
    pub fn unknown(fault: impl Into<String>) -> Self {
        Self { reason: Reason::UnknownProtocol, fault: fault.into() }
    }
}

/// What becomes of a connection that a gateway has recognised.
pub enum Opened {
    /// It carries one session.
    Session(NewSession),
    /// It is taken over, most often to carry a session that outlives it.
    Carried(Box<dyn Carrier>),
}

impl Opened {
    /// A session that speaks this.
    pub fn session(wire: &'static dyn Wire, protocol: impl Protocol + 'static) -> Self {
        Self::Session(NewSession {
            wire,
            protocol: Box::new(protocol),
            websocket_frame_bytes_max: None,
        })
    }
}

impl fmt::Debug for Opened {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Session(session) => session.fmt(f),
            Self::Carried(_) => f.write_str("Carried"),
        }
    }
}

/// Takes connections over.
pub trait Carrier: Send {
    /// Serves a connection to its end, or hands it on. Gives why it has ended.
    fn carry(
        self: Box<Self>,
        connection: Connection,
        runner: Arc<Runner>,
    ) -> Pin<Box<dyn Future<Output = Reason> + Send>>;
}

/// The message inside a WebSocket with whose first bytes a connection was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FirstMessage {
    /// Its kind.
    pub kind: MessageKind,
    /// Whether nothing more of it follows.
    pub ended: bool,
}

/// A connection whose protocol was recognised.
#[derive(Debug)]
pub struct Connection {
    /// What it has to say.
    pub reader: Reader,
    /// What it is told.
    pub writer: Writer,
    /// Unwraps WebSocket frames, if the connection has them.
    pub websocket: Option<Box<ws::Connection>>,
    /// The bytes by which it was recognised, outside any frames.
    pub first: Bytes,
    /// The message that they begin, if they are from a WebSocket.
    pub first_message: Option<FirstMessage>,
    /// Where it comes from; `None` inside the program and over a socket of the file system.
    pub address: Option<SocketAddr>,
    /// The process at the other end of a socket of the file system.
    pub process: Option<Process>,
    /// The right to be there. Given back with it.
    pub admission: Admission,
}

/// The gateways of a server, in the order in which they are asked.
#[derive(Debug, Clone, Default)]
pub struct Gateways(Vec<Arc<dyn Gateway>>);

impl Gateways {
    /// None.
    pub fn none() -> Self {
        Self::default()
    }

    /// With one more, behind the others; or in the place of the one that has its name.
    #[must_use]
    pub fn with(mut self, gateway: impl Gateway + 'static) -> Self {
        let gateway: Arc<dyn Gateway> = Arc::new(gateway);
        match self.0.iter_mut().find(|other| other.name() == gateway.name()) {
            Some(other) => *other = gateway,
            None => self.0.push(gateway),
        }
        self
    }

    /// Without the one of this name, if there is one. What it recognised is unknown then.
    #[must_use]
    pub fn without(mut self, name: &str) -> Self {
        self.0.retain(|gateway| gateway.name() != name);
        self
    }

    /// The one of this name.
    pub fn get(&self, name: &str) -> Option<&Arc<dyn Gateway>> {
        self.0.iter().find(|gateway| gateway.name() == name)
    }

    /// All, in order.
    pub fn iter(&self) -> impl Iterator<Item = &Arc<dyn Gateway>> {
        self.0.iter()
    }

    /// As one server has them.
    pub(crate) fn for_server(&self, runner: &Arc<Runner>) -> Self {
        let own = |gateway: &Arc<dyn Gateway>| {
            gateway.for_server(runner).unwrap_or_else(|| gateway.clone())
        };
        Self(self.0.iter().map(own).collect())
    }

    /// Which one recognises an opening. [`Match::Partial`] if one may with more bytes.
    pub(crate) fn recognise(&self, opening: &Opening<'_>) -> Result<&Arc<dyn Gateway>, Match> {
        let mut open = false;
        for gateway in &self.0 {
            match gateway.recognise(opening) {
                Match::Yes => return Ok(gateway),
                Match::Partial => open = true,
                Match::No => {}
            }
        }
        Err(if open { Match::Partial } else { Match::No })
    }

    /// How long a connection may be silent of which nothing is known yet: as long as one of them lets it.
    pub(crate) fn silence_max(&self, context: &Context<'_>, handshake: Silence) -> Silence {
        let silences = self.0.iter().filter_map(|gateway| gateway.silence_max(context));
        silences.chain([handshake]).max_by_key(|silence| silence.most).unwrap_or(handshake)
    }
}
