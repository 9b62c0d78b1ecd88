//! A client of Socket.IO over WebSocket, whose words the test says itself.

use bytes::BytesMut;
use crosspoint::socketio::Application;
use crosspoint::{HubOptions, Server, Shape};
use crosspoint_net::ws::frame::MessageKind;
use crosspoint_net::ws::{Config, Connection, Event, Role, handshake};
use std::collections::VecDeque;
use std::net::SocketAddr;
use std::time::Duration;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// How long something may take that has to happen.
const PATIENCE: Duration = Duration::from_secs(20);

#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Said {
    Text(String),
    Binary(Vec<u8>),
}

pub(crate) struct Plugin {
    stream: TcpStream,
    websocket: Connection,
    message: Vec<u8>,
    heard: VecDeque<Said>,
}

impl Plugin {
    /// Opens a session with this path and query.
    pub(crate) async fn open(hub: SocketAddr, path: &str) -> Self {
        let mut stream = TcpStream::connect(hub).await.unwrap();
        let key = handshake::new_key().unwrap();
        let request = handshake::client_request(&hub.to_string(), path, &key, false).unwrap();
        stream.write_all(&request).await.unwrap();
        let mut head = BytesMut::new();
        let accepted = loop {
            assert_ne!(stream.read_buf(&mut head).await.unwrap(), 0);
            if let Some(accepted) = handshake::parse_response(&head, &key, false).unwrap() {
                break accepted;
            }
        };
        let config = Config { frame_bytes_max: 1 << 24, lenient: false };
        let mut websocket = Connection::new(Role::Client, config);
        websocket.receive(head.split_off(accepted.head_len));
        Self { stream, websocket, message: Vec::new(), heard: VecDeque::new() }
    }

    /// A client of revision 4 with this name, which has entered the root.
    pub(crate) async fn named(hub: SocketAddr, name: &str) -> Self {
        let path = format!("/socket.io/?clientId={name}&EIO=4&transport=websocket");
        let mut client = Self::open(hub, &path).await;
        assert!(client.text().await.starts_with('0'));
        client.say("40").await;
        assert!(client.text().await.starts_with("40"));
        client
    }

    pub(crate) async fn say(&mut self, text: &str) {
        self.send(MessageKind::Text, text.as_bytes()).await;
    }

    pub(crate) async fn say_bytes(&mut self, bytes: &[u8]) {
        self.send(MessageKind::Binary, bytes).await;
    }

    async fn send(&mut self, kind: MessageKind, bytes: &[u8]) {
        let frame = self.websocket.message(kind, bytes).unwrap();
        self.stream.write_all(&frame).await.unwrap();
    }

    /// The next message. Heartbeats are answered.
    pub(crate) async fn hear(&mut self) -> Said {
        loop {
            let said = tokio::time::timeout(PATIENCE, self.next()).await.expect("nothing is said");
            let said = said.expect("the session is over");
            if said != Said::Text("2".to_owned()) {
                return said;
            }
            self.say("3").await;
        }
    }

    async fn next(&mut self) -> Option<Said> {
        loop {
            if let Some(said) = self.heard.pop_front() {
                return Some(said);
            }
            while let Some(event) = self.websocket.poll().unwrap() {
                let Event::Data { kind, bytes, message_fin, .. } = event else { return None };
                self.message.extend_from_slice(&bytes);
                if message_fin {
                    let message = std::mem::take(&mut self.message);
                    self.heard.push_back(match kind {
                        MessageKind::Text => Said::Text(String::from_utf8(message).unwrap()),
                        MessageKind::Binary => Said::Binary(message),
                    });
                }
            }
            if self.heard.is_empty() {
                let mut bytes = BytesMut::with_capacity(64 * 1024);
                if self.stream.read_buf(&mut bytes).await.unwrap() == 0 {
                    return None;
                }
                self.websocket.receive(bytes);
            }
        }
    }

    /// The next message, which is text.
    pub(crate) async fn text(&mut self) -> String {
        match self.hear().await {
            Said::Text(text) => text,
            Said::Binary(bytes) => panic!("no text: {bytes:?}"),
        }
    }

    /// The next message, which is an attachment.
    pub(crate) async fn bytes(&mut self) -> Vec<u8> {
        match self.hear().await {
            Said::Binary(bytes) => bytes,
            Said::Text(text) => panic!("no attachment: {text}"),
        }
    }

    /// The next event, which wants an acknowledgement: its id, and what is behind that.
    pub(crate) async fn asked(&mut self) -> (String, String) {
        let packet = self.text().await;
        let array = packet.find('[').unwrap();
        let (header, array) = packet.split_at(array);
        let id =
            header.rsplit_once('-').map_or_else(|| header.strip_prefix("42").unwrap(), |it| it.1);
        assert!(!id.is_empty(), "{packet}");
        (id.to_owned(), array.to_owned())
    }

    /// Asserts that nothing else was said: what the hub answers to this comes next.
    pub(crate) async fn heard_all(&mut self) {
        self.say(r#"4299["GET_CLIENT_CONNECTED_STATUS","nobody is called so"]"#).await;
        assert_eq!(self.text().await, "4399[null]");
    }
}

/// A hub, its address, and its program.
pub(crate) async fn hub_with_program() -> (Server, SocketAddr, Application) {
    let hub = Server::new(HubOptions::default());
    let address = hub.listen("127.0.0.1:0".parse().unwrap()).unwrap();
    let program = Application::builder().connect(hub.inside(Shape::default())).await.unwrap();
    (hub, address, program)
}
