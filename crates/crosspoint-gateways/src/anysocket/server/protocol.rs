//! How the driver of the connection calls the session.

use super::deferred::Deferred;
use super::{AnySocket, EARLY_BYTES_MAX, MESSAGE_BYTES_MAX, State, acts};
use crate::anysocket::heartbeat::Beat;
use crate::anysocket::packet;
use crate::link::Speaking as _;
use bytes::Bytes;
use crosspoint_hub::command::{
    ApplicationEvent, ChannelEvent, Command, DirectoryEvent, Event, LinkEvent, Target,
};
use crosspoint_hub::protocol::{Activity, Output, Protocol};
use crosspoint_hub::wire::{FrameWriter, Place};
use crosspoint_hub::{Limit, Reason};
use std::collections::VecDeque;
use std::time::{Duration, Instant};

impl AnySocket {
    /// What is in the queue behind the first so many is for what others have said.
    fn note_unasked(&mut self, before: usize) {
        let more = self.ready.len().saturating_sub(before);
        self.unasked.waiting += u32::try_from(more).unwrap_or(u32::MAX);
    }

    fn hear(&mut self, event: &Event, out: &mut FrameWriter) {
        if self.state == State::Greeting {
            self.greet(out);
        }
        if self.state == State::Closed {
            return;
        }
        match event {
            Event::Channel(event) => self.channel_event(event, out),
            Event::Link(LinkEvent::Opened { request, link, peer, purpose }) => {
                self.linked(*request, *link, peer, purpose, out);
            }
            Event::Link(LinkEvent::Closed { link, reason }) => self.end_link(*link, *reason, out),
            Event::Directory(event) => self.directory_event(event, out),
            Event::Application(ApplicationEvent::Told { payload }) => {
                self.told_by_home(payload, out);
            }
            Event::Application(ApplicationEvent::Answer { ticket, outcome }) => {
                self.answered(*ticket, outcome, out);
            }
            Event::Secure => self.secure_for_home(out),
            Event::Data { place, part } => self.data(*place, part, out),
            Event::Messages { place, run } => self.messages(*place, run, out),
            Event::Refused { request, reason, .. } => self.refused(*request, *reason, out),
            Event::Done { request } => self.done(*request, out),
            Event::Paused { to: Target::Link(link) } => self.pause(*link),
            Event::Resumed { to: Target::Link(link), .. } => self.resume(*link, out),
            // The first was known before. The next two are for those who said that they pause.
            Event::Welcome { .. }
            | Event::Paused { .. }
            | Event::Resumed { .. }
            | Event::Closed { .. } => {}
        }
    }

    fn channel_event(&mut self, event: &ChannelEvent, out: &mut FrameWriter) {
        match event {
            ChannelEvent::Entered(entered) => self.entered(entered, out),
            ChannelEvent::Ended { channel, reason } => {
                let told = self.rooms.end(*channel, *reason);
                self.told(told, out);
            }
            ChannelEvent::OtherEntered { channel, member, peer } => {
                let told = self.rooms.come(*channel, *member, peer);
                self.told(told, out);
            }
            ChannelEvent::OtherLeft { channel, member, reason } => {
                let told = self.rooms.go(*channel, *member, *reason);
                self.told(told, out);
            }
            ChannelEvent::Owner { channel, news } => {
                self.told(self.rooms.owner(*channel, news), out);
            }
            ChannelEvent::Others { .. } => event.each(|event| self.channel_event(event, out)),
            // For owners, whom this protocol has none of.
            ChannelEvent::Created { .. }
            | ChannelEvent::MemberEntered { .. }
            | ChannelEvent::MemberLeft { .. }
            | ChannelEvent::Deleted { .. }
            | ChannelEvent::Knock { .. }
            | ChannelEvent::Nominated { .. } => {}
        }
    }

    fn directory_event(&mut self, event: &DirectoryEvent, out: &mut FrameWriter) {
        match event {
            DirectoryEvent::Found { request, peers, .. } => self.found(*request, peers, out),
            DirectoryEvent::PeerCame { peer } => self.told(Some(acts::presence("came", peer)), out),
            DirectoryEvent::PeerWent { peer } => self.told(Some(acts::presence("went", peer)), out),
            DirectoryEvent::Peers { .. } => event.each(|event| self.directory_event(event, out)),
            DirectoryEvent::NameShared | DirectoryEvent::ClaimAnswered { .. } => {}
        }
    }
}

impl Protocol for AnySocket {
    fn receive(&mut self, _now: Instant, bytes: Bytes) {
        // Strangers are not given as much memory.
        let most = match self.state {
            State::New => EARLY_BYTES_MAX + packet::HEADER_BYTES_MAX,
            _ => MESSAGE_BYTES_MAX,
        };
        self.inbox.receive(bytes, most);
    }

    fn message_ended(&mut self, _now: Instant) {
        self.inbox.end();
    }

    fn poll(&mut self, now: Instant, out: &mut FrameWriter) -> Option<Output> {
        self.now = now;
        // A client that is not let in is not asked again.
        if self.state == State::Greeting {
            self.greet(out);
        }
        loop {
            if let Some(output) = self.ready.pop_front() {
                // Which of them it was makes no difference.
                if self.unasked.waiting > 0 && matches!(output, Output::Command(_)) {
                    self.unasked.waiting -= 1;
                    self.unasked.given += 1;
                }
                return Some(output);
            }
            self.unasked.waiting = 0;
            if self.ready.capacity() > 64 {
                self.ready = VecDeque::new();
            }
            if self.state == State::Closed {
                return None;
            }
            if self.catch_up(out) {
                self.note_unasked(0);
                continue;
            }
            if let Some(said) = self.next_deferred() {
                self.carry_out(said, out);
                self.idle_frames += u64::from(self.ready.is_empty());
                continue;
            }
            match self.inbox.next() {
                Ok(Some(message)) => {
                    let deferred = self.deferred.bytes();
                    self.message(message.bytes, out);
                    // What is deferred counts later.
                    let is_idle = self.ready.is_empty() && self.deferred.bytes() <= deferred;
                    self.idle_frames += u64::from(is_idle);
                }
                Ok(None) => return None,
                Err(reason) => self.fail(reason),
            }
        }
    }

    fn idle_frames(&mut self) -> u64 {
        std::mem::take(&mut self.idle_frames)
    }

    fn unasked_commands(&mut self) -> u64 {
        std::mem::take(&mut self.unasked.given).into()
    }

    fn deliver(&mut self, now: Instant, event: &Event, out: &mut FrameWriter) {
        self.now = now;
        let before = self.ready.len();
        self.hear(event, out);
        self.note_unasked(before);
    }

    fn takes_events(&self) -> bool {
        self.state == State::Closed || !(self.main.is_held() || self.backlog)
    }

    fn takes_ahead(&self, event: &Event) -> bool {
        match event {
            Event::Data { place: Place::Link(link), part } => self.passes_on(*link, part.kind),
            // It waits at the link, and does not fill the outbox, in which others want room.
            Event::Application(_) => true,
            _ => false,
        }
    }

    fn has_output(&self) -> bool {
        let deferred = self.deferred.has_turn() && self.takes_events();
        !self.ready.is_empty() || self.peers.is_behind() || deferred
    }

    fn write_more(&mut self, out: &mut FrameWriter) {
        self.write_backlog(out);
        if out.is_empty() {
            self.deferred.begin_turn();
        }
        if out.is_empty() && self.takes_events() {
            self.release_some(out);
        }
    }

    fn limit_hit(&mut self) -> Option<Limit> {
        self.hits.pop()
    }

    fn buffered(&self) -> usize {
        let early: usize = self.early.iter().map(|packet| packet.body.len()).sum();
        let sent = |output: &Output| match output {
            Output::Command(Command::Send { part, .. }) => part.data.len(),
            _ => 0,
        };
        let ready: usize = self.ready.iter().map(sent).sum();
        let ready = ready + self.ready.capacity() * size_of::<Output>();
        let peers = self.peers.kept + self.peers.held_bytes + self.peers.unsent();
        self.inbox.bytes()
            + early
            + self.deferred.bytes()
            + self.main.buffered()
            + peers
            + self.rooms.bytes()
            + self.kept.bytes()
            + ready
    }

    fn midway(&self) -> Option<u64> {
        self.inbox.midway()
    }

    fn unheard(&mut self, time: Duration) {
        self.main.unheard(time);
        let ends = self.peers.proxied.values_mut().filter_map(|proxied| proxied.end());
        ends.for_each(|end| end.unheard(time));
    }

    fn deadline(&self, activity: Activity) -> Option<Instant> {
        let heartbeat = self.heartbeat.as_ref().map(|heartbeat| {
            heartbeat.deadline().max(activity.read + self.setup.options.limits.heartbeat)
        });
        [heartbeat, self.due].into_iter().flatten().min()
    }

    fn tick(&mut self, now: Instant, activity: Activity, out: &mut FrameWriter) -> Option<Reason> {
        self.now = now;
        if let Some(heartbeat) = &mut self.heartbeat {
            if activity.read > self.read {
                self.read = activity.read;
                heartbeat.heard(activity.read);
            }
            match heartbeat.tick(now) {
                Beat::Wait => {}
                Beat::Lost => return Some(Reason::HeartbeatLost),
                Beat::Probe => {
                    self.main.probe();
                    self.tell(out, |_| Ok(()));
                }
            }
        }
        if self.due.is_some_and(|due| due <= now) {
            self.due = None;
            // What we wait for may be here already, where nobody listens.
            let has_come = activity.read >= now;
            if has_come {
                self.main.wait_longer(now);
            } else if activity.read + self.setup.config.switch_time_max > now {
                self.main.wait_for_answer(now);
            }
            let held = self.main.is_held();
            if let Err(error) = self.main.tick(now) {
                self.complaint = Some(error.to_string());
                return Some(self.fault(&error));
            }
            self.backlog |= held && !self.main.is_held();
            self.tell(out, |_| Ok(()));
            self.tick_links(has_come, out);
            let deadline = self.main.deadline();
            self.note(deadline);
            self.note(self.peers.next_due());
        }
        None
    }

    fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> bool {
        self.now = now;
        let Some(heartbeat) = self.heartbeat.as_mut().filter(|_| self.state == State::Open) else {
            return false;
        };
        heartbeat.probed(now);
        self.main.probe();
        self.tell(out, |_| Ok(()));
        true
    }

    fn farewell(&mut self, _reason: Reason, _out: &mut FrameWriter) {
        // AnySocket says nothing when it goes.
        self.state = State::Closed;
        self.ready = VecDeque::new();
        self.early = Vec::new();
        self.deferred = Deferred::default();
    }

    fn complaint(&self) -> Option<String> {
        self.complaint.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::anysocket::server::testing::session;
    use crosspoint_hub::command::Peer;
    use crosspoint_hub::wire::Part;
    use crosspoint_hub::{LinkNumber, PeerId};

    fn commands(session: &mut AnySocket, out: &mut FrameWriter) -> u64 {
        let outputs = std::iter::from_fn(|| session.poll(Instant::now(), out));
        outputs.filter(|output| matches!(output, Output::Command(_))).count() as u64
    }

    /// A peer opens a link.
    fn link(session: &mut AnySocket, out: &mut FrameWriter, link: LinkNumber, peer: u8) {
        let peer = Peer { id: PeerId::new([peer; 16]), name: None, protocol: "native" };
        let opened = LinkEvent::Opened { request: None, link, peer, purpose: Bytes::new() };
        session.deliver(Instant::now(), &Event::Link(opened), out);
    }

    fn say(
        session: &mut AnySocket,
        out: &mut FrameWriter,
        link: LinkNumber,
        kind: u8,
        body: Vec<u8>,
    ) {
        let part = Part { kind, ..Part::whole(Bytes::from(body)) };
        session.deliver(Instant::now(), &Event::Data { place: Place::Link(link), part }, out);
    }

    #[test]
    fn what_the_hub_refuses_for_a_client_is_not_counted_as_said_by_it() {
        const OPEN: u8 = 0x18;
        let (mut session, mut out) = session(Instant::now(), false);
        assert!(commands(&mut session, &mut out) > 0);
        assert_eq!(session.unasked_commands(), 0, "it has said who it is");
        link(&mut session, &mut out, LinkNumber(7), 0xb2);
        for stream in 0..20 {
            say(&mut session, &mut out, LinkNumber(7), OPEN, vec![2 * stream, 0x10, 1, b's']);
        }
        let refused = commands(&mut session, &mut out);
        assert!(refused >= 20, "{refused}");
        assert_eq!(session.unasked_commands(), refused);
        assert_eq!(session.unasked_commands(), 0, "they are told once");
    }

    #[test]
    fn however_many_peers_ask_a_client_that_does_not_answer_what_waits_is_bounded() {
        const REQUEST: u8 = 0x11;
        let (mut session, mut out) = session(Instant::now(), false);
        let most = session.setup.options.limits.outbox_bytes_max;
        for peer in 1..90 {
            link(&mut session, &mut out, LinkNumber(peer.into()), peer);
            for id in 0..1000u16 {
                let [high, low] = [id >> 7, id & 0x7f].map(|part| part as u8);
                let body = vec![low | 0x80, high, 0, 1, b'm', 1];
                say(&mut session, &mut out, LinkNumber(peer.into()), REQUEST, body);
            }
            while session.poll(Instant::now(), &mut out).is_some() {}
            drop(out.take());
        }
        let kept = session.kept.bytes();
        assert!((most - 1024..=most).contains(&kept), "{kept} of {most}");
    }
}
