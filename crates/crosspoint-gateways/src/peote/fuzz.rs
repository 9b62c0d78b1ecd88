//! Fuzz targets for both roles, chunks and values; the ordinary tests run them on a corpus and
//! random changes of it.

use super::chunk::{ChunkDecoder, ChunkError, ChunkSize, MAX_CHUNK_SIZE};
use super::frame::command;
use super::value::{DecodeError, EncodeError, Reader, Serialized, Value};
use super::{chunk, client, server};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, ChannelOptions, Command, EnterOptions, Entered, Event, Mode,
    Peer, Target,
};
use crosspoint_hub::protocol::{Client, Output, Protocol};
use crosspoint_hub::wire::{FrameWriter, Part, Place};
use crosspoint_hub::{ChannelName, JoinedChannelId, MemberNumber, OwnedChannelId, PeerId};
use std::collections::{BTreeMap, HashMap};
use std::fmt::Debug;
use std::time::Instant;

/// The largest chunks that members of the own channel see.
const MEMBER_BYTES_MAX: [u32; 2] = [300, 4_194_304];
/// The largest chunks in the entered channel.
const ENTERED_BYTES_MAX: u32 = 40_000;

/// Feeds the server role, before and after it owns and has entered channels whose other side sees
/// messages, with the bytes whole and cut in two. The cut may lose, add and change nothing, and
/// what comes out keeps to the bounds of parts and chunks.
pub fn fuzz_joint_server(data: &[u8]) {
    let Some((pieces, data)) = cut(data) else {
        return;
    };
    for holds in [false, true] {
        assert_eq!(serve(holds, &[data]), serve(holds, &pieces));
    }
}

/// As [`fuzz_joint_server`] for the client role, which waits for the replies of some commands.
pub fn fuzz_joint_client(data: &[u8]) {
    let Some((pieces, data)) = cut(data) else {
        return;
    };
    assert_eq!(connect(&[data]), connect(&pieces));
}

/// The largest chunks that [`fuzz_chunk`] chooses from: both ends of each size class.
const CHUNK_BYTES_MAX: [u32; 9] =
    [1, 256, 257, 32_768, 32_769, 40_000, 4_194_304, 4_194_305, MAX_CHUNK_SIZE];

/// Reads a stream of chunks, whole and cut in two. The cut changes nothing but where parts end, and
/// the chunks that came are the same when they are written anew. The first byte chooses the size.
pub fn fuzz_chunk(data: &[u8]) {
    let Some((&choice, data)) = data.split_first() else {
        return;
    };
    let Some((pieces, data)) = cut(data) else {
        return;
    };
    let max = CHUNK_BYTES_MAX[usize::from(choice) % CHUNK_BYTES_MAX.len()];
    let size = ChunkSize::new(max).expect("the sizes are possible ones");
    let whole = unchunk(size, &[data]);
    assert_eq!(whole, unchunk(size, &pieces));

    let mut written = BytesMut::new();
    let mut content = &whole.stream.bytes[..];
    for (index, total) in whole.stream.messages.iter().enumerate() {
        let last = index + 1 == whole.stream.messages.len();
        let missing = if last { whole.stream.missing } else { 0 };
        let come;
        (come, content) = content.split_at((total - missing) as usize);
        let prefix = size.encode_prefix(*total as usize).expect("the decoder took the length");
        written.extend_from_slice(prefix.as_ref());
        written.extend_from_slice(come);
    }
    assert!(content.is_empty(), "every byte belongs to a chunk");
    assert_eq!(unchunk(size, &[&written]).stream, whole.stream);
    if whole.padded == 0 && whole.failed.is_none() {
        assert!(data.starts_with(&written));
        let prefix_bytes = data.len() - written.len();
        assert!(prefix_bytes <= usize::from(size.prefix_len()), "nothing is held back");
        assert_eq!(whole.between, prefix_bytes == 0 && whole.stream.missing == 0);
    }
}

/// What a decoder of chunks has told.
#[derive(Debug, PartialEq)]
struct Unchunked {
    stream: Stream,
    padded: u64,
    between: bool,
    failed: Option<ChunkError>,
}

fn unchunk(size: ChunkSize, pieces: &[&[u8]]) -> Unchunked {
    let mut decoder = ChunkDecoder::new(size);
    let mut stream = Stream::default();
    let mut failed = None;
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while failed.is_none() {
            match decoder.next_part(&mut piece) {
                Ok(Some(part)) => {
                    assert!(part.total <= size.max());
                    assert!(!part.is_first() || stream.missing == 0, "a chunk is complete first");
                    let chunk::Part { total, offset, data } = part;
                    stream.push(&Part { kind: 0, total, offset, data });
                }
                Ok(None) => break,
                Err(error) => failed = Some(error),
            }
        }
        assert!(failed.is_some() || piece.is_empty(), "the piece is used up");
    }
    let (padded, between) = (decoder.padded_prefixes(), decoder.is_between_chunks());
    Unchunked { stream, padded, between, failed }
}

/// Reads each type of parameter. A value that is understood has used its bytes to the last one,
/// and is the same when it is written anew, in no more bytes.
pub fn fuzz_value(data: &[u8]) {
    let data = Bytes::copy_from_slice(data);
    comes_back::<bool>(&data);
    comes_back::<u8>(&data);
    comes_back::<u16>(&data);
    comes_back::<i16>(&data);
    comes_back::<i32>(&data);
    comes_back::<Bits<f32>>(&data);
    comes_back::<Bits<f64>>(&data);
    comes_back::<Bytes>(&data);
    comes_back::<String>(&data);
    comes_back::<Serialized>(&data);
    comes_back::<Vec<bool>>(&data);
    comes_back::<Vec<u16>>(&data);
    comes_back::<Vec<Vec<Bytes>>>(&data);
    comes_back::<Vec<String>>(&data);
    comes_back::<BTreeMap<u8, Vec<Bits<f64>>>>(&data);
    comes_back::<HashMap<i32, String>>(&data);
    comes_back::<Vec<BTreeMap<String, HashMap<i16, Vec<bool>>>>>(&data);
}

fn comes_back<T: Value + PartialEq + Debug>(data: &Bytes) {
    let mut input = Reader::new(data.clone());
    let Ok(value) = T::decode(&mut input) else {
        return;
    };
    let used = input.position();
    assert_eq!(used + input.remaining(), data.len());
    assert!(used >= T::MIN_SIZE, "{value:?} in {used} bytes");
    let cut = T::decode(&mut Reader::new(data.slice(..used - 1)));
    assert!(cut.is_err(), "{cut:?} without its last byte");

    let mut written = BytesMut::new();
    value.encode(&mut written).expect("it has come in a message");
    assert!(written.len() <= used, "{value:?} has grown");
    let mut input = Reader::new(written.freeze());
    assert_eq!(T::decode(&mut input), Ok(value));
    assert_eq!(input.finish(), Ok(()));
}

/// A number that is equal to itself, whatever it is.
#[derive(Debug)]
struct Bits<T>(T);

impl<T: Value> PartialEq for Bits<T> {
    fn eq(&self, other: &Self) -> bool {
        let bits = |number: &T| {
            let mut out = BytesMut::new();
            number.encode(&mut out).map(|()| out)
        };
        bits(&self.0) == bits(&other.0)
    }
}

impl<T: Value> Value for Bits<T> {
    const MIN_SIZE: usize = T::MIN_SIZE;

    fn encode(&self, out: &mut BytesMut) -> Result<(), EncodeError> {
        self.0.encode(out)
    }

    fn decode(input: &mut Reader) -> Result<Self, DecodeError> {
        T::decode(input).map(Self)
    }
}

/// The first two bytes say where the others are cut.
fn cut(data: &[u8]) -> Option<([&[u8]; 2], &[u8])> {
    let (place, data) = data.split_first_chunk::<2>()?;
    let place = usize::from(u16::from_be_bytes(*place)) % (data.len() + 1);
    let (first, second) = data.split_at(place);
    Some(([first, second], data))
}

/// What went one way: messages by length, and all their bytes that have come.
#[derive(Debug, Default, PartialEq)]
struct Stream {
    messages: Vec<u32>,
    bytes: BytesMut,
    /// What the last message lacks.
    missing: u32,
}

impl Stream {
    fn push(&mut self, part: &Part) {
        assert!(!part.data.is_empty(), "parts carry something");
        if part.is_first() {
            // A frame or chunk that its channel's end has cut off never goes on.
            self.messages.push(part.total);
            self.missing = part.total;
        }
        assert_eq!(self.messages.last(), Some(&part.total));
        assert_eq!(part.total - self.missing, part.offset, "parts follow");
        self.missing = self
            .missing
            .checked_sub(part.data.len() as u32)
            .expect("a part ends inside its message");
        self.bytes.extend_from_slice(&part.data);
    }
}

/// What came out: everything but data in order, and data by the way that it goes.
#[derive(Debug, Default, PartialEq)]
struct Heard {
    others: Vec<String>,
    data: BTreeMap<String, Stream>,
}

impl Heard {
    /// Also notes how much data came before it.
    fn note(&mut self, other: &impl Debug) {
        let bytes: usize = self.data.values().map(|stream| stream.bytes.len()).sum();
        self.others.push(format!("{other:?} after {bytes}"));
    }

    fn data(&mut self, way: &impl Debug, part: &Part) {
        let stream = self.data.entry(format!("{way:?}")).or_default();
        stream.push(part);
    }
}

fn serve(holds: bool, pieces: &[&[u8]]) -> Heard {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let mut server = server::Joint::new();
    if holds {
        for event in holdings() {
            server.deliver(now, &event, &mut out);
        }
    }
    let mut held = holds;
    let mut heard = Heard::default();
    for piece in pieces {
        server.receive(now, Bytes::copy_from_slice(piece));
        while let Some(output) = server.poll(now, &mut out) {
            match output {
                Output::Command(Command::Send { to, part }) => {
                    assert!(part.total <= bytes_max(held, to));
                    heard.data(&to, &part);
                }
                // A member is thrown out in the middle of a broadcast, whose parts the cut decides.
                Output::Command(kick @ Command::Channel(ChannelCommand::Kick { .. })) => {
                    heard.others.push(format!("{kick:?}"));
                }
                other => {
                    let ends = |command: &Command| {
                        matches!(
                            command,
                            Command::Channel(ChannelCommand::Leave(_) | ChannelCommand::Delete(_))
                        )
                    };
                    held &= !matches!(&other, Output::Command(command) if ends(command));
                    heard.note(&other);
                }
            }
        }
        assert_eq!(server.poll(now, &mut out), None, "nothing after nothing");
    }
    heard
}

/// The bound of a message on its way; `held` as long as nothing was left or deleted.
fn bytes_max(held: bool, to: Target) -> u32 {
    const FRAME: u32 = super::frame::SIZE_MAX as u32;
    match to {
        Target::Up(JoinedChannelId(0)) if held => ENTERED_BYTES_MAX,
        Target::Member(OwnedChannelId(0), MemberNumber(member @ (0 | 1))) => {
            MEMBER_BYTES_MAX[member as usize].max(if held { 0 } else { FRAME })
        }
        _ => FRAME.max(if held { 0 } else { ENTERED_BYTES_MAX }),
    }
}

/// A channel with two members that see messages, and a membership in another.
fn holdings() -> Vec<Event> {
    let own = OwnedChannelId(0);
    let came = |(member, bytes_max)| {
        Event::Channel(ChannelEvent::MemberEntered {
            channel: own,
            member: MemberNumber(member),
            peer: Peer { id: PeerId::new([0; 16]), name: None, protocol: "native" },
            chunk: Some(bytes_max),
            replies: false,
        })
    };
    let bytes_max = ENTERED_BYTES_MAX;
    let entered = Event::Channel(ChannelEvent::Entered(Entered {
        request: 1,
        channel: JoinedChannelId(0),
        member: MemberNumber(0),
        mode: Mode::Chunk { bytes_max },
        chunk: Some(bytes_max),
        replies: false,
        room: true,
    }));
    let created = Event::Channel(ChannelEvent::Created { request: 1, channel: own });
    let members = (0..).zip(MEMBER_BYTES_MAX).map(came);
    std::iter::once(created).chain(members).chain([entered]).collect()
}

/// The command to leave a channel, without its number.
const LEAVE: [u8; 4] = [0, command::LEAVE, 0, 1];

fn connect(pieces: &[&[u8]]) -> Heard {
    let now = Instant::now();
    let mut out = FrameWriter::default();
    let mut client = client::Joint::new(PeerId::new([0; 16]));
    let chunk = |bytes_max| Mode::Chunk { bytes_max };
    let modes = [Mode::Raw, chunk(300), Mode::Raw, chunk(ENTERED_BYTES_MAX)];
    for (request, mode) in (0..).zip(modes) {
        let name = ChannelName::new("x").expect("a short name");
        let create = Command::Channel(ChannelCommand::Create {
            request,
            name: name.clone(),
            options: ChannelOptions { mode, ..ChannelOptions::default() },
        });
        let options = EnterOptions { mode, ..EnterOptions::default() };
        let enter = Command::Channel(ChannelCommand::Enter { request, name, options });
        for command in [create, enter] {
            client.command(now, command, &mut out).expect("few commands wait");
        }
    }
    let _commands = out.take();
    let mut heard = Heard::default();
    let mut owned = HashMap::new();
    let mut entered = HashMap::new();
    for piece in pieces {
        client.receive(now, Bytes::copy_from_slice(piece));
        while let Some(event) = client.poll(now, &mut out) {
            let Event::Data { place, part } = event else {
                match &event {
                    Event::Channel(ChannelEvent::Created { request, channel }) => {
                        owned.insert(*channel, modes[*request as usize]);
                    }
                    Event::Channel(ChannelEvent::Entered(told)) => {
                        entered.insert(told.channel, told.mode);
                    }
                    _ => {}
                }
                heard.note(&event);
                continue;
            };
            let mode = match place {
                Place::Own(own, _) => owned[&own],
                Place::In(number) => entered[&number],
                Place::Room(..) | Place::Link(_) => panic!("the protocol has no rooms or links"),
            };
            match mode {
                // The cut decides about borders, so that only the bytes count.
                Mode::Raw => {
                    assert!(part.is_first() && part.is_last() && !part.data.is_empty());
                    let stream = heard.data.entry(format!("{place:?}")).or_default();
                    stream.bytes.extend_from_slice(&part.data);
                }
                Mode::Chunk { bytes_max } => {
                    assert!(part.total <= bytes_max);
                    heard.data(&place, &part);
                }
            }
        }
        // It leaves a channel of which nothing can be understood any more, and says nothing else.
        let said: Vec<u8> = out.take().pieces().flat_map(|piece| piece.iter().copied()).collect();
        for left in said.chunks(LEAVE.len() + 1) {
            let [leave @ .., _number] = left else { panic!("{left:?}") };
            assert_eq!(leave, LEAVE);
            heard.note(&left);
        }
    }
    heard
}
