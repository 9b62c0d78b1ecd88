//! The hub under random operations against a naive model, which knows no batches, tags and locks:
//! whatever an endpoint reads, whenever it does, has to be exactly what the model says.

mod model;

use bytes::Bytes;
use crosspoint_hub::command::{Ban, ChannelCommand, Command, EnterOptions, Hello, Target};
use crosspoint_hub::directory::{Answer as Verdict, ClaimId, Directory};
use crosspoint_hub::metrics::ByProtocol;
use crosspoint_hub::session::Step;
use crosspoint_hub::testing::{Arrived, LINES, LateDirectory, PIECES, open_as, take};
use crosspoint_hub::wire::Wire;
use crosspoint_hub::{
    ChannelName, Hub, HubOptions, JoinedChannelId, Limits, MemberNumber, OwnedChannelId, Part,
    Reason, Session,
};
use model::{ENTERED_MAX, MEMBERS_MAX, Model, NAMES, OWNED_MAX, Piece, WAITING_MAX, peer_id, push};
use proptest::prelude::*;
use std::sync::Arc;
use std::time::Instant;

const SESSIONS: usize = 5;
/// One protocol has no borders between messages. It enters and never owns.
const PIECES_AT: usize = SESSIONS - 1;

#[derive(Debug, Clone)]
enum Operation {
    Create(usize, Said),
    /// The directory answers one of the claims that wait.
    Answer(usize, bool),
    /// The flag says whether it only speaks.
    Enter(usize, bool),
    Leave(Number),
    Delete(Number),
    Resign(Number),
    Succeed(Number, Option<Number>),
    Kick(Number, Number, bool),
    Up(Number, Piece),
    Down(Number, Number, Piece),
    All(Number, Option<Number>, Piece),
    /// The connection is lost and may come back, or has come back.
    Away(bool),
    /// Until then, the session has not noticed that.
    Heed,
    /// Until then, what comes waits: the endpoint stalls.
    Read,
    AllRead,
    /// The hub's operator closes what has this name.
    Shut(usize),
    /// The session ends, and another begins in its place.
    Close(Reason),
}
use Operation::{
    All, AllRead, Answer, Away, Close, Create, Delete, Down, Enter, Heed, Kick, Leave, Read,
    Resign, Shut, Succeed, Up,
};

/// What a directory says to a claim at once, if there is one.
#[derive(Debug, Clone, Copy)]
enum Said {
    Yes,
    No,
    Later,
}

/// A number: as it is, whether or not it names anything, or one of those that do.
#[derive(Debug, Clone, Copy)]
enum Number {
    Any(u32),
    Known(usize),
}
use Number::{Any, Known};

impl Number {
    fn of(self, known: &[u32]) -> u32 {
        match self {
            Any(number) => number,
            Known(index) => known.get(index % known.len().max(1)).copied().unwrap_or_default(),
        }
    }
}

fn operation() -> impl Strategy<Value = Operation> {
    let number = || prop_oneof![1 => (0u32..4).prop_map(Any), 5 => (0usize..4).prop_map(Known)];
    let name = || 0..NAMES.len();
    let said = prop_oneof![1 => Just(Said::Yes), 1 => Just(Said::No), 4 => Just(Said::Later)];
    let piece =
        || prop_oneof![3 => Just(Piece::Whole), 3 => Just(Piece::First), 1 => Just(Piece::Rest)];
    let reason = prop_oneof![
        3 => Just(Reason::ConnectionLost),
        2 => Just(Reason::Bye),
        1 => Just(Reason::HubStopping),
    ];
    prop_oneof![
        20 => (0..NAMES.len() - 1, said).prop_map(|(name, said)| Create(name, said)),
        10 => (any::<usize>(), prop::bool::weighted(0.8)).prop_map(|(which, yes)| Answer(which, yes)),
        45 => (name(), prop::bool::weighted(0.3)).prop_map(|(name, silent)| Enter(name, silent)),
        3 => number().prop_map(Leave),
        1 => number().prop_map(Delete),
        6 => number().prop_map(Resign),
        30 => (number(), prop::option::weighted(0.9, number()))
            .prop_map(|(own, member)| Succeed(own, member)),
        3 => (number(), number(), prop::bool::weighted(0.2))
            .prop_map(|(own, member, ban)| Kick(own, member, ban)),
        25 => (number(), piece()).prop_map(|(number, piece)| Up(number, piece)),
        12 => (number(), number(), piece())
            .prop_map(|(own, member, piece)| Down(own, member, piece)),
        12 => (number(), prop::option::of(number()), piece())
            .prop_map(|(own, except, piece)| All(own, except, piece)),
        5 => any::<bool>().prop_map(Away),
        5 => Just(Heed),
        30 => Just(Read),
        30 => Just(AllRead),
        2 => name().prop_map(Shut),
        1 => reason.prop_map(Close),
    ]
}

/// Whose turn it is.
#[derive(Debug, Clone, Copy)]
enum Actor {
    Session(usize),
    /// The owner of what has this name, if anybody.
    Owner(usize),
}

fn actor() -> impl Strategy<Value = Actor> {
    prop_oneof![
        3 => (0..SESSIONS).prop_map(Actor::Session),
        1 => (0..NAMES.len()).prop_map(Actor::Owner),
    ]
}

fn read(session: &mut Session) -> Vec<Arrived> {
    let mut joined = Vec::new();
    take(session).into_iter().for_each(|arrived| push(&mut joined, arrived));
    joined
}

/// A session that creates a channel waits for the answer to its claim.
struct Waiting {
    id: ClaimId,
    who: usize,
    request: u32,
    name: usize,
}

struct Both {
    hub: Arc<Hub>,
    now: Instant,
    sessions: Vec<Session>,
    model: Model,
    /// Who decides about names besides the hub.
    directory: Option<Arc<LateDirectory>>,
    waiting: Vec<Waiting>,
    /// Requests and messages so far.
    last: u32,
}

impl Both {
    fn new(late: bool) -> Self {
        let directory = late.then(Arc::<LateDirectory>::default);
        let limits = Limits {
            channels_owned_max: OWNED_MAX,
            channels_entered_max: ENTERED_MAX,
            members_max: MEMBERS_MAX,
            room_members_max: MEMBERS_MAX,
            commands_pending_max: WAITING_MAX,
            ..Limits::default()
        };
        let decides = directory.clone().map(|directory| directory as Arc<dyn Directory>);
        let options = HubOptions { limits, directory: decides, ..HubOptions::default() };
        let mut both = Self {
            hub: Hub::new(options),
            now: Instant::now(),
            sessions: Vec::new(),
            model: Model::default(),
            directory,
            waiting: Vec::new(),
            last: 0,
        };
        (0..SESSIONS).for_each(|who| both.begin(who));
        both
    }

    /// What the directory says from now on.
    fn say(&self, said: Said) {
        if let Some(directory) = &self.directory {
            directory.says(match said {
                Said::Yes => Verdict::Granted,
                Said::No => Verdict::Refused(Reason::NameTaken),
                Said::Later => Verdict::Pending,
            });
        }
    }

    /// The last command of a session may wait for its claim.
    fn note_waiting(&mut self, who: usize, request: u32, name: usize) {
        let session = self.sessions[who].endpoint().id;
        let directory = self.directory.iter();
        let mut pending = directory.flat_map(|directory| directory.pending().into_keys());
        let known = |id: &ClaimId| self.waiting.iter().any(|waiting| waiting.id == *id);
        let new = pending.rfind(|id| id.session == session && !known(id));
        self.waiting.extend(new.map(|id| Waiting { id, who, request, name }));
    }

    fn begin(&mut self, who: usize) {
        let (id, pieces) = (self.model.fresh(), who == PIECES_AT);
        self.say(Said::Yes);
        let hello = Hello { peer: Some(peer_id(id)), deletes: true, ..Hello::default() };
        let wire: &'static dyn Wire = if pieces { &PIECES } else { &LINES };
        let session = open_as(&self.hub, self.now, wire, None, hello);
        let endpoint = Model::endpoint(id, pieces);
        match self.sessions.get_mut(who) {
            Some(place) => {
                *place = session;
                self.model.endpoints[who] = endpoint;
            }
            None => {
                self.sessions.push(session);
                self.model.endpoints.push(endpoint);
            }
        }
    }

    fn who(&self, actor: Actor) -> usize {
        match actor {
            Actor::Session(who) => who,
            Actor::Owner(name) => self.model.owner(name).unwrap_or_default(),
        }
    }

    fn ask(&mut self, who: usize, command: impl Into<Command>) {
        let command = command.into();
        assert_eq!(self.sessions[who].execute(self.now, command), Step::Go);
    }

    fn send(&mut self, who: usize, to: Target, piece: Piece) {
        let text = format!("message {}", self.last);
        let (to, piece, text) = self.model.next(who, to, piece, &text);
        self.model.send(who, to, piece, &text);
        let (begin, end) = piece.of(&text);
        let part = Part {
            kind: Part::DATA,
            total: text.len() as u32,
            offset: begin as u32,
            data: Bytes::copy_from_slice(&text.as_bytes()[begin..end]),
        };
        self.ask(who, Command::Send { to, part });
    }

    fn step(&mut self, who: usize, operation: Operation) -> Result<(), TestCaseError> {
        let name = |name: usize| ChannelName::new(NAMES[name]).expect("a short name");
        self.last += 1;
        let request = self.last;
        match operation {
            Create(index, said) if who != PIECES_AT => {
                let reason = Reason::NameTaken;
                let asked = self.directory.is_some() && !self.model.is_taken(index);
                match said {
                    _ if !asked => self.model.create(who, request, index),
                    _ if self.model.endpoints[who].waiting >= WAITING_MAX => {
                        self.model.refuse(who, request, true, Reason::TooManyPending);
                    }
                    Said::Yes => self.model.create(who, request, index),
                    Said::No => self.model.refuse(who, request, true, reason),
                    Said::Later => self.model.endpoints[who].waiting += 1,
                }
                self.say(said);
                let options = Default::default();
                let create = ChannelCommand::Create { request, name: name(index), options };
                self.ask(who, create);
                self.note_waiting(who, request, index);
            }
            Answer(which, yes) => {
                let answer = if yes { Ok(()) } else { Err(Reason::NameTaken) };
                if let Some(directory) = &self.directory
                    && !self.waiting.is_empty()
                {
                    let Waiting { id, who, request, name } =
                        self.waiting.swap_remove(which % self.waiting.len());
                    self.model.answered(who, request, name, answer);
                    prop_assert!(directory.answer(&self.hub, id, answer));
                }
            }
            Create(index, _) | Enter(index, _) => {
                let silent = matches!(operation, Enter(_, true));
                self.model.enter(who, request, index, silent);
                let name = name(index);
                let make_room = NAMES[index] == "room";
                let options = EnterOptions { make_room, silent, ..EnterOptions::default() };
                self.ask(who, ChannelCommand::Enter { request, name, options });
            }
            Leave(number) => {
                let number = number.of(&self.model.entered(who));
                self.model.leave(who, number);
                self.ask(who, ChannelCommand::Leave(JoinedChannelId(number)));
            }
            Delete(own) => {
                let own = own.of(&self.model.owned(who));
                self.model.delete(who, own);
                self.ask(who, ChannelCommand::Delete(OwnedChannelId(own)));
            }
            Resign(own) => {
                let own = own.of(&self.model.owned(who));
                self.model.resign(who, own);
                self.ask(who, ChannelCommand::Resign(OwnedChannelId(own)));
            }
            Succeed(own, member) => {
                let own = own.of(&self.model.owned(who));
                let member = member.map(|member| member.of(&self.model.members(who, own)));
                self.model.succeed(who, request, own, member);
                let (channel, member) = (OwnedChannelId(own), member.map(MemberNumber));
                self.ask(who, ChannelCommand::Succeed { request, channel, member });
            }
            Kick(own, member, ban) => {
                let own = own.of(&self.model.owned(who));
                let member = member.of(&self.model.members(who, own));
                self.model.kick(who, own, member, ban);
                let (time, address) = (None, false);
                let (channel, member) = (OwnedChannelId(own), MemberNumber(member));
                let ban = ban.then_some(Ban { time, address });
                self.ask(who, ChannelCommand::Kick { channel, member, ban });
            }
            Up(number, piece) => {
                let number = number.of(&self.model.entered(who));
                self.send(who, Target::Up(JoinedChannelId(number)), piece);
            }
            Down(own, member, piece) => {
                let own = own.of(&self.model.owned(who));
                let member = member.of(&self.model.members(who, own));
                self.send(who, Target::Member(OwnedChannelId(own), MemberNumber(member)), piece);
            }
            All(own, except, piece) => {
                let own = own.of(&self.model.owned(who));
                let except = except.map(|member| member.of(&self.model.members(who, own)));
                let except = except.map(MemberNumber);
                self.send(who, Target::Everyone(OwnedChannelId(own), except), piece);
            }
            Away(away) => {
                self.model.endpoints[who].away = away;
                self.hub.set_away(self.now, self.sessions[who].endpoint().id, away);
            }
            Heed => {
                self.flush(who);
                self.model.heed_absence(who);
                self.sessions[who].heed_absence();
            }
            Read => {
                // What it reads may make it answer.
                self.flush(who);
                self.read(who)?;
            }
            AllRead => {
                self.flush(who);
                (0..SESSIONS).try_for_each(|who| self.read(who))?;
            }
            Shut(index) => {
                self.flush(who);
                let shut = self.model.shut(index, Reason::Kicked);
                prop_assert_eq!(self.hub.close_channel(&name(index), Reason::Kicked), shut);
            }
            Close(reason) => {
                self.flush(who);
                self.model.close(who, reason);
                self.sessions[who].close(reason);
                self.waiting.retain(|waiting| waiting.who != who);
                // What waits can still be written.
                self.read(who)?;
                self.begin(who);
            }
        }
        Ok(())
    }

    fn flush(&mut self, who: usize) {
        assert_eq!(self.sessions[who].flush(self.now), Step::Go);
    }

    fn count(&self) -> Result<(), TestCaseError> {
        let metrics = &self.hub.metrics;
        prop_assert_eq!(metrics.channels.get(), self.model.places() as i64);
        prop_assert_eq!(metrics.members.get(), self.model.memberships() as i64);
        for (who, session) in self.sessions.iter().enumerate() {
            let detail = self.hub.session_detail(session.endpoint().id, 0).expect("it is there");
            let channels = detail.channels.iter();
            let has = channels.map(|it| (it.name.as_bytes(), it.member.map(|number| number.0)));
            let expected = self.model.has(who);
            let expected = expected.iter().map(|(name, number)| (name.as_bytes(), *number));
            prop_assert!(has.eq(expected), "{who}: {:?}", detail.channels);
        }
        if let Some(directory) = &self.directory {
            prop_assert_eq!(directory.pending().len(), self.waiting.len());
            let held = directory
                .held()
                .into_values()
                .filter_map(|claim| claim.strip_prefix("channel ").map(str::to_owned));
            let mut held: Vec<String> = held.collect();
            held.sort();
            prop_assert_eq!(held, self.model.granted());
        }
        Ok(())
    }

    fn read(&mut self, who: usize) -> Result<(), TestCaseError> {
        prop_assert_eq!(read(&mut self.sessions[who]), self.model.read(who));
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(250))]

    #[test]
    fn every_endpoint_reads_what_the_model_says(
        // A directory answers later who may have which name.
        late: bool,
        // What one session does before the next one's turn comes in one read.
        turns in prop::collection::vec(
            (actor(), prop::collection::vec(operation(), 1..6)),
            0..250,
        ),
    ) {
        let mut both = Both::new(late);
        for (actor, operations) in turns {
            let who = both.who(actor);
            for operation in operations {
                both.step(who, operation)?;
            }
            both.flush(who);
            both.count()?;
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
        prop_assert_eq!((hub.sessions(), hub.channels()), (0, 0));
        let protocol = "lines";
        let open = hub.metrics.sessions.get_or_create(&ByProtocol { protocol }).get();
        let gauges = [open, hub.metrics.channels.get(), hub.metrics.members.get()];
        prop_assert_eq!(gauges, [0; 3]);
    }
}
