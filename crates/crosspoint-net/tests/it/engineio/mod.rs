//! Sessions of Engine.IO, with the real server and a protocol that says everything again.

#[path = "../../../examples/engineio_echo/echo.rs"]
mod echo;
mod origins;
mod polling;
mod probes;
mod upgrade;
mod websocket;

use crate::common::http::{Answer, answer, ask};
use crate::common::peer::{head, server_frame};
use crate::common::{Link, Served, serve_as};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::HubOptions;
use crosspoint_net::engineio::{Config, EngineIo, Inner};
use crosspoint_net::gateways::standard;
use crosspoint_net::http::HttpOptions;
use crosspoint_net::server::ServerOptions;
use crosspoint_net::ws::{Opcode, frame};
use echo::Echoes;
use std::sync::Arc;

/// A server with everything at its default.
fn serve() -> Served {
    serve_with(Config::default(), HttpOptions::default(), Arc::new(Echoes))
}

fn serve_with(config: Config, http: HttpOptions, inner: Arc<dyn Inner>) -> Served {
    let engineio = EngineIo::new("/engine.io".parse().unwrap(), config, inner);
    let gateways = standard().with(engineio);
    serve_as(HubOptions::default(), ServerOptions { gateways, http, ..ServerOptions::default() })
}

/// A request for an upgrade with this query.
fn upgrade_to(query: &str) -> String {
    format!(
        "GET /engine.io/?{query} HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
}

/// The value of a key in the JSON of an open packet, as its text.
fn value<'a>(packet: &'a str, key: &str) -> &'a str {
    let (_, rest) = packet.split_once(&format!("\"{key}\":")).expect("the key");
    let end =
        if rest.starts_with('[') { "]" } else { [",", "}"][usize::from(!rest.contains(','))] };
    let (value, _) = rest.split_once(end).expect("an end");
    value.trim_matches('"')
}

/// A WebSocket of a client.
#[derive(Debug)]
pub(crate) struct Ws(Link);

impl Ws {
    /// Opens one with this query.
    pub(crate) async fn open(mut link: Link, query: &str) -> Self {
        link.send(upgrade_to(query).as_bytes()).await;
        let head = head(&mut link).await;
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        Self(link)
    }

    /// Opens one, and reads the open packet.
    async fn session(link: Link, query: &str) -> (Self, String) {
        let mut ws = Self::open(link, query).await;
        let opened = ws.text().await;
        assert!(opened.starts_with("0{"), "{opened}");
        (ws, opened)
    }

    async fn send(&self, opcode: Opcode, payload: &[u8]) {
        let mut out = BytesMut::new();
        frame::client_frame(opcode, true, payload, [1, 2, 3, 4], &mut out);
        self.0.send(&out).await;
    }

    async fn say(&self, text: &str) {
        self.send(Opcode::Text, text.as_bytes()).await;
    }

    async fn text(&mut self) -> String {
        let (first, payload) = server_frame(&mut self.0).await;
        assert_eq!(first, 0x81, "a message of text, not {payload:02x?}");
        String::from_utf8(payload.into()).unwrap()
    }

    async fn binary(&mut self) -> Bytes {
        let (first, payload) = server_frame(&mut self.0).await;
        assert_eq!(first, 0x82, "a binary message, not {payload:02x?}");
        payload
    }

    /// Expects the WebSocket to be closed, and gives the code.
    async fn closed(&mut self) -> u16 {
        let (first, payload) = server_frame(&mut self.0).await;
        assert_eq!(first, 0x88, "a close frame, not {payload:02x?}");
        u16::from_be_bytes([payload[0], payload[1]])
    }
}

/// An answer's status and body.
fn said(answer: &Answer) -> (u16, &str) {
    (answer.status, str::from_utf8(&answer.body).unwrap())
}

/// Asks for an upgrade that is refused.
async fn refused(served: &Served, query: &str) -> Answer {
    ask(&mut served.memory(), &upgrade_to(query)).await
}

/// The head of a request, with further lines.
fn request(method: &str, query: &str, more: &str) -> String {
    format!("{method} /engine.io/?{query} HTTP/1.1\r\nHost: hub\r\n{more}\r\n")
}

/// Asks over a connection of its own.
async fn get(served: &Served, query: &str) -> Answer {
    ask(&mut served.memory(), &request("GET", query, "")).await
}

async fn post(served: &Served, query: &str, body: impl AsRef<[u8]>) -> Answer {
    post_as(served, query, "text/plain;charset=UTF-8", body).await
}

async fn post_as(served: &Served, query: &str, kind: &str, body: impl AsRef<[u8]>) -> Answer {
    let body = body.as_ref();
    let more = format!("Content-Length: {}\r\nContent-Type: {kind}\r\n", body.len());
    let mut link = served.memory();
    link.send(&[request("POST", query, &more).as_bytes(), body].concat()).await;
    answer(&mut link, false).await
}

/// Begins a session by a request, and gives the query of those that follow.
async fn begin(served: &Served, revision: u8) -> String {
    let query = format!("EIO={revision}&transport=polling");
    let answer = get(served, &query).await;
    let (status, body) = said(&answer);
    assert_eq!(status, 200, "{body}");
    format!("{query}&sid={}", value(body, "sid"))
}

/// What is answered to a session that is over, or that there never was.
const UNKNOWN: (u16, &str) = (400, r#"{"code":1,"message":"Session ID unknown"}"#);
const BAD: (u16, &str) = (400, r#"{"code":3,"message":"Bad request"}"#);

/// Waits until a session is over.
async fn over(served: &Served) {
    crate::common::until("the session ends", || served.hub.sessions() == 0).await;
}

/// On a paused clock: everything that can happen has.
async fn idle() {
    tokio::time::sleep(std::time::Duration::from_millis(1)).await;
}
