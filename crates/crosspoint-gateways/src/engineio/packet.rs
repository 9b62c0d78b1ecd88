//! One packet, as it is in one message of a WebSocket.
//!
//! ```text
//! text    digit | text       the digit is the kind
//!         `b` | base64       revision 4: a message of bytes, of a client that does not send them as they are
//!         `b4` | base64      revision 3: the same
//! binary  bytes              revision 4: always a message
//!         0x04 | bytes       revision 3: the byte is the kind
//! ```

use super::Revision;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use bytes::{Buf, Bytes};

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// What the client has to know of the session; first of all.
    Open = 0,
    /// The session is over.
    Close = 1,
    /// Has to be answered with the same data.
    Ping = 2,
    /// Answers a ping.
    Pong = 3,
    /// What the user of the session says.
    Message = 4,
    /// The session goes on over this connection alone.
    Upgrade = 5,
    /// Nothing; it ends an HTTP request that waits.
    Noop = 6,
}

impl Kind {
    const ALL: [Self; 7] =
        [Self::Open, Self::Close, Self::Ping, Self::Pong, Self::Message, Self::Upgrade, Self::Noop];

    fn from_number(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }

    /// The first character of a packet of text.
    pub fn digit(self) -> u8 {
        b'0' + self as u8
    }
}

/// One packet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Packet {
    /// Of text, which is UTF-8.
    Text(Kind, Bytes),
    /// A message of bytes.
    Binary(Bytes),
}

/// What is wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// There is nothing that says what it is.
    #[error("an empty packet")]
    Empty,
    /// No kind has this first character or byte.
    #[error("a packet of the unknown kind {0:#04x}")]
    UnknownKind(u8),
    /// Bytes are not for this.
    #[error("a binary packet that is no message, but of kind {0}")]
    BinaryKind(u8),
    /// What should be base64 is not.
    #[error("bytes that are not written in base64")]
    Base64,
}

/// The most bytes that a packet has in front of its data.
pub const HEADER_BYTES_MAX: usize = 1;

/// Reads the packet in one message of a WebSocket. `is_text` says which of the two kinds of messages it is. The text
/// was checked to be UTF-8.
///
/// # Errors
/// [`PacketError`]: the session has to end.
pub fn parse(revision: Revision, is_text: bool, mut message: Bytes) -> Result<Packet, PacketError> {
    if !is_text && revision == Revision::Four {
        return Ok(Packet::Binary(message));
    }
    if is_text && let Some(base64) = message.strip_prefix(base64_mark(revision).as_bytes()) {
        let bytes = STANDARD.decode(base64).map_err(|_| PacketError::Base64)?;
        return Ok(Packet::Binary(bytes.into()));
    }
    let &first = message.first().ok_or(PacketError::Empty)?;
    message.advance(1);
    if !is_text {
        return match Kind::from_number(first) {
            Some(Kind::Message) => Ok(Packet::Binary(message)),
            Some(_) => Err(PacketError::BinaryKind(first)),
            None => Err(PacketError::UnknownKind(first)),
        };
    }
    let kind = first.checked_sub(b'0').and_then(Kind::from_number);
    kind.map(|kind| Packet::Text(kind, message)).ok_or(PacketError::UnknownKind(first))
}

/// What stands before a message of bytes that is text in base64.
pub(super) fn base64_mark(revision: Revision) -> &'static str {
    match revision {
        Revision::Three => "b4",
        Revision::Four => "b",
    }
}

/// What stands before the bytes of a binary message of a WebSocket.
pub fn binary_header(revision: Revision) -> &'static [u8] {
    match revision {
        Revision::Three => &[Kind::Message as u8],
        Revision::Four => &[],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use Revision::{Four, Three};

    fn text(revision: Revision, text: &'static str) -> Result<Packet, PacketError> {
        parse(revision, true, text.into())
    }

    fn binary(revision: Revision, bytes: &'static [u8]) -> Result<Packet, PacketError> {
        parse(revision, false, bytes.into())
    }

    #[test]
    fn packets_of_text_are_alike_in_both_revisions() {
        for revision in [Three, Four] {
            for kind in Kind::ALL {
                let digit = kind.digit();
                assert_eq!(digit, b"0123456"[kind as usize]);
                let packet = parse(revision, true, Bytes::from(vec![digit, b'x', b'4']));
                assert_eq!(packet, Ok(Packet::Text(kind, "x4".into())));
            }
            assert_eq!(text(revision, "4"), Ok(Packet::Text(Kind::Message, Bytes::new())));
            assert_eq!(text(revision, ""), Err(PacketError::Empty));
            for (wrong, first) in [("7", b'7'), ("/0", b'/'), ("B4AA==", b'B'), ("\u{4}", 4)] {
                assert_eq!(text(revision, wrong), Err(PacketError::UnknownKind(first)));
            }
        }
    }

    #[test]
    fn bytes_may_come_as_text_in_base64() {
        for (revision, mark) in [(Three, "b4"), (Four, "b")] {
            let read = |base64: &str| parse(revision, true, format!("{mark}{base64}").into());
            assert_eq!(read(""), Ok(Packet::Binary(Bytes::new())));
            assert_eq!(read("Av8="), Ok(Packet::Binary(Bytes::from_static(b"\x02\xff"))));
            for wrong in ["Av8", "A", "Av8=\n", "é"] {
                assert_eq!(read(wrong), Err(PacketError::Base64), "{wrong:?}");
            }
        }
        assert_eq!(text(Three, "bAv8="), Err(PacketError::UnknownKind(b'b')));
    }

    #[test]
    fn bytes_are_a_message_and_in_revision_3_say_so() {
        assert_eq!(binary(Four, b""), Ok(Packet::Binary(Bytes::new())));
        assert_eq!(binary(Four, b"\x02x"), Ok(Packet::Binary("\u{2}x".into())));
        assert_eq!(binary(Three, b"\x04"), Ok(Packet::Binary(Bytes::new())));
        assert_eq!(binary(Three, b"\x04\x02x"), Ok(Packet::Binary("\u{2}x".into())));
        assert_eq!(binary(Three, b""), Err(PacketError::Empty));
        assert_eq!(binary(Three, b"\x02x"), Err(PacketError::BinaryKind(2)));
        assert_eq!(binary(Three, b"4x"), Err(PacketError::UnknownKind(b'4')));
        for revision in [Three, Four] {
            let message = [binary_header(revision), b"\0\x04x"].concat();
            let packet = parse(revision, false, message.into());
            assert_eq!(packet, Ok(Packet::Binary(Bytes::from_static(b"\0\x04x"))));
        }
    }
}
