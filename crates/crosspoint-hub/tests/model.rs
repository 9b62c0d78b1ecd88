//! The hub under random operations against a naive model, which knows no batches, tags and locks:
//! whatever an endpoint reads, whenever it does, has to be exactly what the model says.

use bytes::Bytes;
use crosspoint_hub::command::{
    Ban, Command, EnterOptions, Entered, Event, Hello, Mode, Peer, Target,
};
use crosspoint_hub::metrics::ByProtocol;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Arrived, LINES, open_as, take};
use crosspoint_hub::{
    ChannelName, Hub, HubOptions, InNumber, Limits, MemberNumber, OwnNumber, Part, PeerId, Reason,
    Session,
};
use proptest::prelude::*;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;
use std::time::Instant;

const SESSIONS: usize = 5;
const OWNED_MAX: u32 = 2;
const ENTERED_MAX: u32 = 3;
const MEMBERS_MAX: u32 = 3;
const NAMES: [&str; 4] = ["a", "b", "c", "room"];

#[derive(Debug, Clone)]
enum Operation {
    Create(usize),
    Enter(usize),
    Leave(u32),
    Delete(u32),
    Kick(u32, u32, bool),
    Up(u32),
    Down(u32, u32),
    All(u32, Option<u32>),
    /// Until then, what comes waits: the endpoint stalls.
    Read,
    /// The session ends, and another begins in its place.
    Close,
}
use Operation::{All, Close, Create, Delete, Down, Enter, Kick, Leave, Read, Up};

fn operation() -> impl Strategy<Value = Operation> {
    let number = || 0u32..4;
    let name = || 0..NAMES.len();
    prop_oneof![
        4 => (0..NAMES.len() - 1).prop_map(Create),
        8 => name().prop_map(Enter),
        2 => number().prop_map(Leave),
        1 => number().prop_map(Delete),
        2 => (number(), number(), any::<bool>()).prop_map(|(own, member, ban)| Kick(own, member, ban)),
        5 => number().prop_map(Up),
        4 => (number(), number()).prop_map(|(own, member)| Down(own, member)),
        4 => (number(), prop::option::of(number())).prop_map(|(own, except)| All(own, except)),
        5 => Just(Read),
        1 => Just(Close),
    ]
}

/// What waits to be read; events with the seat that they are about, if any.
#[derive(Debug, Clone)]
enum Item {
    Event(Option<Seat>, Event),
    Data(String),
}

/// One holding of a number by one session; never the same twice.
type Seat = u64;

#[derive(Debug, Default)]
struct Endpoint {
    id: u64,
    owned: BTreeMap<u32, (Seat, u64)>,
    entered: BTreeMap<u32, (Seat, u64)>,
    inbox: Vec<Item>,
}

#[derive(Debug)]
struct Place {
    name: usize,
    /// Index, seat and own number; `None` in rooms.
    owner: Option<(usize, Seat, u32)>,
    /// Index, seat and in number of each member.
    members: BTreeMap<u32, (usize, Seat, u32)>,
    banned: BTreeSet<u64>,
}

#[derive(Debug, Default)]
struct Model {
    endpoints: Vec<Endpoint>,
    places: HashMap<u64, Place>,
    last: u64,
}

fn lowest<T>(taken: &BTreeMap<u32, T>) -> u32 {
    (0..).find(|number| !taken.contains_key(number)).expect("fewer than 2^32")
}

fn peer_id(id: u64) -> PeerId {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&id.to_be_bytes());
    PeerId::new(bytes)
}

impl Model {
    fn fresh(&mut self) -> u64 {
        self.last += 1;
        self.last
    }

    fn tell(&mut self, who: usize, seat: Option<Seat>, event: Event) {
        self.endpoints[who].inbox.push(Item::Event(seat, event));
    }

    fn place(&self, name: usize) -> Option<u64> {
        let mut places = self.places.iter();
        places.find(|(_, place)| place.name == name).map(|(id, _)| *id)
    }

    fn refuse(&mut self, who: usize, create: bool, reason: Reason) {
        let request = 7;
        self.tell(who, None, Event::Refused { request, create, reason });
    }

    fn create(&mut self, who: usize, name: usize) {
        let owned = &self.endpoints[who].owned;
        let (number, full) = (lowest(owned), owned.len() as u32 >= OWNED_MAX);
        if self.place(name).is_some() {
            return self.refuse(who, true, Reason::NameTaken);
        }
        if full {
            return self.refuse(who, true, Reason::TooManyChannels);
        }
        let (seat, id) = (self.fresh(), self.fresh());
        self.endpoints[who].owned.insert(number, (seat, id));
        let place = Place {
            name,
            owner: Some((who, seat, number)),
            members: BTreeMap::new(),
            banned: BTreeSet::new(),
        };
        self.places.insert(id, place);
        let channel = OwnNumber(number);
        let request = 7;
        self.tell(who, None, Event::Created { request, channel });
    }

    fn enter(&mut self, who: usize, name: usize) {
        let room = NAMES[name] == "room";
        let place = self.place(name);
        let entered = &self.endpoints[who].entered;
        let (number, full) = (lowest(entered), entered.len() as u32 >= ENTERED_MAX);
        let twice = |id| entered.values().any(|(_, entered)| *entered == id);
        let reason = match place {
            None if !room => Some(Reason::NoSuchName),
            None => full.then_some(Reason::TooManyChannels),
            Some(id) if twice(id) => Some(Reason::AlreadyEntered),
            Some(id) => {
                let place = &self.places[&id];
                if place.owner.is_some_and(|(owner, ..)| owner == who) {
                    Some(Reason::OwnChannel)
                } else if place.banned.contains(&self.endpoints[who].id) {
                    Some(Reason::Banned)
                } else if place.members.len() as u32 >= MEMBERS_MAX {
                    Some(Reason::Full)
                } else {
                    full.then_some(Reason::TooManyChannels)
                }
            }
        };
        if let Some(reason) = reason {
            return self.refuse(who, false, reason);
        }
        let (seat, fresh) = (self.fresh(), self.fresh());
        let id = place.unwrap_or(fresh);
        let place = self.places.entry(id).or_insert_with(|| Place {
            name,
            owner: None,
            members: BTreeMap::new(),
            banned: BTreeSet::new(),
        });
        let member = lowest(&place.members);
        place.members.insert(member, (who, seat, number));
        let owner = place.owner;
        let me = &mut self.endpoints[who];
        me.entered.insert(number, (seat, id));
        let peer = Peer { id: peer_id(me.id), name: None, protocol: "lines" };
        let member = MemberNumber(member);
        let entered = Entered {
            request: 7,
            channel: InNumber(number),
            member,
            mode: Mode::default(),
            chunk: None,
            replies: owner.is_some(),
            room,
        };
        self.tell(who, Some(seat), Event::Entered(entered));
        if let Some((owner, seat, number)) = owner {
            let event = Event::MemberEntered {
                channel: OwnNumber(number),
                member,
                peer,
                chunk: None,
                replies: true,
            };
            self.tell(owner, Some(seat), event);
        }
    }

    /// A member is gone; its session has nothing of the membership any more, or is told.
    fn part(&mut self, id: u64, member: u32, reason: Reason, told: bool) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        let Some((who, seat, number)) = place.members.remove(&member) else {
            return;
        };
        let owner = place.owner;
        if owner.is_none() && place.members.is_empty() {
            self.places.remove(&id);
        }
        if told {
            let channel = InNumber(number);
            self.tell(who, Some(seat), Event::Ended { channel, reason });
        }
        if let Some((owner, seat, number)) = owner {
            let event = Event::MemberLeft {
                channel: OwnNumber(number),
                member: MemberNumber(member),
                reason,
            };
            self.tell(owner, Some(seat), event);
        }
    }

    /// The member that a session is by a seat, if it still is.
    fn member(&self, id: u64, seat: Seat) -> Option<u32> {
        let place = self.places.get(&id)?;
        let mut members = place.members.iter();
        members.find(|(_, (_, theirs, _))| *theirs == seat).map(|(member, _)| *member)
    }

    fn leave(&mut self, who: usize, number: u32, reason: Reason) {
        if let Some((seat, id)) = self.endpoints[who].entered.remove(&number)
            && let Some(member) = self.member(id, seat)
        {
            self.part(id, member, reason, false);
        }
    }

    fn delete(&mut self, who: usize, number: u32, reason: Reason) {
        let Some((_, id)) = self.endpoints[who].owned.remove(&number) else {
            return;
        };
        let place = self.places.remove(&id).expect("an owned channel is there");
        for (who, seat, number) in place.members.into_values() {
            let channel = InNumber(number);
            self.tell(who, Some(seat), Event::Ended { channel, reason });
        }
    }

    fn kick(&mut self, who: usize, own: u32, member: u32, ban: bool) {
        let Some((_, id)) = self.endpoints[who].owned.get(&own).copied() else {
            return;
        };
        let place = self.places.get_mut(&id).expect("an owned channel is there");
        let Some((kicked, ..)) = place.members.get(&member).copied() else {
            return;
        };
        let reason = if ban { Reason::Banned } else { Reason::Kicked };
        if ban {
            place.banned.insert(self.endpoints[kicked].id);
        }
        self.part(id, member, reason, true);
    }

    fn up(&mut self, who: usize, number: u32, text: &str) {
        let Some((seat, id)) = self.endpoints[who].entered.get(&number).copied() else {
            return;
        };
        let Some(member) = self.member(id, seat) else {
            return;
        };
        let place = &self.places[&id];
        let lines: Vec<(usize, String)> = match place.owner {
            Some((owner, _, own)) => vec![(owner, format!("own {own} from {member}: {text}\n"))],
            None => {
                let others = place.members.iter().filter(|(other, _)| **other != member);
                others
                    .map(|(_, (who, _, number))| {
                        (*who, format!("in {number} from {member}: {text}\n"))
                    })
                    .collect()
            }
        };
        for (who, line) in lines {
            self.endpoints[who].inbox.push(Item::Data(line));
        }
    }

    fn down(&mut self, who: usize, own: u32, text: &str, to: impl Fn(u32) -> bool) {
        let Some((_, id)) = self.endpoints[who].owned.get(&own) else {
            return;
        };
        for (_, (who, _, number)) in self.places[id].members.iter().filter(|(m, _)| to(**m)) {
            let line = format!("in {number}: {text}\n");
            self.endpoints[*who].inbox.push(Item::Data(line));
        }
    }

    /// What the endpoint reads. An end gives its number free only now.
    fn read(&mut self, who: usize) -> Vec<Arrived> {
        let me = &mut self.endpoints[who];
        let mut read: Vec<Arrived> = Vec::new();
        for item in std::mem::take(&mut me.inbox) {
            match item {
                Item::Data(line) => push(&mut read, Arrived::Data(line.into())),
                Item::Event(seat, event) => {
                    let holds = |table: &BTreeMap<u32, (Seat, u64)>| {
                        table.values().any(|(held, _)| Some(*held) == seat)
                    };
                    if seat.is_some() && !holds(&me.owned) && !holds(&me.entered) {
                        continue;
                    }
                    if let Event::Ended { channel, .. } = &event {
                        me.entered.remove(&channel.0);
                    }
                    read.push(Arrived::Event(event));
                }
            }
        }
        read
    }

    fn close(&mut self, who: usize) {
        let owned: Vec<u32> = self.endpoints[who].owned.keys().copied().collect();
        for number in owned {
            self.delete(who, number, Reason::OwnerLost);
        }
        let entered: Vec<u32> = self.endpoints[who].entered.keys().copied().collect();
        for number in entered {
            self.leave(who, number, Reason::ConnectionLost);
        }
    }

    fn members(&self) -> usize {
        self.places.values().map(|place| place.members.len()).sum()
    }
}

/// Appends, joining data: how it is cut says nothing.
fn push(read: &mut Vec<Arrived>, arrived: Arrived) {
    match (read.last_mut(), arrived) {
        (Some(Arrived::Data(last)), Arrived::Data(more)) => {
            *last = [&last[..], &more[..]].concat().into();
        }
        (_, arrived) => read.push(arrived),
    }
}

fn read(session: &mut Session) -> Vec<Arrived> {
    let mut joined = Vec::new();
    for arrived in take(session) {
        push(&mut joined, arrived);
    }
    joined
}

struct Both {
    hub: Arc<Hub>,
    now: Instant,
    sessions: Vec<Session>,
    model: Model,
    sent: u32,
}

impl Both {
    fn new() -> Self {
        let limits = Limits {
            channels_owned_max: OWNED_MAX,
            channels_entered_max: ENTERED_MAX,
            members_max: MEMBERS_MAX,
            room_members_max: MEMBERS_MAX,
            ..Limits::default()
        };
        let options = HubOptions { limits, ..HubOptions::default() };
        let mut both = Self {
            hub: Hub::new(options),
            now: Instant::now(),
            sessions: Vec::new(),
            model: Model::default(),
            sent: 0,
        };
        for _ in 0..SESSIONS {
            let (session, endpoint) = both.open();
            both.sessions.push(session);
            both.model.endpoints.push(endpoint);
        }
        both
    }

    fn open(&mut self) -> (Session, Endpoint) {
        let id = self.model.fresh();
        let hello = Hello { peer: Some(peer_id(id)), ..Hello::default() };
        let session = open_as(&self.hub, self.now, &LINES, None, hello);
        let endpoint = Endpoint { id, ..Endpoint::default() };
        (session, endpoint)
    }

    fn text(&mut self) -> String {
        self.sent += 1;
        format!("message {}", self.sent)
    }

    fn ask(&mut self, who: usize, command: Command) {
        let session = &mut self.sessions[who];
        assert_eq!(session.execute(self.now, command), Step::Go);
    }

    fn send(&mut self, who: usize, to: Target, text: &str) {
        let part = Part::whole(Bytes::copy_from_slice(text.as_bytes()));
        self.ask(who, Command::Send { to, part });
    }

    fn step(&mut self, who: usize, operation: Operation) -> Result<(), TestCaseError> {
        let name = |name: usize| ChannelName::new(NAMES[name]).expect("a short name");
        let request = 7;
        match operation {
            Create(index) => {
                self.model.create(who, index);
                let (name, options) = (name(index), Default::default());
                self.ask(who, Command::Create { request, name, options });
            }
            Enter(index) => {
                self.model.enter(who, index);
                let name = name(index);
                let options =
                    EnterOptions { make_room: NAMES[index] == "room", ..EnterOptions::default() };
                self.ask(who, Command::Enter { request, name, options });
            }
            Leave(number) => {
                self.model.leave(who, number, Reason::Left);
                self.ask(who, Command::Leave(InNumber(number)));
            }
            Delete(number) => {
                self.model.delete(who, number, Reason::ClosedByOwner);
                self.ask(who, Command::Delete(OwnNumber(number)));
            }
            Kick(own, member, ban) => {
                self.model.kick(who, own, member, ban);
                let (time, address) = (None, false);
                let kick = Command::Kick {
                    channel: OwnNumber(own),
                    member: MemberNumber(member),
                    ban: ban.then_some(Ban { time, address }),
                };
                self.ask(who, kick);
            }
            Up(number) => {
                let text = self.text();
                self.model.up(who, number, &text);
                self.send(who, Target::Up(InNumber(number)), &text);
            }
            Down(own, member) => {
                let text = self.text();
                self.model.down(who, own, &text, |to| to == member);
                let to = Target::Member(OwnNumber(own), MemberNumber(member));
                self.send(who, to, &text);
            }
            All(own, except) => {
                let text = self.text();
                self.model.down(who, own, &text, |to| Some(to) != except);
                let to = Target::Everyone(OwnNumber(own), except.map(MemberNumber));
                self.send(who, to, &text);
            }
            Read => self.read(who)?,
            Close => {
                self.model.close(who);
                assert_eq!(self.sessions[who].flush(self.now), Step::Go);
                let (session, endpoint) = self.open();
                self.sessions[who] = session;
                self.model.endpoints[who] = endpoint;
            }
        }
        Ok(())
    }

    fn flush(&mut self, who: usize) -> Result<(), TestCaseError> {
        assert_eq!(self.sessions[who].flush(self.now), Step::Go);
        let metrics = &self.hub.metrics;
        prop_assert_eq!(metrics.channels.get(), self.model.places.len() as i64);
        prop_assert_eq!(metrics.members.get(), self.model.members() as i64);
        Ok(())
    }

    fn read(&mut self, who: usize) -> Result<(), TestCaseError> {
        prop_assert_eq!(read(&mut self.sessions[who]), self.model.read(who));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn every_endpoint_reads_what_the_model_says(
        // What one session does before the next one's turn comes in one read.
        turns in prop::collection::vec(
            (0..SESSIONS, prop::collection::vec(operation(), 1..6)),
            0..60,
        ),
    ) {
        let mut both = Both::new();
        for (who, operations) in turns {
            for operation in operations {
                both.step(who, operation)?;
            }
            both.flush(who)?;
        }
        for who in 0..SESSIONS {
            both.read(who)?;
        }
        let Both { hub, sessions, .. } = both;
        drop(sessions);
        prop_assert_eq!((hub.sessions(), hub.channels()), (0, 0));
        let protocol = "lines";
        let open = hub.metrics.sessions.get_or_create(&ByProtocol { protocol }).get();
        let gauges = [open, hub.metrics.channels.get(), hub.metrics.members.get()];
        prop_assert_eq!(gauges, [0; 3]);
    }
}
