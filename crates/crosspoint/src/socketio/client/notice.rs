//! What happens besides events.

use super::Ended;
use std::sync::Arc;

/// What happens besides events.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Notice {
    /// There is a connection. What did not outlive the one before it has to be done again: rooms, services, targets.
    Connected {
        /// The id that the server has given to it.
        sid: Arc<str>,
        /// Whether the session of the connection before goes on, where the server has connection state recovery: the id
        /// and the rooms are the same, and what was said there meanwhile comes now. Targets, pairs, streams and services
        /// are gone all the same.
        recovered: bool,
    },
    /// There is none any more. Unless the socket is closed it connects again.
    Disconnected(Ended),
    /// Another client has named this one its target.
    TargetAdded {
        /// The other client.
        id: String,
    },
    /// A client has gone that had named this one its target, or was one of this client.
    TargetGone {
        /// The other client.
        id: String,
    },
    /// Another client has paired with this one (first generation).
    Paired {
        /// The other client.
        id: String,
    },
    /// The pair has ended.
    Unpaired {
        /// The other client.
        id: String,
    },
    /// The server says that something went wrong, as that there is no such client.
    ServerError(String),
}
