//! Who takes nothing of what waits for it.

use std::time::Instant;

/// Since when an endpoint has taken nothing, or next to nothing, although something waits for it.
#[derive(Debug, Default)]
pub struct Stall {
    waiting: Option<Waiting>,
    /// Since when the endpoint is away, if it is.
    away_since: Option<Instant>,
}

/// Something has been waiting since some time.
#[derive(Debug)]
struct Waiting {
    since: Instant,
    /// How many bytes the endpoint has to take until it counts as reading.
    due: usize,
    /// It was away once meanwhile, which is not its fault. To go again without having read is.
    forgiven: bool,
}

impl Stall {
    /// Something waits, and so many bytes were taken just now. `due` gives how many have to be taken from now
    /// on to count as reading.
    pub fn took(&mut self, now: Instant, bytes: usize, due: impl FnOnce() -> usize) {
        match &mut self.waiting {
            Some(waiting) if bytes < waiting.due => waiting.due -= bytes,
            waiting => *waiting = Some(Waiting { since: now, due: due(), forgiven: false }),
        }
    }

    /// Nothing waits, or all that could be taken was taken.
    pub fn end(&mut self) {
        self.waiting = None;
    }

    /// That the endpoint took nothing while it was away is not its fault, unless it goes and comes without
    /// ever taking anything. What it did not take before still is.
    pub fn set_away(&mut self, now: Instant, away: bool) {
        match (away, self.away_since.take()) {
            (true, since) => self.away_since = Some(since.unwrap_or(now)),
            (false, Some(since)) => {
                if self.waiting.as_ref().is_some_and(|waiting| !waiting.forgiven) {
                    self.excuse(since, now);
                }
            }
            (false, None) => {}
        }
    }

    /// The time between the two does not count.
    pub fn excuse(&mut self, from: Instant, to: Instant) {
        if let Some(waiting) = &mut self.waiting {
            waiting.forgiven = true;
            waiting.since += to.saturating_duration_since(from.max(waiting.since));
        }
    }

    /// Since when, the time of an absence that is forgiven not counted.
    pub fn since(&self) -> Option<Instant> {
        self.waiting.as_ref().map(|waiting| waiting.since)
    }
}
