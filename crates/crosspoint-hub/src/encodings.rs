//! What is written of a list once for all who get the same bytes, by the first of them who needs it.
//!
//! It is for what the receivers' own tasks write: who comes and goes, and messages of protocols with a state. There
//! is no lock; only those who come while it is written wait for it.

use bytes::Bytes;
use std::fmt;
use std::ops::Range;
use std::sync::OnceLock;

/// All that was written of one list: once for each `K`. Most often there is only one.
pub(crate) struct Encodings<K, C> {
    first: OnceLock<Encoding<K, C>>,
    others: OnceLock<Box<Self>>,
}

/// What was written of a list, with the charge for it.
pub(crate) struct Encoding<K, C> {
    key: K,
    bytes: Bytes,
    /// Where what was written of each element ends.
    ends: Box<[usize]>,
    _charge: C,
}

impl<K, C> Default for Encodings<K, C> {
    fn default() -> Self {
        Self { first: OnceLock::new(), others: OnceLock::new() }
    }
}

impl<K, C> Encodings<K, C> {
    /// What was written under the key for which `is` holds. `write` does that if nobody has, and is called once
    /// at the most. `None` if there are `most` under other keys.
    pub(crate) fn get(
        &self,
        most: usize,
        is: impl Fn(&K) -> bool,
        write: impl Fn() -> Encoding<K, C>,
    ) -> Option<&Encoding<K, C>> {
        let mut all = self;
        for _ in 0..most {
            let encoding = all.first.get_or_init(&write);
            if is(&encoding.key) {
                return Some(encoding);
            }
            all = all.others.get_or_init(Box::default);
        }
        None
    }
}

impl<K, C> Encoding<K, C> {
    /// Takes what was written, and where what belongs to each element ends. `charge` charges for so many bytes.
    pub(crate) fn new(
        key: K,
        bytes: Bytes,
        ends: Vec<usize>,
        charge: impl FnOnce(usize) -> C,
    ) -> Self {
        let ends = ends.into_boxed_slice();
        let _charge = charge(bytes.len() + size_of_val(&*ends));
        Self { key, bytes, ends, _charge }
    }

    /// What tells it from others.
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// What was written.
    pub(crate) fn bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Where that of one element is; of one behind the last, the end.
    pub(crate) fn range(&self, index: usize) -> Range<usize> {
        let begin = if index == 0 { 0 } else { self.end(index - 1) };
        begin..self.end(index)
    }

    fn end(&self, index: usize) -> usize {
        self.ends.get(index).copied().unwrap_or(self.bytes.len())
    }
}

impl<K, C> fmt::Debug for Encodings<K, C> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Encodings").finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::Cell;

    #[test]
    fn each_key_is_written_once_and_not_more_than_are_wanted() {
        let all: Encodings<u8, usize> = Encodings::default();
        let count = Cell::new(0);
        for key in [3, 7, 3, 9, 7, 9, 3] {
            let write = || {
                count.set(count.get() + 1);
                let bytes = Bytes::copy_from_slice(&[key; 5]);
                Encoding::new(key, bytes, vec![2, 2, 5], |bytes| bytes)
            };
            let written = all.get(3, |known| *known == key, write).unwrap();
            assert_eq!(written.bytes(), &vec![key; 5]);
            assert_eq!([0, 1, 2, 3].map(|index| written.range(index)), [0..2, 2..2, 2..5, 5..5]);
        }
        assert_eq!(count.get(), 3);
        assert!(all.get(3, |known| *known == 8, || unreachable!("there are 3")).is_none());
    }
}
