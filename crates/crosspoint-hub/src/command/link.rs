//! Links to other sessions.

use crate::ids::{LinkNumber, PeerId, PeerName};
use crate::peer::Peer;
use crate::reason::Reason;
use bytes::Bytes;

/// What an endpoint asks about links.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkCommand {
    /// Opens a link to another session. Answer: [`LinkEvent::Opened`] or [`Event::Refused`](super::Event::Refused).
    Open {
        /// Returned in the answer.
        request: u32,
        /// To whom.
        to: Addressee,
        /// How.
        options: LinkOptions,
    },
    /// Ends a link.
    Close {
        /// The link.
        link: LinkNumber,
        /// What the other side is told.
        reason: Reason,
    },
}

/// The addressee of a link.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Addressee {
    /// The session with this id.
    Peer(PeerId),
    /// The session with this name.
    Name(PeerName),
    /// One of the sessions that provide this service, in turns.
    Service(PeerName),
}

/// How a link is opened.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct LinkOptions {
    /// Shown to the other side; at most [`LinkOptions::PURPOSE_BYTES_MAX`].
    pub purpose: Bytes,
    /// Providers of the service that are not wanted, as there are links to them already. At most
    /// [`LinkOptions::EXCEPT_MAX`].
    pub except: Vec<PeerId>,
    /// Whether it is refused with [`Reason::AlreadyEntered`] if the two sessions have such a link already,
    /// whichever of them has opened that. Links that are not single do not count. For gateways: the native
    /// protocol does not say it.
    pub single: bool,
}

impl LinkOptions {
    /// The longest purpose, in bytes. Above: refused with [`Reason::TooLarge`].
    pub const PURPOSE_BYTES_MAX: usize = 4096;
    /// The most excepted providers. Above: refused with [`Reason::TooLarge`].
    pub const EXCEPT_MAX: usize = 64;
}

/// What the hub tells about links.
#[derive(Debug, Clone, PartialEq)]
pub enum LinkEvent {
    /// There is a link now.
    Opened {
        /// The command's number, for the opener.
        request: Option<u32>,
        /// How commands name the link.
        link: LinkNumber,
        /// The identity of the other side.
        peer: Peer,
        /// What the opener gave.
        purpose: Bytes,
    },
    /// A link has ended. Nothing of it follows.
    Closed {
        /// The link.
        link: LinkNumber,
        /// Why.
        reason: Reason,
    },
}
