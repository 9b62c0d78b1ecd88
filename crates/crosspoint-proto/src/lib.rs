//! The native protocol, version 1, as pure state machines in both roles.
//!
//! The specification is `docs/protocol.md`; section numbers in this crate are its sections.
//!
//! * [`frame`]: varints and frames; [`message`]: what frames carry
//! * [`server`]: the hub's side; [`client`]: the other side
//! * [`wire`]: how the hub writes data for a native receiver
//! * [`identity`]: who an endpoint is, and how it proves it; [`peer::secure`]: encryption between two
//! * [`peer`]: what two endpoints say to each other over a link, whose page is `docs/peers.md`
//! * [`heartbeat`]: signs of life and the measured round trip
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
