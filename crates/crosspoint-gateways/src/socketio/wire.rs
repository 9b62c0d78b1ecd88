//! How the hub writes data for a client of Socket.IO.
//!
//! Messages of rooms, and events of other clients of Socket.IO over links, depend on nothing that was written before, so
//! the sender's thread writes them. Everything else over links is for the session's own task. All of it may be from
//! anybody: a client must not get what makes its parser throw, as it disconnects then.

use super::ack_id::AckId;
use super::arguments::check_event;
use super::carry::{self, Carried};
use super::packet::{Header, ROOT_HEADER_BYTES_MAX};
use super::room::{self, Message};
use crate::engineio::Revision;
use crate::engineio::packet::binary_header;
use bytes::Bytes;
use crosspoint_hub::LinkNumber;
use crosspoint_hub::wire::{
    Capacity, Content, FrameWriter, Framing, Part, Pauses, Place, Profile, Stateful, Wire,
};
use std::time::Duration;

/// The name of the protocol.
pub const NAME: &str = "socketio";

/// What a session keeps for each link.
pub(super) const LINK_BYTES: usize = 1280;

/// The wire of clients with one revision of Engine.IO. It needs WebSocket's text messages around its frames.
#[derive(Debug)]
pub struct SocketIoWire(Revision);

/// The wire of clients 1 and 2.
pub static THREE: SocketIoWire = SocketIoWire::THREE;
/// The wire of clients 3 and 4.
pub static FOUR: SocketIoWire = SocketIoWire::FOUR;

impl SocketIoWire {
    /// That of clients 1 and 2.
    pub const THREE: Self = Self(Revision::Three);
    /// That of clients 3 and 4.
    pub const FOUR: Self = Self(Revision::Four);

    fn packet(
        &self,
        header: Header<'_>,
        data: &Bytes,
        attachments: &[Bytes],
        out: &mut FrameWriter,
    ) {
        let mut bytes = [0; ROOT_HEADER_BYTES_MAX];
        let mut free = &mut bytes[..];
        header.put(&mut free);
        let length = ROOT_HEADER_BYTES_MAX - free.len();
        out.frame(&bytes[..length], data);
        for attachment in attachments {
            out.binary_frame(binary_header(self.0), attachment);
        }
    }

    fn room(&self, data: &Bytes, out: &mut FrameWriter) {
        let event = Header::event(0, None);
        match room::read(data) {
            Message::Event => self.packet(event, data, &[], out),
            Message::Attached { text, attachments } => {
                let event = Header::event(attachments.len() as u8, None);
                self.packet(event, &text, &attachments, out);
            }
            Message::Text(text) => {
                let array = serde_json::to_vec(&[room::MESSAGE, text]);
                let array = array.expect("texts have a JSON form");
                self.packet(event, &array.into(), &[], out);
            }
            Message::Bytes => {
                let event = Header::event(1, None);
                let array = br#"["message",{"_placeholder":true,"num":0}]"#;
                self.packet(event, &Bytes::from_static(array), std::slice::from_ref(data), out);
            }
        }
    }

    fn link(&self, link: LinkNumber, part: &Part, out: &mut FrameWriter) {
        let Ok(Carried::Event(number, arguments)) = Carried::parse(part.kind, part.data.clone())
        else {
            return;
        };
        let count = arguments.attachments_count();
        if check_event(arguments.text(), count).is_ok() {
            let id = number.map(|number| AckId { link, number }.to_packet());
            let event = Header::event(count, id);
            self.packet(event, arguments.text_bytes(), &arguments.attachments, out);
        }
    }
}

impl Wire for SocketIoWire {
    fn profile(&self) -> Profile {
        Profile {
            name: NAME,
            id: match self.0 {
                Revision::Four => 4,
                Revision::Three => 5,
            },
            framing: Framing::Messages,
            // Such a session enters channels and rooms, and owns none.
            capacity: Capacity { owned_max: 0, entered_max: u32::MAX, members_max: 0 },
            stateful: Stateful::LinksBut(carry::EVENT),
            whole: true,
            links: true,
            credentials: true,
            pauses: Pauses::Links,
            link_bytes: LINK_BYTES,
            successors: false,
            application: true,
            secures: false,
            settle: Duration::ZERO,
            envelope: None,
        }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        let Content::Part { place, part, .. } = *content else { return };
        match place {
            // Calls with replies have no form here.
            Place::In(_) | Place::Room(..) if part.kind == Part::DATA => self.room(&part.data, out),
            Place::Link(link) => self.link(link, part, out),
            _ => {}
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::socketio::fuzz::written;
    use crosspoint_hub::{JoinedChannelId, MemberNumber};

    const ROOM: Place = Place::Room(JoinedChannelId(7), MemberNumber(9));
    const LINK: Place = Place::Link(LinkNumber(2));
    const PLACE: &str = r#"{"_placeholder":true,"num":0}"#;

    fn text(text: &str) -> (u8, Bytes) {
        (b't', text.to_owned().into())
    }

    fn binary(bytes: &'static [u8]) -> (u8, Bytes) {
        (b'b', Bytes::from_static(bytes))
    }

    #[test]
    fn members_of_all_protocols_are_heard_in_a_room() {
        let with_place = format!("451-[\"message\",{PLACE}]");
        for (data, four) in [
            (&b"[\"ev\",1]"[..], vec![text("42[\"ev\",1]")]),
            (b"say \"hi\"\n", vec![text(r#"42["message","say \"hi\"\n"]"#)]),
            (b"[\"connect\"]", vec![text(r#"42["message","[\"connect\"]"]"#)]),
            (b"\xff\x00", vec![text(&with_place), binary(b"\xff\x00")]),
        ] {
            for place in [ROOM, Place::In(JoinedChannelId(0))] {
                assert_eq!(written(&FOUR, place, Part::DATA, &Bytes::from_static(data)), four);
            }
        }
        let mut body = room::event("\"b\"", PLACE, 1);
        body.attach(b"\x01");
        let body = body.finish().unwrap();
        let array = text(&format!("451-[\"b\",{PLACE}]"));
        let four = vec![array.clone(), binary(b"\x01")];
        assert_eq!(written(&FOUR, ROOM, Part::DATA, &body), four);
        let three = vec![array, binary(b"\x04\x01")];
        assert_eq!(written(&THREE, ROOM, Part::DATA, &body), three);
        // Calls, and what arrives at an owner.
        assert_eq!(written(&FOUR, ROOM, Part::CALL, &body), []);
        let own = Place::Own(crosspoint_hub::OwnedChannelId(0), MemberNumber(0));
        assert_eq!(written(&FOUR, own, Part::DATA, &body), []);
    }

    #[test]
    fn an_event_comes_over_a_link_as_it_was_sent() {
        let event =
            |number| carry::event(number, &["\"ev\"", "1, {\"a\" :2}"], 0).finish().unwrap();
        let plain = vec![text(r#"42["ev",1, {"a" :2}]"#)];
        assert_eq!(written(&FOUR, LINK, carry::EVENT, &event(None)), plain);
        let id = AckId { link: LinkNumber(2), number: 3 }.to_packet();
        let with_id = vec![text(&format!(r#"42{id}["ev",1, {{"a" :2}}]"#))];
        assert_eq!(written(&FOUR, LINK, carry::EVENT, &event(Some(3))), with_id);
        assert_eq!(written(&THREE, LINK, carry::EVENT, &event(Some(3))), with_id);

        let mut body = carry::event(Some(3), &["5", PLACE], 1);
        body.attach(b"");
        let body = body.finish().unwrap();
        let array = text(&format!("451-{id}[5,{PLACE}]"));
        let four = vec![array.clone(), binary(b"")];
        assert_eq!(written(&FOUR, LINK, carry::EVENT, &body), four);
        assert_eq!(written(&THREE, LINK, carry::EVENT, &body), vec![array, binary(b"\x04")]);
    }

    #[test]
    fn what_would_disconnect_a_client_is_not_written() {
        let body = |array: &str, attachments: u8| {
            let mut body = carry::event(None, &[&array[1..array.len() - 1]], attachments);
            (0..attachments).for_each(|_| body.attach(b"x"));
            body.finish().unwrap()
        };
        let wrong = [
            body("[]", 0),
            body("[null]", 0),
            body("[\"connect\"]", 0),
            body(r#"["\u0064isconnect"]"#, 0),
            body("[\"ev\",]", 0),
            body("[\"ev\"]\u{1f600}]", 0),
            body("[\"ev\"]", 1),
            body(&format!("[\"ev\",{PLACE},{PLACE}]"), 2),
            body(&format!("[\"ev\",{PLACE}]"), 11),
            // White space would be an id.
            Bytes::from_static(b"\0\0\x07 [\"ev\"]"),
            Bytes::from_static(b"\0\0\x06{\"a\":1"),
            Bytes::from_static(b"\0\0\x02\xff\xff"),
            Bytes::new(),
        ];
        for body in wrong {
            assert_eq!(written(&FOUR, LINK, carry::EVENT, &body), [], "{body:02x?}");
        }
        // Those go to the session.
        for kind in [0, carry::ACK, carry::ACT] {
            let body = carry::ack(0, &["\"ev\""], 0).finish().unwrap();
            assert_eq!(written(&FOUR, LINK, kind, &body), []);
        }
    }

    #[test]
    fn the_wires_are_two() {
        let (three, four) = (THREE.profile(), FOUR.profile());
        assert_eq!((three.id, four.id), (5, 4));
        assert_eq!((three.name, four.name), (NAME, NAME));
    }
}
