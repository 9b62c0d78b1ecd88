//! The hub application, which gets the events that are not the plugin's, those of other namespaces, and the news that
//! a client has entered one (`connect`). What it answers is the acknowledgement, or an event of its own.

use super::SocketIo;
use super::gathering::Packet;
use super::say::{array, quoted};
use crate::socketio::packet::{Header, ROOT};
use crate::socketio::translate::{self, Arguments};
use crate::socketio::{Elements, Name};
use bytes::Bytes;
use crosspoint_hub::command::ApplicationCommand;
use crosspoint_hub::payload::{Ask, Format, Outcome, Payload};
use crosspoint_hub::wire::FrameWriter;

/// Who waits for an answer of the hub application.
#[derive(Debug)]
pub(super) struct Asker {
    namespace: Box<str>,
    /// The number of the acknowledgement, if there is to be one.
    id: Option<u64>,
}

impl SocketIo {
    /// Asks the hub application about an event.
    pub(super) fn ask_application(
        &mut self,
        packet: &Packet,
        name: &str,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) {
        // The name is a text or a number, so that all attachments are behind it.
        match translate::from_arguments(args.rest(1), &packet.attachments) {
            Some(payload) => self.ask_about(packet.namespace(), packet.id, name, payload),
            None => {
                let wrong = "the arguments beside attachments have no form in MessagePack";
                let wrong = quoted(&format!("Error: {name}: {wrong}"));
                let header = Header::event(0, None).within(packet.namespace());
                self.put(out, header, &array(r#""SERVER_ERROR""#, &wrong));
            }
        }
    }

    /// Tells the hub application that the client has entered a namespace, and what it has given: JSON, or nothing.
    pub(super) fn ask_about_connect(&mut self, namespace: &str, auth: &Bytes) {
        let auth = str::from_utf8(auth).unwrap_or_default();
        let payload = Payload::new(Format::JSON, array("", auth));
        self.ask_about(namespace, None, "connect", payload);
    }

    fn ask_about(&mut self, namespace: &str, id: Option<u64>, name: &str, payload: Payload) {
        // The one that has waited for longest is given up: it cannot be told.
        let (ticket, _given_up) = self.asks.add(Asker { namespace: namespace.into(), id });
        let method = match namespace {
            ROOT => name.to_owned(),
            other => format!("{other},{name}"),
        };
        self.give(ApplicationCommand::Ask { ticket, ask: Ask { method, payload } });
    }

    /// The hub application has answered.
    pub(super) fn application_answered(
        &mut self,
        ticket: u32,
        outcome: &Outcome,
        out: &mut FrameWriter,
    ) {
        let Some(Asker { namespace, id }) = self.asks.take(ticket) else { return };
        // There is no form for a failure.
        let Ok(payload) = outcome else { return };
        if !self.namespaces.has(&namespace) {
            return;
        }
        match id {
            Some(id) => self.acknowledge_as_application(&namespace, id, payload, out),
            None => self.tell_as_application(&namespace, payload, out),
        }
    }

    /// The hub application says something of its own accord.
    pub(super) fn told_by_application(&mut self, payload: &Payload, out: &mut FrameWriter) {
        if self.namespaces.has(ROOT) {
            self.tell_as_application(ROOT, payload, out);
        }
    }

    fn acknowledge_as_application(
        &mut self,
        namespace: &str,
        id: u64,
        payload: &Payload,
        out: &mut FrameWriter,
    ) {
        match translate::arguments(payload, self.options.packet_bytes_max) {
            Ok(Arguments { inside, attachments }) => {
                let header = Header::ack(attachments.len() as u8, id).within(namespace);
                self.put(out, header, &array("", &inside));
                self.attach(out, &attachments);
            }
            Err(_) => self.dropped += 1,
        }
    }

    /// The first argument is the name of the event.
    fn tell_as_application(&mut self, namespace: &str, payload: &Payload, out: &mut FrameWriter) {
        let arguments = translate::arguments(payload, self.options.packet_bytes_max).ok();
        let event =
            arguments.map(|Arguments { inside, attachments }| (array("", &inside), attachments));
        let event = event.filter(|(text, _)| {
            Elements::parse(text).is_ok_and(|args| Name::parse(args.get(0)).is_ok())
        });
        match event {
            Some((text, attachments)) => {
                let header = Header::event(attachments.len() as u8, None).within(namespace);
                self.put(out, header, &text);
                self.attach(out, &attachments);
            }
            None => self.dropped += 1,
        }
    }
}
