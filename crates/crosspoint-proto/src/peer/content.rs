//! What messages are made of: text, formats, payloads, failures.

use bytes::Bytes;
use std::fmt;
use std::ops::Deref;

/// Codes of FAILURE and RESET (docs/peers.md, sections 3 and 4).
pub mod code {
    /// RESET: no longer wanted.
    pub const NOT_WANTED: u32 = 0;
    /// FAILURE: the payload could not be read.
    pub const UNREADABLE: u32 = 400;
    /// FAILURE: not allowed.
    pub const NOT_ALLOWED: u32 = 403;
    /// FAILURE: nothing answers to this method. RESET: nobody accepts streams of this name.
    pub const NOT_FOUND: u32 = 404;
    /// FAILURE: the requester's time was over before the answer.
    pub const TIMED_OUT: u32 = 408;
    /// FAILURE: too many requests wait. RESET: too many streams.
    pub const TOO_MANY: u32 = 429;
    /// FAILURE: the method failed, the message says how. RESET: failed.
    pub const FAILED: u32 = 500;
    /// The peer is going away.
    pub const GOING_AWAY: u32 = 503;
    /// The first of the application's own.
    pub const APPLICATION: u32 = 1000;
}

/// How to read a payload (docs/peers.md, section 2). Other numbers are handed up as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Format(pub u8);

impl Format {
    /// Bytes.
    pub const BYTES: Self = Self(0);
    /// Text in UTF-8.
    pub const TEXT: Self = Self(1);
    /// JSON.
    pub const JSON: Self = Self(2);
    /// MessagePack.
    pub const MESSAGE_PACK: Self = Self(3);
}

/// Bytes and how to read them. Whether they are what the format says is not checked here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Payload {
    /// How to read them.
    pub format: Format,
    /// The bytes, part of the message that brought them.
    pub bytes: Bytes,
}

/// Why a request failed, as its receiver says it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Failure {
    /// One of [`code`], or the application's own.
    pub code: u32,
    /// For people.
    pub message: Text,
    /// For programs.
    pub details: Payload,
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
