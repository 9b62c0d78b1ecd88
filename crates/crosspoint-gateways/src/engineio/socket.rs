//! What a session says as long as it lives: how it opens, its heartbeat, and that it closes.
//!
//! A protocol above Engine.IO has one of these. It sees packets in messages of a WebSocket, whatever carries them.

use super::packet::{self, Kind, Packet, PacketError};
use super::{Revision, Sid};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::protocol::Activity;
use crosspoint_hub::wire::FrameWriter;
use std::time::{Duration, Instant};

/// What whoever carries a session over connections that come and go says in it when one is lost. It is no packet, and is
/// understood in sessions alone that are [carried](Socket::carried) so.
pub const AWAY: &[u8] = b"away";

/// What the client is told when a session opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Beat {
    /// Between two heartbeats.
    pub interval: Duration,
    /// How long an answer may take.
    pub timeout: Duration,
    /// The largest payload that the server takes in a request, in bytes. Revision 3 has no word for it.
    pub payload_bytes_max: u32,
}

/// The state of one session.
#[derive(Debug)]
pub struct Socket {
    revision: Revision,
    sid: Sid,
    /// Whether it began with requests, and may become a WebSocket.
    polled: bool,
    /// Whether others carry it over connections that come and go.
    carried: bool,
    beat: Beat,
    /// Revision 4: when to send the next heartbeat, or when its answer is late. Revision 3: when that of the client is
    /// late.
    due: Instant,
    awaits_answer: bool,
    /// When the first heartbeat was sent of those without an answer.
    pinged: Option<Instant>,
    round_trip: Option<Duration>,
}

/// What came for the user of the session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A message of text, which is UTF-8.
    Text(Bytes),
    /// A message of bytes.
    Binary(Bytes),
    /// The client has ended the session.
    Closed,
    /// The connection is lost, and the client may come back.
    Away,
}

/// Why a packet ends the session.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum SocketError {
    /// It is none.
    #[error(transparent)]
    Packet(#[from] PacketError),
    /// It is one that a client does not send, or not in this revision.
    #[error("a packet of the kind {0:?}, which the server sends and not the client")]
    Direction(Kind),
    /// The session is over this connection alone already.
    #[error("an upgrade of a session that has been upgraded, or needs none")]
    Upgrade,
}

impl Socket {
    /// The state of a session that a client has asked for now. `polled`: by a request that is no upgrade to WebSocket.
    pub fn new(now: Instant, revision: Revision, sid: Sid, polled: bool, beat: Beat) -> Self {
        let silence = match revision {
            Revision::Three => beat.interval + beat.timeout,
            Revision::Four => beat.interval,
        };
        Self {
            revision,
            sid,
            polled,
            carried: false,
            beat,
            due: now + silence,
            awaits_answer: false,
            pinged: None,
            round_trip: None,
        }
    }

    /// The same for a session that others carry over connections that come and go. They see to it that a connection
    /// lives, and say when it is lost ([`AWAY`]).
    #[must_use]
    pub fn carried(self) -> Self {
        Self { carried: true, ..self }
    }

    /// The revision that the client speaks.
    pub fn revision(&self) -> Revision {
        self.revision
    }

    /// The id of the session.
    pub fn sid(&self) -> &Sid {
        &self.sid
    }

    /// Writes the first packet, which is the first of all that is written.
    pub fn open(&self, out: &mut FrameWriter) {
        let upgrades = if self.polled { r#""websocket""# } else { "" };
        let (sid, Beat { interval, timeout, payload_bytes_max }) = (self.sid.text(), self.beat);
        let [interval, timeout] = [interval, timeout].map(|time| time.as_millis());
        let most = match self.revision {
            Revision::Three => String::new(),
            Revision::Four => format!(r#","maxPayload":{payload_bytes_max}"#),
        };
        let packet = format!(
            r#"0{{"sid":"{sid}","upgrades":[{upgrades}],"pingInterval":{interval},"pingTimeout":{timeout}{most}}}"#
        );
        out.small(packet.as_bytes());
    }

    /// Takes a message of the WebSocket, and answers it if that is all it wants. `None`: it was nothing for the user
    /// of the session, and counts as an idle frame
    /// ([`Protocol::idle_frames`](crosspoint_hub::protocol::Protocol::idle_frames)). Nothing is copied.
    ///
    /// # Errors
    /// [`SocketError`]: the session has to end.
    pub fn receive(
        &mut self,
        now: Instant,
        is_text: bool,
        message: Bytes,
        out: &mut FrameWriter,
    ) -> Result<Option<Incoming>, SocketError> {
        if self.carried && is_text && message == AWAY {
            return Ok(Some(Incoming::Away));
        }
        let packet = packet::parse(self.revision, is_text, message)?;
        if self.revision == Revision::Three {
            self.due = now + self.beat.interval + self.beat.timeout;
        }
        match (self.revision, packet) {
            (_, Packet::Text(Kind::Message, text)) => Ok(Some(Incoming::Text(text))),
            (_, Packet::Binary(bytes)) => Ok(Some(Incoming::Binary(bytes))),
            (Revision::Three, Packet::Text(Kind::Ping, data)) => {
                out.frame(&[Kind::Pong.digit()], &data);
                Ok(None)
            }
            (Revision::Four, Packet::Text(Kind::Pong, _)) => {
                self.round_trip =
                    self.pinged.take().map(|sent| now.saturating_duration_since(sent));
                self.awaits_answer = false;
                self.due = now + self.beat.interval;
                Ok(None)
            }
            (_, Packet::Text(Kind::Noop, _)) => Ok(None),
            (_, Packet::Text(Kind::Close, _)) => Ok(Some(Incoming::Closed)),
            (_, Packet::Text(Kind::Upgrade, _)) => Err(SocketError::Upgrade),
            (_, Packet::Text(kind @ (Kind::Open | Kind::Ping | Kind::Pong), _)) => {
                Err(SocketError::Direction(kind))
            }
        }
    }

    /// What stands before the bytes of a binary message
    /// ([`FrameWriter::binary_frame`](crosspoint_hub::wire::FrameWriter)).
    pub fn binary_header(&self) -> &'static [u8] {
        packet::binary_header(self.revision)
    }

    /// How long the client took to answer, if it has answered a heartbeat since the last call.
    pub fn round_trip(&mut self) -> Option<Duration> {
        self.round_trip.take()
    }

    /// The client was not listened to for so long
    /// ([`Protocol::unheard`](crosspoint_hub::protocol::Protocol::unheard)).
    pub fn unheard(&mut self, time: Duration) {
        if self.awaits_client() {
            self.due += time;
        }
    }

    /// When to call [`Self::tick`]. A client that is within a large message cannot answer, and need not.
    pub fn deadline(&self, activity: Activity) -> Instant {
        match (self.revision, self.awaits_answer) {
            (Revision::Three, _) => {
                self.due.max(activity.read + self.beat.interval + self.beat.timeout)
            }
            (Revision::Four, true) => self.due.max(activity.read + self.beat.timeout),
            (Revision::Four, false) => self.due,
        }
    }

    /// Time has passed. Gives a reason if the session is over.
    pub fn tick(
        &mut self,
        now: Instant,
        activity: Activity,
        out: &mut FrameWriter,
    ) -> Option<Reason> {
        if now < self.deadline(activity) {
            return None;
        }
        if self.awaits_client() && !self.carried {
            return Some(Reason::HeartbeatLost);
        }
        self.awaits_answer = false;
        // What a timer is late by as usual is not added up.
        let is_usual = now.saturating_duration_since(self.due) <= self.beat.timeout / 20;
        self.ping(now, if is_usual { self.due } else { now }, out);
        None
    }

    /// Sends a heartbeat now, to which anything that comes is an answer. Gives whether this revision has a heartbeat
    /// of the server ([`Protocol::probe`](crosspoint_hub::protocol::Protocol::probe)).
    pub fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> bool {
        let has_one = self.revision == Revision::Four;
        if has_one {
            self.ping(now, now, out);
        }
        has_one
    }

    /// The time to answer begins with `from`.
    fn ping(&mut self, now: Instant, from: Instant, out: &mut FrameWriter) {
        out.small(&[Kind::Ping.digit()]);
        self.pinged.get_or_insert(now);
        if !self.awaits_answer {
            self.awaits_answer = true;
            self.due = from + self.beat.timeout;
        }
    }

    /// Whether the session ends if nothing comes.
    fn awaits_client(&self) -> bool {
        self.revision == Revision::Three || self.awaits_answer
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Revision::{Four, Three};

    const BEAT: Beat = Beat {
        interval: Duration::from_secs(25),
        timeout: Duration::from_secs(20),
        payload_bytes_max: 1_000_000,
    };

    /// A socket, what it has written, and the time.
    struct Test {
        socket: Socket,
        out: FrameWriter,
        start: Instant,
        now: Instant,
        read: Instant,
    }

    impl Test {
        fn new(revision: Revision, polled: bool) -> Self {
            let start = Instant::now();
            let socket = Socket::new(start, revision, Sid::from_bits([0; 16]), polled, BEAT);
            Self { socket, out: FrameWriter::default(), start, now: start, read: start }
        }

        /// What was written since the last time. The writer has no envelope.
        fn written(&mut self) -> String {
            let written: Vec<u8> = self.out.take().pieces().flatten().copied().collect();
            String::from_utf8(written).unwrap()
        }

        fn text(&mut self, text: &'static str) -> Result<Option<Incoming>, SocketError> {
            self.read = self.now;
            self.socket.receive(self.now, true, text.into(), &mut self.out)
        }

        fn activity(&self) -> Activity {
            Activity { read: self.read, written: None }
        }

        /// Lets seconds pass since the start, and gives what comes of that.
        fn at(&mut self, s: u64) -> (Option<Reason>, String) {
            self.now = self.start + Duration::from_secs(s);
            let activity = self.activity();
            let ended = self.socket.tick(self.now, activity, &mut self.out);
            (ended, self.written())
        }

        /// Seconds from the start to the deadline.
        fn due(&self) -> u64 {
            self.socket.deadline(self.activity()).duration_since(self.start).as_secs()
        }
    }

    fn nothing() -> (Option<Reason>, String) {
        (None, String::new())
    }

    #[test]
    fn the_open_packet_says_what_the_revision_and_the_transport_have() {
        let sid = "A".repeat(22);
        let beat = r#""pingInterval":25000,"pingTimeout":20000"#;
        for (revision, polled, upgrades, most) in [
            (Four, false, "", r#","maxPayload":1000000"#),
            (Four, true, r#""websocket""#, r#","maxPayload":1000000"#),
            (Three, false, "", ""),
            (Three, true, r#""websocket""#, ""),
        ] {
            let mut test = Test::new(revision, polled);
            test.socket.open(&mut test.out);
            let packet = format!(r#"0{{"sid":"{sid}","upgrades":[{upgrades}],{beat}{most}}}"#);
            assert_eq!(test.written(), packet);
        }
    }

    #[test]
    fn messages_are_slices_of_what_came() {
        for revision in [Three, Four] {
            let mut test = Test::new(revision, false);
            let message = Bytes::from_static(b"4hello");
            let incoming = test.socket.receive(test.now, true, message.clone(), &mut test.out);
            let Ok(Some(Incoming::Text(text))) = incoming else { panic!("{incoming:?}") };
            assert_eq!(text, "hello");
            assert_eq!(text.as_ptr(), message[1..].as_ptr());

            let message = Bytes::from([test.socket.binary_header(), b"\0\x01"].concat());
            let incoming = test.socket.receive(test.now, false, message, &mut test.out);
            assert_eq!(incoming, Ok(Some(Incoming::Binary(Bytes::from_static(b"\0\x01")))));
            assert_eq!(test.text("1"), Ok(Some(Incoming::Closed)));
            assert_eq!(test.text("6"), Ok(None));
            assert_eq!(test.written(), "");
        }
    }

    #[test]
    fn what_a_client_does_not_send_ends_the_session() {
        let (open, ping, pong) = (Kind::Open, Kind::Ping, Kind::Pong);
        let direction = |kind| Err(SocketError::Direction(kind));
        for (revision, text, outcome) in [
            (Four, "0", direction(open)),
            (Three, "0{}", direction(open)),
            (Four, "2", direction(ping)),
            (Three, "3", direction(pong)),
            (Four, "5", Err(SocketError::Upgrade)),
            (Three, "5", Err(SocketError::Upgrade)),
            (Four, "7", Err(PacketError::UnknownKind(b'7').into())),
            (Three, "", Err(PacketError::Empty.into())),
        ] {
            let mut test = Test::new(revision, true);
            assert_eq!(test.text(text), outcome, "{revision:?} {text}");
            assert_eq!(test.written(), "");
        }
    }

    #[test]
    fn in_revision_4_the_server_beats_and_the_client_answers() {
        let mut test = Test::new(Four, false);
        assert_eq!(test.due(), 25);
        assert_eq!(test.at(24), nothing());
        assert_eq!(test.at(25), (None, "2".into()));
        assert_eq!((test.at(26), test.due()), (nothing(), 45));
        test.at(27);
        assert_eq!(test.text("3"), Ok(None));
        assert_eq!(test.socket.round_trip(), Some(Duration::from_secs(2)));
        assert_eq!(test.socket.round_trip(), None);
        assert_eq!(test.due(), 52, "an interval behind the answer");
        // One second is what a timer may be late by.
        assert_eq!(test.at(53), (None, "2".into()));
        assert_eq!((test.text("3"), test.due()), (Ok(None), 78));
        assert_eq!((test.at(79), test.due()), ((None, "2".into()), 98));
        assert_eq!(test.text("3"), Ok(None));
        // The machine slept: the client still has its time to answer.
        assert_eq!(test.at(500), (None, "2".into()));
        assert_eq!(test.at(519), nothing());
        assert_eq!(test.at(520), (Some(Reason::HeartbeatLost), String::new()));
    }

    #[test]
    fn in_revision_3_the_client_beats_and_hears_its_data_again() {
        let mut test = Test::new(Three, true);
        assert_eq!((test.at(44), test.due()), (nothing(), 45));
        assert_eq!(test.text("2€"), Ok(None));
        assert_eq!((test.written(), test.due()), ("3€".into(), 44 + 45));
        test.at(50);
        assert!(test.text("4x").is_ok());
        assert_eq!((test.at(94), test.due()), (nothing(), 95), "any packet counts");
        assert_eq!(test.at(95), (Some(Reason::HeartbeatLost), String::new()));
    }

    #[test]
    fn a_client_that_cannot_answer_yet_is_not_given_up() {
        let mut test = Test::new(Four, false);
        assert_eq!(test.at(25), (None, "2".into()));
        // Some of a large message comes.
        test.read = test.start + Duration::from_secs(44);
        assert_eq!((test.at(45), test.due()), (nothing(), 64));
        // And nobody listens for a while.
        test.socket.unheard(Duration::from_secs(30));
        assert_eq!((test.at(64), test.due()), (nothing(), 75));
        assert_eq!(test.at(75), (Some(Reason::HeartbeatLost), String::new()));

        let mut test = Test::new(Four, false);
        test.socket.unheard(Duration::from_secs(30));
        assert_eq!(test.due(), 25, "nothing was awaited");
    }

    #[test]
    fn a_client_that_is_carried_may_be_away_and_hears_heartbeats_again_and_again() {
        let mut test = Test::new(Four, false);
        assert_eq!(test.text("away"), Err(PacketError::UnknownKind(b'a').into()));
        test.socket = test.socket.carried();
        assert_eq!(test.text("away"), Ok(Some(Incoming::Away)));
        let binary = test.socket.receive(test.now, false, "away".into(), &mut test.out);
        assert_eq!(binary, Ok(Some(Incoming::Binary("away".into()))));
        assert_eq!(test.at(25), (None, "2".into()));
        assert_eq!((test.at(44), test.due()), (nothing(), 45));
        assert_eq!(test.at(45), (None, "2".into()));
        assert_eq!((test.text("3"), test.due()), (Ok(None), 70));
    }

    #[test]
    fn revision_4_can_be_probed_and_the_answer_stays_due() {
        let mut test = Test::new(Four, false);
        test.at(10);
        assert!(test.socket.probe(test.now, &mut test.out));
        assert_eq!((test.written(), test.due()), ("2".into(), 30));
        test.at(15);
        assert!(test.socket.probe(test.now, &mut test.out));
        assert_eq!((test.written(), test.due()), ("2".into(), 30));
        assert_eq!(test.text("3"), Ok(None));
        assert_eq!(test.socket.round_trip(), Some(Duration::from_secs(5)));
        assert_eq!(test.due(), 40);

        let mut test = Test::new(Three, false);
        assert!(!test.socket.probe(test.now, &mut test.out));
        assert_eq!(test.written(), "");
    }
}
