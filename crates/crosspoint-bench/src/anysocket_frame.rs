//! AnySocket packets in frames of WebSocket: written as a client does, and read as they come from a
//! server. Only whole packets, which is all that a load generator needs
//! (docs/anysocket.md, sections 2 and 3).

use crate::head::{Around, Head};
use crate::websocket::{self, BINARY, CLOSE, TEXT, extent};

/// Packet types, as they stand in a packet.
pub(crate) mod kind {
    /// Who speaks.
    pub(crate) const AUTH: u8 = b'1';
    /// A wish or a call, and its answer.
    pub(crate) const INTERNAL: u8 = b'2';
    /// A value of the application.
    pub(crate) const LINK: u8 = b'3';
    /// A keepalive.
    pub(crate) const HEARTBEAT: u8 = b'5';
}

/// Body of a HEARTBEAT that wants an answer.
pub(crate) const PROBE: &[u8] = b"1";

/// Body of a HEARTBEAT that is the answer.
pub(crate) const ALIVE: &[u8] = b"2";

/// Stands first in a packet that is not split.
const WHOLE: u8 = b'1';

/// Stands first in a packet from another client. Two ids follow it, and the packet.
const FORWARD: u8 = b'6';

/// Characters of an id in front of a forwarded packet.
const ID_CHARACTERS: usize = 16;

/// What stands before a packet to another client.
#[derive(Debug, Clone)]
pub(crate) struct Envelope(Vec<u8>);

impl Envelope {
    pub(crate) fn new(to: [u8; ID_CHARACTERS], from: [u8; ID_CHARACTERS]) -> Envelope {
        let mut head = vec![FORWARD];
        let ids: String = to.into_iter().chain(from).map(char::from).collect();
        head.extend_from_slice(ids.as_bytes());
        Envelope(head)
    }
}

/// Appends the frame of a packet.
pub(crate) fn put_packet(kind: u8, seq: i32, body: &[u8], out: &mut Vec<u8>) {
    put(&[], kind, seq, body, out);
}

/// Appends the frame of a packet to another client.
pub(crate) fn put_forwarded(
    envelope: &Envelope,
    kind: u8,
    seq: i32,
    body: &[u8],
    out: &mut Vec<u8>,
) {
    put(&envelope.0, kind, seq, body, out);
}

fn put(envelope: &[u8], kind: u8, seq: i32, body: &[u8], out: &mut Vec<u8>) {
    // The number has four characters of one or two bytes.
    let mut head = [WHOLE, kind, 0, 0, 0, 0, 0, 0, 0, 0];
    let mut filled = 2;
    for byte in seq.to_be_bytes() {
        if byte < 0x80 {
            head[filled] = byte;
            filled += 1;
        } else {
            head[filled..filled + 2].copy_from_slice(&[0xc0 | byte >> 6, 0x80 | byte & 0x3f]);
            filled += 2;
        }
    }
    websocket::put(TEXT, [envelope, &head[..filled], body], out);
}

/// Why a message of bytes is wrong.
const NO_PACKET: &str = "a message of bytes, which is no packet";

/// What a frame from a server holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Frame<'a> {
    /// A whole packet, from the server or from another client.
    Packet { forwarded: bool, kind: u8, seq: i32, body: &'a [u8] },
    /// Nothing to this end: a ping or pong of the WebSocket.
    Ping,
    /// The end of the conversation.
    Close,
}

/// The first frame in these bytes and its length, or nothing if it is not all there.
pub(crate) fn read_frame(bytes: &[u8]) -> Result<Option<(Frame<'_>, usize)>, &'static str> {
    let Some(extent) = extent(bytes)? else {
        return Ok(None);
    };
    let Some(message) = extent.message(bytes) else {
        return Ok(None);
    };
    let length = extent.whole();
    match extent.first {
        TEXT => {}
        BINARY => return Err(NO_PACKET),
        CLOSE => return Ok(Some((Frame::Close, length))),
        _ => return Ok(Some((Frame::Ping, length))),
    }
    let forwarded = message.first() == Some(&FORWARD);
    let packet = if forwarded { forwarded_packet(message)? } else { message };
    let [_, kind, ..] = *packet else {
        return Err("message without a packet in it");
    };
    let Some((seq, start)) = read_seq(packet)? else {
        return Err("packet without a number");
    };
    Ok(Some((Frame::Packet { forwarded, kind, seq, body: &packet[start..] }, length)))
}

/// What stands in a forwarded message behind the ids.
fn forwarded_packet(message: &[u8]) -> Result<&[u8], &'static str> {
    let mut ids = message[1..].iter().enumerate().filter(|(_, byte)| !matches!(byte, 0x80..0xc0));
    match ids.nth(2 * ID_CHARACTERS) {
        Some((at, _)) => Ok(&message[1 + at..]),
        None => Err("forwarded message without a packet in it"),
    }
}

/// The head of a delivery, whose data is in a LINK packet that is no reply, with so many bytes of
/// JSON before and after it.
pub(crate) fn head(bytes: &[u8], json: Around) -> Head {
    let extent = match extent(bytes) {
        Ok(Some(extent)) => extent,
        Ok(None) => return Head::Short,
        Err(reason) => return Head::Wrong(reason),
    };
    let whole = Head::Frame { before: extent.whole(), data: 0, after: 0 };
    match extent.first {
        TEXT => {}
        BINARY => return Head::Wrong(NO_PACKET),
        _ => return whole,
    }
    let message = &bytes[extent.head..];
    let message = &message[..message.len().min(extent.message)];
    let (seq, start) = match read_seq(message) {
        Ok(Some(found)) => found,
        Ok(None) if message.len() < extent.message => return Head::Short,
        Ok(None) => return Head::Wrong("packet without a number"),
        Err(reason) => return Head::Wrong(reason),
    };
    if message[1] != kind::LINK || seq < 0 {
        return whole;
    }
    match (extent.message - start).checked_sub(json.before + json.after) {
        Some(data) => {
            Head::Frame { before: extent.head + start + json.before, data, after: json.after }
        }
        None => Head::Wrong("packet without a string"),
    }
}

/// The number of a packet and where its body begins, or nothing if the head is not all there.
fn read_seq(message: &[u8]) -> Result<Option<(i32, usize)>, &'static str> {
    if message.first().is_some_and(|&first| first != WHOLE) {
        return Err("neither a whole packet nor one for this end");
    }
    let mut seq = [0; 4];
    let mut at = 2;
    for byte in &mut seq {
        let Some(&first) = message.get(at) else {
            return Ok(None);
        };
        *byte = match first {
            0..0x80 => first,
            0xc2 | 0xc3 => match message.get(at + 1) {
                Some(&next @ 0x80..0xc0) => (first & 0x03) << 6 | next & 0x3f,
                Some(_) => return Err("packet number is not UTF-8"),
                None => return Ok(None),
            },
            _ => return Err("packet number with a character above 255"),
        };
        at += if first < 0x80 { 1 } else { 2 };
    }
    Ok(Some((i32::from_be_bytes(seq), at)))
}

/// The frame of a packet as a server sends it: not masked.
#[cfg(test)]
pub(crate) fn from_server(kind: u8, seq: i32, body: &[u8]) -> Vec<u8> {
    let mut masked = Vec::new();
    put_packet(kind, seq, body, &mut masked);
    websocket::unmasked(&masked)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::websocket::{missing, unmasked};

    #[test]
    fn a_reply_to_number_2_is_written_as_the_specification_says() {
        let frame = from_server(kind::LINK, -2, b"\"a\"");
        assert_eq!(frame, b"\x81\x0d13\xc3\xbf\xc3\xbf\xc3\xbf\xc3\xbe\"a\"");
        let found = Frame::Packet { forwarded: false, kind: kind::LINK, seq: -2, body: b"\"a\"" };
        assert_eq!(read_frame(&frame), Ok(Some((found, 15))));
    }

    #[test]
    fn only_strings_in_messages_are_data() {
        let whole = |frame: &[u8]| Head::Frame { before: frame.len(), data: 0, after: 0 };
        let probe = from_server(kind::HEARTBEAT, 9, PROBE);
        let reply = from_server(kind::LINK, -9, b"\"abc\"");
        for frame in [&probe[..], &reply, b"\x89\x02hi", b"\x88\x00"] {
            assert_eq!(head(frame, Around::QUOTES), whole(frame));
        }
        let delivery = from_server(kind::LINK, 200, b"\"abc\"");
        let around =
            |before: usize, data, after| Head::Frame { before: 2 + 2 + 5 + before, data, after };
        assert_eq!(head(&delivery, Around::QUOTES), around(1, 3, 1));
        assert_eq!(head(&delivery, Around { before: 2, after: 3 }), around(2, 0, 3));
        let more = head(&delivery, Around { before: 3, after: 3 });
        assert_eq!(more, Head::Wrong("packet without a string"));
    }

    #[test]
    fn packets_between_clients_are_told_from_those_of_the_server() {
        let (to, from) = ([0x01; 16], [0xfe; 16]);
        let mut masked = Vec::new();
        put_forwarded(&Envelope::new(to, from), kind::LINK, 7, b"{}", &mut masked);
        let frame = unmasked(&masked);
        let expected = [&b"\x81\x396"[..], &[1; 16], &b"\xc3\xbe".repeat(16), b"13\0\0\0\x07{}"];
        assert_eq!(frame, expected.concat());
        let packet = Frame::Packet { forwarded: true, kind: kind::LINK, seq: 7, body: b"{}" };
        assert_eq!(read_frame(&frame), Ok(Some((packet, frame.len()))));
        let without = [&b"\x81\x316"[..], &[1; 16], &b"\xc3\xbe".repeat(16)].concat();
        assert!(read_frame(&without).is_err());
    }

    #[test]
    fn control_frames_are_told_apart() {
        assert_eq!(read_frame(b"\x89\x02hi"), Ok(Some((Frame::Ping, 4))));
        assert_eq!(read_frame(b"\x88\x00\x81"), Ok(Some((Frame::Close, 2))));
    }

    #[test]
    fn what_no_server_sends_is_refused() {
        let masked = b"\x81\x88\x00\x00\x00\x0013\0\0\0\x01{}";
        let huge = b"\x81\x7f\xff\xff\xff\xff\xff\xff\xff\xff";
        let mut split = from_server(kind::LINK, 1, b"{}");
        split[2] = b'2';
        for wrong in [&masked[..], b"\x82\x01a", b"\x01\x01a", huge, &split, b"\x81\x0213"] {
            assert!(read_frame(wrong).is_err(), "{wrong:?}");
            assert!(matches!(head(wrong, Around::QUOTES), Head::Wrong(_)), "{wrong:?}");
        }
        let short = from_server(kind::LINK, 1, b"\"");
        assert!(matches!(head(&short, Around::QUOTES), Head::Wrong(_)));
    }

    proptest! {
        #[test]
        fn what_is_written_is_read_again(
            seq: i32, kind in b'1'..=b'5', length in 0usize..70_000, cut: prop::sample::Index
        ) {
            let body = vec![b'.'; length];
            let frame = from_server(kind, seq, &body);
            let packet = Frame::Packet { forwarded: false, kind, seq, body: &body };
            prop_assert_eq!(read_frame(&frame), Ok(Some((packet, frame.len()))));
            let beginning = &frame[..cut.index(frame.len())];
            prop_assert_eq!(read_frame(beginning), Ok(None));
            let more = missing(beginning).unwrap();
            prop_assert!(more > 0 && beginning.len() + more <= frame.len());
            prop_assert_eq!(missing(&frame), Ok(0));
        }

        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>) {
            if let Ok(Some((_, length))) = read_frame(&bytes) {
                prop_assert!(length <= bytes.len());
            }
            head(&bytes, Around::QUOTES);
        }
    }
}
