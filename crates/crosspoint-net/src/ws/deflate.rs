//! permessage-deflate (RFC 7692): messages are compressed one by one, without context takeover.
//!
//! No connection has a compressor. Each thread has one in each direction, made when it is needed first, and a
//! message that comes in fragments waits compressed until it is whole.

use super::WsError;
use bytes::{BufMut, Bytes, BytesMut};
use flate2::{Compress, Compression, Decompress, FlushCompress, FlushDecompress, Status};
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

/// The most blocks of one message that say that they are the last one. Compressors write one at most, and each
/// costs the whole window of the decompressor, which is cleared.
const LAST_BLOCKS_MAX: usize = 16;

/// How much is inflated at once.
const STEP_BYTES: usize = 16 * 1024;

/// The most bytes of one stored block.
const STORED_BYTES_MAX: usize = u16::MAX as usize;

struct Deflater {
    compress: Compress,
    out: Vec<u8>,
}

struct Inflater {
    decompress: Decompress,
    out: Box<[u8]>,
}

thread_local! {
    static DEFLATER: RefCell<Option<Box<Deflater>>> = const { RefCell::new(None) };
    static INFLATER: RefCell<Option<Box<Inflater>>> = const { RefCell::new(None) };
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

/// Inflates a message. It never takes more memory than `bytes_max`.
///
/// # Errors
/// [`WsError::Deflate`] if it is not whole and nothing else, [`WsError::MessageTooLarge`] above `bytes_max`.
pub fn inflate(message: &[u8], bytes_max: u64) -> Result<Bytes, WsError> {
    if message.is_empty() {
        return Ok(Bytes::new());
    }
    INFLATER.with_borrow_mut(|inflater| {
        let Inflater { decompress, out } = &mut **inflater.get_or_insert_with(|| {
            let decompress = Decompress::new(false);
            Box::new(Inflater { decompress, out: vec![0; STEP_BYTES].into() })
        });
        decompress.reset(false);
        let mut inflated = BytesMut::new();
        for part in [message, &TAIL] {
            feed(decompress, out, part, &mut inflated, bytes_max)?;
        }
        // Where this is no end, the message was cut off in the middle of a block.
        let before = decompress.total_out();
        match decompress.decompress(&LAST_BLOCK, out, FlushDecompress::Sync) {
            Ok(Status::StreamEnd) if decompress.total_out() == before => Ok(inflated.freeze()),
            _ => Err(WsError::Deflate),
        }
    })
}

/// Inflates a part of a message.
fn feed(
    decompress: &mut Decompress,
    out: &mut [u8],
    mut part: &[u8],
    inflated: &mut BytesMut,
    bytes_max: u64,
) -> Result<(), WsError> {
    let mut last_blocks = 0;
    loop {
        let (before_in, before_out) = (decompress.total_in(), decompress.total_out());
        let status = decompress.decompress(part, out, FlushDecompress::Sync);
        let status = status.map_err(|_| WsError::Deflate)?;
        let taken = (decompress.total_in() - before_in) as usize;
        let given = (decompress.total_out() - before_out) as usize;
        part = &part[taken..];
        if (inflated.len() + given) as u64 > bytes_max {
            return Err(WsError::MessageTooLarge { max: bytes_max });
        }
        inflated.extend_from_slice(&out[..given]);
        if status == Status::StreamEnd {
            // A block that says that it is the last one; blocks without content follow it (section 7.2.3.5).
            last_blocks += 1;
            if last_blocks > LAST_BLOCKS_MAX {
                return Err(WsError::Deflate);
            }
            decompress.reset(false);
        } else if part.is_empty() && given < out.len() {
            return Ok(());
        } else if taken == 0 && given == 0 {
            return if part.is_empty() { Ok(()) } else { Err(WsError::Deflate) };
        }
    }
}
