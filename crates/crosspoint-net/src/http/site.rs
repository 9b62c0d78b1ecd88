//! What a server answers to a request: built once, used by all connections.

use super::{BUNDLE_PATH, Files, HttpOptions, ID_HEADER, UpgradeCheck, body, files, upgrade};
use crate::ws::handshake::{self, HEAD_BYTES_MAX, HEADERS_MAX, RequestError, Upgrade};
use axum::Router;
use axum::extract::{ConnectInfo, DefaultBodyLimit, Request};
use axum::http::header::{CONTENT_TYPE, UPGRADE};
use axum::http::request::Parts;
use axum::http::{HeaderName, HeaderValue, StatusCode, Version};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use bytes::Bytes;
use crosspoint_hub::{Hub, Reason};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper_util::rt::TokioTimer;
use std::any::Any;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;
use tower::Service;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::limit::RequestBodyLimitLayer;
use tower_http::services::ServeFile;

const TEXT: HeaderValue = HeaderValue::from_static("text/plain; charset=utf-8");
const OPEN_METRICS: HeaderValue =
    HeaderValue::from_static("application/openmetrics-text; version=1.0.0; charset=utf-8");

const ROOT: &str = "This is a Crosspoint hub. Connect with a client: native, peote-net or WebSocket.\n\
     /health tells whether it is well, /metrics what it does.\n";

/// Bytes that hyper holds for one connection, read or to be written. A head is smaller.
const BUFFER_BYTES_MAX: usize = 64 * 1024;

/// Everything that is needed to answer HTTP.
#[derive(Debug)]
pub(crate) struct Site {
    pub(super) hub: Arc<Hub>,
    pub(super) builder: http1::Builder,
    router: Router,
    bundle: Option<ServeFile>,
    node_id: Option<HeaderValue>,
    upgrade: Option<UpgradeCheck>,
    body_time_max: Duration,
}

/// What becomes of a request to upgrade: the answer, and if it is refused the reason to close.
pub(crate) type Verdict = Result<Bytes, (Reason, Bytes)>;

impl Site {
    /// What these options mean.
    pub(crate) fn new(hub: &Arc<Hub>, options: &HttpOptions) -> Self {
        let mut builder = http1::Builder::new();
        builder
            .timer(TokioTimer::new())
            .header_read_timeout(hub.limits.handshake_max)
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
            router: router(hub, options),
            bundle: options.anysocket_bundle.as_ref().map(ServeFile::new),
            node_id,
            upgrade: options.upgrade.clone(),
            body_time_max: options.body_time_max,
        }
    }

    /// Answers a request that is no upgrade.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response {
        let request = request.map(|body| body::timed(body, self.body_time_max, &self.hub));
        let uri = request.uri();
        if let Some(bundle) = &self.bundle
            && uri.path() == BUNDLE_PATH
            && uri.query().is_none()
        {
            return files::script(bundle, request).await;
        }
        let mut response = match self.router.clone().call(request).await {
            Ok(response) => response,
            Err(never) => match never {},
        };
        if response.status() == StatusCode::PAYLOAD_TOO_LARGE {
            self.hub.metrics.hit("http_body_bytes_max");
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
        bytes: &[u8],
        from: Option<SocketAddr>,
    ) -> Verdict {
        if self.upgrade.is_none() {
            return self.decide(upgrade, None);
        }
        match upgrade::head_of(bytes) {
            Ok(mut head) => {
                head.extensions.extend(remote(from));
                self.decide(upgrade, Some(&head))
            }
            Err(error) => Err(refused(&error)),
        }
    }

    /// Decides about a later request; `None` if it asks for no upgrade.
    pub(super) fn later_upgrade<B>(&self, request: Request<B>) -> Result<Request<B>, Verdict> {
        if !request.headers().contains_key(UPGRADE) {
            return Ok(request);
        }
        let http11 = request.version() == Version::HTTP_11;
        let headers = upgrade::headers_of(request.headers());
        match handshake::upgrade_of(request.method().as_str(), http11, &headers) {
            Ok(None) => Ok(request),
            Ok(Some(upgrade)) => Err(self.decide(&upgrade, Some(&request.into_parts().0))),
            Err(error) => Err(Err(refused(&error))),
        }
    }

    fn decide(&self, upgrade: &Upgrade, head: Option<&Parts>) -> Verdict {
        if let (Some(check), Some(head)) = (&self.upgrade, head)
            && let Err(refusal) = check.check(head)
        {
            return Err((Reason::NotAllowed, refusal.answer(self.node_id.as_ref())));
        }
        // Browsers refuse an answer without one of the protocols that they offered.
        let protocol = upgrade.protocols.first().map(String::as_str);
        Ok(handshake::response(&upgrade.key, protocol))
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

fn router(hub: &Arc<Hub>, options: &HttpOptions) -> Router {
    let mut own = Router::new();
    if options.health {
        own = own.route("/health", get(|| async { text(StatusCode::OK, "ok\n") }));
    }
    if options.metrics {
        let hub = hub.clone();
        own = own.route("/metrics", get(move || async move { metrics(&hub) }));
    }
    let own = match &options.routes {
        Some(routes) if options.files.is_empty() => own.fallback_service(routes.clone()),
        Some(routes) => own.fallback_service(with_files(routes.clone(), &options.files)),
        None => {
            let hidden = options.files.iter().any(Files::is_everything);
            let root = get(|| async { text(StatusCode::OK, ROOT) });
            let own = if hidden { own } else { own.route("/", root) };
            with_files(own, &options.files)
        }
    };
    let hub = hub.clone();
    let panicked = move |_: Box<dyn Any + Send>| {
        hub.metrics.panics.inc();
        text(StatusCode::INTERNAL_SERVER_ERROR, "This request met a fault of the server.\n")
    };
    own.layer(CatchPanicLayer::custom(panicked))
        .layer(DefaultBodyLimit::disable())
        .layer(RequestBodyLimitLayer::new(options.body_bytes_max))
}

fn with_files(router: Router, files: &[Files]) -> Router {
    let mut files = files.to_vec();
    files.sort_by_key(Files::rank);
    let files = Arc::new(files);
    router.fallback(move |request: Request| async move {
        match files::answer(&files, request).await {
            Some(response) => response,
            None => text(StatusCode::NOT_FOUND, "There is nothing here.\n"),
        }
    })
}

fn text(status: StatusCode, text: &'static str) -> Response {
    (status, [(CONTENT_TYPE, TEXT)], text).into_response()
}

fn metrics(hub: &Hub) -> Response {
    match hub.metrics.render() {
        Ok(text) => ([(CONTENT_TYPE, OPEN_METRICS)], text).into_response(),
        Err(_) => text(StatusCode::INTERNAL_SERVER_ERROR, "The metrics could not be written.\n"),
    }
}
