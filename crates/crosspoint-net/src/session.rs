//! The driver of the hub's side: joins a connection to a protocol, and the protocol to the hub.
//!
//! One task for each session. It reads, lets the protocol parse, carries out commands, turns
//! events into bytes and keeps time. It owns everything but the outbox, so nothing here is locked.

mod doubt;
mod entrance;

use crate::deadline::{FAR, reach};
use crate::log_limit::Logs;
use crate::outlet::{Outlet, Wrote, now};
use crate::parting::{LINGER, Parting};
use crate::reading::{discard_until_closed, read};
use crate::remote::Remote;
use crate::stream::Reader;
use crate::ws;
use bytes::{Bytes, BytesMut};
use crosspoint_auth::Authenticator;
use crosspoint_hub::command::{Command, Event};
use crosspoint_hub::doubt::Doubt;
use crosspoint_hub::endpoint::Outlet as _;
use crosspoint_hub::outbox::{Exceeded, Tag, Turn};
use crosspoint_hub::protocol::{Activity, Output, Protocol};
use crosspoint_hub::session::Step;
use crosspoint_hub::wire::{Encoded, FrameWriter, Framing};
use crosspoint_hub::{Limit, PeerName, Reason, Session};
use entrance::{Entrance, hear, verdict};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;
use tokio::time::{sleep_until, timeout};

/// How often a session's task writes before it does something else as well.
const ROUNDS_MAX: usize = 64;

/// Events that are written together.
const EVENTS_MAX: usize = 64;

/// The most that is said about what an endpoint has done wrong.
const FAULT_BYTES_MAX: usize = 256;

/// Bytes of events after which others are not written together with them.
const EVENT_BYTES_MAX: usize = 64 * 1024;

/// How often a session that ends looks whether the system has delivered what was written.
const UNDELIVERED_PAUSE: Duration = Duration::from_millis(50);

/// Everything that one session's task owns.
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) remote: Remote,
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) outlet: Outlet,
    pub(crate) reader: Reader,
    /// Unwraps WebSocket frames, if the connection has them.
    pub(crate) websocket: Option<Box<ws::Connection>>,
    /// The stop of the server, and how long all that comes behind the session's end may take.
    pub(crate) parting: Parting,
    /// How long the endpoint may take next to nothing of what waits.
    pub(crate) stall_max: Duration,
    /// Checks credentials, if that is not the hub's own doing.
    pub(crate) authenticator: Option<Arc<dyn Authenticator>>,
    /// For what any stranger can cause.
    pub(crate) logs: Arc<Logs>,
    /// Who wants to hear at once that the session ends.
    pub(crate) tell_end: Option<oneshot::Sender<SessionEnds>>,
}

/// A session ends. What it still has to say follows.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SessionEnds {
    pub(crate) reason: Reason,
    /// Whether it was let in.
    pub(crate) let_in: bool,
}

/// What a session's task does between two waits.
struct State {
    out: FrameWriter,
    since: Instant,
    read_at: Instant,
    /// When time made the protocol say something. That may wait for a while before it is written,
    /// and must not be said over and over meanwhile.
    said: Option<Instant>,
    /// Whether the endpoint still lives.
    doubt: Doubt,
    /// Why the session ends as soon as all before that was sent.
    ending: Option<Reason>,
    /// The session waits for room at a receiver.
    waiting: bool,
    /// Until the credentials are checked nothing more is read.
    entrance: Option<Entrance>,
    /// When the credentials expire, if they do.
    expires: Option<Instant>,
    /// The session sent too much, and is not read before this.
    throttled: Option<Instant>,
    /// Since when nobody listens to the endpoint, where that was not told on yet.
    deaf: Option<Instant>,
    /// The frame of which some bytes are here and some have not come, and since when.
    midway: Option<(u64, Instant)>,
    /// The connection took no more at the last try.
    blocked: bool,
}

/// How a session ended.
pub(crate) struct Ended {
    pub(crate) reason: Reason,
    /// Which frame has broken which rule, if that was it.
    pub(crate) fault: Option<String>,
    /// Which bound it has exceeded by not reading, if that was it.
    pub(crate) exceeded: Option<Exceeded>,
}

impl Driver {
    /// Runs the session to its end. The first bytes of the protocol were read to tell which it is.
    pub(crate) async fn run(mut self: Box<Self>, first: BytesMut, message_ended: bool) -> Ended {
        let prefix = self.session.endpoint().profile.prefix;
        let mut state = State {
            out: FrameWriter::new(prefix),
            since: now(),
            read_at: now(),
            said: None,
            doubt: Doubt::new(self.session.hub().limits.probe_max),
            ending: None,
            waiting: false,
            entrance: None,
            expires: None,
            throttled: None,
            deaf: None,
            midway: None,
            blocked: false,
        };
        self.session.hub().metrics.bytes_in.inc_by(first.len() as u64);
        self.protocol.receive(now(), first.freeze());
        if message_ended {
            self.protocol.message_ended(now());
        }
        let reason = match self.advance(&mut state) {
            Ok(()) => self.serve(&mut state).await,
            Err(reason) => reason,
        };
        let (fault, exceeded) = (self.fault(), self.session.endpoint().exceeded());
        self.end(&mut state, reason).await;
        Ended { reason, fault, exceeded }
    }

    /// What the endpoint has done wrong, if it has.
    fn fault(&self) -> Option<String> {
        let broken = self.websocket.as_ref().and_then(|websocket| websocket.broken());
        let mut fault = match broken {
            Some(error) => error.to_string(),
            None => match self.session.complaint() {
                Some(complaint) => complaint.to_owned(),
                None => self.protocol.complaint()?,
            },
        };
        fault.truncate(fault.floor_char_boundary(FAULT_BYTES_MAX));
        Some(fault)
    }

    async fn serve(&mut self, state: &mut State) -> Reason {
        let stop = self.parting.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(sleep_until((now() + FAR).into()));
        loop {
            tokio::task::consume_budget().await;
            self.session.heed_absence();
            match self.drain(state).and_then(|()| self.say_more(state)) {
                Ok(()) => {}
                Err(Reason::ConnectionLost) => {
                    self.last_words(state).await;
                    return Reason::ConnectionLost;
                }
                Err(reason) => return reason,
            }
            let deadline = self.deadline(state);
            reach(timer.as_mut(), deadline);
            let at_door = state.entrance.is_some();
            let hears = at_door || state.may_read();
            // An endpoint that sends without end is always ready to be read, so the timer comes first; and
            // one that is told without end is always notified, so that comes last.
            let result = tokio::select! {
                biased;
                () = &mut stopped => Err(Reason::HubStopping),
                () = &mut timer => self.tick(state),
                // What is wrong with the connection is seen by the write that follows.
                _ = self.outlet.writer().writable(), if state.blocked => {
                    state.blocked = false;
                    state.doubt.took(now());
                    Ok(())
                }
                verdict = verdict(&mut state.entrance), if at_door => self.admitted(state, verdict),
                bytes = hear(&mut self.reader, at_door), if hears => match bytes {
                    Ok(bytes) if !bytes.is_empty() => {
                        state.read_at = now();
                        state.doubt.heard();
                        self.received(state, bytes)
                    }
                    _ => Err(Reason::ConnectionLost),
                },
                () = self.outlet.notified() => {
                    self.heed_doubt(state);
                    self.proceed(state)
                }
            };
            if let Err(reason) = result {
                return reason;
            }
        }
    }

    fn received(&mut self, state: &mut State, bytes: BytesMut) -> Result<(), Reason> {
        let count = bytes.len() as u64;
        match &mut self.websocket {
            Some(websocket) => websocket.receive(bytes),
            None => self.protocol.receive(now(), bytes.freeze()),
        }
        state.throttled = self.session.count(now(), 0, count);
        self.advance(state)
    }

    /// Goes on where the session had to wait for room.
    fn proceed(&mut self, state: &mut State) -> Result<(), Reason> {
        if !state.waiting {
            return Ok(());
        }
        match self.session.flush(now()) {
            Step::Wait => Ok(()),
            Step::Close(reason) => Err(reason),
            Step::Go => {
                state.waiting = false;
                // The silence meanwhile was ours.
                state.read_at = now();
                self.settle();
                match state.ending {
                    Some(reason) => Err(reason),
                    None => self.advance(state),
                }
            }
        }
    }

    /// Nothing can be written any more. What the endpoint said before it went still holds: it may
    /// be that it left on purpose (docs/peote.md, section 3.4).
    async fn last_words(&mut self, state: &mut State) {
        let parting = self.parting.clone();
        let words = async {
            while state.may_read()
                && let Ok(bytes) = read(&mut self.reader).await
                && !bytes.is_empty()
                && self.received(state, bytes).is_ok()
            {}
        };
        // An endpoint that goes on for longer has not gone at all.
        parting.wait(LINGER, words).await;
    }

    /// Parses and carries out what has been read, until nothing is left or the session has to wait.
    fn advance(&mut self, state: &mut State) -> Result<(), Reason> {
        let now = now();
        self.be_patient(state, now);
        let mut result = Ok(());
        let mut messages = 0;
        while !state.waiting && state.entrance.is_none() {
            match self.protocol.poll(now, &mut state.out) {
                Some(Output::Command(Command::Hello(hello))) if self.authenticator.is_some() => {
                    // Nobody is asked about a name that nobody may have, and no log shows it.
                    if hello.name.as_ref().is_none_or(|name| name.len() <= PeerName::BYTES_MAX) {
                        state.entrance = self.entrance(hello);
                        continue;
                    }
                    result = Err(Reason::TooLarge);
                }
                Some(Output::Command(mut command)) => {
                    messages += 1;
                    if let Command::Hello(hello) = &mut command {
                        self.unwrap_token(hello);
                    }
                    match self.session.execute(now, command) {
                        Step::Go => continue,
                        Step::Wait => state.waiting = true,
                        Step::Close(reason) => result = Err(reason),
                    }
                }
                Some(Output::Close(reason)) => {
                    // A protocol without borders has no frames of its own to be too large.
                    let framing = self.session.endpoint().profile.framing;
                    if reason == Reason::TooLarge && framing == Framing::Messages {
                        self.session.hub().metrics.hit(Limit::FrameBytes);
                    }
                    result = Err(reason);
                }
                Some(Output::Note(note)) => {
                    self.session.hub().metrics.note(self.session.endpoint().profile.name, note);
                    continue;
                }
                None => match self.unwrap(now) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(reason) => result = Err(reason),
                },
            }
            break;
        }
        self.count_limits();
        self.tell_of_ban();
        messages += self.protocol.idle_frames();
        // A frame of the WebSocket is work too, whether or not it carries anything.
        let frames = self.websocket.as_mut().map_or(0, |websocket| websocket.take_frames());
        let throttled = self.session.count(now, messages.max(frames), 0);
        self.settle();
        state.throttled = state.throttled.max(throttled);
        self.session.endpoint().push_own(&state.out.take());
        self.pong();
        match self.session.flush(now) {
            Step::Go => {}
            Step::Wait => {
                state.waiting = true;
                // What came before the end is sent before the end.
                state.ending = result.err();
                result = Ok(());
            }
            Step::Close(reason) => result = result.and(Err(reason)),
        }
        state.throttled = state.throttled.max(self.session.ruled());
        self.be_patient(state, now);
        let midway = self.protocol.midway();
        if midway != state.midway.map(|(number, _)| number) {
            state.midway = midway.map(|number| (number, now));
        }
        result
    }

    /// What the endpoint has not said while nobody listened to it is not late.
    fn be_patient(&mut self, state: &mut State, now: Instant) {
        if let Some(since) = state.deaf {
            let time = now.saturating_duration_since(since);
            self.session.unheard(time);
            self.protocol.unheard(time);
            if let Some((_, since)) = &mut state.midway {
                *since += time;
            }
        }
        state.deaf = (!state.may_read()).then_some(now);
    }

    /// Looks whether something is not whole that has begun too long ago.
    fn check_unfinished(&mut self, state: &mut State, now: Instant) -> Result<(), Reason> {
        let most = self.session.hub().limits.message_time_max;
        if state.midway.is_some_and(|(_, since)| now >= since + most) {
            self.session.hub().metrics.hit(Limit::MessageTime);
            self.protocol.complain(&format!("a frame was not whole after {} s", most.as_secs()));
            return Err(Reason::IdleTimeout);
        }
        if self.session.overdue_at().is_none_or(|at| now < at) {
            return Ok(());
        }
        match self.session.overdue(now) {
            Step::Close(reason) => Err(reason),
            Step::Go | Step::Wait => Ok(()),
        }
    }

    /// Has the memory charged that is held for what has come.
    fn settle(&mut self) {
        let encoded = self.websocket.as_ref().map_or(0, |websocket| websocket.buffered());
        self.session.holds(encoded + self.protocol.buffered());
    }

    /// Counts the bounds that the protocol alone has seen.
    fn count_limits(&mut self) {
        while let Some(limit) = self.protocol.limit_hit() {
            self.session.hub().metrics.hit(limit);
        }
    }

    /// Logs that a ban by address is less than its owner may think.
    fn tell_of_ban(&mut self) {
        if let Some(peer) = self.session.banned_by_id()
            && let Some(unsaid) = self.logs.bans.line(now())
        {
            let session = self.session.endpoint().id;
            tracing::info!(session, %peer, unsaid, "a ban by address holds for the peer id alone, as many share the address");
        }
    }

    /// Takes the next piece of a message out of the WebSocket, if there is one. Gives whether there was.
    fn unwrap(&mut self, now: Instant) -> Result<bool, Reason> {
        let Some(websocket) = &mut self.websocket else {
            return Ok(false);
        };
        match websocket.poll() {
            Ok(None) => Ok(false),
            Ok(Some(ws::Event::Data { bytes, message_fin, .. })) => {
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

    /// Answers the last ping of the WebSocket, behind what the protocol has written.
    fn pong(&mut self) {
        // Servers need no randomness for it.
        if let Some(websocket) = &mut self.websocket
            && let Ok(Some(pong)) = websocket.pong()
        {
            self.push_raw(pong);
        }
    }

    /// Adds bytes that are no frame of the protocol.
    fn push_raw(&self, bytes: Bytes) {
        self.session.endpoint().push_own(&Encoded { first: bytes, rest: Vec::new() });
    }

    /// Turns events into bytes and writes, until nothing is left or the connection takes no more.
    /// If others go on and on adding, the rest is left for the next time, which comes at once.
    fn drain(&mut self, state: &mut State) -> Result<(), Reason> {
        for _ in 0..ROUNDS_MAX {
            match self.outlet.turn(self.session.endpoint(), true) {
                Ok(Wrote::All) => {}
                Ok(Wrote::Blocked) => {
                    state.blocked = true;
                    return Ok(());
                }
                Ok(Wrote::Lost) => return Err(Reason::ConnectionLost),
                Err(Turn::Event(tag, event)) => self.convert(state, tag, *event)?,
                Err(Turn::Dead(reason)) => return Err(reason),
                Err(_) => {
                    self.protocol.write_more(&mut state.out);
                    if state.out.is_empty() {
                        return Ok(());
                    }
                    self.session.endpoint().push_held(&state.out.take());
                }
            }
        }
        self.outlet.wake();
        Ok(())
    }

    /// Turns an event into bytes, and those that follow it.
    fn convert(&mut self, state: &mut State, tag: Tag, event: Event) -> Result<(), Reason> {
        let mut result = Ok(());
        let mut next = Some((tag, event));
        let mut count = 0;
        while let Some((tag, event)) = next {
            if let Event::Closed { reason } = event {
                result = Err(reason);
                break;
            }
            if self.session.observe(tag, &event) {
                self.protocol.deliver(now(), &event, &mut state.out);
            }
            count += 1;
            // The rest flows by the room that there is.
            next = match count < EVENTS_MAX && state.out.len() < EVENT_BYTES_MAX {
                true => self.session.endpoint().next_event(),
                false => None,
            };
        }
        self.session.endpoint().converted(&state.out.take());
        // The protocol may have held some of it back.
        self.settle();
        result
    }

    /// Carries out what the protocol wants because of what it was told. What that leads to comes when
    /// everything else had its turn.
    fn say_more(&mut self, state: &mut State) -> Result<(), Reason> {
        if !self.protocol.has_output() || state.waiting || state.entrance.is_some() {
            return Ok(());
        }
        self.advance(state)?;
        self.outlet.wake();
        Ok(())
    }

    fn activity(&self, state: &State) -> Activity {
        Activity {
            read: state.heard_at(),
            written: self.session.endpoint().written().max(state.said),
        }
    }

    /// Until when the endpoint has to say who it is.
    fn handshake_until(&self, state: &State) -> Option<Instant> {
        let unknown = self.session.endpoint().peer().is_none();
        unknown.then(|| state.since + self.session.hub().limits.handshake_max)
    }

    fn deadline(&self, state: &State) -> Instant {
        let limits = &self.session.hub().limits;
        let protocol = self.protocol.deadline(self.activity(state));
        let idle = limits.idle_max.map(|idle| state.heard_at() + idle);
        let handshake = self.handshake_until(state);
        let stall = self.session.endpoint().stalled().map(|since| since + self.stall_max);
        let doubt = state.doubt.deadline(state.heard_at());
        let settles = self.session.settles_at();
        let hears = state.deaf.is_none();
        let midway = state.midway.filter(|_| hears);
        let whole = midway.map(|(_, since)| since + limits.message_time_max);
        let overdue = self.session.overdue_at().filter(|_| hears);
        let retry = self.session.retry_at().filter(|_| state.waiting);
        let own = [protocol, idle, stall, handshake, doubt];
        own.into_iter()
            .chain([settles, retry, state.throttled, state.expires, whole, overdue])
            .flatten()
            .min()
            .unwrap_or_else(|| now() + FAR)
    }

    fn tick(&mut self, state: &mut State) -> Result<(), Reason> {
        let now = now();
        if self.session.settles_at().is_some_and(|at| at <= now) {
            self.proceed(state)?;
        }
        if state.throttled.is_some_and(|until| until <= now) {
            state.throttled = None;
            state.read_at = now;
        }
        if state.waiting && self.session.retry_at().is_some_and(|at| at <= now) {
            self.proceed(state)?;
        }
        let limits = &self.session.hub().limits;
        if self.handshake_until(state).is_some_and(|until| now >= until) {
            self.session.hub().metrics.hit(Limit::Handshake);
            return Err(Reason::HandshakeTimeout);
        }
        if state.expires.is_some_and(|until| now >= until) {
            return Err(Reason::Expired);
        }
        if limits.idle_max.is_some_and(|idle| now >= state.heard_at() + idle) {
            self.session.hub().metrics.hit(Limit::Idle);
            return Err(Reason::IdleTimeout);
        }
        let stalled = self.session.endpoint().stalled();
        if stalled.is_some_and(|since| now >= since + self.stall_max) {
            self.session.endpoint().exceed(Limit::OutboxStall);
            return Err(Reason::SlowReceiver);
        }
        self.be_patient(state, now);
        self.check_unfinished(state, now)?;
        self.check_doubt(state)?;
        let activity = self.activity(state);
        let result = self.protocol.tick(now, activity, &mut state.out);
        self.count_limits();
        if !state.out.is_empty() {
            state.said = Some(now);
            self.session.endpoint().push_own(&state.out.take());
        }
        match result {
            Some(reason) => {
                if reason == Reason::HeartbeatLost {
                    self.session.hub().metrics.hit(Limit::HeartbeatMissed);
                }
                Err(reason)
            }
            None => Ok(()),
        }
    }

    /// Tells everybody, the endpoint too if it can still hear, and lets go.
    async fn end(mut self: Box<Self>, state: &mut State, reason: Reason) {
        if let Some(tell) = self.tell_end.take() {
            let let_in = self.session.endpoint().peer().is_some();
            // Nobody wants to hear it if the connection has ended before.
            let _ = tell.send(SessionEnds { reason, let_in });
        }
        // The end of a WebSocket says nothing of the protocol's own goodbye.
        let hung_up = self.websocket.as_ref().is_some_and(|it| it.is_closed_by_remote());
        self.session.close(if hung_up { Reason::ConnectionLost } else { reason });
        if matches!(reason, Reason::ConnectionLost | Reason::SlowReceiver) {
            return;
        }
        let parting = self.parting.clone();
        let farewell = async {
            self.part(state, reason).await;
            let writer = self.outlet.writer();
            writer.shutdown();
            // Closing with bytes unread would take the farewell away from the other side again.
            let websocket = self.websocket.as_deref_mut();
            let mut closed = pin!(discard_until_closed(&mut self.reader, websocket));
            let mut open = timeout(LINGER, &mut closed).await.is_err();
            // A machine that goes down behind a stop takes with it what the system has not delivered.
            while open && parting.stop.is_cancelled() && writer.has_undelivered() {
                open = timeout(UNDELIVERED_PAUSE, &mut closed).await.is_err();
            }
        };
        // An endpoint that does not take its farewell in time is cut off.
        parting.wait(parting.longest(), farewell).await;
    }

    /// Writes what is left, then the farewell. What is left may hold events that the protocol has
    /// to know of before.
    async fn part(&mut self, state: &mut State, reason: Reason) {
        self.flush(state).await;
        if let Some(complaint) = self.session.complaint() {
            self.protocol.complain(complaint);
        }
        self.protocol.farewell(reason, &mut state.out);
        self.session.endpoint().push_own(&state.out.take());
        let fault = self.fault();
        if let Some(websocket) = &mut self.websocket {
            let code = match reason {
                Reason::Bye => ws::CloseCode::NORMAL,
                Reason::HubStopping => ws::CloseCode::GOING_AWAY,
                Reason::Malformed => ws::CloseCode::PROTOCOL_ERROR,
                Reason::TooLarge => ws::CloseCode::TOO_BIG,
                _ => ws::CloseCode::POLICY,
            };
            let close = ws::CloseFrame::because(code, reason, fault.as_deref());
            // It is written once, and on this side without randomness.
            if let Ok(Some(close)) = websocket.close(Some(&close)) {
                self.push_raw(close);
            }
        }
        self.flush(state).await;
    }

    async fn flush(&mut self, state: &mut State) {
        while self.drain(state).is_ok() {
            if self.session.endpoint().is_empty() {
                return;
            }
            tokio::select! {
                _ = self.outlet.writer().writable(), if state.blocked => state.blocked = false,
                () = self.outlet.notified() => {}
            }
        }
    }
}

impl State {
    fn may_read(&self) -> bool {
        !self.waiting && self.throttled.is_none() && self.entrance.is_none()
    }

    /// When the endpoint last said something. As long as it is not listened to, it is not silent.
    fn heard_at(&self) -> Instant {
        if self.may_read() { self.read_at } else { now() }
    }
}
