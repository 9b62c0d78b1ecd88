//! What endpoints and the hub application say to each other.

use crate::payload::{Ask, Outcome, Payload};

/// What an endpoint asks of the hub application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationCommand {
    /// Asks the hub application itself. Answer: [`ApplicationEvent::Answer`], if it has one.
    Ask {
        /// Returned in the answer.
        ticket: u32,
        /// What is asked.
        ask: Ask,
    },
}

/// What the hub application tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationEvent {
    /// The hub application says something. Only to protocols [that know it](crate::wire::Profile::application).
    Told {
        /// What it says.
        payload: Payload,
    },
    /// The answer to [`ApplicationCommand::Ask`]. The hub application may also give none.
    Answer {
        /// The command's number.
        ticket: u32,
        /// What it says.
        outcome: Outcome,
    },
}
