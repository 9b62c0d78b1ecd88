//! How the hub writes data for a peote receiver (sections 2.2 and 6).

use super::chunk::ChunkSize;
use super::frame::{CHANNELS_MAX, MEMBERS_MAX, put_data};
use bytes::Bytes;
use crosspoint_hub::wire::{
    Capacity, Content, FrameWriter, Framing, Part, Pauses, Place, Profile, Stateful, Wire,
};
use std::time::Duration;

/// How long a new connection waits at most for the farewell of the former one of its program. The library
/// closes its connection with its last joint, and opens another for the next: what a program sent on the
/// former, such as the delete of the same joint, may arrive together with it (docs/peote.md, section 3.4).
const SETTLE: Duration = Duration::from_millis(5);

/// The joint wire.
#[derive(Debug)]
pub struct JointWire;

/// The joint wire, as the hub wants it.
pub static WIRE: JointWire = JointWire;

impl Wire for JointWire {
    fn profile(&self) -> Profile {
        Profile {
            name: "peote",
            id: 2,
            framing: Framing::Pieces,
            capacity: Capacity {
                owned_max: CHANNELS_MAX,
                entered_max: CHANNELS_MAX,
                members_max: MEMBERS_MAX,
            },
            stateful: Stateful::No,
            whole: false,
            links: false,
            credentials: false,
            pauses: Pauses::Nothing,
            link_bytes: 0,
            successors: false,
            application: false,
            secures: false,
            settle: SETTLE,
            envelope: None,
        }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        let Content::Part { place, chunk, part } = *content else { return };
        // Calls with replies and empty messages have no form here.
        if part.kind != Part::DATA || part.data.is_empty() {
            return;
        }
        // The numbers fit: capacity() bounds what the hub gives to such a session.
        let (joint, user) = match place {
            Place::Own(own, member) => (0x80 | own.0 as u8, Some(member.0 as u8)),
            Place::In(number) | Place::Room(number, _) => (number.0 as u8, None),
            // The hub makes no links to a protocol without them.
            Place::Link(_) => return,
        };
        if let Some(bytes_max) = chunk
            && part.is_first()
        {
            let prefix =
                ChunkSize::new(bytes_max).and_then(|size| size.encode_prefix(part.total as usize));
            // The channel has refused messages above the maximum already.
            let Ok(prefix) = prefix else { return };
            put_data(&[], joint, user, &Bytes::copy_from_slice(prefix.as_ref()), out);
        }
        put_data(&[], joint, user, &part.data, out);
    }
}
