//! The channels and rooms of a session: those that it owns, and those that it has entered.

use super::claims::{Verdict, Wish};
use super::{Held, Membership, Notice, Owned, Session, Step, owned};
use crate::channel::{Channel, Expulsion, count_members};
use crate::command::{Ban, ChannelCommand, ChannelEvent, ChannelOptions, EnterOptions, Target};
use crate::directory::{Claim, Claimed};
use crate::endpoint::Reception;
use crate::hub::Create;
use crate::ids::{ChannelName, JoinedChannelId, MemberNumber, OwnedChannelId};
use crate::limit::Limit;
use crate::order::SendPath;
use crate::outbox::Tag;
use crate::presence;
use crate::reason::Reason;
use std::sync::Arc;
use std::time::Instant;

/// What a membership costs from its beginning to its end, besides what its protocol keeps of others: its
/// entries at the session and in the channel, and there an open message and a pause.
const MEMBERSHIP_BYTES: usize = 512;

/// Why the session may not do something.
pub(super) struct Forbidden {
    pub(super) reason: Reason,
    /// The permission or setting that refuses it.
    pub(super) by: &'static str,
}

impl Session {
    pub(super) fn channel_command(&mut self, now: Instant, command: ChannelCommand) -> Step {
        match command {
            ChannelCommand::Create { request, name, options } => {
                if self.unsettled(now, &name, true) {
                    let held = ChannelCommand::Create { request, name, options };
                    self.held = Some(Box::new(Held::Command(held.into())));
                    return Step::Wait;
                }
                self.create(request, name, options);
            }
            ChannelCommand::Enter { request, name, options } => {
                if self.unsettled(now, &name, false) {
                    let held = ChannelCommand::Enter { request, name, options };
                    self.held = Some(Box::new(Held::Command(held.into())));
                    return Step::Wait;
                }
                // Who enters and leaves without end must not fill the owner's outbox.
                match self.hub.reception(&name, &self.endpoint) {
                    Reception::Taken => {}
                    Reception::Wait => {
                        return self.hold(ChannelCommand::Enter { request, name, options }.into());
                    }
                    Reception::Busy => return self.busy(request),
                }
                if let Err((reason, limit)) = self.enter(now, request, name, options) {
                    if let Some(limit) = limit {
                        self.hub.metrics.hit(limit);
                    }
                    self.refuse(request, false, reason);
                }
            }
            ChannelCommand::Leave(number) => self.leave_channel(number),
            ChannelCommand::Withdraw(name) => {
                let is_it =
                    |entered: &Membership| entered.member.is_none() && entered.channel.name == name;
                let number = self.entered.iter().find(|(_, entered)| is_it(entered));
                if let Some(number) = number.map(|(number, _)| JoinedChannelId(number)) {
                    self.leave_channel(number);
                }
            }
            ChannelCommand::Dissolve(number) => {
                let entered = self.entered.get(number.0).map(|entered| entered.channel.clone());
                match entered.filter(|channel| channel.room && !channel.declared) {
                    Some(room) => {
                        self.hub.dissolve(&room, Reason::ClosedByOwner, &mut self.writes);
                    }
                    None => self.leave_channel(number),
                }
            }
            ChannelCommand::Delete(number) => {
                if let Some(owned) = self.take_owned(number) {
                    self.hub.end_channel(&owned.channel, Reason::ClosedByOwner, &mut self.writes);
                }
            }
            ChannelCommand::Resign(number) => {
                if let Some(owned) = self.take_owned(number) {
                    let (hub, reason) = (&self.hub, Reason::ClosedByOwner);
                    hub.owner_goes(&owned.channel, &self.endpoint, reason, &mut self.writes);
                }
            }
            ChannelCommand::Succeed { request, channel, member } => {
                return self.nominate(request, channel, member);
            }
            ChannelCommand::Kick { channel, member, ban } => self.kick(now, channel, member, ban),
            ChannelCommand::Unban { channel, peer } => {
                if let Some(owned) = owned(&self.owned, channel) {
                    owned.channel.unban(peer);
                }
            }
            ChannelCommand::Admit { channel, ticket, admit } => {
                if let Some(owned) = owned(&self.owned, channel)
                    && owned.channel.decide(ticket, admit, &mut self.writes)
                {
                    count_members(&self.hub.metrics, 1, 0);
                }
            }
        }
        Step::Go
    }

    pub(super) fn observe_channel(&mut self, tag: Tag, event: &ChannelEvent) -> bool {
        match event {
            ChannelEvent::MemberEntered { channel, member, .. }
            | ChannelEvent::MemberLeft { channel, member, .. } => {
                let current = owned(&self.owned, *channel).is_some_and(|owned| owned.tag == tag);
                if current {
                    // What was begun for the number's former holder does not go on.
                    self.order.forget(SendPath::Member(*channel, *member));
                }
                current
            }
            ChannelEvent::Knock { channel, .. } => {
                owned(&self.owned, *channel).is_some_and(|owned| owned.tag == tag)
            }
            ChannelEvent::Nominated { channel, nomination } => {
                self.nominated(tag, *channel, *nomination);
                false
            }
            ChannelEvent::Owner { channel, news } => self.owner_news(tag, *channel, news),
            ChannelEvent::Others { channel, .. } => {
                self.entered.get(channel.0).is_some_and(|entered| entered.tag == tag)
            }
            ChannelEvent::Entered(told) => {
                let Some(entered) = self.entered.get_mut(told.channel.0) else {
                    return false;
                };
                if entered.tag != tag {
                    return false;
                }
                if entered.member.replace(told.member).is_none() {
                    self.pending -= 1;
                    entered.cost.resize(MEMBERSHIP_BYTES);
                    // What was begun before the owner let the session in went nowhere.
                    self.order.forget(SendPath::In(told.channel));
                }
                true
            }
            ChannelEvent::Ended { channel, .. } => {
                let current = self.entered.get(channel.0).is_some_and(|entered| entered.tag == tag);
                if current && let Some(entered) = self.take_entered(*channel) {
                    self.order.forget(SendPath::In(*channel));
                    self.let_go(&entered.channel);
                }
                current
            }
            ChannelEvent::Deleted { channel, .. } => {
                let current = owned(&self.owned, *channel).is_some_and(|owned| owned.tag == tag);
                current && self.take_owned(*channel).is_some()
            }
            ChannelEvent::Created { .. }
            | ChannelEvent::OtherEntered { .. }
            | ChannelEvent::OtherLeft { .. } => true,
        }
    }

    pub(super) fn kick(
        &mut self,
        now: Instant,
        channel: OwnedChannelId,
        member: MemberNumber,
        ban: Option<Ban>,
    ) {
        let expulsion = Expulsion { now, ban, noted: false, metrics: &self.hub.metrics };
        if let Some(owned) = owned(&self.owned, channel)
            && let Some(expelled) = owned.channel.kick(member, &expulsion, &mut self.writes)
        {
            if let Some(banned) = expelled.by_id_alone {
                self.notify(|| Notice::BannedById(banned));
            }
            count_members(&self.hub.metrics, 0, 1);
        }
    }

    fn create(&mut self, request: u32, name: ChannelName, options: ChannelOptions) {
        if let Err(forbidden) = self.may_create(&name) {
            return self.refuse_create(request, &name, forbidden);
        }
        if let Err(reason) = self.hub.check_channel(&name, &options) {
            return self.refuse(request, true, reason);
        }
        match self.claim(&Claim::Channel(&name)) {
            Verdict::Granted(claimed) => self.make_channel(request, name, options, claimed),
            Verdict::Refused(reason) => self.refuse(request, true, reason),
            Verdict::Pending(claimed) => {
                self.wait_for(claimed, Wish::Create { request, name, options });
            }
        }
    }

    /// Makes a channel that nobody else has to be asked about (any more).
    pub(super) fn make_channel(
        &mut self,
        request: u32,
        name: ChannelName,
        options: ChannelOptions,
        claimed: Option<Claimed>,
    ) {
        let reached = self.owned.len() as u64 >= u64::from(self.owned_max());
        let number = OwnedChannelId(self.owned.next_free());
        let tag = self.tag();
        let seat = (!reached).then_some((number, tag));
        let new = Create { request, name, options, claimed };
        match self.hub.create(self.now, &self.endpoint, new, seat, &mut self.writes) {
            Ok(channel) => {
                self.owned.insert(Owned { channel, tag, kept: false });
            }
            Err(reason) => self.refuse(request, true, reason),
        }
    }

    pub(super) fn refuse_create(&mut self, request: u32, name: &ChannelName, why: Forbidden) {
        self.not_allowed(why.by, Some(name.as_bytes()));
        self.refuse(request, true, why.reason);
    }

    /// Whether the session may have a channel of this name, however it comes to it: by creating it, by making a
    /// room of it, or as the successor of its owner.
    pub(super) fn may_create(&self, name: &ChannelName) -> Result<(), Forbidden> {
        if !self.permissions().create.allows(name.as_bytes()) {
            return Err(Forbidden { reason: Reason::NotAllowed, by: "permissions.create" });
        }
        let Some(rule) = self.hub.rule_of(name) else {
            return Ok(());
        };
        rule.may_create(&self.endpoint).map_err(|(reason, limit)| {
            self.hub.metrics.hit(limit);
            Forbidden { reason, by: limit.key() }
        })
    }

    fn enter(
        &mut self,
        now: Instant,
        request: u32,
        name: ChannelName,
        options: EnterOptions,
    ) -> Result<(), (Reason, Option<Limit>)> {
        let refused = |reason| (reason, None);
        if options.credentials.len() > EnterOptions::CREDENTIALS_BYTES_MAX {
            return Err(refused(Reason::TooLarge));
        }
        if !self.permissions().enter.allows(name.as_bytes()) {
            self.not_allowed("permissions.enter", Some(name.as_bytes()));
            return Err(refused(Reason::NotAllowed));
        }
        let mut cost = self.pay(MEMBERSHIP_BYTES + options.credentials.len()).map_err(refused)?;
        let account = self.endpoint.account();
        let mut by = "rooms.create_on_entry";
        let makes = options.make_room && !options.silent;
        let make = makes.then_some(|| {
            self.may_create(&name).map_err(|forbidden| {
                by = forbidden.by;
                forbidden.reason
            })
        });
        let found = self.hub.find(now, &name, make, account);
        if matches!(found, Err(Reason::NotAllowed | Reason::Banned)) {
            self.not_allowed(by, Some(name.as_bytes()));
        }
        let channel = found.map_err(refused)?;
        if let Some(rule) = &channel.rule
            && let Err((reason, limit)) = rule.may_enter(&self.endpoint)
        {
            self.not_allowed(limit.key(), Some(name.as_bytes()));
            self.hub.end_if_unused(&channel, &mut self.writes);
            return Err((reason, Some(limit)));
        }
        if self.entered.iter().any(|(_, entered)| Arc::ptr_eq(&entered.channel, &channel)) {
            return Err(refused(Reason::AlreadyEntered));
        }
        if self.waits_for() >= self.hub.limits.commands_pending_max {
            // The room may have been made for this entry alone.
            self.hub.end_if_unused(&channel, &mut self.writes);
            return Err((Reason::TooManyPending, Some(Limit::CommandsPending)));
        }
        let reached = self.entered.len() as u64 >= u64::from(self.entered_max());
        let number = JoinedChannelId(self.entered.next_free());
        let tag = self.tag();
        let seat = (!reached).then_some((number, tag));
        let room = channel.room && makes;
        let again = room.then(|| options.clone());
        let silent = options.silent;
        let entered = channel.enter(now, &self.endpoint, seat, request, options, &mut self.writes);
        if let (Err(Reason::NoSuchName), Some(options)) = (entered, again) {
            // Its last member left between finding and entering it; there is a new one to make.
            return self.enter(now, request, name, options);
        }
        if entered.is_err() {
            // The room may have been made for this entry alone.
            self.hub.end_if_unused(&channel, &mut self.writes);
        }
        let member = entered.map_err(|reason| {
            let limit = match reason {
                Reason::Full => Some(channel.members_limit()),
                Reason::TooManyChannels => Some(Limit::ChannelsEntered),
                Reason::TooManyPending => Some(Limit::CommandsPending),
                _ => None,
            };
            (reason, limit)
        })?;
        match member {
            Some(_) => {
                cost.resize(MEMBERSHIP_BYTES);
                count_members(&self.hub.metrics, 1, 0);
            }
            None => self.pending += 1,
        }
        if !self.entered.is_empty() {
            // From now on the order of messages between these channels can be seen.
            channel.mix();
            self.entered.iter().for_each(|(_, entered)| entered.channel.mix());
        }
        if channel.room && !silent {
            self.settle_room(&channel);
        }
        // Taken at once: the next command may use the number before the event is on its way.
        let limiter = channel.rule.as_ref().and_then(|rule| self.rates.begin(now, rule));
        self.entered.insert(Membership { channel, tag, member, silent, limiter, cost });
        Ok(())
    }

    /// Ends a membership, or the wait for one, as the session wishes.
    fn leave_channel(&mut self, number: JoinedChannelId) {
        if let Some(entered) = self.take_entered(number) {
            self.order.forget(SendPath::In(number));
            self.paused.remove(&Target::Up(number));
            self.part_from(&entered, Reason::Left);
            self.let_go(&entered.channel);
        }
    }

    /// Removes a membership. The messages that it sent still count.
    pub(super) fn take_entered(&mut self, number: JoinedChannelId) -> Option<Membership> {
        let mut entered = self.entered.remove(number.0)?;
        if let (Some(rule), Some(limiter)) = (&entered.channel.rule, entered.limiter.take()) {
            self.rates.end(self.now, rule, limiter);
        }
        Some(entered)
    }

    /// Ends a membership, or the wait for one.
    pub(super) fn part_from(&mut self, entered: &Membership, reason: Reason) {
        let Membership { channel, tag, member, silent, .. } = entered;
        let was_member = match member {
            Some(member) => channel.leave(&self.endpoint, *member, reason, &mut self.writes),
            None => {
                self.pending -= 1;
                channel.withdraw(&self.endpoint, *tag, reason, &mut self.writes)
            }
        };
        count_members(&self.hub.metrics, 0, usize::from(was_member));
        if channel.room && !silent {
            self.settle_room(channel);
        }
        self.hub.end_if_unused(channel, &mut self.writes);
    }

    /// Other members are told that the session has entered or left a room. The cost of this counts as its messages.
    fn settle_room(&mut self, room: &Arc<Channel>) {
        self.hub.settle_room(room, &mut self.writes);
        let price = presence::price(room.hearers());
        if price > 0 && !self.closed {
            let throttled = self.count(self.now, price, 0);
            self.ruled = self.ruled.max(throttled);
        }
    }

    pub(super) fn owned_max(&self) -> u32 {
        self.hub.limits.channels_owned_max.min(self.endpoint.profile.capacity.owned_max)
    }

    fn entered_max(&self) -> u32 {
        self.hub.limits.channels_entered_max.min(self.endpoint.profile.capacity.entered_max)
    }
}
