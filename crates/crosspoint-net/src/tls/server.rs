//! The side that accepts: certificates by server name, exchanged while the server runs.

use super::{Fingerprint, TlsError, certificates, crypto};
use rustls::client::verify_server_name;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{PrivateKeyDer, ServerName};
use rustls::server::{ClientHello, NoServerSessionStorage, ParsedCertificate, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{ServerConfig, ServerConnection};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// What is spoken inside, of which clients choose: those of HTTP offer more than is served.
const ALPN: &[u8] = b"http/1.1";

/// The most bytes of a chain. Clients refuse more than about 100 KiB.
const CHAIN_BYTES_MAX: usize = 64 * 1024;

/// Names and addresses of a certificate for development.
const DEVELOPMENT_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A certificate with the chain that leads to it, and its key.
#[derive(Clone)]
pub struct Certificate(Arc<CertifiedKey>);

impl Certificate {
    /// Reads a chain, the server's own certificate first, and the key of that, both in PEM.
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

    /// Whether it is one for this name.
    fn is_for(&self, name: &ServerName<'_>) -> bool {
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

/// Chooses by the name that the client asks for: the first certificate for it, or else the first.
#[derive(Debug)]
struct ByName(Vec<Certificate>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.0.iter().find(|one| one.is_for(&name)));
        named.or(self.0.first()).map(|certificate| certificate.0.clone())
    }
}

/// How a server serves TLS. Clones share their certificates.
#[derive(Clone)]
pub struct Tls {
    config: Arc<RwLock<Arc<ServerConfig>>>,
    /// Whether connections without TLS are refused.
    pub required: bool,
}

impl Tls {
    /// With these certificates, the first of which is shown to those that ask for no name or a strange one.
    ///
    /// # Errors
    /// [`TlsError`], also without certificates.
    pub fn new(certificates: Vec<Certificate>) -> Result<Self, TlsError> {
        let config = Arc::new(RwLock::new(config(certificates)?));
        Ok(Self { config, required: false })
    }

    /// Connections without TLS are refused.
    #[must_use]
    pub fn required(self, required: bool) -> Self {
        Self { required, ..self }
    }

    /// Exchanges the certificates. Connections that are there stay.
    ///
    /// # Errors
    /// As [`Tls::new`]; nothing has changed then.
    pub fn replace(&self, certificates: Vec<Certificate>) -> Result<(), TlsError> {
        let new = config(certificates)?;
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = new;
        Ok(())
    }

    /// A connection before its handshake.
    pub(crate) fn accept(&self) -> Result<ServerConnection, rustls::Error> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        ServerConnection::new(config)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("required", &self.required).finish_non_exhaustive()
    }
}

fn config(certificates: Vec<Certificate>) -> Result<Arc<ServerConfig>, TlsError> {
    if certificates.is_empty() {
        return Err(TlsError::Nothing("certificate"));
    }
    let mut config = ServerConfig::builder_with_provider(crypto())
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_cert_resolver(Arc::new(ByName(certificates)));
    config.alpn_protocols = vec![ALPN.to_vec()];
    // Sessions go on by tickets, which cost no memory here.
    config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    config.session_storage = Arc::new(NoServerSessionStorage {});
    Ok(Arc::new(config))
}
