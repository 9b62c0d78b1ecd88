//! The processor time of a server while something is measured.

use std::fs;
use std::time::{Duration, Instant};

/// Watches a process from the moment on at which a workload begins to measure.
pub(crate) struct Watch {
    pid: u32,
    begin: Option<(Instant, Duration)>,
    end: Option<(Instant, Duration)>,
}

impl Watch {
    pub(crate) fn new(pid: u32) -> Watch {
        Watch { pid, begin: None, end: None }
    }

    /// What a workload says that it does (`Progress`). One with several parts measures once more after it has ended.
    pub(crate) fn tell(&mut self, doing: &str) {
        let seen = || processor_time(self.pid).map(|used| (Instant::now(), used));
        match doing {
            "measuring" if self.begin.is_none() => self.begin = seen(),
            "done" => self.end = seen(),
            _ => {}
        }
    }

    /// How many processors it has kept busy; nothing if that is not known, or too little to be told.
    pub(crate) fn share(&self) -> Option<f64> {
        let ((begin, before), (end, after)) = self.begin.zip(self.end)?;
        let used = after.saturating_sub(before);
        (used >= LEAST).then(|| used.as_secs_f64() / (end - begin).as_secs_f64())
    }
}

/// The system counts in hundredths of a second.
const TICKS_PER_SECOND: u64 = 100;

/// With less than so much, the ticks say nothing.
const LEAST: Duration = Duration::from_millis(200);

/// What all threads of a process have used. `None` where there is no `/proc`, or no such process.
fn processor_time(pid: u32) -> Option<Duration> {
    ticks_in(&fs::read_to_string(format!("/proc/{pid}/stat")).ok()?)
        .map(|ticks| Duration::from_millis(ticks * 1000 / TICKS_PER_SECOND))
}

/// The ticks of user and system. The name of the program may have spaces and parentheses.
fn ticks_in(stat: &str) -> Option<u64> {
    /// Of the fields behind the name.
    const USER: usize = 11;
    let (_, fields) = stat.rsplit_once(')')?;
    let mut times = fields.split_whitespace().skip(USER).map(str::parse::<u64>);
    Some(times.next()?.ok()? + times.next()?.ok()?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_of_user_and_system_is_found_behind_any_name() {
        let fields = "S 1 2 3 0 -1 4194560 5 6 7 8 120 34 0 0 20 0 11 0 99";
        assert_eq!(ticks_in(&format!("77 (a) b (c) {fields}")), Some(154));
        assert_eq!(ticks_in("77 (node) S 1"), None);
        assert!(processor_time(std::process::id()).is_some());
    }
}
