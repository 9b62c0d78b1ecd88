//! Taking values off the front of a message, with every length checked.

use bytes::{Buf, Bytes};

use super::SIZE_BYTES;
use crate::peote::chunk::SizeReader;

/// Bytes from the far end are not the expected values.
///
/// Positions count from the beginning of the reader's input.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// The input ends within a value.
    #[error(
        "{needed} bytes expected at position {at}, {left} are left; the types differ at the two ends, or the message is cut"
    )]
    Short {
        /// How many bytes the value takes at least.
        needed: usize,
        /// How many bytes there are.
        left: usize,
        /// Where the value begins.
        at: usize,
    },
    /// A size in a longer form than needed, which readers of this format refuse.
    #[error("the size at position {at} ends with a needless zero byte; use the shortest form")]
    LongForm {
        /// Where the size begins.
        at: usize,
    },
    /// More elements announced than the rest of the input can hold.
    #[error("{count} elements announced before position {at}, only {left} bytes are left")]
    Count {
        /// How many elements were announced.
        count: usize,
        /// How many bytes there are.
        left: usize,
        /// Where the first element begins.
        at: usize,
    },
    /// A text that is not UTF-8.
    #[error("the text at position {at} is not UTF-8; send it as bytes")]
    NotUtf8 {
        /// Where the text begins.
        at: usize,
    },
    /// Bytes after the last value.
    #[error("{count} bytes are left over after the last value; the types differ at the two ends")]
    LeftOver {
        /// How many.
        count: usize,
    },
}

/// Takes values off the front of a message.
#[derive(Debug, Clone)]
pub struct Reader {
    input: Bytes,
    length: usize,
}

impl Reader {
    /// A reader of a whole message. [`Bytes`] values that it yields share the message's memory.
    pub fn new(input: Bytes) -> Self {
        Self { length: input.len(), input }
    }

    /// How many bytes have been read.
    pub fn position(&self) -> usize {
        self.length - self.input.len()
    }

    /// How many bytes are left.
    pub fn remaining(&self) -> usize {
        self.input.len()
    }

    /// Checks that nothing is left.
    ///
    /// # Errors
    ///
    /// [`DecodeError::LeftOver`] otherwise.
    pub fn finish(&self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            count => Err(DecodeError::LeftOver { count }),
        }
    }

    /// The next `count` bytes, without copying them.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`] if there are fewer.
    pub fn take(&mut self, count: usize) -> Result<Bytes, DecodeError> {
        if count > self.remaining() {
            return Err(self.short(count));
        }
        Ok(self.input.split_to(count))
    }

    /// The next `N` bytes by value.
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`] if there are fewer.
    pub fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let Some(&bytes) = self.input.first_chunk::<N>() else {
            return Err(self.short(N));
        };
        self.input.advance(N);
        Ok(bytes)
    }

    /// A variable size, 0 to [`MAX_COUNT`](super::MAX_COUNT).
    ///
    /// # Errors
    ///
    /// [`DecodeError::Short`] if the input ends in it, [`DecodeError::LongForm`] if its last byte
    /// is a needless 0.
    pub fn size(&mut self) -> Result<usize, DecodeError> {
        let at = self.position();
        let mut reader = SizeReader::new(SIZE_BYTES);
        loop {
            let [byte] = self.array()?;
            if let Some(size) = reader.push(byte) {
                return match size.padded {
                    true => Err(DecodeError::LongForm { at }),
                    false => Ok(size.value as usize),
                };
            }
        }
    }

    /// The number of elements that follow, each of at least `min_size` bytes. A number that the
    /// input cannot hold is refused here, before anything is kept for it.
    ///
    /// # Errors
    ///
    /// Those of [`size`](Self::size), and [`DecodeError::Count`].
    pub fn count(&mut self, min_size: usize) -> Result<usize, DecodeError> {
        let count = self.size()?;
        if count.saturating_mul(min_size) > self.remaining() {
            let (left, at) = (self.remaining(), self.position());
            return Err(DecodeError::Count { count, left, at });
        }
        Ok(count)
    }

    fn short(&self, needed: usize) -> DecodeError {
        DecodeError::Short { needed, left: self.remaining(), at: self.position() }
    }
}
