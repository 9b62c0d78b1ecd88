//! A map that most sessions have nothing in.

use std::collections::HashMap;
use std::hash::Hash;

/// A map that takes no more than a pointer as long as nothing is in it.
#[derive(Debug)]
#[expect(clippy::box_collection, reason = "an empty map takes six times as much in each session")]
pub(crate) struct RareMap<K, V>(Option<Box<HashMap<K, V>>>);

impl<K, V> Default for RareMap<K, V> {
    fn default() -> Self {
        Self(None)
    }
}

impl<K: Eq + Hash, V> RareMap<K, V> {
    #[inline]
    pub(crate) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    pub(crate) fn get(&self, key: &K) -> Option<&V> {
        self.0.as_ref()?.get(key)
    }

    pub(crate) fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.0.as_mut()?.get_mut(key)
    }

    pub(crate) fn insert(&mut self, key: K, value: V) {
        self.0.get_or_insert_default().insert(key, value);
    }

    pub(crate) fn remove(&mut self, key: &K) -> Option<V> {
        let removed = self.0.as_mut()?.remove(key);
        self.shrink();
        removed
    }

    /// Removes what is not to be kept.
    pub(crate) fn retain(&mut self, keeps: impl FnMut(&K, &mut V) -> bool) {
        if let Some(map) = &mut self.0 {
            map.retain(keeps);
            self.shrink();
        }
    }

    fn shrink(&mut self) {
        if self.0.as_ref().is_some_and(|map| map.is_empty()) {
            self.0 = None;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_takes_a_pointer_and_nothing_else_before_and_after_something_was_in_it() {
        assert_eq!(size_of::<RareMap<u64, [u64; 9]>>(), size_of::<usize>());
        let mut map = RareMap::default();
        (0..9).for_each(|key| map.insert(key, 2 * key));
        map.retain(|key, _| key % 2 == 0);
        assert_eq!((map.get(&4), map.get(&5)), (Some(&8), None));
        assert_eq!(map.remove(&5), None);
        *map.get_mut(&6).unwrap() = 1;
        for (key, value) in [(0, 0), (2, 4), (4, 8), (6, 1), (8, 16)] {
            assert!(!map.is_empty());
            assert_eq!(map.remove(&key), Some(value));
        }
        assert!(map.is_empty() && map.0.is_none());
    }
}
