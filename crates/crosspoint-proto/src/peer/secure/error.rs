//! Why a link is not, or no longer, encrypted.

use crate::identity::Fingerprint;
use crosspoint_hub::PeerId;

/// What went wrong. Unless it says otherwise the encryption is broken by it and its keys are gone:
/// end the link with [`crosspoint_hub::Reason::Malformed`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SecureError {
    /// Both ends have one identity, so neither could tell the other from itself.
    #[error("both ends have the identity {0}; give each endpoint an identity of its own")]
    SameIdentity(PeerId),
    /// A handshake message has a length that none has, or not the one that is due.
    #[error("a handshake message of {found} bytes where one of {expected} was due")]
    HandshakeLength {
        /// Bytes of the message that was due.
        expected: usize,
        /// Bytes of the message that came.
        found: usize,
    },
    /// A handshake message that is not due: the handshake is over, it was asked for twice, or it is
    /// this side's turn.
    #[error("a handshake message where none is due")]
    HandshakeNotDue,
    /// A handshake message does not fit to those before it.
    #[error(
        "the handshake failed: it was changed on its way, or belongs to another link, or the hub \
         told the two sides different peer ids"
    )]
    HandshakeFailed,
    /// The other side sent no [`PublicKey`](crate::identity::PublicKey): a point of low order, with
    /// which there is no secret, or a key in another form than the canonical one.
    #[error("the other side sent a key of low order, or one that is not in its canonical form")]
    WeakKey,
    /// The other side is not the peer to whom the link is said to lead.
    #[error("the link leads to {found} instead of {expected}; do not trust this hub")]
    WrongIdentity {
        /// The peer that should be there.
        expected: PeerId,
        /// The peer whose key came.
        found: PeerId,
    },
    /// The other side's key is not the pinned one.
    #[error("the peer's key has the fingerprint {0}, which is not the pinned one")]
    WrongPin(Fingerprint),
    /// A message came unencrypted that had to be encrypted.
    #[error("a message of the kind {0:#04x} came without encryption")]
    Plain(u8),
    /// A sealed message came, or one is to be sealed, before the handshake is done. When sealing,
    /// nothing is broken: seal it later.
    #[error("the handshake is not done yet")]
    NotReady,
    /// A sealed message has a length that none has.
    #[error("a sealed message cannot have {0} bytes")]
    SealedLength(usize),
    /// A record does not decrypt in its place.
    #[error("a sealed message was changed, repeated, reordered or lost on its way")]
    Altered,
    /// A sealed message was cut at the border of a record, or joined with another one.
    #[error("a sealed message was cut or joined on its way")]
    Cut,
    /// A message is larger than allowed. When sealing, nothing is broken.
    #[error("a message of {bytes} bytes, where at most {most} are allowed")]
    TooLarge {
        /// Bytes of its body.
        bytes: usize,
        /// How many it may have.
        most: usize,
    },
    /// HANDSHAKE or SEALED inside of a sealed message. When sealing, nothing is broken.
    #[error("a message of the kind {0:#04x} is never inside of a sealed one")]
    Nested(u8),
    /// 2^64 - 1 records were sent in one direction.
    #[error("the link has carried as many records as its keys allow; open another")]
    Exhausted,
    /// An earlier error broke the encryption.
    #[error("the encryption of this link is broken; open another link")]
    Broken,
}
