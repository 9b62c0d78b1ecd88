//! Sessions that are in a WebSocket from the beginning.

use super::*;
use crate::common::until;
use crosspoint_hub::Reason;
use crosspoint_net::engineio::{Handshake, Inner};
use crosspoint_net::gateway::{Context, NewSession, Refused};
use std::time::Duration;

#[tokio::test]
async fn a_session_in_a_websocket_opens_carries_both_kinds_and_closes() {
    let served = serve();
    for (revision, most, header) in [(4, Some("1000000"), &b""[..]), (3, None, &[4])] {
        let query = format!("EIO={revision}&transport=websocket");
        let (mut ws, opened) = Ws::session(served.memory(), &query).await;
        assert_eq!(value(&opened, "sid").len(), 22);
        assert_eq!(value(&opened, "upgrades"), "[");
        assert_eq!(value(&opened, "pingInterval"), "25000");
        assert_eq!(value(&opened, "pingTimeout"), "20000");
        assert_eq!(most.map(|_| value(&opened, "maxPayload")), most);
        ws.say("4hello €").await;
        assert_eq!(ws.text().await, "4hello €");
        let bytes = [header, &[1, 2, 3, 0xff]].concat();
        ws.send(Opcode::Binary, &bytes).await;
        assert_eq!(ws.binary().await, bytes);
        ws.say("1").await;
        assert_eq!(ws.closed().await, 1000);
    }
    served.empty().await;
}

#[tokio::test]
async fn a_packet_that_is_none_closes_the_websocket() {
    let served = serve();
    for wrong in ["abc", "7", "", "2"] {
        let (mut ws, _) = Ws::session(served.memory(), "EIO=4&transport=websocket").await;
        ws.say(wrong).await;
        assert_eq!(ws.closed().await, 1002, "{wrong}");
    }
}

#[tokio::test(start_paused = true)]
async fn who_does_not_answer_heartbeats_is_closed() {
    let served = serve();
    let (mut four, _) = Ws::session(served.memory(), "EIO=4&transport=websocket").await;
    let (mut three, _) = Ws::session(served.memory(), "EIO=3&transport=websocket").await;
    let begun = tokio::time::Instant::now();
    let (four, three) = tokio::join!(
        async {
            assert_eq!(four.text().await, "2");
            assert_eq!(begun.elapsed().as_secs(), 25);
            four.say("3").await;
            assert_eq!(four.text().await, "2");
            (four.closed().await, begun.elapsed().as_secs())
        },
        async {
            tokio::time::sleep(Duration::from_secs(40)).await;
            three.say("2probe").await;
            assert_eq!(three.text().await, "3probe");
            (three.closed().await, begun.elapsed().as_secs())
        }
    );
    assert_eq!((four, three), ((1008, 70), (1008, 85)));
    until("both are gone", || served.closed(Reason::HeartbeatLost) == 2).await;
}

#[tokio::test]
async fn an_upgrade_that_asks_for_no_session_is_refused_before_it_is_one() {
    let served = serve();
    for (query, code, message) in [
        ("transport=websocket", 5, "Unsupported protocol version"),
        ("EIO=abc&transport=websocket", 5, "Unsupported protocol version"),
        ("EIO=5&transport=websocket", 5, "Unsupported protocol version"),
        ("EIO=4", 0, "Transport unknown"),
        ("EIO=4&transport=abc", 0, "Transport unknown"),
        ("EIO=4&transport=polling", 3, "Bad request"),
        ("EIO=4&transport=websocket&sid=", 1, "Session ID unknown"),
        ("EIO=4&transport=websocket&sid=AAAAAAAAAAAAAAAAAAAAAA", 1, "Session ID unknown"),
    ] {
        let answer = refused(&served, query).await;
        let json = format!(r#"{{"code":{code},"message":"{message}"}}"#);
        assert_eq!(said(&answer), (400, &*json), "{query}");
        assert_eq!(answer.header("Content-Type"), Some("application/json"));
    }
    // The first value counts.
    Ws::session(served.memory(), "EIO=4&transport=websocket&EIO=9").await;
}

/// A protocol that is switched off.
#[derive(Debug)]
struct Off;

impl Inner for Off {
    fn name(&self) -> &'static str {
        "off"
    }

    fn refusal(&self) -> Option<Refused> {
        Some(Refused::unknown("it is \"off\""))
    }

    fn open(&self, _: &Context<'_>, _: &Handshake<'_>) -> Result<NewSession, Refused> {
        unreachable!("it was refused before")
    }
}

#[tokio::test]
async fn a_protocol_that_is_not_served_says_so() {
    let served = serve_with(Config::default(), HttpOptions::default(), Arc::new(Off));
    let answer = refused(&served, "EIO=4&transport=websocket").await;
    assert_eq!(said(&answer), (403, r#"{"code":4,"message":"Forbidden: it is 'off'"}"#));
}
