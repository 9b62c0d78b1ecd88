//! Joins the pieces of large packets, within bounds (section 3).

use super::packet::{Kind, Packet};
use bytes::Bytes;
use std::time::{Duration, Instant};

/// What may wait for its last piece.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Bytes of text in all. The memory in use is little more.
    pub bytes_max: usize,
    /// Packets at once.
    pub packets_max: usize,
    /// The time from one piece of a packet to its next.
    pub time_max: Duration,
    /// The time from the first piece of a packet to its last, however many there are.
    pub whole_time_max: Duration,
}

impl Default for Bounds {
    /// 32 MiB, 16 packets, one minute from piece to piece, ten in all.
    fn default() -> Self {
        Self {
            bytes_max: 32 << 20,
            packets_max: 16,
            time_max: Duration::from_secs(60),
            whole_time_max: Duration::from_secs(600),
        }
    }
}

/// Why pieces cannot be joined. The link should end: what was left out would be missing in the middle.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PieceError {
    /// Too much text.
    #[error("more than {0} bytes in unfinished packets; send smaller ones, or raise the limit")]
    TooLarge(usize),
    /// Too many packets.
    #[error("more than {0} unfinished packets; finish one before the next, or raise the limit")]
    TooMany(usize),
    /// The next piece did not come in time.
    #[error("the next piece of packet {0} did not come in time")]
    Late(i32),
    /// The last piece did not come in time.
    #[error("packet {0} was not complete in time; send smaller ones, or raise the limit")]
    Slow(i32),
    /// Pieces of different kinds have the same number.
    #[error("packet {0} has pieces of different types")]
    MixedKinds(i32),
    /// Kinds whose bodies are small.
    #[error("only LINK and INTERNAL packets come in pieces")]
    NotInPieces,
}

/// The unfinished packets of one link.
#[derive(Debug, Default)]
pub struct Reassembly {
    open: Vec<Open>,
    bytes: usize,
}

#[derive(Debug)]
struct Open {
    seq: i32,
    kind: Kind,
    text: Text,
    /// When its next piece has to be here.
    next_until: Instant,
    /// When its last one has to be here.
    whole_until: Instant,
}

/// Text that comes in pieces. They are copied, since a small piece could keep a large message in
/// memory, and the memory does not grow by doubling.
#[derive(Debug, Default)]
struct Text(Vec<Vec<u8>>);

impl Text {
    /// Pieces are put together as long as that makes no more than this.
    const TOGETHER_BYTES_MAX: usize = 64 * 1024;

    fn add(&mut self, piece: &[u8]) {
        match self.0.last_mut() {
            Some(last) if last.len() + piece.len() <= Self::TOGETHER_BYTES_MAX => {
                last.extend_from_slice(piece);
            }
            _ => self.0.push(piece.to_vec()),
        }
    }

    fn join(self) -> Bytes {
        self.0.concat().into()
    }
}

impl Open {
    fn until(&self) -> Instant {
        self.next_until.min(self.whole_until)
    }
}

impl Reassembly {
    const GRACE: Duration = Duration::from_secs(1);

    /// Takes a packet or piece. Gives the packet if it is complete.
    ///
    /// # Errors
    /// [`PieceError`]
    pub fn push(
        &mut self,
        now: Instant,
        bounds: &Bounds,
        packet: Packet,
    ) -> Result<Option<Packet>, PieceError> {
        if self.open.is_empty() && packet.last {
            return Ok(Some(packet));
        }
        let Packet { last, kind, seq, body } = packet;
        let place = self.open.iter().position(|open| open.seq == seq);
        let Some(place) = place else {
            if last {
                return Ok(Some(Packet { last, kind, seq, body }));
            }
            return self.open(now, bounds, kind, seq, &body).map(|()| None);
        };
        if self.open[place].kind != kind {
            return Err(PieceError::MixedKinds(seq));
        }
        self.count(bounds, body.len())?;
        let open = &mut self.open[place];
        open.text.add(&body);
        if !last {
            open.next_until = now + bounds.time_max;
            return Ok(None);
        }
        let body = self.open.swap_remove(place).text.join();
        self.bytes -= body.len();
        if self.open.is_empty() {
            self.open = Vec::new();
        }
        Ok(Some(Packet { last, kind, seq, body }))
    }

    fn open(
        &mut self,
        now: Instant,
        bounds: &Bounds,
        kind: Kind,
        seq: i32,
        body: &[u8],
    ) -> Result<(), PieceError> {
        if !matches!(kind, Kind::Link | Kind::Internal) {
            return Err(PieceError::NotInPieces);
        }
        if self.open.len() >= bounds.packets_max {
            return Err(PieceError::TooMany(bounds.packets_max));
        }
        self.count(bounds, body.len())?;
        let (next_until, whole_until) = (now + bounds.time_max, now + bounds.whole_time_max);
        let mut text = Text::default();
        text.add(body);
        self.open.push(Open { seq, kind, text, next_until, whole_until });
        Ok(())
    }

    fn count(&mut self, bounds: &Bounds, more: usize) -> Result<(), PieceError> {
        if more > bounds.bytes_max.saturating_sub(self.bytes) {
            return Err(PieceError::TooLarge(bounds.bytes_max));
        }
        self.bytes += more;
        Ok(())
    }

    /// Nobody has listened for so long: pieces may come as much later.
    pub fn unheard(&mut self, time: Duration) {
        for open in &mut self.open {
            open.next_until += time;
            open.whole_until += time;
        }
    }

    /// Nobody listens now, so that nothing is late within a second.
    pub fn wait_longer(&mut self, now: Instant) {
        for open in &mut self.open {
            open.next_until = open.next_until.max(now + Self::GRACE);
            open.whole_until = open.whole_until.max(now + Self::GRACE);
        }
    }

    /// When [`Self::tick`] has something to say, unless a piece comes before.
    pub fn deadline(&self) -> Option<Instant> {
        self.open.iter().map(Open::until).min()
    }

    /// Looks whether a piece is late.
    ///
    /// # Errors
    /// [`PieceError::Late`], [`PieceError::Slow`]
    pub fn tick(&self, now: Instant) -> Result<(), PieceError> {
        match self.open.iter().find(|open| open.until() <= now) {
            Some(open) if open.whole_until <= now => Err(PieceError::Slow(open.seq)),
            Some(open) => Err(PieceError::Late(open.seq)),
            None => Ok(()),
        }
    }

    /// Bytes of unfinished packets.
    pub fn bytes(&self) -> usize {
        self.bytes
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::HashMap;

    const BOUNDS: Bounds = Bounds {
        bytes_max: 10,
        packets_max: 2,
        time_max: Duration::from_secs(9),
        whole_time_max: Duration::from_secs(20),
    };

    fn piece(seq: i32, body: &'static str, last: bool) -> Packet {
        Packet { last, kind: Kind::Link, seq, body: body.into() }
    }

    #[test]
    fn each_bound_is_kept_to_its_edge() {
        let now = Instant::now();
        let later = now + Duration::from_secs(5);
        let mut joins = Reassembly::default();
        let mut push = |at, piece| joins.push(at, &BOUNDS, piece);
        assert_eq!(push(now, piece(1, "abcd", false)), Ok(None));
        assert_eq!(push(now, piece(2, "efghi", false)), Ok(None));
        assert_eq!(push(now, piece(3, "", false)), Err(PieceError::TooMany(2)));
        assert_eq!(push(now, piece(2, "jk", false)), Err(PieceError::TooLarge(10)));
        // A packet of its own needs no room, and its negative number is another one.
        let whole = piece(-1, "larger than there is room", true);
        assert_eq!(push(now, whole.clone()), Ok(Some(whole)));
        assert_eq!(push(later, piece(1, "e", false)), Ok(None));
        let internal = Packet { kind: Kind::Internal, ..piece(1, "", true) };
        assert_eq!(push(later, internal), Err(PieceError::MixedKinds(1)));
        let due = now + BOUNDS.time_max;
        assert_eq!(joins.deadline(), Some(due));
        assert_eq!(joins.tick(due - Duration::from_nanos(1)), Ok(()));
        assert_eq!(joins.tick(due), Err(PieceError::Late(2)));
        let heartbeat = Packet { kind: Kind::Heartbeat, ..piece(9, "", false) };
        assert_eq!(
            Reassembly::default().push(now, &BOUNDS, heartbeat),
            Err(PieceError::NotInPieces)
        );
    }

    #[test]
    fn empty_pieces_do_not_keep_a_packet_alive_for_ever() {
        let now = Instant::now();
        let mut joins = Reassembly::default();
        for second in [0, 8, 16] {
            let at = now + Duration::from_secs(second);
            assert_eq!(joins.tick(at), Ok(()));
            assert_eq!(joins.push(at, &BOUNDS, piece(1, "", false)), Ok(None));
        }
        let due = now + BOUNDS.whole_time_max;
        assert_eq!(joins.deadline(), Some(due));
        assert_eq!(joins.tick(due - Duration::from_nanos(1)), Ok(()));
        assert_eq!(joins.tick(due), Err(PieceError::Slow(1)));
    }

    #[test]
    fn what_nobody_has_listened_to_is_not_late() {
        let now = Instant::now();
        let mut joins = Reassembly::default();
        assert_eq!(joins.push(now, &BOUNDS, piece(1, "a", false)), Ok(None));
        let due = now + BOUNDS.time_max;
        joins.unheard(3 * BOUNDS.whole_time_max);
        let later = due + 3 * BOUNDS.whole_time_max;
        assert_eq!(joins.deadline(), Some(later));
        // As long as nobody listens it is looked at once a second, and the rest of the time comes after that.
        joins.wait_longer(later);
        assert_eq!(joins.deadline(), Some(later + Duration::from_secs(1)));
        assert_eq!(joins.tick(later), Ok(()));
        joins.wait_longer(now);
        assert_eq!(joins.tick(later + Duration::from_secs(1)), Err(PieceError::Late(1)));
    }

    proptest! {
        /// The numbers repeat, so that packets follow each other under the same one.
        #[test]
        fn pieces_of_many_packets_in_any_order_are_joined_by_number(
            pieces in proptest::collection::vec((-3..4i32, any::<bool>(), "[a-z]{0,9}"), 0..200),
        ) {
            let now = Instant::now();
            let bounds = Bounds { packets_max: 7, ..Bounds::default() };
            let mut joins = Reassembly::default();
            let mut model: HashMap<i32, String> = HashMap::new();
            for (seq, last, text) in pieces {
                let whole = model.entry(seq).or_default();
                *whole += &text;
                let wanted = last.then(|| model.remove(&seq).unwrap());
                let packet = Packet { last, kind: Kind::Link, seq, body: text.into() };
                let got = joins.push(now, &bounds, packet).unwrap();
                prop_assert_eq!(got.map(|packet| packet.body), wanted.map(Bytes::from));
                prop_assert_eq!(joins.bytes(), model.values().map(String::len).sum::<usize>());
            }
        }
    }
}
