//! Turns are counted here, and the time is made up: nothing waits.

use super::*;
use crosspoint_hub::networks::Prefixes;
use proptest::prelude::*;
use std::collections::{HashMap, VecDeque};
use std::net::{IpAddr, Ipv6Addr};
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
        self.join_as(from(last), 0)
    }

    /// The same with this name.
    fn join_as(&mut self, origin: Origin, name: u64) -> Result<Place, Refusal> {
        self.tokens += 1;
        let attempt = Attempt { origin, name, token: self.tokens };
        let place = self.line.join(self.now, attempt)?;
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
        self.line.end(self.now, place.attempt, wrong)
    }

    /// One check after the other, as long as somebody is called: whose turn it was. What a token
    /// shows is up to the closure.
    fn turns(&mut self, is_wrong: impl Fn(Origin) -> bool) -> Vec<Origin> {
        let mut turns = Vec::new();
        let mut running = VecDeque::new();
        loop {
            running.extend(self.called());
            let Some(place) = running.pop_front() else { return turns };
            let origin = place.attempt.origin;
            self.end(&place, is_wrong(origin));
            turns.push(origin);
        }
    }
}

fn from(last: u8) -> Origin {
    Origin::new(Some(IpAddr::from([192, 0, 2, last])))
}

fn attempt(origin: Origin, token: u64) -> Attempt {
    Attempt { origin, name: 0, token }
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
    let guess = attempt(from(1), 7);
    let place = scene.line.join(scene.now, guess).unwrap();
    assert_eq!(scene.look(&place), Look::Turn);
    scene.line.end(scene.now, guess, true);
    for _ in 0..100 {
        assert_eq!(scene.line.join(scene.now, guess).unwrap_err(), Refusal::WrongAgain);
    }
    scene.line.join(scene.now, attempt(from(2), 7)).expect("from elsewhere it is new");
    scene.line.join(scene.now, attempt(from(1), 8)).expect("another token is another guess");
    scene.wait(1000);
    scene.line.join(scene.now, guess).expect("it is forgiven");
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
            (0..8).for_each(|_| drop(scene.join_as(origin, 0).unwrap()));
            assert_eq!(scene.join_as(origin, 0).unwrap_err(), Refusal::Full, "but in all");
            for token in 0..2 {
                assert!(!scene.line.end(scene.now, attempt(origin, token), true));
            }
            assert!((0..20).all(|token| !scene.line.wrongs.knows(scene.now, origin, token)));
        }
    }
    let mut scene = Scene::new(CheckLimits { loopback_exempt: false, ..LIMITS });
    let near = Origin::new(Some(IpAddr::from([127, 0, 0, 1])));
    (0..6).for_each(|_| drop(scene.join_as(near, 0).unwrap()));
    assert_eq!(scene.join_as(near, 0).unwrap_err(), Refusal::AddressFull);
}

proptest! {
    #[test]
    fn nobody_waits_for_more_turns_than_there_are_other_addresses_and_names(
        steps in prop::collection::vec((0..4u8, 0..5u8, 0..3u64), 1..200),
        running_max in 1..4usize,
    ) {
        let mut scene = Scene::new(CheckLimits { running_max, ..LIMITS });
        let mut running: VecDeque<Place> = VecDeque::new();
        // How many turns others had while somebody of an address waited.
        let mut passed: HashMap<Origin, usize> = HashMap::new();
        for (step, last, name) in steps {
            match step {
                0 | 1 => drop(scene.join_as(from(last), name)),
                2 => running.pop_front().into_iter().for_each(|place| assert!(!scene.end(&place, false))),
                _ => {
                    let waits = |place: &&Place| scene.line.index(place).is_some();
                    if let Some(place) = scene.there.iter().rev().find(waits).cloned() {
                        scene.line.leave(scene.now, &place);
                        scene.there.retain(|other| other.ticket != place.ticket);
                    }
                }
            }
            let waiting = |line: &Line| -> HashSet<_> {
                line.waiting.iter().map(Waiting::origin).collect()
            };
            for place in scene.called() {
                for origin in waiting(&scene.line) {
                    if origin != place.attempt.origin {
                        *passed.entry(origin).or_default() += 1;
                    }
                }
                passed.remove(&place.attempt.origin);
                running.push_back(place);
            }
            passed.retain(|origin, _| waiting(&scene.line).contains(origin));
            // Each second turn goes round the four others. Of turns that were given at once the order
            // cannot be seen here.
            prop_assert!(passed.values().all(|turns| *turns <= 2 * 4 + running_max));
            let waiting = scene.line.waiting.len();
            prop_assert!(waiting <= LIMITS.waiting_max && running.len() <= running_max);
            prop_assert_eq!(scene.line.running, running.len());
            prop_assert!(waiting == 0 || running.len() == running_max, "no turn is left unused");
            prop_assert_eq!(waiting == 0, scene.line.crowd.is_empty());
        }
    }
}

/// What wrong secrets are sent from, and for which name: a new one each time they are asked.
type Flood<'a> = &'a mut dyn FnMut() -> (Origin, u64);

/// Comes to the line every 250 ms for 10 s, each time somebody else, with a right secret: how many are let in, and the
/// longest wait of them in milliseconds. Meanwhile 400 wrong secrets come in a second. Two checks run at once, each
/// for 40 ms.
fn newcomers_in_a_flood(flood: Flood<'_>, good: impl Fn(u8) -> (Origin, u64)) -> (usize, u128) {
    let mut scene = Scene::new(CheckLimits { running_max: 2, ..CheckLimits::default() });
    // What runs and when it is over; who waits with a right secret since when.
    let (mut running, mut honest) =
        (Vec::<(Place, Instant)>::new(), HashMap::<u64, Instant>::new());
    let (mut right, mut longest) = (0, Duration::ZERO);
    for ms in 0..10_000u64 {
        let (over, on): (Vec<_>, Vec<_>) =
            running.into_iter().partition(|(_, until)| *until <= scene.now);
        running = on;
        for (place, _) in over {
            let wrong = !honest.contains_key(&place.ticket);
            scene.end(&place, wrong);
        }
        if ms % 5 < 2 {
            let (origin, name) = flood();
            // Most of them find no place.
            let _ = scene.join_as(origin, name);
        }
        if ms % 250 == 100 {
            let (origin, name) = good(u8::try_from(ms / 250).expect("forty come"));
            if let Ok(place) = scene.join_as(origin, name) {
                honest.insert(place.ticket, scene.now);
            }
        }
        for place in scene.called() {
            if let Some(since) = honest.get(&place.ticket) {
                right += 1;
                longest = longest.max(scene.now - *since);
            }
            running.push((place, scene.now + Duration::from_millis(40)));
        }
        scene.wait(1);
    }
    (right, longest.as_millis())
}

#[test]
fn wrong_secrets_from_many_networks_of_one_provider_keep_no_newcomer_out() {
    let mut count = 0;
    // A new /64 each time, all of one /48.
    let mut flood = || {
        count += 1;
        let address = Ipv6Addr::from_bits((0x2001_0db8_0666_u128 << 80) | (count << 64) | 1);
        (Origin::new(Some(address.into())), 0)
    };
    let elsewhere = |number: u8| match number % 3 {
        0 => (Origin::new(Some(IpAddr::from([203, number, 113, 9]))), 0),
        1 => (Origin::new(Some(Ipv6Addr::new(0x2a00, 1, number.into(), 0, 0, 0, 0, 1).into())), 0),
        // A neighbour: another customer of the same provider.
        _ => (
            Origin::new(Some(Ipv6Addr::new(0x2001, 0xdb8, number.into(), 0, 0, 0, 0, 1).into())),
            0,
        ),
    };
    let (right, longest) = newcomers_in_a_flood(&mut flood, elsewhere);
    assert!(right == 40 && longest <= 400, "{right} right ones, the longest in {longest} ms");
    // With a new name each time.
    let mut names = 0;
    let mut flood = || {
        names += 1;
        (flood().0, names)
    };
    let (right, longest) = newcomers_in_a_flood(&mut flood, elsewhere);
    assert!(right == 40 && longest <= 800, "{right} right ones, the longest in {longest} ms");
}

#[test]
fn wrong_secrets_for_one_name_from_anywhere_keep_no_newcomer_of_another_name_out() {
    let mut count = 0;
    // Networks that have nothing to do with each other.
    let mut flood = || {
        count += 1;
        (Origin::new(Some(IpAddr::V4((count * 0x0001_0203 + 0x1400_0001).into()))), 666)
    };
    let another = |number: u8| (Origin::new(Some(IpAddr::from([8, number, 1, 1]))), number.into());
    let (right, longest) = newcomers_in_a_flood(&mut flood, another);
    assert!(right == 40 && longest <= 400, "{right} right ones, the longest in {longest} ms");
    // What nothing tells from the flood comes in as seldom as that: one in eight.
    let same = |number: u8| (another(number).0, 666);
    let (right, _) = newcomers_in_a_flood(&mut flood, same);
    assert!((1..15).contains(&right), "{right} right ones");
    // Nor if the flood gives a new name each time.
    let mut names = 1000;
    let mut flood = || {
        names += 1;
        (flood().0, names)
    };
    let (right, _) = newcomers_in_a_flood(&mut flood, same);
    assert!((1..15).contains(&right), "{right} right ones");
}

#[test]
fn wrong_secrets_for_one_name_through_a_proxy_that_tells_no_addresses_keep_no_other_name_out() {
    let proxy = Origin::new(Some(IpAddr::from([127, 0, 0, 1])));
    let another = |number: u8| (proxy, number.into());
    let (right, longest) = newcomers_in_a_flood(&mut || (proxy, 666), another);
    assert!(right == 40 && longest <= 400, "{right} right ones, the longest in {longest} ms");
}

#[test]
fn new_names_from_anywhere_take_no_places_from_those_who_share_one() {
    let anywhere = |number: u32| Origin::new(Some(IpAddr::V4((number << 16).into())));
    let proxy = |_| Origin::new(None);
    for from in [anywhere, proxy] {
        let mut scene = Scene::new(CheckLimits { running_max: 1, ..CheckLimits::default() });
        let players: Vec<_> = (1..=33).map(|n| scene.join_as(from(n), 0).unwrap()).collect();
        (34..=129).for_each(|n| drop(scene.join_as(from(n), n.into()).unwrap()));
        for number in 130..1000 {
            let refused = scene.join_as(from(number), number.into()).unwrap_err();
            assert_eq!(refused, Refusal::Full);
        }
        assert!(players[1..].iter().all(|place| scene.look(place) == Look::Wait(None)));
    }
}

#[test]
fn a_new_name_each_time_takes_no_place_from_another_network() {
    let mut scene = Scene::new(LIMITS);
    let players: Vec<_> = (1..=5).map(|last| scene.join(last).unwrap()).collect();
    let flood = |number: u16| Ipv6Addr::new(0x2001, 0xdb8, 1, number, 0, 0, 0, 1).into();
    let flood = |number| Origin::new(Some(flood(number)));
    (0..3).for_each(|name| drop(scene.join_as(flood(name), 100 + u64::from(name)).unwrap()));
    for name in 3..100 {
        let refused = scene.join_as(flood(name), 100 + u64::from(name)).unwrap_err();
        assert_eq!(refused, Refusal::Full);
    }
    assert!(players[2..].iter().all(|place| scene.look(place) == Look::Wait(None)));
}

/// Right secrets that are checked, one behind the other, in 10 s while each of 50 addresses always has
/// three wrong ones waiting. A check takes 40 ms.
fn right_ones_in_a_flood(flood: impl Fn(u8) -> Origin, good: Origin) -> usize {
    let limits = CheckLimits { waiting_max: 128, ..LIMITS };
    let mut scene = Scene::new(limits);
    let (mut running, mut good_place, mut right) = (Vec::<Place>::new(), None::<Place>, 0);
    for _ in 0..250 {
        for place in running.split_off(0) {
            let is_good = place.attempt.origin == good;
            right += usize::from(is_good);
            good_place = good_place.filter(|_| !is_good);
            scene.end(&place, !is_good);
        }
        for last in 0..50 {
            for _ in 0..3 {
                // Most of them find no place.
                let _ = scene.join_as(flood(last), 0);
            }
        }
        if good_place.is_none() {
            let place = scene.join_as(good, 0);
            good_place = Some(place.expect("who gives no wrong secrets finds a place"));
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
            let may = scene.line.may_try(scene.now, attempt(origin, *token));
            if may {
                scene.line.tried_in_vain(scene.now, attempt(origin, *token));
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
