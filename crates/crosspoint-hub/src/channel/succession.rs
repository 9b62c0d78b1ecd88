//! A channel whose owner is away, and its transfer when the owner goes.
//!
//! A successor is nominated in two steps. Its session is told and reserves a number for the channel. From then on
//! the channel can be transferred to it at any moment, without a moment in which it has no owner.

use super::Channel;
use super::state::{Begun, Owner, State, Successor};
use crate::command::{ChannelEvent, Event, OwnerNews};
use crate::endpoint::{Endpoint, PendingWrites, Reception};
use crate::gathering::Gathering;
use crate::ids::{MemberNumber, OwnedChannelId};
use crate::outbox::Tag;
use crate::reason::Reason;
use crate::wire::{Edge, Framing};
use std::sync::Arc;

/// The fate of a channel whose owner goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Transfer {
    /// It has another owner, and this many members fewer.
    Done { gone: usize },
    /// There is no successor.
    NoSuccessor,
    /// The session that goes did not own it.
    NotOwned,
}

impl Channel {
    /// The owner nominates its successor, or revokes the nomination. Gives whether that is settled already.
    pub(crate) fn nominate(
        &self,
        request: u32,
        member: Option<MemberNumber>,
        writes: &mut PendingWrites,
    ) -> Result<bool, Reason> {
        let mut state = self.lock();
        if state.ended {
            return Err(Reason::NoSuchName);
        }
        if !state.owner.as_ref().is_some_and(|owner| owner.endpoint.profile.successors) {
            // Its members frame what they send as its protocol needs it.
            return Err(Reason::Unsupported);
        }
        let Some(member) = member else {
            state.forget_successor(Reason::Declined, writes);
            return Ok(true);
        };
        let named = state.members.get(member.0).ok_or(Reason::NoSuchPeer)?;
        if !named.endpoint.profile.successors {
            return Err(Reason::Unsupported);
        }
        if state
            .successor
            .as_ref()
            .is_some_and(|successor| successor.member == member && successor.seat.is_some())
        {
            return Ok(true);
        }
        state.forget_successor(Reason::Declined, writes);
        let nomination = state.nominations;
        state.nominations = nomination.wrapping_add(1);
        if let Some(named) = state.members.get(member.0) {
            named.tell(
                ChannelEvent::Nominated { channel: named.number, nomination: Some(nomination) },
                writes,
            );
        }
        state.successor =
            Some(Successor { member, nomination, request: Some(request), seat: None });
        Ok(false)
    }

    /// The nominated member has a number for the channel, or a reason why not. Gives whether the
    /// number is needed.
    pub(crate) fn successor_answers(
        &self,
        nomination: u32,
        seat: Result<(OwnedChannelId, Tag), Reason>,
        writes: &mut PendingWrites,
    ) -> bool {
        let mut state = self.lock();
        let State { successor, owner: Some(owner), .. } = &mut *state else {
            return false;
        };
        let Some(named) = successor.as_mut().filter(|named| named.nomination == nomination) else {
            return false;
        };
        let Some(request) = named.request.take() else {
            return false;
        };
        let answer = match seat {
            Ok(seat) => {
                named.seat = Some(seat);
                Event::Done { request }
            }
            Err(reason) => {
                *successor = None;
                Event::Refused { request, create: false, reason }
            }
        };
        owner.endpoint.push_event(Tag::default(), answer, writes);
        seat.is_ok()
    }

    /// Whether the nominated member takes that news. It is told of a revoked nomination once for each
    /// nomination, which bounds it.
    pub(crate) fn nomination_reception(
        &self,
        member: Option<MemberNumber>,
        owner: &Arc<Endpoint>,
    ) -> Reception {
        let state = self.lock();
        let member = member.and_then(|member| state.members.get(member.0));
        member.map_or(Reception::Taken, |member| member.endpoint.reception(owner))
    }

    /// Transfers the channel of an owner that goes to the successor that it nominated, if that is allowed.
    pub(crate) fn transfer(
        &self,
        from: &Arc<Endpoint>,
        may_transfer: bool,
        writes: &mut PendingWrites,
    ) -> Transfer {
        let mut state = self.lock();
        if !state.is_owner(from) {
            return Transfer::NotOwned;
        }
        let successor =
            state.successor.take_if(|successor| may_transfer && successor.seat.is_some());
        let Some(Successor { member, seat: Some((number, tag)), .. }) = successor else {
            return Transfer::NoSuccessor;
        };
        let successor =
            state.take_member(member.0).expect("a member that goes is no successor any more");
        let gone = 1 + state.cut_short(writes);
        successor.tell(
            ChannelEvent::Owner { channel: successor.number, news: OwnerNews::You(number) },
            writes,
        );
        state.inform(&OwnerNews::Changed(successor.endpoint.known_peer()), writes);
        let owner = Owner { endpoint: successor.endpoint, number, tag };
        let channel = number;
        let members = state.members.iter().map(|(number, member)| {
            Event::Channel(ChannelEvent::MemberEntered {
                channel,
                member: MemberNumber(number),
                peer: member.endpoint.known_peer(),
                chunk: member.edge.chunk(),
                replies: member.endpoint.profile.framing == Framing::Messages,
            })
        });
        owner.endpoint.push_events_alone(tag, members, writes);
        let knocks = state.pending.iter().map(|applicant| {
            Event::Channel(ChannelEvent::Knock {
                channel,
                ticket: applicant.ticket,
                peer: applicant.endpoint.known_peer(),
                credentials: Box::from(&*applicant.options.credentials),
            })
        });
        owner.endpoint.push_events_alone(tag, knocks, writes);
        state.away = owner.endpoint.is_told_away();
        state.owner = Some(owner);
        from.release_senders();
        if state.away {
            state.inform(&OwnerNews::Away, writes);
        }
        Transfer::Done { gone }
    }

    /// Records that the owner is away or back. Does nothing if that is known, or if another session owns it.
    pub(crate) fn set_away(&self, owner: &Arc<Endpoint>, away: bool, writes: &mut PendingWrites) {
        let mut state = self.lock();
        if state.is_owner(owner) && state.away != away {
            state.away = away;
            let news = if away { OwnerNews::Away } else { OwnerNews::Back };
            state.inform(&news, writes);
        }
    }
}

impl State {
    fn inform(&self, news: &OwnerNews, writes: &mut PendingWrites) {
        for (_, member) in self.members.iter() {
            let (channel, news) = (member.number, news.clone());
            member.tell(ChannelEvent::Owner { channel, news }, writes);
        }
    }

    /// Messages of which the former owner has sent or received a part only do not go on. Members
    /// that cannot be told so, as their protocol has no border there, have to go. Gives how many.
    fn cut_short(&mut self, writes: &mut PendingWrites) -> usize {
        let begun = self.midway.take();
        self.down = Gathering::default();
        self.late = 0;
        let reached =
            |number| begun.is_some_and(|Begun { except }| except != Some(MemberNumber(number)));
        let mut stuck = Vec::new();
        for (number, member) in self.members.iter_mut() {
            member.behind = true;
            member.gathering = Gathering::default();
            let midway = std::mem::take(&mut member.midway);
            let late = std::mem::take(&mut member.late);
            let hears = !member.silent && matches!(member.edge, Edge::Chunked(_));
            if (midway || (reached(number) && !late)) && hears {
                stuck.push(number);
            }
        }
        for number in &stuck {
            if let Some(member) = self.take_member(*number) {
                let (channel, reason) = (member.number, Reason::OwnerLost);
                member.tell(ChannelEvent::Ended { channel, reason }, writes);
            }
        }
        stuck.len()
    }
}
