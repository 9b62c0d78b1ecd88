//! The client as a state machine: messages and time in, messages and events out.

use super::args::Args;
use super::before::Before;
use super::config::Config;
use super::ended::{Ended, Fault, SendError};
use super::event::{AskId, Event, Ticket, Waiting};
use super::session::{Room, Said, Session};
use super::streams::{StreamEnd, Streams};
use super::words;
use crate::engineio::payload::Message;
use std::collections::VecDeque;
use std::time::Instant;

/// One connection of a client.
#[derive(Debug)]
pub struct Client<T> {
    pub(super) config: Config,
    pub(super) session: Session<Waiting<T>>,
    pub(super) streams: Streams,
    /// The other client of the pair.
    pub(super) pair: Option<String>,
    pub(super) events: VecDeque<Event<T>>,
    closing: bool,
    ended: bool,
}

impl<T> Client<T> {
    /// A client whose transport is there. The server speaks first.
    pub fn new(config: Config) -> Self {
        Self::returning(config, None)
    }

    /// The same for a client that had a connection, after which this was given ([`before`](Self::before)).
    pub fn returning(config: Config, before: Option<Before>) -> Self {
        Self {
            session: Session::new(&config, before),
            config,
            streams: Streams::default(),
            pair: None,
            events: VecDeque::new(),
            closing: false,
            ended: false,
        }
    }

    /// Who it is, and its bounds.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What the next connection can go on with, if the server has said so.
    pub fn before(&self) -> Option<&Before> {
        self.session.before()
    }

    /// Whether it is in its namespace.
    pub fn is_connected(&self) -> bool {
        self.session.has_entered() && !self.closing
    }

    /// Takes a message.
    pub fn receive(&mut self, now: Instant, message: Message) {
        if self.ended {
            return;
        }
        let received = self.session.receive(&self.config, now, message);
        self.received(received);
        while !self.ended
            && let Some(missed) = self.session.missed()
        {
            self.received(missed);
        }
    }

    fn received(&mut self, received: Result<Option<Said<Waiting<T>>>, Fault>) {
        match received {
            Ok(None) => {}
            Ok(Some(said)) => self.said(said),
            Err(fault) => self.end(fault.into()),
        }
    }

    fn said(&mut self, said: Said<Waiting<T>>) {
        match said {
            Said::Entered(sid, recovered) => {
                self.events.push_back(Event::Connected { sid, recovered });
            }
            Said::Refused(why) => self.end(Ended::Refused(why)),
            Said::Error(text) => self.events.push_back(Event::ServerError(text)),
            Said::Left => self.end(Ended::Disconnected),
            Said::Closed => self.end(Ended::There),
            Said::Event(name, args, id) => {
                let ticket = id.map(Ticket);
                match self.config.client_id.is_some() {
                    true => self.plugin_said(name, args, ticket),
                    false => self.events.push_back(Event::Said { name, args, ticket }),
                }
            }
            Said::Ack(waiting, args) => self.acknowledged(waiting, args),
        }
    }

    /// The next event.
    pub fn poll(&mut self) -> Option<Event<T>> {
        self.events.pop_front()
    }

    /// The next message to be written.
    pub fn transmit(&mut self) -> Option<Message> {
        if self.ended {
            return None;
        }
        let message = self.session.transmit();
        if message.is_none() && self.closing {
            self.end(Ended::Here);
        }
        message
    }

    /// When to call [`Self::tick`].
    pub fn deadline(&self) -> Option<Instant> {
        self.session.deadline().filter(|_| !self.ended)
    }

    /// Time has passed.
    pub fn tick(&mut self, now: Instant) {
        if !self.ended && self.session.tick(now) {
            self.end(Ended::Silent);
        }
    }

    /// Whether messages are to be read: the server takes what it makes this side answer.
    pub fn takes_input(&self) -> bool {
        self.session.takes_input(&self.config)
    }

    /// Says an event to the server. With a token it is a question, whose acknowledgement gives the token back.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn emit(
        &mut self,
        name: &str,
        args: &Args,
        token: Option<T>,
    ) -> Result<Option<AskId>, SendError> {
        let attachments = args.attachments().to_vec();
        self.say(name, args.inside(), attachments, token.map(Waiting::Owner), Room::IfThereIs)
    }

    pub(super) fn say(
        &mut self,
        name: &str,
        inside: &str,
        attachments: Vec<bytes::Bytes>,
        waiting: Option<Waiting<T>>,
        room: Room,
    ) -> Result<Option<AskId>, SendError> {
        if self.closing || self.ended {
            return Err(SendError::NotConnected);
        }
        let what = (name, inside, attachments);
        let id = self.session.emit(&self.config, what, waiting, room)?;
        Ok(id.map(AskId))
    }

    /// Acknowledges an event.
    ///
    /// # Errors
    /// [`SendError`]
    pub fn answer(&mut self, ticket: &Ticket, args: &Args) -> Result<(), SendError> {
        self.session.ack(&self.config, ticket.0, args, Room::IfThereIs)
    }

    /// Nobody waits for an acknowledgement any more. What it says is ignored.
    pub fn forget(&mut self, id: AskId) {
        match self.session.waiting(id.0) {
            // The other side makes a stream, or a pair, all the same.
            Some(Waiting::Opening(opening)) => opening.token = None,
            Some(Waiting::Pair(_, token)) => *token = None,
            Some(Waiting::Owner(_) | Waiting::Unpair(_)) => {
                self.session.forget(id.0);
            }
            Some(Waiting::Stream(_)) | None => {}
        }
    }

    fn acknowledged(&mut self, waiting: Waiting<T>, args: Args) {
        match waiting {
            Waiting::Owner(token) => self.events.push_back(Event::Answered { token, args }),
            Waiting::Stream(stream) => {
                self.streams.acknowledged(stream);
                self.advance(stream);
                self.events.push_back(Event::StreamMoved(stream));
            }
            Waiting::Opening(opening) => self.opened(*opening, &args),
            Waiting::Pair(id, token) => {
                if args.element(0) == Some("true") {
                    self.pair = Some(id);
                }
                let answered = token.map(|token| Event::Answered { token, args });
                self.events.extend(answered);
            }
            Waiting::Unpair(token) => {
                self.unpaired();
                self.events.push_back(Event::Answered { token, args });
            }
        }
    }

    /// Ends the connection behind everything that was handed over.
    pub fn close(&mut self) {
        if !self.closing && !self.ended {
            self.closing = true;
            self.session.leave(&self.config);
        }
    }

    /// Whether everything is written that was handed over.
    pub fn is_flushed(&self) -> bool {
        self.session.is_flushed()
    }

    /// The connection has ended. What streams have received can still be read.
    pub fn end(&mut self, ended: Ended) {
        if std::mem::replace(&mut self.ended, true) {
            return;
        }
        for waiting in self.session.abandoned() {
            let token = match waiting {
                Waiting::Owner(token) | Waiting::Unpair(token) => Some(token),
                Waiting::Opening(opening) => opening.token,
                Waiting::Pair(_, token) => token,
                Waiting::Stream(_) => None,
            };
            self.events.extend(token.map(|token| Event::Abandoned { token }));
        }
        self.streams_over(None, StreamEnd::Disconnected);
        self.pair = None;
        self.events.push_back(Event::Gone(ended));
    }

    fn plugin_said(&mut self, name: Box<str>, args: Args, ticket: Option<Ticket>) {
        let event = match (&*name, args.text_at(0)) {
            (words::SERVER_ERROR, text) => {
                Some(Event::ServerError(text.unwrap_or_else(|| args.array().to_owned())))
            }
            (words::SERVER_PING, _) => {
                let id = self.config.client_id.as_deref().unwrap_or_default();
                let pong = Args::text(&format!("pong from client {id}"));
                self.answer_now(ticket, pong);
                None
            }
            (words::ADD_TARGET, Some(id)) => Some(Event::TargetAdded { id, ticket }),
            (words::TARGET_DISCONNECT, Some(id)) => {
                self.streams_over(Some(&id), StreamEnd::PeerGone);
                Some(Event::TargetGone { id })
            }
            _ => self.stream_said(name, args, ticket),
        };
        self.events.extend(event);
    }

    /// What the plugin itself acknowledges. The connection may be closing, and then nobody waits for it.
    pub(super) fn answer_now(&mut self, ticket: Option<Ticket>, args: Args) {
        if let Some(ticket) = ticket {
            // It is small, and who is not connected any more owes no answer.
            let _ = self.session.ack(&self.config, ticket.0, &args, Room::Always);
        }
    }
}
