//! Bytes in their order, in pieces that are neither many nor copied often.

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// Pieces up to this size are copied next to each other: however small the pieces are that come
/// in, two neighbours hold more than this together, so bookkeeping stays in proportion.
const MERGE_BYTES_MAX: usize = 2 * 1024;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Bytes>,
    bytes: usize,
}

impl Pieces {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// Whether there are none.
    pub(crate) fn is_empty(&self) -> bool {
        self.bytes == 0
    }

    /// Adds bytes at the end.
    pub(crate) fn push(&mut self, bytes: Bytes) {
        if bytes.is_empty() {
            return;
        }
        self.bytes += bytes.len();
        if bytes.len() > MERGE_BYTES_MAX {
            self.pieces.push_back(bytes);
            return;
        }
        match self.pieces.back_mut() {
            Some(last) if last.len() + bytes.len() <= MERGE_BYTES_MAX => {
                let left = std::mem::take(last);
                let mut joined =
                    left.try_into_mut().unwrap_or_else(|shared| BytesMut::from(&shared[..]));
                joined.extend_from_slice(&bytes);
                *last = joined.freeze();
            }
            // A copy, so that a few bytes do not keep a large read alive.
            _ => self.pieces.push_back(Bytes::copy_from_slice(&bytes)),
        }
    }

    /// Drops the first bytes, or all if there are fewer.
    pub(crate) fn advance(&mut self, count: usize) {
        let mut left = count.min(self.bytes);
        self.bytes -= left;
        while let Some(piece) = self.pieces.front_mut() {
            if left < piece.len() {
                piece.advance(left);
                break;
            }
            left -= piece.len();
            self.pieces.pop_front();
        }
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The pieces from the front.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter()
    }

    /// What is behind the first `skip` bytes, in pieces. What is near the end is found quickly.
    pub(crate) fn behind(&self, skip: usize) -> impl Iterator<Item = Bytes> + '_ {
        let wanted = self.bytes.saturating_sub(skip);
        let mut first = self.pieces.len();
        let mut found = 0;
        while found < wanted {
            first -= 1;
            found += self.pieces[first].len();
        }
        let mut cut = found - wanted;
        self.pieces.range(first..).map(move |piece| piece.slice(std::mem::take(&mut cut)..))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Push(usize),
        Advance(usize),
        Look(usize),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            prop_oneof![0..40usize, 0..6000usize].prop_map(Step::Push),
            (0..5000usize).prop_map(Step::Advance),
            (0..5000usize).prop_map(Step::Look),
        ]
    }

    proptest! {
        #[test]
        fn it_is_a_queue_of_bytes_in_few_pieces(steps in proptest::collection::vec(step(), 1..60)) {
            let mut pieces = Pieces::default();
            let mut model = Vec::new();
            let mut next = 0u32;
            for step in steps {
                match step {
                    Step::Push(count) => {
                        let bytes: Vec<u8> = (0..count).map(|_| {
                            next = next.wrapping_mul(0x0019_660d).wrapping_add(1);
                            (next >> 16) as u8
                        }).collect();
                        model.extend_from_slice(&bytes);
                        pieces.push(bytes.into());
                    }
                    Step::Advance(count) => {
                        model.drain(..count.min(model.len()));
                        pieces.advance(count);
                    }
                    Step::Look(skip) => {
                        let seen: Vec<u8> = pieces.behind(skip).flatten().collect();
                        prop_assert_eq!(&seen[..], &model[skip.min(model.len())..]);
                    }
                }
                let all: Vec<u8> = pieces.iter().flatten().copied().collect();
                prop_assert_eq!(&all, &model);
                prop_assert_eq!(pieces.len(), model.len());
                prop_assert_eq!(pieces.is_empty(), model.is_empty());
                prop_assert!(pieces.pieces.len() <= 2 + 2 * model.len() / MERGE_BYTES_MAX);
            }
        }
    }
}
