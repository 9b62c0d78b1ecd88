//! What has come from the endpoint: it is parsed and carried out.

use super::timers::Timer;
use super::{Driver, Ending, State};
use crate::outlet::now;
use crate::stream::handover::{Handover, Next};
use crate::turn::{self, Turn};
use crate::ws;
use bytes::BytesMut;
use crosspoint_hub::command::Command;
use crosspoint_hub::endpoint::Outlet as _;
use crosspoint_hub::protocol::{Measurement, Output};
use crosspoint_hub::session::{Notice, Step};
use crosspoint_hub::wire::Framing;
use crosspoint_hub::{Limit, PeerName, Reason};
use std::time::Instant;

impl Driver {
    pub(super) fn received(&mut self, state: &mut State, bytes: BytesMut) -> Result<(), Reason> {
        let is_carried = self.tell_end.is_some();
        let count = if is_carried { 0 } else { bytes.len() as u64 };
        self.session.endpoint().heard(bytes.len());
        match &mut self.websocket {
            Some(websocket) => websocket.receive(bytes),
            None => self.protocol.receive(now(), bytes.freeze()),
        }
        state.throttle(self.session.count(now(), 0, count));
        self.advance(state)
    }

    /// Whether the client has another connection now, behind the end of this one.
    pub(super) fn is_handed_over(&self) -> bool {
        self.outlet.writer().handover().is_some_and(Handover::has_next)
    }

    /// Reads from the client's next connection, if it has one.
    pub(super) fn change_reader(&mut self) -> bool {
        let next = self.outlet.writer().handover().and_then(Handover::next);
        let Some(Next { reader, mut websocket }) = next else { return false };
        if let Some(before) = &self.websocket {
            websocket.set_frame_bytes_max(before.frame_bytes_max());
        }
        (self.reader, self.websocket) = (reader, Some(websocket));
        self.session.endpoint().set_transport(self.outlet.writer().transport(true));
        true
    }

    /// Nothing more comes from the connection. Goes on with the client's next one.
    ///
    /// # Errors
    /// [`Reason::ConnectionLost`] if there is none.
    pub(super) fn go_on(&mut self, state: &mut State) -> Result<(), Reason> {
        if !self.change_reader() {
            return Err(Reason::ConnectionLost);
        }
        state.read_at = now();
        // What its client has said there already may be the answer to a probe.
        if self.websocket.as_ref().is_some_and(|websocket| websocket.buffered() > 0) {
            self.heard(state);
        }
        self.advance(state)
    }

    /// The client has said something: it lives.
    pub(super) fn heard(&mut self, state: &mut State) {
        if state.probe.as_mut().is_some_and(|probe| probe.heard()) {
            self.session.shows_life();
        }
    }

    /// Parses and carries out what has been read, until nothing is left or the session has to wait.
    pub(super) fn advance(&mut self, state: &mut State) -> Result<(), Reason> {
        let now = now();
        self.be_patient(state, now);
        let mut result = Ok(());
        let mut messages: u64 = 0;
        let mut turn = Turn::default();
        state.inflating = false;
        while !state.waiting && state.authenticating.is_none() {
            match self.protocol.poll(now, &mut state.out) {
                // Nobody carries it out.
                Some(Output::Command(_)) if state.left => {
                    messages += 1;
                    continue;
                }
                Some(Output::Command(Command::Hello(hello)))
                    if self.runner.authenticator.is_some() =>
                {
                    // Nobody is asked about a name that nobody may have, and no log shows it.
                    if hello.name.as_ref().is_none_or(|name| name.len() <= PeerName::BYTES_MAX) {
                        state.authenticating = self.authenticating(hello);
                        continue;
                    }
                    result = Err(Reason::TooLarge);
                }
                Some(Output::Command(mut command)) => {
                    messages += 1;
                    self.hold_events();
                    match &mut command {
                        Command::Hello(hello) => self.unwrap_token(hello),
                        // The answer may come at once, and is sent behind what was said before.
                        Command::Application(_) if !state.out.is_empty() => {
                            self.session.endpoint().push_own(&state.out.take());
                        }
                        _ => {}
                    }
                    match self.session.execute(now, command) {
                        Step::Go => continue,
                        Step::Wait => state.waiting = true,
                        Step::Close(reason) => result = Err(reason),
                    }
                }
                // What was said before is sent first.
                Some(Output::Leave(reason)) => match self.flush_session(state, now) {
                    Step::Go => {
                        self.leave(state, reason);
                        continue;
                    }
                    Step::Wait => state.ending = Some(Ending::Leave(reason)),
                    Step::Close(reason) => result = Err(reason),
                },
                Some(Output::Close(reason)) => {
                    // A protocol without borders has no frames of its own to be too large.
                    let framing = self.session.endpoint().profile.framing;
                    if reason == Reason::TooLarge && framing == Framing::Messages {
                        self.session.hub().metrics.hit(Limit::FrameBytes);
                    }
                    result = Err(reason);
                }
                Some(Output::Measurement(measurement)) => {
                    let endpoint = self.session.endpoint();
                    self.session.hub().metrics.measured(endpoint.profile.name, measurement);
                    if let Measurement::RoundTrip(time) = measurement {
                        endpoint.measured(time);
                    }
                    continue;
                }
                None if self.protocol.waits() => {}
                None if turn.is_over(state.is_throttled()) => {
                    let waits = self.websocket.as_ref().is_some_and(|it| it.buffered() > 0);
                    state.inflating = waits;
                }
                None => match self.unwrap(now) {
                    Ok(true) => {
                        self.count_inflated(state, now, &mut turn);
                        continue;
                    }
                    Ok(false) => {}
                    Err(reason) => result = Err(reason),
                },
            }
            break;
        }
        self.count_limits();
        self.log_notice(state);
        messages = messages.saturating_sub(self.protocol.unasked_commands());
        messages += self.protocol.idle_frames();
        let messages = turn::messages(messages, self.websocket.as_deref_mut());
        let throttled = self.session.count(now, messages, 0);
        self.settle();
        state.throttle(throttled);
        self.session.endpoint().push_own(&state.out.take());
        self.pong();
        match self.flush_session(state, now) {
            Step::Go => {}
            Step::Wait => {
                // What came before the end is sent before the end.
                if let Err(reason) = result {
                    state.ending = Some(Ending::End(reason));
                }
                result = Ok(());
            }
            Step::Close(reason) => result = result.and(Err(reason)),
        }
        state.throttle(self.session.ruled());
        if std::mem::replace(&mut state.asking, self.protocol.waits()) && !state.asking {
            // The silence meanwhile was ours.
            state.read_at = now;
        }
        let midway = self.protocol.midway();
        if midway != state.midway.map(|(number, _)| number) {
            state.midway = midway.map(|number| (number, now));
        }
        self.set_timers(state, now);
        if state.inflating && !state.waiting && !state.is_throttled() {
            self.outlet.wake();
        }
        result
    }

    /// Counts what was inflated, against the rate too.
    fn count_inflated(&mut self, state: &mut State, now: Instant, turn: &mut Turn) {
        let Some(websocket) = &mut self.websocket else { return };
        let growth = turn.inflated(websocket, &self.session.hub().metrics);
        if growth > 0 {
            state.throttle(self.session.count(now, 0, growth));
        }
    }

    /// Takes the next piece of a message out of the WebSocket, if there is one. Gives whether there was.
    fn unwrap(&mut self, now: Instant) -> Result<bool, Reason> {
        let Some(websocket) = &mut self.websocket else {
            return Ok(false);
        };
        match websocket.poll() {
            Ok(None) => Ok(false),
            Ok(Some(ws::Event::Data { kind, bytes, message_begins, message_fin })) => {
                if message_begins {
                    self.protocol.message_begins(now, kind == ws::MessageKind::Text);
                }
                if !bytes.is_empty() {
                    self.protocol.receive(now, bytes);
                }
                if message_fin {
                    self.protocol.message_ended(now);
                }
                Ok(true)
            }
            Ok(Some(ws::Event::Closed(_))) => Err(Reason::Bye),
            Err(error) => {
                let reason = error.reason();
                if reason == Reason::TooLarge {
                    self.session.hub().metrics.hit(Limit::FrameBytes);
                }
                Err(reason)
            }
        }
    }

    /// Goes on where the session had to wait for room.
    pub(super) fn proceed(&mut self, state: &mut State) -> Result<(), Reason> {
        if !state.waiting {
            return match state.inflating && !state.is_throttled() {
                true => self.advance(state),
                false => Ok(()),
            };
        }
        match self.flush_session(state, now()) {
            Step::Wait => Ok(()),
            Step::Close(reason) => Err(reason),
            Step::Go => {
                state.waiting = false;
                // The silence meanwhile was ours.
                state.read_at = now();
                self.settle();
                match state.ending.take() {
                    Some(Ending::End(reason)) => return Err(reason),
                    Some(Ending::Leave(reason)) => self.leave(state, reason),
                    None => {}
                }
                self.advance(state)
            }
        }
    }

    /// Has the session leave the hub. Its connection stays.
    fn leave(&mut self, state: &mut State, reason: Reason) {
        self.session.leave(reason);
        if !std::mem::replace(&mut state.left, true) {
            tracing::debug!(session = self.session.endpoint().id, %reason, "session left the hub");
        }
    }

    /// Lets the session send what waits, and sets when it tries again.
    fn flush_session(&mut self, state: &mut State, now: Instant) -> Step {
        let step = self.session.flush(now);
        state.waiting |= step == Step::Wait;
        state.timers.set(Timer::Settling, self.session.settles_at());
        state.timers.set(Timer::Retry, self.session.retry_at());
        step
    }

    /// Has the memory charged that is held for what has come.
    pub(super) fn settle(&mut self) {
        let encoded = self.websocket.as_ref().map_or(0, |websocket| websocket.buffered());
        self.session.holds(encoded + self.protocol.buffered());
    }

    /// Counts the bounds that the protocol alone has seen.
    pub(super) fn count_limits(&mut self) {
        while let Some(limit) = self.protocol.limit_hit() {
            self.session.hub().metrics.hit(limit);
        }
    }

    /// Logs what the session has to say to the operator.
    fn log_notice(&mut self, state: &mut State) {
        let Some(notice) = self.session.notice() else {
            return;
        };
        let (logs, endpoint) = (&self.runner.logs, self.session.endpoint());
        match notice {
            Notice::BannedById(peer) => {
                if let Some(unsaid) = logs.bans.line(now()) {
                    tracing::info!(session = endpoint.id, %peer, unsaid, "a ban by address holds for the peer id alone, as many share the address");
                }
            }
            Notice::NotAllowed { by, what } => {
                if let Some(unsaid) = logs.not_allowed.line(now()) {
                    let peer = endpoint.peer().map(|peer| peer.id).map(tracing::field::display);
                    let name = endpoint.peer().and_then(|peer| peer.name.as_deref());
                    tracing::info!(session = endpoint.id, address = %self.remote, peer, name, by, what, unsaid, "not allowed");
                }
            }
            Notice::WrongToken { given, name } => {
                let cause = match given {
                    true => "its token is not the one of server.access_token",
                    false => {
                        "it has no token that can be read, and server.access_token asks for one"
                    }
                };
                self.log_denied(state, name.as_deref(), cause);
            }
        }
    }
}
