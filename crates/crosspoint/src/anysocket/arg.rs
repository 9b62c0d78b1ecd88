//! Parameters and results of calls.

use super::PeerError;
use bytes::Bytes;
use crosspoint_gateways::anysocket::Json;
use crosspoint_gateways::anysocket::internal::rpc;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A parameter or a result of a call. Bytes can only be a whole one, not inside of JSON.
#[derive(Debug, Clone, PartialEq)]
pub enum Arg {
    /// A JSON value. Nothing at all, JavaScript's `undefined`, is null.
    Json(Value),
    /// Bytes; a `Buffer` in Node, an `Uint8Array` in browsers.
    Binary(Bytes),
}

impl Arg {
    /// For calls without parameters.
    pub const NONE: [Self; 0] = [];

    /// The JSON value; `None` for bytes.
    pub fn json(self) -> Option<Value> {
        match self {
            Self::Json(value) => Some(value),
            Self::Binary(_) => None,
        }
    }

    /// The bytes; `None` for JSON.
    pub fn binary(self) -> Option<Bytes> {
        match self {
            Self::Json(_) => None,
            Self::Binary(bytes) => Some(bytes),
        }
    }

    /// Reads a JSON value.
    ///
    /// # Errors
    /// [`PeerError::Unreadable`] if it is another, or bytes.
    pub fn read<T: DeserializeOwned>(&self) -> Result<T, PeerError> {
        match self {
            Self::Json(value) => T::deserialize(value).map_err(PeerError::unreadable),
            Self::Binary(_) => Err(PeerError::unreadable("bytes in the place of a JSON value")),
        }
    }

    pub(super) fn from_wire(value: &rpc::Value) -> Result<Self, PeerError> {
        Ok(match value {
            rpc::Value::Json(json) => Self::Json(value_of(json)?),
            rpc::Value::Binary(bytes) => Self::Binary(bytes.clone()),
        })
    }

    pub(super) fn to_wire(&self) -> Result<rpc::Value, PeerError> {
        Ok(match self {
            Self::Json(value) => rpc::Value::Json(Json::new(value).map_err(PeerError::value)?),
            Self::Binary(bytes) => rpc::Value::Binary(bytes.clone()),
        })
    }
}

/// The value of a text. Fails for what Rust's texts cannot hold, and for very deep values.
pub(super) fn value_of(json: &Json) -> Result<Value, PeerError> {
    serde_json::from_slice(json.as_bytes()).map_err(PeerError::unreadable)
}

macro_rules! json_from {
    ($($type:ty)*) => {$(
        impl From<$type> for Arg {
            fn from(value: $type) -> Self {
                Self::Json(value.into())
            }
        }
    )*};
}

json_from!(Value &str String bool i32 u32 i64 u64 f64);

impl From<()> for Arg {
    /// No result.
    fn from((): ()) -> Self {
        Self::Json(Value::Null)
    }
}

impl From<Bytes> for Arg {
    fn from(bytes: Bytes) -> Self {
        Self::Binary(bytes)
    }
}

impl From<Vec<u8>> for Arg {
    fn from(bytes: Vec<u8>) -> Self {
        Self::Binary(bytes.into())
    }
}
