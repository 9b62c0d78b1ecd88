//! A session that goes by requests, and may become a WebSocket.

use super::requests::{Answer, RequestError, Requests};
use super::{SessionError, Target, websocket};
use crate::messages::{Messages, MessagesEvent};
use crosspoint_gateways::engineio::client::Open;
use crosspoint_gateways::engineio::client::polling::{PROBE, PROBED, Polling, Request, read};
use crosspoint_gateways::engineio::packet::Kind;
use crosspoint_gateways::engineio::payload::Message;
use std::collections::VecDeque;
use std::fmt;
use std::future::pending;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

type Asking = Pin<Box<dyn Future<Output = (Requests, Result<Answer, RequestError>)> + Send>>;
type Probing = Pin<Box<dyn Future<Output = Result<Messages, SessionError>> + Send>>;

/// How long what is left may take to be said at the end.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// The session of Engine.IO over requests.
pub(super) struct Polled {
    target: Arc<Target>,
    sid: Box<str>,
    polling: Polling,
    /// The request that asks, or what it is made with.
    get: Slot,
    /// The same of the one that says.
    post: Slot,
    probing: Option<Probing>,
    websocket: Option<Box<Messages>>,
    incoming: VecDeque<Message>,
}

/// A request on its way, or what the next one is made with.
enum Slot {
    Idle(Option<Requests>),
    Asking(Asking),
}

impl Slot {
    fn start(&mut self, ask: impl FnOnce(Requests) -> Asking) {
        if let Self::Idle(requests) = self
            && let Some(requests) = requests.take()
        {
            *self = Self::Asking(ask(requests));
        }
    }

    /// Waits for the answer of a request; for ever if there is none.
    async fn answer(&mut self) -> Result<Answer, RequestError> {
        let Self::Asking(asking) = self else {
            return pending().await;
        };
        let (requests, answer) = asking.await;
        *self = Self::Idle(Some(requests));
        answer
    }
}

/// What a turn has brought.
pub(super) enum Turn {
    Message(Message),
    Wrote,
    /// The session goes on over this.
    Upgraded(Box<Messages>),
}

impl Polled {
    /// Asks for a session.
    pub(super) async fn open(target: Arc<Target>) -> Result<Self, SessionError> {
        let requests = || {
            let endpoint = target.endpoint.clone();
            Requests::new(endpoint, target.authority.clone(), target.answer_bytes_max())
        };
        let (getter, answer) = requests().ask(target.polling(None), None).await;
        let Answer { is_octets, body } = answer?;
        let messages = read(target.revision, is_octets, &body)?;
        let open = messages.first().map(Open::of);
        let Open { sid, can_upgrade, beat } = open.ok_or(SessionError::Nothing)??;
        let post = Slot::Idle(Some(requests()));
        let mut polled = Self {
            polling: Polling::new(target.revision, beat.payload_bytes_max),
            get: Slot::Idle(Some(getter)),
            post,
            probing: None,
            websocket: None,
            incoming: messages.into(),
            sid,
            target,
        };
        if can_upgrade && polled.target.transports.upgrades() {
            let (target, sid) = (polled.target.clone(), polled.sid.clone());
            polled.probing = Some(Box::pin(async move { probe(&target, &sid).await }));
        }
        Ok(polled)
    }

    pub(super) fn queued(&self) -> usize {
        self.polling.queued()
    }

    pub(super) fn push(&mut self, message: Message) {
        self.polling.push(message);
    }

    /// Makes the requests that are to be made.
    fn start(&mut self, listening: bool) {
        while let Some(request) = self.polling.request(listening) {
            let path = self.target.polling(Some(&self.sid));
            match request {
                Request::Get => self.get.start(|get| Box::pin(get.ask(path, None))),
                Request::Post { body, media_type } => {
                    self.post.start(|post| Box::pin(post.ask(path, Some((body, media_type)))));
                }
            }
        }
    }

    /// Waits until something has come, or was said. May be given up at any time.
    pub(super) async fn next(&mut self, listening: bool) -> Result<Turn, SessionError> {
        loop {
            if listening && let Some(message) = self.incoming.pop_front() {
                return Ok(Turn::Message(message));
            }
            // What has come by requests comes first.
            if self.incoming.is_empty()
                && self.websocket.is_some()
                && let Some(first) = self.polling.take_over()
                && let Some(mut websocket) = self.websocket.take()
            {
                first.iter().try_for_each(|message| super::push(&mut websocket, message))?;
                return Ok(Turn::Upgraded(websocket));
            }
            // Answers that nobody takes are not asked for.
            self.start(listening && self.incoming.is_empty());
            tokio::select! {
                answer = self.get.answer() => {
                    let Answer { is_octets, body } = answer?;
                    self.incoming.extend(self.polling.got(is_octets, &body)?);
                }
                answer = self.post.answer() => {
                    answer?;
                    self.polling.posted();
                    return Ok(Turn::Wrote);
                }
                probed = probed(&mut self.probing) => {
                    self.probing = None;
                    match probed {
                        Ok(websocket) => {
                            self.websocket = Some(Box::new(websocket));
                            self.polling.probed();
                        }
                        Err(error) => tracing::debug!(%error, "the session goes on by requests"),
                    }
                }
            }
        }
    }

    /// Says what is left, and that the session is over, as far as the server takes it within 5 s.
    pub(super) async fn close(mut self) {
        self.polling.give_up_probe();
        let close = vec![Kind::Close.digit()].into();
        self.polling.push(Message { is_text: true, bytes: close });
        let flush = async {
            while !self.polling.is_flushed() {
                self.start(false);
                if self.post.answer().await.is_err() {
                    return;
                }
                self.polling.posted();
            }
        };
        // Who takes nothing more is left as it is.
        let _ = tokio::time::timeout(FLUSH_MAX, flush).await;
    }
}

async fn probed(probing: &mut Option<Probing>) -> Result<Messages, SessionError> {
    match probing {
        Some(probing) => probing.await,
        None => pending().await,
    }
}

/// Asks over a WebSocket whether the session may go on there.
async fn probe(target: &Target, sid: &str) -> Result<Messages, SessionError> {
    let mut websocket = websocket(target, Some(sid)).await?;
    websocket.push(PROBE)?;
    loop {
        match websocket.next(true).await? {
            MessagesEvent::Message(answer) if answer == PROBED => return Ok(websocket),
            MessagesEvent::Wrote => {}
            MessagesEvent::Message(_) | MessagesEvent::Binary(_) | MessagesEvent::Closed(_) => {
                return Err(SessionError::Probe);
            }
        }
    }
}

impl fmt::Debug for Polled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Polled").field("polling", &self.polling).finish_non_exhaustive()
    }
}
