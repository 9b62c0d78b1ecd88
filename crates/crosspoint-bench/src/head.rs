//! What the beginning of a frame tells a receiver.

/// What the beginning of a frame says about its extent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Head {
    /// More bytes are needed to say.
    Short,
    /// The frame holds, in this order, so many bytes.
    Frame {
        /// Bytes before the data, counted from the beginning of the frame.
        before: usize,
        /// Data bytes.
        data: usize,
        /// Bytes after the data.
        after: usize,
    },
    /// This is no frame; why.
    Wrong(&'static str),
}
