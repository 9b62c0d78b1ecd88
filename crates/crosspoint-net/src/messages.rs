//! A WebSocket connection as messages of text, or also of bytes, for peers that are no clients of a hub.
//!
//! The owner calls [`Messages::next`] in a loop, pushes what is to be written, and ends with
//! [`Messages::close`]. Pings are answered here, and so is a close frame. What waits to be written is as much as the owner
//! pushes: it looks at [`Messages::queued`] first.

use crate::client::Dialed;
use crate::parting::LINGER;
use crate::reading::{discard_until_closed, read};
use crate::stream::{Reader, Writer};
use crate::ws::{self, CloseCode, CloseFrame, Event, MessageKind};
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

/// Bytes that may wait before a ping is answered. Of the pings that come meanwhile the last is.
const PONG_BYTES_MAX: usize = 64 * 1024;

/// How long what is left may take to be written at the end.
const FLUSH_MAX: Duration = Duration::from_secs(5);

/// An open connection. It is closed hard when it is dropped without [`close`](Self::close).
#[derive(Debug)]
pub struct Messages {
    reader: Reader,
    writer: Writer,
    websocket: ws::Connection,
    takes_binary: bool,
    /// The beginning of a message that came in several parts.
    begun: BytesMut,
    queue: VecDeque<Bytes>,
    queued: usize,
}

/// What [`Messages::next`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MessagesEvent {
    /// A text message came. It is UTF-8.
    Message(Bytes),
    /// A binary message came.
    Binary(Bytes),
    /// Something was written.
    Wrote,
    /// The other side has closed the connection.
    Closed(Option<CloseFrame>),
}

/// Why a connection cannot go on.
#[derive(Debug, thiserror::Error)]
pub enum MessagesError {
    /// It broke.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side's frames are wrong.
    #[error(transparent)]
    Frame(#[from] ws::WsError),
    /// A binary message.
    #[error("a binary message, where only text is understood")]
    Binary,
}

impl MessagesError {
    /// The code to close the connection with.
    pub fn close_code(&self) -> CloseCode {
        match self {
            Self::Io(_) => CloseCode::INTERNAL,
            Self::Frame(error) => error.close_code(),
            Self::Binary => CloseCode::UNSUPPORTED,
        }
    }
}

impl Messages {
    /// Messages of at most `message_bytes_max` bytes over a transport. `None` if it is no WebSocket.
    pub fn new(dialed: Dialed, message_bytes_max: usize) -> Option<Self> {
        let (reader, writer, websocket) = dialed.into_parts();
        let mut websocket = websocket?;
        websocket.set_frame_bytes_max(message_bytes_max as u64);
        websocket.set_message_bytes_max(message_bytes_max as u64);
        Some(Self {
            reader,
            writer,
            websocket,
            takes_binary: false,
            begun: BytesMut::new(),
            queue: VecDeque::new(),
            queued: 0,
        })
    }

    /// The same, which takes binary messages as well.
    #[must_use]
    pub fn with_binary(self) -> Self {
        Self { takes_binary: true, ..self }
    }

    /// Bytes that wait to be written.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Writes a text message with the next turns.
    ///
    /// # Errors
    /// When the system has no random source, which every frame of a client needs.
    pub fn push(&mut self, text: &[u8]) -> io::Result<()> {
        self.push_as(MessageKind::Text, text)
    }

    /// Writes a binary message with the next turns.
    ///
    /// # Errors
    /// As [`push`](Self::push).
    pub fn push_binary(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.push_as(MessageKind::Binary, bytes)
    }

    fn push_as(&mut self, kind: MessageKind, message: &[u8]) -> io::Result<()> {
        let framed = self.websocket.message(kind, message).map_err(io::Error::other)?;
        self.enqueue(framed);
        Ok(())
    }

    fn enqueue(&mut self, framed: Bytes) {
        self.queued += framed.len();
        self.queue.push_back(framed);
    }

    /// Waits until something can be read or written, whichever comes first. Without `listening`
    /// nothing is read. May be given up at any time.
    ///
    /// # Errors
    /// [`MessagesError`]. After one, only [`close`](Self::close) is of use.
    pub async fn next(&mut self, listening: bool) -> Result<MessagesEvent, MessagesError> {
        loop {
            if listening && let Some(event) = self.poll()? {
                return Ok(event);
            }
            if self.queued < PONG_BYTES_MAX
                && let Some(pong) = self.websocket.pong().map_err(io::Error::other)?
            {
                self.enqueue(pong);
            }
            tokio::select! {
                bytes = read(&mut self.reader), if listening => match bytes? {
                    bytes if bytes.is_empty() => {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    bytes => self.websocket.receive(bytes),
                },
                result = write(&self.writer, &mut self.queue), if !self.queue.is_empty() => {
                    self.queued -= result?;
                    return Ok(MessagesEvent::Wrote);
                }
                () = std::future::pending() => {}
            }
        }
    }

    fn poll(&mut self) -> Result<Option<MessagesEvent>, MessagesError> {
        let whole = |kind, bytes| match kind {
            MessageKind::Text => MessagesEvent::Message(bytes),
            MessageKind::Binary => MessagesEvent::Binary(bytes),
        };
        while let Some(event) = self.websocket.poll()? {
            match event {
                Event::Data { kind: MessageKind::Binary, .. } if !self.takes_binary => {
                    return Err(MessagesError::Binary);
                }
                Event::Data { kind, bytes, message_fin: true, .. } if self.begun.is_empty() => {
                    return Ok(Some(whole(kind, bytes)));
                }
                Event::Data { kind, bytes, message_fin, .. } => {
                    self.begun.extend_from_slice(&bytes);
                    if message_fin {
                        let message = std::mem::take(&mut self.begun);
                        return Ok(Some(whole(kind, message.freeze())));
                    }
                }
                Event::Closed(frame) => return Ok(Some(MessagesEvent::Closed(frame))),
            }
        }
        Ok(None)
    }

    /// Writes what is left and a close frame, as far as the other side takes them within 5 s, and
    /// ends the connection. A frame without reason is what old peers send. If the other side has closed or
    /// broken a rule, the close frame has the code that answers that.
    pub async fn close(mut self, reason: Option<&CloseFrame>) {
        // Without randomness there is no farewell.
        if let Ok(Some(close)) = self.websocket.close(reason) {
            self.enqueue(close);
        }
        let flush = async {
            while !self.queue.is_empty() {
                if write(&self.writer, &mut self.queue).await.is_err() {
                    return;
                }
            }
        };
        // Who takes nothing more, or is gone, is left as it is.
        let _ = tokio::time::timeout(FLUSH_MAX, flush).await;
        self.writer.shutdown();
        // Closing with bytes unread would lose what has not been received yet.
        let rest = discard_until_closed(&mut self.reader, Some(&mut self.websocket));
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
}

/// Waits until something can be written, and gives how much that was.
async fn write(writer: &Writer, queue: &mut VecDeque<Bytes>) -> io::Result<usize> {
    loop {
        writer.writable().await?;
        match writer.try_write_queue(queue)? {
            0 => {}
            written => return Ok(written),
        }
    }
}
