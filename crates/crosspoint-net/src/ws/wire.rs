//! Wires inside WebSockets: one frame of the protocol in each message.

use super::frame::{Opcode, server_header};
use bytes::{BufMut, BytesMut};
use crosspoint_hub::wire::{Capacity, FrameWriter, Framing, Part, Place, Prefix, Wire};

/// A wire whose frames travel in WebSocket messages.
pub(crate) struct WebSocket<W> {
    wire: W,
    prefix: Prefix,
}

impl<W: Wire> WebSocket<W> {
    /// Frames in binary messages.
    pub(crate) const fn binary(wire: W) -> Self {
        Self { wire, prefix: |length, out| put_header(Opcode::Binary, length, out) }
    }

    /// Frames in text messages.
    pub(crate) const fn text(wire: W) -> Self {
        Self { wire, prefix: |length, out| put_header(Opcode::Text, length, out) }
    }
}

fn put_header(opcode: Opcode, length: usize, out: &mut BytesMut) {
    out.put_slice(server_header(opcode, true, length).as_slice());
}

impl<W: Wire> Wire for WebSocket<W> {
    fn name(&self) -> &'static str {
        self.wire.name()
    }

    fn id(&self) -> u8 {
        0x80 | self.wire.id()
    }

    fn framing(&self) -> Framing {
        self.wire.framing()
    }

    fn capacity(&self) -> Capacity {
        self.wire.capacity()
    }

    fn stateful(&self) -> bool {
        self.wire.stateful()
    }

    fn links(&self) -> bool {
        self.wire.links()
    }

    fn home(&self) -> bool {
        self.wire.home()
    }

    fn secures(&self) -> bool {
        self.wire.secures()
    }

    fn prefix(&self) -> Option<Prefix> {
        Some(self.prefix)
    }

    fn encode(&self, place: Place, chunk: Option<u32>, part: &Part, out: &mut FrameWriter) {
        self.wire.encode(place, chunk, part, out);
    }
}
