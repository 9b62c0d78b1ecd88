//! What a session has claimed from a [`Directory`](crate::directory::Directory), and what it does when the answer comes.

use super::{Session, Step};
use crate::command::{Addressee, ChannelOptions, LinkOptions};
use crate::directory::{Answer, Claim, ClaimId, Claimed};
use crate::endpoint::Abilities;
use crate::ids::{ChannelName, PeerId, PeerName};
use crate::ledger::Charge;
use crate::limit::Limit;
use crate::permissions::Permissions;
use crate::reason::Reason;
use bytes::Bytes;
use std::time::Instant;

/// The claims of one session. Nothing is kept where a hub decides by itself.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// Those that are not answered yet, in the order of their deadlines.
    waiting: Vec<Waiting>,
    /// By which the session has its id and name.
    identity: Option<Claimed>,
    /// Why the session is not let in.
    refused: Option<Reason>,
    /// How many there were.
    count: u64,
}

#[derive(Debug)]
struct Waiting {
    /// What is waited for.
    verdict: Awaited,
    wish: Wish,
    /// `None` is for ever.
    until: Option<Instant>,
    _cost: Charge,
}

#[derive(Debug)]
enum Awaited {
    /// The answer to a claim.
    Claim(Claimed),
    /// Whether another session lives, which has what is wished. What was claimed is granted.
    Life { holder: u64, reason: Reason, claimed: Option<Claimed> },
}

impl Awaited {
    /// The number by which the answer comes.
    fn number(&self) -> u64 {
        match self {
            Self::Claim(claimed) => claimed.number(),
            Self::Life { .. } => ClaimId::FOR_HOLDER,
        }
    }
}

/// A hello that nothing is wrong with, and what its credentials grant.
#[derive(Debug)]
pub(super) struct Greeting {
    pub(super) id: PeerId,
    pub(super) name: Option<PeerName>,
    pub(super) proven: bool,
    pub(super) granted: bool,
    pub(super) abilities: Abilities,
    /// Whether it waits until another session that has its name or id has shown that it lives.
    pub(super) waits: bool,
    pub(super) permissions: Permissions,
}

/// What the session does when a claim is granted.
#[derive(Debug)]
pub(super) enum Wish {
    Come(Box<Greeting>),
    Create { request: u32, name: ChannelName, options: ChannelOptions },
    Link { request: u32, to: Addressee, options: LinkOptions },
}

/// How it stands with a claim that was just made.
#[derive(Debug)]
pub(super) enum Verdict {
    /// It is granted. There is nothing to release if the hub has decided by itself.
    Granted(Option<Claimed>),
    Refused(Reason),
    Pending(Claimed),
}

impl Wish {
    /// What it costs to wait for it, at worst: the list of those that wait has just grown.
    fn bytes(&self) -> usize {
        let name = |to: &Addressee| match to {
            Addressee::Peer(_) => 0,
            Addressee::Name(name) | Addressee::Service(name) => name.as_str().len(),
        };
        let kept = match self {
            Self::Come(greeting) => {
                let name = greeting.name.as_ref().map_or(0, |name: &PeerName| name.as_str().len());
                size_of::<Greeting>() + name
            }
            Self::Create { name, options, .. } => {
                name.as_bytes().len() + options.password.as_ref().map_or(0, Bytes::len)
            }
            Self::Link { to, options: LinkOptions { purpose, except, .. }, .. } => {
                name(to) + purpose.len() + except.len() * size_of::<PeerId>()
            }
        };
        2 * size_of::<Waiting>() + kept
    }

    /// A copy of what it has of the read that it came in, which it must not keep alive.
    fn compact(mut self) -> Self {
        match &mut self {
            Self::Come(_) => {}
            Self::Create { options, .. } => {
                let password = options.password.as_deref();
                options.password = password.map(Bytes::copy_from_slice);
            }
            Self::Link { options, .. } => {
                options.purpose = Bytes::copy_from_slice(&options.purpose);
            }
        }
        self
    }
}

impl Session {
    /// Claims something.
    pub(super) fn claim(&mut self, claim: &Claim<'_>) -> Verdict {
        let Some(directory) = &self.hub.directory else {
            return Verdict::Granted(None);
        };
        // Before anybody is asked, so that a client cannot have the directory asked more and more.
        if self.waits_for() >= self.hub.limits.commands_pending_max {
            self.hub.metrics.hit(Limit::CommandsPending);
            return Verdict::Refused(Reason::TooManyPending);
        }
        let claims = self.claims.get_or_insert_default();
        claims.count += 1;
        let id = ClaimId { session: self.endpoint.id, number: claims.count };
        let (claimed, answer) = Claimed::make(directory.clone(), id, claim);
        match answer {
            Answer::Granted => Verdict::Granted(Some(claimed)),
            Answer::Refused(reason) => {
                claimed.refused();
                Verdict::Refused(reason)
            }
            Answer::Pending => Verdict::Pending(claimed),
        }
    }

    /// The number of its entries and claims that wait for the decision of another session or hub.
    pub(super) fn waits_for(&self) -> usize {
        self.pending as usize + self.claims.as_ref().map_or(0, |claims| claims.waiting.len())
    }

    /// Does what is wished when the claim for it is granted.
    pub(super) fn wait_for(&mut self, claimed: Claimed, wish: Wish) {
        let until = self.now.checked_add(self.hub.limits.claim_max);
        self.await_verdict(Awaited::Claim(claimed), wish, until);
    }

    /// Lets the session in when the one that has its name or id has gone.
    pub(super) fn wait_for_life(
        &mut self,
        (holder, reason): (u64, Reason),
        claimed: Option<Claimed>,
        greeting: Greeting,
    ) {
        // The probe may begin a little later, and lie behind something else.
        let most = self.hub.limits.probe_max.unwrap_or_default();
        let until = self.now.checked_add(most + most / 2);
        let greeting = Greeting { waits: false, ..greeting };
        let verdict = Awaited::Life { holder, reason, claimed };
        self.await_verdict(verdict, Wish::Come(Box::new(greeting)), until);
    }

    fn await_verdict(&mut self, verdict: Awaited, wish: Wish, until: Option<Instant>) {
        let wish = wish.compact();
        match self.pay(wish.bytes()) {
            Ok(_cost) => {
                let claims = self.claims.get_or_insert_default();
                // Most often one waits, and a vector begins with room for four.
                if claims.waiting.capacity() == 0 {
                    claims.waiting.reserve_exact(1);
                }
                claims.waiting.push(Waiting { verdict, wish, until, _cost });
            }
            Err(reason) => {
                self.give_up(&verdict);
                self.refuse_wish(wish, reason);
            }
        }
    }

    /// The directory has answered.
    pub(super) fn claim_answered(&mut self, number: u64, answer: Result<(), Reason>) {
        let Some(claims) = &mut self.claims else { return };
        let mut waiting = claims.waiting.iter();
        let Some(index) = waiting.position(|waiting| waiting.verdict.number() == number) else {
            return;
        };
        let Waiting { verdict, wish, .. } = claims.waiting.remove(index);
        claims.waiting.shrink_to(2 * claims.waiting.len());
        match (answer, verdict) {
            (Ok(()), Awaited::Claim(claimed)) => self.granted(Some(claimed), wish),
            (Ok(()), Awaited::Life { claimed, .. }) => self.granted(claimed, wish),
            (Err(reason), Awaited::Claim(claimed)) => {
                claimed.refused();
                self.refuse_wish(wish, reason);
            }
            (Err(reason), Awaited::Life { .. }) => self.refuse_wish(wish, reason),
        }
        self.writes.flush();
    }

    fn granted(&mut self, claimed: Option<Claimed>, wish: Wish) {
        match wish {
            Wish::Come(greeting) => {
                let refused = match self.come(*greeting, claimed) {
                    Step::Close(reason) => Some(reason),
                    Step::Go | Step::Wait => None,
                };
                self.go_on(refused);
            }
            Wish::Create { request, name, options } => {
                // It may do less than when it asked.
                match self.may_create(&name) {
                    Ok(()) => self.make_channel(request, name, options, claimed),
                    Err(forbidden) => self.refuse_create(request, &name, forbidden),
                }
            }
            Wish::Link { request, to, options } => {
                let _link_or_refusal = self.connect(request, to, options, true);
                drop(claimed);
            }
        }
    }

    fn refuse_wish(&mut self, wish: Wish, reason: Reason) {
        match wish {
            Wish::Come(greeting) => {
                let reason = self.refuse_greeting(reason, &greeting);
                self.go_on(Some(reason));
            }
            Wish::Create { request, .. } => self.refuse(request, true, reason),
            Wish::Link { request, to, .. } => {
                let reason = self.hub.unreachable(&to, &self.permissions().reach, reason);
                self.refuse_link(request, &to, reason);
            }
        }
    }

    /// Nothing is waited for any longer, when the session ends.
    pub(super) fn drop_all_claims(&mut self) {
        let claims = self.claims.take();
        let waiting = claims.iter().flat_map(|claims| &claims.waiting);
        waiting.for_each(|waiting| self.give_up(&waiting.verdict));
    }

    /// A verdict is not waited for any longer.
    fn give_up(&self, verdict: &Awaited) {
        if let Awaited::Life { holder, .. } = verdict {
            self.hub.wait_no_longer(*holder, &self.endpoint);
        }
    }

    /// The session is let in, or not. Its task reads what has come behind the hello, or ends.
    fn go_on(&mut self, refused: Option<Reason>) {
        self.claims.get_or_insert_default().refused = refused;
        self.endpoint.wake();
    }

    /// The claim by which the session has its id and name.
    pub(super) fn hold_identity(&mut self, claimed: Claimed) {
        self.claims.get_or_insert_default().identity = Some(claimed);
    }

    /// Whether a hello waits for the answer to its claim. Nothing more may be read then, and only the end of the
    /// connection is to be noticed.
    pub fn is_greeting(&self) -> bool {
        let is_come = |waiting: &Waiting| matches!(waiting.wish, Wish::Come(_));
        self.claims.as_ref().is_some_and(|claims| claims.waiting.iter().any(is_come))
    }

    /// How the session goes on behind a hello.
    pub(super) fn greeted(&self) -> Step {
        match self.claims.as_ref().map(|claims| claims.refused) {
            Some(Some(reason)) => Step::Close(reason),
            Some(None) if self.is_greeting() => Step::Wait,
            _ => Step::Go,
        }
    }

    /// When [`Session::drop_claims`] has to be called, if no answer comes until then.
    pub fn claims_until(&self) -> Option<Instant> {
        self.claims.as_ref()?.waiting.first()?.until
    }

    /// Refuses what has waited too long for the answer to a claim, with [`Reason::Busy`], or for another session to show
    /// that it lives. If that was the hello, the session is over.
    pub fn drop_claims(&mut self, now: Instant) -> Step {
        self.now = now;
        let is_late = |waiting: &mut Waiting| waiting.until.is_some_and(|until| until <= now);
        let Some(claims) = &mut self.claims else { return Step::Go };
        let late: Vec<_> = claims.waiting.extract_if(.., is_late).collect();
        claims.waiting.shrink_to(2 * claims.waiting.len());
        for Waiting { verdict, wish, .. } in late {
            self.give_up(&verdict);
            let reason = match verdict {
                Awaited::Life { reason, .. } => reason,
                Awaited::Claim(_) => {
                    self.hub.metrics.hit(Limit::ClaimTime);
                    Reason::Busy
                }
            };
            self.refuse_wish(wish, reason);
        }
        self.writes.flush();
        match self.greeted() {
            Step::Wait => Step::Go,
            step => step,
        }
    }
}
