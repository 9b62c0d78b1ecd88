//! What changes something, and the log of it.

use crate::access::Entrant;
use crate::key::key;
use crate::model::ErrorCode;
use crate::refused::Refused;
use crosspoint_hub::inventory::NotEnded;
use crosspoint_hub::{ChannelName, Hub, Reason};

/// Ends a session.
///
/// # Errors
/// There is none of this number, or it is the hub's own program.
pub(crate) fn kick(hub: &Hub, session: u64, by: &Entrant) -> Result<(), Refused> {
    hub.disconnect_session(session, Reason::Kicked).map_err(|error| match error {
        NotEnded::Gone => no_session(session),
        NotEnded::Application => {
            let message =
                "This session is the program of the hub itself, which cannot be ended from here.";
            Refused::new(ErrorCode::Forbidden, message)
        }
    })?;
    let Entrant { actor, caller, .. } = by;
    tracing::info!(action = "kick", target = session, actor = actor.word(), by = %caller, "control");
    Ok(())
}

/// Ends a channel or room for all that are in it.
///
/// # Errors
/// There is none of this name.
pub(crate) fn close(hub: &Hub, name: &ChannelName, by: &Entrant) -> Result<(), Refused> {
    let members = hub.close_channel(name, Reason::Kicked).ok_or_else(no_channel)?;
    let (Entrant { actor, caller, .. }, target) = (by, key(name));
    // A key has no character that could end or colour a line.
    tracing::info!(action = "close", target, members, actor = actor.word(), by = %caller, "control");
    Ok(())
}

/// There is no such session.
pub(crate) fn no_session(session: u64) -> Refused {
    Refused::missing(format!("There is no session {session} (any more)."))
}

/// There is no such channel.
pub(crate) fn no_channel() -> Refused {
    Refused::missing("There is no channel or room of this name (any more).")
}
