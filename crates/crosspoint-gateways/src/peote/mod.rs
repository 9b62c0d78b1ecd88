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
#[cfg(feature = "peote")]
pub mod client;
#[cfg(feature = "peote")]
pub mod frame;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
#[cfg(feature = "peote")]
pub mod server;
pub mod value;
#[cfg(feature = "peote")]
pub mod wire;

#[cfg(feature = "peote")]
pub use wire::WIRE;
