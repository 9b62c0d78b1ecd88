//! Links to other sessions, and what waits on them.
//!
//! A client says whom it means by name in each event. For each name that it says there is a link, opened when it is
//! said first: a [way](Links::way). The other side answers over it, and uses a link of its own for what it says by
//! itself. Only the opener closes a link, so nothing is on its way over it then.

use super::foreign::{Foreign, Shared};
use crate::link::IDLE_TIME;
use crate::socketio::carry::NUMBER_MAX;
use crate::socketio::elements;
use crosspoint_hub::command::Peer;
use crosspoint_hub::{LinkNumber, PeerId};
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

/// Behind the name of who opens streams to a client without being its target. Nobody is called so: the plugin says it of
/// its server.
const SERVER_SIDE: &str = "--server-side";

/// What a client tells a service that it wants a topic. Services of other protocols say the same.
pub(super) const SUBSCRIBE: &str = "SUBSCRIBE_TOPIC";

/// How often at the most it is looked for acknowledgements that take too long.
const LOOK_TIME: Duration = Duration::from_millis(250);

/// How many numbers questions have over one link. The bit above them is for a mark.
const NUMBERS: u32 = NUMBER_MAX / 2 + 1;

/// Whom a client means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Addressed {
    /// The session with this name, or with this id.
    Client(Box<str>),
    /// One that provides this service.
    Service(Box<str>),
    /// The session with this name or id, as more than somebody to say events to. A client of Socket.IO is the same as
    /// both.
    Target(Box<str>),
}

impl Addressed {
    /// Whether it looks like the id of a session, as those without a name are told of.
    pub(super) fn is_id(&self) -> bool {
        match self {
            Self::Client(text) | Self::Target(text) => text.parse::<PeerId>().is_ok(),
            Self::Service(_) => false,
        }
    }
}

/// All links of a session.
#[derive(Debug, Default)]
pub(super) struct Links {
    links: BTreeMap<LinkNumber, Box<PeerLink>>,
    ways: BTreeMap<Addressed, LinkNumber>,
    /// How many acknowledgements the client waits for.
    waiting: usize,
    /// What links to peers of other protocols share.
    pub(super) shared: Shared,
    /// When the first way may have become idle.
    due: Option<Instant>,
    /// When the first acknowledgement may have to be given up.
    overdue: Option<Instant>,
}

/// One link.
#[derive(Debug)]
pub(super) struct PeerLink {
    /// What the other side is called: its name, or else its id. Behind it is [`SERVER_SIDE`] if the client was not told
    /// that it is there.
    pub(super) name: Box<str>,
    /// For whom the client wanted it.
    to: Option<Addressed>,
    used: Instant,
    /// What the client is told when the link ends.
    pub(super) notices: Notices,
    pub(super) pair: Option<Pair>,
    /// The client's side of the peer layer, where the other side speaks something else than Socket.IO.
    pub(super) foreign: Option<Box<Foreign>>,
    /// What the other side has yet to acknowledge.
    waiting: BTreeMap<u32, Wait>,
    next: u32,
}

/// How often the client is told that the other side has gone, for each form of the news.
#[derive(Debug, Default, Clone, Copy)]
pub(super) struct Notices {
    /// `TARGET_DISCONNECT`.
    pub(super) plain: u32,
    /// `MULTI_API_TARGET_DISCONNECT`.
    pub(super) multi: u32,
}

/// The side of a client in a pair of the first generation.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pair {
    /// It has asked for it.
    Source,
    /// It was asked.
    Target,
}

/// An acknowledgement that is waited for.
#[derive(Debug, Clone, Copy)]
struct Wait {
    what: Waiting,
    /// When it is given up, if ever.
    until: Option<Instant>,
}

/// What a client waits for that has not emitted an event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Function {
    /// That the other client is its target.
    Target,
    /// A stream.
    Stream,
    /// The stream of a pair.
    PairStream,
    /// That the other client has entered, or left, the room of a topic.
    Topic,
}

/// What becomes of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Waiting {
    /// The client gets it under this number.
    Relay(u64),
    /// The same, and whoever gives it may put the client into the room of a topic before.
    Topic(u64),
    /// It says whether there is a pair. The client gets it, if it has asked for an answer.
    Pair(Option<u64>),
    /// The client gets it under this number, unless it takes too long.
    Function(u64, Function),
    /// It is too late. If there is a pair, that is over.
    LatePair,
    /// The client hears that its pair is over, unless it has heard so already.
    Unpair(u64),
}

impl Waiting {
    /// What a client waits for that says an event to somebody, which is JSON.
    pub(super) fn relayed(event: &str, id: u64) -> Self {
        match elements::text(event).as_deref() {
            Some(SUBSCRIBE) => Self::Topic(id),
            _ => Self::Relay(id),
        }
    }
}

impl PeerLink {
    /// What a question takes that waits.
    pub(super) const WAITING_BYTES: usize = 80;

    /// Whether the other side speaks something else than Socket.IO.
    pub(super) fn is_foreign(&self) -> bool {
        self.foreign.is_some()
    }

    /// For whom the client has wanted the link.
    pub(super) fn addressed(&self) -> Option<&Addressed> {
        self.to.as_ref()
    }

    /// Whether nothing would be missed if the link were closed.
    fn is_idle(&self) -> bool {
        let Notices { plain, multi } = self.notices;
        let has_more = self.foreign.as_ref().is_some_and(|foreign| foreign.is_used());
        self.waiting.is_empty() && plain == 0 && multi == 0 && self.pair.is_none() && !has_more
    }
}

impl Links {
    pub(super) fn get(&self, link: LinkNumber) -> Option<&PeerLink> {
        self.links.get(&link).map(|link| &**link)
    }

    pub(super) fn get_mut(&mut self, link: LinkNumber) -> Option<&mut PeerLink> {
        self.links.get_mut(&link).map(|link| &mut **link)
    }

    /// The link, and what it shares with others.
    pub(super) fn get_mut_with_shared(
        &mut self,
        link: LinkNumber,
    ) -> Option<(&mut PeerLink, &mut Shared)> {
        Some((self.links.get_mut(&link)?, &mut self.shared))
    }

    /// What waits takes so many bytes.
    pub(super) fn bytes(&self) -> usize {
        self.waiting * PeerLink::WAITING_BYTES + self.shared.bytes()
    }

    /// How many acknowledgements the client waits for.
    pub(super) fn waiting(&self) -> usize {
        self.waiting
    }

    /// The link to somebody, if there is one.
    pub(super) fn way(&mut self, now: Instant, to: &Addressed) -> Option<LinkNumber> {
        let link = *self.ways.get(to)?;
        if let Some(known) = self.links.get_mut(&link) {
            known.used = now;
        }
        Some(link)
    }

    /// A link has begun, which the client wanted to somebody or the other side has opened.
    pub(super) fn add(
        &mut self,
        now: Instant,
        link: LinkNumber,
        peer: &Peer,
        to: Option<Addressed>,
        is_for_requests: bool,
        foreign: Option<Foreign>,
    ) {
        if let Some(to) = &to {
            self.ways.insert(to.clone(), link);
            self.due = self.due.or(Some(now + IDLE_TIME));
        }
        let name = match &peer.name {
            Some(name) => name.to_string(),
            None => peer.id.to_string(),
        };
        let is_apart = is_for_requests && to.is_none() && foreign.is_some();
        let name = if is_apart { name + SERVER_SIDE } else { name }.into();
        let new = PeerLink {
            name,
            to,
            used: now,
            notices: Notices::default(),
            pair: None,
            foreign: foreign.map(Box::new),
            waiting: BTreeMap::new(),
            next: 0,
        };
        self.links.insert(link, Box::new(new));
    }

    /// A link has ended. What was waited for over it never comes.
    pub(super) fn remove(&mut self, link: LinkNumber) -> Option<Box<PeerLink>> {
        let gone = self.links.remove(&link)?;
        self.waiting -= gone.waiting.len();
        if let Some(to) = &gone.to
            && self.ways.get(to) == Some(&link)
        {
            self.ways.remove(to);
        }
        Some(gone)
    }

    /// Notes that the client waits for an acknowledgement, until a time if there is one. Gives its number on this link.
    pub(super) fn wait(
        &mut self,
        link: LinkNumber,
        what: Waiting,
        until: Option<Instant>,
    ) -> Option<u32> {
        let known = self.links.get_mut(&link)?;
        // There are fewer than numbers, as a session may wait for so many only.
        while known.waiting.contains_key(&known.next) {
            known.next = (known.next + 1) % NUMBERS;
        }
        let number = known.next;
        known.next = (number + 1) % NUMBERS;
        known.waiting.insert(number, Wait { what, until });
        self.waiting += 1;
        // Times are those of this moment and one of two lengths, so the first is seldom missed.
        self.overdue = self.overdue.into_iter().chain(until).min();
        Some(number)
    }

    /// The same under a number that the machine of the link has given.
    pub(super) fn wait_for(&mut self, link: LinkNumber, number: u32, what: Waiting) {
        if let Some(known) = self.links.get_mut(&link) {
            known.waiting.insert(number, Wait { what, until: None });
            self.waiting += 1;
        }
    }

    /// Takes the acknowledgements that have taken too long. Where there may be a pair, the answer is still waited for.
    pub(super) fn take_overdue(&mut self, now: Instant) -> Vec<(LinkNumber, Waiting)> {
        if self.overdue.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let (mut overdue, mut first) = (Vec::new(), None);
        for (link, known) in &mut self.links {
            known.waiting.retain(|_, wait| match wait.until {
                Some(until) if until <= now => {
                    overdue.push((*link, wait.what));
                    let may_be_pair = matches!(wait.what, Waiting::Pair(_));
                    *wait = Wait { what: Waiting::LatePair, until: None };
                    may_be_pair
                }
                until => {
                    first = first.into_iter().chain(until).min();
                    true
                }
            });
        }
        let pairs = overdue.iter().filter(|(_, what)| matches!(what, Waiting::Pair(_)));
        self.waiting -= overdue.len() - pairs.count();
        // All are looked at each time, so not for each one.
        self.overdue = first.map(|first: Instant| first.max(now + LOOK_TIME));
        overdue
    }

    /// An acknowledgement has come. `None`: nobody waits for it.
    pub(super) fn acknowledged(&mut self, link: LinkNumber, number: u32) -> Option<Waiting> {
        let known = self.links.get_mut(&link)?;
        let Wait { what, .. } = known.waiting.remove(&number)?;
        if known.waiting.is_empty() {
            // An empty map keeps the memory of eleven.
            known.waiting = BTreeMap::new();
        }
        self.waiting -= 1;
        Some(what)
    }

    /// Nobody waits for that any more.
    pub(super) fn forget(&mut self, what: Waiting) {
        let links = self.links.values_mut();
        let forgotten = links.map(|link| {
            let before = link.waiting.len();
            link.waiting.retain(|_, wait| wait.what != what);
            before - link.waiting.len()
        });
        self.waiting -= forgotten.sum::<usize>();
    }

    /// Whether the client waits for the answer to its wish to have a topic, over this link.
    pub(super) fn wishes_topic(&self, link: LinkNumber) -> bool {
        let is_wish = |wait: &Wait| matches!(wait.what, Waiting::Topic(_));
        self.links.get(&link).is_some_and(|known| known.waiting.values().any(is_wish))
    }

    /// The link over which the client has a pair.
    pub(super) fn paired(&self) -> Option<LinkNumber> {
        let paired = self.links.iter().find(|(_, known)| known.pair.is_some());
        paired.map(|(link, _)| *link)
    }

    /// The other side of a link provides a service no longer. The next call looks for another one that does.
    pub(super) fn forget_service(&mut self, link: LinkNumber, service: &str) {
        let to = Addressed::Service(service.into());
        if self.ways.get(&to) == Some(&link) {
            self.ways.remove(&to);
        }
    }

    /// The links that other clients of Socket.IO have opened.
    pub(super) fn accepted(&self) -> impl Iterator<Item = LinkNumber> {
        let accepted = |known: &PeerLink| known.to.is_none() && !known.is_foreign();
        self.links.iter().filter(move |(_, known)| accepted(known)).map(|(link, _)| *link)
    }

    /// Forgets all, and gives the links.
    pub(super) fn take_all(&mut self) -> impl Iterator<Item = LinkNumber> + use<> {
        std::mem::take(self).links.into_keys()
    }

    /// When [`Links::idle`] or [`Links::take_overdue`] has something to say.
    pub(super) fn due(&self) -> Option<Instant> {
        self.due.into_iter().chain(self.overdue).min()
    }

    /// The links that the client has wanted and that nobody has used for a while, but for those to somebody who is needed
    /// by this name.
    pub(super) fn idle(
        &mut self,
        now: Instant,
        is_needed: impl Fn(&str) -> bool,
    ) -> Vec<LinkNumber> {
        if self.due.is_none_or(|due| due > now) {
            return Vec::new();
        }
        let wanted = |known: &PeerLink| known.to.is_some();
        let idle: Vec<_> = self
            .links
            .iter()
            .filter(|(_, known)| wanted(known) && known.is_idle() && known.used + IDLE_TIME <= now)
            .filter(|(_, known)| !is_needed(&known.name))
            .map(|(link, _)| *link)
            .collect();
        let left = self.links.values().filter(|known| wanted(known)).count() > idle.len();
        self.due = left.then(|| now + IDLE_TIME);
        idle
    }

    /// The idle way that was used longest ago.
    pub(super) fn longest_idle(&self) -> Option<LinkNumber> {
        let idle = self.links.iter().filter(|(_, known)| known.to.is_some() && known.is_idle());
        idle.min_by_key(|(_, known)| known.used).map(|(link, _)| *link)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socketio::wire::LINK_BYTES;

    #[test]
    fn a_link_takes_no_more_than_is_charged_for_it() {
        const MAP_ENTRIES: usize = 3 * size_of::<(LinkNumber, Box<PeerLink>)>();
        let bytes = size_of::<PeerLink>() + size_of::<Foreign>() + MAP_ENTRIES;
        assert!(bytes <= LINK_BYTES, "{bytes} bytes");
    }
}
