//! AnySocket clients of this library at a Crosspoint hub.

use crosspoint::anysocket::{
    Arg, Call, Client, ClientBuilder, ConnectError, Ended, Message, Peer, PeerError, ProxyError,
    Value, peer_id,
};
use crosspoint::{
    EncryptError, Hub, HubOptions, Node, PeerId, Server, ServerOptions, Shape, gateways,
};
use serde_json::json;
use std::time::Duration;

const LONG: Duration = Duration::from_secs(60);

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

#[tokio::test]
async fn the_hub_s_program_encrypts_its_clients() {
    let hub = Server::new(HubOptions::default());
    let address = format!("ws://{}/", hub.listen("127.0.0.1:0".parse().unwrap()).unwrap());
    let client = echoing().connect(&address).await.unwrap();
    let id = client.own_id();
    assert_eq!((client.secured(), hub.hub().secured(id)), (None, None));
    // It goes on when nobody waits any more.
    let late = EncryptError::TimedOut { peer: id, after: Duration::ZERO };
    assert_eq!(hub.secure(id, Duration::ZERO).await, Err(late));
    let fingerprint = hub.secure(id, LONG).await.unwrap();
    assert_eq!(client.secure().await.unwrap(), fingerprint);
    assert_eq!(hub.secure(id, LONG).await, Ok(fingerprint));
    assert!(client.clock().await.is_ok());

    // Both at once.
    for _ in 0..20 {
        let client = echoing().connect(&address).await.unwrap();
        let (theirs, ours) = tokio::join!(client.secure(), hub.secure(client.own_id(), LONG));
        assert_eq!(theirs.unwrap(), ours.unwrap());
        assert!(client.clock().await.is_ok());
    }

    // Who goes, who cannot, who is not there.
    let client = echoing().connect(&address).await.unwrap();
    let (gone, ()) = tokio::join!(hub.secure(client.own_id(), LONG), client.close());
    // It may have answered before it went.
    let told = gone.is_ok() || matches!(gone, Err(EncryptError::Ended(_)));
    assert!(told, "{gone:?}");
    let native = Node::builder().connect(hub.inside(Shape::default())).await.unwrap();
    let id = native.peer_id();
    assert_eq!(hub.secure(id, LONG).await, Err(EncryptError::Unsupported(id)));
    let nobody = PeerId::new([9; 16]);
    assert_eq!(hub.secure(nobody, LONG).await, Err(EncryptError::NoSuchPeer(nobody)));
    hub.stop().await;
}

#[tokio::test]
async fn a_hub_that_encrypts_by_itself_is_spoken_to_as_any_other() {
    let anysocket = gateways::AnySocket { encrypt: true, ..gateways::AnySocket::default() };
    let gateways = gateways::standard().with(anysocket);
    let options = ServerOptions { gateways, ..ServerOptions::default() };
    let hub = Server::with_hub(Hub::new(HubOptions::default()), options);
    let address = format!("ws://{}/", hub.listen("127.0.0.1:0".parse().unwrap()).unwrap());
    let target = echoing().connect(&address).await.unwrap();
    let asker = echoing().connect(&address).await.unwrap();
    // One begins itself.
    let fingerprint = asker.secure().await.unwrap();
    let there = asker.proxy(target.own_id()).await.unwrap();
    let back = target.accept().await.unwrap();
    converse(&there).await;
    converse(&back).await;
    assert_eq!(hub.hub().secured(asker.own_id()), Some(fingerprint.0));
    assert_eq!(hub.hub().secured(target.own_id()), target.secured().map(|secured| secured.0));
    assert!(target.secured().is_some());
    hub.stop().await;
}
