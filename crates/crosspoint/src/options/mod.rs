//! How nodes connect, and how channels are created and entered.

mod channel;
mod heartbeat;
mod node;

pub(crate) use channel::Predicate;
pub(crate) use node::{NodeOptions, Pins, Resume};

pub use channel::{Applicant, ChannelOptions, EnterOptions};
pub use heartbeat::Heartbeat;
