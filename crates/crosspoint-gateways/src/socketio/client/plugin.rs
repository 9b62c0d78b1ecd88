//! What the plugin adds: events for other clients, streams, and pairs.

use super::args::Args;
use super::config::Generation;
use super::ended::SendError;
use super::event::{AskId, Event, Offer, Opening, StreamRequest, Ticket, Waiting};
use super::machine::Client;
use super::session::Room;
use super::streams::{CHUNK_BYTES_MAX, Came, Next, Read, StreamEnd, StreamId, Written};
use super::words::{self, StreamInfo};
use bytes::{BufMut, Bytes};

/// The parts of the plugin in which the generations differ.
impl<T> Client<T> {
    /// Says an event to another client. With a token it is a question.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn emit_to(
        &mut self,
        target: &str,
        event: &str,
        args: &Args,
        token: Option<T>,
    ) -> Result<Option<AskId>, SendError> {
        let attachments = args.attachments().to_vec();
        let waiting = token.map(Waiting::Owner);
        self.say_to(target, event, args.inside(), attachments, waiting, Room::IfThereIs)
    }

    fn say_to(
        &mut self,
        target: &str,
        event: &str,
        inside: &str,
        attachments: Vec<Bytes>,
        waiting: Option<Waiting<T>>,
        room: Room,
    ) -> Result<Option<AskId>, SendError> {
        let wants_ack = waiting.is_some();
        let generation = self.config.generation;
        let (name, inside) = words::emit_to(generation, target, event, inside, wants_ack);
        self.say(name, &inside, attachments, waiting, room)
    }

    /// Asks for a pair with another client. The answer is `true` or `false`.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn pair(&mut self, target: &str, token: T) -> Result<Option<AskId>, SendError> {
        if self.pair.is_some() {
            return Err(SendError::Paired(true));
        }
        let waiting = Waiting::Pair(target.to_owned(), Some(token));
        let target = super::args::quoted(target);
        self.say(words::REGISTER, &target, Vec::new(), Some(waiting), Room::IfThereIs)
    }

    /// Asks for the end of the pair.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn unpair(&mut self, token: T) -> Result<Option<AskId>, SendError> {
        if self.pair.is_none() {
            return Err(SendError::Paired(false));
        }
        let waiting = Some(Waiting::Unpair(token));
        self.say(words::UNREGISTER, "", Vec::new(), waiting, Room::IfThereIs)
    }

    /// The other client of the pair.
    pub fn paired_with(&self) -> Option<&str> {
        self.pair.as_deref()
    }

    pub(super) fn unpaired(&mut self) {
        for stream in self.streams.paired() {
            self.over(stream, StreamEnd::PeerGone);
        }
        let gone = self.pair.take().map(|id| Event::Unpaired { id });
        self.events.extend(gone);
    }

    /// Asks for a stream. In the first generation that is the one stream of the pair.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn open_stream(
        &mut self,
        request: StreamRequest,
        token: T,
    ) -> Result<Option<AskId>, SendError> {
        if self.streams.len() >= self.config.streams_max {
            return Err(SendError::TooManyStreams(self.config.streams_max));
        }
        let StreamRequest { to, own, theirs, channel, args } = request;
        let (name, inside, [own, theirs]) = match self.config.generation {
            Generation::First if self.pair.as_deref() != Some(&*to) => {
                return Err(SendError::Paired(false));
            }
            Generation::First => {
                (words::REGISTER_STREAM, super::args::quoted(&to), [Box::default(), Box::default()])
            }
            Generation::Second => {
                let (channel, args) = (channel.as_deref(), args.as_ref());
                let info = StreamInfo::write(&own, &theirs, &to, channel, args);
                (words::CREATE_STREAM, info, [own, theirs])
            }
        };
        let attachments = args.map(Args::into_attachments).unwrap_or_default();
        let opening = Opening { token: Some(token), to, own, theirs };
        let waiting = Some(Waiting::Opening(Box::new(opening)));
        self.say(name, &inside, attachments, waiting, Room::IfThereIs)
    }

    /// The other side has answered.
    pub(super) fn opened(&mut self, opening: Opening<T>, args: &Args) {
        let Opening { token, to, own, theirs } = opening;
        let refused = match (self.config.generation, args.element(0)) {
            (Generation::First, Some("true")) => None,
            (Generation::First, _) => Some("the other client does not listen".to_owned()),
            (Generation::Second, None | Some("null" | "false" | "0" | "\"\"")) => None,
            (Generation::Second, Some(other)) => {
                Some(args.text_at(0).unwrap_or_else(|| other.to_owned()))
            }
        };
        let event = match (refused, token) {
            (None, None) => {
                // The other side has made a stream that nobody wants any more.
                self.destroyed_here(&to, &own);
                return;
            }
            (Some(_), None) => return,
            (Some(why), Some(token)) => Event::StreamRefused { token, why },
            (None, Some(token)) => match self.streams.add(to, own, theirs) {
                Some(stream) => Event::StreamOpened { token, stream },
                None => Event::StreamRefused { token, why: "there is one already".to_owned() },
            },
        };
        self.events.push_back(event);
    }

    /// Takes a stream that another client opens. `None` if it cannot be: the other client hears why.
    pub fn accept(&mut self, offer: Offer) -> Option<StreamId> {
        let Offer { from, own, theirs, ticket, .. } = offer;
        let is_paired = own.is_empty();
        let stream = match self.streams.len() < self.config.streams_max {
            true => self.streams.add(from, own, theirs),
            false => None,
        };
        let answer = match (stream, is_paired) {
            (Some(_), false) => Args::default(),
            (Some(_), true) => Args::json("true"),
            (None, false) => Args::text("Stream: the client takes no further stream"),
            (None, true) => Args::json("false"),
        };
        self.answer_now(ticket, answer);
        stream
    }

    /// What comes of streams and pairs, or else an event for the owner.
    pub(super) fn stream_said(
        &mut self,
        name: Box<str>,
        args: Args,
        ticket: Option<Ticket>,
    ) -> Option<Event<T>> {
        let first = self.config.generation == Generation::First;
        match &*name {
            words::STREAM_DESTROYED => {
                let stream = args.text_at(0).and_then(|theirs| self.streams.find(&theirs));
                // The other side has destroyed it, and hears that this side has done so too.
                self.destroy(stream?, StreamEnd::Destroyed);
                None
            }
            words::PAIRED_CHUNK if first => self.chunk("", args, ticket),
            words::REGISTER if first => self.asked_for_pair(args.text_at(0)?, ticket),
            words::UNREGISTER if first => {
                self.unpaired();
                self.answer_now(ticket, Args::default());
                None
            }
            words::PAIR_DISCONNECT if first => {
                self.unpaired();
                None
            }
            words::REGISTER_STREAM if first => {
                let from = self.pair.clone()?;
                let (own, theirs) = (Box::default(), Box::default());
                let (channel, args) = (None, Args::default());
                Some(Event::StreamOffered(Offer { from, channel, args, own, theirs, ticket }))
            }
            name_of if !first && words::chunk_of(name_of).is_some() => {
                self.chunk(words::chunk_of(name_of)?, args, ticket)
            }
            name_of if !first && words::opens_stream(name_of).is_some() => {
                let channel = words::opens_stream(name_of)?.map(str::to_owned);
                let StreamInfo { source, target, from, args } = StreamInfo::parse(&args)?;
                let (own, theirs) = (target, source);
                // Without a name of its own a stream could not be told from that of a pair.
                let is_named = !own.is_empty() && !theirs.is_empty();
                let offer = Offer { from, channel, args, own, theirs, ticket };
                is_named.then_some(Event::StreamOffered(offer))
            }
            _ => Some(Event::Said { name, args, ticket }),
        }
    }

    /// Nobody listens for a stream. In the second generation that is the same as to drop it.
    pub fn refuse(&mut self, offer: Offer) {
        if offer.own.is_empty() {
            self.answer_now(offer.ticket, Args::json("false"));
        }
    }

    fn asked_for_pair(&mut self, id: String, ticket: Option<Ticket>) -> Option<Event<T>> {
        let is_free = self.pair.is_none();
        self.answer_now(ticket, Args::json(if is_free { "true" } else { "false" }));
        is_free.then(|| {
            self.pair = Some(id.clone());
            Event::Paired { id }
        })
    }

    /// A chunk of the stream that the other side writes under this id. One that is not known is not acknowledged.
    fn chunk(&mut self, theirs: &str, args: Args, ticket: Option<Ticket>) -> Option<Event<T>> {
        let stream = self.streams.find(theirs)?;
        let ack = ticket.map(|Ticket(id)| id);
        let bounds = (self.config.stream_window, self.config.stream_bytes_max);
        let chunk = match (args.attachments(), args.element(0)) {
            ([bytes], _) => Some(bytes.clone()),
            // Nothing at all is what is left of `undefined`.
            (_, None | Some("null")) => None,
            (_, Some(element)) => Some(chunk_of_json(element)?),
        };
        let Came { acks, destroyed } = self.streams.came(stream, chunk, ack, bounds);
        self.give(acks);
        if destroyed && let Some((peer, own)) = self.ends(stream) {
            self.destroyed_here(&peer, &own);
        }
        Some(Event::StreamMoved(stream))
    }

    fn give(&mut self, acks: Vec<u64>) {
        for ack in acks {
            self.answer_now(Some(Ticket(ack)), Args::default());
        }
    }

    fn ends(&self, stream: StreamId) -> Option<(String, Box<str>)> {
        let stream = self.streams.get(stream)?;
        (!stream.is_paired()).then(|| (stream.peer.clone(), stream.own.clone()))
    }

    /// Tells the other side that this side has destroyed its end.
    fn destroyed_here(&mut self, peer: &str, own: &str) {
        if own.is_empty() {
            return;
        }
        let inside = super::args::quoted(own);
        // Who is not connected any more need not say it.
        let _ = self.say_to(peer, words::STREAM_DESTROYED, &inside, Vec::new(), None, Room::Always);
    }

    fn destroy(&mut self, stream: StreamId, end: StreamEnd) {
        if let Some((peer, own)) = self.ends(stream) {
            self.destroyed_here(&peer, &own);
        }
        self.over(stream, end);
    }

    fn over(&mut self, stream: StreamId, end: StreamEnd) {
        if self.streams.finish(stream, end) {
            self.events.push_back(Event::StreamMoved(stream));
        }
    }

    /// All streams with a client are over, or all streams.
    pub(super) fn streams_over(&mut self, peer: Option<&str>, end: StreamEnd) {
        for stream in self.streams.with(peer) {
            self.over(stream, end);
        }
    }

    /// Says what is next of a stream.
    pub(super) fn advance(&mut self, id: StreamId) {
        let Some(stream) = self.streams.get(id) else { return };
        let (peer, event) = match stream.is_paired() {
            true => (stream.peer.clone(), words::PAIRED_CHUNK.to_owned()),
            false => (stream.peer.clone(), words::chunk_event(&stream.own)),
        };
        let args = match self.streams.next(id) {
            Some(Next::Chunk(bytes)) => Args::bytes(bytes),
            Some(Next::End) => Args::json("null"),
            None => return,
        };
        let attachments = args.attachments().to_vec();
        let waiting = Some(Waiting::Stream(id));
        // Each stream has one chunk on the way, so that these are bounded as streams are.
        let said = self.say_to(&peer, &event, args.inside(), attachments, waiting, Room::Always);
        if said.is_err() {
            self.over(id, StreamEnd::Disconnected);
        }
    }

    /// Reads from a stream, at most so many bytes.
    pub fn read(&mut self, stream: StreamId, into: &mut impl BufMut, most: usize) -> Read {
        let (read, acks) = self.streams.read(stream, into, most, self.config.stream_window);
        self.give(acks);
        read
    }

    /// Writes to a stream.
    pub fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Written {
        // The event around a chunk, and base64 where the transport needs that, take some as well.
        let most = (self.session.message_bytes_max() / 2).clamp(1, CHUNK_BYTES_MAX);
        let written = self.streams.write(stream, bytes, most);
        if matches!(written, Written::Some(_)) {
            self.advance(stream);
        }
        written
    }

    /// Whether the other side has all that was written.
    pub fn flushed(&self, stream: StreamId) -> Written {
        self.streams.flushed(stream)
    }

    /// Ends what is written to a stream; [`Written::Done`] when the other side has all of it.
    pub fn shut_down(&mut self, stream: StreamId) -> Written {
        let written = self.streams.shut_down(stream);
        if written == Written::Pending {
            self.advance(stream);
            return self.streams.shut_down(stream);
        }
        written
    }

    /// Nobody holds a stream any more. If its end was asked for, what was written still arrives; otherwise it is
    /// destroyed.
    pub fn leave_stream(&mut self, stream: StreamId) {
        let (is_destroyed, acks) = self.streams.leave(stream);
        self.give(acks);
        if is_destroyed {
            self.destroy(stream, StreamEnd::Destroyed);
            self.streams.remove(stream);
        }
    }

    /// How many streams there are.
    pub fn streams(&self) -> usize {
        self.streams.len()
    }
}

/// What is in a chunk that is no attachment: a text, or an array of bytes. `None` is neither.
fn chunk_of_json(element: &str) -> Option<Bytes> {
    if let Some(text) = crate::socketio::elements::text(element) {
        return Some(Bytes::copy_from_slice(text.as_bytes()));
    }
    serde_json::from_str(element).ok().map(|bytes: Vec<u8>| bytes.into())
}
