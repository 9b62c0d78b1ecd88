//! Who a client is, and what it may do.
//!
//! An [`Authenticator`] is asked once for each session, with the [`Credentials`] of its hello. It
//! gives a [`Grant`](crosspoint_hub::Grant) or says [`Denied`]. Programs that embed a hub write
//! their own, most easily as a closure ([`from_fn`]); these are ready:
//!
//! * [`Secrets`]: shared secrets with names, stored as argon2id hashes
//! * [`Tokens`]: JSON Web Tokens that somebody else has signed
//! * [`Anyone`]: no check
//! * [`Either`]: the first of several that grants
//! * [`Exempt`]: no check for one protocol
//! * [`Swap`]: another one, which can be exchanged
//!
//! [`Secrets`] and [`Tokens`] are there with the feature `credentials`, which is on by default.
//!
//! ```
//! use crosspoint_auth::{Denied, from_fn};
//! use crosspoint_hub::{Grant, Permissions};
//!
//! let only_the_native = from_fn(|credentials| async move {
//!     match credentials.protocol {
//!         "native" => Ok(Grant { name: credentials.name, ..Grant::default() }),
//!         other => Err(Denied::new(format!("{other} is not served"))),
//!     }
//! });
//! ```
mod authenticator;
mod either;
#[cfg(feature = "credentials")]
mod file;
mod rules;
#[cfg(feature = "credentials")]
mod secrets;
mod swap;
#[cfg(feature = "credentials")]
mod tokens;
#[cfg(feature = "credentials")]
mod written;

pub use authenticator::{
    Anyone, Authenticator, BoxFuture, Credentials, Denied, Exempt, FromFn, from_fn,
};
pub use either::Either;
#[cfg(feature = "credentials")]
pub use file::FileError;
pub use rules::{RuleError, rule};
#[cfg(feature = "credentials")]
pub use secrets::{CheckLimits, HashError, Secret, SecretError, SecretHash, Secrets};
pub use swap::Swap;
#[cfg(feature = "credentials")]
pub use tokens::{Algorithm, Key, KeyError, Tokens};
