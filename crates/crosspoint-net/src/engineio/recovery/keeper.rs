//! Carries one session over the connections of its client.

use super::line::{Bounds, Gone, Line};
use super::{Arrival, Arrivals, Place, Recoveries};
use crate::deadline::FAR;
use crate::driving::Carrying;
use crate::engineio::said::Said;
use crate::engineio::way;
use crate::gateway::{Carrier, Connection, NewSession};
use crate::held::{self, Held};
use crate::memory::{self, WriteEnd};
use crate::outlet::now;
use crate::parting::LINGER;
use crate::remote::Remote;
use crate::runner::Runner;
use crate::stream::Stream;
use crate::ws::Opcode;
use crate::ws::frame::server_header;
use bytes::{Buf, BytesMut};
use crosspoint_gateways::engineio::payload::Message;
use crosspoint_gateways::engineio::socket::AWAY;
use crosspoint_gateways::engineio::{Beat, Sid};
use crosspoint_gateways::socketio::Recovery;
use crosspoint_gateways::socketio::recovery::{Full, Heard};
use crosspoint_hub::endpoint::Endpoint;
use crosspoint_hub::ledger::{Account, Charge, Purpose, Tab};
use crosspoint_hub::{Limit, Reason};
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::{Arc, Weak};
use std::time::Instant;
use tokio::sync::mpsc::error::SendError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{sleep_until, timeout};

/// What a session takes besides itself that survives its connections, when nothing is kept.
const RECOVERABLE_BYTES: usize = 8 * 1024;

/// A connection with more than this to be written is not told why it ends.
const FAREWELL_BYTES_MAX: usize = 4 * 1024;

/// So many bytes of what a client says are handed on together, unless one message alone is larger.
const BATCH_BYTES: usize = 8 * 1024;

/// A session that has begun in a WebSocket.
#[derive(Debug)]
pub(in crate::engineio) struct Begun {
    pub(in crate::engineio) session: NewSession,
    pub(in crate::engineio) recoveries: Recoveries,
    pub(in crate::engineio) beat: Beat,
}

impl Carrier for Begun {
    fn carry(
        self: Box<Self>,
        connection: Connection,
        runner: Arc<Runner>,
    ) -> Pin<Box<dyn Future<Output = Reason> + Send>> {
        let Self { session, recoveries, beat } = *self;
        let Connection { reader, writer, websocket, address, process, admission, .. } = connection;
        let remote = Remote { process, ..Remote::new(address) };
        let carried = websocket.map(|websocket| {
            let (hub, transport) = (&runner.hub, writer.transport(true));
            let held = (hub.clone(), Held::new(hub, remote));
            Line::new(held, (reader, writer), websocket, transport, beat.into(), admission)
        });
        Box::pin(async move {
            let Some(line) = carried else { return Reason::Internal };
            match begin(&runner, &recoveries, (session, beat), remote, &line) {
                Ok((keeper, _)) => keeper.run(line).await,
                Err(reason) => line.part_because(Gone::Broken(reason), &runner.parting).await,
            }
            Reason::Bye
        })
    }
}

impl From<Beat> for Bounds {
    fn from(beat: Beat) -> Self {
        Self { message_bytes_max: beat.payload_bytes_max, answer_time_max: beat.timeout }
    }
}

/// Begins a session whose client has this connection, which its keeper is to be given. Gives the account of the session
/// too.
///
/// # Errors
/// Why there is none.
pub(in crate::engineio) fn begin(
    runner: &Arc<Runner>,
    recoveries: &Recoveries,
    (session, beat): (NewSession, Beat),
    remote: Remote,
    line: &Line,
) -> Result<(Box<Keeper>, Arc<Account>), Reason> {
    let hub = &runner.hub;
    let name = session.wire.profile().name;
    let charge = held::beside_session(hub, remote, name, RECOVERABLE_BYTES)?;
    let (Ok(pid), Ok(mark)) = (Sid::random(), Sid::random()) else {
        return Err(Reason::Internal);
    };
    let (place, arrivals) = recoveries.add(hub, remote, pid);
    let (near, far) = memory::way();
    let carrying = Carrying {
        remote,
        certificate: line.certificate(),
        halves: Stream::from(near).into_split(),
        websocket: Some(way::websocket(hub)),
        // As long as it takes to see that a connection is lost.
        stall_min: beat.interval + beat.timeout,
        tell_end: None,
        transport: Some(line.transport()),
    };
    let driver = runner.driver(session, carrying);
    let endpoint = driver.session.endpoint();
    let (reader, writer) = far.into_split();
    let account = endpoint.account().clone();
    writer.charge(&account, Purpose::Retained);
    let tab = || Tab::new(&account, Purpose::Retained);
    let (ends, ended) = oneshot::channel();
    let keeper = Keeper {
        recovery: Recovery::new(pid, mark, recoveries.config.bytes_max),
        runner: runner.clone(),
        place,
        arrivals,
        id: endpoint.id,
        endpoint: Arc::downgrade(endpoint),
        said: Said::new(reader, tab()),
        way: writer,
        to_session: BytesMut::new(),
        tab: tab(),
        ended,
        _charge: charge,
    };
    let own = runner.clone();
    runner.tasks.spawn(async move {
        own.drive(driver).await;
        drop(ends);
    });
    Ok((Box::new(keeper), account))
}

/// Keeps one session, whatever connection its client has.
#[derive(Debug)]
pub(in crate::engineio) struct Keeper {
    recovery: Recovery,
    runner: Arc<Runner>,
    place: Place,
    arrivals: Arrivals,
    /// The session's number in the logs.
    id: u64,
    /// Lives as long as the session.
    endpoint: Weak<Endpoint>,
    /// What the session says.
    said: Said,
    /// The way to the session.
    way: WriteEnd,
    /// What it has not taken yet.
    to_session: BytesMut,
    /// Pays for what is kept.
    tab: Tab,
    /// The session is over. Nothing comes.
    ended: oneshot::Receiver<()>,
    _charge: Charge,
}

/// How a session goes on.
enum Next {
    /// Over this connection.
    Attached(Box<Line>),
    /// Without one.
    Away,
    /// As another one, whose client has come over this connection.
    Other(Box<Line>, Wish),
    /// Not at all. What it has said is written to this connection.
    End(Option<Box<Line>>),
    /// Not at all. This connection is for another one.
    Late(Box<Arrival>),
}

/// What ends the carrying over a connection in order.
enum Turned {
    Wish(Wish),
    Arrival(Box<Arrival>),
    Ended,
}

/// A client asks for a session that it had.
struct Wish {
    keeper: mpsc::Sender<Box<Arrival>>,
    offset: Option<String>,
    /// The CONNECT with which it does.
    message: Message,
}

impl Wish {
    /// Gives the connection to that session. Gives it back if that does not go on, with the message that is for a new
    /// session then.
    async fn ask(self, line: Line, runner: &Runner) -> Option<(Line, Message)> {
        let Self { keeper, offset, message } = self;
        let (back, returned) = oneshot::channel();
        let arrival = Box::new(Arrival { line, offset, back });
        match timeout(runner.hub.limits.handshake_max, keeper.send(arrival)).await {
            Ok(Ok(())) => returned.await.ok().map(|line| (line, message)),
            // It has just ended.
            Ok(Err(SendError(arrival))) => Some((arrival.line, message)),
            Err(_elapsed) => None,
        }
    }
}

impl Keeper {
    /// Carries the session to its end, over this connection first.
    pub(in crate::engineio) async fn run(mut self: Box<Self>, line: Line) {
        let mut next = Next::Attached(Box::new(line));
        loop {
            next = match next {
                Next::Attached(line) => self.attached(line).await,
                Next::Away => self.away().await,
                Next::Other(line, wish) => match wish.ask(*line, &self.runner).await {
                    Some((line, message)) => {
                        self.hand_on(&message);
                        Next::Attached(Box::new(line))
                    }
                    None => Next::End(None),
                },
                Next::End(line) => return self.end(line, None).await,
                Next::Late(arrival) => return self.end(None, Some(arrival)).await,
            };
        }
    }

    async fn attached(&mut self, mut line: Box<Line>) -> Next {
        let gone = loop {
            match self.attached_once(&mut line).await {
                Ok(None) => {}
                Ok(Some(Turned::Wish(wish))) => return Next::Other(line, wish),
                Ok(Some(Turned::Arrival(arrival))) => {
                    // The newest wins; the old one may be half dead without our knowing.
                    let next = if self.lose() { self.accept(arrival) } else { Next::Late(arrival) };
                    self.part(*line, Gone::Broken(Reason::Replaced));
                    return next;
                }
                Ok(Some(Turned::Ended)) => {
                    let farewell = self.said.farewell();
                    let line = farewell.map(|farewell| {
                        line.say_farewell(farewell);
                        line
                    });
                    return Next::End(line);
                }
                Err(gone) => break gone,
            }
        };
        self.part(*line, gone);
        match gone {
            Gone::Broken(reason) => {
                if let Some(unsaid) = self.runner.logs.closed.line(now()) {
                    tracing::warn!(session = self.id, %reason, unsaid, "session broken");
                }
                Next::End(None)
            }
            Gone::Lost | Gone::Closed | Gone::Silent if self.lose() => Next::Away,
            Gone::Lost | Gone::Closed | Gone::Silent => Next::End(None),
        }
    }

    /// Carries what there is, and waits for more.
    async fn attached_once(&mut self, line: &mut Line) -> Result<Option<Turned>, Gone> {
        tokio::task::consume_budget().await;
        if let Some(wish) = self.hear(line).await? {
            return Ok(Some(Turned::Wish(wish)));
        }
        let is_told = self.tell(line);
        line.write()?;
        self.settle(line.queued());
        if self.said.has_ended() || is_told.is_err() {
            return Ok(Some(Turned::Ended));
        }
        let listens = line.listens(self.to_session.is_empty());
        let deadline = line.deadline().unwrap_or_else(|| now() + FAR);
        let has_room = line.has_room();
        let Self { arrivals, way, said, to_session, .. } = self;
        tokio::select! {
            biased;
            Some(arrival) = arrivals.recv() => return Ok(Some(Turned::Arrival(arrival))),
            () = sleep_until(deadline.into()) => line.check()?,
            _ = way.writable(), if !to_session.is_empty() => {}
            changed = line.turn(listens) => if changed? {
                self.show_transport(line);
            },
            () = said.read(), if has_room => {}
        }
        Ok(None)
    }

    /// Hands on what the client has said, as far as the session takes it.
    async fn hear(&mut self, line: &mut Line) -> Result<Option<Wish>, Gone> {
        self.push();
        while self.to_session.is_empty() {
            let mut is_all = false;
            while self.to_session.len() < BATCH_BYTES && !is_all {
                let Some(message) = line.next()? else {
                    is_all = true;
                    continue;
                };
                if message.is_text && message.bytes == "3" {
                    line.answered();
                }
                match self.recovery.heard(message) {
                    Heard::Message(message) => self.hand_on(&message),
                    Heard::Return { pid, offset, message } => {
                        match self.place.recoveries.find(&pid) {
                            Some(keeper) => return Ok(Some(Wish { keeper, offset, message })),
                            None => self.hand_on(&message),
                        }
                    }
                    Heard::Closed => return Err(Gone::Closed),
                }
            }
            line.settle()?;
            self.push();
            if is_all {
                break;
            }
            // What is inflated is a lot of work.
            tokio::task::yield_now().await;
        }
        Ok(None)
    }

    /// Puts a message into the frame in which the session gets it.
    fn hand_on(&mut self, Message { is_text, bytes }: &Message) {
        let opcode = if *is_text { Opcode::Text } else { Opcode::Binary };
        self.to_session.extend_from_slice(server_header(opcode, true, bytes.len()).as_slice());
        self.to_session.extend_from_slice(bytes);
    }

    /// Writes what the session takes.
    fn push(&mut self) {
        while !self.to_session.is_empty() {
            match self.way.try_write_vectored(&[IoSlice::new(&self.to_session)]) {
                Ok(written) => self.to_session.advance(written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // It is over, which is seen by what it says.
                Err(_) => self.to_session.clear(),
            }
        }
        if self.to_session.capacity() > 0 {
            self.to_session = BytesMut::new();
        }
    }

    /// Writes what the session has said.
    fn tell(&mut self, line: &mut Line) -> Result<(), Full> {
        for message in self.said.messages() {
            let is_heartbeat = message.is_text && message.bytes == "2";
            if let Some(message) = self.recovery.said(message)? {
                line.say(message);
                if is_heartbeat {
                    line.asks();
                }
            }
        }
        Ok(())
    }

    /// Has the memory charged that is held here. The way to and from the session does that by itself.
    fn settle(&mut self, queued: usize) {
        self.tab.settle(self.recovery.bytes() + self.to_session.capacity() + queued);
        self.runner.hub.keep_to_budgets(now());
    }

    /// The connection is lost. Gives whether the client may come back. The session is told.
    fn lose(&mut self) -> bool {
        let may_return = self.recovery.lose() && !self.runner.parting.stop.is_cancelled();
        if may_return {
            self.hand_on(&Message { is_text: true, bytes: AWAY.into() });
        }
        may_return
    }

    /// Takes a connection over whose client asks for the session, which has none.
    fn accept(&mut self, arrival: Box<Arrival>) -> Next {
        let missed = self.recovery.come_back(arrival.offset.as_deref());
        let Some(missed) = missed else { return Next::Late(arrival) };
        // That the other side hears nothing is how it knows.
        let Arrival { mut line, .. } = *arrival;
        missed.into_iter().for_each(|message| line.say(message));
        line.asks();
        self.show_transport(&line);
        self.runner.hub.metrics.resumed.inc();
        Next::Attached(Box::new(line))
    }

    fn show_transport(&self, line: &Line) {
        if let Some(endpoint) = self.endpoint.upgrade() {
            endpoint.set_transport(line.transport());
        }
    }

    /// Closes a connection, in a task of its own, which keeps nothing else.
    fn part(&self, line: Line, gone: Gone) {
        // What waits there is kept by the session as well, or for nobody, and would be charged to nobody.
        if line.queued() > FAREWELL_BYTES_MAX {
            return;
        }
        let parting = self.runner.parting.clone();
        self.runner.tasks.spawn(async move { line.part_because(gone, &parting).await });
    }

    /// Waits for the client.
    async fn away(&mut self) -> Next {
        let (id, since) = (self.id, now());
        let hub = self.runner.hub.clone();
        let Some(absence) = self.place.leave() else {
            hub.metrics.hit(Limit::SocketIoRecoveries);
            return Next::End(None);
        };
        tracing::debug!(session = id, "session away");
        hub.set_away(since, id, true);
        let next = self.wait(since + self.place.recoveries.config.window).await;
        drop(absence);
        if let Next::Attached(_) = next {
            hub.set_away(now(), id, false);
            let away_ms = now().saturating_duration_since(since).as_millis();
            if let Some(unsaid) = self.runner.logs.resumed.line(now()) {
                tracing::info!(session = id, %away_ms, unsaid, "session resumed");
            }
        }
        next
    }

    async fn wait(&mut self, until: Instant) -> Next {
        loop {
            tokio::task::consume_budget().await;
            self.push();
            for message in self.said.messages() {
                if let Err(Full) = self.recovery.said(message) {
                    self.runner.hub.metrics.hit(Limit::SocketIoRecoveryBytes);
                    return Next::End(None);
                }
            }
            self.settle(0);
            if self.said.has_ended() {
                return Next::End(None);
            }
            let Self { arrivals, way, said, to_session, .. } = self;
            tokio::select! {
                biased;
                Some(arrival) = arrivals.recv() => return self.accept(arrival),
                () = sleep_until(until.into()) => {
                    self.runner.hub.metrics.resume_expired.inc();
                    return Next::End(None);
                }
                _ = way.writable(), if !to_session.is_empty() => {}
                () = said.read() => {}
            }
        }
    }

    /// Ends the session, if it has not ended, and gives connections back that are for others.
    async fn end(mut self: Box<Self>, line: Option<Box<Line>>, late: Option<Box<Arrival>>) {
        // Nobody is sent here any more.
        drop(self.place);
        let parting = self.runner.parting.clone();
        let mut has_ended = false;
        let ends = async {
            // What the client has said before it went still holds.
            while !self.to_session.is_empty() {
                let _ = self.way.writable().await;
                match self.way.try_write_vectored(&[IoSlice::new(&self.to_session)]) {
                    Ok(written) => self.to_session.advance(written),
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => {}
                    Err(_) => break,
                }
            }
            self.way.shutdown();
            // What it still says is for nobody, and must not hold it up.
            while !has_ended && !self.said.has_ended() {
                tokio::select! {
                    _ = &mut self.ended => has_ended = true,
                    () = self.said.read() => drop(self.said.messages()),
                }
            }
        };
        parting.wait(LINGER, ends).await;
        // What it does from here on fails.
        drop((self.said, self.way));
        if !has_ended {
            let _ = timeout(LINGER, self.ended).await;
        }
        self.arrivals.close();
        let mut late = late;
        while let Some(arrival) = late {
            let Arrival { line, back, .. } = *arrival;
            // Its client may have gone.
            let _ = back.send(line);
            late = self.arrivals.recv().await;
        }
        if let Some(line) = line {
            line.part(&parting).await;
        }
    }
}
