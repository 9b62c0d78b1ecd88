//! What can go wrong with AnySocket peers, and what to do.

use super::{Ended, ProxyError};
use crate::error::tls_hint;
use crosspoint_gateways::anysocket::internal::rpc::Failure;
use crosspoint_gateways::anysocket::link;
use serde_json::Value;
use std::fmt;
use std::io;
use std::time::Duration;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is no address that can be connected to.
    #[error("`{0}` is no AnySocket address; write ws://HOST:PORT/ or wss://HOST:PORT/")]
    Address(String),
    /// The server cannot be reached, or speaks no WebSocket.
    #[error("cannot connect to {address}: {source}{}", tls_hint(source).unwrap_or_default())]
    Unreachable {
        /// Which server.
        address: String,
        /// What the system says.
        source: io::Error,
    },
    /// It took too long.
    #[error("{address} did not let us in within {after:?}")]
    TimedOut {
        /// Which server.
        address: String,
        /// As set with [`timeout`](super::ClientBuilder::timeout).
        after: Duration,
    },
    /// The connection ended before the server had let us in. AnySocket gives no reasons:
    /// [`Ended::There`] mostly means that what was given with
    /// [`auth`](super::ClientBuilder::auth) is wrong, or that the id is in use.
    #[error("{address} did not let us in: {ended}")]
    Refused {
        /// Which server.
        address: String,
        /// How it ended.
        ended: Ended,
    },
    /// The value to authenticate with has no JSON form.
    #[error("the auth value has no JSON form: {0}")]
    Auth(String),
    /// The system has no source of random ids.
    #[error("the system gives no random id: {0}")]
    NoId(String),
}

/// Why something with a peer did not happen.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum PeerError {
    /// The link has ended. The other side may have got what was sent, or not.
    #[error("the link has ended: {0}")]
    Ended(Ended),
    /// The value to send has no JSON form, such as a map whose keys are no texts.
    #[error("the value has no JSON form: {0}")]
    Value(String),
    /// The other side did not answer in time. It may have done what was asked for, or not.
    #[error("no answer in time; ask again, or wait longer with timeout()")]
    TimedOut,
    /// What has come is not what was expected.
    #[error("what has come cannot be read: {0}")]
    Unreadable(String),
    /// The method failed, or there is none.
    #[error(transparent)]
    Failed(CallFailure),
    /// The link cannot be encrypted.
    #[error("the link cannot be encrypted: {0}")]
    Insecure(String),
    /// There is no link to the peer behind the neighbour.
    #[error(transparent)]
    Proxy(#[from] ProxyError),
    /// A proxied peer leads to no further ones.
    #[error("only the neighbour leads to other peers, a proxied peer does not")]
    NotNeighbour,
    /// The path of a method or its parameters are too many.
    #[error("a call has at most {most} {what}")]
    TooMany {
        /// What there is too much of.
        what: &'static str,
        /// How many there may be.
        most: usize,
    },
}

impl PeerError {
    pub(super) fn unreadable(error: impl fmt::Display) -> Self {
        Self::Unreadable(error.to_string())
    }

    pub(super) fn value(error: impl fmt::Display) -> Self {
        Self::Value(error.to_string())
    }
}

impl From<link::SendError> for PeerError {
    /// Of those that waiting does not help against.
    fn from(error: link::SendError) -> Self {
        Self::Insecure(error.to_string())
    }
}

/// How a call failed at the other side.
#[derive(Debug, Clone, PartialEq)]
pub struct CallFailure {
    /// What the method says: mostly a text. Originals lose some errors; then it is null or `{}`.
    pub error: Value,
    /// Which method, as `method: 'ns,deep,who'`.
    pub details: String,
    /// 404: there is no such method. 500: it failed.
    pub code: i64,
}

impl fmt::Display for CallFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { error, details, code } = self;
        match error {
            Value::String(text) => write!(f, "the call failed: {text} ({details}, code {code})"),
            error => write!(f, "the call failed: {error} ({details}, code {code})"),
        }
    }
}

impl std::error::Error for CallFailure {}

impl From<Failure> for CallFailure {
    fn from(failure: Failure) -> Self {
        let Failure { error, details, code } = failure;
        let read = |json: super::Json| {
            let text = || Value::String(json.text().to_owned());
            serde_json::from_slice(json.as_bytes()).unwrap_or_else(|_| text())
        };
        Self { error: error.map_or(Value::Null, read), details, code }
    }
}
