//! What endpoints and the hub's program say to each other.

use crate::payload::{Ask, Outcome, Payload};

/// What an endpoint asks of the hub's program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationCommand {
    /// Asks the hub's program itself. Answer: [`ApplicationEvent::Answer`], if it has one.
    Ask {
        /// Returned in the answer.
        ticket: u32,
        /// What is asked.
        ask: Ask,
    },
}

/// What the hub's program tells.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ApplicationEvent {
    /// The hub's program says something. Only to protocols [that know it](crate::wire::Profile::application).
    Told {
        /// What it says.
        payload: Payload,
    },
    /// The answer to [`ApplicationCommand::Ask`]. The hub's program may also give none.
    Answer {
        /// The command's number.
        ticket: u32,
        /// What it says.
        outcome: Outcome,
    },
}
