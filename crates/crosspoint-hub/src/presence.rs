//! Who has come and gone, told to many at once.
//!
//! What one change costs for each who hears of it is small, and is paid again and again where
//! thousands come together. So changes of a large group are gathered for a moment, told together, and
//! encoded once for all whose protocol and envelope are the same.

use crate::command::Peer;
use crate::ids::MemberNumber;
use crate::reason::Reason;
use crate::wire::{FrameWriter, Prefix};
use bytes::Bytes;
use std::fmt;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

/// Up to so many who hear of it, a change is told at once.
const SMALL_GROUP: usize = 64;

/// For how long the changes of a larger group are gathered, for each who hears of them.
const GATHERED: Duration = Duration::from_micros(50);

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

/// Another member of a room is there, or has gone.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OtherNews {
    /// Its number.
    pub member: MemberNumber,
    /// Who it is, or why it has gone.
    pub news: Result<Peer, Reason>,
}

/// News that many hear, in order.
pub struct News<T> {
    /// What happened.
    pub list: Vec<T>,
    encoded: Mutex<Vec<Encoded>>,
}

/// The frames of all news for one kind of receivers.
struct Encoded {
    key: (Option<Prefix>, u32),
    bytes: Bytes,
    ends: Arc<[usize]>,
}

impl<T> News<T> {
    pub(crate) fn new(list: Vec<T>) -> Arc<Self> {
        Arc::new(Self { list, encoded: Mutex::default() })
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
        if self.list.len() <= from + FEW {
            for (index, news) in self.list.iter().enumerate().skip(from) {
                if Some(index) != but {
                    frame(news, out);
                }
            }
            return;
        }
        let (bytes, ends) = self.encoded(out.prefix(), key, frame);
        let begin = |index: usize| if index == 0 { 0 } else { ends[index - 1] };
        let end = begin(ends.len());
        match but.filter(|but| (from..ends.len()).contains(but)) {
            Some(but) => {
                out.piece(bytes.slice(begin(from)..begin(but)));
                out.piece(bytes.slice(ends[but]..end));
            }
            None => out.piece(bytes.slice(begin(from)..end)),
        }
    }

    fn encoded(
        &self,
        prefix: Option<Prefix>,
        key: u32,
        frame: impl Fn(&T, &mut FrameWriter),
    ) -> (Bytes, Arc<[usize]>) {
        let address = |prefix: Option<Prefix>| prefix.map(|prefix| prefix as usize);
        let mut all = self.encoded.lock().unwrap_or_else(PoisonError::into_inner);
        let is = |known: &&Encoded| known.key.1 == key && address(known.key.0) == address(prefix);
        if let Some(known) = all.iter().find(is) {
            return (known.bytes.clone(), known.ends.clone());
        }
        let mut writer = FrameWriter::new(prefix);
        let mut ends = Vec::with_capacity(self.list.len());
        for news in &self.list {
            frame(news, &mut writer);
            ends.push(writer.len());
        }
        let encoded = writer.take();
        let bytes = match encoded.rest.is_empty() {
            true => encoded.first,
            false => encoded.pieces().flat_map(|piece| piece.iter().copied()).collect(),
        };
        let ends: Arc<[usize]> = ends.into();
        all.push(Encoded { key: (prefix, key), bytes: bytes.clone(), ends: ends.clone() });
        (bytes, ends)
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
