//! Invariants of the detection under arbitrary input, for fuzzers and tests.

use crate::detect::detect;
use crate::gateways::standard;

/// Bytes that are enough to tell what is not HTTP.
const BYTES_MAX: usize = 6;

/// Bytes that are always enough: a long request line, behind empty ones.
const LINE_BYTES_MAX: usize = 1200;

/// Tells a connection's protocol at every prefix. Once told it stays, and six bytes are enough unless they
/// may be the beginning of a request line.
///
/// # Panics
/// When an invariant is broken.
pub fn fuzz_detect(data: &[u8]) {
    let gateways = standard();
    let detect = |bytes: &[u8]| detect(&gateways, bytes).map(|detected| detected.name());
    let mut before = None;
    let line = |byte: &u8| byte.is_ascii_graphic() || b" \r\n\t".contains(byte);
    for end in 1..=data.len().min(LINE_BYTES_MAX) {
        let bytes = &data[..end];
        let now = detect(bytes);
        let may_be_http = bytes.iter().take(BYTES_MAX).all(line) && end < LINE_BYTES_MAX;
        assert!(now.is_some() || end < BYTES_MAX || may_be_http, "{bytes:02x?} tell nothing");
        // The one exception: a command that is also the beginning of a rare datagram.
        let exception = bytes.starts_with(&[0]) && end == 6;
        let changed = before.is_some() && now != before;
        let excepted = exception && (before, now) == (Some("peote"), Some("libpuns"));
        assert!(!changed || excepted, "{before:?} becomes {now:?} with {bytes:02x?}");
        before = now;
    }
    if before.is_some() {
        assert_eq!(detect(data), before, "later bytes have a part in it");
    }
}
