//! Socket.IO, protocols 4 and 5, above [`engineio`](crate::engineio).
//!
//! Arguments of events are relayed as the text and the attachments that came. So nothing here builds values: texts are
//! checked, and parts of them are found.
//!
//! * [`packet`]: the header of a packet
//! * [`elements`]: the elements of the array behind it; [`event`]: the first one of an event
//! * [`placeholders`]: where attachments belong; [`arguments`]: all of that checked, before a client gets it
//! * [`carry`]: messages between two clients over a link; [`room`]: messages of rooms; [`body`]: both, as their
//!   attachments come
//! * [`wire`]: how the hub knows a session, and writes data for it
//! * [`translate`]: arguments as payloads of peers that speak something else
//! * [`recovery`]: what a client has missed that comes back; [`client`]: the other role
//! * [`ack_id`]: the ids of events that a client acknowledges

pub mod ack_id;
pub mod arguments;
pub mod body;
pub mod carry;
pub mod client;
pub mod elements;
pub mod event;
#[cfg(feature = "fuzz")]
#[doc(hidden)]
pub mod fuzz;
pub mod packet;
pub mod placeholders;
pub mod recovery;
pub mod room;
mod scanner;
pub mod server;
pub mod translate;
pub mod wire;

pub use ack_id::AckId;
pub use body::Body;
pub use carry::Carried;
pub use elements::Elements;
pub use event::Name;
pub use packet::{Header, Kind};
pub use placeholders::Placeholders;
pub use recovery::Recovery;
pub use scanner::{DEPTH_MAX, NotJson};
