//! A client of HTTP, request by request.

use super::peer::head;
use super::{Link, Served, serve_as};
use bytes::Bytes;
use crosspoint_hub::HubOptions;
use crosspoint_net::http::HttpOptions;
use crosspoint_net::server::ServerOptions;

/// A server that answers HTTP like this.
pub(crate) fn serve_http(http: HttpOptions) -> Served {
    serve_as(HubOptions::default(), ServerOptions { http, ..ServerOptions::default() })
}

/// An answer.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) head: String,
    pub(crate) body: Bytes,
}

impl Answer {
    /// The value of a header.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers(name).into_iter().next()
    }

    /// All values of a header.
    pub(crate) fn headers(&self, name: &str) -> Vec<&str> {
        let pairs = self.head.lines().filter_map(|line| line.split_once(": "));
        pairs.filter(|(is, _)| is.eq_ignore_ascii_case(name)).map(|(_, value)| value).collect()
    }
}

/// A request for a path, on a connection that goes on.
pub(crate) fn get(path: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nHost: hub\r\n\r\n")
}

/// Sends a request and reads the answer.
pub(crate) async fn ask(link: &mut Link, request: &str) -> Answer {
    link.send(request.as_bytes()).await;
    answer(link, request.starts_with("HEAD ")).await
}

/// Reads an answer, and no byte more.
pub(crate) async fn answer(link: &mut Link, only_head: bool) -> Answer {
    let head = head(link).await;
    let status = head.split(' ').nth(1).and_then(|status| status.parse().ok());
    let status = status.unwrap_or_else(|| panic!("no status: {head}"));
    let mut answer = Answer { status, head, body: Bytes::new() };
    if only_head || status < 200 || status == 204 || status == 304 {
        return answer;
    }
    answer.body = match answer.header("Content-Length") {
        Some(length) => link.take(length.parse().expect("a length")).await,
        None if answer.header("Transfer-Encoding") == Some("chunked") => chunks(link).await,
        None => link.rest().await,
    };
    answer
}

async fn chunks(link: &mut Link) -> Bytes {
    let mut body = Vec::new();
    loop {
        let mut line = Vec::new();
        while !line.ends_with(b"\r\n") {
            line.extend_from_slice(&link.take(1).await);
        }
        let line = String::from_utf8(line).expect("a length");
        let length = usize::from_str_radix(line.trim(), 16).expect("a length");
        body.extend_from_slice(&link.take(length).await);
        link.expect(b"\r\n").await;
        if length == 0 {
            return body.into();
        }
    }
}
