//! The driver of the hub's side: joins a connection to a protocol, and the protocol to the hub.
//!
//! One task for each session. It reads, lets the protocol parse, carries out commands (`receiving`), turns
//! events into bytes (`sending`) and keeps time (`timing`). It owns everything but the outbox, so nothing
//! here is locked.

pub(crate) mod authenticating;
mod ending;
mod probe;
mod receiving;
mod sending;
mod timers;
mod timing;

use crate::deadline::{FAR, reach};
use crate::gateway::FirstMessage;
use crate::outlet::{Outlet, now};
use crate::remote::Remote;
use crate::runner::Runner;
use crate::stream::Reader;
use crate::ws;
use authenticating::{Authenticating, hear, verdict};
use bytes::BytesMut;
use crosspoint_auth::ClientCertificate;
use crosspoint_hub::outbox::Exceeded;
use crosspoint_hub::probe::Probe;
use crosspoint_hub::protocol::Protocol;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Reason, Session};
use std::pin::pin;
use std::sync::Arc;
use std::time::{Duration, Instant};
use timers::{Timer, Timers};
use tokio::sync::oneshot;
use tokio::time::sleep_until;

/// Everything that one session's task owns.
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) remote: Remote,
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) outlet: Outlet,
    pub(crate) reader: Reader,
    /// Unwraps WebSocket frames, if the connection has them.
    pub(crate) websocket: Option<Box<ws::Connection>>,
    /// What it shares with the other sessions of its server.
    pub(crate) runner: Arc<Runner>,
    /// How long the endpoint may take next to nothing of what waits.
    pub(crate) stall_max: Duration,
    /// What the client has shown over TLS.
    pub(crate) certificate: Option<Arc<ClientCertificate>>,
    /// Who wants to hear at once that the session ends, as [`Carrying::tell_end`](crate::driving::Carrying::tell_end).
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
    /// When the endpoint was last heard, or would have been if it had been listened to.
    read_at: Instant,
    timers: Timers,
    /// When time made the protocol say something. That may wait for a while before it is written,
    /// and must not be said over and over meanwhile.
    said: Option<Instant>,
    /// The probe of the endpoint, if another session has come with its name or id. Boxed, as that happens to few.
    probe: Option<Box<Probe>>,
    /// What has come is not all looked at, as it becomes a lot when it is inflated.
    inflating: bool,
    /// What becomes of the session as soon as all before that was sent.
    ending: Option<Ending>,
    /// The session has left the hub.
    left: bool,
    /// The session waits for room at a receiver.
    waiting: bool,
    /// The protocol waits for an answer of the hub.
    asking: bool,
    /// Until the credentials are checked nothing more is read.
    authenticating: Option<Box<Authenticating>>,
    /// Since when nobody listens to the endpoint, where that was not told on yet.
    deaf: Option<Instant>,
    /// The frame of which some bytes are here and some have not come, and since when.
    midway: Option<(u64, Instant)>,
    /// The connection took no more at the last try.
    blocked: bool,
    /// The session was not let in, and the log says why.
    denied: bool,
}

/// What a session does behind all that it has sent.
#[derive(Debug, Clone, Copy)]
enum Ending {
    /// It leaves the hub, and its connection stays.
    Leave(Reason),
    End(Reason),
}

/// How a session ended.
pub(crate) struct Ended {
    pub(crate) reason: Reason,
    /// Which frame has broken which rule, if that was it.
    pub(crate) fault: Option<String>,
    /// Which bound it has exceeded by not reading, if that was it.
    pub(crate) exceeded: Option<Exceeded>,
    /// Whether it was not let in, and the log says why.
    pub(crate) denied: bool,
}

impl Driver {
    /// Takes the first bytes of the protocol, which were read to tell which it is. They may begin a message, and be
    /// its end too.
    pub(crate) fn hear_first(&mut self, first: BytesMut, message: Option<FirstMessage>) {
        self.session.hub().metrics.bytes_in.inc_by(first.len() as u64);
        self.session.endpoint().heard(first.len());
        let now = now();
        if let Some(message) = message {
            self.protocol.message_begins(now, message.kind == ws::MessageKind::Text);
        }
        if !first.is_empty() {
            self.protocol.receive(now, first.freeze());
        }
        if message.is_some_and(|message| message.ended) {
            self.protocol.message_ended(now);
        }
    }

    /// Runs the session to its end.
    pub(crate) async fn run(&mut self) -> Ended {
        let limits = &self.session.hub().limits;
        let begun = now();
        let mut state = State {
            out: self.session.endpoint().frame_writer(),
            read_at: begun,
            timers: Timers::new(begun),
            said: None,
            probe: None,
            inflating: false,
            ending: None,
            left: false,
            waiting: false,
            asking: false,
            authenticating: None,
            deaf: None,
            midway: None,
            blocked: false,
            denied: false,
        };
        state.timers.set(Timer::Handshake, begun.checked_add(limits.handshake_max));
        let reason = match self.advance(&mut state) {
            Ok(()) => self.serve(&mut state).await,
            Err(reason) => reason,
        };
        let reason = self.true_reason(reason);
        let (fault, exceeded) = (self.fault(), self.session.endpoint().exceeded());
        self.end(&mut state, reason).await;
        Ended { reason, fault, exceeded, denied: state.denied }
    }

    async fn serve(&mut self, state: &mut State) -> Reason {
        let mut timer = pin!(sleep_until((now() + FAR).into()));
        loop {
            tokio::task::consume_budget().await;
            // The stop wakes all sessions: to wait for it would take a place in each.
            if self.runner.parting.stop.is_cancelled() {
                return Reason::HubStopping;
            }
            self.session.heed_absence();
            match self.drain(state).and_then(|()| self.say_more(state)) {
                Ok(()) => {}
                Err(Reason::ConnectionLost) => {
                    self.last_words(state).await;
                    return Reason::ConnectionLost;
                }
                Err(reason) => return reason,
            }
            self.follow_others(state);
            reach(timer.as_mut(), state.timers.next().unwrap_or_else(|| now() + FAR));
            // The session is let in later, if at all. Nothing but its end is noticed until then.
            let authenticating = state.authenticating.is_some() || self.session.is_greeting();
            // What the way to its client still holds is read before the next connection is, and that is later.
            let hears = match authenticating {
                true => !self.is_handed_over(),
                false => state.may_read(),
            };
            // An endpoint that sends without end is always ready to be read, so the timer comes first; and
            // one that is told without end is always notified, so that comes last.
            let result = tokio::select! {
                biased;
                () = &mut timer => self.tick(state),
                // What is wrong with the connection is seen by the write that follows.
                _ = self.outlet.writer().writable(), if state.blocked => {
                    state.blocked = false;
                    if let Some(probe) = &mut state.probe {
                        probe.took(now());
                    }
                    state.set_probe();
                    Ok(())
                }
                verdict = verdict(&mut state.authenticating), if authenticating => {
                    self.authenticated(state, verdict)
                }
                bytes = hear(&mut self.reader, authenticating), if hears => match bytes {
                    Ok(bytes) if !bytes.is_empty() => {
                        state.read_at = now();
                        self.heard(state);
                        self.received(state, bytes)
                    }
                    _ if authenticating && self.is_handed_over() => Ok(()),
                    _ => self.go_on(state),
                },
                () = self.outlet.notified() => {
                    self.send_probe(state);
                    self.proceed(state)
                }
            };
            if let Err(reason) = result {
                return reason;
            }
        }
    }
}
