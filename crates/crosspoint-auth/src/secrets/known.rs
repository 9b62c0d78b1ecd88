//! Secrets that were right a moment ago, so that they need no slow check again.

use aws_lc_rs::{constant_time, hmac};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// The key with which right secrets are remembered. It is made at random and is never stored, so what
/// is remembered tells nothing to a process that reads it elsewhere.
#[derive(Debug)]
pub(super) struct Memory {
    /// `None` without randomness: then nothing is remembered.
    key: Option<hmac::Key>,
}

/// The keyed hash of a token.
#[derive(Clone, Copy)]
pub(super) struct Tag([u8; 32]);

impl Memory {
    pub(super) fn new() -> Self {
        let mut key = [0; 32];
        let random = getrandom::fill(&mut key);
        Self { key: random.is_ok().then(|| hmac::Key::new(hmac::HMAC_SHA256, &key)) }
    }

    pub(super) fn tag(&self, token: &[u8]) -> Option<Tag> {
        let tag = hmac::sign(self.key.as_ref()?, token);
        tag.as_ref().try_into().ok().map(Tag)
    }
}

/// What is remembered of one secret: a hash fits to one secret, so one tag is enough.
#[derive(Default)]
pub(super) struct Known(Mutex<Option<(Tag, Instant)>>);

impl Known {
    /// Whether the token with this tag was right, and not too long ago. Takes the same time whatever
    /// the difference is.
    pub(super) fn is_right(&self, now: Instant, tag: &Tag) -> bool {
        let known = *self.lock();
        known.is_some_and(|(known, until)| {
            constant_time::verify_slices_are_equal(&known.0, &tag.0).is_ok() && now < until
        })
    }

    /// The token with this tag is right.
    pub(super) fn remember(&self, now: Instant, tag: Tag, time: Duration) {
        if let Some(until) = now.checked_add(time) {
            *self.lock() = Some((tag, until));
        }
    }

    fn lock(&self) -> MutexGuard<'_, Option<(Tag, Instant)>> {
        // One value is whole, even after a panic.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for Known {
    /// Without the tag.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Known").finish_non_exhaustive()
    }
}
