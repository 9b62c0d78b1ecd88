//! What the operator of a hub sees of it, and does: sessions with what they hold and how they are carried, channels,
//! services, the sessions that have ended lately; and the end of a session or channel.
//!
//! All of it is plain values. Locks that sessions need are held for as long as pointers are copied, and what is behind the
//! pointers is read afterwards: what changes meanwhile may be seen before or after that.

use crate::endpoint::{Endpoint, PendingWrites, Traffic};
use crate::hub::Hub;
use crate::ids::{ChannelName, LinkNumber, MemberNumber, PeerId, PeerName};
use crate::reason::Reason;
use crate::transport::Transport;
use std::ops::Range;
use std::time::{Duration, Instant};

pub use crate::channel::{ChannelInfo, ChannelOf, Participant};
pub use crate::ends::Ended;

/// A session that has said who it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionInfo {
    /// Its number, id, name, protocol and address.
    pub who: Participant,
    /// When it was opened, a little before its hello.
    pub since: Instant,
    /// What carries its bytes.
    pub transport: Transport,
    /// Whether its connection is lost and it may come back.
    pub away: bool,
    /// Whether it has proven that its id is its own.
    pub proven: bool,
    /// Whether its credentials have granted it its name.
    pub granted_name: bool,
    /// Whether it is the [hub application](Hub::set_application_peer), which cannot be ended from here.
    pub application: bool,
    /// How long its client took to answer the last probe, if it has answered one.
    pub round_trip: Option<Duration>,
    /// What waits to be written to it, in bytes of memory, with what waits for others too.
    pub outbox_bytes: usize,
    /// The memory that is held for it, in bytes, with what waits.
    pub memory_bytes: usize,
    /// What went in and out.
    pub traffic: Traffic,
}

/// A session, and what it has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SessionDetail {
    /// The session.
    pub info: SessionInfo,
    /// The channels that it owns and those in which it is a member, in the order of their names.
    pub channels: Vec<ChannelOf>,
    /// Its links, in the order of their numbers, as many as were asked for.
    pub links: Vec<LinkOf>,
    /// How many links it has.
    pub link_count: usize,
    /// The services that it provides, in order.
    pub services: Vec<PeerName>,
}

/// A link of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LinkOf {
    /// How the session knows it.
    pub number: LinkNumber,
    /// The other side.
    pub to: Participant,
}

/// A service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ServiceInfo {
    /// Its name.
    pub name: PeerName,
    /// Who provides it, the first that came first, as many as were asked for.
    pub providers: Vec<Participant>,
    /// How many provide it.
    pub provider_count: usize,
}

/// Some of the members of a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Members {
    /// The channel, with how many there are.
    pub channel: ChannelInfo,
    /// Those that were asked for, in the order of their numbers.
    pub members: Vec<(MemberNumber, Participant)>,
}

/// How many there are of what a hub has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Totals {
    /// Sessions that have said who they are.
    pub sessions: usize,
    /// Channels and rooms.
    pub channels: usize,
    /// Rooms among them.
    pub rooms: usize,
    /// Services.
    pub services: usize,
}

/// Why a session does not end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NotEnded {
    /// No session has this number (any more).
    #[error("no session has this number; it may have ended")]
    Gone,
    /// It is the program that the hub is a part of.
    #[error("this is the hub's own program, which cannot be ended from here")]
    Application,
}

impl Hub {
    /// All sessions that have said who they are, of whatever protocol, in the order of their ids. Those that were
    /// replaced are not among them; those that share a name are.
    pub fn session_infos(&self) -> Vec<SessionInfo> {
        self.all_sessions().iter().map(|endpoint| self.session_info(endpoint)).collect()
    }

    /// The sessions with this id, in hexadecimal digits, or this name, each whole.
    pub fn sessions_called(&self, who: &str) -> Vec<SessionInfo> {
        let (all, id) = (self.all_sessions(), who.parse::<PeerId>().ok());
        let called = all.iter().filter(|endpoint| {
            endpoint
                .peer()
                .is_some_and(|peer| peer.name.as_deref() == Some(who) || id == Some(peer.id))
        });
        called.map(|endpoint| self.session_info(endpoint)).collect()
    }

    /// One session, and what it has. Of its links there are at most `links_max`. `None` if it has ended or was
    /// replaced.
    ///
    /// This goes through the members of all channels.
    pub fn session_detail(&self, session: u64, links_max: usize) -> Option<SessionDetail> {
        let endpoint = self.present(session)?;
        let mut channels: Vec<_> =
            self.all_channels().iter().filter_map(|channel| channel.of(&endpoint)).collect();
        channels.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        let (links, link_count) = {
            let links = endpoint.links();
            let some: Vec<_> = links.iter().take(links_max).collect();
            (some, links.len())
        };
        let mut known = Vec::with_capacity(links.len());
        for (number, link, side) in links {
            // The other side may have ended it in this moment.
            known.extend(link.other(side).map(|to| LinkOf { number, to: Participant::of(&to) }));
        }
        Some(SessionDetail {
            info: self.session_info(&endpoint),
            channels,
            links: known,
            link_count,
            services: self.services_of(&endpoint),
        })
    }

    fn session_info(&self, endpoint: &Endpoint) -> SessionInfo {
        let who = Participant::of(endpoint);
        SessionInfo {
            since: endpoint.since,
            transport: endpoint.transport(),
            away: endpoint.is_away(),
            proven: endpoint.is_proven(),
            granted_name: endpoint.has_granted_name(),
            application: self.application_peer() == Some(who.peer.id),
            round_trip: endpoint.round_trip(),
            outbox_bytes: endpoint.waits(),
            memory_bytes: endpoint.holds(),
            traffic: endpoint.traffic(),
            who,
        }
    }

    /// A channel or room, and its members at some places in the order of their numbers: `0..50` gives the first
    /// fifty. `None` if there is no such channel.
    pub fn members_at(&self, name: &ChannelName, places: Range<usize>) -> Option<Members> {
        let channel = self.channel(name)?;
        let (info, members) = (channel.info(), channel.members_at(places));
        let members = members.into_iter();
        let members = members.map(|(number, endpoint)| (number, Participant::of(&endpoint)));
        Some(Members { channel: info, members: members.collect() })
    }

    /// All services in the order of their names, each with at most `providers_max` of its providers.
    pub fn service_infos(&self, providers_max: usize) -> Vec<ServiceInfo> {
        let mut services: Vec<_> = self
            .all_services(providers_max)
            .into_iter()
            .map(|(name, providers, provider_count)| ServiceInfo {
                name,
                providers: providers.iter().map(|endpoint| Participant::of(endpoint)).collect(),
                provider_count,
            })
            .collect();
        services.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        services
    }

    /// How many there are of what the hub has. Cheap, whatever it has.
    pub fn totals(&self) -> Totals {
        let (sessions, services) = self.count_peers();
        let (channels, rooms) = self.count_channels();
        Totals { sessions, channels, rooms, services }
    }

    /// The sessions that have ended last, the newest first: at most 256 that were let in, and at most 64 that were not.
    pub fn ends(&self) -> Vec<Ended> {
        self.ends.newest()
    }

    /// Ends a session of any protocol, by its number, with a goodbye if its protocol has one. What waits for it is
    /// still written. It does not come back by a resume. [`Reason::Kicked`] is the reason that clients know.
    ///
    /// # Errors
    /// See [`NotEnded`].
    pub fn disconnect_session(&self, session: u64, reason: Reason) -> Result<(), NotEnded> {
        let endpoint = self.present(session).ok_or(NotEnded::Gone)?;
        if endpoint.peer().map(|peer| peer.id) == self.application_peer() {
            return Err(NotEnded::Application);
        }
        endpoint.end_soon(reason);
        Ok(())
    }

    /// Ends a channel or room for all, who are told the reason. A room that always exists is emptied, and stays. An
    /// owner that [cannot be told](crate::command::Hello::deletes) loses its session, for the same reason: one of peote
    /// has no form for that. A successor does not get the channel. Gives how many members there were; `None` if there is
    /// no such channel.
    pub fn close_channel(&self, name: &ChannelName, reason: Reason) -> Option<usize> {
        let channel = self.channel(name)?;
        let mut writes = PendingWrites::default();
        let members = self.dissolve(&channel, reason, &mut writes);
        writes.flush();
        Some(members)
    }
}
