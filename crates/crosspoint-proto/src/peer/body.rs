//! Bodies of messages, read and written (docs/peers.md, section 2).

use super::content::Text;
use super::error::Broken;
use super::sizes::{METADATA_BYTES_MAX, NAME_BYTES_MAX, RESET_TEXT_BYTES_MAX};
use super::stream_id::StreamId;
use crate::frame::{peek_varint, put_varint};
use bytes::{Buf, BufMut, Bytes};
use crosspoint_hub::payload::{Failure, Format, Payload};

/// Kinds of messages. Those of [`secure`](super::secure) never come as far as a machine.
#[allow(missing_docs, reason = "the names are those of the specification")]
pub mod kind {
    pub const MESSAGE: u8 = 0x10;
    pub const REQUEST: u8 = 0x11;
    pub const RESULT: u8 = 0x12;
    pub const FAILURE: u8 = 0x13;
    pub const CANCEL: u8 = 0x14;
    pub const NOTIFY: u8 = 0x15;
    pub const OPEN: u8 = 0x18;
    pub const ACCEPT: u8 = 0x19;
    pub const BYTES: u8 = 0x1a;
    pub const CREDIT: u8 = 0x1b;
    pub const END: u8 = 0x1c;
    pub const RESET: u8 = 0x1d;
    pub const CLOCK: u8 = 0x1e;
    pub const TIME: u8 = 0x1f;

    /// The last of those that typed calls use, from 0.
    pub const TYPED_LAST: u8 = 2;
    /// In kinds that a receiver may skip.
    pub const IGNORABLE: u8 = 0x80;
}

/// A message of the other side, understood. Whether it comes at the right time is not checked.
#[derive(Debug, Clone, PartialEq, Eq)]
#[allow(missing_docs, reason = "the names are those of the specification")]
pub enum Incoming {
    Typed { kind: u8, body: Bytes },
    Message(Payload),
    Request { id: u32, time_ms: u32, method: Text, payload: Payload },
    Result { id: u32, payload: Payload },
    Failure { id: u32, failure: Failure },
    Cancel { id: u32 },
    Notify { method: Text, payload: Payload },
    Open { stream: StreamId, window: u32, name: Text, metadata: Bytes },
    Accept { stream: StreamId, window: u32 },
    Bytes { stream: StreamId, bytes: Bytes },
    Credit { stream: StreamId, more: u32 },
    End { stream: StreamId },
    Reset { stream: StreamId, code: u32, text: Text },
    Clock { token: [u8; 8] },
    Time { token: [u8; 8], clock_us: u64 },
}

/// Reads a body. `None`: of a kind that is not known and may be skipped.
///
/// # Errors
/// Those of [`Broken`] that a message alone can show.
pub fn parse(kind: u8, body: Bytes) -> Result<Option<Incoming>, Broken> {
    let mut body = Body { kind, rest: body };
    Ok(Some(match kind {
        0..=kind::TYPED_LAST => Incoming::Typed { kind, body: body.rest },
        kind::MESSAGE => Incoming::Message(body.payload()?),
        kind::REQUEST => Incoming::Request {
            id: body.varint()?,
            time_ms: body.varint()?,
            method: body.name()?,
            payload: body.payload()?,
        },
        kind::RESULT => Incoming::Result { id: body.varint()?, payload: body.payload()? },
        kind::FAILURE => Incoming::Failure {
            id: body.varint()?,
            failure: Failure {
                code: body.varint()?,
                message: body.counted_text(usize::MAX)?.as_str().to_owned(),
                details: body.payload()?,
            },
        },
        kind::CANCEL => Incoming::Cancel { id: body.varint()? },
        kind::NOTIFY => Incoming::Notify { method: body.name()?, payload: body.payload()? },
        kind::OPEN => Incoming::Open {
            stream: body.stream()?,
            window: body.varint()?,
            name: body.name()?,
            metadata: body.rest(METADATA_BYTES_MAX)?,
        },
        kind::ACCEPT => Incoming::Accept { stream: body.stream()?, window: body.varint()? },
        kind::BYTES => Incoming::Bytes { stream: body.stream()?, bytes: body.rest },
        kind::CREDIT => Incoming::Credit { stream: body.stream()?, more: body.varint()? },
        kind::END => Incoming::End { stream: body.stream()? },
        kind::RESET => Incoming::Reset {
            stream: body.stream()?,
            code: body.varint()?,
            text: body.rest(RESET_TEXT_BYTES_MAX).and_then(|text| body.text(text))?,
        },
        kind::CLOCK => Incoming::Clock { token: body.eight()? },
        kind::TIME => {
            Incoming::Time { token: body.eight()?, clock_us: u64::from_be_bytes(body.eight()?) }
        }
        kind::IGNORABLE.. => return Ok(None),
        _ => return Err(Broken::Kind(kind)),
    }))
}

/// A body, read from the front. Nothing is cloned for a number, and payloads are what is left.
struct Body {
    kind: u8,
    rest: Bytes,
}

impl Body {
    fn varint(&mut self) -> Result<u32, Broken> {
        let broken = Broken::Body(self.kind);
        let (value, length) = peek_varint(&self.rest).map_err(|_| broken)?.ok_or(broken)?;
        self.rest.advance(length);
        Ok(value)
    }

    fn stream(&mut self) -> Result<StreamId, Broken> {
        self.varint().map(StreamId)
    }

    fn eight(&mut self) -> Result<[u8; 8], Broken> {
        let eight = *self.rest.first_chunk().ok_or(Broken::Body(self.kind))?;
        self.rest.advance(8);
        Ok(eight)
    }

    fn payload(&mut self) -> Result<Payload, Broken> {
        let format = Format(*self.rest.first().ok_or(Broken::Body(self.kind))?);
        self.rest.advance(1);
        Ok(Payload { format, data: std::mem::take(&mut self.rest) })
    }

    fn name(&mut self) -> Result<Text, Broken> {
        self.counted_text(NAME_BYTES_MAX)
    }

    fn counted_text(&mut self, most: usize) -> Result<Text, Broken> {
        let count = self.varint()? as usize;
        if count > most {
            return Err(Broken::TooLarge { kind: self.kind, bytes: count, most });
        }
        if count > self.rest.len() {
            return Err(Broken::Body(self.kind));
        }
        let text = self.rest.split_to(count);
        self.text(text)
    }

    fn text(&self, bytes: Bytes) -> Result<Text, Broken> {
        Text::new(bytes).ok_or(Broken::Text(self.kind))
    }

    fn rest(&mut self, most: usize) -> Result<Bytes, Broken> {
        let bytes = self.rest.len();
        if bytes > most {
            return Err(Broken::TooLarge { kind: self.kind, bytes, most });
        }
        Ok(std::mem::take(&mut self.rest))
    }
}

/// Bytes of a varint.
pub(super) fn varint_bytes(value: u32) -> usize {
    // Seven bits in each; a zero has one byte too.
    (32 - (value | 1).leading_zeros() as usize).div_ceil(7)
}

/// Numbers and counted texts, format, payload: the form that all bodies have a part of. Writes in
/// one allocation of exactly the size that is needed.
#[derive(Debug, Clone, Copy, Default)]
pub struct Form<'a> {
    /// They come first.
    pub numbers: &'a [u32],
    /// Text behind its count.
    pub counted: Option<&'a str>,
    /// How to read the rest.
    pub format: Option<Format>,
    /// All the rest.
    pub rest: &'a [u8],
}

impl Form<'_> {
    /// Bytes of the body.
    #[allow(clippy::len_without_is_empty, reason = "no message has the form of nothing")]
    pub fn len(&self) -> usize {
        let numbers: usize = self.numbers.iter().map(|number| varint_bytes(*number)).sum();
        let counted = self.counted.map_or(0, |text| varint_bytes(count(text)) + text.len());
        numbers + counted + usize::from(self.format.is_some()) + self.rest.len()
    }

    /// The body.
    pub fn write(&self) -> Bytes {
        let mut out = Vec::with_capacity(self.len());
        for number in self.numbers {
            put_varint(*number, &mut out);
        }
        if let Some(text) = self.counted {
            put_varint(count(text), &mut out);
            out.put_slice(text.as_bytes());
        }
        if let Some(Format(format)) = self.format {
            out.put_u8(format);
        }
        out.put_slice(self.rest);
        out.into()
    }
}

/// Far above 32 bits the sum of the lengths is above every bound, so the message is not written.
fn count(text: &str) -> u32 {
    u32::try_from(text.len()).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_form_is_as_long_as_it_says() {
        for shift in 0..32 {
            let number = u32::MAX >> shift;
            let form = Form {
                numbers: &[number, number / 2 + 1, 0],
                counted: Some("name"),
                format: Some(Format::JSON),
                rest: b"rest",
            };
            assert_eq!(form.write().len(), form.len());
        }
    }

    #[test]
    fn payloads_and_texts_share_the_memory_of_their_message() {
        let form = Form {
            numbers: &[300, 1000],
            counted: Some("user.rename"),
            format: Some(Format::TEXT),
            rest: b"ann",
        };
        let body = form.write();
        let within = |part: &[u8]| body.as_ptr_range().contains(&part.as_ptr());
        let parsed = parse(kind::REQUEST, body.clone());
        let Ok(Some(Incoming::Request { id: 300, time_ms: 1000, method, payload })) = parsed else {
            panic!("a request comes back: {parsed:?}");
        };
        assert_eq!(method, "user.rename");
        assert_eq!(payload, Payload::text("ann"));
        assert!(within(method.as_bytes()) && within(&payload.data));
    }
}
