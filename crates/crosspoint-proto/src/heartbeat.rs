//! Signs of life, and the round trip that they measure (section 4.4).

use crate::message::{kind, put_frame};
use crosspoint_hub::Reason;
use crosspoint_hub::protocol::Activity;
use crosspoint_hub::wire::FrameWriter;
use std::time::{Duration, Instant};

/// Asks a silent other side for a sign of life, and gives up when none comes.
#[derive(Debug, Clone)]
pub struct Heartbeat {
    interval: Duration,
    missed_max: u32,
    /// When the last unanswered question was asked, and how many there are.
    asked: Option<(Instant, u32)>,
    token: u64,
    round_trip: Option<Duration>,
}

impl Heartbeat {
    /// Asks after `interval` of silence; gives up when `missed_max` questions stay unanswered.
    pub fn new(interval: Duration, missed_max: u32) -> Self {
        Self { interval, missed_max, asked: None, token: 0, round_trip: None }
    }

    /// The last measured round trip.
    pub fn round_trip(&self) -> Option<Duration> {
        self.round_trip
    }

    /// Changes the interval.
    pub fn set_interval(&mut self, interval: Duration) {
        self.interval = interval;
    }

    /// When to call [`Heartbeat::tick`].
    pub fn deadline(&self, activity: Activity) -> Instant {
        let since = match self.asked {
            Some((asked, _)) if asked > activity.read => asked,
            _ => activity.read,
        };
        since + self.interval
    }

    /// Gives the token of a question to ask, if it is time.
    ///
    /// # Errors
    /// [`Reason::HeartbeatLost`] if too many stay unanswered.
    pub fn tick(&mut self, now: Instant, activity: Activity) -> Result<Option<u64>, Reason> {
        if now < self.deadline(activity) {
            return Ok(None);
        }
        let missed = match self.asked {
            Some((asked, missed)) if asked > activity.read => missed,
            _ => 0,
        };
        if missed >= self.missed_max {
            return Err(Reason::HeartbeatLost);
        }
        self.token += 1;
        self.asked = Some((now, missed + 1));
        Ok(Some(self.token))
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
            put_frame(kind::PING, &token.to_be_bytes(), out);
        }
        Ok(())
    }

    /// Takes an answer. One to an older question measures nothing.
    pub fn answered(&mut self, now: Instant, token: u64) {
        if let Some((asked, _)) = self.asked
            && token == self.token
        {
            self.round_trip = Some(now.saturating_duration_since(asked));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn silence_is_questioned_and_given_up_after_enough_misses() {
        let start = Instant::now();
        let activity = Activity { read: start, written: None };
        let mut heartbeat = Heartbeat::new(SECOND, 2);
        assert_eq!(heartbeat.tick(start, activity), Ok(None));
        assert_eq!(heartbeat.tick(start + SECOND, activity), Ok(Some(1)));
        assert_eq!(heartbeat.deadline(activity), start + 2 * SECOND);
        assert_eq!(heartbeat.tick(start + 2 * SECOND, activity), Ok(Some(2)));
        assert_eq!(heartbeat.tick(start + 3 * SECOND, activity), Err(Reason::HeartbeatLost));
    }

    #[test]
    fn any_byte_is_a_sign_of_life_and_an_answer_measures() {
        let start = Instant::now();
        let mut heartbeat = Heartbeat::new(SECOND, 1);
        let activity = Activity { read: start, written: None };
        assert_eq!(heartbeat.tick(start + SECOND, activity), Ok(Some(1)));
        let later = start + SECOND + SECOND / 10;
        heartbeat.answered(later, 1);
        assert_eq!(heartbeat.round_trip(), Some(SECOND / 10));
        let activity = Activity { read: later, written: None };
        assert_eq!(heartbeat.tick(later + SECOND, activity), Ok(Some(2)));
    }
}
