//! The body of a message of the hub, put together from a packet and the attachments behind it.

use bytes::Bytes;

/// A body that may still wait for attachments. Each of them is copied once, so that it keeps no large read alive.
#[derive(Debug)]
pub struct Body {
    bytes: Vec<u8>,
    missing: u8,
    put_length: fn(u32, &mut Vec<u8>),
}

impl Body {
    /// A body that is complete.
    pub(super) fn complete(bytes: Vec<u8>) -> Self {
        Self { bytes, missing: 0, put_length: |_, _| {} }
    }

    /// A body that waits for attachments. `put_length` writes the length in front of each.
    pub(super) fn begin(
        bytes: Vec<u8>,
        attachments: u8,
        put_length: fn(u32, &mut Vec<u8>),
    ) -> Self {
        Self { bytes, missing: attachments, put_length }
    }

    /// How many attachments have yet to come.
    pub fn missing(&self) -> u8 {
        self.missing
    }

    /// How many bytes there are so far.
    pub fn len(&self) -> usize {
        self.bytes.len()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// Adds the next attachment.
    ///
    /// # Panics
    /// If none is missing, or it has 4 GiB, which no limit allows.
    pub fn attach(&mut self, attachment: &[u8]) {
        self.missing = self.missing.checked_sub(1).expect("an attachment is missing");
        let length = u32::try_from(attachment.len()).expect("an attachment is smaller than 4 GiB");
        self.bytes.reserve(LENGTH_BYTES_MAX + attachment.len());
        (self.put_length)(length, &mut self.bytes);
        self.bytes.extend_from_slice(attachment);
    }

    /// The whole body, or `None` as long as attachments are missing.
    pub fn finish(self) -> Option<Bytes> {
        (self.missing == 0).then(|| self.bytes.into())
    }
}

/// The most bytes of a length.
const LENGTH_BYTES_MAX: usize = 5;
