//! What can go wrong, and what to do.

use crate::{Address, NoAddress, PeerId, Reason};
use crosspoint_hub::ids::{NameTooLong, NoPeerName};
use std::convert::Infallible;
use std::fmt;
use std::io;
use std::net::SocketAddr;
use std::time::Duration;

/// What to look at when there is no connection.
fn hint(error: &io::Error) -> &'static str {
    match (tls_hint(error), error.kind()) {
        (Some(hint), _) => hint,
        // Somebody is there, and says something wrong.
        (None, io::ErrorKind::InvalidData) => "; is it a hub?",
        (None, _) => "; is a hub running there?",
    }
}

/// What to do when there is no connection for a reason of TLS.
#[cfg(feature = "tls")]
pub(crate) fn tls_hint(error: &io::Error) -> Option<&'static str> {
    use crosspoint_net::tls::client::HandshakeError;
    Some(match HandshakeError::find(error)? {
        HandshakeError::OtherCertificate { .. } => {
            "; if its operator has exchanged the certificate, trust the new fingerprint; if not, somebody is in the middle"
        }
        HandshakeError::UnknownAuthority => {
            "; trust that authority (Trust::roots) or the certificate alone (Trust::Pinned)"
        }
        HandshakeError::BadSignature => {
            "; an authority with the same name and a new key may have signed it: trust that one (Trust::roots)"
        }
        HandshakeError::AuthorityCertificate => {
            "; trust it alone (Trust::Pinned), or have one made for a server (basicConstraints=CA:FALSE)"
        }
        HandshakeError::OldCertificate => "; have one of version 3 made",
        HandshakeError::OtherName(_) => {
            "; connect to one of the names of the certificate, or trust it alone (Trust::Pinned)"
        }
        HandshakeError::WrongTime(_) => "; have it renewed, and compare the clocks",
        HandshakeError::NoTls | HandshakeError::Refused | HandshakeError::Closed => {
            "; if no TLS is served there, use tcp:// or ws:// in the place of tls:// or wss://"
        }
        HandshakeError::ClientCertificate(_) => {
            "; show one that it takes (client_certificate of the builder)"
        }
        _ => "",
    })
}

/// Nothing fails for a reason of TLS.
#[cfg(not(feature = "tls"))]
pub(crate) fn tls_hint(_: &io::Error) -> Option<&'static str> {
    None
}

/// How a hub has refused a connection. One that takes TLS only, or wants a certificate of the client, closes it and
/// says nothing.
fn refused(address: &Address, reason: Reason) -> String {
    match (reason, address.endpoint.has_tls()) {
        (Reason::ConnectionLost, false) => format!(
            "{address} closed the connection and gave no answer; if a hub is there, its log says why; it may take TLS only (tls:// or wss://)"
        ),
        (Reason::ConnectionLost, true) => format!(
            "{address} closed the connection and gave no answer; if a hub is there, its log says why; it may want a certificate of the client"
        ),
        (Reason::Malformed, _) => format!(
            "{address} gave an answer that is not of this protocol; check that a hub is there, and that the scheme (tcp, ws, peote, with TLS or without) is one that it serves"
        ),
        (reason, _) => format!("the hub at {address} has refused the connection: {reason}"),
    }
}

/// Why a node could not connect. `Debug` shows the same text as `Display`, because Rust prints the `Debug` of an error
/// that `main` returns.
#[derive(thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The address has no meaning.
    #[error(transparent)]
    Address(#[from] NoAddress),
    /// The [name](crate::NodeBuilder::name) of the node is too long.
    #[error(transparent)]
    Name(#[from] NoPeerName),
    /// There is no connection to the address.
    #[error("no connection to {address}: {source}{}", hint(source))]
    Unreachable {
        /// Where it was tried.
        address: Box<Address>,
        /// What the system says.
        source: io::Error,
    },
    /// The hub closed the connection instead of a welcome.
    #[error("{}", refused(address, *reason))]
    Refused {
        /// Where it was tried.
        address: Box<Address>,
        /// Why; [`Reason::NotAllowed`] and [`Reason::Expired`] ask for another
        /// [token](crate::NodeBuilder::token), [`Reason::Busy`] to try again later.
        reason: Reason,
    },
    /// The node has an [identity](crate::NodeBuilder::identity), and the hub did not ask it for the
    /// proof. So it asks nobody, and the ids of others there are claims.
    #[error(
        "the hub at {address} asks for no proof of the identity, so ids there may be false; choose another hub, or allow that with NodeBuilder::accept_unproven"
    )]
    Unproven {
        /// Where it was tried.
        address: Box<Address>,
    },
    /// The proof of the [identity](crate::NodeBuilder::identity) and the TLS connection do not belong together: TLS
    /// ends at a proxy before the hub, or is older than 1.3, or the node has proven its key
    /// [without it](crate::NodeBuilder::unbound_proof) at a hub that is itself the end of TLS.
    #[error(
        "TLS 1.3 does not reach to the hub at {address}, or the proof of the identity was not bound to it; connect to the hub itself, or trust a proxy in between with an unbound proof (NodeBuilder::unbound_proof, `crosspoint chat --unbound-proof`) at a hub that has no TLS itself"
    )]
    Unbound {
        /// Where it was tried.
        address: Box<Address>,
    },
    /// The hub gives the node another id than the one that it has asked for.
    #[error(
        "the hub at {address} was told the id {asked} and answers with {answered}; do not trust it"
    )]
    OtherId {
        /// Where it was tried.
        address: Box<Address>,
        /// What the node has asked for.
        asked: PeerId,
        /// What the hub says.
        answered: PeerId,
    },
    /// The hub did not answer.
    #[error("{address} gave no answer within {after:?}; is it a hub?")]
    TimedOut {
        /// Where it was tried.
        address: Box<Address>,
        /// How long it was waited.
        after: Duration,
    },
    /// The node cannot listen at this address.
    #[error("{address} cannot be listened at: {source}")]
    Listen {
        /// Where it was tried.
        address: SocketAddr,
        /// What the system says.
        source: io::Error,
    },
    /// The node was connected, and does not listen.
    #[error("this node does not listen; make it with NodeBuilder::listen")]
    NoListener,
    /// The program is built without the protocol of the address, or without TLS where it needs that.
    #[error("this program cannot speak to {address}; build it with the feature `{feature}`")]
    NotBuiltIn {
        /// Where it was to connect.
        address: Box<Address>,
        /// The feature of this crate.
        feature: &'static str,
    },
    /// The system has no source of randomness for a peer id.
    #[error("the system gives no random peer id ({0}); set one with NodeBuilder::peer_id")]
    NoPeerId(String),
}

impl fmt::Debug for ConnectError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl From<Infallible> for ConnectError {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Why the round trip to the hub was not measured.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PingError {
    /// The protocol of this connection has no questions.
    #[error(
        "the peote protocol cannot ask its server; connect to a Crosspoint hub with tcp:// or ws://"
    )]
    Unsupported,
    /// The connection has ended.
    #[error("the connection has ended: {0}")]
    Closed(Reason),
}

/// Why a session of a hub is not encrypted ([`Server::secure`](crate::Server::secure)).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EncryptError {
    /// No session has this id.
    #[error("no session of the hub has the id {0}")]
    NoSuchPeer(PeerId),
    /// The session cannot begin to encrypt.
    #[error(
        "{0} cannot begin to encrypt: only programs with AnySocket can, others have Peer::secure"
    )]
    Unsupported(PeerId),
    /// The session did not answer.
    #[error("{peer} was not encrypted within {after:?}; it may still be")]
    TimedOut {
        /// The session.
        peer: PeerId,
        /// How long it was waited.
        after: Duration,
    },
    /// The session has ended.
    #[error("the session has ended before it was encrypted: {0}")]
    Ended(Reason),
}

/// Why an operation on a channel or room did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ChannelError {
    /// The hub or the channel's owner said no.
    #[error("refused: {0}")]
    Refused(Reason),
    /// The channel, the membership or the connection has ended.
    #[error("the channel has ended: {0}")]
    Closed(Reason),
    /// The message is larger than the channel or the hub takes. Nothing was sent.
    #[error(
        "a message of {length} bytes does not fit, {max} is the most; send several, or have the channel or room made with a larger chunk size"
    )]
    TooLarge {
        /// The length of the message in bytes.
        length: usize,
        /// The largest length in bytes.
        max: u32,
    },
    /// The message is empty, which not every protocol can express. Nothing was sent.
    #[error("an empty message cannot be sent; send at least one byte")]
    Empty,
    /// The channel was opened for calls, where every message is a call.
    #[error("the channel is for calls; call an object, or open the channel without calls()")]
    OnlyCalls,
    /// Calls need whole messages, and the channel is raw.
    #[error("the channel is raw and carries no calls; its owner has to create it with calls()")]
    Raw,
    /// The name is too long.
    #[error(transparent)]
    Name(#[from] NameTooLong),
    /// No chunks of this size can be made.
    #[error("chunk_max is {0}, but has to be 1 to 536870912 bytes")]
    ChunkSize(u32),
    /// What was asked for does not exist in the protocol of this connection. Nothing was sent.
    #[error("the peote protocol has no {0}; connect to a Crosspoint hub with tcp:// or ws://")]
    Unsupported(&'static str),
}
