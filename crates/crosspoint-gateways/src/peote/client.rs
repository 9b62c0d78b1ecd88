//! What the Haxe library does: the client's side, towards a peote-server or a hub.

use super::chunk::{self, ChunkDecoder, ChunkSize};
use super::frame::{self, Address, From, Item, Reader, command, push, put_data, reason};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::command::{
    ApplicationCommand, ChannelCommand, ChannelEvent, Command, DirectoryCommand, Entered, Event,
    LinkCommand, LinkEvent, Mode, Peer, Target,
};
use crosspoint_hub::protocol::{Activity, Client};
use crosspoint_hub::wire::{FrameWriter, Part, Place};
use crosspoint_hub::{JoinedChannelId, MemberNumber, OwnedChannelId, PeerId, Reason};
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// The client's side of one joint connection.
///
/// Towards its user it keeps message borders: in a channel of chunk mode it writes and reads
/// chunks. Kick, ban and entry by decision are not part of the protocol.
#[derive(Debug)]
pub struct Joint {
    reader: Reader,
    /// Commands that wait for their reply, by number.
    pending: HashMap<u8, Pending>,
    owned: HashMap<u8, Mode>,
    entered: HashMap<u8, Mode>,
    decoders: HashMap<Place, ChunkDecoder>,
    ready: VecDeque<Event>,
    closed: bool,
}

#[derive(Debug)]
struct Pending {
    request: u32,
    create: bool,
    mode: Mode,
}

impl Joint {
    /// A connection that has just begun. The protocol has no hello: `peer` is only for the user.
    pub fn new(peer: PeerId) -> Self {
        Self {
            reader: Reader::new(From::Server),
            pending: HashMap::new(),
            owned: HashMap::new(),
            entered: HashMap::new(),
            decoders: HashMap::new(),
            ready: VecDeque::from([Event::Welcome { peer }]),
            closed: false,
        }
    }

    /// The lowest number of 1..=255 that no command waits under, as the Haxe library does it.
    fn ask(
        &mut self,
        number: u8,
        name: &[u8],
        pending: Pending,
        out: &mut FrameWriter,
    ) -> Result<(), Reason> {
        if let Mode::Chunk { bytes_max } = pending.mode {
            ChunkSize::new(bytes_max).map_err(|_| Reason::Malformed)?;
        }
        let nr =
            (1..=255).find(|nr| !self.pending.contains_key(nr)).ok_or(Reason::TooManyPending)?;
        self.pending.insert(nr, pending);
        let mut frame = BytesMut::with_capacity(4 + name.len());
        frame.extend_from_slice(&[0, number, nr, name.len() as u8]);
        frame.extend_from_slice(name);
        out.small(&frame);
        Ok(())
    }

    fn send(&mut self, to: Target, part: &Part, out: &mut FrameWriter) -> Result<(), Reason> {
        if part.kind != Part::DATA {
            return Err(Reason::NotAllowed);
        }
        let (table, number) = match to {
            Target::Up(number) => (&self.entered, number.0),
            Target::Member(number, _) | Target::Everyone(number, _) => (&self.owned, number.0),
            Target::Link(_) => return Err(Reason::Unsupported),
        };
        // As everywhere, what goes to a channel that has ended is dropped.
        let Some((number, mode)) =
            u8::try_from(number).ok().and_then(|n| Some((n, table.get(&n)?)))
        else {
            return Ok(());
        };
        let (before, joint, user): (&[u8], _, _) = match to {
            Target::Up(_) => (&[], number, None),
            Target::Member(_, member) => (&[], 0x80 | number, Some(member_byte(member)?)),
            Target::Everyone(_, None) => (&[1, 1], 0x80 | number, None),
            Target::Everyone(_, Some(except)) => {
                (&[1, 0], 0x80 | number, Some(member_byte(except)?))
            }
            Target::Link(_) => return Err(Reason::Unsupported),
        };
        if let Mode::Chunk { bytes_max } = *mode {
            // Asked for each part, so that nothing follows a beginning that was refused.
            let prefix = ChunkSize::new(bytes_max)
                .map_err(|_| Reason::Malformed)?
                .encode_prefix(part.total as usize)
                .map_err(|_| Reason::TooLarge)?;
            if part.is_first() {
                let prefix = Bytes::copy_from_slice(prefix.as_ref());
                put_data(before, joint, user, &prefix, out);
            }
        }
        put_data(before, joint, user, &part.data, out);
        Ok(())
    }

    fn item(&mut self, item: Item, out: &mut FrameWriter) -> Result<(), Reason> {
        match item {
            Item::Control(bytes) => self.control(&bytes),
            Item::Data(address, part) => self.data(address, part, out),
            Item::Command { .. } => unreachable!("a reader of server frames gives no commands"),
        }
    }

    fn control(&mut self, bytes: &[u8]) -> Result<(), Reason> {
        match *bytes {
            [0, push::MEMBER_ENTERED, own, member] => {
                // On its way while the channel was deleted: no news.
                let Some(mode) = self.owned.get(&own).copied() else {
                    return Ok(());
                };
                let (channel, member) = (OwnedChannelId(own.into()), MemberNumber(member.into()));
                self.decode(Place::Own(channel, member), mode)?;
                let peer = Peer { id: PeerId::new([0; 16]), name: None, protocol: "peote" };
                let chunk = None;
                self.ready.push_back(Event::Channel(ChannelEvent::MemberEntered {
                    channel,
                    member,
                    peer,
                    chunk,
                    replies: false,
                }));
            }
            [0, push::MEMBER_LEFT, own, member, why] => {
                let Some(mode) = self.owned.get(&own) else { return Ok(()) };
                let (channel, member) = (OwnedChannelId(own.into()), MemberNumber(member.into()));
                let given_up = self.decoders.remove(&Place::Own(channel, member)).is_none();
                if given_up && *mode != Mode::Raw {
                    return Ok(());
                }
                let reason = match why {
                    reason::ON_PURPOSE => Reason::Left,
                    reason::KICKED => Reason::Kicked,
                    _ => Reason::ConnectionLost,
                };
                self.ready.push_back(Event::Channel(ChannelEvent::MemberLeft {
                    channel,
                    member,
                    reason,
                }));
            }
            [0, push::ENDED, number, why] => {
                let channel = JoinedChannelId(number.into());
                // One that was left meanwhile is no news.
                if self.entered.remove(&number).is_some() {
                    self.decoders.remove(&Place::In(channel));
                    let reason = match why {
                        reason::ON_PURPOSE => Reason::ClosedByOwner,
                        reason::KICKED => Reason::Kicked,
                        _ => Reason::OwnerLost,
                    };
                    self.ready.push_back(Event::Channel(ChannelEvent::Ended { channel, reason }));
                }
            }
            [0, push::KEEPALIVE, ..] => {}
            [nr, status, value] if nr != 0 => self.reply(nr, status == 0, value)?,
            _ => return Err(Reason::Malformed),
        }
        Ok(())
    }

    fn reply(&mut self, nr: u8, ok: bool, value: u8) -> Result<(), Reason> {
        let Pending { request, create, mode } =
            self.pending.remove(&nr).ok_or(Reason::Malformed)?;
        let event = match (ok, create) {
            (true, true) => {
                self.owned.insert(value, mode);
                Event::Channel(ChannelEvent::Created {
                    request,
                    channel: OwnedChannelId(value.into()),
                })
            }
            (true, false) => {
                self.entered.insert(value, mode);
                let channel = JoinedChannelId(value.into());
                self.decode(Place::In(channel), mode)?;
                // The protocol does not tell members their number.
                let (member, chunk) = (MemberNumber(0), None);
                Event::Channel(ChannelEvent::Entered(Entered {
                    request,
                    channel,
                    member,
                    mode,
                    chunk,
                    replies: false,
                    room: false,
                }))
            }
            (false, _) => {
                let reason = match (create, value) {
                    (true, 1) | (false, 5) => Reason::TooManyChannels,
                    (true, 2) => Reason::NameTaken,
                    (false, 1) => Reason::NoSuchName,
                    (false, 2) => Reason::OwnChannel,
                    (false, 3) => Reason::AlreadyEntered,
                    (false, 4) => Reason::Full,
                    _ => Reason::NotAllowed,
                };
                Event::Refused { request, create, reason }
            }
        };
        self.ready.push_back(event);
        Ok(())
    }

    fn decode(&mut self, place: Place, mode: Mode) -> Result<(), Reason> {
        if let Mode::Chunk { bytes_max } = mode {
            let size = ChunkSize::new(bytes_max).map_err(|_| Reason::Malformed)?;
            self.decoders.insert(place, ChunkDecoder::new(size));
        }
        Ok(())
    }

    /// Nothing of what comes at a place can be understood any more. The protocol cannot say so to
    /// the other side; to the user it is gone.
    fn give_up(&mut self, place: Place, out: &mut FrameWriter) {
        let reason = Reason::TooLarge;
        self.decoders.remove(&place);
        match place {
            Place::Own(channel, member) => {
                self.ready.push_back(Event::Channel(ChannelEvent::MemberLeft {
                    channel,
                    member,
                    reason,
                }));
            }
            Place::In(channel) | Place::Room(channel, _) => {
                let number = channel.0 as u8;
                self.entered.remove(&number);
                out.small(&[0, command::LEAVE, 0, 1, number]);
                self.ready.push_back(Event::Channel(ChannelEvent::Ended { channel, reason }));
            }
            Place::Link(link) => {
                self.ready.push_back(Event::Link(LinkEvent::Closed { link, reason }))
            }
        }
    }

    fn data(&mut self, address: Address, part: Part, out: &mut FrameWriter) -> Result<(), Reason> {
        let (place, mode) = match address {
            Address::In(number) => {
                (Place::In(JoinedChannelId(number.into())), self.entered.get(&number))
            }
            Address::Member(own, member) => {
                let place = Place::Own(OwnedChannelId(own.into()), MemberNumber(member.into()));
                (place, self.owned.get(&own))
            }
            Address::All(_) | Address::AllBut(..) => return Err(Reason::Malformed),
        };
        let decoder = match (mode, self.decoders.get_mut(&place)) {
            // Whatever comes is a message of its own, as the borders mean nothing.
            (Some(Mode::Raw), _) => {
                self.ready.push_back(Event::Data { place, part: Part::whole(part.data) });
                return Ok(());
            }
            (Some(Mode::Chunk { .. }), Some(decoder)) => decoder,
            // Of a channel or member that is gone.
            _ => return Ok(()),
        };
        let mut piece = part.data;
        loop {
            match decoder.next_part(&mut piece) {
                Ok(Some(chunk::Part { total, offset, data })) => {
                    let part = Part { kind: Part::DATA, total, offset, data };
                    self.ready.push_back(Event::Data { place, part });
                }
                Ok(None) => return Ok(()),
                Err(_too_long) => {
                    self.give_up(place, out);
                    return Ok(());
                }
            }
        }
    }
}

fn member_byte(member: MemberNumber) -> Result<u8, Reason> {
    u8::try_from(member.0).map_err(|_| Reason::Malformed)
}

impl Client for Joint {
    fn command(
        &mut self,
        _now: Instant,
        command: Command,
        out: &mut FrameWriter,
    ) -> Result<(), Reason> {
        match command {
            Command::Hello(_) => {}
            Command::Channel(ChannelCommand::Create { request, name, options }) => {
                let pending = Pending { request, create: true, mode: options.mode };
                self.ask(command::CREATE, name.as_bytes(), pending, out)?;
            }
            Command::Channel(ChannelCommand::Enter { request, name, options }) => {
                let pending = Pending { request, create: false, mode: options.mode };
                self.ask(command::ENTER, name.as_bytes(), pending, out)?;
            }
            Command::Channel(ChannelCommand::Leave(number)) => {
                let byte = u8::try_from(number.0).map_err(|_| Reason::Malformed)?;
                self.entered.remove(&byte);
                self.decoders.remove(&Place::In(number));
                out.small(&[0, command::LEAVE, 0, 1, byte]);
            }
            Command::Channel(ChannelCommand::Delete(number)) => {
                let byte = u8::try_from(number.0).map_err(|_| Reason::Malformed)?;
                self.owned.remove(&byte);
                self.decoders
                    .retain(|place, _| !matches!(place, Place::Own(own, _) if *own == number));
                out.small(&[0, command::DELETE, 0, 1, byte]);
            }
            Command::Send { to, part } => return self.send(to, &part, out),
            Command::Channel(
                ChannelCommand::Withdraw(_)
                | ChannelCommand::Dissolve(_)
                | ChannelCommand::Kick { .. }
                | ChannelCommand::Unban { .. }
                | ChannelCommand::Admit { .. }
                | ChannelCommand::Succeed { .. }
                | ChannelCommand::Resign(_),
            )
            | Command::Link(LinkCommand::Open { .. } | LinkCommand::Close { .. })
            | Command::Directory(
                DirectoryCommand::Provide { .. }
                | DirectoryCommand::Look { .. }
                | DirectoryCommand::Watch { .. },
            )
            | Command::Application(ApplicationCommand::Ask { .. })
            | Command::Secured { .. } => return Err(Reason::Unsupported),
        }
        Ok(())
    }

    fn receive(&mut self, _now: Instant, bytes: Bytes) {
        self.reader.push(bytes);
    }

    fn poll(&mut self, _now: Instant, out: &mut FrameWriter) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.closed {
                return None;
            }
            let result = match self.reader.next(false) {
                Ok(Some(item)) => self.item(item, out),
                Ok(None) => return None,
                Err(reason) => Err(reason),
            };
            if let Err(reason) = result {
                self.closed = true;
                self.ready.push_back(Event::Closed { reason });
            }
        }
    }

    fn deadline(&self, _activity: Activity) -> Option<Instant> {
        None
    }

    fn tick(
        &mut self,
        _now: Instant,
        _activity: Activity,
        _out: &mut FrameWriter,
    ) -> Option<Reason> {
        None
    }

    fn farewell(&mut self, _reason: Reason, _out: &mut FrameWriter) {
        self.closed = true;
    }
}

const _: () = assert!(frame::CHANNELS_MAX == 128, "numbers of channels fit the low seven bits");

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::ChannelName;
    use crosspoint_hub::command::ChannelOptions;

    /// One member that sent a length above the maximum used to end the owner's whole connection,
    /// with all its channels.
    #[test]
    fn a_chunk_above_the_maximum_costs_the_owner_that_member_alone() {
        let now = Instant::now();
        let mut out = FrameWriter::default();
        let mut owner = Joint::new(PeerId::new([0; 16]));
        let name = ChannelName::new(&b"arena"[..]).unwrap();
        let options = ChannelOptions { mode: Mode::Chunk { bytes_max: 300 }, ..Default::default() };
        owner
            .command(
                now,
                Command::Channel(ChannelCommand::Create { request: 1, name, options }),
                &mut out,
            )
            .unwrap();
        let mut told = |bytes: &[u8]| {
            owner.receive(now, Bytes::copy_from_slice(bytes));
            std::iter::from_fn(|| owner.poll(now, &mut out)).collect::<Vec<_>>()
        };
        told(&[0, 3, 1, 0, 0]);
        told(&[0, 4, 0, 0, 0, 0, 0, 4, 0, 0, 0, 1]);
        let (channel, member) = (OwnedChannelId(0), MemberNumber(0));
        let gone =
            Event::Channel(ChannelEvent::MemberLeft { channel, member, reason: Reason::TooLarge });
        assert_eq!(told(&[4, 0x80, 0, 0xff, 0x7f]), [gone]);
        assert_eq!(told(&[4, 0x80, 0, 0, b'x']), [], "nothing of it can be understood any more");
        assert_eq!(told(&[0, 5, 0, 1, 0, 0, 0]), [], "its end was told already");
        let place = Place::Own(channel, MemberNumber(1));
        let part = Part::whole(&b"y"[..]);
        assert_eq!(told(&[4, 0x80, 1, 0, b'y']), [Event::Data { place, part }]);
    }
}
