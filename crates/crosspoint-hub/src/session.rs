//! What one endpoint owns and has entered. Only the session's own task touches it, so nothing
//! here is locked. What has to do with other sessions by name is in `peering`, and with
//! channels that change their owners in `succession`.

mod overdue;
mod peering;
mod rates;
mod settling;
mod succession;

use crate::batch::{Batch, Batches};
use crate::channel::{Audience, Channel, Expulsion, count_members};
use crate::command::{
    ApplicationCommand, Ban, ChannelCommand, ChannelEvent, Command, EnterOptions, Event, Hello,
    LinkCommand, LinkEvent, Target,
};
use crate::delivery::Sent;
use crate::endpoint::{Endpoint, Paused, PendingWrites, Reception, Sending};
use crate::home::Asks;
use crate::hub::Hub;
use crate::ids::{ChannelName, InNumber, MemberNumber, OwnNumber, PeerId, PeerName};
use crate::ledger::{Charge, Purpose, SESSION_BYTES, Tab};
use crate::limit::Limit;
use crate::meter::Meter;
use crate::order::{Order, Road};
use crate::outbox::Tag;
use crate::permissions::{Grant, Permissions};
use crate::presence;
use crate::reason::Reason;
use crate::slots::Slots;
use crate::wire::Part;
use rates::Rates;
pub(crate) use settling::Nearby;
use settling::Settling;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// One connected endpoint. Dropping it closes it with [`Reason::ConnectionLost`], and with
/// [`Reason::Internal`] if a panic drops it.
#[derive(Debug)]
pub struct Session {
    hub: Arc<Hub>,
    endpoint: Arc<Endpoint>,
    owned: Slots<Owned>,
    entered: Slots<Membership>,
    next_tag: u32,
    /// Entries that wait for an owner's decision.
    pending: usize,
    services: Vec<Provided>,
    /// What it costs that it is told who comes and goes, if it is.
    watches: Option<Charge>,
    /// Questions to the hub's program that wait for their answers.
    asks: Arc<Asks>,
    permissions: Permissions,
    /// Messages that are sent together.
    batches: Batches,
    /// A command that came while the messages before it had to wait.
    held: Option<Held>,
    order: Order,
    paused: Paused,
    /// Whom the last message was for, and when that was somebody else than before.
    last: Option<Target>,
    switched: Option<Instant>,
    /// When it is worth a try to send what waits, if nobody wakes the session before.
    retry: Option<Instant>,
    meter: Meter,
    /// What it has sent under rules for channels that it has left.
    rates: Rates,
    settling: Settling,
    begun: Instant,
    /// For how long the endpoint was not listened to.
    unheard: Duration,
    /// What the endpoint has done wrong, for people.
    complaint: Option<String>,
    /// The time of the call.
    now: Instant,
    /// Before that nothing more may be read, because of the rule for a channel.
    ruled: Option<Instant>,
    /// Whom it has banned by an address that many share, until its driver has heard of that.
    banned_by_id: Option<PeerId>,
    writes: PendingWrites,
    closed: bool,
    /// What has come and is not carried out.
    input: Tab,
    /// The session itself.
    cost: Charge,
}

#[derive(Debug)]
enum Held {
    Command(Command),
    /// A part whose order was checked already.
    Part(Target, Part),
}

#[derive(Debug)]
struct Owned {
    channel: Arc<Channel>,
    tag: Tag,
    /// Somebody else owns it, and has named this session its successor.
    kept: bool,
}

/// A service that the session provides.
#[derive(Debug)]
struct Provided {
    name: PeerName,
    /// Its place among those that provide it.
    place: u64,
    _cost: Charge,
}

#[derive(Debug)]
struct Membership {
    channel: Arc<Channel>,
    tag: Tag,
    /// `None` while the owner is being asked.
    member: Option<MemberNumber>,
    /// What the session sends there, if a rule bounds it.
    meter: Option<Box<Meter>>,
    /// Its place here and in the channel, and what the owner is shown until it decides.
    cost: Charge,
}

/// What a membership costs from its beginning to its end, besides what its protocol keeps of others: its
/// entries at the session and in the channel, and there an open message and a pause.
const MEMBERSHIP_BYTES: usize = 512;

/// For how long a session counts as one that sends to several, after it did.
const MIXED: Duration = Duration::from_secs(60);

/// How a session goes on after a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[must_use]
pub enum Step {
    /// With the next command.
    Go,
    /// A receiver has no room. No further command may come before [`Session::flush`] gives
    /// [`Step::Go`]; the session's outlet is woken when it is worth a try.
    Wait,
    /// It is over.
    Close(Reason),
}

impl Session {
    /// What an entry of a service takes.
    #[cfg(test)]
    pub(crate) const PROVIDED_BYTES: usize = size_of::<Provided>();

    pub(crate) fn new(hub: Arc<Hub>, endpoint: Arc<Endpoint>, now: Instant) -> Self {
        let limits = &hub.limits;
        let (messages, bytes) = match limits.exempt(endpoint.address) {
            true => (0, 0),
            false => (limits.messages_per_second_max, limits.bytes_per_second_max),
        };
        Self {
            meter: Meter::new(now, messages, bytes),
            rates: Rates::default(),
            settling: Settling::new(now, endpoint.wire),
            begun: now,
            unheard: Duration::ZERO,
            complaint: None,
            now,
            ruled: None,
            input: Tab::new(endpoint.account(), Purpose::Input),
            cost: endpoint.account().charge(Purpose::Session, SESSION_BYTES),
            hub,
            endpoint,
            owned: Slots::default(),
            entered: Slots::default(),
            next_tag: 0,
            pending: 0,
            services: Vec::new(),
            watches: None,
            asks: Arc::default(),
            permissions: Permissions::NOTHING,
            batches: Batches::default(),
            held: None,
            order: Order::default(),
            paused: Paused::default(),
            last: None,
            switched: None,
            retry: None,
            banned_by_id: None,
            writes: PendingWrites::default(),
            closed: false,
        }
    }

    /// The hub that the session belongs to.
    pub fn hub(&self) -> &Arc<Hub> {
        &self.hub
    }

    /// By what the session is reached.
    pub fn endpoint(&self) -> &Arc<Endpoint> {
        &self.endpoint
    }

    /// Counts what arrived. Gives the time before which nothing more may be read, if any.
    pub fn count(&mut self, now: Instant, messages: u64, bytes: u64) -> Option<Instant> {
        let metrics = &self.hub.metrics;
        metrics.bytes_in.inc_by(bytes);
        let (by_messages, by_bytes) = self.meter.count(now, messages, bytes);
        if messages > 0 && by_messages.is_some() {
            metrics.hit(Limit::MessagesPerSecond);
        }
        if bytes > 0 && by_bytes.is_some() {
            metrics.hit(Limit::BytesPerSecond);
        }
        by_messages.max(by_bytes)
    }

    /// Because of the rule for a channel: the time before which nothing more may be read, if any. To be asked
    /// behind [`Session::flush`].
    pub fn ruled(&mut self) -> Option<Instant> {
        self.ruled.take()
    }

    /// Whom the session has banned by address since this was called last, where that holds for the peer id
    /// alone, as many share the address: the last one, if there were several.
    pub fn banned_by_id(&mut self) -> Option<PeerId> {
        self.banned_by_id.take()
    }

    /// Carries out a command. Messages may wait for [`Session::flush`], which has to follow.
    pub fn execute(&mut self, now: Instant, command: Command) -> Step {
        self.now = now;
        if let Command::Send { to, part } = command {
            return self.send(now, to, part);
        }
        match self.send_batches(now) {
            Step::Go => self.act(now, command),
            Step::Wait => {
                self.held = Some(Held::Command(command));
                Step::Wait
            }
            close => close,
        }
    }

    /// Sends what has gathered, and lets all receivers be written to.
    pub fn flush(&mut self, now: Instant) -> Step {
        self.now = now;
        let mut step = self.send_batches(now);
        if step == Step::Go {
            match self.held.take() {
                Some(Held::Command(command)) => step = self.act(now, command),
                Some(Held::Part(to, part)) => {
                    step = self.gather(now, to, part);
                    if step == Step::Go {
                        step = self.send_batches(now);
                    }
                }
                None => {}
            }
        }
        self.writes.flush();
        self.hub.keep_to_budgets(now);
        step
    }

    /// When [`Session::flush`] is worth a try after [`Step::Wait`], if nothing wakes the session
    /// before.
    pub fn retry_at(&self) -> Option<Instant> {
        self.retry
    }

    /// What its driver and its protocol hold of what has come, in bytes. What the hub's program holds comes
    /// on top.
    pub fn holds(&mut self, bytes: usize) {
        let held = match &self.held {
            Some(Held::Part(_, part)) => part.data.len(),
            Some(Held::Command(_)) | None => 0,
        };
        self.input.settle(bytes + self.batches.bytes() + held + self.asks.bytes());
    }

    /// To be called with each event before the endpoint is told, as some of them change what the
    /// session has. Gives whether the endpoint is to be told at all: not of what it has left or
    /// deleted meanwhile.
    pub fn observe(&mut self, tag: Tag, event: &Event) -> bool {
        match event {
            Event::Channel(event) => self.observe_channel(tag, event),
            Event::Resumed { to, of } => {
                let current = self.paused.get(to) == Some(of);
                if current {
                    self.paused.remove(to);
                    self.order.excuse(*to, self.endpoint.profile.framing);
                }
                current
            }
            Event::Link(LinkEvent::Opened { link, .. }) => {
                self.endpoint.links().get(*link).is_some()
            }
            Event::Link(LinkEvent::Closed { link, .. }) => self.unlinked(*link),
            Event::Refused { create: false, .. } if tag != Tag::default() => {
                // The owner said no, or the channel ended before it said anything.
                let asked = self.entered.iter().find(|(_, entered)| entered.tag == tag);
                let Some((number, _)) = asked else {
                    return false;
                };
                self.take_entered(InNumber(number));
                self.pending -= 1;
                true
            }
            _ => true,
        }
    }

    fn observe_channel(&mut self, tag: Tag, event: &ChannelEvent) -> bool {
        match event {
            ChannelEvent::MemberEntered { channel, member, .. }
            | ChannelEvent::MemberLeft { channel, member, .. } => {
                let current = owned(&self.owned, *channel).is_some_and(|owned| owned.tag == tag);
                if current {
                    // What was begun for the number's former holder does not go on.
                    self.order.forget(Road::Member(*channel, *member));
                }
                current
            }
            ChannelEvent::Knock { channel, .. } => {
                owned(&self.owned, *channel).is_some_and(|owned| owned.tag == tag)
            }
            ChannelEvent::Heir { channel, naming } => {
                self.named(tag, *channel, *naming);
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
                    self.order.forget(Road::In(told.channel));
                }
                true
            }
            ChannelEvent::Ended { channel, .. } => {
                let current = self.entered.get(channel.0).is_some_and(|entered| entered.tag == tag);
                if current && let Some(entered) = self.take_entered(*channel) {
                    self.order.forget(Road::In(*channel));
                    self.let_go(&entered.channel);
                }
                current
            }
            ChannelEvent::Created { .. }
            | ChannelEvent::OtherEntered { .. }
            | ChannelEvent::OtherLeft { .. } => true,
        }
    }

    /// Ends the session: its channels end, its memberships end, everybody concerned is told. What
    /// waits in the outbox can still be written until the session is dropped.
    pub fn close(&mut self, reason: Reason) {
        if std::mem::replace(&mut self.closed, true) {
            return;
        }
        self.batches.clear();
        self.order = Order::default();
        // Who says goodbye has ended its channels on purpose.
        let (ended, gone) = match reason {
            Reason::Bye => (Reason::ClosedByOwner, Reason::Left),
            Reason::HubStopping => (reason, reason),
            _ => (Reason::OwnerLost, Reason::ConnectionLost),
        };
        for (_, owned) in self.owned.iter().filter(|(_, owned)| !owned.kept) {
            self.hub.owner_goes(&owned.channel, &self.endpoint, ended, &mut self.writes);
        }
        let (entered, pending) = (std::mem::take(&mut self.entered), self.pending);
        for (_, entered) in entered.iter() {
            self.part_from(entered, gone);
        }
        // Nobody's heir any more, it has inherited by now what it will.
        for (_, kept) in self.owned.iter().filter(|(_, owned)| owned.kept) {
            self.hub.owner_goes(&kept.channel, &self.endpoint, ended, &mut self.writes);
        }
        // What the outbox holds is still told, and observe() has to know what it is about.
        (self.entered, self.pending) = (entered, pending);
        let quiet = reason == Reason::HubStopping;
        let services = std::mem::take(&mut self.services).into_iter();
        let services = services.map(|service| (service.name, service.place));
        self.hub.peer_goes(&self.endpoint, services, quiet, &mut self.writes);
        self.watches = None;
        self.unlink_all(gone);
        self.writes.flush();
        self.endpoint.seal();
        self.endpoint.secrecy.end(reason);
        self.hub.count_closed(&self.endpoint, reason);
    }

    fn act(&mut self, now: Instant, command: Command) -> Step {
        if self.endpoint.peer().is_none() {
            let Command::Hello(hello) = command else {
                return Step::Close(Reason::Malformed);
            };
            return self.hello(hello);
        }
        // Who does not read answers is told no more of them.
        if is_answered(&command) && self.endpoint.congested(&self.endpoint) {
            return self.hold(command);
        }
        match command {
            Command::Hello(_) => Step::Close(Reason::Malformed),
            Command::Channel(command) => self.channel_command(now, command),
            Command::Link(command) => self.link_command(command),
            Command::Directory(command) => self.directory_command(command),
            Command::Application(ApplicationCommand::Ask { ticket, ask }) => self.ask(ticket, ask),
            Command::Secured { outcome } => {
                self.endpoint.secrecy.settle(outcome);
                Step::Go
            }
            Command::Send { .. } => unreachable!("execute() takes messages aside"),
        }
    }

    fn channel_command(&mut self, now: Instant, command: ChannelCommand) -> Step {
        match command {
            ChannelCommand::Create { request, name, options } => {
                if self.unsettled(now, &name, true) {
                    let held = ChannelCommand::Create { request, name, options };
                    self.held = Some(Held::Command(held.into()));
                    return Step::Wait;
                }
                if let Err(reason) = self.may_create(&name) {
                    self.refuse(request, true, reason);
                    return Step::Go;
                }
                let reached = self.owned.len() as u64 >= u64::from(self.owned_max());
                let number = OwnNumber(self.owned.next_free());
                let tag = self.tag();
                let seat = (!reached).then_some((number, tag));
                let (hub, writes) = (&self.hub, &mut self.writes);
                match hub.create(&self.endpoint, request, name, seat, options, writes) {
                    Ok(channel) => {
                        self.owned.insert(Owned { channel, tag, kept: false });
                    }
                    Err(reason) => self.refuse(request, true, reason),
                }
            }
            ChannelCommand::Enter { request, name, options } => {
                if self.unsettled(now, &name, false) {
                    let held = ChannelCommand::Enter { request, name, options };
                    self.held = Some(Held::Command(held.into()));
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
            ChannelCommand::Leave(number) => {
                if let Some(entered) = self.take_entered(number) {
                    self.order.forget(Road::In(number));
                    self.paused.remove(&Target::Up(number));
                    self.part_from(&entered, Reason::Left);
                    self.let_go(&entered.channel);
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
                return self.name_successor(request, channel, member);
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

    /// Has a command wait until the one to be told of it has read: another session, or this one.
    fn hold(&mut self, command: Command) -> Step {
        self.held = Some(Held::Command(command));
        self.hub.metrics.hit(Limit::OutboxBytes);
        Step::Wait
    }

    /// Refuses a command, as the one to be told of it does not read.
    fn busy(&mut self, request: u32) -> Step {
        self.hub.metrics.hit(Limit::OutboxBytes);
        self.refuse(request, false, Reason::Busy);
        Step::Go
    }

    fn kick(&mut self, now: Instant, channel: OwnNumber, member: MemberNumber, ban: Option<Ban>) {
        let expulsion = Expulsion { now, ban, noted: false, metrics: &self.hub.metrics };
        if let Some(owned) = owned(&self.owned, channel)
            && let Some(expelled) = owned.channel.kick(member, &expulsion, &mut self.writes)
        {
            self.banned_by_id = expelled.by_id_alone.or(self.banned_by_id);
            count_members(&self.hub.metrics, 0, 1);
        }
    }

    fn hello(&mut self, hello: Hello) -> Step {
        if !self.hub.allows(hello.token.as_deref(), &self.endpoint.profile) {
            return Step::Close(Reason::NotAllowed);
        }
        let permissions = self.hub.permissions.clone();
        self.welcome(hello, Grant { permissions, ..Grant::default() })
    }

    /// Whether the session may have a channel of this name, however it comes to it: by creating it, by making a
    /// room of it, or as the successor of its owner.
    fn may_create(&self, name: &ChannelName) -> Result<(), Reason> {
        if !self.permissions.create.allows(name.as_bytes()) {
            return Err(Reason::NotAllowed);
        }
        let Some(rule) = self.hub.rule_of(name) else {
            return Ok(());
        };
        rule.may_create(&self.endpoint).map_err(|(reason, limit)| {
            self.hub.metrics.hit(limit);
            reason
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
        if !self.permissions.enter.allows(name.as_bytes()) {
            return Err(refused(Reason::NotAllowed));
        }
        let mut cost = self.pay(MEMBERSHIP_BYTES + options.credentials.len()).map_err(refused)?;
        let account = self.endpoint.account();
        let make = options.make_room.then_some(|| self.may_create(&name));
        let channel = self.hub.find(&name, make, account).map_err(refused)?;
        if let Some(rule) = &channel.rule
            && let Err((reason, limit)) = rule.may_enter(&self.endpoint)
        {
            self.hub.end_if_unused(&channel);
            return Err((reason, Some(limit)));
        }
        if self.entered.iter().any(|(_, entered)| Arc::ptr_eq(&entered.channel, &channel)) {
            return Err(refused(Reason::AlreadyEntered));
        }
        if self.pending >= self.hub.limits.commands_pending_max {
            // The room may have been made for this entry alone.
            self.hub.end_if_unused(&channel);
            return Err((Reason::TooManyPending, Some(Limit::CommandsPending)));
        }
        let reached = self.entered.len() as u64 >= u64::from(self.entered_max());
        let number = InNumber(self.entered.next_free());
        let tag = self.tag();
        let seat = (!reached).then_some((number, tag));
        let room = channel.room && options.make_room;
        let again = room.then(|| options.clone());
        let entered = channel.enter(now, &self.endpoint, seat, request, options, &mut self.writes);
        if let (Err(Reason::NoSuchName), Some(options)) = (entered, again) {
            // Its last member left between finding and entering it; there is a new one to make.
            return self.enter(now, request, name, options);
        }
        if entered.is_err() {
            // The room may have been made for this entry alone.
            self.hub.end_if_unused(&channel);
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
        if channel.room {
            self.settle_room(&channel);
        }
        // Taken at once: the next command may use the number before the event is on its way.
        let meter = channel.rule.as_ref().and_then(|rule| self.rates.begin(now, rule));
        self.entered.insert(Membership { channel, tag, member, meter, cost });
        Ok(())
    }

    /// Takes out a membership. What it has sent still counts.
    fn take_entered(&mut self, number: InNumber) -> Option<Membership> {
        let mut entered = self.entered.remove(number.0)?;
        if let (Some(rule), Some(meter)) = (&entered.channel.rule, entered.meter.take()) {
            self.rates.end(self.now, rule, meter);
        }
        Some(entered)
    }

    /// Ends a membership, or the wait for one.
    fn part_from(&mut self, entered: &Membership, reason: Reason) {
        let Membership { channel, tag, member, .. } = entered;
        let was_member = match member {
            Some(member) => channel.leave(&self.endpoint, *member, reason, &mut self.writes),
            None => {
                self.pending -= 1;
                channel.withdraw(&self.endpoint, *tag, reason, &mut self.writes)
            }
        };
        count_members(&self.hub.metrics, 0, usize::from(was_member));
        if channel.room {
            self.settle_room(channel);
        }
        self.hub.end_if_unused(channel);
    }

    /// Others hear that the session has entered or left a room. What that costs counts as its messages.
    fn settle_room(&mut self, room: &Arc<Channel>) {
        self.hub.settle_room(room, &mut self.writes);
        let price = presence::price(room.hearers());
        if price > 0 && !self.closed {
            let throttled = self.count(self.now, price, 0);
            self.ruled = self.ruled.max(throttled);
        }
    }

    fn tag(&mut self) -> Tag {
        // 0 is for events about no number.
        self.next_tag = self.next_tag.wrapping_add(1).max(1);
        Tag(self.next_tag)
    }

    fn refuse(&mut self, request: u32, create: bool, reason: Reason) {
        self.hub.metrics.refuse(reason);
        self.tell(Event::Refused { request, create, reason });
    }

    fn tell(&mut self, event: impl Into<Event>) {
        let event = event.into();
        self.endpoint.push_event(Tag::default(), event, &mut self.writes);
    }

    fn owned_max(&self) -> u32 {
        self.hub.limits.channels_owned_max.min(self.endpoint.profile.capacity.owned_max)
    }

    fn entered_max(&self) -> u32 {
        self.hub.limits.channels_entered_max.min(self.endpoint.profile.capacity.entered_max)
    }

    fn send(&mut self, now: Instant, to: Target, part: Part) -> Step {
        if self.endpoint.peer().is_none() {
            return Step::Close(Reason::Malformed);
        }
        if part.total > self.hub.limits.message_bytes_max {
            self.hub.metrics.hit(Limit::MessageBytes);
            return Step::Close(Reason::TooLarge);
        }
        let (own, entered, endpoint) = (&self.owned, &self.entered, &self.endpoint);
        let holds = |road| match road {
            Road::Own(number) | Road::Member(number, _) => owned(own, number).is_some(),
            Road::In(number) => entered.get(number.0).is_some(),
            Road::Link(number) => endpoint.links().get(number).is_some(),
        };
        let (begun, unheard) = (self.begun, self.unheard);
        let time = || overdue::time(begun, unheard, now);
        match self.order.follow(to, &part, self.endpoint.profile.framing, time, holds) {
            Ok(true) => self.gather(now, to, part),
            Ok(false) => {
                self.hub.metrics.dropped.inc();
                Step::Go
            }
            Err(reason) => Step::Close(reason),
        }
    }

    /// Puts a part to those that are sent together, or sends those first.
    fn gather(&mut self, now: Instant, to: Target, part: Part) -> Step {
        let Err(part) = self.add(to, part) else {
            return Step::Go;
        };
        match self.send_batches(now) {
            Step::Go => match self.add(to, part) {
                Ok(()) => Step::Go,
                Err(_) => unreachable!("there is always room for one part"),
            },
            Step::Wait => {
                self.held = Some(Held::Part(to, part));
                Step::Wait
            }
            close => close,
        }
    }

    fn add(&mut self, to: Target, part: Part) -> Result<(), Part> {
        let own = &self.owned;
        let apart = |number| owned(own, number).is_some_and(|owned| owned.channel.is_apart());
        self.batches.add(to, part, apart)
    }

    /// Sends what has gathered. What is for a single receiver without room stays.
    fn send_batches(&mut self, now: Instant) -> Step {
        self.retry = None;
        while let Some(Batch { to, parts }) = self.batches.front() {
            if self.last.replace(*to).is_some_and(|last| last != *to) {
                self.switched = Some(now);
            }
            let mixed = self.switched.is_some_and(|at| now < at + MIXED);
            let rate = self.hub.limits.receiver_bytes_per_second_min;
            let (from, paused) = (&self.endpoint, &mut self.paused);
            let sending = Sending { from, now, to: *to, mixed, rate, paused };
            let sent = route(&self.owned, &self.entered, sending, parts, &mut self.writes);
            let count = parts.len() as u64;
            let metrics = &self.hub.metrics;
            match sent {
                Sent::Congested(until) => {
                    metrics.hit(Limit::OutboxBytes);
                    self.retry = until;
                    return Step::Wait;
                }
                Sent::Refused(reason, limit) => {
                    if let Some(limit) = limit {
                        metrics.hit(limit);
                    }
                    metrics.dropped.inc_by(count);
                    let Target::Link(link) = *to else {
                        return Step::Close(reason);
                    };
                    self.batches.sent();
                    self.break_link(link, reason);
                    continue;
                }
                Sent::To(0) if !matches!(to, Target::Everyone(..)) => {
                    metrics.dropped.inc_by(count);
                }
                Sent::To(receivers) => {
                    metrics.messages_out.inc_by(count * receivers as u64);
                }
            }
            metrics.messages_in.inc_by(count);
            if let Target::Up(number) = *to
                && let Some(Membership { meter: Some(meter), .. }) = self.entered.get_mut(number.0)
            {
                let bytes = parts.iter().map(|part| part.data.len() as u64).sum();
                let (by_messages, by_bytes) = meter.count(self.now, count, bytes);
                if by_messages.is_some() {
                    metrics.hit(Limit::RuleMessagesPerSecond);
                }
                if by_bytes.is_some() {
                    metrics.hit(Limit::RuleBytesPerSecond);
                }
                self.ruled = self.ruled.max(by_messages).max(by_bytes);
            }
            self.batches.sent();
        }
        Step::Go
    }
}

/// Whether the session itself is told what came of a command. That may take far more room than the command.
fn is_answered(command: &Command) -> bool {
    match command {
        Command::Channel(command) => match command {
            ChannelCommand::Create { .. }
            | ChannelCommand::Enter { .. }
            | ChannelCommand::Succeed { .. } => true,
            ChannelCommand::Leave(_)
            | ChannelCommand::Delete(_)
            | ChannelCommand::Resign(_)
            | ChannelCommand::Kick { .. }
            | ChannelCommand::Unban { .. }
            | ChannelCommand::Admit { .. } => false,
        },
        Command::Link(command) => matches!(command, LinkCommand::Open { .. }),
        Command::Directory(_) | Command::Application(_) => true,
        Command::Hello(_) | Command::Secured { .. } | Command::Send { .. } => false,
    }
}

/// A channel that the session owns, not one that it may own one day.
fn owned(own: &Slots<Owned>, number: OwnNumber) -> Option<&Owned> {
    own.get(number.0).filter(|owned| !owned.kept)
}

/// Hands messages to the channel that they are for.
fn route(
    own: &Slots<Owned>,
    entered: &Slots<Membership>,
    sending: Sending<'_>,
    parts: &[Part],
    writes: &mut PendingWrites,
) -> Sent {
    let (number, audience) = match sending.to {
        Target::Up(number) => {
            return match entered.get(number.0) {
                Some(Membership { channel, member: Some(member), .. }) => {
                    channel.send_up(sending, *member, parts, writes)
                }
                _ => Sent::To(0),
            };
        }
        Target::Link(number) => {
            let link = sending.from.links().get(number).cloned();
            return match link {
                Some((link, side)) => link.deliver(side, sending, parts, writes),
                None => Sent::To(0),
            };
        }
        Target::Member(number, member) => (number, Audience::Only(member)),
        Target::Everyone(number, except) => (number, Audience::AllBut(except)),
    };
    match owned(own, number) {
        Some(owned) => owned.channel.send_down(sending, audience, parts, writes),
        None => Sent::To(0),
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let reason = match std::thread::panicking() {
            true => Reason::Internal,
            false => Reason::ConnectionLost,
        };
        self.close(reason);
        self.hub.forget(&self.endpoint);
    }
}
