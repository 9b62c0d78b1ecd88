//! Turns are counted here, and the time is made up: nothing waits.

use super::*;
use proptest::prelude::*;
use std::time::Duration;

const LIMITS: CheckLimits = CheckLimits {
    running_max: 2,
    waiting_max: 6,
    waiting_per_address_max: 4,
    wrong_pause: Duration::from_secs(1),
    remembered: Duration::ZERO,
    prefixes: Prefixes { ipv4: 32, ipv6: 64 },
    loopback_exempt: true,
};

/// A line, and whose turn it has been.
struct Scene {
    line: Line,
    now: Instant,
    /// All that have joined and have not ended.
    there: Vec<Place>,
    tokens: u64,
}

impl Scene {
    fn new(limits: CheckLimits) -> Self {
        Self { line: Line::new(limits), now: Instant::now(), there: Vec::new(), tokens: 0 }
    }

    fn wait(&mut self, ms: u64) {
        self.now += Duration::from_millis(ms);
    }

    /// One more of this address, with a token of its own.
    fn join(&mut self, last: u8) -> Result<Place, Refusal> {
        self.tokens += 1;
        let place = self.line.join(self.now, from(last), self.tokens)?;
        self.there.push(place.clone());
        Ok(place)
    }

    fn look(&mut self, place: &Place) -> Look {
        let look = self.line.look(self.now, place);
        if look == Look::Displaced {
            self.there.retain(|other| other.ticket != place.ticket);
        }
        look
    }

    /// Those who have been given a turn and not noticed it.
    fn called(&mut self) -> Vec<Place> {
        let there = self.there.clone();
        there.into_iter().filter(|place| self.look(place) == Look::Turn).collect()
    }

    /// A turn is over.
    fn end(&mut self, place: &Place, wrong: bool) -> bool {
        self.there.retain(|other| other.ticket != place.ticket);
        self.line.end(self.now, place.origin, wrong.then_some(place.ticket))
    }

    /// One check after the other, as long as somebody is called: whose turn it was. What a token
    /// shows is up to the closure.
    fn turns(&mut self, is_wrong: impl Fn(Origin) -> bool) -> Vec<Origin> {
        let mut turns = Vec::new();
        let mut running = VecDeque::new();
        loop {
            running.extend(self.called());
            let Some(place) = running.pop_front() else { return turns };
            self.end(&place, is_wrong(place.origin));
            turns.push(place.origin);
        }
    }
}

fn from(last: u8) -> Origin {
    Origin::new(Some(IpAddr::from([192, 0, 2, last])))
}

#[test]
fn whoever_comes_while_another_address_floods_has_one_of_the_next_turns() {
    let mut scene = Scene::new(CheckLimits::default());
    let flood = (0..1000).filter(|_| scene.join(1).is_ok()).count();
    assert_eq!(flood, 18, "two are checked and sixteen wait");
    scene.join(2).unwrap();
    scene.join(3).unwrap();
    let refused = scene.join(1).unwrap_err();
    assert_eq!(refused, Refusal::AddressFull);
    let turns = scene.turns(|_| false);
    // The two that were checked already, and one of the flood that had waited before.
    assert_eq!(turns[..6], [1, 1, 1, 2, 3, 1].map(from));
    assert_eq!(turns.len(), 20);
}

#[test]
fn where_all_places_are_taken_the_address_with_the_most_gives_one_up() {
    let mut scene = Scene::new(LIMITS);
    let flood: Vec<_> = (0..6).map(|_| scene.join(1).unwrap()).collect();
    assert_eq!(scene.join(1).unwrap_err(), Refusal::AddressFull);
    let two = [2, 3].map(|last| scene.join(last).unwrap());
    // Now six wait: four, one, one. The flood's last ones go.
    scene.join(4).unwrap();
    assert_eq!(scene.look(&flood[5]), Look::Displaced);
    scene.join(2).unwrap();
    assert_eq!(scene.look(&flood[4]), Look::Displaced);
    let again = scene.there.last().unwrap().clone();
    // Two, two, one and one: of two addresses with the most, the one whose turn comes later.
    scene.join(5).unwrap();
    assert_eq!(scene.look(&again), Look::Displaced);
    scene.join(6).unwrap();
    // One each: a newcomer would have no more right to a place than the others.
    assert_eq!(scene.join(7).unwrap_err(), Refusal::Full);
    assert!(two.iter().all(|place| scene.look(place) == Look::Wait(None)));
    assert_eq!(scene.turns(|_| false), [1, 1, 1, 2, 3, 4, 5, 6].map(from));
}

#[test]
fn whoever_gives_up_gives_its_place_back_and_a_turn_goes_to_the_next() {
    let mut scene = Scene::new(LIMITS);
    let six: Vec<_> = (0..6).map(|_| scene.join(1).unwrap()).collect();
    let _running = scene.called();
    scene.line.leave(scene.now, &six[3]);
    let late = scene.join(1).unwrap();
    assert!(scene.join(1).is_err());
    // The first in the line is called, and goes before it has noticed.
    scene.end(&six[0], false);
    scene.line.leave(scene.now, &six[2]);
    assert_eq!(scene.look(&six[4]), Look::Turn);
    assert_eq!(scene.look(&late), Look::Wait(None));
    // A client that gives up twice takes nothing from others.
    scene.line.leave(scene.now, &six[3]);
    assert_eq!(scene.line.running, 2);
}

#[test]
fn after_ten_wrong_tokens_an_address_pauses_for_each_more_and_others_do_not() {
    let mut scene = Scene::new(CheckLimits { waiting_per_address_max: 100, ..LIMITS });
    let wrong = |scene: &mut Scene, last| {
        let place = scene.join(last).unwrap();
        assert_eq!(scene.look(&place), Look::Turn);
        scene.end(&place, true)
    };
    assert!((0..10).all(|_| !wrong(&mut scene, 1)), "free");
    assert!(wrong(&mut scene, 1), "the eleventh");
    let waits = scene.join(1).unwrap();
    let until = scene.now + Duration::from_secs(1);
    assert_eq!(scene.look(&waits), Look::Wait(Some(until)));
    let other = scene.join(2).unwrap();
    assert_eq!(scene.look(&other), Look::Turn);
    scene.end(&other, false);
    scene.wait(999);
    assert_eq!(scene.look(&waits), Look::Wait(Some(until)));
    scene.wait(1);
    assert_eq!(scene.look(&waits), Look::Turn);
    // A right one costs nothing.
    assert!(!scene.end(&waits, false));
    assert!(wrong(&mut scene, 1));
    scene.wait(11_000);
    assert!((0..10).all(|_| !wrong(&mut scene, 1)), "all is forgiven");
}

#[test]
fn those_who_wait_already_pause_too_and_come_in_their_order() {
    let mut scene = Scene::new(CheckLimits { running_max: 1, waiting_max: 99, ..LIMITS });
    scene.line.limits.waiting_per_address_max = 99;
    (0..13).for_each(|_| drop(scene.join(1).unwrap()));
    assert_eq!(scene.turns(|_| true).len(), 11);
    let (twelfth, thirteenth) = (scene.there[0].clone(), scene.there[1].clone());
    let until = scene.now + Duration::from_secs(1);
    for place in [&twelfth, &thirteenth] {
        assert_eq!(scene.look(place), Look::Wait(Some(until)));
    }
    scene.wait(1000);
    assert_eq!(scene.look(&thirteenth), Look::Wait(None), "the twelfth is called");
    assert_eq!(scene.turns(|_| true), [from(1)]);
    assert!(matches!(scene.look(&thirteenth), Look::Wait(Some(_))));
    scene.wait(1000);
    assert_eq!(scene.turns(|_| false), [from(1)]);
}

#[test]
fn who_tries_the_same_wrong_token_again_and_again_costs_nothing() {
    let mut scene = Scene::new(LIMITS);
    let place = scene.line.join(scene.now, from(1), 7).unwrap();
    assert_eq!(scene.look(&place), Look::Turn);
    scene.line.end(scene.now, from(1), Some(7));
    for _ in 0..100 {
        assert_eq!(scene.line.join(scene.now, from(1), 7).unwrap_err(), Refusal::WrongAgain);
    }
    scene.line.join(scene.now, from(2), 7).expect("from elsewhere it is new");
    scene.line.join(scene.now, from(1), 8).expect("another token is another guess");
    scene.wait(1000);
    scene.line.join(scene.now, from(1), 7).expect("it is forgiven");
}

#[test]
fn the_program_itself_and_the_loopback_are_one_address_without_limits_of_its_own() {
    let loopback = ["127.0.0.1", "127.9.9.9", "::1", "::ffff:127.0.0.1"];
    for (exempt, addresses) in [(true, &loopback[..]), (false, &[]), (true, &[])] {
        let mut origins: Vec<_> =
            addresses.iter().map(|text| Origin::new(Some(text.parse().unwrap()))).collect();
        origins.push(Origin::new(None));
        for origin in origins {
            let mut scene = Scene::new(CheckLimits { loopback_exempt: exempt, ..LIMITS });
            (0..8).for_each(|token| drop(scene.line.join(scene.now, origin, token).unwrap()));
            let full = scene.line.join(scene.now, origin, 9).unwrap_err();
            assert_eq!(full, Refusal::Full, "but in all");
            (0..2).for_each(|token| assert!(!scene.line.end(scene.now, origin, Some(token))));
            assert!((0..20).all(|token| !scene.line.wrongs.knows(scene.now, origin, token)));
        }
    }
    let mut scene = Scene::new(CheckLimits { loopback_exempt: false, ..LIMITS });
    let near = Origin::new(Some(IpAddr::from([127, 0, 0, 1])));
    (0..6).for_each(|token| drop(scene.line.join(scene.now, near, token).unwrap()));
    assert_eq!(scene.line.join(scene.now, near, 7).unwrap_err(), Refusal::AddressFull);
}

proptest! {
    #[test]
    fn nobody_waits_for_more_turns_than_there_are_other_addresses(
        steps in prop::collection::vec((0..4u8, 0..5u8), 1..200),
        running_max in 1..4usize,
    ) {
        let mut scene = Scene::new(CheckLimits { running_max, ..LIMITS });
        let mut running: VecDeque<Place> = VecDeque::new();
        // How many turns others had while the first of an address waited.
        let mut passed: HashMap<Origin, usize> = HashMap::new();
        for (step, last) in steps {
            match step {
                0 | 1 => drop(scene.join(last)),
                2 => running.pop_front().into_iter().for_each(|place| assert!(!scene.end(&place, false))),
                _ => {
                    let waits = |place: &&Place| scene.line.index(place).is_some();
                    if let Some(place) = scene.there.iter().rev().find(waits).cloned() {
                        scene.line.leave(scene.now, &place);
                        scene.there.retain(|other| other.ticket != place.ticket);
                    }
                }
            }
            for place in scene.called() {
                for (origin, row) in &scene.line.rows {
                    if *origin != place.origin && !row.is_empty() {
                        *passed.entry(*origin).or_default() += 1;
                    }
                }
                passed.remove(&place.origin);
                running.push_back(place);
            }
            passed.retain(|origin, _| scene.line.rows.contains_key(origin));
            // Of turns that were given at once the order cannot be seen here.
            prop_assert!(passed.values().all(|turns| *turns < 4 + running_max));
            let waiting: usize = scene.line.rows.values().map(VecDeque::len).sum();
            prop_assert_eq!(waiting, scene.line.waiting);
            prop_assert!(waiting <= LIMITS.waiting_max && running.len() <= running_max);
            prop_assert_eq!(scene.line.running, running.len());
            prop_assert!(waiting == 0 || running.len() == running_max, "no turn is left unused");
            let mut rota: Vec<_> = scene.line.rota.iter().copied().collect();
            prop_assert_eq!(rota.len(), scene.line.rows.len());
            rota.retain(|origin| scene.line.rows.contains_key(origin));
            prop_assert_eq!(rota.len(), scene.line.rows.len());
        }
    }
}

/// Right secrets that are checked, one behind the other, in 10 s while each of 50 addresses always has
/// three wrong ones waiting. A check takes 40 ms.
fn right_ones_in_a_flood(flood: impl Fn(u8) -> Origin, good: Origin) -> usize {
    let limits = CheckLimits { waiting_max: 128, ..LIMITS };
    let mut scene = Scene::new(limits);
    let (mut running, mut good_place, mut right) = (Vec::<Place>::new(), None::<Place>, 0);
    for _ in 0..250 {
        for place in running.split_off(0) {
            let is_good = place.origin == good;
            right += usize::from(is_good);
            good_place = good_place.filter(|_| !is_good);
            scene.end(&place, !is_good);
        }
        for last in 0..50 {
            for _ in 0..3 {
                scene.tokens += 1;
                // Most of them find no place.
                let _ = scene
                    .line
                    .join(scene.now, flood(last), scene.tokens)
                    .map(|place| scene.there.push(place));
            }
        }
        if good_place.is_none() {
            scene.tokens += 1;
            let place = scene.line.join(scene.now, good, scene.tokens);
            good_place = Some(place.expect("who gives no wrong secrets finds a place"));
            scene.there.extend(good_place.clone());
        }
        running.extend(scene.called());
        scene.wait(40);
    }
    right
}

#[test]
fn wrong_secrets_from_many_addresses_do_not_starve_right_ones() {
    let loopback = |last| Origin::new(Some(IpAddr::from([127, 0, 0, last])));
    for (right, what) in [
        (right_ones_in_a_flood(from, from(99)), "addresses that pause"),
        (right_ones_in_a_flood(loopback, loopback(99)), "addresses that are exempt from pauses"),
    ] {
        // Of 500 checks. With turns for all addresses alike it would be ten.
        assert!(right > 80, "{right} right ones: {what}");
    }
}

#[test]
fn guesses_at_what_is_remembered_are_bounded_for_each_address_but_not_for_exempt_ones() {
    let mut scene = Scene::new(LIMITS);
    let tries = |scene: &mut Scene, origin: Origin| {
        let tried = (0..100).filter(|token| {
            let may = scene.line.may_try(scene.now, origin, *token);
            if may {
                scene.line.tried_in_vain(scene.now, origin, *token);
            }
            may
        });
        tried.count()
    };
    assert_eq!(tries(&mut scene, from(1)), 11, "ten, and the one that makes it pause");
    assert_eq!(tries(&mut scene, from(2)), 11, "another address has its own");
    scene.wait(3000);
    assert_eq!(tries(&mut scene, from(1)), 3, "one more each second");
    assert_eq!(tries(&mut scene, Origin::new(None)), 100);
    // Where wrong secrets cost no pause, each is still checked slowly.
    let mut scene = Scene::new(CheckLimits { wrong_pause: Duration::ZERO, ..LIMITS });
    assert_eq!(tries(&mut scene, from(1)), 11);
}
