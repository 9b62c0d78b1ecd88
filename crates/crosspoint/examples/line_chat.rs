//! A protocol of one's own: a chat of lines, for people with `nc`. Those who chat meet clients of all other
//! protocols in the same rooms.
//!
//! `cargo run -p crosspoint --example line_chat`, then `nc 127.0.0.1 7681` and `CHAT alice lobby`.

use crosspoint::gateway::{
    Activity, Capacity, ChannelCommand, ChannelEvent, Command, Content, Context, EnterOptions,
    Event, FrameWriter, Framing, Gateway, Hello, JoinedChannelId, Match, Opened, Opening, Output,
    Part, Pauses, Profile, Protocol, Refused, Stateful, Target, Wire,
};
use crosspoint::gateways::standard;
use crosspoint::{Bytes, ChannelName, Hub, HubOptions, Reason, Server, ServerOptions};
use std::error::Error;
use std::time::{Duration, Instant};

/// How a connection begins: `CHAT name room` is its first line.
const MARK: &[u8] = b"CHAT ";

/// The longest line, in bytes.
const LINE_BYTES_MAX: usize = 1024;

#[derive(Debug)]
struct LineChat;

impl Gateway for LineChat {
    fn name(&self) -> &'static str {
        WIRE.profile().name
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        match opening {
            Opening::Stream(bytes) => Match::mark(bytes, MARK),
            Opening::Upgrade(_) | Opening::WebSocket { .. } => Match::No,
        }
    }

    fn open(&self, _context: &Context<'_>) -> Result<Opened, Refused> {
        Ok(Opened::session(&WIRE, Chat::default()))
    }

    fn refusal(&self, reason: Reason) -> Option<Bytes> {
        Some(format!("* {reason}\n").into())
    }
}

/// How data is written: a message is a line.
struct Lines;

static WIRE: Lines = Lines;

impl Wire for Lines {
    fn profile(&self) -> Profile {
        Profile {
            name: "line-chat",
            id: 64,
            framing: Framing::Messages,
            capacity: Capacity { owned_max: 0, entered_max: 1, members_max: 0 },
            stateful: Stateful::No,
            whole: true,
            links: false,
            credentials: false,
            pauses: Pauses::Nothing,
            link_bytes: 0,
            successors: false,
            application: false,
            secures: false,
            settle: Duration::ZERO,
            envelope: None,
        }
    }

    fn encode(&self, content: &Content<'_>, out: &mut FrameWriter) {
        if let Content::Part { part, .. } = content
            && part.kind == Part::DATA
        {
            out.frame(b"", &part.data);
            out.small(b"\n");
        }
    }
}

/// One client.
#[derive(Default)]
struct Chat {
    /// What has come and is no whole line.
    input: Vec<u8>,
    /// Its name, once it has said it.
    name: Option<String>,
    /// The room that it wants to enter next.
    room: Option<String>,
    /// Whether the hub has not answered yet.
    entering: bool,
    /// The room that it is in.
    entered: Option<JoinedChannelId>,
    idle_frames: u64,
    closed: bool,
}

impl Chat {
    fn line(&mut self, line: &str) -> Option<Output> {
        let mut words = line.split_whitespace();
        match (&self.name, self.entered) {
            (None, _) => {
                let (Some(_chat), Some(name), Some(room)) =
                    (words.next(), words.next(), words.next())
                else {
                    return Some(Output::Close(Reason::Malformed));
                };
                (self.name, self.room) = (Some(name.to_owned()), Some(room.to_owned()));
                let hello = Hello { name: Some(name.to_owned()), ..Hello::default() };
                Some(Output::Command(Command::Hello(hello)))
            }
            // The name is in the line, as `Wire::encode` does not know of whom a message is. Clients that show the
            // names of senders themselves show it twice.
            (Some(name), Some(room)) if !line.is_empty() => {
                let part = Part::whole(format!("{name}: {line}"));
                Some(Output::Command(Command::Send { to: Target::Up(room), part }))
            }
            _ => {
                self.idle_frames += 1;
                None
            }
        }
    }
}

impl Protocol for Chat {
    fn receive(&mut self, _now: Instant, bytes: Bytes) {
        self.input.extend_from_slice(&bytes);
    }

    fn poll(&mut self, _now: Instant, _out: &mut FrameWriter) -> Option<Output> {
        while !self.closed {
            if let (Some(_name), Some(room)) = (&self.name, self.room.take()) {
                let name = ChannelName::new(room.into_bytes()).ok()?;
                let options = EnterOptions { make_room: true, ..EnterOptions::default() };
                let enter = ChannelCommand::Enter { request: 0, name, options };
                self.entering = true;
                return Some(Output::Command(enter.into()));
            }
            // The answer of the hub comes later. What the client sends meanwhile waits for it.
            if self.entering {
                return None;
            }
            let Some(end) = self.input.iter().position(|byte| *byte == b'\n') else {
                self.closed = self.input.len() > LINE_BYTES_MAX;
                return self.closed.then_some(Output::Close(Reason::TooLarge));
            };
            let line: Vec<u8> = self.input.drain(..=end).collect();
            let line = String::from_utf8_lossy(&line).trim().to_owned();
            if let Some(output) = self.line(&line) {
                self.closed = matches!(output, Output::Close(_));
                return Some(output);
            }
        }
        None
    }

    fn deliver(&mut self, _now: Instant, event: &Event, out: &mut FrameWriter) {
        let answered =
            matches!(event, Event::Channel(ChannelEvent::Entered(_)) | Event::Refused { .. });
        self.entering &= !answered;
        match event {
            Event::Channel(ChannelEvent::Entered(entered)) => {
                self.entered = Some(entered.channel);
                out.small(b"* you are in the room\n");
            }
            Event::Refused { reason, .. } => out.small(format!("* {reason}\n").as_bytes()),
            // Links, the directory and the hub application have no words here.
            _ => {}
        }
    }

    /// Lines that waited for the answer of the hub.
    fn has_output(&self) -> bool {
        !self.entering && !self.closed && self.input.contains(&b'\n')
    }

    fn idle_frames(&mut self) -> u64 {
        std::mem::take(&mut self.idle_frames)
    }

    fn buffered(&self) -> usize {
        self.input.capacity()
    }

    fn midway(&self) -> Option<u64> {
        None
    }

    fn deadline(&self, _activity: Activity) -> Option<Instant> {
        None
    }

    fn tick(
        &mut self,
        _now: Instant,
        _activity: Activity,
        _out: &mut FrameWriter,
    ) -> Option<Reason> {
        None
    }

    fn farewell(&mut self, reason: Reason, out: &mut FrameWriter) {
        out.small(format!("* {reason}\n").as_bytes());
    }
}

/// A hub that speaks the chat as well.
pub(crate) fn hub() -> Server {
    let gateways = standard().with(LineChat);
    let options = ServerOptions { gateways, ..ServerOptions::default() };
    Server::with_hub(Hub::new(HubOptions::default()), options)
}

#[tokio::main]
#[allow(dead_code, reason = "a test chats itself")]
async fn main() -> Result<(), Box<dyn Error>> {
    let hub = hub();
    println!("listening on {}", hub.listen("127.0.0.1:7681".parse()?)?);
    std::future::pending().await
}
