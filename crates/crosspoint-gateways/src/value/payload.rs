//! Payloads of peers, as the gateways read them.

use crosspoint_hub::payload::{Format, Payload};

/// A payload is not what its format says, has no form for a client, or becomes too large in it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("{}", Self::TEXT)]
pub struct Unreadable;

impl Unreadable {
    /// What the one who sent it is told.
    pub const TEXT: &str =
        "the payload is not what its format says, has no form in JSON, or is too large in it";
}

/// Whether there is not even a value, as when a method returns nothing.
pub fn is_nothing(payload: &Payload) -> bool {
    payload.data.is_empty() && matches!(payload.format, Format::JSON | Format::MESSAGE_PACK)
}
