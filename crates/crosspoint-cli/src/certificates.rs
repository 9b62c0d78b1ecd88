//! The certificates of the hub, from files or made for tries.

use crate::failure::Failure;
use crate::settings::Settings;
use crate::small_file::{self, BYTES_MAX, FileKind};
use crosspoint_net::tls::certificate::Certificate;
use crosspoint_net::tls::server::{Clients, Setup, Tls};
use crosspoint_net::tls::{Fingerprint, TlsError};
use std::path::Path;

/// A certificate that was made for tries. It stays the same as long as the hub runs.
#[derive(Debug, Clone)]
pub(crate) struct Made {
    certificate: Certificate,
}

impl Made {
    fn new() -> Result<Self, TlsError> {
        Ok(Self { certificate: Certificate::for_development()? })
    }
}

/// TLS as it is served.
pub(crate) struct Served {
    pub(crate) tls: Tls,
    /// The certificate, if it was made.
    pub(crate) made: Option<Made>,
    /// Of the certificate for clients that name no host.
    pub(crate) fingerprint: Fingerprint,
}

/// How TLS is served, if it is.
pub(crate) fn tls(settings: &Settings) -> Result<Option<Served>, Failure> {
    let made = if settings.tls.dev {
        if !settings.tls.cert.is_empty() {
            let fault = "tls.dev makes a certificate, and tls.cert names one; set one of them";
            return Err(Failure::Setup(fault.to_owned()));
        }
        Some(Made::new().map_err(|error| Failure::Setup(format!("tls.dev: {error}")))?)
    } else {
        None
    };
    let setup = read(settings, FileKind::Any, made.as_ref())?;
    let Some(first) = setup.certificates.first() else {
        let set = [
            ("tls.required is true", settings.tls.required),
            ("tls.client_roots is set", setup.clients.is_some()),
            (
                "server.listen has a tls:// address",
                settings.server.listen_addresses().any(|address| address.tls),
            ),
        ];
        return match set.iter().find(|(_, set)| *set) {
            Some((what, _)) => Err(Failure::Setup(format!("{what} without tls.cert or tls.dev"))),
            None => Ok(None),
        };
    };
    let wrong = |error: TlsError| Failure::Setup(format!("tls.cert: {error}"));
    let fingerprint = first.fingerprint().map_err(wrong)?;
    let tls = Tls::new(setup).map_err(wrong)?.required(settings.tls.required);
    Ok(Some(Served { tls, made, fingerprint }))
}

/// Reads the certificates and authorities that the settings name, from files of this kind. A certificate that was
/// made stands in for those of files.
pub(crate) fn read(
    settings: &Settings,
    kind: FileKind,
    made: Option<&Made>,
) -> Result<Setup, Failure> {
    let certificates = match made {
        Some(made) => vec![made.certificate.clone()],
        None => certificates(settings, kind)?,
    };
    Ok(Setup { certificates, clients: clients(settings, kind)? })
}

fn text(setting: &str, path: &str, kind: FileKind) -> Result<String, Failure> {
    let read = small_file::read(Path::new(path), kind, BYTES_MAX);
    read.map(|file| file.text)
        .map_err(|error| Failure::Setup(format!("{setting}: {path}: {error}")))
}

/// Which certificates clients may show, if they are asked.
fn clients(settings: &Settings, kind: FileKind) -> Result<Option<Clients>, Failure> {
    let tls = &settings.tls;
    if tls.client_roots.is_empty() {
        let set = [
            ("tls.client_required", tls.client_required),
            ("tls.client_crls", !tls.client_crls.is_empty()),
            ("auth.certificates", settings.auth.certificates),
        ];
        return match set.iter().find(|(_, set)| *set) {
            Some((key, _)) => Err(Failure::Setup(format!("{key} is set without tls.client_roots"))),
            None => Ok(None),
        };
    }
    let wrong = |setting: &str, path: &str, error: TlsError| {
        Failure::Setup(format!("{setting}: {path}: {error}"))
    };
    let path = &tls.client_roots;
    let roots = text("tls.client_roots", path, kind)?;
    let clients = Clients::new(roots.as_bytes())
        .map_err(|error| wrong("tls.client_roots", path, error))?
        .required(tls.client_required);
    let clients = tls.client_crls.iter().try_fold(clients, |clients, path| {
        let lists = text("tls.client_crls", path, kind)?;
        clients.revoked(lists.as_bytes()).map_err(|error| wrong("tls.client_crls", path, error))
    });
    clients.map(Some)
}

fn certificates(settings: &Settings, kind: FileKind) -> Result<Vec<Certificate>, Failure> {
    let (certs, keys) = (&settings.tls.cert, &settings.tls.key);
    if !keys.is_empty() && keys.len() != certs.len() {
        return Err(Failure::Setup(format!(
            "tls.key: {} files for {} of tls.cert; name one for each, or none if the keys are in the files of the certificates",
            keys.len(),
            certs.len()
        )));
    }
    let each = certs.iter().enumerate().map(|(at, path)| {
        let chain = text("tls.cert", path, kind)?;
        let key = keys.get(at).map(|path| text("tls.key", path, kind)).transpose()?;
        let key = key.as_ref().unwrap_or(&chain);
        Certificate::from_pem(chain.as_bytes(), key.as_bytes())
            .map_err(|error| Failure::Setup(format!("tls.cert: {path}: {error}")))
    });
    each.collect()
}
