//! Arguments of clients as payloads of the peer layer, and back (docs/socketio.md, section 3).

use super::carry::{self, ARGUMENTS};
use super::elements::{self, Elements};
use super::packet::ATTACHMENTS_MAX;
use super::placeholders::Placeholders;
use crate::value::Unreadable;
use crate::value::msgpack::{self, NoForm};
use crate::value::payload::is_nothing;
use bytes::Bytes;
use crosspoint_hub::payload::{Format, Payload};
use std::borrow::Cow;
use std::fmt::Write;

/// Arguments for a client, made of a payload. It can read them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Arguments<'a> {
    /// The elements of their array, with commas between them.
    pub inside: Cow<'a, str>,
    /// The attachments, whose places are in them; [`ATTACHMENTS_MAX`] at the most.
    pub attachments: Vec<Bytes>,
}

/// The arguments of an event: the elements of an array, or the one value that is none. Nothing, and null, are no
/// arguments. Their text has at most about `bytes_max`.
///
/// # Errors
/// [`Unreadable`]
pub fn arguments(payload: &Payload, bytes_max: usize) -> Result<Arguments<'_>, Unreadable> {
    let value = argument(payload, bytes_max)?;
    if payload.format == ARGUMENTS {
        return Ok(value);
    }
    let Arguments { inside, attachments } = value;
    let inside = match (&*inside, payload.format) {
        ("null", _) => Cow::Borrowed(""),
        (text, Format::JSON | Format::MESSAGE_PACK) if text.starts_with('[') => {
            Elements::parse(text).map_err(|_| Unreadable)?;
            match inside {
                Cow::Borrowed(text) => elements::inside(text).map(Cow::Borrowed),
                Cow::Owned(text) => elements::inside(&text).map(|text| Cow::Owned(text.to_owned())),
            }
            .ok_or(Unreadable)?
        }
        _ => inside,
    };
    Ok(Arguments { inside, attachments })
}

/// The argument of an acknowledgement: the value of a result, or none for nothing. Only the format [`ARGUMENTS`] has
/// several. Its text has at most about `bytes_max`.
///
/// # Errors
/// [`Unreadable`]
pub fn argument(payload: &Payload, bytes_max: usize) -> Result<Arguments<'_>, Unreadable> {
    let mut attachments = Vec::new();
    let inside = match payload.format {
        ARGUMENTS => {
            let carried = carry::Arguments::parse(payload.data.clone()).map_err(|_| Unreadable)?;
            carried.check().map_err(|_| Unreadable)?;
            let inside = elements::inside(carried.text()).ok_or(Unreadable)?.to_owned();
            attachments = carried.attachments;
            Cow::Owned(inside)
        }
        _ if is_nothing(payload) => Cow::Borrowed(""),
        Format::JSON => {
            let text = str::from_utf8(&payload.data).map_err(|_| Unreadable)?;
            let text = text.trim_matches(elements::WHITE_SPACE);
            elements::check(text).map_err(|_| Unreadable)?;
            Cow::Borrowed(text)
        }
        Format::TEXT => {
            let text = str::from_utf8(&payload.data).map_err(|_| Unreadable)?;
            Cow::Owned(serde_json::to_string(text).map_err(|_| Unreadable)?)
        }
        Format::MESSAGE_PACK => {
            let text = msgpack::json_with(&payload.data, bytes_max, |bytes, out| {
                put_place(&mut attachments, bytes, out)
            });
            let text = text.map_err(|_| Unreadable)?;
            // Objects that look like a place would throw in a client.
            let count = attachments.len() as u8;
            if count > 0 && Placeholders::parse(&text, count).is_err() {
                return Err(Unreadable);
            }
            Cow::Owned(text)
        }
        _ => {
            let mut text = String::new();
            put_place(&mut attachments, payload.data.clone(), &mut text).map_err(|_| Unreadable)?;
            Cow::Owned(text)
        }
    };
    match inside.len() {
        length if length > bytes_max => Err(Unreadable),
        _ => Ok(Arguments { inside, attachments }),
    }
}

/// Writes the place of the next attachment.
fn put_place(attachments: &mut Vec<Bytes>, bytes: Bytes, out: &mut String) -> Result<(), NoForm> {
    let number = attachments.len();
    if number >= ATTACHMENTS_MAX.into() {
        return Err(NoForm);
    }
    attachments.push(bytes);
    write!(out, r#"{{"_placeholder":true,"num":{number}}}"#).map_err(|_| NoForm)
}

/// The payload of an event: an array of its arguments in JSON, or in MessagePack if there are attachments. `inside` is
/// elements with commas between them, in which each attachment has its place. `None` if one beside attachments has no
/// form in MessagePack: if it is nested too deeply, or has half of a surrogate pair or too large a number.
pub fn from_arguments(inside: &str, attachments: &[Bytes]) -> Option<Payload> {
    let array = format!("[{inside}]");
    match attachments.is_empty() {
        true => Some(Payload::new(Format::JSON, array)),
        false => pack(&array, attachments),
    }
}

/// The payload of an acknowledgement of what was in this format: nothing, its one argument, or an array as in
/// [`from_arguments`]. One attachment alone is bytes. Who asks in [`ARGUMENTS`] is answered so.
pub fn from_acknowledgement(
    asked: Format,
    arguments: &Elements<'_>,
    attachments: &[Bytes],
) -> Option<Payload> {
    if asked == ARGUMENTS {
        return Some(carry::payload(arguments.rest(0), attachments));
    }
    match (arguments.len(), attachments) {
        (0, _) => Some(Payload::new(Format::JSON, Bytes::new())),
        (1, []) => Some(Payload::new(Format::JSON, arguments.rest(0).to_owned())),
        (1, [attachment]) if is_place(arguments.rest(0)) => {
            Some(Payload::bytes(attachment.clone()))
        }
        (1, _) => pack(arguments.rest(0), attachments),
        _ => from_arguments(arguments.rest(0), attachments),
    }
}

/// Whether an element is the place of the only attachment itself.
fn is_place(element: &str) -> bool {
    let places = Placeholders::parse(element, 1);
    places.is_ok_and(|places| places.iter().all(|place| place.object == (0..element.len())))
}

/// A value in MessagePack. Each attachment is written once, whatever the text says.
fn pack(value: &str, attachments: &[Bytes]) -> Option<Payload> {
    let bytes: usize = attachments.iter().map(Bytes::len).sum();
    let mut out = Vec::with_capacity(value.len() + bytes);
    let mut left: Vec<Option<&Bytes>> = attachments.iter().map(Some).collect();
    msgpack::put_json(value, &mut out, |fields| {
        let place = place_in_messagepack(fields)?;
        left.get_mut(usize::from(place))?.take().cloned()
    })?;
    Some(Payload::new(Format::MESSAGE_PACK, out))
}

/// The number of the attachment whose place is an object with these fields.
fn place_in_messagepack(fields: &[u8]) -> Option<u8> {
    const MARK: &[u8] = b"\xac_placeholder\xc3";
    const NUMBER: &[u8] = b"\xa3num";
    let after_mark = fields.strip_prefix(MARK).and_then(|rest| rest.strip_prefix(NUMBER));
    let before_mark = || fields.strip_suffix(MARK).and_then(|rest| rest.strip_prefix(NUMBER));
    match after_mark.or_else(before_mark)? {
        [number @ 0..=0x7f] => Some(*number),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::collection::vec;
    use proptest::prelude::*;

    const MOST: usize = 200;

    fn place(number: usize) -> String {
        format!(r#"{{"_placeholder":true,"num":{number}}}"#)
    }

    fn packed(data: &[u8]) -> Payload {
        Payload::new(Format::MESSAGE_PACK, data.to_vec())
    }

    fn json(text: &str) -> Payload {
        Payload::new(Format::JSON, text.to_owned())
    }

    #[test]
    fn a_payload_is_the_arguments_of_an_event() {
        let bytes = |bytes: &'static [u8]| Bytes::from_static(bytes);
        for (payload, inside, attachments) in [
            (json(""), "", vec![]),
            (json("null"), "", vec![]),
            (json(" [1, \"a\"] "), "1, \"a\"", vec![]),
            (json("[]"), "", vec![]),
            (json("[[1]]"), "[1]", vec![]),
            (json("{\"a\":[]}"), "{\"a\":[]}", vec![]),
            (Payload::text("[1]\""), "\"[1]\\\"\"", vec![]),
            (Payload::text("null"), "\"null\"", vec![]),
            (Payload::bytes(bytes(b"\xff")), &place(0), vec![bytes(b"\xff")]),
            (Payload::new(Format(77), bytes(b"x")), &place(0), vec![bytes(b"x")]),
            (packed(b""), "", vec![]),
            (packed(b"\xc0"), "", vec![]),
            (packed(b"\x92\x01\xa1a"), "1,\"a\"", vec![]),
            (packed(b"\xc4\x01\xff"), &place(0), vec![bytes(b"\xff")]),
            (
                packed(b"\x92\xc4\x01\xff\x81\xa1a\xc4\0"),
                &format!("{},{{\"a\":{}}}", place(0), place(1)),
                vec![bytes(b"\xff"), bytes(b"")],
            ),
        ] {
            let expected = Arguments { inside: Cow::Borrowed(inside), attachments };
            assert_eq!(arguments(&payload, MOST), Ok(expected), "{payload:?}");
        }
        // A result is one value.
        for text in ["[1]", "null", ""] {
            assert_eq!(argument(&json(text), MOST).unwrap().inside, text);
        }
    }

    #[test]
    fn what_no_client_reads_is_refused() {
        let deep = "[".repeat(1000) + &"]".repeat(1000);
        let many = format!("[{}]", vec!["1"; 2000].join(","));
        // An object that looks like the place of an attachment beside one.
        let mut place_of_none = b"\x92\xc4\x01x\x82\xac_placeholder\xc3\xa3num".to_vec();
        place_of_none.push(7);
        for payload in [
            json("{"),
            json("1 2"),
            json(&deep),
            json(&many),
            Payload::new(Format::JSON, vec![0xff]),
            Payload::new(Format::TEXT, vec![0xff]),
            Payload::text("x".repeat(MOST)),
            packed(b"\xc1"),
            packed(&[&[0x9b][..], &[0xc4, 0].repeat(11)].concat()),
            packed(&place_of_none),
            Payload::new(ARGUMENTS, vec![]),
            Payload::new(ARGUMENTS, b"\0\x03[1".to_vec()),
            Payload::new(ARGUMENTS, b"\0\x03[1,".to_vec()),
            Payload::new(ARGUMENTS, b"\x01\x02[]\x01a".to_vec()),
        ] {
            assert_eq!(arguments(&payload, MOST.max(payload.data.len())), Err(Unreadable));
        }
        // No client looks for places where there are no attachments.
        assert!(arguments(&json(&format!("[{}]", place(7))), MOST).is_ok());
    }

    #[test]
    fn arguments_are_an_array_for_a_peer() {
        assert_eq!(from_arguments("", &[]), Some(json("[]")));
        assert_eq!(from_arguments("1,{}", &[]), Some(json("[1,{}]")));
        let attachment = [Bytes::from_static(b"\xff")];
        let reversed = r#"{"num":0,"_placeholder":true}"#;
        for place in [&place(0), reversed] {
            let payload = from_arguments(&format!("1,{place}"), &attachment).unwrap();
            assert_eq!(payload, packed(b"\xdd\0\0\0\x02\x01\xc6\0\0\0\x01\xff"));
        }
        let lone = format!("\"\\ud800\",{}", place(0));
        assert_eq!(from_arguments(&lone, &attachment), None);
        // Each is there once.
        let twice = from_arguments(&format!("{0},{0}", place(0)), &attachment).unwrap();
        assert_eq!(twice.data.iter().filter(|byte| **byte == 0xff).count(), 1);
    }

    #[test]
    fn an_acknowledgement_is_a_value_for_a_peer() {
        let attachment = [Bytes::from_static(b"\xff")];
        let read = |text: &str, attachments: &[Bytes]| {
            let arguments = Elements::parse(text).unwrap();
            let exact = from_acknowledgement(ARGUMENTS, &arguments, attachments).unwrap();
            let back = argument(&exact, 1000).unwrap();
            assert_eq!((&*back.inside, &back.attachments[..]), (arguments.rest(0), attachments));
            assert_eq!(super::arguments(&exact, 1000), Ok(back));
            from_acknowledgement(Format::JSON, &arguments, attachments).unwrap()
        };
        assert_eq!(read("[]", &[]), json(""));
        assert_eq!(read("[ {\"a\":1} ]", &[]), json("{\"a\":1}"));
        assert_eq!(read("[1,2]", &[]), json("[1,2]"));
        assert_eq!(read(&format!("[{}]", place(0)), &attachment), Payload::bytes(&b"\xff"[..]));
        let inner = read(&format!("[[{}]]", place(0)), &attachment);
        assert_eq!(inner, packed(b"\xdd\0\0\0\x01\xc6\0\0\0\x01\xff"));
        let two = read(&format!("[{},1]", place(0)), &attachment);
        assert_eq!(two, packed(b"\xdd\0\0\0\x02\xc6\0\0\0\x01\xff\x01"));
    }

    proptest! {
        #[test]
        fn what_became_a_payload_comes_back(
            texts in vec("\\PC{0,9}", 0..4),
            attachments in vec(vec(any::<u8>(), 0..40), 0..=ATTACHMENTS_MAX as usize),
        ) {
            let attachments: Vec<Bytes> = attachments.into_iter().map(Bytes::from).collect();
            let places = (0..attachments.len()).map(|number| format!("{{\"a\":{}}}", place(number)));
            let texts = texts.iter().map(|text| serde_json::to_string(text).unwrap());
            let inside = texts.chain(places).collect::<Vec<_>>().join(",");
            let payload = from_arguments(&inside, &attachments).unwrap();
            let back = arguments(&payload, 10_000).unwrap();
            prop_assert_eq!((back.inside.as_ref(), back.attachments), (&*inside, attachments));
        }

        #[test]
        fn any_payload_is_read_or_refused(format in 0..5u8, data: Vec<u8>) {
            let payload = Payload::new(Format(format), data);
            if let Ok(Arguments { inside, attachments }) = arguments(&payload, MOST) {
                let array = format!("[{inside}]");
                let checked = super::super::arguments::check(&array, attachments.len() as u8);
                prop_assert!(checked.is_ok());
            }
        }
    }
}
