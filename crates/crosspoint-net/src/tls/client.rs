//! The side that connects: whom it trusts.

use super::certificate::Certificate;
use super::failure::NotPinned;
use super::{Fingerprint, TlsError, crypto, roots};
use rustls::OtherError;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::sign::SingleCertAndKey;
use rustls::{
    CertificateError, ClientConfig, ClientConnection, Connection, DigitallySignedStruct, Error,
    RootCertStore, SignatureScheme,
};
use rustls_platform_verifier::BuilderVerifierExt;
use std::fmt;
use std::io;
use std::sync::Arc;

pub use super::failure::HandshakeError;

/// Whom a client believes that it is who it says.
#[derive(Clone, Default)]
pub enum Trust {
    /// Servers for whose name an authority vouches that the system trusts.
    #[default]
    Platform,
    /// Servers for whose name one of these authorities vouches.
    Roots(Arc<RootCertStore>),
    /// The server with this certificate, whatever name and time it is for.
    Pinned(Fingerprint),
}

impl Trust {
    /// Trusts the authorities of a text in PEM.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn roots(pem: &[u8]) -> Result<Self, TlsError> {
        roots(pem).map(Self::Roots)
    }
}

/// How a client speaks TLS: whom it trusts, and who it is.
#[derive(Debug, Clone, Default)]
pub struct ClientTls {
    /// Whom it trusts.
    pub trust: Trust,
    /// What it shows to servers that ask for a certificate.
    pub certificate: Option<Certificate>,
}

impl ClientTls {
    /// A connection to a server of this name or address, before its handshake.
    ///
    /// # Errors
    /// [`io::ErrorKind::InvalidInput`] for a host that TLS has no name for, and [`io::ErrorKind::InvalidData`] if
    /// rustls refuses the setup.
    pub(crate) fn connect(&self, host: &str) -> io::Result<Connection> {
        let name = ServerName::try_from(host.to_owned())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
        let config = self.config().map_err(wrong)?;
        Ok(ClientConnection::new(Arc::new(config), name).map_err(wrong)?.into())
    }

    /// The same for rustls, for those that have sockets of their own.
    ///
    /// # Errors
    /// What rustls has against the setup.
    pub fn config(&self) -> Result<ClientConfig, Error> {
        let builder =
            ClientConfig::builder_with_provider(crypto()).with_safe_default_protocol_versions()?;
        let builder = match &self.trust {
            Trust::Platform => builder.with_platform_verifier()?,
            Trust::Roots(roots) => builder.with_root_certificates(roots.clone()),
            Trust::Pinned(fingerprint) => builder
                .dangerous()
                .with_custom_certificate_verifier(Arc::new(Pin::new(*fingerprint))),
        };
        Ok(match &self.certificate {
            None => builder.with_no_client_auth(),
            Some(certificate) => builder
                .with_client_cert_resolver(Arc::new(SingleCertAndKey::from(certificate.key()))),
        })
    }
}

impl From<Trust> for ClientTls {
    fn from(trust: Trust) -> Self {
        Self { trust, certificate: None }
    }
}

impl fmt::Debug for Trust {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Platform => f.write_str("Platform"),
            Self::Roots(roots) => f.debug_tuple("Roots").field(&roots.len()).finish(),
            Self::Pinned(fingerprint) => f.debug_tuple("Pinned").field(fingerprint).finish(),
        }
    }
}

/// Knows a server by its certificate alone. That it has the key is checked as always.
#[derive(Debug)]
struct Pin {
    fingerprint: Fingerprint,
    crypto: Arc<CryptoProvider>,
}

impl Pin {
    fn new(fingerprint: Fingerprint) -> Self {
        Self { fingerprint, crypto: crypto() }
    }
}

impl ServerCertVerifier for Pin {
    fn verify_server_cert(
        &self,
        certificate: &CertificateDer<'_>,
        _intermediates: &[CertificateDer<'_>],
        _name: &ServerName<'_>,
        _ocsp: &[u8],
        _now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let shown = Fingerprint::of(certificate);
        match shown == self.fingerprint {
            true => Ok(ServerCertVerified::assertion()),
            false => {
                let wrong = NotPinned { pinned: self.fingerprint, shown };
                Err(CertificateError::Other(OtherError(Arc::new(wrong))).into())
            }
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        verify_tls12_signature(message, certificate, signed, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signed: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.crypto.signature_verification_algorithms;
        verify_tls13_signature(message, certificate, signed, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.crypto.signature_verification_algorithms.supported_schemes()
    }
}
