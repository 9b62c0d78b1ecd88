//! Requests to the control center of a hub, and what is wrong with the answers.

use super::place::{At, Place};
use super::plain;
use crate::client_tls;
use crate::failure::Failure;
use bytes::Bytes;
use crosspoint_control::Token;
use crosspoint_control::model::{
    self, ChannelRow, Channels, ErrorCode, HubFigures, SessionDetail, SessionRow, Sessions,
};
use crosspoint_net::tls::client::{ClientTls, HandshakeError};
use http_body_util::{BodyExt, Empty, Limited};
use hyper::body::Incoming;
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, AUTHORIZATION, HOST, HeaderValue, LOCATION, USER_AGENT};
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::TokioIo;
use serde::de::DeserializeOwned;
use std::collections::HashSet;
use std::io;
use std::sync::Arc;
use std::time::Duration;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::rustls::pki_types::ServerName;
use tokio_rustls::rustls::{self, ClientConfig};

/// How long a connection, the head of an answer, and its body may take.
pub(crate) const TIME_MAX: Duration = Duration::from_secs(10);

/// The longest answer, in bytes. A page of 500 sessions takes less than a tenth.
pub(crate) const ANSWER_BYTES_MAX: usize = 8 * 1024 * 1024;

/// The most rows of a page.
const PAGE_MAX: u64 = 500;

/// Says that a request means what it asks.
const MARK: &str = "crosspoint-control";

/// The control center of a hub.
#[derive(Debug)]
pub(crate) struct Api {
    place: Place,
    tls: Option<Arc<ClientConfig>>,
    /// The header with the token.
    bearer: Option<HeaderValue>,
}

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub(crate) enum ApiError {
    #[error("no connection to {hub}: {source}{advice}")]
    Unreachable { hub: String, source: io::Error, advice: &'static str },
    #[error("{0} does not answer within {max} s", max = TIME_MAX.as_secs())]
    Silent(String),
    #[error("{hub} does not answer as a Crosspoint hub does: {why}")]
    NoHub { hub: String, why: String },
    #[error(
        "there is no control center at {0}; it may be switched off (control.enabled), or this is \
         another server"
    )]
    NoCenter(String),
    #[error("{hub} refuses: {message}{advice}")]
    Refused { hub: String, code: ErrorCode, message: String, advice: &'static str },
}

impl From<ApiError> for Failure {
    fn from(error: ApiError) -> Self {
        match error {
            ApiError::Refused { code: ErrorCode::BadRequest, .. } => Self::Setup(error.to_string()),
            error => Self::Run(error.to_string()),
        }
    }
}

/// Some of what matches, and how many match.
#[derive(Debug)]
pub(crate) struct Listed<T> {
    pub(crate) rows: Vec<T>,
    pub(crate) matched: u64,
}

/// A page of a list.
pub(crate) trait Page: DeserializeOwned {
    /// What it lists.
    type Row: serde::Serialize;
    /// Where it is.
    const PATH: &str;
    /// Its rows, and how many match on all pages.
    fn take(self) -> Listed<Self::Row>;
    /// What no two rows have.
    fn key(row: &Self::Row) -> String;
}

impl Page for Sessions {
    type Row = SessionRow;
    const PATH: &str = "/api/v1/sessions";

    fn take(self) -> Listed<SessionRow> {
        Listed { rows: self.sessions, matched: self.matched }
    }

    fn key(row: &SessionRow) -> String {
        row.session.to_string()
    }
}

impl Page for Channels {
    type Row = ChannelRow;
    const PATH: &str = "/api/v1/channels";

    fn take(self) -> Listed<ChannelRow> {
        Listed { rows: self.channels, matched: self.matched }
    }

    fn key(row: &ChannelRow) -> String {
        row.key.clone()
    }
}

/// What a connection is, whatever it goes over.
trait Io: AsyncRead + AsyncWrite + Send + Unpin {}

impl<T: AsyncRead + AsyncWrite + Send + Unpin> Io for T {}

impl Api {
    /// The control center at a place.
    ///
    /// # Errors
    /// What rustls has against the setup.
    pub(crate) fn new(
        place: Place,
        tls: &ClientTls,
        token: Option<Token>,
    ) -> Result<Self, Failure> {
        let config = place.has_tls().then(|| tls.config()).transpose();
        let config = config.map_err(|error| Failure::Setup(format!("TLS: {error}")))?;
        let bearer = token.map(|token| HeaderValue::try_from(format!("Bearer {}", token.reveal())));
        // A token has visible ASCII alone. Without what was wrong, which might be a part of it.
        let bearer = bearer.transpose().map_err(|_| "the token is no header".to_owned())?;
        let bearer = bearer.map(|mut bearer| {
            bearer.set_sensitive(true);
            bearer
        });
        Ok(Self { place, tls: config.map(Arc::new), bearer })
    }

    /// Where it is.
    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    /// The figures of the hub.
    pub(crate) async fn hub(&self) -> Result<HubFigures, ApiError> {
        self.get("/api/v1/hub", &[]).await
    }

    /// A session, if the hub has it.
    pub(crate) async fn session(&self, number: u64) -> Result<Option<SessionRow>, ApiError> {
        let path = format!("{}/{number}", Sessions::PATH);
        match self.get::<SessionDetail>(&path, &[]).await {
            Ok(detail) => Ok(Some(detail.row)),
            Err(ApiError::Refused { code: ErrorCode::NotFound, .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Ends a session. Gives whether there was one.
    pub(crate) async fn kick(&self, number: u64) -> Result<bool, ApiError> {
        let path = format!("{}/{number}", Sessions::PATH);
        let response = self.send(Method::DELETE, &path, &[]).await?;
        match self.checked(response).await {
            Ok(_) => Ok(true),
            Err(ApiError::Refused { code: ErrorCode::NotFound, .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// So many of what matches a query, from as many pages as it takes.
    pub(crate) async fn list<P: Page>(
        &self,
        query: &[(&str, &str)],
        limit: u64,
    ) -> Result<Listed<P::Row>, ApiError> {
        let mut listed = Listed { rows: Vec::new(), matched: 0 };
        // What comes and goes between two requests moves others to the next page or back.
        let mut seen = HashSet::new();
        let mut offset = 0;
        while offset < limit {
            let size = PAGE_MAX.min(limit - offset);
            let page = [("offset", offset.to_string()), ("limit", size.to_string())];
            let page = page.iter().map(|(name, value)| (*name, value.as_str()));
            let query: Vec<_> = query.iter().copied().chain(page).collect();
            let Listed { rows, matched } = self.get::<P>(P::PATH, &query).await?.take();
            listed.matched = matched;
            listed.rows.extend(rows.into_iter().filter(|row| seen.insert(P::key(row))));
            offset += size;
            if offset >= matched {
                break;
            }
        }
        Ok(listed)
    }

    /// Asks for something.
    pub(crate) async fn get<T: DeserializeOwned>(
        &self,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<T, ApiError> {
        let response = self.send(Method::GET, path, query).await?;
        let body = self.body(self.checked(response).await?).await?;
        serde_json::from_slice(&body).map_err(|error| self.no_hub(error))
    }

    /// An answer that is no error.
    pub(crate) async fn checked(
        &self,
        response: Response<Incoming>,
    ) -> Result<Response<Incoming>, ApiError> {
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let hub = self.place.to_string();
        if status.is_redirection() {
            let to = response.headers().get(LOCATION).and_then(|to| to.to_str().ok());
            let to = to.map(|to| format!(" to {}", plain(to))).unwrap_or_default();
            return Err(
                self.no_hub(format!("it leads{to} ({status}); give --hub the address there"))
            );
        }
        let body = self.body(response).await?;
        match serde_json::from_slice::<model::Error>(&body) {
            Ok(model::Error { error: code, message }) => {
                let advice = match (code, &self.bearer) {
                    (ErrorCode::Unauthorized, None) => {
                        " Give the token with --control-token-file or --control-token; docs/control.md \
                         says where it is."
                    }
                    (ErrorCode::Unauthorized, Some(_)) => {
                        " Without control.token and control.token_file, a hub has another token after \
                         each start, and prints it."
                    }
                    _ => "",
                };
                Err(ApiError::Refused { hub, code, message: plain(&message), advice })
            }
            Err(_) if status == StatusCode::NOT_FOUND => Err(ApiError::NoCenter(hub)),
            Err(_) => Err(self.no_hub(status)),
        }
    }

    /// Sends a request over a connection of its own, and waits for the head of the answer.
    pub(crate) async fn send(
        &self,
        method: Method,
        path: &str,
        query: &[(&str, &str)],
    ) -> Result<Response<Incoming>, ApiError> {
        let mut path = format!("{}{path}", self.place.prefix);
        if !query.is_empty() {
            path.push('?');
            path = form_urlencoded::Serializer::for_suffix(path.clone(), path.len())
                .extend_pairs(query)
                .finish();
        }
        let mut request = Request::builder()
            .method(method)
            .uri(path)
            .header(HOST, self.place.authority())
            .header(USER_AGENT, concat!("crosspoint/", env!("CARGO_PKG_VERSION")))
            .header(ACCEPT, "application/json, text/event-stream")
            .header(MARK, "1");
        if let Some(bearer) = &self.bearer {
            request = request.header(AUTHORIZATION, bearer);
        }
        let request = request.body(Empty::<Bytes>::new()).map_err(|error| self.no_hub(error))?;
        let silent = |_| self.silent();
        let io = timeout(TIME_MAX, self.connect()).await.map_err(silent)?;
        let io = TokioIo::new(io.map_err(|error| self.unreachable(error))?);
        let (mut sender, connection) =
            http1::handshake(io).await.map_err(|error| self.no_hub(error))?;
        // It ends with the request and the answer. What goes wrong is told to those.
        tokio::spawn(connection);
        let answer = timeout(TIME_MAX, sender.send_request(request)).await.map_err(silent)?;
        answer.map_err(|error| self.no_hub(chain(&error)))
    }

    async fn connect(&self) -> io::Result<Box<dyn Io>> {
        let (host, port) = match &self.place.at {
            At::Unix(path) => return Ok(Box::new(UnixStream::connect(path).await?)),
            At::Tcp { host, port, .. } => (host, *port),
        };
        let stream = TcpStream::connect((host.as_str(), port)).await?;
        stream.set_nodelay(true)?;
        let Some(config) = &self.tls else {
            return Ok(Box::new(stream));
        };
        let name = ServerName::try_from(host.clone())
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidInput, error))?;
        let connecting = TlsConnector::from(config.clone()).connect(name, stream).await;
        let stream = connecting.map_err(|error| match error.downcast::<rustls::Error>() {
            Ok(error) => HandshakeError::from(error).into(),
            Err(error) => HandshakeError::in_handshake(error),
        });
        Ok(Box::new(stream?))
    }

    fn unreachable(&self, source: io::Error) -> ApiError {
        let advice = match HandshakeError::find(&source) {
            Some(wrong) => client_tls::advice(wrong),
            None if source.kind() == io::ErrorKind::ConnectionRefused => {
                "; start a hub with `crosspoint serve`, or say with --hub where it is"
            }
            None => "",
        };
        ApiError::Unreachable { hub: self.place.to_string(), source, advice }
    }

    async fn body(&self, response: Response<Incoming>) -> Result<Bytes, ApiError> {
        let body = Limited::new(response.into_body(), ANSWER_BYTES_MAX).collect();
        let body = timeout(TIME_MAX, body).await;
        let body = body.map_err(|_| self.silent())?;
        body.map(|body| body.to_bytes()).map_err(|error| self.no_hub(error))
    }

    /// What should answer does not.
    pub(crate) fn silent(&self) -> ApiError {
        ApiError::Silent(self.place.to_string())
    }

    /// What answers is something else.
    pub(crate) fn no_hub(&self, why: impl ToString) -> ApiError {
        ApiError::NoHub { hub: self.place.to_string(), why: plain(&why.to_string()) }
    }
}

/// An error with those that have caused it.
fn chain(error: &dyn std::error::Error) -> String {
    let causes = std::iter::successors(Some(error), |error| error.source());
    causes.map(ToString::to_string).collect::<Vec<_>>().join(": ")
}
