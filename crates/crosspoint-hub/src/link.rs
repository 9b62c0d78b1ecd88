//! Links: a private way between two sessions.
//!
//! A link's lock is held for a push into one outbox. Each end hears of the link before its first
//! message, and nothing of it after its end. What an end is, and how it is written to, is not known here: `E` is an
//! [`Endpoint`](crate::Endpoint), and [`delivery`](crate::delivery) writes.

use crate::gathering::Gathering;
use crate::ids::LinkNumber;
use crate::ledger::{Charge, Holder};
use crate::limit::Limit;
use crate::reason::Reason;
use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

/// One side of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Side {
    Opener = 0,
    Accepter = 1,
}

impl Side {
    fn other(self) -> Self {
        match self {
            Self::Opener => Self::Accepter,
            Self::Accepter => Self::Opener,
        }
    }
}

/// A way between two sessions.
#[derive(Debug)]
pub(crate) struct Link<E> {
    state: Mutex<State<E>>,
    /// Paid by the one who opens it, until neither end knows it any more.
    cost: Charge,
    /// The sessions of its two sides, if there can be only one such link between them.
    single: Option<[u64; 2]>,
}

#[derive(Debug)]
struct State<E> {
    ends: [Option<End<E>>; 2],
    /// What has come from each side and is not whole, if the other one has to have it whole.
    gathering: [Gathering; 2],
    ended: bool,
}

#[derive(Debug)]
pub(crate) struct End<E> {
    pub(crate) endpoint: Arc<E>,
    pub(crate) number: LinkNumber,
}

impl<E> Link<E> {
    /// What a link costs, besides what the protocols of its ends keep: itself, an entry at each end, and
    /// there an open message and a pause. The events that tell the ends lie between one link and the next,
    /// and the system does not get their places back while those live.
    pub(crate) const BYTES: usize = 640;

    /// A link without ends.
    pub(crate) fn new(cost: Charge, single: Option<[u64; 2]>) -> Self {
        let state = State { ends: [None, None], gathering: Default::default(), ended: false };
        Self { state: Mutex::new(state), cost, single }
    }

    /// The session at the other side, if there can be only one such link to it.
    fn single_to(&self, side: Side) -> Option<u64> {
        self.single.map(|sessions| sessions[side.other() as usize])
    }

    /// Whom the one who has opened it is known by.
    fn openers(&self) -> impl Iterator<Item = &Holder> {
        self.cost.account().holders()
    }

    fn lock(&self) -> MutexGuard<'_, State<E>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Joins the opener and the accepter, and lets both be told before anything else. Gives whether the other one
    /// has not ended it already.
    pub(crate) fn join(&self, ends: [End<E>; 2], tell: impl FnOnce(&[End<E>; 2])) -> bool {
        let mut state = self.lock();
        if state.ended {
            return false;
        }
        tell(&ends);
        state.ends = ends.map(Some);
        true
    }

    /// Lets something be sent from one side to the other, if that is there.
    pub(crate) fn send<T>(
        &self,
        from: Side,
        send: impl FnOnce(&End<E>, &mut Gathering) -> T,
    ) -> Option<T> {
        let mut state = self.lock();
        let State { ends, gathering, .. } = &mut *state;
        let receiver = ends[from.other() as usize].as_ref()?;
        Some(send(receiver, &mut gathering[from as usize]))
    }

    /// Who is at the other side, if that has not ended it.
    pub(crate) fn other(&self, side: Side) -> Option<Arc<E>> {
        self.lock().ends[side.other() as usize].as_ref().map(|end| end.endpoint.clone())
    }

    /// One side ends it, and lets the other be told, if that is there.
    pub(crate) fn end(&self, by: Side, tell: impl FnOnce(&End<E>)) {
        let mut state = self.lock();
        state.ended = true;
        let ends = std::mem::take(&mut state.ends);
        state.gathering = Default::default();
        if let Some(other) = &ends[by.other() as usize] {
            tell(other);
        }
    }
}

/// Why a session has not one link more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Refused {
    /// [`Reason::NoSuchPeer`] if it has ended, [`Reason::TooManyLinks`], [`Reason::Exhausted`].
    pub(crate) reason: Reason,
    /// The limit, if it is to be counted.
    pub(crate) limit: Option<Limit>,
}

impl Refused {
    fn at(limit: Limit) -> Self {
        Self { reason: Reason::TooManyLinks, limit: Some(limit) }
    }
}

/// The links of one session. Others add to it, so it is locked.
#[derive(Debug)]
pub(crate) struct Links<E> {
    /// Boxed, as most sessions have none.
    open: Option<Box<Open<E>>>,
    next: u32,
    closed: bool,
}

/// At least one link.
#[derive(Debug)]
struct Open<E> {
    /// In the order of their numbers. Each message looks one up, and there are few.
    links: BTreeMap<LinkNumber, (Arc<Link<E>>, Side)>,
    /// How many there are of each side, so that others cannot use up what a session may open.
    counts: [usize; 2],
    /// How many of them one address or identity has opened, of those that others have.
    openers: HashMap<Holder, usize>,
    /// The links of which there can be only one, by the session at the other side.
    singles: HashMap<u64, LinkNumber>,
}

impl<E> Default for Links<E> {
    fn default() -> Self {
        Self { open: None, next: 0, closed: false }
    }
}

impl<E> Default for Open<E> {
    fn default() -> Self {
        Self {
            links: BTreeMap::new(),
            counts: [0; 2],
            openers: HashMap::new(),
            singles: HashMap::new(),
        }
    }
}

impl<E> Links<E> {
    /// Adds a link that the session opens, if it may have opened one more.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) fn open(&mut self, link: Arc<Link<E>>, most: usize) -> Result<LinkNumber, Refused> {
        self.add(link, Side::Opener, most, Limit::Links)
    }

    /// Adds a link that somebody has opened to the session, if others may have opened one more, and all
    /// who share an address or identity with the opener.
    ///
    /// # Errors
    /// See [`Refused`].
    pub(crate) fn accept(
        &mut self,
        link: Arc<Link<E>>,
        most: usize,
        most_of_one: usize,
    ) -> Result<LinkNumber, Refused> {
        let openers = self.open.as_ref().map(|open| &open.openers);
        let number = |holder| openers.and_then(|openers| openers.get(holder)).copied();
        if link.openers().any(|holder| number(holder).unwrap_or_default() >= most_of_one) {
            return Err(Refused::at(Limit::LinksAcceptedPerAddress));
        }
        self.add(link, Side::Accepter, most, Limit::LinksAccepted)
    }

    fn add(
        &mut self,
        link: Arc<Link<E>>,
        side: Side,
        most: usize,
        limit: Limit,
    ) -> Result<LinkNumber, Refused> {
        if self.closed {
            return Err(Refused { reason: Reason::NoSuchPeer, limit: None });
        }
        let count = self.open.as_ref().map_or(0, |open| open.counts[side as usize]);
        if count >= most || self.next == u32::MAX {
            return Err(Refused::at(limit));
        }
        let number = LinkNumber(self.next);
        self.next += 1;
        self.open.get_or_insert_default().add(number, link, side);
        Ok(number)
    }

    /// Whether there is a link to this session of which there can be only one.
    pub(crate) fn has_single(&self, to: u64) -> bool {
        self.open.as_ref().is_some_and(|open| open.singles.contains_key(&to))
    }

    pub(crate) fn get(&self, number: LinkNumber) -> Option<&(Arc<Link<E>>, Side)> {
        self.open.as_ref()?.links.get(&number)
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.open.as_ref().map_or(0, |open| open.links.len())
    }

    /// All, in the order of their numbers.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (LinkNumber, Arc<Link<E>>, Side)> {
        let links = self.open.iter().flat_map(|open| &open.links);
        links.map(|(number, (link, side))| (*number, link.clone(), *side))
    }

    pub(crate) fn remove(&mut self, number: LinkNumber) -> Option<(Arc<Link<E>>, Side)> {
        let open = self.open.as_mut()?;
        let link = open.remove(number);
        if open.links.is_empty() {
            // An idle session owns no buffers.
            self.open = None;
        }
        link
    }

    /// Gives all, in the order of their numbers, and lets nobody add more. They are still known:
    /// what waits for the session says things of them.
    pub(crate) fn close(&mut self) -> Vec<(Arc<Link<E>>, Side)> {
        self.closed = true;
        self.open.iter().flat_map(|open| open.links.values().cloned()).collect()
    }
}

impl<E> Open<E> {
    fn add(&mut self, number: LinkNumber, link: Arc<Link<E>>, side: Side) {
        self.counts[side as usize] += 1;
        if let Some(other) = link.single_to(side) {
            self.singles.insert(other, number);
        }
        if side == Side::Accepter {
            for holder in link.openers() {
                *self.openers.entry(holder.clone()).or_default() += 1;
            }
        }
        self.links.insert(number, (link, side));
    }

    fn remove(&mut self, number: LinkNumber) -> Option<(Arc<Link<E>>, Side)> {
        let (link, side) = self.links.remove(&number)?;
        self.counts[side as usize] -= 1;
        if side == Side::Accepter {
            self.forget_opener(&link);
        }
        if let Some(other) = link.single_to(side)
            && self.singles.get(&other) == Some(&number)
        {
            self.singles.remove(&other);
        }
        Some((link, side))
    }

    fn forget_opener(&mut self, link: &Link<E>) {
        for holder in link.openers() {
            if let Some(count) = self.openers.get_mut(holder) {
                *count -= 1;
                if *count == 0 {
                    self.openers.remove(holder);
                }
            }
        }
        if self.openers.is_empty() {
            self.openers = HashMap::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ledger::{Ledger, Purpose};
    use crate::limits::Limits;
    use prometheus_client::metrics::family::Family;

    fn link() -> Link<()> {
        let ledger = Arc::new(Ledger::new(&Limits::default(), Family::default()));
        Link::new(ledger.account(None, "lines").charge(Purpose::Stored, 0), None)
    }

    fn add(links: &mut Links<()>) -> Result<u32, Reason> {
        let number = links.open(Arc::new(link()), 2);
        number.map(|number| number.0).map_err(|refused| refused.reason)
    }

    #[test]
    fn numbers_are_used_once_and_end_before_they_would_come_again() {
        let mut links = Links::default();
        assert_eq!([add(&mut links), add(&mut links)], [Ok(0), Ok(1)]);
        assert_eq!(add(&mut links), Err(Reason::TooManyLinks));
        // What others open takes nothing away.
        assert_eq!(links.accept(Arc::new(link()), 1, 1), Ok(LinkNumber(2)));
        assert!(links.remove(LinkNumber(0)).is_some() && links.remove(LinkNumber(0)).is_none());
        assert_eq!(add(&mut links), Ok(3));
        let mut last = Links { next: u32::MAX - 1, ..Links::default() };
        assert_eq!(add(&mut last), Ok(u32::MAX - 1));
        assert_eq!(add(&mut last), Err(Reason::TooManyLinks));
    }

    #[test]
    fn who_has_ended_gets_no_link_and_knows_those_that_there_were() {
        let mut links = Links::default();
        assert_eq!(add(&mut links), Ok(0));
        assert_eq!(links.close().len(), 1);
        assert_eq!(add(&mut links), Err(Reason::NoSuchPeer));
        assert!(links.get(LinkNumber(0)).is_some());
    }
}
