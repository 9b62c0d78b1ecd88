//! A session that has to show that it lives, because another one has come with its name or id.

use super::{Driver, State};
use crate::outlet::now;
use crosspoint_hub::{Limit, Reason};
use std::time::Instant;

impl Driver {
    /// Sends the endpoint a probe, if somebody doubts that it lives.
    pub(super) fn heed_doubt(&mut self, state: &mut State) {
        let now = now();
        if self.session.endpoint().take_doubt()
            && state.doubt.may_ask(now)
            && self.protocol.ask_now(now, &mut state.out)
        {
            state.doubt.asked(now);
            state.set_probe();
            self.session.endpoint().push_own(&state.out.take());
        }
    }

    /// # Errors
    /// [`Reason::HeartbeatLost`] if the probe was not answered in time.
    pub(super) fn check_probe(&self, state: &mut State, now: Instant) -> Result<(), Reason> {
        if !state.doubt.is_overdue(now, state.read_at) {
            return Ok(());
        }
        self.session.hub().metrics.hit(Limit::Probe);
        Err(Reason::HeartbeatLost)
    }
}
