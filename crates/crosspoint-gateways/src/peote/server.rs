//! What peote-server does.

use super::chunk::{self, ChunkDecoder, ChunkSize};
use super::frame::{Address, From, Item, Reader, command, push, reason};
use bytes::Bytes;
use crosspoint_hub::command::{
    Ban, ChannelCommand, ChannelEvent, ChannelOptions, Command, EnterOptions, Event, Hello, Mode,
    Target,
};
use crosspoint_hub::protocol::{Activity, Output, Protocol};
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{ChannelName, JoinedChannelId, MemberNumber, OwnedChannelId, Reason};
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Silence after which a keepalive is sent (section 3.5).
pub const KEEPALIVE: Duration = Duration::from_secs(5);

/// The server's side of one joint connection.
#[derive(Debug)]
pub struct Joint {
    reader: Reader,
    state: State,
    /// One bit for each own number.
    owned: u128,
    /// One bit for each in number.
    entered: u128,
    /// Chunks from this connection to receivers that see messages, by where they go.
    decoders: HashMap<Target, Stream>,
    /// What one frame has given.
    ready: VecDeque<Output>,
    /// For what the client is closed, if it has done something wrong.
    fault: Option<Reason>,
    /// Whether the last frame has given nothing to carry out yet.
    idle: bool,
    /// Frames that gave nothing to carry out, until they are counted.
    idle_frames: u64,
    /// All frames, and parts of large ones.
    items: u64,
    /// What it gives behind that: bytes that become messages, one by one as they are asked for. Many
    /// chunks are in a frame, and many members may get it.
    chunks: VecDeque<(Target, Bytes)>,
}

/// The chunks on one way.
#[derive(Debug)]
struct Stream {
    decoder: ChunkDecoder,
    /// It began in the middle of a frame, whose rest is not for it.
    late: bool,
    /// The member declared a size that the owner does not keep, and is being thrown out.
    lost: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    Open,
    Closed,
}

impl Default for Joint {
    fn default() -> Self {
        Self::new()
    }
}

impl Joint {
    /// A connection that has just begun.
    pub fn new() -> Self {
        Self {
            reader: Reader::new(From::Client),
            state: State::New,
            owned: 0,
            entered: 0,
            decoders: HashMap::new(),
            // It would begin with room for four, which few frames need.
            ready: VecDeque::with_capacity(1),
            fault: None,
            idle: false,
            idle_frames: 0,
            items: 0,
            chunks: VecDeque::new(),
        }
    }

    fn item(&mut self, item: Item) -> Result<(), Reason> {
        match item {
            Item::Command { command, nr, payload } => {
                let command = self.command(command, nr, payload);
                self.ready.extend(command.map(Output::Command));
                Ok(())
            }
            Item::Data(address, part) => self.data(address, part),
            Item::Control(_) => unreachable!("a reader of client frames gives no controls"),
        }
    }

    fn command(&mut self, number: u8, nr: u8, payload: Bytes) -> Option<Command> {
        let request = u32::from(nr);
        match number {
            command::CREATE => {
                // Borders are known to the Haxe programs alone, so the hub keeps none.
                let options = ChannelOptions { mode: Mode::Raw, ..ChannelOptions::default() };
                Some(Command::Channel(ChannelCommand::Create {
                    request,
                    name: name(&payload),
                    options,
                }))
            }
            command::ENTER => {
                let options = EnterOptions { mode: Mode::Raw, ..EnterOptions::default() };
                Some(Command::Channel(ChannelCommand::Enter {
                    request,
                    name: name(&payload),
                    options,
                }))
            }
            command::LEAVE => {
                let number = *payload.first()?;
                let bit = bit(number)?;
                self.entered &= !bit;
                let number = JoinedChannelId(number.into());
                self.forget(|to| to == Target::Up(number));
                Some(Command::Channel(ChannelCommand::Leave(number)))
            }
            command::DELETE => {
                let number = *payload.first()?;
                let bit = bit(number)?;
                self.owned &= !bit;
                let number = OwnedChannelId(number.into());
                self.forget(|to| matches!(to, Target::Member(own, _) if own == number));
                Some(Command::Channel(ChannelCommand::Delete(number)))
            }
            command::KICK => {
                let &[own, member, ..] = &payload[..] else { return None };
                bit(own)?;
                let ban = payload.get(2).filter(|minutes| **minutes > 0).map(|minutes| Ban {
                    address: true,
                    time: (*minutes < u8::MAX)
                        .then(|| Duration::from_secs(60 * u64::from(*minutes))),
                });
                let (channel, member) = (OwnedChannelId(own.into()), MemberNumber(member.into()));
                Some(Command::Channel(ChannelCommand::Kick { channel, member, ban }))
            }
            _ => unreachable!("the reader refuses unknown commands"),
        }
    }

    fn data(&mut self, address: Address, part: Part) -> Result<(), Reason> {
        match address {
            Address::In(number) => self.send(Target::Up(JoinedChannelId(number.into())), part),
            Address::Member(own, member) => self.send(
                Target::Member(OwnedChannelId(own.into()), MemberNumber(member.into())),
                part,
            ),
            Address::All(own) => self.broadcast(OwnedChannelId(own.into()), None, part),
            Address::AllBut(own, member) => {
                self.broadcast(OwnedChannelId(own.into()), Some(MemberNumber(member.into())), part)
            }
        }
    }

    fn send(&mut self, to: Target, part: Part) -> Result<(), Reason> {
        let Some(stream) = self.decoders.get_mut(&to) else {
            self.give(Command::Send { to, part });
            return Ok(());
        };
        stream.late &= !part.is_first();
        if !stream.late && !stream.lost {
            self.chunks.push_back((to, part.data));
        }
        Ok(())
    }

    /// Goes on with the next frame. Gives whether there is one.
    fn next_frame(&mut self) -> Result<bool, Reason> {
        // All of the last one was looked at.
        self.idle_frames += u64::from(std::mem::take(&mut self.idle));
        let Some(item) = self.reader.next(self.owned != 0)? else {
            return Ok(false);
        };
        self.items += 1;
        // Half a command does not let anybody in.
        if self.state == State::New {
            self.state = State::Open;
            self.give(Command::Hello(Hello::default()));
        }
        self.item(item)?;
        self.idle = self.ready.is_empty();
        Ok(true)
    }

    fn fail(&mut self, reason: Reason) {
        self.state = State::Closed;
        self.fault = Some(reason);
        self.ready.push_back(Output::Close(reason));
    }

    /// The next message out of chunks.
    fn next_chunk(&mut self) -> Result<Option<Command>, Reason> {
        while let Some((to, piece)) = self.chunks.front_mut() {
            let to = *to;
            let Some(stream) = self.decoders.get_mut(&to).filter(|stream| !stream.lost) else {
                self.chunks.pop_front();
                continue;
            };
            match stream.decoder.next_part(piece) {
                Ok(Some(chunk::Part { total, offset, data })) => {
                    let part = Part { kind: Part::DATA, total, offset, data };
                    return Ok(Some(Command::Send { to, part }));
                }
                Ok(None) => {
                    self.chunks.pop_front();
                }
                // The place in the stream is lost, so nothing of it can be understood any more.
                Err(_too_long) => match to {
                    // An owner does not know which size its members declare.
                    Target::Member(channel, member) => {
                        stream.lost = true;
                        return Ok(Some(Command::Channel(ChannelCommand::Kick {
                            channel,
                            member,
                            ban: None,
                        })));
                    }
                    _ => return Err(Reason::TooLarge),
                },
            }
        }
        if self.chunks.capacity() > 0 {
            self.chunks = VecDeque::new();
        }
        Ok(None)
    }

    /// Nothing more goes there.
    fn forget(&mut self, gone: impl Fn(Target) -> bool) {
        self.decoders.retain(|to, _| !gone(*to));
        self.chunks.retain(|(to, _)| !gone(*to));
    }

    /// To all who see pieces at once, and to those who see messages one by one.
    fn broadcast(
        &mut self,
        own: OwnedChannelId,
        except: Option<MemberNumber>,
        part: Part,
    ) -> Result<(), Reason> {
        let one_by_one: Vec<_> = self
            .decoders
            .keys()
            .filter(|to| matches!(to, Target::Member(of, member) if *of == own && Some(*member) != except))
            .copied()
            .collect();
        self.give(Command::Send { to: Target::Everyone(own, except), part: part.clone() });
        one_by_one.into_iter().try_for_each(|to| self.send(to, part.clone()))
    }

    fn give(&mut self, command: impl Into<Command>) {
        let command = command.into();
        self.ready.push_back(Output::Command(command));
    }

    fn translate(&mut self, to: Target, bytes_max: Option<u32>) {
        // The hub gives sizes between 1 and 512 MiB only.
        if let Some(size) = bytes_max.and_then(|max| ChunkSize::new(max).ok()) {
            let stream = Stream {
                decoder: ChunkDecoder::new(size),
                late: self.reader.is_midway(),
                lost: false,
            };
            self.forget(|known| known == to);
            self.decoders.insert(to, stream);
        }
    }

    fn channel_event(&mut self, event: &ChannelEvent, out: &mut FrameWriter) {
        match event {
            ChannelEvent::Created { request, channel } => {
                self.owned |= bit(channel.0 as u8).unwrap_or_default();
                out.small(&[0, 3, *request as u8, 0, channel.0 as u8]);
            }
            ChannelEvent::Entered(entered) => {
                let number = entered.channel.0 as u8;
                self.entered |= bit(number).unwrap_or_default();
                self.translate(Target::Up(entered.channel), entered.chunk);
                out.small(&[0, 3, entered.request as u8, 0, number]);
            }
            ChannelEvent::MemberEntered { channel, member, chunk, .. } => {
                self.translate(Target::Member(*channel, *member), *chunk);
                out.small(&[0, 4, 0, push::MEMBER_ENTERED, channel.0 as u8, member.0 as u8]);
            }
            ChannelEvent::MemberLeft { channel, member, reason } => {
                self.forget(|to| to == Target::Member(*channel, *member));
                let (channel, member) = (channel.0 as u8, member.0 as u8);
                out.small(&[0, 5, 0, push::MEMBER_LEFT, channel, member, ending(*reason)]);
            }
            ChannelEvent::Ended { channel, reason } => {
                let number = channel.0 as u8;
                self.entered &= !bit(number).unwrap_or_default();
                self.forget(|to| to == Target::Up(*channel));
                out.small(&[0, 4, 0, push::ENDED, number, ending(*reason)]);
            }
            // The protocol has no words for these.
            ChannelEvent::Knock { .. }
            | ChannelEvent::Deleted { .. }
            | ChannelEvent::OtherEntered { .. }
            | ChannelEvent::OtherLeft { .. }
            | ChannelEvent::Others { .. }
            | ChannelEvent::Owner { .. }
            | ChannelEvent::Nominated { .. } => {}
        }
    }
}

impl Protocol for Joint {
    fn receive(&mut self, _now: Instant, bytes: Bytes) {
        self.reader.push(bytes);
    }

    fn poll(&mut self, _now: Instant, _out: &mut FrameWriter) -> Option<Output> {
        loop {
            // Also what came before a fault goes where it should.
            if let Some(output) = self.ready.pop_front() {
                return Some(output);
            }
            // The first frame gives two, and no other does.
            if self.ready.capacity() > 1 {
                self.ready = VecDeque::with_capacity(1);
            }
            if self.state == State::Closed {
                return None;
            }
            let result = match self.next_chunk() {
                Ok(Some(command)) => {
                    self.idle = false;
                    return Some(Output::Command(command));
                }
                Ok(None) => self.next_frame(),
                Err(reason) => Err(reason),
            };
            match result {
                Ok(true) => {}
                Ok(false) => return None,
                Err(reason) => self.fail(reason),
            }
        }
    }

    fn idle_frames(&mut self) -> u64 {
        std::mem::take(&mut self.idle_frames)
    }

    fn deliver(&mut self, _now: Instant, event: &Event, out: &mut FrameWriter) {
        match event {
            Event::Channel(event) => self.channel_event(event, out),
            Event::Refused { request, create, reason } => {
                out.small(&[0, 3, *request as u8, 1, refusal(*create, *reason)]);
            }
            // The protocol has no words for anything else.
            _ => {}
        }
    }

    fn buffered(&self) -> usize {
        // All of them are of one frame.
        let frame = self.chunks.iter().map(|(_, piece)| piece.len()).max().unwrap_or_default();
        let decoders = self.decoders.capacity() * size_of::<(Target, Stream)>();
        let queues = self.ready.capacity() * size_of::<Output>()
            + self.chunks.capacity() * size_of::<(Target, Bytes)>();
        self.reader.buffered() + frame + decoders + queues
    }

    fn midway(&self) -> Option<u64> {
        // Of larger frames each part is given as it comes.
        (self.reader.buffered() > 0).then_some(self.items)
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        activity.written.map(|written| written + KEEPALIVE)
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        if activity.written.is_some_and(|written| now >= written + KEEPALIVE) {
            out.small(&[0, 4, 0, push::KEEPALIVE, 0, 0]);
        }
        None
    }

    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter) {
        self.state = State::Closed;
        self.ready = VecDeque::new();
        self.chunks = VecDeque::new();
        let why = match reason {
            Reason::Kicked => reason::KICKED,
            _ => reason::LOST,
        };
        for number in (0..128u8).filter(|number| self.entered & (1 << number) != 0) {
            out.small(&[0, 4, 0, push::ENDED, number, why]);
        }
        self.entered = 0;
    }

    fn complaint(&self) -> Option<String> {
        let complaint = match self.fault? {
            Reason::TooLarge => "a chunk is longer than its channel allows",
            _ => "a command is none of create, enter, leave and delete",
        };
        Some(complaint.to_owned())
    }
}

fn bit(number: u8) -> Option<u128> {
    1u128.checked_shl(number.into())
}

fn name(payload: &Bytes) -> ChannelName {
    // A copy, or a name would keep the whole read alive for as long as the channel lives.
    ChannelName::new(payload.to_vec()).expect("a command carries at most 255 bytes")
}

/// The error value of a reply (section 3.2). The Haxe library reports 1 of an enter command as ID,
/// values above 5 as MALICIOUS.
fn refusal(create: bool, reason: Reason) -> u8 {
    const UNKNOWN: u8 = 9;
    match (create, reason) {
        (true, Reason::TooManyChannels | Reason::TooManyPending | Reason::Busy) => 1,
        (true, Reason::NameTaken) => 2,
        (
            false,
            Reason::NoSuchName | Reason::WrongPassword | Reason::NotAdmitted | Reason::NotAllowed,
        ) => 1,
        (false, Reason::OwnChannel) => 2,
        (false, Reason::AlreadyEntered) => 3,
        (false, Reason::Full | Reason::Busy) => 4,
        (false, Reason::TooManyChannels | Reason::TooManyPending) => 5,
        _ => UNKNOWN,
    }
}

fn ending(why: Reason) -> u8 {
    match why {
        Reason::Left | Reason::ClosedByOwner => reason::ON_PURPOSE,
        Reason::Kicked | Reason::Banned => reason::KICKED,
        _ => reason::LOST,
    }
}
