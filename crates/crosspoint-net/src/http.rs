//! What the one port answers to plain HTTP: health and metrics.

use crate::ws::handshake::{Request, http_response};
use bytes::Bytes;
use crosspoint_hub::Hub;

/// Which paths are answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpOptions {
    /// `/health` says `ok`.
    pub health: bool,
    /// `/metrics` gives the hub's metrics in the text format of Prometheus.
    pub metrics: bool,
}

impl Default for HttpOptions {
    fn default() -> Self {
        Self { health: true, metrics: true }
    }
}

const TEXT: &str = "text/plain; charset=utf-8";
const OPEN_METRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// Answers a request that is no upgrade.
pub fn answer(request: &Request, hub: &Hub, options: HttpOptions) -> Bytes {
    let head = request.method == "HEAD";
    if request.method != "GET" && !head {
        return http_response(405, TEXT, b"Only GET and HEAD are answered here.\n");
    }
    let response = match request.path() {
        "/health" if options.health => http_response(200, TEXT, b"ok\n"),
        "/metrics" if options.metrics => match hub.metrics.render() {
            Ok(text) => http_response(200, OPEN_METRICS, text.as_bytes()),
            Err(_) => http_response(500, TEXT, b"The metrics could not be written.\n"),
        },
        "/" => http_response(200, TEXT, ROOT),
        _ => http_response(404, TEXT, b"There is nothing here. Try /health or /metrics.\n"),
    };
    if head { without_body(&response) } else { response }
}

const ROOT: &[u8] =
    b"This is a Crosspoint hub. Connect with a client: native, peote-net or WebSocket.\n\
/health tells whether it is well, /metrics what it does.\n";

fn without_body(response: &Bytes) -> Bytes {
    const END: &[u8] = b"\r\n\r\n";
    let end = response.windows(END.len()).position(|window| window == END);
    response.slice(..end.map_or(response.len(), |end| end + END.len()))
}
