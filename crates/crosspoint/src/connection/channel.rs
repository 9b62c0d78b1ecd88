//! One channel as its reader, its writers and its calls know it.

use super::Connection;
use super::commands::{Commands, Gone, Unsent};
use super::events::{Item, MemberEvent, OwnerEvent};
use super::facts::Facts;
use super::pauses::Pauses;
use crate::address::Protocol;
use crate::error::ChannelError;
use crate::lock::lock;
use crate::queue::Puller;
use crate::remote::{CallTransport, Calls, TransportError};
use bytes::Bytes;
use crosspoint_hub::command::{ChannelCommand, Command, Mode, Target};
use crosspoint_hub::wire::Part;
use crosspoint_hub::{JoinedChannelId, MemberNumber, OwnedChannelId, Reason};
use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, OnceLock};

/// One channel as both its reader and its writers know it.
#[derive(Debug)]
pub(crate) struct Core {
    pub(crate) commands: Commands,
    pub(crate) protocol: Protocol,
    pub(crate) mode: Mode,
    /// Whether messages are calls.
    pub(crate) calls: bool,
    /// The largest message.
    pub(crate) bytes_max: u32,
    facts: Arc<Facts>,
    ended: OnceLock<Reason>,
}

impl Core {
    pub(super) fn new(connection: &Connection, mode: Mode, calls: bool) -> Arc<Self> {
        let hub_max = connection.facts.message_bytes_max();
        let bytes_max = match mode {
            Mode::Raw => hub_max,
            Mode::Chunk { bytes_max } => bytes_max.min(hub_max),
        };
        Arc::new(Self {
            commands: connection.commands.clone(),
            protocol: connection.protocol,
            mode,
            calls,
            bytes_max,
            facts: connection.facts.clone(),
            ended: OnceLock::new(),
        })
    }

    /// Says that the channel has ended. Gives whether it had not before.
    pub(crate) fn end(&self, reason: Reason) -> bool {
        self.ended.set(reason).is_ok()
    }

    /// # Errors
    /// [`ChannelError::Closed`] after the end.
    pub(crate) fn check_open(&self) -> Result<(), ChannelError> {
        self.ended.get().map_or(Ok(()), |reason| Err(ChannelError::Closed(*reason)))
    }

    pub(crate) fn is_open(&self) -> bool {
        self.ended.get().is_none()
    }

    pub(crate) async fn send(&self, command: Command) -> Result<(), ChannelError> {
        self.check_open()?;
        self.commands.send(command).await.map_err(|gone| self.gone(gone))
    }

    /// Sends the command that ends the channel. It has ended before the hub can read that, and give
    /// its number to another.
    pub(crate) async fn finish(
        &self,
        command: Command,
        reason: Reason,
    ) -> Result<(), ChannelError> {
        self.check_open()?;
        let end = || {
            self.end(reason);
        };
        self.commands.send_after(end, command).await.map_err(|gone| self.gone(gone))
    }

    fn gone(&self, Gone: Gone) -> ChannelError {
        let reason = self.ended.get().copied();
        ChannelError::Closed(reason.unwrap_or(Reason::ConnectionLost))
    }

    pub(crate) async fn send_data(&self, to: Target, data: Bytes) -> Result<(), ChannelError> {
        self.check_open()?;
        if self.calls {
            return Err(ChannelError::OnlyCalls);
        }
        let (length, max) = (data.len(), self.bytes_max);
        if length == 0 {
            return Err(ChannelError::Empty);
        }
        if length > max as usize {
            return Err(ChannelError::TooLarge { length, max });
        }
        let sender = self.commands.hold().ok_or_else(|| self.gone(Gone))?;
        loop {
            self.facts.pauses.passed(to).await;
            self.check_open()?;
            let slot = self.commands.slot(&sender).await.map_err(|gone| self.gone(gone))?;
            // Bounded in bytes, so that little is on its way when the hub asks for a pause.
            if !self.facts.pauses.is_paused(to) {
                slot.send(Command::Send { to, part: Part::whole(data) }, length);
                return Ok(());
            }
        }
    }

    /// Targets that the hub wants nothing for at present.
    pub(crate) fn pauses(&self) -> &Pauses {
        &self.facts.pauses
    }

    /// # Errors
    /// [`ChannelError::Unsupported`] if the protocol is not the native one.
    pub(crate) fn need_native(&self, what: &'static str) -> Result<(), ChannelError> {
        match self.protocol {
            Protocol::Native => Ok(()),
            Protocol::Peote => Err(ChannelError::Unsupported(what)),
        }
    }
}

/// The way of calls to one far end, or of calls without replies to many.
#[derive(Debug)]
pub(crate) struct ChannelLink {
    pub(crate) core: Arc<Core>,
    pub(crate) to: Target,
    pub(crate) replies: bool,
}

impl CallTransport for ChannelLink {
    fn send(&self, kind: u8, payload: Bytes) -> Result<(), TransportError> {
        if !self.core.calls {
            return Err(TransportError::NoCalls);
        }
        if self.core.check_open().is_err() {
            return Err(TransportError::Closed);
        }
        if self.core.pauses().is_paused(self.to) {
            return Err(TransportError::Congested);
        }
        let part = Part { kind, ..Part::whole(payload) };
        let command = Command::Send { to: self.to, part };
        let sent = self.core.commands.try_send(command);
        sent.map_err(|unsent| match unsent {
            Unsent::Full(_) => TransportError::Congested,
            Unsent::Gone => TransportError::Closed,
        })
    }

    fn replies(&self) -> bool {
        self.replies
    }

    fn max_payload(&self) -> usize {
        self.core.bytes_max as usize
    }
}

/// The calls to each member of a channel.
#[derive(Debug, Clone, Default)]
pub(crate) struct Calling(Arc<Mutex<BTreeMap<MemberNumber, Calls>>>);

impl Calling {
    pub(super) fn enter(&self, member: MemberNumber, calls: Calls) {
        lock(&self.0).insert(member, calls);
    }

    pub(super) fn leave(&self, member: MemberNumber) {
        let calls = lock(&self.0).remove(&member);
        calls.into_iter().for_each(|calls| calls.close());
    }

    /// Gives whether the reply was well-formed.
    pub(super) fn reply(&self, member: MemberNumber, payload: Bytes) -> bool {
        let calls = lock(&self.0).get(&member).cloned();
        calls.is_none_or(|calls| calls.reply(payload).is_some())
    }

    pub(super) fn close(&self) {
        let all = std::mem::take(&mut *lock(&self.0));
        all.into_values().for_each(|calls| calls.close());
    }

    pub(crate) fn get(&self, member: MemberNumber) -> Option<Calls> {
        lock(&self.0).get(&member).cloned()
    }
}

/// An own channel. Dropping it deletes the channel.
#[derive(Debug)]
pub(crate) struct Owned {
    pub(crate) core: Arc<Core>,
    pub(crate) number: OwnedChannelId,
    pub(crate) calling: Calling,
    pub(crate) events: Puller<Item<OwnerEvent>>,
    /// The connection lasts as long as the channel.
    pub(crate) connection: Arc<Connection>,
}

impl Drop for Owned {
    fn drop(&mut self) {
        if self.core.end(Reason::ClosedByOwner) {
            self.core.commands.post(ChannelCommand::Delete(self.number));
        }
        self.calling.close();
    }
}

/// A channel or room that was entered. Dropping it leaves.
#[derive(Debug)]
pub(crate) struct Membership {
    pub(crate) core: Arc<Core>,
    pub(crate) channel: JoinedChannelId,
    /// A peote-server does not tell it.
    pub(crate) number: Option<MemberNumber>,
    pub(crate) room: bool,
    pub(crate) calls: Calls,
    pub(crate) events: Puller<Item<MemberEvent>>,
    pub(super) inheritance: Inheritance,
    /// The connection lasts as long as the membership.
    pub(super) _connection: Arc<Connection>,
}

/// Where a member finds the channel that it has inherited.
pub(super) type Inheritance = Arc<Mutex<Option<Owned>>>;

impl Membership {
    /// The channel, if it was inherited.
    pub(crate) fn inherited(&self) -> Option<Owned> {
        lock(&self.inheritance).take()
    }
}

impl Drop for Membership {
    fn drop(&mut self) {
        if self.core.end(Reason::Left) {
            self.core.commands.post(ChannelCommand::Leave(self.channel));
        }
        self.calls.close();
    }
}
