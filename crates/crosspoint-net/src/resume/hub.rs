//! The hub's side: sessions whose connections may change.
//!
//! One task for each session, which is the task of its first connection. Later connections are
//! handed over to it. The session itself is an ordinary one and knows nothing of this.

use super::carrier::{Carrier, Parted};
use super::core::{Agreed, Flow, Side, silence_max};
use super::link::{Fault, Link};
use super::receipt::{Receipt, Why};
use super::record::{Accepted, Gone, MAGIC, Open, Record, VERSION, millis};
use super::registry::{Bounds, Found, Registry, Tombstone};
use super::token::{Known, Token};
use super::{Config, RETAINED_BYTES};
use crate::absences::{self, Absences};
use crate::driving::Carrying;
use crate::gateway::{
    Carrier as Carries, Connection, Context, Gateway, Match, Opened, Opening, Refused, Transport,
};
use crate::held::{self, Held};
use crate::memory;
use crate::outlet::now;
use crate::parting::LINGER;
use crate::remote::Remote;
use crate::runner::Runner;
use crate::session::SessionEnds;
use crate::stream::Stream;
use bytes::Bytes;
use crosspoint_hub::endpoint::Endpoint;
use crosspoint_hub::ledger::Charge;
use crosspoint_hub::limits::Bounded;
use crosspoint_hub::wire::FrameWriter;
use crosspoint_hub::{Hub, Limit, Limits, Reason};
use crosspoint_proto::identity::ChannelBinding;
use std::net::IpAddr;
use std::pin::Pin;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::oneshot::error::RecvError;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A connection that asks to go on with a session.
#[derive(Debug)]
struct Arrival {
    link: Link,
    open: Open,
}

/// For how long a session that can be resumed is waited for.
#[derive(Debug, Clone, Copy)]
struct Patience {
    /// How long its client may be away.
    pub(crate) away_max: Duration,
    /// The least time for which the client may take nothing: a connection that has frozen takes
    /// nothing until that is noticed.
    pub(crate) stall_min: Duration,
}

/// The sessions of a server that can be resumed. Cheap to clone.
#[derive(Debug, Clone)]
struct Sessions {
    config: Config,
    registry: Arc<Mutex<Registry<mpsc::Sender<Box<Arrival>>>>>,
}

impl Sessions {
    pub(crate) fn new(config: &Config, limits: &Limits) -> Self {
        let mut config = config.clone();
        let (least, most) = RETAINED_BYTES;
        config.retained_bytes_max = config.retained_bytes_max.clamp(least, most);
        config.heartbeat = config.heartbeat.max(Duration::from_millis(1));
        let absences = Absences::new(config.detached_max, limits);
        let bounds = Bounds { tombstones_max: config.tombstones_max, tombstone: config.tombstone };
        Self { config, registry: Arc::new(Mutex::new(Registry::new(bounds, absences))) }
    }

    /// How much patience there is with the client of a session. Its own heartbeats must not give it up
    /// meanwhile; that the connection lives is seen to here.
    fn patience(&self, agreed: Agreed) -> Patience {
        let away_max = silence_max(agreed.heartbeat) + self.config.window;
        // A client that wishes to be asked seldom may not read seldom for that.
        let noticed = silence_max(agreed.heartbeat.min(self.config.heartbeat));
        Patience { away_max, stall_min: 2 * noticed }
    }

    fn lock(&self) -> MutexGuard<'_, Registry<mpsc::Sender<Box<Arrival>>>> {
        // What it guards is consistent between any two statements that could panic.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a new session is to have, whose client asks for so many milliseconds between probes, or
    /// for nothing.
    fn agreed(&self, hub: &Hub, heartbeat_ms: u32) -> Agreed {
        let Config { retained_bytes_max: window, heartbeat: usual, .. } = self.config;
        let heartbeat = match heartbeat_ms {
            0 => usual,
            wish => {
                let wish = Duration::from_millis(wish.into());
                let Bounded { value, limit } = hub.limits.heartbeat_within(usual, wish);
                if let Some(limit) = limit {
                    hub.metrics.hit(limit);
                }
                value
            }
        };
        Agreed { window, heartbeat }
    }
}

/// Serves sessions of another protocol that survive their connections.
#[derive(Debug, Clone)]
pub struct Resumable {
    /// How, if they are served.
    config: Option<Config>,
    /// What is spoken in them.
    inner: Arc<dyn Gateway>,
    /// Those that there are, at a server.
    host: Option<Host>,
}

impl Resumable {
    /// Sessions that speak what `inner` opens, which is a session. `None`: they are not resumed.
    pub fn new(config: Option<Config>, inner: impl Gateway + 'static) -> Self {
        Self { config, inner: Arc::new(inner), host: None }
    }
}

impl Gateway for Resumable {
    fn name(&self) -> &'static str {
        "resume"
    }

    /// They bear that of what is spoken in them.
    fn has_sessions(&self) -> bool {
        false
    }

    fn for_server(&self, runner: &Arc<Runner>) -> Option<Arc<dyn Gateway>> {
        let host = self.config.as_ref().map(|config| Host {
            runner: runner.clone(),
            sessions: Sessions::new(config, &runner.hub.limits),
            inner: self.inner.clone(),
        });
        Some(Arc::new(Self { host, ..self.clone() }))
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        match opening {
            Opening::Stream(bytes) | Opening::WebSocket { bytes, .. } => Match::mark(bytes, &MAGIC),
            Opening::Upgrade(_) => Match::No,
        }
    }

    fn open(&self, _context: &Context<'_>) -> Result<Opened, Refused> {
        match &self.host {
            Some(host) => Ok(Opened::Carried(Box::new(host.clone()))),
            None => Err(Refused::unknown("sessions are not resumed here (resume.enabled)")),
        }
    }

    fn refusal(&self, reason: Reason) -> Option<Bytes> {
        let mut out = FrameWriter::default();
        Record::Refused(reason).put(&mut out);
        Some(out.take().first)
    }
}

impl Carries for Host {
    fn carry(
        self: Box<Self>,
        connection: Connection,
        _runner: Arc<Runner>,
    ) -> Pin<Box<dyn Future<Output = Reason> + Send>> {
        Box::pin(async move {
            let Connection {
                reader, writer, websocket, first, address, process, admission, ..
            } = connection;
            let link = Link::accepted((reader, writer), websocket, first, admission);
            self.serve(link, Remote { process, ..Remote::new(address) }).await
        })
    }
}

/// The sessions of one server that can be resumed, and what runs them. Cheap to clone.
#[derive(Debug, Clone)]
struct Host {
    runner: Arc<Runner>,
    sessions: Sessions,
    inner: Arc<dyn Gateway>,
}

impl Host {
    /// Serves a connection that speaks of a session which can be resumed. It may have been handed
    /// over to another task when this returns.
    async fn serve(&self, mut link: Link, remote: Remote) -> Reason {
        let Runner { hub, parting, .. } = &*self.runner;
        let held = Held::new(hub, remote);
        let opened = tokio::select! {
            opened = timeout(hub.limits.handshake_max, opened(&mut link, held)) => opened,
            () = parting.stop.cancelled() => return Reason::HubStopping,
        };
        let open = match opened {
            Ok(Ok(open)) => open,
            Ok(Err(refused)) => return self.turn_down(link, refused),
            Err(_elapsed) => {
                hub.metrics.hit(Limit::Handshake);
                return Reason::HandshakeTimeout;
            }
        };
        let arrival = Box::new(Arrival { link, open });
        match arrival.open.token {
            Token::NEW => self.begin(arrival, remote).await,
            _ => self.go_on(arrival).await,
        }
    }

    /// A new session.
    async fn begin(&self, arrival: Box<Arrival>, remote: Remote) -> Reason {
        let Self { runner, sessions, .. } = self;
        let mut token = [0; 16];
        if let Err(error) = getrandom::fill(&mut token) {
            if let Some(unsaid) = self.runner.logs.not_resumed.line(now()) {
                tracing::error!(%error, unsaid, "no randomness for the token of a session");
            }
            return self.turn_down(arrival.link, Reason::Internal);
        }
        let connection = arrival.link.writer.channel_binding();
        let bound = Token::NEW.is_proven(connection, arrival.open.proof);
        let known = Known { token: Token::new(token), bound };
        let agreed = sessions.agreed(&runner.hub, arrival.open.heartbeat_ms);
        let patience = sessions.patience(agreed);
        let context = Context {
            away_max: patience.away_max,
            // The session is proven over its first connection. If it is bound, so are the others.
            channel_binding: match connection {
                ChannelBinding::Exporter(_) if !bound => ChannelBinding::Unavailable,
                connection => connection,
            },
            ..Context::new(runner, Transport::Stream, remote.address)
        };
        let session = match self.inner.open(&context) {
            Ok(Opened::Session(session)) => session,
            Ok(Opened::Carried(_)) => return self.turn_down(arrival.link, Reason::Internal),
            Err(refused) => return self.turn_down(arrival.link, refused.reason),
        };
        let name = session.wire.profile().name;
        let charge = match held::beside_session(&runner.hub, remote, name, RESUMABLE_BYTES) {
            Ok(charge) => charge,
            Err(reason) => return self.turn_down(arrival.link, reason),
        };
        let (way_in, arrivals) = mpsc::channel(1);
        if !sessions.lock().add(known.found_by(), way_in) {
            return self.turn_down(arrival.link, Reason::Internal);
        }
        let limits = &runner.hub.limits;
        let place = Place {
            sessions: sessions.clone(),
            hub: runner.hub.clone(),
            known,
            address: absences::known_by(limits, remote.ip()),
            away: false,
        };
        let (drivers_end, end) = memory::way();
        let (tell_end, ends) = oneshot::channel();
        let stall_max = limits.outbox_stall_max.max(patience.stall_min);
        let way = Stream::from(drivers_end).into_split();
        let carrying = Carrying {
            remote,
            // As its proof, what the client has shown is that of its first connection.
            certificate: arrival.link.writer.client_certificate(),
            halves: way,
            websocket: None,
            stall_min: patience.stall_min,
            tell_end: Some(tell_end),
            transport: Some(arrival.link.transport()),
        };
        let driver = runner.driver(session, carrying);
        let endpoint = driver.session.endpoint().clone();
        let (id, session) = (endpoint.id, Arc::downgrade(&endpoint));
        let flow = Flow::new(now(), Side::Hub, agreed);
        let carrier = Carrier::new(flow, end.into(), self.runner.parting.longest());
        let carrier = carrier.counted_by(runner.hub.clone(), remote.ip(), &endpoint, stall_max);
        drop(endpoint);
        let own = runner.clone();
        runner.tasks.spawn(async move {
            own.drive(driver).await;
        });
        // A pointer, as asynchronous functions that pass it on hold it several times.
        let keeper = Box::new(Keeper {
            host: self.clone(),
            place,
            id,
            session,
            carrier,
            arrivals,
            stop: runner.parting.stop.clone(),
            stopping: false,
            ends,
            ended: None,
            late: None,
            _charge: charge,
        });
        keeper.run(arrival).await
    }

    /// A session that is there already, or was.
    async fn go_on(&self, mut arrival: Box<Arrival>) -> Reason {
        let Self { runner, sessions, .. } = self;
        let deadline = now() + runner.hub.limits.handshake_max;
        loop {
            let found = sessions.lock().find(now(), arrival.open.token);
            let tombstone = match found {
                Found::Alive(way) => {
                    let sent = tokio::select! {
                        sent = tokio::time::timeout_at(deadline.into(), way.send(arrival)) => sent,
                        () = runner.parting.stop.cancelled() => return Reason::HubStopping,
                    };
                    match sent {
                        // Its task goes on with the connection.
                        Ok(Ok(())) => return Reason::Bye,
                        // It has just ended. What is left of it is found now, or nothing if a
                        // panic ended it.
                        Ok(Err(back)) => {
                            arrival = back.0;
                            sessions.lock().turn_away(arrival.open.token);
                        }
                        Err(_elapsed) => return Reason::HandshakeTimeout,
                    }
                    continue;
                }
                Found::Dead(tombstone) => Some(tombstone),
                Found::Nothing => None,
            };
            self.tell_gone(*arrival, tombstone);
            return Reason::ConnectionLost;
        }
    }

    /// Says why a connection is not wanted, and closes it.
    fn turn_down(&self, mut link: Link, reason: Reason) -> Reason {
        if reason != Reason::ConnectionLost {
            link.say(Record::Refused(reason));
            self.part(link);
        }
        reason
    }

    /// Says to a connection what has become of the session.
    fn tell_gone(&self, Arrival { mut link, open }: Arrival, tombstone: Option<Tombstone>) {
        let gone = match tombstone {
            Some(Tombstone { why, received, sent, more }) => {
                let receipt = Receipt {
                    why,
                    we_sent: sent,
                    we_received: received,
                    acknowledged: open.received.bytes,
                    they_received: Some(open.received),
                    they_sent: Some(open.sent),
                    more: false,
                };
                if let Some(unsaid) = self.runner.logs.not_resumed.line(now()) {
                    tracing::info!(%receipt, unsaid, "a client came back to a session that has ended");
                }
                Gone { why, totals: Some((received, sent)), more }
            }
            None => Gone { why: Why::Unknown, totals: None, more: false },
        };
        link.say(Record::Gone(gone));
        self.part(link);
    }

    /// Closes a connection when it has taken what was said. That may take a while, so it is done in a task of
    /// its own, which keeps nothing else.
    fn part(&self, link: Link) {
        let parting = self.runner.parting.clone();
        self.runner.tasks.spawn(async move { parting.wait(LINGER, link.part(LINGER)).await });
    }
}

/// Reads the first record.
async fn opened(link: &mut Link, mut held: Held) -> Result<Open, Reason> {
    let wrong = |fault: Fault| match fault {
        Fault::Lost(_) => Reason::ConnectionLost,
        Fault::Record(_) | Fault::WebSocket(_) => Reason::Malformed,
    };
    link.input().skip(MAGIC.len());
    loop {
        match link.next().map_err(wrong)? {
            Some(Record::Open(Open { version, .. })) if version != VERSION => {
                return Err(Reason::VersionUnsupported);
            }
            Some(Record::Open(open)) => return Ok(open),
            Some(_) => return Err(Reason::Malformed),
            None => {
                held.settle(link.held())?;
                if let Some(until) = link.websocket().and_then(|it| held.count(it)) {
                    tokio::time::sleep_until(until.into()).await;
                }
                link.read().await.map_err(wrong)?;
            }
        }
    }
}

/// A session's place among those that can be resumed, given up when this is dropped: also by a panic,
/// or its client would be sent to a task that is gone.
struct Place {
    sessions: Sessions,
    hub: Arc<Hub>,
    known: Known,
    /// Where its first connection came from, if limits per address hold there.
    address: Option<IpAddr>,
    away: bool,
}

impl Place {
    /// The connection is away. Gives whether that may be.
    fn leave(&mut self) -> bool {
        self.away = self.sessions.lock().absences.away(self.address);
        if self.away {
            self.hub.metrics.sessions_away.inc();
        }
        self.away
    }

    /// It is not away any more.
    fn come_back(&mut self) {
        if std::mem::replace(&mut self.away, false) {
            self.sessions.lock().absences.back(self.address);
            self.hub.metrics.sessions_away.dec();
        }
    }

    /// The session has ended, and is remembered.
    fn bury(&self, tombstone: Tombstone) {
        self.sessions.lock().bury(now(), self.known.found_by(), tombstone);
    }

    /// The session has ended, and nothing is remembered of it.
    fn turn_away(&self) {
        self.sessions.lock().turn_away(self.known.found_by());
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.come_back();
        self.turn_away();
    }
}

/// What a session that can be resumed takes besides the session itself, when nothing is kept: the task that
/// keeps it, and the way between that and the session's own task.
const RESUMABLE_BYTES: usize = 8 * 1024;

/// Keeps one session, whatever connection it has.
struct Keeper {
    _charge: Charge,
    host: Host,
    place: Place,
    /// The session's number in the logs.
    id: u64,
    /// Lives as long as the session.
    session: Weak<Endpoint>,
    carrier: Carrier,
    /// Pointers, as the channel has places for many.
    arrivals: mpsc::Receiver<Box<Arrival>>,
    stop: CancellationToken,
    stopping: bool,
    ends: oneshot::Receiver<SessionEnds>,
    /// Set as soon as the session ends, whatever it still has to say.
    ended: Option<SessionEnds>,
    /// A connection for a session that has ended.
    late: Option<Box<Arrival>>,
}

/// How a session goes on.
enum Next {
    /// Over this connection.
    Attached(Box<Link>),
    /// Without one.
    Away,
    /// Not at all.
    End(Why, Option<Box<Link>>),
}

impl Keeper {
    async fn run(mut self: Box<Self>, arrival: Box<Arrival>) -> Reason {
        let mut next = match self.accept(arrival) {
            Some(link) => Next::Attached(link),
            None => Next::End(Why::Ended(Reason::Malformed), None),
        };
        loop {
            next = match next {
                Next::Attached(link) => self.attached(link).await,
                Next::Away => self.away().await,
                Next::End(why, link) => return self.end(why, link).await,
            };
        }
    }

    /// Takes a connection over, if what it says fits.
    fn accept(&mut self, arrival: Box<Arrival>) -> Option<Box<Link>> {
        let Arrival { mut link, open } = *arrival;
        let Known { token, bound } = self.place.known;
        let flow = &self.carrier.flow;
        let refused = if self.stopping {
            Some(Reason::HubStopping)
        } else if open.token != Token::NEW
            && bound
            && !token.is_proven(link.writer.channel_binding(), open.proof)
        {
            Some(Reason::Unbound)
        } else if !flow.fits(open.received.bytes, open.sent.bytes) {
            Some(Reason::Malformed)
        } else {
            None
        };
        let (sent, received) = flow.totals();
        if let Some(reason) = refused {
            if let Some(unsaid) = self.host.runner.logs.not_resumed.line(now()) {
                tracing::warn!(session = self.id, %reason, ?open, ?sent, ?received, unsaid, "not resumed");
            }
            self.host.turn_down(link, reason);
            return None;
        }
        let attached = self.carrier.attach(open.received.bytes, received.bytes);
        attached.expect("what fits can be attached");
        let config = &self.place.sessions.config;
        link.say(Record::Accepted(Accepted {
            token,
            received: received.bytes,
            sent: sent.bytes,
            window_ms: millis(config.window),
            retained_bytes_max: config.retained_bytes_max,
            heartbeat_ms: millis(self.carrier.flow.interval()),
            bound,
        }));
        if open.token != Token::NEW {
            self.host.runner.hub.metrics.resumed.inc();
            if let Some(endpoint) = self.session.upgrade() {
                endpoint.set_transport(link.transport());
            }
        }
        Some(Box::new(link))
    }

    async fn attached(&mut self, mut link: Box<Link>) -> Next {
        loop {
            let parted = tokio::select! {
                biased;
                // First, so that nobody is let in to a session that has ended.
                ends = &mut self.ends, if self.ended.is_none() => {
                    let reason = self.note_end(ends);
                    if is_unsaid(reason) {
                        return Next::End(Why::Ended(reason), Some(link));
                    }
                    // However much is in front of its last words.
                    self.carrier.hurry();
                    continue;
                }
                Some(arrival) = self.arrivals.recv() => {
                    if let Some(ended) = self.ended {
                        self.late = Some(arrival);
                        return Next::End(Why::Ended(ended.reason), Some(link));
                    }
                    // The newest wins; the old one may be half dead without our knowing.
                    if let Some(new) = self.accept(arrival) {
                        tracing::debug!(session = self.id, "session goes on over another connection");
                        self.host.turn_down(*link, Reason::Replaced);
                        return Next::Attached(new);
                    }
                    continue;
                }
                () = self.stop.cancelled(), if !self.stopping => {
                    // The session says goodbye by itself.
                    self.stopping = true;
                    if let Some(left) = self.host.runner.parting.left() {
                        self.carrier.hurry_more(left);
                    }
                    continue;
                }
                parted = self.carrier.carry(&mut link) => parted,
            };
            let reason = match parted {
                Parted::Lost => {
                    return match self.ended {
                        // The hub waits for nobody who has no session.
                        Some(ended) => Next::End(Why::Ended(ended.reason), None),
                        None => Next::Away,
                    };
                }
                Parted::SessionEnded => {
                    let reason = self.reason().await;
                    if is_unsaid(reason) {
                        return Next::End(Why::Ended(reason), Some(link));
                    }
                    self.carrier.hang_up();
                    self.carrier.finish();
                    continue;
                }
                Parted::Stalled => {
                    if let Some(endpoint) = self.session.upgrade() {
                        endpoint.give_up(Limit::OutboxStall);
                    }
                    self.reason().await
                }
                Parted::Done | Parted::Overdue => {
                    self.ended.map_or(Reason::Bye, |ended| ended.reason)
                }
                Parted::Broken(broken) => {
                    if let Some(unsaid) = self.host.runner.logs.closed.line(now()) {
                        tracing::warn!(session = self.id, %broken, unsaid, "session broken");
                    }
                    Reason::Malformed
                }
                Parted::Gone(_) | Parted::Refused(_) => Reason::Malformed,
            };
            return Next::End(Why::Ended(reason), Some(link));
        }
    }

    /// Waits for the client.
    async fn away(&mut self) -> Next {
        let (id, since) = (self.id, now());
        if !self.place.leave() {
            self.host.runner.hub.metrics.hit(Limit::ResumeDetached);
            return Next::End(Why::TooManyAway, None);
        }
        tracing::debug!(session = id, "session away");
        let hub = &self.host.runner.hub;
        hub.set_away(since, id, true);
        let next = self.wait(since + self.place.sessions.config.window).await;
        self.place.come_back();
        let hub = &self.host.runner.hub;
        if let Next::Attached(_) = next {
            hub.set_away(now(), id, false);
            let away = now().saturating_duration_since(since);
            if let Some(unsaid) = self.host.runner.logs.resumed.line(now()) {
                tracing::info!(session = id, away_ms = millis(away), unsaid, "session resumed");
            }
        }
        next
    }

    async fn wait(&mut self, until: Instant) -> Next {
        loop {
            let reason = tokio::select! {
                biased;
                ends = &mut self.ends => self.note_end(ends),
                Some(arrival) = self.arrivals.recv() => {
                    if let Some(link) = self.accept(arrival) {
                        return Next::Attached(link);
                    }
                    continue;
                }
                () = self.stop.cancelled() => Reason::HubStopping,
                () = tokio::time::sleep_until(until.into()) => return Next::End(Why::Expired, None),
                () = self.carrier.keep() => self.reason().await,
            };
            return Next::End(Why::Ended(reason), None);
        }
    }

    /// Why the session has ended, whose last byte has come.
    async fn reason(&mut self) -> Reason {
        match self.ended {
            Some(ended) => ended.reason,
            None => {
                let ends = (&mut self.ends).await;
                self.note_end(ends)
            }
        }
    }

    fn note_end(&mut self, ends: Result<SessionEnds, RecvError>) -> Reason {
        // A session that has panicked says nothing.
        let ended = ends.unwrap_or_else(|_| {
            let let_in = self.was_let_in();
            SessionEnds { reason: Reason::Internal, let_in }
        });
        self.ended = Some(ended);
        ended.reason
    }

    /// Ends the session if it has not ended, and remembers what became of it.
    async fn end(mut self: Box<Self>, why: Why, link: Option<Box<Link>>) -> Reason {
        let let_in = self.was_let_in();
        // More may wait behind what is full, and may be thrown away with the session.
        let full = self.carrier.flow.is_full();
        // A client that has said goodbye, or was told so, needs no more.
        let knows = self.carrier.flow.is_told() || self.carrier.flow.is_over();
        // What nobody will get is given back before anybody is waited for.
        self.carrier.give_up(link.as_deref());
        let parting = self.host.runner.parting.clone();
        let until = now() + LINGER;
        let until = match self.stopping {
            true => self.carrier.until().map_or(until, |stopped| until.min(stopped)),
            false => until,
        };
        parting.wait(LINGER, self.carrier.drain(until)).await;
        let Self { id, host, place, carrier, mut arrivals, late, _charge, .. } = *self;
        let slow = why == Why::Ended(Reason::SlowReceiver);
        let more = full || slow;
        let (sent, received) = carrier.flow.totals();
        let acknowledged = carrier.flow.acknowledged();
        drop(carrier);
        let tombstone = Tombstone { why, received, sent, more };
        match let_in {
            true => place.bury(tombstone),
            false => place.turn_away(),
        }
        if !matches!(why, Why::Ended(_)) {
            let receipt = Receipt {
                why,
                we_sent: sent,
                we_received: received,
                acknowledged,
                they_received: None,
                they_sent: None,
                more: false,
            };
            if let Some(unsaid) = host.runner.logs.not_resumed.line(now()) {
                tracing::info!(session = id, %receipt, unsaid, "session not resumed");
            }
            host.runner.hub.metrics.resume_expired.inc();
        }
        // A carrier that knocked in the last moment.
        arrivals.close();
        let mut knocked = late;
        while let Some(arrival) = knocked {
            host.tell_gone(*arrival, Some(tombstone));
            knocked = arrivals.recv().await;
        }
        if let Some(mut link) = link {
            if !knows {
                link.say(Record::Gone(Gone { why, totals: Some((received, sent)), more }));
            }
            let longest = until.saturating_duration_since(now());
            parting.wait(longest, link.part(longest)).await;
        }
        match why {
            Why::Ended(reason) => reason,
            _ => Reason::ConnectionLost,
        }
    }

    fn was_let_in(&self) -> bool {
        match (self.ended, self.session.upgrade()) {
            (Some(ended), _) => ended.let_in,
            (None, Some(endpoint)) => endpoint.peer().is_some(),
            (None, None) => false,
        }
    }
}

/// Whether a session that ends for a reason says nothing more to its client.
fn is_unsaid(reason: Reason) -> bool {
    matches!(reason, Reason::ConnectionLost | Reason::SlowReceiver | Reason::Internal)
}
