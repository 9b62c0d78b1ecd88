//! The driver of the hub's side: joins a connection to a protocol, and the protocol to the hub.
//!
//! One task for each session. It reads, lets the protocol parse, carries out commands, turns
//! events into bytes and keeps time. It owns everything but the outbox, so nothing here is locked.

use crate::outlet::{Outlet, Wrote, now};
use crate::stream::Reader;
use crate::ws::{self, Incoming};
use bytes::{Bytes, BytesMut};
use crosspoint_hub::outbox::Turn;
use crosspoint_hub::protocol::{Activity, Output, Protocol};
use crosspoint_hub::session::Step;
use crosspoint_hub::wire::{Encoded, FrameWriter};
use crosspoint_hub::{Command, Reason, Session};
use std::cell::RefCell;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Poll, ready};
use std::time::{Duration, Instant};
use tokio::io::ReadBuf;
use tokio::time::{Sleep, sleep_until};
use tokio_util::sync::CancellationToken;

/// Bytes that are read at once. One buffer for each thread, so an idle session has none.
pub const READ_BYTES_MAX: usize = 64 * 1024;

/// How long a session that the hub ends may take to close its side.
const LINGER: Duration = Duration::from_secs(2);

/// How far away a deadline may be that is none.
const FAR: Duration = Duration::from_secs(24 * 60 * 60);

thread_local! {
    static SCRATCH: RefCell<Box<[u8]>> = RefCell::new(vec![0; READ_BYTES_MAX].into());
}

/// Reads what is there. Empty at the end of the stream.
pub(crate) async fn read(reader: &mut Reader) -> io::Result<BytesMut> {
    poll_fn(|cx| {
        SCRATCH.with_borrow_mut(|scratch| {
            let mut buffer = ReadBuf::new(scratch);
            ready!(reader.poll_read(cx, &mut buffer))?;
            Poll::Ready(Ok(BytesMut::from(buffer.filled())))
        })
    })
    .await
}

/// Everything that one session's task owns.
pub(crate) struct Driver {
    pub(crate) session: Session,
    pub(crate) protocol: Box<dyn Protocol>,
    pub(crate) outlet: Outlet,
    pub(crate) reader: Reader,
    /// Unwraps WebSocket frames, if the connection has them.
    pub(crate) decoder: Option<Box<ws::Decoder>>,
    pub(crate) stop: CancellationToken,
    pub(crate) flush_max: Duration,
}

/// What a session's task does between two waits.
struct State {
    out: FrameWriter,
    read_at: Instant,
    /// The session waits for room at a receiver.
    waiting: bool,
    /// The session sent too much, and is not read before this.
    throttled: Option<Instant>,
    /// The connection took no more at the last try.
    blocked: bool,
}

impl Driver {
    /// Runs the session to its end. The first bytes of the protocol were read to tell which it is.
    pub(crate) async fn run(mut self, first: BytesMut) -> Reason {
        let prefix = self.session.outbox().wire.prefix();
        let mut state = State {
            out: FrameWriter::new(prefix),
            read_at: now(),
            waiting: false,
            throttled: None,
            blocked: false,
        };
        self.session
            .hub()
            .metrics
            .bytes_in
            .inc_by(first.len() as u64);
        self.protocol.receive(now(), first.freeze());
        let reason = match self.advance(&mut state) {
            Ok(()) => self.serve(&mut state).await,
            Err(reason) => reason,
        };
        self.end(&mut state, reason).await;
        reason
    }

    async fn serve(&mut self, state: &mut State) -> Reason {
        let stop = self.stop.clone();
        let mut stopped = pin!(stop.cancelled());
        let mut timer = pin!(sleep_until((now() + FAR).into()));
        loop {
            if let Err(reason) = self.drain(state) {
                return reason;
            }
            let deadline = self.deadline(state);
            reach(timer.as_mut(), deadline);
            let may_read = !state.waiting && state.throttled.is_none();
            let result = tokio::select! {
                biased;
                () = &mut stopped => Err(Reason::HubStopping),
                () = self.outlet.notified() => self.proceed(state),
                result = self.outlet.writer().writable(), if state.blocked => {
                    state.blocked = false;
                    result.map_err(|_| Reason::ConnectionLost)
                }
                bytes = read(&mut self.reader), if may_read => match bytes {
                    Ok(bytes) if !bytes.is_empty() => {
                        state.read_at = now();
                        self.received(state, bytes)
                    }
                    _ => Err(Reason::ConnectionLost),
                },
                () = &mut timer => self.tick(state),
            };
            if let Err(reason) = result {
                return reason;
            }
        }
    }

    fn received(&mut self, state: &mut State, bytes: BytesMut) -> Result<(), Reason> {
        let count = bytes.len() as u64;
        match &mut self.decoder {
            Some(decoder) => decoder.receive(bytes),
            None => self.protocol.receive(now(), bytes.freeze()),
        }
        state.throttled = self.session.count(now(), 0, count);
        self.advance(state)
    }

    /// Goes on where the session had to wait for room.
    fn proceed(&mut self, state: &mut State) -> Result<(), Reason> {
        if !state.waiting {
            return Ok(());
        }
        match self.session.flush(now()) {
            Step::Wait => Ok(()),
            Step::Close(reason) => Err(reason),
            Step::Go => {
                state.waiting = false;
                self.advance(state)
            }
        }
    }

    /// Parses and carries out what has been read, until nothing is left or the session has to wait.
    fn advance(&mut self, state: &mut State) -> Result<(), Reason> {
        let now = now();
        let mut result = Ok(());
        let mut messages = 0;
        while !state.waiting {
            match self.protocol.poll(now, &mut state.out) {
                Some(Output::Command(command)) => {
                    messages += u64::from(matches!(command, Command::Send { .. }));
                    match self.session.execute(now, command) {
                        Step::Go => continue,
                        Step::Wait => state.waiting = true,
                        Step::Close(reason) => result = Err(reason),
                    }
                }
                Some(Output::Close(reason)) => result = Err(reason),
                None => match self.unwrap(now, state) {
                    Ok(true) => continue,
                    Ok(false) => {}
                    Err(reason) => result = Err(reason),
                },
            }
            break;
        }
        let throttled = self.session.count(now, messages, 0);
        state.throttled = state.throttled.max(throttled);
        self.session.outbox().push_own(&state.out.take());
        match self.session.flush(now) {
            Step::Go => {}
            Step::Wait => state.waiting = true,
            Step::Close(reason) => result = result.and(Err(reason)),
        }
        result
    }

    /// Takes the next frame out of the WebSocket, if there is one. Gives whether there was.
    fn unwrap(&mut self, now: Instant, state: &mut State) -> Result<bool, Reason> {
        let Some(decoder) = &mut self.decoder else {
            return Ok(false);
        };
        match decoder.decode() {
            Ok(None) => return Ok(false),
            Ok(Some(Incoming::Data { bytes, .. })) => {
                if !bytes.is_empty() {
                    self.protocol.receive(now, bytes);
                }
            }
            Ok(Some(Incoming::Ping(payload))) => {
                // What the protocol wrote so far comes first.
                self.session.outbox().push_own(&state.out.take());
                self.push_raw(ws::frame::pong_frame(&payload, None));
            }
            Ok(Some(Incoming::Pong(_))) => {}
            Ok(Some(Incoming::Close(_))) => return Err(Reason::Bye),
            Err(_broken) => return Err(Reason::Malformed),
        }
        Ok(true)
    }

    /// Adds bytes that are no frame of the protocol.
    fn push_raw(&self, bytes: Bytes) {
        self.session.outbox().push_own(&Encoded {
            first: bytes,
            rest: Vec::new(),
        });
    }

    /// Turns events into bytes and writes, until nothing is left or the connection takes no more.
    fn drain(&mut self, state: &mut State) -> Result<(), Reason> {
        loop {
            match self.outlet.turn(self.session.outbox(), true) {
                Ok(Wrote::All) => {}
                Ok(Wrote::Blocked) => {
                    state.blocked = true;
                    return Ok(());
                }
                Ok(Wrote::Lost) => return Err(Reason::ConnectionLost),
                Err(Turn::Event(tag, event)) => {
                    if self.session.observe(tag, &event) {
                        self.protocol.deliver(now(), &event, &mut state.out);
                    }
                    self.session.outbox().converted(&state.out.take());
                }
                Err(Turn::Dead(reason)) => return Err(reason),
                Err(_) => return Ok(()),
            }
        }
    }

    fn activity(&self, state: &State) -> Activity {
        Activity {
            read: state.read_at,
            written: self.session.outbox().written(),
        }
    }

    fn deadline(&self, state: &State) -> Instant {
        let limits = &self.session.hub().limits;
        let protocol = self.protocol.deadline(self.activity(state));
        let idle = limits.idle_max.map(|idle| state.read_at + idle);
        let stall = self
            .session
            .outbox()
            .stalled()
            .map(|since| since + limits.outbox_stall_max);
        [protocol, idle, stall, state.throttled]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or_else(|| now() + FAR)
    }

    fn tick(&mut self, state: &mut State) -> Result<(), Reason> {
        let now = now();
        let limits = &self.session.hub().limits;
        if state.throttled.is_some_and(|until| until <= now) {
            state.throttled = None;
        }
        if limits
            .idle_max
            .is_some_and(|idle| now >= state.read_at + idle)
        {
            self.session.hub().metrics.hit("idle_s_max");
            return Err(Reason::IdleTimeout);
        }
        if self
            .session
            .outbox()
            .stalled()
            .is_some_and(|since| now >= since + limits.outbox_stall_max)
        {
            self.session.hub().metrics.hit("outbox_stall_ms_max");
            return Err(Reason::SlowReceiver);
        }
        let activity = self.activity(state);
        let result = self.protocol.tick(now, activity, &mut state.out);
        self.session.outbox().push_own(&state.out.take());
        result.map_or(Ok(()), Err)
    }

    /// Tells everybody, the endpoint too if it can still hear, and lets go.
    async fn end(mut self, state: &mut State, reason: Reason) {
        self.session.close(reason);
        if matches!(reason, Reason::ConnectionLost | Reason::SlowReceiver) {
            return;
        }
        self.protocol.farewell(reason, &mut state.out);
        self.session.outbox().push_own(&state.out.take());
        if self.decoder.is_some() {
            let code = match reason {
                Reason::Bye => ws::CloseCode::NORMAL,
                Reason::HubStopping => ws::CloseCode::GOING_AWAY,
                Reason::Malformed => ws::CloseCode::PROTOCOL_ERROR,
                Reason::TooLarge => ws::CloseCode::TOO_BIG,
                _ => ws::CloseCode::POLICY,
            };
            let frame = ws::CloseFrame {
                code,
                reason: reason.to_string(),
            };
            self.push_raw(ws::frame::close_frame(Some(&frame), None));
        }
        let flush_max = self.flush_max;
        // Whoever does not take its farewell in time is cut off.
        let _ = tokio::time::timeout(flush_max, self.flush(state)).await;
        self.outlet.writer().shutdown();
        // Closing with bytes unread would take the farewell away from the other side again.
        let _ = tokio::time::timeout(LINGER.min(flush_max), self.discard()).await;
    }

    async fn flush(&mut self, state: &mut State) {
        while self.drain(state).is_ok() {
            if self.session.outbox().is_empty() {
                return;
            }
            tokio::select! {
                _ = self.outlet.writer().writable(), if state.blocked => state.blocked = false,
                () = self.outlet.notified() => {}
            }
        }
    }

    async fn discard(&mut self) {
        while let Ok(bytes) = read(&mut self.reader).await {
            if bytes.is_empty() {
                return;
            }
        }
    }
}

/// Sees that a timer fires at a deadline or before it. Setting a timer costs a lock, and deadlines
/// move away with each byte, so one that fires early is set again only then.
fn reach(timer: Pin<&mut Sleep>, deadline: Instant) {
    let deadline = deadline.into();
    if timer.deadline() > deadline || timer.is_elapsed() {
        timer.reset(deadline);
    }
}
