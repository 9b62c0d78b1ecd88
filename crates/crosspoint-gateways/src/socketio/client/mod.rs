//! The client role: what `socket.io-client` and the plugin `socket.io-p2p-plugin` do, in one connection.
//!
//! [`Client`] takes the messages of a session of Engine.IO, whatever carries them, and gives those to write. It enters a
//! namespace, answers heartbeats, knows who waits for which acknowledgement, and keeps the streams and the pair of the
//! plugin. What is left to its owner are the events of the application, whom to let in, and to connect again.
//!
//! Targets, services and streams do not outlive a connection, as with the original. Where the server lets the client go on
//! with its session ([`Before`]), rooms do, and what was said there meanwhile comes.
//!
//! * [`Config`]: who the client is, and its bounds; [`Args`]: arguments; [`Event`]: what it tells its owner
//! * [`calls`]: what it asks of the server
//! * `session`: packets and acknowledgements; `words`: the events of the plugin; `streams`: their credit

mod args;
mod backoff;
mod before;
pub mod calls;
mod config;
mod ended;
mod event;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
mod machine;
mod plugin;
mod session;
mod streams;
mod words;

pub use args::Args;
pub use backoff::Backoff;
pub use before::Before;
pub use config::{Config, Generation};
pub use ended::{Ended, Fault, SendError};
pub use event::{AskId, Event, Offer, StreamRequest, Ticket};
pub use machine::Client;
pub use streams::{CHUNK_BYTES_MAX, Read, StreamEnd, StreamId, Written};
