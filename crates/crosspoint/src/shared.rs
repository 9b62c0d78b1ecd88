//! What the handles of one connection share.

use crate::commands::{Commands, Gone};
use crate::connectivity::Connectivity;
use crate::direct::Host;
use crate::options::Predicate;
use crate::owner::Owner;
use crate::pauses::Pauses;
use crate::peer::{Asked, Common, Forward, Lane, Links, Peer, PeerError, Route, Watching};
use crate::{ChannelError, Member, PeerInfo, Protocol};
use crosspoint_hub::command::{Command, Mode};
use crosspoint_hub::{LinkNumber, PeerId, Reason};
use crosspoint_net::client::{Ping, Queued};
use std::collections::HashMap;
use std::sync::atomic::{AtomicU32, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;
use tokio::sync::{mpsc, oneshot, watch};
use tokio_util::sync::CancellationToken;

/// Create and enter commands of one node that may wait for their answers: what the joint protocol
/// can number.
const ASKED_MAX: usize = 255;

pub(crate) fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What these locks guard is consistent between any two statements that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// One connection. It lasts as long as anybody holds this.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) peer: PeerId,
    pub(crate) protocol: Protocol,
    pub(crate) facts: Arc<Facts>,
    pub(crate) commands: Commands,
    /// Asks the hub for signs of life.
    pub(crate) pings: mpsc::Sender<Ping>,
    /// Holds the connection open.
    keep: Mutex<Option<mpsc::Sender<Queued>>>,
    asked: Mutex<Pending>,
    pub(crate) common: Arc<Common>,
    pub(crate) links: Arc<Links>,
    pub(crate) watching: Watching,
    pub(crate) forwards: Mutex<Vec<Forward>>,
    /// The server whose only purpose is this node, if it listens.
    pub(crate) host: OnceLock<Host>,
    /// Nobody reads what arrives any more.
    pub(crate) closing: CancellationToken,
    pub(crate) closed: watch::Receiver<Option<Reason>>,
}

/// No round trip takes that long.
const UNMEASURED: u64 = u64::MAX;

/// What the protocol has learned of the hub.
#[derive(Debug)]
pub(crate) struct Facts {
    message_bytes_max: AtomicU32,
    home: OnceLock<PeerId>,
    /// In nanoseconds; [`UNMEASURED`] before the first.
    round_trip: AtomicU64,
    /// Of a connection that comes back by itself.
    connectivity: Option<watch::Receiver<Connectivity>>,
    /// Targets that the hub wants nothing for at present.
    pub(crate) pauses: Pauses,
}

impl Default for Facts {
    fn default() -> Self {
        Self::new(None)
    }
}

impl Facts {
    pub(crate) fn new(connectivity: Option<watch::Receiver<Connectivity>>) -> Self {
        let message_bytes_max = AtomicU32::new(u32::MAX);
        let round_trip = AtomicU64::new(UNMEASURED);
        let (home, pauses) = (OnceLock::new(), Pauses::default());
        Self { message_bytes_max, home, round_trip, connectivity, pauses }
    }

    /// A round trip was measured.
    pub(crate) fn measured(&self, round_trip: Duration) {
        let nanos = u64::try_from(round_trip.as_nanos()).unwrap_or(UNMEASURED - 1);
        self.round_trip.store(nanos, Ordering::Relaxed);
    }

    pub(crate) fn round_trip(&self) -> Option<Duration> {
        let nanos = self.round_trip.load(Ordering::Relaxed);
        (nanos != UNMEASURED).then(|| Duration::from_nanos(nanos))
    }

    pub(crate) fn connectivity(&self) -> Option<watch::Receiver<Connectivity>> {
        self.connectivity.clone()
    }

    pub(crate) fn learn(&self, message_bytes_max: u32, home: Option<PeerId>) {
        self.message_bytes_max.store(message_bytes_max, Ordering::Relaxed);
        if let Some(home) = home {
            // There is one welcome.
            let _ = self.home.set(home);
        }
    }

    /// The id of the hub's own program, if it is a peer.
    pub(crate) fn home(&self) -> Option<PeerId> {
        self.home.get().copied()
    }

    pub(crate) fn message_bytes_max(&self) -> u32 {
        self.message_bytes_max.load(Ordering::Relaxed)
    }
}

/// Commands that wait for their answers.
#[derive(Debug, Default)]
struct Pending {
    next: u32,
    waiting: HashMap<u32, Question>,
    closed: Option<Reason>,
}

/// What a command with an answer wants.
pub(crate) enum Question {
    Create {
        mode: Mode,
        calls: bool,
        admit_if: Option<Predicate>,
        answer: oneshot::Sender<Result<Owner, ChannelError>>,
    },
    Enter {
        calls: bool,
        answer: oneshot::Sender<Result<Member, ChannelError>>,
    },
    Link {
        asked: Asked,
        /// Who is at the far end, and the way to it, if others forward the link.
        behind: Option<(PeerId, Route)>,
        answer: oneshot::Sender<Result<Peer, PeerError>>,
    },
    /// A link that another one is joined to.
    Lane {
        asked: Asked,
        lane: Arc<Lane>,
        answer: oneshot::Sender<Result<LinkNumber, PeerError>>,
    },
    Look {
        answer: oneshot::Sender<Result<(Vec<PeerInfo>, bool), PeerError>>,
    },
    Done {
        answer: oneshot::Sender<Result<(), PeerError>>,
    },
    Succeed {
        answer: oneshot::Sender<Result<(), ChannelError>>,
    },
    /// Its answer is for all who watch.
    Watch {
        on: bool,
    },
}

impl Question {
    /// The caller may have stopped to wait.
    pub(crate) fn fail(self, error: ChannelError) {
        match self {
            Self::Create { answer, .. } => drop(answer.send(Err(error))),
            Self::Enter { answer, .. } => drop(answer.send(Err(error))),
            Self::Link { answer, .. } => drop(answer.send(Err(error.into()))),
            Self::Lane { answer, .. } => drop(answer.send(Err(error.into()))),
            Self::Look { answer } => drop(answer.send(Err(error.into()))),
            Self::Done { answer } => drop(answer.send(Err(error.into()))),
            Self::Succeed { answer } => drop(answer.send(Err(error))),
            Self::Watch { .. } => {}
        }
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create { .. } => "Create",
            Self::Enter { .. } => "Enter",
            Self::Link { .. } => "Link",
            Self::Lane { .. } => "Lane",
            Self::Look { .. } => "Look",
            Self::Done { .. } => "Done",
            Self::Succeed { .. } => "Succeed",
            Self::Watch { .. } => "Watch",
        })
    }
}

impl Shared {
    pub(crate) fn new(
        peer: PeerId,
        protocol: Protocol,
        facts: Arc<Facts>,
        (commands, pings): (mpsc::Sender<Queued>, mpsc::Sender<Ping>),
        closed: watch::Receiver<Option<Reason>>,
        common: Arc<Common>,
    ) -> Arc<Self> {
        let shared = Arc::new(Self {
            peer,
            protocol,
            facts,
            commands: Commands::new(&commands),
            pings,
            keep: Mutex::new(Some(commands)),
            asked: Mutex::default(),
            common,
            links: Arc::default(),
            watching: Watching::default(),
            forwards: Mutex::default(),
            host: OnceLock::new(),
            closing: CancellationToken::new(),
            closed,
        });
        shared.common.connected(&shared);
        shared
    }

    /// Sends a command that is answered.
    pub(crate) async fn ask(
        &self,
        question: Question,
        command: impl FnOnce(u32) -> Command,
    ) -> Result<(), ChannelError> {
        let request = self.number(question)?;
        // Given up while the command waits for room, nobody would ever answer it.
        let question = AskedFor { shared: self, request };
        match self.commands.send(command(request)).await {
            Ok(()) => std::mem::forget(question),
            Err(Gone) => return Err(self.lost()),
        }
        Ok(())
    }

    /// Sends a command that is answered, without waiting; later if there is no room now.
    pub(crate) fn ask_now(
        &self,
        question: Question,
        command: impl FnOnce(u32) -> Command,
    ) -> Result<(), ChannelError> {
        let request = self.number(question)?;
        self.commands.post(command(request));
        Ok(())
    }

    /// Gives a question its number.
    fn number(&self, question: Question) -> Result<u32, ChannelError> {
        let mut asked = lock(&self.asked);
        if let Some(reason) = asked.closed {
            return Err(ChannelError::Closed(reason));
        }
        if asked.waiting.len() >= ASKED_MAX {
            return Err(ChannelError::Refused(Reason::TooManyPending));
        }
        while asked.waiting.contains_key(&asked.next) {
            asked.next = asked.next.wrapping_add(1);
        }
        let request = asked.next;
        asked.next = request.wrapping_add(1);
        asked.waiting.insert(request, question);
        Ok(request)
    }

    /// The end of the connection as an error.
    pub(crate) fn lost(&self) -> ChannelError {
        ChannelError::Closed(self.end_reason())
    }

    /// What an answer is to.
    pub(crate) fn answered(&self, request: u32) -> Option<Question> {
        lock(&self.asked).waiting.remove(&request)
    }

    /// The connection has ended: nothing is answered any more.
    pub(crate) fn end(&self, reason: Reason) {
        let waiting = {
            let mut asked = lock(&self.asked);
            asked.closed = Some(reason);
            std::mem::take(&mut asked.waiting)
        };
        for (_, question) in waiting {
            question.fail(ChannelError::Closed(reason));
        }
        self.end_watching();
        self.common.disconnected();
        self.release();
    }

    /// Lets the connection end as soon as all commands are written.
    pub(crate) fn release(&self) {
        lock(&self.keep).take();
    }
}

/// A question whose command was not sent yet; dropped, nobody asks any more.
struct AskedFor<'a> {
    shared: &'a Shared,
    request: u32,
}

impl Drop for AskedFor<'_> {
    fn drop(&mut self) {
        self.shared.answered(self.request);
    }
}
