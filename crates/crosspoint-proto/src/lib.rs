//! The native protocol, version 1, as pure state machines in both roles.
//!
//! The specification is `docs/protocol.md`. Section numbers in this crate refer to it.
//!
//! * [`frame`]: varints and frames; [`message`]: the messages in frames
//! * [`server`]: the server role; [`client`]: the client role
//! * [`wire`]: the encoder of data for native receivers
//! * [`identity`]: keys, peer ids and proofs; [`peer::secure`]: encryption between two peers
//! * [`peer`]: the peer layer, which two peers speak over a link; its specification is `docs/peers.md`
//! * [`heartbeat`]: probes and the measured round trip
//!
//! ```
//! use crosspoint_hub::protocol::{Client, Output, Protocol};
//! use crosspoint_hub::{command::Command, wire::FrameWriter};
//! use crosspoint_proto::{client, server};
//! use std::time::Instant;
//!
//! let now = Instant::now();
//! let mut out = FrameWriter::default();
//! let mut client = client::Native::new(now, client::Options::default(), &mut out);
//! let mut server = server::Native::new(now, server::Options::default());
//! server.receive(now, out.take().first);
//! assert!(matches!(server.poll(now, &mut out), Some(Output::Command(Command::Hello(_)))));
//! ```

pub mod client;
pub mod frame;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod heartbeat;
pub mod identity;
pub mod message;
pub mod peer;
pub mod server;
pub mod wire;

pub use wire::WIRE;
