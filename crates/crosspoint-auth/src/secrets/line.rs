//! Who waits for a check, and whose turn it is. Time comes in; nothing here waits by itself.
//!
//! Turns go round the networks that wait, the networks in each of these, and so on to the addresses; every
//! second one goes round the names that are given first. So a client that has neither network nor name
//! in common with a flood waits for one check of each other network or name, and not for the flood. Most turns
//! are for addresses that have given no wrong secret in the last minute, if such wait.

use super::CheckLimits;
use super::attempt::{Attempt, Origin};
use super::groups::{By, Crowd, Member, Newcomer};
use super::wrongs::Wrongs;
use crosspoint_hub::Limit;
use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::Notify;

/// One turn in so many is given without regard to who has given wrong secrets, so that nobody waits
/// for ever.
const BLIND_TURN: u64 = 4;

/// One part in so many of all places is what those who give the same name keep against those who give others.
const NAME_SHARE: usize = 4;

/// For how long a wrong secret puts those of its address behind others.
const SUSPICION: Duration = Duration::from_secs(60);

/// Nobody can be added to the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Refusal {
    #[error("too many wait already ({})", Limit::AuthChecksWaiting)]
    Full,
    #[error("too many of this address wait already ({})", Limit::AuthChecksWaitingPerAddress)]
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
    /// Its place was given to somebody of whose network, address or name fewer wait.
    Displaced,
}

/// A place in the line. It has to be given up with [`Line::leave`] or, once it is a turn, with
/// [`Line::end`].
#[derive(Debug, Clone)]
pub(super) struct Place {
    ticket: u64,
    attempt: Attempt,
    /// Told when there is something new to see.
    pub(super) bell: Arc<Notify>,
}

impl Place {
    pub(super) fn attempt(&self) -> Attempt {
        self.attempt
    }
}

/// One who waits.
#[derive(Debug)]
struct Waiting {
    place: Place,
    member: Member,
}

impl Waiting {
    fn origin(&self) -> Origin {
        self.place.attempt.origin
    }
}

/// The line.
#[derive(Debug)]
pub(super) struct Line {
    limits: CheckLimits,
    /// Those who wait, in the order in which they came.
    waiting: Vec<Waiting>,
    crowd: Crowd,
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
            waiting: Vec::new(),
            crowd: Crowd::default(),
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
    pub(super) fn may_try(&self, now: Instant, attempt: Attempt) -> bool {
        let Attempt { origin, token, .. } = attempt;
        let wrong = self.wrongs.knows(now, origin, token);
        !wrong && self.pause(now, origin).is_none() && self.vain.pause(now, origin).is_none()
    }

    /// It was none of them.
    pub(super) fn tried_in_vain(&mut self, now: Instant, attempt: Attempt) {
        if !self.is_exempt(attempt.origin) {
            self.vain.add(now, attempt.origin, attempt.token);
        }
    }

    /// Adds one that wants a check.
    ///
    /// # Errors
    /// When there is no place for it, or the token need not be checked again.
    pub(super) fn join(&mut self, now: Instant, attempt: Attempt) -> Result<Place, Refusal> {
        if self.wrongs.knows(now, attempt.origin, attempt.token) {
            return Err(Refusal::WrongAgain);
        }
        self.call(now);
        self.next_ticket += 1;
        let place = Place { ticket: self.next_ticket, attempt, bell: Arc::default() };
        // As long as there are turns left, only those wait who have to pause.
        if self.running < self.limits.running_max && self.pause(now, attempt.origin).is_none() {
            self.begin(&place);
            return Ok(place);
        }
        self.make_room(now, attempt)?;
        let member = self.crowd.enter(attempt);
        self.waiting.push(Waiting { place: place.clone(), member });
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
            Some(_) => Look::Wait(self.pause(now, place.attempt.origin)),
            None => Look::Displaced,
        }
    }

    /// The owner of a place does not want it any more, or has not noticed that it has its turn.
    pub(super) fn leave(&mut self, now: Instant, place: &Place) {
        if self.called.remove(&place.ticket) {
            self.running -= 1;
            self.call(now);
        } else if let Some(index) = self.index(place) {
            self.take(index);
        }
    }

    /// A turn is over. Says whether the address has to pause now.
    pub(super) fn end(&mut self, now: Instant, attempt: Attempt, wrong: bool) -> bool {
        let Attempt { origin, token, .. } = attempt;
        self.running -= 1;
        if wrong {
            self.suspects.mark(now, origin);
            if !self.is_exempt(origin) {
                self.wrongs.add(now, origin, token);
            }
        }
        self.call(now);
        let pauses = self.pause(now, origin).is_some();
        if pauses {
            // Now they wait for a time as well.
            let same = self.waiting.iter().filter(|waiting| waiting.origin() == origin);
            same.for_each(|waiting| waiting.place.bell.notify_one());
        }
        pauses
    }

    fn is_exempt(&self, origin: Origin) -> bool {
        match origin.address() {
            Some(address) => self.limits.loopback_exempt && address.is_loopback(),
            // In-process endpoints belong to the program itself.
            None => true,
        }
    }

    fn pause(&self, now: Instant, origin: Origin) -> Option<Instant> {
        self.wrongs.pause(now, origin)
    }

    /// Sees that there is a place for one more.
    fn make_room(&mut self, now: Instant, attempt: Attempt) -> Result<(), Refusal> {
        let newcomer = self.crowd.newcomer(attempt);
        let own = self.crowd.of_address(&newcomer);
        if own >= self.limits.waiting_per_address_max && !self.is_exempt(attempt.origin) {
            return Err(Refusal::AddressFull);
        }
        if self.waiting.len() < self.limits.waiting_max {
            return Ok(());
        }
        let suspicious = self.suspects.has(now, attempt.origin);
        let index = self.displaced_by(now, &newcomer, suspicious).ok_or(Refusal::Full)?;
        self.take(index).bell.notify_one();
        Ok(())
    }

    /// Whose place a newcomer takes, if it has a better right to one.
    fn displaced_by(&self, now: Instant, newcomer: &Newcomer, suspicious: bool) -> Option<usize> {
        let all = || self.waiting.iter().map(|waiting| waiting.member).enumerate();
        let is_suspect = |index: usize| self.suspects.has(now, self.waiting[index].origin());
        let behind = all().filter(|(index, _)| !suspicious && is_suspect(*index));
        let suspect = self.crowd.largest(behind, By::Network, None);
        let by_network = || self.crowd.largest(all(), By::Network, Some(newcomer));
        let by_name = || {
            // Names cost nothing: a network cannot displace others by giving a new one each time, and nobody
            // those of a name that has its share of the places.
            let has_many = self.limits.waiting_max / NAME_SHARE;
            let others = all().filter(|(_, member)| {
                self.crowd.may_compare_names(*member, newcomer)
                    && self.crowd.of_name(*member) > has_many
            });
            self.crowd.largest(others, By::Name, Some(newcomer))
        };
        suspect.or_else(by_network).or_else(by_name)
    }

    /// Gives the turns that are left.
    fn call(&mut self, now: Instant) {
        while self.running < self.limits.running_max
            && let Some(index) = self.next(now)
        {
            self.turns += 1;
            self.crowd.serve(self.waiting[index].member);
            let place = self.take(index);
            self.begin(&place);
            place.bell.notify_one();
        }
    }

    /// Whose turn is the next, if anybody waits who need not pause.
    fn next(&self, now: Instant) -> Option<usize> {
        let by = if self.turns.is_multiple_of(2) { By::Network } else { By::Name };
        let regards = !self.turns.is_multiple_of(BLIND_TURN);
        let all = self.waiting.iter().enumerate();
        let ready = all.filter(|(_, waiting)| self.pause(now, waiting.origin()).is_none());
        let next = ready.min_by_key(|(_, waiting)| {
            let behind = regards && self.suspects.has(now, waiting.origin());
            (behind, self.crowd.rank(waiting.member, by))
        });
        next.map(|(index, _)| index)
    }

    fn begin(&mut self, place: &Place) {
        self.running += 1;
        self.called.insert(place.ticket);
    }

    fn index(&self, place: &Place) -> Option<usize> {
        self.waiting.binary_search_by_key(&place.ticket, |other| other.place.ticket).ok()
    }

    /// Takes one out of those who wait.
    fn take(&mut self, index: usize) -> Place {
        let Waiting { place, member } = self.waiting.remove(index);
        self.crowd.leave(member);
        place
    }
}

#[cfg(test)]
mod tests;
