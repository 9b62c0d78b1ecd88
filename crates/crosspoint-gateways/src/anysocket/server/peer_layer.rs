//! The part of the peer layer that a peer of AnySocket can take part in (docs/peers.md, sections 2 to 5),
//! which is what native peers speak over the links of the hub.

use crate::anysocket::wire::KIND_PACKET;
use bytes::Bytes;
use crosspoint_hub::payload::{Failure, Payload};
use crosspoint_proto::peer::body::{Form, Incoming, parse};
use crosspoint_proto::peer::secure::{HANDSHAKE, SEALED};
use crosspoint_proto::peer::{NAME_BYTES_MAX, code, kind};

/// The longest method, in bytes.
pub(super) const METHOD_BYTES_MAX: usize = NAME_BYTES_MAX;

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
    match kind {
        HANDSHAKE | SEALED => return Ok(Heard::Handshake),
        // Streams were all refused, and what comes for them was sent before that was known.
        0..=kind::TYPED_LAST | kind::ACCEPT..=kind::RESET | KIND_PACKET => {
            return Ok(Heard::Nothing);
        }
        _ => {}
    }
    let incoming = parse(kind, body).map_err(|_| Broken)?;
    Ok(match incoming {
        Some(Incoming::Message(payload)) => Heard::Message(payload),
        Some(Incoming::Request { id, time_ms, method, payload }) => {
            Heard::Request { id, time_ms, method: method.as_str().to_owned(), payload }
        }
        Some(Incoming::Result { id, payload }) => Heard::Result { id, payload },
        Some(Incoming::Failure { id, failure }) => Heard::Failure { id, failure },
        Some(Incoming::Cancel { id }) => Heard::Cancel { id },
        Some(Incoming::Notify { method, payload }) => {
            Heard::Notify { method: method.as_str().to_owned(), payload }
        }
        Some(Incoming::Open { stream, .. }) => Heard::Open { stream: stream.0 },
        Some(Incoming::Clock { token }) => Heard::Clock { token },
        Some(Incoming::Time { token, clock_us }) => Heard::Time { token, clock_us },
        _ => Heard::Nothing,
    })
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
    say(kind::RESET, &[stream, code::NOT_FOUND], None, None)
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
    let format = payload.map(|payload| payload.format);
    let rest = payload.map_or(&[][..], |payload| &payload.data);
    Said { kind, body: Form { numbers, counted, format, rest }.write() }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crosspoint_hub::payload::Format;
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
