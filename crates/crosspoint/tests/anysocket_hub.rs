//! AnySocket clients of this library at a Crosspoint hub.
#![allow(clippy::unwrap_used, reason = "a failing helper fails its test")]

use crosspoint::anysocket::{
    Arg, Call, Client, ClientBuilder, ConnectError, Ended, Message, Peer, PeerError, ProxyError,
    Value, peer_id,
};
use crosspoint::{HubOptions, Server};
use serde_json::json;

fn echoing() -> ClientBuilder {
    Client::builder()
        .on_message(|message: Message| async move { message.read::<Value>().unwrap() })
        .serve("ns.who", |call: Call| async move {
            Ok::<_, PeerError>(call.peer().peer_id().unwrap().to_string())
        })
}

async fn converse(peer: &Peer) {
    assert_eq!(
        peer.request(&json!({"how": "are you?"})).await.unwrap(),
        json!({"how": "are you?"})
    );
    let own = peer.own_id().to_string();
    assert_eq!(peer.call("ns.who", Arg::NONE).await.unwrap(), own.into());
    assert!(peer.clock().await.unwrap().offset_ms.abs() < 5000.0);
    let text = json!("x".repeat(1_100_000));
    assert!(peer.request(&text).await.unwrap() == text, "a large text comes back");
}

#[tokio::test]
async fn clients_meet_at_a_hub_and_what_kills_originals_harms_nobody() {
    let hub = Server::new(HubOptions::default());
    let address = format!("ws://{}/", hub.listen("127.0.0.1:0".parse().unwrap()).unwrap());
    let target = echoing().connect(&address).await.unwrap();
    let asker = echoing().connect(&address).await.unwrap();
    // An id in use is noticed before anything is said.
    let again = echoing().id(target.own_id()).connect(&address).await;
    assert!(matches!(again, Err(ConnectError::Refused { .. })), "{again:?}");
    assert!(asker.clock().await.unwrap().offset_ms.abs() < 5000.0);

    for encrypted in [false, true] {
        if encrypted {
            asker.secure().await.unwrap();
        }
        let there = asker.proxy(target.own_id()).await.unwrap();
        let back = target.accept().await.unwrap();
        converse(&there).await;
        converse(&back).await;
        let (ours, theirs) = tokio::join!(there.secure(), back.secure());
        assert_eq!(ours.unwrap(), theirs.unwrap());
        converse(&there).await;
        converse(&back).await;
        tokio::join!(there.close(), back.close());
    }
    let unknown = peer_id("c4c4c4c412344abcbdef445566778899").unwrap();
    let refused = asker.proxy(unknown).await;
    assert!(matches!(refused, Err(PeerError::Proxy(ProxyError::Refused))), "{refused:?}");

    let there = asker.proxy(target.own_id()).await.unwrap();
    target.close().await;
    assert!(matches!(there.closed().await, Ended::There));
    assert!(asker.clock().await.is_ok());
    hub.stop().await;
    assert!(matches!(asker.closed().await, Ended::There));
}
