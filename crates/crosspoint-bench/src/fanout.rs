//! One sender, N receivers: how many deliveries a second.
//!
//! The sender writes prepared batches as fast as the slowest receiver allows: it may be ahead of
//! it by a window, so a hub is never short of work and never has to drop anybody.

use std::io::{self, Read, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::connection::Connection;
use crate::dialect::{Dialect, Fanout, FanoutShape, KEEPALIVE_EVERY};
use crate::receivers::{Discard, Receivers, prove};
use crate::schedule::{Phase, READ_BYTES, Schedule, TICK};
use crate::unframe::Unframer;
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
    /// Inside TLS, and where deliveries differ in length, they are always copied.
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
    let unit = fanout.delivery_bytes.unwrap_or(plan.payload) as u64;
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(dialect.name(), &fanout, plan, &flow));
        for source in fanout.sources.iter().filter(|_| fanout.answered) {
            scope.spawn(|| take_answers(source));
        }
        let mut reader = Reader {
            flow: &flow,
            sender: sender.thread().clone(),
            taker: Taker::new(dialect.name(), &fanout, plan),
            keepalive: dialect.keepalive(),
            kept_alive: Instant::now(),
            seen: vec![0; plan.receivers],
            counted: 0,
            bytes: 0,
            unit,
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
            let _ = source.shutdown();
        }
        let sent = match sender.join() {
            Ok(sent) => sent,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        let Measured { counted, bytes, seconds } = drained?;
        let expected = sent? * unit;
        let missing: u64 = reader.seen.iter().map(|seen| expected.saturating_sub(*seen)).sum();
        let deliveries = counted / unit;
        Ok(Report {
            dialect: dialect.name(),
            receivers: plan.receivers,
            payload: plan.payload,
            seconds,
            deliveries,
            deliveries_per_second: deliveries as f64 / seconds,
            bytes_per_second: bytes as f64 / seconds,
            missing: missing.div_ceil(unit),
        })
    })
}

/// What arrived in the measured time.
#[derive(Default)]
struct Measured {
    /// In the unit that deliveries are counted in.
    counted: u64,
    bytes: u64,
    seconds: f64,
}

/// What sender and reader know of each other.
#[derive(Default)]
struct Flow {
    /// What every receiver has, in the unit that deliveries are counted in: all bytes, or only data
    /// bytes where the rest differs from delivery to delivery.
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
    let unit = fanout.delivery_bytes.unwrap_or(plan.payload) as u64;
    let window = (plan.window as u64 / unit).max(2);
    let messages = ((plan.batch / fanout.message.bytes.len()) as u64).clamp(1, window / 2);
    let batch = fanout.message.bytes.repeat(messages as usize);
    let mut sent = 0;
    let result = loop {
        let wanted = (sent + messages).saturating_sub(window) * unit;
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

/// Takes what the server answers to a source, until the connection ends: how, the sender hears.
fn take_answers(mut source: &Connection) {
    let mut buffer = vec![0; READ_BYTES];
    loop {
        match source.read(&mut buffer) {
            Ok(1..) => {}
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Ok(0) | Err(_) => return,
        }
    }
}

pub(crate) fn write_all(sources: &[Connection], bytes: &[u8]) -> io::Result<()> {
    sources.iter().try_for_each(|mut source| source.write_all(bytes))
}

/// Takes what has arrived and counts it.
enum Taker {
    /// All bytes.
    Bytes(Discard),
    /// Data bytes only.
    Data { dialect: &'static str, unframers: Vec<Unframer>, buffer: Vec<u8> },
}

impl Taker {
    fn new(dialect: &'static str, fanout: &Fanout, plan: &Plan) -> Taker {
        if fanout.delivery_bytes.is_some() {
            return Taker::Bytes(Discard::new(plan.copy));
        }
        let unframers = vec![Unframer::new(fanout.framing.clone()); plan.receivers];
        Taker::Data { dialect, unframers, buffer: vec![0; READ_BYTES] }
    }

    /// Takes something from each receiver that has something. Calls `took` with the receiver's
    /// index, the number of bytes, and what they count.
    fn sweep(
        &mut self,
        receivers: &mut Receivers,
        mut took: impl FnMut(usize, u64, u64),
    ) -> Result<(), BenchError> {
        match self {
            Taker::Bytes(discard) => receivers.sweep(TICK, |index, receiver| {
                discard.read(receiver, |count| took(index, count as u64, count as u64))
            }),
            Taker::Data { dialect, unframers, buffer } => {
                let mut wrong = None;
                receivers.sweep(TICK, |index, receiver| {
                    receiver.read(buffer, |bytes| {
                        let mut data = 0;
                        let fed = unframers[index].feed(bytes, |run| data += run.len());
                        wrong = wrong.or(fed.err());
                        took(index, bytes.len() as u64, data as u64);
                    })
                })?;
                wrong.map_or(Ok(()), |reason| Err(BenchError::OutOfStep { dialect, reason }))
            }
        }
    }
}

struct Reader<'a> {
    flow: &'a Flow,
    sender: thread::Thread,
    taker: Taker,
    keepalive: Option<Vec<u8>>,
    kept_alive: Instant,
    /// What has arrived at each receiver, in the counted unit.
    seen: Vec<u64>,
    counted: u64,
    bytes: u64,
    /// Of one delivery.
    unit: u64,
}

impl Reader<'_> {
    fn measure(
        &mut self,
        receivers: &mut Receivers,
        plan: &Plan,
        progress: &mut Progress<'_>,
    ) -> Result<Measured, BenchError> {
        let mut schedule = Schedule::start(plan.warm_up, plan.duration, progress);
        let (mut counted, mut bytes) = (0, 0);
        loop {
            self.sweep(receivers)?;
            match schedule.step(Instant::now()) {
                Phase::WarmUp => (counted, bytes) = (self.counted, self.bytes),
                Phase::Measured => {}
                Phase::Over { seconds } => {
                    let (counted, bytes) = (self.counted - counted, self.bytes - bytes);
                    return Ok(Measured { counted, bytes, seconds });
                }
            }
            if self.flow.ended.load(Ordering::Acquire) {
                // Only an error ends the sender before it is told to; its result says which.
                return Ok(Measured::default());
            }
        }
    }

    /// Reads what is still on its way.
    fn drain(&mut self, receivers: &mut Receivers) -> Result<(), BenchError> {
        let mut last = (self.counted, Instant::now());
        while last.1.elapsed() < QUIET {
            self.sweep(receivers)?;
            if self.counted > last.0 {
                last = (self.counted, Instant::now());
            }
            let expected = self.flow.sent.load(Ordering::Acquire) * self.unit;
            if self.flow.ended.load(Ordering::Acquire)
                && self.seen.iter().all(|seen| *seen >= expected)
            {
                break;
            }
        }
        Ok(())
    }

    fn sweep(&mut self, receivers: &mut Receivers) -> Result<(), BenchError> {
        if let Some(keepalive) = &self.keepalive
            && self.kept_alive.elapsed() >= KEEPALIVE_EVERY
        {
            self.kept_alive = Instant::now();
            receivers.write_to_each(keepalive)?;
        }
        let Reader { taker, seen, counted, bytes, .. } = self;
        taker.sweep(receivers, |index, count, units| {
            seen[index] += units;
            *counted += units;
            *bytes += count;
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
