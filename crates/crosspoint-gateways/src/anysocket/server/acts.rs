//! What becomes of the calls of the object `hub`.

use super::object::{self, EnterFields, Wish};
use super::peer_link::{Due, PeerLink, Waiting};
use super::rooms::{self, CannotSend};
use super::{AnySocket, Json, Reply, With};
use crate::anysocket::internal::rpc::{Call, Failure, Outcome, Value};
use crate::anysocket::link::Ticket;
use crate::link::{FOR_REQUESTS, IDLE_TIME};
use bytes::Bytes;
use crosspoint_hub::command::{
    Addressee, ChannelCommand, Command, DirectoryCommand, EnterOptions, Entered, LinkCommand,
    LinkOptions, Peer, Query, Target, Watched,
};
use crosspoint_hub::payload::Payload;
use crosspoint_hub::wire::{FrameWriter, Part};
use crosspoint_hub::{ChannelName, JoinedChannelId, LinkNumber, MemberNumber, PeerId, Reason};
use std::time::Instant;

/// Links for requests that a client may have opened at once.
const WAYS_MAX: usize = 64;
/// Requests that may wait for a link.
const WAITING_MAX: usize = 256;

/// What the hub was asked, to know what its answer is about.
#[derive(Debug)]
pub(super) enum Question {
    /// The client wants a peer.
    Proxy(PeerId),
    /// A link for requests.
    Way(Addressee),
    /// Who the client is.
    Me(Reply),
    /// Who somebody is.
    Find(Reply),
    /// Who there is.
    List(Reply),
    /// Anything that is done or not.
    Do(Reply),
    /// A room.
    Enter { reply: Reply, room: ChannelName },
}

/// What comes and goes, as the client is told.
pub(super) fn presence(event: &str, peer: &Peer) -> Json {
    Json::made(format!(r#"{{"hub":"peer","event":"{event}","peer":{}}}"#, rooms::peer(peer)))
}

fn returned(json: Json) -> Outcome {
    Outcome::Returned(Some(Value::Json(json)))
}

/// Not nothing: in the browser, the original takes that for a failure.
pub(super) fn done() -> Outcome {
    returned(Json::made("true".to_owned()))
}

impl AnySocket {
    /// The client calls the object.
    pub(super) fn wish(&mut self, call: Call, ticket: Option<Ticket>, out: &mut FrameWriter) {
        let now = self.now;
        let wish = object::read(&call);
        let reply = Reply::new(&self.kept, ticket, call.method);
        let wish = match wish {
            Ok(wish) => wish,
            Err(failure) => {
                return self.answer(With::Hub, reply, &Outcome::Failed(failure), out);
            }
        };
        if self.questions.is_full() {
            let outcome = object::refused(Reason::TooManyPending, &reply.method);
            return self.answer(With::Hub, reply, &Outcome::Failed(outcome), out);
        }
        match wish {
            Wish::Me => match self.known_as {
                Some(peer) => self.look(Question::Me(reply), Query::Peer(peer)),
                None => self.me(reply, None, out),
            },
            Wish::List(query) => self.look(Question::List(reply), query),
            Wish::Find(query) => self.look(Question::Find(reply), query),
            Wish::Watch(on) => {
                let request = self.question(Question::Do(reply));
                let whom = if on { Watched::Everybody } else { Watched::Nobody };
                self.give(DirectoryCommand::Watch { request, whom });
            }
            Wish::Enter { room, options } => self.enter(reply, room, options),
            Wish::Leave(room) => {
                let outcome = match self.rooms.leave(&room) {
                    Some(number) => {
                        self.give(ChannelCommand::Leave(number));
                        done()
                    }
                    None => not_entered(&reply.method),
                };
                self.answer(With::Hub, reply, &outcome, out);
            }
            Wish::SendIn { room, data } => {
                let outcome = self.send_in(&room, data, &reply.method);
                self.answer(With::Hub, reply, &outcome, out);
            }
            Wish::Request { to, method, payload, wait } => {
                let asker = Some((reply, now + wait));
                self.request_of(to, self.waiting(method, payload, asker), out);
            }
            Wish::Notify { to, method, payload } => {
                self.request_of(to, self.waiting(method, payload, None), out);
                self.answer(With::Hub, reply, &done(), out);
            }
            Wish::Provide { service, on } => {
                let request = self.question(Question::Do(reply));
                self.give(DirectoryCommand::Provide { request, service, on });
            }
            Wish::Secure => self.secure(reply, out),
        }
    }

    fn question(&mut self, question: Question) -> u32 {
        // There is room, as was looked before.
        self.questions.add(question).0
    }

    fn look(&mut self, question: Question, query: Query) {
        let request = self.question(question);
        self.give(DirectoryCommand::Look { request, query });
    }

    fn me(&mut self, reply: Reply, known: Option<&Peer>, out: &mut FrameWriter) {
        let name = match known {
            Some(peer) => peer.name.as_deref().map(str::to_owned),
            None => self.name.clone(),
        };
        let name =
            name.map_or(Json::NULL, |name| Json::new(&name).expect("a text has a JSON form"));
        let id = known.map(|peer| peer.id).or(self.known_as);
        let id = id.map_or("null".to_owned(), |id| format!("\"{id}\""));
        let me = Json::made(format!(r#"{{"id":{id},"name":{name}}}"#));
        self.answer(With::Hub, reply, &returned(me), out);
    }

    fn enter(&mut self, reply: Reply, room: ChannelName, options: EnterFields) {
        let options = EnterOptions {
            password: options.password.map(Bytes::from),
            make_room: true,
            presence: options.presence,
            ..EnterOptions::default()
        };
        let request = self.question(Question::Enter { reply, room: room.clone() });
        self.give(ChannelCommand::Enter { request, name: room, options });
    }

    fn send_in(&mut self, room: &ChannelName, data: Bytes, method: &[String]) -> Outcome {
        let limit = self.setup.options.limits.message_bytes_max;
        let size = |most: u32| {
            let error = format!("a message in this room has 1 to {most} bytes");
            Outcome::Failed(Failure { code: 413, ..Failure::failed(&error, method) })
        };
        match self.rooms.to(room, data.len()) {
            Err(CannotSend::NotEntered) => not_entered(method),
            Err(CannotSend::Size(most)) => size(most),
            Ok(_) if data.len() > limit as usize => size(limit),
            Ok(number) => {
                self.give(Command::Send { to: Target::Up(number), part: Part::whole(data) });
                done()
            }
        }
    }

    fn waiting(
        &self,
        method: String,
        payload: Payload,
        asker: Option<(Reply, Instant)>,
    ) -> Waiting {
        let _weight = self.kept.weigh(size_of::<Waiting>() + method.len() + payload.data.len());
        Waiting { method, payload, asker, _weight }
    }

    /// Asks a peer, over a link for requests.
    fn request_of(&mut self, to: Addressee, waiting: Waiting, out: &mut FrameWriter) {
        if let Some(link) = self.peers.ways.get(&to) {
            let link = *link;
            return self.send_waiting(link, waiting, out);
        }
        if let Some(others) = self.peers.opening.get_mut(&to) {
            if others.len() < WAITING_MAX {
                return others.push(waiting);
            }
            return self.refuse_waiting(waiting, Reason::TooManyPending, out);
        }
        if self.peers.ways.len() + self.peers.opening.len() >= WAYS_MAX && !self.end_idle_way() {
            return self.refuse_waiting(waiting, Reason::TooManyLinks, out);
        }
        let request = self.question(Question::Way(to.clone()));
        self.peers.opening.insert(to.clone(), vec![waiting]);
        let purpose = Bytes::from_static(FOR_REQUESTS);
        let options = LinkOptions { purpose, ..LinkOptions::default() };
        self.give(LinkCommand::Open { request, to, options });
    }

    /// Ends a link for requests where nothing waits, if there is one.
    fn end_idle_way(&mut self) -> bool {
        let idle =
            |link: &&LinkNumber| self.peers.links.get(*link).is_some_and(|known| known.is_idle());
        let Some(link) = self.peers.ways.values().find(idle).copied() else { return false };
        self.give(LinkCommand::Close { link, reason: Reason::Left });
        self.forget_link(link);
        true
    }

    fn send_waiting(&mut self, link: LinkNumber, waiting: Waiting, out: &mut FrameWriter) {
        let now = self.now;
        let Waiting { method, payload, asker, _weight } = waiting;
        self.schedule(Due::Link(link), Some(now + IDLE_TIME));
        let Some((reply, until)) = asker else {
            let sent = self.notify(link, &method, &payload);
            self.dropped += u64::from(!sent);
            return;
        };
        let sent = self.request(link, reply, Some(until), &method, &payload);
        if let Err((reply, failure)) = sent {
            let outcome = reply.failure(failure.code, &failure.message);
            self.answer(With::Hub, reply, &outcome, out);
        }
    }

    fn refuse_waiting(&mut self, waiting: Waiting, reason: Reason, out: &mut FrameWriter) {
        match waiting.asker {
            Some((reply, _)) => {
                let failure = object::refused(reason, &reply.method);
                self.answer(With::Hub, reply, &Outcome::Failed(failure), out);
            }
            None => self.dropped += 1,
        }
    }

    /// There is a link for requests.
    pub(super) fn way(
        &mut self,
        link: LinkNumber,
        to: Addressee,
        peer: PeerId,
        out: &mut FrameWriter,
    ) {
        let now = self.now;
        let new = PeerLink::for_requests(now, to.clone(), peer, &self.setup.options.limits);
        self.peers.links.insert(link, Box::new(new));
        self.peers.ways.insert(to.clone(), link);
        self.schedule(Due::Link(link), Some(now + IDLE_TIME));
        for waiting in self.peers.opening.remove(&to).unwrap_or_default() {
            self.send_waiting(link, waiting, out);
        }
    }

    /// The hub does not do what it was asked.
    pub(super) fn refused(&mut self, request: u32, reason: Reason, out: &mut FrameWriter) {
        match self.questions.take(request) {
            None => {}
            Some(Question::Proxy(id)) => self.no_link(id, reason, out),
            Some(Question::Way(to)) => {
                for waiting in self.peers.opening.remove(&to).unwrap_or_default() {
                    self.refuse_waiting(waiting, reason, out);
                }
            }
            // Who may not look around is told what it said itself.
            Some(Question::Me(reply)) => self.me(reply, None, out),
            Some(
                Question::Find(reply)
                | Question::List(reply)
                | Question::Do(reply)
                | Question::Enter { reply, .. },
            ) => {
                let failure = object::refused(reason, &reply.method);
                self.answer(With::Hub, reply, &Outcome::Failed(failure), out);
            }
        }
    }

    /// The hub has done what it was asked.
    pub(super) fn done(&mut self, request: u32, out: &mut FrameWriter) {
        if let Some(Question::Do(reply)) = self.questions.take(request) {
            self.answer(With::Hub, reply, &done(), out);
        }
    }

    /// The client is a member now.
    pub(super) fn entered(&mut self, entered: &Entered, out: &mut FrameWriter) {
        if let Some(Question::Enter { reply, room }) = self.questions.take(entered.request) {
            let told = self.rooms.enter(room, entered);
            self.answer(With::Hub, reply, &returned(told), out);
        } else {
            self.give(ChannelCommand::Leave(entered.channel));
        }
    }

    /// The hub has said who is there.
    pub(super) fn found(&mut self, request: u32, peers: &[Peer], out: &mut FrameWriter) {
        let (reply, found) = match self.questions.take(request) {
            Some(Question::Me(reply)) => return self.me(reply, peers.first(), out),
            Some(Question::Find(reply)) => {
                let found = peers.first().map_or(Json::NULL, |peer| Json::made(rooms::peer(peer)));
                (reply, found)
            }
            Some(Question::List(reply)) => {
                let peers: Vec<String> = peers.iter().map(rooms::peer).collect();
                (reply, Json::made(format!("[{}]", peers.join(","))))
            }
            _ => return,
        };
        self.answer(With::Hub, reply, &returned(found), out);
    }

    /// Tells the client something as a message.
    pub(super) fn told(&mut self, told: Option<Json>, out: &mut FrameWriter) {
        if let Some(told) = told {
            self.tell(out, |link| link.send(told));
        }
    }

    /// Data in a room.
    pub(super) fn room_data(
        &mut self,
        room: JoinedChannelId,
        from: Option<MemberNumber>,
        part: &Part,
        out: &mut FrameWriter,
    ) {
        if part.kind != Part::DATA {
            // Calls have no form here.
            self.dropped += 1;
            return;
        }
        let told = self.rooms.message(room, from, part);
        self.told(told, out);
    }
}

fn not_entered(method: &[String]) -> Outcome {
    let failure = Failure::failed("this room was not entered", method);
    Outcome::Failed(Failure { code: 404, ..failure })
}
