//! The handle of a socket.

use super::shared::{Answer, Handle, Shared, Status, Token};
use super::{Args, Ended, SocketError, ToArgs};
use crosspoint_gateways::socketio::client::Client as Machine;
use crosspoint_gateways::socketio::client::calls::{self, Call};
use std::fmt;
use std::sync::Arc;

/// A client of a Socket.IO server. Clones are the same client.
///
/// It lasts until it is [closed](Self::close), or until all handles of it are dropped; running handlers and streams have
/// such handles too. What was handed over is written first.
///
/// A client that loses its connection [connects again](super::Backoff). Meanwhile what is said waits, as long as its
/// caller waits. What was asked before and has no answer fails with [`SocketError::Abandoned`]. As with the original,
/// rooms, services, targets, pairs and streams do not outlive a connection: [`Notice::Connected`](super::Notice::Connected)
/// is the place to set up again what is needed. Where the server has connection state recovery, rooms do, and what was said
/// there meanwhile comes.
///
/// An answer that is waited for has no deadline. Give up the wait with [`tokio::time::timeout`]: then the question is
/// forgotten.
#[derive(Clone)]
pub struct Socket {
    pub(super) handle: Arc<Handle>,
}

impl Socket {
    pub(super) fn shared(&self) -> &Shared {
        &self.handle.shared
    }

    /// Says an event to the server. Waits as long as too much waits to be written, or there is no connection.
    ///
    /// # Errors
    /// [`SocketError::Args`], [`SocketError::Send`], [`SocketError::Closed`]
    pub async fn emit<T: ToArgs + ?Sized>(&self, event: &str, args: &T) -> Result<(), SocketError> {
        let args = args.to_args()?.to_machine()?;
        self.shared().submit(|machine| machine.emit(event, &args, None)).await?;
        Ok(())
    }

    /// Says an event to the server, and waits for its acknowledgement.
    ///
    /// # Errors
    /// As [`emit`](Self::emit), and [`SocketError::Abandoned`]
    pub async fn emit_with_ack<T: ToArgs + ?Sized>(
        &self,
        event: &str,
        args: &T,
    ) -> Result<Args, SocketError> {
        let args = args.to_args()?.to_machine()?;
        let ask = self.shared().ask(|machine, token| machine.emit(event, &args, Some(token)));
        answered(ask.await?.1)
    }

    /// Says an event to another client. If there is none, the server says so
    /// ([`Notice::ServerError`](super::Notice::ServerError)).
    ///
    /// # Errors
    /// As [`emit`](Self::emit)
    pub async fn emit_to<T: ToArgs + ?Sized>(
        &self,
        client: &str,
        event: &str,
        args: &T,
    ) -> Result<(), SocketError> {
        let args = args.to_args()?.to_machine()?;
        self.shared().submit(|machine| machine.emit_to(client, event, &args, None)).await?;
        Ok(())
    }

    /// Says an event to another client, and waits for its acknowledgement. If the client is not there or goes, none comes.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack)
    pub async fn emit_to_with_ack<T: ToArgs + ?Sized>(
        &self,
        client: &str,
        event: &str,
        args: &T,
    ) -> Result<Args, SocketError> {
        let args = args.to_args()?.to_machine()?;
        let ask =
            self.shared().ask(|machine, token| machine.emit_to(client, event, &args, Some(token)));
        answered(ask.await?.1)
    }

    pub(super) async fn say(&self, call: Call) -> Result<(), SocketError> {
        self.shared().submit(|machine| machine.emit(call.name, &call.args, None)).await?;
        Ok(())
    }

    pub(super) async fn ask(&self, call: Call) -> Result<Args, SocketError> {
        let ask =
            |machine: &mut Machine<Token>, token| machine.emit(call.name, &call.args, Some(token));
        answered(self.shared().ask(ask).await?.1)
    }

    /// Enters a room, whose events come as all others do.
    ///
    /// # Errors
    /// As [`emit`](Self::emit)
    pub async fn join_room(&self, room: &str) -> Result<(), SocketError> {
        self.say(calls::join_room(room)).await
    }

    /// Leaves a room.
    ///
    /// # Errors
    /// As [`emit`](Self::emit)
    pub async fn leave_room(&self, room: &str) -> Result<(), SocketError> {
        self.say(calls::leave_room(room)).await
    }

    /// Says an event to all others in a room, which this client need not be in.
    ///
    /// # Errors
    /// As [`emit`](Self::emit)
    pub async fn emit_room<T: ToArgs + ?Sized>(
        &self,
        room: &str,
        event: &str,
        args: &T,
    ) -> Result<(), SocketError> {
        self.say(calls::emit_room(room, event, &args.to_args()?.to_machine()?)).await
    }

    /// The names of all clients, in the order in which they came.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack)
    pub async fn clients(&self) -> Result<Vec<String>, SocketError> {
        Ok(self.ask(calls::list_clients()).await?.get(0)?)
    }

    /// Whether a client is there.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack)
    pub async fn is_client_connected(&self, client: &str) -> Result<bool, SocketError> {
        let status: Option<bool> = self.ask(calls::client_status(client)).await?.value()?;
        Ok(status == Some(true))
    }

    /// Names another client a target, so that each hears when the other one goes ([`Notice::TargetGone`](super::Notice::TargetGone)). The other one
    /// has to listen: if it does not, no answer comes.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack), and [`SocketError::Refused`]
    pub async fn add_target(&self, client: &str) -> Result<(), SocketError> {
        let answer = self.ask(calls::add_target(client)).await?;
        refused(&answer)
    }

    /// Pairs with another client (first generation). Gives whether it is so: the other one may have a pair already.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack); [`SocketError::Send`] if this client has a pair
    pub async fn pair(&self, client: &str) -> Result<bool, SocketError> {
        let ask = self.shared().ask(|machine, token| machine.pair(client, token));
        Ok(answered(ask.await?.1)?.value::<Option<bool>>()? == Some(true))
    }

    /// Ends the pair.
    ///
    /// # Errors
    /// As [`emit_with_ack`](Self::emit_with_ack); [`SocketError::Send`] if this client has no pair
    pub async fn unpair(&self) -> Result<(), SocketError> {
        let ask = self.shared().ask(|machine, token| machine.unpair(token));
        answered(ask.await?.1).map(|_| ())
    }

    /// The other client of the pair.
    pub fn paired_with(&self) -> Option<String> {
        let connection = self.shared().connection()?;
        let live = connection.lock();
        live.machine.paired_with().map(Into::into)
    }

    /// Whether there is a connection.
    pub fn status(&self) -> Status {
        self.shared().status.borrow().clone()
    }

    /// Waits for a connection. Gives the id that the server has given to it.
    ///
    /// # Errors
    /// [`SocketError::Closed`]
    pub async fn connected(&self) -> Result<Arc<str>, SocketError> {
        let mut status = self.shared().status.subscribe();
        let settled = status.wait_for(|status| !matches!(status, Status::Connecting)).await;
        match settled.as_deref() {
            Ok(Status::Connected { sid }) => Ok(sid.clone()),
            Ok(Status::Closed(ended)) => Err(SocketError::Closed(ended.clone())),
            Ok(Status::Connecting) | Err(_) => Err(SocketError::Closed(Ended::Here)),
        }
    }

    /// Waits for the end of the socket. A connection that is lost is not the end, unless there will be no other one.
    pub async fn closed(&self) -> Ended {
        let mut status = self.shared().status.subscribe();
        let closed = status.wait_for(|status| matches!(status, Status::Closed(_))).await;
        match closed.as_deref() {
            Ok(Status::Closed(ended)) => ended.clone(),
            _ => Ended::Here,
        }
    }

    /// Leaves the server behind everything that was handed over, and waits until that is written.
    pub async fn close(&self) {
        self.shared().close();
        self.closed().await;
    }
}

fn answered(answer: Answer) -> Result<Args, SocketError> {
    match answer {
        Answer::Args(args) => Ok(Args::of_machine(args)),
        Answer::Refused(why) => Err(SocketError::Refused(why)),
        Answer::Stream(_) => Err(SocketError::Abandoned),
    }
}

/// Whether an acknowledgement is an error, as the original takes it for one.
fn refused(answer: &Args) -> Result<(), SocketError> {
    match answer.value::<serde_json::Value>()? {
        serde_json::Value::Null | serde_json::Value::Bool(false) => Ok(()),
        serde_json::Value::String(why) if why.is_empty() => Ok(()),
        serde_json::Value::String(why) => Err(SocketError::Refused(why)),
        other => Err(SocketError::Refused(other.to_string())),
    }
}

impl fmt::Debug for Socket {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Socket").field("status", &self.status()).finish_non_exhaustive()
    }
}
