//! What the hub has at a moment. All who look share it, and there is a new one once a second at most.
//!
//! Each part is taken when somebody looks at it for the first time, so that nothing is taken while nobody looks.

use crate::clock::Clock;
use crate::history::{Counted, rate};
use crate::listing::fold;
use crate::model::Point;
use bytes::Bytes;
use crosspoint_hub::Hub;
use crosspoint_hub::endpoint::Traffic;
use crosspoint_hub::inventory::{
    ChannelInfo, Ended, Participant, ServiceInfo, SessionInfo, Totals,
};
use crosspoint_hub::ledger::{Account, Charge, Purpose};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

/// Providers of a service that are shown.
pub(crate) const PROVIDERS_MAX: usize = 50;

/// How old sessions may be to be compared with present ones.
const COMPARABLE: Duration = Duration::from_secs(10);

/// Where snapshots are taken.
#[derive(Debug)]
pub(crate) struct Source {
    pub(crate) hub: Arc<Hub>,
    /// The name of the hub.
    pub(crate) name: String,
    pub(crate) clock: Clock,
    /// The sessions that were looked at last, with which those that are looked at next are compared.
    last: Mutex<Option<Arc<SessionsSeen>>>,
    /// Counts what snapshots take.
    account: Arc<Account>,
}

impl Source {
    pub(crate) fn new(hub: Arc<Hub>, name: String, clock: Clock) -> Self {
        let account = hub.account(None, "control");
        Self { hub, name, clock, last: Mutex::default(), account }
    }

    /// What the hub has counted.
    pub(crate) fn counted(&self) -> Counted {
        let metrics = &self.hub.metrics;
        Counted {
            connections: u64::try_from(metrics.connections.get()).unwrap_or(0),
            sessions: self.hub.totals().sessions as u64,
            messages_in: metrics.messages_in.get(),
            messages_out: metrics.messages_out.get(),
            bytes_in: metrics.bytes_in.get(),
            bytes_out: metrics.bytes_out.get(),
        }
    }

    /// Forgets sessions that are too old to be compared with others.
    pub(crate) fn forget_old(&self, now: Instant) {
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        last.take_if(|seen| now.saturating_duration_since(seen.at) > COMPARABLE);
    }

    /// The sessions of this moment.
    fn sessions(&self, now: Instant) -> Arc<SessionsSeen> {
        let infos = self.hub.session_infos();
        // What it guards is whole at any time.
        let mut last = self.last.lock().unwrap_or_else(PoisonError::into_inner);
        let mut seen = SessionsSeen::new(now, infos, last.as_deref());
        let folded = seen.all.iter().filter_map(|seen| seen.folded.as_ref());
        seen.charge = Some(self.charge(&seen.all, folded));
        let seen = Arc::new(seen);
        *last = Some(seen.clone());
        seen
    }

    /// Counts rows with their folded names. What there is has to be shown also where it is too much.
    fn charge<'a, T>(&self, rows: &Vec<T>, folded: impl Iterator<Item = &'a String>) -> Charge {
        let names: usize = folded.map(String::capacity).sum();
        self.account.charge(Purpose::Stored, rows.capacity() * size_of::<T>() + names)
    }
}

/// What the hub has at a moment.
#[derive(Debug)]
pub(crate) struct Snapshot {
    pub(crate) source: Arc<Source>,
    /// What there was in the second before. `None` before the first.
    pub(crate) point: Option<Point>,
    sessions: OnceLock<Arc<SessionsSeen>>,
    channels: OnceLock<(Vec<ChannelSeen>, Charge)>,
    services: OnceLock<(Vec<ServiceSeen>, Charge)>,
    ends: OnceLock<Vec<EndSeen>>,
    totals: OnceLock<Totals>,
    /// The figures of the hub as an event.
    pub(crate) figures: OnceLock<Bytes>,
}

/// Sessions, in the order of their numbers.
#[derive(Debug)]
pub(crate) struct SessionsSeen {
    at: Instant,
    pub(crate) all: Vec<SessionSeen>,
    /// For them, once they are counted.
    charge: Option<Charge>,
}

/// A session.
#[derive(Debug)]
pub(crate) struct SessionSeen {
    pub(crate) info: SessionInfo,
    /// Its name with its letters in one case.
    pub(crate) folded: Option<String>,
    pub(crate) rates: Rates,
}

/// What a session moves in a second.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub(crate) struct Rates {
    pub(crate) messages_in: f64,
    pub(crate) messages_out: f64,
    pub(crate) bytes_in: f64,
    pub(crate) bytes_out: f64,
}

/// A channel or room.
#[derive(Debug)]
pub(crate) struct ChannelSeen {
    pub(crate) info: ChannelInfo,
    /// Its name as text with its letters in one case.
    pub(crate) folded: String,
}

/// A service.
#[derive(Debug)]
pub(crate) struct ServiceSeen {
    pub(crate) info: ServiceInfo,
    /// Its name with its letters in one case.
    pub(crate) folded: String,
}

/// A session that has ended.
#[derive(Debug)]
pub(crate) struct EndSeen {
    pub(crate) ended: Ended,
    /// Its name with its letters in one case.
    pub(crate) folded: Option<String>,
}

impl Rates {
    /// From what a session has moved before and after some time.
    pub(crate) fn between(before: Traffic, after: Traffic, elapsed: Duration) -> Self {
        Self {
            messages_in: rate(before.messages_in, after.messages_in, elapsed),
            messages_out: rate(before.messages_out, after.messages_out, elapsed),
            bytes_in: rate(before.bytes_in, after.bytes_in, elapsed),
            bytes_out: rate(before.bytes_out, after.bytes_out, elapsed),
        }
    }
}

impl SessionSeen {
    /// A session, compared with what it was at an earlier time, or with nothing at its begin.
    pub(crate) fn new(now: Instant, info: SessionInfo, before: Option<(Instant, Traffic)>) -> Self {
        let (since, traffic) = before.unwrap_or((info.since, Traffic::default()));
        let elapsed = now.saturating_duration_since(since);
        let rates = Rates::between(traffic, info.traffic, elapsed);
        Self { folded: info.who.peer.name.as_deref().map(fold), info, rates }
    }
}

impl SessionsSeen {
    fn new(now: Instant, mut infos: Vec<SessionInfo>, last: Option<&Self>) -> Self {
        infos.sort_unstable_by_key(|info| info.who.session);
        let last = last.filter(|last| {
            let age = now.saturating_duration_since(last.at);
            age <= COMPARABLE && !age.is_zero()
        });
        // Both are in the order of their numbers.
        let mut before = last.map_or(&[][..], |last| &last.all).iter().peekable();
        let at = last.map_or(now, |last| last.at);
        let seen = |info: SessionInfo| {
            let number = info.who.session;
            while before.next_if(|before| before.info.who.session < number).is_some() {}
            let same = before.next_if(|before| before.info.who.session == number);
            SessionSeen::new(now, info, same.map(|before| (at, before.info.traffic)))
        };
        Self { at: now, all: infos.into_iter().map(seen).collect(), charge: None }
    }

    /// The session with a number.
    pub(crate) fn find(&self, session: u64) -> Option<&SessionSeen> {
        let at = self.all.binary_search_by_key(&session, |seen| seen.info.who.session).ok()?;
        self.all.get(at)
    }
}

impl Snapshot {
    /// A snapshot of which nothing is taken yet.
    pub(crate) fn new(source: &Arc<Source>, point: Option<Point>) -> Self {
        Self {
            source: source.clone(),
            point,
            sessions: OnceLock::new(),
            channels: OnceLock::new(),
            services: OnceLock::new(),
            ends: OnceLock::new(),
            totals: OnceLock::new(),
            figures: OnceLock::new(),
        }
    }

    /// The sessions.
    pub(crate) fn sessions(&self) -> &SessionsSeen {
        self.sessions.get_or_init(|| self.source.sessions(now()))
    }

    /// The channels and rooms.
    pub(crate) fn channels(&self) -> &[ChannelSeen] {
        let (channels, _) = self.channels.get_or_init(|| {
            let all = self.source.hub.channel_list().into_iter();
            let seen = |info: ChannelInfo| {
                let folded = fold(&String::from_utf8_lossy(info.name.as_bytes()));
                ChannelSeen { info, folded }
            };
            let channels = all.map(seen).collect();
            let charge = self.source.charge(&channels, channels.iter().map(|seen| &seen.folded));
            (channels, charge)
        });
        channels
    }

    /// The services.
    pub(crate) fn services(&self) -> &[ServiceSeen] {
        let (services, _) = self.services.get_or_init(|| {
            let all = self.source.hub.service_infos(PROVIDERS_MAX).into_iter();
            let seen = |info: ServiceInfo| ServiceSeen { folded: fold(info.name.as_str()), info };
            let services: Vec<_> = all.map(seen).collect();
            let providers: usize = services.iter().map(|seen| seen.info.providers.capacity()).sum();
            let mut charge =
                self.source.charge(&services, services.iter().map(|seen| &seen.folded));
            charge.resize(charge.bytes() + providers * size_of::<Participant>());
            (services, charge)
        });
        services
    }

    /// The sessions that have ended, the latest first.
    pub(crate) fn ends(&self) -> &[EndSeen] {
        self.ends.get_or_init(|| {
            let seen = |ended: Ended| {
                let folded = ended.who.peer.name.as_deref().map(fold);
                EndSeen { ended, folded }
            };
            self.source.hub.ends().into_iter().map(seen).collect()
        })
    }

    /// How many there are of everything.
    pub(crate) fn totals(&self) -> Totals {
        *self.totals.get_or_init(|| self.source.hub.totals())
    }
}

/// The present time, as the hub's sessions know it.
pub(crate) fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}

#[cfg(test)]
mod tests;
