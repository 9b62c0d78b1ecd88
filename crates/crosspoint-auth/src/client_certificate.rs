//! A certificate that a client shows over TLS.

use std::fmt;
use std::time::SystemTime;

/// A certificate that a client has shown over TLS.
///
/// An authority vouches for it that the hub trusts for its clients, and the client has its key.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    /// The SHA-256 of the certificate.
    pub fingerprint: [u8; 32],
    /// The common name of the subject.
    pub common_name: Option<String>,
    /// The alternative names of the subject that are DNS names, in their order.
    pub dns_names: Vec<String>,
    /// Those that are URIs.
    pub uris: Vec<String>,
    /// Those that are addresses of email.
    pub emails: Vec<String>,
    /// When the certificate expires.
    pub expires: SystemTime,
}

impl ClientCertificate {
    /// The name of its owner: the first DNS name without a `*`, or else the common name.
    pub fn name(&self) -> Option<&str> {
        let dns = self.dns_names.iter().find(|name| !name.contains('*'));
        dns.or(self.common_name.as_ref()).map(String::as_str)
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let fingerprint: String =
            self.fingerprint.iter().map(|byte| format!("{byte:02x}")).collect();
        f.debug_struct("ClientCertificate")
            .field("fingerprint", &fingerprint)
            .field("name", &self.name())
            .finish_non_exhaustive()
    }
}
