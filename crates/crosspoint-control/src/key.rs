//! The names of channels in paths and queries.
//!
//! A name is bytes. A key is the name, percent-encoded but for letters, digits, `-`, `_` and `.`. A name that programs
//! would take for a step in a path, or that is empty, has `;` before it.

use crosspoint_hub::ChannelName;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode, percent_encode};
use std::borrow::Cow;

const ENCODED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.');

/// Stands before a name that could not stand alone in a path.
const ALONE: &str = ";";

/// The key of a channel name.
pub(crate) fn key(name: &ChannelName) -> String {
    let bytes = name.as_bytes();
    let mark = if matches!(bytes, b"" | b"." | b"..") { ALONE } else { "" };
    format!("{mark}{}", percent_encode(bytes, ENCODED))
}

/// The name of a key, however it is encoded; `None` if it is too long for a name.
pub(crate) fn name(key: &str) -> Option<ChannelName> {
    let key = key.strip_prefix(ALONE).unwrap_or(key);
    let bytes: Cow<'_, [u8]> = percent_decode(key.as_bytes()).into();
    ChannelName::new(bytes.into_owned()).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_name_has_a_key_of_its_own_that_can_stand_in_a_path() {
        for (bytes, expected) in [
            (&b"lobby"[..], "lobby"),
            (b"", ";"),
            (b".", ";."),
            (b"..", ";.."),
            (b"...", "..."),
            (b";", "%3B"),
            (b";.", "%3B."),
            (b"a/b?c#d%20 e", "a%2Fb%3Fc%23d%2520%20e"),
            ("grün".as_bytes(), "gr%C3%BCn"),
            (b"\xff\x00\n", "%FF%00%0A"),
        ] {
            let name_of = ChannelName::new(bytes.to_vec()).unwrap();
            assert_eq!(key(&name_of), expected);
            assert_eq!(name(expected), Some(name_of));
        }
        assert!(name(&"x".repeat(255)).is_some());
        assert!(name(&"x".repeat(256)).is_none());
        assert!(name(&"%41".repeat(255)).is_some());
    }
}
