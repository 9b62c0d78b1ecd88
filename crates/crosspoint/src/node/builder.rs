//! How a node is set up.

use crate::address::Address;
use crate::options::{Heartbeat, NodeOptions};
use crate::peer::{Handlers, Request, raw, typed};
use bytes::Bytes;
use crosspoint_hub::PeerId;
use crosspoint_hub::payload::{Failure, Payload};
use crosspoint_net::tls::client::Trust;
use crosspoint_proto::identity::Identity;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::sync::Arc;
use std::time::Duration;

/// How a node introduces itself, and its bounds.
#[derive(Debug, Clone, Default)]
pub struct NodeBuilder {
    pub(super) options: NodeOptions,
    pub(super) handlers: Handlers,
}

impl NodeBuilder {
    /// A name to show to others, and to be found by. It is unique at the hub: if somebody has it
    /// already, connecting fails with [`NameTaken`](crate::Reason::NameTaken), or that one has to go,
    /// as the hub is set up. It has 1 to 255 bytes; the empty name is none.
    #[must_use]
    pub fn name(mut self, name: impl Into<String>) -> Self {
        self.options.hello.name = Some(name.into());
        self
    }

    /// The hub's access token. With [`listen`](Self::listen): what those have to show who connect.
    #[must_use]
    pub fn token(mut self, token: impl Into<Bytes>) -> Self {
        self.options.hello.token = Some(token.into());
        self
    }

    /// The id to be known by. The hub gives one if none is set. It is a claim: with an
    /// [`identity`](Self::identity) it is proven.
    #[must_use]
    pub fn peer_id(mut self, peer: PeerId) -> Self {
        self.options.hello.peer = Some(peer);
        self
    }

    /// The program's name and version, for the hub's logs.
    #[must_use]
    pub fn agent(mut self, agent: impl Into<String>) -> Self {
        self.options.agent = Some(agent.into());
        self
    }

    /// How long connecting may take until the hub's welcome; 10 s unless set.
    #[must_use]
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.options.timeout = timeout;
        self
    }

    /// How many bytes may wait to be read from one owner or member, 64 for each event counted in;
    /// 1 MiB unless set. While more wait, the node reads nothing more from the hub.
    #[must_use]
    pub fn queue_bytes(mut self, bytes: u32) -> Self {
        self.options.queue_bytes = bytes.max(1);
        self
    }

    /// Comes back by itself when the connection is lost: the hub waits for a while (20 s unless it
    /// is set otherwise), and nothing is lost, doubled or reordered meanwhile. Channels, links and
    /// requests go on as if it had been slow. [`Node::connectivity`](crate::Node::connectivity) tells what is going on, and
    /// what was lost if it took too long (docs/resume.md). A peote-server cannot do this.
    #[must_use]
    pub fn resume(mut self) -> Self {
        self.options.resume.wanted = true;
        self
    }

    /// As [`resume`](Self::resume), and tries this place too, which may be the same hub over another
    /// transport. Can be said several times.
    #[must_use]
    pub fn resume_at(mut self, address: Address) -> Self {
        self.options.resume.others.push(address.endpoint);
        self.resume()
    }

    /// Whom the node trusts at addresses with TLS (`tls://` and `wss://`); unless set, servers for whose name an
    /// authority vouches that the system trusts.
    #[must_use]
    pub fn trust(mut self, trust: Trust) -> Self {
        self.options.trust = trust;
        self
    }

    /// How the node and its hub find out whether the other still lives. Without effect on a peote-server.
    #[must_use]
    pub fn heartbeat(mut self, heartbeat: Heartbeat) -> Self {
        self.options.heartbeat = heartbeat;
        self
    }

    /// The key that the node's peer id comes from, which the hub checks. With it links can be
    /// [encrypted](crate::Peer::secure). An id that was set is ignored then.
    ///
    /// Connecting fails with [`ConnectError::Unproven`](crate::ConnectError::Unproven) at a hub that
    /// does not ask for the proof, unless that is [accepted](Self::accept_unproven).
    #[must_use]
    pub fn identity(mut self, identity: Identity) -> Self {
        self.options.identity = Some(Arc::new(identity));
        self
    }

    /// Goes on with an [identity](Self::identity) at a hub that does not ask for the proof. The ids
    /// of all peers there are claims that nobody has checked, and that of this node is what the hub
    /// [says](crate::Node::peer_id). Encrypted links are as safe as anywhere: each side proves its key to
    /// the other. Only needed for hubs that are no Crosspoint.
    #[must_use]
    pub fn accept_unproven(mut self) -> Self {
        self.options.accept_unproven = true;
        self
    }

    /// Every link of the node, opened by either side, is encrypted before anything else is sent or
    /// taken. Links to nodes without [identity](Self::identity) end.
    #[must_use]
    pub fn require_encryption(mut self) -> Self {
        self.options.require_encryption = true;
        self
    }

    /// Pins a name to the key that belongs to this id: a link to or from a peer of whom a hub says that
    /// it has the name is there only if the peer has the id, and proves it by encryption before
    /// anything is sent or taken. The same holds for each link at whose far end somebody says to have the id. A node
    /// of that name cannot pass on links of others to this one. Any other attempt fails, with [`PeerError::NotPinned`](crate::PeerError::NotPinned) if already
    /// the hub says so. Needs an [identity](Self::identity).
    ///
    /// Without a pin it is the hub alone that says whose a name is.
    #[must_use]
    pub fn pin(mut self, name: impl Into<String>, id: PeerId) -> Self {
        self.options.pins.insert(name.into(), id);
        self
    }

    /// How many bytes of each stream may be on their way to this node without having been read, 1
    /// to 2147483647; 256 KiB unless set. A larger window is faster over a long way.
    #[must_use]
    pub fn stream_window(mut self, bytes: u32) -> Self {
        self.options.stream_window = bytes;
        self
    }

    /// How many bytes may wait to be read or handled from one [`Peer`](crate::Peer), 64 for each event counted
    /// in; 16 MiB unless set. The message that goes beyond is still taken; with the next one the link
    /// ends with [`SlowReceiver`](crate::Reason::SlowReceiver). Requests and streams that go beyond are
    /// refused.
    #[must_use]
    pub fn inbox_bytes(mut self, bytes: usize) -> Self {
        self.options.inbox_bytes = bytes;
        self
    }

    /// How many bytes of what others have sent this node holds, over all its connections: messages that are
    /// not whole, what waits in the inboxes of [`Peer`](crate::Peer)s and in their handlers, streams that were not read,
    /// and links that are passed on; 64 MiB unless set. One peer may hold as much as is free then, so half of
    /// it if it is the only one. Its link that goes beyond ends with [`Exhausted`](crate::Reason::Exhausted); a member
    /// of a channel is kicked, and an owner's channel is left.
    ///
    /// A message needs room for all of its bytes, and so does an inbox or a
    /// [window](Self::stream_window) that is to be filled. Up to 2 KiB of each link are free.
    #[must_use]
    pub fn held_bytes(mut self, bytes: usize) -> Self {
        self.options.held_bytes = bytes;
        self
    }

    /// How many links that others have opened there may be, over all connections; 16,384 unless set. One peer
    /// may have as many as are free then. Those above end with [`TooManyLinks`](crate::Reason::TooManyLinks). A
    /// link takes about 2 KiB.
    #[must_use]
    pub fn incoming_max(mut self, links: usize) -> Self {
        self.options.incoming_max = links;
        self
    }

    /// See [`Node::handle`](crate::Node::handle); set here it is there before the first request can come.
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

    /// See [`Node::serve`](crate::Node::serve); set here it is there before the first request can come.
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
