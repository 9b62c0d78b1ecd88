//! Small data for many who lag, kept once: one piece behind the other.
//!
//! A receiver that keeps up gets a copy of small data, which costs less than counting it. The copies for
//! one that lags would fill its outbox. It gets a part of a segment instead, which all that lag share, and
//! which is charged to their channel.

use crate::ledger::{Common, SharedCharge};
use bytes::{Bytes, BytesMut};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError, Weak};

/// What one holds at most.
const SEGMENT_BYTES: usize = 16 * 1024;

/// For so many kinds of receivers a channel has segments at a time; the others get copies.
const TAILS_MAX: usize = 64;

/// Data that grows at its end until it is full.
#[derive(Debug)]
pub(crate) struct Segment {
    open: Mutex<Open>,
    /// Once it is full.
    whole: OnceLock<Bytes>,
}

#[derive(Debug)]
struct Open {
    bytes: BytesMut,
    charge: Option<SharedCharge>,
}

impl Segment {
    fn new(common: &Common) -> Self {
        let charge = Some(common.hold(SEGMENT_BYTES));
        let open = Mutex::new(Open { bytes: BytesMut::with_capacity(SEGMENT_BYTES), charge });
        Self { open, whole: OnceLock::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        // Its state is consistent between any two statements that could panic.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a piece, and gives where it begins. Without room for it, it is full.
    fn append(&self, piece: &[u8]) -> Option<usize> {
        let mut open = self.lock();
        let from = open.bytes.len();
        if from + piece.len() > SEGMENT_BYTES {
            if let Some(charge) = open.charge.take() {
                let bytes = open.bytes.split().freeze();
                self.whole.get_or_init(|| charge.with(bytes));
            }
            return None;
        }
        // What is full has no charge any more, and is not appended to.
        open.charge.as_ref()?;
        open.bytes.extend_from_slice(piece);
        Some(from)
    }
}

/// A part of a segment.
#[derive(Debug, Clone)]
pub(crate) struct Logged {
    segment: Arc<Segment>,
    from: usize,
    to: usize,
}

impl Logged {
    pub(crate) fn len(&self) -> usize {
        self.to - self.from
    }

    /// Takes in what follows directly. Gives whether it does.
    pub(crate) fn grow(&mut self, next: &Self) -> bool {
        let follows = self.to == next.from && Arc::ptr_eq(&self.segment, &next.segment);
        if follows {
            self.to = next.to;
        }
        follows
    }

    /// Its bytes: a copy as long as the segment grows.
    pub(crate) fn bytes(&self) -> Bytes {
        let open = self.segment.lock();
        match self.segment.whole.get() {
            Some(whole) => whole.slice(self.from..self.to),
            None => Bytes::copy_from_slice(&open.bytes[self.from..self.to]),
        }
    }
}

/// The segments of a channel that still grow, one for each kind of receivers.
#[derive(Debug)]
pub(crate) struct Tails<K>(Vec<(K, Weak<Segment>)>);

impl<K> Default for Tails<K> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<K: PartialEq> Tails<K> {
    /// Adds a piece for the receivers of a kind, where there is a place for them.
    pub(crate) fn add(&mut self, common: &Common, key: K, piece: &[u8]) -> Option<Logged> {
        let known = self.0.iter().position(|(known, _)| *known == key);
        let segment = known.and_then(|index| self.0[index].1.upgrade());
        if let Some(segment) = segment
            && let Some(from) = segment.append(piece)
        {
            return Some(Logged { segment, from, to: from + piece.len() });
        }
        // Those of the others that nobody holds any more.
        self.0.retain(|(known, segment)| *known != key && segment.strong_count() > 0);
        if self.0.len() >= TAILS_MAX || piece.len() > SEGMENT_BYTES {
            return None;
        }
        let segment = Arc::new(Segment::new(common));
        let from = segment.append(piece)?;
        self.0.push((key, Arc::downgrade(&segment)));
        Some(Logged { segment, from, to: from + piece.len() })
    }
}
