//! Shared secrets: right, wrong, unknown, malformed, and too many at once.

mod common;

use argon2::password_hash::CustomizedPasswordHasher;
use argon2::{Argon2, Params};
use common::*;
use crosspoint_auth::{Authenticator, HashError, Secret, SecretError, SecretHash, Secrets};
use crosspoint_hub::{Grant, Permissions};
use proptest::prelude::*;
use std::sync::mpsc;
use std::task::{Context, Poll, Waker};

/// A hash that costs next to nothing.
fn cheap(secret: &[u8]) -> SecretHash {
    let params = Params::new(8, 1, 1, None).expect("the least cost");
    let salt = b"salt of a test";
    let hash = Argon2::default().hash_password_customized(secret, salt, None, None, params);
    hash.expect("a hash").to_string().parse().expect("a whole hash")
}

fn grant(name: &str) -> Grant {
    Grant { name: Some(name.into()), permissions: Permissions::NOTHING }
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

#[test]
fn a_flood_is_bounded_and_unknown_names_are_checked_as_known_ones_are() {
    // The only thread for blocking work is held up, so that no check is done before the test wants it.
    let runtime =
        tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build().unwrap();
    let secrets = two();
    runtime.block_on(async {
        let (release, released) = mpsc::channel::<()>();
        let held = tokio::task::spawn_blocking(move || released.recv());
        let mut cx = Context::from_waker(Waker::noop());
        let mut ask = |token: &'static str| {
            let mut answer = secrets.authenticate(credentials(token));
            (answer.as_mut().poll(&mut cx), answer)
        };

        let tokens = ["anna:swordfish", "anna:wrong", "nobody:swordfish"];
        let mut waiting: Vec<_> = tokens.iter().cycle().take(66).map(|token| ask(token)).collect();
        assert!(waiting.iter().all(|(state, _)| state.is_pending()));
        let full = "the secret was not checked: too many wait already";
        for token in tokens {
            let Poll::Ready(Err(denied)) = ask(token).0 else { panic!("the 67th waits") };
            assert_eq!(denied.reason, full);
        }
        assert!(ask("malformed").0.is_ready());

        drop(waiting.pop());
        waiting.push(ask("anna:swordfish"));
        assert!(waiting.iter().all(|(state, _)| state.is_pending()));

        drop(release);
        assert!(held.await.unwrap().is_err());
        let mut granted = 0;
        for (_, answer) in waiting {
            granted += usize::from(answer.await.is_ok());
        }
        assert_eq!(granted, 23);
    });
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
