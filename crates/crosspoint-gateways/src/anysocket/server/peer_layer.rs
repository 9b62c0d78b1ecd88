//! The part of the peer layer that a peer of AnySocket can take part in (docs/peers.md, sections 2 to 5),
//! which is what native peers speak over the links of the hub.

use crate::anysocket::wire::KIND_PACKET;
use bytes::{Buf, Bytes};
use crosspoint_hub::payload::{Failure, Format, Payload};

mod kind {
    pub(super) const TYPED_LAST: u8 = 2;
    pub(super) const MESSAGE: u8 = 0x10;
    pub(super) const REQUEST: u8 = 0x11;
    pub(super) const RESULT: u8 = 0x12;
    pub(super) const FAILURE: u8 = 0x13;
    pub(super) const CANCEL: u8 = 0x14;
    pub(super) const NOTIFY: u8 = 0x15;
    pub(super) const OPEN: u8 = 0x18;
    pub(super) const ACCEPT: u8 = 0x19;
    pub(super) const END: u8 = 0x1c;
    pub(super) const RESET: u8 = 0x1d;
    pub(super) const CLOCK: u8 = 0x1e;
    pub(super) const TIME: u8 = 0x1f;
    pub(super) const HANDSHAKE: u8 = 0x20;
    pub(super) const SEALED: u8 = 0x21;
    /// Those from here on may be skipped.
    pub(super) const IGNORABLE: u8 = 0x80;
}

/// The longest method, in bytes.
pub(super) const METHOD_BYTES_MAX: usize = 255;

/// The purpose of links for requests alone: a map in MessagePack, `{"requests": true}` (docs/peers.md,
/// section 1).
pub(super) const FOR_REQUESTS: &[u8] = b"\x81\xa8requests\xc3";

/// What the other side of a link says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Heard {
    Message(Payload),
    Request {
        id: u32,
        time_ms: u32,
        method: String,
        payload: Payload,
    },
    Result {
        id: u32,
        payload: Payload,
    },
    Failure {
        id: u32,
        failure: Failure,
    },
    Cancel {
        id: u32,
    },
    Notify {
        method: String,
        payload: Payload,
    },
    /// A stream is offered.
    Open {
        stream: u32,
    },
    Clock {
        token: [u8; 8],
    },
    Time {
        token: [u8; 8],
        clock_us: u64,
    },
    /// Encryption is asked for, for which there are no keys here.
    Handshake,
    /// Nothing that matters here.
    Nothing,
}

/// A message that breaks the rules; the link should end.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Broken;

/// Reads a message.
pub(super) fn read(kind: u8, body: Bytes) -> Result<Heard, Broken> {
    let mut body = Body(body);
    Ok(match kind {
        kind::MESSAGE => Heard::Message(body.payload()?),
        kind::REQUEST => Heard::Request {
            id: body.varint()?,
            time_ms: body.varint()?,
            method: body.method()?,
            payload: body.payload()?,
        },
        kind::RESULT => Heard::Result { id: body.varint()?, payload: body.payload()? },
        kind::FAILURE => {
            let (id, code) = (body.varint()?, body.varint()?);
            let (message, details) = (body.text()?, body.payload()?);
            Heard::Failure { id, failure: Failure { code, message, details } }
        }
        kind::CANCEL => Heard::Cancel { id: body.varint()? },
        kind::NOTIFY => Heard::Notify { method: body.method()?, payload: body.payload()? },
        kind::OPEN => Heard::Open { stream: body.varint()? },
        kind::CLOCK => Heard::Clock { token: body.eight()? },
        kind::TIME => {
            Heard::Time { token: body.eight()?, clock_us: u64::from_be_bytes(body.eight()?) }
        }
        kind::HANDSHAKE | kind::SEALED => Heard::Handshake,
        // Streams were all refused, and what comes for them was sent before that was known.
        0..=kind::TYPED_LAST | kind::ACCEPT..=kind::END | kind::RESET | KIND_PACKET => {
            Heard::Nothing
        }
        kind::IGNORABLE.. => Heard::Nothing,
        _ => return Err(Broken),
    })
}

struct Body(Bytes);

impl Body {
    fn varint(&mut self) -> Result<u32, Broken> {
        let mut value = 0u64;
        for index in 0..5 {
            let byte = self.0.try_get_u8().map_err(|_| Broken)?;
            value |= u64::from(byte & 0x7f) << (7 * index);
            if byte & 0x80 == 0 {
                return u32::try_from(value).map_err(|_| Broken);
            }
        }
        Err(Broken)
    }

    fn eight(&mut self) -> Result<[u8; 8], Broken> {
        let eight = *self.0.first_chunk().ok_or(Broken)?;
        self.0.advance(8);
        Ok(eight)
    }

    fn text(&mut self) -> Result<String, Broken> {
        let count = self.varint()? as usize;
        if count > self.0.len() {
            return Err(Broken);
        }
        let text = self.0.split_to(count);
        std::str::from_utf8(&text).map(str::to_owned).map_err(|_| Broken)
    }

    fn method(&mut self) -> Result<String, Broken> {
        self.text().ok().filter(|method| method.len() <= METHOD_BYTES_MAX).ok_or(Broken)
    }

    fn payload(&mut self) -> Result<Payload, Broken> {
        let format = Format(self.0.try_get_u8().map_err(|_| Broken)?);
        Ok(Payload { format, data: std::mem::take(&mut self.0) })
    }
}

/// A message to the other side.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) kind: u8,
    pub(super) body: Bytes,
}

/// MESSAGE.
pub(super) fn message(payload: &Payload) -> Said {
    say(kind::MESSAGE, &[], None, Some(payload))
}

/// REQUEST. A time of 0 is for ever.
pub(super) fn request(id: u32, time_ms: u32, method: &str, payload: &Payload) -> Said {
    say(kind::REQUEST, &[id, time_ms], Some(method), Some(payload))
}

/// RESULT.
pub(super) fn result(id: u32, payload: &Payload) -> Said {
    say(kind::RESULT, &[id], None, Some(payload))
}

/// FAILURE.
pub(super) fn failure(id: u32, failure: &Failure) -> Said {
    say(kind::FAILURE, &[id, failure.code], Some(&failure.message), Some(&failure.details))
}

/// CANCEL.
pub(super) fn cancel(id: u32) -> Said {
    say(kind::CANCEL, &[id], None, None)
}

/// NOTIFY.
pub(super) fn notify(method: &str, payload: &Payload) -> Said {
    say(kind::NOTIFY, &[], Some(method), Some(payload))
}

/// RESET of a stream that nobody accepts.
pub(super) fn no_stream(stream: u32) -> Said {
    say(kind::RESET, &[stream, Failure::NO_METHOD], None, None)
}

/// CLOCK.
pub(super) fn clock(token: u64) -> Said {
    Said { kind: kind::CLOCK, body: Bytes::copy_from_slice(&token.to_be_bytes()) }
}

/// TIME.
pub(super) fn time(token: [u8; 8], clock_us: u64) -> Said {
    Said { kind: kind::TIME, body: [token, clock_us.to_be_bytes()].concat().into() }
}

fn say(kind: u8, numbers: &[u32], counted: Option<&str>, payload: Option<&Payload>) -> Said {
    let length = counted.map_or(0, str::len) + payload.map_or(0, |payload| payload.data.len());
    let mut out = Vec::with_capacity(5 * (numbers.len() + 1) + 1 + length);
    numbers.iter().for_each(|number| put_varint(*number, &mut out));
    if let Some(text) = counted {
        // Longer texts are above the bound of every link, so the message is not sent.
        put_varint(u32::try_from(text.len()).unwrap_or(u32::MAX), &mut out);
        out.extend_from_slice(text.as_bytes());
    }
    if let Some(Payload { format, data }) = payload {
        out.push(format.0);
        out.extend_from_slice(data);
    }
    Said { kind, body: out.into() }
}

fn put_varint(mut value: u32, out: &mut Vec<u8>) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn heard(said: Said) -> Heard {
        read(said.kind, said.body).expect("it was written here")
    }

    proptest! {
        #[test]
        fn what_is_said_is_heard(
            id: u32, time_ms: u32, text in "\\PC{0,60}", format: u8, data: Vec<u8>,
        ) {
            let payload = Payload::new(Format(format), data);
            let method = text.clone();
            prop_assert_eq!(heard(message(&payload)), Heard::Message(payload.clone()));
            prop_assert_eq!(
                heard(request(id, time_ms, &text, &payload)),
                Heard::Request { id, time_ms, method: method.clone(), payload: payload.clone() }
            );
            prop_assert_eq!(
                heard(result(id, &payload)),
                Heard::Result { id, payload: payload.clone() }
            );
            let failed = Failure { code: time_ms, message: text.clone(), details: payload.clone() };
            prop_assert_eq!(heard(failure(id, &failed)), Heard::Failure { id, failure: failed });
            prop_assert_eq!(heard(cancel(id)), Heard::Cancel { id });
            prop_assert_eq!(
                heard(notify(&text, &payload)),
                Heard::Notify { method, payload }
            );
        }

        #[test]
        fn random_bodies_do_no_harm(kind: u8, body: Vec<u8>) {
            let _understood = read(kind, body.into());
        }
    }

    #[test]
    fn the_examples_of_the_specification_are_understood() {
        let read = |kind, body: &'static [u8]| read(kind, Bytes::from_static(body));
        let request = b"\x00\x88\x27\x0buser.rename\x02\"ann\"";
        let payload = Payload::new(Format::JSON, "\"ann\"");
        let method = "user.rename".to_owned();
        assert_eq!(
            read(0x11, request),
            Ok(Heard::Request { id: 0, time_ms: 5000, method, payload })
        );
        let failed = Failure::new(404, "nobody");
        let failed = Heard::Failure { id: 0, failure: failed };
        assert_eq!(read(0x13, b"\x00\x94\x03\x06nobody\x00"), Ok(failed));
        assert_eq!(read(0x18, b"\x00\x80\x80\x10\x04filea.png"), Ok(Heard::Open { stream: 0 }));
        assert_eq!(heard(clock(1)), Heard::Clock { token: [0, 0, 0, 0, 0, 0, 0, 1] });
        let wanted = Heard::Time { token: [7; 8], clock_us: 1_700_000_000_000_000 };
        assert_eq!(heard(time([7; 8], 1_700_000_000_000_000)), wanted);
    }

    #[test]
    fn what_breaks_the_rules_breaks_the_link_and_what_is_for_others_is_skipped() {
        for (kind, body) in [
            (0x10, &b""[..]),
            (0x11, b"\x80\x80\x80\x80\x10\x00\x00\x00"),
            (0x11, b"\x00\x00\x05abc\x00"),
            (0x11, b"\x00\x00\x01\xff\x00"),
            (0x12, b"\x00"),
            (0x14, b""),
            (0x1e, b"1234567"),
            (0x16, b""),
            (0x3f, b""),
        ] {
            assert_eq!(read(kind, Bytes::from_static(body)), Err(Broken), "{kind:#x}");
        }
        let long = Bytes::from([&[0, 0, 0x80, 0x02][..], &[b'x'; 256], &[0]].concat());
        assert_eq!(read(0x11, long), Err(Broken));
        for kind in [0, 1, 2, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x40, 0x80, 0xff] {
            assert_eq!(read(kind, Bytes::new()), Ok(Heard::Nothing), "{kind:#x}");
        }
    }
}
