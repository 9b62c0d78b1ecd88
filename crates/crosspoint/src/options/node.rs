//! How a node introduces itself, and its bounds.

use super::Heartbeat;
use crosspoint_hub::PeerId;
use crosspoint_hub::command::Hello;
use crosspoint_net::client::Endpoint;
use crosspoint_net::tls::client::ClientTls;
use crosspoint_proto::identity::Identity;
use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

/// What a [`NodeBuilder`](crate::NodeBuilder) has been told, which explains each of them.
#[derive(Debug, Clone)]
pub(crate) struct NodeOptions {
    pub(crate) hello: Hello,
    pub(crate) agent: Option<String>,
    pub(crate) timeout: Duration,
    pub(crate) queue_bytes: u32,
    pub(crate) inbox_bytes: usize,
    pub(crate) held_bytes: usize,
    pub(crate) incoming_max: usize,
    pub(crate) stream_window: u32,
    pub(crate) identity: Option<Arc<Identity>>,
    pub(crate) accept_unproven: bool,
    pub(crate) unbound_proof: bool,
    pub(crate) require_encryption: bool,
    pub(crate) pins: Pins,
    pub(crate) resume: Resume,
    pub(crate) heartbeat: Heartbeat,
    /// How it speaks TLS, at addresses with it.
    pub(crate) tls: ClientTls,
    /// From which size on it compresses messages in WebSockets, if it offers that.
    pub(crate) deflate_bytes_min: Option<u32>,
}

impl Default for NodeOptions {
    fn default() -> Self {
        Self {
            hello: Hello::default(),
            agent: None,
            timeout: Duration::from_secs(10),
            queue_bytes: 1 << 20,
            inbox_bytes: 16 << 20,
            held_bytes: 64 << 20,
            incoming_max: 16_384,
            stream_window: 256 * 1024,
            identity: None,
            accept_unproven: false,
            unbound_proof: false,
            require_encryption: false,
            pins: Pins::default(),
            resume: Resume::default(),
            heartbeat: Heartbeat::default(),
            tls: ClientTls::default(),
            deflate_bytes_min: None,
        }
    }
}

/// Whose names were pinned, see [`NodeBuilder::pin`](crate::NodeBuilder::pin).
#[derive(Debug, Clone, Default)]
pub(crate) struct Pins(HashMap<String, PeerId>);

impl Pins {
    pub(crate) fn insert(&mut self, name: String, id: PeerId) {
        self.0.insert(name, id);
    }

    /// To whom a name is pinned.
    pub(crate) fn get(&self, name: &str) -> Option<PeerId> {
        self.0.get(name).copied()
    }

    /// Whether some name is pinned to this id.
    pub(crate) fn has(&self, id: PeerId) -> bool {
        self.0.values().any(|pinned| *pinned == id)
    }
}

/// Whether a node comes back after a lost connection, and where else.
#[derive(Debug, Clone, Default)]
pub(crate) struct Resume {
    pub(crate) wanted: bool,
    pub(crate) others: Vec<Endpoint>,
}
