//! Ids of peers (section 4).

use super::hex;
use crate::value::Json;
use crosspoint_hub::PeerId;
use std::fmt;

/// Characters in an id that can be written into a forwarded packet.
pub const ID_CHARACTERS: usize = 32;

/// What a peer calls itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Id {
    /// 32 lowercase hexadecimal digits, as everybody should have.
    Peer(PeerId),
    /// Any other true value. Such a peer can talk to its neighbour but not through a hub.
    Other(Json),
}

/// The id is missing or not a true value; the connection should be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the id is missing, empty, zero, false or null")]
pub struct NoId;

impl Id {
    /// An id from its JSON form.
    ///
    /// # Errors
    /// [`NoId`] for falsy values.
    pub fn from_json(json: &Json) -> Result<Self, NoId> {
        match json.as_bytes() {
            [b'"', digits @ .., b'"'] if let Some(id) = parse(digits) => Ok(Self::Peer(id)),
            _ if json.is_falsy() => Err(NoId),
            _ => Ok(Self::Other(json.clone())),
        }
    }

    /// The 128 bits, if it has this form.
    pub fn peer(&self) -> Option<PeerId> {
        match self {
            Self::Peer(id) => Some(*id),
            Self::Other(_) => None,
        }
    }

    /// The id as JavaScript makes a text of it. `None` for arrays and objects, whose texts tell them
    /// not apart, and for texts that no Rust string can hold.
    pub fn text(&self) -> Option<String> {
        match self {
            Self::Peer(id) => Some(id.to_string()),
            Self::Other(json) => match json.as_bytes() {
                [b'{' | b'[', ..] => None,
                [b'"', ..] => serde_json::from_slice(json.as_bytes()).ok(),
                _ => Some(json.text().to_owned()),
            },
        }
    }
}

impl From<PeerId> for Id {
    fn from(id: PeerId) -> Self {
        Self::Peer(id)
    }
}

/// As JSON.
impl fmt::Display for Id {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Peer(id) => write!(f, "\"{id}\""),
            Self::Other(json) => f.write_str(json.text()),
        }
    }
}

/// An id from 32 lowercase hexadecimal digits. Uppercase ones make a different text, and thus id.
pub fn parse(digits: &[u8]) -> Option<PeerId> {
    let mut bytes = [0; ID_CHARACTERS / 2];
    let lowercase = !digits.iter().any(u8::is_ascii_uppercase);
    (lowercase && hex::decode(digits, &mut bytes)).then(|| PeerId::new(bytes))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn id(json: &'static str) -> Result<Id, NoId> {
        Id::from_json(&Json::parse(json.into()).unwrap())
    }

    #[test]
    fn thirty_two_lowercase_digits_are_a_peer_id_and_every_true_value_is_an_id() {
        let peer = id(r#""5e5e5e5e12344abc8def00112233ff80""#).unwrap();
        assert_eq!(peer.text().as_deref(), Some("5e5e5e5e12344abc8def00112233ff80"));
        assert_eq!(peer.to_string(), r#""5e5e5e5e12344abc8def00112233ff80""#);
        assert!(peer.peer().is_some());
        for (json, text) in [
            (r#""5E5e5e5e12344abc8def00112233ff80""#, Some("5E5e5e5e12344abc8def00112233ff80")),
            (r#""a\u00e9""#, Some("a\u{e9}")),
            (r#""\ud800""#, None),
            ("5", Some("5")),
            ("true", Some("true")),
            (r#"{"a":1}"#, None),
            ("[]", None),
        ] {
            let other = id(json).unwrap();
            assert_eq!((other.peer(), other.text().as_deref()), (None, text));
            assert_eq!(other.to_string(), json);
        }
        for json in ["null", "0", r#""""#, "false", "-0.0"] {
            assert_eq!(id(json), Err(NoId));
        }
    }
}
