//! Secrets that the hub shares with clients.

mod gate;
mod hash;

use crate::authenticator::quoted;
use crate::{Authenticator, BoxFuture, Credentials, Denied};
use crosspoint_hub::Grant;
use gate::Gate;
pub use hash::{HashError, SecretHash};
use std::collections::HashMap;
use std::collections::hash_map::{Entry, RandomState};
use std::hash::BuildHasher;
use std::sync::Arc;

/// The longest name of a secret, in bytes.
const NAME_BYTES_MAX: usize = 255;

/// The longest token: name, colon, secret; and room for quotation marks and escapes of JSON.
const TOKEN_BYTES_MAX: usize = 2 * (NAME_BYTES_MAX + 1 + hash::SECRET_BYTES_MAX);

/// How many secrets are checked at once. Each takes the memory that its hash asks for.
const CHECKS_MAX: usize = 2;

/// How many checks may wait for their turn.
const WAITING_MAX: usize = 64;

/// A secret that lets clients in.
#[derive(Debug, Clone)]
pub struct Secret {
    /// What a client writes before the colon: 1 to 255 bytes without a colon.
    pub name: String,
    /// The hash of what it writes behind it.
    pub hash: SecretHash,
    /// What it gets.
    pub grant: Grant,
}

/// A secret cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SecretError {
    /// The name is empty, too long, or has a colon.
    #[error("the name {0} is wrong; expected 1 to {NAME_BYTES_MAX} bytes without a colon")]
    Name(String),
    /// Two have the same name.
    #[error("the name {0} is there twice")]
    Twice(String),
}

/// Lets in who knows a secret. The token is `NAME:SECRET`.
///
/// The check is slow on purpose, so it runs on threads for blocking work: two at once, in the order
/// of their coming. Up to 64 more wait, those above are denied. A name that does not exist takes as
/// long as one that does. Needs a tokio runtime.
#[derive(Debug)]
pub struct Secrets {
    by_name: HashMap<String, Arc<Secret>>,
    /// All of them, to be checked in vain for names that do not exist.
    decoys: Vec<Arc<Secret>>,
    /// Chooses the decoy of a name: always the same, and not to be foreseen.
    choice: RandomState,
    gate: Gate,
}

impl Secrets {
    /// These secrets.
    ///
    /// # Errors
    /// When a name is wrong or there twice.
    pub fn new(secrets: impl IntoIterator<Item = Secret>) -> Result<Self, SecretError> {
        let mut by_name = HashMap::new();
        let mut decoys = Vec::new();
        for secret in secrets {
            let name = &secret.name;
            if name.is_empty() || name.len() > NAME_BYTES_MAX || name.contains(':') {
                return Err(SecretError::Name(quoted(name)));
            }
            let secret = Arc::new(secret);
            match by_name.entry(secret.name.clone()) {
                Entry::Occupied(taken) => return Err(SecretError::Twice(quoted(taken.key()))),
                Entry::Vacant(free) => free.insert(Arc::clone(&secret)),
            };
            decoys.push(secret);
        }
        let gate = Gate::new(CHECKS_MAX, WAITING_MAX);
        Ok(Self { by_name, decoys, choice: RandomState::new(), gate })
    }

    async fn check(&self, credentials: Credentials) -> Result<Grant, Denied> {
        let token = credentials.token(TOKEN_BYTES_MAX)?;
        let (name, secret) = split(&token)?;
        let found = self.by_name.get(name);
        let Some(checked) = found.or_else(|| self.decoy(name)).map(Arc::clone) else {
            return Err(Denied::new("there are no secrets"));
        };
        let secret = secret.to_vec();
        let matches = self
            .gate
            .run(move || checked.hash.matches(&secret))
            .await
            .map_err(|error| Denied::new(format!("the secret was not checked: {error}")))?;
        match found {
            Some(known) if matches => Ok(known.grant.clone()),
            Some(_) => Err(Denied::new(format!("wrong secret for {}", quoted(name)))),
            None => Err(Denied::new(format!("no secret has the name {}", quoted(name)))),
        }
    }

    /// A secret to be checked in vain. As each name has one of its own, hashes of different cost
    /// do not tell which names exist.
    fn decoy(&self, name: &str) -> Option<&Arc<Secret>> {
        let count = u64::try_from(self.decoys.len()).ok().filter(|count| *count > 0)?;
        let index = usize::try_from(self.choice.hash_one(name) % count).ok()?;
        self.decoys.get(index)
    }
}

/// Name and secret of a token.
fn split(token: &[u8]) -> Result<(&str, &[u8]), Denied> {
    let malformed = || Denied::new("the token is not NAME:SECRET");
    let colon = token.iter().position(|byte| *byte == b':').ok_or_else(malformed)?;
    let name = str::from_utf8(&token[..colon]).map_err(|_| malformed())?;
    let secret = &token[colon + 1..];
    let fits = (1..=NAME_BYTES_MAX).contains(&name.len())
        && (1..=hash::SECRET_BYTES_MAX).contains(&secret.len());
    if fits { Ok((name, secret)) } else { Err(malformed()) }
}

impl Authenticator for Secrets {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        Box::pin(self.check(credentials))
    }
}
