//! The side that accepts: certificates by server name, exchanged while the server runs.

use super::certificate::Certificate;
use super::{TlsError, crl, crypto, roots};
use rustls::pki_types::{CertificateRevocationListDer, ServerName};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{
    ClientHello, NoServerSessionStorage, ResolvesServerCert, WebPkiClientVerifier,
};
use rustls::sign::CertifiedKey;
use rustls::{Connection, RootCertStore, ServerConfig, ServerConnection};
use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

/// What is spoken inside, of which clients choose: those of HTTP offer more than is served.
const ALPN: [&[u8]; 2] = [b"http/1.1", b"http/1.0"];

/// Chooses by the name that the client asks for: the first certificate for it, or else the first.
#[derive(Debug)]
struct ByName(Vec<Certificate>);

impl ResolvesServerCert for ByName {
    fn resolve(&self, hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        let name = hello.server_name().and_then(|name| ServerName::try_from(name).ok());
        let named = name.and_then(|name| self.0.iter().find(|one| one.is_for(&name)));
        named.or(self.0.first()).map(Certificate::key)
    }
}

/// Which certificates clients may show: those for which one of these authorities vouches.
#[derive(Clone)]
pub struct Clients {
    roots: Arc<RootCertStore>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    required: bool,
}

impl Clients {
    /// Trusts the authorities of a text in PEM. Clients may come without a certificate.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn new(authorities: &[u8]) -> Result<Self, TlsError> {
        Ok(Self { roots: roots(authorities)?, revoked: Vec::new(), required: false })
    }

    /// Refuses what the lists of a text in PEM name as revoked, besides those of other texts. What an authority
    /// without a list has issued is taken. A list stays in force past its next update.
    ///
    /// # Errors
    /// [`TlsError`].
    pub fn revoked(mut self, lists: &[u8]) -> Result<Self, TlsError> {
        self.revoked.extend(crl(lists)?);
        // So that a wrong list is found where it is known which one it is.
        self.verifier()?;
        Ok(self)
    }

    fn verifier(&self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let Self { roots, revoked, required } = self;
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.clone(), crypto())
            .with_crls(revoked.iter().cloned())
            .allow_unknown_revocation_status();
        let verifier = if *required { verifier } else { verifier.allow_unauthenticated() };
        Ok(verifier.build()?)
    }

    /// Refuses clients that show no certificate.
    #[must_use]
    pub fn required(self, required: bool) -> Self {
        Self { required, ..self }
    }
}

impl fmt::Debug for Clients {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { roots, revoked, required } = self;
        f.debug_struct("Clients")
            .field("roots", &roots.len())
            .field("revoked", &revoked.len())
            .field("required", required)
            .finish()
    }
}

/// What a server shows, and what it asks for.
#[derive(Debug, Clone, Default)]
pub struct Setup {
    /// The certificates of the server. The first is shown to those that ask for no name or a strange one.
    pub certificates: Vec<Certificate>,
    /// Which certificates clients may show, if they are asked for one.
    pub clients: Option<Clients>,
}

impl From<Vec<Certificate>> for Setup {
    fn from(certificates: Vec<Certificate>) -> Self {
        Self { certificates, clients: None }
    }
}

/// A [`Setup`] that can be served.
#[derive(Clone)]
pub struct Checked(Arc<ServerConfig>);

impl Checked {
    /// Checks it.
    ///
    /// # Errors
    /// [`TlsError`], also without certificates.
    pub fn new(setup: impl Into<Setup>) -> Result<Self, TlsError> {
        config(setup.into()).map(Self)
    }
}

impl fmt::Debug for Checked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Checked(..)")
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
    /// With these certificates.
    ///
    /// # Errors
    /// [`TlsError`], also without certificates.
    pub fn new(setup: impl Into<Setup>) -> Result<Self, TlsError> {
        let Checked(config) = Checked::new(setup)?;
        Ok(Self { config: Arc::new(RwLock::new(config)), required: false })
    }

    /// Connections without TLS are refused.
    #[must_use]
    pub fn required(self, required: bool) -> Self {
        Self { required, ..self }
    }

    /// Exchanges the certificates, and what clients are asked for. Connections that are there stay.
    pub fn replace(&self, Checked(config): Checked) {
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
    }

    /// A connection before its handshake.
    pub(crate) fn accept(&self) -> Result<Connection, rustls::Error> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        ServerConnection::new(config).map(Connection::from)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("required", &self.required).finish_non_exhaustive()
    }
}

fn config(Setup { certificates, clients }: Setup) -> Result<Arc<ServerConfig>, TlsError> {
    if certificates.is_empty() {
        return Err(TlsError::Nothing("certificate"));
    }
    let builder =
        ServerConfig::builder_with_provider(crypto()).with_safe_default_protocol_versions()?;
    let asks = clients.is_some();
    let builder = match clients {
        None => builder.with_no_client_auth(),
        Some(clients) => builder.with_client_cert_verifier(clients.verifier()?),
    };
    let mut config = builder.with_cert_resolver(Arc::new(ByName(certificates)));
    config.alpn_protocols = ALPN.map(<[u8]>::to_vec).to_vec();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    if asks {
        // Who goes on by a ticket would not show a certificate again, which may be revoked by then.
        config.send_tls13_tickets = 0;
    } else {
        // Sessions go on by tickets, which cost no memory here.
        config.ticketer = rustls::crypto::aws_lc_rs::Ticketer::new()?;
    }
    Ok(Arc::new(config))
}
