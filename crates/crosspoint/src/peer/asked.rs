//! What was asked of the hub, to be compared with what it answers. Nothing but encryption proves
//! that an answer is true; one that is about somebody else is certainly not.

use super::PeerError;
use crate::{PeerId, PeerInfo};
use crosspoint_hub::command::{Addressee, Query};
use std::collections::HashMap;
use std::fmt;

/// Whom the hub was asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Asked {
    /// The peer with this id.
    Id(PeerId),
    /// The peer with this name.
    Name(String),
    /// Peers whose names begin so, in the order of their names, each once.
    Names(String),
    /// All peers that are there.
    Everybody,
    /// A provider of a service that is none of those known already.
    Service {
        /// The service.
        name: String,
        /// The known ones.
        except: Vec<PeerId>,
    },
}

impl Asked {
    pub(crate) fn link(to: &Addressee, except: &[PeerId]) -> Self {
        match to {
            Addressee::Peer(id) => Self::Id(*id),
            Addressee::Name(name) => Self::Name(name.as_str().into()),
            Addressee::Service(name) => {
                Self::Service { name: name.as_str().into(), except: except.into() }
            }
        }
    }

    pub(super) fn look(query: &Query) -> Self {
        match query {
            Query::Peer(id) => Self::Id(*id),
            Query::Name(name) => Self::Name(name.as_str().into()),
            Query::Names { prefix, .. } => Self::Names(prefix.clone()),
            Query::Everybody { .. } => Self::Everybody,
            Query::Service(name) => {
                Self::Service { name: name.as_str().into(), except: Vec::new() }
            }
        }
    }

    /// Whether the answer can be one to the question.
    ///
    /// # Errors
    /// [`PeerError::OtherPeer`] if it is about somebody else.
    pub(crate) fn check(&self, answered: &PeerInfo) -> Result<(), PeerError> {
        let name = answered.name.as_deref();
        let fits = match self {
            Self::Id(id) => answered.id == *id,
            Self::Name(asked) => name == Some(asked),
            Self::Names(prefix) => name.is_some_and(|name| name.starts_with(prefix)),
            Self::Everybody => true,
            Self::Service { except, .. } => !except.contains(&answered.id),
        };
        if fits { Ok(()) } else { Err(self.contradicts(answered)) }
    }

    /// The error of an answer that cannot be one to the question.
    pub(super) fn contradicts(&self, answered: &PeerInfo) -> PeerError {
        PeerError::OtherPeer { asked: self.clone(), answered: answered.clone() }
    }
}

impl fmt::Display for Asked {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => write!(f, "the peer {id}"),
            Self::Name(name) => write!(f, "the peer named {name:?}"),
            Self::Names(prefix) => write!(f, "further peers whose names begin with {prefix:?}"),
            Self::Everybody => write!(f, "everybody"),
            Self::Service { name, except } => {
                write!(f, "a provider of {name:?} beside the {} that are known", except.len())
            }
        }
    }
}

/// Whose names were pinned, see [`NodeBuilder::pin`](crate::NodeBuilder::pin).
#[derive(Debug, Clone, Default)]
pub(crate) struct Pins(HashMap<String, PeerId>);

impl Pins {
    pub(super) fn insert(&mut self, name: String, id: PeerId) {
        self.0.insert(name, id);
    }

    /// Whether some name is pinned to this id.
    pub(crate) fn has(&self, id: PeerId) -> bool {
        self.0.values().any(|pinned| *pinned == id)
    }

    /// Whether the name of a peer is pinned.
    ///
    /// # Errors
    /// [`PeerError::NotPinned`] if it is pinned to somebody else.
    pub(crate) fn check(&self, answered: &PeerInfo) -> Result<bool, PeerError> {
        let Some(name) = answered.name.as_deref() else {
            return Ok(false);
        };
        match self.0.get(name) {
            None => Ok(false),
            Some(pinned) if *pinned == answered.id => Ok(true),
            Some(pinned) => {
                let (name, pinned, answered) = (name.into(), *pinned, answered.id);
                Err(PeerError::NotPinned { name, pinned, answered })
            }
        }
    }
}
