//! What waits for an answer that may never come: a bounded number of things, each under a number.

use std::collections::BTreeMap;

/// Things by numbers that count upwards.
#[derive(Debug)]
pub struct Recent<T> {
    items: BTreeMap<u32, T>,
    next: u32,
}

impl<T> Default for Recent<T> {
    fn default() -> Self {
        Self { items: BTreeMap::new(), next: 0 }
    }
}

impl<T> Recent<T> {
    /// The most things at once.
    pub const MOST: usize = 1024;
    /// Numbers are below this, so that there is a bit for something else.
    const NUMBER_END: u32 = 1 << 31;

    /// Whether the next thing takes the place of another.
    pub fn is_full(&self) -> bool {
        self.items.len() >= Self::MOST
    }

    /// Adds a thing. If there are too many, the one that waits for longest is given up.
    pub fn add(&mut self, item: T) -> (u32, Option<(u32, T)>) {
        let given_up = if self.is_full() { self.items.pop_first() } else { None };
        while self.items.contains_key(&self.next) {
            self.next = (self.next + 1) % Self::NUMBER_END;
        }
        let number = self.next;
        self.next = (self.next + 1) % Self::NUMBER_END;
        self.items.insert(number, item);
        (number, given_up)
    }

    /// The thing with this number, if it waits still.
    pub fn take(&mut self, number: u32) -> Option<T> {
        let item = self.items.remove(&number);
        if self.items.is_empty() {
            // An empty map keeps the memory of eleven items.
            self.items = BTreeMap::new();
        }
        item
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_oldest_is_given_up_when_there_are_too_many() {
        let mut recent = Recent::default();
        for item in 0..Recent::<u32>::MOST as u32 {
            assert_eq!(recent.add(item), (item, None));
        }
        assert_eq!(recent.take(1), Some(1));
        assert_eq!(recent.add(2000).1, None);
        assert_eq!(recent.add(2001).1, Some((0, 0)));
        assert_eq!((recent.take(0), recent.take(1024)), (None, Some(2000)));
        assert_eq!(recent.items.len(), Recent::<u32>::MOST - 1);
    }

    #[test]
    fn numbers_begin_again_and_those_that_wait_are_left_out() {
        let mut recent = Recent::default();
        recent.add('a');
        recent.next = Recent::<char>::NUMBER_END - 1;
        assert_eq!([recent.add('b').0, recent.add('c').0], [Recent::<char>::NUMBER_END - 1, 1]);
    }
}
