//! A session of Socket.IO in one namespace: packets with their attachments, and who waits for which acknowledgement.

use super::args::Args;
use super::before::Before;
use super::config::Config;
use super::ended::{Fault, SendError};
use crate::engineio::client::{ClientSocket, Heard};
use crate::engineio::packet::binary_header;
use crate::engineio::payload::Message;
use crate::engineio::{Beat, Revision};
use crate::socketio::arguments;
use crate::socketio::elements;
use crate::socketio::event::{Name, RESERVED};
use crate::socketio::packet::{Header, Kind, ROOT};
use crate::socketio::placeholders::Placeholders;
use bytes::Bytes;
use std::collections::{HashMap, VecDeque};
use std::time::Instant;

/// Bytes that the session itself may owe beyond the bound of the queue, in answers that the server has caused. Above,
/// nothing more is read.
const ANSWERS_BYTES_MAX: usize = 256 * 1024;

/// What a message of the server means.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Said<W> {
    /// The client is in its namespace, under this id. The flag says whether it goes on with the session before.
    Entered(Box<str>, bool),
    /// The client is not let in.
    Refused(String),
    /// An error of an older server, to a client that is in.
    Error(String),
    /// An event, which is to be acknowledged if it has an id.
    Event(Box<str>, Args, Option<u64>),
    /// An acknowledgement for the one who waits for it.
    Ack(W, Args),
    /// The client is put out of its namespace.
    Left,
    /// The session is over.
    Closed,
}

/// The state of a session. `W` is who waits for an acknowledgement.
#[derive(Debug)]
pub(super) struct Session<W> {
    engine: ClientSocket,
    beat: Option<Beat>,
    /// The id of the session of Engine.IO.
    sid: Box<str>,
    entered: bool,
    /// What the next connection can go on with: this session, or the one before as long as there is none.
    before: Option<Before>,
    /// Events that the client has missed, which some servers say before they let it in.
    missed: VecDeque<Missed>,
    missed_bytes: usize,
    partial: Option<Partial>,
    outgoing: VecDeque<Message>,
    outgoing_bytes: usize,
    waiting: HashMap<u64, W>,
    next_id: u64,
}

/// Whether something may go beyond the bounds of what waits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Room {
    /// It waits as long as there is none.
    IfThereIs,
    /// It is bounded otherwise: by the number of streams, or as nothing more is read ([`Session::takes_input`]).
    Always,
}

/// A packet whose attachments have not all come.
#[derive(Debug)]
struct Partial {
    text: Bytes,
    missing: u8,
    attachments: Vec<Bytes>,
    bytes: usize,
}

/// An event from before the client was let in.
#[derive(Debug)]
struct Missed {
    data: String,
    attachments: Vec<Bytes>,
}

impl<W> Session<W> {
    pub(super) fn new(config: &Config, before: Option<Before>) -> Self {
        Self {
            engine: ClientSocket::new(config.revision),
            beat: None,
            sid: Box::default(),
            entered: false,
            before,
            missed: VecDeque::new(),
            missed_bytes: 0,
            partial: None,
            outgoing: VecDeque::new(),
            outgoing_bytes: 0,
            waiting: HashMap::new(),
            next_id: 0,
        }
    }

    /// What the next connection can go on with.
    pub(super) fn before(&self) -> Option<&Before> {
        self.before.as_ref()
    }

    /// Whether the client is in its namespace.
    pub(super) fn has_entered(&self) -> bool {
        self.entered
    }

    /// Takes a message. `None`: it means nothing, or not yet.
    pub(super) fn receive(
        &mut self,
        config: &Config,
        now: Instant,
        message: Message,
    ) -> Result<Option<Said<W>>, Fault> {
        match self.engine.receive(now, message)? {
            None => Ok(None),
            Some(Heard::Closed) => Ok(Some(Said::Closed)),
            Some(Heard::Opened(open)) => {
                (self.beat, self.sid) = (Some(open.beat), open.sid);
                self.enter(config);
                Ok(None)
            }
            Some(Heard::Text(text)) => self.text(config, text),
            Some(Heard::Binary(bytes)) => self.attachment(config, bytes),
        }
    }

    /// Servers of revision 3 let everybody into the root unasked.
    fn enter(&mut self, config: &Config) {
        let is_root = config.namespace == ROOT;
        if is_root && config.revision == Revision::Three {
            return;
        }
        let header = Header { kind: Kind::Connect, ..Header::event(0, None) };
        let auth = config.auth.as_deref();
        let auth = match (config.revision, &self.before) {
            (Revision::Three, _) => String::new(),
            (Revision::Four, Some(before)) => before.with_auth(auth),
            (Revision::Four, None) => auth.unwrap_or_default().to_owned(),
        };
        self.push(header.within(&config.namespace), &auth, Vec::new());
    }

    fn text(&mut self, config: &Config, text: Bytes) -> Result<Option<Said<W>>, Fault> {
        if self.partial.is_some() {
            return Err(Fault::MissingAttachment);
        }
        if text.len() > config.packet_bytes_max {
            return Err(Fault::TooLarge(config.packet_bytes_max));
        }
        let packet = utf8(&text)?;
        let (header, data) = Header::parse(packet, config.attachments_max)?;
        if header.attachments == 0 {
            return self.packet(config, header, data, Vec::new());
        }
        // A slice would keep the whole read alive until the attachments have come.
        let partial = Partial {
            text: Bytes::copy_from_slice(&text),
            missing: header.attachments,
            attachments: Vec::with_capacity(header.attachments.into()),
            bytes: text.len(),
        };
        self.partial = Some(partial);
        Ok(None)
    }

    fn attachment(&mut self, config: &Config, bytes: Bytes) -> Result<Option<Said<W>>, Fault> {
        let partial = self.partial.as_mut().ok_or(Fault::Attachment)?;
        partial.bytes += bytes.len();
        if partial.bytes > config.packet_bytes_max {
            return Err(Fault::TooLarge(config.packet_bytes_max));
        }
        partial.attachments.push(bytes);
        partial.missing -= 1;
        if partial.missing > 0 {
            return Ok(None);
        }
        let Some(Partial { text, attachments, .. }) = self.partial.take() else {
            return Ok(None);
        };
        let (header, data) = Header::parse(utf8(&text)?, config.attachments_max)?;
        self.packet(config, header, data, attachments)
    }

    fn packet(
        &mut self,
        config: &Config,
        header: Header<'_>,
        data: &str,
        attachments: Vec<Bytes>,
    ) -> Result<Option<Said<W>>, Fault> {
        // Others are not ours, such as the root that older servers let everybody into.
        if header.namespace != config.namespace {
            return Ok(None);
        }
        match header.kind {
            Kind::Connect if self.entered => Ok(None),
            Kind::Connect => {
                self.entered = true;
                let sid = serde_json::from_str(data).ok().and_then(|data: serde_json::Value| {
                    data.get("sid").and_then(|sid| sid.as_str()).map(Box::from)
                });
                let sid = sid.unwrap_or_else(|| self.sid.clone());
                Ok(Some(Said::Entered(sid, self.recovers(data))))
            }
            Kind::ConnectError => {
                let text = error_text(data);
                Ok(Some(if self.entered { Said::Error(text) } else { Said::Refused(text) }))
            }
            Kind::Disconnect => Ok(Some(Said::Left)),
            Kind::Event | Kind::BinaryEvent if !self.entered && self.before.is_some() => {
                self.miss(config, data, attachments)
            }
            // Nobody says anything to somebody who is not there.
            _ if !self.entered => Ok(None),
            Kind::Event | Kind::BinaryEvent => {
                let before = self.before.as_mut().filter(|_| header.id.is_none());
                event(data, &attachments, header.id, before)
            }
            Kind::Ack | Kind::BinaryAck => {
                let args = checked(data, &attachments)?;
                let waiting = header.id.and_then(|id| self.waiting.remove(&id));
                // One that nobody waits for is a second one, or was never asked for.
                Ok(waiting.map(|waiting| Said::Ack(waiting, args)))
            }
        }
    }

    /// Keeps an event that the client has missed until it is let in.
    fn miss(
        &mut self,
        config: &Config,
        data: &str,
        attachments: Vec<Bytes>,
    ) -> Result<Option<Said<W>>, Fault> {
        let attached: usize = attachments.iter().map(Bytes::len).sum();
        self.missed_bytes += size_of::<Missed>() + data.len() + attached;
        if self.missed_bytes > config.queue_bytes_max {
            return Err(Fault::TooLarge(config.queue_bytes_max));
        }
        self.missed.push_back(Missed { data: data.to_owned(), attachments });
        Ok(None)
    }

    /// The next event that the client has missed, once it is let in.
    pub(super) fn missed(&mut self) -> Option<Result<Option<Said<W>>, Fault>> {
        if !self.entered {
            return None;
        }
        let Missed { data, attachments } = self.missed.pop_front()?;
        Some(event(&data, &attachments, None, self.before.as_mut()))
    }

    /// The client is let in. Gives whether it goes on with the session before.
    fn recovers(&mut self, welcome: &str) -> bool {
        let (now, before) = (Before::of_welcome(welcome), self.before.take());
        let recovers = now.as_ref().zip(before.as_ref()).is_some_and(|(now, it)| now.is_same(it));
        self.before = if recovers { before } else { now };
        recovers
    }

    /// Says an event: its name, the text of its arguments, and attachments. Gives the id of the acknowledgement that is
    /// waited for.
    pub(super) fn emit(
        &mut self,
        config: &Config,
        (name, inside, attachments): (&str, &str, Vec<Bytes>),
        waiting: Option<W>,
        room: Room,
    ) -> Result<Option<u64>, SendError> {
        if RESERVED.contains(&name) {
            return Err(SendError::Reserved);
        }
        let is_bounded = room == Room::IfThereIs;
        if is_bounded && waiting.is_some() && self.waiting.len() >= config.acks_max {
            return Err(SendError::TooManyAcks(config.acks_max));
        }
        let mut array = super::args::quoted(name);
        array.insert(0, '[');
        if !inside.is_empty() {
            array.push(',');
            array.push_str(inside);
        }
        array.push(']');
        self.check(config, &array, &attachments, room)?;
        let id = waiting.map(|waiting| {
            let id = self.next_id;
            self.next_id += 1;
            self.waiting.insert(id, waiting);
            id
        });
        let header = Header::event(attachments.len() as u8, id).within(&config.namespace);
        self.push(header, &array, attachments);
        Ok(id)
    }

    /// Acknowledges an event.
    pub(super) fn ack(
        &mut self,
        config: &Config,
        id: u64,
        args: &Args,
        room: Room,
    ) -> Result<(), SendError> {
        self.check(config, args.array(), args.attachments(), room)?;
        let attachments = args.attachments().to_vec();
        let header = Header::ack(attachments.len() as u8, id).within(&config.namespace);
        self.push(header, args.array(), attachments);
        Ok(())
    }

    /// Whether there is room, and the server takes it.
    fn check(
        &self,
        config: &Config,
        array: &str,
        attachments: &[Bytes],
        room: Room,
    ) -> Result<(), SendError> {
        if !self.entered {
            return Err(SendError::NotConnected);
        }
        if attachments.len() > config.attachments_max.into() {
            return Err(SendError::TooManyAttachments(attachments.len()));
        }
        let all = array.len() + attachments.iter().map(Bytes::len).sum::<usize>();
        if all > config.packet_bytes_max {
            return Err(SendError::TooLarge { bytes: all, most: config.packet_bytes_max });
        }
        let most = self.message_bytes_max();
        let largest = attachments.iter().map(Bytes::len).max().unwrap_or(0);
        let largest = largest.max(array.len() + HEADER_BYTES_MAX + config.namespace.len());
        if largest > most {
            return Err(SendError::TooLarge { bytes: largest, most });
        }
        let is_full = self.outgoing_bytes > 0 && self.outgoing_bytes + all > config.queue_bytes_max;
        match is_full && room == Room::IfThereIs {
            true => Err(SendError::Full),
            false => Ok(()),
        }
    }

    /// The largest message that the server takes. Those of revision 4 say that, and close the connection above it.
    pub(super) fn message_bytes_max(&self) -> usize {
        match (self.engine.revision(), self.beat) {
            (Revision::Four, Some(beat)) => beat.payload_bytes_max as usize,
            _ => usize::MAX,
        }
    }

    fn push(&mut self, header: Header<'_>, data: &str, attachments: Vec<Bytes>) {
        let mut text = Vec::with_capacity(HEADER_BYTES_MAX + header.namespace.len() + data.len());
        header.put(&mut text);
        text.extend_from_slice(data.as_bytes());
        self.enqueue(Message { is_text: true, bytes: text.into() });
        for attachment in attachments {
            let before = binary_header(self.engine.revision());
            let bytes = match before {
                [] => attachment,
                before => [before, &attachment].concat().into(),
            };
            self.enqueue(Message { is_text: false, bytes });
        }
    }

    fn enqueue(&mut self, message: Message) {
        // An empty one takes room as well.
        self.outgoing_bytes += message.bytes.len() + MESSAGE_BYTES;
        self.outgoing.push_back(message);
    }

    /// Says goodbye, behind everything else.
    pub(super) fn leave(&mut self, config: &Config) {
        if self.entered {
            let header = Header { kind: Kind::Disconnect, ..Header::event(0, None) };
            self.push(header.within(&config.namespace), "", Vec::new());
        }
    }

    /// Nobody waits for an acknowledgement any more.
    pub(super) fn forget(&mut self, id: u64) -> Option<W> {
        self.waiting.remove(&id)
    }

    /// Who waits for an acknowledgement, to be changed.
    pub(super) fn waiting(&mut self, id: u64) -> Option<&mut W> {
        self.waiting.get_mut(&id)
    }

    /// All who wait for acknowledgements, which will not come any more, in the order in which they asked.
    pub(super) fn abandoned(&mut self) -> Vec<W> {
        let mut waiting: Vec<_> = self.waiting.drain().collect();
        waiting.sort_unstable_by_key(|(id, _)| *id);
        self.outgoing.clear();
        self.outgoing_bytes = 0;
        self.partial = None;
        self.entered = false;
        waiting.into_iter().map(|(_, waiting)| waiting).collect()
    }

    /// The next message to be written.
    pub(super) fn transmit(&mut self) -> Option<Message> {
        if let Some(message) = self.engine.transmit() {
            return Some(message);
        }
        let message = self.outgoing.pop_front()?;
        self.outgoing_bytes -= message.bytes.len() + MESSAGE_BYTES;
        Some(message)
    }

    /// Whether nothing waits to be written.
    pub(super) fn is_flushed(&self) -> bool {
        self.outgoing.is_empty() && !self.engine.has_output()
    }

    /// Whether more may be read: the server takes what it has caused.
    pub(super) fn takes_input(&self, config: &Config) -> bool {
        self.outgoing_bytes <= config.queue_bytes_max + ANSWERS_BYTES_MAX
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.engine.deadline()
    }

    /// Gives whether the server has been silent for too long.
    pub(super) fn tick(&mut self, now: Instant) -> bool {
        self.engine.tick(now)
    }
}

/// The most bytes in front of the data of a packet, without the namespace.
const HEADER_BYTES_MAX: usize = crate::socketio::packet::ROOT_HEADER_BYTES_MAX + 1;

/// What a message takes besides its bytes.
const MESSAGE_BYTES: usize = size_of::<Message>();

fn utf8(text: &[u8]) -> Result<&str, Fault> {
    str::from_utf8(text).map_err(|_| Fault::Transport("a text that is not UTF-8".to_owned()))
}

/// Arguments as they came, with the attachments that belong to them.
fn checked(data: &str, attachments: &[Bytes]) -> Result<Args, Fault> {
    let count = attachments.len() as u8;
    let elements = arguments::check(data, count)?;
    let places = Placeholders::parse(data, count).map_err(arguments::ArgumentsError::from);
    let places = if count > 0 { places? } else { Placeholders::default() };
    Ok(Args::part(&places, data, elements.rest(0), attachments))
}

fn event<W>(
    data: &str,
    attachments: &[Bytes],
    id: Option<u64>,
    before: Option<&mut Before>,
) -> Result<Option<Said<W>>, Fault> {
    let count = attachments.len() as u8;
    let elements = arguments::check(data, count)?;
    if let Some(before) = before {
        before.heard(&elements);
    }
    // Nobody can listen for a name that is none.
    let Ok(name) = Name::parse(elements.get(0)) else {
        return Ok(None);
    };
    let places = if count > 0 {
        Placeholders::parse(data, count).map_err(arguments::ArgumentsError::from)?
    } else {
        Placeholders::default()
    };
    let args = Args::part(&places, data, elements.rest(1), attachments);
    Ok(Some(Said::Event(name.as_str().into(), args, id)))
}

/// What an error says to people.
fn error_text(data: &str) -> String {
    if let Some(text) = elements::text(data) {
        return text.into_owned();
    }
    let value: Option<serde_json::Value> = serde_json::from_str(data).ok();
    let message = value.as_ref().and_then(|value| value.get("message")?.as_str());
    message.unwrap_or(data).to_owned()
}
