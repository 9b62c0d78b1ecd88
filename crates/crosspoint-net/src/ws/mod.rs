//! WebSocket (RFC 6455) as pure functions and state machines, for both ends of a connection.
//!
//! Nothing here touches a socket or a clock. [`handshake`] turns bytes into a request or an answer
//! and back, [`frame`] writes frames, [`Decoder`] turns received bytes into [`Incoming`], and
//! [`Connection`] knows what the frames mean to each other.
//!
//! No extension is ever negotiated: offered ones are ignored, so the RSV bits must be zero.
//! The decoder sees that text messages are UTF-8 (section 8.1), though it hands up pieces that may end
//! inside a character.

pub mod connection;
pub mod decoder;
pub mod error;
pub mod frame;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod handshake;
mod text;
pub mod wire;

pub use connection::{Connection, Event};
pub use decoder::{Config, Decoder, Incoming};
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
