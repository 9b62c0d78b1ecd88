//! Directories whose files are served.

use super::range::{self, asked_for};
use super::regular_files::RegularFiles;
use crate::log_limit::LogLimit;
use crate::outlet::now;
use axum::body::Body;
use axum::extract::Request;
use axum::http::header::{
    ACCESS_CONTROL_ALLOW_ORIGIN, CACHE_CONTROL, CONTENT_TYPE, IF_RANGE, RANGE,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::request::Parts;
use axum::http::uri::PathAndQuery;
use axum::http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use std::io;
use std::path::{Path, PathBuf};
use thiserror::Error;
use tower_http::services::ServeDir;
use tower_http::services::fs::DefaultServeDirFallback;

/// A directory and the path under which its files are served to GET and HEAD.
///
/// A path that ends in `/` is answered with `index.html`; directories are never listed. Files come
/// as they are, with a type from their name, ranges, and conditions. What a path names is inside the
/// directory, but for symbolic links, which are followed: do not let strangers make them there.
#[derive(Debug, Clone)]
pub struct Files {
    /// Without a slash at its end, so empty for `/`.
    prefix: String,
    directory: Directory,
}

type Directory = ServeDir<DefaultServeDirFallback, RegularFiles>;

/// One file of JavaScript.
#[derive(Debug)]
pub(super) struct Script(Directory);

impl Script {
    pub(super) fn new(path: &Path) -> Self {
        Self(served(path).append_index_html_on_directories(false))
    }

    /// Answers with it, whatever the method.
    pub(super) async fn answer(&self, request: Request, log: &LogLimit) -> Response {
        let (mut head, _body) = request.into_parts();
        if head.method != Method::HEAD {
            head.method = Method::GET;
        }
        // The "directory" is the file itself.
        let found = ask(&self.0, head, Uri::from_static("/")).await;
        let mut response = finish(found, log);
        if let Some(kind) = response.headers_mut().get_mut(CONTENT_TYPE) {
            *kind = HeaderValue::from_static("text/javascript; charset=utf-8");
        }
        response
    }
}

/// How files are served, in all directories.
#[derive(Debug, Clone, Default)]
pub struct FileOptions {
    /// Whether files are served whose names, or the names of whose directories, begin with a dot. Those under
    /// `/.well-known` (RFC 8615) are in any case.
    pub dot_files: bool,
    /// `Cache-Control` of each file.
    pub cache_control: Option<HeaderValue>,
    /// Whether pages are isolated from those of other origins (`Cross-Origin-Opener-Policy: same-origin` and
    /// `Cross-Origin-Embedder-Policy: require-corp`), as browsers want it for threads with shared memory.
    pub isolated: bool,
    /// Whose pages may read files (`Access-Control-Allow-Origin`): an origin, or `*` for all.
    pub readable_from: Option<HeaderValue>,
    /// Whether `a.js.br`, `a.js.zst` or `a.js.gz` is served in the place of `a.js` to those who take that.
    pub precompressed: bool,
}

/// Why a directory cannot be served.
#[derive(Debug, Error)]
pub enum FilesError {
    /// The prefix is no plain path.
    #[error(
        "{prefix:?} cannot be a prefix of paths: write it like /static, with segments of letters, \
         digits and - . _ ~ @"
    )]
    Prefix {
        /// What was given.
        prefix: String,
    },
    /// The directory cannot be looked at.
    #[error("the files of {} cannot be served: {source}", directory.display())]
    Directory {
        /// What was given.
        directory: PathBuf,
        /// The system's reason.
        source: io::Error,
    },
}

impl Files {
    /// Serves what is in `directory` under `prefix`: with `/static`, `/static/a/b.png` is
    /// `a/b.png` in it. The prefix `/` is everything.
    ///
    /// # Errors
    /// See [`FilesError`].
    pub fn new(prefix: &str, directory: impl Into<PathBuf>) -> Result<Self, FilesError> {
        let plain = |segment: &str| {
            let sign = |byte: u8| byte.is_ascii_alphanumeric() || b"-._~@".contains(&byte);
            segment.bytes().all(sign) && !["", ".", ".."].contains(&segment)
        };
        let trimmed = prefix.strip_suffix('/').unwrap_or(prefix);
        let mut segments = trimmed.split('/');
        if !prefix.starts_with('/') || segments.next() != Some("") || !segments.all(plain) {
            return Err(FilesError::Prefix { prefix: prefix.to_owned() });
        }
        let directory = directory.into();
        let found = std::fs::metadata(&directory).and_then(|found| match found.is_dir() {
            true => Ok(()),
            false => Err(io::ErrorKind::NotADirectory.into()),
        });
        if let Err(source) = found {
            return Err(FilesError::Directory { directory, source });
        }
        let directory = served(&directory).redirect_path_prefix(trimmed);
        Ok(Self { prefix: trimmed.to_owned(), directory })
    }

    /// The same, served like this.
    pub(super) fn served(self, options: &FileOptions) -> Self {
        let Self { prefix, directory } = self;
        let directory = match options.precompressed {
            true => directory.precompressed_br().precompressed_zstd().precompressed_gzip(),
            false => directory,
        };
        Self { prefix, directory }
    }

    /// Whether every path is under the prefix.
    pub(super) fn is_everything(&self) -> bool {
        self.prefix.is_empty()
    }

    /// For sorting: longer prefixes come first.
    pub(super) fn rank(&self) -> std::cmp::Reverse<usize> {
        std::cmp::Reverse(self.prefix.len())
    }

    /// What follows the prefix in a path that is under it.
    fn rest<'a>(&self, path: &'a str) -> Option<&'a str> {
        let rest = path.strip_prefix(&self.prefix)?;
        (rest.is_empty() || rest.starts_with('/')).then_some(rest)
    }
}

/// Answers with a file of the first directory whose prefix fits; `None` if none does.
pub(super) async fn answer(
    all: &[Files],
    options: &FileOptions,
    request: Request,
    log: &LogLimit,
) -> Option<Response> {
    let (head, _body) = request.into_parts();
    let path = head.uri.path();
    let (files, rest) = all.iter().find_map(|files| Some((files, files.rest(path)?)))?;
    if rest.is_empty() {
        return Some(Redirect::temporary(&format!("{}/", files.prefix)).into_response());
    }
    if !options.dot_files && is_hidden(rest) {
        return Some(StatusCode::NOT_FOUND.into_response());
    }
    // More than one slash in front would make a redirect lead to another host.
    let mut target = format!("/{}", rest.trim_start_matches('/'));
    if let Some(query) = head.uri.query() {
        target = format!("{target}?{query}");
    }
    let Ok(target) = PathAndQuery::try_from(target) else {
        return Some(StatusCode::NOT_FOUND.into_response());
    };
    let found = ask(&files.directory, head, target.into()).await;
    let mut response = finish(found, log);
    if !response.status().is_client_error() && !response.status().is_server_error() {
        options.describe(response.headers_mut());
    }
    Some(response)
}

impl FileOptions {
    /// Adds the headers of a file.
    fn describe(&self, headers: &mut HeaderMap) {
        if let Some(cache) = &self.cache_control {
            headers.insert(CACHE_CONTROL, cache.clone());
        }
        if self.isolated {
            let opener = HeaderName::from_static("cross-origin-opener-policy");
            headers.insert(opener, HeaderValue::from_static("same-origin"));
            let embedder = HeaderName::from_static("cross-origin-embedder-policy");
            headers.insert(embedder, HeaderValue::from_static("require-corp"));
        }
        if let Some(origin) = &self.readable_from {
            headers.insert(ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
        }
    }
}

/// Whether a path, as it came, leads through a name that begins with a dot.
fn is_hidden(path: &str) -> bool {
    // The directory decodes once, and these are the signs that matter here.
    let decoded = [("%2e", "."), ("%2E", "."), ("%2f", "/"), ("%2F", "/")]
        .into_iter()
        .fold(path.to_owned(), |path, (code, sign)| path.replace(code, sign));
    let mut names = decoded.split('/').filter(|name| !name.is_empty()).peekable();
    names.next_if_eq(&".well-known");
    names.any(|name| name.starts_with('.'))
}

/// What is at a path, before anything else is set.
fn served(path: &Path) -> Directory {
    ServeDir::with_backend(path, RegularFiles).ignore_multi_range_requests(true)
}

/// Asks a directory. HEAD is answered as GET is, but for the body and for ranges, which GET alone has.
async fn ask(directory: &Directory, head: Parts, uri: Uri) -> io::Result<Response> {
    let Parts { method, mut headers, .. } = head;
    let is_head = method == Method::HEAD;
    let method = if is_head { Method::GET } else { method };
    let range = headers.remove(RANGE).filter(|_| !is_head);
    let condition = headers.remove(IF_RANGE);
    let once = async |headers| {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method.clone();
        *request.uri_mut() = uri.clone();
        *request.headers_mut() = headers;
        directory.clone().try_call(request).await
    };
    if let Some(range) = range.as_ref().and_then(range::of_bytes) {
        let mut with_range = headers.clone();
        with_range.insert(RANGE, range.clone());
        let response = once(with_range).await?;
        if asked_for(&response, &range, condition.as_ref()) {
            return Ok(response.map(Body::new));
        }
    }
    let response = once(headers).await?;
    Ok(response.map(|body| if is_head { Body::empty() } else { Body::new(body) }))
}

fn finish(found: io::Result<Response>, log: &LogLimit) -> Response {
    let mut response = match found {
        Ok(response) => response,
        Err(error) => return failed(&error, log),
    };
    let headers = response.headers_mut();
    if let Some(kind) = headers.get_mut(CONTENT_TYPE)
        && let Ok(text) = kind.to_str()
        && (text.starts_with("text/") || text == "image/svg+xml")
        && !text.contains("charset")
        && let Ok(complete) = HeaderValue::try_from(format!("{text}; charset=utf-8"))
    {
        *kind = complete;
    }
    headers.insert(X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    response
}

fn failed(error: &io::Error, log: &LogLimit) -> Response {
    use io::ErrorKind as Kind;
    match error.kind() {
        Kind::NotFound
        | Kind::PermissionDenied
        | Kind::NotADirectory
        | Kind::IsADirectory
        | Kind::InvalidInput
        | Kind::InvalidFilename => StatusCode::NOT_FOUND.into_response(),
        _ => {
            if let Some(unsaid) = log.line(now()) {
                tracing::warn!(%error, unsaid, "a file could not be served");
            }
            StatusCode::INTERNAL_SERVER_ERROR.into_response()
        }
    }
}
