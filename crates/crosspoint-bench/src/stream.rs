//! Bytes in one direction: sender → hub → receiver, as fast as the receiver takes them.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::connection::Connection;
use crate::dialect::{Credits, Dialect, Intake, STREAM_CHUNK, StreamEnds, StreamShape};
use crate::schedule::{PATIENCE, Phase, READ_BYTES, Schedule, side_by_side, with_helper};
use crate::{BenchError, Progress};

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Bytes that the sender may be ahead of what the receiver has consumed, where the protocol
    /// has such a window: at least 2 times [`STREAM_CHUNK`], at most 1 GiB.
    pub window: u32,
    /// Time before measuring begins.
    pub warm_up: Duration,
    /// Time measured.
    pub duration: Duration,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            window: 512 << 10,
            warm_up: Duration::from_secs(1),
            duration: Duration::from_secs(3),
        }
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Protocol used.
    pub dialect: &'static str,
    /// Bytes that the sender may have been ahead, where the protocol has a window.
    pub window: u32,
    /// Streams at the same time, each with connections of its own.
    pub streams: usize,
    /// Time measured.
    pub seconds: f64,
    /// Bytes of data that arrived for each second, summed over all streams.
    pub bytes_per_second: f64,
}

/// Chunks written at once.
const BATCH: usize = 4;

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

/// Runs the plan with several streams at the same time, two threads for each.
///
/// # Errors
///
/// Any [`BenchError`].
pub fn run_many(
    dialect: &dyn Dialect,
    plan: &Plan,
    streams: usize,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    let shape = StreamShape { window: plan.window, tiny: false };
    check(&shape)?;
    if streams == 0 {
        return Err(BenchError::Plan("there must be at least 1 stream".into()));
    }
    progress(0.0, "connecting");
    let ends: Vec<_> =
        (0..streams).map(|_| dialect.open_stream(&shape)).collect::<Result<_, _>>()?;
    let window = ends.first().map_or(0, |ends| ends.window);
    let flows =
        side_by_side(ends, progress, |ends, progress| flow(dialect.name(), ends, plan, progress))?;
    Ok(Report {
        dialect: dialect.name(),
        window: u32::try_from(window).unwrap_or(u32::MAX),
        streams,
        seconds: flows.first().map_or(0.0, |flow| flow.seconds),
        bytes_per_second: flows.iter().map(|flow| flow.bytes as f64 / flow.seconds).sum(),
    })
}

/// What came out of one stream.
struct Flow {
    bytes: u64,
    seconds: f64,
}

fn flow(
    dialect: &'static str,
    ends: StreamEnds,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<Flow, BenchError> {
    let StreamEnds { sender, chunk, chunk_bytes, window, credits, receiver, intake, keep } = ends;
    let time_limits = || {
        sender.set_read_timeout(Some(PATIENCE))?;
        receiver.set_read_timeout(Some(PATIENCE))
    };
    time_limits().map_err(BenchError::system("setting a time limit"))?;
    let stop = AtomicBool::new(false);
    let flow = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut outgoing = Outgoing { dialect, chunk, chunk_bytes, credits, left: window };
            let sent = outgoing.send(&sender, &stop);
            if sent.is_err() {
                // Nothing more comes for the receiver to wait for. It may be closed already.
                let _ = receiver.shutdown();
            }
            sent
        });
        let buffer = vec![0; READ_BYTES];
        let mut incoming = Incoming { dialect, intake, out: Vec::new(), buffer };
        let measured = incoming.measure(&receiver, plan, progress);
        stop.store(true, Ordering::Release);
        for stream in [&sender, &receiver] {
            // Closed by the other side: just as well.
            let _ = stream.shutdown();
        }
        with_helper(measured, sending)
    });
    drop((sender, receiver));
    drop(keep);
    flow
}

/// Whether such a stream can be opened.
pub(crate) fn check(shape: &StreamShape) -> Result<(), BenchError> {
    let window = shape.window as usize;
    if (2 * STREAM_CHUNK..=1 << 30).contains(&window) {
        return Ok(());
    }
    Err(BenchError::Plan(format!(
        "the window of a stream is {} bytes to 1 GiB, not {window}",
        2 * STREAM_CHUNK
    )))
}

struct Outgoing {
    dialect: &'static str,
    chunk: Vec<u8>,
    chunk_bytes: usize,
    credits: Option<Box<dyn Credits>>,
    /// Bytes of data that may be sent, if they are counted.
    left: usize,
}

impl Outgoing {
    /// Writes until told to stop.
    fn send(&mut self, mut stream: &Connection, stop: &AtomicBool) -> Result<(), BenchError> {
        let batch = self.chunk.repeat(BATCH);
        let mut buffer = vec![0; READ_BYTES];
        while !stop.load(Ordering::Acquire) {
            let result = match (self.left / self.chunk_bytes).min(BATCH) {
                0 => self.wait(stream, &mut buffer),
                chunks => {
                    if self.credits.is_some() {
                        self.left -= chunks * self.chunk_bytes;
                    }
                    stream
                        .write_all(&batch[..chunks * self.chunk.len()])
                        .map_err(|source| self.failed("sending", source))
                }
            };
            if result.is_err() && !stop.load(Ordering::Acquire) {
                return result;
            }
        }
        Ok(())
    }

    /// Waits for credit.
    fn wait(&mut self, mut stream: &Connection, buffer: &mut [u8]) -> Result<(), BenchError> {
        const DOING: &str = "waiting for credit";
        let count = read(stream, buffer).map_err(|source| self.failed(DOING, source))?;
        if let Some(credits) = &mut self.credits {
            let mut out = Vec::new();
            self.left += credits
                .take(&buffer[..count], &mut out)
                .map_err(|reason| BenchError::OutOfStep { dialect: self.dialect, reason })?;
            stream.write_all(&out).map_err(|source| self.failed(DOING, source))?;
        }
        Ok(())
    }

    fn failed(&self, doing: &'static str, source: io::Error) -> BenchError {
        BenchError::Io { dialect: self.dialect, doing, source }
    }
}

/// Something that arrives; the end of the stream is an error.
fn read(mut stream: &Connection, buffer: &mut [u8]) -> io::Result<usize> {
    loop {
        match stream.read(buffer) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            other => return other,
        }
    }
}

struct Incoming {
    dialect: &'static str,
    intake: Box<dyn Intake>,
    out: Vec<u8>,
    buffer: Vec<u8>,
}

impl Incoming {
    fn measure(
        &mut self,
        stream: &Connection,
        plan: &Plan,
        progress: &mut Progress<'_>,
    ) -> Result<Flow, BenchError> {
        let mut schedule = Schedule::start(plan.warm_up, plan.duration, progress);
        let mut bytes = 0;
        loop {
            let count = self.take(stream)?;
            let phase = schedule.step(Instant::now());
            if phase != Phase::WarmUp {
                bytes += count as u64;
            }
            if let Phase::Over { seconds } = phase {
                return Ok(Flow { bytes, seconds });
            }
        }
    }

    /// Reads once, and says what that wants to be said; how many bytes of data there were.
    fn take(&mut self, mut stream: &Connection) -> Result<usize, BenchError> {
        let dialect = self.dialect;
        let failed = |doing| move |source| BenchError::Io { dialect, doing, source };
        let count = read(stream, &mut self.buffer).map_err(failed("waiting for data"))?;
        let data = self
            .intake
            .take(&self.buffer[..count], &mut self.out)
            .map_err(|reason| BenchError::OutOfStep { dialect, reason })?;
        let written = stream.write_all(&self.out);
        self.out.clear();
        written.map_err(failed("giving credit"))?;
        Ok(data)
    }
}
