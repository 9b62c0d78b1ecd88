//! The header of a packet, which is the text of one message of Engine.IO, with binary messages behind it.
//!
//! ```text
//! kind [ attachments `-` ] [ namespace `,` ] [ id ] [ JSON ]
//! ```
//!
//! The kind is a digit. Only binary kinds have attachments. The namespace begins with `/`; without one it is `/`. Events
//! and acknowledgements have an array behind the header, see [`Elements`](super::Elements).

use bytes::BufMut;

/// The most attachments of a packet that each client takes. The parser of newer ones throws above it, and its client
/// disconnects.
pub const ATTACHMENTS_MAX: u8 = 10;
/// The longest namespace, in bytes.
pub const NAMESPACE_BYTES_MAX: usize = 255;
/// The largest id of an acknowledgement. JavaScript knows all whole numbers up to it.
pub const ID_MAX: u64 = 1 << 53;
/// The root namespace.
pub const ROOT: &str = "/";
/// The most bytes that a header of the root namespace has, with the kind of Engine.IO in front of it.
pub const ROOT_HEADER_BYTES_MAX: usize = 2 + "255-".len() + DIGITS_MAX;

/// As many digits as the largest id has.
const DIGITS_MAX: usize = 16;

/// What a packet is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Kind {
    /// Enters a namespace, or says that it is entered.
    Connect = 0,
    /// Leaves a namespace, or says that it is left.
    Disconnect = 1,
    /// An event. One with an id is to be acknowledged.
    Event = 2,
    /// Acknowledges the event with its id.
    Ack = 3,
    /// A namespace cannot be entered. In protocol 4 it is called ERROR.
    ConnectError = 4,
    /// An event with attachments.
    BinaryEvent = 5,
    /// An acknowledgement with attachments.
    BinaryAck = 6,
}

impl Kind {
    const ALL: [Self; 7] = [
        Self::Connect,
        Self::Disconnect,
        Self::Event,
        Self::Ack,
        Self::ConnectError,
        Self::BinaryEvent,
        Self::BinaryAck,
    ];

    fn from_digit(digit: u8) -> Option<Self> {
        Self::ALL.get(usize::from(digit.checked_sub(b'0')?)).copied()
    }

    /// Whether packets of this kind have attachments.
    pub fn is_binary(self) -> bool {
        matches!(self, Self::BinaryEvent | Self::BinaryAck)
    }
}

/// What stands before the data of a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header<'a> {
    /// What the packet is.
    pub kind: Kind,
    /// How many binary messages follow; none unless the kind is a binary one.
    pub attachments: u8,
    /// The namespace, with its slash. A query behind it was left out.
    pub namespace: &'a str,
    /// The id of the acknowledgement.
    pub id: Option<u64>,
}

/// What is wrong with a packet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PacketError {
    /// No kind has its first character.
    #[error("a packet of an unknown kind")]
    UnknownKind,
    /// A binary packet does not say how many attachments it has, or has none.
    #[error("a binary packet without a number of attachments")]
    NoAttachments,
    /// There are more attachments than are taken.
    #[error("a packet with more than {0} attachments")]
    TooManyAttachments(u8),
    /// The namespace is too long.
    #[error("a namespace longer than {NAMESPACE_BYTES_MAX} bytes")]
    LongNamespace,
    /// The id is no number, or one above [`ID_MAX`].
    #[error("the id of a packet is not a number up to 2^53")]
    WrongId,
    /// A packet of this kind has no such data, or has to have some.
    #[error("a packet with data that its kind does not have")]
    WrongData,
}

impl<'a> Header<'a> {
    /// The header of an event in the root namespace.
    pub fn event(attachments: u8, id: Option<u64>) -> Self {
        let kind = if attachments > 0 { Kind::BinaryEvent } else { Kind::Event };
        Self { kind, attachments, namespace: ROOT, id }
    }

    /// The header of an acknowledgement in the root namespace.
    pub fn ack(attachments: u8, id: u64) -> Self {
        let kind = if attachments > 0 { Kind::BinaryAck } else { Kind::Ack };
        Self { kind, attachments, namespace: ROOT, id: Some(id) }
    }

    /// The same in another namespace.
    #[must_use]
    pub fn within(self, namespace: &str) -> Header<'_> {
        let Self { kind, attachments, id, .. } = self;
        Header { kind, attachments, namespace, id }
    }

    /// Reads the header of a packet, and gives its data with it. `attachments_max` is how many attachments are taken.
    ///
    /// Data of events and acknowledgements begins as an array, and that of others as an object or a text, if there is
    /// any. The rest of it is not looked at.
    ///
    /// # Errors
    /// [`PacketError`]: the session has to end.
    pub fn parse(text: &'a str, attachments_max: u8) -> Result<(Self, &'a str), PacketError> {
        let (&digit, _) = text.as_bytes().split_first().ok_or(PacketError::UnknownKind)?;
        let kind = Kind::from_digit(digit).ok_or(PacketError::UnknownKind)?;
        let (attachments, text) = match kind.is_binary() {
            true => attachments(&text[1..], attachments_max)?,
            false => (0, &text[1..]),
        };
        let (namespace, text) = namespace(text)?;
        let (id, data) = id(text)?;
        let is_taken = match (kind, id, data.bytes().next()) {
            (Kind::Event | Kind::BinaryEvent, _, Some(b'[')) => true,
            (Kind::Ack | Kind::BinaryAck, Some(_), Some(b'[')) => true,
            (Kind::Connect, None, None | Some(b'{')) => true,
            (Kind::Disconnect, None, None) => true,
            (Kind::ConnectError, None, Some(b'{' | b'"')) => true,
            // What stands where an id does.
            (Kind::Event | Kind::Ack | Kind::BinaryEvent | Kind::BinaryAck, None, Some(first))
                if first != b'{' =>
            {
                return Err(PacketError::WrongId);
            }
            _ => false,
        };
        match is_taken {
            true => Ok((Self { kind, attachments, namespace, id }, data)),
            false => Err(PacketError::WrongData),
        }
    }

    /// Writes the header, with the kind of Engine.IO in front of it.
    pub fn put(&self, out: &mut impl BufMut) {
        let Self { kind, attachments, namespace, id } = *self;
        out.put_slice(&[crate::engineio::packet::Kind::Message.digit(), b'0' + kind as u8]);
        if kind.is_binary() {
            put_number(attachments.into(), out);
            out.put_u8(b'-');
        }
        if namespace != ROOT {
            out.put_slice(namespace.as_bytes());
            out.put_u8(b',');
        }
        if let Some(id) = id {
            put_number(id, out);
        }
    }
}

/// Splits the number of attachments off, behind the kind.
fn attachments(text: &str, most: u8) -> Result<(u8, &str), PacketError> {
    let (digits, rest) = text.split_once('-').ok_or(PacketError::NoAttachments)?;
    match number(digits) {
        None if is_digits(digits) => Err(PacketError::TooManyAttachments(most)),
        None | Some(0) => Err(PacketError::NoAttachments),
        Some(count) => match u8::try_from(count) {
            Ok(count) if count <= most => Ok((count, rest)),
            _ => Err(PacketError::TooManyAttachments(most)),
        },
    }
}

/// Splits the namespace off.
fn namespace(text: &str) -> Result<(&str, &str), PacketError> {
    if !text.starts_with('/') {
        return Ok((ROOT, text));
    }
    let (namespace, rest) = text.split_once(',').unwrap_or((text, ""));
    let namespace = namespace.split('?').next().unwrap_or(namespace);
    match namespace.len() {
        ..=NAMESPACE_BYTES_MAX => Ok((namespace, rest)),
        _ => Err(PacketError::LongNamespace),
    }
}

/// Splits the id off.
fn id(text: &str) -> Result<(Option<u64>, &str), PacketError> {
    let length = text.bytes().take_while(u8::is_ascii_digit).count();
    let (digits, rest) = text.split_at(length);
    match number(digits) {
        None if digits.is_empty() => Ok((None, rest)),
        Some(id @ ..=ID_MAX) => Ok((Some(id), rest)),
        _ => Err(PacketError::WrongId),
    }
}

fn is_digits(digits: &str) -> bool {
    !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit())
}

/// A number of digits alone.
fn number(digits: &str) -> Option<u64> {
    let is_number = is_digits(digits) && digits.len() <= DIGITS_MAX;
    is_number.then(|| digits.bytes().fold(0, |number, digit| 10 * number + u64::from(digit - b'0')))
}

fn put_number(mut number: u64, out: &mut impl BufMut) {
    let mut digits = [0; 20];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (number % 10) as u8;
        number /= 10;
        if number == 0 {
            return out.put_slice(&digits[at..]);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn parse(text: &str) -> Result<(Header<'_>, &str), PacketError> {
        Header::parse(text, ATTACHMENTS_MAX)
    }

    /// The examples of the specifications, and what the packages from npm write.
    #[test]
    fn headers_are_those_of_the_originals() {
        let plain = |kind| Header { kind, attachments: 0, namespace: "/", id: None };
        let table = [
            ("0", plain(Kind::Connect), ""),
            (r#"0{"sid":"x"}"#, plain(Kind::Connect), r#"{"sid":"x"}"#),
            (r#"0/admin,{"a":"1,2"}"#, plain(Kind::Connect).within("/admin"), r#"{"a":"1,2"}"#),
            ("1/admin,", plain(Kind::Disconnect).within("/admin"), ""),
            (r#"2["foo"]"#, Header::event(0, None), r#"["foo"]"#),
            (r#"212["foo"]"#, Header::event(0, Some(12)), r#"["foo"]"#),
            (r#"2/admin,["a"]"#, Header::event(0, None).within("/admin"), r#"["a"]"#),
            (r#"2/a,456["p",{}]"#, Header::event(0, Some(456)).within("/a"), r#"["p",{}]"#),
            ("3/admin,456[]", Header::ack(0, 456).within("/admin"), "[]"),
            ("30[]", Header::ack(0, 0), "[]"),
            (r#"4{"message":"x"}"#, plain(Kind::ConnectError), r#"{"message":"x"}"#),
            (r#"4/x,"no""#, plain(Kind::ConnectError).within("/x"), r#""no""#),
            (r#"51-["b"]"#, Header::event(1, None), r#"["b"]"#),
            (r#"52-/a,7["b"]"#, Header::event(2, Some(7)).within("/a"), r#"["b"]"#),
            ("61-/admin,13[]", Header::ack(1, 13).within("/admin"), "[]"),
            ("610-9007199254740992[]", Header::ack(10, ID_MAX), "[]"),
        ];
        for (text, header, data) in table {
            assert_eq!(parse(text), Ok((header, data)), "{text}");
            let mut out = Vec::new();
            header.put(&mut out);
            assert_eq!(out, format!("4{}", &text[..text.len() - data.len()]).as_bytes());
        }
    }

    #[test]
    fn what_a_namespace_is_asked_with_is_left_out() {
        let (header, data) = parse("0/admin?token=1&uid=a").unwrap();
        assert_eq!((header.namespace, data), ("/admin", ""));
        assert_eq!(parse(r#"0/a?b=/,{"c":1}"#).unwrap().0.namespace, "/a");
        let long = format!("0/{},", "n".repeat(NAMESPACE_BYTES_MAX - 1));
        assert_eq!(parse(&long).unwrap().0.namespace.len(), NAMESPACE_BYTES_MAX);
        let long = format!("0/{},", "n".repeat(NAMESPACE_BYTES_MAX));
        assert_eq!(parse(&long), Err(PacketError::LongNamespace));
    }

    #[test]
    fn what_is_wrong_with_a_packet_is_named() {
        use PacketError::{NoAttachments, TooManyAttachments, UnknownKind, WrongData, WrongId};
        let too_many = TooManyAttachments(ATTACHMENTS_MAX);
        let table = [
            ("", UnknownKind),
            ("7", UnknownKind),
            ("a", UnknownKind),
            ("é", UnknownKind),
            ("-1[]", UnknownKind),
            ("5[\"a\"]", NoAttachments),
            ("5-[\"a\"]", NoAttachments),
            ("50-[\"a\"]", NoAttachments),
            ("500-[\"a\"]", NoAttachments),
            ("5+1-[\"a\"]", NoAttachments),
            ("51.0-[\"a\"]", NoAttachments),
            ("5 1-[\"a\"]", NoAttachments),
            ("5/a,[\"-\"]", NoAttachments),
            ("511-[\"a\"]", too_many),
            ("5256-[\"a\"]", too_many),
            ("599999999999999999999999-[\"a\"]", too_many),
            ("2", WrongData),
            ("21", WrongData),
            ("2{}", WrongData),
            ("2/a", WrongData),
            ("2abc[\"a\"]", WrongId),
            ("2-1[\"a\"]", WrongId),
            ("2 1[\"a\"]", WrongId),
            ("29007199254740993[\"a\"]", WrongId),
            ("299999999999999999999999[\"a\"]", WrongId),
            ("21e3[\"a\"]", WrongData),
            ("3[]", WrongId),
            ("3abc[]", WrongId),
            ("31", WrongData),
            ("31{}", WrongData),
            ("1{}", WrongData),
            ("11", WrongData),
            ("0[]", WrongData),
            ("0\"x\"", WrongData),
            ("01{}", WrongData),
            ("4", WrongData),
            ("4[]", WrongData),
        ];
        for (text, error) in table {
            assert_eq!(parse(text), Err(error), "{text}");
        }
        assert_eq!(Header::parse("52-[\"a\"]", 1), Err(TooManyAttachments(1)));
    }

    #[test]
    fn a_header_of_the_root_is_bounded() {
        let mut out = Vec::new();
        Header::event(u8::MAX, Some(ID_MAX)).put(&mut out);
        assert_eq!(out.len(), ROOT_HEADER_BYTES_MAX);
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(
            attachments in 0..=ATTACHMENTS_MAX,
            id in proptest::option::of(0..=ID_MAX),
            namespace in "(/[a-z]{0,9}){1,3}",
        ) {
            let headers = [Some(Header::event(attachments, id)), id.map(|id| Header::ack(attachments, id))];
            for header in headers.into_iter().flatten().map(|header| header.within(&namespace)) {
                let mut out = Vec::new();
                header.put(&mut out);
                out.extend_from_slice(b"[7]");
                let text = String::from_utf8(out).unwrap();
                prop_assert_eq!(parse(&text[1..]), Ok((header, "[7]")));
            }
        }

        #[test]
        fn any_text_is_read_or_refused(text in "[0-7]{0,3}-?(/[a-z,?]{0,9})?\\PC{0,20}", other: String) {
            for text in [text, other] {
                if let Ok((header, data)) = parse(&text) {
                    prop_assert!(text.ends_with(data) && header.namespace.starts_with('/'));
                }
            }
        }
    }
}
