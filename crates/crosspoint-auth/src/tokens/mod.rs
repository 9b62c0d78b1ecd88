//! Tokens that somebody else has signed: JSON Web Tokens (RFC 7519).

mod key;

use crate::authenticator::{printable, quoted};
use crate::rules::{Partial, present};
use crate::{Authenticator, BoxFuture, Credentials, Denied};
use crosspoint_hub::{Grant, PeerName, Permissions};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{decode, decode_header};
pub use key::{Algorithm, Key, KeyError};
use serde::Deserialize;
use serde::de::IgnoredAny;

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8192;

/// How much the log shows of a message about a token, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// Lets in who has a token signed with one of the keys.
///
/// The token must have `exp`. It says what its bearer may do; see `docs/authentication.md`.
/// It is looked at when a session begins: a session may outlive its token.
#[derive(Debug, Clone)]
pub struct Tokens {
    keys: Vec<Key>,
    defaults: Permissions,
}

/// What a token says, beside what the library checks.
#[derive(Deserialize)]
struct Claims {
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    #[serde(default, deserialize_with = "present")]
    aud: Option<IgnoredAny>,
    #[serde(flatten)]
    permissions: Partial,
}

impl Tokens {
    /// These keys, and what a token allows where it and its key say nothing.
    pub fn new(keys: impl IntoIterator<Item = Key>, defaults: Permissions) -> Self {
        Self { keys: keys.into_iter().collect(), defaults }
    }

    fn check(&self, credentials: &Credentials) -> Result<Grant, Denied> {
        let token = credentials.token(TOKEN_BYTES_MAX)?;
        let header = decode_header(&token).map_err(|error| refused(&error))?;
        if header.crit.is_some() {
            return Err(Denied::new("the token demands extensions (`crit`), and none is known"));
        }
        let mut why = None;
        for key in self.keys.iter().filter(|key| key.is_for(&header)) {
            match decode::<Claims>(&token, &key.decoding, &key.validation) {
                Ok(token) => return self.grant(key, token.claims),
                // What the claims lack tells more than that another key did not sign them.
                Err(error) if matches!(error.kind(), ErrorKind::InvalidSignature) => {
                    why.get_or_insert(error);
                }
                Err(error) => why = Some(error),
            }
        }
        Err(match why {
            Some(error) => refused(&error),
            None => Denied::new(format!(
                "no key has the algorithm {:?} and the id {}",
                header.alg,
                header.kid.map_or("none".into(), |id| quoted(&id)),
            )),
        })
    }

    fn grant(&self, key: &Key, claims: Claims) -> Result<Grant, Denied> {
        let Claims { name, aud, permissions } = claims;
        // The library skips an audience that it cannot read.
        if aud.is_some() && key.validation.aud.is_none() {
            return Err(refused(&ErrorKind::InvalidAudience.into()));
        }
        if let Some(Err(error)) = name.as_ref().map(PeerName::new) {
            return Err(Denied::new(format!("the token's claim `name`: {error}")));
        }
        let defaults = key.defaults.as_ref().unwrap_or(&self.defaults);
        Ok(Grant { name, permissions: permissions.over(defaults) })
    }
}

/// The library's reason as the log tells it.
fn refused(error: &jsonwebtoken::errors::Error) -> Denied {
    match error.kind() {
        ErrorKind::ExpiredSignature => Denied::new("the token has expired (`exp`)"),
        ErrorKind::ImmatureSignature => Denied::new("the token is not valid yet (`nbf`)"),
        ErrorKind::InvalidSignature => Denied::new("the token is not signed with a known key"),
        ErrorKind::InvalidIssuer => Denied::new("the token has another issuer (`iss`)"),
        ErrorKind::InvalidAudience => Denied::new("the token is for another audience (`aud`)"),
        ErrorKind::MissingRequiredClaim(claim) => {
            Denied::new(format!("the token lacks the claim `{claim}`, or it cannot be read"))
        }
        _ => Denied::new(format!(
            "not a usable token: {}",
            printable(&error.to_string(), MESSAGE_CHARS_MAX)
        )),
    }
}

impl Authenticator for Tokens {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        Box::pin(std::future::ready(self.check(&credentials)))
    }
}
