//! Streams of the plugin.

use super::shared::{Answer, Live, Opened, Wakers};
use super::socket::Socket;
use super::{Args, ArgsError, SocketError, StreamEnd, ToArgs};
use crosspoint_gateways::socketio::client::{Read, StreamRequest, Written};
use std::fmt;
use std::io;
use std::pin::Pin;
use std::task::{Context, Poll, Waker};
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Ordered bytes in both directions between two clients. It reads and writes as a TCP connection does, with the traits of
/// tokio; [`tokio::io::split`] makes two halves of it.
///
/// * What is written is on its way at once, as one chunk; what is written meanwhile is the next chunk. So the speed is that
///   of one chunk, of up to 64 KiB, for each round trip. Flushing waits until the other side has all of it.
/// * A reader who is slow slows the writer: the acknowledgement of a chunk is withheld while more than the reader's
///   [window](super::ClientBuilder::stream_window) is unread.
/// * Shutting it down ends what this side writes, and waits until the other side has it; the other direction goes on. The
///   stream of a pair, in the first generation, has no end that the other side is told.
/// * Dropping it before the shutdown destroys it: the other side loses what it has not read. Dropped after it, what was
///   written still arrives, and what the other side writes is thrown away.
/// * It ends with the connection. What has arrived by then can still be read.
///
/// It holds the socket.
pub struct Stream {
    socket: Socket,
    opened: Opened,
    args: Args,
}

impl Stream {
    pub(super) fn new(mut opened: Opened) -> Self {
        let args = Args::of_machine(std::mem::take(&mut opened.args));
        Self { socket: Socket { handle: opened.handle.clone() }, opened, args }
    }

    /// The name of the client at the other end.
    pub fn peer(&self) -> &str {
        &self.opened.peer
    }

    /// Who was to listen for it, if not everybody.
    pub fn channel(&self) -> Option<&str> {
        self.opened.channel.as_deref()
    }

    /// What its opener says about it (`argArray`).
    pub fn args(&self) -> &Args {
        &self.args
    }

    /// The socket that it belongs to.
    pub fn socket(&self) -> &Socket {
        &self.socket
    }

    fn written(
        &self,
        cx: &mut Context<'_>,
        write: impl FnOnce(&mut Live) -> Written,
    ) -> Poll<io::Result<usize>> {
        self.opened.connection.with(|live| match write(live) {
            Written::Some(count) => Poll::Ready(Ok(count)),
            Written::Done => Poll::Ready(Ok(0)),
            Written::Pending => {
                let wakers = live.wakers.entry(self.opened.id).or_default();
                wait(&mut wakers.writer, cx)
            }
            Written::Ended => Poll::Ready(Err(io::ErrorKind::BrokenPipe.into())),
            Written::Over(end) => Poll::Ready(Err(broken(end))),
        })
    }
}

fn wait<T>(waker: &mut Option<Waker>, cx: &mut Context<'_>) -> Poll<T> {
    *waker = Some(cx.waker().clone());
    Poll::Pending
}

fn broken(end: StreamEnd) -> io::Error {
    let kind = match end {
        StreamEnd::Destroyed | StreamEnd::PeerGone => io::ErrorKind::ConnectionReset,
        StreamEnd::Disconnected => io::ErrorKind::NotConnected,
        StreamEnd::Overrun => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, end)
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        into: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let most = into.remaining();
        if most == 0 {
            return Poll::Ready(Ok(()));
        }
        self.opened.connection.with(|live| match live.machine.read(self.opened.id, into, most) {
            Read::Some | Read::End => Poll::Ready(Ok(())),
            Read::Pending => {
                let Wakers { reader, .. } = live.wakers.entry(self.opened.id).or_default();
                wait(reader, cx)
            }
            Read::Over(end) => Poll::Ready(Err(broken(end))),
        })
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        if bytes.is_empty() {
            return Poll::Ready(Ok(0));
        }
        self.written(cx, |live| live.machine.write(self.opened.id, bytes))
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.written(cx, |live| live.machine.flushed(self.opened.id)).map_ok(|_| ())
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.written(cx, |live| live.machine.shut_down(self.opened.id)).map_ok(|_| ())
    }
}

impl fmt::Debug for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Stream")
            .field("peer", &self.opened.peer)
            .field("channel", &self.opened.channel)
            .field("args", &self.args)
            .finish_non_exhaustive()
    }
}

impl Socket {
    /// Opens a stream to another client, and waits until that has taken it, for 10 s at the most.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack); [`SocketError::Refused`], [`SocketError::TimedOut`]
    pub async fn open_stream(&self, client: &str) -> Result<Stream, SocketError> {
        self.open_stream_with(client, StreamOptions::default()).await
    }

    /// The same, for those who listen in a channel, or with something to say about it.
    ///
    /// # Errors
    /// As [`open_stream`](Self::open_stream)
    pub async fn open_stream_with(
        &self,
        client: &str,
        options: StreamOptions,
    ) -> Result<Stream, SocketError> {
        let StreamOptions { channel, args, timeout } = options;
        let args = args.transpose()?;
        let request = StreamRequest {
            to: client.to_owned(),
            own: random_id()?,
            theirs: random_id()?,
            channel,
            args: args.map(|args| args.to_machine()).transpose()?,
        };
        let ask = self.shared().ask(|machine, token| machine.open_stream(request.clone(), token));
        let asked = tokio::time::timeout(timeout, ask).await;
        let (connection, answer) = asked.map_err(|_elapsed| SocketError::TimedOut(timeout))??;
        match answer {
            Answer::Stream(id) => {
                let StreamRequest { to: peer, channel, args, .. } = request;
                let (handle, args) = (self.handle.clone(), args.unwrap_or_default());
                Ok(Stream::new(Opened { handle, connection, id, peer, channel, args }))
            }
            Answer::Refused(why) => Err(SocketError::Refused(why)),
            Answer::Args(_) => Err(SocketError::Abandoned),
        }
    }
}

/// How a stream is opened.
#[derive(Debug)]
pub struct StreamOptions {
    channel: Option<String>,
    args: Option<Result<Args, ArgsError>>,
    timeout: Duration,
}

impl Default for StreamOptions {
    fn default() -> Self {
        Self { channel: None, args: None, timeout: Duration::from_secs(10) }
    }
}

impl StreamOptions {
    /// In no channel, with nothing to say about it, within 10 s.
    pub fn new() -> Self {
        Self::default()
    }

    /// For those who listen in this channel.
    #[must_use]
    pub fn channel(self, channel: impl Into<String>) -> Self {
        Self { channel: Some(channel.into()), ..self }
    }

    /// What the other client is told about it.
    #[must_use]
    pub fn args<T: ToArgs + ?Sized>(self, args: &T) -> Self {
        Self { args: Some(args.to_args()), ..self }
    }

    /// How long the other client may take to take it; 10 s unless set.
    #[must_use]
    pub fn timeout(self, timeout: Duration) -> Self {
        Self { timeout, ..self }
    }
}

/// An id that no other stream has, in the form that originals use.
fn random_id() -> Result<Box<str>, SocketError> {
    let mut bits = [0; 16];
    getrandom::fill(&mut bits).map_err(|error| SocketError::NoId(error.to_string()))?;
    let hex = u128::from_be_bytes(bits);
    let hex = format!("{hex:032x}");
    let parts = [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]];
    Ok(parts.join("-").into())
}
