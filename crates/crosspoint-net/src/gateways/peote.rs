//! The joint protocol of peote-net (docs/peote.md).

use crate::gateway::{
    Context, Gateway, Match, Opened, Opening, Refused, Silence, Transport, WebSocket,
};
use crosspoint_gateways::peote;
use crosspoint_gateways::peote::wire::JointWire;
use crosspoint_hub::Limit;
use crosspoint_hub::wire::Wire;

static IN_WEBSOCKET: WebSocket<JointWire> = WebSocket::binary(JointWire);

/// Serves programs of peote-net, over streams and inside WebSockets.
#[derive(Debug, Clone, Copy, Default)]
pub struct Peote {
    /// Whether they are served. They cannot present credentials, so unless it is said they are served only
    /// where nobody has to. Served with an authenticator, they are checked by it like all others.
    pub enabled: Option<bool>,
}

impl Peote {
    fn is_served(&self, context: &Context<'_>) -> bool {
        self.enabled.unwrap_or(!context.asks_for_credentials)
    }
}

impl Gateway for Peote {
    fn name(&self) -> &'static str {
        peote::WIRE.profile().name
    }

    fn recognise(&self, opening: &Opening<'_>) -> Match {
        let bytes = match opening {
            Opening::Stream(bytes) | Opening::WebSocket { bytes, .. } => bytes,
            Opening::Upgrade(_) => return Match::No,
        };
        match peote::frame::begins(bytes) {
            Some(true) => Match::Yes,
            Some(false) => Match::No,
            None => Match::Partial,
        }
    }

    fn open(&self, context: &Context<'_>) -> Result<Opened, Refused> {
        if !self.is_served(context) {
            return Err(Refused::unknown(
                "programs of peote-net are not served here: they are switched off, or cannot present the credentials that are demanded (peote.enabled)",
            ));
        }
        let wire: &'static dyn Wire = match context.transport {
            Transport::Stream => &peote::WIRE,
            Transport::WebSocket => &IN_WEBSOCKET,
        };
        Ok(Opened::session(wire, peote::server::Joint::new()))
    }

    /// Programs open a WebSocket and create or enter something only when they like (docs/peote.md,
    /// section 3.5).
    fn silence_max(&self, context: &Context<'_>) -> Option<Silence> {
        let most = context.hub.limits.first_words_max;
        let patient = context.transport == Transport::WebSocket && self.is_served(context);
        patient.then_some(Silence { most, limit: Limit::FirstWords })
    }
}
