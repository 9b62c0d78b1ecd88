//! Which sessions can be resumed at a hub, and what is remembered of those that cannot any more.
//! Time comes in; what leads to a session is up to the caller.

use super::receipt::{Totals, Why};
use super::token::Token;
use crate::absences::Absences;
use std::collections::hash_map::Entry;
use std::collections::{HashMap, VecDeque};
use std::time::{Duration, Instant};

/// Bounds of what a registry remembers.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Sessions that are remembered after their end.
    pub(crate) tombstones_max: usize,
    /// For how long.
    pub(crate) tombstone: Duration,
}

/// What is remembered of a session.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tombstone {
    pub(crate) why: Why,
    pub(crate) received: Totals,
    pub(crate) sent: Totals,
    /// Whether there was more to send than `sent` says.
    pub(crate) more: bool,
}

/// What is known about a token.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Found<T> {
    Alive(T),
    Dead(Tombstone),
    Nothing,
}

/// Sessions by their tokens.
#[derive(Debug)]
pub(crate) struct Registry<T> {
    bounds: Bounds,
    alive: HashMap<Token, T>,
    pub(crate) absences: Absences,
    dead: HashMap<Token, Tombstone>,
    /// The dead in the order of their ends.
    buried: VecDeque<(Instant, Token)>,
}

impl<T: Clone> Registry<T> {
    pub(crate) fn new(bounds: Bounds, absences: Absences) -> Self {
        Self {
            bounds,
            alive: HashMap::new(),
            absences,
            dead: HashMap::new(),
            buried: VecDeque::new(),
        }
    }

    /// Adds a session, unless the token is known, which chance will not do.
    pub(crate) fn add(&mut self, token: Token, way: T) -> bool {
        match self.alive.entry(token) {
            Entry::Occupied(_) => false,
            Entry::Vacant(_) if token == Token::NEW || self.dead.contains_key(&token) => false,
            Entry::Vacant(vacant) => {
                vacant.insert(way);
                true
            }
        }
    }

    pub(crate) fn find(&mut self, now: Instant, token: Token) -> Found<T> {
        self.forget(now);
        match (self.alive.get(&token), self.dead.get(&token)) {
            (Some(way), _) => Found::Alive(way.clone()),
            (None, Some(tombstone)) => Found::Dead(*tombstone),
            (None, None) => Found::Nothing,
        }
    }

    /// A session has ended that was never let in. Nothing is remembered of it: a flood of strangers
    /// would make the hub forget those who were.
    pub(crate) fn turn_away(&mut self, token: Token) {
        self.alive.remove(&token);
    }

    /// A session has ended.
    pub(crate) fn bury(&mut self, now: Instant, token: Token, tombstone: Tombstone) {
        self.alive.remove(&token);
        self.forget(now);
        self.dead.insert(token, tombstone);
        self.buried.push_back((now, token));
        while self.buried.len() > self.bounds.tombstones_max {
            self.forget_oldest();
        }
    }

    fn forget(&mut self, now: Instant) {
        let long_ago = |at: Instant| now.saturating_duration_since(at) >= self.bounds.tombstone;
        let count = self.buried.iter().take_while(|(at, _)| long_ago(*at)).count();
        for _ in 0..count {
            self.forget_oldest();
        }
    }

    fn forget_oldest(&mut self) {
        if let Some((_, token)) = self.buried.pop_front() {
            self.dead.remove(&token);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::Limits;

    fn registry() -> Registry<u8> {
        let tombstone = Duration::from_secs(600);
        Registry::new(Bounds { tombstones_max: 2, tombstone }, Absences::new(0, &Limits::default()))
    }

    fn token(number: u8) -> Token {
        Token::new([number; 16])
    }

    fn tombstone(bytes: u64) -> Tombstone {
        let totals = Totals { bytes, frames: None };
        Tombstone { why: Why::Expired, received: totals, sent: totals, more: false }
    }

    #[test]
    fn a_token_leads_to_its_session_then_to_its_tombstone_and_then_nowhere() {
        let (mut registry, now) = (registry(), Instant::now());
        assert!(registry.add(token(1), 10));
        assert!(!registry.add(token(1), 11) && !registry.add(Token::NEW, 12));
        assert_eq!(registry.find(now, token(1)), Found::Alive(10));
        registry.bury(now, token(1), tombstone(7));
        assert!(!registry.add(token(1), 11), "nobody gets the token of a dead one");
        let almost = now + Duration::from_millis(599_999);
        assert_eq!(registry.find(almost, token(1)), Found::Dead(tombstone(7)));
        assert_eq!(registry.find(now + Duration::from_secs(600), token(1)), Found::Nothing);
        assert!(registry.dead.is_empty() && registry.alive.is_empty());
    }

    #[test]
    fn above_the_bound_of_tombstones_the_oldest_is_forgotten() {
        let (mut registry, now) = (registry(), Instant::now());
        for number in 1..=3 {
            registry.bury(now, token(number), tombstone(number.into()));
        }
        assert_eq!(registry.find(now, token(1)), Found::Nothing);
        assert_eq!(registry.find(now, token(2)), Found::Dead(tombstone(2)));
        assert_eq!(registry.find(now, token(3)), Found::Dead(tombstone(3)));
        assert_eq!((registry.dead.len(), registry.buried.len()), (2, 2));
    }
}
