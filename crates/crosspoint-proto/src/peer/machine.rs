//! The state machine of one side of a link.

use super::body::{Form, Incoming, kind, parse};
use super::error::{Broken, SendError, StreamError};
use super::halves::Read;
use super::outputs::{Control, Event, Outcome, Outputs, Time};
use super::queue::{Entry, Queue};
use super::requests::Requests;
use super::sizes::NAME_BYTES_MAX;
use super::stream_id::StreamId;
use super::streams::Streams;
use super::{Config, Counters, Side};
use bytes::Bytes;
use crosspoint_hub::payload::{Failure, Format};
use std::time::{Duration, Instant};

/// One side of a link. It has no connection: give it the messages that arrive
/// ([`receive`](Self::receive)), send those that it wants to send ([`transmit`](Self::transmit)),
/// wake it in time ([`deadline`](Self::deadline), [`tick`](Self::tick)), and take its events
/// ([`poll`](Self::poll)) after each of these until there is none: they are not bounded otherwise.
///
/// ```
/// use crosspoint_proto::peer::{Event, Format, Machine, Outcome, Config, Side};
/// use std::time::{Duration, Instant};
///
/// let now = Instant::now();
/// let mut ann = Machine::new(Side::Opener, Config::default());
/// let mut bob = Machine::new(Side::Accepter, Config::default());
/// let time = Some(Duration::from_secs(5));
/// let asked = ann.request(now, time, "greet", Format::TEXT, b"bob").expect("there is room");
///
/// let (kind, body) = ann.transmit(0).expect("the request");
/// bob.receive(now, kind, body).expect("it keeps the rules");
/// let Some(Event::Request { id, .. }) = bob.poll() else { panic!("a request") };
/// bob.answer(id, Format::TEXT, b"hello").expect("there is room");
///
/// let (kind, body) = bob.transmit(0).expect("the answer");
/// ann.receive(now, kind, body).expect("it keeps the rules");
/// let Some(Event::Result { id, outcome: Outcome::Result(hello) }) = ann.poll() else { panic!() };
/// assert_eq!((id, &hello.data[..]), (asked, &b"hello"[..]));
/// ```
#[derive(Debug)]
pub struct Machine {
    side: Side,
    config: Config,
    counters: Counters,
    pub(super) out: Outputs,
    queue: Queue,
    requests: Requests,
    streams: Streams,
    clock: Clock,
    /// Whose turn it is: a stream's, or a message's.
    stream_next: bool,
    /// The application was told that all is full, and waits for room.
    starved: bool,
}

/// The question for the other side's clock. There is one at a time.
#[derive(Debug, Default)]
struct Clock {
    token: u64,
    asked: Option<Instant>,
    /// The question waits to be sent.
    queued: bool,
}

impl Machine {
    /// A side of a link that has just begun.
    pub fn new(side: Side, config: Config) -> Self {
        let sent_bytes_max = config.message_bytes_max;
        let config = config.in_range();
        Self {
            side,
            counters: Counters::default(),
            out: Outputs::default(),
            queue: Queue::new(config.queue_bytes_max, sent_bytes_max),
            requests: Requests::default(),
            streams: Streams::new(side),
            clock: Clock::default(),
            stream_next: false,
            starved: false,
            config,
        }
    }

    /// Which side it is.
    pub fn side(&self) -> Side {
        self.side
    }

    /// The settings that are in force.
    pub fn config(&self) -> &Config {
        &self.config
    }

    /// What happened that is not worth an event.
    pub fn counters(&self) -> Counters {
        self.counters
    }

    /// Requests of this side that wait for an answer.
    pub fn requests_out(&self) -> usize {
        self.requests.waiting()
    }

    /// Requests of the other side whose answer is not sent yet.
    pub fn requests_in(&self) -> usize {
        self.requests.serving()
    }

    /// Streams that this side opened and that are not over.
    pub fn streams_out(&self) -> usize {
        self.streams.outgoing()
    }

    /// Streams that the other side opened and that are not over here.
    pub fn streams_in(&self) -> usize {
        self.streams.incoming()
    }

    /// Bytes of streams that arrived and were not read, all together.
    pub fn unread_bytes(&self) -> usize {
        self.streams.unread()
    }

    /// Memory of what the other side makes this one hold: bytes of streams that were not read, and short
    /// answers that were not sent. The rest is for the application to count, which has it as events.
    pub fn held_bytes(&self) -> usize {
        self.streams.unread() + self.out.control_bytes()
    }

    /// Memory of what was not sent yet: messages with what each of them costs, and streams.
    pub fn unsent_bytes(&self) -> usize {
        self.queue.cost() + self.streams.unsent()
    }

    /// Takes a message of the other side. Look for events, deadline and messages to send after it.
    ///
    /// # Errors
    /// [`Broken`]: the other side broke a rule. End the link.
    pub fn receive(&mut self, now: Instant, kind: u8, body: Bytes) -> Result<(), Broken> {
        let most = self.config.message_bytes_max;
        if body.len() > most {
            return Err(Broken::TooLarge { kind, bytes: body.len(), most });
        }
        let Some(message) = parse(kind, body)? else {
            self.counters.skipped += 1;
            return Ok(());
        };
        let (counters, out) = (&mut self.counters, &mut self.out);
        match message {
            Incoming::Typed { kind, body } => out.events.push_back(Event::Typed { kind, body }),
            Incoming::Message(payload) => out.events.push_back(Event::Message(payload)),
            Incoming::Notify { method, payload } => {
                out.events.push_back(Event::Notify { method, payload });
            }
            Incoming::Request { id, time_ms, method, payload } => {
                let what = (method, payload);
                self.requests.serve(now, (id, time_ms), what, &self.config, counters, out)?;
            }
            Incoming::Result { id, payload } => {
                self.requests.answered(id, Outcome::Result(payload), counters, out);
            }
            Incoming::Failure { id, failure } => {
                self.requests.answered(id, Outcome::Failure(failure), counters, out);
            }
            Incoming::Cancel { id } => {
                self.requests.cancelled(id, &mut self.queue, counters, out);
                self.look_for_room();
            }
            Incoming::Open { stream, window, name, metadata } => {
                let what = (name, metadata);
                self.streams.offered((stream, window), what, &self.config, counters, out)?;
            }
            Incoming::Accept { stream, window } => {
                self.streams.accepted(stream, window, &self.config, out)?;
            }
            Incoming::Bytes { stream, bytes } => self.streams.bytes(stream, bytes, out)?,
            Incoming::Credit { stream, more } => {
                self.streams.credit(stream, more, &self.config, out)?;
            }
            Incoming::End { stream } => self.streams.ended(stream, out)?,
            Incoming::Reset { stream, code, text } => {
                self.streams.was_reset(stream, code, text, out)?;
            }
            Incoming::Clock { token } => {
                out.check_flood(self.config.answers_max)?;
                match self.config.own_clock {
                    true => out.control.push_back(Control::Time(token, None)),
                    false => out.events.push_back(Event::Clock { token }),
                }
            }
            Incoming::Time { token, clock_us } => self.time(now, token, clock_us),
        }
        Ok(())
    }

    /// The next event. Ask after each `receive`, `transmit`, `tick` and command until there is
    /// none.
    pub fn poll(&mut self) -> Option<Event> {
        self.out.events.pop_front()
    }

    /// The next message to send, kind and body. Short answers go first; messages and streams, and
    /// streams among themselves, take turns. `clock_us` is this side's clock in microseconds since
    /// 1970.
    pub fn transmit(&mut self, clock_us: u64) -> Option<(u8, Bytes)> {
        let message = self.next_control(clock_us).or_else(|| self.next_in_turn());
        self.look_for_room();
        message
    }

    /// When to call [`tick`](Self::tick). Now and then it is the time of a request that has ended
    /// before; nothing happens then.
    pub fn deadline(&self) -> Option<Instant> {
        self.requests.deadline()
    }

    /// Ends the requests whose time is over.
    pub fn tick(&mut self, now: Instant) {
        self.requests.tick(now, &mut self.queue, &mut self.counters, &mut self.out);
        self.look_for_room();
    }

    // Commands.

    /// Sends a message of typed calls, of a kind from 0 to 2, as in channels.
    ///
    /// # Errors
    /// [`SendError::Kind`], [`SendError::TooLarge`], [`SendError::Full`].
    pub fn typed(&mut self, kind: u8, body: Bytes) -> Result<(), SendError> {
        if kind > kind::TYPED_LAST {
            return Err(SendError::Kind(kind));
        }
        let checked = self.queue.check(body.len());
        self.note_full(checked)?;
        let bytes = body.len();
        self.queue.add(Entry::Message(kind, body), bytes);
        Ok(())
    }

    /// Sends a message.
    ///
    /// # Errors
    /// [`SendError::TooLarge`], [`SendError::Full`].
    pub fn message(&mut self, format: Format, payload: &[u8]) -> Result<(), SendError> {
        let form = Form { format: Some(format), rest: payload, ..Form::default() };
        self.send(kind::MESSAGE, &form)
    }

    /// Sends a message to a method, without an answer.
    ///
    /// # Errors
    /// [`SendError::NameTooLong`], [`SendError::TooLarge`], [`SendError::Full`].
    pub fn notify(
        &mut self,
        method: &str,
        format: Format,
        payload: &[u8],
    ) -> Result<(), SendError> {
        check_name(method)?;
        let form =
            Form { counted: Some(method), format: Some(format), rest: payload, ..Form::default() };
        self.send(kind::NOTIFY, &form)
    }

    /// Sends a request and gives its id. Exactly one [`Event::Result`] will follow, unless it is
    /// cancelled first. It waits for `time`, to be told in milliseconds; `None`: for ever.
    ///
    /// # Errors
    /// [`SendError::TooMany`] above `requests_out_max`, [`SendError::NameTooLong`],
    /// [`SendError::TooLarge`], [`SendError::Full`].
    pub fn request(
        &mut self,
        now: Instant,
        time: Option<Duration>,
        method: &str,
        format: Format,
        payload: &[u8],
    ) -> Result<u32, SendError> {
        check_name(method)?;
        let form =
            Form { counted: Some(method), format: Some(format), rest: payload, ..Form::default() };
        let requested = self.requests.request(now, time, form, &self.config, &mut self.queue);
        self.note_full(requested)
    }

    /// Waits no more for the answer to a request of this side. Whether it waited; if so there will
    /// be no event about it.
    pub fn cancel(&mut self, id: u32) -> bool {
        let waited = self.requests.cancel(id, &mut self.queue, &mut self.out);
        self.look_for_room();
        waited
    }

    /// Answers a request of the other side. If it does not wait any more, the answer is dropped
    /// and counted.
    ///
    /// # Errors
    /// [`SendError::TooLarge`], [`SendError::Full`]: the request still waits for an answer.
    pub fn answer(&mut self, id: u32, format: Format, payload: &[u8]) -> Result<(), SendError> {
        let form = Form { numbers: &[id], format: Some(format), rest: payload, ..Form::default() };
        self.reply(id, kind::RESULT, &form)
    }

    /// Answers a request of the other side by a failure: `code` is one of [`code`](super::code), or the
    /// application's own, `message` is for people and `details` for programs.
    ///
    /// # Errors
    /// As [`answer`](Self::answer).
    pub fn fail(
        &mut self,
        id: u32,
        code: u32,
        message: &str,
        format: Format,
        details: &[u8],
    ) -> Result<(), SendError> {
        let form = Form {
            numbers: &[id, code],
            counted: Some(message),
            format: Some(format),
            rest: details,
        };
        self.reply(id, kind::FAILURE, &form)
    }

    /// Offers a stream. [`Event::Accepted`] or [`Event::Reset`] will follow; it may be written to
    /// from the former on.
    ///
    /// # Errors
    /// [`SendError::TooMany`] above `streams_out_max`, [`SendError::NameTooLong`],
    /// [`SendError::MetadataTooLong`], [`SendError::Full`], [`SendError::Exhausted`].
    pub fn open(&mut self, name: &str, metadata: &[u8]) -> Result<StreamId, SendError> {
        let opened = self.streams.open(name, metadata, &self.config, &mut self.out);
        self.note_full(opened)
    }

    /// Accepts a stream of the other side.
    ///
    /// # Errors
    /// [`StreamError::Over`], [`StreamError::NotOffered`].
    pub fn accept(&mut self, stream: StreamId) -> Result<(), StreamError> {
        self.streams.accept(stream, &self.config, &mut self.out)
    }

    /// Ends a stream at once in both directions, or refuses it: `code` is one of [`code`](super::code), or the
    /// application's own. Of the text, at most 1 KiB is sent. What was not sent or read is lost.
    ///
    /// # Errors
    /// [`StreamError::Over`].
    pub fn reset(&mut self, stream: StreamId, code: u32, text: &str) -> Result<(), StreamError> {
        self.streams.reset(stream, code, text, &mut self.out)
    }

    /// Writes to a stream, and gives how many of the bytes were taken: as many as the window of
    /// the other side and the buffer have room for. If that is not all, [`Event::Writable`] says
    /// when to go on.
    ///
    /// # Errors
    /// [`StreamError::Over`], [`StreamError::Finished`], [`StreamError::NotAccepted`].
    pub fn write(&mut self, stream: StreamId, bytes: &[u8]) -> Result<usize, StreamError> {
        self.streams.write(stream, bytes, &self.config)
    }

    /// Says that nothing more will be written to a stream. What was written is still sent.
    ///
    /// # Errors
    /// As [`write`](Self::write).
    pub fn finish(&mut self, stream: StreamId) -> Result<(), StreamError> {
        self.streams.finish(stream)
    }

    /// Reads from a stream at most `most` bytes. Reading is what lets the other side send more. A
    /// stream is over when it was finished and [`Read::End`] was read, and otherwise lasts until
    /// it is reset.
    ///
    /// # Errors
    /// [`StreamError::Over`], [`StreamError::NotAccepted`].
    pub fn read(&mut self, stream: StreamId, most: usize) -> Result<Read, StreamError> {
        self.streams.read(stream, most, &mut self.out)
    }

    /// Asks for the other side's clock. [`Event::Time`] will follow, unless this is asked again
    /// before.
    pub fn measure_clock(&mut self, now: Instant) {
        self.clock.token = self.clock.token.wrapping_add(1);
        self.clock.asked = Some(now);
        if !self.clock.queued {
            self.clock.queued = true;
            self.out.control.push_back(Control::Clock);
        }
    }

    /// Answers [`Event::Clock`] with a clock in microseconds since 1970.
    pub fn tell_clock(&mut self, token: [u8; 8], clock_us: u64) {
        self.out.control.push_back(Control::Time(token, Some(clock_us)));
    }

    fn send(&mut self, kind: u8, form: &Form<'_>) -> Result<(), SendError> {
        let written = self.queue.write(form);
        let body = self.note_full(written)?;
        let bytes = body.len();
        self.queue.add(Entry::Message(kind, body), bytes);
        Ok(())
    }

    fn reply(&mut self, id: u32, kind: u8, form: &Form<'_>) -> Result<(), SendError> {
        let replied = self.requests.answer(id, kind, form, &mut self.queue, &mut self.counters);
        self.note_full(replied)
    }

    fn note_full<T>(&mut self, sent: Result<T, SendError>) -> Result<T, SendError> {
        self.starved |= matches!(sent, Err(SendError::Full));
        sent
    }

    fn look_for_room(&mut self) {
        if self.starved
            && self.queue.has_room()
            && self.out.control.len() <= self.config.answers_max / 2
        {
            self.starved = false;
            self.out.events.push_back(Event::Room);
        }
    }

    fn time(&mut self, now: Instant, token: [u8; 8], clock_us: u64) {
        // The answer to an earlier question, or to none that was asked, measures nothing.
        if token != self.clock.token.to_be_bytes() || self.clock.queued {
            return;
        }
        if let Some(asked) = self.clock.asked.take() {
            let round_trip = now.saturating_duration_since(asked);
            self.out.events.push_back(Event::Time(Time { round_trip, clock_us }));
        }
    }

    fn next_control(&mut self, clock_us: u64) -> Option<(u8, Bytes)> {
        let numbers = |kind, numbers: &[u32]| {
            let form = Form { numbers, ..Form::default() };
            Some((kind, form.write()))
        };
        while let Some(control) = self.out.control.pop_front() {
            return match control {
                Control::Open(body) => {
                    self.streams.open_sent();
                    Some((kind::OPEN, body))
                }
                Control::Accept(body) => Some((kind::ACCEPT, body)),
                Control::Reset(body) => Some((kind::RESET, body)),
                Control::Credit(stream) => match self.streams.take_credit(stream) {
                    Some(more) => numbers(kind::CREDIT, &[stream.0, more]),
                    None => continue,
                },
                Control::Cancel(id) => numbers(kind::CANCEL, &[id]),
                Control::Refuse(id) => {
                    let form = Form {
                        numbers: &[id, Failure::TOO_MANY],
                        counted: Some("too many requests wait"),
                        format: Some(Format::BYTES),
                        rest: b"",
                    };
                    Some((kind::FAILURE, form.write()))
                }
                Control::Clock => {
                    self.clock.queued = false;
                    let token = self.clock.token.to_be_bytes();
                    Some((kind::CLOCK, Bytes::copy_from_slice(&token)))
                }
                Control::Time(token, told_us) => {
                    let clock_us = told_us.unwrap_or(clock_us);
                    let body = [token, clock_us.to_be_bytes()].concat();
                    Some((kind::TIME, body.into()))
                }
            };
        }
        None
    }

    fn next_in_turn(&mut self) -> Option<(u8, Bytes)> {
        for _ in 0..2 {
            let stream_turn = self.stream_next;
            self.stream_next = !stream_turn;
            let message = if stream_turn {
                self.streams.send(&self.config, &mut self.out)
            } else {
                self.next_message()
            };
            if message.is_some() {
                return message;
            }
        }
        None
    }

    fn next_message(&mut self) -> Option<(u8, Bytes)> {
        while let Some(entry) = self.queue.next() {
            let message = match entry {
                Entry::Message(kind, body) => Some((kind, body)),
                Entry::Request(id) => self.requests.send(id, &mut self.queue),
                Entry::Answer(id) => self.requests.send_answer(id, &mut self.queue),
            };
            if message.is_some() {
                return message;
            }
        }
        None
    }
}

fn check_name(name: &str) -> Result<(), SendError> {
    if name.len() > NAME_BYTES_MAX { Err(SendError::NameTooLong(name.len())) } else { Ok(()) }
}
