//! Hashes of secrets, as they are stored.

use argon2::password_hash::{self, PasswordHasher, PasswordVerifier, phc::PasswordHash};
use argon2::{ARGON2ID_IDENT, Argon2, Params, Version};
use std::fmt;
use std::str::FromStr;

/// The longest secret, in bytes.
pub(super) const SECRET_BYTES_MAX: usize = 1024;

/// Bounds of the cost that a stored hash may ask for: 256 MiB, 16 passes, 16 lanes.
const MEMORY_KIB_MAX: u32 = 256 * 1024;
const PASSES_MAX: u32 = 16;
const LANES_MAX: u32 = 16;

/// The shortest result that is accepted, in bytes. Shorter ones could be met by chance.
const RESULT_BYTES_MIN: usize = 16;

/// The argon2id hash of a secret. `Display` and `FromStr` are its text, a PHC string such as
/// `$argon2id$v=19$m=19456,t=2,p=1$...$...`.
#[derive(Clone, PartialEq, Eq)]
pub struct SecretHash(PasswordHash);

/// A text is no usable hash, or a secret cannot be hashed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum HashError {
    /// The text is no complete PHC string.
    #[error("not a hash; expected the text that `crosspoint hash-secret` prints")]
    Text,
    /// Another function than argon2id version 19.
    #[error("a hash of another function; expected argon2id, version 19")]
    Function,
    /// It would need too much memory or time, or more of it than argon2 knows.
    #[error(
        "the hash asks for a cost out of bounds; expected m=8 to {MEMORY_KIB_MAX}, t=1 to {PASSES_MAX}, p=1 to {LANES_MAX}"
    )]
    Cost,
    /// The result is too short.
    #[error("the hash has less than {RESULT_BYTES_MIN} bytes")]
    Short,
    /// The secret is empty or too long.
    #[error("a secret has 1 to {SECRET_BYTES_MAX} bytes, this one has {0}")]
    SecretLength(usize),
    /// The system failed.
    #[error("the secret could not be hashed: {0}")]
    Failed(password_hash::Error),
}

impl SecretHash {
    /// Hashes a secret with a fresh salt, at the usual cost: 19 MiB, 2 passes, 1 lane. That takes
    /// some hundredths of a second, so this belongs on a thread of its own.
    ///
    /// # Errors
    /// When the secret is empty or longer than 1024 bytes, or the system has no random source.
    pub fn of(secret: &[u8]) -> Result<Self, HashError> {
        if secret.is_empty() || secret.len() > SECRET_BYTES_MAX {
            return Err(HashError::SecretLength(secret.len()));
        }
        Argon2::default().hash_password(secret).map(Self).map_err(HashError::Failed)
    }

    /// Whether this is the hash of a secret. Costs the time and memory that the hash asks for.
    pub(super) fn matches(&self, secret: &[u8]) -> bool {
        Argon2::default().verify_password(secret, &self.0).is_ok()
    }
}

impl FromStr for SecretHash {
    type Err = HashError;

    fn from_str(text: &str) -> Result<Self, HashError> {
        let hash = PasswordHash::new(text).map_err(|_| HashError::Text)?;
        if hash.algorithm != ARGON2ID_IDENT || hash.version != Some(Version::V0x13.into()) {
            return Err(HashError::Function);
        }
        let (Some(_), Some(result)) = (&hash.salt, &hash.hash) else {
            return Err(HashError::Text);
        };
        if result.len() < RESULT_BYTES_MIN {
            return Err(HashError::Short);
        }
        let cost = Params::try_from(&hash).map_err(|_| HashError::Cost)?;
        if cost.m_cost() > MEMORY_KIB_MAX || cost.t_cost() > PASSES_MAX || cost.p_cost() > LANES_MAX
        {
            return Err(HashError::Cost);
        }
        Ok(Self(hash))
    }
}

impl fmt::Display for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for SecretHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("SecretHash(***)")
    }
}
