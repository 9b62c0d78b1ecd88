//! Owners that are away, or go: who is named, who inherits, and who hears of it.

use super::{Item, Member, Model, OWNED_MAX, Owned, Seat, Successor, lowest};
use crosspoint_hub::command::{ChannelEvent, Event, OwnerNews};
use crosspoint_hub::{JoinedChannelId, OwnedChannelId, Reason};

impl Model {
    pub(crate) fn succeed(&mut self, who: usize, request: u32, own: u32, member: Option<u32>) {
        let Some(id) = self.own(who, own) else {
            return self.refuse(who, request, false, Reason::NoSuchName);
        };
        let Some(member) = member else {
            self.forget_successor(id, Reason::Declined);
            return self.tell(who, None, Event::Done { request });
        };
        let place = &self.places[&id];
        let Some(&Member { who: named, seat, .. }) = place.members.get(&member) else {
            return self.refuse(who, request, false, Reason::NoSuchPeer);
        };
        if self.endpoints[named].pieces {
            return self.refuse(who, request, false, Reason::Unsupported);
        }
        if place
            .successor
            .as_ref()
            .is_some_and(|successor| successor.member == member && successor.seat.is_some())
        {
            return self.tell(who, None, Event::Done { request });
        }
        self.forget_successor(id, Reason::Declined);
        let nomination = self.fresh();
        self.endpoints[named].inbox.push_back(Item::Successor(seat, id, Some(nomination)));
        let place = self.places.get_mut(&id).expect("a place that is owned is there");
        place.successor =
            Some(Successor { member, nomination, request: Some(request), seat: None });
    }

    pub(super) fn forget_successor(&mut self, id: u64, reason: Reason) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        let Some(Successor { member, request, .. }) = place.successor.take() else {
            return;
        };
        if let Some(Member { who, seat, .. }) = place.members.get(&member) {
            self.endpoints[*who].inbox.push_back(Item::Successor(*seat, id, None));
        }
        if let (Some((owner, ..)), Some(request)) = (place.owner, request) {
            self.refuse(owner, request, false, reason);
        }
    }

    /// A member reads that it is named, or no longer.
    pub(super) fn nominated(&mut self, who: usize, seat: Seat, id: u64, nomination: Option<u64>) {
        if !self.endpoints[who].entered.values().any(|(held, _)| *held == seat) {
            return;
        }
        let Some(nomination) = nomination else {
            return self.let_go(who, id);
        };
        let seat = self.fresh();
        let owned = &mut self.endpoints[who].owned;
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        let (Some(successor), Some((owner, ..))) = (&mut place.successor, place.owner) else {
            return;
        };
        if successor.nomination != nomination {
            return;
        }
        let request = successor.request.take().expect("it is answered once");
        if owned.len() as u32 >= OWNED_MAX {
            place.successor = None;
            return self.refuse(owner, request, false, Reason::TooManyChannels);
        }
        let number = lowest(owned);
        owned.insert(number, Owned { seat, place: id, kept: true });
        successor.seat = Some((seat, number));
        self.tell(owner, None, Event::Done { request });
    }

    /// A session has nothing to do with a place any more, not even as its successor.
    pub(super) fn let_go(&mut self, who: usize, id: u64) {
        let owned = &mut self.endpoints[who].owned;
        let kept = owned.iter().find(|(_, owned)| owned.kept && owned.place == id);
        if let Some(number) = kept.map(|(number, _)| *number) {
            owned.remove(&number);
            self.owner_goes(who, id, Reason::OwnerLost);
        }
    }

    /// Passes a place to the successor, or ends it.
    pub(super) fn owner_goes(&mut self, who: usize, id: u64, reason: Reason) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        if place.owner.is_none_or(|(owner, ..)| owner != who) {
            return;
        }
        let may_transfer = reason != Reason::HubStopping;
        let successor =
            place.successor.take_if(|successor| may_transfer && successor.seat.is_some());
        let Some(Successor { member, seat: Some((seat, number)), .. }) = successor else {
            return self.end(id, reason);
        };
        let successor = place.members.remove(&member).expect("a successor is a member");
        let away = self.endpoints[successor.who].told_away;
        (place.owner, place.away) = (Some((successor.who, seat, number)), away);
        let (channel, news) =
            (JoinedChannelId(successor.number), OwnerNews::You(OwnedChannelId(number)));
        self.tell(successor.who, Some(successor.seat), ChannelEvent::Owner { channel, news });
        self.cut_short(id);
        let changed = OwnerNews::Changed(self.peer(successor.who));
        self.inform(id, &changed);
        let members = self.places[&id].members.iter().map(|(member, there)| (*member, there.who));
        for (member, there) in members.collect::<Vec<_>>() {
            let event = self.member_entered(there, number, member);
            self.tell(successor.who, Some(seat), event);
        }
        if away {
            self.inform(id, &OwnerNews::Away);
        }
    }

    /// No message goes on. Who has no other way to notice has to go.
    fn cut_short(&mut self, id: u64) {
        let place = self.places.get_mut(&id).expect("it has a new owner");
        let endpoints = &self.endpoints;
        let stuck = place.members.extract_if(.., |_, member| {
            member.begun = None;
            std::mem::take(&mut member.midway) && endpoints[member.who].pieces
        });
        for (_, Member { who, seat, number, .. }) in stuck.collect::<Vec<_>>() {
            let (channel, reason) = (JoinedChannelId(number), Reason::OwnerLost);
            self.tell(who, Some(seat), ChannelEvent::Ended { channel, reason });
        }
    }

    fn inform(&mut self, id: u64, news: &OwnerNews) {
        for member in self.places[&id].members.values() {
            let (channel, news) = (JoinedChannelId(member.number), news.clone());
            let item = Item::Event(
                Some(member.seat),
                Event::Channel(ChannelEvent::Owner { channel, news }),
            );
            self.endpoints[member.who].inbox.push_back(item);
        }
    }

    /// The session hears whether its connection is away, and tells those who believe something else.
    pub(crate) fn heed_absence(&mut self, who: usize) {
        let me = &mut self.endpoints[who];
        let away = me.away;
        me.told_away = away;
        for id in me.owned.values().map(|owned| owned.place).collect::<Vec<_>>() {
            let Some(place) = self.places.get_mut(&id) else {
                continue;
            };
            let owns = place.owner.is_some_and(|(owner, ..)| owner == who);
            if owns && std::mem::replace(&mut place.away, away) != away {
                self.inform(id, if away { &OwnerNews::Away } else { &OwnerNews::Back });
            }
        }
    }

    pub(crate) fn resign(&mut self, who: usize, number: u32) {
        if let Some(id) = self.give_up(who, number) {
            self.owner_goes(who, id, Reason::ClosedByOwner);
        }
    }
}
