//! A connection after its TLS handshake.
//!
//! The reader belongs to one task, the writer to any thread, as with every connection. What both change, the
//! state of rustls, is behind a lock that nobody holds while waiting.
//!
//! A write counts when the socket below has taken all that was made of it, so that what is told of writes
//! (clocks, budgets) is about the network and not about a buffer in here. A write that would block has to be
//! repeated with the same bytes.

use crate::stream::{Reader, Writer};
use crate::tls::client::HandshakeError;
use crate::tls::{self, client_fault};
use crosspoint_auth::ClientCertificate;
use crosspoint_hub::ledger::Charge;
use crosspoint_proto::identity::ChannelBinding;
use rustls::Connection;
use std::cell::RefCell;
use std::future::poll_fn;
use std::io::{self, IoSlice, Read, Write};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, ready};
use tokio::io::ReadBuf;

/// What is encrypted at once, in bytes: one record. A connection that is blocked holds no more than that.
const CHUNK_BYTES_MAX: usize = 16 * 1024;

/// What a client may send in a handshake, in bytes. Hellos have 2 KiB, with all that is usual in them.
const HANDSHAKE_BYTES_MAX: usize = 16 * 1024;

/// What a server may send in a handshake, in bytes: mostly its certificates.
const CHAIN_BYTES_MAX: usize = 256 * 1024;

/// What is read at once, in bytes. One buffer for each thread.
const READ_BYTES_MAX: usize = 32 * 1024;

/// What a connection holds besides the connection below it, when nothing is under way.
const TLS_BYTES: usize = 12 * 1024;

/// What is charged for a handshake: the bytes that have come, twice, as rustls copies them.
pub(crate) const HANDSHAKE_CHARGE_BYTES: usize = TLS_BYTES + 2 * HANDSHAKE_BYTES_MAX;

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into());
}

#[derive(Debug)]
struct Shared {
    below: Writer,
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    tls: Connection,
    /// Bytes that rustls has taken from a write that was told to be repeated.
    in_flight: usize,
    /// What was read from below and rustls has no room for yet.
    ahead: Vec<u8>,
    /// The bytes of the handshake that have come.
    handshake_bytes: usize,
    /// What the connection holds when nothing is under way, in bytes.
    quiet_bytes: usize,
    /// What is paid for the connection.
    charge: Option<Charge>,
}

/// The half that reads.
#[derive(Debug)]
pub struct TlsReader {
    below: Box<Reader>,
    shared: Arc<Shared>,
}

/// The half that writes.
#[derive(Debug)]
pub struct TlsWriter {
    shared: Arc<Shared>,
}

/// Goes through the handshake. `first` was read before. The memory of the connection is charged to `charge`.
///
/// # Errors
/// The transport's, and [`io::ErrorKind::InvalidData`] with what rustls says. The other side is told what it
/// did wrong.
pub(crate) async fn handshake(
    mut tls: Connection,
    (reader, writer): (Reader, Writer),
    first: &[u8],
    charge: Option<Charge>,
) -> Result<(TlsReader, TlsWriter), Broken> {
    tls.set_buffer_limit(Some(CHUNK_BYTES_MAX));
    let (in_flight, ahead, handshake_bytes) = (0, Vec::new(), 0);
    let quiet_bytes = TLS_BYTES;
    let state = State { tls, in_flight, ahead, handshake_bytes, quiet_bytes, charge };
    let state = Mutex::new(state);
    let shared = Arc::new(Shared { below: writer, state });
    let mut reader = TlsReader { below: Box::new(reader), shared };
    match reader.shake(first).await {
        Ok(()) => {
            let shared = reader.shared.clone();
            shared.lock().settle();
            Ok((reader, TlsWriter { shared }))
        }
        Err(error) => {
            let TlsReader { below, shared } = reader;
            let shared = Arc::into_inner(shared).expect("nobody else has it yet");
            Err(Broken { error, halves: (*below, shared.below) })
        }
    }
}

/// A handshake that has failed.
#[derive(Debug)]
pub(crate) struct Broken {
    pub(crate) error: io::Error,
    /// The connection, whose other side may still have to hear why.
    pub(crate) halves: (Reader, Writer),
}

impl Shared {
    fn lock(&self) -> MutexGuard<'_, State> {
        // A panic inside rustls leaves a connection that is broken for itself alone.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes to a connection below, as much as it takes.
struct Below<'a>(&'a Writer);

impl Write for Below<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.try_write_vectored(&[IoSlice::new(bytes)])
    }

    fn write_vectored(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.0.try_write_vectored(slices)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl State {
    /// Writes what rustls has to say. Gives whether that was all.
    fn flush(&mut self, below: &Writer) -> io::Result<bool> {
        while self.tls.wants_write() {
            match self.tls.write_tls(&mut Below(below)) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return Ok(false),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(true)
    }

    fn handshake_bytes_max(&self) -> usize {
        match self.tls {
            Connection::Server(_) => HANDSHAKE_BYTES_MAX,
            Connection::Client(_) => CHAIN_BYTES_MAX,
        }
    }

    /// The handshake is over. What a client has shown of itself stays, and the names are read from it.
    fn settle(&mut self) {
        if let Connection::Server(_) = self.tls {
            let shown = self.tls.peer_certificates().unwrap_or_default();
            self.quiet_bytes += 3 * shown.iter().map(|one| one.len()).sum::<usize>();
        }
        self.charge(self.quiet_bytes);
    }

    fn charge(&mut self, bytes: usize) {
        if let Some(charge) = &mut self.charge {
            charge.resize(bytes);
        }
    }

    /// Takes what was read from below, nothing at its end.
    fn receive(&mut self, mut bytes: &[u8], below: &Writer) -> io::Result<()> {
        if bytes.is_empty() {
            self.tls.read_tls(&mut bytes)?;
            return Ok(());
        }
        while !bytes.is_empty() {
            let before = bytes.len();
            let readable = self.digest(&mut bytes, below)?;
            if self.tls.is_handshaking() {
                self.handshake_bytes += before - bytes.len();
                if self.handshake_bytes > self.handshake_bytes_max() {
                    let what = "TLS: the handshake takes too many bytes";
                    return Err(io::Error::new(io::ErrorKind::InvalidData, what));
                }
            }
            if readable == 0 && bytes.len() == before {
                // The other side has said that nothing follows, so rustls takes nothing more.
                break;
            }
            if readable > 0 {
                // Rustls takes no more before that is read.
                self.ahead.extend_from_slice(bytes);
                break;
            }
        }
        Ok(())
    }

    /// Has rustls look at some bytes. Gives how many can be read because of that.
    fn digest(&mut self, bytes: &mut &[u8], below: &Writer) -> io::Result<usize> {
        self.tls.read_tls(bytes)?;
        match self.tls.process_new_packets() {
            Ok(state) => {
                // Answers to what was asked meanwhile. What does not leave now does with the next write.
                self.flush(below)?;
                Ok(state.plaintext_bytes_to_read())
            }
            Err(error) => {
                // The alert, if there is room for it.
                let _ = self.flush(below);
                Err(match self.tls {
                    Connection::Client(_) => HandshakeError::from(error).into(),
                    Connection::Server(_) => io::Error::new(
                        io::ErrorKind::InvalidData,
                        format!("TLS: {}", client_fault(&error)),
                    ),
                })
            }
        }
    }

    /// Reads what is decrypted. Gives whether there was something, or the end.
    fn read(&mut self, buffer: &mut ReadBuf<'_>, below: &Writer) -> io::Result<bool> {
        loop {
            match self.tls.reader().read(buffer.initialize_unfilled()) {
                Ok(count) => {
                    buffer.advance(count);
                    return Ok(true);
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                // The other side has gone without a word, which sessions take for a loss in any case.
                Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(true),
                Err(error) => return Err(error),
            }
            if self.ahead.is_empty() {
                return Ok(false);
            }
            let ahead = std::mem::take(&mut self.ahead);
            self.receive(&ahead, below)?;
        }
    }

    /// As [`Writer::try_write_vectored`].
    fn write(&mut self, slices: &[IoSlice<'_>], below: &Writer) -> io::Result<usize> {
        if !self.flush(below)? {
            return Err(io::ErrorKind::WouldBlock.into());
        }
        // All that was made of the beginning of these bytes has left.
        let mut written = std::mem::take(&mut self.in_flight);
        if written > 0 {
            self.charge(self.quiet_bytes);
        }
        let mut slices: Vec<IoSlice<'_>> = slices.to_vec();
        let mut rest = &mut slices[..];
        let length: usize = rest.iter().map(|slice| slice.len()).sum();
        if written > length {
            return Err(io::ErrorKind::InvalidInput.into());
        }
        IoSlice::advance_slices(&mut rest, written);
        while written < length {
            let taken = self.tls.writer().write_vectored(rest)?;
            if taken == 0 {
                break;
            }
            if !self.flush(below)? {
                self.in_flight = taken;
                self.charge(self.quiet_bytes + taken);
                break;
            }
            written += taken;
            IoSlice::advance_slices(&mut rest, taken);
        }
        if written == 0 && length > 0 { Err(io::ErrorKind::WouldBlock.into()) } else { Ok(written) }
    }
}

impl TlsReader {
    async fn shake(&mut self, first: &[u8]) -> io::Result<()> {
        if !first.is_empty() {
            self.shared.lock().receive(first, &self.shared.below)?;
        }
        loop {
            while !self.shared.lock().flush(&self.shared.below)? {
                self.shared.below.writable().await?;
            }
            if !self.shared.lock().tls.is_handshaking() {
                return Ok(());
            }
            if poll_fn(|cx| self.poll_receive(cx)).await? == 0 {
                return Err(io::ErrorKind::UnexpectedEof.into());
            }
        }
    }

    /// As [`Reader::poll_read`].
    pub(crate) fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        loop {
            if self.shared.lock().read(buffer, &self.shared.below)? {
                return Poll::Ready(Ok(()));
            }
            ready!(self.poll_receive(cx))?;
        }
    }

    /// Reads from below. Gives how much; 0 at the end.
    fn poll_receive(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut bytes = ReadBuf::new(scratch);
            ready!(self.below.poll_read(cx, &mut bytes))?;
            self.shared.lock().receive(bytes.filled(), &self.shared.below)?;
            Poll::Ready(Ok(bytes.filled().len()))
        })
    }

    /// As [`Reader::gone`].
    pub(crate) async fn gone(&mut self) {
        Box::pin(self.below.gone()).await;
    }
}

impl TlsWriter {
    /// As [`Writer::try_write_vectored`].
    pub(crate) fn try_write_vectored(&self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        self.shared.lock().write(slices, &self.shared.below)
    }

    /// What a proof over this connection is bound to.
    pub(crate) fn channel_binding(&self) -> ChannelBinding {
        tls::channel_binding(&self.shared.lock().tls)
    }

    /// The certificate of the client, at a server that has asked for it and verified it.
    pub(crate) fn client_certificate(&self) -> Option<ClientCertificate> {
        let state = self.shared.lock();
        match &state.tls {
            Connection::Server(server) => tls::names::read(server.peer_certificates()?.first()?),
            Connection::Client(_) => None,
        }
    }

    /// The connection below.
    pub(crate) fn below(&self) -> &Writer {
        &self.shared.below
    }

    /// Whether something has come that was not read, or the end of the connection.
    pub(crate) fn unread(&self) -> bool {
        !self.shared.lock().ahead.is_empty() || self.shared.below.unread()
    }

    /// Says that nothing more will be written. The other side may be gone already.
    pub(crate) fn shutdown(&self) {
        let mut state = self.shared.lock();
        state.tls.send_close_notify();
        // What is written before it has left; for a word more there may be no room.
        let _ = state.flush(&self.shared.below);
        drop(state);
        self.shared.below.shutdown();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, Shape};
    use crate::stream::Stream;
    use crate::tls::certificate::Certificate;
    use crate::tls::client::{ClientTls, Trust};
    use crate::tls::server::Tls;
    use bytes::Bytes;
    use std::collections::VecDeque;

    /// Both ends over a way that takes so many bytes at a time.
    async fn pair(buffer_bytes_max: usize) -> [(TlsReader, TlsWriter); 2] {
        let shape = Shape { buffer_bytes_max, ..Shape::default() };
        let (near, far) = memory::pair(shape.clone(), shape);
        let certificate = Certificate::for_development().unwrap();
        let trust = Trust::Pinned(certificate.fingerprint().unwrap());
        let tls = Tls::new(vec![certificate]).unwrap();
        let client = ClientTls::from(trust).connect("localhost").unwrap();
        let server = tls.accept().unwrap();
        let [near, far] = [near, far].map(|end| Stream::from(end).into_split());
        let (client, server) =
            tokio::join!(handshake(client, near, &[], None), handshake(server, far, &[], None));
        [client.unwrap(), server.unwrap()]
    }

    async fn read(reader: &mut TlsReader, most: usize) -> Vec<u8> {
        let mut bytes = vec![0; most];
        let mut buffer = ReadBuf::new(&mut bytes);
        poll_fn(|cx| reader.poll_read(cx, &mut buffer)).await.unwrap();
        let length = buffer.filled().len();
        bytes.truncate(length);
        bytes
    }

    /// A writer that is often blocked in the middle of a record, and a reader that takes little at a time.
    #[tokio::test]
    async fn all_arrives_in_order_over_a_narrow_way() {
        for (buffer_bytes_max, piece, most) in
            [(700, 5_000, 333), (40_000, 100_000, 9_000), (1 << 20, 1 << 19, 1 << 16)]
        {
            let [(_near, writer), (mut reader, _far)] = pair(buffer_bytes_max).await;
            let data: Vec<u8> = (0..2_000_000u32).map(|at| (at * 31 % 251) as u8).collect();
            let mut queue: VecDeque<Bytes> =
                data.chunks(piece).map(Bytes::copy_from_slice).collect();
            let write = async {
                let writer = Writer::Tls(writer);
                while !queue.is_empty() {
                    writer.writable().await.unwrap();
                    writer.try_write_queue(&mut queue).unwrap();
                }
                writer.shutdown();
            };
            let receive = async {
                let mut received = Vec::new();
                loop {
                    let bytes = read(&mut reader, most).await;
                    if bytes.is_empty() {
                        return received;
                    }
                    received.extend(bytes);
                }
            };
            let ((), received) = tokio::join!(write, receive);
            assert!(received == data, "{} of {} bytes", received.len(), data.len());
        }
    }

    /// What is told of a write is what has left.
    #[tokio::test]
    async fn a_write_counts_when_all_that_was_made_of_it_has_left() {
        let [(_near, writer), (mut reader, _far)] = pair(2_000).await;
        let data = [7; 1_500];
        let slices = [IoSlice::new(&data)];
        assert_eq!(writer.try_write_vectored(&slices).unwrap(), 1_500);
        let full = writer.try_write_vectored(&slices).unwrap_err();
        assert_eq!(full.kind(), io::ErrorKind::WouldBlock);
        assert_eq!(read(&mut reader, 9_000).await.len(), 1_500);
        // The same bytes again, and more behind them.
        let more = [IoSlice::new(&data), IoSlice::new(b"more")];
        assert_eq!(writer.try_write_vectored(&more).unwrap(), 1_504);
        assert_eq!(read(&mut reader, 9_000).await, [&data[..], b"more"].concat());
    }

    /// What follows the last word of the other side is nobody's, however much it is.
    #[tokio::test]
    async fn bytes_behind_a_close_notify_are_not_looked_at() {
        let [(_near, writer), (mut reader, _far)] = pair(1 << 20).await;
        writer.try_write_vectored(&[IoSlice::new(b"last")]).unwrap();
        {
            let mut state = writer.shared.lock();
            state.tls.send_close_notify();
            assert!(state.flush(&writer.shared.below).unwrap());
        }
        writer.below().write_all(&[7; 20_000]).await.unwrap();
        writer.below().shutdown();
        assert_eq!(read(&mut reader, 9_000).await, b"last");
        assert!(read(&mut reader, 9_000).await.is_empty());
        assert!(read(&mut reader, 9_000).await.is_empty());
    }
}
