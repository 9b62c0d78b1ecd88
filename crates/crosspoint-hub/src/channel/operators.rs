//! What the hub's program does in any channel.

use super::state::Banned;
use super::{Channel, Expulsion};
use crate::command::Ban;
use crate::endpoint::{Endpoint, PendingWrites};
use crate::ids::MemberNumber;
use crate::metrics::Metrics;
use crate::operators::{ChannelInfo, Participant, Whom};
use std::time::Instant;

fn participant(endpoint: &Endpoint) -> Participant {
    Participant { session: endpoint.id, peer: endpoint.known_peer(), address: endpoint.address }
}

impl Channel {
    pub(crate) fn info(&self) -> ChannelInfo {
        let state = self.lock();
        ChannelInfo {
            name: self.name.clone(),
            room: self.room,
            owner: state.owner.as_ref().map(|owner| participant(&owner.endpoint)),
            members: state.members.len(),
        }
    }

    pub(crate) fn participants(&self) -> Vec<(MemberNumber, Participant)> {
        let state = self.lock();
        let members = state.members.iter();
        members.map(|(number, one)| (MemberNumber(number), participant(&one.endpoint))).collect()
    }

    /// Throws out all whom this is about. Gives how many there were.
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

    /// Lifts bans. Gives how many there were.
    pub(crate) fn lift(&self, whom: Whom) -> usize {
        let mut state = self.lock();
        state.forget_bans(|ban| match whom {
            Whom::Member(_) => false,
            Whom::Peer(peer) => ban.peer == Some(peer),
            Whom::Address(address) => ban.address == Some(address),
        })
    }
}
