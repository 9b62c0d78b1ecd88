//! Whether a session still lives, when another one has come with its name or id.
//!
//! Such a newcomer is refused. But the session that it was refused for may be dead without the hub's
//! knowing: its client lost its connection, and is the newcomer. So it is asked for a sign of life at
//! once, and ends if none comes soon. Time comes in.

use std::time::{Duration, Instant};

/// What a session's task keeps of the doubts in its session.
#[derive(Debug, Clone)]
pub struct Doubt {
    /// How long a sign of life may take; `None` if nobody is asked.
    most: Option<Duration>,
    /// When the last one was asked for.
    asked: Option<Instant>,
    /// Since when it is waited for.
    since: Option<Instant>,
}

impl Doubt {
    /// Nothing was asked yet. A sign of life may take `most`.
    pub fn new(most: Option<Duration>) -> Self {
        Self { most, asked: None, since: None }
    }

    /// Whether to ask, if there is doubt now. Nobody gets the session asked more often than once in the
    /// time that a sign may take.
    pub fn may_ask(&self, now: Instant) -> bool {
        let Some(most) = self.most else { return false };
        self.asked.is_none_or(|asked| now.saturating_duration_since(asked) >= most)
    }

    /// A sign of life was asked for.
    pub fn asked(&mut self, now: Instant) {
        self.asked = Some(now);
        self.since.get_or_insert(now);
    }

    /// Something has come from the endpoint: it lives.
    pub fn heard(&mut self) {
        self.since = None;
    }

    /// The endpoint has taken something for which it had no room before. The question may lie behind
    /// that, so its time begins anew.
    pub fn took(&mut self, now: Instant) {
        if let Some(since) = &mut self.since {
            *since = now;
        }
    }

    /// When the sign is overdue, if one is waited for. `listening` is since when the endpoint has been
    /// listened to; as long as it is not, it is not silent.
    pub fn deadline(&self, listening: Instant) -> Option<Instant> {
        self.since?.max(listening).checked_add(self.most?)
    }

    /// Whether the sign is overdue. A session that asks this long after the [`deadline`](Self::deadline) could
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
    fn a_sign_of_life_ends_the_doubt_and_silence_is_overdue() {
        let start = Instant::now();
        let mut doubt = Doubt::new(Some(3 * SECOND));
        assert_eq!((doubt.may_ask(start), doubt.deadline(start)), (true, None));
        doubt.asked(start);
        assert_eq!(doubt.deadline(start), Some(start + 3 * SECOND));
        // It was not listened to for a while, and then room came for what the question lay behind.
        assert_eq!(doubt.deadline(start + SECOND), Some(start + 4 * SECOND));
        doubt.took(start + 2 * SECOND);
        assert_eq!(doubt.deadline(start + SECOND), Some(start + 5 * SECOND));
        let almost = start + 5 * SECOND - Duration::from_nanos(1);
        assert!(!doubt.clone().is_overdue(almost, start));
        assert!(doubt.clone().is_overdue(start + 5 * SECOND, start));
        // The machine slept for a minute.
        assert!(!doubt.is_overdue(start + 60 * SECOND, start));
        assert!(doubt.is_overdue(start + 63 * SECOND, start));
        doubt.heard();
        assert!(!doubt.is_overdue(start + 63 * SECOND, start));
        assert_eq!(doubt.deadline(start), None);
        doubt.took(start + 3 * SECOND);
        assert_eq!(doubt.deadline(start), None, "nothing is waited for");
    }

    #[test]
    fn nobody_is_asked_more_often_than_once_in_the_time() {
        let start = Instant::now();
        let mut doubt = Doubt::new(Some(3 * SECOND));
        doubt.asked(start);
        doubt.heard();
        assert!(!doubt.may_ask(start + 3 * SECOND - Duration::from_nanos(1)));
        assert!(doubt.may_ask(start + 3 * SECOND));
        // Asking again while the first answer is due does not put the end off.
        doubt.asked(start + 3 * SECOND);
        doubt.asked(start + 5 * SECOND);
        assert_eq!(doubt.deadline(start), Some(start + 6 * SECOND));
        assert!(!Doubt::new(None).may_ask(start));
    }
}
