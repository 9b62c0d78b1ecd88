//! The client's side of a session: how it opens, its heartbeat, and that it closes.
//!
//! A protocol above Engine.IO has one [`ClientSocket`]. It sees packets in messages of a WebSocket, whatever carries them:
//! [`polling`] is what there is besides where requests do.

pub mod polling;

use super::packet::{self, Kind, Packet, PacketError};
use super::payload::Message;
use super::{Beat, Revision};
use bytes::Bytes;
use serde::Deserialize;
use std::borrow::Cow;
use std::time::{Duration, Instant};

/// The longest open packet, in bytes.
const OPEN_BYTES_MAX: usize = 16 * 1024;
/// The longest id of a session, in bytes. Those of known servers have up to 22.
const SID_BYTES_MAX: usize = 255;
/// Heartbeats of servers are at least so far apart, so that none keeps its clients busy.
const BEAT_MIN: Duration = Duration::from_millis(10);
/// As long as this nobody waits for a heartbeat.
const BEAT_MAX: Duration = Duration::from_secs(24 * 60 * 60);
/// The largest body of a request where the server says nothing.
const PAYLOAD_BYTES_MAX: u32 = 1_000_000;
/// The most bytes of a ping that are said again.
const PING_BYTES_MAX: usize = 1024;

/// What a server says first of all.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The id of the session, which is also the right to use it.
    pub sid: Box<str>,
    /// Whether a session that came by requests may become a WebSocket.
    pub can_upgrade: bool,
    /// Heartbeats, and the largest body of a request.
    pub beat: Beat,
}

/// What is wrong with an open packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OpenError {
    /// It is no object with what has to be there.
    #[error("the server opens with what is no open packet")]
    Malformed,
    /// The id cannot be used in a request.
    #[error("the server gives an id of {0} bytes, of which there may be 1 to {SID_BYTES_MAX}")]
    Sid(usize),
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Fields<'a> {
    #[serde(borrow)]
    sid: Cow<'a, str>,
    #[serde(borrow, default)]
    upgrades: Vec<Cow<'a, str>>,
    ping_interval: u64,
    ping_timeout: u64,
    max_payload: Option<u32>,
}

impl Open {
    /// Reads the data of an open packet, behind its kind.
    ///
    /// # Errors
    /// [`OpenError`]: the session has to end.
    pub fn parse(data: &[u8]) -> Result<Self, OpenError> {
        if data.len() > OPEN_BYTES_MAX {
            return Err(OpenError::Malformed);
        }
        let fields: Fields<'_> = serde_json::from_slice(data).map_err(|_| OpenError::Malformed)?;
        match fields.sid.len() {
            1..=SID_BYTES_MAX => {}
            length => return Err(OpenError::Sid(length)),
        }
        let time = |ms| Duration::from_millis(ms).clamp(BEAT_MIN, BEAT_MAX);
        Ok(Self {
            can_upgrade: fields.upgrades.iter().any(|upgrade| upgrade == "websocket"),
            sid: fields.sid.into(),
            beat: Beat {
                interval: time(fields.ping_interval),
                timeout: time(fields.ping_timeout),
                payload_bytes_max: fields.max_payload.unwrap_or(PAYLOAD_BYTES_MAX).max(1),
            },
        })
    }

    /// Reads the first message of a session.
    ///
    /// # Errors
    /// [`OpenError`]: the session has to end.
    pub fn of(message: &Message) -> Result<Self, OpenError> {
        let data = message.bytes.strip_prefix(&[Kind::Open.digit()]);
        match data {
            Some(data) if message.is_text => Self::parse(data),
            _ => Err(OpenError::Malformed),
        }
    }
}

/// The state of one session.
#[derive(Debug)]
pub struct ClientSocket {
    revision: Revision,
    opened: Option<Opened>,
    /// What the last ping is answered with.
    pong: Option<Bytes>,
    /// Revision 3: a ping is due.
    ping: bool,
    round_trip: Option<Duration>,
}

#[derive(Debug)]
struct Opened {
    beat: Beat,
    /// When the server is given up if nothing comes.
    silent: Instant,
    /// Revision 3: when to send the next ping.
    next_ping: Instant,
    /// When the last ping was sent that has no answer.
    pinged: Option<Instant>,
}

/// What came for the user of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Heard {
    /// The session is open. Comes first, and once.
    Opened(Open),
    /// A message of text, which is UTF-8.
    Text(Bytes),
    /// A message of bytes.
    Binary(Bytes),
    /// The server has ended the session.
    Closed,
}

/// Why a session has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ClientError {
    /// What came is no packet.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// The session does not open as it has to.
    #[error(transparent)]
    Open(#[from] OpenError),
    /// A packet came that a server does not send, or not in this revision, or not at this time.
    #[error("a packet of the kind {0:?}, which a server does not send here")]
    Direction(Kind),
    /// A ping with more data than anybody sends.
    #[error("a ping with more than {PING_BYTES_MAX} bytes")]
    LargePing,
}

impl ClientSocket {
    /// The state of a session that has yet to open.
    pub fn new(revision: Revision) -> Self {
        Self { revision, opened: None, pong: None, ping: false, round_trip: None }
    }

    /// The revision that is spoken.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// Whether the session is open.
    pub fn is_open(&self) -> bool {
        self.opened.is_some()
    }

    /// Takes a message. `None`: it was nothing for the user of the session. Nothing is copied.
    ///
    /// # Errors
    /// [`ClientError`]: the session has to end.
    pub fn receive(
        &mut self,
        now: Instant,
        message: Message,
    ) -> Result<Option<Heard>, ClientError> {
        let packet = packet::parse(self.revision, message.is_text, message.bytes)?;
        let Some(opened) = &mut self.opened else {
            return match packet {
                Packet::Text(Kind::Open, data) => {
                    let open = Open::parse(&data)?;
                    self.opened = Some(Opened::new(now, open.beat));
                    Ok(Some(Heard::Opened(open)))
                }
                Packet::Text(Kind::Close, _) => Ok(Some(Heard::Closed)),
                Packet::Text(kind, _) => Err(ClientError::Direction(kind)),
                Packet::Binary(_) => Err(ClientError::Direction(Kind::Message)),
            };
        };
        opened.silent = now + opened.beat.interval + opened.beat.timeout;
        match (self.revision, packet) {
            (_, Packet::Text(Kind::Message, text)) => Ok(Some(Heard::Text(text))),
            (_, Packet::Binary(bytes)) => Ok(Some(Heard::Binary(bytes))),
            (Revision::Four, Packet::Text(Kind::Ping, data)) => {
                if data.len() > PING_BYTES_MAX {
                    return Err(ClientError::LargePing);
                }
                // Of those that come before one is answered, the last counts.
                self.pong = Some(data);
                Ok(None)
            }
            (Revision::Three, Packet::Text(Kind::Pong, _)) => {
                self.round_trip =
                    opened.pinged.take().map(|sent| now.saturating_duration_since(sent));
                Ok(None)
            }
            (_, Packet::Text(Kind::Noop, _)) => Ok(None),
            (_, Packet::Text(Kind::Close, _)) => Ok(Some(Heard::Closed)),
            (_, Packet::Text(kind, _)) => Err(ClientError::Direction(kind)),
        }
    }

    /// What the session itself has to say.
    pub fn transmit(&mut self) -> Option<Message> {
        let text = |kind: Kind, data: &[u8]| {
            let mut bytes = Vec::with_capacity(1 + data.len());
            bytes.push(kind.digit());
            bytes.extend_from_slice(data);
            Message { is_text: true, bytes: bytes.into() }
        };
        if let Some(data) = self.pong.take() {
            return Some(text(Kind::Pong, &data));
        }
        std::mem::take(&mut self.ping).then(|| text(Kind::Ping, b""))
    }

    /// Whether the session itself has something to say.
    pub fn has_output(&self) -> bool {
        self.pong.is_some() || self.ping
    }

    /// How long the server took to answer, if it has answered a ping since the last call. Revision 4 has no ping of the
    /// client.
    pub fn round_trip(&mut self) -> Option<Duration> {
        self.round_trip.take()
    }

    /// When to call [`Self::tick`].
    pub fn deadline(&self) -> Option<Instant> {
        let opened = self.opened.as_ref()?;
        Some(match self.revision {
            Revision::Three => opened.silent.min(opened.next_ping),
            Revision::Four => opened.silent,
        })
    }

    /// Time has passed. Gives whether the server has been silent for so long that the session is over.
    pub fn tick(&mut self, now: Instant) -> bool {
        let Some(opened) = &mut self.opened else {
            return false;
        };
        if now >= opened.silent {
            return true;
        }
        if self.revision == Revision::Three && now >= opened.next_ping {
            self.ping = true;
            opened.pinged.get_or_insert(now);
            // What the timer was late by is not made up for.
            opened.next_ping = now + opened.beat.interval;
            opened.silent = opened.silent.min(now + opened.beat.timeout);
        }
        false
    }
}

impl Opened {
    fn new(now: Instant, beat: Beat) -> Self {
        Self {
            beat,
            silent: now + beat.interval + beat.timeout,
            next_ping: now + beat.interval,
            pinged: None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Revision::{Four, Three};

    const OPEN: &str = r#"0{"sid":"a-b_c","upgrades":["websocket"],"pingInterval":25000,"pingTimeout":20000,"maxPayload":7,"pid":"x"}"#;

    fn text(text: &str) -> Message {
        Message { is_text: true, bytes: Bytes::copy_from_slice(text.as_bytes()) }
    }

    struct Test {
        socket: ClientSocket,
        start: Instant,
        now: Instant,
    }

    impl Test {
        fn opened(revision: Revision) -> Self {
            let start = Instant::now();
            let mut test = Self { socket: ClientSocket::new(revision), start, now: start };
            assert_eq!(test.socket.deadline(), None);
            let heard = test.hears(OPEN).unwrap();
            assert!(matches!(heard, Some(Heard::Opened(_))) && test.socket.is_open());
            test
        }

        fn hears(&mut self, message: &str) -> Result<Option<Heard>, ClientError> {
            self.socket.receive(self.now, text(message))
        }

        fn said(&mut self) -> Vec<String> {
            let said = std::iter::from_fn(|| self.socket.transmit());
            said.map(|it| String::from_utf8(it.bytes.to_vec()).unwrap()).collect()
        }

        /// Lets seconds pass since the start, and gives whether it is over then, and what is said.
        fn at(&mut self, s: u64) -> (bool, Vec<String>) {
            self.now = self.start + Duration::from_secs(s);
            let is_over = self.socket.tick(self.now);
            (is_over, self.said())
        }

        fn due(&self) -> u64 {
            self.socket.deadline().unwrap().duration_since(self.start).as_secs()
        }
    }

    fn nothing() -> (bool, Vec<String>) {
        (false, Vec::new())
    }

    #[test]
    fn an_open_packet_says_what_there_is_to_know() {
        let open = Open::of(&text(OPEN)).unwrap();
        let beat = Beat {
            interval: Duration::from_secs(25),
            timeout: Duration::from_secs(20),
            payload_bytes_max: 7,
        };
        assert_eq!(open, Open { sid: "a-b_c".into(), can_upgrade: true, beat });
        let older =
            Open::parse(br#"{"sid":"x","upgrades":[],"pingInterval":0,"pingTimeout":99e9}"#);
        assert_eq!(older, Err(OpenError::Malformed), "a time is a whole number");
        let older = br#"{"sid":"x","pingInterval":0,"pingTimeout":99999999999999}"#;
        let older = Open::parse(older).unwrap();
        assert_eq!((older.beat.interval, older.beat.timeout), (BEAT_MIN, BEAT_MAX));
        assert_eq!((older.can_upgrade, older.beat.payload_bytes_max), (false, 1_000_000));
        for wrong in ["", "0", "0[]", "0{}", "0null", "40", "1", "0{\"sid\":1}"] {
            assert_eq!(Open::of(&text(wrong)), Err(OpenError::Malformed), "{wrong}");
        }
        for sid in [String::new(), "x".repeat(256)] {
            let text = format!(r#"{{"sid":"{sid}","pingInterval":1,"pingTimeout":1}}"#);
            assert_eq!(Open::parse(text.as_bytes()), Err(OpenError::Sid(sid.len())));
        }
        assert_eq!(Open::parse(&[b' '; OPEN_BYTES_MAX + 1]), Err(OpenError::Malformed));
        let bytes = Message { is_text: false, ..text(OPEN) };
        assert_eq!(Open::of(&bytes), Err(OpenError::Malformed));
    }

    #[test]
    fn nothing_comes_before_the_session_is_open_and_it_opens_once() {
        for (message, kind) in [("4x", Kind::Message), ("2", Kind::Ping), ("6", Kind::Noop)] {
            let mut socket = ClientSocket::new(Four);
            let heard = socket.receive(Instant::now(), text(message));
            assert_eq!(heard, Err(ClientError::Direction(kind)));
        }
        let mut socket = ClientSocket::new(Four);
        assert_eq!(socket.receive(Instant::now(), text("1")), Ok(Some(Heard::Closed)));
        let mut test = Test::opened(Four);
        assert_eq!(test.hears(OPEN), Err(ClientError::Direction(Kind::Open)));
    }

    #[test]
    fn in_revision_4_the_server_beats() {
        let mut test = Test::opened(Four);
        assert_eq!((test.at(40), test.due()), (nothing(), 45));
        assert_eq!(test.hears("2a"), Ok(None));
        assert_eq!(test.hears("2b"), Ok(None));
        assert_eq!((test.said(), test.due()), (vec!["3b".to_owned()], 85));
        assert_eq!(test.at(84), nothing());
        assert_eq!(test.at(85), (true, vec![]));
        let mut test = Test::opened(Four);
        assert_eq!(test.hears("3"), Err(ClientError::Direction(Kind::Pong)));
        let large = format!("2{}", "x".repeat(PING_BYTES_MAX + 1));
        assert_eq!(test.hears(&large), Err(ClientError::LargePing));
    }

    #[test]
    fn in_revision_3_the_client_beats() {
        let mut test = Test::opened(Three);
        assert_eq!((test.at(24), test.due()), (nothing(), 25));
        assert_eq!(test.at(25), (false, vec!["2".to_owned()]));
        assert_eq!(test.due(), 45);
        test.at(27);
        assert_eq!(test.hears("3"), Ok(None));
        assert_eq!(test.socket.round_trip(), Some(Duration::from_secs(2)));
        assert_eq!(test.due(), 50);
        assert_eq!(test.at(50), (false, vec!["2".to_owned()]));
        assert_eq!(test.at(69), nothing());
        assert_eq!(test.at(70), (true, vec![]));
        let mut test = Test::opened(Three);
        assert_eq!(test.hears("2"), Err(ClientError::Direction(Kind::Ping)));
    }

    #[test]
    fn messages_are_slices_of_what_came() {
        for revision in [Three, Four] {
            let mut test = Test::opened(revision);
            let message = text("4hello");
            let at = message.bytes[1..].as_ptr();
            let heard = test.socket.receive(test.now, message);
            let Ok(Some(Heard::Text(text))) = heard else { panic!("{heard:?}") };
            assert_eq!((&text[..], text.as_ptr()), (&b"hello"[..], at));
            let bytes = [packet::binary_header(revision), b"\0\x01"].concat().into();
            let heard = test.socket.receive(test.now, Message { is_text: false, bytes });
            assert_eq!(heard, Ok(Some(Heard::Binary(Bytes::from_static(b"\0\x01")))));
            assert_eq!(test.hears("1"), Ok(Some(Heard::Closed)));
            assert_eq!((test.hears("6"), test.said()), (Ok(None), vec![]));
        }
    }
}
