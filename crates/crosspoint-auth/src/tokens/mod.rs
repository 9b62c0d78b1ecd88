//! Tokens that somebody else has signed: JSON Web Tokens (RFC 7519).

mod key;

use crate::authenticator::{printable, quoted};
use crate::written::{Partial, present};
use crate::{Authenticator, BoxFuture, Credentials, Denied};
use crosspoint_hub::{Grant, PeerName, Permissions, Reason};
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{decode, decode_header};
pub use key::{Algorithm, Key, KeyError};
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::Value;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// The longest token, in bytes.
const TOKEN_BYTES_MAX: usize = 8192;

/// How much the log shows of a message about a token, in characters.
const MESSAGE_CHARS_MAX: usize = 200;

/// Lets in who has a token signed with one of the keys.
///
/// The token must have `exp`, and the session ends then. It says what its bearer may do; see
/// `docs/authentication.md`.
#[derive(Debug, Clone)]
pub struct Tokens {
    keys: Vec<Key>,
    defaults: Permissions,
    outlived: bool,
}

/// What a token says, beside what the library checks.
#[derive(Deserialize)]
struct Claims {
    /// Seconds since 1970, maybe with a fraction (RFC 7519, section 2). What is no number, the library
    /// refuses.
    #[serde(default)]
    exp: Value,
    #[serde(default, deserialize_with = "present")]
    name: Option<String>,
    /// Whose token it is. What is no text counts as none.
    #[serde(default)]
    sub: Value,
    #[serde(default, deserialize_with = "present")]
    aud: Option<IgnoredAny>,
    #[serde(flatten)]
    permissions: Partial,
}

impl Tokens {
    /// These keys, and what a token allows where it and its key say nothing.
    pub fn new(keys: impl IntoIterator<Item = Key>, defaults: Permissions) -> Self {
        Self { keys: keys.into_iter().collect(), defaults, outlived: false }
    }

    /// Lets sessions go on when their tokens expire: a token is then looked at only when a session
    /// begins.
    #[must_use]
    pub fn outlived(self, outlived: bool) -> Self {
        Self { outlived, ..self }
    }

    fn check(&self, credentials: &Credentials) -> Result<Grant, Denied> {
        let token = credentials.token(TOKEN_BYTES_MAX)?;
        let header = decode_header(&token).map_err(|error| refused(&error))?;
        if header.crit.is_some() {
            return Err(Denied::new("the token demands extensions (`crit`), and none is known"));
        }
        let mut why = None;
        for (index, key) in self.keys.iter().enumerate().filter(|(_, key)| key.is_for(&header)) {
            match decode::<Claims>(&token, &key.decoding, &key.validation) {
                Ok(token) => return self.grant(index, key, token.claims),
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

    fn grant(&self, index: usize, key: &Key, claims: Claims) -> Result<Grant, Denied> {
        let Claims { exp, name, sub, aud, permissions } = claims;
        // The library skips an audience that it cannot read.
        if aud.is_some() && key.validation.aud.is_none() {
            return Err(refused(&ErrorKind::InvalidAudience.into()));
        }
        if let Some(Err(error)) = name.as_ref().map(PeerName::new) {
            return Err(Denied::new(format!("the token's claim `name`: {error}")));
        }
        if let Some(name) = &name {
            match &key.names {
                Some(names) if !names.allows(name.as_bytes()) => {
                    let name = quoted(name);
                    return Err(Denied::new(format!(
                        "the token's key may not grant the name {name}"
                    )));
                }
                // A key that lists a name knows it for its own. Two may list the same.
                None if self.reserves(name) => return Err(Denied::reserved(name)),
                _ => {}
            }
        }
        let defaults = key.defaults.as_ref().unwrap_or(&self.defaults);
        let lasts = if self.outlived { None } else { exp.as_f64().and_then(left) };
        // Two who sign may call different users the same.
        let identity = sub.as_str().map(|sub| format!("{index} {sub}"));
        Ok(Grant { name, identity, permissions: permissions.over(defaults), lasts })
    }
}

/// How long a token with this `exp` is valid from now on; `None` if that is longer than any clock
/// counts. As long as it would be accepted, so the clocks may differ here too.
fn left(exp: f64) -> Option<Duration> {
    // A clock before 1970 is one that nobody has set.
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    let end = Duration::try_from_secs_f64(exp.max(0.0)).ok()?;
    Some(end.saturating_add(key::LEEWAY).saturating_sub(now))
}

/// The library's reason as the log tells it.
fn refused(error: &jsonwebtoken::errors::Error) -> Denied {
    match error.kind() {
        // Its signature was right, so its bearer may know.
        ErrorKind::ExpiredSignature => {
            Denied::new("the token has expired (`exp`)").telling(Reason::Expired)
        }
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

    fn reserves(&self, name: &str) -> bool {
        let mut names = self.keys.iter().filter_map(|key| key.names.as_ref());
        names.any(|names| names.allows(name.as_bytes()))
    }
}
