//! Values that need not be fit for several threads.

use std::sync::{Mutex, PoisonError};

/// Something that is only reached by its owner, so that it can be part of what is
/// shared between threads without being fit for that itself.
pub(super) struct Alone<T>(Mutex<T>);

impl<T> Alone<T> {
    pub(super) fn new(value: T) -> Self {
        Self(Mutex::new(value))
    }

    pub(super) fn get(&mut self) -> &mut T {
        self.0.get_mut().unwrap_or_else(PoisonError::into_inner)
    }
}
