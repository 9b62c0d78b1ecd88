//! Values of other systems: JSON text, MessagePack and bytes, and how one becomes the other.
//!
//! * [`json`]: texts that are checked once; [`bounded`]: arrays that are not too long
//! * [`msgpack`]: MessagePack to JSON and back; [`payload`]: what peers send

pub mod bounded;
pub mod json;
pub mod msgpack;
pub mod payload;

pub use bounded::Bounded;
pub use json::{Json, NotJson};
pub use payload::Unreadable;

use bytes::Bytes;

/// A value in JSON, or bytes, which have no form there.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Value {
    /// A JSON value.
    Json(Json),
    /// Bytes.
    Binary(Bytes),
}
