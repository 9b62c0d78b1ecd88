//! How a connection ends, and why something is not sent.

use crate::engineio::client::ClientError;
use crate::socketio::arguments::ArgumentsError;
use crate::socketio::packet::PacketError;
use std::io;
use std::sync::Arc;

/// How a connection has ended.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Ended {
    /// This side has closed it.
    #[error("it was closed here")]
    Here,
    /// The server has put this client out, as when another one has its name.
    #[error("the server has disconnected this client")]
    Disconnected,
    /// The server does not let this client in.
    #[error("the server does not let this client in: {0}")]
    Refused(String),
    /// The server has closed the connection, or is gone.
    #[error("the server has closed the connection")]
    There,
    /// Nothing came from the server for so long that it is given up, or nothing was taken of what came.
    #[error("no heartbeat of the server was heard in time")]
    Silent,
    /// The server says what this protocol does not have.
    #[error(transparent)]
    Fault(#[from] Fault),
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(Arc<io::Error>),
}

impl Ended {
    /// Whether the original connects again after that.
    pub fn is_passing(&self) -> bool {
        !matches!(self, Self::Here | Self::Disconnected | Self::Refused(_))
    }
}

/// What a server must not say.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Fault {
    /// Engine.IO has no such packet.
    #[error(transparent)]
    Engine(#[from] ClientError),
    /// Socket.IO has no such packet.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The arguments are none.
    #[error(transparent)]
    Arguments(#[from] ArgumentsError),
    /// Bytes that no packet has announced.
    #[error("an attachment that no packet has announced")]
    Attachment,
    /// Something else came in the place of an attachment.
    #[error("a packet before the attachments of the one before it")]
    MissingAttachment,
    /// The packet with its attachments is too large.
    #[error("a packet with more than {0} bytes")]
    TooLarge(usize),
    /// The transport does not carry what it should.
    #[error("{0}")]
    Transport(String),
}

/// Why something is not sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// Too much waits to be written; later there is room.
    #[error("too much waits to be written")]
    Full,
    /// Too many acknowledgements are waited for.
    #[error("more than {0} acknowledgements are waited for")]
    TooManyAcks(usize),
    /// It is larger than this side sends, or than the server takes.
    #[error("a message of {bytes} bytes, of which {most} are taken")]
    TooLarge {
        /// Its bytes.
        bytes: usize,
        /// How many are taken.
        most: usize,
    },
    /// It has more attachments than are taken.
    #[error("{0} attachments are more than are taken")]
    TooManyAttachments(usize),
    /// The name means something to Socket.IO itself.
    #[error("an event cannot have this name")]
    Reserved,
    /// The client is in no pair, or in one already.
    #[error("the client is {}", if *.0 { "in a pair already" } else { "in no pair" })]
    Paired(bool),
    /// There are as many streams as there may be.
    #[error("there are {0} streams already")]
    TooManyStreams(usize),
    /// The connection has ended, or is not there yet.
    #[error("there is no connection")]
    NotConnected,
}
