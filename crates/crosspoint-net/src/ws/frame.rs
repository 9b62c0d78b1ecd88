//! Writing frames: headers, masking, and the control frames (RFC 6455 sections 5 and 7.4).

use bytes::{BufMut, Bytes, BytesMut};
use crosspoint_hub::Reason;

/// Longest payload of a control frame in bytes (section 5.5).
pub const CONTROL_BYTES_MAX: usize = 125;

/// Longest reason of a close frame in bytes: what the code leaves of a control frame.
pub const CLOSE_REASON_BYTES_MAX: usize = CONTROL_BYTES_MAX - 2;

/// Longest frame header in bytes: two, eight of length, four of masking key.
pub const HEADER_BYTES_MAX: usize = 14;

/// Header byte 0: the last frame of its message.
pub(super) const FIN: u8 = 0x80;
/// Header byte 0: the message is compressed (RFC 7692 section 6).
pub(super) const RSV1: u8 = 0x40;
/// Header byte 1: a masking key follows the length.
pub(super) const MASKED: u8 = 0x80;
/// Length field that announces 16 bits of length.
pub(super) const LENGTH_16: u8 = 126;
/// Length field that announces 64 bits of length.
pub(super) const LENGTH_64: u8 = 127;

/// The meaning of a frame (section 5.2). The reserved values have no variant.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// Continues the message begun by an earlier text or binary frame.
    Continuation,
    /// First frame of a text message.
    Text,
    /// First frame of a binary message.
    Binary,
    /// The sender will send no more frames.
    Close,
    /// To be answered with a pong of the same payload.
    Ping,
    /// Answer to a ping, or unsolicited.
    Pong,
}

impl Opcode {
    /// The four bits on the wire.
    #[must_use]
    pub const fn bits(self) -> u8 {
        match self {
            Self::Continuation => 0x0,
            Self::Text => 0x1,
            Self::Binary => 0x2,
            Self::Close => 0x8,
            Self::Ping => 0x9,
            Self::Pong => 0xa,
        }
    }

    /// Reads the lower four bits of `byte`; `None` for the reserved values.
    #[must_use]
    pub const fn from_bits(byte: u8) -> Option<Self> {
        match byte & 0x0f {
            0x0 => Some(Self::Continuation),
            0x1 => Some(Self::Text),
            0x2 => Some(Self::Binary),
            0x8 => Some(Self::Close),
            0x9 => Some(Self::Ping),
            0xa => Some(Self::Pong),
            _ => None,
        }
    }

    /// Whether frames of this opcode must be short and whole (section 5.5).
    #[must_use]
    pub const fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What a data message is, in all of its frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MessageKind {
    /// UTF-8 text.
    Text,
    /// Bytes without a declared meaning.
    Binary,
}

impl From<MessageKind> for Opcode {
    fn from(kind: MessageKind) -> Self {
        match kind {
            MessageKind::Text => Self::Text,
            MessageKind::Binary => Self::Binary,
        }
    }
}

/// A complete frame header, 2 to [`HEADER_BYTES_MAX`] bytes (at most 10 when unmasked).
#[derive(Debug, Clone, Copy)]
pub struct Header {
    bytes: [u8; HEADER_BYTES_MAX],
    len: u8,
}

impl Header {
    /// The bytes as they go on the wire.
    #[must_use]
    pub fn as_slice(&self) -> &[u8] {
        &self.bytes[..usize::from(self.len)]
    }

    pub(super) fn new(
        opcode: Opcode,
        fin: bool,
        payload_len: usize,
        mask: Option<[u8; 4]>,
    ) -> Self {
        let mut header = Self { bytes: [0; HEADER_BYTES_MAX], len: 0 };
        header.push(&[opcode.bits() | if fin { FIN } else { 0 }]);
        let masked = if mask.is_some() { MASKED } else { 0 };
        if let Ok(short @ ..LENGTH_16) = u8::try_from(payload_len) {
            header.push(&[masked | short]);
        } else if let Ok(len) = u16::try_from(payload_len) {
            header.push(&[masked | LENGTH_16]);
            header.push(&len.to_be_bytes());
        } else {
            header.push(&[masked | LENGTH_64]);
            header.push(&(payload_len as u64).to_be_bytes());
        }
        if let Some(key) = mask {
            header.push(&key);
        }
        header
    }

    /// The same header for the first frame of a compressed message.
    #[must_use]
    pub fn compressed(mut self) -> Self {
        self.bytes[0] |= RSV1;
        self
    }

    fn push(&mut self, part: &[u8]) {
        for &byte in part {
            self.bytes[usize::from(self.len)] = byte;
            self.len += 1;
        }
    }
}

/// The header of an unmasked frame, as a server sends it. The payload follows it unchanged.
#[must_use]
pub fn server_header(opcode: Opcode, fin: bool, payload_len: usize) -> Header {
    Header::new(opcode, fin, payload_len, None)
}

/// The header of a masked frame, as a client sends it. The payload must follow it masked with
/// `mask` (see [`apply_mask`]).
#[must_use]
pub fn client_header(opcode: Opcode, fin: bool, payload_len: usize, mask: [u8; 4]) -> Header {
    Header::new(opcode, fin, payload_len, Some(mask))
}

/// Appends one client frame to `out`: header and masked payload.
///
/// `mask` must be fresh and unpredictable for every frame (section 5.3), see [`new_mask`].
pub fn client_frame(opcode: Opcode, fin: bool, payload: &[u8], mask: [u8; 4], out: &mut BytesMut) {
    append_frame(Header::new(opcode, fin, payload.len(), Some(mask)), payload, Some(mask), out);
}

/// A fresh masking key from the operating system's random source.
///
/// # Errors
/// When that source fails; no frame can then be sent safely.
pub fn new_mask() -> Result<[u8; 4], getrandom::Error> {
    let mut mask = [0; 4];
    getrandom::fill(&mut mask)?;
    Ok(mask)
}

/// Masks or unmasks `data` in place (section 5.3); `data` starts at the first byte of `mask`.
pub fn apply_mask(data: &mut [u8], mask: [u8; 4]) {
    let [a, b, c, d] = mask;
    let wide = u64::from_ne_bytes([a, b, c, d, a, b, c, d]);
    let (words, rest) = data.as_chunks_mut::<8>();
    for word in words {
        *word = (u64::from_ne_bytes(*word) ^ wide).to_ne_bytes();
    }
    for (byte, key) in rest.iter_mut().zip(mask.iter().cycle()) {
        *byte ^= key;
    }
}

/// A ping. `mask` is a fresh key for a client and `None` for a server. Only the first
/// [`CONTROL_BYTES_MAX`] bytes of `payload` are sent.
#[must_use]
pub fn ping_frame(payload: &[u8], mask: Option<[u8; 4]>) -> Bytes {
    control_frame(Opcode::Ping, payload, mask)
}

/// A pong; `payload` is that of the ping it answers. `mask` and the limit are as in [`ping_frame`].
#[must_use]
pub fn pong_frame(payload: &[u8], mask: Option<[u8; 4]>) -> Bytes {
    control_frame(Opcode::Pong, payload, mask)
}

/// A close frame, with or without code and reason. `mask` is as in [`ping_frame`]. A reason above
/// [`CLOSE_REASON_BYTES_MAX`] is cut before the character that would not fit.
#[must_use]
pub fn close_frame(close: Option<&CloseFrame>, mask: Option<[u8; 4]>) -> Bytes {
    let mut payload = Vec::new();
    if let Some(CloseFrame { code, reason }) = close {
        let end = reason.floor_char_boundary(CLOSE_REASON_BYTES_MAX);
        payload.extend_from_slice(&code.get().to_be_bytes());
        payload.extend_from_slice(&reason.as_bytes()[..end]);
    }
    control_frame(Opcode::Close, &payload, mask)
}

fn control_frame(opcode: Opcode, payload: &[u8], mask: Option<[u8; 4]>) -> Bytes {
    let payload = &payload[..payload.len().min(CONTROL_BYTES_MAX)];
    let mut out = BytesMut::new();
    append_frame(Header::new(opcode, true, payload.len(), mask), payload, mask, &mut out);
    out.freeze()
}

pub(super) fn append_frame(
    header: Header,
    payload: &[u8],
    mask: Option<[u8; 4]>,
    out: &mut BytesMut,
) {
    out.reserve(header.as_slice().len() + payload.len());
    out.put_slice(header.as_slice());
    let start = out.len();
    out.put_slice(payload);
    if let Some(mask) = mask {
        apply_mask(&mut out[start..], mask);
    }
}

/// A close code that may appear in a close frame: 1000 to 1003, 1007 to 1014, 3000 to 4999
/// (section 7.4 and its registry). The codes that only describe a local event have no value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CloseCode(u16);

impl CloseCode {
    /// 1000: the purpose of the connection is fulfilled.
    pub const NORMAL: Self = Self(1000);
    /// 1001: this end goes away, for example a server that shuts down.
    pub const GOING_AWAY: Self = Self(1001);
    /// 1002: the other end broke the WebSocket protocol.
    pub const PROTOCOL_ERROR: Self = Self(1002);
    /// 1003: a kind of data this end does not take.
    pub const UNSUPPORTED: Self = Self(1003);
    /// 1007: data that does not fit its declared kind, such as text that is not UTF-8.
    pub const INVALID_DATA: Self = Self(1007);
    /// 1008: the other end broke a rule of this one.
    pub const POLICY: Self = Self(1008);
    /// 1009: a frame or message above the limit of this end.
    pub const TOO_BIG: Self = Self(1009);
    /// 1011: this end failed.
    pub const INTERNAL: Self = Self(1011);
    /// 1013: this end is overloaded, try again later.
    pub const TRY_AGAIN: Self = Self(1013);

    /// The code of that number, `None` if it may not be sent.
    #[must_use]
    pub const fn new(code: u16) -> Option<Self> {
        match code {
            1000..=1003 | 1007..=1014 | 3000..=4999 => Some(Self(code)),
            _ => None,
        }
    }

    /// The number.
    #[must_use]
    pub const fn get(self) -> u16 {
        self.0
    }
}

/// The content of a close frame that is not empty.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CloseFrame {
    /// Why the connection ends.
    pub code: CloseCode,
    /// The same for people; at most [`CLOSE_REASON_BYTES_MAX`] bytes of it are sent.
    pub reason: String,
}

impl CloseFrame {
    /// A frame that says the reason of an end, and what was wrong.
    pub(crate) fn because(code: CloseCode, reason: Reason, fault: Option<&str>) -> Self {
        let reason = reason.of_session();
        let reason = match fault {
            Some(fault) => format!("{reason}: {fault}"),
            None => reason.to_string(),
        };
        Self { code, reason }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const RFC_MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

    #[test]
    fn the_examples_of_section_5_7_are_written() {
        let hello = server_header(Opcode::Text, true, 5);
        assert_eq!(hello.as_slice(), [0x81, 0x05]);
        let first = server_header(Opcode::Text, false, 3);
        assert_eq!(first.as_slice(), [0x01, 0x03]);
        let last = server_header(Opcode::Continuation, true, 2);
        assert_eq!(last.as_slice(), [0x80, 0x02]);
        let medium = server_header(Opcode::Binary, true, 256);
        assert_eq!(medium.as_slice(), [0x82, 0x7e, 0x01, 0x00]);
        let long = server_header(Opcode::Binary, true, 65536);
        assert_eq!(long.as_slice(), [0x82, 0x7f, 0, 0, 0, 0, 0, 1, 0, 0]);

        let mut masked = BytesMut::new();
        client_frame(Opcode::Text, true, b"Hello", RFC_MASK, &mut masked);
        let expected = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        assert_eq!(&masked[..], expected);
        assert_eq!(&ping_frame(b"Hello", None)[..], b"\x89\x05Hello");
        let pong = pong_frame(b"Hello", Some(RFC_MASK));
        assert_eq!(pong[0], 0x8a);
        assert_eq!(pong[1..], expected[1..]);
    }

    #[test]
    fn every_length_takes_its_shortest_form() {
        for (len, header_len) in [(125, 2), (126, 4), (65535, 4), (65536, 10)] {
            let server = server_header(Opcode::Binary, true, len);
            assert_eq!(server.as_slice().len(), header_len, "{len}");
            let client = client_header(Opcode::Binary, true, len, RFC_MASK);
            assert_eq!(client.as_slice().len(), header_len + 4, "{len}");
        }
    }

    #[test]
    fn word_wise_masking_is_the_same_as_byte_wise() {
        for len in 0..40 {
            let plain: Vec<u8> = (0..len).collect();
            let mut masked = plain.clone();
            apply_mask(&mut masked, RFC_MASK);
            for (at, byte) in masked.iter().enumerate() {
                assert_eq!(byte ^ RFC_MASK[at % 4], plain[at]);
            }
        }
    }

    #[test]
    fn a_close_reason_is_cut_between_characters() {
        let close = CloseFrame { code: CloseCode::TOO_BIG, reason: "é".repeat(100) };
        let frame = close_frame(Some(&close), None);
        assert_eq!(frame[..2], [0x88, 124], "122 bytes are whole characters");
        assert_eq!(frame[2..4], 1009_u16.to_be_bytes());
        assert_eq!(str::from_utf8(&frame[4..]).unwrap(), "é".repeat(61));
        assert_eq!(&close_frame(None, None)[..], [0x88, 0]);
    }

    #[test]
    fn a_ping_carries_at_most_125_bytes() {
        assert_eq!(ping_frame(&[7; 200], None).len(), 2 + 125);
    }
}
