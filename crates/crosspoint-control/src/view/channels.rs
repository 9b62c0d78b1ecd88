//! Channels and rooms.

use super::peer;
use crate::clock::Clock;
use crate::key::key;
use crate::listing::{Page, Search, page};
use crate::model::{ChannelDetail, ChannelRow, Channels, MemberRow, Members, Mode};
use crate::params::Values;
use crate::snapshot::{ChannelSeen, Snapshot, Source};
use crosspoint_hub::inventory::ChannelInfo;
use crosspoint_hub::{ChannelName, command};
use std::cmp::Ordering;

/// Which channels are listed, and how.
#[derive(Debug)]
pub(crate) struct Query {
    search: Option<Search>,
    rooms: Option<bool>,
    sort: Sort,
    descending: bool,
    page: Page,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sort {
    Name,
    Members,
    Since,
}

impl Query {
    /// From what was asked for.
    pub(crate) fn new(values: &Values) -> Self {
        Self {
            search: values.search(),
            rooms: values.text("kind").map(|kind| kind == "room"),
            sort: match values.text("sort") {
                Some("members") => Sort::Members,
                Some("since") => Sort::Since,
                _ => Sort::Name,
            },
            descending: values.is_descending(),
            page: values.page(),
        }
    }

    /// The list.
    pub(crate) fn list(&self, snapshot: &Snapshot) -> Channels {
        let paged = page(
            snapshot.channels(),
            |seen| {
                self.rooms.is_none_or(|rooms| seen.info.room == rooms)
                    && self.search.as_ref().is_none_or(|search| search.is_in(&seen.folded))
            },
            |one, other| self.order(one, other),
            self.page,
        );
        let clock = &snapshot.source.clock;
        Channels {
            total: paged.total as u64,
            matched: paged.matched as u64,
            offset: self.page.offset as u64,
            channels: paged.rows.into_iter().map(|seen| row(&seen.info, clock)).collect(),
        }
    }

    fn order(&self, one: &ChannelSeen, other: &ChannelSeen) -> Ordering {
        let (a, b) = (&one.info, &other.info);
        let order = match self.sort {
            Sort::Name => one.folded.cmp(&other.folded),
            Sort::Members => a.members.cmp(&b.members),
            // What is as old as the hub is the oldest.
            Sort::Since => a.since.cmp(&b.since),
        };
        let order = if self.descending { order.reverse() } else { order };
        order.then_with(|| a.name.cmp(&b.name))
    }
}

/// One channel with a page of its members, if it is there.
pub(crate) fn detail(source: &Source, name: &ChannelName, page: Page) -> Option<ChannelDetail> {
    let places = page.offset..page.offset.saturating_add(page.limit);
    let found = source.hub.members_at(name, places)?;
    let ChannelRow { name, key, room, declared, mode, owner, members, members_max, since_ms } =
        row(&found.channel, &source.clock);
    let items = found.members.iter();
    let items = items.map(|(number, who)| MemberRow { number: number.0, peer: peer(who) });
    let members = Members { total: members, offset: page.offset as u64, items: items.collect() };
    Some(ChannelDetail { name, key, room, declared, mode, owner, members, members_max, since_ms })
}

fn row(info: &ChannelInfo, clock: &Clock) -> ChannelRow {
    ChannelRow {
        name: info.name.to_string(),
        key: key(&info.name),
        room: info.room,
        declared: info.declared,
        mode: match info.mode {
            command::Mode::Raw => Mode::Raw,
            command::Mode::Chunk { .. } => Mode::Chunk,
        },
        owner: info.owner.as_ref().map(peer),
        members: info.members as u64,
        members_max: info.members_max.into(),
        since_ms: clock.ms(info.since.unwrap_or(clock.start())),
    }
}
