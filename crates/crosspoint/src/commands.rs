//! The way of commands to the hub: with waiting, without, and in between.

use bytes::Bytes;
use crosspoint_hub::command::{Command, Target};
use crosspoint_hub::wire::Part;
use std::collections::VecDeque;
use tokio::runtime::Handle;
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

/// The way to the hub, as long as the connection is there.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    sender: mpsc::WeakSender<Command>,
    runtime: Handle,
}

/// The connection has ended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Gone;

/// Why a command was not sent at once.
pub(crate) enum Unsent {
    /// As many wait as may wait.
    Full(Command),
    /// The connection has ended.
    Gone,
}

impl Commands {
    /// Commands do not hold the connection open.
    pub(crate) fn new(sender: &mpsc::Sender<Command>) -> Self {
        Self { sender: sender.downgrade(), runtime: Handle::current() }
    }

    /// Sends as soon as there is room.
    pub(crate) async fn send(&self, command: Command) -> Result<(), Gone> {
        let sender = self.sender.upgrade().ok_or(Gone)?;
        sender.send(command).await.map_err(|_| Gone)
    }

    /// Sends now or not at all.
    pub(crate) fn try_send(&self, command: Command) -> Result<(), Unsent> {
        let sender = self.sender.upgrade().ok_or(Unsent::Gone)?;
        sender.try_send(command).map_err(|error| match error {
            TrySendError::Full(command) => Unsent::Full(command),
            TrySendError::Closed(_) => Unsent::Gone,
        })
    }

    /// Sends without waiting, later if there is no room now.
    pub(crate) fn post(&self, command: Command) {
        let Some(sender) = self.sender.upgrade() else {
            return;
        };
        if let Err(TrySendError::Full(command)) = sender.try_send(command) {
            // If the connection ends meanwhile, the command has no meaning any more.
            self.runtime.spawn(async move { sender.send(command).await.is_ok() });
        }
    }
}

/// What a reader has to send before it reads on: replies, announcements, decisions.
#[derive(Debug)]
pub(crate) struct Outgoing {
    commands: Commands,
    queue: VecDeque<Command>,
}

impl Outgoing {
    pub(crate) fn new(commands: Commands) -> Self {
        Self { commands, queue: VecDeque::new() }
    }

    pub(crate) fn push(&mut self, command: Command) {
        self.queue.push_back(command);
    }

    pub(crate) fn push_part(&mut self, to: Target, kind: u8, payload: Bytes) {
        let part = Part { kind, ..Part::whole(payload) };
        self.push(Command::Send { to, part });
    }

    /// Sends what there is room for.
    pub(crate) fn try_flush(&mut self) {
        while let Some(command) = self.queue.pop_front() {
            match self.commands.try_send(command) {
                Ok(()) => {}
                Err(Unsent::Full(command)) => {
                    self.queue.push_front(command);
                    return;
                }
                Err(Unsent::Gone) => self.queue.clear(),
            }
        }
    }

    /// Sends all. Cancelling it loses nothing.
    pub(crate) async fn flush(&mut self) {
        while !self.queue.is_empty() {
            let Some(sender) = self.commands.sender.upgrade() else {
                return self.queue.clear();
            };
            match (sender.reserve().await, self.queue.pop_front()) {
                (Ok(permit), Some(command)) => permit.send(command),
                _ => self.queue.clear(),
            }
        }
    }
}
