//! One WebSocket after its handshake, in either role.
//!
//! Received bytes go in with [`Connection::receive`] and come out as [`Event`]s of [`Connection::poll`]. Frames
//! to write come from [`Connection::message`], [`Connection::pong`] and [`Connection::close`], masked where the
//! role demands it. Nothing here touches a socket or a clock.
//!
//! Control frames are treated alike in both roles:
//!
//! * A ping is answered with a pong of the same payload. Of pings that come before an answer was taken only the
//!   last is answered (RFC 6455, section 5.5.3). A pong that nobody asked for means nothing.
//! * A close frame is answered once, with its own code (section 5.5.1). Whatever follows it is discarded, and
//!   a ping before it that was not answered needs no answer any more (section 5.5.2).
//! * A broken rule ends the connection: every further [`Connection::poll`] gives the same error, and the
//!   close frame says its code.
//! * A compressed message comes as one piece, when it is whole. What waits until then is as it came.
//! * After this side has closed, data is discarded, and the close frame of the other side is still looked for.

use super::deflate::{
    BLOCK_BYTES, Deflate, InflatedMessage, MESSAGE_BYTES_MAX, deflate, deflated_bytes_max, inflate,
};
use super::frame::{CloseCode, CloseFrame, Header, MessageKind};
use super::{Config, Decoder, Incoming, Role, WsError, frame};
use bytes::{Bytes, BytesMut};
use std::time::{Duration, Instant};

/// What has arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A piece of a message. Pieces are given as they arrive, so their borders mean nothing.
    Data {
        /// Kind of the message.
        kind: MessageKind,
        /// The next bytes, unmasked; empty only for a frame without payload.
        bytes: Bytes,
        /// This piece begins its message.
        message_begins: bool,
        /// This piece ends its message.
        message_fin: bool,
    },
    /// The other side has closed the WebSocket, and nothing follows. [`Connection::close`] gives the answer.
    Closed(Option<CloseFrame>),
}

/// What is known of the other side.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Remote {
    Open,
    /// It has sent a close frame, with a code or none.
    Closed(Option<CloseCode>),
    /// It has broken a rule.
    Broken(WsError),
}

/// Bytes of compressed messages.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Inflated {
    /// As they came.
    pub from: u64,
    /// Inflated.
    pub to: u64,
    /// Blocks of which they were made.
    pub blocks: u64,
}

impl Inflated {
    /// How many more they have become.
    #[must_use]
    pub const fn growth(&self) -> u64 {
        self.to.saturating_sub(self.from)
    }

    /// How much work it was, in bytes that are inflated in the same time.
    #[must_use]
    pub const fn work(&self) -> u64 {
        self.to + self.blocks * BLOCK_BYTES
    }
}

/// What an end knows of compressed messages.
#[derive(Debug)]
struct Compressed {
    agreed: Deflate,
    /// What has come of a message that is not whole.
    waiting: BytesMut,
    /// What was inflated since it was last counted.
    inflated: Inflated,
    /// Blocks that may come yet without any content.
    blocks_left: u64,
}

/// The most blocks that may come without any content, as in empty messages. Each byte pays for one.
const EMPTY_BLOCKS_MAX: u64 = 4096;

/// Blocks of a usual message: its own, what was flushed behind it, and an end.
const BLOCKS_USUAL: u64 = 3;

/// One end of a WebSocket.
#[derive(Debug)]
pub struct Connection {
    role: Role,
    decoder: Decoder,
    remote: Remote,
    close_sent: bool,
    message_bytes_max: u64,
    /// Bytes that have come of the message that is not whole.
    message_bytes: u64,
    /// Whether pieces of a message were given, and not its end.
    message_begun: bool,
    /// Compressed messages, if that was agreed on.
    compression: Option<Box<Compressed>>,
    /// Payload of the last ping that was not answered.
    ping: Option<Bytes>,
    /// Frames and pieces of frames that were looked at since they were last counted.
    frames: u64,
    /// Since when a frame or a message is here in part and nothing of it was given away, as far as that was looked at.
    since: Option<Instant>,
}

impl Connection {
    /// The end `role` of a WebSocket whose handshake is done. A message may have any length.
    #[must_use]
    pub fn new(role: Role, config: Config) -> Self {
        Self {
            role,
            decoder: Decoder::new(role, config),
            remote: Remote::Open,
            close_sent: false,
            message_bytes_max: u64::MAX,
            message_bytes: 0,
            message_begun: false,
            compression: None,
            ping: None,
            frames: 0,
            since: None,
        }
    }

    /// The same end, where permessage-deflate was agreed on: compressed messages are accepted, and a client
    /// compresses its own.
    #[must_use]
    pub fn with_deflate(mut self, deflate: Option<Deflate>) -> Self {
        if deflate.is_some() {
            self.decoder.accept_compressed();
        }
        let compressed = |agreed| {
            let (waiting, inflated) = (BytesMut::new(), Inflated::default());
            let blocks_left = EMPTY_BLOCKS_MAX;
            Box::new(Compressed { agreed, waiting, inflated, blocks_left })
        };
        Self { compression: deflate.map(compressed), ..self }
    }

    /// Whether permessage-deflate was agreed on.
    #[must_use]
    pub fn deflates(&self) -> bool {
        self.compression.is_some()
    }

    /// The longest payload of a data frame, in bytes.
    #[must_use]
    pub fn frame_bytes_max(&self) -> u64 {
        self.decoder.frame_bytes_max()
    }

    /// Changes the longest payload of a data frame, in bytes. It holds from the next frame on.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: u64) {
        self.decoder.set_frame_bytes_max(frame_bytes_max);
    }

    /// Changes the longest message that the other side may send, in bytes, over all of its frames.
    pub fn set_message_bytes_max(&mut self, message_bytes_max: u64) {
        self.message_bytes_max = message_bytes_max;
    }

    /// Takes received bytes in. Data is not copied if everything before was looked at. After a close frame of the
    /// other side or an error they are discarded.
    pub fn receive(&mut self, bytes: BytesMut) {
        if self.remote == Remote::Open {
            self.decoder.receive(bytes);
        }
    }

    /// The next event, `None` if more bytes are needed or the other side has closed.
    ///
    /// # Errors
    /// When the other side breaks the protocol or a limit. Further calls give the same error.
    pub fn poll(&mut self) -> Result<Option<Event>, WsError> {
        if let Remote::Broken(error) = self.remote {
            return Err(error);
        }
        self.next().inspect_err(|error| self.remote = Remote::Broken(*error))
    }

    fn next(&mut self) -> Result<Option<Event>, WsError> {
        while let Some(incoming) = self.decoder.decode()? {
            self.frames += 1;
            if !self.decoder.is_midway() || incoming.gives() {
                self.since = None;
            }
            match incoming {
                Incoming::Data { .. } if self.close_sent => {}
                Incoming::Data { kind, bytes, compressed: true, message_fin, .. } => {
                    if let Some(bytes) = self.inflated(kind, &bytes, message_fin)? {
                        let [message_begins, message_fin] = [true; 2];
                        return Ok(Some(Event::Data { kind, bytes, message_begins, message_fin }));
                    }
                }
                Incoming::Data { kind, bytes, message_fin, .. } => {
                    self.message_bytes += bytes.len() as u64;
                    if self.message_bytes > self.message_bytes_max {
                        return Err(WsError::MessageTooLarge { max: self.message_bytes_max });
                    }
                    if message_fin {
                        self.message_bytes = 0;
                    }
                    let message_begins = !std::mem::replace(&mut self.message_begun, !message_fin);
                    return Ok(Some(Event::Data { kind, bytes, message_begins, message_fin }));
                }
                Incoming::Ping(payload) => self.ping = Some(payload).filter(|_| !self.close_sent),
                Incoming::Pong(_) => {}
                Incoming::Close(close) => {
                    self.ping = None;
                    self.remote = Remote::Closed(close.as_ref().map(|close| close.code));
                    return Ok(Some(Event::Closed(close)));
                }
            }
        }
        Ok(None)
    }

    /// Takes the next piece of a compressed message, and gives the message when it is whole.
    fn inflated(
        &mut self,
        kind: MessageKind,
        piece: &[u8],
        message_fin: bool,
    ) -> Result<Option<Bytes>, WsError> {
        let max = self.message_bytes_max.min(self.decoder.frame_bytes_max());
        // The decoder gives no such piece otherwise.
        let Some(compression) = &mut self.compression else { return Err(WsError::Deflate) };
        let Compressed { agreed, waiting, inflated, blocks_left } = &mut **compression;
        let max = max.min(agreed.inflated_bytes_max.into());
        if (waiting.len() + piece.len()) as u64 > deflated_bytes_max(max) {
            return Err(WsError::MessageTooLarge { max });
        }
        if !message_fin {
            waiting.extend_from_slice(piece);
            return Ok(None);
        }
        let mut whole = std::mem::take(waiting);
        let whole = match whole.is_empty() {
            true => piece,
            false => {
                whole.extend_from_slice(piece);
                &whole
            }
        };
        let InflatedMessage { bytes: message, blocks } = inflate(whole, max)?;
        let paid =
            blocks_left.saturating_add(message.len() as u64).min(EMPTY_BLOCKS_MAX.max(blocks));
        *blocks_left = paid.checked_sub(blocks).ok_or(WsError::Deflate)?;
        inflated.from += whole.len() as u64;
        inflated.to += message.len() as u64;
        inflated.blocks += blocks;
        // More blocks are work as more frames are.
        self.frames += blocks.saturating_sub(BLOCKS_USUAL);
        if kind == MessageKind::Text && str::from_utf8(&message).is_err() {
            return Err(WsError::TextNotUtf8);
        }
        Ok(Some(message))
    }

    /// Since when a frame or a message is here in part and nothing of it was given away. It begins anew with each piece
    /// that is given away, which a protocol may wait for by itself.
    pub fn unfinished_since(&mut self, now: Instant) -> Option<Instant> {
        let midway = self.remote == Remote::Open && self.decoder.is_midway();
        self.since = midway.then(|| self.since.unwrap_or(now));
        self.since
    }

    /// Nobody has listened to the other side for so long.
    pub fn unheard(&mut self, time: Duration) {
        self.since = self.since.map(|since| since + time);
    }

    /// What was inflated since the last call.
    pub fn take_inflated(&mut self) -> Inflated {
        let compression = self.compression.as_mut();
        compression.map(|it| std::mem::take(&mut it.inflated)).unwrap_or_default()
    }

    /// How many frames were looked at since the last call, control frames too. A frame that arrives in pieces
    /// counts for each of them.
    pub fn take_frames(&mut self) -> u64 {
        std::mem::take(&mut self.frames)
    }

    /// Bytes held here: at most one header, one control payload, that of one ping and what has come of one compressed
    /// message after [`poll`](Self::poll) has given `None`.
    #[must_use]
    pub fn buffered(&self) -> usize {
        let compressed = self.compression.as_ref().map_or(0, |it| it.waiting.capacity());
        self.decoder.buffered() + self.ping.as_ref().map_or(0, Bytes::len) + compressed
    }

    /// Whether a ping was not answered.
    #[must_use]
    pub fn owes_pong(&self) -> bool {
        self.ping.is_some()
    }

    /// The answer to the last ping, once.
    ///
    /// # Errors
    /// When the system has no random source, which every frame of a client needs.
    pub fn pong(&mut self) -> Result<Option<Bytes>, getrandom::Error> {
        let Some(payload) = self.ping.take() else { return Ok(None) };
        Ok(Some(frame::pong_frame(&payload, self.mask()?)))
    }

    /// A whole message in one frame, copied, and compressed if that was agreed on. No message may be written after
    /// [`close`](Self::close).
    ///
    /// # Errors
    /// As [`pong`](Self::pong).
    pub fn message(&self, kind: MessageKind, payload: &[u8]) -> Result<Bytes, getrandom::Error> {
        let mask = self.mask()?;
        let bytes_min = self.compression.as_ref().map(|it| it.agreed.bytes_min as usize);
        let wanted =
            bytes_min.is_some_and(|bytes| (bytes..=MESSAGE_BYTES_MAX).contains(&payload.len()));
        let compressed = wanted.then(|| deflate(payload)).flatten();
        let mut framed = BytesMut::new();
        match compressed {
            Some(payload) => {
                let header = Header::new(kind.into(), true, payload.len(), mask).compressed();
                frame::append_frame(header, &payload, mask, &mut framed);
            }
            None => {
                let header = Header::new(kind.into(), true, payload.len(), mask);
                frame::append_frame(header, payload, mask, &mut framed);
            }
        }
        Ok(framed.freeze())
    }

    /// As [`message`](Self::message), in pieces: a server's payload is shared, neither copied nor compressed. Gives
    /// the length of all pieces.
    ///
    /// # Errors
    /// As [`pong`](Self::pong).
    pub fn message_pieces(
        &self,
        kind: MessageKind,
        payload: Bytes,
        out: &mut impl Extend<Bytes>,
    ) -> Result<usize, getrandom::Error> {
        match self.role {
            Role::Server => {
                let header = frame::server_header(kind.into(), true, payload.len());
                let header = Bytes::copy_from_slice(header.as_slice());
                let length = header.len() + payload.len();
                out.extend([header, payload]);
                Ok(length)
            }
            Role::Client => {
                let framed = self.message(kind, &payload)?;
                let length = framed.len();
                out.extend([framed]);
                Ok(length)
            }
        }
    }

    /// The close frame of this side, `None` if it was written before. It answers a close frame of the other
    /// side with its code and a broken rule with the code of that; otherwise it says what is given.
    ///
    /// # Errors
    /// As [`pong`](Self::pong).
    pub fn close(&mut self, close: Option<&CloseFrame>) -> Result<Option<Bytes>, getrandom::Error> {
        if self.close_sent {
            return Ok(None);
        }
        let answer = self.answer().map(|code| {
            let reason = close.map(|close| close.reason.clone()).unwrap_or_default();
            CloseFrame { code, reason }
        });
        let framed = frame::close_frame(answer.as_ref().or(close), self.mask()?);
        self.close_sent = true;
        self.ping = None;
        Ok(Some(framed))
    }

    /// The code with which this side has to close because of what the other side did, if it did anything.
    #[must_use]
    pub fn answer(&self) -> Option<CloseCode> {
        match self.remote {
            Remote::Open => None,
            Remote::Closed(code) => code,
            Remote::Broken(error) => Some(error.close_code()),
        }
    }

    /// Whether the other side has closed.
    #[must_use]
    pub fn is_closed_by_remote(&self) -> bool {
        matches!(self.remote, Remote::Closed(_))
    }

    /// Whether both sides have closed: the end is clean, and nothing more is read or written.
    #[must_use]
    pub fn is_closed(&self) -> bool {
        self.close_sent && self.is_closed_by_remote()
    }

    /// The rule that the other side has broken, if it has.
    #[must_use]
    pub fn broken(&self) -> Option<WsError> {
        match self.remote {
            Remote::Broken(error) => Some(error),
            Remote::Open | Remote::Closed(_) => None,
        }
    }

    /// Looks at what was received after this side has closed. Gives whether the other side has closed too.
    pub fn drain(&mut self) -> bool {
        // A side that breaks a rule now ends with its connection.
        while let Ok(Some(_)) = self.poll() {}
        self.is_closed()
    }

    /// A fresh key, in the role that masks what it sends.
    fn mask(&self) -> Result<Option<[u8; 4]>, getrandom::Error> {
        match self.role {
            Role::Server => Ok(None),
            Role::Client => frame::new_mask().map(Some),
        }
    }
}
