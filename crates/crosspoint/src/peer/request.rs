//! Requests of this side, and typed calls by them.

use super::Peer;
use super::codec::{CodecError, decode, encode};
use super::error::{PeerError, RequestError};
#[cfg(feature = "socketio")]
use super::link::Pending;
use super::link::Question;
use super::service::Service;
use crosspoint_hub::payload::Payload;
use serde::Serialize;
use serde::de::DeserializeOwned;
use std::future::IntoFuture;
use std::marker::PhantomData;
use std::pin::Pin;
use std::time::Duration;
use tokio::time::Instant;

/// How long requests wait for their answer unless told otherwise.
const TIMEOUT: Duration = Duration::from_secs(30);

#[derive(Debug, Clone)]
enum To {
    Peer(Peer),
    Service(Service),
}

/// A request that is sent when it is awaited. It gives the answer.
#[derive(Debug, Clone)]
#[must_use = "a request is sent when it is awaited"]
pub struct RequestBuilder {
    to: To,
    question: Question,
    timeout: Option<Duration>,
}

impl RequestBuilder {
    fn new(to: To, method: &str, payload: Result<Payload, CodecError>) -> Self {
        let question = Question { method: method.to_owned(), payload, repeatable: false };
        Self { to, question, timeout: Some(TIMEOUT) }
    }

    /// What it is for: names joined with dots, of at most 255 bytes. Nothing unless set.
    pub fn method(mut self, method: impl Into<String>) -> Self {
        self.question.method = method.into();
        self
    }

    /// How long to wait for the answer, from the moment when it is awaited; `None` for ever, 30 s
    /// unless set.
    pub fn timeout(mut self, timeout: impl Into<Option<Duration>>) -> Self {
        self.timeout = timeout.into();
        self
    }

    /// The request to a service may be done twice: if its provider goes before it has answered, the
    /// next one is asked. It changes nothing for a request to one peer.
    pub fn repeatable(mut self) -> Self {
        self.question.repeatable = true;
        self
    }

    async fn ask(self) -> Result<Payload, RequestError> {
        let Self { to, question, timeout } = self;
        let until = timeout.and_then(|timeout| Instant::now().checked_add(timeout));
        let asking = async {
            match &to {
                To::Peer(peer) => peer.handle.core.ask(&question, until).await,
                To::Service(service) => service.ask(&question, until).await,
            }
        };
        match until {
            Some(until) => {
                tokio::time::timeout_at(until, asking).await.unwrap_or(Err(RequestError::TimedOut))
            }
            None => asking.await,
        }
    }
}

/// A future that is behind a pointer.
pub type BoxFuture<T> = Pin<Box<dyn Future<Output = T> + Send>>;

impl IntoFuture for RequestBuilder {
    type Output = Result<Payload, RequestError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(self.ask())
    }
}

/// A typed call that is sent when it is awaited. It gives the result.
#[must_use = "a call is sent when it is awaited"]
pub struct CallBuilder<R> {
    request: RequestBuilder,
    result: PhantomData<fn() -> R>,
}

impl<R> CallBuilder<R> {
    fn new(request: RequestBuilder) -> Self {
        Self { request, result: PhantomData }
    }

    /// See [`RequestBuilder::timeout`].
    pub fn timeout(self, timeout: impl Into<Option<Duration>>) -> Self {
        Self::new(self.request.timeout(timeout))
    }

    /// See [`RequestBuilder::repeatable`].
    pub fn repeatable(self) -> Self {
        Self::new(self.request.repeatable())
    }
}

impl<R: DeserializeOwned + 'static> IntoFuture for CallBuilder<R> {
    type Output = Result<R, RequestError>;
    type IntoFuture = BoxFuture<Self::Output>;

    fn into_future(self) -> Self::IntoFuture {
        Box::pin(async move {
            let answer = self.request.ask().await?;
            decode(&answer).map_err(RequestError::Unreadable)
        })
    }
}

impl<R> std::fmt::Debug for CallBuilder<R> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("CallBuilder").field(&self.request).finish()
    }
}

impl Peer {
    /// Asks the other side, which answers by a handler of the [method](RequestBuilder::method), or
    /// by who reads [`PeerEvent::Request`](super::PeerEvent::Request).
    ///
    /// Giving up the wait tells the other side to stop. As many requests as the other side takes,
    /// 1024, are on their way at a time; further ones wait here, within their own time.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn request(&self, payload: impl Into<Payload>) -> RequestBuilder {
        RequestBuilder::new(To::Peer(self.clone()), "", Ok(payload.into()))
    }

    /// Asks without a timeout, behind what was asked before, and gives what waits for the answer.
    #[cfg(feature = "socketio")]
    pub(crate) async fn begin_to_ask(
        &self,
        method: &str,
        payload: Payload,
    ) -> Result<Pending, RequestError> {
        let question =
            Question { method: method.to_owned(), payload: Ok(payload), repeatable: false };
        self.handle.core.begin_to_ask(&question, None).await
    }

    /// Calls a method of the other side with a value, and gives the value that it answers with. See
    /// [`request`](Self::request), and [`Node::serve`](crate::Node::serve) for the other side.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn call<R: DeserializeOwned + 'static>(
        &self,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> CallBuilder<R> {
        let request = RequestBuilder::new(To::Peer(self.clone()), method, encode(argument));
        CallBuilder::new(request)
    }

    /// Tells a method of the other side a value, and wants no answer. It waits while too much waits
    /// to be sent.
    ///
    /// # Errors
    /// [`PeerError::Closed`], [`PeerError::TooLarge`], [`PeerError::TooLong`],
    /// [`PeerError::Value`].
    pub async fn notify(
        &self,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> Result<(), PeerError> {
        let payload = encode(argument).map_err(PeerError::Value)?;
        self.tell(method, &payload).await
    }

    /// Tells a method of the other side a payload.
    pub(crate) async fn tell(&self, method: &str, payload: &Payload) -> Result<(), PeerError> {
        let Payload { format, data } = payload;
        let core = &self.handle.core;
        let sent = core.submit(|state| state.machine.notify(method, *format, data));
        Ok(sent.await?)
    }
}

impl Service {
    /// Asks one of the providers: the one that has the fewest requests to answer.
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn request(&self, payload: impl Into<Payload>) -> RequestBuilder {
        RequestBuilder::new(To::Service(self.clone()), "", Ok(payload.into()))
    }

    /// Calls a method of one of the providers, see [`Peer::call`].
    ///
    /// # Errors
    /// See [`RequestError`].
    pub fn call<R: DeserializeOwned + 'static>(
        &self,
        method: &str,
        argument: &(impl Serialize + ?Sized),
    ) -> CallBuilder<R> {
        let request = RequestBuilder::new(To::Service(self.clone()), method, encode(argument));
        CallBuilder::new(request)
    }
}
