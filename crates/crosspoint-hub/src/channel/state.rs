//! The members of a channel, and its bans.

use crate::command::{ChannelEvent, EnterOptions, Event, Mode};
use crate::delivery::{ChannelTails, Shared};
use crate::endpoint::{Endpoint, PendingWrites};
use crate::gathering::{Gathering, Unfinished};
use crate::ids::{JoinedChannelId, MemberNumber, OwnedChannelId, PeerId};
use crate::ledger::{Account, Charge, Common};
use crate::outbox::Tag;
use crate::presence::{Changes, News, OtherNews};
use crate::reason::Reason;
use crate::slots::Slots;
use crate::wire::{Edge, Part, Place};
use std::cmp::Reverse;
use std::collections::{BTreeSet, HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

pub(super) struct State {
    /// `None` in rooms, and after the end.
    pub(super) owner: Option<Owner>,
    pub(super) ended: bool,
    /// Whether the owner's connection is away.
    pub(super) away: bool,
    pub(super) successor: Option<Successor>,
    /// The number of nominations so far.
    pub(super) nominations: u32,
    pub(super) members: Slots<Member>,
    /// Those of them whose protocol settles ([`Profile::settle`](crate::wire::Profile::settle)), by their
    /// addresses.
    neighbours: BTreeSet<(Option<IpAddr>, u32)>,
    /// The unfinished message of the owner to many members.
    pub(super) midway: Option<Begun>,
    /// The number of late members, see [`Member::late`].
    pub(super) late: usize,
    /// Those about whom the owner was asked. Tickets are not used twice, so that a late answer
    /// never lets somebody else in.
    pub(super) pending: Vec<Applicant>,
    pub(super) next_ticket: u32,
    /// The charge for the channel, including its bans.
    pub(super) stored: Charge,
    /// Oldest first.
    pub(super) bans: VecDeque<Banned>,
    /// The data that waits for members, charged once.
    pub(super) common: Common,
    /// Small data that waits for members that lag.
    pub(super) tails: ChannelTails,
    /// In rooms: messages of which not all parts have come, by sender. A room's receivers may be
    /// unable to tell senders apart, so parts of two messages must not be mixed.
    pub(super) gathering: HashMap<u32, Gathering>,
    /// In channels: the message of the owner to many, for members that need whole messages.
    pub(super) down: Gathering,
    /// In rooms: the changes since the members with presence were last told.
    pub(super) changes: Changes,
    /// The number of members with presence that have come since, and were not told who is present.
    pub(super) fresh: usize,
    /// The number of members that asked for presence.
    pub(super) hearers: usize,
    /// The number of members that only speak.
    silent: usize,
    /// The delivery of the news is scheduled.
    pub(super) due: bool,
}

/// A message to many of which not all parts have arrived.
#[derive(Debug, Clone, Copy)]
pub(super) struct Begun {
    /// The member that does not get it.
    pub(super) except: Option<MemberNumber>,
}

pub(super) struct Owner {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) number: OwnedChannelId,
    pub(super) tag: Tag,
}

pub(super) struct Member {
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) number: JoinedChannelId,
    pub(super) tag: Tag,
    pub(super) edge: Edge,
    pub(super) presence: bool,
    /// It asked for presence, and was not told yet who is present.
    pub(super) fresh: bool,
    /// Whether it has the beginning of a message that the owner sends to it alone. Without it, a
    /// rest is for who had the number before.
    pub(super) midway: bool,
    /// That beginning, if the member needs whole messages.
    pub(super) gathering: Gathering,
    /// What it sends may go on with what it began for a former owner, up to the first beginning.
    pub(super) behind: bool,
    /// It entered in the middle of a message of the owner to many, and must not get the rest.
    pub(super) late: bool,
    /// It only speaks.
    pub(super) silent: bool,
}

/// The member that an owner has nominated.
pub(super) struct Successor {
    pub(super) member: MemberNumber,
    /// The number of this nomination, because an answer may arrive when another one is pending.
    pub(super) nomination: u32,
    /// The owner's command, whose answer is pending.
    pub(super) request: Option<u32>,
    /// The number of the channel in the member's session, once the session has reserved it.
    pub(super) seat: Option<(OwnedChannelId, Tag)>,
}

pub(super) struct Applicant {
    pub(super) ticket: u32,
    pub(super) endpoint: Arc<Endpoint>,
    pub(super) number: JoinedChannelId,
    pub(super) tag: Tag,
    pub(super) request: u32,
    pub(super) options: EnterOptions,
}

impl Owner {
    pub(super) fn tell(&self, event: impl Into<Event>, writes: &mut PendingWrites) {
        let event = event.into();
        self.endpoint.push_event(self.tag, event, writes);
    }
}

impl Member {
    /// Whether it needs whole messages.
    pub(super) fn is_whole(&self) -> bool {
        self.endpoint.profile.whole
    }

    /// The address by which it is found, if its protocol settles.
    fn neighbour(&self) -> Option<Option<IpAddr>> {
        (!self.endpoint.profile.settle.is_zero()).then_some(self.endpoint.address)
    }

    /// The parts of it that are for the present owner.
    pub(super) fn fit<'a>(&self, parts: &'a [Part]) -> &'a [Part] {
        if self.behind { from_first(parts) } else { parts }
    }

    pub(super) fn tell(&self, event: impl Into<Event>, writes: &mut PendingWrites) {
        let event = event.into();
        self.endpoint.push_event(self.tag, event, writes);
    }
}

impl Applicant {
    pub(super) fn refuse(&self, reason: Reason, writes: &mut PendingWrites) {
        let event = Event::Refused { request: self.request, create: false, reason };
        self.endpoint.push_event(self.tag, event, writes);
    }
}

pub(super) struct Banned {
    pub(super) peer: Option<PeerId>,
    pub(super) address: Option<IpAddr>,
    pub(super) until: Option<Instant>,
}

impl Banned {
    /// Whether it bans a session.
    fn is_of(&self, endpoint: &Endpoint) -> bool {
        self.peer.is_some_and(|peer| endpoint.known_peer().id == peer)
            || self.address.is_some_and(|address| endpoint.known_by == Some(address))
    }
}

impl State {
    pub(super) fn new(owner: Option<Owner>, common: Common, stored: Charge) -> Self {
        Self {
            common,
            tails: ChannelTails::default(),
            stored,
            down: Gathering::default(),
            away: owner.as_ref().is_some_and(|owner| owner.endpoint.is_told_away()),
            successor: None,
            nominations: 0,
            owner,
            ended: false,
            members: Slots::default(),
            neighbours: BTreeSet::new(),
            midway: None,
            late: 0,
            pending: Vec::new(),
            next_ticket: 0,
            bans: VecDeque::new(),
            gathering: HashMap::new(),
            changes: Changes::default(),
            fresh: 0,
            hearers: 0,
            silent: 0,
            due: false,
        }
    }

    /// Throws all members out, and forgets what was about them. Returns their number.
    pub(super) fn dismiss(&mut self, reason: Reason, writes: &mut PendingWrites) -> usize {
        self.gathering = HashMap::new();
        self.down = Gathering::default();
        self.changes = Changes::default();
        (self.late, self.hearers, self.fresh) = (0, 0, 0);
        let count = self.members.len();
        for member in self.take_members() {
            member.tell(ChannelEvent::Ended { channel: member.number, reason }, writes);
        }
        count
    }

    /// Whether this session owns the channel.
    pub(super) fn is_owner(&self, endpoint: &Endpoint) -> bool {
        self.owner.as_ref().is_some_and(|owner| owner.endpoint.id == endpoint.id)
    }

    /// A member, if this session is the one with that number.
    pub(super) fn member(
        &mut self,
        member: MemberNumber,
        endpoint: &Endpoint,
    ) -> Option<&mut Member> {
        self.members.get_mut(member.0).filter(|member| member.endpoint.id == endpoint.id)
    }

    /// Another message begins, or none continues: no member is late any more.
    pub(super) fn forget_late(&mut self) {
        if std::mem::take(&mut self.late) > 0 {
            self.members.iter_mut().for_each(|(_, member)| member.late = false);
        }
    }

    pub(super) fn check_ban(&mut self, now: Instant, endpoint: &Endpoint) -> Result<(), Reason> {
        self.forget_bans(|ban| ban.until.is_some_and(|until| until <= now));
        match self.bans.iter().any(|ban| ban.is_of(endpoint)) {
            true => Err(Reason::Banned),
            false => Ok(()),
        }
    }

    /// Keeps somebody out, and refuses those that it is about who wait for the owner's decision. Gives whether the
    /// oldest ban was forgotten for this one.
    pub(super) fn ban(
        &mut self,
        banned: Banned,
        bans_max: usize,
        writes: &mut PendingWrites,
    ) -> bool {
        let refused = self.pending.extract_if(.., |applicant| banned.is_of(&applicant.endpoint));
        refused.for_each(|applicant| applicant.refuse(Reason::Banned, writes));
        let full = self.bans.len() >= bans_max;
        if full && self.bans.pop_front().is_some() {
            self.stored.resize(self.stored.bytes() - size_of::<Banned>());
        }
        self.bans.push_back(banned);
        self.stored.resize(self.stored.bytes() + size_of::<Banned>());
        full
    }

    /// Returns how many were forgotten.
    pub(super) fn forget_bans(&mut self, forgotten: impl Fn(&Banned) -> bool) -> usize {
        let before = self.bans.len();
        self.bans.retain(|ban| !forgotten(ban));
        let gone = before - self.bans.len();
        if gone > 0 {
            self.bans.shrink_to_fit();
            self.stored.resize(self.stored.bytes() - gone * size_of::<Banned>());
        }
        gone
    }

    /// In a room: whether there is news for the members that asked for presence.
    pub(super) fn has_news(&self) -> bool {
        !self.changes.is_empty() || self.fresh > 0
    }

    /// In a room: those who asked for presence hear what is new, and those who have come since who is
    /// there.
    pub(super) fn tell_news(&mut self, writes: &mut PendingWrites) {
        if !self.has_news() {
            return;
        }
        let changes = std::mem::take(&mut self.changes);
        let holder = |number| {
            let holder = self.members.get(number).filter(|holder| !holder.silent)?;
            Some((holder.endpoint.id, holder.endpoint.known_peer()))
        };
        let since = News::new(changes.news(holder), self.common.payer());
        let mut there = None;
        if std::mem::take(&mut self.fresh) > 0 {
            let seen = self.members.iter().filter(|(_, member)| !member.silent);
            let all = seen.map(|(number, member)| OtherNews {
                member: MemberNumber(number),
                news: Ok(member.endpoint.known_peer()),
            });
            there = Some(News::new(all.collect(), self.common.payer()));
        } else if since.list.is_empty() {
            return;
        }
        let seen = self.members.iter_mut().filter(|(_, member)| !member.silent);
        for (index, (_, member)) in seen.enumerate() {
            let fresh = std::mem::take(&mut member.fresh);
            let (news, but) = match &there {
                Some(there) if fresh => (there, Some(index)),
                _ => (&since, None),
            };
            // Who is alone with itself hears nothing.
            let told = news.list.len() > usize::from(but.is_some());
            if member.presence && told {
                let (channel, news) = (member.number, news.clone());
                member.tell(ChannelEvent::Others { channel, news, but }, writes);
            }
        }
    }

    /// Puts a member under the lowest free number.
    pub(super) fn add_member(&mut self, member: Member) -> MemberNumber {
        let neighbour = member.neighbour();
        self.silent += usize::from(member.silent);
        let number = self.members.insert(member);
        self.neighbours.extend(neighbour.map(|address| (address, number)));
        MemberNumber(number)
    }

    /// Removes a member without telling anybody.
    pub(super) fn take_member(&mut self, number: u32) -> Option<Member> {
        let member = self.members.remove(number)?;
        self.silent -= usize::from(member.silent);
        if let Some(address) = member.neighbour() {
            self.neighbours.remove(&(address, number));
        }
        Some(member)
    }

    /// Removes all members without telling anybody.
    pub(super) fn take_members(&mut self) -> Vec<Member> {
        self.neighbours = BTreeSet::new();
        self.silent = 0;
        self.members.take().map(|(_, member)| member).collect()
    }

    /// Whether nobody is there, but for those that only speak.
    pub(super) fn is_unused(&self) -> bool {
        self.members.len() == self.silent
    }

    /// The members of an address whose protocol settles.
    pub(super) fn neighbours(&self, address: Option<IpAddr>) -> impl Iterator<Item = &Member> {
        let near = self.neighbours.range((address, 0)..=(address, u32::MAX));
        near.filter_map(|(_, number)| self.members.get(*number))
    }

    /// Nobody is the owner's successor any more. If the owner still waits to hear whether somebody
    /// is, it is told this reason.
    pub(super) fn forget_successor(&mut self, reason: Reason, writes: &mut PendingWrites) {
        let Some(Successor { member, request, .. }) = self.successor.take() else {
            return;
        };
        if let Some(member) = self.members.get(member.0) {
            member
                .tell(ChannelEvent::Nominated { channel: member.number, nomination: None }, writes);
        }
        if let (Some(owner), Some(request)) = (&self.owner, request) {
            let refused = Event::Refused { request, create: false, reason };
            owner.endpoint.push_event(Tag::default(), refused, writes);
        }
    }

    /// Whether the owner has nominated this member.
    pub(super) fn is_heir(&self, member: MemberNumber) -> bool {
        self.successor.as_ref().is_some_and(|successor| successor.member == member)
    }

    /// Removes a member and tells the owner, or notes it for the others. Returns whether there was one.
    pub(super) fn remove(
        &mut self,
        member: MemberNumber,
        reason: Reason,
        writes: &mut PendingWrites,
    ) -> bool {
        let Some(gone) = self.take_member(member.0) else {
            return false;
        };
        self.late -= usize::from(gone.late);
        self.hearers -= usize::from(gone.presence);
        self.fresh -= usize::from(gone.fresh);
        if self.is_heir(member) {
            self.forget_successor(Reason::NoSuchPeer, writes);
        }
        self.gathering.remove(&member.0);
        if self.gathering.is_empty() {
            self.gathering = HashMap::new();
        }
        match &self.owner {
            Some(owner) => {
                let channel = owner.number;
                owner.tell(ChannelEvent::MemberLeft { channel, member, reason }, writes);
            }
            // A hub that stops says so to each, and no more.
            None if reason == Reason::HubStopping || gone.silent => {}
            None if self.hearers > 0 => self.changes.went(member.0, gone.endpoint.id, reason),
            None => {}
        }
        true
    }

    /// In a room: messages go to all others, whole ones where they have borders. Gives how many
    /// receivers there were.
    ///
    /// # Errors
    /// The error of the sender.
    pub(super) fn share(
        &mut self,
        sender: MemberNumber,
        account: &Arc<Account>,
        parts: &[Part],
        mode: Mode,
        writes: &mut PendingWrites,
    ) -> Result<usize, Unfinished> {
        // They hear of each other before the first message.
        self.tell_news(writes);
        let hears = |(number, member): &(u32, &Member)| *number != sender.0 && !member.silent;
        let others = || self.members.iter().filter(hears);
        let whole = match mode == Mode::Raw && !others().any(|(_, member)| member.is_whole()) {
            true => None,
            false => {
                let gathering = self.gathering.entry(sender.0).or_default();
                let whole = gathering.receive(account, parts);
                if gathering.is_empty() {
                    self.gathering.remove(&sender.0);
                }
                Some(whole?)
            }
        };
        self.make_room(parts);
        let messages = whole.as_deref().unwrap_or_default();
        let in_parts = if mode == Mode::Raw { parts } else { messages };
        let mut shared = [messages, in_parts].map(|parts| Shared::new(&self.common, parts));
        let mut receivers = 0;
        for (_, member) in self.members.iter().filter(hears) {
            let place = Place::Room(member.number, sender);
            let shared = &mut shared[usize::from(!member.is_whole())];
            let to = (place, member.edge);
            receivers += shared.push(&member.endpoint, to, &mut self.tails, writes);
        }
        Ok(receivers)
    }

    /// Makes room for new data in the channel's budget by ending the members that lag most.
    pub(super) fn make_room(&self, parts: &[Part]) {
        let bytes = parts.iter().map(|part| part.data.len()).sum();
        if !self.common.exceeds(bytes) {
            return;
        }
        // What waits for those that only speak is from elsewhere.
        let hearers = self.members.iter().filter(|(_, member)| !member.silent);
        let lags = hearers.map(|(_, member)| (member.endpoint.lag(), &member.endpoint));
        let mut lags: Vec<_> = lags.filter(|(lag, _)| *lag > 0).collect();
        lags.sort_by_key(|(lag, endpoint)| (Reverse(*lag), endpoint.id));
        for (_, endpoint) in lags {
            if !self.common.exceeds(bytes) {
                return;
            }
            endpoint.give_up(self.common.limit());
        }
    }
}

/// The parts from the first beginning of a message.
pub(super) fn from_first(parts: &[Part]) -> &[Part] {
    let first = parts.iter().position(Part::is_first);
    &parts[first.unwrap_or(parts.len())..]
}
