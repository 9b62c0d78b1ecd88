//! Reading frames (RFC 6455 section 5).

use bytes::{Buf, Bytes, BytesMut};

use super::deflate::deflated_bytes_max;
use super::frame::{
    CONTROL_BYTES_MAX, CloseCode, CloseFrame, FIN, HEADER_BYTES_MAX, LENGTH_16, LENGTH_64, MASKED,
    MessageKind, Opcode, RSV1, apply_mask,
};
use super::text::Utf8;
use super::{Role, WsError};

/// The three reserved bits of header byte 0; each would belong to an extension.
const RSV: u8 = 0x70;

/// What a [`Decoder`] accepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Longest payload of one data frame in bytes.
    pub frame_bytes_max: u64,
    /// Accept what some old clients send: unmasked frames to a server, and lengths that are not
    /// in their shortest form. Masked frames to a client stay refused.
    pub lenient: bool,
}

/// What arrived.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Incoming {
    /// A piece of a message. Pieces are handed up as they arrive, so their borders mean nothing.
    Data {
        /// Kind of the message, given by its first frame.
        kind: MessageKind,
        /// The next bytes, unmasked. Empty only for a frame without payload; collecting pieces
        /// should therefore drop empty ones, which cost their sender next to nothing.
        bytes: Bytes,
        /// The message is compressed, and so is this piece of it.
        compressed: bool,
        /// This piece ends its frame.
        frame_fin: bool,
        /// This piece ends its message.
        message_fin: bool,
    },
    /// A ping, to be answered with a pong of the same payload.
    Ping(Bytes),
    /// A pong.
    Pong(Bytes),
    /// The other side sends no more frames. Whatever follows is discarded (section 1.4).
    Close(Option<CloseFrame>),
}

impl Incoming {
    /// Whether it is content that goes up as it is, and not with the end of its message.
    pub(super) fn gives(&self) -> bool {
        matches!(self, Self::Data { bytes, compressed: false, .. } if !bytes.is_empty())
    }
}

/// Turns received bytes into [`Incoming`].
///
/// Give it bytes with [`receive`](Self::receive), then call [`decode`](Self::decode) until that
/// gives `None`. Only the header of a frame and the payload of a control frame are gathered; data
/// goes up as it arrives and is unmasked where it lies. An idle decoder owns no heap memory.
#[derive(Debug)]
pub struct Decoder {
    role: Role,
    config: Config,
    /// Whether messages may be compressed.
    deflate: bool,
    /// Received and not yet looked at.
    buffer: BytesMut,
    /// Kind of the message that still lacks its last frame, and whether it is compressed.
    unfinished: Option<(MessageKind, bool)>,
    /// What the text messages have been so far.
    text: Utf8,
    state: State,
}

#[derive(Debug)]
enum State {
    /// Gathering a header.
    Head { bytes: [u8; HEADER_BYTES_MAX], have: u8 },
    /// Inside a data frame; `mask` is turned so that it fits the next byte.
    Data { kind: MessageKind, compressed: bool, fin: bool, remaining: u64, mask: Option<[u8; 4]> },
    /// Gathering the payload of a control frame.
    Control { opcode: Opcode, payload: BytesMut, len: u8, mask: Option<[u8; 4]> },
    /// A close frame was handed up.
    Closed,
    /// The error was reported.
    Failed(WsError),
}

impl State {
    const HEAD: Self = Self::Head { bytes: [0; HEADER_BYTES_MAX], have: 0 };
}

/// A header with nothing judged yet.
struct Head {
    byte0: u8,
    len: u64,
    /// Shortest length of the form that `len` was written in.
    form_min: u64,
    mask: Option<[u8; 4]>,
}

impl Head {
    /// Length of the header that begins with `bytes`, as far as they tell.
    fn len(bytes: &[u8]) -> usize {
        let Some(&byte1) = bytes.get(1) else {
            return 2;
        };
        let extended = match byte1 & !MASKED {
            LENGTH_16 => 2,
            LENGTH_64 => 8,
            _ => 0,
        };
        2 + extended + if byte1 & MASKED != 0 { 4 } else { 0 }
    }

    /// Reads a header of which [`Head::len`] bytes are there.
    fn read(bytes: &[u8; HEADER_BYTES_MAX]) -> Self {
        let mut rest = &bytes[..];
        let (byte0, byte1) = (rest.get_u8(), rest.get_u8());
        let (len, form_min) = match byte1 & !MASKED {
            LENGTH_16 => (u64::from(rest.get_u16()), u64::from(LENGTH_16)),
            LENGTH_64 => (rest.get_u64(), u64::from(u16::MAX) + 1),
            short => (u64::from(short), 0),
        };
        let mask = (byte1 & MASKED != 0).then(|| rest.get_u32().to_be_bytes());
        Self { byte0, len, form_min, mask }
    }
}

/// The frame with which bytes of a server of this program begin, if it is here whole: what it is, and how long its header
/// and its payload are. Such frames are neither masked nor compressed, and each is a whole message.
///
/// # Errors
/// It is none.
#[cfg(feature = "socketio")]
pub(crate) fn server_frame(bytes: &[u8]) -> Result<Option<(Opcode, usize, usize)>, WsError> {
    let mut length = 0;
    while length < Head::len(&bytes[..length]) {
        length = Head::len(&bytes[..length]);
        if bytes.len() < length {
            return Ok(None);
        }
    }
    let mut header = [0; HEADER_BYTES_MAX];
    header[..length].copy_from_slice(&bytes[..length]);
    let Head { byte0, len, .. } = Head::read(&header);
    let opcode = Opcode::from_bits(byte0);
    let opcode = opcode.ok_or(WsError::ReservedOpcode { opcode: byte0 & 0x0f })?;
    let payload = usize::try_from(len).map_err(|_| WsError::LengthTopBit { len })?;
    Ok((bytes.len() - length >= payload).then_some((opcode, length, payload)))
}

impl Decoder {
    /// A decoder for what arrives at the side `role` after the handshake.
    #[must_use]
    pub fn new(role: Role, config: Config) -> Self {
        let (buffer, text) = (BytesMut::new(), Utf8::default());
        let deflate = false;
        Self { role, config, deflate, buffer, unfinished: None, text, state: State::HEAD }
    }

    /// Accepts compressed messages from the next one on.
    pub fn accept_compressed(&mut self) {
        self.deflate = true;
    }

    /// The longest payload of a data frame.
    #[must_use]
    pub fn frame_bytes_max(&self) -> u64 {
        self.config.frame_bytes_max
    }

    /// Changes the longest payload of a data frame. It holds from the next frame on.
    pub fn set_frame_bytes_max(&mut self, frame_bytes_max: u64) {
        self.config.frame_bytes_max = frame_bytes_max;
    }

    /// Appends received bytes. Takes `bytes` over when everything before was decoded, so data is
    /// not copied. After a close frame or an error they are discarded.
    pub fn receive(&mut self, bytes: BytesMut) {
        if !matches!(self.state, State::Closed | State::Failed(_)) {
            self.buffer.unsplit(bytes);
        }
    }

    /// Bytes held here. At most one header or one control payload once
    /// [`decode`](Self::decode) has given `None`.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.buffer.len()
            + match &self.state {
                State::Head { have, .. } => usize::from(*have),
                State::Control { payload, .. } => payload.len(),
                State::Data { .. } | State::Closed | State::Failed(_) => 0,
            }
    }

    /// Whether a frame or a message has come in part.
    #[must_use]
    pub fn is_midway(&self) -> bool {
        match &self.state {
            State::Head { have, .. } => *have > 0 || self.unfinished.is_some(),
            State::Data { .. } | State::Control { .. } => true,
            State::Closed | State::Failed(_) => false,
        }
    }

    /// The next thing that arrived, `None` if more bytes are needed or a close frame was handed
    /// up before.
    ///
    /// # Errors
    /// When the other side breaks the protocol or a limit. Further calls give the same error.
    pub fn decode(&mut self) -> Result<Option<Incoming>, WsError> {
        let outcome = self.step();
        match &outcome {
            Err(error) => self.state = State::Failed(*error),
            Ok(Some(Incoming::Close(_))) => self.state = State::Closed,
            Ok(_) => {}
        }
        if self.buffer.is_empty() || matches!(self.state, State::Closed | State::Failed(_)) {
            // An empty buffer may still hold on to the memory of its last read.
            self.buffer = BytesMut::new();
        }
        outcome
    }

    fn step(&mut self) -> Result<Option<Incoming>, WsError> {
        loop {
            match &mut self.state {
                State::Head { bytes, have } => {
                    loop {
                        let (present, missing) = bytes.split_at_mut(usize::from(*have));
                        let wanted = Head::len(present) - present.len();
                        if wanted == 0 {
                            break;
                        }
                        let count = wanted.min(self.buffer.len());
                        if count == 0 {
                            return Ok(None);
                        }
                        self.buffer.copy_to_slice(&mut missing[..count]);
                        *have += count as u8;
                    }
                    let head = Head::read(bytes);
                    self.state = self.enter(&head)?;
                }
                State::Data { kind, compressed, fin, remaining, mask } => {
                    if *remaining > 0 && self.buffer.is_empty() {
                        return Ok(None);
                    }
                    let mut bytes = take(&mut self.buffer, *remaining);
                    if let Some(mask) = mask {
                        apply_mask(&mut bytes, *mask);
                        mask.rotate_left(bytes.len() % 4);
                    }
                    *remaining -= bytes.len() as u64;
                    let (kind, compressed, frame_fin) = (*kind, *compressed, *remaining == 0);
                    let message_fin = frame_fin && *fin;
                    let is_text = kind == MessageKind::Text && !compressed;
                    if is_text && !self.text.takes(&bytes, message_fin) {
                        return Err(WsError::TextNotUtf8);
                    }
                    if frame_fin {
                        self.state = State::HEAD;
                    }
                    return Ok(Some(Incoming::Data {
                        kind,
                        bytes: bytes.freeze(),
                        compressed,
                        frame_fin,
                        message_fin,
                    }));
                }
                State::Control { opcode, payload, len, mask } => {
                    // Copied, so that a payload that is kept does not keep the whole read alive.
                    let wanted = usize::from(*len) - payload.len();
                    let count = wanted.min(self.buffer.len());
                    payload.extend_from_slice(&self.buffer[..count]);
                    self.buffer.advance(count);
                    if count < wanted {
                        return Ok(None);
                    }
                    if let Some(mask) = mask {
                        apply_mask(payload, *mask);
                    }
                    let payload = std::mem::take(payload).freeze();
                    let incoming = match opcode {
                        Opcode::Ping => Incoming::Ping(payload),
                        Opcode::Pong => Incoming::Pong(payload),
                        _ => Incoming::Close(close_frame(&payload)?),
                    };
                    self.state = State::HEAD;
                    return Ok(Some(incoming));
                }
                State::Closed => return Ok(None),
                State::Failed(error) => return Err(*error),
            }
        }
    }

    /// Judges a header and gives the state that reads its payload.
    fn enter(&mut self, head: &Head) -> Result<State, WsError> {
        let &Head { byte0, len, form_min, mask } = head;
        let opcode = Opcode::from_bits(byte0);
        // Of a compressed message the first frame says it (RFC 7692 section 6).
        let begins = matches!(opcode, Some(Opcode::Text | Opcode::Binary));
        let known = if self.deflate && begins { RSV1 } else { 0 };
        if byte0 & RSV & !known != 0 {
            return Err(WsError::ReservedBits { bits: byte0 & RSV });
        }
        let Some(opcode) = opcode else {
            return Err(WsError::ReservedOpcode { opcode: byte0 & 0x0f });
        };
        let fin = byte0 & FIN != 0;
        match (self.role, mask) {
            (Role::Server, None) if !self.config.lenient => return Err(WsError::Unmasked),
            (Role::Client, Some(_)) => return Err(WsError::Masked),
            _ => {}
        }
        if len >> 63 != 0 {
            return Err(WsError::LengthTopBit { len });
        }
        if opcode.is_control() {
            if !fin {
                return Err(WsError::FragmentedControl { opcode });
            }
            if len > CONTROL_BYTES_MAX as u64 {
                return Err(WsError::ControlTooLong { opcode, len });
            }
        }
        if len < form_min && !self.config.lenient {
            return Err(WsError::LengthNotMinimal { len });
        }
        let compressed = byte0 & known != 0;
        let (kind, compressed) = match (opcode, self.unfinished) {
            (Opcode::Close | Opcode::Ping | Opcode::Pong, _) => {
                return Ok(State::Control {
                    opcode,
                    payload: BytesMut::with_capacity(len as usize),
                    len: len as u8,
                    mask,
                });
            }
            (Opcode::Continuation, None) => return Err(WsError::UnexpectedContinuation),
            (Opcode::Text | Opcode::Binary, Some(_)) => {
                return Err(WsError::ContinuationMissing { opcode });
            }
            (Opcode::Continuation, Some(begun)) => begun,
            (Opcode::Text, None) => (MessageKind::Text, compressed),
            (Opcode::Binary, None) => (MessageKind::Binary, compressed),
        };
        let max = self.config.frame_bytes_max;
        if len > if compressed { deflated_bytes_max(max) } else { max } {
            return Err(WsError::FrameTooLarge { len, max });
        }
        self.unfinished = (!fin).then_some((kind, compressed));
        Ok(State::Data { kind, compressed, fin, remaining: len, mask })
    }
}

/// Reads the payload of a close frame; an empty one is `None` (section 5.5.1).
///
/// # Errors
/// A single byte, a code that may not be sent, or a reason that is not UTF-8.
fn close_frame(payload: &[u8]) -> Result<Option<CloseFrame>, WsError> {
    let Some((&code, reason)) = payload.split_first_chunk::<2>() else {
        return if payload.is_empty() { Ok(None) } else { Err(WsError::CloseTruncated) };
    };
    let number = u16::from_be_bytes(code);
    let code = CloseCode::new(number).ok_or(WsError::CloseCode { code: number })?;
    let reason = str::from_utf8(reason).map_err(|_| WsError::CloseReasonNotUtf8)?;
    Ok(Some(CloseFrame { code, reason: reason.to_owned() }))
}

/// Takes up to `max` bytes from the front of `buffer`, and the buffer itself if that is all of it:
/// splitting would make it shared, which costs an allocation.
fn take(buffer: &mut BytesMut, max: u64) -> BytesMut {
    match usize::try_from(max) {
        Ok(max) if max < buffer.len() => buffer.split_to(max),
        _ => std::mem::take(buffer),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const STRICT: Config = Config { frame_bytes_max: 1 << 20, lenient: false };
    const LENIENT: Config = Config { lenient: true, ..STRICT };

    fn decoder(role: Role, config: Config, bytes: &[u8]) -> Decoder {
        let mut decoder = Decoder::new(role, config);
        decoder.receive(BytesMut::from(bytes));
        decoder
    }

    fn data(kind: MessageKind, bytes: &[u8], frame_fin: bool, message_fin: bool) -> Incoming {
        let bytes = Bytes::copy_from_slice(bytes);
        Incoming::Data { kind, bytes, compressed: false, frame_fin, message_fin }
    }

    #[test]
    fn the_examples_of_section_5_7_are_read() {
        let masked = [0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
        let mut server = decoder(Role::Server, STRICT, &masked);
        let hello = data(MessageKind::Text, b"Hello", true, true);
        assert_eq!(server.decode(), Ok(Some(hello)));
        assert_eq!(server.decode(), Ok(None));

        let mut client = decoder(Role::Client, STRICT, b"\x01\x03Hel\x89\x05Hello\x80\x02lo");
        let first = data(MessageKind::Text, b"Hel", true, false);
        assert_eq!(client.decode(), Ok(Some(first)));
        let ping = Incoming::Ping(Bytes::from_static(b"Hello"));
        assert_eq!(client.decode(), Ok(Some(ping)));
        let last = data(MessageKind::Text, b"lo", true, true);
        assert_eq!(client.decode(), Ok(Some(last)));
        assert_eq!(client.decode(), Ok(None));
    }

    #[test]
    fn every_broken_rule_has_its_error_and_close_code() {
        use Role::{Client, Server};
        let reserved = |bits| WsError::ReservedBits { bits };
        let too_long = |opcode, len| WsError::ControlTooLong { opcode, len };
        let cases: &[(Role, &[u8], WsError, u16)] = &[
            (Client, &[0xc1, 0], reserved(0x40), 1002),
            (Client, &[0x91, 0], reserved(0x10), 1002),
            (Client, &[0x83, 0], WsError::ReservedOpcode { opcode: 3 }, 1002),
            (Client, &[0x8b, 0], WsError::ReservedOpcode { opcode: 11 }, 1002),
            (Client, &[0x09, 0], WsError::FragmentedControl { opcode: Opcode::Ping }, 1002),
            (Client, &[0x88, 126, 0, 126], too_long(Opcode::Close, 126), 1002),
            (Client, &[0x8a, 126, 1, 0], too_long(Opcode::Pong, 256), 1002),
            (Client, &[0x82, 0x80, 1, 2, 3, 4], WsError::Masked, 1002),
            (Server, &[0x82, 0], WsError::Unmasked, 1002),
            (Client, &[0x80, 0], WsError::UnexpectedContinuation, 1002),
            (
                Client,
                &[0x01, 0, 0x82, 0],
                WsError::ContinuationMissing { opcode: Opcode::Binary },
                1002,
            ),
            (
                Client,
                &[0x82, 127, 0x80, 0, 0, 0, 0, 0, 0, 1],
                WsError::LengthTopBit { len: (1 << 63) + 1 },
                1002,
            ),
            (Client, &[0x82, 126, 0, 125], WsError::LengthNotMinimal { len: 125 }, 1002),
            (
                Client,
                &[0x82, 127, 0, 0, 0, 0, 0, 0, 0xff, 0xff],
                WsError::LengthNotMinimal { len: 65535 },
                1002,
            ),
            (
                Client,
                &[0x82, 127, 0, 0, 0, 0, 0, 0x10, 0, 1],
                WsError::FrameTooLarge { len: (1 << 20) + 1, max: 1 << 20 },
                1009,
            ),
            (Client, &[0x88, 1, 3], WsError::CloseTruncated, 1002),
            (Client, &[0x88, 2, 3, 0xed], WsError::CloseCode { code: 1005 }, 1002),
            (Client, &[0x88, 3, 3, 0xe8, 0xff], WsError::CloseReasonNotUtf8, 1007),
            (Client, &[0x81, 1, 0xff], WsError::TextNotUtf8, 1007),
            (Client, &[0x01, 1, 0xe2, 0x80, 1, 0x82], WsError::TextNotUtf8, 1007),
        ];
        for (role, bytes, error, close_code) in cases {
            let mut decoder = decoder(*role, STRICT, bytes);
            let outcome = std::iter::repeat_with(|| decoder.decode())
                .find(|outcome| !matches!(outcome, Ok(Some(_))));
            assert_eq!(outcome, Some(Err(*error)), "{bytes:x?}");
            assert_eq!(error.close_code().get(), *close_code, "{error}");
            decoder.receive(BytesMut::from(&b"\x81\x00"[..]));
            assert_eq!(decoder.decode(), Err(*error), "an error must stay");
            assert_eq!(decoder.buffered(), 0);
        }
    }

    #[test]
    fn lenient_servers_take_unmasked_frames_and_long_forms() {
        let mut server =
            decoder(Role::Server, LENIENT, b"\x82\x7e\x00\x01a\x81\x00\x82\x80\0\0\0\0");
        let a = data(MessageKind::Binary, b"a", true, true);
        assert_eq!(server.decode(), Ok(Some(a)));
        let empty_text = data(MessageKind::Text, b"", true, true);
        assert_eq!(server.decode(), Ok(Some(empty_text)));
        let empty_masked = data(MessageKind::Binary, b"", true, true);
        assert_eq!(server.decode(), Ok(Some(empty_masked)));

        let mut client = decoder(Role::Client, LENIENT, &[0x82, 0x80, 1, 2, 3, 4]);
        assert_eq!(client.decode(), Err(WsError::Masked));
    }

    #[test]
    fn data_goes_up_as_it_arrives_without_being_copied_or_held() {
        let mut client = decoder(Role::Client, STRICT, &[0x82, 127, 0, 0, 0, 0, 0, 0x10, 0]);
        assert_eq!(client.decode(), Ok(None));
        // The last header byte comes with data behind it.
        let mut read = BytesMut::zeroed(1 + 4096);
        let data_at = read[1..].as_ptr();
        for part in 0..256 {
            client.receive(std::mem::take(&mut read));
            let Ok(Some(Incoming::Data { bytes, message_fin, .. })) = client.decode() else {
                panic!("part {part} is not handed up");
            };
            assert_eq!(bytes.len(), 4096);
            assert_eq!(message_fin, part == 255);
            if part == 0 {
                assert_eq!(bytes.as_ptr(), data_at);
            }
            assert_eq!(client.decode(), Ok(None));
            assert_eq!((client.buffered(), client.buffer.capacity()), (0, 0));
            read = BytesMut::zeroed(4096);
        }
    }

    #[test]
    fn an_idle_decoder_owns_no_memory_even_inside_a_header() {
        let mut read = BytesMut::with_capacity(65536);
        read.extend_from_slice(b"\x8a\x03abc\x81");
        let mut client = Decoder::new(Role::Client, STRICT);
        client.receive(read);
        let pong = Incoming::Pong(Bytes::from_static(b"abc"));
        assert_eq!(client.decode(), Ok(Some(pong)));
        assert_eq!(client.decode(), Ok(None));
        assert_eq!((client.buffered(), client.buffer.capacity()), (1, 0));
        assert!(size_of::<Decoder>() <= 152, "{}", size_of::<Decoder>());
    }

    #[test]
    fn what_follows_a_close_frame_is_discarded() {
        let mut client = decoder(Role::Client, STRICT, b"\x88\x04\x03\xe9by\xff\xff");
        let close = CloseFrame { code: CloseCode::GOING_AWAY, reason: "by".to_owned() };
        assert_eq!(client.decode(), Ok(Some(Incoming::Close(Some(close)))));
        client.receive(BytesMut::from(&[0xff; 100][..]));
        assert_eq!(client.decode(), Ok(None));
        assert_eq!(client.buffered(), 0);
    }

    #[test]
    fn close_payloads_that_mean_nothing_are_refused() {
        assert_eq!(super::close_frame(&[3]), Err(WsError::CloseTruncated));
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 65535_u16] {
            let refused = super::close_frame(&code.to_be_bytes());
            assert_eq!(refused, Err(WsError::CloseCode { code }));
        }
        let not_utf8 = super::close_frame(&[0x03, 0xe8, 0xff]);
        assert_eq!(not_utf8, Err(WsError::CloseReasonNotUtf8));
    }
}
