//! Clients that speak in commands and events, over any transport and either protocol.

use super::{Link, within};
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::peote;
use crosspoint_hub::command::{
    ChannelCommand, ChannelEvent, ChannelOptions, EnterOptions, Hello, Mode, Target,
};
use crosspoint_hub::protocol::Client;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{
    ChannelName, Command, Event, JoinedChannelId, MemberNumber, OwnedChannelId, Part, PeerId,
    Place, Reason,
};
use crosspoint_net::outlet::now;
use crosspoint_net::ws::{self, Incoming, Opcode, frame};
use crosspoint_proto as native;
use std::collections::VecDeque;

/// What a WebSocket client of any age may say first.
pub(crate) const UPGRADE: &str = "GET /socket HTTP/1.1\r\nHost: hub\r\nUpgrade: websocket\r\n\
    Connection: Upgrade\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\
    Sec-WebSocket-Version: 13\r\n\r\n";

/// Goes through the opening handshake.
pub(crate) async fn upgrade(link: &mut Link) {
    link.send(UPGRADE.as_bytes()).await;
    let head = head(link).await;
    assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
    assert!(head.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{head}");
}

/// Reads an HTTP head.
pub(crate) async fn head(link: &mut Link) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.extend_from_slice(&link.take(1).await);
    }
    String::from_utf8(head).expect("a head is text")
}

/// A masked WebSocket message in one frame.
pub(crate) fn message(payload: &[u8]) -> Bytes {
    let mut out = BytesMut::new();
    frame::client_frame(Opcode::Binary, true, payload, [1, 2, 3, 4], &mut out);
    out.freeze()
}

/// Reads one WebSocket frame of a server: its first byte and its payload.
pub(crate) async fn server_frame(link: &mut Link) -> (u8, Bytes) {
    let head = link.take(2).await;
    let length = match head[1] {
        126 => link.take(2).await.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)),
        127 => link.take(8).await.iter().fold(0, |n, byte| n << 8 | usize::from(*byte)),
        short => usize::from(short),
    };
    (head[0], link.take(length).await)
}

/// Expects the server to close a WebSocket with a code, and to send nothing before.
pub(crate) async fn closed_with(link: &mut Link, code: u16) {
    let (first, payload) = server_frame(link).await;
    assert_eq!(first, 0x88, "a close frame, not {payload:02x?}");
    assert_eq!(payload[..2], code.to_be_bytes());
    assert!(link.rest().await.is_empty());
}

/// A client.
pub(crate) struct Peer {
    pub(crate) link: Link,
    client: Box<dyn Client>,
    decoder: Option<ws::Decoder>,
    out: FrameWriter,
    /// Events that were passed over.
    passed: VecDeque<Event>,
    request: u32,
    /// The code with which the server has closed the WebSocket.
    pub(crate) code: Option<u16>,
}

impl Peer {
    /// A native client that has been welcomed.
    pub(crate) async fn native(link: Link) -> Self {
        let mut peer = Self::unwelcome(link, false);
        peer.welcomed().await;
        peer
    }

    /// A native client inside a WebSocket.
    pub(crate) async fn native_ws(mut link: Link) -> Self {
        upgrade(&mut link).await;
        let mut peer = Self::unwelcome(link, true);
        peer.welcomed().await;
        peer
    }

    /// A native client that has been welcomed, with everything to choose.
    pub(crate) async fn native_as(link: Link, options: native::client::Options) -> Self {
        let mut peer = Self::unwelcome_as(link, false, options);
        peer.welcomed().await;
        peer
    }

    /// A native client that has said nothing yet.
    pub(crate) fn unwelcome(link: Link, websocket: bool) -> Self {
        Self::unwelcome_as(link, websocket, native::client::Options::default())
    }

    /// As [`Self::unwelcome`], with something to say of itself.
    pub(crate) fn introduced(link: Link, hello: Hello) -> Self {
        Self::unwelcome_as(link, false, native::client::Options { hello, ..Default::default() })
    }

    /// As [`Peer::unwelcome`], with everything to choose.
    pub(crate) fn unwelcome_as(
        link: Link,
        websocket: bool,
        options: native::client::Options,
    ) -> Self {
        let mut out = FrameWriter::new(None);
        let client = native::client::Native::new(now(), options, &mut out);
        Self::new(link, Box::new(client), websocket, out)
    }

    /// Says hello, and does not wait for the answer.
    pub(crate) async fn say_hello(&mut self) {
        self.write().await;
    }

    /// Says hello, and gives why it was refused, if it was.
    pub(crate) async fn greet(&mut self) -> Result<(), Reason> {
        self.say_hello().await;
        match self.event().await {
            Event::Welcome { .. } => Ok(()),
            Event::Closed { reason } => Err(reason),
            other => panic!("no answer to a hello: {other:?}"),
        }
    }

    /// Says hello.
    pub(crate) async fn welcomed(&mut self) {
        assert_eq!(self.greet().await, Ok(()));
    }

    /// A peote client.
    pub(crate) fn joint(link: Link) -> Self {
        let client = peote::client::Joint::new(PeerId::new([7; 16]));
        let mut peer = Self::new(link, Box::new(client), false, FrameWriter::new(None));
        let _welcome = peer.client.poll(now(), &mut peer.out);
        peer
    }

    /// A peote client inside a WebSocket.
    pub(crate) async fn joint_ws(mut link: Link) -> Self {
        upgrade(&mut link).await;
        let mut peer = Self::joint(link);
        peer.decoder = Some(decoder());
        peer
    }

    fn new(link: Link, client: Box<dyn Client>, websocket: bool, out: FrameWriter) -> Self {
        let decoder = websocket.then(decoder);
        Self { link, client, decoder, out, passed: VecDeque::new(), request: 0, code: None }
    }

    /// What the protocol has to write.
    pub(crate) fn written(&mut self) -> Vec<u8> {
        let encoded = self.out.take();
        let mut bytes = Vec::with_capacity(encoded.len());
        for piece in encoded.pieces() {
            match self.decoder {
                Some(_) => bytes.extend_from_slice(&message(piece)),
                None => bytes.extend_from_slice(piece),
            }
        }
        bytes
    }

    async fn write(&mut self) {
        let bytes = self.written();
        if !bytes.is_empty() {
            self.link.send(&bytes).await;
        }
    }

    /// The bytes of a command.
    pub(crate) fn bytes_of(&mut self, command: Command) -> Vec<u8> {
        self.client
            .command(now(), command, &mut self.out)
            .expect("a command that can be expressed");
        self.written()
    }

    /// Gives a command.
    pub(crate) async fn tell(&mut self, command: impl Into<Command>) {
        let command = command.into();
        let bytes = self.bytes_of(command);
        self.link.send(&bytes).await;
    }

    /// The next event.
    pub(crate) async fn event(&mut self) -> Event {
        if let Some(event) = self.passed.pop_front() {
            return event;
        }
        self.next().await
    }

    async fn next(&mut self) -> Event {
        loop {
            let event = self.client.poll(now(), &mut self.out);
            self.write().await;
            if let Some(event) = event {
                return event;
            }
            if !self.unwrap() {
                if !within("an event", self.link.fill()).await {
                    return Event::Closed { reason: Reason::ConnectionLost };
                }
                let bytes = self.link.input.split();
                match &mut self.decoder {
                    Some(decoder) => decoder.receive(bytes),
                    None => self.client.receive(now(), bytes.freeze()),
                }
            }
        }
    }

    fn unwrap(&mut self) -> bool {
        let Some(decoder) = &mut self.decoder else { return false };
        match decoder.decode().expect("the server keeps to the standard") {
            Some(Incoming::Data { bytes, .. }) => self.client.receive(now(), bytes),
            Some(Incoming::Close(frame)) => self.code = frame.map(|frame| frame.code.get()),
            Some(_) => {}
            None => return false,
        }
        true
    }

    /// The code and the reason with which the server closes the WebSocket, whatever comes before.
    pub(crate) async fn close_frame(&mut self) -> (u16, String) {
        loop {
            let decoder = self.decoder.as_mut().expect("a client inside a WebSocket");
            match decoder.decode().expect("the server keeps to the standard") {
                Some(Incoming::Close(frame)) => {
                    let frame = frame.expect("the hub says why");
                    return (frame.code.get(), frame.reason);
                }
                Some(_) => {}
                None => {
                    assert!(within("a close frame", self.link.fill()).await);
                    decoder.receive(self.link.input.split());
                }
            }
        }
    }

    /// The first event of a kind; the others are kept for later.
    pub(crate) async fn find<T>(&mut self, mut is: impl FnMut(&Event) -> Option<T>) -> T {
        if let Some((index, found)) =
            self.passed.iter().enumerate().find_map(|(index, event)| Some((index, is(event)?)))
        {
            self.passed.remove(index);
            return found;
        }
        loop {
            let event = self.next().await;
            if let Some(found) = is(&event) {
                return found;
            }
            if let Event::Closed { reason } = event {
                panic!("closed: {reason}");
            }
            self.passed.push_back(event);
        }
    }

    fn request(&mut self) -> u32 {
        self.request += 1;
        self.request
    }

    /// Opens a channel without message borders.
    pub(crate) async fn create(&mut self, name: &str) -> OwnedChannelId {
        self.try_create(name).await.expect("a free name")
    }

    pub(crate) async fn try_create(&mut self, name: &str) -> Result<OwnedChannelId, Reason> {
        let request = self.request();
        self.tell(create(request, name)).await;
        self.created(request).await
    }

    /// Waits for the answer to a create command.
    pub(crate) async fn created(&mut self, request: u32) -> Result<OwnedChannelId, Reason> {
        self.find(|event| match event {
            Event::Channel(ChannelEvent::Created { request: of, channel }) if *of == request => {
                Some(Ok(*channel))
            }
            Event::Refused { request: of, reason, .. } if *of == request => Some(Err(*reason)),
            _ => None,
        })
        .await
    }

    /// Enters a channel without message borders.
    pub(crate) async fn enter(&mut self, name: &str) -> JoinedChannelId {
        self.try_enter(name).await.expect("a channel that can be entered")
    }

    pub(crate) async fn try_enter(&mut self, name: &str) -> Result<JoinedChannelId, Reason> {
        self.try_enter_with(name, |_| {}).await
    }

    pub(crate) async fn try_enter_with(
        &mut self,
        name: &str,
        set: impl FnOnce(&mut EnterOptions),
    ) -> Result<JoinedChannelId, Reason> {
        let request = self.request();
        let mut command = enter(request, name);
        if let Command::Channel(ChannelCommand::Enter { options, .. }) = &mut command {
            set(options);
        }
        self.tell(command).await;
        self.answered(request).await
    }

    /// Waits for the answer to an enter command.
    pub(crate) async fn answered(&mut self, request: u32) -> Result<JoinedChannelId, Reason> {
        self.find(|event| match event {
            Event::Channel(ChannelEvent::Entered(told)) if told.request == request => {
                Some(Ok(told.channel))
            }
            Event::Refused { request: of, reason, .. } if *of == request => Some(Err(*reason)),
            _ => None,
        })
        .await
    }

    /// Waits until a member has come into an own channel.
    pub(crate) async fn joined(&mut self) -> MemberNumber {
        self.find(|event| match event {
            Event::Channel(ChannelEvent::MemberEntered { member, .. }) => Some(*member),
            _ => None,
        })
        .await
    }

    /// Waits until a member has gone from an own channel.
    pub(crate) async fn left(&mut self) -> (MemberNumber, Reason) {
        self.find(|event| match event {
            Event::Channel(ChannelEvent::MemberLeft { member, reason, .. }) => {
                Some((*member, *reason))
            }
            _ => None,
        })
        .await
    }

    /// Waits until a membership has ended.
    pub(crate) async fn ended(&mut self) -> (JoinedChannelId, Reason) {
        self.find(|event| match event {
            Event::Channel(ChannelEvent::Ended { channel, reason }) => Some((*channel, *reason)),
            _ => None,
        })
        .await
    }

    /// Waits for data.
    pub(crate) async fn data(&mut self) -> (Place, Bytes) {
        self.find(|event| match event {
            Event::Data { place, part } => Some((*place, part.data.clone())),
            _ => None,
        })
        .await
    }

    /// Gathers data, from wherever it comes, until there are so many bytes.
    pub(crate) async fn gather(&mut self, count: usize) -> Vec<u8> {
        let mut bytes = Vec::new();
        while bytes.len() < count {
            bytes.extend_from_slice(&self.data().await.1);
        }
        bytes
    }

    /// Waits for the end, and gives its reason.
    pub(crate) async fn closed(&mut self) -> Reason {
        loop {
            if let Event::Closed { reason } = self.event().await {
                return reason;
            }
        }
    }

    /// Sees that the hub has carried out everything so far, and gives the events before that.
    pub(crate) async fn settle(&mut self) -> Vec<Event> {
        let request = self.request();
        // No channel can be entered without a name.
        self.tell(enter(request, "")).await;
        self.answered(request).await.expect_err("nobody owns the channel without a name");
        self.passed.drain(..).collect()
    }

    pub(crate) async fn send_up(&mut self, number: JoinedChannelId, data: &[u8]) {
        self.tell(up(number, data)).await;
    }

    pub(crate) async fn send_to(&mut self, own: OwnedChannelId, member: MemberNumber, data: &[u8]) {
        self.tell(to(own, member, data)).await;
    }

    pub(crate) async fn broadcast(&mut self, own: OwnedChannelId, data: &[u8]) {
        let part = Part::whole(data.to_vec());
        self.tell(Command::Send { to: Target::Everyone(own, None), part }).await;
    }
}

fn decoder() -> ws::Decoder {
    let config = ws::Config { frame_bytes_max: u64::from(u32::MAX), lenient: false };
    ws::Decoder::new(ws::Role::Client, config)
}

pub(crate) fn name(name: &str) -> ChannelName {
    ChannelName::new(name.as_bytes().to_vec()).expect("a short name")
}

pub(crate) fn create(request: u32, called: &str) -> Command {
    let options = ChannelOptions { mode: Mode::Raw, ..ChannelOptions::default() };
    Command::Channel(ChannelCommand::Create { request, name: name(called), options })
}

pub(crate) fn enter(request: u32, called: &str) -> Command {
    let options = EnterOptions { mode: Mode::Raw, ..EnterOptions::default() };
    Command::Channel(ChannelCommand::Enter { request, name: name(called), options })
}

pub(crate) fn up(number: JoinedChannelId, data: &[u8]) -> Command {
    Command::Send { to: Target::Up(number), part: Part::whole(data.to_vec()) }
}

pub(crate) fn to(own: OwnedChannelId, member: MemberNumber, data: &[u8]) -> Command {
    Command::Send { to: Target::Member(own, member), part: Part::whole(data.to_vec()) }
}
