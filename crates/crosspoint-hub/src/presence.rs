//! Who has come and gone, told to many at once.
//!
//! What one change costs for each who hears of it is small, and is paid again and again where
//! thousands come together. So changes of a large group are gathered for a moment, told together, and
//! encoded once for all whose protocol and envelope are the same.

use crate::encodings::{Encoding, Encodings};
use crate::ids::{MemberNumber, PeerId};
use crate::ledger::{Account, Charge, Purpose};
use crate::peer::Peer;
use crate::reason::Reason;
use crate::wire::{Envelope, FrameWriter};
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// Up to so many who hear of it, a change is told at once.
const SMALL_GROUP: usize = 64;

/// For how long the changes of a larger group are gathered, for each who hears of them.
const GATHERED: Duration = Duration::from_micros(50);

/// How many who hear of a change count as much as one message of the one who causes it.
const HEARERS_A_MESSAGE: usize = 32;

/// As how many messages a change counts, besides the command itself.
pub(crate) fn price(hearers: usize) -> u64 {
    (hearers / HEARERS_A_MESSAGE) as u64
}

/// How long it takes until a group hears of a change; `None` is at once.
pub(crate) fn delay(group: usize) -> Option<Duration> {
    let group = u32::try_from(group).unwrap_or(u32::MAX);
    let most = Duration::from_secs(1);
    (group as usize > SMALL_GROUP).then(|| GATHERED.saturating_mul(group).min(most))
}

/// A session with a name has come or gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PeerNews {
    /// Who.
    pub peer: Peer,
    /// Whether it has come.
    pub came: bool,
}

/// Who has come and gone since those who watch were told. Who goes and comes back meanwhile as the same, or
/// comes and goes, is no news. Only those who have begun to watch in between hear of that.
#[derive(Debug, Default)]
pub(crate) struct Comings {
    /// In order, without what is no news any more.
    list: Vec<Option<PeerNews>>,
    /// How many there are of them.
    count: usize,
    /// Where the last of each is.
    last: HashMap<PeerId, usize>,
    /// What is before this stays: somebody has begun to watch behind it.
    fixed: usize,
}

impl Comings {
    pub(crate) fn note(&mut self, peer: &Peer, came: bool) {
        let next = self.list.len();
        if let Some(place) = self.opposite(peer, came) {
            self.last.remove(&peer.id);
            self.list[place] = None;
            self.count -= 1;
            while self.list.len() > self.fixed && self.list.last().is_some_and(Option::is_none) {
                self.list.pop();
            }
            return;
        }
        self.list.push(Some(PeerNews { peer: peer.clone(), came }));
        self.count += 1;
        self.last.insert(peer.id, next);
    }

    /// Where the news are that are none any more if somebody comes, or goes.
    fn opposite(&self, peer: &Peer, came: bool) -> Option<usize> {
        let place = self.last.get(&peer.id).copied().filter(|place| *place >= self.fixed)?;
        let known = self.list[place].as_ref()?;
        (known.came != came && known.peer == *peer).then_some(place)
    }

    /// Whether it is no news that somebody comes, who has just gone.
    pub(crate) fn is_back(&self, peer: &Peer) -> bool {
        self.opposite(peer, true).is_some()
    }

    /// Whether there are no news.
    pub(crate) fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Somebody begins to watch. Gives what is behind the news that are not for that one.
    pub(crate) fn begin(&mut self) -> Begun {
        self.fixed = self.list.len();
        Begun { place: self.fixed, count: self.count }
    }

    /// What is new for one who has begun to watch then, in order.
    pub(crate) fn since(&self, begun: Begun) -> Vec<PeerNews> {
        self.list[begun.place..].iter().flatten().cloned().collect()
    }

    /// What is to be told to those who have begun meanwhile, in order.
    pub(crate) fn take(&mut self) -> Vec<PeerNews> {
        std::mem::take(self).list.into_iter().flatten().collect()
    }
}

/// Since when somebody watches, in what is gathered. By default from before that.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Begun {
    place: usize,
    /// How many news come before.
    pub(crate) count: usize,
}

/// What is new for those who have watched all the time, out of what is new for those who have begun meanwhile.
/// `None` if that is the same.
pub(crate) fn net(news: &[PeerNews]) -> Option<Vec<PeerNews>> {
    let mut net = Comings::default();
    news.iter().for_each(|news| net.note(&news.peer, news.came));
    (net.count < news.len()).then(|| net.take())
}

/// Another member of a room is there, or has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherNews {
    /// Its number.
    pub member: MemberNumber,
    /// Who it is, or why it has gone.
    pub news: Result<Peer, Reason>,
}

/// Which numbers of a room have changed hands since those who hear of it were told. Who leaves and comes
/// back meanwhile, or comes and leaves, is no news.
#[derive(Debug, Default)]
pub(crate) struct Changes {
    /// By the number: who had it when they were told, and why that one has gone.
    before: HashMap<u32, Option<(u64, Reason)>>,
    /// In the order in which they changed first.
    numbers: Vec<u32>,
}

impl Changes {
    /// A number has a holder that had none.
    pub(crate) fn came(&mut self, number: u32) {
        self.note(number, None);
    }

    /// The session that had a number has gone.
    pub(crate) fn went(&mut self, number: u32, session: u64, reason: Reason) {
        let before = self.note(number, Some((session, reason)));
        if let Some((known, known_reason)) = before
            && *known == session
        {
            *known_reason = reason;
        }
    }

    fn note(&mut self, number: u32, before: Option<(u64, Reason)>) -> &mut Option<(u64, Reason)> {
        let numbers = &mut self.numbers;
        self.before.entry(number).or_insert_with(|| {
            numbers.push(number);
            before
        })
    }

    /// Whether no number has changed hands.
    pub(crate) fn is_empty(&self) -> bool {
        self.numbers.is_empty()
    }

    /// What is to be told. `now` gives the session that has a number, and who it is.
    pub(crate) fn news(self, now: impl Fn(u32) -> Option<(u64, Peer)>) -> Vec<OtherNews> {
        let mut news = Vec::new();
        for number in self.numbers {
            let member = MemberNumber(number);
            let (before, now) = (self.before[&number], now(number));
            match (before, &now) {
                (Some((before, _)), Some((now, _))) if before == *now => continue,
                (Some((_, reason)), _) => news.push(OtherNews { member, news: Err(reason) }),
                (None, _) => {}
            }
            news.extend(now.map(|(_, peer)| OtherNews { member, news: Ok(peer) }));
        }
        news
    }
}

/// News that many hear, in order.
pub struct News<T> {
    /// What happened.
    pub list: Vec<T>,
    /// The frames that were written once for all, by their envelope and what else tells receivers apart.
    encodings: Encodings<(Option<usize>, u32), Charge>,
    /// For the list. The hub pays, as nobody has asked for news of somebody.
    charge: Charge,
}

impl<T> News<T> {
    pub(crate) fn new(list: Vec<T>, payer: &Arc<Account>) -> Arc<Self> {
        let charge = payer.charge(Purpose::Shared, list.capacity() * size_of::<T>());
        Arc::new(Self { list, encodings: Encodings::default(), charge })
    }

    /// Writes the news behind `from`, all but one. `key` tells receivers apart whose frames differ;
    /// `frame` writes the one frame of a piece of news.
    pub fn write(
        &self,
        key: u32,
        from: usize,
        but: Option<usize>,
        out: &mut FrameWriter,
        frame: impl Fn(&T, &mut FrameWriter),
    ) {
        const FEW: usize = 4;
        let envelope = out.envelope();
        let key = (envelope.map(|envelope| std::ptr::from_ref(envelope).addr()), key);
        let write = || self.encode(key, envelope, &frame);
        let many = self.list.len() > from + FEW;
        let frames =
            many.then(|| self.encodings.get(usize::MAX, |known| *known == key, write)).flatten();
        let Some(frames) = frames else {
            for (index, news) in self.list.iter().enumerate().skip(from) {
                if Some(index) != but {
                    frame(news, out);
                }
            }
            return;
        };
        let (bytes, begin) = (frames.bytes(), frames.range(from).start);
        match but.filter(|but| (from..self.list.len()).contains(but)) {
            Some(but) => {
                let but = frames.range(but);
                out.piece(bytes.slice(begin..but.start));
                out.piece(bytes.slice(but.end..));
            }
            None => out.piece(bytes.slice(begin..)),
        }
    }

    fn encode(
        &self,
        key: (Option<usize>, u32),
        envelope: Option<&'static Envelope>,
        frame: impl Fn(&T, &mut FrameWriter),
    ) -> Encoding<(Option<usize>, u32), Charge> {
        let mut writer = FrameWriter::new(envelope);
        let mut ends = Vec::with_capacity(self.list.len());
        for news in &self.list {
            frame(news, &mut writer);
            ends.push(writer.len());
        }
        let frames = writer.take();
        let bytes = match frames.rest.is_empty() {
            true => frames.first,
            false => frames.pieces().flat_map(|piece| piece.iter().copied()).collect(),
        };
        let charge = |bytes| self.charge.account().charge(Purpose::Shared, bytes);
        Encoding::new(key, bytes, ends, charge)
    }
}

impl<T: PartialEq> PartialEq for News<T> {
    fn eq(&self, other: &Self) -> bool {
        self.list == other.list
    }
}

impl<T: fmt::Debug> fmt::Debug for News<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(&self.list).finish()
    }
}
