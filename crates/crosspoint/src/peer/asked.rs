//! What was asked of the hub, to be compared with what it answers. Nothing but encryption proves
//! that an answer is true; one that is about somebody else is certainly not.

use crate::{PeerId, PeerInfo};
use crosspoint_hub::command::{Addressee, Query};
use std::fmt;

/// The peer that the hub was asked for.
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
    pub(super) fn link(to: &Addressee, except: &[PeerId]) -> Self {
        match to {
            Addressee::Peer(id) => Self::Id(*id),
            Addressee::Name(name) => Self::Name(name.as_str().into()),
            Addressee::Service(name) => {
                Self::Service { name: name.as_str().into(), except: except.into() }
            }
        }
    }

    pub(crate) fn look(query: &Query) -> Self {
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
    pub(super) fn fits(&self, answered: &PeerInfo) -> bool {
        let name = answered.name.as_deref();
        match self {
            Self::Id(id) => answered.id == *id,
            Self::Name(asked) => name == Some(asked),
            Self::Names(prefix) => name.is_some_and(|name| name.starts_with(prefix)),
            Self::Everybody => true,
            Self::Service { except, .. } => !except.contains(&answered.id),
        }
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
