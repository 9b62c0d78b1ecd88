//! Numbered places: the lowest free number is given first, and is free again at once.

use std::cmp::Reverse;
use std::collections::BinaryHeap;

/// Values under numbers from 0, the lowest free number first.
///
/// Invariant: `free` holds exactly the indexes of `places` that are `None`.
/// An empty one owns no memory.
#[derive(Debug, Clone)]
pub struct Slots<T> {
    places: Vec<Option<T>>,
    free: BinaryHeap<Reverse<u32>>,
}

impl<T> Default for Slots<T> {
    fn default() -> Self {
        Self { places: Vec::new(), free: BinaryHeap::new() }
    }
}

impl<T> Slots<T> {
    /// The number that [`Slots::insert`] would give.
    pub fn next_free(&self) -> u32 {
        match self.free.peek() {
            Some(Reverse(number)) => *number,
            None => self.end(),
        }
    }

    /// Puts a value under the lowest free number, and gives that number.
    pub fn insert(&mut self, value: T) -> u32 {
        match self.free.pop() {
            Some(Reverse(number)) => {
                self.places[number as usize] = Some(value);
                number
            }
            None => {
                let number = self.end();
                // Most sessions have one of a kind, and a vector begins with room for four.
                if self.places.capacity() == 0 {
                    self.places.reserve_exact(1);
                }
                self.places.push(Some(value));
                number
            }
        }
    }

    /// Takes the value of a number out and frees the number.
    pub fn remove(&mut self, number: u32) -> Option<T> {
        let value = self.places.get_mut(number as usize)?.take()?;
        self.free.push(Reverse(number));
        if self.free.len() == self.places.len() {
            *self = Self::default();
        }
        Some(value)
    }

    /// The value under a number.
    pub fn get(&self, number: u32) -> Option<&T> {
        self.places.get(number as usize)?.as_ref()
    }

    /// The value under a number, to change it.
    pub fn get_mut(&mut self, number: u32) -> Option<&mut T> {
        self.places.get_mut(number as usize)?.as_mut()
    }

    /// How many numbers are taken.
    pub fn len(&self) -> usize {
        self.places.len() - self.free.len()
    }

    /// Whether no number is taken.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Numbers and values to change, lowest number first.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (u32, &mut T)> {
        let places = (0u32..).zip(&mut self.places);
        places.filter_map(|(number, place)| Some((number, place.as_mut()?)))
    }

    /// Numbers and values, lowest number first.
    pub fn iter(&self) -> impl Iterator<Item = (u32, &T)> {
        (0u32..).zip(&self.places).filter_map(|(number, place)| Some((number, place.as_ref()?)))
    }

    /// All values, lowest number first, leaving none.
    pub fn take(&mut self) -> impl Iterator<Item = (u32, T)> + use<T> {
        let places = std::mem::take(self).places;
        (0u32..).zip(places).filter_map(|(number, place)| Some((number, place?)))
    }

    fn end(&self) -> u32 {
        // Bounded by the limits of channels and members, which are u32 themselves.
        u32::try_from(self.places.len()).expect("fewer than 2^32 places, by limits")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeMap;

    proptest! {
        #[test]
        fn behaves_like_a_map_that_searches_for_the_lowest_gap(steps in prop::collection::vec((any::<bool>(), 0u32..20), 0..200)) {
            let mut slots = Slots::default();
            let mut model = BTreeMap::new();
            for (insert, number) in steps {
                if insert {
                    let lowest = (0..).find(|n| !model.contains_key(n)).expect("a gap exists");
                    prop_assert_eq!(slots.next_free(), lowest);
                    prop_assert_eq!(slots.insert(number), lowest);
                    model.insert(lowest, number);
                } else {
                    prop_assert_eq!(slots.remove(number), model.remove(&number));
                }
                prop_assert_eq!(slots.len(), model.len());
                prop_assert!(slots.iter().map(|(n, v)| (n, *v)).eq(model.iter().map(|(n, v)| (*n, *v))));
            }
        }
    }
}
