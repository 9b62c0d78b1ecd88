//! A session that has to show that it lives, because another one has come with its name or id.

use super::{Driver, State};
use crate::outlet::now;
use crosspoint_hub::{Limit, Reason};

impl Driver {
    /// Asks the endpoint for a sign of life, if there is doubt.
    pub(super) fn heed_doubt(&mut self, state: &mut State) {
        let now = now();
        if self.session.endpoint().take_doubt()
            && state.doubt.may_ask(now)
            && self.protocol.ask_now(now, &mut state.out)
        {
            state.doubt.asked(now);
            self.session.endpoint().push_own(&state.out.take());
        }
    }

    /// # Errors
    /// [`Reason::HeartbeatLost`] if the sign of life did not come in time.
    pub(super) fn check_doubt(&self, state: &mut State) -> Result<(), Reason> {
        let listening = state.heard_at();
        if !state.doubt.is_overdue(now(), listening) {
            return Ok(());
        }
        self.session.hub().metrics.hit(Limit::Probe);
        Err(Reason::HeartbeatLost)
    }
}
