//! Who may have a name in several hubs together: claims, and the one who decides about them.
//!
//! A hub by itself needs nothing of this: its own tables say at once who has which name. A program that joins
//! several hubs gives each of them a [`Directory`] ([`HubOptions::directory`](crate::HubOptions::directory)).

use crate::command::Addressee;
use crate::ids::{ChannelName, PeerId, PeerName};
use crate::reason::Reason;
use std::fmt;
use std::sync::Arc;

/// Decides about the claims of the sessions of a hub, in addition to what the hub itself knows.
///
/// A claim is answered at once, or later with [`Hub::claim_answered`](crate::Hub::claim_answered). The session goes on
/// meanwhile: its other commands are carried out, and their answers may come before. A channel that waits for its
/// claim does not exist yet, so entering it is refused with [`Reason::NoSuchName`], or makes a room of its name. Only
/// the hello waits: nothing more is read of a session until its claim is answered.
///
/// Each claim is by itself. A session that creates a channel twice while the first command waits makes two claims:
/// the one that is granted first makes the channel, and the other is refused with [`Reason::NameTaken`] by the directory
/// or by the hub. What the hub checks by itself (permissions, limits, its own names) it checks again when a
/// claim is granted, as it may have changed meanwhile.
///
/// The hub releases every claim once, except one of which it knows that it was refused: when the channel ends, when the
/// session of an id and name ends, when a link was opened or refused, and when nobody waits for the answer any more because
/// the session has ended or [`Limits::claim_max`](crate::Limits::claim_max) has passed. An answer may cross with that.
/// It has no effect then, and what it grants counts as released. A channel that passes to a successor keeps its claim.
///
/// The task of the session calls both functions, with no lock of the hub held, so they have to return at once.
pub trait Directory: Send + Sync {
    /// Decides about a claim. One that is [`Answer::Pending`] may be answered before this returns.
    fn claim(&self, id: ClaimId, claim: &Claim<'_>) -> Answer;

    /// A claim is not needed any more, whether it was granted or is still pending. Nothing more comes of it.
    fn release(&self, id: ClaimId);
}

/// Which claim it is. Not used twice in the life of a hub.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ClaimId {
    /// The session that makes it ([`Endpoint::id`](crate::Endpoint::id)).
    pub session: u64,
    /// Its number among the claims of the session.
    pub number: u64,
}

/// What a session asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Claim<'a> {
    /// To create a channel of this name. The name is free in this hub. Rooms belong to one hub, and nobody claims them.
    Channel(&'a ChannelName),
    /// To have an id and a name. Sessions of this hub may have them: then the hub decides by its
    /// [`Duplicates`](crate::peers::Duplicates), so a directory grants that.
    Session {
        /// The id.
        id: PeerId,
        /// The name, if it has one.
        name: Option<&'a PeerName>,
        /// Whether it has proven that the id is its own.
        proven: bool,
        /// Whether its credentials grant it the name.
        granted: bool,
    },
    /// To open a link to a peer. When this is granted, the hub looks for the peer among its own sessions.
    Peer {
        /// The peer, or the service that it is to provide.
        to: &'a Addressee,
        /// Providers of the service that are not wanted.
        except: &'a [PeerId],
    },
}

impl ClaimId {
    /// The number that stands for no claim, but for the wish for what another session has.
    pub(crate) const FOR_HOLDER: u64 = 0;
}

/// What a directory says to a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Answer {
    /// The session gets what it asks for, as far as the hub allows that.
    Granted,
    /// It does not. The session is told why: [`Reason::NameTaken`], [`Reason::IdTaken`] and [`Reason::NoSuchPeer`]
    /// are the usual reasons.
    Refused(Reason),
    /// The answer comes later.
    Pending,
}

/// A claim that was not refused. It is released when this is dropped, which must not happen with a lock held.
pub(crate) struct Claimed {
    /// `None` if there is nothing to release.
    directory: Option<Arc<dyn Directory>>,
    id: ClaimId,
}

impl Claimed {
    /// Makes a claim. Gives it with the answer.
    pub(crate) fn make(
        directory: Arc<dyn Directory>,
        id: ClaimId,
        claim: &Claim<'_>,
    ) -> (Self, Answer) {
        let answer = directory.claim(id, claim);
        (Self { directory: Some(directory), id }, answer)
    }

    /// Which one it is among those of its session.
    pub(crate) fn number(&self) -> u64 {
        self.id.number
    }

    /// The directory has refused it.
    pub(crate) fn refused(mut self) {
        self.directory = None;
    }
}

impl Drop for Claimed {
    fn drop(&mut self) {
        if let Some(directory) = &self.directory {
            directory.release(self.id);
        }
    }
}

impl fmt::Debug for Claimed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Claimed({:?})", self.id)
    }
}
