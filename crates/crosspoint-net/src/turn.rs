//! What is looked at in one go of what has come over a connection, and what of it counts against the rates: the same
//! for a session that reads its connection itself, for one that goes on over others, and before there is one.

use crate::ws;
use crosspoint_hub::metrics::Metrics;

/// Bytes that are inflated, or work like that, before the task does something else as well.
const INFLATED_BYTES_MAX: u64 = 64 * 1024;

/// One go.
#[derive(Debug, Default)]
pub(crate) struct Turn {
    /// What was inflated, or work like that, in bytes.
    inflated: u64,
}

impl Turn {
    /// Counts what a WebSocket has inflated: of the bytes that were read, those are the ones that cost. Gives how many
    /// bytes count besides those that were read.
    pub(crate) fn inflated(&mut self, websocket: &mut ws::Connection, metrics: &Metrics) -> u64 {
        let inflated = websocket.take_inflated();
        if inflated.from > 0 {
            metrics.decompressed_bytes_before.inc_by(inflated.from);
            metrics.decompressed_bytes_after.inc_by(inflated.to);
        }
        self.inflated += inflated.work();
        inflated.growth()
    }

    /// Whether the rest is looked at later.
    pub(crate) fn is_over(&self, throttled: bool) -> bool {
        self.inflated > 0 && (self.inflated >= INFLATED_BYTES_MAX || throttled)
    }
}

/// How many messages count where so many commands or records have come. A frame of a WebSocket is work too, whether or
/// not it carries anything.
pub(crate) fn messages(count: u64, websocket: Option<&mut ws::Connection>) -> u64 {
    count.max(websocket.map_or(0, ws::Connection::take_frames))
}
