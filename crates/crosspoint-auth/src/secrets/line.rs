//! Who waits for a check, and whose turn it is. Time comes in; nothing here waits by itself.
//!
//! Those who wait stand in a row for each address, and the rows take turns. So a client that comes from
//! another address than a flood waits for one check of each row, and not for the flood. Most turns
//! are for rows of addresses that have given no wrong secret in the last minute, if such wait.

use super::CheckLimits;
use super::wrongs::Wrongs;
use crosspoint_hub::networks::Prefixes;
use std::collections::{HashMap, HashSet, VecDeque};
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// One turn in so many is given without regard to who has given wrong secrets, so that nobody waits
/// for ever.
const BLIND_TURN: u64 = 4;

/// For how long a wrong secret puts those of its address behind others.
const SUSPICION: Duration = Duration::from_secs(60);

/// Where a client comes from, as far as it shares its turns with others; `None` is the program
/// itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Origin(Option<IpAddr>);

impl Origin {
    pub(super) fn of(address: Option<IpAddr>, prefixes: Prefixes) -> Self {
        Self(address.map(|address| prefixes.holder(address)))
    }

    #[cfg(test)]
    pub(super) fn new(address: Option<IpAddr>) -> Self {
        Self::of(address, Prefixes::default())
    }
}

/// Nobody can be added to the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("too many wait already (auth.checks_waiting_max)")]
    Full,
    #[error("too many of this address wait already (auth.checks_waiting_per_address_max)")]
    AddressFull,
    #[error("the same token was wrong a moment ago")]
    WrongAgain,
}

/// What one who waits sees when it looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Look {
    /// It has its turn.
    Turn,
    /// It has to wait until it is told, or until this time.
    Wait(Option<Instant>),
    /// Its place was given to somebody of an address of which fewer wait.
    Displaced,
}

/// A place in the line. It has to be given up with [`Line::leave`] or, once it is a turn, with
/// [`Line::end`].
#[derive(Debug, Clone)]
pub(super) struct Place {
    ticket: u64,
    origin: Origin,
    /// Told when there is something new to see.
    pub(super) bell: Arc<Notify>,
}

impl Place {
    pub(super) fn origin(&self) -> Origin {
        self.origin
    }
}

/// The line.
#[derive(Debug)]
pub(super) struct Line {
    limits: CheckLimits,
    rows: HashMap<Origin, VecDeque<Place>>,
    /// The origins of the rows. The turn is that of the first.
    rota: VecDeque<Origin>,
    /// How many stand in all rows.
    waiting: usize,
    /// How many turns there are now.
    running: usize,
    /// Turns whose owners have not seen it yet.
    called: HashSet<u64>,
    next_ticket: u64,
    wrongs: Wrongs,
    /// Tokens that were none of those that are known to be right. Bounded as wrong ones are, since to
    /// compare is so fast that guessing would be.
    vain: Wrongs,
    /// Who waits behind others. Nobody is exempt.
    suspects: Wrongs,
    /// How many turns were given.
    turns: u64,
}

/// The least pause after a token in vain. A check of a secret is slow by itself, so that may go without
/// a pause; a comparison may not.
const VAIN_PAUSE_MIN: Duration = Duration::from_secs(1);

impl Line {
    pub(super) fn new(limits: CheckLimits) -> Self {
        Self {
            rows: HashMap::new(),
            rota: VecDeque::new(),
            waiting: 0,
            running: 0,
            called: HashSet::new(),
            next_ticket: 0,
            wrongs: Wrongs::new(limits.wrong_pause),
            vain: Wrongs::new(limits.wrong_pause.max(VAIN_PAUSE_MIN)),
            suspects: Wrongs::new(SUSPICION),
            turns: 0,
            limits: CheckLimits { running_max: limits.running_max.max(1), ..limits },
        }
    }

    /// Whether a token of this address may be compared with those that are known to be right.
    pub(super) fn may_try(&self, now: Instant, origin: Origin, fingerprint: u64) -> bool {
        let wrong = self.wrongs.knows(now, origin, fingerprint);
        !wrong && self.pause(now, origin).is_none() && self.vain.pause(now, origin).is_none()
    }

    /// It was none of them.
    pub(super) fn tried_in_vain(&mut self, now: Instant, origin: Origin, fingerprint: u64) {
        if !self.is_exempt(origin) {
            self.vain.add(now, origin, fingerprint);
        }
    }

    /// Adds one that wants a check of a token with this fingerprint.
    ///
    /// # Errors
    /// When there is no place for it, or the token need not be checked again.
    pub(super) fn join(
        &mut self,
        now: Instant,
        origin: Origin,
        fingerprint: u64,
    ) -> Result<Place, Refusal> {
        if self.wrongs.knows(now, origin, fingerprint) {
            return Err(Refusal::WrongAgain);
        }
        self.call(now);
        self.next_ticket += 1;
        let place = Place { ticket: self.next_ticket, origin, bell: Arc::default() };
        // As long as there are turns left, only those wait who have to pause.
        if self.running < self.limits.running_max && self.pause(now, origin).is_none() {
            self.begin(&place);
            return Ok(place);
        }
        self.make_room(now, origin)?;
        let row = self.rows.entry(origin).or_default();
        if row.is_empty() {
            self.rota.push_back(origin);
        }
        row.push_back(place.clone());
        self.waiting += 1;
        Ok(place)
    }

    /// What the owner of a place sees.
    pub(super) fn look(&mut self, now: Instant, place: &Place) -> Look {
        // A pause may be over.
        self.call(now);
        if self.called.remove(&place.ticket) {
            return Look::Turn;
        }
        match self.index(place) {
            Some(_) => Look::Wait(self.pause(now, place.origin)),
            None => Look::Displaced,
        }
    }

    /// The owner of a place does not want it any more, or has not noticed that it has its turn.
    pub(super) fn leave(&mut self, now: Instant, place: &Place) {
        if self.called.remove(&place.ticket) {
            self.running -= 1;
            self.call(now);
        } else if let Some(index) = self.index(place) {
            self.take(place.origin, index);
        }
    }

    /// A turn is over. If the token was wrong, its fingerprint is given. Says whether the address
    /// has to pause now.
    pub(super) fn end(&mut self, now: Instant, origin: Origin, wrong: Option<u64>) -> bool {
        self.running -= 1;
        if let Some(fingerprint) = wrong {
            self.suspects.mark(now, origin);
            if !self.is_exempt(origin) {
                self.wrongs.add(now, origin, fingerprint);
            }
        }
        self.call(now);
        let pauses = self.pause(now, origin).is_some();
        if pauses && let Some(row) = self.rows.get(&origin) {
            // Now they wait for a time as well.
            row.iter().for_each(|place| place.bell.notify_one());
        }
        pauses
    }

    fn is_exempt(&self, origin: Origin) -> bool {
        match origin.0 {
            Some(address) => self.limits.loopback_exempt && address.is_loopback(),
            // In-process endpoints belong to the program itself.
            None => true,
        }
    }

    fn pause(&self, now: Instant, origin: Origin) -> Option<Instant> {
        self.wrongs.pause(now, origin)
    }

    /// Sees that there is a place for one more of this origin.
    fn make_room(&mut self, now: Instant, origin: Origin) -> Result<(), Refusal> {
        let own = self.rows.get(&origin).map_or(0, VecDeque::len);
        if own >= self.limits.waiting_per_address_max && !self.is_exempt(origin) {
            return Err(Refusal::AddressFull);
        }
        if self.waiting < self.limits.waiting_max {
            return Ok(());
        }
        let is_suspect = |origin: &Origin| self.suspects.has(now, *origin);
        let above_suspicion = !is_suspect(&origin);
        let rows = self.rota.iter().filter_map(|origin| {
            let behind = above_suspicion && is_suspect(origin);
            Some((*origin, behind, self.rows.get(origin)?.len()))
        });
        match rows.max_by_key(|(_, behind, length)| (*behind, *length)) {
            // Not if the two would then take the place from each other in turns.
            Some((longest, behind, length)) if behind || length > own + 1 => {
                if let Some(place) = self.take(longest, length - 1) {
                    place.bell.notify_one();
                }
                Ok(())
            }
            _ => Err(Refusal::Full),
        }
    }

    /// Gives the turns that are left.
    fn call(&mut self, now: Instant) {
        while self.running < self.limits.running_max {
            let is_ready = |origin: &Origin| self.pause(now, *origin).is_none();
            let is_first = |origin: &Origin| is_ready(origin) && !self.suspects.has(now, *origin);
            let regards = !self.turns.is_multiple_of(BLIND_TURN);
            let first = self.rota.iter().position(is_first).filter(|_| regards);
            let ready = first.or_else(|| self.rota.iter().position(is_ready));
            let Some(origin) = ready.and_then(|index| self.rota.remove(index)) else { return };
            // Behind all others, if more of it wait.
            self.rota.push_back(origin);
            self.turns += 1;
            if let Some(place) = self.take(origin, 0) {
                self.begin(&place);
                place.bell.notify_one();
            }
        }
    }

    fn begin(&mut self, place: &Place) {
        self.running += 1;
        self.called.insert(place.ticket);
    }

    fn index(&self, place: &Place) -> Option<usize> {
        self.rows.get(&place.origin)?.iter().position(|other| other.ticket == place.ticket)
    }

    /// Takes one out of its row, and the row away if it was the last.
    fn take(&mut self, origin: Origin, index: usize) -> Option<Place> {
        let row = self.rows.get_mut(&origin)?;
        let place = row.remove(index)?;
        self.waiting -= 1;
        if row.is_empty() {
            self.rows.remove(&origin);
            self.rota.retain(|other| *other != origin);
        }
        Some(place)
    }
}

#[cfg(test)]
mod tests;
