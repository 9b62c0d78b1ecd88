//! Authenticators of one's own, several in turn, and where the token comes from.

use crate::common::*;
use bytes::Bytes;
use crosspoint_auth::{Anyone, Authenticator, Credentials, Denied, Either, Swap, from_fn};
use crosspoint_hub::{Grant, Limit, Permissions, Reason};
use std::sync::Arc;

fn named(name: &str) -> Grant {
    Grant { name: Some(name.into()), ..Grant::default() }
}

/// Lets in who gives this token, under this name.
fn gate(token: &'static str, name: &'static str) -> Arc<dyn Authenticator> {
    Arc::new(from_fn(move |credentials: Credentials| async move {
        tokio::task::yield_now().await;
        match credentials.token(100)? == token.as_bytes() {
            true => Ok(named(name)),
            false => Err(Denied::new(format!("not {token}"))),
        }
    }))
}

#[tokio::test]
async fn the_first_that_grants_decides_and_a_refusal_has_the_reasons_of_all() {
    let either = Either::new([gate("a", "first"), gate("b", "second"), gate("b", "third")]);
    assert_eq!(ask(&either, "a").await, Ok(named("first")));
    assert_eq!(ask(&either, "b").await, Ok(named("second")));
    assert_eq!(refusal(&either, "c").await, "not a; not b; not b");
    assert!(ask(&Either::new([]), "a").await.is_err());
}

#[tokio::test]
async fn one_that_is_too_busy_to_look_decides_and_what_tells_more_is_told() {
    let saying = |told: Reason, limit: Option<Limit>| -> Arc<dyn Authenticator> {
        let denied = Denied { limit, ..Denied::new(format!("says {told:?}")).telling(told) };
        Arc::new(from_fn(move |_| std::future::ready(Err(denied.clone()))))
    };
    let busy = || saying(Reason::Busy, Some(Limit::AuthChecksWaiting));
    let either = Either::new([gate("a", "first"), busy(), Arc::new(Anyone::default())]);
    assert_eq!(ask(&either, "a").await, Ok(named("first")));
    let denied = ask(&either, "b").await.unwrap_err();
    assert_eq!((denied.told, denied.limit), (Reason::Busy, Some(Limit::AuthChecksWaiting)));

    let expired = || saying(Reason::Expired, None);
    for choices in [[gate("a", "first"), expired()], [expired(), gate("a", "first")]] {
        let denied = ask(&Either::new(choices), "b").await.unwrap_err();
        assert_eq!(denied.told, Reason::Expired);
    }
    let limited = Either::new([saying(Reason::NotAllowed, Some(Limit::AuthWrongPause)), expired()]);
    let denied = ask(&limited, "b").await.unwrap_err();
    let limit = Some(Limit::AuthWrongPause);
    assert_eq!((&*denied.reason, denied.limit), ("says NotAllowed; says Expired", limit));
}

#[tokio::test]
async fn anyone_gets_the_same_and_keeps_the_name_it_gives_itself() {
    let anyone = Anyone(Permissions::NOTHING);
    for credentials in [credentials("x"), without_token("peote")] {
        let grant = anyone.authenticate(credentials).await;
        assert_eq!(grant, Ok(Grant { permissions: Permissions::NOTHING, ..Grant::default() }));
    }
    let either = Either::new([gate("a", "first"), Arc::new(anyone)]);
    assert_eq!(either.authenticate(without_token("peote")).await.unwrap().name, None);
}

#[test]
fn a_client_hears_nothing_but_that_it_is_not_allowed_unless_something_else_is_said() {
    let denied = Denied::new("no such name");
    assert_eq!(Reason::from(denied.clone()), Reason::NotAllowed);
    assert_eq!(Reason::from(denied.telling(Reason::Busy)), Reason::Busy);
}

#[test]
fn programs_with_anysocket_or_socket_io_give_their_token_as_text_or_number_or_in_an_object() {
    let long = format!("\"{}\"", "x".repeat(99));
    for (auth, token) in [
        (r#""anna:sword\u0066ish""#, Some("anna:swordfish")),
        (r#" { "token": "x", "more": [1] } "#, Some("x")),
        (r#""""#, Some("")),
        // A number is the text of its digits.
        (r#"{"token":1}"#, Some("1")),
        (" 17 ", Some("17")),
        ("-0012", None),
        ("12345678901234567890.50", Some("12345678901234567890.50")),
        ("true", None),
        (r#"{"token":"a","token":"b"}"#, None),
        (r#"{}"#, None),
        ("null", None),
        (r#"["x"]"#, None),
        ("anna:swordfish", None),
        ("", None),
        (&long, None),
        (&"[".repeat(100), None),
    ] {
        let token = token.map(str::as_bytes);
        let auth = Bytes::copy_from_slice(auth.as_bytes());
        for protocol in [Credentials::ANYSOCKET, Credentials::SOCKETIO] {
            let as_json = Credentials { token: Some(auth.clone()), ..without_token(protocol) };
            assert_eq!(as_json.token(100).ok().as_deref(), token, "{auth:?}");
        }
        let as_bytes = credentials(auth.clone()).token(100).map(|token| token.to_vec()).ok();
        assert_eq!(as_bytes, (auth.len() <= 100).then(|| auth.to_vec()));
    }
}

#[test]
fn a_token_is_taken_without_what_programs_put_around_it() {
    let bare = |protocol, token: &'static str| {
        let token = Some(token.into());
        let credentials = Credentials { token, ..without_token(protocol) };
        credentials.token(100).map(|token| String::from_utf8(token.into_owned()).unwrap())
    };
    for token in ["a:b c", "a:b c\n", "a:b c\r\n", "Bearer a:b c", "bearer a:b c\n"] {
        assert_eq!(bare("native", token), Ok("a:b c".to_owned()), "{token:?}");
    }
    assert_eq!(bare("anysocket", r#"{"token": "Bearer a:b\n"}"#), Ok("a:b".to_owned()));
    // Neither is anything else.
    for token in ["", " a", "a ", "Bearer", "a\nb", "a Bearer b"] {
        assert_eq!(bare("native", token), Ok(token.to_owned()));
    }
}

#[tokio::test]
async fn one_authenticator_takes_the_place_of_another() {
    let swap = Swap::new(gate("old", "Old"));
    let ask = async |token: &'static str| {
        let credentials = Credentials { token: Some(token.into()), ..without_token("native") };
        swap.authenticate(credentials).await.is_ok()
    };
    assert!(ask("old").await && !ask("new").await);
    swap.set(gate("new", "New"));
    assert!(!ask("old").await && ask("new").await);
}

#[test]
fn the_token_is_never_shown() {
    let shown = format!("{:?}", credentials("swordfish"));
    assert!(shown.contains("native") && !shown.contains("swordfish"), "{shown}");
}
