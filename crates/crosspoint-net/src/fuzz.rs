//! Invariants of the detection under arbitrary input, for fuzzers and tests.

use crate::detect::{Spoken, detect};

/// The longest word that is waited for: `OPTIONS` or `CONNECT` with its space.
const BYTES_MAX: usize = 8;

/// Tells a connection's protocol at every prefix. Once told it stays, and what stands behind the
/// first eight bytes has no part in it.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_detect(data: &[u8]) {
    let mut before = None;
    for end in 0..=data.len().min(2 * BYTES_MAX) {
        let bytes = &data[..end];
        let now = detect(bytes);
        assert!(now.is_some() || end < BYTES_MAX, "{bytes:02x?} tell nothing");
        assert!(now.is_none() || end > 0, "nothing tells {now:?}");
        // The one exception: a command that is also the beginning of a rare datagram.
        let exception = bytes.starts_with(&[0]) && end == 6;
        let changed = before.is_some() && now != before;
        let excepted = exception && (before, now) == (Some(Spoken::Joint), Some(Spoken::Panda3d));
        assert!(!changed || excepted, "{before:?} becomes {now:?} with {bytes:02x?}");
        before = now;
    }
    assert_eq!(detect(data), before, "later bytes have a part in it");
}
