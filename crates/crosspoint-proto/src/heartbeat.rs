//! Probes, and the round trip that they measure (section 4.4).

use crate::message::{kind, put_frame};
use crosspoint_hub::protocol::Activity;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Pace, Reason};
use std::time::{Duration, Instant};

/// How a client and its hub watch each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// How often the client sends probes; usually as often as the hub. A millisecond at least.
    pub own: Pace,
    /// How many probes of the client may stay unanswered.
    pub missed_max: u32,
    /// How often the hub is to send probes. It has bounds of its own, and says in WELCOME what it does.
    pub hub: Pace,
    /// The hub is not given up before it has been silent for this long: a connection that may be away
    /// and come back needs that.
    pub patience: Duration,
}

impl Default for Config {
    fn default() -> Self {
        let (own, hub) = (Pace::Usual, Pace::Usual);
        Self { own, missed_max: 2, hub, patience: Duration::ZERO }
    }
}

/// Sends probes to a silent other side, and gives it up when they stay unanswered.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    /// `None`: no probes are sent.
    interval: Option<Duration>,
    missed_max: u32,
    patience: Duration,
    /// When the last probe was sent, and how many since anything was heard.
    sent: Option<(Instant, u32)>,
    /// The number of the last probe.
    token: u64,
    /// When it was sent, until it is answered.
    open: Option<Instant>,
    round_trip: Option<Duration>,
}

impl Heartbeat {
    /// Sends a probe after `interval` of silence; gives up when `missed_max` probes stay unanswered.
    pub fn new(interval: Duration, missed_max: u32) -> Self {
        let interval = Some(interval);
        let patience = Duration::ZERO;
        Self { interval, missed_max, patience, sent: None, token: 0, open: None, round_trip: None }
    }

    /// Gives up no earlier than after this much silence. As many probes as may stay unanswered are
    /// sent meanwhile, and no more.
    #[must_use]
    pub fn with_patience(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The last measured round trip.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// The number of the last probe.
    pub fn last_probe(&self) -> u64 {
        self.token
    }

    /// After how much silence it sends a probe; `None` is never.
    pub fn interval(&self) -> Option<Duration> {
        self.interval
    }

    /// Changes the interval. With `None` no probes are sent, and the other side is not given up.
    pub fn set_interval(&mut self, interval: Option<Duration>) {
        self.interval = interval;
    }

    /// Since when an answer is waited for or nothing was heard, and how many probes are unanswered.
    fn silence(&self, activity: Activity) -> (Instant, u32) {
        match self.sent {
            Some((sent, missed)) if sent > activity.read => (sent, missed),
            _ => (activity.read, 0),
        }
    }

    /// When to call [`Heartbeat::tick`], if ever.
    pub fn deadline(&self, activity: Activity) -> Option<Instant> {
        let (since, missed) = self.silence(activity);
        let due = since.checked_add(self.interval?)?;
        match missed >= self.missed_max {
            true => Some(due.max(activity.read.checked_add(self.patience)?)),
            false => Some(due),
        }
    }

    /// Gives the token of a probe to send, if it is time.
    ///
    /// # Errors
    /// [`Reason::HeartbeatLost`] if too many stay unanswered.
    pub fn tick(&mut self, now: Instant, activity: Activity) -> Result<Option<u64>, Reason> {
        if self.deadline(activity).is_none_or(|deadline| now < deadline) {
            return Ok(None);
        }
        let (_, missed) = self.silence(activity);
        if missed >= self.missed_max {
            return Err(Reason::HeartbeatLost);
        }
        self.sent = Some((now, missed + 1));
        Ok(Some(self.start_probe(now)))
    }

    /// Gives the token of a probe that is sent now, whether or not it is time. If it stays
    /// unanswered, that counts for nothing.
    pub fn start_probe(&mut self, now: Instant) -> u64 {
        self.token += 1;
        self.open = Some(now);
        self.token
    }

    /// Writes a PING if it is time for one.
    ///
    /// # Errors
    /// As [`Heartbeat::tick`].
    pub fn ask(
        &mut self,
        now: Instant,
        activity: Activity,
        out: &mut FrameWriter,
    ) -> Result<(), Reason> {
        if let Some(token) = self.tick(now, activity)? {
            put_ping(token, out);
        }
        Ok(())
    }

    /// Writes a PING now, and gives its token.
    pub fn probe(&mut self, now: Instant, out: &mut FrameWriter) -> u64 {
        let token = self.start_probe(now);
        put_ping(token, out);
        token
    }

    /// Takes an answer, and gives the round trip. One to an older probe, or a second one, measures
    /// nothing.
    pub fn answered(&mut self, now: Instant, token: u64) -> Option<Duration> {
        let sent = self.open.filter(|_| token == self.token)?;
        self.open = None;
        self.round_trip = Some(now.saturating_duration_since(sent));
        self.round_trip
    }
}

fn put_ping(token: u64, out: &mut FrameWriter) {
    put_frame(kind::PING, &token.to_be_bytes(), out);
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn silent(since: Instant) -> Activity {
        Activity { read: since, written: None }
    }

    #[test]
    fn silence_is_probed_and_given_up_after_enough_misses() {
        let start = Instant::now();
        let activity = silent(start);
        let mut heartbeat = Heartbeat::new(SECOND, 2);
        assert_eq!(heartbeat.tick(start, activity), Ok(None));
        assert_eq!(heartbeat.tick(start + SECOND, activity), Ok(Some(1)));
        assert_eq!(heartbeat.deadline(activity), Some(start + 2 * SECOND));
        assert_eq!(heartbeat.tick(start + 2 * SECOND, activity), Ok(Some(2)));
        assert_eq!(heartbeat.tick(start + 3 * SECOND, activity), Err(Reason::HeartbeatLost));
    }

    #[test]
    fn any_byte_answers_a_probe_and_an_answer_measures_once() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(SECOND, 1);
        assert_eq!(heartbeat.tick(start + SECOND, silent(start)), Ok(Some(1)));
        let later = start + SECOND + SECOND / 10;
        assert_eq!(heartbeat.answered(later, 2), None, "nobody has asked that");
        assert_eq!(heartbeat.answered(later, 1), Some(SECOND / 10));
        assert_eq!(heartbeat.answered(later + SECOND, 1), None, "a second time");
        assert_eq!(heartbeat.round_trip(), Some(SECOND / 10));
        assert_eq!(heartbeat.tick(later + SECOND, silent(later)), Ok(Some(2)));
        heartbeat.start_probe(later + 2 * SECOND);
        assert_eq!(heartbeat.answered(later + 2 * SECOND, 2), None, "there is a newer probe");
    }

    #[test]
    fn whoever_may_be_away_is_asked_no_more_often_and_given_up_later() {
        let start = Instant::now();
        let activity = silent(start);
        let mut heartbeat = Heartbeat::new(SECOND, 2).with_patience(10 * SECOND);
        for sent in [1, 2] {
            let due = start + sent * SECOND;
            assert_eq!(heartbeat.deadline(activity), Some(due));
            assert_eq!(heartbeat.tick(due, activity), Ok(Some(sent.into())));
        }
        assert_eq!(heartbeat.deadline(activity), Some(start + 10 * SECOND));
        assert_eq!(heartbeat.tick(start + 9 * SECOND, activity), Ok(None));
        let lost = Err(Reason::HeartbeatLost);
        assert_eq!(heartbeat.clone().tick(start + 10 * SECOND, activity), lost);
        let back = silent(start + 9 * SECOND);
        assert_eq!(heartbeat.tick(start + 10 * SECOND, back), Ok(Some(3)));
    }

    #[test]
    fn without_an_interval_silence_is_nothing() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(SECOND, 1);
        heartbeat.set_interval(None);
        let year = start + 365 * 24 * 3600 * SECOND;
        assert_eq!(heartbeat.deadline(silent(start)), None);
        assert_eq!(heartbeat.tick(year, silent(start)), Ok(None));
        assert_eq!(heartbeat.start_probe(year), 1);
        assert_eq!(heartbeat.answered(year + SECOND, 1), Some(SECOND));
    }

    #[test]
    fn probes_out_of_turn_do_not_put_the_end_off() {
        let start = Instant::now();
        let activity = silent(start);
        let mut heartbeat = Heartbeat::new(SECOND, 1);
        for tenth in 1..10 {
            heartbeat.start_probe(start + tenth * SECOND / 10);
        }
        assert_eq!(heartbeat.tick(start + SECOND, activity), Ok(Some(10)));
        assert_eq!(heartbeat.tick(start + 2 * SECOND, activity), Err(Reason::HeartbeatLost));
    }
}
