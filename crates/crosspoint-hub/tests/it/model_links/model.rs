//! The naive model: who is there, what their numbers lead to, and what waits for each.

use super::WIRES;
use bytes::Bytes;
use crosspoint_hub::command::{DirectoryEvent, Event, LinkEvent, Peer, Watched};
use crosspoint_hub::peers::Duplicates;
use crosspoint_hub::testing::Arrived;
use crosspoint_hub::wire::{Place, Stateful};
use crosspoint_hub::{LinkNumber, Part, PeerId, Reason};
use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

pub(crate) const LINKS_MAX: usize = 3;
pub(crate) const SERVICES_MAX: usize = 2;
/// Claims of one session that may wait.
pub(crate) const WAITING_MAX: usize = 2;
/// Names of sessions and services.
pub(crate) const NAMES: [&str; 4] = ["ann", "bo", "bob", "zoë"];
pub(crate) const PREFIXES: [&str; 4] = ["", "b", "bob", "c"];

#[derive(Debug, Clone)]
pub(crate) enum To {
    Id(u8),
    Name(usize),
    Service(usize, Vec<u8>),
}

#[derive(Debug, Clone)]
pub(crate) enum Seek {
    Id(u8),
    Name(usize),
    Names(usize, Option<usize>),
    Service(usize),
    Everybody(Option<Behind>),
}

#[derive(Debug, Clone)]
pub(crate) enum Behind {
    Name(usize),
    Id(u8),
}

#[derive(Debug, Clone)]
pub(crate) enum Item {
    Event(Event),
    Data(LinkNumber, Part),
    /// A link command waited for this.
    Answered {
        request: u32,
        to: To,
        answer: Result<(), Reason>,
    },
}

#[derive(Debug)]
pub(crate) struct Endpoint {
    pub(crate) peer: Peer,
    /// Who it was before it was replaced.
    said: Peer,
    /// The how-manieth it was to come.
    came: u64,
    proven: bool,
    /// Numbers that it has, with what they lead to.
    pub(crate) links: BTreeMap<u32, usize>,
    /// Numbers of the links that it has opened.
    opened: BTreeSet<u32>,
    next: u32,
    pub(crate) services: BTreeSet<usize>,
    pub(crate) watches: Watched,
    inbox: VecDeque<Item>,
    /// Its link commands that wait for the answer to a claim, or have it and do not know it yet.
    pub(crate) waiting: usize,
}

/// The id of one that has gone.
const GONE: PeerId = PeerId::new([0xff; 16]);

/// Where a link leads: session and number of both sides. `None` when it has ended.
pub(crate) type Link = Option<[(usize, u32); 2]>;

#[derive(Debug, Default)]
pub(crate) struct Service {
    /// Providers, in the order in which they came.
    providers: Vec<usize>,
    /// Whose turn it is.
    turn: Option<usize>,
}

#[derive(Debug, Default)]
pub(crate) struct Model {
    duplicates: Duplicates,
    pub(crate) endpoints: Vec<Endpoint>,
    links: Vec<Link>,
    services: BTreeMap<usize, Service>,
    /// Who is replaced by the same just now, which is no news.
    pub(crate) renewed: Option<Peer>,
    /// The name of one who comes just now. Who has it for a moment in between is no news.
    pub(crate) coming: Option<Arc<str>>,
    /// That one.
    unseen: Option<usize>,
    /// How many have come.
    comings: u64,
}

impl Service {
    /// Who comes behind a provider.
    fn behind(&self, who: usize) -> Option<usize> {
        let at = self.providers.iter().position(|known| *known == who)?;
        Some(self.providers[(at + 1) % self.providers.len()])
    }

    fn remove(&mut self, who: usize) {
        if self.turn == Some(who) {
            self.turn = self.behind(who).filter(|next| *next != who);
        }
        self.providers.retain(|known| *known != who);
    }
}

impl Model {
    pub(crate) fn new(duplicates: Duplicates) -> Self {
        Self { duplicates, ..Self::default() }
    }

    /// Who is found by a name, besides one: the one that has come last.
    fn named(&self, name: &str, but: Option<usize>) -> Option<usize> {
        let all = self.endpoints.iter().enumerate();
        let has =
            all.filter(|(who, one)| one.peer.name.as_deref() == Some(name) && Some(*who) != but);
        has.max_by_key(|(_, one)| one.came).map(|(who, _)| who)
    }

    pub(crate) fn tell(&mut self, who: usize, event: impl Into<Event>) {
        let event = event.into();
        self.endpoints[who].inbox.push_back(Item::Event(event));
    }

    pub(crate) fn find(&self, fits: impl Fn(&Peer) -> bool) -> Option<usize> {
        self.endpoints.iter().position(|endpoint| fits(&endpoint.peer))
    }

    /// Whom a newcomer replaces, or why it is refused.
    pub(crate) fn replaced(&self, peer: &Peer, proven: bool) -> Result<Vec<usize>, Reason> {
        let same_id = self.find(|other| other.id == peer.id);
        if let Some(old) = same_id {
            let old_proven = self.endpoints[old].proven;
            let replace = self.duplicates == Duplicates::Replace;
            if (old_proven && !proven) || (old_proven == proven && !replace) {
                return Err(Reason::IdTaken);
            }
        }
        let same_name = peer.name.as_deref().and_then(|name| self.named(name, same_id));
        let same_name = match self.duplicates {
            Duplicates::Refuse if same_name.is_some() => return Err(Reason::NameTaken),
            Duplicates::Newest => None,
            Duplicates::Refuse | Duplicates::Replace => same_name,
        };
        Ok([same_id, same_name].into_iter().flatten().collect())
    }

    /// Whether it is who is found by its name, if it has one.
    pub(crate) fn is_found(&self, who: usize) -> bool {
        let name = self.endpoints[who].peer.name.as_deref();
        name.is_none_or(|name| self.named(name, None) == Some(who))
    }

    /// It is not found any more, and those who watch hear of it.
    pub(crate) fn vanish(&mut self, who: usize) {
        let was_found = self.is_found(who);
        let endpoint = &mut self.endpoints[who];
        endpoint.watches = Watched::Nobody;
        let peer = endpoint.peer.clone();
        // Nobody looks for this one.
        endpoint.peer = Peer { id: GONE, name: None, ..peer.clone() };
        if peer.id == GONE || !was_found {
            return;
        }
        if self.renewed.as_ref() != Some(&peer) {
            self.tell_watchers(
                peer.name.is_some(),
                &Event::Directory(DirectoryEvent::PeerWent { peer: peer.clone() }),
            );
        }
        // The one before has the name again.
        let next = peer.name.as_deref().and_then(|name| self.named(name, None));
        if peer.name.is_some() && peer.name == self.coming {
            self.unseen = next;
        } else if let Some(next) = next {
            let peer = self.endpoints[next].peer.clone();
            self.tell_watchers(true, &Event::Directory(DirectoryEvent::PeerCame { peer }));
        }
    }

    fn tell_watchers(&mut self, named: bool, event: &Event) {
        let told = |whom| whom == Watched::Everybody || named && whom == Watched::Named;
        for endpoint in self.endpoints.iter_mut().filter(|endpoint| told(endpoint.watches)) {
            endpoint.inbox.push_back(Item::Event(event.clone()));
        }
    }

    /// A claim is answered. The session that waits for that learns of it when it reads.
    pub(crate) fn answered(
        &mut self,
        who: usize,
        request: u32,
        to: To,
        answer: Result<(), Reason>,
    ) {
        self.endpoints[who].inbox.push_back(Item::Answered { request, to, answer });
    }

    pub(crate) fn close(&mut self, who: usize) {
        self.endpoints[who].inbox.retain(|item| !matches!(item, Item::Answered { .. }));
        let services: Vec<usize> = self.endpoints[who].services.iter().copied().collect();
        services.into_iter().for_each(|service| self.provide(who, service, false));
        self.vanish(who);
        for number in self.endpoints[who].links.clone().into_keys() {
            self.unlink(who, number, Reason::ConnectionLost);
        }
    }

    /// The one that has a newcomer's name hears so, before anybody hears who came and who went.
    pub(crate) fn share_name(&mut self, newcomer: &Peer, replaced: &[usize]) {
        let same_id = replaced.first().copied();
        let before = newcomer.name.as_deref().and_then(|name| self.named(name, same_id));
        if let Some(before) = before.filter(|before| !replaced.contains(before)) {
            self.tell(before, DirectoryEvent::NameShared);
        }
    }

    pub(crate) fn come(&mut self, who: usize, peer: Peer, proven: bool) {
        let welcome = Item::Event(Event::Welcome { peer: peer.id });
        let mut inbox = VecDeque::from([welcome]);
        let before = peer.name.as_deref().and_then(|name| self.named(name, Some(who)));
        if before.is_some() {
            inbox.push_back(Item::Event(DirectoryEvent::NameShared.into()));
        }
        self.comings += 1;
        let unseen = self.unseen.take();
        let endpoint = Endpoint {
            came: self.comings,
            peer: peer.clone(),
            said: peer.clone(),
            proven,
            links: BTreeMap::new(),
            opened: BTreeSet::new(),
            next: 0,
            services: BTreeSet::new(),
            watches: Watched::Nobody,
            inbox,
            waiting: 0,
        };
        match self.endpoints.get_mut(who) {
            Some(place) => *place = endpoint,
            None => self.endpoints.push(endpoint),
        }
        if let Some(before) = before.filter(|before| unseen != Some(*before)) {
            let peer = self.endpoints[before].peer.clone();
            self.tell_watchers(true, &Event::Directory(DirectoryEvent::PeerWent { peer }));
        }
        if self.renewed.as_ref() != Some(&peer) {
            self.tell_watchers(
                peer.name.is_some(),
                &Event::Directory(DirectoryEvent::PeerCame { peer }),
            );
        }
    }

    pub(crate) fn provide(&mut self, who: usize, service: usize, on: bool) {
        let providers = self.services.entry(service).or_default();
        if on && self.endpoints[who].services.insert(service) {
            providers.providers.push(who);
            providers.turn.get_or_insert(who);
        } else if !on && self.endpoints[who].services.remove(&service) {
            providers.remove(who);
        }
    }

    fn addressee(&mut self, to: &To) -> Option<usize> {
        match to {
            To::Id(id) => self.find(|peer| peer.id == claimed(*id)),
            To::Name(name) => self.named(NAMES[*name], None),
            To::Service(name, except) => {
                let ids: Vec<PeerId> =
                    self.endpoints.iter().map(|endpoint| endpoint.peer.id).collect();
                let service = self.services.get_mut(name)?;
                let mut who = service.turn?;
                for _ in 0..service.providers.len() {
                    let next = service.behind(who)?;
                    // One that was replaced provides it until it notices.
                    let unwanted = except.iter().any(|id| claimed(*id) == ids[who]);
                    if !unwanted && ids[who] != GONE {
                        service.turn = Some(next);
                        return Some(who);
                    }
                    who = next;
                }
                None
            }
        }
    }

    /// Gives a link a number. What others open is bounded apart from what the session opens.
    fn number(&mut self, who: usize, link: usize, opened: bool) -> Option<u32> {
        let endpoint = &mut self.endpoints[who];
        let alike = |number: &&u32| endpoint.opened.contains(number) == opened;
        if endpoint.links.keys().filter(alike).count() >= LINKS_MAX {
            return None;
        }
        let number = endpoint.next;
        endpoint.next += 1;
        if opened {
            endpoint.opened.insert(number);
        }
        endpoint.links.insert(number, link);
        Some(number)
    }

    pub(crate) fn link(&mut self, who: usize, request: u32, to: &To, purpose: &Bytes) {
        let refused = |reason| Event::Refused { request, create: false, reason };
        let Some(other) = self.addressee(to) else {
            return self.tell(who, refused(Reason::NoSuchPeer));
        };
        let link = self.links.len();
        let Some(mine) = self.number(who, link, true) else {
            return self.tell(who, refused(Reason::TooManyLinks));
        };
        let Some(theirs) = self.number(other, link, false) else {
            self.endpoints[who].links.remove(&mine);
            return self.tell(who, refused(Reason::TooManyLinks));
        };
        self.links.push(Some([(who, mine), (other, theirs)]));
        let [from, to] = [who, other].map(|who| self.endpoints[who].said.clone());
        let linked = |request, number, peer| {
            let (link, purpose) = (LinkNumber(number), purpose.clone());
            Event::Link(LinkEvent::Opened { request, link, peer, purpose })
        };
        self.tell(who, linked(Some(request), mine, to));
        self.tell(other, linked(None, theirs, from));
    }

    /// The other side of a session's link, if it is still there.
    fn other(&self, who: usize, number: u32) -> Option<(usize, u32)> {
        let link = *self.endpoints[who].links.get(&number)?;
        let [one, other] = self.links[link]?;
        Some(if one == (who, number) { other } else { one })
    }

    pub(crate) fn unlink(&mut self, who: usize, number: u32, reason: Reason) {
        let other = self.other(who, number);
        if let Some(link) = self.endpoints[who].links.remove(&number) {
            self.links[link] = None;
        }
        if let Some((other, number)) = other {
            self.tell(other, LinkEvent::Closed { link: LinkNumber(number), reason });
        }
    }

    pub(crate) fn send(&mut self, who: usize, number: u32, part: &Part) {
        if let Some((other, number)) = self.other(who, number) {
            let data = Item::Data(LinkNumber(number), part.clone());
            self.endpoints[other].inbox.push_back(data);
        }
    }

    pub(crate) fn look(&self, seek: &Seek) -> Vec<Peer> {
        let fits = |peer: &Peer| match seek {
            Seek::Id(id) => peer.id == claimed(*id),
            Seek::Name(name) => peer.name.as_deref() == Some(NAMES[*name]),
            Seek::Names(prefix, after) => peer.name.as_deref().is_some_and(|name| {
                name.starts_with(PREFIXES[*prefix]) && after.is_none_or(|after| name > NAMES[after])
            }),
            Seek::Everybody(after) => {
                let behind = match (after, peer.name.as_deref()) {
                    (None, _) | (Some(Behind::Name(_)), None) => true,
                    (Some(Behind::Name(after)), Some(name)) => name > NAMES[*after],
                    (Some(Behind::Id(_)), Some(_)) => false,
                    (Some(Behind::Id(after)), None) => peer.id > claimed(*after),
                };
                behind && peer.id != GONE
            }
            Seek::Service(_) => false,
        };
        if let Seek::Service(service) = seek {
            let providers = self.services.get(service).map(|service| &service.providers);
            let peer = |who: &usize| self.endpoints[*who].peer.clone();
            return providers.into_iter().flatten().map(peer).collect();
        }
        let mut found: Vec<Peer> = self
            .endpoints
            .iter()
            .enumerate()
            .filter(|(who, endpoint)| match endpoint.peer.name.as_deref() {
                // Lists have a name once.
                Some(name) => matches!(seek, Seek::Id(_)) || self.named(name, None) == Some(*who),
                None => true,
            })
            .map(|(_, endpoint)| endpoint.peer.clone())
            .filter(|p| fits(p))
            .collect();
        let order = |peer: &Peer| (peer.name.is_none(), peer.name.clone(), peer.id);
        found.sort_by_key(order);
        found
    }

    /// What the endpoint reads. A link that was ended by others is gone only now.
    pub(crate) fn read(&mut self, who: usize) -> Vec<Arrived> {
        let mut read = Vec::new();
        while let Some(item) = self.endpoints[who].inbox.pop_front() {
            let endpoint = &mut self.endpoints[who];
            match item {
                Item::Data(link, part) => push(&mut read, written(who, link, part)),
                Item::Event(event) => {
                    let told = match &event {
                        Event::Link(LinkEvent::Opened { link, .. }) => {
                            endpoint.links.contains_key(&link.0)
                        }
                        Event::Link(LinkEvent::Closed { link, .. }) => {
                            endpoint.links.remove(&link.0).is_some()
                        }
                        _ => true,
                    };
                    if told {
                        read.push(Arrived::Event(event));
                    }
                }
                Item::Answered { request, to, answer } => {
                    endpoint.waiting -= 1;
                    match answer {
                        Ok(()) => self.link(who, request, &to, &super::purpose(request)),
                        Err(reason) => {
                            self.tell(who, Event::Refused { request, create: false, reason });
                        }
                    }
                }
            }
        }
        read
    }
}

/// How data comes to a session: encoded by who sends it, or as an event.
fn written(who: usize, link: LinkNumber, part: Part) -> Arrived {
    let for_task = match WIRES[who].profile().stateful {
        Stateful::No => false,
        Stateful::Yes => true,
        Stateful::LinksBut(kind) => part.kind != kind,
    };
    if for_task {
        return Arrived::Event(Event::Data { place: Place::Link(link), part });
    }
    let text = String::from_utf8_lossy(&part.data);
    Arrived::Data(format!("link {link}: {text}\n").into())
}

pub(crate) fn claimed(id: u8) -> PeerId {
    PeerId::new([id; 16])
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
