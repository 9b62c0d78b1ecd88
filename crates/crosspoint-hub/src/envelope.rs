//! What is written around frames, and how they are compressed.
//!
//! A frame is compressed in two parts, so that receivers share the work: its header, which differs among them, is
//! only wrapped, and its payload becomes the same bytes for all of them.

use crate::metrics::Metrics;
use bytes::{Bytes, BytesMut};
use prometheus_client::metrics::counter::Counter;
use std::sync::Arc;

/// Writes a large frame's envelope: payload length in, bytes out.
pub type Prefix = fn(payload_len: usize, out: &mut BytesMut);

/// What a wire writes around each of its frames. A static, as it is known by its place.
#[derive(Debug)]
pub struct Envelope {
    /// Written before each frame that is not compressed.
    pub prefix: Prefix,
    /// Written before each [binary frame](crate::wire::FrameWriter::binary_frame), which is never compressed. `None`
    /// where all frames are of one kind.
    pub binary_prefix: Option<Prefix>,
    /// How frames are compressed for endpoints that have agreed to it
    /// ([`Outlet::compressor`](crate::endpoint::Outlet::compressor)), if they can be.
    pub compression: Option<Compression>,
}

/// How a wire writes compressed frames.
#[derive(Debug)]
pub struct Compression {
    /// The largest frame that is compressed, in bytes.
    pub bytes_max: usize,
    /// Written before a compressed frame, in the place of the other prefix.
    pub prefix: Prefix,
    /// Writes the header of a frame, not compressed, in the form of compressed bytes.
    pub header: fn(header: &[u8], out: &mut BytesMut),
    /// Compresses the payload of a frame. `None` if it would not become smaller.
    pub payload: fn(payload: &[u8]) -> Option<Bytes>,
}

/// From which size on a hub compresses frames, and what that has saved. One for each hub.
#[derive(Debug)]
pub struct Compressor {
    bytes_min: usize,
    messages: Counter,
    bytes_before: Counter,
    bytes_after: Counter,
}

impl Compressor {
    pub(crate) fn new(bytes_min: u32, metrics: &Metrics) -> Self {
        Self {
            bytes_min: bytes_min as usize,
            messages: metrics.compressed_messages.clone(),
            bytes_before: metrics.compressed_bytes_before.clone(),
            bytes_after: metrics.compressed_bytes_after.clone(),
        }
    }

    /// Whether a frame of this length is compressed.
    pub(crate) fn wants(&self, compression: &Compression, length: usize) -> bool {
        (self.bytes_min..=compression.bytes_max).contains(&length)
    }

    pub(crate) fn compress(&self, compression: &Compression, payload: &[u8]) -> Option<Bytes> {
        let compressed = (compression.payload)(payload)?;
        self.messages.inc();
        self.bytes_before.inc_by(payload.len() as u64);
        self.bytes_after.inc_by(compressed.len() as u64);
        Some(compressed)
    }
}

/// What has become of payloads that many receivers get. They are kept, so that no other payload can be at the
/// place of one of them meanwhile.
#[derive(Debug, Default)]
pub(crate) struct Compressed(Vec<(Bytes, Option<Bytes>)>);

impl Compressed {
    fn get(&mut self, payload: &Bytes, compress: impl FnOnce() -> Option<Bytes>) -> Option<Bytes> {
        let is = |known: &Bytes| known.as_ptr() == payload.as_ptr() && known.len() == payload.len();
        if let Some((_, compressed)) = self.0.iter().find(|(known, _)| is(known)) {
            return compressed.clone();
        }
        let compressed = compress();
        self.0.push((payload.clone(), compressed.clone()));
        compressed
    }
}

/// Compresses the frames of one writer.
#[derive(Debug)]
pub(crate) struct FrameCompressor {
    compressor: Arc<Compressor>,
    compression: &'static Compression,
    /// What was compressed before, where others get the same.
    shared: Option<Compressed>,
}

impl FrameCompressor {
    pub(crate) fn new(compressor: Arc<Compressor>, compression: &'static Compression) -> Self {
        Self { compressor, compression, shared: None }
    }

    /// Takes over what was compressed for others, and keeps what is compressed now.
    pub(crate) fn share(&mut self, shared: Compressed) {
        self.shared = Some(shared);
    }

    /// What was compressed, for the next receivers.
    pub(crate) fn take_shared(&mut self) -> Compressed {
        self.shared.take().unwrap_or_default()
    }

    pub(crate) fn wants(&self, length: usize) -> bool {
        self.compressor.wants(self.compression, length)
    }

    pub(crate) fn compress(&self, payload: &[u8]) -> Option<Bytes> {
        self.compressor.compress(self.compression, payload)
    }

    /// The payload of a frame that is large enough, compressed if that makes it smaller.
    pub(crate) fn payload(&mut self, header: &[u8], payload: &Bytes) -> Option<Bytes> {
        let Self { compressor, compression, shared } = self;
        if !compressor.wants(compression, header.len() + payload.len()) {
            return None;
        }
        let compress = || compressor.compress(compression, payload);
        match shared {
            Some(shared) => shared.get(payload, compress),
            None => compress(),
        }
    }

    /// Writes what comes before a compressed payload of this length.
    pub(crate) fn begin(&self, header: &[u8], length: usize, out: &mut BytesMut) {
        // The length of what the header becomes has to be known before it is written.
        let before = out.len();
        (self.compression.header)(header, out);
        let wrapped = out.split_off(before);
        (self.compression.prefix)(wrapped.len() + length, out);
        out.extend_from_slice(&wrapped);
    }
}
