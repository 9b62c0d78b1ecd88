//! Channels and rooms.

use super::Command;
use crate::ids::{ChannelName, JoinedChannelId, MemberNumber, OwnedChannelId, PeerId};
use crate::peer::Peer;
use crate::presence::{News, OtherNews};
use crate::reason::Reason;
use crate::wire::Mode;
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// What an endpoint asks about channels and rooms.
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelCommand {
    /// Opens a channel that this session owns. Answer: [`ChannelEvent::Created`] or [`Event::Refused`](super::Event::Refused).
    Create {
        /// Returned in the answer.
        request: u32,
        /// Unique among channels and rooms.
        name: ChannelName,
        /// How the channel behaves.
        options: ChannelOptions,
    },
    /// Enters a channel or room. Answer: [`ChannelEvent::Entered`] or [`Event::Refused`](super::Event::Refused).
    Enter {
        /// Returned in the answer.
        request: u32,
        /// Name of the channel or room.
        name: ChannelName,
        /// How to enter.
        options: EnterOptions,
    },
    /// Leaves a channel or room.
    Leave(JoinedChannelId),
    /// Takes back the wish to enter a channel, if its owner has not decided about it yet. Neither this nor the wish is
    /// answered then.
    Withdraw(ChannelName),
    /// Ends a room that was made on entry for all that are in it, as if its owner had closed it. From any other channel
    /// it is the same as to leave it. Whose rooms a client may end is up to its protocol, and most have no such command.
    Dissolve(JoinedChannelId),
    /// Closes an own channel.
    Delete(OwnedChannelId),
    /// Names the member to whom an own channel goes when its owner goes, or nobody. Answer:
    /// [`Event::Done`](super::Event::Done) as soon as that is settled, or [`Event::Refused`](super::Event::Refused).
    Succeed {
        /// Returned in the answer.
        request: u32,
        /// The own channel.
        channel: OwnedChannelId,
        /// The successor.
        member: Option<MemberNumber>,
    },
    /// Gives an own channel to the successor at once. Without one it closes.
    Resign(OwnedChannelId),
    /// Throws a member out of an own channel.
    Kick {
        /// The own channel.
        channel: OwnedChannelId,
        /// The member to throw out.
        member: MemberNumber,
        /// Keeps the member out for a time as well.
        ban: Option<Ban>,
    },
    /// Lifts all bans of a peer id in an own channel, those of its address included.
    Unban {
        /// The own channel.
        channel: OwnedChannelId,
        /// The banned peer.
        peer: PeerId,
    },
    /// Answers an [`ChannelEvent::Knock`].
    Admit {
        /// The own channel.
        channel: OwnedChannelId,
        /// The ticket of the knock.
        ticket: u32,
        /// Whether the endpoint may enter.
        admit: bool,
    },
}

impl Command {
    /// A plain create command. Names above 255 bytes are cut.
    pub fn create(request: u32, name: &str) -> Self {
        Self::Channel(ChannelCommand::Create {
            request,
            name: cut(name),
            options: ChannelOptions::default(),
        })
    }

    /// A plain enter command. Names above 255 bytes are cut.
    pub fn enter(request: u32, name: &str) -> Self {
        Self::Channel(ChannelCommand::Enter {
            request,
            name: cut(name),
            options: EnterOptions::default(),
        })
    }
}

fn cut(name: &str) -> ChannelName {
    let end = name.len().min(ChannelName::BYTES_MAX);
    ChannelName::new(name.as_bytes()[..end].to_vec()).expect("cut to the longest name")
}

/// How a new channel behaves.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct ChannelOptions {
    /// How messages are framed towards endpoints without message borders.
    pub mode: Mode,
    /// The most members at a time, if fewer than the hub allows.
    pub members_max: Option<u32>,
    /// A member that enters has to give the same bytes. At most [`ChannelOptions::PASSWORD_BYTES_MAX`].
    pub password: Option<Bytes>,
    /// The owner decides about each entry ([`ChannelEvent::Knock`]).
    pub approve: bool,
}

impl ChannelOptions {
    /// The most bytes of a password. Above: `TooLarge`.
    pub const PASSWORD_BYTES_MAX: usize = 1024;
}

impl fmt::Debug for ChannelOptions {
    /// Without the password.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, members_max, password, approve } = self;
        f.debug_struct("ChannelOptions")
            .field("mode", mode)
            .field("members_max", members_max)
            .field("password", &password.as_ref().map(|_| "***"))
            .field("approve", approve)
            .finish()
    }
}

/// How to enter a channel or room.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct EnterOptions {
    /// The mode of a channel whose owner's protocol has no message borders and cannot say it.
    /// Ignored where the channel itself has a mode.
    pub mode: Mode,
    /// The channel's password.
    pub password: Option<Bytes>,
    /// Shown to an owner that decides about each entry; at most
    /// [`EnterOptions::CREDENTIALS_BYTES_MAX`].
    pub credentials: Bytes,
    /// If nothing has this name, and the hub allows it, a room of this name is made.
    pub make_room: bool,
    /// In a room: report which members are present, come and go.
    pub presence: bool,
    /// Only speak: the member gets no messages. In a room nobody is told of it and it is told of nobody, and a room that
    /// was made on entry does not stay for it: the room ends with its last other member, and the silent ones are told
    /// [`Reason::ClosedByOwner`]. It makes no room ([`EnterOptions::make_room`]). The owner of a channel is told of it as
    /// of any member. It counts where members are bounded.
    pub silent: bool,
}

impl EnterOptions {
    /// The longest credentials, in bytes. Above: refused with [`Reason::TooLarge`].
    pub const CREDENTIALS_BYTES_MAX: usize = 4096;
}

impl fmt::Debug for EnterOptions {
    /// Without password and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, password, credentials, make_room, presence, silent } = self;
        f.debug_struct("EnterOptions")
            .field("mode", mode)
            .field("password", &password.as_ref().map(|_| "***"))
            .field("credentials", &(!credentials.is_empty()).then_some("***"))
            .field("make_room", make_room)
            .field("presence", presence)
            .field("silent", silent)
            .finish()
    }
}

/// Keeps a member out after a kick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Ban {
    /// For how long; `None` for as long as the channel lives.
    pub time: Option<Duration>,
    /// Whether everybody from the member's address is kept out too.
    pub address: bool,
}

/// What the hub tells about channels and rooms.
#[derive(Debug, Clone, PartialEq)]
pub enum ChannelEvent {
    /// The channel exists now.
    Created {
        /// The command's number.
        request: u32,
        /// How commands name the channel.
        channel: OwnedChannelId,
    },
    /// The endpoint is a member now.
    Entered(Entered),
    /// To an owner: a session has entered.
    MemberEntered {
        /// The own channel.
        channel: OwnedChannelId,
        /// The newcomer's number.
        member: MemberNumber,
        /// Its identity.
        peer: Peer,
        /// The largest chunk, if this member sees messages and the owner pieces or the reverse.
        chunk: Option<u32>,
        /// Whether the member's protocol can carry replies to calls.
        replies: bool,
    },
    /// To an owner: a member has gone. Nothing of it follows.
    MemberLeft {
        /// The own channel.
        channel: OwnedChannelId,
        /// The member that has gone.
        member: MemberNumber,
        /// Why.
        reason: Reason,
    },
    /// To an owner that can be told ([`Hello::deletes`](super::Hello::deletes)): the hub's operator has closed the
    /// channel. Nothing of it follows.
    Deleted {
        /// The own channel.
        channel: OwnedChannelId,
        /// Why.
        reason: Reason,
    },
    /// To an owner that decides about each entry: a session requests to enter.
    Knock {
        /// The own channel.
        channel: OwnedChannelId,
        /// To be returned in [`ChannelCommand::Admit`].
        ticket: u32,
        /// Its identity.
        peer: Peer,
        /// What the endpoint gave.
        credentials: Box<[u8]>,
    },
    /// To a member: the membership has ended. Nothing of the channel follows.
    Ended {
        /// The entered channel.
        channel: JoinedChannelId,
        /// Why.
        reason: Reason,
    },
    /// To a member of a room that asked for presence: another is there.
    OtherEntered {
        /// The entered room.
        channel: JoinedChannelId,
        /// The other's number.
        member: MemberNumber,
        /// Its identity.
        peer: Peer,
    },
    /// To a member of a room that asked for presence: another has gone.
    OtherLeft {
        /// The entered room.
        channel: JoinedChannelId,
        /// The other's number.
        member: MemberNumber,
        /// Why.
        reason: Reason,
    },
    /// To a member of a room that asked for presence: others are there, have come or have gone. The
    /// same as [`ChannelEvent::OtherEntered`] and [`ChannelEvent::OtherLeft`] one by one.
    Others {
        /// The entered room.
        channel: JoinedChannelId,
        /// What happened.
        news: Arc<News<OtherNews>>,
        /// Which of it is about the member itself, and not for it.
        but: Option<usize>,
    },
    /// To a member of a channel with an owner: something has become of the owner.
    Owner {
        /// The entered channel.
        channel: JoinedChannelId,
        /// What.
        news: OwnerNews,
    },
    /// To a member: the owner names it as its successor, or no longer. Its session acts on it and
    /// nobody else is told.
    Nominated {
        /// The entered channel.
        channel: JoinedChannelId,
        /// Which nomination; `None` if it is revoked.
        nomination: Option<u32>,
    },
}

impl ChannelEvent {
    /// Gives the event, or those that it stands for.
    pub fn each(&self, mut give: impl FnMut(&Self)) {
        match self {
            Self::Others { channel, news, but } => {
                for (index, news) in news.list.iter().enumerate() {
                    if Some(index) != *but {
                        give(&news.event(*channel));
                    }
                }
            }
            other => give(other),
        }
    }
}

impl OtherNews {
    /// The same as an event of its own.
    pub fn event(&self, channel: JoinedChannelId) -> ChannelEvent {
        let member = self.member;
        match &self.news {
            Ok(peer) => ChannelEvent::OtherEntered { channel, member, peer: peer.clone() },
            Err(reason) => ChannelEvent::OtherLeft { channel, member, reason: *reason },
        }
    }
}

/// What has become of a channel's owner.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum OwnerNews {
    /// Its connection is lost and it may come back. What is sent to it waits.
    Away,
    /// It is back.
    Back,
    /// It has gone, and another is the owner now. What the former one had not read is lost.
    Changed(Peer),
    /// It has gone, and the one who is told is the owner now, and a member no longer. Who is in the
    /// channel follows as [`ChannelEvent::MemberEntered`].
    You(OwnedChannelId),
}

/// What a new member is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// The command's number.
    pub request: u32,
    /// How commands name the channel.
    pub channel: JoinedChannelId,
    /// The own number inside the channel.
    pub member: MemberNumber,
    /// The mode that holds for this member.
    pub mode: Mode,
    /// The largest chunk, if this member sees pieces and the other side messages or the reverse.
    pub chunk: Option<u32>,
    /// Whether the owner's protocol can carry replies to calls.
    pub replies: bool,
    /// Whether this is a room of the hub.
    pub room: bool,
}
