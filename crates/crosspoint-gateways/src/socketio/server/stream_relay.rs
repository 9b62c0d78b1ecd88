//! How streams of the peer layer become streams of the plugin.
//!
//! A client sends one chunk, and the next when that is acknowledged. It is acknowledged when the machine has taken all
//! of it, and the client gets the next chunk when it has acknowledged the one before. So the window of the stream is
//! its back-pressure.

use super::SocketIo;
use super::foreign::Wanted;
use super::gathering::Packet;
use super::say::quoted;
use super::streams::{CHUNK, Chunk, DESTROYED, Stream};
use super::targets::{StreamInfo, plain};
use crate::engineio::Sid;
use crate::link::Speaking;
use crate::socketio::event::STREAM_IN_CHANNEL;
use crate::socketio::translate::Arguments;
use crate::socketio::{Elements, elements};
use bytes::{Buf, Bytes};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Limit, LinkNumber};
use crosspoint_proto::peer::{Read, StreamId, code};
use std::borrow::Cow;

/// The largest chunk that a client gets.
const CHUNK_BYTES_MAX: usize = 64 * 1024;
/// The most streams of a client, and the longest id.
const STREAMS_MAX: usize = 1024;
const ID_BYTES_MAX: usize = 255;

impl SocketIo {
    fn stream(&mut self, link: LinkNumber, stream: StreamId) -> Option<&mut Stream> {
        self.foreign(link)?.streams.0.get_mut(&stream)
    }

    /// A stream that one side has offered, and that the other one has yet to take.
    fn add_stream(&mut self, link: LinkNumber, id: StreamId, mut stream: Stream) {
        self.streams.insert(stream.near.clone(), (link, id));
        if let Some(time) = self.options.wait_time {
            let at = self.now + time;
            self.links.shared.unanswered.add((link, id), &mut stream.until, at);
        }
        if let Some(foreign) = self.foreign(link) {
            foreign.streams.0.insert(id, stream);
        }
    }

    /// A stream that is there now. `None` if it is over already.
    fn opened_stream(&mut self, link: LinkNumber, id: StreamId) -> Option<&mut Stream> {
        let until = self.stream(link, id)?.until.take();
        self.links.shared.unanswered.remove((link, id), until);
        let stream = self.stream(link, id)?;
        stream.is_open = true;
        Some(stream)
    }

    fn forget_stream(&mut self, link: LinkNumber, id: StreamId) -> Option<Stream> {
        let gone = self.foreign(link)?.streams.0.remove(&id)?;
        self.links.shared.unanswered.remove((link, id), gone.until);
        self.links.shared.chunks -= gone.waiting_bytes();
        self.streams.remove(&gone.near);
        Some(gone)
    }

    /// Gives up streams that nobody has taken in time, and tells both sides.
    pub(super) fn give_up_streams(&mut self, out: &mut FrameWriter) {
        while let Some((link, id)) = self.links.shared.unanswered.take_due(self.now) {
            let Some((known, shared)) = self.links.get_mut_with_shared(link) else { continue };
            let silent = format!("Client {} does not answer", known.name);
            if let Some(foreign) = known.foreign.as_deref_mut() {
                // If it is the client that was asked, its answer comes too late from now on.
                let number = foreign.number_of(|wanted| *wanted == Wanted::Stream(id));
                let _late = number.and_then(|number| shared.take(foreign, number));
            }
            self.hits.push(Limit::SocketIoWaitTime);
            self.lose_stream(link, id, &silent, out);
            self.reset_stream(link, id, code::FAILED, "no answer in time");
            self.say_on(link, out);
        }
    }

    /// The client opens a stream. Gives whether it is offered.
    pub(super) fn open_foreign_stream(
        &mut self,
        link: LinkNumber,
        packet: &Packet,
        info: &str,
        out: &mut FrameWriter,
    ) -> bool {
        let info: Option<StreamInfo<'_>> = serde_json::from_str(info).ok();
        let ids = info.as_ref().and_then(|info| info.source_stream_id.zip(info.target_stream_id));
        let (Some(info), Some((near, far))) = (&info, ids) else {
            self.refuse_stream(packet, "the stream has no sourceStreamId and targetStreamId", out);
            return false;
        };
        let [near, far] = [near, far].map(plain);
        if self.streams.contains_key(&*near) || self.streams.len() >= STREAMS_MAX {
            self.refuse_stream(packet, "too many streams, or two with one id", out);
            return false;
        }
        if near.len().max(far.len()) > ID_BYTES_MAX {
            self.refuse_stream(packet, "the ids of a stream have up to 255 bytes", out);
            return false;
        }
        let name = info.channel().unwrap_or_default();
        let metadata = info.arg_array.map_or("", |args| args.get());
        let Some(foreign) = self.foreign(link) else { return false };
        match foreign.machine().open(&name, metadata.as_bytes()) {
            Ok(id) => {
                self.add_stream(link, id, Stream::new(&near, &far, packet.id));
                self.say_on(link, out);
                true
            }
            Err(error) => {
                self.refuse_stream(packet, &error.to_string(), out);
                false
            }
        }
    }

    fn refuse_stream(&self, packet: &Packet, why: &str, out: &mut FrameWriter) {
        self.answer(out, packet, &quoted(&format!("Stream: {why}")));
    }

    /// The other side takes the stream that the client has opened.
    pub(super) fn accepted_stream(
        &mut self,
        link: LinkNumber,
        id: StreamId,
        out: &mut FrameWriter,
    ) {
        let Some(stream) = self.opened_stream(link, id) else { return };
        if let Some(ack) = stream.opening.take() {
            self.acknowledge(out, ack, "");
        }
        self.write_stream(link, id, out);
        self.read_stream(link, id, out);
    }

    /// The other side opens a stream.
    pub(super) fn offered_stream(
        &mut self,
        link: LinkNumber,
        id: StreamId,
        name: &str,
        metadata: &Bytes,
        out: &mut FrameWriter,
    ) {
        // Who knows the id of an end speaks for it.
        let (Ok(near), Ok(far)) = (Sid::random(), Sid::random()) else {
            return self.reset_stream(link, id, code::FAILED, "the hub has no randomness");
        };
        let [near, far] = [near, far].map(|id| id.text());
        let asked = match self.streams.len() < STREAMS_MAX {
            true => self.ask_client(link, Wanted::Stream(id)),
            false => None,
        };
        let Some(ack) = asked else {
            return self.reset_stream(link, id, code::TOO_MANY, "too many streams");
        };
        let args = str::from_utf8(metadata).ok().filter(|args| Elements::parse(args).is_ok());
        let args = args.map_or(String::new(), |args| format!(r#","argArray":{args}"#));
        let channel = match name.is_empty() {
            true => String::new(),
            false => format!(r#","channel":{}"#, quoted(name)),
        };
        let Some(known) = self.links.get(link) else { return };
        let (me, peer) = (self.start.client_id.as_deref().unwrap_or_default(), &known.name);
        let info = format!(
            r#"{{"sourceStreamId":{},"targetStreamId":{},"sourceClientId":{},"targetClientId":{}{channel}{args}}}"#,
            quoted(&far),
            quoted(&near),
            quoted(peer),
            quoted(me)
        );
        self.add_stream(link, id, Stream::new(&near, &far, None));
        let event = match name.is_empty() {
            true => Cow::Borrowed("CREATE_STREAM"),
            false => Cow::Owned(format!("{STREAM_IN_CHANNEL}{name}")),
        };
        self.tell(out, &event, &info, Some(ack));
    }

    /// The client answers whether it takes a stream: nothing, or why not.
    pub(super) fn take_stream(
        &mut self,
        link: LinkNumber,
        id: StreamId,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) {
        match args.get(0) {
            None | Some("null") => {
                let Some(foreign) = self.foreign(link) else { return };
                // It may be over already.
                if foreign.machine().accept(id).is_ok() && self.opened_stream(link, id).is_some() {
                    self.read_stream(link, id, out);
                }
            }
            Some(why) => {
                let why = elements::text(why).unwrap_or(Cow::Borrowed(why));
                self.forget_stream(link, id);
                self.reset_stream(link, id, code::NOT_FOUND, &why);
            }
        }
        self.transmit(link, out);
    }

    fn reset_stream(&mut self, link: LinkNumber, id: StreamId, code: u32, why: &str) {
        if let Some(foreign) = self.foreign(link)
            && foreign.machine().reset(id, code, why).is_err()
        {
            // It is over already.
            self.dropped += 1;
        }
    }

    /// Whether the client has said something of a stream to a peer that speaks something else. If so, it is carried
    /// out. `event` is JSON, and `args` are JSON with commas between them.
    pub(super) fn is_for_stream(
        &mut self,
        packet: &Packet,
        event: &str,
        args: &str,
        out: &mut FrameWriter,
    ) -> bool {
        if self.streams.is_empty() {
            return false;
        }
        let event = elements::text(event).unwrap_or_default();
        if let Some(near) = event.strip_prefix(CHUNK) {
            let Some((link, id)) = self.streams.get(near).copied() else { return false };
            self.send_chunk(link, id, packet, args, out);
            self.say_on(link, out);
            return true;
        }
        let near = Some(args).filter(|_| event == DESTROYED).and_then(elements::text);
        let known = near.and_then(|near| self.streams.get(&*near).copied());
        if let Some((link, id)) = known {
            self.forget_stream(link, id);
            self.reset_stream(link, id, code::NOT_WANTED, "");
            self.say_on(link, out);
        }
        known.is_some()
    }

    fn send_chunk(
        &mut self,
        link: LinkNumber,
        id: StreamId,
        packet: &Packet,
        args: &str,
        out: &mut FrameWriter,
    ) {
        let (_, attachments) = packet.cut(args);
        let bytes = match (&attachments[..], args) {
            ([], "null") => Some(None),
            ([chunk], _) => Some(Some(chunk.clone())),
            _ => bytes_of(args).map(Some),
        };
        let length = bytes.iter().flatten().map(Bytes::len).sum::<usize>();
        let free = self.options.limits.outbox_bytes_max.saturating_sub(self.links.shared.chunks);
        let Some(stream) = self.stream(link, id) else { return };
        let has_room = stream.chunks.len() < Stream::CHUNKS_MAX && length <= free;
        let Some(bytes) = bytes.filter(|_| has_room && !stream.is_finished) else {
            let wrong = "a chunk is bytes or a text, comes before the end, and when those before are acknowledged";
            self.server_error(out, &format!("Error: Stream: {wrong}"));
            self.forget_stream(link, id);
            return self.reset_stream(link, id, code::FAILED, "");
        };
        stream.chunks.push_back(Chunk { bytes, ack: packet.id });
        self.links.shared.chunks += length;
        self.write_stream(link, id, out);
    }

    /// Writes what the client has sent, as far as there is room.
    pub(super) fn write_stream(&mut self, link: LinkNumber, id: StreamId, out: &mut FrameWriter) {
        loop {
            let Some(foreign) = self.foreign(link) else { return };
            let Some(stream) = foreign.streams.0.get_mut(&id).filter(|it| it.is_open) else {
                return;
            };
            let Some(chunk) = stream.chunks.front_mut() else { return self.close_stream(link, id) };
            let taken = match &mut chunk.bytes {
                Some(bytes) => {
                    let taken = foreign.spoken.machine.write(id, bytes).unwrap_or_default();
                    bytes.advance(taken);
                    if !bytes.is_empty() {
                        self.links.shared.chunks -= taken;
                        return;
                    }
                    taken
                }
                None => {
                    // It is over already if it cannot be finished.
                    stream.is_finished = foreign.spoken.machine.finish(id).is_ok();
                    0
                }
            };
            let ack = stream.chunks.pop_front().and_then(|chunk| chunk.ack);
            self.links.shared.chunks -= taken;
            if let Some(ack) = ack {
                self.acknowledge(out, ack, "");
            }
        }
    }

    /// Gives the client the next chunk, unless it has one.
    pub(super) fn read_stream(&mut self, link: LinkNumber, id: StreamId, out: &mut FrameWriter) {
        let Some(foreign) = self.foreign(link) else { return };
        let Some(stream) = foreign.streams.0.get(&id) else { return };
        if stream.is_sending || stream.is_read || !stream.is_open {
            return;
        }
        let event = format!("{CHUNK}{}", stream.far);
        let chunk = match foreign.machine().read(id, CHUNK_BYTES_MAX) {
            Ok(Read::Bytes(chunk)) => Some(chunk),
            Ok(Read::End) => None,
            Ok(Read::Pending) | Err(_) => return,
        };
        let Some(ack) = self.ask_client(link, Wanted::Chunk(id)) else {
            self.lose_stream(link, id, "", out);
            return self.reset_stream(link, id, code::TOO_MANY, "too much waits for the peer");
        };
        if let Some(stream) = self.stream(link, id) {
            stream.is_sending = true;
            stream.is_read = chunk.is_none();
        }
        let args = match chunk {
            Some(chunk) => Arguments {
                inside: Cow::Borrowed(r#"{"_placeholder":true,"num":0}"#),
                attachments: vec![chunk],
            },
            None => Arguments { inside: Cow::Borrowed("null"), attachments: Vec::new() },
        };
        self.tell_foreign(&event, Some(args), Some(ack), out);
    }

    /// The client has taken a chunk.
    pub(super) fn took_chunk(&mut self, link: LinkNumber, id: StreamId, out: &mut FrameWriter) {
        if let Some(stream) = self.stream(link, id) {
            stream.is_sending = false;
            self.read_stream(link, id, out);
            self.close_stream(link, id);
            self.transmit(link, out);
        }
    }

    /// Forgets a stream that is over in both directions.
    fn close_stream(&mut self, link: LinkNumber, id: StreamId) {
        let is_over =
            |stream: &mut Stream| stream.is_finished && stream.is_read && !stream.is_sending;
        if self.stream(link, id).is_some_and(is_over) {
            self.forget_stream(link, id);
        }
    }

    /// The other side has ended a stream, or does not take it.
    pub(super) fn lose_stream(
        &mut self,
        link: LinkNumber,
        id: StreamId,
        why: &str,
        out: &mut FrameWriter,
    ) {
        let Some(stream) = self.forget_stream(link, id) else { return };
        match (stream.is_open, stream.opening) {
            (false, Some(ack)) => {
                let why = if why.is_empty() { "the peer does not take it" } else { why };
                self.acknowledge(out, ack, &quoted(&format!("Stream: {why}")));
            }
            _ => self.tell(out, DESTROYED, &quoted(&stream.far), None),
        }
    }
}

/// The bytes of a text, or of an array of numbers.
fn bytes_of(args: &str) -> Option<Bytes> {
    if let Some(text) = elements::text(args) {
        return Some(Bytes::copy_from_slice(text.as_bytes()));
    }
    let numbers: Vec<u8> = serde_json::from_str(args).ok()?;
    Some(numbers.into())
}
