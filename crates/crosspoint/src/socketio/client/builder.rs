//! How a client introduces itself, and connects.

use super::driver::{Driver, Limits};
use super::handlers::{Event, Outcome};
use super::shared::{Handle, Handlers, Shared};
use super::{
    Address, Backoff, Config, ConnectError, Ended, Generation, Notice, Revision, Socket, Stream,
    Transports,
};
use crosspoint_net::engineio::client::{Target, escaped};
use crosspoint_net::tls::certificate::Certificate;
use crosspoint_net::tls::client::{ClientTls, Trust};
use serde::Serialize;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::oneshot;

/// A client of Socket.IO servers; see [`Client::builder`].
#[derive(Debug, Clone, Copy)]
pub struct Client;

impl Client {
    /// Says who one is, and what one handles, before connecting.
    pub fn builder() -> ClientBuilder {
        ClientBuilder::default()
    }
}

/// How a client introduces itself, what it handles, and its bounds.
pub struct ClientBuilder {
    config: Config,
    limits: Limits,
    handlers: Handlers,
    path: String,
    query: Vec<(String, String)>,
    auth: Option<Result<String, String>>,
    namespace: Option<String>,
    transports: Transports,
    timeout: Duration,
    backoff: Option<Backoff>,
    tls: ClientTls,
    deflate_bytes_min: Option<u32>,
    message_bytes_max: usize,
}

impl Default for ClientBuilder {
    fn default() -> Self {
        Self {
            config: Config::default(),
            limits: Limits::default(),
            handlers: Handlers::default(),
            path: "/socket.io/".to_owned(),
            query: Vec::new(),
            auth: None,
            namespace: None,
            transports: Transports::default(),
            timeout: Duration::from_secs(20),
            backoff: Some(Backoff::default()),
            tls: ClientTls::default(),
            deflate_bytes_min: None,
            message_bytes_max: 16 << 20,
        }
    }
}

impl ClientBuilder {
    /// The name by which other clients know this one (`clientId`). Only a client with a name speaks the words of the
    /// plugin; to others they are events as any.
    #[must_use]
    pub fn client_id(mut self, id: impl Into<String>) -> Self {
        self.config.client_id = Some(id.into());
        self
    }

    /// Which generation of the plugin is spoken; the second unless set. The first one is spoken over Engine.IO 3, unless
    /// [`revision`](Self::revision) says something else behind this.
    #[must_use]
    pub fn generation(mut self, generation: Generation) -> Self {
        self.config.generation = generation;
        if generation == Generation::First {
            self.config.revision = Revision::Three;
        }
        self
    }

    /// Which revision of Engine.IO is spoken, which has to be that of the server: 3 with a server of Socket.IO 2, 4 with a
    /// newer one. A hub speaks both. 4 unless set.
    #[must_use]
    pub fn revision(mut self, revision: Revision) -> Self {
        self.config.revision = revision;
        self
    }

    /// The path of the server; `/socket.io/` unless set.
    #[must_use]
    pub fn path(mut self, path: &str) -> Self {
        self.path = format!("/{}/", path.trim_matches('/'));
        self
    }

    /// What else stands in the query of the address, for the server.
    #[must_use]
    pub fn query(mut self, key: impl Into<String>, value: impl Into<String>) -> Self {
        self.query.push((key.into(), value.into()));
        self
    }

    /// What is given to the server to be let in: a map or struct. Engine.IO 3 has no place for it; there it goes into the
    /// [`query`](Self::query).
    #[must_use]
    pub fn auth<T: Serialize + ?Sized>(mut self, auth: &T) -> Self {
        let text = serde_json::to_string(auth).map_err(|error| error.to_string());
        self.auth = Some(text.and_then(|text| match text.starts_with('{') {
            true => Ok(text),
            false => Err("it is no object".to_owned()),
        }));
        self
    }

    /// The namespace; that of the address, or the root, unless set.
    #[must_use]
    pub fn namespace(mut self, namespace: &str) -> Self {
        self.namespace = Some(format!("/{}", namespace.trim_start_matches('/')));
        self
    }

    /// What carries the connection: requests at first and then a WebSocket, as with the originals, unless set.
    #[must_use]
    pub fn transports(mut self, transports: Transports) -> Self {
        self.transports = transports;
        self
    }

    /// How long connecting may take until the server has let us in; 20 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How to connect again after a connection is lost: after 1 s, doubling up to 5 s, each longer or shorter by up to
    /// half, without end unless set. `None`: not at all. A client that the server has put out or does not let in does not
    /// connect again.
    #[must_use]
    pub fn reconnection(mut self, backoff: impl Into<Option<Backoff>>) -> Self {
        self.backoff = backoff.into();
        self
    }

    /// Which servers the client trusts at `https://` addresses. By default: those that present a certificate for their
    /// name from an authority that the system trusts.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.tls.trust = trust;
        self
    }

    /// The certificate that the client shows at `https://` addresses to servers that ask for one.
    #[must_use]
    pub fn client_certificate(mut self, certificate: Certificate) -> Self {
        self.tls.certificate = Some(certificate);
        self
    }

    /// Offers permessage-deflate, and compresses messages of at least so many bytes if the server accepts it. By default it
    /// is not offered.
    #[must_use]
    pub fn deflate(mut self, bytes_min: u32) -> Self {
        self.deflate_bytes_min = Some(bytes_min);
        self
    }

    /// Bytes of the largest message of the transport that is taken; 16 MiB unless set. An answer to a request may have
    /// twice as many.
    #[must_use]
    pub fn message_bytes_max(mut self, bytes: usize) -> Self {
        self.message_bytes_max = bytes;
        self
    }

    /// Bytes of the largest event or acknowledgement with its attachments, in both directions; 16 MiB unless set. Servers
    /// made with node take 1 MB, unless they are told to take more.
    #[must_use]
    pub fn packet_bytes_max(mut self, bytes: usize) -> Self {
        self.config.packet_bytes_max = bytes;
        self
    }

    /// Bytes that may wait to be written before saying something waits; 16 MiB unless set.
    #[must_use]
    pub fn queue_bytes_max(mut self, bytes: usize) -> Self {
        self.config.queue_bytes_max = bytes;
        self
    }

    /// Acknowledgements that may be waited for; 16384 unless set. Above, asking fails.
    #[must_use]
    pub fn acks_max(mut self, count: usize) -> Self {
        self.config.acks_max = count;
        self
    }

    /// Events whose handlers are not done, and their bytes, before nothing more is read; 1024 and 32 MiB unless set. A
    /// client that reads nothing for longer than the heartbeat of the server takes loses its connection.
    #[must_use]
    pub fn handling_max(mut self, count: usize, bytes: usize) -> Self {
        self.limits.held_max = count.max(1);
        self.limits.held_bytes_max = bytes.max(1);
        self
    }

    /// Streams at once; 256 unless set. Further ones that others open are refused.
    #[must_use]
    pub fn streams_max(mut self, count: usize) -> Self {
        self.config.streams_max = count;
        self
    }

    /// Bytes of a stream that are unread before its writer has to wait; 64 KiB unless set.
    #[must_use]
    pub fn stream_window(mut self, bytes: usize) -> Self {
        self.config.stream_window = bytes.max(1);
        self
    }

    /// Bytes of all streams that are unread; 32 MiB unless set. Writers that do not wait can reach that: then their stream
    /// is destroyed.
    #[must_use]
    pub fn stream_bytes_max(mut self, bytes: usize) -> Self {
        self.config.stream_bytes_max = bytes;
        self
    }

    /// As [`Socket::on`].
    #[must_use]
    pub fn on<F, R>(self, event: &str, handler: F) -> Self
    where
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.handlers.on(event, handler);
        self
    }

    /// As [`Socket::on_any`].
    #[must_use]
    pub fn on_any<F, R>(self, handler: F) -> Self
    where
        F: Fn(Event) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.handlers.on_any(handler);
        self
    }

    /// As [`Socket::on_notice`].
    #[must_use]
    pub fn on_notice<F, R>(self, handler: F) -> Self
    where
        F: Fn(Notice) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.handlers.on_notice(handler);
        self
    }

    /// As [`Socket::on_stream`].
    #[must_use]
    pub fn on_stream<F, R>(self, handler: F) -> Self
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.handlers.on_stream(None, handler);
        self
    }

    /// As [`Socket::on_stream_in`].
    #[must_use]
    pub fn on_stream_in<F, R>(self, channel: &str, handler: F) -> Self
    where
        F: Fn(Stream) -> R + Send + Sync + 'static,
        R: Future<Output: Outcome> + Send + 'static,
    {
        self.handlers.on_stream(Some(channel), handler);
        self
    }

    /// Connects, and waits until the server has let us in. If that fails, no further attempt is made; a connection that is
    /// lost later is another matter.
    ///
    /// A second client with the same name is put out just after it was let in; see [`Socket::closed`].
    ///
    /// # Errors
    /// [`ConnectError`]
    pub async fn connect<A>(self, address: A) -> Result<Socket, ConnectError>
    where
        A: TryInto<Address>,
        ConnectError: From<A::Error>,
    {
        let (ready, connected) = oneshot::channel();
        let address: Address = address.try_into()?;
        let shown = address.to_string();
        let socket = self.started(address, Some(ready))?;
        match connected.await {
            Ok(Ok(())) => Ok(socket),
            Ok(Err(error)) => Err(error),
            // The runtime is about to end.
            Err(_) => Err(ConnectError::Ended { address: shown, ended: Ended::Here }),
        }
    }

    /// Connects in the background, as often as it takes. What is said before waits.
    ///
    /// # Errors
    /// [`ConnectError::Address`], [`ConnectError::Auth`]
    ///
    /// # Panics
    /// Outside a tokio runtime with I/O and time.
    pub fn start<A>(self, address: A) -> Result<Socket, ConnectError>
    where
        A: TryInto<Address>,
        ConnectError: From<A::Error>,
    {
        self.started(address.try_into()?, None)
    }

    fn started(
        mut self,
        address: Address,
        ready: Option<oneshot::Sender<Result<(), ConnectError>>>,
    ) -> Result<Socket, ConnectError> {
        self.config.auth = self.auth.take().transpose().map_err(ConnectError::Auth)?;
        if let Some(namespace) = self.namespace.take().or_else(|| address.namespace.clone()) {
            self.config.namespace = namespace;
        }
        let address = address.with_tls(self.tls);
        let id = self.config.client_id.clone().map(|id| ("clientId".to_owned(), id));
        let query = id.into_iter().chain(self.query);
        let query = query.map(|(key, value)| format!("{}={}", escaped(&key), escaped(&value)));
        let target = Target {
            endpoint: address.endpoint.clone(),
            authority: address.authority.clone(),
            path: self.path,
            query: query.collect::<Vec<_>>().join("&"),
            revision: self.config.revision,
            transports: self.transports,
            deflate_bytes_min: self.deflate_bytes_min,
            message_bytes_max: self.message_bytes_max,
        };
        let shared = Shared::new(self.handlers);
        let handle = Arc::new(Handle { shared: shared.clone() });
        let driver = Driver {
            shared,
            handle: Arc::downgrade(&handle),
            config: self.config,
            target,
            address: address.to_string(),
            limits: self.limits,
            timeout: self.timeout,
            backoff: self.backoff,
            before: None,
            ready,
        };
        tokio::spawn(driver.run());
        Ok(Socket { handle })
    }
}

impl fmt::Debug for ClientBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ClientBuilder")
            .field("client_id", &self.config.client_id)
            .field("generation", &self.config.generation)
            .field("revision", &self.config.revision)
            .field("handlers", &self.handlers)
            .finish_non_exhaustive()
    }
}
