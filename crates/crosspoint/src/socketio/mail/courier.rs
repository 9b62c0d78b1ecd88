//! Who delivers what is kept: a task for each client that is there and has not acknowledged all.

use super::keeper::now_ms;
use super::letter::Letter;
use super::{Mail, Notice};
use crate::lock::lock;
use crate::peer::Peer;
use crate::socketio::args::Args;
use crate::socketio::error::EmitError;
use crate::{Payload, PeerId, RequestError};
use crosspoint_store::{Due, StoreError};
use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;
use tokio::sync::Notify;
use tokio::task::JoinSet;
use tokio::time::timeout;

/// The most messages that one client has and has not acknowledged.
const WINDOW: usize = 32;
/// How much is read at a time for one client, in bytes.
const READ_BYTES: usize = 256 * 1024;
/// How long a courier waits that could not reach a client who is there, at first and at most.
const RETRY: Duration = Duration::from_secs(1);
const RETRY_MAX: Duration = Duration::from_secs(60);
/// When it is looked again for a client who was not there. Large hubs tell up to a second later who comes, and nothing of one
/// who was back before that.
const LOOK_AGAIN: Duration = Duration::from_secs(2);

/// A courier at work.
#[derive(Debug, Default)]
pub(super) struct Courier {
    /// There may be more to deliver than it has seen.
    is_wanted: bool,
    /// Who has the name now, by the newest news since it has begun to deliver.
    newest: Option<PeerId>,
    wake: Arc<Notify>,
}

/// A courier that is known as long as this is there.
struct Known<'a> {
    mail: &'a Mail,
    to: &'a Arc<str>,
    wake: &'a Arc<Notify>,
}

impl Drop for Known<'_> {
    fn drop(&mut self) {
        let mut couriers = lock(&self.mail.couriers);
        // It may have left, and another one may be at work.
        let is_this = |courier: &Courier| Arc::ptr_eq(&courier.wake, self.wake);
        if couriers.get(self.to).is_some_and(is_this) {
            couriers.remove(self.to);
        }
    }
}

/// Why a courier has come back.
enum Back {
    /// The client has got all.
    Done,
    /// The client is not there.
    Absent,
    /// The client has gone, though it may be back already.
    Gone,
    /// It could not be reached, or the store has failed.
    Again,
}

/// A message that was sent, and the answer to it.
type Answered = (u64, Letter, Result<Payload, RequestError>);

/// Messages that are being forgotten. Many are together, so that one wait for the disk is enough for them.
type Forgetting = JoinSet<Result<bool, StoreError>>;

impl Mail {
    /// Delivers what is kept for somebody, if he is there. `newest` is who has come by this name, if somebody has.
    pub(super) fn wake(self: &Arc<Self>, to: &Arc<str>, newest: Option<PeerId>) {
        let mut couriers = lock(&self.couriers);
        if let Some(courier) = couriers.get_mut(to) {
            courier.is_wanted = true;
            courier.newest = newest.or(courier.newest);
            return courier.wake.notify_one();
        }
        let courier = Courier::default();
        let wake = courier.wake.clone();
        couriers.insert(to.clone(), courier);
        let (mail, to) = (self.clone(), to.clone());
        tokio::spawn(async move {
            // However it ends: a function of the program may panic.
            let _known = Known { mail: &mail, to: &to, wake: &wake };
            tokio::select! {
                () = mail.run(&to, &wake) => {}
                () = mail.closing.cancelled() => {}
            }
        });
    }

    async fn run(&self, to: &Arc<str>, wake: &Notify) {
        let (mut pause, mut has_looked_again) = (RETRY, false);
        loop {
            if let Some(courier) = lock(&self.couriers).get_mut(to) {
                (courier.is_wanted, courier.newest) = (false, None);
            }
            match self.deliver(to, wake).await {
                Back::Done => (pause, has_looked_again) = (RETRY, false),
                // Whoever comes from here on is told of.
                Back::Absent if has_looked_again => {}
                Back::Absent | Back::Gone => {
                    pause = RETRY;
                    has_looked_again = timeout(LOOK_AGAIN, wake.notified()).await.is_err();
                    continue;
                }
                Back::Again => {
                    tokio::time::sleep(pause).await;
                    pause = (2 * pause).min(RETRY_MAX);
                    continue;
                }
            }
            let mut couriers = lock(&self.couriers);
            if !couriers.get(to).is_some_and(|courier| courier.is_wanted) {
                // From here on the next one who wants it makes a new courier.
                couriers.remove(to);
                return;
            }
        }
    }

    /// Sends all that is kept, in order, and forgets what is acknowledged.
    async fn deliver(&self, to: &Arc<str>, wake: &Notify) -> Back {
        if !self.keeper.has(to) {
            return Back::Done;
        }
        let peer = match self.ways.open(to).await {
            Ok(peer) => peer,
            Err(EmitError::NotConnected(_)) => return Back::Absent,
            Err(error) => {
                self.notice(Notice::Unreachable { to: to.to_string(), error });
                return Back::Again;
            }
        };
        let mut forgetting = Forgetting::new();
        let back = self.converse(to, &peer, wake, &mut forgetting).await;
        // What is forgotten is not to be read again.
        while let Some(forgotten) = forgetting.join_next().await {
            if let Ok(Err(error)) = forgotten {
                return self.store_failed(error);
            }
        }
        back
    }

    async fn converse(
        &self,
        to: &Arc<str>,
        peer: &Peer,
        wake: &Notify,
        forgetting: &mut Forgetting,
    ) -> Back {
        let mut sent: JoinSet<Answered> = JoinSet::new();
        let (mut next, mut read, mut is_all_read) = (0, VecDeque::<Due>::new(), false);
        loop {
            while sent.len() + forgetting.len() < WINDOW && !(is_all_read && read.is_empty()) {
                if read.is_empty() {
                    match self.keeper.read(to, next, READ_BYTES).await {
                        Ok(due) => read = due.into(),
                        Err(error) => return self.store_failed(error),
                    }
                }
                let Some(due) = read.pop_front() else {
                    is_all_read = true;
                    break;
                };
                next = due.number + 1;
                // It may have waited here for long.
                if due.until_ms > now_ms() && !self.send(to, peer, due, &mut sent).await {
                    return Back::Gone;
                }
            }
            tokio::select! {
                Some(answered) = sent.join_next() => match answered {
                    Ok((_, _, Err(RequestError::PeerGone(_)))) => return Back::Gone,
                    Ok(answered) => {
                        if let Some(number) = self.answered(to, answered).await {
                            let (keeper, to) = (self.keeper.clone(), to.clone());
                            forgetting.spawn(async move { keeper.forget(&to, number).await });
                        }
                    }
                    // Such a task does not panic, and ends with the set.
                    Err(_) => return Back::Again,
                },
                Some(forgotten) = forgetting.join_next() => if let Ok(Err(error)) = forgotten {
                    return self.store_failed(error);
                },
                () = wake.notified(), if !(sent.is_empty() && forgetting.is_empty()) => {
                    is_all_read = false;
                    if self.is_elsewhere(to, peer).await {
                        // It is wanted, and begins again from the first message.
                        return Back::Done;
                    }
                }
                else => return Back::Done,
            }
        }
    }

    /// Whether the name has come to another session than that which has a link to it, as where sessions share names.
    async fn is_elsewhere(&self, to: &Arc<str>, peer: &Peer) -> bool {
        let newest = lock(&self.couriers).get_mut(to).and_then(|courier| courier.newest.take());
        if newest.is_none_or(|newest| newest == peer.info().id) {
            return false;
        }
        // The news may be older than the link.
        match self.ways.open(to).await {
            Ok(now) => now.info().id != peer.info().id,
            Err(error) => matches!(error, EmitError::NotConnected(_)),
        }
    }

    fn store_failed(&self, error: StoreError) -> Back {
        self.notice(Notice::Store { error });
        Back::Again
    }

    /// Sends one message. Gives whether the client is still there.
    async fn send(
        &self,
        to: &Arc<str>,
        peer: &Peer,
        due: Due,
        sent: &mut JoinSet<Answered>,
    ) -> bool {
        let Due { number, data, .. } = due;
        let refused = |why: String| {
            self.notice(Notice::Undeliverable { to: to.to_string(), number, why });
            true
        };
        let Some(letter) = Letter::read(&data) else {
            return refused("this version cannot read it".to_owned());
        };
        let payload = match letter.args.event_payload(peer.info().protocol) {
            Ok(payload) => payload,
            Err(error) => return refused(error.to_string()),
        };
        match peer.begin_to_ask(&letter.event, payload).await {
            Ok(pending) => {
                sent.spawn(async move { (number, letter, pending.answer().await) });
                true
            }
            Err(RequestError::PeerGone(_)) => false,
            Err(error) => refused(error.to_string()),
        }
    }

    /// A client has answered. Gives the number of the message if it is to be forgotten.
    async fn answered(&self, to: &Arc<str>, answered: Answered) -> Option<u64> {
        let (number, letter, answer) = answered;
        match answer {
            Ok(payload) => {
                // Whatever it says, it has got the message.
                let answer = Args::of_answer(&payload).unwrap_or_default();
                // If the program ends before it is forgotten, the message is sent again, and this is called again.
                self.acks.call(to, letter, &answer).await;
                Some(number)
            }
            Err(error) => {
                let why = EmitError::from(error).to_string();
                self.notice(Notice::Undeliverable { to: to.to_string(), number, why });
                None
            }
        }
    }
}
