//! Packets in the body of an HTTP request or answer.
//!
//! ```text
//! revision 4   packet { 0x1e packet }           text; `b` and base64 is a binary packet
//! revision 3   { length `:` packet }            text; the length counts UTF-16 units; `b4` and base64 is binary
//!              { 0 or 1, digits, 0xff, packet } octets; 0 is text, 1 binary; digits are bytes from 0 to 9 and count
//!                                               bytes
//! ```

use super::Revision;
use super::packet::{base64_mark, binary_header};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use bytes::Bytes;

/// The media type of a payload of text.
pub const TEXT: &str = "text/plain; charset=UTF-8";
/// That of one of octets.
pub const OCTETS: &str = "application/octet-stream";

/// Between two packets of revision 4.
const SEPARATOR: u8 = 0x1e;
/// Behind the length of a packet among octets.
const LENGTH_END: u8 = 0xff;
/// More digits than any length has.
const DIGITS_MAX: usize = 9;

/// One packet, as it would be in one message of a WebSocket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// Whether it would be a message of text. It is UTF-8 then.
    pub is_text: bool,
    /// The packet.
    pub bytes: Bytes,
}

/// What is wrong with a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PayloadError {
    /// It is not UTF-8.
    #[error("the payload is not UTF-8")]
    NotText,
    /// Octets came to a server of revision 4.
    #[error("Engine.IO 4 has no payload of octets")]
    Octets,
    /// A packet has no length, or one that says something else than what is there.
    #[error("the length of a packet is wrong")]
    Length,
    /// What should be base64 is not.
    #[error("a binary packet is not base64")]
    Base64,
    /// There is none.
    #[error("the payload has no packet")]
    Empty,
    /// There are more than the server takes at once.
    #[error("the payload has more than {0} packets")]
    TooMany(usize),
}

/// Reads the packets of a payload, `packets_max` at the most. Text is not copied.
///
/// # Errors
/// [`PayloadError`]: nothing of the payload counts, and the session has to end.
pub fn decode(
    revision: Revision,
    is_octets: bool,
    body: &Bytes,
    packets_max: usize,
) -> Result<Vec<Message>, PayloadError> {
    let messages = match (revision, is_octets) {
        (Revision::Four, true) => return Err(PayloadError::Octets),
        (Revision::Three, true) => collect(packets_max, octets(body)),
        (Revision::Four, false) => collect(packets_max, separated(text(body)?, body)),
        (Revision::Three, false) => collect(packets_max, counted(text(body)?, body)),
    }?;
    match messages.is_empty() {
        true => Err(PayloadError::Empty),
        false => Ok(messages),
    }
}

fn collect(
    most: usize,
    messages: impl Iterator<Item = Result<Message, PayloadError>>,
) -> Result<Vec<Message>, PayloadError> {
    let mut collected = Vec::new();
    for message in messages {
        if collected.len() >= most {
            return Err(PayloadError::TooMany(most));
        }
        collected.push(message?);
    }
    Ok(collected)
}

fn text(body: &[u8]) -> Result<&str, PayloadError> {
    str::from_utf8(body).map_err(|_| PayloadError::NotText)
}

/// A packet of text among others, or one of bytes in base64.
fn read(revision: Revision, packet: &str, body: &Bytes) -> Result<Message, PayloadError> {
    match packet.strip_prefix(base64_mark(revision)) {
        Some(base64) => {
            let kind = binary_header(revision);
            let mut bytes = Vec::with_capacity(kind.len() + base64.len() / 4 * 3);
            bytes.extend_from_slice(kind);
            STANDARD.decode_vec(base64, &mut bytes).map_err(|_| PayloadError::Base64)?;
            Ok(Message { is_text: false, bytes: bytes.into() })
        }
        None => Ok(Message { is_text: true, bytes: body.slice_ref(packet.as_bytes()) }),
    }
}

fn separated<'a>(
    text: &'a str,
    body: &'a Bytes,
) -> impl Iterator<Item = Result<Message, PayloadError>> + 'a {
    let text = Some(text).filter(|text| !text.is_empty());
    let packets = text.into_iter().flat_map(|text| text.split(char::from(SEPARATOR)));
    packets.map(|packet| read(Revision::Four, packet, body))
}

fn counted<'a>(
    mut text: &'a str,
    body: &'a Bytes,
) -> impl Iterator<Item = Result<Message, PayloadError>> + 'a {
    let next = move || {
        (!text.is_empty()).then(|| {
            let (packet, rest) = split_counted(text).ok_or(PayloadError::Length)?;
            text = rest;
            read(Revision::Three, packet, body)
        })
    };
    std::iter::from_fn(next).fuse()
}

/// Splits a packet off a text, behind its length in UTF-16 units.
fn split_counted(text: &str) -> Option<(&str, &str)> {
    let (digits, rest) = text.split_once(':')?;
    let mut left = number(digits.bytes().map(|digit| digit.wrapping_sub(b'0')))?;
    for (at, character) in rest.char_indices() {
        if left == 0 {
            return Some(rest.split_at(at));
        }
        left = left.checked_sub(character.len_utf16())?;
    }
    (left == 0).then_some((rest, ""))
}

fn octets(body: &Bytes) -> impl Iterator<Item = Result<Message, PayloadError>> + '_ {
    let mut rest = &body[..];
    let next = move || {
        (!rest.is_empty()).then(|| {
            let (is_text, packet, behind) = split_octets(rest).ok_or(PayloadError::Length)?;
            rest = behind;
            if is_text && str::from_utf8(packet).is_err() {
                return Err(PayloadError::NotText);
            }
            Ok(Message { is_text, bytes: body.slice_ref(packet) })
        })
    };
    std::iter::from_fn(next).fuse()
}

/// Splits a packet off octets.
fn split_octets(octets: &[u8]) -> Option<(bool, &[u8], &[u8])> {
    let (kind, octets) = octets.split_first()?;
    let digits = octets.iter().take(DIGITS_MAX + 1).position(|byte| *byte == LENGTH_END)?;
    let length = number(octets[..digits].iter().copied())?;
    let (packet, rest) = octets[digits + 1..].split_at_checked(length)?;
    (*kind <= 1).then_some((*kind == 0, packet, rest))
}

/// The number that digits with values from 0 to 9 make.
fn number(digits: impl ExactSizeIterator<Item = u8>) -> Option<usize> {
    if digits.len() == 0 || digits.len() > DIGITS_MAX {
        return None;
    }
    digits
        .into_iter()
        .try_fold(0, |number, digit| (digit <= 9).then(|| 10 * number + usize::from(digit)))
}

/// Writes packets as one payload, and gives its media type. `takes_octets` says whether the client takes them; one of
/// revision 3 that does not has said so in the query (`b64`).
pub fn encode(
    revision: Revision,
    takes_octets: bool,
    messages: &[Message],
) -> (Vec<u8>, &'static str) {
    let bytes = messages.iter().map(|message| message.bytes.len() * 4 / 3 + 16).sum();
    let mut out = Vec::with_capacity(bytes);
    match revision {
        Revision::Four => {
            for (index, Message { is_text, bytes }) in messages.iter().enumerate() {
                if index > 0 {
                    out.push(SEPARATOR);
                }
                match is_text {
                    true => out.extend_from_slice(bytes),
                    false => put_base64("b", bytes, &mut out),
                }
            }
        }
        Revision::Three if takes_octets && messages.iter().any(|message| !message.is_text) => {
            messages.iter().for_each(|message| put_octets(message, &mut out));
            return (out, OCTETS);
        }
        Revision::Three => messages.iter().for_each(|message| put_counted(message, &mut out)),
    }
    (out, TEXT)
}

fn put_base64(mark: &str, bytes: &[u8], out: &mut Vec<u8>) {
    out.extend_from_slice(mark.as_bytes());
    out.extend_from_slice(STANDARD.encode(bytes).as_bytes());
}

fn put_counted(Message { is_text, bytes }: &Message, out: &mut Vec<u8>) {
    if *is_text {
        out.extend_from_slice(format!("{}:", utf16_units(bytes)).as_bytes());
        return out.extend_from_slice(bytes);
    }
    let data = bytes.strip_prefix(binary_header(Revision::Three)).unwrap_or(bytes);
    let length = "b4".len() + data.len().div_ceil(3) * 4;
    out.extend_from_slice(format!("{length}:").as_bytes());
    put_base64("b4", data, out);
}

fn put_octets(Message { is_text, bytes }: &Message, out: &mut Vec<u8>) {
    out.push(u8::from(!is_text));
    let length = bytes.len().to_string();
    out.extend(length.bytes().map(|digit| digit - b'0'));
    out.push(LENGTH_END);
    out.extend_from_slice(bytes);
}

/// How many UTF-16 units a text has that is given in UTF-8.
fn utf16_units(text: &[u8]) -> usize {
    let units = |byte: &u8| match byte {
        // What continues a character.
        0x80..=0xbf => 0,
        0xf0.. => 2,
        _ => 1,
    };
    text.iter().map(units).sum()
}

#[cfg(test)]
mod tests {
    use super::*;
    use Revision::{Four, Three};
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn text(text: &str) -> Message {
        Message { is_text: true, bytes: text.to_owned().into() }
    }

    fn binary(bytes: &[u8]) -> Message {
        Message { is_text: false, bytes: bytes.to_vec().into() }
    }

    fn read(revision: Revision, body: &str) -> Result<Vec<Message>, PayloadError> {
        decode(revision, false, &body.to_owned().into(), 16)
    }

    /// The examples of the specifications, and what the packages from npm write.
    #[test]
    fn payloads_are_those_of_the_originals() {
        let four = [text("4hello"), text("2"), text("4€\u{1f600}"), binary(&[1, 2, 3, 4])];
        let body = "4hello\u{1e}2\u{1e}4€\u{1f600}\u{1e}bAQIDBA==";
        assert_eq!(encode(Four, true, &four), (body.into(), TEXT));
        assert_eq!(read(Four, body).as_deref(), Ok(&four[..]));

        let three = [text("4hello"), text("2"), text("4€\u{1f600}")];
        let body = "6:4hello1:24:4€\u{1f600}";
        assert_eq!(encode(Three, true, &three), (body.into(), TEXT));
        assert_eq!(read(Three, body).as_deref(), Ok(&three[..]));

        let three = [text("4€"), binary(&[4, 1, 2, 3, 4])];
        let body = "2:4€10:b4AQIDBA==";
        assert_eq!(encode(Three, false, &three), (body.into(), TEXT));
        assert_eq!(read(Three, body).as_deref(), Ok(&three[..]));
        let octets = b"\x00\x04\xff4\xe2\x82\xac\x01\x05\xff\x04\x01\x02\x03\x04";
        assert_eq!(encode(Three, true, &three), (octets.to_vec(), OCTETS));
        let read = decode(Three, true, &Bytes::from_static(octets), 16);
        assert_eq!(read.as_deref(), Ok(&three[..]));
    }

    #[test]
    fn what_is_wrong_with_a_payload_is_named() {
        use PayloadError::{Base64, Empty, Length, NotText, Octets, TooMany};
        let octets = |body: &'static [u8]| decode(Three, true, &Bytes::from_static(body), 16);
        let wrong = [
            (read(Four, ""), Empty),
            (read(Four, "b?"), Base64),
            (read(Four, "4a\u{1e}bAQ"), Base64),
            (read(Four, &"2\u{1e}".repeat(16)), TooMany(16)),
            (decode(Four, false, &Bytes::from_static(b"4\xff"), 16), NotText),
            (decode(Four, true, &Bytes::from_static(b"4"), 16), Octets),
            (read(Three, ""), Empty),
            (read(Three, "4"), Length),
            (read(Three, ":4"), Length),
            (read(Three, "2:4"), Length),
            (read(Three, "-1:4"), Length),
            (read(Three, "+1:4"), Length),
            (read(Three, "1e0:4"), Length),
            (read(Three, "9999999999:4"), Length),
            // The length ends within a character.
            (read(Three, "2:4\u{1f600}"), Length),
            (read(Three, "3:b4?"), Base64),
            (read(Three, &"1:2".repeat(17)), TooMany(16)),
            (decode(Three, false, &Bytes::from_static(b"2:4\xff"), 16), NotText),
            (octets(b""), Empty),
            (octets(b"\0"), Length),
            (octets(b"\0\x01"), Length),
            (octets(b"\0\xff"), Length),
            (octets(b"\0\x02\xff4"), Length),
            (octets(b"\0\x0a\xff4444444444"), Length),
            (octets(b"\x02\x01\xff4"), Length),
            (octets(b"\0\x09\x09\x09\x09\x09\x09\x09\x09\x09\x09\xff4"), Length),
            (octets(b"\0\x02\xff4\xff"), NotText),
        ];
        for (index, (outcome, error)) in wrong.into_iter().enumerate() {
            assert_eq!(outcome, Err(error), "{index}");
        }
    }

    #[test]
    fn text_is_not_copied() {
        let body = Bytes::from_static(b"4one\x1e4two");
        for message in decode(Four, false, &body, 2).unwrap() {
            assert!(body.as_ptr_range().contains(&message.bytes.as_ptr()));
        }
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(
            packets in vec((any::<bool>(), ".{0,20}", vec(any::<u8>(), 0..50)), 1..9),
            takes_octets: bool,
        ) {
            for revision in [Three, Four] {
                let written: Vec<_> = packets
                    .iter()
                    .map(|(is_text, said, bytes)| match is_text {
                        true => text(&format!("4{}", said.replace('\u{1e}', ""))),
                        false => binary(&[binary_header(revision), bytes].concat()),
                    })
                    .collect();
                let (body, kind) = encode(revision, takes_octets, &written);
                let read = decode(revision, kind == OCTETS, &body.into(), written.len());
                prop_assert_eq!(read, Ok(written));
            }
        }

        #[test]
        fn any_payload_is_read_or_refused(body: Vec<u8>, is_octets: bool) {
            for revision in [Three, Four] {
                if let Ok(messages) = decode(revision, is_octets, &body.clone().into(), 16) {
                    let bytes: usize = messages.iter().map(|message| message.bytes.len()).sum();
                    prop_assert!(bytes <= body.len() && (1..=16).contains(&messages.len()));
                }
            }
        }
    }
}
