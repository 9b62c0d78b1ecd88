//! Sessions of Engine.IO, the transport of Socket.IO, in which another protocol is spoken.
//!
//! A client asks for a session with its first request. If that is an upgrade to WebSocket, the session is an ordinary
//! one inside it. Otherwise the session is an ordinary one too, at the near end of a way in memory (`polled`), and the
//! requests of its client put frames of a WebSocket into that and take them out again: the protocol sees no difference.
//! Sessions that survive their connections are carried by `recovery`. [`client`] is the other side.

pub mod client;
mod path;
mod polled;
pub mod recovery;
mod refusal;
mod routes;
mod said;
mod sessions;
mod upgrading;
mod way;

pub use path::{Path, PathError};

pub use crosspoint_gateways::engineio::{Beat, Incoming, Query, Revision, Sid, Socket};

use crate::gateway::{Context, Gateway, Match, NewSession, Opened, Opening, Refused};
use crate::http;
use crate::runner::Runner;
use ::http::request::Parts;
use axum::Router;
use crosspoint_gateways::engineio::Refusal;
use crosspoint_hub::Reason;
use polled::Polled;
use recovery::Recoveries;
use sessions::Sessions;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};
use upgrading::Upgrading;

/// How sessions are kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// What a client is told: heartbeats, and the largest body of its requests. Above: 413.
    pub beat: Beat,
    /// How long an upgrade to WebSocket may take of a session that was begun by requests. Above: the WebSocket is
    /// closed.
    pub upgrade_max: Duration,
    /// Whether browsers send cookies with requests of pages of other origins that may use the hub.
    pub cors_credentials: bool,
}

impl Default for Config {
    /// As the original from npm.
    fn default() -> Self {
        let beat = Beat {
            interval: Duration::from_secs(25),
            timeout: Duration::from_secs(20),
            payload_bytes_max: 1_000_000,
        };
        Self { beat, upgrade_max: Duration::from_secs(10), cors_credentials: false }
    }
}

/// The protocol that is spoken in sessions of Engine.IO.
pub trait Inner: fmt::Debug + Send + Sync {
    /// As [`Gateway::name`].
    fn name(&self) -> &'static str;

    /// Why no session of this protocol is served, if none is. It is told before there is one.
    fn refusal(&self) -> Option<Refused> {
        None
    }

    /// Opens a session for a client that has asked for one. Its protocol has to have a [`Socket`], which
    /// [`Handshake::socket`] makes, and to write the open packet first of all. It sees packets in WebSocket messages,
    /// whatever carries them.
    ///
    /// # Errors
    /// Why there is none.
    fn open(&self, context: &Context<'_>, handshake: &Handshake<'_>)
    -> Result<NewSession, Refused>;

    /// As [`Gateway::needs_hub_id`].
    fn needs_hub_id(&self) -> bool {
        false
    }

    /// As [`Gateway::for_server`].
    fn for_server(&self, runner: &Arc<Runner>) -> Option<Arc<dyn Inner>> {
        let _ = runner;
        None
    }
}

/// What a client asks for with its first request.
#[derive(Debug, Clone, Copy)]
pub struct Handshake<'a> {
    /// The revision of Engine.IO.
    pub revision: Revision,
    /// The id of the session.
    pub sid: Sid,
    /// Whether it comes by requests, at first. Otherwise in a WebSocket.
    pub polled: bool,
    /// Whether it survives its connections.
    pub carried: bool,
    /// What the client is told.
    pub beat: Beat,
    /// What else is in the query.
    pub query: Query<'a>,
}

impl Handshake<'_> {
    /// What the protocol needs of this transport. `now` is when the client has asked ([`Context::now`]).
    pub fn socket(&self, now: Instant) -> Socket {
        let socket = Socket::new(now, self.revision, self.sid, self.polled, self.beat);
        if self.carried { socket.carried() } else { socket }
    }
}

/// Serves a protocol in sessions of Engine.IO, at a path.
#[derive(Debug, Clone)]
pub struct EngineIo {
    path: Path,
    config: Config,
    inner: Arc<dyn Inner>,
    /// How sessions survive their connections, if they do.
    recovery: Option<recovery::Config>,
    /// Those of one server that come by requests.
    sessions: Sessions,
    /// Those of one server that survive their connections.
    recoveries: Option<Recoveries>,
}

impl EngineIo {
    /// Sessions that speak what `inner` opens.
    pub fn new(path: Path, config: Config, inner: Arc<dyn Inner>) -> Self {
        let (sessions, recoveries) = (Sessions::default(), None);
        Self { path, config, inner, recovery: None, sessions, recoveries }
    }

    /// Sessions of clients of revision 4 survive their connections, if what is spoken in them is Socket.IO.
    #[must_use]
    pub fn with_recovery(self, recovery: Option<recovery::Config>) -> Self {
        Self { recovery, ..self }
    }

    /// Where those are that survive their connections, if those of a revision do.
    fn recoveries(&self, revision: Revision) -> Option<&Recoveries> {
        self.recoveries.as_ref().filter(|_| revision == Revision::Four)
    }

    /// What a request asks for.
    fn asked<'a>(&self, head: &'a Parts) -> Result<Asked<'a>, Refusal> {
        if let Some(Refused { fault, .. }) = self.inner.refusal() {
            return Err(Refusal::Forbidden(fault));
        }
        let query = Query::new(head.uri.query().unwrap_or_default());
        let transport = match query.get("transport").as_deref() {
            Some("websocket") => Transport::WebSocket,
            Some("polling") => Transport::Polling,
            _ => return Err(Refusal::UnknownTransport),
        };
        let revision = query.get("EIO").and_then(|value| Revision::from_query(&value));
        let revision = revision.ok_or(Refusal::UnsupportedRevision)?;
        // Scripts as answers evade the checks of origins, and no browser needs them any more.
        match query.get("j") {
            None => Ok(Asked { transport, revision, query }),
            Some(_) => Err(Refusal::BadRequest),
        }
    }

    /// What a request to upgrade asks for: a session, or that one becomes a WebSocket.
    fn asked_to_upgrade<'a>(
        &self,
        head: &'a Parts,
    ) -> Result<(Asked<'a>, Option<Arc<Polled>>), Refusal> {
        let asked = self.asked(head)?;
        if asked.transport != Transport::WebSocket {
            return Err(Refusal::BadRequest);
        }
        match asked.query.get("sid") {
            None => Ok((asked, None)),
            Some(sid) => match self.sessions.find(&sid, asked.revision) {
                Some(polled) => Ok((asked, Some(polled))),
                None => Err(Refusal::UnknownSid),
            },
        }
    }
}

/// What a request says in its query.
#[derive(Debug, Clone, Copy)]
struct Asked<'a> {
    transport: Transport,
    revision: Revision,
    query: Query<'a>,
}

/// How a client wants to have a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Transport {
    Polling,
    WebSocket,
}

impl Gateway for EngineIo {
    fn name(&self) -> &'static str {
        self.inner.name()
    }

    fn needs_hub_id(&self) -> bool {
        self.inner.needs_hub_id()
    }

    fn for_server(&self, runner: &Arc<Runner>) -> Option<Arc<dyn Gateway>> {
        let inner = self.inner.for_server(runner).unwrap_or_else(|| self.inner.clone());
        let limits = &runner.hub.limits;
        let recoveries = self.recovery.map(|recovery| Recoveries::new(recovery, limits));
        let sessions = Sessions::default();
        Some(Arc::new(Self { inner, sessions, recoveries, ..self.clone() }))
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        match opening {
            Opening::Upgrade(head) if self.path.is(head.uri.path()) => Match::Yes,
            _ => Match::No,
        }
    }

    fn upgrade(&self, head: &Parts) -> Result<(), http::Refusal> {
        self.asked_to_upgrade(head).map(|_| ()).map_err(Into::into)
    }

    fn routes(&self, runner: &Arc<Runner>) -> Option<(String, Router)> {
        Some((self.path.as_str().to_owned(), routes::routes(self, runner)))
    }

    fn bounds_bodies(&self) -> bool {
        true
    }

    fn open(&self, context: &Context<'_>) -> Result<Opened, Refused> {
        let Some(head) = context.request else {
            return Err(Refused::unknown("a session of Engine.IO begins with a request"));
        };
        let (asked, polled) = self.asked_to_upgrade(head).map_err(|refusal| {
            // It was asked before, and the session may have ended since.
            Refused { reason: Reason::NotAllowed, fault: refusal.to_string() }
        })?;
        if let Some(polled) = polled {
            let upgrading = Upgrading::new(polled, self.config.upgrade_max);
            return Ok(Opened::Carried(Box::new(upgrading)));
        }
        let Asked { revision, query, .. } = asked;
        let (beat, recoveries) = (self.config.beat, self.recoveries(revision));
        let carried = recoveries.is_some();
        let handshake = Handshake { revision, sid: sid()?, polled: false, carried, beat, query };
        let session = self.inner.open(context, &handshake)?;
        Ok(match recoveries.cloned() {
            Some(recoveries) => {
                Opened::Carried(Box::new(recovery::Begun { session, recoveries, beat }))
            }
            None => Opened::Session(session),
        })
    }
}

/// The id of a new session.
fn sid() -> Result<Sid, Refused> {
    Sid::random().map_err(|error| {
        let fault = format!("the system gave no randomness for the id of a session: {error}");
        Refused { reason: Reason::Internal, fault }
    })
}
