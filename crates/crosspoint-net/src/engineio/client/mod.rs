//! The client's side of Engine.IO: a session over requests, over a WebSocket, or over both one after the other.
//!
//! Whatever carries it, a session is messages as a WebSocket has them, beginning with the open packet. The owner calls
//! [`Session::next`] in a loop, pushes what is to be said, and ends with [`Session::close`].

mod polled;
mod requests;

pub use requests::RequestError;

use crate::client::{Endpoint, dial, upgrade};
use crate::messages::{Messages, MessagesError, MessagesEvent};
use crosspoint_gateways::engineio::Revision;
use crosspoint_gateways::engineio::client::OpenError;
use crosspoint_gateways::engineio::payload::{Message, PayloadError};
use polled::{Polled, Turn};
use std::fmt;
use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

/// What carries a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum Transports {
    /// Requests at first, and a WebSocket as soon as there is one, as the originals do it.
    #[default]
    Both,
    /// A WebSocket from the beginning.
    WebSocket,
    /// Requests alone.
    Requests,
}

impl Transports {
    fn upgrades(self) -> bool {
        self == Self::Both
    }
}

/// Where a session is asked for.
#[derive(Debug, Clone)]
pub struct Target {
    /// The way there: TCP, TLS, or inside the program.
    pub endpoint: Endpoint,
    /// Name or address, and port, as the server is called.
    pub authority: String,
    /// The path, which begins with a slash.
    pub path: String,
    /// What else the query says, escaped: keys and values with `&` between them.
    pub query: String,
    /// The revision that is spoken.
    pub revision: Revision,
    /// What carries the session.
    pub transports: Transports,
    /// The smallest message that is compressed, in bytes, if compression is offered on WebSockets.
    pub deflate_bytes_min: Option<u32>,
    /// The largest message, in bytes.
    pub message_bytes_max: usize,
}

impl Target {
    fn request(&self, transport: &str, sid: Option<&str>) -> String {
        let Self { path, query, .. } = self;
        let revision = match self.revision {
            Revision::Three => 3,
            Revision::Four => 4,
        };
        let and = if query.is_empty() { "" } else { "&" };
        let mut request = format!("{path}?{query}{and}EIO={revision}&transport={transport}");
        if let Some(sid) = sid {
            request.push_str("&sid=");
            request.push_str(&escaped(sid));
        }
        request
    }

    /// A request, which no cache has seen before.
    fn polling(&self, sid: Option<&str>) -> String {
        static SERIAL: AtomicU64 = AtomicU64::new(0);
        let serial = SERIAL.fetch_add(1, Ordering::Relaxed);
        format!("{}&t={:x}-{serial:x}", self.request("polling", sid), std::process::id())
    }

    /// The largest answer to a request. What is bytes is in base64 there, and several messages may come at once.
    fn answer_bytes_max(&self) -> usize {
        self.message_bytes_max.saturating_mul(2)
    }
}

/// A text as it may stand in a query.
pub fn escaped(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for byte in text.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                escaped.push(byte.into());
            }
            _ => escaped.push_str(&format!("%{byte:02X}")),
        }
    }
    escaped
}

/// Why there is no session, or none any more.
#[derive(Debug, thiserror::Error)]
pub enum SessionError {
    /// The connection broke, or there was none.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// A request was not answered as it should be.
    #[error(transparent)]
    Request(#[from] RequestError),
    /// The WebSocket is none.
    #[error(transparent)]
    Messages(#[from] MessagesError),
    /// What a request has brought is no payload.
    #[error(transparent)]
    Payload(#[from] PayloadError),
    /// The session does not open.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// The server has answered the first request with nothing.
    #[error("the server says nothing")]
    Nothing,
    /// The server does not let the session become a WebSocket.
    #[error("the server does not let the session become a WebSocket")]
    Probe,
}

impl SessionError {
    /// What the system says, if it is that.
    pub fn into_io(self) -> io::Error {
        match self {
            Self::Io(error) | Self::Request(RequestError::Io(error)) => error,
            Self::Messages(MessagesError::Io(error)) => error,
            other => io::Error::new(io::ErrorKind::InvalidData, other),
        }
    }
}

/// A session. It is closed hard when it is dropped without [`close`](Self::close).
#[derive(Debug)]
pub struct Session(Carrier);

#[derive(Debug)]
enum Carrier {
    WebSocket(Box<Messages>),
    Requests(Box<Polled>),
}

/// What [`Session::next`] gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SessionEvent {
    /// A message came.
    Message(Message),
    /// Something was written.
    Wrote,
    /// The server has closed the connection.
    Closed,
}

impl Session {
    /// Asks for a session. The first message is the open packet.
    ///
    /// # Errors
    /// [`SessionError`]
    pub async fn open(target: Target) -> Result<Self, SessionError> {
        Ok(Self(match target.transports {
            Transports::WebSocket => Carrier::WebSocket(Box::new(websocket(&target, None).await?)),
            Transports::Both | Transports::Requests => {
                Carrier::Requests(Box::new(Polled::open(Arc::new(target)).await?))
            }
        }))
    }

    /// Whether it goes over a WebSocket now.
    pub fn is_websocket(&self) -> bool {
        matches!(self.0, Carrier::WebSocket(_))
    }

    /// Bytes that wait to be written.
    pub fn queued(&self) -> usize {
        match &self.0 {
            Carrier::WebSocket(messages) => messages.queued(),
            Carrier::Requests(polled) => polled.queued(),
        }
    }

    /// Writes a message with the next turns.
    ///
    /// # Errors
    /// When the system has no random source, which every frame of a client needs.
    pub fn push(&mut self, message: Message) -> io::Result<()> {
        match &mut self.0 {
            Carrier::WebSocket(messages) => push(messages, &message),
            Carrier::Requests(polled) => {
                polled.push(message);
                Ok(())
            }
        }
    }

    /// Waits until something can be read or written, whichever comes first. Without `listening` nothing is read. May be
    /// given up at any time.
    ///
    /// # Errors
    /// [`SessionError`]. After one, only [`close`](Self::close) is of use.
    pub async fn next(&mut self, listening: bool) -> Result<SessionEvent, SessionError> {
        loop {
            let polled = match &mut self.0 {
                Carrier::WebSocket(messages) => {
                    let text = |bytes| Message { is_text: true, bytes };
                    return Ok(match messages.next(listening).await? {
                        MessagesEvent::Message(bytes) => SessionEvent::Message(text(bytes)),
                        MessagesEvent::Binary(bytes) => {
                            SessionEvent::Message(Message { is_text: false, bytes })
                        }
                        MessagesEvent::Wrote => SessionEvent::Wrote,
                        MessagesEvent::Closed(_) => SessionEvent::Closed,
                    });
                }
                Carrier::Requests(polled) => polled,
            };
            match polled.next(listening).await? {
                Turn::Message(message) => return Ok(SessionEvent::Message(message)),
                Turn::Wrote => return Ok(SessionEvent::Wrote),
                Turn::Upgraded(messages) => self.0 = Carrier::WebSocket(messages),
            }
        }
    }

    /// Writes what is left, as far as the server takes it within 5 s, and ends the session.
    pub async fn close(self) {
        match self.0 {
            Carrier::WebSocket(messages) => messages.close(None).await,
            Carrier::Requests(polled) => polled.close().await,
        }
    }
}

fn push(messages: &mut Messages, message: &Message) -> io::Result<()> {
    match message.is_text {
        true => messages.push(&message.bytes),
        false => messages.push_binary(&message.bytes),
    }
}

/// A WebSocket of a session, which is there already if it has an id.
async fn websocket(target: &Target, sid: Option<&str>) -> Result<Messages, SessionError> {
    let dialed = dial(&target.endpoint).await?;
    let path = target.request("websocket", sid);
    let upgraded = upgrade(dialed, &target.authority, &path, target.deflate_bytes_min).await?;
    let messages = Messages::new(upgraded, target.message_bytes_max);
    let messages = messages.ok_or_else(|| io::Error::from(io::ErrorKind::Unsupported))?;
    Ok(messages.with_binary())
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}{}", self.authority, self.path)
    }
}
