//! What operators see of sessions over real connections, and how clients of each protocol hear that one has ended them.

use crate::common::http::{answer, ask};
use crate::common::peer::{Peer, closed_with, head, server_frame, upgrade};
use crate::common::{Link, Served, serve, serve_with, until, within};
use crate::resume_hostile::{Raw, open};
use bytes::BytesMut;
use crosspoint_gateways::anysocket::{Kind, Packet};
use crosspoint_hub::inventory::SessionInfo;
use crosspoint_hub::transport::{Carrier, Transport};
use crosspoint_hub::{Event, Reason};
use crosspoint_net::memory::Shape;
use crosspoint_net::resume::{Gone, Record, Why};
use crosspoint_net::ws::{Opcode, frame};
use std::time::Duration;

fn plain(carrier: Carrier) -> Transport {
    Transport { carrier, tls: false }
}

/// The only session.
fn only(served: &Served) -> SessionInfo {
    let mut sessions = served.hub.session_infos();
    assert_eq!(sessions.len(), 1, "{sessions:?}");
    sessions.remove(0)
}

fn transport(served: &Served) -> Transport {
    only(served).transport
}

/// Ends the only session.
fn kick(served: &Served) {
    let session = only(served).who.session;
    assert_eq!(served.hub.disconnect_session(session, Reason::Kicked), Ok(()));
}

/// Waits until the only session has ended, and expects it to be remembered.
async fn kicked(served: &Served, protocol: &str) {
    until("it has ended", || served.closed(Reason::Kicked) == 1).await;
    let [ended] = &served.hub.ends()[..] else { panic!("one session has ended") };
    assert_eq!((ended.who.peer.protocol, ended.reason), (protocol, Reason::Kicked));
    served.empty().await;
}

async fn say(link: &Link, message: &[u8]) {
    let mut out = BytesMut::new();
    frame::client_frame(Opcode::Text, true, message, [1, 2, 3, 4], &mut out);
    link.send(&out).await;
}

#[tokio::test]
async fn what_carries_a_session_is_shown() {
    let served = serve();
    for over_tcp in [true, false] {
        let link = if over_tcp { served.tcp().await } else { served.memory() };
        let peer = Peer::native(link).await;
        let carrier = if over_tcp { Carrier::Tcp } else { Carrier::Memory };
        assert_eq!(transport(&served), plain(carrier));
        drop(peer);
        served.empty().await;
        let link = if over_tcp { served.tcp().await } else { served.memory() };
        let peer = Peer::native_ws(link).await;
        assert_eq!(transport(&served), plain(Carrier::WebSocket));
        drop(peer);
        served.empty().await;
    }
}

#[cfg(unix)]
#[tokio::test]
async fn a_socket_of_the_file_system_is_shown() {
    let served = serve();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("hub");
    served.server.listen(crosspoint_net::server::bind_unix(&path, 0o600, None).unwrap());
    let stream = tokio::net::UnixStream::connect(&path).await.unwrap();
    let _peer = Peer::native(Link::new(stream.into())).await;
    assert_eq!(transport(&served), plain(Carrier::Unix));
}

const POLLING: &str = "EIO=4&transport=polling";

fn request(method: &str, query: &str, more: &str) -> String {
    format!("{method} /socket.io/?{query} HTTP/1.1\r\nHost: hub\r\n{more}\r\n")
}

/// Begins a session of Socket.IO by requests. Gives the query of those that follow.
async fn polled(served: &Served) -> String {
    let opened = ask(&mut served.memory(), &request("GET", POLLING, "")).await;
    let opened = String::from_utf8(opened.body.into()).unwrap();
    let (_, rest) = opened.split_once("\"sid\":\"").expect("an id");
    let (sid, _) = rest.split_once('"').expect("an end");
    let query = format!("{POLLING}&sid={sid}");
    let mut posting = served.memory();
    posting
        .send(format!("{}40", request("POST", &query, "Content-Length: 2\r\n")).as_bytes())
        .await;
    assert_eq!(answer(&mut posting, false).await.status, 200);
    let connected = ask(&mut served.memory(), &request("GET", &query, "")).await;
    assert!(connected.body.starts_with(b"40{"), "{connected:?}");
    query
}

/// Opens a WebSocket of Socket.IO.
async fn socketio_ws(served: &Served, query: &str) -> Link {
    let mut link = served.memory();
    let more = "Upgrade: websocket\r\nConnection: Upgrade\r\n\
        Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n";
    link.send(request("GET", query, more).as_bytes()).await;
    assert!(head(&mut link).await.starts_with("HTTP/1.1 101 "));
    link
}

async fn text(link: &mut Link) -> String {
    let (first, payload) = server_frame(link).await;
    assert_eq!(first, 0x81, "a message of text, not {payload:02x?}");
    String::from_utf8(payload.into()).unwrap()
}

#[tokio::test]
async fn a_session_by_requests_is_shown_until_it_becomes_a_websocket() {
    let served = serve();
    let query = polled(&served).await;
    assert_eq!(transport(&served), plain(Carrier::Polling));
    let mut ws = socketio_ws(&served, &query.replace("=polling", "=websocket")).await;
    say(&ws, b"2probe").await;
    assert_eq!(text(&mut ws).await, "3probe");
    assert_eq!(transport(&served), plain(Carrier::Polling), "it may fail yet");
    say(&ws, b"5").await;
    until("it has changed", || transport(&served) == plain(Carrier::WebSocket)).await;
    let began_with = only(&served).who.session;
    kick(&served);
    assert_eq!(text(&mut ws).await, "41", "it does not connect again by itself");
    closed_with(&mut ws, 1008).await;
    drop(ws);
    kicked(&served, "socketio").await;
    assert_eq!(served.hub.ends()[0].who.session, began_with);
    assert_eq!(served.hub.ends()[0].transport, plain(Carrier::WebSocket));
}

#[tokio::test]
async fn a_session_by_requests_hears_that_it_is_kicked() {
    let served = serve();
    let query = polled(&served).await;
    kick(&served);
    let told = ask(&mut served.memory(), &request("GET", &query, "")).await;
    assert!(told.body.starts_with(b"41"), "{told:?}");
    kicked(&served, "socketio").await;
}

#[tokio::test(start_paused = true)]
async fn a_resumed_session_is_shown_with_its_new_transport_and_comes_back_no_more_when_kicked() {
    let served = serve();
    let (raw, accepted, sent, received) = Raw::welcomed(served.tcp().await).await;
    assert_eq!(transport(&served), plain(Carrier::Tcp));
    drop(raw);
    until("it is away", || only(&served).away).await;
    let mut raw = Raw::open(served.memory(), open(accepted.token, received, sent)).await;
    assert!(matches!(raw.record().await, Some(Record::Accepted(_))));
    until("it is back", || !only(&served).away).await;
    assert_eq!(transport(&served), plain(Carrier::Memory));
    kick(&served);
    until("it has ended", || served.closed(Reason::Kicked) == 1).await;
    let mut again = Raw::open(served.memory(), open(accepted.token, received, sent)).await;
    let gone = within("the answer", again.record()).await;
    assert!(
        matches!(gone, Some(Record::Gone(Gone { why: Why::Ended(Reason::Kicked), .. }))),
        "{gone:?}"
    );
    drop((raw, again));
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn the_last_round_trip_is_shown() {
    let served = serve();
    let back = Shape { lag: Duration::from_millis(30), ..Shape::default() };
    let mut peer = Peer::native(served.slow(back)).await;
    assert_eq!(only(&served).round_trip, None);
    let answering = tokio::spawn(async move { peer.event().await });
    until("it was asked", || only(&served).round_trip.is_some()).await;
    assert_eq!(only(&served).round_trip, Some(Duration::from_millis(30)));
    answering.abort();
}

#[tokio::test]
async fn what_goes_in_and_out_of_each_session_is_what_goes_over_its_connection() {
    let served = serve();
    let (mut one, mut other) =
        (Peer::native(served.tcp().await).await, { Peer::native_ws(served.tcp().await).await });
    let own = one.create("room").await;
    let number = other.enter("room").await;
    one.joined().await;
    for _ in 0..3 {
        one.broadcast(own, &[1; 100]).await;
        other.data().await;
    }
    other.send_up(number, &[2; 50]).await;
    one.data().await;
    let sessions = served.hub.session_infos();
    let of = |protocol: Carrier| {
        sessions.iter().find(|one| one.transport.carrier == protocol).expect("there").traffic
    };
    let (tcp, ws) = (of(Carrier::Tcp), of(Carrier::WebSocket));
    assert_eq!((tcp.messages_in, tcp.messages_out), (3, 1));
    assert_eq!((ws.messages_in, ws.messages_out), (1, 3));
    assert!(tcp.bytes_in > 300 && tcp.bytes_out > 50, "{tcp:?}");
    assert!(ws.bytes_in > 50 && ws.bytes_out > 300, "{ws:?}");
    let metrics = &served.hub.metrics;
    assert_eq!(metrics.bytes_out.get(), tcp.bytes_out + ws.bytes_out);
    assert_eq!(metrics.bytes_in.get(), tcp.bytes_in + ws.bytes_in);
}

#[tokio::test]
async fn a_native_client_hears_that_it_is_kicked() {
    let served = serve();
    let mut peer = Peer::native(served.memory()).await;
    kick(&served);
    assert_eq!(peer.event().await, Event::Closed { reason: Reason::Kicked });
    drop(peer);
    kicked(&served, "native").await;

    let served = serve();
    let mut peer = Peer::native_ws(served.memory()).await;
    kick(&served);
    assert_eq!(peer.close_frame().await, (1008, Reason::Kicked.of_session().to_string()));
    drop(peer);
    kicked(&served, "native").await;
}

#[tokio::test]
async fn a_peote_program_hears_that_it_is_kicked_in_each_joint() {
    let served = serve_with(|_| ());
    let mut owner = Peer::native(served.memory()).await;
    owner.create("one").await;
    owner.create("two").await;
    let mut joint = Peer::joint(served.tcp().await);
    let numbers = [joint.enter("one").await, joint.enter("two").await];
    let sessions = served.hub.session_infos();
    let peote = sessions.iter().find(|one| one.who.peer.protocol == "peote").expect("it is there");
    assert_eq!(served.hub.disconnect_session(peote.who.session, Reason::Kicked), Ok(()));
    for number in numbers {
        assert_eq!(joint.ended().await, (number, Reason::Kicked));
    }
    within("the end", joint.closed()).await;
    let left = [owner.left().await.1, owner.left().await.1];
    assert_eq!(left, [Reason::ConnectionLost; 2], "for others it has gone");
    drop((owner, joint));
    served.empty().await;
}

#[tokio::test]
async fn a_program_of_anysocket_is_closed_with_the_reason() {
    let served = serve();
    let mut link = served.memory();
    upgrade(&mut link).await;
    let body = r#"{"id":"a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1a1"}"#.into();
    let mut auth = BytesMut::new();
    Packet { last: true, kind: Kind::Auth, seq: 1, body }.encode(&mut auth);
    say(&link, &auth).await;
    text(&mut link).await;
    kick(&served);
    let (first, payload) = server_frame(&mut link).await;
    assert_eq!((first, &payload[..2]), (0x88, &1008u16.to_be_bytes()[..]));
    assert_eq!(payload[2..], *Reason::Kicked.of_session().to_string().as_bytes());
    drop(link);
    kicked(&served, "anysocket").await;
}

#[tokio::test(start_paused = true)]
async fn a_client_that_takes_nothing_ends_all_the_same() {
    let served = serve();
    let mut owner = Peer::native(served.memory()).await;
    let own = owner.create("room").await;
    let mut stuck = Peer::native(served.cramped(1000)).await;
    stuck.enter("room").await;
    owner.joined().await;
    owner.broadcast(own, &[7; 30_000]).await;
    owner.settle().await;
    let waits = |info: &SessionInfo| info.outbox_bytes > 0;
    until("something waits", || served.hub.session_infos().iter().any(waits)).await;
    let sessions = served.hub.session_infos();
    let session = sessions.iter().find(|one| waits(one)).expect("it is there").who.session;
    assert_eq!(served.hub.disconnect_session(session, Reason::Kicked), Ok(()));
    assert_eq!(owner.left().await.1, Reason::ConnectionLost);
    until("it is forgotten", || served.hub.sessions() == 1).await;
}
