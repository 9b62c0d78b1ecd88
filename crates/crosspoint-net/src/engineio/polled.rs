//! One session that comes by requests.

use super::said::Said;
use crate::deadline::FAR;
use crate::memory::WriteEnd;
use crate::outlet::now;
use crate::stream::handover::Handover;
use crate::ws::Opcode;
use crate::ws::frame::{self, server_header};
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::engineio::exchange::Hang;
use crosspoint_gateways::engineio::packet::Kind;
use crosspoint_gateways::engineio::payload::Message;
use crosspoint_gateways::engineio::{Exchange, Refusal, Revision};
use crosspoint_hub::Reason;
use crosspoint_hub::ledger::{Account, Purpose};
use std::io::{self, IoSlice};
use std::pin::pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use tokio::sync::Notify;
use tokio::time::sleep_until;

/// So many bytes of what a client says are handed on together, unless one message alone is larger.
const BATCH_BYTES: usize = 8 * 1024;

/// A session, between its requests.
#[derive(Debug)]
pub(super) struct Polled {
    exchange: Mutex<Exchange>,
    /// What it says. A request that waits for it has it.
    said: Mutex<Option<Said>>,
    /// The way to the session, for frames of a WebSocket.
    writer: WriteEnd,
    /// Where the session becomes a WebSocket.
    handover: Arc<Handover>,
    /// Something has changed for those who wait.
    changed: Notify,
}

/// What a request has brought.
#[derive(Debug)]
pub(super) struct Brought {
    messages: Vec<Message>,
    /// The client closes the session.
    closes: bool,
}

impl Brought {
    /// What it takes besides the body, in bytes.
    pub(super) fn bytes(&self) -> usize {
        self.messages.capacity() * size_of::<Message>()
    }
}

/// The body of an answer, and its media type.
#[derive(Debug)]
pub(super) struct Payload {
    pub(super) bytes: Bytes,
    pub(super) kind: &'static str,
}

impl From<(Vec<u8>, &'static str)> for Payload {
    fn from((bytes, kind): (Vec<u8>, &'static str)) -> Self {
        Self { bytes: bytes.into(), kind }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    // What is guarded is consistent between any two statements that could panic.
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Polled {
    /// A session that the first request waits for ([`Polled::first`]).
    pub(super) fn new(exchange: Exchange, writer: WriteEnd, handover: Arc<Handover>) -> Arc<Self> {
        Arc::new(Self {
            exchange: Mutex::new(exchange),
            said: Mutex::new(None),
            writer,
            handover,
            changed: Notify::new(),
        })
    }

    /// Has the session pay for what is on its way to the client and back.
    pub(super) fn charge(&self, account: &Arc<Account>) {
        self.writer.charge(account, Purpose::Retained);
    }

    pub(super) fn revision(&self) -> Revision {
        lock(&self.exchange).revision()
    }

    /// Changes what may be asked, and lets those look who wait.
    fn change<T>(&self, change: impl FnOnce(&mut Exchange) -> T) -> T {
        let result = change(&mut lock(&self.exchange));
        self.changed.notify_waiters();
        result
    }

    /// As [`change`](Self::change). A session that is over by that is lost to its client for this reason, and hears
    /// nothing more.
    fn ask<T>(&self, reason: Reason, ask: impl FnOnce(&mut Exchange) -> T) -> T {
        let (result, is_lost) = self.change(|exchange| {
            let was_over = exchange.is_over();
            (ask(exchange), exchange.is_over() && !was_over)
        });
        if is_lost {
            self.lose(reason);
        }
        result
    }

    fn lose(&self, reason: Reason) {
        self.handover.lose(reason);
        self.writer.abort();
    }

    /// The session is lost to its client.
    pub(super) fn fail(&self, reason: Reason) {
        self.ask(reason, Exchange::fail);
    }

    /// Whether the session may become a WebSocket.
    pub(super) fn may_upgrade(&self) -> bool {
        lock(&self.exchange).may_probe()
    }

    /// Begins a request that takes what the session says.
    ///
    /// # Errors
    /// What it is answered.
    pub(super) fn poll(self: &Arc<Self>) -> Result<Hanging, Refusal> {
        self.ask(Reason::Malformed, Exchange::poll)?;
        let mut said = lock(&self.said).take().ok_or(Refusal::BadRequest)?;
        if said.take_ping() {
            self.pong();
        }
        Ok(Hanging { request: Request::of(self), said })
    }

    /// Tells the session that its client lives, unless something else does that.
    fn pong(&self) {
        // Nobody else writes before this is given back.
        let exchange = lock(&self.exchange);
        if !exchange.is_posting() && !self.writer.is_under_way() {
            let pong = frame::pong_frame(&[], None);
            // The session may have ended.
            let _ = self.writer.try_write_vectored(&[IoSlice::new(&pong)]);
        }
    }

    /// The request with which the session begins.
    pub(super) fn first(self: &Arc<Self>, said: Said) -> Hanging {
        Hanging { request: Request::of(self), said }
    }

    /// Begins a request that brings what the client says, which is to be done by [`posted`](Self::posted).
    ///
    /// # Errors
    /// What it is answered.
    pub(super) fn post(self: &Arc<Self>) -> Result<Request, Refusal> {
        self.ask(Reason::Malformed, Exchange::post)?;
        Ok(Request::of(self))
    }

    /// Reads the body of such a request.
    ///
    /// # Errors
    /// What it is answered.
    pub(super) fn read(&self, is_octets: bool, body: &Bytes) -> Result<Brought, Refusal> {
        let brought = self.change(|exchange| {
            let messages = exchange.posted(is_octets, body)?;
            Ok(Brought { messages, closes: exchange.is_over() })
        });
        brought.inspect_err(|_| self.lose(Reason::Malformed))
    }

    /// Hands what such a request has brought on to the session.
    ///
    /// # Errors
    /// What it is answered.
    pub(super) async fn posted(&self, request: Request, brought: Brought) -> Result<(), Refusal> {
        let Brought { messages, closes } = brought;
        // It may have ended by itself meanwhile.
        self.say(&messages).await.map_err(|_| Refusal::UnknownSid)?;
        self.change(Exchange::post_done);
        request.done();
        if closes {
            self.writer.shutdown();
        }
        Ok(())
    }

    /// Hands messages on to the session.
    async fn say(&self, messages: &[Message]) -> io::Result<()> {
        let mut batch = BytesMut::new();
        for Message { is_text, bytes } in messages {
            let opcode = if *is_text { Opcode::Text } else { Opcode::Binary };
            // Masks are for those who might be between a browser and a server.
            batch.extend_from_slice(server_header(opcode, true, bytes.len()).as_slice());
            match bytes.len() {
                ..BATCH_BYTES => batch.extend_from_slice(bytes),
                _ => {
                    self.write(&batch.split()).await?;
                    self.write(bytes).await?;
                }
            }
            if batch.len() >= BATCH_BYTES {
                self.write(&batch.split()).await?;
            }
        }
        self.write(&batch).await
    }

    async fn write(&self, mut bytes: &[u8]) -> io::Result<()> {
        while !bytes.is_empty() {
            self.writer.writable().await?;
            match self.writer.try_write_vectored(&[IoSlice::new(bytes)]) {
                Ok(written) => bytes = &bytes[written..],
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }
}

/// A request that is under way, or its answer. Who drops it before it is done loses the session.
#[derive(Debug)]
pub(super) struct Request(Option<Arc<Polled>>);

impl Request {
    pub(super) fn of(polled: &Arc<Polled>) -> Self {
        Self(Some(polled.clone()))
    }

    pub(super) fn done(mut self) {
        self.0 = None;
    }

    /// Loses the session for this reason.
    pub(super) fn fail(&self, reason: Reason) {
        if let Some(polled) = &self.0 {
            polled.fail(reason);
        }
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        self.fail(Reason::ConnectionLost);
    }
}

/// A request that waits for what the session says.
#[derive(Debug)]
pub(super) struct Hanging {
    request: Request,
    said: Said,
}

impl Polled {
    /// Waits for something that answers a request.
    ///
    /// # Errors
    /// The request is not served.
    pub(super) async fn answer(&self, hanging: Hanging) -> Result<Payload, Refusal> {
        let Hanging { request, mut said } = hanging;
        let (answer, ended) = loop {
            let mut changed = pin!(self.changed.notified());
            changed.as_mut().enable();
            let hang = lock(&self.exchange).hang(now());
            let (until, is_due) = match hang {
                Hang::Wait(until) => (until, false),
                Hang::Noop => (Some(now()), true),
                Hang::Told(kind) => break (Ok(lock(&self.exchange).packet(kind)), false),
                Hang::Refused(refusal) => break (Err(refusal), false),
            };
            let messages = said.messages();
            let ended = said.has_ended();
            if messages.is_empty() && said.is_pinged() && !ended {
                // The next request shows that the client has got this.
                break (Ok(lock(&self.exchange).packet(Kind::Noop)), false);
            }
            if !messages.is_empty() {
                // The next request is told that the session has ended. A client that is told together with its last
                // words takes the end of the transport for the reason.
                break (Ok(lock(&self.exchange).payload(&messages)), false);
            }
            if ended {
                break (Ok(lock(&self.exchange).packet(Kind::Close)), true);
            }
            let until = until.unwrap_or_else(|| now() + FAR);
            tokio::select! {
                biased;
                () = said.read() => {}
                () = changed => {}
                () = sleep_until(until.into()) => {
                    if is_due {
                        break (Ok(lock(&self.exchange).packet(Kind::Noop)), false);
                    }
                }
            }
        };
        if ended {
            // It waits for nothing more.
            self.writer.shutdown();
        }
        *lock(&self.said) = Some(said);
        self.change(|exchange| exchange.polled(ended));
        request.done();
        answer.map(Into::into)
    }
}

/// A WebSocket that a session may become. Who drops it before that leaves the session as it was, unless the client has
/// given up requests.
#[derive(Debug)]
pub(super) struct Upgrade(Arc<Polled>);

impl Upgrade {
    /// Begins it, if the session may.
    pub(super) fn begin(polled: &Arc<Polled>) -> Option<Self> {
        let may = polled.ask(Reason::ConnectionLost, |exchange| exchange.probe(now()));
        may.then(|| Self(polled.clone()))
    }

    /// The client gives up requests. Waits until none is under way, and gives what the session has said. `None` if it is
    /// over.
    pub(super) async fn ready(&self) -> Option<Said> {
        let polled = &self.0;
        polled.ask(Reason::ConnectionLost, Exchange::upgrade).then_some(())?;
        loop {
            let mut changed = pin!(polled.changed.notified());
            changed.as_mut().enable();
            let (may, is_over) = {
                let exchange = lock(&polled.exchange);
                (exchange.may_hand_over(), exchange.is_over())
            };
            if may {
                return lock(&polled.said).take();
            }
            if is_over {
                return None;
            }
            changed.await;
        }
    }

    pub(super) fn handover(&self) -> &Handover {
        &self.0.handover
    }

    /// The session is the WebSocket from now on.
    pub(super) fn done(self) {
        self.0.change(Exchange::handed_over);
        self.0.writer.shutdown();
    }
}

impl Drop for Upgrade {
    fn drop(&mut self) {
        self.0.ask(Reason::ConnectionLost, Exchange::probe_lost);
    }
}
