//! What is looked at when, so that nothing else is.

use std::collections::BTreeSet;
use std::time::Instant;

/// Things in the order of their times. Each of them knows its own time, which is that of the schedule.
#[derive(Debug)]
pub struct Schedule<T>(BTreeSet<(Instant, T)>);

impl<T> Default for Schedule<T> {
    fn default() -> Self {
        Self(BTreeSet::new())
    }
}

impl<T: Ord + Copy> Schedule<T> {
    /// Looks at something at this time, if it is not looked at earlier. `due` is what it knows.
    pub fn add(&mut self, what: T, due: &mut Option<Instant>, at: Instant) {
        if due.is_none_or(|due| at < due) {
            self.remove(what, due.replace(at));
            self.0.insert((at, what));
        }
    }

    /// Something has gone that knew this time.
    pub fn remove(&mut self, what: T, due: Option<Instant>) {
        if let Some(at) = due {
            self.0.remove(&(at, what));
        }
    }

    /// When something is looked at next.
    pub fn next_due(&self) -> Option<Instant> {
        self.0.first().map(|(at, _)| *at)
    }

    /// Takes something that is late. It knows no time any more.
    pub fn take_due(&mut self, now: Instant) -> Option<T> {
        let is_due = self.next_due().is_some_and(|at| at <= now);
        let (_, what) = if is_due { self.0.pop_first() } else { None }?;
        Some(what)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;

    #[test]
    fn a_thing_is_looked_at_once_at_its_earliest_time() {
        let now = Instant::now();
        let at = |seconds| now + Duration::from_secs(seconds);
        let mut schedule = Schedule::default();
        let mut due = [None; 3];
        for (thing, seconds) in [(0, 9), (1, 5), (0, 3), (0, 7), (2, 4)] {
            schedule.add(thing, &mut due[thing], at(seconds));
        }
        assert_eq!(due, [3, 5, 4].map(|seconds| Some(at(seconds))));
        schedule.remove(2, due[2]);
        assert_eq!(schedule.next_due(), Some(at(3)));
        assert_eq!(schedule.take_due(at(2)), None);
        assert_eq!(schedule.take_due(at(5)), Some(0));
        assert_eq!(schedule.take_due(at(5)), Some(1));
        assert_eq!((schedule.take_due(at(99)), schedule.next_due()), (None, None));
    }
}
