//! Varints and frames (section 2).
//!
//! ```text
//! frame = length varint | type u8 | body
//!         length counts type and body: 1..=frame_bytes_max
//! ```

use bytes::{BufMut, Bytes};
use crosspoint_hub::Reason;
use crosspoint_hub::input::Input;
use thiserror::Error;

/// What a client sends before its first frame: `XPT1`. No other protocol begins with it.
pub const MAGIC: [u8; 4] = *b"XPT1";

/// Payloads above twice this size are sent in parts of at most this size, so that a large message
/// does not hold up others for longer than one part takes.
pub const PART_BYTES_MAX: usize = 16 * 1024;

/// The largest frame that every client takes.
pub const FRAME_BYTES_MAX: usize = 64 * 1024;

/// The most bytes of a data frame besides its payload and its length: type, two numbers, kind,
/// total and offset.
pub const DATA_HEADER_BYTES_MAX: usize = 1 + 2 * VARINT_BYTES_MAX + 1 + 2 * VARINT_BYTES_MAX;

/// Bytes of the longest varint: 32 bits, 7 in each byte.
const VARINT_BYTES_MAX: usize = 5;

/// A rule of this protocol that received bytes break.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("{}", rule.unwrap_or("no rule"))]
pub struct Broken {
    /// Why the session ends.
    pub reason: Reason,
    /// The rule, and how it was broken. `None` if the reason says it all.
    pub rule: Option<&'static str>,
}

impl Broken {
    /// [`Reason::Malformed`], because of this.
    pub(crate) const fn malformed(rule: &'static str) -> Self {
        Self { reason: Reason::Malformed, rule: Some(rule) }
    }

    /// [`Reason::TooLarge`], because of this.
    pub(crate) const fn too_large(rule: &'static str) -> Self {
        Self { reason: Reason::TooLarge, rule: Some(rule) }
    }
}

impl From<Reason> for Broken {
    fn from(reason: Reason) -> Self {
        Self { reason, rule: None }
    }
}

impl From<Broken> for Reason {
    fn from(broken: Broken) -> Self {
        broken.reason
    }
}

/// A body that is shorter than what its frame has to hold.
const ENDS_EARLY: Broken = Broken::malformed("it ends before all its fields");

/// Appends an unsigned LEB128 varint.
pub fn put_varint(mut value: u32, out: &mut impl BufMut) {
    while value >= 0x80 {
        out.put_u8(value as u8 | 0x80);
        value >>= 7;
    }
    out.put_u8(value as u8);
}

/// Reads a varint from the front. `None`: more bytes are needed.
///
/// # Errors
/// [`Reason::Malformed`] above 32 bits.
pub fn peek_varint(bytes: &[u8]) -> Result<Option<(u32, usize)>, Broken> {
    const TOO_LONG: Broken = Broken::malformed("a number has more than 32 bits");
    let mut value = 0u64;
    for (index, byte) in bytes.iter().take(VARINT_BYTES_MAX).enumerate() {
        value |= u64::from(byte & 0x7f) << (7 * index);
        if byte & 0x80 == 0 {
            let value = u32::try_from(value).map_err(|_| TOO_LONG)?;
            return Ok(Some((value, index + 1)));
        }
    }
    if bytes.len() >= VARINT_BYTES_MAX { Err(TOO_LONG) } else { Ok(None) }
}

/// A frame taken from the input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// Its type (section 3).
    pub kind: u8,
    /// The rest.
    pub body: Body,
}

/// Takes the next frame, if it is there whole.
///
/// # Errors
/// [`Reason::Malformed`] for a length of 0, [`Reason::TooLarge`] above the maximum.
pub fn next_frame(input: &mut Input, frame_bytes_max: usize) -> Result<Option<Frame>, Broken> {
    let Some((length, header)) = peek_varint(input.head())? else {
        return Ok(None);
    };
    let length = length as usize;
    if length == 0 {
        return Err(Broken::malformed("its length is 0, but its type counts"));
    }
    if length > frame_bytes_max {
        return Err(Broken::too_large("it is longer than the hub takes (frame_max in WELCOME)"));
    }
    if input.len() < header + length {
        return Ok(None);
    }
    // A length has so few bytes that the type is in the head too.
    let kind = input.head()[header];
    input.skip(header + 1);
    Ok(Some(Frame { kind, body: Body(input.take(length - 1)) }))
}

/// The body of a frame, read from the front.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Body(pub Bytes);

impl Body {
    /// # Errors
    /// [`Reason::Malformed`] if it is not there.
    pub fn varint(&mut self) -> Result<u32, Broken> {
        let (value, length) = peek_varint(&self.0)?.ok_or(ENDS_EARLY)?;
        let _ = self.0.split_to(length);
        Ok(value)
    }

    /// # Errors
    /// [`Reason::Malformed`] if it is not there.
    pub fn byte(&mut self) -> Result<u8, Broken> {
        Ok(self.bytes(1)?[0])
    }

    /// # Errors
    /// [`Reason::Malformed`] if there are fewer.
    pub fn bytes(&mut self, count: usize) -> Result<Bytes, Broken> {
        if self.0.len() < count {
            return Err(ENDS_EARLY);
        }
        Ok(self.0.split_to(count))
    }

    /// Bytes behind their count.
    ///
    /// # Errors
    /// [`Reason::Malformed`] if there are fewer.
    pub fn counted(&mut self) -> Result<Bytes, Broken> {
        let count = self.varint()? as usize;
        self.bytes(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn varints_are_little_end_first_with_seven_bits_each() {
        let mut out = Vec::new();
        put_varint(300, &mut out);
        assert_eq!(out, [0xac, 0x02]);
        assert_eq!(peek_varint(&[0xac]), Ok(None));
        for long in [[0xff; 5], [0xff, 0xff, 0xff, 0xff, 0x1f]] {
            assert_eq!(peek_varint(&long).map_err(Reason::from), Err(Reason::Malformed));
        }
    }

    #[test]
    fn a_frame_is_taken_only_whole_and_never_above_the_maximum() {
        let mut input = Input::default();
        input.push(Bytes::from_static(&[3, 0x10, 1]));
        assert_eq!(next_frame(&mut input, 3), Ok(None));
        input.push(Bytes::from_static(&[2, 4]));
        let frame = Frame { kind: 0x10, body: Body(Bytes::from_static(&[1, 2])) };
        assert_eq!(next_frame(&mut input, 3), Ok(Some(frame)));
        assert_eq!(next_frame(&mut input, 3).map_err(Reason::from), Err(Reason::TooLarge));
        input.skip(1);
        input.push(Bytes::from_static(&[0]));
        assert_eq!(next_frame(&mut input, 3).map_err(Reason::from), Err(Reason::Malformed));
    }

    proptest! {
        #[test]
        fn every_varint_comes_back(value: u32) {
            let mut out = Vec::new();
            put_varint(value, &mut out);
            prop_assert_eq!(peek_varint(&out), Ok(Some((value, out.len()))));
        }
    }
}
