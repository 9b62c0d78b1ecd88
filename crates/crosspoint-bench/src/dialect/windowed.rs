//! The receiver of a stream that may be a window ahead.

use super::Intake;
use crate::unframe::{Framing, Unframer};

/// Finds the data by the frames, and gives credit for each half of the window.
pub(super) struct Windowed {
    unframer: Unframer,
    /// Written for each half of the window, if anything.
    credit: Vec<u8>,
    half: usize,
    /// Bytes of data for which no credit was given yet.
    owed: usize,
}

impl Windowed {
    pub(super) fn new(framing: Framing, credit: Vec<u8>, window: u32) -> Windowed {
        let half = window as usize / 2;
        Windowed { unframer: Unframer::new(framing), credit, half, owed: 0 }
    }

    /// Only the connection slows the sender.
    pub(super) fn without_credit(framing: Framing) -> Windowed {
        Windowed::new(framing, Vec::new(), 0)
    }
}

impl Intake for Windowed {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let mut data = 0;
        self.unframer.feed(bytes, |run| data += run.len())?;
        if !self.credit.is_empty() {
            self.owed += data;
            while self.owed >= self.half {
                self.owed -= self.half;
                out.extend_from_slice(&self.credit);
            }
        }
        Ok(data)
    }
}
