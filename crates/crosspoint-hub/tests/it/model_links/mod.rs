//! Sessions that find each other and talk over links, under random operations against a naive
//! model: whatever an endpoint reads, whenever it does, has to be exactly what the model says.

mod model;

use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, After, Command, DirectoryCommand, DirectoryEvent, Event, Hello, LinkCommand,
    LinkOptions, Peer, Query, Target, Watched,
};
use crosspoint_hub::directory::{Answer as Verdict, ClaimId, Directory};
use crosspoint_hub::endpoint::{Endpoint, Outlet};
use crosspoint_hub::metrics::ByProtocol;
use crosspoint_hub::outbox::WriteStep;
use crosspoint_hub::peers::Duplicates;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Arrived, Events, LINES, LINKS_BUT, LateDirectory, Lines, take};
use crosspoint_hub::wire::{Profile, Wire};
use crosspoint_hub::{
    Hub, HubOptions, Limits, LinkNumber, Part, PeerId, PeerName, Reason, Session,
};
use model::{
    Behind, LINKS_MAX, Model, NAMES, PREFIXES, SERVICES_MAX, Seek, To, WAITING_MAX, claimed, push,
};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

const SESSIONS: usize = 4;

/// The wire of each of them. Metrics count them as one protocol.
static WIRES: [&dyn Wire; SESSIONS] = [&LINES, &LINKS_BUT, &OWN_TASK, &LINKS_BUT];

/// All data is written by the session's own task.
static OWN_TASK: Events = Events(Profile { name: "lines", ..Events::PROFILE });

/// An id of the few that are claimed over and over, or one that nobody else has.
type Claim = Option<u8>;

#[derive(Debug, Clone)]
struct Greeting {
    id: Claim,
    proven: bool,
    name: Option<usize>,
    /// What the directory says to its claim.
    said: Said,
    /// And later, if not at once.
    later: bool,
}

/// What a directory says to a claim at once, if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Said {
    Yes,
    No,
    Later,
}

fn said() -> impl Strategy<Value = Said> {
    prop_oneof![1 => Just(Said::Yes), 1 => Just(Said::No), 4 => Just(Said::Later)]
}

#[derive(Debug, Clone)]
enum Operation {
    Link(To, Said),
    /// The directory answers one of the claims that wait.
    Answer(usize, bool),
    Unlink(u32),
    /// The flag says whether the message is of the kind that some have encoded by who sends it.
    Send(u32, bool),
    Provide(usize, bool),
    Look(Seek),
    Watch(Watched),
    /// Until then, what comes waits.
    Read,
    /// The session ends, and another begins in its place.
    Close(Greeting),
}

fn operation() -> impl Strategy<Value = Operation> {
    let id = || 0u8..3;
    let name = || 0..NAMES.len();
    let number = || 0u32..8;
    let to = prop_oneof![
        2 => id().prop_map(To::Id),
        2 => name().prop_map(To::Name),
        3 => (0usize..2, prop::collection::vec(id(), 0..3))
            .prop_map(|(service, except)| To::Service(service, except)),
    ];
    let seek = prop_oneof![
        id().prop_map(Seek::Id),
        name().prop_map(Seek::Name),
        (0..PREFIXES.len(), prop::option::of(name()))
            .prop_map(|(prefix, after)| Seek::Names(prefix, after)),
        (0usize..2).prop_map(Seek::Service),
        prop::option::of(prop_oneof![name().prop_map(Behind::Name), id().prop_map(Behind::Id)])
            .prop_map(Seek::Everybody),
    ];
    let watched = prop_oneof![
        1 => Just(Watched::Nobody),
        1 => Just(Watched::Named),
        1 => Just(Watched::Everybody),
    ];
    let who = (prop::option::weighted(0.8, id()), any::<bool>(), prop::option::of(name()));
    let greeting = (who, said(), prop::bool::weighted(0.8))
        .prop_map(|((id, proven, name), said, later)| Greeting { id, proven, name, said, later });
    prop_oneof![
        8 => (to, said()).prop_map(|(to, said)| Operation::Link(to, said)),
        4 => (any::<usize>(), prop::bool::weighted(0.8))
            .prop_map(|(which, yes)| Operation::Answer(which, yes)),
        2 => number().prop_map(Operation::Unlink),
        8 => (number(), any::<bool>()).prop_map(|(number, kind)| Operation::Send(number, kind)),
        4 => (0..3usize, prop::bool::weighted(0.7)).prop_map(|(name, on)| Operation::Provide(name, on)),
        3 => seek.prop_map(Operation::Look),
        2 => watched.prop_map(Operation::Watch),
        5 => Just(Operation::Read),
        3 => greeting.prop_map(Operation::Close),
    ]
}

/// Why a directory says no.
const REFUSED: Reason = Reason::Declined;

fn purpose(request: u32) -> Bytes {
    Bytes::from(format!("purpose {request}"))
}

fn peer_name(index: usize) -> PeerName {
    PeerName::new(NAMES[index]).expect("a short name")
}

fn read(session: &mut Session) -> Vec<Arrived> {
    let mut joined = Vec::new();
    take(session).into_iter().for_each(|arrived| push(&mut joined, arrived));
    joined
}

struct Unread;

impl Outlet for Unread {
    fn flush(&self, _endpoint: &Endpoint) {}
    fn wake(&self) {}
}

/// A session that opens a link waits for the answer to its claim.
struct Waiting {
    id: ClaimId,
    who: usize,
    request: u32,
    to: To,
}

struct Both {
    hub: Arc<Hub>,
    now: Instant,
    sessions: Vec<Session>,
    model: Model,
    /// Who says whether there is a peer, besides the hub.
    directory: Option<Arc<LateDirectory>>,
    waiting: Vec<Waiting>,
    last: u32,
}

impl Both {
    fn new(duplicates: Duplicates, late: bool) -> Self {
        let directory = late.then(Arc::<LateDirectory>::default);
        let decides = directory.clone().map(|directory| directory as Arc<dyn Directory>);
        let limits = Limits {
            links_max: LINKS_MAX,
            links_accepted_max: LINKS_MAX,
            services_max: SERVICES_MAX,
            commands_pending_max: WAITING_MAX,
            ..Limits::default()
        };
        let mut both = Self {
            hub: Hub::new(HubOptions {
                limits,
                duplicates,
                directory: decides,
                ..HubOptions::default()
            }),
            now: Instant::now(),
            sessions: Vec::new(),
            model: Model::new(duplicates),
            directory,
            waiting: Vec::new(),
            last: 0,
        };
        for who in 0..SESSIONS {
            both.begin(who);
        }
        both
    }

    fn fresh(&mut self) -> u32 {
        self.last += 1;
        self.last
    }

    fn open(&self, who: usize) -> Session {
        self.hub.open(self.now, None, WIRES[who], Box::new(Unread))
    }

    /// An id that nobody claims.
    fn own_id(&mut self) -> PeerId {
        let mut id = [0xee; 16];
        id[..4].copy_from_slice(&self.fresh().to_be_bytes());
        PeerId::new(id)
    }

    /// A session that nobody else is in the way of.
    fn begin(&mut self, who: usize) {
        let id = self.own_id();
        let (said, later) = (Said::Yes, true);
        let step =
            self.hello(who, id, &Greeting { id: None, proven: false, name: None, said, later });
        assert_eq!(step, Step::Go);
    }

    fn hello(&mut self, who: usize, id: PeerId, greeting: &Greeting) -> Step {
        let mut session = self.open(who);
        let name = greeting.name.map(|name| NAMES[name].to_owned());
        let (peer, proven) = (Some(id), greeting.proven);
        let hello = Hello { peer, proven, name: name.clone(), ..Hello::default() };
        self.say(greeting.said);
        let mut step = session.execute(self.now, Command::Hello(hello));
        if step == Step::Wait {
            step = self.let_in(&mut session, greeting.later);
        }
        assert!(matches!(session.flush(self.now), Step::Go | Step::Close(_)));
        if step == Step::Go {
            let peer = Peer { id, name: name.map(Into::into), protocol: "lines" };
            self.model.come(who, peer, proven);
            match self.sessions.get_mut(who) {
                Some(place) => *place = session,
                None => self.sessions.push(session),
            }
        }
        step
    }

    /// What the directory says from now on.
    fn say(&self, said: Said) {
        if let Some(directory) = &self.directory {
            directory.says(match said {
                Said::Yes => Verdict::Granted,
                Said::No => Verdict::Refused(REFUSED),
                Said::Later => Verdict::Pending,
            });
        }
    }

    /// The hello of a session waits for the answer to its claim, which comes.
    fn let_in(&self, session: &mut Session, yes: bool) -> Step {
        let directory = self.directory.as_ref().expect("somebody has to be waited for");
        assert!(session.is_greeting() && session.endpoint().peer().is_none());
        assert_eq!(session.flush(self.now), Step::Wait);
        let mut pending = directory.pending().into_keys();
        let id = pending.find(|id| id.session == session.endpoint().id).expect("it waits");
        assert!(directory.answer(&self.hub, id, if yes { Ok(()) } else { Err(REFUSED) }));
        match session.endpoint().next(true, &mut Vec::new()) {
            WriteStep::Event(tag, event) => {
                session.endpoint().converted(&Default::default());
                assert!(!session.observe(tag, &event), "it is for the session alone");
            }
            step => panic!("no answer came, but {step:?}"),
        }
        assert!(!session.is_greeting());
        session.flush(self.now)
    }

    /// The last command of a session may wait for its claim.
    fn note_waiting(&mut self, who: usize, request: u32, to: &To) {
        let session = self.sessions[who].endpoint().id;
        let directory = self.directory.iter();
        let mut pending = directory.flat_map(|directory| directory.pending().into_keys());
        let known = |id: &ClaimId| self.waiting.iter().any(|waiting| waiting.id == *id);
        let new = pending.rfind(|id| id.session == session && !known(id));
        self.waiting.extend(new.map(|id| Waiting { id, who, request, to: to.clone() }));
    }

    /// A session has ended, and another one says hello in its place.
    fn greet(&mut self, who: usize, greeting: &Greeting) -> Result<(), TestCaseError> {
        let id = match greeting.id {
            Some(id) => claimed(id),
            None => self.own_id(),
        };
        let name = greeting.name.map(|name| NAMES[name].into());
        let peer = Peer { id, name, protocol: "lines" };
        let refuses = match greeting.said {
            Said::Yes => false,
            Said::No => true,
            Said::Later => !greeting.later,
        };
        if self.directory.is_some() && refuses {
            prop_assert_eq!(self.hello(who, id, greeting), Step::Close(REFUSED));
            self.begin(who);
            return Ok(());
        }
        match self.model.replaced(&peer, greeting.proven) {
            Err(reason) => {
                prop_assert_eq!(self.hello(who, id, greeting), Step::Close(reason));
                self.begin(who);
            }
            Ok(replaced) => {
                // Who goes hears nothing of another who goes with it.
                replaced
                    .iter()
                    .for_each(|old| self.model.endpoints[*old].watches = Watched::Nobody);
                self.model.share_name(&peer, &replaced);
                // Who was not found by the name is news with it.
                let is_same = replaced.iter().any(|old| {
                    self.model.endpoints[*old].peer == peer && self.model.is_found(*old)
                });
                self.model.coming = peer.name.clone();
                self.model.renewed = is_same.then_some(peer);
                replaced.iter().for_each(|old| self.model.vanish(*old));
                prop_assert_eq!(self.hello(who, id, greeting), Step::Go);
                (self.model.renewed, self.model.coming) = (None, None);
                for old in replaced {
                    self.end_replaced(old)?;
                }
            }
        }
        Ok(())
    }

    /// A replaced session hears of it before all else, and ends.
    fn end_replaced(&mut self, who: usize) -> Result<(), TestCaseError> {
        let reason = Reason::Replaced;
        let mut expected = vec![Arrived::Event(Event::Closed { reason })];
        expected.extend(self.model.read(who));
        prop_assert_eq!(read(&mut self.sessions[who]), expected);
        self.sessions[who].close(reason);
        self.waiting.retain(|waiting| waiting.who != who);
        self.model.close(who);
        self.begin(who);
        Ok(())
    }

    fn ask(&mut self, who: usize, command: impl Into<Command>) {
        let command = command.into();
        assert_eq!(self.sessions[who].execute(self.now, command), Step::Go);
    }

    fn step(&mut self, who: usize, operation: Operation) -> Result<(), TestCaseError> {
        let request = self.fresh();
        match operation {
            Operation::Link(asked, said) => {
                let purpose = purpose(request);
                let refused = |reason| Event::Refused { request, create: false, reason };
                match said {
                    _ if self.directory.is_none() => {
                        self.model.link(who, request, &asked, &purpose)
                    }
                    _ if self.model.endpoints[who].waiting >= WAITING_MAX => {
                        self.model.tell(who, refused(Reason::TooManyPending));
                    }
                    Said::Yes => self.model.link(who, request, &asked, &purpose),
                    Said::No => self.model.tell(who, refused(REFUSED)),
                    Said::Later => self.model.endpoints[who].waiting += 1,
                }
                self.say(said);
                let (to, except) = match asked.clone() {
                    To::Id(id) => (Addressee::Peer(claimed(id)), Vec::new()),
                    To::Name(name) => (Addressee::Name(peer_name(name)), Vec::new()),
                    To::Service(name, except) => {
                        let except = except.into_iter().map(claimed).collect();
                        (Addressee::Service(peer_name(name)), except)
                    }
                };
                let options = LinkOptions { purpose, except, single: false };
                self.ask(who, LinkCommand::Open { request, to, options });
                self.note_waiting(who, request, &asked);
            }
            Operation::Answer(which, yes) => {
                let answer = if yes { Ok(()) } else { Err(REFUSED) };
                if let Some(directory) = &self.directory
                    && !self.waiting.is_empty()
                {
                    let Waiting { id, who, request, to } =
                        self.waiting.swap_remove(which % self.waiting.len());
                    self.model.answered(who, request, to, answer);
                    prop_assert!(directory.answer(&self.hub, id, answer));
                }
            }
            Operation::Unlink(number) => {
                let (link, reason) = (LinkNumber(number), Reason::Declined);
                self.model.unlink(who, number, reason);
                self.ask(who, LinkCommand::Close { link, reason });
            }
            Operation::Send(number, kind) => {
                let kind = if kind { Lines::KIND } else { Part::DATA };
                let part = Part { kind, ..Part::whole(format!("message {request}")) };
                self.model.send(who, number, &part);
                let to = Target::Link(LinkNumber(number));
                self.ask(who, Command::Send { to, part });
            }
            Operation::Provide(service, on) => {
                let services = &self.model.endpoints[who].services;
                let full = on && !services.contains(&service) && services.len() >= SERVICES_MAX;
                let reason = Reason::TooManyServices;
                let answer = match full {
                    true => Event::Refused { request, create: false, reason },
                    false => Event::Done { request },
                };
                if !full {
                    self.model.provide(who, service, on);
                }
                self.model.tell(who, answer);
                self.ask(
                    who,
                    DirectoryCommand::Provide { request, service: peer_name(service), on },
                );
            }
            Operation::Look(seek) => {
                let peers = self.model.look(&seek);
                self.model.tell(who, DirectoryEvent::Found { request, peers, more: false });
                let query = match seek {
                    Seek::Id(id) => Query::Peer(claimed(id)),
                    Seek::Name(name) => Query::Name(peer_name(name)),
                    Seek::Service(name) => Query::Service(peer_name(name)),
                    Seek::Names(prefix, after) => {
                        let (prefix, after) = (PREFIXES[prefix].to_owned(), after.map(peer_name));
                        Query::Names { prefix, after }
                    }
                    Seek::Everybody(after) => {
                        let after = after.map(|after| match after {
                            Behind::Name(name) => After::Name(peer_name(name)),
                            Behind::Id(id) => After::Peer(claimed(id)),
                        });
                        Query::Everybody { after }
                    }
                };
                self.ask(who, DirectoryCommand::Look { request, query });
            }
            Operation::Watch(whom) => {
                self.model.endpoints[who].watches = whom;
                self.model.tell(who, Event::Done { request });
                self.ask(who, DirectoryCommand::Watch { request, whom });
            }
            Operation::Read => {
                // It may have written to itself.
                self.flush(who)?;
                self.read(who)?;
            }
            Operation::Close(greeting) => {
                assert_eq!(self.sessions[who].flush(self.now), Step::Go);
                self.model.close(who);
                self.sessions[who].close(Reason::ConnectionLost);
                self.waiting.retain(|waiting| waiting.who != who);
                self.greet(who, &greeting)?;
            }
        }
        Ok(())
    }

    fn flush(&mut self, who: usize) -> Result<(), TestCaseError> {
        assert_eq!(self.sessions[who].flush(self.now), Step::Go);
        let links: usize = self.model.endpoints.iter().map(|endpoint| endpoint.links.len()).sum();
        prop_assert_eq!(self.hub.metrics.links.get(), links as i64);
        if let Some(directory) = &self.directory {
            prop_assert_eq!(directory.pending().len(), self.waiting.len());
            // Those of links are released with the links' beginning.
            let held = directory.held().into_values();
            let of_sessions = held.filter(|claim| claim.starts_with("session ")).count();
            prop_assert_eq!(of_sessions, SESSIONS);
        }
        Ok(())
    }

    fn read(&mut self, who: usize) -> Result<(), TestCaseError> {
        prop_assert_eq!(read(&mut self.sessions[who]), self.model.read(who));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn every_endpoint_reads_what_the_model_says(
        duplicates in prop::sample::select(vec![
            Duplicates::Refuse,
            Duplicates::Replace,
            Duplicates::Newest,
        ]),
        // A directory answers later whether there is a peer.
        late: bool,
        // What one session does before the next one's turn comes in one read.
        turns in prop::collection::vec(
            (0..SESSIONS, prop::collection::vec(operation(), 1..6)),
            0..60,
        ),
    ) {
        let mut both = Both::new(duplicates, late);
        for (who, operations) in turns {
            for operation in operations {
                both.step(who, operation)?;
            }
            both.flush(who)?;
        }
        for who in 0..SESSIONS {
            both.read(who)?;
        }
        let Both { hub, sessions, directory, .. } = both;
        drop(sessions);
        if let Some(directory) = directory {
            let left = (directory.pending(), directory.held());
            prop_assert!(left.0.is_empty() && left.1.is_empty(), "{:?}", left);
        }
        let protocol = "lines";
        let open = hub.metrics.sessions.get_or_create(&ByProtocol { protocol }).get();
        prop_assert_eq!([open, hub.metrics.links.get(), hub.sessions() as i64], [0; 3]);
    }
}
