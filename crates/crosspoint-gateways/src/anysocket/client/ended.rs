//! How links end, and what can go wrong before.

use crate::anysocket::auth::AuthError;
use crate::anysocket::cipher::CipherError;
use crate::anysocket::internal::InternalError;
use crate::anysocket::link::{self, LinkError};
use crate::anysocket::packet::PacketError;
use std::sync::Arc;

/// How a link has ended.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Ended {
    /// It was closed here, after everything had been written.
    #[error("closed here")]
    Here,
    /// The other side has closed it.
    #[error("closed by the other side")]
    There,
    /// The other side does not answer any more.
    #[error("the other side was silent for too long")]
    Silent,
    /// Who the other side says to be was not accepted here.
    #[error("the other side's identity was refused here")]
    Refused,
    /// The connection broke.
    #[error("the connection broke: {0}")]
    Broken(Arc<std::io::Error>),
    /// The other side broke the protocol or a bound.
    #[error("the other side broke the protocol: {0}")]
    Fault(Arc<Fault>),
}

impl From<Fault> for Ended {
    fn from(fault: Fault) -> Self {
        Self::Fault(Arc::new(fault))
    }
}

/// What the other side did wrong.
#[derive(Debug, thiserror::Error)]
pub enum Fault {
    /// A message is no packet.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// A packet is not right, or late.
    #[error(transparent)]
    Link(#[from] LinkError),
    /// Our packets cannot be encrypted.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// The AUTH packet.
    #[error(transparent)]
    Auth(#[from] AuthError),
    /// An AUTH packet where there is none to be.
    #[error("an AUTH packet on a link that needs none any more")]
    SecondAuth,
    /// An INTERNAL packet.
    #[error(transparent)]
    Internal(#[from] InternalError),
    /// A clock's time that is no time.
    #[error("a SYNCED_TIME packet whose time has {0} bytes")]
    Time(usize),
    /// Questions of the protocol itself come faster than their answers are taken.
    #[error("too many answers wait to be written; the other side must read while it asks")]
    Answers,
    /// Unfinished packets of proxied peers.
    #[error("more than {0} bytes in unfinished packets of all proxied peers")]
    Pieces(usize),
    /// What the transport has found wrong.
    #[error("{0}")]
    Transport(String),
}

/// Why something cannot be sent.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// The link has ended, or is about to.
    #[error("the link has ended")]
    Ended,
    /// The link goes on.
    #[error(transparent)]
    Link(#[from] link::SendError),
}

impl SendError {
    /// Whether it may go when something has been written, or a request been answered.
    pub fn is_full(&self) -> bool {
        matches!(self, Self::Link(link::SendError::Full | link::SendError::TooManyRequests(_)))
    }
}

/// Why there is no link to a peer behind the neighbour.
#[derive(Debug, Clone, thiserror::Error)]
pub enum ProxyError {
    /// The id is the own one, or that of the neighbour.
    #[error("there is no way through a hub to oneself or to the hub; use another id")]
    Oneself,
    /// Too many links.
    #[error("{0} links to proxied peers exist already; end some, or raise the limit")]
    TooMany(usize),
    /// The neighbour said no. The original disconnects instead.
    #[error("the hub refused, or does not know the peer")]
    Refused,
    /// The neighbour did not answer in time.
    #[error("the hub did not answer in time")]
    TimedOut,
    /// The connection to the neighbour has ended. Originals do so when they do not know the peer.
    #[error("the connection to the hub has ended: {0}")]
    Ended(Ended),
    /// Too much waits to be written; try again when some of it has been.
    #[error("too much waits to be written; try again when some of it has been")]
    Full,
}
