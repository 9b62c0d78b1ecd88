//! Who an endpoint is to others.

use crate::ids::PeerId;
use std::sync::Arc;

/// What others may know of an endpoint.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Peer {
    /// Its id.
    pub id: PeerId,
    /// The name that it is found by.
    pub name: Option<Arc<str>>,
    /// The protocol that it speaks, such as `native` or `peote`.
    pub protocol: &'static str,
}
