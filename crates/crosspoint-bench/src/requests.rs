//! Requests on one connection, answered by the server itself or over it by a second connection,
//! with one or many under way.

use std::io::{self, Read, Write};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use crate::connection::Connection;
use crate::dialect::{Answerer, Asker, Dialect, LARGEST_NUMBER, Requests, Responder};
use crate::latency::{Latency, Recorder};
use crate::schedule::{PATIENCE, Phase, READ_BYTES, Schedule, side_by_side, with_helper};
use crate::{BenchError, Progress};

pub use crate::in_flight::Plan;

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Protocol used.
    pub dialect: &'static str,
    /// Connections that ask at the same time, each with an answerer of its own.
    pub pairs: usize,
    /// Requests of each of them under way at any time.
    pub in_flight: usize,
    /// Data bytes of a request and of its answer.
    pub payload: usize,
    /// Time measured.
    pub seconds: f64,
    /// Requests answered for each second, summed over all pairs.
    pub requests_per_second: f64,
    /// From writing a request to having read its answer.
    pub latency: Latency,
}

/// Runs the plan.
///
/// # Errors
///
/// Any [`BenchError`].
pub fn run(
    dialect: &dyn Dialect,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    run_many(dialect, plan, 1, progress)
}

/// Runs the plan with several pairs at the same time, two threads for each.
///
/// # Errors
///
/// Any [`BenchError`].
pub fn run_many(
    dialect: &dyn Dialect,
    plan: &Plan,
    pairs: usize,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    plan.check()?;
    plan.check_fit(plan.payload)?;
    if pairs == 0 {
        return Err(BenchError::Plan("there must be at least 1 pair".into()));
    }
    progress(0.0, "connecting");
    let open = |_| dialect.open_requests(plan.payload);
    let connections = (0..pairs).map(open).collect::<Result<_, _>>()?;
    let talks = side_by_side(connections, progress, |requests, progress| {
        talk(dialect.name(), requests, plan, progress)
    })?;
    let mut recorder = Recorder::new();
    talks.iter().for_each(|talk| recorder.add(&talk.recorder));
    Ok(Report {
        dialect: dialect.name(),
        pairs,
        in_flight: plan.in_flight,
        payload: plan.payload,
        seconds: talks.first().map_or(0.0, |talk| talk.seconds),
        requests_per_second: talks.iter().map(|talk| talk.completed as f64 / talk.seconds).sum(),
        latency: recorder.latency(),
    })
}

/// What came out of one pair.
struct Talk {
    completed: u64,
    seconds: f64,
    recorder: Recorder,
}

fn talk(
    dialect: &'static str,
    requests: Requests,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<Talk, BenchError> {
    let Requests { stream, asker, responder } = requests;
    let mut conversation = Conversation {
        dialect,
        stream,
        asker,
        waiting: Waiting::new(plan.in_flight),
        out: Vec::new(),
        buffer: vec![0; READ_BYTES],
    };
    conversation
        .stream
        .set_read_timeout(Some(PATIENCE))
        .map_err(BenchError::system("setting a time limit"))?;
    let Some(Responder { stream: answers, mut answerer }) = responder else {
        return conversation.measure(plan, progress);
    };
    thread::scope(|scope| {
        let answering = scope.spawn(|| respond(dialect, &answers, &mut *answerer));
        let measured = conversation.measure(plan, progress);
        for stream in [&conversation.stream, &answers] {
            // Closed by the other side: just as well.
            let _ = stream.shutdown();
        }
        with_helper(measured, answering)
    })
}

/// Answers until the connection ends.
fn respond(
    dialect: &'static str,
    mut stream: &Connection,
    answerer: &mut dyn Answerer,
) -> Result<(), BenchError> {
    let failed = |source| BenchError::Io { dialect, doing: "answering", source };
    let (mut buffer, mut out) = (vec![0; READ_BYTES], Vec::new());
    loop {
        let count = match stream.read(&mut buffer) {
            Ok(0) => return Ok(()),
            Ok(count) => count,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(source) => return Err(failed(source)),
        };
        answerer
            .take(&buffer[..count], &mut out)
            .map_err(|reason| BenchError::OutOfStep { dialect, reason })?;
        stream.write_all(&out).map_err(failed)?;
        out.clear();
    }
}

struct Conversation {
    dialect: &'static str,
    stream: Connection,
    asker: Box<dyn Asker>,
    waiting: Waiting,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Conversation {
    fn measure(&mut self, plan: &Plan, progress: &mut Progress<'_>) -> Result<Talk, BenchError> {
        let mut recorder = Recorder::new();
        let mut completed = 0;
        let mut schedule = Schedule::start(plan.warm_up, plan.duration, progress);
        let mut now = Instant::now();
        loop {
            self.write(now)?;
            let count = self.read()?;
            now = Instant::now();
            let measuring = schedule.is_measuring().then_some(&mut recorder);
            let answered = self.take(count, now, measuring)?;
            let phase = schedule.step(now);
            if phase != Phase::WarmUp {
                completed += answered;
            }
            if let Phase::Over { seconds } = phase {
                return Ok(Talk { completed, seconds, recorder });
            }
        }
    }

    /// Writes as many requests as may be under way.
    fn write(&mut self, now: Instant) -> Result<(), BenchError> {
        while let Some(number) = self.waiting.add(now) {
            self.asker
                .ask(number, &mut self.out)
                .map_err(|reason| BenchError::OutOfStep { dialect: self.dialect, reason })?;
        }
        let written = self.stream.write_all(&self.out);
        self.out.clear();
        written.map_err(|source| self.failed("asking", source))
    }

    fn read(&mut self) -> Result<usize, BenchError> {
        const DOING: &str = "waiting for answers";
        loop {
            match self.stream.read(&mut self.buffer) {
                Ok(0) => return Err(self.failed(DOING, io::ErrorKind::UnexpectedEof.into())),
                Ok(count) => return Ok(count),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(self.failed(DOING, source)),
            }
        }
    }

    /// Looks into the bytes just read; the number of answers in them.
    fn take(
        &mut self,
        count: usize,
        now: Instant,
        mut recorder: Option<&mut Recorder>,
    ) -> Result<u64, BenchError> {
        let Conversation { dialect, asker, waiting, out, buffer, .. } = self;
        let mut answers = 0;
        let mut unasked = false;
        asker
            .take(&buffer[..count], out, &mut |number| match waiting.remove(number) {
                Some(asked) => {
                    answers += 1;
                    if let Some(recorder) = &mut recorder {
                        recorder.record(now - asked, 1);
                    }
                }
                None => unasked = true,
            })
            .map_err(|reason| BenchError::OutOfStep { dialect, reason })?;
        if unasked {
            return Err(BenchError::OutOfStep {
                dialect,
                reason: "an answer to nothing that was asked",
            });
        }
        Ok(answers)
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> BenchError {
        BenchError::Io { dialect: self.dialect, doing, source }
    }
}

/// When the requests under way were made. Answers may come in any order.
struct Waiting {
    /// By the lowest bits of the number. A slot still taken holds up the next requests.
    slots: Vec<Option<(u32, Instant)>>,
    free: usize,
    next: u32,
}

/// How far requests may be ahead of the oldest one, in times of those under way.
const AHEAD: usize = 8;

impl Waiting {
    fn new(in_flight: usize) -> Waiting {
        let slots = (in_flight * AHEAD).next_power_of_two();
        Waiting { slots: vec![None; slots], free: in_flight, next: 1 }
    }

    /// The number of a request made now, unless too many are under way.
    fn add(&mut self, now: Instant) -> Option<u32> {
        let number = self.next;
        let mask = self.slots.len() - 1;
        let slot = &mut self.slots[number as usize & mask];
        if self.free == 0 || slot.is_some() {
            return None;
        }
        *slot = Some((number, now));
        self.free -= 1;
        self.next = if number == LARGEST_NUMBER { 1 } else { number + 1 };
        Some(number)
    }

    /// When the request with this number was made, if it is under way. It is not any more.
    fn remove(&mut self, number: u32) -> Option<Instant> {
        let mask = self.slots.len() - 1;
        let (_, asked) = self.slots[number as usize & mask].take_if(|(held, _)| *held == number)?;
        self.free += 1;
        Some(asked)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_may_come_in_any_order_but_once() {
        let now = Instant::now();
        let mut waiting = Waiting::new(3);
        assert_eq!(std::iter::from_fn(|| waiting.add(now)).collect::<Vec<_>>(), [1, 2, 3]);
        assert_eq!(waiting.remove(2), Some(now));
        assert_eq!(waiting.remove(2), None);
        assert_eq!(waiting.remove(4), None);
        assert_eq!((waiting.add(now), waiting.add(now)), (Some(4), None));
    }

    #[test]
    fn an_answer_that_never_comes_holds_up_requests_in_the_end() {
        let now = Instant::now();
        let mut waiting = Waiting::new(2);
        assert_eq!(waiting.add(now), Some(1));
        let mut made = 1;
        while let Some(number) = waiting.add(now) {
            made += 1;
            assert!(waiting.remove(number).is_some());
        }
        assert_eq!(made, 2 * AHEAD);
        assert!(waiting.remove(1).is_some());
        assert!(waiting.add(now).is_some());
    }

    #[test]
    fn numbers_begin_again_after_the_largest() {
        let now = Instant::now();
        let mut waiting = Waiting::new(2);
        waiting.next = LARGEST_NUMBER;
        assert_eq!((waiting.add(now), waiting.add(now)), (Some(LARGEST_NUMBER), Some(1)));
        assert!(waiting.remove(LARGEST_NUMBER).is_some() && waiting.remove(1).is_some());
    }
}
