//! The native protocol (docs/protocol.md).

use crate::gateway::{Context, Gateway, Match, Opened, Opening, Refused, Transport, WebSocket};
use bytes::Bytes;
use crosspoint_hub::Reason;
use crosspoint_hub::wire::{FrameWriter, Wire};
use crosspoint_proto as native;
use crosspoint_proto::wire::NativeWire;

static IN_WEBSOCKET: WebSocket<NativeWire> = WebSocket::binary(NativeWire);

/// Serves the native protocol, over streams and inside WebSockets.
#[derive(Debug, Clone, Copy)]
pub struct Native;

impl Gateway for Native {
    fn name(&self) -> &'static str {
        native::WIRE.profile().name
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        match opening {
            Opening::Stream(bytes) | Opening::WebSocket { bytes, .. } => {
                Match::mark(bytes, &native::frame::MAGIC)
            }
            Opening::Upgrade(_) => Match::No,
        }
    }

    fn open(&self, context: &Context<'_>) -> Result<Opened, Refused> {
        // Without randomness no key can be proven; clients that show none are served.
        let mut random = [0; 32];
        let random = getrandom::fill(&mut random).is_ok().then_some(random);
        let options = native::server::Options {
            limits: context.hub.limits.clone(),
            hub: context.hub_name.to_owned(),
            home: context.hub.application_peer(),
            away_max: context.away_max,
            random,
            channel_binding: context.channel_binding,
        };
        let wire: &'static dyn Wire = match context.transport {
            Transport::Stream => &native::WIRE,
            Transport::WebSocket => &IN_WEBSOCKET,
        };
        Ok(Opened::session(wire, native::server::Native::new(context.now, options)))
    }

    fn refusal(&self, reason: Reason) -> Option<Bytes> {
        let mut out = FrameWriter::default();
        native::message::put_close(reason, None, &mut out);
        Some(out.take().first)
    }
}
