//! Secrets and keys from files in TOML (docs/authentication.md, "Files").

use crate::secrets::{HashError, Secret, SecretError, Secrets};
use crate::tokens::{Algorithm, Key, KeyError, Tokens};
use crate::written::{Partial, Written, present};
use crosspoint_hub::ids::NoPeerName;
use crosspoint_hub::{Grant, PeerName, Permissions};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// What is wrong in a file. The texts show no secrets.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FileError {
    /// It is no TOML, or has something that does not belong there.
    #[error("line {line}: {message}")]
    Text {
        /// Counted from 1.
        line: usize,
        /// What is wrong there.
        message: String,
    },
    /// There is nothing in it.
    #[error("there is no [[{0}]] in it, so nobody could enter")]
    Empty(&'static str),
    /// A hash is wrong.
    #[error("[[secret]] number {number}: {error}")]
    Hash {
        /// Counted from 1.
        number: usize,
        /// What is wrong.
        error: HashError,
    },
    /// The name for sessions is wrong.
    #[error("[[secret]] number {number}: `as`: {error}")]
    SessionName {
        /// Counted from 1.
        number: usize,
        /// What is wrong.
        error: NoPeerName,
    },
    /// Secrets do not go together.
    #[error("[[secret]]: {0}")]
    Secrets(#[from] SecretError),
    /// A key is wrong.
    #[error("[[key]] number {number}: {error}")]
    Key {
        /// Counted from 1.
        number: usize,
        /// What is wrong.
        error: KeyError,
    },
    /// A key has not exactly the one value that its algorithm needs.
    #[error("[[key]] number {number}: {algorithm:?} needs {needs}, and nothing else of this kind")]
    Material {
        /// Counted from 1.
        number: usize,
        /// The algorithm of the key.
        algorithm: Algorithm,
        /// What has to be there.
        needs: &'static str,
    },
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretsFile {
    #[serde(default)]
    permissions: Partial,
    #[serde(default)]
    secret: Vec<SecretEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SecretEntry {
    name: String,
    hash: String,
    r#as: Option<String>,
    #[serde(default)]
    permissions: Partial,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeysFile {
    #[serde(default)]
    permissions: Partial,
    #[serde(default)]
    key: Vec<KeyEntry>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyEntry {
    algorithm: Algorithm,
    id: Option<String>,
    secret: Option<String>,
    secret_base64: Option<String>,
    public_key: Option<String>,
    issuer: Option<String>,
    audience: Option<String>,
    #[serde(default, deserialize_with = "present")]
    names: Option<Written>,
    #[serde(default)]
    permissions: Partial,
}

impl Secrets {
    /// The secrets of a file, from its text. What an entry does not say is taken from the file's
    /// own `[permissions]`, and what these do not say from `defaults`.
    ///
    /// # Errors
    /// [`FileError`], with the place where something is wrong.
    pub fn from_toml(text: &str, defaults: &Permissions) -> Result<Self, FileError> {
        let file: SecretsFile = read(text)?;
        if file.secret.is_empty() {
            return Err(FileError::Empty("secret"));
        }
        let defaults = file.permissions.over(defaults);
        let secrets = file.secret.into_iter().zip(1..).map(|(entry, number)| {
            let SecretEntry { name, hash, r#as, permissions } = entry;
            let hash = hash.parse().map_err(|error| FileError::Hash { number, error })?;
            if let Some(Err(error)) = r#as.as_ref().map(PeerName::new) {
                return Err(FileError::SessionName { number, error });
            }
            let permissions = permissions.over(&defaults);
            let grant = Grant { name: r#as, permissions, ..Grant::default() };
            Ok(Secret { name, hash, grant })
        });
        Ok(Self::new(secrets.collect::<Result<Vec<_>, FileError>>()?)?)
    }
}

impl Tokens {
    /// The keys of a file, from its text. What a token does not say is taken from the permissions
    /// of its key, then from the file's own `[permissions]`, then from `defaults`.
    ///
    /// # Errors
    /// [`FileError`], with the place where something is wrong.
    pub fn from_toml(text: &str, defaults: &Permissions) -> Result<Self, FileError> {
        let file: KeysFile = read(text)?;
        if file.key.is_empty() {
            return Err(FileError::Empty("key"));
        }
        let defaults = file.permissions.over(defaults);
        let keys = file.key.into_iter().zip(1..).map(|(entry, number)| {
            let mut key = entry.material(number)?.with_defaults(entry.permissions.over(&defaults));
            if let Some(id) = entry.id {
                key = key.with_id(id);
            }
            if let Some(issuer) = &entry.issuer {
                key = key.with_issuer(issuer);
            }
            if let Some(names) = &entry.names {
                key = key.with_names(names.0.clone());
            }
            if let Some(audience) = &entry.audience {
                key = key.with_audience(audience);
            }
            Ok(key)
        });
        Ok(Self::new(keys.collect::<Result<Vec<_>, FileError>>()?, defaults))
    }
}

impl KeyEntry {
    fn material(&self, number: usize) -> Result<Key, FileError> {
        let Self { algorithm, secret, secret_base64, public_key, .. } = self;
        let key = match (algorithm, secret, secret_base64, public_key) {
            (Algorithm::HS256, Some(secret), None, None) => Key::hs256(secret.as_bytes()),
            (Algorithm::HS256, None, Some(secret), None) => Key::hs256_base64(secret),
            (Algorithm::EdDSA, None, None, Some(pem)) => Key::eddsa(pem),
            (Algorithm::RS256, None, None, Some(pem)) => Key::rs256(pem),
            _ => {
                let algorithm = *algorithm;
                let needs = match algorithm {
                    Algorithm::HS256 => "`secret` or `secret_base64`",
                    Algorithm::EdDSA | Algorithm::RS256 => "`public_key`",
                };
                return Err(FileError::Material { number, algorithm, needs });
            }
        };
        key.map_err(|error| FileError::Key { number, error })
    }
}

/// Reads TOML. The library's messages may show values, which can be secrets: these are left out.
fn read<T: DeserializeOwned>(text: &str) -> Result<T, FileError> {
    toml::from_str(text).map_err(|error| {
        let start = error.span().map_or(0, |span| span.start).min(text.len());
        let line = 1 + text.as_bytes()[..start].iter().filter(|byte| **byte == b'\n').count();
        let message = error.message();
        let message = match message.starts_with("invalid ") {
            true => {
                message.rsplit_once(", expected ").map_or("a wrong value".into(), |(_, wanted)| {
                    format!("a wrong value; expected {wanted}")
                })
            }
            false => message.to_owned(),
        };
        FileError::Text { line, message }
    })
}
