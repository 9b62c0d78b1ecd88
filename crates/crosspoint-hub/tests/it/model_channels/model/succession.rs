//! Owners that are away, or go: who is named, who inherits, and who hears of it.

use super::{Heir, Item, Member, Model, OWNED_MAX, Owned, Seat, lowest};
use crosspoint_hub::command::{ChannelEvent, Event, OwnerNews};
use crosspoint_hub::{InNumber, OwnNumber, Reason};

impl Model {
    pub(crate) fn succeed(&mut self, who: usize, request: u32, own: u32, member: Option<u32>) {
        let Some(id) = self.own(who, own) else {
            return self.refuse(who, request, false, Reason::NoSuchName);
        };
        let Some(member) = member else {
            self.forget_heir(id, Reason::Declined);
            return self.tell(who, None, Event::Done { request });
        };
        let place = &self.places[&id];
        let Some(&Member { who: named, seat, .. }) = place.members.get(&member) else {
            return self.refuse(who, request, false, Reason::NoSuchPeer);
        };
        if self.endpoints[named].pieces {
            return self.refuse(who, request, false, Reason::Unsupported);
        }
        if place.heir.as_ref().is_some_and(|heir| heir.member == member && heir.seat.is_some()) {
            return self.tell(who, None, Event::Done { request });
        }
        self.forget_heir(id, Reason::Declined);
        let naming = self.fresh();
        self.endpoints[named].inbox.push_back(Item::Heir(seat, id, Some(naming)));
        let place = self.places.get_mut(&id).expect("a place that is owned is there");
        place.heir = Some(Heir { member, naming, request: Some(request), seat: None });
    }

    pub(super) fn forget_heir(&mut self, id: u64, reason: Reason) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        let Some(Heir { member, request, .. }) = place.heir.take() else {
            return;
        };
        if let Some(Member { who, seat, .. }) = place.members.get(&member) {
            self.endpoints[*who].inbox.push_back(Item::Heir(*seat, id, None));
        }
        if let (Some((owner, ..)), Some(request)) = (place.owner, request) {
            self.refuse(owner, request, false, reason);
        }
    }

    /// A member reads that it is named, or no longer.
    pub(super) fn named(&mut self, who: usize, seat: Seat, id: u64, naming: Option<u64>) {
        if !self.endpoints[who].entered.values().any(|(held, _)| *held == seat) {
            return;
        }
        let Some(naming) = naming else {
            return self.let_go(who, id);
        };
        let seat = self.fresh();
        let owned = &mut self.endpoints[who].owned;
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        let (Some(heir), Some((owner, ..))) = (&mut place.heir, place.owner) else {
            return;
        };
        if heir.naming != naming {
            return;
        }
        let request = heir.request.take().expect("it is answered once");
        if owned.len() as u32 >= OWNED_MAX {
            place.heir = None;
            return self.refuse(owner, request, false, Reason::TooManyChannels);
        }
        let number = lowest(owned);
        owned.insert(number, Owned { seat, place: id, kept: true });
        heir.seat = Some((seat, number));
        self.tell(owner, None, Event::Done { request });
    }

    /// A session has nothing to do with a place any more, not even as its heir.
    pub(super) fn let_go(&mut self, who: usize, id: u64) {
        let owned = &mut self.endpoints[who].owned;
        let kept = owned.iter().find(|(_, owned)| owned.kept && owned.place == id);
        if let Some(number) = kept.map(|(number, _)| *number) {
            owned.remove(&number);
            self.owner_goes(who, id, Reason::OwnerLost);
        }
    }

    /// Passes a place to the heir, or ends it.
    pub(super) fn owner_goes(&mut self, who: usize, id: u64, reason: Reason) {
        let Some(place) = self.places.get_mut(&id) else {
            return;
        };
        if place.owner.is_none_or(|(owner, ..)| owner != who) {
            return;
        }
        let may_pass = reason != Reason::HubStopping;
        let heir = place.heir.take_if(|heir| may_pass && heir.seat.is_some());
        let Some(Heir { member, seat: Some((seat, number)), .. }) = heir else {
            return self.end(id, reason);
        };
        let heir = place.members.remove(&member).expect("an heir is a member");
        let away = self.endpoints[heir.who].told_away;
        (place.owner, place.away) = (Some((heir.who, seat, number)), away);
        let (channel, news) = (InNumber(heir.number), OwnerNews::You(OwnNumber(number)));
        self.tell(heir.who, Some(heir.seat), ChannelEvent::Owner { channel, news });
        self.cut_short(id);
        let changed = OwnerNews::Changed(self.peer(heir.who));
        self.inform(id, &changed);
        let members = self.places[&id].members.iter().map(|(member, there)| (*member, there.who));
        for (member, there) in members.collect::<Vec<_>>() {
            let event = self.member_entered(there, number, member);
            self.tell(heir.who, Some(seat), event);
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
            let (channel, reason) = (InNumber(number), Reason::OwnerLost);
            self.tell(who, Some(seat), ChannelEvent::Ended { channel, reason });
        }
    }

    fn inform(&mut self, id: u64, news: &OwnerNews) {
        for member in self.places[&id].members.values() {
            let (channel, news) = (InNumber(member.number), news.clone());
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
