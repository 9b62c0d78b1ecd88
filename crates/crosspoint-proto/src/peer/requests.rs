//! Requests of both sides (docs/peers.md, section 3).

use super::body::{Form, kind};
use super::content::Text;
use super::deadlines::Deadlines;
use super::error::{Broken, SendError};
use super::outputs::{Control, Event, Outcome, Outputs};
use super::queue::{Entry, Queue};
use super::{Config, Counters};
use bytes::Bytes;
use crosspoint_hub::payload::Payload;
use std::collections::hash_map::{self, HashMap};
use std::time::{Duration, Instant};

#[derive(Debug, Default)]
pub(super) struct Requests {
    /// Requests of this side.
    waiting: HashMap<u32, Waiting>,
    waiting_until: Deadlines,
    /// The id to try next. They count up, so that an answer that crossed with CANCEL does not
    /// meet another request of the same id.
    next: u32,
    /// Requests of the other side.
    serving: HashMap<u32, Serving>,
    serving_until: Deadlines,
}

#[derive(Debug)]
struct Waiting {
    until: Option<Instant>,
    /// The body, until it is sent.
    unsent: Option<Bytes>,
}

#[derive(Debug)]
struct Serving {
    until: Option<Instant>,
    /// Kind and body of the answer. While it is not sent it counts as a request, which bounds the
    /// answers.
    answer: Option<(u8, Bytes)>,
}

/// Milliseconds for the wire: 0 is for ever, so less than one becomes one.
fn milliseconds(time: Duration) -> u32 {
    let rounded_up = time.as_nanos().div_ceil(1_000_000).max(1);
    u32::try_from(rounded_up).unwrap_or(u32::MAX)
}

fn until(now: Instant, time_ms: u32) -> Option<Instant> {
    let time = (time_ms > 0).then(|| Duration::from_millis(time_ms.into()))?;
    now.checked_add(time)
}

impl Requests {
    pub(super) fn waiting(&self) -> usize {
        self.waiting.len()
    }

    pub(super) fn serving(&self) -> usize {
        self.serving.len()
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        let firsts = [self.waiting_until.first(), self.serving_until.first()];
        firsts.into_iter().flatten().min()
    }

    pub(super) fn request(
        &mut self,
        now: Instant,
        time: Option<Duration>,
        form: Form<'_>,
        config: &Config,
        queue: &mut Queue,
    ) -> Result<u32, SendError> {
        if self.waiting.len() >= config.requests_out_max as usize {
            return Err(SendError::TooMany(config.requests_out_max));
        }
        let place = loop {
            match self.waiting.entry(self.next) {
                hash_map::Entry::Vacant(place) => break place,
                hash_map::Entry::Occupied(_) => self.next = self.next.wrapping_add(1),
            }
        };
        let id = self.next;
        let time_ms = time.map_or(0, milliseconds);
        let body = queue.write(&Form { numbers: &[id, time_ms], ..form })?;
        self.next = id.wrapping_add(1);
        let until = until(now, time_ms);
        if let Some(until) = until {
            self.waiting_until.add(until, id);
        }
        queue.add(Entry::Request(id), body.len());
        place.insert(Waiting { until, unsent: Some(body) });
        Ok(id)
    }

    /// A request of this side has ended, and was removed.
    fn waited(&mut self, id: u32, until: Option<Instant>) {
        let waiting = &self.waiting;
        self.waiting_until.ended((until, id), waiting.len(), |at, id| {
            waiting.get(&id).is_some_and(|waiting| waiting.until == Some(at))
        });
    }

    /// Gives up a request of this side. Whether it waited.
    pub(super) fn cancel(&mut self, id: u32, queue: &mut Queue, out: &mut Outputs) -> bool {
        let Some(gone) = self.waiting.remove(&id) else {
            return false;
        };
        self.waited(id, gone.until);
        match gone.unsent {
            Some(body) => queue.release(body.len()),
            None => out.control.push_back(Control::Cancel(id)),
        }
        true
    }

    /// Takes an answer of the other side.
    pub(super) fn answered(
        &mut self,
        id: u32,
        outcome: Outcome,
        counters: &mut Counters,
        out: &mut Outputs,
    ) {
        match self.waiting.entry(id) {
            hash_map::Entry::Occupied(waiting) if waiting.get().unsent.is_none() => {
                let until = waiting.remove().until;
                self.waited(id, until);
                out.events.push_back(Event::Result { id, outcome });
            }
            // An answer to what was not asked yet is only a guess.
            _ => counters.late_answers += 1,
        }
    }

    /// The body of a request whose turn it is, if it still waits.
    pub(super) fn send(&mut self, id: u32, queue: &mut Queue) -> Option<(u8, Bytes)> {
        let body = self.waiting.get_mut(&id)?.unsent.take()?;
        queue.release(body.len());
        Some((kind::REQUEST, body))
    }

    /// Takes a request of the other side.
    pub(super) fn serve(
        &mut self,
        now: Instant,
        (id, time_ms): (u32, u32),
        (method, payload): (Text, Payload),
        config: &Config,
        counters: &mut Counters,
        out: &mut Outputs,
    ) -> Result<(), Broken> {
        let full = self.serving.len() >= config.requests_in_max as usize;
        let hash_map::Entry::Vacant(place) = self.serving.entry(id) else {
            return Err(Broken::RequestTwice(id));
        };
        if full {
            out.check_flood(config.answers_max)?;
            counters.refused_requests += 1;
            out.control.push_back(Control::Refuse(id));
            return Ok(());
        }
        let until = until(now, time_ms);
        if let Some(until) = until {
            self.serving_until.add(until, id);
        }
        place.insert(Serving { until, answer: None });
        out.events.push_back(Event::Request { id, method, payload, until });
        Ok(())
    }

    /// A request of the other side has ended, and was removed.
    fn served(&mut self, id: u32, until: Option<Instant>) {
        let serving = &self.serving;
        self.serving_until.ended((until, id), serving.len(), |at, id| {
            serving.get(&id).is_some_and(|serving| serving.until == Some(at))
        });
    }

    /// The other side does not wait any more, by its word or by its time.
    pub(super) fn cancelled(
        &mut self,
        id: u32,
        queue: &mut Queue,
        counters: &mut Counters,
        out: &mut Outputs,
    ) {
        let Some(gone) = self.serving.remove(&id) else {
            // CANCEL and the answer crossed.
            return;
        };
        self.served(id, gone.until);
        match gone.answer {
            Some((_, body)) => {
                queue.release(body.len());
                counters.unwanted_answers += 1;
            }
            None => out.events.push_back(Event::Cancelled { id }),
        }
    }

    /// Answers a request of the other side; an answer that nobody waits for is counted.
    pub(super) fn answer(
        &mut self,
        id: u32,
        kind: u8,
        form: &Form<'_>,
        queue: &mut Queue,
        counters: &mut Counters,
    ) -> Result<(), SendError> {
        match self.serving.get_mut(&id) {
            Some(serving) if serving.answer.is_none() => {
                let body = queue.write(form)?;
                queue.add(Entry::Answer(id), body.len());
                serving.answer = Some((kind, body));
            }
            _ => counters.unwanted_answers += 1,
        }
        Ok(())
    }

    /// The answer whose turn it is, if the request was not cancelled.
    pub(super) fn send_answer(&mut self, id: u32, queue: &mut Queue) -> Option<(u8, Bytes)> {
        let hash_map::Entry::Occupied(mut serving) = self.serving.entry(id) else {
            return None;
        };
        // If the id was used again after CANCEL there may be a request without an answer.
        let answer = serving.get_mut().answer.take()?;
        let until = serving.remove().until;
        self.served(id, until);
        queue.release(answer.1.len());
        Some(answer)
    }

    pub(super) fn tick(
        &mut self,
        now: Instant,
        queue: &mut Queue,
        counters: &mut Counters,
        out: &mut Outputs,
    ) {
        while let Some((at, id)) = self.waiting_until.take(now) {
            let live = self.waiting.get(&id).is_some_and(|waiting| waiting.until == Some(at));
            if live && self.cancel(id, queue, out) {
                out.events.push_back(Event::Result { id, outcome: Outcome::TimedOut });
            }
        }
        while let Some((at, id)) = self.serving_until.take(now) {
            let live = self.serving.get(&id).is_some_and(|serving| serving.until == Some(at));
            if live {
                self.cancelled(id, queue, counters, out);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_rounded_up_and_never_become_for_ever() {
        assert_eq!(milliseconds(Duration::ZERO), 1);
        assert_eq!(milliseconds(Duration::from_micros(1001)), 2);
        assert_eq!(milliseconds(Duration::MAX), u32::MAX);
        let now = Instant::now();
        assert_eq!(until(now, 0), None);
        assert_eq!(until(now, 7), Some(now + Duration::from_millis(7)));
    }
}
