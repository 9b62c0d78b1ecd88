//! What goes to the endpoint: events become bytes, and bytes are written.

use super::{Driver, State};
use crate::outlet::{Wrote, now};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::command::Event;
use crosspoint_hub::endpoint::Outlet as _;
use crosspoint_hub::outbox::{Tag, WriteStep};
use crosspoint_hub::wire::Encoded;

/// How often a session's task writes before it does something else as well.
const ROUNDS_MAX: usize = 64;

/// Events that are written together.
const EVENTS_MAX: usize = 64;

/// Bytes of events after which others are not written together with them.
const EVENT_BYTES_MAX: usize = 64 * 1024;

impl Driver {
    /// Turns events into bytes and writes, until nothing is left or the connection takes no more.
    /// If others go on and on adding, the rest is left for the next time, which comes at once.
    pub(super) fn drain(&mut self, state: &mut State) -> Result<(), Reason> {
        for _ in 0..ROUNDS_MAX {
            let takes_events = self.hold_events();
            let endpoint = self.session.endpoint();
            let step = match takes_events {
                true => self.outlet.step(endpoint, true),
                false => {
                    self.outlet.step_ahead(endpoint, &|event| self.protocol.takes_ahead(event))
                }
            };
            match step {
                Ok(Wrote::All) => {}
                Ok(Wrote::Blocked) => {
                    state.blocked = true;
                    return Ok(());
                }
                Ok(Wrote::Lost) => return Err(Reason::ConnectionLost),
                Err(WriteStep::Event(tag, event)) => self.convert(state, tag, *event)?,
                Err(WriteStep::Dead(reason)) => return Err(reason),
                Err(_) => {
                    self.protocol.write_more(&mut state.out);
                    if !state.out.is_empty() {
                        self.session.endpoint().push_held(&state.out.take());
                    } else if takes_events || !self.protocol.takes_events() {
                        return Ok(());
                    }
                }
            }
        }
        self.outlet.wake();
        Ok(())
    }

    /// Has events wait until the protocol takes them. Gives whether it does.
    #[inline]
    pub(super) fn hold_events(&self) -> bool {
        let takes_events = self.protocol.takes_events();
        self.session.endpoint().hold_events(!takes_events);
        takes_events
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
            let more = count < EVENTS_MAX && state.out.len() < EVENT_BYTES_MAX;
            next = match more && self.protocol.takes_events() {
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
    pub(super) fn say_more(&mut self, state: &mut State) -> Result<(), Reason> {
        if !self.protocol.has_output() || state.waiting || state.authenticating.is_some() {
            return Ok(());
        }
        self.advance(state)?;
        self.outlet.wake();
        Ok(())
    }

    /// Answers the last ping of the WebSocket, behind what the protocol has written.
    pub(super) fn pong(&mut self) {
        // Servers need no randomness for it.
        if let Some(websocket) = &mut self.websocket
            && let Ok(Some(pong)) = websocket.pong()
        {
            self.push_raw(pong);
        }
    }

    /// Adds bytes that are no frame of the protocol.
    pub(super) fn push_raw(&self, bytes: Bytes) {
        self.session.endpoint().push_own(&Encoded { first: bytes, rest: Vec::new() });
    }

    pub(super) async fn flush(&mut self, state: &mut State) {
        while self.drain(state).is_ok() {
            // What the protocol does not take is not waited for.
            let waits = state.blocked || self.protocol.takes_events();
            if self.session.endpoint().is_empty() || !waits {
                return;
            }
            tokio::select! {
                _ = self.outlet.writer().writable(), if state.blocked => state.blocked = false,
                () = self.outlet.notified() => {}
            }
        }
    }
}
