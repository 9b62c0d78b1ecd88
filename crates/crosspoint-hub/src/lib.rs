//! The hub: sessions, channels, rooms, links and their limits.
//!
//! This crate knows no socket, clock, task or protocol. Its caller opens a [`Session`] for each
//! client, passes it [`Command`]s with the present time, and takes [`Event`]s and encoded data from
//! the [`Endpoint`] of the session.
//!
//! * [`hub`]: the channels and sessions of one hub
//! * [`session`]: what one session owns and has joined; it has one owner and no lock
//! * [`channel`]: the owner, members and bans of a channel, and the data between them
//! * [`endpoint`]: how a session is reached: its identity, outlet, links, liveness and outbox
//! * [`outbox`]: the bounded queue of one endpoint
//! * [`wire`]: the stateless encoder of a protocol, so that one encoding serves many receivers
//! * [`envelope`]: what is written around frames, and their compression
//! * [`protocol`]: the traits of protocol state machines
//! * [`command`]: commands and events; [`reason`]: why something ended or was refused
//! * [`directory`]: who may have which name in several hubs
//! * [`application`]: the hub application, as a peer of clients; [`secrecy`]: sessions that have to be encrypted
//! * [`inventory`]: what the operator sees of all that, and ends
//! * [`limits`]: all bounds and their defaults; [`limit`]: the bounds that are counted, by name
//! * [`ledger`]: the memory that the hub holds, and the accounts that pay for it
//! * [`probe`]: probes of sessions that may be dead
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
pub mod application;
mod batch;
pub mod channel;
pub mod command;
mod delivery;
pub mod directory;
mod encodings;
pub mod endpoint;
mod ends;
pub mod envelope;
mod gathering;
pub mod hub;
pub mod ids;
pub mod input;
pub mod inventory;
pub mod ledger;
pub mod limit;
pub mod limits;
mod link;
pub mod messages;
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
pub mod probe;
pub mod protocol;
mod rare_map;
pub mod rate_limiter;
pub mod reading_rate;
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
pub mod transport;
pub mod wire;

pub use command::{Command, Event};
pub use endpoint::Endpoint;
pub use hub::{Hub, HubOptions};
pub use ids::{
    ChannelName, JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId, PeerId, PeerName,
};
pub use limit::Limit;
pub use limits::{Limits, Pace};
pub use permissions::{Grant, Permissions};
pub use protocol::{Output, Protocol};
pub use reason::Reason;
pub use session::Session;
pub use wire::{Framing, Part, Place, Profile, Wire};
