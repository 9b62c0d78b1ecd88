//! Topics of the generation between the two: rooms into which a client is put by the one whose topic it is.
//!
//! A client tells a service that it wants a topic (`SUBSCRIBE_TOPIC`), and the service has the hub put it into the room of
//! the topic, whose name begins with that of the service. The hub does so only if the client waits for the answer to its
//! wish. A service that speaks something else asks for the same over the link of the wish.

use super::SocketIo;
use super::emits::{missing, whole};
use super::events::name_of;
use super::gathering::Packet;
use super::links::{Addressed, Function, PeerLink, SUBSCRIBE, Waiting};
use super::pairs;
use super::say::quoted;
use crate::link::Speaking as _;
use crate::socketio::carry::{self, Act};
use crate::socketio::translate;
use crate::socketio::{Elements, room};
use bytes::Bytes;
use crosspoint_hub::command::{ChannelCommand, Command, EnterOptions, Entered, Target};
use crosspoint_hub::payload::{Failure, Format, Payload};
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{ChannelName, LinkNumber, Reason};
use std::collections::BTreeMap;

/// What a client tells a service that it wants a topic no longer. Services of other protocols say the same.
const UNSUBSCRIBE: &str = "UNSUBSCRIBE_TOPIC";

/// The most topics whose rooms a client is about to enter.
const ENTERING_MAX: usize = 64;

/// The rooms of topics that a client is about to enter, by the numbers of the commands.
#[derive(Debug, Default)]
pub(super) struct Entering(BTreeMap<u32, (ChannelName, Asker)>);

/// Who is told that a client has entered the room of a topic.
#[derive(Debug, Clone, Copy)]
enum Asker {
    /// The other side of a link, under this number if it wants to be.
    Gateway(LinkNumber, Option<u32>),
    /// One that speaks something else, whose request this is.
    Foreign(LinkNumber, u32),
}

/// What a service does with a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Action {
    Create,
    Destroy,
    Subscribe,
    Unsubscribe,
}

impl Action {
    /// What `JOIN_ROOM` and `LEAVE_ROOM` are about, if it is a topic.
    fn of(args: &Elements<'_>) -> Option<Self> {
        let action = match &*args.text(1)? {
            "SERVICE_CREATE_TOPIC" => Self::Create,
            "SERVICE_DESTROY_TOPIC" => Self::Destroy,
            "CLIENT_SUBSCRIBE_TOPIC" => Self::Subscribe,
            "CLIENT_UNSUBSCRIBE_TOPIC" => Self::Unsubscribe,
            _ => return None,
        };
        // Without a callback a client of the second generation says null behind the room.
        args.text(2).is_some().then_some(action)
    }
}

/// What the rooms of somebody's topics begin with.
pub(super) fn prefix(service: &str) -> String {
    format!("service:{service}:topic:")
}

impl SocketIo {
    /// Whether `JOIN_ROOM` or `LEAVE_ROOM` is about a topic.
    pub(super) fn is_about_topic(&self, args: &Elements<'_>) -> bool {
        Action::of(args).is_some()
    }

    /// A service does something with a topic.
    pub(super) fn act_on_topic(
        &mut self,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let action = Action::of(args)?;
        let at = match action {
            Action::Create | Action::Destroy => 2,
            Action::Subscribe | Action::Unsubscribe => 3,
        };
        let me = self.start.client_id.as_deref().unwrap_or_default();
        let name = args.text(at).filter(|name| name.starts_with(&prefix(me)));
        let name = name.and_then(|name| ChannelName::new(name.as_bytes().to_vec()).ok());
        let Some(name) = name else {
            let wrong =
                format!("Error: Topic: the room of a topic of {me} begins with {}", prefix(me));
            self.server_error(out, &wrong);
            return Some(());
        };
        match action {
            Action::Create => self.join(packet, name, out),
            Action::Destroy => {
                self.destroy_topic(&name);
                self.answer(out, packet, "null");
                Some(())
            }
            Action::Subscribe => self.move_subscriber(Act::Subscribe, packet, args, out),
            Action::Unsubscribe => self.move_subscriber(Act::Unsubscribe, packet, args, out),
        }
    }

    /// The service has another client put into the room of a topic, or taken out.
    fn move_subscriber(
        &mut self,
        act: Act,
        packet: &Packet,
        args: &Elements<'_>,
        out: &mut FrameWriter,
    ) -> Option<()> {
        let to = name_of(args, 2).unwrap_or_default();
        match self.way(&to)? {
            // It enters rooms by itself.
            Ok(link) if self.links.get(link).is_some_and(PeerLink::is_foreign) => {
                self.answer(out, packet, "null");
            }
            Ok(link) => {
                let room = args.get(3).unwrap_or_default();
                let waiting = packet.id.map(|id| Waiting::Function(id, Function::Topic));
                self.act(link, act, waiting, (packet, room), out);
            }
            Err(reason) => {
                self.server_error(out, &pairs::not_found(&to));
                self.answer(out, packet, &quoted(&missing(&to, reason)));
            }
        }
        Some(())
    }

    /// All in the room of a topic are told that it is over, and the room ends.
    fn destroy_topic(&mut self, name: &ChannelName) {
        let Some(number) = self.rooms.take(name) else { return };
        let text = String::from_utf8_lossy(name.as_bytes());
        let event = quoted(&format!("{text}-TOPIC_BEING_DESTROYED"));
        let body = whole(room::event(&event, "", 0), &[]);
        self.give(Command::Send { to: Target::Up(number), part: Part::whole(body) });
        self.give(ChannelCommand::Dissolve(number));
    }

    /// Another session puts the client into a room, or takes it out of it, as this is a topic of its own.
    pub(super) fn hear_about_topic(
        &mut self,
        link: LinkNumber,
        act: Act,
        number: Option<u32>,
        room: &str,
        out: &mut FrameWriter,
    ) {
        let Some(known) = self.links.get(link) else { return };
        let way = Addressed::Client(known.name.clone());
        // A topic that is over is told over the way of the client.
        let is_own = room.starts_with(&prefix(&known.name));
        let wishes = self.links.way(self.now, &way).is_some_and(|way| self.links.wishes_topic(way));
        let name = ChannelName::new(room.as_bytes().to_vec()).ok().filter(|_| is_own);
        match (name, act) {
            (Some(name), Act::Subscribe) if wishes => {
                self.enter_topic(name, Asker::Gateway(link, number), out);
            }
            (Some(name), Act::Unsubscribe) => {
                self.leave(&name);
                self.tell_asker(Asker::Gateway(link, number), "null", out);
            }
            _ => self.dropped += 1,
        }
    }

    /// The same by a session that speaks something else, over the link of the wish. Gives whether it is that. `payload` is
    /// the topic.
    pub(super) fn hear_foreign_topic(
        &mut self,
        link: LinkNumber,
        request: Option<u32>,
        method: &str,
        payload: &Payload,
        out: &mut FrameWriter,
    ) -> bool {
        let service = match self.links.get(link).and_then(PeerLink::addressed) {
            Some(Addressed::Client(name) | Addressed::Service(name)) => prefix(name),
            _ => return false,
        };
        let topic = match method {
            SUBSCRIBE | UNSUBSCRIBE => translate::arguments(payload, self.json_bytes_max()).ok(),
            _ => None,
        };
        let array = topic.map(|topic| format!("[{}]", topic.inside));
        let topic = array.as_deref().and_then(|array| Elements::parse(array).ok()?.text(0));
        let name = topic.map(|topic| ChannelName::new(format!("{service}{topic}").into_bytes()));
        let Some(Ok(name)) = name else { return false };
        match (method, request) {
            (SUBSCRIBE, Some(request)) if self.links.wishes_topic(link) => {
                self.enter_topic(name, Asker::Foreign(link, request), out);
                true
            }
            (UNSUBSCRIBE, None) => {
                self.leave(&name);
                true
            }
            _ => false,
        }
    }

    fn enter_topic(&mut self, name: ChannelName, asker: Asker, out: &mut FrameWriter) {
        if self.rooms.is_in(&name) {
            return self.tell_asker(asker, "null", out);
        }
        if self.entering.0.len() >= ENTERING_MAX {
            return self.tell_asker(asker, &quoted("too many topics at a time"), out);
        }
        self.leave(&name);
        let request = self.unheard_request();
        let options = EnterOptions { make_room: true, ..EnterOptions::default() };
        self.give(ChannelCommand::Enter { request, name: name.clone(), options });
        self.entering.0.insert(request, (name, asker));
    }

    /// The client is in the room of a topic. Gives whether it was to be.
    pub(super) fn has_entered_topic(&mut self, entered: &Entered, out: &mut FrameWriter) -> bool {
        let Some((name, asker)) = self.entering.0.remove(&entered.request) else { return false };
        match self.rooms.is_in(&name) {
            // It has entered it by itself meanwhile.
            true => self.give(ChannelCommand::Leave(entered.channel)),
            false => self.rooms.keep(name, entered),
        }
        self.tell_asker(asker, "null", out);
        true
    }

    /// The client cannot be in the room of a topic. Gives whether it was to be.
    pub(super) fn cannot_enter_topic(
        &mut self,
        request: u32,
        reason: Reason,
        out: &mut FrameWriter,
    ) -> bool {
        let Some((name, asker)) = self.entering.0.remove(&request) else { return false };
        if reason == Reason::AlreadyEntered {
            self.tell_asker(asker, "null", out);
            return true;
        }
        let wrong = format!("Room: {name}: {reason}");
        self.server_error(out, &format!("Error: {wrong}"));
        self.tell_asker(asker, &quoted(&wrong), out);
        true
    }

    /// Tells who has asked what came of it: JSON, `null` if it went well.
    fn tell_asker(&mut self, asker: Asker, what: &str, out: &mut FrameWriter) {
        match asker {
            Asker::Gateway(link, Some(number)) if self.links.get(link).is_some() => {
                self.post(link, carry::ACK, whole(carry::ack(number, &[what], 0), &[]));
            }
            Asker::Gateway(..) => {}
            Asker::Foreign(link, request) => {
                let answer = match what {
                    "null" => Ok(Payload::new(Format::JSON, Bytes::new())),
                    why => Err(Failure::new(Failure::FAILED, why)),
                };
                self.answer_request(link, request, &answer, out);
                self.transmit(link, out);
            }
        }
    }

    fn leave(&mut self, name: &ChannelName) {
        if let Some(number) = self.rooms.take(name) {
            self.give(ChannelCommand::Leave(number));
        }
    }
}
