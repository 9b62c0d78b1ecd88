//! A certificate with its key, of either side.

use super::{Fingerprint, TlsError, certificates, crypto};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::ParsedCertificate;
use rustls::sign::CertifiedKey;
use std::fmt;
use std::sync::Arc;

/// The most bytes of a chain. Clients refuse more than about 100 KiB.
const CHAIN_BYTES_MAX: usize = 64 * 1024;

/// Names and addresses of a certificate for development.
const DEVELOPMENT_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate with the chain that leads to it, and its key.
#[derive(Clone)]
pub struct Certificate(Arc<CertifiedKey>);

impl Certificate {
    /// Reads a chain, the own certificate first, and the key of that, both in PEM.
    ///
    /// # Errors
    /// [`TlsError`], also if the key is that of another certificate.
    pub fn from_pem(chain: &[u8], key: &[u8]) -> Result<Self, TlsError> {
        const WHAT: &str = "private key";
        let chain = certificates(chain)?;
        if chain.iter().map(|certificate| certificate.len()).sum::<usize>() > CHAIN_BYTES_MAX {
            return Err(TlsError::ChainTooLong);
        }
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|error| match error {
            rustls::pki_types::pem::Error::NoItemsFound => TlsError::Nothing(WHAT),
            error => TlsError::Pem { what: WHAT, error },
        })?;
        Ok(Self(Arc::new(CertifiedKey::from_der(chain, key, &crypto())?)))
    }

    /// Makes one for `localhost` that nobody vouches for. Clients know it by its fingerprint.
    ///
    /// # Errors
    /// [`TlsError::Made`], without randomness.
    pub fn for_development() -> Result<Self, TlsError> {
        let made = rcgen::generate_simple_self_signed(DEVELOPMENT_NAMES.map(String::from))?;
        Self::from_pem(made.cert.pem().as_bytes(), made.signing_key.serialize_pem().as_bytes())
    }

    /// By what a client can pin it.
    ///
    /// # Errors
    /// [`TlsError::Nothing`] for an empty chain.
    pub fn fingerprint(&self) -> Result<Fingerprint, TlsError> {
        let own = self.0.cert.first().ok_or(TlsError::Nothing("certificate"))?;
        Ok(Fingerprint::of(own))
    }

    /// The chain and the key.
    pub(super) fn key(&self) -> Arc<CertifiedKey> {
        self.0.clone()
    }

    /// Whether it is one for this name.
    pub(super) fn is_for(&self, name: &ServerName<'_>) -> bool {
        let parsed = self.0.cert.first().map(ParsedCertificate::try_from);
        matches!(parsed, Some(Ok(parsed)) if verify_server_name(&parsed, name).is_ok())
    }
}

impl fmt::Debug for Certificate {
    /// Without the key.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Certificate").field(&self.fingerprint().ok()).finish()
    }
}
