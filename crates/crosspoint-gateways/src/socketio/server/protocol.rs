//! How the driver of the connection calls the session.

use super::{SocketIo, State, topics};
use crate::link::Speaking as _;
use crate::socketio::packet::ROOT;
use bytes::Bytes;
use crosspoint_hub::command::{
    ApplicationEvent, ChannelCommand, ChannelEvent, Command, DirectoryEvent, Event, LinkEvent,
    Target,
};
use crosspoint_hub::protocol::{Activity, Measurement, Output, Protocol};
use crosspoint_hub::wire::{FrameWriter, Place};
use crosspoint_hub::{Limit, Reason};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

impl SocketIo {
    fn hear(&mut self, event: &Event, out: &mut FrameWriter) {
        match event {
            Event::Link(LinkEvent::Opened { request, link, peer, purpose }) => {
                self.linked(*request, *link, peer, purpose, out);
            }
            Event::Link(LinkEvent::Closed { link, .. }) => self.end_link(*link, out),
            Event::Channel(ChannelEvent::Entered(entered)) => {
                if !self.has_entered_topic(entered, out) {
                    self.entered(entered);
                }
            }
            Event::Channel(ChannelEvent::Ended { channel, .. }) => self.rooms.end(*channel),
            Event::Directory(DirectoryEvent::Found { request, peers, more }) => {
                self.found(*request, peers, *more);
            }
            // Said behind what is being written, which may be that it is let in.
            Event::Directory(DirectoryEvent::NameShared) => self.shares_name = true,
            Event::Application(ApplicationEvent::Told { payload }) => {
                self.told_by_application(payload, out);
            }
            Event::Application(ApplicationEvent::Answer { ticket, outcome }) => {
                self.application_answered(*ticket, outcome, out);
            }
            Event::Data { place: Place::Link(link), part } => self.heard(*link, part, out),
            Event::Refused { request, reason, .. } => {
                if !self.cannot_enter_topic(*request, *reason, out) {
                    self.refused(*request, *reason);
                }
            }
            Event::Done { request } => self.done(*request),
            Event::Paused { to: Target::Link(link) } => self.pause(*link),
            Event::Resumed { to: Target::Link(link), .. } => self.resume(*link, out),
            // Who is in a room and who is connected is not told of, and data of rooms are written by their senders.
            Event::Channel(_)
            | Event::Directory(_)
            | Event::Data { .. }
            | Event::Messages { .. }
            | Event::Welcome { .. }
            | Event::Secure
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Closed { .. } => {}
        }
    }

    /// Whether a packet waits for the hub, which has answered.
    fn can_go_on(&self) -> bool {
        self.question.is_none() && self.held.is_some()
    }

    /// Ends what the client does not use.
    fn tidy(&mut self) {
        // A topic that is over is told over the link to its service.
        let rooms = &self.rooms;
        for link in self.links.idle(self.now, |name| rooms.is_in_any(&topics::prefix(name))) {
            self.close_link(link);
        }
        for room in self.rooms.idle(self.now) {
            self.give(ChannelCommand::Leave(room));
        }
    }
}

impl Protocol for SocketIo {
    fn message_begins(&mut self, _now: Instant, is_text: bool) {
        self.inbox.begin(is_text);
    }

    fn receive(&mut self, _now: Instant, bytes: Bytes) {
        self.inbox.receive(bytes, self.options.payload_bytes_max as usize);
    }

    fn message_ended(&mut self, _now: Instant) {
        self.inbox.end();
    }

    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Output> {
        self.now = now;
        match self.state {
            State::New => self.begin(out),
            // A client that is not let in is not asked again.
            State::Greeting if self.ready.is_empty() => self.greet(out),
            _ => {}
        }
        loop {
            if let Some(output) = self.ready.pop_front() {
                return Some(output);
            }
            if self.ready.capacity() > 64 {
                self.ready = VecDeque::new();
            }
            if self.state == State::Closed || self.question.is_some() {
                return None;
            }
            if std::mem::take(&mut self.shares_name) {
                // What it answers is for nobody.
                let ack = self.own.unheard();
                self.tell(out, "SERVER_PING", "", Some(ack));
            }
            if self.catch_up(out) {
                continue;
            }
            if let Some(packet) = self.held.take() {
                self.carry_out(*packet, out);
                continue;
            }
            match self.inbox.next() {
                Ok(Some(message)) => {
                    self.message(message.is_text, message.bytes, out);
                    self.idle_frames += u64::from(self.ready.is_empty());
                    if let Some(time) = self.socket.round_trip() {
                        self.ready.push_back(Output::Measurement(Measurement::RoundTrip(time)));
                    }
                }
                Ok(None) => return None,
                Err(reason) => self.fail(reason),
            }
        }
    }

    fn idle_frames(&mut self) -> u64 {
        std::mem::take(&mut self.idle_frames)
    }

    fn deliver(&mut self, now: Instant, event: &Event, out: &mut FrameWriter) {
        self.now = now;
        if self.state == State::Greeting {
            self.greet(out);
        }
        if self.state != State::Closed {
            event.each(|event| self.hear(event, out));
        }
    }

    fn waits(&self) -> bool {
        self.question.is_some()
    }

    fn has_output(&self) -> bool {
        let waits = self.shares_name || self.is_behind();
        !self.ready.is_empty() || self.can_go_on() || waits && self.question.is_none()
    }

    fn limit_hit(&mut self) -> Option<Limit> {
        self.hits.pop()
    }

    fn buffered(&self) -> usize {
        let sent = |output: &Output| match output {
            Output::Command(Command::Send { part, .. }) => part.data.len(),
            _ => 0,
        };
        let ready: usize = self.ready.iter().map(sent).sum();
        let held = self.held.as_ref().map_or(0, |packet| packet.bytes());
        self.inbox.bytes()
            + self.gathering.bytes()
            + held
            + self.links.bytes()
            + self.rooms.bytes()
            + ready
            + self.ready.capacity() * size_of::<Output>()
    }

    fn midway(&self) -> Option<u64> {
        let is_midway = self.gathering.is_midway() || self.inbox.midway().is_some();
        is_midway.then_some(self.packets)
    }

    fn unheard(&mut self, time: Duration) {
        self.socket.unheard(time);
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        let question = self.question.as_ref().map(|question| question.until());
        let all = [
            question,
            self.links.shared.due.next_due(),
            self.links.shared.unanswered.next_due(),
            self.links.due(),
            self.rooms.due(),
            Some(self.socket.deadline(activity)),
        ];
        all.into_iter().flatten().min()
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        self.now = now;
        self.give_up();
        self.give_up_waiting(out);
        self.give_up_streams(out);
        self.tick_foreign(out);
        self.tidy();
        self.socket.tick(now, activity, out)
    }

    fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> bool {
        self.socket.probe(now, out)
    }

    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter) {
        let was = std::mem::replace(&mut self.state, State::Closed);
        match (was, reason) {
            (State::Greeting, Reason::NameTaken) if self.start.client_id.is_some() => {
                self.refuse_name(out);
            }
            (State::Greeting, reason) => self.refuse_client(reason, out),
            // The client does not connect again by itself.
            (State::Open, Reason::Replaced | Reason::Kicked | Reason::Expired) => {
                self.say_disconnect(ROOT, out);
            }
            _ => {}
        }
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_is_small() {
        // The size is that of a system with 64 bits.
        assert!(size_of::<SocketIo>() <= 1024, "{} bytes", size_of::<SocketIo>());
    }
}
