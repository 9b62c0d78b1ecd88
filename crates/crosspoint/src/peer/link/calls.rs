//! Typed calls over a link: the same `#[remote]` traits as over a channel.

use super::Core;
use crate::lock::lock;
use crate::remote::{CallTransport, Calls, Malicious, Origin, Outcome, REPLY, TransportError};
use bytes::Bytes;
use crosspoint_proto::peer::SendError;
use std::sync::{Arc, Weak};

/// What came of a message for objects.
pub(crate) enum Served {
    /// The other side has registered this object.
    Announced(u8),
    Malicious(Malicious),
}

/// The way of typed calls. It does not hold the link.
#[derive(Debug)]
struct PeerLink {
    core: Weak<Core>,
    bytes_max: usize,
}

impl CallTransport for PeerLink {
    fn send(&self, kind: u8, payload: Bytes) -> Result<(), TransportError> {
        let core = self.core.upgrade().ok_or(TransportError::Closed)?;
        core.with(|state, _| {
            if state.ended.is_some() {
                return Err(TransportError::Closed);
            }
            state.typed(kind, payload).map_err(|error| match error {
                SendError::Full => TransportError::Congested,
                // The length was checked before.
                _ => TransportError::Closed,
            })
        })
    }

    fn replies(&self) -> bool {
        true
    }

    fn max_payload(&self) -> usize {
        self.bytes_max
    }
}

impl Core {
    pub(crate) fn calls(self: &Arc<Self>) -> &Calls {
        self.calls.get_or_init(|| {
            let bytes_max = self.state().machine.config().message_bytes_max;
            let calls = Calls::new(PeerLink { core: Arc::downgrade(self), bytes_max });
            // The link may have ended before there was anything to close.
            if self.state().ended.is_some() {
                calls.close();
            }
            calls
        })
    }

    /// A reply to a typed call has arrived.
    pub(super) fn take_reply(self: &Arc<Self>, reply: Bytes) {
        if self.calls().reply(reply).is_none() {
            self.with(|state, later| state.put_malicious(self, Malicious::Head, later));
        }
    }

    /// Lets an object do what it is called for, and sends its reply. Gives what the user has to hear.
    pub(crate) fn serve(self: &Arc<Self>, kind: u8, body: Bytes) -> Option<Served> {
        let outcome = lock(&self.objects).handle(Origin::Peer, kind, body);
        match outcome {
            Outcome::Announced(object) => Some(Served::Announced(object)),
            Outcome::Called { .. } => None,
            Outcome::Malicious(error) => Some(Served::Malicious(error)),
            Outcome::Reply { payload, malicious } => {
                self.submit_later(REPLY, payload);
                malicious.map(Served::Malicious)
            }
        }
    }

    /// Sends a message of typed calls; waits in a task of its own if there is no room now.
    pub(crate) fn submit_later(self: &Arc<Self>, kind: u8, body: Bytes) {
        let sent = self.with(|state, _| state.typed(kind, body.clone()));
        if sent == Err(SendError::Full) {
            let core = self.clone();
            self.commands.runtime().spawn(async move {
                // If the link ends meanwhile, nobody waits for it any more.
                let _ = core.submit(|state| state.typed(kind, body.clone())).await;
            });
        }
    }
}
