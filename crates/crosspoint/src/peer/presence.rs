//! Who is there, who comes and who goes.

use super::Peer;
use crate::shared::{Question, Shared, lock};
use crate::{ChannelError, PeerInfo};
use crosspoint_hub::Reason;
use crosspoint_hub::command::{Command, DirectoryCommand, Watched};
use std::fmt;
use std::sync::{Arc, Mutex};
use tokio::sync::{broadcast, oneshot};

/// Comings and goings that may wait for one reader.
const PRESENCE_MAX: usize = 1024;

/// Somebody with a name has come or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum PresenceEvent {
    /// Somebody has come.
    Came(PeerInfo),
    /// Somebody has gone.
    Went(PeerInfo),
    /// So many events were not read in time and are lost. [`Node::peers`](crate::Node::peers) says
    /// who is there now.
    Missed(u64),
}

/// What one connection hears of others. There is one Watch command at a time, so that the hub and
/// this agree in the end whatever crosses.
#[derive(Debug)]
pub(crate) struct Watching {
    events: broadcast::Sender<PresenceEvent>,
    state: Mutex<Watch>,
}

#[derive(Debug, Default)]
struct Watch {
    readers: usize,
    /// The hub tells.
    told: bool,
    /// A command waits for its answer.
    asked: bool,
    waiting: Vec<oneshot::Sender<Result<(), Reason>>>,
    /// The connection has ended.
    ended: bool,
}

impl Default for Watching {
    fn default() -> Self {
        Self { events: broadcast::Sender::new(PRESENCE_MAX), state: Mutex::default() }
    }
}

impl Watching {
    pub(crate) fn tell(&self, event: PresenceEvent) {
        // Without readers nobody misses it.
        let _ = self.events.send(event);
    }

    /// The hub's answer to a Watch command.
    pub(crate) fn answered(&self, shared: &Arc<Shared>, on: bool, answer: Result<(), Reason>) {
        let waiting = {
            let mut state = lock(&self.state);
            state.asked = false;
            if answer.is_ok() {
                state.told = on;
            }
            match (on, answer) {
                // They wait for the answer to the next command.
                (false, Ok(())) => Vec::new(),
                _ => std::mem::take(&mut state.waiting),
            }
        };
        for waits in waiting {
            // The caller may have stopped to wait.
            let _ = waits.send(answer);
        }
        if answer.is_ok() {
            self.adjust(shared);
        }
    }

    /// Tells the hub what is wanted, if it has been told otherwise.
    fn adjust(&self, shared: &Arc<Shared>) {
        let on = {
            let mut state = lock(&self.state);
            let on = state.readers > 0;
            if state.asked || state.told == on || state.ended {
                return;
            }
            state.asked = true;
            on
        };
        let whom = if on { Watched::Named } else { Watched::Nobody };
        let command = |request| Command::Directory(DirectoryCommand::Watch { request, whom });
        if let Err(error) = shared.ask_now(Question::Watch { on }, command) {
            let reason = match error {
                ChannelError::Refused(reason) | ChannelError::Closed(reason) => reason,
                _ => Reason::Internal,
            };
            self.answered(shared, on, Err(reason));
        }
    }
}

/// Who comes and goes, see [`Node::watch`](crate::Node::watch).
pub struct Presence {
    events: broadcast::Receiver<PresenceEvent>,
    shared: Arc<Shared>,
}

impl Presence {
    pub(crate) async fn new(shared: &Arc<Shared>) -> Result<Self, super::PeerError> {
        let watching = &shared.watching;
        let (waits, answer) = oneshot::channel();
        let told = {
            let mut state = lock(&watching.state);
            if state.ended {
                return Err(shared.lost().into());
            }
            state.readers += 1;
            // What the hub is being told may be the opposite.
            let told = state.told && !state.asked;
            if !told {
                state.waiting.push(waits);
            }
            told
        };
        // From here on dropping it counts it out.
        let presence = Self { events: watching.events.subscribe(), shared: shared.clone() };
        watching.adjust(shared);
        if !told {
            match answer.await {
                Ok(answer) => answer.map_err(super::PeerError::Refused)?,
                Err(_ended) => return Err(shared.lost().into()),
            }
        }
        Ok(presence)
    }

    /// Who comes or goes next. `None` when the connection has ended. Cancelling it loses nothing.
    pub async fn next(&mut self) -> Option<PresenceEvent> {
        let mut closed = self.shared.closed.clone();
        tokio::select! {
            biased;
            event = self.events.recv() => match event {
                Ok(event) => Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    Some(PresenceEvent::Missed(missed))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            },
            _ = closed.wait_for(Option::is_some) => None,
        }
    }
}

impl Drop for Presence {
    fn drop(&mut self) {
        lock(&self.shared.watching.state).readers -= 1;
        self.shared.watching.adjust(&self.shared);
    }
}

impl fmt::Debug for Presence {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Presence").finish_non_exhaustive()
    }
}

impl Shared {
    /// The connection has ended: who waits for presence finds out.
    pub(crate) fn end_watching(&self) {
        let waiting = {
            let mut state = lock(&self.watching.state);
            state.ended = true;
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
    }
}

impl Peer {
    /// Who the hub says is at the other side of the link: the peer itself, or the first node that
    /// [forwards](crate::Node::forward) to it.
    pub fn info(&self) -> &PeerInfo {
        &self.handle.core.info
    }
}
