//! TLS of the program's clients: the flags that say whom to trust and who one is, and what to do where it fails.

use crate::failure::Failure;
use crate::small_file::{self, BYTES_MAX, FileKind};
use clap::parser::ValueSource;
use clap::{Arg, ArgMatches, Command, value_parser};
use crosspoint::tls::Fingerprint;
use crosspoint::tls::certificate::Certificate;
use crosspoint::tls::client::{ClientTls, HandshakeError, Trust};
use std::fmt::Display;
use std::path::{Path, PathBuf};

/// Flags that mean something with TLS only.
const FLAGS: [&str; 3] = ["tls-roots", "tls-pin", "tls-cert"];

/// Adds the flags.
pub(crate) fn add_arguments(command: Command) -> Command {
    let flag = |name: &'static str, value: &'static str, help: &'static str| {
        Arg::new(name).long(name).value_name(value).help(help)
    };
    command
        .arg(
            flag("tls-roots", "FILE", "Trust the authorities of this file (PEM) instead of those of the system, if the connection has TLS")
                .value_parser(value_parser!(PathBuf))
                .conflicts_with("tls-pin"),
        )
        .arg(
            flag("tls-pin", "FINGERPRINT", "Trust the hub whose certificate has this fingerprint (SHA-256), if the connection has TLS")
                .value_parser(value_parser!(Fingerprint)),
        )
        .arg(
            flag("tls-cert", "FILE", "Show this certificate (PEM, with its chain) to a hub that asks for one, if the connection has TLS")
                .value_parser(value_parser!(PathBuf)),
        )
        .arg(
            flag("tls-key", "FILE", "The key of --tls-cert (PEM), if it is not in the same file")
                .value_parser(value_parser!(PathBuf))
                .requires("tls-cert"),
        )
}

/// What the flags say.
pub(crate) fn read(matches: &ArgMatches) -> Result<ClientTls, Failure> {
    Ok(ClientTls { trust: trust(matches)?, certificate: certificate(matches)? })
}

/// Refuses flags that would have no effect on a hub without TLS.
/// `instead` is how one writes an address with TLS.
pub(crate) fn refuse_without_tls(
    matches: &ArgMatches,
    hub: impl Display,
    instead: &str,
) -> Result<(), Failure> {
    let given = |flag: &&str| matches.value_source(flag) == Some(ValueSource::CommandLine);
    match FLAGS.iter().find(|flag| given(flag)) {
        None => Ok(()),
        Some(flag) => Err(Failure::Setup(format!(
            "--{flag} has no effect on {hub}, which is without TLS; use {instead}"
        ))),
    }
}

/// What to do where there is no TLS with a hub, to be said behind the error.
pub(crate) fn advice(error: &HandshakeError) -> &'static str {
    match error {
        HandshakeError::OtherCertificate { .. } => {
            "; if the hub has a new certificate, ask its operator for the fingerprint and give it \
             to --tls-pin; if not, somebody is between you and the hub"
        }
        HandshakeError::UnknownAuthority => {
            "; give the certificate of that authority to --tls-roots FILE, or the fingerprint of \
             the hub's to --tls-pin FINGERPRINT"
        }
        HandshakeError::BadSignature => {
            "; it may be of an authority with the same name and a new key: give the certificate of \
             that one to --tls-roots, or the fingerprint of the hub's to --tls-pin"
        }
        HandshakeError::AuthorityCertificate => {
            "; give its fingerprint to --tls-pin, or make one for a server (docs/tls.md says how)"
        }
        HandshakeError::OldCertificate => "; make one of version 3 (docs/tls.md says how)",
        HandshakeError::OtherName(_) => {
            "; connect to one of the names of the certificate, or give its fingerprint to --tls-pin"
        }
        HandshakeError::WrongTime(_) => "; have it renewed, and compare the clocks",
        HandshakeError::NoTls | HandshakeError::Refused | HandshakeError::Closed => {
            "; if the hub serves no TLS, connect without it (tcp:// instead of tls://), or give it a \
             certificate (docs/tls.md)"
        }
        HandshakeError::ClientCertificate(_) => "; give one that the hub takes to --tls-cert",
        _ => "",
    }
}

fn trust(matches: &ArgMatches) -> Result<Trust, Failure> {
    if let Some(fingerprint) = matches.get_one::<Fingerprint>("tls-pin") {
        return Ok(Trust::Pinned(*fingerprint));
    }
    let Some(path) = matches.get_one::<PathBuf>("tls-roots") else {
        return Ok(Trust::Platform);
    };
    let roots = Trust::roots(text("--tls-roots", path)?.as_bytes());
    roots.map_err(|error| wrong("--tls-roots", path, error))
}

fn certificate(matches: &ArgMatches) -> Result<Option<Certificate>, Failure> {
    let Some(path) = matches.get_one::<PathBuf>("tls-cert") else {
        return Ok(None);
    };
    let chain = text("--tls-cert", path)?;
    let key = matches.get_one::<PathBuf>("tls-key").map(|path| text("--tls-key", path));
    let key = key.transpose()?;
    let certificate =
        Certificate::from_pem(chain.as_bytes(), key.as_ref().unwrap_or(&chain).as_bytes());
    certificate.map(Some).map_err(|error| wrong("--tls-cert", path, error))
}

/// The text of a file that a flag names.
fn text(flag: &str, path: &Path) -> Result<String, Failure> {
    let file = small_file::read(path, FileKind::Any, BYTES_MAX);
    file.map(|file| file.text).map_err(|error| wrong(flag, path, error))
}

fn wrong(flag: &str, path: &Path, error: impl Display) -> Failure {
    Failure::Setup(format!("{flag} {}: {error}", path.display()))
}
