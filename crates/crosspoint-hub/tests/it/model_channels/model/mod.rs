//! The naive model: who owns, enters and inherits what, which messages have begun, and what waits
//! for each.

mod messages;
mod succession;

use crosspoint_hub::command::{ChannelEvent, Entered, Event, Mode, OwnerNews, Peer, Target};
use crosspoint_hub::testing::Arrived;
use crosspoint_hub::{JoinedChannelId, MemberNumber, OwnedChannelId, PeerId, Reason};
pub(crate) use messages::Piece;
use messages::SendPath;
use std::collections::{BTreeMap, BTreeSet, HashMap, VecDeque};

pub(crate) const OWNED_MAX: u32 = 2;
pub(crate) const ENTERED_MAX: u32 = 3;
pub(crate) const MEMBERS_MAX: u32 = 3;
/// Claims of one session that may wait.
pub(crate) const WAITING_MAX: usize = 2;
pub(crate) const NAMES: [&str; 4] = ["a", "b", "c", "room"];

/// One holding of a number by one session; never the same twice.
pub(crate) type Seat = u64;

/// What waits to be read.
#[derive(Debug, Clone)]
enum Item {
    /// With the seat that it is about, if any.
    Event(Option<Seat>, Event),
    Data(String),
    /// The owner of a place names the member with this seat, or does so no longer.
    Successor(Seat, u64, Option<u64>),
    /// A create command waited for this.
    Answered {
        request: u32,
        name: usize,
        answer: Result<(), Reason>,
    },
}

#[derive(Debug, Default)]
pub(crate) struct Endpoint {
    id: u64,
    /// Whether its protocol has no borders between messages, and no successors.
    pieces: bool,
    pub(crate) away: bool,
    /// Whether it is away as far as its session has told others.
    told_away: bool,
    owned: BTreeMap<u32, Owned>,
    entered: BTreeMap<u32, (Seat, u64)>,
    /// Messages that it has begun: to whom, and what.
    open: BTreeMap<SendPath, (Target, String)>,
    inbox: VecDeque<Item>,
    /// Its create commands that wait for the answer to a claim, or have it and do not know it yet.
    pub(crate) waiting: usize,
}

#[derive(Debug, Clone, Copy)]
struct Owned {
    seat: Seat,
    place: u64,
    /// It is only the successor, or does not know yet that it has inherited.
    kept: bool,
}

#[derive(Debug)]
struct Member {
    who: usize,
    seat: Seat,
    number: u32,
    /// What others have of a message that it has begun.
    begun: Option<String>,
    /// Whether it has the beginning of a message of the owner.
    midway: bool,
    /// Whether it only speaks.
    silent: bool,
}

#[derive(Debug)]
struct Successor {
    member: u32,
    nomination: u64,
    /// The owner's command, until it is answered.
    request: Option<u32>,
    /// The seat and number that are kept for the place.
    seat: Option<(Seat, u32)>,
}

#[derive(Debug)]
struct Place {
    name: usize,
    /// Index, seat and own number; `None` in rooms.
    owner: Option<(usize, Seat, u32)>,
    /// Whether the members think that the owner is away.
    away: bool,
    successor: Option<Successor>,
    members: BTreeMap<u32, Member>,
    banned: BTreeSet<u64>,
}

impl Place {
    fn new(name: usize, owner: Option<(usize, Seat, u32)>, away: bool) -> Self {
        let (successor, members, banned) = Default::default();
        Self { name, owner, away, successor, members, banned }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    pub(crate) endpoints: Vec<Endpoint>,
    places: HashMap<u64, Place>,
    last: u64,
}

fn lowest<T>(taken: &BTreeMap<u32, T>) -> u32 {
    (0..).find(|number| !taken.contains_key(number)).expect("fewer than 2^32")
}

pub(crate) fn peer_id(id: u64) -> PeerId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    PeerId::new(bytes)
}

/// Appends, joining data: how it is cut says nothing.
pub(crate) fn push(read: &mut Vec<Arrived>, arrived: Arrived) {
    match (read.last_mut(), arrived) {
        (Some(Arrived::Data(last)), Arrived::Data(more)) => {
            *last = [&last[..], &more[..]].concat().into();
        }
        (_, arrived) => read.push(arrived),
    }
}

impl Model {
    pub(crate) fn fresh(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    pub(crate) fn endpoint(id: u64, pieces: bool) -> Endpoint {
        Endpoint { id, pieces, ..Endpoint::default() }
    }

    fn tell(&mut self, who: usize, seat: Option<Seat>, event: impl Into<Event>) {
        let event = event.into();
        self.endpoints[who].inbox.push_back(Item::Event(seat, event));
    }

    pub(crate) fn refuse(&mut self, who: usize, request: u32, create: bool, reason: Reason) {
        self.tell(who, None, Event::Refused { request, create, reason });
    }

    fn place(&self, name: usize) -> Option<u64> {
        let mut places = self.places.iter();
        places.find(|(_, place)| place.name == name).map(|(id, _)| *id)
    }

    pub(crate) fn is_taken(&self, name: usize) -> bool {
        self.place(name).is_some()
    }

    /// A claim is answered. The session that waits for that learns of it when it reads.
    pub(crate) fn answered(
        &mut self,
        who: usize,
        request: u32,
        name: usize,
        answer: Result<(), Reason>,
    ) {
        self.endpoints[who].inbox.push_back(Item::Answered { request, name, answer });
    }

    /// The names of channels that a directory has granted, in order.
    pub(crate) fn granted(&self) -> Vec<String> {
        let owned = self.places.values().filter(|place| place.owner.is_some());
        let inboxes = self.endpoints.iter().flat_map(|endpoint| &endpoint.inbox);
        let unread = inboxes.filter_map(|item| match item {
            Item::Answered { name, answer: Ok(()), .. } => Some(*name),
            _ => None,
        });
        let names = owned.map(|place| place.name).chain(unread);
        let mut names: Vec<String> = names.map(|name| NAMES[name].to_owned()).collect();
        names.sort();
        names
    }

    pub(crate) fn owner(&self, name: usize) -> Option<usize> {
        self.places[&self.place(name)?].owner.map(|(owner, ..)| owner)
    }

    /// A place that an endpoint owns and knows that it does, or thinks so, as the hub has closed it.
    fn thinks_own(&self, who: usize, number: u32) -> Option<u64> {
        let owned = self.endpoints[who].owned.get(&number)?;
        Some(owned.place).filter(|_| !owned.kept)
    }

    /// A place that an endpoint owns and knows that it does.
    fn own(&self, who: usize, number: u32) -> Option<u64> {
        self.thinks_own(who, number).filter(|id| self.places.contains_key(id))
    }

    /// Numbers that an endpoint has for what it owns, or is to inherit.
    pub(crate) fn owned(&self, who: usize) -> Vec<u32> {
        self.endpoints[who].owned.keys().copied().collect()
    }

    /// Numbers that an endpoint has for what it has entered.
    pub(crate) fn entered(&self, who: usize) -> Vec<u32> {
        self.endpoints[who].entered.keys().copied().collect()
    }

    /// Who is in a place of an endpoint.
    pub(crate) fn members(&self, who: usize, own: u32) -> Vec<u32> {
        let place = self.own(who, own).map(|id| &self.places[&id]);
        place.map(|place| place.members.keys().copied().collect()).unwrap_or_default()
    }

    fn peer(&self, who: usize) -> Peer {
        Peer { id: peer_id(self.endpoints[who].id), name: None, protocol: "lines" }
    }

    /// The largest chunk, for those whose protocol has no borders.
    fn chunk(&self, who: usize) -> Option<u32> {
        Some(Mode::CHUNK_BYTES_DEFAULT).filter(|_| self.endpoints[who].pieces)
    }

    fn member_entered(&self, who: usize, channel: u32, member: u32) -> Event {
        let chunk = self.chunk(who);
        Event::Channel(ChannelEvent::MemberEntered {
            channel: OwnedChannelId(channel),
            member: MemberNumber(member),
            peer: self.peer(who),
            chunk,
            replies: chunk.is_none(),
        })
    }

    pub(crate) fn create(&mut self, who: usize, request: u32, name: usize) {
        let me = &self.endpoints[who];
        let (number, away) = (lowest(&me.owned), me.told_away);
        let full = me.owned.len() as u32 >= OWNED_MAX;
        if self.place(name).is_some() {
            return self.refuse(who, request, true, Reason::NameTaken);
        }
        if full {
            return self.refuse(who, request, true, Reason::TooManyChannels);
        }
        let (seat, place) = (self.fresh(), self.fresh());
        self.endpoints[who].owned.insert(number, Owned { seat, place, kept: false });
        self.places.insert(place, Place::new(name, Some((who, seat, number)), away));
        let channel = OwnedChannelId(number);
        self.tell(who, None, ChannelEvent::Created { request, channel });
    }

    pub(crate) fn enter(&mut self, who: usize, request: u32, name: usize, silent: bool) {
        let room = NAMES[name] == "room";
        let place = self.place(name);
        let me = &self.endpoints[who];
        let number = lowest(&me.entered);
        let full = me.entered.len() as u32 >= ENTERED_MAX;
        let twice = |id| me.entered.values().any(|(_, entered)| *entered == id);
        let reason = match place {
            None if !room || silent => Some(Reason::NoSuchName),
            None if me.waiting >= WAITING_MAX => Some(Reason::TooManyPending),
            None => full.then_some(Reason::TooManyChannels),
            Some(id) if twice(id) => Some(Reason::AlreadyEntered),
            Some(_) if me.waiting >= WAITING_MAX => Some(Reason::TooManyPending),
            Some(id) => {
                let place = &self.places[&id];
                if place.owner.is_some_and(|(owner, ..)| owner == who) {
                    Some(Reason::OwnChannel)
                } else if place.banned.contains(&me.id) {
                    Some(Reason::Banned)
                } else if place.members.len() as u32 >= MEMBERS_MAX {
                    Some(Reason::Full)
                } else {
                    full.then_some(Reason::TooManyChannels)
                }
            }
        };
        if let Some(reason) = reason {
            return self.refuse(who, request, false, reason);
        }
        let (seat, fresh) = (self.fresh(), self.fresh());
        let id = place.unwrap_or(fresh);
        let place = self.places.entry(id).or_insert_with(|| Place::new(name, None, false));
        let member = lowest(&place.members);
        let (begun, midway) = (None, false);
        place.members.insert(member, Member { who, seat, number, begun, midway, silent });
        let (owner, away) = (place.owner, place.away);
        self.endpoints[who].entered.insert(number, (seat, id));
        let (channel, chunk) = (JoinedChannelId(number), self.chunk(who));
        let entered = Entered {
            request,
            channel,
            member: MemberNumber(member),
            mode: Mode::default(),
            chunk,
            replies: owner.is_some() && chunk.is_none(),
            room,
        };
        self.tell(who, Some(seat), ChannelEvent::Entered(entered));
        if away {
            self.tell(who, Some(seat), ChannelEvent::Owner { channel, news: OwnerNews::Away });
        }
        if let Some((owner, seat, number)) = owner {
            let event = self.member_entered(who, number, member);
            self.tell(owner, Some(seat), event);
        }
    }

    /// A member is gone; its session has nothing of the membership any more, or is told.
    fn part(&mut self, id: u64, member: u32, reason: Reason, told: bool) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        let Some(Member { who, seat, number, .. }) = place.members.remove(&member) else {
            return;
        };
        let (owner, successor) =
            (place.owner, place.successor.as_ref().map(|successor| successor.member));
        if owner.is_none() && place.members.values().all(|member| member.silent) {
            self.end(id, Reason::ClosedByOwner);
        }
        if told {
            let channel = JoinedChannelId(number);
            self.tell(who, Some(seat), ChannelEvent::Ended { channel, reason });
        }
        if successor == Some(member) {
            self.forget_successor(id, Reason::NoSuchPeer);
        }
        if let Some((owner, seat, number)) = owner {
            let (channel, member) = (OwnedChannelId(number), MemberNumber(member));
            self.tell(owner, Some(seat), ChannelEvent::MemberLeft { channel, member, reason });
        }
    }

    /// The member that a session is by a seat, if it still is.
    fn member(&self, id: u64, seat: Seat) -> Option<u32> {
        let mut members = self.places.get(&id)?.members.iter();
        members.find(|(_, member)| member.seat == seat).map(|(number, _)| *number)
    }

    pub(crate) fn leave(&mut self, who: usize, number: u32) {
        let me = &mut self.endpoints[who];
        me.open.remove(&SendPath::In(number));
        let Some((seat, id)) = me.entered.remove(&number) else {
            return;
        };
        if let Some(member) = self.member(id, seat) {
            self.part(id, member, Reason::Left, false);
        }
        self.let_go(who, id);
    }

    pub(crate) fn delete(&mut self, who: usize, number: u32) {
        if let Some(id) = self.give_up(who, number) {
            self.end(id, Reason::ClosedByOwner);
        }
    }

    fn give_up(&mut self, who: usize, number: u32) -> Option<u64> {
        let id = self.thinks_own(who, number)?;
        let me = &mut self.endpoints[who];
        me.open.remove(&SendPath::Own(number));
        me.owned.remove(&number);
        Some(id)
    }

    /// A place ends for all.
    fn end(&mut self, id: u64, reason: Reason) {
        self.forget_successor(id, Reason::NoSuchName);
        // The hub may have closed it.
        let Some(place) = self.places.remove(&id) else {
            return;
        };
        for Member { who, seat, number, .. } in place.members.into_values() {
            let channel = JoinedChannelId(number);
            self.tell(who, Some(seat), ChannelEvent::Ended { channel, reason });
        }
    }

    /// The hub closes a place. Gives how many members there were.
    pub(crate) fn shut(&mut self, name: usize, reason: Reason) -> Option<usize> {
        let id = self.place(name)?;
        let (owner, members) = (self.places[&id].owner, self.places[&id].members.len());
        self.end(id, reason);
        if let Some((owner, seat, number)) = owner {
            let channel = OwnedChannelId(number);
            self.tell(owner, Some(seat), ChannelEvent::Deleted { channel, reason });
        }
        Some(members)
    }

    pub(crate) fn kick(&mut self, who: usize, own: u32, member: u32, ban: bool) {
        let Some(id) = self.own(who, own) else {
            return;
        };
        let place = self.places.get_mut(&id).expect("a place that is owned is there");
        let Some(Member { who: kicked, .. }) = place.members.get(&member) else {
            return;
        };
        let reason = if ban { Reason::Banned } else { Reason::Kicked };
        if ban {
            place.banned.insert(self.endpoints[*kicked].id);
        }
        self.part(id, member, reason, true);
    }

    /// What the endpoint reads. An end gives its number free only now.
    pub(crate) fn read(&mut self, who: usize) -> Vec<Arrived> {
        let mut read = Vec::new();
        while let Some(item) = self.endpoints[who].inbox.pop_front() {
            match item {
                Item::Data(line) => push(&mut read, Arrived::Data(line.into())),
                Item::Successor(seat, id, nomination) => self.nominated(who, seat, id, nomination),
                Item::Answered { request, name, answer } => {
                    self.endpoints[who].waiting -= 1;
                    match answer {
                        Ok(()) => self.create(who, request, name),
                        Err(reason) => self.refuse(who, request, true, reason),
                    }
                }
                Item::Event(seat, event) => {
                    if self.observe(who, seat, &event) {
                        read.push(Arrived::Event(event));
                    }
                }
            }
        }
        read
    }

    fn observe(&mut self, who: usize, seat: Option<Seat>, event: &Event) -> bool {
        let me = &mut self.endpoints[who];
        let owns = |seat| me.owned.values().any(|owned| owned.seat == seat && !owned.kept);
        let entered = |seat| me.entered.values().any(|(held, _)| *held == seat);
        if seat.is_some_and(|seat| !owns(seat) && !entered(seat)) {
            return false;
        }
        match event {
            Event::Channel(ChannelEvent::Ended { channel, .. }) => {
                me.open.remove(&SendPath::In(channel.0));
                if let Some((_, id)) = me.entered.remove(&channel.0) {
                    self.let_go(who, id);
                }
            }
            Event::Channel(ChannelEvent::Deleted { channel, .. }) => {
                me.open.remove(&SendPath::Own(channel.0));
                me.owned.remove(&channel.0);
            }
            Event::Channel(ChannelEvent::Owner { channel, news: OwnerNews::You(own) }) => {
                me.open.remove(&SendPath::In(channel.0));
                me.entered.remove(&channel.0);
                me.owned.get_mut(&own.0).expect("it was kept for this").kept = false;
            }
            _ => {}
        }
        true
    }

    /// The session ends. It may still read what waits for it.
    pub(crate) fn close(&mut self, who: usize, reason: Reason) {
        let (ended, gone) = match reason {
            Reason::Bye => (Reason::ClosedByOwner, Reason::Left),
            Reason::HubStopping => (reason, reason),
            _ => (Reason::OwnerLost, Reason::ConnectionLost),
        };
        let me = &mut self.endpoints[who];
        me.inbox.retain(|item| !matches!(item, Item::Answered { .. }));
        let (kept, owned): (Vec<Owned>, Vec<Owned>) =
            me.owned.values().copied().partition(|owned| owned.kept);
        let entered: Vec<(Seat, u64)> = me.entered.values().copied().collect();
        for owned in owned {
            self.owner_goes(who, owned.place, ended);
        }
        for (seat, id) in entered {
            if let Some(member) = self.member(id, seat) {
                self.part(id, member, gone, false);
            }
        }
        for kept in kept {
            self.owner_goes(who, kept.place, ended);
        }
    }

    pub(crate) fn places(&self) -> usize {
        self.places.len()
    }

    /// The names of what a session owns, or is a member of with a number, in order.
    pub(crate) fn has(&self, who: usize) -> Vec<(&'static str, Option<u32>)> {
        let mut has = Vec::new();
        for place in self.places.values() {
            let name = NAMES[place.name];
            let owns = place.owner.is_some_and(|(owner, ..)| owner == who);
            has.extend(owns.then_some((name, None)));
            let mine = place.members.iter().filter(|(_, member)| member.who == who);
            has.extend(mine.map(|(number, _)| (name, Some(*number))));
        }
        has.sort();
        has
    }

    pub(crate) fn memberships(&self) -> usize {
        self.places.values().map(|place| place.members.len()).sum()
    }
}
