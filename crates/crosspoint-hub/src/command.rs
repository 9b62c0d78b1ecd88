//! The vocabulary: what an endpoint asks of the hub, and what the hub tells it.
//!
//! The server role of a protocol turns bytes into [`Command`]s and [`Event`]s into bytes; its
//! client role does the reverse with the same two types.

use crate::ids::{ChannelName, InNumber, LinkNumber, MemberNumber, OwnNumber, PeerId, PeerName};
use crate::payload::{Ask, Outcome, Payload};
use crate::presence::{News, OtherNews, PeerNews};
use crate::reason::Reason;
use crate::secrecy::Fingerprint;
use crate::wire::{Part, Place};
use bytes::Bytes;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

pub use crate::peer::Peer;
pub use crate::wire::Mode;

/// What an endpoint asks of the hub.
///
/// `request` is chosen by the endpoint and comes back in the answer. Commands without one have
/// no answer. Numbers that name nothing are no error: they happen in every race between sending
/// and leaving, so such commands have no effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Who the endpoint is. First, and once. Answer: [`Event::Welcome`], or the session ends.
    Hello(Hello),
    /// Opens a channel that this session owns. Answer: [`Event::Created`] or [`Event::Refused`].
    Create {
        /// Returned in the answer.
        request: u32,
        /// Unique among channels and rooms.
        name: ChannelName,
        /// How the channel behaves.
        options: ChannelOptions,
    },
    /// Enters a channel or room. Answer: [`Event::Entered`] or [`Event::Refused`].
    Enter {
        /// Returned in the answer.
        request: u32,
        /// Name of the channel or room.
        name: ChannelName,
        /// How to enter.
        options: EnterOptions,
    },
    /// Leaves a channel or room.
    Leave(InNumber),
    /// Closes an own channel.
    Delete(OwnNumber),
    /// Names the member to whom an own channel goes when its owner goes, or nobody. Answer:
    /// [`Event::Done`] as soon as that is settled, or [`Event::Refused`].
    Succeed {
        /// Returned in the answer.
        request: u32,
        /// The own channel.
        channel: OwnNumber,
        /// The successor.
        member: Option<MemberNumber>,
    },
    /// Gives an own channel to the successor at once. Without one it closes.
    Resign(OwnNumber),
    /// Sends a message, or a part of one.
    Send {
        /// Who is to have it.
        to: Target,
        /// The message or part.
        part: Part,
    },
    /// Throws a member out of an own channel.
    Kick {
        /// The own channel.
        channel: OwnNumber,
        /// The member to throw out.
        member: MemberNumber,
        /// Keeps the member out for a time as well.
        ban: Option<Ban>,
    },
    /// Lifts all bans of a peer id in an own channel, those of its address included.
    Unban {
        /// The own channel.
        channel: OwnNumber,
        /// The banned peer.
        peer: PeerId,
    },
    /// Answers an [`Event::Knock`].
    Admit {
        /// The own channel.
        channel: OwnNumber,
        /// The ticket of the knock.
        ticket: u32,
        /// Whether the endpoint may enter.
        admit: bool,
    },
    /// Opens a link to another session. Answer: [`Event::Linked`] or [`Event::Refused`].
    Link {
        /// Returned in the answer.
        request: u32,
        /// To whom.
        to: Addressee,
        /// How.
        options: LinkOptions,
    },
    /// Ends a link.
    Unlink {
        /// The link.
        link: LinkNumber,
        /// What the other side is told.
        reason: Reason,
    },
    /// Offers a service, or takes the offer back. Answer: [`Event::Done`] or [`Event::Refused`].
    Provide {
        /// Returned in the answer.
        request: u32,
        /// The service's name.
        service: PeerName,
        /// Whether it is offered from now on.
        on: bool,
    },
    /// Asks who is there. Answer: [`Event::Found`] or [`Event::Refused`].
    Look {
        /// Returned in the answer.
        request: u32,
        /// Whom to look for.
        query: Query,
    },
    /// From now on, tell who comes and goes, or no longer. Answer: [`Event::Done`] or
    /// [`Event::Refused`].
    Watch {
        /// Returned in the answer.
        request: u32,
        /// Of whom to tell.
        whom: Watched,
    },
    /// Asks the hub's program itself. Answer: [`Event::Answer`], if it has one.
    Ask {
        /// Returned in the answer.
        ticket: u32,
        /// What is asked.
        ask: Ask,
    },
    /// Everything on the connection is encrypted from now on, or cannot be: the answer to
    /// [`Event::Secure`], and said as well if the endpoint has asked for it.
    Secured {
        /// The fingerprint of the keys, or why there are none.
        outcome: Result<Fingerprint, Reason>,
    },
}

/// To whom a link goes.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
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

/// Of whom a session is told that they come and go.
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

/// Behind whom a list of all goes on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum After {
    /// The session with this name, or where it would be.
    Name(PeerName),
    /// The session without a name that has this id, or where it would be.
    Peer(PeerId),
}

/// Whom to look for.
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
    /// The most peers in one [`Event::Found`].
    pub const FOUND_MAX: usize = 100;
}

impl Command {
    /// A plain create command. Names above 255 bytes are cut.
    pub fn create(request: u32, name: &str) -> Self {
        Self::Create { request, name: cut(name), options: ChannelOptions::default() }
    }

    /// A plain enter command. Names above 255 bytes are cut.
    pub fn enter(request: u32, name: &str) -> Self {
        Self::Enter { request, name: cut(name), options: EnterOptions::default() }
    }
}

fn cut(name: &str) -> ChannelName {
    let end = name.len().min(ChannelName::BYTES_MAX);
    ChannelName::new(name.as_bytes()[..end].to_vec()).expect("cut to the longest name")
}

/// Who an endpoint says it is.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// Its own id; the hub gives one if absent.
    pub peer: Option<PeerId>,
    /// Whether the endpoint has proven that it owns the key that the id comes from.
    pub proven: bool,
    /// The name to be found by, if any, of at most [`PeerName::BYTES_MAX`]. Unique in the hub.
    pub name: Option<String>,
    /// Credentials, if the endpoint has some: the hub's access token, or what the one who checks
    /// them wants.
    pub token: Option<Bytes>,
    /// Whether the endpoint stops to send to a target when it is told to ([`Event::Paused`]).
    pub pauses: bool,
}

impl fmt::Debug for Hello {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, proven, name, token, pauses } = self;
        f.debug_struct("Hello")
            .field("peer", peer)
            .field("proven", proven)
            .field("name", name)
            .field("token", &token.as_ref().map(|_| "***"))
            .field("pauses", pauses)
            .finish()
    }
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
    /// The owner is asked about everyone who wants to enter ([`Event::Knock`]).
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
    /// In a room: tell who is there, who comes and who goes.
    pub presence: bool,
}

impl EnterOptions {
    /// The longest credentials, in bytes. Above: refused with [`Reason::TooLarge`].
    pub const CREDENTIALS_BYTES_MAX: usize = 4096;
}

impl fmt::Debug for EnterOptions {
    /// Without password and credentials.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { mode, password, credentials, make_room, presence } = self;
        f.debug_struct("EnterOptions")
            .field("mode", mode)
            .field("password", &password.as_ref().map(|_| "***"))
            .field("credentials", &(!credentials.is_empty()).then_some("***"))
            .field("make_room", make_room)
            .field("presence", presence)
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

/// Who is to have a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The owner of an entered channel, or everybody else in an entered room.
    Up(InNumber),
    /// One member of an own channel.
    Member(OwnNumber, MemberNumber),
    /// All members of an own channel, or all but one.
    Everyone(OwnNumber, Option<MemberNumber>),
    /// The other side of a link.
    Link(LinkNumber),
}

/// What the hub tells an endpoint.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The hello was accepted.
    Welcome {
        /// The id under which the hub knows the endpoint.
        peer: PeerId,
    },
    /// The channel exists now.
    Created {
        /// The command's number.
        request: u32,
        /// How commands name the channel.
        channel: OwnNumber,
    },
    /// The endpoint is a member now.
    Entered(Entered),
    /// A command had no effect.
    Refused {
        /// The command's number.
        request: u32,
        /// Whether it was a create command.
        create: bool,
        /// Why.
        reason: Reason,
    },
    /// To an owner: somebody entered.
    MemberEntered {
        /// The own channel.
        channel: OwnNumber,
        /// The newcomer's number.
        member: MemberNumber,
        /// Who it is.
        peer: Peer,
        /// The largest chunk, if this member sees messages and the owner pieces or the reverse.
        chunk: Option<u32>,
        /// Whether the member's protocol can carry replies to calls.
        replies: bool,
    },
    /// To an owner: a member has gone. Nothing of it follows.
    MemberLeft {
        /// The own channel.
        channel: OwnNumber,
        /// Who has gone.
        member: MemberNumber,
        /// Why.
        reason: Reason,
    },
    /// To an owner that decides about each entry: somebody wants in.
    Knock {
        /// The own channel.
        channel: OwnNumber,
        /// To be returned in [`Command::Admit`].
        ticket: u32,
        /// Who it is.
        peer: Peer,
        /// What the endpoint gave.
        credentials: Bytes,
    },
    /// To a member: the membership has ended. Nothing of the channel follows.
    Ended {
        /// The entered channel.
        channel: InNumber,
        /// Why.
        reason: Reason,
    },
    /// To a member of a room that asked for presence: another is there.
    OtherEntered {
        /// The entered room.
        channel: InNumber,
        /// The other's number.
        member: MemberNumber,
        /// Who it is.
        peer: Peer,
    },
    /// To a member of a room that asked for presence: another has gone.
    OtherLeft {
        /// The entered room.
        channel: InNumber,
        /// The other's number.
        member: MemberNumber,
        /// Why.
        reason: Reason,
    },
    /// To a member of a channel with an owner: something has become of the owner.
    Owner {
        /// The entered channel.
        channel: InNumber,
        /// What.
        news: OwnerNews,
    },
    /// To a member: the owner names it as its successor, or no longer. Its session acts on it and
    /// nobody else is told.
    Heir {
        /// The entered channel.
        channel: InNumber,
        /// Which naming, if it is named.
        naming: Option<u32>,
    },
    /// There is a link now.
    Linked {
        /// The command's number, to the one who opened it.
        request: Option<u32>,
        /// How commands name the link.
        link: LinkNumber,
        /// Who is at the other side.
        peer: Peer,
        /// What the opener gave.
        purpose: Bytes,
    },
    /// A link has ended. Nothing of it follows.
    Unlinked {
        /// The link.
        link: LinkNumber,
        /// Why.
        reason: Reason,
    },
    /// The answer to [`Command::Look`].
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
    /// To a member of a room that asked for presence: others are there, have come or have gone. The
    /// same as [`Event::OtherEntered`] and [`Event::OtherLeft`] one by one.
    Others {
        /// The entered room.
        channel: InNumber,
        /// What happened.
        news: Arc<News<OtherNews>>,
        /// Which of it is about the member itself, and not for it.
        but: Option<usize>,
    },
    /// Sessions with names have come and gone. The same as [`Event::PeerCame`] and
    /// [`Event::PeerWent`] one by one.
    Peers {
        /// What happened.
        news: Arc<News<PeerNews>>,
        /// From where on it is for this endpoint.
        from: usize,
    },
    /// A target has no room: nothing more is to be sent to it until [`Event::Resumed`]. Only to
    /// endpoints that said that they can do that ([`Hello::pauses`]).
    Paused {
        /// The target, a single receiver.
        to: Target,
    },
    /// A target has room again.
    Resumed {
        /// The target.
        to: Target,
        /// Which outbox it was. The number may name another one meanwhile.
        of: u64,
    },
    /// A command without a further answer was carried out.
    Done {
        /// The command's number.
        request: u32,
    },
    /// The hub's program says something. Only to protocols [that know it](crate::wire::Profile::home).
    Told {
        /// What it says.
        payload: Payload,
    },
    /// The hub's program wants the connection encrypted. Only to protocols
    /// [that can do that](crate::wire::Profile::secures). Answer: [`Command::Secured`], or the session ends.
    Secure,
    /// The answer to [`Command::Ask`]. The hub's program may also give none.
    Answer {
        /// The command's number.
        ticket: u32,
        /// What it says.
        outcome: Outcome,
    },
    /// A message, or a part of one. Client roles give it. The hub hands data over encoded (see
    /// [`crate::wire`]), but to protocols [that need to](crate::wire::Profile::stateful).
    Data {
        /// Where it arrived, and from whom.
        place: Place,
        /// The message or part.
        part: Part,
    },
    /// The hub has closed the session, or the connection was lost. To a session's driver: it is to
    /// end.
    Closed {
        /// Why.
        reason: Reason,
    },
}

impl Event {
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
            Self::Peers { news, from } => {
                news.list.iter().skip(*from).for_each(|news| give(&news.event()));
            }
            other => give(other),
        }
    }
}

impl OtherNews {
    /// The same as an event of its own.
    pub fn event(&self, channel: InNumber) -> Event {
        let member = self.member;
        match &self.news {
            Ok(peer) => Event::OtherEntered { channel, member, peer: peer.clone() },
            Err(reason) => Event::OtherLeft { channel, member, reason: *reason },
        }
    }
}

impl PeerNews {
    /// The same as an event of its own.
    pub fn event(&self) -> Event {
        let peer = self.peer.clone();
        if self.came { Event::PeerCame { peer } } else { Event::PeerWent { peer } }
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
    /// channel follows as [`Event::MemberEntered`].
    You(OwnNumber),
}

/// What a new member is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Entered {
    /// The command's number.
    pub request: u32,
    /// How commands name the channel.
    pub channel: InNumber,
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
