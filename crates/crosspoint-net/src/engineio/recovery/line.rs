//! One connection of a client: its messages, and whether it lives.

use crate::held::Held;
use crate::outlet::now;
use crate::parting::Parting;
use crate::reading::{discard_until_closed, read};
use crate::stream::handover::{Handover, Next};
use crate::stream::{Reader, Writer};
use crate::ws::{self, CloseCode, CloseFrame, MessageKind};
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::engineio::payload::Message;
use crosspoint_hub::transport::Transport;
use crosspoint_hub::{Hub, Limit, Reason};
use std::any::Any;
use std::collections::VecDeque;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// So many bytes wait to be written before nothing more is taken from the session.
const QUEUE_BYTES_MAX: usize = 64 * 1024;

/// A WebSocket, or a way to requests with frames of one.
#[derive(Debug)]
pub(in crate::engineio) struct Line {
    hub: Arc<Hub>,
    reader: Reader,
    writer: Writer,
    websocket: Box<ws::Connection>,
    transport: Transport,
    held: Held,
    /// The largest message, and how long the answer to a heartbeat may take.
    bounds: Bounds,
    /// A message of which some has come.
    begun: BytesMut,
    since: Option<Instant>,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// When a heartbeat was sent that has no answer.
    asked: Option<Instant>,
    read_at: Instant,
    /// The client has sent too much, and is not read before this.
    throttled: Option<Instant>,
    /// Since when nobody listens to the client.
    deaf: Option<Instant>,
    /// What is kept as long as the connection is there, such as its right to be there.
    _kept: Box<dyn Any + Send + Sync>,
}

#[derive(Debug, Clone, Copy)]
pub(in crate::engineio) struct Bounds {
    pub(in crate::engineio) message_bytes_max: u32,
    pub(in crate::engineio) answer_time_max: Duration,
}

/// Why a connection does not go on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Gone {
    /// It is lost.
    Lost,
    /// The client has closed it.
    Closed,
    /// The client does not answer.
    Silent,
    /// The client has broken a rule, or there is no memory for what it says.
    Broken(Reason),
}

impl From<io::Error> for Gone {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

impl Line {
    pub(in crate::engineio) fn new(
        (hub, held): (Arc<Hub>, Held),
        (reader, writer): (Reader, Writer),
        websocket: Box<ws::Connection>,
        transport: Transport,
        bounds: Bounds,
        kept: impl Any + Send + Sync,
    ) -> Self {
        let mut line = Self {
            hub,
            reader,
            writer,
            websocket,
            transport,
            held,
            bounds,
            begun: BytesMut::new(),
            since: None,
            queue: VecDeque::new(),
            queued: 0,
            asked: None,
            read_at: now(),
            throttled: None,
            deaf: None,
            _kept: Box::new(kept),
        };
        line.websocket.set_frame_bytes_max(bounds.message_bytes_max.into());
        line
    }

    /// What carries the session.
    pub(super) fn transport(&self) -> Transport {
        self.transport
    }

    /// What the client has shown over TLS.
    pub(super) fn certificate(&self) -> Option<Arc<crosspoint_auth::ClientCertificate>> {
        self.writer.client_certificate()
    }

    /// The next whole message of what was read. One that is too large for the session is given as far as it has come.
    pub(super) fn next(&mut self) -> Result<Option<Message>, Gone> {
        while self.throttled.is_none() {
            match self.websocket.poll() {
                Ok(Some(ws::Event::Data { kind, bytes, message_fin, .. })) => {
                    let is_text = kind == MessageKind::Text;
                    if message_fin && self.begun.is_empty() {
                        return Ok(Some(Message { is_text, bytes }));
                    }
                    self.begun.extend_from_slice(&bytes);
                    self.since.get_or_insert_with(now);
                    if message_fin || self.begun.len() > self.bounds.message_bytes_max as usize {
                        self.since = None;
                        let bytes = std::mem::take(&mut self.begun).freeze();
                        return Ok(Some(Message { is_text, bytes }));
                    }
                }
                Ok(Some(ws::Event::Closed(_))) => return Err(Gone::Closed),
                Ok(None) => break,
                Err(error) => {
                    if error.reason() == Reason::TooLarge {
                        self.hub.metrics.hit(Limit::FrameBytes);
                    }
                    return Err(Gone::Broken(error.reason()));
                }
            }
        }
        Ok(None)
    }

    /// Counts what was looked at, and has the memory of what is left charged.
    pub(super) fn settle(&mut self) -> Result<(), Gone> {
        let held = self.websocket.buffered() + self.begun.capacity();
        self.held.settle(held).map_err(Gone::Broken)?;
        if let Some(until) = self.held.count(&mut self.websocket) {
            self.throttled = Some(until);
        }
        // Servers need no randomness for it.
        if let Ok(Some(pong)) = self.websocket.pong() {
            self.push(pong);
        }
        Ok(())
    }

    /// Waits until something that waits can be written, or something has come, if the client is listened to. Cancelling it
    /// loses nothing. Gives whether the connection has changed.
    pub(super) async fn turn(&mut self, listens: bool) -> Result<bool, Gone> {
        let Self { reader, writer, queue, .. } = self;
        let bytes = tokio::select! {
            // What is wrong with it is seen by the write that follows.
            _ = writer.writable(), if !queue.is_empty() => return Ok(false),
            bytes = read(reader), if listens => bytes.unwrap_or_default(),
            else => pending().await,
        };
        if bytes.is_empty() {
            return if self.change_reader() { Ok(true) } else { Err(self.lost()) };
        }
        self.read_at = now();
        self.websocket.receive(bytes);
        Ok(false)
    }

    /// Why nothing more comes. A way of requests tells what was wrong with one.
    fn lost(&self) -> Gone {
        match self.writer.handover().and_then(Handover::lost) {
            None | Some(Reason::ConnectionLost) => Gone::Lost,
            Some(reason) => Gone::Broken(reason),
        }
    }

    /// Reads from the client's next connection, if it has one.
    fn change_reader(&mut self) -> bool {
        let next = self.writer.handover().and_then(Handover::next);
        let Some(Next { reader, websocket }) = next else { return false };
        (self.reader, self.websocket) = (reader, websocket);
        self.websocket.set_frame_bytes_max(self.bounds.message_bytes_max.into());
        self.transport = self.writer.transport(true);
        self.read_at = now();
        true
    }

    /// Whether the client is listened to, where the session takes what it says or not. Silence that is ours is not the
    /// client's fault.
    pub(super) fn listens(&mut self, is_taken: bool) -> bool {
        let now = now();
        self.throttled.take_if(|until| *until <= now);
        let listens = is_taken && self.throttled.is_none();
        if let Some(since) = self.deaf.take() {
            let time = now.saturating_duration_since(since);
            self.websocket.unheard(time);
            self.since = self.since.map(|since| since + time);
            self.read_at += time;
        }
        self.deaf = (!listens).then_some(now);
        listens
    }

    /// A heartbeat is sent.
    pub(super) fn asks(&mut self) {
        self.asked.get_or_insert_with(now);
    }

    /// The client has answered one.
    pub(super) fn answered(&mut self) {
        self.asked = None;
    }

    /// When the answer to a heartbeat is late.
    fn overdue_at(&self) -> Option<Instant> {
        self.asked.map(|asked| asked.max(self.read_at) + self.bounds.answer_time_max)
    }

    /// When what has begun has to be whole.
    fn whole_until(&mut self) -> Option<Instant> {
        let since = self.since.into_iter().chain(self.websocket.unfinished_since(now())).min();
        since.map(|since| since + self.hub.limits.message_time_max)
    }

    /// When to look whether it lives ([`check`](Self::check)), or can be read again.
    pub(super) fn deadline(&mut self) -> Option<Instant> {
        match self.deaf {
            Some(_) => self.throttled,
            None => self.overdue_at().into_iter().chain(self.whole_until()).min(),
        }
    }

    /// Looks whether it lives.
    pub(super) fn check(&mut self) -> Result<(), Gone> {
        let now = now();
        if self.deaf.is_some() {
            return Ok(());
        }
        if self.overdue_at().is_some_and(|at| at <= now) {
            self.hub.metrics.hit(Limit::HeartbeatMissed);
            return Err(Gone::Silent);
        }
        if self.whole_until().is_some_and(|at| at <= now) {
            self.hub.metrics.hit(Limit::MessageTime);
            return Err(Gone::Broken(Reason::IdleTimeout));
        }
        Ok(())
    }

    /// Says a message behind all that was said before.
    pub(super) fn say(&mut self, Message { is_text, bytes }: Message) {
        let kind = if is_text { MessageKind::Text } else { MessageKind::Binary };
        // Servers need no randomness for it.
        match self.websocket.deflates() {
            true => {
                self.queued += self.websocket.message(kind, &bytes).map_or(0, |framed| {
                    let length = framed.len();
                    self.queue.push_back(framed);
                    length
                })
            }
            false => {
                let framed = self.websocket.message_pieces(kind, bytes, &mut self.queue);
                self.queued += framed.unwrap_or_default();
                // Pieces that wait are not empty.
                if self.queue.back().is_some_and(Bytes::is_empty) {
                    self.queue.pop_back();
                }
            }
        }
    }

    /// Says the last of all, which is a close frame of the session.
    pub(super) fn say_farewell(&mut self, close: Bytes) {
        // It is closed by that, and this one is not written.
        let _ = self.websocket.close(None);
        self.push(close);
    }

    fn push(&mut self, bytes: Bytes) {
        self.queued += bytes.len();
        self.queue.push_back(bytes);
    }

    /// What waits to be written, in bytes.
    pub(super) fn queued(&self) -> usize {
        self.queued
    }

    pub(super) fn has_room(&self) -> bool {
        self.queued < QUEUE_BYTES_MAX
    }

    /// Writes what can be written without waiting.
    pub(super) fn write(&mut self) -> Result<(), Gone> {
        while !self.queue.is_empty() {
            match self.writer.try_write_queue(&mut self.queue)? {
                0 => return Ok(()),
                written => self.queued -= written,
            }
        }
        // What waits is most often little.
        if self.queue.capacity() > 64 {
            self.queue = VecDeque::new();
        }
        Ok(())
    }

    /// Writes what is left, and closes.
    pub(super) async fn part(mut self, parting: &Parting) {
        self.change_reader();
        let farewell = async {
            while !self.queue.is_empty() {
                if self.writer.writable().await.is_err() || self.write().is_err() {
                    return;
                }
            }
            self.writer.shutdown();
            discard_until_closed(&mut self.reader, Some(&mut self.websocket)).await;
        };
        parting.wait(parting.longest(), farewell).await;
    }

    /// The same for a reason that the client is told, unless it has closed by itself.
    pub(super) async fn part_because(mut self, gone: Gone, parting: &Parting) {
        let (code, reason) = match gone {
            Gone::Lost => return,
            Gone::Closed => (CloseCode::NORMAL, Reason::Bye),
            // Nobody asks for it where the client has stayed away from requests.
            Gone::Silent if self.writer.handover().is_some_and(Handover::is_to_come) => return,
            Gone::Silent => (CloseCode::POLICY, Reason::HeartbeatLost),
            Gone::Broken(reason) => (CloseCode::POLICY, reason),
        };
        let close = CloseFrame::because(code, reason, None);
        if let Ok(Some(close)) = self.websocket.close(Some(&close)) {
            self.push(close);
        }
        self.part(parting).await;
    }
}
