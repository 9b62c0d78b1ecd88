//! The task of a socket: connects, moves messages between the transport and the machine, starts handlers, and connects
//! again.

use super::notice::Notice;
use super::shared::{
    Answer, Connection, Handle, Live, Opened, Said, Shared, Status, Token, Wakers, now,
};
use super::{Backoff, Config, ConnectError, Ended, Fault, turns};
use crosspoint_gateways::socketio::client::{
    Args, Before, Client as Machine, Event as Told, Offer,
};
use crosspoint_net::engineio::client::{Session, SessionError, SessionEvent, Target};
use crosspoint_net::messages::MessagesError;
use std::io;
use std::sync::{Arc, Weak};
use std::time::Duration;
use tokio::sync::oneshot;

/// Bytes that may wait for the socket before the machine is asked for more.
const WRITE_BYTES_MAX: usize = 256 * 1024;

/// Bounds of the driver.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    /// Events that are handled or wait for that.
    pub(super) held_max: usize,
    /// The same in bytes.
    pub(super) held_bytes_max: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { held_max: 1024, held_bytes_max: 32 << 20 }
    }
}

pub(super) struct Driver {
    pub(super) shared: Arc<Shared>,
    pub(super) handle: Weak<Handle>,
    pub(super) config: Config,
    pub(super) target: Target,
    /// The server as it is shown.
    pub(super) address: String,
    pub(super) limits: Limits,
    /// How long connecting may take.
    pub(super) timeout: Duration,
    pub(super) backoff: Option<Backoff>,
    /// The session of the connection before.
    pub(super) before: Option<Before>,
    /// The caller that waits for the first connection, if one does.
    pub(super) ready: Option<oneshot::Sender<Result<(), ConnectError>>>,
}

/// Why there was no connection, or how it has ended.
enum Over {
    /// There was none.
    Never(ConnectError),
    Ended(Ended),
}

impl Driver {
    pub(super) async fn run(mut self) {
        // Also when the runtime ends before the socket does.
        let mut closed = Closed { shared: self.shared.clone(), ended: Ended::Here };
        let mut failed = 0;
        closed.ended = loop {
            let over = self.connection(&mut failed).await;
            let ended = match over {
                Over::Never(error) => match self.ready.take() {
                    Some(ready) => {
                        // Who has given up the wait has dropped the handle too.
                        let _ = ready.send(Err(error));
                        break Ended::There;
                    }
                    None => ended_by(error),
                },
                Over::Ended(ended) => ended,
            };
            if self.shared.is_closing() {
                break Ended::Here;
            }
            tracing::debug!(address = self.address, %ended, "there is no connection");
            let pause = self.backoff.filter(|_| ended.is_passing());
            let Some(pause) = pause.and_then(|backoff| backoff.pause(failed, random())) else {
                break ended;
            };
            failed = failed.saturating_add(1);
            self.shared.disconnected(Status::Connecting);
            tokio::select! {
                () = tokio::time::sleep(pause) => {}
                () = self.shared.closing() => break Ended::Here,
            }
        };
    }

    /// One connection, from the first attempt to its end.
    async fn connection(&mut self, failed: &mut u32) -> Over {
        let deadline = now() + self.timeout;
        let late = |driver: &Self| {
            let (address, after) = (driver.address.clone(), driver.timeout);
            Over::Never(ConnectError::TimedOut { address, after })
        };
        let opening = Session::open(self.target.clone());
        let opened = tokio::select! {
            opened = tokio::time::timeout_at(deadline.into(), opening) => opened,
            () = self.shared.closing() => return Over::Ended(Ended::Here),
        };
        let mut session = match opened {
            Ok(Ok(session)) => session,
            Ok(Err(error)) => {
                let (address, source) = (self.address.clone(), error.into_io());
                return Over::Never(ConnectError::Unreachable { address, source });
            }
            Err(_elapsed) => return late(self),
        };
        let machine = Machine::returning(self.config.clone(), self.before.clone());
        let connection = Connection::new(machine, self.shared.wake.clone());
        // The machine has to end whatever becomes of this task.
        let guard = Abandoned(connection.clone());
        let mut connected = false;
        let ended = loop {
            let (ended, tick) = {
                let mut live = connection.lock();
                if self.shared.is_closing() {
                    live.machine.close();
                }
                let ended = self.advance(&connection, &mut live, &mut session, &mut connected);
                (ended, live.machine.deadline())
            };
            if let Some(ended) = ended {
                break ended;
            }
            if connected {
                *failed = 0;
            }
            let wakes = match connected {
                true => tick,
                false => Some(tick.map_or(deadline, |tick| tick.min(deadline))),
            };
            let listening = self.listening() && connection.lock().machine.takes_input();
            let sleep = tokio::time::sleep_until(wakes.unwrap_or_else(now).into());
            tokio::select! {
                turn = session.next(listening) => {
                    let mut live = connection.lock();
                    match turn {
                        Ok(SessionEvent::Message(message)) => live.machine.receive(now(), message),
                        Ok(SessionEvent::Wrote) => {}
                        Ok(SessionEvent::Closed) => live.machine.end(Ended::There),
                        Err(error) => live.machine.end(transport(error)),
                    }
                }
                () = self.shared.wake.notified() => {}
                () = sleep, if wakes.is_some() => {
                    if !connected && now() >= deadline {
                        return late(self);
                    }
                    connection.lock().machine.tick(now());
                }
            }
        };
        drop(guard);
        self.before = connection.lock().machine.before().cloned();
        let closed = session.close();
        if matches!(ended, Ended::Here) {
            // A caller that waits for the end wants everything to be written.
            closed.await;
        } else {
            // Nobody waits for the farewell to a server that is gone.
            tokio::spawn(closed);
        }
        if connected {
            self.notice(Notice::Disconnected(ended.clone()));
            return Over::Ended(ended);
        }
        match ended {
            Ended::Here => Over::Ended(Ended::Here),
            ended => Over::Never(ConnectError::Ended { address: self.address.clone(), ended }),
        }
    }

    fn listening(&self) -> bool {
        self.shared.holding.has_room(self.limits.held_max, self.limits.held_bytes_max)
    }

    /// Takes what the machine has to write and to tell, until there is nothing. Gives the end.
    fn advance(
        &mut self,
        connection: &Arc<Connection>,
        live: &mut Live,
        session: &mut Session,
        connected: &mut bool,
    ) -> Option<Ended> {
        let mut moved = false;
        let ended = loop {
            while session.queued() < WRITE_BYTES_MAX
                && let Some(message) = live.machine.transmit()
            {
                moved = true;
                if let Err(error) = session.push(message) {
                    live.machine.end(Ended::Broken(Arc::new(error)));
                }
            }
            let Some(told) = live.machine.poll() else {
                break None;
            };
            moved = true;
            if let Some(ended) = self.told(connection, live, told, connected) {
                break Some(ended);
            }
        };
        if moved {
            self.shared.room.notify_waiters();
        }
        ended
    }

    fn told(
        &mut self,
        connection: &Arc<Connection>,
        live: &mut Live,
        told: Told<Token>,
        connected: &mut bool,
    ) -> Option<Ended> {
        match told {
            Told::Connected { sid, recovered } => {
                *connected = true;
                self.shared.connected(connection.clone(), &sid);
                if let Some(ready) = self.ready.take() {
                    // Who has given up the wait has dropped the handle too, which closes the socket.
                    let _ = ready.send(Ok(()));
                }
                self.notice(Notice::Connected { sid: Arc::from(sid), recovered });
            }
            Told::Said { name, args, ticket } => {
                // What nobody listens for is not acknowledged either.
                if self.shared.handlers.event(&name).is_some()
                    && let Some(handle) = self.handle.upgrade()
                {
                    let connection = connection.clone();
                    turns::event(&self.shared, Said { handle, connection, name, args, ticket });
                }
            }
            Told::Answered { token, args } => drop(token.send(Answer::Args(args))),
            // The token is dropped, which tells it.
            Told::Abandoned { token: _ } => {}
            Told::TargetAdded { id, ticket } => {
                // Who does not listen does not answer.
                if self.shared.handlers.notice().is_some() {
                    if let Some(ticket) = ticket {
                        // Fails if the queue is full, and then no answer comes, as if nobody listened.
                        if let Err(error) = live.machine.answer(&ticket, &Args::default()) {
                            tracing::debug!(%error, "a target was not acknowledged");
                        }
                    }
                    self.notice(Notice::TargetAdded { id });
                }
            }
            Told::TargetGone { id } => self.notice(Notice::TargetGone { id }),
            Told::Paired { id } => self.notice(Notice::Paired { id }),
            Told::Unpaired { id } => self.notice(Notice::Unpaired { id }),
            Told::ServerError(text) => self.notice(Notice::ServerError(text)),
            Told::StreamOffered(offer) => self.offered(connection, live, offer),
            Told::StreamOpened { token, stream } => {
                if token.send(Answer::Stream(stream)).is_err() {
                    // Nobody waits for it any more.
                    live.machine.leave_stream(stream);
                }
            }
            Told::StreamRefused { token, why } => drop(token.send(Answer::Refused(why))),
            Told::StreamMoved(stream) => {
                if let Some(wakers) = live.wakers.get_mut(&stream) {
                    wakers.wake();
                }
            }
            Told::Gone(ended) => return Some(ended),
        }
        None
    }

    fn notice(&self, notice: Notice) {
        turns::notice(&self.shared, notice);
    }

    fn offered(&self, connection: &Arc<Connection>, live: &mut Live, offer: Offer) {
        let handler = self.shared.handlers.stream(offer.channel.as_deref());
        let Some((handler, handle)) = handler.zip(self.handle.upgrade()) else {
            return live.machine.refuse(offer);
        };
        let Offer { from: peer, channel, args, .. } = &offer;
        let (peer, channel, args) = (peer.clone(), channel.clone(), args.clone());
        if let Some(id) = live.machine.accept(offer) {
            let connection = connection.clone();
            turns::stream(handler, Opened { handle, connection, id, peer, channel, args });
        }
    }
}

/// Ends the machine of a connection when it is dropped, so that nobody waits for its streams.
struct Abandoned(Arc<Connection>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        let mut live = self.0.lock();
        live.machine.end(Ended::There);
        while live.machine.poll().is_some() {}
        let mut wakers = std::mem::take(&mut live.wakers);
        drop(live);
        wakers.values_mut().for_each(Wakers::wake);
    }
}

/// Tells everybody who waits for it that the socket is closed, when it is dropped.
struct Closed {
    shared: Arc<Shared>,
    ended: Ended,
}

impl Drop for Closed {
    fn drop(&mut self) {
        self.shared.disconnected(Status::Closed(self.ended.clone()));
    }
}

fn transport(error: SessionError) -> Ended {
    match error {
        SessionError::Io(error) | SessionError::Messages(MessagesError::Io(error)) => {
            match error.kind() {
                io::ErrorKind::UnexpectedEof => Ended::There,
                _ => Ended::Broken(Arc::new(error)),
            }
        }
        error => Fault::Transport(error.to_string()).into(),
    }
}

/// What there is to know of an attempt that has failed.
fn ended_by(error: ConnectError) -> Ended {
    match error {
        ConnectError::Ended { ended, .. } => ended,
        ConnectError::Unreachable { source, .. } => Ended::Broken(Arc::new(source)),
        ConnectError::TimedOut { .. } => Ended::Silent,
        ConnectError::Address(_) | ConnectError::Auth(_) => Ended::There,
    }
}

fn random() -> u64 {
    // Without a source of randomness all clients come back at the same time, which does no harm to one.
    getrandom::u64().unwrap_or(1 << 63)
}
