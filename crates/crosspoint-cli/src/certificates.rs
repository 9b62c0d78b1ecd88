//! The certificates of the hub, from files or made for tries.

use crate::failure::Failure;
use crate::settings::Settings;
use crate::small_file::{self, BYTES_MAX, FileKind};
use crosspoint_net::tls::Fingerprint;
use crosspoint_net::tls::server::{Certificate, Tls};
use std::path::Path;

/// How TLS is served, and the fingerprint of a certificate that was made.
pub(crate) fn tls(settings: &Settings) -> Result<Option<(Tls, Option<Fingerprint>)>, Failure> {
    let wrong = |error| Failure::Setup(format!("tls.dev: {error}"));
    let (certificates, fingerprint) = if settings.tls.dev {
        if !settings.tls.cert.is_empty() {
            let fault = "tls.dev makes a certificate, and tls.cert names one; set one of them";
            return Err(Failure::Setup(fault.to_owned()));
        }
        let certificate = Certificate::for_development().map_err(wrong)?;
        let fingerprint = certificate.fingerprint().map_err(wrong)?;
        (vec![certificate], Some(fingerprint))
    } else {
        (read(settings, FileKind::Any)?, None)
    };
    if certificates.is_empty() {
        return match settings.tls.required {
            true => {
                Err(Failure::Setup("tls.required is true without tls.cert or tls.dev".to_owned()))
            }
            false => Ok(None),
        };
    }
    let tls =
        Tls::new(certificates).map_err(|error| Failure::Setup(format!("tls.cert: {error}")))?;
    Ok(Some((tls.required(settings.tls.required), fingerprint)))
}

/// Reads the certificates that the settings name, from files of this kind.
pub(crate) fn read(settings: &Settings, kind: FileKind) -> Result<Vec<Certificate>, Failure> {
    let (certs, keys) = (&settings.tls.cert, &settings.tls.key);
    if !keys.is_empty() && keys.len() != certs.len() {
        return Err(Failure::Setup(format!(
            "tls.key: {} files for {} of tls.cert; name one for each, or none if the keys are in the files of the certificates",
            keys.len(),
            certs.len()
        )));
    }
    let text = |setting: &str, path: &str| {
        let read = small_file::read(Path::new(path), kind, BYTES_MAX);
        read.map(|file| file.text)
            .map_err(|error| Failure::Setup(format!("{setting}: {path}: {error}")))
    };
    let each = certs.iter().enumerate().map(|(at, path)| {
        let chain = text("tls.cert", path)?;
        let key = keys.get(at).map(|path| text("tls.key", path)).transpose()?;
        let key = key.as_ref().unwrap_or(&chain);
        Certificate::from_pem(chain.as_bytes(), key.as_bytes())
            .map_err(|error| Failure::Setup(format!("tls.cert: {path}: {error}")))
    });
    each.collect()
}
