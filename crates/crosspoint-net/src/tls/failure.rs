//! Why a client has no TLS connection to a server.

use super::Fingerprint;
use rustls::{
    AlertDescription, CertificateError, Error, InvalidMessage, OtherError, PeerIncompatible,
};
use std::io;

/// Why a client has no TLS connection to a server, or lost it. The texts say what the server did, and leave the
/// address and the remedy to the caller.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum HandshakeError {
    /// The server shows another certificate than the pinned one.
    #[error("its certificate has the fingerprint {shown}, and {pinned} is pinned")]
    OtherCertificate {
        /// What the client trusts.
        pinned: Fingerprint,
        /// What the server shows.
        shown: Fingerprint,
    },
    /// Nobody whom the client trusts vouches for the certificate.
    #[error("its certificate is signed by an authority that is not trusted here")]
    UnknownAuthority,
    /// The certificate, or what the server signs with its key, has a signature by another key: mostly that of an
    /// authority which has the name of a trusted one.
    #[error(
        "its certificate has a signature by another key than that of the authority trusted here"
    )]
    BadSignature,
    /// The certificate is one of an authority, as openssl makes them unless told otherwise.
    #[error("its certificate is that of an authority (CA:TRUE), not that of a server")]
    AuthorityCertificate,
    /// The certificate has an old format, which has no place for names of servers.
    #[error("its certificate is of X.509 version 1, and TLS clients take version 3")]
    OldCertificate,
    /// The certificate is for other names.
    #[error("its certificate is not for this name, but for {}", names(.0))]
    OtherName(Vec<String>),
    /// The time of the certificate is over, or has not begun.
    #[error("its certificate {0}")]
    WrongTime(&'static str),
    /// What the server says is no TLS.
    #[error("it answers without TLS")]
    NoTls,
    /// The server closes the connection before TLS is there.
    #[error("it closes the connection in the handshake of TLS")]
    Closed,
    /// The server refuses the handshake, as a hub without certificates does.
    #[error("it refuses TLS")]
    Refused,
    /// The server asks for a certificate of the client, or does not take the one that it was shown.
    #[error("it does not take the certificate of this client, or demands one ({0:?})")]
    ClientCertificate(AlertDescription),
    /// Something else, in the words of rustls.
    #[error("TLS fails: {0}")]
    Other(Error),
}

/// Names and addresses for which a certificate is.
fn names(presented: &[String]) -> String {
    if presented.is_empty() { "no name at all".to_owned() } else { presented.join(", ") }
}

/// What a client says that pins a certificate and sees another.
#[derive(Debug, thiserror::Error)]
#[error("the certificate is not the pinned one")]
pub(super) struct NotPinned {
    pub(super) pinned: Fingerprint,
    pub(super) shown: Fingerprint,
}

/// Whether a certificate is refused for being of X.509 version 1.
pub(super) fn is_old_certificate(error: &Error) -> bool {
    let Error::InvalidCertificate(CertificateError::Other(OtherError(other))) = error else {
        return false;
    };
    matches!(other.downcast_ref(), Some(webpki::Error::UnsupportedCertVersion))
}

impl From<Error> for HandshakeError {
    fn from(error: Error) -> Self {
        use AlertDescription as Alert;
        match error {
            error if is_old_certificate(&error) => Self::OldCertificate,
            Error::InvalidCertificate(wrong) => Self::untrusted(wrong),
            Error::InvalidMessage(
                InvalidMessage::InvalidContentType | InvalidMessage::UnknownProtocolVersion,
            ) => Self::NoTls,
            Error::AlertReceived(Alert::HandshakeFailure)
            | Error::PeerIncompatible(PeerIncompatible::ServerDoesNotSupportTls12Or13) => {
                Self::Refused
            }
            Error::AlertReceived(
                alert @ (Alert::CertificateRequired
                | Alert::NoCertificate
                | Alert::BadCertificate
                | Alert::UnsupportedCertificate
                | Alert::CertificateRevoked
                | Alert::CertificateExpired
                | Alert::CertificateUnknown
                | Alert::UnknownCA
                | Alert::AccessDenied),
            ) => Self::ClientCertificate(alert),
            other => Self::Other(other),
        }
    }
}

impl From<HandshakeError> for io::Error {
    fn from(error: HandshakeError) -> Self {
        let kind = match error {
            HandshakeError::Closed => io::ErrorKind::UnexpectedEof,
            _ => io::ErrorKind::InvalidData,
        };
        Self::new(kind, error)
    }
}

impl HandshakeError {
    /// What was wrong with TLS, if that is why there is no connection.
    pub fn find(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// What a handshake has come to that ended with this error: the system does not say that it was in one.
    pub fn in_handshake(error: io::Error) -> io::Error {
        use io::ErrorKind::{BrokenPipe, ConnectionAborted, ConnectionReset, UnexpectedEof};
        match error.kind() {
            BrokenPipe | ConnectionAborted | ConnectionReset | UnexpectedEof => Self::Closed.into(),
            _ => error,
        }
    }

    fn untrusted(wrong: CertificateError) -> Self {
        match wrong {
            CertificateError::UnknownIssuer => Self::UnknownAuthority,
            CertificateError::BadSignature
            | CertificateError::UnsupportedSignatureAlgorithmForPublicKeyContext { .. } => {
                Self::BadSignature
            }
            CertificateError::NotValidForName => Self::OtherName(Vec::new()),
            CertificateError::NotValidForNameContext { presented, .. } => {
                Self::OtherName(presented.iter().map(|name| plain(name)).collect())
            }
            CertificateError::Expired | CertificateError::ExpiredContext { .. } => {
                Self::WrongTime("has expired")
            }
            CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
                Self::WrongTime("is not valid yet")
            }
            CertificateError::Other(OtherError(ref other)) => {
                if let Some(NotPinned { pinned, shown }) = other.downcast_ref() {
                    return Self::OtherCertificate { pinned: *pinned, shown: *shown };
                }
                match other.downcast_ref() {
                    Some(webpki::Error::CaUsedAsEndEntity) => Self::AuthorityCertificate,
                    _ => Self::Other(wrong.into()),
                }
            }
            wrong => Self::Other(wrong.into()),
        }
    }
}

/// A name as people write it. Rustls gives `DnsName("localhost")` and `IpAddress(127.0.0.1)`.
fn plain(presented: &str) -> String {
    let inside = presented.split_once('(').and_then(|(_, rest)| rest.strip_suffix(')'));
    inside.unwrap_or(presented).trim_matches('"').to_owned()
}
