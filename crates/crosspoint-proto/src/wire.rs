//! How the hub writes data for a native receiver (sections 6 and 12.4).

use crate::frame::FRAME_BYTES_MAX;
use crate::message::{kind, put_in_parts};
use crosspoint_hub::wire::{Capacity, FrameWriter, Framing, Part, Place, Wire};

/// The native wire.
#[derive(Debug)]
pub struct NativeWire;

/// The native wire, as the hub wants it.
pub static WIRE: NativeWire = NativeWire;

impl Wire for NativeWire {
    fn name(&self) -> &'static str {
        "native"
    }

    fn id(&self) -> u8 {
        1
    }

    fn framing(&self) -> Framing {
        Framing::Messages
    }

    fn capacity(&self) -> Capacity {
        Capacity { owned_max: u32::MAX, entered_max: u32::MAX, members_max: u32::MAX }
    }

    fn links(&self) -> bool {
        true
    }

    fn successors(&self) -> bool {
        true
    }

    fn encode(&self, place: Place, _chunk: Option<u32>, part: &Part, out: &mut FrameWriter) {
        let (kind, address): (_, &[u32]) = match place {
            Place::Own(own, member) => (kind::FROM_MEMBER, &[own.0, member.0]),
            Place::In(number) => (kind::FROM_OWNER, &[number.0]),
            Place::Room(number, member) => (kind::FROM_ROOM, &[number.0, member.0]),
            Place::Link(number) => (kind::LINK_DATA, &[number.0]),
        };
        put_in_parts(kind, address, part, FRAME_BYTES_MAX, out);
    }
}
