//! WebSocket (RFC 6455) as pure functions and state machines, for both ends of a connection.
//!
//! Nothing here touches a socket or a clock. [`handshake`] turns bytes into a request or an answer
//! and back, [`frame`] writes frames, [`Decoder`] turns received bytes into [`Incoming`], and
//! [`Connection`] knows what the frames mean to each other.
//!
//! The one extension is permessage-deflate ([`deflate`]), where both sides want it. Others are ignored, so the other
//! RSV bits must be zero.
//! The decoder sees that text messages are UTF-8 (section 8.1), though it hands up pieces that may end
//! inside a character.

pub mod connection;
pub mod decoder;
pub mod deflate;
pub mod error;
mod extensions;
pub mod frame;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod handshake;
mod text;
pub mod wire;

pub use connection::{Connection, Event};
pub use decoder::{Config, Decoder, Incoming};
pub use deflate::Deflate;
pub use error::WsError;
pub use frame::{CloseCode, CloseFrame, Header, MessageKind, Opcode};

/// Which end of the connection this side is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Role {
    /// The accepting side: receives masked frames and sends unmasked ones.
    Server,
    /// The connecting side: receives unmasked frames and sends masked ones.
    Client,
}
