//! Bytes in one direction: sender → hub → receiver, as fast as the receiver takes them.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::connection::Connection;
use crate::dialect::{Dialect, STREAM_CHUNK, StreamEnds, StreamShape};
use crate::schedule::{PATIENCE, Phase, READ_BYTES, Schedule, with_helper};
use crate::unframe::Unframer;
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
    /// Time measured.
    pub seconds: f64,
    /// Bytes of data that arrived for each second.
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
    let shape = StreamShape { window: plan.window, tiny: false };
    check(&shape)?;
    progress(0.0, "connecting");
    let StreamEnds { sender, chunk, credits, receiver, framing, credit, keep } =
        dialect.open_stream(&shape)?;
    let time_limits = || {
        sender.set_read_timeout(Some(PATIENCE))?;
        receiver.set_read_timeout(Some(PATIENCE))
    };
    time_limits().map_err(BenchError::system("setting a time limit"))?;
    let name = dialect.name();
    let window = plan.window as usize;
    let stop = AtomicBool::new(false);
    let report = thread::scope(|scope| {
        let sending = scope.spawn(|| {
            let mut outgoing = Outgoing { dialect: name, chunk, credits, left: window };
            let sent = outgoing.send(&sender, &stop);
            if sent.is_err() {
                // Nothing more comes for the receiver to wait for. It may be closed already.
                let _ = receiver.shutdown();
            }
            sent
        });
        let mut incoming = Incoming {
            dialect: name,
            unframer: Unframer::new(framing),
            credit,
            half: window / 2,
            owed: 0,
            buffer: vec![0; READ_BYTES],
        };
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
    report
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
    credits: Option<Box<dyn crate::dialect::Credits>>,
    /// Bytes of data that may be sent, if they are counted.
    left: usize,
}

impl Outgoing {
    /// Writes until told to stop.
    fn send(&mut self, mut stream: &Connection, stop: &AtomicBool) -> Result<(), BenchError> {
        let batch = self.chunk.repeat(BATCH);
        let mut buffer = vec![0; READ_BYTES];
        while !stop.load(Ordering::Acquire) {
            let result = match (self.left / STREAM_CHUNK).min(BATCH) {
                0 => self.wait(stream, &mut buffer),
                chunks => {
                    if self.credits.is_some() {
                        self.left -= chunks * STREAM_CHUNK;
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
    unframer: Unframer,
    /// Written for each half of the window.
    credit: Vec<u8>,
    half: usize,
    /// Bytes of data for which no credit was given yet.
    owed: usize,
    buffer: Vec<u8>,
}

impl Incoming {
    fn measure(
        &mut self,
        stream: &Connection,
        plan: &Plan,
        progress: &mut Progress<'_>,
    ) -> Result<Report, BenchError> {
        let mut schedule = Schedule::start(plan.warm_up, plan.duration, progress);
        let mut arrived = 0;
        loop {
            let count = self.take(stream)?;
            let phase = schedule.step(Instant::now());
            if phase != Phase::WarmUp {
                arrived += count as u64;
            }
            if let Phase::Over { seconds } = phase {
                return Ok(Report {
                    dialect: self.dialect,
                    window: plan.window,
                    seconds,
                    bytes_per_second: arrived as f64 / seconds,
                });
            }
        }
    }

    /// Reads once, and gives credit; how many bytes of data there were.
    fn take(&mut self, mut stream: &Connection) -> Result<usize, BenchError> {
        let dialect = self.dialect;
        let failed = |doing| move |source| BenchError::Io { dialect, doing, source };
        let count = read(stream, &mut self.buffer).map_err(failed("waiting for data"))?;
        let mut data = 0;
        self.unframer
            .feed(&self.buffer[..count], |run| data += run.len())
            .map_err(|reason| BenchError::OutOfStep { dialect, reason })?;
        if !self.credit.is_empty() {
            self.owed += data;
            while self.owed >= self.half {
                self.owed -= self.half;
                stream.write_all(&self.credit).map_err(failed("giving credit"))?;
            }
        }
        Ok(data)
    }
}
