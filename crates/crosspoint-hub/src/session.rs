//! What one endpoint owns and has entered. Only the session's own task touches it, so nothing
//! here is locked. What has to do with channels is in `channels`, with channels that change their owners in
//! `succession`, with other sessions by name in `peering`, and how messages are sent in `sending`.

mod channels;
mod claims;
mod notice;
mod overdue;
mod peering;
mod rates;
mod sending;
mod settling;
mod succession;

use crate::application::Asks;
use crate::batch::Batches;
use crate::channel::Channel;
use crate::command::{
    ApplicationCommand, ChannelCommand, Command, DirectoryEvent, Event, Hello, LinkCommand,
    LinkEvent, Target,
};
use crate::endpoint::{Endpoint, Outlet, Paused, PendingWrites};
use crate::hub::Hub;
use crate::ids::{JoinedChannelId, MemberNumber, OwnedChannelId, PeerName};
use crate::ledger::{Charge, Purpose, SESSION_BYTES, Tab};
use crate::limit::Limit;
use crate::order::Order;
use crate::outbox::Tag;
use crate::peer::Peer;
use crate::permissions::{Grant, Permissions};
use crate::rate_limiter::RateLimiter;
use crate::reading_rate::ReadingRate;
use crate::reason::Reason;
use crate::slots::Slots;
use crate::wire::{Part, Wire};
use claims::Claims;
pub use notice::Notice;
use rates::Rates;
use settling::Settling;
use std::net::IpAddr;
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
    pending: u32,
    /// Boxed, as a hub that decides by itself needs none.
    claims: Option<Box<Claims>>,
    services: Vec<Provided>,
    /// What it costs that it is told who comes and goes, if it is.
    watches: Option<Charge>,
    /// Questions to the hub application that wait for their answers.
    asks: Arc<Asks>,
    /// `None` before the hello, when it may do nothing.
    permissions: Option<Arc<Permissions>>,
    /// Messages that are sent together.
    batches: Batches,
    /// A command that came while the messages before it had to wait.
    held: Option<Box<Held>>,
    order: Order,
    paused: Paused,
    /// Whom the last message was for, and when that was somebody else than before.
    last: Option<Target>,
    switched: Option<Instant>,
    /// When it is worth a try to send what waits, if nobody wakes the session before.
    retry: Option<Instant>,
    rate: ReadingRate,
    /// What it has sent under rules for channels that it has left.
    rates: Rates,
    settling: Settling,
    begun: Instant,
    /// For how long the endpoint was not listened to.
    unheard: Duration,
    /// What is wrong with the endpoint. Boxed, as with most nothing is.
    wrong: Option<Box<Wrong>>,
    /// The time of the call.
    now: Instant,
    /// Before that nothing more may be read, because of the rule for a channel.
    ruled: Option<Instant>,
    /// What the operator should know, until the driver has heard of it. Boxed, as most have nothing.
    notice: Option<Box<Notice>>,
    writes: PendingWrites,
    closed: bool,
    /// What has come and is not carried out.
    input: Tab,
    /// The session itself.
    cost: Charge,
}

/// What is wrong with an endpoint.
#[derive(Debug, Default)]
struct Wrong {
    /// What it has done, for people.
    complaint: Option<Box<str>>,
    /// Who it said it is, if it is not let in for that.
    refused: Option<Peer>,
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
    /// In a room nobody is told that it comes and goes.
    silent: bool,
    /// What the session sends there, if a rule bounds it.
    limiter: Option<Box<RateLimiter>>,
    /// Its place here and in the channel, and what the owner is shown until it decides.
    cost: Charge,
}

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

impl Hub {
    /// Opens a session for an endpoint whose protocol is known.
    pub fn open(
        self: &Arc<Self>,
        now: Instant,
        address: Option<IpAddr>,
        wire: &'static dyn Wire,
        outlet: Box<dyn Outlet>,
    ) -> Session {
        Session::new(self.clone(), self.add_endpoint(now, address, wire, outlet), now)
    }
}

impl Session {
    /// What an entry of a service takes.
    #[cfg(test)]
    pub(crate) const PROVIDED_BYTES: usize = size_of::<Provided>();

    fn new(hub: Arc<Hub>, endpoint: Arc<Endpoint>, now: Instant) -> Self {
        Self {
            rate: ReadingRate::new(now, &hub.limits, endpoint.address),
            rates: Rates::default(),
            settling: Settling::default(),
            begun: now,
            unheard: Duration::ZERO,
            wrong: None,
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
            claims: None,
            services: Vec::new(),
            watches: None,
            asks: Arc::default(),
            permissions: None,
            batches: Batches::default(),
            held: None,
            order: Order::default(),
            paused: Paused::default(),
            last: None,
            switched: None,
            retry: None,
            notice: None,
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
        self.rate.count(now, &self.hub.metrics, messages, bytes)
    }

    /// Because of the rule for a channel: the time before which nothing more may be read, if any. To be asked
    /// behind [`Session::flush`].
    pub fn ruled(&mut self) -> Option<Instant> {
        self.ruled.take()
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
                self.held = Some(Box::new(Held::Command(command)));
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
            match self.held.take().map(|held| *held) {
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
        if step == Step::Go {
            step = self.greeted();
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

    /// What its driver and its protocol hold of what has come, in bytes. What the hub application holds comes
    /// on top.
    pub fn holds(&mut self, bytes: usize) {
        let held = match self.held.as_deref() {
            Some(Held::Part(_, part)) => part.data.len(),
            Some(Held::Command(_)) | None => 0,
        };
        self.input.settle(bytes + self.batches.bytes() + held + self.asks.bytes());
    }

    /// The endpoint has answered a probe that another session has caused, or cannot be asked. Who waits for its name or id
    /// is refused.
    pub fn shows_life(&mut self) {
        self.hub.peer_lives(&self.endpoint, &mut self.writes);
        self.writes.flush();
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
            Event::Directory(DirectoryEvent::ClaimAnswered { claim, answer }) => {
                self.claim_answered(*claim, *answer);
                false
            }
            Event::Refused { create: false, .. } if tag != Tag::default() => {
                // The owner said no, or the channel ended before it said anything.
                let asked = self.entered.iter().find(|(_, entered)| entered.tag == tag);
                let Some((number, _)) = asked else {
                    return false;
                };
                self.take_entered(JoinedChannelId(number));
                self.pending -= 1;
                true
            }
            _ => true,
        }
    }

    /// Ends the session: its channels end, its memberships end, everybody concerned is told. What
    /// waits in the outbox can still be written until the session is dropped.
    pub fn close(&mut self, reason: Reason) {
        self.depart(reason);
        self.endpoint.seal();
    }

    /// As [`Session::close`], at this time, which operators are told.
    pub fn close_at(&mut self, now: Instant, reason: Reason) {
        self.now = now;
        self.close(reason);
    }

    /// Ends all that the session has, as [`Session::close`] does, while its connection stays. What its protocol writes
    /// is still sent. It is told nothing more, and no command may follow.
    pub fn leave(&mut self, reason: Reason) {
        self.depart(reason);
        self.endpoint.leave();
        // It hears nothing more that this would be needed for.
        (self.owned, self.entered, self.pending) = (Slots::default(), Slots::default(), 0);
    }

    fn depart(&mut self, reason: Reason) {
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
        // Nobody's successor any more, it has inherited by now what it will.
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
        // Those that nobody has answered are withdrawn.
        self.drop_all_claims();
        self.unlink_all(gone);
        self.writes.flush();
        self.endpoint.secrecy.end(reason);
        let refused = self.wrong.as_ref().and_then(|wrong| wrong.refused.as_ref());
        self.hub.count_closed(self.now, &self.endpoint, refused, reason);
    }

    fn act(&mut self, now: Instant, command: Command) -> Step {
        if self.endpoint.peer().is_none() {
            let Command::Hello(hello) = command else {
                return Step::Close(Reason::Malformed);
            };
            return self.hello(hello);
        }
        // Who does not read answers is told no more of them.
        let is_awaited = self.endpoint.holds_events();
        if is_answered(&command) && !is_awaited && self.endpoint.congested(&self.endpoint) {
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

    /// Has a command wait until the one to be told of it has read: another session, or this one.
    fn hold(&mut self, command: Command) -> Step {
        self.held = Some(Box::new(Held::Command(command)));
        self.hub.metrics.hit(Limit::OutboxBytes);
        Step::Wait
    }

    /// Refuses a command, as the one to be told of it does not read.
    fn busy(&mut self, request: u32) -> Step {
        self.hub.metrics.hit(Limit::OutboxBytes);
        self.refuse(request, false, Reason::Busy);
        Step::Go
    }

    fn hello(&mut self, hello: Hello) -> Step {
        if !self.hub.allows(hello.token.as_deref(), &self.endpoint.profile) {
            let given = hello.token.is_some();
            let name = hello.name.filter(|name| name.len() <= PeerName::BYTES_MAX).map(Into::into);
            self.notify(|| Notice::WrongToken { given, name });
            return Step::Close(Reason::NotAllowed);
        }
        let permissions = (*self.hub.permissions).clone();
        self.welcome(self.now, hello, Grant { permissions, ..Grant::default() })
    }

    fn permissions(&self) -> &Permissions {
        static NOTHING: Permissions = Permissions::NOTHING;
        self.permissions.as_deref().unwrap_or(&NOTHING)
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
}

/// Whether the session itself is told what came of a command. That may take far more room than the command.
fn is_answered(command: &Command) -> bool {
    match command {
        Command::Channel(command) => match command {
            ChannelCommand::Create { .. }
            | ChannelCommand::Enter { .. }
            | ChannelCommand::Succeed { .. } => true,
            ChannelCommand::Leave(_)
            | ChannelCommand::Withdraw(_)
            | ChannelCommand::Dissolve(_)
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
fn owned(own: &Slots<Owned>, number: OwnedChannelId) -> Option<&Owned> {
    own.get(number.0).filter(|owned| !owned.kept)
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_and_its_endpoint_are_small() {
        // What few sessions need is boxed. The sizes are those of a system with 64 bits.
        assert!(size_of::<Session>() <= 608, "{} bytes", size_of::<Session>());
        assert!(size_of::<Endpoint>() <= 552, "{} bytes", size_of::<Endpoint>());
    }
}
