//! A session that goes by requests: which request is to be made, and when a WebSocket takes over.
//!
//! One request hangs until the server has something to say, one more carries what is said to it. A WebSocket that the
//! server has accepted takes over when no request is on the way: so nothing overtakes anything.

use crate::engineio::Revision;
use crate::engineio::packet::Kind;
use crate::engineio::payload::{self, Message, PayloadError};
use bytes::Bytes;
use std::collections::VecDeque;

/// The most packets that the server may say at once.
const PACKETS_MAX: usize = 65_536;
/// The most packets that are said at once.
const SAID_MAX: usize = 1024;
/// The most bytes that are said at once, if one packet alone is not larger.
const SAID_BYTES_MAX: usize = 256 * 1024;

/// What a WebSocket is asked before it takes over, and what the server answers.
pub const PROBE: &[u8] = b"2probe";
/// See [`PROBE`].
pub const PROBED: &[u8] = b"3probe";

/// A request that is to be made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Request {
    /// Asks for what the server says.
    Get,
    /// Says something.
    Post {
        /// The body.
        body: Vec<u8>,
        /// Its media type.
        media_type: &'static str,
    },
}

/// The state of such a session.
#[derive(Debug)]
pub struct Polling {
    revision: Revision,
    payload_bytes_max: usize,
    queue: VecDeque<Message>,
    queued: usize,
    getting: bool,
    posting: bool,
    /// The server has accepted a WebSocket, so that no further request is made.
    probed: bool,
}

impl Polling {
    /// A session that has opened, with what the server takes at once.
    pub fn new(revision: Revision, payload_bytes_max: u32) -> Self {
        Self {
            revision,
            payload_bytes_max: payload_bytes_max as usize,
            queue: VecDeque::new(),
            queued: 0,
            getting: false,
            posting: false,
            probed: false,
        }
    }

    /// Bytes that wait to be said.
    pub fn queued(&self) -> usize {
        self.queued
    }

    /// Whether nothing waits to be said, or is on its way.
    pub fn is_flushed(&self) -> bool {
        self.queue.is_empty() && !self.posting
    }

    /// Says something with one of the next requests.
    pub fn push(&mut self, message: Message) {
        self.queued += message.bytes.len();
        self.queue.push_back(message);
    }

    /// The next request, if one is to be made. Without `listening` the server is not asked for what it says.
    pub fn request(&mut self, listening: bool) -> Option<Request> {
        if self.probed {
            return None;
        }
        if !self.posting && !self.queue.is_empty() {
            self.posting = true;
            let messages = self.batch();
            let (body, media_type) = payload::encode(self.revision, true, &messages);
            return Some(Request::Post { body, media_type });
        }
        if listening && !self.getting {
            self.getting = true;
            return Some(Request::Get);
        }
        None
    }

    fn batch(&mut self) -> Vec<Message> {
        let most = self.payload_bytes_max.min(SAID_BYTES_MAX);
        let (mut bytes, mut messages) = (0, Vec::new());
        while let Some(next) = self.queue.front() {
            // As base64, with what is around it.
            bytes += next.bytes.len().div_ceil(3) * 4 + 16;
            if !messages.is_empty() && (bytes > most || messages.len() >= SAID_MAX) {
                break;
            }
            if let Some(next) = self.queue.pop_front() {
                self.queued -= next.bytes.len();
                messages.push(next);
            }
        }
        messages
    }

    /// The server has answered [`Request::Get`].
    ///
    /// # Errors
    /// [`PayloadError`]: the session is broken.
    pub fn got(&mut self, is_octets: bool, body: &Bytes) -> Result<Vec<Message>, PayloadError> {
        self.getting = false;
        read(self.revision, is_octets, body)
    }

    /// The server has answered [`Request::Post`].
    pub fn posted(&mut self) {
        self.posting = false;
    }

    /// The server has accepted a WebSocket.
    pub fn probed(&mut self) {
        self.probed = true;
    }

    /// No WebSocket takes over after all.
    pub fn give_up_probe(&mut self) {
        self.probed = false;
    }

    /// Whether the WebSocket is to take over now. What it says first: the packet that says so, and what was not said.
    pub fn take_over(&mut self) -> Option<Vec<Message>> {
        if !self.probed || self.getting || self.posting {
            return None;
        }
        let upgrade = Bytes::copy_from_slice(&[Kind::Upgrade.digit()]);
        let first = Message { is_text: true, bytes: upgrade };
        self.queued = 0;
        Some(std::iter::once(first).chain(self.queue.drain(..)).collect())
    }
}

/// Reads what a server says in the answer to a request.
///
/// # Errors
/// [`PayloadError`]: the session is broken.
pub fn read(
    revision: Revision,
    is_octets: bool,
    body: &Bytes,
) -> Result<Vec<Message>, PayloadError> {
    payload::decode(revision, is_octets, body, PACKETS_MAX)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engineio::payload::{OCTETS, TEXT};
    use Revision::{Four, Three};

    fn text(text: &'static str) -> Message {
        Message { is_text: true, bytes: Bytes::from_static(text.as_bytes()) }
    }

    fn post(body: &[u8], media_type: &'static str) -> Option<Request> {
        Some(Request::Post { body: body.to_vec(), media_type })
    }

    #[test]
    fn one_request_hangs_and_one_says_all_there_is() {
        let mut polling = Polling::new(Four, 1_000_000);
        assert_eq!(polling.request(false), None);
        assert_eq!(polling.request(true), Some(Request::Get));
        assert_eq!(polling.request(true), None);
        polling.push(text("4a"));
        assert_eq!(polling.request(true), post(b"4a", TEXT));
        polling.push(text("4b"));
        polling.push(Message { is_text: false, bytes: Bytes::from_static(b"x") });
        assert_eq!((polling.request(true), polling.queued()), (None, 3));
        polling.posted();
        assert!(!polling.is_flushed());
        assert_eq!(polling.request(true), post(b"4b\x1ebeA==", TEXT));
        polling.posted();
        assert!(polling.is_flushed() && polling.queued() == 0);
        let got = polling.got(false, &Bytes::from_static(b"4c\x1e6")).unwrap();
        assert_eq!(got, [text("4c"), text("6")]);
        assert_eq!(polling.request(true), Some(Request::Get));
        assert_eq!(polling.got(false, &Bytes::new()), Err(PayloadError::Empty));

        let mut older = Polling::new(Three, 1_000_000);
        older.push(text("4a"));
        older.push(Message { is_text: false, bytes: Bytes::from_static(b"\x04x") });
        assert_eq!(older.request(true), post(b"\0\x02\xff4a\x01\x02\xff\x04x", OCTETS));
    }

    #[test]
    fn no_more_is_said_at_once_than_the_server_takes() {
        let mut polling = Polling::new(Four, 50);
        for _ in 0..4 {
            polling.push(text("4xxxxxxx"));
        }
        polling.push(Message { is_text: true, bytes: vec![b'4'; 100].into() });
        let mut sizes = Vec::new();
        while let Some(Request::Post { body, .. }) = polling.request(false) {
            sizes.push(body.len());
            polling.posted();
        }
        assert_eq!(sizes, [8, 8, 8, 8, 100]);
    }

    #[test]
    fn a_websocket_takes_over_when_no_request_is_on_the_way() {
        let mut polling = Polling::new(Four, 1_000_000);
        polling.push(text("4a"));
        assert!(polling.request(true).is_some() && polling.request(true).is_some());
        assert_eq!(polling.take_over(), None);
        polling.probed();
        polling.push(text("4b"));
        polling.posted();
        assert_eq!((polling.request(true), polling.take_over()), (None, None));
        polling.got(false, &Bytes::from_static(b"6")).unwrap();
        assert_eq!(polling.request(true), None);
        assert_eq!(polling.take_over(), Some(vec![text("5"), text("4b")]));
        assert_eq!(polling.queued(), 0);

        let mut polling = Polling::new(Four, 1_000_000);
        polling.probed();
        polling.give_up_probe();
        assert_eq!(polling.request(true), Some(Request::Get));
    }
}
