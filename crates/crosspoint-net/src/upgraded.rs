//! What is answered to an upgrade to WebSocket that is accepted.

use crate::remote::Remote;
use crate::ws::Deflate;
use crate::ws::handshake::{self, Upgrade};
use bytes::Bytes;
use crosspoint_hub::Hub;

/// An upgrade that is accepted.
#[derive(Debug, Clone)]
pub(crate) struct Accepted {
    /// The answer.
    pub(crate) answer: Bytes,
    /// Where the request comes from.
    pub(crate) remote: Remote,
    /// What is agreed on compression.
    pub(crate) deflate: Option<Deflate>,
}

impl Accepted {
    /// Accepts an upgrade, with compression if the client offers it and the hub wants it.
    pub(crate) fn new(
        hub: &Hub,
        upgrade: &Upgrade,
        protocol: Option<&str>,
        remote: Remote,
    ) -> Self {
        let agreed = upgrade.deflate.zip(hub.limits.compressed_bytes_min);
        let answer = handshake::response(&upgrade.key, protocol, agreed.map(|(answer, _)| answer));
        // The bounds of frames and messages hold for what is inflated.
        let deflate =
            agreed.map(|(_, bytes_min)| Deflate { bytes_min, inflated_bytes_max: u32::MAX });
        Self { answer, remote, deflate }
    }
}
