//! What holds for all links of a node.

use super::handlers::Handlers;
use super::now;
use crate::connection::Pool;
use crate::options::NodeOptions;
use crosspoint_net::log_limit::LogLimit;
use std::sync::Arc;

/// What all links of a node have in common, over all its connections.
#[derive(Debug)]
pub(crate) struct Terms {
    pub(crate) options: NodeOptions,
    pub(crate) handlers: Handlers,
    /// What the node holds because of others.
    pub(crate) pool: Arc<Pool>,
    /// For what any peer can cause.
    pub(crate) log: LogLimit,
}

impl Terms {
    pub(crate) fn new(options: NodeOptions, handlers: Handlers) -> Arc<Self> {
        let pool = Pool::new(options.held_bytes, options.incoming_max);
        Arc::new(Self { options, handlers, pool, log: LogLimit::new(now()) })
    }
}
