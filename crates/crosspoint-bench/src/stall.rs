//! Broadcasts at a fixed rate, first with all members reading, then with one that never reads:
//! what does that one cost the others?
//!
//! The rate does not follow the server (open loop). Each message carries the time it was sent. If
//! the sender is late because the server did not take the message before, the time is the one at
//! which it was due, so that waiting caused by the server is counted.

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use serde::Serialize;

use crate::connection::{Connection, Found, Receiver};
use crate::dialect::{Dialect, Fanout, FanoutShape};
use crate::fanout::write_all;
use crate::latency::{Latency, Recorder};
use crate::receivers::{Discard, Receivers, prove};
use crate::schedule::{READ_BYTES, TICK};
use crate::unframe::Unframer;
use crate::{BenchError, Progress};

/// What to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Plan {
    /// Number of members; in the second part the last of them never reads.
    pub members: usize,
    /// Broadcasts for each second.
    pub rate: u32,
    /// Data bytes of a message, at least 8.
    pub payload: usize,
    /// Time before measuring begins, in each of the two parts.
    pub warm_up: Duration,
    /// Time measured, in each of the two parts.
    pub duration: Duration,
}

impl Default for Plan {
    fn default() -> Plan {
        Plan {
            members: 1000,
            rate: 1000,
            payload: 64,
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
    /// Number of members.
    pub members: usize,
    /// Broadcasts for each second that were asked for.
    pub rate: u32,
    /// Data bytes of a message.
    pub payload: usize,
    /// With all members reading.
    pub all_read: Part,
    /// With one member that never reads.
    pub one_stalled: Part,
}

/// One of the two parts.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Part {
    /// Broadcasts for each second that the server took.
    pub sent_per_second: f64,
    /// From sending to having read, at all members that read.
    pub latency: Latency,
    /// Deliveries to members that read which had not arrived when the end was waited for.
    pub missing: u64,
    /// Whether the member that never read was disconnected by the server.
    pub stalled_dropped: bool,
}

/// After the last broadcast: the end has come when nothing arrives for so long.
const QUIET: Duration = Duration::from_secs(2);

/// A server that is so far behind cannot do this rate; what it still owes is reported as missing.
const PATIENCE: Duration = Duration::from_secs(10);

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
    if plan.members < 2 || plan.rate == 0 || plan.payload < STAMP {
        return Err(BenchError::Plan(format!(
            "at least 2 members, a rate of 1 and a payload of {STAMP} bytes are needed"
        )));
    }
    // Times are written into the messages as bytes.
    if !dialect.has_server() || !dialect.carries_any_bytes() {
        return Err(BenchError::Unsupported { dialect: dialect.name(), workload: "stall" });
    }
    let all_read = part(dialect, plan, 0, &mut |done, text| progress(done / 2.0, text))?;
    let one_stalled = part(dialect, plan, 1, &mut |done, text| progress(0.5 + done / 2.0, text))?;
    Ok(Report {
        dialect: dialect.name(),
        members: plan.members,
        rate: plan.rate,
        payload: plan.payload,
        all_read,
        one_stalled,
    })
}

/// Bytes of the time in a payload.
const STAMP: usize = size_of::<u64>();

fn part(
    dialect: &dyn Dialect,
    plan: &Plan,
    stalled: usize,
    progress: &mut Progress<'_>,
) -> Result<Part, BenchError> {
    progress(0.0, "connecting");
    let shape = FanoutShape { receivers: plan.members, tiny: stalled, payload: plan.payload };
    let mut fanout = dialect.open_fanout(&shape)?;
    let readers = plan.members - stalled;
    prove(dialect.name(), &fanout, plan.payload, readers)?;

    let mut streams = std::mem::take(&mut fanout.receivers);
    let silent = streams.split_off(readers);
    let mut receivers = Receivers::new(streams)?;
    let clock =
        Clock { start: Instant::now(), sent: AtomicU64::new(0), ended: AtomicBool::new(false) };
    let mut members = Members {
        dialect: dialect.name(),
        clock: &clock,
        warm_up: plan.warm_up,
        payload: plan.payload,
        recorder: Recorder::new(),
        members: vec![Member::new(Unframer::new(fanout.framing.clone())); readers],
        received: 0,
    };
    thread::scope(|scope| {
        let sender = scope.spawn(|| send(dialect.name(), &fanout, plan, &clock));
        let read = members.read_all(&mut receivers, plan, progress);
        for source in &fanout.sources {
            // Ends a sender that waits for a server that takes nothing; else it is done anyway.
            let _ = source.shutdown();
        }
        let sent = match sender.join() {
            Ok(sent) => sent,
            Err(panic) => std::panic::resume_unwind(panic),
        };
        read?;
        let (sent, time) = sent?;
        Ok(Part {
            sent_per_second: sent as f64 / time.as_secs_f64(),
            latency: members.recorder.latency(),
            missing: (sent * readers as u64).saturating_sub(members.received),
            stalled_dropped: silent.into_iter().any(was_dropped),
        })
    })
}

/// What the sender tells the reader.
struct Clock {
    /// What the times in the messages count from.
    start: Instant,
    /// Broadcasts written so far.
    sent: AtomicU64,
    /// The sender has ended.
    ended: AtomicBool,
}

/// Writes the broadcasts; returns their number and the time it took.
fn send(
    dialect: &'static str,
    fanout: &Fanout,
    plan: &Plan,
    clock: &Clock,
) -> Result<(u64, Duration), BenchError> {
    let period = Duration::from_secs(1) / plan.rate;
    let whole = plan.warm_up + plan.duration;
    let mut message = fanout.message.bytes.clone();
    let mut due = Duration::ZERO;
    let mut sent = 0;
    let mut result = Ok(());
    let mut free_since = Duration::ZERO;
    while due < whole {
        let mut now = clock.start.elapsed();
        if now >= whole + QUIET {
            break;
        }
        if now < due {
            thread::sleep(due - now);
            now = clock.start.elapsed();
        }
        // Late because the server kept us, or because this thread slept too long?
        let stamp = if free_since > due { due } else { now };
        for &at in &fanout.message.payloads {
            message[at..at + STAMP].copy_from_slice(&(stamp.as_nanos() as u64).to_le_bytes());
        }
        if let Err(source) = write_all(&fanout.sources, &message) {
            // The reader gave up on a server that takes nothing: that is a result, too.
            if now < whole {
                result = Err(BenchError::Io { dialect, doing: "sending broadcasts", source });
            }
            break;
        }
        sent += 1;
        clock.sent.store(sent, Ordering::Release);
        free_since = clock.start.elapsed();
        due += period;
    }
    clock.ended.store(true, Ordering::Release);
    result.map(|()| (sent, clock.start.elapsed().max(whole)))
}

/// Where one member is in its stream.
#[derive(Clone)]
struct Member {
    unframer: Unframer,
    /// Data bytes of the present message so far.
    filled: usize,
    stamp: [u8; STAMP],
}

impl Member {
    fn new(unframer: Unframer) -> Member {
        Member { unframer, filled: 0, stamp: [0; STAMP] }
    }
}

struct Members<'a> {
    dialect: &'static str,
    clock: &'a Clock,
    warm_up: Duration,
    payload: usize,
    recorder: Recorder,
    members: Vec<Member>,
    received: u64,
}

impl Members<'_> {
    /// Reads until everything has arrived, or nothing does any more.
    fn read_all(
        &mut self,
        receivers: &mut Receivers,
        plan: &Plan,
        progress: &mut Progress<'_>,
    ) -> Result<(), BenchError> {
        let whole = plan.warm_up + plan.duration;
        let mut told = Duration::ZERO;
        let mut quiet_since = (0, Duration::ZERO);
        let mut buffer = vec![0; READ_BYTES];
        loop {
            let mut wrong = None;
            receivers.sweep(TICK, |index, receiver| {
                receiver.read(&mut buffer, |bytes| {
                    if let Err(reason) = self.take(index, bytes) {
                        wrong = Some(reason);
                    }
                })
            })?;
            if let Some(reason) = wrong {
                return Err(BenchError::OutOfStep { dialect: self.dialect, reason });
            }
            let now = self.clock.start.elapsed();
            if self.received > quiet_since.0 {
                quiet_since = (self.received, now);
            }
            let sent = self.clock.sent.load(Ordering::Acquire);
            let ended = self.clock.ended.load(Ordering::Acquire);
            let all = ended && self.received >= sent * self.members.len() as u64;
            let quiet = now >= whole && now - quiet_since.1 >= QUIET;
            if all || quiet || now >= whole + PATIENCE {
                return Ok(());
            }
            if now - told >= TICK {
                told = now;
                let text = if now >= plan.warm_up { "measuring" } else { "warming up" };
                progress((now.as_secs_f64() / whole.as_secs_f64()).min(1.0), text);
            }
        }
    }

    /// Looks into the bytes just read for one member.
    fn take(&mut self, index: usize, bytes: &[u8]) -> Result<(), &'static str> {
        let now = self.clock.start.elapsed();
        let Members { members, recorder, received, payload, warm_up, .. } = self;
        let Member { unframer, filled, stamp } = &mut members[index];
        unframer.feed(bytes, |mut data| {
            while !data.is_empty() {
                let (here, rest) = data.split_at(data.len().min(*payload - *filled));
                if *filled < STAMP {
                    let stamped = here.len().min(STAMP - *filled);
                    stamp[*filled..*filled + stamped].copy_from_slice(&here[..stamped]);
                }
                *filled += here.len();
                data = rest;
                if *filled == *payload {
                    *filled = 0;
                    *received += 1;
                    if now >= *warm_up {
                        let sent = Duration::from_nanos(u64::from_le_bytes(*stamp));
                        recorder.record(now.saturating_sub(sent), 1);
                    }
                }
            }
        })
    }
}

/// Whether the server has closed this connection. TLS says nothing more of it.
fn was_dropped(connection: Connection) -> bool {
    let Ok(mut receiver) = Receiver::new(connection.into_socket().into()) else {
        return true;
    };
    let mut discard = Discard::new(false);
    loop {
        match discard.read(&mut receiver, |_| {}) {
            Ok(Found::End) => return true,
            Ok(_) => {}
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(error) => return error.kind() != std::io::ErrorKind::WouldBlock,
        }
    }
}
