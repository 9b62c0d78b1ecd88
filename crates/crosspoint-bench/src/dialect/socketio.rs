//! Socket.IO with the plugin `socket.io-p2p-plugin`, over a direct WebSocket (docs/socketio.md). A Crosspoint hub and the
//! plugin's server made with node understand the same.

use crosspoint_gateways::engineio::{Revision, packet};
use crosspoint_gateways::socketio::packet::{Header, Kind};
use serde_json::json;

use super::awake::Awake;
use super::rejoin::Rejoin;
use super::{
    Answerer, Asker, Credits, Dialect, FILL, Fanout, FanoutShape, IdleState, Intake, Message,
    Relay, Requests, Responder, StreamEnds, StreamShape, fresh_name, json_text,
};
use crate::BenchError;
use crate::connection::Connection;
use crate::net::Link;
use crate::socketio_frame::{Heard, put_beat, put_packet, read_frame};
use crate::transport::{Options, Transport};
use crate::unframe::{Around, Framing};
use crate::websocket::{self, BINARY};

/// A server that speaks Socket.IO, with the plugin.
#[derive(Debug, Clone)]
pub struct SocketIo {
    transport: Transport,
    revision: Revision,
    token: Option<String>,
}

/// Larger messages are refused by a server as it comes, which takes 1,000,000 bytes.
const LARGEST: usize = 512 << 10;

/// Data bytes of one chunk of a stream: as many as node reads at once from a file.
const CHUNK: usize = 64 << 10;

/// The id of what is asked before data flows, and of the chunk that is under way.
const FIRST_ID: u64 = 1;

/// The event of what is broadcast and what is asked.
const EVENT: &str = "bench";

impl SocketIo {
    /// Speaks to the server at this address as `socket.io-client` 3 and 4 do (Engine.IO 4).
    pub fn new(server: impl Into<Transport>) -> SocketIo {
        SocketIo { transport: server.into(), revision: Revision::Four, token: None }
    }

    /// Speaks to the server at this address as `socket.io-client` 2 does (Engine.IO 3), which is what the servers of the
    /// plugin up to 1.12 understand.
    pub fn older(server: impl Into<Transport>) -> SocketIo {
        SocketIo { revision: Revision::Three, ..SocketIo::new(server) }
    }

    /// Presents a token, in the query of the address.
    #[must_use]
    pub fn with_token(self, token: Option<String>) -> SocketIo {
        SocketIo { token, ..self }
    }

    /// A client with this name that is in the root namespace.
    fn connect(&self, name: &str, options: Options) -> Result<Link, BenchError> {
        const DOING: &str = "entering the root namespace";
        let mut link = Link::connect(self.name(), &self.transport, options)?;
        let revision = match self.revision {
            Revision::Three => 3,
            Revision::Four => 4,
        };
        let token = self.token.as_deref().map(|token| format!("&token={}", escaped(token)));
        let target = format!(
            "/socket.io/?EIO={revision}&transport=websocket&clientId={name}{}",
            token.unwrap_or_default()
        );
        websocket::upgrade(&mut link, &self.transport, &target)?;
        if self.revision == Revision::Four {
            let header = Header { kind: Kind::Connect, ..Header::event(0, None) };
            let auth = self.token.as_ref().map(|token| json!({ "token": token }).to_string());
            let mut out = Vec::new();
            put_packet(header, &[auth.unwrap_or_default().as_bytes()], &mut out);
            link.send(DOING, &out)?;
        }
        wait(&mut link, DOING, |header, _| header.kind == Kind::Connect)?;
        Ok(link)
    }

    /// A client that is in a room.
    fn inside(&self, room: &str, options: Options) -> Result<Link, BenchError> {
        const DOING: &str = "entering a room";
        let mut link = self.connect(&fresh_name(), options)?;
        say(&mut link, DOING, &format!(r#"["JOIN_ROOM","{room}"]"#))?;
        wait(&mut link, DOING, |header, _| is_ack(header))?;
        Ok(link)
    }
}

impl Dialect for SocketIo {
    fn name(&self) -> &'static str {
        match self.revision {
            Revision::Three => "socketio2",
            Revision::Four => "socketio",
        }
    }

    fn carries_any_bytes(&self) -> bool {
        false
    }

    fn keepalive(&self) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        // A server of revision 3 answers a ping; it takes any other packet as a sign of life, too. One of revision 4 waits
        // for an answer, and need not ask if it has one.
        let kind = match self.revision {
            Revision::Three => packet::Kind::Noop,
            Revision::Four => packet::Kind::Pong,
        };
        put_beat(kind, &mut bytes);
        Some(bytes)
    }

    fn open_fanout(&self, shape: &FanoutShape) -> Result<Fanout, BenchError> {
        const DOING: &str = "sending to a room";
        check_payload(shape.payload)?;
        let room = fresh_name();
        let text = json_text(shape.payload);
        let mut bytes = Vec::new();
        let before = format!(r#"["EMIT_ROOM","{room}","{EVENT}","#);
        put_packet(Header::event(0, None), &[before.as_bytes(), &text, b"]"], &mut bytes);
        // Nobody hears the first message; but the sender hears whether it may send, before the answer to another question.
        let mut sender = self.inside(&room, Options::default())?;
        sender.send(DOING, &bytes)?;
        say(&mut sender, DOING, r#"["GET_CLIENT_CONNECTED_STATUS","-"]"#)?;
        wait(&mut sender, DOING, |header, _| is_ack(header))?;
        let mut receivers = Awake::new(self, shape.receivers);
        for index in 0..shape.receivers {
            receivers.push(self.inside(&room, shape.options(index))?)?;
        }
        let around = Around { before: format!(r#"42["{EVENT}",""#).len(), after: r#""]"#.len() };
        Ok(Fanout {
            sources: vec![sender.ready()?],
            answered: false,
            receivers: receivers.streams,
            message: Message { bytes, payloads: Vec::new() },
            framing: Framing::SocketIo(around),
            delivery_bytes: Some(delivery_bytes(&text)),
        })
    }

    fn open_relay(&self, _payload: usize) -> Result<Relay, BenchError> {
        Err(BenchError::Unsupported { dialect: self.name(), workload: "relay" })
    }

    fn open_requests(&self, payload: usize) -> Result<Requests, BenchError> {
        check_payload(payload)?;
        let theirs = fresh_name();
        let answering = self.connect(&theirs, Options::default())?;
        let asking = self.connect(&fresh_name(), Options::default())?;
        let text = json_text(payload);
        let before = format!(r#"["P2P_EMIT","{theirs}","{EVENT}",["#);
        let asker = Ask {
            question: [before.as_bytes(), &text, b"]]"].concat(),
            answer: [b"[", &text[..], b"]"].concat(),
            rejoin: Rejoin::default(),
        };
        Ok(Requests {
            stream: asking.ready()?,
            asker: Box::new(asker),
            responder: Some(Responder {
                stream: answering.ready()?,
                answerer: Box::new(Answer { rejoin: Rejoin::default() }),
            }),
        })
    }

    /// The plugin has no window: one chunk is under way, until the receiver acknowledges it.
    fn open_stream(&self, shape: &StreamShape) -> Result<StreamEnds, BenchError> {
        const DOING: &str = "opening a stream";
        let theirs = fresh_name();
        let options = Options { tiny_buffer: shape.tiny, ..Options::default() };
        let mut receiver = self.connect(&theirs, options)?;
        let mut sender = self.connect(&fresh_name(), Options::default())?;
        let (source, target) = (fresh_name(), fresh_name());
        let info = format!(
            r#"["CREATE_STREAM",{{"sourceStreamId":"{source}","targetStreamId":"{target}","targetClientId":"{theirs}"}}]"#
        );
        say(&mut sender, DOING, &info)?;
        let wanted = wait(&mut receiver, DOING, |header, data| {
            header.id.is_some() && data.starts_with(r#"["CREATE_STREAM","#)
        })?;
        let mut out = Vec::new();
        put_packet(Header::ack(0, wanted), &[b"[]"], &mut out);
        receiver.send(DOING, &out)?;
        wait(&mut sender, DOING, |header, _| is_ack(header))?;

        let event = format!(
            r#"["P2P_EMIT","{theirs}","P2P_EMIT_STREAM-from-stream-{source}",[{{"_placeholder":true,"num":0}}]]"#
        );
        let mut chunk = Vec::new();
        put_packet(Header::event(1, Some(FIRST_ID)), &[event.as_bytes()], &mut chunk);
        let header = packet::binary_header(self.revision);
        websocket::put(BINARY, [header, &[FILL; CHUNK]], &mut chunk);
        Ok(StreamEnds {
            sender: sender.ready()?,
            chunk,
            chunk_bytes: CHUNK,
            window: CHUNK,
            credits: Some(Box::new(Writer { rejoin: Rejoin::default() })),
            receiver: receiver.ready()?,
            intake: Box::new(Reader::new(self.revision)),
            keep: None,
        })
    }

    fn open_idle(
        &self,
        state: IdleState,
        count: usize,
        opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError> {
        let room = fresh_name();
        let mut streams = Awake::new(self, count);
        for index in 0..count {
            let options = Options { index, tiny_buffer: false };
            streams.push(match state {
                IdleState::Connected => self.connect(&fresh_name(), options)?,
                IdleState::Member => self.inside(&room, options)?,
            })?;
            opened(index + 1);
        }
        Ok(streams.streams)
    }
}

/// Asks another client for the same text again and again, and gets it back.
struct Ask {
    question: Vec<u8>,
    answer: Vec<u8>,
    rejoin: Rejoin,
}

impl Asker for Ask {
    fn ask(&mut self, number: u32, out: &mut Vec<u8>) -> Result<(), &'static str> {
        put_packet(Header::event(0, Some(number.into())), &[&self.question], out);
        Ok(())
    }

    fn take(
        &mut self,
        bytes: &[u8],
        out: &mut Vec<u8>,
        answered: &mut dyn FnMut(u32),
    ) -> Result<(), &'static str> {
        let Ask { answer, rejoin, .. } = self;
        hear(rejoin, bytes, out, |header, data, _| {
            if let (Kind::Ack, Some(id)) = (header.kind, header.id) {
                if data.as_bytes() != *answer {
                    return Err("an answer that is not what was said");
                }
                answered(u32::try_from(id).map_err(|_| "an answer to nothing that was asked")?);
            }
            Ok(())
        })
    }
}

/// Acknowledges each event with its arguments.
struct Answer {
    rejoin: Rejoin,
}

impl Answerer for Answer {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<(), &'static str> {
        hear(&mut self.rejoin, bytes, out, |header, data, out| {
            if let (Kind::Event, Some(id)) = (header.kind, header.id) {
                let behind = data.strip_prefix("[\"").and_then(|data| data.strip_prefix(EVENT));
                let arguments = behind.and_then(|data| data.strip_prefix("\","));
                let arguments = arguments.ok_or("another event than was sent")?;
                put_packet(Header::ack(0, id), &[b"[", arguments.as_bytes()], out);
            }
            Ok(())
        })
    }
}

/// The sender of a stream: an acknowledgement is credit for one more chunk.
struct Writer {
    rejoin: Rejoin,
}

impl Credits for Writer {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let mut credit = 0;
        hear(&mut self.rejoin, bytes, out, |header, _, _| {
            if is_ack(header) {
                credit += CHUNK;
            }
            Ok(())
        })?;
        Ok(credit)
    }
}

/// The receiver of a stream: acknowledges each chunk when all of it is there. Chunks are not gathered.
struct Reader {
    rejoin: Rejoin,
    /// What an attachment has besides the chunk, in bytes.
    header: usize,
    /// The id of the event whose attachment is awaited.
    id: Option<u64>,
    /// Bytes of the attachment that have not come.
    left: usize,
}

impl Reader {
    fn new(revision: Revision) -> Reader {
        let header = packet::binary_header(revision).len();
        Reader { rejoin: Rejoin::default(), header, id: None, left: 0 }
    }

    /// Acknowledges the chunk if all of it is there; how many bytes it has.
    fn acknowledge(id: &mut Option<u64>, left: usize, out: &mut Vec<u8>) -> usize {
        if left > 0 {
            return 0;
        }
        let Some(id) = id.take() else {
            return 0;
        };
        put_packet(Header::ack(0, id), &[b"[]"], out);
        CHUNK
    }
}

impl Intake for Reader {
    fn take(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<usize, &'static str> {
        let Reader { rejoin, header, id, left } = self;
        let mut data = 0;
        let (attachment, rest) = bytes.split_at(bytes.len().min(*left));
        if !attachment.is_empty() {
            *left -= attachment.len();
            data += Reader::acknowledge(id, *left, out);
        }
        rejoin.feed(rest, |bytes| {
            let Some(extent) = websocket::extent(bytes)? else {
                return Ok(None);
            };
            if extent.first != BINARY {
                return one(bytes, out, |header, _, _| {
                    if (header.kind, header.attachments) == (Kind::BinaryEvent, 1) {
                        *id = Some(header.id.ok_or("a chunk that is not to be acknowledged")?);
                    }
                    Ok(())
                });
            }
            if extent.message != *header + CHUNK || id.is_none() {
                return Err("an attachment that is no chunk of the stream");
            }
            let length = extent.whole().min(bytes.len());
            *left = extent.whole() - length;
            data += Reader::acknowledge(id, *left, out);
            Ok(Some(length))
        })?;
        Ok(data)
    }
}

/// Takes the next bytes that arrived, answers heartbeats, and calls `heard` for each packet.
fn hear(
    rejoin: &mut Rejoin,
    bytes: &[u8],
    out: &mut Vec<u8>,
    mut heard: impl FnMut(&Header<'_>, &str, &mut Vec<u8>) -> Result<(), &'static str>,
) -> Result<(), &'static str> {
    rejoin.feed(bytes, |bytes| one(bytes, out, &mut heard))
}

/// The same for the first frame in these bytes; its length, if it is all there.
fn one(
    bytes: &[u8],
    out: &mut Vec<u8>,
    heard: impl FnOnce(&Header<'_>, &str, &mut Vec<u8>) -> Result<(), &'static str>,
) -> Result<Option<usize>, &'static str> {
    let Some((frame, length)) = read_frame(bytes)? else {
        return Ok(None);
    };
    match frame {
        Heard::Packet(header, data) => {
            check(&header, data)?;
            heard(&header, data, out)?;
        }
        Heard::Ping => put_beat(packet::Kind::Pong, out),
        Heard::Other => {}
    }
    Ok(Some(length))
}

/// Whether a packet is nothing that ends a workload.
fn check(header: &Header<'_>, data: &str) -> Result<(), &'static str> {
    match header.kind {
        Kind::Disconnect => Err("the end of the session"),
        Kind::ConnectError => Err("the refusal of a namespace"),
        Kind::Event if data.starts_with(r#"["SERVER_ERROR""#) => Err("an error of the server"),
        _ => Ok(()),
    }
}

/// Whether a packet acknowledges what is asked before data flows, or a chunk.
fn is_ack(header: &Header<'_>) -> bool {
    (header.kind, header.id) == (Kind::Ack, Some(FIRST_ID))
}

/// Sends an event that is to be acknowledged.
fn say(link: &mut Link, doing: &'static str, event: &str) -> Result<(), BenchError> {
    let mut out = Vec::new();
    put_packet(Header::event(0, Some(FIRST_ID)), &[event.as_bytes()], &mut out);
    link.send(doing, &out)
}

/// Reads packets until the one waited for; the id of that, 0 if it has none. Never reads beyond a frame's end.
fn wait(
    link: &mut Link,
    doing: &'static str,
    wanted: impl Fn(&Header<'_>, &str) -> bool,
) -> Result<u64, BenchError> {
    loop {
        let frame = websocket::receive(link, doing)?;
        match read_frame(&frame) {
            Ok(Some((Heard::Packet(header, data), _))) => {
                if check(&header, data).is_err() {
                    return Err(link.refused(doing, data.as_bytes()));
                }
                if wanted(&header, data) {
                    return Ok(header.id.unwrap_or_default());
                }
            }
            Ok(Some(_)) => {}
            Ok(None) | Err(_) => return Err(link.refused(doing, &frame)),
        }
    }
}

/// How long the frame of a broadcast with this text is when it arrives.
fn delivery_bytes(text: &[u8]) -> usize {
    let mut masked = Vec::new();
    let before = format!(r#"["{EVENT}","#);
    put_packet(Header::event(0, None), &[before.as_bytes(), text, b"]"], &mut masked);
    masked.len() - websocket::MASK.len()
}

/// A text as a value in a query.
fn escaped(text: &str) -> String {
    let escape = |byte: u8| match byte {
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => {
            char::from(byte).to_string()
        }
        _ => format!("%{byte:02X}"),
    };
    text.bytes().map(escape).collect()
}

fn check_payload(payload: usize) -> Result<(), BenchError> {
    if (1..=LARGEST).contains(&payload) {
        return Ok(());
    }
    Err(BenchError::Plan(format!("texts over Socket.IO have 1 to {LARGEST} bytes, not {payload}")))
}
