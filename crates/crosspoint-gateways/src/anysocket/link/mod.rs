//! One link between two peers: a connection, or a proxied link through a hub (sections 3, 5, 7, 8).
//!
//! It numbers what is sent, keeps its order, cuts and joins large packets, knows which requests wait
//! for replies, answers probes, and encrypts once both sides have switched (`switching`). Its user hands in
//! packets with [`Link::receive`], asks [`Link::transmit`] for those to write until there are none, and
//! calls [`Link::tick`] at [`Link::deadline`].
//!
//! Order is kept where the original lets small packets overtake large ones. Own packets wait from the
//! call for encryption on until it is there, where the original sends some of them in clear.

mod error;
mod queue;
mod switching;

pub use error::{LinkError, SendError};

use super::cipher::{CipherError, Random, Switch};
use super::id::Id;
use super::packet::{HEADER_BYTES_MAX, Header, Kind, Packet};
use super::pending::Pending;
use super::reassembly::{Bounds, PieceError, Reassembly};
use super::split::{PIECE_UNITS_MAX, piece_bytes};
use crate::value::Json;
use bytes::Bytes;
use crosspoint_hub::PeerId;
use queue::{Entry, Queue};
use std::sync::Arc;
use std::time::{Duration, Instant};
use switching::Switching;

/// How links behave; shared by many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// UTF-16 units of text in a packet before it is cut into pieces: 2 to 1048576.
    pub piece_units_max: usize,
    /// What may wait for its last piece.
    pub pieces: Bounds,
    /// Requests that wait for replies.
    pub requests_max: usize,
    /// Packets that wait for [`Link::transmit`].
    pub queue_max: usize,
    /// Bytes of text that wait for [`Link::transmit`]; a single packet is always taken.
    pub queue_bytes_max: usize,
    /// How long the other side may take to answer the call for encryption.
    pub switch_time_max: Duration,
    /// Whether falsy values are sent as they are; the original sends `{}` for them.
    pub keep_falsy: bool,
    /// Whether both calling at once is guarded against as the original does not: SWITCH packets have the field by
    /// which two peers of this kind tell a call from an answer, which the original skips, and our call comes behind
    /// a question for the clock, by whose answer that of an original is told.
    pub mark_switch: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            piece_units_max: PIECE_UNITS_MAX,
            pieces: Bounds::default(),
            requests_max: 4096,
            queue_max: 4096,
            queue_bytes_max: 32 << 20,
            switch_time_max: Duration::from_secs(5),
            keep_falsy: false,
            mark_switch: true,
        }
    }
}

/// What names a request when it is answered; given out once for each.
#[derive(Debug, PartialEq, Eq, Hash)]
pub struct Ticket {
    kind: Kind,
    seq: i32,
}

impl Ticket {
    /// The ticket of a message as a number above 0, for those who keep no table. `None` for that of an
    /// INTERNAL packet.
    pub(super) fn into_number(self) -> Option<u32> {
        (self.kind == Kind::Link).then_some(self.seq.unsigned_abs())
    }

    /// The ticket of a message from its number.
    pub(super) fn from_number(number: u32) -> Option<Self> {
        let seq = i32::try_from(number).ok().filter(|seq| *seq > 0)?;
        Some(Self { kind: Kind::Link, seq })
    }
}

/// What has come.
#[derive(Debug, PartialEq, Eq)]
pub enum Received<T> {
    /// Who the other side is; see [`super::auth`].
    Auth(Json),
    /// The application's message. Whether an answer is wanted cannot be seen.
    Message {
        /// What was said. Text that is no JSON counts as null.
        body: Json,
        /// For [`Link::reply`]. A packet without a number cannot be answered.
        ticket: Option<Ticket>,
    },
    /// What the library says; see [`super::internal`].
    Internal {
        /// Its body.
        body: Json,
        /// For [`Link::reply`].
        ticket: Option<Ticket>,
    },
    /// The answer to one of our requests.
    Reply {
        /// As it was given to [`Link::request`].
        token: T,
        /// What was answered.
        body: Json,
    },
    /// Everything is encrypted from now on.
    Encrypted {
        /// The same on both sides, unless somebody sits in the middle.
        fingerprint: [u8; 32],
    },
}

/// Counts of what was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Dropped {
    /// Replies that came late, twice, or unasked.
    pub replies: u64,
    /// Messages that were no JSON, and were handed up as null.
    pub texts: u64,
}

/// What may be sent now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sending {
    Plain,
    /// Our call for encryption has left; nothing until its answer.
    Held,
    /// What came may be an answer or a call; nothing until that is known.
    Doubtful,
    Sealed,
}

/// See the module's documentation. `T` is what the owner of a request wants back with the reply.
#[derive(Debug)]
pub struct Link<T> {
    config: Arc<Config>,
    ours: PeerId,
    theirs: Option<Id>,
    /// The last number given.
    seq: i32,
    queue: Queue,
    probe: bool,
    answer: bool,
    /// The other side has answered a probe.
    answered: bool,
    sending: Sending,
    /// Whether an encrypted packet has come; a plain heartbeat may precede it.
    heard_sealed: bool,
    switch: Switch,
    switching: Switching,
    joins: Reassembly,
    pending: Pending<T>,
    dropped: Dropped,
}

impl<T> Link<T> {
    /// A link of which nothing has been said. `ours` is the own id.
    pub fn new(config: Arc<Config>, ours: PeerId) -> Self {
        Self {
            config,
            ours,
            theirs: None,
            seq: 0,
            queue: Queue::default(),
            probe: false,
            answer: false,
            answered: false,
            sending: Sending::Plain,
            heard_sealed: false,
            switch: Switch::Plain,
            switching: Switching::default(),
            joins: Reassembly::default(),
            pending: Pending::default(),
            dropped: Dropped::default(),
        }
    }

    /// Says who the other side is: after its AUTH, or at once on a proxied link. Before, heartbeats and calls for
    /// encryption are errors.
    pub fn set_peer(&mut self, id: Id) {
        self.theirs = Some(id);
    }

    /// The other side.
    pub fn peer(&self) -> Option<&Id> {
        self.theirs.as_ref()
    }

    /// Whether both sides have switched to encryption.
    pub fn is_encrypted(&self) -> bool {
        matches!(self.switch, Switch::Sealed(_))
    }

    /// The fingerprint of the keys, if both sides have switched to encryption.
    pub fn fingerprint(&self) -> Option<[u8; 32]> {
        match &self.switch {
            Switch::Sealed(sealed) => Some(*sealed.fingerprint()),
            _ => None,
        }
    }

    /// What was dropped so far.
    pub fn dropped(&self) -> Dropped {
        self.dropped
    }

    /// Requests that wait for replies.
    pub fn waiting(&self) -> usize {
        self.pending.len()
    }

    /// The number of what was sent last; 0 before that. Requests are named so in [`Self::forget`].
    pub fn last_number(&self) -> i32 {
        self.seq
    }

    /// Gives up a request, whose reply will be dropped.
    pub fn forget(&mut self, number: i32) -> Option<T> {
        self.pending.forget(number.unsigned_abs())
    }

    /// Bytes that wait for [`Self::transmit`] or for their last piece.
    pub fn buffered(&self) -> usize {
        self.queue.bytes() + self.joins.bytes()
    }

    /// Sends the own AUTH.
    ///
    /// # Errors
    /// [`SendError::Full`]
    pub fn authenticate(&mut self, body: Json) -> Result<(), SendError> {
        self.put(Kind::Auth, body)
    }

    /// Sends the application's message.
    ///
    /// # Errors
    /// [`SendError::Full`]
    pub fn send(&mut self, body: Json) -> Result<(), SendError> {
        let body = self.truthy(body);
        self.put(Kind::Link, body)
    }

    /// Sends an INTERNAL packet that has no answer.
    ///
    /// # Errors
    /// [`SendError::Full`]
    pub fn send_internal(&mut self, body: Json) -> Result<(), SendError> {
        self.put(Kind::Internal, body)
    }

    /// Sends the application's message, which waits for its reply until `deadline`.
    ///
    /// # Errors
    /// [`SendError`]; the token is lost.
    pub fn request(&mut self, body: Json, deadline: Instant, token: T) -> Result<(), SendError> {
        let body = self.truthy(body);
        self.ask(Kind::Link, body, deadline, token)
    }

    /// As [`Self::request`] for an INTERNAL packet.
    ///
    /// # Errors
    /// As [`Self::request`].
    pub fn request_internal(
        &mut self,
        body: Json,
        deadline: Instant,
        token: T,
    ) -> Result<(), SendError> {
        self.ask(Kind::Internal, body, deadline, token)
    }

    /// Answers a request.
    ///
    /// # Errors
    /// [`SendError::Full`]
    pub fn reply(&mut self, ticket: Ticket, body: Json) -> Result<(), SendError> {
        let Ticket { kind, seq } = ticket;
        let body = self.truthy(body);
        self.room(&body)?;
        self.queue.push(Entry::new(kind, -seq, body));
        Ok(())
    }

    /// Sends a probe, which the other side answers at once; see [`super::heartbeat`].
    pub fn probe(&mut self) {
        self.probe = true;
    }

    /// Whether a probe was answered since this was called last.
    pub fn take_answered(&mut self) -> bool {
        std::mem::take(&mut self.answered)
    }

    fn ask(
        &mut self,
        kind: Kind,
        body: Json,
        deadline: Instant,
        token: T,
    ) -> Result<(), SendError> {
        if self.pending.len() >= self.config.requests_max {
            return Err(SendError::TooManyRequests(self.config.requests_max));
        }
        self.room(&body)?;
        let seq = self.number();
        self.pending.insert(seq.unsigned_abs(), kind, deadline, token);
        self.queue.push(Entry::new(kind, seq, body));
        Ok(())
    }

    fn put(&mut self, kind: Kind, body: Json) -> Result<(), SendError> {
        self.room(&body)?;
        let seq = self.number();
        self.queue.push(Entry::new(kind, seq, body));
        Ok(())
    }

    fn truthy(&self, body: Json) -> Json {
        if self.config.keep_falsy { body } else { body.or_empty() }
    }

    fn room(&self, body: &Json) -> Result<(), SendError> {
        let Config { queue_max, queue_bytes_max, .. } = *self.config;
        let bytes = self.queue.bytes().saturating_add(body.as_bytes().len());
        let full = bytes > queue_bytes_max || self.queue.len() >= queue_max.max(1);
        if full && self.queue.len() > 0 { Err(SendError::Full) } else { Ok(()) }
    }

    /// The next number: 1 follows 2147483647, and one under which a request waits is left out.
    fn number(&mut self) -> i32 {
        loop {
            self.seq = self.seq.checked_add(1).unwrap_or(1);
            if self.pending.is_empty() || !self.pending.contains(self.seq.unsigned_abs()) {
                return self.seq;
            }
        }
    }

    /// The next packet to write. Probes and their answers overtake the pieces of large packets, nothing else
    /// overtakes anything.
    ///
    /// # Errors
    /// [`CipherError`] if it cannot be encrypted; the link should end.
    pub fn transmit(&mut self, random: &mut dyn Random) -> Result<Option<Packet>, CipherError> {
        if matches!(self.sending, Sending::Held | Sending::Doubtful) {
            return Ok(None);
        }
        if self.answer || self.probe {
            let body = if std::mem::take(&mut self.answer) {
                ANSWER
            } else {
                self.probe = false;
                PROBE
            };
            let seq = self.number();
            let body = Bytes::from_static(body);
            let packet = Packet { last: true, kind: Kind::Heartbeat, seq, body };
            return self.seal(random, packet).map(Some);
        }
        let Some(entry) = self.queue.first().filter(|_| !self.switching.is_early()) else {
            return Ok(None);
        };
        let length = match entry.kind {
            Kind::Link | Kind::Internal => {
                let units = self.config.piece_units_max.clamp(2, PIECE_UNITS_MAX);
                piece_bytes(&entry.rest, units)
            }
            // Other packets come in one piece, see `Reassembly`.
            _ => entry.rest.len(),
        };
        let (kind, seq, then) = (entry.kind, entry.seq, entry.then);
        let (body, last) = self.queue.take(length);
        let packet = Packet { last, kind, seq, body };
        // SWITCH itself is always readable.
        if let Some(then) = then {
            self.sending = then;
            return Ok(Some(packet));
        }
        self.seal(random, packet).map(Some)
    }

    /// Whether what is sent is encrypted.
    pub(super) fn is_sealed(&self) -> bool {
        self.sending == Sending::Sealed
    }

    /// Whether what is sent now leaves at once and in clear.
    pub(super) fn is_clear(&self) -> bool {
        let waits = self.answer || self.probe || self.queue.len() > 0;
        self.sending == Sending::Plain && !waits && !self.switching.is_early()
    }

    /// The header of a message of the application, where it leaves at once, in clear and in one piece: the user
    /// writes it, and behind it the text of so many bytes, which is that of an object. It may be shared with others.
    /// `None`: the message has to be [sent](Self::send).
    pub(super) fn begin(&mut self, bytes: usize) -> Option<Header<HEADER_BYTES_MAX>> {
        let piece = self.config.piece_units_max.clamp(2, PIECE_UNITS_MAX);
        if bytes > piece || !self.is_clear() {
            return None;
        }
        let seq = self.number();
        Some(Packet { last: true, kind: Kind::Link, seq, body: Bytes::new() }.header())
    }

    /// Takes a packet that has come. `None` is nothing for the application.
    ///
    /// # Errors
    /// [`LinkError`]; the link should end.
    pub fn receive(
        &mut self,
        now: Instant,
        random: &mut dyn Random,
        packet: Packet,
    ) -> Result<Option<Received<T>>, LinkError> {
        let packet = match packet.kind {
            Kind::Link | Kind::Internal => self.open(packet)?,
            Kind::Auth => packet,
            Kind::Heartbeat => return self.heartbeat(packet).map(|()| None),
            Kind::Switch => return self.switched(now, random, &packet).map(Some),
        };
        let Some(packet) = self.joins.push(now, &self.config.pieces, packet)? else {
            return Ok(None);
        };
        let Packet { kind, seq, body, .. } = packet;
        let body = match (Json::parse(body), kind) {
            (Ok(body), _) => body,
            (Err(_), Kind::Link) => {
                self.dropped.texts += 1;
                Json::NULL
            }
            (Err(error), _) => return Err(LinkError::NotJson(kind, error)),
        };
        if kind == Kind::Auth {
            return Ok(Some(Received::Auth(body)));
        }
        if seq < 0 {
            if kind == Kind::Internal && self.switching.answers(seq) {
                return Ok(None);
            }
            let Some(token) = self.pending.take(seq.unsigned_abs(), kind) else {
                self.dropped.replies += 1;
                return Ok(None);
            };
            return Ok(Some(Received::Reply { token, body }));
        }
        let ticket = (seq > 0).then_some(Ticket { kind, seq });
        Ok(Some(match kind {
            Kind::Internal => Received::Internal { body, ticket },
            _ => Received::Message { body, ticket },
        }))
    }

    fn heartbeat(&mut self, packet: Packet) -> Result<(), LinkError> {
        if self.theirs.is_none() {
            return Err(LinkError::TooEarly(packet.kind));
        }
        if !packet.last {
            return Err(PieceError::NotInPieces.into());
        }
        // The original may have sent a plain one between its call and our answer.
        let plain = !self.heard_sealed && matches!(&packet.body[..], PROBE | ANSWER);
        let packet = if plain { packet } else { self.open(packet)? };
        self.answer |= packet.body == PROBE;
        self.answered |= packet.body == ANSWER;
        Ok(())
    }

    /// The other side was not listened to for so long, which does not count for what it has not sent whole.
    pub fn unheard(&mut self, time: Duration) {
        self.joins.unheard(time);
    }

    /// When to call [`Self::tick`] and [`Self::expired`].
    pub fn deadline(&mut self) -> Option<Instant> {
        let deadlines = [self.pending.deadline(), self.joins.deadline(), self.switching.deadline()];
        deadlines.into_iter().flatten().min()
    }

    /// Looks whether something is late for which the link should end. Then there may be packets to write.
    ///
    /// # Errors
    /// [`LinkError`]
    pub fn tick(&mut self, now: Instant) -> Result<(), LinkError> {
        self.tick_switch(now)?;
        Ok(self.joins.tick(now)?)
    }

    /// The next request whose time is over; its reply will be dropped. Ask until there is none.
    pub fn expired(&mut self, now: Instant) -> Option<T> {
        self.pending.expired(now)
    }

    /// All requests that wait, when the link has ended.
    pub fn abandon(&mut self) -> impl Iterator<Item = T> + use<T> {
        self.pending.drain()
    }

    /// Gives memory back that is kept for the next request, if none waits. For links that go idle.
    pub fn release_buffers(&mut self) {
        self.pending.release_buffers();
    }
}

const PROBE: &[u8] = b"1";
const ANSWER: &[u8] = b"2";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anysocket::cipher::SystemRandom;

    #[test]
    fn after_the_largest_number_comes_1_and_numbers_that_wait_are_left_out() {
        let now = Instant::now();
        let mut link = Link::new(Arc::default(), PeerId::new([1; 16]));
        for token in 1..=2 {
            link.request(Json::EMPTY, now, token).unwrap();
        }
        link.seq = i32::MAX - 1;
        for token in 3..=4 {
            link.request(Json::EMPTY, now, token).unwrap();
        }
        link.send(Json::EMPTY).unwrap();
        let mut sent = || link.transmit(&mut SystemRandom).unwrap();
        let seqs: Vec<i32> = std::iter::from_fn(|| sent().map(|packet| packet.seq)).collect();
        assert_eq!(seqs, [1, 2, i32::MAX, 3, 4]);
        for (seq, token) in [(-i32::MAX, Some(3)), (i32::MIN, None), (-3, Some(4)), (-3, None)] {
            let packet = Packet { last: true, kind: Kind::Link, seq, body: "1".into() };
            let heard = link.receive(now, &mut SystemRandom, packet).unwrap();
            let body = Json::parse("1".into()).unwrap();
            assert_eq!(heard, token.map(|token| Received::Reply { token, body }), "{seq}");
        }
        assert_eq!(link.dropped(), Dropped { replies: 2, texts: 0 });
    }
}
