//! Bytes that have arrived and not been parsed yet.

use bytes::{Buf, Bytes, BytesMut};

/// A queue of bytes that gives slices without copying. Empty, it owns no memory.
#[derive(Debug, Clone, Default)]
pub struct Input {
    bytes: Bytes,
}

impl Input {
    /// Adds bytes at the end. If what was left is shared, it is copied in front of them.
    pub fn push(&mut self, bytes: Bytes) {
        if self.bytes.is_empty() {
            self.bytes = bytes;
        } else if !bytes.is_empty() {
            let left = std::mem::take(&mut self.bytes);
            // Grown in place, a large frame that comes in small pieces costs no more than its
            // length.
            let mut joined =
                left.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
            joined.extend_from_slice(&bytes);
            self.bytes = joined.freeze();
        }
    }

    /// All that is there.
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes
    }

    /// How many bytes are there.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Drops the first bytes, or all if there are fewer.
    pub fn skip(&mut self, count: usize) {
        self.bytes.advance(count.min(self.bytes.len()));
        self.let_go();
    }

    /// Takes the first bytes out, or all if there are fewer.
    pub fn take(&mut self, count: usize) -> Bytes {
        let taken = self.bytes.split_to(count.min(self.bytes.len()));
        self.let_go();
        taken
    }

    /// Copies what is left, so that a few bytes do not keep a large read alive.
    pub fn compact(&mut self) {
        self.bytes = Bytes::copy_from_slice(&self.bytes);
    }

    fn let_go(&mut self) {
        if self.bytes.is_empty() {
            self.bytes = Bytes::new();
        }
    }
}
