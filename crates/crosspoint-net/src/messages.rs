//! A WebSocket connection as text messages, for peers that are no clients of a hub.
//!
//! The owner calls [`Messages::turn`] in a loop, pushes what is to be written, and ends with
//! [`Messages::close`]. Pings are answered here. What waits to be written is as much as the owner
//! pushes: it looks at [`Messages::queued`] first.

use crate::client::Dialed;
use crate::parting::LINGER;
use crate::session::{discard, read};
use crate::stream::{Reader, Writer};
use crate::ws::{self, CloseCode, CloseFrame, Incoming, MessageKind, frame};
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
    decoder: ws::Decoder,
    message_bytes_max: usize,
    /// The beginning of a message that came in several parts.
    begun: BytesMut,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// The payload of the last ping that was not answered.
    ping: Option<Bytes>,
}

/// What happened in a [turn](Messages::turn).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Turn {
    /// A text message came. It is UTF-8.
    Message(Bytes),
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
    /// A message above the bound.
    #[error("a message of more than {0} bytes; send smaller ones, or raise the limit")]
    TooLarge(usize),
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
            Self::TooLarge(_) => CloseCode::TOO_BIG,
            Self::Binary => CloseCode::UNSUPPORTED,
        }
    }
}

impl Messages {
    /// Messages of at most `message_bytes_max` bytes over a transport. `None` if it is no WebSocket.
    pub fn new(dialed: Dialed, message_bytes_max: usize) -> Option<Self> {
        let (reader, writer, decoder) = dialed.into_parts();
        let mut decoder = decoder?;
        decoder.set_frame_bytes_max(message_bytes_max as u64);
        Some(Self {
            reader,
            writer,
            decoder,
            message_bytes_max,
            begun: BytesMut::new(),
            queue: VecDeque::new(),
            queued: 0,
            ping: None,
        })
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
        let mut framed = BytesMut::with_capacity(frame::HEADER_BYTES_MAX + text.len());
        frame::client_frame(ws::Opcode::Text, true, text, new_mask()?, &mut framed);
        self.enqueue(framed.freeze());
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
    pub async fn turn(&mut self, listening: bool) -> Result<Turn, MessagesError> {
        loop {
            if listening && let Some(turn) = self.decode()? {
                return Ok(turn);
            }
            if self.queued < PONG_BYTES_MAX
                && let Some(payload) = self.ping.take()
            {
                let pong = frame::pong_frame(&payload, Some(new_mask()?));
                self.enqueue(pong);
            }
            tokio::select! {
                bytes = read(&mut self.reader), if listening => match bytes? {
                    bytes if bytes.is_empty() => {
                        return Err(io::Error::from(io::ErrorKind::UnexpectedEof).into());
                    }
                    bytes => self.decoder.receive(bytes),
                },
                result = write(&self.writer, &mut self.queue), if !self.queue.is_empty() => {
                    self.queued -= result?;
                    return Ok(Turn::Wrote);
                }
                () = std::future::pending() => {}
            }
        }
    }

    fn decode(&mut self) -> Result<Option<Turn>, MessagesError> {
        while let Some(incoming) = self.decoder.decode()? {
            match incoming {
                Incoming::Data { kind: MessageKind::Binary, .. } => {
                    return Err(MessagesError::Binary);
                }
                Incoming::Data { bytes, message_fin, .. } => {
                    if bytes.len() > self.message_bytes_max - self.begun.len() {
                        return Err(MessagesError::TooLarge(self.message_bytes_max));
                    }
                    if message_fin && self.begun.is_empty() {
                        return Ok(Some(Turn::Message(bytes)));
                    }
                    self.begun.extend_from_slice(&bytes);
                    if message_fin {
                        let message = std::mem::take(&mut self.begun);
                        return Ok(Some(Turn::Message(message.freeze())));
                    }
                }
                Incoming::Ping(payload) => self.ping = Some(payload),
                Incoming::Pong(_) => {}
                Incoming::Close(frame) => return Ok(Some(Turn::Closed(frame))),
            }
        }
        Ok(None)
    }

    /// Writes what is left and a close frame, as far as the other side takes them within 5 s, and
    /// ends the connection. A frame without reason is what old peers send.
    pub async fn close(mut self, reason: Option<&CloseFrame>) {
        // Without randomness there is no farewell.
        if let Ok(mask) = new_mask() {
            self.enqueue(frame::close_frame(reason, Some(mask)));
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
        let _ = tokio::time::timeout(LINGER, discard(&mut self.reader)).await;
    }
}

fn new_mask() -> io::Result<[u8; 4]> {
    frame::new_mask().map_err(io::Error::other)
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
