//! What a reader of a channel sends by itself.

use crate::connection::{Core, Unsent};
use bytes::Bytes;
use crosspoint_hub::command::{Command, Target};
use crosspoint_hub::wire::Part;
use std::collections::VecDeque;
use std::sync::Arc;

/// What a reader has to send before it reads on: replies, announcements, decisions.
#[derive(Debug)]
pub(super) struct Outgoing {
    channel: Arc<Core>,
    queue: VecDeque<Command>,
}

impl Outgoing {
    /// Commands that may wait for targets that the hub has asked to pause, before the reader waits
    /// for them.
    const HELD_MAX: usize = 64;

    pub(super) fn new(channel: &Arc<Core>) -> Self {
        Self { channel: channel.clone(), queue: VecDeque::new() }
    }

    /// Where the first command is that has a target which takes it.
    fn next(&self) -> Option<usize> {
        let pauses = self.channel.pauses();
        self.queue.iter().position(|command| match command {
            Command::Send { to, .. } => !pauses.is_paused(*to),
            _ => true,
        })
    }

    pub(super) fn push(&mut self, command: Command) {
        self.queue.push_back(command);
    }

    pub(super) fn push_part(&mut self, to: Target, kind: u8, payload: Bytes) {
        let part = Part { kind, ..Part::whole(payload) };
        self.push(Command::Send { to, part });
    }

    /// Sends what there is room for.
    pub(super) fn try_flush(&mut self) {
        while let Some(index) = self.next()
            && let Some(command) = self.queue.remove(index)
        {
            match self.channel.commands.try_send(command) {
                Ok(()) => {}
                Err(Unsent::Full(command)) => {
                    self.queue.insert(index, command);
                    return;
                }
                Err(Unsent::Gone) => self.queue.clear(),
            }
        }
    }

    /// Sends all but what waits for targets that are paused, if that is not too much. Cancelling it
    /// loses nothing.
    pub(super) async fn flush(&mut self) {
        while !self.queue.is_empty() {
            let Some(index) = self.next() else {
                if self.queue.len() < Self::HELD_MAX {
                    return;
                }
                self.channel.pauses().changed(|| self.next().is_none()).await;
                continue;
            };
            let Some(sender) = self.channel.commands.hold() else {
                return self.queue.clear();
            };
            match (sender.reserve().await, self.queue.remove(index)) {
                (Ok(permit), Some(command)) => permit.send(command.into()),
                _ => self.queue.clear(),
            }
        }
    }
}
