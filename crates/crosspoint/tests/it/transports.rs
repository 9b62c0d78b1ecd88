//! The same channels over real sockets, and what goes wrong there.

use crate::common::{
    ENDS_OF_A_HUB, channel, ended, from_owner, heard, left, message, newcomer, refused, told,
};
use crosspoint::tls::certificate::Certificate;
use crosspoint::tls::client::Trust;
use crosspoint::tls::server::Tls;
use crosspoint::{
    Ban, ChannelOptions, ConnectError, EnterOptions, Hub, HubOptions, Limits, MemberEvent,
    MemberNumber, Node, OwnerEvent, Reason, Server, ServerOptions, anysocket,
};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::net::TcpListener;

fn hub() -> (Server, SocketAddr) {
    let hub = Server::new(HubOptions::default());
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    (hub, address)
}

#[tokio::test]
async fn tcp_and_websocket_meet_in_one_channel() {
    let (hub, address) = hub();
    let ann = Node::connect(format!("tcp://{address}")).await.unwrap();
    let bob = Node::builder().name("Bob").agent("test/1");
    let bob = bob.connect(format!("ws://{address}/any")).await.unwrap();
    let options = ChannelOptions::new().chunk_max(1 << 20);
    let (mut owner, mut member) = channel(&ann, &bob, options, EnterOptions::new()).await;
    let large = "large ".repeat(100_000);
    member.send(large.clone()).await.unwrap();
    assert_eq!(heard(&mut owner).await, message(0, &large));
    owner.broadcast(large.clone(), None).await.unwrap();
    assert_eq!(told(&mut member).await, from_owner(&large));

    hub.stop().await;
    let reason = Reason::HubStopping;
    let end = told(&mut member).await;
    assert!(ENDS_OF_A_HUB.map(ended).contains(&end), "{end:?}");
    loop {
        match heard(&mut owner).await {
            OwnerEvent::Left { .. } => {}
            other => break assert_eq!(other, OwnerEvent::Closed { reason }),
        }
    }
    assert_eq!((ann.closed().await, bob.closed().await), (reason, reason));
}

#[tokio::test]
async fn compression_is_offered_and_used_both_ways_by_those_who_want_it() {
    let limits = Limits { compressed_bytes_min: Some(1024), ..Limits::default() };
    let hub = Server::new(HubOptions { limits, ..HubOptions::default() });
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let address = format!("ws://{address}/");
    let ann = Node::builder().deflate(1024).connect(address.clone()).await.unwrap();
    for (bob, resumes) in [(Node::builder(), false), (Node::builder().resume(), true)] {
        let bob = bob.deflate(1024).connect(address.clone()).await.unwrap();
        let options = ChannelOptions::new().chunk_max(1 << 20);
        let (mut owner, mut member) = channel(&ann, &bob, options, EnterOptions::new()).await;
        let large = "large ".repeat(100_000);
        let before = hub.hub().metrics.decompressed_bytes_after.get();
        member.send(large.clone()).await.unwrap();
        assert_eq!(heard(&mut owner).await, message(0, &large));
        let compressed = hub.hub().metrics.compressed_bytes_before.get();
        owner.broadcast(large.clone(), None).await.unwrap();
        assert_eq!(told(&mut member).await, from_owner(&large));
        let metrics = &hub.hub().metrics;
        let inflated = metrics.decompressed_bytes_after.get() - before;
        // What a session that can be resumed receives is not compressed, and what it sends is not counted.
        assert!(inflated >= large.len() as u64 * if resumes { 1 } else { 2 }, "{inflated}");
        assert_eq!(metrics.compressed_bytes_before.get() > compressed, !resumes);
    }
    // A hub that does not want it, and a node that does not.
    let plain = Server::new(HubOptions::default());
    let at = plain.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    Node::builder().deflate(1024).connect(format!("ws://{at}/")).await.unwrap();
    Node::connect(address).await.unwrap();
    hub.stop().await;
    plain.stop().await;
}

/// A hub inside TLS whose certificate nobody vouches for, and what a client needs to trust it.
fn secured_hub() -> (Server, SocketAddr, Trust) {
    let certificate = Certificate::for_development().unwrap();
    let trust = Trust::Pinned(certificate.fingerprint().unwrap());
    let tls = Some(Tls::new(vec![certificate]).unwrap().required(true));
    let options = ServerOptions { tls, ..ServerOptions::default() };
    let hub = Server::with_hub(Hub::new(HubOptions::default()), options);
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    (hub, address, trust)
}

#[tokio::test]
async fn every_protocol_of_the_library_can_be_spoken_inside_tls() {
    let (hub, address, trust) = secured_hub();
    let large = "large ".repeat(100_000);
    for (one, other) in [("tls", "wss"), ("peote+tls", "tls"), ("wss", "peote+wss")] {
        let connect = async |scheme: &str| {
            let node = Node::builder().trust(trust.clone());
            node.connect(format!("{scheme}://{address}")).await.unwrap()
        };
        let (ann, bob) = (connect(one).await, connect(other).await);
        let options = ChannelOptions::new().chunk_max(1 << 20);
        let enter = EnterOptions::new().chunk_max(1 << 20);
        let (mut owner, mut member) = channel(&ann, &bob, options, enter).await;
        member.send(large.clone()).await.unwrap();
        assert_eq!(heard(&mut owner).await, message(0, &large));
        owner.broadcast(large.clone(), None).await.unwrap();
        assert_eq!(told(&mut member).await, from_owner(&large));
    }
    let peer =
        anysocket::Client::builder().trust(trust).connect(&format!("wss://{address}/")).await;
    peer.unwrap();
    hub.stop().await;
}

#[tokio::test]
async fn a_server_that_is_not_trusted_is_left_before_anything_is_said() {
    let (hub, address, _trust) = secured_hub();
    let strange = Trust::Pinned("00".repeat(32).parse().unwrap());
    for (trust, remedy) in [(Trust::Platform, "Trust::"), (strange, "trust the new fingerprint")] {
        let node = Node::builder().trust(trust).token("secret");
        let error = node.connect(format!("tls://{address}")).await.unwrap_err();
        let text = error.to_string();
        assert!(matches!(error, ConnectError::Unreachable { .. }), "{text}");
        assert!(text.contains("certificate") && !text.contains("is a hub running"), "{text}");
        assert!(text.contains(&address.to_string()) && text.contains(remedy), "{text}");
    }
    hub.stop().await;
}

/// Neither side can tell the other in its own words, so the error says what it may be.
#[tokio::test]
async fn tls_to_a_plain_hub_and_plain_connections_to_one_of_tls_say_what_to_try() {
    let (plain, address) = hub();
    for scheme in ["tls", "wss"] {
        let text = Node::connect(format!("{scheme}://{address}")).await.unwrap_err().to_string();
        assert!(text.contains("it refuses TLS; ") && text.contains("tcp://"), "{text}");
    }
    plain.stop().await;
    let (hub, address, _trust) = secured_hub();
    for (scheme, remedy) in [("tcp", "TLS only (tls:// or wss://)"), ("ws", "use wss://")] {
        let text = Node::connect(format!("{scheme}://{address}")).await.unwrap_err().to_string();
        assert!(text.contains(remedy) && text.contains(&address.to_string()), "{text}");
    }
    hub.stop().await;
}

#[tokio::test]
async fn a_channel_passes_on_over_websockets() {
    let (_hub, address) = hub();
    let connect = || async { Node::connect(format!("ws://{address}")).await.unwrap() };
    let (ann, bob) = (connect().await, connect().await);
    let (owner, mut heir) = channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    owner.set_successor(Some(MemberNumber(0))).await.unwrap();
    owner.resign().await.unwrap();
    assert_eq!(told(&mut heir).await, MemberEvent::Inherited);
}

#[tokio::test]
async fn an_address_can_be_kept_out() {
    // By default a ban by an address of the loopback range would keep out everybody behind a proxy.
    let limits = Limits { loopback_exempt: false, ..Limits::default() };
    let hub = Server::new(HubOptions { limits, ..HubOptions::default() });
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let connect = || async { Node::connect(format!("tcp://{address}")).await.unwrap() };
    let (ann, bob, cid) = (connect().await, connect().await, connect().await);
    let (mut owner, mut member) =
        channel(&ann, &bob, ChannelOptions::new(), EnterOptions::new()).await;
    let ban = Ban { time: None, address: true };
    owner.ban(MemberNumber(0), ban).await.unwrap();
    assert_eq!(told(&mut member).await, ended(Reason::Banned));
    assert_eq!(heard(&mut owner).await, left(0, Reason::Banned));
    let entry = || cid.enter("channel", EnterOptions::new());
    assert_eq!(refused(entry().await), Reason::Banned);
    owner.unban(bob.peer_id()).await.unwrap();
    // The hub carries out commands of one node in their order.
    ann.create("fence", ChannelOptions::new()).await.unwrap();
    let _member = entry().await.unwrap();
    newcomer(&mut owner).await;
}

#[tokio::test]
async fn a_closed_port_is_unreachable() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let error = Node::connect(format!("tcp://{address}")).await.unwrap_err();
    assert!(matches!(error, ConnectError::Unreachable { .. }), "{error}");
    assert!(error.to_string().contains(&address.to_string()), "{error}");
}

#[tokio::test]
async fn a_server_that_says_nothing_is_given_up() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    for scheme in ["tcp", "ws"] {
        let builder = Node::builder().timeout(Duration::from_millis(50));
        let error = builder.connect(format!("{scheme}://{address}")).await;
        let error = error.unwrap_err();
        assert!(matches!(error, ConnectError::TimedOut { .. }), "{error}");
    }
}

#[tokio::test]
async fn what_is_no_address_is_no_address() {
    let error = Node::connect("http://localhost").await.unwrap_err();
    assert!(matches!(error, ConnectError::Address(_)), "{error}");
}

#[test]
fn a_node_whose_runtime_stops_is_lost_to_the_others() {
    let runtime = || {
        let mut builder = tokio::runtime::Builder::new_multi_thread();
        builder.worker_threads(1).enable_all().build().unwrap()
    };
    let (near, far) = (runtime(), runtime());
    let (_hub, address, mut owner) = near.block_on(async {
        let (hub, address) = hub();
        let ann = Node::connect(format!("tcp://{address}")).await.unwrap();
        let owner = ann.create("channel", ChannelOptions::new()).await.unwrap();
        (hub, address, owner)
    });
    let member = far.block_on(async {
        let bob = Node::connect(format!("tcp://{address}")).await.unwrap();
        bob.enter("channel", EnterOptions::new()).await.unwrap()
    });
    drop(far);
    near.block_on(async {
        newcomer(&mut owner).await;
        assert_eq!(heard(&mut owner).await, left(0, Reason::ConnectionLost));
    });
    drop(member);
}
