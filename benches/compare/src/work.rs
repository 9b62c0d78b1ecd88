//! Workloads by name, and their results as plain numbers.

use std::fmt;
use std::str::FromStr;
use std::time::Duration;

use crosspoint_bench::dialect::IdleState;
use crosspoint_bench::{
    BenchError, Dialect, fanout, idle, relay, requests, stall, stalled, stream,
};
use serde::Serialize;

use crate::cpu::Watch;
use crate::target::Target;

/// A workload with its size.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Work {
    Fanout { receivers: usize },
    Relay { in_flight: usize },
    Stall { members: usize },
    Idle { connections: usize },
    Requests { in_flight: usize, payload: Option<usize> },
    Pairs { pairs: usize, in_flight: usize },
    Stream { window_kib: u32 },
    Streams { streams: usize },
    Stalled { streams: usize },
}

/// What all runs have in common.
#[derive(Debug, Clone)]
pub(crate) struct Settings {
    pub(crate) payload: usize,
    pub(crate) rate: u32,
    pub(crate) window: usize,
    pub(crate) batch: usize,
    pub(crate) copy: bool,
    pub(crate) idle_state: IdleState,
    pub(crate) warm_up: Duration,
    pub(crate) duration: Duration,
}

impl Settings {
    /// The peote server in Perl takes time that grows with the square of what is queued: it is at
    /// its best with one message at a time, or a few where there is only one receiver. AnySocket has
    /// no channels to be a member of, and for the plugin a connection is idle that has a name.
    pub(crate) fn suited_to(mut self, target: Target, work: Work) -> Settings {
        if matches!(target, Target::Anysocket | Target::Npm | Target::Socketio | Target::Plugin) {
            self.idle_state = IdleState::Connected;
        }
        if let (Target::Perl, Work::Fanout { receivers }) = (target, work) {
            self.window = self.window.min(if receivers == 1 { 16 << 10 } else { 1 });
        }
        self
    }
}

/// One number of a run.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub(crate) struct Measure {
    pub(crate) name: &'static str,
    pub(crate) unit: &'static str,
    pub(crate) value: f64,
}

impl Work {
    /// Memory that was used once is not given back: only a new process shows what it needs.
    pub(crate) fn wants_fresh_server(self) -> bool {
        matches!(self, Work::Idle { .. } | Work::Stalled { .. })
    }

    pub(crate) fn run(
        self,
        dialect: &dyn Dialect,
        settings: &Settings,
        pid: Option<u32>,
    ) -> Result<Vec<Measure>, BenchError> {
        let Settings { payload, rate, window, batch, copy, idle_state, warm_up, duration } =
            *settings;
        let mut watch = pid.map(Watch::new);
        let progress: &mut crosspoint_bench::Progress<'_> = &mut |_, doing| {
            if let Some(watch) = &mut watch {
                watch.tell(doing);
            }
        };
        let measure = |name, unit, value| Measure { name, unit, value };
        let mut measures = match self {
            Work::Fanout { receivers } => {
                let plan =
                    fanout::Plan { receivers, payload, window, batch, copy, warm_up, duration };
                let report = fanout::run(dialect, &plan, progress)?;
                vec![
                    measure("deliveries", "/s", report.deliveries_per_second),
                    measure("missing", "", report.missing as f64),
                ]
            }
            Work::Relay { in_flight } => {
                let plan = relay::Plan { in_flight, payload, warm_up, duration };
                let report = relay::run(dialect, &plan, progress)?;
                vec![
                    measure("round trips", "/s", report.round_trips_per_second),
                    measure("p50", "us", report.latency.p50),
                    measure("p99", "us", report.latency.p99),
                    measure("p99.9", "us", report.latency.p999),
                ]
            }
            Work::Stall { members } => {
                let plan = stall::Plan { members, rate, payload, warm_up, duration };
                let report = stall::run(dialect, &plan, progress)?;
                vec![
                    measure("p50, all read", "us", report.all_read.latency.p50),
                    measure("p50, one stalled", "us", report.one_stalled.latency.p50),
                    measure("p99, all read", "us", report.all_read.latency.p99),
                    measure("p99, one stalled", "us", report.one_stalled.latency.p99),
                    measure("sent, one stalled", "/s", report.one_stalled.sent_per_second),
                ]
            }
            Work::Idle { connections } => {
                let plan = idle::Plan {
                    connections,
                    state: idle_state,
                    ..idle::Plan::new(known(pid, dialect)?)
                };
                let report = idle::run(dialect, &plan, progress)?;
                let memory = report.bytes_per_connection;
                let memory = memory.map(|bytes| measure("memory for each", "B", bytes));
                let opened = measure("opened", "/s", report.opened_per_second);
                memory.into_iter().chain([opened]).collect()
            }
            Work::Requests { in_flight, payload: own } => {
                let payload = own.unwrap_or(payload);
                let plan = requests::Plan { in_flight, payload, warm_up, duration };
                let report = requests::run(dialect, &plan, progress)?;
                vec![
                    measure("requests", "/s", report.requests_per_second),
                    measure("p50", "us", report.latency.p50),
                    measure("p99", "us", report.latency.p99),
                ]
            }
            Work::Pairs { pairs, in_flight } => {
                let plan = requests::Plan { in_flight, payload, warm_up, duration };
                let report = requests::run_many(dialect, &plan, pairs, progress)?;
                vec![
                    measure("requests", "/s", report.requests_per_second),
                    measure("p50", "us", report.latency.p50),
                    measure("p99", "us", report.latency.p99),
                ]
            }
            Work::Stream { window_kib } => {
                let plan =
                    stream::Plan { window: window_kib.saturating_mul(1024), warm_up, duration };
                let report = stream::run(dialect, &plan, progress)?;
                vec![measure("data", "B/s", report.bytes_per_second)]
            }
            Work::Streams { streams } => {
                let plan = stream::Plan { warm_up, duration, ..stream::Plan::default() };
                let report = stream::run_many(dialect, &plan, streams, progress)?;
                vec![measure("data", "B/s", report.bytes_per_second)]
            }
            Work::Stalled { streams } => {
                let plan = stalled::Plan { streams, ..stalled::Plan::new(known(pid, dialect)?) };
                let report = stalled::run(dialect, &plan, progress)?;
                vec![measure("memory for each", "B", report.bytes_per_stream)]
            }
        };
        // The first measure is what the workload is about: for most of them a rate.
        if let (Some(share), Some(&Measure { unit, value, .. })) =
            (watch.and_then(|watch| watch.share()), measures.first())
            && unit.ends_with("/s")
        {
            measures.push(measure("for a CPU second", unit, value / share));
        }
        Ok(measures)
    }
}

/// The process whose memory is to be read.
fn known(pid: Option<u32>, dialect: &dyn Dialect) -> Result<u32, BenchError> {
    pid.ok_or(BenchError::Unsupported {
        dialect: dialect.name(),
        workload: "memory without the server's process id",
    })
}

impl fmt::Display for Work {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (name, size) = match *self {
            Work::Fanout { receivers } => ("fanout", receivers),
            Work::Relay { in_flight } => ("relay", in_flight),
            Work::Stall { members } => ("stall", members),
            Work::Idle { connections } => ("idle", connections),
            Work::Requests { in_flight, payload: None } => ("requests", in_flight),
            Work::Requests { in_flight, payload: Some(payload) } => {
                return write!(f, "requests-{in_flight}x{payload}");
            }
            Work::Pairs { pairs, in_flight } => return write!(f, "pairs-{pairs}x{in_flight}"),
            Work::Stream { window_kib } => ("stream", window_kib as usize),
            Work::Streams { streams } => ("streams", streams),
            Work::Stalled { streams } => ("stalled", streams),
        };
        write!(f, "{name}-{size}")
    }
}

impl FromStr for Work {
    type Err = String;

    fn from_str(text: &str) -> Result<Work, String> {
        let wrong = || {
            format!(
                "{text} is none of fanout-N, relay-N, requests-N, requests-NxB, pairs-PxN, stream-N, \
                 streams-N, stall-N, idle-N, stalled-N"
            )
        };
        let (name, size) = text.split_once('-').ok_or_else(wrong)?;
        let number = |digits: &str| digits.parse().map_err(|_| wrong());
        match (name, size.split_once('x')) {
            ("requests", Some((in_flight, payload))) => {
                let (in_flight, payload) = (number(in_flight)?, Some(number(payload)?));
                return Ok(Work::Requests { in_flight, payload });
            }
            ("pairs", Some((pairs, in_flight))) => {
                let (pairs, in_flight) = (number(pairs)?, number(in_flight)?);
                return Ok(Work::Pairs { pairs, in_flight });
            }
            _ => {}
        }
        let size = number(size)?;
        match name {
            "fanout" => Ok(Work::Fanout { receivers: size }),
            "relay" => Ok(Work::Relay { in_flight: size }),
            "stall" => Ok(Work::Stall { members: size }),
            "idle" => Ok(Work::Idle { connections: size }),
            "requests" => Ok(Work::Requests { in_flight: size, payload: None }),
            "stream" => {
                let window_kib = u32::try_from(size).map_err(|_| wrong())?;
                Ok(Work::Stream { window_kib })
            }
            "streams" => Ok(Work::Streams { streams: size }),
            "stalled" => Ok(Work::Stalled { streams: size }),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Measure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.name, shortened(self.value, self.unit))
    }
}

/// Three or four digits with the unit.
pub(crate) fn shortened(value: f64, unit: &str) -> String {
    let (scaled, unit) = match (value.abs(), unit) {
        (1e4.., "us") => (value / 1e3, "ms".to_owned()),
        (1e6.., _) => (value / 1e6, format!("M{unit}")),
        (1e4.., _) => (value / 1e3, format!("k{unit}")),
        _ => (value, unit.to_owned()),
    };
    let digits = match scaled.abs() {
        _ if value == 0.0 => 0,
        100.0.. => 0,
        10.0.. => 1,
        _ => 2,
    };
    format!("{scaled:.digits$} {unit}").trim_end().to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_workload_is_read_back_from_what_is_shown() {
        let all = ["fanout-1", "relay-256", "stall-1000", "idle-10000", "requests-64"];
        for text in all.into_iter().chain([
            "requests-64x1024",
            "pairs-25x8",
            "stream-512",
            "streams-8",
            "stalled-200",
        ]) {
            assert_eq!(text.parse::<Work>().unwrap().to_string(), text);
        }
        for text in ["fanout", "fanout-x", "fan-1", "-1", "stall-1x2", "requests-x", "pairs-3"] {
            assert!(text.parse::<Work>().is_err(), "{text}");
        }
    }

    #[test]
    fn numbers_keep_three_digits_and_their_unit() {
        assert_eq!(shortened(4_812_345.0, "/s"), "4.81 M/s");
        assert_eq!(shortened(481_234.0, "/s"), "481 k/s");
        assert_eq!(shortened(153.4, "us"), "153 us");
        assert_eq!(shortened(15_340.0, "us"), "15.3 ms");
        assert_eq!(shortened(0.0, ""), "0");
    }
}
