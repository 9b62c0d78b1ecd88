//! The figures of the hub.

use crate::model::HubFigures;
use crate::snapshot::{Snapshot, now};
use crosspoint_hub::metrics::{ByLimit, ByReason, Metrics};
use crosspoint_hub::{Limit, Reason};
use std::collections::BTreeMap;

/// The figures. `stopping` is known to those who have come over a connection of the server.
pub(crate) fn figures(snapshot: &Snapshot, stopping: bool) -> HubFigures {
    let source = &snapshot.source;
    let (hub, clock) = (&source.hub, &source.clock);
    let (metrics, totals) = (&hub.metrics, snapshot.totals());
    let gauge = |value: i64| u64::try_from(value).unwrap_or(0);
    let by_protocol = metrics.sessions_by_protocol().into_iter();
    let by_protocol = by_protocol.map(|(protocol, count)| (protocol.to_owned(), count));
    let hits = Limit::ALL.iter().map(|&limit| {
        let hits = metrics.limit_hits.get_or_create(&ByLimit { limit }).get();
        (limit.key().to_owned(), hits)
    });
    HubFigures {
        name: source.name.clone(),
        version: env!("CARGO_PKG_VERSION").to_owned(),
        started_at_ms: clock.ms(clock.start()),
        now_ms: clock.ms(now()),
        stopping,
        connections: gauge(metrics.connections.get()),
        connections_max: hub.limits.connections_max as u64,
        sessions: totals.sessions as u64,
        sessions_by_protocol: by_protocol.collect(),
        channels: totals.channels.saturating_sub(totals.rooms) as u64,
        rooms: totals.rooms as u64,
        members: gauge(metrics.members.get()),
        // Counted at both ends.
        links: gauge(metrics.links.get()) / 2,
        services: totals.services as u64,
        messages_in: metrics.messages_in.get(),
        messages_out: metrics.messages_out.get(),
        bytes_in: metrics.bytes_in.get(),
        bytes_out: metrics.bytes_out.get(),
        memory_bytes: hub.ledger.used() as u64,
        memory_bytes_max: hub.limits.memory_bytes_max as u64,
        dropped: metrics.dropped.get(),
        limit_hits: without_zeros(hits),
        closed: by_reason(|label| metrics.closed.get_or_create(label).get()),
        refused: by_reason(|label| metrics.refused.get_or_create(label).get()),
        connections_refused: connections_refused(metrics),
    }
}

fn by_reason(count: impl Fn(&ByReason) -> u64) -> BTreeMap<String, u64> {
    let labels = Reason::ALL.into_iter().map(|reason| ByReason { reason: reason.word() });
    without_zeros(labels.map(|label| (label.reason.clone(), count(&label))))
}

fn connections_refused(metrics: &Metrics) -> BTreeMap<String, u64> {
    let count = |label: &ByReason| metrics.connections_refused.get_or_create(label).get();
    let mut refused = by_reason(count);
    let label = ByReason::tls_not_served();
    refused.extend(without_zeros([(label.reason.clone(), count(&label))].into_iter()));
    refused
}

fn without_zeros(counts: impl Iterator<Item = (String, u64)>) -> BTreeMap<String, u64> {
    counts.filter(|(_, count)| *count > 0).collect()
}
