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

/// Bytes of JSON around the data of a delivery.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Around {
    /// Before it, with the quotation mark.
    pub before: usize,
    /// After it, with the quotation mark.
    pub after: usize,
}

impl Around {
    /// Only quotation marks: the delivery is a string.
    pub const QUOTES: Around = Around { before: 1, after: 1 };
}
