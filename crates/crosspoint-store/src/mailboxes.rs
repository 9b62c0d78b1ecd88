//! The bounds of what is kept.

use crate::messages::{Change, Entry, Kept, MessageStore, StoreError};
use bytes::Bytes;
use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

/// How much is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// The most messages for one client.
    pub client_messages_max: usize,
    /// The most bytes for one client.
    pub client_bytes_max: u64,
    /// The most messages in all. Each takes about 150 bytes of memory besides those of the store.
    pub messages_max: usize,
    /// The most bytes in all.
    pub bytes_max: u64,
    /// How long a message is kept, by the clock of the system; `None` for ever.
    pub time_max: Option<Duration>,
}

impl Default for Bounds {
    /// 1000 messages and 1 MiB for a client, 100,000 and 64 MiB in all, for a week.
    fn default() -> Self {
        Self {
            client_messages_max: 1000,
            client_bytes_max: 1 << 20,
            messages_max: 100_000,
            bytes_max: 64 << 20,
            time_max: Some(Duration::from_secs(7 * 24 * 60 * 60)),
        }
    }
}

/// Which bound is reached.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Bound {
    /// [`Bounds::client_messages_max`]
    ClientMessages,
    /// [`Bounds::client_bytes_max`]
    ClientBytes,
    /// [`Bounds::messages_max`]
    Messages,
    /// [`Bounds::bytes_max`]
    Bytes,
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::ClientMessages => "messages for this client",
            Self::ClientBytes => "bytes for this client",
            Self::Messages => "messages in all",
            Self::Bytes => "bytes in all",
        })
    }
}

/// Why a message is not kept.
#[derive(Debug, Clone, thiserror::Error)]
pub enum KeepError {
    /// A bound is reached. What was kept before stays.
    #[error("the message is not kept: the most {0} are kept already")]
    Full(Bound),
    /// The store has failed. If that was when it was written down, it may be kept all the same.
    #[error(transparent)]
    Store(#[from] StoreError),
}

impl From<Bound> for KeepError {
    fn from(bound: Bound) -> Self {
        Self::Full(bound)
    }
}

/// A message that is due to be delivered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Due {
    /// Its number.
    pub number: u64,
    /// What it says.
    pub data: Bytes,
    /// When its time is over, in milliseconds since 1970; [`u64::MAX`] for never.
    pub until_ms: u64,
}

/// Messages for clients, within bounds.
///
/// Changes count at once and are written down together by [`commit`](Self::commit), because a disk takes about as long for
/// many as for one. Nothing is confirmed before that. After a commit that has failed, what the store has is counted anew.
#[derive(Debug)]
pub struct Mailboxes<S> {
    store: S,
    /// Whether the counts may be other than what the store has.
    is_stale: bool,
    /// How often all was counted.
    surveys: u64,
    bounds: Bounds,
    entries: BTreeMap<u64, Entry>,
    /// How much there is for each client.
    clients: HashMap<Arc<str>, Usage>,
    bytes: u64,
    next: u64,
    /// What was changed and is not written down.
    pending: Vec<Change>,
}

#[derive(Debug, Clone, Copy, Default)]
struct Usage {
    messages: usize,
    bytes: u64,
}

impl<S: MessageStore> Mailboxes<S> {
    /// With what a store has. If that is more than the bounds allow, it stays, and nothing is added.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn open(store: S, bounds: Bounds) -> Result<Self, StoreError> {
        let mut mailboxes = Self {
            store,
            is_stale: true,
            surveys: 0,
            bounds,
            entries: BTreeMap::new(),
            clients: HashMap::new(),
            bytes: 0,
            next: 0,
            pending: Vec::new(),
        };
        mailboxes.survey()?;
        Ok(mailboxes)
    }

    /// Counts what the store has, if that is not known.
    fn survey(&mut self) -> Result<(), StoreError> {
        if !self.is_stale {
            return Ok(());
        }
        let mut all = Vec::new();
        let next = self.store.survey(&mut |entry| all.push(entry))?;
        self.entries.clear();
        self.clients.clear();
        (self.bytes, self.next) = (0, self.next.max(next));
        for mut entry in all {
            // One text for all messages of a client.
            if let Some((known, _)) = self.clients.get_key_value(&entry.to) {
                entry.to = known.clone();
            }
            self.next = self.next.max(entry.number.saturating_add(1));
            self.add(entry);
        }
        self.is_stale = false;
        self.surveys += 1;
        Ok(())
    }

    /// How often all that the store has was counted. If that was done anew, there may be messages for others than before.
    pub fn surveys(&self) -> u64 {
        self.surveys
    }

    /// Keeps a message, which gets a number, as soon as that is [committed](Self::commit).
    ///
    /// # Errors
    /// [`KeepError`]
    pub fn keep(&mut self, now_ms: u64, to: &str, data: Bytes) -> Result<u64, KeepError> {
        self.survey()?;
        let usage = self.clients.get(to).copied().unwrap_or_default();
        let Bounds { client_messages_max, client_bytes_max, messages_max, bytes_max, .. } =
            self.bounds;
        let bytes = u32::try_from(data.len()).map_err(|_| Bound::ClientBytes)?;
        let more = u64::from(bytes);
        for (is_full, bound) in [
            (usage.messages >= client_messages_max, Bound::ClientMessages),
            (usage.bytes + more > client_bytes_max, Bound::ClientBytes),
            (self.entries.len() >= messages_max, Bound::Messages),
            (self.bytes + more > bytes_max, Bound::Bytes),
        ] {
            if is_full {
                return Err(bound.into());
            }
        }
        let to = match self.clients.get_key_value(to) {
            Some((known, _)) => known.clone(),
            None => to.into(),
        };
        let number = self.next;
        self.next += 1;
        let entry = Entry { to, number, since_ms: now_ms, bytes };
        self.add(entry.clone());
        self.pending.push(Change::Keep { entry, data });
        Ok(number)
    }

    /// Forgets a message for a client. Gives whether it was there.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn forget(&mut self, to: &str, number: u64) -> Result<bool, StoreError> {
        self.survey()?;
        let is_there = self.entries.get(&number).is_some_and(|entry| *entry.to == *to);
        if is_there {
            self.remove_pending(number);
        }
        Ok(is_there)
    }

    /// Forgets messages whose time is over. Gives how many.
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn expire(&mut self, now_ms: u64) -> Result<usize, StoreError> {
        self.survey()?;
        // Numbers go up with time, unless the clock was set back: then some wait for those before them.
        let over = self.entries.values().take_while(|entry| self.until_ms(entry) <= now_ms);
        let over: Vec<_> = over.map(|entry| entry.number).collect();
        over.iter().for_each(|number| self.remove_pending(*number));
        Ok(over.len())
    }

    /// When the first message is to be [forgotten](Self::expire), in milliseconds since 1970.
    pub fn expires_ms(&self) -> Option<u64> {
        let (_, first) = self.entries.first_key_value()?;
        self.bounds.time_max.map(|_| self.until_ms(first))
    }

    fn until_ms(&self, entry: &Entry) -> u64 {
        let time_max = self.bounds.time_max.and_then(|max| u64::try_from(max.as_millis()).ok());
        time_max.map_or(u64::MAX, |time_max| entry.since_ms.saturating_add(time_max))
    }

    /// Whether there is something to [commit](Self::commit).
    pub fn is_pending(&self) -> bool {
        !self.pending.is_empty()
    }

    /// Writes down what was changed.
    ///
    /// # Errors
    /// [`StoreError`]: all of it, or nothing, may have been written down. What the store has is counted anew, now or before
    /// anything else is done.
    pub fn commit(&mut self) -> Result<(), StoreError> {
        if self.pending.is_empty() {
            return Ok(());
        }
        let changes = std::mem::take(&mut self.pending);
        let applied = self.store.apply(&changes);
        if applied.is_err() {
            self.is_stale = true;
            // If this fails too, the next who wants something hears it.
            let _ = self.survey();
        }
        applied
    }

    /// The messages for a client that are written down and whose time is not over, see [`MessageStore::read`].
    ///
    /// # Errors
    /// [`StoreError`]
    pub fn read(
        &mut self,
        now_ms: u64,
        to: &str,
        mut from: u64,
        bytes_max: usize,
    ) -> Result<Vec<Due>, StoreError> {
        self.survey()?;
        while self.clients.contains_key(to) {
            let kept = self.store.read(to, from, bytes_max)?;
            let Some(last) = kept.last() else { break };
            from = last.number.saturating_add(1);
            let due = kept.into_iter().filter_map(|Kept { number, data }| {
                let until_ms = self.until_ms(self.entries.get(&number)?);
                (until_ms > now_ms).then_some(Due { number, data, until_ms })
            });
            let due: Vec<_> = due.collect();
            if !due.is_empty() {
                return Ok(due);
            }
        }
        Ok(Vec::new())
    }

    /// For whom there are messages.
    pub fn clients(&self) -> impl Iterator<Item = &Arc<str>> {
        self.clients.keys()
    }

    /// Whether there are messages for a client.
    pub fn has(&self, to: &str) -> bool {
        self.clients.contains_key(to)
    }

    /// How many messages and bytes there are in all.
    pub fn usage(&self) -> (usize, u64) {
        (self.entries.len(), self.bytes)
    }

    fn add(&mut self, entry: Entry) {
        let usage = self.clients.entry(entry.to.clone()).or_default();
        usage.messages += 1;
        usage.bytes += u64::from(entry.bytes);
        self.bytes += u64::from(entry.bytes);
        self.entries.insert(entry.number, entry);
    }

    fn remove(&mut self, number: u64) -> Option<Entry> {
        let entry = self.entries.remove(&number)?;
        self.bytes -= u64::from(entry.bytes);
        if let Some(usage) = self.clients.get_mut(&entry.to) {
            usage.messages -= 1;
            usage.bytes -= u64::from(entry.bytes);
            if usage.messages == 0 {
                self.clients.remove(&entry.to);
            }
        }
        Some(entry)
    }

    fn remove_pending(&mut self, number: u64) {
        if let Some(entry) = self.remove(number) {
            self.pending.push(Change::Forget { to: entry.to, number });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Memory;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const BOUNDS: Bounds = Bounds {
        client_messages_max: 3,
        client_bytes_max: 10,
        messages_max: 5,
        bytes_max: 15,
        time_max: Some(Duration::from_secs(1)),
    };

    fn mailboxes() -> Mailboxes<Memory> {
        Mailboxes::open(Memory::default(), BOUNDS).unwrap()
    }

    fn texts<S: MessageStore>(mailboxes: &mut Mailboxes<S>, to: &str) -> Vec<String> {
        let kept = mailboxes.read(0, to, 0, usize::MAX).unwrap();
        kept.into_iter().map(|kept| String::from_utf8(kept.data.to_vec()).unwrap()).collect()
    }

    #[test]
    fn messages_are_kept_in_order_until_they_are_forgotten() {
        let mut mailboxes = mailboxes();
        let first = mailboxes.keep(0, "ann", "a".into()).unwrap();
        mailboxes.keep(0, "bob", "b".into()).unwrap();
        mailboxes.keep(0, "ann", "c".into()).unwrap();
        mailboxes.commit().unwrap();
        assert_eq!(texts(&mut mailboxes, "ann"), ["a", "c"]);
        assert_eq!(mailboxes.read(0, "ann", first + 1, usize::MAX).unwrap().len(), 1);
        // At least one, however large it is.
        assert_eq!(mailboxes.read(0, "ann", 0, 0).unwrap().len(), 1);
        assert!(!mailboxes.forget("bob", first).unwrap());
        assert!(mailboxes.forget("ann", first).unwrap());
        assert!(!mailboxes.forget("ann", first).unwrap());
        mailboxes.commit().unwrap();
        assert_eq!(texts(&mut mailboxes, "ann"), ["c"]);
        assert_eq!(mailboxes.usage(), (2, 2));
    }

    #[test]
    fn each_bound_refuses_what_comes_and_keeps_what_is_there() {
        let mut mailboxes = mailboxes();
        let mut keep = |to: &str, data: &str| match mailboxes.keep(0, to, data.to_owned().into()) {
            Ok(_) => None,
            Err(KeepError::Full(bound)) => Some(bound),
            Err(error) => panic!("{error}"),
        };
        assert_eq!(keep("ann", "12345678901"), Some(Bound::ClientBytes));
        assert_eq!(keep("ann", "1234567890"), None);
        assert_eq!(keep("ann", "1"), Some(Bound::ClientBytes));
        assert_eq!(keep("bob", "123456"), Some(Bound::Bytes));
        assert_eq!(keep("ann", ""), None);
        assert_eq!(keep("ann", ""), None);
        assert_eq!(keep("ann", ""), Some(Bound::ClientMessages));
        assert_eq!(keep("bob", ""), None);
        assert_eq!(keep("bob", ""), None);
        assert_eq!(keep("carl", ""), Some(Bound::Messages));
        assert_eq!(mailboxes.usage(), (5, 10));
    }

    #[test]
    fn messages_are_forgotten_when_their_time_is_over() {
        let mut mailboxes = mailboxes();
        mailboxes.keep(1000, "ann", "a".into()).unwrap();
        mailboxes.keep(1500, "ann", "b".into()).unwrap();
        assert_eq!(mailboxes.expires_ms(), Some(2000));
        assert_eq!(mailboxes.expire(1999).unwrap(), 0);
        assert_eq!(mailboxes.expire(2000).unwrap(), 1);
        mailboxes.commit().unwrap();
        assert_eq!(texts(&mut mailboxes, "ann"), ["b"]);
        assert_eq!(mailboxes.expire(u64::MAX).unwrap(), 1);
        assert_eq!((mailboxes.expires_ms(), mailboxes.has("ann")), (None, false));
    }

    #[test]
    fn messages_whose_time_is_over_are_not_read_though_nobody_has_forgotten_them() {
        let mut mailboxes = mailboxes();
        for (now_ms, data) in [(1000, "a"), (1000, "b"), (1500, "c")] {
            mailboxes.keep(now_ms, "ann", data.into()).unwrap();
        }
        mailboxes.commit().unwrap();
        assert_eq!(texts(&mut mailboxes, "ann"), ["a", "b", "c"]);
        // Also where those that are over are all that is read at a time.
        for bytes_max in [0, usize::MAX] {
            let due = mailboxes.read(2000, "ann", 0, bytes_max).unwrap();
            assert_eq!(due, [Due { number: 2, data: "c".into(), until_ms: 2500 }]);
            assert_eq!(mailboxes.read(2500, "ann", 0, bytes_max).unwrap(), []);
        }
    }

    /// How it fails.
    #[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
    enum Fault {
        #[default]
        None,
        /// It changes nothing.
        Before,
        /// All is changed, as where the last answer of a disk is lost.
        After,
        /// All is changed, and then it cannot be read.
        Blind,
    }

    /// Fails when it is told to.
    #[derive(Default)]
    struct Failing {
        memory: Memory,
        fault: Fault,
    }

    impl Failing {
        fn check(&self, is_fine: bool) -> Result<(), StoreError> {
            is_fine.then_some(()).ok_or_else(|| StoreError::Failed("no space".to_owned()))
        }
    }

    impl MessageStore for Failing {
        fn survey(&mut self, each: &mut dyn FnMut(Entry)) -> Result<u64, StoreError> {
            self.check(self.fault != Fault::Blind)?;
            self.memory.survey(each)
        }

        fn apply(&mut self, changes: &[Change]) -> Result<(), StoreError> {
            if self.fault != Fault::Before {
                self.memory.apply(changes)?;
            }
            self.check(self.fault == Fault::None)
        }

        fn read(&mut self, to: &str, from: u64, max: usize) -> Result<Vec<Kept>, StoreError> {
            self.memory.read(to, from, max)
        }
    }

    #[test]
    fn what_was_not_written_down_is_undone() {
        let mut mailboxes = Mailboxes::open(Failing::default(), BOUNDS).unwrap();
        let first = mailboxes.keep(0, "ann", "a".into()).unwrap();
        mailboxes.commit().unwrap();
        mailboxes.store.fault = Fault::Before;
        assert!(mailboxes.forget("ann", first).unwrap());
        let second = mailboxes.keep(0, "bob", "b".into()).unwrap();
        assert!(mailboxes.forget("bob", second).unwrap());
        mailboxes.keep(0, "ann", "c".into()).unwrap();
        assert!(mailboxes.commit().is_err());
        assert_eq!(mailboxes.usage(), (1, 1));
        assert!(mailboxes.has("ann") && !mailboxes.has("bob"));
        mailboxes.store.fault = Fault::None;
        assert!(!mailboxes.is_pending());
        let third = mailboxes.keep(0, "bob", "d".into()).unwrap();
        mailboxes.commit().unwrap();
        assert!(third > second);
        assert_eq!(texts(&mut mailboxes, "ann"), ["a"]);
        assert_eq!(texts(&mut mailboxes, "bob"), ["d"]);
    }

    #[test]
    fn what_was_written_down_counts_also_if_the_store_says_that_it_has_failed() {
        for fault in [Fault::After, Fault::Blind] {
            let mut mailboxes = Mailboxes::open(Failing::default(), BOUNDS).unwrap();
            mailboxes.store.fault = fault;
            let first = mailboxes.keep(0, "ann", "a".into()).unwrap();
            assert!(mailboxes.commit().is_err());
            if fault == Fault::Blind {
                // Nothing is done as long as it is not known what is there.
                assert!(mailboxes.forget("ann", first).is_err());
                assert!(mailboxes.read(0, "ann", 0, 1).is_err());
                assert!(mailboxes.expire(0).is_err());
                let kept = mailboxes.keep(0, "ann", "b".into());
                assert!(matches!(kept, Err(KeepError::Store(_))), "{kept:?}");
                assert!(!mailboxes.is_pending());
            }
            mailboxes.store.fault = Fault::None;
            assert_eq!(texts(&mut mailboxes, "ann"), ["a"]);
            assert_eq!((mailboxes.usage(), mailboxes.surveys()), ((1, 1), 2));
            assert!(mailboxes.forget("ann", first).unwrap());
            mailboxes.commit().unwrap();
            assert!(mailboxes.keep(0, "ann", "c".into()).unwrap() > first);
        }
    }

    proptest! {
        #[test]
        fn it_counts_what_the_store_has(acts in vec((0..4u8, 0..3usize, 0..8u64), 0..60)) {
            let mut mailboxes = Mailboxes::open(Failing::default(), BOUNDS).unwrap();
            let names = ["ann", "bob", "carl"];
            let faults = [Fault::None, Fault::Before, Fault::After, Fault::Blind];
            for (act, to, number) in acts {
                match act {
                    0 => drop(mailboxes.keep(number * 300, names[to], vec![0; to].into())),
                    1 => drop(mailboxes.forget(names[to], number)),
                    2 => drop(mailboxes.expire(number * 300)),
                    _ => mailboxes.store.fault = faults[number as usize % 4],
                }
                let committed = mailboxes.commit();
                prop_assert!(committed.is_ok() || mailboxes.store.fault != Fault::None);
                if mailboxes.survey().is_err() {
                    prop_assert_eq!(mailboxes.store.fault, Fault::Blind);
                    continue;
                }
                let mut found = (0, 0);
                let survey = mailboxes.store.memory.survey(&mut |entry| {
                    found.0 += 1;
                    found.1 += u64::from(entry.bytes);
                });
                prop_assert!(survey.unwrap() <= mailboxes.next);
                prop_assert_eq!(mailboxes.usage(), found);
                for name in names {
                    let there = !mailboxes.store.read(name, 0, 1).unwrap().is_empty();
                    prop_assert_eq!(mailboxes.has(name), there);
                }
            }
        }
    }
}
