//! What a connection tells of its channels.

use crate::options::Applicant;
use crate::remote::Malicious;
use bytes::Bytes;
use crosspoint_hub::command::Peer as PeerInfo;
use crosspoint_hub::{MemberNumber, Reason};

/// What waits for who reads a channel: an event, or a message for its objects.
#[derive(Debug)]
pub(crate) enum Item<E> {
    Event(E),
    Call {
        /// `None` from the owner.
        from: Option<MemberNumber>,
        kind: u8,
        payload: Bytes,
    },
}

/// What an owner hears.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum OwnerEvent {
    /// Somebody is a member now.
    Entered {
        /// The newcomer's number: the lowest that was free, from 0.
        member: MemberNumber,
        /// Who it is. A peote-server does not tell: the id is zero there.
        peer: PeerInfo,
    },
    /// A member has gone; its number is free for somebody else.
    Left {
        /// Who has gone.
        member: MemberNumber,
        /// [`Left`](Reason::Left), [`ConnectionLost`](Reason::ConnectionLost),
        /// [`Kicked`](Reason::Kicked) or [`Banned`](Reason::Banned).
        reason: Reason,
    },
    /// A message, or in raw mode a piece.
    Message {
        /// Who sent it.
        member: MemberNumber,
        /// The bytes.
        data: Bytes,
    },
    /// Somebody wants in, see [`ChannelOptions::approve`](crate::ChannelOptions::approve). It waits
    /// for [`Owner::admit`](crate::Owner::admit) or [`Owner::refuse`](crate::Owner::refuse).
    Knock(Applicant),
    /// A member has registered an object, which can be called now.
    Announced {
        /// Whose object it is.
        member: MemberNumber,
        /// Its id.
        object: u8,
    },
    /// A member has sent what a well-behaved program would not send. Nothing came of it.
    Malicious {
        /// Who it was.
        member: MemberNumber,
        /// What was wrong.
        error: Malicious,
    },
    /// The hub's operator has closed the channel, or the connection to the hub has ended, and the channel with it.
    /// Nothing follows.
    Closed {
        /// Why.
        reason: Reason,
    },
}

/// What a member hears.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum MemberEvent {
    /// A message, or in raw mode a piece.
    Message {
        /// In a room the member that sent it; `None` from an owner.
        from: Option<MemberNumber>,
        /// The bytes.
        data: Bytes,
    },
    /// In a room, with [`presence`](crate::EnterOptions::presence): another is there.
    OtherEntered {
        /// The other's number.
        member: MemberNumber,
        /// Who it is.
        peer: PeerInfo,
    },
    /// In a room, with [`presence`](crate::EnterOptions::presence): another has gone.
    OtherLeft {
        /// The other's number, free for somebody else now.
        member: MemberNumber,
        /// Why.
        reason: Reason,
    },
    /// The other side has registered an object, which can be called now.
    Announced {
        /// In a room the member whose object it is; `None` for an owner's.
        from: Option<MemberNumber>,
        /// Its id.
        object: u8,
    },
    /// Somebody has sent what a well-behaved program would not send. Nothing came of it.
    Malicious {
        /// In a room the member that sent it; `None` from an owner.
        from: Option<MemberNumber>,
        /// What was wrong.
        error: Malicious,
    },
    /// The owner's connection is lost, and it may come back. What is sent to it waits.
    OwnerAway,
    /// The owner is back.
    OwnerBack,
    /// The owner has gone, and another is the owner now. What the former one had not read is
    /// lost, and calls that waited for it have failed. Everything from now on is from the new one.
    OwnerChanged {
        /// Who it is now.
        peer: PeerInfo,
    },
    /// The owner has gone and this member, its [successor](crate::Owner::set_successor), is the owner
    /// now: [`Member::into_owner`](crate::Member::into_owner) gives the channel. Nothing follows here.
    Inherited,
    /// The membership has ended. Nothing follows.
    Ended {
        /// What the owner did or what became of it, or why the connection to the hub has ended.
        reason: Reason,
    },
}
