//! Packets on the wire (sections 2, 3 and 10).
//!
//! A packet is a text. Its first characters have codes from 0 to 255 and are one or two bytes of
//! UTF-8 each; they are read and written as such, so that no text is built.
//!
//! ```text
//! packet   eol | type | seq, 4 characters, big-endian | body
//! forward  `6` | to, 16 characters | from, 16 characters | packet
//! ```

use bytes::{Bytes, BytesMut};
use crosspoint_hub::PeerId;

/// The largest header of a packet: two characters of one byte, four of two.
pub const HEADER_BYTES_MAX: usize = 10;
/// The largest header of a forwarded packet, without that of the packet.
pub const FORWARD_BYTES_MAX: usize = 65;

const LAST: u8 = b'1';
const MORE: u8 = b'2';
const FORWARD: u8 = b'6';

/// What a packet is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Who one is (section 4).
    Auth = b'1',
    /// What the library itself says (section 6).
    Internal = b'2',
    /// What the application says (section 5).
    Link = b'3',
    /// Begins encryption (section 8).
    Switch = b'4',
    /// Shows that one is there (section 7).
    Heartbeat = b'5',
}

impl Kind {
    fn from_character(character: u8) -> Option<Self> {
        Some(match character {
            b'1' => Self::Auth,
            b'2' => Self::Internal,
            b'3' => Self::Link,
            b'4' => Self::Switch,
            b'5' => Self::Heartbeat,
            _ => return None,
        })
    }
}

/// One packet, or one piece of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Packet {
    /// Whether it is the last or only piece (`eol`).
    pub last: bool,
    /// What it is for.
    pub kind: Kind,
    /// Its number; negative in replies, where it is that of the request.
    pub seq: i32,
    /// The text behind the header: a slice of the message.
    pub body: Bytes,
}

/// A packet from one peer to another through a hub, which does not look inside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Forward {
    /// Whom it is for.
    pub to: PeerId,
    /// Who says that it sent it. Nothing proves that it did.
    pub from: PeerId,
    /// The packet's message.
    pub inner: Bytes,
}

/// What one WebSocket message is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message {
    /// For the receiver of the message.
    Packet(Packet),
    /// For a peer behind it, or from one.
    Forward(Forward),
}

/// Why a message is no packet. The connection should be closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// The header is incomplete.
    #[error("the message ends inside the packet's header")]
    Short,
    /// A header character is above 255, or the bytes are no UTF-8.
    #[error("the packet's header has a character above 255")]
    NotLatin,
    /// Neither the last piece, nor one of several, nor forwarded.
    #[error("a packet begins with `1`, `2` or `6`, this one with the code {0}")]
    UnknownStart(u8),
    /// A type that nobody knows.
    #[error("a packet's type is `1` to `5`, this one's has the code {0}")]
    UnknownKind(u8),
    /// A forwarded packet inside of another.
    #[error("a forwarded packet inside of a forwarded packet")]
    Nested,
}

/// Reads a message.
///
/// # Errors
/// [`PacketError`] if it is no packet. The body is not looked at.
pub fn parse(message: Bytes) -> Result<Message, PacketError> {
    match message.first() {
        Some(&FORWARD) => forward(message).map(Message::Forward),
        _ => packet(message).map(Message::Packet),
    }
}

/// Reads the message inside of a [`Forward`].
///
/// # Errors
/// As [`parse`], and [`PacketError::Nested`].
pub fn parse_inner(inner: Bytes) -> Result<Packet, PacketError> {
    match inner.first() {
        Some(&FORWARD) => Err(PacketError::Nested),
        _ => packet(inner),
    }
}

/// As [`parse_inner`], where only the type is wanted.
///
/// # Errors
/// As [`parse_inner`].
pub fn inner_kind(inner: &[u8]) -> Result<Kind, PacketError> {
    match inner.first() {
        Some(&FORWARD) => Err(PacketError::Nested),
        _ => head(inner).map(|head| head.kind),
    }
}

/// What a packet begins with.
struct Head {
    last: bool,
    kind: Kind,
    seq: i32,
    /// Its length in bytes.
    length: usize,
}

fn head(message: &[u8]) -> Result<Head, PacketError> {
    let mut header = Characters(message);
    let last = match header.next()? {
        LAST => true,
        MORE => false,
        other => return Err(PacketError::UnknownStart(other)),
    };
    let kind = header.next()?;
    let kind = Kind::from_character(kind).ok_or(PacketError::UnknownKind(kind))?;
    let seq = i32::from_be_bytes(header.array()?);
    Ok(Head { last, kind, seq, length: message.len() - header.0.len() })
}

fn packet(mut message: Bytes) -> Result<Packet, PacketError> {
    let Head { last, kind, seq, length } = head(&message)?;
    let body = message.split_off(length);
    Ok(Packet { last, kind, seq, body })
}

fn forward(mut message: Bytes) -> Result<Forward, PacketError> {
    let mut header = Characters(message.get(1..).unwrap_or_default());
    let to = PeerId::new(header.array()?);
    let from = PeerId::new(header.array()?);
    let length = message.len() - header.0.len();
    let inner = message.split_off(length);
    Ok(Forward { to, from, inner })
}

/// Characters from 0 to 255 in UTF-8, which are taken one by one.
struct Characters<'a>(&'a [u8]);

impl Characters<'_> {
    #[inline]
    fn next(&mut self) -> Result<u8, PacketError> {
        let (character, rest) = match self.0 {
            [ascii @ 0..0x80, rest @ ..] => (*ascii, rest),
            [lead @ (0xc2 | 0xc3), next @ 0x80..0xc0, rest @ ..] => (lead << 6 | next & 0x3f, rest),
            [] | [0xc2 | 0xc3] => return Err(PacketError::Short),
            _ => return Err(PacketError::NotLatin),
        };
        self.0 = rest;
        Ok(character)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], PacketError> {
        // Most numbers and some ids have no byte of 0x80 and above.
        if let Some((ascii, rest)) = self.0.split_first_chunk::<N>()
            && ascii.is_ascii()
        {
            self.0 = rest;
            return Ok(*ascii);
        }
        let mut array = [0; N];
        for byte in &mut array {
            *byte = self.next()?;
        }
        Ok(array)
    }
}

/// The bytes that come before a body, on the stack; see [`Packet::header`].
#[derive(Debug, Clone, Copy)]
pub struct Header<const N: usize> {
    bytes: [u8; N],
    length: u8,
}

impl<const N: usize> Header<N> {
    const fn new() -> Self {
        // The longest header has 75 bytes.
        Self { bytes: [0; N], length: 0 }
    }

    fn push(&mut self, character: u8) {
        let at = usize::from(self.length);
        // There is room for two.
        let (bytes, length) = utf8(character);
        self.bytes[at..at + 2].copy_from_slice(&bytes);
        self.length += length as u8;
    }

    fn push_id(&mut self, id: PeerId) {
        let characters = id.as_bytes();
        if characters.is_ascii() {
            return self.extend(characters);
        }
        // Twice as long as the longest, so that no place has to be checked.
        let mut text = [0; 64];
        let mut end = 0;
        for character in characters {
            let ([first, second], length) = utf8(*character);
            text[end % 64] = first;
            text[(end + 1) % 64] = second;
            end += length;
        }
        self.extend(&text[..end]);
    }

    fn extend(&mut self, text: &[u8]) {
        let at = usize::from(self.length);
        self.bytes[at..at + text.len()].copy_from_slice(text);
        self.length += text.len() as u8;
    }
}

/// A character in UTF-8: its bytes, of which the second may not belong to it, and how many do. Without a branch, as nobody
/// can foresee the characters of ids and of the ends of numbers.
#[inline]
fn utf8(character: u8) -> ([u8; 2], usize) {
    let wide = character >> 7;
    let first = if wide == 0 { character } else { 0xc0 | character >> 6 };
    ([first, 0x80 | character & 0x3f], 1 + usize::from(wide))
}

impl<const N: usize> AsRef<[u8]> for Header<N> {
    fn as_ref(&self) -> &[u8] {
        &self.bytes[..usize::from(self.length)]
    }
}

impl Packet {
    /// What comes before the body on the wire, so that the body need not be copied.
    pub fn header(&self) -> Header<HEADER_BYTES_MAX> {
        let mut header = Header::new();
        header.push(if self.last { LAST } else { MORE });
        header.push(self.kind as u8);
        self.seq.to_be_bytes().into_iter().for_each(|byte| header.push(byte));
        header
    }

    /// Appends the whole message.
    pub fn encode(&self, out: &mut BytesMut) {
        let header = self.header();
        out.reserve(header.as_ref().len() + self.body.len());
        out.extend_from_slice(header.as_ref());
        out.extend_from_slice(&self.body);
    }
}

impl Forward {
    /// What comes before the packet's message on the wire.
    pub fn header(to: PeerId, from: PeerId) -> Header<FORWARD_BYTES_MAX> {
        let mut header = Header::new();
        header.push(FORWARD);
        header.push_id(to);
        header.push_id(from);
        header
    }

    /// Appends the whole message.
    pub fn encode(&self, out: &mut BytesMut) {
        let header = Self::header(self.to, self.from);
        out.reserve(header.as_ref().len() + self.inner.len());
        out.extend_from_slice(header.as_ref());
        out.extend_from_slice(&self.inner);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn written(message: &Message) -> Bytes {
        let mut out = BytesMut::new();
        match message {
            Message::Packet(packet) => packet.encode(&mut out),
            Message::Forward(forward) => forward.encode(&mut out),
        }
        out.freeze()
    }

    fn kind() -> impl Strategy<Value = Kind> {
        (b'1'..=b'5').prop_map(|character| Kind::from_character(character).unwrap())
    }

    proptest! {
        #[test]
        fn every_packet_is_a_text_whose_characters_are_those_of_the_specification(
            last: bool, kind in kind(), seq: i32, body: String,
        ) {
            let body_bytes = Bytes::from(body.clone());
            let packet = Message::Packet(Packet { last, kind, seq, body: body_bytes });
            let message = written(&packet);
            let mut text = String::from(if last { "1" } else { "2" });
            text.push(kind as u8 as char);
            text.extend(seq.to_be_bytes().map(char::from));
            text += &body;
            prop_assert_eq!(&message[..], text.as_bytes());
            prop_assert_eq!(parse(message), Ok(packet));
        }

        #[test]
        fn every_forwarded_packet_comes_back(to: [u8; 16], from: [u8; 16], inner: String) {
            let inner = Bytes::from(inner);
            let (to, from) = (PeerId::new(to), PeerId::new(from));
            let forward = Message::Forward(Forward { to, from, inner });
            let message = written(&forward);
            prop_assert!(std::str::from_utf8(&message).is_ok());
            prop_assert_eq!(parse(message), Ok(forward));
        }

        #[test]
        fn whatever_is_understood_is_written_as_it_came(
            start in "[126][1-5]", rest: Vec<u8>, text: String,
        ) {
            for rest in [&rest[..], text.as_bytes()] {
                let message = Bytes::from([start.as_bytes(), rest].concat());
                if let Ok(parsed) = parse(message.clone()) {
                    prop_assert_eq!(written(&parsed), message);
                }
            }
        }
    }

    #[test]
    fn what_is_no_packet_is_refused_with_a_reason() {
        for (message, error) in [
            ("", PacketError::Short),
            ("1", PacketError::Short),
            ("13\0\0\0", PacketError::Short),
            ("hello world", PacketError::UnknownStart(b'h')),
            ("\u{ff}3\0\0\0\u{1}{}", PacketError::UnknownStart(0xff)),
            ("16\0\0\0\u{1}{}", PacketError::UnknownKind(b'6')),
            ("10\0\0\0\u{1}{}", PacketError::UnknownKind(b'0')),
            ("1\u{20ac}\0\0\0\u{1}{}", PacketError::NotLatin),
            ("13\0\0\0\u{100}{}", PacketError::NotLatin),
            ("6abc", PacketError::Short),
            ("60123456789abcdef0123456789abcde\u{1f600}", PacketError::NotLatin),
        ] {
            assert_eq!(parse(Bytes::from(message)), Err(error), "{message:?}");
        }
        // Not UTF-8: cut, overlong, a lone continuation.
        for (bytes, error) in [
            (&b"13\0\0\0\xc3"[..], PacketError::Short),
            (b"13\0\0\0\xc1\x81{}", PacketError::NotLatin),
            (b"13\0\0\0\x81{}", PacketError::NotLatin),
        ] {
            assert_eq!(parse(Bytes::from_static(bytes)), Err(error));
        }
        assert_eq!(parse_inner(Bytes::from_static(b"6")), Err(PacketError::Nested));
    }
}
