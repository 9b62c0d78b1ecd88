//! The way of a link through nodes that forward it: what its purpose says.

use crate::PeerId;
use bytes::Bytes;
use crosspoint_hub::PeerName;
use crosspoint_hub::command::{Addressee, LinkOptions};
use crosspoint_hub::ids::NoPeerName;
use serde::{Deserialize, Serialize};
use serde_bytes::ByteBuf;

/// The most nodes that forward one link.
pub(crate) const HOPS_MAX: usize = 8;

/// The address of a peer: a peer id, or a unique name.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Who {
    /// The peer with this id.
    Id(PeerId),
    /// The peer with this name. Nothing but the hub says whose name it is.
    Name(String),
}

impl Who {
    pub(crate) fn addressee(&self) -> Result<Addressee, NoPeerName> {
        Ok(match self {
            Self::Id(id) => Addressee::Peer(*id),
            Self::Name(name) => Addressee::Name(PeerName::new(name)?),
        })
    }
}

impl From<PeerId> for Who {
    fn from(id: PeerId) -> Self {
        Self::Id(id)
    }
}

impl From<&PeerId> for Who {
    fn from(id: &PeerId) -> Self {
        Self::Id(*id)
    }
}

impl From<&str> for Who {
    fn from(name: &str) -> Self {
        Self::Name(name.to_owned())
    }
}

impl From<String> for Who {
    fn from(name: String) -> Self {
        Self::Name(name)
    }
}

impl From<&String> for Who {
    fn from(name: &String) -> Self {
        Self::Name(name.clone())
    }
}

/// The way of a link. For a plain link both parts are empty.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Route {
    /// The peers that the link still has to pass, the far end last.
    pub via: Vec<Who>,
    /// Who has passed the link on so far, its opener first. Each of them is the word of the next.
    pub from: Vec<PeerId>,
}

/// A purpose that is no route, or too long a one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct NoRoute;

#[derive(Serialize, Deserialize)]
struct Purpose {
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    via: Vec<Hop>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    from: Vec<ByteBuf>,
}

#[derive(Serialize, Deserialize)]
#[serde(untagged)]
enum Hop {
    Name(String),
    Id(ByteBuf),
}

fn id(bytes: &[u8]) -> Result<PeerId, NoRoute> {
    bytes.try_into().map(PeerId::new).map_err(|_| NoRoute)
}

impl Route {
    /// The purpose of a link that takes this way.
    pub(crate) fn purpose(&self) -> Bytes {
        if self.via.is_empty() && self.from.is_empty() {
            return Bytes::new();
        }
        let bytes = |id: &PeerId| ByteBuf::from(id.as_bytes().to_vec());
        let hop = |who: &Who| match who {
            Who::Id(id) => Hop::Id(bytes(id)),
            Who::Name(name) => Hop::Name(name.clone()),
        };
        let purpose = Purpose {
            via: self.via.iter().map(hop).collect(),
            from: self.from.iter().map(bytes).collect(),
        };
        let written = rmp_serde::to_vec_named(&purpose);
        written.expect("a map of texts and bytes can always be written").into()
    }

    /// # Errors
    /// [`NoRoute`] if it is something else.
    pub(crate) fn parse(purpose: &[u8]) -> Result<Self, NoRoute> {
        if purpose.is_empty() {
            return Ok(Self::default());
        }
        if purpose.len() > LinkOptions::PURPOSE_BYTES_MAX {
            return Err(NoRoute);
        }
        let Purpose { via, from } = rmp_serde::from_slice(purpose).map_err(|_| NoRoute)?;
        // The far end is no hop, and neither is the opener.
        if via.len() + from.len() > HOPS_MAX + 1 {
            return Err(NoRoute);
        }
        let hop = |hop| match hop {
            Hop::Name(name) => Ok(Who::Name(name)),
            Hop::Id(bytes) => id(&bytes).map(Who::Id),
        };
        Ok(Self {
            via: via.into_iter().map(hop).collect::<Result<_, _>>()?,
            from: from.iter().map(|bytes| id(bytes)).collect::<Result<_, _>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_route_survives_its_purpose_and_a_plain_link_has_none() {
        let route = Route {
            via: vec![Who::from("bob"), Who::Id(PeerId::new([0xff; 16]))],
            from: vec![PeerId::new([1; 16]), PeerId::new([2; 16])],
        };
        assert_eq!(Route::parse(&route.purpose()), Ok(route));
        assert!(Route::default().purpose().is_empty());
        assert_eq!(Route::parse(b""), Ok(Route::default()));
    }

    #[test]
    fn what_is_no_route_or_too_long_is_refused() {
        let via = vec![Who::from("x"); HOPS_MAX + 2];
        let long = Route { via, from: Vec::new() };
        for wrong in [&long.purpose()[..], b"\xc1", b"purpose", b"\x81\xa4from\x91\xc4\x01x"] {
            assert_eq!(Route::parse(wrong), Err(NoRoute));
        }
    }
}
