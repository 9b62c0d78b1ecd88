//! AnySocket: symmetric peers of JavaScript programs, over WebSocket text messages.
//!
//! Sections named in comments are those of the protocol's specification, `docs/anysocket.md`.
//! Everything here is pure: the present time and random bytes are arguments.
//!
//! * [`packet`]: packets on the wire; [`id`]: ids of peers
//! * [`link`]: one link between two peers: order, pieces, replies, encryption; made of
//!   [`split`], [`reassembly`], [`pending`] and [`cipher`]
//! * [`auth`], [`internal`]: what is said besides the application's messages
//! * [`client`]: a peer that connects to another, and speaks to more through it
//! * [`heartbeat`]: when to probe a silent peer, and when to give it up
//! * [`server`]: the hub, whose client is a program with AnySocket; [`wire`]: how the hub knows its session

pub mod auth;
pub mod cipher;
pub mod client;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod heartbeat;
mod hex;
pub mod id;
pub mod internal;
pub mod link;
pub mod packet;
pub mod pending;
pub mod reassembly;
pub mod server;
pub mod split;
pub mod wire;

pub use crate::value::Json;
pub use id::Id;
pub use link::{Config, Link, Received, Ticket};
pub use packet::{Forward, Kind, Message, Packet};
pub use wire::WIRE;
