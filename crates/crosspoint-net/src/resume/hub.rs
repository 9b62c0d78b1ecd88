//! The hub's side: sessions whose connections may change.
//!
//! One task for each session, which is the task of its first connection. Later connections are
//! handed over to it. The session itself is an ordinary one and knows nothing of this.

use super::carrier::{Carrier, Parted, way};
use super::core::{Agreed, Flow, Side, silence_max};
use super::link::{Fault, Link};
use super::receipt::{Receipt, Why};
use super::record::{Accepted, Gone, MAGIC, Open, Record, Token, VERSION, millis};
use super::registry::{Bounds, Found, Registry, Tombstone};
use super::{RETAINED_BYTES, Settings};
use crate::log_limit::Logs;
use crate::outlet::now;
use crate::remote::Remote;
use crate::server::Server;
use crate::session::LINGER;
use crosspoint_hub::limits::Bounded;
use crosspoint_hub::outbox::Outbox;
use crosspoint_hub::{Hub, Limits, Reason};
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, Weak};
use std::time::{Duration, Instant};
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

/// A connection that asks to go on with a session.
#[derive(Debug)]
pub(crate) struct Arrival {
    link: Link,
    open: Open,
}

/// For how long a session that can be resumed is waited for.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// How long its client may be away.
    pub(crate) away_max: Duration,
    /// The least time for which the client may take nothing: a connection that has frozen takes
    /// nothing until that is noticed.
    pub(crate) stall_min: Duration,
}

/// The sessions of a server that can be resumed. Cheap to clone.
#[derive(Debug, Clone)]
pub(crate) struct Sessions {
    settings: Settings,
    registry: Arc<Mutex<Registry<mpsc::Sender<Arrival>>>>,
}

impl Sessions {
    pub(crate) fn new(settings: &Settings, limits: &Limits) -> Self {
        let mut settings = settings.clone();
        let (least, most) = RETAINED_BYTES;
        settings.retained_bytes_max = settings.retained_bytes_max.clamp(least, most);
        settings.heartbeat = settings.heartbeat.max(Duration::from_millis(1));
        let per_address_max = match limits.connections_per_address_max {
            0 => u32::MAX,
            most => most,
        };
        let bounds = Bounds {
            detached_max: settings.detached_max,
            per_address_max,
            tombstones_max: settings.tombstones_max,
            tombstone: settings.tombstone,
        };
        Self { settings, registry: Arc::new(Mutex::new(Registry::new(bounds))) }
    }

    /// How much patience there is with the client of a session. Its own heartbeats must not give it up
    /// meanwhile; that the connection lives is seen to here.
    fn patience(&self, agreed: Agreed) -> Patience {
        let away_max = silence_max(agreed.heartbeat) + self.settings.window;
        // Whoever wishes to be asked seldom may not read seldom for that.
        let noticed = silence_max(agreed.heartbeat.min(self.settings.heartbeat));
        Patience { away_max, stall_min: 2 * noticed }
    }

    fn lock(&self) -> MutexGuard<'_, Registry<mpsc::Sender<Arrival>>> {
        // What it guards is consistent between any two statements that could panic.
        self.registry.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// What a new session is to have, whose client wishes for so many milliseconds between signs of
    /// life, or for nothing.
    fn agreed(&self, hub: &Hub, heartbeat_ms: u32) -> Agreed {
        let Settings { retained_bytes_max: window, heartbeat: usual, .. } = self.settings;
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

impl Server {
    /// Serves a connection that speaks of a session which can be resumed. It may have been handed
    /// over to another task when this returns.
    pub(crate) async fn resumable(&self, mut link: Link, remote: Remote) -> Reason {
        let Some(sessions) = &self.resume else {
            return Reason::UnknownProtocol;
        };
        let opened = tokio::select! {
            opened = timeout(self.hub.limits.handshake_max, opened(&mut link)) => opened,
            () = self.stop.cancelled() => return Reason::HubStopping,
        };
        let open = match opened {
            Ok(Ok(open)) => open,
            Ok(Err(refused)) => return refuse(link, refused).await,
            Err(_elapsed) => {
                self.hub.metrics.hit("handshake_ms_max");
                return Reason::HandshakeTimeout;
            }
        };
        if open.token == Token::NEW {
            return self.begin(sessions, Arrival { link, open }, remote).await;
        }
        self.go_on(sessions, Arrival { link, open }).await
    }

    /// A new session.
    async fn begin(&self, sessions: &Sessions, arrival: Arrival, remote: Remote) -> Reason {
        let mut token = [0; 16];
        if let Err(error) = getrandom::fill(&mut token) {
            if let Some(unsaid) = self.logs.not_resumed.line(now()) {
                tracing::error!(%error, unsaid, "no randomness for the token of a session");
            }
            return refuse(arrival.link, Reason::Internal).await;
        }
        let token = Token::new(token);
        let (way_in, arrivals) = mpsc::channel(1);
        if !sessions.lock().add(token, way_in) {
            return refuse(arrival.link, Reason::Internal).await;
        }
        let limits = &self.hub.limits;
        let known = limits.known_by(remote.ip());
        let place = Place {
            sessions: sessions.clone(),
            hub: self.hub.clone(),
            token,
            address: known.filter(|_| limits.connections_per_address_max > 0),
            away: false,
        };
        let (drivers_end, end) = way();
        let agreed = sessions.agreed(&self.hub, arrival.open.heartbeat_ms);
        let driver = self.resumable_driver(remote, drivers_end, sessions.patience(agreed));
        let outbox = driver.session.outbox().clone();
        let (id, session) = (outbox.id, Arc::downgrade(&outbox));
        let account = outbox.account().clone();
        let (tell, ended) = oneshot::channel();
        self.tasks.spawn(async move {
            let reason = Self::drive(driver, bytes::BytesMut::new(), false).await;
            // The carrier does not care any more if it has ended before.
            let _ = tell.send((reason, outbox.peer().is_some()));
        });
        let flow = Flow::new(now(), Side::Hub, agreed);
        let carrier = Carrier::new(flow, end, self.options.flush_max);
        let keeper = Keeper {
            server: self.clone(),
            place,
            id,
            session,
            let_in: false,
            carrier: carrier.counted_by(self.hub.clone(), remote.ip(), &account),
            arrivals,
            stop: self.stop.clone(),
            stopping: false,
            ended,
            reason: None,
        };
        keeper.run(arrival).await
    }

    /// A session that is there already, or was.
    async fn go_on(&self, sessions: &Sessions, mut arrival: Arrival) -> Reason {
        let deadline = now() + self.hub.limits.handshake_max;
        loop {
            let found = sessions.lock().find(now(), arrival.open.token);
            let tombstone = match found {
                Found::Alive(way) => {
                    match tokio::time::timeout_at(deadline.into(), way.send(arrival)).await {
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
            arrival.tell_gone(tombstone, self.logs.clone()).await;
            return Reason::ConnectionLost;
        }
    }
}

/// Reads the first record.
async fn opened(link: &mut Link) -> Result<Open, Reason> {
    let wrong = |fault: Fault| match fault {
        Fault::Lost(_) => Reason::ConnectionLost,
        Fault::Record(_) | Fault::WebSocket(_) => Reason::Malformed,
    };
    link.input().skip(MAGIC.len());
    link.unwrap().map_err(wrong)?;
    loop {
        match link.next().map_err(wrong)? {
            Some(Record::Open(Open { version, .. })) if version != VERSION => {
                return Err(Reason::VersionUnsupported);
            }
            Some(Record::Open(open)) => return Ok(open),
            Some(_) => return Err(Reason::Malformed),
            None => link.read().await.map_err(wrong)?,
        }
    }
}

/// Says why a connection is not wanted, and closes it.
async fn refuse(mut link: Link, reason: Reason) -> Reason {
    if reason != Reason::ConnectionLost {
        link.say(Record::Refused(reason));
        link.part().await;
    }
    reason
}

impl Arrival {
    /// Says what has become of the session.
    async fn tell_gone(mut self, tombstone: Option<Tombstone>, logs: Arc<Logs>) {
        let gone = match tombstone {
            Some(Tombstone { why, received, sent, more }) => {
                let receipt = Receipt {
                    why,
                    we_sent: sent,
                    we_received: received,
                    acknowledged: self.open.received.bytes,
                    they_received: Some(self.open.received),
                    they_sent: Some(self.open.sent),
                    more: false,
                };
                if let Some(unsaid) = logs.not_resumed.line(now()) {
                    tracing::info!(%receipt, unsaid, "a client came back to a session that has ended");
                }
                Gone { why, totals: Some((received, sent)), more }
            }
            None => Gone { why: Why::Unknown, totals: None, more: false },
        };
        self.link.say(Record::Gone(gone));
        self.link.part().await;
    }
}

/// A session's place among those that can be resumed, given up when this is dropped: also by a panic,
/// or its client would be sent to a task that is gone.
struct Place {
    sessions: Sessions,
    hub: Arc<Hub>,
    token: Token,
    /// Where its first connection came from, if limits per address hold there.
    address: Option<IpAddr>,
    away: bool,
}

impl Place {
    /// The connection is away. Gives whether that may be.
    fn leave(&mut self) -> bool {
        self.away = self.sessions.lock().away(self.address);
        if self.away {
            self.hub.metrics.sessions_away.inc();
        }
        self.away
    }

    /// It is not away any more.
    fn come_back(&mut self) {
        if std::mem::replace(&mut self.away, false) {
            self.sessions.lock().back(self.address);
            self.hub.metrics.sessions_away.dec();
        }
    }

    /// The session has ended, and is remembered.
    fn bury(&self, tombstone: Tombstone) {
        self.sessions.lock().bury(now(), self.token, tombstone);
    }

    /// The session has ended, and nothing is remembered of it.
    fn turn_away(&self) {
        self.sessions.lock().turn_away(self.token);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.come_back();
        self.turn_away();
    }
}

/// Keeps one session, whatever connection it has.
struct Keeper {
    server: Server,
    place: Place,
    /// The session's number in the logs.
    id: u64,
    /// Lives as long as the session.
    session: Weak<Outbox>,
    /// Whether the session that has ended was let in.
    let_in: bool,
    carrier: Carrier,
    arrivals: mpsc::Receiver<Arrival>,
    stop: CancellationToken,
    stopping: bool,
    /// Why the session has ended, and whether it was let in.
    ended: oneshot::Receiver<(Reason, bool)>,
    reason: Option<Reason>,
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
    async fn run(mut self, arrival: Arrival) -> Reason {
        let mut next = match self.accept(arrival).await {
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
    async fn accept(&mut self, Arrival { mut link, open }: Arrival) -> Option<Box<Link>> {
        let flow = &self.carrier.flow;
        let refused = if self.stopping {
            Some(Reason::HubStopping)
        } else if !flow.fits(open.received.bytes, open.sent.bytes) {
            Some(Reason::Malformed)
        } else {
            None
        };
        let (sent, received) = flow.totals();
        if let Some(reason) = refused {
            if let Some(unsaid) = self.server.logs.not_resumed.line(now()) {
                tracing::warn!(session = self.id, %reason, ?open, ?sent, ?received, unsaid, "not resumed");
            }
            // In a task of its own, as it may take a while.
            self.server.tasks.spawn(refuse(link, reason));
            return None;
        }
        let attached = self.carrier.attach(open.received.bytes, received.bytes);
        attached.expect("what fits can be attached");
        let settings = &self.place.sessions.settings;
        link.say(Record::Accepted(Accepted {
            token: self.place.token,
            received: received.bytes,
            sent: sent.bytes,
            window_ms: millis(settings.window),
            retained_bytes_max: settings.retained_bytes_max,
            heartbeat_ms: millis(self.carrier.flow.interval()),
        }));
        if open.token != Token::NEW {
            self.server.hub.metrics.resumed.inc();
        }
        Some(Box::new(link))
    }

    async fn attached(&mut self, mut link: Box<Link>) -> Next {
        loop {
            let parted = tokio::select! {
                biased;
                Some(arrival) = self.arrivals.recv() => {
                    // The newest wins; the old one may be half dead without our knowing.
                    if let Some(new) = self.accept(arrival).await {
                        tracing::debug!(session = self.id, "session goes on over another connection");
                        self.server.tasks.spawn(refuse(*link, Reason::Replaced));
                        return Next::Attached(new);
                    }
                    continue;
                }
                () = self.stop.cancelled(), if !self.stopping => {
                    // The session says goodbye by itself.
                    self.stopping = true;
                    self.carrier.hurry();
                    continue;
                }
                parted = self.carrier.carry(&mut link) => parted,
            };
            let reason = match parted {
                Parted::Lost => return Next::Away,
                Parted::SessionEnded => {
                    if let Some(unsaid) = self.session_ended().await {
                        return Next::End(Why::Ended(unsaid), Some(link));
                    }
                    continue;
                }
                Parted::Done | Parted::Overdue => self.reason.unwrap_or(Reason::Bye),
                Parted::Broken(broken) => {
                    if let Some(unsaid) = self.server.logs.closed.line(now()) {
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
            self.server.hub.metrics.hit("resume.detached_max");
            return Next::End(Why::TooManyAway, None);
        }
        tracing::debug!(session = id, "session away");
        let hub = &self.server.hub;
        hub.set_away(since, id, true);
        let next = self.wait(since + self.place.sessions.settings.window).await;
        self.place.come_back();
        let hub = &self.server.hub;
        if let Next::Attached(_) = next {
            hub.set_away(now(), id, false);
            let away = now().saturating_duration_since(since);
            if let Some(unsaid) = self.server.logs.resumed.line(now()) {
                tracing::info!(session = id, away_ms = millis(away), unsaid, "session resumed");
            }
        }
        next
    }

    async fn wait(&mut self, until: Instant) -> Next {
        loop {
            let keeping = !self.carrier.has_ended();
            tokio::select! {
                biased;
                Some(arrival) = self.arrivals.recv() => {
                    if let Some(link) = self.accept(arrival).await {
                        return Next::Attached(link);
                    }
                }
                () = self.stop.cancelled() => {
                    return Next::End(Why::Ended(Reason::HubStopping), None);
                }
                () = tokio::time::sleep_until(until.into()) => return Next::End(Why::Expired, None),
                () = self.carrier.keep(), if keeping => {
                    if let Some(unsaid) = self.session_ended().await {
                        return Next::End(Why::Ended(unsaid), None);
                    }
                }
            }
        }
    }

    /// The session has sent its last byte. Gives the reason, if the session could not say it
    /// itself; otherwise the rest is to be sent.
    async fn session_ended(&mut self) -> Option<Reason> {
        self.carrier.hang_up();
        let flush_max = self.server.options.flush_max;
        let reason = match timeout(flush_max + LINGER, &mut self.ended).await {
            Ok(Ok((reason, let_in))) => {
                self.let_in = let_in;
                reason
            }
            Ok(Err(_)) | Err(_) => Reason::Internal,
        };
        self.reason = Some(reason);
        match reason {
            Reason::ConnectionLost | Reason::SlowReceiver | Reason::Internal => Some(reason),
            _ => {
                self.carrier.finish();
                None
            }
        }
    }

    /// Ends the session if it has not ended, and remembers what became of it.
    async fn end(mut self, why: Why, link: Option<Box<Link>>) -> Reason {
        let let_in = self.was_let_in();
        // More may wait behind what is full, and may be thrown away with the session.
        let full = self.carrier.flow.is_full();
        self.carrier.drain(LINGER.min(self.server.options.flush_max)).await;
        let more = full || self.reason == Some(Reason::SlowReceiver);
        let (sent, received) = self.carrier.flow.totals();
        let tombstone = Tombstone { why, received, sent, more };
        match let_in {
            true => self.place.bury(tombstone),
            false => self.place.turn_away(),
        }
        if !matches!(why, Why::Ended(_)) {
            let receipt = Receipt {
                why,
                we_sent: sent,
                we_received: received,
                acknowledged: self.carrier.flow.acknowledged(),
                they_received: None,
                they_sent: None,
                more: false,
            };
            if let Some(unsaid) = self.server.logs.not_resumed.line(now()) {
                tracing::info!(session = self.id, %receipt, unsaid, "session not resumed");
            }
            self.server.hub.metrics.resume_expired.inc();
        }
        // Whoever knocked in the last moment.
        self.arrivals.close();
        while let Some(arrival) = self.arrivals.recv().await {
            let logs = self.server.logs.clone();
            self.server.tasks.spawn(arrival.tell_gone(Some(tombstone), logs));
        }
        if let Some(mut link) = link {
            // Whoever has said goodbye, or was told so, needs no more.
            let flow = &self.carrier.flow;
            if !flow.is_told() && !flow.is_over() {
                let totals = Some((received, sent));
                link.say(Record::Gone(Gone { why, totals, more }));
            }
            link.part().await;
        }
        match why {
            Why::Ended(reason) => reason,
            _ => Reason::ConnectionLost,
        }
    }

    fn was_let_in(&mut self) -> bool {
        match self.session.upgrade() {
            Some(outbox) => outbox.peer().is_some(),
            None => self.let_in || self.ended.try_recv().is_ok_and(|(_, let_in)| let_in),
        }
    }
}
