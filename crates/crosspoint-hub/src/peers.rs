//! Who is there: sessions by id and by name, who provides which service, and who wants to know.
//!
//! The hub's own program finds all sessions. Clients find, and hear of, those whose protocol has links.

use crate::announcements::Announcements;
use crate::command::{
    Addressee, After, ApplicationEvent, DirectoryEvent, Event, Peer, Query, Watched,
};
use crate::directory::ClaimId;
use crate::endpoint::{Abilities, Endpoint, PendingWrites};
use crate::ids::{PeerId, PeerName};
use crate::ledger::Account;
use crate::outbox::Tag;
use crate::payload::Payload;
use crate::presence::{self, Begun, Comings, News, PeerNews};
use crate::reason::Reason;
use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;
use std::time::Instant;

/// What happens when a session says hello with the name or id of another.
///
/// In all cases an id that was only claimed gives way to a session that has proven it, a name that was
/// only claimed to one whose credentials grant it, and never the reverse; and nobody takes the place
/// of the [hub application](crate::Hub::set_application_peer).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Duplicates {
    /// The new one is refused, with [`Reason::NameTaken`] or [`Reason::IdTaken`]. The old one has to
    /// show that it lives ([`Limits::probe_max`](crate::Limits::probe_max)); if it does not, it ends,
    /// and the new one may try again, or is let in if it [waits](crate::command::Hello::waits) for that.
    #[default]
    Refuse,
    /// The old one is told [`Reason::Replaced`] and ends. A client that may choose a name can throw out
    /// who has it, so this is for hubs where credentials decide about names, or all trust all.
    Replace,
    /// Both stay. The name leads to the newest, and when that one goes, to the newest of those that are left. Both are told
    /// ([`DirectoryEvent::NameShared`]), and lists have the name once. An id is never shared: for that it is as with
    /// `Refuse`. A client that may choose a name can get what is meant for who has it, so this is for hubs as with
    /// `Replace`.
    Newest,
}

/// All sessions that have said who they are.
#[derive(Debug)]
pub(crate) struct Peers {
    /// Who pays for what those who watch are told.
    payer: Arc<Account>,
    ids: BTreeMap<PeerId, Arc<Endpoint>>,
    names: BTreeMap<PeerName, Arc<Endpoint>>,
    /// Those that share a name with a newer one, the newest last. They are seen again when the newer ones have gone.
    older: HashMap<PeerName, Vec<Arc<Endpoint>>>,
    /// Those that clients find and that have no name, by their ids.
    nameless: BTreeMap<PeerId, Arc<Endpoint>>,
    services: HashMap<PeerName, Service>,
    watchers: HashMap<u64, Watcher>,
    /// Who has come and gone since those who watch were told: those with a name, and all.
    news: [Comings; 2],
    /// Who has come and is told of later.
    announcements: Announcements,
    /// Who waits until a session has shown that it lives, or has gone, by that session; and why it is refused if it lives.
    suitors: HashMap<u64, Vec<(Arc<Endpoint>, Reason)>>,
}

/// Another session has what a newcomer wants.
#[derive(Debug)]
pub(crate) struct Taken {
    pub(crate) reason: Reason,
    /// That session, if it has to show that it lives.
    pub(crate) by: Option<Arc<Endpoint>>,
}

/// What a service costs who provides it, besides its name: at worst that is the only one who does, and the map of
/// services and the list at the session have just grown.
pub(crate) const SERVICE_BYTES: usize = 576;

/// What it costs to be told who comes and goes.
pub(crate) const WATCH_BYTES: usize = 128;

#[derive(Debug)]
struct Watcher {
    endpoint: Arc<Endpoint>,
    whom: Watched,
    begun: Begun,
}

#[derive(Debug, Default)]
struct Service {
    /// In the order in which they came, by places that are not used twice.
    providers: BTreeMap<u64, Arc<Endpoint>>,
    /// The place of the one whose turn it is.
    next: u64,
    last: u64,
}

impl Service {
    /// Gives a new provider its place.
    fn add(&mut self, provider: Arc<Endpoint>) -> u64 {
        self.last += 1;
        if self.providers.is_empty() {
            self.next = self.last;
        }
        self.providers.insert(self.last, provider);
        self.last
    }

    fn remove(&mut self, place: u64) {
        self.providers.remove(&place);
        // The others keep their turns.
        if self.next == place {
            self.pass_on(place);
        }
    }

    /// It is the turn of the one behind a place.
    fn pass_on(&mut self, place: u64) {
        let behind = self.providers.range((Bound::Excluded(place), Bound::Unbounded)).next();
        let next = behind.or_else(|| self.providers.first_key_value());
        self.next = next.map_or(0, |(place, _)| *place);
    }

    /// All, in the order of their turns.
    fn turns(&self) -> impl Iterator<Item = (u64, &Arc<Endpoint>)> {
        let turns = self.providers.range(self.next..).chain(self.providers.range(..self.next));
        turns.map(|(place, provider)| (*place, provider))
    }
}

/// A session that comes.
#[derive(Debug)]
pub(crate) struct Newcomer<'a> {
    pub(crate) endpoint: &'a Arc<Endpoint>,
    pub(crate) id: PeerId,
    pub(crate) name: Option<PeerName>,
    /// Whether it has proven that the id is its own.
    pub(crate) proven: bool,
    /// Whether its credentials grant it the name.
    pub(crate) granted: bool,
    /// What it can be told.
    pub(crate) abilities: Abilities,
}

/// Whether a session has its id and was not replaced, and clients find it. One that was replaced provides
/// its services until its task notices.
fn is_there(ids: &BTreeMap<PeerId, Arc<Endpoint>>, endpoint: &Endpoint) -> bool {
    is_present(ids, endpoint) && is_found(endpoint)
}

/// Whether a session has its id, and was not replaced.
fn is_present(ids: &BTreeMap<PeerId, Arc<Endpoint>>, endpoint: &Endpoint) -> bool {
    let known = endpoint.peer().and_then(|peer| ids.get(&peer.id));
    known.is_some_and(|known| known.id == endpoint.id)
}

/// Whether clients find a session. They can do nothing with one that they cannot link to.
fn is_found(endpoint: &Endpoint) -> bool {
    endpoint.profile.links
}

impl Peers {
    /// Nobody is there. `payer` pays for what those who watch are told.
    pub(crate) fn new(payer: Arc<Account>, announced_per_second_max: u32) -> Self {
        Self {
            payer,
            ids: BTreeMap::new(),
            names: BTreeMap::new(),
            older: HashMap::new(),
            nameless: BTreeMap::new(),
            services: HashMap::new(),
            watchers: HashMap::new(),
            news: Default::default(),
            announcements: Announcements::new(announced_per_second_max),
            suitors: HashMap::new(),
        }
    }

    /// Providers of a service that are asked whether they have room, for one link.
    const LOOKED_AT_MAX: usize = 16;

    /// A session comes. Those that it replaces have to end; the one that it is refused for has to show
    /// that it lives. Nobody replaces the session with the id `application`. Gives who was found by its name until now, if
    /// both have the name from now on.
    ///
    /// # Errors
    /// [`Reason::IdTaken`] or [`Reason::NameTaken`].
    pub(crate) fn come(
        &mut self,
        newcomer: Newcomer<'_>,
        duplicates: Duplicates,
        application: Option<PeerId>,
        writes: &mut PendingWrites,
    ) -> Result<Option<Arc<Endpoint>>, Taken> {
        let Newcomer { endpoint, id, name, proven, granted, abilities: _ } = newcomer;
        let is_application =
            |old: &Arc<Endpoint>| application.is_some() && old.peer().map(|p| p.id) == application;
        let replace = duplicates == Duplicates::Replace;
        let refuse = |old: &Arc<Endpoint>, reason| {
            let by = Some(old).filter(|old| !is_application(old)).cloned();
            if let Some(old) = &by {
                old.request_probe();
            }
            Err(Taken { reason, by })
        };
        // What was only claimed gives way to its owner.
        let may_take = |owned: bool, owns: bool| match (owned, owns) {
            (false, true) => true,
            (true, false) => false,
            _ => replace,
        };
        let same_id = self.ids.get(&id).cloned();
        if let Some(old) = &same_id
            && (!may_take(old.is_proven(), proven) || is_application(old))
        {
            return refuse(old, Reason::IdTaken);
        }
        let is_other = |old: &&Arc<Endpoint>| same_id.as_ref().is_none_or(|same| same.id != old.id);
        let newest = name.as_ref().and_then(|name| self.holders(name).find(is_other)).cloned();
        // All who share a name have it for the same reason.
        let shares = |old: &Arc<Endpoint>| {
            duplicates == Duplicates::Newest && old.has_granted_name() == granted
        };
        if let Some(old) = &newest
            && (is_application(old) || !(shares(old) || may_take(old.has_granted_name(), granted)))
        {
            return refuse(old, Reason::NameTaken);
        }
        let replaced = name.as_ref().filter(|_| newest.as_ref().is_some_and(|old| !shares(old)));
        let of_name = replaced.into_iter().flat_map(|name| self.holders(name));
        let replaced: Vec<_> = same_id.iter().chain(of_name).cloned().collect();
        for old in replaced {
            self.go(&old, false, writes);
            old.end_soon(Reason::Replaced);
        }
        self.ids.insert(id, endpoint.clone());
        let Some(name) = name else {
            if is_found(endpoint) {
                self.nameless.insert(id, endpoint.clone());
            }
            return Ok(None);
        };
        let old = self.names.insert(name.clone(), endpoint.clone());
        if let Some(old) = &old {
            self.older.entry(name).or_default().push(old.clone());
            self.note_hidden(old);
        }
        Ok(old)
    }

    /// Who has a name, the newest first.
    fn holders(&self, name: &PeerName) -> impl Iterator<Item = &Arc<Endpoint>> {
        let older = self.older.get(name).into_iter().flat_map(|older| older.iter().rev());
        self.names.get(name).into_iter().chain(older)
    }

    /// A session is not seen any longer, if it was.
    fn note_hidden(&mut self, endpoint: &Endpoint) {
        let was_told = !self.announcements.goes(endpoint.id);
        if let Some(peer) = endpoint.peer()
            && was_told
            && is_found(endpoint)
        {
            self.note(peer, false);
        }
    }

    /// Takes a name away from a session. Gives whether it was found by it, and who is from now on.
    fn take_name(&mut self, name: &str, from: &Endpoint) -> (bool, Option<Arc<Endpoint>>) {
        let is_it = |known: &Arc<Endpoint>| known.id == from.id;
        let was_newest = self.names.get(name).is_some_and(is_it);
        let mut next = None;
        if let Some(older) = self.older.get_mut(name) {
            match was_newest {
                true => next = older.pop(),
                false => older.retain(|one| !is_it(one)),
            }
            if older.is_empty() {
                self.older.remove(name);
            }
        }
        match &next {
            _ if !was_newest => {}
            Some(next) => {
                if let Some(holder) = self.names.get_mut(name) {
                    *holder = next.clone();
                }
            }
            None => {
                self.names.remove(name);
            }
        }
        (was_newest, next)
    }

    /// A session that has come can be seen now, or later if it comes too fast at this time. Gives whether it
    /// is now. `None`: it has all the time of the world.
    pub(crate) fn announce(
        &mut self,
        now: Option<Instant>,
        endpoint: &Arc<Endpoint>,
        peer: &Peer,
    ) -> bool {
        let [_, all] = &self.news;
        let seen = match now {
            Some(now) if !all.is_back(peer) => self.announcements.comes(now, endpoint),
            _ => true,
        };
        if seen {
            self.note(peer, true);
        }
        seen
    }

    /// Those can be seen who may be told of by now; `None` for the time gives all.
    pub(crate) fn release(&mut self, now: Option<Instant>) {
        for endpoint in self.announcements.release(now) {
            if let Some(peer) = endpoint.peer() {
                self.note(peer, true);
            }
        }
    }

    /// Whether somebody is to be told of later.
    pub(crate) fn hides_some(&self) -> bool {
        self.announcements.is_due()
    }

    /// How many watch.
    pub(crate) fn watchers(&self) -> usize {
        self.watchers.len()
    }

    fn note(&mut self, peer: &Peer, came: bool) {
        let [named, all] = &mut self.news;
        if self.watchers.is_empty() {
            return;
        }
        if peer.name.is_some() {
            named.note(peer, came);
        }
        all.note(peer, came);
    }

    /// How many watch, if there is something new for them.
    pub(crate) fn to_tell(&self) -> Option<usize> {
        let [_, all] = &self.news;
        (!all.is_empty()).then_some(self.watchers.len())
    }

    /// Tells those who watch what is new.
    pub(crate) fn tell_news(&mut self, writes: &mut PendingWrites) {
        if self.to_tell().is_none() {
            return;
        }
        // Who begins to watch in between must not make everybody else hear of those who come and go.
        let late = self.watchers.values().any(|watcher| watcher.begun != Begun::default());
        let [named, all] = self.news.each_mut().map(|news| {
            let news = News::new(news.take(), &self.payer);
            let net = late.then(|| presence::net(&news.list)).flatten();
            let net = net.map_or_else(|| news.clone(), |net| News::new(net, &self.payer));
            [net, news]
        });
        for watcher in self.watchers.values_mut() {
            let begun = std::mem::take(&mut watcher.begun);
            let [net, news] = if watcher.whom == Watched::Everybody { &all } else { &named };
            let news = if begun == Begun::default() { net } else { news };
            let from = begun.count;
            if from < news.list.len() {
                let event = Event::Directory(DirectoryEvent::Peers { news: news.clone(), from });
                watcher.endpoint.push_event(Tag::default(), event, writes);
            }
        }
    }

    /// Tells one of those who watch what is new, at its own expense.
    fn tell_one(&self, watcher: &Watcher, writes: &mut PendingWrites) {
        let [named, all] = &self.news;
        let news = if watcher.whom == Watched::Everybody { all } else { named };
        let mut list: Vec<PeerNews> = news.since(watcher.begun);
        if watcher.begun == Begun::default() {
            list = presence::net(&list).unwrap_or(list);
        }
        if !list.is_empty() {
            let news = News::new(list, watcher.endpoint.account());
            let event = Event::Directory(DirectoryEvent::Peers { news, from: 0 });
            watcher.endpoint.push_event(Tag::default(), event, writes);
        }
    }

    /// A newcomer waits until the session that has what it wants has shown that it lives, or has gone. It is told by the
    /// answer to a claim.
    pub(crate) fn wait(&mut self, taken: &Taken, holder: &Endpoint, newcomer: &Arc<Endpoint>) {
        self.suitors.entry(holder.id).or_default().push((newcomer.clone(), taken.reason));
    }

    /// A newcomer does not wait any longer.
    pub(crate) fn wait_no_longer(&mut self, holder: u64, newcomer: &Endpoint) {
        if let Some(suitors) = self.suitors.get_mut(&holder) {
            suitors.retain(|(suitor, _)| suitor.id != newcomer.id);
            if suitors.is_empty() {
                self.suitors.remove(&holder);
            }
        }
    }

    /// It is known whether a session lives. Those who wait for that go on.
    pub(crate) fn judge(&mut self, holder: &Endpoint, lives: bool, writes: &mut PendingWrites) {
        for (suitor, reason) in self.suitors.remove(&holder.id).unwrap_or_default() {
            let answer = if lives { Err(reason) } else { Ok(()) };
            let claim = ClaimId::FOR_HOLDER;
            let answered = DirectoryEvent::ClaimAnswered { claim, answer };
            suitor.push_event(Tag::default(), Event::Directory(answered), writes);
        }
    }

    /// A session goes. `quiet`: nobody is told.
    pub(crate) fn go(&mut self, endpoint: &Arc<Endpoint>, quiet: bool, writes: &mut PendingWrites) {
        self.judge(endpoint, false, writes);
        let Some(peer) = endpoint.peer() else {
            return;
        };
        if let Entry::Occupied(entry) = self.ids.entry(peer.id)
            && entry.get().id == endpoint.id
        {
            entry.remove();
        }
        self.watchers.remove(&endpoint.id);
        let is_it =
            |known: Option<&Arc<Endpoint>>| known.is_some_and(|known| known.id == endpoint.id);
        let (was_seen, next) = match peer.name.as_deref() {
            Some(name) => self.take_name(name, endpoint),
            None => {
                let known = is_it(self.nameless.get(&peer.id));
                (known && self.nameless.remove(&peer.id).is_some(), None)
            }
        };
        let was_told = !self.announcements.goes(endpoint.id);
        if quiet {
            return;
        }
        if was_seen && was_told && is_found(endpoint) {
            self.note(peer, false);
        }
        if let Some(next) = next.filter(|next| is_found(next))
            && let Some(peer) = next.peer()
        {
            self.note(peer, true);
        }
    }

    /// The sessions whose names were not granted to them.
    pub(crate) fn claims(&self) -> Vec<Arc<Endpoint>> {
        let all = self.names.values().chain(self.older.values().flatten());
        all.filter(|endpoint| !endpoint.has_granted_name()).cloned().collect()
    }

    /// The session with an id, for the hub application.
    pub(crate) fn session(&self, id: PeerId) -> Option<Arc<Endpoint>> {
        self.ids.get(&id).cloned()
    }

    /// Whether a session has its id, and was not replaced.
    pub(crate) fn is_present(&self, endpoint: &Endpoint) -> bool {
        is_present(&self.ids, endpoint)
    }

    /// How many sessions and services there are.
    pub(crate) fn counts(&self) -> (usize, usize) {
        (self.ids.len(), self.services.len())
    }

    /// All services, with some of those that provide them, the first of them first, and how many do.
    pub(crate) fn services(
        &self,
        providers_max: usize,
    ) -> Vec<(PeerName, Vec<Arc<Endpoint>>, usize)> {
        let services = self.services.iter().map(|(name, service)| {
            let present = service.providers.values().filter(|one| self.is_present(one));
            let some = present.take(providers_max).cloned().collect();
            (name.clone(), some, service.providers.len())
        });
        services.collect()
    }

    /// The services that a session provides.
    pub(crate) fn services_of(&self, endpoint: &Endpoint) -> Vec<PeerName> {
        let provides = |service: &Service| {
            service.providers.values().any(|provider| provider.id == endpoint.id)
        };
        let services = self.services.iter().filter(|(_, service)| provides(service));
        services.map(|(name, _)| name.clone()).collect()
    }

    /// All sessions, for the hub application.
    pub(crate) fn sessions(&self) -> Vec<Arc<Endpoint>> {
        self.ids.values().cloned().collect()
    }

    /// Finds whom a link is for. Providers of a service take turns.
    pub(crate) fn find(&mut self, to: &Addressee, except: &[PeerId]) -> Option<Arc<Endpoint>> {
        match to {
            Addressee::Peer(id) => self.ids.get(id).filter(|found| is_found(found)).cloned(),
            Addressee::Name(name) => self.names.get(name).filter(|found| is_found(found)).cloned(),
            Addressee::Service(name) => {
                let service = self.services.get_mut(name)?;
                let wanted = |(_, provider): &(u64, &Arc<Endpoint>)| {
                    is_there(&self.ids, provider)
                        && provider.peer().is_some_and(|peer| !except.contains(&peer.id))
                };
                let first = service.turns().find(wanted)?;
                // Who has no room would make the one who asks wait.
                let mut turns = service.turns().filter(wanted).take(Self::LOOKED_AT_MAX);
                let with_room = turns.find(|(_, provider)| provider.has_room());
                let (place, provider) = with_room.unwrap_or(first);
                let provider = provider.clone();
                drop(turns);
                service.pass_on(place);
                Some(provider)
            }
        }
    }

    /// A session offers a service that it does not offer yet. Gives its place among those that do.
    pub(crate) fn provide(&mut self, endpoint: &Arc<Endpoint>, name: &PeerName) -> u64 {
        self.services.entry(name.clone()).or_default().add(endpoint.clone())
    }

    /// The session at a place offers a service no longer.
    pub(crate) fn withdraw(&mut self, name: &PeerName, place: u64) {
        let Some(service) = self.services.get_mut(name) else {
            return;
        };
        service.remove(place);
        if service.providers.is_empty() {
            self.services.remove(name);
        }
    }

    /// The hub application says something to all who can be told.
    pub(crate) fn tell_all(
        &self,
        payload: &Payload,
        except: Option<PeerId>,
        writes: &mut PendingWrites,
    ) -> usize {
        let told = self
            .ids
            .iter()
            .filter(|(id, endpoint)| endpoint.profile.application && Some(**id) != except);
        let tell = |(_, endpoint): (_, &Arc<Endpoint>)| {
            let event = Event::Application(ApplicationEvent::Told { payload: payload.clone() });
            endpoint.push_event(Tag::default(), event, writes);
        };
        told.map(tell).count()
    }

    /// Of whom a session is told that they come and go.
    pub(crate) fn watch(
        &mut self,
        endpoint: &Arc<Endpoint>,
        whom: Watched,
        writes: &mut PendingWrites,
    ) {
        match self.watchers.get(&endpoint.id) {
            Some(known) if known.whom == whom => return,
            // What it has watched until now ends here, for it alone.
            Some(known) => self.tell_one(known, writes),
            None => {}
        }
        let [named, all] = &mut self.news;
        let begun = match whom {
            Watched::Nobody => {
                self.watchers.remove(&endpoint.id);
                return;
            }
            Watched::Named => named.begin(),
            Watched::Everybody => all.begin(),
        };
        self.watchers.insert(endpoint.id, Watcher { endpoint: endpoint.clone(), whom, begun });
    }

    /// Who is there, and whether there are more.
    pub(crate) fn look(&self, query: &Query) -> (Vec<Peer>, bool) {
        let seen = |endpoint: &&Arc<Endpoint>| {
            is_found(endpoint) && !self.announcements.hides(endpoint.id)
        };
        let one = |endpoint: Option<&Arc<Endpoint>>| {
            let endpoint = endpoint.filter(seen);
            (endpoint.and_then(|endpoint| endpoint.peer().cloned()).into_iter().collect(), false)
        };
        match query {
            Query::Peer(id) => one(self.ids.get(id)),
            Query::Name(name) => one(self.names.get(name)),
            Query::Names { prefix, after } => {
                let from = match after {
                    Some(after) if after.as_str() >= prefix.as_str() => {
                        Bound::Excluded(after.as_str())
                    }
                    _ => Bound::Included(prefix.as_str()),
                };
                let range = self.names.range::<str, _>((from, Bound::Unbounded));
                let mut fitting = range
                    .take_while(|(name, _)| name.as_str().starts_with(prefix.as_str()))
                    .map(|(_, endpoint)| endpoint)
                    .filter(seen)
                    .filter_map(|endpoint| endpoint.peer().cloned());
                let found = fitting.by_ref().take(Query::FOUND_MAX).collect();
                (found, fitting.next().is_some())
            }
            Query::Everybody { after } => {
                let from = match after {
                    Some(After::Name(name)) => Bound::Excluded(name.as_str()),
                    _ => Bound::Included(""),
                };
                let named = self.names.range::<str, _>((from, Bound::Unbounded));
                // Behind an id there are none, and nobody goes through all to find that out.
                let named = Some(named).filter(|_| !matches!(after, Some(After::Peer(_))));
                let named = named.into_iter().flatten();
                let from = match after {
                    Some(After::Peer(id)) => Bound::Excluded(*id),
                    _ => Bound::Unbounded,
                };
                let nameless = self.nameless.range((from, Bound::Unbounded));
                let all = named.map(|(_, one)| one).chain(nameless.map(|(_, one)| one));
                let mut all = all.filter(seen).filter_map(|endpoint| endpoint.peer().cloned());
                let found = all.by_ref().take(Query::FOUND_MAX).collect();
                (found, all.next().is_some())
            }
            Query::Service(name) => {
                let service = self.services.get(name).into_iter();
                let mut peers = service
                    .flat_map(|service| service.providers.values())
                    .filter(|endpoint| is_there(&self.ids, endpoint) && seen(endpoint))
                    .filter_map(|endpoint| endpoint.peer().cloned());
                let found = peers.by_ref().take(Query::FOUND_MAX).collect();
                (found, peers.next().is_some())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::session::Session;

    /// What the system takes for an allocation of so many bytes.
    fn allocated(bytes: usize) -> usize {
        (bytes + size_of::<usize>()).next_multiple_of(16)
    }

    /// The worst of a map that has just grown.
    fn in_a_map<K, V>() -> usize {
        (size_of::<(K, V)>() + 1) * 16 / 7
    }

    /// The worst is charged: a service that nobody else provides.
    #[test]
    fn services_and_watches_cost_no_more_than_is_charged_for_them() {
        const PLACES: usize = 11;
        let name = allocated(2 * size_of::<usize>());
        let places = allocated(PLACES * size_of::<(u64, Arc<Endpoint>)>() + 2 * size_of::<usize>());
        let at_the_session = 2 * Session::PROVIDED_BYTES;
        let service = in_a_map::<PeerName, Service>() + name + places + at_the_session;
        assert!((service..2 * service).contains(&SERVICE_BYTES), "{service}");
        let watch = in_a_map::<u64, Watcher>();
        assert!((watch..2 * watch).contains(&WATCH_BYTES), "{watch}");
    }
}
