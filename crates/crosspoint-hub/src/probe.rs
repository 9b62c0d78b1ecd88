//! Probes of a session that may be dead, because another one has come with its name or id.
//!
//! The newcomer is refused, or waits for the verdict ([`Hello::waits`](crate::command::Hello::waits)). But the session that it was refused for may be dead without the hub's
//! knowing: its client lost its connection, and is the newcomer. So the hub sends a probe at once, and the
//! session ends if no answer comes in time. Time is an argument.

use std::time::{Duration, Instant};

/// The probe of one session.
#[derive(Debug, Clone)]
pub struct Probe {
    /// How long an answer may take; `None` if no probes are sent.
    most: Option<Duration>,
    /// When the last probe was sent.
    sent: Option<Instant>,
    /// Since when an answer is waited for.
    since: Option<Instant>,
}

impl Probe {
    /// No probe was sent yet. An answer may take `most`.
    pub fn new(most: Option<Duration>) -> Self {
        Self { most, sent: None, since: None }
    }

    /// Whether to send a probe that is requested now. A session is probed no more often than once in the
    /// time that an answer may take.
    pub fn may_send(&self, now: Instant) -> bool {
        let Some(most) = self.most else { return false };
        self.sent.is_none_or(|sent| now.saturating_duration_since(sent) >= most)
    }

    /// A probe was sent.
    pub fn sent(&mut self, now: Instant) {
        self.sent = Some(now);
        self.since.get_or_insert(now);
    }

    /// Something has come from the endpoint: it lives. Gives whether that was an answer.
    pub fn heard(&mut self) -> bool {
        self.since.take().is_some()
    }

    /// Whether an answer is waited for.
    pub fn is_unanswered(&self) -> bool {
        self.since.is_some()
    }

    /// The endpoint has taken something for which it had no room before. The probe may lie behind
    /// that, so its time begins anew.
    pub fn took(&mut self, now: Instant) {
        if let Some(since) = &mut self.since {
            *since = now;
        }
    }

    /// When the answer is overdue, if one is waited for. `listening` is since when the endpoint has been
    /// listened to; as long as it is not, it is not silent.
    pub fn deadline(&self, listening: Instant) -> Option<Instant> {
        self.since?.max(listening).checked_add(self.most?)
    }

    /// Whether the answer is overdue. A session that calls this long after the [`deadline`](Self::deadline) could
    /// not listen in time, because the machine was busy or asleep: the time begins anew then.
    pub fn is_overdue(&mut self, now: Instant, listening: Instant) -> bool {
        let (Some(deadline), Some(most)) = (self.deadline(listening), self.most) else {
            return false;
        };
        if now.saturating_duration_since(deadline) > most / 2 {
            self.since = Some(now);
            return false;
        }
        deadline <= now
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    #[test]
    fn an_answer_ends_the_probe_and_silence_is_overdue() {
        let start = Instant::now();
        let mut probe = Probe::new(Some(3 * SECOND));
        assert_eq!((probe.may_send(start), probe.deadline(start)), (true, None));
        probe.sent(start);
        assert_eq!(probe.deadline(start), Some(start + 3 * SECOND));
        // It was not listened to for a while, and then room came for what the probe lay behind.
        assert_eq!(probe.deadline(start + SECOND), Some(start + 4 * SECOND));
        probe.took(start + 2 * SECOND);
        assert_eq!(probe.deadline(start + SECOND), Some(start + 5 * SECOND));
        let almost = start + 5 * SECOND - Duration::from_nanos(1);
        assert!(!probe.clone().is_overdue(almost, start));
        assert!(probe.clone().is_overdue(start + 5 * SECOND, start));
        // The machine slept for a minute.
        assert!(!probe.is_overdue(start + 60 * SECOND, start));
        assert!(probe.is_overdue(start + 63 * SECOND, start));
        assert!(probe.heard() && !probe.is_unanswered());
        assert!(!probe.is_overdue(start + 63 * SECOND, start));
        assert_eq!(probe.deadline(start), None);
        probe.took(start + 3 * SECOND);
        assert_eq!(probe.deadline(start), None, "nothing is waited for");
    }

    #[test]
    fn nobody_is_probed_more_often_than_once_in_the_time() {
        let start = Instant::now();
        let mut probe = Probe::new(Some(3 * SECOND));
        probe.sent(start);
        assert!(probe.is_unanswered() && probe.heard() && !probe.heard());
        assert!(!probe.may_send(start + 3 * SECOND - Duration::from_nanos(1)));
        assert!(probe.may_send(start + 3 * SECOND));
        // Asking again while the first answer is due does not put the end off.
        probe.sent(start + 3 * SECOND);
        probe.sent(start + 5 * SECOND);
        assert_eq!(probe.deadline(start), Some(start + 6 * SECOND));
        assert!(!Probe::new(None).may_send(start));
    }
}
