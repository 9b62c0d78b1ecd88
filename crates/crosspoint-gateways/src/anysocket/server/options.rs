//! What an embedder sets.

use crate::anysocket::link::Config;
use crate::anysocket::reassembly::Bounds;
use crate::value::Json;
use crosspoint_hub::{Limits, PeerId};
use std::fmt;
use std::sync::Arc;

/// What the hub is to its clients.
#[derive(Clone)]
pub struct Options {
    /// The hub's own id.
    pub id: PeerId,
    /// What the hub gives to the check of its clients (`onAuth`), if anything.
    pub auth: Option<Json>,
    /// The bounds of the hub.
    pub limits: Arc<Limits>,
    /// The time in milliseconds since 1970.
    pub clock: fn() -> u64,
    /// Whether races of the original are guarded against with packets that its own server would not send:
    /// both sides calling for encryption at once (docs/anysocket.md, section 8;
    /// [`Config::mark_switch`](crate::anysocket::link::Config::mark_switch)), and packets of a peer that
    /// come together with the news of it (section 9).
    pub guard_races: bool,
    /// Whether the hub begins to encrypt each connection by itself, a moment after AUTH. From AUTH on
    /// nothing of its own leaves in clear then. A client that does not answer is closed.
    pub encrypt: bool,
}

impl fmt::Debug for Options {
    /// Without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { id, auth, limits, clock: _, guard_races, encrypt } = self;
        f.debug_struct("Options")
            .field("id", id)
            .field("auth", &auth.as_ref().map(|_| "***"))
            .field("limits", limits)
            .field("guard_races", guard_races)
            .field("encrypt", encrypt)
            .finish_non_exhaustive()
    }
}

/// [`Options`], and what follows from them. Made once, as all sessions of a server share it.
#[derive(Debug)]
pub struct Setup {
    pub(super) options: Options,
    pub(super) config: Arc<Config>,
}

impl Setup {
    /// What was set.
    pub fn options(&self) -> &Options {
        &self.options
    }
}

impl From<Options> for Setup {
    fn from(options: Options) -> Self {
        let limits = &options.limits;
        let bytes_max = limits.message_bytes_max as usize;
        let config = Config {
            pieces: Bounds {
                bytes_max,
                whole_time_max: limits.message_time_max,
                ..Bounds::default()
            },
            // What the client says until it has answered the call for encryption, and is answered, with some large
            // messages.
            queue_bytes_max: limits.outbox_bytes_max.saturating_add(2 * bytes_max),
            queue_max: (limits.outbox_bytes_max / 256).max(4096),
            mark_switch: options.guard_races,
            // Half of it for what peers ask, the rest for what the hub asks itself.
            requests_max: 2 * Config::default().requests_max,
            ..Config::default()
        };
        Self { options, config: Arc::new(config) }
    }
}

impl From<Options> for Arc<Setup> {
    fn from(options: Options) -> Self {
        Self::new(options.into())
    }
}
