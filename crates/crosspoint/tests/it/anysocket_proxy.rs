//! AnySocket clients that meet through a real server made with the package from npm: two of this
//! library, and one of each kind.

use crate::anysocket_common::{Server, client, is_alive, large_text};
use crosspoint::anysocket::{
    Arg, Call, ClientBuilder, Ended, Message, Peer, PeerError, ProxyError, Value, peer_id,
};
use serde_json::json;

/// A client that answers messages with the same value, and methods.
fn echoing() -> ClientBuilder {
    client()
        .on_message(|message: Message| async move { message.read::<Value>().unwrap() })
        .serve("hello", |call: Call| async move {
            let name: String = call.read(0)?;
            Ok::<_, PeerError>(format!("Hello {name}"))
        })
        .serve("same", |call: Call| async move {
            Ok::<_, PeerError>(call.params().first().cloned().unwrap_or(Arg::Json(Value::Null)))
        })
        .serve("ns.deep.who", |call: Call| async move {
            assert!(call.peer().is_proxied());
            Ok::<_, PeerError>(call.peer().peer_id().unwrap().to_string())
        })
}

/// Two clients; the second has asked for the first.
async fn meet(server: &Server) -> (Peer, Peer, Peer, Peer) {
    let target = server.connect(echoing()).await;
    let asker = server.connect(echoing()).await;
    is_alive(&target).await;
    let there = asker.proxy(target.own_id()).await.unwrap();
    let back = target.accept().await.unwrap();
    assert_eq!((there.peer_id(), back.peer_id()), (Some(target.own_id()), Some(asker.own_id())));
    assert!(there.is_proxied() && back.is_proxied());
    (target, asker, there, back)
}

/// Everything that can be asked of a client that echoes.
async fn converse(peer: &Peer, own_id: String) {
    for value in [json!({"hello": "peer"}), json!("\u{20ac}\u{6f22}\0\u{ff}"), json!([1.5])] {
        assert_eq!(peer.request(&value).await.unwrap(), value);
    }
    assert_eq!(peer.call("hello", ["peer"]).await.unwrap(), "Hello peer".into());
    assert_eq!(peer.call("ns.deep.who", Arg::NONE).await.unwrap(), own_id.into());
    let bytes = Arg::from(vec![0, 0xff, 10]);
    assert_eq!(peer.call("same", [bytes.clone()]).await.unwrap(), bytes);
    let missing = peer.call("no.such", Arg::NONE).await;
    assert!(matches!(missing, Err(PeerError::Failed(failure)) if failure.code == 404));
    let time = peer.clock().await.unwrap();
    assert!(time.offset_ms.abs() < 5000.0, "{time:?}");
}

#[tokio::test]
async fn clients_speak_through_a_server_in_clear_and_encrypted() {
    let server = Server::start();
    let (target, asker, there, back) = meet(&server).await;
    assert_eq!(asker.proxy(target.own_id()).await.unwrap(), there);
    assert_eq!(target.proxy(asker.own_id()).await.unwrap(), back);
    for encrypted in [false, true] {
        if encrypted {
            // Both at once, over the same link.
            let (ours, theirs) = tokio::join!(there.secure(), back.secure());
            assert_eq!(ours.unwrap(), theirs.unwrap());
        }
        converse(&there, asker.own_id().to_string()).await;
        converse(&back, target.own_id().to_string()).await;
        let text = json!(large_text(3 << 20));
        assert!(there.request(&text).await.unwrap() == text, "a large text comes back");
    }
    // Encryption with the server is another matter.
    assert_eq!(asker.secured(), None);
    asker.secure().await.unwrap();
    converse(&there, asker.own_id().to_string()).await;
    is_alive(&asker).await;
    is_alive(&target).await;
}

#[tokio::test]
async fn the_end_of_a_link_is_told_to_both_and_leaves_the_connections() {
    let server = Server::start();
    let (target, asker, there, back) = meet(&server).await;
    // It never answers.
    target.on_message(|_| std::future::pending::<()>());
    let pending = tokio::spawn(there.request(&json!("nobody answers")).into_future());
    for number in 0..100 {
        there.send(&json!(number)).await.unwrap();
    }
    there.close().await;
    assert!(matches!(there.closed().await, Ended::Here));
    assert!(matches!(back.closed().await, Ended::There));
    assert!(matches!(pending.await.unwrap(), Err(PeerError::Ended(Ended::Here))));
    assert!(matches!(back.send("late").await, Err(PeerError::Ended(Ended::There))));
    is_alive(&asker).await;
    is_alive(&target).await;

    // Both ends at once: the original loses its connection then.
    let again = asker.proxy(target.own_id()).await.unwrap();
    let back = target.accept().await.unwrap();
    tokio::join!(again.close(), back.close());
    is_alive(&asker).await;
    is_alive(&target).await;

    let again = asker.proxy(target.own_id()).await.unwrap();
    let pending = again.request(&json!("nobody answers"));
    let (pending, ()) = tokio::join!(pending.into_future(), target.close());
    assert!(matches!(pending, Err(PeerError::Ended(Ended::There))), "{pending:?}");
    assert!(matches!(again.closed().await, Ended::There));
    is_alive(&asker).await;
}

#[tokio::test]
async fn who_cannot_be_reached_is_told_and_a_hub_of_the_original_disconnects() {
    let server = Server::start();
    let (_target, asker, there, _back) = meet(&server).await;
    let oneself = asker.proxy(asker.own_id()).await;
    assert!(matches!(oneself, Err(PeerError::Proxy(ProxyError::Oneself))));
    let hub = asker.proxy(asker.peer_id().unwrap()).await;
    assert!(matches!(hub, Err(PeerError::Proxy(ProxyError::Oneself))));
    let further = there.proxy(asker.peer_id().unwrap()).await;
    assert!(matches!(further, Err(PeerError::NotNeighbour)));
    let unknown = peer_id("c4c4c4c412344abcbdef445566778899").unwrap();
    let error = asker.proxy(unknown).await.unwrap_err();
    assert!(matches!(error, PeerError::Proxy(ProxyError::Ended(Ended::There))), "{error:?}");
    assert!(matches!(there.closed().await, Ended::There));
}

#[tokio::test]
async fn too_many_peers_are_sent_away() {
    let server = Server::start();
    let target = server.connect(echoing().proxied_max(1)).await;
    is_alive(&target).await;
    let first = server.connect(echoing().proxied_max(1)).await;
    let there = first.proxy(target.own_id()).await.unwrap();
    let second = server.connect(echoing()).await;
    is_alive(&second).await;
    let error = first.proxy(second.own_id()).await.unwrap_err();
    assert!(matches!(error, PeerError::Proxy(ProxyError::TooMany(1))), "{error:?}");
    let away = second.proxy(target.own_id()).await.unwrap();
    assert!(matches!(away.closed().await, Ended::There));
    converse(&there, first.own_id().to_string()).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_of_the_package_is_reached_and_reaches_us() {
    let server = Server::start();
    let rust = server.connect(echoing()).await;
    is_alive(&rust).await;
    let own = rust.own_id().to_string();
    for asked_by_node in [false, true] {
        let (mut node, id) = server.node_client();
        let peer = if asked_by_node {
            node.order(&format!("proxy {own}"));
            rust.accept().await.unwrap()
        } else {
            rust.proxy(peer_id(&id).unwrap()).await.unwrap()
        };
        assert_eq!(node.expect("linked "), own);
        assert_eq!(peer.peer_id(), peer_id(&id));
        for encrypted in [false, true] {
            if encrypted {
                match asked_by_node {
                    true => node.order(&format!("switch {own}")),
                    false => drop(peer.secure().await.unwrap()),
                }
                assert_eq!(node.expect("encrypted "), own);
                assert!(peer.secured().is_some() || peer.secure().await.is_ok());
            }
            converse(&peer, own.clone()).await;
            let text = json!(large_text(1_500_000));
            assert!(peer.request(&text).await.unwrap() == text, "a large text comes back");
            node.order(&format!(r#"ask {own} {{"how":"are you?"}}"#));
            assert_eq!(node.expect("answer "), r#"{"how":"are you?"}"#);
            node.order(&format!(r#"call {own} {{"method":["hello"],"params":["Rust"]}}"#));
            assert_eq!(node.expect("result "), r#"{"result":"Hello Rust","bin":false}"#);
            node.order(&format!(r#"call {own} {{"method":["same"],"params":["AP8="],"bin":[0]}}"#));
            assert_eq!(node.expect("result "), r#"{"result":"AP8=","bin":true}"#);
            node.order(&format!(r#"call {own} {{"method":["no"]}}"#));
            assert!(node.expect("result ").contains(r#""code":404"#));
        }
        if asked_by_node {
            node.order(&format!("unproxy {own}"));
            assert!(matches!(peer.closed().await, Ended::There));
        } else {
            peer.close().await;
        }
        assert_eq!(node.expect("unlinked "), own);
        is_alive(&rust).await;
    }
}
