//! What a client has missed that has lost its connection and comes back (connection state recovery of protocol 5).
//!
//! A session with recovery is carried over one connection after the other. Whoever carries it shows each message here,
//! in both directions. The answer to CONNECT gets a secret by which the client finds its session again (`pid`), and each
//! event without an acknowledgement gets one more argument, its offset. The client tells both when it comes back. Events
//! are kept until the client has answered a heartbeat that was written behind them.

use super::packet::{Header, Kind, ROOT};
use crate::engineio::packet::Kind as Transported;
use crate::engineio::payload::Message;
use crate::engineio::{Sid, socket};
use bytes::{BufMut, Bytes, BytesMut};
use serde::Deserialize;
use std::collections::VecDeque;
use std::fmt;

/// As much of a random id as tells the sessions apart in which one client can have been: 60 bits.
const MARK_BYTES: usize = 10;

/// Heartbeats without an answer that are told apart.
const PINGS_MAX: usize = 8;

/// What one session has told its client, as far as that may have to be told again.
pub struct Recovery {
    pid: Sid,
    /// What offsets begin with. No other session has the same, of whatever hub, so that an offset of another one says that
    /// the client has heard nothing of this one.
    mark: Box<str>,
    bytes_max: usize,
    stage: Stage,
    /// The answer to CONNECT, as the client got it.
    welcome: Bytes,
    kept: VecDeque<Kept>,
    /// What is kept takes so many bytes.
    bytes: usize,
    /// The number of the newest event.
    newest: u64,
    /// The number of the newest event that is not kept any more.
    forgotten: u64,
    pings: VecDeque<Ping>,
    /// The attachments of the packet that the session says.
    saying: Saying,
    /// How many attachments are missing of the packet that the client says.
    coming: u8,
    /// The number of the newest event when the connection was lost, if there is none.
    lost: Option<u64>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    /// The client has asked for no namespace.
    New,
    /// It has asked for others than the root.
    Elsewhere,
    /// It has asked for the root, and has no answer.
    Asked,
    Open,
    /// There is nothing to come back to.
    Over,
}

/// One packet.
#[derive(Debug)]
struct Kept {
    /// Its offset. `None`: it is to be acknowledged, and was not written.
    number: Option<u64>,
    /// The packet, and its attachments.
    messages: Vec<Message>,
}

impl Kept {
    fn bytes(&self) -> usize {
        let said: usize = self.messages.iter().map(|message| message.bytes.len()).sum();
        said + self.messages.capacity() * size_of::<Message>() + size_of::<Self>()
    }
}

/// Heartbeats that the client has not answered.
#[derive(Debug)]
struct Ping {
    /// The newest event that was written before the first of them.
    behind: u64,
    count: u64,
}

#[derive(Debug, Clone, Copy)]
struct Saying {
    /// So many attachments follow.
    left: u8,
    fate: Fate,
}

/// What becomes of the attachments of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Write,
    /// They are kept, and written if there is a connection.
    Keep,
    Drop,
}

/// What a message of the client is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// One for the session.
    Message(Message),
    /// The client wants to go on with the session that has this secret. If there is none, the message is one for this
    /// session.
    Return {
        /// The secret.
        pid: Sid,
        /// The offset of the last event that it has got, if any, as it says.
        offset: Option<String>,
        /// The CONNECT.
        message: Message,
    },
    /// The client gives the connection up, as if it were lost.
    Closed,
}

/// More than is kept was said to a client that is away.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("more was said to a client that is away than is kept")]
pub struct Full;

/// What a client gives with CONNECT.
#[derive(Deserialize)]
struct Auth {
    pid: Option<String>,
    offset: Option<String>,
}

impl Recovery {
    /// For a session that has just begun. `pid` is its secret, and `mark` tells its offsets from those of other sessions: it
    /// is random, and no secret. Of what its client may have missed, `bytes_max` bytes are kept.
    pub fn new(pid: Sid, mark: Sid, bytes_max: usize) -> Self {
        Self {
            pid,
            mark: format!("{}:", &mark.text()[..MARK_BYTES]).into(),
            bytes_max,
            stage: Stage::New,
            welcome: Bytes::new(),
            kept: VecDeque::new(),
            bytes: 0,
            newest: 0,
            forgotten: 0,
            pings: VecDeque::new(),
            saying: Saying { left: 0, fate: Fate::Write },
            coming: 0,
            lost: None,
        }
    }

    /// What is kept, in bytes.
    pub fn bytes(&self) -> usize {
        self.bytes + self.welcome.len()
    }

    /// The client says something.
    pub fn heard(&mut self, message: Message) -> Heard {
        let Message { is_text, bytes } = &message;
        match (&bytes[..], is_text) {
            (_, false) | ([b'b', ..], _) => self.coming = self.coming.saturating_sub(1),
            (b"1", _) => return Heard::Closed,
            (b"3", _) => self.answered(),
            // What only the carrier says is wrong for the session without its end too.
            (socket::AWAY, _) => {
                return Heard::Message(Message { is_text: true, bytes: bytes.slice(..1) });
            }
            ([b'4', b'0' | b'1' | b'5' | b'6', ..], _) => return self.heard_packet(message),
            _ => {}
        }
        Heard::Message(message)
    }

    fn heard_packet(&mut self, message: Message) -> Heard {
        match parse(&message.bytes) {
            Some((Header { kind: Kind::Connect, namespace, .. }, auth)) => {
                let is_first = self.stage == Stage::New;
                if is_first || self.stage == Stage::Elsewhere {
                    let is_root = namespace == ROOT;
                    self.stage = if is_root { Stage::Asked } else { Stage::Elsewhere };
                }
                if is_first && let Some((pid, offset)) = before(namespace, auth) {
                    return Heard::Return { pid, offset, message };
                }
            }
            Some((Header { kind: Kind::Disconnect, namespace: ROOT, .. }, _)) => self.end(),
            Some((header, _)) => self.coming = header.attachments,
            None => {}
        }
        Heard::Message(message)
    }

    /// The session says something. Gives what is to be written.
    ///
    /// # Errors
    /// [`Full`]: the client cannot come back to the session any more.
    pub fn said(&mut self, message: Message) -> Result<Option<Message>, Full> {
        if self.stage == Stage::Over {
            return Ok(Some(message));
        }
        if !message.is_text {
            return self.said_attachment(message);
        }
        match &message.bytes[..] {
            b"2" => self.asked(),
            [b'4', ..] => return self.said_packet(message),
            _ => {}
        }
        Ok(self.written(message))
    }

    /// A message that is written if there is a connection.
    fn written(&self, message: Message) -> Option<Message> {
        self.lost.is_none().then_some(message)
    }

    fn said_packet(&mut self, message: Message) -> Result<Option<Message>, Full> {
        let Some((header, data)) = parse(&message.bytes) else { return Ok(self.written(message)) };
        let Header { kind, namespace, id, attachments: left } = header;
        let is_away = self.lost.is_some();
        let fate = if is_away { Fate::Drop } else { Fate::Write };
        self.saying = Saying { left, fate };
        match (kind, id) {
            (Kind::Connect, _) if namespace == ROOT && self.stage == Stage::Asked => {
                let pid = format!(",\"pid\":\"{}\"", self.pid.text());
                if let Some(welcome) = insert(&message.bytes, data, b'}', &pid) {
                    self.stage = Stage::Open;
                    self.welcome = welcome.clone();
                    return Ok(Some(Message { is_text: true, bytes: welcome }));
                }
            }
            (Kind::Disconnect, _) if namespace == ROOT => self.end(),
            (Kind::Event | Kind::BinaryEvent, None) if self.numbers(namespace) => {
                let offset = format!(",\"{}{}\"", self.mark, self.newest + 1);
                if let Some(bytes) = insert(&message.bytes, data, b']', &offset) {
                    self.newest += 1;
                    let message = Message { is_text: true, bytes };
                    self.keep(Some(self.newest), message.clone())?;
                    return Ok(self.written(message));
                }
            }
            (Kind::Event | Kind::BinaryEvent, Some(_)) if self.numbers(namespace) && is_away => {
                let bytes = Bytes::copy_from_slice(&message.bytes);
                self.keep(None, Message { is_text: true, bytes })?;
            }
            _ => {}
        }
        Ok(self.written(message))
    }

    /// Whether events of a namespace have offsets.
    fn numbers(&self, namespace: &str) -> bool {
        namespace == ROOT && self.stage == Stage::Open
    }

    fn said_attachment(&mut self, message: Message) -> Result<Option<Message>, Full> {
        let Saying { left, fate } = self.saying;
        if left == 0 {
            return Ok(self.written(message));
        }
        self.saying.left -= 1;
        match (fate, self.kept.back_mut()) {
            (Fate::Drop, _) => return Ok(None),
            (Fate::Keep, Some(last)) => {
                // As it is, it would hold on to all that was read together with it.
                let bytes = Bytes::copy_from_slice(&message.bytes);
                self.bytes -= last.bytes();
                last.messages.push(Message { is_text: false, bytes });
                self.bytes += last.bytes();
                self.make_room()?;
            }
            (Fate::Keep, None) | (Fate::Write, _) => {}
        }
        Ok(self.written(message))
    }

    /// Keeps a packet, and the attachments that follow.
    fn keep(&mut self, number: Option<u64>, message: Message) -> Result<(), Full> {
        self.saying.fate = Fate::Keep;
        let mut messages = Vec::with_capacity(1 + usize::from(self.saying.left));
        messages.push(message);
        let kept = Kept { number, messages };
        self.bytes += kept.bytes();
        self.kept.push_back(kept);
        self.make_room()
    }

    /// Forgets the oldest while too much is kept.
    fn make_room(&mut self) -> Result<(), Full> {
        while self.bytes > self.bytes_max
            && let Some(oldest) = self.pop()
        {
            let was_written = |lost| oldest.is_some_and(|oldest| oldest <= lost);
            if self.lost.is_some_and(|lost| !was_written(lost)) {
                return Err(Full);
            }
        }
        Ok(())
    }

    /// Forgets the oldest packet, and gives its number.
    fn pop(&mut self) -> Option<Option<u64>> {
        let oldest = self.kept.pop_front()?;
        self.bytes -= oldest.bytes();
        self.forgotten = oldest.number.unwrap_or(self.forgotten);
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
        Some(oldest.number)
    }

    /// The client has got everything up to this event.
    fn forget(&mut self, number: u64) {
        while self.kept.front().is_some_and(|kept| kept.number.is_some_and(|kept| kept <= number)) {
            self.pop();
        }
    }

    /// A heartbeat is written.
    fn asked(&mut self) {
        if self.lost.is_some() {
            return;
        }
        let (behind, is_full) = (self.newest, self.pings.len() >= PINGS_MAX);
        match self.pings.back_mut() {
            Some(ping) if is_full || ping.behind == behind => ping.count += 1,
            _ => self.pings.push_back(Ping { behind, count: 1 }),
        }
    }

    /// The client has answered the first heartbeat that it had not answered.
    fn answered(&mut self) {
        let Some(ping) = self.pings.front_mut() else { return };
        let behind = ping.behind;
        ping.count -= 1;
        if ping.count == 0 {
            self.pings.pop_front();
        }
        self.forget(behind);
    }

    /// There is nothing to come back to any more.
    fn end(&mut self) {
        self.stage = Stage::Over;
        self.kept = VecDeque::new();
        self.bytes = 0;
    }

    /// The connection is lost. Gives whether the client may come back.
    pub fn lose(&mut self) -> bool {
        let may_return = self.stage == Stage::Open && self.coming == 0;
        if may_return && self.lost.is_none() {
            self.lost = Some(self.newest);
            self.pings = VecDeque::new();
            if self.saying.fate == Fate::Write {
                self.saying.fate = Fate::Drop;
            }
        }
        may_return
    }

    /// The client is back over a new connection, and the last event that it has got has this offset. Gives all that is
    /// written first, a heartbeat at the end. `None`: something is not kept any more that it has not got.
    pub fn come_back(&mut self, offset: Option<&str>) -> Option<Vec<Message>> {
        // It takes the last argument of each event for an offset, and each one of this session has an offset of it.
        let number = offset.and_then(|offset| offset.strip_prefix(&*self.mark)?.parse().ok());
        let number = number.unwrap_or(0);
        if self.lost.is_none() || number < self.forgotten || number > self.newest {
            return None;
        }
        self.lost = None;
        self.forget(number);
        let welcome = Message { is_text: true, bytes: self.welcome.clone() };
        let missed = self.kept.iter().flat_map(|kept| kept.messages.iter().cloned());
        // A heartbeat that was said while the client was away did not come to it, and may have been a question whether it
        // lives.
        let ping = Message { is_text: true, bytes: Bytes::from_static(b"2") };
        let missed = [welcome].into_iter().chain(missed).chain([ping]).collect();
        if self.saying.fate == Fate::Keep
            && self.kept.back().is_some_and(|kept| kept.number.is_none())
        {
            self.saying.fate = Fate::Write;
        }
        self.kept.retain(|kept| kept.number.is_some());
        self.bytes = self.kept.iter().map(Kept::bytes).sum();
        self.asked();
        Some(missed)
    }
}

impl fmt::Debug for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        // What was said to the client has its secret.
        f.debug_struct("Recovery").field("stage", &self.stage).finish_non_exhaustive()
    }
}

/// The secret and the offset that a client gives with CONNECT which had a session before.
fn before(namespace: &str, auth: &str) -> Option<(Sid, Option<String>)> {
    // What is no such object is for the session to say.
    let Auth { pid, offset } = serde_json::from_str(auth).ok()?;
    let pid = Sid::parse(&pid?).filter(|_| namespace == ROOT)?;
    Some((pid, offset))
}

/// Reads the header of the packet in a message of Engine.IO, and gives the data behind it.
fn parse(message: &Bytes) -> Option<(Header<'_>, &str)> {
    let text = str::from_utf8(message).ok()?;
    let text = text.strip_prefix(char::from(Transported::Message.digit()))?;
    Header::parse(text, u8::MAX).ok()
}

/// A message with something put before the last bracket of its data.
fn insert(message: &Bytes, data: &str, bracket: u8, what: &str) -> Option<Bytes> {
    let at = data.bytes().rposition(|byte| byte == bracket)?;
    let at = message.len() - data.len() + at;
    let mut bytes = BytesMut::with_capacity(message.len() + what.len());
    bytes.put_slice(&message[..at]);
    bytes.put_slice(what.as_bytes());
    bytes.put_slice(&message[at..]);
    Some(bytes.freeze())
}

#[cfg(test)]
mod tests;
