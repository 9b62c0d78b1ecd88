//! One connection of a resumable session: records over TCP, WebSocket or memory.

use super::record::{Record, RecordError};
use crate::client::Dialed;
use crate::reading::{discard_until_closed, read};
use crate::stream::{Reader, Writer};
use crate::ws;
use bytes::{Bytes, BytesMut};
use crosspoint_hub::hub::Admission;
use crosspoint_hub::input::Input;
use crosspoint_hub::ledger::Purpose;
use crosspoint_hub::transport::Transport;
use crosspoint_hub::wire::FrameWriter;
use std::collections::VecDeque;
use std::io;
use std::time::{Duration, Instant};

/// Bytes that may wait to be written before nothing more is added.
pub(crate) const QUEUE_BYTES_MAX: usize = 64 * 1024;

/// The memory of a piece of the queue besides its bytes: its place, and what the allocator keeps for it.
const PIECE_BYTES: usize = 96;

/// The most bytes of one WebSocket message; hubs take that much in any case.
const MESSAGE_BYTES_MAX: usize = 32 * 1024;

/// Why nothing more is read from a connection.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Fault {
    #[error("the connection is lost: {0}")]
    Lost(#[from] io::Error),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error(transparent)]
    WebSocket(#[from] ws::WsError),
}

/// A connection, and the records on their way in and out.
#[derive(Debug)]
pub(crate) struct Link {
    pub(crate) reader: Reader,
    pub(crate) writer: Writer,
    /// Unwraps WebSocket frames, if the connection has them.
    websocket: Option<Box<ws::Connection>>,
    input: Input,
    /// Since when some bytes of a record are here and some have not come, as far as that was looked at.
    midway: Option<Instant>,
    /// Bytes that were read since they were last counted.
    read: usize,
    /// What is to be said next.
    pub(crate) out: FrameWriter,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// Pieces of the queue up to the last answer to a ping in it.
    until_pong: usize,
    /// The right to this connection. Given back with it.
    place: Option<Admission>,
}

impl Link {
    /// A hub's connection, of which these bytes were read, the magic bytes first.
    pub(crate) fn accepted(
        (reader, writer): (Reader, Writer),
        websocket: Option<Box<ws::Connection>>,
        first: Bytes,
        place: Admission,
    ) -> Self {
        let mut link = Self::new(reader, writer, websocket);
        link.read = first.len();
        link.input.push(first);
        link.place = Some(place);
        link
    }

    /// A client's connection.
    pub(crate) fn dialed(dialed: Dialed) -> Self {
        let (reader, writer, websocket) = dialed.into_parts();
        Self::new(reader, writer, websocket.map(Box::new))
    }

    fn new(reader: Reader, writer: Writer, websocket: Option<Box<ws::Connection>>) -> Self {
        Self {
            reader,
            writer,
            websocket,
            input: Input::default(),
            midway: None,
            read: 0,
            out: FrameWriter::default(),
            queue: VecDeque::new(),
            queued: 0,
            until_pong: 0,
            place: None,
        }
    }

    /// What carries the records.
    pub(crate) fn transport(&self) -> Transport {
        self.writer.transport(self.websocket.is_some())
    }

    /// What was read and not looked at.
    pub(crate) fn input(&mut self) -> &mut Input {
        &mut self.input
    }

    /// Waits for bytes.
    ///
    /// # Errors
    /// [`Fault::Lost`] at the end of the stream too.
    pub(crate) async fn read(&mut self) -> Result<(), Fault> {
        let bytes = read(&mut self.reader).await?;
        self.received(bytes)
    }

    /// Takes bytes of the connection.
    pub(crate) fn received(&mut self, bytes: BytesMut) -> Result<(), Fault> {
        if bytes.is_empty() {
            return Err(ended());
        }
        self.read += bytes.len();
        match &mut self.websocket {
            Some(websocket) => websocket.receive(bytes),
            None => self.input.push(bytes.freeze()),
        }
        Ok(())
    }

    /// Takes the next piece of a message out of the WebSocket, if there is one. Gives whether there was.
    pub(crate) fn unwrap(&mut self) -> Result<bool, Fault> {
        let Some(websocket) = &mut self.websocket else {
            return Ok(false);
        };
        match websocket.poll()? {
            None => Ok(false),
            Some(ws::Event::Data { bytes, .. }) => {
                self.input.push(bytes);
                Ok(true)
            }
            Some(ws::Event::Closed(_)) => {
                self.answer_close();
                Err(ended())
            }
        }
    }

    /// Whether the WebSocket has bytes that were not looked at, or may have.
    pub(crate) fn has_unread(&self) -> bool {
        self.websocket.as_ref().is_some_and(|it| it.buffered() > 0)
    }

    /// Bytes that were read since the last call.
    pub(crate) fn take_read(&mut self) -> u64 {
        std::mem::take(&mut self.read) as u64
    }

    /// The WebSocket, if there is one, whose work is to be counted.
    pub(crate) fn websocket(&mut self) -> Option<&mut ws::Connection> {
        self.websocket.as_deref_mut()
    }

    /// Since when a record, a frame or a message of the WebSocket is here in part, as far as that was looked at.
    pub(crate) fn unfinished_since(&mut self, now: Instant) -> Option<Instant> {
        self.midway = match self.input.is_empty() {
            true => None,
            false => self.midway.or(Some(now)),
        };
        let websocket = self.websocket.as_mut().and_then(|it| it.unfinished_since(now));
        self.midway.into_iter().chain(websocket).min()
    }

    /// Nobody listens to the other side for so long.
    pub(crate) fn unheard(&mut self, time: Duration) {
        self.midway = self.midway.map(|since| since + time);
        if let Some(websocket) = &mut self.websocket {
            websocket.unheard(time);
        }
    }

    /// Answers a close frame behind all that waits, as far as that goes without waiting.
    fn answer_close(&mut self) {
        // Without randomness there is no answer.
        if self.push_close().is_err() {
            return;
        }
        while !self.queue.is_empty()
            && matches!(self.writer.try_write_queue(&mut self.queue), Ok(1..))
        {}
        self.writer.shutdown();
    }

    fn push_close(&mut self) -> io::Result<()> {
        let Some(websocket) = &mut self.websocket else { return Ok(()) };
        let normal = ws::CloseFrame { code: ws::CloseCode::NORMAL, reason: String::new() };
        if let Some(close) = websocket.close(Some(&normal)).map_err(io::Error::other)? {
            self.queued += close.len();
            self.queue.push_back(close);
        }
        Ok(())
    }

    /// The next record, if it is there whole and out of the WebSocket.
    pub(crate) fn record(&mut self) -> Result<Option<Record>, Fault> {
        let record = Record::next(&mut self.input)?;
        if record.is_some() {
            self.midway = None;
        }
        Ok(record)
    }

    /// The next record, if it is there whole.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, Fault> {
        loop {
            if let Some(record) = self.record()? {
                return Ok(Some(record));
            }
            if !self.unwrap()? {
                return Ok(None);
            }
        }
    }

    /// Says a record after all that was said before.
    pub(crate) fn say(&mut self, record: Record) {
        record.put(&mut self.out);
    }

    /// Whether there is room for more to be said, where so much may wait.
    pub(crate) fn has_room_up_to(&self, most: usize) -> bool {
        self.queued < most
    }

    /// The memory of what waits here to be written or looked at.
    pub(crate) fn held(&self) -> usize {
        let encoded = self.websocket.as_ref().map_or(0, |websocket| websocket.buffered());
        let pieces = self.queue.len() * PIECE_BYTES;
        self.queued + pieces + self.input.len() + encoded
    }

    /// Whether all was written.
    pub(crate) fn is_idle(&self) -> bool {
        let owes_pong = self.websocket.as_ref().is_some_and(|websocket| websocket.owes_pong());
        self.queue.is_empty() && self.out.is_empty() && !owes_pong
    }

    /// Writes without waiting.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(crate) fn write(&mut self) -> io::Result<()> {
        loop {
            self.wrap()?;
            let before = self.queue.len();
            if before == 0 {
                return Ok(());
            }
            let written = self.writer.try_write_queue(&mut self.queue)?;
            if written == 0 {
                return Ok(());
            }
            self.queued = self.queued.saturating_sub(written);
            self.until_pong = self.until_pong.saturating_sub(before - self.queue.len());
        }
    }

    /// Writes all that was said.
    ///
    /// # Errors
    /// When the connection is lost.
    pub(crate) async fn flush(&mut self) -> io::Result<()> {
        loop {
            self.write()?;
            if self.queue.is_empty() {
                return Ok(());
            }
            self.writer.writable().await?;
        }
    }

    /// Writes what is left and closes, if the other side takes it in this time and there is memory for it.
    pub(crate) async fn part(mut self, longest: Duration) {
        // Nobody looks at it any more.
        self.input = Input::default();
        let held = self.place.as_ref().map(|place| place.hold(Purpose::Outbox, self.held()));
        let Ok(_charge) = held.transpose() else { return };
        let part = async {
            if self.wrap().is_err() || self.push_close().is_err() {
                return;
            }
            if self.flush().await.is_ok() {
                self.writer.shutdown();
                // Closing with bytes unread would take the last ones away from the other side.
                discard_until_closed(&mut self.reader, self.websocket.as_deref_mut()).await;
            }
        };
        // A client that does not take it in time is cut off.
        let _ = tokio::time::timeout(longest, part).await;
    }

    /// Queues what was said, in WebSocket messages if there is a WebSocket, and the answer to the last ping
    /// unless another one waits.
    fn wrap(&mut self) -> io::Result<()> {
        if self.until_pong == 0
            && let Some(websocket) = &mut self.websocket
            && let Some(pong) = websocket.pong().map_err(io::Error::other)?
        {
            self.queued += pong.len();
            self.queue.push_back(pong);
            self.until_pong = self.queue.len();
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let encoded = self.out.take();
        for piece in encoded.pieces() {
            self.queued += match &self.websocket {
                None => {
                    self.queue.push_back(piece.clone());
                    piece.len()
                }
                Some(websocket) => messages(websocket, piece, &mut self.queue)?,
            };
        }
        Ok(())
    }
}

/// Queues bytes as WebSocket messages, and gives the length of those.
fn messages(
    websocket: &ws::Connection,
    piece: &Bytes,
    queue: &mut VecDeque<Bytes>,
) -> io::Result<usize> {
    let mut length = 0;
    for part in piece.chunks(MESSAGE_BYTES_MAX) {
        let part = piece.slice_ref(part);
        let framed = websocket.message_pieces(ws::MessageKind::Binary, part, queue);
        length += framed.map_err(io::Error::other)?;
    }
    Ok(length)
}

fn ended() -> Fault {
    Fault::Lost(io::ErrorKind::UnexpectedEof.into())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, Shape};
    use crate::stream::Stream;

    const SETTINGS: ws::Config = ws::Config { frame_bytes_max: 1024, lenient: false };

    /// What a link in this role writes because of the bytes that it gets, to the end.
    async fn written(role: ws::Role, said: &[u8]) -> BytesMut {
        let (near, far) = memory::pair(Shape::default(), Shape::default());
        let (reader, writer) = Stream::from(near).into_split();
        let websocket = Box::new(ws::Connection::new(role, SETTINGS));
        let mut link = Link::new(reader, writer, Some(websocket));
        link.received(BytesMut::from(said)).unwrap();
        match link.next().unwrap_err() {
            Fault::Lost(_) => drop(link),
            _ => link.part(Duration::ZERO).await,
        }
        let (mut reader, _writer) = Stream::from(far).into_split();
        let mut all = BytesMut::new();
        while let Ok(bytes) = read(&mut reader).await
            && !bytes.is_empty()
        {
            all.unsplit(bytes);
        }
        all
    }

    #[tokio::test]
    async fn a_close_is_answered_with_its_code_and_a_broken_frame_with_the_code_of_that() {
        use ws::frame::{client_frame, close_frame, ping_frame};
        let going = ws::CloseFrame { code: ws::CloseCode::GOING_AWAY, reason: String::new() };
        for role in [ws::Role::Server, ws::Role::Client] {
            let mask = (role == ws::Role::Server).then_some([1; 4]);
            let close = [ping_frame(b"?", mask), close_frame(Some(&going), mask)].concat();
            let mut broken = BytesMut::new();
            match mask {
                Some(mask) => client_frame(ws::Opcode::Continuation, true, b"", mask, &mut broken),
                None => broken.extend_from_slice(&[0x80, 0]),
            }
            for (said, code) in [(&close[..], 1001_u16), (&broken, 1002)] {
                let all = written(role, said).await;
                let mut reader = ws::Decoder::new(
                    if role == ws::Role::Server { ws::Role::Client } else { ws::Role::Server },
                    SETTINGS,
                );
                reader.receive(all);
                let Ok(Some(ws::Incoming::Close(Some(close)))) = reader.decode() else {
                    panic!("a close frame and nothing else");
                };
                assert_eq!(close.code.get(), code, "{role:?}");
            }
        }
    }

    #[tokio::test]
    async fn of_pings_that_come_while_an_answer_waits_only_the_last_is_answered() {
        let (near, far) = memory::pair(Shape::default(), Shape::default());
        let (reader, writer) = Stream::from(near).into_split();
        let websocket = ws::Connection::new(ws::Role::Server, SETTINGS);
        let mut link = Link::new(reader, writer, Some(Box::new(websocket)));
        for number in 0..1000 {
            let mut ping = BytesMut::new();
            let payload = format!("{number:03}");
            ws::frame::client_frame(ws::Opcode::Ping, true, payload.as_bytes(), [1; 4], &mut ping);
            link.received(ping).unwrap();
            assert_eq!(link.next().unwrap(), None);
            link.wrap().unwrap();
        }
        assert!(!link.is_idle());
        assert!(link.held() < 256, "{} bytes", link.held());
        link.flush().await.unwrap();
        assert!(link.is_idle());
        let (mut reader, _writer) = Stream::from(far).into_split();
        let mut answers = BytesMut::new();
        while answers.len() < 10 {
            answers.unsplit(read(&mut reader).await.unwrap());
        }
        assert_eq!(&answers[..], b"\x8a\x03000\x8a\x03999");
    }
}
