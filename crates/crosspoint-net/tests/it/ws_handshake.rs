//! The WebSocket handshake and the plain HTTP next to it.

use std::io::{self, Read, Write};

use crosspoint_net::ws::fuzz::{fuzz_handshake, fuzz_ws};
use crosspoint_net::ws::handshake::{
    Accepted, HEAD_BYTES_MAX, Request, RequestError, UpgradeError, client_request, new_key,
    parse_request, parse_response, response,
};
use proptest::collection::vec;
use proptest::prelude::*;

/// An answer with a head of this length, without compression.
#[expect(clippy::unnecessary_wraps, reason = "it is compared")]
fn accepted(head_len: usize) -> Result<Option<Accepted>, UpgradeError> {
    Ok(Some(Accepted { head_len, deflate: false }))
}

const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";

/// An upgrade request with `lines` in place of, or besides, the usual ones.
fn upgrade(lines: &str) -> String {
    let mut head = "GET /chat HTTP/1.1\r\n".to_owned();
    let usual = [
        ("Host", "example.com:7680"),
        ("Upgrade", "websocket"),
        ("Connection", "Upgrade"),
        ("Sec-WebSocket-Key", KEY),
        ("Sec-WebSocket-Version", "13"),
    ];
    for (name, value) in usual {
        let given = lines.lines().any(|line| line.split(':').next() == Some(name));
        if !given {
            head.push_str(&format!("{name}: {value}\r\n"));
        }
    }
    for line in lines.lines().filter(|line| !line.ends_with('-')) {
        head.push_str(&format!("{line}\r\n"));
    }
    head + "\r\n"
}

fn read(head: &str) -> Result<Request, RequestError> {
    let (request, head_len) = parse_request(head.as_bytes())?.expect("the head is complete");
    assert_eq!(head_len, head.len());
    Ok(request)
}

#[test]
fn an_upgrade_arriving_byte_by_byte_is_read_at_its_last_byte() {
    let head = upgrade("Origin: http://example.com\nSec-WebSocket-Protocol: chat, superchat");
    let stream = format!("{head}\u{1}frames");
    for end in 0..head.len() {
        assert_eq!(parse_request(&stream.as_bytes()[..end]), Ok(None), "{end}");
    }
    for end in head.len()..stream.len() {
        let (request, head_len) = parse_request(&stream.as_bytes()[..end])
            .expect("the request is valid")
            .expect("the head is complete");
        assert_eq!(head_len, head.len());
        assert_eq!((&*request.method, &*request.target), ("GET", "/chat"));
        assert_eq!(request.host.as_deref(), Some("example.com:7680"));
        assert_eq!(request.origin.as_deref(), Some("http://example.com"));
        let upgrade = request.upgrade.expect("it is an upgrade");
        assert_eq!((&*upgrade.key, upgrade.version), (KEY, Some(13)));
        assert_eq!(upgrade.protocols, ["chat", "superchat"]);
    }
}

#[test]
fn upgrades_of_odd_clients_are_accepted() {
    let browser = read(&upgrade(
        "Upgrade: WebSocket\nConnection: keep-alive, UPGRADE\nSec-WebSocket-Protocol: null",
    ));
    let offered = browser.unwrap().upgrade.unwrap().protocols;
    assert_eq!(offered, ["null"]);

    let version = |lines| read(&upgrade(lines)).unwrap().upgrade.unwrap().version;
    assert_eq!(version("Sec-WebSocket-Version:-"), None);
    assert_eq!(version("Sec-WebSocket-Version: 8"), Some(8));

    let key = "k".repeat(128);
    for key in ["x", &key] {
        let request = read(&upgrade(&format!("Sec-WebSocket-Key: {key}"))).unwrap();
        assert_eq!(request.upgrade.unwrap().key, key);
    }

    let split = "Sec-WebSocket-Protocol: one,, b\"d\nSec-WebSocket-Protocol:two ";
    let protocols = read(&upgrade(split)).unwrap().upgrade.unwrap().protocols;
    assert_eq!(protocols, ["one", "two"], "what is no token is left out");

    let extensions = "Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits";
    assert!(read(&upgrade(extensions)).unwrap().upgrade.is_some());
}

#[test]
fn plain_http_is_not_an_upgrade() {
    for (head, method, target) in [
        ("GET /health HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "/health"),
        ("HEAD /metrics?all=1 HTTP/1.0\r\n\r\n", "HEAD", "/metrics?all=1"),
        ("GET http://a:1/?x HTTP/1.1\r\nHost: a\r\n\r\n", "GET", "http://a:1/?x"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: h2c\r\n\r\n", "GET", "/"),
        ("GET / HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\n\r\n", "GET", "/"),
    ] {
        let request = read(head).unwrap();
        assert_eq!((&*request.method, &*request.target), (method, target));
        assert_eq!(request.upgrade, None, "{head}");
    }
}

#[test]
fn upgrades_that_lack_something_are_refused_with_the_fitting_status() {
    let missing = |name| RequestError::HeaderMissing { name };
    let repeated = |name| RequestError::HeaderRepeated { name };
    let cases = [
        (upgrade("Host:-"), missing("Host"), 400),
        (upgrade("Sec-WebSocket-Key:-"), missing("Sec-WebSocket-Key"), 400),
        (upgrade("Sec-WebSocket-Key: "), RequestError::KeyLength { len: 0 }, 400),
        (
            upgrade(&format!("Sec-WebSocket-Key: {}", "k".repeat(129))),
            RequestError::KeyLength { len: 129 },
            400,
        ),
        (upgrade("Connection: close"), RequestError::ConnectionNotUpgrade, 400),
        (upgrade("Connection:-"), RequestError::ConnectionNotUpgrade, 400),
        (upgrade("Host: a\nHost: b"), repeated("Host"), 400),
        (upgrade("Sec-WebSocket-Key: a\nSec-WebSocket-Key: b"), repeated("Sec-WebSocket-Key"), 400),
        (upgrade("Origin: a\nOrigin: b"), repeated("Origin"), 400),
        (
            upgrade("Sec-WebSocket-Version: 7"),
            RequestError::Version { offered: "7".to_owned() },
            426,
        ),
        (upgrade("").replace("GET", "POST"), RequestError::NotGet, 400),
        (upgrade("").replace("HTTP/1.1", "HTTP/1.0"), RequestError::OldHttp, 400),
    ];
    for (head, error, status) in cases {
        assert_eq!(read(&head), Err(error.clone()), "{head}");
        assert_eq!(error.status(), status);
        let answer = String::from_utf8(error.answer().to_vec()).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status} ")), "{answer}");
        let offers_13 = answer.contains("\r\nSec-WebSocket-Version: 13");
        assert_eq!(offers_13, status == 426, "{answer}");
    }
    let mut binary_host = upgrade("Host: x").into_bytes();
    let at = binary_host.iter().position(|&b| b == b'x').unwrap();
    binary_host[at] = 0xff;
    let refused = parse_request(&binary_host);
    assert_eq!(refused, Err(RequestError::HeaderNotText { name: "Host" }));
}

#[test]
fn what_is_not_http_is_refused_at_its_first_byte() {
    // The beginning of a TLS ClientHello: its sender waits for an answer before it tries plain.
    let refused = parse_request(&[0x16]).unwrap_err();
    assert!(refused.answer().starts_with(b"HTTP/1.1 400 Bad Request\r\n"));
}

#[test]
fn heads_above_a_limit_are_refused_whether_complete_or_not() {
    let filler = |len| format!("GET / HTTP/1.1\r\nA: {}\r\n\r\n", "a".repeat(len));
    let overhead = filler(0).len();
    let fits = filler(HEAD_BYTES_MAX - overhead);
    assert!(read(&fits).is_ok());
    let large = filler(HEAD_BYTES_MAX - overhead + 1);
    for head in [&large[..], &large[..HEAD_BYTES_MAX]] {
        let refused = parse_request(head.as_bytes());
        assert_eq!(refused, Err(RequestError::HeadTooLarge));
    }
    assert_eq!(parse_request(&large.as_bytes()[..HEAD_BYTES_MAX - 1]), Ok(None));

    let headers = |count| format!("GET / HTTP/1.1\r\n{}\r\n", "A: b\r\n".repeat(count));
    assert!(read(&headers(64)).is_ok());
    assert_eq!(read(&headers(65)), Err(RequestError::TooManyHeaders));
    assert_eq!(RequestError::TooManyHeaders.status(), 431);
}

#[test]
fn the_answer_carries_the_accept_of_section_1_3() {
    let answer = response(KEY, Some("chat"), None);
    let expected = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {ACCEPT}\r\nSec-WebSocket-Protocol: chat\r\n\r\n"
    );
    assert_eq!(answer, expected);
    assert_eq!(response(KEY, Some("a\r\nSet-Cookie: b"), None), response(KEY, None, None));
}

#[test]
fn a_refusal_says_its_length_and_that_it_is_the_last() {
    let answer = RequestError::NotGet.answer();
    let expected = "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain; charset=utf-8\r\n\
                    Content-Length: 40\r\nConnection: close\r\n\r\n\
                    WebSocket upgrade must be a GET request\n";
    assert_eq!(answer, expected);
}

#[test]
fn our_client_and_our_server_agree() {
    let key = new_key().unwrap();
    assert_eq!(key.len(), 24);
    assert_ne!(key, new_key().unwrap());
    let request = client_request("example.com:7680", "/chat?room=1", &key, false).unwrap();
    let (read, head_len) = parse_request(&request).unwrap().unwrap();
    assert_eq!((head_len, &*read.target), (request.len(), "/chat?room=1"));
    let upgrade = read.upgrade.unwrap();
    assert_eq!(upgrade.version, Some(13));

    let answer = response(&upgrade.key, None, None);
    for end in 0..answer.len() {
        assert_eq!(parse_response(&answer[..end], &key, false), Ok(None));
    }
    let mut with_frame = answer.to_vec();
    with_frame.extend_from_slice(b"\x89\x00");
    assert_eq!(parse_response(&with_frame, &key, false), accepted(answer.len()));
}

#[test]
fn answers_that_do_not_prove_an_upgrade_are_refused() {
    let answer = |old: &str, new: &str| {
        let good = format!(
            "HTTP/1.1 101 WebSocket Protocol Handshake\r\nUpgrade: WebSocket\r\n\
             Connection: Upgrade\r\nSec-WebSocket-Accept: {ACCEPT}\r\n\r\n"
        );
        parse_response(good.replace(old, new).as_bytes(), KEY, false)
    };
    assert!(matches!(answer("", ""), Ok(Some(_))), "as real servers answer");
    let wrong = |name| Err(UpgradeError::WrongHeader { name });
    let not_offered = |name| Err(UpgradeError::NotOffered { name });
    let extra = |line: &str| answer("\r\n\r\n", &format!("\r\n{line}\r\n\r\n"));
    assert_eq!(answer("101", "200"), Err(UpgradeError::Refused { status: 200 }));
    assert_eq!(answer("WebSocket\r", "h2c\r"), wrong("Upgrade"));
    assert_eq!(answer(": Upgrade", ": close"), wrong("Connection"));
    assert_eq!(answer("s3p", "S3p"), wrong("Sec-WebSocket-Accept"));
    assert_eq!(extra("Sec-WebSocket-Accept: x"), wrong("Sec-WebSocket-Accept"));
    assert_eq!(extra("Sec-WebSocket-Protocol: null"), not_offered("Sec-WebSocket-Protocol"));
    assert_eq!(extra("Sec-WebSocket-Extensions: x"), not_offered("Sec-WebSocket-Extensions"));
    let endless = format!("HTTP/1.1 101 S\r\nA: {}", "a".repeat(HEAD_BYTES_MAX));
    let refused = parse_response(endless.as_bytes(), KEY, false);
    assert_eq!(refused, Err(UpgradeError::HeadTooLarge));
    assert!(matches!(parse_response(b"SSH-2.0", KEY, false), Err(UpgradeError::Malformed(_))));
}

#[test]
fn a_request_cannot_be_broken_by_its_parts() {
    for (host, path, key) in [
        ("a\r\nB: c", "/", KEY),
        ("", "/", KEY),
        ("a/b", "/", KEY),
        ("a", "b", KEY),
        ("a", "/ HTTP/1.1", KEY),
        ("a", "/#b", KEY),
        ("a", "/", ""),
    ] {
        let refused = client_request(host, path, key, false);
        assert!(matches!(refused, Err(UpgradeError::Unsendable { .. })), "{refused:?}");
    }
}

/// Plays the other side: reads give what `answer` makes of everything written so far.
struct Scripted<F> {
    written: Vec<u8>,
    answer: F,
    unread: Vec<u8>,
}

impl<F: FnMut(&[u8]) -> Option<Vec<u8>>> Read for Scripted<F> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        if self.unread.is_empty() {
            self.unread = (self.answer)(&self.written).unwrap_or_default();
        }
        let count = into.len().min(self.unread.len());
        into[..count].copy_from_slice(&self.unread[..count]);
        self.unread.drain(..count);
        Ok(count)
    }
}

impl<F> Write for Scripted<F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn scripted<F: FnMut(&[u8]) -> Option<Vec<u8>>>(answer: F) -> Scripted<F> {
    Scripted { written: Vec::new(), answer, unread: Vec::new() }
}

#[test]
fn tungstenite_accepts_our_request() {
    let key = new_key().unwrap();
    let mut request = Some(client_request("example.com", "/", &key, false).unwrap().to_vec());
    let socket = tungstenite::accept(scripted(|_| request.take())).expect("a valid request");
    let written = &socket.get_ref().written;
    assert_eq!(parse_response(written, &key, false), accepted(written.len()));
}

#[test]
fn tungstenite_accepts_our_answer() {
    let server = scripted(|written| {
        let (request, _) = parse_request(written).ok()??;
        Some(response(&request.upgrade?.key, None, None).to_vec())
    });
    let connected = tungstenite::client("ws://example.com/", server);
    assert!(connected.is_ok(), "{:?}", connected.err());
}

proptest! {
    #[test]
    fn a_request_that_can_be_sent_is_understood(
        host in "[ -~]{1,20}",
        path in "/[ -~]{0,20}",
        key in "[ -~]{1,30}",
    ) {
        fuzz_handshake(format!("\x01{host}\n{path}\n{key}").as_bytes());
    }

    #[test]
    fn damaged_heads_mean_the_same_however_they_arrive(
        is_request in any::<bool>(),
        step in any::<u8>(),
        damage in vec((any::<prop::sample::Index>(), prop::sample::select(&b"\r\n:, \x00\xffA1"[..])), 0..4),
    ) {
        let head = if is_request {
            upgrade("Origin: a\nSec-WebSocket-Protocol: null").into_bytes()
        } else {
            response(KEY, None, None).to_vec()
        };
        let mut data = vec![0, 255, step];
        data.extend_from_slice(&head);
        for (at, byte) in damage {
            let at = 3 + at.index(head.len());
            data[at] = byte;
        }
        data.extend_from_slice(b"more");
        fuzz_ws(&data);
        fuzz_handshake(&data[2..]);
    }
}
