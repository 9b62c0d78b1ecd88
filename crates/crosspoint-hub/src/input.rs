//! Bytes that have arrived and not been parsed yet.

use bytes::{Buf, Bytes, BytesMut};

/// A queue of bytes that gives slices without copying. Empty, it owns no memory.
#[derive(Debug, Clone, Default)]
pub struct Input {
    front: Bytes,
    /// What arrived behind a front that was not parsed yet. Most often the front is the beginning of one
    /// message, and only the rest of that message has to be copied behind it. Empty if the front is.
    back: Bytes,
    /// A place for [`Input::head`].
    head: [u8; Self::HEAD_BYTES],
}

impl Input {
    /// What [`Input::head`] gives at least, if so many bytes are there.
    pub const HEAD_BYTES: usize = 8;

    /// Adds bytes at the end.
    pub fn push(&mut self, bytes: Bytes) {
        if self.front.is_empty() {
            self.front = bytes;
        } else if !bytes.is_empty() {
            let before = std::mem::replace(&mut self.back, bytes);
            self.extend_front(&before);
        }
    }

    /// The first bytes: all that are there, or at least [`Input::HEAD_BYTES`].
    pub fn head(&mut self) -> &[u8] {
        let front = self.front.len();
        if front >= Self::HEAD_BYTES || self.back.is_empty() {
            return &self.front;
        }
        let end = self.len().min(Self::HEAD_BYTES);
        self.head[..front].copy_from_slice(&self.front);
        self.head[front..end].copy_from_slice(&self.back[..end - front]);
        &self.head[..end]
    }

    /// All that is there.
    pub fn as_slice(&mut self) -> &[u8] {
        let back = std::mem::take(&mut self.back);
        self.extend_front(&back);
        &self.front
    }

    /// How many bytes are there.
    pub fn len(&self) -> usize {
        self.front.len() + self.back.len()
    }

    /// Whether nothing is there.
    pub fn is_empty(&self) -> bool {
        self.front.is_empty()
    }

    /// Drops the first bytes, or all if there are fewer.
    pub fn skip(&mut self, count: usize) {
        let of_front = count.min(self.front.len());
        self.front.advance(of_front);
        if self.front.is_empty() {
            self.front = std::mem::take(&mut self.back);
            let of_back = (count - of_front).min(self.front.len());
            self.front.advance(of_back);
            self.let_go();
        }
    }

    /// Takes the first bytes out, or all if there are fewer.
    pub fn take(&mut self, count: usize) -> Bytes {
        if count > self.front.len() && !self.back.is_empty() {
            let missing = (count - self.front.len()).min(self.back.len());
            let rest = self.back.split_to(missing);
            self.extend_front(&rest);
        }
        let taken = self.front.split_to(count.min(self.front.len()));
        if self.front.is_empty() {
            self.front = std::mem::take(&mut self.back);
            self.let_go();
        }
        taken
    }

    /// Copies what is left, so that a few bytes do not keep a large read alive.
    pub fn compact(&mut self) {
        self.front = Bytes::copy_from_slice(self.as_slice());
    }

    /// Copies bytes behind the front. Grown in place, a large message that comes in small pieces costs no
    /// more than its length.
    fn extend_front(&mut self, bytes: &[u8]) {
        if bytes.is_empty() {
            return;
        }
        let front = std::mem::take(&mut self.front);
        let mut joined = front.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
        joined.extend_from_slice(bytes);
        self.front = joined.freeze();
    }

    /// An empty slice of a read would keep that alive.
    fn let_go(&mut self) {
        if self.front.is_empty() {
            self.front = Bytes::new();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Use {
        Push(Vec<u8>),
        Take(usize),
        Skip(usize),
        Compact,
        AsSlice,
    }

    fn uses() -> impl Strategy<Value = Vec<Use>> {
        let one = prop_oneof![
            prop::collection::vec(any::<u8>(), 0..40).prop_map(Use::Push),
            (0usize..50).prop_map(Use::Take),
            (0usize..50).prop_map(Use::Skip),
            Just(Use::Compact),
            Just(Use::AsSlice),
        ];
        prop::collection::vec(one, 0..60)
    }

    proptest! {
        #[test]
        fn what_arrives_in_pieces_comes_out_in_order(uses in uses()) {
            let (mut input, mut model) = (Input::default(), Vec::new());
            for one in uses {
                match one {
                    Use::Push(bytes) => {
                        model.extend_from_slice(&bytes);
                        input.push(bytes.into());
                    }
                    Use::Take(count) => {
                        let expected: Vec<u8> = model.drain(..count.min(model.len())).collect();
                        prop_assert_eq!(input.take(count), expected);
                    }
                    Use::Skip(count) => {
                        model.drain(..count.min(model.len()));
                        input.skip(count);
                    }
                    Use::Compact => input.compact(),
                    Use::AsSlice => prop_assert_eq!(input.as_slice(), &model[..]),
                }
                prop_assert_eq!((input.len(), input.is_empty()), (model.len(), model.is_empty()));
                let head = input.head();
                prop_assert!(head.len() >= model.len().min(Input::HEAD_BYTES));
                prop_assert!(model.starts_with(head));
            }
        }
    }
}
