//! How a channel is created, how it is entered, and who wants to.

use crate::address::Protocol;
use crate::error::ChannelError;
use bytes::Bytes;
use crosspoint_hub::command::{self, Mode, Peer as PeerInfo};
use std::fmt;

/// Somebody who wants to enter.
#[derive(Debug, Clone, PartialEq)]
pub struct Applicant {
    /// Who it is.
    pub peer: PeerInfo,
    /// What it has shown, see [`EnterOptions::credentials`](EnterOptions::credentials).
    pub credentials: Bytes,
    pub(crate) ticket: u32,
}

/// Decides about an applicant.
pub(crate) type Predicate = Box<dyn FnMut(&Applicant) -> bool + Send>;

/// How a new channel behaves.
///
/// There are three message modes. Without a word it is chunk mode with messages of up to 32 KiB;
/// members that are Haxe programs have to use the same mode and size.
///
/// ```
/// use crosspoint::ChannelOptions;
/// let options = ChannelOptions::new()
///     .chunk_max(1 << 20)
///     .members_max(8)
///     .admit_if(|applicant| applicant.peer.name.as_deref() != Some("Mallory"));
/// ```
#[derive(Default)]
pub struct ChannelOptions {
    pub(crate) command: command::ChannelOptions,
    pub(crate) calls: bool,
    pub(crate) admit_if: Option<Predicate>,
}

impl ChannelOptions {
    /// Chunk mode with messages up to 32 KiB, open to everybody.
    pub fn new() -> Self {
        Self::default()
    }

    /// Raw mode: bytes arrive in order, but a message may arrive in pieces.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.command.mode = Mode::Raw;
        self.calls = false;
        self
    }

    /// Chunk mode: whole messages of 1 to `bytes_max` bytes, at most 512 MiB and not more than the
    /// hub allows.
    #[must_use]
    pub fn chunk_max(mut self, bytes_max: u32) -> Self {
        self.command.mode = Mode::Chunk { bytes_max };
        self
    }

    /// Every message is a call of a registered object, see [`remote`](mod@crate::remote).
    /// [`chunk_max`](Self::chunk_max) is the size of the largest call.
    #[must_use]
    pub fn calls(mut self) -> Self {
        if self.command.mode == Mode::Raw {
            self.command.mode = Mode::default();
        }
        self.calls = true;
        self
    }

    /// The most members at a time, if fewer than the hub allows.
    #[must_use]
    pub fn members_max(mut self, members: u32) -> Self {
        self.command.members_max = Some(members);
        self
    }

    /// A member that enters has to give the same bytes.
    #[must_use]
    pub fn password(mut self, password: impl Into<Bytes>) -> Self {
        self.command.password = Some(password.into());
        self
    }

    /// The owner decides about each one who wants to enter, see
    /// [`OwnerEvent::Knock`](crate::OwnerEvent::Knock).
    #[must_use]
    pub fn approve(mut self) -> Self {
        self.command.approve = true;
        self
    }

    /// As [`approve`](Self::approve), with a function that decides at once. It is called in
    /// [`Owner::next`](crate::Owner::next).
    #[must_use]
    pub fn admit_if(mut self, admit: impl FnMut(&Applicant) -> bool + Send + 'static) -> Self {
        self.command.approve = true;
        self.admit_if = Some(Box::new(admit));
        self
    }

    pub(crate) fn check(&self, protocol: Protocol) -> Result<(), ChannelError> {
        check_mode(self.command.mode)?;
        let command::ChannelOptions { members_max, password, approve, .. } = &self.command;
        let missing = match protocol {
            Protocol::Native => None,
            Protocol::Peote if members_max.is_some() => Some("limit of members"),
            Protocol::Peote if password.is_some() => Some("passwords"),
            Protocol::Peote if *approve => Some("admission by the owner"),
            Protocol::Peote => None,
        };
        missing.map_or(Ok(()), |what| Err(ChannelError::Unsupported(what)))
    }
}

impl fmt::Debug for ChannelOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChannelOptions")
            .field("mode", &self.command.mode)
            .field("calls", &self.calls)
            .field("members_max", &self.command.members_max)
            .field("approve", &self.command.approve)
            .finish_non_exhaustive()
    }
}

/// How to enter a channel or room.
///
/// A channel of a Crosspoint node or hub tells its mode by itself; one of a Haxe program cannot,
/// so the mode given here has to be the one that its owner uses.
#[derive(Clone, Default)]
pub struct EnterOptions {
    pub(crate) command: command::EnterOptions,
    pub(crate) calls: bool,
}

impl EnterOptions {
    /// Chunk mode with messages up to 32 KiB if the owner is a Haxe program; no password.
    pub fn new() -> Self {
        Self::default()
    }

    /// The owner, a Haxe program, uses raw mode.
    #[must_use]
    pub fn raw(mut self) -> Self {
        self.command.mode = Mode::Raw;
        self.calls = false;
        self
    }

    /// The owner, a Haxe program, uses chunks of this size.
    #[must_use]
    pub fn chunk_max(mut self, bytes_max: u32) -> Self {
        self.command.mode = Mode::Chunk { bytes_max };
        self
    }

    /// Every message is a call of a registered object, see [`remote`](mod@crate::remote).
    #[must_use]
    pub fn calls(mut self) -> Self {
        if self.command.mode == Mode::Raw {
            self.command.mode = Mode::default();
        }
        self.calls = true;
        self
    }

    /// The channel's password.
    #[must_use]
    pub fn password(mut self, password: impl Into<Bytes>) -> Self {
        self.command.password = Some(password.into());
        self
    }

    /// Shown to an owner that decides about each entry.
    #[must_use]
    pub fn credentials(mut self, credentials: impl Into<Bytes>) -> Self {
        self.command.credentials = credentials.into();
        self
    }

    /// If nothing has this name, and the hub allows it, the hub makes a room.
    #[must_use]
    pub fn room(mut self) -> Self {
        self.command.make_room = true;
        self
    }

    /// In a room: tell who is there, who comes and who goes.
    #[must_use]
    pub fn presence(mut self) -> Self {
        self.command.presence = true;
        self
    }

    /// Only speak: no messages come. In a room nobody is told of this member, and a room that was made on entry does not
    /// last for it.
    #[must_use]
    pub fn silent(mut self) -> Self {
        self.command.silent = true;
        self
    }

    pub(crate) fn check(&self, protocol: Protocol) -> Result<(), ChannelError> {
        check_mode(self.command.mode)?;
        let command::EnterOptions { password, credentials, make_room, presence, silent, .. } =
            &self.command;
        let missing = match protocol {
            Protocol::Native => None,
            Protocol::Peote if password.is_some() => Some("passwords"),
            Protocol::Peote if !credentials.is_empty() => Some("credentials"),
            Protocol::Peote if *make_room => Some("rooms to make"),
            Protocol::Peote if *presence => Some("presence"),
            Protocol::Peote if *silent => Some("silent members"),
            Protocol::Peote => None,
        };
        missing.map_or(Ok(()), |what| Err(ChannelError::Unsupported(what)))
    }
}

impl fmt::Debug for EnterOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("EnterOptions")
            .field("mode", &self.command.mode)
            .field("calls", &self.calls)
            .field("room", &self.command.make_room)
            .field("presence", &self.command.presence)
            .field("silent", &self.command.silent)
            .finish_non_exhaustive()
    }
}

fn check_mode(mode: Mode) -> Result<(), ChannelError> {
    match mode {
        Mode::Chunk { bytes_max } if !(1..=Mode::CHUNK_BYTES_LIMIT).contains(&bytes_max) => {
            Err(ChannelError::ChunkSize(bytes_max))
        }
        Mode::Chunk { .. } | Mode::Raw => Ok(()),
    }
}
