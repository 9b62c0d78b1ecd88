//! Who is there, who comes and who goes.

use super::Connection;
use super::ask::{AskError, Question};
use crate::lock::lock;
use crosspoint_hub::Reason;
use crosspoint_hub::command::{DirectoryCommand, Peer as PeerInfo, Watched};
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
pub(super) struct Watching {
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
    pub(super) fn tell(&self, event: PresenceEvent) {
        // Without readers nobody misses it.
        let _ = self.events.send(event);
    }

    /// What the hub is to be told, if it has been told otherwise.
    fn wanted(&self) -> Option<bool> {
        let mut state = lock(&self.state);
        let on = state.readers > 0;
        if state.asked || state.told == on || state.ended {
            return None;
        }
        state.asked = true;
        Some(on)
    }

    fn answered(&self, on: bool, answer: Result<(), Reason>) {
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
    }

    /// The connection has ended: who waits for presence finds out.
    pub(super) fn end(&self) {
        let waiting = {
            let mut state = lock(&self.state);
            state.ended = true;
            std::mem::take(&mut state.waiting)
        };
        drop(waiting);
    }
}

/// Hears who comes and goes. Dropping it stops that.
#[derive(Debug)]
pub(crate) struct Watcher {
    events: broadcast::Receiver<PresenceEvent>,
    connection: Arc<Connection>,
}

impl Watcher {
    /// What happens next. `None` when the connection has ended. Cancelling it loses nothing.
    pub(crate) async fn next(&mut self) -> Option<PresenceEvent> {
        tokio::select! {
            biased;
            event = self.events.recv() => match event {
                Ok(event) => Some(event),
                Err(broadcast::error::RecvError::Lagged(missed)) => {
                    Some(PresenceEvent::Missed(missed))
                }
                Err(broadcast::error::RecvError::Closed) => None,
            },
            _ = self.connection.closed() => None,
        }
    }
}

impl Drop for Watcher {
    fn drop(&mut self) {
        lock(&self.connection.watching.state).readers -= 1;
        self.connection.adjust_watching();
    }
}

impl Connection {
    /// Hears from now on who comes and goes.
    pub(crate) async fn watch(self: &Arc<Self>) -> Result<Watcher, AskError> {
        let watching = &self.watching;
        let (waits, answer) = oneshot::channel();
        let told = {
            let mut state = lock(&watching.state);
            if state.ended {
                return Err(self.lost());
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
        let watcher = Watcher { events: watching.events.subscribe(), connection: self.clone() };
        self.adjust_watching();
        if !told {
            match answer.await {
                Ok(answer) => answer.map_err(AskError::Refused)?,
                Err(_ended) => return Err(self.lost()),
            }
        }
        Ok(watcher)
    }

    /// The hub's answer to a Watch command.
    pub(super) fn watch_answered(&self, on: bool, answer: Result<(), Reason>) {
        self.watching.answered(on, answer);
        if answer.is_ok() {
            self.adjust_watching();
        }
    }

    /// Tells the hub what is wanted, if it has been told otherwise.
    fn adjust_watching(&self) {
        let Some(on) = self.watching.wanted() else {
            return;
        };
        let whom = if on { Watched::Named } else { Watched::Nobody };
        let command = |request| DirectoryCommand::Watch { request, whom };
        let asked = self.post_question(Question::Watch { on }, command);
        if let Err(AskError::Refused(reason) | AskError::Closed(reason)) = asked {
            self.watching.answered(on, Err(reason));
        }
    }
}
