//! How a node is set up.

use crate::address::Address;
use crate::options::{Heartbeat, NodeOptions};
use crate::peer::{Handlers, Request, raw, typed};
use bytes::Bytes;
use crosspoint_hub::PeerId;
use crosspoint_hub::payload::{Failure, Payload};
use crosspoint_net::tls::certificate::Certificate;
use crosspoint_net::tls::client::Trust;
use crosspoint_proto::identity::Identity;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// Configures a [`Node`](crate::Node) before it connects: its name, credentials and limits.
#[derive(Debug, Clone, Default)]
pub struct NodeBuilder {
    pub(super) options: NodeOptions,
    pub(super) handlers: Handlers,
}

impl NodeBuilder {
    /// Sets the name by which others find this node, 1 to 255 bytes; the empty name is none. A name is unique at
    /// the hub. If another session has it, connecting fails with [`NameTaken`](crate::Reason::NameTaken), or the
    /// other session is replaced, depending on the configuration of the hub.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.hello.name = Some(name.into());
        self
    }

    /// Sets the access token of the hub. With [`listen`](Self::listen): the token that clients must present.
    #[must_use]
    pub fn token(mut self, token: impl Into<Bytes>) -> Self {
        self.options.hello.token = Some(token.into());
        self
    }

    /// Sets the peer id of this node. The hub assigns one if none is set. The id is a claim; with an
    /// [`identity`](Self::identity) it is proven.
    #[must_use]
    pub fn peer_id(mut self, peer: PeerId) -> Self {
        self.options.hello.peer = Some(peer);
        self
    }

    /// Sets the name and version of the program, for the logs of the hub.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.options.agent = Some(agent.into());
        self
    }

    /// Sets how long connecting may take until the welcome of the hub. The default is 10 s.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// Sets how many bytes of events may wait in one [`Owner`](crate::Owner) or [`Member`](crate::Member). Each event
    /// counts 64 bytes in addition. The default is 1 MiB. While more wait, the node reads nothing from the hub.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: u32) -> Self {
        self.options.queue_bytes = bytes.max(1);
        self
    }

    /// Reconnects automatically when the connection is lost. The hub keeps the session for a while (20 s by
    /// default), and nothing is lost, duplicated or reordered meanwhile. Channels, links and requests continue as if
    /// the connection had been slow. [`Node::connectivity`](crate::Node::connectivity) reports the state of the
    /// connection, and what was lost if reconnecting took too long (docs/resume.md). A peote-server does not support
    /// this.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.options.resume.wanted = true;
        self
    }

    /// Like [`resume`](Self::resume), and also tries this address, for example the same hub over another
    /// transport. Can be called several times.
    #[must_use]
    pub fn resume_at(mut self, address: Address) -> Self {
        self.options.resume.others.push(address.endpoint);
        self.resume()
    }

    /// Sets which servers the node trusts at addresses with TLS (`tls://` and `wss://`). The default is servers with a
    /// certificate for their name from an authority that the system trusts.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.options.tls.trust = trust;
        self
    }

    /// Sets the certificate that the node shows, at addresses with TLS, to hubs that ask for one. It is a credential:
    /// the hub decides what the node may do with it, and may take the name of the node from it. What the certificate
    /// says is visible to the hub only.
    #[must_use]
    pub fn client_certificate(mut self, certificate: Certificate) -> Self {
        self.options.tls.certificate = Some(certificate);
        self
    }

    /// Offers permessage-deflate to hubs at addresses with WebSockets (`ws://` and `wss://`), and compresses messages of
    /// at least this many bytes if the hub accepts. The default is not to. A hub accepts if its setting
    /// `websocket.deflate` is on. It does not compress what it sends to a node that [resumes](Self::resume).
    #[must_use]
    pub fn deflate(mut self, bytes_min: u32) -> Self {
        self.options.deflate_bytes_min = Some(bytes_min);
        self
    }

    /// Sets how node and hub detect that the other one is gone. It has no effect on a peote-server.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Self {
        self.options.heartbeat = heartbeat;
        self
    }

    /// Sets the key that determines the peer id of the node. The hub checks a proof of it. Links can be
    /// [encrypted](crate::Peer::secure) with it. An id that was set is ignored then.
    ///
    /// Connecting fails with [`ConnectError::Unproven`](crate::ConnectError::Unproven) at a hub that
    /// does not ask for the proof, unless that is [accepted](Self::accept_unproven).
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.options.identity = Some(Arc::new(identity));
        self
    }

    /// Accepts a hub that does not ask for a proof of the [identity](Self::identity). The ids of all peers
    /// there are unchecked claims, and the id of this node is the one that the hub
    /// [assigns](crate::Node::peer_id). Encrypted links are as safe as at other hubs, because each side proves its
    /// key to the other. This is only needed for hubs that are not Crosspoint.
    #[must_use]
    pub fn accept_unproven(mut self) -> Self {
        self.options.accept_unproven = true;
        self
    }

    /// Proves the [identity](Self::identity) without binding the proof to the TLS connection. This is needed at
    /// addresses with TLS where a proxy ends TLS before the hub. Whoever ends TLS there can hold a session at the hub
    /// with the peer id of this node. Over TLS that the hub itself ends, and over TLS 1.3 only, the proof is bound by
    /// default, so that nobody else can use it; a hub refuses an unbound one there.
    #[must_use]
    pub fn unbound_proof(mut self) -> Self {
        self.options.unbound_proof = true;
        self
    }

    /// Requires that every link of the node, opened by either side, is encrypted before any other data is sent or
    /// accepted. Links to nodes without an [identity](Self::identity) end.
    #[must_use]
    pub fn require_encryption(mut self) -> Self {
        self.options.require_encryption = true;
        self
    }

    /// Pins a name to the key of this id. A link to or from a peer that has the name at the hub is opened only if the
    /// peer has the id, and proves it by encryption before any other data is sent or accepted. The same applies to each
    /// link whose far end claims the id. A node with a pinned name cannot forward links of others to this node. Any
    /// other attempt fails, with [`PeerError::NotPinned`](crate::PeerError::NotPinned) if the answer of the hub already
    /// contradicts the pin. Needs an [identity](Self::identity).
    ///
    /// Without a pin, only the hub decides which peer has a name.
    #[must_use]
    pub fn pin(mut self, name: impl Into<String>, id: PeerId) -> Self {
        self.options.pins.insert(name.into(), id);
        self
    }

    /// Sets how many bytes of each stream may be in flight to this node without having been read, 1 to
    /// 2147483647. The default is 256 KiB. A larger window is faster over connections with a long round trip.
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.options.stream_window = bytes;
        self
    }

    /// Sets how many bytes of one [`Peer`](crate::Peer) may wait to be read or handled. Each event counts 64 bytes in
    /// addition. The default is 16 MiB. The message that exceeds it is still accepted; with the next one the link ends
    /// with [`SlowReceiver`](crate::Reason::SlowReceiver). Requests and streams that exceed it are refused.
    #[must_use]
    pub fn inbox_bytes(mut self, bytes: usize) -> Self {
        self.options.inbox_bytes = bytes;
        self
    }

    /// Sets how many bytes of data from others this node holds, over all its connections: incomplete messages, data in
    /// the inboxes of [`Peer`](crate::Peer)s and in their handlers, unread streams, and forwarded links. The default is
    /// 64 MiB. One peer may hold as much as is free at that moment, so half of it if it is the only one. A link that
    /// exceeds it ends with [`Exhausted`](crate::Reason::Exhausted). A member of a channel is kicked, and the channel of
    /// an owner is left.
    ///
    /// The limit has to leave room for the largest message, and for the inboxes and
    /// [windows](Self::stream_window) that should be filled. Up to 2 KiB of each link are free.
    #[must_use]
    pub fn held_bytes(mut self, bytes: usize) -> Self {
        self.options.held_bytes = bytes;
        self
    }

    /// Sets how many links others may have opened, over all connections. The default is 16,384. One peer may have as
    /// many as are free at that moment. Links above it end with [`TooManyLinks`](crate::Reason::TooManyLinks). A link
    /// takes about 2 KiB.
    #[must_use]
    pub fn incoming_max(mut self, links: usize) -> Self {
        self.options.incoming_max = links;
        self
    }

    /// Sets a handler as [`Node::handle`](crate::Node::handle) does, before the first request can arrive.
    #[must_use]
    pub fn handle<F, T, P>(self, method: impl Into<String>, handler: F) -> Self
    where
        F: Fn(Request) -> T + Send + Sync + 'static,
        T: Future<Output = Result<P, Failure>> + Send + 'static,
        P: Into<Payload>,
    {
        self.handlers.insert(method.into(), raw(handler));
        self
    }

    /// Sets a handler as [`Node::serve`](crate::Node::serve) does, before the first request can arrive.
    #[must_use]
    pub fn serve<A, F, T, R>(self, method: impl Into<String>, handler: F) -> Self
    where
        A: DeserializeOwned,
        F: Fn(A) -> T + Send + Sync + 'static,
        T: Future<Output = Result<R, Failure>> + Send + 'static,
        R: Serialize,
    {
        self.handlers.insert(method.into(), typed(handler));
        self
    }
}
