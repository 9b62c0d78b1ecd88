//! What can go wrong between the program of a hub and its clients.

use super::args::ArgsError;
use crate::{ChannelError, Failure, PeerError, Reason, RequestError};
use crosspoint_gateways::socketio::event::{is_of_hub, reserved};
use crosspoint_proto::peer::NAME_BYTES_MAX;

/// Why something that the program of the hub wanted of a client did not happen.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum EmitError {
    /// Nobody has the name. Nothing was sent.
    #[error("client {0} is not connected to the hub")]
    NotConnected(String),
    /// Clients take no event of this name from a program. Nothing was sent.
    #[error("the event name {0:?} is one of the hub, reserved, or too long")]
    Event(String),
    /// The arguments have no form for the client, or its answer has none here.
    #[error(transparent)]
    Args(#[from] ArgsError),
    /// The client has gone before it has acknowledged. It may have got the event or not.
    #[error("the client has gone before it has acknowledged: {0}")]
    Gone(Reason),
    /// The time was over first. The client may acknowledge later, which is for nobody then.
    #[error("the client has not acknowledged in time")]
    TimedOut,
    /// The client, a program of another protocol or its gateway says why not.
    #[error("the client refuses: {0}")]
    Refused(Failure),
    /// It could not be sent.
    #[error(transparent)]
    Peer(#[from] PeerError),
    /// The room cannot be spoken into.
    #[error(transparent)]
    Room(#[from] ChannelError),
}

impl From<RequestError> for EmitError {
    fn from(error: RequestError) -> Self {
        match error {
            RequestError::Failed(failure) => Self::Refused(failure),
            RequestError::TimedOut => Self::TimedOut,
            RequestError::PeerGone(reason) => Self::Gone(reason),
            RequestError::Unsent(PeerError::Closed(reason)) => Self::Gone(reason),
            RequestError::Unsent(error) => Self::Peer(error),
            RequestError::NoProvider => Self::Peer(PeerError::Refused(Reason::NoSuchPeer)),
            RequestError::Unreadable(error) => Self::Args(ArgsError::Value(error.to_string())),
        }
    }
}

/// Checks that a program may say an event of this name.
pub(super) fn check_event(event: &str) -> Result<(), EmitError> {
    let is_wrong = event.is_empty()
        || event.len() > NAME_BYTES_MAX
        || reserved(event).is_some()
        || is_of_hub(event);
    if is_wrong { Err(EmitError::Event(event.to_owned())) } else { Ok(()) }
}
