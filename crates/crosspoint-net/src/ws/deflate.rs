//! permessage-deflate (RFC 7692): messages are compressed one by one, without context takeover.
//!
//! No connection has a compressor. Each thread has one in each direction, made when it is needed first, and a
//! message that comes in fragments waits compressed until it is whole.

use super::WsError;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, FlushCompress};
use miniz_oxide::inflate::TINFLStatus as Status;
use miniz_oxide::inflate::core::{DecompressorOxide, decompress, inflate_flags};
use std::cell::RefCell;

/// The largest message that is compressed, in bytes. Larger ones are sent as they are.
pub const MESSAGE_BYTES_MAX: usize = 1 << 20;

/// What was agreed on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Deflate {
    /// The smallest message that this side compresses, in bytes.
    pub bytes_min: u32,
    /// The largest message of the other side in bytes, inflated, if it is compressed. The bounds of frames and
    /// messages hold for it as well.
    pub inflated_bytes_max: u32,
}

/// The end of each compressed message, which is not sent (section 7.2.1).
const TAIL: [u8; 4] = [0, 0, 0xff, 0xff];

/// A last block without content: it is understood only where a block may begin.
const LAST_BLOCK: [u8; 2] = [3, 0];

/// The most blocks of one message, besides one for each [`BLOCK_BYTES`] that are inflated. The tables of a block cost
/// more to make than many bytes to inflate, and a block may have ten bits and no content. Compressors write one or two
/// where they are told to flush, and else have some thousand symbols in each.
const BLOCKS_MAX: u64 = 256;

/// As many bytes take about as long to inflate as the tables of a block to make.
pub const BLOCK_BYTES: u64 = 1024;

/// The first room for a message that is inflated. It doubles when it is full.
const ROOM_BYTES: usize = 1024;

/// The most bytes of one stored block.
const STORED_BYTES_MAX: usize = u16::MAX as usize;

struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

thread_local! {
    static DEFLATER: RefCell<Option<Box<Deflater>>> = const { RefCell::new(None) };
    static INFLATER: RefCell<Option<Box<DecompressorOxide>>> = const { RefCell::new(None) };
}

/// The most bytes that a message of this length may have compressed: deflate stores what it cannot make smaller,
/// with a few bytes more for each block.
pub(super) const fn deflated_bytes_max(inflated: u64) -> u64 {
    inflated.saturating_add(inflated / 64 + 64)
}

/// Compresses bytes that end a message, or are a message. `None` if they would not become smaller.
pub fn deflate(bytes: &[u8]) -> Option<Bytes> {
    DEFLATER.with_borrow_mut(|deflater| {
        let Deflater { compress, out } = &mut **deflater.get_or_insert_with(|| {
            let compress = Compress::new(Compression::fast(), false);
            Box::new(Deflater { compress, out: Vec::new() })
        });
        compress.reset();
        if out.len() < bytes.len() {
            out.resize(bytes.len(), 0);
        }
        // When this is full, the rest need not be looked at: it would become no smaller.
        let out = &mut out[..bytes.len()];
        compress.compress(bytes, out, FlushCompress::Sync).ok()?;
        let (taken, given) = (compress.total_in() as usize, compress.total_out() as usize);
        let whole = taken == bytes.len() && given < out.len();
        out[..given].strip_suffix(&TAIL).filter(|_| whole).map(Bytes::copy_from_slice)
    })
}

/// Writes bytes that begin a message as they are, in the form of compressed ones: what follows can be shared among
/// messages that begin differently.
pub fn store(bytes: &[u8], out: &mut BytesMut) {
    for block in bytes.chunks(STORED_BYTES_MAX) {
        let length = block.len() as u16;
        out.put_u8(0);
        out.put_u16_le(length);
        out.put_u16_le(!length);
        out.put_slice(block);
    }
}

/// A message that was inflated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InflatedMessage {
    /// The message.
    pub bytes: Bytes,
    /// Of how many blocks it was made.
    pub blocks: u64,
}

/// Inflates a message. It never takes more than twice the memory of `bytes_max`.
///
/// # Errors
/// [`WsError::Deflate`] if it is not whole and nothing else, or has too many blocks for its length;
/// [`WsError::MessageTooLarge`] above `bytes_max`.
pub fn inflate(message: &[u8], bytes_max: u64) -> Result<InflatedMessage, WsError> {
    if message.is_empty() {
        return Ok(InflatedMessage { bytes: Bytes::new(), blocks: 0 });
    }
    INFLATER.with_borrow_mut(|inflater| {
        let decompressor = &mut **inflater.get_or_insert_with(Box::default);
        decompressor.init();
        let mut reader = Reader { decompressor, out: Vec::new(), length: 0, bytes_max, blocks: 0 };
        reader.feed(message)?;
        reader.feed(&TAIL)?;
        // Where this is no end, the message was cut off in the middle of a block.
        match reader.step(&LAST_BLOCK) {
            (Status::Done, _, 0) => {}
            _ => return Err(WsError::Deflate),
        }
        let Reader { mut out, length, blocks, .. } = reader;
        out.truncate(length);
        Ok(InflatedMessage { bytes: out.into(), blocks })
    })
}

/// A message that is inflated.
struct Reader<'a> {
    decompressor: &'a mut DecompressorOxide,
    /// What was inflated, with room for more.
    out: Vec<u8>,
    length: usize,
    bytes_max: u64,
    blocks: u64,
}

impl Reader<'_> {
    /// Takes a part of the message.
    fn feed(&mut self, mut part: &[u8]) -> Result<(), WsError> {
        loop {
            let (status, taken, _given) = self.step(part);
            part = &part[taken..];
            if self.length as u64 > self.bytes_max {
                return Err(self.too_large());
            }
            match status {
                Status::NeedsMoreInput => return Ok(()),
                Status::HasMoreOutput => self.grow()?,
                Status::BlockBoundary => self.count_block()?,
                // A block that says that it is the last one; blocks without content follow it (section 7.2.3.5).
                Status::Done => {
                    self.count_block()?;
                    self.decompressor.init();
                }
                _ => return Err(WsError::Deflate),
            }
        }
    }

    /// Inflates until the part is used up, there is no room, or a block ends.
    fn step(&mut self, part: &[u8]) -> (Status, usize, usize) {
        // What is copied from before is looked for in this message only.
        const FLAGS: u32 = inflate_flags::TINFL_FLAG_HAS_MORE_INPUT
            | inflate_flags::TINFL_FLAG_USING_NON_WRAPPING_OUTPUT_BUF
            | inflate_flags::TINFL_FLAG_STOP_ON_BLOCK_BOUNDARY;
        let step = decompress(self.decompressor, part, &mut self.out, self.length, FLAGS);
        self.length += step.2;
        step
    }

    fn grow(&mut self) -> Result<(), WsError> {
        // One more than may be, to see whether there is more.
        let most = usize::try_from(self.bytes_max.saturating_add(1)).unwrap_or(usize::MAX);
        if self.out.len() >= most {
            return Err(self.too_large());
        }
        self.out.resize(self.out.len().saturating_mul(2).clamp(ROOM_BYTES.min(most), most), 0);
        Ok(())
    }

    fn count_block(&mut self) -> Result<(), WsError> {
        self.blocks += 1;
        match self.blocks > BLOCKS_MAX + self.length as u64 / BLOCK_BYTES {
            true => Err(WsError::Deflate),
            false => Ok(()),
        }
    }

    fn too_large(&self) -> WsError {
        WsError::MessageTooLarge { max: self.bytes_max }
    }
}
