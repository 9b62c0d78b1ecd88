//! What time does to a session: its timers are set where their causes change, and carried out when they expire.

use super::timers::Timer;
use super::{Driver, State};
use crate::outlet::now;
use crosspoint_hub::protocol::Activity;
use crosspoint_hub::session::Step;
use crosspoint_hub::{Limit, Reason};
use std::time::Instant;

impl Driver {
    fn activity(&self, state: &State) -> Activity {
        // As long as the endpoint is not listened to, it is not silent.
        let read = if state.may_read() { state.read_at } else { now() };
        Activity { read, written: self.session.endpoint().written().max(state.said) }
    }

    /// Tells those who wait for the endpoint how long it was not listened to, which is not its fault.
    pub(super) fn be_patient(&mut self, state: &mut State, now: Instant) {
        if let Some(since) = state.deaf {
            let time = now.saturating_duration_since(since);
            self.session.unheard(time);
            self.protocol.unheard(time);
            if let Some((_, since)) = &mut state.midway {
                *since += time;
            }
            if let Some(websocket) = &mut self.websocket {
                websocket.unheard(time);
            }
        }
        state.deaf = (!state.may_read()).then_some(now);
    }

    /// Sets the timers that what has come, or the silence since then, is the cause of.
    pub(super) fn set_timers(&mut self, state: &mut State, now: Instant) {
        self.be_patient(state, now);
        let compressed = self.websocket.as_mut().and_then(|it| it.unfinished_since(now));
        let limits = &self.session.hub().limits;
        if state.timers.is_set(Timer::Handshake) && self.session.endpoint().peer().is_some() {
            state.timers.stop(Timer::Handshake);
        }
        let listened = state.deaf.is_none();
        let idle = limits.idle_max.map(|most| state.read_at + most);
        let midway = state.midway.map(|(_, since)| since);
        let begun = midway.into_iter().chain(compressed).min();
        let frame = begun.map(|since| since + limits.message_time_max);
        state.timers.set(Timer::Idle, idle.filter(|_| listened));
        state.timers.set(Timer::UnfinishedFrame, frame.filter(|_| listened));
        let message = self.session.overdue_at();
        state.timers.set(Timer::UnfinishedMessage, message.filter(|_| listened));
        state.timers.set(Timer::Claim, self.session.claims_until());
        state.set_probe();
    }

    /// Sets the timers whose causes lie outside of the driver: every thread writes to the outbox, and what a protocol
    /// waits for changes with all that it is told.
    pub(super) fn follow_others(&self, state: &mut State) {
        state.timers.set(Timer::Protocol, self.protocol.deadline(self.activity(state)));
        state.timers.set(Timer::Stall, self.stalls_at());
    }

    /// When the endpoint has taken next to nothing for too long.
    fn stalls_at(&self) -> Option<Instant> {
        self.session.endpoint().stalled().and_then(|since| since.checked_add(self.stall_max))
    }

    /// Carries out what is due.
    pub(super) fn tick(&mut self, state: &mut State) -> Result<(), Reason> {
        let now = now();
        while let Some(timer) = state.timers.expired(now) {
            self.expired(state, timer, now)?;
        }
        self.set_timers(state, now);
        Ok(())
    }

    fn expired(&mut self, state: &mut State, timer: Timer, now: Instant) -> Result<(), Reason> {
        let hit = |limit: Limit| self.session.hub().metrics.hit(limit);
        match timer {
            Timer::Settling | Timer::Retry => self.proceed(state),
            Timer::Throttled => {
                // The silence meanwhile was ours.
                state.read_at = now;
                match state.inflating {
                    true => self.proceed(state),
                    false => Ok(()),
                }
            }
            Timer::Handshake => {
                hit(Limit::Handshake);
                Err(Reason::HandshakeTimeout)
            }
            Timer::Expiry => Err(Reason::Expired),
            Timer::Idle => {
                hit(Limit::Idle);
                Err(Reason::IdleTimeout)
            }
            // It may have taken something since the timer was set.
            Timer::Stall if self.stalls_at().is_none_or(|at| now < at) => Ok(()),
            Timer::Stall => {
                self.session.endpoint().exceed(Limit::OutboxStall);
                Err(Reason::SlowReceiver)
            }
            Timer::UnfinishedFrame => {
                hit(Limit::MessageTime);
                let most = self.session.hub().limits.message_time_max.as_secs();
                self.protocol.complain(&format!("a frame was not whole after {most} s"));
                Err(Reason::IdleTimeout)
            }
            Timer::UnfinishedMessage => match self.session.overdue(now) {
                Step::Close(reason) => Err(reason),
                Step::Go | Step::Wait => Ok(()),
            },
            Timer::Claim => match self.session.drop_claims(now) {
                Step::Close(reason) => Err(reason),
                Step::Go | Step::Wait => Ok(()),
            },
            Timer::Probe => self.check_probe(state, now),
            Timer::Protocol => self.tick_protocol(state, now),
        }
    }

    fn tick_protocol(&mut self, state: &mut State, now: Instant) -> Result<(), Reason> {
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
}

impl State {
    /// Reads nothing before this, or before what was said earlier if that is later.
    pub(super) fn throttle(&mut self, until: Option<Instant>) {
        let until = until.max(self.timers.get(Timer::Throttled));
        self.timers.set(Timer::Throttled, until);
    }

    pub(super) fn may_read(&self) -> bool {
        let waits = self.waiting || self.asking || self.inflating || self.authenticating.is_some();
        !waits && !self.is_throttled()
    }

    pub(super) fn is_throttled(&self) -> bool {
        self.timers.is_set(Timer::Throttled)
    }

    /// Sets when the answer to a probe is overdue. As long as the endpoint is not listened to, it is not.
    pub(super) fn set_probe(&mut self) {
        let probe = self.probe.as_ref();
        let overdue = probe.and_then(|probe| probe.deadline(self.read_at));
        let overdue = overdue.filter(|_| self.may_read());
        self.timers.set(Timer::Probe, overdue);
    }
}
