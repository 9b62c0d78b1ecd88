//! Socket.IO, protocols 4 and 5, above [`engineio`](crate::engineio).
//!
//! Arguments of events are relayed as the text and the attachments that came. So nothing here builds values: texts are
//! checked, and parts of them are found.
//!
//! * [`packet`]: the header of a packet
//! * [`elements`]: the elements of the array behind it; [`event`]: the first one of an event
//! * [`placeholders`]: where attachments belong

pub mod elements;
pub mod event;
pub mod packet;
pub mod placeholders;
mod scanner;

pub use elements::Elements;
pub use event::Name;
pub use packet::{Header, Kind};
pub use placeholders::Placeholders;
pub use scanner::{DEPTH_MAX, NotJson};
