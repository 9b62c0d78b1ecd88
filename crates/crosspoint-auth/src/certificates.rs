//! Lets clients in by the certificates that they show over TLS.

use crate::authenticator::quoted;
use crate::{Authenticator, BoxFuture, Credentials, Denied};
use crosspoint_hub::{Grant, PeerName, Permissions, Reason};
use std::time::SystemTime;

/// Lets in who has shown a certificate. Its [name](crate::ClientCertificate::name) becomes that of the session.
#[derive(Debug, Clone, Default)]
pub struct Certificates {
    permissions: Permissions,
    outlived: bool,
}

impl Certificates {
    /// What those who have one may do.
    pub fn new(permissions: Permissions) -> Self {
        Self { permissions, outlived: false }
    }

    /// Lets sessions go on when their certificates expire.
    #[must_use]
    pub fn outlived(self, outlived: bool) -> Self {
        Self { outlived, ..self }
    }

    fn check(&self, credentials: &Credentials) -> Result<Grant, Denied> {
        let none = Denied::new("no certificate was shown (TLS)");
        let certificate = credentials.certificate.as_ref().ok_or(none)?;
        let name = certificate.name().ok_or(Denied::new(
            "the certificate has neither a DNS name nor a common name that can be a name",
        ))?;
        PeerName::new(name).map_err(|error| {
            Denied::new(format!("the name {} of the certificate: {error}", quoted(name)))
        })?;
        let left = certificate.expires.duration_since(SystemTime::now()).map_err(|_| {
            Denied::new("the certificate has expired since TLS began").telling(Reason::Expired)
        })?;
        let lasts = (!self.outlived).then_some(left);
        Ok(Grant {
            name: Some(name.to_owned()),
            permissions: self.permissions.clone(),
            lasts,
            ..Grant::default()
        })
    }
}

impl Authenticator for Certificates {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        Box::pin(std::future::ready(self.check(&credentials)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ClientCertificate;
    use std::sync::Arc;
    use std::time::Duration;

    fn shown(names: (Option<&str>, &[&str]), expires: SystemTime) -> Credentials {
        let certificate = ClientCertificate {
            fingerprint: [1; 32],
            common_name: names.0.map(String::from),
            dns_names: names.1.iter().copied().map(String::from).collect(),
            uris: vec!["spiffe://example/ann".into()],
            emails: vec!["ann@example".into()],
            expires,
        };
        Credentials {
            protocol: "native",
            address: None,
            process: None,
            certificate: Some(Arc::new(certificate)),
            peer: None,
            key_proven: false,
            name: Some("eve".into()),
            token: None,
        }
    }

    #[test]
    fn a_certificate_names_the_session_and_ends_it() {
        let now = SystemTime::now();
        let hour = Duration::from_secs(3600);
        let by = Certificates::default();
        let granted = |names, expires| by.check(&shown(names, expires));
        let grant = granted((Some("Ann"), &["*.example", "ann.example"]), now + hour).unwrap();
        assert_eq!(grant.name.as_deref(), Some("ann.example"));
        assert!(grant.lasts.is_some_and(|lasts| lasts <= hour && lasts > hour / 2));
        assert_eq!(
            granted((Some("Ann"), &["*.example"]), now + hour).unwrap().name.unwrap(),
            "Ann"
        );
        let outlived = by.clone().outlived(true).check(&shown((Some("Ann"), &[]), now + hour));
        assert_eq!(outlived.unwrap().lasts, None);
        let told = |result: Result<Grant, Denied>| result.unwrap_err().told;
        assert_eq!(told(granted((Some("Ann"), &[]), now - hour)), Reason::Expired);
        assert_eq!(told(granted((None, &["*.example"]), now + hour)), Reason::NotAllowed);
        let none = Credentials { certificate: None, ..shown((None, &[]), now) };
        assert_eq!(told(by.check(&none)), Reason::NotAllowed);
    }
}
