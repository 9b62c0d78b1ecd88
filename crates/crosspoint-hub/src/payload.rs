//! What requests and their answers carry, in every protocol that has them.

use bytes::Bytes;

/// How to read a payload (docs/peers.md, section 2). Other numbers are carried as they are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub struct Format(pub u8);

impl Format {
    /// Bytes without a meaning to anybody but the two ends.
    pub const BYTES: Self = Self(0);
    /// Text in UTF-8.
    pub const TEXT: Self = Self(1);
    /// One value in JSON.
    pub const JSON: Self = Self(2);
    /// One value in MessagePack.
    pub const MESSAGE_PACK: Self = Self(3);
}

/// Bytes and how to read them. Whether they are what the format says is not checked here.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Payload {
    /// How to read them.
    pub format: Format,
    /// The bytes.
    pub data: Bytes,
}

impl Payload {
    /// A payload.
    pub fn new(format: Format, data: impl Into<Bytes>) -> Self {
        Self { format, data: data.into() }
    }

    /// Bytes without a meaning to anybody but the two ends.
    pub fn bytes(data: impl Into<Bytes>) -> Self {
        Self::new(Format::BYTES, data)
    }

    /// Text.
    pub fn text(text: impl Into<String>) -> Self {
        Self::new(Format::TEXT, text.into())
    }
}

impl From<Bytes> for Payload {
    fn from(data: Bytes) -> Self {
        Self::bytes(data)
    }
}

impl From<Vec<u8>> for Payload {
    fn from(data: Vec<u8>) -> Self {
        Self::bytes(data)
    }
}

impl From<String> for Payload {
    fn from(text: String) -> Self {
        Self::text(text)
    }
}

impl From<&str> for Payload {
    fn from(text: &str) -> Self {
        Self::text(text)
    }
}

/// Why a request failed (docs/peers.md, section 3).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default, thiserror::Error)]
#[error("{message} (code {code})")]
pub struct Failure {
    /// What kind of failure. Applications have the codes from [`Failure::APPLICATION`] on.
    pub code: u32,
    /// What happened, for people.
    pub message: String,
    /// What happened, for programs.
    pub details: Payload,
}

impl Failure {
    /// The payload could not be read.
    pub const UNREADABLE: u32 = 400;
    /// Not allowed.
    pub const FORBIDDEN: u32 = 403;
    /// Nothing answers to this method.
    pub const NO_METHOD: u32 = 404;
    /// The requester's time was over.
    pub const TIMED_OUT: u32 = 408;
    /// Too many requests wait.
    pub const TOO_MANY: u32 = 429;
    /// The method failed.
    pub const FAILED: u32 = 500;
    /// The peer is going away.
    pub const GOING_AWAY: u32 = 503;
    /// The first code that belongs to applications.
    pub const APPLICATION: u32 = 1000;

    /// A failure without details.
    pub fn new(code: u32, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), details: Payload::default() }
    }

    /// Nothing answers to a method.
    pub fn no_method(method: &str) -> Self {
        Self::new(Self::NO_METHOD, format!("nothing answers to the method `{method}`"))
    }
}

/// What a request came to.
pub type Outcome = Result<Payload, Failure>;

/// A question to the hub application.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// A path of names joined with dots; empty for a message to nobody in particular.
    pub method: String,
    /// What is asked.
    pub payload: Payload,
}
