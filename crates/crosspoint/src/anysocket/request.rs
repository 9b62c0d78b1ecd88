//! Requests and calls on their way.

use super::arg::{Arg, value_of};
use super::handlers::path;
use super::shared::{Answer, State, after};
use super::{Json, Peer, PeerError};
use crosspoint_gateways::anysocket::client::SendError;
use crosspoint_gateways::anysocket::internal::rpc::{self, Outcome, PARAMS_MAX, PATH_MAX};
use serde_json::Value;
use std::pin::Pin;
use std::time::{Duration, Instant};
use tokio::sync::oneshot;

type Asking<T> = Pin<Box<dyn Future<Output = Result<T, PeerError>> + Send>>;

/// A request; await it for the answer.
#[must_use = "a request is sent when it is awaited"]
#[derive(Debug)]
pub struct Request {
    pub(super) peer: Peer,
    pub(super) body: Result<Json, PeerError>,
    pub(super) timeout: Duration,
}

impl Request {
    /// How long the answer may take, from when it is awaited; 30 s unless set with
    /// [`reply_timeout`](super::ClientBuilder::reply_timeout).
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

impl IntoFuture for Request {
    type Output = Result<Value, PeerError>;
    type IntoFuture = Asking<Value>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let body = self.body?;
            let link = self.peer.link.link;
            let ask = |state: &mut State, deadline, token| {
                state.machine.request(link, body.clone(), deadline, token)
            };
            let (body, _) = self.peer.ask(self.timeout, ask).await?;
            value_of(&body)
        })
    }
}

/// A call of a method; await it for the result.
#[must_use = "a call is made when it is awaited"]
#[derive(Debug)]
pub struct CallRequest {
    pub(super) peer: Peer,
    pub(super) call: Result<rpc::Call, PeerError>,
    pub(super) timeout: Duration,
}

impl CallRequest {
    pub(super) fn new<P>(peer: Peer, method: &str, params: P) -> Self
    where
        P: IntoIterator<Item: Into<Arg>>,
    {
        let timeout = peer.handle.shared.reply_timeout;
        Self { peer, call: call(method, params), timeout }
    }

    /// As [`Request::timeout`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }
}

fn call<P>(method: &str, params: P) -> Result<rpc::Call, PeerError>
where
    P: IntoIterator<Item: Into<Arg>>,
{
    let method = path(method);
    // The other side refuses more as well, if it is one of ours.
    if method.len() > PATH_MAX {
        return Err(PeerError::TooMany { what: "names in its method", most: PATH_MAX });
    }
    let params = params.into_iter().map(|param| param.into().to_wire());
    let params = params.take(PARAMS_MAX + 1).collect::<Result<Vec<_>, _>>()?;
    if params.len() > PARAMS_MAX {
        return Err(PeerError::TooMany { what: "parameters", most: PARAMS_MAX });
    }
    Ok(rpc::Call { method, params })
}

impl IntoFuture for CallRequest {
    type Output = Result<Arg, PeerError>;
    type IntoFuture = Asking<Arg>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let call = self.call?;
            let link = self.peer.link.link;
            let ask = |state: &mut State, deadline, token| {
                state.machine.call(link, &call, deadline, token)
            };
            let (body, _) = self.peer.ask(self.timeout, ask).await?;
            match Outcome::parse(&body).map_err(PeerError::unreadable)? {
                Outcome::Returned(Some(value)) => Arg::from_wire(&value),
                Outcome::Returned(None) => Ok(Arg::Json(Value::Null)),
                Outcome::Failed(failure) => Err(PeerError::Failed(failure.into())),
            }
        })
    }
}

impl Peer {
    /// Asks something and waits for the answer.
    pub(super) async fn ask(
        &self,
        timeout: Duration,
        ask: impl Fn(&mut State, Instant, oneshot::Sender<Answer>) -> Result<(), SendError>,
    ) -> Answer {
        let deadline = after(timeout);
        let sent = self.handle.shared.submit(&self.link, |state| {
            let (token, answered) = oneshot::channel();
            ask(state, deadline, token).map(|()| answered)
        });
        match tokio::time::timeout_at(deadline.into(), sent).await {
            Ok(sent) => {
                sent?.await.unwrap_or_else(|_| Err(PeerError::Ended(self.link.end_or_here())))
            }
            Err(_elapsed) => Err(PeerError::TimedOut),
        }
    }
}
