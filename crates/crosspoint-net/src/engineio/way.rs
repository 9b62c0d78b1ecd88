//! The way in memory at whose near end a session is, and at whose far end frames of a WebSocket are put in and taken out.

use crate::ws;
use crosspoint_hub::Hub;

/// Unwraps the frames for the session.
pub(super) fn websocket(hub: &Hub) -> Box<ws::Connection> {
    // What is put into them is ours, and not masked.
    let frame_bytes_max = hub.limits.frame_bytes_max as u64;
    let config = ws::Config { frame_bytes_max, lenient: true };
    Box::new(ws::Connection::new(ws::Role::Server, config))
}
