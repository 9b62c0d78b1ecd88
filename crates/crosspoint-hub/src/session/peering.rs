//! A session among others: its hello, its links, its services.

use super::claims::{Greeting, Verdict, Wish};
use super::{Held, Provided, Session, Step};
use crate::application::Reply;
use crate::command::{
    Addressee, ApplicationCommand, DirectoryCommand, DirectoryEvent, Event, Hello, LinkCommand,
    LinkEvent, LinkOptions, Peer, Query, Target, Watched,
};
use crate::directory::{Claim, Claimed};
use crate::endpoint::{Abilities, Endpoint, Reception};
use crate::hub::NotCome;
use crate::ids::{LinkNumber, NoPeerName, PeerId, PeerName};
use crate::ledger::{Charge, Exhausted, Holder, Purpose, SESSION_BYTES};
use crate::limit::Limit;
use crate::limits::Limits;
use crate::link::{End, Link, Refused};
use crate::metrics::ByProtocol;
use crate::order::SendPath;
use crate::outbox::Tag;
use crate::payload::Ask;
use crate::peers::{Newcomer, SERVICE_BYTES, WATCH_BYTES};
use crate::permissions::Grant;
use crate::reason::Reason;
use crate::wire::Pauses;
use bytes::Bytes;
use std::sync::Arc;
use std::time::Instant;

/// Whether a session may know why it is not let in. Who may not see who is there does not find it out by trying names and
/// ids.
fn may_know(reason: Reason, greeting: &Greeting) -> bool {
    let is_its_own = match reason {
        Reason::NameTaken => greeting.granted,
        _ => greeting.proven,
    };
    let tells = matches!(reason, Reason::NameTaken | Reason::IdTaken);
    !tells || is_its_own || greeting.permissions.presence
}

impl Session {
    pub(super) fn link_command(&mut self, command: LinkCommand) -> Step {
        match command {
            LinkCommand::Open { request, to, options } => return self.link(request, to, options),
            LinkCommand::Close { link, reason } => self.unlink(link, reason),
        }
        Step::Go
    }

    pub(super) fn directory_command(&mut self, command: DirectoryCommand) -> Step {
        match command {
            DirectoryCommand::Provide { request, service, on } => match self.provide(service, on) {
                Ok(()) => self.tell(Event::Done { request }),
                Err(reason) => self.refuse(request, false, reason),
            },
            DirectoryCommand::Look { request, query } => self.look(request, &query),
            DirectoryCommand::Watch { request, whom } => self.watch(request, whom),
        }
        Step::Go
    }

    /// Who it is, or said it is if it was not let in for that.
    pub fn said_to_be(&self) -> Option<&Peer> {
        self.endpoint.peer().or_else(|| self.wrong.as_ref()?.refused.as_ref())
    }

    /// Executes a hello whose credentials were checked outside.
    pub fn welcome(&mut self, now: Instant, hello: Hello, grant: Grant) -> Step {
        self.now = now;
        if self.endpoint.peer().is_some() {
            return Step::Close(Reason::Malformed);
        }
        let granted = grant.name.is_some();
        // Others are told the name in one frame.
        let name = match grant.name.or(hello.name).map(PeerName::new).transpose() {
            Ok(name) => name,
            Err(NoPeerName(0)) => None,
            Err(NoPeerName(_)) => return Step::Close(Reason::TooLarge),
        };
        let id = match hello.peer.map_or_else(PeerId::random, Ok) {
            Ok(id) => id,
            Err(_no_random_source) => return Step::Close(Reason::Internal),
        };
        let granted_name = name.as_ref().filter(|_| granted).map(PeerName::shared);
        let identity = grant.identity.map(|identity| Holder::Identity(identity.into()));
        let identity = identity
            .or(granted_name.map(Holder::Name))
            .or(hello.proven.then_some(Holder::Peer(id)));
        if let Err(reason) = self.identify(identity) {
            return Step::Close(reason);
        }
        let (proven, permissions) = (hello.proven, grant.permissions);
        let pauses = hello.pauses && self.endpoint.profile.pauses == Pauses::Targets;
        let abilities = Abilities { pauses, deletes: hello.deletes };
        let waits = hello.waits;
        let greeting = Greeting { id, name, proven, granted, abilities, waits, permissions };
        let claim = Claim::Session { id, name: greeting.name.as_ref(), proven, granted };
        match self.claim(&claim) {
            Verdict::Granted(claimed) => self.come(greeting, claimed),
            Verdict::Refused(reason) => Step::Close(self.refuse_greeting(reason, &greeting)),
            Verdict::Pending(claimed) => {
                self.wait_for(claimed, Wish::Come(Box::new(greeting)));
                self.greeted()
            }
        }
    }

    /// Lets the session in, or has it wait for another one that has its name or id.
    pub(super) fn come(&mut self, greeting: Greeting, claimed: Option<Claimed>) -> Step {
        let (endpoint, protocol) = (&self.endpoint, self.endpoint.profile.name);
        let Greeting { id, ref name, proven, granted, abilities, .. } = greeting;
        let peer = Peer { id, name: name.as_ref().map(PeerName::shared), protocol };
        let newcomer = Newcomer { endpoint, id, name: name.clone(), proven, granted, abilities };
        // Neither by waiting does it find out what it may not know.
        let waits = |reason| greeting.waits && may_know(reason, &greeting);
        match self.hub.peer_comes(self.now, newcomer, &peer, waits, &mut self.writes) {
            Ok(()) => {}
            Err(NotCome::Refused(reason)) => {
                return Step::Close(self.refuse_greeting(reason, &greeting));
            }
            Err(NotCome::Waits { reason, holder }) => {
                self.wait_for_life((holder, reason), claimed, greeting);
                return self.greeted();
            }
        }
        if let Some(claimed) = claimed {
            self.hold_identity(claimed);
        }
        // Most have the same ones, which are kept once.
        let usual = &self.hub.permissions;
        self.permissions = Some(match greeting.permissions == **usual {
            true => usual.clone(),
            false => Arc::new(greeting.permissions),
        });
        self.hub.metrics.sessions.get_or_create(&ByProtocol { protocol }).inc();
        Step::Go
    }

    /// Why a session is not let in, as it may know it.
    pub(super) fn refuse_greeting(&mut self, reason: Reason, greeting: &Greeting) -> Reason {
        let Greeting { id, name, .. } = greeting;
        let (name, protocol) = (name.as_ref().map(PeerName::shared), self.endpoint.profile.name);
        self.wrong.get_or_insert_default().refused = Some(Peer { id: *id, name, protocol });
        let reason = if may_know(reason, greeting) { reason } else { Reason::NotAllowed };
        self.hub.metrics.refuse(reason);
        reason
    }

    /// Lets an identity pay too. Sessions of the program itself share nothing with others.
    fn identify(&mut self, identity: Option<Holder>) -> Result<(), Reason> {
        let Some(identity) = identity.filter(|_| self.endpoint.address.is_some()) else {
            return Ok(());
        };
        if let Some(limit) = self.hub.ledger.is_crowded(&identity) {
            self.hub.metrics.hit(limit);
            return Err(Reason::Exhausted);
        }
        self.endpoint.account().identify(identity);
        self.cost.resize(SESSION_BYTES);
        Ok(())
    }

    /// Opens a link. Both sides are told, unless it is refused.
    fn link(&mut self, request: u32, to: Addressee, options: LinkOptions) -> Step {
        let LinkOptions { purpose, except, .. } = &options;
        if purpose.len() > LinkOptions::PURPOSE_BYTES_MAX || except.len() > LinkOptions::EXCEPT_MAX
        {
            self.refuse(request, false, Reason::TooLarge);
            return Step::Go;
        }
        if let Err(reason) = self.hub.may_look_for(&to, &self.permissions().reach) {
            self.refuse_link(request, &to, reason);
            return Step::Go;
        }
        match self.claim(&Claim::Peer { to: &to, except }) {
            // It is kept until there is a link, or none.
            Verdict::Granted(_claimed) => return self.connect(request, to, options, false),
            Verdict::Refused(reason) => {
                let reason = self.hub.unreachable(&to, &self.permissions().reach, reason);
                self.refuse_link(request, &to, reason);
            }
            Verdict::Pending(claimed) => {
                self.wait_for(claimed, Wish::Link { request, to, options });
            }
        }
        Step::Go
    }

    /// Opens a link to somebody whom nobody else has to be asked about (any more). `late`: other commands of the
    /// session have been carried out since, so that this one cannot hold them up.
    pub(super) fn connect(
        &mut self,
        request: u32,
        to: Addressee,
        options: LinkOptions,
        late: bool,
    ) -> Step {
        let LinkOptions { purpose, except, single } = &options;
        let other = match self.hub.reach(&to, except, &self.permissions().reach) {
            Ok(other) => other,
            Err(reason) => {
                self.refuse_link(request, &to, reason);
                return Step::Go;
            }
        };
        // Who links without end must not fill the other's outbox. Its own has room.
        if other.id != self.endpoint.id {
            match other.reception(&self.endpoint) {
                Reception::Taken => {}
                Reception::Wait if !late => {
                    return self.hold(LinkCommand::Open { request, to, options }.into());
                }
                Reception::Wait | Reception::Busy => return self.busy(request),
            }
        }
        if let Err(Refused { reason, limit }) = self.join(request, &other, purpose, *single) {
            if let Some(limit) = limit {
                self.hub.metrics.hit(limit);
            }
            self.refuse(request, false, reason);
        }
        Step::Go
    }

    pub(super) fn refuse_link(&mut self, request: u32, to: &Addressee, reason: Reason) {
        if reason == Reason::NotAllowed {
            let what = match to {
                Addressee::Peer(id) => id.to_string(),
                Addressee::Name(name) | Addressee::Service(name) => name.as_str().to_owned(),
            };
            self.not_allowed("permissions.reach", Some(what.as_bytes()));
        }
        self.refuse(request, false, reason);
    }

    fn join(
        &mut self,
        request: u32,
        other: &Arc<Endpoint>,
        purpose: &Bytes,
        single: bool,
    ) -> Result<(), Refused> {
        // Both may want it at the same time. Then one of them is told of it before it is refused.
        let hub = single.then(|| self.hub.clone());
        let _turn = hub.as_ref().map(|hub| hub.turn_for_single_link());
        if single && self.endpoint.links().has_single(other.id) {
            return Err(Refused { reason: Reason::AlreadyEntered, limit: None });
        }
        let sessions = single.then_some([self.endpoint.id, other.id]);
        let (limits, count) = (&self.hub.limits, &self.hub.metrics.links);
        let kept = self.endpoint.profile.link_bytes + other.profile.link_bytes;
        let cost = self.pay(Link::<Endpoint>::BYTES + kept);
        let link = cost.map_err(|reason| Refused { reason, limit: None })?;
        let link = Arc::new(Link::new(link, sessions));
        let mine = self.endpoint.links().open(link.clone(), limits.links_max)?;
        count.inc();
        let most = limits.links_accepted_max;
        let most_of_one = Limits::share(limits.links_accepted_per_address_max, most);
        let theirs = other.links().accept(link.clone(), most, most_of_one);
        let joined = theirs.and_then(|theirs| {
            count.inc();
            let ends = [(&self.endpoint, mine), (other, theirs)]
                .map(|(endpoint, number)| End { endpoint: endpoint.clone(), number });
            match link.connect(ends, request, purpose, &mut self.writes) {
                true => Ok(()),
                // The other session has ended meanwhile, and counted its side.
                false => Err(Refused { reason: Reason::NoSuchPeer, limit: None }),
            }
        });
        if joined.is_err() {
            self.endpoint.links().remove(mine);
            count.dec();
        }
        joined
    }

    /// Pays for an entry of this session somewhere.
    pub(super) fn pay(&self, bytes: usize) -> Result<Charge, Reason> {
        let charge = self.endpoint.account().try_charge(Purpose::Stored, bytes);
        charge.map_err(|Exhausted { limit }| {
            self.hub.metrics.hit(limit);
            Reason::Exhausted
        })
    }

    /// Ends a link over which nothing more can be sent. Both sides are told.
    pub(super) fn break_link(&mut self, link: LinkNumber, reason: Reason) {
        // It is forgotten when the endpoint is told.
        let known = self.endpoint.links().get(link).cloned();
        if let Some((broken, side)) = known {
            broken.disconnect(side, reason, &mut self.writes);
            self.tell(LinkEvent::Closed { link, reason });
        }
    }

    /// Ends a link. The other side is told.
    fn unlink(&mut self, link: LinkNumber, reason: Reason) {
        let removed = self.endpoint.links().remove(link);
        if let Some((ended, side)) = removed {
            self.order.forget(SendPath::Link(link));
            self.paused.remove(&Target::Link(link));
            ended.disconnect(side, reason, &mut self.writes);
            self.hub.metrics.links.dec();
        }
    }

    /// The endpoint is going to be told that a link has ended. Gives whether it still had it.
    pub(super) fn unlinked(&mut self, link: LinkNumber) -> bool {
        self.order.forget(SendPath::Link(link));
        self.paused.remove(&Target::Link(link));
        let had = self.endpoint.links().remove(link).is_some();
        // A session that has ended has counted all its links.
        if had && !self.closed {
            self.hub.metrics.links.dec();
        }
        had
    }

    /// Ends all links, when the session ends.
    pub(super) fn unlink_all(&mut self, reason: Reason) {
        let links = self.endpoint.links().close();
        for (link, side) in links {
            link.disconnect(side, reason, &mut self.writes);
            self.hub.metrics.links.dec();
        }
    }

    /// Answers which sessions are present.
    fn look(&mut self, request: u32, query: &Query) {
        if !self.permissions().presence {
            return self.refuse_presence(request);
        }
        let (peers, more) = self.hub.look(query);
        let found = Event::Directory(DirectoryEvent::Found { request, peers, more });
        self.endpoint.push_event_alone(Tag::default(), found, &mut self.writes);
    }

    /// Starts or stops telling the session which sessions come and go.
    fn watch(&mut self, request: u32, whom: Watched) {
        if !self.permissions().presence {
            return self.refuse_presence(request);
        }
        let watches = match (whom, self.watches.take()) {
            (Watched::Nobody, _) => None,
            (_, Some(known)) => Some(known),
            (_, None) => match self.pay(WATCH_BYTES) {
                Ok(cost) => Some(cost),
                Err(reason) => return self.refuse(request, false, reason),
            },
        };
        self.hub.watch(&self.endpoint, whom, &mut self.writes);
        self.watches = watches;
        self.tell(Event::Done { request });
    }

    fn refuse_presence(&mut self, request: u32) {
        self.not_allowed("permissions.presence", None);
        self.refuse(request, false, Reason::NotAllowed);
    }

    /// Sends a request to the hub application. A session that asks faster than the answers arrive waits.
    pub(super) fn ask(&mut self, ticket: u32, ask: Ask) -> Step {
        if self.asks.count() >= self.hub.limits.asks_pending_max {
            self.hub.metrics.hit(Limit::AsksPending);
            self.held =
                Some(Box::new(Held::Command(ApplicationCommand::Ask { ticket, ask }.into())));
            return Step::Wait;
        }
        let reply = Reply::new(&self.endpoint, ticket, &ask, self.asks.clone());
        if let Some(peer) = self.endpoint.peer() {
            self.hub.application().ask(peer, ask, reply);
        }
        Step::Go
    }

    fn provide(&mut self, service: PeerName, on: bool) -> Result<(), Reason> {
        let known = self.services.iter().position(|known| known.name == service);
        match (on, known) {
            (true, None) => {
                if !self.permissions().provide.allows(service.as_str().as_bytes()) {
                    self.not_allowed("permissions.provide", Some(service.as_str().as_bytes()));
                    return Err(Reason::NotAllowed);
                }
                if self.services.len() >= self.hub.limits.services_max {
                    self.hub.metrics.hit(Limit::Services);
                    return Err(Reason::TooManyServices);
                }
                let _cost = self.pay(SERVICE_BYTES + service.as_str().len())?;
                let place = self.hub.provide(&self.endpoint, &service);
                self.services.push(Provided { name: service, place, _cost });
            }
            (false, Some(index)) => {
                let Provided { name, place, .. } = self.services.swap_remove(index);
                self.hub.withdraw(&name, place);
            }
            _ => {}
        }
        Ok(())
    }
}
