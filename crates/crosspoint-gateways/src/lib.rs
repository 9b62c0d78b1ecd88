//! Protocols of other systems, each a pure state machine in both roles.
//!
//! * [`peote`]: the joint protocol of peote-net and peote-server

pub mod peote;
