//! Rooms. What others say there is written for the client by those who say it.

use super::SocketIo;
use super::asking::{self, Answer};
use super::emits::whole;
use super::events::name_of;
use super::gathering::Packet;
use super::say::quoted;
use crate::link::IDLE_TIME;
use crate::socketio::{Elements, room};
use crosspoint_hub::command::{ChannelCommand, Command, EnterOptions, Entered, Mode, Target};
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{ChannelName, JoinedChannelId, Limit, Reason};
use std::collections::BTreeMap;
use std::time::Instant;

/// The most rooms that are kept into which the client only speaks. Above it, it leaves the one into which it has not
/// spoken for longest.
const SPOKEN_MAX: usize = 16;

/// All that the client has entered.
#[derive(Debug, Default)]
pub(super) struct Rooms {
    by_name: BTreeMap<ChannelName, Room>,
    names: BTreeMap<JoinedChannelId, ChannelName>,
    due: Option<Instant>,
}

#[derive(Debug, Clone, Copy)]
struct Room {
    number: JoinedChannelId,
    /// The largest message.
    bytes_max: usize,
    /// When the client has last spoken, if it only speaks there.
    spoke: Option<Instant>,
}

/// Why the client has not entered a room.
#[derive(Debug, thiserror::Error)]
enum NotEntered {
    #[error("{0}")]
    Refused(Reason),
    #[error(
        "its owner has not let you in within {} s; try again later",
        asking::TIME_MAX.as_secs()
    )]
    Undecided,
}

impl Rooms {
    /// What they take, in bytes.
    pub(super) fn bytes(&self) -> usize {
        const ENTRY_BYTES: usize = 128;
        self.by_name.keys().map(|name| name.as_bytes().len() + ENTRY_BYTES).sum()
    }

    fn enter(&mut self, name: ChannelName, entered: &Entered, spoke: Option<Instant>) -> Room {
        let bytes_max = match entered.mode {
            Mode::Chunk { bytes_max } => bytes_max as usize,
            Mode::Raw => usize::MAX,
        };
        let room = Room { number: entered.channel, bytes_max, spoke };
        self.names.insert(room.number, name.clone());
        self.by_name.insert(name, room);
        if let Some(spoke) = spoke {
            self.due = self.due.or(Some(spoke + IDLE_TIME));
        }
        room
    }

    /// Whether the client is in a room, and does not only speak there.
    pub(super) fn is_in(&self, name: &ChannelName) -> bool {
        self.by_name.get(name).is_some_and(|room| room.spoke.is_none())
    }

    /// Whether the client is in a room whose name begins so.
    pub(super) fn is_in_any(&self, prefix: &str) -> bool {
        let Ok(first) = ChannelName::new(prefix.as_bytes().to_vec()) else { return false };
        let mut from = self.by_name.range(first..);
        from.next().is_some_and(|(name, _)| name.as_bytes().starts_with(prefix.as_bytes()))
    }

    /// The client has entered a room.
    pub(super) fn keep(&mut self, name: ChannelName, entered: &Entered) {
        self.enter(name, entered, None);
    }

    /// Forgets a room, and gives its number.
    pub(super) fn take(&mut self, name: &ChannelName) -> Option<JoinedChannelId> {
        self.leave(name).map(|room| room.number)
    }

    fn leave(&mut self, name: &ChannelName) -> Option<Room> {
        let room = self.by_name.remove(name)?;
        self.names.remove(&room.number);
        Some(room)
    }

    /// A membership has ended.
    pub(super) fn end(&mut self, number: JoinedChannelId) {
        if let Some(name) = self.names.remove(&number) {
            self.by_name.remove(&name);
        }
    }

    /// Forgets all, and gives their numbers.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = JoinedChannelId> + use<> {
        std::mem::take(self).names.into_keys()
    }

    /// When [`Rooms::idle`] has something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due
    }

    /// Forgets the room into which the client only speaks and has not spoken for longest, if there are as many as may be.
    fn make_room(&mut self) -> Option<JoinedChannelId> {
        let spoken =
            self.by_name.values().filter_map(|room| room.spoke.map(|at| (at, room.number)));
        let (mut count, mut oldest) = (0, None);
        for room in spoken {
            count += 1;
            oldest = oldest.min(Some(room)).or(Some(room));
        }
        let (_, number) = oldest.filter(|_| count >= SPOKEN_MAX)?;
        self.end(number);
        Some(number)
    }

    /// Forgets the rooms into which the client has not spoken for a while, and gives their numbers.
    pub(super) fn idle(&mut self, now: Instant) -> Vec<JoinedChannelId> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let is_idle = |room: &mut Room| room.spoke.is_some_and(|spoke| spoke + IDLE_TIME <= now);
        let idle: Vec<_> = self
            .by_name
            .extract_if(.., |_, room| is_idle(room))
            .map(|(_, room)| room.number)
            .collect();
        idle.iter().for_each(|number| drop(self.names.remove(number)));
        self.due = self
            .by_name
            .values()
            .filter_map(|room| room.spoke)
            .min()
            .map(|spoke| spoke + IDLE_TIME);
        idle
    }
}

impl SocketIo {
    /// `JOIN_ROOM`. The original answers `null`, or nothing.
    pub(super) fn join_room(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let Some(name) = self.room_name(packet, args, out) else { return Some(()) };
        self.join(packet, name, out)
    }

    /// The client enters a room.
    pub(super) fn join(
        &mut self,
        packet: &Packet,
        name: ChannelName,
        out: &mut FrameWriter,
    ) -> Option<()> {
        match self.rooms.by_name.get(&name) {
            Some(Room { spoke: None, .. }) => {
                self.answer(out, packet, "null");
                return Some(());
            }
            // It has only spoken there so far.
            Some(_) => {
                if let Some(room) = self.rooms.leave(&name) {
                    self.give(ChannelCommand::Leave(room.number));
                }
            }
            None => {}
        }
        match self.enter(&name, false)? {
            Ok(entered) => {
                self.rooms.enter(name, &entered, None);
                self.answer(out, packet, "null");
            }
            Err(why) => self.refuse_room(packet, &name, why, out),
        }
        Some(())
    }

    /// `LEAVE_ROOM`.
    pub(super) fn leave_room(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) {
        let Some(name) = self.room_name(packet, args, out) else { return };
        if let Some(room) = self.rooms.leave(&name) {
            self.give(ChannelCommand::Leave(room.number));
        }
        self.answer(out, packet, "null");
    }

    /// `EMIT_ROOM`: to all others in a room. Who is not a member may speak there as well.
    pub(super) fn emit_room(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let Some(name) = self.room_name(packet, args, out) else { return Some(()) };
        let Some(event) = self.emitted(args.get(2), out) else { return Some(()) };
        let now = self.now;
        let room = match self.rooms.by_name.get_mut(&name) {
            Some(room) => {
                room.spoke = room.spoke.map(|_| now);
                *room
            }
            None => match self.enter_to_speak(&name)? {
                Ok(entered) => self.rooms.enter(name.clone(), &entered, Some(now)),
                // Nobody is there.
                Err(NotEntered::Refused(Reason::NoSuchName)) => return Some(()),
                Err(why) => {
                    self.refuse_room(packet, &name, why, out);
                    return Some(());
                }
            },
        };
        let (cut, attachments) = packet.cut(args.rest(3));
        let body = room::event(event, &cut.text, attachments.len() as u8);
        let body = whole(body, &attachments);
        if body.len() > room.bytes_max {
            let wrong = format!(
                "Error: Room: a message in {name} has up to {} bytes, and this one {} ({})",
                room.bytes_max,
                body.len(),
                Limit::RoomChunkBytes
            );
            self.server_error(out, &wrong);
            return Some(());
        }
        self.give(Command::Send { to: Target::Up(room.number), part: Part::whole(body) });
        Some(())
    }

    /// Enters a room to speak there, if it is there.
    fn enter_to_speak(&mut self, name: &ChannelName) -> Option<Result<Entered, NotEntered>> {
        if self.answer.is_none()
            && let Some(number) = self.rooms.make_room()
        {
            self.give(ChannelCommand::Leave(number));
        }
        self.enter(name, true)
    }

    /// Enters a room. `silent`: to speak only, and if it is there.
    fn enter(&mut self, name: &ChannelName, silent: bool) -> Option<Result<Entered, NotEntered>> {
        let options = EnterOptions { make_room: !silent, silent, ..EnterOptions::default() };
        Some(match self.ask_to_enter(name, options)? {
            Answer::Entered(entered) => Ok(entered),
            Answer::Refused(reason) => Err(NotEntered::Refused(reason)),
            Answer::Undecided => Err(NotEntered::Undecided),
            _ => Err(NotEntered::Refused(Reason::Internal)),
        })
    }

    /// The room that an event is about. If it cannot be one, the client is told.
    fn room_name(
        &self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<ChannelName> {
        let name = name_of(args, 1).filter(|name| !name.is_empty());
        let name = name.and_then(|name| ChannelName::new(name.as_bytes().to_vec()).ok());
        if name.is_none() {
            let wrong = format!("the name of a room has 1 to {} bytes", ChannelName::BYTES_MAX);
            self.server_error(out, &format!("Error: Room: {wrong}"));
            self.answer(out, packet, &quoted(&wrong));
        }
        name
    }

    fn refuse_room(
        &self,
        packet: &Packet,
        name: &ChannelName,
        why: NotEntered,
        out: &mut FrameWriter,
    ) {
        let wrong = format!("Room: {name}: {why}");
        self.server_error(out, &format!("Error: {wrong}"));
        self.answer(out, packet, &quoted(&wrong));
    }
}
