//! Requests and calls on their way.

use super::arg::{Arg, value_of};
use super::handlers::path;
use super::shared::State;
use super::{Json, Peer, PeerError};
use crosspoint_gateways::anysocket::internal::rpc::{self, Outcome, PARAMS_MAX, PATH_MAX};
use serde::Serialize;
use serde_json::Value;
use std::pin::Pin;
use std::time::Duration;

type Asking<T> = Pin<Box<dyn Future<Output = Result<T, PeerError>> + Send>>;

/// A request; await it for the answer.
#[must_use = "a request is sent when it is awaited"]
#[derive(Debug)]
pub struct Request {
    peer: Peer,
    body: Result<Json, PeerError>,
    timeout: Duration,
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
    peer: Peer,
    call: Result<rpc::Call, PeerError>,
    timeout: Duration,
}

impl CallRequest {
    fn new<P>(peer: Peer, method: &str, params: P) -> Self
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
    /// Sends a message that the other side is to answer, and gives the answer:
    /// `peer.request(&value).timeout(duration).await`.
    ///
    /// # Errors
    /// As [`send`](Self::send); [`PeerError::TimedOut`], [`PeerError::Unreadable`]
    pub fn request<T: Serialize + ?Sized>(&self, value: &T) -> Request {
        let body = Json::new(value).map_err(PeerError::value);
        Request { peer: self.clone(), body, timeout: self.handle.shared.reply_timeout }
    }

    /// Calls a method, which may be nested: `peer.call("ns.sum", [1, 2]).await`.
    ///
    /// # Errors
    /// As [`request`](Self::request); [`PeerError::Failed`], [`PeerError::TooMany`]
    pub fn call<P>(&self, method: &str, params: P) -> CallRequest
    where
        P: IntoIterator<Item: Into<Arg>>,
    {
        CallRequest::new(self.clone(), method, params)
    }
}
