//! When to probe a silent peer, and when to give it up (sections 7 and 14).
//!
//! The original sends a silent peer a single probe and then waits for ever. Here probes go on, and the
//! peer is given up when several have stayed unanswered. Any message is an answer.

use std::time::{Duration, Instant};

/// The timer of one connection.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    interval: Duration,
    unanswered_max: u32,
    unanswered: u32,
    next: Instant,
    /// When the first probe was sent of those without an answer.
    probed: Option<Instant>,
}

/// What is to be done now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Beat {
    /// Nothing.
    Wait,
    /// Send a probe.
    Probe,
    /// Close the connection: nothing has come for all these intervals.
    Lost,
}

impl Heartbeat {
    /// A timer that probes after each `interval` of silence and gives the peer up an interval after the
    /// last of `unanswered_max` probes. With 0 it gives up at the first silent interval.
    pub fn new(now: Instant, interval: Duration, unanswered_max: u32) -> Self {
        Self { interval, unanswered_max, unanswered: 0, next: now + interval, probed: None }
    }

    /// A probe is sent now, whether or not it is time.
    pub fn probed(&mut self, now: Instant) {
        self.probed.get_or_insert(now);
    }

    /// A probe was answered. Gives the round trip. Answers have no numbers: the first one is to the first
    /// probe, and another one measures nothing.
    pub fn answered(&mut self, now: Instant) -> Option<Duration> {
        self.probed.take().map(|probed| now.saturating_duration_since(probed))
    }

    /// Any message has come.
    pub fn heard(&mut self, now: Instant) {
        self.unanswered = 0;
        self.next = now + self.interval;
    }

    /// When to ask [`Self::tick`].
    pub fn deadline(&self) -> Instant {
        self.next
    }

    /// What to do. However late this is asked, the peer gets an interval to answer each probe, so that a
    /// machine that has slept does not lose its peers when it wakes.
    pub fn tick(&mut self, now: Instant) -> Beat {
        if now < self.next {
            return Beat::Wait;
        }
        if self.unanswered >= self.unanswered_max {
            return Beat::Lost;
        }
        self.unanswered += 1;
        self.next = now + self.interval;
        self.probed(now);
        Beat::Probe
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_peer_is_probed_each_interval_and_then_given_up() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut timer = Heartbeat::new(start, Duration::from_secs(5), 2);
        assert_eq!(timer.tick(at(4)), Beat::Wait);
        assert_eq!(timer.tick(at(5)), Beat::Probe);
        assert_eq!(timer.tick(at(5)), Beat::Wait);
        assert_eq!(timer.tick(at(10)), Beat::Probe);
        timer.heard(at(11));
        assert_eq!(timer.deadline(), at(16));
        assert_eq!(timer.tick(at(16)), Beat::Probe);
        // The machine slept for a minute.
        assert_eq!(timer.tick(at(76)), Beat::Probe);
        assert_eq!(timer.tick(at(80)), Beat::Wait);
        assert_eq!(timer.tick(at(81)), Beat::Lost);
    }

    #[test]
    fn the_first_answer_measures_the_round_trip_of_the_first_probe() {
        let start = Instant::now();
        let at = |s| start + Duration::from_secs(s);
        let mut timer = Heartbeat::new(start, Duration::from_secs(5), 2);
        assert_eq!(timer.answered(at(1)), None, "nobody has asked");
        assert_eq!(timer.tick(at(5)), Beat::Probe);
        timer.probed(at(6));
        assert_eq!(timer.answered(at(7)), Some(Duration::from_secs(2)));
        assert_eq!(timer.answered(at(7)), None);
        timer.probed(at(8));
        assert_eq!(timer.answered(at(8)), Some(Duration::ZERO));
        assert_eq!(timer.deadline(), at(10), "the timer itself is not moved by that");
    }
}
