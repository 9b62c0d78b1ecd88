//! The joint protocol of peote-net and peote-server.
//!
//! A *joint* is a channel; sections named in comments are those of the protocol's specification,
//! `docs/peote.md`.
//!
//! * [`frame`]: frames and commands on the wire; [`chunk`]: messages in the byte stream
//! * [`server`]: what peote-server does; [`client`]: what the Haxe library does
//! * [`wire`]: how the hub writes data for a peote receiver
//! * [`value`]: parameters of remote procedure calls

pub mod chunk;
pub mod client;
pub mod frame;
#[doc(hidden)]
pub mod fuzz;
pub mod server;
pub mod value;
pub mod wire;

pub use wire::WIRE;
