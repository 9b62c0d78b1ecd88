//! The control center of one hub.

use crate::access::{Access, Token};
use crate::shared::{Shared, look};
use crate::{page, routes};
use axum::Router;
use crosspoint_hub::Hub;
use std::sync::Arc;

/// How a control center is set up.
#[derive(Debug, Clone)]
pub struct ControlOptions {
    /// The name of the hub that is shown; empty for none.
    pub name: String,
    /// Who is let in without a token.
    pub access: Access,
    /// The token that lets somebody in from anywhere. `None`: nobody else is let in.
    pub token: Option<Token>,
    /// The most event streams at the same time.
    pub viewers_max: usize,
    /// Whether the page is at `/` too, besides `/control/`.
    pub page_at_root: bool,
}

impl Default for ControlOptions {
    fn default() -> Self {
        Self {
            name: String::new(),
            access: Access::default(),
            token: None,
            viewers_max: 16,
            page_at_root: true,
        }
    }
}

/// The control center of a hub. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Control {
    shared: Arc<Shared>,
    page_at_root: bool,
}

impl Control {
    /// The control center of a hub. It has a task of its own, which ends when this and all routers have been dropped.
    ///
    /// # Panics
    /// Outside a tokio runtime with time.
    pub fn new(hub: Arc<Hub>, options: ControlOptions) -> Self {
        let ControlOptions { name, access, token, viewers_max, page_at_root } = options;
        let shared = Arc::new(Shared::new((hub, name), (access, token), viewers_max));
        tokio::spawn(look(Arc::downgrade(&shared)));
        Self { shared, page_at_root }
    }

    /// What is answered to requests, for [`HttpOptions::routes`](crosspoint_net::http::HttpOptions::routes): the API under
    /// `/api/v1`, the page under `/control/` and, if that is wanted, at `/`. It may be merged with other routes.
    ///
    /// Behind another server than that of `crosspoint-net`, which tells how a request has come
    /// ([`Arrival`](crosspoint_net::http::Arrival)), nobody is let in without the token.
    pub fn router(&self) -> Router {
        routes::routes(&self.shared).merge(page::routes(self.page_at_root))
    }
}
