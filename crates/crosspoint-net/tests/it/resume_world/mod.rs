//! A hub behind a road on which connections break, and clients that come back over it.

use crate::common::{Dice, within};
use bytes::Bytes;
use crosspoint_hub::command::{ChannelCommand, ChannelEvent, EnterOptions, Mode, Target};
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{ChannelName, Command, Event, Hub, HubOptions, JoinedChannelId, Part, Reason};
use crosspoint_net::client::{self, Connection, Dialed, Endpoint};
use crosspoint_net::memory::{self, End, ReadEnd, Shape, WriteEnd};
use crosspoint_net::outlet::now;
use crosspoint_net::resume::{self, Connectivity, Options};
use crosspoint_net::server::{Server, ServerOptions};
use crosspoint_proto as native;
use std::collections::VecDeque;
use std::io::IoSlice;
use std::sync::{Arc, Mutex};
use tokio::io::AsyncReadExt;
use tokio::sync::watch;

/// What becomes of a connection.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Fate {
    /// It is never made.
    Refused,
    /// It is lost after so many bytes there or back, with all that is under way.
    Cut(usize, usize),
    /// As before, but what is under way still arrives.
    Closed(usize, usize),
    /// After so many bytes nothing moves any more, and nobody is told.
    Frozen(usize, usize),
    /// It lasts.
    Lasts,
}

/// A hub inside the program, and a road to it.
pub(crate) struct World {
    pub(crate) hub: Arc<Hub>,
    pub(crate) server: Server,
    /// Straight to the hub.
    pub(crate) direct: memory::Connector,
    pub(crate) road: Road,
}

/// Where connections meet their fates.
#[derive(Clone)]
pub(crate) struct Road {
    /// The beginning of the road.
    pub(crate) connector: memory::Connector,
    fates: Arc<Mutex<VecDeque<Fate>>>,
    /// Of those whose fate is not in the queue.
    usual: Arc<Mutex<Fate>>,
    /// Cuts all that there is.
    cut: watch::Sender<u64>,
    end: Arc<Mutex<memory::Connector>>,
}

impl World {
    pub(crate) fn new(hub: HubOptions, server: ServerOptions) -> Self {
        let hub = Hub::new(hub);
        let server = Server::new(hub.clone(), server);
        let (direct, acceptor) = memory::listener();
        server.listen_memory(acceptor);
        let road = Road::new(direct.clone());
        Self { hub, server, direct, road }
    }

    /// A client that lives on one connection.
    pub(crate) async fn plain(&self) -> Client {
        let (connector, shape) = (self.direct.clone(), Shape::default());
        let dialed = client::dial(&Endpoint::Memory { connector, shape }).await;
        Client::new(dialed.expect("the hub listens"))
    }
}

impl Road {
    fn new(end: memory::Connector) -> Self {
        let (connector, mut acceptor) = memory::listener();
        let (cut, _) = watch::channel(0);
        let usual = Arc::new(Mutex::new(Fate::Lasts));
        let end = Arc::new(Mutex::new(end));
        let road = Self { connector, fates: Arc::default(), usual, cut, end };
        let at = road.clone();
        tokio::spawn(async move {
            while let Some(front) = acceptor.accept().await {
                let fate = at.fates.lock().expect("nobody panics with it").pop_front();
                let fate = fate.unwrap_or(*at.usual.lock().expect("nobody panics with it"));
                let end = at.end.lock().expect("nobody panics with it").clone();
                let Ok(back) = end.connect(Shape::default()) else { continue };
                let mut cut = at.cut.subscribe();
                tokio::spawn(async move {
                    tokio::select! {
                        () = travel(front, back, fate) => {}
                        _ = cut.changed() => {}
                    }
                });
            }
        });
        road
    }

    /// The fates of the connections to come.
    pub(crate) fn fates(&self, fates: impl IntoIterator<Item = Fate>) {
        self.fates.lock().expect("nobody panics with it").extend(fates);
    }

    /// The fate of all for which nothing else is said.
    pub(crate) fn usual(&self, fate: Fate) {
        *self.usual.lock().expect("nobody panics with it") = fate;
    }

    /// Cuts all connections.
    pub(crate) fn cut(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// From now on the road leads elsewhere.
    pub(crate) fn lead_to(&self, end: memory::Connector) {
        *self.end.lock().expect("nobody panics with it") = end;
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::Memory { connector: self.connector.clone(), shape: Shape::default() }
    }
}

async fn travel(front: End, back: End, fate: Fate) {
    let (there, back_again) = match fate {
        Fate::Refused => return,
        Fate::Cut(there, back) | Fate::Closed(there, back) | Fate::Frozen(there, back) => {
            (there, back)
        }
        Fate::Lasts => (usize::MAX, usize::MAX),
    };
    let (mut from_client, to_client) = front.into_split();
    let (mut from_hub, to_hub) = back.into_split();
    let mut forth = std::pin::pin!(pump(&mut from_client, &to_hub, there));
    let mut back = std::pin::pin!(pump(&mut from_hub, &to_client, back_again));
    let (mut ended_forth, mut ended_back) = (false, false);
    while !(ended_forth && ended_back) {
        let spent = tokio::select! {
            spent = &mut forth, if !ended_forth => { ended_forth = true; spent }
            spent = &mut back, if !ended_back => { ended_back = true; spent }
        };
        match fate {
            Fate::Frozen(..) if spent => std::future::pending().await,
            Fate::Cut(..) if spent => {
                to_client.abort();
                to_hub.abort();
                return;
            }
            _ if spent => return,
            _ => {}
        }
    }
}

/// Moves so many bytes, or all until the end. Gives whether it was the number that ended it.
async fn pump(from: &mut ReadEnd, to: &WriteEnd, mut count: usize) -> bool {
    let mut bytes = vec![0; 4096];
    while count > 0 {
        let most = count.min(bytes.len());
        let read = match from.read(&mut bytes[..most]).await {
            Ok(read) if read > 0 => read,
            _ => {
                to.shutdown();
                return false;
            }
        };
        count -= read;
        let mut rest = &bytes[..read];
        while !rest.is_empty() {
            let _ = to.writable().await;
            match to.try_write_vectored(&[IoSlice::new(rest)]) {
                Ok(written) => rest = &rest[written..],
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                Err(_) => return false,
            }
        }
    }
    true
}

/// A client that comes back, and what it knows of its connection.
pub(crate) async fn resumable(
    endpoints: Vec<Endpoint>,
    seed: u64,
) -> std::io::Result<(Client, watch::Receiver<Connectivity>)> {
    let mut dice = Dice(seed);
    let random = Box::new(move || dice.roll());
    let options = Options { random, ..Options::new(endpoints) };
    let (dialed, state) = resume::dial(options).await?;
    Ok((Client::new(dialed), state))
}

/// Waits until a session has ended, in order or not.
pub(crate) async fn outcome(state: &mut watch::Receiver<Connectivity>) -> Connectivity {
    let ended = |now: &Connectivity| matches!(now, Connectivity::Ended | Connectivity::Gone { .. });
    *within("the end of a session", state.wait_for(ended)).await.expect("a last state")
}

/// A native client.
pub(crate) struct Client {
    pub(crate) connection: Connection,
}

impl Client {
    pub(crate) fn new(dialed: Dialed) -> Self {
        let mut out = FrameWriter::default();
        let client =
            native::client::Native::new(now(), native::client::Options::default(), &mut out);
        Self { connection: client::run(dialed, Box::new(client), out) }
    }

    pub(crate) async fn tell(&self, command: impl Into<Command>) {
        let command = command.into();
        // A client whose connection has ended says so when it is listened to.
        let _ = self.connection.commands.send(command.into()).await;
    }

    pub(crate) async fn event(&mut self) -> Event {
        let event = within("an event", self.connection.events.recv()).await;
        event.unwrap_or(Event::Closed { reason: Reason::Bye })
    }

    /// Enters the room.
    pub(crate) async fn enter(&mut self) -> JoinedChannelId {
        let name = ChannelName::new(b"room".to_vec()).expect("a short name");
        let options = EnterOptions { make_room: true, ..EnterOptions::default() };
        self.tell(ChannelCommand::Enter { request: 1, name, options }).await;
        loop {
            match self.event().await {
                Event::Channel(ChannelEvent::Entered(entered)) => return entered.channel,
                Event::Closed { reason } => panic!("closed: {reason}"),
                _ => {}
            }
        }
    }

    pub(crate) async fn send(&self, to: JoinedChannelId, message: Bytes) {
        self.tell(Command::Send { to: Target::Up(to), part: Part::whole(message) }).await;
    }

    /// The next message, or why there is none.
    pub(crate) async fn message(&mut self) -> Result<Bytes, Reason> {
        loop {
            match self.event().await {
                Event::Data { part, .. } => return Ok(part.data),
                Event::Closed { reason } => return Err(reason),
                _ => {}
            }
        }
    }
}

/// The mode in which messages keep their borders.
pub(crate) fn options() -> HubOptions {
    HubOptions { room_mode: Mode::default(), ..HubOptions::default() }
}

/// Message `number` of one side: its number, and as many bytes as chance wants.
pub(crate) fn message(number: u32, length: usize) -> Bytes {
    let mut bytes = number.to_be_bytes().to_vec();
    bytes.resize(4 + length, number as u8);
    bytes.into()
}
