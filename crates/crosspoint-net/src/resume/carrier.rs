//! Moves the bytes of one session between its driver and whatever connection there is. The same on
//! both sides.

use super::core::{Flow, Violation};
use super::link::{Fault, Link, QUEUE_BYTES_MAX};
use super::record::{Gone, Record, RecordError};
use crate::deadline::{FAR, reach};
use crate::outlet::now;
use crate::reading::read;
use crate::stream::{Reader, Stream, Writer};
use crate::turn::{self, Turn};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::endpoint::Endpoint;
use crosspoint_hub::ledger::{Purpose, Tab};
use crosspoint_hub::protocol::Measurement;
use crosspoint_hub::reading_rate::ReadingRate;
use crosspoint_hub::{Hub, Limit, Reason, Wire};
use crosspoint_proto::WIRE;
use std::io::{self, IoSlice};
use std::net::IpAddr;
use std::pin::pin;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};
use tokio::time::{sleep, sleep_until};

/// How long nothing more is taken from the driver when a budget of memory is exceeded, before that is looked at
/// again.
const HOLD_BACK: Duration = Duration::from_millis(10);

/// How much is put before a connection meanwhile.
const HELD_BACK_BYTES: usize = 8 * 1024;

/// Pieces handed on at once.
const PIECES_MAX: usize = 64;

/// How often is written and handed on before something else gets its turn.
const ROUNDS_MAX: usize = 16;

/// The carrier's end of the way to the session's driver.
#[derive(Debug)]
struct Pipe {
    reader: Reader,
    writer: Writer,
    /// The driver sends nothing more.
    ended: bool,
    /// The driver takes nothing more.
    deaf: bool,
}

/// A session's bytes, and the way to its driver.
#[derive(Debug)]
pub(crate) struct Carrier {
    pub(crate) flow: Flow,
    pipe: Pipe,
    /// How long the other side may take for what is left when the session ends.
    flush_max: Duration,
    /// When this connection is not carried over any longer.
    until: Option<Instant>,
    /// Who counts round trips.
    counted_by: Option<Arc<Hub>>,
    /// Whose round trips they are. It lives as long as the session.
    session: Option<Weak<Endpoint>>,
    /// How much the other side may send, if there is a bound.
    rate: Option<ReadingRate>,
    /// It has sent too much, and is not read before this.
    throttled: Option<Instant>,
    /// What has come is not all looked at.
    unheeded: bool,
    /// What is kept until it has arrived, where that is charged.
    tab: Option<Tab>,
    /// How long the other side may acknowledge nothing, if there is a bound.
    stall_max: Option<Duration>,
}

/// Why a connection is not carried over any longer.
#[derive(Debug)]
pub(crate) enum Parted {
    /// It is lost.
    Lost,
    /// The session's driver has sent its last byte.
    SessionEnded,
    /// Everything has arrived, and both sides know.
    Done,
    /// The other side did not take what was left in time.
    Overdue,
    /// The other side acknowledges nothing of what it gets.
    Stalled,
    /// The other side has broken the rules.
    Broken(Broken),
    /// The hub says that the session cannot go on.
    Gone(Gone),
    /// The hub does not want this connection.
    Refused(Reason),
}

/// How the rules were broken.
#[derive(Debug, thiserror::Error)]
pub(crate) enum Broken {
    #[error(transparent)]
    Violation(#[from] Violation),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("the WebSocket is broken: {0}")]
    WebSocket(crate::ws::WsError),
}

impl From<Fault> for Parted {
    fn from(fault: Fault) -> Self {
        match fault {
            Fault::Lost(_) => Self::Lost,
            Fault::Record(error) => Self::Broken(error.into()),
            Fault::WebSocket(error) => Self::Broken(Broken::WebSocket(error)),
        }
    }
}

impl From<io::Error> for Parted {
    fn from(_: io::Error) -> Self {
        Self::Lost
    }
}

impl Carrier {
    pub(crate) fn new(flow: Flow, end: Stream, flush_max: Duration) -> Self {
        let (reader, writer) = end.into_split();
        let pipe = Pipe { reader, writer, ended: false, deaf: false };
        Self {
            flow,
            pipe,
            flush_max,
            until: None,
            counted_by: None,
            session: None,
            rate: None,
            throttled: None,
            unheeded: false,
            tab: None,
            stall_max: None,
        }
    }

    /// Lets a hub count the round trips, and what comes from an endpoint that is at an address, and
    /// charge what is kept to the session. Who acknowledges nothing for `stall_max` has to go.
    pub(crate) fn counted_by(
        self,
        hub: Arc<Hub>,
        address: Option<IpAddr>,
        session: &Arc<Endpoint>,
        stall_max: Duration,
    ) -> Self {
        let rate = Some(ReadingRate::new(now(), &hub.limits, address));
        let tab = Some(Tab::new(session.account(), Purpose::Retained));
        self.pipe.writer.charge(session.account(), Purpose::Retained);
        let session = Some(Arc::downgrade(session));
        Self { counted_by: Some(hub), session, rate, tab, stall_max: Some(stall_max), ..self }
    }

    /// Has the memory charged that is held here and for a connection. The way to and from the driver does that by
    /// itself.
    fn settle(&mut self, link: Option<&Link>) {
        let Some(tab) = &mut self.tab else { return };
        tab.settle(self.flow.held() + link.map_or(0, Link::held));
        if let Some(hub) = &self.counted_by {
            hub.keep_to_budgets(now());
        }
    }

    /// Whether nothing more is to be taken from the driver for now: what many wait for exists once up to there, and
    /// once for each from there on. Above a budget that has to wait until those who hold most have ended.
    fn is_held_back(&self) -> bool {
        !self.pipe.ended && self.tab.as_ref().is_some_and(Tab::is_above_budget)
    }

    /// How much may wait to be written to the connection. Small pieces are copied for it, so that it is little
    /// where there is no memory.
    fn queue_max(&self) -> usize {
        if self.is_held_back() { HELD_BACK_BYTES } else { QUEUE_BYTES_MAX }
    }

    /// Drops at once what nobody will get. What waits for a connection is kept with that.
    pub(crate) fn give_up(&mut self, link: Option<&Link>) {
        self.flow.give_up();
        if let Some(tab) = &mut self.tab {
            tab.settle(link.map_or(0, Link::held));
        }
    }

    /// Whether the driver has sent its last byte.
    pub(crate) fn has_ended(&self) -> bool {
        self.pipe.ended
    }

    /// The session has ended in order: what is left is sent, and then the end.
    pub(crate) fn finish(&mut self) {
        self.flow.finish();
        self.hurry();
    }

    /// When the connection that there is will not be carried over any longer, if that is known.
    pub(crate) fn until(&self) -> Option<Instant> {
        self.until
    }

    /// The other side is to take what is left soon, over the connection that there is.
    pub(crate) fn hurry(&mut self) {
        self.until.get_or_insert(now() + self.flush_max);
    }

    /// The same, within this time, whatever it was before.
    pub(crate) fn hurry_more(&mut self, flush_max: Duration) {
        self.flush_max = flush_max;
        let until = now() + flush_max;
        self.until = Some(self.until.map_or(until, |before| before.min(until)));
    }

    /// Goes on over a new connection, as [`Flow::attach`].
    ///
    /// # Errors
    /// Those of [`Flow::attach`].
    pub(crate) fn attach(&mut self, received: u64, told: u64) -> Result<(), Violation> {
        self.flow.attach(now(), received, told)?;
        self.until = None;
        if self.pipe.ended {
            self.hurry();
        }
        Ok(())
    }

    /// Tells the driver that nothing more will come.
    pub(crate) fn hang_up(&self) {
        self.pipe.writer.shutdown();
    }

    /// Waits until the driver has ended as well, and counts what it still sends, which nobody will
    /// get. It is not waited for longer than that.
    pub(crate) async fn drain(&mut self, until: Instant) {
        self.hang_up();
        let Self { flow, pipe, .. } = self;
        let drain = async {
            while let Ok(bytes) = read(&mut pipe.reader).await
                && !bytes.is_empty()
            {
                flow.count(&bytes);
            }
        };
        // A driver that takes longer is cut off by the drop of this end.
        let _ = tokio::time::timeout_at(until.into(), drain).await;
    }

    /// Carries bytes over a connection. Cancelling it loses nothing.
    pub(crate) async fn carry(&mut self, link: &mut Link) -> Parted {
        match self.try_carry(link).await {
            Ok(never) => match never {},
            Err(parted) => parted,
        }
    }

    async fn try_carry(&mut self, link: &mut Link) -> Result<std::convert::Infallible, Parted> {
        let mut timer = pin!(sleep_until(self.deadline(link, true).into()));
        // What came together with the first record.
        self.unheeded = true;
        loop {
            tokio::task::consume_budget().await;
            if self.heeds() {
                self.heed(link)?;
            }
            let more = self.proceed(link)? || self.heeds();
            self.settle(Some(link));
            let held_back = self.is_held_back();
            let has_room = link.has_room_up_to(self.queue_max());
            let deadline = match (more, held_back) {
                (true, _) => now(),
                (false, true) => self.deadline(link, has_room).min(now() + HOLD_BACK),
                (false, false) => self.deadline(link, has_room),
            };
            reach(timer.as_mut(), deadline);
            let reading = !self.unheeded && self.throttled.is_none();
            let Self { flow, pipe, .. } = &mut *self;
            let taking = !pipe.ended && !flow.is_full() && has_room && !held_back;
            tokio::select! {
                () = &mut timer => self.tick(link)?,
                bytes = read(&mut link.reader), if reading => {
                    link.received(bytes?)?;
                    self.flow.heard(now());
                    self.heed(link)?;
                    if !self.unheeded && self.stall_max.is_some_and(|most| self.flow.has_stalled(most)) {
                        return Err(Parted::Stalled);
                    }
                }
                // What is wrong with either is seen by the write that follows.
                _ = link.writer.writable(), if !link.is_idle() => {}
                _ = pipe.writer.writable(), if flow.has_arrived() && !pipe.deaf => {}
                bytes = read(&mut pipe.reader), if taking => self.sent(bytes)?,
            }
        }
    }

    /// Keeps what the driver sends while there is no connection, and hands on what has arrived.
    /// Ends when the driver has sent its last byte. Cancelling it loses nothing.
    pub(crate) async fn keep(&mut self) {
        loop {
            self.hand_on();
            self.settle(None);
            let held_back = self.is_held_back();
            let Self { flow, pipe, .. } = &mut *self;
            let taking = !pipe.ended && !flow.is_full();
            let result = tokio::select! {
                _ = pipe.writer.writable(), if flow.has_arrived() && !pipe.deaf => Ok(()),
                bytes = read(&mut pipe.reader), if taking && !held_back => self.sent(bytes),
                () = sleep(HOLD_BACK), if taking && held_back => Ok(()),
                else => std::future::pending().await,
            };
            if result.is_err() {
                return;
            }
        }
    }

    /// Writes and hands on as much as goes without waiting. Gives whether more might go.
    fn proceed(&mut self, link: &mut Link) -> Result<bool, Parted> {
        for _ in 0..ROUNDS_MAX {
            self.hand_on();
            let most = self.queue_max();
            let has_room = link.has_room_up_to(most);
            let said = has_room && self.flow.fill(now(), most, &mut link.out);
            link.write()?;
            if self.flow.is_drained() {
                self.hang_up();
            }
            if link.is_idle() && (self.flow.is_told() || self.flow.is_over()) {
                return Err(Parted::Done);
            }
            if !said {
                return Ok(false);
            }
        }
        Ok(true)
    }

    fn hand_on(&mut self) {
        while self.flow.has_arrived() && !self.pipe.deaf {
            let mut slices = [IoSlice::new(&[]); PIECES_MAX];
            let mut count = 0;
            for (slice, piece) in slices.iter_mut().zip(self.flow.arrived()) {
                *slice = IoSlice::new(piece);
                count += 1;
            }
            match self.pipe.writer.try_write_vectored(&slices[..count]) {
                Ok(written) => self.flow.handed_on(now(), written),
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => return,
                // The driver has ended. What it has not taken counts as not received.
                Err(_) => self.pipe.deaf = true,
            }
        }
    }

    /// The driver has sent this.
    fn sent(&mut self, bytes: io::Result<BytesMut>) -> Result<(), Parted> {
        let bytes: Bytes = bytes.unwrap_or_default().freeze();
        if bytes.is_empty() {
            self.pipe.ended = true;
            return Err(Parted::SessionEnded);
        }
        self.flow.send(now(), bytes);
        Ok(())
    }

    /// Whether something waits that may be looked at.
    fn heeds(&self) -> bool {
        self.unheeded && self.throttled.is_none()
    }

    /// Looks at what has arrived, and counts it.
    fn heed(&mut self, link: &mut Link) -> Result<(), Parted> {
        let (mut records, read) = (0, link.take_read());
        let mut throttled = self.count(0, read);
        let result = self.look(link, &mut records, &mut throttled);
        let messages = turn::messages(records, link.websocket());
        throttled = self.count(messages, 0).max(throttled);
        link.unfinished_since(now());
        self.throttle(link, throttled);
        result?;
        if let (Some(round_trip), Some(hub)) = (self.flow.measured(), &self.counted_by) {
            hub.metrics.measured(WIRE.profile().name, Measurement::RoundTrip(round_trip));
            if let Some(session) = self.session.as_ref().and_then(Weak::upgrade) {
                session.measured(round_trip);
            }
        }
        Ok(())
    }

    /// Looks at what has arrived until nothing is left, or the rest is for later. Counts the records, and throttles
    /// because of what is inflated.
    fn look(
        &mut self,
        link: &mut Link,
        records: &mut u64,
        throttled: &mut Option<Instant>,
    ) -> Result<(), Parted> {
        let mut turn = Turn::default();
        self.unheeded = false;
        loop {
            match link.record()? {
                Some(record) => {
                    *records += 1;
                    self.take(record)?;
                }
                None if turn.is_over(throttled.is_some()) => {
                    self.unheeded = link.has_unread();
                    return Ok(());
                }
                None => {
                    let unwrapped = link.unwrap();
                    if let (Some(websocket), Some(hub)) = (link.websocket(), &self.counted_by) {
                        let growth = turn.inflated(websocket, &hub.metrics);
                        if growth > 0 {
                            *throttled = self.count(0, growth).max(*throttled);
                        }
                    }
                    if !unwrapped? {
                        return Ok(());
                    }
                }
            }
        }
    }

    fn take(&mut self, record: Record) -> Result<(), Parted> {
        match record {
            Record::Gone(gone) => Err(Parted::Gone(gone)),
            Record::Refused(reason) => Err(Parted::Refused(reason)),
            record => {
                let result = self.flow.receive(now(), record);
                result.map_err(|violation| Parted::Broken(violation.into()))
            }
        }
    }

    /// Counts what has come. Gives the time before which nothing more may be read, if any.
    fn count(&mut self, messages: u64, bytes: u64) -> Option<Instant> {
        let (rate, hub) = (self.rate.as_mut()?, self.counted_by.as_ref()?);
        rate.count(now(), &hub.metrics, messages, bytes)
    }

    /// Reads nothing before this. What is unfinished has that much more time, as the silence is ours.
    fn throttle(&mut self, link: &mut Link, until: Option<Instant>) {
        let Some(until) = until else { return };
        let from = self.throttled.unwrap_or_else(now);
        link.unheard(until.saturating_duration_since(from));
        self.throttled = Some(until.max(from));
    }

    fn deadline(&self, link: &mut Link, room: bool) -> Instant {
        let whole = self.whole_until(link).filter(|_| self.throttled.is_none());
        let deadlines = [self.flow.deadline(room), self.until, self.throttled, whole];
        deadlines.into_iter().flatten().min().unwrap_or_else(|| now() + FAR)
    }

    /// Until when what has begun has to be whole, where there is a bound.
    fn whole_until(&self, link: &mut Link) -> Option<Instant> {
        let hub = self.counted_by.as_ref()?;
        link.unfinished_since(now()).map(|since| since + hub.limits.message_time_max)
    }

    fn tick(&mut self, link: &mut Link) -> Result<(), Parted> {
        let now = now();
        if self.throttled.take_if(|until| *until <= now).is_some() {
            // The silence meanwhile was ours.
            self.flow.heard(now);
        }
        if self.throttled.is_none() && self.whole_until(link).is_some_and(|until| until <= now) {
            if let Some(hub) = &self.counted_by {
                hub.metrics.hit(Limit::MessageTime);
            }
            // It may come back and begin anew.
            return Err(Parted::Lost);
        }
        if self.until.is_some_and(|until| until <= now) {
            return Err(Parted::Overdue);
        }
        if self.flow.tick(now) {
            return Ok(());
        }
        if self.throttled.is_none() {
            return Err(Parted::Lost);
        }
        // The answers to probes are not read either.
        self.flow.heard(now);
        Ok(())
    }
}
