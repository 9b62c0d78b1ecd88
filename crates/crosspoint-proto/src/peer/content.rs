//! What messages are made of besides payloads and failures: codes, and text.

use bytes::Bytes;
use std::fmt;
use std::ops::Deref;

/// Codes of RESET (docs/peers.md, section 4). Those of FAILURE, which mean the same where both have
/// them, are at [`Failure`](crosspoint_hub::payload::Failure).
pub mod code {
    use crosspoint_hub::payload::Failure;

    /// No longer wanted.
    pub const NOT_WANTED: u32 = 0;
    /// Nobody accepts streams of this name.
    pub const NOT_FOUND: u32 = Failure::NO_METHOD;
    /// Too many streams.
    pub const TOO_MANY: u32 = Failure::TOO_MANY;
    /// Failed.
    pub const FAILED: u32 = Failure::FAILED;
    /// The peer is going away.
    pub const GOING_AWAY: u32 = Failure::GOING_AWAY;
    /// The first of the application's own.
    pub const APPLICATION: u32 = Failure::APPLICATION;
}

/// Text that shares the memory of the message that brought it.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Text(Bytes);

impl Text {
    /// `None` if the bytes are not UTF-8.
    pub fn new(bytes: Bytes) -> Option<Self> {
        std::str::from_utf8(&bytes).is_ok().then_some(Self(bytes))
    }

    /// The text.
    pub fn as_str(&self) -> &str {
        std::str::from_utf8(&self.0).expect("checked when it was made, and never changed")
    }
}

impl Deref for Text {
    type Target = str;

    fn deref(&self) -> &str {
        self.as_str()
    }
}

impl From<&'static str> for Text {
    fn from(text: &'static str) -> Self {
        Self(Bytes::from_static(text.as_bytes()))
    }
}

impl From<String> for Text {
    fn from(text: String) -> Self {
        Self(text.into())
    }
}

impl PartialEq<str> for Text {
    fn eq(&self, other: &str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl PartialEq<&str> for Text {
    fn eq(&self, other: &&str) -> bool {
        self.0 == other.as_bytes()
    }
}

impl fmt::Debug for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self)
    }
}
