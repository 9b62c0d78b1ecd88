//! The hub: sessions, channels, rooms and their limits.
//!
//! This crate knows no socket, clock or task, and no protocol. Its user opens a
//! [`Session`] for each connected endpoint, hands it [`Command`]s with the present time, and
//! takes [`Event`]s and encoded data out of the session's [`Endpoint`].
//!
//! * [`hub`]: the directory of channels and the list of sessions
//! * [`session`]: what one endpoint owns and has entered; single owner, no locks
//! * [`channel`]: owner, members, bans and the sharing of data among them
//! * [`endpoint`]: what a session is reached by: who it is, how it is written to, its links, whether it is there
//! * [`outbox`]: what waits to be written to one endpoint, bounded
//! * [`wire`]: how a protocol writes data, so that one encoding serves many receivers
//! * [`protocol`]: the one shape of every protocol state machine
//! * [`command`]: the vocabulary of commands and events; [`reason`]: why something ended
//! * [`home`]: the hub's own program as somebody to talk to; [`secrecy`]: sessions that it wants encrypted
//! * [`limits`]: every bound, its default and what happens there; [`limit`]: those that are counted, by name
//! * [`doubt`]: whether a session still lives
//!
//! ```
//! use crosspoint_hub::{command::*, Hub, HubOptions, Place};
//! use crosspoint_hub::testing::{open, events};
//! use std::time::Instant;
//!
//! let hub = Hub::new(HubOptions::default());
//! let now = Instant::now();
//! let mut owner = open(&hub, now);
//! let mut member = open(&hub, now);
//! let _ = owner.execute(now, Command::create(1, "arena"));
//! let _ = member.execute(now, Command::enter(1, "arena"));
//! assert!(matches!(events(&mut owner)[..], [
//!     Event::Channel(ChannelEvent::Created { .. }),
//!     Event::Channel(ChannelEvent::MemberEntered { .. }),
//! ]));
//! ```
mod announcements;
mod batch;
pub mod channel;
pub mod command;
mod delivery;
pub mod doubt;
pub mod endpoint;
mod gathering;
pub mod home;
pub mod hub;
pub mod ids;
pub mod input;
pub mod ledger;
pub mod limit;
pub mod limits;
mod link;
pub mod meter;
pub mod metrics;
pub mod networks;
pub mod operators;
mod order;
pub mod outbox;
pub mod payload;
mod peer;
pub mod peers;
pub mod permissions;
pub mod presence;
pub mod protocol;
pub mod reason;
pub mod reassembly;
pub mod rules;
pub mod secrecy;
mod segment;
pub mod session;
pub mod slots;
pub mod stall;
#[cfg(any(test, feature = "testing"))]
pub mod testing;
pub mod wire;

pub use command::{Command, Event};
pub use endpoint::Endpoint;
pub use hub::{Hub, HubOptions};
pub use ids::{ChannelName, InNumber, LinkNumber, MemberNumber, OwnNumber, PeerId, PeerName};
pub use limit::Limit;
pub use limits::{Limits, Pace};
pub use permissions::{Grant, Permissions};
pub use protocol::{Output, Protocol};
pub use reason::Reason;
pub use session::Session;
pub use wire::{Framing, Part, Place, Profile, Wire};
