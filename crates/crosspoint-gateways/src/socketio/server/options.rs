//! What an embedder sets.

use crate::socketio::packet::ATTACHMENTS_MAX;
use crosspoint_hub::{Limits, PeerName};
use std::sync::Arc;
use std::time::Duration;

/// What the hub is to its clients.
#[derive(Debug, Clone)]
pub struct Options {
    /// The bounds of the hub.
    pub limits: Arc<Limits>,
    /// The namespaces that clients may enter besides the root. Each begins with a slash.
    pub namespaces: Vec<Box<str>>,
    /// The largest message of a client in bytes, and the largest body of a request.
    pub payload_bytes_max: u32,
    /// The largest packet with its attachments, in bytes.
    pub packet_bytes_max: usize,
    /// The most attachments of a packet. The clients from npm take no packet with more than
    /// [`ATTACHMENTS_MAX`].
    pub attachments_max: u8,
    /// The most acknowledgements that one client may wait for.
    pub acks_max: usize,
    /// How long the other side may take to answer what is no emit: whether it is a target, a pair or the end of a stream.
    /// `None`: for ever.
    pub wait_time: Option<Duration>,
    /// How long the acknowledgement of an emit may take, but for a chunk of a stream. `None`: for ever.
    pub ack_time: Option<Duration>,
    /// Which generations of the plugin are served.
    pub generation: Generation,
    /// The time in milliseconds since 1970.
    pub clock: fn() -> u64,
}

/// The generations of the plugin whose events are carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Generation {
    /// All. Of clients without a `clientId` those of revision 3 are taken for the first generation.
    #[default]
    Any,
    /// All, and clients without a `clientId` are served.
    First,
    /// The second. Clients without a `clientId` are not served.
    Second,
}

impl Options {
    /// The most acknowledgements that one client may wait for, if nothing else is set.
    pub const ACKS_MAX: usize = 16_384;

    /// How long the other side may take to answer what is no emit, if nothing else is set.
    pub const WAIT_TIME: Duration = Duration::from_secs(30);

    /// With the bounds of a hub, and all else as the original has it.
    pub fn new(limits: Arc<Limits>) -> Self {
        Self {
            packet_bytes_max: limits.message_bytes_max as usize,
            limits,
            namespaces: Vec::new(),
            payload_bytes_max: 1_000_000,
            attachments_max: ATTACHMENTS_MAX,
            acks_max: Self::ACKS_MAX,
            wait_time: Some(Self::WAIT_TIME),
            ack_time: None,
            generation: Generation::Any,
            clock: || 0,
        }
    }
}

/// What a client has said when it asked for its session.
#[derive(Debug, Clone, Default)]
pub struct Start {
    /// What it calls itself (`clientId` in the query). Longer than [`PeerName::BYTES_MAX`] it is refused.
    pub client_id: Option<Box<str>>,
    /// The value of `token` in the query, which counts in revision 3.
    pub token: Option<Box<str>>,
}

impl Start {
    /// Whether the name is too long for the directory.
    pub(super) fn is_name_too_long(&self) -> bool {
        self.client_id.as_deref().is_some_and(|name| name.len() > PeerName::BYTES_MAX)
    }
}
