//! What the hub is asked while a packet of the client waits.
//!
//! A packet that needs an answer of the hub is carried out again when the answer is there. All that comes behind it
//! waits meanwhile, so that everything happens in the order in which the client has said it.

use super::SocketIo;
use super::foreign::Foreign;
use super::links::{Addressed, PeerLink};
use super::say::quoted;
use crate::link::FOR_REQUESTS;
use crate::socketio::wire;
use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, ChannelCommand, Command, DirectoryCommand, EnterOptions, Entered, LinkCommand,
    LinkOptions, Peer, Query,
};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{ChannelName, LinkNumber, PeerName, Reason};
use crosspoint_proto::peer::Side;
use std::time::{Duration, Instant};

/// How long a packet waits for an answer of the hub that somebody else has to give. The client is not listened to
/// meanwhile.
pub(super) const TIME_MAX: Duration = Duration::from_secs(10);

/// What the hub was asked.
#[derive(Debug)]
pub(super) struct Question {
    request: u32,
    what: Asked,
    until: Instant,
}

impl Question {
    /// When it is given up.
    pub(super) fn until(&self) -> Instant {
        self.until
    }
}

#[derive(Debug)]
enum Asked {
    /// For a link.
    Way(Wanted),
    /// For all names, of which these are known: JSON texts with commas between them.
    Names(String),
    /// To enter a channel, whose owner may have to decide about that.
    Entry(ChannelName),
    /// Something else.
    Plain,
}

/// A link that the client needs.
#[derive(Debug)]
struct Wanted {
    to: Addressed,
    sought: Sought,
    /// Another link was closed to make room.
    has_made_room: bool,
}

/// What a text may be that says whom the client means, in this order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sought {
    /// An id that somebody has is nobody else's name.
    Id,
    Name,
    /// A service is spoken to as a client, as in the generation between the two.
    Service,
}

impl Wanted {
    fn new(to: Addressed) -> Self {
        let sought = match &to {
            Addressed::Service(_) => Sought::Service,
            to if to.is_id() => Sought::Id,
            _ => Sought::Name,
        };
        Self { to, sought, has_made_room: false }
    }

    /// `None`: nobody can be called so.
    fn addressee(&self) -> Option<Addressee> {
        let (Addressed::Client(text) | Addressed::Target(text) | Addressed::Service(text)) =
            &self.to;
        match self.sought {
            Sought::Id => text.parse().ok().map(Addressee::Peer),
            Sought::Name => PeerName::new(text).ok().map(Addressee::Name),
            Sought::Service => PeerName::new(text).ok().map(Addressee::Service),
        }
    }

    /// The same, where nobody was found.
    fn next(self) -> Option<Self> {
        let sought = match self.sought {
            Sought::Id => Sought::Name,
            Sought::Name => Sought::Service,
            Sought::Service => return None,
        };
        Some(Self { sought, ..self })
    }
}

/// What the hub has answered.
#[derive(Debug)]
pub(super) enum Answer {
    /// What was asked for was done. If that was a link, [`Links`](super::links::Links) know it.
    Done,
    Refused(Reason),
    /// Nobody has decided in time.
    Undecided,
    /// Who was found.
    Found(Vec<Peer>),
    /// All names: JSON texts with commas between them.
    Names(String),
    Entered(Entered),
}

impl SocketIo {
    /// Asks the hub something. `None`: the answer is to come.
    pub(super) fn ask<C: Into<Command>>(
        &mut self,
        command: impl FnOnce(u32) -> C,
    ) -> Option<Answer> {
        if self.answer.is_none() {
            let request = self.question(Asked::Plain);
            self.give(command(request));
        }
        self.answer.take()
    }

    /// Asks to enter a channel or room. `None`: the answer is to come.
    pub(super) fn ask_to_enter(
        &mut self,
        name: &ChannelName,
        options: EnterOptions,
    ) -> Option<Answer> {
        if self.answer.is_none() {
            let request = self.question(Asked::Entry(name.clone()));
            self.give(ChannelCommand::Enter { request, name: name.clone(), options });
        }
        self.answer.take()
    }

    /// Asks for the names of all that have one. `None`: the answer is to come.
    pub(super) fn ask_names(&mut self) -> Option<Answer> {
        if self.answer.is_none() {
            self.look_for_names(String::new(), None);
        }
        self.answer.take()
    }

    fn look_for_names(&mut self, names: String, after: Option<PeerName>) {
        let request = self.question(Asked::Names(names));
        let query = Query::Names { prefix: String::new(), after };
        self.give(DirectoryCommand::Look { request, query });
    }

    /// The link to somebody whom the client says events to. `None`: the answer is to come.
    pub(super) fn way(&mut self, to: &str) -> Option<Result<LinkNumber, Reason>> {
        self.way_to(Addressed::Client(to.into()))
    }

    /// The link to somebody who is a target of the client. `None`: the answer is to come.
    pub(super) fn target_way(&mut self, to: &str) -> Option<Result<LinkNumber, Reason>> {
        match self.way(to)? {
            Ok(link) if self.links.get(link).is_some_and(PeerLink::is_foreign) => {
                self.way_to(Addressed::Target(to.into()))
            }
            way => Some(way),
        }
    }

    /// The link to somebody. `None`: the answer is to come.
    pub(super) fn way_to(&mut self, to: Addressed) -> Option<Result<LinkNumber, Reason>> {
        if let Some(link) = self.links.way(self.now, &to) {
            // What was asked for is there. A refusal is for another way.
            self.answer.take_if(|answer| matches!(answer, Answer::Done));
            return Some(Ok(link));
        }
        match self.answer.take() {
            Some(Answer::Refused(reason)) => Some(Err(reason)),
            Some(Answer::Undecided) => Some(Err(Reason::Busy)),
            // It has ended as soon as it was there.
            Some(_) => Some(Err(Reason::NoSuchPeer)),
            None => {
                let is_open = self.open(Wanted::new(to));
                (!is_open).then_some(Err(Reason::NoSuchPeer))
            }
        }
    }

    /// Opens a link. Gives whether somebody can be called so.
    fn open(&mut self, wanted: Wanted) -> bool {
        let Some(to) = wanted.addressee() else { return false };
        let purpose = match wanted.to {
            Addressed::Client(_) | Addressed::Service(_) => Bytes::from_static(FOR_REQUESTS),
            Addressed::Target(_) => Bytes::new(),
        };
        let request = self.question(Asked::Way(wanted));
        let options = LinkOptions { purpose, ..LinkOptions::default() };
        self.give(LinkCommand::Open { request, to, options });
        true
    }

    fn question(&mut self, what: Asked) -> u32 {
        let request = self.unheard_request();
        let until = self.now + TIME_MAX;
        self.question = Some(Box::new(Question { request, what, until }));
        request
    }

    /// The number of a command whose answer is for nobody.
    pub(super) fn unheard_request(&mut self) -> u32 {
        let request = self.next_request;
        self.next_request = request.wrapping_add(1);
        request
    }

    /// Waits no longer for an answer that others withhold, such as the owner of a channel.
    pub(super) fn give_up(&mut self) {
        let now = self.now;
        let Some(question) = self.question.take_if(|question| question.until <= now) else {
            return;
        };
        if let Asked::Entry(name) = question.what {
            self.give(ChannelCommand::Withdraw(name));
        }
        self.answer = Some(Answer::Undecided);
    }

    /// Takes the question that an answer is for.
    fn answered(&mut self, request: u32) -> Option<Asked> {
        let question = self.question.take_if(|question| question.request == request)?;
        Some(question.what)
    }

    pub(super) fn done(&mut self, request: u32) {
        if self.answered(request).is_some() {
            self.answer = Some(Answer::Done);
        }
    }

    pub(super) fn entered(&mut self, entered: &Entered) {
        match self.answered(entered.request) {
            Some(_) => self.answer = Some(Answer::Entered(*entered)),
            None => self.give(ChannelCommand::Leave(entered.channel)),
        }
    }

    pub(super) fn found(&mut self, request: u32, peers: &[Peer], more: bool) {
        let mut names = match self.answered(request) {
            Some(Asked::Names(names)) => names,
            Some(_) => {
                self.answer = Some(Answer::Found(peers.to_vec()));
                return;
            }
            None => return,
        };
        for name in peers.iter().filter_map(|peer| peer.name.as_deref()) {
            if !names.is_empty() {
                names.push(',');
            }
            names.push_str(&quoted(name));
        }
        let last = peers.last().and_then(|peer| PeerName::new(peer.name.as_deref()?).ok());
        match last.filter(|_| more) {
            Some(last) => self.look_for_names(names, Some(last)),
            None => self.answer = Some(Answer::Names(names)),
        }
    }

    /// A link has begun.
    pub(super) fn linked(
        &mut self,
        request: Option<u32>,
        link: LinkNumber,
        peer: &Peer,
        purpose: &Bytes,
        out: &mut FrameWriter,
    ) {
        let side = if request.is_some() { Side::Opener } else { Side::Accepter };
        let foreign = (peer.protocol != wire::NAME)
            .then(|| Foreign::new(peer.id, side, &self.options.limits));
        match request.map(|request| self.answered(request)) {
            None => {
                let is_for_requests = purpose == FOR_REQUESTS;
                let is_target = foreign.is_some() && !is_for_requests;
                self.links.add(self.now, link, peer, None, is_for_requests, foreign);
                if is_target {
                    self.add_foreign_target(link, out);
                }
            }
            Some(Some(Asked::Way(wanted))) => {
                self.links.add(self.now, link, peer, Some(wanted.to), false, foreign);
                self.answer = Some(Answer::Done);
            }
            Some(_) => self.give(LinkCommand::Close { link, reason: Reason::Left }),
        }
    }

    pub(super) fn refused(&mut self, request: u32, reason: Reason) {
        let Some(asked) = self.answered(request) else { return };
        let is_open = match (asked, reason) {
            (Asked::Way(wanted), Reason::NoSuchPeer) => {
                wanted.next().is_some_and(|wanted| self.open(wanted))
            }
            (Asked::Way(wanted), Reason::TooManyLinks) if !wanted.has_made_room => {
                match self.links.longest_idle() {
                    Some(link) => {
                        self.close_link(link);
                        self.open(Wanted { has_made_room: true, ..wanted })
                    }
                    None => false,
                }
            }
            _ => false,
        };
        if !is_open {
            self.answer = Some(Answer::Refused(reason));
        }
    }
}
