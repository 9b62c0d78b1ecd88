//! The page: its files, which are in the program.

use axum::Router;
use axum::extract::Path;
use axum::http::header::{
    CACHE_CONTROL, CONTENT_SECURITY_POLICY, CONTENT_TYPE, ETAG, IF_NONE_MATCH, REFERRER_POLICY,
    X_CONTENT_TYPE_OPTIONS,
};
use axum::http::{HeaderMap, HeaderName, HeaderValue, StatusCode};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::get;
use sha1::{Digest, Sha1};
use std::sync::LazyLock;

/// The files of the page, in `page/`: a line for each.
macro_rules! files {
    ($($name:literal: $kind:ident,)*) => {
        static FILES: LazyLock<Vec<File>> = LazyLock::new(|| vec![$(
            File::new($name, Kind::$kind, include_bytes!(concat!("../page/", $name))),
        )*]);
    };
}

files! {
    "index.html": Html,
    "app.js": Script,
    "style.css": Style,
}

#[allow(dead_code, reason = "what a page may consist of")]
#[derive(Debug, Clone, Copy)]
enum Kind {
    Html,
    Script,
    Style,
    Svg,
    Png,
    Json,
}

impl Kind {
    fn content_type(self) -> &'static str {
        match self {
            Self::Html => "text/html; charset=utf-8",
            Self::Script => "text/javascript; charset=utf-8",
            Self::Style => "text/css; charset=utf-8",
            Self::Svg => "image/svg+xml",
            Self::Png => "image/png",
            Self::Json => "application/json",
        }
    }
}

/// A file of the page.
#[derive(Debug)]
struct File {
    name: &'static str,
    kind: Kind,
    bytes: &'static [u8],
    /// Names the content.
    tag: HeaderValue,
}

/// What the page may do: run its own scripts and ask its own server, and nothing else.
const POLICY: &str = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; \
                      connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";

const OPENER_POLICY: HeaderName = HeaderName::from_static("cross-origin-opener-policy");
const RESOURCE_POLICY: HeaderName = HeaderName::from_static("cross-origin-resource-policy");

impl File {
    fn new(name: &'static str, kind: Kind, bytes: &'static [u8]) -> Self {
        let digest = Sha1::digest(bytes);
        let tag: String = digest.iter().map(|byte| format!("{byte:02x}")).collect();
        let tag = HeaderValue::try_from(format!("\"{tag}\""));
        Self { name, kind, bytes, tag: tag.expect("hexadecimal digits can stand in a header") }
    }

    fn answer(&self, headers: &HeaderMap) -> Response {
        let known = headers.get_all(IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
        let mut known = known.flat_map(|tags| tags.split(','));
        let is_known = known.any(|tag| tag.trim().trim_start_matches("W/") == self.tag);
        let fixed = HeaderValue::from_static;
        let common = [
            (ETAG, self.tag.clone()),
            (CACHE_CONTROL, fixed("no-cache")),
            (CONTENT_SECURITY_POLICY, fixed(POLICY)),
            (X_CONTENT_TYPE_OPTIONS, fixed("nosniff")),
            (REFERRER_POLICY, fixed("no-referrer")),
            (OPENER_POLICY, fixed("same-origin")),
            (RESOURCE_POLICY, fixed("same-origin")),
        ];
        match is_known {
            true => (StatusCode::NOT_MODIFIED, common).into_response(),
            false => {
                let kind = fixed(self.kind.content_type());
                (common, [(CONTENT_TYPE, kind)], self.bytes).into_response()
            }
        }
    }
}

/// Where the page is served, and at `/` if that is wanted.
pub(crate) fn routes(at_root: bool) -> Router {
    let index = |headers: HeaderMap| async move { file("index.html", &headers) };
    let named = |Path(name): Path<String>, headers: HeaderMap| async move { file(&name, &headers) };
    let routes = Router::new()
        .route("/control", get(|| async { Redirect::permanent("/control/") }))
        .route("/control/", get(index))
        .route("/control/{*name}", get(named));
    if at_root { routes.route("/", get(index)) } else { routes }
}

fn file(name: &str, headers: &HeaderMap) -> Response {
    match FILES.iter().find(|file| file.name == name) {
        Some(file) => file.answer(headers),
        None => (StatusCode::NOT_FOUND, "There is nothing here.\n").into_response(),
    }
}
