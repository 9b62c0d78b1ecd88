//! Encryption that this side begins: because the client asks for it, the hub application, or the options.

use super::acts::done;
use super::{AnySocket, Reply, State, With, write};
use crate::anysocket::cipher::SwitchError;
use crate::anysocket::link::SendError;
use crosspoint_hub::Reason;
use crosspoint_hub::command::Command;
use crosspoint_hub::payload::Failure;
use crosspoint_hub::wire::FrameWriter;
use std::time::{Duration, Instant};

/// How long after AUTH the hub begins by itself. An original that calls for encryption as soon as it is
/// connected, and hears of ours while it makes its keys, mixes both up and is lost. A moment later our
/// call finds its own on the way.
pub(super) const PAUSE: Duration = Duration::from_millis(100);

/// How much of what has waited for encryption is written at once, or a single piece.
const BACKLOG_BYTES: usize = 256 * 1024;

impl AnySocket {
    /// The client asks for it: says yes in clear, and begins the switch behind that.
    pub(super) fn secure(&mut self, reply: Reply, out: &mut FrameWriter) {
        let now = self.now;
        let refused = if self.main.is_encrypted() {
            Some(reply.failure(409, "the connection is encrypted already"))
        } else if !self.switches.take(now) {
            Some(reply.failure(Failure::TOO_MANY, "too many switches; wait a little"))
        } else {
            None
        };
        let begins = refused.is_none();
        self.answer(With::Hub, reply, &refused.unwrap_or_else(done), out);
        if begins {
            self.encrypt(now, out);
        }
    }

    /// The hub application asks for it.
    pub(super) fn secure_for_home(&mut self, out: &mut FrameWriter) {
        if let Some(fingerprint) = self.main.fingerprint() {
            return self.give(Command::Secured { outcome: Ok(fingerprint) });
        }
        if self.main.peer().is_none_or(|id| id.text().is_none()) {
            // Keys are made of ids, and such an id has no form for that.
            return self.give(Command::Secured { outcome: Err(Reason::Unsupported) });
        }
        self.encrypt(self.now, out);
    }

    /// Writes some of what has waited for encryption.
    pub(super) fn write_backlog(&mut self, out: &mut FrameWriter) {
        if !self.backlog || self.state == State::Closed {
            return;
        }
        match write(&mut self.main, &mut *self.random, None, out, BACKLOG_BYTES) {
            Ok(all) => self.backlog = !all,
            Err(reason) => self.fail(reason),
        }
    }

    /// Calls for encryption, at `from` at the earliest.
    pub(super) fn encrypt(&mut self, from: Instant, out: &mut FrameWriter) {
        match self.main.encrypt_from(self.now, from, &mut *self.random) {
            // One side has called before, and all goes its way.
            Ok(_) | Err(SendError::Switch(SwitchError::Already)) => {}
            Err(SendError::Full) => return self.fail(Reason::SlowReceiver),
            // The system gives no random bytes.
            Err(_) => return self.fail(Reason::Internal),
        }
        self.tell(out, |_| Ok(()));
    }
}
