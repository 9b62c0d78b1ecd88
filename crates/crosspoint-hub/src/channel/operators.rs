//! What the hub application does in any channel.

use super::state::Banned;
use super::{Channel, Expulsion};
use crate::command::{Ban, Mode, Peer};
use crate::endpoint::{Endpoint, PendingWrites};
use crate::ids::{ChannelName, MemberNumber, PeerId};
use crate::metrics::Metrics;
use std::net::IpAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

/// A channel or room.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelInfo {
    /// Its name.
    pub name: ChannelName,
    /// Whether it belongs to the hub.
    pub room: bool,
    /// Whether it is a room that always exists.
    pub declared: bool,
    /// How its messages are framed.
    pub mode: Mode,
    /// Its owner, if it has one.
    pub owner: Option<Participant>,
    /// How many members there are.
    pub members: usize,
    /// How many there may be.
    pub members_max: u32,
    /// When it was made; `None` for one that is as old as the hub.
    pub since: Option<Instant>,
}

/// A channel or room of a session.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ChannelOf {
    /// The name of the channel.
    pub name: ChannelName,
    /// Whether it belongs to the hub.
    pub room: bool,
    /// The session's number there. `None`: it is the owner.
    pub member: Option<MemberNumber>,
}

/// A session, such as an owner or a member.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Participant {
    /// The session, as logs name it.
    pub session: u64,
    /// The identity. The id of a peote program is new with each connection.
    pub peer: Peer,
    /// The address of its connection; `None` inside the program.
    pub address: Option<IpAddr>,
}

/// The members of a channel to kick.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Whom {
    /// The member with this number. The number may pass to another member at any moment.
    Member(MemberNumber),
    /// The member with this peer id. It need not be present to be banned.
    Peer(PeerId),
    /// All members from this address. They need not be present to be banned.
    Address(IpAddr),
}

impl Participant {
    pub(crate) fn of(endpoint: &Endpoint) -> Self {
        Self { session: endpoint.id, peer: endpoint.known_peer(), address: endpoint.address }
    }
}

impl Channel {
    pub(crate) fn info(&self) -> ChannelInfo {
        let state = self.lock();
        ChannelInfo {
            name: self.name.clone(),
            room: self.room,
            declared: self.declared,
            mode: self.mode,
            owner: state.owner.as_ref().map(|owner| Participant::of(&owner.endpoint)),
            members: state.members.len(),
            members_max: self.members_max,
            since: self.since,
        }
    }

    pub(crate) fn participants(&self) -> Vec<(MemberNumber, Participant)> {
        let members = self.members_at(0..usize::MAX).into_iter();
        members.map(|(number, endpoint)| (number, Participant::of(&endpoint))).collect()
    }

    /// The members at some places, in the order of their numbers.
    pub(crate) fn members_at(&self, places: Range<usize>) -> Vec<(MemberNumber, Arc<Endpoint>)> {
        let state = self.lock();
        let members = state.members.iter().skip(places.start).take(places.len());
        members.map(|(number, one)| (MemberNumber(number), one.endpoint.clone())).collect()
    }

    /// What the channel is to a session that owns it or is a member.
    pub(crate) fn of(&self, endpoint: &Endpoint) -> Option<ChannelOf> {
        let state = self.lock();
        let member = match state.is_owner(endpoint) {
            true => None,
            false => {
                let mut members = state.members.iter();
                let (number, _) = members.find(|(_, one)| one.endpoint.id == endpoint.id)?;
                Some(MemberNumber(number))
            }
        };
        Some(ChannelOf { name: self.name.clone(), room: self.room, member })
    }

    /// Kicks all members that `whom` selects. Returns their number.
    pub(crate) fn expel(
        &self,
        now: Instant,
        whom: Whom,
        ban: Option<Ban>,
        metrics: &Metrics,
        writes: &mut PendingWrites,
    ) -> usize {
        let mut state = self.lock();
        let fits = |number: u32, endpoint: &Endpoint| match whom {
            Whom::Member(member) => number == member.0,
            Whom::Peer(peer) => endpoint.known_peer().id == peer,
            Whom::Address(address) => {
                endpoint.known_by == Some(address) || endpoint.address == Some(address)
            }
        };
        let members = state.members.iter().filter(|(number, one)| fits(*number, &one.endpoint));
        let members: Vec<MemberNumber> = members.map(|(number, _)| MemberNumber(number)).collect();
        // What is known of somebody who may not be there.
        let absent = match whom {
            Whom::Address(address) => Some((None, Some(address))),
            Whom::Peer(peer) if members.is_empty() => Some((Some(peer), None)),
            Whom::Peer(_) | Whom::Member(_) => None,
        };
        if let (Some(ban), Some((peer, address))) = (ban, absent) {
            let until = ban.time.and_then(|time| now.checked_add(time));
            self.note_ban(&mut state, Banned { peer, address, until }, metrics, writes);
        }
        let expulsion = Expulsion { now, ban, noted: absent.is_some(), metrics };
        for member in &members {
            self.throw_out(&mut state, *member, &expulsion, writes);
        }
        members.len()
    }

    /// Lifts bans. Returns their number.
    pub(crate) fn lift(&self, whom: Whom) -> usize {
        let mut state = self.lock();
        state.forget_bans(|ban| match whom {
            Whom::Member(_) => false,
            Whom::Peer(peer) => ban.peer == Some(peer),
            Whom::Address(address) => ban.address == Some(address),
        })
    }
}
