//! A channel has an owner and members. A room has only members.
//!
//! All of a channel's state is behind one lock that is held for a push into outboxes and nothing
//! longer. Every change and every message is ordered by that lock, so each receiver learns of a
//! member before its first message and hears nothing of it after its end.

mod creation;
mod operators;
mod state;
mod succession;

use crate::command::{Ban, ChannelEvent, EnterOptions, Entered, Event, Mode, OwnerNews};
use crate::delivery::{Sent, Shared, send_one};
use crate::endpoint::{Endpoint, PendingWrites, Reception, Sending};
use crate::gathering::Gathering;
use crate::ids::{ChannelName, JoinedChannelId, MemberNumber, PeerId};
use crate::ledger::Made;
use crate::limit::Limit;
use crate::metrics::Metrics;
use crate::outbox::Tag;
use crate::presence;
use crate::reason::Reason;
use crate::rules::ChannelRule;
use crate::wire::{Edge, Framing, Part, Place};
use bytes::Bytes;
pub(crate) use creation::NewChannel;
pub use operators::{ChannelInfo, ChannelOf, Participant, Whom};
use state::{Applicant, Banned, Begun, Member, State, from_first};
use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, Instant};
use subtle::ConstantTimeEq;
pub(crate) use succession::Transfer;

/// A channel or room of the hub.
pub struct Channel {
    /// Its name.
    pub name: ChannelName,
    /// Whether it belongs to the hub.
    pub room: bool,
    /// Whether a room stays when its last member leaves.
    pub(crate) declared: bool,
    mode: Mode,
    /// When it was made; `None` for one that is as old as the hub.
    since: Option<Instant>,
    password: Option<Bytes>,
    approve: bool,
    members_max: u32,
    pending_max: usize,
    bans_max: usize,
    /// The rule for channels with this name.
    pub(crate) rule: Option<Arc<ChannelRule>>,
    /// The account that is charged for it.
    _made: Made,
    /// Whether some member has, or had, another channel as well.
    mixed: AtomicBool,
    state: Mutex<State>,
}

/// How members are kicked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expulsion<'a> {
    pub(crate) now: Instant,
    pub(crate) ban: Option<Ban>,
    /// Whether the ban is recorded already.
    pub(crate) noted: bool,
    pub(crate) metrics: &'a Metrics,
}

/// A member was kicked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Expelled {
    /// The peer that a ban by address bans only by its id, because many share the address.
    pub(crate) by_id_alone: Option<PeerId>,
}

/// Whether a session of the same address holds what a new session requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Nearby {
    /// Nobody.
    Nobody,
    /// A session all of whose input is executed, or is just being executed.
    Quiet,
    /// A session that may be about to release it.
    Leaving,
}

/// Which members a broadcast is for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Audience {
    AllBut(Option<MemberNumber>),
    Only(MemberNumber),
}

impl Channel {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }

    /// Whether no member has another channel, so that nobody sees the order between messages to
    /// this channel and to another such one.
    pub(crate) fn is_apart(&self) -> bool {
        // A stale answer is about members that have only just come.
        !self.mixed.load(Ordering::Relaxed)
    }

    /// Some member has another channel as well. This stays set when the member leaves.
    pub(crate) fn mix(&self) {
        self.mixed.store(true, Ordering::Relaxed);
    }

    /// The limit of its members.
    pub(crate) fn members_limit(&self) -> Limit {
        let ruled = self.rule.as_ref().and_then(|rule| rule.members_max);
        match self.room {
            _ if ruled == Some(self.members_max) => Limit::RuleMembers,
            true => Limit::RoomMembers,
            false => Limit::Members,
        }
    }

    /// The number of members.
    pub fn members(&self) -> usize {
        self.lock().members.len()
    }

    /// Lets an endpoint in, or asks the owner about it and returns `None`.
    ///
    /// The order of the checks is the one of docs/peote.md, section 3.2; what is native comes between.
    pub(crate) fn enter(
        &self,
        now: Instant,
        endpoint: &Arc<Endpoint>,
        seat: Option<(JoinedChannelId, Tag)>,
        request: u32,
        options: EnterOptions,
        writes: &mut PendingWrites,
    ) -> Result<Option<MemberNumber>, Reason> {
        let mut state = self.lock();
        if state.ended {
            return Err(Reason::NoSuchName);
        }
        if state.is_owner(endpoint) {
            return Err(Reason::OwnChannel);
        }
        state.check_ban(now, endpoint)?;
        self.check_password(&options)?;
        if self.is_full(&state) {
            return Err(Reason::Full);
        }
        let (number, tag) = seat.ok_or(Reason::TooManyChannels)?;
        let ticket = state.next_ticket;
        // What may wait for the owner's decision must not keep alive the read that it came in.
        let options = match self.approve {
            true => EnterOptions {
                credentials: Bytes::copy_from_slice(&options.credentials),
                password: None,
                ..options
            },
            false => options,
        };
        let applicant =
            Applicant { ticket, endpoint: endpoint.clone(), number, tag, request, options };
        if !self.approve {
            return Ok(Some(self.admit(&mut state, applicant, writes)));
        }
        if state.pending.len() >= self.pending_max {
            return Err(Reason::TooManyPending);
        }
        state.next_ticket = ticket.wrapping_add(1);
        if let Some(owner) = &state.owner {
            let credentials = Box::from(&*applicant.options.credentials);
            let peer = endpoint.known_peer();
            owner.tell(
                ChannelEvent::Knock { channel: owner.number, ticket, peer, credentials },
                writes,
            );
        }
        state.pending.push(applicant);
        Ok(None)
    }

    /// Whether the owner's outbox takes the event of an entry.
    pub(crate) fn reception(&self, entering: &Arc<Endpoint>) -> Reception {
        let state = self.lock();
        let owner = state.owner.as_ref().map(|owner| &owner.endpoint);
        let owner = owner.filter(|owner| owner.id != entering.id);
        owner.map_or(Reception::Taken, |owner| owner.reception(entering))
    }

    /// Whether somebody of the address of a new session has what that one wants: the channel itself, or a
    /// member number. Those who follow each other on purpose speak the same protocol.
    pub(crate) fn nearby(&self, new: &Arc<Endpoint>, create: bool) -> Nearby {
        let state = self.lock();
        let is_near = |one: &Arc<Endpoint>| {
            one.address == new.address && one.profile.name == new.profile.name && one.id != new.id
        };
        let owner = state.owner.as_ref().map(|owner| &owner.endpoint);
        if create {
            // It is refused otherwise, so waiting costs nobody anything.
            return if owner.is_some_and(is_near) { Nearby::Leaving } else { Nearby::Nobody };
        }
        // Only such owners rely on numbers, and they have few members.
        let counts = owner.is_some_and(|owner| owner.profile.name == new.profile.name);
        if !counts && !self.is_full(&state) {
            return Nearby::Nobody;
        }
        let members = state.neighbours(new.address).map(|member| &member.endpoint);
        let near = members.filter(|one| is_near(one)).map(|one| match one.unread() {
            true => Nearby::Leaving,
            false => Nearby::Quiet,
        });
        near.max().unwrap_or(Nearby::Nobody)
    }

    fn is_full(&self, state: &State) -> bool {
        state.members.len() as u64 >= u64::from(self.members_max)
    }

    fn check_password(&self, options: &EnterOptions) -> Result<(), Reason> {
        let Some(password) = &self.password else {
            return Ok(());
        };
        let given = options.password.as_deref().unwrap_or_default();
        if bool::from(given.ct_eq(password)) { Ok(()) } else { Err(Reason::WrongPassword) }
    }

    fn admit(
        &self,
        state: &mut State,
        applicant: Applicant,
        writes: &mut PendingWrites,
    ) -> MemberNumber {
        let Applicant { endpoint, number, tag, request, options, .. } = applicant;
        let framing = endpoint.profile.framing;
        let (edge, mode, replies) = match &state.owner {
            // An owner whose protocol has no borders cannot say how it frames: the member does.
            Some(owner) if owner.endpoint.profile.framing == Framing::Pieces => {
                (Edge::between(Framing::Pieces, framing, options.mode), options.mode, false)
            }
            owner => {
                let replies = owner.is_some() && framing == Framing::Messages;
                (Edge::between(Framing::Messages, framing, self.mode), self.mode, replies)
            }
        };
        let silent = options.silent;
        let presence = self.room && options.presence && !silent;
        let peer = endpoint.known_peer();
        let late = state.midway.is_some();
        let member = Member {
            endpoint: endpoint.clone(),
            number,
            tag,
            edge,
            presence,
            fresh: presence,
            midway: false,
            gathering: Gathering::default(),
            behind: false,
            late,
            silent,
        };
        let member = state.add_member(member);
        state.late += usize::from(late);
        state.hearers += usize::from(presence);
        state.fresh += usize::from(presence);
        let (chunk, room) = (edge.chunk(), self.room);
        let entered = Entered { request, channel: number, member, mode, chunk, replies, room };
        endpoint.push_event(tag, Event::Channel(ChannelEvent::Entered(entered)), writes);
        if state.away {
            let away =
                Event::Channel(ChannelEvent::Owner { channel: number, news: OwnerNews::Away });
            endpoint.push_event(tag, away, writes);
        }
        match &state.owner {
            Some(owner) => {
                let channel = owner.number;
                owner.tell(
                    ChannelEvent::MemberEntered { channel, member, peer, chunk, replies },
                    writes,
                );
            }
            None if state.hearers > 0 && !silent => state.changes.came(member.0),
            None => {}
        }
        member
    }

    /// In a room: tells what is new to those who asked for presence, now or later. Later `tell_news` has
    /// to be called after the time that this gives. `gathers` says whether somebody will.
    pub(crate) fn settle_news(
        &self,
        gathers: bool,
        writes: &mut PendingWrites,
    ) -> Option<Duration> {
        let mut state = self.lock();
        if state.due || !state.has_news() {
            return None;
        }
        let delay = presence::delay(state.members.len()).filter(|_| gathers);
        match delay {
            Some(_) => state.due = true,
            None => state.tell_news(writes),
        }
        delay
    }

    /// The number of members that asked for presence.
    pub(crate) fn hearers(&self) -> usize {
        self.lock().hearers
    }

    /// In a room: tells the news to the members that asked for presence.
    pub(crate) fn tell_news(&self, writes: &mut PendingWrites) {
        let mut state = self.lock();
        state.due = false;
        state.tell_news(writes);
    }

    /// Handles the owner's answer to a knock. Returns whether a member entered.
    pub(crate) fn decide(&self, ticket: u32, admit: bool, writes: &mut PendingWrites) -> bool {
        let mut state = self.lock();
        let Some(index) = state.pending.iter().position(|a| a.ticket == ticket) else {
            return false;
        };
        let applicant = state.pending.remove(index);
        let full = self.is_full(&state);
        match (admit, full) {
            (true, false) => {
                self.admit(&mut state, applicant, writes);
                return true;
            }
            (true, true) => applicant.refuse(Reason::Full, writes),
            (false, _) => applicant.refuse(Reason::NotAdmitted, writes),
        }
        false
    }

    /// Somebody about whom the owner was asked goes, whether admitted meanwhile or not. Gives
    /// whether it was a member.
    pub(crate) fn withdraw(
        &self,
        endpoint: &Arc<Endpoint>,
        tag: Tag,
        reason: Reason,
        writes: &mut PendingWrites,
    ) -> bool {
        let mut state = self.lock();
        let is_it = |a: &Applicant| a.tag == tag && a.endpoint.id == endpoint.id;
        if let Some(waiting) = state.pending.iter().position(is_it) {
            // Not through all members, who may be many.
            state.pending.remove(waiting);
            return false;
        }
        let member =
            state.members.iter().find(|(_, m)| m.tag == tag && m.endpoint.id == endpoint.id);
        let member = member.map(|(member, _)| MemberNumber(member));
        member.is_some_and(|member| state.remove(member, reason, writes))
    }

    /// Handles a member that leaves. Returns whether it was one.
    pub(crate) fn leave(
        &self,
        endpoint: &Arc<Endpoint>,
        member: MemberNumber,
        reason: Reason,
        writes: &mut PendingWrites,
    ) -> bool {
        let mut state = self.lock();
        state.member(member, endpoint).is_some() && state.remove(member, reason, writes)
    }

    /// Kicks a member for the owner. Returns the result, if there was such a member.
    pub(crate) fn kick(
        &self,
        member: MemberNumber,
        expulsion: &Expulsion<'_>,
        writes: &mut PendingWrites,
    ) -> Option<Expelled> {
        self.throw_out(&mut self.lock(), member, expulsion, writes)
    }

    fn throw_out(
        &self,
        state: &mut State,
        member: MemberNumber,
        expulsion: &Expulsion<'_>,
        writes: &mut PendingWrites,
    ) -> Option<Expelled> {
        let Expulsion { now, ban, noted, metrics } = *expulsion;
        let gone = state.members.get(member.0)?;
        let reason = if ban.is_some() { Reason::Banned } else { Reason::Kicked };
        gone.tell(ChannelEvent::Ended { channel: gone.number, reason }, writes);
        let mut by_id_alone = None;
        if let Some(ban) = ban.filter(|_| !noted) {
            let address = gone.endpoint.known_by.filter(|_| ban.address);
            let peer = gone.endpoint.known_peer().id;
            if ban.address && address.is_none() {
                metrics.bans_without_address.inc();
                by_id_alone = Some(peer);
            }
            let until = ban.time.and_then(|time| now.checked_add(time));
            let banned = Banned { peer: Some(peer), address, until };
            self.note_ban(state, banned, metrics, writes);
        }
        state.remove(member, reason, writes);
        Some(Expelled { by_id_alone })
    }

    fn note_ban(
        &self,
        state: &mut State,
        banned: Banned,
        metrics: &Metrics,
        writes: &mut PendingWrites,
    ) {
        if state.ban(banned, self.bans_max, writes) {
            metrics.hit(Limit::Bans);
        }
    }

    /// Lifts the bans of a peer.
    pub(crate) fn unban(&self, peer: PeerId) {
        self.lock().forget_bans(|ban| ban.peer == Some(peer));
    }

    /// Ends the channel for all. `tell` says whether the owner has to hear of it: its session ends if it cannot.
    /// Returns the number of its members.
    pub(crate) fn end(&self, reason: Reason, tell: bool, writes: &mut PendingWrites) -> usize {
        let mut state = self.lock();
        state.ended = true;
        // A question about it is answered even now.
        state.forget_successor(Reason::NoSuchName, writes);
        if let Some(owner) = state.owner.take() {
            owner.endpoint.release_senders();
            match tell {
                true if owner.endpoint.deletes() => {
                    owner.tell(ChannelEvent::Deleted { channel: owner.number, reason }, writes);
                }
                true => owner.endpoint.end_soon(reason),
                false => {}
            }
        }
        let count = state.dismiss(reason, writes);
        for applicant in std::mem::take(&mut state.pending) {
            applicant.refuse(Reason::NoSuchName, writes);
        }
        count
    }

    /// Throws all members out of a room. Returns their number.
    pub(crate) fn empty(&self, reason: Reason, writes: &mut PendingWrites) -> usize {
        self.lock().dismiss(reason, writes)
    }

    /// Ends a room in which nobody is, but for those that only speak, who are told by [`Channel::end`]. Returns whether it
    /// has ended.
    pub(crate) fn end_if_unused(&self) -> bool {
        let mut state = self.lock();
        state.ended |= state.is_unused();
        state.ended
    }

    /// Sends from the owner to one member or many.
    pub(crate) fn send_down(
        &self,
        mut sending: Sending<'_>,
        audience: Audience,
        parts: &[Part],
        writes: &mut PendingWrites,
    ) -> Sent {
        let framing = sending.from.profile.framing;
        let mut state = self.lock();
        if let Some(refused) = self.too_large(framing, parts, self.mode) {
            return refused;
        }
        match audience {
            Audience::Only(number) => {
                let member = state.members.get_mut(number.0).filter(|member| !member.silent);
                let Some(member) = member else {
                    return Sent::To(0);
                };
                let parts = match member.midway {
                    true => parts,
                    false => from_first(parts),
                };
                let Some(last) = parts.last() else {
                    return Sent::To(0);
                };
                let (endpoint, place, edge) =
                    (&member.endpoint, Place::In(member.number), member.edge);
                let gathering = Some(&mut member.gathering);
                let sent = send_one(endpoint, &mut sending, place, edge, parts, gathering, writes);
                if matches!(sent, Sent::To(_)) {
                    member.midway = !last.is_last();
                }
                sent
            }
            Audience::AllBut(except) => {
                let state = &mut *state;
                let continues = !state.down.is_empty();
                let whole = match state.members.iter().any(|(_, member)| member.is_whole()) {
                    true => match state.down.receive(sending.from.account(), parts) {
                        Ok(whole) => whole,
                        Err(refused) => return refused.into(),
                    },
                    false => Vec::new(),
                };
                state.make_room(parts);
                // The first was begun before those came who are late.
                let whole_for_late = whole.get(usize::from(continues)..).unwrap_or_default();
                let [mut shared, mut for_late, mut shared_whole, mut for_late_whole] =
                    [parts, from_first(parts), &whole, whole_for_late]
                        .map(|parts| Shared::new(&state.common, parts));
                let mut receivers = 0;
                for (number, member) in state.members.iter() {
                    let number = MemberNumber(number);
                    // A sender of pieces gives those who see messages theirs one by one.
                    let translated = framing == Framing::Pieces && member.edge != Edge::Direct;
                    if translated || except == Some(number) || member.silent {
                        continue;
                    }
                    let place = Place::In(member.number);
                    let shared = match (member.is_whole(), member.late) {
                        (false, false) => &mut shared,
                        (false, true) => &mut for_late,
                        (true, false) => &mut shared_whole,
                        (true, true) => &mut for_late_whole,
                    };
                    receivers += shared.push(
                        &member.endpoint,
                        (place, member.edge),
                        &mut state.tails,
                        writes,
                    );
                }
                if parts.iter().any(Part::is_first) {
                    state.forget_late();
                }
                let begun = parts.last().is_some_and(|part| !part.is_last());
                state.midway = begun.then_some(Begun { except });
                Sent::To(receivers)
            }
        }
    }

    /// Sends from a member to the owner, or in a room to all others.
    pub(crate) fn send_up(
        &self,
        mut sending: Sending<'_>,
        member: MemberNumber,
        parts: &[Part],
        writes: &mut PendingWrites,
    ) -> Sent {
        let sender = sending.from;
        let mut state = self.lock();
        let Some(from) = state.member(member, sender) else {
            return Sent::To(0);
        };
        let (edge, parts) = (from.edge, from.fit(parts));
        if parts.is_empty() {
            return Sent::To(0);
        }
        let mode = match edge {
            Edge::Chunked(bytes_max) => Mode::Chunk { bytes_max },
            Edge::Direct => self.mode,
        };
        if let Some(refused) = self.too_large(sender.profile.framing, parts, mode) {
            return refused;
        }
        let State { owner: Some(owner), members, .. } = &mut *state else {
            return match state.share(member, sender.account(), parts, self.mode, writes) {
                Ok(receivers) => Sent::To(receivers),
                Err(refused) => refused.into(),
            };
        };
        let place = Place::Own(owner.number, member);
        let sent = send_one(&owner.endpoint, &mut sending, place, edge, parts, None, writes);
        if matches!(sent, Sent::To(_))
            && let Some(from) = members.get_mut(member.0)
        {
            from.behind = false;
        }
        sent
    }

    /// Refuses a message that is larger than the rule for the channel allows, or than one chunk where
    /// chunks are used.
    fn too_large(&self, framing: Framing, parts: &[Part], mode: Mode) -> Option<Sent> {
        let above = |most| parts.iter().any(|part| part.total > most);
        let ruled = self.rule.as_ref().and_then(|rule| rule.message_bytes_max);
        if ruled.is_some_and(above) {
            return Some(Sent::Refused(Reason::TooLarge, Some(Limit::RuleMessageBytes)));
        }
        match mode {
            Mode::Chunk { bytes_max } if framing == Framing::Messages && above(bytes_max) => {
                // The owner of a channel chooses its chunks, which is no limit of the hub.
                let limit = self.room.then_some(Limit::RoomChunkBytes);
                Some(Sent::Refused(Reason::TooLarge, limit))
            }
            _ => None,
        }
    }
}

impl fmt::Debug for Channel {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Channel")
            .field("name", &self.name)
            .field("room", &self.room)
            .finish_non_exhaustive()
    }
}

/// Counts memberships in a hub's metrics.
pub(crate) fn count_members(metrics: &Metrics, came: usize, gone: usize) {
    let difference = came as i64 - gone as i64;
    metrics.members.inc_by(difference);
}
