//! The end of a session: what is still heard, and what is still said.

use super::{Driver, SessionEnds, State};
use crate::outlet::now;
use crate::parting::LINGER;
use crate::reading::{discard_until_closed, read};
use crate::stream::handover::Handover;
use crate::ws;
use crosspoint_hub::Reason;
use std::pin::pin;
use std::time::Duration;
use tokio::time::timeout;

/// The most that is said about what an endpoint has done wrong.
const FAULT_BYTES_MAX: usize = 256;

/// How often a session that ends looks whether the system has delivered what was written.
const UNDELIVERED_PAUSE: Duration = Duration::from_millis(50);

impl Driver {
    /// What the endpoint has done wrong, if it has.
    pub(super) fn fault(&self) -> Option<String> {
        let broken = self.websocket.as_ref().and_then(|websocket| websocket.broken());
        let mut fault = match broken {
            Some(error) => error.to_string(),
            None => match self.session.complaint() {
                Some(complaint) => complaint.to_owned(),
                None => self.protocol.complaint()?,
            },
        };
        fault.truncate(fault.floor_char_boundary(FAULT_BYTES_MAX));
        Some(fault)
    }

    /// Why the session ends. A way of requests that was lost tells why.
    pub(super) fn true_reason(&self, reason: Reason) -> Reason {
        let lost = self.outlet.writer().handover().and_then(Handover::lost);
        lost.filter(|_| reason == Reason::ConnectionLost).unwrap_or(reason)
    }

    /// Nothing can be written any more. What the endpoint said before it went still holds: it may
    /// be that it left on purpose (docs/peote.md, section 3.4).
    pub(super) async fn last_words(&mut self, state: &mut State) {
        let parting = self.runner.parting.clone();
        let words = async {
            while state.may_read()
                && let Ok(bytes) = read(&mut self.reader).await
                && !bytes.is_empty()
                && self.received(state, bytes).is_ok()
            {}
        };
        // An endpoint that goes on for longer has not gone at all.
        parting.wait(LINGER, words).await;
    }

    /// Tells everybody, the endpoint too if it can still hear. Then the driver is to be dropped.
    pub(super) async fn end(&mut self, state: &mut State, reason: Reason) {
        if let Some(tell) = self.tell_end.take() {
            let let_in = self.session.endpoint().peer().is_some();
            // Nobody wants to hear it if the connection has ended before.
            let _ = tell.send(SessionEnds { reason, let_in });
        }
        // The end of a WebSocket says nothing of the protocol's own goodbye.
        let hung_up = self.websocket.as_ref().is_some_and(|it| it.is_closed_by_remote());
        self.session.close_at(now(), if hung_up { Reason::ConnectionLost } else { reason });
        // Nobody asks for the farewell of a session whose client has stayed away from requests.
        let is_polled = self.outlet.writer().handover().is_some_and(Handover::is_to_come);
        let stays_away = reason == Reason::HeartbeatLost && is_polled;
        if stays_away || matches!(reason, Reason::ConnectionLost | Reason::SlowReceiver) {
            return;
        }
        let parting = self.runner.parting.clone();
        self.change_reader();
        let farewell = async {
            self.part(state, reason).await;
            let writer = self.outlet.writer();
            writer.shutdown();
            // Closing with bytes unread would take the farewell away from the other side again.
            let websocket = self.websocket.as_deref_mut();
            let mut closed = pin!(discard_until_closed(&mut self.reader, websocket));
            let mut open = timeout(LINGER, &mut closed).await.is_err();
            // A machine that goes down behind a stop takes with it what the system has not delivered.
            while open && parting.stop.is_cancelled() && writer.has_undelivered() {
                open = timeout(UNDELIVERED_PAUSE, &mut closed).await.is_err();
            }
        };
        // An endpoint that does not take its farewell in time is cut off.
        parting.wait(parting.longest(), farewell).await;
    }

    /// Writes what is left, then the farewell. What is left may hold events that the protocol has
    /// to know of before.
    async fn part(&mut self, state: &mut State, reason: Reason) {
        self.flush(state).await;
        if let Some(complaint) = self.session.complaint() {
            self.protocol.complain(complaint);
        }
        self.protocol.farewell(reason, &mut state.out);
        self.session.endpoint().push_own(&state.out.take());
        let fault = self.fault();
        if let Some(websocket) = &mut self.websocket {
            let close = ws::CloseFrame::because(close_code(reason), reason, fault.as_deref());
            // It is written once, and on this side without randomness.
            if let Ok(Some(close)) = websocket.close(Some(&close)) {
                self.push_raw(close);
            }
        }
        self.flush(state).await;
    }
}

/// The code that closes the WebSocket of a session.
fn close_code(reason: Reason) -> ws::CloseCode {
    match reason {
        Reason::Bye => ws::CloseCode::NORMAL,
        Reason::HubStopping => ws::CloseCode::GOING_AWAY,
        Reason::Malformed => ws::CloseCode::PROTOCOL_ERROR,
        Reason::TooLarge => ws::CloseCode::TOO_BIG,
        _ => ws::CloseCode::POLICY,
    }
}
