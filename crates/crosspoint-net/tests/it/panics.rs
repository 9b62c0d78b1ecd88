//! A panic ends what it happened in, is counted, and leaves nothing behind: in each kind of task.

use crate::common::http::{ask, get, serve_http};
use crate::common::log::log_that_panics_at;
use crate::common::peer::{Peer, upgrade};
use crate::common::{Served, serve, serve_as, serve_with, until};
use axum::Router;
use axum::routing;
use bytes::BytesMut;
use crosspoint_auth::{Credentials, Denied, from_fn};
use crosspoint_gateways::anysocket::{Kind, Packet};
use crosspoint_hub::application::{Application, Reply};
use crosspoint_hub::command::{Hello, Peer as Named};
use crosspoint_hub::payload::Ask;
use crosspoint_hub::{Grant, HubOptions, Reason};
use crosspoint_net::http::{HttpOptions, UpgradeCheck};
use crosspoint_net::server::ServerOptions;
use crosspoint_net::ws::{Opcode, frame};
use std::sync::Arc;

/// What nobody can know at compile time, so that the compiler lets what follows it be.
fn fails() {
    std::hint::black_box(None::<()>).expect("panics on purpose");
}

/// The server lost nothing but what the panics were in.
async fn unharmed(served: &Served, panics: u64) {
    assert_eq!(served.hub.metrics.panics.get(), panics);
    let mut first = Peer::native(served.tcp().await).await;
    let mut second = Peer::native_ws(served.memory()).await;
    first.create("a place").await;
    second.enter("a place").await;
    drop((first, second));
    served.empty().await;
    served.server.stop().await;
}

fn named(name: &str) -> Hello {
    Hello { name: Some(name.to_owned()), ..Hello::default() }
}

#[tokio::test]
async fn in_the_loop_that_accepts_connections() {
    let served = serve_with(|hub| hub.limits.connections_max = 1);
    let held = Peer::native(served.memory()).await;
    let log = log_that_panics_at("connection refused");
    for link in [served.tcp().await, served.memory(), served.tcp().await, served.memory()] {
        assert!({ link }.rest().await.is_empty());
    }
    drop(log);
    drop(held);
    served.empty().await;
    assert_eq!(served.hub.metrics.panics.get(), 4);
    // One at a time, as more are not allowed.
    drop(Peer::native(served.tcp().await).await);
    served.empty().await;
    drop(Peer::native(served.memory()).await);
    served.empty().await;
    served.server.stop().await;
}

#[tokio::test]
async fn in_a_connection_that_becomes_a_session() {
    let served = serve();
    let log = log_that_panics_at("session opened");
    let mut peer = Peer::unwelcome(served.tcp().await, false);
    peer.say_hello().await;
    assert!(peer.link.rest().await.is_empty());
    drop(log);
    assert_eq!(served.closed(Reason::Internal), 1);
    unharmed(&served, 1).await;
}

#[tokio::test]
async fn in_the_check_of_an_upgrade_or_a_handler_of_http() {
    let routes = Router::new().route("/fails", routing::get(async || fails()));
    let upgrade_check = UpgradeCheck::new(|head| {
        if head.uri.path() == "/fails" {
            fails();
        }
        Ok(())
    });
    let served = serve_http(HttpOptions {
        routes: Some(routes),
        upgrade: Some(upgrade_check),
        ..HttpOptions::default()
    });
    let mut link = served.tcp().await;
    assert_eq!(ask(&mut link, &get("/fails")).await.status, 500);
    assert_eq!(ask(&mut link, &get("/health")).await.status, 200, "the connection goes on");
    drop(link);
    let mut link = served.tcp().await;
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13";
    let head = "GET /fails HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade";
    link.send(format!("{head}\r\n{key}\r\n\r\n").as_bytes()).await;
    assert!(link.rest().await.is_empty());
    unharmed(&served, 2).await;
}

#[tokio::test]
async fn in_an_authenticator_at_once_or_later() {
    let check = from_fn(|credentials: Credentials| {
        let later = credentials.name.as_deref() == Some("later");
        if credentials.name.as_deref() == Some("at once") {
            fails();
        }
        async move {
            tokio::task::yield_now().await;
            if later {
                fails();
            }
            Ok::<_, Denied>(Grant::default())
        }
    });
    let authenticator = Some(Arc::new(check) as _);
    let options = ServerOptions { authenticator, ..ServerOptions::default() };
    let served = serve_as(HubOptions::default(), options);
    for name in ["at once", "later"] {
        let mut peer = Peer::introduced(served.tcp().await, named(name));
        peer.say_hello().await;
        assert!(peer.link.rest().await.is_empty());
    }
    unharmed(&served, 2).await;
}

#[tokio::test]
async fn in_the_hub_s_own_program() {
    struct Fails;
    impl Application for Fails {
        fn ask(&self, _from: &Named, _ask: Ask, _reply: Reply) {
            fails();
        }
    }
    let served = serve();
    assert!(served.hub.set_application(Box::new(Fails)).is_ok());
    let mut link = served.memory();
    upgrade(&mut link).await;
    let id = r#"{"id":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"}"#;
    for (kind, seq, body) in [(Kind::Auth, 1, id), (Kind::Link, 2, "1")] {
        let (mut packet, mut out) = (BytesMut::new(), BytesMut::new());
        Packet { last: true, kind, seq, body: body.into() }.encode(&mut packet);
        frame::client_frame(Opcode::Text, true, &packet, [1, 2, 3, 4], &mut out);
        link.send(&out).await;
    }
    link.rest().await;
    unharmed(&served, 1).await;
}

#[tokio::test]
async fn of_an_owner_is_the_loss_of_its_connection_to_its_members() {
    let served = serve_as(
        HubOptions::default(),
        ServerOptions {
            authenticator: Some(Arc::new(from_fn(async |_| Ok::<_, Denied>(Grant::default())))),
            ..ServerOptions::default()
        },
    );
    let mut owner = Peer::introduced(served.memory(), named("owner"));
    owner.welcomed().await;
    owner.create("theirs").await;
    let mut member = Peer::native(served.memory()).await;
    let number = member.enter("theirs").await;
    let log = log_that_panics_at("session closed");
    // Malformed.
    owner.link.send(&[0xff; 16]).await;
    assert_eq!(member.ended().await, (number, Reason::OwnerLost));
    drop((owner, member));
    until("all end", || served.hub.sessions() == 0).await;
    drop(log);
}
