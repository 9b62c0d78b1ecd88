//! Wires inside WebSockets: one frame of the protocol in each message, compressed where that was agreed on.

use super::deflate::{MESSAGE_BYTES_MAX, deflate, store};
use super::frame::{Opcode, server_header};
use bytes::{BufMut, BytesMut};
use crosspoint_hub::wire::{Compression, Content, Envelope, FrameWriter, Prefix, Profile, Wire};

/// A wire whose frames travel in WebSocket messages.
pub struct WebSocket<W> {
    wire: W,
    envelope: &'static Envelope,
}

impl<W: Wire> WebSocket<W> {
    /// Frames in binary messages.
    pub const fn binary(wire: W) -> Self {
        Self { wire, envelope: &BINARY }
    }

    /// Frames in text messages, and [binary frames](FrameWriter::binary_frame) in binary ones.
    pub const fn text(wire: W) -> Self {
        Self { wire, envelope: &TEXT }
    }
}

static BINARY: Envelope = envelope(
    |length, out| put_header(Opcode::Binary, length, out),
    |length, out| put_compressed_header(Opcode::Binary, length, out),
);

static TEXT: Envelope = Envelope {
    binary_prefix: Some(|length, out| put_header(Opcode::Binary, length, out)),
    ..envelope(
        |length, out| put_header(Opcode::Text, length, out),
        |length, out| put_compressed_header(Opcode::Text, length, out),
    )
};

const fn envelope(prefix: Prefix, compressed: Prefix) -> Envelope {
    let compression = Compression {
        bytes_max: MESSAGE_BYTES_MAX,
        prefix: compressed,
        header: store,
        payload: deflate,
    };
    Envelope { prefix, binary_prefix: None, compression: Some(compression) }
}

fn put_header(opcode: Opcode, length: usize, out: &mut BytesMut) {
    out.put_slice(server_header(opcode, true, length).as_slice());
}

fn put_compressed_header(opcode: Opcode, length: usize, out: &mut BytesMut) {
    out.put_slice(server_header(opcode, true, length).compressed().as_slice());
}

impl<W: Wire> Wire for WebSocket<W> {
    fn profile(&self) -> Profile {
        let inner = self.wire.profile();
        Profile { id: 0x80 | inner.id, envelope: Some(self.envelope), ..inner }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        self.wire.encode(content, out);
    }
}
