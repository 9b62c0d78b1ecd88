//! Which web pages may use the hub. The rules are in `http::origins`.

use crate::common::http::{ask, serve_http};
use crate::common::peer::head;
use axum::Router;
use axum::routing;
use crosspoint_net::http::HttpOptions;

fn request(method: &str, origin: &str, more: &str) -> String {
    format!(
        "{method} /act HTTP/1.1\r\nHost: 127.0.0.1:7680\r\n{origin}Content-Length: 0\r\n{more}\r\n"
    )
}

const UPGRADE: &str = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
    Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";

#[tokio::test]
async fn pages_of_other_origins_can_neither_upgrade_nor_change_anything() {
    let act = async || "done";
    let routes = Router::new().route("/act", routing::post(act).get(act));
    let served = serve_http(HttpOptions {
        routes: Some(routes),
        origins: vec!["https://game.example".to_owned()],
        ..HttpOptions::default()
    });
    let evil = "Origin: http://evil.example\r\n";
    let good = ["", "Origin: http://127.0.0.1:8000\r\n", "Origin: https://game.example\r\n"];
    for later in [false, true] {
        for (origin, status) in good.iter().map(|good| (*good, 101)).chain([(evil, 403)]) {
            let mut link = served.tcp().await;
            if later {
                assert_eq!(ask(&mut link, &request("GET", evil, "")).await.status, 200);
            }
            link.send(request("GET", origin, UPGRADE).as_bytes()).await;
            let answer = head(&mut link).await;
            assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{origin} {answer}");
            if status == 403 {
                let text = String::from_utf8(link.rest().await.to_vec()).unwrap();
                assert!(text.contains("the setting http.origins"), "{text}");
            }
        }
    }
    assert_eq!(served.hits("http.origins"), 2);
    let mut link = served.tcp().await;
    for (origin, status) in good.iter().map(|good| (*good, 200)).chain([(evil, 403)]) {
        let answer = ask(&mut link, &request("POST", origin, "")).await;
        assert_eq!(answer.status, status, "{origin}");
    }
    drop(link);
    served.empty().await;
}

/// A target with an authority is for that, whatever `Host` says (RFC 9112, section 3.2.2).
#[tokio::test]
async fn the_host_of_a_target_counts_more_than_that_of_the_header() {
    let served = serve_http(HttpOptions {
        routes: Some(Router::new().route("/act", routing::post(async || "done"))),
        ..HttpOptions::default()
    });
    for (target, origin, is_allowed) in [
        ("http://evil.example/act", "Origin: http://evil.example\r\n", false),
        ("http://evil.example/act", "Origin: http://127.0.0.1:7680\r\n", false),
        ("http://localhost/act", "Origin: http://127.0.0.1:7680\r\n", true),
    ] {
        let absolute = |method, more| request(method, origin, more).replace("/act", target);
        for (later, (method, more, good)) in [
            (false, ("GET", UPGRADE, 101)),
            (true, ("GET", UPGRADE, 101)),
            (true, ("POST", "", 200)),
        ] {
            let mut link = served.tcp().await;
            if later {
                assert_eq!(ask(&mut link, &request("POST", "", "")).await.status, 200);
            }
            link.send(absolute(method, more).as_bytes()).await;
            let answer = head(&mut link).await;
            let status = if is_allowed { good } else { 403 };
            assert!(
                answer.starts_with(&format!("HTTP/1.1 {status} ")),
                "{target} {origin} {answer}"
            );
        }
    }
}
