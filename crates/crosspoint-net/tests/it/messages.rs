//! A WebSocket as text messages, against a server that writes frames by hand.

use bytes::BytesMut;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Event, Reason};
use crosspoint_net::client::{Connection, Dialed, Endpoint, dial, run};
use crosspoint_net::messages::{Messages, MessagesError, MessagesEvent};
use crosspoint_net::ws::{
    CloseCode, CloseFrame, Config, Decoder, Incoming, Opcode, Role, WsError, frame, handshake,
};
use crosspoint_proto::client::{Native, Options};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

const MESSAGE_BYTES_MAX: usize = 1000;

/// The server's side.
struct Script {
    stream: TcpStream,
    decoder: Decoder,
}

async fn pair() -> (Messages, Script) {
    let (dialed, script) = dialed().await;
    (Messages::new(dialed, MESSAGE_BYTES_MAX).unwrap(), script)
}

async fn dialed() -> (Dialed, Script) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint: Endpoint = format!("ws://{}/", listener.local_addr().unwrap()).parse().unwrap();
    let accept = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        let key = loop {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
            if let Some((request, _)) = handshake::parse_request(&head).unwrap() {
                break request.upgrade.unwrap().key;
            }
        };
        stream.write_all(&handshake::response(&key, None, None)).await.unwrap();
        let config = Config { frame_bytes_max: 64 << 20, lenient: false };
        Script { stream, decoder: Decoder::new(Role::Server, config) }
    };
    let (dialed, script) = tokio::join!(dial(&endpoint), accept);
    (dialed.unwrap(), script)
}

impl Script {
    async fn frame(&mut self, opcode: Opcode, fin: bool, payload: &[u8]) {
        let header = frame::server_header(opcode, fin, payload.len());
        self.stream.write_all(&[header.as_slice(), payload].concat()).await.unwrap();
    }

    /// Whatever comes next, whole; `None` at the end.
    async fn next(&mut self) -> Option<Incoming> {
        let mut message = Vec::new();
        loop {
            match self.decoder.decode().unwrap() {
                Some(Incoming::Data { kind, bytes, compressed, frame_fin, message_fin }) => {
                    message.extend_from_slice(&bytes);
                    if message_fin {
                        let bytes = message.into();
                        return Some(Incoming::Data {
                            kind,
                            bytes,
                            compressed,
                            frame_fin,
                            message_fin,
                        });
                    }
                }
                Some(other) => return Some(other),
                None => {
                    let mut bytes = BytesMut::new();
                    if self.stream.read_buf(&mut bytes).await.unwrap() == 0 {
                        return None;
                    }
                    self.decoder.receive(bytes);
                }
            }
        }
    }
}

#[tokio::test]
async fn messages_come_whole_however_they_are_cut_and_pings_are_answered() {
    let (mut messages, mut script) = pair().await;
    script.frame(Opcode::Text, false, b"one ").await;
    script.frame(Opcode::Continuation, false, b"").await;
    script.frame(Opcode::Ping, true, b"first").await;
    script.frame(Opcode::Ping, true, b"last").await;
    script.frame(Opcode::Continuation, true, b"message").await;
    script.frame(Opcode::Text, true, &[b'x'; MESSAGE_BYTES_MAX]).await;
    assert_eq!(messages.next(true).await.unwrap(), MessagesEvent::Message("one message".into()));
    let largest = messages.next(true).await.unwrap();
    assert_eq!(largest, MessagesEvent::Message(vec![b'x'; MESSAGE_BYTES_MAX].into()));
    assert_eq!(messages.next(false).await.unwrap(), MessagesEvent::Wrote);
    assert_eq!(script.next().await, Some(Incoming::Pong("last".into())));
    script.frame(Opcode::Close, true, &1001_u16.to_be_bytes()).await;
    let MessagesEvent::Closed(Some(close)) = messages.next(true).await.unwrap() else { panic!() };
    assert_eq!(close.code, CloseCode::GOING_AWAY);
}

#[tokio::test]
async fn messages_above_the_bound_and_binary_ones_are_errors() {
    let half = [b'x'; MESSAGE_BYTES_MAX / 2 + 1];
    let (mut messages, mut script) = pair().await;
    script.frame(Opcode::Text, false, &half).await;
    script.frame(Opcode::Continuation, true, &half).await;
    let error = messages.next(true).await.unwrap_err();
    assert!(matches!(error, MessagesError::Frame(WsError::MessageTooLarge { .. })));
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);

    let (mut messages, mut script) = pair().await;
    script.frame(Opcode::Text, true, &[b'x'; MESSAGE_BYTES_MAX + 1]).await;
    let error = messages.next(true).await.unwrap_err();
    assert_eq!(error.close_code(), CloseCode::TOO_BIG);

    let (mut messages, mut script) = pair().await;
    script.frame(Opcode::Binary, true, b"x").await;
    assert!(matches!(messages.next(true).await, Err(MessagesError::Binary)));

    let (mut messages, script) = pair().await;
    drop(script);
    assert!(matches!(messages.next(true).await, Err(MessagesError::Io(_))));
}

#[tokio::test]
async fn everything_is_written_before_the_close_frame() {
    let (mut messages, mut script) = pair().await;
    let text = vec![b'x'; 1 << 20];
    for _ in 0..8 {
        messages.push(&text).unwrap();
    }
    assert!(messages.queued() > 8 << 20);
    let read = async {
        for _ in 0..8 {
            let Some(Incoming::Data { bytes, .. }) = script.next().await else { panic!() };
            assert!(bytes == text);
        }
        assert_eq!(script.next().await, Some(Incoming::Close(None)));
        drop(script);
    };
    tokio::join!(messages.close(None), read);
}

#[tokio::test]
async fn of_pings_that_come_together_a_client_answers_the_last() {
    let (_connection, mut script) = client().await;
    let pings = 1000_u32;
    let ping = |number: u32| {
        let header = frame::server_header(Opcode::Ping, true, 4);
        [header.as_slice(), &number.to_be_bytes()].concat()
    };
    let all: Vec<u8> = (1..=pings).flat_map(ping).collect();
    script.stream.write_all(&all).await.unwrap();
    let mut answers = 0;
    loop {
        let Some(Incoming::Pong(payload)) = script.next().await else { panic!("an answer") };
        answers += 1;
        if payload[..] == pings.to_be_bytes() {
            break;
        }
    }
    assert!(answers < 50, "{answers}");
}

/// A client of a hub, which has said hello.
async fn client() -> (Connection, Script) {
    let (dialed, mut script) = dialed().await;
    let mut out = FrameWriter::new(None);
    let now = tokio::time::Instant::now().into_std();
    let native = Native::new(now, Options::default(), &mut out);
    let connection = run(dialed, Box::new(native), out);
    assert!(matches!(script.next().await, Some(Incoming::Data { .. })), "the hello");
    (connection, script)
}

#[tokio::test]
async fn clients_answer_a_close_once_with_its_code_and_a_broken_frame_with_the_code_of_that() {
    let closing = frame::close_frame(
        Some(&CloseFrame { code: CloseCode::new(4001).unwrap(), reason: String::new() }),
        None,
    );
    let ping = frame::ping_frame(b"?", None);
    let close = [&ping[..], &closing, &ping, &closing].concat();
    // A continuation of nothing.
    let broken = [&ping[..], &[0x80, 0], &closing].concat();
    for (said, code, reason) in
        [(close, 4001, Reason::ConnectionLost), (broken, 1002, Reason::Malformed)]
    {
        let (mut connection, mut script) = client().await;
        script.stream.write_all(&said).await.unwrap();
        let event = connection.events.recv();
        let (event, closed) = tokio::join!(event, closed(&mut script));
        assert_eq!((event, closed), (Some(Event::Closed { reason }), code));

        let (mut messages, mut script) = pair().await;
        script.stream.write_all(&said).await.unwrap();
        let event = messages.next(true).await;
        assert!(matches!(event, Ok(MessagesEvent::Closed(Some(_))) | Err(MessagesError::Frame(_))));
        let ((), closed) = tokio::join!(messages.close(None), self::closed(&mut script));
        assert_eq!(closed, code);
    }
}

/// The code with which a client closes, behind all that it has to say in frames of data.
async fn closed(script: &mut Script) -> u16 {
    loop {
        match script.next().await {
            Some(Incoming::Data { .. }) => {}
            Some(Incoming::Close(Some(close))) => {
                let mut rest = Vec::new();
                script.stream.read_to_end(&mut rest).await.unwrap();
                assert!(rest.is_empty(), "nothing follows");
                return close.code.get();
            }
            other => panic!("{other:?}"),
        }
    }
}
