//! How data is written for a receiver, so that one encoding serves all receivers that would get
//! the same bytes.

use crate::envelope::{Compressed, FrameCompressor};
use crate::ids::{JoinedChannelId, LinkNumber, MemberNumber, OwnedChannelId};
use bytes::{BufMut, Bytes, BytesMut};
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

pub use crate::envelope::{Compression, Envelope, Prefix};

/// A message, or a part of a large one.
///
/// Parts of one message come in order and are not mixed with other data from the same sender in
/// the same channel. Invariant: `offset + data.len() <= total`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// [`Part::DATA`], or what the endpoints agreed on: the hub carries it between protocols
    /// that can express it, and drops messages that are not `DATA` for those that cannot.
    pub kind: u8,
    /// Length of the whole message in bytes.
    pub total: u32,
    /// Where in the message `data` begins.
    pub offset: u32,
    /// The bytes.
    pub data: Bytes,
}

impl Part {
    /// An ordinary message.
    pub const DATA: u8 = 0;
    /// A call that wants a reply.
    pub const CALL: u8 = 1;
    /// The reply to a call.
    pub const REPLY: u8 = 2;

    /// A whole message of kind [`Part::DATA`].
    ///
    /// # Panics
    /// Above 4 GiB, which no limit allows.
    pub fn whole(data: impl Into<Bytes>) -> Self {
        let data = data.into();
        let total = u32::try_from(data.len()).expect("a message is smaller than 4 GiB");
        Self { kind: Self::DATA, total, offset: 0, data }
    }

    /// Whether this is the first part.
    pub fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Whether this is the last part.
    pub fn is_last(&self) -> bool {
        self.offset as usize + self.data.len() == self.total as usize
    }
}

/// Where data arrives at its receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Place {
    /// At an owner, from a member.
    Own(OwnedChannelId, MemberNumber),
    /// At a member, from the owner.
    In(JoinedChannelId),
    /// At a member of a room, from another member.
    Room(JoinedChannelId, MemberNumber),
    /// At one side of a link, from the other.
    Link(LinkNumber),
}

/// Whether a protocol keeps the borders between messages.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Framing {
    /// It does.
    Messages,
    /// It carries a stream of bytes in pieces.
    Pieces,
}

/// Whether borders between messages are kept, and how large a message may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mode {
    /// Bytes as they come. Endpoints whose protocol has no message borders may see a message in
    /// pieces, and their pieces arrive as messages.
    Raw,
    /// Whole messages of 1 to `bytes_max` bytes. Endpoints whose protocol has no message borders
    /// frame them as chunks (docs/peote.md, section 6) of the same maximum.
    Chunk {
        /// The largest message, 1..=536870912 bytes.
        bytes_max: u32,
    },
}

impl Mode {
    /// The largest chunk of a peote program that sets nothing: 32 KiB.
    pub const CHUNK_BYTES_DEFAULT: u32 = 32 * 1024;
    /// The largest chunk size that the chunk layer can express (docs/peote.md, section 6).
    pub const CHUNK_BYTES_LIMIT: u32 = 1 << 29;
}

impl Default for Mode {
    fn default() -> Self {
        Self::Chunk { bytes_max: Self::CHUNK_BYTES_DEFAULT }
    }
}

/// The most that a protocol can express.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Capacity {
    /// Channels that one session can own.
    pub owned_max: u32,
    /// Channels that one session can have entered.
    pub entered_max: u32,
    /// Members of a channel that such a session owns.
    pub members_max: u32,
}

/// What the hub and other endpoints have to know of a protocol. Each wire states every field, so that
/// a wire around another one passes all of it on.
#[derive(Debug, Clone, Copy)]
pub struct Profile {
    /// A name for metrics and logs, such as `native`.
    pub name: &'static str,
    /// Different for wires that write different bytes, below 128: receivers whose wires have one id share what is
    /// written once. From 128 on are the same wires inside WebSockets. Those of this workspace are below 64.
    pub id: u8,
    /// Whether message borders are kept.
    pub framing: Framing,
    /// What the protocol can express.
    pub capacity: Capacity,
    /// Which data the session's own task has to write.
    pub stateful: Stateful,
    /// Whether its messages have no parts, so that the hub has to put large ones together.
    pub whole: bool,
    /// Whether the protocol has links. Other clients find only sessions that they can link to; the hub's own
    /// program finds all.
    pub links: bool,
    /// Whether a client can present credentials. One that cannot is not asked for the access token
    /// ([`HubOptions::access_token`](crate::HubOptions::access_token)).
    pub credentials: bool,
    /// What is held back when the hub says that a target has no room ([`Event::Paused`](crate::Event::Paused)).
    pub pauses: Pauses,
    /// What its side of a session keeps for each link, in bytes. Who opens the link pays for it.
    pub link_bytes: usize,
    /// Whether the protocol can say that a member becomes the owner of its channel.
    pub successors: bool,
    /// Whether clients of this protocol can talk to the hub application.
    pub application: bool,
    /// Whether the protocol can begin to encrypt a connection that was not from its beginning.
    pub secures: bool,
    /// How long a new session waits at most, where what it wants to create or enter is held by another of
    /// its address whose farewell may have come with it. For protocols whose programs change connections.
    pub settle: Duration,
    /// Written around each frame, if frames have an envelope.
    pub envelope: Option<&'static Envelope>,
}

/// Which data a session's own task has to write, because what is written depends on what was written before. It gets
/// [`Event::Data`](crate::Event::Data) then. All other data is written by whichever thread sends it, with
/// [`Wire::encode`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Stateful {
    /// None.
    No,
    /// All.
    Yes,
    /// What comes over links, but for messages of this kind. Both arrive in the order in which they were sent.
    LinksBut(u8),
}

/// What of a session is held back when it is told to pause a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Pauses {
    /// Nothing: there is no way to tell it.
    Nothing,
    /// What others make the session send over links, such as answers to requests. The protocol holds it back
    /// itself, and is told in every session. What the client sends on its own goes on.
    Links,
    /// Everything, by those clients that say so in their hello ([`Hello::pauses`](crate::command::Hello::pauses)).
    Targets,
}

/// Which wire has which id, so that no two wires of a hub share one by mistake.
#[derive(Debug, Default)]
pub(crate) struct WireIds(Mutex<BTreeMap<u8, &'static str>>);

impl WireIds {
    /// Notes that a wire is used.
    ///
    /// # Panics
    /// When another protocol has its id: receivers of one would get the bytes of the other.
    pub(crate) fn note(&self, profile: &Profile) {
        let mut names = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let name = *names.entry(profile.id).or_insert(profile.name);
        drop(names);
        let Profile { id, name: other, .. } = profile;
        assert!(
            name == *other,
            "the protocols {name} and {other} have wires with the same id, {id}"
        );
    }
}

/// The data side of a protocol: how a message looks to a receiver.
///
/// It has no state, so that any sender's thread can encode for any receiver.
pub trait Wire: Send + Sync {
    /// What is to be known of the protocol. It does not change.
    fn profile(&self) -> Profile;
    /// Writes something for a receiver, or nothing if the protocol has no form for it.
    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter);
}

/// What is written for a receiver, with all that its bytes depend on besides the wire.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum Content<'a> {
    /// A message of a channel, room or link, or a part of one.
    Part {
        /// Where it arrives.
        place: Place,
        /// The largest chunk where a wire of pieces has to frame messages as chunks.
        chunk: Option<u32>,
        /// The message or part.
        part: &'a Part,
    },
}

/// How the two sides of a membership see its data; settled when it begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Edge {
    /// Both alike, or in raw mode: what one sends is what the other gets.
    Direct,
    /// One sees messages, the other pieces that are framed as chunks of at most this size.
    Chunked(u32),
}

impl Edge {
    /// The edge between two framings in a mode.
    pub fn between(one: Framing, other: Framing, mode: Mode) -> Self {
        match mode {
            Mode::Chunk { bytes_max } if one != other => Self::Chunked(bytes_max),
            _ => Self::Direct,
        }
    }

    /// The largest chunk, if the edge is chunked.
    pub fn chunk(self) -> Option<u32> {
        match self {
            Self::Direct => None,
            Self::Chunked(bytes_max) => Some(bytes_max),
        }
    }
}

/// Encoded frames: few pieces, shared by all receivers.
#[derive(Debug, Clone, Default)]
pub struct Encoded {
    /// The first piece. Most often the only one.
    pub first: Bytes,
    /// The others.
    pub rest: Vec<Bytes>,
}

impl Encoded {
    /// Length of all pieces in bytes.
    pub fn len(&self) -> usize {
        self.first.len() + self.rest.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether there is nothing to write.
    pub fn is_empty(&self) -> bool {
        self.first.is_empty() && self.rest.is_empty()
    }

    /// With something done to each piece.
    pub(crate) fn map(self, change: impl Fn(Bytes) -> Bytes) -> Self {
        let Self { first, rest } = self;
        Self { first: change(first), rest: rest.into_iter().map(change).collect() }
    }

    /// The pieces in order.
    pub fn pieces(&self) -> impl DoubleEndedIterator<Item = &Bytes> {
        std::iter::once(&self.first).filter(|first| !first.is_empty()).chain(&self.rest)
    }
}

/// What a writer does with frames. Small, as each session has a writer.
#[derive(Debug)]
enum Form {
    /// `copies`: large payloads are copied too, each by itself.
    AsTheyAre {
        envelope: Option<&'static Envelope>,
        copies: bool,
    },
    Compressed(Box<CompressedForm>),
}

#[derive(Debug)]
struct CompressedForm {
    envelope: Option<&'static Envelope>,
    copies: bool,
    compressor: FrameCompressor,
}

impl Default for Form {
    fn default() -> Self {
        Self::AsTheyAre { envelope: None, copies: false }
    }
}

/// Gathers frames. Small payloads are copied next to each other, large ones are shared.
#[derive(Debug, Default)]
pub struct FrameWriter {
    form: Form,
    buffer: BytesMut,
    pieces: Vec<Bytes>,
}

impl FrameWriter {
    /// Payloads up to this size are copied: below it a copy costs less than a further piece in
    /// the outbox and in the system call, and a small payload must not keep a large read alive.
    pub(crate) const COPY_BYTES_MAX: usize = 8 * 1024;

    /// An empty writer with the envelope of a wire.
    pub fn new(envelope: Option<&'static Envelope>) -> Self {
        Self { form: Form::AsTheyAre { envelope, copies: false }, ..Self::default() }
    }

    /// Has frames compressed.
    pub(crate) fn compressing(self, compressor: FrameCompressor) -> Self {
        let (envelope, copies) = (self.envelope(), self.copies());
        let form = CompressedForm { envelope, copies, compressor };
        Self { form: Form::Compressed(Box::new(form)), ..self }
    }

    fn copies(&self) -> bool {
        match &self.form {
            Form::AsTheyAre { copies, .. } => *copies,
            Form::Compressed(form) => form.copies,
        }
    }

    fn compressor_mut(&mut self) -> Option<&mut FrameCompressor> {
        match &mut self.form {
            Form::AsTheyAre { .. } => None,
            Form::Compressed(form) => Some(&mut form.compressor),
        }
    }

    /// Takes over the payloads that were compressed for others, if frames are compressed.
    pub(crate) fn share(&mut self, shared: &mut Compressed) {
        if let Some(compressor) = self.compressor_mut() {
            compressor.share(std::mem::take(shared));
        }
    }

    /// Gives back what [`share`](Self::share) took, and what has come to it.
    pub(crate) fn give_back(&mut self, shared: &mut Compressed) {
        if let Some(compressor) = self.compressor_mut() {
            *shared = compressor.take_shared();
        }
    }

    /// Whether frames are compressed that become smaller by that.
    pub(crate) fn compresses(&self) -> bool {
        matches!(self.form, Form::Compressed(_))
    }

    /// What compresses a frame of this length, if it is to be compressed.
    pub(crate) fn compressor(&self, length: usize) -> Option<&FrameCompressor> {
        match &self.form {
            Form::AsTheyAre { .. } => None,
            Form::Compressed(form) => Some(&form.compressor).filter(|it| it.wants(length)),
        }
    }

    /// Has large payloads copied as well, so that they keep nothing alive but themselves.
    pub(crate) fn copying(mut self, to: bool) -> Self {
        match &mut self.form {
            Form::AsTheyAre { copies, .. } => *copies = to,
            Form::Compressed(form) => form.copies = to,
        }
        self
    }

    /// Makes room for small frames of this many bytes in all.
    pub fn reserve(&mut self, bytes: usize) {
        self.buffer.reserve(bytes);
    }

    /// Adds a frame.
    pub fn frame(&mut self, header: &[u8], payload: &Bytes) {
        match self.form {
            Form::AsTheyAre { envelope, copies } => {
                let prefix = envelope.map(|envelope| envelope.prefix);
                self.plain_frame(prefix, copies, header, payload);
            }
            Form::Compressed(_) => self.frame_compressed_if_smaller(header, payload),
        }
    }

    /// Adds a frame that is not compressed, because that would be in vain.
    pub fn frame_as_it_is(&mut self, header: &[u8], payload: &Bytes) {
        self.plain_frame(self.prefix(), self.copies(), header, payload);
    }

    /// Adds a binary frame, where the frames of the wire are text otherwise. Where they are not, it is a frame as all
    /// others.
    pub fn binary_frame(&mut self, header: &[u8], payload: &Bytes) {
        match self.envelope().and_then(|envelope| envelope.binary_prefix) {
            Some(prefix) => self.plain_frame(Some(prefix), self.copies(), header, payload),
            None => self.frame(header, payload),
        }
    }

    fn plain_frame(
        &mut self,
        prefix: Option<Prefix>,
        copies: bool,
        header: &[u8],
        payload: &Bytes,
    ) {
        self.begin(prefix, header, payload.len());
        if payload.len() <= Self::COPY_BYTES_MAX {
            self.buffer.put_slice(payload);
        } else {
            self.put(payload.clone(), copies);
        }
    }

    /// Kept out of the way of frames that are not compressed.
    #[cold]
    fn frame_compressed_if_smaller(&mut self, header: &[u8], payload: &Bytes) {
        if let Form::Compressed(form) = &mut self.form
            && let Some(compressed) = form.compressor.payload(header, payload)
        {
            form.compressor.begin(header, compressed.len(), &mut self.buffer);
            return self.put(compressed, false);
        }
        self.frame_as_it_is(header, payload);
    }

    /// Adds a frame whose payload is a part of bytes that others share, and is compressed.
    pub(crate) fn compressed_frame_of(
        &mut self,
        header: &[u8],
        bytes: &Bytes,
        range: Range<usize>,
    ) {
        if let Form::Compressed(form) = &self.form {
            form.compressor.begin(header, range.len(), &mut self.buffer);
            match range.len() <= Self::COPY_BYTES_MAX {
                true => self.buffer.put_slice(&bytes[range]),
                false => self.put(bytes.slice(range), false),
            }
        }
    }

    /// Adds a payload behind what was begun.
    fn put(&mut self, payload: Bytes, copies: bool) {
        if payload.len() <= Self::COPY_BYTES_MAX {
            return self.buffer.put_slice(&payload);
        }
        self.cut();
        self.pieces.push(match copies {
            true => Bytes::copy_from_slice(&payload),
            false => payload,
        });
    }

    /// Adds a frame whose payload is a part of bytes that others share.
    pub(crate) fn frame_of(&mut self, header: &[u8], bytes: &Bytes, range: Range<usize>) {
        if range.len() > Self::COPY_BYTES_MAX {
            return self.frame_as_it_is(header, &bytes.slice(range));
        }
        self.begin(self.prefix(), header, range.len());
        self.buffer.put_slice(&bytes[range]);
    }

    /// Adds a frame that is small and in one place.
    pub fn small(&mut self, frame: &[u8]) {
        self.begin(self.prefix(), frame, 0);
    }

    fn begin(&mut self, prefix: Option<Prefix>, header: &[u8], payload_len: usize) {
        if let Some(prefix) = prefix {
            prefix(header.len() + payload_len, &mut self.buffer);
        }
        self.buffer.put_slice(header);
    }

    fn prefix(&self) -> Option<Prefix> {
        self.envelope().map(|envelope| envelope.prefix)
    }

    /// The envelope of its frames.
    pub(crate) fn envelope(&self) -> Option<&'static Envelope> {
        match &self.form {
            Form::AsTheyAre { envelope, .. } => *envelope,
            Form::Compressed(form) => form.envelope,
        }
    }

    /// Adds frames that were written before, with the same envelope.
    pub(crate) fn piece(&mut self, frames: Bytes) {
        if !frames.is_empty() {
            self.cut();
            self.pieces.push(frames);
        }
    }

    /// Bytes written since the last [`FrameWriter::take`].
    pub fn len(&self) -> usize {
        self.buffer.len() + self.pieces.iter().map(Bytes::len).sum::<usize>()
    }

    /// Whether nothing was written since the last [`FrameWriter::take`].
    pub fn is_empty(&self) -> bool {
        self.buffer.is_empty() && self.pieces.is_empty()
    }

    /// Gives all frames so far and begins anew.
    pub fn take(&mut self) -> Encoded {
        self.cut();
        let mut pieces = std::mem::take(&mut self.pieces).into_iter();
        Encoded { first: pieces.next().unwrap_or_default(), rest: pieces.collect() }
    }

    fn cut(&mut self) {
        if !self.buffer.is_empty() {
            self.pieces.push(self.buffer.split().freeze());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn small_frames_share_a_piece_and_large_payloads_are_not_copied() {
        static LENGTHS: Envelope = Envelope {
            prefix: |len, out| out.put_u32(len as u32),
            binary_prefix: None,
            compression: None,
        };
        let mut writer = FrameWriter::new(Some(&LENGTHS));
        let large = Bytes::from(vec![7; 100_000]);
        writer.frame(b"a", &Bytes::from_static(b"bc"));
        writer.frame(b"d", &large);
        writer.small(b"e");
        let encoded = writer.take();
        assert_eq!(encoded.first, b"\0\0\0\x03abc\0\x01\x86\xa1d"[..]);
        assert_eq!(encoded.rest[0].as_ptr(), large.as_ptr());
        assert_eq!(encoded.rest[1], b"\0\0\0\x01e"[..]);
        assert_eq!(encoded.len(), 4 + 3 + 4 + 1 + 100_000 + 4 + 1);
        assert!(writer.is_empty() && writer.take().is_empty());
        let mut writer = FrameWriter::default().copying(true);
        writer.frame(b"d", &large);
        assert_ne!(writer.take().rest[0].as_ptr(), large.as_ptr());
    }

    #[test]
    fn binary_frames_have_a_prefix_of_their_own_where_there_are_two_kinds() {
        static ONE: Envelope = Envelope {
            prefix: |len, out| out.put_slice(&[b't', len as u8]),
            binary_prefix: None,
            compression: None,
        };
        static TWO: Envelope = Envelope {
            prefix: |len, out| out.put_slice(&[b't', len as u8]),
            binary_prefix: Some(|len, out| out.put_slice(&[b'b', len as u8])),
            compression: None,
        };
        let large = Bytes::from(vec![7; 100_000]);
        let small = Bytes::from_static(b"cd");
        for (envelope, expected) in [
            (None, &b"absmallcd"[..]),
            (Some(&ONE), b"t\x02abt\x05smallt\x02cd"),
            (Some(&TWO), b"t\x02abt\x05smallb\x02cd"),
        ] {
            let mut writer = FrameWriter::new(envelope);
            writer.frame(b"a", &Bytes::from_static(b"b"));
            writer.small(b"small");
            writer.binary_frame(b"", &small);
            assert_eq!(writer.take().first, expected);
            writer.binary_frame(b"d", &large);
            let shared = writer.take().rest.pop().expect("a header, and the large payload");
            assert_eq!(shared.as_ptr(), large.as_ptr());
        }
        assert!(
            size_of::<FrameWriter>() <= 80,
            "{} bytes in each session",
            size_of::<FrameWriter>()
        );
    }

    #[test]
    fn wires_of_two_protocols_do_not_share_an_id() {
        let ids = WireIds::default();
        let lines = crate::testing::LINES.profile();
        ids.note(&lines);
        ids.note(&lines);
        let other = Profile { name: "other", ..lines };
        let shared = std::panic::catch_unwind(|| ids.note(&other));
        assert!(shared.is_err());
        ids.note(&Profile { id: lines.id + 1, ..other });
    }
}
