//! Requests of a client, one after the other over a connection that is kept.

use crate::client::{Endpoint, dial};
use crate::http;
use ::http::header::{CONTENT_LENGTH, CONTENT_TYPE, HOST};
use ::http::{Method, Request, StatusCode};
use axum::body::{Body, to_bytes};
use bytes::Bytes;
use crosspoint_gateways::engineio::payload::OCTETS;
use hyper::client::conn::http1::{self, SendRequest};
use hyper_util::rt::TokioIo;
use std::io;
use std::time::{Duration, Instant};
use tokio::task::JoinHandle;

/// How long the other side may take nothing of a request.
const STALL_MAX: Duration = Duration::from_secs(20);
/// A connection that was idle for longer is not used again: servers close them after 5 s, and a request on its way just
/// then would be lost.
const IDLE_MAX: Duration = Duration::from_secs(3);
/// The most bytes of what a server says about an error.
const ERROR_BYTES_MAX: usize = 4096;

/// Where requests go, and the connection of the last one.
#[derive(Debug)]
pub(super) struct Requests {
    endpoint: Endpoint,
    authority: String,
    body_bytes_max: usize,
    kept: Option<Kept>,
}

#[derive(Debug)]
struct Kept {
    sender: SendRequest<Body>,
    /// Ends with what uses it.
    _task: Task,
    used: Instant,
}

#[derive(Debug)]
struct Task(JoinHandle<()>);

impl Drop for Task {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// What a server has answered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Answer {
    pub(super) is_octets: bool,
    pub(super) body: Bytes,
}

/// Why a request has no answer that can be used.
#[derive(Debug, thiserror::Error)]
pub enum RequestError {
    /// There is no connection.
    #[error(transparent)]
    Io(#[from] io::Error),
    /// The other side does not speak HTTP, or has closed the connection.
    #[error("the request broke: {0}")]
    Broken(String),
    /// The server refuses.
    #[error("the server answers with status {status}: {text}")]
    Refused {
        /// The status of HTTP.
        status: u16,
        /// What it says.
        text: String,
    },
    /// The answer is too large.
    #[error("the server's answer has more than {0} bytes")]
    TooLarge(usize),
}

impl Requests {
    pub(super) fn new(endpoint: Endpoint, authority: String, body_bytes_max: usize) -> Self {
        Self { endpoint, authority, body_bytes_max, kept: None }
    }

    /// Makes a request, and gives this back with the answer.
    pub(super) async fn ask(
        mut self,
        path: String,
        body: Option<(Vec<u8>, &'static str)>,
    ) -> (Self, Result<Answer, RequestError>) {
        let answer = self.answer(path, body).await;
        (self, answer)
    }

    async fn answer(
        &mut self,
        path: String,
        body: Option<(Vec<u8>, &'static str)>,
    ) -> Result<Answer, RequestError> {
        let mut kept = match self.kept.take() {
            Some(kept) if kept.used.elapsed() < IDLE_MAX && kept.sender.is_ready() => kept,
            _ => self.connect().await?,
        };
        let request = Request::builder().uri(path).header(HOST, &self.authority);
        let request = match body {
            None => request.method(Method::GET).body(Body::empty()),
            Some((body, media_type)) => request
                .method(Method::POST)
                .header(CONTENT_TYPE, media_type)
                .header(CONTENT_LENGTH, body.len())
                .body(body.into()),
        };
        let request =
            request.map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let broken = |error: hyper::Error| RequestError::Broken(error.to_string());
        let response = kept.sender.send_request(request).await.map_err(broken)?;
        let status = response.status();
        let media_type = response.headers().get(CONTENT_TYPE);
        let is_octets = media_type.is_some_and(|it| it.as_bytes().starts_with(OCTETS.as_bytes()));
        let most = match status {
            StatusCode::OK => self.body_bytes_max,
            _ => ERROR_BYTES_MAX,
        };
        let body = to_bytes(Body::new(response.into_body()), most).await;
        match (status, body) {
            (StatusCode::OK, Ok(body)) => {
                kept.used = Instant::now();
                self.kept = Some(kept);
                Ok(Answer { is_octets, body })
            }
            (StatusCode::OK, Err(_)) if kept.sender.is_closed() => {
                Err(RequestError::Broken("the connection ended within an answer".to_owned()))
            }
            (StatusCode::OK, Err(_)) => Err(RequestError::TooLarge(most)),
            (status, body) => Err(RequestError::Refused {
                status: status.as_u16(),
                text: String::from_utf8_lossy(&body.unwrap_or_default()).trim().to_owned(),
            }),
        }
    }

    async fn connect(&self) -> Result<Kept, RequestError> {
        let (reader, writer, _) = dial(&self.endpoint).await?.into_parts();
        let io = TokioIo::new(http::client_io(reader, writer, STALL_MAX));
        let shaken = http1::handshake(io).await;
        let (sender, connection) =
            shaken.map_err(|error| RequestError::Broken(error.to_string()))?;
        let task = tokio::spawn(async move {
            if let Err(error) = connection.await {
                // Who has a request on it hears that as well.
                tracing::debug!(%error, "a connection of requests has ended");
            }
        });
        Ok(Kept { sender, _task: Task(task), used: Instant::now() })
    }
}
