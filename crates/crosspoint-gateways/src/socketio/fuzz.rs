//! The fuzz target for packets of Socket.IO, and for what becomes of them on links and in rooms; the ordinary tests run
//! it on transcripts and random changes of them.

use super::arguments::{check, check_event};
use super::body::Body;
use super::carry::{self, Carried};
use super::elements::{Elements, ElementsError};
use super::packet::{ATTACHMENTS_MAX, Header, Kind};
use super::placeholders::Placeholders;
use super::room;
use super::scanner::NotJson;
use super::translate;
use super::wire::{FOUR, SocketIoWire, THREE};
use bytes::{Buf, BufMut, Bytes, BytesMut};
use crosspoint_hub::payload::{Format, Payload};
use crosspoint_hub::wire::{Content, Envelope, FrameWriter, Part, Place, Wire};
use crosspoint_hub::{JoinedChannelId, LinkNumber, MemberNumber};
use serde_json::Value;
use serde_json::value::RawValue;

/// Reads bytes as a packet, as a message of each kind on a link, as a message of a room, and as a payload of a peer. What
/// was read is read again when it is written anew or passed on, and a client takes all that is written for it.
pub fn fuzz_socketio_packet(data: &[u8]) {
    let bytes = Bytes::copy_from_slice(data);
    if let Ok(text) = str::from_utf8(data) {
        packet(text);
    }
    for kind in [carry::EVENT, carry::ACK, carry::ACT] {
        carried(kind, &bytes);
    }
    heard(IN_ROOM, Part::DATA, &bytes).expect("each message of a room is written");
    for format in [Format::BYTES, Format::TEXT, Format::JSON, Format::MESSAGE_PACK] {
        payload(&Payload::new(format, bytes.clone()));
    }
}

const IN_ROOM: Place = Place::Room(JoinedChannelId(1), MemberNumber(2));
const ON_LINK: Place = Place::Link(LinkNumber(3));

fn packet(text: &str) {
    let Ok((header, data)) = Header::parse(text, ATTACHMENTS_MAX) else { return };
    let mut written = Vec::new();
    header.put(&mut written);
    written.extend_from_slice(data.as_bytes());
    let written = String::from_utf8(written).expect("it is made of text");
    assert_eq!(Header::parse(&written[1..], ATTACHMENTS_MAX), Ok((header, data)));
    if matches!(header.kind, Kind::Event | Kind::Ack | Kind::BinaryEvent | Kind::BinaryAck) {
        array(header, data);
    }
}

fn array(header: Header<'_>, data: &str) {
    let expected = serde_json::from_str::<Vec<&RawValue>>(data);
    let elements = match Elements::parse(data) {
        Ok(elements) => elements,
        Err(ElementsError::NotJson(NotJson::At(_)) | ElementsError::NotArray) => {
            return assert!(expected.is_err());
        }
        Err(ElementsError::NotJson(NotJson::TooDeep) | ElementsError::TooMany) => return,
    };
    let expected = expected.expect("both take the same texts");
    let found = (0..elements.len()).filter_map(|index| elements.get(index));
    assert!(found.eq(expected.iter().map(|element| element.get())));
    let Ok(placeholders) = Placeholders::parse(data, header.attachments) else { return };
    for index in 0..=elements.len().min(4) {
        let cut = placeholders.cut(data, elements.rest(index));
        let attachments = cut.attachments.len() as u8;
        let array = format!("[{}]", cut.text);
        Placeholders::parse(&array, attachments).expect("a part has its own placeholders");
        pass_on(&array, attachments);
    }
}

/// Gives a payload to a client, which sends it back.
fn payload(payload: &Payload) {
    let bytes_max = 2 * payload.data.len() + 100;
    let Ok(told) = translate::arguments(payload, bytes_max) else { return };
    let array = format!("[{}]", told.inside);
    let count = told.attachments.len() as u8;
    let elements = check(&array, count).expect("a client takes it");
    // What JSON text may have, and MessagePack has not.
    let Some(back) = translate::from_arguments(&told.inside, &told.attachments) else {
        return assert!(payload.format != Format::TEXT && payload.format != Format::BYTES);
    };
    let again = translate::arguments(&back, usize::MAX).expect("it was written here");
    assert_eq!(again.attachments.len(), told.attachments.len());
    assert_eq!(
        Elements::parse(&format!("[{}]", again.inside)).map(|it| it.len()),
        Ok(elements.len())
    );
    if let Some(value) = translate::from_acknowledgement(Format::JSON, &elements, &told.attachments)
    {
        translate::argument(&value, usize::MAX).expect("it was written here");
    }
}

/// Sends arguments over a link and to a room.
fn pass_on(array: &str, attachments: u8) {
    let elements = Elements::parse(array).expect("it is a part of a valid text");
    let body = fill(carry::ack(7, &[elements.rest(0)], attachments));
    let Ok(Carried::Ack(7, arguments)) = Carried::parse(carry::ACK, body) else {
        panic!("it was written here");
    };
    assert_eq!(arguments.check().expect("it was checked").len(), elements.len());
    let is_event = check_event(array, attachments).is_ok();
    let name = elements.get(0).unwrap_or_default();
    let body = fill(carry::event(Some(7), &[name, elements.rest(1)], attachments));
    let said = heard(ON_LINK, carry::EVENT, &body);
    assert_eq!(said.is_some(), is_event, "{array}");
    if is_event {
        let body = fill(room::event(name, elements.rest(1), attachments));
        if !body.is_empty() {
            heard(IN_ROOM, Part::DATA, &body).expect("it is an event");
        }
    }
}

fn fill(mut body: Body) -> Bytes {
    while body.missing() > 0 {
        body.attach(&[body.missing(); 3]);
    }
    body.finish().expect("nothing is missing")
}

fn carried(kind: u8, body: &Bytes) {
    let Ok(carried) = Carried::parse(kind, body.clone()) else {
        return assert_eq!(heard(ON_LINK, kind, body), None);
    };
    let arguments = match &carried {
        Carried::Event(_, arguments)
        | Carried::Ack(_, arguments)
        | Carried::Act(_, _, arguments) => arguments,
    };
    let attachments = arguments.attachments_count();
    let event = check_event(arguments.text(), attachments);
    let is_written = kind == carry::EVENT && event.is_ok();
    assert_eq!(heard(ON_LINK, kind, body).is_some(), is_written);
    let Ok(elements) = arguments.check() else { return };
    let parts = &[elements.rest(0)];
    let mut again = match &carried {
        Carried::Event(number, _) => carry::event(*number, parts, attachments),
        Carried::Ack(number, _) => carry::ack(*number, parts, attachments),
        Carried::Act(act, number, _) => carry::act(*act, *number, parts, attachments),
    };
    arguments.attachments.iter().for_each(|attachment| again.attach(attachment));
    let again = again.finish().expect("nothing is missing");
    // White space at the ends of the array is left out.
    assert!(Carried::parse(kind, again).is_ok_and(|again| same(&again, &carried)));
}

fn same(one: &Carried, other: &Carried) -> bool {
    let values = |arguments: &carry::Arguments| {
        let values: Vec<Box<RawValue>> = serde_json::from_str(arguments.text()).ok()?;
        Some(values.iter().map(|value| value.get().to_owned()).collect::<Vec<_>>())
    };
    let same = |one: &carry::Arguments, other: &carry::Arguments| {
        one.attachments == other.attachments && values(one) == values(other)
    };
    match (one, other) {
        (Carried::Event(n, one), Carried::Event(m, other)) => n == m && same(one, other),
        (Carried::Ack(n, one), Carried::Ack(m, other)) => n == m && same(one, other),
        (Carried::Act(a, n, one), Carried::Act(b, m, other)) => {
            a == b && n == m && same(one, other)
        }
        _ => false,
    }
}

/// What clients of both revisions are told: the data of one packet, if there is one. They take it.
fn heard(place: Place, kind: u8, data: &Bytes) -> Option<String> {
    let [three, four] = [&THREE, &FOUR].map(|wire| {
        let mut messages = written(wire, place, kind, data).into_iter();
        let (mark, packet) = messages.next()?;
        let packet = std::str::from_utf8(&packet).expect("a packet is text");
        assert_eq!((mark, packet.as_bytes().first()), (b't', Some(&b'4')));
        let (header, data) =
            Header::parse(&packet[1..], ATTACHMENTS_MAX).expect("a client takes it");
        assert!(matches!(header.kind, Kind::Event | Kind::BinaryEvent), "{header:?}");
        check_event(data, header.attachments).expect("a client takes it");
        let attachments: Vec<_> = messages.collect();
        assert_eq!(attachments.len(), usize::from(header.attachments));
        assert!(attachments.iter().all(|(mark, _)| *mark == b'b'));
        // Deeper texts are too deep for this parser.
        if let Ok(value) = serde_json::from_str(data)
            && header.attachments > 0
        {
            reconstruct(&value, header.attachments).expect("a client takes it");
        }
        Some(data.to_owned())
    });
    assert_eq!(three, four);
    four
}

/// What the parser of a client does with the placeholders. `None` where it throws.
fn reconstruct(value: &Value, attachments: u8) -> Option<()> {
    match value {
        Value::Array(elements) => {
            elements.iter().try_for_each(|element| reconstruct(element, attachments))
        }
        Value::Object(fields) if fields.get("_placeholder") == Some(&Value::Bool(true)) => {
            let number = fields.get("num")?.as_f64()?;
            (0.0..attachments.into()).contains(&number).then_some(())
        }
        Value::Object(fields) => {
            fields.values().try_for_each(|value| reconstruct(value, attachments))
        }
        _ => Some(()),
    }
}

static MESSAGES: Envelope = Envelope {
    prefix: |length, out| put_prefix(b't', length, out),
    binary_prefix: Some(|length, out| put_prefix(b'b', length, out)),
    compression: None,
};

fn put_prefix(mark: u8, length: usize, out: &mut BytesMut) {
    out.put_u8(mark);
    out.put_u32(length as u32);
}

/// The messages that a client gets, with `t` for text and `b` for binary ones.
pub(super) fn written(
    wire: &SocketIoWire,
    place: Place,
    kind: u8,
    data: &Bytes,
) -> Vec<(u8, Bytes)> {
    let mut out = FrameWriter::new(Some(&MESSAGES));
    let part = Part { kind, ..Part::whole(data.clone()) };
    wire.encode(&Content::Part { place, chunk: None, part: &part }, &mut out);
    let pieces: Vec<u8> = out.take().pieces().flatten().copied().collect();
    let mut rest = Bytes::from(pieces);
    let mut messages = Vec::new();
    while rest.has_remaining() {
        let (mark, length) = (rest.get_u8(), rest.get_u32() as usize);
        messages.push((mark, rest.split_to(length)));
    }
    messages
}
