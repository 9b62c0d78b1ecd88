//! Sessions.

use super::{address, is_searched, peer};
use crate::clock::Clock;
use crate::key::key;
use crate::listing::{Page, Search, missing_last, page};
use crate::model::{Membership, SessionDetail, SessionRow, Sessions};
use crate::params::Values;
use crate::snapshot::{SessionSeen, Snapshot, now};
use crosspoint_hub::ChannelName;
use crosspoint_hub::inventory::SessionInfo;
use std::cmp::Ordering;
use std::collections::HashSet;

/// Links of a session that are shown.
const LINKS_MAX: usize = 200;

/// Which sessions are listed, and how.
#[derive(Debug)]
pub(crate) struct Query {
    search: Option<Search>,
    who: Option<String>,
    protocol: Option<String>,
    channel: Option<ChannelName>,
    sort: Sort,
    descending: bool,
    page: Page,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Name,
    Since,
    Protocol,
    Address,
    RoundTrip,
    Outbox,
    RateIn,
    RateOut,
    BytesIn,
    BytesOut,
}

impl Sort {
    fn of(word: Option<&str>) -> Self {
        match word {
            Some("since") => Self::Since,
            Some("protocol") => Self::Protocol,
            Some("address") => Self::Address,
            Some("round_trip") => Self::RoundTrip,
            Some("outbox") => Self::Outbox,
            Some("rate_in") => Self::RateIn,
            Some("rate_out") => Self::RateOut,
            Some("bytes_in") => Self::BytesIn,
            Some("bytes_out") => Self::BytesOut,
            _ => Self::Name,
        }
    }

    /// Which of two sessions comes first. What one has not is last, whatever the order.
    fn compare(self, one: &SessionSeen, other: &SessionSeen, descending: bool) -> Ordering {
        let (a, b) = (&one.info, &other.info);
        let turned = |order: Ordering| if descending { order.reverse() } else { order };
        match self {
            Self::Name => by_presence(one.folded.as_deref(), other.folded.as_deref(), turned),
            Self::Since => turned(a.since.cmp(&b.since)),
            Self::Protocol => turned(a.who.peer.protocol.cmp(b.who.peer.protocol)),
            Self::Address => by_presence(a.who.address.as_ref(), b.who.address.as_ref(), turned),
            Self::RoundTrip => by_presence(a.round_trip.as_ref(), b.round_trip.as_ref(), turned),
            Self::Outbox => turned(a.outbox_bytes.cmp(&b.outbox_bytes)),
            Self::RateIn => turned(one.rates.messages_in.total_cmp(&other.rates.messages_in)),
            Self::RateOut => turned(one.rates.messages_out.total_cmp(&other.rates.messages_out)),
            Self::BytesIn => turned(one.rates.bytes_in.total_cmp(&other.rates.bytes_in)),
            Self::BytesOut => turned(one.rates.bytes_out.total_cmp(&other.rates.bytes_out)),
        }
    }
}

/// What is missing is last in either direction.
fn by_presence<T: Ord + ?Sized>(
    one: Option<&T>,
    other: Option<&T>,
    turned: impl Fn(Ordering) -> Ordering,
) -> Ordering {
    match (one, other) {
        (Some(_), Some(_)) => turned(missing_last(one, other)),
        _ => missing_last(one, other),
    }
}

impl Query {
    /// From what was asked for.
    pub(crate) fn new(values: &Values) -> Self {
        Self {
            search: values.search(),
            who: values.text("who").map(str::to_owned),
            protocol: values.text("protocol").map(str::to_owned),
            channel: values.channel("channel"),
            sort: Sort::of(values.text("sort")),
            descending: values.is_descending(),
            page: values.page(),
        }
    }

    /// The list.
    pub(crate) fn list(&self, snapshot: &Snapshot) -> Sessions {
        let source = &snapshot.source;
        let inside = self.channel.as_ref().map(|channel| {
            let members = source.hub.members_at(channel, 0..usize::MAX);
            let (owner, members) =
                members.map_or((None, Vec::new()), |all| (all.channel.owner, all.members));
            let members = members.into_iter().map(|(_, who)| who.session);
            members.chain(owner.map(|who| who.session)).collect::<HashSet<u64>>()
        });
        let called = self.who.as_ref().map(|who| {
            let infos = source.hub.sessions_called(who).into_iter();
            infos.map(|info| present(snapshot, info)).collect::<Vec<_>>()
        });
        let paged = page(
            called.as_deref().unwrap_or_else(|| &snapshot.sessions().all),
            |seen| {
                let who = &seen.info.who;
                self.protocol.as_deref().is_none_or(|protocol| who.peer.protocol == protocol)
                    && inside.as_ref().is_none_or(|inside| inside.contains(&who.session))
                    && is_searched(self.search.as_ref(), who, seen.folded.as_deref())
            },
            |one, other| {
                let order = self.sort.compare(one, other, self.descending);
                order.then_with(|| one.info.who.session.cmp(&other.info.who.session))
            },
            self.page,
        );
        Sessions {
            total: snapshot.sessions().all.len() as u64,
            matched: paged.matched as u64,
            offset: self.page.offset as u64,
            sessions: paged.rows.into_iter().map(|seen| row(seen, &source.clock)).collect(),
        }
    }
}

/// One session with all that it takes part in, if it is there.
pub(crate) fn detail(snapshot: &Snapshot, session: u64) -> Option<SessionDetail> {
    let source = &snapshot.source;
    let detail = source.hub.session_detail(session, LINKS_MAX)?;
    let seen = present(snapshot, detail.info);
    let channels = detail.channels.into_iter();
    let channels = channels.map(|channel| Membership {
        name: channel.name.to_string(),
        key: key(&channel.name),
        room: channel.room,
        owner: channel.member.is_none(),
        number: channel.member.map(|number| number.0),
    });
    Some(SessionDetail {
        row: row(&seen, &source.clock),
        channels: channels.collect(),
        links: detail.links.iter().map(|link| peer(&link.to)).collect(),
        link_count: detail.link_count as u64,
        services: detail.services.iter().map(|name| name.as_str().to_owned()).collect(),
    })
}

/// A session as it is at this moment.
fn present(snapshot: &Snapshot, info: SessionInfo) -> SessionSeen {
    // The rates are those of the lists; a session that is younger than these has some of its own.
    let rates = snapshot.sessions().find(info.who.session).map(|seen| seen.rates);
    let mut seen = SessionSeen::new(now(), info, None);
    seen.rates = rates.unwrap_or(seen.rates);
    seen
}

fn row(seen: &SessionSeen, clock: &Clock) -> SessionRow {
    let SessionSeen { info, rates, .. } = seen;
    let micros = |time: std::time::Duration| u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    SessionRow {
        session: info.who.session,
        id: info.who.peer.id.to_string(),
        name: info.who.peer.name.as_deref().map(str::to_owned),
        protocol: info.who.peer.protocol.to_owned(),
        transport: info.transport.carrier.word().to_owned(),
        tls: info.transport.tls,
        address: address(&info.who),
        since_ms: clock.ms(info.since),
        away: info.away,
        proven: info.proven,
        round_trip_us: info.round_trip.map(micros),
        outbox_bytes: info.outbox_bytes as u64,
        memory_bytes: info.memory_bytes as u64,
        messages_in: info.traffic.messages_in,
        messages_out: info.traffic.messages_out,
        bytes_in: info.traffic.bytes_in,
        bytes_out: info.traffic.bytes_out,
        messages_in_per_s: rates.messages_in,
        messages_out_per_s: rates.messages_out,
        bytes_in_per_s: rates.bytes_in,
        bytes_out_per_s: rates.bytes_out,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::snapshot::Rates;

    use crosspoint_hub::PeerId;
    use crosspoint_hub::command::Peer;
    use crosspoint_hub::endpoint::Traffic;
    use crosspoint_hub::inventory::{Participant, SessionInfo};
    use crosspoint_hub::transport::Transport;

    fn seen(session: u64, rates: Rates) -> SessionSeen {
        let peer = Peer { id: PeerId::new([0; 16]), name: None, protocol: "native" };
        let info = SessionInfo {
            who: Participant { session, peer, address: None },
            since: now(),
            transport: Transport::default(),
            away: false,
            proven: false,
            granted_name: false,
            application: false,
            round_trip: None,
            outbox_bytes: 0,
            memory_bytes: 0,
            traffic: Traffic::default(),
        };
        SessionSeen { info, folded: None, rates }
    }

    #[test]
    fn rates_are_of_messages_or_of_bytes() {
        let many =
            seen(1, Rates { messages_in: 9.0, messages_out: 8.0, bytes_in: 90.0, bytes_out: 80.0 });
        let large =
            seen(2, Rates { messages_in: 1.0, messages_out: 2.0, bytes_in: 1e6, bytes_out: 2e6 });
        for (sort, first) in [
            (Sort::RateIn, &large),
            (Sort::RateOut, &large),
            (Sort::BytesIn, &many),
            (Sort::BytesOut, &many),
        ] {
            let other = if std::ptr::eq(first, &many) { &large } else { &many };
            assert_eq!(sort.compare(first, other, false), Ordering::Less, "{sort:?}");
            assert_eq!(sort.compare(first, other, true), Ordering::Greater, "{sort:?}");
        }
    }
}
