//! Transports, and the driver that joins a transport to a protocol.
//!
//! * [`server`]: listeners, and the life of a connection from its first byte
//! * `detect`: what the first bytes of a connection are; [`http`]: requests
//!   that are no upgrade, and who may upgrade
//! * [`gateway`]: what a protocol has to say of itself; [`gateways`]: those that there are
//! * [`runner`]: the life of a session
//! * [`session`]: the driver of the hub's side; [`outlet`]: writing from any thread
//! * [`client`]: connecting to a hub, and the driver of the client's side
//! * [`resume`]: sessions that survive their connections
//! * [`messages`]: a WebSocket as text messages, for peers that are no clients of a hub
//! * [`stream`]: TCP or memory; [`memory`]: connections inside the program, with lag and speed
//! * [`ws`]: the WebSocket codec
//! * [`regular`]: opening regular files alone
//! * [`log_limit`]: bounds what strangers can write into the log; [`panics`]: what a panic ends
mod budgets;
pub mod client;
mod deadline;
mod detect;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod gateway;
pub mod gateways;
mod held;
#[cfg(feature = "http")]
pub mod http;
#[cfg(not(feature = "http"))]
#[path = "no_http.rs"]
pub mod http;
pub mod log_limit;
pub mod memory;
pub mod messages;
pub mod outlet;
pub mod panics;
mod parting;
mod presence;
mod proxy;
mod reading;
mod refusal;
pub mod regular;
mod remote;
pub mod resume;
pub mod runner;
pub mod server;
pub mod session;
pub mod stream;
pub mod ws;
