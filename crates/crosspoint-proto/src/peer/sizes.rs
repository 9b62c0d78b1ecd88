//! The bounds of what is in a message (docs/peers.md, section 2).

use crate::frame::PART_BYTES_MAX;

/// The longest method, and the longest name of a stream.
pub const NAME_BYTES_MAX: usize = 255;

/// The most metadata of a stream.
pub const METADATA_BYTES_MAX: usize = 16 * 1024;

/// The longest text of a RESET.
pub const RESET_TEXT_BYTES_MAX: usize = 1024;

/// The largest window.
pub const WINDOW_MAX: u32 = (1 << 31) - 1;

/// How much of a stream this implementation sends in one message, so that streams and messages
/// take turns and a message fits into one part.
pub const BYTES_MAX: usize = PART_BYTES_MAX;
