//! What somebody follows, and what is told of it: a pure part of each event stream.

use crate::key::key;
use crate::listing::Page;
use crate::model::Gone;
use crate::params::{EVENTS, VIEWS, Values, pairs};
use crate::refused::Refused;
use crate::snapshot::Snapshot;
use crate::view::{channels, ends, hub, services, sessions};
use bytes::Bytes;
use crosspoint_hub::ChannelName;
use serde::Serialize;
use std::hash::{BuildHasher, RandomState};

/// What one viewer follows, and what it was told last.
#[derive(Debug)]
pub(crate) struct Watch {
    hasher: RandomState,
    sessions: Option<Followed<sessions::Query>>,
    channels: Option<Followed<channels::Query>>,
    services: Option<Followed<services::Query>>,
    ends: Option<Followed<ends::Query>>,
    session: Option<Followed<u64>>,
    channel: Option<Followed<(ChannelName, Page)>>,
}

/// Something that is followed, and what was told of it last.
#[derive(Debug)]
struct Followed<T> {
    what: T,
    last: Told,
}

impl<T> Followed<T> {
    fn new(what: T) -> Self {
        Self { what, last: Told::Nothing }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Told {
    Nothing,
    /// Something with this hash.
    This(u64),
    Gone,
}

impl Watch {
    /// From the query of an event stream.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(crate) fn new(query: Option<&str>) -> Result<Self, Refused> {
        let mut all = pairs(query)?;
        let mut values_of = |view: &str| -> Result<_, Refused> {
            let prefix = format!("{view}.");
            let of_view = all.extract_if(.., |(name, _)| name.starts_with(&prefix));
            let of_view: Vec<_> = of_view
                .map(|(name, value)| (name[prefix.len()..].to_owned().into(), value))
                .collect();
            let table =
                VIEWS.iter().find(|(name, _)| *name == view).map_or(&[][..], |(_, table)| *table);
            Values::of(table, &of_view, &prefix).map(|values| (values, !of_view.is_empty()))
        };
        let sessions = values_of("sessions")?;
        let channels = values_of("channels")?;
        let services = values_of("services")?;
        let ends = values_of("ends")?;
        let events = Values::of(EVENTS, &all, "")?;
        let views: Vec<_> = events.text("views").unwrap_or_default().split(',').collect();
        let named = [&sessions, &channels, &services, &ends];
        for ((_, given), (view, _)) in named.iter().zip(&VIEWS[1..]) {
            if *given && !views.contains(view) {
                return Err(Refused::bad(format!(
                    "There are parameters for {view}, which views does not name."
                )));
            }
        }
        let is_seen = |view: &str| views.contains(&view);
        let channel = events.channel("channel");
        Ok(Self {
            hasher: RandomState::new(),
            sessions: is_seen("sessions").then(|| Followed::new(sessions::Query::new(&sessions.0))),
            channels: is_seen("channels").then(|| Followed::new(channels::Query::new(&channels.0))),
            services: is_seen("services").then(|| Followed::new(services::Query::new(&services.0))),
            ends: is_seen("ends").then(|| Followed::new(ends::Query::new(&ends.0))),
            session: events.number("session").map(Followed::new),
            channel: channel.map(|name| Followed::new((name, events.page_of("channel.")))),
        })
    }

    /// What is to be told of a snapshot: what has changed since the last one.
    pub(crate) fn events(&mut self, snapshot: &Snapshot) -> Bytes {
        let mut out = Vec::new();
        if let Some(point) = &snapshot.point {
            event(&mut out, "point", point);
        }
        out.extend_from_slice(snapshot.figures.get_or_init(|| {
            let mut out = Vec::new();
            event(&mut out, "hub", &hub::figures(snapshot, false));
            out.into()
        }));
        let hasher = &self.hasher;
        if let Some(Followed { what, last }) = &mut self.sessions {
            changed(&mut out, "sessions", &what.list(snapshot), last, hasher);
        }
        if let Some(Followed { what, last }) = &mut self.channels {
            changed(&mut out, "channels", &what.list(snapshot), last, hasher);
        }
        if let Some(Followed { what, last }) = &mut self.services {
            changed(&mut out, "services", &what.list(snapshot), last, hasher);
        }
        if let Some(Followed { what, last }) = &mut self.ends {
            changed(&mut out, "ends", &what.list(snapshot), last, hasher);
        }
        // A number is not used twice, so nobody looks for one that has gone.
        if let Some(Followed { what, last }) = &mut self.session
            && *last != Told::Gone
        {
            let gone = Gone { session: Some(*what), channel: None };
            let detail = sessions::detail(snapshot, *what);
            changed_or_gone(&mut out, ("session", detail), gone, last, hasher);
        }
        if let Some(Followed { what: (name, page), last }) = &mut self.channel {
            let gone = Gone { session: None, channel: Some(key(name)) };
            let detail = channels::detail(&snapshot.source, name, *page);
            changed_or_gone(&mut out, ("channel", detail), gone, last, hasher);
        }
        out.into()
    }
}

fn changed_or_gone(
    out: &mut Vec<u8>,
    (name, value): (&str, Option<impl Serialize>),
    gone: Gone,
    last: &mut Told,
    hasher: &RandomState,
) {
    match value {
        Some(value) => changed(out, name, &value, last, hasher),
        None if *last == Told::Gone => {}
        None => {
            *last = Told::Gone;
            event(out, "gone", &gone);
        }
    }
}

/// Writes an event unless it is the same as the last one.
fn changed(
    out: &mut Vec<u8>,
    name: &str,
    value: &impl Serialize,
    last: &mut Told,
    hasher: &RandomState,
) {
    let start = out.len();
    event(out, name, value);
    let told = Told::This(hasher.hash_one(&out[start..]));
    if std::mem::replace(last, told) == told {
        out.truncate(start);
    }
}

/// Writes an event. JSON has no line ends.
fn event(out: &mut Vec<u8>, name: &str, value: &impl Serialize) {
    let start = out.len();
    out.extend_from_slice(format!("event: {name}\ndata: ").as_bytes());
    if let Err(error) = serde_json::to_writer(&mut *out, value) {
        // Our types have text keys and finite numbers, and a list of bytes takes them all.
        tracing::error!(%error, name, "an event could not be written");
        return out.truncate(start);
    }
    out.extend_from_slice(b"\n\n");
}
