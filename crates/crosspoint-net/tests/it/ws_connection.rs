//! The control frames of WebSockets: one machine for both roles, and everybody who uses it.

use crate::common::peer::{Peer, UPGRADE, head, message, server_frame, upgrade};
use crate::common::{Link, Served, serve, serve_with};
use bytes::{Bytes, BytesMut};
use crosspoint_net::ws::fuzz::fuzz_connection;
use crosspoint_net::ws::{
    CloseCode, CloseFrame, Config, Connection, Event, MessageKind, Opcode, Role, WsError, frame,
};
use proptest::collection::vec;
use proptest::prelude::*;
use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::time::Duration;
use tokio::time::Instant;
use tungstenite::Message;
use tungstenite::protocol::frame::coding::CloseCode as TheirCode;
use tungstenite::protocol::{CloseFrame as TheirClose, Role as TheirRole, WebSocket};

const SETTINGS: Config = Config { frame_bytes_max: 1 << 20, lenient: false };
const ROLES: [Role; 2] = [Role::Server, Role::Client];

/// A frame as the side that faces `role` sends it.
fn to(role: Role, opcode: Opcode, payload: &[u8]) -> BytesMut {
    let mut out = BytesMut::new();
    match role {
        Role::Server => frame::client_frame(opcode, true, payload, [1, 2, 3, 4], &mut out),
        Role::Client => {
            out.extend_from_slice(frame::server_header(opcode, true, payload.len()).as_slice());
            out.extend_from_slice(payload);
        }
    }
    out
}

/// What the side that faces `role` reads in a control frame of it.
fn read(role: Role, framed: &[u8]) -> (u8, Vec<u8>) {
    match role {
        Role::Server => (framed[0], framed[2..].to_vec()),
        Role::Client => {
            assert_eq!(framed[1] & 0x80, 0x80, "clients mask");
            let mask = framed[2..6].try_into().unwrap();
            let mut payload = framed[6..].to_vec();
            frame::apply_mask(&mut payload, mask);
            (framed[0], payload)
        }
    }
}

fn close(code: u16, reason: &str) -> Vec<u8> {
    [&code.to_be_bytes(), reason.as_bytes()].concat()
}

/// Frames to send: what they are, and their payloads.
type Frames = Vec<(Opcode, Vec<u8>)>;

/// What a machine made of frames: its data, the payload of the pong that it owes, the close of the other side, and the
/// payload of its own close.
#[derive(Debug, PartialEq)]
struct Outcome {
    data: Vec<u8>,
    pong: Option<Vec<u8>>,
    closed: Result<bool, WsError>,
    close: Vec<u8>,
}

/// Frames come at once, and then this side closes because of a policy.
fn outcome(role: Role, frames: &[(Opcode, Vec<u8>)]) -> Outcome {
    let mut connection = Connection::new(role, SETTINGS);
    connection
        .receive(frames.iter().flat_map(|(opcode, payload)| to(role, *opcode, payload)).collect());
    let mut data = Vec::new();
    let closed = loop {
        match connection.poll() {
            Ok(Some(Event::Data { bytes, .. })) => data.extend_from_slice(&bytes),
            Ok(Some(Event::Closed(_))) => assert!(connection.is_closed_by_remote()),
            Ok(None) => break Ok(connection.is_closed_by_remote()),
            Err(error) => break Err(error),
        }
    };
    let pong = connection.pong().unwrap().map(|pong| {
        let (first, payload) = read(role, &pong);
        assert_eq!(first, 0x8a);
        payload
    });
    assert_eq!(connection.pong(), Ok(None), "an answer is given once");
    let policy = CloseFrame { code: CloseCode::POLICY, reason: "policy".to_owned() };
    let (first, close) = read(role, &connection.close(Some(&policy)).unwrap().unwrap());
    assert_eq!(first, 0x88);
    assert_eq!(connection.close(Some(&policy)), Ok(None), "a side closes once");
    assert_eq!(connection.is_closed(), closed == Ok(true), "clean");
    assert_eq!(connection.broken(), closed.err());
    Outcome { data, pong, closed, close }
}

#[test]
fn control_frames_mean_the_same_in_both_roles() {
    use Opcode::{Binary, Close, Ping, Pong};
    let policy = || close(1008, "policy");
    let frame = |opcode, payload: &[u8]| (opcode, payload.to_vec());
    let open = |data: &[u8], pong: Option<&[u8]>| Outcome {
        data: data.to_vec(),
        pong: pong.map(<[u8]>::to_vec),
        closed: Ok(false),
        close: policy(),
    };
    let closed =
        |close: Vec<u8>| Outcome { data: b"x".to_vec(), pong: None, closed: Ok(true), close };
    let broken = |error: WsError, code| Outcome {
        data: b"x".to_vec(),
        pong: None,
        closed: Err(error),
        close: close(code, "policy"),
    };
    let data = || frame(Binary, b"x");
    let largest = [7; 125];
    let table: Vec<(&str, Frames, Outcome)> = vec![
        ("nothing is owed", vec![data()], open(b"x", None)),
        ("a ping", vec![data(), frame(Ping, b"there?")], open(b"x", Some(b"there?"))),
        ("an empty ping", vec![frame(Ping, b""), data()], open(b"x", Some(b""))),
        ("the largest ping", vec![frame(Ping, &largest)], open(b"", Some(&largest))),
        (
            "the last ping",
            vec![frame(Ping, b"1"), data(), frame(Ping, b"2")],
            open(b"x", Some(b"2")),
        ),
        ("a pong unasked", vec![frame(Pong, b"here"), data()], open(b"x", None)),
        ("a close", vec![data(), frame(Close, &close(4001, "bye"))], closed(close(4001, "policy"))),
        ("a close without a code", vec![data(), frame(Close, b"")], closed(policy())),
        (
            "a ping before a close",
            vec![data(), frame(Ping, b"?"), frame(Close, &close(1000, ""))],
            closed(close(1000, "policy")),
        ),
        (
            "frames behind a close",
            vec![
                data(),
                frame(Close, &close(1001, "")),
                frame(Ping, b"?"),
                data(),
                frame(Close, &close(1002, "")),
            ],
            closed(close(1001, "policy")),
        ),
        (
            "a code that is never sent",
            vec![data(), frame(Close, &close(1006, ""))],
            broken(WsError::CloseCode { code: 1006 }, 1002),
        ),
        ("half a code", vec![data(), frame(Close, &[3])], broken(WsError::CloseTruncated, 1002)),
        (
            "a reason that is no text",
            vec![data(), frame(Close, b"\x03\xe8\xff")],
            broken(WsError::CloseReasonNotUtf8, 1007),
        ),
        (
            "a broken frame",
            vec![data(), frame(Opcode::Continuation, b"")],
            broken(WsError::UnexpectedContinuation, 1002),
        ),
    ];
    for role in ROLES {
        for (what, frames, expected) in &table {
            assert_eq!(outcome(role, frames), *expected, "{what}, as {role:?}");
        }
    }
}

#[test]
fn behind_its_own_close_a_side_takes_nothing_but_the_other_close() {
    for role in ROLES {
        let mut connection = Connection::new(role, SETTINGS);
        connection.receive(to(role, Opcode::Ping, b"early"));
        assert_eq!(connection.poll(), Ok(None));
        assert!(connection.owes_pong());
        connection.close(None).unwrap().unwrap();
        assert_eq!(connection.pong(), Ok(None), "nothing follows a close frame");
        connection.receive(to(role, Opcode::Binary, b"late"));
        connection.receive(to(role, Opcode::Ping, b"late"));
        assert!(!connection.drain());
        assert_eq!((connection.pong(), connection.buffered()), (Ok(None), 0));
        connection.receive(to(role, Opcode::Close, b""));
        assert!(connection.drain() && connection.is_closed());
    }
}

#[test]
fn a_message_is_bounded_over_all_of_its_frames() {
    let mut connection = Connection::new(Role::Client, SETTINGS);
    connection.set_message_bytes_max(4);
    connection.receive(BytesMut::from(
        &b"\x02\x02ab\x80\x02cd\x02\x02ef\x89\x01?\x00\x02gh\x80\x01i"[..],
    ));
    let mut events = 0;
    let error = loop {
        match connection.poll() {
            Ok(Some(_)) => events += 1,
            Ok(None) => panic!("five bytes are too many"),
            Err(error) => break error,
        }
    };
    assert_eq!((events, error), (4, WsError::MessageTooLarge { max: 4 }));
    assert_eq!(connection.poll(), Err(error), "an error stays");
    let held = connection.buffered();
    connection.receive(BytesMut::from(&b"\x82\x01x"[..]));
    assert_eq!(connection.buffered(), held, "nothing is kept behind it");
    assert_eq!(connection.answer(), Some(CloseCode::TOO_BIG));
}

/// The other end of a connection in memory.
#[derive(Debug, Default)]
struct Memory {
    incoming: VecDeque<u8>,
    outgoing: Vec<u8>,
}

impl Read for Memory {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(into)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Memory {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.outgoing.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// What tungstenite sends.
#[derive(Debug, Clone)]
enum Said {
    Message(bool, Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![
        4 => (any::<bool>(), vec(any::<u8>(), 0..300)).prop_map(|(text, bytes)| Said::Message(text, bytes)),
        2 => vec(any::<u8>(), 0..=125).prop_map(Said::Ping),
        1 => vec(any::<u8>(), 0..=125).prop_map(Said::Pong),
    ]
}

/// A whole message.
type Received = (MessageKind, Vec<u8>);

/// Gives what has come so far to a machine, cut into such pieces, and collects its messages.
fn listen(
    connection: &mut Connection,
    bytes: &[u8],
    sizes: &[usize],
) -> (Vec<Received>, Option<Option<CloseFrame>>) {
    let (mut messages, mut message, mut closed) = (Vec::new(), Vec::new(), None);
    let mut begun = false;
    let mut rest = bytes;
    for size in sizes.iter().cycle() {
        let (piece, after) = rest.split_at((*size).min(rest.len()));
        connection.receive(BytesMut::from(piece));
        while let Some(event) = connection.poll().expect("tungstenite keeps to the standard") {
            match event {
                Event::Data { kind, bytes, message_begins, message_fin } => {
                    assert_eq!(message_begins, !std::mem::replace(&mut begun, !message_fin));
                    message.extend_from_slice(&bytes);
                    if message_fin {
                        messages.push((kind, std::mem::take(&mut message)));
                    }
                }
                Event::Closed(close) => assert_eq!(closed.replace(close), None, "once"),
            }
        }
        rest = after;
        if rest.is_empty() {
            return (messages, closed);
        }
    }
    (messages, closed)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn a_conversation_with_tungstenite_ends_clean_whoever_closes(
        role in prop::sample::select(&ROLES),
        all in vec(said(), 0..12),
        sizes in vec(1_usize..400, 1..10),
        code in prop_oneof![Just(1000_u16), Just(1001), 3000_u16..5000],
        they_close in any::<bool>(),
    ) {
        let their_role = match role { Role::Server => TheirRole::Client, Role::Client => TheirRole::Server };
        let mut theirs = WebSocket::from_raw_socket(Memory::default(), their_role, None);
        let mut ours = Connection::new(role, SETTINGS);
        let mut expected = Vec::new();
        for said in all.iter().cloned() {
            let (message, last) = match said {
                Said::Message(true, bytes) => {
                    let text = String::from_utf8_lossy(&bytes).into_owned();
                    expected.push((MessageKind::Text, text.clone().into_bytes()));
                    (Message::text(text), None)
                }
                Said::Message(false, bytes) => {
                    expected.push((MessageKind::Binary, bytes.clone()));
                    (Message::binary(bytes), None)
                }
                Said::Ping(bytes) => (Message::Ping(bytes.clone().into()), Some(bytes)),
                Said::Pong(bytes) => (Message::Pong(bytes.into()), None),
            };
            theirs.send(message).expect("memory takes everything");
            let written = std::mem::take(&mut theirs.get_mut().outgoing);
            let (messages, closed) = listen(&mut ours, &written, &sizes);
            prop_assert_eq!(closed, None);
            for message in messages {
                prop_assert_eq!(message, expected.remove(0));
            }
            // A pong is the payload of a ping, and comes for a ping alone.
            let pong = ours.pong().unwrap();
            prop_assert_eq!(pong.is_some(), last.is_some());
            if let Some(pong) = pong {
                theirs.get_mut().incoming.extend(pong);
                prop_assert_eq!(theirs.read().unwrap(), Message::Pong(last.unwrap().into()));
            }
        }
        prop_assert!(expected.is_empty());
        // What this side says is understood, masked or not.
        let mut pieces = VecDeque::new();
        let length = ours.message_pieces(MessageKind::Binary, Bytes::from_static(b"shared"), &mut pieces);
        prop_assert_eq!(length, Ok(pieces.iter().map(Bytes::len).sum()));
        pieces.push_back(ours.message(MessageKind::Text, b"copied").unwrap());
        pieces.into_iter().for_each(|piece| theirs.get_mut().incoming.extend(piece));
        prop_assert_eq!(theirs.read().unwrap(), Message::binary(&b"shared"[..]));
        prop_assert_eq!(theirs.read().unwrap(), Message::text("copied"));
        if they_close {
            let close = TheirClose { code: TheirCode::from(code), reason: "so it ends".into() };
            theirs.close(Some(close)).unwrap();
            let written = std::mem::take(&mut theirs.get_mut().outgoing);
            let (_, closed) = listen(&mut ours, &written, &sizes);
            let close = closed.flatten().expect("a close with a code");
            prop_assert_eq!((close.code.get(), &*close.reason), (code, "so it ends"));
            theirs.get_mut().incoming.extend(ours.close(None).unwrap().unwrap());
            let Message::Close(Some(answer)) = theirs.read().unwrap() else { panic!("an answer") };
            prop_assert_eq!(u16::from(answer.code), code);
        } else {
            let close = CloseFrame { code: CloseCode::new(code).unwrap(), reason: "done".to_owned() };
            theirs.get_mut().incoming.extend(ours.close(Some(&close)).unwrap().unwrap());
            prop_assert!(matches!(theirs.read().unwrap(), Message::Close(Some(_))));
            theirs.flush().ok();
            let written = std::mem::take(&mut theirs.get_mut().outgoing);
            let (messages, closed) = listen(&mut ours, &written, &sizes);
            prop_assert!(messages.is_empty());
            let echo = closed.flatten().map(|close| close.code.get());
            prop_assert_eq!(echo, Some(code));
        }
        prop_assert!(ours.is_closed());
    }

    #[test]
    fn arbitrary_bytes_end_a_connection_the_same_way_however_they_arrive(data in vec(any::<u8>(), 0..600)) {
        fuzz_connection(&data);
    }
}

/// Clients inside WebSockets that have come this far with the hub.
async fn clients(served: &Served) -> Vec<(&'static str, Link)> {
    let mut silent = served.memory();
    upgrade(&mut silent).await;
    let mut late = served.memory();
    late.send(b"GET /health HTTP/1.1\r\nHost: hub\r\n\r\n").await;
    assert!(head(&mut late).await.starts_with("HTTP/1.1 200 "));
    late.expect(b"ok\n").await;
    late.send(UPGRADE.as_bytes()).await;
    assert!(head(&mut late).await.starts_with("HTTP/1.1 101 "));
    let native = Peer::native_ws(served.memory()).await;
    let joint = Peer::joint_ws(served.memory()).await;
    vec![
        ("silent", silent),
        ("silent, upgraded later", late),
        ("native", native.link),
        ("joint", joint.link),
    ]
}

/// The frames of a server up to the end of the connection.
async fn frames(link: &mut Link) -> Vec<(u8, Bytes)> {
    let rest = link.rest().await;
    let (near, far) = crosspoint_net::memory::pair(Default::default(), Default::default());
    let (near, mut far) = (Link::new(near.into()), Link::new(far.into()));
    near.send(&rest).await;
    near.finish();
    let mut frames = Vec::new();
    while !far.input.is_empty() || far.fill().await {
        frames.push(server_frame(&mut far).await);
    }
    frames
}

#[tokio::test(start_paused = true)]
async fn the_hub_answers_pings_and_a_close_alike_whatever_is_spoken() {
    let served = serve();
    for (what, mut link) in clients(&served).await {
        link.send(&frame::ping_frame(b"there?", Some([1; 4]))).await;
        assert_eq!(server_frame(&mut link).await, (0x8a, "there?".into()), "{what}");
        let together = [
            frame::pong_frame(b"unasked", Some([1; 4])),
            frame::ping_frame(b"1", Some([1; 4])),
            frame::ping_frame(b"2", Some([1; 4])),
        ];
        link.send(&together.concat()).await;
        assert_eq!(server_frame(&mut link).await, (0x8a, "2".into()), "{what}");
        let close = CloseFrame { code: CloseCode::new(4001).unwrap(), reason: "enough".to_owned() };
        let end = [
            frame::ping_frame(b"before", Some([1; 4])),
            frame::close_frame(Some(&close), Some([1; 4])),
            frame::ping_frame(b"behind", Some([1; 4])),
            message(b"behind"),
            frame::close_frame(None, Some([1; 4])),
        ];
        link.send(&end.concat()).await;
        let begun = Instant::now();
        let all = frames(&mut link).await;
        let control: Vec<_> = all.iter().filter(|(first, _)| *first != 0x82).collect();
        let [(0x88, payload)] = &control[..] else { panic!("{what}: {all:02x?}") };
        assert_eq!(payload[..2], 4001_u16.to_be_bytes(), "{what}");
        assert_eq!(all.last().map(|(first, _)| *first), Some(0x88), "{what}: nothing follows");
        assert_eq!(begun.elapsed(), Duration::ZERO, "{what}");
    }
    served.empty().await;
}

#[tokio::test(start_paused = true)]
async fn a_websocket_that_both_sides_have_closed_is_over_at_once() {
    let served = serve_with(|hub| hub.limits.idle_max = Some(Duration::from_secs(10)));
    let begun = Instant::now();
    let mut peer = Peer::native_ws(served.memory()).await;
    assert_eq!(peer.close_frame().await.0, 1008);
    // It keeps its side of the connection open.
    peer.link
        .send(&[&message(b"late")[..], &frame::close_frame(None, Some([1; 4]))].concat())
        .await;
    served.empty().await;
    assert_eq!(begun.elapsed().as_secs(), 10);
}
