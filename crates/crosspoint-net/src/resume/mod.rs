//! Sessions that survive their connections (docs/resume.md).
//!
//! Below the native protocol lies a stream of bytes in each direction that does not break when a
//! connection does. The driver of a session, at the hub as at the client, talks over a way inside
//! the program to a carrier, and the carrier moves the bytes over one connection after the other,
//! of whatever transport: it numbers them, keeps them until they are acknowledged, and goes on
//! where the other side has stopped receiving.
//!
//! * `core`: numbers, acknowledgements and probes, pure; `record`: what is written; `token`: whose session it is
//! * `link`: one connection; `carrier`: between a driver and the connections
//! * `hub`, `registry`: the hub's side; `client`, `backoff`: the other
//! * `receipt`: what was lost, when a session could not go on; `frames` counts that in frames

mod backoff;
mod carrier;
mod client;
mod core;
mod frames;
mod hub;
mod link;
mod pieces;
mod receipt;
mod record;
mod registry;
mod token;

pub use backoff::Backoff;
pub use client::{Options, Random, dial};
pub use hub::Resumable;
pub use receipt::{Connectivity, Lost, Receipt, Totals, Why};
pub use record::{
    Accepted, DATA_BYTES_MAX, Gone, MAGIC, Open, RECORD_BYTES_MAX, Record, RecordError, VERSION,
};
pub use token::{Proof, Token};

use std::time::Duration;

/// The least and the most that [`Config::retained_bytes_max`] can be; more extreme values are
/// taken as these. The most is far below 2^31, so that 32 bits of an offset are enough.
pub const RETAINED_BYTES: (u32, u32) = (4 * 1024, 64 * 1024 * 1024);

/// How a hub lets sessions be resumed.
#[derive(Debug, Clone)]
pub struct Config {
    /// How long a session whose connection is lost waits for the next one. Then it ends with
    /// [`ConnectionLost`](crosspoint_hub::Reason::ConnectionLost). The members of its channels are
    /// told that it is away, and when it is back.
    pub window: Duration,
    /// Sessions whose connections are away. Above, a session whose connection is lost ends at once.
    /// Of one address there may be as many as it may have connections.
    pub detached_max: usize,
    /// Bytes of one session in each direction that may be under way without an acknowledgement.
    /// Above, nothing more is taken from the session, so its senders are slowed as usual.
    /// Worst case memory of a session: four times this and 400 KiB.
    pub retained_bytes_max: u32,
    /// After how much silence of a connection a probe is sent. After three times this
    /// the connection is lost. Twice that is the least time for which a session may take nothing of
    /// what waits for it, whatever
    /// [`outbox_stall_max`](crosspoint_hub::Limits::outbox_stall_max) says.
    pub heartbeat: Duration,
    /// Sessions that are remembered after their end, so that a client that comes too late hears
    /// what was lost. Above, the oldest is forgotten.
    pub tombstones_max: usize,
    /// For how long they are remembered.
    pub tombstone: Duration,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            window: Duration::from_secs(20),
            detached_max: 10_000,
            retained_bytes_max: 1024 * 1024,
            heartbeat: Duration::from_secs(5),
            tombstones_max: 10_000,
            tombstone: Duration::from_secs(600),
        }
    }
}
