//! A session for unit tests.

use super::{AnySocket, Options};
use bytes::Bytes;
use crosspoint_hub::PeerId;
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::FrameWriter;
use std::sync::Arc;
use std::time::Instant;

/// A session whose client has said who it is. What that gives to do is not taken yet.
pub(super) fn session(now: Instant, guard_races: bool) -> (AnySocket, FrameWriter) {
    let options = Options {
        id: PeerId::new([0x5e; 16]),
        auth: None,
        limits: Arc::default(),
        clock: || 0,
        guard_races,
        encrypt: false,
    };
    let mut session = AnySocket::new(now, options);
    let auth = format!("11\0\0\0\x01{{\"id\":\"{}\"}}", "a1".repeat(16));
    session.receive(now, Bytes::from(auth));
    session.message_ended(now);
    (session, FrameWriter::default())
}
