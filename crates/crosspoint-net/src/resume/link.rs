//! One connection of a resumable session: records over TCP, WebSocket or memory.

use super::record::{Record, RecordError};
use crate::client::Dialed;
use crate::session::{discard, read};
use crate::stream::{Reader, Writer};
use crate::ws::{self, Incoming};
use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_hub::hub::Admission;
use crosspoint_hub::input::Input;
use crosspoint_hub::ledger::Purpose;
use crosspoint_hub::wire::FrameWriter;
use std::collections::VecDeque;
use std::io;
use std::time::Duration;

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
    decoder: Option<Box<ws::Decoder>>,
    /// Whether this side masks what it sends, as clients do.
    masks: bool,
    input: Input,
    /// What is to be said next.
    pub(crate) out: FrameWriter,
    queue: VecDeque<Bytes>,
    queued: usize,
    /// What the last ping said that is not answered yet. Older ones need no answer (RFC 6455, section 5.5.3).
    pinged: Option<Bytes>,
    /// Pieces of the queue up to the last answer to a ping in it.
    until_pong: usize,
    /// The right to this connection. Given back with it.
    place: Option<Admission>,
}

impl Link {
    /// A hub's connection, of which these bytes were read, the magic bytes first.
    pub(crate) fn accepted(
        (reader, writer): (Reader, Writer),
        decoder: Option<Box<ws::Decoder>>,
        first: Bytes,
        place: Admission,
    ) -> Self {
        let mut link = Self::new(reader, writer, decoder, false);
        link.input.push(first);
        link.place = Some(place);
        link
    }

    /// A client's connection.
    pub(crate) fn dialed(dialed: Dialed) -> Self {
        let (reader, writer, decoder) = dialed.into_parts();
        Self::new(reader, writer, decoder.map(Box::new), true)
    }

    fn new(reader: Reader, writer: Writer, decoder: Option<Box<ws::Decoder>>, masks: bool) -> Self {
        Self {
            reader,
            writer,
            decoder,
            masks,
            input: Input::default(),
            out: FrameWriter::default(),
            queue: VecDeque::new(),
            queued: 0,
            pinged: None,
            until_pong: 0,
            place: None,
        }
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
        match &mut self.decoder {
            Some(decoder) => decoder.receive(bytes),
            None => self.input.push(bytes.freeze()),
        }
        self.unwrap()
    }

    /// Takes the frames out of the WebSocket, if there is one.
    pub(crate) fn unwrap(&mut self) -> Result<(), Fault> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(());
        };
        while let Some(incoming) = decoder.decode()? {
            match incoming {
                Incoming::Data { bytes, .. } => self.input.push(bytes),
                // Copied, so that it keeps no read alive.
                Incoming::Ping(payload) => self.pinged = Some(Bytes::copy_from_slice(&payload)),
                Incoming::Pong(_) => {}
                Incoming::Close(_) => return Err(ended()),
            }
        }
        Ok(())
    }

    /// The next record, if it is there whole.
    pub(crate) fn next(&mut self) -> Result<Option<Record>, Fault> {
        Ok(Record::next(&mut self.input)?)
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
        let encoded = self.decoder.as_ref().map_or(0, |decoder| decoder.buffered());
        let pieces = self.queue.len() * PIECE_BYTES;
        self.queued + pieces + self.input.len() + encoded
    }

    /// Whether all was written.
    pub(crate) fn is_idle(&self) -> bool {
        self.queue.is_empty() && self.out.is_empty() && self.pinged.is_none()
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
            if self.wrap().is_err() {
                return;
            }
            if self.decoder.is_some()
                && let Ok(mask) = mask(self.masks)
            {
                let reason = String::new();
                let frame = ws::CloseFrame { code: ws::CloseCode::NORMAL, reason };
                self.queue.push_back(ws::frame::close_frame(Some(&frame), mask));
            }
            if self.flush().await.is_ok() {
                self.writer.shutdown();
                // Closing with bytes unread would take the last ones away from the other side.
                discard(&mut self.reader).await;
            }
        };
        // A client that does not take it in time is cut off.
        let _ = tokio::time::timeout(longest, part).await;
    }

    /// Queues what was said, in WebSocket messages if there is a WebSocket, and the answer to the last ping
    /// unless another one waits.
    fn wrap(&mut self) -> io::Result<()> {
        if self.until_pong == 0
            && let Some(payload) = self.pinged.take()
        {
            let pong = ws::frame::pong_frame(&payload, mask(self.masks)?);
            self.queued += pong.len();
            self.queue.push_back(pong);
            self.until_pong = self.queue.len();
        }
        if self.out.is_empty() {
            return Ok(());
        }
        let encoded = self.out.take();
        for piece in encoded.pieces() {
            match &self.decoder {
                None => self.queue.push_back(piece.clone()),
                Some(_) => self.message(piece)?,
            }
            self.queued += piece.len();
        }
        Ok(())
    }

    fn message(&mut self, piece: &Bytes) -> io::Result<()> {
        for part in piece.chunks(MESSAGE_BYTES_MAX) {
            let mut framed = BytesMut::new();
            match mask(self.masks)? {
                Some(mask) => {
                    framed.reserve(ws::frame::HEADER_BYTES_MAX + part.len());
                    ws::frame::client_frame(ws::Opcode::Binary, true, part, mask, &mut framed);
                    self.queue.push_back(framed.freeze());
                }
                None => {
                    let header = ws::frame::server_header(ws::Opcode::Binary, true, part.len());
                    framed.put_slice(header.as_slice());
                    self.queue.push_back(framed.freeze());
                    self.queue.push_back(piece.slice_ref(part));
                }
            }
        }
        Ok(())
    }
}

fn ended() -> Fault {
    Fault::Lost(io::ErrorKind::UnexpectedEof.into())
}

/// A mask, on the side that needs one.
fn mask(masks: bool) -> io::Result<Option<[u8; 4]>> {
    match masks {
        true => ws::frame::new_mask().map(Some).map_err(io::Error::other),
        false => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::memory::{self, Shape};
    use crate::stream::Stream;

    #[tokio::test]
    async fn of_pings_that_come_while_an_answer_waits_only_the_last_is_answered() {
        let (near, far) = memory::pair(Shape::default(), Shape::default());
        let (reader, writer) = Stream::from(near).into_split();
        let settings = ws::Settings { frame_bytes_max: 1024, lenient: false };
        let decoder = ws::Decoder::new(ws::Role::Server, settings);
        let mut link = Link::new(reader, writer, Some(Box::new(decoder)), false);
        for number in 0..1000 {
            let mut ping = BytesMut::new();
            let payload = format!("{number:03}");
            ws::frame::client_frame(ws::Opcode::Ping, true, payload.as_bytes(), [1; 4], &mut ping);
            link.received(ping).unwrap();
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
