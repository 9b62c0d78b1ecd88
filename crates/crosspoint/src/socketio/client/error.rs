//! What can go wrong with a Socket.IO server, and what to do.

use super::{ArgsError, Ended, SendError};
use crate::error::tls_hint;
use std::io;
use std::time::Duration;

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum ConnectError {
    /// The text is no address that can be connected to.
    #[error(
        "`{0}` is no address of a Socket.IO server; write http://HOST:PORT, https://HOST:PORT, or the same with a namespace behind it"
    )]
    Address(String),
    /// The server cannot be reached, or speaks no such revision of Engine.IO.
    #[error("cannot connect to {address}: {source}{}", tls_hint(source).unwrap_or_default())]
    Unreachable {
        /// Which server.
        address: String,
        /// What went wrong.
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
    /// The connection ended before the server had let us in.
    #[error("{address} did not let us in: {ended}")]
    Ended {
        /// Which server.
        address: String,
        /// How it ended.
        ended: Ended,
    },
    /// What is given to be let in has no JSON form.
    #[error("the auth value has no JSON form: {0}")]
    Auth(String),
}

/// Why something was not said, or not answered.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum SocketError {
    /// The socket is closed, or has given up to connect again.
    #[error("the socket is closed: {0}")]
    Closed(Ended),
    /// The connection ended before the answer came. The other side may have done what was asked for, or not.
    #[error("the connection ended before the answer came")]
    Abandoned,
    /// A value is not what it should be.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// It cannot be sent.
    #[error(transparent)]
    Send(#[from] SendError),
    /// The server, or the other client, does not do it.
    #[error("refused: {0}")]
    Refused(String),
    /// The other client did not answer in time.
    #[error("no answer within {0:?}; does the other client listen?")]
    TimedOut(Duration),
    /// Nobody provides the service.
    #[error("nobody provides the service `{0}`")]
    NoService(String),
    /// Somebody provides the service already.
    #[error("the service `{0}` is provided already")]
    ServiceExists(String),
    /// The system has no source of random ids.
    #[error("the system gives no random id: {0}")]
    NoId(String),
}
