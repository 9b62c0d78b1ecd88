//! What a session keeps for those who wait for something, however many links they wait at.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

/// What is kept, in bytes. Clones count together.
#[derive(Debug, Clone, Default)]
pub struct Kept(Arc<AtomicUsize>);

impl Kept {
    /// What is kept of an entry in a table, besides the entry itself.
    const ENTRY_BYTES: usize = 64;

    /// What is kept now.
    pub fn bytes(&self) -> usize {
        self.0.load(Ordering::Relaxed)
    }

    /// Counts an entry with so many bytes until it is dropped.
    pub fn weigh(&self, bytes: usize) -> Weight {
        let bytes = bytes + Self::ENTRY_BYTES;
        self.0.fetch_add(bytes, Ordering::Relaxed);
        Weight { kept: self.clone(), bytes }
    }
}

/// An entry that counts.
#[derive(Debug)]
pub struct Weight {
    kept: Kept,
    bytes: usize,
}

impl Drop for Weight {
    fn drop(&mut self) {
        self.kept.0.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}
