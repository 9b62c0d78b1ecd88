//! What becomes of a channel when its owner is away, and who has it when the owner goes.
//!
//! A successor is named in two steps. Its session is told and keeps a number free for the channel;
//! from then on the channel can pass to it at any moment, without a moment in which nobody owns it.

use super::Channel;
use super::state::{Begun, Heir, Owner, State};
use crate::command::{ChannelEvent, Event, OwnerNews};
use crate::endpoint::{Endpoint, PendingWrites, Reception};
use crate::gathering::Gathering;
use crate::ids::{MemberNumber, OwnNumber};
use crate::outbox::Tag;
use crate::reason::Reason;
use crate::wire::{Edge, Framing};
use std::sync::Arc;

/// What became of a channel whose owner goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Passed {
    /// It has another owner, and so many members less.
    On { gone: usize },
    /// Nobody is to have it.
    ToNobody,
    /// The one who goes did not own it.
    NotOwned,
}

impl Channel {
    /// The owner names its successor, or nobody. Gives whether that is settled already.
    pub(crate) fn name_successor(
        &self,
        request: u32,
        member: Option<MemberNumber>,
        writes: &mut PendingWrites,
    ) -> Result<bool, Reason> {
        let mut state = self.lock();
        if !state.owner.as_ref().is_some_and(|owner| owner.endpoint.profile.successors) {
            // Its members frame what they send as its protocol needs it.
            return Err(Reason::Unsupported);
        }
        let Some(member) = member else {
            state.forget_heir(Reason::Declined, writes);
            return Ok(true);
        };
        let named = state.members.get(member.0).ok_or(Reason::NoSuchPeer)?;
        if !named.endpoint.profile.successors {
            return Err(Reason::Unsupported);
        }
        if state.heir.as_ref().is_some_and(|heir| heir.member == member && heir.seat.is_some()) {
            return Ok(true);
        }
        state.forget_heir(Reason::Declined, writes);
        let naming = state.namings;
        state.namings = naming.wrapping_add(1);
        if let Some(named) = state.members.get(member.0) {
            named.tell(ChannelEvent::Heir { channel: named.number, naming: Some(naming) }, writes);
        }
        state.heir = Some(Heir { member, naming, request: Some(request), seat: None });
        Ok(false)
    }

    /// The one who was named has a number for the channel, or a reason why not. Gives whether the
    /// number is needed.
    pub(crate) fn heir_says(
        &self,
        naming: u32,
        seat: Result<(OwnNumber, Tag), Reason>,
        writes: &mut PendingWrites,
    ) -> bool {
        let mut state = self.lock();
        let State { heir, owner: Some(owner), .. } = &mut *state else {
            return false;
        };
        let Some(named) = heir.as_mut().filter(|named| named.naming == naming) else {
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
                *heir = None;
                Event::Refused { request, create: false, reason }
            }
        };
        owner.endpoint.push_event(Tag::default(), answer, writes);
        seat.is_ok()
    }

    /// Whether the one to be named takes that news. One that is named no more hears of that once for each
    /// time that it was named, which bounds it.
    pub(crate) fn naming_reception(
        &self,
        member: Option<MemberNumber>,
        owner: &Arc<Endpoint>,
    ) -> Reception {
        let state = self.lock();
        let member = member.and_then(|member| state.members.get(member.0));
        member.map_or(Reception::Taken, |member| member.endpoint.reception(owner))
    }

    /// Passes the channel of an owner that goes to the one whom it named, if it may pass.
    pub(crate) fn pass_on(
        &self,
        from: &Arc<Endpoint>,
        may_pass: bool,
        writes: &mut PendingWrites,
    ) -> Passed {
        let mut state = self.lock();
        if !state.is_owner(from) {
            return Passed::NotOwned;
        }
        let heir = state.heir.take_if(|heir| may_pass && heir.seat.is_some());
        let Some(Heir { member, seat: Some((number, tag)), .. }) = heir else {
            return Passed::ToNobody;
        };
        let heir = state.take_member(member.0).expect("a member that goes is no heir any more");
        let gone = 1 + state.cut_short(writes);
        heir.tell(
            ChannelEvent::Owner { channel: heir.number, news: OwnerNews::You(number) },
            writes,
        );
        state.inform(&OwnerNews::Changed(heir.endpoint.known_peer()), writes);
        let owner = Owner { endpoint: heir.endpoint, number, tag };
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
        Passed::On { gone }
    }

    /// The owner is away, or is back. Nothing happens if that is known, or somebody else owns it.
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
            if (midway || (reached(number) && !late)) && matches!(member.edge, Edge::Chunked(_)) {
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
