//! Protocols of other systems, as pure state machines in both roles.
//!
//! * [`anysocket`]: the protocol of AnySocket, for node and browsers
//! * [`engineio`]: the transport of Socket.IO
//! * [`link`]: links on which a gateway speaks the peer layer on behalf of a client
//! * [`peote`]: the joint protocol of peote-net and peote-server
//! * [`socketio`]: the protocol of Socket.IO
//! * [`value`]: values that they carry
//!
//! Each protocol is a Cargo feature of the same name, on by default.

#[cfg(feature = "anysocket")]
pub mod anysocket;
#[cfg(feature = "socketio")]
pub mod engineio;
#[cfg(any(feature = "anysocket", feature = "socketio"))]
mod inbox;
#[cfg(any(feature = "anysocket", feature = "socketio"))]
pub mod link;
pub mod peote;
#[cfg(feature = "socketio")]
pub mod socketio;
#[cfg(any(feature = "anysocket", feature = "socketio"))]
pub mod value;
