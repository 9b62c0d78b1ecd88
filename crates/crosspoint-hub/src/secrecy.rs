//! Whether what the hub says to a session is encrypted on its way, and who waits for that.
//!
//! How a connection is encrypted is its protocol's matter. The hub application asks for it with
//! [`Hub::secure`](crate::Hub::secure); the session's protocol is told by
//! [`Event::Secure`](crate::Event::Secure), and says by
//! [`Command::Secured`](crate::Command::Secured) what became of it. It says the same if the endpoint
//! has asked. A session that ends tells all who wait.

use crate::reason::Reason;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

/// Tells keys apart that were agreed on: both ends see the same, unless somebody sits in the middle.
/// It is no secret.
pub type Fingerprint = [u8; 32];

/// Who wants to know that a session is encrypted, or why it is not. Called once, by the task of the
/// session, so it has to return at once.
pub type Done = Box<dyn FnOnce(Result<Fingerprint, Reason>) + Send>;

/// Where one session is on its way.
#[derive(Default)]
pub(crate) struct Secrecy(Mutex<State>);

#[derive(Default)]
enum State {
    #[default]
    Clear,
    /// Its protocol was asked, and these wait.
    Asked(Vec<Done>),
    Secured(Fingerprint),
    Ended(Reason),
}

impl Secrecy {
    fn lock(&self) -> MutexGuard<'_, State> {
        // Each change is a single assignment.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Somebody wants to know. Gives whether the protocol has to be asked; otherwise it was before,
    /// or it is known already and was said.
    pub(crate) fn ask(&self, done: Done) -> bool {
        let mut state = self.lock();
        let known = match &mut *state {
            State::Clear => {
                *state = State::Asked(vec![done]);
                return true;
            }
            State::Asked(waiting) => {
                waiting.push(done);
                return false;
            }
            State::Secured(fingerprint) => Ok(*fingerprint),
            State::Ended(reason) => Err(*reason),
        };
        drop(state);
        done(known);
        false
    }

    /// The session is encrypted from now on, or cannot be.
    pub(crate) fn settle(&self, outcome: Result<Fingerprint, Reason>) {
        self.set(outcome.map_or(State::Clear, State::Secured), outcome);
    }

    /// The session has ended.
    pub(crate) fn end(&self, reason: Reason) {
        self.set(State::Ended(reason), Err(reason));
    }

    fn set(&self, next: State, outcome: Result<Fingerprint, Reason>) {
        let mut state = self.lock();
        if matches!(*state, State::Ended(_)) {
            return;
        }
        let before = std::mem::replace(&mut *state, next);
        drop(state);
        if let State::Asked(waiting) = before {
            waiting.into_iter().for_each(|done| done(outcome));
        }
    }

    /// The fingerprint, if the session is encrypted.
    pub(crate) fn fingerprint(&self) -> Option<Fingerprint> {
        match *self.lock() {
            State::Secured(fingerprint) => Some(fingerprint),
            _ => None,
        }
    }
}

impl fmt::Debug for Secrecy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match *self.lock() {
            State::Clear => "Clear",
            State::Asked(_) => "Asked",
            State::Secured(_) => "Secured",
            State::Ended(_) => "Ended",
        })
    }
}
