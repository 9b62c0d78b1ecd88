//! One sender, N receivers: how many deliveries a second.
//!
//! The sender writes prepared batches as fast as the slowest receiver allows: it may be ahead of
//! it by a window, so a hub is never short of work and never has to drop anybody.

use std::io::{self, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::dialect::{Dialect, Fanout, FanoutShape};
use crate::receivers::{Discard, Receivers, prove};
use crate::{BenchError, Progress};

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Number of receivers.
    pub receivers: usize,
    /// Data bytes of a message.
    pub payload: usize,
    /// Bytes that may be on the way to each receiver.
    pub window: usize,
    /// Bytes the sender writes at once.
    pub batch: usize,
    /// Whether receivers copy what arrives into memory, as applications do. If not, the system
    /// drops it unseen where it can (Linux), so that receiving costs the server's machine less.
    pub copy: bool,
    /// Time before counting begins.
    pub warm_up: Duration,
    /// Time during which deliveries are counted.
    pub duration: Duration,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            receivers: 100,
            payload: 64,
            window: 1 << 20,
            batch: 64 << 10,
            copy: false,
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
    /// Number of receivers.
    pub receivers: usize,
    /// Data bytes of a message.
    pub payload: usize,
    /// Time counted.
    pub seconds: f64,
    /// Messages that arrived at receivers in that time, summed over all.
    pub deliveries: u64,
    /// The same for each second.
    pub deliveries_per_second: f64,
    /// Bytes that arrived, framing included, for each second.
    pub bytes_per_second: f64,
    /// Deliveries of the whole run that had not arrived when the end was waited for: 0 if the
    /// server loses nothing.
    pub missing: u64,
}

/// How often progress is told and the clock decides.
const TICK: Duration = Duration::from_millis(50);

/// The reader rests between two rounds over the receivers: while it does, servers need not wake it
/// for each write, and more arrives for each read. At the highest rates this is a small part of
/// the window.
const REST: Duration = Duration::from_micros(100);

/// After the sender has stopped: the end has come when nothing arrives for so long.
const QUIET: Duration = Duration::from_secs(2);

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
    if plan.receivers == 0 || plan.payload == 0 {
        return Err(BenchError::Plan("receivers and payload must be at least 1".into()));
    }
    progress(0.0, "connecting");
    let shape = FanoutShape { receivers: plan.receivers, tiny: 0, payload: plan.payload };
    let mut fanout = dialect.open_fanout(&shape)?;
    prove(dialect.name(), &fanout, plan.payload, plan.receivers)?;

    let mut receivers = Receivers::new(std::mem::take(&mut fanout.receivers))?;
    let flow = Flow::default();
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(dialect.name(), &fanout, plan, &flow));
        let mut reader = Reader {
            flow: &flow,
            sender: sender.thread().clone(),
            discard: Discard::new(plan.copy),
            seen: vec![0; plan.receivers],
            total: 0,
            delivery_bytes: fanout.delivery_bytes as u64,
        };
        let measured = reader.measure(&mut receivers, plan, progress);
        flow.stop.store(true, Ordering::Release);
        let drained = measured.and_then(|counted| {
            reader.drain(&mut receivers)?;
            Ok(counted)
        });
        // A sender that is still writing does so to a server that takes nothing any more.
        for source in &fanout.sources {
            // Already closed by the other side: just as well.
            let _ = source.shutdown(Shutdown::Both);
        }
        let sent = match sender.join() {
            Ok(sent) => sent,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let (bytes, time) = drained?;
        let expected = sent? * reader.delivery_bytes;
        let seconds = time.as_secs_f64();
        let missing_bytes: u64 =
            reader.seen.iter().map(|seen| expected.saturating_sub(*seen)).sum();
        let deliveries = bytes / reader.delivery_bytes;
        progress(1.0, "done");
        Ok(Report {
            dialect: dialect.name(),
            receivers: plan.receivers,
            payload: plan.payload,
            seconds,
            deliveries,
            deliveries_per_second: deliveries as f64 / seconds,
            bytes_per_second: bytes as f64 / seconds,
            missing: missing_bytes.div_ceil(reader.delivery_bytes),
        })
    })
}

/// What sender and reader know of each other.
#[derive(Default)]
struct Flow {
    /// Bytes that every receiver has.
    arrived: AtomicU64,
    /// The sender sleeps until `arrived` has at least this value; 0 if it does not sleep. Each
    /// side stores its own and then loads the other's, both sequentially consistent, so that at
    /// least one of them sees the other's store and nobody sleeps for nothing.
    wanted: AtomicU64,
    /// The sender is to end.
    stop: AtomicBool,
    /// The sender has ended, after so many messages.
    ended: AtomicBool,
    sent: AtomicU64,
}

/// Writes batches until told to stop; returns the number of messages.
fn send(
    dialect: &'static str,
    fanout: &Fanout,
    plan: &Plan,
    flow: &Flow,
) -> Result<u64, BenchError> {
    let delivery_bytes = fanout.delivery_bytes as u64;
    let window = (plan.window as u64 / delivery_bytes).max(2);
    let messages = ((plan.batch / fanout.message.bytes.len()) as u64).clamp(1, window / 2);
    let batch = fanout.message.bytes.repeat(messages as usize);
    let mut sent = 0;
    let result = loop {
        let wanted = (sent + messages).saturating_sub(window) * delivery_bytes;
        if flow.arrived.load(Ordering::Acquire) < wanted {
            flow.wanted.store(wanted, Ordering::SeqCst);
            while flow.arrived.load(Ordering::SeqCst) < wanted && !flow.stop.load(Ordering::Acquire)
            {
                thread::park_timeout(TICK);
            }
            flow.wanted.store(0, Ordering::SeqCst);
        }
        if flow.stop.load(Ordering::Acquire) {
            break Ok(sent);
        }
        if let Err(error) = write_all(&fanout.sources, &batch) {
            break match flow.stop.load(Ordering::Acquire) {
                true => Ok(sent),
                false => {
                    Err(BenchError::Io { dialect, doing: "sending broadcasts", source: error })
                }
            };
        }
        sent += messages;
    };
    flow.sent.store(sent, Ordering::Release);
    flow.ended.store(true, Ordering::Release);
    result
}

pub(crate) fn write_all(sources: &[TcpStream], bytes: &[u8]) -> io::Result<()> {
    sources.iter().try_for_each(|mut source| source.write_all(bytes))
}

struct Reader<'a> {
    flow: &'a Flow,
    sender: thread::Thread,
    discard: Discard,
    /// Bytes that have arrived at each receiver.
    seen: Vec<u64>,
    total: u64,
    delivery_bytes: u64,
}

impl Reader<'_> {
    /// Bytes that arrived in the measured time, and that time.
    fn measure(
        &mut self,
        receivers: &mut Receivers,
        plan: &Plan,
        progress: &mut Progress<'_>,
    ) -> Result<(u64, Duration), BenchError> {
        let start = Instant::now();
        let mut told = start;
        let mut begin = None;
        loop {
            self.sweep(receivers)?;
            let now = Instant::now();
            if begin.is_none() && now - start >= plan.warm_up {
                begin = Some((self.total, now));
            }
            if let Some((bytes, since)) = begin
                && now - since >= plan.duration
            {
                return Ok((self.total - bytes, now - since));
            }
            if self.flow.ended.load(Ordering::Acquire) {
                // Only an error ends the sender before it is told to; its result says which.
                return Ok((0, now - start));
            }
            if now - told >= TICK {
                told = now;
                let whole = plan.warm_up + plan.duration;
                let text = if begin.is_some() { "measuring" } else { "warming up" };
                progress(((now - start).as_secs_f64() / whole.as_secs_f64()).min(1.0), text);
            }
        }
    }

    /// Reads what is still on its way.
    fn drain(&mut self, receivers: &mut Receivers) -> Result<(), BenchError> {
        let mut last = (self.total, Instant::now());
        while last.1.elapsed() < QUIET {
            self.sweep(receivers)?;
            if self.total > last.0 {
                last = (self.total, Instant::now());
            }
            let expected = self.flow.sent.load(Ordering::Acquire) * self.delivery_bytes;
            if self.flow.ended.load(Ordering::Acquire)
                && self.seen.iter().all(|seen| *seen >= expected)
            {
                break;
            }
        }
        Ok(())
    }

    fn sweep(&mut self, receivers: &mut Receivers) -> Result<(), BenchError> {
        let Reader { discard, seen, total, .. } = self;
        receivers.sweep(TICK, discard.capacity(), |index, stream| {
            let count = discard.read(stream)?;
            seen[index] += count as u64;
            *total += count as u64;
            Ok(count)
        })?;
        let arrived = self.seen.iter().min().copied().unwrap_or(0);
        self.flow.arrived.store(arrived, Ordering::SeqCst);
        let wanted = self.flow.wanted.load(Ordering::SeqCst);
        if wanted > 0 && arrived >= wanted {
            self.sender.unpark();
        }
        thread::sleep(REST);
        Ok(())
    }
}
