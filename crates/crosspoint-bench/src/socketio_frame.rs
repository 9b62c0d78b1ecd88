//! Packets of Socket.IO in frames of WebSocket: written as a client does, and read as they come from a server.

use crosspoint_gateways::engineio::packet::Kind as EngineKind;
use crosspoint_gateways::socketio::packet::{ATTACHMENTS_MAX, Header, ROOT_HEADER_BYTES_MAX};

use crate::head::{Around, Head};
use crate::websocket::{self, BINARY, CLOSE, TEXT, extent};

/// What a frame from a server holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Heard<'a> {
    /// A packet of Socket.IO, and its data. Its attachments follow.
    Packet(Header<'a>, &'a str),
    /// A heartbeat that wants to be answered.
    Ping,
    /// Nothing that has to do with a workload, such as an attachment.
    Other,
}

/// Appends the frame of a packet in the root namespace.
pub(crate) fn put_packet(header: Header<'_>, data: &[&[u8]], out: &mut Vec<u8>) {
    let mut head = [0; ROOT_HEADER_BYTES_MAX];
    let mut left = &mut head[..];
    header.put(&mut left);
    let filled = ROOT_HEADER_BYTES_MAX - left.len();
    let parts = std::iter::once(&head[..filled]).chain(data.iter().copied());
    websocket::put(TEXT, parts, out);
}

/// Appends the frame of a packet of Engine.IO without data.
pub(crate) fn put_beat(kind: EngineKind, out: &mut Vec<u8>) {
    websocket::put(TEXT, [&[kind.digit()][..]], out);
}

/// The first frame in these bytes and its length, or nothing if it is not all there.
pub(crate) fn read_frame(bytes: &[u8]) -> Result<Option<(Heard<'_>, usize)>, &'static str> {
    let Some(extent) = extent(bytes)? else {
        return Ok(None);
    };
    let Some(message) = extent.message(bytes) else {
        return Ok(None);
    };
    let heard = match extent.first {
        TEXT => read_text(message)?,
        CLOSE => return Err("a close frame"),
        _ => Heard::Other,
    };
    Ok(Some((heard, extent.whole())))
}

fn read_text(message: &[u8]) -> Result<Heard<'_>, &'static str> {
    let text = std::str::from_utf8(message).map_err(|_| "a text that is not UTF-8")?;
    let Some(&kind) = message.first() else {
        return Err("an empty packet");
    };
    if kind == EngineKind::Message.digit() {
        let parsed = Header::parse(&text[1..], ATTACHMENTS_MAX);
        let (header, data) = parsed.map_err(|_| "no packet of Socket.IO")?;
        return Ok(Heard::Packet(header, data));
    }
    match kind {
        _ if kind == EngineKind::Ping.digit() => Ok(Heard::Ping),
        _ if kind == EngineKind::Close.digit() => Err("the end of the session"),
        b'0'..=b'6' => Ok(Heard::Other),
        _ => Err("no packet of Engine.IO"),
    }
}

/// The head of a delivery, which is an event without attachments that nobody has to acknowledge, with so many bytes of
/// the packet before and after the data.
pub(crate) fn head(bytes: &[u8], around: Around) -> Head {
    /// An event, and what its data begin with.
    const EVENT: &[u8] = b"42[";
    let extent = match extent(bytes) {
        Ok(Some(extent)) => extent,
        Ok(None) => return Head::Short,
        Err(reason) => return Head::Wrong(reason),
    };
    let whole = Head::Frame { before: extent.whole(), data: 0, after: 0 };
    match extent.first {
        TEXT if extent.message >= EVENT.len() => {}
        TEXT | BINARY => return whole,
        CLOSE => return Head::Wrong("a close frame"),
        _ => return whole,
    }
    let beginning = &bytes[extent.head..];
    let beginning = &beginning[..beginning.len().min(EVENT.len())];
    if !EVENT.starts_with(beginning) {
        return whole;
    }
    if beginning.len() < EVENT.len() {
        return Head::Short;
    }
    match extent.message.checked_sub(around.before + around.after) {
        Some(data) => {
            Head::Frame { before: extent.head + around.before, data, after: around.after }
        }
        None => Head::Wrong("an event without the data"),
    }
}

#[cfg(test)]
mod tests {
    use crosspoint_gateways::socketio::packet::Kind;
    use proptest::prelude::*;

    use super::*;
    use crate::websocket::unmasked;

    fn from_server(header: Header<'_>, data: &str) -> Vec<u8> {
        let mut masked = Vec::new();
        put_packet(header, &[data.as_bytes()], &mut masked);
        unmasked(&masked)
    }

    #[test]
    fn packets_are_written_as_the_original_does() {
        let mut masked = Vec::new();
        put_packet(Header::ack(0, 7), &[b"[", b"1]"], &mut masked);
        assert_eq!(unmasked(&masked), b"\x81\x06437[1]");
        assert_eq!(from_server(Header::event(1, None), "[\"a\"]"), b"\x81\x09451-[\"a\"]");
        let mut masked = Vec::new();
        put_beat(EngineKind::Pong, &mut masked);
        assert_eq!(unmasked(&masked), b"\x81\x013");
    }

    #[test]
    fn what_comes_is_told_apart() {
        let read = |frame: &'static [u8]| read_frame(frame).map(|found| found.unwrap().0);
        let header = Header { kind: Kind::Ack, attachments: 0, namespace: "/", id: Some(7) };
        assert_eq!(read(b"\x81\x06437[1]"), Ok(Heard::Packet(header, "[1]")));
        assert_eq!(read(b"\x81\x012"), Ok(Heard::Ping));
        for other in [&b"\x81\x013"[..], b"\x82\x02hi", b"\x89\x00", b"\x81\x030{}"] {
            assert_eq!(read(other), Ok(Heard::Other), "{other:?}");
        }
        for wrong in [&b"\x88\x00"[..], b"\x81\x011", b"\x81\x00", b"\x81\x0249", b"\x81\x01x"] {
            assert!(read(wrong).is_err(), "{wrong:?}");
        }
    }

    #[test]
    fn only_events_hold_deliveries() {
        let around = Around { before: 7, after: 2 };
        let delivery = from_server(Header::event(0, None), "[\"e\",\"abc\"]");
        let whole = |frame: &[u8]| Head::Frame { before: frame.len(), data: 0, after: 0 };
        assert_eq!(head(&delivery, around), Head::Frame { before: 2 + 7, data: 4, after: 2 });
        for frame in [&b"\x81\x012"[..], b"\x81\x06437[1]", b"\x82\x03hi!", b"\x8a\x00"] {
            assert_eq!(head(frame, around), whole(frame), "{frame:?}");
        }
        assert_eq!(head(b"\x81\x0642", around), Head::Short);
        let short = from_server(Header::event(0, None), "[\"e\"]");
        assert!(matches!(head(&short, around), Head::Wrong(_)));
        assert!(matches!(head(b"\x88\x00", around), Head::Wrong(_)));
    }

    proptest! {
        #[test]
        fn no_bytes_make_the_readers_panic(bytes: Vec<u8>, before in 0usize..40) {
            if let Ok(Some((_, length))) = read_frame(&bytes) {
                prop_assert!(length <= bytes.len());
            }
            head(&bytes, Around { before, after: 2 });
        }
    }
}
