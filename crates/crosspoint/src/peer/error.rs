//! What can go wrong between peers, and what to do.

use super::asked::Asked;
use super::codec::CodecError;
use crate::connection::AskError;
use crate::{ChannelError, PeerId, PeerInfo, Reason};
use crosspoint_hub::ids::NoPeerName;
use crosspoint_hub::payload::Failure;
use crosspoint_proto::peer::SendError;
use crosspoint_proto::peer::secure::SecureError;
use std::io;

/// Why something with a peer did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The hub said no: [`NoSuchPeer`](Reason::NoSuchPeer), [`NotAllowed`](Reason::NotAllowed) and
    /// others.
    #[error("refused: {0}")]
    Refused(Reason),
    /// The hub answers with somebody else. Nothing was sent to that one, and a link has ended.
    #[error(
        "the hub was asked for {asked} and answers with {}, named {:?}; do not trust this hub",
        answered.id,
        answered.name
    )]
    OtherPeer {
        /// What was asked.
        asked: Asked,
        /// What was answered.
        answered: PeerInfo,
    },
    /// The hub names more peers than anybody can want to have at once, and has not come to an end.
    #[error("the hub names more than {0} peers; ask for those with a longer prefix")]
    TooManyFound(usize),
    /// Somebody else than the one to whom it was [pinned](crate::NodeBuilder::pin) has the name, or the
    /// hub says so. Nothing was sent to that one, and a link has ended.
    #[error("the name {name:?} is pinned to {pinned}, but at this hub {answered} has it")]
    NotPinned {
        /// The name.
        name: String,
        /// The peer id that it is pinned to.
        pinned: PeerId,
        /// The peer that has it.
        answered: PeerId,
    },
    /// A node that passes a link of another one on has a [pinned](crate::NodeBuilder::pin) name, or a hub
    /// says so. Whose key it has cannot be proven this way, as the far end encrypts.
    #[error(
        "a link of another peer is passed on by {0:?}, whose name is pinned and cannot be proven so"
    )]
    PassedOnByPinned(PeerInfo),
    /// The link, or the connection to the hub, has ended.
    #[error("the link to the peer has ended: {0}")]
    Closed(Reason),
    /// No peer and no service can have this name.
    #[error(transparent)]
    Name(#[from] NoPeerName),
    /// What was asked for does not exist in the protocol of this connection.
    #[error("the peote protocol has no peers; connect to a Crosspoint hub with tcp:// or ws://")]
    Unsupported,
    /// The other end of the connection is a plain hub.
    #[error("the hub application is no peer; name the peer that you want")]
    NoNeighbour,
    /// Too many nodes would have to forward the link.
    #[error("a way over {0} nodes is too long, at most 8 may forward a link")]
    TooFar(usize),
    /// The message is larger than the hub takes. Nothing was sent.
    #[error("a message of {bytes} bytes does not fit, {most} is the most; use a stream")]
    TooLarge {
        /// With its head.
        bytes: usize,
        /// The largest, in bytes.
        most: usize,
    },
    /// A name of a method or a stream, or the metadata of a stream, is too long.
    #[error("{what} of {bytes} bytes is too long, {most} is the most")]
    TooLong {
        /// What it is.
        what: &'static str,
        /// Its length in bytes.
        bytes: usize,
        /// The longest, in bytes.
        most: usize,
    },
    /// As many streams are open as may be.
    #[error("{0} streams are open, which is the most; close one first")]
    TooManyStreams(u32),
    /// The link can carry no more streams.
    #[error("all stream ids of this link are used up; open another link to the peer")]
    Exhausted,
    /// The other side does not take this stream.
    #[error("the stream was refused: {text} (code {code})")]
    StreamRefused {
        /// Which kind of refusal (docs/peers.md, section 4).
        code: u32,
        /// Why, for people.
        text: String,
    },
    /// A value cannot be written.
    #[error("the value {0}")]
    Value(CodecError),
    /// The other side did not answer in time.
    #[error("the peer gave no answer in time")]
    TimedOut,
    /// Encryption needs keys.
    #[error("encryption needs an identity; set one with NodeBuilder::identity")]
    NoIdentity,
    /// The link could not be encrypted, or its encryption was attacked. It has ended.
    #[error("the link is not secure: {0}")]
    Insecure(SecureError),
    /// The system has no source of randomness for keys.
    #[error("the system gives no randomness for keys: {0}")]
    NoRandomness(String),
}

impl From<ChannelError> for PeerError {
    fn from(error: ChannelError) -> Self {
        match error {
            ChannelError::Closed(reason) => Self::Closed(reason),
            ChannelError::Refused(reason) => Self::Refused(reason),
            _ => Self::Refused(Reason::Malformed),
        }
    }
}

impl From<AskError> for PeerError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Closed(reason) => Self::Closed(reason),
            AskError::Refused(reason) => Self::Refused(reason),
        }
    }
}

impl From<SendError> for PeerError {
    fn from(error: SendError) -> Self {
        use crosspoint_proto::peer::{METADATA_BYTES_MAX, NAME_BYTES_MAX};
        match error {
            SendError::TooLarge { bytes, most } => Self::TooLarge { bytes, most },
            SendError::NameTooLong(bytes) => {
                Self::TooLong { what: "a name", bytes, most: NAME_BYTES_MAX }
            }
            SendError::MetadataTooLong(bytes) => {
                Self::TooLong { what: "metadata", bytes, most: METADATA_BYTES_MAX }
            }
            SendError::TooMany(most) => Self::TooManyStreams(most),
            SendError::Exhausted => Self::Exhausted,
            // Full is waited for, and kinds are not the user's.
            SendError::Full | SendError::Kind(_) => Self::Closed(Reason::Internal),
        }
    }
}

/// Why a request has no result.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RequestError {
    /// The other side says why. [`Failure::NO_METHOD`] if nothing answers to the method.
    #[error("the request failed: {0}")]
    Failed(Failure),
    /// The time was over first. The other side is told, and may have done it or not.
    #[error("no answer in time; ask again, or wait longer with timeout()")]
    TimedOut,
    /// The link, or the connection to the hub, ended before the answer. The other side may have
    /// done it or not.
    #[error("the peer has gone before it answered: {0}")]
    PeerGone(Reason),
    /// The answer is not what was expected.
    #[error("the answer cannot be read: {0}")]
    Unreadable(CodecError),
    /// Nobody provides the service. Nothing was sent.
    #[error("nobody provides the service")]
    NoProvider,
    /// The request could not be sent.
    #[error(transparent)]
    Unsent(PeerError),
}

/// A stream was ended at once by the other side. What reading and writing say is an [`io::Error`]
/// of the kind [`ConnectionReset`](io::ErrorKind::ConnectionReset) around this.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("the stream was reset by the peer: {text} (code {code})")]
pub struct StreamReset {
    /// Which kind of end (docs/peers.md, section 4); the application's own from 1000 on.
    pub code: u32,
    /// Why, for people.
    pub text: String,
}

impl From<StreamReset> for io::Error {
    fn from(reset: StreamReset) -> Self {
        Self::new(io::ErrorKind::ConnectionReset, reset)
    }
}
