//! What gateways need that speak the peer layer on behalf of a client, over links of the hub (docs/peers.md).
//!
//! * [`spoken`]: a link with its machine, whose messages are held back while the other side has no room
//! * [`speaking`]: how a session sends what its links have
//! * [`schedule`]: which link is looked at when
//! * [`shares`]: how much each peer may ask the client for; [`kept`]: what all that waits takes
//! * [`recent`]: questions that the hub has yet to answer

pub mod kept;
pub mod recent;
pub mod schedule;
pub mod shares;
pub mod speaking;
pub mod spoken;

pub use kept::{Kept, Weight};
pub use recent::Recent;
pub use schedule::Schedule;
pub use shares::Shares;
pub use speaking::{COMMANDS_MAX, Speaking};
pub use spoken::{Backlog, Spoken};

use std::time::Duration;

/// The purpose of links for requests alone: a map in MessagePack, `{"requests": true}` (docs/peers.md, section 1).
pub const FOR_REQUESTS: &[u8] = b"\x81\xa8requests\xc3";
/// How long a link for requests is kept that nobody uses.
pub const IDLE_TIME: Duration = Duration::from_secs(30);
