//! The in-memory transport: connections inside one process, with the lag and speed of a real link.
//!
//! * [`Shaper`] is one direction of a link as a pure state machine: it says when bytes arrive.
//! * [`pair`] joins two [`End`]s by two shaped directions. An end has the same non-blocking face as
//!   a TCP socket, so whatever drives a socket drives an end.
//! * [`listener`] is the rendezvous: a [`Connector`] opens connections that an [`Acceptor`] takes.
//!
//! Time is tokio's, so a test on a paused clock sees exact arrival times without waiting for them.

mod listener;
mod pipe;
mod shaper;

pub use listener::{ACCEPT_BACKLOG_MAX, Acceptor, ConnectError, Connector, listener};
pub use pipe::{End, ReadEnd, WriteEnd, pair};
pub use shaper::{
    BUFFER_BYTES_DEFAULT, DELAY_MAX, PEOTE_NET_LAG_MS, PEOTE_NET_SPEED, PIECES_MAX, PushError,
    Shape, Shaper,
};

/// Bytes that the way between a driver and its carrier holds, in each direction.
const WAY_BYTES: usize = 64 * 1024;

/// Pieces that it holds, however small.
const WAY_PIECES_MAX: usize = 256;

/// The way between the driver of a session and what carries its bytes over connections that come and go: the driver's
/// end, and the carrier's.
pub(crate) fn way() -> (End, End) {
    let shape =
        || Shape { buffer_bytes_max: WAY_BYTES, pieces_max: WAY_PIECES_MAX, ..Shape::default() };
    pair(shape(), shape())
}
