//! A session that has to show that it lives, because another one has come with its name or id.

use super::{Driver, State};
use crate::outlet::now;
use crate::ws;
use crosspoint_hub::probe::Probe;
use crosspoint_hub::{Limit, Reason};
use std::time::Instant;

impl Driver {
    /// Sends the endpoint a probe, if one is requested. Those who wait for it are told if it makes no difference.
    pub(super) fn send_probe(&mut self, state: &mut State) {
        let now = now();
        if !self.session.endpoint().take_probe_request() {
            return;
        }
        let most = self.session.hub().limits.probe_max;
        let probe = state.probe.get_or_insert_with(|| Box::new(Probe::new(most)));
        let asks = probe.may_send(now) && (self.protocol.probe(now, &mut state.out) || self.ping());
        if asks {
            probe.sent(now);
            state.set_probe();
            self.session.endpoint().push_own(&state.out.take());
        } else if !probe.is_unanswered() {
            // It has just answered, or cannot be asked.
            self.session.shows_life();
        }
    }

    /// Sends a ping of the WebSocket, for protocols that have no probe. Gives whether there is one.
    fn ping(&self) -> bool {
        let is_open = self.websocket.as_ref().is_some_and(|it| !it.is_closed_by_remote());
        if is_open {
            self.push_raw(ws::frame::ping_frame(&[], None));
        }
        is_open
    }

    /// # Errors
    /// [`Reason::HeartbeatLost`] if the probe was not answered in time.
    pub(super) fn check_probe(&self, state: &mut State, now: Instant) -> Result<(), Reason> {
        let read_at = state.read_at;
        if !state.probe.as_mut().is_some_and(|probe| probe.is_overdue(now, read_at)) {
            return Ok(());
        }
        self.session.hub().metrics.hit(Limit::Probe);
        Err(Reason::HeartbeatLost)
    }
}
