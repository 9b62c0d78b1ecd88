//! Protocols that plug in from outside: over several HTTP requests and then a WebSocket of the same session,
//! chosen by its path, in which the server speaks first; one that may be silent for long; one that tells text from
//! binary messages, and whose sessions leave the hub before their connections end and wait for their names.

use crate::common::http::answer;
use crate::common::peer::{Peer, UPGRADE, closed_with, enter, head, server_frame, up, upgrade};
use crate::common::{Link, Served, serve_as, until};
use crate::deflate::agreed;
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use bytes::{Bytes, BytesMut};
use crosspoint_hub::command::{ChannelEvent, Hello};
use crosspoint_hub::protocol::{Activity, Output, Protocol};
use crosspoint_hub::wire::{
    Capacity, Content, FrameWriter, Framing, Pauses, Profile, Stateful, Wire,
};
use crosspoint_hub::{Command, Event as HubEvent, HubOptions, JoinedChannelId, Limit, Reason};
use crosspoint_net::gateway::{
    Carrier, Connection, Context, Gateway, Gateways, Match, Opened, Opening, Refused, Runner,
    Silence, Transport, WebSocket,
};
use crosspoint_net::gateways::{Native, standard};
use crosspoint_net::memory::{self, Shape};
use crosspoint_net::server::ServerOptions;
use crosspoint_net::stream::{Reader, Stream, Writer};
use crosspoint_net::ws::connection::Event;
use crosspoint_net::ws::deflate::{deflate, inflate};
use crosspoint_net::ws::{MessageKind, Opcode, frame};
use std::collections::{HashMap, VecDeque};
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};
use tokio::io::ReadBuf;

/// Sessions that are begun by requests: what is posted goes to the session. What the session says is heard in
/// a WebSocket at `/post/ID/ws`.
#[derive(Debug, Default)]
struct Posted {
    sessions: Sessions,
}

type Sessions = Arc<Mutex<HashMap<u32, (Option<Reader>, Arc<Writer>)>>>;

async fn begin(
    State((runner, sessions)): State<(Arc<Runner>, Sessions)>,
) -> Result<String, StatusCode> {
    let admission = runner.hub().admit(None).map_err(|_| StatusCode::SERVICE_UNAVAILABLE)?;
    let context = Context::new(&runner, Transport::Stream, None);
    let Ok(Opened::Session(session)) = Native.open(&context) else {
        return Err(StatusCode::INTERNAL_SERVER_ERROR);
    };
    let (near, far) = memory::pair(Shape::default(), Shape::default());
    runner.run(session, Stream::from(near), None, admission);
    let (reader, writer) = Stream::from(far).into_split();
    let mut sessions = sessions.lock().unwrap();
    let id = u32::try_from(sessions.len()).unwrap();
    sessions.insert(id, (Some(reader), Arc::new(writer)));
    Ok(id.to_string())
}

async fn receive(
    State((_runner, sessions)): State<(Arc<Runner>, Sessions)>,
    Path(id): Path<u32>,
    body: Bytes,
) -> StatusCode {
    let writer = sessions.lock().unwrap().get(&id).map(|(_, writer)| writer.clone());
    match writer {
        Some(writer) if writer.write_all(&body).await.is_ok() => StatusCode::NO_CONTENT,
        Some(_) => StatusCode::GONE,
        None => StatusCode::NOT_FOUND,
    }
}

impl Gateway for Posted {
    fn name(&self) -> &'static str {
        "posted"
    }

    fn has_sessions(&self) -> bool {
        false
    }

    fn for_server(&self, _runner: &Arc<Runner>) -> Option<Arc<dyn Gateway>> {
        Some(Arc::new(Self::default()))
    }

    fn routes(&self, runner: &Arc<Runner>) -> Option<(String, Router)> {
        let routes = Router::new().route("/new", post(begin)).route("/{id}", post(receive));
        Some(("/post".into(), routes.with_state((runner.clone(), self.sessions.clone()))))
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        match opening {
            Opening::Upgrade(head) if head.uri.path().starts_with("/post/") => Match::Yes,
            _ => Match::No,
        }
    }

    fn open(&self, context: &Context<'_>) -> Result<Opened, Refused> {
        assert_eq!(context.transport, Transport::WebSocket);
        let path = context.request.map(|request| request.uri.path()).unwrap_or_default();
        let id = path.strip_prefix("/post/").and_then(|rest| rest.strip_suffix("/ws"));
        let id = id.and_then(|id| id.parse().ok());
        let mut sessions = self.sessions.lock().unwrap();
        let session = id.and_then(|id: u32| sessions.get_mut(&id));
        match session.and_then(|(reader, writer)| Some((reader.take()?, writer.clone()))) {
            Some((reader, writer)) => Ok(Opened::Carried(Box::new(Session { reader, writer }))),
            None => Err(Refused::unknown("there is no such session")),
        }
    }
}

/// The far end of a session.
struct Session {
    reader: Reader,
    writer: Arc<Writer>,
}

async fn read(reader: &mut Reader) -> Bytes {
    let mut bytes = [0; 4096];
    let mut buffer = ReadBuf::new(&mut bytes);
    let read = poll_fn(|cx| reader.poll_read(cx, &mut buffer)).await;
    Bytes::copy_from_slice(read.map_or(&[][..], |()| buffer.filled()))
}

impl Carrier for Session {
    fn carry(
        self: Box<Self>,
        connection: Connection,
        _runner: Arc<Runner>,
    ) -> Pin<Box<dyn Future<Output = Reason> + Send>> {
        let Self { reader: mut session, writer } = *self;
        let Connection { mut reader, writer: out, websocket, admission, .. } = connection;
        let mut websocket = websocket.unwrap();
        Box::pin(async move {
            loop {
                while let Ok(Some(Event::Data { bytes, .. })) = websocket.poll() {
                    writer.write_all(&bytes).await.unwrap();
                }
                let (said, told) = tokio::select! {
                    said = read(&mut reader) => (said, None),
                    told = read(&mut session) => (Bytes::new(), Some(told)),
                };
                match told {
                    Some(told) if !told.is_empty() => {
                        let framed = websocket.message(MessageKind::Binary, &told).unwrap();
                        out.write_all(&framed).await.unwrap();
                    }
                    None if !said.is_empty() => websocket.receive(said.into()),
                    _ => break,
                }
            }
            drop(admission);
            Reason::Bye
        })
    }
}

fn serving(gateways: Gateways) -> ServerOptions {
    ServerOptions { gateways, ..ServerOptions::default() }
}

#[tokio::test]
async fn a_session_goes_from_requests_to_a_websocket_that_its_path_names() {
    let served = serve_as(HubOptions::default(), serving(standard().with(Posted::default())));
    let mut requests = served.memory();
    let post = async |link: &mut Link, path: &str, body: &[u8]| {
        let length = body.len();
        let head = format!("POST {path} HTTP/1.1\r\nHost: hub\r\nContent-Length: {length}\r\n\r\n");
        link.send(&[head.as_bytes(), body].concat()).await;
        answer(link, false).await
    };
    let begun = post(&mut requests, "/post/new", b"").await;
    assert_eq!((begun.status, &begun.body[..]), (200, &b"0"[..]));
    assert_eq!(post(&mut requests, "/post/1", b"").await.status, 404);

    let mut websocket = served.memory();
    let upgrade = "GET /post/0/ws HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\n\
        Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
        Sec-WebSocket-Version: 13\r\n\r\n";
    websocket.send(upgrade.as_bytes()).await;
    assert!(head(&mut websocket).await.starts_with("HTTP/1.1 101 "));
    // The hello goes by a request, and the welcome is the first thing in the WebSocket.
    let mut peer = Peer::unwelcome(websocket, true);
    peer.written();
    let hello = Peer::unwelcome(served.memory(), false).written();
    assert_eq!(post(&mut requests, "/post/0", &hello).await.status, 204);
    peer.welcomed().await;
    peer.create("game").await;
    let mut other = Peer::native(served.memory()).await;
    other.enter("game").await;

    // A path that names no session is refused in the words of a WebSocket.
    let mut late = served.memory();
    late.send(upgrade.as_bytes()).await;
    assert!(head(&mut late).await.starts_with("HTTP/1.1 101 "));
    let (opcode, why) = server_frame(&mut late).await;
    assert_eq!((opcode, &why[..2]), (0x88, &1008u16.to_be_bytes()[..]));
    assert!(String::from_utf8_lossy(&why).contains("there is no such session"), "{why:?}");
}

/// A native client that may take a minute.
#[derive(Debug)]
struct Patient;

impl Gateway for Patient {
    fn name(&self) -> &'static str {
        "native"
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        Native.recognise(opening)
    }

    fn open(&self, context: &Context<'_>) -> Result<Opened, Refused> {
        Native.open(context)
    }

    fn silence_max(&self, _context: &Context<'_>) -> Option<Silence> {
        Some(Silence { most: Duration::from_secs(60), limit: Limit::FirstWords })
    }
}

#[tokio::test(start_paused = true)]
async fn a_protocol_says_how_long_its_clients_may_be_silent() {
    let served = serve_as(HubOptions::default(), serving(standard().with(Patient)));
    let late = served.memory();
    tokio::time::sleep(Duration::from_secs(59)).await;
    Peer::native(late).await;
    let silent = served.memory();
    tokio::time::sleep(Duration::from_secs(61)).await;
    until("the silent one is closed", || served.refused(Reason::HandshakeTimeout) == 1).await;
    assert_eq!(served.hits("first_words_ms_max"), 1);
    // One that has begun goes on as fast as all others.
    let begun = served.memory();
    begun.send(b"XP").await;
    tokio::time::sleep(Duration::from_secs(11)).await;
    until("the slow one is closed", || served.refused(Reason::HandshakeTimeout) == 2).await;
    drop((silent, begun));
}

/// Says each message again as it has come, text as text, but for texts that are commands. It is known by its first
/// word.
#[derive(Debug)]
struct Echo;

struct EchoWire;

static ECHO: WebSocket<EchoWire> = WebSocket::text(EchoWire);

impl Wire for EchoWire {
    fn profile(&self) -> Profile {
        Profile {
            name: "echo",
            id: 64,
            framing: Framing::Messages,
            capacity: Capacity { owned_max: 0, entered_max: 1, members_max: 0 },
            stateful: Stateful::No,
            whole: true,
            links: false,
            credentials: false,
            pauses: Pauses::Nothing,
            link_bytes: 0,
            successors: false,
            application: false,
            secures: false,
            settle: Duration::ZERO,
            envelope: None,
        }
    }

    fn encode(&self, _content: &Content<'_>, _out: &mut FrameWriter) {}
}

impl Gateway for Echo {
    fn name(&self) -> &'static str {
        "echo"
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        match opening {
            Opening::Upgrade(head) if head.uri.path() == "/echo" => Match::Yes,
            Opening::WebSocket { bytes, .. } => Match::mark(bytes, b"echo"),
            _ => Match::No,
        }
    }

    fn open(&self, _context: &Context<'_>) -> Result<Opened, Refused> {
        Ok(Opened::session(&ECHO, Echoing::default()))
    }
}

#[derive(Default)]
struct Echoing {
    /// What has come of a message, and whether it is text.
    message: Option<(bool, BytesMut)>,
    whole: VecDeque<(bool, Bytes)>,
}

impl Echoing {
    /// What a text asks for, if it is a command.
    fn output(text: &[u8]) -> Option<Output> {
        let text = str::from_utf8(text).expect("the driver has looked");
        let command = match text.split_once(' ').unwrap_or((text, "")) {
            ("hello", name) => {
                let name = Some(name.to_owned());
                Command::Hello(Hello { name, waits: true, ..Hello::default() })
            }
            ("enter", channel) => enter(1, channel),
            ("say", bytes) => up(JoinedChannelId(0), &vec![7; bytes.parse().unwrap()]),
            ("leave", _) => return Some(Output::Leave(Reason::Bye)),
            _ => return None,
        };
        Some(Output::Command(command))
    }
}

impl Protocol for Echoing {
    fn message_begins(&mut self, _now: Instant, is_text: bool) {
        assert_eq!(self.message, None, "the message before has ended");
        self.message = Some((is_text, BytesMut::new()));
    }

    fn receive(&mut self, _now: Instant, bytes: Bytes) {
        let (_, message) = self.message.as_mut().expect("a message has begun");
        message.extend_from_slice(&bytes);
    }

    fn message_ended(&mut self, _now: Instant) {
        let (is_text, message) = self.message.take().expect("a message has begun");
        self.whole.push_back((is_text, message.freeze()));
    }

    fn poll(&mut self, _now: Instant, out: &mut FrameWriter) -> Option<Output> {
        while let Some((is_text, message)) = self.whole.pop_front() {
            match is_text {
                true => match Self::output(&message) {
                    Some(output) => return Some(output),
                    None => out.frame(b"", &message),
                },
                false => out.binary_frame(b"", &message),
            }
        }
        None
    }

    fn deliver(&mut self, _now: Instant, event: &HubEvent, out: &mut FrameWriter) {
        match event {
            HubEvent::Welcome { .. } => out.small(b"welcome"),
            HubEvent::Channel(ChannelEvent::Entered(_)) => out.small(b"entered"),
            other => out.small(format!("{other:?}").as_bytes()),
        }
    }

    fn idle_frames(&mut self) -> u64 {
        0
    }

    fn buffered(&self) -> usize {
        self.message.as_ref().map_or(0, |(_, message)| message.len())
    }

    fn midway(&self) -> Option<u64> {
        None
    }

    fn deadline(&self, _activity: Activity) -> Option<Instant> {
        None
    }

    fn tick(&mut self, _now: Instant, _: Activity, _out: &mut FrameWriter) -> Option<Reason> {
        None
    }

    fn farewell(&mut self, _reason: Reason, _out: &mut FrameWriter) {}
}

/// A message of a client, in frames of its own. Bit 6 says that it is compressed.
fn frames(kind: Opcode, compressed: u8, pieces: &[&[u8]]) -> Bytes {
    let mut out = BytesMut::new();
    for (index, piece) in pieces.iter().enumerate() {
        let opcode = if index == 0 { kind } else { Opcode::Continuation };
        let before = out.len();
        frame::client_frame(opcode, index + 1 == pieces.len(), piece, [1, 2, 3, 4], &mut out);
        out[before] |= if index == 0 { compressed } else { 0 };
    }
    out.freeze()
}

const TEXT: u8 = 0x81;
const BINARY: u8 = 0x82;

#[tokio::test(start_paused = true)]
async fn a_protocol_tells_text_from_binary_messages_and_answers_in_kind() {
    let served = serve_as(HubOptions::default(), serving(standard().with(Echo)));
    for recognised in ["by its first word", "by its path"] {
        let mut link = served.memory();
        // The kind of the first message is known as well, where it was read to tell which protocol it is.
        if recognised == "by its path" {
            link.send(UPGRADE.replace("/socket", "/echo").as_bytes()).await;
            assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
        } else {
            upgrade(&mut link).await;
        }
        let large = vec![0xfe; 50_000];
        let script: &[(Opcode, &[&[u8]])] = &[
            (Opcode::Binary, &[b"ec", b"ho"]),
            (Opcode::Text, &[b"as text"]),
            (Opcode::Binary, &[b""]),
            (Opcode::Text, &[b""]),
            (Opcode::Binary, &[b"", b"in ", b"", b"pieces", b""]),
            (Opcode::Text, &[b"", b"", b""]),
            (Opcode::Binary, &[&large]),
            // A character may be cut.
            (Opcode::Text, &["\u{e9}".as_bytes()[..1].as_ref(), &"\u{e9}".as_bytes()[1..]]),
        ];
        let bytes: Vec<_> =
            script.iter().flat_map(|(kind, pieces)| frames(*kind, 0, pieces)).collect();
        match recognised {
            "by its path" => link.send(&bytes).await,
            _ => link.trickle(&bytes).await,
        }
        for (kind, pieces) in script {
            let first = if *kind == Opcode::Text { TEXT } else { BINARY };
            assert_eq!(
                server_frame(&mut link).await,
                (first, pieces.concat().into()),
                "{recognised}"
            );
        }
    }
}

#[tokio::test(start_paused = true)]
async fn kinds_of_messages_are_known_where_they_are_compressed_too() {
    let mut options = HubOptions::default();
    options.limits.compressed_bytes_min = Some(1024);
    let served = serve_as(options, serving(standard().with(Echo)));
    let mut link = served.memory();
    agreed(&mut link).await;
    let long = b"echo again and again ".repeat(100);
    let squeezed = deflate(&long).expect("it becomes smaller");
    let (begin, end) = squeezed.split_at(9);
    for kind in [Opcode::Text, Opcode::Binary, Opcode::Text] {
        link.send(&frames(kind, 0x40, &[begin, b"", end])).await;
        let (first, payload) = server_frame(&mut link).await;
        // Binary messages beside text are sent as they are.
        match kind {
            Opcode::Text => {
                assert_eq!(first, TEXT | 0x40);
                assert_eq!(inflate(&payload, 10_000).expect("it was compressed").bytes, long);
            }
            _ => assert_eq!((first, payload), (BINARY, long.clone().into())),
        }
        link.send(&frames(kind, 0x40, &[b""])).await;
        let first = if kind == Opcode::Text { TEXT } else { BINARY };
        assert_eq!(server_frame(&mut link).await, (first, Bytes::new()));
    }
}

async fn text(link: &Link, text: &str) {
    link.send(&frames(Opcode::Text, 0, &[text.as_bytes()])).await;
}

async fn hears(link: &mut Link, text: &str) {
    assert_eq!(server_frame(link).await, (TEXT, text.to_owned().into()));
}

/// Expects a ping of the WebSocket.
async fn pinged(link: &mut Link) {
    assert_eq!(server_frame(link).await, (0x89, Bytes::new()));
}

/// A client of [`Echo`] in a channel `own` of the other one.
async fn member(served: &Served, owner: Link) -> (Link, Peer) {
    let mut owner = Peer::native(owner).await;
    owner.create("own").await;
    let mut link = served.memory();
    link.send(UPGRADE.replace("/socket", "/echo").as_bytes()).await;
    assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
    text(&link, "hello ann").await;
    hears(&mut link, "welcome").await;
    text(&link, "enter own").await;
    hears(&mut link, "entered").await;
    owner.joined().await;
    (link, owner)
}

fn ann() -> Hello {
    Hello { name: Some("ann".to_owned()), ..Hello::default() }
}

#[tokio::test(start_paused = true)]
async fn a_session_may_leave_the_hub_while_its_connection_stays() {
    let served = serve_as(HubOptions::default(), serving(standard().with(Echo)));
    let (mut link, mut owner) = member(&served, served.memory()).await;
    assert_eq!(Peer::introduced(served.memory(), ann()).greet().await, Err(Reason::NameTaken));
    pinged(&mut link).await;
    // What it has said before holds, and what it says behind is still answered by its protocol.
    let script =
        ["say 10", "leave", "say 10", "still here", "leave", "hello eve", "enter own", "and here"];
    let bytes: Vec<_> =
        script.iter().flat_map(|said| frames(Opcode::Text, 0, &[said.as_bytes()])).collect();
    link.send(&bytes).await;
    hears(&mut link, "still here").await;
    hears(&mut link, "and here").await;
    assert_eq!(owner.data().await.1.len(), 10);
    assert_eq!(owner.left().await.1, Reason::Left);
    assert_eq!((owner.settle().await, served.closed(Reason::Bye)), (vec![], 1));
    // The name is free, and who has it now is not disturbed by the end of the connection.
    let mut again = Peer::introduced(served.memory(), ann());
    again.welcomed().await;
    text(&link, "not over").await;
    hears(&mut link, "not over").await;
    assert_eq!(served.metric("crosspoint_connections"), Some(3.0));
    drop(link);
    until("the connection ends", || served.metric("crosspoint_connections") == Some(2.0)).await;
    again.settle().await;
    assert_eq!(Peer::introduced(served.memory(), ann()).greet().await, Err(Reason::NameTaken));
}

#[tokio::test(start_paused = true)]
async fn a_session_leaves_behind_all_that_it_has_sent() {
    let mut options = HubOptions::default();
    options.limits.outbox_bytes_max = 256 * 1024;
    let served = serve_as(options, serving(standard().with(Echo)));
    let (mut link, mut owner) = member(&served, served.cramped(1024)).await;
    const COUNT: usize = 100;
    let mut bytes = frames(Opcode::Text, 0, &[b"say 5000"]).repeat(COUNT);
    for said in ["leave", "behind"] {
        bytes.extend_from_slice(&frames(Opcode::Text, 0, &[said.as_bytes()]));
    }
    link.send(&bytes).await;
    until("it waits for room", || served.hits("outbox_bytes_max") > 0).await;
    assert_eq!(owner.gather(COUNT * 5000).await.len(), COUNT * 5000);
    assert_eq!(owner.left().await.1, Reason::Left);
    hears(&mut link, "behind").await;
}

async fn echoing(served: &Served) -> Link {
    let mut link = served.memory();
    link.send(UPGRADE.replace("/socket", "/echo").as_bytes()).await;
    assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
    link
}

/// The holder of the name is the same client, whose connection is lost without the hub's knowing.
#[tokio::test(start_paused = true)]
async fn who_waits_for_its_name_is_let_in_when_the_holder_does_not_answer_in_time() {
    let served = serve_as(HubOptions::default(), serving(standard().with(Echo)));
    let holder = Peer::native_as(served.memory(), introduced()).await;
    let mut link = echoing(&served).await;
    let begun = tokio::time::Instant::now();
    text(&link, "hello ann").await;
    text(&link, "behind").await;
    hears(&mut link, "welcome").await;
    hears(&mut link, "behind").await;
    let probe_max = served.hub.limits.probe_max.expect("there are probes");
    let took = begun.elapsed();
    assert!((probe_max..probe_max * 3 / 2).contains(&took), "{took:?}");
    assert_eq!((served.closed(Reason::HeartbeatLost), served.hits("probe_ms_max")), (1, 1));
    drop(holder);
}

#[tokio::test(start_paused = true)]
async fn who_waits_for_its_name_is_refused_as_soon_as_the_holder_has_answered() {
    let served = serve_as(HubOptions::default(), serving(standard().with(Echo)));
    let mut holder = Peer::native_as(served.memory(), introduced()).await;
    let holder = tokio::spawn(async move { holder.closed().await });
    // The second one is refused because of the answer to the first.
    for _ in 0..2 {
        let begun = tokio::time::Instant::now();
        let mut link = echoing(&served).await;
        text(&link, "hello ann").await;
        closed_with(&mut link, 1008).await;
        assert!(begun.elapsed() < Duration::from_millis(100), "{:?}", begun.elapsed());
    }
    // A holder whose protocol has no probe is asked by a ping.
    let mut plain = echoing(&served).await;
    text(&plain, "hello eve").await;
    hears(&mut plain, "welcome").await;
    let mut link = echoing(&served).await;
    text(&link, "hello eve").await;
    pinged(&mut plain).await;
    plain.send(&frames(Opcode::Pong, 0, &[b""])).await;
    closed_with(&mut link, 1008).await;
    // One that waits and goes leaves nothing behind.
    drop((link, plain, holder));
}

fn introduced() -> crosspoint_proto::client::Options {
    crosspoint_proto::client::Options { hello: ann(), ..Default::default() }
}
