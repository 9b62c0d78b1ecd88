//! What the peer layer brings over links to peers that speak something else than Socket.IO, and how the client says it
//! (docs/socketio.md, section 3).
//!
//! The machine of a link keeps ids and bounds. Its events become events of the client, and what the client says becomes
//! requests and notices. Streams are in `stream_relay`.

use super::SocketIo;
use super::foreign::{Foreign, Wanted};
use super::links::{PeerLink, Waiting};
use super::say::{array, quoted};
use super::streams::is_of_stream;
use crate::link::{Backlog, COMMANDS_MAX, Speaking, Spoken};
use crate::socketio::event::is_of_hub;
use crate::socketio::packet::Header;
use crate::socketio::room::MESSAGE;
use crate::socketio::translate::{self, Arguments};
use crate::socketio::{AckId, Elements, elements, event};
use bytes::Bytes;
use crosspoint_hub::command::{Command, LinkCommand};
use crosspoint_hub::payload::{Failure, Outcome, Payload};
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{Limit, LinkNumber, Reason};
use crosspoint_proto::peer::secure::{HANDSHAKE, SEALED};
use crosspoint_proto::peer::{self, Event, NAME_BYTES_MAX, SendError};
use std::time::Instant;

impl Speaking for SocketIo {
    fn spoken(&mut self, link: LinkNumber) -> Option<&mut Spoken> {
        self.foreign(link).map(|foreign| &mut foreign.spoken)
    }

    fn backlog(&mut self) -> &mut Backlog {
        &mut self.links.shared.backlog
    }

    fn unsent(&self) -> usize {
        self.links.shared.backlog.unsent()
    }

    fn is_behind(&self) -> bool {
        self.links.shared.backlog.is_behind()
    }

    fn hold_back(&mut self, link: LinkNumber, is_loaded: bool) -> Option<Option<Instant>> {
        let (known, shared) = self.links.get_mut_with_shared(link)?;
        let spoken = &mut known.foreign.as_deref_mut()?.spoken;
        let is_held = spoken.is_held(is_loaded);
        is_held.then(|| spoken.hold_back(link, is_loaded, &mut shared.backlog))
    }

    fn is_loaded(&self) -> bool {
        self.ready.len() >= COMMANDS_MAX
    }

    fn unsent_max(&self) -> usize {
        self.options.limits.outbox_bytes_max
    }

    fn schedule_link(&mut self, link: LinkNumber, at: Option<Instant>) {
        let (Some(at), Some((known, shared))) = (at, self.links.get_mut_with_shared(link)) else {
            return;
        };
        if let Some(foreign) = known.foreign.as_deref_mut() {
            shared.due.add(link, &mut foreign.due, at);
        }
    }

    fn command(&mut self, command: Command) {
        self.give(command);
    }

    fn heed(&mut self, link: LinkNumber, out: &mut FrameWriter) -> bool {
        let mut has_heard = false;
        while let Some(event) = self.foreign(link).and_then(|foreign| foreign.machine().poll()) {
            self.happened(link, event, out);
            has_heard = true;
        }
        if let Some((known, shared)) = self.links.get_mut_with_shared(link)
            && let Some(foreign) = known.foreign.as_deref_mut()
        {
            shared.count(foreign);
        }
        has_heard
    }

    fn break_link(&mut self, link: LinkNumber, reason: Reason, out: &mut FrameWriter) {
        if self.links.get(link).is_some() {
            self.give(LinkCommand::Close { link, reason });
            self.end_link(link, out);
        }
    }
}

impl SocketIo {
    /// The largest text that arguments may become.
    pub(super) fn json_bytes_max(&self) -> usize {
        2 * self.options.limits.message_bytes_max as usize
    }

    pub(super) fn foreign(&mut self, link: LinkNumber) -> Option<&mut Foreign> {
        self.links.get_mut(link)?.foreign.as_deref_mut()
    }

    /// A link has ended: what waits there is not counted any more.
    pub(super) fn forget_foreign(&mut self, link: LinkNumber, gone: &mut PeerLink) {
        if let Some(foreign) = gone.foreign.as_deref_mut() {
            self.links.shared.forget(link, foreign);
            for near in foreign.streams.names() {
                self.streams.remove(near);
            }
        }
    }

    /// The client says an event to such a peer. `event` is JSON, and `args` are JSON with commas between them.
    pub(super) fn say_to_foreign(
        &mut self,
        link: LinkNumber,
        id: Option<u64>,
        event: &str,
        args: &str,
        attachments: &[Bytes],
        out: &mut FrameWriter,
    ) {
        let name = elements::text(event).unwrap_or(event.into());
        if is_of_stream(&name) {
            // Of one that is over. Such notices cross.
            self.dropped += 1;
            return;
        }
        let Some(payload) = translate::from_arguments(args, attachments) else {
            let wrong = "the arguments are nested too deeply to be sent with attachments";
            return self.server_error(out, &format!("Error: {wrong}"));
        };
        if id.is_some() && !self.may_wait(out) {
            return;
        }
        let (now, time) = (self.now, self.options.ack_time);
        let Some(foreign) = self.foreign(link) else { return };
        let Payload { format, data } = &payload;
        let sent = match id {
            None => foreign.machine().notify(&name, *format, data).map(|()| None),
            Some(_) => foreign.machine().request(now, time, &name, *format, data).map(Some),
        };
        match (sent, id) {
            (Ok(Some(request)), Some(id)) => {
                self.links.wait_for(link, request, Waiting::relayed(event, id));
            }
            (Ok(_), _) => {}
            (Err(SendError::NameTooLong(_)), _) => {
                let wrong = format!("Error: an event has a name of up to {NAME_BYTES_MAX} bytes");
                self.server_error(out, &wrong);
            }
            (Err(error), _) => self.server_error(out, &format!("Error: the event: {error}")),
        }
        self.say_on(link, out);
    }

    /// Such a peer has sent something.
    pub(super) fn hear_foreign(&mut self, link: LinkNumber, part: &Part, out: &mut FrameWriter) {
        // There are no keys here.
        if matches!(part.kind, HANDSHAKE | SEALED) {
            return self.break_link(link, Reason::Unsupported, out);
        }
        let now = self.now;
        let Some(foreign) = self.foreign(link) else { return };
        match foreign.machine().receive(now, part.kind, part.data.clone()) {
            Ok(()) => self.work(link, out),
            Err(_broken) => self.break_link(link, Reason::Malformed, out),
        }
    }

    /// Hands on what the machine of a link has for the client and for the other side.
    fn work(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        self.heed(link, out);
        self.transmit(link, out);
    }

    /// Sends what the client has said, and hands on what comes of that.
    pub(super) fn say_on(&mut self, link: LinkNumber, out: &mut FrameWriter) {
        self.speak(link);
        if self.heed(link, out) {
            self.transmit(link, out);
        }
    }

    /// Calls the machines whose time has come.
    pub(super) fn tick_foreign(&mut self, out: &mut FrameWriter) {
        let now = self.now;
        while let Some(link) = self.links.shared.due.take_due(now) {
            if let Some(foreign) = self.foreign(link) {
                foreign.due = None;
                foreign.machine().tick(now);
                self.work(link, out);
            }
        }
    }

    fn happened(&mut self, link: LinkNumber, event: Event, out: &mut FrameWriter) {
        match event {
            Event::Message(payload) => {
                let args = translate::argument(&payload, self.json_bytes_max());
                self.tell_foreign(MESSAGE, args.ok(), None, out);
            }
            Event::Notify { method, payload }
                if self.hear_foreign_topic(link, None, &method, &payload, out) => {}
            Event::Request { id, method, payload, .. }
                if self.hear_foreign_topic(link, Some(id), &method, &payload, out) => {}
            Event::Notify { method, payload } => {
                let args = translate::arguments(&payload, self.json_bytes_max());
                self.tell_foreign(&method, args.ok(), None, out);
            }
            Event::Request { id, method, payload, .. } => {
                self.hear_request(link, id, &method, &payload, out);
            }
            Event::Cancelled { id } => {
                let is_it = |wanted: &Wanted| matches!(wanted, Wanted::Request(of, _) if *of == id);
                let asked = self.foreign(link).and_then(|foreign| foreign.number_of(is_it));
                if let Some(number) = asked {
                    self.take_asked(AckId { link, number });
                }
            }
            Event::Result { id, outcome } => self.hear_result(link, id, outcome, out),
            Event::Opened { stream, name, metadata } => {
                self.offered_stream(link, stream, &name, &metadata, out);
            }
            Event::Accepted { stream } => self.accepted_stream(link, stream, out),
            Event::Readable { stream } | Event::Ended { stream } => {
                self.read_stream(link, stream, out);
            }
            Event::Writable { stream } => self.write_stream(link, stream, out),
            Event::Reset { stream, text, .. } => self.lose_stream(link, stream, &text, out),
            Event::Clock { token } => {
                let clock_us = (self.options.clock)().saturating_mul(1000);
                if let Some(foreign) = self.foreign(link) {
                    foreign.machine().tell_clock(token, clock_us);
                }
            }
            // Typed calls have no form here.
            Event::Typed { .. } => self.dropped += 1,
            // Nothing was asked for, and nothing waits for room.
            Event::Time(_) | Event::Room => {}
        }
    }

    /// The client hears an event of such a peer. It is not told of what it could not read.
    pub(super) fn tell_foreign(
        &mut self,
        name: &str,
        args: Option<Arguments<'_>>,
        ack: Option<AckId>,
        out: &mut FrameWriter,
    ) {
        let name = if name.is_empty() { MESSAGE } else { name };
        let is_allowed = !is_of_hub(name) && event::reserved(name).is_none();
        match args.filter(|_| is_allowed) {
            Some(Arguments { inside, attachments }) => {
                let header = Header::event(attachments.len() as u8, ack.map(AckId::to_packet));
                let text = array(&quoted(name), &inside);
                self.put(out, header, &text);
                self.attach(out, &attachments);
            }
            None => self.dropped += 1,
        }
    }

    fn hear_request(
        &mut self,
        link: LinkNumber,
        id: u32,
        method: &str,
        payload: &Payload,
        out: &mut FrameWriter,
    ) {
        let name = if method.is_empty() { MESSAGE } else { method };
        let refused = match translate::arguments(payload, self.json_bytes_max()) {
            Err(_) => Failure::new(Failure::UNREADABLE, "the payload has no form in Socket.IO"),
            Ok(_) if is_of_hub(name) || event::reserved(name).is_some() => Failure::no_method(name),
            Ok(args) => match self.ask_client(link, Wanted::Request(id, payload.format)) {
                Some(ack) => return self.tell_foreign(name, Some(args), Some(ack), out),
                None => Failure::new(Failure::TOO_MANY, "too many requests wait for the peer"),
            },
        };
        self.answer_request(link, id, &Err(refused), out);
    }

    /// The id under which the client acknowledges something. `None`: its peer has asked for too much already.
    pub(super) fn ask_client(&mut self, link: LinkNumber, wanted: Wanted) -> Option<AckId> {
        let most = self.options.acks_max;
        let (known, shared) = self.links.get_mut_with_shared(link)?;
        let number = shared.ask(known.foreign.as_deref_mut()?, wanted, most)?;
        Some(AckId { link, number })
    }

    /// What the client was asked for under this id, if it was and has not answered.
    fn take_asked(&mut self, id: AckId) -> Option<Wanted> {
        let (known, shared) = self.links.get_mut_with_shared(id.link)?;
        shared.take(known.foreign.as_deref_mut()?, id.number)
    }

    /// The client acknowledges what such a peer has said.
    pub(super) fn answer_foreign(
        &mut self,
        id: AckId,
        args: &Elements<'_>,
        attachments: &[Bytes],
        out: &mut FrameWriter,
    ) {
        let link = id.link;
        match self.take_asked(id) {
            Some(Wanted::Request(request, format)) => {
                let payload = translate::from_acknowledgement(format, args, attachments);
                let answer = payload.ok_or_else(|| {
                    let message = "the answer is nested too deeply to be sent with attachments";
                    Failure::new(Failure::FAILED, message)
                });
                self.answer_request(link, request, &answer, out);
                self.transmit(link, out);
            }
            Some(Wanted::Stream(stream)) => self.take_stream(link, stream, args, out),
            Some(Wanted::Chunk(stream)) => self.took_chunk(link, stream, out),
            None => self.dropped += 1,
        }
    }

    /// Answers a request of the other side, once the machine is asked to transmit.
    pub(super) fn answer_request(
        &mut self,
        link: LinkNumber,
        id: u32,
        answer: &Outcome,
        out: &mut FrameWriter,
    ) {
        let Some(foreign) = self.foreign(link) else { return };
        match foreign.spoken.answer(id, answer) {
            Ok(()) => {}
            Err(SendError::Full) => self.break_link(link, Reason::TooManyPending, out),
            // A hub that takes no messages at all.
            Err(_) => self.dropped += 1,
        }
    }

    /// The other side has answered. There is no form for a failure, so people are told.
    fn hear_result(
        &mut self,
        link: LinkNumber,
        id: u32,
        outcome: peer::Outcome,
        out: &mut FrameWriter,
    ) {
        let Some(Waiting::Relay(ack) | Waiting::Topic(ack)) = self.links.acknowledged(link, id)
        else {
            return;
        };
        let failure = match outcome {
            peer::Outcome::Result(payload) => {
                match translate::argument(&payload, self.json_bytes_max()) {
                    Ok(Arguments { inside, attachments }) => {
                        let header = Header::ack(attachments.len() as u8, ack);
                        let text = array("", &inside);
                        self.put(out, header, &text);
                        return self.attach(out, &attachments);
                    }
                    Err(_) => {
                        Failure::new(Failure::UNREADABLE, "the answer has no form in Socket.IO")
                    }
                }
            }
            peer::Outcome::Failure(failure) => failure,
            peer::Outcome::TimedOut => {
                self.hits.push(Limit::SocketIoAckTime);
                Failure::new(Failure::TIMED_OUT, "no answer in time")
            }
        };
        let Some(known) = self.links.get(link) else { return };
        let text = format!("Error: Client {}: {failure}", known.name);
        self.server_error(out, &text);
    }
}
