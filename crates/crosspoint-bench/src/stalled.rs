//! Streams whose receivers neither read nor give credit any more: how much memory the server holds
//! for each.

use std::io::Write;
use std::thread;
use std::time::Duration;

use serde::Serialize;

use crate::dialect::{Dialect, StreamShape};
use crate::idle::resident_bytes;
use crate::schedule::PATIENCE;
use crate::{BenchError, Progress, raise_file_limit, stream};

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Number of streams, each between two connections of its own.
    pub streams: usize,
    /// Window of each, in bytes: 2 times [`STREAM_CHUNK`](crate::dialect::STREAM_CHUNK) to 1 GiB. All of it is sent.
    pub window: u32,
    /// The server's process, on this machine.
    pub server_pid: u32,
    /// Time between the last byte sent and the measurement.
    pub settle: Duration,
}

impl Plan {
    /// 200 streams with a window of 512 KiB.
    pub fn new(server_pid: u32) -> Plan {
        Plan { streams: 200, window: 512 << 10, server_pid, settle: Duration::from_millis(500) }
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Protocol used.
    pub dialect: &'static str,
    /// Number of streams.
    pub streams: usize,
    /// Window of each, in bytes.
    pub window: u32,
    /// The server's resident memory with all streams open and nothing sent, in bytes.
    pub resident_before: u64,
    /// The server's resident memory with all windows sent, in bytes.
    pub resident_after: u64,
    /// Growth for each stream, in bytes; negative if the server shrank meanwhile.
    pub bytes_per_stream: f64,
}

/// Open files of this process besides the connections.
const OTHER_FILES: u64 = 200;

/// Runs the plan. Raises this process's file limit as far as allowed.
///
/// # Errors
///
/// Any [`BenchError`]; [`BenchError::Memory`] where there is no `/proc` or no such process;
/// [`BenchError::Unsupported`] if the protocol has no window for a stream, so that a receiver who
/// stops stops the sender's connection.
pub fn run(
    dialect: &dyn Dialect,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    let shape = StreamShape { window: plan.window, tiny: true };
    stream::check(&shape)?;
    let files = raise_file_limit()?;
    let most = files.saturating_sub(OTHER_FILES) / 2;
    if plan.streams == 0 || plan.streams as u64 > most {
        return Err(BenchError::Plan(format!(
            "{} streams were asked for; the limit of open files ({files}, see ulimit -Hn) allows \
             1 to {most}",
            plan.streams
        )));
    }
    let mut ends = Vec::with_capacity(plan.streams);
    for opened in 0..plan.streams {
        progress(opened as f64 / plan.streams as f64 / 2.0, "connecting");
        let stream = dialect.open_stream(&shape)?;
        if stream.credits.is_none() {
            return Err(BenchError::Unsupported { dialect: dialect.name(), workload: "stalled" });
        }
        ends.push(stream);
    }
    let resident_before = resident_bytes(plan.server_pid)?;
    for (index, stream) in ends.iter().enumerate() {
        progress(0.5 + index as f64 / plan.streams as f64 / 2.0, "sending");
        let window = stream.chunk.repeat(stream.window / stream.chunk_bytes);
        let send = || {
            stream.sender.set_write_timeout(Some(PATIENCE))?;
            (&stream.sender).write_all(&window)
        };
        send().map_err(|source| BenchError::Io {
            dialect: dialect.name(),
            doing: "sending to a receiver that has stopped",
            source,
        })?;
    }
    thread::sleep(plan.settle);
    let resident_after = resident_bytes(plan.server_pid)?;
    drop(ends);
    progress(1.0, "done");
    let growth = resident_after as f64 - resident_before as f64;
    Ok(Report {
        dialect: dialect.name(),
        streams: plan.streams,
        window: plan.window,
        resident_before,
        resident_after,
        bytes_per_stream: growth / plan.streams as f64,
    })
}
