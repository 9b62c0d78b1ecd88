//! Frames that a read has cut, whole again.

/// Walks over a received stream, frame by frame.
#[derive(Debug, Default)]
pub(super) struct Rejoin {
    /// The beginning of a frame whose rest has not arrived.
    kept: Vec<u8>,
}

impl Rejoin {
    /// Takes the next bytes of the stream. `frame` gets all that is at hand and gives the length of
    /// the first frame in it, or nothing if that is not all there: then it is called again when
    /// more has arrived.
    ///
    /// # Errors
    ///
    /// Those of `frame`; feed nothing more then.
    pub(super) fn feed(
        &mut self,
        bytes: &[u8],
        mut frame: impl FnMut(&[u8]) -> Result<Option<usize>, &'static str>,
    ) -> Result<(), &'static str> {
        let mut kept = std::mem::take(&mut self.kept);
        let mut left = if kept.is_empty() {
            bytes
        } else {
            kept.extend_from_slice(bytes);
            &kept[..]
        };
        while !left.is_empty()
            && let Some(length) = frame(left)?
        {
            left = &left[length..];
        }
        self.kept.extend_from_slice(left);
        Ok(())
    }
}
