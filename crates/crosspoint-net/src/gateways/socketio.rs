//! Socket.IO with the plugin `socket.io-p2p-plugin` (docs/socketio.md).

use crate::engineio::{Config, EngineIo, Handshake, Inner, Path, Revision, recovery};
use crate::gateway::{Context, NewSession, Refused, WebSocket};
use crate::runner::Runner;
use crosspoint_gateways::socketio::packet::ATTACHMENTS_MAX;
use crosspoint_gateways::socketio::server;
use crosspoint_gateways::socketio::server::{Options, Start};
use crosspoint_gateways::socketio::wire::SocketIoWire;
use crosspoint_hub::wire::Wire;
use crosspoint_hub::{Limits, Reason};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

pub use crosspoint_gateways::socketio::server::Generation;

static THREE: WebSocket<SocketIoWire> = WebSocket::text(SocketIoWire::THREE);
static FOUR: WebSocket<SocketIoWire> = WebSocket::text(SocketIoWire::FOUR);

/// Serves programs with `socket.io-client`, revisions 2 to 4, and those with the plugin in all its generations.
#[derive(Debug, Clone)]
pub struct SocketIo {
    /// Whether they are served.
    pub enabled: bool,
    /// The path of their requests.
    pub path: Path,
    /// Their sessions: heartbeats, and the largest message of a client.
    pub engine: Config,
    /// The namespaces that clients may enter besides the root, each with a slash in front.
    pub namespaces: Vec<Box<str>>,
    /// The most attachments of a packet. Clients from npm take no packet with more than 10.
    pub attachments_max: u8,
    /// The most acknowledgements that one client may wait for.
    pub acks_max: usize,
    /// How long the other side may take to answer what is no emit. `None`: for ever.
    pub wait_time: Option<Duration>,
    /// How long the acknowledgement of an emit may take. `None`: for ever.
    pub ack_time: Option<Duration>,
    /// Which generations of the plugin are served.
    pub generation: Generation,
    /// How sessions of clients of versions 3 and 4 survive their connections, if they do.
    pub recovery: Option<recovery::Config>,
}

impl Default for SocketIo {
    /// As the originals from npm.
    fn default() -> Self {
        Self {
            enabled: true,
            path: "/socket.io".parse().expect("it is a path"),
            engine: Config::default(),
            namespaces: Vec::new(),
            attachments_max: ATTACHMENTS_MAX,
            acks_max: Options::ACKS_MAX,
            wait_time: Some(Options::WAIT_TIME),
            ack_time: None,
            generation: Generation::Any,
            recovery: None,
        }
    }
}

impl From<SocketIo> for EngineIo {
    fn from(gateway: SocketIo) -> Self {
        let (path, engine, recovery) = (gateway.path.clone(), gateway.engine, gateway.recovery);
        let inner = Served { gateway: Arc::new(gateway), options: OnceLock::new() };
        Self::new(path, engine, Arc::new(inner)).with_recovery(recovery)
    }
}

/// The gateway of one server, whose sessions share what they are set up with.
#[derive(Debug)]
struct Served {
    gateway: Arc<SocketIo>,
    options: OnceLock<Arc<Options>>,
}

impl Served {
    fn options(&self, limits: &Arc<Limits>) -> &Arc<Options> {
        self.options.get_or_init(|| {
            let gateway = &*self.gateway;
            Arc::new(Options {
                namespaces: gateway.namespaces.clone(),
                payload_bytes_max: gateway.engine.beat.payload_bytes_max,
                attachments_max: gateway.attachments_max,
                acks_max: gateway.acks_max,
                wait_time: gateway.wait_time,
                ack_time: gateway.ack_time,
                generation: gateway.generation,
                clock: super::clock_ms,
                ..Options::new(limits.clone())
            })
        })
    }
}

impl Inner for Served {
    fn name(&self) -> &'static str {
        THREE.profile().name
    }

    fn refusal(&self) -> Option<Refused> {
        let fault = "programs of Socket.IO are not served here (socketio.enabled)";
        (!self.gateway.enabled)
            .then(|| Refused { reason: Reason::UnknownProtocol, fault: fault.to_owned() })
    }

    fn open(
        &self,
        context: &Context<'_>,
        handshake: &Handshake<'_>,
    ) -> Result<NewSession, Refused> {
        let named = |key| handshake.query.get(key).filter(|value| !value.is_empty());
        let start = Start {
            client_id: named("clientId").map(|name| name.into()),
            token: named("token").map(|token| token.into()),
        };
        let options = self.options(&context.hub.limits).clone();
        let socket = handshake.socket(context.now);
        Ok(NewSession {
            wire: match handshake.revision {
                Revision::Three => &THREE,
                Revision::Four => &FOUR,
            },
            protocol: Box::new(server::SocketIo::new(context.now, options, socket, start)),
            websocket_frame_bytes_max: Some(handshake.beat.payload_bytes_max as usize),
        })
    }

    fn for_server(&self, _: &Arc<Runner>) -> Option<Arc<dyn Inner>> {
        Some(Arc::new(Self { gateway: self.gateway.clone(), options: OnceLock::new() }))
    }
}
