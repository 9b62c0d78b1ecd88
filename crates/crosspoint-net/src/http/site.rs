//! What a server answers to a request: built once, used by all connections.

use super::files::Script;
use super::forwarded::forwarded;
use super::host::settle_host;
use super::origins::{Origin, Origins};
use super::parking::Awaited;
use super::{
    BUNDLE_PATH, Files, HttpOptions, ID_HEADER, Refusal, UpgradeCheck, body, files, metrics, text,
    upgrade,
};
use crate::gateway::{Gateways, Opening};
use crate::log_limit::Logs;
use crate::refusal;
use crate::remote::Remote;
use crate::runner::Runner;
use crate::upgraded::Accepted;
use crate::ws::handshake::{self, HEAD_BYTES_MAX, HEADERS_MAX, RequestError, Upgrade};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::header::{ALLOW, CONNECTION, HOST, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use crosspoint_hub::hub::Admission;
use crosspoint_hub::{Hub, Limit, Reason};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use std::any::Any;
use std::future;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tokio_util::sync::CancellationToken;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;

/// Where a health check may ask what there is, as HAProxy does by itself.
const OPTIONS_PATHS: [&str; 5] = ["/", "*", "/health", "/ready", "/metrics"];

const ROOT: &str = "This is a Crosspoint hub. Connect with a client: native, peote-net or WebSocket.\n\
     /health tells whether it is well, /ready whether there is room, /metrics what it does.\n";

/// Bytes that hyper holds for one connection, read or to be written. A head is smaller.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Everything that is needed to answer HTTP.
#[derive(Debug)]
pub(crate) struct Site {
    pub(super) hub: Arc<Hub>,
    pub(super) builder: http1::Builder,
    router: Router,
    bundle: Option<Script>,
    node_id: Option<HeaderValue>,
    origins: Origins,
    upgrade: Option<UpgradeCheck>,
    gateways: Gateways,
    body_time_max: Duration,
    pub(super) keep_alive: Duration,
    head_time_max: Duration,
    logs: Arc<Logs>,
}

/// What is to be known of a request when it is answered.
#[derive(Clone, Copy)]
struct Asked {
    /// It is an `OPTIONS` of a page that health checks ask for.
    options: bool,
    /// Its method is none of HTTP.
    strange: bool,
}

/// What becomes of a request to upgrade; if it is refused, the reason to close and the answer.
pub(crate) type Verdict = Result<Accepted, (Reason, Bytes)>;

/// A verdict after the connection was counted where it comes from.
pub(crate) fn counted(verdict: Verdict, admission: &mut Admission) -> Verdict {
    let accepted = verdict?;
    match admission.come_from(accepted.remote.ip()) {
        Ok(()) => Ok(accepted),
        Err(reason) => Err((reason, refusal::later(reason))),
    }
}

impl Site {
    /// What those are served who come for `/metrics`: these pages and nothing else.
    pub(crate) fn for_metrics(runner: &Arc<Runner>, options: &HttpOptions) -> Self {
        let nothing_else = |_: &Parts| {
            let text = "This address is for /metrics, /health and /ready.\n";
            Err(Refusal::new(StatusCode::NOT_FOUND, text))
        };
        let options = HttpOptions {
            metrics_apart: false,
            routes: Some(Router::new()),
            files: Vec::new(),
            anysocket_bundle: None,
            upgrade: Some(UpgradeCheck::new(nothing_else)),
            ..options.clone()
        };
        Self::new(runner, &options, &Gateways::none())
    }

    /// What these options mean, and the routes of the gateways.
    pub(crate) fn new(runner: &Arc<Runner>, options: &HttpOptions, gateways: &Gateways) -> Self {
        let Runner { hub, logs, .. } = &**runner;
        let mut builder = http1::Builder::new();
        builder
            .header_read_timeout(None)
            .half_close(true)
            .max_headers(HEADERS_MAX)
            .max_header_size(HEAD_BYTES_MAX)
            .max_buf_size(BUFFER_BYTES_MAX)
            .title_case_headers(true);
        let node_id = options.node_id.map(|id| {
            HeaderValue::try_from(id.to_string()).expect("hexadecimal digits can stand in a header")
        });
        Self {
            hub: hub.clone(),
            builder,
            router: router(runner, options, gateways),
            bundle: options.anysocket_bundle.as_deref().map(Script::new),
            node_id,
            origins: Origins::new(options),
            upgrade: options.upgrade.clone(),
            gateways: gateways.clone(),
            body_time_max: options.body_time_max,
            keep_alive: options.keep_alive,
            head_time_max: options.head_time_max,
            logs: logs.clone(),
        }
    }

    /// How long a head may take from its first byte, and the limit that says so.
    pub(crate) fn head_max(&self) -> (Duration, Limit) {
        let handshake = (self.hub.limits.handshake_max, Limit::Handshake);
        match self.head_time_max < handshake.0 {
            true => (self.head_time_max, Limit::HttpHeadTime),
            false => handshake,
        }
    }

    /// Answers a request that is no upgrade, from somebody who has found this machine `here`. Most of it is done at once,
    /// and little is held while a handler waits.
    pub(super) fn answer(
        &self,
        mut request: Request<Incoming>,
        (from, here): (Remote, Option<SocketAddr>),
    ) -> Awaited<'_> {
        if let Some(wrong) = wrong_host(&request) {
            return Box::pin(future::ready(wrong));
        }
        let of_target = request.uri().authority().cloned();
        settle_host(request.headers_mut(), of_target.as_ref());
        let origin = match self.origins.check(request.headers(), from, here) {
            Ok(()) => self.origins.allowed(request.headers()),
            Err((limit, refusal)) if !request.method().is_safe() => {
                self.hub.metrics.hit(limit);
                return Box::pin(future::ready(refusal.into_response()));
            }
            Err((limit, _)) => Origin::Foreign(limit),
        };
        let mut request = request.map(|body| body::timed(body, self.body_time_max, &self.hub));
        request.extensions_mut().insert(origin);
        let uri = request.uri();
        if let Some(bundle) = &self.bundle
            && uri.path() == BUNDLE_PATH
            && uri.query().is_none()
        {
            return Box::pin(bundle.answer(request, &self.logs.files));
        }
        let asked = Asked {
            options: request.method() == Method::OPTIONS && OPTIONS_PATHS.contains(&uri.path()),
            strange: is_strange(request.method()),
        };
        let answer = self.router.clone().call(request);
        Box::pin(async move {
            let response = match answer.await {
                Ok(response) => response,
                Err(never) => match never {},
            };
            self.finish(asked, response)
        })
    }

    /// What is to be added to an answer.
    fn finish(&self, asked: Asked, mut response: Response) -> Response {
        let unknown = [StatusCode::NOT_FOUND, StatusCode::METHOD_NOT_ALLOWED];
        let is_unknown = unknown.contains(&response.status());
        if asked.options && is_unknown {
            response = (StatusCode::NO_CONTENT, [(ALLOW, "GET, HEAD, OPTIONS")]).into_response();
        } else if asked.strange && is_unknown {
            // A program that speaks like that is no client of this server.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
        }
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            self.hub.metrics.hit(Limit::HttpBodyBytes);
        }
        if let Some(id) = &self.node_id {
            response.headers_mut().insert(HeaderName::from_static(ID_HEADER), id.clone());
        }
        response
    }

    /// Decides about an upgrade whose head, `bytes`, is the first of its connection.
    pub(crate) fn first_upgrade(
        &self,
        upgrade: &Upgrade,
        has_origin: bool,
        bytes: &[u8],
        (from, here): (Remote, Option<SocketAddr>),
    ) -> (Verdict, Option<Parts>) {
        match upgrade::head_of(bytes) {
            Ok(mut head) => {
                let from = self.remote(from, &head.headers);
                head.extensions.extend(remote(from.address));
                (self.decide(upgrade, &head, from, here), Some(head))
            }
            // Where nobody has to look at it, a strange target does no harm.
            Err(_) if self.upgrade.is_none() && !has_origin && !self.is_proxy(from) => {
                (self.accept(upgrade, from), None)
            }
            Err(error) => (Err(refused(&error)), None),
        }
    }

    fn is_proxy(&self, from: Remote) -> bool {
        from.ip().is_some_and(|address| self.hub.limits.trusted_proxies.contain(address))
    }

    /// Where a request comes from.
    pub(super) fn remote(&self, from: Remote, headers: &HeaderMap) -> Remote {
        forwarded(&self.hub.limits.trusted_proxies, from, headers)
    }

    /// Decides about a later request, and gives it back if it asks for no upgrade.
    pub(super) fn later_upgrade<B>(
        &self,
        request: Request<B>,
        (from, here): (Remote, Option<SocketAddr>),
    ) -> Result<Request<B>, (Verdict, Box<Parts>)> {
        if !request.headers().contains_key(UPGRADE) {
            return Ok(request);
        }
        let http11 = request.version() == Version::HTTP_11;
        let headers = upgrade::headers_of(request.headers());
        let verdict = match handshake::upgrade_of(request.method().as_str(), http11, &headers) {
            Ok(None) => return Ok(request),
            Ok(Some(upgrade)) => Ok(upgrade),
            Err(error) => Err(refused(&error)),
        };
        let mut head = Box::new(request.into_parts().0);
        settle_host(&mut head.headers, head.uri.authority());
        let verdict = verdict.and_then(|upgrade| self.decide(&upgrade, &head, from, here));
        Err((verdict, head))
    }

    fn decide(
        &self,
        upgrade: &Upgrade,
        head: &Parts,
        from: Remote,
        here: Option<SocketAddr>,
    ) -> Verdict {
        let allowed = match self.origins.check(&head.headers, from, here) {
            Ok(()) => self.may_upgrade(head),
            Err((limit, refusal)) => {
                self.hub.metrics.hit(limit);
                Err(refusal)
            }
        };
        match allowed {
            Ok(()) => self.accept(upgrade, from),
            Err(refusal) => {
                let id = self.node_id.as_ref().and_then(|id| id.to_str().ok());
                let extra = id.map(|id| format!("{ID_HEADER}: {id}\r\n")).unwrap_or_default();
                Err((Reason::NotAllowed, refusal.answer(&extra)))
            }
        }
    }

    /// Asks the embedder, and the gateway that the request is for.
    fn may_upgrade(&self, head: &Parts) -> Result<(), Refusal> {
        self.upgrade.as_ref().map_or(Ok(()), |check| check.check(head))?;
        match self.gateways.recognise(&Opening::Upgrade(head)) {
            Ok(gateway) => gateway.upgrade(head),
            Err(_) => Ok(()),
        }
    }

    fn accept(&self, upgrade: &Upgrade, from: Remote) -> Verdict {
        // Browsers refuse an answer without one of the protocols that they offered.
        let protocol = upgrade.protocols.first().map(String::as_str);
        Ok(Accepted::new(&self.hub, upgrade, protocol, from))
    }
}

fn refused(error: &RequestError) -> (Reason, Bytes) {
    (Reason::Malformed, error.answer())
}

/// What tells a handler the client's address.
pub(super) fn remote(from: Option<SocketAddr>) -> axum::http::Extensions {
    let mut extensions = axum::http::Extensions::new();
    if let Some(from) = from {
        extensions.insert(ConnectInfo(from));
    }
    extensions
}

fn router(runner: &Arc<Runner>, options: &HttpOptions, gateways: &Gateways) -> Router {
    let Runner { hub, parting, logs, .. } = &**runner;
    let mut own = Router::new();
    let bounded = |routes: Router| routes.layer(RequestBodyLimitLayer::new(options.body_bytes_max));
    let mut apart = Router::new();
    for gateway in gateways.iter() {
        if let Some((prefix, routes)) = gateway.routes(runner) {
            let routes = if gateway.bounds_bodies() { routes } else { bounded(routes) };
            apart = apart.nest_service(&prefix, routes);
        }
    }
    if options.health {
        own = own.route("/health", get(|| async { text(StatusCode::OK, "ok\n") }));
        let (hub, stop) = (hub.clone(), parting.stop.clone());
        own = own.route("/ready", get(move || async move { ready(&hub, &stop) }));
    }
    if options.metrics && !options.metrics_apart {
        let pages = Arc::new(metrics::Pages::new(hub));
        let token = options.metrics_token.clone();
        let page = move |headers: HeaderMap| async move {
            match token.is_none_or(|token| token.is_in(&headers)) {
                true => pages.answer(&headers),
                false => metrics::refusal(),
            }
        };
        own = own.route("/metrics", get(page));
    }
    let own = match &options.routes {
        Some(routes) if options.files.is_empty() => own.fallback_service(routes.clone()),
        Some(routes) => own.fallback_service(with_files(routes.clone(), options, logs)),
        None => {
            let hidden = options.files.iter().any(Files::is_everything);
            let root = get(|| async { text(StatusCode::OK, ROOT) });
            let own = if hidden { own } else { own.route("/", root) };
            with_files(own, options, logs)
        }
    };
    let hub = hub.clone();
    let panicked = move |_: Box<dyn Any + Send>| {
        hub.metrics.panics.inc();
        text(StatusCode::INTERNAL_SERVER_ERROR, "This request met a fault of the server.\n")
    };
    bounded(own)
        .merge(apart)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::disable())
}

fn with_files(router: Router, options: &HttpOptions, logs: &Arc<Logs>) -> Router {
    let how = options.file_options.clone();
    let mut files: Vec<_> = options.files.iter().cloned().map(|files| files.served(&how)).collect();
    files.sort_by_key(Files::rank);
    let (all, logs) = (Arc::new((files, how)), logs.clone());
    router.fallback(move |request: Request| async move {
        match files::answer(&all.0, &all.1, request, &logs.files).await {
            Some(response) => response,
            None => text(StatusCode::NOT_FOUND, "There is nothing here.\n"),
        }
    })
}

/// Whether a new connection would be served.
fn ready(hub: &Hub, stop: &CancellationToken) -> Response {
    if stop.is_cancelled() {
        text(StatusCode::SERVICE_UNAVAILABLE, "stopping\n")
    } else if hub.has_room() {
        text(StatusCode::OK, "ready\n")
    } else {
        text(StatusCode::SERVICE_UNAVAILABLE, "full\n")
    }
}

/// Whether a method is none of those that HTTP itself has.
fn is_strange(method: &Method) -> bool {
    const KNOWN: [Method; 9] = [
        Method::GET,
        Method::HEAD,
        Method::POST,
        Method::PUT,
        Method::DELETE,
        Method::OPTIONS,
        Method::PATCH,
        Method::CONNECT,
        Method::TRACE,
    ];
    !KNOWN.contains(method)
}

/// HTTP/1.1 has one `Host` in each request (RFC 9112, section 3.2).
fn wrong_host<B>(request: &Request<B>) -> Option<Response> {
    let mut hosts = request.headers().get_all(HOST).iter();
    let (first, second) = (hosts.next(), hosts.next());
    let missing = first.is_none() && request.version() == Version::HTTP_11;
    let wrong = match second {
        Some(_) => "The request has more than one header Host.\n",
        None if missing => "The request has no header Host.\n",
        None => return None,
    };
    let mut response = text(StatusCode::BAD_REQUEST, wrong);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    Some(response)
}
