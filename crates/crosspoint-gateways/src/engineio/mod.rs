//! The transport of Socket.IO: Engine.IO, revisions 3 and 4.
//!
//! A session is a sequence of packets ([`packet`]). Over a WebSocket each packet is one message. Over HTTP several
//! packets travel as one [`payload`]. [`Socket`] is the part of a session that every transport has in common,
//! [`Exchange`] what there is besides where it comes by requests, and [`Refusal`] what is answered to those that do not
//! fit. [`client`] is the same for the other side.

pub mod client;
pub mod exchange;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod packet;
pub mod payload;
mod query;
mod refusal;
mod sid;
pub mod socket;

pub use exchange::Exchange;
pub use query::Query;
pub use refusal::Refusal;
pub use sid::Sid;
pub use socket::{Beat, Incoming, Socket, SocketError};

/// The revision of the protocol, which a client says in the query (`EIO`).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Revision {
    /// That of Socket.IO 1 and 2. The client sends the heartbeat.
    Three,
    /// That of Socket.IO 3 and 4. The server sends the heartbeat.
    Four,
}

impl Revision {
    /// The revision from the value of `EIO`. `None` is one that nobody here speaks.
    pub fn from_query(value: &str) -> Option<Self> {
        match value {
            "3" => Some(Self::Three),
            "4" => Some(Self::Four),
            _ => None,
        }
    }
}
