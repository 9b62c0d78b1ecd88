//! The task of a connection: moves messages between the transport and the protocol, and starts
//! handlers.

use super::handlers::params;
use super::shared::{Answer, Handle, Link, Shared, State, moment, now};
use super::{Arg, Ended, Fault, Id, Json, Peer, PeerError, ProxyError};
use crate::handling::{Held, caught};
use bytes::BytesMut;
use crosspoint_gateways::anysocket::Ticket;
use crosspoint_gateways::anysocket::cipher::SystemRandom;
use crosspoint_gateways::anysocket::client::{Event, LinkId};
use crosspoint_gateways::anysocket::internal::rpc::{self, Failure, Outcome};
use crosspoint_net::messages::{Messages, MessagesError, MessagesEvent};
use crosspoint_net::ws::{CloseCode, CloseFrame};
use std::sync::{Arc, PoisonError, Weak};
use tokio::sync::oneshot;

/// Bytes that may wait for the socket before the protocol is asked for more.
const WRITE_BYTES_MAX: usize = 256 * 1024;

/// Decides about the server from its id and what its application gives.
pub(super) type Check = Box<dyn FnOnce(&Id, Option<&Json>) -> bool + Send>;

/// Bounds of the driver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) message_bytes_max: usize,
    /// Messages and calls that are handled or wait for that.
    pub(super) held_max: usize,
    /// The same in bytes.
    pub(super) held_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes_max: 8 << 20, held_max: 1024, held_bytes_max: 32 << 20 }
    }
}

pub(super) struct Driver {
    shared: Arc<Shared>,
    messages: Messages,
    handle: Weak<Handle>,
    limits: Limits,
    check: Option<Check>,
    /// The caller that waits for the connection, until it is there.
    ready: Option<oneshot::Sender<Result<Arc<Link>, Ended>>>,
    out: BytesMut,
    /// What is to begin when the lock is released.
    starts: Vec<Start>,
}

/// What runs in a task of its own.
enum Start {
    /// The messages of a peer.
    Messages(Arc<Link>),
    Call {
        link: Arc<Link>,
        call: rpc::Call,
        ticket: Option<Ticket>,
        held: Held,
    },
}

impl Driver {
    pub(super) fn new(
        shared: Arc<Shared>,
        messages: Messages,
        handle: Weak<Handle>,
        limits: Limits,
        check: Option<Check>,
        ready: oneshot::Sender<Result<Arc<Link>, Ended>>,
    ) -> Self {
        let (ready, out) = (Some(ready), BytesMut::new());
        Self { shared, messages, handle, limits, check, ready, out, starts: Vec::new() }
    }

    pub(super) async fn run(mut self) {
        let shared = self.shared.clone();
        // Also when the runtime ends before the connection does.
        let mut over = Over { shared: shared.clone(), ended: Ended::Here };
        let mut code = None;
        let ended = loop {
            let (ended, deadline) = {
                let mut state = shared.lock();
                (self.advance(&mut state), state.machine.deadline())
            };
            self.start();
            if let Some(ended) = ended {
                break ended;
            }
            let listening = self.listening();
            let sleep = tokio::time::sleep_until(deadline.unwrap_or_else(now).into());
            tokio::select! {
                turn = self.messages.next(listening) => {
                    let mut state = shared.lock();
                    match turn {
                        Ok(MessagesEvent::Message(message)) => {
                            state.machine.receive(moment(), &mut SystemRandom, message);
                        }
                        // Binary ones are an error of the transport.
                        Ok(MessagesEvent::Wrote | MessagesEvent::Binary(_)) => {}
                        Ok(MessagesEvent::Closed(_)) => state.machine.end(Ended::There),
                        Err(error) => {
                            code = Some(error.close_code());
                            state.machine.end(transport(error));
                        }
                    }
                }
                () = shared.wake.notified() => {}
                () = sleep, if deadline.is_some() => shared.lock().machine.tick(now(), listening),
            }
        };
        if let Some(ready) = self.ready.take() {
            // Nobody waits any more if this fails.
            let _ = ready.send(Err(ended.clone()));
        }
        over.ended = ended.clone();
        let code = match &ended {
            Ended::Here | Ended::There => None,
            Ended::Refused => Some(CloseCode::POLICY),
            Ended::Silent => Some(CloseCode::GOING_AWAY),
            Ended::Broken(_) | Ended::Fault(_) => code.or(Some(CloseCode::PROTOCOL_ERROR)),
        };
        let frame = code.map(|code| CloseFrame { code, reason: ended.to_string() });
        let closed = self.messages.close(frame.as_ref());
        if matches!(ended, Ended::Here) {
            // A caller that waits for the end wants everything to be written.
            closed.await;
            drop(over);
        } else {
            drop(over);
            closed.await;
        }
    }

    fn listening(&self) -> bool {
        self.shared.holding.has_room(self.limits.held_max, self.limits.held_bytes_max)
    }

    fn start(&mut self) {
        for start in self.starts.drain(..) {
            let (shared, handle) = (self.shared.clone(), self.handle.clone());
            match start {
                Start::Messages(link) => {
                    tokio::spawn(handle_messages(shared, handle, link));
                }
                Start::Call { link, call, ticket, held } => {
                    // Without one, nobody is left who could serve.
                    let Some(handle) = handle.upgrade() else {
                        continue;
                    };
                    let peer = Peer { handle, link };
                    tokio::spawn(async move {
                        let _held = held;
                        let outcome = outcome(&peer, call).await;
                        reply(&peer, ticket, outcome.to_json()).await;
                    });
                }
            }
        }
    }

    /// Takes what the protocol has to write and to tell, until there is nothing. Gives the end.
    fn advance(&mut self, state: &mut State) -> Option<Ended> {
        let mut moved = false;
        let ended = loop {
            while self.messages.queued() < WRITE_BYTES_MAX {
                self.out.clear();
                if !state.machine.transmit(&mut SystemRandom, &mut self.out) {
                    break;
                }
                moved = true;
                if let Err(error) = self.messages.push(&self.out) {
                    state.machine.end(Ended::Broken(Arc::new(error)));
                }
            }
            let Some(event) = state.machine.poll() else {
                break None;
            };
            moved = true;
            if let Some(ended) = self.event(state, event) {
                break Some(ended);
            }
        };
        // A large message leaves no large buffer behind.
        if self.out.capacity() > WRITE_BYTES_MAX {
            self.out = BytesMut::new();
        }
        if moved {
            self.shared.room.notify_waiters();
        }
        ended
    }

    fn event(&mut self, state: &mut State, event: Event<oneshot::Sender<Answer>>) -> Option<Ended> {
        match event {
            Event::Connected { id, auth } => self.connected(state, id, auth),
            Event::Linked { link, id, asked } => {
                let new = Link::new(link, id.into(), None);
                state.links.insert(link, new.clone());
                if !asked {
                    state.incoming.push_back(new);
                    self.shared.arrived.notify_waiters();
                }
            }
            Event::Proxied { id, link } => {
                let link = link.and_then(|link| {
                    let there = state.links.get(&link).cloned();
                    there.ok_or(ProxyError::Ended(Ended::There))
                });
                for asker in state.askers.remove(&id).unwrap_or_default() {
                    // Who has given up the wait finds the link when it asks again.
                    let _ = asker.send(link.clone());
                }
            }
            Event::Message { link, body, ticket } => self.message(state, link, body, ticket),
            Event::Call { link, call, ticket } => self.call(state, link, call, ticket),
            // A caller that has given up the wait needs no answer.
            Event::Answered { token, body, at } => drop(token.send(Ok((body, at)))),
            Event::TimedOut { token } => drop(token.send(Err(PeerError::TimedOut))),
            Event::Abandoned { token, ended } => drop(token.send(Err(PeerError::Ended(ended)))),
            Event::Encrypted { link, fingerprint } => {
                if let Some(link) = state.links.get(&link) {
                    link.secured.send_replace(Some(fingerprint));
                }
            }
            Event::Gone { link: LinkId::NEIGHBOUR, ended } => return Some(ended),
            Event::Gone { link, ended } => {
                if let Some(gone) = state.links.remove(&link) {
                    gone.ended.send_replace(Some(ended));
                }
                state.incoming.retain(|incoming| incoming.link != link);
            }
        }
        None
    }

    fn connected(&mut self, state: &mut State, id: Id, auth: Option<Json>) {
        if self.check.take().is_some_and(|check| !check(&id, auth.as_ref())) {
            return state.machine.end(Ended::Refused);
        }
        let link = Link::new(LinkId::NEIGHBOUR, id, auth);
        state.links.insert(LinkId::NEIGHBOUR, link.clone());
        if let Some(ready) = self.ready.take() {
            // Who has given up the wait has dropped the handle too, which closes the connection.
            let _ = ready.send(Ok(link));
        }
    }

    fn message(&mut self, state: &State, link: LinkId, body: Json, ticket: Option<Ticket>) {
        let Some(link) = state.links.get(&link) else {
            return;
        };
        let held = Held::new(&self.shared.holding, body.as_bytes().len());
        let mut inbox = link.inbox.lock().unwrap_or_else(PoisonError::into_inner);
        inbox.waiting.push_back((body, ticket, held));
        if !std::mem::replace(&mut inbox.running, true) {
            self.starts.push(Start::Messages(link.clone()));
        }
    }

    fn call(&mut self, state: &State, link: LinkId, call: rpc::Call, ticket: Option<Ticket>) {
        let Some(link) = state.links.get(&link).cloned() else {
            return;
        };
        let bytes = call.params.iter().map(|param| match param {
            rpc::Value::Json(json) => json.as_bytes().len(),
            rpc::Value::Binary(bytes) => bytes.len(),
        });
        let held = Held::new(&self.shared.holding, bytes.sum());
        self.starts.push(Start::Call { link, call, ticket, held });
    }
}

/// Tells everybody who waits for it that the connection has ended, when it is dropped.
struct Over {
    shared: Arc<Shared>,
    ended: Ended,
}

impl Drop for Over {
    fn drop(&mut self) {
        let (links, askers) = {
            let mut state = self.shared.lock();
            // Nothing is left to do, unless the runtime has ended.
            state.machine.end(self.ended.clone());
            while state.machine.poll().is_some() {}
            state.incoming.clear();
            (std::mem::take(&mut state.links), std::mem::take(&mut state.askers))
        };
        for link in links.into_values() {
            link.ended.send_replace(Some(self.ended.clone()));
        }
        drop(askers);
        self.shared.room.notify_waiters();
        self.shared.arrived.notify_waiters();
    }
}

fn transport(error: MessagesError) -> Ended {
    match error {
        MessagesError::Io(error) => Ended::Broken(Arc::new(error)),
        error => Fault::Transport(error.to_string()).into(),
    }
}

/// Handles the messages of a peer one after the other, until none is left.
async fn handle_messages(shared: Arc<Shared>, handle: Weak<Handle>, link: Arc<Link>) {
    loop {
        let (body, ticket, held) = {
            let mut inbox = link.inbox.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(next) = inbox.waiting.pop_front() else {
                inbox.running = false;
                return;
            };
            next
        };
        let _held = held;
        let (Some(handler), Some(handle)) = (shared.handlers.message(), handle.upgrade()) else {
            continue;
        };
        let peer = Peer { handle, link: link.clone() };
        let Peer { handle, link } = peer.clone();
        let Some(said) = caught(|| handler(handle, link, body)).await else {
            continue;
        };
        if let Some(value) = said {
            let body = Json::new(&value).expect("a JSON value has a JSON form");
            reply(&peer, ticket, body).await;
        }
    }
}

async fn outcome(peer: &Peer, call: rpc::Call) -> Outcome {
    let rpc::Call { method, params: values } = call;
    let Some(handler) = peer.handle.shared.handlers.method(&method) else {
        return Outcome::Failed(Failure::not_found(&method));
    };
    let failed = |error: &str| Outcome::Failed(Failure::failed(error, &method));
    let params = match params(&values) {
        Ok(params) => params,
        Err(error) => return failed(&error.to_string()),
    };
    drop(values);
    let Peer { handle, link } = peer.clone();
    let result = match caught(|| handler(handle, link, params)).await {
        Some(Ok(result)) => result,
        Some(Err(error)) => return failed(&error),
        None => return failed("the method panicked"),
    };
    match Arg::to_wire(&result) {
        Ok(value) => Outcome::Returned(Some(value)),
        Err(error) => failed(&error.to_string()),
    }
}

/// Answers as soon as there is room. A link that has ended takes no answer.
async fn reply(peer: &Peer, ticket: Option<Ticket>, body: Json) {
    let Some(ticket) = ticket else {
        return;
    };
    let mut ticket = Some(ticket);
    let link = peer.link.link;
    let answer = |state: &mut State| {
        state.machine.check(link, &body)?;
        match ticket.take() {
            Some(ticket) => state.machine.reply(link, ticket, body.clone()),
            None => Ok(()),
        }
    };
    if let Err(error) = peer.handle.shared.submit(&peer.link, answer).await {
        tracing::debug!(peer = %peer.id(), %error, "an answer was not sent");
    }
}
