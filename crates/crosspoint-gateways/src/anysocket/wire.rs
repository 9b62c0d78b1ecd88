//! How the hub knows an AnySocket session.
//!
//! Every packet has a number that its link counts, and may be encrypted. So the session's own task writes
//! all data, and gets it from the hub as it was sent; see [`super::server`].

use crosspoint_hub::wire::{
    Capacity, Content, FrameWriter, Framing, Pauses, Profile, Stateful, Wire,
};

/// The kind of messages on a link of the hub that are packets of AnySocket as they are (docs/peers.md,
/// section 2).
pub const KIND_PACKET: u8 = 0x40;

/// The number of the wire, and of what its receivers share.
pub(super) const ID: u8 = 3;

/// What a session keeps for each link.
pub(super) const LINK_BYTES: usize = 1152;

/// The wire of AnySocket. It needs WebSocket's text messages around its frames.
#[derive(Debug)]
pub struct AnySocketWire;

/// The wire of AnySocket, as the hub wants it.
pub static WIRE: AnySocketWire = AnySocketWire;

impl Wire for AnySocketWire {
    fn profile(&self) -> Profile {
        Profile {
            name: "anysocket",
            id: ID,
            framing: Framing::Messages,
            // Such a session enters channels and rooms, and owns none.
            capacity: Capacity { owned_max: 0, entered_max: u32::MAX, members_max: 0 },
            stateful: Stateful::Yes,
            whole: true,
            links: true,
            credentials: true,
            pauses: Pauses::Links,
            link_bytes: LINK_BYTES,
            successors: false,
            application: true,
            secures: true,
            settle: std::time::Duration::ZERO,
            envelope: None,
        }
    }

    fn encode(&self, _: &Content<'_>, _: &mut FrameWriter) {
        // Never asked for, as the wire is stateful.
    }
}
