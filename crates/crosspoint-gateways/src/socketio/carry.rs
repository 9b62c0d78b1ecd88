//! What two clients of Socket.IO say to each other over a link, as it came.
//!
//! ```text
//! 0x41 EVENT              number + 1, or 0 | arguments, the first of which is the name of the event
//! 0x42 ACK                number + 1       | arguments
//! 0x43 ACT    byte: act | number + 1, or 0 | arguments
//!
//! arguments               attachments | counted text `[…]` | attachments, each counted
//! ```
//!
//! Numbers are varints (docs/socketio.md, section 2). A message is one part, because attachments have to be directly behind their
//! packet, and many may send to one client.

use super::arguments::{self, ArgumentsError};
use super::body::Body;
use super::elements::Elements;
use super::packet::ATTACHMENTS_MAX;
use bytes::Bytes;
use bytestring::ByteString;
use crosspoint_hub::payload::{Format, Payload};
use crosspoint_proto::frame::{self, put_varint};

/// The kind of an event of the other client, to be written to the own one.
pub const EVENT: u8 = 0x41;
/// The kind of an acknowledgement.
pub const ACK: u8 = 0x42;
/// The kind of what one gateway asks the other for.
pub const ACT: u8 = 0x43;

/// The largest number of an event or act that wants an acknowledgement. The side that asks chooses it.
pub const NUMBER_MAX: u32 = (1 << 21) - 1;

/// What one gateway asks the other for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Act {
    /// To be paired with its client.
    Register = 0,
    /// To end the pair.
    Unregister = 1,
    /// To be told when the other goes.
    Target = 2,
    /// For a stream.
    Stream = 3,
    /// That its client enters the room of a topic.
    Subscribe = 4,
    /// That its client leaves that room.
    Unsubscribe = 5,
    /// As [`Act::Target`], in the words of the generation between the two.
    MultiTarget = 6,
    /// As [`Act::Stream`], in the words of that generation.
    MultiStream = 7,
    /// To be called no more under the name of a service.
    Withdrawn = 8,
    /// For the stream of a pair.
    RegisterStream = 9,
}

impl Act {
    const ALL: [Self; 10] = [
        Self::Register,
        Self::Unregister,
        Self::Target,
        Self::Stream,
        Self::Subscribe,
        Self::Unsubscribe,
        Self::MultiTarget,
        Self::MultiStream,
        Self::Withdrawn,
        Self::RegisterStream,
    ];
}

/// A message between two gateways.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Carried {
    /// An event, with the number of its acknowledgement if it wants one.
    Event(Option<u32>, Arguments),
    /// The acknowledgement with this number.
    Ack(u32, Arguments),
    /// An act, with the number of its acknowledgement if it wants one.
    Act(Act, Option<u32>, Arguments),
}

/// Arguments that have come over a link. They may have come from anybody.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments {
    text: ByteString,
    /// The attachments, [`ATTACHMENTS_MAX`] at the most.
    pub attachments: Vec<Bytes>,
}

/// The format of a payload that is arguments in the same form, as between two clients (docs/peers.md, section 2).
pub const ARGUMENTS: Format = Format(4);

/// A message of a link that no gateway of Socket.IO sends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum CarryError {
    /// It has another kind.
    #[error("a message of the unknown kind {0:#04x}")]
    Kind(u8),
    /// It is shorter or longer than what it says.
    #[error("a message of the kind {0:#04x} is not as long as it says")]
    Length(u8),
    /// A number is out of range.
    #[error("a message of the kind {0:#04x} has a number that is out of range")]
    Number(u8),
    /// The arguments are not UTF-8.
    #[error("a message of the kind {0:#04x} has arguments that are not UTF-8")]
    NotText(u8),
}

impl Arguments {
    /// Reads the data of a payload in the format [`ARGUMENTS`]. Clients may not be able to read them.
    ///
    /// # Errors
    /// [`CarryError`]
    pub fn parse(data: Bytes) -> Result<Self, CarryError> {
        arguments(ARGUMENTS.0, frame::Body(data))
    }

    /// The text as it came.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The text as bytes that can be shared.
    pub fn text_bytes(&self) -> &Bytes {
        self.text.as_bytes()
    }

    /// How many attachments there are.
    pub fn attachments_count(&self) -> u8 {
        self.attachments.len() as u8
    }

    /// Checks that clients can read them, and gives the elements.
    ///
    /// # Errors
    /// [`ArgumentsError`]
    pub fn check(&self) -> Result<Elements<'_>, ArgumentsError> {
        arguments::check(self.text(), self.attachments_count())
    }
}

impl Carried {
    /// Reads a message of a link. Nothing is copied.
    ///
    /// # Errors
    /// [`CarryError`]: the other side is no gateway of Socket.IO.
    pub fn parse(kind: u8, body: Bytes) -> Result<Self, CarryError> {
        let mut body = frame::Body(body);
        let short = |_| CarryError::Length(kind);
        Ok(match kind {
            EVENT => Self::Event(number(kind, &mut body)?, arguments(kind, body)?),
            ACK => {
                let number = number(kind, &mut body)?.ok_or(CarryError::Number(kind))?;
                Self::Ack(number, arguments(kind, body)?)
            }
            ACT => {
                let act = usize::from(body.byte().map_err(short)?);
                let act = *Act::ALL.get(act).ok_or(CarryError::Number(kind))?;
                Self::Act(act, number(kind, &mut body)?, arguments(kind, body)?)
            }
            _ => return Err(CarryError::Kind(kind)),
        })
    }
}

fn number(kind: u8, body: &mut frame::Body) -> Result<Option<u32>, CarryError> {
    let number = body.varint().map_err(|_| CarryError::Length(kind))?.checked_sub(1);
    match number.is_none_or(|number| number <= NUMBER_MAX) {
        true => Ok(number),
        false => Err(CarryError::Number(kind)),
    }
}

fn arguments(kind: u8, mut body: frame::Body) -> Result<Arguments, CarryError> {
    let short = |_| CarryError::Length(kind);
    let count = body.varint().map_err(short)?;
    if count > ATTACHMENTS_MAX.into() {
        return Err(CarryError::Number(kind));
    }
    let text = body.counted().map_err(short)?;
    let text = ByteString::try_from(text).map_err(|_| CarryError::NotText(kind))?;
    let attachments: Result<_, _> = (0..count).map(|_| body.counted()).collect();
    let attachments = attachments.map_err(short)?;
    match body.0.is_empty() {
        true => Ok(Arguments { text, attachments }),
        false => Err(CarryError::Length(kind)),
    }
}

/// Begins the body of an EVENT, whose first argument is its name. The parts are elements with commas between them, or
/// nothing; they are the inside of the array together.
///
/// # Panics
/// If the number is above [`NUMBER_MAX`].
pub fn event(number: Option<u32>, parts: &[&str], attachments: u8) -> Body {
    begin(None, number, parts, attachments)
}

/// Begins the body of an ACK, from parts as for [`event`].
///
/// # Panics
/// If the number is above [`NUMBER_MAX`].
pub fn ack(number: u32, parts: &[&str], attachments: u8) -> Body {
    begin(None, Some(number), parts, attachments)
}

/// Begins the body of an ACT, from parts as for [`event`].
///
/// # Panics
/// If the number is above [`NUMBER_MAX`].
pub fn act(act: Act, number: Option<u32>, parts: &[&str], attachments: u8) -> Body {
    begin(Some(act), number, parts, attachments)
}

/// A payload in the format [`ARGUMENTS`], from a part as for [`event`].
pub fn payload(inside: &str, attachments: &[Bytes]) -> Payload {
    let count = attachments.len() as u8;
    let mut body = put_arguments(Vec::new(), &[inside], count);
    attachments.iter().for_each(|attachment| body.attach(attachment));
    Payload::new(ARGUMENTS, body.finish().expect("all attachments are there"))
}

fn begin(act: Option<Act>, number: Option<u32>, parts: &[&str], attachments: u8) -> Body {
    assert!(number.is_none_or(|number| number <= NUMBER_MAX), "a number out of range");
    let mut bytes = Vec::with_capacity(HEADER_BYTES_MAX + array_bytes(parts));
    bytes.extend(act.map(|act| act as u8));
    put_varint(number.map_or(0, |number| number + 1), &mut bytes);
    put_arguments(bytes, parts, attachments)
}

/// Writes arguments whose attachments have yet to come.
fn put_arguments(mut bytes: Vec<u8>, parts: &[&str], attachments: u8) -> Body {
    let length = array_bytes(parts);
    put_varint(attachments.into(), &mut bytes);
    put_varint(u32::try_from(length).expect("a text is smaller than 4 GiB"), &mut bytes);
    put_array(parts, &mut bytes);
    Body::begin(bytes, attachments, put_varint)
}

/// The most bytes in front of the text.
const HEADER_BYTES_MAX: usize = 1 + 4 + 2 + 5;

/// Parts that are not empty.
fn filled<'a>(parts: &'a [&'a str]) -> impl Iterator<Item = &'a str> + Clone {
    parts.iter().copied().filter(|part| !part.is_empty())
}

/// How many bytes the array of parts has.
fn array_bytes(parts: &[&str]) -> usize {
    let parts = filled(parts);
    2 + parts.clone().count().saturating_sub(1) + parts.map(str::len).sum::<usize>()
}

/// Writes the array of parts, each of which is elements with commas between them, or nothing.
pub(super) fn put_array(parts: &[&str], out: &mut Vec<u8>) {
    out.push(b'[');
    for (index, part) in filled(parts).enumerate() {
        out.extend_from_slice(if index > 0 { b"," } else { b"" });
        out.extend_from_slice(part.as_bytes());
    }
    out.push(b']');
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    fn arguments(text: &'static str, attachments: &[&'static [u8]]) -> Arguments {
        let attachments = attachments.iter().map(|bytes| Bytes::from_static(bytes)).collect();
        Arguments { text: text.into(), attachments }
    }

    #[test]
    fn the_forms_are_those_of_the_document() {
        let body = event(None, &["\"ev\"", "", "1,2"], 0).finish().unwrap();
        assert_eq!(body, b"\0\0\x0a[\"ev\",1,2]"[..]);
        let expected = Carried::Event(None, arguments("[\"ev\",1,2]", &[]));
        assert_eq!(Carried::parse(EVENT, body), Ok(expected));

        let text = r#"["b",{"_placeholder":true,"num":0}]"#;
        let mut body = event(Some(0), &[&text[1..text.len() - 1]], 2);
        assert_eq!(body.missing(), 2);
        body.attach(b"\x01\xff");
        assert_eq!(body.missing(), 1);
        body.attach(b"");
        let body = body.finish().unwrap();
        assert_eq!(body, [b"\x01\x02\x23", text.as_bytes(), b"\x02\x01\xff\0"].concat());
        let expected = Carried::Event(Some(0), arguments(text, &[b"\x01\xff", b""]));
        assert_eq!(Carried::parse(EVENT, body), Ok(expected));

        let body = ack(NUMBER_MAX, &[], 0).finish().unwrap();
        assert_eq!(body, b"\x80\x80\x80\x01\0\x02[]"[..]);
        assert_eq!(Carried::parse(ACK, body), Ok(Carried::Ack(NUMBER_MAX, arguments("[]", &[]))));

        let body = act(Act::Stream, Some(7), &["{}"], 0).finish().unwrap();
        assert_eq!(body, b"\x03\x08\0\x04[{}]"[..]);
        let expected = Carried::Act(Act::Stream, Some(7), arguments("[{}]", &[]));
        assert_eq!(Carried::parse(ACT, body), Ok(expected));

        assert!(event(None, &["1"], 1).finish().is_none());
    }

    #[test]
    fn what_no_gateway_sends_is_refused() {
        use CarryError::{Kind, Length, NotText, Number};
        for (kind, body, error) in [
            (0x44, &b"\0\0\x02[]"[..], Kind(0x44)),
            (EVENT, b"", Length(EVENT)),
            (EVENT, b"\0", Length(EVENT)),
            (EVENT, b"\0\0\x03[]", Length(EVENT)),
            (EVENT, b"\0\0\x02[]\0", Length(EVENT)),
            (EVENT, b"\0\x01\x02[]", Length(EVENT)),
            (EVENT, b"\0\x01\x02[]\x02a", Length(EVENT)),
            (EVENT, b"\0\x0b\x02[]", Number(EVENT)),
            (EVENT, b"\x81\x80\x80\x01\0\x02[]", Number(EVENT)),
            (EVENT, b"\xff\xff\xff\xff\xff\0\x02[]", Length(EVENT)),
            (EVENT, b"\0\0\x01\xff", NotText(EVENT)),
            (ACK, b"\0\0\x02[]", Number(ACK)),
            (ACT, b"", Length(ACT)),
            (ACT, b"\x0a\0\0\x02[]", Number(ACT)),
        ] {
            let parsed = Carried::parse(kind, Bytes::from_static(body));
            assert_eq!(parsed, Err(error), "{body:02x?}");
        }
    }

    #[test]
    fn attachments_are_slices() {
        let mut body = event(None, &["\"a\""], 1);
        body.attach(&[7; 100]);
        let body = body.finish().unwrap();
        let Ok(Carried::Event(_, arguments)) = Carried::parse(EVENT, body.clone()) else {
            panic!("an event");
        };
        assert!(body.as_ptr_range().contains(&arguments.attachments[0].as_ptr()));
        assert!(body.as_ptr_range().contains(&arguments.text_bytes().as_ptr()));
    }

    proptest! {
        #[test]
        fn what_was_written_is_read_again(
            number in proptest::option::of(0..=NUMBER_MAX),
            act in 0..Act::ALL.len(),
            attachments in vec(vec(any::<u8>(), 0..200), 0..=10),
            text in "\"\\PC{0,20}\"",
        ) {
            let fill = |mut body: Body| {
                attachments.iter().for_each(|attachment| body.attach(attachment));
                body.finish().unwrap()
            };
            let count = attachments.len() as u8;
            let arguments = || Arguments {
                text: format!("[{text}]").into(),
                attachments: attachments.iter().cloned().map(Bytes::from).collect(),
            };
            let event = fill(event(number, &[&text], count));
            prop_assert_eq!(Carried::parse(EVENT, event), Ok(Carried::Event(number, arguments())));
            let what = Act::ALL[act];
            let body = fill(super::act(what, number, &[&text], count));
            prop_assert_eq!(Carried::parse(ACT, body), Ok(Carried::Act(what, number, arguments())));
            if let Some(number) = number {
                let body = fill(ack(number, &[&text], count));
                prop_assert_eq!(Carried::parse(ACK, body), Ok(Carried::Ack(number, arguments())));
            }
        }

        #[test]
        fn any_body_is_read_or_refused(kind in EVENT..=ACT, body: Vec<u8>) {
            let _parsed = Carried::parse(kind, body.into());
        }
    }
}
