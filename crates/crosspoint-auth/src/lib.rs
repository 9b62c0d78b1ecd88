//! Authentication: who a client is, and what it may do.
//!
//! The hub asks an [`Authenticator`] once for each session, with the [`Credentials`] of the hello.
//! The authenticator returns a [`Grant`](crosspoint_hub::Grant) or [`Denied`]. A program that embeds
//! a hub can implement its own, for example with a closure ([`from_fn`]). This crate has these:
//!
//! * [`Secrets`]: named shared secrets, stored as argon2id hashes
//! * [`Tokens`]: JSON Web Tokens that another program signs
//! * [`Certificates`]: certificates that clients show over TLS
//! * [`Anyone`]: grants everything without a check
//! * [`Either`]: asks several authenticators in turn, until one decides
//! * [`Exempt`]: skips the check for one protocol
//! * [`Swap`]: holds an authenticator that can be replaced at run time
//!
//! [`Secrets`] and [`Tokens`] need the feature `credentials`, which is on by default.
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
mod certificates;
mod client_certificate;
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
    Anyone, Authenticator, BoxFuture, Credentials, Denied, Exempt, FromFn, Process, from_fn,
};
pub use certificates::Certificates;
pub use client_certificate::ClientCertificate;
pub use either::Either;
#[cfg(feature = "credentials")]
pub use file::FileError;
pub use rules::{RuleError, rule};
#[cfg(feature = "credentials")]
pub use secrets::{CheckLimits, HashError, Secret, SecretError, SecretHash, Secrets};
pub use swap::Swap;
#[cfg(feature = "credentials")]
pub use tokens::{Algorithm, Key, KeyError, Tokens};
