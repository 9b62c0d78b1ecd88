//! Streams (docs/peers.md, section 4).

use super::body::{Form, kind};
use super::content::{Text, code};
use super::error::{Broken, SendError, StreamError};
use super::halves::{Piece, Read, Receiver, Sender};
use super::outputs::{Control, Event, Outputs};
use super::sizes::{METADATA_BYTES_MAX, NAME_BYTES_MAX, RESET_TEXT_BYTES_MAX, WINDOW_MAX};
use super::stream_id::StreamId;
use super::{Config, Counters, Side};
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};

#[derive(Debug)]
pub(super) struct Streams {
    side: Side,
    map: HashMap<StreamId, Stream>,
    /// The id that this side gives next. Beyond 32 bits there is none left.
    next_out: u64,
    /// The first id of this side that the other has not heard of.
    unheard: u64,
    /// The id that the other side has to give next.
    next_in: u64,
    /// Streams in the map that the other side has opened.
    incoming: u32,
    /// Bytes of all streams in the map that were not read.
    unread: usize,
    /// Streams that have something to send, in turn.
    ready: VecDeque<StreamId>,
}

#[derive(Debug)]
struct Stream {
    phase: Phase,
    sender: Sender,
    receiver: Receiver,
    /// The application has seen the end of what it reads.
    end_read: bool,
    /// It is among those that have something to send.
    ready: bool,
    /// Credit that waits to be sent. Above 0 there is an entry for it.
    credit: u32,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Phase {
    /// By this side; the other has not answered.
    Offered,
    /// By the other side; the application has not answered.
    Asked,
    Open,
}

impl Stream {
    fn new(phase: Phase, sender: Sender, window: u32) -> Self {
        let receiver = Receiver::new(window);
        Self { phase, sender, receiver, end_read: false, ready: false, credit: 0 }
    }
}

/// As much of a text as a RESET holds.
fn cut(text: &str) -> &str {
    &text[..text.floor_char_boundary(RESET_TEXT_BYTES_MAX)]
}

impl Streams {
    pub(super) fn new(side: Side) -> Self {
        let (own, other) = match side {
            Side::Opener => (0, 1),
            Side::Accepter => (1, 0),
        };
        Self {
            side,
            map: HashMap::new(),
            next_out: own,
            unheard: own,
            next_in: other,
            incoming: 0,
            unread: 0,
            ready: VecDeque::new(),
        }
    }

    pub(super) fn incoming(&self) -> usize {
        self.incoming as usize
    }

    pub(super) fn outgoing(&self) -> usize {
        self.map.len() - self.incoming as usize
    }

    pub(super) fn unread(&self) -> usize {
        self.unread
    }

    pub(super) fn unsent(&self) -> usize {
        self.map.values().map(|stream| stream.sender.unsent()).sum()
    }

    fn is_own(&self, id: StreamId) -> bool {
        id.0.is_multiple_of(2) == (self.side == Side::Opener)
    }

    fn remove(&mut self, id: StreamId) {
        let Some(stream) = self.map.remove(&id) else {
            return;
        };
        self.unread -= stream.receiver.unread() as usize;
        if !self.is_own(id) {
            self.incoming -= 1;
        }
    }

    /// Lets a stream wait for its turn if it has something to send.
    fn make_ready(&mut self, id: StreamId) {
        if let Some(stream) = self.map.get_mut(&id)
            && stream.phase == Phase::Open
            && !stream.ready
            && stream.sender.has_something()
        {
            stream.ready = true;
            self.ready.push_back(id);
        }
    }

    /// Forgets a stream that is over in both directions.
    fn settle(&mut self, id: StreamId) {
        if self.map.get(&id).is_some_and(|stream| stream.end_read && stream.sender.is_over()) {
            self.remove(id);
        }
    }

    // Commands of the application.

    pub(super) fn open(
        &mut self,
        name: &str,
        metadata: &[u8],
        config: &Config,
        out: &mut Outputs,
    ) -> Result<StreamId, SendError> {
        if name.len() > NAME_BYTES_MAX {
            return Err(SendError::NameTooLong(name.len()));
        }
        if metadata.len() > METADATA_BYTES_MAX {
            return Err(SendError::MetadataTooLong(metadata.len()));
        }
        if self.outgoing() >= config.streams_out_max as usize {
            return Err(SendError::TooMany(config.streams_out_max));
        }
        // The other half is left to answers, so that the other side is not blamed for what this one asks.
        if out.control.len() > config.answers_max / 2 {
            return Err(SendError::Full);
        }
        let id = u32::try_from(self.next_out).map_err(|_| SendError::Exhausted)?;
        self.next_out += 2;
        let window = config.window_bytes;
        let form =
            Form { numbers: &[id, window], counted: Some(name), format: None, rest: metadata };
        out.control.push_back(Control::Open(form.write()));
        let id = StreamId(id);
        self.map.insert(id, Stream::new(Phase::Offered, Sender::new(id, 0), window));
        Ok(id)
    }

    pub(super) fn accept(
        &mut self,
        id: StreamId,
        config: &Config,
        out: &mut Outputs,
    ) -> Result<(), StreamError> {
        let stream = self.map.get_mut(&id).ok_or(StreamError::Over(id))?;
        if stream.phase != Phase::Asked {
            return Err(StreamError::NotOffered(id));
        }
        stream.phase = Phase::Open;
        let form = Form { numbers: &[id.0, config.window_bytes], ..Form::default() };
        out.control.push_back(Control::Accept(form.write()));
        Ok(())
    }

    pub(super) fn reset(
        &mut self,
        id: StreamId,
        code: u32,
        text: &str,
        out: &mut Outputs,
    ) -> Result<(), StreamError> {
        let stream = self.map.get(&id).ok_or(StreamError::Over(id))?;
        // If both have ended it the other side has forgotten it already, or soon will.
        if !(stream.sender.is_over() && stream.receiver.is_ended()) {
            let rest = cut(text).as_bytes();
            let form = Form { numbers: &[id.0, code], rest, ..Form::default() };
            out.control.push_back(Control::Reset(form.write()));
        }
        self.remove(id);
        Ok(())
    }

    /// The stream, if the application may write to it.
    fn writable(&mut self, id: StreamId) -> Result<&mut Stream, StreamError> {
        let stream = self.map.get_mut(&id).ok_or(StreamError::Over(id))?;
        if stream.phase == Phase::Asked {
            return Err(StreamError::NotAccepted(id));
        }
        if stream.sender.is_finished() {
            return Err(StreamError::Finished(id));
        }
        Ok(stream)
    }

    pub(super) fn write(
        &mut self,
        id: StreamId,
        bytes: &[u8],
        config: &Config,
    ) -> Result<usize, StreamError> {
        let written = self.writable(id)?.sender.write(bytes, config.send_buffer_bytes);
        self.make_ready(id);
        Ok(written)
    }

    pub(super) fn finish(&mut self, id: StreamId) -> Result<(), StreamError> {
        self.writable(id)?.sender.finish();
        self.make_ready(id);
        Ok(())
    }

    pub(super) fn read(
        &mut self,
        id: StreamId,
        most: usize,
        out: &mut Outputs,
    ) -> Result<Read, StreamError> {
        let stream = self.map.get_mut(&id).ok_or(StreamError::Over(id))?;
        if stream.phase == Phase::Asked {
            return Err(StreamError::NotAccepted(id));
        }
        let (read, credit) = stream.receiver.read(most);
        if let Read::Bytes(bytes) = &read {
            self.unread -= bytes.len();
        }
        if let Some(credit) = credit {
            if stream.credit == 0 {
                out.control.push_back(Control::Credit(id));
            }
            stream.credit += credit;
        }
        if read == Read::End {
            stream.end_read = true;
            self.settle(id);
        }
        Ok(read)
    }

    // Messages of the other side.

    /// A stream, if it is not over here.
    fn known(&mut self, kind: u8, id: StreamId) -> Result<Option<&mut Stream>, Broken> {
        let first_unknown = if self.is_own(id) { self.unheard } else { self.next_in };
        if u64::from(id.0) >= first_unknown {
            return Err(Broken::NeverOpened { kind, stream: id });
        }
        Ok(self.map.get_mut(&id))
    }

    /// A stream that is open, if it is not over here.
    fn opened(&mut self, kind: u8, id: StreamId) -> Result<Option<&mut Stream>, Broken> {
        match self.known(kind, id)? {
            Some(stream) if stream.phase != Phase::Open => {
                Err(Broken::NotAccepted { kind, stream: id })
            }
            stream => Ok(stream),
        }
    }

    pub(super) fn offered(
        &mut self,
        (id, window): (StreamId, u32),
        (name, metadata): (Text, Bytes),
        config: &Config,
        counters: &mut Counters,
        out: &mut Outputs,
    ) -> Result<(), Broken> {
        if u64::from(id.0) != self.next_in {
            return Err(Broken::StreamId(id));
        }
        if window > WINDOW_MAX {
            return Err(Broken::WindowTooLarge(id));
        }
        // Whatever the application makes of it, it is one more answer.
        out.check_flood(config.answers_max)?;
        self.next_in += 2;
        if self.incoming >= config.streams_in_max {
            counters.refused_streams += 1;
            let form = Form { numbers: &[id.0, code::TOO_MANY], ..Form::default() };
            out.control.push_back(Control::Reset(form.write()));
            return Ok(());
        }
        self.incoming += 1;
        let stream = Stream::new(Phase::Asked, Sender::new(id, window), config.window_bytes);
        self.map.insert(id, stream);
        out.events.push_back(Event::Opened { stream: id, name, metadata });
        Ok(())
    }

    pub(super) fn accepted(
        &mut self,
        id: StreamId,
        window: u32,
        config: &Config,
        out: &mut Outputs,
    ) -> Result<(), Broken> {
        let own = self.is_own(id);
        let Some(stream) = self.known(kind::ACCEPT, id)? else {
            return Ok(());
        };
        if !own || stream.phase != Phase::Offered {
            return Err(Broken::NotOffered(id));
        }
        if !stream.sender.enlarge(window) {
            return Err(Broken::WindowTooLarge(id));
        }
        stream.phase = Phase::Open;
        out.events.push_back(Event::Accepted { stream: id });
        if stream.sender.unblocks(config.send_buffer_bytes) {
            out.events.push_back(Event::Writable { stream: id });
        }
        self.make_ready(id);
        Ok(())
    }

    pub(super) fn bytes(
        &mut self,
        id: StreamId,
        bytes: Bytes,
        out: &mut Outputs,
    ) -> Result<(), Broken> {
        let Some(stream) = self.opened(kind::BYTES, id)? else {
            return Ok(());
        };
        if stream.receiver.is_ended() {
            return Err(Broken::AfterEnd { kind: kind::BYTES, stream: id });
        }
        let window = stream.receiver.allowed();
        if bytes.len() > window as usize {
            return Err(Broken::WindowExceeded { stream: id, bytes: bytes.len(), window });
        }
        let count = bytes.len();
        if stream.receiver.receive(bytes) {
            out.events.push_back(Event::Readable { stream: id });
        }
        self.unread += count;
        Ok(())
    }

    pub(super) fn credit(
        &mut self,
        id: StreamId,
        more: u32,
        config: &Config,
        out: &mut Outputs,
    ) -> Result<(), Broken> {
        let Some(stream) = self.opened(kind::CREDIT, id)? else {
            return Ok(());
        };
        if !stream.sender.enlarge(more) {
            return Err(Broken::WindowTooLarge(id));
        }
        if stream.sender.unblocks(config.send_buffer_bytes) {
            out.events.push_back(Event::Writable { stream: id });
        }
        Ok(())
    }

    pub(super) fn ended(&mut self, id: StreamId, out: &mut Outputs) -> Result<(), Broken> {
        let Some(stream) = self.opened(kind::END, id)? else {
            return Ok(());
        };
        if stream.receiver.is_ended() {
            return Err(Broken::AfterEnd { kind: kind::END, stream: id });
        }
        stream.receiver.end();
        out.events.push_back(Event::Ended { stream: id });
        Ok(())
    }

    pub(super) fn was_reset(
        &mut self,
        id: StreamId,
        code: u32,
        text: Text,
        out: &mut Outputs,
    ) -> Result<(), Broken> {
        if self.known(kind::RESET, id)?.is_some() {
            self.remove(id);
            out.events.push_back(Event::Reset { stream: id, code, text });
        }
        Ok(())
    }

    // What is sent.

    /// The other side hears of one more stream.
    pub(super) fn open_sent(&mut self) {
        self.unheard += 2;
    }

    /// The credit to send, if the stream is not over.
    pub(super) fn take_credit(&mut self, id: StreamId) -> Option<u32> {
        let stream = self.map.get_mut(&id)?;
        let credit = std::mem::take(&mut stream.credit);
        (credit > 0 && !stream.receiver.is_ended()).then_some(credit)
    }

    /// What the stream whose turn it is sends.
    pub(super) fn send(&mut self, config: &Config, out: &mut Outputs) -> Option<(u8, Bytes)> {
        while let Some(id) = self.ready.pop_front() {
            let Some(stream) = self.map.get_mut(&id) else {
                continue;
            };
            stream.ready = false;
            let Some(piece) = stream.sender.next() else {
                continue;
            };
            if stream.sender.unblocks(config.send_buffer_bytes) {
                out.events.push_back(Event::Writable { stream: id });
            }
            let message = match piece {
                Piece::Bytes(body) => (kind::BYTES, body),
                Piece::End => (kind::END, Form { numbers: &[id.0], ..Form::default() }.write()),
            };
            self.make_ready(id);
            self.settle(id);
            return Some(message);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_cut_between_characters() {
        assert_eq!(cut("gone"), "gone");
        let long = "x".repeat(RESET_TEXT_BYTES_MAX - 1) + "é";
        assert_eq!(cut(&long).len(), RESET_TEXT_BYTES_MAX - 1);
    }

    #[test]
    fn ids_run_out_rather_than_begin_anew() {
        let config = Config::default();
        let mut out = Outputs::default();
        let mut streams = Streams::new(Side::Accepter);
        streams.next_out = u64::from(u32::MAX);
        assert_eq!(streams.open("", b"", &config, &mut out), Ok(StreamId(u32::MAX)));
        assert_eq!(streams.open("", b"", &config, &mut out), Err(SendError::Exhausted));
    }
}
