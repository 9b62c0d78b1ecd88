//! Round trips: requester → hub → responder → hub → requester, with one or many under way.

use std::collections::VecDeque;
use std::io::{self, Read, Write};
use std::thread;
use std::time::Instant;

use serde::Serialize;

use crate::dialect::{Dialect, End, Relay};
use crate::latency::{Latency, Recorder};
use crate::receivers::read_one;
use crate::schedule::{PATIENCE, Phase, READ_BYTES, Schedule, with_helper};
use crate::unframe::Unframer;
use crate::{BenchError, Progress};

pub use crate::in_flight::Plan;

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Protocol used.
    pub dialect: &'static str,
    /// Requests under way at any time.
    pub in_flight: usize,
    /// Data bytes of a request and of a reply.
    pub payload: usize,
    /// Time measured.
    pub seconds: f64,
    /// Round trips completed for each second.
    pub round_trips_per_second: f64,
    /// From writing a request to having read its reply.
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
    plan.check()?;
    progress(0.0, "connecting");
    let relay = dialect.open_relay(plan.payload)?;
    let longest = relay.requester.message.len().max(relay.responder.message.len());
    plan.check_fit(longest)?;
    let Relay { requester, responder, keep } = relay;
    let name = dialect.name();
    let report = thread::scope(|scope| {
        let answering = scope.spawn(|| respond(name, &responder, plan));
        let measured = request(name, &requester, plan, progress);
        for end in [&requester, &responder] {
            for stream in [&end.write, end.reader()] {
                // Closed by the other side, or the same as before: just as well.
                let _ = stream.shutdown();
            }
        }
        with_helper(measured, answering)
    });
    drop((requester, responder));
    drop(keep);
    report
}

/// Counts whole messages in what arrives.
struct Incoming {
    unframer: Unframer,
    payload: usize,
    data: usize,
    buffer: Vec<u8>,
}

impl Incoming {
    fn new(end: &End, payload: usize) -> Incoming {
        let unframer = Unframer::new(end.framing.clone());
        Incoming { unframer, payload, data: 0, buffer: vec![0; READ_BYTES] }
    }

    /// Reads once; the number of messages completed by that, or `None` at the end of the stream.
    fn read(
        &mut self,
        dialect: &'static str,
        doing: &'static str,
        end: &End,
    ) -> Result<Option<usize>, BenchError> {
        let count = loop {
            match end.reader().read(&mut self.buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => break count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => {
                    return Err(BenchError::Io { dialect, doing, source });
                }
            }
        };
        self.unframer
            .feed(&self.buffer[..count], |data| self.data += data.len())
            .map_err(|reason| BenchError::OutOfStep { dialect, reason })?;
        let messages = self.data / self.payload;
        self.data %= self.payload;
        Ok(Some(messages))
    }
}

/// Answers until the connection ends.
fn respond(dialect: &'static str, end: &End, plan: &Plan) -> Result<(), BenchError> {
    const DOING: &str = "answering";
    let mut incoming = Incoming::new(end, plan.payload);
    let replies = end.message.repeat(plan.in_flight);
    while let Some(messages) = incoming.read(dialect, DOING, end)? {
        let bytes = messages * end.message.len();
        let Some(replies) = replies.get(..bytes) else {
            return Err(BenchError::OutOfStep { dialect, reason: "more requests than were made" });
        };
        (&end.write).write_all(replies).map_err(|source| BenchError::Io {
            dialect,
            doing: DOING,
            source,
        })?;
    }
    Ok(())
}

fn request(
    dialect: &'static str,
    end: &End,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    const DOING: &str = "waiting for replies";
    let failed = |source| BenchError::Io { dialect, doing: DOING, source };
    end.reader().set_read_timeout(Some(PATIENCE)).map_err(failed)?;
    (&end.write).write_all(&end.message).map_err(failed)?;
    let mut incoming = Incoming::new(end, plan.payload);
    read_one(dialect, end.reader(), &mut incoming.unframer, plan.payload, DOING)?;

    let requests = end.message.repeat(plan.in_flight);
    let mut under_way = VecDeque::new();
    let mut recorder = Recorder::new();
    let mut free = plan.in_flight;
    let mut completed = 0;
    let mut schedule = Schedule::start(plan.warm_up, plan.duration, progress);
    let mut now = Instant::now();
    loop {
        if free > 0 {
            under_way.push_back((now, free));
            (&end.write).write_all(&requests[..free * end.message.len()]).map_err(failed)?;
        }
        let Some(messages) = incoming.read(dialect, DOING, end)? else {
            return Err(failed(io::ErrorKind::UnexpectedEof.into()));
        };
        now = Instant::now();
        free = messages;
        let mut left = messages;
        while left > 0 {
            let Some((sent, count)) = under_way.front_mut() else {
                return Err(BenchError::OutOfStep {
                    dialect,
                    reason: "more replies than requests",
                });
            };
            let answered = left.min(*count);
            if schedule.is_measuring() {
                recorder.record(now - *sent, answered as u64);
            }
            *count -= answered;
            left -= answered;
            if *count == 0 {
                under_way.pop_front();
            }
        }
        let phase = schedule.step(now);
        if phase != Phase::WarmUp {
            completed += messages as u64;
        }
        if let Phase::Over { seconds } = phase {
            return Ok(Report {
                dialect,
                in_flight: plan.in_flight,
                payload: plan.payload,
                seconds,
                round_trips_per_second: completed as f64 / seconds,
                latency: recorder.latency(),
            });
        }
    }
}
