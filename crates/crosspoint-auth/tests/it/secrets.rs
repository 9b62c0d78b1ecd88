//! Shared secrets: right, wrong, unknown, malformed, and too many at once.

use crate::common::*;
use argon2::password_hash::CustomizedPasswordHasher;
use argon2::{Argon2, Params};
use crosspoint_auth::{
    Authenticator, CheckLimits, Credentials, Denied, HashError, Secret, SecretError, SecretHash,
    Secrets,
};
use crosspoint_hub::{Grant, Limit, Permissions, Reason};
use proptest::prelude::*;
use std::cell::RefCell;
use std::future::poll_fn;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};
use tokio::time::Instant;

/// A hash that costs next to nothing.
fn cheap(secret: &[u8]) -> SecretHash {
    let params = Params::new(8, 1, 1, None).expect("the least cost");
    let salt = b"salt of a test";
    let hash = Argon2::default().hash_password_customized(secret, salt, None, None, params);
    hash.expect("a hash").to_string().parse().expect("a whole hash")
}

fn grant(name: &str) -> Grant {
    Grant { name: Some(name.into()), permissions: Permissions::NOTHING, ..Grant::default() }
}

fn secret(name: &str, secret: &[u8]) -> Secret {
    Secret { name: name.into(), hash: cheap(secret), grant: grant(name) }
}

fn two() -> Secrets {
    Secrets::new([secret("anna", b"swordfish"), secret("bot", b"\xff:\0")]).expect("two names")
}

#[tokio::test]
async fn who_knows_the_secret_gets_what_belongs_to_it() {
    let secrets = two();
    assert_eq!(ask(&secrets, "anna:swordfish").await, Ok(grant("anna")));
    assert_eq!(ask(&secrets, &b"bot:\xff:\0"[..]).await, Ok(grant("bot")));
}

#[tokio::test]
async fn who_does_not_is_refused_and_the_log_hears_why_but_not_the_token() {
    let secrets = two();
    let malformed = "the token is not NAME:SECRET";
    let (name_max, secret_max) = ("n".repeat(255), "s".repeat(1024));
    for (token, why) in [
        ("anna:sword", "wrong secret for \"anna\""),
        ("anna:swordfish ", "wrong secret for \"anna\""),
        ("bot:swordfish", "wrong secret for \"bot\""),
        ("Anna:swordfish", "no secret has the name \"Anna\""),
        ("\n:swordfish", "no secret has the name \"\u{fffd}\""),
        (&format!("anna:{secret_max}"), "wrong secret for \"anna\""),
        (&format!("anna:{secret_max}s"), malformed),
        (
            &format!("{name_max}:swordfish"),
            &format!("no secret has the name \"{}...\"", &name_max[..64]),
        ),
        (&format!("{name_max}n:swordfish"), malformed),
        ("anna:", malformed),
        (":swordfish", malformed),
        (":", malformed),
        ("annaswordfish", malformed),
        ("", malformed),
        (&"x".repeat(9999), "the token has 9999 bytes, more than 2560"),
    ] {
        assert_eq!(refusal(&secrets, token.to_owned()).await, why, "{token}");
    }
    assert_eq!(refusal(&secrets, &b"\xff:swordfish"[..]).await, malformed);
    let nothing = secrets.authenticate(without_token("peote")).await;
    assert_eq!(nothing.unwrap_err().reason, "no token was given");
    assert_eq!(refusal(&Secrets::new([]).unwrap(), "anna:x").await, "there are no secrets");
}

/// Checks wait in a runtime whose only thread for blocking work is held up, so that none is done
/// before the test wants it.
fn with_checks_held(test: impl AsyncFnOnce(mpsc::Sender<()>)) {
    let mut builder = tokio::runtime::Builder::new_current_thread();
    let runtime = builder.max_blocking_threads(1).enable_time().build().expect("a runtime");
    runtime.block_on(async {
        let (release, released) = mpsc::channel::<()>();
        let held = tokio::task::spawn_blocking(move || released.recv());
        test(release).await;
        assert!(held.await.expect("it ends").is_err());
    });
}

#[test]
fn a_flood_is_bounded_and_unknown_names_are_checked_as_known_ones_are() {
    let secrets = two().with_limits(CheckLimits { running_max: 2, ..CheckLimits::default() });
    with_checks_held(async |release| {
        let mut cx = Context::from_waker(Waker::noop());
        let mut ask = |token: &'static str| {
            let mut answer = secrets.authenticate(credentials(token));
            (answer.as_mut().poll(&mut cx), answer)
        };

        // As many of one name as of the other, since names share the places.
        let tokens = ["anna:swordfish", "anna:wrong", "nobody:swordfish", "nobody:wrong"];
        let mut waiting: Vec<_> = tokens.iter().cycle().take(130).map(|token| ask(token)).collect();
        assert!(waiting.iter().all(|(state, _)| state.is_pending()));
        let full = Denied::new(
            "the secret was not checked: too many wait already (auth.checks_waiting_max)",
        );
        let full = full.telling(Reason::Busy).at_limit(Limit::AuthChecksWaiting);
        for token in tokens {
            assert_eq!(ask(token).0, Poll::Ready(Err(full.clone())), "the 131st");
        }
        assert!(ask("malformed").0.is_ready());

        drop(waiting.pop());
        waiting.push(ask("anna:swordfish"));
        assert!(waiting.iter().all(|(state, _)| state.is_pending()));

        drop(release);
        let mut granted = 0;
        for (_, answer) in waiting {
            granted += usize::from(answer.await.is_ok());
        }
        assert_eq!(granted, 34);
    });
}

#[test]
fn while_one_address_floods_another_one_has_the_turn_after_next() {
    let limits = CheckLimits { running_max: 1, ..CheckLimits::default() };
    let secrets = two().with_limits(limits);
    with_checks_held(async |release| {
        // Whose check was done, in the order of the checks.
        let done = RefCell::new(Vec::new());
        let ask = async |last: u8, token: String| {
            let address = Some([192, 0, 2, last].into());
            let verdict = secrets.authenticate(Credentials { address, ..credentials(token) }).await;
            if verdict.as_ref().is_err_and(|denied| denied.told == Reason::Busy) {
                return verdict;
            }
            done.borrow_mut().push(last);
            verdict
        };
        let mut flood: Vec<_> =
            (0..500).map(|guess| Box::pin(ask(1, format!("anna:{guess}")))).collect();
        let mut cx = Context::from_waker(Waker::noop());
        flood.retain_mut(|guess| guess.as_mut().poll(&mut cx).is_pending());
        assert_eq!(flood.len(), 17, "one is checked and sixteen wait");
        let mut honest = Box::pin(ask(2, "anna:swordfish".into()));
        assert!(honest.as_mut().poll(&mut cx).is_pending());

        drop(release);
        let mut granted = None;
        poll_fn(|cx| {
            // First, as several checks may be done by now.
            if granted.is_none()
                && let Poll::Ready(verdict) = honest.as_mut().poll(cx)
            {
                granted = Some(verdict);
            }
            flood.retain_mut(|guess| guess.as_mut().poll(cx).is_pending());
            // Those above ten have to pause, and nobody waits for them here.
            if granted.is_some() && flood.len() <= 6 { Poll::Ready(()) } else { Poll::Pending }
        })
        .await;
        assert_eq!(granted, Some(Ok(grant("anna"))));
        let turn = done.borrow().iter().position(|last| *last == 2);
        assert!(turn.is_some_and(|turn| turn <= 2), "{:?}", done.borrow());
    });
}

#[tokio::test(start_paused = true)]
async fn wrong_secrets_of_one_address_make_it_pause_and_the_metric_is_told() {
    let secrets = two();
    let guess = async |token: String| {
        let address = Some([192, 0, 2, 1].into());
        secrets.authenticate(Credentials { address, ..credentials(token) }).await
    };
    let begun = Instant::now();
    for number in 0..20 {
        let denied = guess(format!("anna:{number}")).await.unwrap_err();
        assert_eq!(denied.told, Reason::NotAllowed, "a guess tells nothing else");
        let limit = (number >= 10).then_some(Limit::AuthWrongPause);
        assert_eq!(denied.limit, limit);
    }
    assert_eq!(begun.elapsed().as_secs(), 9);
    let again = guess("anna:19".into()).await.unwrap_err();
    assert_eq!((again.limit, begun.elapsed().as_secs()), (None, 9), "it is known already");
    assert_eq!(guess("anna:swordfish".into()).await, Ok(grant("anna")));
    assert_eq!(begun.elapsed().as_secs(), 10);
}

#[tokio::test]
async fn a_fresh_hash_is_argon2id_of_the_usual_cost_and_never_the_same_twice() {
    let hash = SecretHash::of(b"swordfish").unwrap();
    let text = hash.to_string();
    assert!(text.starts_with("$argon2id$v=19$m=19456,t=2,p=1$"), "{text}");
    assert_ne!(SecretHash::of(b"swordfish").unwrap(), hash);
    let hash = text.parse().unwrap();
    let secrets = Secrets::new([Secret { name: "a".into(), hash, grant: grant("a") }]).unwrap();
    assert!(ask(&secrets, "a:swordfish").await.is_ok());
    assert!(ask(&secrets, "a:wrong").await.is_err());
    assert!(!format!("{secrets:?}").contains("argon2id"));
}

#[test]
fn only_whole_hashes_of_bounded_cost_are_taken() {
    let hash = cheap(b"swordfish").to_string();
    let salt = hash.split('$').nth(4).unwrap();
    for (text, error) in [
        (hash.clone(), None),
        (hash.replace("m=8,", "m=262144,"), None),
        (hash.replace("m=8,", "m=262145,"), Some(HashError::Cost)),
        (hash.replace("m=8,", "m=7,"), Some(HashError::Cost)),
        (hash.replace("t=1,", "t=17,"), Some(HashError::Cost)),
        (hash.replace("t=1,", "t=0,"), Some(HashError::Cost)),
        (hash.replace("m=8,t=1,p=1", "m=262144,t=1,p=17"), Some(HashError::Cost)),
        (hash.replace("argon2id", "argon2i"), Some(HashError::Function)),
        (hash.replace("argon2id", "scrypt"), Some(HashError::Function)),
        (hash.replace("v=19", "v=16"), Some(HashError::Function)),
        (hash.replace("$v=19", ""), Some(HashError::Function)),
        (hash.rsplit_once('$').unwrap().0.into(), Some(HashError::Text)),
        (format!("$argon2id$v=19$m=8,t=1,p=1${salt}$AAAAAAAAAAAAAAAA"), Some(HashError::Short)),
        (String::new(), Some(HashError::Text)),
        ("swordfish".into(), Some(HashError::Text)),
    ] {
        assert_eq!(text.parse::<SecretHash>().err(), error, "{text}");
    }
    for length in [0, 1025] {
        assert_eq!(SecretHash::of(&vec![1; length]), Err(HashError::SecretLength(length)));
    }
}

#[test]
fn names_are_unique_and_have_no_colon() {
    let of = |names: &[&str]| Secrets::new(names.iter().map(|name| secret(name, b"x"))).err();
    assert_eq!(of(&["a", "b"]), None);
    assert_eq!(of(&["a", "b", "a"]), Some(SecretError::Twice("\"a\"".into())));
    for name in ["", "a:b", &"n".repeat(256)] {
        assert!(matches!(of(&[name]), Some(SecretError::Name(_))), "{name}");
    }
}

proptest! {
    #[test]
    fn nothing_made_up_is_let_in(token in prop_oneof![
        prop::collection::vec(any::<u8>(), 0..300),
        "(anna|bot|):.{0,20}".prop_filter("the secret", |token| token != "anna:swordfish")
            .prop_map(String::into_bytes),
    ]) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        prop_assert!(runtime.block_on(ask(&two(), token)).is_err());
    }
}

/// A check that is polled once, without a place to wait.
fn at_once(secrets: &Secrets, last: u8, token: &str) -> Option<Result<Grant, Reason>> {
    let address = Some([192, 0, 2, last].into());
    let mut asking = secrets.authenticate(Credentials { address, ..credentials(token.to_owned()) });
    match asking.as_mut().poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(answer) => Some(answer.map_err(|denied| denied.told)),
        Poll::Pending => None,
    }
}

#[tokio::test(start_paused = true)]
async fn a_secret_that_was_right_a_moment_ago_needs_no_check_in_a_flood_of_wrong_ones() {
    let limits = CheckLimits { running_max: 1, waiting_max: 0, ..CheckLimits::default() };
    let dear = SecretHash::of(b"dear").expect("a hash");
    let dear = Secret { name: "dear".into(), hash: dear, grant: grant("dear") };
    let make = || {
        let secrets = [dear.clone(), secret("anna", b"swordfish"), secret("bert", b"trout")];
        Secrets::new(secrets).expect("three names").with_limits(limits.clone())
    };
    // A wrong one is being checked, which takes its time.
    let occupy = |secrets: &Secrets| assert_eq!(at_once(secrets, 1, "dear:wrong"), None);
    let busy = Some(Err(Reason::Busy));
    let secrets = make();
    assert_eq!(ask(&secrets, "anna:swordfish").await, Ok(grant("anna")));
    occupy(&secrets);
    assert_eq!(at_once(&secrets, 2, "anna:swordfish"), Some(Ok(grant("anna"))));
    assert_eq!(at_once(&secrets, 2, "anna:swordfisj"), busy);
    assert_eq!(at_once(&secrets, 2, "bert:trout"), busy, "it has not come before");
    // Other secrets, as after a reload, remember nothing.
    let reloaded = make();
    occupy(&reloaded);
    assert_eq!(at_once(&reloaded, 2, "anna:swordfish"), busy);
    // And none for longer than it may.
    let old = make();
    assert_eq!(ask(&old, "anna:swordfish").await, Ok(grant("anna")));
    tokio::time::advance(limits.remembered).await;
    occupy(&old);
    assert_eq!(at_once(&old, 2, "anna:swordfish"), busy);
}

#[test]
fn names_that_secrets_grant_are_reserved() {
    let secrets = two();
    assert!(secrets.reserves("anna") && secrets.reserves("bot") && !secrets.reserves("cid"));
}
