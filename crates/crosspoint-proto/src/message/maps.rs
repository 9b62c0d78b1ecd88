//! MessagePack maps at the end of bodies, and the modes that stand in them.

use crate::frame::{Body, Broken};
use bytes::{BufMut, BytesMut};
use crosspoint_hub::Pace;
use crosspoint_hub::command::Mode;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;
use std::fmt;
use std::time::Duration;

/// The map of a HELLO frame (section 4.1).
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct HelloMap {
    /// The highest version that the client speaks.
    pub v: u32,
    /// The lowest version that the client speaks, if not the same.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub v_min: Option<u32>,
    /// The client's program, for logs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub agent: Option<String>,
    /// The client's peer id, 16 bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub id: Option<ByteBuf>,
    /// The name to be found by.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// Credentials.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub token: Option<ByteBuf>,
    /// The client's public key, 32 bytes. The hub asks for a proof.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub key: Option<ByteBuf>,
    /// Whether the proof will be bound to the TLS connection.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bound: Option<bool>,
    /// How often the hub is to probe a silent client, in milliseconds; 0 is never.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub heartbeat_ms: Option<u32>,
    /// Whether the client stops to send to a target when it is told to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pause: Option<bool>,
    /// Whether the client knows DELETE from the hub.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete: Option<bool>,
}

impl fmt::Debug for HelloMap {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("HelloMap")
            .field("v", &self.v)
            .field("v_min", &self.v_min)
            .field("agent", &self.agent)
            .field("id", &self.id)
            .field("name", &self.name)
            .field("token", &self.token.as_ref().map(|_| "***"))
            .field("key", &self.key)
            .field("bound", &self.bound)
            .field("pause", &self.pause)
            .field("delete", &self.delete)
            .finish_non_exhaustive()
    }
}

/// The map of a WELCOME frame (section 4.2).
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, Default)]
pub struct WelcomeMap {
    /// The version that is spoken from now on.
    pub v: u32,
    /// The client's peer id, 16 bytes.
    pub id: ByteBuf,
    /// The hub's name.
    #[serde(default)]
    pub hub: String,
    /// The largest frame that the hub takes, in bytes.
    pub frame_max: u32,
    /// The largest message, in bytes.
    pub message_max: u32,
    /// How often the hub probes a silent client, in milliseconds; 0 is never.
    pub heartbeat_ms: u32,
    /// What the hub offers beyond version 1.
    #[serde(default)]
    pub features: Vec<String>,
    /// The peer id of the hub application, 16 bytes, if it is one to talk to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub home: Option<ByteBuf>,
}

#[derive(Serialize, Deserialize, Default)]
pub(super) struct CreateMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) raw: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) members: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) approve: Option<bool>,
}

#[derive(Serialize, Deserialize, Default)]
pub(super) struct EnterMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) raw: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) password: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) room: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) presence: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) silent: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
pub(super) struct KickMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) ban: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) seconds: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) address: Option<bool>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
pub(super) struct EnteredMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) raw: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) max: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) chunk: Option<u32>,
    #[serde(default)]
    pub(super) replies: bool,
    #[serde(default)]
    pub(super) room: bool,
}

#[derive(Debug, Serialize, Deserialize)]
pub(super) struct PeerMap {
    pub(super) id: ByteBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) name: Option<String>,
    pub(super) protocol: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) chunk: Option<u32>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) replies: Option<bool>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) credentials: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) purpose: Option<ByteBuf>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
pub(super) struct LinkMap {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) purpose: Option<ByteBuf>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub(super) except: Vec<ByteBuf>,
}

#[derive(Debug, Serialize, Deserialize, Default)]
pub(super) struct FoundMap {
    #[serde(default)]
    pub(super) peers: Vec<PeerMap>,
}

/// A pace in a map: milliseconds, 0 for never, nothing for what is usual.
pub(crate) fn split_pace(pace: Pace) -> Option<u32> {
    match pace {
        Pace::Usual => None,
        Pace::Every(interval) => Some(millis(interval).max(1)),
        Pace::Never => Some(0),
    }
}

/// As [`split_pace`], the other way round.
pub(crate) fn join_pace(millis: Option<u32>) -> Pace {
    match millis {
        None => Pace::Usual,
        Some(0) => Pace::Never,
        Some(millis) => Pace::Every(Duration::from_millis(millis.into())),
    }
}

/// Milliseconds in a map; what is longer than can be said is the longest.
pub(crate) fn millis(time: Duration) -> u32 {
    u32::try_from(time.as_millis()).unwrap_or(u32::MAX)
}

/// How deep maps and arrays may be nested.
const MAP_DEPTH_MAX: usize = 16;

/// Reads the map at the end of a body; an absent one is empty.
///
/// # Errors
/// The rule that is broken.
pub fn map<T: DeserializeOwned>(body: &Body) -> Result<T, Broken> {
    const EMPTY_MAP: &[u8] = &[0x80];
    let bytes = if body.0.is_empty() { EMPTY_MAP } else { &body.0[..] };
    // An array of the values in the order of the fields would be taken as well.
    if !matches!(bytes[0], 0x80..=0x8f | 0xde | 0xdf) {
        return Err(Broken::malformed("what follows its fields is no MessagePack map"));
    }
    let mut reader = rmp_serde::Deserializer::from_read_ref(bytes);
    // A reader descends also into what it does not know, and its stack must not run out.
    reader.set_max_depth(MAP_DEPTH_MAX);
    T::deserialize(&mut reader)
        .map_err(|_| Broken::malformed("its map cannot be read, or has a value of a wrong type"))
}

/// Appends a map.
pub fn put_map<T: Serialize>(map: &T, out: &mut BytesMut) {
    let bytes = rmp_serde::to_vec_named(map).expect("a map of plain fields always encodes");
    out.put_slice(&bytes);
}

pub(super) fn split_mode(mode: Mode) -> (Option<bool>, Option<u32>) {
    match mode {
        Mode::Raw => (Some(true), None),
        Mode::Chunk { bytes_max } => (None, Some(bytes_max)),
    }
}

pub(super) fn join_mode(raw: Option<bool>, max: Option<u32>) -> Result<Mode, Broken> {
    let bytes_max = max.unwrap_or(Mode::CHUNK_BYTES_DEFAULT);
    let mode = match raw.unwrap_or_default() {
        true => Mode::Raw,
        false => Mode::Chunk { bytes_max },
    };
    is_possible(mode)
        .then_some(mode)
        .ok_or(Broken::malformed("max, the largest message, has to be from 1 to 536870912"))
}

/// Whether a mode's largest message is within the bounds.
pub(crate) fn is_possible(mode: Mode) -> bool {
    match mode {
        Mode::Raw => true,
        Mode::Chunk { bytes_max } => (1..=Mode::CHUNK_BYTES_LIMIT).contains(&bytes_max),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn credentials_of_a_hello_are_not_printed() {
        let token = Some(ByteBuf::from(*b"swordfish"));
        let bytes = format!("{:?}", token.as_ref().expect("set above"));
        let printed = format!("{:?}", HelloMap { token, ..HelloMap::default() });
        assert!(
            printed.contains(r#"token: Some("***")"#) && !printed.contains(&bytes),
            "{printed}"
        );
    }
}
