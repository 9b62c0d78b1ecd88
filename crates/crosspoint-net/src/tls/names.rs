//! The names in a certificate of a client.

use aws_lc_rs::digest;
use crosspoint_auth::ClientCertificate;
use rustls::pki_types::CertificateDer;
use std::time::{Duration, UNIX_EPOCH};
use x509_parser::certificate::X509Certificate;
use x509_parser::extensions::GeneralName;
use x509_parser::prelude::FromDer;

/// How many names of each kind are read. Others are left out.
const NAMES_MAX: usize = 16;

/// The most bytes of a name. Longer ones are left out.
const NAME_BYTES_MAX: usize = 255;

/// What a certificate says of its owner, after TLS has verified it. `None` if it cannot be read, which rustls would
/// not have taken.
pub(crate) fn read(certificate: &CertificateDer<'_>) -> Option<ClientCertificate> {
    let (_, parsed) = X509Certificate::from_der(certificate).ok()?;
    let common_name =
        parsed.subject().iter_common_name().find_map(|name| fitting(name.as_str().ok()?));
    let (mut dns_names, mut uris, mut emails) = (Vec::new(), Vec::new(), Vec::new());
    let alternative = parsed.subject_alternative_name().ok().flatten();
    for name in alternative.iter().flat_map(|names| &names.value.general_names) {
        let (names, text) = match name {
            GeneralName::DNSName(name) => (&mut dns_names, *name),
            GeneralName::URI(name) => (&mut uris, *name),
            GeneralName::RFC822Name(name) => (&mut emails, *name),
            _ => continue,
        };
        if names.len() < NAMES_MAX {
            names.extend(fitting(text));
        }
    }
    let expires = u64::try_from(parsed.validity().not_after.timestamp()).unwrap_or_default();
    let mut fingerprint = [0; 32];
    fingerprint.copy_from_slice(digest::digest(&digest::SHA256, certificate).as_ref());
    Some(ClientCertificate {
        fingerprint,
        common_name,
        dns_names,
        uris,
        emails,
        expires: UNIX_EPOCH + Duration::from_secs(expires),
    })
}

/// A name, if it can be one.
fn fitting(name: &str) -> Option<String> {
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len()) && !name.chars().any(char::is_control);
    fits.then(|| name.to_owned())
}
