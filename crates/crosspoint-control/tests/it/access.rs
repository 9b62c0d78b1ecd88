//! Who is let in, and who is not.

use crate::common::*;
use crosspoint::{HubOptions, Limits};

/// A request for the figures of the hub.
fn request(version: &str, host: &str, headers: &str) -> String {
    let host = if host.is_empty() { String::new() } else { format!("Host: {host}\r\n") };
    format!("GET /api/v1/hub HTTP/{version}\r\n{host}{headers}Connection: close\r\n\r\n")
}

fn trusting_loopback() -> HubOptions {
    let trusted_proxies = ["127.0.0.0/8".parse().unwrap()].into_iter().collect();
    HubOptions { limits: Limits { trusted_proxies, ..Limits::default() }, ..HubOptions::default() }
}

/// The id of a cookie that an answer sets.
fn cookie(answer: &Answer) -> String {
    let set = answer.header("Set-Cookie").unwrap();
    let (id, attributes) = set.split_once("; ").unwrap();
    assert_eq!(attributes, "Path=/; Max-Age=43200; HttpOnly; SameSite=Strict");
    format!("Cookie: other=1; {id}\r\n")
}

async fn log_in(served: &Served, token: &str, headers: &str) -> Answer {
    let body = format!("{{\"token\":\"{token}\"}}");
    let request = format!(
        "POST /api/v1/login HTTP/1.1\r\nHost: {}\r\n{headers}Content-Length: {}\r\n\
         Connection: close\r\n\r\n{body}",
        served.address,
        body.len()
    );
    served.raw(&request).await
}

#[tokio::test]
async fn this_machine_is_let_in_and_whoever_may_be_somebody_else_is_asked_for_the_token() {
    let served = serve(HubOptions::default(), usual());
    let port = served.address.port();
    for (version, host, headers, open) in [
        ("1.1", format!("127.0.0.1:{port}"), "", true),
        ("1.1", format!("localhost:{port}"), "", true),
        ("1.1", "hub.localhost".to_owned(), "", true),
        ("1.1", "[::1]".to_owned(), "", true),
        ("1.1", "127.0.0.1".to_owned(), "Sec-Fetch-Site: same-origin\r\n", true),
        ("1.1", "127.0.0.1".to_owned(), "Sec-Fetch-Site: none\r\n", true),
        ("1.1", "127.0.0.1".to_owned(), "Origin: http://127.0.0.1\r\n", true),
        // A name that somebody else lets lead here.
        ("1.1", "evil.example".to_owned(), "", false),
        ("1.1", format!("evil.example:{port}"), "Origin: http://evil.example\r\n", false),
        ("1.1", "localhost.evil.example".to_owned(), "", false),
        ("1.1", format!("127.0.0.1.evil.example:{port}"), "", false),
        // A proxy on this machine.
        ("1.1", "127.0.0.1".to_owned(), "X-Forwarded-For: 127.0.0.1\r\n", false),
        ("1.1", "127.0.0.1".to_owned(), "x-forwarded-host: localhost\r\n", false),
        ("1.1", "127.0.0.1".to_owned(), "Forwarded: for=127.0.0.1\r\n", false),
        ("1.1", "127.0.0.1".to_owned(), "Via: 1.1 proxy\r\n", false),
        ("1.1", "127.0.0.1".to_owned(), "X-Real-IP: 127.0.0.1\r\n", false),
        ("1.0", "127.0.0.1".to_owned(), "", false),
        ("1.0", String::new(), "", false),
        // A page of another port or site says its origin alone.
        ("1.1", "127.0.0.1".to_owned(), "Origin: http://127.0.0.1:81\r\n", false),
        ("1.1", "127.0.0.1".to_owned(), "Origin: https://page.example\r\n", false),
        ("1.1", "127.0.0.1".to_owned(), "Origin: null\r\n", false),
    ] {
        let answer = served.raw(&request(version, &host, headers)).await;
        let expected = if open { 200 } else { 401 };
        assert_eq!(answer.status, expected, "{version} {host} {headers:?}: {answer:?}");
        if !open {
            let (_, code, message) = answer.error();
            assert_eq!(code, "unauthorized");
            assert!(message.contains("control.token"), "{message}");
            assert_eq!(answer.header("WWW-Authenticate"), Some("Bearer"));
        }
        let with_token = served.raw(&request(version, &host, &format!("{headers}{BEARER}"))).await;
        assert_eq!(with_token.status, 200, "{version} {host} {headers:?}");
    }
}

/// A target with an authority is for that, whatever `Host` says (RFC 9112, section 3.2.2).
#[tokio::test]
async fn the_name_in_the_target_of_a_request_counts_more_than_that_in_host() {
    let served = serve(HubOptions::default(), usual());
    for (target, host, status) in [
        ("http://evil.example", "localhost", 401),
        ("http://localhost@evil.example", "localhost", 401),
        ("http://localhost:+80", "localhost", 401),
        ("http://127.0.0.1", "evil.example", 200),
        ("", "localhost:+80", 401),
        ("", "localhost:80", 200),
    ] {
        let request = format!(
            "GET {target}/api/v1/hub HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n"
        );
        let answer = served.raw(&request).await;
        assert_eq!(answer.status, status, "{target} {host}: {answer:?}");
    }
}

#[tokio::test]
async fn pages_of_other_sites_get_nothing() {
    let served = serve(HubOptions::default(), usual());
    let cookie = cookie(&log_in(&served, TOKEN, MARK).await);
    for site in ["cross-site", "same-site", "", "something"] {
        let headers = format!("Sec-Fetch-Site: {site}\r\n");
        for headers in [headers.clone(), headers.clone() + &cookie, headers + MARK] {
            for (method, path) in [
                ("GET", "/api/v1/hub"),
                ("GET", "/api/v1/events"),
                ("DELETE", "/api/v1/sessions/1"),
                ("DELETE", "/api/v1/channels/lobby"),
                ("POST", "/api/v1/logout"),
                ("POST", "/api/v1/login"),
            ] {
                let answer = served.ask(method, path, &headers).await;
                let login = path.ends_with("login");
                let status = if login { 400 } else { 403 };
                assert_eq!(answer.status, status, "{method} {path} {headers:?}");
                assert!(login || answer.error().1 == "forbidden");
            }
        }
        let headers = format!("Sec-Fetch-Site: {site}\r\n{MARK}");
        assert_eq!(log_in(&served, TOKEN, &headers).await.status, 403);
    }
    // Nobody answers the question that a browser asks before it sends the header.
    let question = "Origin: https://page.example\r\nAccess-Control-Request-Method: DELETE\r\n\
                    Access-Control-Request-Headers: crosspoint-control\r\n";
    for path in ["/api/v1/sessions/1", "/api/v1/login"] {
        let answer = served.ask("OPTIONS", path, question).await;
        assert!(answer.status >= 400, "{answer:?}");
        assert_eq!(answer.header("Access-Control-Allow-Origin"), None);
    }
}

#[tokio::test]
async fn what_changes_something_says_so_or_presents_the_token() {
    let served = serve(HubOptions::default(), usual());
    let cookie = cookie(&log_in(&served, TOKEN, MARK).await);
    let missing = "/api/v1/sessions/999999";
    for (headers, status) in [
        ("", 403),
        (cookie.as_str(), 403),
        ("Crosspoint-Control: 0\r\n", 403),
        (MARK, 404),
        (&format!("{cookie}{MARK}"), 404),
        (BEARER, 404),
    ] {
        let answer = served.ask("DELETE", missing, headers).await;
        assert_eq!(answer.status, status, "{headers:?}");
        if status == 403 {
            assert!(answer.error().2.contains("Crosspoint-Control: 1"), "{answer:?}");
        }
    }
    assert_eq!(log_in(&served, TOKEN, "").await.status, 403);
    assert_eq!(served.ask("POST", "/api/v1/logout", &cookie).await.status, 403);
}

#[tokio::test]
async fn a_login_holds_until_its_end_and_is_known_by_its_cookie_alone() {
    let served = serve(HubOptions::default(), closed());
    let access = async |headers: &str| served.ask("GET", "/api/v1/access", headers).await.json();
    let nobody = serde_json::json!({
        "open": false, "signed_in": false, "login": true, "actor": null
    });
    assert_eq!(access("").await, nobody);
    assert_eq!(served.ask("GET", "/api/v1/hub", "").await.status, 401);
    let answer = log_in(&served, TOKEN, MARK).await;
    assert_eq!(answer.status, 204);
    let first = cookie(&answer);
    assert_eq!(served.ask("GET", "/api/v1/hub", &first).await.status, 200);
    let signed_in = serde_json::json!({
        "open": false, "signed_in": true, "login": true, "actor": "token"
    });
    assert_eq!(access(&first).await, signed_in);
    let by_token = serde_json::json!({
        "open": false, "signed_in": false, "login": true, "actor": "token"
    });
    assert_eq!(access(BEARER).await, by_token);
    // Whoever logs in again has a new id, and the old one is worth nothing.
    let second = cookie(&log_in(&served, TOKEN, &format!("{first}{MARK}")).await);
    assert_ne!(first, second);
    assert_eq!(served.ask("GET", "/api/v1/hub", &first).await.status, 401);
    assert_eq!(served.ask("GET", "/api/v1/hub", &second).await.status, 200);
    let answer = served.ask("POST", "/api/v1/logout", &format!("{second}{MARK}")).await;
    assert_eq!(answer.status, 204);
    assert!(answer.header("Set-Cookie").unwrap().contains("Max-Age=0"));
    assert_eq!(served.ask("GET", "/api/v1/hub", &second).await.status, 401);
    // Where there is no login, there is none to end either.
    assert_eq!(served.ask("POST", "/api/v1/logout", MARK).await.status, 204);
    for wrong in ["", "x", "crosspoint_control=", "crosspoint_control=0;crosspoint_control=1"] {
        let headers = format!("Cookie: {wrong}\r\n");
        assert_eq!(served.ask("GET", "/api/v1/hub", &headers).await.status, 401);
    }
}

#[tokio::test]
async fn a_browser_that_speaks_tls_keeps_the_cookie_to_that() {
    let served = serve(trusting_loopback(), closed());
    let through = format!("{MARK}X-Forwarded-For: 192.0.2.1\r\nX-Forwarded-Proto: https\r\n");
    let answer = log_in(&served, TOKEN, &through).await;
    assert!(answer.header("Set-Cookie").unwrap().ends_with("; SameSite=Strict; Secure"));
}

#[tokio::test]
async fn without_a_token_this_machine_alone_is_let_in() {
    let options = crosspoint_control::ControlOptions::default();
    let served = serve(HubOptions::default(), options);
    assert_eq!(served.ask("GET", "/api/v1/hub", "").await.status, 200);
    assert_eq!(served.ask("GET", "/api/v1/hub", BEARER).await.status, 200);
    let foreign = served.raw(&request("1.1", "evil.example", BEARER)).await;
    let (status, _, message) = foreign.error();
    assert_eq!(status, 401);
    assert!(message.contains("open at the machine of the hub alone"), "{message}");
    let (status, code, message) = log_in(&served, TOKEN, MARK).await.error();
    assert_eq!((status, code.as_str()), (403, "forbidden"));
    assert!(message.contains("There is no token"), "{message}");
    let access = served.json("/api/v1/access").await;
    let expected = serde_json::json!({
        "open": true, "signed_in": false, "login": false, "actor": "loopback"
    });
    assert_eq!(access, expected);
}

#[tokio::test]
async fn ten_wrong_tokens_in_a_minute_are_looked_at_and_no_more_of_any_from_this_address() {
    let served = serve(trusting_loopback(), usual());
    let from = |address: &str| format!("X-Forwarded-For: {address}\r\n");
    let wrong = "Authorization: Bearer not-the-token-of-it\r\n";
    // By whatever way they come.
    for number in 0..10 {
        let headers = from("192.0.2.1");
        let answer = match number % 3 {
            0 => served.ask("GET", "/api/v1/hub", &(headers + wrong)).await,
            1 => log_in(&served, "not-the-token-of-it", &(headers + MARK)).await,
            _ => {
                let headers = headers + wrong;
                let access = served.ask("GET", "/api/v1/access", &headers).await;
                assert_eq!(access.json()["actor"], serde_json::Value::Null);
                continue;
            }
        };
        let (status, code, message) = answer.error();
        assert_eq!((status, code.as_str()), (401, "unauthorized"), "{number}");
        assert_eq!(message, "This is not the token (control.token).");
    }
    for headers in [from("192.0.2.1") + wrong, from("192.0.2.1") + BEARER] {
        let answer = served.ask("GET", "/api/v1/hub", &headers).await;
        assert_eq!((answer.status, answer.error().1.as_str()), (429, "too_many_tries"));
        let wait: u64 = answer.header("Retry-After").unwrap().parse().unwrap();
        assert!((1..=60).contains(&wait), "{wait}");
        let access = served.ask("GET", "/api/v1/access", &headers).await.json();
        assert_eq!(access["actor"], serde_json::Value::Null);
    }
    let headers = from("192.0.2.1") + MARK;
    assert_eq!(log_in(&served, TOKEN, &headers).await.status, 429);
    for other in ["192.0.2.2", "2001:db8::1"] {
        assert_eq!(served.ask("GET", "/api/v1/hub", &(from(other) + BEARER)).await.status, 200);
    }
}

#[tokio::test]
async fn a_trusted_proxy_is_somebody_else_even_if_it_says_nothing() {
    let served = serve(trusting_loopback(), usual());
    assert_eq!(served.ask("GET", "/api/v1/hub", "").await.status, 401);
    assert_eq!(served.json("/api/v1/access").await["open"], false);
    let host = format!("127.0.0.1:{}", served.address.port());
    let behind = format!("PROXY TCP4 127.0.0.1 127.0.0.1 1 2\r\n{}", request("1.1", &host, ""));
    assert_eq!(served.raw(&behind).await.status, 401);
    assert_eq!(served.ask("GET", "/api/v1/hub", BEARER).await.status, 200);
}

#[tokio::test]
async fn a_login_is_json_of_one_token() {
    let served = serve(HubOptions::default(), usual());
    let long = "x".repeat(5000);
    for body in ["", "token", "{}", "{\"token\":1}", "{\"token\":\"a\",\"more\":1}", &long] {
        let request = format!(
            "POST /api/v1/login HTTP/1.1\r\nHost: localhost\r\n{MARK}Content-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        let (status, code, message) = served.raw(&request).await.error();
        assert_eq!((status, code.as_str()), (400, "bad_request"), "{body}");
        assert!(message.starts_with("The body "), "{message}");
    }
}

#[tokio::test]
async fn what_is_done_is_logged_with_who_has_done_it_and_nothing_that_forges_a_line() {
    let (log, _guard) = Log::begin();
    let served = serve(HubOptions::default(), usual());
    let node = served.node("Ann\naction=forged").await;
    let _member = enter(&node, "a\nroom \u{1b}[31m").await;
    let session = served.number("Ann").await;
    let path = format!("/api/v1/sessions/{session}");
    let forged = "Crosspoint-Control: 1\r\nUser-Agent: x action=forged\r\n";
    let key = "a%0Aroom%20%1B%5B31m";
    let close = format!("/api/v1/channels/{key}");
    assert_eq!(served.ask("DELETE", &close, forged).await.status, 204);
    assert_eq!(served.ask("DELETE", &path, BEARER).await.status, 204);
    assert_eq!(served.ask("DELETE", "/api/v1/sessions/999", MARK).await.status, 404);
    assert_eq!(log_in(&served, TOKEN, MARK).await.status, 204);
    assert_eq!(log_in(&served, "wrong\\u001b", MARK).await.status, 401);
    assert_eq!(
        log.lines(),
        [
            format!("action=\"close\" target=\"{key}\" members=1 actor=\"loopback\" by=127.0.0.1"),
            format!("action=\"kick\" target={session} actor=\"token\" by=127.0.0.1"),
            "action=\"login\" actor=\"token\" by=127.0.0.1".to_owned(),
            "action=\"wrong_token\" by=127.0.0.1".to_owned(),
        ]
    );
}
