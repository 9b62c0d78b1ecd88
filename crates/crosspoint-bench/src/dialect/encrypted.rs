//! The native protocol with links that are encrypted from end to end (docs/peers.md, section 6).
//! Both ends encrypt and decrypt in the load generator, as they would in two programs.

use std::sync::Arc;

use bytes::Bytes;
use crosspoint_proto::identity::Identity;

use super::native_link::{Echo, Reply, Speaker};
use super::native_pair::Pair;
use super::native_session::Native;
use super::{Dialect, Fanout, FanoutShape, IdleState, Relay, Requests, Responder, native};
use crate::BenchError;
use crate::connection::Connection;
use crate::transport::{Options, Transport};

/// A hub that speaks the native protocol, with endpoints that keep from it what they say.
#[derive(Debug, Clone)]
pub struct Encrypted(Native);

const NAME: &str = "encrypted";

impl Encrypted {
    /// Speaks to the hub at this address.
    pub fn new(hub: impl Into<Transport>) -> Encrypted {
        Encrypted(Native::new(hub))
    }

    /// The same with what the hub asks for before it lets anybody in.
    #[must_use]
    pub fn with_token(self, token: Option<Bytes>) -> Encrypted {
        Encrypted(self.0.with_token(token))
    }
}

impl Dialect for Encrypted {
    fn name(&self) -> &'static str {
        NAME
    }

    fn open_requests(&self, payload: usize) -> Result<Requests, BenchError> {
        native::check_request(payload)?;
        let fresh = || Identity::generate().map(Arc::new).map_err(std::io::Error::other);
        let identities = fresh()
            .and_then(|first| Ok([first, fresh()?]))
            .map_err(BenchError::system("making a key"))?;
        let mut pair = Pair::open(&self.0, Options::default(), Some(&identities))?;
        let [ours, theirs] = pair.encrypt(&identities)?;
        let Pair { opener, accepter } = pair;
        let speaker = Speaker::new(opener.link.0, Some(ours));
        let answering = Speaker::new(accepter.link.0, Some(theirs));
        Ok(Requests {
            stream: opener.session.ready()?,
            asker: Box::new(Echo::new(speaker, payload)),
            responder: Some(Responder {
                stream: accepter.session.ready()?,
                answerer: Box::new(Reply(answering)),
            }),
        })
    }

    fn open_fanout(&self, _shape: &FanoutShape) -> Result<Fanout, BenchError> {
        Err(BenchError::Unsupported { dialect: NAME, workload: "fanout" })
    }

    fn open_relay(&self, _payload: usize) -> Result<Relay, BenchError> {
        Err(BenchError::Unsupported { dialect: NAME, workload: "relay" })
    }

    fn open_idle(
        &self,
        _state: IdleState,
        _count: usize,
        _opened: &mut dyn FnMut(usize),
    ) -> Result<Vec<Connection>, BenchError> {
        Err(BenchError::Unsupported { dialect: NAME, workload: "idle" })
    }
}
