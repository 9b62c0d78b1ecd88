//! Protocols of one's own: what a program that embeds a hub needs to let clients of a further protocol
//! connect to it, and meet those of all others.
//!
//! A protocol is a [`Gateway`] in [`ServerOptions::gateways`](crate::ServerOptions::gateways): it says how it
//! is recognised, and opens a session with two parts. A [`Protocol`] turns bytes into [`Command`]s and
//! [`Event`]s into bytes; a [`Wire`] writes data, without any state, so that all receivers can share what is
//! written. ARCHITECTURE.md has the steps, and the example `line_chat` a whole protocol in a hundred lines.

pub use crosspoint_hub::command::{
    self, ChannelCommand, ChannelEvent, Command, EnterOptions, Event, Hello, Target,
};
pub use crosspoint_hub::ids::{self, JoinedChannelId, LinkNumber, OwnedChannelId, PeerName};
pub use crosspoint_hub::protocol::{Activity, Output, Protocol};
pub use crosspoint_hub::wire::{
    Capacity, Compression, Content, Encoded, Envelope, FrameWriter, Framing, Part, Pauses, Place,
    Prefix, Profile, Stateful, Wire,
};
pub use crosspoint_net::gateway::{
    Carrier, Connection, Context, FirstMessage, Gateway, Gateways, Match, NewSession, Opened,
    Opening, Refused, Runner, Silence, Transport, WebSocket,
};
