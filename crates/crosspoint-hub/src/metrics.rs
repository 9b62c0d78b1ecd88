//! What a hub counts. One registry for each hub, no global state.

use crate::limit::Limit;
use crate::reason::Reason;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue, LabelValueEncoder, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Metric, Registry, Unit};
use std::collections::BTreeSet;
use std::fmt::{self, Write};
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

/// The label of counters by protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByProtocol {
    /// `native`, `peote`, …
    pub protocol: &'static str,
}

/// The label of counters by reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    /// The word of a [`Reason`], or [`ByReason::tls_not_served`].
    pub reason: String,
}

impl ByReason {
    /// A connection begins TLS at a hub without it, as programs of AnySocket do each time.
    pub fn tls_not_served() -> Self {
        Self { reason: "tls_not_served".to_owned() }
    }
}

/// The label of counters by limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByLimit {
    /// The limit, shown by its [`Limit::label`].
    pub limit: Limit,
}

impl EncodeLabelValue for Limit {
    fn encode(&self, encoder: &mut LabelValueEncoder<'_>) -> fmt::Result {
        encoder.write_str(self.label())
    }
}

/// The labels of the memory that is held.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByPurpose {
    /// The word of a [`Purpose`](crate::ledger::Purpose).
    pub purpose: &'static str,
    /// `native`, `peote`, …; `hub` for channels.
    pub protocol: &'static str,
}

/// What a protocol has noticed that only the hub's metrics want to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Measurement {
    /// The endpoint has answered a probe after this time.
    RoundTrip(Duration),
    /// The endpoint did not get what it wished for, because of this limit.
    Bounded(Limit),
}

/// The upper bounds of the buckets of round trips, in seconds: from one machine to the other side of
/// the world over a bad radio link.
const ROUND_TRIP_BUCKETS: [f64; 13] =
    [0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 10.0];

/// Round trips, by protocol.
type RoundTrips = Family<ByProtocol, Histogram, fn() -> Histogram>;

/// Counters and gauges of one hub, and their registry.
///
/// Data is counted once for each batch of messages, not for each message.
#[derive(Debug)]
pub struct Metrics {
    registry: Registry,
    /// Connections open now, handshakes included.
    pub connections: Gauge,
    /// Connections since the start.
    pub connections_total: Counter,
    /// Connections that ended before they were sessions, and not as HTTP either, by reason.
    pub connections_refused: Family<ByReason, Counter>,
    /// Sessions open now, by protocol.
    pub sessions: Family<ByProtocol, Gauge>,
    /// Sessions closed, by reason.
    pub closed: Family<ByReason, Counter>,
    /// Sessions whose connections are away now.
    pub sessions_away: Gauge,
    /// Sessions that went on over a new connection.
    pub resumed: Counter,
    /// Sessions that ended because no new connection came.
    pub resume_expired: Counter,
    /// Channels and rooms that exist now.
    pub channels: Gauge,
    /// Memberships that exist now.
    pub members: Gauge,
    /// Links that exist now, each counted at both of its ends.
    pub links: Gauge,
    /// Messages and parts received from endpoints.
    pub messages_in: Counter,
    /// Messages and parts handed to receivers.
    pub messages_out: Counter,
    /// Bytes read.
    pub bytes_in: Counter,
    /// Bytes written.
    pub bytes_out: Counter,
    /// Messages that were compressed, each once however many receive it.
    pub compressed_messages: Counter,
    /// Their bytes before.
    pub compressed_bytes_before: Counter,
    /// Their bytes after.
    pub compressed_bytes_after: Counter,
    /// Bytes of compressed messages that have come, as they came.
    pub decompressed_bytes_before: Counter,
    /// Bytes of compressed messages that have come, decompressed.
    pub decompressed_bytes_after: Counter,
    /// Messages for numbers that name nothing (any more).
    pub dropped: Counter,
    /// Commands refused, by reason.
    pub refused: Family<ByReason, Counter>,
    /// How often each limit was reached.
    pub limit_hits: Family<ByLimit, Counter>,
    /// Bans by address that hold for the peer id alone, as many share the address.
    pub bans_without_address: Counter,
    /// Panics in tasks of connections and listeners. Each is a fault of the hub or its embedder.
    pub panics: Counter,
    /// Connections that the system could not give, most often for lack of file descriptors.
    pub accepts_failed: Counter,
    /// Lines of the log that were dropped, because it took no more. Counted by the writer of the log.
    pub log_lines_dropped: Counter,
    /// Memory that is charged now, by purpose and protocol, in bytes.
    pub memory: Family<ByPurpose, Gauge>,
    /// How long endpoints took to answer probes, in seconds.
    pub round_trips: RoundTrips,
    /// The protocols that there are.
    protocols: Mutex<BTreeSet<&'static str>>,
}

impl Default for Metrics {
    fn default() -> Self {
        let metrics = Self::empty();
        metrics.begin();
        metrics
    }
}

impl Metrics {
    fn empty() -> Self {
        let mut registry = Registry::with_prefix("crosspoint");
        let round_trips = RoundTrips::new_with_constructor(|| Histogram::new(ROUND_TRIP_BUCKETS));
        let version = Info::new([("version", env!("CARGO_PKG_VERSION"))]);
        registry.register("build", "The program that runs", version);
        let help = "How long endpoints took to answer probes";
        registry.register_with_unit("round_trip", help, Unit::Seconds, round_trips.clone());
        let memory = Family::default();
        let help = "Memory that is held for sessions, channels and requests";
        registry.register_with_unit("memory", help, Unit::Bytes, memory.clone());
        Self {
            round_trips,
            memory,
            connections: register(
                &mut registry,
                "connections",
                "Connections open now, handshakes included",
            ),
            connections_total: register(
                &mut registry,
                "connections_accepted",
                "Connections since the start",
            ),
            connections_refused: register(
                &mut registry,
                "connections_refused",
                "Connections that ended before they were sessions",
            ),
            sessions: register(&mut registry, "sessions", "Sessions open now"),
            closed: register(&mut registry, "sessions_closed", "Sessions closed"),
            sessions_away: register(
                &mut registry,
                "sessions_away",
                "Sessions whose connections are away now",
            ),
            resumed: register(
                &mut registry,
                "sessions_resumed",
                "Sessions that went on over a new connection",
            ),
            resume_expired: register(
                &mut registry,
                "sessions_expired",
                "Sessions that ended because no new connection came",
            ),
            channels: register(&mut registry, "channels", "Channels and rooms that exist now"),
            members: register(&mut registry, "members", "Memberships that exist now"),
            links: register(&mut registry, "links", "Links that exist now, counted at both ends"),
            messages_in: register(
                &mut registry,
                "messages_received",
                "Messages and parts received from endpoints",
            ),
            messages_out: register(
                &mut registry,
                "messages_sent",
                "Messages and parts handed to receivers",
            ),
            bytes_in: register(&mut registry, "bytes_received", "Bytes read"),
            bytes_out: register(&mut registry, "bytes_sent", "Bytes written"),
            compressed_messages: register(
                &mut registry,
                "messages_compressed",
                "Messages compressed, each once however many receive it",
            ),
            compressed_bytes_before: register(
                &mut registry,
                "compressed_bytes_before",
                "Bytes of messages before they were compressed",
            ),
            compressed_bytes_after: register(
                &mut registry,
                "compressed_bytes_after",
                "Bytes of messages after they were compressed",
            ),
            decompressed_bytes_before: register(
                &mut registry,
                "decompressed_bytes_before",
                "Bytes of compressed messages received",
            ),
            decompressed_bytes_after: register(
                &mut registry,
                "decompressed_bytes_after",
                "Bytes of compressed messages received, after they were decompressed",
            ),
            dropped: register(
                &mut registry,
                "messages_dropped",
                "Messages for numbers that name nothing",
            ),
            refused: register(&mut registry, "commands_refused", "Commands refused"),
            limit_hits: register(&mut registry, "limit_hits", "How often a limit was reached"),
            bans_without_address: register(
                &mut registry,
                "bans_without_address",
                "Bans by address that hold for the peer id alone, as many share the address",
            ),
            panics: register(
                &mut registry,
                "panics",
                "Panics, each a fault of the hub or its embedder, that ended one session or request",
            ),
            accepts_failed: register(
                &mut registry,
                "accepts_failed",
                "Connections that the system could not give, mostly for lack of file descriptors",
            ),
            log_lines_dropped: register(
                &mut registry,
                "log_lines_dropped",
                "Lines of the log that were dropped because it took no more",
            ),
            protocols: Mutex::default(),
            registry,
        }
    }
}

fn register<M: Metric + Clone + Default>(registry: &mut Registry, name: &str, help: &str) -> M {
    let metric = M::default();
    registry.register(name, help, metric.clone());
    metric
}

impl Metrics {
    /// Counts that a limit was reached.
    pub fn hit(&self, limit: Limit) {
        self.limit_hits.get_or_create(&ByLimit { limit }).inc();
    }

    /// Counts what a protocol has noticed.
    pub fn measured(&self, protocol: &'static str, measurement: Measurement) {
        match measurement {
            Measurement::RoundTrip(time) => {
                let histogram = self.round_trips.get_or_create(&ByProtocol { protocol });
                histogram.observe(time.as_secs_f64());
            }
            Measurement::Bounded(limit) => self.hit(limit),
        }
    }

    /// Counts a refused command.
    pub fn refuse(&self, reason: Reason) {
        self.refused.get_or_create(&ByReason { reason: reason.word() }).inc();
    }

    /// Names the protocols that there will be, so that their counters are there from the start.
    pub fn know_protocols(&self, protocols: &[&'static str]) {
        for protocol in protocols {
            let _zero = self.sessions.get_or_create(&ByProtocol { protocol });
            let _none = self.round_trips.get_or_create(&ByProtocol { protocol });
        }
        self.protocols.lock().unwrap_or_else(PoisonError::into_inner).extend(protocols);
    }

    /// The sessions open now by [protocols that are known](Self::know_protocols), in the order of their names.
    pub fn sessions_by_protocol(&self) -> Vec<(&'static str, u64)> {
        let protocols = self.protocols.lock().unwrap_or_else(PoisonError::into_inner).clone();
        let count = |protocol| {
            let sessions = self.sessions.get_or_create(&ByProtocol { protocol }).get();
            (protocol, u64::try_from(sessions).unwrap_or(0))
        };
        protocols.into_iter().map(count).collect()
    }

    /// All values as OpenMetrics.
    ///
    /// # Errors
    /// Never for a `String`; the signature is the encoder's.
    pub fn render(&self) -> Result<String, fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }

    /// Appends all values as OpenMetrics, without the mark of the end.
    ///
    /// # Errors
    /// Those of the writer.
    pub fn encode(&self, out: &mut impl Write) -> fmt::Result {
        text::encode_registry(out, &self.registry)
    }

    /// Makes the counters of all that is known to happen, with 0.
    fn begin(&self) {
        for &limit in Limit::ALL {
            let _zero = self.limit_hits.get_or_create(&ByLimit { limit });
        }
        for reason in Reason::ALL {
            let label = ByReason { reason: reason.word() };
            for family in [&self.closed, &self.refused, &self.connections_refused] {
                let _zero = family.get_or_create(&label);
            }
        }
        let _zero = self.connections_refused.get_or_create(&ByReason::tls_not_served());
    }
}
