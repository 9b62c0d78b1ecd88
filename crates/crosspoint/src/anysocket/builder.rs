//! How a client introduces itself, and connects.

use super::driver::{Check, Driver, Limits};
use super::handlers::{Call, Message, Reply};
use super::shared::{Handle, Handlers, Shared};
use super::{Arg, ConnectError, Ended, Id, Json, Peer, Value};
use crosspoint_gateways::anysocket::client::{Config, Peer as Machine};
use crosspoint_hub::PeerId;
use crosspoint_net::client::{Endpoint, dial};
use crosspoint_net::messages::Messages;
use crosspoint_net::tls::certificate::Certificate;
use crosspoint_net::tls::client::{ClientTls, Trust};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A client of AnySocket programs; see [`Client::builder`].
#[derive(Debug, Clone, Copy)]
pub struct Client;

impl Client {
    /// Says who one is, and what one answers, before connecting.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }
}

/// How a client introduces itself, what it answers, and its bounds.
pub struct ClientBuilder {
    id: Option<PeerId>,
    auth: Option<Value>,
    check: Option<Check>,
    timeout: Duration,
    reply_timeout: Duration,
    config: Config,
    limits: Limits,
    handlers: Handlers,
    tls: ClientTls,
    deflate_bytes_min: Option<u32>,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            id: None,
            auth: None,
            check: None,
            timeout: Duration::from_secs(10),
            reply_timeout: Duration::from_secs(30),
            config: Config::default(),
            limits: Limits::default(),
            handlers: Handlers::default(),
            tls: ClientTls::default(),
            deflate_bytes_min: None,
        }
    }
}

impl ClientBuilder {
    /// The id to be known by; a random one unless set.
    #[must_use]
    pub fn id(mut self, id: PeerId) -> Self {
        self.id = Some(id);
        self
    }

    /// What the server's application decides by whether to let us in.
    #[must_use]
    pub fn auth(mut self, auth: impl Into<Value>) -> Self {
        self.auth = Some(auth.into());
        self
    }

    /// Decides from the server's id and the `auth` of its application whether to stay. Without it
    /// every server is accepted.
    #[must_use]
    pub fn accept_if<F>(mut self, check: F) -> Self
    where
        F: FnOnce(&Id, Option<&Json>) -> bool + Send + 'static,
    {
        self.check = Some(Box::new(check));
        self
    }

    /// How long connecting may take until the server has let us in; 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Offers permessage-deflate, and compresses messages of at least so many bytes if the server accepts it. By
    /// default it is not offered.
    #[must_use]
    pub fn deflate(mut self, bytes_min: u32) -> Self {
        self.deflate_bytes_min = Some(bytes_min);
        self
    }

    /// Which servers the client trusts at `wss://` addresses. By default: those that present a certificate for their
    /// name from an authority that the system trusts.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.tls.trust = trust;
        self
    }

    /// The certificate that the client shows at `wss://` addresses to hubs that ask for one, as a credential.
    #[must_use]
    pub fn client_certificate(mut self, certificate: Certificate) -> Self {
        self.tls.certificate = Some(certificate);
        self
    }

    /// How long answers may take where nothing else is said; 30 s unless set.
    #[must_use]
    pub fn reply_timeout(mut self, timeout: Duration) -> Self {
        self.reply_timeout = timeout;
        self
    }

    /// After which silence the server is sent a probe, and how many probes may
    /// stay unanswered before it is given up, one more interval later; 5 s and 2 unless set. The
    /// interval is at least 10 ms.
    #[must_use]
    pub fn heartbeat(mut self, interval: Duration, missed: u32) -> Self {
        self.config.heartbeat_interval =
            interval.clamp(Duration::from_millis(10), Duration::from_secs(24 * 60 * 60));
        self.config.unanswered_max = missed;
        self
    }

    /// Bytes of JSON text in the largest value that is taken, and in all unfinished ones of one peer;
    /// 32 MiB unless set. Values above 1 MiB travel in pieces.
    #[must_use]
    pub fn value_bytes_max(mut self, bytes: usize) -> Self {
        self.config.link.pieces.bytes_max = bytes;
        self
    }

    /// Bytes of one WebSocket message, which is a value or a piece of it; 8 MiB unless set. Pieces
    /// of originals have up to 6 MiB when they are encrypted.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.limits.message_bytes_max = bytes;
        self
    }

    /// Messages and calls whose handlers are not done, and their bytes, before nothing more is read;
    /// 1024 and 32 MiB unless set.
    #[must_use]
    pub fn handling_max(mut self, count: usize, bytes: usize) -> Self {
        self.limits.held_max = count.max(1);
        self.limits.held_bytes_max = bytes.max(1);
        self
    }

    /// Requests that may wait for answers on one link; 4096 unless set. Further ones wait to be sent.
    #[must_use]
    pub fn requests_max(mut self, count: usize) -> Self {
        self.config.link.requests_max = count.max(1);
        self
    }

    /// Bytes of JSON text that may wait to be written on one link before sending waits; 32 MiB
    /// unless set.
    #[must_use]
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.config.link.queue_bytes_max = bytes;
        self
    }

    /// Proxied peers at once; 256 unless set. Further ones that ask for us are sent away.
    #[must_use]
    pub fn proxied_max(mut self, count: usize) -> Self {
        self.config.proxied_max = count;
        self
    }

    /// Sends `null`, `false`, `0` and `""` as they are. All peers understand them, but the original
    /// cannot send them: it sends `{}` instead, and so does this client unless this is set.
    #[must_use]
    pub fn keep_falsy(mut self, keep: bool) -> Self {
        self.config.link.keep_falsy = keep;
        self
    }

    /// Answers calls of a method of any peer. Methods in objects are written with dots: `ns.sum`.
    #[must_use]
    pub fn serve<F, R, T, E>(self, method: &str, handler: F) -> Self
    where
        F: Fn(Call) -> R + Send + Sync + 'static,
        R: Future<Output = Result<T, E>> + Send + 'static,
        T: Into<Arg>,
        E: fmt::Display,
    {
        self.handlers.serve(method, handler);
        self
    }

    /// Handles the messages of all peers, those of one peer one after the other. Without a handler
    /// messages are dropped.
    #[must_use]
    pub fn on_message<F, R, T>(self, handler: F) -> Self
    where
        F: Fn(Message) -> R + Send + Sync + 'static,
        R: Future<Output = T> + Send + 'static,
        T: Into<Reply>,
    {
        self.handlers.on_message(handler);
        self
    }

    /// Connects to `ws://HOST:PORT/` or `wss://HOST:PORT/` and waits until the server has let us in. Without a port it is
    /// 7680, that of a Crosspoint hub.
    ///
    /// An original finds out that an id is in use only after it has let us in; then the connection
    /// ends at once, see [`Peer::closed`].
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect(self, address: &str) -> Result<Peer, ConnectError> {
        let endpoint = match address.parse() {
            Ok(endpoint @ Endpoint::WebSocket { .. }) => {
                endpoint.with_tls(self.tls.clone()).deflating(self.deflate_bytes_min)
            }
            _ => return Err(ConnectError::Address(address.to_owned())),
        };
        let after = self.timeout;
        let connected = tokio::time::timeout(after, self.connected(&endpoint)).await;
        connected.unwrap_or_else(|_elapsed| {
            Err(ConnectError::TimedOut { address: endpoint.to_string(), after })
        })
    }

    async fn connected(self, endpoint: &Endpoint) -> Result<Peer, ConnectError> {
        let id = self.id.map_or_else(PeerId::random, Ok);
        let id = id.map_err(|error| ConnectError::NoId(error.to_string()))?;
        let auth = self.auth.as_ref().map(Json::new).transpose();
        let auth = auth.map_err(|error| ConnectError::Auth(error.to_string()))?;
        let unreachable =
            |source| ConnectError::Unreachable { address: endpoint.to_string(), source };
        let dialed = dial(endpoint).await.map_err(unreachable)?;
        let messages = Messages::new(dialed, self.limits.message_bytes_max)
            .ok_or_else(|| unreachable(io::ErrorKind::Unsupported.into()))?;
        let machine = Machine::new(self.config, id, auth);
        let shared = Arc::new(Shared::new(machine, self.handlers, self.reply_timeout));
        let handle = Arc::new(Handle { shared: shared.clone() });
        let (ready, connected) = oneshot::channel();
        let driver =
            Driver::new(shared, messages, Arc::downgrade(&handle), self.limits, self.check, ready);
        tokio::spawn(driver.run());
        match connected.await.unwrap_or(Err(Ended::There)) {
            Ok(link) => Ok(Peer { handle, link }),
            Err(ended) => Err(ConnectError::Refused { address: endpoint.to_string(), ended }),
        }
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("id", &self.id)
            .field("config", &self.config)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}
