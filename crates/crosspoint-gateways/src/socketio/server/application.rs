//! The hub application, which gets the events that are not the plugin's, those of other namespaces, and the news that
//! a client has entered one (`connect`). What it answers is the acknowledgement, or an event of its own.

use super::SocketIo;
use super::gathering::Packet;
use super::say::{array, quoted};
use crate::socketio::packet::{Header, ROOT};
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
    pub(super) fn ask_application(&mut self, packet: &Packet, name: &str, args: &Elements<'_>) {
        let payload = array("", args.rest(1));
        self.ask_about(packet.namespace(), packet.id, name, payload);
    }

    /// Tells the hub application that the client has entered a namespace, and what it has given.
    pub(super) fn ask_about_connect(&mut self, namespace: &str, auth: &Bytes) {
        let auth = str::from_utf8(auth).unwrap_or_default();
        self.ask_about(namespace, None, "connect", array("", auth));
    }

    fn ask_about(&mut self, namespace: &str, id: Option<u64>, name: &str, payload: String) {
        // The one that has waited for longest is given up: it cannot be told.
        let (ticket, _given_up) = self.asks.add(Asker { namespace: namespace.into(), id });
        let method = match namespace {
            ROOT => name.to_owned(),
            other => format!("{other},{name}"),
        };
        let ask = Ask { method, payload: Payload::new(Format::JSON, payload) };
        self.give(ApplicationCommand::Ask { ticket, ask });
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
            Some(id) => {
                let header = Header::ack(0, id).within(&namespace);
                self.put(out, header, &arguments(payload));
            }
            None => self.tell_as_application(&namespace, payload, out),
        }
    }

    /// The hub application says something of its own accord.
    pub(super) fn told_by_application(&mut self, payload: &Payload, out: &mut FrameWriter) {
        if self.namespaces.has(ROOT) {
            self.tell_as_application(ROOT, payload, out);
        }
    }

    fn tell_as_application(&self, namespace: &str, payload: &Payload, out: &mut FrameWriter) {
        let text = arguments(payload);
        let is_event = Elements::parse(&text).is_ok_and(|args| Name::parse(args.get(0)).is_ok());
        if is_event {
            let header = Header::event(0, None).within(namespace);
            self.put(out, header, &text);
        }
    }
}

/// What a payload of the hub application says, as the text of an array: its elements if it is one, or else itself.
fn arguments(payload: &Payload) -> String {
    let text = str::from_utf8(&payload.data).unwrap_or_default();
    match payload.format {
        Format::JSON if Elements::parse(text).is_ok() => text.to_owned(),
        Format::JSON => array("", text),
        _ if payload.data.is_empty() => array("", ""),
        _ => array("", &quoted(text)),
    }
}
