//! The chunk layer: messages of a known length inside a stream without message borders
//! (`docs/peote.md`, section 6).
//!
//! A chunk is a length prefix followed by its content. How many bytes a prefix may have follows
//! from the largest chunk both ends agreed upon, see [`ChunkSize`]. The decoder does not gather
//! chunks: it hands on each part as it comes, as a slice of the piece it was read from.

use bytes::{Buf, Bytes};

/// The largest chunk that the largest size class can express, in bytes.
pub const MAX_CHUNK_SIZE: u32 = 536_870_912;

/// What can go wrong in the chunk layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum ChunkError {
    /// A maximum chunk size that no size class covers.
    #[error("a maximum chunk size of {max} bytes is not possible; choose 1 to {MAX_CHUNK_SIZE}")]
    SizeClass {
        /// The size asked for, in bytes.
        max: u32,
    },
    /// A chunk without content, which has no encoding.
    #[error("an empty chunk cannot be sent; a chunk has at least one byte")]
    Empty,
    /// A chunk above the agreed maximum.
    #[error(
        "a chunk of {length} bytes is above the maximum of {max}; send less, or set the same \
         larger maximum chunk size at both ends"
    )]
    TooLong {
        /// The length of the chunk, in bytes.
        length: u64,
        /// The agreed maximum, in bytes.
        max: u32,
    },
}

/// The agreed largest chunk, which also decides how long a length prefix may be.
///
/// Both ends must use the same size class, since it is not negotiated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ChunkSize {
    max: u32,
}

impl ChunkSize {
    /// A size class for chunks of up to `max` bytes, 1 to [`MAX_CHUNK_SIZE`].
    ///
    /// # Errors
    ///
    /// [`ChunkError::SizeClass`] if `max` is outside that range.
    pub const fn new(max: u32) -> Result<Self, ChunkError> {
        match max {
            1..=MAX_CHUNK_SIZE => Ok(Self { max }),
            _ => Err(ChunkError::SizeClass { max }),
        }
    }

    /// The largest chunk, in bytes.
    pub const fn max(self) -> u32 {
        self.max
    }

    /// The largest number of bytes in a length prefix, 1 to 4.
    pub const fn prefix_len(self) -> u8 {
        match self.max {
            0..=256 => 1,
            257..=32_768 => 2,
            32_769..=4_194_304 => 3,
            _ => 4,
        }
    }

    /// The length prefix of a chunk with `len` bytes of content, in its shortest form.
    ///
    /// A real receiver completes at most one chunk per frame, so a sender begins each prefix in a
    /// new frame (section 7.4).
    ///
    /// # Errors
    ///
    /// [`ChunkError::Empty`] for 0 bytes, [`ChunkError::TooLong`] above the maximum.
    pub fn encode_prefix(self, len: usize) -> Result<Prefix, ChunkError> {
        match u32::try_from(len) {
            Ok(0) => Err(ChunkError::Empty),
            Ok(length) if length <= self.max => Ok(Prefix::shortest(length - 1, self.prefix_len())),
            _ => Err(ChunkError::TooLong { length: len as u64, max: self.max }),
        }
    }
}

impl Default for ChunkSize {
    /// 32768 bytes, as in the Haxe library.
    fn default() -> Self {
        Self { max: 32_768 }
    }
}

/// One to four bytes of a variable size, kept inline.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Prefix {
    bytes: [u8; 4],
    len: u8,
}

impl Prefix {
    /// The shortest form of `value` in at most `limit` bytes. The caller makes sure that the value
    /// fits: `limit` bytes hold 7 bits each and the last one 8.
    pub(super) fn shortest(mut value: u32, limit: u8) -> Self {
        let mut prefix = Self { bytes: [0; 4], len: 0 };
        for (index, byte) in prefix.bytes.iter_mut().enumerate().take(usize::from(limit)) {
            prefix.len += 1;
            let flagged = index + 1 < usize::from(limit);
            if flagged && value >= 0x80 {
                *byte = 0x80 | (value & 0x7f) as u8;
                value >>= 7;
            } else {
                *byte = (value & 0xff) as u8;
                break;
            }
        }
        prefix
    }
}

impl AsRef<[u8]> for Prefix {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }
}

/// A variable size that has been read completely.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) value: u32,
    /// The last byte of a form longer than one byte was 0, so a shorter form exists.
    pub(super) padded: bool,
}

/// Reads a variable size byte by byte: the first `limit - 1` bytes carry 7 bits and a flag, the
/// last one 8 bits and no flag.
#[derive(Debug, Clone)]
pub(super) struct SizeReader {
    limit: u8,
    seen: u8,
    value: u32,
}

impl SizeReader {
    pub(super) fn new(limit: u8) -> Self {
        Self { limit, seen: 0, value: 0 }
    }

    /// Takes the next byte; gives the size when this was its last byte, and is then ready for the
    /// next size.
    pub(super) fn push(&mut self, byte: u8) -> Option<Size> {
        let shift = 7 * u32::from(self.seen);
        self.seen += 1;
        if self.seen < self.limit && byte & 0x80 != 0 {
            self.value |= u32::from(byte & 0x7f) << shift;
            return None;
        }
        let size = Size {
            value: self.value | u32::from(byte) << shift,
            padded: byte == 0 && self.seen > 1,
        };
        self.seen = 0;
        self.value = 0;
        Some(size)
    }
}

/// A piece of a chunk's content.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Length of the whole chunk, in bytes.
    pub total: u32,
    /// Where in the chunk this part begins, in bytes.
    pub offset: u32,
    /// The content, never empty: a slice of the piece that was fed.
    pub data: Bytes,
}

impl Part {
    /// Whether the chunk begins with this part.
    pub fn is_first(&self) -> bool {
        self.offset == 0
    }

    /// Whether the chunk is complete with this part.
    pub fn is_last(&self) -> bool {
        self.offset as usize + self.data.len() == self.total as usize
    }
}

/// Finds the chunks in a byte stream that arrives in arbitrary pieces.
#[derive(Debug, Clone)]
pub struct ChunkDecoder {
    size: ChunkSize,
    prefix: SizeReader,
    /// The chunk whose content is being read: its length and how much of it has come.
    chunk: Option<(u32, u32)>,
    padded: u64,
    failed: Option<ChunkError>,
}

impl ChunkDecoder {
    /// A decoder at the beginning of a stream.
    pub fn new(size: ChunkSize) -> Self {
        Self {
            size,
            prefix: SizeReader::new(size.prefix_len()),
            chunk: None,
            padded: 0,
            failed: None,
        }
    }

    /// Takes the next part of a chunk off the front of `piece`; `None` when the piece is used up.
    ///
    /// # Errors
    ///
    /// [`ChunkError::TooLong`] if the stream announces a chunk above the maximum. The position in
    /// the stream is lost then, so every later call fails in the same way.
    pub fn next_part(&mut self, piece: &mut Bytes) -> Result<Option<Part>, ChunkError> {
        if let Some(error) = self.failed {
            return Err(error);
        }
        let (total, offset) = match self.chunk.take() {
            Some(chunk) => chunk,
            None => match self.read_prefix(piece)? {
                Some(total) => (total, 0),
                None => return Ok(None),
            },
        };
        let left = (total - offset) as usize;
        let data = piece.split_to(left.min(piece.len()));
        // At most `left`, which came from a u32.
        let end = offset + data.len() as u32;
        if end < total {
            self.chunk = Some((total, end));
        }
        Ok((!data.is_empty()).then_some(Part { total, offset, data }))
    }

    /// Whether the stream stands between two chunks, so that its end here would lose nothing.
    pub fn is_between_chunks(&self) -> bool {
        self.chunk.is_none() && self.prefix.seen == 0 && self.failed.is_none()
    }

    /// How many lengths came in a longer form than needed. They are understood, but no known
    /// sender writes them, so they are worth a warning.
    pub fn padded_prefixes(&self) -> u64 {
        self.padded
    }

    fn read_prefix(&mut self, piece: &mut Bytes) -> Result<Option<u32>, ChunkError> {
        while piece.has_remaining() {
            let Some(size) = self.prefix.push(piece.get_u8()) else {
                continue;
            };
            if size.padded {
                self.padded += 1;
            }
            // Three bytes of 7 bits and one of 8: the value stays below 2^29.
            let length = size.value + 1;
            if length > self.size.max {
                let error = ChunkError::TooLong { length: u64::from(length), max: self.size.max };
                self.failed = Some(error);
                return Err(error);
            }
            return Ok(Some(length));
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::{BufMut, BytesMut};
    use proptest::prelude::*;

    fn size(max: u32) -> ChunkSize {
        ChunkSize::new(max).unwrap()
    }

    fn prefix(max: u32, len: usize) -> Vec<u8> {
        size(max).encode_prefix(len).unwrap().as_ref().to_vec()
    }

    /// Feeds the pieces and joins the parts again, checking their totals and offsets on the way.
    fn chunks(decoder: &mut ChunkDecoder, pieces: Vec<Bytes>) -> Result<Vec<Vec<u8>>, ChunkError> {
        let mut done = Vec::new();
        let mut current = Vec::new();
        for mut piece in pieces {
            while let Some(part) = decoder.next_part(&mut piece)? {
                assert_eq!(part.offset as usize, current.len());
                assert_eq!(part.is_first(), current.is_empty());
                assert!(!part.data.is_empty());
                current.extend_from_slice(&part.data);
                if part.is_last() {
                    assert_eq!(part.total as usize, current.len());
                    done.push(std::mem::take(&mut current));
                }
            }
            assert!(piece.is_empty());
        }
        Ok(done)
    }

    #[test]
    fn prefixes_are_those_of_the_specification() {
        const N1: u32 = 256;
        const N2: u32 = 32_768;
        const N3: u32 = 4_194_304;
        for max in [N1, N2, N3] {
            assert_eq!(prefix(max, 1), [0x00]);
            assert_eq!(prefix(max, 128), [0x7f]);
        }
        assert_eq!(prefix(N1, 129), [0x80]);
        assert_eq!(prefix(N1, 256), [0xff]);
        for max in [N2, N3] {
            assert_eq!(prefix(max, 129), [0x80, 0x01]);
            assert_eq!(prefix(max, 256), [0xff, 0x01]);
        }
        assert_eq!(prefix(N2, 16_385), [0x80, 0x80]);
        assert_eq!(prefix(N3, 16_385), [0x80, 0x80, 0x01]);
        assert_eq!(prefix(N2, 32_768), [0xff, 0xff]);
        assert_eq!(prefix(N3, 32_768), [0xff, 0xff, 0x01]);
        assert_eq!(prefix(N3, 40_000), [0xbf, 0xb8, 0x02]);
        assert_eq!(prefix(MAX_CHUNK_SIZE, MAX_CHUNK_SIZE as usize), [0xff; 4]);
    }

    #[test]
    fn the_maximum_decides_the_size_class() {
        for (max, n) in [
            (1, 1),
            (256, 1),
            (257, 2),
            (32_768, 2),
            (32_769, 3),
            (4_194_304, 3),
            (4_194_305, 4),
            (MAX_CHUNK_SIZE, 4),
        ] {
            assert_eq!(size(max).prefix_len(), n, "maximum {max}");
        }
        assert_eq!(ChunkSize::default(), size(32_768));
        assert_eq!(ChunkSize::new(0), Err(ChunkError::SizeClass { max: 0 }));
        let above = MAX_CHUNK_SIZE + 1;
        assert_eq!(ChunkSize::new(above), Err(ChunkError::SizeClass { max: above }));
    }

    #[test]
    fn a_chunk_that_is_empty_or_too_long_gets_no_prefix() {
        assert_eq!(size(1000).encode_prefix(0), Err(ChunkError::Empty));
        assert_eq!(
            size(1000).encode_prefix(1001),
            Err(ChunkError::TooLong { length: 1001, max: 1000 })
        );
    }

    #[test]
    fn a_long_form_with_trailing_zero_is_understood_and_counted() {
        let mut decoder = ChunkDecoder::new(size(40_000));
        let stream = Bytes::from_static(&[0x80, 0x80, 0x00, b'a', 0x81, 0x00, b'b', b'c']);
        assert_eq!(chunks(&mut decoder, vec![stream]).unwrap(), [b"a".to_vec(), b"bc".to_vec()]);
        assert_eq!(decoder.padded_prefixes(), 2);
    }

    #[test]
    fn a_length_above_the_maximum_ends_the_stream() {
        let mut decoder = ChunkDecoder::new(size(1000));
        let error = ChunkError::TooLong { length: 1001, max: 1000 };
        let mut piece = Bytes::from_static(&[0x00, b'a', 0xe8, 0x07, b'b']);
        assert!(decoder.next_part(&mut piece).unwrap().unwrap().is_last());
        assert_eq!(decoder.next_part(&mut piece), Err(error));
        assert_eq!(decoder.next_part(&mut Bytes::from_static(&[0, 1])), Err(error));
        assert!(!decoder.is_between_chunks());
    }

    #[test]
    fn the_content_is_a_slice_of_the_piece() {
        let piece = Bytes::from_static(&[0x02, b'a', b'b', b'c']);
        let inside = piece.as_ptr_range();
        let mut rest = piece.clone();
        let part = ChunkDecoder::new(size(10)).next_part(&mut rest).unwrap().unwrap();
        assert_eq!(part, Part { total: 3, offset: 0, data: Bytes::from_static(b"abc") });
        assert!(inside.contains(&part.data.as_ptr()));
    }

    proptest! {
        #[test]
        fn chunks_cut_anywhere_come_out_equal(
            class in prop::sample::select(vec![256u32, 32_768, 40_000, 5_000_000]),
            lengths in prop::collection::vec(
                prop_oneof![4 => 1usize..300, 1 => 16_000usize..40_000],
                1..8,
            ),
            cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..12),
            seed: u8,
        ) {
            let size = size(class);
            let sent: Vec<Vec<u8>> = lengths
                .iter()
                .map(|&length| length.min(class as usize))
                .map(|length| (0..length).map(|i| (i as u8).wrapping_mul(7) ^ seed).collect())
                .collect();
            let mut stream = BytesMut::new();
            for chunk in &sent {
                stream.put_slice(size.encode_prefix(chunk.len()).unwrap().as_ref());
                stream.put_slice(chunk);
            }
            let stream = stream.freeze();
            let mut borders: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len())).collect();
            borders.extend([0, stream.len()]);
            borders.sort_unstable();
            let pieces = borders.windows(2).map(|w| stream.slice(w[0]..w[1])).collect();

            let mut decoder = ChunkDecoder::new(size);
            prop_assert_eq!(chunks(&mut decoder, pieces).unwrap(), sent);
            prop_assert!(decoder.is_between_chunks());
            prop_assert_eq!(decoder.padded_prefixes(), 0);
        }

        #[test]
        fn any_bytes_give_parts_within_the_maximum_or_an_error(
            max in 1u32..70_000,
            bytes: Vec<u8>,
        ) {
            let mut piece = Bytes::from(bytes);
            let mut decoder = ChunkDecoder::new(size(max));
            while let Ok(Some(part)) = decoder.next_part(&mut piece) {
                prop_assert!(part.total <= max);
            }
        }
    }
}
