//! What can be wrong with received frames.

use crosspoint_hub::Reason;
use thiserror::Error;

use super::frame::{CONTROL_BYTES_MAX, CloseCode, Opcode};

/// Why received bytes are not WebSocket frames that this side accepts. The connection should be
/// closed with [`WsError::close_code`]; no later frame can be found.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum WsError {
    /// RSV bits are set that mean nothing here: no extension was negotiated that uses them in such a frame.
    #[error("frame with reserved bits {bits:#04x}, for which no extension was negotiated")]
    ReservedBits {
        /// The bits as they stand in header byte 0.
        bits: u8,
    },
    /// An opcode without a meaning.
    #[error("frame with reserved opcode {opcode:#x}")]
    ReservedOpcode {
        /// The four bits.
        opcode: u8,
    },
    /// A control frame without FIN (section 5.5).
    #[error("{opcode:?} frame is fragmented; control frames must be whole")]
    FragmentedControl {
        /// Which one.
        opcode: Opcode,
    },
    /// A control frame with too much payload (section 5.5).
    #[error("{opcode:?} frame of {len} bytes; control frames have at most {CONTROL_BYTES_MAX}")]
    ControlTooLong {
        /// Which one.
        opcode: Opcode,
        /// Announced payload in bytes.
        len: u64,
    },
    /// A server received an unmasked frame (section 5.1).
    #[error("client sent an unmasked frame; clients must mask")]
    Unmasked,
    /// A client received a masked frame (section 5.1).
    #[error("server sent a masked frame; servers must not mask")]
    Masked,
    /// A continuation frame outside of a message (section 5.4).
    #[error("continuation frame without a message to continue")]
    UnexpectedContinuation,
    /// A new message inside an unfinished one (section 5.4).
    #[error("{opcode:?} frame inside an unfinished message; a continuation was due")]
    ContinuationMissing {
        /// What came instead.
        opcode: Opcode,
    },
    /// A 64-bit length with the top bit set (section 5.2).
    #[error("frame length {len:#x} has its top bit set")]
    LengthTopBit {
        /// The length field.
        len: u64,
    },
    /// A length in a longer form than it needs (section 5.2).
    #[error("frame length {len} is not in its shortest form")]
    LengthNotMinimal {
        /// Announced payload in bytes.
        len: u64,
    },
    /// A data frame above the limit of this side.
    #[error("frame of {len} bytes is above the limit of {max}")]
    FrameTooLarge {
        /// Announced payload in bytes.
        len: u64,
        /// The limit in bytes.
        max: u64,
    },
    /// A message above the limit of this side.
    #[error("message above the limit of {max} bytes; send smaller ones")]
    MessageTooLarge {
        /// The limit in bytes.
        max: u64,
    },
    /// A compressed message that cannot be decompressed (RFC 7692 section 7.2.2).
    #[error("compressed message that is not one whole deflate stream")]
    Deflate,
    /// A text message that is not UTF-8 (section 8.1).
    #[error("text message that is not UTF-8; send other bytes as a binary message")]
    TextNotUtf8,
    /// A close frame with a single byte of payload (section 5.5.1).
    #[error("close frame with half a close code")]
    CloseTruncated,
    /// A close frame with a code that may not be sent (section 7.4).
    #[error("close frame with code {code}, which must not be sent")]
    CloseCode {
        /// The number.
        code: u16,
    },
    /// A close frame whose reason is not UTF-8 (section 5.5.1).
    #[error("close frame whose reason is not UTF-8")]
    CloseReasonNotUtf8,
}

impl WsError {
    /// Why the session in this WebSocket ends.
    pub(crate) const fn reason(&self) -> Reason {
        match self {
            Self::FrameTooLarge { .. } | Self::MessageTooLarge { .. } => Reason::TooLarge,
            _ => Reason::Malformed,
        }
    }

    /// The code to close the connection with.
    #[must_use]
    pub const fn close_code(&self) -> CloseCode {
        match self {
            Self::FrameTooLarge { .. } | Self::MessageTooLarge { .. } => CloseCode::TOO_BIG,
            Self::CloseReasonNotUtf8 | Self::TextNotUtf8 | Self::Deflate => CloseCode::INVALID_DATA,
            _ => CloseCode::PROTOCOL_ERROR,
        }
    }
}
