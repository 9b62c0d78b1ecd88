//! The queue of an outbox: what waits, and how it stands with those who fill and empty it.

use super::entry::Entry;
use super::room::Senders;
use super::{Exceeded, Tag};
use crate::command::Event;
use crate::ledger::{Common, Tab};
use crate::reason::Reason;
use crate::segment::Logged;
use crate::stall::Stall;
use crate::wire::Encoded;
use bytes::{Bytes, BytesMut};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

/// How much an endpoint has taken since some time, and whether it was enough before.
pub(super) struct Pace {
    since: Instant,
    taken: usize,
    kept: bool,
}

impl Pace {
    /// How often it is judged.
    const TIME: Duration = Duration::from_secs(1);

    /// So many bytes were taken.
    pub(super) fn took(&mut self, bytes: usize) {
        self.taken += bytes;
    }
}

pub(super) struct Queue {
    pub(super) entries: VecDeque<Entry>,
    /// What the entries cost together, see [`Entry::cost`].
    pub(super) cost: usize,
    /// The bytes of them that are charged to their channels.
    pub(super) shared: usize,
    /// Which of the pieces that were taken out are such bytes, a bit for each.
    pub(super) shared_pieces: u64,
    /// What of the cost is charged.
    pub(super) tab: Tab,
    /// What a large message to this receiver alone, which was taken when there was room, may cost above the
    /// bound until it is written.
    pub(super) allowance: usize,
    /// Somebody has taken entries out and will come back. Nobody else may meanwhile.
    pub(super) busy: bool,
    /// The endpoint took no more at the last try; only the session's task tries again.
    pub(super) blocked: bool,
    /// Somebody will attend to this outbox soon.
    pub(super) touched: bool,
    pub(super) dead: Option<Reason>,
    /// For which bound it was ended.
    pub(super) exceeded: Option<Exceeded>,
    /// When bytes were last taken by the endpoint.
    pub(super) written: Option<Instant>,
    pub(super) stall: Stall,
    /// Who waits for room here.
    pub(super) senders: Senders,
    /// Up to when has come what senders may send that do not wait for room.
    pub(super) paid: Option<Instant>,
    /// How much the endpoint takes, as long as senders wait for it.
    pub(super) pace: Option<Pace>,
    /// The session ends: nothing is added any more, and its task alone writes what is left.
    pub(super) sealed: bool,
    /// Why the session has to end. Its task is told before anything else, so that nobody puts the
    /// end off by not reading.
    pub(super) ending: Option<Reason>,
    /// Its task came for one of the two while another thread was at it, and waits until that is
    /// done.
    pub(super) asked: bool,
}

/// How much of what waits is not charged as long as the endpoint takes what it gets.
const UNPAID_BYTES_MAX: usize = 32 * 1024;

/// What waits for an endpoint from which on copies of small data that goes to many are worth their
/// while no more.
const LAG_BYTES: usize = 64 * 1024;

impl Queue {
    pub(super) fn new(tab: Tab) -> Self {
        Self {
            entries: VecDeque::new(),
            cost: 0,
            shared: 0,
            shared_pieces: 0,
            tab,
            allowance: 0,
            busy: false,
            blocked: false,
            touched: false,
            dead: None,
            exceeded: None,
            written: None,
            stall: Stall::default(),
            senders: Senders::default(),
            paid: None,
            pace: None,
            sealed: false,
            ending: None,
            asked: false,
        }
    }

    /// Something was added. It is charged when it seems to stay.
    pub(super) fn pay(&mut self) {
        let unpaid = if self.blocked { Tab::FREE_BYTES } else { UNPAID_BYTES_MAX };
        if self.cost > self.tab.paid() + unpaid {
            self.tab.settle(self.cost);
        }
    }

    /// Something has left, or was put in its place.
    pub(super) fn settle(&mut self) {
        match self.blocked || self.tab.paid() > 0 {
            true => self.tab.settle(self.cost),
            false => self.pay(),
        }
        self.shrink();
    }

    /// Gives the memory of a peak back.
    fn shrink(&mut self) {
        let capacity = self.entries.capacity();
        if capacity > 64 && self.entries.len() < capacity / 8 {
            self.entries.shrink_to(capacity / 4);
        }
    }

    /// All that waits, in bytes.
    pub(super) fn waits(&self) -> usize {
        self.cost + self.shared
    }

    /// Takes out the event that is first, if one is.
    pub(super) fn pop_event(&mut self) -> Option<(Tag, Box<Event>)> {
        if let Some(Entry::Run(run)) = self.entries.front_mut() {
            let (event, bytes) = run.pop()?;
            self.shared -= bytes;
            if run.is_over() {
                self.cost -= self.entries.pop_front().map_or(0, |entry| entry.cost());
            }
            return Some((Tag::default(), event));
        }
        match self.entries.pop_front() {
            Some(Entry::Event(tag, event)) => {
                self.cost -= Entry::event_cost(&event);
                Some((tag, event))
            }
            Some(data) => {
                self.entries.push_front(data);
                None
            }
            None => None,
        }
    }

    pub(super) fn add_all(&mut self, data: &Encoded) {
        data.pieces().for_each(|piece| self.add_bytes(piece));
    }

    /// Adds data that goes to many, the large pieces of which are charged to their channel. `logged` gives
    /// small data as it is charged there too, for an endpoint that lags.
    pub(super) fn add_shared(&mut self, data: &Encoded, logged: impl FnOnce() -> Option<Logged>) {
        if self.lags()
            && let Some(logged) = logged()
        {
            return self.add_logged(logged);
        }
        for piece in data.pieces() {
            match Common::is_charged(piece) {
                true => self.add(Entry::Shared(piece.clone())),
                false => self.add_bytes(piece),
            }
        }
    }

    /// Whether the endpoint lags so much that even small data for many is shared.
    pub(super) fn lags(&self) -> bool {
        self.waits() >= LAG_BYTES
    }

    fn add_logged(&mut self, logged: Logged) {
        if let Some(Entry::Logged(last)) = self.entries.back_mut()
            && last.grow(&logged)
        {
            self.shared += logged.len();
            return;
        }
        self.add(Entry::Logged(logged));
    }

    /// Adds data. Small pieces are copied behind each other: for them that costs less than an
    /// entry of their own here and in the system call.
    pub(super) fn add_bytes(&mut self, piece: &Bytes) {
        const SMALL_BYTES_MAX: usize = 1024;
        // Its capacity is what it costs, and grows in leaps.
        const GATHERED_BYTES_MAX: usize = 4 * 1024;
        if piece.len() <= SMALL_BYTES_MAX {
            match self.entries.back_mut() {
                Some(Entry::Gathered(gathered))
                    if gathered.len() + piece.len() <= GATHERED_BYTES_MAX =>
                {
                    let held = gathered.capacity();
                    gathered.extend_from_slice(piece);
                    self.cost += gathered.capacity() - held;
                    return;
                }
                Some(last @ Entry::Bytes(_)) => {
                    if let Entry::Bytes(first) = last
                        && first.len() <= SMALL_BYTES_MAX
                    {
                        let held = first.len();
                        let mut gathered = BytesMut::with_capacity(
                            (2 * (held + piece.len())).min(GATHERED_BYTES_MAX),
                        );
                        gathered.extend_from_slice(first);
                        gathered.extend_from_slice(piece);
                        self.cost += gathered.capacity() - held;
                        *last = Entry::Gathered(gathered);
                        return;
                    }
                }
                _ => {}
            }
        }
        self.add(Entry::Bytes(piece.clone()));
    }

    /// A message of so many bytes, to this receiver alone, is not to end it. The protocol may write it with
    /// two digits for each byte, and a little more.
    pub(super) fn allow(&mut self, bytes: usize) {
        self.allowance = self.allowance.max(3 * bytes);
    }

    pub(super) fn add(&mut self, entry: Entry) {
        self.cost += entry.cost();
        self.shared += entry.shared();
        self.entries.push_back(entry);
    }

    /// So many bytes were taken just now. To count as one that reads, the endpoint has to take what
    /// waits, or as much as `enough`.
    pub(super) fn took(&mut self, now: Instant, bytes: usize, enough: usize) {
        let mut stall = std::mem::take(&mut self.stall);
        match self.entries.is_empty() {
            true => stall.end(),
            false => stall.took(now, bytes, || self.waits().min(enough)),
        }
        self.stall = stall;
    }

    /// Whether the endpoint takes as many bytes in a second as senders wait for. It is judged each second, and
    /// counts as one that does until then.
    pub(super) fn keeps_pace(&mut self, now: Instant, rate: u64) -> bool {
        let pace = self.pace.get_or_insert(Pace { since: now, taken: 0, kept: true });
        let time = now.saturating_duration_since(pace.since);
        if time >= Pace::TIME {
            let wanted = u128::from(rate) * time.as_micros() / 1_000_000;
            *pace = Pace { since: now, taken: 0, kept: pace.taken as u128 >= wanted };
        }
        pace.kept
    }
}
