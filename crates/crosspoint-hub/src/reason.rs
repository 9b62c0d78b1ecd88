//! Why something ended or was refused. One list of numbers serves the native protocol, the
//! metrics, the logs and the library.

use crate::limit::Limit;
use std::fmt;

/// Why a membership, a channel, a command or a session ended.
///
/// The number is the one that the native protocol carries (`docs/protocol.md`, section Reasons).
/// The text says what happened and what the one concerned can do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, thiserror::Error)]
#[non_exhaustive]
#[repr(u16)]
pub enum Reason {
    /// The other side left on purpose.
    #[error("left")]
    Left = 0,
    /// The other side's connection was lost.
    #[error("connection lost")]
    ConnectionLost = 1,
    /// The owner closed the channel on purpose.
    #[error("closed by its owner")]
    ClosedByOwner = 2,
    /// The owner's connection was lost, and the channel with it.
    #[error("the owner's connection was lost")]
    OwnerLost = 3,
    /// The owner threw the member out, or the hub's operator the member or the session; it may enter again, or connect.
    #[error("kicked by the owner of the channel, or by the hub's operator")]
    Kicked = 4,
    /// The owner banned the member, for a time or for good.
    #[error("banned by the owner")]
    Banned = 5,
    /// The channel has as many members as it may have.
    #[error("the channel is full")]
    Full = 6,
    /// No channel or room has this name.
    #[error("no channel has this name")]
    NoSuchName = 7,
    /// A channel or room, or another session, has this name already.
    #[error("the name is taken")]
    NameTaken = 8,
    /// The session owns or has entered as many channels as it may, or the hub is full.
    #[error("too many channels")]
    TooManyChannels = 9,
    /// The input broke the protocol.
    #[error("malformed input")]
    Malformed = 10,
    /// The channel's password was missing or wrong.
    #[error("wrong channel password")]
    WrongPassword = 11,
    /// The owner was asked and said no.
    #[error("not admitted by the owner")]
    NotAdmitted = 12,
    /// The session is a member of this channel already, or has a link of which there can be only one.
    #[error("already a member")]
    AlreadyEntered = 13,
    /// The session owns this channel, and cannot be its member too.
    #[error("an owner cannot enter its own channel")]
    OwnChannel = 14,
    /// Credentials were missing or refused, or a setting forbids this.
    #[error("not allowed: credentials are missing or wrong, or do not cover this")]
    NotAllowed = 15,
    /// The session read too slowly: too much waited for it (`limits.outbox_bytes_max`,
    /// `limits.channel_bytes_max`, `limits.memory_bytes_max`), or for too long
    /// (`limits.outbox_stall_ms_max`).
    #[error("read too slowly; read faster, or raise the limit that the hub's log names")]
    SlowReceiver = 16,
    /// A frame or message was larger than allowed.
    #[error(
        "frame or message too large; send smaller ones, or raise the limit of the channel or hub"
    )]
    TooLarge = 17,
    /// Nothing usable arrived within `limits.handshake_ms_max`.
    #[error("no handshake in time ({})", Limit::Handshake)]
    HandshakeTimeout = 18,
    /// Nothing arrived for `limits.idle_s_max`, or a message that had begun was not whole after
    /// `limits.message_s_max`.
    #[error("idle for too long ({}, {})", Limit::Idle, Limit::MessageTime)]
    IdleTimeout = 19,
    /// The hub stops.
    #[error("the hub is stopping; connect again later")]
    HubStopping = 20,
    /// No common version of the protocol.
    #[error("no common protocol version; the hub speaks version 1")]
    VersionUnsupported = 21,
    /// Too many connections, in all or from this address.
    #[error("too many connections ({}, {})", Limit::Connections, Limit::ConnectionsPerAddress)]
    TooManyConnections = 22,
    /// Heartbeats stayed unanswered.
    #[error(
        "heartbeats unanswered (limits.heartbeat_ms, {}, or what the protocol has instead)",
        Limit::HeartbeatMissed
    )]
    HeartbeatLost = 23,
    /// The session's own side said goodbye.
    #[error("closed by the peer")]
    Bye = 24,
    /// Too many commands wait for an answer.
    #[error("too many commands waiting for an answer ({})", Limit::CommandsPending)]
    TooManyPending = 25,
    /// What arrived is no protocol that the hub speaks here.
    #[error("unknown protocol")]
    UnknownProtocol = 26,
    /// A fault inside the hub or its machine.
    #[error("internal fault of the hub")]
    Internal = 27,
    /// Another session has this peer id.
    #[error("another session has this peer id; use an id of your own")]
    IdTaken = 28,
    /// Another session said that it has this name or peer id, and the hub
    /// prefers the newer one.
    #[error("another session took over this name or peer id")]
    Replaced = 29,
    /// No session has this id or name, or provides this service.
    #[error("no peer has this id or name, or provides this service")]
    NoSuchPeer = 30,
    /// The session has as many links as it may.
    #[error(
        "too many links ({}, {}, {})",
        Limit::Links,
        Limit::LinksAccepted,
        Limit::LinksAcceptedPerAddress
    )]
    TooManyLinks = 31,
    /// The other side's protocol has no form for this.
    #[error("the other side's protocol has no form for this")]
    Unsupported = 32,
    /// The endpoint did not prove that it owns its key.
    #[error("the proof that the key is owned was wrong")]
    BadProof = 33,
    /// The other side does not want it.
    #[error("declined by the other side")]
    Declined = 34,
    /// The session provides as many services as it may.
    #[error("too many services ({})", Limit::Services)]
    TooManyServices = 35,
    /// The credentials have expired, before the session or while it ran.
    #[error("the credentials have expired; connect again with new ones")]
    Expired = 36,
    /// Too many credentials wait to be checked, in all or from this address, or too much waits for the
    /// one who would be told of a command, or nobody has answered a claim in time.
    #[error(
        "too much waits for this already, or it waits for too long ({}, {}, {}, {}); try again later",
        Limit::AuthChecksWaiting,
        Limit::AuthChecksWaitingPerAddress,
        Limit::OutboxBytes,
        Limit::ClaimTime
    )]
    Busy = 37,
    /// The hub has not asked for the proof that a client wanted to give.
    #[error("the hub asks for no proof of ids, so any id there may be a false one")]
    Unproven = 38,
    /// The memory for this is used up: of the hub, of the address, or of the other side
    /// (`NodeBuilder::held_bytes`).
    #[error(
        "the memory is used up ({}, {}); try again later",
        Limit::MemoryBytes,
        Limit::MemoryPerAddressBytes
    )]
    Exhausted = 39,
    /// The proof of a key is not bound to the TLS connection between the client and the hub, or TLS ends before
    /// the hub.
    #[error(
        "the proof of the key is not bound to TLS from the client to the hub, so it could be relayed"
    )]
    Unbound = 40,
}

impl Reason {
    /// All reasons, in the order of their numbers.
    pub const ALL: [Self; 41] = [
        Self::Left,
        Self::ConnectionLost,
        Self::ClosedByOwner,
        Self::OwnerLost,
        Self::Kicked,
        Self::Banned,
        Self::Full,
        Self::NoSuchName,
        Self::NameTaken,
        Self::TooManyChannels,
        Self::Malformed,
        Self::WrongPassword,
        Self::NotAdmitted,
        Self::AlreadyEntered,
        Self::OwnChannel,
        Self::NotAllowed,
        Self::SlowReceiver,
        Self::TooLarge,
        Self::HandshakeTimeout,
        Self::IdleTimeout,
        Self::HubStopping,
        Self::VersionUnsupported,
        Self::TooManyConnections,
        Self::HeartbeatLost,
        Self::Bye,
        Self::TooManyPending,
        Self::UnknownProtocol,
        Self::Internal,
        Self::IdTaken,
        Self::Replaced,
        Self::NoSuchPeer,
        Self::TooManyLinks,
        Self::Unsupported,
        Self::BadProof,
        Self::Declined,
        Self::TooManyServices,
        Self::Expired,
        Self::Busy,
        Self::Unproven,
        Self::Exhausted,
        Self::Unbound,
    ];

    /// The number on the wire.
    pub const fn number(self) -> u16 {
        self as u16
    }

    /// The reason of a number; `None` for one that this version does not know.
    pub fn from_number(number: u16) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The same where a whole session has ended. What may have several causes elsewhere has one there.
    pub const fn of_session(self) -> OfSession {
        OfSession(self)
    }

    /// A short word for metrics and logs, such as `slow_receiver`.
    pub fn word(self) -> String {
        let mut word = String::new();
        for letter in format!("{self:?}").chars() {
            if letter.is_ascii_uppercase() && !word.is_empty() {
                word.push('_');
            }
            word.push(letter.to_ascii_lowercase());
        }
        word
    }
}

/// A reason why a whole session has ended, whose text says what that means for a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OfSession(pub Reason);

impl fmt::Display for OfSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            Reason::Kicked => f.write_str("kicked by the hub's operator"),
            reason => reason.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_number_leads_back_to_its_reason() {
        for (index, reason) in Reason::ALL.into_iter().enumerate() {
            assert_eq!(usize::from(reason.number()), index);
            assert_eq!(Reason::from_number(reason.number()), Some(reason));
        }
        assert_eq!(Reason::from_number(Reason::ALL.len() as u16), None);
    }

    #[test]
    fn words_are_snake_case() {
        assert_eq!(Reason::SlowReceiver.word(), "slow_receiver");
        assert_eq!(Reason::Left.word(), "left");
    }
}
