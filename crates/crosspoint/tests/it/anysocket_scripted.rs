//! The AnySocket client against servers that say what no AnySocket server says, or nothing.

use crosspoint::anysocket::{Client, ClientBuilder, ConnectError, Ended, Message, Peer, PeerError};
use crosspoint_net::ws::{Config, Decoder, Incoming, Opcode, Role, frame, handshake};
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

const AUTH: &str = "11\0\0\0\u{1}{\"id\":\"5e5e5e5e12344abc8def00112233ff80\"}";

/// The server's side of one connection.
struct Script {
    stream: TcpStream,
    decoder: Decoder,
}

async fn listen() -> (TcpListener, String) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address: SocketAddr = listener.local_addr().unwrap();
    (listener, format!("ws://{address}/"))
}

impl Script {
    /// Takes a connection up to the client's AUTH.
    async fn accept(listener: &TcpListener) -> Self {
        let (mut stream, _) = listener.accept().await.unwrap();
        let mut head = Vec::new();
        let key = loop {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
            if let Some((request, length)) = handshake::parse_request(&head).unwrap() {
                assert_eq!(length, head.len());
                break request.upgrade.unwrap().key;
            }
        };
        stream.write_all(&handshake::response(&key, None, None)).await.unwrap();
        let config = Config { frame_bytes_max: 1 << 20, lenient: false };
        let mut script = Self { stream, decoder: Decoder::new(Role::Server, config) };
        assert!(script.hear().await.unwrap().starts_with("11\0\0\0\u{1}{\"id\":"));
        script
    }

    async fn say(&mut self, opcode: Opcode, bytes: &[u8]) {
        let header = frame::server_header(opcode, true, bytes.len());
        // The client may have hung up.
        let _ = self.stream.write_all(&[header.as_slice(), bytes].concat()).await;
    }

    async fn tell(&mut self, text: &str) {
        self.say(Opcode::Text, text.as_bytes()).await;
    }

    /// The next message; `None` after a close frame.
    async fn hear(&mut self) -> Option<String> {
        let mut text = Vec::new();
        loop {
            match self.decoder.decode().unwrap() {
                Some(Incoming::Data { bytes, message_fin, .. }) => {
                    text.extend_from_slice(&bytes);
                    if message_fin {
                        return Some(String::from_utf8(text).unwrap());
                    }
                }
                Some(Incoming::Close(_)) => return None,
                Some(_) => {}
                None => {
                    let mut bytes = bytes::BytesMut::new();
                    assert_ne!(self.stream.read_buf(&mut bytes).await.unwrap(), 0);
                    self.decoder.receive(bytes);
                }
            }
        }
    }

    /// Waits for the client's close frame.
    async fn closed(&mut self) {
        while self.hear().await.is_some() {}
    }
}

/// A client that is let in, and the server's side.
async fn connected(builder: ClientBuilder) -> (Peer, Script) {
    let (listener, address) = listen().await;
    let serve = async {
        let mut script = Script::accept(&listener).await;
        script.tell(AUTH).await;
        script
    };
    let (peer, script) = tokio::join!(builder.connect(&address), serve);
    (peer.unwrap(), script)
}

#[tokio::test]
async fn a_silent_server_is_given_up_and_one_that_answers_is_not() {
    let interval = Duration::from_millis(20);
    let (peer, mut script) = connected(Client::builder().heartbeat(interval, 2)).await;
    for seq in 2..6 {
        let probe = script.hear().await.unwrap();
        assert_eq!(probe, format!("15\0\0\0{}1", char::from(seq)));
        script.tell("15\0\0\0\u{1}2").await;
    }
    let (ended, ()) = tokio::join!(peer.closed(), script.closed());
    assert!(matches!(ended, Ended::Silent), "{ended}");
    assert!(matches!(peer.send("x").await, Err(PeerError::Ended(Ended::Silent))));
}

#[tokio::test]
async fn a_server_that_does_not_let_in_is_not_waited_for() {
    let (listener, address) = listen().await;
    let builder = Client::builder().timeout(Duration::from_millis(50));
    let (refused, mut script) = tokio::join!(builder.connect(&address), Script::accept(&listener));
    assert!(matches!(refused, Err(ConnectError::TimedOut { .. })), "{refused:?}");
    script.closed().await;
    // Nor one that speaks no WebSocket.
    let page = async {
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.write_all(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n").await;
        stream
    };
    let (refused, _stream) = tokio::join!(Client::builder().connect(&address), page);
    assert!(matches!(refused, Err(ConnectError::Unreachable { .. })), "{refused:?}");
}

#[tokio::test]
async fn what_breaks_the_protocol_ends_the_connection_and_nothing_else() {
    let large = "x".repeat(2000);
    let piece = format!("23\0\0\0\u{9}\"{}", "x".repeat(600));
    for (text, opcode) in [
        ("hello", Opcode::Text),
        ("13\0\0\0", Opcode::Text),
        (AUTH, Opcode::Binary),
        (AUTH, Opcode::Text),
        ("12\0\0\0\u{2}{\"type\":9}", Opcode::Text),
        ("14\0\0\0\u{2}{}", Opcode::Text),
        (&large, Opcode::Text),
        (&piece, Opcode::Text),
    ] {
        let builder = Client::builder().message_bytes_max(1000).value_bytes_max(1000);
        let (peer, mut script) = connected(builder).await;
        // Harmless, whatever follows.
        script.tell("13\0\0\0\u{2}no JSON").await;
        script.tell("13\u{ff}\u{ff}\u{ff}\u{fe}1").await;
        script.tell("15\0\0\0\u{3}3").await;
        script.say(Opcode::Ping, b"are you there?").await;
        script.say(opcode, text.as_bytes()).await;
        script.say(opcode, text.as_bytes()).await;
        let (ended, ()) = tokio::join!(peer.closed(), script.closed());
        assert!(matches!(ended, Ended::Fault(_)), "{text}: {ended}");
    }
}

#[tokio::test]
async fn a_server_that_says_more_than_is_handled_has_to_wait_and_nothing_is_lost() {
    const MESSAGES: usize = 3000;
    let (go, going) = watch::channel(false);
    let (told, mut heard) = mpsc::unbounded_channel();
    let builder = Client::builder()
        .heartbeat(Duration::from_millis(10), 1)
        .handling_max(4, usize::MAX)
        .on_message(move |message: Message| {
            let (told, mut going) = (told.clone(), going.clone());
            async move {
                told.send(message.json().as_bytes().len()).unwrap();
                going.wait_for(|go| *go).await.unwrap();
            }
        });
    let (peer, mut script) = connected(builder).await;
    let text = format!("13\0\0\0\u{2}\"{}\"", "x".repeat(20_000));
    let mut speaking = tokio::spawn(async move {
        for _ in 0..MESSAGES {
            script.tell(&text).await;
        }
        script
    });
    assert_eq!(heard.recv().await, Some(20_002));
    // Much longer than it takes to give up a server that is silent for its own sake.
    let waited = tokio::time::timeout(Duration::from_millis(300), &mut speaking).await;
    assert!(waited.is_err(), "the server has to wait");
    assert!(heard.try_recv().is_err(), "messages are handled one after the other");
    go.send(true).unwrap();
    for _ in 1..MESSAGES {
        assert_eq!(heard.recv().await, Some(20_002));
    }
    let mut script = speaking.await.unwrap();
    tokio::join!(peer.close(), script.closed());
}
