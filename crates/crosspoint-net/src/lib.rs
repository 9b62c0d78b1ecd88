//! Transports, and the drivers that join a transport to a protocol.
//!
//! * [`server`]: listeners, and the life of a connection from its first byte
//! * `detect`: recognises a connection by its first bytes; [`http`]: requests
//!   that are not upgrades, and which origins may upgrade
//! * [`gateway`]: what a server knows of a protocol; [`gateways`]: the protocols of this crate
//! * [`runner`]: the life of a session
//! * [`session`]: the driver of the server role; [`outlet`]: writing from any thread
//! * [`client`]: connecting to a hub, and the driver of the client role
//! * [`resume`]: sessions that survive their connections
//! * `engineio`: sessions of Engine.IO, over requests and WebSockets, in which another protocol is spoken
//! * [`messages`]: a WebSocket as text messages, for peers that are not clients of a hub
//! * [`tls`]: certificates, and the trust of a client
//! * [`stream`]: TCP, memory, or TLS over them; [`memory`]: in-memory connections with simulated lag and speed
//! * [`ws`]: the WebSocket state machine and codec
//! * [`regular`]: opens regular files only
//! * [`log_limit`]: bounds how much log strangers can cause; [`panics`]: what a panic ends
//!
//! The features `anysocket` and `peote` add the gateways with these names, `socketio` what lies below that protocol
//! (`engineio`), `http` the answers to HTTP requests, `tls` TLS of both sides. All are on by default. Without `http`, a program can still upgrade to WebSocket with the first request of a connection; a web
//! page cannot, because nothing checks its origin. Without `tls`, an address with TLS
//! is refused (`tls::NotBuiltIn`), and a client that begins with TLS hears by an alert that it is not served.
mod absences;
mod budgets;
pub mod client;
mod deadline;
mod detect;
mod driving;
#[cfg(feature = "socketio")]
pub mod engineio;
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
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(not(feature = "tls"))]
#[path = "no_tls.rs"]
pub mod tls;
mod turn;
mod upgraded;
pub mod ws;
