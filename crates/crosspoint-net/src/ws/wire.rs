//! Wires inside WebSockets: one frame of the protocol in each message.

use super::frame::{Opcode, server_header};
use bytes::{BufMut, BytesMut};
use crosspoint_hub::wire::{Content, FrameWriter, Prefix, Profile, Wire};

/// A wire whose frames travel in WebSocket messages.
pub struct WebSocket<W> {
    wire: W,
    prefix: Prefix,
}

impl<W: Wire> WebSocket<W> {
    /// Frames in binary messages.
    pub const fn binary(wire: W) -> Self {
        Self { wire, prefix: |length, out| put_header(Opcode::Binary, length, out) }
    }

    /// Frames in text messages.
    pub const fn text(wire: W) -> Self {
        Self { wire, prefix: |length, out| put_header(Opcode::Text, length, out) }
    }
}

fn put_header(opcode: Opcode, length: usize, out: &mut BytesMut) {
    out.put_slice(server_header(opcode, true, length).as_slice());
}

impl<W: Wire> Wire for WebSocket<W> {
    fn profile(&self) -> Profile {
        let inner = self.wire.profile();
        Profile { id: 0x80 | inner.id, prefix: Some(self.prefix), ..inner }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        self.wire.encode(content, out);
    }
}
