//! One channel as its reader, its writers and its calls know it.

use crate::commands::{Commands, Gone, Unsent};
use crate::pauses::Pauses;
use crate::remote::{Link, LinkError};
use crate::shared::{Facts, Shared};
use crate::{ChannelError, Protocol};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::command::{Command, Mode, Target};
use crosspoint_hub::wire::Part;
use std::sync::{Arc, Mutex, OnceLock, PoisonError};

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
    pub(crate) fn new(shared: &Shared, mode: Mode, calls: bool) -> Arc<Self> {
        let hub_max = shared.facts.message_bytes_max();
        let bytes_max = match mode {
            Mode::Raw => hub_max,
            Mode::Chunk { bytes_max } => bytes_max.min(hub_max),
        };
        Arc::new(Self {
            commands: shared.commands.clone(),
            protocol: shared.protocol,
            mode,
            calls,
            bytes_max,
            facts: shared.facts.clone(),
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

impl Link for ChannelLink {
    fn send(&self, kind: u8, payload: Bytes) -> Result<(), LinkError> {
        if !self.core.calls {
            return Err(LinkError::NoCalls);
        }
        if self.core.check_open().is_err() {
            return Err(LinkError::Closed);
        }
        if self.core.pauses().is_paused(self.to) {
            return Err(LinkError::Congested);
        }
        let part = Part { kind, ..Part::whole(payload) };
        let command = Command::Send { to: self.to, part };
        let sent = self.core.commands.try_send(command);
        sent.map_err(|unsent| match unsent {
            Unsent::Full(_) => LinkError::Congested,
            Unsent::Gone => LinkError::Closed,
        })
    }

    fn replies(&self) -> bool {
        self.replies
    }

    fn max_payload(&self) -> usize {
        self.core.bytes_max as usize
    }
}

/// Something that is only reached by its owner, so that it can be part of what is
/// shared between threads without being fit for that itself.
pub(crate) struct Alone<T>(Mutex<T>);

impl<T> Alone<T> {
    pub(crate) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(crate) fn get(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
