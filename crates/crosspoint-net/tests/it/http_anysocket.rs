//! What a real AnySocket server answered to HTTP, and what ours says to the same bytes with the
//! same routes (docs/anysocket.md, section 12).

use crate::common;
use crate::common::Served;
use crate::common::http::{Answer, answer, serve_http};
use axum::Router;
use axum::extract::{Path, RawQuery};
use axum::http::header::SET_COOKIE;
use axum::http::{HeaderMap, HeaderName, Method, StatusCode};
use axum::response::AppendHeaders;
use axum::routing::{any, delete, get, post};
use bytes::Bytes;
use crosspoint_hub::PeerId;
use crosspoint_net::http::{Files, HttpOptions, Refusal, UpgradeCheck, cookies};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::fs;

/// What the recorded server was.
const NODE: [u8; 16] = *b"\x5e\x5e\x5e\x5e\x12\x34\x4a\xbc\x8d\xef\x00\x11\x22\x33\xff\x80";
const PNG: &[u8] = b"\x89PNG\r\n\x1a\n\0\xff\xfe\r";
const BUNDLE: &[u8] = b"class AnySocket {}\n";

/// Answers that differ on purpose, and why.
const BETTER: [(&str, u16, &str); 6] = [
    ("upgrade with Origin", 403, "pages of other origins need the setting http.origins"),
    ("static traversal", 404, "no path leads out of the directory"),
    ("static directory", 200, "a directory shows its index.html"),
    ("upgrade denied by callback", 403, "the refusal is an HTTP answer"),
    ("upgrade bad version", 426, "it says which versions there are"),
    ("route throws", 500, "what went wrong here is not missing"),
];

async fn post_(RawQuery(query): RawQuery, body: String) -> String {
    let query = query.unwrap_or_default();
    let values: Vec<_> = query.split('&').filter_map(|pair| pair.strip_prefix("q=")).collect();
    json!({"body": body, "qs": {"q": values}, "url": "/post"}).to_string()
}

async fn set_cookies() -> (AppendHeaders<[(HeaderName, &'static str); 3]>, &'static str) {
    let lines = [
        "a=1;Path=/",
        "b=2;Expires=Tue, 01 Jan 2030 00:00:00 GMT;Path=/",
        "c=;Expires=Thu, 01 Jan 1970 00:00:00 GMT;Path=/",
    ];
    (AppendHeaders(lines.map(|line| (SET_COOKIE, line))), "x")
}

async fn show_cookies(headers: HeaderMap) -> String {
    let pairs = cookies(&headers).map(|(name, value)| (name, value.replace("%20", " ")));
    json!(pairs.collect::<BTreeMap<_, _>>()).to_string()
}

async fn throws() {
    panic!("as the test wants")
}

async fn hello(
    Path(name): Path<String>,
    method: Method,
) -> (StatusCode, [(&'static str, &'static str); 1], String) {
    assert_eq!(name, "you");
    let method = method.as_str().to_lowercase();
    (StatusCode::CREATED, [("X-Test", "1")], format!("regex {method}"))
}

fn serve_like_the_recorded(house: &std::path::Path) -> Served {
    let public = house.join("static_files");
    fs::create_dir(&public).expect("a directory");
    for (path, bytes) in [
        ("secret.txt", &b"secret\n"[..]),
        ("anysocket.bundle", BUNDLE),
        ("static_files/index.html", "<html>h\u{e9}llo</html>".as_bytes()),
        ("static_files/a.png", PNG),
        ("static_files/x.js", b"console.log(1)\n"),
    ] {
        fs::write(house.join(path), bytes).expect("a file");
    }
    let json = [("Content-Type", "application/json")];
    let routes = Router::new()
        .route("/", get(async || "hello world").head(async || StatusCode::NOT_FOUND))
        .route("/hello/{name}", any(hello))
        .route(
            "/post",
            post(async move |query: RawQuery, body: String| (json, post_(query, body).await)),
        )
        .route("/del", delete(async || StatusCode::NO_CONTENT))
        .route("/cookie/set", get(set_cookies))
        .route("/cookie/get", get(show_cookies))
        .route("/throw", get(throws));
    let files = ["/static_files", "/alias"].map(|prefix| Files::new(prefix, &public));
    let deny =
        UpgradeCheck::new(|head| match cookies(&head.headers).any(|(name, _)| name == "deny") {
            true => Err(Refusal::new(StatusCode::FORBIDDEN, "denied")),
            false => Ok(()),
        });
    serve_http(HttpOptions {
        routes: Some(routes),
        files: files.into_iter().collect::<Result<_, _>>().expect("right prefixes"),
        anysocket_bundle: Some(house.join("anysocket.bundle")),
        node_id: Some(PeerId::new(NODE)),
        upgrade: Some(deny),
        ..HttpOptions::default()
    })
}

fn bytes(value: &Value) -> Vec<u8> {
    let hex = value.as_str().expect("hexadecimal digits").as_bytes();
    let digit = |digit: &u8| char::from(*digit).to_digit(16).expect("a digit") as u8;
    hex.chunks(2).map(|pair| digit(&pair[0]) << 4 | digit(&pair[1])).collect()
}

/// Reads a recorded answer as ours are read.
async fn recorded(bytes: &[u8], only_head: bool) -> Answer {
    let (near, far) = crosspoint_net::memory::pair(Default::default(), Default::default());
    common::Link::new(near.into()).send(bytes).await;
    answer(&mut common::Link::new(far.into()), only_head).await
}

#[tokio::test]
async fn the_recorded_requests_are_answered_alike_or_better() {
    let house = tempfile::tempdir().expect("a directory");
    let served = serve_like_the_recorded(house.path());
    let lines: Vec<Value> = include_str!("../vectors/anysocket_http.jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).expect("a line of JSON"))
        .collect();
    let mut seen = 0;
    for exchange in lines.chunks(2) {
        let [request, theirs] = exchange else { panic!("a request and an answer: {exchange:?}") };
        let label = request["label"].as_str().expect("a label");
        let request = bytes(&request["bin_hex"]);
        let mut link = served.tcp().await;
        link.send(&request).await;
        if label.starts_with("TLS") {
            assert_eq!(link.rest().await[..2], [21, 3], "{label}: an alert, and closed at once");
            continue;
        }
        let only_head = request.starts_with(b"HEAD ");
        let ours = answer(&mut link, only_head).await;
        seen += 1;
        if let Some((_, status, why)) = BETTER.iter().find(|(of, ..)| *of == label) {
            assert_eq!(ours.status, *status, "{label}: {why}");
            assert_ne!(ours.body, "secret\n");
            continue;
        }
        let raw = theirs.get("bin_hex").or(theirs.get("head_hex")).map(bytes);
        let raw = raw.expect("an answer or its head");
        let bundle = theirs.get("head_hex").is_some();
        let theirs = recorded(&raw, only_head || bundle).await;
        assert_eq!(ours.status, theirs.status, "{label}");
        let id = HeaderName::from_static("anysocket-id");
        assert_eq!(ours.header(id.as_str()), theirs.header(id.as_str()), "{label}");
        if ours.status == 101 {
            for name in ["Sec-WebSocket-Accept", "Sec-WebSocket-Protocol"] {
                assert_eq!(ours.header(name), theirs.header(name), "{label}");
            }
            continue;
        }
        // Texts of what is not there are ours.
        let body = match label {
            _ if bundle => Bytes::from_static(BUNDLE),
            _ if ours.status == 404 => ours.body.clone(),
            "static png (binary corrupted)" => Bytes::from_static(PNG),
            _ => theirs.body.clone(),
        };
        assert_eq!(ours.body, body, "{label}");
        if label != "cookies read" {
            assert_eq!(ours.headers("Set-Cookie"), theirs.headers("Set-Cookie"), "{label}");
        }
        if let Some(kind) = theirs.header("Content-Type") {
            let kind = kind.replace(';', "; ");
            assert_eq!(ours.header("Content-Type"), Some(&*kind), "{label}");
        }
        if ours.header("Connection") != Some("close") {
            assert_eq!(label, "keep-alive");
        }
    }
    assert_eq!(seen, 29);
}
