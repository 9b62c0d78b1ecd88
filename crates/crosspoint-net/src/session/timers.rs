//! When a session has something to do because of time alone.

use std::time::{Duration, Instant};

/// What happens at a time. Of those that are due together the first in this order comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Timer {
    /// The session tries again to create or enter a channel that another one may be about to leave.
    Settling,
    /// The endpoint sent too much and is read again.
    Throttled,
    /// The session tries again to send to a receiver without room.
    Retry,
    /// The endpoint has not said who it is.
    Handshake,
    /// The credentials of the endpoint expire.
    Expiry,
    /// The endpoint has said nothing for too long.
    Idle,
    /// The endpoint has taken next to nothing of what waits for too long.
    Stall,
    /// A frame that has begun is not whole.
    UnfinishedFrame,
    /// A message that has begun over several frames is not whole.
    UnfinishedMessage,
    /// What a session has claimed has waited too long for an answer.
    Claim,
    /// The endpoint has not answered a probe.
    Probe,
    /// The protocol has something to do, such as a heartbeat.
    Protocol,
}

impl Timer {
    const ALL: [Self; 12] = [
        Self::Settling,
        Self::Throttled,
        Self::Retry,
        Self::Handshake,
        Self::Expiry,
        Self::Idle,
        Self::Stall,
        Self::UnfinishedFrame,
        Self::UnfinishedMessage,
        Self::Claim,
        Self::Probe,
        Self::Protocol,
    ];
}

/// No time.
const STOPPED: u64 = u64::MAX;

/// The times of all timers. Each has one, or is stopped.
#[derive(Debug, Clone)]
pub(super) struct Timers {
    begun: Instant,
    /// Nanoseconds since it began, which take half the memory of instants.
    at: [u64; Timer::ALL.len()],
}

impl Timers {
    /// All timers are stopped. None can be set to a time before `now`, or centuries after it.
    pub(super) fn new(now: Instant) -> Self {
        Self { begun: now, at: [STOPPED; Timer::ALL.len()] }
    }

    /// Sets a timer, whatever it was set to before. `None` stops it.
    pub(super) fn set(&mut self, timer: Timer, at: impl Into<Option<Instant>>) {
        self.at[timer as usize] = at.into().and_then(|at| self.nanos(at)).unwrap_or(STOPPED);
    }

    /// Stops a timer.
    pub(super) fn stop(&mut self, timer: Timer) {
        self.at[timer as usize] = STOPPED;
    }

    /// Whether a timer is set.
    pub(super) fn is_set(&self, timer: Timer) -> bool {
        self.at[timer as usize] != STOPPED
    }

    /// The time of a timer.
    pub(super) fn get(&self, timer: Timer) -> Option<Instant> {
        self.is_set(timer).then(|| self.instant(self.at[timer as usize]))
    }

    /// The earliest time of all.
    pub(super) fn next(&self) -> Option<Instant> {
        let next = self.at.iter().copied().min().filter(|at| *at != STOPPED);
        next.map(|at| self.instant(at))
    }

    /// Stops the first timer that is due, and gives it.
    pub(super) fn expired(&mut self, now: Instant) -> Option<Timer> {
        let now = self.nanos(now).unwrap_or(STOPPED - 1);
        let timer = Timer::ALL.into_iter().find(|timer| self.at[*timer as usize] <= now)?;
        self.stop(timer);
        Some(timer)
    }

    /// Nanoseconds from the beginning to a time. `None` if it is centuries away.
    fn nanos(&self, at: Instant) -> Option<u64> {
        let since = at.saturating_duration_since(self.begun);
        let nanos = since.as_secs().checked_mul(1_000_000_000)?;
        nanos.checked_add(since.subsec_nanos().into()).filter(|nanos| *nanos != STOPPED)
    }

    fn instant(&self, at: u64) -> Instant {
        self.begun + Duration::from_nanos(at)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[derive(Debug, Clone)]
    enum Step {
        Set(Timer, Duration),
        Stop(Timer),
        Wait(Duration),
    }

    fn step() -> impl Strategy<Value = Step> {
        let timer = || prop::sample::select(&Timer::ALL);
        let time = || (0..20_u64).prop_map(Duration::from_millis);
        prop_oneof![
            4 => (timer(), time()).prop_map(|(timer, time)| Step::Set(timer, time)),
            1 => timer().prop_map(Step::Stop),
            2 => time().prop_map(Step::Wait),
        ]
    }

    proptest! {
        #[test]
        fn each_timer_expires_once_at_its_time_and_never_before(steps in prop::collection::vec(step(), 0..60)) {
            let begun = Instant::now();
            let (mut timers, mut now) = (Timers::new(begun), begun);
            let mut model: Vec<Option<Instant>> = vec![None; Timer::ALL.len()];
            for step in steps {
                match step {
                    Step::Set(timer, time) => {
                        timers.set(timer, now + time);
                        model[timer as usize] = Some(now + time);
                    }
                    Step::Stop(timer) => {
                        timers.set(timer, None);
                        model[timer as usize] = None;
                    }
                    Step::Wait(time) => now += time,
                }
                prop_assert_eq!(timers.next(), model.iter().flatten().min().copied());
                let mut expired = Vec::new();
                while let Some(timer) = timers.expired(now) {
                    expired.push(timer);
                }
                let due = Timer::ALL.into_iter().filter(|timer| model[*timer as usize].is_some_and(|at| at <= now));
                prop_assert_eq!(expired, due.collect::<Vec<_>>(), "in their order");
                model.iter_mut().for_each(|at| *at = at.filter(|at| *at > now));
                for timer in Timer::ALL {
                    prop_assert_eq!(timers.get(timer), model[timer as usize]);
                    prop_assert_eq!(timers.is_set(timer), model[timer as usize].is_some());
                }
            }
        }
    }

    #[test]
    fn timers_that_are_due_together_expire_in_their_order_and_may_be_set_again() {
        let begun = Instant::now();
        let mut timers = Timers::new(begun);
        let second = Duration::from_secs(1);
        timers.set(Timer::Protocol, begun + second);
        timers.set(Timer::Throttled, begun + 2 * second);
        assert_eq!(timers.next(), Some(begun + second));
        let late = begun + 3600 * second;
        assert_eq!(timers.expired(late), Some(Timer::Throttled));
        timers.set(Timer::Settling, late);
        assert_eq!(timers.expired(late), Some(Timer::Settling));
        assert_eq!(timers.expired(late), Some(Timer::Protocol));
        assert_eq!((timers.expired(late), timers.next()), (None, None));
    }

    #[test]
    fn a_time_outside_the_range_is_the_nearest_or_none() {
        let now = Instant::now() + Duration::from_secs(10);
        let mut timers = Timers::new(now);
        timers.set(Timer::Idle, now - Duration::from_secs(5));
        assert_eq!(timers.get(Timer::Idle), Some(now));
        if let Some(never) = now.checked_add(Duration::from_secs(1000 * 366 * 24 * 3600)) {
            timers.set(Timer::Idle, never);
            assert!(!timers.is_set(Timer::Idle));
        }
    }

    #[test]
    fn the_table_is_smaller_than_seven_instants() {
        assert!(size_of::<Timers>() <= 7 * size_of::<Option<Instant>>());
    }
}
