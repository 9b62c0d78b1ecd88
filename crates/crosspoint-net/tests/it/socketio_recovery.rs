//! Sessions of Socket.IO that survive their connections, with the real server.

use crate::common::http::{answer, ask};
use crate::common::peer::{head, server_frame};
use crate::common::{Link, Served, serve_as, until};
use bytes::BytesMut;
use crosspoint_hub::transport::Carrier;
use crosspoint_hub::{HubOptions, Reason};
use crosspoint_net::engineio::EngineIo;
use crosspoint_net::engineio::recovery::Config;
use crosspoint_net::gateways::{SocketIo, standard};
use crosspoint_net::server::ServerOptions;
use crosspoint_net::ws::{Opcode, frame};
use std::collections::VecDeque;
use std::time::Duration;

const CONFIG: Config =
    Config { window: Duration::from_secs(120), away_max: 100, bytes_max: 64 * 1024 };

fn serve(config: Config) -> Served {
    let socketio = SocketIo { recovery: Some(config), ..SocketIo::default() };
    let gateways = standard().with(EngineIo::from(socketio));
    serve_as(HubOptions::default(), ServerOptions { gateways, ..ServerOptions::default() })
}

fn request(method: &str, query: &str, more: &str) -> String {
    format!("{method} /socket.io/?{query} HTTP/1.1\r\nHost: hub\r\n{more}\r\n")
}

/// How a client is connected.
enum Way {
    WebSocket(Link),
    /// The query of its requests, and what an answer brought and was not looked at.
    Polling(String, VecDeque<String>),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum By {
    WebSocket,
    Polling,
    /// By requests first, and then over a WebSocket.
    Upgrade,
}

impl Way {
    async fn open(served: &Served, name: &str, by: By) -> Self {
        let query = format!("EIO=4&clientId={name}");
        let mut way = match by {
            By::WebSocket => {
                Self::WebSocket(websocket(served, &format!("{query}&transport=websocket")).await)
            }
            By::Polling | By::Upgrade => {
                Self::Polling(format!("{query}&transport=polling"), VecDeque::new())
            }
        };
        let opened = way.hear(served).await;
        let (_, rest) = opened.split_once("\"sid\":\"").expect("an open packet");
        let (sid, _) = rest.split_once('"').unwrap();
        if let Self::Polling(query, _) = &mut way {
            *query = format!("{query}&sid={sid}");
        }
        if by == By::Upgrade { way.upgraded(served).await } else { way }
    }

    async fn upgraded(self, served: &Served) -> Self {
        let Self::Polling(query, _) = self else { panic!() };
        let mut link = websocket(served, &query.replace("=polling", "=websocket")).await;
        say(&link, "2probe").await;
        assert_eq!(text(&mut link).await, "3probe");
        say(&link, "5").await;
        Self::WebSocket(link)
    }

    async fn say(&self, served: &Served, said: &str) {
        match self {
            Self::WebSocket(link) => say(link, said).await,
            Self::Polling(query, _) => {
                let more = format!("Content-Length: {}\r\n", said.len());
                let mut link = served.memory();
                link.send(format!("{}{said}", request("POST", query, &more)).as_bytes()).await;
                assert_eq!(answer(&mut link, false).await.status, 200);
            }
        }
    }

    async fn hear(&mut self, served: &Served) -> String {
        match self {
            Self::WebSocket(link) => text(link).await,
            Self::Polling(query, heard) => loop {
                if let Some(text) = heard.pop_front() {
                    return text;
                }
                let answer = ask(&mut served.memory(), &request("GET", query, "")).await;
                assert_eq!(answer.status, 200, "{answer:?}");
                let body = str::from_utf8(&answer.body).unwrap();
                heard.extend(body.split('\u{1e}').map(str::to_owned));
            },
        }
    }
}

async fn websocket(served: &Served, query: &str) -> Link {
    let mut link = served.memory();
    let more = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    link.send(request("GET", query, more).as_bytes()).await;
    let head = head(&mut link).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    link
}

fn framed(said: &str) -> BytesMut {
    let mut out = BytesMut::new();
    frame::client_frame(Opcode::Text, true, said.as_bytes(), [1, 2, 3, 4], &mut out);
    out
}

async fn say(link: &Link, said: &str) {
    link.send(&framed(said)).await;
}

async fn text(link: &mut Link) -> String {
    let (first, payload) = server_frame(link).await;
    assert_eq!(first, 0x81, "a message of text, not {payload:02x?}");
    String::from_utf8(payload.into()).unwrap()
}

/// What a client knows of its session, which it keeps when its connection is lost.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Known {
    sid: String,
    pid: String,
    offset: Option<String>,
}

struct Client<'a> {
    served: &'a Served,
    way: Way,
    known: Known,
}

impl<'a> Client<'a> {
    /// Connects a client that had a session before, if it had one.
    async fn come(served: &'a Served, name: &str, by: By, before: Known) -> Self {
        // Boxed, as tests have many of them.
        Box::pin(Self::come_now(served, name, by, before)).await
    }

    async fn come_now(served: &'a Served, name: &str, by: By, before: Known) -> Self {
        let way = Way::open(served, name, by).await;
        let offset = before.offset.as_ref().map(|offset| format!(",\"offset\":\"{offset}\""));
        let auth = match &*before.pid {
            "" => String::new(),
            pid => format!("{{\"pid\":\"{pid}\"{}}}", offset.unwrap_or_default()),
        };
        way.say(served, &format!("40{auth}")).await;
        let mut client = Self { served, way, known: before };
        let welcome = client.hear().await;
        let value: serde_json::Value =
            serde_json::from_str(welcome.strip_prefix("40").expect("the answer to CONNECT"))
                .unwrap();
        let text = |key: &str| value[key].as_str().expect("it is there").to_owned();
        client.known = Known { sid: text("sid"), pid: text("pid"), ..client.known };
        client
    }

    async fn new(served: &'a Served, name: &str, by: By) -> Self {
        Self::come(served, name, by, Known::default()).await
    }

    async fn say(&self, said: &str) {
        self.way.say(self.served, said).await;
    }

    /// The next that it hears but for heartbeats, which it answers.
    async fn hear(&mut self) -> String {
        Box::pin(self.hear_now()).await
    }

    async fn hear_now(&mut self) -> String {
        loop {
            let heard = self.way.hear(self.served).await;
            match &*heard {
                "2" => self.say("3").await,
                "6" => {}
                _ => return heard,
            }
        }
    }

    /// Hears an event without an acknowledgement. Gives it without its offset, which is kept.
    async fn event(&mut self) -> String {
        let heard = self.hear().await;
        assert!(heard.starts_with("42["), "{heard}");
        let (event, offset) = heard.rsplit_once(',').unwrap();
        self.known.offset = Some(offset.trim_matches(['"', ']']).to_owned());
        event["42".len()..].to_owned() + "]"
    }

    async fn enter(&mut self, room: &str) {
        self.say(&format!("427[\"JOIN_ROOM\",\"{room}\"]")).await;
        assert_eq!(self.hear().await, "437[null]");
    }

    async fn tell_room(&self, room: &str, number: u32) {
        self.say(&format!("42[\"EMIT_ROOM\",\"{room}\",\"news\",{number}]")).await;
    }

    /// Waits until all that it has said is carried out.
    async fn settle(&mut self) {
        self.say("428[\"GET_CLIENT_CONNECTED_STATUS\",\"nobody\"]").await;
        assert_eq!(self.hear().await, "438[null]");
    }

    /// Its connection ends. Gives what it knows.
    async fn lose(self) -> Known {
        if let Way::Polling(..) = &self.way {
            self.say("1").await;
        }
        self.known
    }
}

fn is_away(served: &Served) -> i64 {
    served.hub.metrics.sessions_away.get()
}

async fn away(served: &Served, count: i64) {
    until("it is away", || is_away(served) == count).await;
}

#[tokio::test]
async fn a_client_that_comes_back_is_in_its_rooms_and_gets_what_it_has_missed() {
    use By::{Polling, Upgrade, WebSocket};
    for (first, second) in [
        (WebSocket, WebSocket),
        (Polling, Polling),
        (WebSocket, Polling),
        (Polling, WebSocket),
        (Upgrade, Upgrade),
    ] {
        let served = serve(CONFIG);
        let bob = Client::new(&served, "bob", WebSocket).await;
        let mut ann = Client::new(&served, "ann", first).await;
        ann.enter("lobby").await;
        bob.tell_room("lobby", 1).await;
        assert_eq!(ann.event().await, "[\"news\",1]");
        let known = ann.lose().await;
        away(&served, 1).await;
        bob.tell_room("lobby", 2).await;
        bob.tell_room("lobby", 3).await;
        let mut ann = Client::come(&served, "ann", second, known.clone()).await;
        assert_eq!((&ann.known.sid, &ann.known.pid), (&known.sid, &known.pid));
        for number in 2..=3 {
            assert_eq!(ann.event().await, format!("[\"news\",{number}]"), "{first:?} {second:?}");
        }
        if second == Polling {
            ann.way = ann.way.upgraded(&served).await;
        }
        bob.tell_room("lobby", 4).await;
        assert_eq!(ann.event().await, "[\"news\",4]");
        ann.settle().await;
        until("no other one is there", || served.hub.sessions() == 2).await;
        assert_eq!((is_away(&served), served.hub.metrics.resumed.get()), (0, 1));
        let carriers: Vec<_> =
            served.hub.session_infos().iter().map(|info| info.transport.carrier).collect();
        assert_eq!(carriers, [Carrier::WebSocket; 2]);
    }
}

#[tokio::test]
async fn nobody_else_sees_anything_of_it() {
    let served = serve(CONFIG);
    // A client of version 2 has neither offsets nor a session to come back to.
    let mut link = websocket(&served, "EIO=3&transport=websocket").await;
    assert!(text(&mut link).await.starts_with("0{"));
    assert_eq!(text(&mut link).await, "40");
    say(&link, "427[\"JOIN_ROOM\",\"lobby\"]").await;
    assert_eq!(text(&mut link).await, "437[null]");
    let bob = Client::new(&served, "bob", By::WebSocket).await;
    bob.tell_room("lobby", 1).await;
    assert_eq!(text(&mut link).await, "42[\"news\",1]");
    drop(link);
    until("it ends", || served.hub.sessions() == 1).await;
    assert_eq!(served.hub.metrics.sessions_away.get(), 0);
}

#[tokio::test]
async fn peers_hear_at_once_that_the_client_has_gone() {
    let served = serve(CONFIG);
    let mut ann = Client::new(&served, "ann", By::WebSocket).await;
    let mut bob = Client::new(&served, "bob", By::WebSocket).await;
    bob.say("425[\"ADD_TARGET\",\"ann\",{\"sourceId\":\"bob\"}]").await;
    let asked = ann.hear().await;
    let id: String = asked[2..].chars().take_while(char::is_ascii_digit).collect();
    assert!(asked.contains("ADD_TARGET"), "{asked}");
    ann.say(&format!("43{id}[null]")).await;
    assert_eq!(bob.hear().await, "435[null]");
    bob.say("426[\"P2P_EMIT\",\"ann\",\"question\",[]]").await;
    let asked = ann.hear().await;
    assert!(asked.contains("question"), "{asked}");
    let known = ann.lose().await;
    assert_eq!(bob.event().await, "[\"TARGET_DISCONNECT\",\"ann\"]");
    away(&served, 1).await;
    // What is said to it from now on waits, and that is all that does.
    bob.say("42[\"P2P_EMIT\",\"ann\",\"news\",[1]]").await;
    bob.say("424[\"P2P_EMIT\",\"ann\",\"question\",[2]]").await;
    bob.settle().await;
    let mut ann = Client::come(&served, "ann", By::WebSocket, known).await;
    assert_eq!(ann.event().await, "[\"news\",1]");
    let asked = ann.hear().await;
    assert!(asked.ends_with("[\"question\",2]"), "{asked}");
    let id: String = asked[2..].chars().take_while(char::is_ascii_digit).collect();
    ann.say(&format!("43{id}[\"yes\"]")).await;
    assert_eq!(bob.hear().await, "434[\"yes\"]");
}

#[tokio::test(start_paused = true)]
async fn a_page_that_is_loaded_again_gets_its_name() {
    let served = serve(CONFIG);
    let known = Client::new(&served, "ann", By::WebSocket).await.lose().await;
    away(&served, 1).await;
    let other = Client::new(&served, "ann", By::WebSocket).await;
    assert_ne!(other.known, known);
    assert_eq!((served.hub.sessions(), is_away(&served)), (1, 0));
    // The secret of the one that has ended leads nowhere, and the name is taken.
    let way = Way::open(&served, "ann", By::WebSocket).await;
    way.say(&served, &format!("40{{\"pid\":\"{}\"}}", known.pid)).await;
    let mut late = Client { served: &served, way, known };
    let mut other = other;
    let (refused, _) = tokio::join!(
        async {
            assert!(late.hear().await.starts_with("40{"));
            let refused = late.hear().await;
            assert!(refused.contains("Duplicated clientId ann"), "{refused}");
        },
        async {
            assert_eq!(other.way.hear(&served).await, "2");
            other.say("3").await;
        }
    );
    refused
}

#[tokio::test(start_paused = true)]
async fn a_session_ends_when_its_client_stays_away_and_the_client_begins_anew() {
    let served = serve(CONFIG);
    let mut ann = Client::new(&served, "ann", By::WebSocket).await;
    ann.settle().await;
    let known = ann.lose().await;
    away(&served, 1).await;
    tokio::time::sleep(CONFIG.window - Duration::from_secs(1)).await;
    assert_eq!(served.hub.sessions(), 1);
    until("it ends", || served.hub.sessions() == 0).await;
    assert_eq!((served.closed(Reason::ConnectionLost), is_away(&served)), (1, 0));
    let ann = Client::come(&served, "ann", By::WebSocket, known.clone()).await;
    assert_ne!(ann.known.sid, known.sid);
    assert_ne!(ann.known.pid, known.pid);
}

#[tokio::test]
async fn a_client_that_has_missed_too_much_begins_anew_with_its_name() {
    let served = serve(Config { bytes_max: 2048, ..CONFIG });
    let mut bob = Client::new(&served, "bob", By::WebSocket).await;
    let mut ann = Client::new(&served, "ann", By::WebSocket).await;
    ann.enter("lobby").await;
    for number in 0..100 {
        bob.tell_room("lobby", number).await;
    }
    for number in 0..100 {
        assert_eq!(ann.event().await, format!("[\"news\",{number}]"));
    }
    let known = Known { offset: None, ..ann.lose().await };
    away(&served, 1).await;
    let ann = Client::come(&served, "ann", By::WebSocket, known.clone()).await;
    assert_ne!((&ann.known.sid, &ann.known.pid), (&known.sid, &known.pid));
    assert_eq!((served.hub.sessions(), is_away(&served)), (2, 0));
    // The session of a client that misses too much while it is away ends, and nobody waits for it.
    let mut ann = ann;
    ann.enter("lobby").await;
    let known = ann.lose().await;
    away(&served, 1).await;
    for number in 0..100 {
        bob.tell_room("lobby", number).await;
    }
    bob.settle().await;
    until("it ends", || served.hub.sessions() == 1).await;
    assert_eq!(served.hits("socketio.recovery_bytes_max"), 1);
    let ann = Client::come(&served, "ann", By::WebSocket, known.clone()).await;
    assert_ne!(ann.known.sid, known.sid);
}

#[tokio::test(start_paused = true)]
async fn a_client_that_is_back_while_another_one_waits_for_its_name_keeps_it() {
    let served = serve(CONFIG);
    let known = Client::new(&served, "ann", By::WebSocket).await.lose().await;
    away(&served, 1).await;
    let way = Way::open(&served, "ann", By::WebSocket).await;
    way.say(&served, "40").await;
    // The probe is said to nobody, and takes longer than this.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let mut ann = Client::come(&served, "ann", By::WebSocket, known.clone()).await;
    assert_eq!(ann.known.sid, known.sid);
    assert_eq!(ann.way.hear(&served).await, "2");
    ann.say("3").await;
    let mut other = Client { served: &served, way, known: Known::default() };
    assert!(other.hear().await.starts_with("40{"));
    let refused = other.hear().await;
    assert!(refused.contains("Duplicated clientId ann"), "{refused}");
}

#[tokio::test]
async fn the_newest_connection_has_the_session_and_the_one_before_is_closed() {
    let served = serve(CONFIG);
    let bob = Client::new(&served, "bob", By::WebSocket).await;
    let mut ann = Client::new(&served, "ann", By::WebSocket).await;
    ann.enter("lobby").await;
    let known = ann.known.clone();
    // The hub has not seen that the first connection is lost. Two come at once.
    let come = || Client::come(&served, "ann", By::WebSocket, known.clone());
    let both = tokio::join!(come(), come());
    let mut all = [ann, both.0, both.1];
    for other in &all {
        assert_eq!(other.known.sid, known.sid);
    }
    bob.tell_room("lobby", 1).await;
    let mut heard = 0;
    for one in &mut all {
        let Way::WebSocket(link) = &mut one.way else { panic!() };
        let told = loop {
            // A client that is back hears a heartbeat.
            match server_frame(link).await {
                (0x81, payload) if *payload == *b"2" => {}
                told => break told,
            }
        };
        match told {
            (0x88, _) => {}
            (first, payload) => {
                assert_eq!(first, 0x81);
                assert!(payload.starts_with(b"42[\"news\",1,"), "{payload:?}");
                heard += 1;
            }
        }
    }
    assert_eq!(heard, 1);
    until("no other one is there", || served.hub.sessions() == 2).await;
}

#[tokio::test]
async fn a_connection_that_is_cut_within_a_message_loses_that_alone() {
    let served = serve(CONFIG);
    let mut bob = Client::new(&served, "bob", By::WebSocket).await;
    bob.enter("lobby").await;
    let mut known = Client::new(&served, "ann", By::WebSocket).await.known;
    // The first is given up by its client.
    for cut in [1, 5, 20] {
        let ann = Client::come(&served, "ann", By::WebSocket, known.clone()).await;
        assert_eq!(ann.known.sid, known.sid);
        ann.tell_room("lobby", cut).await;
        let Way::WebSocket(link) = &ann.way else { panic!() };
        let message = framed("42[\"EMIT_ROOM\",\"lobby\",\"news\",0]");
        link.send(&message[..message.len() - cut as usize]).await;
        known = ann.lose().await;
        assert_eq!(bob.event().await, format!("[\"news\",{cut}]"));
        away(&served, 1).await;
    }
    // An event whose attachment is missing would be joined by the next one.
    let ann = Client::come(&served, "ann", By::WebSocket, known).await;
    ann.say("451-[\"EMIT_ROOM\",\"lobby\",\"news\",{\"_placeholder\":true,\"num\":0}]").await;
    ann.lose().await;
    until("it ends", || served.hub.sessions() == 1).await;
}

#[tokio::test]
async fn who_leaves_or_is_put_out_does_not_wait() {
    let served = serve(CONFIG);
    let ann = Client::new(&served, "ann", By::WebSocket).await;
    ann.say("41").await;
    ann.lose().await;
    until("it ends", || served.hub.sessions() == 0).await;
    let mut ann = Client::new(&served, "ann", By::Polling).await;
    let session = served.hub.session_infos()[0].who.session;
    assert_eq!(served.hub.disconnect_session(session, Reason::Kicked), Ok(()));
    assert_eq!(ann.hear().await, "41");
    until("it ends", || served.hub.sessions() == 0).await;
    assert_eq!((served.hub.ends()[0].reason, is_away(&served)), (Reason::Kicked, 0));
    // Who breaks a rule is told, as others are.
    for (said, code) in [("49", 1002_u16), ("away", 1002)] {
        let mut ann = Client::new(&served, "ann", By::WebSocket).await;
        ann.say(said).await;
        let Way::WebSocket(link) = &mut ann.way else { panic!() };
        let (first, payload) = server_frame(link).await;
        assert_eq!((first, &payload[..2]), (0x88, &code.to_be_bytes()[..]), "{payload:?}");
    }
    let ann = Client::new(&served, "ann", By::Polling).await;
    let Way::Polling(query, _) = &ann.way else { panic!() };
    let empty = ask(&mut served.memory(), &request("POST", query, "Content-Length: 0\r\n")).await;
    assert_eq!(empty.status, 400);
    let mut ann = Client::new(&served, "ann", By::WebSocket).await;
    let Way::WebSocket(link) = &mut ann.way else { panic!() };
    link.send(&[0x80, 0]).await;
    let (first, payload) = server_frame(link).await;
    assert_eq!((first, &payload[..2]), (0x88, &1002_u16.to_be_bytes()[..]), "{payload:?}");
    until("all end", || served.hub.sessions() == 0).await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_answers_no_heartbeat_is_waited_for() {
    for by in [By::WebSocket, By::Polling] {
        let served = serve(CONFIG);
        let ann = Client::new(&served, "ann", by).await;
        let begun = tokio::time::Instant::now();
        away(&served, 1).await;
        assert_eq!(begun.elapsed().as_secs(), 45);
        let known = ann.known.clone();
        let again = Client::come(&served, "ann", by, known.clone()).await;
        assert_eq!(again.known.sid, known.sid);
        drop(ann);
    }
}

#[tokio::test]
async fn sessions_that_wait_are_bounded_and_a_stop_ends_them() {
    let served = serve(Config { away_max: 2, ..CONFIG });
    let mut all = Vec::new();
    for name in ["a", "b", "c"] {
        all.push(Client::new(&served, name, By::WebSocket).await);
    }
    for (client, left) in all.into_iter().zip([3, 3, 2]) {
        client.lose().await;
        until("it waits or ends", || served.hub.sessions() == left && is_away(&served) >= 1).await;
    }
    until("one has ended", || served.hub.sessions() == 2).await;
    assert_eq!((is_away(&served), served.hits("socketio.recovery_max")), (2, 1));
    served.server.stop().await;
    assert_eq!((served.hub.sessions(), is_away(&served)), (0, 0));
}

#[tokio::test(start_paused = true)]
async fn what_is_kept_for_a_client_is_charged_until_it_has_answered_a_heartbeat() {
    let served = serve(CONFIG);
    let mut bob = Client::new(&served, "bob", By::WebSocket).await;
    let mut ann = Client::new(&served, "ann", By::WebSocket).await;
    ann.enter("lobby").await;
    let of_ann = || {
        let infos = served.hub.session_infos();
        let ann = infos.into_iter().find(|info| info.who.peer.name.as_deref() == Some("ann"));
        ann.expect("she is there")
    };
    let before = of_ann().memory_bytes;
    let known = ann.lose().await;
    away(&served, 1).await;
    assert!(of_ann().away);
    let long = "x".repeat(1000);
    for _ in 0..40 {
        bob.say(&format!("42[\"EMIT_ROOM\",\"lobby\",\"news\",\"{long}\"]")).await;
    }
    bob.settle().await;
    until("it is charged", || of_ann().memory_bytes >= before + 40_000).await;
    let mut ann = Client::come(&served, "ann", By::WebSocket, known).await;
    for _ in 0..40 {
        assert_eq!(ann.event().await, format!("[\"news\",\"{long}\"]"));
    }
    assert!(!of_ann().away && of_ann().memory_bytes >= before + 40_000);
    assert_eq!(ann.way.hear(&served).await, "2");
    ann.say("3").await;
    until("it is given back", || of_ann().memory_bytes <= before + 8 * 1024).await;
}

#[tokio::test]
async fn a_secret_that_nobody_has_leads_to_a_new_session() {
    let served = serve(CONFIG);
    let long = "x".repeat(100_000);
    for pid in ["AAAAAAAAAAAAAAAAAAAAAA", "x", &long] {
        let before = Known { pid: pid.to_owned(), offset: Some(long.clone()), ..Known::default() };
        let ann = Client::come(&served, "ann", By::WebSocket, before).await;
        assert_ne!(ann.known.pid, pid);
        ann.say("41").await;
        ann.lose().await;
        until("it ends", || served.hub.sessions() == 0).await;
    }
}

/// What comes in many messages at once, in both directions, and while the client is away.
#[tokio::test]
async fn a_lot_comes_in_order_over_many_connections() {
    let served = serve(Config { bytes_max: 1 << 20, ..CONFIG });
    let bob = Client::new(&served, "bob", By::WebSocket).await;
    let mut ann = Client::new(&served, "ann", By::WebSocket).await;
    ann.enter("lobby").await;
    let (mut said, mut heard) = (0, 0);
    let mut known = ann.lose().await;
    for round in 0..10_u32 {
        let mut batch = Vec::new();
        for _ in 0..200 {
            batch.extend_from_slice(&framed(&format!(
                "42[\"EMIT_ROOM\",\"lobby\",\"news\",{said}]"
            )));
            said += 1;
        }
        let Way::WebSocket(link) = &bob.way else { panic!() };
        link.send(&batch).await;
        let by = if round % 2 == 0 { By::WebSocket } else { By::Polling };
        let mut ann = Client::come(&served, "ann", by, known.clone()).await;
        assert_eq!(ann.known.sid, known.sid, "round {round}");
        let until_number = if round == 9 { said } else { said - 50 };
        while heard < until_number {
            assert_eq!(ann.event().await, format!("[\"news\",{heard}]"));
            heard += 1;
        }
        known = ann.lose().await;
    }
}
