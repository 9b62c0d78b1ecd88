//! AnySocket (docs/anysocket.md).

use crate::gateway::{Context, Gateway, Match, NewSession, Opened, Opening, Refused, WebSocket};
use crate::runner::Runner;
use crosspoint_gateways::anysocket;
use crosspoint_gateways::anysocket::server::{MESSAGE_BYTES_MAX, Options, Setup};
use crosspoint_gateways::anysocket::wire::AnySocketWire;
use crosspoint_hub::Reason;
use crosspoint_hub::wire::Wire;
use std::fmt;
use std::sync::{Arc, OnceLock};

/// A JSON value as its text.
pub use crosspoint_gateways::anysocket::Json;

static IN_WEBSOCKET: WebSocket<AnySocketWire> = WebSocket::text(AnySocketWire);

/// Serves programs with AnySocket, inside WebSockets. The hub's id is that of its own program
/// ([`Hub::application_peer`](crosspoint_hub::Hub::application_peer)), or else
/// [`HttpOptions::node_id`](crate::http::HttpOptions::node_id), which is made up if there is none.
#[derive(Clone)]
pub struct AnySocket {
    /// Whether they are served.
    pub enabled: bool,
    /// What the hub gives to the check of its clients (`onAuth`), if anything.
    pub auth: Option<Json>,
    /// Whether the hub begins to encrypt each connection by itself (docs/anysocket.md, section 8).
    /// Otherwise clients do, or the hub application ([`Hub::secure`](crosspoint_hub::Hub::secure)).
    pub encrypt: bool,
}

impl Default for AnySocket {
    fn default() -> Self {
        Self { enabled: true, auth: None, encrypt: false }
    }
}

impl fmt::Debug for AnySocket {
    /// Without what may be a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { enabled, auth, encrypt } = self;
        f.debug_struct("AnySocket")
            .field("enabled", enabled)
            .field("auth", &auth.as_ref().map(|_| "***"))
            .field("encrypt", encrypt)
            .finish()
    }
}

impl Gateway for AnySocket {
    fn name(&self) -> &'static str {
        anysocket::WIRE.profile().name
    }

    fn needs_hub_id(&self) -> bool {
        self.enabled
    }

    /// Only AnySocket sends text of its own accord, and its packets begin so (docs/anysocket.md, section 3).
    fn recognise(&self, opening: &Opening<'_>) -> Match {
        match opening {
            Opening::WebSocket { bytes: [b'1' | b'2', ..], text: true } => Match::Yes,
            _ => Match::No,
        }
    }

    fn open(&self, context: &Context<'_>) -> Result<Opened, Refused> {
        Ok(self.session(context, self.options(context)?))
    }

    fn for_server(&self, _: &Arc<Runner>) -> Option<Arc<dyn Gateway>> {
        Some(Arc::new(Served { gateway: self.clone(), setup: OnceLock::new() }))
    }
}

impl AnySocket {
    /// What sessions are set up with.
    fn options(&self, context: &Context<'_>) -> Result<Options, Refused> {
        let fault = "programs of AnySocket are not served here (anysocket.enabled)";
        if !self.enabled {
            return Err(Refused::unknown(fault));
        }
        let Some(id) = context.hub_id else {
            let fault = "the system gave no randomness for the hub's id";
            return Err(Refused { reason: Reason::Internal, fault: fault.to_owned() });
        };
        Ok(Options {
            id,
            auth: self.auth.clone(),
            limits: context.hub.limits.clone(),
            clock: super::clock_ms,
            guard_races: true,
            encrypt: self.encrypt,
        })
    }

    fn session(&self, context: &Context<'_>, setup: impl Into<Arc<Setup>>) -> Opened {
        let protocol = anysocket::server::AnySocket::new(context.now, setup);
        // Its largest pieces are larger than other protocols' frames.
        Opened::Session(NewSession {
            wire: &IN_WEBSOCKET,
            protocol: Box::new(protocol),
            websocket_frame_bytes_max: Some(MESSAGE_BYTES_MAX),
        })
    }
}

/// The gateway of one server, whose sessions share what they are set up with.
#[derive(Debug)]
struct Served {
    gateway: AnySocket,
    setup: OnceLock<Arc<Setup>>,
}

impl Gateway for Served {
    fn name(&self) -> &'static str {
        self.gateway.name()
    }

    fn needs_hub_id(&self) -> bool {
        self.gateway.needs_hub_id()
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        self.gateway.recognise(opening)
    }

    fn open(&self, context: &Context<'_>) -> Result<Opened, Refused> {
        let options = self.gateway.options(context)?;
        let id = options.id;
        let setup = self.setup.get_or_init(|| options.into());
        // The hub has another id from when its own program comes.
        match setup.options().id == id {
            true => Ok(self.gateway.session(context, setup.clone())),
            false => self.gateway.open(context),
        }
    }
}
