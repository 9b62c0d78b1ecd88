//! Requests that are no upgrades.

use super::polled::{Hanging, Payload, Polled, Request as UnderWay};
use super::recovery::{self, Line};
use super::said::Said;
use super::{Asked, EngineIo, Handshake, Query, Revision, Transport, sid, way};
use crate::driving::Carrying;
use crate::gateway::{self, Context, NewSession, Refused};
use crate::held::{self, Held};
use crate::http::{self, Arrival, Hang, Origin};
use crate::memory;
use crate::panics::counted;
use crate::refusal::RETRY_AFTER_S;
use crate::remote::Remote;
use crate::runner::Runner;
use crate::stream::handover::{Handover, MovingWriter};
use crate::stream::{Reader, Writer};
use axum::Router;
use axum::body::Body;
use axum::extract::{Request, State};
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_CREDENTIALS, ACCESS_CONTROL_ALLOW_HEADERS, ACCESS_CONTROL_ALLOW_METHODS,
    ACCESS_CONTROL_ALLOW_ORIGIN, ACCESS_CONTROL_REQUEST_HEADERS, CACHE_CONTROL, CONTENT_TYPE,
    RETRY_AFTER, VARY,
};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use axum::routing::any;
use bytes::{Bytes, BytesMut};
use crosspoint_gateways::engineio::payload::OCTETS;
use crosspoint_gateways::engineio::{Exchange, Refusal};
use crosspoint_hub::Reason;
use crosspoint_hub::ledger::{Account, Purpose, Tab};
use crosspoint_hub::transport::{self, Carrier};
use hyper::body::{Body as _, Frame, SizeHint};
use std::convert::Infallible;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{self, Poll};

/// What a session takes besides itself when it comes by requests.
const POLLED_BYTES: usize = 2 * 1024;

/// What answers requests.
struct At {
    engineio: EngineIo,
    runner: Arc<Runner>,
}

pub(super) fn routes(engineio: &EngineIo, runner: &Arc<Runner>) -> Router {
    let at = At { engineio: engineio.clone(), runner: runner.clone() };
    Router::new().route("/", any(answer)).with_state(Arc::new(at))
}

/// Why a request is not answered as it wishes.
enum Failed {
    /// It does not fit.
    Refused(Refusal),
    /// There is no room, now.
    Later(Reason),
}

impl Failed {
    /// Why a session ends whose request has a body that cannot be read for this.
    fn ends_for(&self) -> Reason {
        match self {
            Self::Refused(Refusal::TooLarge) => Reason::TooLarge,
            // It broke off.
            Self::Refused(_) => Reason::ConnectionLost,
            Self::Later(reason) => *reason,
        }
    }
}

impl From<Refusal> for Failed {
    fn from(refusal: Refusal) -> Self {
        Self::Refused(refusal)
    }
}

impl From<Reason> for Failed {
    fn from(reason: Reason) -> Self {
        Self::Later(reason)
    }
}

impl From<Refused> for Failed {
    fn from(Refused { reason, fault }: Refused) -> Self {
        match reason {
            Reason::Internal | Reason::Exhausted | Reason::HubStopping => Self::Later(reason),
            _ => Self::Refused(Refusal::Forbidden(fault)),
        }
    }
}

impl IntoResponse for Failed {
    fn into_response(self) -> Response {
        match self {
            Self::Refused(refusal) => http::Refusal::from(refusal).into_response(),
            Self::Later(reason) => {
                let status = StatusCode::SERVICE_UNAVAILABLE;
                (status, [(RETRY_AFTER, RETRY_AFTER_S)], format!("{reason}\n")).into_response()
            }
        }
    }
}

/// Answers a request of anybody.
async fn answer(State(at): State<Arc<At>>, request: Request) -> Response {
    let origin = request.extensions().get::<Origin>().cloned().unwrap_or(Origin::None);
    let credentials = at.engineio.config.cors_credentials || sends_credentials(request.uri());
    let mut response = match &origin {
        Origin::Foreign(limit) => {
            at.runner.hub.metrics.hit(*limit);
            let fault = format!("pages of this origin may not use this hub ({limit})");
            Failed::from(Refusal::Forbidden(fault)).into_response()
        }
        _ if request.method() == Method::OPTIONS => preflight(request.headers()),
        _ => at.serve(request).await.unwrap_or_else(Failed::into_response),
    };
    let headers = response.headers_mut();
    headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    headers.append(VARY, HeaderValue::from_static("Origin"));
    if let Origin::Allowed(origin) = origin {
        headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin);
        if credentials {
            let yes = HeaderValue::from_static("true");
            headers.insert(ACCESS_CONTROL_ALLOW_CREDENTIALS, yes);
        }
    }
    response
}

/// Whether a client asks in a browser with cookies unless its program says otherwise, as those of revision 3 do. It gets
/// no answer that does not allow that. No cookie means anything here.
fn sends_credentials(uri: &Uri) -> bool {
    let query = Query::new(uri.query().unwrap_or_default());
    query.get("EIO").is_some_and(|value| Revision::from_query(&value) == Some(Revision::Three))
}

/// Tells a browser what its page may ask with.
fn preflight(asked: &HeaderMap) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    let headers = response.headers_mut();
    let methods = HeaderValue::from_static("GET, POST, OPTIONS");
    headers.insert(ACCESS_CONTROL_ALLOW_METHODS, methods);
    // Its origin may use the hub, whatever it says by them.
    if let Some(asked) = asked.get(ACCESS_CONTROL_REQUEST_HEADERS) {
        headers.insert(ACCESS_CONTROL_ALLOW_HEADERS, asked.clone());
    }
    response
}

impl At {
    /// Answers a request that may be asked.
    async fn serve(&self, request: Request) -> Result<Response, Failed> {
        let (head, body) = request.into_parts();
        let asked = self.engineio.asked(&head)?;
        if asked.transport != Transport::Polling {
            return Err(Refusal::BadRequest.into());
        }
        let Some(sid) = asked.query.get("sid") else {
            // What a request holds while it waits is small: everything else is boxed.
            return Box::pin(self.open(&head, asked)).await;
        };
        let polled = self.engineio.sessions.find(&sid, asked.revision);
        let polled = polled.ok_or(Refusal::UnknownSid)?;
        match head.method {
            Method::GET => {
                let hanging = polled.poll()?;
                let hang = head.extensions.get::<Hang>().cloned();
                // Nothing of the request is held while it waits.
                drop(head);
                poll(&polled, hanging, hang).await
            }
            Method::POST | Method::PUT => Box::pin(self.post(&polled, &head, body)).await,
            _ => Err(Refusal::BadRequest.into()),
        }
    }

    /// Opens a session, and waits for the first that it says.
    async fn open(&self, head: &Parts, asked: Asked<'_>) -> Result<Response, Failed> {
        let At { engineio, runner } = self;
        if head.method != Method::GET {
            return Err(Refusal::Method.into());
        }
        if runner.parting.stop.is_cancelled() {
            return Err(Reason::HubStopping.into());
        }
        let Asked { revision, query, .. } = asked;
        let remote = head.extensions.get::<Remote>().copied().unwrap_or_default();
        let admission = runner.hub.admit(remote.ip())?;
        let context = Context {
            request: Some(head),
            ..Context::new(runner, gateway::Transport::WebSocket, remote.address)
        };
        let beat = engineio.config.beat;
        let sid = sid()?;
        let recoveries = engineio.recoveries(revision);
        let carried = recoveries.is_some();
        let handshake = Handshake { revision, sid, polled: true, carried, beat, query };
        let session = engineio.inner.open(&context, &handshake)?;
        let name = session.wire.profile().name;
        let charge = held::beside_session(&runner.hub, remote, name, POLLED_BYTES)?;
        let takes_octets = query.get("b64").is_none_or(|b64| b64.is_empty());
        let (near, far) = memory::way();
        let (reader, writer) = far.into_split();
        let exchange = Exchange::new(revision, takes_octets);
        let handover = Handover::new(admission);
        let polled = Polled::new(exchange, writer, handover.clone());
        let place = engineio.sessions.add(sid, polled.clone(), handover.clone());
        let (near_reader, near_writer) = near.into_split();
        let near_writer = MovingWriter::new(near_writer, handover);
        let halves = (Reader::Memory(near_reader), Writer::Moving(Box::new(near_writer)));
        let tls = head.extensions.get::<Arrival>().is_some_and(Arrival::is_tls);
        let transport = transport::Transport { carrier: Carrier::Polling, tls };
        let kept = (place, charge);
        let account = match recoveries {
            None => self.run(session, (remote, transport), halves, kept),
            Some(recoveries) => {
                let held = (runner.hub.clone(), Held::new(&runner.hub, remote));
                let websocket = way::websocket(&runner.hub);
                let line = Line::new(held, halves, websocket, transport, beat.into(), kept);
                let (keeper, account) =
                    recovery::begin(runner, recoveries, (session, beat), remote, &line)?;
                let own = runner.clone();
                runner.tasks.spawn(async move {
                    // It is dropped by a panic, and its session ends by that.
                    let _panicked = counted(&own.hub.metrics, keeper.run(line)).await;
                });
                account
            }
        };
        polled.charge(&account);
        let said = Said::new(reader, Tab::new(&account, Purpose::Retained));
        poll(&polled, polled.first(said), head.extensions.get().cloned()).await
    }

    /// Runs a session at the near end of a way. Gives its account.
    fn run(
        &self,
        session: NewSession,
        (remote, transport): (Remote, transport::Transport),
        halves: (Reader, Writer),
        kept: impl Send + 'static,
    ) -> Arc<Account> {
        let beat = self.engineio.config.beat;
        let carrying = Carrying {
            remote,
            certificate: None,
            websocket: Some(way::websocket(&self.runner.hub)),
            // A client takes nothing between two requests, and may be away as long as its heartbeat allows.
            stall_min: beat.interval + beat.timeout,
            tell_end: None,
            transport: Some(transport),
            halves,
        };
        self.runner.run_carried(session, carrying, kept)
    }

    /// Takes what a client says.
    async fn post(
        &self,
        polled: &Arc<Polled>,
        head: &Parts,
        body: Body,
    ) -> Result<Response, Failed> {
        let request = polled.post()?;
        let remote = head.extensions.get::<Remote>().copied().unwrap_or_default();
        let mut held = Held::new(&self.runner.hub, remote);
        let most = self.engineio.config.beat.payload_bytes_max as usize;
        let body = read(body, most, &mut held).await;
        let body = body.inspect_err(|failed| request.fail(failed.ends_for()))?;
        let kind = head.headers.get(CONTENT_TYPE);
        let is_octets = kind.is_some_and(|kind| kind.as_bytes().starts_with(OCTETS.as_bytes()));
        let brought = polled.read(is_octets, &body)?;
        // The messages share its memory.
        let settled = held.settle(2 * body.len() + brought.bytes());
        settled.inspect_err(|&reason| request.fail(reason))?;
        drop(body);
        polled.posted(request, brought).await?;
        Ok(([(CONTENT_TYPE, "text/html")], "ok").into_response())
    }
}

/// Waits for something that answers a request. Who goes before that loses the session.
async fn poll(
    polled: &Arc<Polled>,
    hanging: Hanging,
    hang: Option<Hang>,
) -> Result<Response, Failed> {
    if let Some(hang) = hang {
        hang.begin();
    }
    Ok(answered(polled, polled.answer(hanging).await?))
}

/// Reads a body of so many bytes at the most.
async fn read(mut body: Body, most: usize, held: &mut Held) -> Result<Bytes, Failed> {
    let mut whole = BytesMut::new();
    if body.size_hint().lower() > most as u64 {
        return Err(Refusal::TooLarge.into());
    }
    loop {
        let frame = poll_fn(|cx| Pin::new(&mut body).poll_frame(cx)).await;
        match frame {
            None => return Ok(whole.freeze()),
            Some(Ok(frame)) => {
                let bytes = frame.into_data().unwrap_or_default();
                if whole.len() + bytes.len() > most {
                    return Err(Refusal::TooLarge.into());
                }
                whole.extend_from_slice(&bytes);
                // It exists a second time when it is handed on.
                held.settle(2 * whole.capacity())?;
            }
            Some(Err(_)) => return Err(Refusal::BadRequest.into()),
        }
    }
}

/// An answer. The session is lost if it is not taken.
fn answered(polled: &Arc<Polled>, Payload { bytes, kind }: Payload) -> Response {
    let body = Answer { bytes, request: Some(UnderWay::of(polled)) };
    ([(CONTENT_TYPE, kind)], Body::new(body)).into_response()
}

/// The body of an answer.
struct Answer {
    bytes: Bytes,
    request: Option<UnderWay>,
}

impl hyper::body::Body for Answer {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        self: Pin<&mut Self>,
        _: &mut task::Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let this = self.get_mut();
        let request = this.request.take();
        Poll::Ready(request.map(|request| {
            request.done();
            Ok(Frame::data(std::mem::take(&mut this.bytes)))
        }))
    }

    fn is_end_stream(&self) -> bool {
        self.request.is_none()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(self.bytes.len() as u64)
    }
}
