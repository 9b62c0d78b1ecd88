//! TLS 1.3 and 1.2 over connections of any transport.
//!
//! * [`server`]: the side that accepts; [`client`]: whom a client trusts, and the side that connects
//! * [`certificate`]: what either side shows; `names`: who a client is by its certificate
//! * `failure`: why a client has no connection
//!
//! A connection after its handshake is a [`stream`](crate::stream) like any other.
//!
//! The cryptography is that of aws-lc-rs, given to rustls explicitly.

pub mod certificate;
pub mod client;
pub(crate) mod failure;
pub(crate) mod names;
pub mod server;

use aws_lc_rs::digest;

use crosspoint_proto::identity::{ChannelBinding, EXPORTER_BYTES, EXPORTER_LABEL};
use rustls::crypto::{CryptoProvider, aws_lc_rs as provider};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{self, CertificateDer, CertificateRevocationListDer};
use rustls::{CertificateError, Connection, InconsistentKeys, ProtocolVersion, RootCertStore};
use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// Whether this build has TLS: the feature `tls`.
pub const BUILT_IN: bool = true;

/// What is wrong with the certificates or keys of a setup.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A text that is no PEM of what it has to be.
    #[error("{what}: {error}")]
    Pem {
        /// What was read.
        what: &'static str,
        /// Why it cannot be.
        error: pki_types::pem::Error,
    },
    /// There is nothing of the kind in the text.
    #[error("there is no {0} in it")]
    Nothing(&'static str),
    /// More than clients take.
    #[error(
        "the chain of certificates is longer than 64 KiB; leave out what does not lead to the first"
    )]
    ChainTooLong,
    /// The certificate has an old format, which TLS has no use for.
    #[error(
        "the certificate is of X.509 version 1, and TLS takes version 3; make one with subjectAltName, which needs version 3 (docs/tls.md)"
    )]
    OldCertificate,
    /// The key is not that of the certificate.
    #[error("the key belongs to another certificate; name the one that was made with it")]
    OtherKey,
    /// Rustls does not take it.
    #[error("rustls does not take it: {0}")]
    Rustls(rustls::Error),
    /// The certificate for development could not be made.
    #[error("no certificate could be made: {0}")]
    Made(#[from] rcgen::Error),
    /// The roots of the client certificates are wrong.
    #[error("client certificates cannot be checked: {0}")]
    Verifier(#[from] rustls::server::VerifierBuilderError),
}

impl From<rustls::Error> for TlsError {
    fn from(error: rustls::Error) -> Self {
        match error {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => Self::OtherKey,
            error if failure::is_old_certificate(&error) => Self::OldCertificate,
            error => Self::Rustls(error),
        }
    }
}

/// What a client has done wrong, for the log of a server.
pub(crate) fn client_fault(error: &rustls::Error) -> String {
    match error {
        rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer) => {
            "no trusted authority vouches for the certificate of the client".to_owned()
        }
        error => error.to_string(),
    }
}

fn crypto() -> Arc<CryptoProvider> {
    Arc::new(provider::default_provider())
}

/// What a proof over a connection is bound to, after its handshake.
pub fn channel_binding(tls: &Connection) -> ChannelBinding {
    // Before 1.3 two connections can have the same keys (RFC 7627), and rustls does not tell which.
    if tls.protocol_version() != Some(ProtocolVersion::TLSv1_3) {
        return ChannelBinding::Unavailable;
    }
    let exported = tls.export_keying_material([0; EXPORTER_BYTES], EXPORTER_LABEL, Some(b""));
    exported.map_or(ChannelBinding::Unavailable, ChannelBinding::Exporter)
}

/// Certificates in PEM, at least one.
fn certificates(pem: &[u8]) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    const WHAT: &str = "certificate";
    let all: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| TlsError::Pem { what: WHAT, error })?;
    if all.is_empty() { Err(TlsError::Nothing(WHAT)) } else { Ok(all) }
}

/// The authorities of a text in PEM.
fn roots(pem: &[u8]) -> Result<Arc<RootCertStore>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(pem)? {
        roots.add(certificate)?;
    }
    Ok(Arc::new(roots))
}

/// Lists of revoked certificates in PEM, at least one.
fn crl(pem: &[u8]) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    const WHAT: &str = "list of revoked certificates";
    let all: Result<Vec<_>, _> = CertificateRevocationListDer::pem_slice_iter(pem).collect();
    let all = all.map_err(|error| TlsError::Pem { what: WHAT, error })?;
    if all.is_empty() { Err(TlsError::Nothing(WHAT)) } else { Ok(all) }
}

/// The SHA-256 of a certificate, by which a client can know a server that no authority vouches for. Written
/// in hexadecimal digits.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Fingerprint([u8; 32]);

impl Fingerprint {
    fn of(certificate: &CertificateDer<'_>) -> Self {
        let mut bytes = [0; 32];
        bytes.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
        Self(bytes)
    }
}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

impl fmt::Debug for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A text that is no fingerprint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "a fingerprint of a certificate is 64 hexadecimal digits (SHA-256), with or without colons"
)]
pub struct NoFingerprint;

impl FromStr for Fingerprint {
    type Err = NoFingerprint;

    fn from_str(text: &str) -> Result<Self, NoFingerprint> {
        let digits: Vec<u8> = text.bytes().filter(|byte| *byte != b':').collect();
        let mut bytes = [0; 32];
        if digits.len() != 2 * bytes.len() {
            return Err(NoFingerprint);
        }
        for (byte, pair) in bytes.iter_mut().zip(digits.chunks_exact(2)) {
            let digit = |digit: u8| char::from(digit).to_digit(16).ok_or(NoFingerprint);
            *byte =
                u8::try_from(digit(pair[0])? << 4 | digit(pair[1])?).map_err(|_| NoFingerprint)?;
        }
        Ok(Self(bytes))
    }
}
