//! The peer layer: what two nodes say to each other over a link.
//!
//! The specification is `docs/peers.md`. Messages of a link have a kind and a body, and arrive
//! whole, once and in order; how they travel does not matter here.
//!
//! * [`Machine`]: requests, messages and streams of one side, without connection, clock or task
//! * [`secure`]: encryption between the machine and the link
//! * [`body`]: what is in a message
//! * `requests`, `streams`, `halves`, `queue`: the parts of a machine

pub mod body;
mod config;
mod content;
mod deadlines;
mod error;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod halves;
mod machine;
mod outputs;
mod queue;
mod requests;
pub mod secure;
mod sizes;
mod stream_id;
mod streams;

pub use body::kind;
pub use config::{Config, Counters, Side};
pub use content::{Text, code};
pub use crosspoint_hub::payload::{Failure, Format, Payload};
pub use error::{Broken, SendError, StreamError};
pub use halves::Read;
pub use machine::Machine;
pub use outputs::{Event, Outcome, Time};
pub use sizes::{BYTES_MAX, METADATA_BYTES_MAX, NAME_BYTES_MAX, RESET_TEXT_BYTES_MAX, WINDOW_MAX};
pub use stream_id::StreamId;
