//! Protocols of other systems, each a pure state machine in both roles.
//!
//! * [`anysocket`]: the packets of AnySocket, for Node and browsers
//! * [`peote`]: the joint protocol of peote-net and peote-server
//!
//! Each is a feature of the same name, on by default.

#[cfg(feature = "anysocket")]
pub mod anysocket;
pub mod peote;
