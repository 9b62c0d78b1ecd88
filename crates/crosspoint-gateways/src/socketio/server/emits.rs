//! Events from one client to another, and their acknowledgements.
//!
//! Arguments travel as the text that came. The id under which the receiver acknowledges says which link and which
//! question of the sender it is for, so the session of the receiver keeps nothing.

use super::events::name_of;
use super::gathering::Packet;
use super::links::{Function, PeerLink, Waiting};
use super::say::quoted;
use super::streams::is_of_stream;
use super::{SocketIo, pairs};
use crate::link::Speaking as _;
use crate::socketio::carry::{self, Act, Arguments, Carried};
use crate::socketio::event::is_of_hub;
use crate::socketio::packet::{Header, ROOT};
use crate::socketio::{AckId, Body, Elements, Name, elements};
use bytes::Bytes;
use crosspoint_hub::command::LinkCommand;
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{Limit, LinkNumber, Reason};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::time::Duration;

/// The argument of an emit of the first generation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Emit<'a> {
    #[serde(borrow)]
    target_client_id: Option<&'a RawValue>,
    #[serde(borrow)]
    event: Option<&'a RawValue>,
    #[serde(borrow)]
    args: Option<&'a RawValue>,
}

/// A body with all its attachments.
pub(super) fn whole(mut body: Body, attachments: &[Bytes]) -> Bytes {
    attachments.iter().for_each(|attachment| body.attach(attachment));
    body.finish().expect("all attachments are there")
}

impl SocketIo {
    /// `P2P_EMIT` of either generation.
    pub(super) fn emit(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        if args.get(1).is_some_and(|first| first.starts_with('{')) {
            return self.emit_object(packet, args, out);
        }
        let (Some(to), Some(list)) = (name_of(args, 1), args.inside(3)) else {
            self.server_error(out, &"Error: P2P_EMIT has a target, an event and an array");
            return Some(());
        };
        let Some(event) = self.emitted(args.get(2), out) else { return Some(()) };
        if self.is_for_stream(packet, event, list, out) {
            return Some(());
        }
        match self.way(&to)? {
            Ok(link) => self.pass(link, packet, event, list, out),
            Err(reason) => {
                self.server_error(out, &format!("Error: Core: {}", missing(&to, reason)));
            }
        }
        Some(())
    }

    /// `P2P_EMIT` of the first generation, and `P2P_EMIT_ACKNOWLEDGE`.
    pub(super) fn emit_object(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let wanted = args.get(1).map(serde_json::from_str::<Emit<'_>>);
        let Some(Ok(Emit { target_client_id, event, args: list })) = wanted else {
            let wrong = "Error: an emit has an object with targetClientId, event and args";
            self.server_error(out, &wrong);
            return Some(());
        };
        let Some(to) = target_client_id.map(RawValue::get) else {
            self.server_error(out, &"Error: targetClientId is not set");
            self.server_error(out, &pairs::not_found("undefined"));
            return Some(());
        };
        let to = elements::text(to).unwrap_or(to.into());
        let Some(event) = self.emitted(event.map(RawValue::get), out) else { return Some(()) };
        let list = list.map_or(Some(""), |list| elements::inside(list.get()));
        let Some(list) = list else {
            self.server_error(out, &"Error: the args of an emit are an array");
            return Some(());
        };
        match self.way(&to)? {
            Ok(link) => self.pass(link, packet, event, list, out),
            Err(_) => self.server_error(out, &pairs::not_found(&to)),
        }
        Some(())
    }

    /// The event that a client wants another one to have, as JSON. If it may not, it is told.
    pub(super) fn emitted<'a>(
        &self,
        event: Option<&'a str>,
        out: &mut FrameWriter,
    ) -> Option<&'a str> {
        let wrong = match Name::parse(event) {
            Ok(name) if is_of_hub(name.as_str()) => {
                format!("the event {name} is not for clients to emit")
            }
            Ok(_) => return event,
            Err(error) => error.to_string(),
        };
        self.server_error(out, &format!("Error: {wrong}"));
        None
    }

    /// Passes an event on over a link. `event` is JSON, and `args` is the part of the packet that has the arguments,
    /// with commas between them.
    pub(super) fn pass(
        &mut self,
        link: LinkNumber,
        packet: &Packet,
        event: &str,
        args: &str,
        out: &mut FrameWriter,
    ) {
        let (cut, attachments) = packet.cut(args);
        if self.links.get(link).is_some_and(PeerLink::is_foreign) {
            return self.say_to_foreign(link, packet.id, event, &cut.text, &attachments, out);
        }
        let waiting = packet.id.map(|id| Waiting::relayed(event, id));
        // A chunk that is not acknowledged is back-pressure.
        let is_chunk = || elements::text(event).is_some_and(|event| is_of_stream(&event));
        let time = self.options.ack_time.filter(|_| !is_chunk());
        let Some(number) = self.wait(link, waiting, time, out) else { return };
        let body = carry::event(number, &[event, &cut.text], attachments.len() as u8);
        self.post(link, carry::EVENT, whole(body, &attachments));
    }

    /// Has the gateway at the other side do something. `args` is a part of the packet. Gives whether there is room for one
    /// acknowledgement more.
    pub(super) fn act(
        &mut self,
        link: LinkNumber,
        act: Act,
        waiting: Option<Waiting>,
        (packet, args): (&Packet, &str),
        out: &mut FrameWriter,
    ) -> bool {
        let time = self.options.wait_time;
        let Some(number) = self.wait(link, waiting, time, out) else { return false };
        let (cut, attachments) = packet.cut(args);
        let body = carry::act(act, number, &[&cut.text], attachments.len() as u8);
        self.post(link, carry::ACT, whole(body, &attachments));
        true
    }

    /// Notes that the client waits for an acknowledgement, if it does. `None`: it waits for too many already.
    fn wait(
        &mut self,
        link: LinkNumber,
        waiting: Option<Waiting>,
        time: Option<Duration>,
        out: &mut FrameWriter,
    ) -> Option<Option<u32>> {
        let Some(waiting) = waiting else { return Some(None) };
        let until = time.map(|time| self.now + time);
        self.may_wait(out).then(|| self.links.wait(link, waiting, until))
    }

    /// Gives up what has taken too long, and tells the client.
    pub(super) fn give_up_waiting(&mut self, out: &mut FrameWriter) {
        for (link, waiting) in self.links.take_overdue(self.now) {
            let is_emit = matches!(waiting, Waiting::Relay(_) | Waiting::Topic(_));
            self.hits.push(if is_emit { Limit::SocketIoAckTime } else { Limit::SocketIoWaitTime });
            let Some(known) = self.links.get(link) else { continue };
            let silent = format!("Client {} does not answer", known.name);
            match waiting {
                // There is no acknowledgement that says so.
                Waiting::Relay(_) | Waiting::Topic(_) => {
                    self.server_error(out, &format!("Error: Core: {silent}"));
                }
                Waiting::Function(id, Function::PairStream) => self.acknowledge(out, id, "false"),
                Waiting::Function(id, function) => {
                    let what = match function {
                        Function::Stream => "Stream",
                        Function::Topic => "Topic",
                        Function::Target | Function::PairStream => "Message",
                    };
                    self.acknowledge(out, id, &quoted(&format!("{what}: {silent}")));
                }
                Waiting::Pair(id) => {
                    self.server_error(out, &format!("Error: {silent}"));
                    if let Some(id) = id {
                        self.acknowledge(out, id, "false");
                    }
                }
                Waiting::Unpair(_) => self.unpaired(waiting, out),
                Waiting::LatePair => {}
            }
        }
    }

    /// Whether the client may wait for one acknowledgement more. If not, it is told.
    pub(super) fn may_wait(&mut self, out: &mut FrameWriter) -> bool {
        let most = self.options.acks_max;
        if self.links.waiting() + self.own.waiting() >= most {
            let limit = Limit::SocketIoAcks;
            self.hits.push(limit);
            let wrong = format!("Error: {most} acknowledgements are waited for already ({limit})");
            self.server_error(out, &wrong);
            return false;
        }
        true
    }

    /// The client acknowledges what another one, or the hub, has said.
    pub(super) fn acknowledged(&mut self, packet: &Packet, out: &mut FrameWriter) {
        let Some(id) = packet.id.and_then(AckId::from_packet) else { return };
        if packet.namespace() != ROOT {
            self.dropped += 1;
        } else if let Some(waiting) = self.own.acknowledged(id) {
            self.unpaired(waiting, out);
        } else if self.links.get(id.link).is_some() {
            let args = match Elements::parse(packet.text()) {
                Ok(args) => args,
                Err(error) => return self.blame(&error),
            };
            if self.links.get(id.link).is_some_and(PeerLink::is_foreign) {
                return self.answer_foreign(id, &args, &packet.attachments, out);
            }
            let number = self.accept_pair(id, &args);
            let (cut, attachments) = packet.cut(args.rest(0));
            let body = carry::ack(number, &[&cut.text], attachments.len() as u8);
            self.post(id.link, carry::ACK, whole(body, &attachments));
        } else {
            self.dropped += 1;
        }
    }

    /// The other side of a link has said something that is not for the client as it is.
    pub(super) fn heard(&mut self, link: LinkNumber, part: &Part, out: &mut FrameWriter) {
        if self.links.get(link).is_some_and(PeerLink::is_foreign) {
            return self.hear_foreign(link, part, out);
        }
        match Carried::parse(part.kind, part.data.clone()) {
            Ok(Carried::Ack(number, args)) => self.hear_ack(link, number, &args, out),
            Ok(Carried::Act(act, number, args)) => self.hear_act(link, act, number, &args, out),
            // Events are written by those who say them.
            Ok(Carried::Event(..)) | Err(_) => self.dropped += 1,
        }
    }

    fn hear_ack(&mut self, link: LinkNumber, number: u32, args: &Arguments, out: &mut FrameWriter) {
        if args.check().is_err() {
            self.dropped += 1;
            return;
        }
        match self.links.acknowledged(link, number) {
            Some(Waiting::Relay(id) | Waiting::Topic(id) | Waiting::Function(id, _)) => {
                self.relay_ack(id, args, out);
            }
            // Nobody is in a pair alone.
            Some(Waiting::LatePair) if args.check().is_ok_and(|args| pairs::is_yes(&args)) => {
                self.post(link, carry::ACT, whole(carry::act(Act::Unregister, None, &[], 0), &[]));
            }
            Some(Waiting::LatePair) => {}
            Some(Waiting::Pair(id)) => self.hear_pair(link, id, args, out),
            Some(waiting @ Waiting::Unpair(_)) => self.unpaired(waiting, out),
            None => self.dropped += 1,
        }
    }

    /// Tells the client what another one has answered.
    pub(super) fn relay_ack(&self, id: u64, args: &Arguments, out: &mut FrameWriter) {
        let mut header = Vec::with_capacity(24);
        Header::ack(args.attachments_count(), id).put(&mut header);
        out.frame(&header, args.text_bytes());
        self.attach(out, &args.attachments);
    }

    fn hear_act(
        &mut self,
        link: LinkNumber,
        act: Act,
        number: Option<u32>,
        args: &Arguments,
        out: &mut FrameWriter,
    ) {
        let Ok(elements) = args.check() else {
            self.dropped += 1;
            return;
        };
        match act {
            Act::Register | Act::Unregister | Act::RegisterStream => {
                self.hear_about_pair(link, act, number, out);
            }
            Act::Target | Act::MultiTarget | Act::Stream | Act::MultiStream => {
                let info = elements.get(0).unwrap_or("{}");
                self.hear_target(link, act, number, (info, &args.attachments), out);
            }
            Act::Withdrawn => {
                self.links.forget_service(link, &elements.text(0).unwrap_or_default())
            }
            Act::Subscribe | Act::Unsubscribe => {
                let room = elements.text(0).unwrap_or_default();
                self.hear_about_topic(link, act, number, &room, out);
            }
        }
    }

    /// A link has ended.
    pub(super) fn end_link(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        let Some(mut gone) = self.links.remove(link) else { return };
        self.forget_foreign(link, &mut gone);
        let name = quoted(&gone.name);
        for _ in 0..gone.notices.plain {
            self.tell(out, "TARGET_DISCONNECT", &name, None);
        }
        for _ in 0..gone.notices.multi {
            self.tell(out, "MULTI_API_TARGET_DISCONNECT", &name, None);
        }
        if let Some(side) = gone.pair {
            self.lose_pair(side, &gone.name, out);
        }
    }

    /// Closes a link that the client does not use.
    pub(super) fn close_link(&mut self, link: LinkNumber) {
        if let Some(mut gone) = self.links.remove(link) {
            self.forget_foreign(link, &mut gone);
        }
        self.give(LinkCommand::Close { link, reason: Reason::Left });
    }
}

/// What the client is told of somebody who cannot be reached.
pub(super) fn missing(to: &str, reason: Reason) -> String {
    match reason {
        Reason::NoSuchPeer => format!("Client {to} is not connected to server"),
        other => format!("Client {to} cannot be reached: {other}"),
    }
}
