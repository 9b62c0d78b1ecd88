//! What a hub counts. One registry for each hub, no global state.

use crate::reason::Reason;
use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::registry::Registry;

/// The label of counters by protocol.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByProtocol {
    /// `native`, `peote`, …
    pub protocol: &'static str,
}

/// The label of counters by reason.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByReason {
    /// The word of a [`Reason`].
    pub reason: String,
}

/// The label of counters by limit.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct ByLimit {
    /// The name of the setting, such as `outbox_bytes_max`.
    pub limit: &'static str,
}

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
    /// Sessions open now, by protocol.
    pub sessions: Family<ByProtocol, Gauge>,
    /// Sessions closed, by reason.
    pub closed: Family<ByReason, Counter>,
    /// Channels and rooms that exist now.
    pub channels: Gauge,
    /// Memberships that exist now.
    pub members: Gauge,
    /// Messages and parts received from endpoints.
    pub messages_in: Counter,
    /// Messages and parts handed to receivers.
    pub messages_out: Counter,
    /// Bytes read.
    pub bytes_in: Counter,
    /// Bytes written.
    pub bytes_out: Counter,
    /// Messages for numbers that name nothing (any more).
    pub dropped: Counter,
    /// Commands refused, by reason.
    pub refused: Family<ByReason, Counter>,
    /// How often each limit was reached.
    pub limit_hits: Family<ByLimit, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        let mut metrics = Self {
            registry: Registry::with_prefix("crosspoint"),
            connections: Gauge::default(),
            connections_total: Counter::default(),
            sessions: Family::default(),
            closed: Family::default(),
            channels: Gauge::default(),
            members: Gauge::default(),
            messages_in: Counter::default(),
            messages_out: Counter::default(),
            bytes_in: Counter::default(),
            bytes_out: Counter::default(),
            dropped: Counter::default(),
            refused: Family::default(),
            limit_hits: Family::default(),
        };
        let r = &mut metrics.registry;
        r.register(
            "connections",
            "Connections open now, handshakes included",
            metrics.connections.clone(),
        );
        r.register(
            "connections_accepted",
            "Connections since the start",
            metrics.connections_total.clone(),
        );
        r.register("sessions", "Sessions open now", metrics.sessions.clone());
        r.register("sessions_closed", "Sessions closed", metrics.closed.clone());
        r.register("channels", "Channels and rooms that exist now", metrics.channels.clone());
        r.register("members", "Memberships that exist now", metrics.members.clone());
        r.register(
            "messages_received",
            "Messages and parts received from endpoints",
            metrics.messages_in.clone(),
        );
        r.register(
            "messages_sent",
            "Messages and parts handed to receivers",
            metrics.messages_out.clone(),
        );
        r.register("bytes_received", "Bytes read", metrics.bytes_in.clone());
        r.register("bytes_sent", "Bytes written", metrics.bytes_out.clone());
        r.register(
            "messages_dropped",
            "Messages for numbers that name nothing",
            metrics.dropped.clone(),
        );
        r.register("commands_refused", "Commands refused", metrics.refused.clone());
        r.register("limit_hits", "How often a limit was reached", metrics.limit_hits.clone());
        metrics
    }
}

impl Metrics {
    /// Counts that a limit was reached. `limit` is the name of the setting.
    pub fn hit(&self, limit: &'static str) {
        self.limit_hits.get_or_create(&ByLimit { limit }).inc();
    }

    /// Counts a refused command.
    pub fn refuse(&self, reason: Reason) {
        self.refused.get_or_create(&ByReason { reason: reason.word() }).inc();
    }

    /// All values in the text format of Prometheus (OpenMetrics).
    ///
    /// # Errors
    /// Never for a `String`; the signature is the encoder's.
    pub fn render(&self) -> Result<String, std::fmt::Error> {
        let mut text = String::new();
        text::encode(&mut text, &self.registry)?;
        Ok(text)
    }
}
