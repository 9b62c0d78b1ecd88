//! The vocabulary: what an endpoint asks of the hub, and what the hub tells it.
//!
//! The server role of a protocol turns bytes into [`Command`]s and [`Event`]s into bytes; its
//! client role does the reverse with the same two types.
//!
//! Both come in groups, one for each thing that endpoints deal with: [`channel`], [`link`], [`directory`] and
//! [`application`]. A protocol matches the groups that it speaks, and passes over the others in one arm. What
//! belongs to no group (the hello, answers that only say yes or no, data and its flow, encryption of the
//! connection, the end) is in the two types themselves. Something new to deal with is a group of its own.

pub mod application;
pub mod channel;
pub mod directory;
pub mod link;

pub use crate::peer::Peer;
pub use crate::wire::Mode;
pub use application::{ApplicationCommand, ApplicationEvent};
pub use channel::{
    Ban, ChannelCommand, ChannelEvent, ChannelOptions, EnterOptions, Entered, OwnerNews,
};
pub use directory::{After, DirectoryCommand, DirectoryEvent, Query, Watched};
pub use link::{Addressee, LinkCommand, LinkEvent, LinkOptions};

use crate::ids::{JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId, PeerId};
use crate::messages::Run;
use crate::reason::Reason;
use crate::secrecy::Fingerprint;
use crate::wire::{Part, Place};
use bytes::Bytes;
use std::fmt;

/// What an endpoint asks of the hub.
///
/// `request` is chosen by the endpoint and comes back in the answer. Commands without one have
/// no answer. Numbers that name nothing are no error: they happen in every race between sending
/// and leaving, so such commands have no effect.
#[derive(Debug, Clone, PartialEq)]
pub enum Command {
    /// Who the endpoint is. First, and once. Answer: [`Event::Welcome`], or the session ends.
    Hello(Hello),
    /// About channels and rooms.
    Channel(ChannelCommand),
    /// About links.
    Link(LinkCommand),
    /// About the directory.
    Directory(DirectoryCommand),
    /// To the hub application.
    Application(ApplicationCommand),
    /// Everything on the connection is encrypted from now on, or cannot be: the answer to
    /// [`Event::Secure`], and said as well if the endpoint has asked for it.
    Secured {
        /// The fingerprint of the keys, or why there are none.
        outcome: Result<Fingerprint, Reason>,
    },
    /// Sends a message, or a part of one.
    Send {
        /// The receiver.
        to: Target,
        /// The message or part.
        part: Part,
    },
}

impl Command {
    /// The answer that refuses it for a reason, if it is one that is answered.
    pub fn refusal(&self) -> Option<impl FnOnce(Reason) -> Event + use<>> {
        use {ChannelCommand as Channel, DirectoryCommand as Directory};
        let asked = match self {
            Self::Channel(Channel::Create { request, .. }) => (*request, true),
            Self::Channel(Channel::Enter { request, .. } | Channel::Succeed { request, .. })
            | Self::Link(LinkCommand::Open { request, .. })
            | Self::Directory(
                Directory::Provide { request, .. }
                | Directory::Look { request, .. }
                | Directory::Watch { request, .. },
            ) => (*request, false),
            Self::Hello(_)
            | Self::Channel(
                Channel::Leave(_)
                | Channel::Withdraw(_)
                | Channel::Dissolve(_)
                | Channel::Delete(_)
                | Channel::Resign(_)
                | Channel::Kick { .. }
                | Channel::Unban { .. }
                | Channel::Admit { .. },
            )
            | Self::Link(LinkCommand::Close { .. })
            | Self::Application(ApplicationCommand::Ask { .. })
            | Self::Secured { .. }
            | Self::Send { .. } => return None,
        };
        let (request, create) = asked;
        Some(move |reason| Event::Refused { request, create, reason })
    }
}

impl From<ChannelCommand> for Command {
    fn from(command: ChannelCommand) -> Self {
        Self::Channel(command)
    }
}

impl From<LinkCommand> for Command {
    fn from(command: LinkCommand) -> Self {
        Self::Link(command)
    }
}

impl From<DirectoryCommand> for Command {
    fn from(command: DirectoryCommand) -> Self {
        Self::Directory(command)
    }
}

impl From<ApplicationCommand> for Command {
    fn from(command: ApplicationCommand) -> Self {
        Self::Application(command)
    }
}

/// What the hub tells an endpoint.
///
/// The answer to a request is the event that its command names, in the group of the command, or
/// [`Event::Done`] where there is nothing more to say. [`Event::Refused`] is an answer to all of them.
#[derive(Debug, Clone, PartialEq)]
pub enum Event {
    /// The hello was accepted.
    Welcome {
        /// The id under which the hub knows the endpoint.
        peer: PeerId,
    },
    /// A command without a further answer was carried out.
    Done {
        /// The command's number.
        request: u32,
    },
    /// A command had no effect.
    Refused {
        /// The command's number.
        request: u32,
        /// Whether it was a create command.
        create: bool,
        /// Why.
        reason: Reason,
    },
    /// About channels and rooms.
    Channel(ChannelEvent),
    /// About links.
    Link(LinkEvent),
    /// About the directory.
    Directory(DirectoryEvent),
    /// From the hub application.
    Application(ApplicationEvent),
    /// A message, or a part of one. Client roles give it. The hub hands data over encoded (see
    /// [`crate::wire`]), but to protocols whose own task [has to write](crate::wire::Stateful) it.
    Data {
        /// Where it arrived, and from whom.
        place: Place,
        /// The message or part.
        part: Part,
    },
    /// Messages that many get. The same as [`Event::Data`] one by one. Only to protocols whose own task
    /// [has to write all data](crate::wire::Stateful::Yes).
    Messages {
        /// Where they arrived, and from whom.
        place: Place,
        /// The messages.
        run: Run,
    },
    /// A target has no room: nothing more is to be sent to it until [`Event::Resumed`]. Only to
    /// endpoints that said that they can do that ([`Hello::pauses`]), and to protocols that hold back what others make
    /// them send over links ([`Pauses::Links`](crate::wire::Pauses::Links)).
    Paused {
        /// The target, a single receiver.
        to: Target,
    },
    /// A target has room again.
    Resumed {
        /// The target.
        to: Target,
        /// Which endpoint it was. The number may name another one meanwhile.
        of: u64,
    },
    /// The hub application wants the connection encrypted. Only to protocols
    /// [that can do that](crate::wire::Profile::secures). Answer: [`Command::Secured`], or the session ends.
    Secure,
    /// The hub has closed the session, or the connection was lost. To a session's driver: it is to
    /// end.
    Closed {
        /// Why.
        reason: Reason,
    },
}

impl From<ChannelEvent> for Event {
    fn from(event: ChannelEvent) -> Self {
        Self::Channel(event)
    }
}

impl From<LinkEvent> for Event {
    fn from(event: LinkEvent) -> Self {
        Self::Link(event)
    }
}

impl From<DirectoryEvent> for Event {
    fn from(event: DirectoryEvent) -> Self {
        Self::Directory(event)
    }
}

impl From<ApplicationEvent> for Event {
    fn from(event: ApplicationEvent) -> Self {
        Self::Application(event)
    }
}

impl Event {
    /// Gives the event, or those that it stands for.
    pub fn each(&self, mut give: impl FnMut(&Self)) {
        match self {
            Self::Channel(event @ ChannelEvent::Others { .. }) => {
                event.each(|event| give(&event.clone().into()));
            }
            Self::Directory(event @ DirectoryEvent::Peers { .. }) => {
                event.each(|event| give(&event.clone().into()));
            }
            Self::Messages { place, run } => {
                for part in run.parts() {
                    give(&Self::Data { place: *place, part: part.clone() });
                }
            }
            other => give(other),
        }
    }
}

/// The claims and credentials of an endpoint.
#[derive(Clone, PartialEq, Eq, Default)]
pub struct Hello {
    /// Its own id; the hub gives one if absent.
    pub peer: Option<PeerId>,
    /// Whether the endpoint has proven that it owns the key that the id comes from.
    pub proven: bool,
    /// The name to be found by, if any, of at most [`PeerName::BYTES_MAX`](crate::PeerName::BYTES_MAX). Unique in the hub.
    pub name: Option<String>,
    /// Credentials, if the endpoint has some: the hub's access token, or what the one who checks
    /// them wants.
    pub token: Option<Bytes>,
    /// Whether the endpoint stops to send to a target when it is told to ([`Event::Paused`]).
    pub pauses: bool,
    /// Whether the endpoint can be told that a channel of its own has ended ([`ChannelEvent::Deleted`]). If not, its
    /// session ends with the channel.
    pub deletes: bool,
    /// Where another session has its name or id and has to show that it lives, whether to wait until it does, and not to be
    /// refused before. For clients that do not try again. It takes [`Limits::probe_max`](crate::Limits::probe_max), or half
    /// as long again where the other one cannot be asked at once.
    pub waits: bool,
}

impl fmt::Debug for Hello {
    /// Without the token.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { peer, proven, name, token, pauses, deletes, waits } = self;
        f.debug_struct("Hello")
            .field("peer", peer)
            .field("proven", proven)
            .field("name", name)
            .field("token", &token.as_ref().map(|_| "***"))
            .field("pauses", pauses)
            .field("deletes", deletes)
            .field("waits", waits)
            .finish()
    }
}

/// The receivers of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Target {
    /// The owner of an entered channel, or everybody else in an entered room.
    Up(JoinedChannelId),
    /// One member of an own channel.
    Member(OwnedChannelId, MemberNumber),
    /// All members of an own channel, or all but one.
    Everyone(OwnedChannelId, Option<MemberNumber>),
    /// The other side of a link.
    Link(LinkNumber),
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Many of them wait in outboxes.
    #[test]
    fn a_group_makes_commands_and_events_no_larger() {
        assert!(size_of::<Command>() <= 120, "{}", size_of::<Command>());
        assert!(size_of::<Event>() <= 96, "{}", size_of::<Event>());
    }
}
