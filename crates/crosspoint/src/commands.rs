//! The way of commands to the hub: with waiting, without, and in between.

use crate::channel;
use crate::peer::Core;
use bytes::Bytes;
use crosspoint_hub::command::{Command, Target};
use crosspoint_hub::wire::Part;
use crosspoint_net::client::Queued;
use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use tokio::runtime::Handle;
use tokio::sync::mpsc::error::TrySendError;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc};

/// Bytes of messages that may wait to be written. One message above is taken.
const ROOM_BYTES: usize = 512 * 1024;

/// Commands that may wait for a hub that causes them and takes none.
const POSTED_MAX: usize = 4096;

/// The way to the hub, as long as the connection is there.
#[derive(Debug, Clone)]
pub(crate) struct Commands {
    sender: mpsc::WeakSender<Queued>,
    /// What links and channels may put into the queue.
    room: Arc<Semaphore>,
    backlog: mpsc::UnboundedSender<Waiting>,
    /// Commands that were to be sent without waiting, and wait.
    posted: Arc<AtomicUsize>,
    runtime: Handle,
}

/// A link that waits for its turn. It holds the connection open until then. Each link waits once.
type Waiting = (Arc<Core>, mpsc::Sender<Queued>);

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
    pub(crate) fn new(sender: &mpsc::Sender<Queued>) -> Self {
        let runtime = Handle::current();
        let room = Arc::new(Semaphore::new(ROOM_BYTES));
        let (backlog, waiting) = mpsc::unbounded_channel();
        runtime.spawn(take_turns(waiting, room.clone()));
        let posted = Arc::default();
        Self { sender: sender.downgrade(), room, backlog, posted, runtime }
    }

    /// Where tasks of this connection run.
    pub(crate) fn runtime(&self) -> &Handle {
        &self.runtime
    }

    /// Holds the connection open. `None` if it has ended.
    pub(crate) fn hold(&self) -> Option<mpsc::Sender<Queued>> {
        self.sender.upgrade()
    }

    /// A place in the queue for data of a link, if there is one now.
    pub(crate) fn try_slot<'a>(&self, sender: &'a mpsc::Sender<Queued>) -> Option<Slot<'a>> {
        let room = self.room.clone().try_acquire_owned().ok()?;
        let place = sender.try_reserve().ok()?;
        Some(Slot { place, room })
    }

    /// A place in the queue for data, as soon as there is one.
    pub(crate) async fn slot<'a>(
        &self,
        sender: &'a mpsc::Sender<Queued>,
    ) -> Result<Slot<'a>, Gone> {
        slot(&self.room, sender).await
    }

    /// Lets a link wait for its turn.
    pub(crate) fn wait(&self, core: Arc<Core>, sender: mpsc::Sender<Queued>) {
        // The task lives as long as this. If its runtime has stopped, nothing is sent any more.
        let _ = self.backlog.send((core, sender));
    }

    /// Sends as soon as there is room.
    pub(crate) async fn send(&self, command: Command) -> Result<(), Gone> {
        self.send_after(|| (), command).await
    }

    /// Sends as soon as there is room, and does this just before.
    pub(crate) async fn send_after(
        &self,
        before: impl FnOnce(),
        command: Command,
    ) -> Result<(), Gone> {
        let sender = self.sender.upgrade().ok_or(Gone)?;
        let place = sender.reserve().await.map_err(|_| Gone)?;
        before();
        place.send(command.into());
        Ok(())
    }

    /// Sends now or not at all.
    pub(crate) fn try_send(&self, command: Command) -> Result<(), Unsent> {
        let sender = self.sender.upgrade().ok_or(Unsent::Gone)?;
        sender.try_send(command.into()).map_err(|error| match error {
            TrySendError::Full(queued) => Unsent::Full(queued.command),
            TrySendError::Closed(_) => Unsent::Gone,
        })
    }

    /// Sends without waiting, later if there is no room now.
    pub(crate) fn post(&self, command: impl Into<Command>) {
        let command = command.into();
        let Some(sender) = self.sender.upgrade() else {
            return;
        };
        if let Err(TrySendError::Full(queued)) = sender.try_send(command.into()) {
            self.posted.fetch_add(1, Ordering::Relaxed);
            let posted = self.posted.clone();
            self.runtime.spawn(async move {
                // If the connection ends meanwhile, the command has no meaning any more.
                let _ = sender.send(queued).await;
                posted.fetch_sub(1, Ordering::Relaxed);
            });
        }
    }

    /// Whether the hub takes so little that nothing more should be posted that it can cause without an end.
    pub(crate) fn is_choked(&self) -> bool {
        self.posted.load(Ordering::Relaxed) >= POSTED_MAX
    }
}

/// A place in the queue for data of a link.
#[derive(Debug)]
pub(crate) struct Slot<'a> {
    place: mpsc::Permit<'a, Queued>,
    /// One byte, until the data is known.
    room: OwnedSemaphorePermit,
}

impl Slot<'_> {
    /// Uses the place. The data takes as much room as there is, so that others wait for it.
    pub(crate) fn send(mut self, command: Command, bytes: usize) {
        let all = self.room.semaphore().clone();
        let mut wanted = bytes.saturating_sub(1);
        while wanted > 0 {
            wanted = wanted.min(all.available_permits());
            let count = u32::try_from(wanted).unwrap_or(u32::MAX);
            match all.clone().try_acquire_many_owned(count) {
                Ok(more) => {
                    self.room.merge(more);
                    break;
                }
                // Others were faster, so that there is less room now.
                Err(_) => wanted -= 1,
            }
        }
        self.place.send(Queued { command, room: Some(self.room) });
    }
}

async fn slot<'a>(
    room: &Arc<Semaphore>,
    sender: &'a mpsc::Sender<Queued>,
) -> Result<Slot<'a>, Gone> {
    let room = room.clone().acquire_owned().await.map_err(|_| Gone)?;
    let place = sender.reserve().await.map_err(|_| Gone)?;
    Ok(Slot { place, room })
}

/// Lets links send that had to wait, one behind the other. One task for each connection.
async fn take_turns(mut waiting: mpsc::UnboundedReceiver<Waiting>, room: Arc<Semaphore>) {
    while let Some((core, sender)) = waiting.recv().await {
        // Without a connection there is nothing to send to; the router tells the link.
        if let Ok(slot) = slot(&room, &sender).await {
            core.take_turn(slot);
        }
    }
}

/// What a reader has to send before it reads on: replies, announcements, decisions.
#[derive(Debug)]
pub(crate) struct Outgoing {
    channel: Arc<channel::Core>,
    queue: VecDeque<Command>,
}

impl Outgoing {
    /// Commands that may wait for targets that the hub has asked to pause, before the reader waits
    /// for them.
    const HELD_MAX: usize = 64;

    pub(crate) fn new(channel: &Arc<channel::Core>) -> Self {
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

    pub(crate) fn push(&mut self, command: Command) {
        self.queue.push_back(command);
    }

    pub(crate) fn push_part(&mut self, to: Target, kind: u8, payload: Bytes) {
        let part = Part { kind, ..Part::whole(payload) };
        self.push(Command::Send { to, part });
    }

    /// Sends what there is room for.
    pub(crate) fn try_flush(&mut self) {
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
    pub(crate) async fn flush(&mut self) {
        while !self.queue.is_empty() {
            let Some(index) = self.next() else {
                if self.queue.len() < Self::HELD_MAX {
                    return;
                }
                self.channel.pauses().changed(|| self.next().is_none()).await;
                continue;
            };
            let Some(sender) = self.channel.commands.sender.upgrade() else {
                return self.queue.clear();
            };
            match (sender.reserve().await, self.queue.remove(index)) {
                (Ok(permit), Some(command)) => permit.send(command.into()),
                _ => self.queue.clear(),
            }
        }
    }
}
