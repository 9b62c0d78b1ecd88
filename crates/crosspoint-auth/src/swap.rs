//! An authenticator that can be exchanged while it is in use.

use crate::{Authenticator, BoxFuture, Credentials, Denied};
use crosspoint_hub::Grant;
use std::sync::{Arc, PoisonError, RwLock};

/// Asks another authenticator, which may be [exchanged](Self::set): for new secrets and keys without
/// a new start. Who is being checked at that moment is checked by the old one; sessions stay as they
/// are. `Hub::end_claims` ends those whose names have become reserved.
#[derive(Debug)]
pub struct Swap(RwLock<Arc<dyn Authenticator>>);

impl Swap {
    /// Asks this one.
    pub fn new(first: Arc<dyn Authenticator>) -> Self {
        Self(RwLock::new(first))
    }

    fn current(&self) -> Arc<dyn Authenticator> {
        self.0.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Asks another one from now on.
    pub fn set(&self, next: Arc<dyn Authenticator>) {
        // A pointer is whole, even after a panic.
        *self.0.write().unwrap_or_else(PoisonError::into_inner) = next;
    }
}

impl Authenticator for Swap {
    fn authenticate(&self, credentials: Credentials) -> BoxFuture<'_, Result<Grant, Denied>> {
        let current = self.current();
        Box::pin(async move { current.authenticate(credentials).await })
    }

    fn reserves(&self, name: &str) -> bool {
        self.current().reserves(name)
    }
}
