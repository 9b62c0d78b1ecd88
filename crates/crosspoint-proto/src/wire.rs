//! How the hub writes data for a native receiver (sections 6 and 12.4).

use crate::frame::FRAME_BYTES_MAX;
use crate::message::{kind, put_in_parts};
use crosspoint_hub::wire::{
    Capacity, Content, FrameWriter, Framing, Pauses, Place, Profile, Stateful, Wire,
};

/// The native wire.
#[derive(Debug)]
pub struct NativeWire;

/// The native wire, as the hub wants it.
pub static WIRE: NativeWire = NativeWire;

impl Wire for NativeWire {
    fn profile(&self) -> Profile {
        Profile {
            name: "native",
            id: 1,
            framing: Framing::Messages,
            capacity: Capacity {
                owned_max: u32::MAX,
                entered_max: u32::MAX,
                members_max: u32::MAX,
            },
            stateful: Stateful::No,
            whole: false,
            links: true,
            credentials: true,
            pauses: Pauses::Targets,
            link_bytes: 0,
            successors: true,
            application: false,
            secures: false,
            settle: std::time::Duration::ZERO,
            envelope: None,
        }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        let Content::Part { place, part, .. } = *content else { return };
        let (kind, address): (_, &[u32]) = match place {
            Place::Own(own, member) => (kind::FROM_MEMBER, &[own.0, member.0]),
            Place::In(number) => (kind::FROM_OWNER, &[number.0]),
            Place::Room(number, member) => (kind::FROM_ROOM, &[number.0, member.0]),
            Place::Link(number) => (kind::LINK_DATA, &[number.0]),
        };
        put_in_parts(kind, address, part, FRAME_BYTES_MAX, out);
    }
}
