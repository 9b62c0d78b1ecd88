//! A WebSocket that asks for a session which came by requests so far.

use super::polled::{Polled, Upgrade};
use super::said::Said;
use crate::gateway::{Carrier, Connection};
use crate::held::Held;
use crate::outlet::now;
use crate::parting::LINGER;
use crate::reading::{discard_until_closed, read};
use crate::refusal;
use crate::remote::Remote;
use crate::runner::Runner;
use crate::stream::handover::Next;
use crate::stream::{Reader, Writer};
use crate::ws::{self, MessageKind};
use bytes::{BufMut, BytesMut};
use crosspoint_hub::Reason;
use crosspoint_hub::hub::Admission;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;
use tokio::time::{sleep_until, timeout, timeout_at};

/// What a client says first in the WebSocket, what it is told, and what it says then.
const PROBE: &[u8] = b"2probe";
const PROBED: &[u8] = b"3probe";
const UPGRADE: &[u8] = b"5";

/// Takes a WebSocket over until it has the session, or is closed.
#[derive(Debug)]
pub(super) struct Upgrading {
    polled: Arc<Polled>,
    upgrade_max: Duration,
}

impl Upgrading {
    pub(super) fn new(polled: Arc<Polled>, upgrade_max: Duration) -> Self {
        Self { polled, upgrade_max }
    }
}

impl Carrier for Upgrading {
    fn carry(
        self: Box<Self>,
        connection: Connection,
        runner: Arc<Runner>,
    ) -> Pin<Box<dyn Future<Output = Reason> + Send>> {
        Box::pin(async move {
            let Connection { reader, writer, websocket, address, process, admission, .. } =
                connection;
            let Some(websocket) = websocket else { return Reason::Internal };
            let remote = Remote { process, ..Remote::new(address) };
            let held = Held::new(&runner.hub, remote);
            let socket = Socket { reader, writer, websocket, held };
            self.upgrade(socket, admission, &runner).await
        })
    }
}

impl Upgrading {
    async fn upgrade(&self, mut socket: Socket, admission: Admission, runner: &Runner) -> Reason {
        let until = now() + self.upgrade_max;
        let agreed = tokio::select! {
            biased;
            () = runner.parting.stop.cancelled() => Err(Reason::HubStopping),
            agreed = timeout_at(until.into(), self.agree(&mut socket)) => match agreed {
                Ok(agreed) => agreed,
                Err(_elapsed) => Err(Reason::HandshakeTimeout),
            },
        };
        match agreed {
            Ok((upgrade, said)) => hand_over(socket, admission, (upgrade, said), runner).await,
            Err(reason) => {
                socket.part(reason, runner).await;
                reason
            }
        }
    }

    /// Agrees with the client that the session becomes this WebSocket. Gives what it has said and nobody has got.
    ///
    /// # Errors
    /// Why the WebSocket ends. The session goes on without it, unless the client has given up requests.
    async fn agree(&self, socket: &mut Socket) -> Result<(Upgrade, Said), Reason> {
        // It is told at once: it may have nothing to say.
        if !self.polled.may_upgrade() {
            return Err(Reason::NotAllowed);
        }
        if socket.text(PROBE.len()).await? != PROBE {
            return Err(Reason::Malformed);
        }
        let upgrade = Upgrade::begin(&self.polled).ok_or(Reason::NotAllowed)?;
        socket.say(PROBED).await?;
        if socket.text(UPGRADE.len()).await? != UPGRADE {
            return Err(Reason::Malformed);
        }
        let said = upgrade.ready().await.ok_or(Reason::Bye)?;
        Ok((upgrade, said))
    }
}

/// Gives the session the WebSocket. Nothing of what either side says overtakes anything else.
async fn hand_over(
    socket: Socket,
    admission: Admission,
    (upgrade, mut said): (Upgrade, Said),
    runner: &Runner,
) -> Reason {
    said.hold();
    while let Some(bytes) = said.rest().await {
        let written = socket.writer.write_all(&bytes);
        match timeout(runner.hub.limits.outbox_stall_max, written).await {
            Ok(Ok(())) => {}
            Ok(Err(_lost)) => return Reason::ConnectionLost,
            Err(_elapsed) => return Reason::SlowReceiver,
        }
    }
    let Socket { mut reader, writer, mut websocket, .. } = socket;
    if said.has_ended() {
        // If it has said goodbye, that was written.
        writer.shutdown();
        let discard = discard_until_closed(&mut reader, Some(&mut websocket));
        runner.parting.wait(LINGER, discard).await;
        return Reason::Bye;
    }
    let handover = upgrade.handover();
    handover.move_writers(&said.into_way(), writer);
    handover.go_on_with(Next { reader, websocket }, admission);
    upgrade.done();
    Reason::Bye
}

/// A WebSocket in which nothing but words of its own are spoken yet.
struct Socket {
    reader: Reader,
    writer: Writer,
    websocket: Box<ws::Connection>,
    held: Held,
}

impl Socket {
    /// Reads a message of text of so many bytes at the most. What follows stays in the WebSocket.
    ///
    /// # Errors
    /// Why the WebSocket ends.
    async fn text(&mut self, bytes_max: usize) -> Result<BytesMut, Reason> {
        let mut text = BytesMut::new();
        loop {
            match self.websocket.poll() {
                Ok(Some(ws::Event::Data { kind, bytes, message_fin, .. })) => {
                    if kind != MessageKind::Text || text.len() + bytes.len() > bytes_max {
                        return Err(Reason::Malformed);
                    }
                    text.put(bytes);
                    if message_fin {
                        return Ok(text);
                    }
                }
                Ok(Some(ws::Event::Closed(_))) => return Err(Reason::Bye),
                Ok(None) => self.read().await?,
                Err(error) => return Err(error.reason()),
            }
        }
    }

    async fn read(&mut self) -> Result<(), Reason> {
        self.held.settle(self.websocket.buffered())?;
        if let Some(pong) = self.websocket.pong().map_err(|_| Reason::Internal)? {
            self.write(&pong).await?;
        }
        if let Some(until) = self.held.count(&mut self.websocket) {
            sleep_until(until.into()).await;
        }
        let bytes = read(&mut self.reader).await.unwrap_or_default();
        if bytes.is_empty() {
            return Err(Reason::ConnectionLost);
        }
        self.websocket.receive(bytes);
        Ok(())
    }

    async fn say(&self, text: &[u8]) -> Result<(), Reason> {
        let message = self.websocket.message(MessageKind::Text, text);
        self.write(&message.map_err(|_| Reason::Internal)?).await
    }

    async fn write(&self, bytes: &[u8]) -> Result<(), Reason> {
        self.writer.write_all(bytes).await.map_err(|_| Reason::ConnectionLost)
    }

    /// Closes it, if anybody is there to hear that.
    async fn part(mut self, reason: Reason, runner: &Runner) {
        let code = self.websocket.answer().unwrap_or(ws::CloseCode::POLICY);
        let close = refusal::close(code, reason, None);
        let farewell = async {
            if self.write(&close).await.is_ok() {
                self.writer.shutdown();
                discard_until_closed(&mut self.reader, Some(&mut self.websocket)).await;
            }
        };
        runner.parting.wait(LINGER, farewell).await;
    }
}
