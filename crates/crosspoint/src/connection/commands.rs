//! The way of commands to the hub: with waiting, without, and in between.

use crosspoint_hub::command::Command;
use crosspoint_net::client::Queued;
use std::fmt;
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

/// What waits in the backlog for a place in the queue.
pub(crate) trait Waiter: Send + Sync + fmt::Debug {
    /// Uses the place.
    fn take_turn(self: Arc<Self>, slot: Slot<'_>);
}

/// A link that waits for its turn. It holds the connection open until then. Each link waits once.
type Waiting = (Arc<dyn Waiter>, mpsc::Sender<Queued>);

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
    pub(crate) fn wait(&self, link: Arc<dyn Waiter>, sender: mpsc::Sender<Queued>) {
        // The task lives as long as this. If its runtime has stopped, nothing is sent any more.
        let _ = self.backlog.send((link, sender));
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
    while let Some((link, sender)) = waiting.recv().await {
        // Without a connection there is nothing to send to; the router tells the link.
        if let Ok(slot) = slot(&room, &sender).await {
            link.take_turn(slot);
        }
    }
}
