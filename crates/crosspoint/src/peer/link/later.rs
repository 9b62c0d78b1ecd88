//! What a change of a link's state brings about, once the lock is released.

use super::handlers::Work;
use super::{Answer, Core};
use crate::peer::error::StreamReset;
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::command::LinkCommand;
use crosspoint_proto::peer::Time;
use std::sync::Arc;
use std::task::Waker;
use tokio::sync::oneshot;

/// The task that waits for a stream to be accepted.
type Opening = oneshot::Sender<Result<(), StreamReset>>;

#[derive(Default)]
pub(crate) struct Later {
    wakers: Vec<Waker>,
    answers: Vec<(oneshot::Sender<Answer>, Answer)>,
    times: Vec<(oneshot::Sender<Time>, Option<Time>)>,
    /// Streams that were accepted or refused.
    opened: Vec<(Opening, Option<Result<(), StreamReset>>)>,
    work: Vec<Work>,
    cancelled: Vec<oneshot::Sender<()>>,
    /// Results of typed calls.
    replies: Vec<Bytes>,
    inbox: bool,
    room: bool,
    secured: bool,
    ended: bool,
    unlink: Option<Reason>,
}

impl Later {
    pub(super) fn wake(&mut self, waker: Option<Waker>) {
        self.wakers.extend(waker);
    }

    pub(super) fn answer(&mut self, to: oneshot::Sender<Answer>, answer: Answer) {
        self.answers.push((to, answer));
    }

    pub(super) fn time(&mut self, to: Vec<oneshot::Sender<Time>>, time: Time) {
        self.times.extend(to.into_iter().map(|to| (to, Some(time))));
    }

    pub(super) fn drop_times(&mut self, to: Vec<oneshot::Sender<Time>>) {
        self.times.extend(to.into_iter().map(|to| (to, None)));
    }

    pub(super) fn opened(&mut self, opening: Opening, how: Result<(), StreamReset>) {
        self.opened.push((opening, Some(how)));
    }

    pub(super) fn drop_opening(&mut self, opening: Option<Opening>) {
        self.opened.extend(opening.map(|opening| (opening, None)));
    }

    pub(super) fn work(&mut self, work: Work) {
        self.work.push(work);
    }

    pub(super) fn cancel(&mut self, work: oneshot::Sender<()>) {
        self.cancelled.push(work);
    }

    pub(super) fn reply(&mut self, reply: Bytes) {
        self.replies.push(reply);
    }

    /// There is something to read.
    pub(super) fn inbox(&mut self) {
        self.inbox = true;
    }

    /// There is room to send.
    pub(super) fn room(&mut self) {
        self.room = true;
    }

    /// The handshake is done.
    pub(super) fn secured(&mut self) {
        self.secured = true;
    }

    pub(super) fn ended(&mut self) {
        self.ended = true;
    }

    /// Tells the hub to end the link.
    pub(super) fn unlink(&mut self, reason: Reason) {
        self.unlink = Some(reason);
    }

    pub(super) fn run(self, core: &Arc<Core>) {
        if let Some(reason) = self.unlink {
            core.commands.post(LinkCommand::Close { link: core.link, reason });
        }
        if self.ended {
            core.forget();
            core.requests.close();
            if let Some(calls) = core.calls.get() {
                calls.close();
            }
            core.over.notify_waiters();
        }
        if self.inbox || self.ended {
            core.inbox.notify_waiters();
        }
        if self.room || self.ended {
            core.room.notify_waiters();
        }
        if self.secured || self.ended {
            core.secured.notify_waiters();
        }
        // The caller may have stopped to wait.
        for (to, answer) in self.answers {
            let _ = to.send(answer);
        }
        for (to, time) in self.times {
            if let Some(time) = time {
                let _ = to.send(time);
            }
        }
        for (to, how) in self.opened {
            if let Some(how) = how {
                let _ = to.send(how);
            }
        }
        drop(self.cancelled);
        for work in self.work {
            core.commands.runtime().spawn(work.run());
        }
        for reply in self.replies {
            core.take_reply(reply);
        }
        self.wakers.into_iter().for_each(Waker::wake);
    }
}
