//! Bytes in their order, in pieces that are neither many nor copied often.

use bytes::{Buf, Bytes, BytesMut};
use std::collections::VecDeque;

/// Pieces up to this size are copied next to each other: however small the pieces are that come
/// in, two neighbours hold more than this together, so bookkeeping stays in proportion.
const MERGE_BYTES_MAX: usize = 2 * 1024;

/// The memory that a piece takes besides its bytes.
const PIECE_BYTES: usize = 96;

/// Places that are kept when all pieces have gone: so many cost less than new ones each time.
const SPARE: usize = 32;

/// A queue of bytes.
#[derive(Debug, Default)]
pub(crate) struct Pieces {
    pieces: VecDeque<Piece>,
    bytes: usize,
    /// The memory that all pieces take.
    cost: usize,
}

#[derive(Debug)]
struct Piece {
    bytes: Bytes,
    /// The memory that it was made with, and takes until all of it is dropped.
    cost: usize,
}

impl Piece {
    fn new(bytes: Bytes, memory: usize) -> Self {
        Self { bytes, cost: memory + PIECE_BYTES }
    }
}

impl Pieces {
    /// How many bytes there are.
    pub(crate) fn len(&self) -> usize {
        self.bytes
    }

    /// The memory that they take.
    pub(crate) fn cost(&self) -> usize {
        self.cost
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
        let count = bytes.len();
        self.bytes += count;
        if count > MERGE_BYTES_MAX {
            return self.add(Piece::new(bytes, count));
        }
        match self.pieces.back_mut() {
            Some(last) if last.bytes.len() + count <= MERGE_BYTES_MAX => {
                let left = std::mem::take(&mut last.bytes);
                let needed = left.len() + count;
                let roomy = |bytes: &[u8]| {
                    let mut roomy = BytesMut::with_capacity(MERGE_BYTES_MAX);
                    roomy.extend_from_slice(bytes);
                    roomy
                };
                let mut joined = match left.try_into_mut() {
                    Ok(own) if own.capacity() >= needed => own,
                    // Room for all that may come: growing would take more than that in the end.
                    Ok(full) => roomy(&full),
                    Err(shared) => roomy(&shared),
                };
                joined.extend_from_slice(&bytes);
                self.cost -= last.cost;
                *last = Piece::new(joined.freeze(), MERGE_BYTES_MAX);
                self.cost += last.cost;
            }
            // A copy, so that a few bytes do not keep a large read alive.
            _ => self.add(Piece::new(Bytes::copy_from_slice(&bytes), count)),
        }
    }

    fn add(&mut self, piece: Piece) {
        self.cost += piece.cost;
        self.pieces.push_back(piece);
    }

    /// Drops the first bytes, or all if there are fewer.
    pub(crate) fn advance(&mut self, count: usize) {
        let mut left = count.min(self.bytes);
        self.bytes -= left;
        while let Some(piece) = self.pieces.front_mut() {
            if left < piece.bytes.len() {
                piece.bytes.advance(left);
                break;
            }
            left -= piece.bytes.len();
            self.cost -= piece.cost;
            self.pieces.pop_front();
        }
        // No places of a peak are kept.
        if self.pieces.is_empty() && self.pieces.capacity() > SPARE {
            self.pieces = VecDeque::new();
        }
    }

    /// Drops all.
    pub(crate) fn clear(&mut self) {
        *self = Self::default();
    }

    /// The pieces from the front.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Bytes> {
        self.pieces.iter().map(|piece| &piece.bytes)
    }

    /// What is behind the first `skip` bytes, in pieces. What is near the end is found quickly.
    pub(crate) fn behind(&self, skip: usize) -> impl Iterator<Item = Bytes> + '_ {
        let wanted = self.bytes.saturating_sub(skip);
        let mut first = self.pieces.len();
        let mut found = 0;
        while found < wanted {
            first -= 1;
            found += self.pieces[first].bytes.len();
        }
        let mut cut = found - wanted;
        let pieces = self.pieces.range(first..);
        pieces.map(move |piece| piece.bytes.slice(std::mem::take(&mut cut)..))
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
                let cost: usize = pieces.pieces.iter().map(|piece| piece.cost).sum();
                prop_assert_eq!(pieces.cost(), cost);
                prop_assert!(cost >= model.len());
            }
        }
    }
}
