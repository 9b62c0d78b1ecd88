//! The sessions that are present, and the services that they provide.

use crate::ids::{PeerId, PeerName};
use crate::peer::Peer;
use crate::presence::{News, PeerNews};
use crate::reason::Reason;
use std::sync::Arc;

/// What an endpoint asks of the directory.
#[derive(Debug, Clone, PartialEq)]
pub enum DirectoryCommand {
    /// Offers a service, or takes the offer back. Answer: [`Event::Done`](super::Event::Done) or [`Event::Refused`](super::Event::Refused).
    Provide {
        /// Returned in the answer.
        request: u32,
        /// The service's name.
        service: PeerName,
        /// Whether it is offered from now on.
        on: bool,
    },
    /// Asks who is there. Answer: [`DirectoryEvent::Found`] or [`Event::Refused`](super::Event::Refused).
    Look {
        /// Returned in the answer.
        request: u32,
        /// The sessions to look for.
        query: Query,
    },
    /// From now on, tell who comes and goes, or no longer. Answer: [`Event::Done`](super::Event::Done) or
    /// [`Event::Refused`](super::Event::Refused).
    Watch {
        /// Returned in the answer.
        request: u32,
        /// The sessions to report.
        whom: Watched,
    },
}

/// The sessions whose coming and going a watcher is told about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Watched {
    /// Of nobody.
    #[default]
    Nobody,
    /// Of all that have a name.
    Named,
    /// Of all.
    Everybody,
}

/// The place after which a list of all sessions continues.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// The session with this name, or where it would be.
    Name(PeerName),
    /// The session without a name that has this id, or where it would be.
    Peer(PeerId),
}

/// The sessions to look for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Query {
    /// The session with this id.
    Peer(PeerId),
    /// The session with this name.
    Name(PeerName),
    /// Sessions whose names begin so, in the order of their names.
    Names {
        /// The beginning.
        prefix: String,
        /// Only those behind this name.
        after: Option<PeerName>,
    },
    /// Those that provide this service.
    Service(PeerName),
    /// All: those with a name in the order of their names, then the others in the order of their ids.
    Everybody {
        /// Only those behind this one.
        after: Option<After>,
    },
}

impl Query {
    /// The most peers in one [`DirectoryEvent::Found`].
    pub const FOUND_MAX: usize = 100;
}

/// What the directory tells.
#[derive(Debug, Clone, PartialEq)]
pub enum DirectoryEvent {
    /// The answer to [`DirectoryCommand::Look`].
    Found {
        /// The command's number.
        request: u32,
        /// Who was found, at most [`Query::FOUND_MAX`].
        peers: Vec<Peer>,
        /// Whether there are more behind the last one.
        more: bool,
    },
    /// A session with a name has come.
    PeerCame {
        /// Who.
        peer: Peer,
    },
    /// A session with a name has gone.
    PeerWent {
        /// Who.
        peer: Peer,
    },
    /// Sessions with names have come and gone. The same as [`DirectoryEvent::PeerCame`] and
    /// [`DirectoryEvent::PeerWent`] one by one.
    Peers {
        /// What happened.
        news: Arc<News<PeerNews>>,
        /// From where on it is for this endpoint.
        from: usize,
    },
    /// Another session has the name of this one as well ([`Duplicates::Newest`](crate::peers::Duplicates::Newest)), and the
    /// newest is found by it. To the newest, and to the one that was found until then.
    NameShared,
    /// A claim of the session is answered ([`directory`](crate::directory)). To the session alone, its protocol is not
    /// told.
    ClaimAnswered {
        /// The number of the claim.
        claim: u64,
        /// Whether it is granted.
        answer: Result<(), Reason>,
    },
}

impl DirectoryEvent {
    /// Gives the event, or those that it stands for.
    pub fn each(&self, mut give: impl FnMut(&Self)) {
        match self {
            Self::Peers { news, from } => {
                news.list.iter().skip(*from).for_each(|news| give(&news.event()));
            }
            other => give(other),
        }
    }
}

impl PeerNews {
    /// The same as an event of its own.
    pub fn event(&self) -> DirectoryEvent {
        let peer = self.peer.clone();
        if self.came {
            DirectoryEvent::PeerCame { peer }
        } else {
            DirectoryEvent::PeerWent { peer }
        }
    }
}
