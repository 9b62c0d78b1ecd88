//! Clients behind proxies: from where they come as limits and checks see it.

use crate::common::http::{ask, get};
use crate::common::peer::{Peer, head};
use crate::common::{Link, Served, serve_as};
use axum::extract::ConnectInfo;
use axum::routing;
use axum::{Extension, Router};
use crosspoint_auth::{Credentials, Denied, from_fn};
use crosspoint_hub::{Grant, HubOptions, Limits};
use crosspoint_net::http::{Arrival, HttpOptions};
use crosspoint_net::server::ServerOptions;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex};

/// Where the sessions that were let in come from.
type Seen = Arc<Mutex<Vec<Option<IpAddr>>>>;

/// A server that trusts a proxy at 127.0.0.1, and lets one connection of each address in.
fn server(trusted: bool) -> (Served, Seen) {
    let seen = Seen::default();
    let see = seen.clone();
    let check = from_fn(move |credentials: Credentials| {
        see.lock().unwrap().push(credentials.address);
        async { Ok::<_, Denied>(Grant::default()) }
    });
    let proxies = trusted.then(|| "127.0.0.1".parse().unwrap());
    let limits = Limits {
        trusted_proxies: proxies.into_iter().collect(),
        connections_per_address_max: 1,
        ..Limits::default()
    };
    let whence = async |ConnectInfo(from): ConnectInfo<SocketAddr>| from.ip().to_string();
    let routes = Router::new()
        .route("/whence", routing::get(whence))
        .route("/arrival", routing::get(arrival));
    let http = HttpOptions { routes: Some(routes), ..HttpOptions::default() };
    let authenticator = Some(Arc::new(check) as _);
    let options = ServerOptions { authenticator, http, ..ServerOptions::default() };
    (serve_as(HubOptions { limits, ..HubOptions::default() }, options), seen)
}

/// How a request has come, in words.
async fn arrival(Extension(arrival): Extension<Arrival>) -> String {
    let ends = [arrival.peer(), arrival.local()]
        .map(|end| end.map_or_else(|| "-".to_owned(), |end| end.to_string()));
    let how = [
        (arrival.is_tls(), " tls"),
        (arrival.is_through_proxy(), " proxy"),
        (arrival.is_stopping(), " stopping"),
    ];
    how.iter().filter(|(is, _)| *is).fold(ends.join(" "), |text, (_, word)| text + word)
}

fn upgrade(more: &str) -> String {
    format!(
        "GET / HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{more}\r\n"
    )
}

/// A connection behind a header of the PROXY protocol.
async fn through(served: &Served, header: &[u8]) -> Link {
    let link = served.tcp().await;
    link.send(header).await;
    link
}

fn last(seen: &Seen) -> String {
    seen.lock().unwrap().last().unwrap().unwrap().to_string()
}

const TEXT: &[u8] = b"PROXY TCP4 192.0.2.7 10.0.0.1 12345 80\r\n";
const BINARY: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x08\x0a\0\0\x01\x30\x39\0\x50";

#[tokio::test]
async fn the_proxy_protocol_tells_where_a_connection_of_any_protocol_comes_from() {
    let (served, seen) = server(true);
    let first = Peer::native(through(&served, TEXT).await).await;
    assert_eq!(last(&seen), "192.0.2.7");
    let second = Peer::native_ws(through(&served, BINARY).await).await;
    assert_eq!(last(&seen), "192.0.2.8");
    // A third one of an address is one too many, but not of others, nor for the proxy itself.
    assert!(through(&served, TEXT).await.rest().await.is_empty());
    assert_eq!(served.hits("connections_per_address_max"), 1);
    let local = Peer::native(through(&served, b"PROXY UNKNOWN\r\n").await).await;
    let plain = Peer::native(served.tcp().await).await;
    assert_eq!(last(&seen), "127.0.0.1");
    drop(first);
    crate::common::until("it has gone", || served.hub.sessions() == 3).await;
    let link = served.tcp().await;
    link.trickle(TEXT).await;
    let third = Peer::native(link).await;
    assert_eq!(last(&seen), "192.0.2.7");
    let mut link = through(&served, b"PROXY TCP4 192.0.2.9 10.0.0.1 1 80\r\n").await;
    assert_eq!(ask(&mut link, &get("/whence")).await.body, "192.0.2.9");
    drop((second, third, local, plain, link));
    served.empty().await;
}

#[tokio::test]
async fn who_is_no_trusted_proxy_is_not_believed() {
    let (served, seen) = server(false);
    for (header, hits) in [(TEXT, 1), (BINARY, 2)] {
        assert!(through(&served, header).await.rest().await.is_empty());
        assert_eq!(served.hits("server.trusted_proxies"), hits);
    }
    let mut link = served.tcp().await;
    link.send(upgrade("X-Forwarded-For: 192.0.2.7\r\n").as_bytes()).await;
    assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
    let mut peer = Peer::unwelcome(link, true);
    peer.welcomed().await;
    assert_eq!(last(&seen), "127.0.0.1");
    let mut link = served.tcp().await;
    let request = "GET /whence HTTP/1.1\r\nHost: hub\r\nForwarded: for=192.0.2.7\r\n\r\n";
    assert_eq!(ask(&mut link, request).await.body, "127.0.0.1");
    // A wrong header of a trusted one is closed as well.
    let (served, _) = server(true);
    let wrong = b"PROXY TCP4 192.0.2.7\r\n";
    assert!(through(&served, wrong).await.rest().await.is_empty());
    served.empty().await;
}

#[tokio::test]
async fn headers_of_a_trusted_proxy_tell_where_each_request_comes_from() {
    let (served, seen) = server(true);
    let forwarded = "X-Forwarded-For: 1.1.1.1, 192.0.2.7\r\n";
    let mut link = served.tcp().await;
    link.send(upgrade(forwarded).as_bytes()).await;
    assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
    let mut first = Peer::unwelcome(link, true);
    first.welcomed().await;
    assert_eq!(last(&seen), "192.0.2.7");
    // Proxies use a connection for several clients, and upgrade it for one of them.
    let mut link = served.tcp().await;
    for client in ["192.0.2.8", "192.0.2.7"] {
        let request =
            format!("GET /whence HTTP/1.1\r\nHost: hub\r\nX-Forwarded-For: {client}\r\n\r\n");
        assert_eq!(ask(&mut link, &request).await.body, client);
    }
    link.send(upgrade("Forwarded: for=\"192.0.2.8:99\"\r\n").as_bytes()).await;
    assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
    let mut second = Peer::unwelcome(link, true);
    second.welcomed().await;
    assert_eq!(last(&seen), "192.0.2.8");
    for first_request in [true, false] {
        let mut link = served.tcp().await;
        if !first_request {
            ask(&mut link, &get("/whence")).await;
        }
        link.send(upgrade(forwarded).as_bytes()).await;
        assert!(head(&mut link).await.starts_with("HTTP/1.1 503 "), "one too many");
        link.rest().await;
    }
    drop((first, second));
    served.empty().await;
}

#[tokio::test]
async fn a_handler_knows_how_a_request_has_come_whatever_its_headers_say() {
    let with = |header: &str| get("/arrival").replace("Host", &format!("{header}\r\nHost"));
    let (near, proxied) = ("127.0.0.1 127.0.0.1", "127.0.0.1 127.0.0.1 proxy");
    for (trusted, before, request, expected) in [
        (false, &b""[..], get("/arrival"), near),
        (false, b"", with("X-Forward: 1"), near),
        (false, b"", with("X-Forwarded-For: 192.0.2.7"), proxied),
        (false, b"", with("Via: 1.1 somebody"), proxied),
        (true, b"", get("/arrival"), proxied),
        (true, b"", with("X-Forwarded-For: 127.0.0.1"), proxied),
        (true, TEXT, get("/arrival"), proxied),
        (true, BINARY, get("/arrival"), proxied),
    ] {
        let (served, _) = server(trusted);
        let mut link = through(&served, before).await;
        let answer = ask(&mut link, &request).await;
        assert_eq!(answer.body, expected, "{trusted} {request}");
        // Each request of a connection is looked at by itself.
        let plain = ask(&mut link, &get("/arrival")).await;
        assert_eq!(plain.body, if trusted { proxied } else { near });
    }
    let (served, _) = server(false);
    assert_eq!(ask(&mut served.memory(), &get("/arrival")).await.body, "- -");
}
