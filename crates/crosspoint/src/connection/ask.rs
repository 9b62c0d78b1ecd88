//! Commands that the hub answers, and who waits for the answers.

use super::Connection;
use super::channel::{Membership, Owned};
use super::commands::Gone;
use crate::error::ChannelError;
use crate::lock::lock;
use crosspoint_hub::command::{Command, Mode, Peer as PeerInfo};
use crosspoint_hub::{LinkNumber, Reason};
use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use tokio::sync::oneshot;

/// Commands of one connection that may wait for their answers: what the joint protocol can number.
const ASKED_MAX: usize = 255;

/// Why there is no answer that says yes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum AskError {
    /// The hub said no, or too many wait for answers.
    Refused(Reason),
    /// The connection has ended.
    Closed(Reason),
}

impl From<AskError> for ChannelError {
    fn from(error: AskError) -> Self {
        match error {
            AskError::Refused(reason) => Self::Refused(reason),
            AskError::Closed(reason) => Self::Closed(reason),
        }
    }
}

/// Who waits for an answer.
pub(crate) type Answer<T> = oneshot::Sender<Result<T, AskError>>;

/// A link that was asked for is there. Who has asked puts it among the connection's
/// [links](Connection::links) before it tells anybody, or [refuses](Connection::refuse) it.
pub(crate) struct Linked {
    pub(crate) connection: Arc<Connection>,
    pub(crate) link: LinkNumber,
    /// Who the hub says is at its other side.
    pub(crate) info: PeerInfo,
}

/// Takes a link that was asked for, or the news that there is none.
pub(crate) type LinkAsker = Box<dyn FnOnce(Result<Linked, AskError>) + Send>;

/// What a command with an answer wants.
pub(crate) enum Question {
    Create {
        mode: Mode,
        calls: bool,
        answer: Answer<Owned>,
    },
    Enter {
        calls: bool,
        answer: Answer<Membership>,
    },
    Link(LinkAsker),
    Look(Answer<(Vec<PeerInfo>, bool)>),
    Done(Answer<()>),
    /// Its answer is for all who watch.
    Watch {
        on: bool,
    },
}

impl Question {
    /// The caller may have stopped to wait.
    pub(super) fn fail(self, error: AskError) {
        match self {
            Self::Create { answer, .. } => drop(answer.send(Err(error))),
            Self::Enter { answer, .. } => drop(answer.send(Err(error))),
            Self::Link(asker) => asker(Err(error)),
            Self::Look(answer) => drop(answer.send(Err(error))),
            Self::Done(answer) => drop(answer.send(Err(error))),
            Self::Watch { .. } => {}
        }
    }
}

impl std::fmt::Debug for Question {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Create { .. } => "Create",
            Self::Enter { .. } => "Enter",
            Self::Link(_) => "Link",
            Self::Look(_) => "Look",
            Self::Done(_) => "Done",
            Self::Watch { .. } => "Watch",
        })
    }
}

/// Commands that wait for their answers.
#[derive(Debug, Default)]
pub(super) struct Pending(Mutex<Waiting>);

#[derive(Debug, Default)]
struct Waiting {
    next: u32,
    questions: HashMap<u32, Question>,
    closed: Option<Reason>,
}

impl Pending {
    /// Gives a question its number.
    fn number(&self, question: Question) -> Result<u32, AskError> {
        let mut waiting = lock(&self.0);
        if let Some(reason) = waiting.closed {
            return Err(AskError::Closed(reason));
        }
        if waiting.questions.len() >= ASKED_MAX {
            return Err(AskError::Refused(Reason::TooManyPending));
        }
        while waiting.questions.contains_key(&waiting.next) {
            waiting.next = waiting.next.wrapping_add(1);
        }
        let request = waiting.next;
        waiting.next = request.wrapping_add(1);
        waiting.questions.insert(request, question);
        Ok(request)
    }

    /// What an answer is to.
    pub(super) fn take(&self, request: u32) -> Option<Question> {
        lock(&self.0).questions.remove(&request)
    }

    /// Nothing is answered any more.
    pub(super) fn end(&self, reason: Reason) {
        let questions = {
            let mut waiting = lock(&self.0);
            waiting.closed = Some(reason);
            std::mem::take(&mut waiting.questions)
        };
        for (_, question) in questions {
            question.fail(AskError::Closed(reason));
        }
    }
}

/// A question whose command was not sent yet; dropped, nobody asks any more.
struct Unsent<'a> {
    pending: &'a Pending,
    request: u32,
}

impl Drop for Unsent<'_> {
    fn drop(&mut self) {
        self.pending.take(self.request);
    }
}

impl Connection {
    /// Sends a command, and waits for its answer.
    pub(crate) async fn ask<T, C>(
        &self,
        question: impl FnOnce(Answer<T>) -> Question,
        command: impl FnOnce(u32) -> C,
    ) -> Result<T, AskError>
    where
        C: Into<Command>,
    {
        let (answer, answered) = oneshot::channel();
        self.send_question(question(answer), command).await?;
        answered.await.unwrap_or_else(|_| Err(self.lost()))
    }

    /// Sends a command that is answered, as soon as there is room.
    pub(crate) async fn send_question<C>(
        &self,
        question: Question,
        command: impl FnOnce(u32) -> C,
    ) -> Result<(), AskError>
    where
        C: Into<Command>,
    {
        let request = self.asked.number(question)?;
        // Given up while the command waits for room, nobody would ever answer it.
        let unsent = Unsent { pending: &self.asked, request };
        match self.commands.send(command(request).into()).await {
            Ok(()) => std::mem::forget(unsent),
            Err(Gone) => return Err(self.lost()),
        }
        Ok(())
    }

    /// Sends a command that is answered, without waiting; later if there is no room now.
    pub(super) fn post_question<C>(
        &self,
        question: Question,
        command: impl FnOnce(u32) -> C,
    ) -> Result<(), AskError>
    where
        C: Into<Command>,
    {
        let request = self.asked.number(question)?;
        self.commands.post(command(request));
        Ok(())
    }

    /// The end of the connection as an error.
    pub(crate) fn lost(&self) -> AskError {
        AskError::Closed(self.end_reason())
    }
}
