//! Sessions of Socket.IO whose other side is the test itself.

use crate::common::World;
use crosspoint_gateways::engineio::{Beat, Revision, Sid, Socket};
use crosspoint_gateways::socketio::server::{Options, SocketIo, Start};
use std::time::Duration;

/// A message of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Message {
    Text(String),
    Binary(Vec<u8>),
}

impl From<&str> for Message {
    fn from(text: &str) -> Self {
        Self::Text(text.to_owned())
    }
}

impl From<&[u8]> for Message {
    fn from(bytes: &[u8]) -> Self {
        Self::Binary(bytes.to_vec())
    }
}

impl World {
    /// A session that a client has asked for.
    pub(crate) fn socketio(&mut self, revision: Revision, start: Start) -> usize {
        let options = Options::new(self.hub.limits.clone());
        self.socketio_with(revision, options, start)
    }

    /// The same with other options.
    pub(crate) fn socketio_with(
        &mut self,
        revision: Revision,
        options: Options,
        start: Start,
    ) -> usize {
        let beat = Beat {
            interval: Duration::from_secs(25),
            timeout: Duration::from_secs(20),
            payload_bytes_max: options.payload_bytes_max,
        };
        let sid = Sid::random().unwrap();
        let socket = Socket::new(self.now, revision, sid, false, beat);
        let protocol = SocketIo::new(self.now, options, socket, start);
        self.open_websocket(revision, Box::new(protocol))
    }

    /// A client of revision 3 whose hub has these times.
    pub(crate) fn hasty(&mut self, client_id: &str, times: [Option<Duration>; 2]) -> usize {
        let [wait_time, ack_time] = times;
        let options = Options { wait_time, ack_time, ..Options::new(self.hub.limits.clone()) };
        let start = Start { client_id: Some(client_id.into()), ..Start::default() };
        let end = self.socketio_with(Revision::Three, options, start);
        self.texts(end);
        end
    }

    /// A client with a name, which is in the root namespace and has heard so.
    pub(crate) fn plugin(&mut self, revision: Revision, client_id: &str) -> usize {
        let start = Start { client_id: Some(client_id.into()), ..Start::default() };
        let end = self.socketio(revision, start);
        if revision == Revision::Four {
            self.tell(end, "40");
        }
        let heard = self.hears(end);
        assert!(
            matches!(&heard[..], [Message::Text(open), Message::Text(connect)]
            if open.starts_with('0') && connect.starts_with("40")),
            "{heard:?}"
        );
        end
    }

    /// The client says something.
    pub(crate) fn tell<M: Into<Message>>(&mut self, end: usize, message: M) {
        match message.into() {
            Message::Text(text) => self.say_message(end, true, text.as_bytes()),
            Message::Binary(bytes) => self.say_message(end, false, &bytes),
        }
    }

    /// What the client has heard since the last call.
    pub(crate) fn hears(&mut self, end: usize) -> Vec<Message> {
        let messages = self.messages(end).into_iter();
        let messages = messages.map(|(is_text, message)| match is_text {
            true => Message::Text(String::from_utf8(message).unwrap()),
            false => Message::Binary(message),
        });
        messages.collect()
    }

    /// The same, where all of it is text.
    pub(crate) fn texts(&mut self, end: usize) -> Vec<String> {
        let text = |message| match message {
            Message::Text(text) => text,
            other => panic!("no text: {other:?}"),
        };
        self.hears(end).into_iter().map(text).collect()
    }
}
