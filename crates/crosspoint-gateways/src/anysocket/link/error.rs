//! What can go wrong on a link.

use crate::anysocket::cipher::{CipherError, SwitchError};
use crate::anysocket::packet::Kind;
use crate::anysocket::reassembly::PieceError;
use crate::value::NotJson;
use crosspoint_hub::Reason;

/// What has come breaks the protocol or a bound, or did not come in time; the link should end.
#[derive(Debug, thiserror::Error)]
pub enum LinkError {
    /// A body that must be JSON is not.
    #[error("the body of a packet of type {0:?} is {1}")]
    NotJson(Kind, NotJson),
    /// A heartbeat or a call for encryption before AUTH.
    #[error("a packet of type {0:?} before AUTH")]
    TooEarly(Kind),
    /// Pieces of a large packet.
    #[error(transparent)]
    Piece(#[from] PieceError),
    /// A packet that should be encrypted, or is not encrypted right.
    #[error(transparent)]
    Cipher(#[from] CipherError),
    /// The other side's SWITCH.
    #[error(transparent)]
    Switch(#[from] SwitchError),
    /// Nobody answered the call for encryption.
    #[error("the other side did not answer the call for encryption in time")]
    SwitchTimeout,
}

impl LinkError {
    /// The reason in the hub's vocabulary.
    pub fn reason(&self) -> Reason {
        match self {
            Self::Piece(PieceError::TooLarge(_) | PieceError::TooMany(_)) => Reason::TooLarge,
            Self::Piece(PieceError::Late(_) | PieceError::Slow(_)) => Reason::IdleTimeout,
            Self::SwitchTimeout => Reason::HandshakeTimeout,
            Self::Cipher(CipherError::NoRandom | CipherError::Library) => Reason::Internal,
            Self::Switch(SwitchError::Cipher(CipherError::NoRandom | CipherError::Library)) => {
                Reason::Internal
            }
            _ => Reason::Malformed,
        }
    }
}

/// Why something cannot be sent. The link goes on.
#[derive(Debug, thiserror::Error)]
pub enum SendError {
    /// Too much waits to be written.
    #[error("too much waits to be written; wait until some of it has been")]
    Full,
    /// Too many requests wait.
    #[error("{0} requests wait for replies already; wait for some, or raise the limit")]
    TooManyRequests(usize),
    /// Encryption cannot begin.
    #[error(transparent)]
    Switch(#[from] SwitchError),
}
