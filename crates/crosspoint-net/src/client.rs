//! Connecting to a hub, and the driver of the client's side.
//!
//! One task for each connection. Commands come in and events go out through bounded queues: a
//! full queue of events stops the reading, so that the hub slows the senders, but not the
//! writing.

use crate::memory;
use crate::outlet::now;
use crate::parting::LINGER;
use crate::reading::{discard_until_closed, read};
use crate::stream::{self, Reader, Stream, Writer};
use crate::tls::client::{ClientTls, HandshakeError};
use crate::ws::{self, handshake};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::protocol::{Activity, Client};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Command, Event, Reason};
use crosspoint_proto::identity::ChannelBinding;
use std::collections::VecDeque;
use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use std::time::{Duration, Instant};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};

/// Commands and events that may wait in each direction.
const QUEUE_MAX: usize = 1024;

/// Questions to the hub that may wait to be asked.
const PINGS_MAX: usize = 64;

/// Bytes that may wait to be written before no further command is taken.
const WRITE_BYTES_MAX: usize = 256 * 1024;

/// Bytes of answers that only the hub has caused, such as those to probes, that may wait to be
/// written before nothing more is read.
const ANSWERS_BYTES_MAX: usize = 16 * 1024;

/// The largest compressed message of a hub, inflated, in bytes. Hubs compress smaller ones.
const INFLATED_BYTES_MAX: u32 = 16 << 20;

/// Where a hub is reached.
#[derive(Debug, Clone)]
pub enum Endpoint {
    /// `tcp://HOST:PORT`, or `tls://HOST:PORT`
    Tcp {
        /// Name or address, and port.
        authority: String,
        /// How TLS is spoken, if it is.
        tls: Option<ClientTls>,
    },
    /// `ws://HOST:PORT/PATH`, or `wss://HOST:PORT/PATH`
    WebSocket {
        /// Name or address, and port.
        authority: String,
        /// With its leading slash.
        path: String,
        /// How TLS is spoken, if it is.
        tls: Option<ClientTls>,
        /// The smallest message that is compressed, in bytes, if permessage-deflate is offered.
        deflate_bytes_min: Option<u32>,
    },
    /// `unix:PATH`: a socket of the file system.
    Unix {
        /// Where the socket is.
        path: PathBuf,
    },
    /// Inside the program.
    Memory {
        /// Leads to the listening side.
        connector: memory::Connector,
        /// Lag and speed of both directions.
        shape: memory::Shape,
    },
}

/// The port of a hub, where none is given.
pub const PORT: u16 = 7680;

/// A text that is no endpoint.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "`{0}` is no hub address; write tcp://HOST:PORT, tls://HOST:PORT, ws://HOST:PORT/PATH, wss://HOST:PORT/PATH or unix:PATH"
)]
pub struct NoEndpoint(String);

impl Endpoint {
    /// Whether it is reached by TLS, which not every build has ([`BUILT_IN`](crate::tls::BUILT_IN)).
    pub fn has_tls(&self) -> bool {
        matches!(self, Self::Tcp { tls: Some(_), .. } | Self::WebSocket { tls: Some(_), .. })
    }

    /// The same, with TLS spoken like this. Without TLS nothing changes.
    #[must_use]
    pub fn with_tls(mut self, how: ClientTls) -> Self {
        if let Self::Tcp { tls: Some(tls), .. } | Self::WebSocket { tls: Some(tls), .. } = &mut self
        {
            *tls = how;
        }
        self
    }

    /// The same, which offers permessage-deflate if it is a WebSocket. Messages from so many bytes on are compressed
    /// then; `None` offers nothing.
    #[must_use]
    pub fn deflating(mut self, bytes_min: Option<u32>) -> Self {
        if let Self::WebSocket { deflate_bytes_min, .. } = &mut self {
            *deflate_bytes_min = bytes_min;
        }
        self
    }
}

impl FromStr for Endpoint {
    type Err = NoEndpoint;

    fn from_str(text: &str) -> Result<Self, NoEndpoint> {
        let wrong = || NoEndpoint(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            let path = PathBuf::from(path.strip_prefix("//").unwrap_or(path));
            return if path.as_os_str().is_empty() {
                Err(wrong())
            } else {
                Ok(Self::Unix { path })
            };
        }
        let (scheme, rest) = text.split_once("://").unwrap_or(("tcp", text));
        let (authority, path) = rest.find('/').map_or((rest, ""), |slash| rest.split_at(slash));
        if authority.is_empty() || authority.contains(char::is_whitespace) {
            return Err(wrong());
        }
        let has_port = authority
            .rsplit_once(':')
            .is_some_and(|(host, port)| !host.is_empty() && port.parse::<u16>().is_ok());
        let bare = !authority.contains(':') || authority.ends_with(']');
        let authority = match (has_port, bare) {
            (true, _) => authority.to_owned(),
            (false, true) => format!("{authority}:{PORT}"),
            (false, false) => return Err(wrong()),
        };
        match scheme {
            "tcp" | "tls" if matches!(path, "" | "/") => {
                Ok(Self::Tcp { authority, tls: (scheme == "tls").then(ClientTls::default) })
            }
            "ws" | "wss" => {
                let path = if path.is_empty() { "/" } else { path }.to_owned();
                let tls = (scheme == "wss").then(ClientTls::default);
                Ok(Self::WebSocket { authority, path, tls, deflate_bytes_min: None })
            }
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp { authority, tls: None } => write!(f, "tcp://{authority}"),
            Self::Tcp { authority, tls: Some(_) } => write!(f, "tls://{authority}"),
            Self::WebSocket { authority, path, tls: None, .. } => {
                write!(f, "ws://{authority}{path}")
            }
            Self::WebSocket { authority, path, tls: Some(_), .. } => {
                write!(f, "wss://{authority}{path}")
            }
            Self::Unix { path } => write!(f, "unix:{}", path.display()),
            Self::Memory { .. } => f.write_str("memory"),
        }
    }
}

/// A transport that is ready for a protocol.
#[derive(Debug)]
pub struct Dialed {
    reader: Reader,
    writer: Writer,
    websocket: Option<ws::Connection>,
    channel_binding: ChannelBinding,
    away_max: Duration,
}

impl Dialed {
    /// A transport that needs no handshake.
    pub(crate) fn direct(stream: Stream) -> Self {
        let (reader, writer) = stream.into_split();
        let channel_binding = ChannelBinding::None;
        Self { reader, writer, websocket: None, channel_binding, away_max: Duration::ZERO }
    }

    /// The same transport, which may be silent for so long because it is away.
    pub(crate) fn away_for(self, away_max: Duration) -> Self {
        Self { away_max, ..self }
    }

    /// The same transport, whose session began over a connection with this binding.
    pub(crate) fn bound_to(self, channel_binding: ChannelBinding) -> Self {
        Self { channel_binding, ..self }
    }

    /// What a proof over the transport is bound to.
    pub fn channel_binding(&self) -> ChannelBinding {
        self.channel_binding
    }

    /// How long the transport may be silent and still come back; zero if it does not come back at all.
    /// A protocol must not give it up before.
    pub fn away_max(&self) -> Duration {
        self.away_max
    }

    /// Its halves, and what unwraps its WebSocket frames if it has them.
    pub(crate) fn into_parts(self) -> (Reader, Writer, Option<ws::Connection>) {
        (self.reader, self.writer, self.websocket)
    }
}

/// Connects to an endpoint, with the WebSocket handshake where there is one.
///
/// # Errors
/// The system's, and [`io::ErrorKind::InvalidData`] if the other side speaks no WebSocket.
pub async fn dial(endpoint: &Endpoint) -> io::Result<Dialed> {
    let (authority, websocket, tls) = match endpoint {
        Endpoint::Memory { connector, shape } => {
            return Ok(Dialed::direct(connector.connect(shape.clone())?.into()));
        }
        Endpoint::Unix { path } => return unix(path).await,
        Endpoint::Tcp { authority, tls } => (authority, None, tls),
        Endpoint::WebSocket { authority, path, tls, deflate_bytes_min } => {
            (authority, Some((path, *deflate_bytes_min)), tls)
        }
    };
    // What is wrong with the setup is found before anybody hears of it.
    let tls = tls.as_ref().map(|how| how.connect(host(authority))).transpose()?;
    let stream = TcpStream::connect(authority.as_str()).await?;
    stream.set_nodelay(true)?;
    let mut dialed = Dialed::direct(stream.into());
    if let Some(tls) = tls {
        let Dialed { reader, writer, .. } = dialed;
        let (reader, writer) = stream::tls::handshake(tls, (reader, writer), &[], None)
            .await
            .map_err(|broken| HandshakeError::in_handshake(broken.error))?;
        let channel_binding = writer.channel_binding();
        let (reader, writer) = (Reader::Tls(reader), Writer::Tls(writer));
        dialed = Dialed { reader, writer, channel_binding, ..dialed };
    }
    let Some((path, deflate_bytes_min)) = websocket else {
        return Ok(dialed);
    };
    upgrade(dialed, authority, path, deflate_bytes_min).await
}

/// Asks the other side of a transport to speak WebSocket from now on.
///
/// # Errors
/// As [`dial`].
pub(crate) async fn upgrade(
    mut dialed: Dialed,
    authority: &str,
    path: &str,
    deflate_bytes_min: Option<u32>,
) -> io::Result<Dialed> {
    let Dialed { reader, writer, .. } = &mut dialed;
    let wrong = |error| io::Error::new(io::ErrorKind::InvalidData, error);
    let key = handshake::new_key().map_err(wrong)?;
    let offered = deflate_bytes_min.is_some();
    let request = handshake::client_request(authority, path, &key, offered).map_err(wrong)?;
    writer.write_all(&request).await?;
    let mut answer = BytesMut::new();
    let handshake::Accepted { head_len, deflate } = loop {
        let more = read(reader).await?;
        if more.is_empty() {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        answer.unsplit(more);
        let accepted = handshake::parse_response(&answer, &key, offered).map_err(wrong)?;
        if let Some(accepted) = accepted {
            break accepted;
        }
    };
    let config = ws::Config { frame_bytes_max: u64::from(u32::MAX), lenient: false };
    let deflate = deflate_bytes_min
        .filter(|_| deflate)
        .map(|bytes_min| ws::Deflate { bytes_min, inflated_bytes_max: INFLATED_BYTES_MAX });
    let mut websocket = ws::Connection::new(ws::Role::Client, config).with_deflate(deflate);
    websocket.receive(answer.split_off(head_len));
    Ok(Dialed { websocket: Some(websocket), ..dialed })
}

#[cfg(unix)]
async fn unix(path: &Path) -> io::Result<Dialed> {
    Ok(Dialed::direct(tokio::net::UnixStream::connect(path).await?.into()))
}

#[cfg(not(unix))]
async fn unix(_: &Path) -> io::Result<Dialed> {
    Err(io::ErrorKind::Unsupported.into())
}

/// The name or address of an authority, as certificates have it.
pub fn host(authority: &str) -> &str {
    let host = authority.rsplit_once(':').map_or(authority, |(host, _port)| host);
    host.trim_start_matches('[').trim_end_matches(']')
}

/// A command on its way to the hub.
#[derive(Debug)]
pub struct Queued {
    /// What the hub is asked.
    pub command: Command,
    /// Given back when the protocol has written the command: a caller that sends much can bound in it
    /// the bytes that wait.
    pub room: Option<OwnedSemaphorePermit>,
}

impl From<Command> for Queued {
    fn from(command: Command) -> Self {
        Self { command, room: None }
    }
}

/// A connection that runs. It ends when its command queue is dropped, or with an
/// [`Event::Closed`], which is always its last event.
#[derive(Debug)]
pub struct Connection {
    /// Takes commands; full when the hub takes no more.
    pub commands: mpsc::Sender<Queued>,
    /// Gives events. As long as nobody takes them, nothing more is read.
    pub events: mpsc::Receiver<Event>,
    /// Takes who wants to know how long a question to the hub and its answer take now.
    pub pings: mpsc::Sender<Ping>,
}

/// Who wants to know how long the hub takes to answer. Told [`Reason::Unsupported`] if the protocol
/// cannot ask (yet), or why the connection has ended first.
pub type Ping = oneshot::Sender<Result<Duration, Reason>>;

/// Runs a client protocol over a transport, in a task of its own. `hello` is what the protocol
/// wrote when it was made.
pub fn run(dialed: Dialed, client: Box<dyn Client>, hello: FrameWriter) -> Connection {
    let (commands, from_user) = mpsc::channel(QUEUE_MAX);
    let (to_user, events) = mpsc::channel(QUEUE_MAX);
    let (pings, pingers) = mpsc::channel(PINGS_MAX);
    let Dialed { reader, writer, websocket, .. } = dialed;
    let driver = Driver {
        reader,
        websocket,
        client,
        out: hello,
        commands: from_user,
        pingers,
        asked: VecDeque::new(),
        writing: Writing { writer, queue: VecDeque::new(), bytes: 0, answers: 0, written: None },
        ready: VecDeque::new(),
        read_at: now(),
    };
    tokio::spawn(driver.run(to_user));
    Connection { commands, events, pings }
}

struct Driver {
    reader: Reader,
    websocket: Option<ws::Connection>,
    client: Box<dyn Client>,
    out: FrameWriter,
    commands: mpsc::Receiver<Queued>,
    pingers: mpsc::Receiver<Ping>,
    /// Questions to the hub: their numbers, when they were asked, and who wants to know.
    asked: VecDeque<(u64, Instant, Ping)>,
    writing: Writing,
    /// Events that wait for room in the queue.
    ready: VecDeque<Event>,
    read_at: Instant,
}

struct Writing {
    writer: Writer,
    queue: VecDeque<Bytes>,
    bytes: usize,
    /// Bytes of answers. Those that were written count as answers first.
    answers: usize,
    written: Option<Instant>,
}

/// How long what is left may take to be written when a connection ends.
const FLUSH_MAX: Duration = Duration::from_secs(5);

impl Driver {
    async fn run(mut self, events: mpsc::Sender<Event>) {
        let reason = self.drive(&events).await;
        self.pingers.close();
        let unasked = std::iter::from_fn(|| self.pingers.try_recv().ok());
        for ping in self.asked.drain(..).map(|(.., ping)| ping).chain(unasked) {
            tell(ping, Err(reason));
        }
        // Nobody listens any more if this fails.
        let _ = events.send(Event::Closed { reason }).await;
    }

    async fn drive(&mut self, events: &mpsc::Sender<Event>) -> Reason {
        if let Err(reason) = self.advance() {
            return reason;
        }
        loop {
            let activity = Activity { read: self.read_at, written: self.writing.written };
            let deadline = self.client.deadline(activity);
            let sleep = tokio::time::sleep_until(deadline.unwrap_or_else(now).into());
            let result = tokio::select! {
                permit = events.reserve(), if !self.ready.is_empty() => match permit {
                    Ok(permit) => {
                        if let Some(event) = self.ready.pop_front() {
                            permit.send(event);
                        }
                        Ok(())
                    }
                    Err(_nobody_listens) => Err(Reason::Bye),
                },
                bytes = read(&mut self.reader), if self.reads() => self.received(bytes),
                result = self.writing.write(), if !self.writing.queue.is_empty() => result,
                command = self.commands.recv(), if self.takes_commands() => match command {
                    Some(command) => self.command(command),
                    None => Err(Reason::Bye),
                },
                Some(ping) = self.pingers.recv(), if self.writing.bytes < WRITE_BYTES_MAX => {
                    self.ping(ping);
                    Ok(())
                }
                () = sleep, if deadline.is_some() => {
                    self.client.tick(now(), activity, &mut self.out).map_or(Ok(()), Err)
                }
            };
            let result = result.and_then(|()| self.advance());
            if let Err(reason) = result {
                self.end(reason).await;
                // What has arrived is still told.
                for event in std::mem::take(&mut self.ready) {
                    if let Event::Closed { reason } = event {
                        return reason;
                    }
                    if events.send(event).await.is_err() {
                        break;
                    }
                }
                return reason;
            }
        }
    }

    /// Whether more is read: not while events wait, and not while a hub that takes nothing makes this side
    /// answer.
    fn reads(&self) -> bool {
        self.ready.is_empty() && self.writing.answers < ANSWERS_BYTES_MAX
    }

    /// Whether more commands are taken: not while what they have caused waits.
    fn takes_commands(&self) -> bool {
        self.writing.bytes < WRITE_BYTES_MAX && self.ready.len() < QUEUE_MAX
    }

    fn command(&mut self, queued: Queued) -> Result<(), Reason> {
        let mut next = Some(queued);
        while let Some(Queued { command, room: _room }) = next {
            let refusal = command.refusal();
            if let Err(reason) = self.client.command(now(), command, &mut self.out) {
                tracing::debug!(%reason, "a command was not sent");
                // Nobody else answers it.
                self.ready.extend(refusal.map(|refusal| refusal(reason)));
            }
            self.collect()?;
            next = match self.takes_commands() {
                true => self.commands.try_recv().ok(),
                false => None,
            };
        }
        Ok(())
    }

    /// Asks the hub, for somebody who wants to know how long that takes.
    fn ping(&mut self, ping: Ping) {
        // A caller that has stopped to wait takes no memory.
        self.asked.retain(|(.., ping)| !ping.is_closed());
        let now = now();
        match self.client.probe(now, &mut self.out) {
            Some(number) => self.asked.push_back((number, now, ping)),
            None => tell(ping, Err(Reason::Unsupported)),
        }
    }

    /// Tells those whose questions the hub has answered.
    fn tell_pingers(&mut self) {
        let Some(answered) = self.client.answered() else { return };
        while let Some((number, asked, ping)) = self.asked.pop_front() {
            if number > answered {
                self.asked.push_front((number, asked, ping));
                return;
            }
            tell(ping, Ok(now().saturating_duration_since(asked)));
        }
    }

    fn received(&mut self, bytes: io::Result<BytesMut>) -> Result<(), Reason> {
        let bytes = bytes.map_err(|_| Reason::ConnectionLost)?;
        if bytes.is_empty() {
            return Err(Reason::ConnectionLost);
        }
        self.read_at = now();
        match &mut self.websocket {
            Some(websocket) => websocket.receive(bytes),
            None => self.client.receive(now(), bytes.freeze()),
        }
        Ok(())
    }

    /// Parses what has been read, and queues what has to be written.
    fn advance(&mut self) -> Result<(), Reason> {
        // What a command or the clock has written is no answer.
        self.collect()?;
        let before = self.writing.bytes;
        let result = self.parse();
        self.writing.answers += self.writing.bytes - before;
        result
    }

    fn parse(&mut self) -> Result<(), Reason> {
        loop {
            while let Some(event) = self.client.poll(now(), &mut self.out) {
                if let Event::Closed { reason } = event {
                    return Err(reason);
                }
                self.ready.push_back(event);
            }
            self.tell_pingers();
            let Some(websocket) = &mut self.websocket else {
                break;
            };
            match websocket.poll() {
                Ok(None) => {
                    if let Some(pong) = websocket.pong().map_err(|_| Reason::Internal)? {
                        self.writing.push(pong);
                    }
                    break;
                }
                Ok(Some(ws::Event::Data { kind, bytes, message_begins, message_fin })) => {
                    if message_begins {
                        self.client.message_begins(now(), kind == ws::MessageKind::Text);
                    }
                    self.client.receive(now(), bytes);
                    if message_fin {
                        self.client.message_ended(now());
                    }
                }
                Ok(Some(ws::Event::Closed(_))) => return Err(Reason::ConnectionLost),
                Err(broken) => return Err(broken.reason()),
            }
        }
        self.collect()
    }

    /// Queues what the protocol has written, in a WebSocket frame if there is a WebSocket.
    fn collect(&mut self) -> Result<(), Reason> {
        if self.out.is_empty() {
            return Ok(());
        }
        let encoded = self.out.take();
        for piece in encoded.pieces() {
            let piece = match &self.websocket {
                None => piece.clone(),
                Some(websocket) => {
                    let framed = websocket.message(ws::MessageKind::Binary, piece);
                    framed.map_err(|_| Reason::Internal)?
                }
            };
            self.writing.push(piece);
        }
        Ok(())
    }

    async fn end(&mut self, reason: Reason) {
        let closed = self.websocket.as_ref().is_some_and(ws::Connection::is_closed_by_remote);
        if closed {
            // Nobody reads on behind a close frame. Only a frame that has begun has to end before the answer.
            self.writing.keep_one();
        } else if reason == Reason::ConnectionLost {
            return;
        } else {
            self.client.farewell(reason, &mut self.out);
            // Without randomness there is no farewell.
            if self.collect().is_err() {
                return;
            }
        }
        let close = ws::CloseFrame { code: ws::CloseCode::NORMAL, reason: reason.to_string() };
        if let Some(websocket) = &mut self.websocket
            && let Ok(Some(close)) = websocket.close(Some(&close))
        {
            self.writing.push(close);
        }
        let flush = async {
            while !self.writing.queue.is_empty() {
                if self.writing.write().await.is_err() {
                    return;
                }
            }
        };
        // A hub that takes nothing more is left as it is.
        let flush_max = if closed { LINGER } else { FLUSH_MAX };
        let _ = tokio::time::timeout(flush_max, flush).await;
        self.writing.writer.shutdown();
        // Closing with bytes unread would lose what the hub has not received yet.
        let rest = discard_until_closed(&mut self.reader, self.websocket.as_mut());
        let _ = tokio::time::timeout(LINGER, rest).await;
    }
}

/// The caller may have stopped to wait.
fn tell(ping: Ping, answer: Result<Duration, Reason>) {
    let _ = ping.send(answer);
}

impl Writing {
    fn push(&mut self, bytes: Bytes) {
        self.bytes += bytes.len();
        self.queue.push_back(bytes);
    }

    /// Drops all pieces but the first, of which a part may be written.
    fn keep_one(&mut self) {
        self.queue.truncate(1);
        self.bytes = self.queue.iter().map(Bytes::len).sum();
    }

    /// Writes some of the queue. Cancelling it loses nothing.
    async fn write(&mut self) -> Result<(), Reason> {
        self.writer.writable().await.map_err(|_| Reason::ConnectionLost)?;
        let written = self.writer.try_write_queue(&mut self.queue);
        let written = written.map_err(|_lost| Reason::ConnectionLost)?;
        if written > 0 {
            self.written = Some(now());
            self.bytes -= written;
            self.answers = self.answers.saturating_sub(written);
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_of_hubs() {
        let shown = |text: &str| text.parse::<Endpoint>().map(|endpoint| endpoint.to_string());
        assert_eq!(shown("example.org"), Ok("tcp://example.org:7680".into()));
        assert_eq!(shown("tcp://127.0.0.1:9"), Ok("tcp://127.0.0.1:9".into()));
        assert_eq!(shown("ws://[::1]"), Ok("ws://[::1]:7680/".into()));
        assert_eq!(shown("ws://h:80/a/b"), Ok("ws://h:80/a/b".into()));
        for wrong in ["", "tcp://", "http://h:1", "tcp://h:1/path", "h:port", "a b"] {
            assert!(shown(wrong).is_err(), "{wrong}");
        }
    }
}
