//! Protocols that plug in from outside: over several HTTP requests and then a WebSocket of the same session,
//! chosen by its path, in which the server speaks first; and one that may be silent for long.

use crate::common::http::answer;
use crate::common::peer::{Peer, head, server_frame};
use crate::common::{Link, serve_as, until};
use axum::Router;
use axum::extract::{Path, State};
use axum::http::StatusCode;
use axum::routing::post;
use bytes::Bytes;
use crosspoint_hub::{HubOptions, Limit, Reason};
use crosspoint_net::gateway::{
    Carrier, Connection, Context, Gateway, Gateways, Match, Opened, Opening, Refused, Runner,
    Silence, Transport,
};
use crosspoint_net::gateways::{Native, standard};
use crosspoint_net::memory::{self, Shape};
use crosspoint_net::server::ServerOptions;
use crosspoint_net::stream::{Reader, Stream, Writer};
use crosspoint_net::ws::MessageKind;
use crosspoint_net::ws::connection::Event;
use std::collections::HashMap;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::{Arc, Mutex};
use std::time::Duration;
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

    fn routes(&self, runner: &Arc<Runner>) -> Option<(&'static str, Router)> {
        let routes = Router::new().route("/new", post(begin)).route("/{id}", post(receive));
        Some(("/post", routes.with_state((runner.clone(), self.sessions.clone()))))
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
