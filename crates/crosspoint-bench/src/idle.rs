//! Many quiet connections: how much memory the server holds for each.

use std::fs;
use std::io::Write;
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::connection::Connection;
use crate::dialect::{Dialect, IdleState, KEEPALIVE_EVERY};
use crate::{BenchError, Progress, raise_file_limit};

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Number of connections.
    pub connections: usize,
    /// What each does before it goes quiet.
    pub state: IdleState,
    /// The server's process, on this machine.
    pub server_pid: u32,
    /// Time between the last handshake and the measurement.
    pub settle: Duration,
}

impl Plan {
    /// 10,000 members, measured half a second after the last of them.
    pub fn new(server_pid: u32) -> Plan {
        Plan {
            connections: 10_000,
            state: IdleState::Member,
            server_pid,
            settle: Duration::from_millis(500),
        }
    }
}

/// What came out.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Protocol used.
    pub dialect: &'static str,
    /// Number of connections.
    pub connections: usize,
    /// What each had done.
    pub state: IdleState,
    /// Connections with handshake opened for each second, one after the other.
    pub opened_per_second: f64,
    /// The server's resident memory before, in bytes.
    pub resident_before: u64,
    /// The server's resident memory with all connections, in bytes.
    pub resident_after: u64,
    /// Growth for each connection, in bytes. `None` if it was so little that the server must have
    /// used memory that it had left from earlier connections.
    pub bytes_per_connection: Option<f64>,
}

/// Open files of this process besides the connections.
const OTHER_FILES: u64 = 200;

/// No server needs less for a connection.
const LEAST_BYTES: f64 = 2048.0;

/// Connections between two calls of the progress callback.
const TOLD_EVERY: usize = 100;

/// Runs the plan. Raises this process's file limit as far as allowed.
///
/// # Errors
///
/// Any [`BenchError`]; [`BenchError::Memory`] where there is no `/proc` or no such process.
pub fn run(
    dialect: &dyn Dialect,
    plan: &Plan,
    progress: &mut Progress<'_>,
) -> Result<Report, BenchError> {
    if !dialect.has_server() {
        return Err(BenchError::Unsupported { dialect: dialect.name(), workload: "idle" });
    }
    let files = raise_file_limit()?;
    if plan.connections == 0 || plan.connections as u64 + OTHER_FILES > files {
        return Err(BenchError::Plan(format!(
            "{} connections were asked for; the limit of open files ({files}, see ulimit -Hn) \
             allows 1 to {}",
            plan.connections,
            files.saturating_sub(OTHER_FILES)
        )));
    }
    let resident_before = resident_bytes(plan.server_pid)?;
    let start = Instant::now();
    let streams = dialect.open_idle(plan.state, plan.connections, &mut |opened| {
        if opened % TOLD_EVERY == 0 {
            progress(opened as f64 / plan.connections as f64, "connecting");
        }
    })?;
    let seconds = start.elapsed().as_secs_f64();
    settle(&streams, dialect, plan.settle)?;
    let resident_after = resident_bytes(plan.server_pid)?;
    drop(streams);
    progress(1.0, "done");
    Ok(Report {
        dialect: dialect.name(),
        connections: plan.connections,
        state: plan.state,
        opened_per_second: plan.connections as f64 / seconds,
        resident_before,
        resident_after,
        bytes_per_connection: growth(resident_before, resident_after, plan.connections),
    })
}

/// What a server needs for each connection, if that can be told.
fn growth(before: u64, after: u64, connections: usize) -> Option<f64> {
    let bytes = (after as f64 - before as f64) / connections as f64;
    (bytes >= LEAST_BYTES).then_some(bytes)
}

/// Waits; the connections send keepalives where the protocol wants them.
fn settle(streams: &[Connection], dialect: &dyn Dialect, time: Duration) -> Result<(), BenchError> {
    let Some(keepalive) = dialect.keepalive() else {
        thread::sleep(time);
        return Ok(());
    };
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        thread::sleep(left.min(KEEPALIVE_EVERY));
        if left <= KEEPALIVE_EVERY {
            return Ok(());
        }
        for mut stream in streams {
            stream.write_all(&keepalive).map_err(|source| BenchError::Io {
                dialect: dialect.name(),
                doing: "sending a keepalive",
                source,
            })?;
        }
    }
}

/// Resident memory of a process on this machine, in bytes.
///
/// # Errors
///
/// [`BenchError::Memory`] where there is no `/proc` or no such process.
pub fn resident_bytes(pid: u32) -> Result<u64, BenchError> {
    let failed = |reason| BenchError::Memory { pid, reason };
    let status = fs::read_to_string(format!("/proc/{pid}/status"))
        .map_err(|error| failed(error.to_string()))?;
    let kibibytes = status.lines().find_map(|line| {
        let number = line.strip_prefix("VmRSS:")?.trim().strip_suffix("kB")?;
        number.trim().parse::<u64>().ok()
    });
    Ok(kibibytes.ok_or_else(|| failed("no VmRSS line".into()))? * 1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn memory_that_a_server_had_left_is_not_taken_for_what_connections_need() {
        assert_eq!(growth(20_000_000, 26_000_000, 1000), Some(6000.0));
        for after in [20_000_000, 20_300_000, 19_000_000] {
            assert_eq!(growth(20_000_000, after, 1000), None, "{after}");
        }
    }
}
