//! Who is in a channel, and who may not be.

use super::share::Shared;
use super::succession::Heir;
use crate::command::{EnterOptions, Event, Mode};
use crate::ids::{InNumber, MemberNumber, OwnNumber, PeerId};
use crate::outbox::{Outbox, Tag, Touched};
use crate::reason::Reason;
use crate::slots::Slots;
use crate::wire::{Edge, Part, Place};
use bytes::BytesMut;
use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

pub(super) struct State {
    /// `None` in rooms, and after the end.
    pub(super) owner: Option<Owner>,
    pub(super) ended: bool,
    /// Whether the owner's connection is away.
    pub(super) away: bool,
    pub(super) heir: Option<Heir>,
    /// How often an heir was named.
    pub(super) namings: u32,
    pub(super) members: Slots<Member>,
    /// The message to many that the owner is in the middle of.
    pub(super) midway: Option<Begun>,
    /// Members who came in the middle of a message of the owner: they must not get its rest.
    pub(super) late: Vec<MemberNumber>,
    /// Those about whom the owner was asked. Tickets are not used twice, so that a late answer
    /// never lets somebody else in.
    pub(super) pending: Vec<Applicant>,
    pub(super) next_ticket: u32,
    /// Oldest first.
    pub(super) bans: VecDeque<Banned>,
    /// In rooms: messages of which not all parts have come, by sender. A room's receivers may be
    /// unable to tell senders apart, so parts of two messages must not be mixed.
    pub(super) gathering: HashMap<u32, BytesMut>,
}

/// A message to many of which not all parts have come.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    /// The one who does not get it.
    pub(super) except: Option<MemberNumber>,
}

pub(super) struct Owner {
    pub(super) outbox: Arc<Outbox>,
    pub(super) number: OwnNumber,
    pub(super) tag: Tag,
}

pub(super) struct Member {
    pub(super) outbox: Arc<Outbox>,
    pub(super) number: InNumber,
    pub(super) tag: Tag,
    pub(super) edge: Edge,
    pub(super) presence: bool,
    /// Whether it has the beginning of a message that the owner sends to it alone. Without it, a
    /// rest is for who had the number before.
    pub(super) midway: bool,
    /// What it sends may go on with what it began for a former owner, up to the first beginning.
    pub(super) behind: bool,
}

pub(super) struct Applicant {
    pub(super) ticket: u32,
    pub(super) outbox: Arc<Outbox>,
    pub(super) number: InNumber,
    pub(super) tag: Tag,
    pub(super) request: u32,
    pub(super) options: EnterOptions,
}

impl Owner {
    pub(super) fn tell(&self, event: Event, touched: &mut Touched) {
        self.outbox.push_event(self.tag, event, touched);
    }
}

impl Member {
    /// Those of its parts that are for the present owner.
    pub(super) fn fit<'a>(&self, parts: &'a [Part]) -> &'a [Part] {
        if self.behind { from_first(parts) } else { parts }
    }

    pub(super) fn tell(&self, event: Event, touched: &mut Touched) {
        self.outbox.push_event(self.tag, event, touched);
    }
}

impl Applicant {
    pub(super) fn refuse(&self, reason: Reason, touched: &mut Touched) {
        let event = Event::Refused { request: self.request, create: false, reason };
        self.outbox.push_event(self.tag, event, touched);
    }
}

pub(super) struct Banned {
    pub(super) peer: Option<PeerId>,
    pub(super) address: Option<IpAddr>,
    pub(super) until: Option<Instant>,
}

impl State {
    pub(super) fn new(owner: Option<Owner>) -> Self {
        Self {
            away: owner.as_ref().is_some_and(|owner| owner.outbox.is_told_away()),
            heir: None,
            namings: 0,
            owner,
            ended: false,
            members: Slots::default(),
            midway: None,
            late: Vec::new(),
            pending: Vec::new(),
            next_ticket: 0,
            bans: VecDeque::new(),
            gathering: HashMap::new(),
        }
    }

    pub(super) fn forget_gathered(&mut self) {
        self.gathering = HashMap::new();
    }

    /// Whether this session owns the channel.
    pub(super) fn is_owner(&self, outbox: &Arc<Outbox>) -> bool {
        self.owner.as_ref().is_some_and(|owner| Arc::ptr_eq(&owner.outbox, outbox))
    }

    /// A member, if this session is the one with that number.
    pub(super) fn member(
        &mut self,
        member: MemberNumber,
        outbox: &Arc<Outbox>,
    ) -> Option<&mut Member> {
        self.members.get_mut(member.0).filter(|member| Arc::ptr_eq(&member.outbox, outbox))
    }

    /// Those of some parts that are for a member: one that came late gets no rest of a message.
    pub(super) fn fit<'a>(&self, member: MemberNumber, parts: &'a [Part]) -> &'a [Part] {
        if !self.late.contains(&member) {
            return parts;
        }
        from_first(parts)
    }

    pub(super) fn check_ban(&mut self, now: Instant, outbox: &Outbox) -> Result<(), Reason> {
        self.bans.retain(|ban| ban.until.is_none_or(|until| until > now));
        let peer = outbox.known_peer().id;
        let address = outbox.address;
        let hit = |ban: &Banned| {
            ban.peer == Some(peer) || (ban.address.is_some() && ban.address == address)
        };
        if self.bans.iter().any(hit) { Err(Reason::Banned) } else { Ok(()) }
    }

    /// In a room: the others hear of a newcomer, and the newcomer of the others.
    pub(super) fn announce(&self, newcomer: MemberNumber, touched: &mut Touched) {
        let Some(new) = self.members.get(newcomer.0) else {
            return;
        };
        let peer = new.outbox.known_peer();
        for (number, there) in self.members.iter().filter(|(number, _)| *number != newcomer.0) {
            if there.presence {
                let (channel, peer) = (there.number, peer.clone());
                there.tell(Event::OtherEntered { channel, member: newcomer, peer }, touched);
            }
            if new.presence {
                let (channel, member) = (new.number, MemberNumber(number));
                new.tell(
                    Event::OtherEntered { channel, member, peer: there.outbox.known_peer() },
                    touched,
                );
            }
        }
    }

    /// Takes a member out and tells the owner or the others. Gives whether there was one.
    pub(super) fn remove(
        &mut self,
        member: MemberNumber,
        reason: Reason,
        touched: &mut Touched,
    ) -> bool {
        if self.members.remove(member.0).is_none() {
            return false;
        }
        if self.is_heir(member) {
            self.forget_heir(Reason::NoSuchPeer, touched);
        }
        self.gathering.remove(&member.0);
        self.late.retain(|late| *late != member);
        match &self.owner {
            Some(owner) => {
                let channel = owner.number;
                owner.tell(Event::MemberLeft { channel, member, reason }, touched);
            }
            None => {
                for (_, there) in self.members.iter().filter(|(_, there)| there.presence) {
                    let channel = there.number;
                    there.tell(Event::OtherLeft { channel, member, reason }, touched);
                }
            }
        }
        true
    }

    /// In a room: messages go to all others, whole ones where they have borders. Gives how many
    /// receivers there were.
    pub(super) fn share(
        &mut self,
        sender: MemberNumber,
        parts: &[Part],
        mode: Mode,
        touched: &mut Touched,
    ) -> usize {
        let mut whole = Vec::with_capacity(parts.len());
        for part in parts {
            if mode == Mode::Raw || (part.is_first() && part.is_last()) {
                whole.push(part.clone());
                continue;
            }
            let gathered = self.gathering.entry(sender.0).or_default();
            gathered.extend_from_slice(&part.data);
            if part.is_last() {
                let data = std::mem::take(gathered).freeze();
                self.gathering.remove(&sender.0);
                whole.push(Part { offset: 0, data, ..part.clone() });
            }
        }
        let mut shared = Shared::new(&whole);
        let mut receivers = 0;
        for (_, member) in self.members.iter().filter(|(number, _)| *number != sender.0) {
            let place = Place::Room(member.number, sender);
            receivers += shared.push(&member.outbox, place, member.edge, touched);
        }
        receivers
    }
}

/// The parts from the first beginning of a message on.
pub(super) fn from_first(parts: &[Part]) -> &[Part] {
    let first = parts.iter().position(Part::is_first);
    &parts[first.unwrap_or(parts.len())..]
}
