//! Messages of rooms, which members of all protocols read (docs/socketio.md, section 1).
//!
//! 1. A JSON array that begins with a text is an event, as clients of Socket.IO send it. It has no white space before
//!    the bracket, and its name is not reserved.
//! 2. An event with attachments is an array in MessagePack: the text of the JSON array, and the attachments as bin.
//! 3. Everything else is the event `message` with one argument: a text if it is UTF-8, else an attachment.
//!
//! A client that sends the event `message` with one text sends just this text, so that all members can talk to each
//! other. What rule 1 would take for an event is sent as rule 1 says.

use super::arguments::check_event;
use super::body::Body;
use super::carry::put_array;
use super::elements::{self, Elements};
use super::event::Name;
use super::packet::ATTACHMENTS_MAX;
use bytes::{Buf, Bytes};
use std::borrow::Cow;

/// The event of messages that are no events.
pub const MESSAGE: &str = "message";

/// A message of a room, as a client of Socket.IO gets it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Message<'a> {
    /// An event without attachments: the message is the text of its array.
    Event,
    /// An event with attachments.
    Attached {
        /// The text of its array.
        text: Bytes,
        /// The attachments, from 1 to [`ATTACHMENTS_MAX`].
        attachments: Vec<Bytes>,
    },
    /// The event `message` with this text.
    Text(&'a str),
    /// The event `message` with the bytes.
    Bytes,
}

/// Reads a message of a room, which may be from anybody.
pub fn read(message: &Bytes) -> Message<'_> {
    match str::from_utf8(message) {
        Ok(text) if is_event(text, 0) => Message::Event,
        Ok(text) => Message::Text(text),
        Err(_) => read_attached(message.clone()).unwrap_or(Message::Bytes),
    }
}

/// Whether the text is an event whose name is a text.
fn is_event(text: &str, attachments: u8) -> bool {
    matches!(check_event(text, attachments), Ok((_, Name::Text(_))))
}

fn read_attached(mut message: Bytes) -> Option<Message<'static>> {
    let count = match message.try_get_u8().ok()? {
        mark @ 0x90..=0x9f => u32::from(mark & 0xf),
        0xdc => message.try_get_u16().ok()?.into(),
        0xdd => message.try_get_u32().ok()?,
        _ => return None,
    };
    let count = u8::try_from(count).ok()?.checked_sub(1)?;
    if !(1..=ATTACHMENTS_MAX).contains(&count) {
        return None;
    }
    let text_bytes = match message.try_get_u8().ok()? {
        mark @ 0xa0..=0xbf => u32::from(mark & 0x1f),
        mark @ 0xd9..=0xdb => length(mark - 0xd9, &mut message)?,
        _ => return None,
    };
    let text = take(text_bytes, &mut message)?;
    let attachments: Option<Vec<Bytes>> = (0..count)
        .map(|_| match message.try_get_u8().ok()? {
            mark @ 0xc4..=0xc6 => {
                let length = length(mark - 0xc4, &mut message)?;
                take(length, &mut message)
            }
            _ => None,
        })
        .collect();
    let attachments = attachments?;
    let is_event = message.is_empty() && is_event(str::from_utf8(&text).ok()?, count);
    is_event.then_some(Message::Attached { text, attachments })
}

/// A length of 1, 2 or 4 bytes, for 0, 1 and 2.
fn length(size: u8, message: &mut Bytes) -> Option<u32> {
    match size {
        0 => message.try_get_u8().ok().map(u32::from),
        1 => message.try_get_u16().ok().map(u32::from),
        _ => message.try_get_u32().ok(),
    }
}

fn take(length: u32, message: &mut Bytes) -> Option<Bytes> {
    let length = length as usize;
    (length <= message.len()).then(|| message.split_to(length))
}

/// Begins the message that an event becomes. `name` is the text of an element, which [`Name::parse`] has taken, and
/// `rest` has the other elements with commas between them.
pub fn event(name: &str, rest: &str, attachments: u8) -> Body {
    // A number is a text for those who listen.
    let name = match name.starts_with('"') {
        true => Cow::Borrowed(name),
        false => Cow::Owned(format!("\"{name}\"")),
    };
    let mut array = Vec::with_capacity(name.len() + rest.len() + 3);
    put_array(&[&name, rest], &mut array);
    if attachments > 0 {
        let mut bytes = Vec::with_capacity(array.len() + HEADER_BYTES_MAX);
        put_array_mark(u16::from(attachments) + 1, &mut bytes);
        put_text_mark(array.len(), &mut bytes);
        bytes.append(&mut array);
        return Body::begin(bytes, attachments, put_bin_mark);
    }
    let is_message = elements::text(&name).is_some_and(|name| name == MESSAGE);
    match is_message.then(|| bare(&array)).flatten() {
        Some(text) => Body::complete(text),
        None => Body::complete(array),
    }
}

/// The text that is the only argument of an event, unless it would be read as something else.
fn bare(array: &[u8]) -> Option<Vec<u8>> {
    let elements = Elements::parse(str::from_utf8(array).ok()?).ok()?;
    let text = elements.text(1).filter(|_| elements.len() == 2)?;
    // Messages of rooms are not empty.
    let is_read_as_it_is = !text.is_empty() && !is_event(&text, 0);
    is_read_as_it_is.then(|| text.into_owned().into_bytes())
}

/// The most bytes in front of the array of an event with attachments.
const HEADER_BYTES_MAX: usize = 3 + 5;

fn put_array_mark(count: u16, out: &mut Vec<u8>) {
    match count {
        0..=15 => out.push(0x90 | count as u8),
        _ => {
            out.push(0xdc);
            out.extend_from_slice(&count.to_be_bytes());
        }
    }
}

fn put_text_mark(length: usize, out: &mut Vec<u8>) {
    match u32::try_from(length).expect("a text is smaller than 4 GiB") {
        length @ 0..=31 => out.push(0xa0 | length as u8),
        length => put_length([0xd9, 0xda, 0xdb], length, out),
    }
}

fn put_bin_mark(length: u32, out: &mut Vec<u8>) {
    put_length([0xc4, 0xc5, 0xc6], length, out);
}

/// Writes a length in as many bytes as it needs, behind the mark that says how many.
fn put_length(marks: [u8; 3], length: u32, out: &mut Vec<u8>) {
    if let Ok(length) = u8::try_from(length) {
        out.extend_from_slice(&[marks[0], length]);
    } else if let Ok(length) = u16::try_from(length) {
        out.push(marks[1]);
        out.extend_from_slice(&length.to_be_bytes());
    } else {
        out.push(marks[2]);
        out.extend_from_slice(&length.to_be_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const PLACE: &str = r#"{"_placeholder":true,"num":0}"#;

    fn sent(name: &str, rest: &str, attachments: &[&[u8]]) -> Bytes {
        let mut body = event(name, rest, attachments.len() as u8);
        attachments.iter().for_each(|attachment| body.attach(attachment));
        body.finish().unwrap()
    }

    #[test]
    fn an_event_is_its_array() {
        for (name, rest, array) in [
            ("\"ev\"", "1,\"two\"", r#"["ev",1,"two"]"#),
            ("\"ev\"", "", r#"["ev"]"#),
            ("5", "null", r#"["5",null]"#),
            // Others would not take it for a message.
            ("\"message\"", "", r#"["message"]"#),
            ("\"message\"", "1", r#"["message",1]"#),
            ("\"message\"", "\"\"", r#"["message",""]"#),
            ("\"message\"", r#""a","b""#, r#"["message","a","b"]"#),
            ("\"message\"", r#""\ud800""#, r#"["message","\ud800"]"#),
            ("\"message\"", r#""[\"ev\"]""#, r#"["message","[\"ev\"]"]"#),
        ] {
            let message = sent(name, rest, &[]);
            assert_eq!(message, array);
            assert_eq!(read(&message), Message::Event);
        }
    }

    #[test]
    fn a_text_is_a_message() {
        for (name, rest, text) in [
            ("\"message\"", r#""hi""#, "hi"),
            ("\"m\\u0065ssage\"", r#""\"h\u00e9\"\n""#, "\"h\u{e9}\"\n"),
            ("\"message\"", r#""[1]""#, "[1]"),
            ("\"message\"", r#""[\"connect\"]""#, r#"["connect"]"#),
            ("\"message\"", r#"" [\"ev\"]""#, r#" ["ev"]"#),
        ] {
            let message = sent(name, rest, &[]);
            assert_eq!(message, text);
            assert_eq!(read(&message), Message::Text(text));
        }
        for text in ["{\"a\":1}", "[", "[]", "[5]", "[\"a\"] x", "[\"disconnecting\",1]"] {
            assert_eq!(read(&text.into()), Message::Text(text));
        }
    }

    #[test]
    fn attachments_are_behind_the_array_in_messagepack() {
        let message = sent("\"b\"", PLACE, &[b"\xff\0"]);
        let text = format!("[\"b\",{PLACE}]");
        assert_eq!(message, [b"\x92\xd9\x23", text.as_bytes(), b"\xc4\x02\xff\0"].concat());
        let attachments = vec![Bytes::from_static(b"\xff\0")];
        assert_eq!(read(&message), Message::Attached { text: text.into(), attachments });
        // A text would come of bytes that are one.
        let message = sent("\"message\"", PLACE, &[b"text"]);
        assert!(matches!(read(&message), Message::Attached { .. }));
    }

    #[test]
    fn other_bytes_are_bytes() {
        let array = format!("[\"b\",{PLACE}]");
        let with = |begin: &[u8], text: &str, end: &[u8]| {
            let length = [0xd9, text.len() as u8];
            Bytes::from([begin, &length, text.as_bytes(), end].concat())
        };
        assert!(matches!(read(&with(b"\x92", &array, b"\xc4\0")), Message::Attached { .. }));
        assert!(matches!(
            read(&with(b"\xdd\0\0\0\x02", &array, b"\xc6\0\0\0\x01a")),
            Message::Attached { .. }
        ));
        for message in [
            Bytes::from_static(b"\xff"),
            Bytes::from_static(b"\x92"),
            Bytes::from_static(b"\x92\xdb\xff\xff\xff\xff"),
            Bytes::from_static(b"\xdd\xff\xff\xff\xff\xa0"),
            // Without attachments, with too many, too few, or something behind them.
            with(b"\x91", "[\"b\"]", b""),
            with(b"\x9c", &array, &[0xc4, 0].repeat(11)),
            with(b"\x93", &array, b"\xc4\0\xc4\0"),
            with(b"\x92", &array, b""),
            with(b"\x92", &array, b"\xc4\0\0"),
            with(b"\x92", &array, b"\xa1a"),
            // The text is no event, or a client would throw.
            with(b"\x92", &format!("[{PLACE}]"), b"\xc4\0"),
            with(b"\x92", &format!("[5,{PLACE}]"), b"\xc4\0"),
            with(b"\x92", &format!("[\"connect\",{PLACE}]"), b"\xc4\0"),
            with(b"\x92", &format!(" [\"b\",{PLACE}]"), b"\xc4\0"),
            with(b"\x92", "[\"b\"]", b"\xc4\0"),
        ] {
            assert_eq!(read(&message), Message::Bytes, "{message:02x?}");
        }
    }

    proptest! {
        #[test]
        fn what_was_sent_is_read_again(
            said in "\\PC{0,20}",
            lengths in vec(prop_oneof![0..300usize, Just(65_536)], 1..=ATTACHMENTS_MAX as usize),
        ) {
            let text = serde_json::to_string(&said).unwrap();
            let message = sent("\"message\"", &text, &[]);
            match read(&message) {
                Message::Text(text) => prop_assert_eq!(text, said),
                other => prop_assert_eq!(other, Message::Event),
            }
            let places: Vec<String> = (0..lengths.len())
                .map(|number| format!(r#"{{"_placeholder":true,"num":{number}}}"#))
                .collect();
            let attachments: Vec<Bytes> =
                lengths.iter().map(|length| vec![0xa5; *length].into()).collect();
            let slices: Vec<&[u8]> = attachments.iter().map(|bytes| &bytes[..]).collect();
            let rest = format!("{text},{}", places.join(","));
            let message = sent("\"ev\"", &rest, &slices);
            let text = format!("[\"ev\",{rest}]").into();
            prop_assert_eq!(read(&message), Message::Attached { text, attachments });
        }

        #[test]
        fn any_message_is_read(message: Vec<u8>) {
            let _message = read(&message.into());
        }
    }
}
