//! The client role against what the Haxe library did: given the same commands and the real
//! server's bytes, it has to write the same frames, and to tell what happened.

use crate::common::frames::{Act, Unit, acts, units};
use crate::common::transcript::{LIBRARY, SCRIPTED, Side, connections, read};
use crate::common::{Cut, Dice, flat};
use bytes::Bytes;
use crosspoint_gateways::peote::client::Joint;
use crosspoint_gateways::peote::frame::{Address, From, Item, Reader, command, put_data};
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, ChannelOptions, Command, EnterOptions, Event, Mode, Target,
};
use crosspoint_hub::protocol::Client;
use crosspoint_hub::wire::{FrameWriter, Part, Place};
use crosspoint_hub::{ChannelName, JoinedChannelId, MemberNumber, OwnedChannelId, PeerId, Reason};
use std::collections::{BTreeSet, HashMap};
use std::time::Instant;

/// An event, as far as the protocol can tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Heard {
    Created(u32, u32),
    Entered(u32, u32),
    Refused(u32, bool, Reason),
    Came(u32, u32),
    Gone(u32, u32, Reason),
    Ended(u32, Reason),
    Data(Place, Vec<u8>),
}

/// Appends, joining data of one place in raw mode, where its borders mean nothing.
fn push(heard: &mut Vec<Heard>, new: Heard, join: bool) {
    if let (Heard::Data(place, more), Some(Heard::Data(last, data))) = (&new, heard.last_mut())
        && join
        && place == last
    {
        data.extend(more);
        return;
    }
    heard.push(new);
}

/// What the library's user saw, by the specification.
#[derive(Default)]
struct Library {
    /// Numbers of commands that wait, and whether they create.
    waiting: HashMap<u8, bool>,
    owned: BTreeSet<u8>,
    entered: BTreeSet<u8>,
    heard: Vec<Heard>,
    /// What it wrote.
    acts: Vec<Act>,
}

impl Library {
    fn holds(&self, joint: u8) -> bool {
        match joint {
            own @ 0x80.. => self.owned.contains(&(own - 0x80)),
            number => self.entered.contains(&number),
        }
    }

    fn act(&mut self, act: Act) {
        match &act {
            Act::Command(command::LEAVE, _, number) => {
                self.entered.remove(&number[0]);
            }
            Act::Command(command::DELETE, _, number) => {
                self.owned.remove(&number[0]);
            }
            Act::Command(number, nr, _) => {
                self.waiting.insert(*nr, *number == command::CREATE);
            }
            // The client role itself drops what goes to a channel that is gone.
            Act::Data(_, joint, ..) if !self.holds(*joint) => return,
            Act::Data(..) => {}
        }
        self.acts.push(act);
    }

    fn unit(&mut self, unit: Unit, join: bool) {
        let heard = match unit {
            Unit::Data(joint, _, data) if data.is_empty() || !self.holds(joint) => return,
            Unit::Data(joint, _, data) if joint < 0x80 => {
                Heard::Data(Place::In(JoinedChannelId(joint.into())), data)
            }
            Unit::Data(joint, user, data) => {
                let own = OwnedChannelId(u32::from(joint) - 0x80);
                Heard::Data(Place::Own(own, MemberNumber(user.into())), data)
            }
            Unit::Control(bytes) => match bytes[..] {
                [0, 0, own, user] => Heard::Came(own.into(), user.into()),
                [0, 1, own, user, why] => {
                    let reason = [Reason::Left, Reason::ConnectionLost][usize::from(why)];
                    Heard::Gone(own.into(), user.into(), reason)
                }
                [0, 2, number, why] => {
                    assert!(self.entered.remove(&number));
                    let reason = [Reason::ClosedByOwner, Reason::OwnerLost][usize::from(why)];
                    Heard::Ended(number.into(), reason)
                }
                [0, 0xff, ..] => return,
                [nr, status, value] => {
                    let create = self.waiting.remove(&nr).expect("a reply has its command");
                    let request = u32::from(nr);
                    match (status, create) {
                        (0, true) => {
                            self.owned.insert(value);
                            Heard::Created(request, value.into())
                        }
                        (0, false) => {
                            self.entered.insert(value);
                            Heard::Entered(request, value.into())
                        }
                        _ => Heard::Refused(request, create, refusal(create, value)),
                    }
                }
                _ => panic!("the server does not say {bytes:?}"),
            },
        };
        push(&mut self.heard, heard, join);
    }
}

fn refusal(create: bool, value: u8) -> Reason {
    match (create, value) {
        (true, 1) | (false, 5) => Reason::TooManyChannels,
        (true, 2) => Reason::NameTaken,
        (false, 1) => Reason::NoSuchName,
        (false, 2) => Reason::OwnChannel,
        (false, 3) => Reason::AlreadyEntered,
        (false, 4) => Reason::Full,
        _ => panic!("no such error: {value}"),
    }
}

/// The client role, given what the library's user did.
struct Mirror {
    client: Joint,
    reader: Reader,
    mode: Mode,
    now: Instant,
    /// In chunk mode: what the library wrote to one target and is no whole message yet.
    unsent: HashMap<Target, Vec<u8>>,
    heard: Vec<Heard>,
    /// In chunk mode: the messages that are coming.
    gathered: HashMap<Place, Vec<u8>>,
    written: Vec<u8>,
}

impl Mirror {
    fn new(mode: Mode) -> Self {
        Self {
            client: Joint::new(PeerId::new([7; 16])),
            reader: Reader::new(From::Client),
            mode,
            now: Instant::now(),
            unsent: HashMap::new(),
            heard: Vec::new(),
            gathered: HashMap::new(),
            written: Vec::new(),
        }
    }

    /// Gives the commands that stand behind the library's bytes.
    fn act(&mut self, bytes: &[u8]) {
        self.reader.push(Bytes::copy_from_slice(bytes));
        while let Some(item) = self.reader.next(true).expect("the library knows its words") {
            match item {
                Item::Command { command, nr, payload } => {
                    let command = self.command(command, nr.into(), &payload);
                    self.ask(command);
                }
                Item::Data(address, part) => self.data(address, part),
                Item::Control(_) => panic!("a client has no controls"),
            }
        }
    }

    fn command(&self, number: u8, request: u32, payload: &Bytes) -> Command {
        let name = ChannelName::new(payload.clone()).expect("the protocol has no longer names");
        let first = payload.first().copied().unwrap_or_default();
        let mode = self.mode;
        match number {
            command::CREATE => Command::Channel(ChannelCommand::Create {
                request,
                name,
                options: ChannelOptions { mode, ..ChannelOptions::default() },
            }),
            command::ENTER => Command::Channel(ChannelCommand::Enter {
                request,
                name,
                options: EnterOptions { mode, ..EnterOptions::default() },
            }),
            command::LEAVE => {
                Command::Channel(ChannelCommand::Leave(JoinedChannelId(first.into())))
            }
            _ => Command::Channel(ChannelCommand::Delete(OwnedChannelId(first.into()))),
        }
    }

    fn data(&mut self, address: Address, part: Part) {
        let (own, member) = (|n: u8| OwnedChannelId(n.into()), |n: u8| MemberNumber(n.into()));
        let to = match address {
            Address::In(number) => Target::Up(JoinedChannelId(number.into())),
            Address::Member(number, user) => Target::Member(own(number), member(user)),
            Address::AllBut(number, user) => Target::Everyone(own(number), Some(member(user))),
            Address::All(number) => Target::Everyone(own(number), None),
        };
        let Mode::Chunk { bytes_max } = self.mode else {
            return self.ask(Command::Send { to, part });
        };
        let mut unsent = self.unsent.remove(&to).unwrap_or_default();
        unsent.extend_from_slice(&part.data);
        for message in messages(&mut unsent, bytes_max) {
            let part = Part::whole(message);
            self.ask(Command::Send { to, part });
        }
        self.unsent.insert(to, unsent);
    }

    fn ask(&mut self, command: impl Into<Command>) {
        let command = command.into();
        let mut out = FrameWriter::default();
        self.client.command(self.now, command, &mut out).expect("the library did it too");
        self.written.extend(flat(&out.take()));
    }

    fn listen(&mut self, bytes: &[u8], cut: &mut Cut) {
        let mut out = FrameWriter::default();
        for piece in cut.pieces(bytes) {
            self.client.receive(self.now, piece);
            while let Some(event) = self.client.poll(self.now, &mut out) {
                self.hear(event);
            }
        }
        assert!(out.is_empty(), "a joint client answers nothing");
    }

    fn hear(&mut self, event: Event) {
        let heard = match event {
            Event::Welcome { peer } => {
                assert_eq!(peer, PeerId::new([7; 16]));
                return;
            }
            Event::Channel(ChannelEvent::Created { request, channel }) => {
                Heard::Created(request, channel.0)
            }
            Event::Channel(ChannelEvent::Entered(entered)) => {
                assert_eq!(entered.mode, self.mode);
                Heard::Entered(entered.request, entered.channel.0)
            }
            Event::Refused { request, create, reason } => Heard::Refused(request, create, reason),
            Event::Channel(ChannelEvent::MemberEntered { channel, member, .. }) => {
                Heard::Came(channel.0, member.0)
            }
            Event::Channel(ChannelEvent::MemberLeft { channel, member, reason }) => {
                Heard::Gone(channel.0, member.0, reason)
            }
            Event::Channel(ChannelEvent::Ended { channel, reason }) => {
                Heard::Ended(channel.0, reason)
            }
            Event::Data { place, part } if self.mode == Mode::Raw => {
                assert!(part.is_first() && part.is_last());
                Heard::Data(place, part.data.to_vec())
            }
            Event::Data { place, part } => {
                let gathered = self.gathered.entry(place).or_default();
                assert_eq!(gathered.len(), part.offset as usize);
                gathered.extend_from_slice(&part.data);
                if !part.is_last() {
                    return;
                }
                Heard::Data(place, std::mem::take(gathered))
            }
            other => panic!("a peote server cannot say {other:?}"),
        };
        push(&mut self.heard, heard, self.mode == Mode::Raw);
    }
}

/// Takes the whole messages of a size class off the front of a stream (section 6).
fn messages(stream: &mut Vec<u8>, bytes_max: u32) -> Vec<Vec<u8>> {
    let longest = match bytes_max {
        256 => 1,
        32_768 => 2,
        _ => 3,
    };
    let mut messages = Vec::new();
    loop {
        let flagged = stream.iter().take_while(|byte| **byte >= 0x80).count();
        let prefix = (flagged + 1).min(longest);
        if stream.len() < prefix {
            return messages;
        }
        let length = stream[..prefix].iter().enumerate().map(|(index, byte)| {
            let bits = if index + 1 < longest { byte & 0x7f } else { *byte };
            usize::from(bits) << (7 * index)
        });
        let end = prefix + length.sum::<usize>() + 1;
        if stream.len() < end {
            return messages;
        }
        messages.push(stream.drain(..end).skip(prefix).collect());
    }
}

/// In chunk mode, the messages in the order in which each one was complete.
fn whole(heard: Vec<Heard>, mode: Mode) -> Vec<Heard> {
    let Mode::Chunk { bytes_max } = mode else {
        return heard;
    };
    let mut streams: HashMap<Place, Vec<u8>> = HashMap::new();
    let mut whole = Vec::new();
    for heard in heard {
        let Heard::Data(place, data) = heard else {
            whole.push(heard);
            continue;
        };
        let stream = streams.entry(place).or_default();
        stream.extend(data);
        let messages = messages(stream, bytes_max);
        whole.extend(messages.into_iter().map(|data| Heard::Data(place, data)));
    }
    assert!(streams.values().all(Vec::is_empty));
    whole
}

fn joined(acts: Vec<Act>) -> Vec<Act> {
    let mut joined: Vec<Act> = Vec::new();
    for act in acts {
        match (&act, joined.last_mut()) {
            (Act::Data(mode, joint, user, more), Some(Act::Data(m, j, u, data)))
                if (mode, joint, user) == (&*m, &*j, &*u) =>
            {
                data.extend(more);
            }
            _ => joined.push(act),
        }
    }
    joined
}

fn assert_mirrors(name: &str, mode: Mode, cut: &Cut) {
    let lines = read(name);
    for conn in 0..connections(&lines) {
        let mut library = Library::default();
        let mut mirror = Mirror::new(mode);
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let mut cut = cut.clone();
        for line in lines.iter().filter(|line| line.conn == conn) {
            let Some(bytes) = &line.bytes else { continue };
            match line.side {
                Side::Client => {
                    sent.extend(bytes);
                    let (acts, whole) = acts(&sent);
                    sent.drain(..whole);
                    acts.into_iter().for_each(|act| library.act(act));
                    mirror.act(bytes);
                }
                Side::Server => {
                    received.extend(bytes);
                    mirror.listen(bytes, &mut cut);
                    // Frames may go on in the next line.
                    let (now, later) = at_border(&received);
                    units(now).into_iter().for_each(|unit| library.unit(unit, mode == Mode::Raw));
                    received = later.to_vec();
                }
            }
        }
        let (written, rest) = acts(&mirror.written);
        assert_eq!(rest, mirror.written.len());
        let alike = match mode {
            Mode::Raw => joined(written) == joined(library.acts),
            // Also cut alike: each length goes before its content, in a frame of its own.
            Mode::Chunk { .. } => written == library.acts,
        };
        assert!(alike, "{name}: connection {conn} writes otherwise");
        let wanted = whole(library.heard, mode);
        let first = (mirror.heard.iter().zip(&wanted)).position(|(got, want)| got != want);
        assert!(
            mirror.heard == wanted,
            "{name}, connection {conn}, {cut:?}: at {first:?} of {} and {}: {:.200?} {:.200?}",
            mirror.heard.len(),
            wanted.len(),
            first.map(|first| &mirror.heard[first]),
            first.map(|first| &wanted[first]),
        );
    }
}

/// The hand-written transcripts hold what the library never writes, so only what the server says
/// in them is compared. The client role numbers its commands itself; replies get its numbers.
fn assert_understands(name: &str, cut: &Cut) {
    let lines = read(name);
    for conn in 0..connections(&lines) {
        let (mut library, mut mirror) = (Library::default(), Mirror::new(Mode::Raw));
        let mut numbers = HashMap::new();
        let (mut sent, mut received) = (Vec::new(), Vec::new());
        let mut cut = cut.clone();
        for line in lines.iter().filter(|line| line.conn == conn) {
            let Some(bytes) = &line.bytes else { continue };
            if line.side == Side::Client {
                sent.extend(bytes);
                let (acts, whole) = acts(&sent);
                sent.drain(..whole);
                for act in acts {
                    if let Act::Command(number @ 0..=command::DELETE, nr, payload) = &act {
                        let at = mirror.written.len() + 2;
                        let payload = Bytes::copy_from_slice(payload);
                        mirror.ask(mirror.command(*number, (*nr).into(), &payload));
                        numbers.insert(*nr, mirror.written[at]);
                    }
                    library.act(act);
                }
                continue;
            }
            received.extend(bytes);
            let (now, later) = at_border(&received);
            let mut out = FrameWriter::default();
            for unit in units(now) {
                match &unit {
                    Unit::Control(control) => match control[..] {
                        [nr, status, value] => out.small(&[0, 3, numbers[&nr], status, value]),
                        _ => out.small(&[&[0, control.len() as u8], &control[..]].concat()),
                    },
                    Unit::Data(joint, user, data) => {
                        let user = (*joint >= 0x80).then_some(*user);
                        put_data(&[], *joint, user, &Bytes::copy_from_slice(data), &mut out);
                    }
                }
                library.unit(unit, true);
            }
            mirror.listen(&flat(&out.take()), &mut cut);
            received = later.to_vec();
        }
        assert!(mirror.heard == library.heard, "{name}, connection {conn}, {cut:?}");
        assert!(!mirror.heard.is_empty(), "{name}, connection {conn}: nothing was said");
    }
}

/// The whole frames of a server, and what comes behind them.
fn at_border(bytes: &[u8]) -> (&[u8], &[u8]) {
    let mut end = 0;
    loop {
        let length = match bytes[end..] {
            [0, count, ..] => 2 + usize::from(count),
            [long, low, ..] if long >= 0x80 => {
                2 + (usize::from(long & 0x7f) << 8) + usize::from(low)
            }
            [short, ..] if (1..0x80).contains(&short) => 1 + usize::from(short),
            _ => return bytes.split_at(end),
        };
        if end + length > bytes.len() {
            return bytes.split_at(end);
        }
        end += length;
    }
}

fn cuts() -> impl Iterator<Item = Cut> {
    let random = (0..4).map(|seed| Cut::Anywhere(Dice(seed)));
    [Cut::AsTheyCome, Cut::Bytewise].into_iter().chain(random)
}

#[test]
fn in_raw_mode_it_does_and_tells_what_the_library_did() {
    for cut in cuts() {
        for name in LIBRARY {
            assert_mirrors(name, Mode::Raw, &cut);
        }
    }
}

#[test]
fn it_understands_what_the_server_said_to_the_hand_written_scripts() {
    for cut in cuts() {
        for name in SCRIPTED {
            assert_understands(name, &cut);
        }
    }
}

#[test]
fn in_chunk_mode_it_frames_as_the_library_and_whole_messages_come_out() {
    let class = |bytes_max| Mode::Chunk { bytes_max };
    for cut in cuts() {
        assert_mirrors("basic", Mode::default(), &cut);
        assert_mirrors("ws-basic", Mode::default(), &cut);
        assert_mirrors("rpc", Mode::default(), &cut);
        assert_mirrors("sizes", class(32_768), &cut);
        assert_mirrors("small", class(256), &cut);
        assert_mirrors("ws-small", class(256), &cut);
        assert_mirrors("big", class(4_194_304), &cut);
    }
}

#[test]
fn the_messages_of_the_recording_have_the_content_that_was_agreed_on() {
    let mut mirror = Mirror::new(Mode::default());
    for line in read("sizes").iter().filter(|line| line.conn == 1) {
        match (line.side, &line.bytes) {
            (Side::Client, Some(bytes)) => mirror.act(bytes),
            (Side::Server, Some(bytes)) => mirror.listen(bytes, &mut Cut::AsTheyCome),
            (_, None) => {}
        }
    }
    let data = |heard: &Heard| match heard {
        Heard::Data(_, data) => Some(data.clone()),
        _ => None,
    };
    let messages: Vec<_> = mirror.heard.iter().filter_map(data).collect();
    let sizes = [1, 2, 48, 124, 125, 126, 127, 128, 129, 130, 255, 256, 257, 300];
    let sizes = sizes.into_iter().chain([16_383, 16_384, 16_385, 32_765, 32_768]);
    assert_eq!(messages.iter().map(Vec::len).collect::<Vec<_>>(), sizes.collect::<Vec<_>>());
    for message in messages {
        let n = message.len();
        let byte = |i: usize| (n + 7 * i + (i >> 8)) as u8;
        assert!(message.iter().enumerate().all(|(i, got)| *got == byte(i)));
    }
}
